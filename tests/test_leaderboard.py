"""The suite and the leaderboard: honest figures, cells that are kept, processes that may die."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import loopymeta as lm
from loopymeta import cli, leaderboard, tasks, training
from loopymeta.config import NetworkConfig
from loopymeta.leaderboard import CHANCE, Entrant, cell_of, compare, entrants_of, live_cell
from loopymeta.learners import by_name
from loopymeta.lifetime import live
from loopymeta.network import Innate
from loopymeta.rules import Zero
from loopymeta.suite import QUICK_HIDDEN, SUITE, SUITE_QUICK, Entry, suite
from loopymeta.tasks import TASKS

COPY = Entry(tasks.Copy(length=2, trials=20), "accuracy_late", True)
HENON = Entry(tasks.Henon(symbols=60), "nmse_late")
SHIFT = Entry(tasks.Shift(segments=2, segment_length=60))


class Heard(leaderboard.Watcher):
    """Keeps what it hears."""

    def __init__(self):
        self.lived, self.notes, self.kept, self.cells = [], [], None, None

    def begin(self, cells, kept):
        self.cells, self.kept = cells, kept

    def finished(self, cell, result):
        self.lived.append((cell.entrant, cell.task, result["status"]))

    def note(self, text):
        self.notes.append(text)


def some(*names):
    """Entrants of few nodes by name, no others beside them."""
    every = entrants_of(names, hidden=8, learner_hidden=8)
    return [entrant for entrant in every if entrant.name in (*names, CHANCE)]


def of(board, task, entrant):
    return next(c for c in board["cells"] if (c["task"], c["entrant"]) == (task, entrant))


# --- the suite -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["quick", "full"])
def test_every_registered_task_is_in_both_suites(name):
    missing = set(TASKS.values()) - {type(entry.task) for entry in suite(name).values()}
    assert not missing
    assert {type(entry.task) for entry in suite(name).values()} <= set(TASKS.values())


def real_data(entry):
    return isinstance(entry.task, (tasks.Names, tasks.Text, tasks.Omniglot, tasks.SequentialDigits))


@pytest.mark.parametrize(
    "entries", [pytest.param(SUITE, marks=pytest.mark.slow), SUITE_QUICK], ids=["full", "quick"]
)
def test_every_metric_exists(entries):
    for name, entry in entries.items():
        if real_data(entry) and (entries is SUITE_QUICK or not os.environ.get("LOOPYMETA_DATA")):
            continue  # which takes seconds to read
        length, outputs = entry.task.spec.length, entry.task.spec.num_outputs
        vectors = entry.task.spec.loss == "squared_error"
        zeros = jax.ShapeDtypeStruct((length,), jnp.float32)
        prediction = jax.ShapeDtypeStruct((length, outputs), jnp.float32) if vectors else None
        episode = jax.eval_shape(entry.task.sample, jax.eval_shape(lambda: jax.random.key(0)))
        outcome = tasks.Outcome(zeros, zeros, zeros, prediction)
        scores = jax.eval_shape(entry.task.score, outcome, episode)
        assert entry.metric in scores and scores[entry.metric].shape == (), name


def test_the_best_figure_that_can_be():
    shift = tasks.Shift()
    assert Entry(shift).best == shift.spec.floor
    assert COPY.best == 1.0 and HENON.best == 0.0
    assert Entry(tasks.Copy(), "symbols").best is None
    assert Entry(tasks.Copy(), "symbols", limit=3.0).best == 3.0
    with pytest.raises(ValueError, match="Did you mean 'quick'"):
        suite("quik")


@pytest.mark.parametrize("name", ["delay", "boolean-xor", "henon", "shift"])
def test_who_knows_nothing_has_the_figure_of_the_guess(name):
    """A network that never changes, whose outputs are silent, guesses alike at every symbol."""
    entry = SUITE_QUICK[name]
    silent = NetworkConfig(num_hidden=4, rule=Zero(), innate=Innate(output_gain=0.0))
    lives = [live(silent.build(entry.task.spec), entry.task, lm.key(seed)) for seed in range(3)]
    figures = [float(each[entry.metric]) for each in lives]
    assert np.mean(figures) == pytest.approx(entry.guess, rel=0.12)
    assert entry.guess != entry.best


def test_figures_that_a_task_does_not_have_are_refused():
    assert Entry(tasks.Copy()).guess == tasks.Copy().spec.guess_loss == pytest.approx(np.log(8))
    with pytest.raises(ValueError, match="Did you mean 'accuracy_late'"):
        _ = Entry(tasks.Copy(), "acuracy_late").guess


# --- who is compared -----------------------------------------------------------------------------


def test_controls_stand_behind_their_rule_and_the_others_beside():
    names = [e.name for e in entrants_of(["counts", "oja", "lstm"])]
    assert names == ["oja", "frozen", "shuffled", "counts", "reservoir", "lstm", "chance"]
    names = [e.name for e in entrants_of(["oja", "hebb"])]
    assert names[:6] == [
        "oja",
        "oja: frozen",
        "oja: shuffled",
        "hebb",
        "hebb: frozen",
        "hebb: shuffled",
    ]
    assert [e.name for e in entrants_of([])] == ["reservoir", "lstm", "chance"]


def test_long_names_stay_apart():
    rules = [f"written('0.1 * pre * post + 0.001 * pre * {k}')" for k in (1, 2)]
    entrants = entrants_of(rules)
    names = [e.name for e in entrants if e.control == "none"]
    assert len(set(names)) == 2 and all(len(name) <= 28 for name in names)
    assert (
        entrants_of(["running_scale(rflo(relays=2), eta=0.003)"])[0].name == "running_scale(rflo)"
    )


def test_a_rule_gets_what_it_needs():
    by_name = {e.name: e for e in entrants_of(["node_perturbation", "three_factor"])}
    noisy = by_name["node_perturbation"].network
    assert noisy.noise > 0
    rewarded = by_name["three_factor"].network
    assert ("reward" in rewarded.rule.needs) == (rewarded.teaching == "reward")


def test_sizes_are_set():
    assert entrants_of(["oja"], hidden=7)[0].network.num_hidden == 7
    lstm = next(e for e in entrants_of([], learner_hidden=9) if e.name == "lstm")
    assert by_name.learner_of("lstm", COPY.task, lstm.hidden).width == 9
    pool = dataclasses.replace(leaderboard.DEFAULT_NETWORK, num_hidden=0, num_memory=5)
    assert leaderboard.resized(pool, 3).num_memory == 3


def test_a_leaderboard_says_how_many_hidden_units_everyone_has():
    for small, said in ((None, "learners have their own number"), (8, "8 in learners whose name")):
        entrants = entrants_of(["oja"], hidden=6, learner_hidden=small)
        done = {"status": "unable", "reason": "for once"}
        results = {("copy", entrant.name): done for entrant in entrants}
        board = leaderboard.figures(entrants, {"copy": COPY}, results, seeds=2, seed=0)
        assert f"Hidden units: 6 in networks of rules; {said}" in leaderboard.markdown(board)
        written = [text.get_text() for text in leaderboard.heat_map(board).texts]
        assert any(leaderboard.sizes(board) in text for text in written)
        assert "1 task, mean over 2 fresh seeds" in written


def test_the_help_says_how_many_hidden_units_everyone_has(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--suite", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"learners have {QUICK_HIDDEN} in quick" in shown


# --- a cell --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cell_has_the_figures_of_a_report(tmp_path):
    """The same keys and graphs as `training.evaluate_rule`."""
    rule = some("hebb")[0]
    text = cell_of(rule, "copy", COPY, seeds=2, seed=3).text
    result = live_cell(text)
    report = training.evaluate_rule(
        rule.network, None, COPY.task, seeds=2, seed=3, controls=(), with_baselines=False
    )
    expected = report["learned"]["accuracy_late"]["per_seed"]
    np.testing.assert_allclose(result["metrics"]["accuracy_late"], expected, rtol=1e-5)
    assert result["symbols"] == COPY.task.spec.length
    assert result["compile_seconds"] > 0 and result["seconds"] > 0


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(tasks.Reversal(n=2, sequences=300, window=30), marks=pytest.mark.slow),
        tasks.Caesar(symbols=2000),
        pytest.param(tasks.Add(sets=30), marks=pytest.mark.slow),
        pytest.param(tasks.Redundant(4, 2, examples=400), marks=pytest.mark.slow),
    ],
)
def test_chance_is_the_chance_of_the_spec(task):
    metrics = live_cell(cell_of(Entrant(CHANCE, "chance"), "task", Entry(task), 4, 0).text)[
        "metrics"
    ]
    figure = metrics["accuracy" if "accuracy" in metrics else "loss"]
    error = 4 * np.std(figure, ddof=1) / 2 + 0.01
    assert abs(np.mean(figure) - task.spec.chance) < error


def test_who_cannot_live_a_task_says_why_and_a_bug_is_a_failure(monkeypatch):
    counts = Entrant("counts", "learner", learner="counts")
    unable = live_cell(cell_of(counts, "henon", HENON, 2, 0).text)
    assert unable["status"] == "unable" and "targets that are symbols" in unable["reason"]

    def buggy(task):
        return jnp.ones(3) @ jnp.ones(2)  # jax's own TypeError

    monkeypatch.setitem(by_name.LEARNERS, "counts", by_name.Kind(buggy, buggy))
    assert live_cell(cell_of(counts, "henon", HENON, 2, 0).text)["status"] == "failed"


def test_the_content_decides_the_cell():
    rule = some("hebb")[0]
    one = cell_of(rule, "copy", COPY, 2, 0).digest
    assert cell_of(rule, "other name", COPY, 2, 0).digest == one
    other_metric = dataclasses.replace(COPY, metric="loss", higher_is_better=False)
    assert cell_of(rule, "copy", other_metric, 2, 0).digest == one
    others = [
        cell_of(rule, "copy", COPY, 2, 1),
        cell_of(rule, "copy", COPY, 3, 0),
        cell_of(some("oja")[0], "copy", COPY, 2, 0),
        cell_of(rule, "copy", dataclasses.replace(COPY, task=tasks.Copy(length=3)), 2, 0),
        cell_of(dataclasses.replace(rule, theta={"rule": {"eta": 0.3}}), "copy", COPY, 2, 0),
    ]
    assert len({one, *(cell.digest for cell in others)}) == 6


def test_a_reservoir_has_settings_where_something_is_asked_of_it():
    plain = Entrant("reservoir", "learner", learner="reservoir")
    assert plain.settings(COPY.task) is None  # as it always was: its cells are kept
    entrants = [
        dataclasses.replace(plain, hidden=8),
        dataclasses.replace(plain, learner="reservoir(num_hidden=8)"),
    ]
    cells = [cell_of(e, "copy", COPY, 2, 0) for e in (plain, *entrants)]
    assert len({cell.digest for cell in cells}) == 3
    assert "num_memory=8" in cells[2].text and "0x" not in cells[2].text


# --- cells are kept ------------------------------------------------------------------------------


def test_finished_cells_are_kept_and_damaged_ones_lived_again(tmp_path):
    entrants, entries = some(), {"copy": COPY, "henon": HENON}
    choices = {"seeds": 2, "out": tmp_path, "jobs": 0}
    first = Heard()
    board = compare(entrants, entries, **choices, watcher=first)
    assert (first.cells, first.kept, len(first.lived)) == (2, 0, 2)
    files = sorted((tmp_path / "cells").glob("*.json"))
    assert len(files) == 2

    for damaged in (files[0].read_text().replace("symbols", "symbls"), files[0].read_text()[:40]):
        files[0].write_text(damaged)
        again = Heard()
        same = compare(entrants, entries, **choices, watcher=again)
        assert (again.kept, len(again.lived), len(again.notes)) == (1, 1, 1)
        assert "lived again" in again.notes[0]

    third = Heard()
    fewer = compare(entrants, {"copy": COPY}, **choices, watcher=third)
    assert (third.cells, third.kept, third.lived) == (1, 1, [])
    for key in ("mean", "spread", "values"):
        assert of(same, "copy", CHANCE)[key] == of(board, "copy", CHANCE)[key]
        assert of(fewer, "copy", CHANCE)[key] == of(board, "copy", CHANCE)[key]


def test_numbers_that_cannot_be_are_refused(tmp_path):
    for bad in ({"seeds": 1}, {"seed": -1}, {"jobs": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            compare(some("counts"), {"copy": COPY}, out=tmp_path, **bad)


# --- learners, tasks and rules of one's own ------------------------------------------------------


LIKES = """
import dataclasses
import jax.numpy as jnp

