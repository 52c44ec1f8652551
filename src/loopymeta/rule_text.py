"""Rules and tasks as one line of text: ``running_scale(rflo(relays=2), eta=0.003)``, and back.

For the command line and for printing. The text is parsed into a syntax tree and only calls of
registered rules (or tasks) with literal arguments are understood; nothing in it is ever executed.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from loopymeta import _validate
from loopymeta.registry import RULES, WRAPPERS
from loopymeta.rules import Rule
from loopymeta.tasks import TASKS
from loopymeta.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class _Grammar:
    """What a text may name."""

    kind: str
    known: Mapping[str, type]
    unnamed: int
    """Most arguments without a name."""


_RULES = _Grammar("rule", {**RULES, **WRAPPERS}, unnamed=1)
_TASKS = _Grammar("task", TASKS, unnamed=2)
_NAMES = {cls: name for grammar in (_RULES, _TASKS) for name, cls in grammar.known.items()}


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
    return _read(text, _RULES)


def task_from_text(text: str) -> Task:
    """The task that a line of text describes.

    Args:
      text: ``name`` or ``name(field=value, ...)``, tasks made of tasks with these as their first
        arguments.

    Raises:
      ValueError: it cannot be read, or names an unknown task or field (the nearest is suggested).

    >>> task_from_text("garbage(reversal(n=2), form='silence')").task.n
    2
    >>> task_from_text("garbage(revursal)")
    Traceback (most recent call last):
    ValueError: unknown task 'revursal'. Did you mean 'reversal'? Known: add, boolean, ...
    """
    return _read(text, _TASKS)


def _read(text: str, grammar: _Grammar) -> Any:
    try:
        return _built(ast.parse(text.strip(), mode="eval").body, text, grammar)
    except (SyntaxError, RecursionError, MemoryError) as error:
        why = getattr(error, "msg", error)  # without the place in a file that there is not
        if why == "invalid syntax":  # as of a path
            why = "invalid syntax; put texts in quotes"
        raise ValueError(f"cannot read the {grammar.kind} {text[:80]!r}: {why}") from None


def _built(node: ast.expr, text: str, grammar: _Grammar) -> Any:
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise ValueError(
            f"cannot read the {grammar.kind} {text!r}: expected a {grammar.kind}'s name"
        )
    name = call.func.id
    if name not in grammar.known:
        raise _validate.unknown(grammar.kind, name, grammar.known)
    cls = grammar.known[name]
    fields = [field.name for field in dataclasses.fields(cls)]
    order = sorted(fields, key=lambda field: field != "rule")
    if len(call.args) > min(grammar.unnamed, len(fields)):
        most = ("no arguments", "one argument", "two arguments")[min(grammar.unnamed, len(fields))]
        raise ValueError(f"{name} takes {most} without a name at most, in {text!r}")
    values: dict[str, Any] = {}
    for field, value in zip(order, call.args, strict=False):
        named = isinstance(value, ast.Name)  # what it means to name is said to be unknown
        values[field] = (_built if named else _value)(value, text, grammar)
    for keyword in call.keywords:
        if keyword.arg is None or (keyword.arg not in fields and name != "written"):
            raise _validate.unknown(f"field of {name}", keyword.arg, fields)
        if keyword.arg in values:
            raise ValueError(f"{name} is given {keyword.arg} twice, in {text!r}")
        values[keyword.arg] = _value(keyword.value, text, grammar)
    return cls(**values)


def _value(node: ast.expr, text: str, grammar: _Grammar) -> object:
    if isinstance(node, ast.Call) or (isinstance(node, ast.Name) and node.id in grammar.known):
        return _built(node, text, grammar)
    try:
        value = ast.literal_eval(node)
    except ValueError:
        given = ast.unparse(node)
        hint = "" if given in ("nan", "inf") else "; put texts in quotes"
        raise ValueError(
            f"cannot read the {grammar.kind} {text!r}: expected a number, text or a "
            f"{grammar.kind}, got {given!r}{hint}"
        ) from None
    return tuple(value) if isinstance(value, list) else value


def rule_to_text(rule: Rule) -> str:
    """One line that `rule_from_text` reads back: the rule's name and its fields.

    >>> from loopymeta.rules import Oja
    >>> rule_to_text(Oja(eta=0.1))
    'oja(eta=0.1)'
    """
    return _written(rule)


def task_to_text(task: Task) -> str:
    """One line that `task_from_text` reads back: the task's name and its fields.

    >>> from loopymeta.tasks import Caesar, Garbage
    >>> task_to_text(Garbage(Caesar(symbols=500), span=100))
    'garbage(caesar(symbols=500), span=100)'
    """
    return _written(task)


def _written(thing: Any) -> str:
    inner, parts = [], []
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        value = value.item() if isinstance(value, np.generic) else value
        if type(value) in _NAMES:
            inner.append(_written(value))
        elif field.name == "expression":
            parts.append(repr(value))
        elif field.name == "parameters":
            parts += [f"{name}={number!r}" for name, number in value]
        elif value != field.default:
            parts.append(f"{field.name}={value!r}")
    name = _NAMES[type(thing)]
    return f"{name}({', '.join(inner + parts)})" if inner or parts else name
