"""Processes that live the points of a study, this one or several."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loopymeta.sweep import living, study
from loopymeta.sweep.config import SweepConfig, read_config


def work(config: SweepConfig, points: Any, job: int, heard: Callable[[], None]) -> None:
    """Lives points until there are as many as asked for; ``heard`` is called after each."""
    optuna = study.load_optuna()
    varied = config.space()
    courses = [living.Course.of(text, config.seed) for text in config.tasks]
    stopped: list[int] = []

    def point(trial: Any) -> float:
        try:
            return living.live_point(config, varied, courses, trial)
        except KeyboardInterrupt:
            stopped.append(trial.number)
            raise

    while True:
        counts = study.counts(points)
        done = counts["COMPLETE"] + counts["PRUNED"]
        if done >= config.points:
            return
        if done + counts["RUNNING"] >= config.points:
            # Others live the last points, or died of them.
            study.bury(points, config)
            time.sleep(0.2)
            continue
        points.sampler = study.sampler(config, done + counts["RUNNING"], job)
        try:
            points.optimize(point, n_trials=1)
        except optuna.exceptions.UpdateFinishedTrialError:
            pass  # we were silent for too long, and another lives this point again
        except KeyboardInterrupt:
            if stopped:
                with study.calm():
                    again = optuna.storages.RetryHeartbeatStaleTrialCallback()
                    again(points, points.get_trials()[stopped[0]])
            raise
        heard()


def _end_with_parent() -> None:
    """A worker whose parent was killed must not go on alone."""
    import multiprocessing
    import threading

    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _worker(folder: str, url: str, name: str, points: int, job: int) -> None:
    """What a worker process does."""
    import signal

    # The terminal's Ctrl-C goes to all of us; the parent passes it on, once, as SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _end_with_parent()
    config = dataclasses.replace(read_config(folder), points=points)
    with contextlib.suppress(KeyboardInterrupt):
        work(config, study.study_of(config, url, name), job, lambda: None)


def hire(
    folder: Path, url: str, name: str, points: int, jobs: int, heard: Callable[[], None]
) -> None:
    """Lives points in several processes, and waits for them.

    Raises:
      SweepError: all of them died before the end.
    """
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    given = (str(folder), url, name, points)
    workers: Any = [
        context.Process(target=_worker, args=(*given, job), daemon=True) for job in range(jobs)
    ]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            time.sleep(0.3)
            heard()
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(10)
            worker.kill()
    heard()
