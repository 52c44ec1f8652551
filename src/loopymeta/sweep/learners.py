"""What a sweep varies of learners by name: the options that stand behind the name."""

from __future__ import annotations

import ast
import functools
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from loopymeta import _validate
from loopymeta._jax import jax
from loopymeta.interventions import interventions_of
from loopymeta.learners import HostLearner, HostLife, by_name
from loopymeta.learners._text import call_of
from loopymeta.lifetime import Lifetime, check_memory
from loopymeta.sweep.space import Kind, Varied, read_varied
from loopymeta.sweep.subjects import IMPOSSIBLE, SweepError, reason_of
from loopymeta.tasks.base import Task

_WORDS: dict[Kind, str] = {
    "number": "numbers",
    "whole": "whole numbers",
    "choices": "values, as A,B,...",
}
_SEED = "seed"
_PLAIN = (bool, int, float, str, tuple, type(None))
"""What an option may be, given as text."""


class Option(NamedTuple):
    """An option of a learner that may vary: of what kind it is, and the types of its values."""

    kind: Kind
    types: tuple[Any, ...]

    def fits(self, value: Any) -> bool:
        """Whether a value is of one of the types; of what is in a tuple nothing is said."""
        for each in self.types:
            origin = typing.get_origin(each) or each
            if origin is Literal:
                found = value in typing.get_args(each)
            else:
                found = type(value) is origin or (origin is float and type(value) is int)
            if found:
                return True
        return False

    def read(self, name: str, text: str) -> Any:
        """One of the values that it may take, from text; Optuna keeps a tuple as text.

        Raises:
          ValueError: it cannot take that.
        """
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        if not self.fits(value):
            value = text  # what looks like a number may be the name of something
        if not self.fits(value):
            allowed = " or ".join(_word(each) for each in self.types)
            raise ValueError(f"{name} must be {allowed}, got {text!r}")
        return repr(value) if isinstance(value, tuple) else value

    def value(self, kept: Any) -> Any:
        """The value that a point has, from what Optuna keeps."""
        if not isinstance(kept, str) or not kept.startswith("("):
            return kept
        return ast.literal_eval(kept) if self.fits(()) else kept


def _word(kind: Any) -> str:
    """A type of values in a message."""
    origin = typing.get_origin(kind) or kind
    if origin is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    words = {int: "a whole number", float: "a number", str: "a text", type(None): "None"}
    words |= {bool: "True or False", tuple: "a tuple"}
    return words[origin]


def _types(hint: Any, default: Any) -> tuple[Any, ...]:
    """The types that a hint allows and that text can give; where there is none, the default's."""
    if hint is None:
        hint = Any if default in (None, inspect.Parameter.empty) else type(default)
    if hint is Any:
        return _PLAIN
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    allowed = typing.get_args(hint) if union else (hint,)
    return tuple(t for t in allowed if (typing.get_origin(t) or t) in (*_PLAIN, Literal))


def _kind(allowed: Sequence[Any]) -> Kind:
    if float in allowed:
        return "number"
    return "whole" if int in allowed else "choices"


@functools.lru_cache
def _options_of(thing: Any) -> dict[str, Option]:
    """The options that a class or function has in its signature, by name."""
    try:
        hints = typing.get_type_hints(thing)
    except (NameError, TypeError):  # hints that mean something to type checkers only
        hints = {}
    found = {}
    for name, parameter in inspect.signature(thing).parameters.items():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        allowed = _types(hints.get(name), parameter.default)
        if name not in by_name.SIZES and not several and {*allowed} - {type(None)}:
            found[name] = Option(_kind(allowed), allowed)
    return found


