"""A run from configuration to result: bit for bit the same, however often it is stopped."""

from __future__ import annotations

import dataclasses
import errno
import json
import os

import jax
import numpy as np
import pytest
from conftest import some_fast
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from loopymeta import checkpoint, data, runs, training
from loopymeta.config import NetworkConfig, OuterConfig, TrainConfig
from loopymeta.parameters import rate
from loopymeta.recipes import RECIPES, TUNED, recipe
from loopymeta.rules import Delta, Rule
from loopymeta.runs import Run, RunError
from loopymeta.suite import Entry
from loopymeta.tasks import Caesar, Delay, Memorize, Names, Reversal, Text

TASK = Memorize(length=3, alphabet=4, presentations=3)
NETWORK = NetworkConfig(num_memory=6, num_hidden=0, num_graphs=2, output_rule=Delta())
OUTER = OuterConfig(generations=4, population_size=4, lifetimes=2, elites=2, window=3)


def tiny(method: str = "evolution", seed: int = 0, **choices) -> TrainConfig:
    """A run of a second, most of which is compiling."""
    outer = dataclasses.replace(OUTER, method=method)
    plain = {"select": 0, "report": 2, "controls": False, "baselines": False}
    return TrainConfig(TASK, TASK, NETWORK, outer, seed=seed, **(plain | choices))


class Killed(BaseException):
    """Ends a run at once: nothing of ours catches it, as nothing catches a SIGKILL."""


class Stopper(training.Reporter):
    """Raises at the n-th event; counts events otherwise."""

    def __init__(self, at: int | None = None, error: type[BaseException] = Killed):
        self.at, self.error, self.events = at, error, []

    def _event(self, name):
        self.events.append(name)
        if len(self.events) == self.at:
            raise self.error

    def begin(self, run, config, generation, searched):
        self._event("begin")

    def compiled(self, what, seconds):
        self._event("compiled")

    def generation(self, row):
        self._event("generation")

    def stage(self, text):
        self._event("stage")

    def figures(self, name, metrics):
        self._event(name)

    def done(self, run, result):
        self._event("done")


@pytest.fixture(autouse=True, scope="module")
def _compile_once(tmp_path_factory):
    """These tests run the same few runs again and again: each is compiled once."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    """Figures are tested elsewhere, and take longer than these runs."""
    monkeypatch.setattr(training, "_draw", lambda run, reporter: None)


@pytest.fixture
def save_always(monkeypatch):
    """A checkpoint after every generation, as for generations that take seconds."""
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)


def figures(run: Run) -> dict:
    """What two equal runs have in common, bit for bit."""
    metrics = run.read_metrics()
    times = {"seconds", "lifetimes_per_second"}
    result = run.read_json("result.json")
    result["about"].pop("device")
    return {
        "rule.json": (run.path / "rule.json").read_bytes(),
        "result.json": json.dumps(result),
        "metrics": {k: v.tobytes() for k, v in metrics.items() if k not in times},
        "state": [path.read_bytes() for _, path in run.checkpoints()][-1],
    }


def trained(tmp_path, name="whole", **choices) -> Run:
    return training.train(tiny(**choices), tmp_path, name=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict:
    """What `tiny`, never stopped, gives."""
    return figures(trained(tmp_path_factory.mktemp("whole")))


# --- the same, bit for bit -----------------------------------------------------------------------


@pytest.mark.slow
def test_a_seed_gives_the_same_run_and_another_seed_another(tmp_path, whole):
    jax.clear_caches()
    assert figures(trained(tmp_path, "again")) == whole
    other = figures(trained(tmp_path, "other", seed=1))
    for name in ("rule.json", "metrics", "result.json", "state"):
        assert other[name] != whole[name]


@pytest.mark.parametrize(
    "method", some_fast(("evolution", "gradient", "antithetic", "persistent"), ())
)
def test_stopped_from_the_keyboard_and_resumed_equals_uninterrupted(tmp_path, method):
    whole = trained(tmp_path, method=method)
    stopper = Stopper(at=4, error=KeyboardInterrupt)  # begin, compiled, two generations
    with pytest.raises(training.Interrupted) as stopped:
        training.train(tiny(method), tmp_path, name="stopped", reporter=stopper)
    assert stopper.events[-1] == "generation" and stopped.value.generation == 2
    assert [generation for generation, _ in stopped.value.run.checkpoints()] == [2]
    resumed = training.resume(tmp_path / "stopped")
    assert len(resumed.read_metrics()["generation"]) == OUTER.generations
    assert figures(resumed) == figures(whole)


@pytest.mark.slow
def test_killed_at_every_event_and_resumed_equals_uninterrupted(tmp_path, save_always):
    """One run is killed again and again: after each generation, stage and learner's figures."""
    choices = {"select": 2, "controls": True}
    whole = trained(tmp_path, **choices)
    config = tiny(**choices)
    with pytest.raises(Killed):
        training.train(config, tmp_path, name="killed", reporter=Stopper(at=3))
    died = []
    for at in (3, 3, 3, 4, 5, 6, 7, 8, 9):
        stopper = Stopper(at)
        with pytest.raises(Killed):
            training.resume(tmp_path / "killed", reporter=stopper)
        died.append(stopper.events[-1])
    learners = ["learned", "frozen", "shuffled", "zero", "untrained"]
    assert died == ["generation"] * 3 + [*learners, "stage"]  # that of the figures
    resumed = training.resume(tmp_path / "killed")
    assert figures(resumed) == figures(whole)
    assert not list(resumed.path.glob("report-*.json"))


