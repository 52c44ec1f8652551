"""The plasticity rules: their arithmetic by hand, their theorems, and the contract of each."""

from __future__ import annotations

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import graph_of, small, some_fast
from hypothesis import given
from hypothesis import strategies as st

from loopymeta import hebbian, rules, testing, written
from loopymeta.network import LoopyNetwork, Teaching
from loopymeta.registry import RULES, WRAPPERS, make_rule
from loopymeta.rules import Rule, synapse

OJA_TEXT = "eta * post * (pre - post * weight)"


def default(name: str) -> Rule:
    return make_rule(name, **({"expression": OJA_TEXT, "eta": 0.1} if name == "written" else {}))


CASES = {name: default(name) for name in (*RULES, *WRAPPERS)} | {
    "bcm divided": rules.BCM(divide=True),
    "hpca subspace": rules.HPCA(order="subspace"),
    "delta plain": rules.Delta(normalised=False),
    "rflo relayed": rules.RFLO(relays=2),
    "eprop adaptive": rules.EProp(beta=0.5),
    "differentiable oja": rules.DifferentiablePlasticity(form="oja"),
    "backpropamine": rules.DifferentiablePlasticity(modulated=True),
    "general, all": hebbian.GeneralHebbian(hebbian.NAMED_TERMS, start=(0.01,)),
    "general, sanger": hebbian.GeneralHebbian(("post reconstruction",), (1.0,), order="sanger"),
    "general, powers": hebbian.GeneralHebbian(
        (*hebbian.polynomial_terms(1), "post_before pre"), (0.01,)
    ),
    "mlp, all fields": rules.MLP(hidden=2, fields=("pre", "reconstruction", "norm", "noise")),
    "running, no momentum": rules.RunningScale(rules.Oja(), momentum=False),
    "running rflo": rules.RunningScale(rules.RFLO(relays=2)),
    "bounded soft": rules.Bounded(rules.Oja(), form="soft"),
    "normalised l1": rules.Normalised(rules.Oja(), order=1),
    "nested": rules.Decayed(rules.FastSlow(rules.Bounded(rules.Covariance()))),
    "written, rich": written.Written(
        "a * tanh(pre) / weight - max(pre, noise) * reconstruction * energy^2 + reward", a=0.01
    ),
}


def supplied(rule: Rule) -> dict:
    """Choices of a network that gives a rule what it needs."""
    choices = {"reward": {"teaching": "reward"}, "noise": {"noise": 0.1}}
    return {name: value for need in rule.needs for name, value in choices[need].items()}


def final_classes(of: type = Rule):
    for cls in of.__subclasses__():
        if cls.__module__.startswith("loopymeta.") and cls is not rules.Wrapper:
            yield cls
        yield from final_classes(cls)


# --- the contract --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", some_fast(CASES, [*RULES, *WRAPPERS, "rflo relayed", "written, rich"])
)
def test_every_rule_conforms(name):
    testing.check_rule(CASES[name])


def test_every_rule_is_registered():
    known = {*RULES.values(), *WRAPPERS.values()}
    assert set(final_classes()) == known
    assert not RULES.keys() & WRAPPERS.keys()


def test_make_rule_suggests():
    assert make_rule("bcm", tau=7.0) == rules.BCM(tau=7.0)
    with pytest.raises(ValueError, match="Did you mean 'oja'"):
        make_rule("ojaa")
    with pytest.raises(ValueError, match="Did you mean 'eta'"):
        make_rule("oja", etta=0.1)
    with pytest.raises(ValueError, match="expression"):
        make_rule("written")


