"""One lifetime: what it may know and when, its layouts, its gradients, and who can live it."""

from __future__ import annotations

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import graph_of, some_fast
from test_rules import CASES, supplied

from loopymeta import data, rules, testing
from loopymeta.config import NetworkConfig
from loopymeta.graph import Graph, make_graphs
from loopymeta.learners import PPM, OnlineRNN
from loopymeta.lifetime import (
    FixedTicks,
    Learner,
    Lifetime,
    Mixture,
    Plastic,
    SelfPaced,
    encode,
    live,
    symbol_loss,
)
from loopymeta.network import Innate, LoopyNetwork, Teaching
from loopymeta.parameters import Space
from loopymeta.recipes import TUNED
from loopymeta.tasks import TASKS, Caesar, Delay, Memorize, Names, Text
from loopymeta.tasks.base import FREEZE, Episode, Spec, masked_mean

TASK = Memorize(length=4, alphabet=4, presentations=3)
RFLO = rules.RFLO(eta=0.1)


def plastic(
    rule=RFLO, *, task=TASK, num_graphs=2, hidden=8, ticks=1, max_ticks=None, degree=3, **choices
) -> Plastic:
    """A small network for a task, on one of two graphs; self-paced with ``max_ticks``."""
    spec = task.spec
    ready = max_ticks is not None
    sizes = {
        "num_inputs": spec.num_inputs + 1,
        "num_hidden": hidden,
        "num_outputs": spec.num_outputs + ready,
    }
    graphs = make_graphs(num_graphs=num_graphs, degree=degree, **sizes)
    choices = {"loss": spec.loss, "lifespan": float(spec.length)} | choices
    network = LoopyNetwork.for_graph(graphs, rule, ready=ready, **sizes, **choices)
    return Plastic(network, graphs, SelfPaced(max_ticks) if ready else FixedTicks(ticks))


@dataclasses.dataclass(frozen=True)
class Follow:
    """Squared error: say what was said two symbols ago; every third target is taught."""

    length: int = 12

    @property
    def spec(self):
        return Spec(2, 2, self.length, loss="squared_error", chance=2.0)

    def sample(self, key):
        said = jax.random.normal(key, (self.length, 2))
        times = jnp.arange(self.length)
        nothing = jnp.zeros(self.length, jnp.int32)
        return Episode(said, jnp.roll(said, 2, 0), times >= 2, times % 3 == 0, nothing, nothing)

    def score(self, outcome, episode):
        return {"loss": masked_mean(outcome.loss, episode.scored)}


# --- conformance ---------------------------------------------------------------------------------

LEARNERS = {
    "rflo": lambda: plastic(),
    "slow pace": lambda: plastic(ticks=3, innate=Innate(leak_low=0.3)),
    "target": lambda: plastic(rules.Oja(), teaching="target"),
    "reward": lambda: plastic(rules.NodePerturbation(), teaching="reward", noise=0.1),
    "prediction": lambda: plastic(rules.ShiftedHPCA(), teaching="prediction"),
    "kolen_pollack": lambda: plastic(rules.RunningScale(RFLO), feedback="kolen_pollack"),
    "memory": lambda: plastic(rules.RFLO(relays=2), num_memory=4, memory_rule=None),
    "self-paced": lambda: plastic(max_ticks=3),
    "shuffled": lambda: plastic(control="shuffled"),
}


@pytest.mark.parametrize("name", some_fast(LEARNERS, ("rflo", "reward", "prediction")))
def test_networks_conform(name):
    testing.check_learner(LEARNERS[name](), TASK)


@pytest.mark.slow
def test_networks_conform_on_vectors():
    testing.check_learner(plastic(task=Follow()), Follow())


@pytest.mark.parametrize(
    "name", some_fast(TUNED, ("memorize", "names"))
)  # the others in the tests of their families
def test_every_task_conforms(name):
    small_ones = {
        "delay": Delay(gap=4, trials=6),
        "names": Names(symbols=200),
        "text": Text(symbols=200),
        "reversal": TASKS["reversal"](sequences=10),
        "caesar": TASKS["caesar"](symbols=100),
    }
    task = small_ones.get(name, TASKS[name]())
    wanted = {"names": "names", "text": getattr(task, "file", None)}.get(name)
    if wanted in data.DATASETS and data.status(wanted) != "cached":
        pytest.skip(f"needs the data set {wanted}")
    testing.check_task(task)


def test_vector_tasks_conform():
    testing.check_task(Follow())


