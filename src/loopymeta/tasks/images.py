"""Images: handwritten digits and Omniglot's characters, shown whole or piece by piece."""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import math
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from loopymeta import _validate, data
from loopymeta._jax import jax, jnp
from loopymeta.tasks import base
from loopymeta.tasks.base import Episode, Outcome, Spec

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Key

    from loopymeta._jax import Array

    By = Literal["image", "row", "patch", "pixel"]
    Source = Literal["digits", "mnist"]

_CURVE = 20  # points of a learning curve
_BY = ("image", "row", "patch", "pixel")


# What images share --------------------------------------------------------------------------------


def _pieces(by: By, side: int, patch: int) -> tuple[int, int]:
    """(pieces of an image, pixels of a piece)."""
    size = {"image": side * side, "row": side, "patch": patch * patch, "pixel": 1}[by]
    return side * side // size, size


def _check_pieces(by: str, side: int, patch: int) -> None:
    _validate.choice("by", by, _BY)
    _validate.at_least("patch", patch, 1)
    if by == "patch" and side % patch:
        raise ValueError(f"patch must divide the side of an image ({side}), got {patch}")


def _num_inputs(by: By, side: int, patch: int) -> int:
    """Pixels of a piece, and one more that marks the last piece where there are several."""
    pieces, size = _pieces(by, side, patch)
    return size + (pieces > 1)


def _cut(images: Float[Array, "N S S"], by: By, patch: int) -> Float[Array, "T I"]:
    """Images as one stream of pieces, from the top left; the last input marks an image's last."""
    count, side = images.shape[:2]
    pieces, size = _pieces(by, side, patch)
    if by == "patch":
        across = side // patch
        images = images.reshape(count, across, patch, across, patch).transpose(0, 1, 3, 2, 4)
    stream = images.reshape(count * pieces, size)
    if pieces == 1:
        return stream
    last = _last(count, pieces).astype(stream.dtype)
    return jnp.concatenate([stream, last[:, None]], axis=1)


def _last(count: int, pieces: int) -> Bool[Array, "T"]:
    """Where the last piece of each image is."""
    return jnp.arange(count * pieces) % pieces == pieces - 1


def _image_episode(
    images: Float[Array, "N S S"],
    label: Int[Array, "N"],
    phase: Int[Array, "N"],
    by: By,
    patch: int,
    frozen: Bool[Array, "N"] | None = None,
) -> Episode:
    """The stream of images, whose labels are asked for (and taught, unless frozen) at their end."""
    count, side = images.shape[:2]
    pieces = _pieces(by, side, patch)[0]
    asked = _last(count, pieces)
    held = jnp.zeros(count, bool) if frozen is None else frozen
    held = jnp.repeat(held, pieces)
    target = jnp.where(asked, jnp.repeat(label, pieces), 0)
    episode = base.stream_episode(
        target,
        target,
        scored=asked,
        taught=asked & ~held,
        phase=jnp.repeat(phase, pieces),
        frozen=held,
    )
    return episode._replace(stimulus=_cut(images, by, patch))


def _gray(images: np.ndarray, index: Int[Array, "..."]) -> Float[Array, "... S S"]:
    """Images of bytes as numbers from 0 to 1."""
    return jnp.asarray(images)[index].astype(jnp.result_type(float)) / 255


# Digits -------------------------------------------------------------------------------------------


_SIDES = {"digits": 8, "mnist": 28}
"""Where digits come from, and the side of their images in pixels."""


class _Digits(NamedTuple):
    """Digits, and which of them are for testing."""

    images: np.ndarray  # [N, S, S] bytes
    label: Int[np.ndarray, "N"]
    train: Int[np.ndarray, "N_train"]  # indices
    test: Int[np.ndarray, "N_test"]


@functools.lru_cache(maxsize=2)
def _digits(source: Source) -> _Digits:
    return _of_scikit_learn() if source == "digits" else _of_mnist()


