"""Sweeps: what varies, what a point is, what is kept of it, and what comes of all."""

from __future__ import annotations

import csv
import dataclasses
import glob
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from loopymeta import _machine, cli, plots, runs, sweep, training
from loopymeta.config import NetworkConfig
from loopymeta.graph import Waxman
from loopymeta.learners import by_name
from loopymeta.rules import RFLO, Bounded, Delta, Hebb, Oja
from loopymeta.sweep import (
    Choices,
    Course,
    NamedLearner,
    Range,
    SweepConfig,
    SweepError,
    living,
    result,
    show,
    study,
)
from loopymeta.sweep import config as sweep_config
from loopymeta.sweep import plots as sweep_plots
from loopymeta.sweep.config import identity, stored

optuna = pytest.importorskip("optuna")

TASK = "memorize(length=2, alphabet=2, presentations=2)"
OTHER = "memorize(length=3, alphabet=2, presentations=2)"
NETWORK = NetworkConfig(
    num_hidden=6, connectivity="ring", num_graphs=1, rule=RFLO(eta=0.1), output_rule=Delta(eta=0.3)
)


def config(**changes) -> SweepConfig:
    given = {
        "tasks": (TASK, OTHER),
        "vary": ("rule.eta=1e-3..1.0", "num_hidden=4..12", "leak=0.1..1.0"),
        "network": NETWORK,
        "points": 8,
        "lifetimes": 2,
        "report": 2,
        "finalists": 2,
        "heartbeat": 1,
    }
    return SweepConfig(**(given | changes))


def network_of(life):
    return life.learner.network


@pytest.fixture
def faked(monkeypatch):
    """Lives that take no time: the loss says how far the rate is from 0.03."""

    def fake(config, life, course, place, stream):
        rate = network_of(life).rule.eta
        num = config.lifetimes if stream == "search" else config.report
        return np.full(num, abs(np.log10(rate / 0.03)) / 3 + 0.1 * place)

    monkeypatch.setattr(living, "live", fake)


@pytest.fixture(autouse=True)
def _quick(monkeypatch, request):
    """Few shuffles; and figures only where they are looked at."""
    monkeypatch.setattr(result, "SHUFFLES", 10)
    if "what_matters" not in request.node.name:
        blank = plots.canvas.blank(1, 1)
        monkeypatch.setattr(sweep_plots, "importance", lambda *given: blank)
        monkeypatch.setattr(result, "importances", lambda *given: {"rule.eta": (1.0, 0.5)})


def hear():
    heard = []
    return heard, lambda event, **values: heard.append((event, values))


def trials(folder):
    """The points of a sweep, from its file."""
    url = f"sqlite:///{folder.absolute()}/study.db"
    return optuna.load_study(study_name=folder.name, storage=url).trials


def table(folder):
    with open(folder / "points.csv", newline="") as file:
        return list(csv.DictReader(file))


# --- what varies ---------------------------------------------------------------------------------


def test_ranges_and_choices_are_read():
    texts = ["rule.eta=1e-4..1e-1", "num_hidden=32..256", "noise=0..1", "ticks=1..3", "degree=2..4"]
    texts += ["connectivity=waxman,ring,complete", "rule=oja(eta=0.1),bounded(hebb, bound=3.0)"]
    space = sweep.read_space(texts, NETWORK)
    assert space["rule.eta"] == Range("rule.eta", 1e-4, 1e-1) and space["rule.eta"].log
    assert space["num_hidden"] == Range("num_hidden", 32, 256, whole=True)
    assert space["num_hidden"].log and not space["noise"].log and not space["ticks"].log
    assert space["noise"] == Range("noise", 0, 1) and space["degree"].whole
    assert space["connectivity"] == Choices("connectivity", ("waxman", "ring", "complete"))
    assert space["rule"].options == ("oja(eta=0.1)", "bounded(hebb, bound=3.0)")
    # What depends on a choice is drawn after it.
    order = list(space)
    assert order.index("rule") < order.index("rule.eta")
    assert order.index("connectivity") < order.index("degree")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_hiden=1..3", "Did you mean 'num_hidden'"),
        ("eta=1..3", "Did you mean 'rule.eta'"),
        ("rule.etta=1..3", "Did you mean 'rule.eta'"),
        ("innate.recurent_gain=1..3", "Did you mean 'innate.recurrent_gain'"),
        ("ticks=0..3", "ticks must be at least 1, got 0"),
        ("ticks=3..1", "from a lower to a higher number"),
        ("ticks=1.5..3", "ticks is a whole number"),
        ("leak=0.1..3", "between 0 and 1"),
        ("rule.eta=-1..1", "eta must not be negative"),
        ("teaching=eror,target", "Did you mean 'error'"),
        ("activation=tanh,rel", "Did you mean 'relu'"),
        ("rule=ojo,hebb", "Did you mean 'oja'"),
        ("rule=None,hebb", "cannot read the rule"),
        ("teaching=1..2", "give the values"),
        ("connectivity=ring", "at least two different values"),
        ("connectivity=ring,ring", "at least two different values"),
        ("num_hidden=many,more", "must be a number"),
        ("num_hidden", "NAME=LOW..HIGH"),
        ("num_hidden=", "NAME=LOW..HIGH"),
        ("control=none,frozen", "unknown parameter 'control'"),
    ],
)
def test_what_cannot_vary_is_refused_at_once(text, message):
    with pytest.raises(ValueError, match=message):
        sweep.read_space([text], NETWORK)


