"""Memory: sequences to memorise, cues to hold over a gap, strings to give back in reverse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from loopymeta import _validate
from loopymeta._jax import jax, jnp
from loopymeta.tasks import base
from loopymeta.tasks.base import Episode, Outcome, Spec

if TYPE_CHECKING:
    from jaxtyping import Key

    from loopymeta._jax import Array


def _letters(num: int) -> tuple[str, ...]:
    """Printable names for num symbols: a, b, c, ... and numbers where the letters end."""
    return tuple(chr(ord("a") + i) if i < 26 else str(i) for i in range(num))


# Memorize -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memorize:
    """One random sequence, shown again and again: how much of it is known the next time?

    The stream is ``length * presentations`` symbols without any mark between presentations;
    stimulus t is symbol t and the target is the next symbol (after the last one the first of the
    sequence, counted with the last presentation). Everything is scored and taught. The phase is the
    presentation, from 0, that the *target* belongs to.

    Metrics: ``loss``, ``accuracy``, and ``recall_by_presentation [presentations]``, the accuracy on
    the targets of each presentation: entry 0 is guessing, entry 1 recall after one presentation.

    The floor of the loss is that of the first presentation, whose symbols nobody can know:
    (length - 1) ln(alphabet) / T. What can be *recalled* by a learner that does not know the
    length of the sequence has a limit too: `ceiling`.

    >>> task = Memorize(length=3, alphabet=4, presentations=2)
    >>> task.spec.length, task.spec.chance
    (6, 0.25)
    """

    length: int = 12
    """Symbols in the sequence."""
    alphabet: int = 8
    """Number of different symbols."""
    presentations: int = 6
    """How many times the sequence is shown."""

    def __post_init__(self):
        _validate.at_least("length", self.length, 1)
        _validate.at_least("alphabet", self.alphabet, 2)
        _validate.at_least("presentations", self.presentations, 1)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / alphabet; the floor given above."""
        total = self.length * self.presentations
        return Spec(
            num_inputs=self.alphabet,
            num_outputs=self.alphabet,
            length=total,
            loss="cross_entropy",
            chance=1 / self.alphabet,
            # With one presentation even the last target, the first symbol again, could be known.
            floor=(self.length - 1) * math.log(self.alphabet) / total,
            symbols=_letters(self.alphabet),
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime on one fresh sequence of independent, equally likely symbols."""
        sequence = jax.random.randint(key, (self.length,), 0, self.alphabet)
        stream = jnp.tile(sequence, self.presentations)
        phase = (1 + np.arange(stream.shape[0])) // self.length
        phase = np.minimum(phase, self.presentations - 1)
        return base.stream_episode(stream, jnp.roll(stream, -1), phase=jnp.asarray(phase))

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``recall_by_presentation [presentations]``."""
        recall = base.mean_by(outcome.correct, episode.phase, self.presentations, episode.scored)
        return base.scores(outcome, episode) | {"recall_by_presentation": recall}

    def ceiling(self, num_samples: int = 2000, seed: int = 0) -> np.ndarray:
        """Best ``recall_by_presentation`` of a learner that is not told the period.

        See `period_recall` for what exactly is bounded. A learner that knows the length of the
        sequence (as a rule meta-learned on one fixed length might) can reach 1 from the second
        presentation on: vary the length where that matters.
        """
        return period_recall(self.length, self.alphabet, self.presentations, num_samples, seed)


def period_recall(
    length: int, alphabet: int, presentations: int, num_samples: int = 2000, seed: int = 0
) -> np.ndarray:
    """Expected recall by presentation of the Bayes predictor for an unknown period.

    The predictor knows that the stream is some i.i.d. uniform sequence of unknown length L,
    repeated from its start, and holds every L equally likely. A period L < t that is consistent
    with the t symbols seen has the likelihood alphabet^-L, longer ones alphabet^-t; so the most
    probable next symbol is the one L* symbols ago, L* the *shortest* consistent period: all longer
    ones together weigh less than alphabet^-L* / (alphabet - 1). Without any it guesses (credit
    1 / alphabet).
    No predictor is right more often, averaged over all lengths; on one given length it can be
    beaten only by prejudice for that length.

    Args:
      length: symbols in the sequence.
      alphabet: number of different symbols.
      presentations: how many times it is shown.
      num_samples: sequences that the expectation is taken over.
      seed: of numpy's generator.

    Returns:
      ``[presentations]``, the last target (the first symbol again) counted with the last one.

    >>> period_recall(12, 8, 3).round(2).tolist()
    [0.13, 0.93, 1.0]
    """
    stream = _repeated(length, alphabet, presentations, num_samples, seed)
    total = length * presentations
    consistent = np.ones((num_samples, total + 1), bool)  # [:, L]: period L fits all seen so far
    consistent[:, 0] = False
    credit = np.empty(total)
    rows = np.arange(num_samples)
    for t in range(1, total + 1):
        # Symbol t - 1 is compared with the one L earlier, for every L that does not reach too far.
        consistent[:, 1:t] &= stream[:, t - 1 : t] == stream[:, t - 2 :: -1][:, : t - 1]
        candidates = consistent[:, :t]
        period = candidates.argmax(axis=1)
        hit = stream[rows, t - period] == stream[:, t]
        credit[t - 1] = np.where(candidates.any(axis=1), hit, 1 / alphabet).mean()
    return _by_presentation(credit, length, presentations)


def suffix_match_recall(
    length: int, alphabet: int, presentations: int, num_samples: int = 2000, seed: int = 0
) -> np.ndarray:
    """Expected recall by presentation of the ideal longest-context matcher.

    It finds the longest suffix of what it has seen that also occurred earlier (of several such
    places the latest) and predicts what followed there; without any it guesses (credit
    1 / alphabet). It knows neither the period nor that a repetition begins at the beginning, so
    it stays below `period_recall`; it is what a perfect memory of contexts can do.

    Args and result are those of `period_recall`.

    >>> suffix_match_recall(12, 8, 3).round(1).tolist()
    [0.1, 0.9, 1.0]
    """
    stream = _repeated(length, alphabet, presentations, num_samples, seed)
    total = length * presentations
    match = np.zeros((num_samples, total + 1), np.int32)  # [:, j]: common suffix of x[:t], x[:j]
    credit = np.empty(total)
    rows = np.arange(num_samples)
    for t in range(1, total + 1):
        same = stream[:, t - 1 : t] == stream[:, : t - 1]
        match[:, 1:t] = np.where(same, match[:, : t - 1] + 1, 0)
        # Reversed, so that argmax takes the latest of equals.
        place = t - 1 - match[:, :t][:, ::-1].argmax(axis=1)
        hit = stream[rows, place] == stream[:, t]
        credit[t - 1] = np.where(match[rows, place] > 0, hit, 1 / alphabet).mean()
    return _by_presentation(credit, length, presentations)


def _repeated(
    length: int, alphabet: int, presentations: int, num_samples: int, seed: int
) -> np.ndarray:
    """num_samples streams of Memorize, with the target of the last symbol behind them."""
    Memorize(length, alphabet, presentations)  # checks them
    _validate.at_least("num_samples", num_samples, 1)
    sequence = np.random.default_rng(seed).integers(alphabet, size=(num_samples, length))
    return np.concatenate([np.tile(sequence, presentations), sequence[:, :1]], axis=1)


def _by_presentation(credit: np.ndarray, length: int, presentations: int) -> np.ndarray:
    phase = np.minimum((1 + np.arange(len(credit))) // length, presentations - 1)
    with np.errstate(invalid="ignore"):
        return np.bincount(phase, credit, presentations) / np.bincount(phase, None, presentations)


class Longest(NamedTuple):
    """Result of `longest_recalled`.

    Attributes:
      length: the longest length that was recalled, 0 if not even one symbol was.
      table: (length, recall) of all that was tried, by length.
    """

    length: int
    table: tuple[tuple[int, float], ...]


def longest_recalled(
    evaluate_length: Callable[[int], float],
    *,
    start: int = 4,
    factor: float = 2.0,
    threshold: float = 0.95,
    stop: int = 1024,
    resolution: int = 1,
) -> Longest:
    """The curriculum of `Memorize`: the length grows until recall fails; how far did it get?

    The length is multiplied by ``factor`` as long as recall is at least ``threshold``, then the gap
    between the last success and the first failure is halved until it is at most ``resolution``.

    Args:
      evaluate_length: recall (0 to 1) of the learner on sequences of a length, say
        ``recall_by_presentation[k]`` averaged over lifetimes. Not a number counts as failure.
      start: first length tried.
      factor: growth, above 1.
      threshold: recall that counts as success.
      stop: longest length tried.
      resolution: symbols; how exactly the limit is wanted. Each new length usually costs a
        compilation.

    >>> longest_recalled(lambda length: 1.0 if length <= 21 else 0.5).length
    21
    """
    for name, value in (("start", start), ("stop", stop), ("resolution", resolution)):
        _validate.at_least(name, value, 1)
    _validate.between("threshold", threshold, 0, 1)
    _validate.positive("factor", factor)
    if factor <= 1:
        raise ValueError(f"factor must be above 1, got {factor}")
    if stop < start:
        raise ValueError(f"stop must be at least start ({start}), got {stop}")

    table: dict[int, float] = {}

    def passes(length: int) -> bool:
        table[length] = float(evaluate_length(length))
        return table[length] >= threshold

    low, high = 0, start
    while passes(high):
        low = high
        if high == stop:
            return Longest(low, tuple(sorted(table.items())))
        high = min(stop, max(high + 1, int(high * factor)))
    while high - low > resolution:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return Longest(low, tuple(sorted(table.items())))


# Delay --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Delay:
    """A cue, a gap of zeros, a go signal; then the cue is wanted back.

    A lifetime is many such trials in one stream: cue, ``gap`` zeros (or distractors), go. The
    target at the go symbol is the cue of the trial; nothing else is scored or taught. With
    ``min_gap`` the gaps run over min_gap, ..., gap, each equally often, in random order. The phase
    of a symbol is the gap of its trial.

    Symbols: the cues, then the zero, the go signal, the distractors.

    Metrics: ``loss``, ``accuracy``, and over the second half of the trials, when there has been
    time to learn, ``accuracy_late`` and ``accuracy_by_gap [gap - min_gap + 1]``. Floor 0: the
    answer was shown.

    >>> Delay(gap=3, cues=2, trials=5).spec.length  # 5 trials of cue, three zeros, go
    25
    """

    gap: int = 10
    """Symbols between the cue and the go signal."""
    min_gap: int | None = None
    """Shortest gap; unset, every gap is the same."""
    cues: int = 2
    """Number of different cues."""
    distractors: int = 0
    """Number of different distracting symbols that fill the gap; 0 fills it with zeros."""
    trials: int = 100
    """Trials with each gap."""

    def __post_init__(self):
        _validate.at_least("gap", self.gap, 0)
        if self.min_gap is not None:
            _validate.at_least("min_gap", self.min_gap, 0)
            if self.min_gap > self.gap:
                raise ValueError(f"min_gap must be at most gap ({self.gap}), got {self.min_gap}")
        _validate.at_least("cues", self.cues, 2)
        _validate.at_least("distractors", self.distractors, 0)
        _validate.at_least("trials", self.trials, 2)

    @property
    def _gaps(self) -> np.ndarray:
        return np.arange(self.gap if self.min_gap is None else self.min_gap, self.gap + 1)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / cues; floor 0."""
        distractors = tuple(f"distractor {i}" for i in range(self.distractors))
        symbols = (*_letters(self.cues), "0", "go", *distractors)
        return Spec(
            num_inputs=len(symbols),
            num_outputs=self.cues,
            length=self.trials * int((self._gaps + 2).sum()),
            loss="cross_entropy",
            chance=1 / self.cues,
            floor=0.0,
            symbols=symbols,
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of trials with fresh cues, gaps in fresh order, fresh distractors."""
        key_gap, key_cue, key_fill = jax.random.split(key, 3)
        length, zero = self.spec.length, self.cues
        # Every cycle holds each gap once, so that the two halves of the lifetime are alike.
        cycles = jnp.tile(jnp.asarray(self._gaps), (self.trials, 1))
        gaps = jax.random.permutation(key_gap, cycles, axis=1, independent=True).reshape(-1)
        cue = jax.random.randint(key_cue, gaps.shape, 0, self.cues)
        go = jnp.cumsum(gaps + 2) - 1
        if self.distractors:
            stream = jax.random.randint(key_fill, (length,), 0, self.distractors) + zero + 2
        else:
            stream = jnp.full(length, zero)
        stream = stream.at[go - gaps - 1].set(cue).at[go].set(zero + 1)
        asked = jnp.zeros(length, bool).at[go].set(True)
        target = jnp.zeros(length, jnp.int32).at[go].set(cue)
        phase = jnp.repeat(gaps, gaps + 2, total_repeat_length=length)
        return base.stream_episode(stream, target, scored=asked, taught=asked, phase=phase)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``accuracy_by_gap [gap - min_gap + 1]``."""
        num_cycles_early = self.trials // 2
        early = num_cycles_early * int((self._gaps + 2).sum())
        late = episode.scored & (jnp.arange(episode.scored.shape[0]) >= early)
        index = episode.phase - self._gaps[0]
        return base.scores(outcome, episode) | {
            "accuracy_late": base.masked_mean(outcome.correct, late),
            "accuracy_by_gap": base.mean_by(outcome.correct, index, len(self._gaps), late),
        }


# Reversal -----------------------------------------------------------------------------------------

_RUNNING = 100  # sequences that the running recall is taken over


@dataclass(frozen=True)
class Reversal:
    """A short string, a full stop, then the string in reverse.

    Each sequence is r ~ U{1..n} random letters, ``.``, the mirror image, and blanks up to length
    2n + 1; sequences follow one another in one stream. The next symbol is to be predicted. The
    first letter of a sequence, which comes from nowhere, is neither scored nor taught; that leaves
    2n predictions a sequence, whose floor is [ln n + (E[r] - 1) ln(alphabet)] / 2n nats: the first
    letters to tell, and where the full stop stands. For n = 2, 3, 4 and 7 letters: .4165, .5074,
    .5381.

    The phase of a symbol says what its *target* is: k >= 1 for the k-th mirrored letter (shown 2k
    symbols before it is wanted), 0 for all else.

    Metrics: ``loss``, ``accuracy``; over the last ``window`` sequences ``loss_late`` (the one to
    hold against the floor), ``recall`` (accuracy on the mirrored letters) and ``recall_by_lag [n]``
    (on the k-th of them; nan if none occurred); ``recall_curve`` over 50 equal blocks of the
    lifetime (fewer if there are fewer sequences); ``sequences``, sequences seen until
    the recall over 100 of them first reached ``criterion``, or all of them if it never did.
    Recall by guessing a letter is 1 / alphabet.

    >>> round(Reversal(n=3).spec.floor, 4)
    0.5074
    """

    n: int = 3
    """Longest string."""
    sequences: int = 5000
    """Sequences in a lifetime."""
    alphabet: int = 7
    """Number of different letters."""
    window: int = 500
    """Last sequences, over which recall is reported (all, if there are fewer)."""
    criterion: float = 0.9
    """Recall that counts as learned."""

    def __post_init__(self):
        _validate.at_least("n", self.n, 1)
        _validate.at_least("sequences", self.sequences, 1)
        _validate.at_least("alphabet", self.alphabet, 2)
        _validate.at_least("window", self.window, 1)
        _validate.between("criterion", self.criterion, 0, 1)

    @property
    def _width(self) -> int:
        return 2 * self.n + 1

    @property
    def spec(self) -> Spec:
        """Sizes; chance of the best constant guess (a blank, the full stop or a letter); floor."""
        mean_r = (self.n + 1) / 2
        # Expected count in a sequence, among its 2n targets, of blanks, full stops and any letter.
        counts = (self.n - 1, 1, (2 * mean_r - 1) / self.alphabet)
        information = math.log(self.n) + (mean_r - 1) * math.log(self.alphabet)
        return Spec(
            num_inputs=self.alphabet + 2,
            num_outputs=self.alphabet + 2,
            length=self.sequences * self._width,
            loss="cross_entropy",
            chance=max(counts) / (2 * self.n),
            floor=information / (2 * self.n),
            symbols=(*_letters(self.alphabet), ".", " "),
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh sequences."""
        key_r, key_letter = jax.random.split(key)
        r = jax.random.randint(key_r, (self.sequences, 1), 1, self.n + 1)
        letters = jax.random.randint(key_letter, (self.sequences, self.n), 0, self.alphabet)
        place = jnp.arange(self._width)[None, :]
        mirrored = (place > r) & (place <= 2 * r)
        source = jnp.where(mirrored, 2 * r - place, place)
        letter = jnp.take_along_axis(letters, jnp.clip(source, 0, self.n - 1), axis=1)
        full_stop, blank = self.alphabet, self.alphabet + 1
        rest = jnp.where(place == r, full_stop, blank)
        stream = jnp.where((place < r) | mirrored, letter, rest).reshape(-1)
        lag = jnp.where(mirrored, place - r, 0).reshape(-1)
        counts = jnp.roll(jnp.tile(place[0] > 0, self.sequences), -1)
        return base.stream_episode(
            stream, jnp.roll(stream, -1), scored=counts, taught=counts, phase=jnp.roll(lag, -1)
        )

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        sequence = jnp.arange(self.spec.length) // self._width
        late = sequence >= self.sequences - self.window
        recalled = episode.phase > 0
        num_blocks = min(50, self.sequences)
        block = sequence * num_blocks // self.sequences
        lag = episode.phase - 1
        correct = outcome.correct
        return base.scores(outcome, episode) | {
            "loss_late": base.masked_mean(outcome.loss, episode.scored & late),
            "recall": base.masked_mean(correct, recalled & late),
            "recall_by_lag": base.mean_by(correct, lag, self.n, recalled & late),
            "recall_curve": base.mean_by(correct, block, num_blocks, recalled),
            "sequences": self._to_criterion(correct, recalled),
        }

    def _to_criterion(self, correct: Array, recalled: Array) -> Array:
        """Sequences seen until the recall over the last 100 first reached the criterion."""
        shape = (self.sequences, self._width)
        asked = recalled.reshape(shape).sum(1)
        right = jnp.where(recalled, correct, 0.0).reshape(shape).sum(1)
        span = min(_RUNNING, self.sequences)

        def running(values: Array) -> Array:
            sums = jnp.concatenate([jnp.zeros(1, values.dtype), jnp.cumsum(values)])
            return sums[span:] - sums[:-span]

        # Both are whole numbers, exact in float32 up to 16 million; the product is not, and must
        # not miss an exact hit by its rounding.
        reached = running(right) >= self.criterion * running(asked) - 1e-3
        first = jnp.argmax(reached) + span
        return jnp.where(reached.any(), first, self.sequences).astype(jnp.float32)
