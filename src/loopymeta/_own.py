"""Code that is not the library's: which classes a value is made of, and a hash of their files."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_BEGAN = time.time()
"""When this process first needed loopymeta, in seconds as files have them."""


def is_own(thing: Any) -> bool:
    """Whether a class or function was written outside this library (and outside Python's own)."""
    package = str(getattr(thing, "__module__", "")).partition(".")[0]
    return package != __package__ and package not in sys.stdlib_module_names


def own_classes(value: Any) -> list[type] | None:
    """The classes outside this library that a value and its fields are made of; None if none are.

    >>> from loopymeta import tasks
    >>> own_classes(tasks.Garbage(tasks.Caesar())) is None
    True
    """
    classes = (cls for part in (value, *_within(value)) for cls in type(part).__mro__)
    return list(dict.fromkeys(filter(is_own, classes))) or None


def _within(value: Any) -> Iterator[Any]:
    """The dataclasses and tuples that the fields of a value hold; arrays are not code."""
    held: Iterable[Any] = ()
    if dataclasses.is_dataclass(value):
        held = [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    elif isinstance(value, (list, tuple, Mapping)):
        held = value.values() if isinstance(value, Mapping) else value
    for each in held:
        if dataclasses.is_dataclass(each) or isinstance(each, (list, tuple, Mapping)):
            yield each
            yield from _within(each)


def hash_of_code(things: Iterable[Any]) -> str | None:
    """SHA-256 of the files that classes and functions are written in.

    It changes with any letter of those files. It does not with the modules that they import, nor
    with what is put in the place of a function while the process runs.

    Returns:
      The hash; None where a file cannot be read (a notebook, an interactive session) or is younger
      than this process, so that what it says may be other than what was loaded.
    """
    try:
        # Of a class of an interactive session inspect says that it is built in, or has no file.
        files = {inspect.getsourcefile(thing) for thing in things}
        sums = set()  # of contents, wherever they lie
        for file in files:
            if file is None or os.path.getmtime(file) > _BEGAN:
                return None
            sums.add(hashlib.sha256(Path(file).read_bytes()).hexdigest())
    except (TypeError, OSError):
        return None
    return hashlib.sha256(" ".join(sorted(sums)).encode()).hexdigest()
