"""Sweeps: which sizes, wirings, rules and rates suit a set of tasks, searched by Optuna.

A *point* is one `NetworkConfig`. It lives every task of the sweep in turn, on lifetimes that are
the same for all points (common random numbers); its loss on a task is put on a scale on which 0 is
the task's floor and 1 the best constant guess, and the mean over the tasks is what is lowered.
After each task the mean so far is told to Optuna, whose pruner ends hopeless points.

    runs/sweep-20260101-120000/
      sweep.json       the configuration, versions, where the points are kept
      study.db         the points, in Optuna's storage (or another database, with ``storage``)
      points.csv       every point: state, losses, parameters, reason
      best.json        the best network, re-lived on fresh seeds; rule.json: as a rule file
      importance.png   what matters

Several processes, on several machines, may share one storage. A point whose process gives no sign
of life any more is lived again by whoever notices.
"""

from __future__ import annotations

import ast
import collections
import contextlib
import csv
import dataclasses
import datetime
import difflib
import functools
import io
import json
import math
import os
import re
import sys
import textwrap
import time
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from loopymeta import _machine, _validate, graph, runs
from loopymeta._jax import Array, jax
from loopymeta.checkpoint import make_folder, write_atomic
from loopymeta.config import NetworkConfig
from loopymeta.lifetime import Lifetime
from loopymeta.meta import evaluate
from loopymeta.network import ACTIVATIONS, Innate
from loopymeta.rule_text import rule_from_text, rule_to_text, task_from_text
from loopymeta.rules import RFLO, Delta, Rule
from loopymeta.tasks.base import Task
from loopymeta.written import Written

FORMAT, VERSION = "loopymeta-sweep", 1
WORST = 2.0
"""The largest loss on the scale of 0 (floor) to 1 (best constant guess), and that of a lifetime
that is not finite: what is so far beyond chance is hopeless, and how far no longer matters."""
LOG_FROM = 8.0
"""Ratio of the ends from which a range is searched on a logarithmic scale."""
GRACE = 6
"""A point is given up, and lived again, after so many signs of life that did not come."""
FEWEST = 10
"""Points that must have been lived before anything is said of what matters."""
SHUFFLES = 50
SHORT = 10_000
"""Symbols up to which compiling without optimisation saves more than it costs: 4 of 7 seconds,
against 1.5 in 12,000 symbols of a network of 128 nodes."""

_RULES = ("rule", "output_rule", "memory_rule")
_FIXED = ("innate", "control", "layout")
"""Fields of a network that no sweep varies: the first by the names of its parts."""
_DEGREES = {"degree": "connectivity", "memory_degree": "memory_connectivity"}
_KNOWN: dict[str, tuple[str, ...]] = {
    "connectivity": (*graph.CONNECTIVITY, "none"),
    "memory_connectivity": tuple(graph.CONNECTIVITY),
    "activation": ACTIVATIONS,
}
_STREAMS = {"search": 0, "choose": 1, "report": 2}
"""Lifetimes of the search, of the choice among the best, and of the report: they never meet."""

Say = Callable[..., None]
"""Hears what a sweep does: ``say(event, **values)``."""


class SweepError(ValueError):
    """A sweep that cannot go on as asked; the message says what to do."""


# --- what varies ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, evenly or by their logarithm, whole or not."""

    name: str
    low: float
    high: float
    whole: bool = False

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(
                f"{self.name} must vary from a lower to a higher number, "
                f"got {self.low}..{self.high}"
            )

    @property
    def log(self) -> bool:
        """Whether it is searched by the logarithm: where the ends are `LOG_FROM` times apart."""
        return self.low > 0 and self.high >= LOG_FROM * self.low

    def suggest(self, trial: Any) -> float:
        """Optuna's choice."""
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choices:
    """A few values, rules as text."""

    name: str
    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(set(self.options)) < 2:
            raise ValueError(
                f"{self.name} must vary over a range such as 1..3 or over at least two different "
                f"values, got {', '.join(map(str, self.options))!r}"
            )

    def suggest(self, trial: Any) -> Any:
        """Optuna's choice."""
        return trial.suggest_categorical(self.name, self.options)


Varied = Range | Choices


def split(text: str) -> list[str]:
    """The parts between commas, where brackets and quotes hold a part together.

    >>> split("oja(eta=0.1), bounded(hebb, bound=1.5)")
    ['oja(eta=0.1)', 'bounded(hebb, bound=1.5)']
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _numbers(rule: Rule | None) -> dict[str, Any]:
    """The fields of a rule that may vary, as dotted names within it, and their values.

    >>> _numbers(rule_from_text("bounded(oja(eta=0.1), bound=2.0)"))
    {'rule.eta': 0.1, 'bound': 2.0, 'form': 'clip'}
    """
    found: dict[str, Any] = {}
    if isinstance(rule, Written):
        return dict(rule.parameters)
    for each in dataclasses.fields(rule) if rule is not None else ():
        value = getattr(rule, each.name)
        if isinstance(value, Rule):
            found |= {f"{each.name}.{name}": inner for name, inner in _numbers(value).items()}
        else:
            found[each.name] = value
    return found


def _with_number(rule: Any, path: str, value: Any) -> Rule:
    """A rule with one of its numbers replaced."""
    head, _, rest = path.partition(".")
    if isinstance(rule, Written):
        return Written(rule.expression, {**dict(rule.parameters), path: value})
    if rest:
        value = _with_number(getattr(rule, head), rest, value)
    return dataclasses.replace(rule, **{head: value})


@functools.cache
def _hints() -> dict[str, Any]:
    """The types of a network's fields that may vary by their own name."""
    hints = typing.get_type_hints(NetworkConfig)
    return {name: hint for name, hint in hints.items() if name not in _FIXED}


