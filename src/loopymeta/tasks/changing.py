"""Change: the statistics of the symbols change in mid-life, and nobody says so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loopymeta import _validate
from loopymeta._jax import jax, jnp
from loopymeta.tasks import base
from loopymeta.tasks.base import Episode, Outcome, Spec

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Key

    from loopymeta._jax import Array

_CURVE = 20  # points of the recovery curve


@dataclass(frozen=True)
class Shift:
    """A random source of symbols, replaced without notice by another, again and again.

    In each segment of the lifetime a fresh sparse Markov chain makes the symbols: each symbol has
    ``successors`` possible followers, a random choice of the alphabet, all equally likely. With
    ``order=0`` what came before does not matter: each segment has ``successors`` symbols that
    occur at all. The next symbol is to be predicted; everything is scored and taught. A change
    falls ``jitter`` segment lengths at most before or after the end of a regular segment, so that
    its time cannot be learned. The phase is the segment, from 0, whose source made the *target*.

    Two oracles are told all the changes. The one that knows the sources as well has a loss of
    ln(successors) at every symbol: the entropy rate, and the floor. The one that counts within the
    segment is the Bayes predictor: it holds a follower that it has seen for 1 / successors likely,
    and shares what is left among those that it has not seen (with d of the k followers seen, each
    of the A - d others has (k - d) / (k (A - d))).

    Metrics: ``loss``, ``accuracy`` (at best 1 / successors); ``regret``, the loss less that of the
    oracle that knows the sources; ``regret_counting``, the loss less that of the one that counts,
    on the same symbols, and ``counting_loss``, that loss; ``loss_by_place [20]``, the recovery
    curve: the loss after a change, in 20 equal blocks of the first ``segment_length`` symbols of
    all segments but the first (fewer blocks if a segment has fewer symbols; nan for a block that no
    segment reached); ``loss_by_segment [segments]``.

    Reference: regret against an oracle that knows the change points: Herbster and Warmuth 1998.

    >>> task = Shift(segments=4, segment_length=100, successors=2)
    >>> task.spec.length, round(task.spec.floor, 3)
    (400, 0.693)
    """

    segments: int = 10
    """Sources, one after the other."""
    segment_length: int = 500
    """Symbols from one source, on average."""
    alphabet: int = 8
    """Number of different symbols."""
    successors: int = 2
    """Symbols that can follow a symbol; fewer than there are."""
    order: int = 1
    """Whether the next symbol depends on the last one (1) or on none (0)."""
    jitter: float = 0.25
    """How far a change may be off its regular time, in segment lengths; at most a half."""

    def __post_init__(self):
        _validate.at_least("segments", self.segments, 2)
        _validate.at_least("segment_length", self.segment_length, 1)
        _validate.at_least("alphabet", self.alphabet, 2)
        _validate.at_least("successors", self.successors, 1)
        if self.successors >= self.alphabet:
            raise ValueError(
                f"successors must be fewer than the alphabet ({self.alphabet}), "
                f"got {self.successors}"
            )
        _validate.at_least("order", self.order, 0)
        _validate.between("order", self.order, 0, 1)
        _validate.between("jitter", self.jitter, 0, 0.5)

    @property
    def _spread(self) -> int:
        """Symbols that a change may be off either way; every segment keeps one symbol at least."""
        return min(int(self.jitter * self.segment_length), (self.segment_length - 1) // 2)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / alphabet; floor ln(successors)."""
        return Spec(
            num_inputs=self.alphabet,
            num_outputs=self.alphabet,
            length=self.segments * self.segment_length,
            loss="cross_entropy",
            chance=1 / self.alphabet,
            floor=math.log(self.successors),
            symbols=tuple(chr(ord("a") + i) if i < 26 else str(i) for i in range(self.alphabet)),
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh sources, with fresh changes."""
        key_change, key_source, key_rank, key_first = jax.random.split(key, 4)
        length, spread = self.spec.length, self._spread
        off = jax.random.randint(key_change, (self.segments - 1,), -spread, spread + 1)
        change = jnp.arange(1, self.segments) * self.segment_length + off
        segment = jnp.cumsum(jnp.zeros(length, jnp.int32).at[change].add(1))

        contexts = self.alphabet if self.order else 1
        lots = jax.random.uniform(key_source, (self.segments, contexts, self.alphabet))
        follower = jnp.argsort(lots, axis=2)[:, :, : self.successors]
        rank = jax.random.randint(key_rank, (length,), 0, self.successors)
        after = follower[segment, :, rank]  # [T, contexts]: what would follow each symbol
        first = jax.random.randint(key_first, (), 0, self.alphabet)
        target = _walk(after, first) if self.order else after[:, 0]
        stimulus = jnp.concatenate([first[None], target[:-1]])
        return base.stream_episode(stimulus, target, phase=segment)

    def counting_loss(self, episode: Episode) -> Float[Array, "T"]:
        """Nats of each target for the oracle that knows the changes and counts between them.

        >>> task = Shift(alphabet=3, successors=1, order=0, segments=2, segment_length=2, jitter=0)
        >>> loss = task.counting_loss(task.sample(jax.random.key(0)))  # one guess among 3 a segment
        >>> (loss > 1).tolist()
        [True, False, True, False]
        """
        context = episode.stimulus if self.order else jnp.zeros_like(episode.stimulus)
        row = episode.phase * self.alphabet + context
        entry = row * self.alphabet + episode.target
        new = _earlier(entry, jnp.ones_like(entry)) == 0
        known = _earlier(row, new.astype(jnp.int32))  # different followers seen, d
        # A follower that is new although all are known cannot be; max keeps the logarithm finite.
        others = (self.alphabet - known) / jnp.maximum(self.successors - known, 1)
        return math.log(self.successors) + jnp.where(new, jnp.log(others), 0.0)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        metrics = base.scores(outcome, episode)
        counting = base.masked_mean(self.counting_loss(episode), episode.scored)
        num_points = min(_CURVE, self.segment_length)
        block = _place(episode.phase) * num_points // self.segment_length
        changed = episode.scored & (episode.phase > 0)
        return metrics | {
            "regret": metrics["loss"] - math.log(self.successors),
            "regret_counting": metrics["loss"] - counting,
            "counting_loss": counting,
            "loss_by_place": base.mean_by(outcome.loss, block, num_points, changed),
            "loss_by_segment": base.mean_by(
                outcome.loss, episode.phase, self.segments, episode.scored
            ),
        }


def _walk(after: Int[Array, "T A"], first: Int[Array, ""]) -> Int[Array, "T"]:
    """Where a chain goes that is at ``first`` before the first step: a lookup a step."""

    def step(symbol: Array, after: Array) -> tuple[Array, Array]:
        return after[symbol], after[symbol]

    return jax.lax.scan(step, first, after)[1]


def _starts(group: Int[Array, "T"]) -> Bool[Array, "T"]:
    """Where another group begins than that of the element before."""
    return jnp.concatenate([jnp.ones(1, bool), group[1:] != group[:-1]])


def _place(group: Int[Array, "T"]) -> Int[Array, "T"]:
    """How many elements ago the present run of equal elements began."""
    index = jnp.arange(group.shape[0])
    return index - jax.lax.cummax(jnp.where(_starts(group), index, 0))


def _earlier(code: Int[Array, "T"], counts: Int[Array, "T"]) -> Int[Array, "T"]:
    """Sum of ``counts`` over the earlier elements of equal code."""
    order = jnp.argsort(code, stable=True)
    counted = counts[order]
    running = jnp.cumsum(counted) - counted
    # What had run up where the group began: running never falls, so its maximum so far is that.
    running = running - jax.lax.cummax(jnp.where(_starts(code[order]), running, 0))
    return jnp.zeros_like(running).at[order].set(running)