def test_check_task_finds_what_is_wrong():
    @dataclasses.dataclass(frozen=True)
    class Bad(Follow):
        how: str = ""

        @property
        def spec(self):
            limits = {"floor": {"floor": 2.5}, "chance": {"chance": -1.0}}
            return dataclasses.replace(super().spec, **limits.get(self.how, {}))

        def sample(self, key):
            episode = super().sample(jax.random.key(0) if self.how == "key" else key)
            if self.how == "short":
                return jax.tree.map(lambda x: x[1:], episode)
            if self.how == "numbers":
                return episode._replace(scored=episode.scored.astype(float))
            if self.how == "nothing":
                return episode._replace(scored=episode.scored & False)
            return episode

        def score(self, outcome, episode):
            if self.how == "all":
                return {"loss": outcome.loss.mean()}
            own = {"metric": jnp.nan, "curve": jnp.array([0.0, jnp.inf])}
            if self.how in ("metric", "curve", "gap"):
                half = own.get(self.how, jnp.array([0.0, jnp.nan]))
                return super().score(outcome, episode) | {"half": half}
            return {"lost": 0.0} if self.how == "name" else super().score(outcome, episode)

    testing.check_task(Bad())
    for how, said in {
        "short": "must have 12 symbols", "numbers": "must be bool", "nothing": "at least one",
        "all": "not scored count", "name": "must have a loss", "key": "ignores its key",
        "metric": "half of finite predictions must be finite",
        "curve": "half of finite predictions must be finite", "chance": "chance must be a loss",
        "floor": "floor must not lie above 2.0000, the loss of a constant guess, got 2.5",
    }.items():  # fmt: skip
        with pytest.raises(AssertionError, match=said):
            testing.check_task(Bad(how=how))
    testing.check_task(Bad(how="key"), fixed=True)
    testing.check_task(Bad(how="gap"))  # a place at which nothing was measured
    sure = dataclasses.replace(TASK.spec, chance=1.5)
    with pytest.raises(AssertionError, match=r"an accuracy, within 0..1, got 1.5"):
        testing.check_task(types.SimpleNamespace(spec=sure, sample=TASK.sample, score=TASK.score))


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: testing.check_task(3), r"task must be a .*Task, got 3 \(int\), which has no spec"),
        (lambda: testing.check_task(Memorize), "task must be an object, got the class Memorize"),
        (lambda: testing.check_task(TASK, num_lifetimes=0), "num_lifetimes must be at least 1"),
        (lambda: testing.check_learner(3, TASK), "learner must be a .*, which has no init_theta"),
        (lambda: testing.check_learner(Table, TASK), "object, got the class Table: build one"),
        (lambda: testing.check_learner(Table(), Memorize), "task must be an object"),
        (lambda: testing.check_learner(Table("empty"), TASK), "at least one number"),
        (lambda: testing.check_learner(Table(), TASK, symbols=0), "symbols must be at least 1"),
        (lambda: testing.check_rule(rules.Oja), "rule must be an object, got the class Oja"),
        (lambda: testing.check_rule("oja"), "rule must be a .*Rule, got 'oja'"),
        (lambda: testing.check_learner(PPM(2, 2), Follow()), "where stimuli and targets are symb"),
        (lambda: testing.check_learner(PPM(2, 2), TASK), "PPM cannot live Memorize, whose stimul"),
        (
            lambda: testing.check_learner(OnlineRNN(7, 7, width=2), TASK),
            r"OnlineRNN cannot live Memorize, whose stimulus is \[4\].* built for these sizes\?",
        ),
        (
            lambda: testing.check_learner(OnlineRNN(2, 2, width=2), Follow()),
            "OnlineRNN is built for the loss 'cross_entropy', and that of Follow is 'squared_error",
        ),
    ],
)
def test_the_checks_say_in_a_sentence_what_is_no_object_of_theirs(check, said):
    with pytest.raises(AssertionError, match=said):
        check()


@dataclasses.dataclass(frozen=True)
class Table:
    """Predicts the last target; its flaws are what `check_learner` must find."""

    how: str = ""

    def init_theta(self, key=None):
        return {} if self.how == "empty" else {"gain": jnp.ones(()), "rate": jnp.ones(())}

    def space(self):
        kinds = {"space": ("gain",), "empty": ()}.get(self.how, ("gain", "rate"))
        return {name: Space("log") for name in kinds}

    def init(self, key, theta):
        return {"last": jnp.zeros(4), "count": jnp.zeros(()), "held": jnp.zeros(4)}

    def step(self, theta, state, stimulus, teaching, key):
        learns = (teaching.taught > 0) & ((teaching.plastic > 0) | (self.how == "frozen"))
        target = jnp.where(learns, teaching.target, state["last"])
        if self.how == "untaught":
            target = teaching.target
        frozen = (teaching.plastic == 0) & (self.how == "later")
        held = jnp.where(frozen, teaching.target, state["held"])
        after = {"last": target, "count": state["count"] + 1, "held": held}
        prediction = target if self.how == "peek" else state["last"]
        if self.how == "later":
            prediction = prediction + jnp.where(frozen, 0.0, state["held"])
        if self.how == "nan":
            prediction = prediction / after["count"] / state["count"]
        if self.how == "shape":
            prediction = prediction[:2]
        if self.how == "state":
            after["count"] = after["count"].astype(int)
        return after, prediction, jnp.ones(())


def test_check_learner_finds_what_is_wrong():
    testing.check_learner(Table(), TASK)
    for how, said in {
        "peek": "before it predicts", "untaught": "not taught", "nan": "not finite",
        "shape": "must predict", "state": "structure, shapes and types",
        "frozen": "learns while teaching.plastic is 0", "later": "from what it was told while",
        "space": "must have the structure of",
    }.items():  # fmt: skip
        with pytest.raises(AssertionError, match=said):
            testing.check_learner(Table(how), TASK)


# --- what happens when ---------------------------------------------------------------------------


