"""Images as streams: what is shown, what is asked, oracles; on made-up images, and on real ones."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import itertools
import math
import sys
import types
import zipfile
from collections import Counter, defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta import data
from loopymeta.tasks import images
from loopymeta.tasks.base import FREEZE, Outcome
from loopymeta.tasks.images import Omniglot, SequentialDigits
from loopymeta.testing import check_task

CACHES = (images._digits, images._drawings, images._characters)


@pytest.fixture(autouse=True)
def fresh_caches():
    """Made-up images must not stay behind for other tests, nor real ones for these."""
    for cache in CACHES:
        cache.cache_clear()
    yield
    for cache in CACHES:
        cache.cache_clear()


def by_hash(content: bytes) -> bool:
    return int.from_bytes(hashlib.sha256(content).digest()[:1], "big") < 51


@pytest.fixture
def digits(monkeypatch):
    """(pixels [300, 64] of 0 to 16, classes): random images in the place of scikit-learn's."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 17, (300, 64)).astype(float)
    label = generator.integers(0, 10, 300)
    module = types.ModuleType("sklearn.datasets")
    module.load_digits = lambda *, return_X_y: (pixels, label)
    monkeypatch.setitem(sys.modules, "sklearn", types.ModuleType("sklearn"))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", module)
    return pixels, label


NAMES = [f"{a}/character{c:02}" for a in ("Elvish", "Klingon", "Linear_C") for c in range(1, 13)]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """(ink [36, 20, 105, 105], folder): drawings in two archives, Klingon in both."""
    from PIL import Image

    ink = np.random.default_rng(1).random((len(NAMES), 20, 105, 105)) < 0.3
    folder = tmp_path_factory.mktemp("archives")
    for archive_name, left_out in (("omniglot_small1", "Linear_C"), ("omniglot_small2", "Elvish")):
        with zipfile.ZipFile(folder / f"{archive_name}.zip", "w") as archive:
            archive.writestr(f"{archive_name}/Klingon/", "")
            for (i, name), d in itertools.product(enumerate(NAMES), range(20)):
                if not name.startswith(left_out):
                    content = io.BytesIO()
                    Image.fromarray(~ink[i, d]).save(content, "png")
                    file = f"{archive_name}/{name}/0{i:03}_{d + 1:02}.png"
                    archive.writestr(file, content.getvalue())
    return ink, folder


@pytest.fixture
def characters(monkeypatch, archives):
    """[36, 20, 105, 105], True where there is ink, in the place of Omniglot's."""
    ink, folder = archives
    monkeypatch.setattr(images.data, "path", lambda name: folder / f"{name}.zip")
    return ink


def sampled(task, seed: int):
    """An episode as numpy arrays, compiled."""
    return jax.tree.map(np.asarray, jax.jit(task.sample)(jax.random.key(seed)))


def pieces_of(image: np.ndarray, by: str, patch: int) -> list[np.ndarray]:
    """The pieces of an image, each flat, cut out one by one."""
    side = len(image)
    if by == "row":
        return list(image)
    step = {"image": side, "patch": patch, "pixel": 1}[by]
    return [
        image[i : i + step, j : j + step].reshape(-1)
        for i in range(0, side, step)
        for j in range(0, side, step)
    ]


def outcome(episode, loss, correct=None) -> Outcome:
    """Given at the scored symbols, and as wrong as can be elsewhere."""
    full = np.full(len(episode.scored), np.nan, np.float32)
    full[np.asarray(episode.scored)] = loss
    right = np.full_like(full, np.nan)
    right[np.asarray(episode.scored)] = (loss == 0) if correct is None else correct
    return Outcome(jnp.asarray(full), jnp.asarray(right), jnp.ones(len(full)))


# Digits -------------------------------------------------------------------------------------------

EVERY_WAY = [
    ("image", 4, 65 - 1),
    ("row", 4, 9),
    ("patch", 2, 5),
    ("patch", 4, 17),
    ("pixel", 4, 2),
]


