"""Figures: what was learned, by which rule, on what graph, and what happened in one lifetime.

Every function returns a `matplotlib.figure.Figure` and touches no global state, so figures can be
made in threads, on machines without a screen and beside a program's own. `save` writes one.
`training_figures` draws all that a run folder holds.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; what matters
also differs in line style or place.
"""

from __future__ import annotations

import io
import math
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from loopymeta import _validate
from loopymeta import graph as graphs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from loopymeta._jax import Array
    from loopymeta.graph import Graph
    from loopymeta.parameters import Theta
    from loopymeta.rules import Rule

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY, PALE = "#E69F00", "#56B4E9", "#222222", "#767676", "#C8C8C8"
# What stands beside the learned rule; controls are grey, so these are free of grey.
_CYCLE = (VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
_DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
_CONTROLS = ("frozen", "shuffled", "zero", "before", "untrained")
_SPOKEN = {
    "learned": "learned rule",
    "frozen": "frozen (no plasticity)",
    "shuffled": "shuffled changes",
    "zero": "zero rule",
    "before": "before training",
    "untrained": "before training",
    "lstm": "LSTM",
    "gru": "GRU",
    "rnn": "RNN",
}
_SMALL, _NORMAL, _LARGE = 10, 12, 14  # points
_DPI = 150
_MARGIN = 0.06  # inches


# --- canvas --------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def _dress(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Titles, labels and ticks at a size for slides; no box around the data."""
    axes.set_title(title, fontsize=_LARGE, loc="left")
    axes.set_xlabel(x, fontsize=_NORMAL)
    axes.set_ylabel(y, fontsize=_NORMAL)
    axes.tick_params(labelsize=_SMALL + 1)
    axes.spines[["top", "right"]].set_visible(False)


def _caption(figure: Any, text: str, width: float) -> None:
    """A line or two below everything, wrapped to the figure's width in inches."""
    lines = textwrap.wrap(text, int(width * 72 / (_SMALL * 0.56)))
    left = _MARGIN / width
    label = figure.supxlabel(
        "\n".join(lines), fontsize=_SMALL, color="#444444", x=left, ha="left", linespacing=1.3
    )
    label.set_in_layout(True)


def _heading(figure: Any, text: str, width: float, **look: Any) -> None:
    """The title above everything, from the left edge of a figure of so many inches."""
    figure.suptitle(text, x=_MARGIN / width, ha="left", fontsize=_LARGE + 1, **look)


def _spread_out(places: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """The nearest places (least squares) that lie at least ``gap`` apart, between low and high."""
    order = np.argsort(places, kind="stable")
    blocks: list[list[float]] = []  # [sum, count] of places that are stacked on one another
    for i, place in enumerate(places[order]):
        blocks.append([place - i * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    flat = np.concatenate([np.full(int(n), total / n) for total, n in blocks])
    flat = np.clip(flat, low, max(high - (len(places) - 1) * gap, low))
    found = np.empty(len(places))
    found[order] = flat + np.arange(len(places)) * gap
    return found


def _label_ends(axes: Axes, labels: Sequence[tuple[str, float, Any]]) -> None:
    """Writes (text, y, colour) at the right edge, moved apart where they would touch."""
    labels = [entry for entry in labels if math.isfinite(entry[1])]
    if not labels:
        return
    figure: Any = axes.get_figure(root=True)
    leader: Any = {"arrowstyle": "-", "color": PALE, "lw": 0.8, "shrinkA": 0, "shrinkB": 2}
    leader["relpos"] = (0.0, 0.5)  # to where the text begins, not through it
    written = [
        axes.annotate(
            text,
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(14, 0),
            textcoords="offset points",
            color=colour,
            fontsize=_NORMAL - 1,
            va="center",
            annotation_clip=False,
            arrowprops=leader,
        )
        for text, y, colour in labels
    ]
    figure.draw_without_rendering()  # the layout decides how high the axes are
    points = 72 / figure.dpi
    box = axes.get_window_extent()
    pixels = axes.transData.transform([(axes.get_xlim()[0], y) for _, y, _ in labels])[:, 1]
    pixels = np.clip(pixels, box.y0, box.y1)
    moved = _spread_out(pixels * points, 1.35 * _NORMAL, box.y0 * points, box.y1 * points)
    for note, y, place in zip(written, pixels * points, moved, strict=True):
        note.xy = (1, axes.transData.inverted().transform((0, y / points))[1])
        note.xyann = (14, place - y)


def _reference(axes: Axes, value: float) -> None:
    """A thin horizontal line behind the data."""
    axes.axhline(value, color=BLACK, lw=1, ls=(0, (1, 2)), zorder=1)


def save(figure: Figure, path: str | os.PathLike[str], *, dpi: int = _DPI) -> Path:
    """Writes a figure to a file, atomically: .png, .pdf or .svg, as the name ends.

    Args:
      figure: from any function of this module, or any other matplotlib figure.
      path: the file; its folder must exist.
      dpi: dots an inch, for .png.

    Raises:
      ValueError: the name ends otherwise. OSError: it could not be written.
    """
    from loopymeta.checkpoint import write_atomic

    path = Path(path)
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in ("png", "pdf", "svg"):
        raise ValueError(f"path must end in .png, .pdf or .svg, got {path.name!r}")
    _validate.at_least("dpi", dpi, 1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, dpi=dpi)
    write_atomic(path, buffer.getvalue())
    return path


# --- reading results -----------------------------------------------------------------------------


class _Entry(NamedTuple):
    """One measured quantity: its mean, its spread over seeds, and each seed's, where known."""

    mean: np.ndarray
    spread: np.ndarray | None
    per_seed: np.ndarray | None
    seeds: int | None


def _numbers(value: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(value, dtype=float)  # "nan" and "inf", as JSON has them, are read too
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be numbers, got {value!r}") from None


def _entry(value: Any, what: str) -> _Entry:
    """``{"mean": ..., "spread" or "std": ..., "per_seed": [...], "seeds": n}``, or bare numbers."""
    if not isinstance(value, Mapping):
        return _Entry(_numbers(value, what), None, None, None)
    per_seed = value.get("per_seed")
    per_seed = None if per_seed is None else _numbers(per_seed, f"{what}.per_seed")
    if "mean" in value:
        mean = _numbers(value["mean"], f"{what}.mean")
    elif per_seed is not None and per_seed.ndim:
        mean = per_seed.mean(0)
    else:
        raise ValueError(f"{what} must have a mean, got {', '.join(map(str, value)) or 'nothing'}")
    spread = value.get("spread", value.get("std"))
    if spread is None and per_seed is not None and len(per_seed) > 1:
        spread = per_seed.std(0, ddof=1)
    spread = None if spread is None else _numbers(spread, f"{what}.spread")
    if spread is not None and not np.isfinite(spread).any():  # of a single seed
        spread = None
    seeds = value.get("seeds", None if per_seed is None else len(per_seed))
    return _Entry(mean, spread, per_seed, seeds)


def _named(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The figures of each learner: all but what the result says of itself."""
    return {name: value for name, value in result.items() if name != "about"}


def _about(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a result says of itself: its task, chance, floor, ceiling."""
    about = result.get("about")
    return about if isinstance(about, Mapping) else {}


def _read(result: Any, metric: str) -> dict[str, _Entry]:
    """The entries of one metric, by name of what was measured; {} where nothing has it."""
    if not isinstance(result, Mapping):
        raise TypeError(f"result must be a mapping, got {result!r} ({type(result).__name__})")
    found = {}
    for name, metrics in _named(result).items():
        if isinstance(metrics, Mapping) and metrics.get(metric) is not None:
            found[name] = _entry(metrics[metric], f"{name}.{metric}")
    return found


def _require(result: Any, metric: str) -> dict[str, _Entry]:
    found = _read(result, metric)
    if not found:
        known = sorted({m for v in _named(result).values() if isinstance(v, Mapping) for m in v})
        there = ", ".join(map(str, known)) or "nothing"
        raise ValueError(f"result has no {metric!r} of anything; it has {there}")
    return found


def _spoken(name: str) -> str:
    return _SPOKEN.get(name, str(name).replace("_", " "))


class _Style(NamedTuple):
    colour: str
    dashes: Any
    width: float
    marker: str


def _styles(names: Iterable[str]) -> dict[str, _Style]:
    """Learned: blue and thick; controls: grey and dashed; what else there is: the other colours."""
    styles: dict[str, _Style] = {}
    for name in names:
        if name == "learned":
            styles[name] = _Style(BLUE, "-", 3.0, "o")
        elif name in _CONTROLS:
            num = sum(style.colour == GREY for style in styles.values())
            styles[name] = _Style(GREY, _DASHES[num % len(_DASHES)], 1.8, "sv^D"[num % 4])
        else:
            num = sum(style.colour in _CYCLE for style in styles.values())
            styles[name] = _Style(_CYCLE[num % len(_CYCLE)], "-", 1.8, "PX*hpd"[num % 6])
    return styles


def _spread_of(result: Mapping[str, Any], entries: Iterable[_Entry]) -> str:
    """What ± is, and over how many."""
    kind = _about(result).get("spread", "spread over seeds")
    counts = sorted({entry.seeds for entry in entries if entry.seeds and entry.spread is not None})
    number = " or ".join(f"{count:,}" for count in counts)
    return f"± {kind}".replace(" over ", f" over {number} ".replace("  ", " "))


# --- learning curve ------------------------------------------------------------------------------


def learning_curve(
    metrics: Any,
    *,
    floor: float | None = None,
    chance: float | None = None,
    title: str = "Meta-learning: the rule improves from generation to generation",
    unit: str = "nats per symbol",
) -> Figure:
    """Loss against generation: the center of the search, the best rule so far, the population.

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
    figure = _figure(9.5, 5.2)
    axes = figure.subplots()
    _dress(axes, title, "generation", f"loss ({unit})")
    shown = [("loss", "center of the search", VERMILLION), ("best", "best rule so far", BLUE)]
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
    if len(runs) > 1:
        notes.append(f"Lines: mean of {len(runs)} runs; bands: lowest to highest run.")
    notes += _cut(axes, lines, [value for value in (floor, chance) if value is not None])
    notes += _mark_lost(axes, runs)
    for text, value in (("floor", floor), ("chance", chance)):
        if value is not None:
            _reference(axes, value)
            labels.append((text, value, BLACK))
    if floor is not None:
        notes.append("Floor: the lowest loss that any rule can reach.")
    axes.margins(x=0)
    locator: Any = axes.xaxis.get_major_locator()
    locator.set_params(integer=True)
    if all(len(line) == 1 for line in lines):
        axes.set_xticks(np.unique([run["generation"][-1] for run in runs]))
    _caption(figure, " ".join(notes), 9.5)
    _label_ends(axes, labels)
    return figure


def _columns(run: Any) -> dict[str, np.ndarray]:
    """The columns of one run, checked; a loss that is not finite becomes nan."""
    if not hasattr(run, "keys"):
        raise TypeError(f"metrics must be a mapping of columns, got {type(run).__name__}")
    table = {str(name): np.ravel(_numbers(run[name], f"metrics[{name!r}]")) for name in run.keys()}  # noqa: SIM118
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


# --- the rule ------------------------------------------------------------------------------------

REST = 0.25
"""What `rule_figure` takes the running means and thresholds in a synapse's memory to be."""

_AT = {
    "pre": 0.5,
    "post": 0.5,
    "weight": 0.25,
    "feedback": 0.5,
    "slope": 1.0,
    "curvature": 1.0,
    "leak": 1.0,
    "energy": 1.0,
    "norm": 1.0,
    "share": 1.0,
    "reward": 1.0,
    "rewarded": 1.0,
    "surprise": 1.0,
    "noise": 0.0,
    "life": 0.0,
}
_DERIVED = {"drive": "post", "reconstruction": "weight · post"}
# The partner of pre on the map: the first of these that the change depends on.
_PARTNERS = ("post", "feedback", "share", "weight")
_POSITIVE = {"share", "slope", "curvature", "leak", "energy", "norm", "rewarded", "surprise"}
_POSITIVE |= {"life"}
_OLD = 1e5  # ticks: the corrections for the start of a life have faded
_MAX_BARS, _MAX_OWNERS = 18, 8
_RULE_WIDTH = 11.5  # inches
_PANEL_COLOURS = (BLUE, *_CYCLE)


def _change(rule: Rule, theta: Theta, values: Mapping[str, Any]) -> np.ndarray:
    """The change of weight where the synapse sees ``values`` (see `_AT`, and names of traces)."""
    from loopymeta._jax import jnp
    from loopymeta.rules import Synapse, synapse

    values = {**_AT, **values}
    values.setdefault("drive", values["post"])
    values.setdefault("reconstruction", values["weight"] * values["post"])
    seen = {name: jnp.asarray(v) for name, v in values.items() if name in Synapse._fields}
    modulator = [jnp.asarray(values[name], float) for name in ("reward", "rewarded", "surprise")]
    blank = synapse(
        **{"age": _OLD, **seen},
        modulator=jnp.stack(jnp.broadcast_arrays(*modulator)),
        relayed=jnp.zeros(max(rule.hops, 1)),
    )
    change, _ = rule.update(theta, _memory(rule, theta, blank, values), blank)
    shape = np.broadcast_shapes(*(np.shape(v) for v in values.values()))
    return np.broadcast_to(np.asarray(change, float), shape)


def _memory(rule: Rule, theta: Theta, synapse: Any, values: Mapping[str, Any]) -> Any:
    """The synapse's traces in ordinary life: means at `REST`, mean squares as over the map."""
    trace = rule.init_trace()
    if not isinstance(trace, dict):
        return trace
    trace = dict(trace)
    for name in trace:
        if name in values:
            trace[name] = values[name]
        elif name.endswith("_mean") or name in ("threshold", "activity"):
            trace[name] = REST
        elif name == "post_before":
            trace[name] = synapse.post
    if isinstance(trace.get("rule"), (dict, tuple)) and hasattr(rule, "rule"):
        trace["rule"] = _memory(rule.rule, theta["rule"], synapse, values)
        if "square" in trace or "mean" in trace:
            wrapper: Any = rule
            inner, _ = wrapper.inner(theta, trace, synapse)
            moments = {"mean": inner, "square": (inner * inner).mean()}
            trace.update({k: v for k, v in moments.items() if k in trace and k not in values})
    return trace


def _depends(rule: Rule, theta: Theta, at: Mapping[str, Any]) -> set[str]:
    """The fields that the change depends on, by trying."""
    generator = np.random.default_rng(0)

    def draw(name: str) -> np.ndarray:
        return generator.uniform(0.2 if name in _POSITIVE else -1, 1, 64)

    base = {name: draw(name) for name in (*_AT, *_DERIVED)}
    base |= {name: value for name, value in at.items() if name not in base}
    before = _change(rule, theta, base)
    scale = max(np.abs(before[np.isfinite(before)]).max(initial=0.0), 1e-30)
    found = set()
    for name in (*_AT, *_DERIVED):
        after = _change(rule, theta, base | {name: draw(name)})
        if (np.abs(after - before) > 1e-5 * scale).any():
            found.add(name)
    return found


class _Panel(NamedTuple):
    """One rule with one theta, ready to be drawn."""

    name: str
    rule: Rule
    theta: Theta


def rule_figure(
    rule: Rule,
    theta: Theta | None = None,
    *,
    edge_class: str | Sequence[str | None] | Mapping[str, int] | None = None,
    at: Mapping[str, float] | None = None,
    across: tuple[str, str] | None = None,
    title: str | None = None,
) -> Figure:
    """The rule itself: its numbers, and the change of weight it makes over pre and post.

    Left: the coefficients of a `GeneralHebbian`, term by term, or the meta-parameters of another
    rule. Right: the change of weight in one tick as a map, red up and blue down, white where the
    weight stays. The caption states all else that the change depends on.

    Args:
      rule: any rule.
      theta: its meta-parameters (default: the rule's own); leaves may have a leading axis of
        owners (edge classes, node types, synapses), which become small multiples. Of more than 8
        nameless ones the median is drawn.
      edge_class: names of the owners: one for each (None: do not draw it), or ``{name: owner}``; a
        single name where theta has no such axis.
      at: what the synapse sees apart from the two axes, by field of the `Synapse`, ``reward``,
        ``rewarded``, ``surprise``, or name of a trace.
      across: the fields on the two axes. Default: pre, and the first of post, feedback, share
        and weight that the change depends on.
      title: of the figure.

    Raises:
      TypeError, ValueError: what is no rule, or a theta that does not fit it; unknown names.

    >>> from loopymeta.rules import Oja
    >>> [axes.get_xlabel() for axes in rule_figure(Oja()).axes if axes.get_xlabel()]
    ['value', 'pre: activity of the sender']
    """
    panels = _panels(rule, theta, edge_class)
    figure = _figure(_RULE_WIDTH, _rule_height(panels))
    _draw_rule(figure, panels, at or {}, across, title or f"The rule: {_rule_name(rule)}")
    return figure


def _panels(rule: Rule, theta: Theta | None, edge_class: Any) -> list[_Panel]:
    """The rule for each owner that is to be drawn."""
    from loopymeta.parameters import check_theta
    from loopymeta.rules import Rule

    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a Rule, got {rule!r} ({type(rule).__name__})")
    template, space = rule.init(), rule.space()
    theta = template if theta is None else theta
    num = _num_owners(template, theta)
    if num is None:
        if edge_class is not None and not isinstance(edge_class, str):
            raise ValueError("edge_class must be one name: theta has no leading axis of owners")
        return [_Panel(edge_class or "", rule, check_theta(theta, template, space=space))]
    if edge_class is None and num > _MAX_OWNERS:
        median = _map(lambda x: np.median(np.asarray(x, float), axis=0), theta)
        checked = check_theta(median, template, space=space)
        return [_Panel(f"median of {num:,} owners", rule, checked)]
    panels = []
    for name, owner in _owner_names(edge_class, num).items():
        own = check_theta(_map(lambda x, o=owner: np.asarray(x)[o], theta), template, space=space)
        panels.append(_Panel(name, rule, own))
    return panels


def _map(function: Callable[[Any], Any], theta: Theta) -> Theta:
    if isinstance(theta, Mapping):
        return {name: _map(function, value) for name, value in theta.items()}
    return function(theta)


def _leaves(theta: Theta, prefix: str = "") -> dict[str, np.ndarray]:
    """Leaves of nested dictionaries by dotted name."""
    if isinstance(theta, Mapping):
        parts = [_leaves(value, f"{prefix}{name}.") for name, value in theta.items()]
        return {name: value for part in parts for name, value in part.items()}
    return {prefix[:-1]: np.asarray(theta, float)}


def _num_owners(template: Theta, theta: Theta) -> int | None:
    """Length of the leading axis that theta has beside its template's axes, if it has one."""
    wanted, given = _leaves(template), _leaves(theta)
    owned = [k for k in wanted.keys() & given.keys() if given[k].ndim > wanted[k].ndim]
    sizes = {given[k].shape[0] for k in owned}
    if len(sizes) > 1:
        raise ValueError(f"theta's leaves must have as many owners each, got {sorted(sizes)}")
    return sizes.pop() if sizes else None


def _owner_names(edge_class: Any, num: int) -> dict[str, int]:
    if isinstance(edge_class, Mapping):
        named = dict(edge_class)
    else:
        names = [f"owner {i}" for i in range(num)] if edge_class is None else edge_class
        if isinstance(names, str) or len(names) != num:
            raise ValueError(f"edge_class must name {num} owners, got {edge_class!r}")
        named = {name: i for i, name in enumerate(names) if name is not None}
    if not named or any(not 0 <= owner < num for owner in named.values()):
        raise ValueError(f"edge_class must name owners 0 .. {num - 1}, got {named}")
    return named


def _rule_name(rule: Rule) -> str:
    name = type(rule).__name__
    return f"{name} around {_rule_name(rule.rule)}" if hasattr(rule, "rule") else name


def _rule_height(panels: Sequence[_Panel]) -> float:
    """Inches: of the formula, and of the numbers or the maps, whichever need more."""
    formula = 1.2 + 0.18 * len(_formula(panels[0], symbolic=len(panels) > 1))
    names = _names_and_rows(panels)[0]
    maps = 3.5 if len(panels) == 1 else 2.7 * -(-len(panels) // 2)
    return formula + max(maps, 0.7 + 0.27 * len(names))


def _draw_rule(
    figure: Any, panels: Sequence[_Panel], at: Mapping[str, Any], across: Any, title: str
) -> None:
    """Numbers left, maps right, formula above, caption below; into a figure or a part of one."""
    single = len(panels) == 1
    name = f" ({panels[0].name})" if single and panels[0].name else ""
    _heading(figure, title + name, _RULE_WIDTH, weight="bold")
    outer = figure.add_gridspec(2, 1, height_ratios=[0.01, 1])
    above = figure.add_subplot(outer[0])
    above.axis("off")
    lines = "\n".join(_formula(panels[0], symbolic=not single))
    left = 0.02 / _RULE_WIDTH
    look = {"fontsize": _SMALL + 1, "family": "monospace", "linespacing": 1.3}
    above.set_title(lines, loc="left", x=left, **look)
    columns = 1 if single else 2
    rows = -(-len(panels) // columns)
    widths = [1.0, 1.0] if single else [1.3, 1.0, 1.0]
    grid = outer[1].subgridspec(rows, 1 + columns, width_ratios=widths)
    _draw_numbers(figure.add_subplot(grid[:, 0]), panels)
    held = {}
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(grid[i // columns, 1 + i % columns])
        held[panel.name] = _draw_map(figure, axes, panel, at, across)
        if not single:
            colour = _PANEL_COLOURS[i % 7]
            axes.set_title(f"● {panel.name}", fontsize=_NORMAL, loc="left", color=colour)
    _caption(figure, _map_caption(held), _RULE_WIDTH)


def _map_caption(held: Mapping[str, str | None]) -> str:
    """What the maps hold fixed, said once where it is the same for all, and how to read them."""
    drawn = {name: text for name, text in held.items() if text is not None}
    if not drawn:
        return ""
    parts = [f"{name}: {text}." for name, text in drawn.items() if text]
    if len(set(drawn.values())) == 1:
        parts = [f"Held fixed: {text}." for text in set(drawn.values()) if text]
    elif parts:
        parts = ["Held fixed:", *parts]
    return " ".join([*parts, "Red: the weight grows; blue: it shrinks; black line: it stays."])


def _formula(panel: _Panel, symbolic: bool) -> list[str]:
    """The formula as at most seven lines; with names for numbers where several thetas share it."""
    try:
        blank = _map(lambda _: {}, panel.theta) if symbolic else panel.theta
        blank = {k: v for k, v in blank.items() if k == "rule"} if symbolic else blank
        text = panel.rule.formula(blank)
    except KeyError:  # a form whose text is made of its numbers
        text = "change = sum of coefficient * term" if hasattr(panel.rule, "terms") else ""
    for plain, pretty in ((" * ", " · "), ("<-", "←"), ("^2", "²"), ("^3", "³")):
        text = text.replace(plain, pretty)
    lines = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, 112, subsequent_indent="    ")
    limit = 4 if hasattr(panel.rule, "terms") else 7  # its coefficients are drawn anyway
    return lines if len(lines) <= limit else [*lines[: limit - 1], "    ..."]


def _draw_numbers(axes: Axes, panels: Sequence[_Panel]) -> None:
    first = panels[0]
    if {"inner", "outer"} <= first.theta.keys() and len(panels) == 1:
        _draw_matrix(axes, first)
        return
    names, rows, left_out = _names_and_rows(panels)
    if "coefficients" in first.theta:
        _dress(axes, "Weight of each term", "coefficient (change of weight per tick)")
    else:
        _dress(axes, "Numbers of the rule", "value")
    if not names:
        axes.axis("off")
        axes.text(0, 0.5, "This rule has no numbers.", fontsize=_NORMAL, transform=axes.transAxes)
        return
    if left_out:
        axes.set_xlabel(f"{axes.get_xlabel()}\n{left_out}", fontsize=_NORMAL)
    _draw_bars(axes, names, rows)


def _names_and_rows(panels: Sequence[_Panel]) -> tuple[list[str], np.ndarray, str]:
    """The numbers to show: their names, a row for each panel, and what is left out."""
    rule: Any = panels[0].rule
    if "coefficients" in panels[0].theta:
        names = [term.replace("^2", "²").replace("^3", "³") for term in rule.terms]
        rows = np.array([np.asarray(panel.theta["coefficients"], float) for panel in panels])
        names, rows, left_out = _largest(names, rows, sort=True)
        if rule.init_trace() and len(panels) == 1:
            memory = [f"{n} = {float(panels[0].theta[n]):.3g}" for n in ("tau", "decay")]
            left_out = "; ".join(filter(None, [left_out, f"memory: {', '.join(memory)}"]))
        return names, rows, left_out
    thetas = [_leaves(panel.theta) for panel in panels]
    names, columns = [], []
    for path in _leaves(rule.init()):  # in the order of the rule's fields
        values = np.array([theta[path] for theta in thetas])
        for index in np.ndindex(values.shape[1:]):
            names.append(_number_name(rule, path) + (str(list(index)) if index else ""))
            columns.append(values[(slice(None), *index)])
    return _largest(names, np.array(columns).T.reshape(len(thetas), len(names)), sort=False)


def _number_name(rule: Rule, path: str) -> str:
    """``rule.eta`` of a wrapper around RFLO is ``RFLO eta``."""
    while path.startswith("rule.") and hasattr(rule, "rule"):
        rule, path = rule.rule, path.removeprefix("rule.")
        if "." not in path:
            return f"{type(rule).__name__} {path}"
    return path


def _largest(names: list[str], rows: np.ndarray, sort: bool) -> tuple[list[str], np.ndarray, str]:
    """At most 18 numbers, the largest ones, coefficients of zero left out; and what that omits."""
    size = np.abs(rows).max(0)
    kept = np.flatnonzero(size > 0) if sort and (size > 0).any() else np.arange(len(names))
    zeros = len(names) - len(kept)
    if sort or len(kept) > _MAX_BARS:
        kept = kept[np.argsort(-size[kept], kind="stable")]
    smaller = kept[_MAX_BARS:]
    kept = kept[:_MAX_BARS]
    notes = [f"{zeros} equal to 0"] if zeros else []
    if len(smaller):
        notes.append(f"{len(smaller)} smaller ones, up to {size[smaller[0]]:.2g}")
    left_out = f"not shown: {', '.join(notes)}" if notes else ""
    return [names[k] for k in kept], rows[:, kept], left_out


def _draw_bars(axes: Axes, names: list[str], rows: np.ndarray) -> None:
    """Bars from zero, or dots on a logarithmic axis where positive numbers span decades."""
    positive = rows[rows > 0]
    places = np.arange(len(names), dtype=float)
    if (rows >= 0).all() and len(positive) and positive.max() > 30 * positive.min():
        _draw_dots(axes, places, rows, positive)
    elif len(rows) == 1:
        colours = np.where(rows[0] < 0, BLUE, VERMILLION)
        axes.barh(places, rows[0], 0.62, color=colours)
        axes.axvline(0, color=BLACK, lw=1)
        _write_numbers(axes, places, rows[0], rows[0])
        low, high = min(rows.min(), 0.0), max(rows.max(), 0.0)
        room = 0.45 * (high - low or 1.0)  # for the numbers beside the bars
        axes.set_xlim(low - room * (low < 0), high + room * (high > 0 or low == 0))
        axes.locator_params(axis="x", nbins=5)
    else:
        axes.axvline(0, color=BLACK, lw=1)
        for place, row, colour in _dodged(places, rows):
            axes.scatter(row, place, s=60, color=colour, zorder=3)
        axes.locator_params(axis="x", nbins=5)
    if len(rows) > 1:
        for place in places[:-1] + 0.5:
            axes.axhline(place, color="#E8E8E8", lw=1)
    axes.set_yticks(places, names, fontsize=_NORMAL if len(names) < 13 else _SMALL + 1)
    spare = max(5 - len(names), 0) / 2  # a single bar must not fill the panel
    axes.set_ylim(len(names) - 0.4 + spare, -0.6 - spare)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _dodged(places: np.ndarray, rows: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray, str]]:
    """Each row of numbers with its colour, a little above or below the others."""
    for i, row in enumerate(rows):
        yield places + (i - (len(rows) - 1) / 2) * 0.7 / len(rows), row, _PANEL_COLOURS[i % 7]


def _draw_dots(axes: Axes, places: np.ndarray, rows: np.ndarray, positive: np.ndarray) -> None:
    low, high = np.log10(positive.min()), np.log10(positive.max())
    room = 0.1 * (high - low)
    left = 10 ** (low - room)
    axes.set_xscale("log")
    axes.set_xlim(left, 10 ** (high + (2.5 if len(rows) == 1 else 1) * room))
    zeros = "; an open dot is 0" if (rows == 0).any() else ""
    axes.set_xlabel(f"value (logarithmic axis{zeros})", fontsize=_NORMAL)
    for place, row, colour in _dodged(places, rows):
        colour = VERMILLION if len(rows) == 1 else colour  # positive, as in the bars
        start = row.clip(left)
        axes.hlines(place, left, start, color=PALE, lw=1.5, zorder=1)
        faces = np.where(row > 0, colour, "white")
        axes.scatter(start, place, s=70, c=faces, ec=colour, zorder=3, clip_on=False)
    if len(rows) == 1:
        _write_numbers(axes, places, rows[0], rows[0].clip(left))


def _write_numbers(axes: Axes, places: np.ndarray, values: np.ndarray, starts: np.ndarray) -> None:
    for place, value, start in zip(places, values, starts, strict=True):
        axes.annotate(
            f"{value:.3g}".replace("-", "−"),
            (start, place),
            xytext=(9 if value >= 0 else -6, 0),
            textcoords="offset points",
            va="center",
            ha="left" if value >= 0 else "right",
            fontsize=_SMALL + 1,
        )


def _draw_matrix(axes: Axes, panel: _Panel) -> None:
    """The weights of a small network that is the rule: what its hidden units read and write."""
    inner, outer = (np.asarray(panel.theta[name], float) for name in ("inner", "outer"))
    fields = [*getattr(panel.rule, "fields", ()), "memory", "1"]
    if len(fields) != inner.shape[1]:
        fields = [f"in {i}" for i in range(inner.shape[1])]
    table = np.concatenate([inner, np.full((len(inner), 1), np.nan), outer.T], axis=1)
    limit = np.nanmax(np.abs(table)) or 1.0
    image = axes.imshow(table, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    names = [*fields, "", "→ change", "→ memory"]
    axes.set_xticks(np.arange(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(inner)))
    _dress(axes, "Weights of the rule's own network", "", "hidden unit")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure: Any = axes.get_figure(root=False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("weight", fontsize=_NORMAL)


def _draw_map(
    figure: Any, axes: Axes, panel: _Panel, at: Mapping[str, Any], across: Any
) -> str | None:
    """The change over two fields; returns what it holds fixed, or None where nothing changes."""
    known = {*_AT, *_DERIVED, "age", *_trace_names(panel.rule)}
    for name in at:
        if name not in known:
            raise _validate.unknown("name in at", name, known)
    used = _depends(panel.rule, panel.theta, at)
    fields = across or ("pre", next((name for name in _PARTNERS if name in used), "post"))
    if len(fields) != 2 or fields[0] == fields[1]:
        raise ValueError(f"across must be two different fields, got {fields!r}")
    for name in fields:
        _validate.choice("across", name, (*_AT, *_DERIVED))
    lows = [0 if name in _POSITIVE else -1 for name in fields]
    # An even number, so that no line of the grid is exactly zero.
    across_grid, up_grid = (np.linspace(low, 1, 120) for low in lows)
    column, row = np.meshgrid(across_grid, up_grid)
    change = _change(panel.rule, panel.theta, {**at, fields[0]: column, fields[1]: row})
    spoken = {"pre": "pre: activity of the sender", "post": "post: activity of the receiver"}
    spoken |= {"feedback": "feedback: error at the receiver", "share": "share in the competition"}
    labels = [name if panel.name else spoken.get(name, name) for name in fields]
    _dress(axes, "Change of weight in one tick", *labels)
    axes.set_box_aspect(1)
    axes.set_xlim(lows[0], 1)
    axes.set_ylim(lows[1], 1)
    axes.set_xticks(np.unique([lows[0], 0, 1]))
    axes.set_yticks(np.unique([lows[1], 0, 1]))
    finite = change[np.isfinite(change)]
    limit = np.abs(finite).max(initial=0.0)
    if limit == 0:
        text = "the weight does\nnot change" if finite.size else "the change\nis not finite"
        middle = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(0.5, 0.5, text, fontsize=_NORMAL, **middle)
        return None
    change = np.ma.masked_invalid(change)
    colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    image = axes.pcolormesh(across_grid, up_grid, change, rasterized=True, **colours)
    if finite.min() < 0 < finite.max():
        axes.contour(across_grid, up_grid, change, levels=[0.0], colors=[BLACK], linewidths=0.8)
    bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=18)
    bar.formatter.set_powerlimits((-2, 3))
    bar.ax.tick_params(labelsize=_SMALL)
    bar.set_label("change of weight", fontsize=_SMALL + 1)
    return _held(panel, used, fields, at)


def _trace_names(rule: Rule) -> set[str]:
    """Names of the traces of a rule and of the rules inside it."""
    trace = rule.init_trace()
    names = set(trace) - {"rule"} if isinstance(trace, dict) else set()
    return names | (_trace_names(rule.rule) if hasattr(rule, "rule") else set())


def _held(panel: _Panel, used: set[str], fields: Sequence[str], at: Mapping[str, Any]) -> str:
    """What the map holds fixed, of all that the change depends on."""
    parts = []
    for name, how in _DERIVED.items():
        if name in used and name not in fields:
            parts.append(f"{name} = {at.get(name, how)}")
            used = used | ({"weight"} if name == "reconstruction" and name not in at else set())
    parts += [
        f"{name} {at.get(name, value):g}"
        for name, value in _AT.items()
        if name in used and name not in fields
    ]
    traces = _trace_names(panel.rule)
    means = {t for t in traces if t.endswith("_mean") or t in ("threshold", "activity")}
    parts += [f"{name} {at.get(name, REST):g}" for name in sorted(means)]
    parts += [f"{name} {at[name]:g}" for name in sorted(traces - means) if name in at]
    if "square" in traces - at.keys():
        parts.append("running mean square as over this map")
    if "post_before" in traces - at.keys():
        parts.append("post_before = post")
    if traces - means - at.keys() - {"square", "mean", "post_before"}:
        parts.append("other memories of the synapse empty")
    return ", ".join(parts)


def _stacked_rules(parts: Sequence[tuple[str, Rule, Theta, Any]]) -> Figure:
    """(title, rule, theta, names of owners) each, one below the other."""
    drawn = [(title, _panels(rule, theta, names)) for title, rule, theta, names in parts]
    heights = [_rule_height(panels) for _, panels in drawn]
    figure = _figure(_RULE_WIDTH, sum(heights))
    pieces: Any = figure.subfigures(len(drawn), 1, height_ratios=heights)
    for piece, (title, panels) in zip(np.ravel(pieces), drawn, strict=True):
        _draw_rule(piece, panels, {}, None, title)
    return figure


def _class_owners(parts: Sequence[str], part: str, classes: Iterable[str]) -> dict[str, int]:
    """Where the edge classes lie among the owners of a part of theta: five a bundle, in order."""
    from loopymeta.network import EDGE_CLASSES

    mine = [name for b in range(3) if parts[b] == part for name in EDGE_CLASSES[5 * b : 5 * b + 5]]
    wanted = set(classes)
    return {name: i for i, name in enumerate(mine) if name in wanted}


# --- curves and ladders beside the controls ------------------------------------------------------


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
    entries = _require(result, "recall_by_presentation")
    points = max(entry.mean.size for entry in entries.values())
    x = {name: np.arange(1, entry.mean.size + 1) for name, entry in entries.items()}
    figure, axes, labels = _curves(entries, x, title)
    axes.set_xlabel("presentation of the sequence", fontsize=_NORMAL)
    axes.set_xticks(np.arange(1, points + 1, max(points // 12, 1)))
    ceiling = _of(result, "ceiling", ceiling)
    if ceiling is not None:
        best = np.ravel(_numbers(ceiling, "ceiling"))
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
    entries = _require(result, "recall_curve")
    each = _of(result, "sequences_per_point", sequences_per_point)
    if each is not None:
        _validate.positive("sequences_per_point", each)
    step = each or 1.0
    # A point is the mean of the sequences up to its place: it stands in their middle.
    x = {name: (np.arange(e.mean.size) + 0.5) * step for name, e in entries.items()}
    figure, axes, labels = _curves(entries, x, title)
    axes.set_xlabel("sequences seen" if each else "part of the lifetime", fontsize=_NORMAL)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlim(left=0)
    return _finish_curves(figure, axes, entries, labels, result, chance)


def _of(result: Mapping[str, Any], name: str, given: Any) -> Any:
    """What was given, or else what the result says."""
    value = _about(result).get(name) if given is None else given
    return None if isinstance(value, Mapping) else value


def _curves(entries: Mapping[str, _Entry], x: Mapping[str, np.ndarray], title: str) -> Any:
    """Lines with bands of their spread, on an axis of shares; and the labels for their ends."""
    figure = _figure(9.5, 5.2)
    axes = figure.subplots()
    _dress(axes, title, "", "recall (symbols predicted right)")
    styles, labels = _styles(entries), []
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
            faint = 0.06 if name in _CONTROLS else 0.15  # they often lie on one another
            axes.fill_between(x[name], *band, color=style.colour, alpha=faint, lw=0)
        known = np.isfinite(mean)
        if known.any():
            labels.append((_spoken(name), mean[known][-1], style.colour))
    return figure, axes, labels


def _finish_curves(
    figure: Figure,
    axes: Axes,
    entries: Mapping[str, _Entry],
    labels: list[Any],
    result: Mapping[str, Any],
    chance: float | None,
) -> Figure:
    from matplotlib.ticker import PercentFormatter

    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    chance = _of(result, "chance", chance)
    if chance is not None:
        _reference(axes, float(chance))
        labels.append(("chance", float(chance), BLACK))
    if any(entry.spread is not None for entry in entries.values()):
        _caption(figure, f"Lines: means; bands: {_spread_of(result, entries.values())}.", 9.5)
    _label_ends(axes, labels)
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
    """A row for the learned rule, each control and each baseline, with its number and spread.

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
    columns = {k: _read(result, k) for k in keys}
    columns = {k: found for k, found in columns.items() if found}
    if not columns:
        _require(result, keys[0] if keys else "")
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
    figure = _figure(width, height)
    all_axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    left, high, right = _ladder_range(columns.values(), references or {})
    for axes, (metric, found) in zip(all_axes, columns.items(), strict=True):
        _dress(axes, "", unit)
        axes.set_title(_COLUMNS.get(metric, _spoken(metric)), fontsize=_NORMAL, loc="left")
        axes.set_xlim(left, right)
        for text, value in (references or {}).items():
            if left < value < right:
                axes.axvline(value, color=BLACK, lw=1, ls=(0, (1, 2)), zorder=1)
                axes.text(value, -0.7, f" {text}", fontsize=_SMALL, va="center")
        _draw_rungs(axes, names, found, high, right)
    places = np.arange(len(names))
    all_axes[0].set_yticks(places, [_spoken(name) for name in names], fontsize=_NORMAL)
    all_axes[0].set_ylim(len(names) - 0.4, -1.0 if references else -0.6)
    for name, label in zip(names, all_axes[0].get_yticklabels(), strict=True):
        label.set_weight("bold" if name == "learned" else "normal")
    _heading(figure, title, width)
    entries = [entry for found in columns.values() for entry in found.values()]
    if any(entry.spread is not None for entry in entries):
        _caption(figure, f"Dots: means; {_spread_of(result, entries)}.", width)
    return figure


def _ladder_range(columns: Iterable[Mapping[str, _Entry]], references: Mapping[str, float]) -> Any:
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
    axes: Axes, names: Sequence[str], found: Mapping[str, _Entry], high: float, right: float
) -> None:
    left = axes.get_xlim()[0]
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for place, name in enumerate(names):
        colour = BLUE if name == "learned" else GREY if name in _CONTROLS else BLACK
        if name not in found:
            axes.text(0.02, place, "not measured", fontsize=_SMALL, color=GREY, va="center",
                      transform=axes.get_yaxis_transform())  # fmt: skip
            continue
        entry = found[name]
        mean = float(entry.mean)
        spread = None if entry.spread is None else float(entry.spread)
        text = f"{mean:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
        if not math.isfinite(mean) or mean > right:
            text = f"{text} →" if math.isfinite(mean) else "not finite"
            axes.annotate(text, (1, place), xycoords=("axes fraction", "data"), ha="right",
                          va="center", fontsize=_SMALL + 1, color=colour)  # fmt: skip
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
        look: Any = {"fontsize": _SMALL + 1, "weight": weight, "textcoords": "offset points"}
        if edge <= high:
            axes.annotate(text, (edge, place), xytext=(9, 0), va="center", **look)
        else:  # no room behind so wide a spread: the number stands on it
            text += " →" if edge > right else ""
            look |= {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
            axes.annotate(text, (1, place), xytext=(0, 5), **look)


# --- one lifetime --------------------------------------------------------------------------------


def record_network(state: Any, prediction: Array, *, num_weights: int = 48) -> dict[str, Array]:
    """What to record of a plastic network: for ``Lifetime(..., record=record_network)``.

    Args:
      state: a `loopymeta.lifetime.PlasticState`.
      prediction: [O] the network's prediction (logits, under cross entropy).
      num_weights: how many synapses onto each kind of node are looked at, evenly spread over them.

    Returns:
      ``stimulus`` [I] (the constant input included), ``activity`` of memory and hidden nodes,
      ``weights_onto_memory``, ``weights_onto_hidden`` and ``weights_onto_outputs`` (those there
      are, up to ``num_weights``), and ``prediction`` [O]; lanes behind stay.
    """
    wiring, network = state[:2]
    num_hidden = network.leak.shape[0]
    num_inputs = network.activity.shape[0] - network.drive.shape[0]
    seen = {"stimulus": network.activity[:num_inputs]}
    if num_hidden:
        seen["activity"] = network.activity[num_inputs : num_inputs + num_hidden]
    for kind, wires, weight in zip(_BUNDLES, wiring.wires, network.weight, strict=True):
        num_edges = wires.senders.shape[0]
        if not num_edges:
            continue
        edges = np.unique(np.linspace(0, num_edges - 1, min(num_weights, num_edges)).astype(int))
        dense = not isinstance(wires.mask, tuple)
        place = (wires.receivers[edges], wires.senders[edges]) if dense else edges
        seen[f"weights_onto_{kind}"] = weight[place]
    return {**seen, "prediction": prediction}


def lifetime(
    record: Mapping[str, Any],
    *,
    symbols: Sequence[str] | None = None,
    target: Any = None,
    max_lines: int = 8,
    max_symbols: int = 400,
    title: str = "One lifetime",
    x: str = "symbols lived",
) -> Figure:
    """Any recorded quantities over time, as small multiples: few as lines, many as a map.

    ``prediction`` is shown as probabilities where there is a target of symbols, with the targets
    marked: dots where the most probable symbol was the right one, crosses where it was not.

    Args:
      record: arrays [T] or [T, anything], all of the same T; what a `Lifetime` recorded (see
        `record_network`), or of your own. Integers [T] named ``target`` are taken for ``target``.
      symbols: names of the outputs, from the task's ``spec.symbols``.
      target: [T] symbol indices; they are marked on ``prediction`` (-1: there is none).
      max_lines: up to so many series are drawn as lines.
      max_symbols: of longer lifetimes the first half and the last half of so many symbols are
        drawn.
      title: of the figure.
      x: what T counts.

    Raises:
      ValueError: nothing was recorded, or the lengths differ. TypeError: no mapping.

    >>> figure = lifetime({"loss": np.ones(5), "activity": np.zeros((5, 30))})
    >>> [axes.get_title(loc="left") for axes in figure.axes][:2]
    ['loss', 'activity of hidden nodes']
    """
    if not isinstance(record, Mapping):
        raise TypeError(f"record must be a mapping of arrays, got {type(record).__name__}")
    arrays = {str(name): _series(name, record[name]) for name in sorted(record, key=_rank)}
    if target is None and "target" in arrays and arrays["target"].shape[1] == 1:
        target = arrays.pop("target")
    _validate.at_least("max_lines", max_lines, 1)
    _validate.at_least("max_symbols", max_symbols, 2)
    lengths = {name: len(values) for name, values in arrays.items()}
    if not arrays or not min(lengths.values()):
        raise ValueError("record must hold at least one array [T, ...], got nothing")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"all arrays of record must be of one length T, got {lengths}")
    length = next(iter(lengths.values()))
    target = None if target is None else np.ravel(np.asarray(target)).astype(int)
    if target is not None and len(target) != length:
        raise ValueError(f"target must have length {length}, got {len(target)}")
    parts = [np.arange(length)]
    if length > max_symbols:
        half = max_symbols // 2
        parts = [np.arange(half), np.arange(length - half, length)]
    heights = [1.7 if values.shape[1] <= max_lines else 2.3 for values in arrays.values()]
    figure = _figure(11, 1.2 + sum(heights))
    shape = (len(arrays), len(parts))
    grid = figure.subplots(*shape, sharex="col", squeeze=False, height_ratios=heights)
    for row, (name, values) in zip(grid, arrays.items(), strict=True):
        marks = target if name == "prediction" else None
        _draw_series(figure, row, name, values, parts, marks, symbols, max_lines)
    for axes in grid[-1]:
        axes.set_xlabel(x, fontsize=_NORMAL)
        axes.locator_params(axis="x", nbins=5)
    note = f": the first {len(parts[0]):,} and the last {len(parts[-1]):,} of {length:,}"
    heading = title + (note + f" {x.split()[0]}" if len(parts) > 1 else "")
    _heading(figure, heading, 11)
    return figure


# Jitted code gives dictionaries back in the order of the alphabet.
_BUNDLES = ("memory", "hidden", "outputs")
_ORDER = ("stimulus", "prediction", "activity", *(f"weights_onto_{kind}" for kind in _BUNDLES))


def _rank(name: Any) -> int:
    """One's own quantities first, then those of `record_network` as they cause one another."""
    return _ORDER.index(name) + 1 if name in _ORDER else 0


def _series(name: Any, values: Any) -> np.ndarray:
    array = _numbers(values, f"record[{name!r}]")
    if array.ndim == 0:
        raise ValueError(f"record[{name!r}] must be an array [T, ...], got one number")
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _draw_series(
    figure: Figure,
    row: Sequence[Axes],
    name: str,
    values: np.ndarray,
    parts: Sequence[np.ndarray],
    target: np.ndarray | None,
    symbols: Sequence[str] | None,
    max_lines: int,
) -> None:
    """One quantity: one panel for each part of the lifetime."""
    title = {"activity": "activity of hidden nodes"}.get(name, name.replace("_", " "))
    title += " nodes" * title.endswith(("onto hidden", "onto memory"))
    right = None
    if target is not None:
        values, right = _softmax(values), values.argmax(1) == target
        title = "prediction: probability of each symbol (dot: right, cross: the missed target)"
    image = None
    for axes, times in zip(row, parts, strict=True):
        if values.shape[1] <= max_lines and target is None and name != "stimulus":
            _draw_lines(axes, times, values)
        else:
            image = _draw_heat(axes, times, values, positive=target is not None)
        if target is not None and right is not None:
            _mark_targets(axes, times, target, right)
        _dress(axes)
        axes.set_title(title if axes is row[0] else "", fontsize=_NORMAL, loc="left")
        axes.set_xlim(times[0] - 0.5, times[-1] + 0.5)
        if axes is not row[0]:
            axes.tick_params(labelleft=False)
    if image is not None:
        bar = figure.colorbar(image, ax=list(row), pad=0.01, aspect=12)
        bar.ax.tick_params(labelsize=_SMALL)
        kinds = {"activity": "node", "weights": "synapse"}
        row[0].set_ylabel(kinds.get(name.split("_")[0], ""), fontsize=_NORMAL)
        count = values.shape[1]
        one_hot = symbols is not None and 0 <= count - len(symbols) <= 1  # with the constant input
        named = name == "prediction" or (name == "stimulus" and one_hot)
        _name_rows(row[0], count, symbols if named else None)


def _draw_lines(axes: Axes, times: np.ndarray, values: np.ndarray) -> None:
    colours = (BLUE, *_CYCLE)
    for i, line in enumerate(values[times].T):
        axes.plot(times, line, color=colours[i % len(colours)], lw=1.5)
    finite = values[np.isfinite(values)]
    if len(finite):
        low, high = finite.min(), finite.max()
        room = 0.05 * (high - low or 1.0)
        axes.set_ylim(low - room, high + room)


def _draw_heat(axes: Axes, times: np.ndarray, values: np.ndarray, positive: bool) -> Any:
    """Series as rows of a map: signed ones around white, others from white or dark upward."""
    finite = np.abs(values[np.isfinite(values)])
    # A few extreme values must not wash out all others.
    limit = float(np.quantile(finite, 0.995)) if len(finite) else 1.0
    limit = limit or float(finite.max(initial=0.0)) or 1.0
    signed = np.nanmin(values, initial=0.0) < 0
    extent = (times[0] - 0.5, times[-1] + 0.5, values.shape[1] - 0.5, -0.5)
    return axes.imshow(
        values[times].T,
        aspect="auto",
        extent=extent,
        interpolation="nearest",
        cmap="RdBu_r" if signed else "Blues",
        vmin=-limit if signed else 0,
        vmax=1.0 if positive else limit,
    )


def _mark_targets(axes: Axes, times: np.ndarray, target: np.ndarray, right: np.ndarray) -> None:
    known = target[times] >= 0
    size = float(np.clip(3000 / max(len(times), 1), 5, 40))
    hit, missed = times[known & right[times]], times[known & ~right[times]]
    axes.scatter(hit, target[hit], s=size, fc="white", ec=BLACK, lw=0.8, zorder=3)
    axes.scatter(missed, target[missed], s=size, color=VERMILLION, marker="x", lw=1.4, zorder=3)


def _name_rows(axes: Axes, count: int, symbols: Sequence[str] | None) -> None:
    if symbols is None or count > 40:
        axes.locator_params(axis="y", nbins=4, integer=True)
        return
    names = [{" ": "space", "\n": "newline"}.get(s, s) for s in symbols[:count]]
    names += ["1 (bias)"] * (count == len(symbols) + 1)
    step = -(-count // 14)
    axes.set_yticks(np.arange(len(names))[::step], names[::step], fontsize=_SMALL)


# --- the graph -----------------------------------------------------------------------------------

_DRAWN_NODES, _DRAWN_EDGES = 150, 3000
_IMAGE_SIZE = 1000


def graph(
    graph: Graph,
    num_inputs: int,
    num_hidden: int,
    num_outputs: int,
    num_memory: int = 0,
    weights: Any = None,
    *,
    title: str | None = None,
    seed: int = 0,
) -> Figure:
    """The graph drawn with its loops: inputs left, outputs right, hidden nodes between.

    Edges inside the largest strongly connected part are blue: what flows along them can return.
    Pairs of opposite edges and one shortest cycle stand out. The caption gives the census of loops.
    Large graphs (over 150 hidden nodes or 3,000 edges) are drawn as a matrix instead.

    Args:
      graph: one graph, not a stack.
      num_inputs, num_hidden, num_outputs: its numbers of nodes.
      num_memory: how many of the hidden nodes, the first ones, are memory nodes.
      weights: [E] the width of each edge is its absolute weight; in a matrix its colour.
      title: of the figure.
      seed: of the layout.

    Raises:
      ValueError: numbers or weights that do not fit the graph, or a stack of graphs.

    >>> ring = graphs.make_graph("ring", num_inputs=1, num_hidden=5, num_outputs=1)
    >>> figure = graph(ring, 1, 5, 1)
    """
    found = graphs.census(graph, num_inputs, num_hidden, num_outputs)
    graph = graphs.Graph(*(np.asarray(part) for part in graph))
    _validate.at_least("num_memory", num_memory, 0)
    if num_memory > num_hidden:
        raise ValueError(f"num_memory must be at most num_hidden = {num_hidden}, got {num_memory}")
    if weights is not None:
        weights = np.ravel(_numbers(weights, "weights"))
        if len(weights) != graph.num_edges:
            raise ValueError(f"weights must have shape ({graph.num_edges},), got {weights.shape}")
    sizes = (num_inputs, num_memory, num_hidden - num_memory, num_outputs)
    large = num_hidden > _DRAWN_NODES or graph.num_edges > _DRAWN_EDGES
    looped, cycle = _loops(graph, sum(sizes))
    figure = _figure(10.5, 8.6 if large else 7.4)
    layout: Any = figure.get_layout_engine()
    layout.set(h_pad=0.1)
    axes = figure.subplots()
    if large:
        _draw_adjacency(figure, axes, graph, sizes, looped, cycle, weights)
    else:
        _draw_network(axes, graph, sizes, looped, cycle, weights, seed)
    kind = "loopy" if looped.any() else "feed-forward"
    name = title or f"A {kind} network of {num_hidden:,} hidden nodes and {graph.num_edges:,} edges"
    _heading(figure, name, 10.5)
    _caption(figure, _told(found, num_hidden, weights is not None and not large), 10.5)
    return figure


def _told(found: graphs.Census, num_hidden: int, widths: bool) -> str:
    """The census as sentences."""
    told = []
    if found.largest_component:
        share = f"{found.hidden_share:.0%} of the" if found.hidden_share < 1 else "all"
        told.append(
            f"{found.largest_component:,} of {found.num_nodes:,} nodes, {share} {num_hidden:,} "
            "hidden ones among them, form one strongly connected part: what leaves a node of it "
            "can come back."
        )
        told.append(
            f"Shortest cycle: {found.girth} edges; through a node, on average "
            f"{found.mean_cycle_length:.1f}."
        )
        share = f"{found.reciprocity:.0%}" if found.reciprocity else "None"
        told.append(f"{share} of the edges that could have an opposite edge have one.")
    else:
        told.append("There is no cycle: this graph is feed-forward.")
    if found.mean_path_length is not None:
        told.append(
            f"From an input to an output: {found.mean_path_length:.1f} edges on average, at most "
            f"{found.max_path_length}."
        )
    if not found.exact:
        told.append("Cycles and paths from a sample of nodes.")
    if widths:
        told.append("The width of an edge is the size of its weight.")
    return " ".join(told)


def _loops(graph: Graph, num_nodes: int) -> tuple[np.ndarray, list[int]]:
    """Which edges lie in the largest strongly connected part, and the edges of a shortest cycle."""
    component, members = graphs._components(graph, num_nodes)
    if not (members > 1).any():
        return np.zeros(graph.num_edges, bool), []
    inside = component == members.argmax()
    looped = inside[graph.senders] & inside[graph.receivers]
    return looped, _shortest_cycle(graph, looped)


def _shortest_cycle(graph: Graph, looped: np.ndarray) -> list[int]:
    """Edges of one shortest cycle among ``looped`` (of a sample of nodes, where there are many)."""
    from scipy.sparse import csgraph

    both = np.flatnonzero(looped & (graph.reverse >= 0))
    if len(both):
        # In the middle of the list, where the ends are ordinary nodes rather than outputs.
        edge = int(both[len(both) // 2])
        return [edge, int(graph.reverse[edge])]
    edges = np.flatnonzero(looped)
    senders, receivers = graph.senders[edges], graph.receivers[edges]
    num_nodes = int(max(senders.max(), receivers.max())) + 1
    adjacency = graphs._adjacency(senders, receivers, num_nodes)
    nodes = np.unique(senders)
    nodes = nodes[:: -(-len(nodes) // 200)]
    best: list[int] = []
    for node in nodes.tolist():
        steps, before = csgraph.shortest_path(
            adjacency, unweighted=True, indices=node, return_predecessors=True
        )
        last = senders[receivers == node]
        end = int(last[np.argmin(steps[last])])
        if best and steps[end] + 1 >= len(best):
            continue
        path = [node, end]
        while path[-1] != node:
            path.append(int(before[path[-1]]))
        # The path runs backward: node <- end <- ... <- node.
        pairs = zip(path[1:], path[:-1], strict=True)
        best = [int(edges[np.flatnonzero((senders == a) & (receivers == b))[0]]) for a, b in pairs]
    return best


def _layout(graph: Graph, sizes: Sequence[int], seed: int) -> np.ndarray:
    """[N, 2] places: inputs in a column left, outputs right, hidden nodes by springs between."""
    import networkx

    num_inputs, num_memory, num_other, num_outputs = sizes
    num_hidden, num_nodes = num_memory + num_other, sum(sizes)
    places = np.zeros((num_nodes, 2))
    if num_hidden:
        hidden = range(num_inputs, num_inputs + num_hidden)
        part = networkx.DiGraph()
        part.add_nodes_from(hidden)
        part.add_edges_from(
            (a, b)
            for a, b in zip(graph.senders.tolist(), graph.receivers.tolist(), strict=True)
            if a in hidden and b in hidden
        )
        if part.size() and networkx.is_directed_acyclic_graph(part):
            for column, layer in enumerate(networkx.topological_generations(part)):
                part.add_nodes_from(layer, layer=column)
            found = networkx.multipartite_layout(part, subset_key="layer")
        else:
            found = networkx.spring_layout(
                part.to_undirected(),
                pos=networkx.circular_layout(part),
                k=1.6 / math.sqrt(num_hidden),
                iterations=150,
                seed=seed,
            )
        spots = np.array([found[node] for node in hidden])
        spots -= (spots.max(0) + spots.min(0)) / 2
        spots /= np.maximum(np.abs(spots).max(0), 1e-9)
        places[num_inputs : num_inputs + num_hidden] = spots
    outputs = (num_nodes - num_outputs, num_outputs, 1.75)
    for first, count, side in ((0, num_inputs, -1.75), outputs):
        reach = min(1.0, 0.13 * max(count - 1, 0))
        places[first : first + count, 0] = side
        places[first : first + count, 1] = np.linspace(reach, -reach, count) if count > 1 else 0.0
    return places


def _bows(starts: np.ndarray, ends: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Curves [E, 14, 2] that bow to their left and stop short of the node, and arrow heads."""
    along = ends - starts
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    middle = (starts + ends) / 2 + 0.14 * np.stack([-along[:, 1], along[:, 0]], axis=1)
    heading = ends - middle
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9)
    size = 0.034
    tip, back = ends - radius * heading, size * heading
    side = 0.4 * size * np.stack([-heading[:, 1], heading[:, 0]], axis=1)
    heads = np.stack([tip, tip - back + side, tip - back - side], axis=1)
    last = 1 - np.minimum((radius + 0.5 * size) / length, 0.9)
    t = np.linspace(0, 1, 14)[None, :, None] * last[:, :, None]
    parts = ((1 - t) ** 2, 2 * t * (1 - t), t**2)  # a quadratic Bezier curve
    points = (starts, middle, ends)
    curves: Any = sum(part * point[:, None] for part, point in zip(parts, points, strict=True))
    return curves, heads


def _draw_network(
    axes: Axes,
    graph: Graph,
    sizes: Sequence[int],
    looped: np.ndarray,
    cycle: list[int],
    weights: np.ndarray | None,
    seed: int,
) -> None:
    """Nodes and bowed edges; what loops lies on top of what does not."""
    from matplotlib.collections import LineCollection, PolyCollection

    places = _layout(graph, sizes, seed)
    radius = 0.045 if sum(sizes) < 80 else 0.03
    curves, heads = _bows(places[graph.senders], places[graph.receivers], radius)
    widths = np.ones(graph.num_edges)
    if weights is not None:
        widths = 0.25 + 2.5 * np.abs(weights) / max(np.abs(weights).max(initial=0.0), 1e-12)
    both = looped & (graph.reverse >= 0)
    on_cycle = np.isin(np.arange(graph.num_edges), cycle)
    dense = float(np.clip(500 / max(looped.sum(), 1), 0.25, 1))
    faint = float(np.clip(60 / max((~looped).sum(), 1), 0.12, 0.6))
    inside = "inside the strongly connected part"
    groups = [
        (~looped, GREY, 0.8, faint, "leads in or out, never back"),
        (looped & ~both & ~on_cycle, BLUE, 1.1, 0.25 + 0.5 * dense, inside),
        (both & ~on_cycle, ORANGE, 1.6, 0.35 + 0.6 * dense, "with an opposite edge"),
        (on_cycle, VERMILLION, 3.0, 1.0, f"a shortest cycle ({len(cycle)} edges)"),
    ]
    widths = np.where(on_cycle, 1.0, widths)
    for order, (chosen, colour, width, alpha, text) in enumerate(groups, start=1):
        if not chosen.any():
            continue
        style = {"alpha": alpha, "zorder": order}
        shafts: Any = curves[chosen]
        tips: Any = heads[chosen]
        lines = LineCollection(shafts, linewidths=width * widths[chosen], colors=colour, **style)
        axes.add_collection(lines)
        if colour != GREY:
            axes.add_collection(PolyCollection(tips, facecolors=colour, lw=0, **style))
        axes.plot([], [], color=colour, lw=max(width, 1.5), label=text)
    _draw_nodes(axes, places, sizes, radius)
    axes.set_aspect("equal")
    axes.set_xlim(-2.0, 2.0)
    reach = max(np.abs(curves[..., 1]).max(initial=0.0), np.abs(places[:, 1]).max(initial=0.0))
    axes.set_ylim(-reach - 0.12, reach + 0.2)
    axes.axis("off")
    _legend_below(axes, 0.0)


def _legend_below(axes: Axes, at: float) -> None:
    look = {"frameon": False, "fontsize": _SMALL + 1}
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, at), ncols=3, **look)


_NODE_LOOKS = (
    ("inputs", "s", PALE),
    ("memory", "h", GREEN),
    ("hidden", "o", SKY),
    ("outputs", "D", "#F0E442"),
)


def _draw_nodes(axes: Axes, places: np.ndarray, sizes: Sequence[int], radius: float) -> None:
    first = 0
    for (name, marker, colour), count in zip(_NODE_LOOKS, sizes, strict=True):
        here = places[first : first + count]
        first += count
        if not count:
            continue
        area = (radius / 0.045) ** 2 * 110
        axes.scatter(*here.T, s=area, marker=marker, fc=colour, ec=BLACK, lw=0.8, zorder=9)
        if name in ("inputs", "outputs"):
            text = f"{count} {name if count > 1 else name[:-1]}"
            axes.text(here[0, 0], here[:, 1].max() + 0.1, text, ha="center", fontsize=_NORMAL)
        else:
            look = {"s": 90, "marker": marker, "fc": colour, "ec": BLACK, "lw": 0.8}
            axes.scatter([], [], label=f"{count} {name} nodes", **look)


def _draw_adjacency(
    figure: Figure,
    axes: Axes,
    graph: Graph,
    sizes: Sequence[int],
    looped: np.ndarray,
    cycle: list[int],
    weights: np.ndarray | None,
) -> None:
    """Who sends to whom as an image: receivers down, senders across."""
    from matplotlib.colors import ListedColormap

    num_nodes = sum(sizes)
    bins = min(num_nodes, _IMAGE_SIZE)
    place = lambda nodes: nodes.astype(np.int64) * bins // num_nodes  # noqa: E731
    at = (place(graph.receivers), place(graph.senders))
    extent = (-0.5, num_nodes - 0.5, num_nodes - 0.5, -0.5)
    placed = {"extent": extent, "interpolation": "nearest"}
    image = np.zeros((bins, bins))
    if weights is None:
        np.maximum.at(image, at, 1.0 + looped + (looped & (graph.reverse >= 0)))
        cmap: Any = ListedColormap(["white", PALE, BLUE, ORANGE])
        axes.imshow(image, cmap=cmap, vmin=0, vmax=3, **placed)
        both = graph.reverse >= 0
        for chosen, colour, text in (
            (~looped, PALE, "leads in or out, never back"),
            (looped & ~both, BLUE, "inside the strongly connected part"),
            (looped & both, ORANGE, "with an opposite edge"),
        ):
            if chosen.any():
                axes.plot([], [], "s", color=colour, ms=10, label=text)
    else:
        largest = np.argsort(np.abs(weights), kind="stable")  # of several in a pixel the largest
        image[at[0][largest], at[1][largest]] = weights[largest]
        limit = np.quantile(np.abs(weights), 0.99) or np.abs(weights).max() or 1.0
        shown = axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, **placed)
        figure.colorbar(shown, ax=axes, shrink=0.7).set_label("weight", fontsize=_NORMAL)
    if cycle:
        spots = (graph.senders[cycle], graph.receivers[cycle])
        text = f"a shortest cycle ({len(cycle)} edges)"
        axes.scatter(*spots, s=90, marker="o", fc="none", ec=VERMILLION, lw=2, label=text)
    _dress(axes, "", "sender", "receiver")
    _name_blocks(axes, sizes)
    _legend_below(axes, -0.2)


def _name_blocks(axes: Axes, sizes: Sequence[int]) -> None:
    """Lines between the kinds of nodes, and their names instead of numbers."""
    ends = np.cumsum((0, *sizes))
    middles, names = [], []
    for (name, _, _), count, low, high in zip(_NODE_LOOKS, sizes, ends[:-1], ends[1:], strict=True):
        if not count:
            continue
        middles.append((low + high - 1) / 2)
        names.append(f"{count:,} {name}" + " nodes" * (name in ("memory", "hidden")))
        for edge in (low, high):
            if 0 < edge < ends[-1]:
                axes.axhline(edge - 0.5, color=BLACK, lw=0.8)
                axes.axvline(edge - 0.5, color=BLACK, lw=0.8)
    slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(middles, names, fontsize=_SMALL + 1, **slanted)
    axes.set_yticks(middles, names, fontsize=_SMALL + 1)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)


# --- a run folder --------------------------------------------------------------------------------


def training_figures(
    run_path: str | os.PathLike[str], *, say: Callable[[str], None] | None = None
) -> list[Path]:
    """Draws all that a run folder holds into its ``figures`` folder; returns the files.

    metrics.csv becomes learning_curve.png, rule.json rule.png, one lifetime of the rule found
    lifetime.png and one of its graphs graph.png, and result.json ladder.png and, for tasks that
    have them, recall_by_presentation.png and recall_curve.png. Where a learner was meta-learned
    there is neither rule nor graph to be drawn.

    Args:
      run_path: a run folder.
      say: is told, a line each, what could not be drawn and why (default: to standard error).

    Raises:
      RunError: it is no run folder.
    """
    from loopymeta.runs import Run

    run = Run.open(run_path)
    say = say or (lambda text: print(text, file=sys.stderr))
    paths: list[Path] = []
    told: set[str] = set()
    for draw in (_run_curve, _run_rule, _run_results, _run_lifetime):
        try:
            figures = draw(run)
        except (ValueError, TypeError, KeyError, ImportError) as error:
            if str(error) not in told:  # one missing file may be the lack of several figures
                say(f"not drawn: {error}")
            told.add(str(error))
            continue
        for name, figure in figures.items():
            paths.append(save(figure, run.figures / f"{name}.png"))
    return paths


def _optional(run: Any, name: str) -> Any:
    """A file of JSON, or {} where there is none."""
    return run.read_json(name) if (run.path / name).is_file() else {}


def _run_curve(run: Any) -> dict[str, Figure]:
    metrics = run.read_metrics()
    if not metrics:
        raise ValueError(f"the learning curve: {run.path} has no metrics yet")
    config, about = run.config(), _about(_optional(run, "result.json"))
    objective = config.get("objective", "loss")
    # The floor of the result is that of the task it reports; the search may live another one.
    same = config.get("task") == config.get("train_task") and objective == "loss"
    title = f"Meta-learning on {_task_name(config, about)}"
    return {
        "learning_curve": learning_curve(
            metrics, floor=about.get("floor") if same else None, title=title
        )
    }


def _task_name(config: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    task = config.get("task")
    named = task.get("type", "a task") if isinstance(task, Mapping) else task
    return str(about.get("task") or named or "a task").lower()


def _run_rule(run: Any) -> dict[str, Figure]:
    from loopymeta.network import EDGE_CLASSES
    from loopymeta.training import is_learner, read_rule

    if is_learner(run.path):
        return {}
    network, theta = read_rule(run.path)
    classes = run.read_json("rule.json").get("edge_classes", EDGE_CLASSES)
    # As in the network: a bundle without a rule of its own follows the rule.
    names = ("memory_rule", "rule", "output_rule")
    parts = [part if getattr(network, part) is not None else "rule" for part in names]
    sizes = {"memory nodes": network.num_memory, "hidden nodes": network.num_hidden, "outputs": 1}
    drawn = []
    for part in dict.fromkeys(parts):
        rule = getattr(network, part)
        onto = [
            kind for kind, owner in zip(sizes, parts, strict=True) if owner == part and sizes[kind]
        ]
        if not onto or not rule.init() or part not in theta:
            continue
        owners = None
        if network.sharing == "per_class":
            owners = _class_owners(parts, part, classes)
        title = f"Synapses onto {' and '.join(onto)}: {_rule_name(rule)}"
        drawn.append((title, rule, theta[part], owners))
    if not drawn:
        raise ValueError(f"the rule: {run.path / 'rule.json'} holds no rule with numbers (theta)")
    return {"rule": _stacked_rules(drawn)}


_RECORDED = 25_000_000
"""Activities that the figure of a lifetime may record: 100 MB."""


def _run_lifetime(run: Any) -> dict[str, Figure]:
    """One lifetime of the rule found on the task of the search, and one of the graphs.

    Of a life too long to be recorded in `_RECORDED` numbers it is the beginning.
    """
    from loopymeta._jax import jax
    from loopymeta.lifetime import Lifetime
    from loopymeta.parameters import check_theta
    from loopymeta.training import is_learner, read_config, read_rule

    if is_learner(run.path):
        return {}
    config, (network, theta) = read_config(run.path), read_rule(run.path)
    task = config.train_task
    learner = network.build(task.spec, config.seed)
    theta = check_theta(theta, learner.init_theta(), space=learner.space())
    life = Lifetime(learner, task, record=record_network)
    limit = max(_RECORDED // learner.network.num_nodes, 1)

    def live(key: Array) -> tuple[Any, Any]:
        state, episode = life.start(theta, key)
        episode = jax.tree.map(lambda x: x[:limit], episode)
        return episode, life.through(theta, state, episode, key)[2]

    episode, record = jax.device_get(jax.jit(live)(jax.random.key(config.seed)))
    title = f"One lifetime of the rule found, on {_task_name(run.config(), {})}"
    if task != config.task:  # the report is on another one, often longer
        title += " as in the search"
    symbols, target = task.spec.symbols, None
    if task.spec.loss == "cross_entropy":
        target = np.where(episode.scored > 0, episode.target, -1)
    sizes = (learner.network.num_inputs, learner.network.num_hidden, learner.network.num_outputs)
    one = graphs.Graph(*(np.asarray(part)[0] for part in learner.graphs))
    return {
        "lifetime": lifetime(
            record,
            symbols=symbols,
            target=target,
            title=title,
        ),
        "graph": graph(one, *sizes, network.num_memory),
    }


def _run_results(run: Any) -> dict[str, Figure]:
    result = run.read_json("result.json")
    task = run.config().get("task")
    task = task if isinstance(task, Mapping) else {}
    drawn: dict[str, Figure] = {}
    if _read(result, "recall_by_presentation"):
        drawn["recall_by_presentation"] = recall_by_presentation(result)
    if curves := _read(result, "recall_curve"):
        points = max(entry.mean.size for entry in curves.values())
        each = task["sequences"] / points if "sequences" in task else None
        # Chance in a result is that of all targets; of a letter it is one in the alphabet.
        guess = 1 / task["alphabet"] if "alphabet" in task else None
        drawn["recall_curve"] = recall_curve(result, sequences_per_point=each, chance=guess)
    nats = [f"{kind}_nats" for kind in ("prequential", "dev", "test", "held_out")]
    keys = [k for k in nats if _read(result, k)] or [k for k in ("loss",) if _read(result, k)]
    if keys:
        title = f"{_task_name({}, _about(result)).capitalize()}: the lower, the better it predicts"
        floor = _about(result).get("floor")
        floors = {"floor": floor} if keys == ["loss"] and floor is not None else None
        drawn["ladder"] = ladder(result, keys, references=floors, title=title)
    if not drawn:
        raise ValueError(f"the result: {run.path / 'result.json'} has no figures that can be drawn")
    return drawn
