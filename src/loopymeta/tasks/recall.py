"""Fast memory: strings, pairs and patterns that are shown once and wanted back soon.

A lifetime is many independent trials with fresh content in one stream, which nothing resets; what
can be learned over it is how to remember, not what. All trials of a task are of one length; the
second half of them, when there has been time to learn, is *late*. Answers are taught after they are
predicted, and nothing else is scored or taught.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from loopymeta import _validate
from loopymeta._jax import jax, jnp
from loopymeta.tasks import base
from loopymeta.tasks.base import Episode, Outcome, Spec
from loopymeta.tasks.memory import _letters

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Key

    from loopymeta._jax import Array


def _shuffled(key: Key[Array, ""], rows: int, size: int) -> Int[Array, "rows size"]:
    """The numbers 0..size-1 in a random order of its own in each row.

    The ranks of random numbers, counted by comparing all with all: a sort takes five times as long.
    """
    lot = jax.random.bits(key, (rows, size))
    mine, other = lot[:, :, None], lot[:, None, :]
    earlier = jnp.asarray(np.tri(size, k=-1, dtype=bool))[None]  # of equals the first is lower
    return ((other < mine) | ((other == mine) & earlier)).sum(2, dtype=jnp.int32)


def _late(length: int, trials: int) -> Bool[np.ndarray, "T"]:
    """Which of ``length`` symbols belong to the second half of the trials."""
    return np.arange(length) >= trials // 2 * (length // trials)


# Strings given back -------------------------------------------------------------------------------


def _string_spec(alphabet: int, length: int, distractors: int = 0) -> Spec:
    """Symbols: the letters, the blank, the go mark, the distractors."""
    names = tuple(f"distractor {i}" for i in range(distractors))
    symbols = (*_letters(alphabet), " ", "go", *names)
    return Spec(
        num_inputs=len(symbols),
        num_outputs=alphabet,
        length=length,
        loss="cross_entropy",
        chance=1 / alphabet,
        floor=0.0,
        symbols=symbols,
    )


def _string_episode(
    shown: Int[Array, "trials shown"], answer: Int[Array, "trials places"], alphabet: int
) -> Episode:
    """Trials of what is shown, the go mark, blanks; the answer is wanted from the go mark on."""
    trials, places = answer.shape
    asking = jnp.full((trials, places), alphabet).at[:, 0].set(alphabet + 1)
    stream = jnp.concatenate([shown, asking], axis=1)
    target = jnp.concatenate([jnp.zeros_like(shown), answer], axis=1)
    place = np.concatenate([np.zeros(shown.shape[1], np.int32), 1 + np.arange(places)])
    phase = jnp.asarray(np.tile(place, trials))
    asked = phase > 0
    return base.stream_episode(stream.reshape(-1), target.reshape(-1), asked, asked, phase)


def _string_scores(
    outcome: Outcome, episode: Episode, trials: int, places: int
) -> dict[str, Array]:
    """``loss``, ``accuracy``; late: ``accuracy_late``, ``recall_by_place [places]``."""
    late = episode.scored & _late(episode.scored.shape[0], trials)
    index = episode.phase - 1
    return base.scores(outcome, episode) | {
        "accuracy_late": base.masked_mean(outcome.correct, late),
        "recall_by_place": base.mean_by(outcome.correct, index, places, late),
    }


@dataclass(frozen=True)
class Copy:
    """A random string, a go mark; then the string is wanted back in order.

    A trial is ``length`` random letters, the go mark, and length - 1 blanks. The first letter is
    wanted at the go mark, the others at the blanks; the letters are not shown again. The phase of
    a symbol is the place (1, ..., length) of the letter that is wanted at it, 0 while the string is
    shown. Each letter is wanted ``length`` symbols after it was shown.

    Symbols: the letters, then the blank, the go mark.

    Metrics: ``loss``, ``accuracy``, and over the second half of the trials ``accuracy_late`` and
    ``recall_by_place [length]``. Floor 0: the answer was shown.

    Reference: the copy task of Graves et al. (2014), Neural Turing Machines.

    >>> Copy(length=3, trials=5).spec.length  # 5 trials of three letters, go, two blanks
    30
    """

    length: int = 5
    """Letters in the string."""
    alphabet: int = 8
    """Number of different letters."""
    trials: int = 200
    """Strings in a lifetime."""

    def __post_init__(self):
        _validate.at_least("length", self.length, 1)
        _validate.at_least("alphabet", self.alphabet, 2)
        _validate.at_least("trials", self.trials, 2)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / alphabet; floor 0."""
        return _string_spec(self.alphabet, self.trials * 2 * self.length)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh strings of independent, equally likely letters."""
        string = jax.random.randint(key, (self.trials, self.length), 0, self.alphabet)
        return _string_episode(string, string, self.alphabet)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``recall_by_place [length]``."""
        return _string_scores(outcome, episode, self.trials, self.length)


