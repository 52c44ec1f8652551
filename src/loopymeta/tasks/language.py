"""Language: a letter code, first names, running text."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from loopymeta import _validate, data
from loopymeta._jax import jax, jnp
from loopymeta.tasks import base
from loopymeta.tasks.base import Episode, Outcome, Spec

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Key

    from loopymeta._jax import Array

_CURVE = 20  # points of a learning curve
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
NAME_SYMBOLS: tuple[str, ...] = (".", *_LETTERS)
"""The 27 symbols of `Names`: the boundary between names is 0, the letters are 1 to 26."""


def encode(text: str, symbols: Sequence[str]) -> Int[np.ndarray, "T"]:
    """The indices of the characters of a text in a vocabulary.

    Raises:
      ValueError: for a character outside it; the character and its position are named.

    >>> encode("cab", "abc").tolist()
    [2, 0, 1]
    """
    index = {symbol: i for i, symbol in enumerate(symbols)}
    try:
        return np.array([index[character] for character in text], np.int32)
    except KeyError as error:
        character = error.args[0]
        raise ValueError(
            f"character {character!r} (position {text.index(character)}) is not one of the "
            f"{len(symbols)} symbols {''.join(symbols)!r}"
        ) from None


def decode(indices: Sequence[int] | Int[np.ndarray, "T"], symbols: Sequence[str]) -> str:
    """The text of symbol indices; the inverse of `encode`.

    >>> decode([2, 0, 1], "abc")
    'cab'
    """
    return "".join(symbols[int(i)] for i in np.asarray(indices))


# Two parts: taught, then held out -----------------------------------------------------------------


def _two_parts(
    parts: list[tuple[Int[Array, "A"], Int[Array, "A"]]],
) -> Episode:
    """An episode of (stimulus, target) parts: the first is taught; in the second all is frozen."""
    stimulus, target = (jnp.concatenate([part[i] for part in parts]) for i in (0, 1))
    phase = jnp.asarray(np.repeat(np.arange(len(parts)), [part[1].shape[0] for part in parts]))
    return base.stream_episode(stimulus, target, taught=phase == 0, phase=phase, frozen=phase > 0)


def _two_part_scores(
    outcome: Outcome, episode: Episode, held_out: str, num_taught: int
) -> dict[str, Array]:
    """loss and accuracy over all; prequential nats and their curve; nats of what was held out."""
    taught = episode.phase == 0
    num_points = min(_CURVE, num_taught)
    block = jnp.arange(taught.shape[0]) * num_points // num_taught
    metrics = base.scores(outcome, episode) | {
        "prequential_nats": base.masked_mean(outcome.loss, taught),
        "nats_curve": base.mean_by(outcome.loss, block, num_points, taught),
    }
    if held_out != "none":
        metrics[_held_out_name(held_out)] = base.masked_mean(outcome.loss, ~taught)
    return metrics


def _held_out_name(held_out: str) -> str:
    # What is held out of the training part is neither the dev nor the test figure: its own name.
    return "held_out_nats" if held_out == "train" else f"{held_out}_nats"


def bits_per_character(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics in nats per symbol (``..._nats``) as bits per character (``..._bpc``).

    >>> bits_per_character({"test_nats": 2 * math.log(2), "accuracy": 0.5})
    {'test_bpc': 2.0}
    """
    return {
        name.removesuffix("_nats") + "_bpc": value / math.log(2)
        for name, value in metrics.items()
        if name.endswith("_nats")
    }


def _check_sizes(symbols: int | None, held_out: str, held_out_symbols: int | None) -> None:
    for name, value in (("symbols", symbols), ("held_out_symbols", held_out_symbols)):
        if value is not None:
            _validate.at_least(name, value, 1)
    if held_out == "none" and held_out_symbols is not None:
        raise ValueError("held_out_symbols is set, but held_out is 'none': nothing is held out")
    if held_out == "train" and (symbols is None or held_out_symbols is None):
        raise ValueError(
            "held_out='train' needs both symbols and held_out_symbols: "
            "what is held out must be left over from the training part"
        )


