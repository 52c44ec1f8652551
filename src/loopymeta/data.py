"""Real data sets: pinned addresses, checksums, a cache, and one clear message when it fails.

Nothing here touches the network when it is imported or when a task is built; a data set is fetched
when it is first used. Where a data set is looked for, in this order:

1. the folder named by ``LOOPYMETA_DATA``, if the file is there (nothing is ever written to it);
2. the cache: the folder named by ``LOOPYMETA_CACHE``, else the user's cache folder;
3. its pinned address.

Wherever it lies, its sha256 is checked before it is used. Only MNIST is never fetched: it is read
where the user has put it (`read_mnist`), and its form is checked.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import random
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from loopymeta import _validate

if TYPE_CHECKING:
    from jaxtyping import Int, UInt8, UInt16

_RAW = "https://raw.githubusercontent.com"
_TIMEOUT = 30.0  # seconds without an answer before a download is given up
_STALE = 86_400.0  # seconds after which a partial file can only be the leftover of a killed process


class DataError(RuntimeError):
    """A data set cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Dataset:
    """One file at a pinned address.

    Attributes:
      name: what it is called here.
      file: its file name in the cache and in ``LOOPYMETA_DATA``.
      url: its address, pinned to a commit.
      sha256: its checksum.
      size: bytes.
      licence: terms under which its publisher offers it.
      description: one line.
    """

    name: str
    file: str
    url: str
    sha256: str
    size: int
    licence: str
    description: str


_ALL = (
    Dataset(
        name="names",
        file="names.txt",
        url=f"{_RAW}/karpathy/makemore/988aa59e4d8fefa526d06f3b453ad116258398d4/names.txt",
        sha256="0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        size=228_145,
        licence="MIT",
        description="32,033 first names, one a line (makemore)",
    ),
    Dataset(
        name="tinyshakespeare",
        file="tinyshakespeare.txt",
        url=f"{_RAW}/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"
        "/data/tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        size=1_115_394,
        licence="public domain text",
        description="1.1 MB of Shakespeare, 65 distinct characters (char-rnn)",
    ),
    Dataset(
        name="huck_fin",
        file="huck_fin.txt",
        url=f"{_RAW}/weepingwillowben/music_net/ac80332809d8b1af23d85d9ca39a68a4cc80a03f"
        "/data/huck_fin.txt",
        sha256="4b98d96b7f6783da0af83f7c3073f26a1b5611e1bcc3ad9479b80bbba99a9084",
        size=583_567,
        licence="public domain text",
        description="Huckleberry Finn, 566,443 characters, 75 distinct",
    ),
    Dataset(
        name="omniglot_small1",
        file="omniglot_background_small1.zip",
        url=f"{_RAW}/brendenlake/omniglot/057f034baf2ecb8530bc5710e5a23584d2a519cc"
        "/python/images_background_small1.zip",
        sha256="f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
        size=1_319_022,
        licence="MIT",
        description="Omniglot, 5 alphabets (105 x 105 PNGs)",
    ),
    Dataset(
        name="omniglot_small2",
        file="omniglot_background_small2.zip",
        url=f"{_RAW}/brendenlake/omniglot/057f034baf2ecb8530bc5710e5a23584d2a519cc"
        "/python/images_background_small2.zip",
        sha256="3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f",
        size=1_580_917,
        licence="MIT",
        description="Omniglot, 5 alphabets, 2 of them as in the first (105 x 105 PNGs)",
    ),
)
DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in _ALL}


# Where things lie ---------------------------------------------------------------------------------


def cache_dir() -> Path:
    """The folder of downloaded files: ``LOOPYMETA_CACHE``, else the user's cache folder."""
    override = os.environ.get("LOOPYMETA_CACHE")
    if override:
        return Path(override).expanduser()
    import pooch

    return Path(pooch.os_cache("loopymeta"))


def _known(name: str) -> Dataset:
    if name not in DATASETS:
        raise _validate.unknown("data set", name, DATASETS)
    return DATASETS[name]


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}.") from error