@dataclass(frozen=True)
class SelectiveCopy:
    """A few letters scattered among blanks or distractors; at the go mark they are wanted in order.

    A trial is ``span`` symbols, of which ``kept``, at random places, are random letters and the
    others blanks (or distractors); then the go mark and kept - 1 blanks. The first letter is wanted
    at the go mark, the others at the blanks behind it. The phase of a symbol is the place
    (1, ..., kept) of the letter that is wanted at it, 0 elsewhere. Since the gaps differ, counting
    back does not help: what is to be kept must be told from what is not.

    Symbols: the letters, then the blank, the go mark, the distractors.

    Metrics: ``loss``, ``accuracy``, and over the second half of the trials ``accuracy_late`` and
    ``recall_by_place [kept]``. Floor 0: the answer was shown.

    Reference: the selective copying task of Gu and Dao (2023), Mamba.

    >>> SelectiveCopy(kept=2, span=5, trials=10).spec.length  # trials of 5 symbols, go, a blank
    70
    """

    kept: int = 4
    """Letters to be kept."""
    span: int = 12
    """Symbols that they are scattered over."""
    alphabet: int = 8
    """Number of different letters."""
    distractors: int = 0
    """Number of different distracting symbols between the letters; 0 puts blanks there."""
    trials: int = 200
    """Trials in a lifetime."""

    def __post_init__(self):
        _validate.at_least("kept", self.kept, 1)
        _validate.at_least("span", self.span, 1)
        if self.kept > self.span:
            raise ValueError(f"kept must be at most span ({self.span}), got {self.kept}")
        _validate.at_least("alphabet", self.alphabet, 2)
        _validate.at_least("distractors", self.distractors, 0)
        _validate.at_least("trials", self.trials, 2)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / alphabet; floor 0."""
        length = self.trials * (self.span + self.kept)
        return _string_spec(self.alphabet, length, self.distractors)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh letters at fresh places, among fresh distractors."""
        key_place, key_letter, key_fill = jax.random.split(key, 3)
        shape = (self.trials, self.span)
        place = jnp.sort(_shuffled(key_place, *shape)[:, : self.kept], axis=1)
        letter = jax.random.randint(key_letter, (self.trials, self.kept), 0, self.alphabet)
        if self.distractors:
            first = self.alphabet + 2
            fill = jax.random.randint(key_fill, shape, first, first + self.distractors)
        else:
            fill = jnp.full(shape, self.alphabet)
        shown = fill.at[jnp.arange(self.trials)[:, None], place].set(letter)
        return _string_episode(shown, letter, self.alphabet)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``recall_by_place [kept]``."""
        return _string_scores(outcome, episode, self.trials, self.kept)


@dataclass(frozen=True)
class Resequence:
    """A random string, a go mark; then its letters are wanted in the order of the alphabet.

    A trial is ``length`` random letters (some may be equal), the go mark, and length - 1 blanks.
    The least letter is wanted at the go mark, the others, ascending, at the blanks. The phase of a
    symbol is the place (1, ..., length) of the letter that is wanted at it, 0 while the string is
    shown.

    Symbols: the letters, then the blank, the go mark.

    Metrics: ``loss``, ``accuracy``, and over the second half of the trials ``accuracy_late`` and
    ``recall_by_place [length]``. Floor 0: the answer follows from what was shown. Hold recall
    against `guess_by_place`, too: the first of many sorted letters is likely an early one, so that
    who knows only the place is right more often than chance.

    >>> Resequence(length=3, trials=5).spec.length  # 5 trials of three letters, go, two blanks
    30
    """

    length: int = 4
    """Letters in the string."""
    alphabet: int = 8
    """Number of different letters."""
    trials: int = 200
    """Strings in a lifetime."""

    def __post_init__(self):
        _validate.at_least("length", self.length, 1)
        _validate.at_least("alphabet", self.alphabet, 2)
        _validate.at_least("trials", self.trials, 2)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / alphabet, of one and the same guess at all places; floor 0."""
        return _string_spec(self.alphabet, self.trials * 2 * self.length)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh strings of independent, equally likely letters."""
        string = jax.random.randint(key, (self.trials, self.length), 0, self.alphabet)
        return _string_episode(string, jnp.sort(string, axis=1), self.alphabet)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``recall_by_place [length]``."""
        return _string_scores(outcome, episode, self.trials, self.length)

    def guess_by_place(self) -> Float[np.ndarray, "length"]:
        """Recall by place of the best guess that knows the place and nothing of the string.

        The k-th of n sorted letters is at most s if at least k of the n are: a binomial tail, which
        is the incomplete beta function I(p; k, n - k + 1) of p = P(a letter is at most s).

        >>> Resequence(length=2, alphabet=2).guess_by_place().tolist()
        [0.75, 0.75]
        """
        from scipy.special import betainc

        k = np.arange(1, self.length + 1)[:, None]
        below = np.arange(self.alphabet + 1)[None, :] / self.alphabet  # for s = -1, 0, ...
        return np.diff(betainc(k, self.length - k + 1, below), axis=1).max(axis=1)


