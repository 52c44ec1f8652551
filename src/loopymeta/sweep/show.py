"""How a sweep goes, for programs and for people."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from loopymeta import runs


def say_line(event: str, **values: Any) -> None:
    """One line of JSON an event."""
    print(json.dumps({"event": event} | runs.to_dict(values)), flush=True)


def say_terminal(event: str, **values: Any) -> None:
    """An event of a sweep for a person at a terminal."""
    short = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in values.items()}
    chosen = [
        f"{name}={f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in values.get("values", {}).items()
    ]
    if event == "begin":
        print(f"sweep   {values['folder']}\ntasks   {', '.join(values['tasks'])}")
        print(f"points  {values['points']}, {values['done']} of them done")
    elif event == "stage":
        print(f"{values['text']} ...")
    elif event == "point" and values["state"] == "impossible":
        print(f"{values['number']:4d}  impossible: {values['reason']}")
    elif event == "point":
        loss = f"{values['loss']:.4f}" + ("" if values["state"] == "complete" else " (pruned)")
        best = "-" if values["best"] is None else f"{values['best']:.4f}"
        print(f"{values['number']:4d}  loss {loss}, best {best}, {short['seconds']} s")
        indent = " " * 6
        print(textwrap.fill(" ".join(chosen), 96, initial_indent=indent, subsequent_indent=indent))
    elif event == "finalist":
        print(
            f"  point {values['number']}: {values['search']:.4f} in the search, "
            f"{values['choose']:.4f} on fresh lifetimes"
        )
    elif event == "done":
        _show(values, chosen)
    sys.stdout.flush()


def _show(result: Mapping[str, Any], chosen: list[str]) -> None:
    """The end of a sweep: the best beside what was before, what matters, where it is."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("loss (0 floor, 1 chance)", "best", "before the sweep"):
        table.add_column(column, justify="left" if "loss" in column else "right")
    both = [result["fresh"], result["before"]]
    for name in result["fresh"]["tasks"]:
        cells = [each["tasks"][name] if "tasks" in each else None for each in both]
        table.add_row(name, *(f"{c['mean']:.3f} ± {c['spread']:.3f}" if c else "-" for c in cells))
    cells = [f"{e['mean']:.3f} ± {e['standard_error']:.3f}" if "mean" in e else "-" for e in both]
    table.add_row("mean", *cells, style="bold")
    print()
    Console(highlight=False).print(table)
    print(
        f"{result['lifetimes']} fresh lifetimes a task; ± standard deviation over them (of the "
        "mean, its standard error)\n"
    )
    print(f"best, point {result['number']}: {' '.join(chosen)}")
    if not better(result):
        print("no better than before the sweep, within two standard errors: take what was there")
    if above := [name for name, (share, chance) in result["importances"].items() if share > chance]:
        print(f"what matters (above chance): {', '.join(above)}")
    folder = result["folder"]
    whole = "best learner" if "learner" in result else "best network, rule"
    print(f"points, {whole} and figure: {folder}\nnext:")
    print(f"  loopymeta evaluate {evaluated(result)}")
    print(f"  loopymeta sweep --resume {folder} --points N")


def better(result: Mapping[str, Any]) -> bool:
    """Whether the best point has less loss than what was before, by more than may be chance."""
    fresh, before = result["fresh"], result["before"]
    if "mean" not in before:
        return True
    errors = [each["standard_error"] for each in (fresh, before)]
    chance = 2 * math.hypot(*(error if math.isfinite(error) else 0.0 for error in errors))
    return before["mean"] - fresh["mean"] > chance


def evaluated(result: Mapping[str, Any]) -> str:
    """What ``loopymeta evaluate`` is to be given: the best network, or learner and first task."""
    if "learner" not in result:
        return f"{result['folder']}/rule.json"
    task = next(iter(result["fresh"]["tasks"]))
    # A name alone would be the task of a recipe, which may be a longer one.
    task = task if "(" in task else f"{task}()"
    return f"{_quoted(result['learner'])} --task {_quoted(task)}"


def _quoted(text: str) -> str:
    """A text as one word of a shell: most have single quotes inside, and nothing of a shell's."""
    return shlex.quote(text) if re.search(r'["$`\\!]', text) else f'"{text}"'
