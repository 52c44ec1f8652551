"""What does plastic memory make of names, and does it matter in which order they come?

The order of the samples (the same names in the order of the file, sorted, by length and shuffled:
the graph, and what predicting cost, by the samples' counts and by the graph's), the settings of the
learners on the development names (experiments/names_ladder.py has the test names), how long all
names take, and the figures.

    python experiments/plastic_memory.py order [--names 5000] [--shuffles 5]
    python experiments/plastic_memory.py tune
    python experiments/plastic_memory.py speed
    python experiments/plastic_memory.py page
    python experiments/plastic_memory.py figures --out FOLDER

`order`, `tune` and `speed` write docs/plastic_memory.json and their part of docs/plastic_memory.md;
`tune` lives what is not yet there, life by life, so that it may be stopped and started at any time;
`page` writes the tables anew.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from loopymeta import data, plots, tasks
from loopymeta.checkpoint import write_atomic
from loopymeta.learners import PPM, HostLearner, PlasticMemory, PlasticMemoryLearner, live_on_host
from loopymeta.learners import plastic_memory_plots as drawn
from loopymeta.plots.canvas import BLUE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parents[1] / "docs"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Found = dict[str, dict[str, list[float]]]
"""What of -> figure -> a number for each time."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is done."""

    part: str = "order"
    """``order``, ``tune``, ``speed``, ``page`` or ``figures``."""
    out: str = "."
    """Folder for the figures."""
    names: int = 5000
    """Training names whose order is studied, drawn by seed 0."""
    shuffles: int = 5
    """Random orders, of seeds 0, 1, ..."""
    held_out: int = 1000
    """Development names that each order is tested on, the first ones."""
    repeats: int = 5
    """How often all names are observed when that is timed."""


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


def figures_of(names: list[str], held_out: list[str]) -> dict[str, float]:
    """What comes of memories that observe names in this order, and predict others after them."""
    found: dict[str, float] = {}
    for counts, share in (("samples", ("prefix",)), ("graph", ("prefix", "infix"))):
        memory = PlasticMemory(share, counts=counts, alphabet=LETTERS)
        found[f"{counts}, prequential"] = float(memory.prequential(names).mean())
        losses = [nats for name in held_out for nats in memory.nats(name)]
        found[f"{counts}, development"] = float(np.mean(losses))
        if counts == "samples":
            patterns = memory.patterns()
            found["nodes"], found["edges"] = len(patterns), len(memory.edges())
            found["levels"] = 1 + max(each.level for each in patterns)
            found["sum of counts"] = sum(each.count for each in patterns)
    return found


def study_order(config: Config) -> Found:
    """Every figure of every order, a number for each time."""
    train, development, _ = data.names_split()
    place = {name: at for at, name in reversed([*enumerate(data.read_text("names").splitlines())])}
    names = sorted(random.Random(0).sample(train, config.names), key=place.__getitem__)
    found: Found = {}
    for order, each in orders(names, config.shuffles).items():
        rows = [figures_of(row, development[: config.held_out]) for row in each]
        found[order] = {what: [row[what] for row in rows] for what in rows[0]}
        means = {what: round(float(np.mean(values)), 4) for what, values in found[order].items()}
        print(f"{order:12} {means}", flush=True)
    return found


