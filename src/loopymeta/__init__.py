"""Meta-learning of local plasticity rules on random cyclic networks.

A loopy network is a random, cyclic, directed graph whose synapses change during its lifetime by a
local rule; loopymeta meta-learns that rule. The public names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from loopymeta import _own as _own  # now: it notes when this process began
from loopymeta._version import __version__

if TYPE_CHECKING:
    from loopymeta import baselines as baselines
    from loopymeta import checkpoint as checkpoint
    from loopymeta import config as config
    from loopymeta import curriculum as curriculum
    from loopymeta import data as data
    from loopymeta import graph as graph
    from loopymeta import hebbian as hebbian
    from loopymeta import interventions as interventions
    from loopymeta import leaderboard as leaderboard
    from loopymeta import learners as learners
    from loopymeta import lifetime as lifetime
    from loopymeta import living as living
    from loopymeta import meta as meta
    from loopymeta import network as network
    from loopymeta import ngrams as ngrams
    from loopymeta import offline as offline
    from loopymeta import parameters as parameters
    from loopymeta import plots as plots
    from loopymeta import progress as progress
    from loopymeta import recipes as recipes
    from loopymeta import registry as registry
    from loopymeta import rule_text as rule_text
    from loopymeta import rules as rules
    from loopymeta import runs as runs
    from loopymeta import suite as suite
    from loopymeta import sweep as sweep
    from loopymeta import tasks as tasks
    from loopymeta import testing as testing
    from loopymeta import training as training
    from loopymeta import written as written
    from loopymeta.config import NetworkConfig as NetworkConfig
    from loopymeta.config import OuterConfig as OuterConfig
    from loopymeta.config import TrainConfig as TrainConfig
    from loopymeta.config import problem_of as problem_of
    from loopymeta.graph import Graph as Graph
    from loopymeta.graph import census as census
    from loopymeta.graph import from_networkx as from_networkx
    from loopymeta.graph import make_graph as make_graph
    from loopymeta.graph import make_graphs as make_graphs
    from loopymeta.hebbian import GeneralHebbian as GeneralHebbian
    from loopymeta.hebbian import as_general as as_general
    from loopymeta.lifetime import FixedTicks as FixedTicks
    from loopymeta.lifetime import Learner as Learner
    from loopymeta.lifetime import Lifetime as Lifetime
    from loopymeta.lifetime import Plastic as Plastic
    from loopymeta.lifetime import SelfPaced as SelfPaced
    from loopymeta.lifetime import live as live
    from loopymeta.meta import AntitheticES as AntitheticES
    from loopymeta.meta import Evolution as Evolution
    from loopymeta.meta import Gradient as Gradient
    from loopymeta.meta import Persistent as Persistent
    from loopymeta.meta import Problem as Problem
    from loopymeta.meta import evaluate as evaluate
    from loopymeta.network import Innate as Innate
    from loopymeta.network import LoopyNetwork as LoopyNetwork
    from loopymeta.network import NetworkState as NetworkState
    from loopymeta.network import Teaching as Teaching
    from loopymeta.recipes import recipe as recipe
    from loopymeta.registry import make_rule as make_rule
    from loopymeta.rules import Rule as Rule
    from loopymeta.rules import Synapse as Synapse
    from loopymeta.tasks import TASKS as TASKS
    from loopymeta.tasks import make_task as make_task
    from loopymeta.training import evaluate_rule as evaluate_rule
    from loopymeta.training import read_rule as read_rule
    from loopymeta.training import resume as resume
    from loopymeta.training import train as train
    from loopymeta.written import Written as Written

_HOMES = {
    "config": ("NetworkConfig", "OuterConfig", "TrainConfig", "problem_of"),
    "graph": ("Graph", "census", "from_networkx", "make_graph", "make_graphs"),
    "hebbian": ("GeneralHebbian", "as_general"),
    "lifetime": ("FixedTicks", "Learner", "Lifetime", "Plastic", "SelfPaced", "live"),
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
_MODULES = (
    "baselines",
    "checkpoint",
    "config",
    "curriculum",
    "data",
    "graph",
    "hebbian",
    "interventions",
    "leaderboard",
    "learners",
    "lifetime",
    "living",
    "meta",
    "network",
    "ngrams",
    "offline",
    "parameters",
    "plots",
    "progress",
    "recipes",
    "registry",
    "rule_text",
    "rules",
    "runs",
    "suite",
    "sweep",
    "tasks",
    "testing",
    "training",
    "written",
)

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
