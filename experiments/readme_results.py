"""Writes the result tables of the README from run folders, so that no figure is typed by hand.

    loopymeta train memorize --name memorize
    python experiments/readme_results.py runs/memorize runs/reversal runs/names

Each run fills the part of the README between ``<!-- results: NAME -->`` and ``<!-- end -->``, NAME
being the run folder's name, and copies its main figure to docs/figures/.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from loopymeta.progress import HEADLINES, format_figure
from loopymeta.runs import Run

ROOT = Path(__file__).resolve().parent.parent
FIGURES = {
    "memorize": "recall_by_presentation",
    "reversal": "recall_curve",
    "names": "ladder",
}
COMMANDS = {
    "memorize": "loopymeta train memorize",
    "reversal": "loopymeta train reversal",
    "reversal-4": "loopymeta train reversal --task.n 4 --task.sequences 20000",
    "names": "loopymeta train names",
}


def table(result: dict) -> str:
    """The figures as a Markdown table, a learner a row."""
    learners = {name: figures for name, figures in result.items() if name != "about"}
    columns = [c for c in HEADLINES[result["about"]["task"]] if c in learners["learned"]]
    lines = ["| | " + " | ".join(c.replace("_", " ") for c in columns) + " |"]
    lines.append("|---|" + "---|" * len(columns))
    for name, figures in learners.items():
        cells = [format_figure(figures[c]) if c in figures else "" for c in columns]
        mark = "**" if name == "learned" else ""
        lines.append(f"| {mark}{name}{mark} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def section(run: Run) -> str:
    """The README's text of one run: command, table, figure."""
    result, name = run.read_json("result.json"), run.path.name
    about = result["about"]
    limits = [f"chance {about['chance']:.3f}"]
    if about.get("floor") is not None:
        limits.append(f"no mean loss below {about['floor']:.4f} nats")
    if "ceiling" in about:
        shown = " ".join(f"{value:.3f}" for value in about["ceiling"])
        limits.append(f"recall at most {shown} for a learner that does not know the length")
    text = [
        f"`{COMMANDS.get(name, name)}`: {about['lifetimes']} fresh lifetimes of "
        f"{about['symbols']:,} symbols; {'; '.join(limits)}.",
        "",
        table(result),
    ]
    figure = FIGURES.get(about["task"])
    source = run.path / "figures" / f"{figure}.png"
    if figure and source.exists():
        target = ROOT / "docs" / "figures" / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        text += ["", f"![{name}: {figure.replace('_', ' ')}](docs/figures/{name}.png)"]
    return "\n".join(text)


def main(folders: list[str]) -> None:
    """Fills the README."""
    path = ROOT / "README.md"
    readme = path.read_text(encoding="utf-8")
    for folder in folders:
        run = Run.open(folder)
        begin, end = f"<!-- results: {run.path.name} -->", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(readme):
            raise ValueError(f"the README has no part {begin} ... {end}")
        filled = f"{begin}\n{section(run)}\n{end}"
        readme = pattern.sub(lambda _, filled=filled: filled, readme)
    path.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+")
    main(parser.parse_args().runs)
