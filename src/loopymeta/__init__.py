"""Meta-learning of local plasticity rules on random cyclic networks.

A loopy network is a random, cyclic, directed graph whose synapses change during its lifetime by a
local rule; loopymeta meta-learns that rule. The public names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from loopymeta._version import __version__

if TYPE_CHECKING:
    from loopymeta import (
        data as data,
        graph as graph,
        hebbian as hebbian,
        plots as plots,
        rules as rules,
        tasks as tasks,
        testing as testing,
    )
    from loopymeta.config import NetworkConfig, OuterConfig, TrainConfig, problem_of
    from loopymeta.graph import Graph, census, from_networkx, make_graph, make_graphs
    from loopymeta.hebbian import GeneralHebbian, as_general
    from loopymeta.lifetime import FixedTicks, Learner, Lifetime, Plastic, live
    from loopymeta.meta import AntitheticES, Evolution, Gradient, Persistent, Problem, evaluate
    from loopymeta.network import Innate, LoopyNetwork, NetworkState, Teaching
    from loopymeta.recipes import recipe
    from loopymeta.registry import make_rule
    from loopymeta.rules import Rule, Synapse
    from loopymeta.tasks import TASKS, make_task
    from loopymeta.training import evaluate_rule, read_rule, resume, train
    from loopymeta.written import Written

_HOMES = {
    "config": ("NetworkConfig", "OuterConfig", "TrainConfig", "problem_of"),
    "graph": ("Graph", "census", "from_networkx", "make_graph", "make_graphs"),
    "hebbian": ("GeneralHebbian", "as_general"),
    "lifetime": ("FixedTicks", "Learner", "Lifetime", "Plastic", "live"),
    "meta": ("AntitheticES", "Evolution", "Gradient", "Persistent", "Problem", "evaluate"),
    "network": ("Innate", "LoopyNetwork", "NetworkState", "Teaching"),
    "recipes": ("recipe",),
    "registry": ("make_rule",),
    "rules": ("Rule", "Synapse"),
    "tasks": ("TASKS", "make_task"),
    "training": ("evaluate_rule", "read_rule", "resume", "train"),
    "written": ("Written",),
}
_NAMES = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("data", "graph", "hebbian", "plots", "rules", "tasks", "testing")

__all__ = ["__version__", "key", *_MODULES, *sorted(_NAMES)]


def key(seed: int) -> Any:
    """A random key: ``jax.random.key(seed)``."""
    import jax

    return jax.random.key(seed)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(f"loopymeta.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"loopymeta.{name}")
    else:
        raise AttributeError(f"module 'loopymeta' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