def _allows(hint: Any, kind: type) -> bool:
    return hint is kind or kind in typing.get_args(hint)


def _rules_of(name: str, network: NetworkConfig, varied: Mapping[str, Varied]) -> list[Any]:
    """The rules that a field may hold in a sweep."""
    choices = varied.get(name)
    if isinstance(choices, Choices):
        return [None if text is None else rule_from_text(text) for text in choices.options]
    return [getattr(network, name)]


def _names(network: NetworkConfig, varied: Mapping[str, Varied]) -> list[str]:
    """Every name that may vary: of networks, of what they are born with, and of their rules."""
    parts = [f"innate.{each.name}" for each in dataclasses.fields(Innate)]
    for name in _RULES:
        for rule in _rules_of(name, network, varied):
            parts += [f"{name}.{path}" for path in _numbers(rule)]
    return [*_hints(), "leak", *dict.fromkeys(parts)]


def _read_value(name: str, text: str) -> Any:
    """One of the values that a field may take; rules stay text, but must be readable."""
    hint = _hints().get(name)
    if name in _RULES:
        if text == "None" and name != "rule":
            return None
        return rule_to_text(rule_from_text(text))
    known = _KNOWN.get(name, typing.get_args(hint) if typing.get_origin(hint) is Literal else ())
    if known:
        _validate.choice(name, text, known)
    if known or hint is str:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ValueError(f"{name} must be a number, True, False or None, got {text!r}") from None


def _read_varied(text: str, network: NetworkConfig, varied: Mapping[str, Varied]) -> Varied:
    """What ``NAME=LOW..HIGH`` or ``NAME=A,B,...`` means.

    Raises:
      ValueError: the name is not known (the nearest is suggested), or the values cannot be.
    """
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise ValueError(f"what varies is given as NAME=LOW..HIGH or NAME=A,B,..., got {text!r}")
    names = _names(network, varied)
    if name not in names:
        raise _unknown_name(name, names)
    ends = re.fullmatch(r"([-+.\w]+?)\.\.([-+.\w]+)", values)
    if not ends:
        return Choices(name, tuple(_read_value(name, each) for each in split(values)))
    try:
        low, high = (float(end) for end in ends.groups())
    except ValueError:
        raise ValueError(f"{name} must vary between two numbers, got {values!r}") from None
    hint = _hints().get(name)
    head, _, path = name.partition(".")
    rules = _rules_of(head, network, varied) if head in _RULES else []
    inner = [numbers[path] for numbers in map(_numbers, rules) if path in numbers]
    if hint is not None and not (_allows(hint, int) or _allows(hint, float)):
        raise ValueError(f"{name} is no number: give the values that it may take, as A,B,...")
    whole = name in _DEGREES or _allows(hint, int) or any(type(value) is int for value in inner)
    if whole and not (low.is_integer() and high.is_integer()):
        raise ValueError(f"{name} is a whole number, got {values!r}")
    return Range(name, low, high, whole)


def _unknown_name(name: str, names: Sequence[str]) -> ValueError:
    """The nearest known name is found also where only its last part was given."""
    ends = {each.rpartition(".")[2]: each for each in reversed(names)}
    near = difflib.get_close_matches(name, [*names, *ends], n=1, cutoff=0.5)
    hint = f" Did you mean {ends.get(near[0], near[0])!r}?" if near else ""
    plain = [each for each in names if "." not in each]
    return ValueError(
        f"unknown parameter {name!r} of a network.{hint} Known: {', '.join(plain)}, the parts of "
        "innate (innate.recurrent_gain) and the numbers of the rules (rule.eta)."
    )


def read_space(texts: Sequence[str], network: NetworkConfig) -> dict[str, Varied]:
    """What varies, by name, in the order in which it must be drawn.

    Args:
      texts: ``NAME=LOW..HIGH`` or ``NAME=A,B,...``: a field of `NetworkConfig`, ``innate.NAME``,
        ``leak`` (one leak for all hidden nodes), or a number of a rule (``rule.eta``,
        ``output_rule.rule.eta``).
      network: all that does not vary.

    Raises:
      ValueError: a name is unknown or given twice, or a value cannot be.

    >>> read_space(["rule.eta=1e-4..0.1", "ticks=1..3"], NetworkConfig())["ticks"]
    Range(name='ticks', low=1.0, high=3.0, whole=True)
    """
    varied: dict[str, Varied] = {}
    # Rules first: which numbers there are depends on them.
    for text in sorted(texts, key=lambda text: text.partition("=")[0].strip() not in _RULES):
        found = _read_varied(text, network, varied)
        if found.name in varied:
            raise ValueError(f"{found.name} is given twice")
        varied[found.name] = found
        ends = (found.low, found.high) if isinstance(found, Range) else found.options
        for value in ends if found.name not in _DEGREES else ():
            _check_value(found, value, network, varied)
    for name, wiring in _DEGREES.items():
        options = getattr(varied.get(wiring), "options", (getattr(network, wiring),))
        if name in varied and not any(_applies(name, {wiring: each}, network) for each in options):
            raise ValueError(
                f"{name} cannot vary: {options[0]} has none, and {wiring} does not vary"
            )
    # What depends on a choice is drawn after it.
    return dict(sorted(varied.items(), key=lambda item: "." in item[0] or item[0] in _DEGREES))


def _check_value(
    found: Varied, value: Any, network: NetworkConfig, varied: Mapping[str, Varied]
) -> None:
    """Refuses a value with which no network could be built, whatever else varies."""
    value = int(value) if isinstance(found, Range) and found.whole else value
    head, _, path = found.name.partition(".")
    if head in _RULES and path:
        for rule in _rules_of(head, network, varied):
            if path in _numbers(rule):
                _with_number(rule, path, value)
    elif head not in _RULES:
        apply(network, {found.name: value})