def test_what_would_never_be_drawn_is_refused():
    whole = dataclasses.replace(NETWORK, connectivity="complete")
    with pytest.raises(ValueError, match="complete has none"):
        sweep.read_space(["degree=2..4"], whole)
    assert "degree" in sweep.read_space(["degree=2..4", "connectivity=ring,complete"], whole)
    with pytest.raises(ValueError, match="given twice"):
        sweep.read_space(["ticks=1..2", "ticks=1..3"], NETWORK)
    own = dataclasses.replace(NETWORK, connectivity=Waxman(degree=2))
    with pytest.raises(ValueError, match="has none"):
        sweep.read_space(["degree=2..4"], own)


def test_a_point_becomes_a_network():
    values = {"rule": "bounded(hebb, bound=3.0)", "rule.rule.eta": 0.5, "leak": 0.2, "ticks": 2}
    made = sweep.apply(NETWORK, values | {"innate.bias_gain": 0.3, "output_rule": None})
    assert made.rule == Bounded(Hebb(eta=0.5), bound=3.0) and made.output_rule is None
    assert (made.innate.leak_low, made.innate.leak_high, made.innate.bias_gain) == (0.2, 0.2, 0.3)
    assert made.ticks == 2 and made.num_hidden == NETWORK.num_hidden
    written = sweep.apply(NETWORK, {"rule": "written('a * pre', a=1.0)", "rule.a": 3.0}).rule
    assert dict(written.parameters) == {"a": 3.0}
    settled = sweep.with_settings(NETWORK, ["rule.eta=0.5", "rule=oja", "bias=False"])
    assert settled.rule == Oja(eta=0.5) and settled.bias is False
    with pytest.raises(ValueError, match="Did you mean 'ticks'"):
        sweep.with_settings(NETWORK, ["tick=2"])


def test_parameters_that_a_point_does_not_have_are_not_drawn():
    texts = ["rule=rflo,zero", "rule.eta=0.1..0.2", "connectivity=ring,complete", "degree=1..3"]
    space = sweep.read_space(texts, NETWORK)
    for rule in ("rflo", "zero"):
        for wiring in ("ring", "complete"):
            fixed = {"rule": rule, "connectivity": wiring, "rule.eta": 0.15, "degree": 2}
            values = sweep.suggest(optuna.trial.FixedTrial(fixed), space, NETWORK)
            assert ("rule.eta" in values) == (rule == "rflo")
            assert ("degree" in values) == (wiring == "ring")


def test_tasks_are_read_from_text():
    assert sweep.task_from_text("delay(gap=2, trials=9)").trials == 9
    for text, message in (
        ("memorise", "Did you mean 'memorize'"),
        ("memorize(lenght=3)", "Did you mean 'length'"),
        ("memorize(length=)", "cannot read the task"),
        ("__import__('os')", "unknown task"),
    ):
        with pytest.raises(ValueError, match=message):
            SweepConfig(tasks=(text,))
    with pytest.raises(ValueError, match="twice"):
        SweepConfig(tasks=("boolean", "boolean"))
    with pytest.raises(TypeError, match="tuple of texts"):
        SweepConfig(tasks="boolean")


# --- the scale -----------------------------------------------------------------------------------


def test_the_best_constant_guess_is_one_and_the_floor_is_zero(monkeypatch):
    for text, chance in (("delay(cues=4)", np.log(4)), ("redundant", None)):
        course = Course.of(text)
        if chance is None:
            chance = course.task.spec.chance
        assert course.chance == pytest.approx(chance, rel=0.05), text
        ends = np.array([course.floor, course.chance])
        np.testing.assert_allclose(course.scale(ends), [0, 1])
    np.testing.assert_array_equal(course.scale(np.array([np.nan, np.inf, 1e9])), [2.0] * 3)
    monkeypatch.setattr(living, "constant_loss", lambda task, seed: course.floor)
    with pytest.raises(ValueError, match="nothing to learn"):
        Course.of("redundant", seed=1)


# --- the sweep, on lives that take no time -------------------------------------------------------


def test_a_sweep_finds_the_rate_and_writes_what_it_found(faked, tmp_path):
    heard, say = hear()
    folder = sweep.sweep(config(points=25), tmp_path, name="found", say=say)
    assert {p.name for p in folder.iterdir() if p.suffix != ".lock"} >= {
        "sweep.json", "study.db", "points.csv", "best.json", "rule.json", "importance.png"
    }  # fmt: skip
    rows = table(folder)
    assert [int(row["number"]) for row in rows] == list(range(25))
    assert {"complete", "pruned"} == {row["state"] for row in rows}
    best = json.loads((folder / "best.json").read_text())
    assert abs(np.log10(best["values"]["rule.eta"] / 0.03)) < 0.3
    complete = [row for row in rows if row["state"] == "complete"]
    assert best["search"] == min(float(row["loss"]) for row in complete)
    for row in rows:
        loss = abs(np.log10(float(row["rule.eta"]) / 0.03)) / 3
        assert float(row[TASK]) == pytest.approx(loss)
        assert (row[OTHER] == "") == (row["state"] == "pruned")
        assert float(row["loss"]) == pytest.approx(loss + 0.05 * (row["state"] == "complete"))
    events = [event for event, _ in heard]
    assert events.count("point") == 25 and events[0] == "begin" and events[-1] == "done"
    # The rule file is one that every other command reads.
    network, theta = training.read_rule(folder / "rule.json")
    assert network == sweep.apply(NETWORK, best["values"])
    assert float(theta["rule"]["eta"]) == pytest.approx(best["values"]["rule.eta"])


