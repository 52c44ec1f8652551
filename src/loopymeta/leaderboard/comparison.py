"""Every entrant on every entry: which cells are kept already, and where the others are lived."""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loopymeta import _machine, _validate, data
from loopymeta.checkpoint import make_folder
from loopymeta.leaderboard.board import figures
from loopymeta.leaderboard.cells import Cell, Result, cell_of, read_cell, write_cell
from loopymeta.leaderboard.entrants import Entrant
from loopymeta.leaderboard.life import live_cell, one_line
from loopymeta.leaderboard.workers import Workers
from loopymeta.suite import Entry


class Watcher:
    """Hears how a comparison goes on; this one says nothing."""

    def begin(self, cells: int, kept: int) -> None:
        """So many cells are asked for, of which so many are finished already."""

    def started(self, cell: Cell, process: int) -> None:
        """A cell begins, in a process."""

    def finished(self, cell: Cell, result: Result) -> None:
        """A cell is done, in whatever way."""

    def note(self, text: str) -> None:
        """Something that is worth knowing."""

    def end(self) -> None:
        """It is over, whether it is done, was stopped or failed."""


def compare(
    entrants: Sequence[Entrant],
    entries: Mapping[str, Entry],
    *,
    seeds: int = 4,
    seed: int = 0,
    out: str | os.PathLike[str] = "runs/leaderboard",
    jobs: int | None = None,
    optimise: bool = True,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Every entrant on every entry, on the same lifetimes; finished cells are not lived again.

    Args:
      entrants: from `entrants_of`; chance must be among them.
      entries: of a suite, by name.
      seeds: lifetimes, at least 2: there is no spread, and no test of a floor, without.
      seed: of the lifetimes.
      out: folder; cells are kept in its folder ``cells``.
      jobs: processes; None: one a core; 0: all in this process, one after another, as learners,
        tasks and rules of your own must be, which other processes do not know.
      optimise: False: programs are compiled in a third of the time and run slower, for the quick
        suite.
      watcher: hears of the progress.

    Returns:
      ``about``, ``entrants``, ``tasks``, ``cells`` and ``against`` (see `figures`), plain data as
      JSON holds it.

    Raises:
      ValueError, TypeError: for numbers that cannot be, and for code of your own where ``jobs`` is
        not 0. OSError: nothing can be written.
    """
    _validate.at_least("seeds", seeds, 2)
    _validate.at_least("seed", seed, 0)
    jobs = _machine.num_cores() if jobs is None else jobs
    _validate.at_least("jobs", jobs, 0)
    watcher = watcher or Watcher()
    folder = Path(out) / "cells"
    make_folder(folder)
    entries = _at_hand(entries, watcher)
    cells = [
        cell_of(entrant, name, entry, seeds, seed)
        for name, entry in entries.items()
        for entrant in entrants
    ]
    results = _kept(folder, cells, watcher)
    todo = {cell.digest: cell for cell in cells if cell.digest not in results}
    if jobs:
        _refuse_own(todo.values())
    watcher.begin(len({cell.digest for cell in cells}), len(results))
    costs: dict[str, float] = collections.defaultdict(float)
    for cell in todo.values():
        costs[cell.group] += cell.cost
    # Groups together, which share programs; the slow ones first, so that none is left at the end.
    slow_first = sorted(todo.values(), key=lambda c: (-costs[c.group], c.group, c.task, -c.cost))
    try:
        # Closed at once, so that its processes end before whatever stopped it is told.
        with contextlib.closing(_lived(slow_first, jobs, optimise, watcher)) as lived:
            for cell, result in lived:
                if result["status"] != "failed" and cell.kept:
                    write_cell(folder, cell, result)
                results[cell.digest] = result
                watcher.finished(cell, result)
    finally:
        watcher.end()
    of_cells = {(cell.task, cell.entrant): results[cell.digest] for cell in cells}
    return figures(entrants, entries, of_cells, seeds=seeds, seed=seed)


def _refuse_own(cells: Iterable[Cell]) -> None:
    """Cells for other processes must be all of the library's code, which is all that these know."""
    if names := list(dict.fromkeys(name for cell in cells for name in cell.own)):
        raise ValueError(
            f"{', '.join(map(repr, names))}: learners, rules and tasks of your own are known to "
            "this process only, so that they are lived in it: give jobs=0"
        )


def _at_hand(entries: Mapping[str, Entry], watcher: Watcher) -> dict[str, Entry]:
    """The entries whose data can be had; of the others a note."""
    found = {}
    for name, entry in entries.items():
        try:
            _ = entry.task.spec
        except data.DataError as error:
            watcher.note(f"{name} is left out: {one_line(error)}")
            continue
        found[name] = entry
    if not found:
        raise data.DataError("the data of no task could be had (see the notes)")
    return found


def _kept(folder: Path, cells: Iterable[Cell], watcher: Watcher) -> dict[str, Result]:
    """The results that are there already, by digest."""
    found = {}
    for cell in cells:
        try:
            result = found.get(cell.digest) or read_cell(folder, cell)
        except ValueError as error:
            watcher.note(f"{one_line(error)}; it is lived again")
            continue
        if result is not None:
            found[cell.digest] = result
    return found


def _lived(
    cells: Sequence[Cell], jobs: int, optimise: bool, watcher: Watcher
) -> Generator[tuple[Cell, Result], None, None]:
    """(cell, result) of each, as they are done."""
    if not jobs:
        for cell in cells:
            watcher.started(cell, os.getpid())
            yield cell, live_cell(cell.text, cell.lives, cell.network)
        return
    with Workers(cells, jobs, optimise) as workers:
        for cell, process, result in workers:
            if result is None:
                watcher.started(cell, process)
            else:
                yield cell, result
