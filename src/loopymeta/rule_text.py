"""Rules as one line of text: ``running_scale(rflo(relays=2), eta=0.003)``, and back.

For the command line and for printing. The text is parsed into a syntax tree and only calls of
registered rules with literal arguments are understood; nothing in it is ever executed.
"""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

import numpy as np

from loopymeta import _validate
from loopymeta.registry import RULES, WRAPPERS
from loopymeta.rules import Rule

_KNOWN = {**RULES, **WRAPPERS}
_NAMES = {cls: name for name, cls in _KNOWN.items()}


def rule_from_text(text: str) -> Rule:
    """The rule that a line of text describes.

    Args:
      text: ``name`` or ``name(field=value, ...)``, wrappers with a rule as first argument; for
        `Written` the expression in quotes, then its parameters.

    Raises:
      ValueError: it cannot be read, or names an unknown rule or field (the nearest is suggested).

    >>> rule_from_text("oja(eta=0.1)")
    Oja(eta=0.1)
    >>> rule_from_text("bounded(hebb, bound=1.5)").rule
    Hebb(eta=0.01)
    """
    try:
        return _rule(ast.parse(text.strip(), mode="eval").body, text)
    except (SyntaxError, RecursionError, MemoryError) as error:
        why = getattr(error, "msg", error)  # without the place in a file that there is not
        raise ValueError(f"cannot read the rule {text[:80]!r}: {why}") from None


def _rule(node: ast.expr, text: str) -> Rule:
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise ValueError(f"cannot read the rule {text!r}: expected a rule's name")
    name = call.func.id
    if name not in _KNOWN:
        raise _validate.unknown("rule", name, _KNOWN)
    cls = _KNOWN[name]
    fields = [field.name for field in dataclasses.fields(cls)]
    values: dict[str, Any] = {}
    if len(call.args) > 1:
        raise ValueError(f"{name} takes one argument without a name at most, in {text!r}")
    if call.args:
        values["rule" if "rule" in fields else fields[0]] = _value(call.args[0], text)
    for keyword in call.keywords:
        if keyword.arg is None or (keyword.arg not in fields and name != "written"):
            raise _validate.unknown(f"field of {name}", keyword.arg, fields)
        if keyword.arg in values:
            raise ValueError(f"{name} is given {keyword.arg} twice, in {text!r}")
        values[keyword.arg] = _value(keyword.value, text)
    return cls(**values)


def _value(node: ast.expr, text: str) -> object:
    if isinstance(node, ast.Call) or (isinstance(node, ast.Name) and node.id in _KNOWN):
        return _rule(node, text)
    try:
        value = ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"cannot read the rule {text!r}: expected a number, text or a rule, got "
            f"{ast.unparse(node)!r}"
        ) from None
    return tuple(value) if isinstance(value, list) else value


def rule_to_text(rule: Rule) -> str:
    """One line that `rule_from_text` reads back: the rule's name and its fields.

    >>> from loopymeta.rules import Oja
    >>> rule_to_text(Oja(eta=0.1))
    'oja(eta=0.1)'
    """
    parts = []
    for field in dataclasses.fields(rule):
        value = getattr(rule, field.name)
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, Rule):
            parts.insert(0, rule_to_text(value))
        elif field.name == "expression":
            parts.append(repr(value))
        elif field.name == "parameters":
            parts += [f"{name}={number!r}" for name, number in value]
        elif value != field.default:
            parts.append(f"{field.name}={value!r}")
    name = _NAMES[type(rule)]
    return f"{name}({', '.join(parts)})" if parts else name
