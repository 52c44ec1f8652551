"""Is there one rule that learns many things faster than an online LSTM does?

One rule is meta-learned on a mixture of tasks from all families but images, each lived from birth
in networks of 128 memory nodes and 128 hidden nodes and judged by the figure of the suite, and is
then fixed. Its opponent gets the same: the window, learning rate and horizon of the online LSTM are
chosen on lifetimes of the same mixture. Both are then compared on the suite, whose tasks have other
sizes, on fresh seeds and in networks of other sizes:

    python experiments/generalist.py [--generations 24] [--out runs]
    python experiments/leaderboard.py

The rule file is written to ``--file`` (default ``experiments/generalist.json``), what LSTMs make of
the mixture into docs/baselines.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path

import numpy as np

import loopymeta as lm
from loopymeta import tasks
from loopymeta.checkpoint import write_atomic
from loopymeta.learners import OnlineRNN
from loopymeta.lifetime import Mixture
from loopymeta.rules import RFLO, RunningScale, Settling
from loopymeta.suite import Entry, entry_of
from loopymeta.tasks import Task
from loopymeta.training import live_on

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"

TAUGHT = tasks.Names(symbols=8000)


def _accuracy(task: Task, metric: str = "accuracy_late") -> Entry:
    return Entry(task, metric, higher_is_better=True)


MIXTURE = (
    _accuracy(tasks.Memorize(length=16, presentations=16), "accuracy"),
    _accuracy(tasks.Delay(gap=6, trials=200)),
    _accuracy(tasks.Reversal(n=3, sequences=800, window=200), "recall"),
    _accuracy(tasks.Copy(length=3, trials=400)),
    _accuracy(tasks.Resequence(length=4, trials=400)),
    _accuracy(tasks.KeyRecall(trials=300)),
    Entry(tasks.Boolean("xor", sets=60), "examples"),
    Entry(tasks.Boolean("any", sets=60), "examples"),
    Entry(tasks.Add(sets=40), "examples"),
    Entry(tasks.Switch(sets=40), "examples"),
    _accuracy(tasks.Modulo(length=4, m=3, strings=300, held_out=60), "accuracy_held_out"),
    _accuracy(tasks.Circuit(symbols=2000)),
    Entry(tasks.Shift(segments=2, segment_length=1000)),
    Entry(tasks.Composition(alphabet=6, sets=40), "examples_after_parts"),
    _accuracy(tasks.Lesioned(tasks.Caesar(shift=None, symbols=600)), "accuracy_after"),
    Entry(tasks.Henon(symbols=2000), "nmse_late"),
    Entry(tasks.Caesar(symbols=600), "letters_to_perfect"),
)
"""What the rule is meta-learned on besides `TAUGHT`: some tasks of every family but images, by the
figures of the suite, in other sizes and lifetimes no longer than there."""

FROZEN = ("rule.rule", "rule.eps", "rule.power", "innate.output_gain")
"""What is not searched."""


def network(hidden: int) -> lm.NetworkConfig:
    """Where candidates live, and from where the search starts.

    A pool of memory nodes that does not learn, hidden nodes that read it and one another and learn
    by RFLO under running scales, and outputs that learn by the delta rule, normalised by the input
    and by the curvature of the loss: in one shot, as long as a synapse's errors do not take turns.
    """
    normalised_delta = lm.Written(
        "eta * pre * feedback / (eps + curvature * energy)", eta=1.0, eps=0.1
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
        output_rule=Settling(rule=normalised_delta, patience=2.0, boldness=10.0, forget=1e-3),
        innate=lm.Innate(
            memory_gain=1.4,
            memory_input_gain=1.0,
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

    generations: int = 24
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
    windows: tuple[tuple[int, int], ...] = ((4, 1), (8, 1))
    """Symbols that its gradient flows back through, and symbols between two of its updates."""
    seed: int = 0
    """Seed of everything."""


def training_config(config: Config) -> lm.TrainConfig:
    """The training run: the networks above on the mixture."""
    outer = lm.OuterConfig(
        generations=config.generations,
        population_size=config.population_size,
        lifetimes=1,
        elites=2,
        sigma=0.2,
        frozen=FROZEN,
    )
    return lm.TrainConfig(
        task=TAUGHT,
        train_task=TAUGHT,
        mixture=MIXTURE,
        network=network(config.hidden),
        outer=outer,
        select=6,
        report=8,
        baselines=False,
        seed=config.seed,
    )


def lstms(config: Config) -> list[dict[str, float]]:
    """What an online LSTM costs on the mixture, for every window, learning rate and horizon."""
    return [found for window in config.windows for found in lstms_of(config, *window)]


def lstms_of(config: Config, window: int, interval: int) -> list[dict[str, float]]:
    """The same for one window and interval."""
    choices = {"window": window, "interval": interval}
    entries = [entry_of(each) for each in (TAUGHT, *MIXTURE)]
    lives = Mixture(
        tuple(
            lm.Lifetime(OnlineRNN.for_spec(e.task.spec, **choices), e.task, objective=e.metric)
            for e in entries
        ),
        limits=tuple((e.best or 0.0, e.guess) for e in entries),
    )
    grid = [(rate, horizon) for rate in config.rates for horizon in config.horizons]
    thetas = dict(zip(("learning_rate", "horizon"), np.array(grid, np.float32).T, strict=True))
    keys = lm.meta.jax.random.split(lm.key(config.seed + 1), 2)
    losses, _ = live_on(lives, thetas, keys, devices=1)
    found = []
    for (rate, horizon), mean in zip(grid, losses.mean(1).tolist(), strict=True):
        print(f"lstm: {choices}, rate {rate:g}, horizon {horizon:g}: {mean:.3f}", flush=True)
        found.append(choices | {"learning_rate": rate, "horizon": horizon, "loss": mean})
    return found


def write_page(found: list[dict[str, float]], path: Path = DOCS / "baselines.md") -> None:
    """Fills the table of LSTMs in the page on baselines."""
    horizons = list(dict.fromkeys(each["horizon"] for each in found))
    heads = "".join(f" horizon {horizon:g} |" for horizon in horizons)
    lines = [f"| window | interval | rate |{heads}", "|---" * (3 + len(horizons)) + "|"]
    least = min(each["loss"] for each in found if np.isfinite(each["loss"]))
    rows: dict[tuple[float, ...], list[str]] = {}
    for each in found:
        row = rows.setdefault((each["window"], each["interval"], each["learning_rate"]), [])
        mark = "**" if each["loss"] == least else ""
        row.append(f" {mark}{each['loss']:.3f}{mark} |")
    lines += [f"| {w} | {k} | {rate:g} |{''.join(row)}" for (w, k, rate), row in rows.items()]
    begin, end = "<!-- lstm -->", "<!-- /lstm -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    filled = before + "\n".join([begin, *lines, end]) + rest.split(end)[1]
    write_atomic(path, filled.encode())


def main(config: Config) -> None:
    """Meta-learns the rule, writes its file, and tries settings of the opponent."""
    training = training_config(config)
    run = lm.train(training, config.out, name="generalist")
    shutil.copyfile(run.path / "rule.json", config.file)
    print(f"the rule: {config.file}")
    write_page(lstms(config))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generations", type=int, default=Config.generations)
    parser.add_argument("--out", default=Config.out)
    parser.add_argument("--file", default=Config.file)
    given = parser.parse_args()
    main(Config(generations=given.generations, out=given.out, file=given.file))