def _check_available(name: str, wanted: int, available: int, cure: str = "") -> None:
    if wanted > available:
        raise ValueError(
            f"{name} must be at most {available:,} (all there is{cure}), got {wanted:,}"
        )


# Names --------------------------------------------------------------------------------------------


class _NameList(NamedTuple):
    """Names as one array, each followed by the boundary symbol 0."""

    flat: Int[np.ndarray, "S"]
    start: Int[np.ndarray, "W"]  # where each name begins in flat
    length: Int[np.ndarray, "W"]  # with its boundary


_Split = Literal["lecture", "makemore"]


@functools.lru_cache(maxsize=8)
def _names(part: Literal["train", "dev", "test"], split: _Split = "lecture") -> _NameList:
    train, dev, test = data.names_split(split)
    chosen = {"train": train, "dev": dev, "test": test}[part]
    length = np.array([len(name) + 1 for name in chosen], np.int32)
    flat = encode("".join(name + "." for name in chosen), NAME_SYMBOLS).astype(np.int8)
    return _NameList(flat, (np.cumsum(length) - length).astype(np.int32), length)


@functools.lru_cache(maxsize=4)
def _unseen(part: Literal["dev", "test"], split: _Split) -> np.ndarray:
    """Which symbols of a part, [S], belong to names that are no training names."""
    train, dev, test = data.names_split(split)
    known = set(train)
    chosen = dev if part == "dev" else test
    return np.repeat([name not in known for name in chosen], [len(name) + 1 for name in chosen])


@functools.lru_cache(maxsize=8)
def _strides(size: int) -> Int[np.ndarray, "D"]:
    """The numbers below size without a common divisor with it."""
    numbers = np.arange(1, max(size, 2), dtype=np.int32)
    return numbers[np.gcd(numbers, size) == 1]


def _walk(key: Key[Array, ""], count: int, size: int) -> Int[Array, "W"]:
    """``count`` different indices below ``size``: a walk round the list in random strides.

    A stride without a common divisor with the size meets every index once. The list is in random
    order already, so this is as good as a shuffle, whose sort costs more than a short lifetime.
    """
    key_start, key_stride = jax.random.split(key)
    strides = jnp.asarray(_strides(size))
    stride = strides[jax.random.randint(key_stride, (), 0, strides.shape[0])]
    # Fits int32: the lists have 31,033 names at most, and 31,033^2 is 0.96e9.
    return (jax.random.randint(key_start, (), 0, size) + stride * jnp.arange(count)) % size


def _string_of_names(
    names: _NameList, order: Int[Array, "W"], symbols: int
) -> tuple[Int[Array, "S"], Int[Array, "S"]]:
    """The first ``symbols`` (stimulus, target) pairs of the names in the given order."""
    length = jnp.asarray(names.length)[order]
    begin = jnp.cumsum(length) - length
    word = jnp.repeat(jnp.arange(order.shape[0]), length, total_repeat_length=symbols)
    inside = jnp.arange(symbols) - begin[word]
    target = jnp.asarray(names.flat)[jnp.asarray(names.start)[order][word] + inside]
    return _after_boundary(target.astype(jnp.int32))


def _after_boundary(target: Int[Array, "S"]) -> tuple[Int[Array, "S"], Int[Array, "S"]]:
    """(stimulus, target) of a stream of names that begins after a boundary."""
    return jnp.concatenate([jnp.zeros(1, jnp.int32), target[:-1]]), target


