"""Online-gradient learners: each method against backpropagation through time, where it is exact."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import some_fast

from loopymeta.learners import OnlineGradient, by_name
from loopymeta.learners.online_gradient import METHODS
from loopymeta.learners.parallel import STREAMS
from loopymeta.lifetime import Learner, Lifetime, symbol_loss
from loopymeta.network import Teaching
from loopymeta.tasks import Caesar, Henon, Memorize, Names
from loopymeta.testing import check_learner

I, O, N, T = 3, 2, 5, 12
DIAGONAL = [f"{method}, {cell}" for method in ("snap1", "eprop") for cell in ("tanh", "gru")]
BOTH = pytest.mark.parametrize("cell", ["tanh", "gru"])


def small(**choices):
    return OnlineGradient(I, O, **({"width": N, "loss": "squared_error"} | choices))


def born(learner, recurrent="all"):
    """A newborn in the present precision with random biases, and recurrent weights of a form."""
    draw = np.random.default_rng(0)
    kind = np.float64 if jax.config.jax_enable_x64 else np.float32
    # No birth of its own: that would be compiled for every learner.
    state = jax.eval_shape(learner.init, jax.random.key(0))
    state = jax.tree.map(lambda x: np.zeros(x.shape, kind), state)
    weight = jax.tree.map(lambda x: draw.normal(0, 0.5, x.shape).astype(kind), state.weight)
    kernel = weight["cells"][0]["dense_h"]["kernel"]
    kernel *= {"all": 1.3, "none": 0.0, "diagonal": np.tile(np.eye(N), kernel.shape[1] // N)}[
        recurrent
    ]
    activity = np.linspace(-0.5, 0.7, N).astype(kind)
    feedback = state.feedback
    if not isinstance(feedback, tuple):
        feedback = draw.normal(size=feedback.shape).astype(kind)
    state = state._replace(weight=weight, activity=activity, feedback=feedback)
    return jax.tree.map(jnp.asarray, state)


def stream():
    """Stimuli [T, I] and targets [T, O]."""
    draw = np.random.default_rng(1)
    return jnp.asarray(draw.normal(size=(T, I))), jnp.asarray(draw.normal(size=(T, O)))


@functools.cache
def carried(learner, wide):
    """(state, stimuli, targets, key) -> gradients, symbol by symbol, at fixed weights."""

    def run(state, stimuli, targets, key):
        def one(state, now):
            stimulus, target, key = now
            state, _, gradient = learner.look(state, stimulus, target, key)
            return state, gradient

        keys = jax.random.split(key, len(stimuli))
        return jax.lax.scan(one, state, (stimuli, targets, keys))[1]

    return jax.jit(run)


def forwards(learner, state, symbols=T):
    """The sum of the learner's gradients over the first symbols."""
    each = carried(learner, jax.config.jax_enable_x64)(state, *stream(), jax.random.key(3))
    return jax.tree.map(lambda x: x[:symbols].sum(0), each)


@functools.cache
def total(learner, wide):
    """The gradient of the losses of a stream, by backpropagation through all of it."""

    def losses(weight, activity, stimuli, targets, counts):
        def one(activity, stimulus):
            activity = learner.advance(weight, activity, stimulus)[0]
            return activity, activity @ weight["readout"]["kernel"] + weight["readout"]["bias"]

        _, said = jax.lax.scan(one, activity, stimuli)
        return (symbol_loss(said.T, targets.T, learner.loss)[0] * counts).sum()

    return jax.jit(jax.grad(losses))


def backwards(learner, state, symbols=T):
    counts = (jnp.arange(T) < symbols).astype(float)
    # The activity does not depend on the method: one program for all.
    cell = dataclasses.replace(learner, method="rtrl", feedback=None)
    gradient_of = total(cell, jax.config.jax_enable_x64)
    return gradient_of(state.weight, state.activity, *stream(), counts)