def test_check_rule_finds_what_is_wrong():
    @dataclasses.dataclass(frozen=True)
    class Bad(Rule):
        how: str = ""

        def init_trace(self):
            return {"memory": 0.0}

        def update(self, theta, trace, synapse):
            change = synapse.pre * synapse.post
            if self.how == "mean":
                change = change - jnp.mean(synapse.weight)
            if self.how == "peek":
                change = change + synapse.energy
            if self.how == "nan":
                change = change / synapse.weight
            if self.how == "root":
                change = change * jnp.sqrt(synapse.weight * synapse.weight)
            if self.how == "trace":
                return change, {}
            if self.how == "whole":
                return jnp.sign(change).astype(int), trace
            return change, trace

        def formula(self, theta=None):
            return "" if self.how == "text" else "change = ?"

    testing.check_rule(Bad())
    for how, said in {
        "mean": "elementwise",
        "peek": "reads energy",
        "nan": "not finite at zeros",
        "root": "no finite derivative",
        "trace": "structure",
        "whole": "floats",
        "text": "formula",
    }.items():
        with pytest.raises(AssertionError, match=said):
            testing.check_rule(Bad(how))


def test_rules_refuse_what_cannot_be():
    for make in (
        lambda: rules.Oja(eta=-0.1),
        lambda: rules.Oja(eta=math.nan),
        lambda: rules.ThreeFactor(decay=1.5),
        lambda: rules.HPCA(order="other"),
        lambda: rules.RFLO(relays=-1),
        lambda: rules.MLP(fields=("modulator",)),
        lambda: rules.Normalised(order=3),
        lambda: rules.Bounded(form="other"),
        lambda: rules.DifferentiablePlasticity(form="other"),
        lambda: rules.RunningScale(beta1=1.0),
        lambda: rules.RunningScale(beta2=1.0),
    ):
        with pytest.raises(ValueError):
            make()
    for make in (
        lambda: rules.Oja(eta="fast"),
        lambda: rules.Oja(eta=True),
        lambda: rules.Bounded(rule="hebb"),
    ):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(ValueError, match="Did you mean 'weight'"):
        synapse(wieght=1.0)


@pytest.mark.parametrize(
    "cls", [rules.Covariance, rules.BCM, rules.STDP, rules.NodePerturbation, rules.Homeostatic,
            hebbian.GeneralHebbian], ids=lambda cls: cls.__name__,
)  # fmt: skip
def test_means_move_no_further_than_to_the_value(cls):
    """A time constant below a tick would overshoot, and below half a tick blow up."""
    names = [field.name for field in dataclasses.fields(cls) if "tau" in field.name]
    assert names
    for name in names:
        with pytest.raises(ValueError, match=rf"{name} must be at least 1, got 0\.5"):
            cls(**{name: 0.5})
        space = cls().space()[name]
        assert space.from_search(jnp.asarray(-100.0)) >= 1
        assert getattr(cls(**{name: 1.0}), name) == 1 and space.fixed(1.0)


def test_wrappers_need_and_use_what_is_in_them():
    inner = rules.NodePerturbation()
    assert inner.needs == {"reward", "noise"}
    assert rules.Bounded(rules.RunningScale(inner)).needs == inner.needs
    assert rules.Normalised(rules.Delta()).uses == {"norm", "energy"}
    assert rules.DifferentiablePlasticity(modulated=True).needs == {"reward"}
    assert not rules.DifferentiablePlasticity().needs and not rules.RFLO().needs
    assert hebbian.GeneralHebbian(("pre reward", "reward^2 post")).needs == {"reward"}
    assert not hebbian.GeneralHebbian(("pre reward", "post")).needs


def test_wrappers_refuse_a_field_in_two_forms():
    two = rules.Normalised(rules.Oja())
    assert rules.Normalised(two).uses == {"norm"}
    with pytest.raises(ValueError, match="norm and norm1 fill the same field.*this Normalised"):
        rules.Normalised(two, order=1)
    with pytest.raises(ValueError, match="norm and norm1"):
        rules.Normalised(rules.Bounded(two), order=1)

    @dataclasses.dataclass(frozen=True)
    class Predictive(rules.Wrapper):
        @property
        def uses(self):
            return super().uses | {"shifted"}

    assert Predictive(rules.ShiftedHPCA()).uses == {"shifted"}
    for other in (rules.HPCA(), rules.HPCA(order="subspace")):
        with pytest.raises(ValueError, match="and s.* fill the same field"):
            Predictive(other)


