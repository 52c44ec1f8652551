"""A rule as a picture: what it does to a weight, and its meta-parameters."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from loopymeta import _validate
from loopymeta.plots import canvas
from loopymeta.plots.canvas import BLACK, BLUE, PALE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from loopymeta.parameters import Theta
    from loopymeta.rules import Rule

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
_PANEL_COLOURS = (BLUE, *canvas.CYCLE)


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
    figure = canvas.blank(_RULE_WIDTH, _rule_height(panels))
    _draw_rule(figure, panels, at or {}, across, title or f"The rule: {rule_name(rule)}")
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


def rule_name(rule: Rule) -> str:
    name = type(rule).__name__
    return f"{name} around {rule_name(rule.rule)}" if hasattr(rule, "rule") else name


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
    canvas.heading(figure, title + name, _RULE_WIDTH, weight="bold")
    outer = figure.add_gridspec(2, 1, height_ratios=[0.01, 1])
    above = figure.add_subplot(outer[0])
    above.axis("off")
    lines = "\n".join(_formula(panels[0], symbolic=not single))
    left = 0.02 / _RULE_WIDTH
    look = {"fontsize": canvas.SMALL + 1, "family": "monospace", "linespacing": 1.3}
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
            axes.set_title(f"● {panel.name}", fontsize=canvas.NORMAL, loc="left", color=colour)
    canvas.caption(figure, _map_caption(held), _RULE_WIDTH)


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
        canvas.dress(axes, "Weight of each term", "coefficient (change of weight per tick)")
    else:
        canvas.dress(axes, "Numbers of the rule", "value")
    if not names:
        axes.axis("off")
        axes.text(
            0, 0.5, "This rule has no numbers.", fontsize=canvas.NORMAL, transform=axes.transAxes
        )
        return
    if left_out:
        axes.set_xlabel(f"{axes.get_xlabel()}\n{left_out}", fontsize=canvas.NORMAL)
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
    axes.set_yticks(places, names, fontsize=canvas.NORMAL if len(names) < 13 else canvas.SMALL + 1)
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
    axes.set_xlabel(f"value (logarithmic axis{zeros})", fontsize=canvas.NORMAL)
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
            fontsize=canvas.SMALL + 1,
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
    canvas.dress(axes, "Weights of the rule's own network", "", "hidden unit")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure: Any = axes.get_figure(root=False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("weight", fontsize=canvas.NORMAL)


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
    canvas.dress(axes, "Change of weight in one tick", *labels)
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
        axes.text(0.5, 0.5, text, fontsize=canvas.NORMAL, **middle)
        return None
    change = np.ma.masked_invalid(change)
    colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    image = axes.pcolormesh(across_grid, up_grid, change, rasterized=True, **colours)
    if finite.min() < 0 < finite.max():
        axes.contour(across_grid, up_grid, change, levels=[0.0], colors=[BLACK], linewidths=0.8)
    bar = figure.colorbar(image, ax=axes, shrink=0.85, aspect=18)
    bar.formatter.set_powerlimits((-2, 3))
    bar.ax.tick_params(labelsize=canvas.SMALL)
    bar.set_label("change of weight", fontsize=canvas.SMALL + 1)
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


def stacked_rules(parts: Sequence[tuple[str, Rule, Theta, Any]]) -> Figure:
    """(title, rule, theta, names of owners) each, one below the other."""
    drawn = [(title, _panels(rule, theta, names)) for title, rule, theta, names in parts]
    heights = [_rule_height(panels) for _, panels in drawn]
    figure = canvas.blank(_RULE_WIDTH, sum(heights))
    pieces: Any = figure.subfigures(len(drawn), 1, height_ratios=heights)
    for piece, (title, panels) in zip(np.ravel(pieces), drawn, strict=True):
        _draw_rule(piece, panels, {}, None, title)
    return figure


def class_owners(parts: Sequence[str], part: str, classes: Iterable[str]) -> dict[str, int]:
    """Where the edge classes lie among the owners of a part of theta: five a bundle, in order."""
    from loopymeta.network import EDGE_CLASSES

    mine = [name for b in range(3) if parts[b] == part for name in EDGE_CLASSES[5 * b : 5 * b + 5]]
    wanted = set(classes)
    return {name: i for i, name in enumerate(mine) if name in wanted}