def test_frozen_symbols_freeze_the_weights():
    learner = plastic(rules.Decayed(RFLO), feedback="kolen_pollack", ticks=2)
    record = lambda state, _: (state.network.weight, state.network.feedback)  # noqa: E731
    life = Lifetime(learner, TASK, record=record)
    episode = TASK.sample(jax.random.key(1))
    times = jnp.arange(len(episode.target))
    frozen = (times >= 4) & (times < 8)
    episode = episode._replace(intervention=jnp.where(frozen, FREEZE, 0), taught=times >= 0)
    theta = life.init_theta()
    state = learner.init(jax.random.key(0), theta)
    seen = jax.jit(lambda: life.advance(theta, state, episode, jax.random.key(2))[2])()
    moves = sum(
        jnp.abs(jnp.diff(x, axis=0)).reshape(len(times) - 1, -1).sum(1)
        for x in jax.tree.leaves(seen)
    )
    np.testing.assert_array_equal(moves > 0, ~frozen[1:])


def test_losses_are_of_the_predictions():
    logits = jnp.array([1.0, 2.0, -1.0])
    loss, correct = symbol_loss(logits, jnp.array([0.0, 1.0, 0.0]), "cross_entropy")
    powers = np.exp(logits)
    assert float(loss) == pytest.approx(-np.log(powers[1] / powers.sum()), rel=1e-5)
    assert float(correct) == 1
    assert float(symbol_loss(logits, jnp.array([1.0, 0.0, 0.0]), "cross_entropy")[1]) == 0
    loss, correct = symbol_loss(logits, jnp.array([1.0, 0.0, 1.0]), "squared_error")
    assert float(loss) == 8 and float(correct) == 0
    lanes = jnp.stack([logits, -logits], axis=1)
    loss, correct = symbol_loss(lanes, jnp.array([0.0, 1.0, 0.0]), "cross_entropy")
    assert loss.shape == correct.shape == (2,) and correct.tolist() == [1, 0]


def test_symbols_are_one_hot_and_silence_is_nothing():
    np.testing.assert_array_equal(encode(jnp.array([1, -1]), 3), [[0, 1, 0], [0, 0, 0]])
    vectors = jnp.array([[0.5, 2.0]])
    np.testing.assert_array_equal(encode(vectors, 2), vectors)


def test_pacing_gives_every_symbol_its_ticks():
    """Three ticks a symbol reach an output three edges away; one tick does not."""
    net, graph = chain()
    stack = Graph(*(values[None] for values in graph))
    predicted = {}
    for ticks in (1, 3):
        life = Lifetime(Plastic(net, stack, FixedTicks(ticks)), Follow(), record=lambda s, p: p)
        _, metrics = life(life.init_theta(), jax.random.key(0))
        predicted[ticks] = metrics["record"][0]
        learner = life.learner
        spent = learner.step(
            life.init_theta(), learner.init(jax.random.key(0), life.init_theta()), jnp.ones(2),
            Teaching(jnp.zeros(2)), jax.random.key(1),
        )  # fmt: skip
        assert float(spent[2]) == ticks and float(spent[0].network.age) == ticks
    assert jnp.abs(predicted[1]).max() == 0
    assert jnp.abs(predicted[3]).max() > 0
    with pytest.raises(ValueError, match="ticks must be at least 1"):
        FixedTicks(0)


def chain():
    """Two inputs, three linear hidden nodes in a row, two outputs."""
    graph = graph_of([(0, 2), (1, 2), (2, 3), (3, 4), (4, 5), (4, 6)], 7)
    net = LoopyNetwork.for_graph(
        graph, rules.Zero(), num_inputs=2, num_hidden=3, num_outputs=2, bias=False,
        loss="squared_error", activation="linear",
    )  # fmt: skip
    return net, graph


# --- populations ---------------------------------------------------------------------------------


def population_case(layout, **choices):
    task = Memorize(length=3, alphabet=3, presentations=2)
    rule = choices.pop("rule", rules.RunningScale(rules.RFLO(relays=1), eta=0.01, eps=0.1))
    life = Lifetime(plastic(rule, task=task, hidden=6, layout=layout, **choices), task)
    theta = life.init_theta()
    scale = lambda x: x[None] * jnp.exp(0.2 * jax.random.normal(jax.random.key(3), (3, *x.shape)))  # noqa: E731
    return life, jax.tree.map(scale, theta)


LANES = {
    "shared": {},
    "noisy": {"noise": 0.2, "rule": rules.MLP(hidden=2, fields=("pre", "noise", "post"))},
    "per_class": {"sharing": "per_class", "output_rule": rules.Delta()},
    "per_synapse": {"sharing": "per_synapse", "num_graphs": 1},
    "kolen_pollack": {"feedback": "kolen_pollack", "num_memory": 2, "memory_rule": None},
    "random": {
        "feedback": "random",
        "activation": "k_winners",
        "winners": 2,
        "rule": rules.Competitive(),
    },
    "returning": {"feedback": "returning", "rule": rules.MLP(hidden=2)},
    "target": {"teaching": "target", "rule": rules.HPCA()},
    "prediction": {"teaching": "prediction", "rule": rules.ShiftedHPCA()},
    "reward": {
        "teaching": "reward",
        "rule": rules.NodePerturbation(),
        "activation": "softmax",
        "noise": 0.1,
    },
    "shuffled": {"control": "shuffled", "output_rule": rules.Normalised(rules.Delta())},
}


