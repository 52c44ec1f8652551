"""A cell, one entrant on one task: all that its result depends on, and the file it is kept in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

from loopymeta import _own, runs
from loopymeta._version import __version__
from loopymeta.checkpoint import write_atomic
from loopymeta.config import NetworkConfig
from loopymeta.leaderboard.entrants import Entrant
from loopymeta.suite import Entry
from loopymeta.tasks.base import Task

CELL_FORMAT = "loopymeta-cell"
CELL_VERSION = 2
"""To be raised when a change of the code changes figures: cells of other versions do not count."""
HOST_CELL_VERSION = 3
"""The same, of learners that live on the host."""

Result = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One entrant on one task.

    Attributes:
      entrant: its name.
      task: the name of the suite's entry.
      text: all that its result depends on, as canonical JSON.
      group: cells of one group share programs.
      cost: about how long it takes, in units of its own.
      own: which of the two are code that is not the library's, and known to this process only.
      kept: whether its result can be told from that of other code, so that it may be kept.
      lives, network: the task, and the networks of a rule, that the text describes.
    """

    entrant: str
    task: str
    text: str
    group: str = ""
    cost: float = 0.0
    own: tuple[str, ...] = ()
    kept: bool = True
    lives: Task | None = dataclasses.field(default=None, compare=False, repr=False)
    network: NetworkConfig | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the text: the name of its file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 of what JSON holds."""
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


def cell_of(entrant: Entrant, name: str, entry: Entry, seeds: int, seed: int) -> Cell:
    """The cell of an entrant on an entry. The entry's metric is no part of it: all are kept.

    Of the library's own code the version is part of it. Of a learner, task or rule that was written
    elsewhere it is a hash of the files in which its classes stand (those that it derives from, too)
    and the function that makes it: who changes them gets figures anew. Not noticed is what those
    files import: after a change there, take another folder. Where no file can be read, as in a
    notebook, or it was changed since this process began, the result is not kept.
    """
    content = {
        "version": CELL_VERSION if entrant.compiled else HOST_CELL_VERSION,
        "loopymeta": __version__,
        "entrant": runs.to_dict(entrant.content()),
        "settings": entrant.settings(entry.task),
        "task": runs.to_dict(entry.task, "task"),
        "seeds": seeds,
        "seed": seed,
    }
    parts = ((entrant.name, entrant.own_code(entry.task)), (name, _own.own_classes(entry.task)))
    own = [(who, code) for who, code in parts if code is not None]
    hashed = _own.hash_of_code(each for _, code in own for each in code)
    if own:  # the cells of others are named as they always were
        content["code"] = hashed or secrets.token_hex()
    spec = entry.task.spec
    group = f"{spec.num_inputs} {spec.num_outputs} {spec.length} {spec.loss}"
    return Cell(
        entrant.name,
        name,
        _canonical(content),
        group,
        _cost(entrant, entry),
        own=tuple(who for who, _ in own),
        kept=hashed is not None,
        lives=entry.task,
        network=entrant.network,
    )


def _cost(entrant: Entrant, entry: Entry) -> float:
    """About how many synapses are updated in a lifetime: what begins last should be short."""
    hidden = entrant.hidden or {"reservoir": 512, "lstm": 256, "gru": 220}.get(entrant.learner, 16)
    if entrant.network is not None:
        hidden = entrant.network.num_memory + entrant.network.num_hidden
    return 0.0 if entrant.kind == "chance" else entry.task.spec.length * float(100 + hidden) ** 2


def read_cell(folder: Path, cell: Cell) -> Result | None:
    """The result of a cell that was finished before, or None where there is none.

    Raises:
      RunError: the file is there, but damaged.
    """
    path = folder / f"{cell.digest}.json"
    if not path.exists():
        return None
    stored = runs.read_json_file(path)
    if not isinstance(stored, dict) or stored.get("format") != CELL_FORMAT:
        raise runs.RunError(f"{path} is no cell of a leaderboard")
    result = stored.get("result")
    sums = digest_of([cell.text, result])
    if stored.get("sha256") != sums:
        raise runs.RunError(f"{path} is damaged")
    return result


def write_cell(folder: Path, cell: Cell, result: Result) -> None:
    """Keeps the result of a finished cell: the file is whole, or not there."""
    stored = {
        "format": CELL_FORMAT,
        "cell": json.loads(cell.text),
        "result": result,
        "sha256": digest_of([cell.text, result]),
    }
    write_atomic(folder / f"{cell.digest}.json", (json.dumps(stored, indent=1) + "\n").encode())
