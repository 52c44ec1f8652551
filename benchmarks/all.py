"""Every benchmark on whatever device there is; writes a table with the device's name.

    python benchmarks/all.py [--quick] [--only step import_time]

writes benchmarks/results/<device>.md and .json (``<device>-quick`` for a quick run). Each benchmark
is another file of this folder with a command of its own and runs in a fresh process.
"""

from __future__ import annotations

import argparse
import dataclasses
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


def write(folder: Path, where: dict[str, str], tables: list[Table], quick: bool) -> Path:
    """Writes the tables as Markdown and JSON, named for the device; returns the Markdown's path."""
    words = [
        where["device"],
        f"{where['cores']} cores" if where["device"].startswith("CPU") else "",
    ]
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-") + "-quick" * quick
    folder.mkdir(parents=True, exist_ok=True)
    facts = "\n".join(f"- {key}: {value}" for key, value in where.items() if value)
    kind = "Quick run: small sizes, few repetitions.\n\n" if quick else ""
    text = f"# {where['device']}\n\n{kind}{facts}\n\n" + "\n".join(t.markdown() for t in tables)
    path = folder / f"{name}.md"
    path.write_text(text)
    record: dict[str, Any] = {
        "environment": where,
        "quick": quick,
        "tables": [dataclasses.asdict(table) for table in tables],
    }
    path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    return path


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measures everything there is.")
    parser.add_argument("--quick", action="store_true", help="small sizes, fewer repetitions")
    names = [file.stem for file in benchmarks()]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="some of them")
    given = parser.parse_args()
    where, tables = environment(), []
    for name in given.only:
        print(f"{name} ...", flush=True)
        options = ["--quick"] if given.quick else []
        try:
            found = _measure.in_fresh_process(_measure.HERE / f"{name}.py", "--json", *options)
        except RuntimeError as error:
            tables.append(Table(name, f"Failed: {str(error).strip().splitlines()[-1]}", []))
            continue
        tables += [Table(**table) for table in found]
    path = write(RESULTS, where, tables, given.quick)
    print(path.read_text())
    print(f"written to {path} and {path.with_suffix('.json').name}")
    if any(table.note.startswith("Failed") for table in tables):
        sys.exit(1)


if __name__ == "__main__":
    main()