@pytest.mark.parametrize("mode", some_fast(LANES, ("shared", "kolen_pollack")))
def test_lanes_are_vmap_are_a_loop(mode):
    life, thetas = population_case("sparse", **LANES[mode])
    assert life.learner.lanes
    key = jax.random.key(5)
    losses, metrics = jax.jit(life.population)(thetas, key)
    single = jax.jit(life)
    alone = [single(jax.tree.map(lambda x, p=p: x[p], thetas), key) for p in range(3)]
    np.testing.assert_allclose(losses, [loss for loss, _ in alone], rtol=1e-4)
    for name, values in metrics.items():
        np.testing.assert_allclose(values, [m[name] for _, m in alone], rtol=1e-4, err_msg=name)
    if mode == "noisy":
        vmapped = jax.jit(jax.vmap(life, in_axes=(0, None)))(thetas, key)[0]
        np.testing.assert_allclose(losses, vmapped, rtol=1e-4)
        dense, _ = population_case("dense", **LANES[mode])
        assert not dense.learner.lanes
        np.testing.assert_allclose(jax.jit(dense.population)(thetas, key)[0], losses, rtol=1e-4)
    assert len(set(np.round(losses, 6).tolist())) == 3


@pytest.mark.slow
def test_lanes_record():
    life, thetas = population_case("sparse")
    life = dataclasses.replace(life, record=lambda state, prediction: prediction)
    seen = jax.jit(life.population)(thetas, jax.random.key(0))[1]["record"]
    assert seen.shape == (3, life.spec.length, life.spec.num_outputs)
    first = jax.jit(life)(jax.tree.map(lambda x: x[1], thetas), jax.random.key(0))[1]["record"]
    np.testing.assert_allclose(seen[1], first, atol=1e-4)


def test_keys_choose_graph_newborn_and_episode():
    learner = plastic(num_graphs=4)
    theta = learner.init_theta()
    senders = [
        learner.init(jax.random.key(k), theta).wiring.wires.hidden.senders for k in range(12)
    ]
    assert len({tuple(s.tolist()) for s in senders}) > 1
    life = Lifetime(learner, TASK)
    run = jax.jit(life)
    a, b, c = (float(run(theta, jax.random.key(k))[0]) for k in (0, 0, 1))
    assert a == b != c


def test_theta_may_be_traced_and_the_second_call_compiles_nothing():
    life, traces = Lifetime(plastic(), TASK), []

    @jax.jit
    def lived(theta, key):
        traces.append(1)
        return life(theta, key)

    theta = life.init_theta()
    lived(theta, jax.random.key(0))
    lived(jax.tree.map(lambda x: x * 1.1, theta), jax.random.key(1))
    assert len(traces) == 1


def test_live_is_one_lifetime():
    learner = plastic()
    metrics = live(learner, TASK, jax.random.key(3))
    assert float(metrics["loss"]) == pytest.approx(
        float(Lifetime(learner, TASK)(learner.init_theta(), jax.random.key(3))[0]), rel=1e-5
    )


@pytest.mark.parametrize("learner", [plastic(), Table()], ids=lambda x: type(x).__name__)
def test_learners_say_where_they_may_be_searched(learner):
    assert isinstance(learner, Learner)
    life = Lifetime(learner, TASK)
    is_space = lambda x: isinstance(x, Space)  # noqa: E731
    spaces = jax.tree.structure(life.space(), is_leaf=is_space)
    assert spaces == jax.tree.structure(life.init_theta())
    parts = {name: getattr(learner, name) for name in ("init_theta", "init", "step")}
    assert not isinstance(types.SimpleNamespace(**parts), Learner)


def test_numbers_of_every_synapse_are_of_one_graph():
    with pytest.raises(ValueError, match="the 2 graphs differ: use num_graphs=1"):
        plastic(sharing="per_synapse")
    plastic(sharing="per_synapse", num_graphs=1)
    learner = plastic(sharing="per_synapse", degree=7)  # all that there are: the graphs are equal
    assert len(learner.graphs.senders) == 2


def test_lifetimes_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="segment"):
        Lifetime(plastic(), TASK, segment=-1)
    with pytest.raises(ValueError, match="truncated needs segment"):
        Lifetime(plastic(), TASK, truncated=True)


# --- gradients -----------------------------------------------------------------------------------


def gradient(life, theta, key=None):
    key = jax.random.key(0) if key is None else key
    return jax.jit(jax.value_and_grad(lambda theta: life(theta, key)[0]))(theta)


@pytest.mark.slow
def test_segments_change_memory_and_nothing_else():
    life = Lifetime(plastic(rules.RFLO(eta=0.1, relays=1)), TASK)
    theta = life.init_theta()
    loss, whole = gradient(life, theta)
    assert max(float(jnp.abs(x)) for x in jax.tree.leaves(whole)) > 1e-3
    for segment in (5,):  # which does not divide the 12 symbols
        loss_parts, parts = gradient(dataclasses.replace(life, segment=segment), theta)
        assert float(loss_parts) == pytest.approx(float(loss), rel=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), parts, whole)


@pytest.mark.slow
def test_gradients_are_the_slopes_of_the_loss(x64):
    life = Lifetime(plastic(rules.RFLO(eta=0.1, relays=1)), TASK, segment=4)
    theta = life.init_theta()
    _, slopes = gradient(life, theta)
    loss = jax.jit(lambda eta: life(theta | {"rule": {"eta": eta}}, jax.random.key(0))[0])
    step = 1e-5
    numeric = (loss(0.1 + step) - loss(0.1 - step)) / (2 * step)
    assert float(slopes["rule"]["eta"]) == pytest.approx(float(numeric), rel=1e-6)


