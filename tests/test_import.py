"""What is imported when: jax late, and the rest only where it is used."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

HEAVY = ("jax", "jaxlib", "evosax", "matplotlib", "pandas", "networkx", "flax", "optax", "scipy")


def python(*arguments: str) -> subprocess.CompletedProcess:
    """A fresh interpreter, in which nothing is imported yet."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_START"},
    )


def test_importing_loopymeta_imports_nothing_heavy():
    said = python("-X", "importtime", "-c", "import loopymeta").stderr
    found = set(re.findall(r"\|\s+(\w+)[\w.]*$", said, re.MULTILINE))
    assert "loopymeta" in found
    assert not found & set(HEAVY)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--help",
        "--version",
        "train --help",
        "train memorize --help",
        "train names --help",
        "train text --help",
        "evaluate --help",
        "rules --help",
        "rules",
        "tasks --help",
        "tasks",
        "tasks reversal",
        "data --help",
        "plot --help",
    ],
)
def test_help_and_lists_answer_without_jax(words):
    code = f"""
import sys
from loopymeta import cli
try:
    status = cli.main({words.split()!r})
except SystemExit as stop:
    status = stop.code or 0
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert status == 0, status
assert not heavy, heavy
"""
    assert "loopymeta" in python("-c", code).stdout or words in ("rules", "tasks")


def test_every_public_name_is_there():
    code = """
import loopymeta
assert set(loopymeta.__all__) <= set(dir(loopymeta))
for name in loopymeta.__all__:
    assert getattr(loopymeta, name) is not None, name
try:
    loopymeta.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise AssertionError
"""
    python("-c", code)


def test_every_module_is_there_at_once():
    code = """
import pkgutil
import loopymeta as lm
public = {m.name for m in pkgutil.iter_modules(lm.__path__) if not m.name.startswith("_")}
assert public - {"cli"} == set(lm._MODULES), public ^ set(lm._MODULES)
for name in lm._MODULES:
    assert getattr(lm, name).__name__ == f"loopymeta.{name}"
"""
    python("-c", code)


def test_nothing_needs_what_only_type_checkers_do():
    python(
        "-c",
        """
import sys
sys.modules["jaxtyping"] = None
import loopymeta as lm
for name in lm.__all__:
    getattr(lm, name)
""",
    )


def test_jax_imported_before_or_after_is_the_same_jax():
    python(
        "-c", "import loopymeta, jax; from loopymeta import meta; assert meta.jax.jit is jax.jit"
    )
    python("-c", "import jax, loopymeta; from loopymeta import meta; assert meta.jax is jax")