# --- by hand -------------------------------------------------------------------------------------

SEEN = {
    "pre": 0.5, "post": 2.0, "weight": 0.25, "slope": 0.5, "curvature": 0.25, "leak": 0.5, "feedback": -1.0,
    "reconstruction": 0.75, "energy": 1.5, "norm": 4.0, "share": 0.5,
    "modulator": jnp.array([3.0, 1.0, 0.0]), "relayed": (10.0, 100.0),
}  # fmt: skip
BY_HAND = [  # rule, trace before, change, some of the trace after
    (rules.Hebb(eta=0.1), (), 0.1, {}),
    (rules.AntiHebb(eta=0.1), (), -0.1, {}),
    (rules.Oja(eta=0.1), (), 0.1 * 2 * (0.5 - 2 * 0.25), {}),
    (rules.Oja(eta=0.2), {}, 0.0, {}),
    (
        rules.Covariance(eta=0.1, tau=2.0),
        {"pre_mean": 0.1, "post_mean": 1.0},
        0.1 * 0.4 * 1.0,
        {"pre_mean": 0.3, "post_mean": 1.5},
    ),
    (rules.BCM(eta=0.1, tau=2.0), {"threshold": 1.0}, 0.1 * 0.5 * 2 * 1, {"threshold": 2.5}),
    (rules.BCM(eta=0.1, divide=True), {"threshold": 1.0}, 0.1 / 1.01, {}),
    (rules.HPCA(eta=0.1), (), 0.1 * 2 * (0.5 - 0.75), {}),
    (rules.ShiftedHPCA(eta=0.1), {"post_before": 3.0}, 0.3 * -0.25, {"post_before": 2.0}),
    (rules.Competitive(eta=0.1), (), 0.1 * 0.5 * 0.25, {}),
    (
        rules.STDP(a_plus=0.1, a_minus=0.2, tau_plus=2.0, tau_minus=4.0),
        {"pre_mean": 0.1, "post_mean": 1.0},
        0.1 * 0.1 * 2 - 0.2 * 0.5 * 1.0,
        {"pre_mean": 0.3, "post_mean": 1.25},
    ),
    (rules.ABCD(eta=0.1, a=1.0, b=2.0, c=-3.0, d=4.0), (), 0.1 * (1 + 1 - 6 + 4), {}),
    (
        rules.ThreeFactor(eta=0.1, decay=0.5),
        {"eligibility": 1.0},
        0.1 * 3 * 1.5,
        {"eligibility": 1.5},
    ),
    (
        rules.NodePerturbation(eta=0.1, tau=2.0, reward_tau=4.0),
        {"eligibility": 1.0, "post_mean": 0.0, "reward_mean": 1.0},
        0.1 * (3 - 1) * (1 + 1.0),
        {"eligibility": 0.0, "post_mean": 1.0, "reward_mean": 1.5},
    ),
    (rules.Delta(eta=0.1, eps=0.5), (), 0.1 * 0.5 * -1 / 2.0, {}),
    (rules.Delta(eta=0.1, normalised=False), (), -0.05, {}),
    (rules.FeedbackAlignment(eta=0.1), (), -0.025, {}),
    (rules.RFLO(eta=0.1), {"eligibility": 1.0}, -0.1 * (0.5 + 0.125), {"eligibility": 0.625}),
    (
        rules.RFLO(eta=0.1, relays=2),
        {"eligibility": 1.0, "eligibility_1": 2.0},
        0.1 * (-0.625 + 1.0 * 10 + 2.0 * 100),
        {"eligibility": 0.625, "eligibility_1": 1.0},
    ),
    (
        rules.EProp(eta=0.1, kappa=0.5, beta=0.5, rho=0.75),
        {"voltage": 1.0, "adaptation": 0.5, "filtered": 1.0},
        # voltage 0.75, eligibility 0.5 (0.75 - 0.25), filtered 0.5 + 0.125
        -0.1 * 0.625,
        {"voltage": 0.75, "filtered": 0.625, "adaptation": 0.5 * 0.75 + (0.75 - 0.25) * 0.5},
    ),
    (
        rules.DifferentiablePlasticity(alpha=2.0, eta=0.1),
        {"hebbian": 3.0},
        2 * 0.1 * (1 - 3),
        {"hebbian": 2.8},
    ),
    (
        rules.DifferentiablePlasticity(alpha=2.0, eta=0.1, form="oja", modulated=True),
        {"hebbian": 1.0},
        2 * 0.3 * 2 * (0.5 - 2.0),
        {"hebbian": 1 + 0.3 * 2 * -1.5},
    ),
    (rules.Zero(), (), 0.0, {}),
    (rules.Decayed(rules.Hebb(eta=0.1), decay=0.2), {"rule": ()}, 0.1 - 0.05, {}),
    (
        rules.Settling(
            rules.Hebb(eta=0.1), patience=2.0, boldness=8.0, agreement=0.5, window=4.0, forget=0.25
        ),
        {"use": 1.0, "recent": 1.0, "rule": ()},
        0.1 / (1 / 8 + 1.25 / 2),  # the push is -0.5, the curvature 1/4
        {"use": 0.75 + 0.25 + 0.25, "recent": 1 - 0.5 - 0.25},
    ),
    (rules.Bounded(rules.Hebb(eta=1.0), bound=0.5), {"rule": ()}, 0.25, {}),
    (rules.Bounded(rules.Hebb(eta=0.2), bound=0.5, form="soft"), {"rule": ()}, 0.1, {}),
    (rules.Bounded(rules.AntiHebb(eta=0.2), bound=0.5, form="soft"), {"rule": ()}, -0.2, {}),
    (rules.Normalised(rules.Zero(), target=1.0, strength=0.5), {"rule": ()}, 0.5 * 0.25 * -0.5, {}),
    (rules.Normalised(rules.Zero(), strength=1.0, order=1), {"rule": ()}, 0.25 * -0.75, {}),
    (
        rules.FastSlow(rules.Hebb(eta=0.1), fast_gain=1.0, slow_gain=0.5, decay=0.25),
        {"fast": 1.0, "rule": ()},
        0.1 - 0.25 + 0.05,
        {"fast": 0.85},
    ),
    (
        rules.Homeostatic(rules.Zero(), gain=0.1, target=0.5, tau=2.0),
        {"activity": 1.0, "rule": ()},
        0.1 * 0.25 * (0.5 - 2.5),
        {"activity": 2.5},
    ),
    (  # at birth both corrections undo the means' start: the change is eta times the sign of g
        rules.RunningScale(rules.Hebb(eta=0.1), eta=0.3, eps=1e-9, power=0.0),
        {"mean": 0.0, "square": 0.0, "rule": ()},
        0.3,
        {"mean": 0.01, "square": 1e-5},
    ),
    (written.Written("0.1 * post * (pre - weight) / energy"), (), 0.1 * 2 * 0.25 / 1.5, {}),
    (written.Written("pre * feedback / (curvature * energy)"), (), -0.5 / (0.25 * 1.5), {}),
]


