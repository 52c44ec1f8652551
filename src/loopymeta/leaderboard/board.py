"""The board, plain data: figures of cells, held against floors, chance and the rival."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loopymeta import _validate, runs
from loopymeta.leaderboard.cells import CELL_VERSION, HOST_CELL_VERSION, Result
from loopymeta.leaderboard.entrants import CHANCE, RIVAL, Entrant
from loopymeta.suite import Entry

CHANCE_OF_ALARM = 0.001
"""How often a learner that is exactly at its floor may be taken for one below it."""
CHANCE_OF_CLEAR = 0.05
"""How often two equal learners may be called clearly different on a task."""


def figures(
    entrants: Sequence[Entrant],
    entries: Mapping[str, Entry],
    results: Mapping[tuple[str, str], Result],
    *,
    seeds: int,
    seed: int,
) -> dict[str, Any]:
    """The leaderboard from the results of its cells, (entry, entrant) -> result.

    Of each cell: the ``status`` (``ok``; ``below floor``; ``not finite``; ``unable``; ``failed``),
    and where it is ok ``mean``, ``spread`` (standard deviation over seeds) and ``score``, 0 at
    chance and 1 at the best figure that can be (where that is not known: at the best one here).
    """
    cells = []
    for name, entry in entries.items():
        row = [_figure(entry, name, entrant, results[name, entrant.name]) for entrant in entrants]
        _score(entry, row)
        cells += row
    return runs.to_dict(
        {
            "about": {
                "seeds": seeds,
                "seed": seed,
                "spread": "standard deviation over seeds",
                "cell_version": CELL_VERSION,
                "host_cell_version": HOST_CELL_VERSION,
                "versions": runs.versions(),
                "cell_seconds": sum(c.get("seconds", 0) + c.get("compile", 0) for c in cells),
            },
            "entrants": [
                {
                    "name": e.name,
                    "kind": e.kind,
                    "rule": e.rule,
                    "control": e.control,
                    "hidden": _hidden(e),
                }
                for e in entrants
            ],
            "tasks": [
                {
                    "name": name,
                    "family": entry.family,
                    "metric": entry.metric,
                    "higher_is_better": entry.higher_is_better,
                    "best": entry.best,
                    "floor": entry.task.spec.floor,
                    "symbols": entry.task.spec.length,
                    "task": entry.task,
                }
                for name, entry in entries.items()
            ],
            "cells": cells,
            "against": _against(entrants, entries, cells),
        }
    )


def _figure(entry: Entry, name: str, entrant: Entrant, result: Result) -> dict[str, Any]:
    """What a table says of one cell."""
    cell: dict[str, Any] = {"task": name, "entrant": entrant.name, "status": result["status"]}
    if result["status"] != "ok":
        return cell | {"reason": result["reason"]}
    if entry.metric not in result["metrics"]:
        error = _validate.unknown(f"metric of {name},", entry.metric, result["metrics"])
        return cell | {"status": "failed", "reason": str(error)}
    values = np.array(result["metrics"][entry.metric], float)
    losses = np.array(result["metrics"]["loss"], float)
    seconds = result["seconds"]
    cell |= {
        "values": values.tolist(),
        "losses": losses.tolist(),
        "seconds": seconds,
        "compile": result["compile_seconds"],
        "symbols_per_second": result["symbols"] * len(values) / max(seconds, 1e-9),
    }
    if not (np.isfinite(values).all() and np.isfinite(losses).all()):
        reason = f"{entry.metric} or loss is not finite in some lifetime"
        return cell | {"status": "not finite", "reason": reason}
    if below_floor(losses, entry.task.spec.floor):
        reason = f"its loss {losses.mean():.6g} is below the floor {entry.task.spec.floor:.6g}"
        return cell | {"status": "below floor", "reason": reason}
    return cell | {"mean": values.mean(), "spread": values.std(ddof=1)}


def below_floor(losses: np.ndarray, floor: float | None) -> bool:
    """Whether losses [B] are below what can be: by more than chance would have it.

    One-sided t test at `CHANCE_OF_ALARM`, and 1e-6 for the last digits.

    >>> below_floor(np.array([0.1, 0.1]), 0.5), below_floor(np.array([0.4, 0.7]), 0.6)
    (True, False)
    """
    if floor is None:
        return False
    return bool(losses.mean() < floor - _margin(losses, CHANCE_OF_ALARM) - 1e-6)


def _margin(values: np.ndarray, tail: float) -> float:
    """What the mean of normal values [B] exceeds its expectation by with probability ``tail``."""
    from scipy import stats

    num = len(values)
    return float(stats.t.ppf(1 - tail, num - 1) * values.std(ddof=1) / math.sqrt(num))


def _score(entry: Entry, row: list[dict[str, Any]]) -> None:
    """Adds to each cell of a task its place between chance and the best."""
    means = {cell["entrant"]: cell["mean"] for cell in row if "mean" in cell}
    if CHANCE not in means:
        return
    top = max(means.values()) if entry.higher_is_better else min(means.values())
    span = (top if entry.best is None else entry.best) - means[CHANCE]
    # Where nobody could be better than chance there is nothing to place.
    if span > 0 if entry.higher_is_better else span < 0:
        for cell in row:
            if "mean" in cell:
                cell["score"] = (cell["mean"] - means[CHANCE]) / span


def _against(
    entrants: Sequence[Entrant], entries: Mapping[str, Entry], cells: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Each rule against the rival, on the tasks where both have an honest figure."""
    values = {(c["task"], c["entrant"]): np.array(c["values"]) for c in cells if "mean" in c}
    found = []
    for entrant in entrants:
        if entrant.control != "none":
            continue
        wins, losses, clear, tasks = [], [], [], 0
        for name, entry in entries.items():
            if (name, entrant.name) not in values or (name, RIVAL) not in values:
                continue
            tasks += 1
            gain = values[name, entrant.name] - values[name, RIVAL]
            gain = gain if entry.higher_is_better else -gain
            if gain.mean() == 0:
                continue
            (wins if gain.mean() > 0 else losses).append(name)
            if abs(gain.mean()) > _margin(gain, CHANCE_OF_CLEAR / 2):
                clear.append(name)
        found.append(
            {
                "rule": entrant.name,
                "rival": RIVAL,
                "tasks": tasks,
                "wins": wins,
                "losses": losses,
                "clear": clear,
            }
        )
    return found