@pytest.mark.slow
def test_what_matters_stands_out_and_the_rest_does_not(faked, tmp_path):
    folder = sweep.sweep(config(points=30, sampler="random"), tmp_path, name="matters")
    found = json.loads((folder / "best.json").read_text())
    stored = optuna.load_study(study_name="matters", storage=f"sqlite:///{folder}/study.db")
    shares = sweep.importances(stored)
    assert next(iter(shares)) == "rule.eta" and sum(s for s, _ in shares.values()) == pytest.approx(
        1
    )
    above = {name for name, (share, chance) in shares.items() if share > chance}
    assert above == {"rule.eta"}
    rows = sweep.points(stored)
    figure = sweep_plots.importance(rows, config().space(), shares, found)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[1:4] == list(shares)
    bars = figure.axes[0].patches
    np.testing.assert_allclose(
        [bar.get_width() for bar in bars],
        [c for _, c in shares.values()] + [s for s, _ in shares.values()],
    )
    assert plots.save(figure, tmp_path / "again.png").stat().st_size > 10_000
    few = sweep_plots.importance(rows[:9], config().space(), {}, found)
    assert len(few.axes) < len(figure.axes)


@pytest.mark.slow
def test_pruning_can_be_left_out(faked, tmp_path):
    folder = sweep.sweep(config(points=9, pruner="none"), tmp_path, name="whole")
    assert {row["state"] for row in table(folder)} == {"complete"}


def test_points_that_cannot_be_are_told_and_the_sweep_goes_on(faked, tmp_path):
    vary = ("degree=2..12", "num_hidden=4..12", "rule.eta=0.001..1.0")
    folder = sweep.sweep(config(vary=vary, points=20, sampler="random"), tmp_path, name="some")
    rows = table(folder)
    assert len(rows) == 20 and {"complete", "impossible"} <= {row["state"] for row in rows}
    for row in rows:
        cannot = int(row["degree"]) > int(row["num_hidden"]) - 1
        assert (row["state"] == "impossible") == cannot
        assert row["reason"].startswith("degree must lie between" if cannot else "")
        assert bool(row["reason"]) == cannot and (row["loss"] == "") == cannot
    with pytest.raises(SweepError, match=r"none of 3 points .* needs a reward"):
        cannot = ("rule=three_factor,three_factor(eta=0.5)", "ticks=1..2")
        sweep.sweep(config(vary=cannot, points=3), tmp_path, name="none")


def test_what_is_not_finite_is_the_worst_and_no_error(monkeypatch, tmp_path):
    lost = np.full((1, 2), np.nan)
    monkeypatch.setattr(living, "evaluate", lambda life, theta, keys: (lost, {}))
    folder = sweep.sweep(config(points=2), tmp_path, name="lost")
    assert {float(row["loss"]) for row in table(folder)} == {sweep.WORST}


@pytest.mark.slow
def test_the_winner_is_chosen_and_reported_on_lifetimes_of_their_own(monkeypatch, tmp_path):
    """The luckiest point of the search is not the best: fresh lifetimes show it."""

    def fake(config, life, course, place, stream):
        size = network_of(life).num_hidden
        lucky = {"search": 0.0, "choose": 1.0, "report": 1.0}[stream] if size == 5 else 0.5
        return np.full(2, lucky + {"search": 0.0, "choose": 0.0, "report": 0.07}[stream])

    monkeypatch.setattr(living, "live", fake)
    vary = ("num_hidden=4..6", "leak=0.1..1.0")
    folder = sweep.sweep(
        config(vary=vary, points=12, finalists=12, pruner="none"), tmp_path, name="luck"
    )
    best = json.loads((folder / "best.json").read_text())
    assert best["values"]["num_hidden"] != 5 and best["search"] == 0.5
    assert best["fresh"]["mean"] == pytest.approx(0.57)
    assert best["finalists"][0]["search"] == 0.0 and best["finalists"][0]["choose"] == 1.0


def test_streams_of_lifetimes_never_meet_and_are_the_same_for_all_points():
    import jax

    seen = [
        np.asarray(jax.random.key_data(living.keys_of(config(), stream, place, 4))).tolist()
        for stream in ("search", "choose", "report")
        for place in (0, 1)
    ]
    keys = [tuple(key) for each in seen for key in each]
    assert len(set(keys)) == len(keys) == 24
    again = np.asarray(jax.random.key_data(living.keys_of(config(points=99), "search", 0, 4)))
    assert again.tolist() == seen[0]


# --- learners by name ----------------------------------------------------------------------------

