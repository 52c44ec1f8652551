"""The figure of a leaderboard: a heat map of tasks by entrants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from loopymeta.leaderboard import tables
from loopymeta.leaderboard.board import sizes
from loopymeta.leaderboard.entrants import CHANCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _COLUMN, _LEFT, _TOP, _BOTTOM = 0.30, 1.05, 2.9, 1.75, 1.15  # inches
_SMALL, _NORMAL, _LARGE = 9, 10.5, 14  # points
_INK, _FAINT, _BAD = "#222222", "#767676", "#D55E00"
_WHY = {"unable": "–", "failed": "failed", "not finite": "not finite", "below floor": "below floor"}


def heat_map(board: Mapping[str, Any]) -> Figure:
    """Tasks by entrants: colour from chance (dark) to the best possible (bright), figures inside.

    Colours are cividis, which readers with any colour vision tell apart; the mean stands in every
    cell, so that nothing hangs on colour alone. A figure below its task's floor is not shown.

    Args:
      board: from `loopymeta.leaderboard.compare`.
    """
    from matplotlib.figure import Figure

    names = [entrant["name"] for entrant in board["entrants"]]
    rows = list(tables.rows(board))
    places, heads = _places([task["family"] for task, _, _ in rows])
    width = _LEFT + _COLUMN * (len(names) + 1) + 0.4
    height = _TOP + _ROW * (places[-1] + 1) + _BOTTOM
    figure = Figure(figsize=(width, height), dpi=150)
    inside = ((_LEFT, _COLUMN * (len(names) + 1)), (_BOTTOM, height - _TOP - _BOTTOM))
    (x, w), (y, h) = inside
    axes = figure.add_axes((x / width, y / height, w / width, h / height))
    axes.set_xlim(0, len(names) + 1)
    axes.set_ylim(places[-1] + 1, 0)
    axes.set_axis_off()
    for (task, cells, best), place in zip(rows, places, strict=True):
        _draw_row(axes, task, cells, best, place)
    for family, place in heads:
        axes.text(-2.62, place + 0.62, family, fontsize=_NORMAL, weight="bold", color=_INK)
    _draw_names(axes, [*board["entrants"], {"name": "best possible", "kind": "", "control": ""}])
    _draw_frame(figure, board, width, height)
    return figure


def _places(families: Sequence[str]) -> tuple[list[int], list[tuple[str, int]]]:
    """The line of each task, and (family, line) of the headings between them."""
    places, heads, line = [], [], 0
    for at, family in enumerate(families):
        if at == 0 or family != families[at - 1]:
            heads.append((family, line))
            line += 1
        places.append(line)
        line += 1
    return places, heads


def _colour(score: float | None) -> Any:
    import matplotlib

    if score is None:
        return "#EDEDED"
    return matplotlib.colormaps["cividis"](float(np.clip(score, 0.0, 1.0)))


def _draw_row(
    axes: Axes,
    task: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    best: Sequence[bool],
    place: int,
) -> None:
    from matplotlib.patches import Rectangle

    metric = task["metric"].replace("_", " ")
    axes.text(-0.1, place + 0.5, metric, ha="right", va="center", fontsize=_SMALL, color=_FAINT)
    axes.text(-2.5, place + 0.5, tables.label(task), va="center", fontsize=_NORMAL, color=_INK)
    for column, (cell, top) in enumerate(zip(cells, best, strict=True)):
        ok = "mean" in cell
        score = cell.get("score") if ok else None
        if ok or cell["status"] != "unable":
            box = Rectangle((column, place), 1, 1)
            box.set(facecolor=_colour(score) if ok else "white", edgecolor="white" if ok else _BAD)
            box.set(linewidth=1.0 if ok else 0.0, hatch=None if ok else "////")
            axes.add_patch(box)
        text = tables.number(cell["mean"]) if ok else _WHY[cell["status"]]
        dark = score is not None and score < 0.55
        ink = "white" if dark else _INK if ok or cell["status"] == "unable" else _BAD
        axes.text(
            column + 0.5,
            place + 0.52,
            text,
            ha="center",
            va="center",
            fontsize=_NORMAL if ok else _SMALL,
            weight="bold" if top else "normal",
            color=ink,
            bbox=None if ok else {"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
        if top:
            inset = Rectangle((column + 0.04, place + 0.08), 0.92, 0.84, fill=False)
            inset.set(edgecolor=ink, linewidth=1.3)
            axes.add_patch(inset)
    axes.text(
        len(cells) + 0.5,
        place + 0.52,
        tables.limit(task),
        ha="center",
        va="center",
        fontsize=_NORMAL,
        color=_FAINT,
    )


def _draw_names(axes: Axes, entrants: Sequence[Mapping[str, Any]]) -> None:
    """The entrants above their columns, aslant so that long names do not meet."""
    for column, entrant in enumerate(entrants):
        test = entrant["kind"] == "rule" and entrant["control"] == "none"
        limit = entrant["name"] == CHANCE or not entrant["kind"]
        axes.text(
            column + 0.35,
            -0.12,
            entrant["name"],
            rotation=35,
            ha="left",
            va="bottom",
            rotation_mode="anchor",
            fontsize=_NORMAL + 0.5,
            weight="bold" if test else "normal",
            color=_FAINT if limit else _INK,
        )


def _draw_frame(figure: Figure, board: Mapping[str, Any], width: float, height: float) -> None:
    """The title, the scale of colours and what must be known to read the figure."""
    about = board["about"]
    num = len(board["tasks"])
    title = f"{num} task{'s' * (num > 1)}, mean over {about['seeds']} fresh seeds"
    figure.text(0.15 / width, 1 - 0.2 / height, title, fontsize=_LARGE, va="top", weight="bold")
    scale = figure.add_axes((0.15 / width, 0.72 / height, 2.4 / width, 0.16 / height))
    scale.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap="cividis")
    scale.set_yticks([])
    scale.set_xticks([0, 255], ["chance", "best possible"], fontsize=_SMALL)
    for label, side in zip(scale.get_xticklabels(), ("left", "right"), strict=True):
        label.set(horizontalalignment=side)
    scale.tick_params(length=0)
    text = (
        "↑ higher is better, ↓ lower is better; framed: the best, where one beats chance.\n"
        "best possible: floor of the loss, or what is perfect; ?: not known, the scale then ends "
        "at the best learner.\n"
        "–: the learner is not made for the task; hatched: no figure, and why.\n"
        f"{sizes(board)}"
    )
    figure.text(
        2.9 / width, 0.9 / height, text, fontsize=_SMALL, va="top", color="#444444", linespacing=1.4
    )
