"""One cell is lived, in this process: what makes its learner, its programs, and chance."""

from __future__ import annotations

import collections
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from loopymeta import parameters, runs
from loopymeta._jax import Array, jax
from loopymeta.config import NetworkConfig
from loopymeta.interventions import interventions_of
from loopymeta.leaderboard.cells import Result, digest_of
from loopymeta.learners import HostLearner, HostLife, by_name
from loopymeta.lifetime import Learner, Lifetime, check_memory
from loopymeta.tasks.base import Episode, Outcome, Task


class Unable(Exception):
    """An entrant cannot live a task: it is not made for it."""


def live_cell(text: str, task: Task | None = None, network: NetworkConfig | None = None) -> Result:
    """Lives one cell, in this process; never raises.

    Args:
      text: of the cell.
      task, network: what the text describes; None: they are read from it, which knows the tasks
        of the library only.

    Returns:
      ``{"status": "ok", "metrics": {name: a number a seed}, "symbols", "seconds",
      "compile_seconds"}``, or ``{"status", "reason"}`` where the status is ``unable`` (the entrant
      is not made for the task) or ``failed``.
    """
    try:
        return _live(json.loads(text), task, network)
    except Unable as error:
        return {"status": "unable", "reason": str(error)}
    except Exception as error:  # whatever it is, it costs this cell alone
        return {"status": "failed", "reason": f"{type(error).__name__}: {one_line(error)}"}


def one_line(error: BaseException) -> str:
    """What an error says, on a line that is not too long."""
    line = " ".join(str(error).split())
    return line if len(line) <= 300 else f"{line[:299]}…"


def _live(
    content: Mapping[str, Any], task: Task | None = None, network: NetworkConfig | None = None
) -> Result:
    from loopymeta import training

    if task is None:
        task = runs.from_dict(content["task"], training.config_types(), "task")
    # The keys of `training.evaluate_rule`: one report, wherever it stands.
    root = jax.random.fold_in(jax.random.key(content["seed"]), 1 << 20)
    keys = list(jax.random.split(root, content["seeds"]))
    clock = _Clock()
    live = _liver(content, task, clock, network)
    metrics = [live(key) for key in keys]
    names = [name for name, value in metrics[0].items() if np.ndim(value) == 0]
    return {
        "status": "ok",
        "metrics": runs.to_dict({k: [float(row[k]) for row in metrics] for k in sorted(names)}),
        "symbols": task.spec.length,
        "compile_seconds": clock.compiling,
        "seconds": clock.living,
    }


class _Clock:
    """Seconds spent on compiling and on living, apart; and the programs compiled so far."""

    compiling = 0.0
    living = 0.0

    def compiled(
        self, function: Callable[..., Any], kind: str, of: Any, *more: Any
    ) -> Callable[..., Any]:
        """``function``, compiled for the first arguments that it is called with.

        ``kind``, ``of`` and ``more``: all that its program depends on beside the shapes of its
        arguments, as JSON holds it. Functions that say the same share a program.
        """
        content = (kind, of, *more)
        program: Any = None

        def call(*arguments: Any) -> Any:
            nonlocal program
            began = time.perf_counter()
            if program is None:
                shapes = [f"{jax.typeof(leaf)}" for leaf in jax.tree.leaves(arguments)]
                program = _compiled(function, arguments, digest_of([content, shapes]))
            ready = time.perf_counter()
            value = jax.block_until_ready(program(*arguments))
            self.compiling += ready - began
            self.living += time.perf_counter() - ready
            return value

        return call


_PROGRAMS: collections.OrderedDict[str, Any] = collections.OrderedDict()
"""Compiled programs, by their text, and by what they depend on."""
_MOST_PROGRAMS = 128


