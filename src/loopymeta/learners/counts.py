r"""The count table: an n-gram model that learns while it lives.

Axis letters: I inputs, O outputs, n symbols in the n-gram.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.learners.host import check_symbols
from loopymeta.network import Teaching
from loopymeta.parameters import Space, Theta
from loopymeta.tasks.base import Task

MAX_ENTRIES = 1 << 25
"""Counts that all tables of a learner may hold together: 134 MB."""


def _num_entries(num_inputs: int, num_outputs: int, order: int) -> int:
    """Counts in all tables up to an order; silence is one more input."""
    return num_outputs * sum((num_inputs + 1) ** k for k in range(order))


class CountState(NamedTuple):
    """What an `OnlineNGram` carries from symbol to symbol.

    Attributes:
      tables: for each order k, [(I + 1) ** (k - 1), O] how often each target followed each context.
      context: [n - 1] the last stimuli, the present one not among them, nearest first.
    """

    tables: tuple[Array, ...]
    context: Array


@dataclasses.dataclass(frozen=True)
class OnlineNGram:
    r"""An interpolated n-gram model with a discount D taken off every count, learning online.

    From the last n - 1 stimuli h, the present one among them, to the target w:

    .. math::
      p_k(w | h) = \frac{\max(c(hw) - D, 0) + D\, N(h)\, p_{k-1}(w | h')}{\sum_v c(hv)}

    with h' all but the earliest of h, N(h) the number of different targets seen after h, p_0
    uniform, and p_k = p_{k-1} where h was never seen. What is not taught, and what comes while
    ``teaching.plastic`` is 0, is not counted. Silence is a symbol like any other; before birth
    there was symbol 0, or the ``boundary``. No context reaches across a boundary: what lies behind
    the last one is read as boundaries. On a stream of text it predicts what
    `loopymeta.ngrams.NGram` does with absolute discounting. Counts are float32, which
    stop growing at 2^24: what was seen 16,777,216 times is counted no further.

    Theta is ``{"discount"}``.

    References: Ney, Essen and Kneser (1994); Chen and Goodman (1998).

    Raises:
      ValueError: for numbers that cannot be, and tables that are too large.

    >>> from loopymeta import tasks
    >>> learner = OnlineNGram.for_task(tasks.Caesar())
    >>> learner.order, sorted(learner.init_theta())
    (4, ['discount'])
    """

    num_inputs: int
    """Symbols of the stimulus, silence not among them."""
    num_outputs: int
    """Symbols of the target."""
    order: int = 4
    """n: one more than the stimuli that are looked at."""
    discount: float = 0.75
    """Taken off every count; above 0, so that nothing is impossible, and at most 1."""
    boundary: int | None = None
    """Stimulus that contexts do not reach across, as that between names; unset: there is none."""

    def __post_init__(self) -> None:
        if self.boundary is not None:
            _validate.at_least("boundary", self.boundary, 0)
            _validate.between("boundary", self.boundary, 0, self.num_inputs - 1)
        for name in ("num_inputs", "num_outputs", "order"):
            _validate.at_least(name, getattr(self, name), 1)
        _validate.positive("discount", self.discount)
        _validate.between("discount", self.discount, 0, 1)
        if self.num_entries > MAX_ENTRIES:
            raise ValueError(
                f"the tables of order {self.order} have {self.num_entries:,} entries; at most "
                f"{MAX_ENTRIES:,} will do"
            )

    @property
    def num_entries(self) -> int:
        """Counts in all tables together."""
        return _num_entries(self.num_inputs, self.num_outputs, self.order)

    @classmethod
    def for_task(cls, task: Task, order: int = 4, **choices: Any) -> OnlineNGram:
        """The table for a task, of the highest order up to ``order`` whose tables are small enough.

        Raises:
          ValueError: stimuli or targets are not symbols, so that there is nothing to count.
        """
        check_symbols(task, cls.__name__)
        spec = task.spec
        _validate.at_least("order", order, 1)
        choices.setdefault("boundary", spec.boundary)
        sizes = {"num_inputs": spec.num_inputs, "num_outputs": spec.num_outputs}
        while order > 1 and _num_entries(**sizes, order=order) > MAX_ENTRIES:
            order -= 1
        return cls(order=order, **sizes, **choices)

    def init_theta(self, key: Array | None = None) -> Theta:
        """``{"discount"}``."""
        return {"discount": jnp.asarray(float(self.discount))}

    def space(self) -> Any:
        """The search space of the discount: a fraction."""
        return {"discount": Space("logit")}

    def init(self, key: Array, theta: Theta | None = None) -> CountState:
        """A newborn has counted nothing; there is no chance in it."""
        sizes = [(self.num_inputs + 1) ** k for k in range(self.order)]
        return CountState(
            tables=tuple(jnp.zeros((size, self.num_outputs)) for size in sizes),
            context=jnp.full(self.order - 1, self.boundary or 0, jnp.int32),
        )

    def _places(self, seen: Array) -> list[Array]:
        """The row of each table for the stimuli seen, nearest first."""
        rows = [jnp.zeros((), jnp.int32)]
        for back in range(self.order - 1):
            rows.append(rows[-1] + seen[back] * (self.num_inputs + 1) ** back)
        return rows

    def step(
        self,
        theta: Theta,
        state: CountState,
        stimulus: Array,
        teaching: Teaching,
        key: Array | None = None,
    ) -> tuple[CountState, Array, Array]:
        """One symbol: (state, log probabilities [O], 1 tick)."""
        symbol = jnp.where(stimulus.any(), stimulus.argmax(), self.num_inputs).astype(jnp.int32)
        seen = jnp.concatenate([symbol[None], state.context])[: self.order - 1]
        if self.boundary is not None:
            seen = jnp.where(symbol == self.boundary, self.boundary, seen)
        places = self._places(seen)
        counts = (jnp.asarray(teaching.taught) > 0) & (jnp.asarray(teaching.plastic) > 0)
        # What is not taught may be anything, nan too: it is not looked at.
        target = jnp.where(counts, teaching.target, 0.0).argmax()
        one = counts * jax.nn.one_hot(target, self.num_outputs)
        # Written before they are read (what was written is taken off again), so that they can be
        # written in place: else every table would be copied, whole, at every symbol.
        tables = tuple(
            table.at[place].add(one) for table, place in zip(state.tables, places, strict=True)
        )
        discount = theta["discount"]
        probability = jnp.full(self.num_outputs, 1 / self.num_outputs)
        for table, place in zip(tables, places, strict=True):
            count = table[place] - one
            total = count.sum()
            kept = jnp.maximum(count - discount, 0.0)
            mixed = kept + discount * (count > 0).sum() * probability
            probability = jnp.where(total > 0, mixed / jnp.maximum(total, 1.0), probability)
        return CountState(tables, seen), jnp.log(probability), jnp.ones(())