def off_by(found, exact):
    """The largest difference, leaf by leaf, over the largest number of the exact leaf."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True)
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)


def flat(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


# --- the methods ---------------------------------------------------------------------------------


@BOTH
def test_the_cells_are_those_of_flax(cell):
    learner = small(cell=cell)
    state = born(learner)
    stimulus = stream()[0][0]
    found, _, _ = jax.jit(learner.advance)(state.weight, state.activity, stimulus)
    other = jax.jit(learner._network._advance)(state.weight, [state.activity], stimulus)
    np.testing.assert_allclose(found, other[1], atol=1e-6)


@BOTH
@pytest.mark.parametrize(
    "loss", ["squared_error", pytest.param("cross_entropy", marks=pytest.mark.slow)]
)
def test_rtrl_is_backpropagation_through_time(x64, cell, loss):
    learner = small(cell=cell, method="rtrl", loss=loss)
    state = born(learner)
    for symbols in (1, 2, 5, T):
        exact = backwards(learner, state, symbols)
        assert off_by(forwards(learner, state, symbols), exact) < 1e-10
    assert off_by(forwards(learner, state, 5), exact) > 0.01


@pytest.mark.parametrize("method", some_fast(["rtrl", "snap1", "rflo"], ["rflo"]))
def test_a_leak_is_a_part_of_the_gradient(x64, method):
    """What a leak keeps passes no weight: without recurrent weights all of them are exact."""
    learner = small(method=method, leak=0.3)
    state = born(learner, recurrent="none")
    assert off_by(forwards(learner, state), backwards(learner, state)) < 1e-10


@pytest.mark.parametrize("pair", some_fast(DIAGONAL, ["snap1, tanh", "eprop, gru"]))
def test_snap1_is_exact_for_diagonal_recurrence(x64, pair):
    """And so is e-prop, where the error comes back along the readout's weights."""
    method, cell = pair.split(", ")
    learner = small(cell=cell, method=method, feedback="symmetric")
    state = born(learner, recurrent="diagonal")
    assert off_by(forwards(learner, state), backwards(learner, state)) < 1e-10
    state = born(learner)
    assert off_by(forwards(learner, state), backwards(learner, state)) > 0.01


@pytest.mark.parametrize("cell", some_fast(["tanh", "gru"], ["gru"]))
def test_rflo_is_exact_without_recurrence_but_not_for_diagonal_recurrence(x64, cell):
    """It leaves out the weight of a unit onto itself, too; what the update gate keeps it knows."""
    learner = small(cell=cell, method="rflo")
    state = born(learner, recurrent="none")
    assert off_by(forwards(learner, state), backwards(learner, state)) < 1e-10
    state = born(learner, recurrent="diagonal")
    assert off_by(forwards(learner, state), backwards(learner, state)) > 0.01


@pytest.mark.parametrize("cell", some_fast(["tanh", "gru"], ["tanh"]))
def test_uoro_is_right_on_average(x64, cell):
    """The mean of many draws lies about the exact gradient as far as their spread lets it."""
    draws, symbols = 4000, 4
    learner = small(cell=cell, method="uoro")
    state = born(learner)
    exact = flat(backwards(learner, state, symbols)["cells"])

    @jax.jit
    @jax.vmap
    def draw(key):
        stimuli, targets = (x[:symbols] for x in stream())
        gradient = carried(learner, True)(state, stimuli, targets, key)["cells"]
        return jax.flatten_util.ravel_pytree(jax.tree.map(lambda x: x.sum(0), gradient))[0]

    found = np.asarray(draw(jax.random.split(jax.random.key(1), draws)))
    error = found.std(0) / draws**0.5
    z = (found.mean(0) - exact) / np.maximum(error, 1e-6)
    assert np.abs(z).max() < 5
    assert 0.6 < np.sqrt((z**2).mean()) < 1.5  # the errors are those that the spread foretells
    # The check would see a fifth of the gradient.
    assert np.abs(0.2 * exact / np.maximum(error, 1e-6)).max() > 5