def test_an_interrupt_between_a_step_and_its_row_saves_a_state_with_its_own_number(
    tmp_path, monkeypatch, whole
):
    append = Run.append_metrics

    def interrupted(self, row):
        if row["generation"] == 3:
            monkeypatch.setattr(Run, "append_metrics", append)
            raise KeyboardInterrupt
        append(self, row)

    monkeypatch.setattr(Run, "append_metrics", interrupted)
    with pytest.raises(training.Interrupted) as stopped:
        training.train(tiny(), tmp_path, name="stopped")
    assert stopped.value.generation == 2
    assert figures(training.resume(tmp_path / "stopped")) == whole


def test_a_run_read_back_reports_on_the_same_graphs(tmp_path):
    """Tasks that are one object when a run begins are two when it is read from its file."""
    network = dataclasses.replace(NETWORK, num_hidden=8, connectivity="erdos_renyi", degree=2.0)
    config = dataclasses.replace(tiny(), network=network)
    again = training.config_from_dict(json.loads(json.dumps(runs.to_dict(config))))
    assert config.task is config.train_task and again.task is not again.train_task
    for pair in (
        (config.lifetime(), again.lifetime()),
        (config.training(), again.training()),
    ):
        here, there = (life.learner.graphs for life in pair)
        assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))


@pytest.mark.slow
def test_what_has_changed_since_the_run_began_is_said(tmp_path):
    with pytest.raises(training.Interrupted):
        stopper = Stopper(at=4, error=KeyboardInterrupt)
        training.train(tiny(), tmp_path, name="run", reporter=stopper)
    run = Run.open(tmp_path / "run")
    notes = []
    reporter = Stopper(at=2, error=KeyboardInterrupt)
    reporter.note = notes.append
    with pytest.raises(training.Interrupted):
        training.resume(run.path, reporter=reporter)
    assert not notes
    contents = run.read_json("config.json")
    contents["versions"]["jax"] = "0.1"
    contents["device"] = "99 x abacus (wood)"
    run.write_json("config.json", contents)
    training.resume(run.path, reporter=reporter)
    (note,) = [note for note in notes if "bit for bit" in note]
    assert f"jax: 0.1 -> {jax.__version__}" in note
    assert f"device: 99 x abacus (wood) -> {training.device_name()}" in note


