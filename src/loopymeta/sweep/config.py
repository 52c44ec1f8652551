"""What a sweep is made of, and the file that says so."""

from __future__ import annotations

import collections
import json
import os
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from loopymeta import _own, _validate, runs
from loopymeta.checkpoint import write_atomic
from loopymeta.config import NetworkConfig
from loopymeta.learners import by_name
from loopymeta.network import Innate
from loopymeta.rule_text import task_from_text
from loopymeta.rules import RFLO, Delta
from loopymeta.sweep.learners import NamedLearner
from loopymeta.sweep.networks import Networks
from loopymeta.sweep.space import Varied
from loopymeta.sweep.subjects import Subject, SweepError

FORMAT, VERSION = "loopymeta-sweep", 1


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
    >>> SweepConfig(learner="ppm", vary=("order=2..6",)).space()
    {'order': Range(name='order', low=2.0, high=6.0, whole=True)}
    """

    tasks: tuple[str, ...] = TASK_TEXTS
    """Tasks as text, e.g. "memorize(length=6)", lived in this order: the cheap ones first."""
    vary: tuple[str, ...] = VARY
    """What varies: NAME=LOW..HIGH (by the logarithm where HIGH is 8 times LOW) or NAME=A,B,..."""
    network: NetworkConfig = field(default_factory=default_network)
    """All that does not vary, where networks are swept."""
    learner: str | None = None
    """A learner by name, with the options that do not vary: "gru(width=64)". It is then swept, and
    not networks; what varies are its options."""
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
        if self.learner is not None:
            self._check_learner(NamedLearner(self.learner))
        self.space()

    def _check_learner(self, learner: NamedLearner) -> None:
        if self.network != default_network():
            raise ValueError(
                f"{learner.name} is swept instead of networks: leave network out; options that do "
                "not vary stand behind its name, as in 'lstm(width=64)'"
            )
        if self.vary == VARY:
            raise ValueError(
                f"vary (--vary) must say what of {learner.name} varies. Known: {learner.known()}"
            )

    def space(self) -> dict[str, Varied]:
        """What varies, by name."""
        return self.subject().space(self.vary)

    def subject(self) -> Subject:
        """All that does not vary."""
        return Networks(self.network) if self.learner is None else NamedLearner(self.learner)


def read_config(folder: str | os.PathLike[str]) -> SweepConfig:
    """The configuration of a sweep, from its folder.

    Raises:
      RunError, ConfigError, SweepError: the folder is no sweep's, or its sweep.json is damaged.
    """
    return runs.from_dict(read_sweep(folder)["config"], _types(), kind=SweepConfig)


def _types() -> list[type]:
    from loopymeta.training import config_types

    return [SweepConfig, *config_types()]


def read_sweep(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of sweep.json.

    Raises:
      RunError, SweepError: the folder is no sweep's, or its sweep.json is damaged.
    """
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


def write(path: Path, value: Any) -> None:
    """Writes a result as JSON, atomically."""
    text = json.dumps(runs.to_dict(value, path.name), indent=2, allow_nan=False)
    write_atomic(path, (text + "\n").encode())


def stored(config: SweepConfig) -> dict[str, Any]:
    """A configuration as JSON holds it: with the networks or with the learner that is swept.

    Sweeps of networks were kept in this form before there were others.
    """
    unused = "learner" if config.learner is None else "network"
    return {name: value for name, value in runs.to_dict(config).items() if name != unused}


def identity(config: SweepConfig) -> dict[str, Any]:
    """What must be the same for two processes to work on one study."""
    whole = stored(config)
    same = {k: v for k, v in whole.items() if k not in ("points", "finalists", "report")}
    own = config.learner and by_name.own_code(config.learner, task_from_text(config.tasks[0]))
    return same | {"code": _own.hash_of_code(own)} if own else same
