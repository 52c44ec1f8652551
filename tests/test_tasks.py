"""The task suite: episodes, floors, ceilings, metrics under hand-made predictors."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import socket
from collections import Counter, defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta import data
from loopymeta.tasks import (
    TASKS,
    Caesar,
    Delay,
    Garbage,
    Memorize,
    Names,
    Outcome,
    Reversal,
    Task,
    Text,
    decode,
    encode,
    longest_recalled,
    make_task,
    period_recall,
    suffix_match_recall,
)
from loopymeta.tasks.base import masked_mean, mean_by
from loopymeta.tasks.language import _walk

SYNTHETIC = [
    Memorize(),
    Memorize(length=1, alphabet=2, presentations=1),
    Delay(gap=4, trials=10),
    Delay(gap=4, min_gap=0, cues=5, distractors=3, trials=7),
    Reversal(n=1, sequences=3),
    Reversal(n=3, sequences=150, window=40),
    Caesar(symbols=300),
    Caesar(shift=None, symbols=50),
]
REAL = [
    Names(symbols=300),
    Names(symbols=300, held_out="train", held_out_symbols=90),
    Names(symbols=300, order="fixed", held_out="dev", held_out_symbols=90),
    Text(symbols=300),
    Text(symbols=300, held_out="train", held_out_symbols=90),
    Text(symbols=250, mode="windows", held_out="train", held_out_symbols=90),
    Text(file="huck_fin", symbols=250, mode="windows", held_out="test", held_out_symbols=90),
]


def here(task) -> None:
    """Skips where the data set of a task is not at hand."""
    wanted = {Names: "names", Text: getattr(task, "file", None)}.get(type(task))
    if wanted in data.DATASETS and data.status(wanted) != "cached":
        pytest.skip(f"needs the data set {wanted}")


def named(tasks):
    return pytest.mark.parametrize("task", tasks, ids=lambda task: type(task).__name__.lower())


def perfect(episode) -> Outcome:
    """Right wherever it counts, and as wrong as can be where it does not."""
    right = episode.scored.astype(jnp.float32)
    return Outcome(loss=jnp.where(episode.scored, 0.0, jnp.nan), correct=right, ticks=right + 1)


def constant(episode, symbol: int) -> Outcome:
    right = (episode.target == symbol).astype(jnp.float32)
    return Outcome(loss=1 - right, correct=right, ticks=right + 1)


@functools.lru_cache
def lives(task):
    """(episode, metrics of a perfect predictor): one by one for three keys, and vmapped."""

    def life(key):
        episode = task.sample(key)
        return episode, task.score(perfect(episode), episode)

    keys = jax.random.split(jax.random.key(1), 3)
    one = jax.jit(life)
    return [one(key) for key in keys], jax.jit(jax.vmap(life))(keys)


# All tasks ----------------------------------------------------------------------------------------


@named(SYNTHETIC + REAL)
def test_episode_fits_its_spec(task):
    here(task)
    spec = task.spec
    assert isinstance(task, Task)
    episode, _ = lives(task)[0][0]
    for name, values in episode._asdict().items():
        kind = bool if name in ("scored", "taught") else jnp.int32
        assert values.shape == (spec.length,), name
        assert values.dtype == kind, name
    assert episode.stimulus.min() >= -1 and episode.stimulus.max() < spec.num_inputs
    assert episode.target.min() >= 0 and episode.target.max() < spec.num_outputs
    assert episode.phase.min() >= 0
    # Only what is held out is frozen, and none of it is taught.
    assert not (episode.intervention.astype(bool) & episode.taught).any()
    assert episode.scored.any()
    assert len(spec.symbols) == spec.num_inputs
    assert 0 < spec.chance < 1
    assert hash(task) == hash(dataclasses.replace(task))


@named(SYNTHETIC + REAL)
def test_all_chance_comes_from_the_key(task):
    here(task)
    singles, (together, _) = lives(task)
    for i, (single, _) in enumerate(singles):
        for one, many in zip(single, together, strict=True):
            np.testing.assert_array_equal(one, many[i])
    if getattr(task, "order", "random") == "random" and task.spec.length > 2:
        assert (together.stimulus[0] != together.stimulus[1]).any()


@named(SYNTHETIC + REAL)
def test_scores_are_fixed_shapes_under_jit_and_vmap(task):
    here(task)
    singles, (_, many) = lives(task)
    _, one = singles[0]
    assert {"loss", "accuracy"} <= one.keys()
    assert one["loss"] == 0 and one["accuracy"] == 1
    for name, value in one.items():
        assert many[name].shape == (3, *value.shape), name
        assert value.dtype == jnp.float32, name
        np.testing.assert_allclose(many[name][0], value, rtol=1e-6)


@named([task for task in SYNTHETIC if not isinstance(task, Caesar)] + REAL[:1] + REAL[3:4])
def test_chance_is_that_of_the_best_constant(task):
    here(task)
    symbols = jnp.arange(task.spec.num_outputs)

    @jax.jit
    @jax.vmap
    def accuracies(key):
        episode = task.sample(key)
        return jax.vmap(lambda s: task.score(constant(episode, s), episode)["accuracy"])(symbols)

    accuracy = np.asarray(accuracies(jax.random.split(jax.random.key(5), 300)))
    error = 5 * accuracy.std(axis=0) / math.sqrt(300)
    mean = accuracy.mean(axis=0)
    # No constant lies above chance, and the best reaches it, within 5 standard errors.
    assert (mean < task.spec.chance + error + 1e-6).all()
    best = mean.argmax()
    assert mean[best] > task.spec.chance - error[best] - 1e-6


# Memorize -----------------------------------------------------------------------------------------


def test_memorize_stream():
    task = Memorize(length=4, alphabet=5, presentations=3)
    episode = task.sample(jax.random.key(0))
    shown = episode.stimulus.reshape(3, 4)
    assert (shown == shown[0]).all()
    assert (episode.target == jnp.roll(episode.stimulus, -1)).all()
    assert episode.phase.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert episode.scored.all() and episode.taught.all()
    assert task.spec.floor == pytest.approx(3 * math.log(5) / 12)


def test_memorize_recall_counts_presentations():
    task = Memorize(length=4, alphabet=5, presentations=3)
    episode = task.sample(jax.random.key(0))
    right = (episode.phase >= 1).astype(jnp.float32)
    metrics = task.score(Outcome(1 - right, right, right), episode)
    assert metrics["recall_by_presentation"].tolist() == [0, 1, 1]


def streams_of(length, alphabet, presentations, num_samples, seed):
    sequence = np.random.default_rng(seed).integers(alphabet, size=(num_samples, length))
    return [list(row) * presentations + [row[0]] for row in sequence]


def bayes_credit(stream: list[int], t: int, alphabet: int) -> float:
    """Credit of the most probable symbol by the full posterior over periods, one by one."""
    weight = np.zeros(alphabet)
    for period in range(1, t):
        if all(stream[i] == stream[i - period] for i in range(period, t)):
            weight[stream[t - period]] += float(alphabet) ** -period
    return float(weight.argmax() == stream[t]) if weight.any() else 1 / alphabet


def suffix_credit(stream: list[int], t: int, alphabet: int) -> float:
    """Credit of what followed the latest of the longest matches, by comparing lists."""
    for size in range(t - 1, 0, -1):
        for place in range(t - 1, size - 1, -1):
            if stream[place - size : place] == stream[t - size : t]:
                return float(stream[place] == stream[t])
    return 1 / alphabet


@pytest.mark.parametrize(
    ("function", "credit"), [(period_recall, bayes_credit), (suffix_match_recall, suffix_credit)]
)
def test_ideal_predictors_agree_with_loops(function, credit):
    length, alphabet, presentations = 5, 3, 3
    expected = np.zeros(presentations)
    counts = np.zeros(presentations)
    for stream in streams_of(length, alphabet, presentations, 40, seed=2):
        for t in range(1, len(stream)):
            phase = min(t // length, presentations - 1)
            expected[phase] += credit(stream, t, alphabet)
            counts[phase] += 1
    actual = function(length, alphabet, presentations, num_samples=40, seed=2)
    np.testing.assert_allclose(actual, expected / counts)


def test_ceiling_of_memorize():
    ceiling = Memorize(12, 8, 6).ceiling()
    matcher = suffix_match_recall(12, 8, 6)
    # The first symbol of the second presentation cannot be known: 1/8 of it, and the eleven others.
    assert ceiling[1] == pytest.approx((1 / 8 + 11) / 12, abs=0.01)
    assert ceiling[0] == pytest.approx(1 / 8, abs=0.01)
    assert (ceiling[2:] > 0.999).all()
    assert (matcher <= ceiling + 0.01).all() and matcher[1] < ceiling[1] - 0.02


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 5, 21, 63, 64, 100])
def test_longest_recalled_finds_the_limit(limit):
    tried = []

    def recall(length):
        tried.append(length)
        return 1.0 if length <= limit else 0.5

    found = longest_recalled(recall, start=4, stop=64)
    assert found.length == min(limit, 64)
    assert len(set(tried)) == len(tried) == len(found.table)
    assert [length for length, _ in found.table] == sorted(tried)


def test_longest_recalled_refuses_and_survives_nan():
    assert longest_recalled(lambda length: math.nan).length == 0
    assert longest_recalled(lambda length: float(length <= 21), resolution=8).length == 16
    for options in ({"start": 0}, {"factor": 1.0}, {"stop": 1}, {"threshold": 2.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            longest_recalled(lambda length: 1.0, **options)


# Delay --------------------------------------------------------------------------------------------


def test_delay_trials():
    task = Delay(gap=3, min_gap=1, cues=4, distractors=2, trials=5)
    episode = task.sample(jax.random.key(4))
    stimulus, go = np.asarray(episode.stimulus), np.flatnonzero(episode.scored)
    assert (stimulus[go] == 5).all() and (stimulus == 5).sum() == go.size == 15
    start = np.concatenate([[0], go[:-1] + 1])
    gaps = go - start - 1
    assert (stimulus[start] == np.asarray(episode.target)[go]).all()
    assert (stimulus[start] < 4).all()
    # Each gap once in every cycle of three trials.
    assert (np.sort(gaps.reshape(5, 3), axis=1) == [1, 2, 3]).all()
    filled = np.delete(stimulus, np.concatenate([go, start]))
    assert set(filled) == {6, 7}
    assert (np.asarray(episode.phase) == np.repeat(gaps, gaps + 2)).all()
    assert (episode.taught == episode.scored).all()


def test_delay_accuracy_by_gap():
    task = Delay(gap=3, min_gap=1, trials=20)
    episode = task.sample(jax.random.key(4))
    late = jnp.arange(task.spec.length) >= task.spec.length // 2
    right = ((episode.phase <= 2) & late).astype(jnp.float32)
    metrics = task.score(Outcome(1 - right, right, right), episode)
    assert metrics["accuracy_by_gap"].tolist() == [1, 1, 0]
    assert metrics["accuracy_late"] == pytest.approx(2 / 3)
    assert metrics["accuracy"] == pytest.approx(1 / 3)


def test_delay_zeros():
    episode = Delay(gap=2, trials=3).sample(jax.random.key(0))
    assert (episode.stimulus.reshape(3, 4)[:, 1:] == jnp.array([2, 2, 3])).all()


# Reversal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "floor"), [(2, 0.4165), (3, 0.5074), (4, 0.5381)])
def test_reversal_floor(n, floor):
    """The published floors; and the entropy of the next symbol, summed over every prefix."""
    assert Reversal(n=n).spec.floor == pytest.approx(floor, abs=5e-5)
    alphabet = 3
    prefixes = defaultdict(float)
    for r in range(1, n + 1):
        for letters in itertools.product(range(alphabet), repeat=r):
            text = (*letters, ".", *letters[::-1], *[" "] * (2 * (n - r)))
            for end in range(1, len(text) + 1):
                prefixes[text[:end]] += 1 / n / alphabet**r
    entropy = -sum(
        probability * math.log(probability / prefixes[prefix[:-1]])
        for prefix, probability in prefixes.items()
        if len(prefix) > 1
    )
    assert Reversal(n=n, alphabet=alphabet).spec.floor == pytest.approx(entropy / (2 * n))


def test_reversal_stream():
    task = Reversal(n=3, sequences=400)
    episode = task.sample(jax.random.key(2))
    text = decode(episode.stimulus, task.spec.symbols)
    lengths = Counter()
    for i in range(0, len(text), 7):
        word, mirror = text[i : i + 7].rstrip().split(".")
        assert word == mirror[::-1] and 1 <= len(word) <= 3
        lengths[len(word)] += 1
    assert min(lengths.values()) > 400 / 3 - 5 * math.sqrt(400 * 2 / 9)
    assert (episode.target == jnp.roll(episode.stimulus, -1)).all()
    # All but the first letter of the next sequence.
    assert episode.scored.reshape(-1, 7).tolist() == [[True] * 6 + [False]] * 400
    assert (episode.taught == episode.scored).all()
    # Where the phase is k, the target was shown 2k symbols before it.
    phase = np.asarray(episode.phase)
    place = np.flatnonzero(phase)
    assert all(text[p + 1] == text[p + 1 - 2 * phase[p]] for p in place if p + 1 < len(text))
    assert phase.max() == 3 and (phase > 0).sum() == sum(k * v for k, v in lengths.items())


def test_reversal_metrics():
    task = Reversal(n=3, sequences=400, window=100)
    episode = task.sample(jax.random.key(2))
    sequence = jnp.arange(task.spec.length) // 7
    right = ((sequence >= 200) & (episode.phase != 2)).astype(jnp.float32)
    metrics = task.score(Outcome(1 - right, right, right), episode)
    assert metrics["recall_by_lag"].tolist() == [1, 0, 1]
    assert 0.4 < metrics["recall"] < 0.9
    assert metrics["recall_curve"].shape == (50,)
    assert not metrics["recall_curve"][:25].any() and metrics["recall_curve"][25:].all()
    assert metrics["sequences"] == 400
    right = (sequence >= 200).astype(jnp.float32)
    metrics = task.score(Outcome(1 - right, right, right), episode)
    assert metrics["recall"] == 1 and metrics["loss_late"] == 0
    # Ninety of the last hundred sequences, give or take their lengths.
    assert 280 <= metrics["sequences"] <= 298
    assert task.score(perfect(episode), episode)["sequences"] == 100


# Language -----------------------------------------------------------------------------------------


def test_caesar():
    task = Caesar(shift=3, symbols=500)
    episode = task.sample(jax.random.key(0))
    assert ((episode.stimulus + 3) % 26 == episode.target).all()
    right = (jnp.arange(500) >= 120).astype(jnp.float32)
    metrics = task.score(Outcome(1 - right, right, right), episode)
    assert metrics["letters_to_perfect"] == 120
    right = (jnp.arange(500) % 50 > 0).astype(jnp.float32)
    assert task.score(Outcome(right, right, right), episode)["letters_to_perfect"] == 500
    shifts = {
        int((e.target[0] - e.stimulus[0]) % 26)
        for e in map(jax.jit(Caesar(None, 5).sample), jax.random.split(jax.random.key(0), 60))
    }
    assert len(shifts) > 15 and 0 not in shifts


def test_names_pass_covers_every_training_name_once():
    task = Names(held_out="test")
    here(task)
    train, _, test = data.names_split()
    episode = jax.jit(task.sample)(jax.random.key(0))
    target = np.asarray(episode.target)
    taught = np.asarray(episode.taught)
    assert taught.sum() == 182_625 and (taught == (np.asarray(episode.phase) == 0)).all()
    words = decode(target[taught], task.spec.symbols).split(".")[:-1]
    assert Counter(words) == Counter(train) and words[:100] != train[:100]
    assert decode(target[~taught], task.spec.symbols).split(".")[:-1] == test
    assert (episode.stimulus[1:] == episode.target[:-1]).all() and episode.stimulus[0] == 0
    assert episode.scored.all()
    fixed = Names(order="fixed", symbols=60).sample(jax.random.key(9))
    assert decode(fixed.target, task.spec.symbols) == ".".join(train)[:60]


@pytest.mark.slow
def test_several_passes_meet_every_training_name_again_in_another_order():
    once, thrice = Names(held_out="test"), Names(held_out="test", passes=3)
    here(once)
    train = data.names_split()[0]
    one, three = (jax.jit(task.sample)(jax.random.key(0)) for task in (once, thrice))
    assert thrice.spec.length == 3 * 182_625 + one.target[182_625:].size == three.target.size
    taught = np.asarray(three.target)[np.asarray(three.taught)]
    assert (taught[:182_625] == one.target[:182_625]).all()  # the first pass is the same
    words = decode(taught, once.spec.symbols).split(".")[:-1]
    passes = [words[k * len(train) : (k + 1) * len(train)] for k in range(3)]
    assert all(Counter(each) == Counter(train) for each in passes)
    assert passes[0] != passes[1] != passes[2] != passes[0]
    assert (three.target[-100:] == one.target[-100:]).all()
    assert (three.stimulus[1:182_626] == three.target[:182_625]).all()
    loss = jnp.where(three.taught, 0.0, 3.0)
    metrics = jax.jit(thrice.score)(Outcome(loss, loss, loss), three)
    assert metrics["prequential_nats"] == 0 and metrics["test_nats"] == 3
    assert metrics["test_unseen_nats"] == 3
    cut = dataclasses.replace(thrice, symbols=200_000, held_out="none").sample(jax.random.key(0))
    assert (cut.target == three.target[:200_000]).all()
    slices = (Names(symbols=500, passes=k).sample(jax.random.key(0)) for k in (1, 2))
    assert len({tuple(each.target.tolist()) for each in slices}) == 1
    with pytest.raises(ValueError, match="symbols"):
        _ = Names(symbols=400_000, passes=2).spec
    with pytest.raises(ValueError, match="different names"):
        _ = Names(symbols=200_000, passes=2, held_out="train", held_out_symbols=9).spec


@pytest.mark.parametrize(
    ("part", "split"), [("dev", "lecture"), ("test", "lecture"), ("test", "makemore")]
)
def test_names_that_are_held_out_but_no_training_names(part, split):
    task = Names(symbols=100, held_out=part, split=split)
    here(task)
    train, dev, test = data.names_split(split)
    chosen = {"dev": dev, "test": test}[part]
    known = set(train)
    # The loss of a symbol says whether its name is a training name.
    marks = [float(name in known) for name in chosen for _ in name + "."]
    loss = jnp.concatenate([jnp.full(100, 7.0), jnp.asarray(marks)])
    episode = task.sample(jax.random.key(0))
    assert decode(episode.target[100:], task.spec.symbols).split(".")[:-1] == chosen
    assert not set(decode(episode.target[:100], task.spec.symbols).split(".")[:-1]) - known
    metrics = jax.jit(task.score)(Outcome(loss, loss, loss), episode)
    assert metrics[f"{part}_unseen_nats"] == 0
    assert 0.08 < metrics[f"{part}_nats"] < 0.15
    metrics = task.score(Outcome(1 - loss, loss, loss), episode)
    assert metrics[f"{part}_unseen_nats"] == 1
    cut = Names(symbols=100, held_out=part, held_out_symbols=50, split=split)
    found = cut.score(Outcome(loss[:150], loss[:150], loss[:150]), cut.sample(jax.random.key(0)))
    assert f"{part}_unseen_nats" not in found


def test_names_slices_for_meta_training():
    task = Names(symbols=2000, held_out="train", held_out_symbols=500)
    here(task)
    train = Counter(data.names_split()[0])
    for seed in range(2):
        episode = jax.tree.map(np.asarray, jax.jit(task.sample)(jax.random.key(seed)))
        words = []
        for phase in (0, 1):
            part = episode.phase == phase
            assert episode.stimulus[part][0] == 0
            words += decode(episode.target[part], task.spec.symbols).split(".")[:-1]
        # Drawn without replacement over both parts: no name more often than the file has it.
        assert not Counter(words) - train
        assert len(words) > 250


@pytest.mark.parametrize("size", [2, 10, 25_626])
def test_walk_meets_every_index_once(size):
    for seed in range(5):
        assert sorted(_walk(jax.random.key(seed), size, size).tolist()) == list(range(size))


@pytest.fixture
def book(tmp_path):
    """A text in which every character is different, so that places can be read off."""
    file = tmp_path / "book.txt"
    file.write_text("".join(chr(0x4E00 + i) for i in range(1000)), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("mode", ["running", "windows"])
def test_text_places(book, mode):
    task = Text(book, mode, 20, symbols=200, held_out="train", held_out_symbols=50)
    assert task.spec.num_inputs == 1000
    met = set()
    sample = jax.jit(task.sample)
    for seed in range(30):
        episode = jax.tree.map(np.asarray, sample(jax.random.key(seed)))
        # The training part is a ring: after its last character, 899, comes its first.
        assert (episode.target == (episode.stimulus + 1) % 900).all()
        taught, held_out = (
            {*episode.stimulus[episode.taught == flag], *episode.target[episode.taught == flag]}
            for flag in (True, False)
        )
        assert not taught & held_out
        assert max(taught | held_out) < 900
        jumps = np.flatnonzero(episode.stimulus[1:] != episode.target[:-1])
        assert set(jumps) <= ({199} if mode == "running" else set(range(19, 250, 20)))
        met |= taught
    # A running text ends 51 characters before the end of the part, so that the rest fits in.
    assert len(met) > (700 if mode == "running" else 850)


@pytest.mark.parametrize("mode", ["running", "windows"])
def test_text_test_part_is_the_last_tenth(book, mode):
    task = Text(book, mode, 20, symbols=200, held_out="test")
    sample = jax.jit(task.sample)
    for seed in range(20):
        episode = jax.tree.map(np.asarray, sample(jax.random.key(seed)))
        assert max(episode.stimulus[:200].max(), episode.target[:200].max()) < 900
        assert episode.stimulus[200:].tolist() == list(range(900, 999))
        assert episode.target[200:].tolist() == list(range(901, 1000))
    whole = Text(book, symbols=None).sample(jax.random.key(0))
    assert whole.stimulus.tolist() == list(range(899))


def test_text_metrics(book):
    task = Text(book, symbols=200, held_out="test")
    episode = task.sample(jax.random.key(0))
    loss = jnp.where(episode.taught, math.log(2), 2 * math.log(2))
    metrics = task.score(Outcome(loss, loss, loss), episode)
    assert metrics["prequential_bpc"] == pytest.approx(1)
    assert metrics["test_bpc"] == pytest.approx(2)
    assert metrics["test_nats"] == pytest.approx(2 * math.log(2))
    other = Text(book, symbols=100, held_out="train", held_out_symbols=100)
    assert other.score(Outcome(loss, loss, loss), episode)["held_out_bpc"] == pytest.approx(2)
    np.testing.assert_allclose(metrics["nats_curve"], math.log(2), rtol=1e-5)


@pytest.mark.parametrize("file", ["huck_fin", "tinyshakespeare"])
def test_bits_per_character_of_the_books(file):
    """What the frequencies of the training characters are worth, counted in another way."""
    task = Text(file, symbols=50_000, held_out="test", held_out_symbols=20_000)
    here(task)
    text = data.read_text(file)
    train, test = text[: int(0.9 * len(text))], text[int(0.9 * len(text)) :][1:20_001]
    counts = Counter(train)
    bits = {c: math.log2(len(train) / max(counts[c], 1)) for c in task.spec.symbols}
    episode = jax.jit(task.sample)(jax.random.key(0))
    nats = np.array([bits[symbol] for symbol in task.spec.symbols]) * math.log(2)
    loss = jnp.asarray(nats[np.asarray(episode.target)])
    metrics = task.score(Outcome(loss, loss, loss), episode)
    assert metrics["test_bpc"] == pytest.approx(np.mean([bits[c] for c in test]), rel=1e-4)
    entropy = sum(count * bits[c] for c, count in counts.items()) / len(train)
    assert metrics["prequential_bpc"] == pytest.approx(entropy, abs=0.1)
    assert 4.4 < entropy < 4.9


def test_text_too_large_or_too_short(book, tmp_path):
    with pytest.raises(ValueError, match=r"symbols must be at most 899 .*got 900"):
        _ = Text(book, symbols=900).spec
    with pytest.raises(ValueError, match=r"held_out_symbols must be at most 99"):
        _ = Text(book, symbols=10, held_out="test", held_out_symbols=100).spec
    with pytest.raises(ValueError, match="window must be at most"):
        _ = Text(book, "windows", 900, symbols=10).spec
    with pytest.raises(ValueError, match=r"symbols \+ held_out_symbols"):
        _ = Text(book, symbols=800, held_out="train", held_out_symbols=99).spec
    assert Text(book, symbols=800, held_out="train", held_out_symbols=98).spec.length == 898
    short = tmp_path / "short.txt"
    short.write_text("hello")
    with pytest.raises(data.DataError, match="only 5 characters"):
        _ = Text(str(short)).spec


def test_names_too_large():
    here(Names())
    with pytest.raises(ValueError, match="symbols must be at most 182,625"):
        _ = Names(symbols=200_000).spec
    with pytest.raises(ValueError, match="different names"):
        _ = Names(symbols=60_000, held_out="train", held_out_symbols=60_000).spec


def test_encode_names_what_it_does_not_know():
    assert decode(encode("ava.", ".abv"), ".abv") == "ava."
    with pytest.raises(ValueError, match=r"'É' \(position 1\)"):
        Names().encode("aÉ")


# Options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "error", "word"),
    [
        ("memorize", {"length": 0}, ValueError, "length"),
        ("memorize", {"length": 2.0}, TypeError, "length"),
        ("memorize", {"alphabet": 1}, ValueError, "alphabet"),
        ("memorize", {"presentations": True}, TypeError, "presentations"),
        ("memorize", {"lenght": 3}, ValueError, "Did you mean 'length'"),
        ("memorise", {}, ValueError, "Did you mean 'memorize'"),
        ("delay", {"gap": -1}, ValueError, "gap"),
        ("delay", {"gap": 3, "min_gap": 4}, ValueError, "min_gap must be at most gap"),
        ("delay", {"cues": 1}, ValueError, "cues"),
        ("delay", {"trials": 1}, ValueError, "trials"),
        ("delay", {"distractors": -1}, ValueError, "distractors"),
        ("reversal", {"n": 0}, ValueError, "n must"),
        ("reversal", {"sequences": 0}, ValueError, "sequences"),
        ("reversal", {"alphabet": 1}, ValueError, "alphabet"),
        ("reversal", {"window": 0}, ValueError, "window"),
        ("reversal", {"criterion": 1.1}, ValueError, "criterion"),
        ("names", {"symbols": 0}, ValueError, "symbols"),
        ("names", {"order": "sorted"}, ValueError, "order"),
        ("names", {"held_out": "tset"}, ValueError, "Did you mean 'test'"),
        ("names", {"held_out": "train"}, ValueError, "needs both"),
        ("names", {"held_out_symbols": 9}, ValueError, "nothing is held out"),
        ("names", {"split": "lectures"}, ValueError, "Did you mean 'lecture'"),
        ("names", {"split": "makemore", "held_out": "dev"}, ValueError, "no development names"),
        ("names", {"passes": 0}, ValueError, "passes"),
        ("text", {"file": 3}, TypeError, "file"),
        ("text", {"mode": "window"}, ValueError, "Did you mean 'windows'"),
        ("text", {"window": 0}, ValueError, "window"),
        ("text", {"mode": "windows", "symbols": None}, ValueError, "symbols must be set"),
        ("caesar", {"shift": 0}, ValueError, "shift"),
        ("caesar", {"shift": 26}, ValueError, "shift"),
        ("caesar", {"symbols": 0}, ValueError, "symbols"),
    ],
)
def test_bad_options(name, options, error, word):
    with pytest.raises(error, match=word):
        make_task(name, **options)


def test_tasks_of_tasks_by_one_line_of_text():
    task = make_task("garbage(memorize(length=6, alphabet=6), span=20)", form="silence")
    assert task == Garbage(Memorize(length=6, alphabet=6), span=20, form="silence")
    assert make_task("memorize()", length=7) == Memorize(length=7)
    with pytest.raises(ValueError, match="unknown task 'memorise'. Did you mean 'memorize'"):
        make_task("garbage(memorise(length=6))")
    with pytest.raises(ValueError, match="unknown option of task .*'spam'. Did you mean 'span'"):
        make_task("garbage(memorize)", spam=3)


def test_building_a_task_needs_no_data(monkeypatch, tmp_path):
    """No file is read and no address asked when a task is built."""

    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("LOOPYMETA_CACHE", str(tmp_path / "nothing"))
    monkeypatch.delenv("LOOPYMETA_DATA", raising=False)
    for name in TASKS:
        make_task(name)
    assert not (tmp_path / "nothing").exists()


# Shared means -------------------------------------------------------------------------------------


def test_masked_means():
    values = jnp.array([1.0, jnp.nan, 3.0, 10.0])
    mask = jnp.array([True, False, True, True])
    assert masked_mean(values, mask) == pytest.approx(14 / 3)
    assert jnp.isnan(masked_mean(values, mask & False))
    group = jnp.array([0, 0, 0, -1])
    means = mean_by(values, group, 2, mask)
    assert means[0] == 2 and jnp.isnan(means[1])
