"""Names with options as one line of text: ``lion(b1=0.95)``."""

from __future__ import annotations

import ast
from typing import Any


def call_of(text: str, kind: str) -> tuple[str, dict[str, Any]]:
    """What ``name`` or ``name(option=value, ...)`` says: the name and its options.

    The values are literals; nothing in the text is ever executed.

    Raises:
      ValueError: it cannot be read as such; ``kind`` says of what it was to be the name.

    >>> call_of("lion(b1=0.95)", "optimizer")
    ('lion', {'b1': 0.95})
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        if not isinstance(call.func, ast.Name) or call.args:
            raise SyntaxError("it is no name with options")
        if any(option.arg is None for option in call.keywords):
            raise SyntaxError("an option has no name")
        options = {str(o.arg): _value(str(o.arg), o.value) for o in call.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = getattr(error, "msg", error)  # without the place in a file that there is not
        raise ValueError(
            f"cannot read the {kind} {text[:80]!r} as name or name(option=value, ...): {why}"
        ) from None
    return call.func.id, options


def _value(option: str, node: ast.expr) -> Any:
    """The literal that an option is given."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        given = ast.unparse(node)
    if isinstance(node, ast.Name) and given not in ("nan", "inf"):
        raise SyntaxError(f"put texts in quotes: {option}={given!r}")
    raise SyntaxError(f"{option} must be a number, or a text in quotes, got {given}")
