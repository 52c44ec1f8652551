"""What does an LSTM learn in its activity alone, once an outer loop has found its weights?

The weights are meta-trained by the gradient through whole lifetimes of memorize, each on a random
sequence of its own, and are then fixed: in a lifetime nothing changes but the activity. They are
reported on sequences of fresh seeds beside the untrained weights, chance, and the best possible
recall of a learner that does not know the length of the sequence.

    python experiments/in_context.py [--generations N] [--out FOLDER]

The run can be stopped and gone on with (``loopymeta train --resume RUN``). The figures are written
to docs/figures/in_context.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import loopymeta as lm
from loopymeta.checkpoint import write_atomic
from loopymeta.tasks import Memorize

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Config:
    """What is meta-trained."""

    length: int = 6
    """Symbols in a sequence."""
    alphabet: int = 6
    """Different symbols."""
    presentations: int = 3
    """Times that a sequence is shown."""
    width: int = 64
    """Cells."""
    generations: int = 1500
    """Steps of the outer optimiser."""
    lifetimes: int = 64
    """Lifetimes of a step."""
    rate: float = 0.005
    """Of the outer Adam."""
    report: int = 1024
    """Fresh lifetimes on which it is reported."""
    seed: int = 0
    """Seed of everything."""
    out: str = "runs"
    """Folder of run folders."""
    file: str = "docs/figures/in_context.json"
    """Where the figures go."""


def config_of(config: Config) -> lm.TrainConfig:
    """The training run."""
    task = Memorize(config.length, config.alphabet, config.presentations)
    return lm.TrainConfig(
        task=task,
        train_task=task,
        learner=f"in_context(width={config.width})",
        outer=lm.OuterConfig(
            method="gradient",
            generations=config.generations,
            lifetimes=config.lifetimes,
            learning_rate=config.rate,
            elites=1,
        ),
        select=256,
        report=config.report,
        baselines=False,
        seed=config.seed,
    )


def main(config: Config) -> dict:
    """The figures of the run."""
    run = lm.train(config_of(config), config.out)
    result = run.read_json("result.json")
    about = result["about"]
    print(f"chance {about['chance']:.3f}, best recall {[round(x, 3) for x in about['ceiling']]}")
    for name in ("untrained", "learned"):
        own = result[name]
        recall = [round(value, 3) for value in own["recall_by_presentation"]["mean"]]
        loss = own["loss"]
        print(f"{name:9} {loss['mean']:.4f} ± {loss['spread']:.4f} nats, recall {recall}")
    shown = {"config": dataclasses.asdict(config)} | result
    write_atomic(ROOT / config.file, (json.dumps(shown, indent=1) + "\n").encode())
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generations", type=int, default=Config.generations)
    parser.add_argument("--out", default=Config.out)
    parser.add_argument("--file", default=Config.file)
    main(Config(**vars(parser.parse_args())))
