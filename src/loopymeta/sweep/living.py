"""Points are lived: every task in turn, on lifetimes that are the same for all points."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loopymeta import _machine
from loopymeta._jax import Array, jax
from loopymeta.learners import HostLearner, live_on_host
from loopymeta.lifetime import Lifetime
from loopymeta.meta import evaluate
from loopymeta.rule_text import task_from_text
from loopymeta.sweep.config import SweepConfig
from loopymeta.sweep.space import Varied
from loopymeta.sweep.study import load_optuna
from loopymeta.sweep.subjects import IMPOSSIBLE, Subject, reason_of
from loopymeta.tasks.base import Task

WORST = 2.0
"""The largest loss on the scale of 0 (floor) to 1 (best constant guess), and that of a lifetime
that is not finite: what is so far beyond chance is hopeless, and how far no longer matters."""
STREAMS = {"search": 0, "choose": 1, "report": 2}
"""Lifetimes of the search, of the choice among the best, and of the report: they never meet."""


@dataclass(frozen=True)
class Course:
    """A task of a sweep and its scale: 0 at ``floor``, 1 at ``chance``, both in units of its loss.

    ``chance`` is the mean loss of the best constant guess over sampled lifetimes: the entropy of
    the scored targets, or their variance under squared error.
    """

    text: str
    task: Task
    floor: float
    chance: float

    @classmethod
    @functools.lru_cache
    def of(cls, text: str, seed: int = 0) -> Course:
        """The course of a task as text.

        Raises:
          ValueError: nothing can be learned in it: the best constant guess is at the floor.
        """
        task = task_from_text(text)
        floor, chance = task.spec.floor or 0.0, constant_loss(task, seed)
        if not chance > floor + 1e-6:
            raise ValueError(
                f"task {text!r} has nothing to learn: the best constant guess has loss "
                f"{chance:.4f}, the floor is {floor:.4f}"
            )
        return cls(text, task, floor, chance)

    def scale(self, losses: np.ndarray) -> np.ndarray:
        """Losses on the scale of the sweep, at most `WORST`, which is also what is not finite.

        >>> Course("", None, floor=1.0, chance=3.0).scale(np.array([1.0, 2.0, np.nan, 99.0]))
        array([0. , 0.5, 2. , 2. ])
        """
        scaled = (np.asarray(losses, float) - self.floor) / (self.chance - self.floor)
        return np.where(np.isfinite(scaled), np.minimum(scaled, WORST), WORST)


def constant_loss(task: Task, seed: int = 0, lifetimes: int = 16) -> float:
    """The mean loss of the best constant prediction over sampled lifetimes of a task.

    >>> bool(abs(constant_loss(task_from_text("delay(cues=2)")) - np.log(2)) < 0.01)
    True
    """
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1 << 21), lifetimes)
    sample = jax.jit(lambda key: (lambda e: (e.target, e.scored))(task.sample(key)))
    sampled = [sample(key) for key in keys]
    targets = np.concatenate([np.asarray(target)[np.asarray(on)] for target, on in sampled])
    if task.spec.loss == "squared_error":
        return float(targets.astype(float).var(0).sum())
    share = np.bincount(targets, minlength=task.spec.num_outputs) / len(targets)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


def keys_of(config: SweepConfig, stream: str, place: int, num: int) -> Array:
    """The lifetimes of the task at a place, in one of the streams."""
    key = jax.random.fold_in(jax.random.key(config.seed), STREAMS[stream])
    return jax.random.split(jax.random.fold_in(key, place), num)


def life_of(config: SweepConfig, subject: Subject, course: Course, stream: str) -> Lifetime:
    """The lifetime of a subject on a task, on the graphs of a stream."""
    return subject.life(course.task, config.seed + 1_000_003 * STREAMS[stream])


def live(config: SweepConfig, life: Lifetime, course: Course, place: int, stream: str) -> Any:
    """The scaled losses [B] of a subject on a task."""
    num = config.lifetimes if stream == "search" else config.report
    keys = keys_of(config, stream, place, num)
    learner: Any = life.learner
    if isinstance(learner, HostLearner):
        losses = [float(live_on_host(learner, life.task, key)[0]) for key in keys]
        return course.scale(np.array(losses))
    options: dict[str, Any] = {}
    if jax.default_backend() == "cpu":
        # Every point is another program, and most of its time goes into compiling it. What lives
        # shortly is not worth an optimised one; for the rest, level 1 runs as fast as level 3.
        short = num * course.task.spec.length <= config.subject().short
        options = _machine.hasty_options() if short else {"xla_backend_optimization_level": 1}
    run = jax.jit(lambda theta, keys: evaluate(life, theta, keys)[0][0], compiler_options=options)
    theta = jax.tree.map(lambda leaf: leaf[None], life.init_theta())
    return course.scale(run(theta, keys))


def live_point(
    config: SweepConfig, varied: Mapping[str, Varied], courses: Sequence[Course], trial: Any
) -> float:
    """One point through all tasks: its mean loss; Optuna hears of every task."""
    optuna = load_optuna()
    trial.set_user_attr("begun", trial.number)
    started = time.perf_counter()
    subject = config.subject()
    values = subject.suggest(trial, varied)
    try:
        point = subject.at(values)
        lives = [life_of(config, point, course, "search") for course in courses]
    except IMPOSSIBLE as error:
        trial.set_user_attr("reason", reason_of(error))
        raise optuna.TrialPruned from None
    for other in trial.study.get_trials(deepcopy=False):
        if other.state.name == "COMPLETE" and other.params == trial.params:
            # On the same lifetimes it would be the same again.
            for name in ("losses", "seconds"):
                trial.set_user_attr(name, other.user_attrs[name])
            return other.value
    losses: dict[str, list[float]] = {}
    mean = math.nan
    for place, (course, life) in enumerate(zip(courses, lives, strict=True)):
        losses[course.text] = live(config, life, course, place, "search").tolist()
        trial.set_user_attr("losses", losses)
        trial.set_user_attr("seconds", round(time.perf_counter() - started, 3))
        mean = float(np.mean([np.mean(each) for each in losses.values()]))
        trial.report(mean, place + 1)
        if place + 1 < len(courses) and trial.should_prune():
            raise optuna.TrialPruned
    return mean
