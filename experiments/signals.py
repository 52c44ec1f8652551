"""How far do recurrent networks come on chaotic signals, taught forwards and backwards in time?

64 tanh units learn to predict Hénon, Mackey-Glass and Lorenz, 15,000 symbols of 8 parallel streams
with shared weights: by online-gradient methods, which change the weights at every symbol, and by
backpropagation through the last 16 symbols. Rates are chosen on seeds of their own, and the error
is reported on fresh ones. Beside it: the cosine of each method's gradient to the exact one.

    python experiments/signals.py live [--methods rflo snap1] [--tasks henon]
    python experiments/signals.py protocols [--methods rtrl]
    python experiments/signals.py cosine
    python experiments/signals.py page

`live` adds what is not yet there to docs/figures/signals.json, life by life, so that it may be
stopped and started at any time; `protocols` looks for the optimiser, rate and part of a life with
which the figures that others report come out; `page` draws the figure and writes the tables of
docs/online_gradient.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import loopymeta as lm
from loopymeta.checkpoint import write_atomic
from loopymeta.learners import OnlineGradient, OnlineRNN, Parallel
from loopymeta.plots import canvas

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "online_gradient.md"
FIGURES = DOCS / "figures"
TASKS = ("henon", "mackey_glass", "lorenz")
TITLES = {"henon": "Hénon", "mackey_glass": "Mackey-Glass", "lorenz": "Lorenz"}
REPORTED = {
    "rflo": (0.0704, 0.0572, 0.0442),
    "snap1": (0.0052, 0.0050, 0.0024),
    "rtrl": (0.0052, 0.0180, 0.0051),
}
"""What others report of the same sizes and steps, task by task."""

GRID = tuple((rate, 0.1) for rate in (0.0003, 0.001, 0.003, 0.01))
"""(learning rate, horizon): what is tried."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to learn, and what is tried for it."""

    name: str
    """In the tables."""
    choices: dict[str, Any]
    """Of `OnlineGradient`; of `OnlineRNN` where there is a window."""


VARIANTS = {
    "snap1": Variant("SnAp-1", {"method": "snap1"}),
    "rtrl": Variant("RTRL", {"method": "rtrl"}),
    "bptt": Variant("BPTT, 16 symbols", {"window": 16, "interval": 1, "momentum": 0.9}),
    "rflo": Variant("RFLO, leak .5", {"method": "rflo", "leak": 0.5}),
    "rflo_random": Variant(
        "RFLO, leak .5, random feedback", {"method": "rflo", "leak": 0.5, "feedback": "random"}
    ),
    "rflo_own": Variant("RFLO, traces fade by .1", {"method": "rflo", "decay": 0.1}),
    "eprop": Variant("e-prop, random feedback", {"method": "eprop"}),
    "dfa": Variant("direct feedback alignment", {"method": "dfa"}),
    "uoro": Variant("UORO", {"method": "uoro"}),
}
"""RFLO keeps what the leak keeps, so that it is itself only with one."""
DRAWN = ("snap1", "rtrl", "bptt", "rflo", "eprop", "uoro")
"""Which of them the figure shows."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How it is measured."""

    symbols: int = 15000
    """In a stream."""
    streams: int = 8
    """Parallel streams of one life."""
    width: int = 64
    """Units."""
    development: tuple[int, ...] = (100, 101)
    """Seeds on which settings are chosen, by the error of the second half of a life."""
    fresh: tuple[int, ...] = (0, 1, 2, 3)
    """Seeds that are reported."""


# --- lives ---------------------------------------------------------------------------------------


def learner_of(variant: Variant, spec: Any, width: int) -> Any:
    """The learner of a variant on a task."""
    if "window" in variant.choices:
        return OnlineRNN.for_spec(spec, cell="elman", width=width, **variant.choices)
    return OnlineGradient.for_spec(spec, width=width, **variant.choices)


