"""The in-context learner, and learners by name in a training run."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta import meta, parameters, runs, training
from loopymeta.config import NetworkConfig, OuterConfig, TrainConfig, problem_of
from loopymeta.learners import HostLearner, InContextRNN, OnlineRNN, by_name
from loopymeta.lifetime import Learner, Lifetime
from loopymeta.network import Teaching
from loopymeta.tasks import Caesar, Henon, Memorize
from loopymeta.testing import check_learner

TASK = Memorize(length=3, alphabet=4, presentations=3)


def small(**choices):
    return InContextRNN.for_spec(TASK.spec, **({"width": 5} | choices))


def test_it_is_a_learner_whose_theta_is_its_weights():
    learner = small(width=(5, 3))
    theta = learner.init_theta()
    assert isinstance(learner, Learner)
    assert sorted(theta) == ["layer_0", "layer_1", "readout"]
    assert theta["layer_0"]["dense_i"]["kernel"].shape == (4 + 4 + 1, 20)
    other = learner.init_theta(jax.random.key(1))
    assert not np.allclose(theta["readout"]["kernel"], other["readout"]["kernel"])
    parameters.check_values(theta, learner.space())


def test_theta_survives_json_and_the_search_space():
    learner = small()
    theta = learner.init_theta()
    text = json.dumps(parameters.theta_to_json(theta))
    back = parameters.theta_from_json(json.loads(text))
    back = parameters.check_theta(back, theta, space=learner.space())
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), theta, back))
    problem = problem_of(Lifetime(learner, TASK))
    again = problem.theta_at(problem.center())
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.allclose(a, b)), theta, again))
    assert "layer_0.dense_h.kernel" in problem.searched()


def test_it_hears_the_last_target_if_that_was_taught():
    learner, hot = small(), jnp.eye(4)
    theta = learner.init_theta()
    state = learner.init(jax.random.key(0), theta)
    lessons = [(1.0, 1.0, True), (0.0, 1.0, False), (1.0, 0.0, False)]
    for taught, plastic, told in lessons:
        target = hot[2] if told else jnp.full(4, jnp.nan)
        teaching = Teaching(target, taught, 0.0, plastic)
        after, prediction, _ = learner.step(theta, state, hot[1], teaching)
        np.testing.assert_array_equal(after.lesson, [0, 0, told, 0, told])
        network = learner.network
        heard = jnp.concatenate([hot[1], state.lesson])
        weight = {"cells": [theta["layer_0"]], "readout": theta["readout"]}
        activity, expected = network.predict(weight, state.activity, heard)
        np.testing.assert_allclose(prediction, expected, atol=1e-6)
        np.testing.assert_allclose(after.activity[0][0], activity[0][0], atol=1e-6)


def test_nothing_but_activity_changes_and_newborns_are_equal():
    learner = small()
    theta = learner.init_theta()
    first, second = (learner.init(jax.random.key(k), theta) for k in (0, 1))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), first, second))
    assert set(first._fields) == {"activity", "lesson"}


@pytest.mark.slow
def test_it_keeps_the_contract():
    check_learner(small(), TASK)
    henon = Henon(symbols=20)
    check_learner(InContextRNN.for_spec(henon.spec, width=4, cell="gru"), henon)


@pytest.mark.slow
def test_meta_training_lowers_the_loss_on_fresh_lifetimes():
    life = Lifetime(small(width=16), TASK)
    outer = meta.Gradient(problem_of(life, lifetimes=16), learning_rate=0.02, num_elites=1)
    state, step = outer.init(jax.random.key(0)), jax.jit(outer.step)
    for generation in range(60):
        state, _ = step(jax.random.fold_in(jax.random.key(1), generation), state)
    keys = jax.random.split(jax.random.key(2), 64)
    before, after = (
        float(jax.vmap(life, in_axes=(None, 0))(theta, keys)[0].mean())
        for theta in (life.init_theta(), outer.best(state))
    )
    assert TASK.spec.floor < after < before - 0.1


# --- learners by name ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", by_name.LEARNERS)
def test_every_name_makes_a_learner(name):
    learner = by_name.learner_of(name, Caesar(symbols=20), hidden=5)
    assert isinstance(learner, Learner) == by_name.LEARNERS[name].compiled
    assert isinstance(learner, HostLearner) != by_name.LEARNERS[name].compiled


def test_options_are_those_of_the_learner():
    learner = by_name.learner_of("lstm(width=(8, 4), optimizer='lion')", Caesar())
    assert isinstance(learner, OnlineRNN) and learner.widths == (8, 4)
    assert learner.learning_rate == 0.01  # that of the tuned one for this task
    for text, named in (
        ("lstn", "Did you mean 'lstm'"),
        ("lstm(widht=3)", "Did you mean 'width'"),
        ("lstm(cell=gru)", "put texts in quotes: cell='gru'"),
        ("lstm(learning_rate=nan)", "learning_rate must be a number, or a text in quotes, got nan"),
        ("lstm(width=(8, n))", r"or a text in quotes, got \(8, n\)"),
        ("lstm(num_inputs=3)", "num_inputs"),
        ("lstm(3)", "cannot read"),
        ("lstm(width=__import__('os'))", "cannot read"),
        ("lstm(**{'width': 3})", "cannot read"),
    ):
        with pytest.raises(ValueError, match=named):
            by_name.check(text)
    with pytest.raises(ValueError, match="symbols"):
        by_name.learner_of("counts", Henon(symbols=20))


def config_of(learner: str, method="evolution", **choices) -> TrainConfig:
    outer = OuterConfig(
        method=method, generations=2, population_size=4, lifetimes=2, elites=1,
        frozen=("rule.eta",),
    )  # fmt: skip
    plain = {"select": 2, "report": 2, "baselines": False}
    return TrainConfig(TASK, TASK, NetworkConfig(), outer, learner=learner, **(plain | choices))


def test_a_configuration_with_a_learner_is_checked_and_survives_json():
    config = config_of("in_context(width=5)", train_hidden=(3, 4))
    again = training.config_from_dict(json.loads(json.dumps(runs.to_dict(config))))
    assert again == config
    assert again.training().learner == small()
    assert config.lifetime().learner == small()
    old = {k: v for k, v in runs.to_dict(config).items() if k != "streams"}
    assert training.config_from_dict(old) == config  # written before there were streams
    with pytest.raises(ValueError, match="Did you mean 'in_context'"):
        config_of("incontext")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "method", "streams"),
    [
        ("lstm(width=4, window=3)", "evolution", 1),
        ("elman(width=4)", "evolution", 3),
        ("in_context(width=4)", "gradient", 1),
    ],
)
def test_a_learner_is_meta_learned_and_read_back(tmp_path, monkeypatch, learner, method, streams):
    monkeypatch.setattr(training, "_draw", lambda run, reporter: None)
    run = training.train(config_of(learner, method, streams=streams), tmp_path, name="run")
    result = run.read_json("result.json")
    assert set(result) == {"learned", "untrained", "about"}
    text, theta = training.read_learner(run.path)
    assert (text, training.read_streams(run.path)) == (learner, streams)
    made = by_name.learner_of(text, TASK)
    parameters.check_theta(theta, made.init_theta(), space=made.space())
    with pytest.raises(runs.RunError, match="not of a rule"):
        training.read_rule(run.path)


def test_read_learner_refuses_what_is_none(tmp_path):
    path = tmp_path / "rule.json"
    head = {"format": training.RULE_FORMAT, "version": training.RULE_VERSION}
    path.write_text(json.dumps(head | {"theta": {}}))
    with pytest.raises(runs.RunError, match="no file of a learner"):
        training.read_learner(path)


def test_a_learner_is_a_plain_value():
    assert hash(small()) == hash(dataclasses.replace(small()))
    with pytest.raises(ValueError, match="cell"):
        small(cell="lsmt")
