"""What does plastic memory make of names, and does it matter in which order they come?

Three parts: the order of the samples (the same names in the order of the file, sorted, by length
and shuffled: the graph, and what predicting them cost), the learners on names as everyone lives
them (tuned on the development names, then the test names on fresh seeds), and the figures.

    python experiments/plastic_memory.py order [--names 5000] [--shuffles 5] --out FOLDER
    python experiments/plastic_memory.py tune --out FOLDER
    python experiments/plastic_memory.py test --out FOLDER
    python experiments/plastic_memory.py figures --out FOLDER
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from loopymeta import data, plots, tasks
from loopymeta.learners import PPM, HostLearner, PlasticMemory, PlasticMemoryLearner, live_on_host
from loopymeta.learners import plastic_memory_plots as drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclasses.dataclass(frozen=True)
class Config:
    """What is done."""

    part: str = "order"
    """``order``, ``tune``, ``test`` or ``figures``."""
    out: str = "."
    """Folder for what comes of it."""
    names: int = 5000
    """Names whose order is studied, drawn from the file by seed 0."""
    shuffles: int = 5
    """Random orders, of seeds 0, 1, ..."""


# --- the order of the samples --------------------------------------------------------------------


def orders(names: list[str], shuffles: int) -> dict[str, list[list[str]]]:
    """The same names in several orders; of the random ones there are several."""

    def shuffled(seed: int) -> list[str]:
        return random.Random(seed).sample(names, len(names))

    return {
        "file": [names],
        "sorted": [sorted(names)],
        "short first": [sorted(names, key=len)],
        "long first": [sorted(names, key=len, reverse=True)],
        "shuffled": [shuffled(seed) for seed in range(shuffles)],
    }


def figures_of(names: list[str]) -> dict[str, float]:
    """What comes of a memory that observes names in this order."""
    memory = PlasticMemory(alphabet=LETTERS)
    losses = memory.prequential(names)
    patterns = memory.patterns()
    half = len(losses) // 2
    return {
        "nodes": len(patterns),
        "edges": len(memory.edges()),
        "levels": 1 + max(each.level for each in patterns),
        "mean level": float(np.mean([each.level for each in patterns])),
        "sum of counts": sum(each.count for each in patterns),
        "nats, all": float(losses.mean()),
        "nats, second half": float(losses[half:].mean()),
    }


def study_order(config: Config) -> dict[str, dict[str, list[float]]]:
    """Every figure of every order, a number for each time."""
    names = data.read_text("names").splitlines()
    chosen = set(random.Random(0).sample(range(len(names)), config.names))
    names = [name for at, name in enumerate(names) if at in chosen]
    found: dict[str, dict[str, list[float]]] = {}
    for order, each in orders(names, config.shuffles).items():
        rows = [figures_of(row) for row in each]
        found[order] = {what: [row[what] for row in rows] for what in rows[0]}
        means = {what: round(float(np.mean(values)), 4) for what, values in found[order].items()}
        print(f"{order:12} {means}", flush=True)
    return found


def order_figure(found: dict[str, dict[str, list[float]]], num_names: int) -> Figure:
    """Prequential loss and sum of counts by the order of the samples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(found)
    for axes, what, label in (
        (left, "nats, all", "prequential loss, nats per symbol"),
        (right, "sum of counts", "sum of all counts"),
    ):
        for place, name in enumerate(names):
            values = np.array(found[name][what])
            axes.scatter(values, np.full(len(values), place), s=46, color=plots.BLUE, alpha=0.75)
            text = f"{values.mean():.3f}" if values.max() < 100 else f"{values.mean():,.0f}"
            axes.annotate(
                text, (values.max(), place), (8, 0), textcoords="offset points", va="center"
            )
        axes.set_xlabel(label, fontsize=12)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#eeeeee")
        axes.set_axisbelow(True)
        axes.margins(x=0.18, y=0.12)
        axes.locator_params(axis="x", nbins=5)
    left.set_yticks(range(len(names)), names, fontsize=12)
    left.invert_yaxis()
    shuffles = len(found["shuffled"]["nats, all"])
    figure.suptitle(
        f"{num_names:,} names in different orders ({shuffles} shuffles): one graph, other counts",
        x=0.01,
        ha="left",
        fontsize=14,
    )
    return figure


