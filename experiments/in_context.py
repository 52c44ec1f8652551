"""What does an LSTM learn in its activity alone, once an outer loop has found its weights?

The weights are meta-trained by the gradient through whole lifetimes of memorize, each on a random
sequence of its own, and are then fixed: in a lifetime nothing changes but the activity. They are
reported on sequences of fresh seeds beside the untrained weights, chance, and the best possible
recall of a learner that does not know the length of the sequence.

    python experiments/in_context.py [--generations N] [--out FOLDER]

The run can be stopped and gone on with (``loopymeta train --resume RUN``). The figures are written
to docs/figures/in_context.json and into the table of docs/baselines.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jax

import loopymeta as lm
from loopymeta.checkpoint import write_atomic
from loopymeta.learners import by_name
from loopymeta.tasks import Memorize
from loopymeta.training import live_on

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


def online(config: Config) -> dict[str, Any]:
    """The online LSTM of the same width, which learns within the lifetime, from random weights."""
    task = Memorize(config.length, config.alphabet, config.presentations)
    learner = by_name.learner_of(f"lstm(width={config.width})", task)
    theta = jax.tree.map(lambda x: x[None], learner.init_theta())
    keys = jax.random.split(lm.key(config.seed + 1), config.report)
    losses, metrics = live_on(lm.Lifetime(learner, task), theta, keys, devices=1)
    recall = metrics["recall_by_presentation"][0]
    return {
        "loss": {"mean": float(losses.mean()), "spread": float(losses.std(ddof=1))},
        "recall_by_presentation": {"mean": recall.mean(0).tolist()},
    }


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    about, shown = result["about"], range(1, 1 + len(result["about"]["ceiling"]))
    heads = "".join(f" | recall, presentation {k}" for k in shown)
    lines = [f"| | nats a symbol{heads} |", "|---" * (2 + len(shown)) + "|"]
    for name, title in (
        ("learned", "in-context LSTM, meta-trained"),
        ("untrained", "the same, untrained"),
        ("online", "online LSTM, default settings"),
    ):
        own = result[name]
        recall = "".join(f" | {100 * x:.1f} %" for x in own["recall_by_presentation"]["mean"])
        loss = own["loss"]
        lines.append(f"| {title} | {loss['mean']:.3f} ± {loss['spread']:.3f}{recall} |")
    ceiling = "".join(f" | {100 * x:.1f} %" for x in about["ceiling"])
    lines.append(f"| best possible, if the length is not known | {about['floor']:.3f}{ceiling} |")
    return "\n".join(lines)


def write_page(result: dict[str, Any]) -> None:
    """Fills the table of docs/baselines.md."""
    path = ROOT / "docs" / "baselines.md"
    begin, end = "<!-- in context -->", "<!-- /in context -->"
    filled = f"{begin}\n{table(result)}\n{end}"
    page = path.read_text(encoding="utf-8")
    page = re.sub(re.escape(begin) + ".*" + re.escape(end), lambda _: filled, page, flags=re.S)
    write_atomic(path, page.encode())


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
    result["online"] = online(config)
    write_page(result)
    choices = dataclasses.asdict(config)
    del choices["out"], choices["file"]  # which say where it ran, not what
    shown = {"config": choices} | result
    write_atomic(ROOT / config.file, (json.dumps(shown, indent=1) + "\n").encode())
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generations", type=int, default=Config.generations)
    parser.add_argument("--out", default=Config.out)
    parser.add_argument("--file", default=Config.file)
    main(Config(**vars(parser.parse_args())))
