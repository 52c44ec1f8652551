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
from loopymeta.network import Teaching
from loopymeta.parameters import Theta, check_parameters, defaults, rate, spaces
from loopymeta.tasks.base import Spec

CELLS = ("lstm", "gru", "elman")
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
    """

    weight: Any
    optimizer: Any
    activity: Any
    window: Window
    count: Array
    learning: Array
    age: Array


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

    Theta is ``{"learning_rate", "horizon"}``. The defaults are those that predict names best (tuned
    on part of the training names only: see docs/baselines.md); tune them before you claim anything
    on another task.

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
    learning_rate: float = rate(0.01, "step size of the optimiser at birth")
    horizon: float = rate(0.1, "part of the lifespan after which the learning rate is halved")
    lifespan: float = 10000.0
    """Symbols that the network expects to live."""
    optimizer: str = "adam"
    """``adam``, ``rmsprop``, ``adadelta``, ``momentum`` (0.9) or ``sgd``."""
    momentum: float = 0.9
    """Decay of the mean gradient (adam, momentum)."""
    memory: float = 0.999
    """Decay of the mean squared gradient (adam, rmsprop, adadelta)."""
    clip: float = 0.0
    """Largest norm of a gradient; a longer one is shortened to it. 0: none is."""

    def __post_init__(self) -> None:
        for name in ("num_inputs", "num_outputs", "width", "num_layers", "window"):
            _validate.at_least(name, getattr(self, name), 1)
        _validate.choice("loss", self.loss, ("cross_entropy", "squared_error"))
        _validate.choice("cell", self.cell, CELLS)
        _validate.choice("optimizer", self.optimizer, OPTIMIZERS)
        _validate.positive("lifespan", self.lifespan)
        for name in ("momentum", "memory"):
            _validate.between(name, getattr(self, name), 0, 1)
        _validate.at_least("clip", self.clip, 0, whole=False)
        check_parameters(self)
        _validate.positive("horizon", self.horizon)

    @classmethod
    def for_spec(cls, spec: Spec, **choices: Any) -> OnlineRNN:
        """The network for a task: its sizes, its loss, and a lifespan of its length."""
        sizes = {
            "num_inputs": spec.num_inputs,
            "num_outputs": spec.num_outputs,
            "loss": spec.loss,
            "lifespan": float(spec.length),
        }
        return cls(**(sizes | choices))

    # --- theta -----------------------------------------------------------------------------------

    def init_theta(self, key: Array | None = None) -> Theta:
        """``{"learning_rate", "horizon"}``, in natural units."""
        return defaults(self)

    def space(self) -> Any:
        """The search space of each leaf of theta: both on a logarithmic scale."""
        return spaces(self)

    # --- the network -----------------------------------------------------------------------------

    def _cells(self, key: Array) -> list[Any]:
        """One flax cell a layer, with fresh weights."""
        from flax import nnx

        kinds = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "elman": nnx.SimpleCell}
        cells = []
        for layer in range(self.num_layers):
            size = self.width if layer else self.num_inputs
            rngs = nnx.Rngs(jax.random.fold_in(key, layer))
            cells.append(kinds[self.cell](size, self.width, rngs=rngs))
            if self.cell == "lstm":  # gates in flax's order: input, forget, cell, output
                bias = cells[-1].dense_h.bias
                forget = slice(self.width, 2 * self.width)
                bias[...] = bias[...].at[forget].set(_LSTM_FORGET_BIAS)
        return cells

    def _definitions(self) -> list[Any]:
        """The cells without their weights."""
        from flax import nnx

        return nnx.eval_shape(lambda: [nnx.graphdef(c) for c in self._cells(jax.random.key(0))])

    def _advance(self, weight: Any, activity: Any, stimulus: Array) -> tuple[Any, Array]:
        """One symbol of activity: (activity, output of the last layer [width])."""
        from flax import nnx

        carried, signal = [], stimulus
        for definition, layer, before in zip(
            self._definitions(), weight["cells"], activity, strict=True
        ):
            after, signal = nnx.merge(definition, layer)(before, signal)
            carried.append(after)
        return carried, signal

    def _read(self, weight: Any, hidden: Array) -> Array:
        """Predictions of outputs of the last layer: [..., width] -> [..., O]."""
        return hidden @ weight["readout"] + weight["bias"]
