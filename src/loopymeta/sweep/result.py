"""What came of a sweep: its points, what matters, and the best one beside what it began with."""

from __future__ import annotations

import collections
import csv
import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loopymeta import runs
from loopymeta.checkpoint import write_atomic
from loopymeta.sweep import living
from loopymeta.sweep.config import FORMAT, SweepConfig, write
from loopymeta.sweep.living import WORST, Course
from loopymeta.sweep.study import load_optuna
from loopymeta.sweep.subjects import IMPOSSIBLE, Subject, SweepError, reason_of

FEWEST = 10
"""Points that must have been lived before anything is said of what matters."""
SHUFFLES = 50

Say = Callable[..., None]
"""Hears what a sweep does: ``say(event, **values)``."""


def row_of(trial: Any) -> dict[str, Any]:
    """What is known of a point."""
    reason = trial.user_attrs.get("reason")
    state = "impossible" if reason else {"COMPLETE": "complete"}.get(trial.state.name, "pruned")
    losses = trial.user_attrs.get("losses", {})
    return {
        "number": trial.number,
        "state": state,
        "loss": trial.value if state != "impossible" else None,
        "losses": {text: float(np.mean(each)) for text, each in losses.items()},
        "values": dict(trial.params),
        "seconds": trial.user_attrs.get("seconds"),
        "reason": reason,
    }


def points(study: Any) -> list[dict[str, Any]]:
    """The points of a study that were lived or could not be, in their order."""
    return [row_of(trial) for trial in _kept(study)]


def _kept(study: Any) -> list[Any]:
    """The trials of these points."""
    return [t for t in study.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED")]


def _table(rows: Sequence[Mapping[str, Any]], config: SweepConfig) -> str:
    """The points as a table in CSV."""
    names = list(config.space())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "state", "loss", *config.tasks, *names, "seconds", "reason"])
    for row in rows:
        losses = [row["losses"].get(task, "") for task in config.tasks]
        values = [row["values"].get(name, "") for name in names]
        cells = [row["number"], row["state"], row["loss"], *losses, *values]
        writer.writerow(["" if c is None else c for c in (*cells, row["seconds"], row["reason"])])
    return text.getvalue()


def importances(study: Any, seed: int = 0) -> dict[str, tuple[float, float]]:
    """What it depends on whether a point is among the best tenth: {name: (share, by chance)}.

    PED-ANOVA (Watanabe et al., 2023) by Optuna: how far the values of the best tenth (at least 5
    points) are spread otherwise than those of all. Pruned points count as worse than all complete
    ones; those that cannot be do not count. Shares sum to 1, the largest first. ``by chance`` is
    the 95th percentile of the share when the losses are shuffled among the points: what is not
    above it may mean nothing. Empty where fewer than `FEWEST` points were lived.
    """
    optuna = load_optuna()
    rows = [(row, t) for row, t in zip(points(study), _kept(study), strict=True)]
    lived = [(row, t) for row, t in rows if row["state"] != "impossible"]
    losses = [row["loss"] if row["state"] == "complete" else 2 * WORST for row, _ in lived]
    complete = sum(loss < 2 * WORST for loss in losses)
    if len(lived) < FEWEST or complete < 2:
        return {}
    quantile = min(max(0.1, 5 / len(lived)), complete / len(lived))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)

    def spread(values: Sequence[float]) -> dict[str, float]:
        of = optuna.create_study()
        of.add_trials(
            [
                optuna.create_trial(params=t.params, distributions=t.distributions, value=value)
                for (_, t), value in zip(lived, values, strict=True)
            ]
        )
        return evaluator.evaluate(of)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of conditions that few points meet
        found = spread(losses)
        generator = np.random.default_rng(seed)
        shuffled = [spread(generator.permutation(losses).tolist()) for _ in range(SHUFFLES)]
    total = sum(found.values()) or 1.0
    return {
        name: (value / total, float(np.percentile([each[name] for each in shuffled], 95)) / total)
        for name, value in sorted(found.items(), key=lambda item: -item[1])
    }


