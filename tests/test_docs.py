"""The pages whose code people copy: it runs, block after block."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from loopymeta.learners import by_name

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {"write_a_task": "testing.check_task(", "write_a_learner": "testing.check_learner("}
"""Page -> what it must call."""

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="not in a checkout")


def blocks_of(page: str) -> list[tuple[int, str]]:
    """(line, code) of every block of Python of a page."""
    text = (DOCS / f"{page}.md").read_text()
    found = re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def run(page: str, blocks: list[tuple[int, str]]) -> None:
    """Runs blocks in one namespace; an error names the line of the page."""
    namespace = {"__name__": page}
    for line, block in blocks:
        # dont_inherit: annotations mean in a page what they mean in a file of its own.
        source, name = "\n" * line + block, str(DOCS / f"{page}.md")
        exec(compile(source, name, "exec", dont_inherit=True), namespace)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_builds_passes_its_check(page):
    """The blocks up to the first check: what everyone copies."""
    blocks = blocks_of(page)
    (first, *_) = (k for k, (_, code) in enumerate(blocks) if PAGES[page] in code)
    run(page, blocks[: first + 1])


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_whole_page(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes files
    monkeypatch.setattr(by_name, "LEARNERS", dict(by_name.LEARNERS))  # and names a learner
    blocks = blocks_of(page)
    run(page, blocks)
    printed = capsys.readouterr().out
    assert len(blocks) > 5 and printed.count("\n") >= 4


def test_the_code_of_plastic_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # it writes files
    blocks = blocks_of("plastic_memory")
    run("plastic_memory", blocks)
    assert len(blocks) == 5
    written = {"nodes.csv", "edges.csv", "names.dot", "completion.png", "graph.png", "life.json"}
    assert {path.name for path in tmp_path.iterdir()} == written
    assert ">em {'>emma_': 2, '>emily_': 1}\n>emma_ {}\n" in capsys.readouterr().out


def test_the_code_of_names(capsys):
    blocks = blocks_of("names")
    run("names", blocks)
    nats, *made = capsys.readouterr().out.splitlines()
    assert len(blocks) == 1 and float(nats) < 0.5
    assert len(made) == 5 and all(name.isalpha() for name in made)


@pytest.mark.parametrize("page", PAGES)
def test_the_names_that_a_page_points_to_exist(page):
    names = set(re.findall(r"`loopymeta\.([\w.]+)`", (DOCS / f"{page}.md").read_text()))
    assert names
    for name in names:
        home, _, last = f"loopymeta.{name}".rpartition(".")
        assert hasattr(importlib.import_module(home), last), name