def apply(network: NetworkConfig, values: Mapping[str, Any]) -> NetworkConfig:
    """The network with the values of a point.

    Args:
      network: all that does not vary.
      values: by the names of `read_space`; rules as text.

    Raises:
      ValueError, TypeError: a value cannot be.

    >>> apply(NetworkConfig(), {"rule": "oja", "rule.eta": 0.5, "leak": 0.2}).rule
    Oja(eta=0.5)
    """
    changes: dict[str, Any] = {}
    innate: dict[str, Any] = {}
    for name, value in values.items():
        if name in _RULES:
            changes[name] = None if value is None else rule_from_text(value)
        elif name == "leak":
            innate |= {"leak_low": value, "leak_high": value}
        elif name.startswith("innate."):
            innate[name.removeprefix("innate.")] = value
        elif "." not in name:
            changes[name] = value
    for name, value in values.items():
        head, _, path = name.partition(".")
        if head in _RULES and path:
            changes[head] = _with_number(changes.get(head, getattr(network, head)), path, value)
    if innate:
        changes["innate"] = dataclasses.replace(network.innate, **innate)
    return dataclasses.replace(network, **changes)


def with_settings(network: NetworkConfig, settings: Sequence[str]) -> NetworkConfig:
    """A network with what ``NAME=VALUE`` says, by the names of `read_space`.

    Raises:
      ValueError: a name is unknown (the nearest is suggested), or a value cannot be.

    >>> with_settings(NetworkConfig(), ["rule=oja", "rule.eta=0.5", "ticks=2"]).rule
    Oja(eta=0.5)
    """
    # Rules first: which numbers there are depends on them.
    for setting in sorted(settings, key=lambda text: text.partition("=")[0] not in _RULES):
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, got {setting!r}")
        if name not in (names := _names(network, {})):
            raise _unknown_name(name, names)
        network = apply(network, {name: _read_value(name, text)})
    return network


def _applies(name: str, values: Mapping[str, Any], network: NetworkConfig) -> bool:
    """Whether a point has a parameter: its rule the number, its connectivity a degree."""
    head, _, path = name.partition(".")
    if head in _RULES and path:
        text = values.get(head)
        rule = getattr(network, head) if head not in values else text and rule_from_text(text)
        return path in _numbers(rule)
    if name in _DEGREES:
        wiring = values.get(_DEGREES[name], getattr(network, _DEGREES[name]))
        return isinstance(wiring, str) and hasattr(graph.CONNECTIVITY.get(wiring), "degree")
    return True


def suggest(trial: Any, varied: Mapping[str, Varied], network: NetworkConfig) -> dict[str, Any]:
    """The values of an Optuna trial: of what the rules and the wiring chosen do have."""
    values: dict[str, Any] = {}
    for name, each in varied.items():
        if _applies(name, values, network):
            values[name] = each.suggest(trial)
    return values


# --- the configuration ---------------------------------------------------------------------------


def default_network() -> NetworkConfig:
    """A small learning network: sparse recurrent hidden nodes, and outputs that learn fast."""
    return NetworkConfig(
        num_hidden=64,
        connectivity="erdos_renyi",
        num_graphs=4,
        rule=RFLO(eta=0.01),
        output_rule=Delta(eta=0.3),
        innate=Innate(output_gain=0.0),
    )


TASK_TEXTS = (
    "memorize(length=6)",
    "boolean(sets=50)",
    "delay(gap=2, trials=50)",
    "shift(segments=3, segment_length=100, alphabet=4)",
)
"""Cheap tasks of different families."""
VARY = (
    "connectivity=erdos_renyi,waxman,ring,watts_strogatz,complete",
    "degree=2..32",
    "num_hidden=16..128",
    "leak=0.1..1.0",
    "rule=rflo,eprop,feedback_alignment,oja",
    "rule.eta=1e-4..0.1",
    "output_rule.eta=0.01..1.0",
    "ticks=1..3",
    "teaching=error,target",
)
"""What varies unless something else is asked for."""


@dataclass(frozen=True)
class SweepConfig:
    """What a sweep is made of.

    Raises:
      ValueError, TypeError: a task, a name or a number cannot be.

    >>> SweepConfig(vary=("ticks=1..3",)).space()
    {'ticks': Range(name='ticks', low=1.0, high=3.0, whole=True)}
    """

    tasks: tuple[str, ...] = TASK_TEXTS
    """Tasks as text, e.g. "memorize(length=6)", lived in this order: the cheap ones first."""
    vary: tuple[str, ...] = VARY
    """What varies: NAME=LOW..HIGH (by the logarithm where HIGH is 8 times LOW) or NAME=A,B,..."""
    network: NetworkConfig = field(default_factory=default_network)
    """All that does not vary."""
    points: int = 60
    """Points to live, pruned and impossible ones among them."""
    lifetimes: int = 4
    """Lifetimes of a point on each task, the same for all points."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How the next point is drawn."""
    pruner: Literal["median", "hyperband", "none"] = "median"
    """How hopeless points are told after the first tasks."""
    finalists: int = 5
    """The best points, lived again on fresh lifetimes to choose the one to report."""
    report: int = 16
    """Lifetimes of each task, never used before, of the choice and again of the report."""
    seed: int = 0
    """Seed of everything."""
    heartbeat: int = 5
    """Seconds between a point's signs of life; one silent for 6 of them is lived again."""

    def __post_init__(self) -> None:
        for name in ("points", "lifetimes", "finalists", "report", "heartbeat"):
            _validate.at_least(name, getattr(self, name), 1)
        _validate.at_least("seed", self.seed, 0)
        for name in ("sampler", "pruner"):
            options = typing.get_args(typing.get_type_hints(type(self))[name])
            _validate.choice(name, getattr(self, name), options)
        for name in ("tasks", "vary"):
            value = getattr(self, name)
            if isinstance(value, str) or not value:
                raise TypeError(f"{name} must be a tuple of texts, got {value!r}")
        if twice := [t for t, n in collections.Counter(self.tasks).items() if n > 1]:
            raise ValueError(f"task {twice[0]!r} is given twice")
        for text in self.tasks:
            task_from_text(text)
        self.space()

    def space(self) -> dict[str, Varied]:
        """What varies, by name; see `read_space`."""
        return read_space(self.vary, self.network)


