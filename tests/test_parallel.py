"""Parallel streams: one learner, several lifetimes at once, gradients averaged."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta import _machine
from loopymeta.learners import OnlineRNN, Parallel, reservoir
from loopymeta.lifetime import Lifetime, check_memory
from loopymeta.living import live_through
from loopymeta.meta import Persistent, Problem, evaluate
from loopymeta.tasks import Spec
from loopymeta.tasks.base import stream_episode

SPEC = Spec(num_inputs=3, num_outputs=3, length=8, chance=1 / 3)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Random symbols, two of three taught, one of the last four frozen; the same in all streams if
    ``fixed``."""

    fixed: bool = False

    @property
    def spec(self):
        return SPEC

    def sample(self, key):
        key = jax.random.key(7) if self.fixed else key
        symbols = jax.random.randint(key, (9,), 0, 3)
        frozen = jnp.arange(8) == jax.random.randint(key, (), 4, 8)
        return stream_episode(symbols[:-1], symbols[1:], taught=symbols[:-1] > 0, frozen=frozen)

    def score(self, outcome, episode):
        return {"loss": outcome.loss.mean(), "each": outcome.loss}


def learner(**choices):
    return OnlineRNN.for_spec(
        SPEC, **({"cell": "elman", "width": 4, "window": 4, "optimizer": "sgd"} | choices)
    )


@functools.cache
def lived():
    """Three streams, and the states after each symbol, leaves [T, S, ...]."""
    life = Lifetime(learner(learning_rate=0.1, horizon=1e9), Drawn(), record=lambda s, _: s)
    parallel = Parallel(life, 3)
    _, metrics = jax.jit(parallel)(parallel.init_theta(), jax.random.key(1))
    return parallel, metrics["record"]


@pytest.mark.slow
def test_equal_streams_are_one_life():
    life = Lifetime(learner(), Drawn(fixed=True))
    parallel = Parallel(life, 3)
    key = jax.random.key(0)
    loss, metrics = jax.jit(parallel)(parallel.init_theta(), key)
    alone, expected = jax.jit(life)(life.init_theta(), key)
    np.testing.assert_allclose(loss, alone, rtol=1e-6)
    np.testing.assert_allclose(metrics["each"], expected["each"], rtol=1e-6)


def test_the_step_is_along_the_mean_of_the_streams_gradients():
    parallel, states = lived()
    own = parallel.learner
    before = jax.tree.map(lambda x: x[2, 0], states.weight)
    gradients = []
    for stream in range(3):
        window = jax.tree.map(lambda x, s=stream: x[3, s], states.window)
        gradients.append(jax.grad(own.window_loss)(before, window))
    for name in ("kernel", "bias"):
        mean = sum(g["readout"][name] for g in gradients) / 3
        change = states.weight["readout"][name][3, 0] - before["readout"][name]
        np.testing.assert_allclose(change, -0.1 * mean, atol=1e-6)
        assert float(jnp.abs(gradients[0]["readout"][name] - mean).max()) > 1e-3
    for leaf in jax.tree.leaves(states.weight):
        assert bool((leaf == leaf[:, :1]).all())  # one set of weights
    assert not bool((states.activity[0] == states.activity[0][:, :1]).all())


def test_all_streams_freeze_with_one():
    parallel, states = lived()
    _, episodes = parallel.start(parallel.init_theta(), jax.random.key(1))
    frozen = np.asarray(episodes.intervention)
    assert (frozen.sum(0) == 1).all() and frozen.any(1).sum() > 1
    learned = np.cumsum(~frozen.any(1)) % 4
    np.testing.assert_array_equal(states.count, np.broadcast_to(learned[:, None], (8, 3)))


def test_the_weights_are_updated_once_for_all_streams():
    """Their update stays a condition, run once for all streams and not at every symbol."""
    life = Lifetime(learner(), Drawn())
    conditions = [
        str(jax.make_jaxpr(lives)(life.init_theta(), jax.random.key(0))).count("cond[")
        for lives in (life, Parallel(life, 3))
    ]
    assert conditions[0] == conditions[1] > 0


@pytest.mark.slow
def test_it_is_an_objective_for_populations():
    parallel = Parallel(Lifetime(learner(), Drawn()), 2)
    thetas = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), parallel.init_theta())
    losses, metrics = evaluate(parallel, thetas, jax.random.split(jax.random.key(1), 2))
    assert losses.shape == (2, 2) and metrics["each"].shape == (2, 2, 8)
    assert bool(jnp.isfinite(losses).all()) and not bool((losses[0] == losses[1]).all())


@pytest.mark.slow
def test_an_outer_loop_may_live_it_in_windows():
    parallel = Parallel(Lifetime(learner(), Drawn()), 2)
    problem = Problem(parallel, parallel.init_theta(), parallel.space())
    outer = Persistent(problem, window=4, population_size=2, num_elites=1)
    state = outer.init(jax.random.key(0))
    _, metrics = jax.jit(outer.step)(jax.random.key(1), state)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(metrics))


def test_its_memory_is_that_of_all_streams(monkeypatch):
    life = Lifetime(OnlineRNN.for_spec(SPEC, width=64), Drawn())
    born = jax.eval_shape(life.start, life.init_theta(), jax.random.key(0))[0]
    one = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(born))
    monkeypatch.setattr(_machine, "memory_bytes", lambda: 6 * one)
    check_memory(life.learner, streams=2)
    with pytest.raises(ValueError, match="OnlineRNN in 8 streams takes .* or streams"):
        live_through(Parallel(life, 8), life.init_theta(), jax.random.key(0))


def test_what_cannot_be_is_refused():
    life = Lifetime(learner(), Drawn())
    with pytest.raises(ValueError, match="streams"):
        Parallel(life, 0)
    with pytest.raises(TypeError, match="lifetime must be a Lifetime"):
        Parallel(learner(), 2)
    with pytest.raises(TypeError, match="parallel streams"):
        Parallel(Lifetime(reservoir(SPEC, num_hidden=4), Drawn()), 2)