# Values of keys -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class MultiQueryRecall:
    """Keys are shown with their values, then some of the keys are asked: what was their value?

    A trial is ``keys`` pairs of symbols, a key and its value, then ``queries`` pairs of a question
    mark and a key. The value is wanted at the asked key. Keys of a trial are different, and so are
    the asked ones; values are independent, and all of it is fresh in every trial. The phase of an
    asked key is its lag, the symbols since its value was shown (2, 4, ...); it is 0 elsewhere.

    Symbols: the values (numbers), then the keys (letters), the question mark.

    Metrics: ``loss``, ``accuracy``, and over the second half of the trials ``accuracy_late``,
    ``accuracy_by_lag [keys + queries - 1]`` (entry i for lag 2 (i + 1); nan if none occurred) and
    ``accuracy_by_query [queries]``. Floor 0: the answer was shown.

    Reference: multi-query associative recall, Arora et al. (2023), Zoology. There the queries lie
    scattered and each is followed by its value; here the value is only taught.

    >>> MultiQueryRecall(keys=3, queries=2, trials=5).spec.length  # k v k v k v ? k ? k
    50
    """

    keys: int = 8
    """Keys shown with a value in each trial."""
    queries: int = 4
    """Keys asked in each trial."""
    key_alphabet: int = 16
    """Number of different keys."""
    values: int = 8
    """Number of different values."""
    trials: int = 150
    """Trials in a lifetime."""

    def __post_init__(self):
        _validate.at_least("keys", self.keys, 1)
        _validate.at_least("queries", self.queries, 1)
        _validate.at_least("key_alphabet", self.key_alphabet, 1)
        _validate.at_least("values", self.values, 2)
        _validate.at_least("trials", self.trials, 2)
        if self.keys > self.key_alphabet:
            raise ValueError(
                f"keys must be at most key_alphabet ({self.key_alphabet}), got {self.keys}"
            )
        if self.queries > self.keys:
            raise ValueError(f"queries must be at most keys ({self.keys}), got {self.queries}")

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / values; floor 0."""
        few = self.key_alphabet <= 26  # beyond, letters end and numbers would look like values
        keys = _letters(self.key_alphabet)
        keys = keys if few else tuple(f"key {i}" for i in range(self.key_alphabet))
        symbols = (*(str(i) for i in range(self.values)), *keys, "?")
        return Spec(
            num_inputs=len(symbols),
            num_outputs=self.values,
            length=self.trials * 2 * (self.keys + self.queries),
            loss="cross_entropy",
            chance=1 / self.values,
            floor=0.0,
            symbols=symbols,
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of trials, each with fresh keys, values and queries."""
        key_key, key_value, key_query = jax.random.split(key, 3)
        trials, queries = self.trials, self.queries
        keys = _shuffled(key_key, trials, self.key_alphabet)[:, : self.keys] + self.values
        values = jax.random.randint(key_value, keys.shape, 0, self.values)
        pair = _shuffled(key_query, trials, self.keys)[:, :queries]  # which of the pairs is asked
        marks = jnp.full((trials, queries), self.values + self.key_alphabet)
        asked_keys = jnp.take_along_axis(keys, pair, axis=1)
        answers = jnp.take_along_axis(values, pair, axis=1)
        lags = 2 * (self.keys - pair + jnp.arange(queries)[None, :])

        def stream(shown: tuple[Array, Array], asked: tuple[Array, Array]) -> Array:
            """Two symbols a pair, two symbols a query, trial after trial."""
            parts = [jnp.stack(part, axis=2) for part in (shown, asked)]
            return jnp.concatenate(parts, axis=1).reshape(-1)

        none, no = jnp.zeros_like(keys), jnp.zeros_like(pair)
        phase = stream((none, none), (no, lags))
        return base.stream_episode(
            stream((keys, values), (marks, asked_keys)),
            stream((none, none), (no, answers)),
            scored=phase > 0,
            taught=phase > 0,
            phase=phase,
        )

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        length, num_lags = episode.scored.shape[0], self.keys + self.queries - 1
        late = episode.scored & _late(length, self.trials)
        column = jnp.arange(length) % (length // self.trials)
        query = column // 2 - self.keys
        lag = episode.phase // 2 - 1
        correct = outcome.correct
        return base.scores(outcome, episode) | {
            "accuracy_late": base.masked_mean(correct, late),
            "accuracy_by_lag": base.mean_by(correct, lag, num_lags, late),
            "accuracy_by_query": base.mean_by(correct, query, self.queries, late),
        }


@dataclass(frozen=True)
class KeyRecall:
    """Keys are shown with their values, then one of the keys is asked: what was its value?

    A trial is ``keys`` pairs of symbols, a key and its value, then a question mark and one of these
    keys, at which its value is wanted: `MultiQueryRecall` with one query. The phase of an asked key
    is its lag, the symbols since its value was shown (2, 4, ..., 2 keys); it is 0 elsewhere.

    Symbols: the values (numbers), then the keys (letters), the question mark.

    Metrics: ``loss``, ``accuracy``, and over the second half of the trials ``accuracy_late`` and
    ``accuracy_by_lag [keys]`` (entry i for lag 2 (i + 1); nan if none occurred). Floor 0: the
    answer was shown.

    Reference: the associative retrieval task of Ba et al. (2016), Using Fast Weights to Attend to
    the Recent Past.

    >>> KeyRecall(keys=3, trials=5).spec.length  # 5 trials of k v k v k v ? k
    40
    """

    keys: int = 4
    """Keys shown with a value in each trial."""
    key_alphabet: int = 8
    """Number of different keys."""
    values: int = 8
    """Number of different values."""
    trials: int = 200
    """Trials in a lifetime."""

    def __post_init__(self):
        _ = self._one_query  # which refuses bad sizes

    @property
    def _one_query(self) -> MultiQueryRecall:
        return MultiQueryRecall(self.keys, 1, self.key_alphabet, self.values, self.trials)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / values; floor 0."""
        return self._one_query.spec

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of trials, each with fresh keys, values and query."""
        return self._one_query.sample(key)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``accuracy_by_lag [keys]``."""
        metrics = self._one_query.score(outcome, episode)
        del metrics["accuracy_by_query"]  # of one query, accuracy_late again
        return metrics


# Patterns -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PatternCompletion:
    """Random ±1 patterns are shown, then one of them with half of its bits zeroed: what is missing?

    A trial is ``patterns`` patterns, one a symbol, each of ``bits`` independent fair ±1, and a
    probe: one of them, any with the same probability, in which bits / 2 random bits are zero. The
    whole pattern is wanted at the probe. Stimuli and targets are vectors. The phase of a probe is
    its lag (1, ..., patterns), the symbols since its pattern was shown; it is 0 elsewhere.

    The loss is the squared error summed over the bits; a constant guess of 0 costs ``bits``, the
    probe itself bits / 2. The floor is small: with q = 2^(-bits / 2) the number of *other* patterns
    that fit the probe, too, is K ~ Bin(patterns - 1, q), and the best guess is the mean of all that
    fit, which costs K / (K + 1) a hidden bit; so the floor is
    bits / 2 * (1 - (1 - (1 - q)^patterns) / (patterns q)).

    Metrics: ``loss``, and over the second half of the trials ``loss_late``,
    ``loss_by_lag [patterns]``, and, where the outcome holds the predictions
    (``outcome.prediction [T, bits]``), ``wrong_sign`` and ``wrong_sign_hidden``; `wrong_signs`
    makes these of recorded predictions. Who gives back the probe and guesses the rest gets .25
    and .5.

    Reference: Miconi et al. (2018), Differentiable plasticity.

    >>> task = PatternCompletion(bits=4, patterns=2, trials=5)  # two patterns, a probe
    >>> task.spec.length, task.spec.chance, task.spec.floor
    (15, 4.0, 0.25)
    """

    bits: int = 32
    """Bits of a pattern, an even number."""
    patterns: int = 3
    """Patterns shown in each trial."""
    trials: int = 400
    """Trials in a lifetime."""

    def __post_init__(self):
        _validate.at_least("bits", self.bits, 2)
        if self.bits % 2:
            raise ValueError(f"bits must be even, since half of them are hidden, got {self.bits}")
        _validate.at_least("patterns", self.patterns, 1)
        _validate.at_least("trials", self.trials, 2)

    @property
    def spec(self) -> Spec:
        """Sizes; chance, the loss of guessing 0, is bits; the floor given above."""
        return Spec(
            num_inputs=self.bits,
            num_outputs=self.bits,
            length=self.trials * (self.patterns + 1),
            loss="squared_error",
            chance=float(self.bits),
            floor=self._floor(),
        )

    def _floor(self) -> float:
        fits = 2.0 ** (-self.bits / 2)
        if not fits:  # underflow
            return 0.0
        # 1 - (1 - q)^patterns by expm1, since q may be far below eps.
        any_of_them = -math.expm1(self.patterns * math.log1p(-fits))
        return max(0.0, self.bits / 2 * (1 - any_of_them / (self.patterns * fits)))

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of trials, each with fresh patterns and a fresh probe."""
        key_bit, key_which, key_hidden = jax.random.split(key, 3)
        trials, bits, length = self.trials, self.bits, self.spec.length
        shape = (trials, self.patterns, bits)
        patterns = jax.random.rademacher(key_bit, shape, dtype=float)
        which = jax.random.randint(key_which, (trials,), 0, self.patterns)
        whole = jnp.take_along_axis(patterns, which[:, None, None], axis=1)
        hidden = _shuffled(key_hidden, trials, bits)[:, None, :] < bits // 2
        probe = jnp.where(hidden, 0.0, whole)
        nothing = jnp.zeros(shape, whole.dtype)
        lag = jnp.zeros((trials, self.patterns + 1), jnp.int32)
        phase = lag.at[:, -1].set(self.patterns - which).reshape(-1)
        return Episode(
            stimulus=jnp.concatenate([patterns, probe], axis=1).reshape(length, bits),
            target=jnp.concatenate([nothing, whole], axis=1).reshape(length, bits),
            scored=phase > 0,
            taught=phase > 0,
            phase=phase,
            intervention=jnp.zeros(length, jnp.int32),
        )

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        late = episode.scored & _late(self.spec.length, self.trials)
        lag = episode.phase - 1
        metrics = {
            "loss": base.masked_mean(outcome.loss, episode.scored),
            "loss_late": base.masked_mean(outcome.loss, late),
            "loss_by_lag": base.mean_by(outcome.loss, lag, self.patterns, late),
        }
        prediction = getattr(outcome, "prediction", None)
        return metrics if prediction is None else metrics | self.wrong_signs(prediction, episode)

    def wrong_signs(
        self, prediction: Float[Array, "T bits"], episode: Episode
    ) -> dict[str, Float[Array, ""]]:
        """Fraction of bits with the wrong sign, over the second half of the trials.

        Args:
          prediction: of every symbol, as `loopymeta.lifetime.Lifetime` records it; only those at
            late probes count. A prediction of 0 is half wrong.
          episode: what was lived through.

        Returns:
          ``wrong_sign`` over all bits, ``wrong_sign_hidden`` over those that the probe hides.

        >>> import jax
        >>> task = PatternCompletion(trials=10)
        >>> episode = task.sample(jax.random.key(0))
        >>> wrong = task.wrong_signs(episode.stimulus, episode)  # gives back the probe, else 0
        >>> float(wrong["wrong_sign"]), float(wrong["wrong_sign_hidden"])
        (0.25, 0.5)
        """
        late = episode.scored & _late(self.spec.length, self.trials)
        wrong = 0.5 - 0.5 * jnp.sign(prediction) * episode.target
        hidden = episode.stimulus == 0
        return {
            "wrong_sign": base.masked_mean(wrong.mean(axis=1), late),
            "wrong_sign_hidden": base.masked_mean(wrong, late[:, None] & hidden),
        }
