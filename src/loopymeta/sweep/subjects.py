"""What it takes to be swept: networks do, and learners by name.

A subject is a frozen value, all that does not vary. It says which names may vary and what kind each
is, what it is at a point, how it lives a task, and what is written of the best one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from loopymeta.lifetime import Lifetime
from loopymeta.sweep.space import Varied
from loopymeta.tasks.base import Task

IMPOSSIBLE = (ValueError, TypeError, MemoryError, OverflowError)
"""What refuses a subject while its lifetime is made: the point cannot be, the sweep goes on."""


class SweepError(ValueError):
    """A sweep that cannot go on as asked; the message says what to do."""


def reason_of(error: BaseException) -> str:
    """Why something cannot be, in a line."""
    return " ".join(str(error).split()) or type(error).__name__


class Subject(Protocol):
    """What a sweep varies."""

    @property
    def noun(self) -> str:
        """What one of it is called."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """The files that `write` writes."""
        ...

    @property
    def short(self) -> int:
        """Symbols up to which compiling it without optimisation saves more than it costs."""
        ...

    def space(self, texts: Sequence[str]) -> dict[str, Varied]:
        """What varies, by name, in the order in which it must be drawn.

        Raises:
          ValueError: a name is unknown or given twice, or a value cannot be.
        """
        ...

    def suggest(self, trial: Any, varied: Mapping[str, Varied]) -> dict[str, Any]:
        """The values of an Optuna trial."""
        ...

    def at(self, values: Mapping[str, Any]) -> Subject:
        """Itself with the values of a point.

        Raises:
          ValueError, TypeError: a value cannot be.
        """
        ...

    def life(self, task: Task, seed: int) -> Lifetime:
        """Its lifetime on a task; ``seed`` is that of what is drawn before birth, such as graphs.

        Raises:
          IMPOSSIBLE: it cannot live the task, or is larger than the memory.
        """
        ...

    def check(self, tasks: Mapping[str, Task], varied: Mapping[str, Varied]) -> None:
        """Refuses, before anything is lived, a sweep in which no point can be, or some values.

        Raises:
          SweepError: says why.
        """
        ...

    def described(self) -> dict[str, Any]:
        """What best.json says of it, under its noun."""
        ...

    def write(self, folder: Path, task: Task, chosen: Mapping[str, Any]) -> None:
        """Writes what other commands read of it; ``chosen`` says how it was."""
        ...