def _compiled(function: Callable[..., Any], arguments: Any, content: str) -> Any:
    """The compiled program; one that is the same is not compiled twice, nor even traced.

    Controls are born as their rules are, and tasks of one size are lived by one program: in small
    cells compiling is nearly all that there is to do.
    """
    if content not in _PROGRAMS:
        with _refusals():
            lowered = jax.jit(function).lower(*arguments)
        text = digest_of(lowered.as_text())
        _PROGRAMS[content] = _PROGRAMS[text] if text in _PROGRAMS else lowered.compile()
        _PROGRAMS[text] = _PROGRAMS[content]
    _PROGRAMS.move_to_end(content)
    while len(_PROGRAMS) > _MOST_PROGRAMS:
        _PROGRAMS.popitem(last=False)
    return _PROGRAMS[content]


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What loopymeta itself refuses in here is said by `Unable`; other errors are errors."""
    try:
        yield
    except (ValueError, TypeError) as error:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        raised_in = "" if last is None else last.tb_frame.f_code.co_filename
        library = Path(__file__).parents[1]
        if Path(raised_in).is_relative_to(library):
            raise Unable(one_line(error)) from error
        raise


def _liver(
    content: Mapping[str, Any], task: Task, clock: _Clock, network: NetworkConfig | None = None
) -> Callable[[Array], dict[str, Array]]:
    """One lifetime of a cell: key -> metrics.

    Sampling, birth, life and score are programs of their own, so that cells can share them.
    """
    entrant, of_task = content["entrant"], content["task"]
    # Code of one's own may be changed in this very process: it is traced anew for each cell.
    code = [secrets.token_hex()] if "code" in content else []
    of_task = [of_task, *code] if code else of_task
    sample = clock.compiled(task.sample, "sample", of_task)
    # The stream that a learner lives through with a key (see Lifetime.start).
    keys_of = lambda key: jax.random.split(jax.random.fold_in(key, 0))  # noqa: E731
    if entrant["kind"] == "chance":
        best, score = _constant(task, sample), clock.compiled(task.score, "score", of_task)

        def guess(key: Array) -> dict[str, Array]:
            episode = sample(keys_of(key)[0])
            return score(_guessed(task, best, episode), episode)

        return guess
    if entrant["kind"] == "learner":
        by_name.check(entrant["learner"])  # a learner that nobody knows is no refusal: it fails
    with _refusals():
        learner, theta = learner_of(entrant, task, content["seed"], network)
    if isinstance(learner, HostLearner):
        return _host_liver(learner, theta, task, of_task, clock)
    lifetime = Lifetime(learner, task)
    spec, acts = task.spec, repr(interventions_of(task))
    sizes = [spec.num_inputs, spec.num_outputs, spec.loss, spec.symbols_lived]
    # A rule's network is made of its content, the sizes and the seed; a learner by name says all.
    who = [entrant, content["seed"]] if entrant["kind"] == "rule" else repr(learner)
    birth = clock.compiled(learner.init, "birth", who, sizes, *code)
    live = clock.compiled(_lived_through(lifetime), "life", who, sizes, acts, *code)
    limits = [getattr(learner, name, None) for name in ("max_ticks", "ticks_behind")]
    score = clock.compiled(
        lambda outcome, episode: lifetime.score(outcome, episode)[1], "score", of_task, limits
    )

    def whole(key: Array) -> dict[str, Array]:
        key_task, key_learner = keys_of(key)
        episode = sample(key_task)
        return score(live(theta, birth(key_learner, theta), episode, key), episode)

    return whole


def _host_liver(
    learner: HostLearner, theta: Any, task: Task, of_task: Any, clock: _Clock
) -> Callable[[Array], dict[str, Array]]:
    """As `_liver`, for a learner that no program can be compiled of."""
    sample = clock.compiled(task.sample, "sample", of_task)
    score = clock.compiled(task.score, "score", of_task)

    def whole(key: Array) -> dict[str, Array]:
        episode = sample(jax.random.split(jax.random.fold_in(key, 0))[0])
        with _refusals():
            life = HostLife(learner, task, key, theta, episode)
        began = time.perf_counter()
        life.advance()
        clock.living += time.perf_counter() - began
        return score(life.outcome(), episode)

    return whole


def _lived_through(lifetime: Lifetime) -> Callable[..., Outcome]:
    """(theta, newborn, episode, key) -> what came of the lifetime."""
    return lambda theta, newborn, episode, key: lifetime.through(theta, newborn, episode, key)[1]


def learner_of(
    entrant: Mapping[str, Any], task: Task, seed: int, network: NetworkConfig | None = None
) -> tuple[Learner | HostLearner, Any]:
    """(learner, theta) of an entrant's content; of a rule's networks, too, where they are given."""
    from loopymeta import training

    if entrant["kind"] == "learner":
        learner = by_name.learner_of(entrant["learner"], task, entrant["hidden"])
        check_memory(learner, entrant["learner"])
        return learner, _fitted(entrant.get("theta"), learner)
    if network is None:
        types = training.config_types()
        network = runs.from_dict(entrant["network"], types, "network", NetworkConfig)
    plastic = network.build(task.spec, seed + 2_000_003)
    return plastic, _fitted(entrant["theta"], plastic)


def _fitted(stored: Any, learner: Any) -> Any:
    """The theta that JSON holds, which must be one of the learner's; None: its own."""
    own = learner.init_theta()
    if stored is None:
        return own
    return parameters.check_theta(parameters.theta_from_json(stored), own, space=learner.space())


# --- chance --------------------------------------------------------------------------------------


def _constant(task: Task, sample: Callable[[Array], Episode]) -> np.ndarray:
    """The best constant guess: what is wanted on average, over lifetimes apart from those reported.

    Log probabilities [O] of symbols; the mean [O] of vectors.
    """
    num = int(np.clip(20_000 // task.spec.length, 4, 64))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 1 << 21), num)
    lifetimes = [sample(key) for key in keys]
    wanted = np.concatenate([np.asarray(e.target)[np.asarray(e.scored)] for e in lifetimes])
    if task.spec.loss == "squared_error":
        return wanted.mean(0)
    counts = np.bincount(wanted, minlength=task.spec.num_outputs) + 0.5
    return np.log(counts / counts.sum()).astype(np.float32)


def _guessed(task: Task, best: np.ndarray, episode: Episode) -> Outcome:
    """What comes of always guessing ``best``."""
    target = np.asarray(episode.target)
    ones = np.ones(len(target), np.float32)
    if task.spec.loss == "squared_error":
        prediction = np.broadcast_to(best, target.shape)
        loss, correct = ((prediction - target) ** 2).sum(1), 0 * ones
    else:
        prediction, loss = None, -best[target]
        correct = (target == best.argmax()).astype(np.float32)
    return Outcome(loss, correct, ones, prediction)  # type: ignore[arg-type]
