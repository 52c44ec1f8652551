"""Recurrent networks trained by gradients, symbol by symbol: the rivals of plastic networks.

An LSTM, a GRU or an Elman network lives the same lifetime as everyone else: it predicts, is taught,
and at the end of each window of symbols takes one step of gradient descent, by backpropagation
through the window (truncated there; Williams and Peng, 1990). Nothing is seen twice.

Axis letters: W symbols in a window, I inputs, O outputs.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.interventions import perturbed, survivors
from loopymeta.lifetime import symbol_loss
from loopymeta.network import Teaching
from loopymeta.parameters import Space, Theta
from loopymeta.tasks.base import Spec

LEARNING_RATES = {"lstm": 0.03, "gru": 0.01, "elman": 0.005}
"""Of Adam, by cell: those that predict names best (docs/baselines.md)."""
OPTIMIZERS = ("adam", "rmsprop", "adadelta", "momentum", "sgd")
_LSTM_FORGET_BIAS = 1.0  # remember by default (Jozefowicz, Zaremba and Sutskever, 2015)


class Window(NamedTuple):
    """The symbols since the last update.

    Attributes:
      stimulus: [W, I].
      target: [W, O].
      taught: [W] 1.0 where the target was shown.
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
      window: the symbols since the last update.
      count: how many symbols are in the window.
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