@functools.cache
def program(config: Config, task_name: str, name: str) -> Any:
    """(theta, key) -> metrics of one life, compiled."""
    task = lm.make_task(task_name, symbols=config.symbols)
    learner = learner_of(VARIANTS[name], task.spec, config.width)
    life = Parallel(lm.Lifetime(learner, task), config.streams)
    return jax.jit(lambda theta, key: life(theta, key)[1])


def live(
    config: Config, task: str, name: str, setting: tuple[float, float], seed: int
) -> dict[str, Any]:
    """The errors of one life: of all of it, its second half, its last twentieth, and the curve."""
    theta = dict(zip(("learning_rate", "horizon"), map(jnp.asarray, setting), strict=True))
    metrics = jax.device_get(program(config, task, name)(theta, lm.key(seed)))
    return {
        "all": float(metrics["nmse"]),
        "late": float(metrics["nmse_late"]),
        "last": float(metrics["nmse_curve"][-1]),
        "curve": [round(float(x), 7) for x in metrics["nmse_curve"]],
    }


Lives = dict[str, dict[str, Any]]


def key_of(task: str, name: str, setting: tuple[float, float], seed: int) -> str:
    """The name of a life in the file of results."""
    return f"{task} {name} rate {setting[0]:g} horizon {setting[1]:g} seed {seed}"


def chosen(config: Config, lives: Lives, task: str, name: str) -> tuple[float, float]:
    """The setting with the least error on the development seeds."""

    def error(setting: tuple[float, float]) -> float:
        errors = [lives[key_of(task, name, setting, s)]["late"] for s in config.development]
        return float(np.nan_to_num(np.mean(errors), nan=np.inf))

    return min(GRID, key=error)


def text_of(record: dict[str, Any]) -> bytes:
    """A record as JSON, a line for each life."""
    config, lives = json.dumps(record["config"]), record["lives"]
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(lives[k])}" for k in sorted(lives))
    return f'{{\n "config": {config},\n "lives": {{\n{lines}\n }}\n}}\n'.encode()


def main(config: Config, path: Path, tasks: Iterable[str], names: Iterable[str]) -> Lives:
    """Lives all that the file at ``path`` does not have yet, and writes it life by life."""
    record = json.loads(path.read_text()) if path.exists() else {}
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    if record.get("config", plain) != plain:
        raise ValueError(f"{path} was made with another configuration: {record['config']}")
    lives: Lives = record.get("lives", {})

    def ensure(task: str, name: str, setting: tuple[float, float], seed: int) -> None:
        key = key_of(task, name, setting, seed)
        if key not in lives:
            lives[key] = live(config, task, name, setting, seed)
            write_atomic(path, text_of({"config": plain, "lives": lives}))
            print(
                key,
                {k: float(f"{v:.3g}") for k, v in lives[key].items() if k != "curve"},
                flush=True,
            )

    for task, name in itertools.product(tasks, names):
        for setting, seed in itertools.product(GRID, config.development):
            ensure(task, name, setting, seed)
        best = chosen(config, lives, task, name)
        for seed in config.fresh:
            ensure(task, name, best, seed)
    return lives


# --- protocols -----------------------------------------------------------------------------------

PROTOCOLS = {
    "adam": (0.0001, 0.0003, 0.001, 0.002, 0.003, 0.005, 0.01),
    "adam(b2=0.99)": (0.001, 0.002, 0.003, 0.005),
    "rmsprop(decay=0.9)": (0.0003, 0.001, 0.003),
    "rmsprop(decay=0.99)": (0.0003, 0.001, 0.003),
    "sgd": (0.001, 0.003, 0.01, 0.03, 0.1),
}
"""Optimisers and rates that stay the same all life, which others may have used."""
SLOW = {
    "adam": (0.001, 0.003, 0.005, 0.01),
    "adam(b2=0.99)": (0.003, 0.005),
    "rmsprop(decay=0.9)": (0.001, 0.003),
    "rmsprop(decay=0.99)": (0.001, 0.003),
    "sgd": (0.01, 0.03, 0.1),
}
"""Which of them are tried where a life costs fifty of the others."""
TRIED = dict.fromkeys(("snap1", "rflo", "rflo_random", "rflo_own"), PROTOCOLS) | {"rtrl": SLOW}
AGAIN = tuple(range(8))
"""Fresh seeds on which the nearest protocol is lived."""
STAYS = 1e6  # a horizon at which a rate stays the same
PARTS = {
    "all of a life": slice(None),
    "the second half": slice(10, None),
    "the last quarter": slice(15, None),
    "the last tenth": slice(18, None),
    "the last twentieth": slice(19, None),
}
"""Of a curve of twenty parts."""