def test_direct_feedback_alignment_by_hand():
    learner = small(method="dfa")
    state = born(learner)
    stimuli, targets = stream()
    before = jnp.linspace(-0.5, 0.5, N)
    state = state._replace(activity=before)
    gradient = jax.jit(learner.gradient)(state, stimuli[0], targets[0])
    cell, readout = state.weight["cells"][0], state.weight["readout"]
    drive = stimuli[0] @ cell["dense_i"]["kernel"] + cell["dense_i"]["bias"]
    hidden = np.tanh(drive + before @ cell["dense_h"]["kernel"])
    error = 2 * (hidden @ readout["kernel"] + readout["bias"] - targets[0])
    at_units = (state.feedback @ error) * (1 - hidden**2)
    for found, expected in (
        (gradient["readout"]["kernel"], np.outer(hidden, error)),
        (gradient["readout"]["bias"], error),
        (gradient["cells"][0]["dense_i"]["kernel"], np.outer(stimuli[0], at_units)),
        (gradient["cells"][0]["dense_i"]["bias"], at_units),
        (gradient["cells"][0]["dense_h"]["kernel"], np.outer(before, at_units)),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_random_feedback_replaces_the_readout_on_the_way_back(x64):
    """Random feedback of the readout's own weights is symmetric feedback."""
    random, symmetric = (small(method="snap1", feedback=f) for f in ("random", "symmetric"))
    state = born(random)
    same = state._replace(feedback=state.weight["readout"]["kernel"])
    plain = state._replace(feedback=())
    assert off_by(forwards(random, same), forwards(symmetric, plain)) < 1e-12
    assert off_by(forwards(random, state), forwards(symmetric, plain)) > 0.1


def test_methods_have_their_own_feedback():
    random = {name for name in METHODS if not isinstance(born(small(method=name)).feedback, tuple)}
    assert random == {"eprop", "dfa"}


@pytest.mark.slow
def test_without_a_leak_rflo_keeps_what_dfa_keeps():
    state = born(small(method="rflo"))
    found = [forwards(small(method=m, feedback="symmetric"), state) for m in ("rflo", "dfa")]
    assert off_by(*found) == 0


def test_traces_of_rflo_may_fade_by_themselves():
    """As much as the leak: RFLO itself. All at once: direct feedback alignment."""
    state = born(small(method="rflo", leak=0.3))
    leaky, same = (small(method="rflo", leak=0.3, **own) for own in ({}, {"decay": 0.3}))
    assert off_by(forwards(same, state), forwards(leaky, state)) < 1e-6
    brief = small(method="rflo", decay=1.0)
    dfa = small(method="dfa", feedback="symmetric")
    assert off_by(forwards(brief, state), forwards(dfa, state)) == 0
    slow = small(method="rflo", decay=0.1)
    assert off_by(forwards(slow, state), forwards(brief, state)) > 0.1


# --- the contract --------------------------------------------------------------------------------


PAIRS = [f"{method}, {cell}" for method in METHODS for cell in ("tanh", "gru")]


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_they_conform(pair):
    method, cell = pair.split(", ")
    tasks = {"tanh": Memorize(length=4, alphabet=4, presentations=3), "gru": Henon(symbols=20)}
    task = tasks[cell]
    learner = OnlineGradient.for_spec(task.spec, method=method, cell=cell, width=6)
    assert isinstance(learner, Learner)
    check_learner(learner, task)


@pytest.mark.parametrize(
    ("choices", "error", "named"),
    [
        ({"cell": "lstm"}, ValueError, "cell"),
        ({"method": "snap"}, ValueError, "Did you mean 'snap1'"),
        ({"feedback": "symetric"}, ValueError, "Did you mean 'symmetric'"),
        ({"leak": 0.0}, ValueError, "leak"),
        ({"leak": 1.5}, ValueError, "leak"),
        ({"method": "rflo", "decay": 1.5}, ValueError, "decay must lie between"),
        ({"method": "snap1", "decay": 0.5}, ValueError, "traces of RFLO"),
        ({"leak": 0.5, "cell": "gru"}, ValueError, "update gate"),
        ({"width": 0}, ValueError, "width"),
        ({"optimizer": "adm"}, ValueError, "Did you mean 'adam'"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate"),
    ],
)
def test_bad_arguments_are_refused_by_name(choices, error, named):
    with pytest.raises(error, match=named):
        small(**choices)


def test_rflo_by_name_has_a_leak_and_as_a_gru_its_gate():
    task = Memorize(length=3)
    assert by_name.learner_of("online_rflo", task).leak == 0.5
    assert by_name.learner_of("online_rflo(leak=0.2)", task).leak == 0.2
    assert by_name.learner_of("online_rflo(cell='gru')", task).leak == 1.0


def test_rates_by_name_are_those_tuned_on_names_for_text_alone():
    for task, rate in ((Henon(), 0.001), (Names(), 0.003)):
        learner = by_name.learner_of("online_rflo", task)
        assert learner.learning_rate == rate and learner.method == "rflo"
    assert by_name.learner_of("uoro", Names()).learning_rate == 0.0003
    assert by_name.learner_of("uoro(learning_rate=0.01)", Names()).learning_rate == 0.01
    assert by_name.learner_of("snap1", Names()).learning_rate == 0.001
    for task in (Caesar(), Names()):  # one for all
        assert by_name.learner_of("hierarchical(widths=(4, 4))", task).learning_rate == 0.02


def test_uoro_asks_for_a_key():
    learner = small(method="uoro")
    with pytest.raises(ValueError, match="needs a key"):
        learner.gradient(born(learner), jnp.ones(I), jnp.ones(O))


PLAIN = small(method="snap1", optimizer="sgd", learning_rate=0.1, horizon=0.5, lifespan=10.0)
STEP = jax.jit(PLAIN.step)


def live(lessons):
    """The states of `PLAIN` over (taught, plastic) lessons, first the newborn."""
    stimuli, targets = stream()
    states = [born(PLAIN)]
    for k, (taught, plastic, *given) in enumerate(lessons):
        target = given[0] if given else targets[k]
        teaching = Teaching(target, jnp.asarray(taught), 0.0, jnp.asarray(plastic))
        states.append(STEP(PLAIN.init_theta(), states[-1], stimuli[k], teaching)[0])
    return states


def test_a_symbol_is_one_step_along_its_gradient():
    states = live([(1.0, 1.0)] * 4)
    stimuli, targets = stream()
    gradient = PLAIN.gradient(states[3], stimuli[3], targets[3])
    moved = jax.tree.map(lambda a, b: a - b, states[4].weight, states[3].weight)
    rate = 0.1 / (1 + 4 / 5)
    for change, slope in zip(jax.tree.leaves(moved), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(change, -rate * slope, atol=1e-6)
        assert float(jnp.abs(slope).max()) > 1e-3


def test_untaught_symbols_are_lived_through():
    """No weight changes, no target is looked at, and the influence goes on."""
    finals = [live([(1.0, 1.0), (0.0, 1.0, jnp.full(O, x)), (1.0, 1.0)]) for x in (7.0, jnp.nan)]
    (one, other) = (states[-1].weight for states in finals)
    np.testing.assert_array_equal(flat(one), flat(other))
    states = finals[0]
    np.testing.assert_array_equal(flat(states[2].weight), flat(states[1].weight))
    assert np.abs(flat(states[2].influence) - flat(states[1].influence)).max() > 0.01


def test_frozen_symbols_are_not_learned_from_even_later():
    states = live([(1.0, 1.0)] * 2 + [(1.0, 0.0)] * 2)
    np.testing.assert_array_equal(flat(states[4].weight), flat(states[2].weight))
    assert np.abs(states[4].activity - states[2].activity).max() > 0.01
    assert not flat(states[4].influence).any() and flat(states[2].influence).any()


def test_parallel_streams_share_their_weights_and_average_their_gradients():
    """Of the two streams one is not taught: it counts as a gradient of zero."""
    stimuli, targets = stream()
    state, taught = born(PLAIN), jnp.array([1.0, 0.0])

    @jax.jit
    @functools.partial(jax.vmap, axis_name=STREAMS)
    def step(stimulus, target, taught):
        learner, teaching = dataclasses.replace(PLAIN, parallel=True), Teaching(target, taught)
        return learner.step(learner.init_theta(), state, stimulus, teaching)[0]

    after = step(stimuli[:2], targets[:2], taught)
    single = live([(1.0, 1.0)])[1]
    for found, one, old in zip(
        *(jax.tree.leaves(x.weight) for x in (after, single, state)), strict=True
    ):
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_allclose(found[0] - old, (one - old) / 2, atol=1e-6)
    assert np.abs(after.activity[0] - after.activity[1]).max() > 0.01


@pytest.mark.slow
def test_parallel_streams_draw_signs_of_their_own():
    learner = small(method="uoro", parallel=True)
    state, (stimuli, targets) = born(learner), stream()
    alike = lambda _: learner.step(  # noqa: E731
        learner.init_theta(), state, stimuli[0], Teaching(targets[0]), jax.random.key(0)
    )[0]
    units = jax.vmap(alike, axis_name=STREAMS)(jnp.arange(3)).influence[0]
    assert len({tuple(np.sign(row)) for row in np.asarray(units)}) > 1


@pytest.mark.slow
def test_damage_lasts_while_it_learns():
    learner = PLAIN
    state = learner.remove(live([(1.0, 1.0)])[-1], jax.random.key(0), 0.5, 0.2)
    stimuli, targets = stream()
    # Optimised once more: the state has a mask now.
    after = jax.jit(learner.step)(
        learner.init_theta(), state, stimuli[1], Teaching(targets[1], 1.0, 0.0, 1.0)
    )[0]
    gone = flat(state.kept) == 0
    assert 0.4 < gone.mean() < 0.8
    assert not flat(after.weight)[gone].any() and flat(after.weight)[~gone].any()
    assert np.abs(flat(after.weight) - flat(state.weight)).max() > 1e-3
    assert learner.restore(after).kept == ()
    noisy = learner.perturb(after, jax.random.key(1), 0.1)
    assert np.abs(flat(noisy.weight) - flat(after.weight)).max() > 1e-3


# --- learning ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_every_method_learns_henon(pair):
    """Well below what the present value alone tells: the best line through it leaves .9 of it."""
    method, cell = pair.split(", ")
    task = Henon(symbols=4000)
    learner = OnlineGradient.for_spec(
        task.spec, method=method, cell=cell, width=24, learning_rate=0.003, horizon=1.0
    )
    _, metrics = jax.jit(Lifetime(learner, task))(learner.init_theta(), jax.random.key(1))
    assert float(metrics["nmse_curve"][-1]) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_meta_gradients_are_finite(pair):
    """From birth on, when the influence is zero."""
    method, cell = pair.split(", ")
    task = Henon(symbols=12)
    learner = OnlineGradient.for_spec(task.spec, method=method, cell=cell, width=N)
    loss = lambda theta: Lifetime(learner, task)(theta, jax.random.key(0))[0]  # noqa: E731
    slopes = jax.jit(jax.grad(loss))(learner.init_theta())
    assert all(np.isfinite(x) and x != 0 for x in slopes.values())


# --- the experiment ------------------------------------------------------------------------------


@pytest.fixture
def signals(monkeypatch):
    folder = Path(__file__).resolve().parents[1] / "experiments"
    monkeypatch.syspath_prepend(str(folder))
    return pytest.importorskip("signals")


@pytest.mark.slow
def test_cosines_to_the_exact_gradient(signals):
    """Loosely those of docs/online_gradient.md, in a small network."""
    found = signals.cosines("henon", 1000, 0.5, (0, 1), width=16)
    mean = {name: np.mean(row["symbol"]) for name, row in found.items()}
    assert mean["snap1"] > 0.4
    assert mean["snap1"] > mean["rflo"] > mean["rflo, traces fade by .1"] > 0.1
    assert abs(mean["uoro"]) < 0.3


@pytest.mark.slow
def test_signals_go_on_where_they_stopped(signals, tmp_path, monkeypatch):
    config = signals.Config(symbols=40, streams=2, width=4, development=(9,), fresh=(0, 1))
    path = tmp_path / "signals.json"
    first = signals.main(config, path, ["henon"], ["rtrl"])
    assert len(first) == len(signals.GRID) + 2  # one development seed, and the best on two
    monkeypatch.setattr(signals, "live", lambda *_: pytest.fail("lived again"))
    assert signals.main(config, path, ["henon"], ["rtrl"]) == first
    with pytest.raises(ValueError, match="another configuration"):
        signals.main(dataclasses.replace(config, width=5), path, ["henon"], ["rtrl"])