@pytest.mark.parametrize(
    "options",
    [
        {"images": 3, "by": "pixel", "held_out": "none"},
        {"images": 500, "by": "image", "held_out": "train", "held_out_images": 20},
    ],
    ids=str,
)
def test_digits_keep_the_contract(digits, options):
    check_task(SequentialDigits(**options), num_lifetimes=1)


@pytest.mark.parametrize(("by", "patch", "num_inputs"), EVERY_WAY)
def test_digits_are_shown_piece_by_piece(digits, by, patch, num_inputs):
    pixels, label = digits
    task = SequentialDigits(images=12, by=by, patch=patch, held_out_images=5)
    spec = task.spec
    episode = sampled(task, 1)
    count = spec.length // 17
    assert spec.num_inputs == num_inputs and episode.stimulus.shape == (17 * count, num_inputs)
    last = np.arange(17 * count) % count == count - 1
    np.testing.assert_array_equal(episode.scored, last)
    held_out = np.arange(17 * count) >= 12 * count
    np.testing.assert_array_equal(episode.phase, held_out)
    np.testing.assert_array_equal(episode.taught, last & ~held_out)
    np.testing.assert_array_equal(episode.intervention, held_out * FREEZE)
    for i, shown in enumerate(episode.stimulus.reshape(17, count, num_inputs)):
        if count > 1:
            assert shown[:, -1].tolist() == [0] * (count - 1) + [1]
            shown = shown[:, :-1]
        found = [
            k
            for k, image in enumerate(pixels.reshape(-1, 8, 8) / 16)
            if np.allclose(pieces_of(image, by, patch), shown, atol=0.5 / 255 + 1e-6)
        ]
        assert len(found) == 1
        assert episode.target[i * count + count - 1] == label[found[0]]
        assert by_hash(pixels[found[0]].astype(np.uint8).tobytes()) == (i >= 12)


def shown_digits(task, episode, pixels) -> np.ndarray:
    """Which images a lifetime of whole images shows."""
    shown = np.rint(np.asarray(episode.stimulus) * 16).astype(int)
    index = {tuple(image): k for k, image in enumerate(pixels.astype(int).tolist())}
    return np.array([index[tuple(image)] for image in shown.tolist()])


def test_digits_come_in_passes_and_parts_do_not_meet(digits):
    pixels, _ = digits
    test = np.array([by_hash(image.tobytes()) for image in pixels.astype(np.uint8)])
    num_train, num_test = (~test).sum(), test.sum()
    assert 35 < num_test < 85
    for held_out, size in (("test", num_train), ("train", num_train - 40)):
        task = SequentialDigits(2 * size + 7, "image", held_out=held_out, held_out_images=40)
        index = shown_digits(task, sampled(task, 2), pixels)
        first, second, rest, behind = np.split(index, [size, 2 * size, 2 * size + 7])
        assert set(first) == set(second) and len(set(first)) == size and set(rest) <= set(first)
        assert first.tolist() != second.tolist()
        assert not test[first].any()
        assert len(behind) == len(set(behind)) == 40
        assert test[behind].all() if held_out == "test" else not test[behind].any()
        assert not set(behind) & set(first)
    assert shown_digits(task, sampled(task, 3), pixels)[:size].tolist() != first.tolist()