@pytest.mark.parametrize("rule, trace, change, after", BY_HAND, ids=lambda x: type(x).__name__)
def test_by_hand(rule, trace, change, after):
    moved, new = rule.update(rule.init(), trace, synapse(**SEEN))
    assert float(moved) == pytest.approx(change, rel=1e-5, abs=1e-7)
    for name, value in after.items():
        assert float(new[name]) == pytest.approx(value, rel=1e-4), name


def test_by_hand_leaves_out_no_rule():
    without = {"general_hebbian", "mlp"}  # test_hebbian; below
    done = {type(case[0]) for case in BY_HAND}
    missing = {n for n, cls in {**RULES, **WRAPPERS}.items() if cls not in done}
    assert missing == without


def test_mlp_is_the_network_it_says():
    rule = rules.MLP(hidden=3, fields=("pre", "weight"), scale=0.5, decay=0.25)
    theta = rule.init(jax.random.key(1))
    change, trace = rule.update(theta, {"memory": 2.0}, synapse(**SEEN))
    out = np.asarray(theta["outer"]) @ np.tanh(np.asarray(theta["inner"]) @ [0.5, 0.25, 2.0, 1.0])
    assert float(change) == pytest.approx(0.5 * out[0], rel=1e-5)
    assert float(trace["memory"]) == pytest.approx(0.5 + out[1], rel=1e-5)


