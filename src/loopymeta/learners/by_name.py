"""Learners by name, for the command line and for configurations: ``lstm(width=64)``."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from loopymeta import _validate
from loopymeta.learners._text import call_of
from loopymeta.learners.counts import OnlineNGram
from loopymeta.learners.hierarchical import HierarchicalLSTM
from loopymeta.learners.in_context import InContextRNN
from loopymeta.learners.recurrent import OnlineRNN
from loopymeta.learners.reservoir import reservoir
from loopymeta.lifetime import Learner
from loopymeta.tasks.base import Task


def _lstm(task: Task, **options: Any) -> Learner:
    from loopymeta.baselines import online_lstm

    tuned: Any = online_lstm(task)
    return dataclasses.replace(tuned, **options)


def _for_spec(kind: Any, task: Task, **options: Any) -> Learner:
    return kind.for_spec(task.spec, **options)


def _with(kind: Any, make: Any = None, **fixed: Any) -> tuple[Callable[..., Learner], Any]:
    """(task -> learner, where its options are named)."""
    return functools.partial(make or functools.partial(_for_spec, kind), **fixed), kind


_MAKERS: Mapping[str, tuple[Callable[..., Learner], Any]] = {
    "lstm": _with(OnlineRNN, _lstm),
    "gru": _with(OnlineRNN, cell="gru"),
    "elman": _with(OnlineRNN, cell="elman"),
    "hierarchical": _with(HierarchicalLSTM),
    "in_context": _with(InContextRNN),
    "counts": _with(OnlineNGram, OnlineNGram.for_task),
    "reservoir": _with(reservoir, lambda task, **options: reservoir(task.spec, **options)),
}
NAMES = tuple(_MAKERS)
"""Names of learners that `learner_of` makes."""
_SIZES = ("spec", "num_inputs", "num_outputs", "loss", "parallel")


def check(text: str) -> None:
    """Refuses a text that names no learner, or an option that it does not have."""
    name, options = call_of(text, "learner")
    if name not in _MAKERS:
        raise _validate.unknown("learner", name, NAMES)
    known = [each for each in inspect.signature(_MAKERS[name][1]).parameters if each not in _SIZES]
    for option in options:
        if option not in known:
            raise _validate.unknown(f"option of learner {name!r},", option, known)


def learner_of(text: str, task: Task) -> Learner:
    """The learner for a task that a line of text names, with options other than its own.

    Args:
      text: ``name`` or ``name(option=value, ...)``, the name being one of `NAMES`.
      task: what it is to live: its sizes, its loss and its lifespan.

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
    check(text)
    name, options = call_of(text, "learner")
    return _MAKERS[name][0](task, **options)
