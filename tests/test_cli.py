"""The command line, as a person meets it: on a terminal, in a pipe, wrong, and stopped."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import some_fast
from jax.experimental.compilation_cache.compilation_cache import reset_cache

import loopymeta
from loopymeta import checkpoint, cli, data, learners, living, progress, runs, tasks, training
from loopymeta.learners import by_name
from loopymeta.lifetime import Lifetime
from loopymeta.recipes import RECIPES, TUNED, recipe
from loopymeta.runs import Run

SIZES = {
    "network.num-memory": 6,
    "network.num-graphs": 2,
    "outer.generations": 3,
    "outer.population-size": 4,
    "outer.lifetimes": 2,
    "task.length": 3,
    "task.presentations": 3,
    "train-task.length": 3,
    "train-task.presentations": 3,
    "select": 2,
    "report": 2,
}


def tiny(**changes) -> list[str]:
    """Options of a run of seconds; names with _ for -, and __ for a dot."""
    sizes = SIZES | {k.replace("__", ".").replace("_", "-"): v for k, v in changes.items()}
    return [word for name, value in sizes.items() for word in (f"--{name}", str(value))]


BARE = {"controls": False, "baselines": False}


@pytest.fixture(autouse=True, scope="module")
def _compile_once(tmp_path_factory):
    """In this process and in those it starts, a computation is compiled once."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    # Commands are run in other folders, with the loopymeta that is tested here.
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(loopymeta.__file__).parents[1])
    yield
    if path is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = path
    for name, value in before.items():
        jax.config.update(name, value)
        del os.environ[name.upper()]
    reset_cache()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "_draw", lambda run, reporter: None)


def command(words, limit: int | None = None) -> subprocess.Popen:
    """The command in a process of its own; a checkpoint after every generation.

    Args:
      words: after ``loopymeta``.
      limit: bytes that a file may hold: a disk that is full.
    """
    code = f"""
import resource, signal, sys
from loopymeta import cli, training
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
training.SAVE_SECONDS = 0.0
training._draw = lambda run, reporter: None
limit = {limit}
if limit is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(cli.main({list(words)!r}))
"""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def figures(path) -> dict:
    """What two equal runs have in common, bit for bit."""
    run = Run.open(path)
    result = run.read_json("result.json")
    result["about"].pop("device")
    lines = (run.path / "metrics.csv").read_text().splitlines()
    times = {lines[0].split(",").index(c) for c in ("seconds", "lifetimes_per_second")}
    return {
        "rule.json": (run.path / "rule.json").read_bytes(),
        "result.json": json.dumps(result),
        "metrics.csv": [
            [value for place, value in enumerate(line.split(",")) if place not in times]
            for line in lines
        ],
    }


