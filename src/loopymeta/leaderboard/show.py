"""What is shown of a comparison while it goes on, and what is printed and written at its end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loopymeta import runs
from loopymeta.checkpoint import write_atomic
from loopymeta.leaderboard.board import sizes, verdicts
from loopymeta.leaderboard.cells import Cell, Result
from loopymeta.leaderboard.comparison import Watcher
from loopymeta.leaderboard.plots import heat_map
from loopymeta.leaderboard.tables import long_csv, markdown, reasons, table


def _seconds(result: Result) -> str:
    if result["status"] != "ok":
        return f"{result['status']}: {result['reason']}"
    rate = result["symbols"] * len(result["metrics"]["loss"]) / max(result["seconds"], 1e-9)
    return (
        f"{result['seconds']:.1f} s and {result['compile_seconds']:.1f} s of compiling, "
        f"{rate:,.0f} symbols/s"
    )


class TerminalWatcher(Watcher):
    """A bar; failures, and what is worth knowing, as lines above it."""

    def begin(self, cells: int, kept: int) -> None:
        from tqdm.auto import tqdm

        form = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}, {remaining} left{postfix}"
        self._bar = tqdm(total=cells, initial=kept, desc="cells", bar_format=form)

    def started(self, cell: Cell, process: int) -> None:
        self._bar.set_postfix_str(f"{cell.entrant} on {cell.task}")

    def finished(self, cell: Cell, result: Result) -> None:
        if result["status"] == "failed":
            self._bar.write(f"{cell.entrant} on {cell.task}: {_seconds(result)}")
        self._bar.update()

    def note(self, text: str) -> None:
        print(text)

    def end(self) -> None:
        self._bar.set_postfix_str("")
        self._bar.close()


class LineWatcher(Watcher):
    """One line of JSON an event, on standard output, for programs to read."""

    def _line(self, event: str, **values: Any) -> None:
        print(json.dumps({"event": event} | runs.to_dict(values)), flush=True)

    def begin(self, cells: int, kept: int) -> None:
        self._line("begin", cells=cells, kept=kept)

    def started(self, cell: Cell, process: int) -> None:
        self._line("started", entrant=cell.entrant, task=cell.task, process=process)

    def finished(self, cell: Cell, result: Result) -> None:
        self._line("finished", entrant=cell.entrant, task=cell.task, cell=cell.digest, **result)

    def note(self, text: str) -> None:
        self._line("note", text=text)


def write(board: Mapping[str, Any], out: str | os.PathLike[str]) -> list[Path]:
    """Writes leaderboard.json, .csv, .md and .png into a folder: the files."""
    from loopymeta import plots

    out = Path(out)
    texts = {
        "json": json.dumps(board, indent=1, allow_nan=False) + "\n",
        "csv": long_csv(board),
        "md": markdown(board),
    }
    files = []
    for suffix, text in texts.items():
        files.append(out / f"leaderboard.{suffix}")
        write_atomic(files[-1], text.encode())
    files.append(plots.save(heat_map(board), out / "leaderboard.png"))
    return files


def report(board: Mapping[str, Any], out: str | os.PathLike[str], *, on_terminal: bool) -> int:
    """Prints a leaderboard and writes its files; the exit status: 1 if a cell failed, else 0."""
    files = write(board, out)
    failed = sum(cell["status"] == "failed" for cell in board["cells"])
    if not on_terminal:
        done = {"failed": failed, "files": [str(file) for file in files]}
        said = {"sizes": sizes(board), "verdicts": verdicts(board), "reasons": reasons(board)}
        LineWatcher()._line("done", **said, **done)
        return int(failed > 0)
    from rich.console import Console

    console = Console(highlight=False)
    console.print(table(board, console.width))
    console.print(
        f"mean ± standard deviation over {board['about']['seeds']} fresh seeds; ↑ higher is "
        "better, ↓ lower is better; best possible: the floor, or what is perfect; ?: not known\n"
        f"{sizes(board)}"
    )
    for lines in (verdicts(board), reasons(board), [f"files: {', '.join(map(str, files))}"]):
        for line in lines:
            console.print(f"\n{line}" if line is lines[0] else line, markup=False)
    if failed:
        console.print(f"\n{failed} cells failed; the same command tries them again")
    return int(failed > 0)
