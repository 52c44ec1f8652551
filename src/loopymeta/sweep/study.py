"""Optuna: where points are kept, how the next one is drawn, and who gives up which."""

from __future__ import annotations

import collections
import contextlib
import datetime
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from loopymeta.sweep.config import SweepConfig, identity
from loopymeta.sweep.subjects import SweepError

GRACE = 6
"""A point is given up, and lived again, after so many signs of life that did not come."""


def load_optuna() -> Any:
    """Optuna, quiet.

    Raises:
      SweepError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise SweepError(
            "sweeps need Optuna, which is not installed: pip install 'loopymeta[sweep]', or "
            "pip install optuna"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Optuna says of parts that we need that they may change: not for who sweeps."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=load_optuna().exceptions.ExperimentalWarning)
        yield


def open_storage(url: str, heartbeat: int) -> Any:
    """Optuna's storage at an address of SQLAlchemy's.

    Raises:
      SweepError: the driver is not installed, or the database cannot be reached.
    """
    optuna = load_optuna()
    import sqlalchemy

    waits = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    shown = re.sub(r"//([^:/@]*):[^@]*@", r"//\1:***@", url)
    try:
        with calm():
            return optuna.storages.RDBStorage(
                url,
                engine_kwargs=waits,
                heartbeat_interval=heartbeat,
                grace_period=GRACE * heartbeat,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                    max_retry=2
                ),
            )
    except ImportError as error:
        cause = error.__cause__ or error
        raise SweepError(
            f"the driver of storage {shown} is not installed ({cause}); for PostgreSQL: "
            "pip install 'psycopg[binary]', and an address postgresql+psycopg://USER@HOST/DATABASE"
        ) from None
    except (sqlalchemy.exc.SQLAlchemyError, RuntimeError) as error:
        text = " ".join(str(error).split("\n(Background")[0].split())
        raise SweepError(f"storage {shown} cannot be used: {text}") from None


def pruner(config: SweepConfig) -> Any:
    """Who ends hopeless points."""
    pruners = load_optuna().pruners
    if config.pruner == "median":
        return pruners.MedianPruner()
    if config.pruner == "hyperband":
        return pruners.HyperbandPruner(max_resource=len(config.tasks), reduction_factor=2)
    return pruners.NopPruner()


def sampler(config: SweepConfig, number: int, job: int) -> Any:
    """The sampler of one point, seeded by its number: a sweep that was stopped draws what one that
    was not stopped does (in one process; of several, each has numbers of its own)."""
    samplers = load_optuna().samplers
    seed = int(np.random.SeedSequence([config.seed, number, job]).generate_state(1)[0])
    kind = samplers.TPESampler if config.sampler == "tpe" else samplers.RandomSampler
    return kind(seed=seed)


def study_of(config: SweepConfig, url: str, name: str) -> Any:
    """The study of that name, made where there is none.

    Raises:
      SweepError: it is of another configuration, or the storage cannot be used.
    """
    study = load_optuna().create_study(
        storage=open_storage(url, config.heartbeat),
        study_name=name,
        pruner=pruner(config),
        load_if_exists=True,
    )
    mine, theirs = identity(config), study.user_attrs.get("config")
    if theirs is None:
        study.set_user_attr("config", mine)
    elif theirs != mine:
        other = sorted(k for k in {*mine, *theirs} if mine.get(k) != theirs.get(k))
        raise SweepError(
            f"study {name!r} in the storage is of another configuration ({', '.join(other)}): "
            "choose another --study"
        )
    return study


def counts(study: Any) -> collections.Counter[str]:
    """How many points are complete, pruned, running, waiting, failed."""
    return collections.Counter(t.state.name for t in study.get_trials(deepcopy=False))


def bury(study: Any, config: SweepConfig) -> None:
    """Gives up points whose process died; Optuna puts those back that had begun."""
    optuna = load_optuna()
    with calm():
        optuna.storages.fail_stale_trials(study)
    silent = datetime.datetime.now() - datetime.timedelta(seconds=GRACE * config.heartbeat)
    for trial in study.get_trials(deepcopy=False):
        # A process that died between making a point and its first sign of life.
        unborn = trial.user_attrs.get("begun") != trial.number
        if trial.state.name == "RUNNING" and unborn and trial.datetime_start < silent:
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