def order_figure(found: Found, num_names: int) -> Figure:
    """Prequential loss and sum of counts by the order of the samples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(found)
    for axes, what, label in (
        (left, "graph, prequential", "prequential loss by the graph, nats per symbol"),
        (right, "sum of counts", "sum of all counts"),
    ):
        for place, name in enumerate(names):
            values = np.array(found[name][what])
            axes.scatter(values, np.full(len(values), place), s=46, color=BLUE, alpha=0.75)
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
    shuffles = len(found["shuffled"]["sum of counts"])
    figure.suptitle(
        f"{num_names:,} names in different orders ({shuffles} shuffles): one graph, other counts",
        x=0.01,
        ha="left",
        fontsize=14,
    )
    return figure


# --- on names, as everyone lives them ------------------------------------------------------------

TRIED: dict[str, HostLearner] = (
    {
        f"PPM, order {order}, {counting}": PPM(27, 27, order, counting, boundary=0)
        for counting in ("single", "all")
        for order in (3, 4, 5)
    }
    | {
        f"plastic memory, order {order}, discount {discount}": PlasticMemoryLearner(
            27, 27, boundary=0, letters="." + LETTERS, order=order, discount=discount
        )
        for order, discount in ((3, 0.85), (4, 0.75), (4, 0.85), (5, 0.85))
    }
    | {
        f"plastic memory by its graph of {shared}, order {order}": PlasticMemoryLearner(
            27, 27, boundary=0, letters="." + LETTERS, order=order, counts="graph", share=share
        )
        for order, shared, share in (
            (4, "prefixes", ("prefix",)),
            *((order, "prefixes and infixes", ("prefix", "infix")) for order in (3, 4, 5)),
        )
    }
)


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


def tune(config: Config) -> Found:
    """Every setting on the development names, seed 0; what was lived before stays."""
    found: Found = read().get("tune", {}).get("found", {})
    for name, learner in TRIED.items():
        if name not in found:
            found[name] = live(learner, "dev", (0,))
            print(name, found[name], flush=True)
            write(config, found)
    return {name: found[name] for name in TRIED}


def speed(config: Config) -> Found:
    """Processor seconds of all names, new to a memory each time, and of the graph they make."""
    names = data.read_text("names").splitlines()
    found = collections.defaultdict(list)
    for _ in range(config.repeats):
        memory = PlasticMemory()
        began = time.process_time()
        for name in names:
            memory.observe(name)
        found["observe"].append(time.process_time() - began)
        began = time.process_time()
        graph = memory.to_networkx()
        found["to_networkx"].append(time.process_time() - began)
    found["names"], found["nodes"] = [len(names)], [graph.number_of_nodes()]
    return {"all names": dict(found)}


# --- the page ------------------------------------------------------------------------------------


def read() -> dict[str, Any]:
    """What was found before: part -> config, found."""
    path = DOCS / "plastic_memory.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(config: Config, found: Found) -> None:
    """Keeps what a part found."""
    about = dataclasses.asdict(config)
    del about["out"], about["part"]
    if config.part != "order":
        about = {}
    record = read() | {config.part: {"config": about, "found": found}}
    text = json.dumps(dict(sorted(record.items())), indent=1) + "\n"
    write_atomic(DOCS / "plastic_memory.json", text.encode())


def order_table(config: dict[str, int], found: Found) -> str:
    """A row for each order; means, with standard deviations where there are several."""
    names, shuffles, held_out = (f"{config[k]:,}" for k in ("names", "shuffles", "held_out"))
    nodes, levels = (
        f"{value:,}"
        for what in ("nodes", "levels")
        for value in {value for row in found.values() for value in row[what]}
    )

    def cell(values: list[float]) -> str:
        digits = 4 if max(values) < 100 else 0
        text = f"{np.mean(values):,.{digits}f}"
        return text + (f" ± {np.std(values, ddof=1):,.{digits}f}" if len(values) > 1 else "")

    columns = ("samples, prequential", "samples, development")
    columns += ("graph, prequential", "graph, development", "sum of counts")
    lines = [
        f"{names} training names, {held_out} development names after them; mean ± standard "
        f"deviation of {shuffles} shuffles. All orders grow the same {nodes} nodes of prefixes on "
        f"{levels} levels:\n",
        f"| order | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for order, row in found.items():
        name = "of the file" if order == "file" else order
        lines.append(f"| {name} | {' | '.join(cell(row[what]) for what in columns)} |")
    return "\n".join(lines)


def tried_table(found: Found) -> str:
    """A row for each setting; the defaults are marked."""
    task = tasks.Names(held_out="dev")
    defaults = (PPM.for_task(task), PlasticMemoryLearner.for_task(task))
    lines = ["| | prequential | development | seconds |", "|---|---|---|---|"]
    for name, row in found.items():
        shown = f"**{name}: the default**" if TRIED.get(name) in defaults else name
        nats = f"{row['prequential_nats'][0]:.4f} | {row['dev_nats'][0]:.4f}"
        lines.append(f"| {shown} | {nats} | {row['seconds'][0]:.0f} |")
    return "\n".join(lines)


def speed_words(found: Found) -> str:
    """How long all names take: the median, and the least to the most."""
    row = found["all names"]

    def seconds(values: list[float]) -> str:
        return f"{np.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"

    return (
        f"The {row['names'][0]:,} names take {seconds(row['observe'])} of one core and make "
        f"{row['nodes'][0]:,} patterns; `to_networkx` takes {seconds(row['to_networkx'])} more "
        f"(processor seconds, {len(row['observe'])} times on a busy machine; "
        "`python experiments/plastic_memory.py speed`)."
    )


def write_page() -> None:
    """Fills docs/plastic_memory.md between its marks with what was found so far."""
    path, record = DOCS / "plastic_memory.md", read()
    page = path.read_text(encoding="utf-8")
    tables = {}
    if "order" in record:
        tables["order"] = order_table(**record["order"])
    if "tune" in record:
        tables["tried"] = tried_table(record["tune"]["found"])
    if "speed" in record:
        tables["speed"] = speed_words(record["speed"]["found"])
    for mark, table in tables.items():
        begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
        if begin not in page or end not in page:
            raise ValueError(f"{path} has no marks {begin} and {end}")
        pattern = re.escape(begin) + ".*" + re.escape(end)
        filled = f"{begin}\n\n{table}\n\n{end}"
        page = re.sub(pattern, lambda _, text=filled: text, page, flags=re.DOTALL)
    write_atomic(path, page.encode())


# --- figures -------------------------------------------------------------------------------------


def draw(config: Config) -> None:
    """The graph of 40 names with a completion, shared parts, a completion, a page of all names.

    And the order of the samples, if it was studied.
    """
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    if "order" in (record := read()):
        num_names = record["order"]["config"]["names"]
        plots.save(order_figure(record["order"]["found"], num_names), out / "order.png")
    names = data.read_text("names").splitlines()
    few = PlasticMemory()
    for name in names[:40]:
        few.observe(name)
    figure = drawn.graph_figure(few, few.steps("a"), "Plastic memory after 40 names")
    plots.save(figure, out / "forty_names.png")
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


def main(config: Config) -> None:
    """Does a part; what it found goes on the page."""
    parts = {"order": study_order, "tune": tune, "speed": speed}
    if config.part == "figures":
        draw(config)
        return
    if config.part in parts:
        write(config, parts[config.part](config))
    write_page()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=("order", "tune", "speed", "page", "figures"))
    parser.add_argument("--out", default=Config.out, help="folder for the figures")
    parser.add_argument("--names", type=int, default=Config.names)
    parser.add_argument("--shuffles", type=int, default=Config.shuffles)
    given = parser.parse_args()
    main(Config(given.part, given.out, given.names, given.shuffles))
