"""Run folders: whole at any moment, resumed bit for bit, never overwritten."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta import runs
from loopymeta.checkpoint import CheckpointError
from loopymeta.runs import (
    ConfigError,
    Run,
    RunError,
    from_dict,
    git_state,
    source_git_state,
    to_dict,
    versions,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")

# ---- configurations


class Rule(Protocol):
    def update(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Oja:
    rate: float = 0.1
    cap: float = float("inf")

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError(f"rate must not be negative, got {self.rate}")


@dataclasses.dataclass(frozen=True)
class RFLO:
    terms: tuple[Literal["pre", "post"], ...] = ("pre",)


@dataclasses.dataclass(frozen=True)
class RunningScale:
    rule: Oja | RFLO = Oja()
    decay: float = 0.9


@dataclasses.dataclass(frozen=True)
class Wrapped:
    rule: Rule = Oja()


@dataclasses.dataclass(frozen=True)
class Memorize:
    length: int = 12
    path: Path | None = None


@dataclasses.dataclass(frozen=True)
class Delay:
    range: tuple[int, int] = (1, 5)
    cue: bool = True


@dataclasses.dataclass(frozen=True)
class Config:
    task: Annotated[Memorize | Delay, "a task"]
    rule: Oja | RFLO | RunningScale | Wrapped = Oja()
    backup: Oja | None = None
    seed: int = 0
    mode: Literal["dense", "sparse", 3] = "dense"
    limit: int | float | None = None
    names: list[str] = dataclasses.field(default_factory=list)
    table: dict[str, float] = dataclasses.field(default_factory=dict)
    steps: dict[int, tuple[int, ...]] = dataclasses.field(default_factory=dict)


def travel(config, types=(Config,)):
    """Through strict JSON text and back."""
    text = json.dumps(to_dict(config), allow_nan=False)
    return from_dict(json.loads(text), types)


@pytest.mark.parametrize(
    "config",
    [
        Config(Memorize()),
        Config(Delay((2, 3), cue=False), mode=3, limit=3),
        Config(Memorize(3, Path("a/b")), RunningScale(RFLO(("post", "pre")), 0.5), Oja(0.0)),
        Config(Memorize(), Oja(0.5, 1e-300), limit=2.5, names=["a"], table={"x": float("-inf")}),
        Config(Memorize(), steps={3: (1, 2), 4: ()}),
    ],
)
def test_configurations_travel(config):
    back = travel(config)
    assert back == config
    assert type(back.limit) is type(config.limit)


def test_protocol_fields_need_their_classes():
    config = Wrapped(RunningScale(RFLO()))
    assert travel(config, [Wrapped, RunningScale]) == config
    assert travel(config, {"a": Wrapped, "b": RunningScale}) == config
    with pytest.raises(ConfigError, match=r"config.rule: unknown type 'RunningScale'"):
        travel(config, [Wrapped])


def test_absent_fields_take_their_defaults():
    data = {"type": "Config", "task": {"type": "Delay"}, "backup": {"rate": 1}}
    assert from_dict(data, [Config]) == Config(Delay(), backup=Oja(1.0))


def test_whole_numbers_fit_float_fields():
    rate = from_dict({"type": "Oja", "rate": 1}, [Oja]).rate
    assert rate == 1.0 and type(rate) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 1}, r"^config: unknown field of Config 'sed'. Did you mean 'seed'\?"),
        ({"task": {"type": "memorise"}}, r"^config.task: unknown type 'memorise'. .* 'Memorize'\?"),
        ({"task": {"length": 3}}, r"^config.task: unknown type None.* Known: Delay, Memorize"),
        ({"task": {"type": "Oja"}}, r"^config.task: unknown type 'Oja'"),
        ({"task": {"type": "Delay", "cue": 1}}, r"config.task.cue: expected true or false, got 1 "),
        ({"task": {"type": "Delay", "range": [1]}}, r"task.range: expected a list of 2 values"),
        (
            {"task": {"type": "Delay", "range": [1, "2"]}},
            r"range\[1\]: expected a whole number, got",
        ),
        ({"task": 3}, r"config.task: expected a Memorize, got 3 .*; or expected a Delay, got 3"),
        ({"seed": 3.0}, r"config.seed: expected a whole number, got 3.0 \(float\)"),
        ({"seed": True}, r"config.seed: expected a whole number, got True \(bool\)"),
        ({"seed": None}, r"config.seed: expected a whole number, got None"),
        ({"mode": "dens"}, r"config.mode: expected one of 'dense', 'sparse', 3, got 'dens'"),
        (
            {"rule": {"type": "Oja", "rate": -1}},
            r"config.rule: rate must not be negative, got -1.0",
        ),
        ({"rule": {"type": "Oja", "rate": "a"}}, r"config.rule.rate: expected a number, got 'a'"),
        (
            {"rule": {"type": "RFLO", "terms": ["pre", "x"]}},
            r"config.rule.terms\[1\]: expected one",
        ),
        ({"backup": {"type": "RFLO"}}, r"config.backup: unknown type 'RFLO'"),
        ({"names": "a"}, r"config.names: expected a list, got 'a'"),
        ({"table": [1]}, r"config.table: expected a table of names and values"),
        ({"steps": {"a": []}}, r"config.steps: expected whole numbers as names, got 'a'"),
    ],
)
def test_errors_name_the_field(change, message):
    data = {"type": "Config", "task": {"type": "Memorize"}} | change
    with pytest.raises(ConfigError, match=message):
        from_dict(data, [Config])


def test_missing_fields_and_unknown_classes():
    with pytest.raises(ConfigError, match="config: .*missing 1 required .*'task'"):
        from_dict({"type": "Config"}, [Config])
    with pytest.raises(ConfigError, match=r"unknown type 'os.system'"):
        from_dict({"type": "os.system", "command": "true"}, [Config])
    with pytest.raises(ConfigError, match="two classes are named Oja"):
        from_dict({}, [Oja, dataclasses.make_dataclass("Oja", [])])


def test_what_it_must_be_may_be_said():
    assert from_dict({"rate": 0.5}, [], kind=Oja) == Oja(0.5)
    with pytest.raises(ConfigError, match="config: expected a Oja, got a RFLO"):
        from_dict({"type": "RFLO"}, [RFLO], kind=Oja)


@dataclasses.dataclass(frozen=True)
class SlowOja(Oja):
    slowness: float = 2.0


@dataclasses.dataclass(frozen=True)
class Perhaps:
    rule: Oja | None = None


def test_a_subclass_stands_where_its_base_may():
    config = Perhaps(SlowOja(slowness=3.0))
    assert from_dict(to_dict(config), [Perhaps, SlowOja]) == config
    with pytest.raises(ConfigError, match=r"config.rule: unknown type 'RFLO'.*Known: Oja, SlowOja"):
        from_dict({"type": "Perhaps", "rule": {"type": "RFLO"}}, [Perhaps, SlowOja, RFLO])


class Theta(NamedTuple):
    gain: Any
    bias: Any


def test_results_become_strict_json():
    value = {
        "theta": Theta(jnp.asarray([0.1, jnp.nan]), np.float32(0.1)),
        "half": jnp.asarray([1.5], jnp.bfloat16),
        "count": np.int64(3),
        "good": np.bool_(True),
        "list": (1, None, float("-inf"), np.float64("inf")),
        "curve": {10: 0.5},
    }
    assert to_dict(value) == {
        "theta": {"gain": [float(np.float32(0.1)), "nan"], "bias": float(np.float32(0.1))},
        "half": [1.5],
        "count": 3,
        "good": True,
        "list": [1, None, "-inf", "inf"],
        "curve": {"10": 0.5},
    }
    assert type(to_dict(np.float64(0.5))) is float


@pytest.mark.parametrize("bad", [len, object(), {1, 2}, b"a", jax.random.key(0), Oja, 1j])
def test_refuses_what_has_no_json(bad):
    with pytest.raises(TypeError, match=r"(?s)^result.a\[1\]: .* cannot be written as JSON"):
        to_dict({"a": [0, bad]}, "result")


# ---- the folder


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "runs", Config(Memorize()), name="a", device="cpu")


def tree_of(generation):
    return {"a": np.full(50, float(generation)), "b": np.array(generation)}


def test_create_and_open(run):
    back = Run.open(run.path)
    assert from_dict(back.config(), [Config]) == Config(Memorize())
    contents = back.read_json("config.json")
    assert contents["versions"]["jax"] == jax.__version__ and contents["device"] == "cpu"
    assert back.changed_versions() == {}
    assert sorted(os.listdir(run.path)) == ["checkpoints", "config.json"]
    assert os.listdir(run.path.parent) == ["a"]
    assert run.figures.is_dir()


def test_changed_versions(run):
    contents = run.read_json("config.json")
    contents["versions"]["numpy"] = "0.1"
    run.write_json("config.json", contents)
    contents["loopymeta_git"] = {"commit": "0" * 40, "dirty": True}
    run.write_json("config.json", contents)
    changed = run.changed_versions()
    assert changed.pop("numpy") == ("0.1", np.__version__)
    now = source_git_state()
    if now is not None:
        then, current = changed.pop("loopymeta commit")
        assert then == "000000000000 and changes" and current.startswith(now["commit"][:12])
    assert not changed


@pytest.mark.parametrize("kind", ["run", "folder", "file", "link"])
def test_an_existing_folder_is_refused_and_untouched(kind, run, tmp_path):
    target = run.path
    if kind == "folder":
        target = run.path.parent / "b"
        target.mkdir()
    elif kind == "file":
        target = run.path.parent / "b"
        target.write_text("mine")
    elif kind == "link":
        target = run.path.parent / "b"
        target.symlink_to("nowhere")

    def everything():
        return {p: p.read_bytes() if p.is_file() else None for p in tmp_path.rglob("*")}

    before = everything()
    with pytest.raises(RunError, match=r"exists already; nothing .* --resume, or .* --name"):
        Run.create(run.path.parent, {"other": 1}, name=target.name)
    assert everything() == before


def test_automatic_names_never_collide(tmp_path):
    paths = [Run.create(tmp_path, {}, label="memorize").path for _ in range(4)]
    assert len(set(paths)) == 4
    assert all(path.name.startswith("memorize-20") for path in paths)


def test_losing_a_race_for_a_name(tmp_path, monkeypatch):
    def slow(*_):
        (tmp_path / "a").mkdir()  # someone else, meanwhile
        (tmp_path / "a" / "theirs").write_text("theirs")

    monkeypatch.setattr(Run, "write_json", slow)
    with pytest.raises(RunError, match="exists already"):
        Run.create(tmp_path, {}, name="a")
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["theirs"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "../a", ".a", "a\\b"])
def test_names_stay_inside(name, tmp_path):
    with pytest.raises(RunError, match="plain name"):
        Run.create(tmp_path / "runs", {}, name=name)
    with pytest.raises(RunError, match="plain name"):
        Run(tmp_path).write_json(name, {})
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make the run folder"):
        Run.create(tmp_path / "file", {}, name="a")
    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(RunError, match="cannot make the run folder .*No space left"):
        Run.create(tmp_path / "runs", {}, name="a")
    assert os.listdir(tmp_path / "runs") == []


def test_open_refuses_what_is_no_run(run, tmp_path):
    with pytest.raises(RunError, match="there is no run folder"):
        Run.open(tmp_path / "absent")
    with pytest.raises(RunError, match="not a run folder: it has no config.json"):
        Run.open(tmp_path)
    for text, message in [
        ("{}", "not of loopymeta"),
        ("[]", "not of loopymeta"),
        ("{", "is not JSON"),
        ('{"format": "loopymeta-run", "version": 2}', "version 2; this loopymeta reads version 1"),
    ]:
        (run.path / "config.json").write_text(text)
        with pytest.raises(RunError, match=message):
            Run.open(run.path)


def test_json_files(run):
    run.write_json("result.json", {"loss": float("nan"), "name": "é"})
    run.write_json("result.json", {"loss": jnp.asarray(0.5), "name": "é"})
    assert run.read_json("result.json") == {"loss": 0.5, "name": "é"}
    with pytest.raises(TypeError, match=r"result.json.loss: .* cannot be written"):
        run.write_json("result.json", {"loss": len})
    assert run.read_json("result.json") == {"loss": 0.5, "name": "é"}
    with pytest.raises(RunError, match=r"has no rule.json"):
        run.read_json("rule.json")


def test_versions():
    found = versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["jax"] == jax.__version__ and set(found) >= {"platform", "loopymeta", "evosax"}


def test_git_state(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    try:
        git("init")
    except FileNotFoundError:
        pytest.skip("git is absent")
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "a").write_text("a")
    git("add", "a")
    git("commit", "-m", "a")
    state = git_state(tmp_path)
    assert state is not None and len(state["commit"]) == 40 and not state["dirty"]
    (tmp_path / "a").write_text("b")
    assert git_state(tmp_path) == state | {"dirty": True}


def test_git_state_of_loopymeta_itself(tmp_path, run):
    """Not that of a repository that it was only installed in."""
    assert run.read_json("config.json")["loopymeta_git"] == source_git_state()
    try:
        subprocess.run(["git", "init"], cwd=tmp_path, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("git is absent")
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    (tmp_path / "ours.py").write_text("")
    (tmp_path / "installed.py").write_text("")
    for command in (["add", "ours.py"], ["commit", "-m", "a"]):
        subprocess.run(["git", *who, *command], cwd=tmp_path, check=True, capture_output=True)
    assert source_git_state(tmp_path / "ours.py") == git_state(tmp_path) != None  # noqa: E711
    assert source_git_state(tmp_path / "installed.py") is None


def test_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "absent") is None
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) is None
    assert (
        Run.create(tmp_path, {}, name="a", source=tmp_path).read_json("config.json")["git"] is None
    )


def test_importing_needs_no_jax():
    code = (
        "import sys, loopymeta.runs; assert not {'jax', 'safetensors', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ---- checkpoints


def test_checkpoints_keep_the_newest(run):
    for generation in (0, 5, 10, 15):
        run.save_checkpoint(generation, tree_of(generation), {"best": generation / 2})
    assert [g for g, _ in run.checkpoints()] == [10, 15]
    assert run.checkpoints()[-1][1].name == "00000015.safetensors"
    generation, tree, metadata = run.load_checkpoint(tree_of(0))
    assert generation == 15 and metadata == {"best": 7.5} and tree["a"][0] == 15.0
    run.save_checkpoint(20, tree_of(20), keep=1)
    assert [g for g, _ in run.checkpoints()] == [20]


def test_an_earlier_checkpoint_never_removes_a_later_one(run):
    for generation in (100, 110, 1, 2, 3):
        run.save_checkpoint(generation, tree_of(generation))
    assert [g for g, _ in run.checkpoints()] == [2, 3, 100, 110]


def test_a_damaged_checkpoint_is_passed_over(run):
    run.save_checkpoint(1, tree_of(1))
    run.save_checkpoint(2, tree_of(2))
    newest = run.checkpoints()[-1][1]
    newest.write_bytes(newest.read_bytes()[:-10])
    with pytest.warns(RuntimeWarning, match=r"00000002.*truncated.*Continuing from .*00000001"):
        assert run.load_checkpoint(tree_of(0))[0] == 1
    run.save_checkpoint(2, tree_of(2))
    assert run.load_checkpoint(tree_of(0))[0] == 2


def test_no_checkpoint_can_be_read(run):
    with pytest.raises(CheckpointError, match="it has none yet"):
        run.load_checkpoint(tree_of(0))
    for name in ("00000001", "00000002"):
        (run.path / "checkpoints" / f"{name}.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"00000002.*truncated.*00000001.*truncated"):
        run.load_checkpoint(tree_of(0))


def test_another_tree_is_an_error_not_a_damage(run):
    run.save_checkpoint(1, {"a": np.zeros(3)})
    run.save_checkpoint(2, {"a": np.zeros(4)})
    with pytest.raises(CheckpointError, match=r"does not fit: \['a'\] is float64\[4\]"):
        run.load_checkpoint({"a": np.zeros(3)})


# ---- metrics


def write_rows(run, generations):
    for g in generations:
        run.append_metrics({"generation": g, "loss": 1 / (g + 3), "accuracy": jnp.float32(0.1)})


def test_metrics_are_exact_and_readable_by_pandas(run):
    import pandas

    row = {"loss": np.float32(0.1), "min": float("nan"), "generation": np.int32(1)}
    run.append_metrics(row | {"ticks": jnp.asarray(7), "bf/x": jnp.bfloat16(0.5), "ok": True})
    run.append_metrics(row | {"ticks": 8, "bf/x": float("-inf"), "generation": 3, "ok": False})
    text = (run.path / "metrics.csv").read_text()
    assert text.splitlines()[1] == "1,0.10000000149011612,nan,7,0.5,1"
    for table in (pandas.read_csv(run.path / "metrics.csv"), run.read_metrics()):
        assert list(table) == ["generation", "loss", "min", "ticks", "bf/x", "ok"]
        assert list(table["generation"]) == [1, 3] and table["generation"].dtype == np.int64
        assert np.float32(table["loss"][0]) == np.float32(0.1)
        assert np.isnan(table["min"]).all() and table["bf/x"][1] == -np.inf


def test_metrics_refuse(run):
    with pytest.raises(RunError, match="needs a generation, got loss"):
        run.append_metrics({"loss": 1.0})
    with pytest.raises(RunError, match="no comma"):
        run.append_metrics({"generation": 0, "a,b": 1})
    for bad in ("x", None, [1.0], np.zeros(2), 1j, jax.random.key(0)):
        with pytest.raises(TypeError, match="metric loss must be one number"):
            run.append_metrics({"generation": 0, "loss": bad})
    for bad in (-1, 0.5):
        with pytest.raises(TypeError, match="generation must be a whole number"):
            run.append_metrics({"generation": bad})
    assert run.read_metrics() == {}
    run.append_metrics({"generation": 1, "loss": 1.0})
    with pytest.raises(RunError, match=r"columns generation, loss, got generation, accuracy"):
        run.append_metrics({"generation": 2, "accuracy": 1.0})
    for again in (run, Run.open(run.path)):
        with pytest.raises(RunError, match="generation 1 after generation 1 .* truncate_metrics"):
            again.append_metrics({"generation": 1, "loss": 1.0})
    assert list(run.read_metrics()["loss"]) == [1.0]


def test_truncation_is_as_if_the_rows_had_never_been(run, tmp_path):
    other = Run.create(tmp_path, {}, name="b")
    write_rows(run, range(10))
    write_rows(other, range(6))
    run.truncate_metrics(5)
    assert (run.path / "metrics.csv").read_bytes() == (other.path / "metrics.csv").read_bytes()
    write_rows(run, range(6, 8))
    assert list(run.read_metrics()["generation"]) == list(range(8))


@pytest.mark.parametrize("reopen", [True, False])
def test_torn_metrics(run, reopen):
    """Cut at every byte: reading, cutting back and going on all give the whole rows before."""
    write_rows(run, range(4))
    data = (run.path / "metrics.csv").read_bytes()
    for length in range(len(data) + 1):
        (run.path / "metrics.csv").write_bytes(data[:length])
        whole = max(data[:length].count(b"\n") - 1, 0)
        torn = Run.open(run.path)
        assert list(torn.read_metrics().get("generation", [])) == list(range(whole))
        if reopen:
            write_rows(torn, range(whole, 4))
        else:
            torn.truncate_metrics(2)
            write_rows(torn, range(min(whole, 3), 4))
        assert (run.path / "metrics.csv").read_bytes() == data


def test_rows_lost_to_a_crash_of_the_machine_are_dropped(run):
    write_rows(run, range(2))
    with open(run.path / "metrics.csv", "ab") as file:
        file.write(b"\0" * 20 + b"\n2,1.0\n3,x,1.0\n")
    assert list(run.read_metrics()["generation"]) == [0, 1]
    run.truncate_metrics(5)
    assert b"\0" not in (run.path / "metrics.csv").read_bytes()


def test_foreign_metrics_are_refused(run):
    (run.path / "metrics.csv").write_text("a,b\n1,2\n")
    for act in (run.read_metrics, lambda: run.truncate_metrics(1), lambda: write_rows(run, [1])):
        with pytest.raises(RunError, match="first column is 'a'"):
            act()
    assert (run.path / "metrics.csv").read_text() == "a,b\n1,2\n"


# ---- full disks


def disk_full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@posix
def test_full_disk_while_appending(run):
    """/dev/full is a disk without space."""
    (run.path / "metrics.csv").symlink_to("/dev/full")
    with pytest.raises(
        OSError, match=r"cannot write .*metrics.csv: No space .* --resume"
    ) as caught:
        run._columns = []  # /dev/full cannot be read to its end
        write_rows(run, [1])
    assert caught.value.errno == errno.ENOSPC


LIMITED = """
import resource, sys
from loopymeta.runs import Run
run = Run.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
g = 0
try:
    while True:
        g += 1
        run.append_metrics({"generation": g, "loss": 1 / g})
