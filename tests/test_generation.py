"""Text on the command line: who has read writes on, and a reading that was stopped goes on."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import some_fast

from loopymeta import cli, leaderboard, parameters, training
from loopymeta.leaderboard import entrant_of
from loopymeta.learners import OnlineRNN, by_name, sample_text
from loopymeta.tasks import Names
from loopymeta.tasks.language import NAME_SYMBOLS

SHORT = ("--set", "symbols=120", "--length", "40")


def written(capsys, *words):
    assert cli.main(["generate", *words]) == 0
    return capsys.readouterr().out.rstrip("\n")


SIZED = ("lstm(width=4)", "snap1(width=4)", "oja")
WHO = ("counts", "ppm", "plastic_memory", *SIZED)


@pytest.mark.parametrize("who", some_fast(WHO, ("counts", "ppm")))
def test_everyone_writes(capsys, who):
    words = (*SHORT, "--prefix", "ann", *(("--hidden", "8") if who in SIZED else ()))
    text = written(capsys, who, *words)
    assert text.startswith("ann") and len(text) <= 43
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz\n")
    assert text == written(capsys, who, *words)


def test_what_was_read_decides_what_is_written(capsys, tmp_path):
    """On a text that repeats itself, the most probable goes on with it."""
    book = tmp_path / "book.txt"
    book.write_text("on we go; that is all. " * 60)
    words = ("--task", f"text(file='{book}', held_out='none', symbols=900)", "--temperature", "0")
    for who in ("counts", "ppm"):
        assert "that is all. on we go" in written(capsys, who, *words, "--prefix", "on we ")


@pytest.mark.parametrize("who", ["counts", "ppm"])
def test_hardly_any_temperature_is_none(capsys, who):
    words = (who, *SHORT, "--prefix", "ann", "--temperature")
    greedy = written(capsys, *words, "0")
    assert all(greedy == written(capsys, *words, tiny) for tiny in ("1e-7", "1e-40", "5e-324"))


def test_who_cannot_be_told_apart_in_a_table_writes_as_well():
    known = by_name.learner_of("lstm(width=2)", Names())
    nameless = NoHash(**{f.name: getattr(known, f.name) for f in dataclasses.fields(known)})
    with pytest.raises(TypeError):
        hash(nameless)
    key, letters = jax.random.key(0), NAME_SYMBOLS
    state = known.init(key)
    texts = [
        sample_text(who, known.init_theta(), state, "ann", 20, 1.0, key, letters)
        for who in (known, nameless)
    ]
    assert texts[0] == texts[1]


class NoHash(OnlineRNN):
    __hash__ = None


def test_what_is_no_number_is_not_drawn_from():
    learner = by_name.learner_of("lstm(width=2)", Names())
    state = learner.init(jax.random.key(0))
    state = state._replace(weight=jax.tree.map(lambda x: x * jnp.nan, state.weight))
    for temperature in (0.0, 1.0):
        with pytest.raises(ValueError, match="predicted is nan"):
            sample_text(
                learner, learner.init_theta(), state, "a", 5, temperature,
                jax.random.key(0), Names().spec.symbols,
            )  # fmt: skip


@pytest.mark.parametrize("prefix", [5, None, ["a"]])
def test_a_prefix_is_a_text(prefix):
    learner = by_name.learner_of("counts", Names())
    with pytest.raises(TypeError, match="prefix must be a text"):
        sample_text(
            learner, learner.init_theta(), None, prefix, 5, 1.0,
            jax.random.key(0), Names().spec.symbols,
        )  # fmt: skip


def test_the_recipe_of_text_is_read_without_its_test_part(capsys):
    assert len(written(capsys, "ppm", "--task", "text", "--set", "symbols=300", "--length", "5"))


def test_without_a_prefix_a_name_begins(capsys):
    words = ("ppm", "--set", "symbols=121", "--length", "40", "--temperature", "0")  # in a name
    begun = written(capsys, *words, "--prefix", ".")
    assert begun == "\n" + written(capsys, *words)


def test_a_reading_is_kept(capsys, tmp_path):
    file = tmp_path / "life"
    first = written(capsys, "ppm", *SHORT, "--file", str(file))
    stored = json.loads(file.read_text())
    assert stored["at"] == 120
    assert first == written(capsys, "ppm", *SHORT, "--file", str(file))
    assert cli.main(["generate", "ppm", *SHORT, "--file", str(file), "--seed", "1"]) == 2
    assert "another" in capsys.readouterr().err
    file.write_text(file.read_text()[:-20])
    assert cli.main(["generate", "ppm", *SHORT, "--file", str(file)]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    (
        (["lstn"], "Did you mean 'lstm'"),
        (["chance"], "nothing to say"),
        (["counts", "--task", "memorize"], "no text"),
        (["counts", "--prefix", "Ü"], "not in the alphabet"),
        (["counts", "--temperature", "-1"], "temperature"),
        (["counts", "--length", "-1"], "length"),
        (["lstm(width=0)"], "width"),
        (["ppm", "--hidden", "5"], "ppm has no hidden nodes: leave --hidden 5 out"),
        (["rtrl(width=20000)"], "rtrl(width=20000) takes 32,0"),
        (["ppm", "--file", "/no/such/dir/x"], "no folder: /no/such/dir"),
    ),
)
def test_what_cannot_be_is_refused(capsys, words, said):
    assert cli.main(["generate", *words]) == 2
    assert said in capsys.readouterr().err


def test_who_writes_noise_says_so(capsys, tmp_path):
    """Random weights that nothing changes; those that an outer loop found are not warned of."""
    words = ("--set", "symbols=20", "--length", "2")
    assert cli.main(["generate", "in_context(width=2)", *words]) == 0
    said = capsys.readouterr().err
    assert "loopymeta: in_context does not learn by reading" in said and said.count("\n") == 2
    learner = by_name.learner_of("in_context(width=2)", Names())
    head = {"format": training.RULE_FORMAT, "version": training.RULE_VERSION, "task": "names"}
    own = {"theta": parameters.theta_to_json(learner.init_theta())}
    file = tmp_path / "found.json"
    file.write_text(json.dumps(head | own | {"learner": "in_context(width=2)"}))
    assert cli.main(["generate", str(file), *words]) == 0
    assert "does not learn" not in capsys.readouterr().err


def test_a_learner_from_a_rule_file_is_an_entrant(tmp_path):
    """What `loopymeta train --learner` found is compared with the theta that it found."""
    theta = {"discount": np.float32(0.4)}
    head = {"format": training.RULE_FORMAT, "version": training.RULE_VERSION, "task": "names"}
    file = tmp_path / "mine.json"
    stored = {"learner": "counts(order=2)", "theta": parameters.theta_to_json(theta)}
    file.write_text(json.dumps(head | stored))
    entrant = entrant_of(str(file))
    assert (entrant.name, entrant.kind) == ("mine", "learner")
    task = cli._named_task("caesar(symbols=50)")
    learner, found = leaderboard.learner_of(entrant.content(), task, 0)
    assert learner.order == 2
    np.testing.assert_allclose(found["discount"], 0.4)
