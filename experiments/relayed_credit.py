"""How much of what a local rule learns on names comes from feedback relayed over hidden edges?

The rule found by ``loopymeta train names`` is lived with 0, 1 and 2 relays, with the feedback of
shared edges, of learned weights (Kolen and Pollack) and of a fixed random projection, on one pass
over the training names and then on the held-out ones with all weights frozen. Meta-parameters are
those of the rule file: none is tuned for the variants.

    python experiments/relayed_credit.py RUN [--lifetimes 2] [--hidden 256] [--out FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import jax

import loopymeta as lm
from loopymeta import training
from loopymeta.rules import RFLO, RunningScale


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compared."""

    run: str
    """Run folder of ``loopymeta train names``, or a rule file."""
    lifetimes: int = 2
    """Fresh lifetimes of each variant."""
    hidden: int = 256
    """Hidden nodes."""
    seed: int = 7
    """Seed of the lifetimes."""
    variants: tuple[tuple[int, str], ...] = (
        (0, "shared"),
        (1, "shared"),
        (2, "shared"),
        (0, "kolen_pollack"),
        (0, "random"),
        (0, "none"),
    )
    """(relays, feedback) of each variant."""


def main(config: Config) -> dict[str, dict]:
    """The figures of every variant."""
    network, theta = lm.read_rule(config.run)
    scale = network.rule
    if not isinstance(scale, RunningScale) or not isinstance(scale.rule, RFLO):
        raise ValueError(f"expected a running scale around rflo, got {scale}")
    task = lm.make_task("names", held_out="test")
    keys = jax.random.split(jax.random.fold_in(lm.key(config.seed), 1 << 20), config.lifetimes)
    results = {}
    for relays, feedback in config.variants:
        rule = dataclasses.replace(scale, rule=dataclasses.replace(scale.rule, relays=relays))
        variant = dataclasses.replace(
            network, rule=rule, feedback=feedback, num_hidden=config.hidden
        )
        life = lm.Lifetime(variant.build(task.spec, config.seed), task)
        figures = training.figures_of(life, theta, keys)
        results[f"relays {relays}, {feedback}"] = {
            name: figures[name] for name in ("prequential_nats", "test_nats")
        }
        shown = {n: round(f["mean"], 4) for n, f in figures.items() if n.endswith("_nats")}
        print(f"relays {relays}, feedback {feedback:14s} {shown}", flush=True)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--lifetimes", type=int, default=Config.lifetimes)
    parser.add_argument("--hidden", type=int, default=Config.hidden)
    parser.add_argument("--out", help="write the figures here, as JSON")
    given = parser.parse_args()
    figures = main(Config(given.run, given.lifetimes, given.hidden))
    if given.out:
        Path(given.out).write_text(json.dumps(figures, indent=2) + "\n")
