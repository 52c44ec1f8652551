"""Signals and sources that change: content, oracles, floors, chance."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta.tasks.base import Outcome
from loopymeta.tasks.changing import Shift
from loopymeta.tasks.signals import _HENON, _LORENZ, _MACKEY_GLASS, Henon, Lorenz, MackeyGlass
from loopymeta.testing import check_task

SIGNALS = [
    Henon(symbols=1500),
    MackeyGlass(symbols=1500),
    Lorenz(symbols=1500),
    Lorenz(symbols=1500, observed="xyz"),
]
SCALES = {Henon: _HENON, MackeyGlass: _MACKEY_GLASS, Lorenz: _LORENZ}


def named(tasks):
    def name(task):
        return type(task).__name__.lower() + getattr(task, "observed", "")

    return pytest.mark.parametrize("task", tasks, ids=name)


def scaled(task, values, back: bool):
    """Values as they come from the equations, or (back) from z-scores; float64."""
    mean, deviation = (np.asarray(x)[: task.spec.num_inputs] for x in SCALES[type(task)])
    values = np.asarray(values, np.float64)
    return values * deviation + mean if back else (values - mean) / deviation


def squared(episode, prediction) -> Outcome:
    loss = jnp.asarray(((prediction - np.asarray(episode.target)) ** 2).sum(1), jnp.float32)
    return Outcome(loss, jnp.zeros_like(loss), jnp.ones_like(loss))


@functools.lru_cache
def life_of(task, seed=4):
    """An episode as numpy arrays, compiled."""
    return jax.tree.map(np.asarray, jax.jit(task.sample)(jax.random.key(seed)))


@functools.lru_cache
def judge(task):
    """The score of a task, compiled."""
    return jax.jit(task.score)


# The equations, in plain numpy --------------------------------------------------------------------


def henon_next(now, before):
    return 1 - 1.4 * now**2 + 0.3 * before


def mackey_glass_next(now, delayed):
    return now + 0.2 * delayed / (1 + delayed**10) - 0.1 * now


def lorenz_next(point):
    def slope(p):
        x, y, z = p[..., 0], p[..., 1], p[..., 2]
        return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=-1)

    for _ in range(2):
        a = slope(point)
        b = slope(point + 0.005 * a)
        c = slope(point + 0.005 * b)
        d = slope(point + 0.01 * c)
        point = point + 0.01 / 6 * (a + 2 * b + 2 * c + d)
    return point


def oracle(task, shown):
    """[T, O] predictions from the stream up to each symbol, 0 until there is enough of it."""
    values = scaled(task, shown, back=True)
    guess = np.full_like(values, np.nan)
    if isinstance(task, Henon):
        guess[1:] = henon_next(values[1:], values[:-1])
    elif isinstance(task, MackeyGlass):
        guess[17:] = mackey_glass_next(values[17:], values[:-17])
    elif task.observed == "xyz":
        guess[:] = lorenz_next(values)
    else:  # a cubic through the last four values
        guess[3:] = 4 * values[3:] - 6 * values[2:-1] + 4 * values[1:-2] - values[:-3]
    return np.nan_to_num(scaled(task, guess, back=False))


def simulate(task, num, steps, seed):
    """[steps, num, values] of ``num`` independent runs, in float64, long after their start."""
    generator = np.random.default_rng(seed)
    after = []
    if isinstance(task, Henon):
        now, before = generator.uniform(-0.1, 0.1, (2, num))
        for _ in range(300 + steps):
            now, before = henon_next(now, before), now
            after.append(now[:, None])
        return np.array(after[300:])
    if isinstance(task, MackeyGlass):
        past = list(generator.uniform(0.6, 1.4, (18, num)))
        for _ in range(2000 + steps):
            past.append(mackey_glass_next(past[-1], past[-18]))
        return np.array(past[-steps:])[:, :, None]
    point = generator.normal(size=(num, 3))
    for _ in range(1200 + steps):
        point = lorenz_next(point)
        after.append(point)
    # Each from a time of its own: they go round in step long after their common start.
    start = generator.integers(700, 1200, num)
    points = np.array(after)[start + np.arange(steps)[:, None], np.arange(num)]
    return points[:, :, : task.spec.num_inputs]


# Signals ------------------------------------------------------------------------------------------


@named([Henon(symbols=30, washout=0), MackeyGlass(symbols=40), Lorenz(8, 20, "xyz")])
def test_signals_keep_the_contract(task):
    check_task(task)


@named(SIGNALS)
def test_a_key_has_one_series(task):
    """To the last bit, however it is compiled, though the series is chaotic."""
    keys = jnp.stack([jax.random.key(seed) for seed in (4, *range(100, 118))])
    together = np.asarray(jax.jit(jax.vmap(task.sample))(keys).stimulus)
    # The z-score is not chaotic: it may round as it likes.
    np.testing.assert_allclose(life_of(task).stimulus, together[0], atol=1e-6)
    np.testing.assert_allclose(task.sample(keys[0]).stimulus, together[0], atol=1e-6)
    # Another key has another series, from its first hundred values on.
    assert (np.abs(together[1:, :100] - together[:1, :100]).max((1, 2)) > 0.3).all()


@named(SIGNALS)
def test_the_oracle_reaches_the_floor(task):
    episode = life_of(task)
    np.testing.assert_array_equal(episode.stimulus[1:], episode.target[:-1])
    metrics = judge(task)(squared(episode, oracle(task, episode.stimulus)), episode)
    exact = not (isinstance(task, Lorenz) and task.observed == "x")
    assert task.spec.floor == 0 <= metrics["nmse_late"] < (1e-9 if exact else 1e-3)
    assert metrics["nmse_curve"].shape == (20,)
    assert (np.asarray(metrics["nmse_curve"])[1:] < (1e-9 if exact else 1e-2)).all()


@named(SIGNALS)
def test_a_constant_scores_chance(task):
    """The mean of the attractor has the loss ``chance``, that of the lifetime an nmse of 1."""

    @jax.jit
    @jax.vmap
    def life(key):
        episode = task.sample(key)
        loss = (episode.target**2).sum(1)
        offset = ((episode.target - episode.target.mean(0)[None, :]) ** 2).sum(1)
        return (
            task.score(Outcome(loss, loss, loss), episode)["loss"],
            task.score(Outcome(offset, loss, loss), episode)["nmse"],
        )

    loss, nmse = (np.asarray(x) for x in life(jax.random.split(jax.random.key(6), 100)))
    assert abs(loss.mean() - task.spec.chance) < 5 * loss.std() / math.sqrt(100)
    np.testing.assert_allclose(nmse, 1, rtol=1e-4)


@named([SIGNALS[0], SIGNALS[1], SIGNALS[3]])
def test_scales_and_washout(task):
    """Runs of our own have the moments that z-scores assume, and so has the first symbol."""
    values = scaled(task, simulate(task, 100, 1500, seed=1), back=False)
    assert np.isfinite(values).all()
    short = dataclasses.replace(task, symbols=2)
    first = jax.jit(jax.vmap(lambda key: short.sample(key).stimulus[0]))
    firsts = np.asarray(first(jax.random.split(jax.random.key(7), 1500)))[None]
    for each in (values, firsts):
        for power, expected in ((1, 0), (2, 1)):
            moment = (each**power).mean(0)
            error = 5 * moment.std(0) / math.sqrt(len(moment))
            # The constants themselves are given to some digits.
            assert (np.abs(moment.mean(0) - expected) < error + 2e-3).all(), (power, moment.mean(0))


def test_henon_runs_into_no_cycle():
    """The last values never occurred before: without noise they would, every 5,696 values."""
    shown = life_of(Henon(symbols=200_000)).stimulus[:, 0]
    windows = np.lib.stride_tricks.sliding_window_view(shown, 5)
    assert (windows == windows[-1]).all(axis=1).sum() == 1


def test_signal_metrics():
    task = Henon(symbols=40)
    episode = task.sample(jax.random.key(0))
    target = np.asarray(episode.target, np.float64)[:, 0]
    loss = np.where(np.arange(40) < 20, 3.0, 1.0)
    metrics = judge(task)(Outcome(*(jnp.asarray(loss, jnp.float32),) * 3), episode)
    assert metrics["loss"] == pytest.approx(2)
    assert metrics["nmse"] == pytest.approx(2 / target.var(), rel=1e-4)
    assert metrics["nmse_late"] == pytest.approx(1 / target[20:].var(), rel=1e-4)
    np.testing.assert_allclose(metrics["nmse_curve"], loss[::2] / target.var(), rtol=1e-4)
    three = Lorenz(symbols=30, observed="xyz")
    episode = three.sample(jax.random.key(0))
    variance = np.asarray(episode.target, np.float64).var(axis=0).sum()
    metrics = three.score(Outcome(*(jnp.ones(30),) * 3), episode)
    assert metrics["nmse"] == pytest.approx(1 / variance, rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "options", "error", "word"),
    [
        (Henon, {"symbols": 1}, ValueError, "symbols"),
        (Henon, {"washout": -1}, ValueError, "washout"),
        (MackeyGlass, {"symbols": 2.5}, TypeError, "symbols"),
        (MackeyGlass, {"washout": -1}, ValueError, "washout"),
        (Lorenz, {"symbols": 0}, ValueError, "symbols"),
        (Lorenz, {"observed": "xy"}, ValueError, "observed"),
        (Shift, {"segments": 1}, ValueError, "segments"),
        (Shift, {"segment_length": 0}, ValueError, "segment_length"),
        (Shift, {"alphabet": 1}, ValueError, "alphabet"),
        (Shift, {"successors": 0}, ValueError, "successors"),
        (Shift, {"successors": 8}, ValueError, "successors must be fewer"),
        (Shift, {"order": 2}, ValueError, "order"),
        (Shift, {"order": -1}, ValueError, "order"),
        (Shift, {"jitter": 0.6}, ValueError, "jitter"),
    ],
)
def test_bad_options(kind, options, error, word):
    with pytest.raises(error, match=word):
        kind(**options)


# Shift --------------------------------------------------------------------------------------------

SHIFTS = [
    Shift(segments=4, segment_length=60),
    Shift(segments=3, segment_length=50, alphabet=5, successors=3, order=0),
    Shift(segments=5, segment_length=1, alphabet=2, successors=1, jitter=0.5),
]


def shift_name(task):
    return f"{task.segment_length}-{task.order}"


@pytest.mark.parametrize("task", SHIFTS[1:], ids=shift_name)
def test_shift_keeps_the_contract(task):
    check_task(task, num_lifetimes=1)


def bayes_loss(task, episode) -> np.ndarray:
    """Nats by summing over every possible set of followers, in loops over the past."""
    stimulus, target, phase = (np.asarray(x).tolist() for x in episode[:2] + episode[4:5])
    sets = list(itertools.combinations(range(task.alphabet), task.successors))
    nats, past = [], defaultdict(list)
    for symbol, follower, segment in zip(stimulus, target, phase, strict=True):
        seen = past[segment, symbol if task.order else None]
        possible = [each for each in sets if set(seen) <= set(each)]
        right = sum(follower in each for each in possible)
        nats.append(-math.log(right / task.successors / len(possible)))
        seen.append(follower)
    return np.array(nats)


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", [SHIFTS[1], Shift(3, 80, alphabet=6, successors=3)], ids=lambda task: repr(task)[5:60]
)
def test_the_oracle_that_counts_is_that_of_bayes(task):
    for seed in range(3):
        episode = life_of(task, seed)
        expected = bayes_loss(task, episode)
        np.testing.assert_allclose(task.counting_loss(episode), expected, atol=1e-5)
        # A place at which it knew better than the source would be a mistake in either.
        assert (expected > task.spec.floor - 1e-9).all()
        loss = jnp.asarray(expected, jnp.float32)
        metrics = judge(task)(Outcome(loss, loss, loss), episode)
        assert metrics["regret_counting"] == pytest.approx(0, abs=1e-5)
        assert metrics["counting_loss"] == pytest.approx(expected.mean(), rel=1e-5)
        assert metrics["regret"] == pytest.approx(expected.mean() - task.spec.floor, abs=1e-5)


@pytest.mark.parametrize("order", [0, 1])
def test_shift_is_made_of_the_sources_it_says(order):
    task = Shift(segments=6, segment_length=400, alphabet=6, successors=2, order=order)
    sample = jax.jit(task.sample)
    twice, other, changes = [], 0, []
    for seed in range(20):
        episode = jax.tree.map(np.asarray, sample(jax.random.key(seed)))
        np.testing.assert_array_equal(episode.stimulus[1:], episode.target[:-1])
        assert episode.scored.all() and episode.taught.all()
        followers = defaultdict(list)
        for symbol, follower, segment in zip(
            episode.stimulus, episode.target, episode.phase, strict=True
        ):
            followers[segment, symbol if order else -1].append(int(follower))
        sets = {row: set(each) for row, each in followers.items()}
        # Never more followers than said, and each as often as the other.
        assert max(map(len, sets.values())) == 2
        for each in followers.values():
            if len(each) > 30:
                twice.append((each.count(each[0]) - 1 - (len(each) - 1) / 2, (len(each) - 1) / 4))
        other += sum(
            sets[s, symbol] != sets[s + 1, symbol] for s, symbol in sets if (s + 1, symbol) in sets
        )
        change = np.flatnonzero(np.diff(episode.phase)) + 1
        assert len(change) == 5 and episode.phase[0] == 0 and episode.phase[-1] == 5
        changes.append(change - 400 * np.arange(1, 6))
    surplus, variance = np.array(twice).sum(axis=0)
    assert abs(surplus) < 5 * math.sqrt(variance)
    assert other > 20 * 5 / 2  # sources differ from segment to segment
    changes = np.array(changes)
    assert np.abs(changes).max() <= 100 and changes.std() == pytest.approx(58, abs=15)


def test_without_jitter_changes_are_regular():
    task = Shift(segments=4, segment_length=5, jitter=0)
    assert (life_of(task).phase == np.repeat(np.arange(4), 5)).all()


@pytest.mark.parametrize("order", [0, 1])
def test_a_constant_scores_the_chance_of_a_shift(order):
    task = Shift(segments=4, segment_length=50, alphabet=5, order=order)

    @jax.jit
    @jax.vmap
    def life(key):
        episode = task.sample(key)
        right = (episode.target == 2).astype(jnp.float32)
        return task.score(Outcome(1 - right, right, right), episode)["accuracy"]

    accuracy = np.asarray(life(jax.random.split(jax.random.key(5), 500)))
    assert abs(accuracy.mean() - task.spec.chance) < 5 * accuracy.std() / math.sqrt(500)


@pytest.mark.slow
def test_recovery_of_who_is_not_told_the_changes():
    """Counts that are never reset suffer from every change; those that are told recover."""
    task = Shift(segments=6, segment_length=200, alphabet=6)
    never = dict.fromkeys(("regret", "regret_counting"), 0.0)
    curve = np.zeros(20)
    for seed in range(5):
        episode = life_of(task, seed)
        counts = np.full((6, 6), 0.1)
        loss = np.zeros(task.spec.length, np.float32)
        for t, (s, w) in enumerate(zip(*map(np.asarray, episode[:2]), strict=True)):
            loss[t] = -math.log(counts[s, w] / counts[s].sum())
            counts[s, w] += 1
        metrics = judge(task)(Outcome(*(jnp.asarray(loss),) * 3), episode)
        assert metrics["loss_by_segment"].shape == (6,)
        for name in never:
            never[name] += float(metrics[name]) / 5
        told = task.counting_loss(episode)
        curve += np.asarray(judge(task)(Outcome(told, told, told), episode)["loss_by_place"]) / 5
    assert never["regret"] > never["regret_counting"] > 0.3
    assert curve[0] > 1 and curve[-1] == pytest.approx(task.spec.floor, abs=0.05)


def test_loss_by_place():
    task = Shift(segments=3, segment_length=40, jitter=0.25)
    episode = life_of(task)
    loss = np.random.default_rng(0).random(120).astype(np.float32)
    metrics = judge(task)(Outcome(*(jnp.asarray(loss),) * 3), episode)
    places, segments = defaultdict(list), defaultdict(list)
    phase = np.asarray(episode.phase).tolist()
    for t in range(120):
        segments[phase[t]].append(loss[t])
        if phase[t] > 0:
            places[(t - phase.index(phase[t])) // 2].append(loss[t])
    expected = [np.mean(places[i]) if i in places else math.nan for i in range(20)]
    np.testing.assert_allclose(metrics["loss_by_place"], expected, rtol=1e-5)
    by_segment = [np.mean(segments[i]) for i in range(3)]
    np.testing.assert_allclose(metrics["loss_by_segment"], by_segment, rtol=1e-5)