@dataclass(frozen=True)
class Names:
    """First names, letter by letter: the next symbol is to be predicted.

    27 symbols: a to z and the boundary ``.`` behind each name (the stream begins with one as
    stimulus). By default a lifetime is one pass over the 25,626 training names of makemore's
    lecture split (182,625 symbols), each exactly once, in an order that is fresh for every key.
    Behind it the development or test names can be appended, scored but not taught (phase 1): what
    the learner has learned is measured, not what it goes on learning.

    For meta-training, ``symbols`` makes a lifetime a short slice of shuffled training names and
    ``held_out="train"`` tests it on *other entries* of the training part, so that a search never
    uses the development or test part. Some names are entries of several parts all the same: 424 of
    the 3,203 development names and 377 of the 3,204 test names are training names, too.

    ``split="makemore"`` takes the split of makemore's own script instead: 31,033 training names
    (220,980 symbols), 1,000 test names, no development names (`loopymeta.data.names_split`).

    ``passes=5`` reads all training names five times, in an order that is fresh each time: what is
    predicted before it is taught was taught before then, so that only what is held out says how
    good the learner is.

    Metrics: ``loss`` and ``accuracy`` over everything scored (both phases), ``prequential_nats``
    (phase 0: predicted before taught), ``nats_curve`` (the same over 20 equal blocks), and
    ``dev_nats``, ``test_nats`` or ``held_out_nats`` (phase 1; the last for ``held_out="train"``);
    where the whole part is held out, ``dev_unseen_nats`` or ``test_unseen_nats`` over those of its
    names that are no training names. All in nats per symbol, boundaries included.

    The ladder (test, lecture split; Karpathy 2022 and `loopymeta.ngrams`): uniform 3.296, unigram
    2.826, bigram 2.458, trigram 2.224, smoothed 4-gram 2.062, MLP 2.10, WaveNet 1.993 (many
    passes), online LSTM after one pass 2.04 (tuned; docs/baselines.md).

    Raises:
      DataError: from `spec`, `sample` and `encode` on, if the names cannot be had.

    >>> Names(symbols=1000, held_out="train", held_out_symbols=300).encode("ava.").tolist()
    [1, 22, 1, 0]
    """

    symbols: int | None = None
    """Symbols that are taught; unset, all passes over all training names."""
    order: Literal["random", "fixed"] = "random"
    """Whether the names come in fresh random order, or in the order of the split."""
    held_out: Literal["none", "dev", "test", "train"] = "none"
    """What is appended, scored but not taught."""
    held_out_symbols: int | None = None
    """Symbols of what is appended; unset, all of it."""
    split: Literal["lecture", "makemore"] = "lecture"
    """Which names are training, development and test names."""
    passes: int = 1
    """How often all training names are read, if ``symbols`` do not end before."""

    def __post_init__(self):
        _validate.at_least("passes", self.passes, 1)
        _validate.choice("order", self.order, ["random", "fixed"])
        _validate.choice("held_out", self.held_out, ["none", "dev", "test", "train"])
        _validate.choice("split", self.split, ["lecture", "makemore"])
        if self.split == "makemore" and self.held_out == "dev":
            raise ValueError("held_out is 'dev', but makemore's split has no development names")
        _check_sizes(self.symbols, self.held_out, self.held_out_symbols)

    @property
    def _sizes(self) -> tuple[int, int]:
        """Symbols taught and symbols held out."""
        available = self.passes * _names("train", self.split).flat.size
        taught = available if self.symbols is None else self.symbols
        _check_available("symbols", taught, available)
        if self.held_out == "none":
            return taught, 0
        if self.held_out == "train":
            assert self.held_out_symbols is not None  # _check_sizes
            train = _names("train", self.split)
            words = _words(train, taught) + _words(train, self.held_out_symbols)
            if words > train.length.size:
                raise ValueError(
                    f"symbols ({taught:,}) and held_out_symbols ({self.held_out_symbols:,}) need "
                    f"up to {words:,} different names, but there are {train.length.size:,}"
                )
            return taught, self.held_out_symbols
        available = _names(self.held_out, self.split).flat.size
        held_out = available if self.held_out_symbols is None else self.held_out_symbols
        _check_available("held_out_symbols", held_out, available)
        return taught, held_out

    @property
    def spec(self) -> Spec:
        """Sizes; chance is the share of the most frequent symbol in the training names."""
        counts = np.bincount(_names("train", self.split).flat, minlength=len(NAME_SYMBOLS))
        return Spec(
            num_inputs=len(NAME_SYMBOLS),
            num_outputs=len(NAME_SYMBOLS),
            length=sum(self._sizes),
            loss="cross_entropy",
            chance=float(counts.max() / counts.sum()),
            floor=None,
            symbols=NAME_SYMBOLS,
            text=True,
            boundary=0,
        )

    def encode(self, text: str) -> Int[np.ndarray, "T"]:
        """Symbol indices of a text of a to z and ``.``.

        >>> Names().encode("ava.").tolist()
        [1, 22, 1, 0]
        """
        return encode(text, NAME_SYMBOLS)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime; the same key gives the same order."""
        num_taught, num_held_out = self._sizes
        train = _names("train", self.split)
        words = _words(train, num_taught)
        words_held_out = _words(train, num_held_out) if self.held_out == "train" else 0
        total = train.length.size
        if self.order == "fixed":
            order = jnp.arange(total)
        elif words == total:
            order = jax.random.permutation(key, total)
        else:
            order = _walk(key, words + words_held_out, total)
        met = [order[:words]]
        for again in range(1, math.ceil(num_taught / train.flat.size)):
            key_again = jax.random.fold_in(key, again)
            fixed = self.order == "fixed"
            met.append(order if fixed else jax.random.permutation(key_again, total))
        parts = [_string_of_names(train, jnp.concatenate(met), num_taught)]
        if self.held_out == "train":
            order = order[words : words + words_held_out]
            parts.append(_string_of_names(train, order, num_held_out))
        elif self.held_out != "none":
            target = jnp.asarray(
                _names(self.held_out, self.split).flat[:num_held_out].astype(np.int32)
            )
            parts.append(_after_boundary(target))
        return _two_parts(parts)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        num_taught = self._sizes[0]
        metrics = _two_part_scores(outcome, episode, self.held_out, num_taught)
        if self.held_out in ("dev", "test") and self.held_out_symbols is None:
            nats = base.masked_mean(
                outcome.loss[num_taught:], jnp.asarray(_unseen(self.held_out, self.split))
            )
            metrics[f"{self.held_out}_unseen_nats"] = nats
        return metrics


def _words(names: _NameList, symbols: int) -> int:
    """Names that suffice for so many symbols, however short they are."""
    return min(math.ceil(symbols / int(names.length.min())), names.length.size)


# Text ---------------------------------------------------------------------------------------------


class _Corpus(NamedTuple):
    """A text as indices into its sorted characters; the last tenth is never taught."""

    flat: Int[np.ndarray, "S"]
    symbols: tuple[str, ...]
    num_train: int
    chance: float  # share of the most frequent character of the training part


@functools.lru_cache(maxsize=4)
def _corpus(file: str) -> _Corpus:
    text = data.read_text(file)
    if len(text) < 20:
        raise data.DataError(f"{file} has only {len(text)} characters: too short to learn from.")
    # As code points in numpy: an encode() in Python takes a second for a book.
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    values, flat = np.unique(points, return_inverse=True)
    flat = flat.astype(np.uint8 if values.size <= 256 else np.int32)
    num_train = int(0.9 * len(text))
    chance = float(np.bincount(flat[:num_train]).max() / num_train)
    return _Corpus(flat, tuple(chr(value) for value in values), num_train, chance)


@dataclass(frozen=True)
class Text:
    """A book, character by character: the next one is to be predicted.

    The symbols are the characters that occur in the text, sorted. The last tenth of the text is the
    test part and never taught. ``running`` reads on from a random place of the training part (or
    all of it, from the beginning); ``windows`` jumps to a random place every ``window`` characters.
    Jumps are not marked: they are just there in the stream.

    What is held out is scored but not taught (phase 1): ``test`` reads the test part from its
    beginning; ``train`` (for meta-training) takes other places of the training part, disjoint from
    those taught.

    Metrics: ``loss`` and ``accuracy`` over everything scored; ``prequential_nats`` and
    ``prequential_bpc`` (nats and bits per character, phase 0), ``nats_curve`` (20 equal blocks);
    ``test_nats`` and ``test_bpc``, or ``held_out_nats`` and ``held_out_bpc``, for phase 1.

    Raises:
      DataError: from `spec` and `sample` on, if the text cannot be had or is not UTF-8.

    >>> Text(file="huck_fin", mode="windows", symbols=5000).window
    100
    """

    file: str = "tinyshakespeare"
    """A data set (tinyshakespeare, huck_fin) or the path of a UTF-8 text file."""
    mode: Literal["running", "windows"] = "running"
    """Whether the text is read on, or in windows at random places."""
    window: int = 100
    """Characters in a window."""
    symbols: int | None = 10_000
    """Symbols that are taught; unset, the whole training part (running only)."""
    held_out: Literal["none", "test", "train"] = "none"
    """What is appended, scored but not taught."""
    held_out_symbols: int | None = None
    """Symbols of what is appended; unset, the whole test part."""

    def __post_init__(self):
        if not isinstance(self.file, str) or not self.file:
            raise TypeError(f"file must be a data set or a path, got {self.file!r}")
        _validate.choice("mode", self.mode, ["running", "windows"])
        _validate.at_least("window", self.window, 1)
        _validate.choice("held_out", self.held_out, ["none", "test", "train"])
        _check_sizes(self.symbols, self.held_out, self.held_out_symbols)
        if self.symbols is None and self.mode == "windows":
            raise ValueError("symbols must be set for windows: there is no end to random places")

    @property
    def _sizes(self) -> tuple[int, int]:
        """Symbols taught and symbols held out."""
        corpus = _corpus(self.file)
        # One less than there are characters: the last one has no next.
        available = corpus.num_train - 1
        taught = available if self.symbols is None else self.symbols
        if self.mode == "running":
            cure = "" if self.held_out == "train" else "; symbols=None takes it"
            _check_available("symbols", taught, available, cure)
        else:
            _check_available("window", self.window, self._arc(corpus.num_train)[0] - 1)
        if self.held_out == "none":
            return taught, 0
        if self.held_out == "train":
            assert self.held_out_symbols is not None  # _check_sizes
            if self.mode == "running":
                total = taught + self.held_out_symbols
                _check_available("symbols + held_out_symbols", total, available - 1)
            else:
                _check_available("window", self.window, self._arc(corpus.num_train)[1] - 1)
            return taught, self.held_out_symbols
        available = corpus.flat.size - corpus.num_train - 1
        held_out = available if self.held_out_symbols is None else self.held_out_symbols
        _check_available(
            "held_out_symbols", held_out, available, "; held_out_symbols=None takes it"
        )
        return taught, held_out

    @property
    def spec(self) -> Spec:
        """Sizes; chance is the share of the most frequent character in the training part."""
        corpus = _corpus(self.file)
        return Spec(
            num_inputs=len(corpus.symbols),
            num_outputs=len(corpus.symbols),
            length=sum(self._sizes),
            loss="cross_entropy",
            chance=corpus.chance,
            floor=None,
            symbols=corpus.symbols,
            text=True,
        )

    def encode(self, text: str) -> Int[np.ndarray, "T"]:
        """Symbol indices of a text in the characters of this file."""
        return encode(text, _corpus(self.file).symbols)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime; the places come from the key."""
        corpus = _corpus(self.file)
        num_taught, num_held_out = self._sizes
        flat = jnp.asarray(corpus.flat)

        def read(place: Int[Array, "S"], size: int) -> tuple[Array, Array]:
            return flat[place % size], flat[(place + 1) % size]

        size = corpus.num_train
        places = self._running if self.mode == "running" else self._windows
        taught, held_out = places(key, num_taught, num_held_out, size)
        parts = [read(taught, size)]
        if self.held_out == "train":
            parts.append(read(held_out, size))
        elif self.held_out == "test":
            parts.append(read(size + jnp.arange(num_held_out), corpus.flat.size))
        return _two_parts(parts)

    def _running(
        self, key: Key[Array, ""], num_taught: int, num_held_out: int, size: int
    ) -> tuple[Array, Array]:
        """Taught from a random place on; a character further on begins what is held out."""
        both = num_taught + 1 + num_held_out if self.held_out == "train" else num_taught
        start = jax.random.randint(key, (), 0, size - both)
        place = start + jnp.arange(num_taught)
        return place, start + num_taught + 1 + jnp.arange(num_held_out)

    def _arc(self, size: int) -> tuple[int, int]:
        """Characters of the training part that windows are taught in, and held out in."""
        held_out = size // 10 if self.held_out == "train" else 0
        return size - held_out, held_out

    def _windows(
        self, key: Key[Array, ""], num_taught: int, num_held_out: int, size: int
    ) -> tuple[Array, Array]:
        """Windows at random places; what is held out has an arc of its own, a tenth of the part."""
        key_arc, key_taught, key_held_out = jax.random.split(key, 3)
        arc, arc_held_out = self._arc(size)
        taught = self._places(key_taught, num_taught, arc)
        if not arc_held_out:
            return taught, taught
        # The part is seen as a ring that starts anywhere, so every place is taught in some life.
        offset = jax.random.randint(key_arc, (), 0, size)
        held_out = arc + self._places(key_held_out, num_held_out, arc_held_out)
        return offset + taught, offset + held_out

    def _places(self, key: Key[Array, ""], symbols: int, arc: int) -> Int[Array, "S"]:
        """Places of so many symbols in windows that lie in 0..arc-1 with their last target."""
        num_windows = math.ceil(symbols / self.window)
        start = jax.random.randint(key, (num_windows, 1), 0, arc - self.window)
        return (start + jnp.arange(self.window)).reshape(-1)[:symbols]

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Float[Array, "..."]]:
        """The metrics named in the description of the class."""
        metrics = _two_part_scores(outcome, episode, self.held_out, self._sizes[0])
        return metrics | bits_per_character(metrics)


