"""Recurrent networks trained by gradients, symbol by symbol: the rivals of plastic networks.

An LSTM, a GRU or an Elman network lives the same lifetime as everyone else: it predicts, is taught,
and every few symbols takes one step of gradient descent, by backpropagation through a window of the
last symbols (truncated there; Williams and Peng, 1990). Nothing is learned twice.

Axis letters: W symbols in a window, I inputs, O outputs.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.interventions import perturbed, survivors
from loopymeta.learners import optimizers
from loopymeta.learners.optimizers import Optimizer
from loopymeta.learners.parallel import all_streams, any_stream, mean_of_streams
from loopymeta.lifetime import symbol_loss
from loopymeta.network import Teaching
from loopymeta.parameters import Space, Theta
from loopymeta.tasks.base import Spec

LEARNING_RATES = {"lstm": 0.03, "gru": 0.01, "elman": 0.005}
"""Of Adam, by cell: those that predict names best (docs/baselines.md)."""
_LSTM_FORGET_BIAS = 1.0  # remember by default (Jozefowicz, Zaremba and Sutskever, 2015)


class Window(NamedTuple):
    """The last symbols: those since the last update, behind those that their gradient reaches.

    Attributes:
      stimulus: [W, I].
      target: [W, O].
      taught: [W] 1.0 where the target was shown and has not been learned from yet.
      resumed: [W] 1.0 where the activity did not come from the entry before: at the first one, and
        after symbols at which the network was frozen, which are not learned from.
      activity: what the cells carried before each symbol, leaves [W, width].
    """

    stimulus: Array
    target: Array
    taught: Array
    resumed: Array
    activity: Any


class RNNState(NamedTuple):
    """What an `OnlineRNN` carries from symbol to symbol.

    Attributes:
      weight: of cells and readout.
      optimizer: the optimiser's moments.
      activity: what the cells carry.
      window: the last symbols.
      count: how many of its places are filled; it is learned from when all are.
      learning: whether the last symbol went into it (else the network was frozen).
      age: symbols since birth.
      kept: 1.0 or 0.0 for each weight, the ones that were removed in mid-life; () while none is.
    """

    weight: Any
    optimizer: Any
    activity: Any
    window: Window
    count: Array
    learning: Array
    age: Array
    kept: Any = ()


def sizes_of(spec: Spec) -> dict[str, Any]:
    """What a task says of a network that is trained by gradients: sizes, loss and lifespan."""
    return {
        "num_inputs": spec.num_inputs,
        "num_outputs": spec.num_outputs,
        "loss": spec.loss,
        "lifespan": float(spec.symbols_lived),
    }


@dataclasses.dataclass(frozen=True)
class OnlineRNN:
    """A recurrent network that learns online by truncated backpropagation through time.

    Every ``interval`` symbols, after the prediction, the weights take a step along the gradient of
    the mean loss over the taught ones of these symbols,

      weight <- weight - learning_rate / (1 + age / (horizon lifespan)) * direction(gradient).

    The activity runs on over all borders. The gradient flows back through the last ``window``
    symbols: with interval = window the stream is cut into windows, and with a shorter interval
    windows overlap, so that every loss reaches at least window - interval symbols back, at
    window / interval times the cost (the BPTT(h; h') of Williams and Peng, 1990).

    Symbols that are not taught are lived through, but do not count; where none is taught, nothing
    changes. While ``teaching.plastic`` is 0 the activity goes on, but symbols enter
    no window and no weight changes; other values of ``plastic`` are all taken as 1.

    Theta is ``{"learning_rate", "horizon"}``. The defaults are tuned on names, without the test
    names (docs/baselines.md); tune them before you claim anything on another task.

    References: Williams and Peng (1990); Hochreiter and Schmidhuber (1997); Kingma and Ba (2015).

    Raises:
      ValueError, TypeError: for choices that are unknown and numbers that cannot be.

    >>> from loopymeta import tasks
    >>> learner = OnlineRNN.for_spec(tasks.Caesar().spec, width=32)
    >>> sorted(learner.init_theta())
    ['horizon', 'learning_rate']
    """

    num_inputs: int
    """Size of the stimulus."""
    num_outputs: int
    """Size of the prediction."""
    loss: str = "cross_entropy"
    """``cross_entropy`` (predictions are logits) or ``squared_error``."""
    cell: str = "lstm"
    """``lstm``, ``gru`` or ``elman``."""
    width: int | tuple[int, ...] = 128
    """Units in a layer, or in each of the layers, the lowest first."""
    num_layers: int = 1
    """Layers of cells of one width, each reading the one below; the last is read out."""
    window: int = 16
    """Symbols that the gradient flows back through."""
    interval: int | None = None
    """Symbols between updates, at most a window; None: a window."""
    learning_rate: float | None = None
    """Step size of the optimiser at birth; None: that of `LEARNING_RATES` for the cell."""
    horizon: float = 0.1
    """Part of the lifespan after which the learning rate is halved."""
    lifespan: float = 10000.0
    """Symbols that the network expects to live."""
    optimizer: Optimizer = "adam"
    """``adam``, ``rmsprop``, ``adadelta``, ``momentum`` or ``sgd``; any other of optax by name,
    with options if need be (``adamw(weight_decay=0.01)``); or a function of a learning rate."""
    momentum: float = 0.5
    """Decay of the mean gradient (adam, momentum)."""
    memory: float = 0.999
    """Decay of the mean squared gradient (adam, rmsprop, adadelta)."""
    clip: float = 0.0
    """Largest norm of a gradient; a longer one is shortened to it. 0: none is."""
    parallel: bool = False
    """Whether it lives in parallel streams; set by `loopymeta.learners.Parallel`."""

    def __post_init__(self) -> None:
        for name in ("num_inputs", "num_outputs", "num_layers", "window"):
            _validate.at_least(name, getattr(self, name), 1)
        for width in self.widths:
            _validate.at_least("width", width, 1)
        if isinstance(self.width, tuple) and (not self.width or self.num_layers != 1):
            raise ValueError(
                "a tuple of widths has one for each layer, and num_layers is left as it is; got "
                f"width={self.width}, num_layers={self.num_layers}"
            )
        if self.interval is not None:
            _validate.at_least("interval", self.interval, 1)
            _validate.between("interval", self.interval, 1, self.window)
        _validate.choice("loss", self.loss, ("cross_entropy", "squared_error"))
        _validate.choice("cell", self.cell, LEARNING_RATES)
        optimizers.check(self.optimizer, self.momentum, self.memory, self.clip)
        _validate.positive("lifespan", self.lifespan)
        _validate.positive("horizon", self.horizon)
        if self.learning_rate is not None:
            _validate.positive("learning_rate", self.learning_rate)

    @classmethod
    def for_spec(cls, spec: Spec, **choices: Any) -> OnlineRNN:
        """The network for a task: its sizes, its loss and its lifespan."""
        return cls(**(sizes_of(spec) | choices))

    # --- theta -----------------------------------------------------------------------------------

    def init_theta(self, key: Array | None = None) -> Theta:
        """``{"learning_rate", "horizon"}``, in natural units."""
        rate = LEARNING_RATES[self.cell] if self.learning_rate is None else self.learning_rate
        return {"learning_rate": jnp.asarray(rate), "horizon": jnp.asarray(float(self.horizon))}

    def space(self) -> Any:
        """The search space of each leaf of theta: both on a logarithmic scale."""
        return {"learning_rate": Space("log"), "horizon": Space("log")}

    # --- the network -----------------------------------------------------------------------------

    @property
    def widths(self) -> tuple[int, ...]:
        """Units in each layer."""
        return self.width if isinstance(self.width, tuple) else (self.width,) * self.num_layers

    def _cell(self, layer: int, key: Array | int) -> Any:
        """The flax cell of a layer, with fresh weights."""
        from flax import nnx

        kinds = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "elman": nnx.SimpleCell}
        size, width = (self.num_inputs, *self.widths)[layer : layer + 2]
        kind = jnp.result_type(float)  # that of the activity; flax's own is float32 in any case
        cell = kinds[self.cell](size, width, dtype=kind, param_dtype=kind, rngs=nnx.Rngs(key))
        if self.cell == "lstm":  # gates in flax's order: input, forget, cell, output
            bias: Any = cell.dense_h.bias
            forget = slice(width, 2 * width)
            bias[...] = bias[...].at[forget].set(_LSTM_FORGET_BIAS)
        return cell

    def init_weight(self, key: Array) -> dict[str, Any]:
        """Fresh weights, as nested dicts of arrays."""
        from flax import nnx

        keys = jax.random.split(key, len(self.widths) + 1)
        cells = [nnx.state(self._cell(k, keys[k])) for k in range(len(self.widths))]
        readout = nnx.Linear(
            self.widths[-1],
            self.num_outputs,
            param_dtype=jnp.result_type(float),
            rngs=nnx.Rngs(keys[-1]),
        )
        return {
            "cells": [nnx.to_pure_dict(cell) for cell in cells],
            "readout": nnx.to_pure_dict(nnx.state(readout)),
        }

    def silence(self) -> Any:
        """The activity of a newborn."""
        units = [jnp.zeros(width) for width in self.widths]
        return [(none, none) if self.cell == "lstm" else none for none in units]

    def predict(self, weight: Any, activity: Any, stimulus: Array) -> tuple[Any, Array]:
        """One symbol of activity: (activity, prediction [O])."""
        activity, hidden = self._advance(weight, activity, stimulus)
        return activity, self._read(weight, hidden)

    def _advance(self, weight: Any, activity: Any, stimulus: Array) -> tuple[Any, Array]:
        """One symbol of activity: (activity, output of the last layer [width])."""
        from flax import nnx

        after, signal = [], stimulus
        for layer in range(len(self.widths)):
            definition, state = nnx.split(nnx.eval_shape(lambda k=layer: self._cell(k, 0)))
            nnx.replace_by_pure_dict(state, weight["cells"][layer])
            carried, signal = nnx.merge(definition, state)(activity[layer], signal)
            after.append(carried)
        return after, signal

    @staticmethod
    def _read(weight: Any, hidden: Array) -> Array:
        """The prediction from the output of the last layer: [width] -> [O]."""
        return hidden @ weight["readout"]["kernel"] + weight["readout"]["bias"]

    # --- learning --------------------------------------------------------------------------------

    def _transform(self) -> Any:
        """The optimiser at learning rate 1."""
        return optimizers.transformation(self.optimizer, self.momentum, self.memory, self.clip)

    def window_loss(self, weight: Any, window: Window) -> Array:
        """Mean loss over what a full window is to teach (0 where nothing), in nats or squares."""

        def advance(activity: Any, entry: Window) -> tuple[Any, Array]:
            activity = jax.tree.map(
                lambda own, kept: jnp.where(entry.resumed > 0, kept, own), activity, entry.activity
            )
            return self._advance(weight, activity, entry.stimulus)

        start = jax.tree.map(lambda x: x[0], window.activity)
        _, hidden = jax.lax.scan(advance, start, window)
        prediction = jax.vmap(lambda h: self._read(weight, h))(hidden)
        losses, _ = symbol_loss(prediction.T, window.target.T, self.loss)
        return (losses * window.taught).sum() / jnp.maximum(window.taught.sum(), 1.0)

    def descend(self, theta: Theta, state: Any, gradient: Any) -> tuple[Any, Any]:
        """One step of the optimiser down a gradient: (weight, optimizer).

        ``state`` is any with weight, optimizer, age and kept, as an `RNNState` has them.
        """
        if not isinstance(state.kept, tuple):  # of what is not there the optimiser hears nothing
            gradient = jax.tree.map(jnp.multiply, gradient, state.kept)
        direction, optimizer = self._transform().update(gradient, state.optimizer, state.weight)
        step = theta["learning_rate"] / (1 + state.age / (theta["horizon"] * self.lifespan))
        weight = jax.tree.map(lambda w, d: w + step * d, state.weight, direction)
        if not isinstance(state.kept, tuple):
            weight = jax.tree.map(jnp.multiply, weight, state.kept)
        return weight, optimizer

    def _update(self, theta: Theta, state: RNNState) -> RNNState:
        """One step down the gradient of the window's loss; only what overlaps stays in it."""
        gradient = jax.grad(self.window_loss)(state.weight, state.window)
        gradient = mean_of_streams(gradient, self.parallel)
        changed = self.descend(theta, state, gradient)
        taught = any_stream(state.window.taught.any(), self.parallel)
        weight, optimizer = jax.tree.map(
            lambda new, old: jnp.where(taught, new, old),
            changed,
            (state.weight, state.optimizer),
        )
        return self._overlapping(state._replace(weight=weight, optimizer=optimizer))

    def _overlapping(self, state: RNNState) -> RNNState:
        """What a window keeps of the one before: symbols to reach back to, not to learn again."""
        interval = self.window if self.interval is None else self.interval
        window = state.window
        if interval < self.window:
            window = jax.tree.map(lambda x: jnp.roll(x, -interval, axis=0), window)
            window = window._replace(taught=jnp.zeros(self.window))
        return state._replace(window=window, count=jnp.full((), self.window - interval, jnp.int32))

    def _learn(self, theta: Theta, state: RNNState, entry: Window, plastic: Array) -> RNNState:
        """Puts a symbol into the window and, if that is full, learns from it."""
        place = state.count
        window = jax.tree.map(
            lambda kept, new: kept.at[place].set(jnp.where(plastic, new, kept[place])),
            state.window,
            entry,
        )
        state = state._replace(
            window=window, count=place + plastic, learning=plastic, age=state.age + 1
        )
        full = state.count >= self.window
        return jax.lax.cond(full, lambda s: self._update(theta, s), lambda s: s, state)

    # --- in mid-life (loopymeta.interventions) ---------------------------------------------------

    def perturb(self, state: RNNState, key: Array, sigma: float) -> RNNState:
        """Every weight and bias times 1 + sigma * normal."""
        return state._replace(weight=perturbed(state.weight, key, sigma))

    def remove(self, state: RNNState, key: Array, edges: float, nodes: float) -> RNNState:
        """Takes random fractions of the kernels' weights, and of every layer's units, out.

        A unit that is out hears nothing, not even its biases, and nothing hears it.
        """
        key_edges, key_nodes = jax.random.split(key)
        leaves, structure = jax.tree.flatten(state.weight)
        stays = survivors(key_edges, sum(x.size for x in leaves if x.ndim == 2), edges)
        kept, place = [], 0
        for leaf in leaves:
            part = leaf.size if leaf.ndim == 2 else 0
            own = stays[place : place + part].reshape(leaf.shape) if part else jnp.ones(leaf.shape)
            kept.append(own)
            place += part
        masks = jax.tree.unflatten(structure, kept)
        below = jnp.ones(self.num_inputs)
        layer_keys = jax.random.split(key_nodes, len(self.widths))
        for cell, width, layer_key in zip(masks["cells"], self.widths, layer_keys, strict=True):
            alive = survivors(layer_key, width, nodes)
            for part, senders in (("dense_i", below), ("dense_h", alive)):
                for name, mask in cell[part].items():
                    gates = jnp.tile(alive, mask.shape[-1] // width)
                    rows = senders[:, None] if name == "kernel" else 1.0
                    cell[part][name] = mask * rows * jnp.broadcast_to(gates, mask.shape)
            below = alive
        masks["readout"]["kernel"] = masks["readout"]["kernel"] * below[:, None]
        if not isinstance(state.kept, tuple):
            masks = jax.tree.map(jnp.multiply, masks, state.kept)
        weight = jax.tree.map(jnp.multiply, state.weight, masks)
        return state._replace(weight=weight, kept=masks)

    def restore(self, state: RNNState) -> RNNState:
        """Puts everything back, with weights of zero."""
        return state._replace(kept=())

    # --- the learner -----------------------------------------------------------------------------

    def init(self, key: Array, theta: Theta | None = None) -> RNNState:
        """A newborn: fresh weights, silent, its window empty. ``theta`` is not looked at."""
        weight = self.init_weight(key)
        activity = self.silence()
        blank = lambda x: jnp.zeros((self.window, *x.shape))  # noqa: E731
        window = Window(
            stimulus=jnp.zeros((self.window, self.num_inputs)),
            target=jnp.zeros((self.window, self.num_outputs)),
            taught=jnp.zeros(self.window),
            resumed=jnp.zeros(self.window),
            activity=jax.tree.map(blank, activity),
        )
        newborn = RNNState(
            weight=weight,
            optimizer=self._transform().init(weight),
            activity=activity,
            window=window,
            count=jnp.zeros((), jnp.int32),
            learning=jnp.zeros((), bool),
            age=jnp.zeros(()),
        )
        return self._overlapping(newborn)  # so that it learns from its first interval on

    def step(
        self,
        theta: Theta,
        state: RNNState,
        stimulus: Array,
        teaching: Teaching,
        key: Array | None = None,
    ) -> tuple[RNNState, Array, Array]:
        """One symbol: (state, prediction [O], 1 tick)."""
        activity, prediction = self.predict(state.weight, state.activity, stimulus)
        before, state = state.activity, state._replace(activity=activity)
        return self.learn(theta, state, before, stimulus, teaching), prediction, jnp.ones(())

    def learn(
        self, theta: Theta, state: RNNState, before: Any, stimulus: Array, teaching: Teaching
    ) -> RNNState:
        """Takes in what was taught on a stimulus that met the activity ``before``."""
        plastic = jnp.asarray(jnp.asarray(teaching.plastic) > 0, bool)
        plastic = all_streams(plastic, self.parallel)
        taught = jnp.asarray(teaching.taught, jnp.result_type(float))
        entry = Window(
            stimulus=stimulus,
            # What is not taught is not stored: it may be anything, nan too.
            target=jnp.where(taught > 0, teaching.target, 0.0),
            taught=taught,
            resumed=((state.count == 0) | ~state.learning).astype(taught.dtype),
            activity=before,
        )
        return self._learn(theta, state, entry, plastic)