@pytest.mark.slow
def test_truncation_cuts_between_segments():
    """What was learned in a segment's own symbols counts, and nothing before it."""
    task = Memorize(length=4, alphabet=4, presentations=2)
    life = Lifetime(plastic(task=task), task, segment=4)
    theta = life.init_theta()
    whole, cut = (
        gradient(life, theta)[1],
        gradient(dataclasses.replace(life, truncated=True), theta)[1],
    )
    assert float(jnp.abs(whole["rule"]["eta"] - cut["rule"]["eta"])) > 1e-4
    # By hand: each segment's loss from a state that is taken as given.
    key = jax.random.key(0)

    def by_hand(theta):
        state, episode = life.start(theta, key)
        losses = []
        for start in (0, 4):
            state = jax.lax.stop_gradient(state)
            part = jax.tree.map(lambda x, start=start: x[start : start + 4], episode)
            state, outcome, _ = life.advance(theta, state, part, key, start)
            losses.append(outcome.loss)
        return masked_mean(jnp.concatenate(losses), episode.scored)

    expected = jax.jit(jax.grad(by_hand))(theta)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), cut, expected)
    # The last segment alone: a longer past changes nothing in what is cut.
    newborn = cut["innate"]
    assert float(jnp.abs(newborn["input_gain"])) == 0  # birth is before the first segment
    assert float(jnp.abs(whole["innate"]["input_gain"])) > 0


@pytest.mark.parametrize(
    "name",
    some_fast([n for n in CASES if CASES[n].init()], ("normalised",)),
)
def test_gradients_exist_at_zero_weights(name):
    """A network born without any weight is silent: nothing may be nan there."""
    task = Memorize(length=2, alphabet=2, presentations=2)
    net = {
        "feedback": "kolen_pollack",
        "output_rule": rules.Delta(),
        "num_memory": 2,
        "memory_rule": None,
    }
    net |= supplied(CASES[name])
    life = Lifetime(plastic(CASES[name], task=task, hidden=4, degree=2, **net), task)
    theta = life.init_theta()
    theta["innate"] = {k: v * 0 if k.endswith("gain") else v for k, v in theta["innate"].items()}
    loss, slopes = gradient(life, theta)
    assert np.isfinite(loss)
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(slope).all(), jax.tree_util.keystr(path)


# --- self-paced reading --------------------------------------------------------------------------


def paced(threshold, *, max_ticks=4, task=TASK, **choices):
    """A self-paced lifetime and its theta, ready from this threshold on."""
    life = Lifetime(plastic(max_ticks=max_ticks, task=task, **choices), task)
    theta = life.init_theta()
    theta["innate"]["ready_threshold"] = jnp.asarray(threshold)
    return life, theta


@pytest.mark.parametrize("threshold, same_as", [(0.0, 1), (1.0, 4)])
def test_a_network_always_or_never_ready_is_one_of_fixed_ticks(threshold, same_as):
    life, theta = paced(threshold)
    learner = life.learner
    wiring, born, _ = learner.init(jax.random.key(0), theta)
    sent = learner.network.send(born, jnp.eye(4)[2])
    rest = (learner.network, theta, wiring, sent, jax.random.key(1), jnp.ones(()))
    state, ticks = jax.jit(lambda: SelfPaced(4).run(*rest))()
    expected, _ = jax.jit(lambda: FixedTicks(same_as).run(*rest))()
    np.testing.assert_allclose(state.activity, expected.activity, rtol=1e-6)
    # What was never ready is charged one tick more.
    assert ticks == (1 if threshold == 0.0 else 5)
    metrics = jax.jit(life)(theta, jax.random.key(0))[1]
    assert metrics["timeouts"] == (0.0 if threshold == 0.0 else 1.0)
    assert metrics["ticks"] == ticks


@pytest.mark.slow
def test_the_ready_node_learns_how_sure_the_others_are():
    """The same symbol for ever is certain; a fresh random one each time is not."""
    certain = Memorize(length=1, alphabet=4, presentations=200)
    random = Memorize(length=200, alphabet=4, presentations=1)
    ready = {}
    for name, task in (("certain", certain), ("random", random)):
        life, theta = paced(0.0, task=task, rule=rules.Delta(eta=0.3))
        network = life.learner.network
        look = functools.partial(lambda net, state, _: net.readiness(state.network), network)
        seen = dataclasses.replace(life, record=look)
        metrics = jax.jit(seen)(theta, jax.random.key(3))[1]
        ready[name] = float(metrics["record"][-50:].mean())
    assert ready["certain"] > 0.9
    assert 0.1 < ready["random"] < 0.5  # it is right once in four times


def test_ticks_are_counted_between_and_charged():
    life, theta = paced(0.5, task=Memorize(length=4, alphabet=4, presentations=12))
    loss, metrics = jax.jit(life)(theta, jax.random.key(0))
    assert 1 < metrics["ticks"] < 5
    charged = dataclasses.replace(life, tick_cost=0.25)
    dearer = jax.jit(charged)(theta, jax.random.key(0))[0]
    np.testing.assert_allclose(dearer - loss, 0.25 * metrics["ticks"], rtol=1e-5)
    assert metrics["loss"] == loss  # what is reported has no charge in it


