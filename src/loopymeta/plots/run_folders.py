"""All figures of a run folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loopymeta import graph as graphs
from loopymeta.plots import results, rule_maps
from loopymeta.plots.canvas import save
from loopymeta.plots.curves import ladder, learning_curve, recall_by_presentation, recall_curve
from loopymeta.plots.graphs import graph
from loopymeta.plots.lifetimes import lifetime, record_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from loopymeta._jax import Array


def training_figures(
    run_path: str | os.PathLike[str], *, say: Callable[[str], None] | None = None
) -> list[Path]:
    """Draws all that a run folder holds into its ``figures`` folder; returns the files.

    metrics.csv becomes learning_curve.png, rule.json rule.png, one lifetime of the rule found
    lifetime.png and one of its graphs graph.png, and result.json ladder.png and, for tasks that
    have them, recall_by_presentation.png and recall_curve.png. Where a learner was meta-learned
    there is neither rule nor graph to be drawn.

    Args:
      run_path: a run folder.
      say: is told, a line each, what could not be drawn and why (default: to standard error).

    Raises:
      RunError: it is no run folder.
    """
    from loopymeta.runs import Run

    run = Run.open(run_path)
    say = say or (lambda text: print(text, file=sys.stderr))
    paths: list[Path] = []
    told: set[str] = set()
    for draw in (_run_curve, _run_rule, _run_results, _run_lifetime):
        try:
            figures = draw(run)
        except (ValueError, TypeError, KeyError, ImportError) as error:
            if str(error) not in told:  # one missing file may be the lack of several figures
                say(f"not drawn: {error}")
            told.add(str(error))
            continue
        for name, figure in figures.items():
            paths.append(save(figure, run.figures / f"{name}.png"))
    return paths


def _optional(run: Any, name: str) -> Any:
    """A file of JSON, or {} where there is none."""
    return run.read_json(name) if (run.path / name).is_file() else {}


def _run_curve(run: Any) -> dict[str, Figure]:
    metrics = run.read_metrics()
    if not metrics:
        raise ValueError(f"the learning curve: {run.path} has no metrics yet")
    config, about = run.config(), results.about(_optional(run, "result.json"))
    objective = config.get("objective", "loss")
    # The floor of the result is that of the task it reports; the search may live another one.
    same = config.get("task") == config.get("train_task") and objective == "loss"
    title = f"Meta-learning on {_task_name(config, about)}"
    return {
        "learning_curve": learning_curve(
            metrics, floor=about.get("floor") if same else None, title=title
        )
    }


def _task_name(config: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    task = config.get("task")
    named = task.get("type", "a task") if isinstance(task, Mapping) else task
    return str(about.get("task") or named or "a task").lower()


def _run_rule(run: Any) -> dict[str, Figure]:
    from loopymeta.network import EDGE_CLASSES
    from loopymeta.training import is_learner, read_rule

    if is_learner(run.path):
        return {}
    network, theta = read_rule(run.path)
    classes = run.read_json("rule.json").get("edge_classes", EDGE_CLASSES)
    # As in the network: a bundle without a rule of its own follows the rule.
    names = ("memory_rule", "rule", "output_rule")
    parts = [part if getattr(network, part) is not None else "rule" for part in names]
    sizes = {"memory nodes": network.num_memory, "hidden nodes": network.num_hidden, "outputs": 1}
    drawn = []
    for part in dict.fromkeys(parts):
        rule = getattr(network, part)
        onto = [
            kind for kind, owner in zip(sizes, parts, strict=True) if owner == part and sizes[kind]
        ]
        if not onto or not rule.init() or part not in theta:
            continue
        owners = None
        if network.sharing == "per_class":
            owners = rule_maps.class_owners(parts, part, classes)
        title = f"Synapses onto {' and '.join(onto)}: {rule_maps.rule_name(rule)}"
        drawn.append((title, rule, theta[part], owners))
    if not drawn:
        raise ValueError(f"the rule: {run.path / 'rule.json'} holds no rule with numbers (theta)")
    return {"rule": rule_maps.stacked_rules(drawn)}


_RECORDED = 25_000_000
"""Activities that the figure of a lifetime may record: 100 MB."""


def _run_lifetime(run: Any) -> dict[str, Figure]:
    """One lifetime of the rule found on the task of the search, and one of the graphs.

    Of a life too long to be recorded in `_RECORDED` numbers it is the beginning.
    """
    from loopymeta._jax import jax
    from loopymeta.lifetime import Lifetime
    from loopymeta.parameters import check_theta
    from loopymeta.training import is_learner, read_config, read_rule

    if is_learner(run.path):
        return {}
    config, (network, theta) = read_config(run.path), read_rule(run.path)
    task = config.train_task
    learner = network.build(task.spec, config.seed)
    theta = check_theta(theta, learner.init_theta(), space=learner.space())
    life = Lifetime(learner, task, record=record_network)
    limit = max(_RECORDED // learner.network.num_nodes, 1)

    def live(key: Array) -> tuple[Any, Any]:
        state, episode = life.start(theta, key)
        episode = jax.tree.map(lambda x: x[:limit], episode)
        return episode, life.through(theta, state, episode, key)[2]

    episode, record = jax.device_get(jax.jit(live)(jax.random.key(config.seed)))
    title = f"One lifetime of the rule found, on {_task_name(run.config(), {})}"
    if task != config.task:  # the report is on another one, often longer
        title += " as in the search"
    symbols, target = task.spec.symbols, None
    if task.spec.loss == "cross_entropy":
        target = np.where(episode.scored > 0, episode.target, -1)
    sizes = (learner.network.num_inputs, learner.network.num_hidden, learner.network.num_outputs)
    one = graphs.Graph(*(np.asarray(part)[0] for part in learner.graphs))
    return {
        "lifetime": lifetime(
            record,
            symbols=symbols,
            target=target,
            title=title,
        ),
        "graph": graph(one, *sizes, network.num_memory),
    }


def _run_results(run: Any) -> dict[str, Figure]:
    result = run.read_json("result.json")
    task = run.config().get("task")
    task = task if isinstance(task, Mapping) else {}
    drawn: dict[str, Figure] = {}
    if results.read(result, "recall_by_presentation"):
        drawn["recall_by_presentation"] = recall_by_presentation(result)
    if curves := results.read(result, "recall_curve"):
        points = max(entry.mean.size for entry in curves.values())
        each = task["sequences"] / points if "sequences" in task else None
        # Chance in a result is that of all targets; of a letter it is one in the alphabet.
        guess = 1 / task["alphabet"] if "alphabet" in task else None
        drawn["recall_curve"] = recall_curve(result, sequences_per_point=each, chance=guess)
    nats = [f"{kind}_nats" for kind in ("prequential", "dev", "test", "held_out")]
    keys = [key for key in nats if results.read(result, key)]
    if not keys and results.read(result, "loss"):
        keys = ["loss"]
    if keys:
        name = _task_name({}, results.about(result)).capitalize()
        title = f"{name}: the lower, the better it predicts"
        floor = results.about(result).get("floor")
        floors = {"floor": floor} if keys == ["loss"] and floor is not None else None
        drawn["ladder"] = ladder(result, keys, references=floors, title=title)
    if not drawn:
        raise ValueError(f"the result: {run.path / 'result.json'} has no figures that can be drawn")
    return drawn
