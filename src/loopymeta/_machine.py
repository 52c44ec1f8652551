"""The machine: its cores and its memory, on every system that Python runs on."""

from __future__ import annotations

import importlib.metadata
import os


def num_cores() -> int:
    """Cores that this process may use; where the system does not say, all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Bytes of memory of the machine; None where the system does not say."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return size if size > 0 else None


def check_memory(what: str, num_bytes: float, instead: str) -> None:
    """Refuses what this machine's memory cannot hold: ``what`` take(s) so much, do ``instead``."""
    memory = memory_bytes()
    if memory is not None and num_bytes > memory:
        raise ValueError(
            f"{what} {num_bytes / 1e9:,.0f} GB; this machine has {memory / 1e9:,.0f} GB: {instead}"
        )


# An option of XLA, its value, the first version of jaxlib it was tried in and the first it was not,
# or that does not know it.
_HASTY = (
    ("xla_backend_optimization_level", 0, (0, 0), (9, 9)),
    ("xla_cpu_use_fusion_emitters", False, (0, 10), (0, 11)),
    ("xla_cpu_parallel_codegen_split_count", 1, (0, 10), (0, 13)),
)


def hasty_options() -> dict[str, int | bool]:
    """XLA's options with which a CPU program is compiled in a third of the time, and runs slower.

    XLA ends the process at a flag that it does not know, so that only versions in which they were
    tried get all of them.
    """
    version = tuple(int(part) for part in importlib.metadata.version("jaxlib").split(".")[:2])
    return {name: value for name, value, first, end in _HASTY if first <= version < end}


def hasty_flags() -> str:
    """The same as ``XLA_FLAGS``."""
    return " ".join(f"--{name}={int(value)}" for name, value in hasty_options().items())
