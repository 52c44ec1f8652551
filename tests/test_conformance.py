"""Every registered task, and every kind of learner on both losses, keeps its contract."""

from __future__ import annotations

import functools

import jax
import pytest
from conftest import some_fast

from loopymeta import NetworkConfig, data, learners, rules
from loopymeta.learners import OnlineNGram, OnlineRNN, reservoir
from loopymeta.lifetime import Learner
from loopymeta.suite import SUITE_QUICK
from loopymeta.tasks import TASKS, Henon, Memorize, Task
from loopymeta.testing import check_learner, check_task

SMALL = {type(entry.task): entry.task for entry in SUITE_QUICK.values()}
"""A small task of each kind: those of the quick suite."""


class Compiled:
    """A task whose methods are compiled, since one operation after another takes seconds."""

    def __init__(self, task: Task) -> None:
        self.spec = task.spec
        self.sample = jax.jit(task.sample)
        self.score = jax.jit(task.score)


@pytest.mark.parametrize("name", some_fast(TASKS, ("caesar", "henon")))
def test_every_task_conforms(name):
    task = SMALL.get(TASKS[name]) or TASKS[name]()
    assert isinstance(task, Task)
    try:
        check_task(Compiled(task), num_lifetimes=1)
    except data.DataError as missing:
        pytest.skip(str(missing))


def plastic(spec, **choices) -> Learner:
    sizes = {"num_hidden": 8, "num_graphs": 2, "rule": rules.RFLO(eta=0.05)}
    return NetworkConfig(**sizes | choices).build(spec)


LEARNERS = {
    "lstm": lambda spec: OnlineRNN.for_spec(spec, cell="lstm", width=8, window=4),
    "gru": lambda spec: OnlineRNN.for_spec(spec, cell="gru", width=8, window=4),
    "elman": lambda spec: OnlineRNN.for_spec(spec, cell="elman", width=8, window=4),
    "reservoir": lambda spec: reservoir(spec, num_hidden=8),
    "fixed ticks": functools.partial(plastic, ticks=3),
    "self-paced": functools.partial(plastic, max_ticks=3),
    "self-paced reservoir": functools.partial(
        plastic, num_memory=8, num_hidden=0, max_ticks=2, output_rule=rules.Delta()
    ),
    "counts": lambda spec: OnlineNGram(spec.num_inputs, spec.num_outputs, order=2),
}
LIVED = {"symbols": Memorize(length=4, alphabet=4, presentations=3), "vectors": Henon(symbols=20)}
PAIRS = {f"{name}, {kind}": (name, kind) for name in LEARNERS for kind in LIVED}
PAIRS.pop("counts, vectors")  # there is nothing to count


@pytest.mark.parametrize("pair", some_fast(PAIRS, ("counts, symbols",)))
def test_every_learner_conforms(pair):
    name, kind = PAIRS[pair]
    task = LIVED[kind]
    learner = LEARNERS[name](task.spec)
    assert isinstance(learner, Learner)
    check_learner(learner, task)


def test_no_kind_of_learner_is_left_out():
    """What `loopymeta.learners` offers is among those that are checked."""
    offered = {name for name in learners.__all__ if isinstance(getattr(learners, name), type)}
    states = {"CountState", "RNNState", "Window"}
    assert offered - states == {"OnlineNGram", "OnlineRNN"}