@dataclasses.dataclass(frozen=True)
class Likes:
    num_outputs: int
    liking: float = 3.0

    def init_theta(self, key=None):
        return ()

    def space(self):
        return ()

    def init(self, key, theta):
        return jnp.zeros(())

    def step(self, theta, state, stimulus, teaching, key):
        return state, jnp.zeros(self.num_outputs).at[SYMBOL].set(self.liking), jnp.ones(())

def likes(task, **options):
    return Likes(task.spec.num_outputs, **options)
"""

FLIPS = """
import dataclasses
import jax
from loopymeta.tasks import Spec
from loopymeta.tasks.base import scores, stream_episode

@dataclasses.dataclass(frozen=True)
class Flips:
    symbols: int = 40

    @property
    def spec(self):
        return Spec(2, 2, self.symbols, "cross_entropy", chance=0.5)

    def sample(self, key):
        flips = jax.random.bernoulli(key, CHANCE, (self.symbols,)).astype(int)
        return stream_episode(flips, flips)

    def score(self, outcome, episode):
        return scores(outcome, episode)
"""

STILL = """
import dataclasses
from loopymeta.rules import Hebb

@dataclasses.dataclass(frozen=True)
class Still(Hebb):
    def update(self, *arguments):
        FACTOR
        return super().update(*arguments)
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """(name, text, old=True) -> the module of that text, written before this process began or not.

    Each time it is another module of the same name, as in a process that begins after a change.
    """

    def write(name, text, old=True):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        if old:
            os.utime(file, (0, 0))
        module = types.ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(text, str(file), "exec", dont_inherit=True), vars(module))
        return module

    return write