def test_running_scale_is_adam():
    import optax

    rule = rules.RunningScale(rules.Hebb(eta=1.0), eta=0.01, beta1=0.8, beta2=0.9, power=0.0)
    theta, trace, adam = rule.init(), rule.init_trace(), optax.adam(0.01, 0.8, 0.9, eps=1e-6)
    state = adam.init(jnp.zeros(()))
    for tick, g in enumerate([0.3, -2.0, 0.001, 0.5, -0.7]):
        change, trace = rule.update(theta, trace, synapse(pre=g, post=1.0, age=float(tick)))
        update, state = adam.update(jnp.asarray(-g), state)
        assert float(change) == pytest.approx(float(update), rel=1e-4)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_settling_follows_what_moves_and_averages_what_is_noisy(noise):
    """A weight that tracks a target: quick where the target is exact, calm where it is noisy."""

    def life(rule, target):
        theta = rule.init()

        def step(carry, wanted):
            weight, trace = carry
            seen = synapse(pre=1.0, weight=weight, feedback=wanted - weight, curvature=1.0)
            change, trace = rule.update(theta, trace, seen)
            return (weight + change, trace), weight

        start = (jnp.zeros(()), rule.init_trace())
        return np.asarray(jax.lax.scan(step, start, target)[1])

    plain = rules.Delta(eta=0.5, normalised=False)
    settling = rules.Settling(plain, patience=1.0, agreement=1.0, window=50.0, forget=0.0)
    draws = noise * np.random.default_rng(0).standard_normal(2000)
    target = jnp.asarray(1.0 + draws, jnp.float32)
    error, error_plain = (life(rule, target) - 1.0 for rule in (settling, plain))
    if noise:
        assert error_plain[1000:].std() > 0.4
        assert error[1000:].std() < 0.1 * error_plain[1000:].std()
    else:
        assert abs(error[20:]).max() < 1e-3


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.0, 5.0))
def test_bounds_hold(weight, drive, bound):
    for form in ("clip", "soft"):
        rule = rules.Bounded(rules.Hebb(eta=1.0), bound=bound + 0.01, form=form)
        change, _ = rule.update(
            rule.init(), rule.init_trace(), synapse(pre=drive, post=2.0, weight=weight)
        )
        assert abs(weight + float(change)) <= bound + 0.01 + 1e-5


def test_formulas_are_the_rules():
    assert rules.Oja(eta=0.5).formula() == "change = 0.5 * post * (pre - post * weight)"
    assert "relayed_2" in rules.RFLO(relays=2).formula()
    assert "energy" not in rules.Delta(normalised=False).formula()
    assert "0.01)" in rules.BCM(divide=True).formula()
    theta = rules.Oja().init() | {"eta": jnp.array([0.25, 0.5])}
    assert "[0.25, 0.5]" in rules.Oja().formula(theta)
    lines = rules.Decayed(rules.Covariance(eta=0.5), decay=0.125).formula().split("\n")
    assert lines[0] == "change = inner - 0.125 * weight"
    assert lines[1].startswith("inner = 0.5 * (pre - pre_mean)")


