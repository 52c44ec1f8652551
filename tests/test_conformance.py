"""Every registered task, and every kind of learner on both losses, keeps its contract."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from conftest import some_fast

from loopymeta import NetworkConfig, data, learners, rules
from loopymeta.learners import HostLearner, Parallel, Recorded, by_name
from loopymeta.lifetime import Learner, Lifetime
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


def named(text: str):
    """A learner by its name."""
    return lambda task: by_name.learner_of(text, task, hidden=6)


LEARNERS = {name: named(name) for name in by_name.LEARNERS} | {
    "lstm": named("lstm(window=4)"),
    "gru": named("gru(window=4)"),
    "elman": named("elman(window=4)"),
    "hierarchical": named("hierarchical(window=4)"),
    "counts": named("counts(order=2)"),
    "fixed ticks": lambda task: plastic(task.spec, ticks=3),
    "exposed": lambda task: plastic(task.spec, exposure="as_input"),
    "self-paced": lambda task: plastic(task.spec, max_ticks=3),
    "self-paced reservoir": lambda task: plastic(
        task.spec, num_memory=8, num_hidden=0, max_ticks=2, output_rule=rules.Delta()
    ),
}
LIVED = {"symbols": Memorize(length=4, alphabet=4, presentations=3), "vectors": Henon(symbols=20)}
PAIRS = {f"{name}, {kind}": (name, kind) for name in LEARNERS for kind in LIVED}
for counting in ("counts", "ppm", "plastic_memory"):
    PAIRS.pop(f"{counting}, vectors")  # there is nothing to count

FAST = ("counts, symbols", "ppm, symbols", "exposed, symbols")


@pytest.mark.parametrize("pair", some_fast(PAIRS, FAST))
def test_every_learner_conforms(pair):
    name, kind = PAIRS[pair]
    task = LIVED[kind]
    learner = LEARNERS[name](task)
    assert isinstance(learner, (Learner, HostLearner))
    check_learner(learner, task)


WIDE = ("gru, symbols", "elman, symbols", "snap1, symbols", "elman, vectors")


@pytest.mark.parametrize("pair", some_fast(PAIRS, WIDE))
def test_every_learner_lives_in_float64_too(pair, x64):
    """All that it holds and says is in it; nothing is compiled, since types show without."""
    name, kind = PAIRS[pair]
    task = LIVED[kind]
    learner = LEARNERS[name](task)
    if isinstance(learner, HostLearner):
        pytest.skip("it computes in numpy")
    life = Lifetime(learner, task, record=lambda state, prediction: (state, prediction))
    theta = jax.eval_shape(learner.init_theta, jax.random.key(0))
    lived = jax.eval_shape(life, theta, jax.random.key(0))
    kinds = {leaf.dtype for leaf in jax.tree.leaves((theta, lived))}
    assert {kind for kind in kinds if jnp.issubdtype(kind, jnp.floating)} == {jnp.dtype("float64")}


def test_every_kind_of_learner_has_a_name():
    """What `loopymeta.learners` offers is among those that are checked."""
    task = LIVED["symbols"]
    offered = {
        kind
        for kind in (getattr(learners, name) for name in learners.__all__)
        if isinstance(kind, type) and all(hasattr(kind, each) for each in ("init_theta", "space"))
    }
    checked = {type(make(task)) for make in LEARNERS.values()}
    assert offered - checked == {HostLearner, Parallel, Recorded}