@pytest.fixture
def register(monkeypatch):
    """Puts the learner of a module into the table as ``likes``."""
    return lambda module: monkeypatch.setitem(
        by_name.LEARNERS, "likes", by_name.Kind(module.likes, module.Likes)
    )


def accuracy(out, entrants, entry=COPY, **choices):
    """(mean accuracy of the first entrant, how many cells were lived)."""
    heard = Heard()
    choices = {"seeds": 2, "jobs": 0} | choices
    board = compare(entrants, {"copy": entry}, out=out, watcher=heard, **choices)
    cell = of(board, "copy", entrants[0].name)
    assert cell["status"] == "ok", cell
    return cell["mean"], len(heard.lived)


def test_a_learner_of_ones_own_is_lived_again_when_its_code_changes(tmp_path, written, register):
    entry = Entry(tasks.Copy(length=2, trials=20), "loss")
    register(written("liking", LIKES.replace("SYMBOL", "0")))
    first, lived = accuracy(tmp_path, some("likes"), entry)
    assert lived == 2
    assert accuracy(tmp_path, some("likes"), entry) == (first, 0)
    register(written("liking", LIKES.replace("SYMBOL", "1")))
    second, lived = accuracy(tmp_path, some("likes"), entry)
    assert lived == 1 and second != first
    register(written("liking", LIKES.replace("SYMBOL", "0")))
    assert accuracy(tmp_path, some("likes"), entry) == (first, 0)