Protocol = tuple[str, float]
"""Optimiser, rate."""


def protocols(config: Config, path: Path, methods: Iterable[str]) -> None:
    """Writes the errors of each way to learn under each protocol, on the development seeds.

    Then those under the one that comes nearest to what others report, on fresh seeds.
    """
    rows = json.loads(path.read_text()) if path.exists() else []
    names = [name for name in TRIED if name in methods]
    for name, task in itertools.product(names, TASKS):
        for optimizer, rates in TRIED[name].items():
            seeds = config.development
            _live_protocols(config, rows, path, name, optimizer, rates, task, seeds)
    for name, task in itertools.product(names, TASKS):
        (optimizer, rate), *_ = nearest(config, rows, name)
        _live_protocols(config, rows, path, name, optimizer, (rate,), task, AGAIN)


def _live_protocols(
    config: Config,
    rows: list[dict[str, Any]],
    path: Path,
    name: str,
    optimizer: str,
    rates: Iterable[float],
    task_name: str,
    seeds: Iterable[int],
) -> None:
    """Adds what is not yet there of a way to learn under a protocol, row by row."""
    head = {"method": name, "optimizer": optimizer, "task": task_name}
    asked = [head | {"rate": r, "seed": s} for r, s in itertools.product(rates, seeds)]
    asked = [one for one in asked if not any(one.items() <= row.items() for row in rows)]
    if not asked:
        return
    task = lm.make_task(task_name, symbols=config.symbols)
    choices = VARIANTS[name].choices | {"optimizer": optimizer}
    learner = OnlineGradient.for_spec(task.spec, width=config.width, **choices)
    life = jax.jit(Parallel(lm.Lifetime(learner, task), config.streams))
    for one in asked:
        theta = {"learning_rate": jnp.asarray(one["rate"]), "horizon": jnp.asarray(STAYS)}
        curve = jax.device_get(life(theta, lm.key(one["seed"]))[1])["nmse_curve"]
        row = one | {"curve": [float(f"{e:.4g}") if np.isfinite(e) else None for e in curve]}
        print(one, {part: float(f"{error_of(row, part):.4g}") for part in PARTS}, flush=True)
        rows.append(row)
        lines = ",\n".join(f" {json.dumps(row)}" for row in rows)
        write_atomic(path, f"[\n{lines}\n]\n".encode())


def error_of(row: dict[str, Any], part: str) -> float:
    """In a part of a life; nan where it diverged there."""
    return float(np.mean(np.array(row["curve"], float)[PARTS[part]]))


def nearest(
    config: Config, rows: list[dict[str, Any]], name: str
) -> tuple[Protocol, str, list[float], float]:
    """Of a way to learn: the protocol and part of a life nearest to what others report.

    Returns:
      Protocol, part, errors task by task (means over the development seeds), and by what factor
      they are off where most.
    """
    reported = REPORTED[VARIANTS[name].choices["method"]]
    errors = {(r["method"], r["optimizer"], r["rate"], r["task"], r["seed"]): r for r in rows}
    seeds = config.development
    best: Any = (("", 0.0), "", [], np.inf)
    for optimizer, rates in TRIED[name].items():
        for rate, part in itertools.product(rates, PARTS):
            lives = [[errors[name, optimizer, rate, task, s] for s in seeds] for task in TASKS]
            own = [float(np.mean([error_of(life, part) for life in each])) for each in lives]
            ratio = off_by(own, reported)
            if ratio < best[-1]:  # never where a life diverged
                best = ((optimizer, rate), part, own, ratio)
    return best


