"""Cores and memory, also where the system does not tell."""

from __future__ import annotations

import os

import pytest

from loopymeta import _machine
from loopymeta.config import NetworkConfig
from loopymeta.tasks import Memorize


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