def test_what_a_learner_of_ones_own_derives_from_is_its_code(written, register, tmp_path):
    def digest(symbol):
        written("liking", LIKES.replace("SYMBOL", symbol))
        register(written("derived", "from liking import *\nclass Likes(Likes): pass"))
        return cell_of(some("likes")[0], "copy", COPY, 2, 0).digest

    assert digest("0") == digest("0") != digest("1")


@pytest.mark.parametrize("how", ["without a file", "changed since"])
def test_figures_of_code_that_cannot_be_told_are_not_kept(how, tmp_path, written, register):
    module = written("liking", LIKES.replace("SYMBOL", "0"), old=False)
    if how == "without a file":
        (tmp_path / "liking.py").unlink()
    register(module)
    first, lived = accuracy(tmp_path, some("likes"))
    assert lived == 2
    assert accuracy(tmp_path, some("likes")) == (first, 1)  # that of chance is kept
    assert len(list((tmp_path / "cells").glob("*.json"))) == 1


def test_a_task_of_ones_own_stands_on_the_board(tmp_path, written):
    entrants = some("counts")
    entry = Entry(written("flips", FLIPS.replace("CHANCE", "0.9")).Flips(), "accuracy", True)
    first, lived = accuracy(tmp_path, entrants, entry)
    assert lived == 2 and first > 0.6
    assert accuracy(tmp_path, entrants, entry) == (first, 0)
    entry = Entry(written("flips", FLIPS.replace("CHANCE", "0.5")).Flips(), "accuracy", True)
    second, lived = accuracy(tmp_path, entrants, entry)
    assert lived == 2 and second != first  # of chance, too
    within = Entry(tasks.Garbage(entry.task, span=10), "accuracy", True)
    assert accuracy(tmp_path, entrants, within)[1] == 2