def _of_mnist() -> _Digits:
    """MNIST, whose makers chose what is for testing."""
    mnist = data.read_mnist()
    num_train = len(mnist.train_images)
    images = np.concatenate([mnist.train_images, mnist.test_images])
    label = np.concatenate([mnist.train_label, mnist.test_label])
    return _Digits(images, label, np.arange(num_train), np.arange(num_train, len(images)))


def _of_scikit_learn() -> _Digits:
    """Scikit-learn's digits, divided by a hash."""
    try:
        # By name: scikit-learn is no dependency, and is imported only here.
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise data.DataError(
            "SequentialDigits needs the digits that come with scikit-learn, which cannot be "
            f"imported ({error}). Run: pip install scikit-learn, or use source='mnist'"
        ) from error
    pixels, label = datasets.load_digits(return_X_y=True)
    gray = pixels.astype(np.uint8)  # 0 to 16
    # A fifth, by what the image is: copies of an image come to the same part.
    test = np.array([hashlib.sha256(image.tobytes()).digest()[0] < 51 for image in gray])
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return _Digits(images, label.astype(np.int32), np.flatnonzero(~test), np.flatnonzero(test))


def _passes(key: Key[Array, ""], count: int, size: int) -> Int[Array, "count"]:
    """``count`` indices below ``size``, pass after pass over all of them in fresh random order."""
    keys = jax.random.split(key, math.ceil(count / size))
    order = jax.vmap(lambda key: jax.random.permutation(key, size))(keys)
    return order.reshape(-1)[:count]