def snapshot(folder) -> dict:
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that is done; copy it before you break it."""
    out = tmp_path_factory.mktemp("finished")
    words = ["train", "memorize", *tiny(**BARE), "--out", str(out), "--name", "run", "--quiet"]
    assert cli.main(words) == 0
    return out / "run"


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "copy"))


# --- training ------------------------------------------------------------------------------------


def test_in_a_pipe_every_line_is_json(capsys):
    assert cli.main(["train", "memorize", *tiny(**BARE), "--name", "run"]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    events = [line["event"] for line in lines]
    assert events == [
        "begin",
        "compiled",
        *["generation"] * 3,
        "stage",
        "note",
        "stage",
        "figures",
        "stage",
        "done",
    ]
    assert {"generation", "loss", "best", "seconds", "lifetimes_per_second"} <= set(lines[3])
    assert lines[-1]["run"] == "runs/run" and "loopymeta evaluate runs/run" in lines[-1]["next"][0]


def options_of(value, prefix=()):
    """(path, type) of every option that a config.json shows."""
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        within = isinstance(value, tasks.Task) and isinstance(inner, tasks.Task)
        if dataclasses.is_dataclass(inner) and not isinstance(inner, cli.Rule) and not within:
            yield from options_of(inner, (*prefix, field.name))
        else:
            yield (*prefix, field.name), inner


CANDIDATES = ["0.375", "3", "5", "7", "fixed", "windows", "test", "dev", "none", "ring", "relu"]
CANDIDATES += ["silu", "shared", "per_synapse", "target", "random", "dense", "frozen", "train"]
CANDIDATES += ["antithetic", "end", "silence", "before", "as_input", "lstm", "makemore"]


SOME = (*TUNED, "parity", "garbage")
"""The tuned recipes, and of the others, which are alike, a plain one and one with a task in it."""


@pytest.mark.parametrize("task", some_fast(SOME, ("memorize",)))
def test_every_option_of_a_task_arrives_in_the_configuration(task, monkeypatch, capsys):
    """Each one is changed on the command line, and is found changed, it alone, in what is run."""
    got = []
    monkeypatch.setattr(cli, "_drive", lambda config, **rest: got.append(config) or 0)
    default = recipe(task)

    def change(path, *words) -> bool:
        """Whether the words are taken and change the option; nothing else may change."""
        name = "--" + ".".join(path).replace("_", "-")
        if cli.main(["train", task, name, *words]):
            return False
        values = {"found": runs.to_dict(got.pop()), "expected": runs.to_dict(default)}
        found, expected = values["found"], values["expected"]
        for part in path[:-1]:
            found, expected = found[part], expected[part]
        if found[path[-1]] == expected[path[-1]]:
            return False
        expected[path[-1]] = found[path[-1]]
        if path[0] == "task":  # and in the tasks of which the recipe says the same
            for other in (default.train_task, default.select_task):
                if getattr(other, path[1], None) == getattr(default.task, path[1]) and other:
                    name = "train_task" if other is default.train_task else "select_task"
                    values["expected"][name][path[1]] = found[path[1]]
        assert values["found"] == values["expected"], name
        assert found[path[-1]] == json.loads(json.dumps(said(path, words, found[path[-1]]))), name
        return True

    def said(path, words, found):
        kind = type(found)
        if kind in (int, float):
            return kind(words[0])
        if kind is bool:
            return words[0] == "True"
        if kind is dict:
            known = cli.task_from_text if path[-1] in ("task", "mixture") else cli.rule_from_text
            return runs.to_dict(known(words[0]))
        if kind is list:
            return [said(path, [word], each) for word, each in zip(words, found, strict=True)]
        return words[0]

    for path, value in options_of(default):
        if path == ("select_task",):
            continue  # a table, where the recipe has one
        if path == ("streams",):
            continue  # which are of learners, and refused with networks
        if path == ("mixture",) and default.objective != "loss":
            continue  # which a mixture lowers
        candidates = [str(not value)] if isinstance(value, bool) else CANDIDATES
        if path[-1] in ("rule", "output_rule", "memory_rule"):
            candidates = ["oja(eta=0.125)"]
        if path == ("mixture",):
            candidates = ["boolean(sets=9)"]
        if path[1:] == ("task",):
            candidates = ["caesar(symbols=9)"]
        assert any(change(path, word) for word in candidates), path
    assert change(("outer", "frozen"), "innate", "rule.eta")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("memorize --task.length 24", {"length": (24, 24), "presentations": (6, 6)}),
        ("memorize --task.length 24 --train-task.length 8", {"length": (24, 8)}),
        ("memorize --task.length 24 --train_task.length=12", {"length": (24, 12)}),
        ("reversal --task.n 4 --task.sequences 20000", {"n": (4, 4), "sequences": (20000, 1200)}),
        ("text --task.file mine.txt", {"file": ("mine.txt", "mine.txt")}),
        ("text --train-task.file mine.txt", {"file": ("tinyshakespeare", "mine.txt")}),
        ("names --task.order fixed", {"order": ("fixed",) * 3}),
        ("names --task.held-out dev", {"held_out": ("dev", "train", "train")}),
        ("names --task.order fixed --select-task.order random", {"order": ("fixed",) * 2}),
    ],
)
def test_options_of_the_task_hold_in_the_other_tasks_too(words, expected, monkeypatch):
    got = []
    monkeypatch.setattr(cli, "_drive", lambda config, **rest: got.append(config) or 0)
    assert cli.main(["train", *words.split()]) == 0
    tasks = (got[0].task, got[0].train_task, got[0].select_task)
    for field, values in expected.items():
        found = tuple(getattr(task, field) for task in tasks[: len(values)])
        assert found == values, field
    if "select" in words:
        assert got[0].select_task.order == "random"


def test_nothing_can_be_said(monkeypatch):
    got = []
    monkeypatch.setattr(cli, "_drive", lambda config, **rest: got.append(config) or 0)
    assert cli.main(["train", "names", "--network.output-rule", "None"]) == 0
    assert got.pop().network.output_rule is None


def test_options_reach_config_json(finished):
    config = training.read_config(finished)
    assert config.task.length == 3 and config.train_task.presentations == 3
    assert config.network.num_memory == 6 and config.outer.population_size == 4
    assert config.select == 2 and config.controls is False and config.baselines is False


@pytest.mark.parametrize(
    ("words", "quiet", "controls"),
    [
        ("", False, True),
        ("--quiet", True, True),
        ("--quiet True --controls False", True, False),
        ("--no-controls", False, False),
        ("--no-controls --quiet", True, False),
        ("--quiet --seed 3", True, True),
        ("--quiet=True --controls=False", True, False),
    ],
)
def test_yes_and_no_may_be_written_in_every_usual_way(words, quiet, controls, monkeypatch):
    got = {}
    monkeypatch.setattr(cli, "_drive", lambda config, **rest: got.update(rest, config=config) or 0)
    assert cli.main(["train", "caesar", *words.split()]) == 0
    assert (got["quiet"], got["config"].controls) == (quiet, controls)


def test_help_shows_every_option_with_its_default(capsys):
    for task in SOME:
        with pytest.raises(SystemExit) as stop:
            cli.main(["train", task, "--help"])
        assert not stop.value.code
        text = capsys.readouterr().out
        for name, _ in cli._known_options(recipe(task)):
            if name == "--select-task":
                continue
            assert re.search(rf"{re.escape(name)}[ \n]", text), (task, name)
        assert text.count("(default: ") >= len(list(cli._known_options(recipe(task)))) - 2
        assert "{None}|RULE|" not in text


def test_help_of_a_command_and_of_all(capsys):
    assert cli.main(["--help"]) == 0
    assert "train TASK" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert cli.main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(task in out for task in RECIPES) and "--resume RUN" in out
    for name in ("evaluate", "rules", "learners", "tasks", "data", "plot"):
        with pytest.raises(SystemExit) as stop:
            cli.main([name, "--help"])
        assert not stop.value.code and "usage: loopymeta" in capsys.readouterr().out


# --- what it shows on a terminal -----------------------------------------------------------------


def on_a_terminal(words, columns=100) -> tuple[int, str]:
    """(status, everything shown) of the command on a pseudo-terminal."""
    import fcntl
    import pty
    import struct
    import termios

    descriptor, terminal = pty.openpty()
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "loopymeta.cli", *words],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(descriptor)
    return process.wait(), shown.decode()


@pytest.mark.slow
def test_on_a_terminal_a_live_line_and_a_table():
    words = tiny(outer__generations=40, **(BARE | {"controls": True}))
    status, shown = on_a_terminal(["train", "memorize", *words, "--name", "run"])
    assert status == 0, shown
    live = [line for line in re.split(r"[\r\n]+", shown) if line.startswith("meta-learning")]
    assert re.search(
        r"\d+/40 \|.*\| \d\d:\d\d left, loss \d\.\d+, best \d\.\d+, [\d,]+ lifetimes/s", live[-1]
    )
    assert max(len(line) for line in live) <= 100
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    for learner in ("learned", "frozen", "shuffled", "zero", "untrained"):
        assert plain.count(f"\n{learner} ") == 1, plain
    assert "change = " in plain and "loopymeta evaluate runs/run --seed 1" in plain
    assert "Traceback" not in plain and "{" not in plain


def test_the_reporter_of_terminals_shows_rows_that_are_not_finite(capsys, tmp_path):
    reporter = progress.TerminalReporter()
    config = recipe("memorize")
    reporter.begin(Run(tmp_path), config, 0, ["a"])
    reporter.compiled("it", 1.0)
    row = {"loss": float("nan"), "best": float("inf"), "lifetimes_per_second": 12.0}
    reporter.generation(row | {"nonfinite": 3.0})
    reporter.end()
    reporter.end()
    shown = capsys.readouterr()
    assert "3 not finite" in shown.err


LEARNER = {
    "format": training.RULE_FORMAT,
    "version": training.RULE_VERSION,
    "task": "memorize",
    "chosen": {},
    "learner": "counts",
    "theta": {"discount": 0.5, "rows": [[1.0, 2.0]]},
}


def test_a_run_of_a_learner_says_the_learner_and_its_theta(capsys, tmp_path):
    found = Run(tmp_path)
    found.write_json("rule.json", LEARNER)
    figure = {"mean": 0.5, "spread": 0.1, "seeds": 2}
    about = {"chance": 0.1, "floor": None, "lifetimes": 2}
    result = {"learned": {"loss": figure}, "about": about}
    for reporter in (progress.TerminalReporter(), progress.LineReporter()):
        reporter.task = "memorize"
        reporter.done(found, result)
        shown = capsys.readouterr().out
        for said in ("counts", "discount = 0.5", "rows: 1 x 2 numbers", "evaluate"):
            assert said in shown
        assert "train memorize" not in shown  # which would train a rule


@pytest.mark.parametrize("task", tasks.TASKS)
def test_what_to_do_next_is_said_of_every_task(task, tmp_path):
    for reporter in (progress.TerminalReporter(), progress.LineReporter()):
        reporter.task = task
        for found in ({}, LEARNER):
            said = reporter.next(Run(tmp_path), found)
            assert all(line.startswith("loopymeta ") for line in said) and len(said) >= 2


def test_evaluate_a_run_of_a_learner(capsys, tmp_path):
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(LEARNER | {"theta": {"discount": 0.5}}))
    words = ["evaluate", str(path), "--set", "length=3", "--set", "presentations=3", "--seeds", "2"]
    words += ["--no-baselines", "--json", "figures.json"]
    assert cli.main(words) == 0
    capsys.readouterr()
    result = json.loads(Path("figures.json").read_text())
    assert set(result) == {"learned", "untrained"}
    learned, untrained = (result[name]["loss"]["per_seed"] for name in ("learned", "untrained"))
    assert learned != untrained
    task = tasks.Memorize(length=3, presentations=3)
    theta = {"discount": np.float32(0.5)}
    same = training.evaluate_learner("counts", theta, task, seeds=2, with_baselines=False)
    assert same["learned"]["loss"]["per_seed"] == learned
    with pytest.raises(ValueError, match="seeds"):
        training.evaluate_learner("counts", theta, task, seeds=0)
    assert "--longest is for rules" in refused([*words, "--longest", "3"], capsys)


@pytest.mark.slow
def test_evaluate_a_learner_by_name(capsys):
    """As the run of a learner that a search has not changed; who lives on the host, too."""
    words = ["--task", "memorize(length=3)", "--set", "presentations=3", "--seeds", "2"]
    task = tasks.Memorize(length=3, presentations=3)
    for name in ("counts(order=2)", "ppm"):
        assert cli.main(["evaluate", name, *words, "--no-baselines", "--json", "figures.json"]) == 0
        assert capsys.readouterr().err == ""
        found = json.loads(Path("figures.json").read_text())
        assert set(found) == {name}
        learner = by_name.learner_of(name, task)
        live = learners.live_on_host if name == "ppm" else lived
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 1 << 20), 2)
        expected = [float(live(learner, task, key)[0]) for key in keys]
        np.testing.assert_allclose(found[name]["loss"]["per_seed"], expected, rtol=1e-6)
    shown = []
    for seed in ("0", "1"):
        assert cli.main(["evaluate", "in_context(width=2)", *words, "--seed", seed]) == 0
        out, err = capsys.readouterr()
        lines = [json.loads(line) for line in out.splitlines()]
        whose = ["in_context(width=2)", "reservoir", "lstm"]
        assert [line["learner"] for line in lines] == whose
        shown.append(lines[0]["metrics"]["loss"])
    assert shown[0] != shown[1]
    assert "in_context does not learn by living" in err and err.count("\n") == 1
    assert "loopymeta train memorize --learner in_context" in err and "evaluate that run" in err


def test_evaluate_a_learner_in_parallel_streams(capsys):
    words = ["evaluate", "elman(width=2)", "--task", "caesar(symbols=40)", "--streams", "3"]
    words += ["--seeds", "2", "--no-baselines", "--json", "figures.json"]
    assert cli.main(words) == 0
    found = json.loads(Path("figures.json").read_text())
    task = tasks.Caesar(symbols=40)
    streams = learners.Parallel(Lifetime(by_name.learner_of("elman(width=2)", task), task), 3)
    theta = streams.init_theta()
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 1 << 20), 2)
    expected = [float(jax.jit(streams)(theta, key)[0]) for key in keys]
    np.testing.assert_allclose(found["elman(width=2)"]["loss"]["per_seed"], expected, rtol=1e-5)


def lived(learner, task, key):
    life = Lifetime(learner, task)
    return jax.jit(life)(learner.init_theta(), key)


# --- stopped -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("whole")
    process = command(["train", "memorize", *STOPPED, "--out", str(folder), "--name", "whole"])
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return figures(folder / "whole")


STOPPED = tiny(outer__generations=60, baselines=False)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_ctrl_c_and_sigterm_write_a_checkpoint_and_say_how_to_go_on(number, uninterrupted):
    process = command(["train", "memorize", *STOPPED, "--name", "run"])
    for line in process.stdout:
        if '"generation": 2,' in line:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "loopymeta train --resume runs/run" in err and "Traceback" not in err
    assert Run.open("runs/run").checkpoints()
    assert cli.main(["train", "--resume", "runs/run", "--quiet"]) == 0
    assert figures("runs/run") == uninterrupted


@pytest.mark.slow
def test_a_reader_that_goes_away_does_not_lose_a_run(uninterrupted):
    process = command(["train", "memorize", *STOPPED, "--name", "run"])
    for line in process.stdout:
        if '"generation": 2,' in line:
            break
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=120) == 128 + signal.SIGPIPE
    assert "nobody reads the output" in err and "Traceback" not in err and "ignored" not in err
    assert "loopymeta train --resume runs/run" in err
    assert Run.open("runs/run").checkpoints()[-1][0] >= 2
    assert cli.main(["train", "--resume", "runs/run", "--quiet"]) == 0
    assert figures("runs/run") == uninterrupted


def test_a_reader_of_errors_that_goes_away_too(monkeypatch):
    class Gone:
        def write(self, text):
            raise BrokenPipeError

    def stopped(*arguments, **options):
        raise training.Interrupted(Run("run"), 3) from BrokenPipeError()

    monkeypatch.setattr(training, "resume", stopped)
    monkeypatch.setattr(cli, "_mute", lambda: None)
    monkeypatch.setattr(sys, "stderr", Gone())
    assert cli.main(["train", "--resume", "run"]) == 128 + signal.SIGPIPE


def test_a_handler_of_sigterm_is_given_back(finished):
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["train", "--resume", str(finished)]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_what_does_not_come_back(number):
    """Compiled code that waits for ever, as one call into C does here; Python hears nothing."""
    code = """