# --- on names, as everyone lives them ------------------------------------------------------------

TRIED: dict[str, HostLearner] = {
    f"PPM, order {order}, {counting}": PPM(27, 27, order, counting, boundary=0)
    for order, counting in (
        *((3, "single"), (4, "single"), (5, "single")),
        *((3, "all"), (4, "all"), (5, "all")),
    )
} | {
    f"plastic memory, order {order}, discount {discount}": PlasticMemoryLearner(
        27, 27, boundary=0, letters="." + LETTERS, order=order, discount=discount
    )
    for order, discount in ((3, 0.85), (4, 0.75), (4, 0.85), (5, 0.85))
}


def live(learner: HostLearner, held_out: str, seeds: tuple[int, ...]) -> dict[str, list[float]]:
    """Prequential and held-out nats, and processor seconds, of one pass over the names."""
    task = tasks.Names(held_out=held_out)
    found = collections.defaultdict(list)
    for seed in seeds:
        began = time.process_time()
        _, metrics = live_on_host(learner, task, jax.random.key(seed))
        found["seconds"].append(time.process_time() - began)
        for name in ("prequential_nats", f"{held_out}_nats"):
            found[name].append(float(metrics[name]))
    return dict(found)


def tune(config: Config) -> dict[str, dict[str, list[float]]]:
    """Every setting on the development names, seed 0."""
    found = {}
    for name, learner in TRIED.items():
        found[name] = live(learner, "dev", (0,))
        print(name, found[name], flush=True)
    return found


def test(config: Config) -> dict[str, dict[str, list[float]]]:
    """The defaults on the test names, seeds 2, 3 and 4, as the other baselines."""
    task = tasks.Names(held_out="test")
    found = {}
    for learner in (PPM.for_task(task), PlasticMemoryLearner.for_task(task)):
        found[type(learner).__name__] = live(learner, "test", (2, 3, 4))
        print(learner, found[type(learner).__name__], flush=True)
    return found


# --- figures -------------------------------------------------------------------------------------


def draw(config: Config) -> dict[str, float]:
    """The graph of 40 names with a completion, shared parts, a completion, a page of all names."""
    out = Path(config.out)
    names = data.read_text("names").splitlines()
    few = PlasticMemory()
    for name in names[:40]:
        few.observe(name)
    path = [step.pattern for step in few.steps("a")]
    plots.save(
        drawn.graph_figure(few, path, "Plastic memory after 40 names"), out / "forty_names.png"
    )
    shared = PlasticMemory(("prefix", "suffix", "infix"))
    for word in ("talking", "walking", "walked"):
        shared.observe(word)
    plots.save(
        drawn.graph_figure(shared, (), "Shared prefixes, suffixes and infixes"),
        out / "shared_parts.png",
    )
    whole = PlasticMemory()
    began = time.process_time()
    for name in names:
        whole.observe(name)
    seconds = time.process_time() - began
    steps = whole.steps("m")
    title = f'How "m" is completed after {len(names):,} names'
    plots.save(drawn.completion_figure(steps, title), out / "completion.png")
    drawn.write_html(whole, out / "names.html", f"Plastic memory: {len(names):,} names")
    print(f"{len(names):,} names, {len(whole.patterns()):,} patterns: {seconds:.2f} s")
    return {"seconds": seconds, "patterns": len(whole.patterns())}


def main(config: Config) -> dict:
    """Does a part and writes what came of it."""
    parts = {"order": study_order, "tune": tune, "test": test, "figures": draw}
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    found = parts[config.part](config)
    if config.part == "order":
        plots.save(order_figure(found, config.names), out / "order.png")
    text = json.dumps({"config": dataclasses.asdict(config), "found": found}, indent=2)
    (out / f"{config.part}.json").write_text(text + "\n")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=("order", "tune", "test", "figures"))
    parser.add_argument("--out", required=True, help="folder for figures and numbers")
    parser.add_argument("--names", type=int, default=Config.names)
    parser.add_argument("--shuffles", type=int, default=Config.shuffles)
    given = parser.parse_args()
    main(Config(given.part, given.out, given.names, given.shuffles))
