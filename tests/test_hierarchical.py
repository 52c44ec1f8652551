"""The hierarchical predictive LSTM: every level learns to predict what it hears, and nothing else."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta.learners import HierarchicalLSTM, OnlineRNN
from loopymeta.lifetime import Learner, Lifetime
from loopymeta.network import Teaching
from loopymeta.tasks import Memorize
from loopymeta.testing import check_learner


def small(**choices):
    return HierarchicalLSTM(
        5, 5, **({"widths": (4, 3, 2), "window": 2, "lifespan": 400.0} | choices)
    )


def symbol(k, plastic=1.0):
    hot = jnp.eye(5)
    return hot[k % 5], Teaching(hot[(k * k + 1) % 5], 1.0, 0.0, plastic)


@functools.cache
def compiled(learner):
    return jax.jit(learner.init), jax.jit(learner.step)


def lived(symbols, learner=None, **rates):
    """The states after each symbol (first the newborn), and the predictions."""
    learner = small() if learner is None else learner
    theta = learner.init_theta() | {name: jnp.asarray(value) for name, value in rates.items()}
    birth, step = compiled(learner)
    states, predictions = [birth(jax.random.key(0), theta)], []
    for stimulus, teaching in symbols:
        state, prediction, _ = step(theta, states[-1], stimulus, teaching, jax.random.key(0))
        states.append(state)
        predictions.append(prediction)
    return states, predictions


def same(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(bool((x == y).all()) for x, y in pairs)


def cells(state, level):
    return state.levels[level].activity[0][0]


def test_it_is_a_learner_of_any_number_of_levels():
    assert isinstance(small(), Learner)
    for widths, sizes in (
        ((4,), [(5, 5)]),
        ((4, 3), [(9, 5), (4, 4)]),
        ((4, 3, 2), [(9, 5), (7, 4), (3, 3)]),
    ):
        levels = small(widths=widths).levels
        assert [(level.num_inputs, level.num_outputs) for level in levels] == sizes
        assert [level.loss for level in levels][1:] == ["squared_error"] * (len(widths) - 1)
    assert small(widths=(4,)).idle() == ("upper_rate", "feedback") and not small().idle()


def test_every_level_hears_the_change_below_and_what_was_sent_from_above():
    states, predictions = lived([symbol(k) for k in range(6)], feedback=0.3)
    learner = small()
    for before, after, k in zip(states, states[1:], range(6), strict=False):
        heard = [jnp.eye(5)[k % 5]]
        heard += [cells(after, level) - cells(before, level) for level in (0, 1)]
        for level, sent in enumerate((*before.sent, jnp.zeros(0))):
            full = jnp.concatenate([heard[level], 0.3 * sent])
            # The weights that it hears with: those of the level once it has learned from before.
            own = before.levels[level] if level == 0 else after.levels[level]
            activity, expected = learner.levels[level].predict(
                own.weight, before.levels[level].activity, full
            )
            np.testing.assert_allclose(activity[0][0], cells(after, level), atol=1e-5)
            said = predictions[k] if level == 0 else after.sent[level - 1]
            np.testing.assert_allclose(expected, said, atol=1e-5)


def test_upper_levels_are_taught_their_own_next_input():
    states, _ = lived([symbol(k) for k in range(6)])
    changes = [
        [cells(b, k) - cells(a, k) for a, b in zip(states, states[1:], strict=False)]
        for k in (0, 1)
    ]
    for at in range(1, 6):
        for level in (1, 2):
            below = changes[level - 1]
            # What was heard before birth is not in it.
            window, place = states[at + 1].levels[level].window, (at - 1) % 2
            np.testing.assert_allclose(window.target[place], below[at], atol=1e-6)
            heard = window.stimulus[place][: len(below[at])]
            np.testing.assert_allclose(heard, below[at - 1], atol=1e-6)
            assert float(window.taught[place]) == 1.0
    assert not float(states[1].levels[1].window.taught.any())  # nothing was heard before birth


def test_no_level_learns_for_another():
    """The first window of the lowest level does not know what the others do with theirs."""
    symbols = [symbol(k) for k in range(3)]
    (*_, slow), _ = lived(symbols)
    (*_, fast), _ = lived(symbols, upper_rate=0.1)
    assert same(slow.levels[0].weight, fast.levels[0].weight)
    assert not same(slow.levels[1].weight, fast.levels[1].weight)


def test_nothing_is_learned_while_frozen_but_activity_goes_on():
    symbols = [symbol(k) for k in range(3)] + [symbol(k, plastic=0.0) for k in range(3)]
    states, predictions = lived(symbols)
    for level in range(3):
        assert same(states[3].levels[level].weight, states[6].levels[level].weight)
        assert not same(states[3].levels[level].activity, states[6].levels[level].activity)


@pytest.mark.parametrize("frozen", [0, 1, 3])
def test_what_upper_levels_heard_while_frozen_is_not_learned_from_later(frozen):
    """Nor what they did not hear before birth: tampering with it changes no weight."""
    learner = small()
    theta = learner.init_theta()
    birth, step = compiled(learner)

    def weights(noise):
        state = birth(jax.random.key(0), theta)
        for k in range(frozen):
            state, *_ = step(theta, state, *symbol(k, plastic=0.0), jax.random.key(0))
        heard = tuple(h._replace(stimulus=h.stimulus + noise) for h in state.heard)
        state = state._replace(heard=heard)
        for k in range(frozen, frozen + 6):
            state, *_ = step(theta, state, *symbol(k), jax.random.key(0))
        return [level.weight for level in state.levels]

    assert same(weights(0.0), weights(1.0))


def test_upper_levels_learn_from_the_second_symbol_on():
    states, _ = lived([symbol(k) for k in range(3)])
    for level in (1, 2):
        window = [state.levels[level].window for state in states]
        assert not float(window[1].taught.any())
        assert window[2].taught.tolist() == [1.0, 0.0]
        assert window[2].resumed.tolist() == [1.0, 0.0]
        assert window[3].resumed.tolist() == [1.0, 0.0]


@pytest.mark.slow
def test_one_level_is_an_online_lstm():
    symbols = [symbol(k) for k in range(5)]
    one = small(widths=(4,), learning_rate=0.05)
    _, predictions = lived(symbols, one)
    plain = OnlineRNN(5, 5, width=4, window=2, lifespan=400.0, learning_rate=0.05)
    state = plain.init(jax.random.split(jax.random.key(0), 1)[0])
    for (stimulus, teaching), expected in zip(symbols, predictions, strict=True):
        state, prediction, _ = plain.step(plain.init_theta(), state, stimulus, teaching)
        np.testing.assert_allclose(prediction, expected, atol=1e-5)


@pytest.mark.slow
def test_it_keeps_the_contract_and_learns():
    check_learner(HierarchicalLSTM(4, 4, widths=(4, 3), window=2), Memorize(3, 4, 4))
    task = Memorize(length=5, alphabet=5, presentations=120)
    learner = HierarchicalLSTM.for_spec(task.spec, widths=(16, 8), window=5, upper_rate=0.03)
    life = Lifetime(learner, task, record=lambda s, _: (cells(s, 0), s.sent[0]))
    _, metrics = jax.jit(life)(life.init_theta(), jax.random.key(0))
    assert float(metrics["recall_by_presentation"][-20:].mean()) > 0.99
    held, sent = metrics["record"]
    error = ((jnp.diff(held, axis=0)[1:] - sent[1:-1]) ** 2).sum(1)
    power = (jnp.diff(held, axis=0)[1:] ** 2).sum(1)
    assert float(error[-100:].mean()) < 0.1 * float(power[-100:].mean())


def test_damage_reaches_every_level():
    learner = small()
    state = compiled(learner)[0](jax.random.key(0), learner.init_theta())
    damaged = learner.remove(state, jax.random.key(1), 0.5, 0.0)
    noisy = learner.perturb(state, jax.random.key(1), 0.1)
    for level in range(3):
        kernel = damaged.levels[level].weight["readout"]["kernel"]
        assert bool((kernel == 0).any())
        assert not same(noisy.levels[level].weight, state.levels[level].weight)
    assert all(own.kept == () for own in learner.restore(damaged).levels)


@pytest.mark.parametrize(
    ("choices", "named"),
    [
        ({"widths": ()}, "widths"),
        ({"widths": 4}, "widths"),
        ({"widths": [8, 8]}, "a tuple"),
        ({"widths": (4, 0)}, "widths"),
        ({"upper_rate": 0.0}, "upper_rate"),
        ({"feedback": 0.0}, "feedback"),
        ({"window": 0}, "window"),
        ({"optimizer": "adm"}, "adam"),
    ],
)
def test_bad_arguments_are_refused_by_name(choices, named):
    with pytest.raises(ValueError, match=named):
        small(**choices)


def test_it_is_a_plain_value():
    assert hash(small()) == hash(dataclasses.replace(small()))