def off_by(errors: Iterable[float], reported: Iterable[float]) -> float:
    """By what factor errors are off where they are off most."""
    ratios = np.array(list(errors)) / np.array(list(reported))
    return float(np.exp(np.abs(np.log(ratios)).max()))


def protocol_table(config: Config, rows: list[dict[str, Any]]) -> str:
    """Of each method the protocol whose errors are nearest to those that others report."""
    lines = [
        f"| | optimiser, rate | part | task | reported | when chosen | on {len(AGAIN)} fresh seeds "
        "| off by |",
        "|---" * 8 + "|",
    ]
    lived = {(r["method"], r["optimizer"], r["rate"], r["task"], r["seed"]) for r in rows}
    for name, tried in TRIED.items():
        every = ((opt, rate) for opt, rates in tried.items() for rate in rates)
        asked = itertools.product(every, TASKS, config.development)
        if not all((name, *protocol, task, seed) in lived for protocol, task, seed in asked):
            continue  # not searched to the end yet
        reported = REPORTED[VARIANTS[name].choices["method"]]
        (optimizer, rate), part, errors, ratio = nearest(config, rows, name)
        head = [VARIANTS[name].name, f"{optimizer}, {rate:g}", part]
        medians = []
        for task, said, chosen_at in zip(TASKS, reported, errors, strict=True):
            own = {"method": name, "optimizer": optimizer, "rate": rate, "task": task}
            fresh = [
                error_of(r, part) for r in rows if own.items() <= r.items() and r["seed"] in AGAIN
            ]
            cells = [*head, TITLES[task], f"{said:.4f}", f"{chosen_at:.2g}"]
            if len(fresh) == len(AGAIN):
                medians.append(np.median(fresh))
                spread = f"({min(fresh):.2g} to {max(fresh):.2g})"
                off = f"{off_by(medians[-1:], [said]):.2f}"
                cells += [f"{medians[-1]:.2g} {spread}", off]
            lines.append("| " + " | ".join(cells) + " |")
            head = ["", "", ""]
        if len(medians) == len(TASKS):
            most = f"**{off_by(medians, reported):.2f}**"
            lines.append(f"| | | | off by at most | | {ratio:.2f} | | {most} |")
    return "\n".join(lines)


# --- gradients -----------------------------------------------------------------------------------

