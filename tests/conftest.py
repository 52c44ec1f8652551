"""What all tests share: two virtual devices, strict ranks, fixed seeds, small networks."""

from __future__ import annotations

import os

from loopymeta import _machine

# Before jax is imported: a machine of two devices, to test what is shared out over devices; and
# little optimisation, since tests compile much and compute little.
_FLAGS = f"--xla_force_host_platform_device_count=2 {_machine.hasty_flags()}"
os.environ["XLA_FLAGS"] = f"{_FLAGS} {os.environ.get('XLA_FLAGS', '')}".strip()

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta.graph import Graph, make_graph
from loopymeta.network import LoopyNetwork, Teaching

jax.config.update("jax_numpy_rank_promotion", "raise")
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=20)
hypothesis.settings.load_profile("fixed")


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", r"error:::loopymeta")


PROMOTING = ("test_tasks",)
"""Test files that still broadcast ranks, themselves or in ``tasks.language``: to be emptied."""


@pytest.fixture(autouse=True)
def ranks(request):
    """Strict ranks everywhere but in the files of `PROMOTING`."""
    loose = request.module.__name__ in PROMOTING
    with jax.numpy_rank_promotion("allow" if loose else "raise"):
        yield


@pytest.fixture
def x64():
    """Everything in float64."""
    with jax.enable_x64(True):
        yield


def some_fast(names, fast):
    """Test parameters of which all but ``fast`` are slow."""
    names, fast = list(names), tuple(fast)
    assert set(fast) <= set(names), set(fast) - set(names)
    return [pytest.param(n, marks=() if n in fast else pytest.mark.slow) for n in names]


def graph_of(edges, num_nodes: int) -> Graph:
    """A graph from (sender, receiver) pairs."""
    pairs = sorted({(receiver, sender) for sender, receiver in edges})
    place = {pair: k for k, pair in enumerate(pairs)}
    assert all(0 <= node < num_nodes for pair in pairs for node in pair)
    return Graph(
        np.array([s for _, s in pairs], np.int32),
        np.array([r for r, _ in pairs], np.int32),
        np.array([place.get((s, r), -1) for r, s in pairs], np.int32),
    )


def small(
    rule,
    *,
    inputs=3,
    hidden=6,
    outputs=2,
    degree=3,
    returns=0,
    seed=0,
    wired="fixed_in_degree",
    **choices,
):
    """(network, graph) of a few nodes; ``inputs`` does not count the constant one."""
    num_inputs = inputs + bool(choices.get("bias", True))
    sizes = {"num_inputs": num_inputs, "num_hidden": hidden, "num_outputs": outputs}
    graph = make_graph(wired, degree=degree, return_degree=returns, seed=seed, **sizes)
    return LoopyNetwork.for_graph(graph, rule, **sizes, **choices), graph


def stream(key, ticks: int, num_inputs: int, num_outputs: int):
    """Random stimuli [T, I] and one-hot targets [T, O]."""
    key_in, key_out = jax.random.split(key)
    stimuli = jax.random.normal(key_in, (ticks, num_inputs))
    classes = jax.random.randint(key_out, (ticks,), 0, num_outputs)
    return stimuli, jax.nn.one_hot(classes, num_outputs)


def run(net, theta, graph, state, stimuli, targets, *, taught=None, key=None, reward=0.0):
    """Lives through a stream: (state, predictions [T, O], weights [T, E] after each tick)."""
    wiring = net.wire(graph) if isinstance(graph, Graph) else graph
    key = jax.random.key(9) if key is None else key
    taught = jnp.ones(len(stimuli)) if taught is None else taught

    def tick(state, now):
        at, stimulus, target, taught = now
        teaching = Teaching(target, taught, reward)
        tick_key = jax.random.fold_in(key, at)
        state, prediction = net.step(theta, wiring, state, stimulus, teaching, tick_key)
        return state, (prediction, net.edge_values(wiring, state.weight))

    times = jnp.arange(len(stimuli))
    state, (predictions, weights) = jax.lax.scan(tick, state, (times, stimuli, targets, taught))
    return state, predictions, weights


def live(net, graph, *, ticks=50, theta=None, seed=0, **options):
    """A newborn of ``net`` lives through a random stream; see `run`. Only the scan is compiled."""
    theta = net.init_theta() if theta is None else theta
    stimuli, targets = stream(jax.random.key(seed + 100), ticks, net.num_stimuli, net.num_outputs)
    wiring = net.wire(graph)
    state = net.init(jax.random.key(seed), wiring, theta)
    whole = jax.jit(lambda *args: run(net, *args, **options))
    return whole(theta, wiring, state, stimuli, targets)