@pytest.mark.slow
def test_which_candidate_was_chosen_is_told(tmp_path):
    notes = []
    reporter = training.Reporter()
    reporter.note = notes.append
    run = training.train(tiny(select=3), tmp_path, name="run", reporter=reporter)
    chosen = run.read_json("rule.json")["chosen"]
    assert chosen == run.read_json("result.json")["about"]["chosen"]
    between = [f"{share} % from start to center" for share in (25, 50, 75)]
    assert list(chosen["means"]) == ["start", *between, "center", "elite 1", "elite 2"]
    assert chosen["means"][chosen["candidate"]] == min(chosen["means"].values())
    assert (chosen["metric"], chosen["lifetimes"]) == ("loss", 3)
    assert notes == [
        f"chosen: {chosen['candidate']}, loss {min(chosen['means'].values()):.4f} "
        f"(start {chosen['means']['start']:.4f})"
    ]
    # The loss of what was chosen is that of the rule that is written.
    config, (_, theta) = tiny(), training.read_rule(run.path)
    life = config.training()
    keys = training._Keys(config.seed).select(3)
    losses, _ = training.live_on(life, jax.tree.map(lambda x: x[None], theta), keys)
    assert losses.mean() == pytest.approx(min(chosen["means"].values()), rel=1e-4)
    unselected = trained(tmp_path, "unselected").read_json("rule.json")["chosen"]
    assert unselected == {"candidate": "best elite"}


@dataclasses.dataclass(frozen=True)
class OwnRule(Rule):
    eta: float = rate(0.1)

    def update(self, theta, trace, synapse):
        return theta["eta"] * synapse.pre * synapse.feedback, trace


@pytest.mark.slow
def test_a_run_of_a_rule_of_ones_own_is_read_back(tmp_path):
    network = dataclasses.replace(NETWORK, output_rule=OwnRule())
    config = dataclasses.replace(tiny(), network=network)
    run = training.train(config, tmp_path, name="run")
    assert training.read_config(run.path) == config
    assert training.read_rule(run.path)[0].output_rule == OwnRule()


# --- what breaks ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_disk_leaves_a_run_that_can_be_resumed(tmp_path, monkeypatch, save_always, whole):
    write = checkpoint.write_atomic

    def full(path, contents):
        if path.name == "00000003.safetensors":
            raise checkpoint.explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), path)
        write(path, contents)

    monkeypatch.setattr(checkpoint, "write_atomic", full)
    with pytest.raises(OSError, match=r"00000003.*No space left.*intact.*--resume"):
        training.train(tiny(), tmp_path, name="full")
    monkeypatch.setattr(checkpoint, "write_atomic", write)
    run = Run.open(tmp_path / "full")
    assert [generation for generation, _ in run.checkpoints()][-1] == 2
    assert figures(training.resume(run.path)) == whole


@pytest.mark.parametrize(
    ("error", "raised"), [(BrokenPipeError, training.Interrupted), (ValueError, ValueError)]
)
def test_a_reporter_that_fails_does_not_lose_what_was_searched(tmp_path, whole, error, raised):
    with pytest.raises(raised) as stopped:
        training.train(tiny(), tmp_path, name="run", reporter=Stopper(at=5, error=error))
    assert isinstance(stopped.value.__cause__ or stopped.value, error)
    run = Run.open(tmp_path / "run")
    assert [generation for generation, _ in run.checkpoints()] == [3]
    assert figures(training.resume(run.path)) == whole


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over(tmp_path, save_always, whole):
    with pytest.raises(Killed):
        training.train(tiny(), tmp_path, name="damaged", reporter=Stopper(at=5))
    newest = Run.open(tmp_path / "damaged").checkpoints()[-1][1]
    newest.write_bytes(newest.read_bytes()[:-5])
    with pytest.warns(RuntimeWarning, match=r"truncated, damaged.*Continuing from"):
        resumed = training.resume(tmp_path / "damaged")
    assert figures(resumed) == whole


def test_a_finished_run_is_left_as_it_is(tmp_path):
    run = trained(tmp_path)
    # Killed after its result was written and before what it had kept was cleared.
    run.write_json("report-learned.json", {"left": "over"})
    before = figures(run)
    reporter = Stopper()
    training.resume(run.path, reporter=reporter)
    assert figures(run) == before and not list(run.path.glob("report-*"))
    assert "generation" not in reporter.events and reporter.events[-1] == "done"


