"""Does a rule that pays for its ticks think less about what is easy to predict?

Networks of 48 hidden nodes read first names letter by letter and set their own pace: a ready node,
taught how much probability the prediction gave to the target, says when a letter is done, at most
four ticks after it was sent. The same search is made at several prices of a tick. Reported on fresh
lifetimes of longer slices: the loss, the ticks a letter, and the ticks on the letters that were
predicted better and worse than the median.

    python experiments/self_paced.py [--generations 12] [--out runs]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np

import loopymeta as lm
from loopymeta.tasks import Names

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("held_out_nats", "ticks", "ticks_predictable", "ticks_surprising", "timeouts")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compared."""

    costs: tuple[float, ...] = (0.0, 0.01, 0.05)
    """Nats that a tick costs."""
    max_ticks: int = 4
    """The tick limit."""
    threshold: float = 0.25
    """Readiness from which a letter is done, where the search starts."""
    hidden: int = 48
    """Hidden nodes."""
    generations: int = 12
    """Outer steps at each price."""
    out: str = "runs"
    """Folder of run folders."""
    seed: int = 0
    """Seed of everything."""


def config_of(config: Config, cost: float) -> lm.TrainConfig:
    """The training run at one price."""
    base = lm.recipe("names")
    # Letters of names are seldom given half the probability: a threshold that is reached at birth.
    innate = dataclasses.replace(base.network.innate, ready_threshold=config.threshold)
    network = dataclasses.replace(
        base.network, num_hidden=config.hidden, max_ticks=config.max_ticks, innate=innate
    )
    return dataclasses.replace(
        base,
        task=Names(symbols=8_000, held_out="train", held_out_symbols=2_000),
        train_task=Names(symbols=3_000, held_out="train", held_out_symbols=1_000),
        select_task=None,
        network=network,
        train_hidden=(),
        outer=dataclasses.replace(base.outer, generations=config.generations, lifetimes=2),
        tick_cost=cost,
        select=4,
        report=8,
        baselines=False,
        seed=config.seed,
    )


PAGE = """# Reading at one's own pace

Networks of {hidden} hidden nodes read first names letter by letter and set their own pace: a ready
node, taught how much probability the prediction gave to the target, says when a letter is done, at
most {limit} ticks after it was sent (a timeout is charged {charged}). One search a price of a
tick; {seeds} fresh lifetimes each, ± standard deviation. *Predictable* and *surprising*: the
letters whose loss was at most, or above, the median; the last column is their difference, lifetime
by lifetime.

    python experiments/self_paced.py

| a tick costs | nats a letter | ticks | on predictable | on surprising | timeouts | difference |
|---|---|---|---|---|---|---|
{rows}
"""


def page(config: Config, learned: dict[str, dict]) -> str:
    """The figures as a page of Markdown."""
    rows = []
    for price, figures in learned.items():
        cells = [f"{figures[c]['mean']:.3f} ± {figures[c]['spread']:.3f}" for c in COLUMNS]
        gaps = np.subtract(
            figures["ticks_surprising"]["per_seed"], figures["ticks_predictable"]["per_seed"]
        )
        cells.append(f"{gaps.mean():.3f} ± {gaps.std(ddof=1):.3f}")
        rows.append(f"| {price} | {' | '.join(cells)} |")
    return PAGE.format(
        hidden=config.hidden,
        limit=config.max_ticks,
        charged=config.max_ticks + 1,
        seeds=len(gaps),
        rows="\n".join(rows),
    )


def main(config: Config) -> dict[str, dict]:
    """The figures at every price; of runs that are there and done, those that they have."""
    learned = {}
    for cost in config.costs:
        name = f"self-paced-{cost:g}"
        folder = Path(config.out) / name
        if not (folder / "result.json").exists():
            lm.train(config_of(config, cost), config.out, name=name)
        learned[f"{cost:g}"] = json.loads((folder / "result.json").read_text())["learned"]
    return learned


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generations", type=int, default=Config.generations)
    parser.add_argument("--out", default=Config.out)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "self_paced.md")
    given = parser.parse_args()
    chosen = Config(generations=given.generations, out=given.out)
    given.page.write_text(page(chosen, main(chosen)))