import ctypes, signal
from loopymeta import cli
never = ctypes.CDLL(None).pthread_mutex_lock
with cli._terminable():
    # Handlers that do nothing stand for handlers that never run: a signal may come before the call.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    mutex = ctypes.create_string_buffer(64)
    never(mutex)
    print("waits", flush=True)
    never(mutex)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "waits\n"
        process.send_signal(number)
        process.send_signal(number)  # at once: taken for the first again
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=cli.GRACE + 0.5)
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number
    finally:
        process.kill()
        process.communicate()


def test_who_reads_says_what_is_kept_when_stopped(capsys, monkeypatch):
    words = ["generate", "counts", "--set", "symbols=60", "--length", "9"]
    assert cli.main(words) == 0
    whole = capsys.readouterr().out
    save, stopped = checkpoint.save, signal.SIGINT + 128

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    def save_and_stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    for end, said in (
        (stop, "stopped; nothing is kept yet"),
        (save_and_stop, "stopped; the lifetime is kept in life, and the same command goes on with"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(checkpoint, "save", end)
            assert cli.main([*words, "--file", "life"]) == stopped
        out, err = capsys.readouterr()
        assert said in err and out == ""
    assert cli.main([*words, "--file", "life"]) == 0
    assert capsys.readouterr().out == whole
    monkeypatch.setattr(living, "live_through", stop)
    assert cli.main(words) == stopped
    assert capsys.readouterr().err == "\nstopped\n"


@pytest.mark.slow
def test_killed_once_and_resumed(uninterrupted):
    killed_and_resumed(["generation", "report"], uninterrupted, random.Random(0))


@pytest.mark.slow
def test_killed_at_many_random_moments_and_resumed(uninterrupted, tmp_path):
    for seed in range(1, 5):
        os.chdir(tmp_path)
        killed_and_resumed(
            ["begin", "generation", "generation", "report", "report"],
            uninterrupted,
            random.Random(seed),
        )
        shutil.rmtree("runs")


def killed_and_resumed(moments, uninterrupted, dice):
    """SIGKILL soon after each of the moments, then a run to the end."""
    words = ["train", "memorize", *STOPPED, "--name", "run"]
    for moment in moments:
        process = command(words)
        after = dice.randint(1, 12) if moment == "generation" else dice.randint(0, 2)
        events = {"begin": '"begin"', "generation": '"generation",', "report": '"figures"'}
        for line in process.stdout:
            after -= f'"event": {events[moment]}'.rstrip(",") in line
            if after < 0:
                break
        time.sleep(dice.random() * 0.02)
        process.kill()
        process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGKILL, 0)
        words = ["train", "--resume", "runs/run"]
        for _, path in Run.open("runs/run").checkpoints():
            checkpoint.read(path)  # whole, every one of them
    process = command(words)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert figures("runs/run") == uninterrupted


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_a_run_to_go_on_with(uninterrupted):
    # config.json fits, and some of the metrics.
    config = runs.to_dict(recipe("memorize"))
    limit = len(json.dumps(config, indent=2)) + 1500
    process = command(["train", "memorize", *STOPPED, "--name", "run"], limit=limit)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2, limit
    assert 2 < len(Run.open("runs/run").read_metrics()["generation"]) < 60
    lines = [line for line in err.splitlines() if line]
    assert len(lines) == 1, err
    assert re.match(r"loopymeta: cannot write .*(too large|No space).*intact.*--resume", lines[0])
    assert cli.main(["train", "--resume", "runs/run", "--quiet"]) == 0
    assert figures("runs/run") == uninterrupted


# --- evaluate ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_evaluate_a_run_a_file_and_a_name(run, capsys):
    def evaluate(*words):
        assert cli.main(["evaluate", *words, "--seeds", "2", "--no-baselines"]) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {line["learner"]: line["metrics"] for line in lines}

    folder = evaluate(str(run), "--json", "figures.json")
    assert list(folder) == ["learned", "frozen", "shuffled", "zero"]
    assert folder["frozen"] == folder["zero"]
    # The task is the one that the run reported, with its options, not the recipe's.
    assert len(folder["learned"]["recall_by_presentation"]["mean"]) == 3
    assert json.loads(Path("figures.json").read_text()) == folder
    assert evaluate(str(run / "rule.json")) == folder
    assert evaluate(str(run), "--seed", "1") != folder
    shutil.move(run / "rule.json", "alone.json")
    alone = evaluate("alone.json", "--set", "length=3", "--set", "presentations=2")
    assert len(alone["learned"]["recall_by_presentation"]["mean"]) == 2
    named = evaluate("oja(eta=0.1)", "--task", "memorize", "--set", "length=2")
    assert set(named) == set(folder)


def test_evaluate_reports_a_slash_in_a_written_rule(monkeypatch):
    found = cli._rule_to_evaluate("written('pre / (1 + abs(post))')", "caesar")
    assert found[0].rule.expression == "pre / (1 + abs(post))"
    long = "written('" + " + ".join(["pre * post"] * 60) + "')"
    assert cli._rule_to_evaluate(long, "caesar")[1] is None


# --- lists ---------------------------------------------------------------------------------------


def test_lists_and_single_entries(capsys):
    for words, expected in (
        (["rules"], ["oja", "running_scale", "written"]),
        (["rules", "oja"], ["Oja, 1982", "eta", "learning rate per tick", "change = 0.01"]),
        (["rules", "written"], ["expression"]),
        (["learners"], [*by_name.LEARNERS, "forwards (method='rtrl', width=64)."]),
        (["learners", "lstm"], ["Hochreiter", "window", "16", "train TASK --learner lstm"]),
        (["learners", "in_context"], ["knows nothing without one"]),
        (["learners", "ppm"], ["order", "no outer loop can search"]),
        (["tasks"], list(RECIPES)),
        (["tasks", "reversal"], ["sequences", "5000", "loopymeta train reversal --help"]),
        (["data", "list"], list(data.DATASETS)),
        (["data"], list(data.DATASETS)),
    ):
        assert cli.main(words) == 0
        out = capsys.readouterr().out
        assert all(text in out for text in expected), out
        assert "``" not in out and ">>>" not in out
    for name in RECIPES:
        assert cli.main(["tasks", name]) == 0
        fields = capsys.readouterr().out.split("fields:")[1].strip().split("\n\n")[0].splitlines()
        assert all(len(line.split()) > 3 for line in fields), fields  # every one explained


def test_a_terminal_is_shown_no_tex():
    shown = [kind.options for kind in by_name.LEARNERS.values()]
    for thing in (*shown, *tasks.TASKS.values()):
        text = cli._plain(inspect.cleandoc(thing.__doc__))
        assert not re.search(r"\\|:math:|\.\. math|====|``", text), thing


@pytest.mark.parametrize("name", by_name.LEARNERS)
def test_what_is_said_of_a_learner_is_what_it_has(name, capsys):
    """Every option that its name takes is explained, with the default that it has."""
    assert cli.main(["learners", name]) == 0
    out = capsys.readouterr().out
    assert "heta" in out and "num_inputs" not in out
    shown = dict(re.findall(r"^  (\w+) +(.*?)  +\S.*$", out.split("fields:")[1], re.MULTILINE))
    for option in shown:
        by_name.check(f"{name}({option}=1)")
    with pytest.raises(ValueError, match="Known: ") as unknown:
        by_name.check(f"{name}(zzz=1)")
    assert sorted(shown) == re.findall(r"\w+", str(unknown.value).partition("Known: ")[2])
    task = tasks.Caesar()
    learner = by_name.learner_of(name, task)
    for option in by_name.LEARNERS[name].fixed:
        assert str(getattr(learner, option)) == shown[option]


# --- bad input -----------------------------------------------------------------------------------


def refused(words, capsys) -> str:
    """The one line of an error that a person can mend; nothing is written."""
    before = snapshot(Path())
    assert cli.main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("loopymeta: ") and err.count("\n") == 1, err
    assert snapshot(Path()) == before
    return err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian memorize", "unknown command 'trian'. Did you mean 'train'?"),
        ("train memorise", "unknown task 'memorise'. Did you mean 'memorize'?"),
        ("train memorize --sead 3", "unknown option '--sead'. Did you mean '--seed'?"),
        ("train memorize --network.num-hiden 3", "Did you mean '--network.num-hidden'?"),
        ("train memorize --seed", "--seed"),
        ("train memorize --seed three", "--seed: invalid literal"),
        ("train memorize stray", "stray"),
        ("train memorize --seed -1", "seed must be at least 0, got -1"),
        ("train memorize --network.rule ojo", "unknown rule 'ojo'. Did you mean 'oja'?"),
        ("train memorize --network.output-rule oja(eat=1)", "Did you mean 'eta'?"),
        ("train memorize --network.output-rule oja(eta=nan)", "eta"),
        ("train memorize --network.num-hidden -1", "num_hidden must be at least 0, got -1"),
        (
            "train memorize --network.num-hidden 8 --network.connectivity erdos_renyi "
            "--network.degree 5000",
            "degree must lie between 0 and 7, got 5000",
        ),
        ("train memorize --network.input-degree 500", "input_degree"),
        ("train memorize --network.teaching eror", "eror"),
        ("train memorize --outer.population-size 1", "population_size must be at least 2, got 1"),
        ("train memorize --outer.algorithm Open_EZ", "unknown evolution strategy 'Open_EZ'"),
        ("train memorize --outer.method gradient --outer.optimizer adan", "Did you mean 'adam'?"),
        ("train memorize --outer.devices 99", "devices must be at most 2, got 99"),
        ("train memorize --outer.frozen innate.memory_gian", "innate.memory_gian"),
        ("train memorize --objective los", "unknown objective 'los'. Did you mean 'loss'?"),
        ("train memorize --task.length 0", "length must be at least 1, got 0"),
        ("train memorize --task.length 1000000000000", "a lifetime of 6,000,000,000,000 symbols"),
        ("train memorize --train-task.length 1000000000", "a lifetime of 6,000,000,000 symbols"),
        ("train memorize --network.num-hidden 3000000", "16 graphs of 3,000,000 nodes take"),
        ("train memorize --network.num-hidden 999999999 --network.connectivity ring", "nodes take"),
        ("train memorize --name ../up", "name of a run must be a plain name"),
        ("train memorize --resume", "--resume"),
        ("train memorize --resume runs/x --seed 3", "give it alone"),
        ("train --resume runs/x --outer.generations 9", "give it alone, got --outer.generations"),
        ("train memorize --network.rule oja(eta=", "'oja(eta=': '(' was never closed (loopymeta"),
        ("train --resume nowhere", "there is no run folder nowhere"),
        ("train --resume .", ". is not a run folder: it has no config.json"),
        ("train --quiet", "--resume"),
        ("train text --task.file nowhere.txt", "nowhere.txt"),
        ("rules ojo", "unknown rule 'ojo'. Did you mean 'oja'?"),
        ("tasks revursal", "unknown task 'revursal'. Did you mean 'reversal'?"),
        ("rules lstm", "lstm is a learner, not a rule: loopymeta learners lstm"),
        ("learners oja", "oja is a rule, not a learner: loopymeta rules oja"),
        ("learners lsmt", "unknown learner 'lsmt'. Did you mean 'lstm'?"),
        ("train names --learner lstm --network.num-hidden 9", "leave --network.num-hidden out"),
        ("train names --no-network.bias --learner lstm(width=2)", "leave --no-network.bias out"),
        ("train names --streams 2", "parallel streams are for learners that have gradients"),
        ("evaluate oja --task caesar --streams 2", "--streams is for learners that have gradients"),
        ("evaluate ppm --task caesar --streams 2", "PPM cannot live parallel streams"),
        ("evaluate lstm --task caesar --streams 0", "streams must be at least 1"),
        ("train names --learner lstm --train-hidden 9", "lstm lives instead of the networks"),
        ("data list huckfin", "unknown data set 'huckfin'. Did you mean 'huck_fin'?"),
        ("data fetsh", "fetsh"),
        ("evaluate", "required: WHO"),
        ("evaluate oja", "--task"),
        ("evaluate ojo --task memorize", "unknown rule or learner 'ojo'. Did you mean 'oja'?"),
        ("evaluate lsmt --task memorize", "unknown rule or learner 'lsmt'. Did you mean 'lstm'?"),
        ("evaluate lsmt(width=8) --task memorize", "Did you mean 'lstm'?"),
        ("evaluate oja --task memorise", "unknown task 'memorise'. Did you mean 'memorize'?"),
        ("evaluate oja --task memorize --set lenght=3", "Did you mean 'length'?"),
        ("evaluate oja --task memorize --set length", "--set takes NAME=VALUE, got 'length'"),
        ("evaluate oja --task memorize --set length=long", "length must be a whole number"),
        ("evaluate oja --task memorize --seeds 0", "seeds must be at least 1, got 0"),
        ("evaluate oja --task memorize --json nowhere/figures.json", "there is no folder nowhere"),
        ("evaluate oja --tsak memorize", "--tsak"),
        ("evaluate nowhere/rule.json", "there is no run or rule file nowhere/rule.json"),
        ("evaluate .", "has no rule.json"),
        ("evaluate lstm", "--task must say on which task to report a rule or learner by name"),
        ("evaluate gru(widht=8) --task reversal", "Did you mean 'width'?"),
        ("evaluate ppm --task henon", "PPM needs targets that are symbols"),
        (
            "evaluate lstm --task memorize --longest 3",
            "--longest is for rules, and lstm is a learn",
        ),
        ("evaluate oja --task text(file=mine.txt)", "got 'mine.txt'; put texts in quotes"),
        ("evaluate oja --task text(file=/mine.txt)", "invalid syntax; put texts in quotes"),
        ("evaluate lstm --suite quick --out /proc/x", "/proc/x/cells cannot be made or written"),
        ("plot nowhere", "there is no run folder nowhere"),
    ],
)
def test_bad_words_are_one_clear_line(words, message, capsys):
    assert message in refused(words.split(), capsys)


