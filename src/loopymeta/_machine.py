"""The machine: its cores and its memory, on every system that Python runs on."""

from __future__ import annotations

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