def relive(
    config: SweepConfig, subject: Subject, courses: Sequence[Course], stream: str
) -> dict[str, Any]:
    """The loss of a subject on fresh lifetimes: its mean over tasks, that of each, spreads."""
    tasks = {}
    for place, course in enumerate(courses):
        life = living.life_of(config, subject, course, stream)
        losses = living.live(config, life, course, place, stream)
        spread = float(losses.std(ddof=1)) if len(losses) > 1 else math.nan
        tasks[course.text] = {"mean": float(losses.mean()), "spread": spread, "seeds": len(losses)}
    means = np.array([each["mean"] for each in tasks.values()])
    error = np.array([each["spread"] / math.sqrt(each["seeds"]) for each in tasks.values()])
    return {
        "mean": float(means.mean()),
        "standard_error": float(np.sqrt((error**2).sum()) / len(error)),
        "tasks": tasks,
    }


def finish(folder: Path, config: SweepConfig, study: Any, say: Say) -> None:
    """points.csv, best.json, what the subject writes, and importance.png."""
    from loopymeta import plots
    from loopymeta.sweep.plots import importance

    rows = points(study)
    write_atomic(folder / "points.csv", _table(rows, config).encode())
    complete = sorted((r for r in rows if r["state"] == "complete"), key=lambda row: row["loss"])
    if not complete:
        reasons = collections.Counter(r["reason"] for r in rows if r["reason"])
        most = f"; most often: {reasons.most_common(1)[0][0]}" if reasons else ""
        raise SweepError(f"none of {len(rows)} points lived through all tasks{most}")
    result = _earlier(folder, len(rows), config) or _choose(folder, config, rows, complete, say)
    write(folder / "best.json", result)
    matters = importances(study, config.seed)
    figure = importance(rows, config.space(), matters, result)
    plots.save(figure, folder / "importance.png")
    say("done", folder=str(folder), importances=matters, **result)


def _earlier(folder: Path, num: int, config: SweepConfig) -> dict[str, Any] | None:
    """The result of a sweep that was finished already, at the same number of points."""
    path = folder / "best.json"
    written = [folder / name for name in ("best.json", *config.subject().files)]
    if not all(each.is_file() for each in written):
        return None
    result = runs.read_json_file(path)
    same = result.get("points") == num and result.get("lifetimes") == config.report
    return result if same else None


def _choose(
    folder: Path,
    config: SweepConfig,
    rows: Sequence[Mapping[str, Any]],
    complete: Sequence[Mapping[str, Any]],
    say: Say,
) -> dict[str, Any]:
    """The best of the best points by fresh lifetimes, reported on others that are fresh again.

    The best of many points owes a part of its loss to the luck of its lifetimes (the winner's
    curse); so has, a little, the best of a few. What is reported was chosen by neither.
    """
    courses = [Course.of(text, config.seed) for text in config.tasks]
    before, finalists = config.subject(), []
    say("stage", text=f"living the best points again on {config.report} fresh lifetimes a task")
    for row in _distinct(complete)[: config.finalists]:
        again = relive(config, before.at(row["values"]), courses, "choose")["mean"]
        finalists.append({"number": row["number"], "search": row["loss"], "choose": again})
        say("finalist", values=row["values"], **finalists[-1])
    number = min(finalists, key=lambda each: each["choose"])["number"]
    best = next(row for row in complete if row["number"] == number)
    chosen = before.at(best["values"])
    say("stage", text=f"reporting the best point and the {before.noun} before the sweep")
    try:
        as_it_was = relive(config, before, courses, "report")
    except IMPOSSIBLE as error:
        as_it_was = {"impossible": reason_of(error)}
    chosen.write(folder, courses[0].task, {"sweep": study_line(best, len(rows))})
    return {
        "format": f"{FORMAT}-best",
        "points": len(rows),
        "lifetimes": config.report,
        "states": dict(collections.Counter(row["state"] for row in rows)),
        "number": number,
        "values": best["values"],
        "search": best["loss"],
        "fresh": relive(config, chosen, courses, "report"),
        "before": as_it_was,
        "finalists": finalists,
        "scale": {c.text: {"floor": c.floor, "chance": c.chance} for c in courses},
        **chosen.described(),
        "versions": runs.versions(),
    }


def _distinct(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first point of each choice of values: where few are possible, some are drawn twice."""
    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for row in rows:
        found.setdefault(tuple(sorted(row["values"].items())), row)
    return list(found.values())


def study_line(best: Mapping[str, Any], num: int) -> str:
    """How the rule of a sweep was chosen, in a line."""
    return f"point {best['number']} of {num}, loss {best['loss']:.4f} in the search"