def test_every_candidate_keeps_its_own_pace():
    life, theta = paced(0.5, layout="sparse")
    levels = jnp.array([0.0, 0.4, 0.5, 1.0])
    thetas = jax.tree.map(lambda x: jnp.broadcast_to(x, (4, *jnp.shape(x))), theta)
    thetas["innate"]["ready_threshold"] = levels
    together = jax.jit(life.population)(thetas, jax.random.key(0))[1]["ticks"]
    alone = []
    for level in levels:
        theta["innate"]["ready_threshold"] = level
        alone.append(float(jax.jit(life)(theta, jax.random.key(0))[1]["ticks"]))
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    assert len(set(alone)) > 2


def test_the_error_of_the_ready_node_stays_at_it():
    """Hidden nodes and the other outputs learn what they would have learned without it."""
    after = []
    for answer in (0.0, 1.0):
        life, theta = paced(0.0)
        wiring, born, _ = life.learner.init(jax.random.key(0), theta)
        # Its weights, and so its error, are others; nothing else may notice.
        weight = born.weight.output.at[-1].add(answer)
        state = born._replace(weight=born.weight._replace(output=weight))
        for at in range(3):
            network = life.learner.network
            state = network.propagate(wiring, network.send(state, jnp.eye(4)[at]))
            state = network.teach(theta, wiring, state, Teaching(jnp.eye(4)[3]))
        after.append(state)
    assert np.abs(after[0].weight.output[-1] - after[1].weight.output[-1]).max() > 0.5
    np.testing.assert_array_equal(after[0].weight.hidden, after[1].weight.hidden)
    np.testing.assert_array_equal(after[0].weight.output[:-1], after[1].weight.output[:-1])


def test_self_paced_refuses():
    with pytest.raises(ValueError, match="max_ticks must be at least 1"):
        SelfPaced(0)
    with pytest.raises(ValueError, match="go together"):
        Plastic(plastic(max_ticks=2).network, plastic(max_ticks=2).graphs)
    with pytest.raises(ValueError, match="says how good a prediction was"):
        plastic(rules.ShiftedHPCA(), teaching="prediction", max_ticks=2)
    with pytest.raises(ValueError, match="tick_cost needs self-paced"):
        Lifetime(plastic(), TASK, tick_cost=0.1)


# --- mixtures ------------------------------------------------------------------------------------


def mixed():
    """Two tasks in networks of two sizes."""
    tasks = (Caesar(symbols=12), Follow())
    networks = (small_network(size) for size in (6, 9))
    return [Lifetime(net.build(task.spec), task) for net in networks for task in tasks]


def small_network(size):
    return NetworkConfig(num_hidden=size, num_graphs=1, rule=rules.Delta())


@pytest.mark.slow
def test_a_mixture_is_the_mean_of_its_scaled_lifetimes():
    lifetimes = mixed()
    mixture = Mixture(tuple(lifetimes))
    theta, key = mixture.init_theta(), jax.random.key(3)
    loss, metrics = jax.jit(mixture)(theta, key)
    expected = []
    for life, own in zip(lifetimes, jax.random.split(key, 4), strict=True):
        spec = life.spec
        constant = np.log(26) if spec.loss == "cross_entropy" else spec.chance
        floor = spec.floor or 0.0
        expected.append((float(life(theta, own)[0]) - floor) / (constant - floor))
    assert np.allclose(loss, np.mean(expected), rtol=1e-4)
    assert np.allclose([metrics[f"part_{k}"] for k in range(4)], expected, rtol=1e-4)
    two = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), theta)
    losses, _ = jax.jit(mixture.population)(two, key)
    assert np.allclose(losses[0], loss, rtol=1e-4) and losses[1] != losses[0]


def test_what_knows_nothing_costs_one():
    """A network that never learns says every letter is as likely as any other."""
    task = Caesar(symbols=12)
    network = NetworkConfig(num_hidden=4, rule=rules.Zero(), innate=Innate(output_gain=0.0))
    mixture = Mixture((Lifetime(network.build(task.spec), task),) * 2)
    assert np.allclose(mixture(mixture.init_theta(), jax.random.key(0))[0], 1.0)


def test_a_mixture_of_figures_is_scaled_from_the_constant_guess_to_the_best():
    """Whether a figure is better high or low."""
    task = Caesar(symbols=40)
    learner = small_network(6).build(task.spec)
    judged = {"accuracy": (1.0, 1 / 26), "letters_to_perfect": (0.0, 40.0)}
    lives = tuple(Lifetime(learner, task, objective=name) for name in judged)
    mixture = Mixture(lives, tuple(judged.values()))
    key = jax.random.key(3)
    _, metrics = jax.jit(mixture)(mixture.init_theta(), key)
    keys = jax.random.split(key, 2)
    accuracy, letters = (life(life.init_theta(), k)[0] for life, k in zip(lives, keys, strict=True))
    assert np.allclose(metrics["part_0"], (1 - accuracy) / (1 - 1 / 26), rtol=1e-4)
    assert np.allclose(metrics["part_1"], letters / 40, rtol=1e-4)
    assert 0 < float(accuracy) < 1


