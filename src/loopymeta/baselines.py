"""What a learned rule is reported beside, task by task, on the same streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from loopymeta import ngrams
from loopymeta._jax import Array, jax
from loopymeta.lifetime import Learner, Lifetime
from loopymeta.tasks import Names, Reversal, Text
from loopymeta.tasks.base import Task
from loopymeta.tasks.language import bits_per_character

Job = Callable[[Array], dict[str, np.ndarray]]
"""Keys [B] -> metrics [B, ...]."""


def _learner(make: Callable[[Task], Learner], task: Task, devices: int | None = None) -> Job:
    """A job that lives the task with a learner made for it."""

    def job(keys: Array) -> dict[str, np.ndarray]:
        from loopymeta.training import live_on

        learner = make(task)
        theta = jax.tree.map(lambda x: x[None], learner.init_theta())
        _, metrics = live_on(Lifetime(learner, task), theta, keys, devices)
        return {name: values[0] for name, values in metrics.items()}

    return job


def online_lstm(task: Task, width: int = 128) -> Learner:
    """Tuned on names for streams of text, and on a mixture of tasks for all others."""
    from loopymeta.learners.recurrent import OnlineRNN

    choices: dict[str, Any] = {}
    if not task.spec.text:
        choices = {"window": 8, "interval": 1, "learning_rate": 0.01, "horizon": 1.0}
    return OnlineRNN.for_spec(task.spec, width=width, **choices)


def tuned_reservoir(task: Task, **options: Any) -> Learner:
    """Tuned where docs/baselines.md says so; elsewhere the normalised delta rule as it is.

    What the options say of `loopymeta.learners.reservoir` is laid over that.
    """
    from loopymeta.learners.reservoir import decaying_delta, reservoir

    tuned: dict[str, Any] = {}
    if task.spec.text and task.spec.boundary is not None:  # names
        tuned = {"rule": decaying_delta(1.0, 0.1), "gain": 0.9}
    elif task.spec.text or isinstance(task, Reversal):
        tuned = {"rule": decaying_delta(1.0, 0.3)}
    return reservoir(task.spec, **(tuned | options))


def _counts(task: Any) -> dict[str, Job]:
    """Interpolated n-grams over the very streams of the lifetimes."""
    orders = {1: "unigram", 2: "bigram", 3: "trigram", 4: "4-gram"}
    held_out = f"{'held_out' if task.held_out == 'train' else task.held_out}_nats"

    def counted(order: int, name: str) -> Job:
        def job(keys: Array) -> dict[str, np.ndarray]:
            rows = []
            for key in keys:
                # The stream that a lifetime of this key lives through (see Lifetime.start).
                episode = task.sample(jax.random.split(jax.random.fold_in(key, 0))[0])
                phase, stimulus = np.asarray(episode.phase), np.asarray(episode.stimulus)
                target = np.asarray(episode.target)
                parts = [
                    np.concatenate([stimulus[phase == p][:1], target[phase == p]])
                    for p in np.unique(phase)
                ]
                test = parts[1] if len(parts) > 1 else parts[0]
                size = task.spec.num_outputs
                boundary = task.spec.boundary
                pair = ngrams.baseline_ngrams(parts[0], test, size, (order,), boundary)[name]
                row = {"prequential_nats": pair[0]}
                if len(parts) > 1:
                    row[held_out] = pair[1]
                if isinstance(task, Text):
                    row |= bits_per_character(row)
                rows.append(row)
            return {name: np.array([row[name] for row in rows]) for name in rows[0]}

        return job

    return {name: counted(order, name) for order, name in orders.items()}


def baselines(task: Task) -> dict[str, Job]:
    """The baselines of a task by name; each lives (or counts) the streams of the keys it is given.

    All tasks: the delta-rule reservoir and an online LSTM. Text: n-grams too (text in windows,
    whose contexts break where windows meet, has none).
    """
    # An LSTM's weights are born orthogonal, by a QR decomposition of all births at once, which
    # jaxlib (0.10) shares out over the thread pool that it runs in itself: with a CPU device a core
    # every thread of the pool waits for the others, for ever. One device leaves threads free.
    alone = 1 if jax.default_backend() == "cpu" else None
    jobs = {"reservoir": _learner(tuned_reservoir, task)}
    jobs |= {"lstm": _learner(online_lstm, task, alone)}
    if isinstance(task, Names) or (isinstance(task, Text) and task.mode == "running"):
        jobs |= _counts(task)
    return jobs
