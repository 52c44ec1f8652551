"""Baselines live the streams of the very lifetimes that a rule is reported on."""

from __future__ import annotations

import subprocess
import sys

import jax
import numpy as np
import pytest

from loopymeta import data, ngrams
from loopymeta.baselines import baselines, tuned_reservoir
from loopymeta.config import NetworkConfig, TrainConfig
from loopymeta.learners import by_name, decaying_delta
from loopymeta.lifetime import Lifetime
from loopymeta.rules import Delta
from loopymeta.tasks import Caesar, Memorize, Names, Reversal, Text


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("the cat sat on the mat. the rat sat on the cat. " * 20)
    return str(path)


def test_every_task_has_the_reservoir_and_the_lstm(book):
    assert set(baselines(Memorize())) == {"reservoir", "lstm"}
    running = Text(book, symbols=50)
    counts = {"unigram", "bigram", "trigram", "4-gram"}
    assert set(baselines(running)) == {"reservoir", "lstm"} | counts
    assert set(baselines(Text(book, symbols=50, mode="windows", window=10))) == {
        "reservoir",
        "lstm",
    }


def test_the_reservoir_is_the_tuned_one(book):
    """The settings of docs/baselines.md."""

    def gain_and_rule(task):
        network = tuned_reservoir(task).network
        return network.innate.memory_gain, network.output_rule

    assert gain_and_rule(Memorize()) == (1.3, Delta())
    assert gain_and_rule(Reversal()) == (1.3, decaying_delta(1.0, 0.3))
    assert gain_and_rule(Text(book, symbols=50)) == (1.3, decaying_delta(1.0, 0.3))
    wide = by_name.learner_of("reservoir(gain=0.5)", Reversal(), hidden=64).network
    assert (wide.num_memory, wide.innate.memory_gain) == (64, 0.5)
    assert wide.output_rule == decaying_delta(1.0, 0.3)
    if data.status("names") == "cached":
        assert gain_and_rule(Names(symbols=50)) == (0.9, decaying_delta(1.0, 0.1))


def test_counts_see_the_streams_that_networks_see(book):
    task = Text(book, symbols=60, held_out="test", held_out_symbols=12)
    keys = jax.random.split(jax.random.key(3), 2)
    life = TrainConfig(task, task, NetworkConfig(num_hidden=4, num_graphs=1)).lifetime(task)
    found = baselines(task)["bigram"](keys)
    nats = {"prequential_nats", "test_nats"}
    assert set(found) == nats | {"prequential_bpc", "test_bpc"}
    assert found["test_nats"].shape == (2,)
    for name in ("prequential", "test"):
        np.testing.assert_allclose(found[f"{name}_bpc"], found[f"{name}_nats"] / np.log(2))
    for key, prequential, test in zip(
        keys, found["prequential_nats"], found["test_nats"], strict=True
    ):
        _, episode = life.start(life.init_theta(), key)
        target, stimulus = np.asarray(episode.target), np.asarray(episode.stimulus)
        train = np.concatenate([stimulus[:1], target[:60]])
        rest = np.concatenate([stimulus[60:61], target[60:]])
        pair = ngrams.baseline_ngrams(train, rest, task.spec.num_outputs, (2,), None)["bigram"]
        assert (prequential, test) == pair


def test_held_out_names_follow_the_task(book):
    task = Text(book, symbols=60, held_out="train", held_out_symbols=12)
    keys = jax.random.split(jax.random.key(3), 1)
    assert set(baselines(task)["unigram"](keys)) == {
        *("prequential_nats", "held_out_nats"),
        *("prequential_bpc", "held_out_bpc"),
    }
    task = Text(book, symbols=60)
    assert set(baselines(task)["unigram"](keys)) == {"prequential_nats", "prequential_bpc"}


def test_the_reservoir_learns_and_reports_the_metrics_of_the_task():
    task = Caesar(symbols=150)
    keys = jax.random.split(jax.random.key(0), 2)
    found = baselines(task)["reservoir"](keys)
    assert {"loss", "accuracy", "letters_to_perfect"} <= set(found)
    assert all(values.shape[0] == 2 for values in found.values())
    assert found["accuracy"].mean() > 10 * task.spec.chance


@pytest.mark.slow
def test_the_lstm_lives_on_many_devices_without_waiting_for_itself():
    """Births of two devices at once once blocked each other for ever (see `baselines`)."""
    code = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
from loopymeta.baselines import baselines
from loopymeta.tasks import Memorize
found = baselines(Memorize(length=2, presentations=2))["lstm"](jax.random.split(jax.random.key(0), 4))
assert found["loss"].shape == (4,), found
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, capture_output=True)


@pytest.mark.slow
def test_a_baseline_is_a_lifetime_on_the_same_keys():
    from loopymeta.learners.reservoir import reservoir

    task = Memorize(length=2, presentations=2)
    keys = jax.random.split(jax.random.key(5), 2)
    found = baselines(task)["reservoir"](keys)
    life = Lifetime(reservoir(task.spec), task)
    alone = [float(life(life.init_theta(), key)[0]) for key in keys]
    np.testing.assert_allclose(found["loss"], alone, rtol=1e-4)