# Caesar -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Caesar:
    """Caesar's code: the stimulus is a random letter, the target the one ``shift`` places on.

    Letters a to z, z followed by a, drawn independently and equally likely; everything is scored
    and taught.

    Metrics: ``loss``, ``accuracy``, and ``letters_to_perfect``: letters seen until the first run of
    100 right answers in a row begins (the whole lifetime, if there is none); the run meets all but
    one of the 26 letters on average. The floor is 0 for a fixed shift; for a random one the first
    target has to be guessed among 25: ln(25) / T.

    >>> Caesar(symbols=500).spec.floor
    0.0
    """

    shift: int | None = 3
    """Places that the letters are moved, 1 to 25; unset, drawn afresh for every lifetime."""
    symbols: int = 2000
    """Letters in a lifetime."""

    def __post_init__(self):
        if self.shift is not None:
            _validate.at_least("shift", self.shift, 1)
            _validate.between("shift", self.shift, 1, 25)
        _validate.at_least("symbols", self.symbols, 1)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / 26; the floor given above."""
        return Spec(
            num_inputs=26,
            num_outputs=26,
            length=self.symbols,
            loss="cross_entropy",
            chance=1 / 26,
            floor=0.0 if self.shift is not None else math.log(25) / self.symbols,
            symbols=_LETTERS,
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh letters."""
        key_shift, key_letter = jax.random.split(key)
        return self._coded(key_letter, self._code(key_shift))

    def sample_changed(self, key: Key[Array, ""]) -> tuple[Episode, Episode]:
        """Two lifetimes: of the code, and of the same with the codes of two letters swapped."""
        key_shift, key_letter, key_again, key_swapped = jax.random.split(key, 4)
        code = self._code(key_shift)
        two = jax.random.permutation(key_swapped, 26)[:2]
        swapped = code.at[two].set(code[two[::-1]])
        return self._coded(key_letter, code), self._coded(key_again, swapped)

    def _code(self, key: Key[Array, ""]) -> Int[Array, "26"]:
        """What each letter becomes."""
        drawn = jax.random.randint(key, (), 1, 26)
        return (jnp.arange(26) + (drawn if self.shift is None else self.shift)) % 26

    def _coded(self, key: Key[Array, ""], code: Int[Array, "26"]) -> Episode:
        """A lifetime of fresh letters."""
        letter = jax.random.randint(key, (self.symbols,), 0, 26)
        return base.stream_episode(letter, code[letter])

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``letters_to_perfect``."""
        right = jnp.concatenate([jnp.zeros(1), jnp.cumsum(outcome.correct)])
        span = min(100, self.symbols)
        perfect = right[span:] - right[:-span] >= span
        first = jnp.where(perfect.any(), jnp.argmax(perfect), self.symbols)
        return base.scores(outcome, episode) | {"letters_to_perfect": first.astype(jnp.float32)}
