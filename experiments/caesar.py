"""Who breaks Caesar's code, and after how many letters?

A random letter comes, and the one three places on is asked for. Every learner that can be told of a
mistake lives it, one pass, from birth: rates and horizons of those that learn by gradients are
chosen on lives of their own, the others are as they are; then fresh lives. The code is broken at
the first of 100 right answers in a row.

    python experiments/caesar.py                    # docs/figures/caesar.json, the table of a page
    python experiments/caesar.py --learners lstm gru
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import loopymeta as lm
from loopymeta.checkpoint import write_atomic
from loopymeta.learners import HostLearner, by_name, live_on_host
from loopymeta.tasks import Caesar
from loopymeta.training import live_on

ROOT = Path(__file__).resolve().parent.parent
OTHERWISE = {
    "rtrl": "rtrl(width=32)",  # which is slow
    **{name: f"{name}(window=8, interval=1)" for name in ("elman", "gru", "lstm", "hierarchical")},
}
"""Who has other options than by default: a step at every letter, as those forwards in time."""
LEARNERS = tuple(OTHERWISE.get(name, name) for name in by_name.LEARNERS if name != "in_context")
"""All but the one that learns nothing until an outer loop has found its weights."""
METRICS = ("letters_to_perfect", "accuracy")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is lived."""

    learners: tuple[str, ...] = LEARNERS
    """By name, with their default sizes."""
    symbols: int = 4000
    """Letters in a life."""
    rates: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
    """That are tried."""
    horizons: tuple[float, ...] = (0.1, 1.0)
    """Tried with each."""
    development: int = 2
    """Lives by which they are chosen: the least letters, then the most right answers."""
    lives: int = 8
    """Fresh ones."""
    seed: int = 31
    """Of the fresh lives; those of development have the next one."""


Lives = dict[str, list[float]]
"""Metric -> its value in each life."""


def settings(config: Config, theta: dict[str, Any]) -> list[dict[str, float]]:
    """What is tried for a learner: nothing but its defaults, if it has no rate of descent."""
    if not {"learning_rate", "horizon"} <= theta.keys():
        return [{}]
    return [
        {"learning_rate": rate, "horizon": horizon}
        for rate, horizon in itertools.product(config.rates, config.horizons)
    ]


def lived(learner: Any, task: Any, given: list[dict[str, float]], keys: Any) -> list[Lives]:
    """The lives with each setting, one for each key."""
    if isinstance(learner, HostLearner):
        each = [live_on_host(learner, task, key)[1] for key in keys]
        return [{name: [float(one[name]) for one in each] for name in METRICS}]
    born = learner.init_theta()
    thetas = [born | {k: jnp.asarray(v) for k, v in one.items()} if one else born for one in given]
    candidates = jax.tree.map(lambda *leaves: jnp.stack([*map(jnp.asarray, leaves)]), *thetas)
    _, metrics = live_on(lm.Lifetime(learner, task), candidates, keys, devices=1)
    return [
        {name: np.asarray(metrics[name])[p].astype(float).tolist() for name in METRICS}
        for p in range(len(given))
    ]


def found(config: Config, name: str) -> dict[str, Any]:
    """What was tried for a learner, what was chosen, and its fresh lives."""
    task = Caesar(symbols=config.symbols)
    learner = by_name.learner_of(name, task)
    keys = jax.random.split(lm.key(config.seed + 1), config.development)
    theta = learner.init_theta()
    tried = settings(config, theta if isinstance(theta, dict) else {})
    chosen, looked = tried[0], []
    if len(tried) > 1:
        lives = lived(learner, task, tried, keys)
        looked = [{"setting": one, **own} for one, own in zip(tried, lives, strict=True)]

        def order(one: dict[str, Any]) -> tuple[float, float]:
            return float(np.mean(one["letters_to_perfect"])), -float(np.mean(one["accuracy"]))

        chosen = min(looked, key=order)["setting"]
    keys = jax.random.split(lm.key(config.seed), config.lives)
    return {
        "chosen": chosen,
        "fresh": lived(learner, task, [chosen], keys)[0],
        "tried": looked,
    }


def table(rows: dict[str, Any], config: Config) -> str:
    """A row for each learner, who was first above."""

    def words(setting: dict[str, float]) -> str:
        named = {"learning_rate": "rate", "horizon": "horizon"}
        return ", ".join(f"{named[k]} {v:g}" for k, v in setting.items()) or "its own"

    lines = [
        "| | setting | code broken | letters until then | right answers in all of a life |",
        "|---" * 5 + "|",
    ]
    for name, row in sorted(
        rows.items(), key=lambda item: np.mean(item[1]["fresh"]["letters_to_perfect"])
    ):
        letters = np.array(row["fresh"]["letters_to_perfect"])
        broken = letters < config.symbols
        until = "" if not broken.any() else f"{letters[broken].mean():,.0f}"
        if broken.sum() > 1:
            until += f" ± {letters[broken].std(ddof=1):,.0f}"
        right = 100 * np.mean(row["fresh"]["accuracy"])
        lines.append(
            f"| {name} | {words(row['chosen'])} | {broken.sum()} of {len(letters)} | {until} "
            f"| {right:.1f} % |"
        )
    return "\n".join(lines)


def main(config: Config) -> None:
    """Lives what is asked for; learners that were lived before stay as they are on the page."""
    path = ROOT / "docs" / "figures" / "caesar.json"
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    del plain["learners"]
    known = json.loads(path.read_text()) if path.exists() else {"config": plain, "rows": {}}
    if known["config"] != plain:
        raise SystemExit(f"{path} was made with other options: take it away first")
    for name in config.learners:
        known["rows"][name] = found(config, name)
        write_atomic(path, (json.dumps(known, indent=1) + "\n").encode())
        fresh = known["rows"][name]["fresh"]["letters_to_perfect"]
        print(f"{name:15} {known['rows'][name]['chosen']} {fresh}", flush=True)
    page = ROOT / "docs" / "baselines.md"
    begin, end = "<!-- caesar -->", "<!-- /caesar -->"
    filled = f"{begin}\n{table(known['rows'], config)}\n{end}"
    text = page.read_text(encoding="utf-8")
    text = re.sub(re.escape(begin) + ".*" + re.escape(end), lambda _: filled, text, flags=re.S)
    write_atomic(page, text.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--learners", nargs="+", default=LEARNERS)
    main(Config(learners=tuple(parser.parse_args().learners)))