KINDS = {
    "lstm": {"learning_rate": "number", "width": "whole", "interval": "whole", "clip": "number"},
    "gru": {"optimizer": "choices", "cell": "choices", "horizon": "number"},
    "hierarchical": {"widths": "choices", "upper_rate": "number"},
    "rtrl": {"leak": "number", "decay": "number", "feedback": "choices", "width": "whole"},
    "reservoir": {"num_hidden": "whole", "degree": "number", "connectivity": "choices"},
    "counts": {"order": "whole", "discount": "number", "boundary": "whole"},
    "ppm": {"order": "whole", "counting": "choices"},
    "plastic_memory": {"window": "whole", "share": "choices", "letters": "choices"},
}
SWEPT = [name for name, kind in by_name.LEARNERS.items() if not kind.weights]


def learner_config(learner: str, *vary: str, **changes) -> SweepConfig:
    given = {"tasks": (TASK,), "points": 3, "lifetimes": 2, "report": 2, "finalists": 1}
    return SweepConfig(learner=learner, vary=vary, heartbeat=1, **(given | changes))


@pytest.mark.parametrize("name", SWEPT)
def test_the_options_of_a_learner_may_vary(name):
    options = NamedLearner(name).options
    assert KINDS.get(name, {}).items() <= {n: each.kind for n, each in options.items()}.items()
    assert not {*options} & {*by_name.SIZES} and "rule" not in options  # which text cannot give
    assert NamedLearner(name).life(sweep.task_from_text(TASK), 0).learner
    with pytest.raises(ValueError, match="must say what of") as told:
        SweepConfig(learner=name)
    assert all(option in str(told.value) for option in options)


def test_values_of_options_are_read_and_become_a_learner():
    learner = NamedLearner("gru(width=64, window=8)")
    texts = ["learning_rate=1e-3..0.1", "width=32..256", "optimizer=adam,adamw(weight_decay=0.1)"]
    space = learner.space([*texts, "interval=None,4"])
    assert space["learning_rate"] == Range("learning_rate", 1e-3, 0.1) and space["width"].whole
    assert space["optimizer"].options == ("adam", "adamw(weight_decay=0.1)")
    assert space["interval"].options == (None, 4)
    assert learner.space(["width=64,(32, 16)"])["width"].options == (64, "(32, 16)")
    values = {"width": "(32, 16)", "optimizer": "adamw(weight_decay=0.1)", "learning_rate": 0.25}
    point = learner.at(values)
    made = by_name.learner_of(point.text, sweep.task_from_text(TASK))
    assert (made.width, made.window, made.cell) == ((32, 16), 8, "gru")
    assert made.learning_rate == 0.25 and made.optimizer == "adamw(weight_decay=0.1)"
    assert (
        learner.at({}).text == "gru(width=64, window=8)"
        and NamedLearner("ppm").at({}).text == "ppm"
    )
    letters = NamedLearner("plastic_memory").space(["letters=01,'02'"])["letters"]
    assert letters.options == ("01", "02")


@pytest.mark.parametrize(
    ("learner", "vary", "message"),
    [
        ("lstm", "widht=8..16", "Did you mean 'width'"),
        ("lstm", "num_hidden=8..16", "unknown option of learner 'lstm', 'num_hidden'"),
        ("lstm", "num_inputs=8..16", "unknown option"),
        ("lstm", "width=8.5..16", "width is a whole number"),
        ("lstm", "width=8,many", "width must be a whole number or a tuple, got 'many'"),
        ("lstm", "width=8,16.5", "width must be"),
        ("lstm", "optimizer=1..2", "give the values"),
        ("lstm", "horizon=0.1,None", "horizon must be a number, got 'None'"),
        ("lstm", "width", "NAME=LOW..HIGH"),
        ("reservoir", "rule=delta,oja", "unknown option"),
        ("reservoir", "seed=0..9", "unknown option"),  # the luckiest graph is not the best
        ("lsmt", "width=8..16", "Did you mean 'lstm'"),
        ("lstm(widht=8)", "width=8..16", "Did you mean 'width'"),
        ("in_context", "width=8..16", "in_context cannot be swept"),
    ],
)
def test_what_no_learner_can_vary_is_refused_at_once(learner, vary, message):
    with pytest.raises(ValueError, match=message):
        learner_config(learner, vary)


def test_a_learner_has_no_network():
    with pytest.raises(ValueError, match="leave network out"):
        learner_config("lstm", "width=8..16", network=NETWORK)
    with pytest.raises(ValueError, match="given twice"):
        learner_config("lstm", "width=8..16", "width=8,9")


