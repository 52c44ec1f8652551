"""Figures of what goes on inside a learner: its records, and the changes of state in a hierarchy.

Every function returns a `matplotlib.figure.Figure`; `loopymeta.plots.save` writes one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from loopymeta import _validate
from loopymeta.learners.recording import GATES
from loopymeta.plots import canvas
from loopymeta.plots.canvas import BLUE, GREY, ORANGE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4
_WIDTH, _HEIGHT = 3.3, 2.5  # inches of a panel


_GATES = (*(gate for gate in GATES[4] if gate != "candidate"), *GATES[3], *GATES[1])
_GROUPS = (
    ("error",),
    ("cells",),
    _GATES,
    (*(f"{gate} bias" for gate in _GATES), "readout bias"),
    ("input weights", "recurrent weights", "readout weights"),
)
"""Quantities of `loopymeta.learners.recording` that are of a kind, in the order of the panels."""
_ERROR, _, _OPEN, _, _NORMS = range(len(_GROUPS))


def plot_record(
    record: Mapping[str, Any],
    title: str = "",
    columns: int = _COLUMNS,
    symbols: str = "symbol",
    units: Mapping[str, str] | None = None,
) -> Figure:
    """What was recorded, a panel a quantity, over the symbols of the lifetime.

    A quantity of many units is drawn as its mean, the band in which half of the units lie, and the
    one in which 9 of 10 do. Quantities of a kind stand together: the error, what cells hold, gates,
    biases, norms of weights, then all others in their order. A caption says what is drawn.

    Args:
      record: the metric ``record`` of one lifetime (see `loopymeta.learners.Recorded`): arrays [R]
        or [R, U].
      title: above everything.
      columns: panels side by side.
      symbols: which of the entries says where the records were made; without it they are numbered.
      units: of a quantity, by its name, such as ``{"error": "nats per symbol"}``.

    Raises:
      ValueError: there is nothing to draw, records are not of one length, or units are of what was
        not recorded.
    """
    _validate.at_least("columns", columns, 1)
    arrays = {name: np.asarray(values, float) for name, values in record.items()}
    where = arrays.pop(symbols, None)
    if not arrays:
        raise ValueError("record has nothing to draw")
    lengths = {len(values) if values.ndim else 0 for values in arrays.values()}
    if len(lengths) != 1 or max(values.ndim for values in arrays.values()) > 2:
        shapes = {name: values.shape for name, values in arrays.items()}
        raise ValueError(f"records must be [R] or [R, U] of one lifetime, got {shapes}")
    length = lengths.pop()
    if not length:
        raise ValueError("the record is empty: nothing was recorded in the lifetime")
    units = {} if units is None else units
    for name in units:
        _validate.choice("units of", name, arrays)
    where = np.arange(length) if where is None else where
    columns = min(columns, len(arrays))
    places = _places(list(arrays), columns)
    rows = 1 + max(row for row, _ in places.values())
    width = _WIDTH * columns
    figure = canvas.blank(width, _HEIGHT * rows + 1.0)
    grid, first = figure.add_gridspec(rows, columns), None
    for name, (row, column) in places.items():
        axes = first = figure.add_subplot(grid[row, column], sharex=first)
        _draw_quantity(axes, where, arrays[name])
        low = (row + 1, column) not in places.values()  # the lowest of its column
        unit = units.get(name, "norm" if _kind(name)[0] == _NORMS else "")
        canvas.dress(axes, name, "symbols lived" if low else "", unit)
        axes.tick_params(labelbottom=low)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.title.set_fontsize(canvas.NORMAL)
    if title:
        canvas.heading(figure, title, width)
    if said := _said_of(arrays):
        canvas.caption(figure, said, width)
    return figure


def _kind(name: str) -> tuple[int, str, int]:
    """(group, layer, place in the group) of a quantity: what panels are sorted by."""
    for group, parts in enumerate(_GROUPS):
        for place, part in enumerate(parts):
            if name == part or name.endswith(f" {part}"):
                return group, name.removesuffix(part), place
    return len(_GROUPS), "", 0


def _places(names: Sequence[str], columns: int) -> dict[str, tuple[int, int]]:
    """(row, column) of each quantity: a group begins in a new row, unless the old one holds it."""
    places: dict[str, tuple[int, int]] = {}
    at = 0
    for _, group in itertools.groupby(sorted(names, key=_kind), lambda name: _kind(name)[0]):
        group = list(group)
        if len(group) > -at % columns:
            at += -at % columns
        places |= {name: divmod(at + k, columns) for k, name in enumerate(group)}
        at += len(group)
    return places


def _said_of(arrays: Mapping[str, np.ndarray]) -> str:
    """What lines and bands are, and what quantities mean that do not say so themselves."""
    groups = {_kind(name)[0] for name in arrays}
    said = []
    if any(values.ndim > 1 for values in arrays.values()):
        said.append("Line: the mean over units; dark band: half of the units; pale band: 9 of 10.")
    if _ERROR in groups:
        said.append("Error: the mean since the record before, of the symbols that are scored.")
    if _OPEN in groups:
        said.append("Gates: means over the last window; 0 is closed, 1 open (candidates: -1 to 1).")
    if _NORMS in groups:
        said.append("Weights: the Frobenius norm of their matrix.")
    return " ".join(said)


def _draw_quantity(axes: Axes, where: np.ndarray, values: np.ndarray) -> None:
    if values.ndim == 1:
        axes.plot(where, values, color=BLUE, lw=1.5)
        return
    for low, high, alpha in ((5, 95, 0.18), (25, 75, 0.3)):
        band = np.nanpercentile(values, (low, high), axis=1)
        axes.fill_between(where, *band, color=BLUE, alpha=alpha, lw=0)
    axes.plot(where, np.nanmean(values, axis=1), color=BLUE, lw=1.5)


def plot_changes(
    cells: Sequence[Any], text: str, surprise: Any = None, shown: int = 90, lags: int = 40
) -> Figure:
    """How the change of state at each level of a hierarchy spreads over time.

    On the left, over a piece of text, how much each cell of each level changes at each character,
    with the surprise of the prediction above it; cells that change together stand together. On the
    right, over all of the text, how alike the states of a level are some characters apart (the
    correlation over cells, of what is left without each cell's mean): a level that condenses time
    stays alike for longer.

    Args:
      cells: of each level, the lowest first, the state of its cells after each character [T, U].
      text: the T characters.
      surprise: [T] nats of each character; None: not drawn.
      shown: characters of the piece, the last ones.
      lags: characters apart, at most.

    Raises:
      ValueError: the states are not of T characters each, or too few for the lags.
    """
    levels = [np.asarray(values, float) for values in cells]
    total = len(text)
    if not levels or any(values.ndim != 2 or len(values) != total for values in levels):
        shapes = [values.shape for values in levels]
        raise ValueError(f"cells must be [{total}, U] for each level, got {shapes}")
    if total <= lags + 1:
        raise ValueError(f"text must be longer than lags + 1 = {lags + 1}, got {total} characters")
    shown = min(shown, total - 1)
    with_surprise = surprise is not None
    heights = [0.7] * with_surprise + [1.6] * len(levels)
    width, height = 13.5, sum(heights) * 1.35 + 1.3
    figure = canvas.blank(width, height)
    grid = figure.add_gridspec(len(heights), 2, width_ratios=(3.4, 1), height_ratios=heights)
    piece = text[-shown:]
    if with_surprise:
        axes = figure.add_subplot(grid[0, 0])
        axes.bar(np.arange(shown), np.asarray(surprise, float)[-shown:] / math.log(2), color=GREY)
        canvas.dress(axes, y="bits")
        axes.set_xlim(-0.5, shown - 0.5)
        axes.set_xticks([])
    for place, values in enumerate(levels):
        axes = figure.add_subplot(grid[place + with_surprise, 0])
        changes = np.abs(np.diff(values, axis=0))[-shown:]
        scale = np.percentile(changes, 99) or 1.0
        image = axes.imshow(
            changes[:, _alike(changes)].T,
            aspect="auto",
            cmap="magma",
            vmin=0,
            vmax=scale,
            interpolation="nearest",
        )
        figure.colorbar(image, ax=axes, pad=0.01, label="change")
        canvas.dress(axes, y=f"level {place}\ncells")
        axes.set_yticks([])
        last = place == len(levels) - 1
        axes.set_xticks(np.arange(shown) if last else [])
        if last:
            axes.set_xticklabels([_visible(c) for c in piece], fontsize=8, family="monospace")
            axes.tick_params(axis="x", length=0)
    axes = figure.add_subplot(grid[:, 1])
    colours = (BLUE, VERMILLION, ORANGE, GREY)
    for place, values in enumerate(levels):
        colour = colours[place % len(colours)]
        axes.plot(range(lags + 1), likeness(values, lags), color=colour, label=f"level {place}")
    axes.axhline(0, color=GREY, lw=0.8)
    canvas.dress(axes, "likeness of states", "characters apart", "correlation")
    axes.legend(frameon=False)
    canvas.heading(figure, "Change of state at each level", width)
    return figure


def likeness(values: np.ndarray, lags: int) -> np.ndarray:
    """[lags + 1] correlation of the states [T, U] that lie 0, 1, ... lags symbols apart.

    >>> import numpy as np
    >>> likeness(np.array([[1.0], [-1.0]] * 50), 2).round(1).tolist()
    [1.0, -1.0, 1.0]
    """
    own = values - values.mean(0)
    power = (own**2).sum(1).mean()
    if power == 0:
        return np.zeros(lags + 1)
    means = [(own[lag:] * own[: len(own) - lag]).sum(1).mean() for lag in range(lags + 1)]
    return np.array(means) / power


def _alike(changes: np.ndarray) -> np.ndarray:
    """The order of cells in which those that change together are neighbours."""
    own = changes - changes.mean(0)
    _, _, directions = np.linalg.svd(own, full_matrices=False)
    first, second = (directions[k] if k < len(directions) else directions[0] for k in (0, 1))
    return np.argsort(np.arctan2(second, first), kind="stable")


def _visible(character: str) -> str:
    return {" ": "␣", "\n": "↵", "\r": "", "\t": "⇥"}.get(character, character)