@pytest.mark.parametrize(
    ("contents", "message"),
    [(b"", "empty|too short"), (b"\xff\xfe\x00binary\x80" * 50, "UTF-8"), (b"short", "too short")],
)
def test_texts_that_are_none(contents, message, capsys, tmp_path):
    Path("book.txt").write_bytes(contents)
    words = ["train", "text", "--task.file", "book.txt"]
    assert re.search(message, refused(words, capsys))


def test_texts_that_are_too_short_for_what_is_asked(capsys):
    Path("book.txt").write_text("to be or not to be " * 20)
    words = ["train", "text", "--task.file", "book.txt"]
    assert "symbols must be at most" in refused(words, capsys)


def test_texts_that_are_too_short_say_how_to_take_all_of_them(capsys):
    Path("book.txt").write_text("to be or not to be " * 20)
    words = ["evaluate", "ppm", "--task", "text", "--set", "file=book.txt", "--seeds", "1"]
    for name, most in (("symbols", 341), ("held_out_symbols", 37)):
        assert f"at most {most} (all there is; {name}=None takes it), got" in refused(words, capsys)
        words += ["--set", f"{name}=None"]
    assert cli.main([*words, "--no-baselines"]) == 0
    capsys.readouterr()
    # Beside which something is held out, so that no None can stand there.
    words = ["train", "text", "--task.file", "book.txt", "--task.symbols", "None"]
    assert "all there is), got" in refused([*words, "--task.held-out-symbols", "9"], capsys)