# --- living a point ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Course:
    """A task of a sweep and its scale: 0 at ``floor``, 1 at ``chance``, both in units of its loss.

    ``chance`` is the mean loss of the best constant guess over sampled lifetimes: the entropy of
    the scored targets, or their variance under squared error.
    """

    text: str
    task: Task
    floor: float
    chance: float

    @classmethod
    @functools.lru_cache
    def of(cls, text: str, seed: int = 0) -> Course:
        """The course of a task as text.

        Raises:
          ValueError: nothing can be learned in it: the best constant guess is at the floor.
        """
        task = task_from_text(text)
        floor, chance = task.spec.floor or 0.0, constant_loss(task, seed)
        if not chance > floor + 1e-6:
            raise ValueError(
                f"task {text!r} has nothing to learn: the best constant guess has loss "
                f"{chance:.4f}, the floor is {floor:.4f}"
            )
        return cls(text, task, floor, chance)

    def scale(self, losses: np.ndarray) -> np.ndarray:
        """Losses on the scale of the sweep, at most `WORST`, which is also what is not finite.

        >>> Course("", None, floor=1.0, chance=3.0).scale(np.array([1.0, 2.0, np.nan, 99.0]))
        array([0. , 0.5, 2. , 2. ])
        """
        scaled = (np.asarray(losses, float) - self.floor) / (self.chance - self.floor)
        return np.where(np.isfinite(scaled), np.minimum(scaled, WORST), WORST)


def constant_loss(task: Task, seed: int = 0, lifetimes: int = 16) -> float:
    """The mean loss of the best constant prediction over sampled lifetimes of a task.

    >>> bool(abs(constant_loss(task_from_text("delay(cues=2)")) - np.log(2)) < 0.01)
    True
    """
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1 << 21), lifetimes)
    sample = jax.jit(lambda key: (lambda e: (e.target, e.scored))(task.sample(key)))
    sampled = [sample(key) for key in keys]
    targets = np.concatenate([np.asarray(target)[np.asarray(on)] for target, on in sampled])
    if task.spec.loss == "squared_error":
        return float(targets.astype(float).var(0).sum())
    share = np.bincount(targets, minlength=task.spec.num_outputs) / len(targets)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


def _keys(config: SweepConfig, stream: str, place: int, num: int) -> Array:
    """The lifetimes of the task at a place, in one of the streams."""
    key = jax.random.fold_in(jax.random.key(config.seed), _STREAMS[stream])
    return jax.random.split(jax.random.fold_in(key, place), num)


def _build(config: SweepConfig, network: NetworkConfig, course: Course, stream: str) -> Lifetime:
    """The lifetime of a network on a task, on the graphs of a stream."""
    seed = config.seed + 1_000_003 * _STREAMS[stream]
    return Lifetime(network.build(course.task.spec, seed), course.task)


def _live(config: SweepConfig, life: Lifetime, course: Course, place: int, stream: str) -> Any:
    """The scaled losses [B] of a network on a task."""
    num = config.lifetimes if stream == "search" else config.report
    options: dict[str, Any] = {}
    if jax.default_backend() == "cpu":
        # Every point is another program, and most of its time goes into compiling it. What lives
        # shortly is not worth an optimised one; for the rest, level 1 runs as fast as level 3.
        short = num * course.task.spec.length <= SHORT
        options = _machine.hasty_options() if short else {"xla_backend_optimization_level": 1}
    live = jax.jit(lambda theta, keys: evaluate(life, theta, keys)[0][0], compiler_options=options)
    theta = jax.tree.map(lambda leaf: leaf[None], life.init_theta())
    return course.scale(live(theta, _keys(config, stream, place, num)))


_IMPOSSIBLE = (ValueError, TypeError, MemoryError, OverflowError)
"""What refuses a network while it is built: the point cannot be, the sweep goes on."""


def _live_point(
    config: SweepConfig, varied: Mapping[str, Varied], courses: Sequence[Course], trial: Any
) -> float:
    """One point through all tasks: its mean loss; Optuna hears of every task."""
    optuna = _optuna()
    trial.set_user_attr("begun", trial.number)
    started = time.perf_counter()
    values = suggest(trial, varied, config.network)
    try:
        network = apply(config.network, values)
        lives = [_build(config, network, course, "search") for course in courses]
    except _IMPOSSIBLE as error:
        trial.set_user_attr("reason", " ".join(str(error).split()) or type(error).__name__)
        raise optuna.TrialPruned from None
    losses: dict[str, list[float]] = {}
    mean = math.nan
    for place, (course, life) in enumerate(zip(courses, lives, strict=True)):
        losses[course.text] = _live(config, life, course, place, "search").tolist()
        trial.set_user_attr("losses", losses)
        trial.set_user_attr("seconds", round(time.perf_counter() - started, 3))
        mean = float(np.mean([np.mean(each) for each in losses.values()]))
        trial.report(mean, place + 1)
        if place + 1 < len(courses) and trial.should_prune():
            raise optuna.TrialPruned
    return mean


