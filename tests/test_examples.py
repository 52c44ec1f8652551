"""Every example is run: those of the docstrings, and the Python of the README."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import loopymeta

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = [
    module.name
    for module in pkgutil.walk_packages(loopymeta.__path__, "loopymeta.")
    if not module.name.endswith("__main__")
]
README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert not found.failed


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [len(finder.find(importlib.import_module(name))) for name in MODULES]
    assert len(found) > 25 and sum(found) > 50


@pytest.mark.skipif(not README.exists(), reason="not in a checkout")
def test_the_python_of_the_readme(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    namespace = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    assert "change = " in capsys.readouterr().out
