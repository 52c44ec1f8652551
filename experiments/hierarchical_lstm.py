"""Does a level that predicts the change of state below it help an LSTM to read a book?

An LSTM and the hierarchical predictive LSTM read Huckleberry Finn once, character by character, and
then the last tenth of it with their weights frozen. Beside them: the hierarchy with upper levels
that do not learn, whose predictions are then noise that comes from the state below. Each has rates
of its own, and how loud what comes from above is.

    python experiments/hierarchical_lstm.py tune      # rates, on places of the training part
    python experiments/hierarchical_lstm.py report    # figures, samples of text and the picture

Rates are chosen by what is held out of the training part, on seeds of their own; the test part
is read with the chosen ones alone. Every life is written when it is over, so that a run that was
killed goes on where it was. Results: docs/figures/hierarchical_lstm.json and .png, and the part of
docs/hierarchical_lstm.md between its marks, so that no figure is typed by hand.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import loopymeta as lm
from loopymeta.checkpoint import write_atomic
from loopymeta.learners import HierarchicalLSTM, OnlineRNN, recording, sample_text
from loopymeta.learners.learner_plots import plot_changes
from loopymeta.plots import save
from loopymeta.tasks import Text

ROOT = Path(__file__).resolve().parent.parent
SILENT = 1e-12  # a rate at which nothing is learned
LSTM, WHOLE, FROZEN = "LSTM", "hierarchical LSTM", "upper level frozen"


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compared."""

    symbols: int = 200_000
    """Characters that are read and learned from; the training part has 505,000."""
    held_out: int = 40_000
    """Characters of the test part that are read without learning."""
    tune_symbols: int = 60_000
    """Characters of a life on which rates are tried."""
    tune_held_out: int = 10_000
    """Characters of the training part that such a life is judged by."""
    width: int = 128
    """Cells of a level."""
    levels: int = 2
    """Levels of the hierarchy."""
    rates: tuple[float, ...] = (0.024, 0.048, 0.096)
    """Rates of the LSTM, and of the lowest level, that are tried."""
    feedbacks: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """How loud what comes from above is: tried with each rate of the lowest level."""
    upper_rates: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    """Rates of the upper levels that are tried with the best of these."""
    upper_rate: float = 0.003
    """The one at which these are tried."""
    horizon: float = 0.1
    """Part of a life after which rates are halved."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Of the reported lives: places in the book and weights."""
    tune_seeds: tuple[int, ...] = (1001,)
    """Of the lives on which rates are chosen."""
    temperature: float = 0.7
    """Of the samples of text."""
    out: str = "docs/figures/hierarchical_lstm"
    """Where results go, without .json and .png."""


def learner_of(name: str, config: Config, task: Text) -> Any:
    """``lstm`` or ``hierarchical``."""
    if name == "lstm":
        return OnlineRNN.for_spec(task.spec, width=config.width)
    return HierarchicalLSTM.for_spec(task.spec, widths=(config.width,) * config.levels)


class Lives:
    """Lives of learners on a task, each compiled once."""

    def __init__(self, config: Config, task: Text):
        self.config, self.task, self._compiled = config, task, {}

    def __call__(self, name: str, theta: dict[str, float], seed: int) -> tuple[dict, Any, Any]:
        """(figures, state at the end, learner) of a life."""
        if name not in self._compiled:
            learner = learner_of(name, self.config, self.task)
            life = lm.Lifetime(learner, self.task)

            def whole(theta: Any, key: Any) -> Any:
                state, episode = life.start(theta, key)
                state, outcome, _ = life.through(theta, state, episode, key)
                return life.score(outcome, episode)[1], state

            self._compiled[name] = learner, jax.jit(whole)
        learner, whole = self._compiled[name]
        theta = {name: jnp.asarray(value) for name, value in theta.items()}
        begun = time.perf_counter()
        metrics, state = jax.block_until_ready(whole(theta, lm.key(seed)))
        figures = {k: float(v) for k, v in metrics.items() if v.ndim == 0}
        figures["nats_curve"] = np.asarray(metrics["nats_curve"]).tolist()
        return figures | {"seconds": time.perf_counter() - begun}, state, learner