# --- the study -----------------------------------------------------------------------------------


def _optuna() -> Any:
    """Optuna, quiet.

    Raises:
      SweepError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise SweepError(
            "sweeps need Optuna, which is not installed: pip install 'loopymeta[sweep]', or "
            "pip install optuna"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Optuna says of parts that we need that they may change: not for who sweeps."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=_optuna().exceptions.ExperimentalWarning)
        yield


def _storage(url: str, heartbeat: int) -> Any:
    """Optuna's storage at an address of SQLAlchemy's.

    Raises:
      SweepError: the driver is not installed, or the database cannot be reached.
    """
    optuna = _optuna()
    import sqlalchemy

    waits = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    shown = re.sub(r"//([^:/@]*):[^@]*@", r"//\1:***@", url)
    try:
        with _calm():
            return optuna.storages.RDBStorage(
                url,
                engine_kwargs=waits,
                heartbeat_interval=heartbeat,
                grace_period=GRACE * heartbeat,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                    max_retry=2
                ),
            )
    except ImportError as error:
        cause = error.__cause__ or error
        raise SweepError(
            f"the driver of storage {shown} is not installed ({cause}); for PostgreSQL: "
            "pip install 'psycopg[binary]', and an address postgresql+psycopg://USER@HOST/DATABASE"
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, RuntimeError) as error:
        text = " ".join(str(error).split("\n(Background")[0].split())
        raise SweepError(f"storage {shown} cannot be used: {text}") from None


def _pruner(config: SweepConfig) -> Any:
    pruners = _optuna().pruners
    if config.pruner == "median":
        return pruners.MedianPruner()
    if config.pruner == "hyperband":
        return pruners.HyperbandPruner(max_resource=len(config.tasks), reduction_factor=2)
    return pruners.NopPruner()


def _sampler(config: SweepConfig, number: int, job: int) -> Any:
    """The sampler of one point, seeded by its number: a sweep that was stopped draws what one that
    was not stopped does (in one process; of several, each has numbers of its own)."""
    samplers = _optuna().samplers
    seed = int(np.random.SeedSequence([config.seed, number, job]).generate_state(1)[0])
    kind = samplers.TPESampler if config.sampler == "tpe" else samplers.RandomSampler
    return kind(seed=seed)


def _identity(config: SweepConfig) -> dict[str, Any]:
    """What must be the same for two processes to work on one study."""
    whole = runs.to_dict(config)
    return {k: v for k, v in whole.items() if k not in ("points", "finalists", "report")}


def _study(config: SweepConfig, url: str, name: str) -> Any:
    """The study of that name, made where there is none.

    Raises:
      SweepError: it is of another configuration, or the storage cannot be used.
    """
    storage = _storage(url, config.heartbeat)
    study = _optuna().create_study(
        storage=storage, study_name=name, pruner=_pruner(config), load_if_exists=True
    )
    mine, theirs = _identity(config), study.user_attrs.get("config")
    if theirs is None:
        study.set_user_attr("config", mine)
    elif theirs != mine:
        other = sorted(k for k in {*mine, *theirs} if mine.get(k) != theirs.get(k))
        raise SweepError(
            f"study {name!r} in the storage is of another configuration ({', '.join(other)}): "
            "choose another --study"
        )
    return study


def _counts(study: Any) -> collections.Counter[str]:
    """How many points are complete, pruned, running, waiting, failed."""
    return collections.Counter(t.state.name for t in study.get_trials(deepcopy=False))


def _bury(study: Any, config: SweepConfig) -> None:
    """Gives up points whose process died; Optuna puts those back that had begun."""
    optuna = _optuna()
    with _calm():
        optuna.storages.fail_stale_trials(study)
    silent = datetime.datetime.now() - datetime.timedelta(seconds=GRACE * config.heartbeat)
    for trial in study.get_trials(deepcopy=False):
        # A process that died between making a point and its first sign of life.
        unborn = trial.user_attrs.get("begun") != trial.number
        if trial.state.name == "RUNNING" and unborn and trial.datetime_start < silent:
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _work(config: SweepConfig, study: Any, job: int, heard: Callable[[], None]) -> None:
    """Lives points until there are as many as asked for; ``heard`` is called after each."""
    optuna = _optuna()
    varied = config.space()
    courses = [Course.of(text, config.seed) for text in config.tasks]
    stopped: list[int] = []

    def point(trial: Any) -> float:
        try:
            return _live_point(config, varied, courses, trial)
        except KeyboardInterrupt:
            stopped.append(trial.number)
            raise

    while True:
        counts = _counts(study)
        done = counts["COMPLETE"] + counts["PRUNED"]
        if done >= config.points:
            return
        if done + counts["RUNNING"] >= config.points:
            # Others live the last points, or died of them.
            _bury(study, config)
            time.sleep(0.2)
            continue
        study.sampler = _sampler(config, done + counts["RUNNING"], job)
        try:
            study.optimize(point, n_trials=1)
        except optuna.exceptions.UpdateFinishedTrialError:
            pass  # we were silent for too long, and another lives this point again
        except KeyboardInterrupt:
            if stopped:
                with _calm():
                    again = optuna.storages.RetryHeartbeatStaleTrialCallback()
                    again(study, study.get_trials()[stopped[0]])
            raise
        heard()


# --- several processes ---------------------------------------------------------------------------


def _end_with_parent() -> None:
    """A worker whose parent was killed must not go on alone."""
    import multiprocessing
    import threading

    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _worker(folder: str, url: str, name: str, points: int, job: int) -> None:
    """What a worker process does."""
    import signal

    # The terminal's Ctrl-C goes to all of us; the parent passes it on, once, as SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _end_with_parent()
    config = dataclasses.replace(read_config(folder), points=points)
    with contextlib.suppress(KeyboardInterrupt):
        _work(config, _study(config, url, name), job, lambda: None)


def _hire(
    folder: Path, url: str, name: str, points: int, jobs: int, heard: Callable[[], None]
) -> None:
    """Lives points in several processes, and waits for them.

    Raises:
      SweepError: all of them died before the end.
    """
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    given = (str(folder), url, name, points)
    workers: Any = [
        context.Process(target=_worker, args=(*given, job), daemon=True) for job in range(jobs)
    ]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            time.sleep(0.3)
            heard()
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(10)
            worker.kill()
    heard()


# --- the sweep -----------------------------------------------------------------------------------


def read_config(folder: str | os.PathLike[str]) -> SweepConfig:
    """The configuration of a sweep, from its folder.

    Raises:
      RunError, ConfigError, SweepError: the folder is no sweep's, or its sweep.json is damaged.
    """
    return runs.from_dict(_read_sweep(folder)["config"], _types(), kind=SweepConfig)


def _types() -> list[type]:
    from loopymeta.training import config_types

    return [SweepConfig, *config_types()]


def _read_sweep(folder: str | os.PathLike[str]) -> dict[str, Any]:
    path = Path(folder) / "sweep.json"
    if not path.is_file():
        raise SweepError(f"{folder} is no sweep's folder: it has no sweep.json")
    contents = runs.read_json_file(path)
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise SweepError(f"{path} is not of a sweep of loopymeta")
    if contents.get("version") != VERSION:
        raise SweepError(
            f"{path} is of version {contents.get('version')!r}; this loopymeta reads {VERSION}"
        )
    return contents


def _write(path: Path, value: Any) -> None:
    text = json.dumps(runs.to_dict(value, path.name), indent=2, allow_nan=False)
    write_atomic(path, (text + "\n").encode())


def sweep(
    config: SweepConfig,
    out: str | os.PathLike[str] = "runs",
    *,
    name: str | None = None,
    storage: str | None = None,
    study: str | None = None,
    jobs: int = 1,
    say: Say | None = None,
) -> Path:
    """Runs a sweep in a fresh folder, and returns the folder.

    Args:
      config: what to sweep.
      out: folder of run folders.
      name: name of the sweep's folder; default: ``sweep-`` and the time.
      storage: an address of SQLAlchemy's where the points are kept, e.g.
        ``postgresql+psycopg://user@host/database`` (the password from PGPASSWORD or ~/.pgpass);
        default: a SQLite file in the folder.
      study: name of the study in the storage; sweeps of one name share their points; default: the
        folder's name.
      jobs: processes on this machine.
      say: hears what happens: ``say(event, **values)``.

    Raises:
      SweepError: Optuna or a driver is not installed, the folder exists, the study is another one,
        or no point could be lived.
    """
    _optuna()
    _validate.at_least("jobs", jobs, 1)
    stem = name or f"sweep-{time.strftime('%Y%m%d-%H%M%S')}"
    if Path(stem).name != stem or stem.startswith("."):
        raise SweepError(f"name of a sweep must be a plain name without folders, got {stem!r}")
    folder = Path(out) / stem
    if (folder / "sweep.json").exists():
        raise SweepError(f"sweep {folder} exists already: go on with --resume, or give a --name")
    url, label = storage or f"sqlite:///{(folder / 'study.db').absolute()}", study or stem
    if storage is not None:
        _study(config, url, label)  # a storage that cannot be used leaves no folder behind
    make_folder(folder)
    contents = {
        "format": FORMAT,
        "version": VERSION,
        "config": config,
        # Without the password, and without the folder, which may be moved.
        "storage": storage and re.sub(r"//([^:/@]*):[^@]*@", r"//\1@", storage),
        "study": label,
        "versions": runs.versions(),
        "loopymeta_git": runs.source_git_state(),
    }
    _write(folder / "sweep.json", contents)
    return _drive(folder, config, url, label, jobs, say or (lambda event, **values: None))


def resume(
    folder: str | os.PathLike[str],
    *,
    points: int | None = None,
    storage: str | None = None,
    jobs: int = 1,
    say: Say | None = None,
) -> Path:
    """Goes on with a sweep that was stopped in any way, or to more points than it was made for.

    Args:
      folder: the sweep's.
      points: as many as there shall be in all; default: what the sweep was made for.
      storage: where its points are kept, for an address with a password, which no file keeps.
      jobs: processes on this machine.
      say: hears what happens.
    """
    _validate.at_least("jobs", jobs, 1)
    folder, contents = Path(folder), _read_sweep(folder)
    config = read_config(folder)
    if points is not None and points != config.points:
        config = dataclasses.replace(config, points=points)
        _write(folder / "sweep.json", {**contents, "config": config})
    url = storage or contents["storage"] or f"sqlite:///{(folder / 'study.db').absolute()}"
    say = say or (lambda event, **values: None)
    return _drive(folder, config, url, contents["study"], jobs, say)


def _drive(folder: Path, config: SweepConfig, url: str, name: str, jobs: int, say: Say) -> Path:
    with runs.Run(folder).lock():
        study = _study(config, url, name)
        told = {t.number for t in study.get_trials(deepcopy=False) if t.state.is_finished()}
        say("begin", folder=str(folder), points=config.points, done=len(told), tasks=config.tasks)
        heard = functools.partial(_tell, study, told, say)
        if jobs == 1:
            _work(config, study, 0, heard)
        else:
            _hire(folder, url, name, config.points, jobs, heard)
        counts = _counts(study)
        if (done := counts["COMPLETE"] + counts["PRUNED"]) < config.points:
            raise SweepError(
                f"the processes ended after {done} of {config.points} points, which are kept; go "
                f"on with --resume {folder}"
            )
        _finish(folder, config, study, say)
    return folder


def _tell(study: Any, told: set[int], say: Say) -> None:
    """Says of every point that has ended since the last time how it ended."""
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state.is_finished() and trial.number not in told:
            told.add(trial.number)
            if trial.state.name != "FAIL":  # which is lived again
                values = [t.value for t in trials if t.state.name == "COMPLETE"]
                say("point", best=min(values, default=None), **_row(trial))


def _row(trial: Any) -> dict[str, Any]:
    """What is known of a point."""
    reason = trial.user_attrs.get("reason")
    state = "impossible" if reason else {"COMPLETE": "complete"}.get(trial.state.name, "pruned")
    losses = trial.user_attrs.get("losses", {})
    return {
        "number": trial.number,
        "state": state,
        "loss": trial.value if state != "impossible" else None,
        "losses": {text: float(np.mean(each)) for text, each in losses.items()},
        "values": dict(trial.params),
        "seconds": trial.user_attrs.get("seconds"),
        "reason": reason,
    }


def points(study: Any) -> list[dict[str, Any]]:
    """The points of a study that were lived or could not be, in their order."""
    kept = [t for t in study.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED")]
    return [_row(trial) for trial in kept]


def _table(rows: Sequence[Mapping[str, Any]], config: SweepConfig) -> str:
    """The points as a table in CSV."""
    names = list(config.space())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "state", "loss", *config.tasks, *names, "seconds", "reason"])
    for row in rows:
        losses = [row["losses"].get(task, "") for task in config.tasks]
        values = [row["values"].get(name, "") for name in names]
        cells = [row["number"], row["state"], row["loss"], *losses, *values]
        writer.writerow(["" if c is None else c for c in (*cells, row["seconds"], row["reason"])])
    return text.getvalue()


def importances(study: Any, seed: int = 0) -> dict[str, tuple[float, float]]:
    """What it depends on whether a point is among the best tenth: {name: (share, by chance)}.

    PED-ANOVA (Watanabe et al., 2023) by Optuna: how far the values of the best tenth (at least 5
    points) are spread otherwise than those of all. Pruned points count as worse than all complete
    ones; those that cannot be do not count. Shares sum to 1, the largest first. ``by chance`` is
    the 95th percentile of the share when the losses are shuffled among the points: what is not
    above it may mean nothing. Empty where fewer than `FEWEST` points were lived.
    """
    optuna = _optuna()
    rows = [(row, t) for row, t in zip(points(study), _kept(study), strict=True)]
    lived = [(row, t) for row, t in rows if row["state"] != "impossible"]
    losses = [row["loss"] if row["state"] == "complete" else 2 * WORST for row, _ in lived]
    complete = sum(loss < 2 * WORST for loss in losses)
    if len(lived) < FEWEST or complete < 2:
        return {}
    quantile = min(max(0.1, 5 / len(lived)), complete / len(lived))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)

    def spread(values: Sequence[float]) -> dict[str, float]:
        of = optuna.create_study()
        of.add_trials(
            [
                optuna.create_trial(params=t.params, distributions=t.distributions, value=value)
                for (_, t), value in zip(lived, values, strict=True)
            ]
        )
        return evaluator.evaluate(of)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of conditions that few points meet
        found = spread(losses)
        generator = np.random.default_rng(seed)
        shuffled = [spread(generator.permutation(losses).tolist()) for _ in range(SHUFFLES)]
    total = sum(found.values()) or 1.0
    return {
        name: (value / total, float(np.percentile([each[name] for each in shuffled], 95)) / total)
        for name, value in sorted(found.items(), key=lambda item: -item[1])
    }


def _kept(study: Any) -> list[Any]:
    return [t for t in study.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED")]


# --- the result ----------------------------------------------------------------------------------


def _relive(
    config: SweepConfig, network: NetworkConfig, courses: Sequence[Course], stream: str
) -> dict[str, Any]:
    """The loss of a network on fresh lifetimes: its mean over tasks, that of each, spreads."""
    tasks = {}
    for place, course in enumerate(courses):
        life = _build(config, network, course, stream)
        losses = _live(config, life, course, place, stream)
        spread = float(losses.std(ddof=1)) if len(losses) > 1 else math.nan
        tasks[course.text] = {"mean": float(losses.mean()), "spread": spread, "seeds": len(losses)}
    means = np.array([each["mean"] for each in tasks.values()])
    error = np.array([each["spread"] / math.sqrt(each["seeds"]) for each in tasks.values()])
    return {
        "mean": float(means.mean()),
        "standard_error": float(np.sqrt((error**2).sum()) / len(error)),
        "tasks": tasks,
    }


def _finish(folder: Path, config: SweepConfig, study: Any, say: Say) -> None:
    """points.csv, best.json, rule.json and importance.png."""
    from loopymeta import plots, sweep_plots

    rows = points(study)
    write_atomic(folder / "points.csv", _table(rows, config).encode())
    complete = sorted((r for r in rows if r["state"] == "complete"), key=lambda row: row["loss"])
    if not complete:
        reasons = collections.Counter(r["reason"] for r in rows if r["reason"])
        most = f"; most often: {reasons.most_common(1)[0][0]}" if reasons else ""
        raise SweepError(f"none of {len(rows)} points lived through all tasks{most}")
    result = _earlier(folder, len(rows), config) or _choose(folder, config, rows, complete, say)
    _write(folder / "best.json", result)
    matters = importances(study, config.seed)
    figure = sweep_plots.importance(rows, config.space(), matters, result)
    plots.save(figure, folder / "importance.png")
    say("done", folder=str(folder), importances=matters, **result)


def _earlier(folder: Path, num: int, config: SweepConfig) -> dict[str, Any] | None:
    """The result of a sweep that was finished already, at the same number of points."""
    path = folder / "best.json"
    if not path.is_file() or not (folder / "rule.json").is_file():
        return None
    result = runs.read_json_file(path)
    same = result.get("points") == num and result.get("lifetimes") == config.report
    return result if same else None


def _choose(
    folder: Path,
    config: SweepConfig,
    rows: Sequence[Mapping[str, Any]],
    complete: Sequence[Mapping[str, Any]],
    say: Say,
) -> dict[str, Any]:
    """The best of the best points by fresh lifetimes, reported on others that are fresh again.

    The best of many points owes a part of its loss to the luck of its lifetimes (the winner's
    curse); so has, a little, the best of a few. What is reported was chosen by neither.
    """
    courses = [Course.of(text, config.seed) for text in config.tasks]
    finalists = []
    say("stage", text=f"living the best points again on {config.report} fresh lifetimes a task")
    for row in complete[: config.finalists]:
        network = apply(config.network, row["values"])
        again = _relive(config, network, courses, "choose")["mean"]
        finalists.append({"number": row["number"], "search": row["loss"], "choose": again})
        say("finalist", values=row["values"], **finalists[-1])
    number = min(finalists, key=lambda each: each["choose"])["number"]
    best = next(row for row in complete if row["number"] == number)
    network = apply(config.network, best["values"])
    say("stage", text="reporting the best point and the network before the sweep")
    try:
        before: dict[str, Any] = _relive(config, config.network, courses, "report")
    except _IMPOSSIBLE as error:
        before = {"impossible": " ".join(str(error).split())}
    _write_rule(folder, network, courses[0].task, {"sweep": study_line(best, len(rows))})
    return {
        "format": f"{FORMAT}-best",
        "points": len(rows),
        "lifetimes": config.report,
        "states": dict(collections.Counter(row["state"] for row in rows)),
        "number": number,
        "values": best["values"],
        "search": best["loss"],
        "fresh": _relive(config, network, courses, "report"),
        "before": before,
        "finalists": finalists,
        "scale": {c.text: {"floor": c.floor, "chance": c.chance} for c in courses},
        "network": network,
        "versions": runs.versions(),
    }


def study_line(best: Mapping[str, Any], num: int) -> str:
    """How the rule of a sweep was chosen, in a line."""
    return f"point {best['number']} of {num}, loss {best['loss']:.4f} in the search"


def _write_rule(folder: Path, network: NetworkConfig, task: Task, chosen: dict[str, Any]) -> None:
    """The best network as a rule file: with the rule's own numbers as theta."""
    from loopymeta.config import TrainConfig
    from loopymeta.training import write_rule

    theta = network.build(task.spec).init_theta()
    config = TrainConfig(task=task, train_task=task, network=network)
    write_rule(runs.Run(folder), config, theta, chosen)