def test_a_run_that_is_under_way_is_not_resumed(tmp_path):
    run = trained(tmp_path)
    with run.lock(), pytest.raises(RunError, match="is being written by process"):
        training.resume(run.path)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"objective": "los"}, r"unknown objective 'los'\. Did you mean 'loss'"),
        ({"objective": "accuracy"}, "accuracy is better the higher it is"),
        ({"objective": "recall_by_presentation"}, "unknown objective"),
        ({"mixture": (Entry(Memorize(), "accuracy"),)}, "accuracy needs higher_is_better=True"),
        ({"outer": dataclasses.replace(OUTER, devices=99)}, "devices must be at most 2, got 99"),
        ({"outer": dataclasses.replace(OUTER, population_size=1)}, "population_size must be at"),
        ({"outer": dataclasses.replace(OUTER, algorithm="SNE")}, "unknown evolution strategy"),
        ({"outer": dataclasses.replace(OUTER, frozen=("innate.leek",))}, "unknown part of theta"),
        ({"outer": dataclasses.replace(OUTER, method="gradient", optimizer="adamm")}, "adamw?'"),
        ({"outer": dataclasses.replace(OUTER, method="persistent", window=4)}, "window must div"),
        ({"outer": dataclasses.replace(OUTER, truncated=True)}, "truncated needs segment"),
        ({"outer": dataclasses.replace(OUTER, frozen=("innate", "output_rule"))}, "nothing is lef"),
        ({"network": dataclasses.replace(NETWORK, activation="tahn")}, "tanh"),
        ({"network": dataclasses.replace(NETWORK, input_degree=99)}, "99|100"),
        ({"network": dataclasses.replace(NETWORK, memory_degree=9000.0)}, "degree"),
        ({"task": Memorize(length=10**12)}, "a lifetime of 6,000,000,000,000 symbols takes"),
        (
            {
                "task": Memorize(alphabet=9),
                "network": dataclasses.replace(NETWORK, sharing="per_synapse"),
            },
            "theta on task: theta.* must have shape",
        ),
    ],
)
def test_what_cannot_be_run_leaves_nothing_behind(tmp_path, choices, message):
    config = dataclasses.replace(tiny(), **choices)
    with pytest.raises((ValueError, TypeError), match=message):
        training.train(config, tmp_path / "runs", name="run")
    assert not (tmp_path / "runs").exists()