def _in_override(dataset: Dataset) -> Path | None:
    """The file in the ``LOOPYMETA_DATA`` folder, if that is set and holds it."""
    folder = os.environ.get("LOOPYMETA_DATA")
    if not folder:
        return None
    folder_path = Path(folder).expanduser()
    if not folder_path.is_dir():
        raise DataError(
            f"LOOPYMETA_DATA names {folder!r}, which is not a folder. "
            "Create it, or unset the variable to use the cache."
        )
    file = folder_path / dataset.file
    return file if file.exists() else None


def _locate(dataset: Dataset) -> tuple[Path, Literal["cached", "missing", "damaged"]]:
    """Where the data set lies or would lie, and in what state."""
    file = _in_override(dataset) or cache_dir() / dataset.file
    if not file.exists():
        return file, "missing"
    return file, "cached" if _sha256(file) == dataset.sha256 else "damaged"


def status(name: str) -> Literal["cached", "missing", "damaged"]:
    """Whether a data set is here with the right checksum, not here, or here and wrong.

    >>> status("nams")
    Traceback (most recent call last):
    ValueError: unknown data set 'nams'. Did you mean 'names'? Known: huck_fin, names, ...
    """
    return _locate(_known(name))[1]


def verify(name: str) -> Path:
    """The file of a data set, its checksum checked; never fetches.

    Raises:
      DataError: if it is missing, or if its checksum is wrong (both sums are named).
    """
    dataset = _known(name)
    file, state = _locate(dataset)
    if state == "missing":
        raise DataError(f"data set {name!r} is not here ({file}). {_what_to_do(dataset)}")
    if state == "damaged":
        raise DataError(
            f"{file} is damaged or another version: sha256 is {_sha256(file)}, expected "
            f"{dataset.sha256}. Delete it. {_what_to_do(dataset)}"
        )
    return file


def path(name: str, *, fetch: bool = True) -> Path:
    """The file of a data set, fetched first if need be; its checksum is checked every time.

    Args:
      name: a key of `DATASETS`.
      fetch: whether it may be downloaded when it is missing, or damaged in the cache. A wrong file
        in the ``LOOPYMETA_DATA`` folder is never replaced: it is an error.

    Raises:
      DataError: if it cannot be had; the message says what to do.
      ValueError: for an unknown name.
    """
    dataset = _known(name)
    file, state = _locate(dataset)
    if state == "cached" or not fetch or file == _in_override(dataset):
        return verify(name)
    return _download(dataset, progress=None)


# Fetching -----------------------------------------------------------------------------------------


def fetch(name: str, progress: bool | None = None) -> Path:
    """Downloads a data set into the cache, unless it is there already.

    Args:
      name: a key of `DATASETS`.
      progress: whether to show a bar; None shows one if stderr is a terminal.

    Returns:
      The file in the cache, complete and checked: until then nothing bears its name.

    Raises:
      DataError: offline, a refusing server, a wrong checksum, a full disk or a folder that cannot
        be written; the message says what to do.
    """
    dataset = _known(name)
    file = cache_dir() / dataset.file
    if file.exists() and _sha256(file) == dataset.sha256:
        return file
    return _download(dataset, progress)


def _what_to_do(dataset: Dataset) -> str:
    return (
        f"Run `loopymeta data fetch {dataset.name}` where there is a network, or put the file of "
        f"{dataset.url} into a folder as {dataset.file} and set LOOPYMETA_DATA to that folder."
    )