# --- what is shown --------------------------------------------------------------------------------


def say_line(event: str, **values: Any) -> None:
    """One line of JSON an event."""
    print(json.dumps({"event": event} | runs.to_dict(values)), flush=True)


def say_terminal(event: str, **values: Any) -> None:
    """An event of a sweep for a person at a terminal."""
    short = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in values.items()}
    chosen = [
        f"{name}={f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in values.get("values", {}).items()
    ]
    if event == "begin":
        print(f"sweep   {values['folder']}\ntasks   {', '.join(values['tasks'])}")
        print(f"points  {values['points']}, {values['done']} of them done")
    elif event == "stage":
        print(f"{values['text']} ...")
    elif event == "point" and values["state"] == "impossible":
        print(f"{values['number']:4d}  impossible: {values['reason']}")
    elif event == "point":
        loss = f"{values['loss']:.4f}" + ("" if values["state"] == "complete" else " (pruned)")
        best = "-" if values["best"] is None else f"{values['best']:.4f}"
        print(f"{values['number']:4d}  loss {loss}, best {best}, {short['seconds']} s")
        indent = " " * 6
        print(textwrap.fill(" ".join(chosen), 96, initial_indent=indent, subsequent_indent=indent))
    elif event == "finalist":
        print(
            f"  point {values['number']}: {values['search']:.4f} in the search, "
            f"{values['choose']:.4f} on fresh lifetimes"
        )
    elif event == "done":
        _show(values, chosen)
    sys.stdout.flush()