def _edit(change):
    def edit(path):
        contents = json.loads(path.read_text())
        change(contents)
        path.write_text(json.dumps(contents))

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_edit(lambda c: c["theta"]["output_rule"].update(eta=float("nan"))), "must be finite"),
        (_edit(lambda c: c["theta"]["output_rule"].update(eta="much")), "theta"),
        (_edit(lambda c: c["theta"]["output_rule"].update(eta=[1.0, 2.0])), "must have shape"),
        (_edit(lambda c: c["theta"]["output_rule"].pop("eta")), "theta lacks"),
        (_edit(lambda c: c["theta"]["output_rule"].update(zeta=1.0)), "does not know"),
        (_edit(lambda c: c.pop("theta")), "lacks 'theta'"),
        (_edit(lambda c: c.update(theta=3)), "theta"),
        (_edit(lambda c: c.update(format="other")), "is no rule file of loopymeta"),
        (_edit(lambda c: c.update(version=99)), "a rule file of version 99"),
        (_edit(lambda c: c["network"].update(num_hiden=3)), "Did you mean 'num_hidden'?"),
        (_edit(lambda c: c["network"].update(num_memory=-3)), "num_memory must be at least 0"),
        (_edit(lambda c: c["network"]["output_rule"].update(type="Dleta")), "Did you mean 'Delta'"),
        (_edit(lambda c: c.update(network=[])), "network"),
        (lambda path: path.write_text("[1, 2]"), "is no rule file of loopymeta"),
        (lambda path: path.write_text("{"), "is not JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not JSON"),
        (lambda path: path.unlink(), "has no rule.json"),
    ],
)
def test_damaged_rule_files(run, edit, message, capsys):
    edit(run / "rule.json")
    assert message in refused(["evaluate", run, "--seeds", "1"], capsys)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda path: path.write_text("{"), "is not JSON"),
        (lambda path: path.write_text("[]"), "is not a run folder"),
        (_edit(lambda c: c.pop("config")), "holds no configuration"),
        (_edit(lambda c: c.update(version=99)), "is a run of version 99"),
        (_edit(lambda c: c["config"].update(sede=1)), "Did you mean 'seed'"),
        (_edit(lambda c: c["config"]["task"].update(length=-3)), "length must be at least 1"),
        (_edit(lambda c: c["config"]["network"].update(type="Memorize")), "network"),
    ],
)
def test_resuming_a_run_whose_configuration_is_damaged(run, edit, message, capsys):
    (run / "result.json").unlink()
    edit(run / "config.json")
    assert message in refused(["train", "--resume", run], capsys)


