"""One lifetime, symbol by symbol: what was heard, predicted and taught, and how weights changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from loopymeta import _validate
from loopymeta.plots import canvas, results
from loopymeta.plots.canvas import BLACK, BLUE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from loopymeta._jax import Array


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
    figure = canvas.blank(11, 1.2 + sum(heights))
    shape = (len(arrays), len(parts))
    grid = figure.subplots(*shape, sharex="col", squeeze=False, height_ratios=heights)
    for row, (name, values) in zip(grid, arrays.items(), strict=True):
        marks = target if name == "prediction" else None
        _draw_series(figure, row, name, values, parts, marks, symbols, max_lines)
    for axes in grid[-1]:
        axes.set_xlabel(x, fontsize=canvas.NORMAL)
        axes.locator_params(axis="x", nbins=5)
    note = f": the first {len(parts[0]):,} and the last {len(parts[-1]):,} of {length:,}"
    heading = title + (note + f" {x.split()[0]}" if len(parts) > 1 else "")
    canvas.heading(figure, heading, 11)
    return figure


# Jitted code gives dictionaries back in the order of the alphabet.
_BUNDLES = ("memory", "hidden", "outputs")
_ORDER = ("stimulus", "prediction", "activity", *(f"weights_onto_{kind}" for kind in _BUNDLES))


def _rank(name: Any) -> int:
    """One's own quantities first, then those of `record_network` as they cause one another."""
    return _ORDER.index(name) + 1 if name in _ORDER else 0


def _series(name: Any, values: Any) -> np.ndarray:
    array = results.numbers(values, f"record[{name!r}]")
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
        canvas.dress(axes)
        axes.set_title(title if axes is row[0] else "", fontsize=canvas.NORMAL, loc="left")
        axes.set_xlim(times[0] - 0.5, times[-1] + 0.5)
        if axes is not row[0]:
            axes.tick_params(labelleft=False)
    if image is not None:
        bar = figure.colorbar(image, ax=list(row), pad=0.01, aspect=12)
        bar.ax.tick_params(labelsize=canvas.SMALL)
        kinds = {"activity": "node", "weights": "synapse"}
        row[0].set_ylabel(kinds.get(name.split("_")[0], ""), fontsize=canvas.NORMAL)
        count = values.shape[1]
        one_hot = symbols is not None and 0 <= count - len(symbols) <= 1  # with the constant input
        named = name == "prediction" or (name == "stimulus" and one_hot)
        _name_rows(row[0], count, symbols if named else None)


def _draw_lines(axes: Axes, times: np.ndarray, values: np.ndarray) -> None:
    colours = (BLUE, *canvas.CYCLE)
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
    axes.set_yticks(np.arange(len(names))[::step], names[::step], fontsize=canvas.SMALL)
