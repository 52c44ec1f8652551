"""The sequence task suite: each task samples whole lifetimes and scores what came of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from loopymeta import _validate
from loopymeta.tasks.base import Episode, Outcome, Spec, Task
from loopymeta.tasks.language import NAME_SYMBOLS, Caesar, Names, Text, decode, encode
from loopymeta.tasks.memory import (
    Delay,
    Longest,
    Memorize,
    Reversal,
    longest_recalled,
    period_recall,
    suffix_match_recall,
)

TASKS: dict[str, type] = {
    "memorize": Memorize,
    "delay": Delay,
    "reversal": Reversal,
    "names": Names,
    "text": Text,
    "caesar": Caesar,
}
"""Every task by name."""


def make_task(name: str, **options: Any) -> Task:
    """A task by its name, with options other than the defaults.

    Raises:
      ValueError: for an unknown task or option (the nearest is suggested) or a bad value.

    >>> make_task("reversal", n=2).n
    2
    >>> make_task("revursal")
    Traceback (most recent call last):
    ValueError: unknown task 'revursal'. Did you mean 'reversal'? Known: caesar, delay, ...
    """
    if name not in TASKS:
        raise _validate.unknown("task", name, TASKS)
    known = [field.name for field in dataclasses.fields(TASKS[name])]
    for option in options:
        if option not in known:
            raise _validate.unknown(f"option of task {name!r},", option, known)
    return TASKS[name](**options)


__all__ = [
    "NAME_SYMBOLS",
    "TASKS",
    "Caesar",
    "Delay",
    "Episode",
    "Longest",
    "Memorize",
    "Names",
    "Outcome",
    "Reversal",
    "Spec",
    "Task",
    "Text",
    "decode",
    "encode",
    "longest_recalled",
    "make_task",
    "period_recall",
    "suffix_match_recall",
]