except OSError as error:
    print(error)
try:
    run.append_metrics({"generation": g, "loss": 1 / g})
except OSError:
    print(g)
"""


@posix
def test_a_row_that_the_system_cuts_short_leaves_no_trace(run):
    command = [sys.executable, "-c", LIMITED, run.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    message, generation = done.stdout.splitlines()
    assert "metrics.csv: File too large. What was complete before is intact. Free some" in message
    rows = list(run.read_metrics()["generation"])
    assert rows == list(range(1, int(generation)))
    assert (run.path / "metrics.csv").read_bytes().endswith(b"\n")


def test_full_disk_at_a_checkpoint(run, monkeypatch):
    write_rows(run, [1])
    run.save_checkpoint(1, tree_of(1))
    run.write_json("result.json", {"loss": 1})
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, disk_full)
            with pytest.raises(OSError, match="No space left on device.*--resume"):
                run.save_checkpoint(2, tree_of(2))
            with pytest.raises(OSError, match=r"result.json: No space left on device"):
                run.write_json("result.json", {"loss": 2})
            with pytest.raises(OSError, match=r"metrics.csv: No space left on device"):
                run.truncate_metrics(0)
    assert run.load_checkpoint(tree_of(0))[0] == 1
    assert run.read_json("result.json") == {"loss": 1}
    assert list(run.read_metrics()["generation"]) == [1]
    assert not list(run.path.rglob("*.tmp"))


# ---- one writer

HOLD = """
import sys
from loopymeta.runs import Run
with Run.open(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@posix
def test_lock_names_its_owner_and_dies_with_it(run):
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"being written by process {owner.pid} on"), run.lock():
            pass
        owner.kill()
    with run.lock() as locked:
        assert locked is run
        with pytest.raises(RunError, match=f"process {os.getpid()} on"), Run(run.path).lock():
            pass
    with run.lock():
        pass


