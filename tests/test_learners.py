"""The baseline learners: recurrent networks under truncated backpropagation, and the reservoir."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import some_fast

from loopymeta import tasks
from loopymeta.learners import LEARNING_RATES, OnlineRNN, by_name, decaying_delta, reservoir
from loopymeta.learners.optimizers import transformation
from loopymeta.lifetime import Learner, Lifetime
from loopymeta.network import Teaching
from loopymeta.parameters import from_search, to_search
from loopymeta.rules import Delta
from loopymeta.tasks import Caesar, Reversal, Spec
from loopymeta.tasks.base import FREEZE, stream_episode

SPEC = Spec(num_inputs=5, num_outputs=5, length=400, chance=0.2)


@dataclasses.dataclass(frozen=True)
class Cycle:
    """0 1 2 3 4 0 1 ...: the next symbol; frozen before symbol ``frozen_until``."""

    length: int = 400
    frozen_until: int = 0
    taught_every: int = 1

    @property
    def spec(self):
        return dataclasses.replace(SPEC, length=self.length)

    def sample(self, key):
        time = jnp.arange(self.length) + jax.random.randint(key, (), 0, 5)
        place = jnp.arange(self.length)
        return stream_episode(
            time % 5,
            (time + 1) % 5,
            taught=place % self.taught_every == 0,
            frozen=place < self.frozen_until,
        )

    def score(self, outcome, episode):
        return {
            "loss": outcome.loss.mean(),
            "early": outcome.correct[: max(self.frozen_until, 1)].mean(),
            "late": outcome.correct[-50:].mean(),
        }


@pytest.mark.parametrize("wrapper", some_fast(("Garbage", "Perturbed", "Speedup"), ("Perturbed",)))
def test_learners_of_names_stay_what_they_are_when_names_are_made_harder(wrapper):
    plain = tasks.Names(symbols=300, held_out="none")
    harder = getattr(tasks, wrapper)(plain)
    assert harder.spec.text and harder.spec.boundary == 0
    for name in ("counts", "ppm"):
        assert by_name.learner_of(name, harder).boundary == 0
    memory = by_name.learner_of("plastic_memory", harder)
    assert memory.boundary == (0 if memory.continues else None)
    for name, options in (
        ("lstm", ("window", "interval", "learning_rate", "horizon")),
        ("online_rflo", ("learning_rate",)),
        ("uoro", ("learning_rate",)),
        ("hierarchical", ("learning_rate", "upper_rate", "feedback")),
    ):
        own, other = by_name.learner_of(name, plain), by_name.learner_of(name, harder)
        assert all(getattr(own, option) == getattr(other, option) for option in options)


def small(**choices):
    return OnlineRNN(5, 5, **({"width": 8, "window": 4, "lifespan": 400.0} | choices))


def symbol(k, taught=1.0, plastic=1.0):
    """The stimulus k and what is taught on it."""
    hot = jnp.eye(5)
    return hot[k % 5], Teaching(hot[(k * k + 1) % 5], taught, 0.0, plastic)


@functools.cache
def compiled(learner):
    """Birth and life of a learner, compiled once."""
    return jax.jit(learner.init), jax.jit(learner.step)


def live_symbols(learner, symbols, key=0):
    """The states after each of the symbols (first the newborn), and the predictions."""
    theta = learner.init_theta()
    birth, step = compiled(learner)
    states, predictions = [birth(jax.random.key(key), theta)], []
    for stimulus, teaching in symbols:
        state, prediction, _ = step(theta, states[-1], stimulus, teaching, jax.random.key(0))
        states.append(state)
        predictions.append(prediction)
    return states, predictions


def same(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(bool((x == y).all()) for x, y in pairs)


# --- the contract --------------------------------------------------------------------------------


def test_they_are_learners():
    assert isinstance(small(), Learner)
    assert isinstance(reservoir(SPEC, num_hidden=8), Learner)


def test_importing_them_imports_no_jax():
    code = "import sys, loopymeta.learners; assert not {'jax', 'flax', 'optax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_theta_goes_to_the_search_space_and_back():
    learner = small()
    theta, space = learner.init_theta(), learner.space()
    assert sorted(theta) == ["horizon", "learning_rate"]
    back = from_search(space, to_search(space, theta))
    for name in theta:
        np.testing.assert_allclose(back[name], theta[name], rtol=1e-5)


@pytest.mark.parametrize(("cell", "rate"), LEARNING_RATES.items())
def test_every_cell_has_its_own_learning_rate(cell, rate):
    assert float(small(cell=cell).init_theta()["learning_rate"]) == pytest.approx(rate)
    theta = small(cell=cell, learning_rate=0.3).init_theta()
    assert float(theta["learning_rate"]) == pytest.approx(0.3)


def test_for_spec_takes_sizes_loss_and_lifespan():
    spec = Spec(num_inputs=3, num_outputs=2, length=77, loss="squared_error")
    learner = OnlineRNN.for_spec(spec, cell="gru")
    assert (learner.num_inputs, learner.num_outputs, learner.loss) == (3, 2, "squared_error")
    assert learner.lifespan == 77 and learner.cell == "gru"


@pytest.mark.parametrize(
    ("choices", "error", "named"),
    [
        ({"cell": "lsmt"}, ValueError, "Did you mean 'lstm'"),
        ({"optimizer": "adm"}, ValueError, "Did you mean 'adam'"),
        ({"loss": "hinge"}, ValueError, "loss"),
        ({"width": 0}, ValueError, "width"),
        ({"window": 2.5}, TypeError, "window"),
        ({"num_layers": 0}, ValueError, "num_layers"),
        ({"width": ()}, ValueError, "width"),
        ({"width": (4, 0)}, ValueError, "width"),
        ({"width": (4, 4), "num_layers": 2}, ValueError, "num_layers"),
        ({"interval": 0}, ValueError, "interval"),
        ({"interval": 5}, ValueError, "interval"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate"),
        ({"horizon": 0.0}, ValueError, "horizon"),
        ({"momentum": 1.5}, ValueError, "momentum"),
        ({"momentum": 1}, ValueError, "momentum must be less than 1"),
        ({"memory": 1.0}, ValueError, "memory must be less than 1"),
        ({"clip": -1.0}, ValueError, "clip"),
        ({"lifespan": 0.0}, ValueError, "lifespan"),
    ],
)
def test_bad_arguments_are_refused_by_name(choices, error, named):
    with pytest.raises(error, match=named):
        small(**choices)


# --- prediction and gradient ---------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_predicts_before_it_is_taught(cell):
    """What is taught at a symbol changes nothing of its own prediction, but of later ones."""
    learner = small(cell=cell, window=1)
    start, teaching = symbol(2)
    other = teaching._replace(target=jnp.eye(5)[3])
    (_, a), (_, b) = (live_symbols(learner, [(start, now), symbol(1)]) for now in (teaching, other))
    assert same(a[0], b[0])
    assert not same(a[1], b[1])


@pytest.mark.parametrize(
    ("cell", "loss", "num_layers"),
    [
        ("lstm", "cross_entropy", 1),
        ("gru", "squared_error", 1),
        ("elman", "cross_entropy", 2),
        ("lstm", "squared_error", 2),
    ],
)
def test_a_window_is_one_step_along_its_gradient(cell, loss, num_layers):
    """Plain descent: the change of weights is the gradient of the losses that were lived."""
    learner = small(
        cell=cell, loss=loss, num_layers=num_layers, optimizer="sgd", window=6, learning_rate=0.02
    )
    symbols = [symbol(k, taught=float(k % 3 != 1)) for k in range(12)]
    states, _ = live_symbols(learner, symbols)

    def mean_loss(weight, activity):
        """The second window, predicted with given weights from given activity, step by step."""
        total, count = 0.0, 0
        for stimulus, teaching in symbols[6:]:
            activity, hidden = learner._advance(weight, activity, stimulus)
            prediction = learner._read(weight, hidden)
            if loss == "cross_entropy":
                error = -(teaching.target * jax.nn.log_softmax(prediction)).sum()
            else:
                error = ((teaching.target - prediction) ** 2).sum()
            total, count = total + teaching.taught * error, count + teaching.taught
        return total / count

    before, after = states[6], states[12]
    assert same(before.weight, states[11].weight)
    gradient = jax.grad(mean_loss)(before.weight, before.activity)
    rate = learner.learning_rate / (1 + 12 / (learner.horizon * 400))
    for new, old, g in zip(
        *(jax.tree.leaves(tree) for tree in (after.weight, before.weight, gradient)), strict=True
    ):
        assert float(jnp.abs(g).max()) > 1e-4
        np.testing.assert_allclose(new - old, -rate * g, atol=1e-6)


def test_the_gradient_stops_at_the_windows_border():
    """Two symbols of memory: with a window of 1 the recurrent weights see no past input."""
    states, _ = live_symbols(small(window=1, cell="elman"), [symbol(0)])
    change = states[1].weight["cells"][0]["dense_h"]["kernel"]
    assert same(change, states[0].weight["cells"][0]["dense_h"]["kernel"])  # activity was 0
    states, _ = live_symbols(small(window=2, cell="elman"), [symbol(0), symbol(1)])
    change = states[2].weight["cells"][0]["dense_h"]["kernel"]
    assert not same(change, states[0].weight["cells"][0]["dense_h"]["kernel"])


@pytest.mark.slow
def test_adam_is_that_of_optax():
    """Over three windows, moments and the falling rate included."""
    import optax

    learner = small(window=2, learning_rate=0.05)
    symbols = [symbol(k) for k in range(6)]
    states, _ = live_symbols(learner, symbols)
    optimizer = optax.adam(1.0, b1=learner.momentum, b2=learner.memory)
    weight = states[0].weight
    moments = optimizer.init(weight)
    for k in (2, 4, 6):
        gradient = jax.grad(learner.window_loss)(weight, states[k].window)
        direction, moments = optimizer.update(gradient, moments)
        rate = 0.05 / (1 + k / (learner.horizon * 400))
        weight = jax.tree.map(lambda w, d, r=rate: w + r * d, weight, direction)
    for a, b in zip(jax.tree.leaves(weight), jax.tree.leaves(states[-1].weight), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_short_interval_reaches_back_through_the_whole_window():
    """Two losses at a time, each through four symbols, from the activity that was there."""
    learner = small(window=4, interval=2, optimizer="sgd", learning_rate=0.02, cell="elman")
    symbols = [symbol(k) for k in range(6)]
    states, _ = live_symbols(learner, symbols)

    def mean_loss(weight, start, stop):
        activity, total = states[start].activity, 0.0
        for k, (stimulus, teaching) in enumerate(symbols[start:stop], start):
            activity, hidden = learner._advance(weight, activity, stimulus)
            log_p = jax.nn.log_softmax(learner._read(weight, hidden))
            total -= (k >= stop - 2) * (teaching.target * log_p).sum() / 2
        return total

    for start, stop in ((0, 2), (0, 4), (2, 6)):  # the first one has no more than two
        before, after = states[stop - 1].weight, states[stop].weight
        gradient = jax.grad(mean_loss)(before, start, stop)
        rate = learner.learning_rate / (1 + stop / (learner.horizon * 400))
        for new, old, g in zip(
            *(jax.tree.leaves(tree) for tree in (after, before, gradient)), strict=True
        ):
            np.testing.assert_allclose(new - old, -rate * g, atol=1e-6)
        assert float(jnp.abs(gradient["cells"][0]["dense_h"]["kernel"]).max()) > 1e-4
    assert same(states[3].weight, states[2].weight)


def test_layers_may_differ_in_width():
    learner = small(width=(8, 3))
    assert learner.widths == (8, 3) and small(num_layers=2).widths == (8, 8)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    kernels = [cell["dense_i"]["kernel"].shape for cell in state.weight["cells"]]
    assert kernels == [(5, 32), (8, 12)]
    assert state.weight["readout"]["kernel"].shape == (3, 5)
    stimulus, teaching = symbol(0)
    step = lambda state: learner.step(learner.init_theta(), state, stimulus, teaching)  # noqa: E731
    shapes = lambda tree: [x.shape for x in jax.tree.leaves(tree)]  # noqa: E731
    assert shapes(jax.eval_shape(step, state)[0]) == shapes(state)


# --- optimisers ----------------------------------------------------------------------------------


def test_any_optimizer_of_optax_by_name():
    import optax

    weight, gradient = {"w": jnp.ones(3)}, {"w": jnp.array([1.0, -2.0, 0.5])}
    for name, theirs in (
        ("lion(b1=0.5)", optax.lion(1.0, b1=0.5)),
        ("adamw(weight_decay=0.1)", optax.adamw(1.0, weight_decay=0.1)),
        ("adam(b1=0.3)", optax.adam(1.0, b1=0.3)),
        ("nadam", optax.nadam(1.0)),
        (optax.nadam, optax.nadam(1.0)),
        ("adam", optax.adam(1.0, b1=0.5, b2=0.999)),  # the two that are fields of a learner
    ):
        ours = transformation(name)
        steps = [each.update(gradient, each.init(weight), weight)[0] for each in (ours, theirs)]
        np.testing.assert_allclose(steps[0]["w"], steps[1]["w"], rtol=1e-6)
        assert hash(small(optimizer=name)) is not None


@pytest.mark.parametrize(
    ("optimizer", "error", "named"),
    [
        ("lionn", ValueError, "Did you mean 'lion'"),
        ("lion(b3=1.0)", ValueError, "b3"),
        ("lion(0.1)", ValueError, "cannot read"),
        ("lion(b1=open('x'))", ValueError, "cannot read"),
        ("apply_updates", ValueError, "unknown optimizer"),
        ("lbfgs", ValueError, "does not work"),
        ("fromage", ValueError, "not twice as far"),
        ("rprop", ValueError, "not twice as far"),  # whose steps have bounds of their own
        ("ScaleByZoomLinesearchState", ValueError, "unknown optimizer"),
        ("scale_by_learning_rate", ValueError, "unknown optimizer"),
        (lambda rate: None, ValueError, "does not work"),
        (3, TypeError, "optimizer"),
    ],
)
def test_what_is_no_optimizer_is_refused(optimizer, error, named):
    with pytest.raises(error, match=named):
        small(optimizer=optimizer)


def test_clip_shortens_the_gradient():
    """A descent step of a clipped gradient has the length rate * clip."""
    learner = small(optimizer="sgd", clip=1e-3, learning_rate=1.0, horizon=1e6)
    states, _ = live_symbols(learner, [symbol(k) for k in range(4)])
    change = jax.tree.map(lambda a, b: a - b, states[4].weight, states[0].weight)
    norm = sum(float((c * c).sum()) for c in jax.tree.leaves(change)) ** 0.5
    assert norm == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("optimizer", ["rmsprop", "adadelta", "momentum"])
def test_every_optimizer_goes_downhill(optimizer):
    """On one window, again and again."""
    learner = small(optimizer=optimizer, learning_rate=0.01, window=5)
    states, _ = live_symbols(learner, [symbol(k) for k in range(5)] * 6)
    losses = [float(learner.window_loss(states[k].weight, states[5].window)) for k in (0, 30)]
    assert losses[1] < losses[0]


# --- frozen and untaught -------------------------------------------------------------------------


def test_frozen_symbols_change_no_weight_but_the_activity_goes_on():
    symbols = [symbol(k) for k in range(6)] + [symbol(k, plastic=0.0) for k in range(9)]
    states, predictions = live_symbols(small(), symbols)
    frozen = states[6:]
    for state in frozen:
        assert same(state.weight, frozen[0].weight)
        assert same(state.optimizer, frozen[0].optimizer)
        assert same(state.window, frozen[0].window)
        assert int(state.count) == 2
    assert not same(predictions[6], predictions[11])  # one stimulus, two histories


def test_a_window_goes_on_after_frozen_symbols():
    """The gradient does not flow through them, but starts again from the activity they left."""
    learner = small(optimizer="sgd", learning_rate=0.02)
    symbols = [symbol(0), symbol(1), symbol(2, plastic=0.0), symbol(3), symbol(4)]
    states, _ = live_symbols(learner, symbols)

    def mean_loss(weight):
        total = 0.0
        for first in (0, 3):
            activity = states[first].activity
            for stimulus, teaching in symbols[first : first + 2]:
                activity, hidden = learner._advance(weight, activity, stimulus)
                log_p = jax.nn.log_softmax(learner._read(weight, hidden))
                total -= (teaching.target * log_p).sum() / 4
        return total

    gradient = jax.grad(mean_loss)(states[0].weight)
    rate = learner.learning_rate / (1 + 5 / (learner.horizon * 400))
    for new, old, g in zip(
        *(jax.tree.leaves(t) for t in (states[5].weight, states[0].weight, gradient)), strict=True
    ):
        np.testing.assert_allclose(new - old, -rate * g, atol=1e-6)


def test_untaught_windows_change_nothing_and_untaught_targets_are_not_seen():
    states, _ = live_symbols(small(), [symbol(k) for k in range(4)])
    assert not same(states[4].weight, states[0].weight)
    untaught = [symbol(k) for k in range(4)] + [symbol(k, taught=0.0) for k in range(4)]
    states, _ = live_symbols(small(), untaught)
    assert same(states[8].weight, states[4].weight)
    assert same(states[8].optimizer, states[4].optimizer)

    stimulus, teaching = symbol(1, taught=0.0)
    finals = []
    for target in (jnp.eye(5)[0], jnp.full(5, jnp.nan)):
        hidden = (stimulus, teaching._replace(target=target))
        states, _ = live_symbols(small(), [symbol(0), hidden, symbol(2), symbol(3)])
        finals.append(states[-1].weight)
    assert same(*finals)


# --- learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_learns_a_cycle_but_not_while_frozen(cell):
    """All it knows after the frozen part it was born with; after the other part it knows all."""
    learner = small(cell=cell, width=16, learning_rate=0.03)
    lifetime = Lifetime(learner, Cycle(length=600, frozen_until=200))
    _, metrics = jax.jit(lifetime)(lifetime.init_theta(), jax.random.key(1))
    assert float(metrics["early"]) <= 0.5
    assert float(metrics["late"]) >= 0.99


def test_learns_from_a_third_of_the_lessons():
    learner = small(width=16, learning_rate=0.03, window=8)
    lifetime = jax.jit(Lifetime(learner, Cycle(length=800, taught_every=3)))
    assert float(lifetime(learner.init_theta(), jax.random.key(1))[1]["late"]) > 0.99


def test_learns_caesar():
    task = Caesar(symbols=1500)
    lifetime = Lifetime(OnlineRNN.for_spec(task.spec, width=32), task)
    _, metrics = jax.jit(lifetime)(lifetime.init_theta(), jax.random.key(0))
    assert float(metrics["letters_to_perfect"]) < 1400


@pytest.mark.slow
def test_vmap_is_a_loop():
    """Over lives, and over candidates."""
    learner = small(width=8)
    lifetime = Lifetime(learner, Cycle(length=60))
    theta = learner.init_theta()
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lifetime, in_axes=(None, 0)))(theta, keys)[0]
    alone = jax.jit(lifetime)
    apart = [alone(theta, key)[0] for key in keys]
    np.testing.assert_allclose(together, jnp.stack(apart), rtol=1e-4)
    rates = jnp.array([0.001, 0.01, 0.1])
    thetas = {"learning_rate": rates, "horizon": jnp.full(3, learner.horizon)}
    together = jax.jit(lifetime.population)(thetas, keys[0])[0]
    apart = [alone(theta | {"learning_rate": rate}, keys[0])[0] for rate in rates]
    np.testing.assert_allclose(together, jnp.stack(apart), rtol=1e-4)
    assert len({float(loss) for loss in together}) == 3


def test_vmap_still_learns_at_window_ends_only():
    """The branch stays a branch: were it a select, every symbol would cost a window's gradient."""
    lifetime = Lifetime(small(), Cycle(length=20))
    theta, keys = lifetime.init_theta(), jax.random.split(jax.random.key(0), 3)
    thetas = jax.tree.map(lambda x: jnp.stack([x, x]), theta)

    def branches(function, axes, *arguments):
        return str(jax.make_jaxpr(jax.vmap(function, axes))(*arguments)).count("cond[")

    for axes, arguments in (((None, 0), (theta, keys)), ((0, None), (thetas, keys[0]))):
        at_birth = branches(lifetime.start, axes, *arguments)
        assert branches(lifetime, axes, *arguments) > at_birth


