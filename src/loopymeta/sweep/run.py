"""A sweep from beginning to end, or on from where it was stopped."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import time
from pathlib import Path
from typing import Any

from loopymeta import _validate, runs
from loopymeta.checkpoint import make_folder
from loopymeta.learners import by_name
from loopymeta.rule_text import task_from_text
from loopymeta.sweep.config import (
    FORMAT,
    VERSION,
    SweepConfig,
    read_config,
    read_sweep,
    stored,
    write,
)
from loopymeta.sweep.result import Say, finish, row_of
from loopymeta.sweep.study import counts, load_optuna, study_of
from loopymeta.sweep.subjects import SweepError
from loopymeta.sweep.work import hire, work


def sweep(
    config: SweepConfig,
    out: str | os.PathLike[str] = "runs",
    *,
    name: str | None = None,
    storage: str | None = None,
    study: str | None = None,
    jobs: int = 1,
    say: Say | None = None,
) -> Path:
    """Runs a sweep in a fresh folder, and returns the folder.

    Args:
      config: what to sweep.
      out: folder of run folders.
      name: name of the sweep's folder; default: ``sweep-`` and the time.
      storage: an address of SQLAlchemy's where the points are kept, e.g.
        ``postgresql+psycopg://user@host/database`` (the password from PGPASSWORD or ~/.pgpass);
        default: a SQLite file in the folder.
      study: name of the study in the storage; sweeps of one name share their points; default: the
        folder's name.
      jobs: processes on this machine.
      say: hears what happens: ``say(event, **values)``.

    Raises:
      SweepError: Optuna or a driver is not installed, the folder exists, the study is another one,
        a learner cannot live a task or have a value, or no point could be lived.
    """
    load_optuna()
    _check_jobs(config, jobs)
    stem = name or f"sweep-{time.strftime('%Y%m%d-%H%M%S')}"
    if Path(stem).name != stem or stem.startswith("."):
        raise SweepError(f"name of a sweep must be a plain name without folders, got {stem!r}")
    folder = Path(out) / stem
    if (folder / "sweep.json").exists():
        raise SweepError(f"sweep {folder} exists already: go on with --resume, or give a --name")
    tasks = {text: task_from_text(text) for text in config.tasks}
    config.subject().check(tasks, config.space())
    url, label = storage or f"sqlite:///{(folder / 'study.db').absolute()}", study or stem
    if storage is not None:
        study_of(config, url, label)  # a storage that cannot be used leaves no folder behind
    make_folder(folder)
    contents = {
        "format": FORMAT,
        "version": VERSION,
        "config": stored(config),
        # Without the password, and without the folder, which may be moved.
        "storage": storage and re.sub(r"//([^:/@]*):[^@]*@", r"//\1@", storage),
        "study": label,
        "versions": runs.versions(),
        "loopymeta_git": runs.source_git_state(),
    }
    write(folder / "sweep.json", contents)
    return _drive(folder, config, url, label, jobs, say or (lambda event, **values: None))


def resume(
    folder: str | os.PathLike[str],
    *,
    points: int | None = None,
    storage: str | None = None,
    jobs: int = 1,
    say: Say | None = None,
) -> Path:
    """Goes on with a sweep that was stopped in any way, or to more points than it was made for.

    Args:
      folder: the sweep's.
      points: as many as there shall be in all; default: what the sweep was made for.
      storage: where its points are kept, for an address with a password, which no file keeps.
      jobs: processes on this machine.
      say: hears what happens.
    """
    folder, contents = Path(folder), read_sweep(folder)
    config = read_config(folder)
    _check_jobs(config, jobs)
    if points is not None and points != config.points:
        config = dataclasses.replace(config, points=points)
        write(folder / "sweep.json", {**contents, "config": stored(config)})
    url = storage or contents["storage"] or f"sqlite:///{(folder / 'study.db').absolute()}"
    say = say or (lambda event, **values: None)
    then, now = contents.get("versions") or {}, runs.versions()
    changed = [f"{k} {then.get(k)} to {now[k]}" for k in now if then.get(k) != now[k]]
    if changed:
        text = "changed since the sweep began, so that its points may not be comparable: "
        say("stage", text=text + ", ".join(changed))
    return _drive(folder, config, url, contents["study"], jobs, say)


def _check_jobs(config: SweepConfig, jobs: int) -> None:
    """Refuses numbers of processes that cannot be."""
    _validate.at_least("jobs", jobs, 1)
    if jobs > 1 and config.learner is not None and by_name.is_own(config.learner):
        raise SweepError(
            f"{config.learner}: learners of your own are known to this process only; sweep them "
            "with jobs=1"
        )


def _drive(folder: Path, config: SweepConfig, url: str, name: str, jobs: int, say: Say) -> Path:
    with runs.Run(folder).lock():
        study = study_of(config, url, name)
        told = {t.number for t in study.get_trials(deepcopy=False) if t.state.is_finished()}
        say("begin", folder=str(folder), points=config.points, done=len(told), tasks=config.tasks)
        heard = functools.partial(_tell, study, told, say)
        if jobs == 1:
            work(config, study, 0, heard)
        else:
            hire(folder, url, name, config.points, jobs, heard)
        ended = counts(study)
        if (done := ended["COMPLETE"] + ended["PRUNED"]) < config.points:
            raise SweepError(
                f"the processes ended after {done} of {config.points} points, which are kept; go "
                f"on with --resume {folder}"
            )
        finish(folder, config, study, say)
    return folder


def _tell(study: Any, told: set[int], say: Say) -> None:
    """Says of every point that has ended since the last time how it ended."""
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state.is_finished() and trial.number not in told:
            told.add(trial.number)
            if trial.state.name != "FAIL":  # which is lived again
                values = [t.value for t in trials if t.state.name == "COMPLETE"]
                say("point", best=min(values, default=None), **row_of(trial))
