"""The hierarchical predictive LSTM: a stack in which every level learns to predict what it hears.

The lowest level hears the stimulus and predicts the target. Each level above hears how the cells of
the level below have changed in this symbol, predicts how they will change in the next one, and
sends that prediction down. No gradient passes from one level to another.

Axis letters: I inputs, O outputs, L levels, C_k cells of level k.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.learners.optimizers import Optimizer
from loopymeta.learners.recurrent import OnlineRNN, RNNState, sizes_of
from loopymeta.network import Teaching
from loopymeta.parameters import Space, Theta
from loopymeta.tasks.base import Spec

_THETA = ("learning_rate", "upper_rate", "feedback", "horizon")


class Heard(NamedTuple):
    """What a level heard last: what comes next is what it is to learn from it.

    Attributes:
      stimulus: the change below, joined with what was sent from above.
      before: the activity that it met.
    """

    stimulus: Array
    before: Any


class HierarchicalState(NamedTuple):
    """What a `HierarchicalLSTM` carries from symbol to symbol.

    Attributes:
      levels: of the networks, the lowest first.
      heard: by each level but the lowest.
      sent: [C_k] what each level but the highest was sent from above.
      begun: 1.0 where it was heard while the learner could learn; 0.0 before the first symbol.
    """

    levels: tuple[RNNState, ...]
    heard: tuple[Heard, ...]
    sent: tuple[Array, ...]
    begun: Array


@dataclasses.dataclass(frozen=True)
class HierarchicalLSTM:
    r"""LSTMs stacked by prediction: each hears the change of the cell state below it.

    With x the stimulus, c^k the cell state of level k, and p^k what level k predicts:

    .. math::
      u^0_t = x_t, \quad u^k_t = c^{k-1}_t - c^{k-1}_{t-1}, \qquad
      p^k_t = \mathrm{LSTM}_k([u^k_t, f\, p^{k+1}_{t-1}])

    Level 0 is taught the target, level k > 0 its own next input u^k_{t+1}, by squared error. Each
    is an `OnlineRNN` that takes steps of its own; what it hears from the others is a number like
    any other to it. The idea is that a level that predicts well leaves the next one little to
    hear, so that levels change the more slowly the higher they are. While ``teaching.plastic`` is 0
    no level learns, nor does an upper one later learn to predict from what it heard then; what is
    not taught only the lowest level does not learn from.

    What is sent down are as many numbers as the level has cells, beside a stimulus of which one
    is 1, and they change while the upper level learns. Heard as they are (f = 1) they drown the
    stimulus; ``feedback`` is f (docs/hierarchical_lstm.md has what was measured).

    Theta is ``{"learning_rate", "upper_rate", "feedback", "horizon"}``.

    Reference: Schmidhuber (1992), whose stack of predictors passes on what was not predicted.

    Raises:
      ValueError, TypeError: for choices that are unknown and numbers that cannot be.

    >>> from loopymeta import tasks
    >>> learner = HierarchicalLSTM.for_spec(tasks.Caesar().spec, widths=(32, 16))
    >>> [(level.num_inputs, level.num_outputs) for level in learner.levels]
    [(58, 26), (32, 32)]
    """

    num_inputs: int
    """Size of the stimulus."""
    num_outputs: int
    """Size of the prediction."""
    loss: str = "cross_entropy"
    """``cross_entropy`` (predictions are logits) or ``squared_error``; of the lowest level."""
    widths: tuple[int, ...] = (128, 128)
    """Cells of each level, the lowest first: as many levels as there are numbers."""
    window: int = 16
    """Symbols that gradients flow back through, within a level."""
    interval: int | None = None
    """Symbols between updates, at most a window; None: a window."""
    learning_rate: float = 0.02
    """Step size of the lowest level's optimiser at birth."""
    upper_rate: float = 0.003
    """Step size of the other levels'."""
    feedback: float = 0.03
    """What a level hears from above is multiplied by it."""
    horizon: float = 0.1
    """Part of the lifespan after which both rates are halved."""
    lifespan: float = 10000.0
    """Symbols that the network expects to live."""
    optimizer: Optimizer = "adam"
    """As that of `OnlineRNN`."""
    momentum: float = 0.5
    """Decay of the mean gradient (adam, momentum)."""
    memory: float = 0.999
    """Decay of the mean squared gradient (adam, rmsprop, adadelta)."""
    clip: float = 0.0
    """Largest norm of a level's gradient; a longer one is shortened to it. 0: none is."""
    parallel: bool = False
    """Whether it lives in parallel streams; set by `loopymeta.learners.Parallel`."""

    def __post_init__(self) -> None:
        if not isinstance(self.widths, tuple) or not self.widths:
            raise ValueError(
                "widths must be a tuple with a number for each level, such as (128, 128), got "
                f"{self.widths!r}"
            )
        for name in ("num_inputs", "num_outputs"):
            _validate.at_least(name, getattr(self, name), 1)
        for width in self.widths:
            _validate.at_least("widths", width, 1)
        for name in ("learning_rate", "upper_rate", "feedback"):
            _validate.positive(name, getattr(self, name))
        _ = self.levels  # which check all that they are given

    @classmethod
    def for_spec(cls, spec: Spec, **choices: Any) -> HierarchicalLSTM:
        """The stack for a task: its sizes, its loss and its lifespan."""
        return cls(**(sizes_of(spec) | choices))

    @property
    def levels(self) -> tuple[OnlineRNN, ...]:
        """The network of each level, the lowest first."""
        names = {field.name for field in dataclasses.fields(OnlineRNN)}
        names &= {field.name for field in dataclasses.fields(self)}
        shared: dict[str, Any] = {name: getattr(self, name) for name in names}
        top = len(self.widths) - 1
        made = []
        for k, width in enumerate(self.widths):
            below = self.widths[k - 1] if k else self.num_inputs
            own: dict[str, Any] = {
                "width": width,
                # From above comes a prediction of the change of its own cells.
                "num_inputs": below + (width if k < top else 0),
                "num_outputs": below if k else self.num_outputs,
                "loss": "squared_error" if k else self.loss,
            }
            made.append(OnlineRNN(**(shared | own)))
        return tuple(made)

    # --- theta -----------------------------------------------------------------------------------

    def init_theta(self, key: Array | None = None) -> Theta:
        """``{"learning_rate", "upper_rate", "feedback", "horizon"}``, in natural units."""
        return {name: jnp.asarray(float(getattr(self, name))) for name in _THETA}

    def space(self) -> Any:
        """The search space of each leaf of theta: all on a logarithmic scale."""
        return {name: Space("log") for name in _THETA}

    def idle(self) -> tuple[str, ...]:
        """What is there for upper levels, where there are none."""
        return ("upper_rate", "feedback") if len(self.widths) == 1 else ()

    @staticmethod
    def _theta_of(theta: Theta, level: int) -> Theta:
        rate = theta["upper_rate"] if level else theta["learning_rate"]
        return {"learning_rate": rate, "horizon": theta["horizon"]}

    # --- in mid-life (loopymeta.interventions) ---------------------------------------------------

    def _altered(self, state: HierarchicalState, alter: Any) -> HierarchicalState:
        pairs = enumerate(zip(self.levels, state.levels, strict=True))
        return state._replace(levels=tuple(alter(k, *pair) for k, pair in pairs))

    def perturb(self, state: HierarchicalState, key: Array, sigma: float) -> HierarchicalState:
        """Every weight and bias times 1 + sigma * normal."""
        keys = jax.random.split(key, len(self.widths))
        return self._altered(state, lambda k, level, own: level.perturb(own, keys[k], sigma))

    def remove(
        self, state: HierarchicalState, key: Array, edges: float, nodes: float
    ) -> HierarchicalState:
        """Takes random fractions of every level's weights and units out."""
        keys = jax.random.split(key, len(self.widths))
        return self._altered(state, lambda k, level, own: level.remove(own, keys[k], edges, nodes))

    def restore(self, state: HierarchicalState) -> HierarchicalState:
        """Puts everything back, with weights of zero."""
        return self._altered(state, lambda k, level, own: level.restore(own))

    # --- the learner -----------------------------------------------------------------------------

    def init(self, key: Array, theta: Theta | None = None) -> HierarchicalState:
        """A newborn: fresh weights at all levels, silent. ``theta`` is not looked at."""
        levels, keys = self.levels, jax.random.split(key, len(self.widths))
        return HierarchicalState(
            levels=tuple(level.init(own) for level, own in zip(levels, keys, strict=True)),
            heard=tuple(Heard(jnp.zeros(n.num_inputs), n.silence()) for n in levels[1:]),
            sent=tuple(jnp.zeros(width) for width in self.widths[:-1]),
            begun=jnp.zeros(()),
        )

    def step(
        self,
        theta: Theta,
        state: HierarchicalState,
        stimulus: Array,
        teaching: Teaching,
        key: Array | None = None,
    ) -> tuple[HierarchicalState, Array, Array]:
        """One symbol: (state, prediction [O], 1 tick)."""
        above = (*(theta["feedback"] * sent for sent in state.sent), jnp.zeros(0))
        now, sent, heard = [], [], []
        prediction, signal = jnp.zeros(self.num_outputs), stimulus
        for k, (level, own) in enumerate(zip(self.levels, state.levels, strict=True)):
            rates, before = self._theta_of(theta, k), own.activity
            full = jnp.concatenate([signal, above[k]])
            if k:  # what it hears now is what it was to predict of what it heard before
                last = state.heard[k - 1]
                # What was heard before birth, or while frozen, goes into no window.
                lesson = Teaching(signal, 1.0, 0.0, teaching.plastic * state.begun)
                own = level.learn(rates, own, last.before, last.stimulus, lesson)
                activity, expected = level.predict(own.weight, before, full)
                own = own._replace(activity=activity)
                sent.append(expected)
                heard.append(Heard(full, before))
            else:
                own, prediction, _ = level.step(rates, own, full, teaching)
            signal = own.activity[0][0] - before[0][0]  # of the cells
            now.append(own)
        begun = (jnp.asarray(teaching.plastic) > 0).astype(state.begun.dtype)
        state = HierarchicalState(tuple(now), tuple(heard), tuple(sent), begun)
        return state, prediction, jnp.ones(())