@dataclass(frozen=True)
class SequentialDigits:
    """Handwritten digits, a row (or pixel, or patch) of them at a time: which one was it?

    Image follows image in one stream. At the last piece of each the class is asked for, and then
    taught; nothing else is scored or taught. An input of its own is 1 at the last piece of an image
    and 0 before (it is left out where images are shown whole); the others are the pixels of the
    piece, from 0 to 1. The training images come in fresh random order, each once before any comes
    again.

    The images are those of scikit-learn (``digits``; ``pip install scikit-learn``): 1,797 of 8 x 8
    pixels, of which a fifth are test images, chosen by a hash of their pixels. Or they are those of
    ``mnist``: 60,000 of 28 x 28 pixels, and 10,000 for testing, which have to be in a folder of
    yours (`loopymeta.data.read_mnist`).

    Behind what is taught, ``held_out_images`` images are shown with plasticity off (phase 1): test
    images or, for meta-training, training images that this lifetime was not taught, so that a
    search never uses the test images.

    Metrics: ``loss`` and ``accuracy`` over both phases; ``prequential_accuracy`` (phase 0:
    predicted before taught) and ``accuracy_curve [20]``, the same in equal blocks;
    ``test_accuracy`` and ``test_loss`` (phase 1; for ``held_out="train"``, ``held_out_accuracy``
    and ``held_out_loss``). For scale, the nearest of all training images is right on .99 of the
    test images of ``digits``.

    References: Alpaydin and Kaynak 1998 (UCI optical recognition of handwritten digits); LeCun,
    Bottou, Bengio and Haffner 1998 (MNIST).

    Raises:
      DataError: from `spec` and `sample` on, if scikit-learn is not installed, or MNIST is not
        there or damaged.

    >>> SequentialDigits(by="pixel", images=50).by
    'pixel'
    """

    images: int = 1000
    """Images that are taught."""
    by: Literal["image", "row", "patch", "pixel"] = "row"
    """What of an image is shown at once."""
    patch: int = 4
    """Side of a patch, in pixels."""
    held_out: Literal["none", "test", "train"] = "test"
    """What is shown at the end, scored but not taught."""
    held_out_images: int = 200
    """Images of what is shown at the end, each at most once."""
    source: Literal["digits", "mnist"] = "digits"
    """Whose digits: scikit-learn's, or MNIST's."""

    def __post_init__(self):
        _validate.at_least("images", self.images, 1)
        _validate.choice("source", self.source, _SIDES)
        _check_pieces(self.by, _SIDES[self.source], self.patch)
        _validate.choice("held_out", self.held_out, ["none", "test", "train"])
        _validate.at_least("held_out_images", self.held_out_images, 1)

    @property
    def _pieces(self) -> int:
        return _pieces(self.by, _SIDES[self.source], self.patch)[0]

    def _sizes(self) -> tuple[int, int]:
        """Images held out, and images that the taught ones are drawn from."""
        digits = _digits(self.source)
        num_train = digits.train.size
        if self.held_out == "none":
            return 0, num_train
        # At least one training image has to be left for teaching.
        available = digits.test.size if self.held_out == "test" else num_train - 1
        if self.held_out_images > available:
            raise ValueError(
                f"held_out_images must be at most {available:,} (all there is), "
                f"got {self.held_out_images:,}"
            )
        return self.held_out_images, num_train - (self.held_out == "train") * self.held_out_images

    @property
    def spec(self) -> Spec:
        """Sizes; chance is the share of the most frequent class in what is shown."""
        digits, (num_held_out, _) = _digits(self.source), self._sizes()
        held_out = digits.test if self.held_out == "test" else digits.train
        counts = [(self.images, digits.train), (num_held_out, held_out)]
        total = self.images + num_held_out
        expected = sum(n * np.bincount(digits.label[x], minlength=10) / x.size for n, x in counts)
        return Spec(
            num_inputs=_num_inputs(self.by, _SIDES[self.source], self.patch),
            num_outputs=10,
            length=total * self._pieces,
            loss="cross_entropy",
            chance=float(np.max(expected) / total),
            floor=None,
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of images in fresh random order."""
        digits, (num_held_out, num_train) = _digits(self.source), self._sizes()
        key_order, key_held_out, key_pass = jax.random.split(key, 3)
        train = jax.random.permutation(key_order, jnp.asarray(digits.train))
        index = train[_passes(key_pass, self.images, num_train)]
        if self.held_out == "train":
            index = jnp.concatenate([index, train[num_train:]])
        elif self.held_out == "test":
            test = jax.random.permutation(key_held_out, jnp.asarray(digits.test))
            index = jnp.concatenate([index, test[:num_held_out]])
        held_out = jnp.arange(self.images + num_held_out) >= self.images
        return _image_episode(
            _gray(digits.images, index),
            jnp.asarray(digits.label)[index],
            phase=held_out.astype(jnp.int32),
            by=self.by,
            patch=self.patch,
            frozen=held_out,
        )

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        scored, taught = episode.scored, episode.phase == 0
        num_points = min(_CURVE, self.images)
        image = jnp.arange(scored.shape[0]) // self._pieces
        block = image * num_points // self.images
        metrics = base.scores(outcome, episode) | {
            "prequential_accuracy": base.masked_mean(outcome.correct, scored & taught),
            "accuracy_curve": base.mean_by(outcome.correct, block, num_points, scored & taught),
        }
        if self.held_out != "none":
            # Held out of the training part is not the test figure: its own name.
            name = "test" if self.held_out == "test" else "held_out"
            metrics[f"{name}_accuracy"] = base.masked_mean(outcome.correct, scored & ~taught)
            metrics[f"{name}_loss"] = base.masked_mean(outcome.loss, scored & ~taught)
        return metrics


# Omniglot -----------------------------------------------------------------------------------------

_DRAWINGS = 20  # of each character, by as many people
_SIDE = 105  # pixels of the original images


class _Characters(NamedTuple):
    """Omniglot's characters, in the order of their names, and which of them are for testing."""

    images: np.ndarray  # [C, 20, S, S] bytes, ink is 255
    names: tuple[str, ...]  # alphabet/character
    test: Bool[np.ndarray, "C"]


@functools.lru_cache(maxsize=1)
def _drawings() -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the characters and their drawings [C, 20, 105, 105], True where there is ink.

    Latin and Greek are in both archives, drawing for drawing: they count once.
    """
    from PIL import Image

    found: dict[str, dict[str, np.ndarray]] = {}
    for name in ("omniglot_small1", "omniglot_small2"):
        with zipfile.ZipFile(data.path(name)) as archive:
            for file in archive.namelist():
                if not file.endswith(".png"):
                    continue
                _, alphabet, character, drawing = file.split("/")
                drawings = found.setdefault(f"{alphabet}/{character}", {})
                if drawing not in drawings:
                    with Image.open(io.BytesIO(archive.read(file))) as image:
                        drawings[drawing] = np.asarray(image.convert("1")) == 0
    names = tuple(sorted(found))
    return names, np.array([[found[name][d] for d in sorted(found[name])] for name in names])


def _area_average(images: np.ndarray, size: int) -> np.ndarray:
    """Square images [..., S, S] made ``size`` wide; a pixel is the mean of the area it covers."""
    side = images.shape[-1]
    edge = np.arange(size + 1) * side / size
    place = np.arange(side)
    # How much of old pixel j, [j, j + 1), lies in new pixel i, [edge_i, edge_{i+1}).
    covered = np.minimum(edge[1:, None], place + 1) - np.maximum(edge[:-1, None], place)
    weight = (np.clip(covered, 0, None) * size / side).astype(np.float32)
    return weight @ images.astype(np.float32) @ weight.T


def _held_out(name: str) -> bool:
    """Whether a character is a test character: a fifth of them, by a hash of the name."""
    return hashlib.sha256(name.encode()).digest()[0] < 51


@functools.lru_cache(maxsize=4)
def _characters(size: int) -> _Characters:
    names, drawings = _drawings()
    images = np.array([_area_average(each, size) for each in drawings])
    test = np.array([_held_out(name) for name in names])
    return _Characters(np.rint(images * 255).astype(np.uint8), names, test)


@dataclass(frozen=True)
class Omniglot:
    """Characters never seen before, drawn by hand: how many times must one be seen to be known?

    The lifetime is a stream of episodes without a mark between them. Each chooses ``way``
    characters afresh and gives them the labels 0 to way - 1 in random order; each is shown
    ``shot`` + 1 times, in as many different drawings, all in random order. At the end of an image
    its label is asked for, and then taught. The phase is how many images of the same character have
    been shown in this episode before: 0 is guessing, 1 is what was seen once.

    Images are ``size`` x ``size`` pixels from 0 to 1 (ink), averaged down from 105 x 105, shown
    whole or in pieces: then an input of its own is 1 at the last piece of an image and 0 before.
    There are 242 characters of eight alphabets, 20 drawings of each (the two small background sets
    of Omniglot, Latin and Greek counted once); a fifth of the characters are test characters,
    chosen by a hash of their names.

    Metrics: ``loss``, ``accuracy``; over the second half of the episodes ``accuracy_late``,
    ``accuracy_by_seen [shot + 1]``, the accuracy on images whose character was seen so many times
    before in the episode, and ``seen_once_accuracy``, its entry 1. The labels of an episode cannot
    be known before they are taught, however well one sees: that is the floor, ln(way!) for its
    way (shot + 1) images. Of ``accuracy_by_seen`` entry 0 is (1 + 1/2 + ... + 1/way) / way at best
    (a new character has none of the labels that were given), the others 1. For scale, the image of
    the episode that is nearest pixel by pixel is right on .45 of the images whose character was
    seen once (way 5, shot 1, 14 x 14 pixels).

    Reference: Lake, Salakhutdinov and Tenenbaum 2015; episodes as a stream: Santoro et al. 2016.

    Raises:
      DataError: from `sample` on, if the images cannot be had.

    >>> task = Omniglot(way=5, shot=1, episodes=100)
    >>> task.spec.length, task.spec.num_inputs, task.spec.chance
    (1000, 196, 0.2)
    """

    way: int = 5
    """Characters in an episode."""
    shot: int = 1
    """Times that a character is shown before its last time."""
    episodes: int = 200
    """Episodes in a lifetime."""
    by: Literal["image", "row", "patch", "pixel"] = "image"
    """What of an image is shown at once."""
    size: int = 14
    """Side of an image, in pixels; at most 105."""
    patch: int = 7
    """Side of a patch, in pixels."""
    part: Literal["all", "train", "test"] = "all"
    """Which characters: those for training, those for testing, or all."""

    def __post_init__(self):
        _validate.at_least("way", self.way, 2)
        _validate.at_least("shot", self.shot, 1)
        if self.shot >= _DRAWINGS:
            raise ValueError(
                f"shot must be below {_DRAWINGS}, the drawings there are of a character, "
                f"got {self.shot}"
            )
        _validate.at_least("episodes", self.episodes, 2)
        _validate.at_least("size", self.size, 1)
        _validate.between("size", self.size, 1, _SIDE)
        _check_pieces(self.by, self.size, self.patch)
        _validate.choice("part", self.part, ["all", "train", "test"])

    @property
    def _images(self) -> int:
        """Images in an episode."""
        return self.way * (self.shot + 1)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 / way; the floor given above."""
        pieces, _ = _pieces(self.by, self.size, self.patch)
        return Spec(
            num_inputs=_num_inputs(self.by, self.size, self.patch),
            num_outputs=self.way,
            length=self.episodes * self._images * pieces,
            loss="cross_entropy",
            chance=1 / self.way,
            floor=math.lgamma(self.way + 1) / self._images,
        )

    def _part(self, characters: _Characters) -> Int[np.ndarray, "C"]:
        """Indices of the characters of the chosen part."""
        chosen = {"all": characters.test | True, "train": ~characters.test, "test": characters.test}
        index = np.flatnonzero(chosen[self.part])
        if self.way > index.size:
            raise ValueError(
                f"way must be at most {index.size} (the characters of part {self.part!r}), "
                f"got {self.way}"
            )
        return index

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh episodes."""
        key_character, key_drawing, key_order = jax.random.split(key, 3)
        characters = _characters(self.size)
        part = self._part(characters)
        shown = self.shot + 1

        chosen = _choose(key_character, (self.episodes,), part.size, self.way)
        drawing = _choose(key_drawing, (self.episodes, self.way), _DRAWINGS, shown)
        # Places 0 to way * shown - 1 in random order: place // shown is the label.
        place = _choose(key_order, (self.episodes,), self._images, self._images)
        label = place // shown
        character = jnp.take_along_axis(jnp.asarray(part)[chosen], label, axis=1)
        drawn = jnp.take_along_axis(drawing.reshape(self.episodes, -1), place, axis=1)
        image = (character * _DRAWINGS + drawn).reshape(-1)
        return _image_episode(
            _gray(characters.images.reshape(-1, self.size, self.size), image),
            label.reshape(-1).astype(jnp.int32),
            phase=_seen(label, self.way).reshape(-1),
            by=self.by,
            patch=self.patch,
        )

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        length = episode.scored.shape[0]
        early = self.episodes // 2 * (length // self.episodes)
        late = episode.scored & (jnp.arange(length) >= early)
        by_seen = base.mean_by(outcome.correct, episode.phase, self.shot + 1, late)
        return base.scores(outcome, episode) | {
            "accuracy_late": base.masked_mean(outcome.correct, late),
            "accuracy_by_seen": by_seen,
            "seen_once_accuracy": by_seen[1],
        }


def _choose(
    key: Key[Array, ""], shape: tuple[int, ...], size: int, count: int
) -> Int[Array, "..."]:
    """``count`` different numbers below ``size`` in random order, for each element of a shape.

    The largest of random numbers, then the next one: a sort of all would take ten times as long.
    """

    def step(value: Array, _: None) -> tuple[Array, Array]:
        largest = jnp.argmax(value, axis=-1)
        taken = jax.nn.one_hot(largest, size, dtype=bool)
        return jnp.where(taken, -1.0, value), largest

    _, chosen = jax.lax.scan(step, jax.random.uniform(key, (*shape, size)), None, count)
    return jnp.moveaxis(chosen, 0, -1)


def _seen(label: Int[Array, "N M"], way: int) -> Int[Array, "N M"]:
    """How many earlier elements of its row equal each element."""
    same = (label[:, :, None] == jnp.arange(way)[None, None, :]).astype(jnp.int32)
    before = jnp.cumsum(same, axis=1) - same
    return jnp.take_along_axis(before, label[:, :, None], axis=2)[:, :, 0]