@pytest.mark.parametrize(
    ("learner", "vary", "task", "message"),
    [
        ("lstm", "optimizer=adam,rmspop", TASK, "optimizer of lstm cannot be rmspop: .*'rmsprop'"),
        ("lstm", "learning_rate=-1..1", TASK, "learning_rate of lstm cannot be -1.0: .*positive"),
        ("lstm(interval=8)", "window=2..16", TASK, "window of .* cannot be 2: interval must lie"),
        ("ppm", "order=1..3", "henon(symbols=50)", "ppm cannot live henon.* are vectors"),
        ("ppm", "order=1..3", f"lesioned({TASK})", "cannot be damaged"),
        ("counts", "order=1..3", f"lesioned({TASK})", "cannot be damaged"),
    ],
)
def test_what_a_learner_cannot_live_or_have_is_refused_before_anything(
    learner, vary, task, message, tmp_path
):
    tasks = tuple(dict.fromkeys((TASK, task)))
    with pytest.raises(SweepError, match=message):
        sweep.sweep(learner_config(learner, vary, tasks=tasks), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_learner_larger_than_the_memory_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(_machine, "memory_bytes", lambda: 100_000)
    with pytest.raises(SweepError, match=r"cannot live .* takes 0 GB; this machine"):
        sweep.sweep(learner_config("lstm", "width=64..128"), tmp_path)
    small = learner_config("lstm", "width=4..128", "horizon=0.1..1.0")
    with pytest.raises(SweepError, match="width of lstm cannot be 128: .* takes"):
        sweep.sweep(small, tmp_path)


def test_points_that_no_learner_can_be_are_told_and_the_sweep_goes_on(monkeypatch, tmp_path):
    """A value that is possible beside others is not refused: those points are told."""
    monkeypatch.setattr(living, "live", lambda *given: np.full(2, 0.5))
    vary = ("window=2..8", "interval=1..8")
    made = learner_config("lstm", *vary, points=10, sampler="random")
    folder = sweep.sweep(made, tmp_path, name="some")
    rows = table(folder)
    assert {"complete", "impossible"} == {row["state"] for row in rows}
    for row in rows:
        assert (row["state"] == "impossible") == (int(row["interval"]) > int(row["window"]))
        assert row["reason"].startswith("interval must lie" if row["reason"] else "")


def test_a_compiled_learner_is_swept_and_its_text_is_what_evaluate_takes(tmp_path, capsys):
    """A lifetime of the sweep is that of the library, and what is printed works as it stands."""
    import jax

    from loopymeta.lifetime import Lifetime

    made = learner_config("counts(order=3)", "discount=0.25..0.95", points=2)
    folder = sweep.sweep(made, tmp_path, name="counts", say=sweep.say_terminal)
    said = capsys.readouterr().out
    best = json.loads((folder / "best.json").read_text())
    assert best["learner"] == f"counts(order=3, discount={best['values']['discount']!r})"
    assert not (folder / "rule.json").exists() and "network" not in best
    assert (folder / "importance.png").exists() and "best learner" in said
    (row,) = [row for row in table(folder) if int(row["number"]) == best["number"]]
    course = Course.of(TASK)
    life = Lifetime(by_name.learner_of(best["learner"], course.task), course.task)
    keys = living.keys_of(made, "search", 0, 2)
    losses = np.array([float(jax.jit(life)(life.init_theta(), key)[0]) for key in keys])
    assert float(row["loss"]) == pytest.approx(course.scale(losses).mean(), rel=1e-4)
    (line,) = [line for line in said.splitlines() if "loopymeta evaluate" in line]
    words = shlex.split(line)[1:]
    assert words[1] == best["learner"] and words[3] == TASK
    assert cli.main([*words, "--seeds", "1", "--no-baselines"]) == 0
    assert best["learner"].partition("(")[0] in capsys.readouterr().out


def test_a_learner_of_the_host_is_swept_stopped_and_resumed(tmp_path, monkeypatch):
    made = learner_config("ppm", "order=1..4", "counting=all,single", tasks=(TASK, OTHER), points=5)
    whole = sweep.sweep(made, tmp_path, name="whole")
    best = json.loads((whole / "best.json").read_text())
    assert best["learner"].startswith("ppm(order=") and not (whole / "rule.json").exists()
    live, calls = living.live, []

    def stopping(*given):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return live(*given)

    monkeypatch.setattr(living, "live", stopping)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(made, tmp_path, name="parts")
    monkeypatch.setattr(living, "live", live)
    parts = tmp_path / "parts"
    sweep.resume(parts)
    assert values_of(parts) == values_of(whole)
    monkeypatch.setattr(result, "relive", None)  # a finished sweep is not lived again
    assert sweep.read_config(sweep.resume(parts)) == made


def test_a_learner_that_is_lost_is_the_worst(monkeypatch, tmp_path):
    monkeypatch.setattr(living, "live_on_host", lambda *given: (np.nan, {}))
    folder = sweep.sweep(learner_config("ppm", "order=1..3", points=2), tmp_path, name="lost")
    assert {float(row["loss"]) for row in table(folder)} == {sweep.WORST}


def test_learners_of_your_own_are_swept_in_this_process_alone(monkeypatch, tmp_path):
    def make(task, **options):
        return by_name.LEARNERS["ppm"].make(task, **options)

    def own(order=2, counting="all", rate=0.5, **more): ...

    monkeypatch.setattr(by_name, "LEARNERS", by_name.LEARNERS | {"mine": by_name.Kind(make, own)})
    kinds = {name: option.kind for name, option in NamedLearner("mine").options.items()}
    assert kinds == {"order": "whole", "counting": "choices", "rate": "number"}
    made = learner_config("mine", "order=1..3", points=2)
    with pytest.raises(SweepError, match="known to this process only"):
        sweep.sweep(made, tmp_path, name="two", jobs=2)
    folder = sweep.sweep(made, tmp_path, name="one")
    assert json.loads((folder / "best.json").read_text())["learner"].startswith("mine(order=")
    monkeypatch.setattr(sweep_config._own, "hash_of_code", lambda classes: "another")
    with pytest.raises(SweepError, match=r"another configuration \(code\)"):
        sweep.resume(folder, points=3)


def test_a_reservoir_has_other_graphs_where_it_is_reported():
    made = learner_config(
        "reservoir(num_hidden=16, connectivity='erdos_renyi', degree=3)", "gain=0.5..1"
    )
    course = Course.of(TASK)
    graphs = [
        living.life_of(made, made.subject(), course, stream).learner.graphs.senders.tolist()
        for stream in ("search", "choose", "report", "search")
    ]
    assert graphs[0] == graphs[3] and graphs[0] != graphs[1] != graphs[2] != graphs[0]
    named = made.learner.replace("(", "(seed=3, ")
    fixed = dataclasses.replace(made, learner=named)
    life = living.life_of(fixed, fixed.subject(), course, "report")
    same = by_name.learner_of(named, course.task).graphs.senders
    assert np.array_equal(life.learner.graphs.senders, same)


def test_sweeps_of_networks_are_kept_as_they_were_before_learners_were_swept(tmp_path):
    names = ["type", "tasks", "vary", "network", "points", "lifetimes", "sampler", "pruner"]
    names += ["finalists", "report", "seed", "heartbeat"]
    made = config()
    assert list(stored(made)) == names
    assert {*names} - {*identity(made)} == {"points", "finalists", "report"}
    whose = learner_config("ppm", "order=1..3")
    assert {*stored(whose)} == {*names, "learner"} - {"network"}
    for each in (made, whose):
        content = {"format": sweep.FORMAT, "version": sweep.VERSION, "config": stored(each)}
        (tmp_path / "sweep.json").write_text(json.dumps(content))
        assert sweep.read_config(tmp_path) == each


@pytest.mark.parametrize(
    ("who", "task", "words"),
    [
        ("ppm(counting='all')", "boolean", ["ppm(counting='all')", "--task", "boolean()"]),
        ("lstm(optimizer='a(b=\"c\")')", TASK, ["lstm(optimizer='a(b=\"c\")')", "--task", TASK]),
    ],
)
def test_what_is_printed_can_be_pasted(who, task, words):
    found = show.evaluated({"learner": who, "fresh": {"tasks": {task: {}}}})
    assert shlex.split(found) == words


@pytest.mark.slow
def test_what_matters_to_a_learner_is_drawn(tmp_path):
    vary = ("order=1..3", "counting=all,single")
    made = learner_config("ppm", *vary, points=12, finalists=12, pruner="none")
    folder = sweep.sweep(made, tmp_path, name="drawn", jobs=2)
    best = json.loads((folder / "best.json").read_text())
    drawn = {(row["order"], row["counting"]) for row in table(folder)}
    assert len(best["finalists"]) == len(drawn) <= 6  # none is lived again twice
    assert (folder / "importance.png").stat().st_size > 10_000
    rows = [{"number": best["number"], "state": "complete", "loss": 0.5, "values": best["values"]}]
    figure = sweep_plots.importance(rows, made.space(), {}, best)
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "the learner that the sweep began with" in " ".join(texts.split())


@pytest.mark.slow
def test_an_lstm_is_swept(tmp_path):
    vary = ("learning_rate=1e-3..0.1", "width=8,(8, 8)", "optimizer=adam,rmsprop")
    folder = sweep.sweep(learner_config("lstm(window=4)", *vary, points=2), tmp_path, name="lstm")
    best = json.loads((folder / "best.json").read_text())
    assert best["learner"].startswith("lstm(window=4, learning_rate=")
    assert {row["state"] for row in table(folder)} == {"complete"}


# --- stopped, resumed, shared --------------------------------------------------------------------


def values_of(folder):
    kept = [t for t in trials(folder) if t.state.name in ("COMPLETE", "PRUNED")]
    return [(t.params, t.value) for t in kept]


def test_a_stopped_sweep_goes_on_as_if_it_had_not_been(faked, tmp_path, monkeypatch):
    whole = sweep.sweep(config(points=9), tmp_path, name="whole")
    live, calls = living.live, []

    def stopping(config, life, course, place, stream):
        calls.append(place)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return live(config, life, course, place, stream)

    monkeypatch.setattr(living, "live", stopping)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(config(points=9), tmp_path, name="parts")
    parts = tmp_path / "parts"
    assert not (parts / "best.json").exists() and 0 < len(values_of(parts)) < 9
    sweep.resume(parts)
    assert values_of(parts) == values_of(whole)
    assert "FAIL" in [t.state.name for t in trials(parts)]  # the one that was lived again


@pytest.mark.slow
def test_a_finished_sweep_is_kept_and_can_be_made_longer(faked, tmp_path, monkeypatch):
    folder = sweep.sweep(config(points=6), tmp_path, name="grown")
    before = values_of(folder)
    monkeypatch.setattr(result, "relive", None)  # nothing is lived again
    sweep.resume(folder)
    monkeypatch.undo()
    monkeypatch.setattr(runs, "versions", lambda: {"jax": "0.0.1"})
    said = []
    sweep.resume(folder, say=lambda event, **values: said.append(values.get("text", "")))
    assert any("changed since" in text and "jax" in text and "0.0.1" in text for text in said)
    monkeypatch.undo()
    monkeypatch.setattr(living, "live", lambda *a: np.full(2, 0.5))
    sweep.resume(folder, points=8)
    assert values_of(folder)[:6] == before and len(values_of(folder)) == 8
    assert sweep.read_config(folder).points == 8 and len(table(folder)) == 8
    with pytest.raises(SweepError, match="exists already: go on with --resume"):
        sweep.sweep(config(), tmp_path, name="grown")
    with pytest.raises(SweepError, match=r"no sweep.json"):
        sweep.resume(tmp_path)


@pytest.mark.slow
def test_points_without_a_sign_of_life_are_given_up(faked, tmp_path, monkeypatch):
    """One process died before the first sign of its point, one after."""
    folder = sweep.sweep(config(points=3), tmp_path, name="dead")
    url = f"sqlite:///{folder}/study.db"
    dead = study.study_of(config(points=3), url, "dead")
    dead.ask()
    begun = dead.ask()
    rate = begun.suggest_float("rule.eta", 1e-3, 1.0, log=True)
    begun.set_user_attr("begun", begun.number)
    dead._storage.record_heartbeat(begun._trial_id)
    monkeypatch.setattr(study, "GRACE", 1)
    time.sleep(2.2)
    sweep.resume(folder, points=5)
    states = [t.state.name for t in trials(folder)]
    assert states.count("FAIL") == 2 and len(values_of(folder)) == 5
    assert rate in [params["rule.eta"] for params, _ in values_of(folder)]


@pytest.mark.slow
def test_a_study_of_another_configuration_is_refused(faked, tmp_path):
    url = f"sqlite:///{tmp_path}/shared.db"
    sweep.sweep(config(points=3), tmp_path, name="a", storage=url, study="both")
    other = config(points=3, vary=("ticks=1..3",))
    with pytest.raises(SweepError, match=r"another configuration \(vary\)"):
        sweep.sweep(other, tmp_path, name="b", storage=url, study="both")
    assert not (tmp_path / "b").exists()
    heard, say = hear()
    sweep.sweep(config(points=5), tmp_path, name="c", storage=url, study="both", say=say)
    assert [event for event, _ in heard].count("point") == 2  # three were there


def test_storage_that_cannot_be_used_is_told_without_the_password(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = "postgresql+psycopg://me:secret@nowhere.invalid/db"
    with pytest.raises(SweepError, match="psycopg") as told:
        sweep.sweep(config(), tmp_path, name="pg", storage=url)
    assert "secret" not in str(told.value) and not (tmp_path / "pg").exists()
    with pytest.raises(SweepError, match="cannot be used"):
        sweep.sweep(config(), tmp_path, name="s", storage=f"sqlite:///{tmp_path}/no/where.db")


def test_no_password_is_kept(faked, tmp_path, monkeypatch):
    storage = study.open_storage
    monkeypatch.setattr(
        study, "open_storage", lambda url, beat: storage(f"sqlite:///{tmp_path}/stand-in.db", beat)
    )
    url = "postgresql+psycopg://me:secret@host/db"
    folder = sweep.sweep(config(points=2), tmp_path, name="kept", storage=url)
    assert json.loads((folder / "sweep.json").read_text())["storage"] == url.replace(":secret", "")
    assert not any(b"secret" in p.read_bytes() for p in folder.iterdir() if p.is_file())


@pytest.fixture
def postgres():
    """The address of a PostgreSQL server of our own, on a free port of this machine."""
    pytest.importorskip("psycopg")
    found = [*glob.glob("/usr/lib/postgresql/*/bin"), *filter(None, [shutil.which("initdb")])]
    if not found:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(found[-1])
    folder = folder if folder.is_dir() else folder.resolve().parent
    # It does not run as root, and its user may not see pytest's folders.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    where = Path(tempfile.mkdtemp())

    def run(*words):
        subprocess.run([*as_user, *words], check=True, capture_output=True, cwd="/", timeout=60)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        if as_user:
            shutil.chown(where, "postgres")
        run(folder / "initdb", "-D", where / "data", "-A", "trust", "-U", "postgres")
        options = f"-p {port} -k {where} -c listen_addresses=127.0.0.1"
        control = (folder / "pg_ctl", "-D", where / "data", "-l", where / "log", "-w")
        run(*control, "-o", options, "start")
    except (OSError, LookupError, subprocess.SubprocessError) as error:
        shutil.rmtree(where, ignore_errors=True)
        pytest.skip(f"PostgreSQL does not start here: {error}")
    yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    run(*control, "-m", "immediate", "stop")
    shutil.rmtree(where, ignore_errors=True)


@pytest.mark.slow
def test_postgresql_keeps_a_sweep(faked, tmp_path, postgres):
    """Points lie on the server, two sweeps share a study, and one that is resumed goes on."""
    given = {"storage": postgres, "study": "shared"}
    first = sweep.sweep(config(points=3), tmp_path, name="a", **given)
    sweep.sweep(config(points=5), tmp_path, name="b", **given)
    assert not (first / "study.db").exists()
    kept = optuna.load_study(study_name="shared", storage=postgres).trials
    assert len(kept) == 5
    heard, say = hear()
    sweep.resume(first, points=7, storage=postgres, say=say)
    assert [event for event, _ in heard].count("point") == 2
    best = json.loads((first / "best.json").read_text())
    assert best["points"] == 7


def test_without_optuna_it_is_said_how_to_install_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert cli.main(["sweep", "--out", str(tmp_path)]) == 2
    assert "pip install 'loopymeta[sweep]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- the command line ----------------------------------------------------------------------------


def test_help_needs_neither_jax_nor_optuna():
    code = """
import sys
from loopymeta import cli
try:
    cli.main(["sweep", "--help"])
except SystemExit as stop:
    assert not stop.code
assert not {"jax", "optuna", "matplotlib"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--learner lstm --vary" in done.stdout and "rule.eta=1e-4..0.1" in done.stdout


WORDS = f"""--tasks;{TASK},{OTHER};--vary;num_hidden=4..6;--vary;rule.eta=0.01..1.0;--set;num_graphs=1
--finalists;1;--report;2;--lifetimes;2""".replace("\n", ";").split(";")


@pytest.mark.slow
def test_options_reach_the_configuration(faked, tmp_path, capsys):
    words = [*WORDS, "--network", "caesar", "--points", "4", "--seed", "3", "--pruner", "none"]
    assert cli.main(["sweep", *words, "--out", str(tmp_path), "--name", "x"]) == 0
    made = sweep.read_config(tmp_path / "x")
    assert (made.tasks, made.points, made.seed, made.pruner) == ((TASK, OTHER), 4, 3, "none")
    assert made.network.output_rule == Delta(eta=0.5) and made.network.num_graphs == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines].count("point") == 4
    assert lines[-1]["folder"] == str(tmp_path / "x")
    again = ["sweep", *words, "--resume", str(tmp_path / "x")]
    assert cli.main([*again, "--points", "5"]) == 0
    assert len(table(tmp_path / "x")) == 5
    assert cli.main([*again, "--lifetimes", "3"]) == 2
    assert "made with another --lifetimes" in capsys.readouterr().err
    assert cli.main(["sweep", "--resume", str(tmp_path / "x"), "--learner", "lstm"]) == 2
    assert "made with another --learner" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vary", "num_hiden=1..2"], "Did you mean 'num_hidden'"),
        (["--tasks", "memorise"], "Did you mean 'memorize'"),
        (["--set", "ticks"], "NAME=VALUE"),
        (["--pruner", "medium"], "Did you mean 'median'"),
        (["--points", "0"], "points must be at least 1"),
        (["--jobs", "0"], "jobs must be at least 1"),
        (["--resume", "nowhere"], "no sweep's folder"),
        (["--network", "memorise"], "Did you mean 'memorize'"),
        (["--learner", "lstm"], "whole numbers: width"),
        (["--learner", "lsmt"], "Did you mean 'lstm'"),
        (["--learner", "ppm", "--vary", "order=1..3", "--set", "ticks=2"], "leave --set out"),
        (["--learner", "ppm", "--network", "caesar"], "leave --network out"),
    ],
)
def test_mistakes_are_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sweep", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_person_is_shown_how_it_goes(faked, tmp_path, capsys):
    sweep.sweep(config(points=12), tmp_path, name="shown", say=sweep.say_terminal)
    said = capsys.readouterr().out
    for text in ("points  12", "best, point", "before the sweep", "(pruned)", "what matters"):
        assert text in said, text
    assert "loopymeta evaluate" in said and max(map(len, said.split("\n"))) < 200


# --- real lives ----------------------------------------------------------------------------------


def test_a_point_is_lived_as_a_lifetime_is(tmp_path):
    """The loss of the sweep is that of the library, on the scale of the task."""
    import jax

    from loopymeta.lifetime import Lifetime

    made = config(tasks=(TASK,), lifetimes=2)
    course = Course.of(TASK)
    life = living.life_of(made, made.subject(), course, "search")
    losses = living.live(made, life, course, 0, "search")
    keys = living.keys_of(made, "search", 0, 2)
    direct = Lifetime(NETWORK.build(course.task.spec, 0), course.task)
    one = jax.jit(direct)
    expected = [float(one(direct.init_theta(), key)[0]) for key in keys]
    np.testing.assert_allclose(losses, course.scale(np.array(expected)), rtol=1e-5)


@pytest.mark.slow
def test_processes_share_the_points_and_one_that_is_killed_is_made_good(tmp_path):
    """kill -9 in the middle of a point; then the same command, in two processes."""
    words = [sys.executable, "-m", "loopymeta", "sweep", *WORDS, "--set", "connectivity=ring"]
    words += ["--points", "6"]
    process = subprocess.Popen(
        [*words, "--name", "k"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    said = ""
    while '"point"' not in said:  # the first is done, the second has begun
        said = process.stdout.readline()
        assert said, process.wait()
    time.sleep(0.7)
    process.kill()
    process.wait()
    process.stdout.close()
    folder = tmp_path / "runs" / "k"
    assert "RUNNING" in [t.state.name for t in trials(folder)]
    again = [*words, "--resume", "runs/k", "--jobs", "2"]
    subprocess.run(again, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    kept = trials(folder)
    dead = [t for t in kept if t.state.name == "FAIL"]
    done = [t.params for t in kept if t.state.name in ("COMPLETE", "PRUNED")]
    assert len(dead) == 1 and dead[0].params in done and len(done) >= 6
    assert (folder / "best.json").exists() and (folder / "importance.png").exists()
    rule = ["evaluate", "runs/k/rule.json", "--seeds", "1", "--no-baselines"]
    done = subprocess.run(
        [sys.executable, "-m", "loopymeta", *rule], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "learned" in done.stdout, done.stderr
