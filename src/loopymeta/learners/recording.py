"""What goes on inside a learner while it learns: recorders of inner quantities, and thin records.

A recorder looks at a state and a prediction and returns named arrays. It is the ``record`` of a
`Lifetime`, which calls it at every symbol, or of a `Recorded`, which calls it at every n-th. Those
of this module are for recurrent networks and gradients: `OnlineRNN`, each level of a
`HierarchicalLSTM`, and, but for `gates`, which are means over a window, `OnlineGradient`. Of an
`InContextRNN`, whose weights are theta, there is `cell_state` alone.

Axis letters: T symbols in a lifetime, R records, U units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, cast

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta._wiring import behind
from loopymeta.learners.hierarchical import HierarchicalState
from loopymeta.learners.host import HostLearner
from loopymeta.learners.in_context import InContextState
from loopymeta.learners.online_gradient import OnlineGradientState
from loopymeta.learners.recurrent import RNNState, Window
from loopymeta.lifetime import Lifetime, Outcome, State
from loopymeta.parameters import Theta
from loopymeta.tasks.base import Episode

Values = dict[str, Array]
"""Recorded quantities by name."""
Recorder = Callable[[Any, Array], Values]
"""(state, prediction) -> values."""

GATES = {
    4: ("input gate", "forget gate", "candidate", "output gate"),
    3: ("reset gate", "update gate", "candidate"),
    1: ("unit",),
}
"""The parts of LSTM, GRU and Elman cells, in the order in which flax keeps their weights."""


def _networks(state: Any, part: str = "weight") -> dict[str, Any]:
    """The networks of a state, by what stands before the names of their quantities.

    Args:
      state: of a learner that recorders look at.
      part: what is looked at in each: ``activity``, a list of layers; ``weight``; or ``window``.

    Raises:
      TypeError: it is of another learner, or of one that has no such part.
    """
    if isinstance(state, HierarchicalState):
        return {f"level {k} ": own for k, own in enumerate(state.levels)}
    own: Any = state
    if isinstance(state, OnlineGradientState):
        own = own._replace(activity=[state.activity])
    elif not isinstance(state, (RNNState, InContextState)):
        raise TypeError(
            "recorders look at OnlineRNN, HierarchicalLSTM, OnlineGradient and InContextRNN, not "
            f"at a {type(state).__name__}"
        )
    if not hasattr(state, part):
        raise TypeError(f"this recorder looks at a {part}, and {type(state).__name__} has none")
    return {"": own}


def _layers(state: Any, part: str = "weight") -> Iterator[tuple[str, Any, int]]:
    """(what stands before its names, network, place) of every layer; see `_networks`."""
    for prefix, own in _networks(state, part).items():
        several = len(own.activity) > 1
        for place in range(len(own.activity)):
            yield (f"{prefix}layer {place} " if several else prefix), own, place


def _cells(carried: Any) -> Array:
    return carried[0] if isinstance(carried, tuple) else carried


def _bias(cell: Any) -> Array:
    """[gates, U] the biases of a cell, wherever flax has them."""
    bias = next(part["bias"] for part in cell.values() if "bias" in part)
    return bias.reshape(-1, cell["dense_h"]["kernel"].shape[0])


def cell_state(state: Any, prediction: Array) -> Values:
    """[U] of each layer: what the cells hold (the units' activity, in networks without cells)."""
    layers = _layers(state, "activity")
    return {f"{name}cells": _cells(own.activity[k]) for name, own, k in layers}


def biases(state: Any, prediction: Array) -> Values:
    """[U] of each gate of each layer, and [O] of each readout."""
    found: Values = {}
    for name, own, k in _layers(state):
        bias = _bias(own.weight["cells"][k])
        for gate, values in zip(GATES[len(bias)], bias, strict=True):
            found[f"{name}{gate} bias"] = values
    for name, own in _networks(state).items():
        found[f"{name}readout bias"] = own.weight["readout"]["bias"]
    return found


def weight_norms(state: Any, prediction: Array) -> Values:
    """[] of each matrix of weights: its Frobenius norm."""
    found: Values = {}
    for name, own, k in _layers(state):
        cell = own.weight["cells"][k]
        found[f"{name}input weights"] = jnp.linalg.norm(cell["dense_i"]["kernel"])
        found[f"{name}recurrent weights"] = jnp.linalg.norm(cell["dense_h"]["kernel"])
    for name, own in _networks(state).items():
        found[f"{name}readout weights"] = jnp.linalg.norm(own.weight["readout"]["kernel"])
    return found


def gates(state: Any, prediction: Array) -> Values:
    """[U] of each gate of each layer: its mean over the last window, with the weights of now.

    While the first window fills it is the mean over what there is of it (NaN before a symbol).
    """
    found: Values = {}
    for name, own in _networks(state, "window").items():
        filled = _filled(own.window)

        def layers(stimulus: Array, activity: Any, cells: Any = own.weight["cells"]) -> Any:
            seen, signal = [], stimulus
            for cell, carried in zip(cells, activity, strict=True):
                values, signal = _gates(cell, carried, signal)
                seen.append(values)
            return seen

        each = jax.vmap(layers)(own.window.stimulus, own.window.activity)
        for k, values in enumerate(each):
            layer = f"{name}layer {k} " if len(each) > 1 else name
            mean = jnp.where(filled[:, None, None], values, 0.0).sum(0) / filled.sum()
            found |= {f"{layer}{g}": mean[i] for i, g in enumerate(GATES[len(mean)])}
    return found


def _filled(window: Window) -> Array:
    """[W] bool: whether there ever was a symbol in a place of a window.

    The first one says that it was resumed; later ones met activity, unless there was nothing but
    silence since birth, of which a place looks as if it had never been filled.
    """
    parts = jax.tree.leaves((window.stimulus, window.target, window.resumed, window.activity))
    flat = [x.reshape(x.shape[0], -1) for x in parts]
    return (jnp.concatenate(flat, axis=1) != 0).any(1)


def _gates(cell: Any, carried: Any, stimulus: Array) -> tuple[Array, Array]:
    """(gates [G, U], output [U]) of a flax cell that hears a stimulus."""
    hidden = carried[1] if isinstance(carried, tuple) else carried
    sums = [
        (x @ cell[part]["kernel"] + cell[part].get("bias", 0.0)).reshape(-1, hidden.shape[0])
        for part, x in (("dense_i", stimulus), ("dense_h", hidden))
    ]
    if isinstance(carried, tuple):
        summed = sums[0] + sums[1]
        opened = jax.nn.sigmoid(summed).at[2].set(jnp.tanh(summed[2]))
        entry, forget, candidate, out = opened
        return opened, out * jnp.tanh(forget * carried[0] + entry * candidate)
    if len(sums[0]) == 1:
        unit = jnp.tanh(sums[0] + sums[1])
        return unit, unit[0]
    reset, update = jax.nn.sigmoid(sums[0][:2] + sums[1][:2])
    candidate = jnp.tanh(sums[0][2] + reset * sums[1][2])
    return jnp.stack([reset, update, candidate]), (1 - update) * candidate + update * hidden


def together(*recorders: Recorder) -> Recorder:
    """One recorder of all that several record."""

    def record(state: Any, prediction: Array) -> Values:
        found: Values = {}
        for each in recorders:
            found |= each(state, prediction)
        return found

    return record


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded(Lifetime):
    """A lifetime that is recorded at every n-th symbol, so that a long one fits the memory.

    The metric ``record`` has what the recorder returns, stacked over records [R, ...], and beside
    it ``symbol`` [R], how many symbols had been lived, and ``error`` [R], the mean loss of the
    scored symbols since the record before (nats, or squares; NaN where none was scored). Symbols
    behind the last full n, at the end and before an intervention, are lived, but not recorded.

    Attributes:
      every: symbols between records.

    Raises:
      ValueError: nothing says what is recorded, or nowhere in the lifetime are so many symbols in a
        row; for what a `Lifetime` refuses, and for segments.

    >>> import loopymeta as lm
    >>> task = lm.tasks.Caesar(symbols=60)
    >>> learner = lm.learners.OnlineRNN.for_spec(task.spec, width=8, cell="elman")
    >>> life = Recorded(learner, task, record=weight_norms, every=20)
    >>> _, metrics = life(life.init_theta(), lm.key(0))
    >>> metrics["record"]["symbol"].tolist(), metrics["record"]["recurrent weights"].shape
    ([20, 40, 60], (3,))
    """

    every: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.learner, HostLearner):
            raise TypeError(
                f"{type(self.learner).__name__} lives on the host and is not recorded: look at it "
                "between two parts of a lifetime (loopymeta.living.live_through)"
            )
        _validate.at_least("every", self.every, 1)
        if self.record is None:
            raise ValueError("record must say what is recorded, such as recording.weight_norms")
        if self.segment:
            raise ValueError("a recorded lifetime is for looking, not for gradients: segment=0")
        longest = max(stage.stop - stage.start for stage in self.stages())
        if self.every > longest:
            between = " between two interventions" if len(self.stages()) > 1 else ""
            raise ValueError(
                f"every must be at most the {longest} symbols of the lifetime{between}, or nothing "
                f"is recorded; got {self.every}"
            )

    def advance(
        self, theta: Theta, state: State, episode: Episode, key: Array, start: Any = 0
    ) -> tuple[State, Outcome, Any]:
        """As `Lifetime.advance`, in blocks, at whose ends is recorded."""
        record, every = cast(Recorder, self.record), self.every
        names = [field.name for field in dataclasses.fields(Lifetime)]
        plain = Lifetime(**{name: getattr(self, name) for name in names} | {"record": None})
        saying = dataclasses.replace(plain, record=lambda state, prediction: prediction)

        def block(state: State, now: tuple[Array, Episode]) -> tuple[State, Any]:
            begin, part = now
            state, outcome, said = saying.advance(theta, state, part, key, begin)
            scored = behind(part.scored, outcome.loss)  # lanes, if any, come last
            error = jnp.where(scored, outcome.loss, 0.0).sum(0) / part.scored.sum()
            symbol = jnp.broadcast_to(begin + every, error.shape)
            seen = {"symbol": symbol, "error": error} | record(state, said[-1])
            return state, (outcome, seen)

        count = episode.target.shape[0] // every
        blocks, rest = (
            jax.tree.map(lambda x: x[: count * every].reshape(count, every, *x.shape[1:]), episode),
            jax.tree.map(lambda x: x[count * every :], episode),
        )
        begins = jnp.arange(count) * every + start
        state, (outcome, seen) = jax.lax.scan(block, state, (begins, blocks))
        outcome = jax.tree.map(lambda x: x.reshape(count * every, *x.shape[2:]), outcome)
        state, last, _ = plain.advance(theta, state, rest, key, start + count * every)
        return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), outcome, last), seen
