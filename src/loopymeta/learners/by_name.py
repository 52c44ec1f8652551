"""Learners by name, for the command line and for configurations: ``lstm(width=64)``."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from loopymeta import _own, _validate
from loopymeta.learners._text import call_of
from loopymeta.learners.counts import OnlineNGram
from loopymeta.learners.hierarchical import HierarchicalLSTM
from loopymeta.learners.host import HostLearner
from loopymeta.learners.in_context import InContextRNN
from loopymeta.learners.online_gradient import OnlineGradient
from loopymeta.learners.plastic_memory import PlasticMemoryLearner
from loopymeta.learners.ppm import PPM
from loopymeta.learners.recurrent import OnlineRNN
from loopymeta.learners.reservoir import reservoir
from loopymeta.lifetime import Learner
from loopymeta.tasks.base import Task

AnyLearner = Learner | HostLearner


class Kind(NamedTuple):
    """A kind of learner that has a name.

    Attributes:
      make: (task, **options) -> learner.
      options: the class or function whose signature names the options.
      size: hidden nodes -> the options that say so; None where there is no such thing.
      compiled: whether an outer loop can search its theta (host learners are not compiled).
      weights: whether its theta is all its weights, so that it knows nothing before a search.
      fixed: options that the name stands for, other than the defaults of ``options``.
    """

    make: Callable[..., AnyLearner]
    options: Any
    size: Callable[[int], dict[str, Any]] | None = None
    compiled: bool = True
    weights: bool = False
    fixed: Mapping[str, Any] = MappingProxyType({})


def _lstm(task: Task, **options: Any) -> Learner:
    from loopymeta.baselines import online_lstm

    tuned: Any = online_lstm(task)
    return dataclasses.replace(tuned, **options)


def _reservoir(task: Task, **options: Any) -> Learner:
    from loopymeta.baselines import tuned_reservoir

    return tuned_reservoir(task, **options)


def _width(hidden: int) -> dict[str, Any]:
    return {"width": hidden}


def _network(options: Any, size: Any = _width, **fixed: Any) -> Kind:
    """Learners with ``for_spec``."""

    def make(task: Task, **given: Any) -> Learner:
        return options.for_spec(task.spec, **(fixed | given))

    return Kind(make, options, size, fixed=fixed)


_TEXT_RATES = {"rflo": 0.003, "uoro": 0.0003}
"""Rates of tanh units that suit names better than the usual one (docs/names.md)."""


def _online(method: str, **fixed: Any) -> Kind:
    """Learners that learn forwards in time, with a rate tuned on names for streams of text."""

    def make(task: Task, **given: Any) -> OnlineGradient:
        own = {"method": method} | fixed
        if given.get("cell") == "gru":  # whose update gate is its leak
            own.pop("leak", None)
        elif task.spec.text and method in _TEXT_RATES:
            own["learning_rate"] = _TEXT_RATES[method]
        return OnlineGradient.for_spec(task.spec, **(own | given))

    return Kind(make, OnlineGradient, _width, fixed={"method": method} | fixed)


LEARNERS: dict[str, Kind] = {
    "lstm": Kind(_lstm, OnlineRNN, _width),
    "gru": _network(OnlineRNN, cell="gru"),
    "elman": _network(OnlineRNN, cell="elman"),
    "hierarchical": _network(HierarchicalLSTM, lambda n: {"widths": (n, n)}),
    "in_context": _network(InContextRNN)._replace(weights=True),
    "rtrl": _online("rtrl", width=64),
    "snap1": _online("snap1"),
    # RFLO of tanh units keeps what the leak keeps: without one it is itself no more.
    "online_rflo": _online("rflo", leak=0.5),
    "online_eprop": _online("eprop"),
    "uoro": _online("uoro"),
    "dfa": _online("dfa"),
    "reservoir": Kind(_reservoir, reservoir, lambda hidden: {"num_hidden": hidden}),
    "counts": Kind(OnlineNGram.for_task, OnlineNGram),
    "ppm": Kind(PPM.for_task, PPM, compiled=False),
    "plastic_memory": Kind(PlasticMemoryLearner.for_task, PlasticMemoryLearner, compiled=False),
}
"""Name -> kind of learner; a learner of your own is one entry more.

A learner that cannot live a task says so by a ValueError or TypeError when it is made."""
_LIBRARY = dict(LEARNERS)
SIZES = ("spec", "num_inputs", "num_outputs", "loss", "parallel", "continues")


def known(text: str) -> bool:
    """Whether a text names a learner, whatever its options."""
    return text.partition("(")[0].strip() in LEARNERS


def is_own(text: str) -> bool:
    """Whether the name that a text begins with was put into `LEARNERS` from outside the library.

    >>> is_own("lstm(width=64)")
    False
    """
    name = text.partition("(")[0].strip()
    return known(text) and LEARNERS[name] is not _LIBRARY.get(name)


def own_code(text: str, task: Task, hidden: int | None = None) -> list[Any] | None:
    """The classes and functions of its own that a learner is made of; None if it is the library's.

    Args:
      text, task, hidden: see `learner_of`.
    """
    if not is_own(text):
        return None
    kind = check(text)
    make = kind.make.func if isinstance(kind.make, functools.partial) else kind.make
    found = [make, *getattr(kind.options, "__mro__", [kind.options])]
    with contextlib.suppress(Exception):  # what it is that cannot be, who lives it will say
        found += _own.own_classes(learner_of(text, task, hidden)) or []
    return [each for each in dict.fromkeys(found) if _own.is_own(each)]


def check(text: str) -> Kind:
    """The kind of learner that a text names.

    Raises:
      ValueError: it names none, or an option that it does not have.
    """
    name, options = call_of(text, "learner")
    if name not in LEARNERS:
        raise _validate.unknown("learner", name, LEARNERS)
    parameters = inspect.signature(LEARNERS[name].options).parameters
    allowed = [each for each in parameters if each not in SIZES]
    for option in options:
        if option not in allowed:
            raise _validate.unknown(f"option of learner {name!r},", option, allowed)
    return LEARNERS[name]


def learner_of(text: str, task: Task, hidden: int | None = None) -> Any:
    """The learner for a task that a line of text names, with options other than its own.

    Args:
      text: ``name`` or ``name(option=value, ...)``, the name being one of `LEARNERS`.
      task: what it is to live: its sizes, its loss and its lifespan.
      hidden: hidden nodes, where the text does not say; None: the learner's own number.

    Raises:
      ValueError, TypeError: the text cannot be read, names what is not known (the nearest is
        suggested), or the learner cannot live the task.

    >>> from loopymeta import tasks
    >>> learner_of("gru(width=32, window=8)", tasks.Caesar()).window
    8
    >>> learner_of("gru(widht=32)", tasks.Caesar())
    Traceback (most recent call last):
    ValueError: unknown option of learner 'gru', 'widht'. Did you mean 'width'? Known: cell, ...
    """
    kind = check(text)
    _, options = call_of(text, "learner")
    if hidden is not None and kind.size is not None:
        options = kind.size(hidden) | options
    return kind.make(task, **options)
