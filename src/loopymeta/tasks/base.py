"""What a task is: whole lifetimes as flat arrays over T, and how their predictions are scored.

Axis letter: T symbols in a lifetime. Nothing resets a lifetime: boundaries, cues and go-signals are
symbols of the stream, and `Episode.phase` says which part of it a symbol belongs to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, runtime_checkable

from loopymeta._jax import jnp

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Key

    from loopymeta._jax import Array


@dataclass(frozen=True)
class Spec:
    """The sizes, the loss and the known limits of a task: all that a learner is built from.

    Attributes:
      num_inputs: size of the stimulus; the width of the one-hot code for symbols.
      num_outputs: size of the prediction; the number of classes for symbols.
      length: T, symbols in a lifetime.
      loss: ``"cross_entropy"`` (targets are symbol indices) or ``"squared_error"`` (targets are
        vectors).
      chance: accuracy (cross entropy) or loss (squared error) of the best constant guess, in
        expectation.
      floor: lowest possible expected mean loss over the scored symbols (nats per symbol for cross
        entropy), where it is known, else None. No honest figure lies below it.
      symbols: names of the symbols, for printing; targets index into them too.
      lifespan: symbols that one learner lives: fewer than ``length`` where a newborn takes its
        place in mid-life (see `loopymeta.interventions`); unset, ``length``.
      text: whether it is written language, a character at a time: learners have settings for it.
      boundary: the symbol between samples that have nothing to do with one another, if there are
        such: what counts contexts ends them there.

    >>> Spec(num_inputs=3, num_outputs=3, length=10, chance=1 / 3).loss
    'cross_entropy'
    """

    num_inputs: int
    num_outputs: int
    length: int
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    chance: float = 0.0
    floor: float | None = None
    symbols: tuple[str, ...] | None = None
    lifespan: int | None = None
    text: bool = False
    boundary: int | None = None

    @property
    def guess_loss(self) -> float:
        """The loss of a constant guess: ln(classes) of a uniform one, or the chance."""
        return self.chance if self.loss == "squared_error" else math.log(self.num_outputs)

    @property
    def symbols_lived(self) -> int:
        """Symbols that one learner lives."""
        return self.lifespan or self.length


FREEZE = 1
"""`Episode.intervention` code: no synapse changes at this symbol (a test of what was learned)."""


class Episode(NamedTuple):
    """One lifetime, as arrays over T.

    Attributes:
      stimulus: symbol indices, -1 for silence (an all-zero input), or vectors ``[T, I]``.
      target: symbol indices, or vectors ``[T, O]``.
      scored: which predictions count.
      taught: when the learner is shown the target, after it has predicted.
      phase: which part of the lifetime a symbol belongs to; its meaning is the task's.
      intervention: what is done to the learner at this symbol; 0 is nothing.
    """

    stimulus: Int[Array, "T"] | Float[Array, "T I"]
    target: Int[Array, "T"] | Float[Array, "T O"]
    scored: Bool[Array, "T"]
    taught: Bool[Array, "T"]
    phase: Int[Array, "T"]
    intervention: Int[Array, "T"]


class Outcome(NamedTuple):
    """What came of a lifetime, symbol by symbol; handed to `Task.score`.

    Attributes:
      loss: nats (cross entropy), or squared error summed over the outputs.
      correct: 1.0 where the most probable symbol is the target, else 0.0.
      ticks: ticks of network time spent on the symbol.
      prediction: what was predicted, kept under squared error only (of symbols ``correct`` is what
        a score needs).
    """

    loss: Float[Array, "T"]
    correct: Float[Array, "T"]
    ticks: Float[Array, "T"]
    prediction: Float[Array, "T O"] | None = None


@runtime_checkable
class Task(Protocol):
    """A family of lifetimes: a frozen dataclass of plain values, each with a default.

    A task may have an attribute ``interventions``: what is done to the learner in mid-life (see
    `loopymeta.interventions`).
    """

    @property
    def spec(self) -> Spec:
        """Sizes, loss and limits."""
        ...

    def sample(self, key: Key[Array, ""]) -> Episode:
        """One lifetime; pure, so that it can be jitted and vmapped: all chance comes from key."""
        ...

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """Summaries of fixed shape: always ``loss``, ``accuracy`` for symbols, then the task's."""
        ...


# What tasks share ---------------------------------------------------------------------------------


def stream_episode(
    stimulus: Int[Array, "T"],
    target: Int[Array, "T"],
    scored: Bool[Array, "T"] | None = None,
    taught: Bool[Array, "T"] | None = None,
    phase: Int[Array, "T"] | None = None,
    frozen: Bool[Array, "T"] | None = None,
) -> Episode:
    """An episode of symbols; scored and taught everywhere and of one phase unless said otherwise.

    Where ``frozen`` no synapse changes (`FREEZE`).

    >>> import jax.numpy as jnp
    >>> stream_episode(jnp.array([0, 1]), jnp.array([1, 0])).taught.tolist()
    [True, True]
    """
    everywhere = jnp.ones(target.shape[0], bool)
    nowhere = jnp.zeros(target.shape[0], jnp.int32)
    return Episode(
        stimulus=stimulus.astype(jnp.int32),
        target=target.astype(jnp.int32),
        scored=everywhere if scored is None else scored,
        taught=everywhere if taught is None else taught,
        phase=nowhere if phase is None else phase.astype(jnp.int32),
        intervention=nowhere if frozen is None else frozen * jnp.int32(FREEZE),
    )


def masked_mean(values: Float[Array, "T"], mask: Bool[Array, "T"]) -> Float[Array, ""]:
    """Mean of ``values`` where ``mask``; nan where nothing is masked in.

    >>> import jax.numpy as jnp
    >>> float(masked_mean(jnp.array([1.0, 5.0]), jnp.array([True, False])))
    1.0
    """
    # where, not a product: a value that is not finite must not leak out of the masked-out part.
    return jnp.where(mask, values, 0.0).sum() / mask.sum()


def mean_by(
    values: Float[Array, "T"], group: Int[Array, "T"], num_groups: int, mask: Bool[Array, "T"]
) -> Float[Array, "G"]:
    """Mean of ``values`` in each of the groups 0..num_groups-1, nan for one that is empty.

    Groups outside that range are left out.

    >>> import jax.numpy as jnp
    >>> mean_by(jnp.array([1., 0., 1.]), jnp.array([0, 1, 1]), 2, jnp.ones(3, bool)).tolist()
    [1.0, 0.5]
    """
    # Groups outside the range (and what is masked out) fall into no bin: mode="drop". Negative ones
    # would count from the end.
    index = jnp.where(mask & (group >= 0), group, num_groups)
    zeros = jnp.zeros(num_groups, values.dtype)
    total = zeros.at[index].add(values, mode="drop")
    return total / zeros.at[index].add(1.0, mode="drop")


def scores(outcome: Outcome, episode: Episode) -> dict[str, Array]:
    """What every symbol task reports: mean ``loss`` and ``accuracy`` over the scored symbols."""
    return {
        "loss": masked_mean(outcome.loss, episode.scored),
        "accuracy": masked_mean(outcome.correct, episode.scored),
    }
