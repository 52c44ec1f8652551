"""Every benchmark on whatever device there is; writes a table with the device's name.

    python benchmarks/all.py [--quick] [--only step import_time]

writes benchmarks/results/<device>.md and .json (``<device>-quick`` for a quick run); what
``--only`` leaves out stays there as it was. Each benchmark is another file of this folder with a
command of its own and runs in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import _measure
from _measure import Table

RESULTS = _measure.HERE / "results"


def benchmarks() -> list[Path]:
    """All benchmarks: the folder's files but this one and those of an underscore."""
    files = sorted(_measure.HERE.glob("*.py"))
    return [file for file in files if file.name != "all.py" and not file.name.startswith("_")]


def environment() -> dict[str, str]:
    """`_measure.environment`, asked in a process of its own: this one must not hold the device."""
    code = "import json, _measure; print(json.dumps(_measure.environment()))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_measure.HERE
    )
    return json.loads(result.stdout.strip().splitlines()[-1])


def write(folder: Path, measured: dict[str, dict[str, Any]], quick: bool) -> Path:
    """Adds what was measured to the device's Markdown and JSON; returns the Markdown's path.

    Args:
      folder: where they are.
      measured: benchmark -> its ``tables`` and the ``environment`` in which they were measured.
      quick: whether sizes were small.
    """
    where = next(iter(measured.values()))["environment"]
    words = [
        where["device"],
        f"{where['cores']} cores" if where["device"].startswith("CPU") else "",
    ]
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-") + "-quick" * quick
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    record = path.with_suffix(".json")
    known = json.loads(record.read_text()) if record.exists() else {}
    whole = {"environment", "tables"}
    known = {k: v for k, v in known.items() if isinstance(v, dict) and v.keys() >= whole}
    known = dict(sorted((known | measured).items()))
    parts = [f"# {where['device']}", *["Small sizes, few repetitions."] * quick]
    for benchmark, found in known.items():
        facts = ", ".join(
            f"{k} {v}" for k, v in found["environment"].items() if v and k != "device"
        )
        parts.append(f"`python benchmarks/{benchmark}.py`: {facts}")
        parts += [Table(**table).markdown() for table in found["tables"]]
    path.write_text("\n\n".join(part.strip() for part in parts) + "\n")
    record.write_text(json.dumps(known, indent=1) + "\n")
    return path


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measures everything there is.")
    parser.add_argument("--quick", action="store_true", help="small sizes, fewer repetitions")
    names = [file.stem for file in benchmarks()]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="some of them")
    given = parser.parse_args()
    measured: dict[str, dict[str, Any]] = {}
    for name in given.only:
        print(f"{name} ...", flush=True)
        options = ["--quick"] if given.quick else []
        try:
            where = environment()
            found = _measure.in_fresh_process(_measure.HERE / f"{name}.py", "--json", *options)
        except RuntimeError as error:
            print(f"{name} failed: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
            continue
        measured[name] = {"environment": where, "tables": found}
        path = write(RESULTS, measured, given.quick)
        print("\n".join(Table(**table).markdown() for table in found))
        print(f"written to {path} and {path.with_suffix('.json').name}")
    if len(measured) < len(given.only):
        sys.exit(1)


if __name__ == "__main__":
    main()
