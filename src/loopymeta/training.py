"""A training run from configuration to result: meta-learn, choose, report beside the controls.

Everything random comes from ``config.seed`` through named keys, generation g from
``fold_in(key, g)``, so that a run stopped and resumed is the run that was not, bit for bit.
Three streams of seeds never meet: lifetimes that candidates train on, lifetimes on which the one to
report is chosen, and lifetimes on which it is reported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from loopymeta import _machine, _validate, graph, parameters, registry, runs
from loopymeta._jax import Array, jax, jnp
from loopymeta.baselines import baselines
from loopymeta.config import Control, NetworkConfig, OuterConfig, TrainConfig
from loopymeta.learners import HostLearner, by_name, live_on_host
from loopymeta.learners.parallel import Parallel, in_streams
from loopymeta.lifetime import Lifetime, Mixture, check_memory
from loopymeta.meta import evaluate, finite_worst
from loopymeta.network import Innate
from loopymeta.parameters import Theta
from loopymeta.rules import Rule
from loopymeta.runs import Run
from loopymeta.suite import Entry, entry_of
from loopymeta.tasks import TASKS
from loopymeta.tasks.base import Task

RULE_FORMAT = "loopymeta-rule"
RULE_VERSION = 1
LINE = 5
"""Points on the line from the start of a search to its center that are tried for the report."""

CONTROLS: tuple[Control, ...] = ("frozen", "shuffled", "zero")
SAVE_SECONDS = 5.0
"""Seconds between checkpoints: what a run that is killed has to live again at most."""

CONFIG_TYPES: tuple[type, ...] = (TrainConfig, NetworkConfig, OuterConfig, Innate, Entry)


def config_types() -> list[type]:
    """Every class that may occur in a run's configuration: ours, and every rule imported so far."""
    rules = {cls.__name__: cls for cls in (*registry.RULES.values(), *registry.WRAPPERS.values())}
    for cls in _subclasses(Rule):
        rules.setdefault(cls.__name__, cls)
    wirings = (*graph.CONNECTIVITY.values(), graph.Pools)
    return [*CONFIG_TYPES, *TASKS.values(), *rules.values(), *wirings]


def _subclasses(cls: type) -> list[type]:
    return [found for sub in cls.__subclasses__() for found in (sub, *_subclasses(sub))]


def read_config(path: str | os.PathLike[str]) -> TrainConfig:
    """The configuration of a training run, from its folder.

    Raises:
      RunError, ConfigError: the folder is no run's, or its config.json is damaged; says where.
    """
    path = Path(path) / "config.json"
    contents = runs.read_json_file(path)
    if not isinstance(contents, Mapping) or not isinstance(contents.get("config"), Mapping):
        raise runs.RunError(f"{path} holds no configuration: it is damaged, or no training run's")
    return config_from_dict(contents["config"])


def config_from_dict(data: Mapping[str, Any]) -> TrainConfig:
    """The configuration that `runs.to_dict` wrote, checked field by field.

    Raises:
      ConfigError: names the field, what was expected and what came.
    """
    return runs.from_dict(data, config_types(), kind=TrainConfig)


class Interrupted(Exception):
    """A run stopped by its user, safely; it can be resumed. Its cause says how it was stopped."""

    def __init__(self, run: Run, generation: int):
        super().__init__(f"stopped after generation {generation}; {run.path} can be resumed")
        self.run, self.generation = run, generation


class Reporter:
    """Hears what a run does; this one says nothing. Derive from it to show progress."""

    def begin(self, run: Run, config: TrainConfig, generation: int, searched: list[str]) -> None:
        """The run begins (or goes on) after ``generation``; these parts of theta are searched."""

    def compiled(self, what: str, seconds: float) -> None:
        """Something was compiled; the time is not part of any other."""

    def generation(self, row: Mapping[str, float]) -> None:
        """A generation is done: its metrics."""

    def stage(self, text: str) -> None:
        """A stage after the training begins."""

    def note(self, text: str) -> None:
        """Something that is worth knowing."""

    def figures(self, name: str, metrics: Mapping[str, Any]) -> None:
        """The reported figures of one learner."""

    def done(self, run: Run, result: Mapping[str, Any]) -> None:
        """Everything is written."""

    def end(self) -> None:
        """The run is over, whether it is done, was stopped or failed."""


