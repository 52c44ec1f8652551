"""What all figures share: colours, sizes of letters, titles, labels, and writing one to a file."""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loopymeta import _validate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY, PALE = "#E69F00", "#56B4E9", "#222222", "#767676", "#C8C8C8"
# What stands beside what was meta-learned; controls are grey, so these are free of grey.
CYCLE = (VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
CONTROLS = ("frozen", "shuffled", "zero", "before", "untrained")
SPOKEN = {
    "learned": "meta-learned",
    "frozen": "frozen (no plasticity)",
    "shuffled": "shuffled changes",
    "zero": "zero rule",
    "before": "before training",
    "untrained": "before training",
    "lstm": "LSTM",
    "gru": "GRU",
    "rnn": "RNN",
}
SMALL, NORMAL, _LARGE = 10, 12, 14  # points
_DPI = 150
_MARGIN = 0.06  # inches


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def dress(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Titles, labels and ticks at a size for slides; no box around the data."""
    axes.set_title(title, fontsize=_LARGE, loc="left")
    axes.set_xlabel(x, fontsize=NORMAL)
    axes.set_ylabel(y, fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL + 1)
    axes.spines[["top", "right"]].set_visible(False)


def caption(figure: Any, text: str, width: float) -> None:
    """A line or two below everything, wrapped to the figure's width in inches."""
    lines = textwrap.wrap(text, int(width * 72 / (SMALL * 0.56)))
    left = _MARGIN / width
    label = figure.supxlabel(
        "\n".join(lines), fontsize=SMALL, color="#444444", x=left, ha="left", linespacing=1.3
    )
    label.set_in_layout(True)


def heading(figure: Any, text: str, width: float, **look: Any) -> None:
    """The title above everything, from the left edge of a figure of so many inches."""
    text = textwrap.fill(text, max(20, int(10 * width)))  # about so many letters fit into a line
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


def label_ends(axes: Axes, labels: Sequence[tuple[str, float, Any]]) -> None:
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
            fontsize=NORMAL - 1,
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
    moved = _spread_out(pixels * points, 1.35 * NORMAL, box.y0 * points, box.y1 * points)
    for note, y, place in zip(written, pixels * points, moved, strict=True):
        note.xy = (1, axes.transData.inverted().transform((0, y / points))[1])
        note.xyann = (14, place - y)


def reference(axes: Axes, value: float) -> None:
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
