"""What ``loopymeta train TASK`` does when nothing else is typed: a tested configuration a task."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from loopymeta import _validate
from loopymeta.config import NetworkConfig, OuterConfig, TrainConfig
from loopymeta.interventions import Hurry, interventions_of
from loopymeta.network import Innate
from loopymeta.rules import RFLO, Delta, FeedbackAlignment, RunningScale
from loopymeta.tasks import TASKS, Caesar, Delay, Memorize, Names, Reversal, Text


def memorize() -> TrainConfig:
    """A recurrent pool that does not learn, and outputs that learn in one shot."""
    task = Memorize()
    network = NetworkConfig(
        num_memory=128,
        num_hidden=0,
        output_rule=Delta(eta=1.0, eps=0.1),
        innate=Innate(
            memory_gain=1.0, memory_input_gain=1.0, memory_bias_gain=0.03, output_gain=0.0
        ),
    )
    return TrainConfig(
        task=task,
        train_task=task,
        network=network,
        outer=OuterConfig(generations=40, population_size=24, lifetimes=32),
        select=256,
        report=1024,
    )


def _associative() -> NetworkConfig:
    """A fixed near-linear memory, and plastic hidden nodes that learn to read it."""
    return NetworkConfig(
        num_memory=128,
        num_hidden=256,
        connectivity="none",
        activation="relu",
        rule=RunningScale(rule=FeedbackAlignment(eta=1.0), eta=1e-3, eps=1e-6, horizon=0.2),
        output_rule=RunningScale(
            rule=Delta(eta=1.0, normalised=False), eta=1e-3, eps=1e-6, horizon=0.2
        ),
        innate=Innate(
            memory_gain=1.0,
            memory_input_gain=0.5,
            input_gain=0.1,
            recall_gain=1.0,
            bias_gain=0.05,
            output_gain=0.0,
        ),
    )


# What a short lifetime cannot tell about a long one: how the rate falls, and over how long moments
# are averaged.
_SCHEDULE = tuple(
    f"{part}.{name}"
    for part in ("rule", "output_rule")
    for name in ("beta1", "beta2", "eps", "horizon", "power", "rule")
)

_STEADY = (
    "rule.rule",
    "output_rule.rule",
    "rule.eps",
    "output_rule.eps",
    "rule.power",
    "output_rule.power",
)


def reversal() -> TrainConfig:
    """Meta-learned on lifetimes of 1,200 sequences, reported on 5,000."""
    return TrainConfig(
        task=Reversal(),
        train_task=Reversal(sequences=1200, window=300),
        network=_associative(),
        outer=OuterConfig(generations=16, population_size=12, lifetimes=2, frozen=_STEADY),
        objective="loss_late",
        select=4,
        report=8,
    )


def names() -> TrainConfig:
    """Meta-learned on slices of the training names, reported on one pass over all of them.

    Candidates live in narrower networks and for a quarter of the report's symbols. Rates are for a
    fan-in, so that they suit networks of another width; a slice still rewards rates that are too
    high for a long life, so the rule to report is chosen on longer slices along the line from the
    start of the search to its end.
    """
    rates = {"eps": 1e-8, "beta2": 0.9999, "momentum": False, "horizon": 0.075}
    return TrainConfig(
        task=Names(held_out="test"),
        train_task=Names(symbols=45_000, held_out="train", held_out_symbols=5_000),
        train_hidden=(128,),
        network=NetworkConfig(
            num_hidden=384,
            activation="silu",
            sharing="per_class",
            rate_fan_in=128.0,
            rule=RunningScale(rule=RFLO(eta=1.0, relays=2), eta=1e-3, **rates),
            output_rule=RunningScale(rule=Delta(eta=1.0, normalised=False), eta=1e-3, **rates),
            innate=Innate(input_gain=1.0, bias_gain=0.0, output_gain=1.0, leak_low=0.7),
        ),
        outer=OuterConfig(
            generations=10,
            population_size=12,
            lifetimes=1,
            elites=1,
            sigma=0.3,
            frozen=(*_SCHEDULE, "innate.feedback_gain"),
        ),
        objective="held_out_nats",
        select=2,
        select_task=Names(symbols=70_000, held_out="train", held_out_symbols=5_000),
        report=4,
        report_controls=2,
    )


def text() -> TrainConfig:
    """As names, on the running text of a book: 100,000 characters, then 20,000 held-out ones."""
    return dataclasses.replace(
        names(),
        task=Text(symbols=100_000, held_out="test", held_out_symbols=20_000),
        train_task=Text(symbols=30_000, held_out="train", held_out_symbols=5_000),
        select_task=Text(symbols=60_000, held_out="train", held_out_symbols=5_000),
        report=2,
    )


def delay() -> TrainConfig:
    """As reversal, on the delay task."""
    return TrainConfig(
        task=Delay(),
        train_task=Delay(),
        network=_associative(),
        outer=OuterConfig(generations=20, population_size=16, lifetimes=4, frozen=_STEADY),
        select=16,
        report=32,
    )


def caesar() -> TrainConfig:
    """One-shot outputs on letters."""
    task = Caesar()
    return TrainConfig(
        task=task,
        train_task=task,
        network=NetworkConfig(
            num_hidden=32, output_rule=Delta(eta=0.5), innate=Innate(output_gain=0.0)
        ),
        outer=OuterConfig(generations=20, population_size=16, lifetimes=4),
        select=16,
        report=32,
    )


def general(name: str) -> TrainConfig:
    """Where no recipe is tuned: a small search with the network of reversal.

    It has four ticks a symbol where some are to be taken from it.
    """
    task = TASKS[name]()
    hurried = any(isinstance(act, Hurry) for act in interventions_of(task))
    return TrainConfig(
        task=task,
        train_task=task,
        network=dataclasses.replace(_associative(), ticks=4 if hurried else 1),
        outer=OuterConfig(generations=12, population_size=12, lifetimes=2, frozen=_STEADY),
        select=8,
        report=16,
    )


TUNED: dict[str, Callable[[], TrainConfig]] = {
    "memorize": memorize,
    "delay": delay,
    "reversal": reversal,
    "names": names,
    "text": text,
    "caesar": caesar,
}
"""Training runs that are made for their task."""

RECIPES: dict[str, Callable[[], TrainConfig]] = {
    name: TUNED.get(name, functools.partial(general, name)) for name in TASKS
}
"""The default training run of each task."""


def recipe(task: str) -> TrainConfig:
    """The default training run of a task, by name."""
    if task not in RECIPES:
        raise _validate.unknown("task", task, RECIPES)
    return RECIPES[task]()
