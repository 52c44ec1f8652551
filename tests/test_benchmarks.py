"""The benchmarks run, at tiny sizes, and their references compute what the library computes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    """The benchmarks are scripts: they find each other beside themselves."""
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_references_agree_with_the_library(kind):
    import _reference
    import step

    row = step.case(kind, num_nodes=24, count=16, ticks=4, repeats=1, lifetime=True)
    assert row["step G/s"] > 0 and row["evaluate G/s"] > 0 and row["NumPy G/s"] > 0
    if _reference.compiler():
        assert row["C differs by"] < 1e-5
        assert ("step / C lanes" in row) == (kind == "sparse")
        assert row["step / C"] == pytest.approx(row["step G/s"] / row["C G/s"])
    json.dumps(row)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("name", ["run_numpy", "run_torch"])
def test_slow_references_agree_with_c(name, dense):
    import _reference

    if name == "run_torch":
        pytest.importorskip("torch")
    if _reference.compiler() is None:
        pytest.skip("no C compiler")
    generator = np.random.default_rng(0)
    normal = lambda *shape: generator.normal(size=shape).astype(np.float32)  # noqa: E731
    receivers = np.repeat(np.arange(2, 7), 3)
    senders = np.concatenate([np.sort(generator.permutation(7)[:3]) for _ in range(5)])
    problem = _reference.Problem(
        num_inputs=2,
        num_outputs=2,
        num_nodes=7,
        senders=senders,
        receivers=receivers,
        stimuli=normal(6, 1),
        coefficients=0.1 * normal(4, 5),
        weight=normal(4, 15),
    )
    reference = _reference.CReference()
    arrays = reference.start(problem, "dense" if dense else "sparse")
    reference.run(problem, arrays)
    reference.reset(arrays)
    reference.run(problem, arrays)
    found = getattr(_reference, name)(problem, dense, 6)
    np.testing.assert_allclose(found, reference.weights(problem, arrays), rtol=1e-4, atol=1e-4)
    assert np.abs(found - problem.weight).max() > 0.1


def test_counts_real_edges_only():
    import step

    network, graph = step.build("dense", 16)
    # 8 hidden nodes hear 4 inputs, 7 others and 4 outputs; 4 outputs hear 4 inputs and 8 hidden.
    assert sum(network.num_edges) == 8 * 15 + 4 * 12
    network, graph = step.build("sparse", 40)
    degrees = np.bincount(graph.receivers, minlength=40)
    assert (degrees[4:] == 16).all() and network.even[1:] == (True, True)


@pytest.mark.slow
def test_scaling_and_devices():
    import devices
    import scaling

    for count in (1, 2):
        row = scaling.case(num_edges=512, count=count, ticks=3, repeats=1)
        assert row["ns"] > 0 and row["buffers MB"] > 0
    # Two virtual devices in the tests (conftest).
    for rflo in (False, True):
        took = devices.case(16, 4, 5, devices=2, rflo=rflo, lifetimes=1, enough=0.0)
        assert took["seconds"] > 0


@pytest.mark.slow
def test_sampling_is_set_beside_a_step():
    import sampling

    row = sampling.case("quick", "caesar", repeats=1, steps=20)
    assert row["symbols"] == 300
    each = row["sample us a symbol"]
    assert each * 300 == pytest.approx(1e3 * row["sample ms"])
    for who in ("plastic", "lstm"):
        assert row[f"sample / {who}"] == pytest.approx(each / row[f"{who} us a symbol"])
    late = max(row["sample / plastic"], row["sample / lstm"]) > sampling.GOAL
    assert ("remark" in row) == late
    json.dumps(row)


@pytest.mark.slow
def test_learners_are_set_beside_an_lstm(monkeypatch):
    import learners

    given = {"hidden": 8, "repeats": 3, "each": 0.0}
    row = learners.case("snap1", **given)
    assert row["symbols/s"] > 0
    rival = row[f"{learners.RIVAL} symbols/s"]
    assert row[f"/ {learners.RIVAL}"] == pytest.approx(row["symbols/s"] / rival)
    monkeypatch.setattr(learners.importlib.util, "find_spec", lambda name: None)
    row = learners.case(learners.RIVAL, **given)
    assert "not installed" in row["remark"] and row["symbols/s"] > 0
    json.dumps(row)


def test_host_learners_are_timed_without_sampling(monkeypatch):
    import learners

    from loopymeta import tasks
    from loopymeta.learners import PPM, host

    task = tasks.Caesar(symbols=20)
    run = learners.living(PPM.for_task(task), task)
    drawn = lambda key: pytest.fail("it was sampled")  # noqa: E731
    monkeypatch.setattr(host, "_programs_of", lambda task: host._Programs(drawn, task.score))
    run()


def test_in_turns_fills_the_time(monkeypatch):
    import learners

    calls, now = [], iter(range(1000))
    monkeypatch.setattr(learners.time, "perf_counter", lambda: float(next(now)))
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    taken = learners.in_turns(runs, repeats=2, each=2.0)
    assert calls == [*"aabb", *"aabb", *"aabb"]
    assert taken == {"a": [0.5, 0.5], "b": [0.5, 0.5]}


def test_torch_learns_too():
    pytest.importorskip("torch")
    import learners

    learners.torch_living(num_symbols=5, hidden=4, window=16, rate=0.01)()


def test_import_time_reports_failures():
    import import_time

    statements = {"nothing": "pass", "import json": "import json", "bad": "raise OSError('broken')"}
    (table,) = import_time.measure(True, statements)
    fine, bad = table.rows
    assert fine["fastest s"] > -1 and "broken" in bad["remark"]


def test_help_does_not_import_jax():
    import import_time

    import_time._run(import_time.STATEMENTS["loopymeta --help"])


def test_writes_a_table_named_for_the_device(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "all", raising=False)
    import all as everything
    from _measure import Table

    where = {"device": "CPU Some (R) 9", "cores": "2", "jax": "1.0"}

    def found(figure):
        rows = [{"a": figure, "b": 10_000}, {"a": None, "remark": "x"}]
        tables = [dataclasses.asdict(Table("Speed", "In G/s.", rows))]
        return {"environment": where, "tables": tables}

    everything.write(tmp_path, {"scaling": found(7.0), "step": found(5.0)}, quick=True)
    path = everything.write(tmp_path, {"step": found(1.23456)}, quick=True)
    assert path.name == "cpu-some-r-9-2-cores-quick.md"
    assert "| 1.23 | 10,000 |  |" in path.read_text()
    assert "jax 1.0" in path.read_text() and "benchmarks/step.py" in path.read_text()
    record = json.loads(path.with_suffix(".json").read_text())
    assert record == {"scaling": found(7.0), "step": found(1.23456)}  # measured before: kept
    assert {file.stem for file in everything.benchmarks()} >= {"step", "scaling", "import_time"}


def test_fastest_takes_turns():
    import _measure

    calls = []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    best = _measure.fastest(runs, 2)
    assert calls == ["a", "b", "a", "b"] and set(best) == {"a", "b"}


def test_a_failed_case_is_a_remark():
    import _measure

    row = _measure.run_case(FOLDER / "step.py", {"kind": "nonsense"})
    assert "missing" in row["remark"] and row["kind"] == "nonsense"


def test_commands_answer_help():
    for name in ("all", "step"):
        run = [sys.executable, str(FOLDER / f"{name}.py"), "--help"]
        assert "--quick" in subprocess.run(run, capture_output=True, text=True, check=True).stdout
