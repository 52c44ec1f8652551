"""The figure of a sweep: what matters, and how the loss depends on each parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from loopymeta.plots import canvas
from loopymeta.plots.canvas import BLACK, BLUE, GREY, PALE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from loopymeta.sweep.space import Varied

PANELS = 12
"""Parameters that have a panel, the most important ones; the others have a bar."""
COLUMNS = 4
_CHARS = 22
"""Letters of a value that is written at an axis."""


def importance(
    rows: Sequence[Mapping[str, Any]],
    varied: Mapping[str, Varied],
    matters: Mapping[str, tuple[float, float]],
    result: Mapping[str, Any],
) -> Figure:
    """What matters, beside the loss of every point over each parameter.

    Args:
      rows: the points, see `loopymeta.sweep.points`.
      varied: what varied.
      matters: {name: (share, share by chance)}, the largest first; empty where too few points were
        lived to say.
      result: the content of best.json.
    """
    order = [*matters, *(name for name in varied if name not in matters)]
    shown = order[:PANELS]
    columns = min(COLUMNS, len(shown))
    lines = math.ceil(len(shown) / columns)
    bars = 3.6 if matters else 0.0
    width, height = bars + 2.9 * columns, max(2.5 * lines, 0.36 * len(order) + 1.0) + 1.5
    figure = canvas.blank(width, height)
    canvas.heading(figure, _title(result), width)
    right: Any = figure
    if matters:
        parts: Any = figure.subfigures(1, 2, width_ratios=[bars, width - bars])
        right = parts[1]
        _draw_bars(parts[0].subplots(), matters)
    grid = np.atleast_1d(right.subplots(lines, columns, sharey=True, squeeze=False)).ravel()
    scale = _scale(rows)
    for axes, name in zip(grid, shown, strict=False):
        _draw_panel(axes, varied[name], rows, result, scale)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for axes in grid[: len(shown) : columns]:
        axes.set_ylabel("loss", fontsize=canvas.NORMAL)
    canvas.caption(figure, _told(rows, matters, result, order), width)
    return figure


def _title(result: Mapping[str, Any]) -> str:
    fresh, before = result["fresh"], result["before"]
    there = f"before {_with_error(before)}" if "mean" in before else "before impossible"
    return f"Best of {result['points']} points {_with_error(fresh)}, {there}"


def _with_error(entry: Mapping[str, Any]) -> str:
    error = float(entry["standard_error"])
    return f"{entry['mean']:.3f}" + (f" ± {error:.3f}" if math.isfinite(error) else "")


def _told(
    rows: Sequence[Mapping[str, Any]],
    matters: Mapping[str, Any],
    result: Mapping[str, Any],
    order: Sequence[str],
) -> str:
    states = result["states"]
    subject = "learner" if "learner" in result else "network"
    counts = ", ".join(
        f"{states[s]} {s}" for s in ("complete", "pruned", "impossible") if s in states
    )
    text = (
        f"{counts}. Loss: mean over the tasks ({len(result['scale'])}), 0 is the floor and 1 the "
        "best constant guess; black: medians, pruned points as the worst. In the title: mean ± "
        f"standard error on {result['lifetimes']} fresh lifetimes a task, by which nothing was "
        f"chosen; before is the {subject} that the sweep began with."
    )
    if matters:
        text += (
            " Share: PED-ANOVA, how far the best tenth of the points lies elsewhere than the rest; "
            "grey: 95 of 100 sweeps in which nothing matters stay below."
        )
    else:
        text += " Too few points were lived to say what matters."
    if len(order) > PANELS:
        text += f" {len(order) - PANELS} parameters of little weight have no panel."
    return text


def _draw_bars(axes: Axes, matters: Mapping[str, tuple[float, float]]) -> None:
    """The share of each parameter, and up to where it may be chance."""
    names = list(matters)
    places = np.arange(len(names))
    shares = np.array([matters[name][0] for name in names])
    chance = np.array([matters[name][1] for name in names])
    axes.barh(places, chance, height=0.8, color=PALE, zorder=1)
    axes.barh(places, shares, height=0.45, color=BLUE, zorder=2)
    axes.set_yticks(places, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, max(1.05 * shares.max(initial=0), min(1.05 * chance.max(initial=0), 1.0)))
    canvas.dress(axes, "", "share of what matters")
    axes.tick_params(axis="y", length=0)


class _Scale(NamedTuple):
    """The range of losses that all panels show; pruned points lie in a band above it."""

    low: float
    high: float
    pruned: float | None
    top: float


def _scale(rows: Sequence[Mapping[str, Any]]) -> _Scale:
    losses = [row["loss"] for row in rows if row["state"] == "complete"]
    low, high = min(losses), max(losses)
    step = (high - low) / 8 or 0.05
    pruned = any(row["state"] == "pruned" for row in rows)
    band = high + 1.6 * step if pruned else None
    return _Scale(low, high, band, (high if band is None else band) + 0.8 * step)


def _draw_panel(
    axes: Axes,
    each: Varied,
    rows: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any],
    scale: _Scale,
) -> None:
    """Loss of all points over one parameter, with the line of medians, and the best point."""
    lived = [r for r in rows if r["state"] != "impossible" and each.name in r["values"]]
    options = getattr(each, "options", None)
    value = (lambda row: options.index(row["values"][each.name])) if options else _value(each)
    x = np.array([value(row) for row in lived], float)
    complete = np.array([row["state"] == "complete" for row in lived], bool)
    # How bad a pruned point is on all tasks is not known, but that it is among the worse half.
    y = np.array([r["loss"] if r["state"] == "complete" else scale.pruned for r in lived], float)
    generator = np.random.default_rng(0)
    jitter = generator.uniform(-0.25, 0.25, len(x)) * (scale.top - scale.high) / 2
    places = x + generator.uniform(-0.2, 0.2, len(x)) if options else x
    if options:
        _name_options(axes, [_short(option) for option in options])
    shown = np.where(complete, y, y + jitter)
    axes.scatter(
        places[~complete], shown[~complete], s=14, facecolors="none", edgecolors=GREY, lw=0.8
    )
    axes.scatter(places[complete], shown[complete], s=18, color=BLUE, alpha=0.7, lw=0)
    _draw_medians(axes, each, x, y)
    for row, place in zip(lived, places, strict=True):
        if row["number"] == result["number"]:
            axes.scatter([place], [row["loss"]], s=130, marker="*", color=VERMILLION, zorder=5)
    canvas.dress(axes)
    axes.set_title(each.name, fontsize=canvas.NORMAL, loc="left")
    axes.tick_params(labelsize=canvas.SMALL)
    axes.set_ylim(scale.low - 0.4 * (scale.top - scale.high), scale.top)
    if scale.pruned is not None:
        ticks = [t for t in axes.get_yticks() if scale.low - 1e-9 <= t <= scale.high]
        axes.set_yticks([*ticks, scale.pruned], [*(f"{t:g}" for t in ticks), "pruned"])
        axes.axhline((scale.high + scale.pruned) / 2, color=PALE, lw=0.8, zorder=0)


def _name_options(axes: Axes, names: Sequence[str]) -> None:
    """The values at the axis, slanted where they are long."""
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    if max(map(len, names)) * len(names) > 18:
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")


def _value(each: Any) -> Any:
    return lambda row: float(row["values"][each.name])


def _draw_medians(axes: Axes, each: Any, x: np.ndarray, y: np.ndarray) -> None:
    """Medians: of each option, or of up to five equal parts of the points along the axis."""
    if hasattr(each, "options"):
        for place in np.unique(x):
            middle = float(np.median(y[x == place]))
            axes.plot([place - 0.3, place + 0.3], [middle] * 2, color=BLACK, lw=2, zorder=4)
        return
    if each.log:
        _draw_log_axis(axes, each)
    parts = min(5, len(x) // 4)
    if parts >= 2:
        groups = np.array_split(np.argsort(x, kind="stable"), parts)
        middles = [(np.median(x[group]), np.median(y[group])) for group in groups]
        axes.plot(*zip(*middles, strict=True), color=BLACK, lw=2, zorder=4)


def _draw_log_axis(axes: Axes, each: Any) -> None:
    """A logarithmic axis; one of less than two powers of ten has ticks at 1, 2 and 5 of each."""
    axes.set_xscale("log")
    if each.high < 100 * each.low:
        powers = range(math.floor(math.log10(each.low)), math.ceil(math.log10(each.high)) + 1)
        ticks = [part * 10.0**power for power in powers for part in (1, 2, 5)]
        ticks = [tick for tick in ticks if each.low <= tick <= each.high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)


def _short(option: Any) -> str:
    text = str(option)
    return text if len(text) <= _CHARS else text[: _CHARS - 1] + "…"
