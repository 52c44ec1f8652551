"""Pictures of a plastic memory: small graphs as figures, large ones as a page to walk about in.

Figures touch no global state; `loopymeta.plots.save` writes them.
"""

from __future__ import annotations

import html
import itertools
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loopymeta.learners.plastic_memory import PlasticMemory, Step
from loopymeta.plots import canvas
from loopymeta.plots.canvas import BLACK, BLUE, GREY, ORANGE, PALE, SKY, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DRAWN = 150
"""Patterns that a figure can hold; more of them go on a page."""
_ROW = 0.27  # inches
_SMALL, _NORMAL = 9, 11  # points
_OPTIONS = 8  # of a step that are drawn one by one


# --- where everything lies -----------------------------------------------------------------------


def _layout(
    names: Sequence[str], edges: Iterable[tuple[str, str]], levels: Mapping[str, int]
) -> dict[str, tuple[int, float]]:
    """(column, row) of each pattern: level by level, above and below what follows from it."""
    after: dict[str, list[str]] = {name: [] for name in names}
    for above, name in edges:
        after[above].append(name)
    places: dict[str, tuple[int, float]] = {}
    rows = 0
    for root in names:
        if levels[root]:
            continue
        stack = [(root, iter(after[root]), [])]
        while stack:
            name, left, below = stack[-1]
            child = next((each for each in left if each not in places), None)
            if child is not None:
                places[child] = (levels[child], math.nan)  # nobody else may have it now
                stack.append((child, iter(after[child]), []))
                continue
            stack.pop()
            row = sum(below) / len(below) if below else float(rows)
            rows += not below
            places[name] = (levels[name], row)
            if stack:
                stack[-1][2].append(row)
    return places