@pytest.mark.slow
def test_resuming_a_run_whose_checkpoints_are_all_damaged(run, finished, capsys):
    (run / "result.json").unlink()
    for _, path in Run.open(run).checkpoints():
        path.write_bytes(b"damaged")
    before = snapshot(run)
    assert cli.main(["train", "--resume", str(run)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "can be read" in err
    assert f"Delete what is in {run / 'checkpoints'}" in err and "its result is the same" in err
    kept = {path: seen for path, seen in snapshot(run).items() if path.name != ".lock"}
    assert kept == {path: seen for path, seen in before.items() if path.name != ".lock"}
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    assert cli.main(["train", "--resume", str(run), "--quiet"]) == 0
    assert figures(run) == figures(finished)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # as outside of tests, where it is no error
def test_resuming_with_the_newest_checkpoint_damaged_says_so(finished, capsys):
    words = ["train", "memorize", *tiny(**BARE), "--name", "run"]
    process = command(words)
    process.communicate(timeout=300)
    path = Run.open("runs/run").checkpoints()[-1][1]
    path.write_bytes(path.read_bytes()[:100])
    Path("runs/run/result.json").unlink()
    assert cli.main(["train", "--resume", "runs/run"]) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and "Continuing from" in err
    assert figures("runs/run") == figures(finished)


def test_resuming_a_checkpoint_of_another_configuration(run, capsys):
    _edit(lambda c: c["config"]["outer"].update(elites=9))(run / "config.json")
    (run / "result.json").unlink()
    assert cli.main(["train", "--resume", str(run)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "Was it written with another configuration?" in err


def test_a_finished_run_is_kept_as_it_is(run, capsys):
    before = snapshot(run)
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert "finished already" in capsys.readouterr().out
    assert {p: s for p, s in snapshot(run).items() if p.is_file() and p.name != ".lock"} == {
        p: s for p, s in before.items() if p.is_file() and p.name != ".lock"
    }


def test_a_name_that_exists_is_refused(run, capsys):
    words = ["train", "memorize", *tiny(**BARE), "--out", str(run.parent), "--name", run.name]
    assert "exists already; nothing in it was changed" in refused(words, capsys)


def test_out_that_is_a_file_or_cannot_be_written(capsys):
    Path("file").write_text("")
    words = ["evaluate", "lstm", "--suite", "quick", "--out", "file"]
    assert "output folder file/cells cannot be made or written" in refused(words, capsys)
    words = ["train", "memorize", *tiny(**BARE), "--out", "file", "--name", "x"]
    assert "cannot make the run folder" in refused(words, capsys)


def test_a_reader_that_goes_away_is_no_traceback():
    process = subprocess.run(
        f"{sys.executable} -m loopymeta.cli rules | head -1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert process.stdout.startswith("zero") and process.stderr == ""


def test_tracebacks_for_those_who_want_them(monkeypatch):
    monkeypatch.setenv("LOOPYMETA_TRACEBACK", "1")
    with pytest.raises(ValueError, match="unknown task"):
        cli.main(["train", "memorise"])


def test_a_bug_is_not_taken_for_a_mistake(monkeypatch):
    def broken(words):
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "_rules", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["rules"])