@dataclass(frozen=True)
class NamedLearner:
    """A learner by name, as a `loopymeta.sweep.subjects.Subject`.

    Raises:
      ValueError: nobody is called so, an option is unknown, or it learns nothing in a lifetime.

    >>> NamedLearner("gru(width=64)").at({"learning_rate": 0.01, "width": 32}).text
    'gru(width=32, learning_rate=0.01)'
    """

    text: str
    """``name`` or ``name(option=value, ...)``."""

    noun = "learner"
    files = ()
    # 2.7 of 4.2 seconds saved, against 13 lost in 8,000 symbols of the online LSTM.
    short = 1_000

    def __post_init__(self) -> None:
        if by_name.check(self.text).weights:
            raise ValueError(
                f"{self.name} cannot be swept: it learns by nothing but weights that an outer loop "
                f"finds, as loopymeta train TASK --learner {self.name} --outer.method gradient does"
            )

    @property
    def name(self) -> str:
        """Without its options."""
        return call_of(self.text, "learner")[0]

    @property
    def options(self) -> dict[str, Option]:
        """All that may vary: not a seed, or the luckiest would be found and not the best."""
        found = _options_of(by_name.LEARNERS[self.name].options)
        return {name: each for name, each in found.items() if name != _SEED}

    @property
    def _draws(self) -> bool:
        """Whether something of it is drawn before it is born."""
        return _SEED in _options_of(by_name.LEARNERS[self.name].options)

    def known(self) -> str:
        """What may vary and of what kind it is, in a line."""
        parts = []
        for kind, words in _WORDS.items():
            if names := [name for name, each in self.options.items() if each.kind == kind]:
                parts.append(f"{words}: {', '.join(names)}")
        return "; ".join(parts)

    def _option(self, name: str) -> Option:
        if name not in self.options:
            raise _validate.unknown(f"option of learner {self.name!r},", name, self.options)
        return self.options[name]

    # --- as a subject ----------------------------------------------------------------------------

    def space(self, texts: Sequence[str]) -> dict[str, Varied]:
        """See `loopymeta.sweep.subjects.Subject.space`."""
        varied: dict[str, Varied] = {}
        for text in texts:
            found = read_varied(
                text,
                lambda name: self._option(name).kind,
                lambda name, value: self._option(name).read(name, value),
            )
            if found.name in varied:
                raise ValueError(f"{found.name} is given twice")
            varied[found.name] = found
        return varied

    def suggest(self, trial: Any, varied: Mapping[str, Varied]) -> dict[str, Any]:
        """The values of an Optuna trial: of all that varies."""
        return {name: each.suggest(trial) for name, each in varied.items()}

    def at(self, values: Mapping[str, Any]) -> NamedLearner:
        """The learner with the options of a point, those of its text beside them."""
        name, options = call_of(self.text, "learner")
        options |= {each: self._option(each).value(kept) for each, kept in values.items()}
        inner = ", ".join(f"{each}={value!r}" for each, value in options.items())
        return NamedLearner(f"{name}({inner})" if inner else name)

    def life(self, task: Task, seed: int) -> Lifetime:
        """Its lifetime on a task; of this seed, where it has one that its text does not say."""
        text = self.text
        if self._draws and _SEED not in call_of(text, "learner")[1]:
            name, _, rest = text.partition("(")
            text = f"{name}({_SEED}={seed}, {rest}" if rest else f"{name}({_SEED}={seed})"
        learner = by_name.learner_of(text, task)
        check_memory(learner, self.text)
        life = Lifetime(learner, task)
        if isinstance(learner, HostLearner):
            HostLife(learner, task, jax.random.key(0))  # which refuses what cannot be
        elif interventions_of(task):  # they refuse whom they cannot reach, in traced code
            jax.eval_shape(life, life.init_theta(), jax.random.key(0))
        return life

    def check(self, tasks: Mapping[str, Task], varied: Mapping[str, Varied]) -> None:
        """Refuses a task that it cannot live, and values that it cannot have.

        It is tried as it stands and with each value of what varies (of a range, its ends); a value
        that is refused is tried with each of the others beside it.
        """
        tried = [{name: value} for name, each in varied.items() for value in each.tried]
        for text, task in tasks.items():
            reason = self._refusal(task, {})
            if reason and all(self._refusal(task, values) for values in tried):
                raise SweepError(
                    f"{self.text} cannot live {text}: {reason}. Say on which tasks it is swept "
                    "(--tasks)"
                )
        task = next(iter(tasks.values()))
        for values in tried:
            others = [other for other in tried if other.keys() != values.keys()]
            reason = self._refusal(task, values)
            if reason and all(self._refusal(task, values | other) for other in others):
                ((name, value),) = values.items()
                raise SweepError(f"{name} of {self.name} cannot be {value}: {reason}")

    def _refusal(self, task: Task, values: Mapping[str, Any]) -> str:
        """Why it cannot live a task with some values; empty where it can."""
        try:
            self.at(values).life(task, 0)
        except IMPOSSIBLE as error:
            return reason_of(error)
        return ""

    def described(self) -> dict[str, Any]:
        """``learner``: its text, which every other command reads."""
        return {"learner": self.text}

    def write(self, folder: Path, task: Task, chosen: Mapping[str, Any]) -> None:
        """Nothing: its text says all."""
