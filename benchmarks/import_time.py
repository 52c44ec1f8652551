"""Seconds that ``import loopymeta`` takes, beside ``import jax`` alone.

python benchmarks/import_time.py [--quick] [--json]
"""

from __future__ import annotations

import statistics
from typing import Any

import _measure
from _measure import Table

NOTE = """Seconds in fresh processes that took turns, from the interpreter's start to its end, less
an interpreter that does nothing. The aim: `import loopymeta` within 0.4 s of `import jax` alone,
also when everything public is touched; `--help` of the command must not import jax."""

STATEMENTS = {
    "nothing": "pass",
    "import jax": "import jax",
    "import loopymeta": "import loopymeta",
    "import jax, loopymeta": "import jax, loopymeta",
    "import jax; from loopymeta import * (all public names)": (
        "import jax, loopymeta\nfor name in loopymeta.__all__: getattr(loopymeta, name)"
    ),
    "loopymeta --help": (
        "import sys; from loopymeta import cli\n"
        "sys.argv = ['loopymeta', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "assert 'jax' not in sys.modules, 'the help imports jax'"
    ),
}


def _run(code: str) -> None:
    """Runs ``code`` in a fresh interpreter that finds this checkout first."""
    import subprocess
    import sys

    path = f"import sys; sys.path.insert(0, {str(_measure.HERE.parent / 'src')!r})\n"
    result = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr.strip().splitlines()[-1])


def measure(quick: bool = False, statements: dict[str, str] = STATEMENTS) -> list[Table]:
    """A row for each statement: fastest and median."""
    import time

    times: dict[str, list[float]] = {name: [] for name in statements}
    remarks: dict[str, str] = {}
    for turn in range(4 if quick else 8):
        for name, code in statements.items():
            if name in remarks:
                continue
            start = time.perf_counter()
            try:
                _run(code)
            except RuntimeError as error:
                remarks[name] = str(error)
                continue
            # The first turn fills the disk cache and writes byte code.
            times[name] += [time.perf_counter() - start] if turn else []
    rows = [_row(name, times, remarks) for name in statements if name != "nothing"]
    return [Table("Import time", NOTE, rows)]


def _row(name: str, times: dict[str, list[float]], remarks: dict[str, str]) -> dict[str, Any]:
    """Fastest and median seconds of one statement, less those of nothing."""
    if name in remarks:
        return {"statement": name, "remark": remarks[name]}
    empty = min(times["nothing"])
    alone = min(times.get("import jax") or [empty])
    return {
        "statement": name,
        "fastest s": min(times[name]) - empty,
        "median s": statistics.median(times[name]) - empty,
        "more than jax alone s": min(times[name]) - alone,
    }


if __name__ == "__main__":
    _measure.main(measure)