@pytest.mark.parametrize(
    "rule",
    [rules.Hebb(eta=0.5), rules.AntiHebb(eta=0.5), rules.Oja(eta=0.5), rules.HPCA(eta=0.5),
     rules.Competitive(eta=0.5), rules.ABCD(eta=0.5, a=1.5, b=-2.0, c=0.25, d=-0.5), rules.Zero(),
     rules.Delta(eta=0.5, eps=0.25), rules.Delta(eta=0.5, normalised=False),
     rules.FeedbackAlignment(eta=0.5),
     hebbian.GeneralHebbian(("pre post", "post^2 weight", "1", "reward"), (1.5, -0.5, -0.25, 2.0))],
    ids=lambda rule: type(rule).__name__,
)  # fmt: skip
def test_formulas_of_rules_without_memory_are_their_code(rule):
    left, text = rule.formula().split(" = ", 1)
    assert left == "change"
    parsed = written.Written(text)
    view = testing.random_synapses(jax.random.key(3), (50,))
    theta = jax.tree.map(lambda x: x[..., None], rule.init())
    expected, _ = rule.update(theta, (), view)
    np.testing.assert_allclose(
        jnp.broadcast_to(parsed.update({}, (), view)[0], (50,)), expected, rtol=1e-5, atol=1e-6
    )


MEMORIES = [  # rule, traces that the change reads as they are after the tick
    (rules.Covariance(eta=0.5, tau=4.0), ()),
    (rules.BCM(eta=0.5, tau=4.0), ()),
    (rules.ShiftedHPCA(eta=0.5), ()),
    (rules.STDP(a_plus=0.5, a_minus=0.25, tau_plus=4.0, tau_minus=2.0), ()),
    (rules.ThreeFactor(eta=0.5, decay=0.75), ("eligibility",)),
    (rules.NodePerturbation(eta=0.5, tau=4.0, reward_tau=2.0), ()),
    (rules.RFLO(eta=0.5), ("eligibility",)),
    (rules.EProp(eta=0.5, kappa=0.25, beta=-0.5, rho=0.75), ("filtered",)),
    (rules.DifferentiablePlasticity(alpha=2.0, eta=0.25), ()),
    (rules.DifferentiablePlasticity(alpha=2.0, eta=0.25, form="oja", modulated=True), ()),
    (rules.FastSlow(rules.Oja(eta=0.5), fast_gain=0.5, slow_gain=0.25, decay=0.125), ()),
    (rules.Homeostatic(rules.Oja(eta=0.5), gain=0.5, target=0.25, tau=4.0), ("activity",)),
    (rules.Decayed(rules.HPCA(eta=0.5), decay=0.25), ()),
]


@pytest.mark.parametrize("rule, fresh", MEMORIES, ids=lambda x: type(x).__name__)
def test_formulas_of_rules_with_memory_are_their_code(rule, fresh):
    """Line by line: ``=`` names a number of this tick, ``<-`` what a trace is after it."""
    *keys, key = jax.random.split(jax.random.key(4), 9)
    view = testing.random_synapses(key, (20,))
    own = [name for name in rule.init_trace() if name != "rule"]
    trace = {name: jax.random.normal(k, (20,)) for name, k in zip(own, keys, strict=False)}
    inside = {"rule": ()} if isinstance(rule, rules.Wrapper) else {}
    theta = jax.tree.map(lambda x: x[..., None], rule.init())
    change, after = rule.update(theta, trace | inside, view)

    lines = [re.match(r"(\w+) (=|<-) (.*)", line).groups() for line in rule.formula().split("\n")]
    first, *rest = sorted(lines, key=lambda line: line[0] != "inner")
    *rest, last = sorted([first, *rest], key=lambda line: line[0] == "change")
    seen = {name: getattr(view, name) for name in written.FIELDS} | trace
    seen |= {name: view.modulator[k] for name, k in written.MODULATORS.items()}
    now = {}
    for name, sign, text in rest:
        now[name] = written.evaluate(written.parse(text), seen | now)
        assert (sign == "<-") == (name in own)
    named = {name: now[name] for name, sign, _ in rest if sign == "=" or name in fresh}
    assert {name for name, sign, _ in rest if sign == "<-"} == set(own)
    expected = written.evaluate(written.parse(last[2]), seen | named)
    np.testing.assert_allclose(change, expected, rtol=1e-4, atol=1e-6)
    for name in own:
        np.testing.assert_allclose(after[name], now[name], rtol=1e-4, atol=1e-6, err_msg=name)


