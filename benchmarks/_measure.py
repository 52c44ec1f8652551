"""What the benchmarks share: fresh processes, the fastest of several runs, peak memory, tables.

A benchmark is a file with ``measure(quick) -> list[Table]``; `main` makes a command of it. Times
are the fastest of several runs, since other work on the machine only ever adds; figures are to be
compared within one run, not between runs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# What is measured is the source beside this folder, installed or not.
if str(HERE.parent / "src") not in sys.path:
    sys.path.insert(0, str(HERE.parent / "src"))


@dataclasses.dataclass
class Table:
    """A table of measurements: one dict a row; missing values are left blank."""

    title: str
    note: str
    rows: list[dict[str, Any]]

    def markdown(self) -> str:
        """As a Markdown section."""
        if not self.rows:
            return f"## {self.title}\n\n{self.note}\n"
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = [[shown(row.get(name)) for name in names] for row in self.rows]
        table = [names, ["---"] * len(names), *lines]
        body = "\n".join("| " + " | ".join(line) + " |" for line in table)
        return f"## {self.title}\n\n{self.note}\n\n{body}\n"


def shown(value: Any) -> str:
    """A value as a table shows it: three significant digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def environment() -> dict[str, str]:
    """The device, the versions and the date, in words."""
    import jax

    from loopymeta._machine import num_cores

    device = jax.devices()[0]
    name = device.device_kind if device.platform != "cpu" else f"CPU {_processor()}"
    versions = {
        package: importlib.metadata.version(package) for package in ("jax", "jaxlib", "numpy")
    }
    return {
        "device": name,
        "cores": str(num_cores()),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load": f"{os.getloadavg()[0]:.1f} before the start" if hasattr(os, "getloadavg") else "",
        "python": platform.python_version(),
        **versions,
        "loopymeta": _version(),
    }


def _version() -> str:
    """Of the sources beside this folder, or else of what is installed."""
    found = importlib.util.find_spec("loopymeta._version")
    return getattr(importlib.import_module(found.name), "__version__", "") if found else ""


def _processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def fastest(
    runs: dict[str, Callable[[], Any]],
    repeats: int,
    enough: float = 0.0,
    before: dict[str, Callable[[], Any]] | None = None,
) -> dict[str, float]:
    """Seconds of the fastest of ``repeats`` runs of each (more, until ``enough`` seconds are up).

    They take turns, so that what else the machine does meanwhile meets them all alike. What is
    named in ``before`` is called, untimed, before each run of that name.
    """
    best = dict.fromkeys(runs, float("inf"))
    begin, done = time.perf_counter(), 0
    while done < repeats or time.perf_counter() - begin < enough:
        for name, run in runs.items():
            (before or {}).get(name, int)()
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
        done += 1
    return best


class PeakMemory:
    """Bytes by which the device's memory (of the process, on a CPU) rises at most from here on."""

    def __init__(self) -> None:
        # Linux forgets the highest resident size so far on this; elsewhere it stays, and the rise
        # is a lower bound.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._start = self._resident("VmRSS:")

    @staticmethod
    def _resident(what: str) -> int:
        try:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith(what):
                    return int(line.split()[1]) * 1024
        except OSError:
            pass
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def rise(self) -> int:
        """The rise so far."""
        import jax

        stats = jax.devices()[0].memory_stats()
        if stats:
            return stats["peak_bytes_in_use"]
        return self._resident("VmHWM:") - self._start


def available_memory() -> int:
    """Bytes free for a benchmark: of the device, or of the machine on a CPU."""
    import jax

    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30


def in_fresh_process(script: Path | str, *arguments: str, env: dict[str, str] | None = None) -> Any:
    """What ``python script arguments`` prints as the last line, read as JSON.

    Raises:
      RuntimeError: it failed; with the end of what it wrote.
    """
    result = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | (env or {}),
        check=False,
    )
    if result.returncode:
        raise RuntimeError(
            f"{Path(script).name} {' '.join(arguments)} failed:\n{result.stderr[-2000:]}"
        )
    return json.loads(result.stdout.strip().splitlines()[-1])


def run_case(script: Path | str, given: dict[str, Any], env: dict[str, str] | None = None) -> dict:
    """The benchmark's own ``case(**given)`` in a fresh process; a failure becomes a remark."""
    try:
        return in_fresh_process(script, "--case", json.dumps(given), env=env)
    except RuntimeError as error:
        return {**given, "remark": str(error).strip().splitlines()[-1]}


def main(measure: Callable[[bool], list[Table]], case: Callable[..., dict] | None = None) -> None:
    """The command of a benchmark: prints its tables, or, with ``--json``, the rows as JSON.

    ``case`` is what the benchmark itself runs in fresh processes, with ``--case '{...}'``.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, fewer repetitions")
    parser.add_argument("--json", action="store_true", help="print the tables as one line of JSON")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(case(**json.loads(given.case))))
        return
    tables = measure(given.quick)
    if given.json:
        print(json.dumps([dataclasses.asdict(table) for table in tables]))
    else:
        print("\n".join(table.markdown() for table in tables))