WARM, MEASURED = 100, 200  # symbols at fixed weights: for the influence to build up, and measured
AGES = (0, 1000, 10000)
WAYS: dict[str, dict[str, Any]] = {
    "rtrl": {"method": "rtrl"},
    "snap1": {"method": "snap1"},
    "rflo": {"method": "rflo"},
    "rflo, traces fade by .1": {"method": "rflo", "decay": 0.1},
    "rflo, random feedback": {"method": "rflo", "feedback": "random"},
    "eprop, random feedback": {"method": "eprop", "feedback": "random"},
    "dfa, random feedback": {"method": "dfa", "feedback": "random"},
    "uoro": {"method": "uoro"},
}
"""Whose gradients are compared; feedback is symmetric where nothing is said."""


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _gradients(task_name: str, age: int, leak: float, width: int, key: Any) -> dict[str, Any]:
    """The gradients of the cell's weights, method by method [T, weights], at fixed weights.

    They are those of a network that has learned by SnAp-1 for ``age`` symbols.
    """
    task = lm.make_task(task_name, symbols=age + WARM + MEASURED)
    choices = {"width": width, "leak": leak, "learning_rate": 0.003, "lifespan": 1e4}
    life = lm.Lifetime(OnlineGradient.for_spec(task.spec, method="snap1", **choices), task)
    theta = life.init_theta()
    state, episode = life.start(theta, key)
    split = lambda part: jax.tree.map(lambda x: x[part], episode)  # noqa: E731
    if age:
        state = life.advance(theta, state, split(slice(age)), key)[0]
    rest, found = split(slice(age, None)), {}
    for name, way in WAYS.items():
        learner = dataclasses.replace(life.learner, **({"feedback": "symmetric"} | way))
        newborn = learner.init(jax.random.fold_in(key, 1), theta)
        own = state._replace(influence=newborn.influence, feedback=newborn.feedback)

        def one(state: Any, now: Any, learner: Any = learner) -> Any:
            stimulus, target, key = now
            state, _, gradient = learner.look(state, stimulus, target, key)
            return state, jnp.concatenate([x.ravel() for x in jax.tree.leaves(gradient["cells"])])

        keys = jax.random.split(jax.random.fold_in(key, 2), WARM + MEASURED)
        heard = (rest.stimulus, rest.target, keys)
        found[name] = jax.lax.scan(one, own, heard)[1][WARM:]
    return found


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return (a * b).sum(-1) / np.maximum(lengths, 1e-30)


def cosines(task: str, age: int, leak: float, seeds: Iterable[int], width: int = 64) -> dict:
    """Each method's cosine to RTRL: of one symbol, and of the sum of all that were measured.

    Returns:
      Method -> {"symbol": [mean over symbols, seed by seed], "sum": [seed by seed]}.
    """
    table: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        found = jax.device_get(_gradients(task, age, leak, width, lm.key(seed)))
        exact = found.pop("rtrl")
        for name, gradients in found.items():
            row = table.setdefault(name, {"symbol": [], "sum": []})
            row["symbol"].append(round(float(cosine(gradients, exact).mean()), 4))
            row["sum"].append(round(float(cosine(gradients.sum(0), exact.sum(0))), 4))
    return table


def main_cosines(config: Config, path: Path) -> None:
    """Writes the cosines of all tasks, ages and leaks."""
    rows = []
    for task, age, leak in itertools.product(TASKS, AGES, (1.0, 0.5)):
        found = cosines(task, age, leak, config.fresh, config.width)
        rows.append({"task": task, "age": age, "leak": leak, "methods": found})
        print(
            task,
            age,
            leak,
            {k: round(np.mean(v["symbol"]), 3) for k, v in found.items()},
            flush=True,
        )
    write_atomic(path, (json.dumps(rows, indent=1) + "\n").encode())


# --- the page ------------------------------------------------------------------------------------


def fresh_of(config: Config, lives: Lives, task: str, name: str) -> list[dict[str, Any]]:
    """The lives of a variant that are reported."""
    best = chosen(config, lives, task, name)
    return [lives[key_of(task, name, best, seed)] for seed in config.fresh]


def lived(config: Config, lives: Lives) -> list[tuple[str, str]]:
    """(variant, task) of all that the file has whole, in the order of the table."""

    def whole(task: str, name: str) -> bool:
        tried = (key_of(task, name, s, k) for s in GRID for k in config.development)
        if not all(key in lives for key in tried):
            return False
        best = chosen(config, lives, task, name)
        return all(key_of(task, name, best, seed) in lives for seed in config.fresh)

    return [(name, task) for name in VARIANTS for task in TASKS if whole(task, name)]