class Results:
    """A table of JSON that is on the disk after every entry."""

    def __init__(self, path: Path, config: Config):
        self.path = path
        self.rows: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        plain = json.loads(json.dumps(dataclasses.asdict(config)))
        if self.rows.setdefault("config", plain) != plain:
            raise SystemExit(f"{path} was made with other options: give those, or another --out")

    def __contains__(self, name: str) -> bool:
        return name in self.rows

    def put(self, name: str, value: Any) -> None:
        """Writes an entry."""
        self.rows[name] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, (json.dumps(self.rows, indent=1) + "\n").encode())


def tune(config: Config) -> dict[str, dict[str, float]]:
    """What has the least bits on what is held out, for each entrant."""
    task = Text(
        "huck_fin",
        symbols=config.tune_symbols,
        held_out="train",
        held_out_symbols=config.tune_held_out,
    )
    results, lives = Results(ROOT / f"{config.out}.json", config), Lives(config, task)

    def tried(name: str, theta: dict[str, float]) -> float:
        bits = []
        for seed in config.tune_seeds:
            entry = f"tune {name} {theta} seed {seed}"
            if entry not in results:
                figures, _, _ = lives(name, theta | {"horizon": config.horizon}, seed)
                results.put(entry, figures)
                print(entry, f"{figures['held_out_bpc']:.4f} bits", flush=True)
            bits.append(results.rows[entry]["held_out_bpc"])
        return float(np.mean(bits))

    def best(name: str, thetas: list[dict[str, float]]) -> dict[str, float]:
        return min(thetas, key=lambda theta: tried(name, theta))

    def stacks(upper_rate: float) -> list[dict[str, float]]:
        return [
            {"learning_rate": rate, "feedback": feedback, "upper_rate": upper_rate}
            for rate, feedback in itertools.product(config.rates, config.feedbacks)
        ]

    one = best("hierarchical", stacks(config.upper_rate))
    chosen = {
        LSTM: best("lstm", [{"learning_rate": rate} for rate in config.rates]),
        WHOLE: best("hierarchical", [one | {"upper_rate": rate} for rate in config.upper_rates]),
        FROZEN: best("hierarchical", stacks(SILENT)),
    }
    results.put("chosen", chosen)
    return chosen


def report(config: Config) -> None:
    """Lives with the chosen rates on fresh seeds, samples of text, and the picture."""
    results = Results(ROOT / f"{config.out}.json", config)
    if "chosen" not in results:
        raise SystemExit("tune first")
    chosen = results.rows["chosen"]
    task = Text(
        "huck_fin", symbols=config.symbols, held_out="test", held_out_symbols=config.held_out
    )
    lives = Lives(config, task)
    kinds = {LSTM: "lstm", WHOLE: "hierarchical", FROZEN: "hierarchical"}
    for seed, (entrant, name) in itertools.product(config.seeds, kinds.items()):
        entry = f"report {entrant} seed {seed}"
        if entry in results:
            continue
        theta = chosen[entrant] | {"horizon": config.horizon}
        figures, state, learner = lives(name, theta, seed)
        if seed == config.seeds[0] and entrant != FROZEN:  # the control
            figures["sample"] = sample_text(
                learner,
                theta,
                state,
                "The ",
                400,
                config.temperature,
                lm.key(seed + 10_000),
                task.spec.symbols,
            )
            if entrant == WHOLE:
                draw(config, learner, theta, state, task)
        results.put(entry, figures)
        print(
            entry,
            f"{figures['prequential_bpc']:.4f} bits, then {figures['test_bpc']:.4f};",
            f"{figures['seconds']:.0f} s",
            flush=True,
        )
    write_docs(results.rows, config)
    print(table(results.rows))


def draw(
    config: Config, learner: Any, theta: Any, state: Any, task: Text, size: int = 3000
) -> None:
    """The change of state at each level, over the end of the test part."""
    life = lm.Lifetime(learner, task, record=recording.cell_state)
    episode = jax.tree.map(lambda x: x[-size:], task.sample(lm.key(0)))
    _, outcome, cells = jax.jit(life.advance)(theta, state, episode, lm.key(0))
    text = "".join(task.spec.symbols[k] for k in np.asarray(episode.stimulus))
    levels = [np.asarray(cells[f"level {k} cells"]) for k in range(config.levels)]
    # The surprise of hearing a character is the loss of the prediction before it.
    surprise = np.concatenate([[0.0], np.asarray(outcome.loss)[:-1]])
    save(plot_changes(levels, text, surprise), ROOT / f"{config.out}.png")