def _show(result: Mapping[str, Any], chosen: list[str]) -> None:
    """The end of a sweep: the best network beside the one before, what matters, where it is."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("loss (0 floor, 1 chance)", "best", "before the sweep"):
        table.add_column(column, justify="left" if "loss" in column else "right")
    both = [result["fresh"], result["before"]]
    for name in result["fresh"]["tasks"]:
        cells = [each["tasks"][name] if "tasks" in each else None for each in both]
        table.add_row(name, *(f"{c['mean']:.3f} ± {c['spread']:.3f}" if c else "-" for c in cells))
    cells = [f"{e['mean']:.3f} ± {e['standard_error']:.3f}" if "mean" in e else "-" for e in both]
    table.add_row("mean", *cells, style="bold")
    print()
    Console(highlight=False).print(table)
    print(
        f"{result['lifetimes']} fresh lifetimes a task; ± standard deviation over them (of the "
        "mean, its standard error)\n"
    )
    print(f"best, point {result['number']}: {' '.join(chosen)}")
    if above := [name for name, (share, chance) in result["importances"].items() if share > chance]:
        print(f"what matters (above chance): {', '.join(above)}")
    folder = result["folder"]
    print(f"points, best network, rule and figure: {folder}\nnext:")
    print(f"  loopymeta evaluate {folder}/rule.json")
    print(f"  loopymeta sweep --resume {folder} --points N")