@posix
def test_lock_sweeps_what_a_killed_process_left(run):
    for leftover in (".result.json.00ff.tmp", "checkpoints/.00000002.safetensors.00ff.tmp"):
        (run.path / leftover).write_text("half")
    with run.lock():
        assert not list(run.path.rglob("*.tmp"))


def test_without_locks(run, monkeypatch):
    monkeypatch.setattr(runs, "fcntl", None)
    with run.lock(), run.lock():
        write_rows(run, [1])


# ---- killed at any moment

TRAIN = """
import os, random, signal, sys, time, traceback, warnings
import numpy as np
from loopymeta.runs import Run

run, rounds = Run.open(sys.argv[1]), int(sys.argv[2])
template = {"a": np.zeros(20000), "b": np.array(0)}
random.seed(0)
run.save_checkpoint(0, template, {"g": 0})  # imports what it needs before the clock runs


def resume():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a torn newest checkpoint would warn
        generation, tree, metadata = run.load_checkpoint(template)
    assert metadata == {"g": generation} and tree["b"] == generation
    assert (tree["a"] == generation).all()
    run.truncate_metrics(generation)
    rows = list(run.read_metrics().get("generation", []))
    assert rows == list(range(1, generation + 1)), rows
    return generation


def train():
    with run.lock():
        generation = resume()
        while True:
            generation += 1
            run.append_metrics({"generation": generation, "loss": 1 / generation})
            tree = {"a": np.full(20000, float(generation)), "b": np.array(generation)}
            run.save_checkpoint(generation, tree, {"g": generation})
            run.write_json("result.json", {"generation": generation, "fill": "x" * 5000})


reached = 0
for _ in range(rounds):
    child = os.fork()
    if child == 0:
        try:
            train()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    time.sleep(random.uniform(0.02, 0.2))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL  # it had not failed by itself
    with run.lock():
        generation = resume()
        assert generation >= reached
        reached = generation
        if (run.path / "result.json").exists():
            assert abs(run.read_json("result.json")["generation"] - reached) <= 1
    assert len(run.checkpoints()) <= 3
print(reached)
"""