def error_table(config: Config, lives: Lives) -> str:
    """Errors on fresh seeds: the median, and the range of all seeds."""
    lines = [
        "| | task | rate, horizon | all | second half | last twentieth | reported by others |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, task in lived(config, lives):
        rate, horizon = chosen(config, lives, task, name)
        found, cells = fresh_of(config, lives, task, name), []
        for part in ("all", "late", "last"):
            values = [life[part] for life in found]
            cells.append(f"{np.median(values):.2g} ({min(values):.2g} to {max(values):.2g})")
        others = f"{REPORTED[name][TASKS.index(task)]:.4f}" if name in REPORTED else ""
        row = [VARIANTS[name].name, task, f"{rate:g}, {horizon:g}", *cells, others]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def cosine_table(rows: list[dict[str, Any]]) -> str:
    """Cosines to the exact gradient, mean over seeds and their range."""
    methods = [name for name in WAYS if name != "rtrl"]
    lines = [
        "| task | leak | symbols learned | " + " | ".join(methods) + " |",
        "|---" * (len(methods) + 3) + "|",
    ]
    for row in rows:
        cells = [row["task"], f"{row['leak']:g}", f"{row['age']:,}"]
        for method in methods:
            values = row["methods"][method]["symbol"]
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        lines.append("| " + " | ".join(cells) + " |")
    learned = [row["methods"] for row in rows if row["leak"] == 1 and row["age"]]
    means = [np.mean([row[method]["symbol"] for row in learned]) for method in methods]
    cells = ["**all three**", "1", "1,000 and 10,000", *(f"**{mean:.2f}**" for mean in means)]
    lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(config: Config, lives: Lives, path: Path) -> None:
    """The error over a life: the median of the seeds, and their range."""
    figure = canvas.blank(11, 3.8)
    axes = figure.subplots(1, 3, sharey=True)
    whole = [(name, task) for name, task in lived(config, lives) if name in DRAWN]
    shown = list(dict.fromkeys(name for name, _ in whole))
    colors = dict(zip(shown, (canvas.BLUE, *canvas.CYCLE), strict=False))
    for axis, task in zip(axes, TASKS, strict=True):
        canvas.dress(axis, TITLES[task], "symbols")
        axis.set(yscale="log", xticks=range(0, config.symbols + 1, config.symbols // 3))
    for name, task in whole:
        curves = np.array([life["curve"] for life in fresh_of(config, lives, task, name)])
        symbols = (np.arange(curves.shape[1]) + 0.5) * config.symbols / curves.shape[1]
        axis, style = axes[TASKS.index(task)], {"color": colors[name]}
        axis.plot(symbols, np.median(curves, 0), label=VARIANTS[name].name, lw=1.6, **style)
        axis.fill_between(symbols, curves.min(0), curves.max(0), alpha=0.12, lw=0, **style)
    axes[0].set_ylabel("squared error / variance", fontsize=canvas.NORMAL)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    canvas.save(figure, path, dpi=110)


def write_page(config: Config) -> None:
    """Draws the figure and puts the tables into the page, between their marks.

    What has not been lived whole is left out.
    """
    lives = json.loads((FIGURES / "signals.json").read_text())["lives"]
    cosine_file = FIGURES / "signals_cosine.json"
    rows = json.loads(cosine_file.read_text()) if cosine_file.exists() else []
    text = PAGE.read_text()
    protocol_file = FIGURES / "signals_protocols.json"
    found = json.loads(protocol_file.read_text()) if protocol_file.exists() else []
    for mark, table in (
        ("errors", error_table(config, lives)),
        ("protocols", protocol_table(config, found)),
        ("cosines", cosine_table(rows)),
    ):
        start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
        before, rest = text.split(start)
        text = before + f"{start}\n{table}\n{end}" + rest.split(end)[1]
    write_atomic(PAGE, text.encode())
    draw(config, lives, FIGURES / "signals.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=("live", "protocols", "cosine", "page"))
    parser.add_argument("--methods", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    given = parser.parse_args()
    if given.command == "live":
        main(Config(), FIGURES / "signals.json", given.tasks, given.methods)
    elif given.command == "protocols":
        protocols(Config(), FIGURES / "signals_protocols.json", given.methods)
    elif given.command == "cosine":
        main_cosines(Config(), FIGURES / "signals_cosine.json")
    else:
        write_page(Config())
