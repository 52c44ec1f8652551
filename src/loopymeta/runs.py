"""Runs: a folder that holds all of a training run and survives being stopped at any moment.

    runs/memorize-20260101-120000/
      config.json      the configuration, versions, git states (experiment's, loopymeta's), device
      metrics.csv      one row a generation
      checkpoints/     00000120.safetensors: the state after generation 120
      figures/
      rule.json        the rule found
      result.json      the final figures on fresh seeds

Everything but the metrics is written beside its name and renamed, so that it is whole or absent;
the metrics are appended row by row and cut back to the checkpoint when the run is resumed. The
order is fixed: the rows up to a generation are on the disk before its checkpoint is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import platform
import secrets
import shutil
import subprocess
import time
import types as pytypes
import typing
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np

from loopymeta import checkpoint
from loopymeta._validate import at_least, unknown
from loopymeta.checkpoint import CheckpointError, explain, write_atomic

try:
    import fcntl
except ImportError:  # Windows: two writers are not kept apart there
    fcntl = None  # type: ignore[assignment]

FORMAT = "loopymeta-run"
VERSION = 1
_PACKAGES = ("loopymeta", "jax", "jaxlib", "numpy", "optax", "evosax")
_NONFINITE = ("nan", "inf", "-inf")


class RunError(ValueError):
    """A run folder that cannot be used as asked; the message says what to do instead."""


class ConfigError(ValueError):
    """A configuration that does not describe what it should; names the field."""


# --------------------------------------------------------------------------- configuration as JSON


def to_dict(value: Any, where: str = "config") -> Any:
    """A configuration, or any result, as what strict JSON holds.

    Dataclasses become ``{"type": class name, field: value ...}``, named tuples become dictionaries,
    arrays become lists, numbers that JSON lacks become the strings "nan", "inf" and "-inf".

    Raises:
      TypeError: a value that has no such form (a function, a key); names where it is.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Memorize:
    ...     length: int = 12
    >>> to_dict({"task": Memorize(), "loss": np.float32("nan")})
    {'task': {'type': 'Memorize', 'length': 12}, 'loss': 'nan'}
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        if "type" in fields:
            raise TypeError(
                f"{where}: {type(value).__name__} has a field named 'type', the class tag"
            )
        return {"type": type(value).__name__, **to_dict(fields, where)}
    if isinstance(value, Mapping):
        return {_name(k, where): to_dict(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return to_dict(value._asdict(), where)
    if isinstance(value, (list, tuple)):
        return [to_dict(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "__array__"):
        with contextlib.suppress(TypeError):  # a key has no numbers: refused below
            array = np.asarray(value)
            if array.dtype.kind in "biuf":
                return to_dict(array.tolist(), where)
            if array.dtype.name.startswith(("bfloat", "float")):
                return to_dict(array.astype(float).tolist(), where)
    raise TypeError(f"{where}: {value!r} ({type(value).__name__}) cannot be written as JSON")


def _name(key: Any, where: str) -> str:
    if isinstance(key, str) or (isinstance(key, (int, np.integer)) and not isinstance(key, bool)):
        return str(key)
    raise TypeError(f"{where}: names must be strings or whole numbers, got {key!r}")


def from_dict(
    data: Any,
    types: Mapping[str, type] | Iterable[type],
    where: str = "config",
    kind: Any = Any,
) -> Any:
    """The configuration that :func:`to_dict` wrote, checked field by field.

    Nothing is executed but the constructors of the dataclasses in ``types`` and of those that the
    annotations of their fields name. Fields that are absent take their defaults.

    Args:
      data: ``{"type": class name, ...}``, as read from JSON.
      types: the dataclasses that may occur; needed for those that no annotation names (a field
        typed by a protocol, subclasses of those that are named).
      where: what the data is called in messages.
      kind: what it must be: a dataclass, or any annotation.

    Raises:
      ConfigError: an unknown class or field (with the nearest known one), a missing field, or a
        value that is not of its field's type; names the field, what was expected and what came.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Memorize:
    ...     length: int = 12
    >>> from_dict({"type": "Memorize", "length": 3}, [Memorize])
    Memorize(length=3)
    >>> from_dict({"type": "Memorize", "lenght": 3}, [Memorize])
    Traceback (most recent call last):
    loopymeta.runs.ConfigError: config: unknown field of Memorize 'lenght'. Did you mean 'length'? \
Known: length.
    """
    known: dict[str, type] = {}
    for cls in types.values() if isinstance(types, Mapping) else types:
        if known.setdefault(cls.__name__, cls) is not cls:
            raise ConfigError(f"two classes are named {cls.__name__}: {known[cls.__name__]}, {cls}")
    return _build(data, kind, known, where)


def _build(value: Any, hint: Any, known: Mapping[str, type], where: str) -> Any:
    """``value``, as JSON holds it, as an instance of ``hint``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _build(value, arguments[0], known, where)
    if origin is Union or origin is pytypes.UnionType:
        return _build_union(value, arguments, known, where)
    if origin is Literal:
        if any(type(value) is type(option) and value == option for option in arguments):
            return value
        raise ConfigError(
            f"{where}: expected one of {', '.join(map(repr, arguments))}, got {value!r}"
        )
    if hint in (bool, int, float, str, None, type(None), Path):
        return _build_plain(value, hint, where)
    if (origin or hint) in (tuple, list, Sequence):
        return _build_sequence(value, origin or hint, arguments, known, where)
    if (origin or hint) in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong(where, "a table of names and values", value)
        name, item = arguments or (str, Any)
        return {
            _key(k, name, where): _build(v, item, known, f"{where}.{k}") for k, v in value.items()
        }
    return _build_object(value, hint, known, where)


def _key(name: str, hint: Any, where: str) -> str | int:
    """JSON's names are strings; a table by number gets its numbers back."""
    try:
        return int(name) if hint is int else name
    except ValueError:
        raise ConfigError(f"{where}: expected whole numbers as names, got {name!r}") from None


def _build_object(value: Any, hint: Any, known: Mapping[str, type], where: str) -> Any:
    """A dataclass, or anything at all where the annotation does not say (Any, a protocol)."""
    named = isinstance(hint, type) and dataclasses.is_dataclass(hint)
    if isinstance(value, list) and not named:
        return _build_sequence(value, tuple, (Any, ...), known, where)
    if not isinstance(value, dict):
        if named:
            raise _wrong(where, f"a {hint.__name__}", value)
        return float(value) if value in _NONFINITE else value
    if "type" not in value and not named:
        return {k: _build(v, Any, known, f"{where}.{k}") for k, v in value.items()}
    tag = value.get("type", hint.__name__ if named else None)
    known = {**known, hint.__name__: hint} if named else known
    if not isinstance(tag, str) or tag not in known:
        raise ConfigError(f"{where}: {unknown('type', tag, known)}")
    cls = known[tag]
    if named and not issubclass(cls, hint):
        raise ConfigError(f"{where}: expected a {hint.__name__}, got a {tag}")
    return _construct(cls, {k: v for k, v in value.items() if k != "type"}, known, where)


def _construct(cls: type, values: dict[str, Any], known: Mapping[str, type], where: str) -> Any:
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for name in values:
        if name not in fields:
            raise ConfigError(f"{where}: {unknown(f'field of {cls.__name__}', name, fields)}")
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, SyntaxError):  # names for type checkers only: the class checks its fields
        hints = {}
    arguments = {
        name: _build(value, hints.get(name, Any), known, f"{where}.{name}")
        for name, value in values.items()
    }
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:  # what __post_init__ refuses, and missing fields
        raise ConfigError(f"{where}: {error}") from error


def _build_union(value: Any, options: Sequence[Any], known: Mapping[str, type], where: str) -> Any:
    options = [
        typing.get_args(o)[0] if typing.get_origin(o) is typing.Annotated else o for o in options
    ]
    classes = {
        o.__name__: o for o in options if isinstance(o, type) and dataclasses.is_dataclass(o)
    }
    if isinstance(value, dict) and len(classes) > (0 if "type" in value else 1):
        others = len(options) - len(classes) - (type(None) in options)
        bases = tuple(classes.values())
        classes |= {name: cls for name, cls in known.items() if issubclass(cls, bases)}
        if others == 0 and value.get("type") not in classes:
            raise ConfigError(f"{where}: {unknown('type', value.get('type'), classes)}")
        return _build_object(value, Any, {**known, **classes}, where)
    errors = []
    for option in sorted(options, key=lambda o: o is float):  # so that 3 stays whole in int | float
        try:
            return _build(value, option, known, where)
        except ConfigError as error:
            errors.append(str(error).removeprefix(f"{where}: "))
    raise ConfigError(f"{where}: " + "; or ".join(errors))


def _build_plain(value: Any, hint: Any, where: str) -> Any:
    if hint is None or hint is type(None):
        if value is None:
            return None
        raise _wrong(where, "nothing (null)", value)
    if hint is float and (value in _NONFINITE or type(value) is int):
        return float(value)
    kind = str if hint is Path else hint
    if type(value) is not kind:  # not isinstance: True is an int
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
        raise _wrong(where, names[kind], value)
    return Path(value) if hint is Path else value


def _build_sequence(
    value: Any, kind: Any, arguments: tuple[Any, ...], known: Mapping[str, type], where: str
) -> Any:
    if not isinstance(value, list):
        raise _wrong(where, "a list", value)
    if kind is tuple and arguments and Ellipsis not in arguments:
        if len(value) != len(arguments):
            raise _wrong(where, f"a list of {len(arguments)} values", value)
        items = arguments
    else:
        items = (arguments[0] if arguments else Any,) * len(value)
    built = [
        _build(v, h, known, f"{where}[{i}]")
        for i, (v, h) in enumerate(zip(value, items, strict=True))
    ]
    return built if kind is list else tuple(built)


def _wrong(where: str, expected: str, value: Any) -> ConfigError:
    return ConfigError(f"{where}: expected {expected}, got {value!r} ({type(value).__name__})")


# ------------------------------------------------------------------------------------- provenance


def versions() -> dict[str, str | None]:
    """Versions of Python, the platform and the packages that numbers depend on; imports nothing."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def git_state(folder: str | os.PathLike[str] = ".") -> dict[str, Any] | None:
    """The commit a folder is at and whether tracked files differ from it, or None without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or status is None:
        return None
    return {"commit": commit, "dirty": bool(status)}


def source_git_state(file: str | os.PathLike[str] = __file__) -> dict[str, Any] | None:
    """`git_state` of the loopymeta that runs, or None where that is not a checkout.

    A package that was installed below some other repository is not of that repository.
    """
    path = Path(file)
    tracked = _git(path.parent, "ls-files", "--error-unmatch", path.name) is not None
    return git_state(path.parent) if tracked else None


def _commit(state: Mapping[str, Any] | None) -> str | None:
    """A git state in a word or two."""
    if state is None:
        return None
    return state["commit"][:12] + (" and changes" if state["dirty"] else "")


def _git(folder: str | os.PathLike[str], *command: str) -> str | None:
    """What a git command says in a folder, or None where it fails."""
    try:
        done = subprocess.run(
            ["git", *command],
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # status must not write the index
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


# ----------------------------------------------------------------------------------------- the run


class Run:
    """One run folder. Write to it inside ``with run.lock():``, one process at a time.

    >>> import tempfile
    >>> run = Run.create(tempfile.mkdtemp(), {"seed": 1}, name="first")
    >>> with run.lock():
    ...     run.append_metrics({"generation": 1, "loss": 0.5})
    ...     run.save_checkpoint(1, {"theta": np.ones(2)}, {})
    >>> Run.open(run.path).load_checkpoint({"theta": np.zeros(2)})
    (1, {'theta': array([1., 1.])}, {})
    >>> run.read_metrics()["loss"]
    array([0.5])
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._columns: list[str] | None = None  # of metrics.csv; None until it has been looked at
        self._last = -1  # generation of its last row

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def create(
        cls,
        out: str | os.PathLike[str],
        config: Any,
        *,
        name: str | None = None,
        label: str = "run",
        device: str | None = None,
        source: str | os.PathLike[str] = ".",
    ) -> Run:
        """Makes a new run folder with its config.json; never touches one that exists.

        Args:
          out: folder of all runs; made if absent.
          config: dataclass or dictionary, see :func:`to_dict`.
          name: name of the folder; without it, ``LABEL-YYYYMMDD-HHMMSS``.
          label: see ``name``.
          device: kind of device that the run uses, for the record.
          source: folder whose git state is recorded beside that of loopymeta itself: the
            experiment's.

        Raises:
          RunError: the folder exists, or cannot be made.
          TypeError: the configuration cannot be written as JSON.
        """
        stem = name if name is not None else f"{label}-{time.strftime('%Y%m%d-%H%M%S')}"
        _plain_name("name of a run", stem)
        contents = {
            "format": FORMAT,
            "version": VERSION,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "config": to_dict(config),
            "versions": versions(),
            "git": git_state(source),
            "loopymeta_git": source_git_state(),
            "device": device,
        }
        for attempt in range(1, 100):
            path = Path(out) / (stem if attempt == 1 else f"{stem}-{attempt}")
            if _make_folder(path, contents):
                return cls(path)
            if name is not None:
                raise RunError(
                    f"run folder {path} exists already; nothing in it was changed. Continue "
                    "that run with --resume, or choose another --name."
                )
        raise RunError(f"there are too many runs {stem}-* in {out}")

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """An existing run folder.

        Raises:
          RunError: there is none, it is not a run folder, or it is of another version.
        """
        run = cls(path)
        if not run.path.is_dir():
            raise RunError(f"there is no run folder {run.path}")
        if not (run.path / "config.json").is_file():
            raise RunError(f"{run.path} is not a run folder: it has no config.json")
        contents = run.read_json("config.json")
        if not isinstance(contents, dict) or contents.get("format") != FORMAT:
            raise RunError(f"{run.path} is not a run folder: its config.json is not of loopymeta")
        if contents.get("version") != VERSION:
            raise RunError(
                f"{run.path} is a run of version {contents.get('version')!r}; this loopymeta reads "
                f"version {VERSION}"
            )
        return run

    def config(self) -> dict[str, Any]:
        """The configuration, as JSON holds it (see :func:`from_dict`)."""
        return self.read_json("config.json")["config"]

    def changed_versions(self) -> dict[str, tuple[str | None, str | None]]:
        """What was another version when the run was made: {name: (then, now)}.

        A resumed run gives the same numbers bit for bit only where this is empty. The commit of
        loopymeta itself counts where it was known and is.
        """
        contents = self.read_json("config.json")
        then, now = dict(contents.get("versions") or {}), versions()
        commit, current = _commit(contents.get("loopymeta_git")), _commit(source_git_state())
        if commit and current:
            then["loopymeta commit"], now["loopymeta commit"] = commit, current
        return {k: (then.get(k), v) for k, v in now.items() if then.get(k) != v}

    @property
    def figures(self) -> Path:
        """Folder for figures; made if absent."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    @contextlib.contextmanager
    def lock(self) -> Iterator[Run]:
        """Keeps every other process from writing this run; freed by the system however we end.

        Raises:
          RunError: another process holds it; names the process.
        """
        if fcntl is None:
            yield self
            return
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(descriptor, 200).decode(errors="replace").strip() or "unknown"
                raise RunError(
                    f"run {self.path} is being written by process {owner}; wait until it ends, or "
                    "stop it"
                ) from None
            with contextlib.suppress(OSError):  # a full disk must not forbid to resume
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()} on {platform.node()}\n".encode())
            self._sweep()
            self._columns = None  # another process may have written since we looked
            yield self
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Removes what a killed process left half-written."""
        for folder in (self.path, self.path / "checkpoints"):
            for leftover in folder.glob(".*.tmp"):
                with contextlib.suppress(OSError):
                    leftover.unlink()

    # ---- checkpoints

    def checkpoints(self) -> list[tuple[int, Path]]:
        """(generation, file) of every checkpoint, oldest first."""
        files = (self.path / "checkpoints").glob("*.safetensors")
        return sorted((int(f.stem), f) for f in files if f.stem.isdecimal())

    def save_checkpoint(
        self,
        generation: int,
        tree: Any,
        metadata: Mapping[str, Any] | None = None,
        *,
        keep: int = 2,
    ) -> None:
        """Saves the state after ``generation`` and forgets all but the ``keep`` newest up to it.

        Raises:
          OSError: it could not be written; the checkpoints before it are intact.
        """
        at_least("generation", generation, 0)
        at_least("keep", keep, 1)
        self._sync_metrics()
        folder = self.path / "checkpoints"
        folder.mkdir(exist_ok=True)
        path = folder / f"{generation:08d}.safetensors"
        checkpoint.save(path, tree, {"generation": generation, "metadata": dict(metadata or {})})
        # Never a newer one: it is damaged, or it belongs to a run that someone rewound.
        for _, old in [c for c in self.checkpoints() if c[0] <= generation][:-keep]:
            with contextlib.suppress(OSError):
                old.unlink()

    def load_checkpoint(self, template: Any) -> tuple[int, Any, dict[str, Any]]:
        """The newest whole checkpoint: (generation, tree, metadata).

        A damaged one is passed over with a warning. The caller then cuts the metrics back with
        :meth:`truncate_metrics`.

        Args:
          template: see :func:`loopymeta.checkpoint.load`.

        Raises:
          CheckpointError: there is none, none is whole, or it does not fit the template.
        """
        errors = []
        for _, path in reversed(self.checkpoints()):
            try:
                stored = checkpoint.read(path)
            except (CheckpointError, OSError) as error:
                errors.append(str(error))
                continue
            if errors:
                message = f"{'; '.join(errors)}. Continuing from {path}."
                warnings.warn(message, RuntimeWarning, stacklevel=2)
            contents = stored.metadata
            if contents.keys() != {"generation", "metadata"}:
                raise CheckpointError(f"{path} is a checkpoint, but not one of a run")
            return (
                contents["generation"],
                checkpoint.restore(stored, template),
                contents["metadata"],
            )
        reason = "it has none yet"
        if errors:
            reason = (
                f"{'; '.join(errors)}. Delete what is in {self.path / 'checkpoints'}: the run then "
                "starts again from its seed, and its result is the same"
            )
        raise CheckpointError(f"no checkpoint in {self.path} can be read: {reason}")

    # ---- metrics

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.csv"

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Adds a row to metrics.csv: the generation and the scalars measured in it.

        The first row decides the columns.

        Args:
          row: ``{"generation": g, name: number ...}``; 0-d arrays count as numbers.

        Raises:
          RunError: other columns than before, or a generation that is not after the last one.
          TypeError: a value that is not a number.
          OSError: the row could not be written; the rows before it are intact.
        """
        if "generation" not in row:
            raise RunError(f"a row of metrics needs a generation, got {', '.join(row)}")
        names = ["generation", *(name for name in row if name != "generation")]
        values = {name: _number(name, row[name]) for name in names}
        if self._columns is None:
            self._look_at_metrics()
        text = ""
        if not self._columns:
            for name in names:
                _column(name)
            text = ",".join(names) + "\n"
        columns = self._columns or names
        if set(names) != set(columns):
            raise RunError(
                f"metrics of {self.path} have the columns {', '.join(columns)}, got "
                f"{', '.join(names)}; give nan for what is not known"
            )
        if values["generation"] <= self._last:
            raise RunError(
                f"generation {values['generation']} after generation {self._last} in "
                f"{self._metrics}; cut the metrics back with truncate_metrics before going on"
            )
        text += ",".join(repr(values[name]) for name in columns) + "\n"
        self._columns = None  # until the row is written: what a failure leaves is looked at again
        _append(self._metrics, text.encode())
        self._columns, self._last = columns, int(values["generation"])

    def truncate_metrics(self, generation: int) -> None:
        """Drops the rows after ``generation``, and what is torn; atomically.

        Raises:
          OSError: it could not be written; the metrics are as they were.
        """
        columns, rows = self._read_rows()
        kept = [row for row in rows if int(row[0]) <= generation]
        self._columns = None
        if columns:
            lines = "".join(",".join(row) + "\n" for row in [columns, *kept])
            write_atomic(self._metrics, lines.encode())
        else:
            self._metrics.unlink(missing_ok=True)

    def read_metrics(self) -> dict[str, np.ndarray]:
        """The metrics, one array [generations] a column; {} before the first row."""
        columns, rows = self._read_rows()
        table = {c: np.array([float(row[i]) for row in rows]) for i, c in enumerate(columns)}
        if columns:
            table["generation"] = np.array([int(row[0]) for row in rows], dtype=np.int64)
        return table

    def _read_rows(self) -> tuple[list[str], list[list[str]]]:
        """Column names and the whole rows, as written."""
        if not self._metrics.exists():
            return [], []
        lines = self._metrics.read_bytes().decode(errors="replace").split("\n")[:-1]
        columns = lines[0].split(",") if lines else []
        if columns and columns[0] != "generation":
            raise RunError(
                f"{self._metrics} is not a metrics file: its first column is {columns[0]!r}"
            )
        rows = [line.split(",") for line in lines[1:]]
        return columns, [row for row in rows if len(row) == len(columns) and _is_row(row)]

    def _look_at_metrics(self) -> None:
        columns, rows = self._read_rows()
        self._last = int(rows[-1][0]) if rows else -1
        if self._metrics.exists() and not self._metrics.read_bytes().endswith(b"\n"):
            self.truncate_metrics(self._last)
        self._columns = columns

    def _sync_metrics(self) -> None:
        """The rows reach the disk before the checkpoint that counts on them."""
        with contextlib.suppress(FileNotFoundError), open(self._metrics, "rb+") as file:
            try:
                os.fsync(file.fileno())
            except OSError as error:
                raise explain(error, self._metrics) from error

    # ---- JSON

    def write_json(self, name: str, value: Any) -> None:
        """Writes a file of strict JSON, atomically: rule.json, result.json (see :func:`to_dict`).

        Raises:
          TypeError: a value that has no form in JSON; names where it is.
          OSError: it could not be written; the file before it is intact.
        """
        _plain_name("name of a file", name)
        text = json.dumps(to_dict(value, name), indent=2, allow_nan=False, ensure_ascii=False)
        write_atomic(self.path / name, (text + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Reads a file of JSON.

        Raises:
          RunError: there is none, or it is not JSON.
        """
        _plain_name("name of a file", name)
        return read_json_file(self.path / name)


def read_json_file(path: str | os.PathLike[str]) -> Any:
    """Reads a file of JSON.

    Raises:
      RunError: there is none, or it is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path.parent} has no {path.name}") from None
    except IsADirectoryError:
        raise RunError(f"{path} is a folder, not a file of JSON") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not JSON: {error}") from None


def _plain_name(what: str, name: str) -> None:
    if not name or name.startswith(".") or Path(name).name != name or "\\" in name or "\0" in name:
        raise RunError(f"{what} must be a plain name without folders, got {name!r}")


def _make_folder(path: Path, contents: Mapping[str, Any]) -> bool:
    """Makes a run folder, with its config.json in it from its first moment; False if it exists."""
    if os.path.lexists(path):
        return False
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        (temporary / "checkpoints").mkdir(parents=True)
        Run(temporary).write_json("config.json", contents)
        try:
            temporary.rename(path)
        except OSError:
            if os.path.lexists(path):  # another process was faster
                return False
            raise
        checkpoint.sync_folder(path.parent)
    except OSError as error:
        cause = error.__cause__ or error  # without the advice for runs that have begun
        raise RunError(f"cannot make the run folder {path}: {cause}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already where all went well
    return True


def _append(path: Path, data: bytes) -> None:
    """Adds bytes to a file, all of them or (where the file allows it) none."""
    try:
        with open(path, "ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except BaseException:
                with contextlib.suppress(OSError):
                    os.truncate(path, size)
                raise
    except OSError as error:
        raise explain(error, path) from error


def _number(name: str, value: Any) -> int | float:
    try:
        array = np.asarray(value)
        if array.shape != () or array.dtype.kind in "OSUcmM":
            raise TypeError
        number: int | float = int(array) if array.dtype.kind in "biu" else float(array)
    except TypeError:  # a typed key raises it by itself
        kind = type(value).__name__
        raise TypeError(f"metric {name} must be one number, got {value!r} ({kind})") from None
    if name == "generation" and (not isinstance(number, int) or number < 0):
        raise TypeError(f"generation must be a whole number from 0 on, got {value!r}")
    return number


def _column(name: str) -> None:
    if not name or any(mark in name for mark in ',"\r\n'):
        raise RunError(f"name of a metric must have no comma, quote or line break, got {name!r}")


def _is_row(row: Sequence[str]) -> bool:
    try:
        return int(row[0]) >= 0 and all(isinstance(float(value), float) for value in row)
    except ValueError:
        return False
