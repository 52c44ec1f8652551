r"""Count baselines: n-gram models with smoothing, on host, in a second for a book.

Two figures for a stream, as for every learner: *prequential*, one pass that predicts each symbol
before it is counted, and *held out*, counts of one stream tested on another.

Streams are integer symbols x_0 .. x_T; x_1 .. x_T are predicted. With a ``boundary`` symbol (the
mark between names) no context reaches across one: what lies behind the last boundary is read as
boundaries, so that the beginning of a word is a context like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from loopymeta import _validate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

_NAMES = {1: "unigram", 2: "bigram", 3: "trigram"}


@dataclass(frozen=True)
class NGram:
    r"""An interpolated n-gram model with a discount taken off every count.

    .. math::
      p_k(w | h) = \frac{\max(c(hw) - D, 0) + D\, N(h)\, p_{k-1}(w | h')}{\sum_v c(hv)}

    h are the k - 1 symbols before w, h' all but the earliest of them, N(h) the number of different
    symbols seen after h, D the discount; p_0 is uniform, and p_k = p_{k-1} where h was never seen.
    c counts occurrences (``absolute``), or, below the highest order, different symbols seen
    *before* hw (``kneser_ney``).

    Reference: Ney, Essen and Kneser 1994; Kneser and Ney 1995; Chen and Goodman 1998.

    >>> model = NGram(order=2, num_symbols=2)
    >>> model.prequential(np.array([0, 1, 0, 1, 0, 1])).round(2).tolist()
    [0.69, 0.98, 0.47, 0.69, 0.21]
    """

    order: int = 3
    """Symbols in the n-gram: one more than in its context."""
    num_symbols: int = 27
    """Size of the vocabulary."""
    smoothing: Literal["absolute", "kneser_ney"] = "absolute"
    """What the lower orders count."""
    discount: float = 0.75
    """Taken off every count; above 0, so that nothing is impossible, and at most 1."""
    boundary: int | None = None
    """Symbol that contexts do not reach across; unset, they reach across all."""

    def __post_init__(self):
        _validate.at_least("order", self.order, 1)
        _validate.at_least("num_symbols", self.num_symbols, 2)
        _validate.choice("smoothing", self.smoothing, ["absolute", "kneser_ney"])
        _validate.positive("discount", self.discount)
        _validate.between("discount", self.discount, 0, 1)
        if self.boundary is not None:
            _validate.at_least("boundary", self.boundary, 0)
            _validate.between("boundary", self.boundary, 0, self.num_symbols - 1)
        # An n-gram is coded as one int64.
        if self.num_symbols**self.order >= 2**63:
            raise ValueError(
                f"order {self.order} is too high for {self.num_symbols} symbols: "
                f"num_symbols ** order must stay below 2 ** 63"
            )

    def held_out(
        self, train: Int[np.ndarray, "S"], test: Int[np.ndarray, "T"]
    ) -> Float[np.ndarray, "T-1"]:
        """Nats of each predicted symbol of ``test`` under the counts of ``train``."""
        train, test = self._check("train", train), self._check("test", test)
        probability = np.full(test.size - 1, 1 / self.num_symbols)
        for order in range(1, self.order + 1):
            counted, asked = self._codes(train, order), self._codes(test, order)
            grams, counts = np.unique(counted[self._counts(train, order)], return_counts=True)
            contexts, inverse = np.unique(grams // self.num_symbols, return_inverse=True)
            probability = self._interpolate(
                _look_up(grams, counts, asked),
                _look_up(contexts, np.bincount(inverse, counts), asked // self.num_symbols),
                _look_up(contexts, np.bincount(inverse), asked // self.num_symbols),
                probability,
            )
        return -np.log(probability)

    def prequential(self, stream: Int[np.ndarray, "T"]) -> Float[np.ndarray, "T-1"]:
        """Nats of each predicted symbol of ``stream`` under the counts of what came before it.

        One pass, each symbol predicted and then counted; computed for all symbols at once from
        their ranks among equal n-grams and equal contexts.
        """
        stream = self._check("stream", stream)
        probability = np.full(stream.size - 1, 1 / self.num_symbols)
        for order in range(1, self.order + 1):
            gram = self._codes(stream, order)
            context = gram // self.num_symbols
            counts = self._counts(stream, order)
            new = _earlier(gram, np.ones(gram.size, bool)) == 0
            probability = self._interpolate(
                _earlier(gram, counts),
                _earlier(context, counts),
                _earlier(context, new),
                probability,
            )
        return -np.log(probability)

    def _check(self, name: str, stream: Int[np.ndarray, "T"]) -> Int[np.ndarray, "T"]:
        stream = np.asarray(stream)
        if stream.ndim != 1 or not np.issubdtype(stream.dtype, np.integer):
            raise TypeError(
                f"{name} must be a flat array of whole numbers, "
                f"got shape {stream.shape} of {stream.dtype}"
            )
        if stream.size < 2:
            raise ValueError(f"{name} must hold at least 2 symbols, got {stream.size}")
        if stream.min() < 0 or stream.max() >= self.num_symbols:
            raise ValueError(
                f"{name} must hold symbols 0 to {self.num_symbols - 1}, "
                f"got {stream.min()} to {stream.max()}"
            )
        return stream.astype(np.int64)

    def _codes(self, stream: Int[np.ndarray, "T"], order: int) -> Int[np.ndarray, "T-1"]:
        """The n-gram that ends at each predicted symbol, as one number; its last digit is that."""
        code = stream[1:].copy()
        blind = np.zeros(code.size, bool)
        before = 0 if self.boundary is None else self.boundary
        for back in range(1, order):
            symbol = np.full(code.size, before)
            symbol[back - 1 :] = stream[: max(stream.size - back, 0)]  # a short one has none
            if self.boundary is not None:
                symbol[blind] = before
                blind |= symbol == before
            # The context is a number of its own behind the last digit, nearest symbol first.
            code += symbol * self.num_symbols**back
        return code

    def _counts(self, stream: Int[np.ndarray, "T"], order: int) -> np.ndarray:
        """Which places count: all, or (Kneser-Ney, lower orders) first ones of the next order."""
        everywhere = np.ones(stream.size - 1, bool)
        if self.smoothing == "absolute" or order == self.order:
            return everywhere
        return _earlier(self._codes(stream, order + 1), everywhere) == 0

    def _interpolate(
        self, gram: np.ndarray, context: np.ndarray, different: np.ndarray, lower: np.ndarray
    ) -> np.ndarray:
        """The formula of the class, from c(hw), sum of c(hv), N(h) and the lower order."""
        kept = np.maximum(gram - self.discount, 0)
        mixed = (kept + self.discount * different * lower) / np.maximum(context, 1)
        return np.where(context > 0, mixed, lower)


def _look_up(keys: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """values of the sorted keys at those asked for, 0 where a key is missing."""
    index = np.minimum(np.searchsorted(keys, asked), keys.size - 1)
    return np.where(keys[index] == asked, values[index], 0)


def _earlier(code: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """For each place, how many of the earlier places with the same code count."""
    order = np.argsort(code, kind="stable")
    running = np.cumsum(counts[order]) - counts[order]
    ordered = code[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    # What had run up where the group began: running never falls, so its maximum so far is that.
    running = running - np.maximum.accumulate(np.where(first, running, 0))
    result = np.empty(code.size, np.int64)
    result[order] = running
    return result


def baseline_ngrams(
    train: Int[np.ndarray, "S"],
    test: Int[np.ndarray, "T"],
    num_symbols: int,
    orders: Sequence[int] = (1, 2, 3, 4),
    boundary: int | None = None,
) -> dict[str, tuple[float, float]]:
    """Mean nats per symbol of n-gram models: (one pass over train, test after it).

    Up to trigrams absolute discounting, from 4-grams on Kneser-Ney, discount .75: what reproduces
    the ladder of `loopymeta.tasks.Names` to .002 nats on the test part.

    Args:
      train: stream that is counted; its first symbol is context only.
      test: stream that is only predicted; its first symbol is context only.
      num_symbols: size of the vocabulary.
      orders: which n-grams.
      boundary: symbol that contexts do not reach across, 0 for `Names`.

    >>> baseline_ngrams(np.array([0, 1, 0, 1]), np.array([0, 1, 0]), 2, orders=(1,))
    {'unigram': (0.78..., 0.75...)}
    """
    result = {}
    for order in orders:
        smoothing = "absolute" if order <= 3 else "kneser_ney"
        model = NGram(order, num_symbols, smoothing, boundary=boundary)
        pair = (model.prequential(train).mean(), model.held_out(train, test).mean())
        result[_NAMES.get(order, f"{order}-gram")] = (float(pair[0]), float(pair[1]))
    return result