def _seen(text: str) -> str:
    """A pattern as it can be printed on one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


# --- figures -------------------------------------------------------------------------------------


def graph_figure(
    memory: PlasticMemory, path: Sequence[str] | Sequence[Step] = (), title: str = ""
) -> Figure:
    """The graph of a small memory: levels from left to right, counts in the nodes.

    Args:
      memory: of at most `MOST_DRAWN` patterns.
      path: what to bring out: the steps of a completion, from `PlasticMemory.steps`, or patterns.
      title: stands above.

    Raises:
      ValueError: there are more patterns than can be read, or none; the path has some that are not
        in the memory. TypeError: the path is a bare string.
    """
    _check_some(memory)
    patterns, edges = memory.patterns(), memory.edges()
    if len(patterns) > MOST_DRAWN:
        raise ValueError(
            f"a figure holds 1 to {MOST_DRAWN} patterns, and there are {len(patterns):,}: "
            "write_html draws any number"
        )
    names = [each.pattern for each in patterns]
    counts = {each.pattern: each.count for each in patterns}
    way = _way(path, counts)
    places = _layout(names, edges, {each.pattern: each.level for each in patterns})
    depth = max(column for column, _ in places.values())
    num_rows = 1 + max(row for _, row in places.values())
    width = 2.2 * (depth + 1) + 1.2
    figure = canvas.blank(width, max(_ROW * num_rows + 1.5, 2.8))
    axes = figure.add_subplot()
    steps = {name: number for number, name in enumerate(way)}
    for above, name in edges:
        on = above in steps and steps.get(name) == steps[above] + 1
        _draw_edge(axes, places[above], places[name], on)
    samples = memory.samples()
    for name in names:
        whole, step = name in samples, steps.get(name)
        _draw_pattern(axes, places[name], name, counts[name], whole, step)
    for column in range(depth + 1):
        axes.text(column, -1.5, f"level {column}", color=GREY, fontsize=_NORMAL, ha="center")
    axes.set_xlim(-0.25, depth + 0.85)
    axes.set_ylim(num_rows - 0.3, -2)
    axes.set_axis_off()
    if title:
        canvas.heading(figure, title, width)
    said = "In each circle how often the pattern was potentiated; white: whole samples."
    if len(way) > 1 and set(itertools.pairwise(way)) <= set(edges):
        said += f" Orange: the way from {way[0]!r} to {way[-1]!r}, step by step."
    elif way:
        said += f" Orange: {', '.join(map(repr, way))}."
    canvas.caption(figure, said, width)
    return figure


def _check_some(memory: PlasticMemory) -> None:
    if not memory.samples():
        raise ValueError("the memory is empty: observe samples before you draw it")


def _way(path: Sequence[str] | Sequence[Step], known: Mapping[str, float]) -> list[str]:
    """The patterns of a path, all of them known."""
    if isinstance(path, str):
        raise TypeError(
            f"path must be the steps of a completion, memory.steps({path!r}), or a list of "
            f"patterns, got the string {path!r}"
        )
    way = [each.pattern if isinstance(each, Step) else each for each in path]
    for name in way:
        if name not in known:
            raise ValueError(f"path has {name!r}, which is no pattern of the memory")
    return way


def _draw_edge(axes: Axes, a: tuple[int, float], b: tuple[int, float], on: bool) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    middle = b[0] - 0.28
    corners = [a, (middle, a[1]), (middle, b[1]), b]
    curve = Curve(corners, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
    look = {"ec": VERMILLION, "lw": 2.6, "zorder": 2} if on else {"ec": PALE, "lw": 1.1}
    axes.add_patch(PathPatch(curve, fc="none", **look))


def _draw_pattern(
    axes: Axes, place: tuple[int, float], name: str, count: float, whole: bool, step: int | None
) -> None:
    on = step is not None
    face = VERMILLION if on else "white" if whole else SKY
    edge = VERMILLION if on else GREY if whole else BLUE
    axes.scatter(*place, s=130 + 34 * math.log2(1 + count), fc=face, ec=edge, lw=1.2, zorder=3)
    number = {"ha": "center", "va": "center", "fontsize": _SMALL - 1, "zorder": 4}
    axes.text(*place, f"{count:g}", color="white" if on else BLACK, **number)
    label = {"va": "center", "fontsize": _NORMAL, "family": "monospace", "zorder": 4}
    halo = {"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.85}
    weight = "bold" if on else "normal"
    colour = VERMILLION if on else BLACK
    axes.annotate(
        _seen(name),
        place,
        (11 + 1.2 * math.log2(1 + count), 0),
        textcoords="offset points",
        weight=weight,
        color=colour,
        bbox=halo,
        **label,
    )


def completion_figure(steps: Sequence[Step], title: str = "") -> Figure:
    """The way of the activation, step by step: what it could go on to, and where it went.

    Args:
      steps: from `PlasticMemory.steps`.
      title: stands above.

    Raises:
      ValueError: there are no steps. TypeError: something else is given, such as the memory.
    """
    if isinstance(steps, str) or not isinstance(steps, Sequence):
        raise TypeError(
            "completion_figure takes the steps of a completion, memory.steps(prefix), got a "
            f"{type(steps).__name__}"
        )
    if not steps:
        raise ValueError("there are no steps: no pattern begins with that prefix")
    width = max(2.6 * len(steps), 5.2)
    figure = canvas.blank(width, 4.6)
    axes = figure.add_subplot()
    tops: list[float] = []
    for column, step in enumerate(steps):
        axes.text(
            column + 0.02, -0.10, f"step {column + 1}", color=GREY, fontsize=_NORMAL, va="bottom"
        )
        label = {"fontsize": _NORMAL + 1, "family": "monospace", "weight": "bold"}
        axes.text(column + 0.02, -0.045, _seen(step.pattern), color=VERMILLION, **label)
        if step.taken is not None:
            tops.append(_draw_options(axes, column, step))
    for column, middle in enumerate(tops):
        arrow = {"arrowstyle": "-|>", "color": VERMILLION, "lw": 2, "shrinkA": 0, "shrinkB": 2}
        arrow["connectionstyle"] = "arc3,rad=0.12"
        axes.annotate("", (column + 1, -0.06), (column + 0.66, middle), arrowprops=arrow)
    axes.set_xlim(-0.02, len(steps) - 0.1)
    axes.set_ylim(1.02, -0.2)
    axes.set_axis_off()
    if title:
        canvas.heading(figure, title, width)
    canvas.caption(
        figure,
        "Each bar: where the activation can go from the pattern above it, in proportion to the "
        "counts. Orange: where it went; of equals, to the one that came first, unless drawn.",
        width,
    )
    return figure


def _draw_options(axes: Axes, column: int, step: Step) -> float:
    """The bar of a step; the middle of what was taken."""
    assert step.taken is not None
    total = math.fsum(step.counts) or 1.0
    order = sorted(range(len(step.counts)), key=lambda k: (k != step.taken, -step.counts[k]))
    shown = order[:_OPTIONS] if len(order) > _OPTIONS + 1 else order
    parts = [(step.options[k], step.counts[k]) for k in shown]
    others = [step.counts[k] for k in order[len(shown) :]]
    if others:
        parts.append((f"{len(others)} others", math.fsum(others)))
    top, middle = 0.0, 0.0
    for number, (name, count) in enumerate(parts):
        share = count / total
        face = ORANGE if number == 0 else "#CDE7F5"
        axes.bar(column + 0.33, share, 0.62, top, color=face, ec="white", lw=1.2)
        if number == 0:
            middle = top + share / 2
        if share > 0.045:
            text = {"va": "center", "fontsize": _SMALL + 1, "color": BLACK}
            axes.text(column + 0.05, top + share / 2, _seen(name), family="monospace", **text)
            axes.text(column + 0.61, top + share / 2, f"{share:.0%}", ha="right", **text)
        top += share
    return middle


# --- a page --------------------------------------------------------------------------------------


def page(memory: PlasticMemory, title: str = "Plastic memory") -> str:
    """The whole graph as one HTML page: pan, zoom, search, the ways to a pattern and on from it.

    It needs nothing but itself: no network, no other file. Patterns are data in it, never markup.

    Raises:
      ValueError: the memory is empty.
    """
    _check_some(memory)
    patterns, edges = memory.patterns(), memory.edges()
    names = [each.pattern for each in patterns]
    number = {name: at for at, name in enumerate(names)}
    places = _layout(names, edges, {each.pattern: each.level for each in patterns})
    content = {
        "start": memory.start,
        "end": memory.end,
        "patterns": names,
        "counts": [each.count for each in patterns],
        "levels": [each.level for each in patterns],
        "rows": [round(places[name][1], 3) for name in names],
        "from": [number[a] for a, _ in edges],
        "to": [number[b] for _, b in edges],
    }
    # Nothing in a pattern can end the script element, nor be taken for markup.
    text = (
        json.dumps(content, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")
    )
    filled = {"TITLE": html.escape(title), "DATA": text}
    template = (Path(__file__).parent / "plastic_memory.html").read_text("utf-8")
    return re.sub("@(TITLE|DATA)@", lambda found: filled[found[1]], template)


def write_html(
    memory: PlasticMemory, path: str | os.PathLike[str], title: str = "Plastic memory"
) -> Path:
    """Writes `page` to a file, atomically: the file.

    Raises:
      ValueError: the memory is empty. OSError: it could not be written.
    """
    from loopymeta.checkpoint import write_atomic

    path = Path(path)
    write_atomic(path, page(memory, title).encode())
    return path
