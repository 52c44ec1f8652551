"""Cores and memory, also where the system does not tell."""

from __future__ import annotations

import dataclasses
import os

import jax
import pytest

from loopymeta import _machine, leaderboard, training
from loopymeta.config import NetworkConfig
from loopymeta.learners import PPM, by_name
from loopymeta.lifetime import Lifetime, check_memory
from loopymeta.living import live_through
from loopymeta.tasks import Caesar, Memorize


def test_cores_and_memory_of_this_machine():
    assert 1 <= _machine.num_cores() <= os.cpu_count()
    memory = _machine.memory_bytes()
    assert memory is None or memory > 1 << 28


def test_systems_that_tell_less(monkeypatch):
    """macOS and Windows have no affinity, Windows no sysconf."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert _machine.num_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert _machine.num_cores() == 1
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert _machine.memory_bytes() is None
    _machine.check_memory("all of it takes", 1e30, "less")
    assert NetworkConfig(num_hidden=4, num_graphs=1).build(Memorize().spec)


def test_what_memory_cannot_hold(monkeypatch):
    monkeypatch.setattr(_machine, "memory_bytes", lambda: 2 * 10**9)
    _machine.check_memory("it takes", 2e9, "less")
    with pytest.raises(ValueError, match=r"it takes 3 GB; this machine has 2 GB: less"):
        _machine.check_memory("it takes", 3e9, "less")


def test_a_learner_that_memory_cannot_hold_is_not_lived(monkeypatch):
    """Computed, it would wait for a buffer for ever."""
    task, key = Caesar(symbols=10), jax.random.key(0)
    learner = by_name.learner_of("rtrl(width=10)", task)
    large = dataclasses.replace(learner, width=20_000)
    with pytest.raises(ValueError, match=r"OnlineGradient takes 32,\d+ GB; this machine has"):
        live_through(Lifetime(large, task), learner.init_theta(), key)
    text = "rtrl(width=20000)"
    with pytest.raises(ValueError, match=r"rtrl\(width=20000\) takes 32,\d+ GB"):
        leaderboard.learner_of(leaderboard.entrant_of(text).content(), task, 0)
    with pytest.raises(ValueError, match=r"rtrl\(width=20000\) takes 32,\d+ GB"):
        training.evaluate_learner(text, {}, task)
    monkeypatch.setattr(_machine, "memory_bytes", lambda: 0)
    check_memory(PPM.for_task(task))  # grows on the host as it lives