def _download(dataset: Dataset, progress: bool | None) -> Path:
    """Downloads into a side folder and moves the file to its name once its checksum is right."""
    import logging

    import pooch
    import requests

    folder = cache_dir()
    partial = folder / "partial"
    # Our own line says it; pooch's log (with a hint about unpinned hashes) would say it twice.
    pooch.get_logger().setLevel(logging.WARNING)
    print(f"loopymeta: fetching {dataset.name} from {dataset.url}", file=sys.stderr)
    # Any: pooch's own protocol names the arguments differently from its downloaders.
    downloader: Any = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty() if progress is None else progress, timeout=_TIMEOUT
    )
    try:
        partial.mkdir(parents=True, exist_ok=True)
        _sweep(partial)
        arrived = pooch.retrieve(
            dataset.url,
            known_hash=f"sha256:{dataset.sha256}",
            fname=f"{os.getpid()}-{dataset.file}",
            path=partial,
            downloader=downloader,
        )
        os.replace(arrived, folder / dataset.file)
    # requests' errors are OSErrors too, so they come first.
    except requests.exceptions.RequestException as error:
        reason = f"no answer or a broken one from the server ({_reason(error)})"
    except ValueError as error:  # pooch's word for a wrong hash
        reason = f"what came has the wrong checksum ({error})"
    except OSError as error:
        reason = f"cannot write to {folder} ({error.strerror or error})"
    else:
        return folder / dataset.file
    raise DataError(f"could not fetch {dataset.name!r}: {reason}. {_what_to_do(dataset)}")


def _reason(error: Exception) -> str:
    """The kind of a network error and its first 200 characters: chains of these are pages long."""
    text = str(error)
    return f"{type(error).__name__}: {text[:200]}{'...' if len(text) > 200 else ''}"


def _sweep(partial: Path) -> None:
    """Removes what processes that were killed in the middle of a download left behind."""
    for leftover in partial.iterdir():
        try:
            if time.time() - leftover.stat().st_mtime > _STALE:
                leftover.unlink()
        except OSError:  # another process was quicker, or owns it
            continue


# Reading ------------------------------------------------------------------------------------------


def read_text(name_or_path: str | os.PathLike[str]) -> str:
    """The text of a data set or of a file of one's own, line ends made ``\\n``.

    Args:
      name_or_path: a key of `DATASETS` (fetched if need be), or else a path to a UTF-8 text file.

    Raises:
      DataError: if it is missing, unreadable, empty or not UTF-8 (the position is named).
    """
    name = os.fspath(name_or_path)
    if name in DATASETS:
        return _decode(path(name))
    file = Path(name).expanduser()
    if not file.exists():
        raise DataError(f"no file {file}, and {_validate.unknown('data set', name, DATASETS)}")
    return _decode(file)


def _decode(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}.") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 text: byte {error.object[error.start]:#04x} at position "
            f"{error.start} ({error.reason}). Convert it to UTF-8 first."
        ) from error
    if not text:
        raise DataError(f"{file} is empty.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def names_split(
    split: Literal["lecture", "makemore"] = "lecture",
) -> tuple[list[str], list[str], list[str]]:
    """makemore's names as training, development and test lists.

    Args:
      split: ``"lecture"`` is the split of Karpathy's lectures, whose figures are the ladder in
        `loopymeta.tasks.Names`: shuffled by Python's generator with seed 42, then 80, 10 and 10
        percent, 25,626 + 3,203 + 3,204 names. ``"makemore"`` is that of makemore's own script:
        `makemore_permutation`, the last 1,000 for testing, the other 31,033 for training, and no
        development names. Some names occur twice in the file, and so in more than one part.

    Raises:
      DataError: if the names cannot be had.
    """
    _validate.choice("split", split, ["lecture", "makemore"])
    names = read_text("names").splitlines()
    if split == "makemore":
        names = [names[line] for line in makemore_permutation()]
        return names[:-1000], [], names[-1000:]
    random.Random(42).shuffle(names)
    low, high = int(0.8 * len(names)), int(0.9 * len(names))
    return names[:low], names[low:high], names[high:]


def makemore_permutation() -> UInt16[np.ndarray, "W"]:
    """The order into which makemore's script brings the lines of names.txt.

    What ``torch.manual_seed(3407)``, then ``torch.randperm(32033)`` give, as a file of this
    package, so that torch is not needed.

    >>> makemore_permutation()[-2:].tolist()
    [16636, 29400]
    """
    return np.load(Path(__file__).with_name("makemore_permutation.npy"), allow_pickle=False)