def test_compiles_once():
    learner = small()
    traces = []

    @jax.jit
    def step(theta, state, stimulus, teaching, key):
        traces.append(1)
        return learner.step(theta, state, stimulus, teaching, key)

    theta, key = learner.init_theta(), jax.random.key(0)
    state = learner.init(key, theta)
    for k in range(9):
        stimulus, teaching = symbol(k)
        teaching = jax.tree.map(jnp.asarray, teaching)
        state, _, _ = step(theta, state, stimulus, teaching, key)
    assert len(traces) == 1


@pytest.mark.slow
def test_meta_gradient_flows_to_theta():
    """The loss of a lifetime has a derivative by the learning rate: that of finite differences."""
    learner = small(optimizer="sgd", window=4)
    lifetime = jax.jit(
        lambda rate: Lifetime(learner, Cycle(length=40))(
            {"learning_rate": rate, "horizon": jnp.asarray(0.5)}, jax.random.key(0)
        )[0]
    )
    slope = jax.grad(lifetime)(0.1)
    apart = (lifetime(0.11) - lifetime(0.09)) / 0.02
    assert slope < 0
    np.testing.assert_allclose(slope, apart, rtol=0.05)


# --- the reservoir -------------------------------------------------------------------------------


def test_only_the_reservoirs_outputs_learn():
    learner = reservoir(SPEC, num_hidden=20, num_graphs=2)
    states, _ = live_symbols(learner, [symbol(k) for k in range(5)])
    before, after = states[0].network.weight, states[-1].network.weight
    assert same(before.memory, after.memory)
    assert after.hidden.size == 0
    assert not same(before.output, after.output)