def table(rows: dict[str, Any]) -> str:
    """The reported lives as Markdown: mean and standard deviation over seeds."""
    lines = ["| bits per character | one pass, prequential | last tenth, held out | seconds |"]
    lines.append("|---|---|---|---|")
    entrants = dict.fromkeys(n[7:].split(" seed")[0] for n in rows if n.startswith("report "))
    for entrant in entrants:
        lives = [v for k, v in rows.items() if k.startswith(f"report {entrant} seed")]
        cells = []
        for name, digits in (("prequential_bpc", 3), ("test_bpc", 3), ("seconds", 0)):
            values = [life[name] for life in lives]
            spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.{digits}f}{spread}")
        seeds = f"{len(lives)} seed" + "s" * (len(lives) > 1)
        lines.append(f"| {entrant} ({seeds}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def settings(theta: dict[str, float]) -> str:
    """What an entrant is given, in words."""
    words = {"learning_rate": "rate", "feedback": "feedback", "upper_rate": "upper rate"}
    return ", ".join(
        "upper level frozen" if value == SILENT else f"{words[name]} {value:g}"
        for name, value in theta.items()
    )


def tuning_table(rows: dict[str, Any]) -> str:
    """What was tried, as Markdown."""
    lines = ["| tried | prequential | held out |", "|---|---|---|"]
    for name, figures in rows.items():
        if name.startswith("tune "):
            kind, theta, seed = re.fullmatch(r"tune (\w+) ({.*}) seed (\d+)", name).groups()
            shown = f"{kind}: {settings(json.loads(theta.replace(chr(39), chr(34))))}"
            bits = f"{figures['prequential_bpc']:.3f} | {figures['held_out_bpc']:.3f}"
            lines.append(f"| {shown} (seed {seed}) | {bits} |")
    return "\n".join(lines)


def write_docs(rows: dict[str, Any], config: Config) -> None:
    """Fills the page with what was found."""
    path = ROOT / "docs" / "hierarchical_lstm.md"
    begin, end = "<!-- results -->", "<!-- end -->"
    chosen = "\n".join(f"- {who}: {settings(theta)}" for who, theta in rows["chosen"].items())
    parts = [
        f"{config.symbols:,} characters, then {config.held_out:,} of the last tenth:",
        table(rows),
        f"![Change of state at each level](figures/{Path(config.out).name}.png)",
        f"## Samples\n\nAfter one pass, temperature {config.temperature}, after `The `:",
    ]
    for name, figures in rows.items():
        if name.startswith("report ") and "sample" in figures:
            entrant, text = name[7:].split(" seed")[0], figures["sample"]
            parts.append(f"{entrant}:\n\n```text\n{text}\n```")
    parts += [
        f"## How rates were chosen\n\nBits per character on {config.tune_symbols:,} characters and "
        f"{config.tune_held_out:,} held out of the training part. The rate of the lowest level and "
        f"the feedback were tried together, at an upper rate of {config.upper_rate:g} and with the "
        "upper level frozen; then the upper rate. Chosen:",
        chosen,
        tuning_table(rows),
    ]
    page = path.read_text(encoding="utf-8")
    filled = begin + "\n" + "\n\n".join(parts) + "\n" + end
    page = re.sub(re.escape(begin) + ".*" + re.escape(end), lambda _: filled, page, flags=re.S)
    write_atomic(path, page.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=("tune", "report"))
    parser.add_argument("--symbols", type=int, default=Config.symbols)
    parser.add_argument("--held-out", type=int, default=Config.held_out)
    parser.add_argument("--tune-symbols", type=int, default=Config.tune_symbols)
    parser.add_argument("--width", type=int, default=Config.width)
    parser.add_argument("--levels", type=int, default=Config.levels)
    parser.add_argument("--out", default=Config.out)
    given = vars(parser.parse_args())
    stage = {"tune": tune, "report": report}[given.pop("stage")]
    stage(Config(**given))
