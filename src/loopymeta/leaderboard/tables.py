"""A board as tables: for a terminal, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from typing import Any

from loopymeta.leaderboard.board import sizes, verdicts
from loopymeta.leaderboard.entrants import CHANCE


def number(value: float) -> str:
    """A figure in few letters."""
    if abs(value) >= 1e4:
        return f"{value:.0e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3f}"


_SHORT = {"unable": "-", "failed": "failed", "not finite": "not finite"}


def _shown(cell: Mapping[str, Any], spread: bool = True) -> str:
    """A cell of a table: mean ± spread, or why there is none."""
    if "mean" not in cell:
        return _SHORT.get(cell["status"], cell["status"])
    text = number(cell["mean"])
    # 0.905 ±.007: a table of many columns has no room for zeros.
    return f"{text} ±{number(cell['spread']).removeprefix('0')}" if spread else text


def rows(board: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[Any], list[bool]]]:
    """Task by task: (task, its cells, which of them are the best)."""
    names = [entrant["name"] for entrant in board["entrants"]]
    cells = {(cell["task"], cell["entrant"]): cell for cell in board["cells"]}
    for task in board["tasks"]:
        row = [cells[task["name"], name] for name in names]
        sign = 1 if task["higher_is_better"] else -1
        # Chance is a limit, not a learner; and who is no better is not the best.
        gains = [sign * c["mean"] for c in row if "mean" in c and c["entrant"] != CHANCE]
        top = number(max(gains, default=math.nan))
        best = [
            "mean" in c
            and c["entrant"] != CHANCE
            and c.get("score", 0) > 0
            and number(sign * c["mean"]) == top
            for c in row
        ]
        yield task, row, best


def label(task: Mapping[str, Any]) -> str:
    """What a task is called, and which way is better."""
    return f"{task['name']} {'↑' if task['higher_is_better'] else '↓'}"


def limit(task: Mapping[str, Any]) -> str:
    """The best figure that can be on a task."""
    return "?" if task["best"] is None else number(task["best"])


def table(board: Mapping[str, Any], width: int = 200) -> Any:
    """The leaderboard for a terminal of so many columns, as a rich table: tasks by entrants."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    spread = width >= 34 + 13 * len(board["entrants"])
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    shown.add_column("task", no_wrap=True)
    for entrant in board["entrants"]:
        test = entrant["kind"] == "rule" and entrant["control"] == "none"
        style = "" if test or entrant["kind"] == "learner" else "dim"
        # Names are folded, figures never are.
        least = 11 if spread else 6
        name = entrant["name"]
        shown.add_column(name, justify="right", style=style, min_width=least, overflow="fold")
    shown.add_column("best possible", justify="right", style="dim", min_width=8, max_width=8)
    family = None
    for task, row, best in rows(board):
        if task["family"] != family:
            if family is not None:
                shown.add_section()
            family = task["family"]
            shown.add_row(Text(family, style="italic cyan"))
        cells = []
        for cell, bold in zip(row, best, strict=True):
            bad = cell["status"] in ("failed", "below floor", "not finite")
            look = "bold green" if bold else "red" if bad else ""
            cells.append(Text(_shown(cell, spread), style=look))
        shown.add_row(f"  {label(task)}", *cells, limit(task))
    return shown


def reasons(board: Mapping[str, Any]) -> list[str]:
    """Why cells have no figure: a line for each reason, with the tasks that it holds for."""
    where: dict[tuple[str, str, str], list[str]] = {}
    for cell in board["cells"]:
        if "reason" in cell:
            key = (cell["entrant"], cell["status"], _general(cell["reason"], cell["status"]))
            where.setdefault(key, []).append(cell["task"])
    return [
        f"{entrant}, {status} on {', '.join(tasks)}: {reason}"
        for (entrant, status, reason), tasks in where.items()
    ]


def _general(reason: str, status: str) -> str:
    """A reason without the name of the task that it was given for, which stands before it."""
    return reason.partition("; those of ")[0] if status == "unable" else reason


def markdown(board: Mapping[str, Any]) -> str:
    """The leaderboard as a Markdown page."""
    about, names = board["about"], [entrant["name"] for entrant in board["entrants"]]
    escape = lambda text: text.replace("|", "\\|")  # noqa: E731
    lines = [
        f"Mean ± standard deviation over {about['seeds']} fresh seeds; ↑ higher is better, ↓ lower "
        "is better; the best in bold; `best possible` is the floor or what is perfect, ? where it "
        f"is not known. {sizes(board)}",
        "",
        f"| task | metric | {' | '.join(escape(name) for name in names)} | best possible |",
        f"|---|---|{'---|' * (len(names) + 1)}",
    ]
    family = None
    for task, row, best in rows(board):
        if task["family"] != family:
            family = task["family"]
            lines.append(f"| *{family}* |{' |' * (len(names) + 2)}")
        cells = [f"**{_shown(c)}**" if b else _shown(c) for c, b in zip(row, best, strict=True)]
        metric = task["metric"].replace("_", " ")
        lines.append(f"| {label(task)} | {metric} | {' | '.join(cells)} | {limit(task)} |")
    for title, sentences in (("", verdicts(board)), ("Without a figure:", reasons(board))):
        if sentences:
            lines += ["", *([title, ""] if title else []), *(f"- {escape(s)}" for s in sentences)]
    return "\n".join(lines) + "\n"


COLUMNS = (
    *("task", "family", "metric", "higher_is_better", "entrant", "kind", "rule", "control"),
    *("status", "seed", "value", "loss", "best", "floor", "symbols"),
    *("seconds", "compile_seconds", "symbols_per_second", "reason"),
)


def long_csv(board: Mapping[str, Any]) -> str:
    """The leaderboard as CSV, a row for each task, entrant and seed.

    The seconds are those of all seeds of a cell together.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    who = {entrant["name"]: entrant for entrant in board["entrants"]}
    tasks = {task["name"]: task for task in board["tasks"]}
    for cell in board["cells"]:
        row = {**tasks[cell["task"]], **who[cell["entrant"]], **cell}
        row |= {"task": cell["task"], "compile_seconds": cell.get("compile", "")}
        # A figure that is no result is not to be found among the results.
        honest = zip(cell["values"], cell["losses"], strict=True) if "mean" in cell else [("", "")]
        for seed, (value, loss) in enumerate(honest):
            writer.writerow(row | {"seed": seed, "value": value, "loss": loss})
    return text.getvalue()
