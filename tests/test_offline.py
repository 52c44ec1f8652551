"""Many passes: what is computed, what is chosen, what is kept; the transformer."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from loopymeta import offline
from loopymeta.checkpoint import CheckpointError
from loopymeta.learners import PPM, OnlineRNN
from loopymeta.learners.transformer import Transformer
from loopymeta.offline import Passes, Recurrent, mean_nats, rows_of, train

MODEL = Recurrent(OnlineRNN(4, 4, cell="elman", width=6))
# After 1 comes 2, after 2 comes 3, after 3 the end; what comes first is a matter of chance.
ROWS = rows_of([[1, 2, 3, 0], [2, 3, 0], [3, 0]] * 4)
KEY = jax.random.key(3)
PASSES = Passes(epochs=3, batch=4, learning_rate=0.02)


def same(first, second) -> bool:
    leaves = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in leaves)


# Models -------------------------------------------------------------------------------------------


def by_hand(model: Transformer, weight, stimulus) -> np.ndarray:
    """The logits [L, O] of a transformer, by loops over symbols and heads."""
    weight = jax.tree.map(lambda x: np.asarray(x, np.float64), weight)

    def normal(w, x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w["scale"] + w["bias"]

    def linear(w, x):
        return x @ w["kernel"] + w["bias"]

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    signal = [weight["symbols"][s] + weight["places"][at] for at, s in enumerate(stimulus)]
    size = model.width // model.num_heads
    for block in weight["blocks"]:
        split = [np.split(linear(block["heads"], normal(block["before"], x)), 3) for x in signal]
        after = []
        for at, x in enumerate(signal):
            taken = []
            for head in range(model.num_heads):
                part = slice(head * size, (head + 1) * size)
                scores = [
                    split[at][0][part] @ split[k][1][part] / np.sqrt(size) for k in range(at + 1)
                ]
                share = np.exp(scores) / np.exp(scores).sum()
                taken.append(sum(p * split[k][2][part] for k, p in enumerate(share)))
            x = x + linear(block["joined"], np.concatenate(taken))
            wide = gelu(linear(block["wide"], normal(block["between"], x)))
            after.append(x + linear(block["narrow"], wide))
        signal = after
    return np.array([normal(weight["after"], x) @ weight["readout"] for x in signal])


def test_the_transformer_by_hand():
    model = Transformer(num_symbols=5, width=8, num_layers=2, num_heads=2, context=6)
    # Larger than newborn ones, and none of them zero, so that everything matters.
    weight = model.init_weight(jax.random.key(1))
    leaves, tree = jax.tree.flatten(weight)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    noisy = [x + 0.5 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    weight = jax.tree.unflatten(tree, noisy)
    stimulus = jnp.array([0, 3, 1, 4, 2])
    logits = jax.jit(model.logits)(weight, stimulus)
    np.testing.assert_allclose(logits, by_hand(model, weight, stimulus), rtol=2e-4, atol=2e-5)


def test_the_transformer_has_the_size_of_makemore():
    shapes = jax.eval_shape(Transformer().init_weight, KEY)
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 204_544


def test_the_transformer_refuses():
    with pytest.raises(ValueError, match="num_heads must divide the width 64, got num_heads=3"):
        Transformer(num_heads=3)
    with pytest.raises(TypeError, match="width must be a whole number"):
        Transformer(width=8.5)
    with pytest.raises(ValueError, match="dropout must be less than 1"):
        Transformer(dropout=1)
    with pytest.raises(ValueError, match="dropout must lie between 0 and 1, got -0.1"):
        Transformer(dropout=-0.1)
    model = Transformer(num_layers=1, context=4)
    with pytest.raises(ValueError, match="at most 4 symbols, got 5"):
        jax.eval_shape(lambda: model.logits(model.init_weight(KEY), jnp.zeros(5, int)))


def test_dropout_leaves_out_a_part_and_makes_up_for_it():
    model = Transformer(dropout=0.25)
    left = np.asarray(model._left(jnp.full((400, 50), 3.0), KEY))
    assert set(np.unique(left).tolist()) == {0.0, 4.0}
    np.testing.assert_allclose((left == 0).mean(), 0.25, atol=0.01)


@pytest.mark.slow
def test_dropout_is_only_there_while_it_learns():
    whole = Transformer(num_symbols=4, width=8, num_layers=1, num_heads=2, context=4)
    model = dataclasses.replace(whole, dropout=0.5)
    weight, stimulus = model.init_weight(KEY), jnp.array([0, 1, 2])
    one, other = (model.logits(weight, stimulus, jax.random.key(k)) for k in (1, 2))
    assert not np.allclose(one, other)
    assert same(model.logits(weight, stimulus), whole.logits(weight, stimulus))
    dropped, kept = (train(each, PASSES, ROWS, ROWS, KEY) for each in (model, whole))
    assert not same(dropped.weight, kept.weight)
    np.testing.assert_allclose(
        dropped.dev_nats[-1], mean_nats(whole, dropped.weight, jnp.asarray(ROWS)), rtol=1e-5
    )


# Rows and nats ------------------------------------------------------------------------------------


def test_rows():
    assert rows_of([[1, 0], [2, 3, 0]], 4).tolist() == [[1, 0, -1, -1], [2, 3, 0, -1]]
    with pytest.raises(ValueError, match="3 symbols, more than length=2"):
        rows_of([[1, 2, 0]], 2)
    for sequences in ([], [[1, 0], []]):
        with pytest.raises(ValueError, match="at least one"):
            rows_of(sequences)


@pytest.mark.parametrize("together", [512, 5])
def test_mean_nats_by_hand(monkeypatch, together):
    monkeypatch.setattr(offline, "_TOGETHER", together)
    weight = jax.tree.map(lambda x: 3 * x, MODEL.init_weight(KEY))
    cell, readout = jax.tree.map(np.asarray, (weight["cells"][0], weight["readout"]))
    nats = []
    for row in ROWS.tolist():
        activity, heard = np.zeros(6), 0
        for target in (symbol for symbol in row if symbol >= 0):
            hidden = cell["dense_i"]["kernel"][heard] + cell["dense_i"]["bias"]
            activity = np.tanh(hidden + activity @ cell["dense_h"]["kernel"])
            logits = activity @ readout["kernel"] + readout["bias"]
            nats.append(np.log(np.exp(logits).sum()) - logits[target])
            heard = target
    assert len(nats) == 36
    found = jax.jit(lambda w: mean_nats(MODEL, w, jnp.asarray(ROWS)))(weight)
    np.testing.assert_allclose(found, np.mean(nats), rtol=1e-5)


def test_only_the_networks_of_online_rnns_are_recurrent():
    with pytest.raises(TypeError, match="the network of an OnlineRNN, got a PPM"):
        Recurrent(PPM(4, 4))  # type: ignore[arg-type]


# Making sequences up ------------------------------------------------------------------------------


def chain(temperature):
    """Rows of 20,000 sequences of a model whose every symbol is drawn by the one before alone."""
    logits = jnp.array([[0.0, 2.0, 1.0], [1.0, -1.0, 0.5], [0.0, 0.0, 3.0]])

    @dataclasses.dataclass(frozen=True)
    class Chain:
        def init_weight(self, key):
            return logits

        def logits(self, weight, stimulus, key=None):
            return weight[stimulus]

    made = offline.sample(Chain(), logits, 20_000, 6, KEY, temperature=temperature)
    return made, np.asarray(logits, float)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_what_is_made_up_is_drawn_from_what_is_predicted(temperature):
    made, logits = chain(temperature)
    assert made.shape == (20_000, 6) and made.dtype == np.int32
    p = np.exp(logits / temperature)
    p /= p.sum(axis=1, keepdims=True)
    before = np.pad(made[:, :-1], ((0, 0), (1, 0)))
    for symbol in range(3):
        followed = made[(before == symbol) & (made >= 0)]
        if symbol == 0:  # the beginning alone: nothing comes behind an end
            assert len(followed) == 20_000
        share = np.bincount(followed, minlength=3) / len(followed)
        np.testing.assert_allclose(share, p[symbol], atol=4 * 0.5 / np.sqrt(len(followed)))


def test_a_sequence_that_is_made_up_ends_with_its_end_mark():
    made, _ = chain(1.0)
    for row in made[:200].tolist():
        if 0 in row:
            assert set(row[row.index(0) + 1 :]) <= {-1} and -1 not in row[: row.index(0)]
        else:
            assert -1 not in row
    assert offline.rows_of([[s for s in row if s >= 0] for row in made.tolist()], 6).tolist() == (
        made.tolist()
    )


def test_the_most_probable_sequence():
    made, _ = chain(0.0)
    assert made[:3].tolist() == [[1, 0, -1, -1, -1, -1]] * 3


@pytest.mark.parametrize(
    "model",
    [MODEL, Transformer(num_symbols=4, width=8, num_layers=1, num_heads=2, context=4)],
    ids=["recurrent", "transformer"],
)
def test_what_was_learned_is_made_up(model):
    done = train(model, Passes(epochs=60, batch=4, learning_rate=0.05), ROWS, ROWS, KEY)
    made = offline.sample(model, done.best, 300, 4, KEY)
    known = {tuple(row) for row in ROWS.tolist()}
    assert np.mean([tuple(row) in known for row in made.tolist()]) > 0.9
    assert {tuple(row) for row in made.tolist()} >= known


@pytest.mark.parametrize("temperature", [1e-4, 1e-7, 1e-40, 5e-324])
def test_hardly_any_temperature_is_none(temperature):
    made, _ = chain(temperature)
    assert made[:3].tolist() == [[1, 0, -1, -1, -1, -1]] * 3


def test_making_up_refuses():
    weight = MODEL.init_weight(KEY)
    unknown = jax.tree.map(lambda x: x * jnp.nan, weight)
    for temperature in (0.0, 1.0):
        with pytest.raises(ValueError, match="predicted is nan"):
            offline.sample(MODEL, unknown, 2, 4, KEY, temperature=temperature)
    progress = offline.Progress(weight, None, 0, None, None, weight)
    for act in (
        lambda: offline.sample(MODEL, progress, 2, 4, KEY),
        lambda: mean_nats(MODEL, progress, ROWS),
    ):
        with pytest.raises(TypeError, match=r"pass progress\.best"):
            act()
    for count, length, temperature, words in (
        (0, 4, 1.0, "count must be at least 1"),
        (1, 0, 1.0, "length must be at least 1"),
        (1, 4, -1.0, "temperature must be at least 0"),
        (1, 4, float("nan"), "temperature"),
    ):
        with pytest.raises(ValueError, match=words):
            offline.sample(MODEL, weight, count, length, KEY, temperature=temperature)


# Training -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """Three passes without a break, and what was seen of each."""
    seen = []
    return train(MODEL, PASSES, ROWS, ROWS, KEY, watch=seen.append), seen


def test_steps_by_hand():
    """Of two passes of one minibatch each: all rows, at the whole rate and then at half of it."""
    passes = Passes(epochs=2, batch=len(ROWS), learning_rate=0.02)
    done = train(MODEL, passes, ROWS, ROWS, KEY)
    loss = jax.jit(jax.value_and_grad(lambda weight: mean_nats(MODEL, weight, jnp.asarray(ROWS))))
    weight = MODEL.init_weight(jax.random.split(KEY)[0])
    rates = optax.piecewise_constant_schedule(0.02, {1: 0.5})
    optimizer = optax.adamw(rates, b2=0.99, weight_decay=0.01)
    state, losses = optimizer.init(weight), []
    for _ in range(2):
        value, gradient = loss(weight)
        losses.append(value)
        change, state = optimizer.update(gradient, state, weight)
        weight = optax.apply_updates(weight, change)
    np.testing.assert_allclose(done.train_nats, losses, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), done.weight, weight
    )


def test_a_pass_meets_every_row_once():
    still = Passes(epochs=2, batch=4, learning_rate=1e-12)
    rows = rows_of([[k % 3 + 1] * (k % 5 + 1) + [0] for k in range(12)])
    done = train(MODEL, still, rows, rows, KEY)
    np.testing.assert_allclose(done.train_nats, done.dev_nats, rtol=1e-5)


def test_it_learns(trained):
    long = train(MODEL, Passes(epochs=40, batch=4, learning_rate=0.05), ROWS, ROWS, KEY)
    # One of three beginnings, then no doubt: 12 ln 3 nats over 36 symbols.
    assert np.log(3) / 3 - 1e-3 < long.dev_nats[-1] < np.log(3) / 3 + 0.03 < trained[0].dev_nats[-1]


def test_it_learns_in_float64_too(x64):
    done = train(MODEL, Passes(epochs=1, batch=4), ROWS, ROWS, KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves(done.weight)} == {np.dtype("float64")}
    assert np.isfinite(done.dev_nats).all()


def test_the_best_weights_are_those_of_the_best_pass(trained):
    done, seen = trained
    assert int(np.argmin(done.dev_nats)) == 2 and same(done.best, done.weight)
    # What is learned is the opposite of what is asked: the first pass is the best.
    opposite = rows_of([[3, 2, 1, 0], [1, 3, 2, 0]] * 3)
    passes = Passes(epochs=3, batch=4, learning_rate=0.2, final=1.0)
    seen = []
    done = train(MODEL, passes, ROWS, opposite, KEY, watch=seen.append)
    best = int(np.argmin(done.dev_nats))
    assert best < 2 and same(done.best, seen[best].weight)
    assert not same(done.best, done.weight)


def test_what_is_not_finite_is_not_the_best():
    passes = Passes(epochs=2, batch=4, learning_rate=1e38, optimizer="sgd", final=1.0)
    with pytest.warns(RuntimeWarning, match="diverged"):
        done = train(MODEL, passes, ROWS, ROWS, KEY)
    assert not np.isfinite(done.dev_nats).any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(done.best))


class Stopped(Exception):
    pass


def test_stop_and_go_on(tmp_path, trained):
    file = tmp_path / "training"

    def stop(progress):
        if progress.epoch == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(MODEL, PASSES, ROWS, ROWS, KEY, file=file, watch=stop)
    seen = []
    done = train(MODEL, PASSES, ROWS, ROWS, KEY, file=file, watch=seen.append)
    assert [int(progress.epoch) for progress in seen] == [3]
    assert same(done, trained[0])
    for rows, key in ((ROWS[:-1], KEY), (ROWS, jax.random.key(4))):
        with pytest.raises(CheckpointError, match="another training"):
            train(MODEL, PASSES, rows, ROWS, key, file=file)
    with pytest.raises(CheckpointError, match="another number of passes"):
        train(MODEL, dataclasses.replace(PASSES, epochs=4), ROWS, ROWS, KEY, file=file)


def test_nothing_is_compiled_twice(trained):
    newborn, one_pass = offline._compiled(MODEL, PASSES)
    before = one_pass._cache_size()
    train(MODEL, PASSES, ROWS, ROWS, KEY)
    assert (newborn._cache_size(), one_pass._cache_size()) == (1, before) and before


def test_lists_of_one_length_are_rows(trained):
    assert same(train(MODEL, PASSES, ROWS.tolist(), ROWS.tolist(), KEY), trained[0])


def test_training_refuses():
    with pytest.raises(ValueError, match="a minibatch has 32 sequences, but there are 12"):
        train(MODEL, Passes(), ROWS, ROWS, KEY)
    for rows, dev, words in (
        (ROWS, ROWS[:0], "at least one development sequence"),
        (ROWS + (ROWS == 3), ROWS, "rows must hold symbols 0 to 3, and -1 .* got -1 to 4"),
        (ROWS, ROWS - 1, "dev must hold symbols"),
        ([[1, 2, 0], [2, 0]] * 6, ROWS, r"rows must be an array \[W, L\] .* rows_of makes"),
        (ROWS, [1, 2, 0], r"dev must be an array \[W, L\]"),
        (ROWS, ROWS * 0.5, "dev must be an array .* of whole numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            train(MODEL, PASSES, rows, dev, KEY)
    with pytest.raises(ValueError, match="at least one sequence"):
        mean_nats(MODEL, MODEL.init_weight(KEY), ROWS[:0])
    for choices, words in (
        ({"epochs": 0}, "epochs"),
        ({"batch": 0}, "batch"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"final": 1.5}, "final"),
        ({"optimizer": "adamww"}, "Did you mean 'adamw'"),
    ):
        with pytest.raises(ValueError, match=words):
            Passes(**choices)


def test_a_training_that_cannot_be_kept_is_refused_at_once(tmp_path):
    import optax

    nameless = Passes(epochs=1, batch=4, optimizer=lambda rate: optax.sgd(rate))
    with pytest.raises(ValueError, match="without a name"):
        train(MODEL, nameless, ROWS, ROWS, KEY, file=tmp_path / "training")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(MODEL, PASSES, ROWS, ROWS, KEY, file=tmp_path / "nowhere" / "training")


SCRIPT = """
import sys
import jax
from test_offline import KEY, MODEL, ROWS, Passes, train

def watch(progress):
    print(int(progress.epoch), flush=True)

train(MODEL, Passes(epochs=2000, batch=4), ROWS, ROWS, KEY, file=sys.argv[1], watch=watch)
"""


@pytest.mark.slow
def test_a_killed_training_goes_on(tmp_path):
    file = tmp_path / "training"
    command = [sys.executable, "-c", SCRIPT, str(file)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])
    }
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if int(line) >= 5:
                time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    passes, seen = Passes(epochs=2000, batch=4), []

    def stop(progress):
        seen.append(progress)
        if len(seen) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        train(MODEL, passes, ROWS, ROWS, KEY, file=file, watch=stop)
    reached = int(seen[-1].epoch)
    assert 7 < reached < 2000

    def stop_there(progress):
        if progress.epoch == reached:
            seen.append(progress)
            raise Stopped

    with pytest.raises(Stopped):
        train(MODEL, passes, ROWS, ROWS, KEY, watch=stop_there)
    assert same(seen[-1], seen[-2])