# --- theorems, through a network -----------------------------------------------------------------


def feature_net(rule, num_inputs: int, num_hidden: int, **choices):
    """Inputs onto linear hidden nodes that hear nothing else; one idle output."""
    output = num_inputs + num_hidden
    hidden = range(num_inputs, output)
    edges = [(i, h) for i in range(num_inputs) for h in hidden] + [(h, output) for h in hidden]
    graph = graph_of(edges, output + 1)
    choices = {"activation": "linear", "output_rule": rules.Zero(), "teaching": "none"} | choices
    net = LoopyNetwork.for_graph(
        graph, rule, num_inputs=num_inputs, num_hidden=num_hidden, num_outputs=1, bias=False,
        loss="squared_error", feedback="none", **choices,
    )  # fmt: skip
    return net, graph


def learn_features(rule, stimuli, num_hidden: int, gain=0.3, **choices) -> np.ndarray:
    """[hidden, inputs] the weights after a stream of stimuli, mean over its last tenth."""
    num_inputs = stimuli.shape[1]
    net, graph = feature_net(rule, num_inputs, num_hidden, **choices)
    theta = net.init_theta()
    theta["innate"]["input_gain"] = jnp.asarray(gain)

    @jax.jit
    def whole(stimuli):
        wiring = net.wire(graph)
        state = net.init(jax.random.key(1), wiring, theta)

        def tick(state, stimulus):
            state, _ = net.step(theta, wiring, state, stimulus, Teaching(jnp.zeros(1), 0.0))
            return state, net.edge_values(wiring, state.weight)

        return jax.lax.scan(tick, state, stimuli)[1]

    weights = whole(stimuli)[-len(stimuli) // 10 :, : num_inputs * num_hidden]
    return np.asarray(weights.mean(0)).reshape(num_hidden, num_inputs)


def gaussian_stimuli(spectrum, ticks: int):
    """(stimuli [T, I], eigenvectors in the columns, largest first) of their second moments."""
    generator = np.random.default_rng(5)
    basis = np.linalg.qr(generator.normal(size=(len(spectrum),) * 2))[0]
    stimuli = generator.normal(size=(ticks, len(spectrum))) * np.sqrt(spectrum) @ basis.T
    _, vectors = np.linalg.eigh(stimuli.T @ stimuli / ticks)
    return jnp.asarray(stimuli, jnp.float32), vectors[:, ::-1]


def test_oja_finds_the_first_eigenvector():
    stimuli, vectors = gaussian_stimuli([2.0, 0.8, 0.5, 0.3, 0.1], 10_000)
    weight = learn_features(rules.Oja(eta=0.003), stimuli, 1)[0]
    assert np.linalg.norm(weight) == pytest.approx(1, abs=0.02)
    assert abs(weight @ vectors[:, 0]) / np.linalg.norm(weight) > 0.99


def test_hpca_finds_the_components_in_order():
    stimuli, vectors = gaussian_stimuli([3.0, 1.5, 0.7, 0.2, 0.1], 30_000)
    weight = learn_features(rules.HPCA(eta=0.002), stimuli, 3)
    norms = np.linalg.norm(weight, axis=1)
    np.testing.assert_allclose(norms, 1, atol=0.03)
    cosines = np.abs(weight @ vectors[:, :3]) / norms[:, None]
    assert (np.diag(cosines) > 0.99).all()


def test_hpca_subspace_spans_the_components():
    stimuli, vectors = gaussian_stimuli([3.0, 2.0, 1.5, 0.2, 0.1], 20_000)
    weight = learn_features(rules.HPCA(eta=0.002, order="subspace"), stimuli, 3)
    inside = np.linalg.svd(weight @ vectors[:, :3])[1]
    np.testing.assert_allclose(inside, 1, atol=0.03)  # orthonormal, and within the first three
    np.testing.assert_allclose(weight @ vectors[:, 3:], 0, atol=0.1)
    in_order = np.abs(np.diag(weight @ vectors[:, :3]))
    assert in_order.min() < 0.95  # the axes themselves it does not find: sanger's order does


def test_bcm_units_become_selective():
    num = 10
    generator = np.random.default_rng(0)
    patterns = np.linalg.qr(generator.normal(size=(num, num)))[0]
    stimuli = jnp.asarray(patterns[generator.integers(0, num, 40_000)], jnp.float32)
    weight = learn_features(rules.BCM(eta=0.003, tau=60.0), stimuli, 6, gain=1.0)
    responses = np.sort(weight @ patterns.T, axis=1)
    assert (responses[:, -1] > 5).all()  # 1 / probability of the stimulus = 10, in theory
    assert (np.abs(responses[:, :-1]) < 0.1 * responses[:, -1:]).all()


def test_competitive_units_find_the_clusters():
    generator = np.random.default_rng(2)
    centers = np.eye(4)
    which = generator.integers(0, 4, 4000)
    stimuli = jnp.asarray(centers[which] + 0.05 * generator.normal(size=(4000, 4)), jnp.float32)
    weight = learn_features(rules.Competitive(eta=0.05), stimuli, 4, gain=0.5)
    distance = np.linalg.norm(weight[:, None] - centers, axis=-1)
    won = distance.min(1) < 0.1
    assert won.sum() >= 2  # units that never win stay where they were
    assert len(set(distance[won].argmin(1))) == won.sum()


def test_covariance_without_means_is_hebb():
    views = [testing.random_synapses(jax.random.key(k), (20,)) for k in range(5)]
    slow, hebb = rules.Covariance(eta=0.1, tau=1e12), rules.Hebb(eta=0.1)
    trace = slow.init_trace()
    for view in views:
        change, trace = slow.update(slow.init(), trace, view)
        np.testing.assert_allclose(change, hebb.update(hebb.init(), (), view)[0], rtol=1e-6)


def test_nlms_removes_the_whole_error_in_one_step():
    net, graph = small(
        rules.Zero(), output_rule=rules.Delta(eta=1.0, eps=0.0), loss="squared_error"
    )
    stimulus, target = jnp.array([1.0, -0.5, 2.0]), jnp.array([0.3, -0.7])

    @jax.jit
    def twice():
        theta, wiring = net.init_theta(), net.wire(graph)
        state = net.init(jax.random.key(0), wiring, theta)
        after, before = net.step(theta, wiring, state, stimulus, Teaching(target))
        state = state._replace(weight=after.weight)
        return before, net.step(theta, wiring, state, stimulus)[1]

    before, again = twice()
    assert float(jnp.abs(before - target).max()) > 0.05
    np.testing.assert_allclose(again, target, atol=1e-5)


def test_node_perturbation_follows_the_reward():
    """One linear node, most reward at y = 1: chance deviations and a reward find y = 1."""
    rule = rules.NodePerturbation(eta=0.3, tau=3.0, reward_tau=10.0)
    net, graph = feature_net(rule, 1, 1, noise=0.5, teaching="reward")
    theta = net.init_theta()
    theta["innate"]["input_gain"] = jnp.asarray(0.0)
    wiring = net.wire(graph)

    def tick(state, key):
        state = net.propagate(wiring, net.send(state, jnp.ones(1)), key)
        reward = jnp.exp(-((state.activity[1] - 1.0) ** 2))
        state = net.teach(theta, wiring, state, Teaching(jnp.zeros(1), 1.0, reward), key)
        return state, state.weight.hidden.reshape(-1)[0]

    state = net.init(jax.random.key(0), graph, theta)
    keys = jax.random.split(jax.random.key(1), 4000)
    weights = jax.jit(lambda: jax.lax.scan(tick, state, keys)[1])()
    assert float(weights[-1000:].mean()) == pytest.approx(1, abs=0.3)
