"""The in-context learner: a recurrent network whose weights an outer loop finds.

Within a lifetime nothing but its activity changes; so whatever it learns there, it learns in its
activity. It is the strongest classical rival of a plastic rule: both are found by the same outer
loop, on the same lifetimes.

Axis letters: I inputs, O outputs.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from loopymeta._jax import Array, jax, jnp
from loopymeta.learners.recurrent import OnlineRNN
from loopymeta.network import Teaching
from loopymeta.parameters import Space, Theta
from loopymeta.tasks.base import Spec


class InContextState(NamedTuple):
    """What an `InContextRNN` carries from symbol to symbol.

    Attributes:
      activity: what the cells carry.
      lesson: [O + 1] the last target, and whether there was one; zeros where it was not taught.
    """

    activity: Any
    lesson: Array


@dataclasses.dataclass(frozen=True)
class InContextRNN:
    """A recurrent network with weights that are theta, and fixed while it lives.

    With every stimulus it hears the target of the symbol before, if that was taught, and a flag
    that says so: input [stimulus, last target, taught]. While ``teaching.plastic`` is 0 it is told
    no target; its activity goes on.

    Theta is a tree of weights, ``{"layer_0": {"dense_h", "dense_i"}, ..., "readout"}``, searched
    linearly. It is found by gradients (`loopymeta.Gradient`): there are too many numbers for
    evolution strategies.

    References: Hochreiter, Younger and Conwell (2001); Wang et al. (2016).

    Raises:
      ValueError, TypeError: for choices that are unknown and numbers that cannot be.

    >>> from loopymeta import tasks
    >>> learner = InContextRNN.for_spec(tasks.Memorize().spec, width=16)
    >>> sorted(learner.init_theta())
    ['layer_0', 'readout']
    """

    num_inputs: int
    """Size of the stimulus."""
    num_outputs: int
    """Size of the prediction."""
    loss: str = "cross_entropy"
    """``cross_entropy`` (predictions are logits) or ``squared_error``."""
    cell: str = "lstm"
    """``lstm``, ``gru`` or ``elman``."""
    width: int | tuple[int, ...] = 64
    """Units in a layer, or in each of the layers, the lowest first."""
    num_layers: int = 1
    """Layers of cells of one width."""

    def __post_init__(self) -> None:
        _ = self.network  # which checks all that it is given

    @classmethod
    def for_spec(cls, spec: Spec, **choices: Any) -> InContextRNN:
        """The network for a task: its sizes and its loss."""
        return cls(spec.num_inputs, spec.num_outputs, spec.loss, **choices)

    @property
    def network(self) -> OnlineRNN:
        """The network itself, of which only the activity is used."""
        choices: dict[str, Any] = dataclasses.asdict(self)
        return OnlineRNN(**(choices | {"num_inputs": self.num_inputs + self.num_outputs + 1}))

    def init_theta(self, key: Array | None = None) -> Theta:
        """Fresh weights."""
        weight = self.network.init_weight(jax.random.key(0) if key is None else key)
        layers = {f"layer_{k}": cell for k, cell in enumerate(weight["cells"])}
        return layers | {"readout": weight["readout"]}

    def space(self) -> Any:
        """The search space of each weight: linear."""
        return jax.tree.map(lambda _: Space("linear"), jax.eval_shape(self.init_theta))

    def init(self, key: Array, theta: Theta) -> InContextState:
        """A newborn: silent; there is no chance in it."""
        return InContextState(self.network.silence(), jnp.zeros(self.num_outputs + 1))

    def step(
        self,
        theta: Theta,
        state: InContextState,
        stimulus: Array,
        teaching: Teaching,
        key: Array | None = None,
    ) -> tuple[InContextState, Array, Array]:
        """One symbol: (state, prediction [O], 1 tick)."""
        cells = [theta[f"layer_{k}"] for k in range(len(theta) - 1)]
        weight = {"cells": cells, "readout": theta["readout"]}
        heard = jnp.concatenate([stimulus, state.lesson])
        activity, prediction = self.network.predict(weight, state.activity, heard)
        told = (jnp.asarray(teaching.taught) > 0) & (jnp.asarray(teaching.plastic) > 0)
        # What is not taught may be anything, nan too: it is not looked at.
        target = jnp.where(told, teaching.target, 0.0)
        lesson = jnp.concatenate([target, told.astype(target.dtype)[None]])
        return InContextState(activity, lesson), prediction, jnp.ones(())
