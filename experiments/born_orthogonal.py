"""Does it matter how a reservoir is wired when a sequence must be remembered after one showing?

Random sequences of 12 symbols over an alphabet of 8. The memory nodes are born with orthogonal
recurrent weights or with normal ones, on complete graphs or sparse ones; everything else is as in
``loopymeta train memorize``, and each variant is meta-learned by itself with the same budget.

    python experiments/born_orthogonal.py [--generations 20] [--out FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import jax

import loopymeta as lm
from loopymeta import training


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compared."""

    generations: int = 20
    """Outer steps for each variant."""
    lifetimes: int = 512
    """Fresh lifetimes on which each is reported."""
    seed: int = 3
    """Seed of everything."""
    variants: tuple[tuple[str, float | None, bool], ...] = (
        ("complete", None, True),
        ("complete", None, False),
        ("fixed_in_degree", 16.0, True),
        ("fixed_in_degree", 16.0, False),
        ("ring", None, True),
    )
    """(connectivity of the memory, degree, born orthogonal)."""


def main(config: Config) -> dict[str, list[float]]:
    """Recall by presentation of every variant."""
    base = lm.recipe("memorize")
    results = {}
    for connectivity, degree, orthogonal in config.variants:
        network = dataclasses.replace(
            base.network,
            memory_connectivity=connectivity,
            memory_degree=None if degree is None else int(degree),
            orthogonal=orthogonal,
        )
        life = lm.Lifetime(network.build(base.task.spec, config.seed), base.task)
        outer = base.outer.build(life)
        state, step = outer.init(lm.key(config.seed)), jax.jit(outer.step)
        for generation in range(config.generations):
            key = jax.random.fold_in(lm.key(config.seed), 1 + generation)
            state, _ = step(key, state)
        keys = jax.random.split(jax.random.fold_in(lm.key(config.seed), 1 << 20), config.lifetimes)
        figures = training.figures_of(life, outer.best(state), keys)
        name = f"{connectivity}{'' if degree is None else f' {degree:.0f}'}"
        name += ", orthogonal" if orthogonal else ", normal"
        results[name] = figures["recall_by_presentation"]["mean"]
        print(f"{name:32s}", " ".join(f"{r:.3f}" for r in results[name]), flush=True)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generations", type=int, default=Config.generations)
    parser.add_argument("--out", help="write the figures here, as JSON")
    given = parser.parse_args()
    figures = main(Config(generations=given.generations))
    if given.out:
        Path(given.out).write_text(json.dumps(figures, indent=2) + "\n")