def test_limits_that_cannot_be_are_refused():
    life = mixed()[0]
    other = dataclasses.replace(life, objective="accuracy")
    with pytest.raises(ValueError, match="'accuracy' needs limits"):
        Mixture((life, other))
    for limits in (((0.0, 0.0),), ((0.0, float("nan")),), ((1 / 26, np.float32(1 / 26)),)):
        with pytest.raises(ValueError, match="loss on Caesar: limits must be two different"):
            Mixture((life,), limits)
    network = NetworkConfig(num_hidden=6, max_ticks=2).build(life.spec)
    paced = Lifetime(network, life.task, objective="accuracy", tick_cost=0.1)
    with pytest.raises(ValueError, match="tick_cost adds to it"):
        Mixture((paced,), ((1.0, 1 / 26),))


def test_who_diverges_has_no_figure_in_a_mixture():
    """Whatever share of the answers is right by chance."""
    life = dataclasses.replace(mixed()[0], objective="accuracy")
    mixture = Mixture((life,), ((1.0, 1 / 26),))
    theta = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), mixture.init_theta())
    assert np.isnan(mixture(theta, jax.random.key(0))[0])
    with pytest.raises(ValueError, match="1 lifetimes need as many limits"):
        Mixture((life,), ((0.0, 1.0), (0.0, 1.0)))


def test_lifetimes_of_other_thetas_cannot_be_mixed():
    lifetimes = mixed()
    other = NetworkConfig(num_hidden=6, rule=rules.Oja()).build(Follow().spec)
    with pytest.raises(ValueError, match="theta on Follow differs from that on Caesar"):
        Mixture((lifetimes[0], Lifetime(other, Follow())))
    with pytest.raises(ValueError, match="at least one"):
        Mixture(())


# --- how the taught reaches the network ----------------------------------------------------------


def shown(learner, symbols, targets, theta=None, taught=1.0):
    """The states after each symbol, and the predictions."""
    theta = learner.init_theta() if theta is None else theta
    step = jax.jit(learner.step)
    state, states, predictions = learner.init(jax.random.key(0), theta), [], []
    for at, (symbol, target) in enumerate(zip(symbols, targets, strict=True)):
        teaching = Teaching(jax.nn.one_hot(target, 3), taught=jnp.asarray(taught))
        stimulus = jax.nn.one_hot(symbol, 3)
        key = jax.random.key(at)
        state, prediction, _ = step(theta, state, stimulus, teaching, key)
        states.append(state)
        predictions.append(np.asarray(prediction))
    return states, predictions


def listener(**choices):
    options = {
        "num_hidden": 5,
        "rule": rules.Zero(),
        "output_rule": rules.Delta(eta=0.5, normalised=False),
        "num_graphs": 1,
        "rate_fan_in": None,
    }
    spec = Spec(num_inputs=3, num_outputs=3, length=10)
    return NetworkConfig(**(options | choices)).build(spec)


def test_late_teaching_compares_the_target_with_what_was_predicted_for_it():
    delay, symbols, targets = 2, [0, 1, 2, 0, 1], [1, 2, 0, 1, 2]
    learner = listener(error_delay=delay)
    states, predictions = shown(learner, symbols, targets)
    layout = learner.network.layouts.output
    born = learner.init(jax.random.key(0), learner.init_theta()).network.weight.output
    before = [born, *(state.network.weight.output for state in states)]
    for at in range(5):
        change = np.asarray(before[at + 1] - before[at])
        if at < delay:
            assert not change.any()
            continue
        logits = predictions[at - delay]
        error = np.eye(3)[targets[at - delay]] - np.exp(logits) / np.exp(logits).sum()
        inner = states[at].network
        heard = np.concatenate([inner.sent[:4], inner.activity[4:9], inner.sent[9:]])
        mask = np.asarray(states[at].wiring.wires.output.mask)
        assert layout.dense
        assert np.allclose(change, 0.5 * error[:, None] * heard[None] * mask, atol=1e-6)


def test_what_is_taught_in_a_freeze_does_not_arrive_after_it():
    learner = listener(error_delay=1)
    theta = learner.init_theta()

    step, born = jax.jit(learner.step), jax.jit(learner.init)(jax.random.key(0), theta)

    def after(target):
        state = born
        for at, plastic in enumerate((1.0, 0.0, 1.0, 1.0)):
            shown = jax.nn.one_hot(target if at == 1 else 0, 3)
            teaching = Teaching(shown, plastic=jnp.asarray(plastic))
            key = jax.random.key(at)
            state, *_ = step(theta, state, jax.nn.one_hot(at % 3, 3), teaching, key)
        return state.network.weight.output

    assert np.array_equal(after(1), after(2))


@pytest.mark.slow
def test_a_symbol_shown_with_its_target_draws_noise_of_its_own(monkeypatch):
    learner = listener(exposure="as_input", teaching="error", noise=0.1)
    drives, synapses = [], []

    def propagate(self, wiring, state, key=None, act=LoopyNetwork.propagate):
        drives.append(key)
        return act(self, wiring, state, key)

    def teach(self, theta, wiring, state, teaching=None, key=None, act=LoopyNetwork.teach):
        synapses.extend(jax.random.fold_in(key, b) for b in range(3))
        return act(self, theta, wiring, state, teaching, key)

    monkeypatch.setattr(LoopyNetwork, "propagate", propagate)
    monkeypatch.setattr(LoopyNetwork, "teach", teach)
    theta = learner.init_theta()
    state, stimulus = learner.init(jax.random.key(0), theta), jnp.eye(3)[0]
    learner.step(theta, state, stimulus, Teaching(jnp.eye(3)[1]), jax.random.key(1))
    keys = [tuple(jax.random.key_data(key).tolist()) for key in drives + synapses]
    assert len(keys) == 2 + 6 and len(set(keys)) == len(keys)


