"""Recall tasks: what is shown and asked, floors and chance, metrics, under hand-made predictors."""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta.lifetime import Lifetime
from loopymeta.tasks.base import Outcome, Task
from loopymeta.tasks.recall import (
    Copy,
    KeyRecall,
    MultiQueryRecall,
    PatternCompletion,
    Resequence,
    SelectiveCopy,
)
from loopymeta.testing import check_task

STRINGS = [
    Copy(length=1, alphabet=2, trials=2),
    Copy(length=7, alphabet=30, trials=9),
    SelectiveCopy(kept=3, span=3, alphabet=2, trials=5),
    SelectiveCopy(kept=3, span=8, alphabet=5, distractors=4, trials=31),
    Resequence(length=6, alphabet=3, trials=11),
]
PAIRS = [
    KeyRecall(keys=1, key_alphabet=1, values=2, trials=2),
    KeyRecall(keys=5, key_alphabet=30, values=3, trials=21),
    MultiQueryRecall(keys=3, queries=3, key_alphabet=3, values=5, trials=21),
]
PATTERNS = [
    PatternCompletion(bits=2, patterns=1, trials=2),
    PatternCompletion(bits=10, patterns=5, trials=7),
]


def named(tasks):
    return pytest.mark.parametrize("task", tasks, ids=lambda task: type(task).__name__.lower())


@functools.lru_cache
def compiled(task):
    """(sample for a batch of keys, score)."""
    return jax.jit(jax.vmap(task.sample)), jax.jit(task.score)


@functools.lru_cache
def lives(task):
    """Lifetimes as numpy arrays stacked over keys: 200, or 2 where they are long."""
    num = 200 if task.spec.length < 1000 else 2
    keys = jax.random.split(jax.random.key(0), num)
    return jax.tree.map(np.asarray, compiled(task)[0](keys))


def life(task, at=0):
    return jax.tree.map(lambda x: x[at], lives(task))


def score(task, outcome, episode):
    return jax.tree.map(np.asarray, compiled(task)[1](outcome, episode))


def outcome_of(right) -> Outcome:
    right = np.asarray(right, np.float32)
    return Outcome(1 - right, right, np.ones_like(right))


def near(frequency, expected, count):
    """Whether a frequency among ``count`` draws is the expected one, within 5 standard errors."""
    expected = np.asarray(expected)
    return (abs(frequency - expected) < 5 * np.sqrt(expected * (1 - expected) / count)).all()


# Oracles: from the names of the symbols so far to an answer, or None where none is wanted ----------


def give_back(order):
    """Remembers letters; from the go mark on answers with ``order`` of them, one a symbol."""

    def answers(names, letters):
        memory, waiting = [], []
        for name in names:
            if name in letters:
                memory.append(name)
            if name == "go":
                waiting, memory = order(memory), []
            yield waiting.pop(0) if waiting else None

    return answers


def look_up(names, values):
    """Remembers the last value of each key; answers with it at a key behind a question mark."""
    table, before = {}, None
    for name in names:
        if name in values:
            table[before] = name
        yield table[name] if before == "?" else None
        before = name


ORACLES = {
    Copy: give_back(list),
    SelectiveCopy: give_back(list),
    Resequence: give_back(lambda memory: sorted(memory, key=lambda x: (len(x), x))),
    KeyRecall: look_up,
    MultiQueryRecall: look_up,
}


# All tasks ----------------------------------------------------------------------------------------


@named([STRINGS[1], STRINGS[3], STRINGS[4], PAIRS[1], PAIRS[2], PATTERNS[1]])
def test_contract(task):
    check_task(task, num_lifetimes=1)


@named(STRINGS + PAIRS + PATTERNS)
def test_what_is_asked_is_scored_and_taught(task):
    assert isinstance(task, Task)
    one, other = life(task, 0), life(task, 1)
    assert (one.taught == one.scored).all() and not one.intervention.any()
    assert ((one.phase > 0) == one.scored).all()
    assert not one.target[~one.scored].any()
    if task.spec.length > 20:
        assert (one.stimulus != other.stimulus).any()
    assert hash(task) == hash(type(task)(**vars(task)))


