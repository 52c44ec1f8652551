"""What a run shows while it goes on: a live display on a terminal, lines of JSON elsewhere."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from loopymeta import runs
from loopymeta.config import TrainConfig
from loopymeta.runs import Run
from loopymeta.training import Reporter, task_name

HEADLINES = {
    "memorize": ("recall_by_presentation",),
    "delay": ("accuracy_late", "loss"),
    "reversal": ("recall", "sequences", "loss_late"),
    "names": ("prequential_nats", "test_nats", "test_unseen_nats"),
    "text": ("prequential_bpc", "test_bpc", "held_out_bpc"),
    "caesar": ("accuracy", "letters_to_perfect"),
    "copy": ("accuracy_late", "recall_by_place"),
    "selective_copy": ("accuracy_late", "recall_by_place"),
    "resequence": ("accuracy_late", "recall_by_place"),
    "key_recall": ("accuracy_late", "accuracy_by_lag"),
    "multi_query_recall": ("accuracy_late", "accuracy_by_query"),
    "pattern_completion": ("wrong_sign", "wrong_sign_hidden", "loss"),
    "boolean": ("accuracy_late", "examples"),
    "add": ("accuracy_late", "examples"),
    "subtract": ("accuracy_late", "examples"),
    "switch": ("accuracy_late", "examples"),
    "parity": ("accuracy_late", "accuracy_held_out"),
    "modulo": ("accuracy_late", "accuracy_held_out"),
    "signal_propagation": ("accuracy_late", "dependence"),
    "circuit": ("accuracy_late", "memoryless_accuracy"),
    "redundant": ("nmse_late", "examples"),
    "shift": ("loss", "regret"),
    "forgetting": ("accuracy_before", "accuracy_after", "retention", "forward_transfer"),
    "transfer": ("examples_first", "examples_second", "savings"),
    "composition": ("examples_after_parts", "examples_from_scratch", "savings"),
    "speedup": ("ticks_before", "ticks_after", "accuracy_before", "accuracy_after"),
    **dict.fromkeys(
        ("garbage", "perturbed", "zeroed", "lesioned"),
        ("accuracy_control", "accuracy_lost", "excess_loss", "symbols_to_recover"),
    ),
    "henon": ("nmse", "nmse_late"),
    "mackey_glass": ("nmse", "nmse_late"),
    "lorenz": ("nmse", "nmse_late"),
    "sequential_digits": ("prequential_accuracy", "test_accuracy"),
    "omniglot": ("accuracy_late", "seen_once_accuracy"),
}
"""The metrics of a task that its table shows."""

NEXT = {
    "memorize": "loopymeta train memorize --task.length 24",
    "reversal": "loopymeta train reversal --task.n 4 --task.sequences 20000",
    "names": "loopymeta train names --network.num-hidden 512",
}
"""What is worth trying next."""


def _number(value: Any, like: Any = None) -> str:
    """Three decimals; none where the value (or the one it is the spread of) is in the hundreds."""
    value = float(value)
    if not math.isfinite(value):
        return "-"
    size = abs(value if like is None else float(like))
    return f"{value:.0f}" if size >= 100 else f"{value:.3f}"


def format_figure(entry: Mapping[str, Any]) -> str:
    """Mean (and spread) of a metric, a few of them if it is a curve."""
    mean, spread = entry["mean"], entry["spread"]
    if isinstance(mean, list):
        return " ".join(_number(value) for value in mean[:6])
    # Figures read back from a file may hold "nan" as text.
    mean, spread = float(mean), float(spread)
    if not math.isfinite(mean):
        return "not finite"
    return _number(mean) + (f" ± {_number(spread, mean)}" if math.isfinite(spread) else "")


def theta_lines(theta: Any, prefix: str = "") -> list[str]:
    """The numbers of a theta as JSON holds it, a line each; of arrays the shape.

    >>> theta_lines({"rate": 0.012345678, "cell": {"gain": [[1.0, 2.0]]}})
    ['rate = 0.0123457', 'cell.gain: 1 x 2 numbers']
    """
    if isinstance(theta, Mapping):
        inner = ((f"{prefix}.{name}" if prefix else name, value) for name, value in theta.items())
        return [line for name, value in inner for line in theta_lines(value, name)]
    shape = np.shape(theta)
    if shape:
        return [f"{prefix}: {' x '.join(map(str, shape))} numbers"]
    return [f"{prefix} = {float(theta):.6g}"]


class _Tables(Reporter):
    """The table of results, for every kind of display."""

    task = ""

    def next(self, run: Run, rule: Mapping[str, Any]) -> list[str]:
        """Commands worth typing next, after a run that found this."""
        nexts = [f"loopymeta evaluate {run.path} --seed 1", f"loopymeta plot {run.path}"]
        if self.task in NEXT and "learner" not in rule:
            nexts.append(NEXT[self.task])
        return nexts

    def table(self, result: Mapping[str, Any]) -> None:
        """Prints the figures, a learner a row."""
        from rich.console import Console
        from rich.table import Table

        learners = {name: figures for name, figures in result.items() if name != "about"}
        first = next(iter(learners.values()))
        asked = [name for name in HEADLINES.get(self.task, ()) if name in first]
        columns = asked or [n for n, e in first.items() if not isinstance(e["mean"], list)]
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("learner")
        for name in columns:
            table.add_column(name.replace("_", " "), justify="right")
        for name, figures in learners.items():
            style = "bold" if name == "learned" else ""
            cells = [format_figure(figures[c]) if c in figures else "-" for c in columns]
            table.add_row(name, *cells, style=style)
        Console(highlight=False).print(table)


class TerminalReporter(_Tables):
    """A live line: generation, loss, best elite, lifetimes a second, time left."""

    def __init__(self) -> None:
        self._bar: Any = None

    def begin(self, run: Run, config: TrainConfig, generation: int, searched: list[str]) -> None:
        from tqdm.auto import tqdm

        self.task, self.run = task_name(config.task), run
        print(f"run     {run.path}")
        if searched:
            num = config.outer.generations
            print(f"search  {len(searched)} meta-parameters, {num} generations")
        total = config.outer.generations
        if generation:
            print(f"resume  after generation {generation}")
        if generation < total:
            self._bar = tqdm(
                total=total,
                initial=generation,
                desc="compiling",
                dynamic_ncols=True,
                bar_format="{desc} {n_fmt}/{total_fmt} |{bar:12}| {remaining} left{postfix}",
            )

    def compiled(self, what: str, seconds: float) -> None:
        self._bar.set_description("meta-learning")
        self._bar.write(f"compile {seconds:.1f} s (not part of the rates below)")
        self._bar.reset(total=self._bar.total) if not self._bar.n else self._bar.unpause()

    def generation(self, row: Mapping[str, float]) -> None:
        shown = (
            f"loss {row['loss']:.4f}, best {row['best']:.4f}, "
            f"{row['lifetimes_per_second']:,.0f} lifetimes/s"
        )
        if row["nonfinite"]:
            shown += f", {row['nonfinite']:.0f} not finite"
        self._bar.set_postfix_str(shown)
        self._bar.update()

    def end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def stage(self, text: str) -> None:
        self.end()
        print(f"{text} ...", flush=True)

    def note(self, text: str) -> None:
        write = print if self._bar is None else self._bar.write
        write(text)

    def figures(self, name: str, metrics: Mapping[str, Any]) -> None:
        names = [name for name in HEADLINES.get(self.task, ("loss",)) if name in metrics]
        shown = [f"{name.replace('_', ' ')} {format_figure(metrics[name])}" for name in names]
        print(f"  {name:12s} {', '.join(shown)}", flush=True)

    def done(self, run: Run, result: Mapping[str, Any]) -> None:
        about = result["about"]
        print()
        self.table(result)
        limits = f"chance {_number(about['chance'])}"
        if about["floor"] is not None:
            limits += f", no loss below {_number(about['floor'])} nats"
        if "ceiling" in about:
            limits += f", recall at most {' '.join(_number(v) for v in about['ceiling'])}"
        print(f"{limits}; {about['lifetimes']} fresh lifetimes, ± standard deviation over them\n")
        rule = run.read_json("rule.json")
        learner = "learner" in rule
        found = [rule["learner"], *theta_lines(rule["theta"])] if learner else rule["formula"]
        print("\n".join(found))
        print(f"\n{'learner' if learner else 'rule'}, result and figures: {run.path}\nnext:")
        print("\n".join(f"  {each}" for each in self.next(run, rule)))


class LineReporter(_Tables):
    """One line of JSON an event, on standard output, for programs to read."""

    def _line(self, event: str, **values: Any) -> None:
        print(json.dumps({"event": event} | runs.to_dict(values)), flush=True)

    def begin(self, run: Run, config: TrainConfig, generation: int, searched: list[str]) -> None:
        self.task = task_name(config.task)
        self._line("begin", run=str(run.path), generation=generation, searched=searched)

    def compiled(self, what: str, seconds: float) -> None:
        self._line("compiled", what=what, seconds=seconds)

    def generation(self, row: Mapping[str, float]) -> None:
        self._line("generation", **row)

    def stage(self, text: str) -> None:
        self._line("stage", text=text)

    def note(self, text: str) -> None:
        self._line("note", text=text)

    def figures(self, name: str, metrics: Mapping[str, Any]) -> None:
        self._line("figures", learner=name, metrics=metrics)

    def done(self, run: Run, result: Mapping[str, Any]) -> None:
        rule = run.read_json("rule.json")
        if "learner" in rule:
            found = {"learner": rule["learner"], "theta": theta_lines(rule["theta"])}
        else:
            found = {"formula": rule["formula"]}
        self._line("done", run=str(run.path), **found, next=self.next(run, rule))

    def table(self, result: Mapping[str, Any]) -> None:
        """The figures are in the lines already."""
        del result
        sys.stdout.flush()


@contextlib.contextmanager
def life_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal for `loopymeta.living.live_through`, which is given what this yields."""
    from tqdm.auto import tqdm

    form = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}, {remaining} left"
    with tqdm(desc=label, bar_format=form, disable=not sys.stderr.isatty()) as bar:

        def watch(lived: int, length: int) -> None:
            bar.total = length
            bar.update(lived - bar.n)

        yield watch