def verdicts(board: Mapping[str, Any]) -> list[str]:
    """A sentence for each rule: on how many tasks it beats the rival, where, and where not."""

    def listed(names: Sequence[str], clear: Sequence[str]) -> str:
        return ", ".join(n if n in clear else f"({n})" for n in names) or "nowhere"

    return [
        f"{each['rule']} beats {each['rival']} on {len(each['wins'])} of {each['tasks']} "
        f"task{'s' * (each['tasks'] != 1)}, on "
        f"{len(set(each['wins']) & set(each['clear']))} clearly (paired t test, "
        f"{CHANCE_OF_CLEAR:.0%} a task; in brackets what is not). "
        f"Wins: {listed(each['wins'], each['clear'])}. "
        f"Loses: {listed(each['losses'], each['clear'])}."
        for each in board["against"]
    ]


def _hidden(entrant: Entrant) -> int | None:
    """Hidden units that were asked for: of a rule's network, or of a learner that has such."""
    if entrant.network is None:
        return entrant.hidden
    return entrant.network.num_hidden or entrant.network.num_memory


def sizes(board: Mapping[str, Any]) -> str:
    """How many hidden units everyone has, in a line.

    >>> sizes({"entrants": [{"kind": "rule", "hidden": 32}, {"kind": "learner", "hidden": None}]})
    'Hidden units: 32 in networks of rules; learners have their own number.'
    """
    found: dict[str, list[int]] = {"rule": [], "learner": []}
    for entrant in board["entrants"]:
        # Figures that were written down before this was told do not say.
        if entrant["kind"] in found and entrant.get("hidden") is not None:
            found[entrant["kind"]].append(entrant["hidden"])
    rules, learners = (" or ".join(map(str, sorted(set(each)))) for each in found.values())
    parts = [f"{rules} in networks of rules"] if rules else []
    own = f"{learners} in learners whose name says no other" if learners else ""
    return f"Hidden units: {'; '.join([*parts, own or 'learners have their own number'])}."