# MNIST --------------------------------------------------------------------------------------------

_MNIST = {
    "train_images": "train-images-idx3-ubyte",
    "train_label": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_label": "t10k-labels-idx1-ubyte",
}


class Mnist(NamedTuple):
    """Handwritten digits in two parts, as their makers divided them."""

    train_images: UInt8[np.ndarray, "N 28 28"]
    train_label: Int[np.ndarray, "N"]
    test_images: UInt8[np.ndarray, "M 28 28"]
    test_label: Int[np.ndarray, "M"]


def mnist_dir() -> Path:
    """Where MNIST is looked for: ``mnist`` in ``LOOPYMETA_DATA``, or in the cache if that is unset.

    >>> mnist_dir().name
    'mnist'
    """
    folder = os.environ.get("LOOPYMETA_DATA")
    return (Path(folder).expanduser() if folder else cache_dir()) / "mnist"


def read_mnist() -> Mnist:
    """MNIST, from its four IDX files in `mnist_dir`, each as it is or as ``.gz``; never fetches.

    Other images of 28 x 28 pixels and ten classes in the same files will do: there is no checksum.

    Raises:
      DataError: a file is missing (all that are, are named) or is not what it must be.

    Reference: LeCun, Bottou, Bengio and Haffner 1998.
    """
    folder = mnist_dir()
    found = {name: _plain_or_gz(folder / file) for name, file in _MNIST.items()}
    missing = [_MNIST[name] for name, file in found.items() if file is None]
    if missing:
        raise DataError(
            f"MNIST is not here: {folder} lacks {', '.join(missing)}. It is not fetched for you: "
            "put its four files, as they are or as .gz, into that folder, or into the folder mnist "
            "of another one and set LOOPYMETA_DATA to that."
        )
    arrays = {name: read_idx(file) for name, file in found.items() if file is not None}
    for part in ("train", "test"):
        images, label = arrays[f"{part}_images"], arrays[f"{part}_label"]
        if images.shape[1:] != (28, 28) or not len(images):
            raise DataError(
                f"{found[f'{part}_images']} must hold images of 28 x 28 pixels, got an array of "
                f"{images.shape}."
            )
        if label.shape != images.shape[:1]:
            raise DataError(
                f"{found[f'{part}_label']} must hold {len(images):,} labels, one an image, got an "
                f"array of {label.shape}."
            )
        if label.max() > 9:
            raise DataError(f"{found[f'{part}_label']} must hold labels 0 to 9, got {label.max()}.")
        arrays[f"{part}_label"] = label.astype(np.int32)
    return Mnist(**arrays)


def _plain_or_gz(file: Path) -> Path | None:
    """The file, or else the same one compressed, or None."""
    compressed = file.with_name(f"{file.name}.gz")
    return next((each for each in (file, compressed) if each.is_file()), None)


def read_idx(file: Path) -> np.ndarray:
    """The array of bytes in an IDX file (``.gz``: compressed).

    Such a file begins with two zeros, the type of its numbers (8: bytes) and how many axes there
    are; then comes the size of each axis, as four bytes, the highest first; then the numbers.

    Raises:
      DataError: the file cannot be read, is of another kind, or is not as long as it says.
    """
    try:
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file} is damaged: it cannot be decompressed ({error}).") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}.") from error
    if content[:3] != b"\x00\x00\x08" or len(content) < 4:
        raise DataError(
            f"{file} is no IDX file of bytes: it begins with {content[:4].hex(' ')!r} instead of "
            "'00 00 08' and the number of axes."
        )
    begin = 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, begin, 4))
    if len(content) != begin + math.prod(shape):
        raise DataError(
            f"{file} is damaged: an array of {shape} takes {begin + math.prod(shape):,} bytes, "
            f"but there are {len(content):,}."
        )
    return np.frombuffer(content, np.uint8, offset=begin).reshape(shape)