def test_a_rule_of_ones_own_is_the_one_that_is_given(tmp_path, written):
    def entrants(factor):
        rule = written("still", STILL.replace("FACTOR", factor)).Still()
        network = dataclasses.replace(leaderboard.DEFAULT_NETWORK, rule=rule, num_hidden=4)
        return [Entrant("still", "rule", rule="still", network=network), *some()]

    assert accuracy(tmp_path, entrants("'as it is'"))[1] == 2
    assert accuracy(tmp_path, entrants("'as it is'"))[1] == 0
    cells = [cell_of(entrants(f)[0], "copy", COPY, 2, 0) for f in ("'as it is'", "0")]
    assert cells[0].digest != cells[1].digest
    broken = compare(
        entrants("raise RuntimeError('now')"), {"copy": COPY}, seeds=2, out=tmp_path, jobs=0
    )
    assert of(broken, "copy", "still")["reason"] == "RuntimeError: now"


def test_other_processes_do_not_know_what_is_ones_own(tmp_path, written, register):
    register(written("liking", LIKES.replace("SYMBOL", "0")))
    entry = Entry(written("flips", FLIPS.replace("CHANCE", "0.9")).Flips(), "accuracy", True)
    heard = Heard()
    for entries, names in (({"copy": COPY}, "'likes':"), ({"flips": entry}, "'likes', 'flips':")):
        with pytest.raises(ValueError, match=f"^{names} learners, .* give jobs=0$"):
            compare(some("likes"), entries, seeds=2, out=tmp_path, jobs=1, watcher=heard)
    assert heard.cells is None and not list((tmp_path / "cells").iterdir())
    kept = accuracy(tmp_path, some("likes"))
    assert accuracy(tmp_path, some("likes"), jobs=1) == (kept[0], 0)  # there is nothing to live


def test_a_learner_that_a_process_does_not_know_fails(monkeypatch):
    text = cell_of(some("counts")[0], "copy", COPY, 2, 0).text
    monkeypatch.delitem(by_name.LEARNERS, "counts")
    result = live_cell(text)
    assert result["status"] == "failed" and "unknown learner 'counts'" in result["reason"]


def test_cells_of_the_library_depend_on_its_version_alone():
    for entrant in entrants_of(["hebb", *by_name.LEARNERS]):
        cell = cell_of(entrant, "copy", COPY, 2, 0)
        assert not cell.own and cell.kept and "code" not in json.loads(cell.text)


# --- honest figures ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cheat:
    """Looks at the target before it predicts: the teaching leaks into the prediction."""

    num_outputs: int

    def init_theta(self, key=None):
        return ()

    def space(self):
        return ()

    def init(self, key, theta):
        return jnp.zeros((), jnp.int32)

    def step(self, theta, state, stimulus, teaching, key):
        seen = 20.0 * jax.nn.one_hot(teaching.target.argmax(), self.num_outputs)
        return state + 1, seen, jnp.ones(())


def test_who_looks_at_the_target_is_caught(tmp_path, monkeypatch):
    cheat = by_name.Kind(lambda task: Cheat(task.spec.num_outputs), Cheat)
    monkeypatch.setitem(by_name.LEARNERS, "cheat", cheat)
    board = compare(some("cheat"), {"shift": SHIFT}, seeds=2, out=tmp_path, jobs=0)
    cell = of(board, "shift", "cheat")
    assert cell["status"] == "below floor" and "mean" not in cell and "score" not in cell
    assert of(board, "shift", CHANCE)["status"] == "ok"
    page, rows = (
        leaderboard.markdown(board),
        list(csv.DictReader(io.StringIO(leaderboard.long_csv(board)))),
    )
    assert "below floor" in page and "**below floor**" not in page
    assert [row["value"] for row in rows if row["entrant"] == "cheat"] == [""]
    assert len([row for row in rows if row["entrant"] == CHANCE]) == 2