@posix
def test_killed_at_any_moment(run):
    """Fifteen kill -9 at random moments: the newest checkpoint is whole, and no row is lost."""
    command = [sys.executable, "-c", TRAIN, run.path, "15"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15  # it did go on
    assert not list(run.path.rglob("*.tmp"))


# ---- resuming is never having stopped


def train(run, until, every=5):
    """A small evolution strategy, saved and resumed as training is."""
    from evosax.algorithms import SNES

    es = SNES(population_size=6, solution={"w": jnp.zeros(3)})
    root = jax.random.key(0)

    @jax.jit
    def step(generation, state):
        ask, tell = jax.random.split(jax.random.fold_in(root, generation))
        population, state = es.ask(ask, state, es.default_params)
        fitness = jnp.sum((population["w"] - 1.0) ** 2, axis=-1)
        state, _ = es.tell(tell, population, fitness, state, es.default_params)
        return state, {"loss": fitness.mean(), "min": fitness.min()}

    state = jax.jit(es.init)(root, {"w": jnp.zeros(3)}, es.default_params)
    generation = 0
    with run.lock(), jax.numpy_rank_promotion("allow"):  # evosax relies on it
        if run.checkpoints():
            generation, state, _ = run.load_checkpoint(state)
            run.truncate_metrics(generation)
        while generation < until:
            generation += 1
            state, metrics = step(generation, state)
            run.append_metrics({"generation": generation, **metrics})
            if generation % every == 0:
                run.save_checkpoint(generation, state)
    return state


def test_resuming_equals_never_stopping_bit_for_bit(tmp_path):
    straight, stopped = (Run.create(tmp_path, {}, name=name) for name in ("straight", "stopped"))
    train(straight, 10)
    train(stopped, 8)  # the checkpoint is of 5; the rows of 6 to 8 have to go
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(Run.open(stopped.path), 10)
    for name in ("metrics.csv", "checkpoints/00000010.safetensors"):
        assert (straight.path / name).read_bytes() == (stopped.path / name).read_bytes()
