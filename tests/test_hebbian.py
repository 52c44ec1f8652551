"""The general Hebbian form: the named rules are points of it, at every step."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import live, small, some_fast

from loopymeta import rules
from loopymeta.hebbian import (
    FACTORS,
    NAMED_TERMS,
    GeneralHebbian,
    as_general,
    parse_term,
    polynomial_terms,
)
from loopymeta.network import Innate
from loopymeta.rules import synapse

POINTS = {
    "zero": rules.Zero(),
    "hebb": rules.Hebb(eta=0.02),
    "anti_hebb": rules.AntiHebb(eta=0.02),
    "oja": rules.Oja(eta=0.03),
    "covariance": rules.Covariance(eta=0.02, tau=7.0),
    "bcm": rules.BCM(eta=0.02, tau=9.0),
    "hpca": rules.HPCA(eta=0.02),
    "hpca subspace": rules.HPCA(eta=0.02, order="subspace"),
    "abcd": rules.ABCD(eta=0.02, a=1.0, b=-0.5, c=0.25, d=0.1),
    "three_factor": rules.ThreeFactor(eta=0.02, decay=0.7),
    "delta": rules.Delta(eta=0.02, normalised=False),
    "feedback_alignment": rules.FeedbackAlignment(eta=0.02),
    "rflo": rules.RFLO(eta=0.02),
    "competitive": rules.Competitive(eta=0.02),
    "stdp": rules.STDP(a_plus=0.03, a_minus=0.02, tau_plus=4.0, tau_minus=4.0),
}
TICKS = 40
LEAKY = Innate(leak_low=0.3)  # with a leak of 1, RFLO is feedback alignment


def network(rule):
    teaching = "reward" if isinstance(rule, rules.ThreeFactor) else "error"
    return small(rule, teaching=teaching, layout="sparse", temperature=0.5, innate=LEAKY)


@functools.cache
def form_network(order: str, teaching: str):
    form = GeneralHebbian(NAMED_TERMS, order=order)
    net, graph = small(form, teaching=teaching, layout="sparse", temperature=0.5, innate=LEAKY)

    @jax.jit
    def whole(theta):
        full = net.init_theta() | {"rule": theta}
        return live(net, graph, ticks=TICKS, theta=full, reward=0.5)[1:]

    return whole


FAST = ("covariance", "rflo", "three_factor")


@pytest.mark.parametrize("name", some_fast(POINTS, FAST))
def test_a_named_rule_is_its_point_of_the_form(name, x64):
    rule = POINTS[name]
    net, graph = network(rule)
    _, predictions, weights = live(net, graph, ticks=TICKS, reward=0.5)
    form, theta = as_general(rule)
    assert weights.dtype == jnp.float64
    as_form = form_network(form.order, net.teaching)(theta)
    np.testing.assert_allclose(as_form[1], weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(as_form[0], predictions, rtol=0, atol=1e-12)
    moved = np.abs(weights[-1] - weights[0]).max()
    assert (moved > 1e-3) == (name != "zero")


def test_one_population_mixes_the_named_rules():
    mixed = [r for r in POINTS.values() if not isinstance(r, (rules.HPCA, rules.ThreeFactor))]
    mixed.append(rules.HPCA(eta=0.02, order="subspace"))
    thetas = [as_general(rule)[1] for rule in mixed]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *thetas)
    whole = form_network("all", "error")
    together = jax.vmap(whole)(stacked)[1]
    assert together.shape[0] == len(mixed)
    for theta, weights in zip(thetas, together, strict=True):
        np.testing.assert_allclose(whole(theta)[1], weights, atol=2e-5)
    ends = np.asarray(together[:, -1])
    apart = np.abs(ends[:, None] - ends[None]).max(-1) + np.eye(len(ends))
    assert apart.min() > 1e-4


def test_stdp_of_two_time_constants_is_no_point():
    with pytest.raises(ValueError, match="no point"):
        as_general(rules.STDP(tau_plus=3.0, tau_minus=5.0))
    for rule in (rules.BCM(divide=True), rules.Delta(), rules.RFLO(relays=1), rules.MLP()):
        with pytest.raises(ValueError, match="no point"):
            as_general(rule)


def test_a_missing_term_is_named():
    with pytest.raises(ValueError, match=r"Oja needs the term 'post\^2 weight'"):
        as_general(rules.Oja(), ("pre post",))


def test_terms():
    assert parse_term("post^2 weight") == ("post", "post", "weight")
    assert parse_term("1") == ()
    assert len(polynomial_terms()) == len(set(polynomial_terms())) == 81
    assert len(polynomial_terms(1, ("pre", "post"))) == 4
    assert {f for term in NAMED_TERMS for f in parse_term(term)} <= set(FACTORS)
    with pytest.raises(ValueError, match="Did you mean 'pre'"):
        parse_term("per post")
    with pytest.raises(ValueError, match="power"):
        parse_term("pre^9")


def test_the_form_refuses_what_cannot_be():
    for options in (
        {"terms": ()},
        {"terms": ("pre", "pre")},
        {"terms": ("pre", "post"), "start": (1.0, 2.0, 3.0)},
        {"order": "other"},
        {"scale": 0.0},
    ):
        with pytest.raises(ValueError):
            GeneralHebbian(**options)


def test_every_term_is_its_product():
    """Each factor is read from where it says, and a term is a product of them."""
    values = dict(zip(FACTORS, np.linspace(0.3, 1.7, len(FACTORS)), strict=True))
    seen = {n: v for n, v in values.items() if n in synapse()._fields}
    view = synapse(**seen, modulator=jnp.array([values["reward"], 0.0, 0.0]), leak=0.0)
    for term in (*NAMED_TERMS, "pre^3 post_before", "post_before"):
        rule = GeneralHebbian((term,), (2.0,), decay=1.0)
        trace = {name: values[name] for name in rule.init_trace()}
        if "hebbian" in trace:  # which counts what happens now
            trace["hebbian"] -= values["pre"] * values["post"]
        change, _ = rule.update(rule.init(), trace, view)
        expected = 2.0 * np.prod([values[f] for f in parse_term(term)])
        assert float(change) == pytest.approx(expected, rel=1e-5), term


def test_formula():
    rule = GeneralHebbian(("pre post", "1", "post^2 weight"), (0.5, 0.0, -0.25))
    assert rule.formula() == "change = 0.5 * pre * post - 0.25 * post^2 * weight"
    assert GeneralHebbian().formula() == "change = 0"
