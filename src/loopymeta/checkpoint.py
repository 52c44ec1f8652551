"""Checkpoints: any pytree of arrays in one file that is either whole or refused.

A checkpoint is a safetensors file (arrays and JSON, nothing that is executed when it is read): one
array for each leaf, named by its key path, and a header with the format, its version, the caller's
metadata and a SHA-256 over all of it. The file is written beside its final name, forced to the disk
and renamed, so that a process that is killed and a disk that is full leave the file before it as it
was.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from loopymeta._jax import jax, jnp

FORMAT = "loopymeta-checkpoint"
VERSION = "1"
# What safetensors writes and numpy reads back; others travel as unsigned integers of their size.
_NATIVE = {"bool", "float16", "float32", "float64"}
_NATIVE |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: missing, damaged, foreign, or of another tree."""


class Stored(NamedTuple):
    """What a checkpoint file holds, before it is fitted to a template."""

    arrays: dict[str, np.ndarray]  # one for each leaf, by key path
    leaves: dict[str, dict[str, Any]]  # what the array alone does not say: key, dtype, weak
    metadata: dict[str, Any]  # the caller's
    path: Path


def save(
    path: str | os.PathLike[str], tree: Any, metadata: Mapping[str, Any] | None = None
) -> None:
    """Writes a pytree to one file, atomically: afterwards the file is the new or the old one.

    Args:
      path: file to write; its folder must exist.
      tree: pytree whose leaves are jax or numpy arrays, typed PRNG keys, numpy or Python scalars.
      metadata: anything that JSON holds (numpy scalars too); tuples come back as lists,
        nan and the infinities as themselves.

    Raises:
      TypeError: a leaf or a value of the metadata that cannot be stored; names it.
      OSError: the file could not be written; the one before is intact.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "state.safetensors"
    >>> save(path, {"mean": np.arange(3.0), "count": 7}, {"generation": 5})
    >>> load(path, {"mean": np.zeros(3), "count": 0})
    ({'count': 7, 'mean': array([0., 1., 2.])}, {'generation': 5})
    """
    from safetensors.numpy import save as serialize

    arrays: dict[str, np.ndarray] = {}
    leaves: dict[str, dict[str, Any]] = {}
    for name, leaf in _named_leaves(tree):
        if name in arrays:
            raise TypeError(f"two leaves of the tree have the key path {name}")
        arrays[name], note = _encode(name, leaf)
        if note:
            leaves[name] = note
    header = {
        "format": FORMAT,
        "version": VERSION,
        "leaves": json.dumps(leaves),
        "metadata": json.dumps(dict(metadata or {}), default=_scalar),
    }
    header["sha256"] = _digest(arrays, header)
    write_atomic(Path(path), _sorted_header(serialize(arrays, metadata=header)))


def load(path: str | os.PathLike[str], template: Any) -> tuple[Any, dict[str, Any]]:
    """Reads a pytree written by :func:`save`, bit for bit.

    Args:
      path: the file.
      template: a tree of the same structure, shapes and types, for example a fresh one
        or what `jax.eval_shape` says of it. Only its structure is used, never its values. A leaf
        comes back as what the template's leaf is: jax array, numpy array, key, or Python scalar.

    Returns:
      the tree, and the metadata.

    Raises:
      CheckpointError: the file is missing, truncated, damaged, foreign or of another version, or
        it does not fit the template; the leaves that do not fit are named.
    """
    stored = read(path)
    return restore(stored, template), stored.metadata


def read(path: str | os.PathLike[str]) -> Stored:
    """Reads a checkpoint and proves that it is whole, without asking what tree it is of.

    Raises:
      CheckpointError: the file is missing, truncated, damaged, foreign or of another version.
    """
    from safetensors import SafetensorError, deserialize

    path = Path(path)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise CheckpointError(f"there is no checkpoint {path}") from None
    try:
        arrays = {name: _array(view) for name, view in deserialize(data)}
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not a whole checkpoint: it is truncated, damaged or no checkpoint ({error})"
        ) from None
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a safetensors file, but not a checkpoint of loopymeta")
    if header.get("version") != VERSION:
        raise CheckpointError(
            f"{path} is a checkpoint of version {header.get('version')!r}; this loopymeta reads "
            f"version {VERSION!r}"
        )
    expected = header.pop("sha256", None)
    if _digest(arrays, header) != expected:
        raise CheckpointError(f"{path} is damaged: its content does not match its SHA-256")
    return Stored(arrays, json.loads(header["leaves"]), json.loads(header["metadata"]), path)


