"""Configurations: checked when they are made, and the same after a journey through JSON."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from loopymeta import graph, runs, tasks, training
from loopymeta.config import NetworkConfig, OuterConfig, TrainConfig
from loopymeta.recipes import RECIPES, recipe
from loopymeta.registry import RULES, WRAPPERS
from loopymeta.rule_text import rule_from_text
from loopymeta.suite import Entry


def journey(config):
    """To JSON and back, as config.json does it."""
    return training.config_from_dict(json.loads(json.dumps(runs.to_dict(config), allow_nan=False)))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_comes_back_from_json_as_it_was(name):
    config = recipe(name)
    assert journey(config) == config
    assert training.task_name(config.task) == name
    assert isinstance(config.train_task, tasks.TASKS[name])


def test_there_is_a_recipe_for_every_task():
    assert set(RECIPES) == set(tasks.TASKS)
    with pytest.raises(ValueError, match=r"unknown task 'revursal'\. Did you mean 'reversal'"):
        recipe("revursal")


@pytest.mark.parametrize("name", [n for n in RULES if n != "written"] + list(WRAPPERS))
def test_every_rule_comes_back_in_every_place(name):
    rule = {**RULES, **WRAPPERS}[name]()
    network = NetworkConfig(rule=rule, output_rule=rule, memory_rule=rule)
    config = dataclasses.replace(recipe("caesar"), network=network)
    assert journey(config) == config


def test_written_rules_and_no_rules_come_back():
    rule = rule_from_text("written('a * pre * post - b * weight', a=0.5, b=0.1)")
    network = NetworkConfig(rule=rule, output_rule=None, memory_rule=None)
    config = dataclasses.replace(recipe("memorize"), network=network)
    assert journey(config) == config


def _set(data, path, value):
    *folders, last = path.split(".")
    for folder in folders:
        data = data[folder]
    if value is dataclasses.MISSING:
        del data[last]
    else:
        data[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sede", 1, r"unknown field of TrainConfig 'sede'\. Did you mean 'seed'"),
        ("seed", "1", "config.seed: expected a whole number, got '1'"),
        ("seed", -1, "seed must be at least 0, got -1"),
        ("seed", True, "config.seed: expected a whole number"),
        ("report", 0, "report must be at least 1"),
        ("task.lenght", 3, r"unknown field of Memorize 'lenght'\. Did you mean 'length'"),
        ("task.length", 0, "length must be at least 1, got 0"),
        ("task.type", "Memorise", r"unknown type 'Memorise'\. Did you mean 'Memorize'"),
        ("task", dataclasses.MISSING, "task"),
        ("network", 3, "config.network: expected a NetworkConfig, got 3"),
        ("network.num_hiden", 3, r"NetworkConfig 'num_hiden'\. Did you mean 'num_hidden'"),
        ("network.num_memory", 1.5, "config.network.num_memory: expected a whole number"),
        ("network.sharing", "all", "config.network.sharing: expected one of"),
        ("network.output_rule.type", "Dleta", r"unknown type 'Dleta'\. Did you mean 'Delta'"),
        ("network.output_rule.eta", "nan", "eta must be finite"),
        ("network.output_rule.eta", -1.0, "eta must not be negative"),
        (
            "network.output_rule",
            {"type": "Memorize"},
            "config.network.output_rule: unknown type 'Memorize'",
        ),
        ("network.innate.memory_gian", 1.0, r"'memory_gian'\. Did you mean 'memory_gain'"),
        ("outer.method", "magic", "config.outer.method: expected one of"),
        ("outer.devices", 0, "devices must be at least 1, got 0"),
        ("type", "OuterConfig", "config: expected a TrainConfig, got a OuterConfig"),
    ],
)
def test_what_cannot_be_is_refused_by_name(path, value, message):
    data = json.loads(json.dumps(runs.to_dict(recipe("memorize"))))
    _set(data, path, value)
    with pytest.raises(runs.ConfigError, match=message):
        training.config_from_dict(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NetworkConfig(num_hidden=-1), "num_hidden must be at least 0, got -1"),
        (lambda: NetworkConfig(num_graphs=0), "num_graphs must be at least 1"),
        (lambda: NetworkConfig(connectivity="erdos"), "Did you mean 'erdos_renyi'"),
        (lambda: NetworkConfig(rule="oja"), "rule must be a Rule, such as Oja\\(\\), got 'oja'"),
        (lambda: TrainConfig(None, None, train_hidden=(0,)), "train_hidden must be at least 1"),
        (lambda: TrainConfig(None, None, train_hidden=(8, 9), objective="nll"), "lowers the loss"),
        (lambda: TrainConfig(None, Entry(tasks.Copy())), "goes to mixture"),
        (lambda: TrainConfig(None, None, learner="ppm"), "by `loopymeta evaluate --suite`"),
        (lambda: TrainConfig(None, None, learner="lstm", streams=0), "streams must be at least 1"),
        (lambda: TrainConfig(None, None, streams=2), "for learners that have gradients"),
        (lambda: OuterConfig(method="evolutoin"), "Did you mean 'evolution'"),
        (lambda: OuterConfig(generations=0), "generations must be at least 1"),
        (lambda: OuterConfig(sigma=0.0), "sigma must be positive"),
        (lambda: OuterConfig(sigma=float("nan")), "sigma must be a number, got nan"),
        (lambda: OuterConfig(chunk=-1), "chunk must be at least 1, got -1"),
        (lambda: OuterConfig(lifetimes=1.5), "lifetimes must be a whole number, got 1.5"),
        (lambda: TrainConfig(None, None, seed=-1), "seed must be at least 0"),
        (lambda: TrainConfig(None, None, select=-1), "select must be at least 0"),
    ],
)
def test_configurations_are_checked_when_they_are_made(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_mixture_takes_tasks_by_their_loss_and_entries_by_their_figure():
    xor = Entry(tasks.Boolean("xor", sets=9), "examples")
    code, first = tasks.Caesar(symbols=9), tasks.Memorize(length=3, presentations=2)
    network = NetworkConfig(num_hidden=8, num_graphs=1)
    config = TrainConfig(first, first, network, mixture=(code, xor), train_hidden=(4, 5))
    assert journey(config) == config
    mixture = config.training()
    assert [life.objective for life in mixture.lifetimes] == [*["loss"] * 4, *["examples"] * 2]
    expected = [(0.0, np.log(26))] * 2 + [(0.0, 36.0)] * 2
    assert np.allclose(mixture.limits[2:], expected)
    wrong = dataclasses.replace(config, mixture=(Entry(code, "examples"),))
    with pytest.raises(ValueError, match="unknown metric 'examples'"):
        wrong.training()


def test_training_and_reporting_live_on_different_graphs():
    task = tasks.Memorize(length=3, presentations=2)
    network = NetworkConfig(num_hidden=8, num_graphs=2, connectivity="erdos_renyi", degree=3.0)
    config = TrainConfig(task, task, network, objective="accuracy")
    training_life, report_life = config.training(), config.lifetime()
    select_life = dataclasses.replace(config, select_task=task).selection()
    senders = [
        life.learner.graphs.senders.tolist() for life in (training_life, select_life, report_life)
    ]
    assert senders[0] == senders[1] != senders[2]
    assert (training_life.objective, report_life.objective) == ("accuracy", "loss")


@pytest.mark.parametrize("name", [n for n in graph.CONNECTIVITY if n != "layered"])
def test_every_connectivity_by_name_with_and_without_a_degree(name):
    spec = tasks.Memorize().spec
    sizes = {"num_memory": 4, "memory_connectivity": name, "num_hidden": 5, "connectivity": name}
    assert NetworkConfig(num_graphs=1, **sizes).build(spec).graphs.senders.shape[0] == 1
    if hasattr(graph.CONNECTIVITY[name], "degree"):
        # As the command line says it: numbers with a point.
        NetworkConfig(num_graphs=1, degree=2.0, memory_degree=2.0, **sizes).build(spec)
        for field in ("degree", "memory_degree"):
            with pytest.raises(ValueError, match=f"{field} must lie between 0 and"):
                NetworkConfig(num_graphs=1, **{field: 9.0}, **sizes).build(spec)
    else:
        with pytest.raises(ValueError, match=f"{name} has no degree"):
            NetworkConfig(num_graphs=1, degree=2.0, **sizes).build(spec)


def test_every_field_is_explained():
    import ast
    import inspect
    import textwrap

    for cls in (NetworkConfig, OuterConfig, TrainConfig, *tasks.TASKS.values()):
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body
        for field, below in zip(body, body[1:], strict=False):
            if isinstance(field, ast.AnnAssign):
                explained = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                assert explained, f"{cls.__name__}.{field.target.id}"


def test_connectivity_objects_come_back_and_are_built():
    wirings = {
        "memory_connectivity": graph.Ring(degree=2),
        "connectivity": graph.Layered(layers=(3, 2)),
    }
    network = NetworkConfig(num_memory=4, num_hidden=5, num_graphs=1, **wirings)
    config = dataclasses.replace(recipe("memorize"), network=network)
    assert journey(config) == config
    made = network.build(tasks.Memorize(alphabet=4).spec)
    assert made.network.num_edges == (4 * (2 + 5), 3 * (4 + 5) + 2 * 3, 4 * 2)
    assert journey(
        dataclasses.replace(config, network=NetworkConfig(connectivity=graph.Waxman(4, beta=0.3)))
    ).network.connectivity == graph.Waxman(4, beta=0.3)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"connectivity": graph.Waxman}, "connectivity must be a name or an object with edges"),
        ({"memory_connectivity": 3}, "memory_connectivity must be a name or an object"),
        ({"connectivity": graph.Waxman(degree=9)}, "degree must lie between 0 and 7, got 9"),
        ({"connectivity": graph.Waxman(degree=2), "degree": 3}, "to the Waxman object itself"),
    ],
)
def test_connectivity_objects_that_cannot_be(choices, message):
    with pytest.raises((ValueError, TypeError), match=message):
        NetworkConfig(num_hidden=8, num_graphs=1, **choices).build(tasks.Memorize().spec)


def test_numbers_of_numpy_are_numbers():
    config = dataclasses.replace(
        recipe("memorize"),
        task=tasks.Memorize(length=np.int64(5)),
        network=NetworkConfig(num_hidden=np.int32(7), connectivity=graph.Waxman(np.float32(2))),
        outer=OuterConfig(generations=np.int64(3), sigma=np.float64(0.5)),
    )
    assert journey(config) == config and journey(config).task.length == 5
    for bad in (np.bool_(True), np.float64(5.0), "5"):
        with pytest.raises(TypeError, match="length must be a whole number"):
            tasks.Memorize(length=bad)
    with pytest.raises(ValueError, match="length must be at least 1, got 0"):
        tasks.Memorize(length=np.int64(0))
