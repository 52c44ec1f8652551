"""Written rules: a grammar of their own, precise errors, and nothing that is ever executed."""

from __future__ import annotations

import ast
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import live, small
from hypothesis import given
from hypothesis import strategies as st

from loopymeta import rules, testing, written
from loopymeta.rules import synapse
from loopymeta.written import FIELDS, MAX_DEPTH, MAX_LENGTH, Written, parse

VALUES = {"pre": 2.0, "post": 3.0, "weight": -0.5}


def value(text: str, **fields) -> float:
    rule = Written(text)
    return float(rule.update({}, (), synapse(**(VALUES | fields)))[0])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 - 3 - 4", -5),
        ("24 / 4 / 2", 3),
        ("-pre^2", -4),
        ("(-pre)^2", 4),
        ("2 * -pre", -4),
        ("pre - -post", 5),
        ("--pre", 2),
        ("+pre", 2),
        ("2 * post^3", 54),
        ("pre^0", 1),
        ("1e-2 * .5 * 2.", 0.01),
        ("pre*post-weight/2", 6.25),
        ("max(pre, post) - min(pre, post)", 1),
        ("tanh(0) + sigmoid(0) + relu(-3) + abs(weight) + sign(weight)", 0.0),
        ("exp(0) + sin(0) + cos(0)", 2),
        ("\n pre\t+ post ", 5),
    ],
)
def test_values(text, expected):
    assert value(text) == pytest.approx(expected)


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_read(name):
    view = testing.random_synapses(jax.random.key(1), (4,))
    found = Written(f"2 * {name}").update({}, (), view)[0]
    np.testing.assert_allclose(found, 2 * getattr(view, name), rtol=1e-6)


def test_modulators_are_read():
    view = synapse(modulator=jnp.array([2.0, 3.0, 5.0]))
    found = Written("reward + 10 * rewarded + 100 * surprise").update({}, (), view)[0]
    assert float(found) == 532


def test_division_stays_finite():
    for text, expected in (
        ("1 / weight", 1e6),
        ("1 / (0 - weight)", 1e6),
        ("1 / (weight - 1e-9)", -1e6),
    ):
        assert value(text, weight=0.0) == pytest.approx(expected, rel=1e-3)
    slope = jax.grad(
        lambda w: Written("pre / weight").update({}, (), synapse(weight=w, pre=1.0))[0]
    )(0.0)
    assert math.isfinite(slope)
    assert math.isfinite(value("exp(1e9 * pre)"))


@pytest.mark.parametrize(
    "text, said",
    [
        ("pre +", r"got 'the end' at character 5"),
        ("pre post", r"expected an operator, got 'post' at character 4"),
        ("(pre", r"expected '\)', got 'the end' at character 4"),
        ("pre)", r"expected an operator, got '\)' at character 3"),
        ("pre $ post", r"got '\$' at character 4"),
        ("pre ** post", r"got '\*' at character 5"),
        ("pre^post", r"whole power from 0 to 8, got 'post' at character 4"),
        ("pre^-1", r"whole power .* got '-' at character 4"),
        ("pre^2.5", r"whole power .* at character 4"),
        ("pre^99", r"whole power .* at character 4"),
        ("2 * 1e999", r"finite number, got 1e999 at character 4"),
        ("", r"got 'the end' at character 0"),
        ("* pre", r"got '\*' at character 0"),
        ("tanh pre", r"got 'pre' at character 5"),
        ("tanh()", r"got '\)' at character 5"),
        ("max(pre)", r"max takes 2 argument"),
        ("tanh(pre, post)", r"tanh takes 1 argument"),
        ("tahn(pre)", "Did you mean 'tanh'"),
        ("pots * pre", "Did you mean 'post'"),
        ("pre.__class__", r"got '\.' at character 3"),
        ("pre; post", r"got ';' at character 3"),
        ("pre[0]", r"got '\['"),
        ("'pre'", r"got"),
    ],
)
def test_errors_say_where(text, said):
    with pytest.raises(ValueError, match=said):
        Written(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "eval(pre)",
        "lambda",
        "pre if post else 1",
        "exec",
        "modulator",
        "relayed",
    ],
)
def test_code_is_refused(text):
    with pytest.raises(ValueError):
        Written(text)


