"""Reads what `loopymeta evaluate` found, and says how each learner in it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from loopymeta.plots import canvas
from loopymeta.plots.canvas import BLUE, GREY

if TYPE_CHECKING:
    pass


class Entry(NamedTuple):
    """One measured quantity: its mean, its spread over seeds, and each seed's, where known."""

    mean: np.ndarray
    spread: np.ndarray | None
    per_seed: np.ndarray | None
    seeds: int | None


def numbers(value: Any, what: str) -> np.ndarray:
    """An array of floats.

    Raises:
      TypeError: ``value`` is none.
    """
    try:
        return np.asarray(value, dtype=float)  # "nan" and "inf", as JSON has them, are read too
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be numbers, got {value!r}") from None


def _entry(value: Any, what: str) -> Entry:
    """``{"mean": ..., "spread" or "std": ..., "per_seed": [...], "seeds": n}``, or bare numbers."""
    if not isinstance(value, Mapping):
        return Entry(numbers(value, what), None, None, None)
    per_seed = value.get("per_seed")
    per_seed = None if per_seed is None else numbers(per_seed, f"{what}.per_seed")
    if "mean" in value:
        mean = numbers(value["mean"], f"{what}.mean")
    elif per_seed is not None and per_seed.ndim:
        mean = per_seed.mean(0)
    else:
        raise ValueError(f"{what} must have a mean, got {', '.join(map(str, value)) or 'nothing'}")
    spread = value.get("spread", value.get("std"))
    if spread is None and per_seed is not None and len(per_seed) > 1:
        spread = per_seed.std(0, ddof=1)
    spread = None if spread is None else numbers(spread, f"{what}.spread")
    if spread is not None and not np.isfinite(spread).any():  # of a single seed
        spread = None
    seeds = value.get("seeds", None if per_seed is None else len(per_seed))
    return Entry(mean, spread, per_seed, seeds)


def _named(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The figures of each learner: all but what the result says of itself."""
    return {name: value for name, value in result.items() if name != "about"}


def about(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a result says of itself: its task, chance, floor, ceiling."""
    said = result.get("about")
    return said if isinstance(said, Mapping) else {}


def read(result: Any, metric: str) -> dict[str, Entry]:
    """The entries of one metric, by name of what was measured; {} where nothing has it."""
    if not isinstance(result, Mapping):
        raise TypeError(f"result must be a mapping, got {result!r} ({type(result).__name__})")
    found = {}
    for name, metrics in _named(result).items():
        if isinstance(metrics, Mapping) and metrics.get(metric) is not None:
            found[name] = _entry(metrics[metric], f"{name}.{metric}")
    return found


def require(result: Any, metric: str) -> dict[str, Entry]:
    """As `read`.

    Raises:
      ValueError: nothing has the metric.
    """
    found = read(result, metric)
    if not found:
        known = sorted({m for v in _named(result).values() if isinstance(v, Mapping) for m in v})
        there = ", ".join(map(str, known)) or "nothing"
        raise ValueError(f"result has no {metric!r} of anything; it has {there}")
    return found


def spoken(name: str) -> str:
    """What a learner, a control or a metric is called in a figure."""
    return canvas.SPOKEN.get(name, str(name).replace("_", " "))


class _Style(NamedTuple):
    colour: str
    dashes: Any
    width: float
    marker: str


def styles(names: Iterable[str]) -> dict[str, _Style]:
    """Learned: blue and thick; controls: grey and dashed; what else there is: the other colours."""
    found: dict[str, _Style] = {}
    for name in names:
        if name == "learned":
            found[name] = _Style(BLUE, "-", 3.0, "o")
        elif name in canvas.CONTROLS:
            num = sum(style.colour == GREY for style in found.values())
            dashes = canvas.DASHES[num % len(canvas.DASHES)]
            found[name] = _Style(GREY, dashes, 1.8, "sv^D"[num % 4])
        else:
            num = sum(style.colour in canvas.CYCLE for style in found.values())
            colour = canvas.CYCLE[num % len(canvas.CYCLE)]
            found[name] = _Style(colour, "-", 1.8, "PX*hpd"[num % 6])
    return found


def spread_of(result: Mapping[str, Any], entries: Iterable[Entry]) -> str:
    """What ± is, and over how many."""
    kind = about(result).get("spread", "spread over seeds")
    counts = sorted({entry.seeds for entry in entries if entry.seeds and entry.spread is not None})
    number = " or ".join(f"{count:,}" for count in counts)
    return f"± {kind}".replace(" over ", f" over {number} ".replace("  ", " "))
