"""Rules written as text, in a grammar of our own: parsed, never executed as code.

The grammar is that of arithmetic: numbers, ``+ - * / ^`` (whole powers), parentheses, the fields of
the `Synapse`, the modulators ``reward``, ``rewarded`` and ``surprise``, a few functions, and names
of meta-parameters.

>>> from loopymeta.written import Written
>>> print(Written("eta * post * (pre - post * weight)", eta=0.1))
change = 0.1 * post * (pre - post * weight)
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
from collections.abc import Callable
from typing import Any

from loopymeta import _validate
from loopymeta._jax import jax, jnp
from loopymeta.parameters import Space
from loopymeta.rules import REWARD, REWARDED, SURPRISE, USES, Rule, Synapse, substitute

MODULATORS = {"reward": REWARD, "rewarded": REWARDED, "surprise": SURPRISE}
FIELDS = tuple(name for name in Synapse._fields if name not in ("modulator", "relayed"))
MAX_LENGTH, MAX_DEPTH, MAX_POWER = 20_000, 50, 8

_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "tanh": (1, lambda x: jnp.tanh(x)),
    "sigmoid": (1, lambda x: jax.nn.sigmoid(x)),
    "relu": (1, lambda x: jnp.maximum(x, 0.0)),
    "abs": (1, lambda x: jnp.abs(x)),
    "sign": (1, lambda x: jnp.sign(x)),
    "exp": (1, lambda x: jnp.exp(jnp.clip(x, -20.0, 20.0))),
    "sin": (1, lambda x: jnp.sin(x)),
    "cos": (1, lambda x: jnp.cos(x)),
    "min": (2, lambda x, y: jnp.minimum(x, y)),
    "max": (2, lambda x, y: jnp.maximum(x, y)),
}

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<sign>[-+*/^(),]))"
)

Node = tuple
"""A parsed expression: (kind, value or children...)."""


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str):
        if not isinstance(text, str):
            raise TypeError(f"a written rule must be text, got {text!r} ({type(text).__name__})")
        if len(text) > MAX_LENGTH:
            raise ValueError(f"a written rule has at most {MAX_LENGTH} characters, got {len(text)}")
        self.text, self.tokens, self.place, self.depth = text, [], 0, 0
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if not found:
                at += len(text[at:]) - len(text[at:].lstrip())
                raise self._error(f"a number, a name or an operator, got {text[at]!r}", at)
            kind = str(found.lastgroup)
            self.tokens.append((kind, found[kind], found.start(kind)))
            at = found.end()
        self.tokens.append(("end", "the end", len(text)))

    def _error(self, expected: str, at: int) -> ValueError:
        return ValueError(
            f"cannot read the rule {self.text!r}: expected {expected} at character {at}"
        )

    def _take(self, sign: str) -> bool:
        kind, value, _ = self.tokens[self.place]
        if kind == "sign" and value == sign:
            self.place += 1
            return True
        return False

    def parse(self) -> Node:
        node = self.total()
        kind, value, at = self.tokens[self.place]
        if kind != "end":
            raise self._error(f"an operator, got {value!r}", at)
        return node

    def total(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"a written rule nests at most {MAX_DEPTH} levels")
        node = self.product()
        while True:
            if self._take("+"):
                node = ("+", node, self.product())
            elif self._take("-"):
                node = ("-", node, self.product())
            else:
                self.depth -= 1
                return node

    def product(self) -> Node:
        node = self.signed()
        while True:
            if self._take("*"):
                node = ("*", node, self.signed())
            elif self._take("/"):
                node = ("/", node, self.signed())
            else:
                return node

    def signed(self) -> Node:
        negative = False
        while True:
            if self._take("-"):
                negative = not negative
            elif not self._take("+"):
                break
        node = self.power()
        return ("negative", node) if negative else node

    def power(self) -> Node:
        node = self.atom()
        if self._take("^"):
            kind, value, at = self.tokens[self.place]
            if kind != "number" or not value.isdigit() or int(value) > MAX_POWER:
                raise self._error(f"a whole power from 0 to {MAX_POWER}, got {value!r}", at)
            self.place += 1
            node = ("^", node, int(value))
        return node

    def atom(self) -> Node:
        kind, value, at = self.tokens[self.place]
        if self._take("("):
            node = self.total()
            self._close()
            return node
        if kind == "number":
            number = float(value)
            if not math.isfinite(number):
                raise self._error(f"a finite number, got {value}", at)
            self.place += 1
            return ("number", number)
        if kind == "name":
            self.place += 1
            return self._call(value) if self._take("(") else ("name", value)
        raise self._error(f"a number, a name or '(', got {value!r}", at)

    def _call(self, name: str) -> Node:
        if name not in _FUNCTIONS:
            raise _validate.unknown("function", name, _FUNCTIONS)
        arguments = [self.total()]
        while self._take(","):
            arguments.append(self.total())
        self._close()
        if len(arguments) != _FUNCTIONS[name][0]:
            raise ValueError(
                f"{name} takes {_FUNCTIONS[name][0]} argument(s), "
                f"got {len(arguments)} in {self.text!r}"
            )
        return ("call", name, *arguments)

    def _close(self) -> None:
        if not self._take(")"):
            raise self._error(
                f"')', got {self.tokens[self.place][1]!r}", self.tokens[self.place][2]
            )


def parse(text: str) -> Node:
    """The syntax tree of an expression, nested tuples.

    Raises:
      ValueError: it is not an expression of the grammar; the message names the character.

    >>> parse("2 * pre")
    ('*', ('number', 2.0), ('name', 'pre'))
    """
    return _Parser(text).parse()


def names(node: Node) -> set[str]:
    """All names that an expression uses."""
    found, waiting = set(), [node]
    while waiting:  # no recursion: a sum of many terms is a deep tree
        node = waiting.pop()
        if node[0] == "name":
            found.add(node[1])
        waiting += [child for child in node[1:] if isinstance(child, tuple)]
    return found


def evaluate(node: Node, values: dict[str, Any]) -> Any:
    """The value of an expression for the ``values`` of its names; elementwise over arrays."""
    rest = []
    while node[0] in ("+", "-", "*", "/"):  # no recursion on the left: sums may have many terms
        rest.append(node)
        node = node[1]
    value = _evaluate_one(node, values)
    for kind, _, right in reversed(rest):
        value = _join(kind, value, evaluate(right, values))
    return value


def _evaluate_one(node: Node, values: dict[str, Any]) -> Any:
    """The value of an expression that is not a sum or a product."""
    kind = node[0]
    if kind == "number":
        return node[1]
    if kind == "name":
        return values[node[1]]
    if kind == "call":
        return _FUNCTIONS[node[1]][1](*(evaluate(child, values) for child in node[2:]))
    value = evaluate(node[1], values)
    if kind == "negative":
        return -value
    result = 1.0
    for _ in range(node[2]):  # a product: the derivative at 0 is finite
        result = result * value
    return result


def _join(kind: str, left: Any, right: Any) -> Any:
    if kind == "+":
        return left + right
    if kind == "-":
        return left - right
    if kind == "*":
        return left * right
    # A divisor is kept 1e-6 away from zero, on its own side.
    return left / jnp.where(jnp.abs(right) < 1e-6, jnp.where(right < 0, -1e-6, 1e-6), right)


@dataclasses.dataclass(frozen=True, init=False)
class Written(Rule):
    """A rule that a person writes as an expression; its named numbers are meta-parameters.

    Args:
      expression: the change of weight. May use every scalar field of the `Synapse`, the modulators
        ``reward``, ``rewarded``, ``surprise``, and the functions tanh, sigmoid, relu, abs, sign,
        exp, sin, cos, min, max.
      **parameters: default values of the other names in the expression; they are theta.

    Raises:
      ValueError: the text is not in the grammar, or a name in it has no value.
    """

    expression: str
    parameters: tuple[tuple[str, float], ...] = ()

    def __init__(self, expression: str, parameters: Any = (), **named: float):
        object.__setattr__(self, "expression", expression)
        pairs = {**dict(parameters), **named}
        object.__setattr__(self, "parameters", tuple(sorted(pairs.items())))
        self.__post_init__()

    def __post_init__(self) -> None:
        known = {*FIELDS, *MODULATORS}
        for name, value in self.parameters:
            if name in known or name in _FUNCTIONS:
                raise ValueError(f"parameter {name!r} has the name of a synapse field or function")
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                raise TypeError(f"parameter {name} must be a number, got {value!r}")
            if not math.isfinite(value):
                raise ValueError(f"parameter {name} must be finite, got {value}")
        given = {name for name, _ in self.parameters}
        used = names(parse(self.expression))
        if free := sorted(used - known - given):
            raise _validate.unknown("name in a written rule (or give it a value)", free[0], known)
        if idle := sorted(given - used):
            raise ValueError(f"parameter {idle[0]!r} does not occur in {self.expression!r}")

    @property
    def uses(self):
        return frozenset(names(parse(self.expression))) & frozenset(USES)

    def init(self, key=None):
        kind = jnp.result_type(float)
        return {name: jnp.asarray(float(value), kind) for name, value in self.parameters}

    def space(self):
        return {name: Space("linear", 0.3 * abs(value) or 0.1) for name, value in self.parameters}

    def update(self, theta, trace, synapse):
        values = {name: getattr(synapse, name) for name in FIELDS}
        values |= {name: synapse.modulator[index] for name, index in MODULATORS.items()}
        return evaluate(parse(self.expression), values | dict(theta)), trace

    def formula(self, theta=None):
        theta = self.init() if theta is None else theta
        return substitute(f"change = {self.expression}", theta)