def test_only_text_is_read():
    for thing in (None, 3, ["pre"], b"pre"):
        with pytest.raises(TypeError, match="must be text"):
            Written(thing)


def test_nothing_is_executed():
    """The module holds no way to run text as code."""
    tree = ast.parse(inspect.getsource(written))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"eval", "exec", "compile", "__import__", "getattr_static", "open"}


def test_huge_and_nested_texts_are_refused_or_read():
    with pytest.raises(ValueError, match="characters"):
        Written("pre" + " " * MAX_LENGTH)
    for nested in (
        "(" * 5000 + "pre" + ")" * 5000,
        "tanh(" * 3000 + "pre" + ")" * 3000,
        "(" * 9000,
    ):
        with pytest.raises(ValueError, match="nests at most"):
            Written(nested)
    deep = MAX_DEPTH - 1
    assert value("(" * deep + "pre" + ")" * deep) == 2
    assert value("tanh(" * deep + "0" + ")" * deep) == 0
    long = 3000  # terms in a row nest nothing
    assert value("+".join(["pre"] * long)) == 2 * long
    assert value("-" * 5000 + "pre") == 2
    assert value("*".join(["1"] * long)) == 1


expressions = st.recursive(
    st.one_of(
        st.sampled_from(["pre", "post", "weight"]),
        st.floats(0.1, 3).map(lambda x: f"{x:.3f}"),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(
            lambda t: f"{t[0]}{t[1]}{t[2]}"
        ),
        inner.map(lambda x: f"-{x}"),
        inner.map(lambda x: f"({x})^2"),
    ),
    max_leaves=8,
)


@given(expressions)
def test_arithmetic_is_python_s(text):
    """On expressions that both grammars have, the value is Python's."""
    expected = eval(text.replace("^", "**"), {}, VALUES)  # of the test's own making
    assert value(text) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@given(st.text(alphabet="pre post+-*/^()1.,e2 tanhwig_", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        node = parse(text)
    except ValueError as error:
        assert str(error)
    else:
        assert isinstance(node, tuple)


def test_parameters_are_theta():
    rule = Written("eta * post * (pre - decay * weight)", eta=0.5, decay=2)
    assert rule.init().keys() == {"eta", "decay"} == rule.space().keys()
    assert rule == Written("eta * post * (pre - decay * weight)", (("eta", 0.5), ("decay", 2)))
    assert hash(rule) == hash(Written("eta * post * (pre - decay * weight)", decay=2, eta=0.5))
    assert float(rule.update(rule.init(), (), synapse(**VALUES))[0]) == pytest.approx(0.5 * 3 * 3)
    assert rule.formula() == "change = 0.5 * post * (pre - 2 * weight)"
    for text, named, said in (
        ("eta * pre", {}, "unknown name"),
        ("pre", {"eta": 1.0}, "does not occur"),
        ("pre", {"pre": 1.0}, "name of a synapse field"),
        ("eta * tanh(pre)", {"eta": math.inf}, "finite"),
    ):
        with pytest.raises(ValueError, match=said):
            Written(text, **named)
    with pytest.raises(TypeError, match="number"):
        Written("eta * pre", eta="1")


def test_uses_is_what_it_reads():
    assert Written("pre * noise + energy").uses == {"noise", "energy"}
    assert Written("pre * post").uses == frozenset()


def test_a_written_rule_lives_like_the_rule_it_writes():
    oja = live(*small(rules.Oja(eta=0.05)), ticks=20)
    text = live(*small(Written("eta * post * (pre - post * weight)", eta=0.05)), ticks=20)
    np.testing.assert_allclose(text[2], oja[2], atol=1e-6)
