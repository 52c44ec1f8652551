"""Meta-parameters: natural units and searched coordinates, and what a theta may not be."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import small
from hypothesis import given
from hypothesis import strategies as st

from loopymeta import rules
from loopymeta.parameters import (
    Space,
    check_theta,
    check_values,
    fraction,
    from_search,
    parameter_fields,
    rate,
    real,
    spaces,
    theta_from_json,
    theta_to_json,
    time_constant,
    to_search,
)

SPACES = [
    Space("log"),
    Space("log", 2.0),
    Space("time"),
    Space("logit", 0.5),
    Space("linear", 0.3),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
@given(st.floats(-8, 8))
def test_search_coordinates_there_and_back(space, coordinate):
    value = space.from_search(jnp.asarray(coordinate, jnp.float32))
    back = space.to_search(value)
    limit = 12 if space.kind == "logit" else np.inf  # 1 - 1e-6 and beyond is 1 in float32
    if abs(coordinate * space.scale) < limit:
        # a logit near 8 * 0.5 leaves 1 - value = 0.018, a time near -8 value - 1 = 3e-4: to eps
        assert float(back) == pytest.approx(coordinate, abs=1e-3)
    if space.kind == "log":
        assert value > 0
    if space.kind == "time":
        assert value > 1
    if space.kind == "logit":
        assert 0 < value < 1


def test_natural_values_there_and_back():
    for space, values in (
        (Space("log", 2.0), [1e-8, 1e-3, 1.0, 1e4]),
        (Space("time"), [1.5, 2.0, 20.0, 1e4]),
        (Space("logit"), [1e-4, 0.1, 0.5, 0.999]),
        (Space("linear", 0.3), [-5.0, 0.0, 2.0]),
    ):
        values = jnp.asarray(values)
        np.testing.assert_allclose(space.from_search(space.to_search(values)), values, rtol=2e-5)


def test_steps_are_what_the_kinds_say():
    assert float(Space("log").to_search(jnp.e)) == pytest.approx(1)
    assert float(Space("log", 2.0).from_search(jnp.asarray(1.0))) == pytest.approx(np.exp(2))
    assert float(Space("logit").to_search(jnp.asarray(0.5))) == 0
    assert float(Space("linear", 0.3).to_search(jnp.asarray(0.6))) == pytest.approx(2)


def test_extremes_stay_finite():
    for space in SPACES:
        far = space.from_search(jnp.array([-1e6, 1e6]))
        assert np.isfinite(far).all()
        slope = jax.grad(lambda x, space=space: space.from_search(x))(1e6)
        assert np.isfinite(slope)
    for kind, end in (("log", 0.0), ("time", 1.0), ("logit", 1.0)):
        assert np.isfinite(Space(kind).to_search(end))


def test_ends_of_a_space_are_fixed():
    assert Space("log").fixed(0.0) and not Space("log").fixed(1e-9)
    assert Space("logit").fixed(1) and Space("logit").fixed(0) and not Space("logit").fixed(0.5)
    assert Space("time").fixed(1.0) and not Space("time").fixed(1.001)
    assert not Space("linear").fixed(0.0)
    with pytest.raises(ValueError, match="Did you mean 'logit'"):
        Space("logits")


def test_trees_there_and_back():
    net, _ = small(rules.RunningScale(rules.MLP()), sharing="per_class", output_rule=rules.Delta())
    theta = net.init_theta(jax.random.key(1))
    theta = jax.tree.map(lambda x: jnp.where(x == 0, x + 0.1, x), theta)
    theta = jax.tree.map(lambda x: jnp.where(x == 1, x - 0.1, x), theta)
    back = from_search(net.space(), to_search(net.space(), theta))
    assert jax.tree.structure(back) == jax.tree.structure(theta)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), back, theta)


def test_fields_are_declared_once():
    @dataclasses.dataclass(frozen=True)
    class Own(rules.Rule):
        speed: float = rate(0.5, "how fast")
        part: float = fraction(0.25, "how much", scale=2.0)
        shift: float = real(-1.0, "where", scale=0.1)
        wait: float = time_constant(1.0, "how long")
        plain: int = 3

    assert list(parameter_fields(Own())) == ["speed", "part", "shift", "wait"]
    assert spaces(Own()) == {
        "speed": Space("log"),
        "part": Space("logit", 2.0),
        "shift": Space("linear", 0.1),
        "wait": Space("time"),
    }
    assert {k: float(v) for k, v in Own(speed=2.0).init().items()} == {
        "speed": 2.0,
        "part": 0.25,
        "shift": -1.0,
        "wait": 1.0,
    }
    assert parameter_fields(Own())["speed"].metadata["help"] == "how fast"
    with pytest.raises(ValueError, match=r"Own\.part must lie between 0 and 1, got 2"):
        Own(part=2.0)
    with pytest.raises(ValueError, match=r"Own\.wait must be at least 1, got 0.9"):
        Own(wait=0.9)
    with pytest.raises(ValueError, match=r"Own\.shift must be finite"):
        Own(shift=float("inf"))
    with pytest.raises(TypeError, match=r"Own\.speed must be a number, got '1'"):
        Own(speed="1")


TEMPLATE = {
    "rule": {"eta": jnp.asarray(0.1), "inner": jnp.zeros((2, 3))},
    "innate": {"gain": jnp.asarray(1.0)},
}


@pytest.mark.parametrize(
    "change, error, said",
    [
        (lambda t: t["rule"].pop("eta"), ValueError, r"lacks \['rule'\]\['eta'\]"),
        (lambda t: t["rule"].update(etta=1.0), ValueError, r"has \['rule'\]\['etta'\]"),
        (lambda t: t["rule"].update(eta=np.nan), ValueError, r"\['rule'\]\['eta'\] must be finite"),
        (lambda t: t["innate"].update(gain=[np.inf]), ValueError, r"\['innate'\]\['gain'\]"),
        (
            lambda t: t["rule"].update(inner=np.zeros(3)),
            ValueError,
            r"\['inner'\] must have shape \(2, 3\), got \(3,\)",
        ),
        (
            lambda t: t["rule"].update(eta="fast"),
            TypeError,
            r"\['eta'\] must be a number, got 'fast'",
        ),
    ],
)
def test_a_bad_theta_is_refused_by_name(change, error, said):
    theta = {part: dict(leaves) for part, leaves in TEMPLATE.items()}
    change(theta)
    with pytest.raises(error, match=said):
        check_theta(theta, TEMPLATE)


def test_a_theta_outside_its_space_is_refused_by_name():
    space = {
        "eta": Space("log"),
        "fade": Space("logit"),
        "tau": Space("time"),
        "a": Space("linear"),
    }
    ends = {"eta": 0.0, "fade": jnp.array([0.0, 1.0]), "tau": 1.0, "a": -3.0}
    check_values(ends, space)
    template = jax.tree.map(lambda x: jnp.ones(jnp.shape(x)), ends)
    check_theta(ends, template, space=space)
    for name, value, said in (
        ("eta", -0.1, "not be negative"),
        ("fade", jnp.array([0.5, 1.5]), "lie between 0 and 1"),
        ("tau", 0.5, "be at least 1"),
        ("a", np.nan, "be finite"),
    ):
        for check in (check_values, lambda t, s: check_theta(t, template, space=s)):
            with pytest.raises(ValueError, match=rf"theta\['{name}'\] must {said}"):
                check(ends | {name: value}, space)
    check_theta(ends | {"eta": -0.1}, template)  # without a space any number will do


def test_a_good_theta_comes_back_as_arrays():
    theta = {"rule": {"eta": 1, "inner": np.ones((2, 3), np.float64)}, "innate": {"gain": 2.0}}
    checked = check_theta(theta, TEMPLATE)
    assert jax.tree.structure(checked) == jax.tree.structure(TEMPLATE)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(checked))
    assert float(checked["rule"]["eta"]) == 1


def test_json_there_and_back():
    back = theta_from_json(theta_to_json(TEMPLATE))
    jax.tree.map(np.testing.assert_array_equal, back, TEMPLATE)