@dataclasses.dataclass(frozen=True)
class OnlineRNN:
    """A recurrent network that learns online by truncated backpropagation through time.

    The stream is cut into windows of ``window`` symbols. The activity runs on over their borders,
    the gradient does not: at a window's last symbol, after the prediction, the weights take a step
    along the gradient of the mean loss over the window's taught symbols,

      weight <- weight - learning_rate / (1 + age / (horizon lifespan)) * direction(gradient).

    Symbols that are not taught are lived through, but do not count; a window without any taught
    symbol changes nothing. While ``teaching.plastic`` is 0 the activity goes on, but symbols enter
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
    width: int = 128
    """Units in a layer."""
    num_layers: int = 1
    """Layers of cells, each reading the one below; the last is read out."""
    window: int = 16
    """Symbols between updates, which are also those that the gradient flows back through."""
    learning_rate: float | None = None
    """Step size of the optimiser at birth; None: that of `LEARNING_RATES` for the cell."""
    horizon: float = 0.1
    """Part of the lifespan after which the learning rate is halved."""
    lifespan: float = 10000.0
    """Symbols that the network expects to live."""
    optimizer: str = "adam"
    """``adam``, ``rmsprop``, ``adadelta``, ``momentum`` or ``sgd``."""
    momentum: float = 0.5
    """Decay of the mean gradient (adam, momentum)."""
    memory: float = 0.999
    """Decay of the mean squared gradient (adam, rmsprop, adadelta)."""
    clip: float = 0.0
    """Largest norm of a gradient; a longer one is shortened to it. 0: none is."""

    def __post_init__(self) -> None:
        for name in ("num_inputs", "num_outputs", "width", "num_layers", "window"):
            _validate.at_least(name, getattr(self, name), 1)
        _validate.choice("loss", self.loss, ("cross_entropy", "squared_error"))
        _validate.choice("cell", self.cell, LEARNING_RATES)
        _validate.choice("optimizer", self.optimizer, OPTIMIZERS)
        _validate.positive("lifespan", self.lifespan)
        for name in ("momentum", "memory"):
            _validate.between(name, getattr(self, name), 0, 1)
        _validate.at_least("clip", self.clip, 0, whole=False)
        _validate.positive("horizon", self.horizon)
        if self.learning_rate is not None:
            _validate.positive("learning_rate", self.learning_rate)

    @classmethod
    def for_spec(cls, spec: Spec, **choices: Any) -> OnlineRNN:
        """The network for a task: its sizes, its loss and its lifespan."""
        sizes: dict[str, Any] = {
            "num_inputs": spec.num_inputs,
            "num_outputs": spec.num_outputs,
            "loss": spec.loss,
            "lifespan": float(spec.symbols_lived),
        }
        return cls(**(sizes | choices))

    # --- theta -----------------------------------------------------------------------------------

    def init_theta(self, key: Array | None = None) -> Theta:
        """``{"learning_rate", "horizon"}``, in natural units."""
        rate = LEARNING_RATES[self.cell] if self.learning_rate is None else self.learning_rate
        return {"learning_rate": jnp.asarray(rate), "horizon": jnp.asarray(float(self.horizon))}

    def space(self) -> Any:
        """The search space of each leaf of theta: both on a logarithmic scale."""
        return {"learning_rate": Space("log"), "horizon": Space("log")}

    # --- the network -----------------------------------------------------------------------------

    def _cell(self, layer: int, key: Array | int) -> Any:
        """The flax cell of a layer, with fresh weights."""
        from flax import nnx

        kinds = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "elman": nnx.SimpleCell}
        size = self.width if layer else self.num_inputs
        cell = kinds[self.cell](size, self.width, rngs=nnx.Rngs(key))
        if self.cell == "lstm":  # gates in flax's order: input, forget, cell, output
            bias: Any = cell.dense_h.bias
            forget = slice(self.width, 2 * self.width)
            bias[...] = bias[...].at[forget].set(_LSTM_FORGET_BIAS)
        return cell

    def _init_weight(self, key: Array) -> dict[str, Any]:
        """Fresh weights, as nested dicts of arrays."""
        from flax import nnx

        keys = jax.random.split(key, self.num_layers + 1)
        cells = [nnx.state(self._cell(k, keys[k])) for k in range(self.num_layers)]
        readout = nnx.Linear(self.width, self.num_outputs, rngs=nnx.Rngs(keys[-1]))
        return {
            "cells": [nnx.to_pure_dict(cell) for cell in cells],
            "readout": nnx.to_pure_dict(nnx.state(readout)),
        }

    def _advance(self, weight: Any, activity: Any, stimulus: Array) -> tuple[Any, Array]:
        """One symbol of activity: (activity, output of the last layer [width])."""
        from flax import nnx

        after, signal = [], stimulus
        for layer in range(self.num_layers):
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
        import optax

        b1, b2 = self.momentum, self.memory
        optimizer = {
            "adam": lambda: optax.adam(1.0, b1=b1, b2=b2),
            "rmsprop": lambda: optax.rmsprop(1.0, decay=b2),
            "adadelta": lambda: optax.adadelta(1.0, rho=b2),
            "momentum": lambda: optax.sgd(1.0, momentum=b1),
            "sgd": lambda: optax.sgd(1.0),
        }[self.optimizer]()
        if self.clip:
            return optax.chain(optax.clip_by_global_norm(self.clip), optimizer)
        return optimizer

    def window_loss(self, weight: Any, window: Window) -> Array:
        """Mean loss over the taught symbols of a full window (0 where none is), nats or squares."""

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

    def _update(self, theta: Theta, state: RNNState) -> RNNState:
        """One step down the gradient of the window's loss; the window is empty again."""
        gradient = jax.grad(self.window_loss)(state.weight, state.window)
        if not isinstance(state.kept, tuple):  # of what is not there the optimiser hears nothing
            gradient = jax.tree.map(jnp.multiply, gradient, state.kept)
        direction, optimizer = self._transform().update(gradient, state.optimizer, state.weight)
        step = theta["learning_rate"] / (1 + state.age / (theta["horizon"] * self.lifespan))
        weight = jax.tree.map(lambda w, d: w + step * d, state.weight, direction)
        if not isinstance(state.kept, tuple):
            weight = jax.tree.map(jnp.multiply, weight, state.kept)
        taught = state.window.taught.any()
        weight, optimizer = jax.tree.map(
            lambda new, old: jnp.where(taught, new, old),
            (weight, optimizer),
            (state.weight, state.optimizer),
        )
        return state._replace(weight=weight, optimizer=optimizer, count=jnp.zeros_like(state.count))

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
        for cell, layer_key in zip(
            masks["cells"], jax.random.split(key_nodes, self.num_layers), strict=True
        ):
            alive = survivors(layer_key, self.width, nodes)
            for part, senders in (("dense_i", below), ("dense_h", alive)):
                for name, mask in cell[part].items():
                    gates = jnp.tile(alive, mask.shape[-1] // self.width)
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
        weight = self._init_weight(key)
        silent = jnp.zeros(self.width)
        activity = [(silent, silent) if self.cell == "lstm" else silent] * self.num_layers
        blank = lambda x: jnp.zeros((self.window, *x.shape))  # noqa: E731
        window = Window(
            stimulus=jnp.zeros((self.window, self.num_inputs)),
            target=jnp.zeros((self.window, self.num_outputs)),
            taught=jnp.zeros(self.window),
            resumed=jnp.zeros(self.window),
            activity=jax.tree.map(blank, activity),
        )
        return RNNState(
            weight=weight,
            optimizer=self._transform().init(weight),
            activity=activity,
            window=window,
            count=jnp.zeros((), jnp.int32),
            learning=jnp.zeros((), bool),
            age=jnp.zeros(()),
        )

    def step(
        self,
        theta: Theta,
        state: RNNState,
        stimulus: Array,
        teaching: Teaching,
        key: Array | None = None,
    ) -> tuple[RNNState, Array, Array]:
        """One symbol: (state, prediction [O], 1 tick)."""
        activity, hidden = self._advance(state.weight, state.activity, stimulus)
        prediction = self._read(state.weight, hidden)
        plastic = jnp.asarray(jnp.asarray(teaching.plastic) > 0, bool)
        taught = jnp.asarray(teaching.taught, prediction.dtype)
        entry = Window(
            stimulus=stimulus,
            # What is not taught is not stored: it may be anything, nan too.
            target=jnp.where(taught > 0, teaching.target, 0.0),
            taught=taught,
            resumed=((state.count == 0) | ~state.learning).astype(prediction.dtype),
            activity=state.activity,
        )
        state = self._learn(theta, state._replace(activity=activity), entry, plastic)
        return state, prediction, jnp.ones(())