def test_a_run_folder_that_exists_is_not_touched(tmp_path):
    run = trained(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    with pytest.raises(RunError, match=r"exists already; nothing in it was changed.*--resume"):
        trained(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_a_figure_that_fails_does_not_lose_the_result(tmp_path, monkeypatch):
    from loopymeta import plots

    monkeypatch.undo()

    def fails(*args, **kwargs):
        raise RuntimeError("no ink")

    monkeypatch.setattr(plots, "training_figures", fails)
    said = []
    reporter = training.Reporter()
    reporter.note = said.append
    run = training.train(tiny(), tmp_path, name="run", reporter=reporter)
    assert run.read_json("result.json")["learned"] and "no ink" in said[-1]


# --- results -------------------------------------------------------------------------------------


def check_layout(run: Run, config: TrainConfig) -> dict:
    """The layout of result.json; returns it."""
    result = run.read_json("result.json")
    learners = {"learned", "frozen", "shuffled", "zero", "untrained"}
    assert learners | {"about"} <= set(result)
    for name in set(result) - {"about"}:
        for metric, entry in result[name].items():
            assert {"mean", "spread", "seeds"} <= set(entry), (name, metric)
            assert entry["seeds"] == config.report
            assert np.shape(entry["mean"]) == np.shape(entry["spread"])
    assert result["frozen"] == result["zero"]
    about = result["about"]
    assert about["task"] == training.task_name(config.task)
    assert about["symbols"] == config.task.spec.length
    assert about["lifetimes"] == config.report
    assert {"chance", "floor", "chosen", "device", "versions", "spread"} <= set(about)
    network, theta = training.read_rule(run.path)
    assert network == config.network
    template = config.lifetime().learner.init_theta()
    assert jax.tree.structure(theta) == jax.tree.structure(template)
    return result


def tiny_recipe(name: str, tmp_path) -> TrainConfig:
    """A recipe with everything that takes time made small; its rules and choices as they are."""
    small = {
        "memorize": Memorize(length=3, presentations=3),
        "delay": Delay(gap=2, trials=4),
        "reversal": Reversal(n=1, sequences=6, window=3),
        "caesar": Caesar(symbols=20),
        "names": Names(symbols=40, held_out="test", held_out_symbols=10),
        "text": None,  # below: it needs a file
    }
    config = recipe(name)
    task = train_task = small[name]
    if name == "names":
        train_task = Names(symbols=40, held_out="train", held_out_symbols=10)
    if name == "text":
        book = tmp_path / "book.txt"
        book.write_text("a rose is a rose is a rose. " * 20)
        task = Text(str(book), symbols=40, held_out="test", held_out_symbols=10)
        train_task = Text(str(book), symbols=40, held_out="train", held_out_symbols=10)
    sizes = {"num_memory": min(config.network.num_memory, 8), "num_graphs": 2}
    sizes["num_hidden"] = min(config.network.num_hidden, 8)
    return dataclasses.replace(
        config,
        task=task,
        train_task=train_task,
        select_task=None if config.select_task is None else train_task,
        train_hidden=(4,) if config.train_hidden else (),
        network=dataclasses.replace(config.network, **sizes),
        outer=dataclasses.replace(config.outer, generations=2, population_size=4, lifetimes=2),
        select=2,
        report=2,
    )


OWN_METRICS = {
    "memorize": {"recall_by_presentation"},
    "reversal": {"recall", "sequences"},
    "names": {"prequential_nats", "test_nats"},
    "text": {"prequential_nats", "test_nats"},
    "delay": {"accuracy"},
    "caesar": {"letters_to_perfect"},
}


@pytest.mark.parametrize("name", some_fast(TUNED, ()))
def test_every_recipe_runs_from_end_to_end(tmp_path, name):
    if name == "names" and data.status("names") != "cached":
        pytest.skip("the names are not at hand")
    config = tiny_recipe(name, tmp_path)
    run = training.train(config, tmp_path, name="run")
    result = check_layout(run, config)
    assert OWN_METRICS[name] | {"loss"} <= set(result["learned"])
    assert {"reservoir", "lstm"} <= set(result)
    if name in ("names", "text"):
        assert {"unigram", "bigram", "trigram", "4-gram"} <= set(result)
        assert "test_nats" in result["unigram"]
    if name == "memorize":
        assert len(result["about"]["ceiling"]) == config.task.presentations


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if name not in TUNED])
def test_general_recipes_fit_their_tasks(name):
    try:
        training._check(recipe(name))
    except (ImportError, data.DataError) as missing:
        pytest.skip(str(missing))


def test_spread_is_the_standard_deviation_over_lifetimes():
    shown = training.summary({"x": np.array([1.0, 2.0, 6.0]), "c": np.ones((3, 2))})
    assert shown["x"]["mean"] == 3.0 and shown["x"]["seeds"] == 3
    assert shown["x"]["spread"] == pytest.approx(np.sqrt(7.0))
    assert shown["c"]["mean"] == [1.0, 1.0] and shown["c"]["spread"] == [0.0, 0.0]
    assert np.isnan(training.summary({"x": np.array([1.0])})["x"]["spread"])


def test_lifetimes_on_devices_are_lifetimes_on_one():
    life = tiny().training()
    thetas = jax.tree.map(lambda x: np.stack([x, 2 * x]), life.init_theta())
    keys = jax.random.split(jax.random.key(1), 3)  # not a multiple of the two devices
    one, two = (training.live_on(life, thetas, keys, devices) for devices in (1, 2))
    assert one[0].shape == two[0].shape == (2, 3)
    np.testing.assert_allclose(one[0], two[0], rtol=1e-6)


def test_training_choosing_and_reporting_use_seeds_that_never_meet():
    keys = training._Keys(7)
    groups = [keys.generation(g)[None] for g in range(20)]
    groups += [keys.birth()[None], keys.select(16), keys.report(16)]
    data = np.concatenate([np.asarray(jax.random.key_data(group)) for group in groups])
    assert len(np.unique(data, axis=0)) == len(data)
    other = np.asarray(jax.random.key_data(training._Keys(8).report(16)))
    assert not (data[:, None] == other[None]).all(-1).any()