def board_of(values, losses=None, entry=COPY, rule="oja"):
    """A board of made-up figures: entrant -> a number a seed."""
    entrants = [e for e in entrants_of([rule]) if e.name in values]
    results = {}
    for name, figures in values.items():
        loss = (losses or {}).get(name, [1.0] * len(figures))
        results["task", name] = {
            "status": "ok",
            "metrics": {entry.metric: figures, "loss": loss},
            "symbols": 10,
            "seconds": 1.0,
            "compile_seconds": 1.0,
        }
    seeds = len(next(iter(values.values())))
    return leaderboard.figures(entrants, {"task": entry}, results, seeds=seeds, seed=0)


def test_scores_lie_between_chance_and_the_best():
    board = board_of({"oja": [0.5, 0.5], "lstm": [1.0, 1.0], "chance": [0.2, 0.2]})
    assert of(board, "task", "oja")["score"] == pytest.approx(0.375)
    assert of(board, "task", "lstm")["score"] == pytest.approx(1.0)
    unknown = Entry(tasks.Copy(), "symbols")
    board = board_of({"oja": [4, 4], "lstm": [2, 2], "chance": [10, 10]}, entry=unknown)
    assert of(board, "task", "lstm")["score"] == pytest.approx(1.0)
    assert of(board, "task", "oja")["score"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("rule", "lstm", "wins", "clear"),
    [
        ([0.6, 0.61, 0.6], [0.5, 0.5, 0.51], ["task"], ["task"]),
        ([0.9, 0.1, 0.6], [0.5, 0.5, 0.51], ["task"], []),
        ([0.4, 0.4, 0.4], [0.5, 0.5, 0.5], [], ["task"]),
    ],
)
def test_rules_are_held_against_the_lstm_seed_by_seed(rule, lstm, wins, clear):
    against = board_of({"oja": rule, "lstm": lstm, "chance": [0.1] * 3})["against"][0]
    assert (against["rule"], against["tasks"], against["wins"]) == ("oja", 1, wins)
    assert against["clear"] == clear and against["losses"] == ([] if wins else ["task"])


def test_lower_is_better_where_it_is():
    against = board_of({"oja": [0.4, 0.4], "lstm": [0.5, 0.5], "chance": [1, 1]}, entry=HENON)[
        "against"
    ]
    assert against[0]["wins"] == ["task"]


def test_figures_that_are_not_finite_are_none():
    values = {"oja": [0.5, "nan"], "lstm": [0.5, 0.5], "chance": [0.1, 0.1]}
    board = board_of(values)
    assert of(board, "task", "oja")["status"] == "not finite"
    assert board["against"][0]["tasks"] == 0
    json.dumps(board, allow_nan=False)


def test_tables_of_made_up_figures(tmp_path):
    values = {"oja": [0.5, 0.6], "lstm": [0.9, 0.91], "chance": [0.1, 0.1]}
    board = board_of(values)
    board["cells"].append(
        {
            "task": "task",
            "entrant": "frozen",
            "status": "unable",
            "reason": "it is | not made for it",
        }
    )
    board["entrants"].append({"name": "frozen", "kind": "rule", "rule": "oja", "control": "frozen"})
    page = leaderboard.markdown(board)
    assert "**0.905 ±.007**" in page and "| 0.550 ±.071 |" in page and "| - |" in page
    assert "it is \\| not made for it" in page
    assert "oja beats lstm on 0 of 1 task, on 0 clearly" in page
    assert "Hidden units: " in page
    from rich.console import Console

    for width, shown in ((200, "0.550 ±.071"), (60, "0.550")):
        text = io.StringIO()
        Console(file=text, width=width).print(leaderboard.table(board, width))
        assert shown in text.getvalue() and "memory" in text.getvalue()
    files = leaderboard.write(board, tmp_path)
    assert [file.suffix for file in files] == [".json", ".csv", ".md", ".png"]
    assert json.loads(files[0].read_text())["about"]["seeds"] == 2
    assert files[3].read_bytes().startswith(b"\x89PNG")


# --- processes -----------------------------------------------------------------------------------


