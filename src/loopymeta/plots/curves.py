"""Curves of training and of recall, and ladders of figures beside the controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from loopymeta import _validate
from loopymeta.plots import canvas, results
from loopymeta.plots.canvas import BLACK, BLUE, GREY, PALE, SKY, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_BEST = "best elite, over all that it has lived"


def learning_curve(
    metrics: Any,
    *,
    floor: float | None = None,
    chance: float | None = None,
    title: str = "Meta-learning: the loss from generation to generation",
    unit: str = "nats per symbol",
) -> Figure:
    """Loss against generation: the center of the search, the best elite, the population.

    One run: the band reaches from the population's median down to its minimum. Several runs: lines
    are means over runs, bands reach from the lowest to the highest run. Generations that are not
    finite are left out of the lines; those in which candidates were lost are marked.

    Args:
      metrics: columns as of metrics.csv (``generation`` and any of ``loss``, ``best``,
        ``loss_median``, ``loss_min``, ``nonfinite``), or a list of such, one a seed.
      floor: the lowest possible loss, in ``unit``.
      chance: the loss of a guess, in ``unit``.
      title: of the figure.
      unit: of the loss.

    Raises:
      ValueError: no run, no generation, no loss, or columns of different lengths.

    >>> metrics = {"generation": np.arange(3), "loss": np.array([2.0, 1.5, 1.2])}
    >>> learning_curve(metrics).axes[0].get_xlabel()
    'generation'
    """
    runs = [_columns(run) for run in (metrics if isinstance(metrics, (list, tuple)) else [metrics])]
    if not runs:
        raise ValueError("metrics must hold at least one run, got none")
    figure = canvas.blank(9.5, 5.2)
    axes = figure.subplots()
    canvas.dress(axes, title, "generation", f"loss ({unit})")
    shown = [("loss", "center of the search", VERMILLION), ("best", _BEST, BLUE)]
    if not any(name in run for run in runs for name, _, _ in shown):
        shown = [("loss_median", "median of the population", VERMILLION)]
    labels, lines, notes = [], [], []
    several = len(runs[0]["generation"]) > 1
    if len(runs) == 1 and several and {"loss_min", "loss_median"} <= runs[0].keys():
        run = runs[0]
        low, high = run["loss_min"], run["loss_median"]
        axes.fill_between(run["generation"], low, high, color=SKY, alpha=0.3, lw=0)
        notes.append("Band: the population, from its median down to its best candidate.")
    for column, text, colour in shown:
        generations, values = _aligned(runs, column)
        if not np.isfinite(values).any():
            continue
        mean = _finite(np.nanmean, values)
        good = np.isfinite(mean)
        marker = "o" if good.sum() < 3 else None
        axes.plot(generations[good], mean[good], color=colour, lw=2.4, marker=marker)
        if len(runs) > 1:
            low, high = _finite(np.nanmin, values), _finite(np.nanmax, values)
            axes.fill_between(generations, low, high, color=colour, alpha=0.18, lw=0)
        labels.append((text, mean[good][-1], colour))
        lines.append(mean[good])
    if not lines:
        raise ValueError("metrics hold no finite loss: nothing can be drawn")
    if any(text == _BEST for text, _, _ in labels):
        notes.append("An elite is lived again in every generation, so that its mean may rise.")
    if len(runs) > 1:
        notes.append(f"Lines: mean of {len(runs)} runs; bands: lowest to highest run.")
    notes += _cut(axes, lines, [value for value in (floor, chance) if value is not None])
    notes += _mark_lost(axes, runs)
    for text, value in (("floor", floor), ("chance", chance)):
        if value is not None:
            canvas.reference(axes, value)
            labels.append((text, value, BLACK))
    if floor is not None:
        notes.append("Floor: the lowest loss that anyone can reach.")
    axes.margins(x=0)
    locator: Any = axes.xaxis.get_major_locator()
    locator.set_params(integer=True)
    if all(len(line) == 1 for line in lines):
        axes.set_xticks(np.unique([run["generation"][-1] for run in runs]))
    canvas.caption(figure, " ".join(notes), 9.5)
    canvas.label_ends(axes, labels)
    return figure


def _columns(run: Any) -> dict[str, np.ndarray]:
    """The columns of one run, checked; a loss that is not finite becomes nan."""
    if not hasattr(run, "keys"):
        raise TypeError(f"metrics must be a mapping of columns, got {type(run).__name__}")
    names = list(run.keys())
    table = {str(n): np.ravel(results.numbers(run[n], f"metrics[{n!r}]")) for n in names}
    if "generation" not in table or not len(table["generation"]):
        raise ValueError(f"metrics need a generation, got the columns {', '.join(table) or 'none'}")
    if not table.keys() & {"loss", "best", "loss_median"}:
        raise ValueError(f"metrics need loss, best or loss_median, got {', '.join(table)}")
    for name, values in table.items():
        if len(values) != len(table["generation"]):
            raise ValueError(
                f"metrics[{name!r}] must have {len(table['generation'])} values, got {len(values)}"
            )
        if name != "generation":
            table[name] = np.where(np.isfinite(values), values, np.nan)
    return table


def _aligned(runs: Sequence[dict[str, np.ndarray]], column: str) -> tuple[np.ndarray, np.ndarray]:
    """All generations of any run, and the column [runs, generations], nan where a run has none."""
    generations = np.unique(np.concatenate([run["generation"] for run in runs]))
    values = np.full((len(runs), len(generations)), np.nan)
    for row, run in zip(values, runs, strict=True):
        if column in run:
            row[np.searchsorted(generations, run["generation"])] = run[column]
    return generations, values


def _finite(reduce: Callable[..., Any], values: np.ndarray) -> np.ndarray:
    """A reduction over runs that ignores nan; nan, without a warning, where all are."""
    some = np.isfinite(values).any(0)
    return np.where(some, reduce(np.where(some, values, 0.0), axis=0), np.nan)


def _cut(axes: Axes, lines: Sequence[np.ndarray], references: Sequence[float]) -> list[str]:
    """Limits the axis so that a few wild generations do not flatten all others; says if it did."""
    values = np.concatenate(lines)
    low, quartile, top = values.min(), np.quantile(values, 0.75), values.max()
    bottom = min([low, *references])
    highest = max([quartile + 5 * max(quartile - low, 1e-12), *references])
    cut = top - bottom > 4 * (highest - bottom)
    top = highest if cut else max([top, *references])
    room = 0.06 * max(top - bottom, 1e-3 * max(abs(top), 1e-3))
    axes.set_ylim(bottom - room, top + room)
    return [f"The axis is cut: the loss reached {values.max():.4g}."] if cut else []


def _mark_lost(axes: Axes, runs: Sequence[dict[str, np.ndarray]]) -> list[str]:
    """Marks the generations in which candidates were not finite, at the foot of the axes."""
    generations, lost = _aligned(runs, "nonfinite")
    total = np.nansum(lost, axis=0)
    bad = total > 0
    if not bad.any():
        return []
    axes.plot(
        generations[bad],
        np.full(bad.sum(), 0.015),
        "x",
        color=GREY,
        ms=6,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
    )
    return [f"×: generations that lost candidates ({total.sum():.0f} in all) to a loss not finite."]


# --- beside the controls -------------------------------------------------------------------------


def recall_by_presentation(
    result: Mapping[str, Any],
    *,
    ceiling: Sequence[float] | None = None,
    chance: float | None = None,
    title: str = "How much of a sequence is known the next time it is shown",
) -> Figure:
    """Recall against presentation, beside the controls and baselines (task ``memorize``).

    Args:
      result: ``{name: {"recall_by_presentation": {"mean": [...], "spread": [...], "seeds": n}}}``
        with shares in 0..1; or a result.json, which has ``about`` beside.
      ceiling: the best possible recall by presentation (default: what ``about`` says).
      chance: recall by guessing (default: what ``about`` says).
      title: of the figure.

    Raises:
      ValueError: nothing in ``result`` has a recall by presentation.
    """
    entries = results.require(result, "recall_by_presentation")
    points = max(entry.mean.size for entry in entries.values())
    x = {name: np.arange(1, entry.mean.size + 1) for name, entry in entries.items()}
    figure, axes, labels = _curves(entries, x, title)
    axes.set_xlabel("presentation of the sequence", fontsize=canvas.NORMAL)
    axes.set_xticks(np.arange(1, points + 1, max(points // 12, 1)))
    ceiling = _of(result, "ceiling", ceiling)
    if ceiling is not None:
        best = np.ravel(results.numbers(ceiling, "ceiling"))
        axes.plot(np.arange(1, best.size + 1), best, color=BLACK, lw=1.2, ls=(0, (6, 3)), zorder=1)
        labels.append(("ceiling (length unknown)", best[-1], BLACK))
    return _finish_curves(figure, axes, entries, labels, result, chance)


def recall_curve(
    result: Mapping[str, Any],
    *,
    sequences_per_point: float | None = None,
    chance: float | None = None,
    title: str = "Recall while the lifetime goes on",
) -> Figure:
    """Recall against sequences seen, beside the controls and baselines (task ``reversal``).

    Args:
      result: as for `recall_by_presentation`, with ``recall_curve``.
      sequences_per_point: sequences that each point is the mean of (default: what ``about``
        says; else the axis counts points).
      chance: recall by guessing (default: what ``about`` says).
      title: of the figure.

    Raises:
      ValueError: nothing in ``result`` has a recall curve.
    """
    entries = results.require(result, "recall_curve")
    each = _of(result, "sequences_per_point", sequences_per_point)
    if each is not None:
        _validate.positive("sequences_per_point", each)
    step = each or 1.0
    # A point is the mean of the sequences up to its place: it stands in their middle.
    x = {name: (np.arange(e.mean.size) + 0.5) * step for name, e in entries.items()}
    figure, axes, labels = _curves(entries, x, title)
    axes.set_xlabel("sequences seen" if each else "part of the lifetime", fontsize=canvas.NORMAL)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlim(left=0)
    return _finish_curves(figure, axes, entries, labels, result, chance)


def _of(result: Mapping[str, Any], name: str, given: Any) -> Any:
    """What was given, or else what the result says."""
    value = results.about(result).get(name) if given is None else given
    return None if isinstance(value, Mapping) else value


def _curves(entries: Mapping[str, results.Entry], x: Mapping[str, np.ndarray], title: str) -> Any:
    """Lines with bands of their spread, on an axis of shares; and the labels for their ends."""
    figure = canvas.blank(9.5, 5.2)
    axes = figure.subplots()
    canvas.dress(axes, title, "", "recall (symbols predicted right)")
    styles, labels = results.styles(entries), []
    for name, entry in entries.items():
        mean, style = np.ravel(entry.mean), styles[name]
        marker = style.marker if mean.size <= 20 else None
        axes.plot(
            x[name], mean, color=style.colour, ls=style.dashes, lw=style.width, marker=marker, ms=7,
            zorder=4 if name == "learned" else 3,
        )  # fmt: skip
        if entry.spread is not None:
            low, high = mean - entry.spread, mean + entry.spread
            band = (low.clip(0), high.clip(max=1))
            faint = 0.06 if name in canvas.CONTROLS else 0.15  # they often lie on one another
            axes.fill_between(x[name], *band, color=style.colour, alpha=faint, lw=0)
        known = np.isfinite(mean)
        if known.any():
            labels.append((results.spoken(name), mean[known][-1], style.colour))
    return figure, axes, labels


def _finish_curves(
    figure: Figure,
    axes: Axes,
    entries: Mapping[str, results.Entry],
    labels: list[Any],
    result: Mapping[str, Any],
    chance: float | None,
) -> Figure:
    from matplotlib.ticker import PercentFormatter

    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    chance = _of(result, "chance", chance)
    if chance is not None:
        canvas.reference(axes, float(chance))
        labels.append(("chance", float(chance), BLACK))
    if any(entry.spread is not None for entry in entries.values()):
        spread = results.spread_of(result, entries.values())
        canvas.caption(figure, f"Lines: means; bands: {spread}.", 9.5)
    canvas.label_ends(axes, labels)
    return figure


_COLUMNS = {
    "prequential_nats": "While learning\n(one pass, predicted before shown)",
    "test_nats": "Test\n(held out, nothing is taught)",
    "dev_nats": "Development\n(held out, nothing is taught)",
    "held_out_nats": "Held out\n(held out, nothing is taught)",
    "loss": "Over the whole lifetime",
}


def ladder(
    result: Mapping[str, Any],
    key: str | Sequence[str] = ("prequential_nats", "test_nats"),
    *,
    references: Mapping[str, float] | None = None,
    title: str = "The ladder: the lower, the better it predicts",
    unit: str = "nats per symbol",
) -> Figure:
    """A row for what was meta-learned, each control and each baseline, with its number and spread.

    Args:
      result: ``{name: {metric: {"mean": m, "spread": s, "per_seed": [...]}}}``, or a result.json.
      key: the metric, or several, one a column; what has none of them is left out.
      references: vertical lines by name, in ``unit``, such as ``{"uniform": 3.296}``.
      title: of the figure.
      unit: of the metrics.

    Raises:
      ValueError: nothing in ``result`` has any of the metrics.

    >>> result = {"learned": {"test_nats": 2.10}, "bigram": {"test_nats": 2.46}}
    >>> len(ladder(result, "test_nats").axes)
    1
    """
    keys = [key] if isinstance(key, str) else list(key)
    columns = {k: results.read(result, k) for k in keys}
    columns = {k: found for k, found in columns.items() if found}
    if not columns:
        results.require(result, keys[0] if keys else "")
    for metric, found in columns.items():
        for name, entry in found.items():
            if entry.mean.ndim:
                raise ValueError(f"{name}.{metric} must be one number, got {entry.mean.shape}")
    last = list(columns.values())[-1]
    names = list(dict.fromkeys(name for found in columns.values() for name in found))
    firsts = {name: next(f[name] for f in columns.values() if name in f).mean for name in names}
    worth = {name: float(last[name].mean if name in last else firsts[name]) for name in names}
    names.sort(key=lambda name: (not math.isfinite(worth[name]), worth[name]))
    width, height = 4.2 + 4.1 * len(columns), 2.2 + 0.42 * len(names)
    figure = canvas.blank(width, height)
    all_axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    left, high, right = _ladder_range(columns.values(), references or {})
    for axes, (metric, found) in zip(all_axes, columns.items(), strict=True):
        canvas.dress(axes, "", unit)
        axes.set_title(
            _COLUMNS.get(metric, results.spoken(metric)), fontsize=canvas.NORMAL, loc="left"
        )
        axes.set_xlim(left, right)
        for text, value in (references or {}).items():
            if left < value < right:
                axes.axvline(value, color=BLACK, lw=1, ls=(0, (1, 2)), zorder=1)
                axes.text(value, -0.7, f" {text}", fontsize=canvas.SMALL, va="center")
        _draw_rungs(axes, names, found, high, right)
    places = np.arange(len(names))
    all_axes[0].set_yticks(places, [results.spoken(name) for name in names], fontsize=canvas.NORMAL)
    all_axes[0].set_ylim(len(names) - 0.4, -1.0 if references else -0.6)
    for name, label in zip(names, all_axes[0].get_yticklabels(), strict=True):
        label.set_weight("bold" if name == "learned" else "normal")
    canvas.heading(figure, title, width)
    entries = [entry for found in columns.values() for entry in found.values()]
    if any(entry.spread is not None for entry in entries):
        canvas.caption(figure, f"Dots: means; {results.spread_of(result, entries)}.", width)
    return figure


def _ladder_range(
    columns: Iterable[Mapping[str, results.Entry]], references: Mapping[str, float]
) -> Any:
    """Limits of the axis, and where the room for numbers begins; far outliers are beyond it."""
    entries = [entry for found in columns for entry in found.values()]
    values = np.array([float(entry.mean) for entry in entries])
    ends = values + [0.0 if entry.spread is None else float(entry.spread) for entry in entries]
    values = np.concatenate([values[np.isfinite(values)], list(references.values())])
    if not len(values):
        return 0.0, 0.5, 1.0
    low = values.min()
    reach = max(6 * (np.median(values) - low), 1e-3 * abs(low), 1e-9)
    high = max(
        values[values <= low + reach].max(), ends.max(initial=low, where=ends <= low + reach)
    )
    span = max(high - low, 0.02 * abs(high), 1e-9)
    return low - 0.08 * span, high, high + 0.5 * span


def _draw_rungs(
    axes: Axes, names: Sequence[str], found: Mapping[str, results.Entry], high: float, right: float
) -> None:
    left = axes.get_xlim()[0]
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for place, name in enumerate(names):
        colour = BLUE if name == "learned" else GREY if name in canvas.CONTROLS else BLACK
        if name not in found:
            axes.text(0.02, place, "not measured", fontsize=canvas.SMALL, color=GREY, va="center",
                      transform=axes.get_yaxis_transform())  # fmt: skip
            continue
        entry = found[name]
        mean = float(entry.mean)
        spread = None if entry.spread is None else float(entry.spread)
        text = f"{mean:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
        if not math.isfinite(mean) or mean > right:
            text = f"{text} →" if math.isfinite(mean) else "not finite"
            axes.annotate(text, (1, place), xycoords=("axes fraction", "data"), ha="right",
                          va="center", fontsize=canvas.SMALL + 1, color=colour)  # fmt: skip
            continue
        if entry.per_seed is not None and entry.per_seed.ndim == 1:
            seeds = entry.per_seed[np.isfinite(entry.per_seed)]
            axes.scatter(seeds, np.full(len(seeds), place), s=14, color=colour, alpha=0.35, lw=0)
        axes.hlines(place, left, mean, color=PALE, lw=1.5, zorder=1)
        axes.errorbar(
            mean, place, xerr=spread, fmt="o", color=colour, ms=9, elinewidth=2, capsize=3
        )
        edge = mean + (spread or 0.0)
        weight = "bold" if name == "learned" else "normal"
        look: Any = {"fontsize": canvas.SMALL + 1, "weight": weight, "textcoords": "offset points"}
        if edge <= high:
            axes.annotate(text, (edge, place), xytext=(9, 0), va="center", **look)
        else:  # no room behind so wide a spread: the number stands on it
            text += " →" if edge > right else ""
            look |= {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
            axes.annotate(text, (1, place), xytext=(0, 5), **look)