def test_digits_remembered_are_known_from_the_second_pass_on(digits):
    pixels, _ = digits
    size = sum(not by_hash(image.tobytes()) for image in pixels.astype(np.uint8))
    task = SequentialDigits(images=2 * size, held_out_images=20)
    episode = sampled(task, 0)
    memory, right = {}, []
    parts = np.asarray(episode.stimulus).reshape(-1, 8, 9)
    for image, label in zip(parts, np.asarray(episode.target)[7::8], strict=True):
        right.append(memory.get(image.tobytes(), -1) == label)
        memory[image.tobytes()] = label
    metrics = task.score(outcome(episode, 1.0 - np.array(right)), episode)
    assert metrics["prequential_accuracy"] == pytest.approx(0.5)
    assert metrics["test_accuracy"] == 0 and metrics["test_loss"] == 1
    assert metrics["accuracy"] == pytest.approx(size / (2 * size + 20))
    assert metrics["accuracy_curve"].tolist() == [0] * 10 + [1] * 10
    other = SequentialDigits(images=5, held_out="train", held_out_images=5)
    episode = sampled(other, 0)
    names = other.score(outcome(episode, np.zeros(10)), episode).keys()
    assert {"held_out_accuracy", "held_out_loss"} <= names and "test_accuracy" not in names


@pytest.mark.parametrize("held_out", ["none", "test", "train"])
def test_a_constant_scores_the_chance_of_digits(digits, held_out):
    task = SequentialDigits(images=40, held_out=held_out, held_out_images=20)

    @jax.jit
    @jax.vmap
    def accuracies(key):
        episode = task.sample(key)

        def constant(symbol):
            right = (episode.target == symbol).astype(jnp.float32)
            return task.score(Outcome(1 - right, right, right), episode)["accuracy"]

        return jax.vmap(constant)(jnp.arange(10))

    accuracy = np.asarray(accuracies(jax.random.split(jax.random.key(5), 400)))
    mean, error = accuracy.mean(0), 5 * accuracy.std(0) / math.sqrt(400)
    assert (mean < task.spec.chance + error).all()
    assert mean.max() > task.spec.chance - error[mean.argmax()]


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    task = SequentialDigits()
    for use in (lambda: task.spec, lambda: task.sample(jax.random.key(0))):
        with pytest.raises(data.DataError, match="pip install scikit-learn"):
            use()


def test_too_many_digits(digits):
    test = sum(by_hash(image.tobytes()) for image in digits[0].astype(np.uint8))
    with pytest.raises(ValueError, match=f"held_out_images must be at most {test} "):
        _ = SequentialDigits(held_out_images=test + 1).spec
    with pytest.raises(ValueError, match=f"held_out_images must be at most {299 - test} "):
        _ = SequentialDigits(held_out="train", held_out_images=300 - test).spec
    assert SequentialDigits(3, held_out="train", held_out_images=299 - test).spec.length == 8 * (
        302 - test
    )


@pytest.mark.slow
def test_real_digits_and_their_nearest_neighbours():
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("needs scikit-learn")
    digits = images._digits("digits")
    assert digits.images.shape == (1797, 8, 8) and digits.images.max() == 255
    assert len(digits.train) + len(digits.test) == 1797 and 290 < len(digits.test) < 430
    train, test = (digits.images[x].reshape(-1, 64).astype(float) for x in digits[2:])
    distance = (train**2).sum(1) - 2 * test @ train.T
    right = digits.label[digits.train][distance.argmin(1)] == digits.label[digits.test]
    assert right.mean() == pytest.approx(0.99, abs=0.008)
    check_task(SequentialDigits(images=50, held_out_images=20))


# MNIST --------------------------------------------------------------------------------------------

MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as an IDX file: two zeros, 8, the number of axes, their sizes, the bytes."""
    head = bytes([0, 0, 8, array.ndim])
    return head + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def mnist(monkeypatch, tmp_path):
    """(images [50, 28, 28], classes, folder): 40 images for training and 10 for testing."""
    generator = np.random.default_rng(2)
    pixels = generator.integers(0, 256, (50, 28, 28), np.uint8)
    label = generator.integers(0, 10, 50, np.uint8)
    folder = tmp_path / "mnist"
    folder.mkdir()
    arrays = (pixels[:40], label[:40], pixels[40:], label[40:])
    for number, (name, array) in enumerate(zip(MNIST_FILES, arrays, strict=True)):
        if number % 2:
            (folder / name).write_bytes(idx(array))
        else:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    monkeypatch.setenv("LOOPYMETA_DATA", str(tmp_path))
    return pixels, label, folder


@pytest.mark.parametrize(
    ("by", "patch", "num_inputs"),
    [
        pytest.param("image", 4, 784, marks=pytest.mark.slow),
        ("row", 4, 29),
        pytest.param("patch", 7, 50, marks=pytest.mark.slow),
        ("pixel", 4, 2),
    ],
)
def test_mnist_is_shown_piece_by_piece(mnist, by, patch, num_inputs):
    pixels, label, _ = mnist
    task = SequentialDigits(images=12, by=by, patch=patch, held_out_images=5, source="mnist")
    episode = sampled(task, 1)
    count = task.spec.length // 17
    assert task.spec.num_inputs == num_inputs and count == {"image": 1}.get(
        by, 784 // (num_inputs - 1)
    )
    assert episode.stimulus.shape == (17 * count, num_inputs)
    shown = episode.stimulus.reshape(17, count, num_inputs)[:, :, : num_inputs - (count > 1)]
    for i, image in enumerate(shown):
        found = [k for k in range(50) if np.allclose(pieces_of(pixels[k] / 255, by, patch), image)]
        assert len(found) == 1 and (found[0] >= 40) == (i >= 12)
        assert episode.target[i * count + count - 1] == label[found[0]]


@pytest.mark.slow
def test_mnist_keeps_the_contract(mnist):
    task = SequentialDigits(images=30, held_out="train", held_out_images=10, source="mnist")
    check_task(task, num_lifetimes=1)


def test_sizes_of_mnist(mnist):
    task = SequentialDigits(images=30, held_out="train", held_out_images=10, source="mnist")
    counts = np.bincount(mnist[1][:40], minlength=10)
    assert task.spec.chance == pytest.approx(counts.max() / 40)
    assert task.spec.length == 40 * 28
    with pytest.raises(ValueError, match="held_out_images must be at most 10 "):
        _ = SequentialDigits(held_out_images=11, source="mnist").spec


def test_mnist_that_is_not_there(mnist, monkeypatch, tmp_path):
    folder = mnist[2]
    (folder / MNIST_FILES[1]).unlink()
    task = SequentialDigits(source="mnist")
    for use in (lambda: task.spec, lambda: task.sample(jax.random.key(0))):
        with pytest.raises(
            data.DataError, match=f"{folder} lacks {MNIST_FILES[1]}\\. .*LOOPYMETA_DATA"
        ):
            use()
    monkeypatch.delenv("LOOPYMETA_DATA")
    monkeypatch.setenv("LOOPYMETA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(data.DataError, match=f"cache/mnist lacks {', '.join(MNIST_FILES)}"):
        _ = task.spec
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("number", "spoil", "word"),
    [
        (0, lambda content: content[:3], "damaged: it cannot be decompressed"),
        (0, lambda content: content[:-20], "damaged: it cannot be decompressed"),
        (0, lambda content: content[:30] + bytes(40) + content[70:], "damaged: it cannot be decom"),
        (2, lambda content: gzip.compress(idx(np.zeros((10, 27, 28), np.uint8))), "28 x 28 pixels"),
        (2, lambda content: gzip.compress(idx(np.zeros((0, 28, 28), np.uint8))), "28 x 28 pixels"),
        (1, lambda content: content[:-1], "damaged: an array of .40,. takes 48 bytes, but .* 47"),
        (1, lambda content: content[:6], "damaged: an array of"),
        (1, lambda content: b"", "no IDX file of bytes"),
        (1, lambda content: b"\0\0\x0d" + content[3:], "no IDX file of bytes: .*'00 00 0d 01'"),
        (3, lambda content: idx(np.zeros(9, np.uint8)), "must hold 10 labels"),
        (3, lambda content: idx(np.full(10, 10, np.uint8)), "labels 0 to 9, got 10"),
    ],
)
def test_mnist_that_is_damaged(mnist, number, spoil, word):
    (file,) = mnist[2].glob(f"{MNIST_FILES[number]}*")
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(data.DataError, match=f"{file}.*{word}"):
        data.read_mnist()


# Omniglot -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"way": 6, "episodes": 2, "by": "patch", "part": "train"},
        pytest.param({"way": 3, "shot": 19, "episodes": 2, "size": 3}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_omniglot_keeps_the_contract(characters, options):
    check_task(Omniglot(**options), num_lifetimes=1)


@pytest.mark.parametrize("size", [1, 2, 14, 15, 40, 105])
def test_area_average(size):
    """Every pixel made ``size`` x ``size`` of them, and blocks of 105 x 105 averaged."""
    image = np.random.default_rng(0).random((105, 105)) < 0.5
    fine = np.repeat(np.repeat(image, size, axis=0), size, axis=1)
    expected = fine.reshape(size, 105, size, 105).mean(axis=(1, 3))
    np.testing.assert_allclose(images._area_average(image, size), expected, atol=1e-5)


def whole_images(task, episode) -> np.ndarray:
    """[N, S, S] images put together again from their pieces."""
    spec, images_shown = task.spec, int(np.asarray(episode.scored).sum())
    count = spec.length // images_shown
    shown = np.asarray(episode.stimulus).reshape(images_shown, count, spec.num_inputs)
    if count == 1:
        return shown.reshape(-1, task.size, task.size)
    assert (shown[:, :, -1] == (np.arange(count) == count - 1)).all()
    whole = np.empty((images_shown, task.size, task.size), np.float32)
    place = pieces_of(np.arange(task.size**2).reshape(task.size, task.size), task.by, task.patch)
    for piece, where in enumerate(place):
        whole.reshape(images_shown, -1)[:, where] = shown[:, piece, :-1]
    return whole


def recognised(task, episode, ink) -> tuple[np.ndarray, np.ndarray]:
    """(character, drawing) of each image, by looking it up in what it was made of."""
    block = 105 // task.size  # sizes that divide 105: the mean of a block is enough
    small = ink.reshape(-1, task.size, block, task.size, block).mean(axis=(2, 4))
    small = small.reshape(-1, task.size**2)
    shown = whole_images(task, episode).reshape(-1, task.size**2)
    distance = np.abs(shown[:, None] - small[None]).max(-1)
    assert (distance.min(1) <= 0.5 / 255 + 1e-5).all()
    assert (np.sort(distance, axis=1)[:, 1] > 0.02).all()
    return np.divmod(distance.argmin(1), ink.shape[1])


WAYS_OF_OMNIGLOT = [
    Omniglot(way=4, shot=2, episodes=6, size=7, part="test"),
    Omniglot(way=4, shot=2, episodes=4, size=15, by="patch", patch=3, part="train"),
    pytest.param(Omniglot(way=4, shot=2, episodes=6, size=7, by="row"), marks=pytest.mark.slow),
    pytest.param(Omniglot(way=4, shot=2, episodes=6, size=7, by="pixel"), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("task", WAYS_OF_OMNIGLOT, ids=lambda task: task.by)
def test_omniglot_episodes_and_perfect_sight(characters, task):
    """Whoever recognises every character has the loss of the floor, by its past alone."""
    episode = sampled(task, 1)
    character, drawing = recognised(task, episode, characters)
    label = np.asarray(episode.target)[np.asarray(episode.scored)]
    phase = np.asarray(episode.phase)[np.asarray(episode.scored)]
    assert (np.asarray(episode.taught) == np.asarray(episode.scored)).all()
    assert not np.asarray(episode.intervention).any()
    test = np.array([by_hash(name.encode()) for name in NAMES])
    if task.part != "all":
        assert (test[character] == (task.part == "test")).all()
    loss, credit = [], defaultdict(list)
    for rows in np.split(np.arange(len(label)), task.episodes):
        memory, times = {}, Counter()
        for i in rows:
            assert phase[i] == times[character[i]]
            known = character[i] in memory
            open_labels = set(range(4)) - set(memory.values())
            if known:
                assert memory[character[i]] == label[i]
            else:
                assert label[i] in open_labels
            loss.append(0.0 if known else math.log(len(open_labels)))
            credit[phase[i]].append(1.0 if known else 1 / len(open_labels))
            memory[character[i]] = label[i]
            times[character[i]] += 1
        assert sorted(times.values()) == [3] * 4
        pairs = set(zip(character[rows], drawing[rows], strict=True))
        assert len(pairs) == 12
    metrics = task.score(outcome(episode, np.array(loss)), episode)
    assert metrics["loss"] == pytest.approx(task.spec.floor, rel=1e-5)
    assert metrics["accuracy_by_seen"][1:].tolist() == [1, 1]
    assert metrics["seen_once_accuracy"] == 1
    assert np.mean(credit[0]) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    with_chance = [1 / 4 if seen == 0 else 1 for seen in phase]
    late = np.arange(len(label)) >= len(label) // 2
    metrics = task.score(outcome(episode, np.zeros(len(label)), with_chance), episode)
    assert metrics["accuracy_late"] == pytest.approx(np.mean(np.array(with_chance)[late]))


def test_omniglot_metrics_are_those_of_the_second_half(characters):
    task = Omniglot(way=3, shot=1, episodes=5, size=5, by="row")
    episode = sampled(task, 0)
    late = np.repeat(np.arange(5) >= 2, 6)
    metrics = task.score(outcome(episode, 1.0 - late), episode)
    assert metrics["accuracy"] == pytest.approx(0.6) and metrics["accuracy_late"] == 1
    assert metrics["accuracy_by_seen"].tolist() == [1, 1]


def test_a_constant_scores_the_chance_of_omniglot(characters):
    """Each label is asked for equally often in every episode, in an order that tells nothing."""
    task = Omniglot(way=3, shot=1, episodes=50, size=2)
    sample = jax.jit(task.sample)
    first = Counter()
    for seed in range(10):
        label = np.asarray(sample(jax.random.key(seed)).target).reshape(50, 6)
        assert (np.sort(label, axis=1) == [0, 0, 1, 1, 2, 2]).all()
        first.update(label[:, 0].tolist())
    assert task.spec.chance == pytest.approx(1 / 3)
    assert all(abs(first[i] - 500 / 3) < 5 * math.sqrt(500 * 2 / 9) for i in range(3))


def test_labels_say_nothing_about_characters(characters):
    """Every character has every label equally often, and every drawing is shown."""
    task = Omniglot(way=2, shot=1, episodes=400, size=7)
    episode = jax.jit(task.sample)(jax.random.key(3))
    drawings = {tuple(x) for x in np.asarray(episode.stimulus).tolist()}
    # 1,600 of 720 drawings, each shown with probability 1 - exp(-1600 / 720).
    assert len(drawings) == pytest.approx(720 * (1 - math.exp(-1600 / 720)), abs=40)
    small = images._characters(7).images.reshape(36 * 20, -1)
    index = {tuple(row): k // 20 for k, row in enumerate(small.tolist())}
    shown = np.rint(np.asarray(episode.stimulus) * 255).astype(int)
    character = np.array([index[tuple(row)] for row in shown.tolist()])
    ones = np.bincount(character, np.asarray(episode.target), 36) / 2
    shows = np.bincount(character, minlength=36) / 2  # each episode shows it twice
    deviates = (ones - shows / 2) / np.sqrt(shows / 4)
    assert np.abs(deviates).max() < 5 and deviates.std() == pytest.approx(1, abs=0.6)


def test_omniglot_needs_enough_characters(characters):
    test = sum(by_hash(name.encode()) for name in NAMES)
    with pytest.raises(ValueError, match=f"way must be at most {test} .*'test'"):
        Omniglot(way=test + 1, part="test", size=3).sample(jax.random.key(0))
    with pytest.raises(ValueError, match=r"way must be at most 36 .*'all'"):
        Omniglot(way=37, size=3).sample(jax.random.key(0))


def test_real_omniglot():
    """242 characters; and what is nearest pixel by pixel is right more often than by chance."""
    if any(data.status(name) != "cached" for name in ("omniglot_small1", "omniglot_small2")):
        pytest.skip("needs the data sets omniglot_small1 and omniglot_small2")
    found = images._characters(14)
    assert found.images.shape == (242, 20, 14, 14) and len(set(found.names)) == 242
    assert 30 < found.test.sum() < 70
    assert "Greek/character24" in found.names and "Tagalog/character17" in found.names
    assert 0.03 < found.images.mean() / 255 < 0.2  # ink is the small part
    task = Omniglot(episodes=200)
    episode = sampled(task, 0)
    stimulus, label = (np.asarray(x).reshape(200, 10, -1) for x in episode[:2])
    distance = ((stimulus[:, :, None] - stimulus[:, None]) ** 2).sum(-1)
    before = np.tril(np.ones((10, 10), bool), -1)[None]
    nearest = np.where(before, distance, np.inf).argmin(2)
    guess = np.take_along_axis(label[:, :, 0], nearest, axis=1)
    right = guess == label[:, :, 0]
    right[:, 0] = False  # nothing has been seen yet
    right = right.reshape(-1)
    metrics = task.score(outcome(episode, 1.0 - right), episode)
    assert metrics["seen_once_accuracy"] == pytest.approx(0.45, abs=0.08)
    assert metrics["accuracy_by_seen"][0] == 0  # what was seen is never what is new


@pytest.mark.parametrize(
    ("kind", "options", "error", "word"),
    [
        (SequentialDigits, {"images": 0}, ValueError, "images"),
        (SequentialDigits, {"by": "column"}, ValueError, "by"),
        (SequentialDigits, {"by": "patch", "patch": 3}, ValueError, "patch must divide"),
        (SequentialDigits, {"patch": 0}, ValueError, "patch"),
        (SequentialDigits, {"source": "minst"}, ValueError, "Did you mean 'mnist'"),
        (SequentialDigits, {"source": "mnist", "by": "patch", "patch": 8}, ValueError, "side .*28"),
        (SequentialDigits, {"held_out": "tset"}, ValueError, "Did you mean 'test'"),
        (SequentialDigits, {"held_out_images": 0}, ValueError, "held_out_images"),
        (SequentialDigits, {"images": 2.0}, TypeError, "images"),
        (Omniglot, {"way": 1}, ValueError, "way"),
        (Omniglot, {"shot": 0}, ValueError, "shot"),
        (Omniglot, {"shot": 20}, ValueError, "shot must be below 20"),
        (Omniglot, {"episodes": 1}, ValueError, "episodes"),
        (Omniglot, {"size": 106}, ValueError, "size"),
        (Omniglot, {"size": 0}, ValueError, "size"),
        (Omniglot, {"size": 2.5}, TypeError, "size"),
        (Omniglot, {"by": "rows"}, ValueError, "Did you mean 'row'"),
        (Omniglot, {"by": "patch", "patch": 5}, ValueError, "patch must divide"),
        (Omniglot, {"part": "dev"}, ValueError, "part"),
    ],
)
def test_bad_options(kind, options, error, word):
    with pytest.raises(error, match=word):
        kind(**options)


def test_building_needs_no_data(monkeypatch):
    def refuse(name):
        raise AssertionError(f"{name} was asked for")

    monkeypatch.setattr(images.data, "path", refuse)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    SequentialDigits()
    assert Omniglot().spec.length == 2000
