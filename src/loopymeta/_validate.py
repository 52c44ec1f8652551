"""Checks made where an object is built; each names the argument, what was wanted and what came."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable
from typing import Any


def unknown(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not known, with the nearest known one suggested."""
    known = sorted(str(each) for each in known)
    folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.4)
    near = [folded[each] for each in near]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


def choice(name: str, value: object, options: Iterable[str]) -> None:
    """Refuses a value that is not one of ``options``."""
    options = list(options)
    if value not in options:
        raise unknown(name, value, options)


def _number(name: str, value: Any, whole: bool) -> None:
    kind = numbers.Integral if whole else numbers.Real  # numpy's numbers are of these, too
    if isinstance(value, bool) or not isinstance(value, kind):
        expected = "a whole number" if whole else "a number"
        raise TypeError(f"{name} must be {expected}, got {value!r} ({type(value).__name__})")
    if value != value:
        raise ValueError(f"{name} must be a number, got nan")


def at_least(name: str, value: Any, low: float, *, whole: bool = True) -> None:
    """Refuses a number below ``low``; ``whole`` also refuses fractions."""
    _number(name, value, whole)
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")


def positive(name: str, value: Any) -> None:
    """Refuses a number that is not above zero."""
    _number(name, value, whole=False)
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value}")


def between(name: str, value: Any, low: float, high: float) -> None:
    """Refuses a number outside [low, high]."""
    _number(name, value, whole=False)
    if not low <= value <= high:
        raise ValueError(f"{name} must lie between {low} and {high}, got {value}")