@named([cls() for cls in (*ORACLES, PatternCompletion)])
def test_defaults_are_a_lifetime(task):
    assert 1000 <= task.spec.length <= 10_000


@named(STRINGS + PAIRS)
def test_oracle_knows_every_answer(task):
    """An oracle that sees only the stream so far is always right, and asked where it answers."""
    spec = task.spec
    assert len(set(spec.symbols)) == len(spec.symbols) == spec.num_inputs
    for episode in (life(task, 0), life(task, 1)):
        names = [spec.symbols[i] for i in episode.stimulus]
        known = spec.symbols[: spec.num_outputs]
        answers = list(ORACLES[type(task)](names, known))
        assert [answer is not None for answer in answers] == episode.scored.tolist()
        right = [a == spec.symbols[t] for a, t in zip(answers, episode.target, strict=True)]
        metrics = score(task, outcome_of(right), episode)
        assert metrics["loss"] == spec.floor == 0
        for name, value in metrics.items():
            # Some lag may not occur in a short lifetime: nan.
            assert name == "loss" or np.nanmin(value) == np.nanmax(value) == 1, name


@named([task for task in STRINGS + PAIRS if task.spec.num_outputs < 10])
def test_chance_is_that_of_a_constant(task):
    episodes = lives(task)
    for symbol in range(task.spec.num_outputs):
        right = (episodes.target == symbol) & episodes.scored
        accuracy = right.sum(axis=1) / episodes.scored.sum(axis=1)
        # All constants are alike, in sorted strings too: their letters are those of the string.
        error = 5 * accuracy.std() / math.sqrt(200)
        assert abs(accuracy.mean() - task.spec.chance) < error