def restore(stored: Stored, template: Any) -> Any:
    """The tree of a checkpoint that was read, in the structure of ``template`` (see :func:`load`).

    Raises:
      CheckpointError: the checkpoint does not fit the template; names the leaves.
    """
    wanted = _named_leaves(template)
    names = {name for name, _ in wanted}
    problems = [f"{name} is missing" for name, _ in wanted if name not in stored.arrays]
    problems += [f"{name} is not expected" for name in sorted(stored.arrays) if name not in names]
    values = []
    for name, leaf in wanted:
        if name in stored.arrays:
            value = _decode(stored.arrays[name], stored.leaves.get(name, {}))
            got, expected = _describe(value), _describe(leaf)
            if got != expected:
                problems.append(f"{name} is {got}, expected {expected}")
            values.append((value, name, leaf))
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise CheckpointError(
            f"checkpoint {stored.path} does not fit: {'; '.join(problems[:5])}{more}. "
            "Was it written with another configuration?"
        )
    leaves = [_like(leaf, value, stored.leaves.get(name, {})) for value, name, leaf in values]
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(template), leaves)


def check_folder(path: str | os.PathLike[str]) -> None:
    """Refuses a file that has no folder, before there is anything to be written.

    Raises:
      FileNotFoundError: names the folder.
    """
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no folder", str(folder))


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, where it is not there.

    Raises:
      OSError: names the folder that was asked for, and the cause.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = error.strerror or str(error)
        message = f"the output folder {path} cannot be made or written: {cause}"
        raise OSError(error.errno or errno.EIO, message) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Replaces a file by new content, on the disk, or leaves it as it was.

    Raises:
      OSError: with the path, the cause and a hint; whatever was there before is intact.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # before the rename, or a crash could leave an empty file
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise explain(error, path) from error
        raise


def explain(error: OSError, path: Path) -> OSError:
    """The same error (same class, same errno), saying what it means for the run."""
    hint = "What was complete before is intact."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        hint += " Free some space, then continue with --resume."
    cause = error.strerror or str(error)
    return OSError(error.errno or errno.EIO, f"cannot write {path}: {cause}. {hint}")


def sync_folder(folder: Path) -> None:
    """Forces the rename itself to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems without it
            raise
    finally:
        os.close(descriptor)


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path) or "<root>", leaf) for path, leaf in leaves]


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _encode(name: str, leaf: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """A leaf as an array that safetensors holds, and what is needed to undo that."""
    note: dict[str, Any] = {}
    if _is_key(leaf):
        note["key"] = str(jax.random.key_impl(leaf))
        leaf = jax.random.key_data(leaf)
    elif getattr(leaf, "weak_type", False):
        note["weak"] = True  # a strong copy would promote bfloat16 where the original did not
    array = np.array(leaf, order="C")  # contiguous; ascontiguousarray would turn 0-d into 1-d
    if array.dtype.name not in _NATIVE:
        if array.dtype.itemsize not in (1, 2, 4, 8) or array.dtype.kind in "OSUmM":
            raise TypeError(
                f"leaf {name} cannot be stored: expected an array of numbers, a key or a number, "
                f"got {type(leaf).__name__} of type {array.dtype}"
            )
        note["dtype"] = array.dtype.name
        array = array.view(f"u{array.dtype.itemsize}")
    return array, note


def _decode(array: np.ndarray, note: Mapping[str, Any]) -> Any:
    if "dtype" in note:
        array = array.view(jnp.dtype(note["dtype"]))
    if "key" in note:
        return jax.random.wrap_key_data(jnp.asarray(array), impl=note["key"])
    return array


def _describe(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        leaf = np.asarray(leaf)
    return f"{leaf.dtype}{list(leaf.shape)}"


def _like(leaf: Any, value: Any, note: Mapping[str, Any]) -> Any:
    """The stored value as the kind of thing that the template's leaf is."""
    if isinstance(leaf, np.ndarray):
        return value
    if isinstance(leaf, np.generic):
        return value[()]
    if not hasattr(leaf, "dtype"):
        return value.item()
    if note.get("weak"):
        zero = jnp.asarray(value.dtype.type(0).item())  # weakly typed, as Python numbers are
        value = jax.lax.full_like(zero, 0, shape=value.shape).at[...].set(value)
    value = jnp.asarray(value)
    # A leaf that was placed on purpose (a sharded population) goes back to its place.
    return jax.device_put(value, leaf.sharding) if getattr(leaf, "committed", False) else value


def _array(view: Mapping[str, Any]) -> np.ndarray:
    kind = {"BOOL": "bool", "F": "f", "I": "i", "U": "u"}
    code = view["dtype"]
    name = kind[code] if code == "BOOL" else f"<{kind[code[0]]}{int(code[1:]) // 8}"
    return np.frombuffer(view["data"], dtype=name).reshape(view["shape"]).copy()


def _digest(arrays: Mapping[str, np.ndarray], header: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _sorted_header(data: bytes) -> bytes:
    """The same safetensors file, with its header in order: equal trees give equal files.

    The library writes the header in an order that changes from call to call.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format wants the arrays aligned
    return len(header).to_bytes(8, "little") + header + data[end:]


def _scalar(value: Any) -> Any:
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"metadata must be what JSON holds, got {value!r} ({type(value).__name__})")