def test_reservoir_is_born_with_the_gain_asked_for():
    learner = reservoir(SPEC, num_hidden=200, gain=1.3)
    weight = learner.init(jax.random.key(0), learner.init_theta()).network.weight.memory
    radius = np.abs(np.linalg.eigvals(np.asarray(weight)[:, 6:206])).max()
    # The radius of such a matrix is 1.3 up to fluctuations of order 1 / sqrt(200).
    assert 1.15 < radius < 1.45


def test_reservoir_recalls_a_symbol():
    """The nearest mirrored letter lies 2 symbols back: no node but a recurrent one knows it."""
    task = Reversal(n=2, sequences=1500)
    lifetime = Lifetime(reservoir(task.spec, num_hidden=128), task)
    _, metrics = jax.jit(lifetime)(lifetime.init_theta(), jax.random.key(0))
    assert float(metrics["recall"]) > 0.6  # 1 / 7 by guessing


def test_a_sparse_reservoir():
    spec = Reversal(n=2).spec
    stack = reservoir(spec, num_hidden=128, connectivity="fixed_in_degree", degree=8)
    assert stack.network.num_edges[0] == 128 * (8 + spec.num_inputs + 1)


def test_decaying_delta_is_delta_at_birth_and_falls():
    choices = {"num_hidden": 8, "seed": 1}
    spec = dataclasses.replace(SPEC, length=10)
    changes = []
    for rule in (Delta(eta=1.0), decaying_delta(1.0, horizon=0.1)):
        states, _ = live_symbols(reservoir(spec, rule=rule, **choices), [symbol(0), symbol(1)])
        weights = [state.network.weight.output for state in states]
        changes.append([b - a for a, b in itertools.pairwise(weights)])
    (first, second), (decayed_first, decayed_second) = changes
    np.testing.assert_allclose(decayed_first, first, atol=1e-6)
    # One tick of ten has passed: the part of the lifespan after which the rate is halved.
    np.testing.assert_allclose(decayed_second, second / 2, atol=1e-6)


def test_freeze_holds_the_reservoir_too():
    assert FREEZE == 1
    states, _ = live_symbols(reservoir(SPEC, num_hidden=8), [symbol(0, plastic=0.0)])
    assert same(states[0].network.weight, states[1].network.weight)


@pytest.mark.parametrize(
    ("choices", "error"),
    [
        ({"num_hidden": 0}, ValueError),
        ({"connectivity": "complet"}, ValueError),
        ({"gain": -1.0}, ValueError),
        ({"rule": "delta"}, TypeError),
    ],
)
def test_bad_reservoirs_are_refused(choices, error):
    with pytest.raises(error):
        reservoir(SPEC, **choices)
