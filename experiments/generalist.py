"""Is there one rule that learns many things faster than an online LSTM does?

One rule is meta-learned on a mixture of small tasks from all families, each lived from birth in
networks of 128 memory nodes and 128 hidden nodes; six of its numbers are then set by hand
(`POLISH`), and it is fixed. Its opponent gets the same: the window, learning rate and horizon of
the online LSTM are chosen on lifetimes of the same mixture. Both are then compared on the suite,
whose tasks are larger, on fresh seeds and in networks of other sizes:

    python experiments/generalist.py [--generations 14] [--out runs]
    python experiments/leaderboard.py

The rule file is written to ``--file`` (default ``experiments/generalist.json``).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

import loopymeta as lm
from loopymeta import tasks
from loopymeta.learners import OnlineRNN
from loopymeta.lifetime import Mixture
from loopymeta.rules import RFLO, RunningScale, Settling
from loopymeta.runs import Run
from loopymeta.training import live_on, read_rule, write_rule

HERE = Path(__file__).parent

MIXTURE = (
    tasks.Memorize(length=12, presentations=20),
    tasks.Delay(gap=6, trials=200),
    tasks.Reversal(n=3, sequences=400, window=100),
    tasks.Copy(length=3, trials=300),
    tasks.KeyRecall(trials=200),
    tasks.Boolean(name="xor", sets=60),
    tasks.Switch(sets=40),
    tasks.Modulo(length=4, m=3, strings=300, held_out=60),
    tasks.Circuit(symbols=2000),
    tasks.Shift(segments=2, segment_length=1000),
    tasks.Henon(symbols=2000),
    tasks.Names(symbols=8000),
    tasks.Caesar(symbols=600),
)
"""What the rule is meta-learned on: some tasks of every family but images, in shorter lifetimes
than those of the suite."""

FROZEN = ("rule.rule", "rule.eps", "rule.power", "output_rule.boldness", "innate.output_gain")
"""What is not searched."""

POLISH = {
    "rule.eta": 8e-4,
    "innate.memory_input_gain": 1.0,
    "output_rule.rule.eta": 1.0,
    "output_rule.patience": 3.0,
    "output_rule.boldness": 12.0,
    "output_rule.forget": 1e-3,
}
"""What was set by hand after the search, on development lifetimes of tasks of the suite, with keys
and graphs that are not those of the comparison. The mean loss of short lifetimes, which is searched
by, asks for caution, where how soon all is right asks for boldness."""


def network(hidden: int) -> lm.NetworkConfig:
    """Where candidates live, and from where the search starts.

    A pool of memory nodes that does not learn, hidden nodes that read it and one another and learn
    by RFLO under running scales, and outputs that learn by the delta rule, normalised by the input
    and by the curvature of the loss: in one shot, as long as a synapse's errors do not take turns.
    """
    normalised_delta = lm.Written(
        "eta * pre * feedback / (eps + curvature * energy)", eta=3.0, eps=0.1
    )
    return lm.NetworkConfig(
        num_memory=128,
        num_hidden=hidden,
        num_graphs=2,
        activation="silu",
        rate_fan_in=128.0,
        rule=RunningScale(
            rule=RFLO(eta=1.0, relays=2), eta=1e-3, eps=1e-8, horizon=0.2, momentum=False
        ),
        output_rule=Settling(rule=normalised_delta, patience=1.0, agreement=1.2),
        innate=lm.Innate(
            memory_gain=1.4,
            memory_input_gain=0.6,
            input_gain=2.0,
            bias_gain=0.08,
            recurrent_gain=0.7,
            recall_gain=0.8,
            output_gain=0.0,
            leak_low=0.8,
        ),
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """The search, and the grid on which the opponent is tuned."""

    generations: int = 14
    """Outer steps."""
    population_size: int = 12
    """Candidates in a generation."""
    hidden: int = 128
    """Hidden nodes of the networks that candidates live in."""
    out: str = "runs"
    """Folder of run folders."""
    file: str = str(HERE / "generalist.json")
    """Where the rule goes."""
    rates: tuple[float, ...] = (0.003, 0.01, 0.02)
    """Learning rates tried for the LSTM."""
    horizons: tuple[float, ...] = (0.1, 1.0)
    """Parts of the lifespan after which its rate is halved."""
    windows: tuple[tuple[int, int], ...] = ((4, 1), (8, 1), (16, 4))
    """Symbols that its gradient flows back through, and symbols between two of its updates."""
    seed: int = 0
    """Seed of everything."""


def training_config(config: Config) -> lm.TrainConfig:
    """The training run: the networks above on the mixture."""
    first, *others = MIXTURE
    outer = lm.OuterConfig(
        generations=config.generations,
        population_size=config.population_size,
        lifetimes=1,
        elites=2,
        sigma=0.3,
        frozen=FROZEN,
    )
    return lm.TrainConfig(
        task=first,
        train_task=first,
        mixture=tuple(others),
        network=network(config.hidden),
        outer=outer,
        select=3,
        report=8,
        baselines=False,
        seed=config.seed,
    )


def tuned_lstm(config: Config) -> dict[str, float]:
    """The window, learning rate and horizon with which an online LSTM does best on the mixture."""
    found = [tuned_on(config, *window) for window in config.windows]
    return min(found, key=lambda each: each["loss"])


def tuned_on(config: Config, window: int, interval: int) -> dict[str, float]:
    """The same for one window and interval."""
    choices = {"window": window, "interval": interval}
    lives = tuple(lm.Lifetime(OnlineRNN.for_spec(t.spec, **choices), t) for t in MIXTURE)
    grid = [(rate, horizon) for rate in config.rates for horizon in config.horizons]
    thetas = dict(zip(("learning_rate", "horizon"), np.array(grid, np.float32).T, strict=True))
    keys = lm.meta.jax.random.split(lm.key(config.seed + 1), 2)
    losses, _ = live_on(Mixture(lives), thetas, keys, devices=1)
    means = losses.mean(1)
    for (rate, horizon), mean in zip(grid, means, strict=True):
        setting = f"window {window}, interval {interval}, rate {rate:g}, horizon {horizon:g}"
        print(f"lstm: {setting}: {mean:.3f}", flush=True)
    means = np.where(np.isfinite(means), means, np.inf)
    rate, horizon = grid[int(np.argmin(means))]
    return choices | {"learning_rate": rate, "horizon": horizon, "loss": means.min()}


def polished(theta: Any) -> Any:
    """Theta with the numbers of `POLISH`."""
    theta = lm.meta.jax.tree.map(np.asarray, theta)
    for name, value in POLISH.items():
        *path, last = name.split(".")
        part = functools.reduce(lambda tree, key: tree[key], path, theta)
        part[last] = np.full_like(part[last], value)
    return theta


def main(config: Config) -> None:
    """Meta-learns the rule, writes its file, and tunes the opponent."""
    training = training_config(config)
    run = lm.train(training, config.out, name="generalist")
    _, theta = read_rule(run.path)
    final = Run(run.path / "polished")
    final.path.mkdir(exist_ok=True)
    searched = json.loads((run.path / "rule.json").read_text())["chosen"]
    write_rule(final, training, polished(theta), searched | {"set by hand": POLISH})
    shutil.copyfile(final.path / "rule.json", config.file)
    print(f"the rule: {config.file}")
    print(json.dumps({"lstm": tuned_lstm(config)}, default=float))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generations", type=int, default=Config.generations)
    parser.add_argument("--out", default=Config.out)
    parser.add_argument("--file", default=Config.file)
    given = parser.parse_args()
    main(Config(generations=given.generations, out=given.out, file=given.file))