@named([STRINGS[1], STRINGS[3], STRINGS[4]])
def test_metrics_of_strings(task):
    episode, trials = life(task), task.trials
    places = episode.phase.max()
    late = np.arange(task.spec.length) // (task.spec.length // trials) >= trials // 2
    share = (trials - trials // 2) / trials  # of an odd number of trials the greater half is late
    # Right at all late places but the second.
    metrics = score(task, outcome_of(late & (episode.phase != 2)), episode)
    assert metrics["recall_by_place"].tolist() == [1, 0] + [1] * (places - 2)
    assert metrics["accuracy_late"] == pytest.approx(1 - 1 / places)
    assert metrics["accuracy"] == pytest.approx((1 - 1 / places) * share)
    assert metrics["loss"] == pytest.approx(1 - (1 - 1 / places) * share)
    early = score(task, outcome_of(~late), episode)
    assert early["accuracy_late"] == 0 and not early["recall_by_place"].any()
    assert early["accuracy"] == pytest.approx(1 - share)


# Strings ------------------------------------------------------------------------------------------


def test_copy_trials():
    task = Copy(length=4, alphabet=6, trials=400)
    episode = life(task)
    stream, target = episode.stimulus.reshape(400, 8), episode.target.reshape(400, 8)
    assert (stream[:, :4] < 6).all()
    assert (stream[:, 4:] == [7, 6, 6, 6]).all()
    assert (target[:, 4:] == stream[:, :4]).all()
    assert (episode.phase.reshape(400, 8) == [0, 0, 0, 0, 1, 2, 3, 4]).all()
    assert task.spec.symbols == (*"abcdef", " ", "go")
    # Letters are fair at every place, and in pairs of neighbours.
    for place in range(4):
        assert near(np.bincount(stream[:, place], minlength=6) / 400, 1 / 6, 400)
    assert near((stream[:, 0] == stream[:, 1]).mean(), 1 / 6, 400)
    assert near((stream[1:, 0] == stream[:-1, 0]).mean(), 1 / 6, 399)


@pytest.mark.parametrize("distractors", [0, 3])
def test_selective_copy_trials(distractors):
    task = SelectiveCopy(kept=3, span=7, alphabet=5, distractors=distractors, trials=500)
    episode = life(task)
    stream, target = episode.stimulus.reshape(500, 10), episode.target.reshape(500, 10)
    shown = stream[:, :7]
    letters = shown < 5
    assert (letters.sum(axis=1) == 3).all()
    assert near(letters.mean(axis=0), 3 / 7, 500)
    # Any pair of places is kept together as often as any other: 3/7 * 2/6.
    together = letters.astype(float).T @ letters / 500
    assert near(together[~np.eye(7, dtype=bool)], 1 / 7, 500)
    assert (target[:, 7:] == shown[letters].reshape(500, 3)).all()
    assert near(np.bincount(shown[letters], minlength=5) / 1500, 1 / 5, 1500)
    fill = {7, 8, 9} if distractors else {5}
    assert set(shown[~letters]) == fill
    if distractors:
        assert near(np.bincount(shown[~letters])[7:] / 2000, 1 / 3, 2000)
    assert (stream[:, 7:] == [6, 5, 5]).all()
    assert task.spec.num_inputs == 7 + distractors
    assert (episode.phase.reshape(500, 10) == [0] * 7 + [1, 2, 3]).all()


def test_resequence_trials():
    task = Resequence(length=4, alphabet=5, trials=400)
    episode = life(task)
    stream, target = episode.stimulus.reshape(400, 8), episode.target.reshape(400, 8)
    assert (stream[:, 4:] == [6, 5, 5, 5]).all()
    wanted = [sorted(row) for row in stream[:, :4].tolist()]
    assert target[:, 4:].tolist() == wanted and wanted != stream[:, :4].tolist()
    assert (episode.phase.reshape(400, 8) == [0, 0, 0, 0, 1, 2, 3, 4]).all()
    for place in range(4):
        assert near(np.bincount(stream[:, place], minlength=5) / 400, 1 / 5, 400)


@pytest.mark.parametrize(("length", "alphabet"), [(1, 4), (3, 3), (4, 2), (2, 7)])
def test_resequence_guess_by_place(length, alphabet):
    """Against all strings, one by one."""
    strings = [sorted(s) for s in itertools.product(range(alphabet), repeat=length)]
    counts = [np.bincount(place).max() for place in np.transpose(strings)]
    guess = Resequence(length, alphabet).guess_by_place()
    np.testing.assert_allclose(guess, np.array(counts) / alphabet**length)
    assert guess.mean() >= 1 / alphabet


# Values of keys -----------------------------------------------------------------------------------


def test_multi_query_trials():
    task = MultiQueryRecall(keys=4, queries=3, key_alphabet=6, values=5, trials=600)
    episode = life(task)
    stream, target = episode.stimulus.reshape(600, 14), episode.target.reshape(600, 14)
    phase = episode.phase.reshape(600, 14)
    keys, values, marks, asked = stream[:, :8:2], stream[:, 1:8:2], stream[:, 8::2], stream[:, 9::2]
    assert task.spec.symbols == (*"01234", *"abcdef", "?")
    assert (marks == 11).all()
    assert (keys >= 5).all() and (keys < 11).all() and (values < 5).all()
    assert (np.diff(np.sort(keys, axis=1), axis=1) > 0).all()
    assert (np.diff(np.sort(asked, axis=1), axis=1) > 0).all()
    place = np.zeros((600, 3), int)
    for trial, query in np.ndindex(600, 3):
        place[trial, query] = keys[trial].tolist().index(asked[trial, query])
        at = place[trial, query]
        assert target[trial, 9 + 2 * query] == values[trial, at]
        # From the value, in column 2 at + 1, to the asked key, in column 9 + 2 query.
        assert phase[trial, 9 + 2 * query] == 9 + 2 * query - (2 * at + 1)
    assert (episode.scored.reshape(600, 14) == np.isin(np.arange(14), [9, 11, 13])).all()
    # Every place of a pair holds every key and value, and is asked by every query, equally often.
    for column in range(4):
        assert near(np.bincount(keys[:, column] - 5, minlength=6) / 600, 1 / 6, 600)
        assert near(np.bincount(values[:, column], minlength=5) / 600, 1 / 5, 600)
    for query in range(3):
        assert near(np.bincount(place[:, query], minlength=4) / 600, 1 / 4, 600)


def test_multi_query_metrics():
    task = PAIRS[2]
    episode = life(task)
    symbol = np.arange(task.spec.length)
    late = symbol >= 10 * 12
    metrics = score(task, outcome_of(late & np.isin(episode.phase, [4, 6])), episode)
    assert metrics["accuracy_by_lag"].tolist() == [0, 1, 1, 0, 0]
    metrics = score(task, outcome_of(late & (symbol % 12 == 9)), episode)
    assert metrics["accuracy_by_query"].tolist() == [0, 1, 0]
    assert metrics["accuracy_late"] == pytest.approx(1 / 3)
    assert metrics["accuracy"] == pytest.approx(11 / 63)
    metrics = score(task, outcome_of(~late), episode)
    assert metrics["accuracy_late"] == 0 and not metrics["accuracy_by_lag"].any()


def test_key_recall_is_one_query():
    task, same = PAIRS[1], MultiQueryRecall(5, 1, 30, 3, 21)
    assert task.spec == same.spec and task.spec.length == 21 * 12
    for one, other in zip(lives(task), lives(same), strict=True):
        np.testing.assert_array_equal(one, other)
    episode = life(task)
    metrics = score(task, outcome_of(episode.phase == 4), episode)
    assert metrics.keys() == {"loss", "accuracy", "accuracy_late", "accuracy_by_lag"}
    late = episode.phase[10 * 12 :]
    by_lag = [float(lag == 4) if (late == lag).any() else np.nan for lag in (2, 4, 6, 8, 10)]
    np.testing.assert_array_equal(metrics["accuracy_by_lag"], by_lag)
    # Every lag is as likely as any other.
    lags = lives(task).phase[lives(task).scored]
    assert near(np.bincount(lags // 2 - 1) / lags.size, 1 / 5, lags.size)


# Patterns -----------------------------------------------------------------------------------------


def fitting_mean(patterns, probe):
    """The mean of the patterns that fit the probe where it is not zero: the Bayes predictor."""
    return np.mean([p for p in patterns if (p == probe)[probe != 0].all()], axis=0)


def predictions(stimulus, predict):
    """``predict(patterns, probe)`` at every probe, from the stream so far; zeros elsewhere."""
    memory, made = [], np.zeros_like(stimulus)
    for at, vector in enumerate(stimulus):
        if (vector != 0).all():
            memory.append(vector)
        else:
            made[at] = predict(memory, vector)
            memory = []
    return made


class Kept(NamedTuple):
    """An outcome that holds the predictions."""

    loss: np.ndarray
    correct: np.ndarray
    ticks: np.ndarray
    prediction: np.ndarray


def outcome_of_vectors(prediction, episode) -> Kept:
    prediction = prediction.astype(np.float32)
    loss = ((prediction - episode.target) ** 2).sum(axis=1)
    return Kept(loss, np.zeros_like(loss), np.ones_like(loss), prediction)


def test_pattern_trials():
    task = PatternCompletion(bits=6, patterns=4, trials=500)
    episode = life(task)
    stimulus = episode.stimulus.reshape(500, 5, 6)
    patterns, probe = stimulus[:, :4], stimulus[:, 4]
    assert set(patterns.ravel()) == {-1, 1}
    # Fair bits, independent of their neighbours in the pattern, of those of the next pattern, and
    # of those of the next trial: means of products of ±1 have the standard error 1 / sqrt(count).
    for product in (
        patterns,
        patterns[..., 1:] * patterns[..., :-1],
        patterns[:, 1:] * patterns[:, :-1],
        patterns[1:] * patterns[:-1],
    ):
        assert (abs(product.mean(axis=0)) < 5 / math.sqrt(len(product))).all()
    whole = episode.target.reshape(500, 5, 6)[:, 4]
    lag = episode.phase.reshape(500, 5)[:, 4]
    assert (whole == patterns[np.arange(500), 4 - lag]).all()
    hidden = probe == 0
    assert (hidden.sum(axis=1) == 3).all() and (probe[~hidden] == whole[~hidden]).all()
    assert near(hidden.mean(axis=0), 1 / 2, 500)
    together = (hidden.astype(float).T @ hidden / 500)[~np.eye(6, dtype=bool)]
    assert near(together, 1 / 2 * 2 / 5, 500)
    assert near(np.bincount(lag - 1, minlength=4) / 500, 1 / 4, 500)
    assert episode.scored.reshape(500, 5).tolist() == [[False] * 4 + [True]] * 500


@pytest.mark.parametrize(("bits", "patterns"), [(2, 1), (2, 3), (4, 2), (4, 3)])
def test_pattern_floor_is_the_bayes_loss(bits, patterns):
    """The mean loss of the Bayes predictor over all patterns, probed ones and hidden halves."""
    losses = []
    values = [np.array(p) for p in itertools.product([-1.0, 1.0], repeat=bits)]
    # By symmetry the first is probed and its first half hidden; all others are still to be chosen.
    for shown in itertools.product(values, repeat=patterns):
        probe = np.where(np.arange(bits) < bits // 2, 0, shown[0])
        losses.append(((fitting_mean(shown, probe) - shown[0]) ** 2).sum())
    floor = PatternCompletion(bits, patterns).spec.floor
    assert floor == pytest.approx(np.mean(losses), abs=1e-12)


def test_pattern_floor_of_many_bits():
    # One other pattern that fits is all that matters: (patterns - 1) q / 2 a hidden bit.
    expected = 16 * 9 * 2.0**-16 / 2
    assert PatternCompletion(32, 10).spec.floor == pytest.approx(expected, rel=1e-3)
    for bits in (100, 2000, 4000):
        assert PatternCompletion(bits, 3).spec.floor == pytest.approx(0, abs=1e-12)


def test_pattern_predictors():
    """The oracle reaches the floor, constants reach chance, and nothing lies below the floor."""
    task = PatternCompletion(bits=6, patterns=4, trials=1500)
    episode = life(task)
    spec, random = task.spec, np.random.default_rng(0)

    def nearest(patterns, probe):
        return max(patterns, key=lambda pattern: pattern @ probe)

    def guessed(patterns, probe):
        return np.where(probe == 0, random.choice([-1, 1], probe.shape), probe)

    makers = {
        "bayes": fitting_mean,
        "nearest": nearest,
        "latest": lambda patterns, probe: patterns[-1],
        "mean": lambda patterns, probe: np.mean(patterns, axis=0),
        "hebbian": lambda patterns, probe: sum((p @ probe) * p for p in patterns) / 3,
        "probe": lambda patterns, probe: probe,
        "guessed": guessed,
        "zero": lambda patterns, probe: 0 * probe,
        "one": lambda patterns, probe: 0 * probe + 1,
    }
    found, error = {}, {}
    for name, predict in makers.items():
        outcome = outcome_of_vectors(predictions(episode.stimulus, predict), episode)
        found[name] = score(task, outcome, episode)
        error[name] = 5 * outcome.loss[episode.scored].std() / math.sqrt(1500) + 1e-6
        assert found[name]["loss"] > spec.floor - error[name], name
    assert abs(found["bayes"]["loss"] - spec.floor) < error["bayes"]
    assert found["nearest"]["loss"] > spec.floor + error["nearest"]
    assert found["zero"]["loss"] == spec.chance == 6
    assert found["one"]["loss"] > spec.chance + error["one"]
    assert found["probe"]["loss"] == 3
    # Signs: of the second half of the trials, 750 of them, with 6 bits, 3 of them hidden.
    assert near(found["guessed"]["wrong_sign_hidden"], 0.5, 750 * 3)
    assert found["guessed"]["wrong_sign"] == pytest.approx(
        found["guessed"]["wrong_sign_hidden"] / 2
    )
    assert found["probe"]["wrong_sign"] == 0.25 and found["probe"]["wrong_sign_hidden"] == 0.5
    assert found["zero"]["wrong_sign"] == 0.5
    assert abs(found["one"]["wrong_sign"] - 0.5) < 5 * 0.5 / math.sqrt(750 * 6)
    assert found["bayes"]["wrong_sign"] < found["hebbian"]["wrong_sign"] < 0.25


def test_pattern_metrics():
    task = PatternCompletion(bits=4, patterns=3, trials=41)
    episode = life(task)
    late = np.arange(task.spec.length) >= 20 * 4
    # Wrong in the first half; then wrong in bit 0, too small in bit 1, and of lag 2 in all bits.
    factors = np.where((episode.phase == 2)[:, None], -1, [-1, 0.5, 1, 1])
    prediction = np.where(late[:, None], factors * episode.target, -episode.target)
    metrics = score(task, outcome_of_vectors(prediction, episode), episode)
    assert metrics["loss_by_lag"].tolist() == [4.25, 16, 4.25]
    probes = late & episode.scored
    second = (episode.phase[probes] == 2).mean()
    assert metrics["loss_late"] == pytest.approx(16 * second + 4.25 * (1 - second))
    assert metrics["loss"] == pytest.approx((20 * 16 + 21 * metrics["loss_late"]) / 41)
    assert metrics["wrong_sign"] == pytest.approx(second + (1 - second) / 4)
    hidden = episode.stimulus[probes] == 0
    wrong = (episode.phase[probes] == 2)[:, None] | (np.arange(4) == 0)
    assert metrics["wrong_sign_hidden"] == pytest.approx(wrong[hidden].mean())
    # Without predictions, signs are not known: no figure.
    blind = score(task, Outcome(*outcome_of_vectors(prediction, episode)[:3]), episode)
    assert blind.keys() == {"loss", "loss_late", "loss_by_lag"}
    assert all((blind[name] == metrics[name]).all() for name in blind)


class Echo:
    """A learner that predicts what it is shown."""

    def init(self, key, theta):
        return ()

    def step(self, theta, state, stimulus, teaching, key):
        return state, stimulus, jnp.ones(())


def test_a_lifetime_on_patterns():
    """Vectors go through a lifetime as they are, and its record is what `wrong_signs` wants."""
    task = PatternCompletion(bits=4, patterns=2, trials=5)
    lifetime = Lifetime(Echo(), task, record=lambda state, prediction: prediction)

    @jax.jit
    def live(key):
        loss, metrics = lifetime((), key)
        return loss, task.wrong_signs(metrics["record"], lifetime.start((), key)[1])

    loss, wrong = live(jax.random.key(0))
    assert loss == 2
    assert wrong["wrong_sign"] == 0.25 and wrong["wrong_sign_hidden"] == 0.5


# Options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "options", "error", "word"),
    [
        (Copy, {"length": 0}, ValueError, "length must be at least 1"),
        (Copy, {"length": 2.0}, TypeError, "length"),
        (Copy, {"alphabet": 1}, ValueError, "alphabet"),
        (Copy, {"trials": 1}, ValueError, "trials must be at least 2"),
        (SelectiveCopy, {"kept": 0}, ValueError, "kept"),
        (SelectiveCopy, {"span": 0}, ValueError, "span"),
        (SelectiveCopy, {"kept": 5, "span": 4}, ValueError, r"kept must be at most span \(4\)"),
        (SelectiveCopy, {"alphabet": 1}, ValueError, "alphabet"),
        (SelectiveCopy, {"distractors": -1}, ValueError, "distractors"),
        (SelectiveCopy, {"trials": True}, TypeError, "trials"),
        (Resequence, {"length": 0}, ValueError, "length"),
        (Resequence, {"alphabet": 1}, ValueError, "alphabet"),
        (Resequence, {"trials": 1}, ValueError, "trials"),
        (KeyRecall, {"keys": 0}, ValueError, "keys"),
        (KeyRecall, {"keys": 9}, ValueError, r"keys must be at most key_alphabet \(8\), got 9"),
        (KeyRecall, {"values": 1}, ValueError, "values"),
        (KeyRecall, {"trials": 1}, ValueError, "trials"),
        (MultiQueryRecall, {"keys": 17}, ValueError, "keys must be at most key_alphabet"),
        (MultiQueryRecall, {"queries": 9}, ValueError, r"queries must be at most keys \(8\)"),
        (MultiQueryRecall, {"queries": 0}, ValueError, "queries"),
        (MultiQueryRecall, {"key_alphabet": 0}, ValueError, "key_alphabet"),
        (MultiQueryRecall, {"values": 2.5}, TypeError, "values"),
        (PatternCompletion, {"bits": 0}, ValueError, "bits must be at least 2"),
        (PatternCompletion, {"bits": 7}, ValueError, "bits must be even"),
        (PatternCompletion, {"patterns": 0}, ValueError, "patterns"),
        (PatternCompletion, {"trials": 1}, ValueError, "trials"),
    ],
)
def test_bad_sizes(cls, options, error, word):
    with pytest.raises(error, match=word):
        cls(**options)