class Killer(Heard):
    """Kills the process of the first cell that begins."""

    def __init__(self):
        super().__init__()
        self.victim = None

    def started(self, cell, process):
        if self.victim is None:
            self.victim = cell.task
            os.kill(process, signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_process_that_is_killed_costs_one_cell(tmp_path):
    killer, entries = Killer(), {"copy": COPY, "henon": HENON}
    board = compare(some(), entries, seeds=2, out=tmp_path, jobs=1, watcher=killer)
    statuses = {task: status for _, task, status in killer.lived}
    assert statuses.pop(killer.victim) == "failed"
    assert list(statuses.values()) == ["ok"]
    dead = of(board, killer.victim, CHANCE)
    assert dead["status"] == "failed" and "SIGKILL" in dead["reason"]
    assert len(list((tmp_path / "cells").glob("*.json"))) == 1  # the failed one is tried again
    healed = compare(some(), entries, seeds=2, out=tmp_path, jobs=0)
    assert all(cell["status"] == "ok" for cell in healed["cells"])


def alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks into /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_comparison(tmp_path, how):
    """However the parent ends, its workers do, and finished cells are kept."""
    command = [sys.executable, "-m", "loopymeta", "evaluate", "hebb", "--suite", "quick"]
    command += ["--tasks", "copy,henon", "--seeds", "2", "--out", str(tmp_path), "--jobs", "2"]
    parent = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        # Where the tests themselves run in the background, Ctrl-C would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    workers, deadline = set(), threading.Timer(110, parent.kill)
    deadline.start()
    for line in parent.stdout:
        event = json.loads(line)
        if event["event"] == "started":
            workers.add(event["process"])
        if event["event"] == "finished":
            parent.send_signal(how)
            break
    status = parent.wait()
    deadline.cancel()
    until = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert workers and not any(map(alive, workers))
    assert status == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[how]
    assert list((tmp_path / "cells").glob("*.json"))


# --- the command ---------------------------------------------------------------------------------


def test_the_command_prints_lines_and_writes_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(leaderboard.entrants, "BESIDE", (CHANCE,))
    words = ["evaluate", "counts", "--suite", "quick", "--tasks", "caesar", "--seeds", "2"]
    words += ["--out", str(tmp_path / "board"), "--jobs", "0"]
    assert cli.main(words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines][:2] == ["begin", "started"]
    assert lines[-1]["event"] == "done" and lines[-1]["failed"] == 0
    assert lines[-1]["sizes"] == "Hidden units: learners have their own number."
    assert {p.name for p in (tmp_path / "board").iterdir()} == {
        "cells",
        *(f"leaderboard.{suffix}" for suffix in ("json", "csv", "md", "png")),
    }
    monkeypatch.setattr(cli, "_on_terminal", lambda: True)
    assert cli.main(words) == 0  # every cell is kept: the table alone
    shown = capsys.readouterr().out
    assert "caesar" in shown and "counts" in shown and "language" in shown
    assert "Hidden units" in shown


def test_a_failed_cell_is_told_by_the_exit_status(tmp_path, capsys, monkeypatch):
    def broken(task):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(leaderboard.entrants, "BESIDE", (CHANCE,))
    monkeypatch.setitem(by_name.LEARNERS, "broken", by_name.Kind(broken, broken))
    words = ["evaluate", "broken", "--suite", "quick", "--tasks", "caesar", "--seeds", "2"]
    assert cli.main([*words, "--out", str(tmp_path), "--jobs", "0"]) == 1
    assert "RuntimeError: broken on purpose" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--suite", "--suite needs quick or full"),
        ("lstm --suite", "--suite needs quick or full"),
        ("--suite fast", "unknown suite 'fast'"),
        ("--suite quick --tasks copi", "Did you mean 'copy'?"),
        ("ojo --suite quick", "unknown rule or learner 'ojo'. Did you mean 'oja'?"),
        ("lstn --suite quick", "Did you mean 'lstm'?"),
        ("nowhere/rule.json --suite quick", "there is no run or rule file nowhere/rule.json"),
        ("oja(et=1) --suite quick", "Did you mean 'eta'?"),
        ("--suite quick --seeds 1", "seeds must be at least 2, got 1"),
        ("--suite quick --hidden 0 oja", "hidden must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", *words.split()]) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1


# --- the whole quick suite -----------------------------------------------------------------------


@pytest.mark.slow
def test_nobody_is_below_a_floor_in_the_quick_suite(tmp_path):
    every = entrants_of(["running_scale(rflo, eta=0.003)", "counts"], hidden=32, learner_hidden=32)
    board = compare(every, SUITE_QUICK, seeds=2, out=tmp_path, optimise=False)
    statuses = {cell["status"] for cell in board["cells"]}
    assert statuses <= {"ok", "unable", "not finite"}, leaderboard.reasons(board)
    with_floor = [task["name"] for task in board["tasks"] if task["floor"] is not None]
    assert len(with_floor) > 20