@pytest.mark.slow
def test_the_tick_that_shows_the_target_is_no_timeout():
    config = NetworkConfig(num_hidden=4, max_ticks=3, exposure="as_input")
    innate = Innate(ready_threshold=1e-6)  # every symbol is ready in its first tick
    hasty = dataclasses.replace(config, max_ticks=1, innate=innate)
    life = Lifetime(hasty.build(Caesar().spec), Caesar(symbols=10))
    assert life(life.init_theta(), jax.random.key(0))[1]["timeouts"] == 0
    late = dataclasses.replace(config, innate=Innate(ready_threshold=1 - 1e-6))
    life = Lifetime(late.build(Caesar().spec), Caesar(symbols=10))
    metrics = life(life.init_theta(), jax.random.key(0))[1]
    assert metrics["timeouts"] == 1 and metrics["ticks"] == 5


def test_a_delay_of_rewards_and_of_targets():
    # Outputs born equal: the first is taken for the most probable, and is right.
    choices = {"teaching": "reward", "innate": Innate(output_gain=0.0)}
    reward = listener(**choices, output_rule=rules.ThreeFactor(eta=0.5), error_delay=1)
    untaught, _ = shown(reward, [0, 1, 2], [0, 0, 0], taught=0.0)
    taught, _ = shown(reward, [0, 1, 2], [0, 0, 0])
    same = lambda at: np.allclose(  # noqa: E731
        taught[at].network.weight.output, untaught[at].network.weight.output
    )
    assert same(0) and not same(2)
    target = listener(teaching="target", error_delay=1, output_rule=rules.Hebb(eta=0.5))
    states, _ = shown(target, [0, 1, 2], [0, 1, 2])
    held = [np.asarray(target.network.outputs(s.network)) for s in states]
    assert not np.isin(held[0], (0, 1)).all()  # nothing has arrived yet
    assert np.array_equal(held[1:], np.eye(3)[:2])


def test_input_and_target_at_once():
    """The hidden nodes hear the target along returning edges, while the inputs hold the symbol."""
    choices = {"teaching": "target", "return_degree": 3, "output_rule": rules.Hebb(eta=0.1)}
    once, twice = listener(**choices), listener(**choices, exposure="together")
    (alone,), first = shown(once, [0], [2])
    (state,), second = shown(twice, [0], [2])
    assert np.allclose(first, second)  # the prediction does not know the target
    inner = state.network
    assert np.array_equal(inner.sent[:4], [1, 0, 0, 1]) and np.array_equal(
        inner.sent[9:], np.eye(3)[2]
    )
    assert np.array_equal(twice.network.outputs(inner), np.eye(3)[2])
    assert not np.allclose(inner.activity[4:9], alone.network.activity[4:9])
    (other,), _ = shown(twice, [0], [1])
    assert not np.allclose(inner.activity[4:9], other.network.activity[4:9])


def test_the_error_comes_in_where_the_input_does():
    learner = listener(exposure="as_input", teaching="none", output_rule=rules.Hebb(eta=0.1))
    (state,), (logits,) = shown(learner, [0], [2])
    error = np.eye(3)[2] - np.exp(logits) / np.exp(logits).sum()
    assert np.allclose(state.network.sent[:4], [*error, 1], atol=1e-6)
    (untaught,), _ = shown(learner, [0], [2], taught=0.0)
    assert np.array_equal(untaught.network.sent[:4], [0, 0, 0, 1])
    assert float(state.network.age) == 2


@pytest.mark.slow
def test_exposures_conform_and_live_as_lanes():
    for choices in (
        {"error_delay": 2},
        {"exposure": "as_input"},
        {"exposure": "together", "teaching": "target", "return_degree": 1},
    ):
        config = NetworkConfig(num_hidden=6, num_graphs=1, layout="sparse", **choices)
        learner = config.build(Caesar().spec)
        testing.check_learner(learner, Caesar(symbols=20), symbols=6)
        life = Lifetime(learner, Caesar(symbols=8))
        thetas = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), life.init_theta())
        losses, _ = jax.jit(life.population)(thetas, jax.random.key(0))
        one, _ = jax.jit(life)(jax.tree.map(lambda x: x[1], thetas), jax.random.key(0))
        assert np.allclose(losses[1], one, atol=1e-5)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"exposure": "together"}, "needs teaching='target'"),
        ({"exposure": "befor"}, "exposure"),
        ({"error_delay": -1}, "error_delay"),
        ({"error_delay": 1, "teaching": "none"}, "teaching that comes from outside"),
        ({"error_delay": 1, "max_ticks": 3}, "without a ready"),
    ],
)
def test_exposures_that_cannot_be(choices, message):
    with pytest.raises(ValueError, match=message):
        listener(**choices)


def test_errors_need_inputs_to_come_in_by():
    config = NetworkConfig(num_hidden=4, exposure="as_input")
    with pytest.raises(ValueError, match="an input for each of the 5 outputs"):
        config.build(Spec(num_inputs=3, num_outputs=5, length=10))