def task_name(task: Task) -> str:
    """The registered name of a task."""
    for name, cls in TASKS.items():
        if type(task) is cls:
            return name
    return type(task).__name__.lower()


def train(
    config: TrainConfig,
    out: str | os.PathLike[str] = "runs",
    *,
    name: str | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Runs a configuration in a fresh folder and returns the run.

    Args:
      config: what to train, e.g. ``recipe("memorize")``.
      out: folder of run folders.
      name: name of the run's folder; default: the task and the time.
      reporter: hears of the progress.

    Raises:
      RunError: the folder exists, or cannot be written.
      Interrupted: stopped from the keyboard, or nobody reads the output any more (a broken pipe);
        a checkpoint is written.
    """
    _check(config)  # before there is a folder: a run that cannot be leaves nothing behind
    label = task_name(config.task)
    run = Run.create(out, config, name=name, label=label, device=device_name())
    return _drive(run, config, reporter or Reporter())


def resume(path: str | os.PathLike[str], *, reporter: Reporter | None = None) -> Run:
    """Goes on with a run that was stopped in any way; its result is that of one that was not."""
    run = Run.open(path)
    config = read_config(run.path)
    _check(config)
    return _drive(run, config, reporter or Reporter())


def _check(config: TrainConfig) -> None:
    """Refuses what cannot be run, before anything is written or computed.

    Raises:
      ValueError, TypeError: names what cannot be.
    """
    available = len(jax.devices())
    if config.outer.devices is not None and config.outer.devices > available:
        raise ValueError(f"devices must be at most {available}, got {config.outer.devices}")
    tasks = [config.task, config.train_task, *(entry_of(each).task for each in config.mixture)]
    for task in (*tasks, config.select_task):
        if task is not None:
            _check_length(task.spec.length)
    life = dataclasses.replace(config, objective="loss").training()  # whose metrics tell all
    problem = config.search(life, _num_devices(config.outer.devices)).problem
    problem.center()
    key = jax.eval_shape(lambda: jax.random.key(0))
    _, metrics = jax.eval_shape(life, problem.theta, key)
    numbers = [name for name, value in metrics.items() if value.shape == ()]
    _validate.choice("objective", config.objective, numbers)
    if _better_high(config.objective):
        raise ValueError(
            f"the outer loop lowers its objective, and {config.objective} is better the higher it "
            "is: take a loss"
        )
    for entry in map(entry_of, config.mixture):
        if _better_high(entry.metric) != entry.higher_is_better:
            wanted = _better_high(entry.metric)
            raise ValueError(f"{entry.metric} needs higher_is_better={wanted} in a mixture")
    config.search(config.training())  # an outer loop may refuse an objective
    # What is found on one task must fit the networks that it is chosen and reported on.
    select = config.selection()
    for name, other in (("select_task", select), ("task", config.lifetime())):
        theta = parameters.check_theta(problem.theta, other.init_theta(), f"theta on {name}: theta")
        jax.eval_shape(other, theta, key)


def _better_high(metric: str) -> bool:
    """Whether a metric is better the higher it is, by its name."""
    return any(word in metric for word in ("accuracy", "recall", "dependence"))


def _check_length(symbols: int) -> None:
    """Refuses lifetimes that no memory holds (stream and outcome are 9 arrays of 4 bytes)."""
    what = f"a lifetime of {symbols:,} symbols"
    _machine.check_memory(f"{what} takes", 36 * symbols, "a shorter task")
    if symbols >= 1 << 31:
        raise ValueError(f"{what} is too long: {2**31 - 1:,} is the most")


def device_name() -> str:
    """What the run computes on."""
    device = jax.devices()[0]
    return f"{len(jax.devices())} x {device.device_kind} ({device.platform})"


# --- the stages ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Keys:
    """The named streams of randomness of a run."""

    seed: int

    def _child(self, index: int) -> Array:
        return jax.random.fold_in(jax.random.key(self.seed), index)

    def birth(self) -> Array:
        """Of the outer loop's first state."""
        return self._child(0)

    def generation(self, generation: int) -> Array:
        """Of one generation."""
        return jax.random.fold_in(self._child(1), generation)

    def select(self, num: int) -> Array:
        """Of the lifetimes on which the rule to report is chosen."""
        return jax.random.split(self._child(2), num)

    def report(self, num: int) -> Array:
        """Of the lifetimes on which it is reported."""
        return jax.random.split(self._child(3), num)


def _drive(run: Run, config: TrainConfig, reporter: Reporter) -> Run:
    try:
        with run.lock():
            result = _finished(run, config, reporter) or _complete(run, config, reporter)
            reporter.stage("drawing figures")
            _draw(run, reporter)
            reporter.done(run, result)
    except (KeyboardInterrupt, BrokenPipeError) as stop:
        saved = run.checkpoints()
        raise Interrupted(run, saved[-1][0] if saved else 0) from stop
    finally:
        reporter.end()
    return run


def _finished(run: Run, config: TrainConfig, reporter: Reporter) -> dict[str, Any] | None:
    """The result of a run that has one: it is written last, so nothing is left to compute."""
    if not (run.path / "result.json").exists():
        return None
    result = run.read_json("result.json")
    reporter.begin(run, config, config.outer.generations, [])
    reporter.note("the run is finished already; its result is kept as it is")
    for leftover in run.path.glob("report-*.json"):
        leftover.unlink()
    return result


def _complete(run: Run, config: TrainConfig, reporter: Reporter) -> dict[str, Any]:
    """What is missing of a run, from its last checkpoint on."""
    outer, state = _search(run, config, reporter)
    theta, chosen = _choose(config, outer, state, reporter)
    write_rule(run, config, theta, chosen)
    return _report(run, config, outer.problem.theta, theta, chosen, reporter)


def _search(run: Run, config: TrainConfig, reporter: Reporter) -> tuple[Any, Any]:
    """The outer loop, from the last checkpoint on: (outer loop, its last state)."""
    keys = _Keys(config.seed)
    outer = config.search(config.training(), _alone(config) or _num_devices(config.outer.devices))
    template = jax.eval_shape(outer.init, keys.birth())
    if run.checkpoints():
        done, state, _ = run.load_checkpoint(template)
    else:
        done, state = 0, jax.jit(outer.init)(keys.birth())
    run.truncate_metrics(done)
    reporter.begin(run, config, done, outer.problem.searched())
    if done:
        _note_changes(run, reporter)
    total = config.outer.generations
    if done >= total:
        return outer, state
    started = time.perf_counter()
    step = jax.jit(outer.step).lower(keys.generation(done), state).compile()
    reporter.compiled("the outer loop", time.perf_counter() - started)
    saved = time.perf_counter()
    # One name for both: an interrupt never finds the state of one generation with the number of
    # another.
    last = (done, state)
    try:
        for generation in range(done, total):
            started = time.perf_counter()
            state, metrics = step(keys.generation(generation), last[1])
            row = {"generation": generation + 1} | {k: float(v) for k, v in metrics.items()}
            row["seconds"] = time.perf_counter() - started
            row["lifetimes_per_second"] = _lifetimes(config.outer) / row["seconds"]
            run.append_metrics(row)
            last = (generation + 1, state)
            if generation + 1 == total or time.perf_counter() - saved >= SAVE_SECONDS:
                run.save_checkpoint(*last)
                saved = time.perf_counter()
            reporter.generation(row)
    except (KeyboardInterrupt, Exception):
        with contextlib.suppress(OSError):  # a full disk is told by the one that met it first
            run.save_checkpoint(*last)
        raise
    return outer, state


def _note_changes(run: Run, reporter: Reporter) -> None:
    """Says what is not as it was when a run began: its numbers may then differ in a last bit."""
    changed = run.changed_versions()
    device = run.read_json("config.json").get("device")
    if device != device_name():
        changed["device"] = (device, device_name())
    if changed:
        listed = "; ".join(f"{name}: {then} -> {now}" for name, (then, now) in changed.items())
        reporter.note(
            "changed since the run began, so that its result may not be, bit for bit, that of a "
            f"run that was not stopped: {listed}"
        )


def _lifetimes(outer: OuterConfig) -> int:
    """Lifetimes lived in a generation."""
    others = 1 + outer.elites
    if outer.method == "persistent":
        return outer.population_size
    candidates = 1 if outer.method == "gradient" else outer.population_size
    return (candidates + others) * outer.lifetimes


def _num_devices(asked: int | None) -> int:
    return len(jax.devices()) if asked is None else asked


def _alone(config: TrainConfig) -> int | None:
    """One device for learners on a CPU (why, see `loopymeta.baselines.baselines`), else None."""
    return 1 if config.learner and jax.default_backend() == "cpu" else None


def _choose(
    config: TrainConfig, outer: Any, state: Any, reporter: Reporter
) -> tuple[Theta, dict[str, Any]]:
    """The theta to report, and how it was chosen: the best of a few on fresh lifetimes of its own.

    The candidates are the elites and the points on the line from the start of the search to its
    center: where the outer loop lived shorter lives than those reported, it went too far, and a
    point between may be the better one. The start is among them: the search may have found nothing.
    """
    if not config.select:
        return outer.best(state), {"candidate": "best elite"}
    reporter.stage(f"choosing among the candidates on {config.select} fresh lifetimes")
    start = outer.problem.center()
    steps = jnp.linspace(0.0, 1.0, LINE)[:, None]
    line = start[None] + steps * (state.center - start)[None]
    points = jnp.concatenate([line, state.elites.coordinates])
    keys = _Keys(config.seed).select(config.select)
    thetas = jax.vmap(outer.problem.theta_at)(points)
    lifetime = config.selection()
    losses, _ = live_on(lifetime, thetas, keys, _alone(config))
    mean = losses.mean(1)
    place = int(jnp.argmin(finite_worst(jnp.asarray(mean))))
    names = _candidate_names(len(state.elites.coordinates))
    chosen = {
        "candidate": names[place],
        "metric": lifetime.objective,
        "lifetimes": config.select,
        "means": dict(zip(names, mean.tolist(), strict=True)),
    }
    reporter.note(
        f"chosen: {names[place]}, {lifetime.objective} {mean[place]:.4f} (start {mean[0]:.4f})"
    )
    return jax.tree.map(np.asarray, outer.problem.theta_at(points[place])), chosen


def _candidate_names(num_elites: int) -> list[str]:
    """The candidates of `_choose` in words: on the line from start to center, then the elites."""
    between = [f"{100 * k / (LINE - 1):.0f} % from start to center" for k in range(1, LINE - 1)]
    return ["start", *between, "center", *(f"elite {k + 1}" for k in range(num_elites))]


def live_on(
    lifetime: Lifetime | Parallel | Mixture, thetas: Theta, keys: Array, devices: int | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Every theta on every key, a few lifetimes at a time: losses [P, B], metrics [P, B, ...].

    Lifetimes are shared out over the devices, and lived in batches small enough for the cache.
    """
    devices = _num_devices(devices)
    num = keys.shape[0]
    each = math.ceil(num / devices)
    padded = jnp.concatenate([keys, jnp.broadcast_to(keys[-1:], (each * devices - num,))])

    def part(keys: Array, thetas: Theta) -> Any:
        result = evaluate(lifetime, thetas, keys)
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), result)

    mesh = jax.sharding.Mesh(jax.devices()[:devices], ("lifetimes",))
    spec, whole = jax.sharding.PartitionSpec("lifetimes"), jax.sharding.PartitionSpec()
    run = jax.shard_map(part, mesh=mesh, in_specs=(spec, whole), out_specs=spec, check_vma=False)
    losses, metrics = jax.jit(run)(padded, thetas)
    return jax.tree.map(lambda x: np.moveaxis(np.asarray(x[:num]), 0, 1), (losses, metrics))


def summary(metrics: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Mean and spread (standard deviation over lifetimes) of metrics [B, ...]."""
    shown = {}
    for name, values in metrics.items():
        values = np.asarray(values, float)
        with np.errstate(all="ignore"):
            spread = values.std(0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)
        shown[name] = {
            "mean": values.mean(0).tolist(),
            "spread": spread.tolist(),
            "seeds": len(values),
        }
        if values.ndim == 1 and len(values) <= 32:
            shown[name]["per_seed"] = values.tolist()
    return shown


def figures_of(
    lifetime: Lifetime | Parallel, theta: Theta, keys: Array, devices: int | None = None
) -> dict[str, dict[str, Any]]:
    """The figures of one learner over the lifetimes of ``keys``."""
    one = jax.tree.map(lambda x: jnp.asarray(x)[None], theta)
    _, metrics = live_on(lifetime, one, keys, devices)
    return summary({name: values[0] for name, values in metrics.items()})


def _control_figures(
    config: TrainConfig, control: Control, theta: Theta, keys: Array
) -> dict[str, dict[str, Any]]:
    return figures_of(config.lifetime(control=control), theta, keys)


def _report(
    run: Run,
    config: TrainConfig,
    start: Theta,
    theta: Theta,
    chosen: Mapping[str, Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """The final figures, learner by learner; what a stopped run had reported already is kept."""
    keys = _Keys(config.seed).report(config.report)
    reporter.stage(f"reporting on {config.report} fresh lifetimes")
    devices = _alone(config)
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        "learned": lambda: figures_of(config.lifetime(), theta, keys, devices)
    }
    if config.controls:
        some = keys[: config.report_controls]
        for control in () if config.learner else CONTROLS:  # which are of networks
            jobs[control] = functools.partial(_control_figures, config, control, theta, some)
        jobs["untrained"] = lambda: figures_of(config.lifetime(), start, some, devices)
    if config.baselines:
        for name, job in baselines(config.task).items():
            jobs[name] = lambda job=job: summary(job(keys))
    result: dict[str, Any] = {}
    for name, job in jobs.items():
        stored = f"report-{name}.json"
        if (run.path / stored).exists():
            result[name] = run.read_json(stored)
        else:
            result[name] = job()
            run.write_json(stored, result[name])
        reporter.figures(name, result[name])
    spec = config.task.spec
    about = {
        "task": task_name(config.task),
        "lifetimes": config.report,
        "symbols": spec.length,
        "chance": spec.chance,
        "floor": spec.floor,
        "chosen": chosen,
        "device": device_name(),
        "versions": runs.versions(),
        "spread": "standard deviation over lifetimes on fresh seeds",
    }
    ceiling = getattr(config.task, "ceiling", None)
    # It costs samples x symbols^2: fewer samples, or none, for long lifetimes.
    samples = min(2000, int(4e9 / spec.length**2))
    if ceiling is not None and samples >= 20:
        about["ceiling"] = np.asarray(ceiling(samples)).tolist()
    result["about"] = about
    run.write_json("result.json", result)
    for name in jobs:
        (run.path / f"report-{name}.json").unlink(missing_ok=True)
    return result


def _draw(run: Run, reporter: Reporter) -> None:
    """All figures of the run; a figure that fails must not lose the result."""
    from loopymeta import plots

    try:
        plots.training_figures(run.path)
    except Exception as error:
        reporter.note(f"a figure could not be drawn: {error}")


# --- rule files ----------------------------------------------------------------------------------


def write_rule(run: Run, config: TrainConfig, theta: Theta, chosen: Mapping[str, Any]) -> None:
    """rule.json: the networks' configuration, the meta-parameters found and how they were chosen.

    The formula and the edge classes of the networks are written beside, for who reads the file.
    Where a learner lived instead of networks, its text stands for all of that.
    """
    if config.learner:
        head = {"format": RULE_FORMAT, "version": RULE_VERSION, "task": task_name(config.task)}
        own = {"chosen": chosen, "learner": config.learner, "streams": config.streams}
        run.write_json("rule.json", head | own | {"theta": parameters.theta_to_json(theta)})
        return
    network = config.network.build(config.task.spec).network
    run.write_json(
        "rule.json",
        {
            "format": RULE_FORMAT,
            "version": RULE_VERSION,
            "task": task_name(config.task),
            "formula": network.formula(theta).split("\n"),
            "chosen": chosen,
            "edge_classes": network.edge_classes,
            "network": runs.to_dict(config.network),
            "theta": parameters.theta_to_json(theta),
        },
    )


def read_rule(path: str | os.PathLike[str]) -> tuple[NetworkConfig, Theta]:
    """The networks' configuration and theta of a rule file, or of a run folder's.

    Raises:
      RunError: there is no such file, or it is no rule file.
      ValueError: theta does not fit the rules, or is not finite.
    """
    path, data = _read_rule_file(path)
    if "learner" in data:
        raise runs.RunError(f"{path} is of the learner {data['learner']}, not of a rule")
    for name in ("network", "theta"):
        if name not in data:
            raise runs.RunError(f"{path} lacks {name!r}: it is damaged")
    network = runs.from_dict(data["network"], config_types(), "network", NetworkConfig)
    return network, _theta_in(path, data)


def is_learner(path: str | os.PathLike[str]) -> bool:
    """Whether a rule file or run folder is of a learner that was meta-learned, not of a rule."""
    return "learner" in _read_rule_file(path)[1]


def read_learner(path: str | os.PathLike[str]) -> tuple[str, Theta]:
    """The text and theta of a learner that was meta-learned, from its rule file or run folder.

    ``learners.by_name.learner_of`` makes the learner of the text.

    Raises:
      RunError: there is no such file, or it is none of a learner.
    """
    path, data = _read_rule_file(path)
    for name in ("learner", "theta"):
        if name not in data:
            raise runs.RunError(f"{path} is no file of a learner: it lacks {name!r}")
    return str(data["learner"]), _theta_in(path, data)


def read_streams(path: str | os.PathLike[str]) -> int:
    """In how many parallel streams the learner of a rule file or run folder was meta-learned."""
    path, data = _read_rule_file(path)
    streams = data.get("streams", 1)
    if type(streams) is not int or streams < 1:
        raise runs.RunError(f"{path}: streams must be a whole number from 1 on, got {streams!r}")
    return streams


def _theta_in(path: Path, data: Mapping[str, Any]) -> Theta:
    try:
        return parameters.theta_from_json(data["theta"])
    except (TypeError, ValueError) as error:
        raise runs.RunError(f"{path}: theta is no table of numbers: {error}") from None


def _read_rule_file(path: str | os.PathLike[str]) -> tuple[Path, Mapping[str, Any]]:
    path = Path(path)
    if path.is_dir():
        path = path / "rule.json"
    data = runs.read_json_file(path)
    if not isinstance(data, Mapping) or data.get("format") != RULE_FORMAT:
        raise runs.RunError(f"{path} is no rule file of loopymeta")
    if data.get("version") != RULE_VERSION:
        raise runs.RunError(
            f"{path} is a rule file of version {data.get('version')!r}; this loopymeta reads "
            f"version {RULE_VERSION}"
        )
    return path, data


def evaluate_rule(
    network: NetworkConfig,
    theta: Theta | None,
    task: Task,
    *,
    seeds: int = 8,
    seed: int = 0,
    controls: Iterable[Control] = CONTROLS,
    with_baselines: bool = True,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """The figures of a rule on a task on fresh seeds, controls and baselines beside.

    Args:
      network: the networks.
      theta: meta-parameters; None: the rules' own.
      task: what they live through.
      seeds: lifetimes.
      seed: of the lifetimes; never the same as those of a training run.
      controls: controls to report beside.
      with_baselines: also report the task's baselines.
      reporter: hears of each learner's figures.
    """

    everyone: list[tuple[str, Control]] = [("learned", "none"), *((c, c) for c in controls)]

    def figures(keys: Array) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, control in everyone:
            controlled = dataclasses.replace(network, control=control)
            plastic = controlled.build(task.spec, seed + 2_000_003)
            template = plastic.init_theta()
            checked = template
            if theta is not None:
                checked = parameters.check_theta(theta, template, space=plastic.space())
            yield name, figures_of(Lifetime(plastic, task), checked, keys)

    return _evaluated(figures, task, seeds, seed, with_baselines, reporter)


def evaluate_learner(
    learner: str,
    theta: Theta | None,
    task: Task,
    *,
    seeds: int = 8,
    seed: int = 0,
    streams: int = 1,
    with_baselines: bool = True,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """The figures of a learner on a task on fresh seeds; of one that was meta-learned, the one that
    was not beside.

    Args:
      learner: its text (see `read_learner`).
      theta: meta-parameters; None: the learner's own.
      task: what it lives through.
      seeds, seed, with_baselines, reporter: see `evaluate_rule`.
      streams: lifetimes that it lives at once with one set of weights
        (`loopymeta.learners.Parallel`): figures are then those of a stream, the mean over all.

    Raises:
      ValueError, TypeError: the learner cannot live the task, or several streams of it, or theta
        is none of its.
    """
    who = by_name.learner_of(learner, task)
    check_memory(who, learner, streams=streams)
    start = who.init_theta()
    thetas = {learner: start}  # which nobody meta-learned
    if theta is not None:
        checked = parameters.check_theta(theta, start, space=who.space())
        thetas = {"learned": checked, "untrained": start}
    devices = 1 if jax.default_backend() == "cpu" else None  # as in `_alone`
    life = in_streams(Lifetime(who, task), streams)

    def figures(keys: Array) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(who, HostLearner):
            for name, own in thetas.items():
                lives = [live_on_host(who, task, key, own)[1] for key in keys]
                yield name, summary({m: np.stack([life[m] for life in lives]) for m in lives[0]})
            return
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *thetas.values())
        _, metrics = live_on(life, stacked, keys, devices)
        for place, name in enumerate(thetas):
            yield name, summary({metric: values[place] for metric, values in metrics.items()})

    return _evaluated(figures, task, seeds, seed, with_baselines, reporter)


def _evaluated(
    figures: Callable[[Array], Iterator[tuple[str, dict[str, Any]]]],
    task: Task,
    seeds: int,
    seed: int,
    with_baselines: bool,
    reporter: Reporter | None,
) -> dict[str, Any]:
    """(name, figures) on the keys of an evaluation, and behind them those of the baselines."""
    _validate.at_least("seeds", seeds, 1)
    reporter = reporter or Reporter()
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1 << 20), seeds)
    others = baselines(task) if with_baselines else {}
    beside = ((name, summary(job(keys))) for name, job in others.items())
    result: dict[str, Any] = {}
    for name, found in itertools.chain(figures(keys), beside):
        if name not in result:  # a baseline may be asked for by its name
            result[name] = found
            reporter.figures(name, found)
    return result
