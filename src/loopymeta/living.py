"""Long lifetimes: lived in parts, kept on disk between them, and resumed bit for bit.

A `loopymeta.lifetime.Lifetime` is one pure function. Here the same lifetime is driven from Python,
some thousand symbols at a time, so that a process that is killed in the middle of a book goes on
where it was, and so that the learner can be had as it is at the end.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from loopymeta import _validate, checkpoint
from loopymeta._jax import Array, jax
from loopymeta._version import __version__
from loopymeta.learners.host import HostLearner, HostLife, whose_life
from loopymeta.learners.optimizers import check_named
from loopymeta.learners.parallel import Parallel
from loopymeta.learners.recording import Recorded
from loopymeta.lifetime import Learner, Lifetime, Metrics, Stage, State, check_memory
from loopymeta.parameters import Theta, check_theta

EVERY = 10_000
"""Symbols between two checkpoints, where nothing else is asked for."""


class Lived(NamedTuple):
    """What is left of a lifetime.

    Attributes:
      learner: who lived, as it was at the end (in haste, if it was hurried).
      state: the learner's state after the last symbol (of a host learner, the one that lives).
      loss, metrics: as a `Lifetime` gives them.
    """

    learner: Learner | HostLearner
    state: State
    loss: Array
    metrics: Metrics


def live_through(
    lifetime: Lifetime | Parallel,
    theta: Theta,
    key: Array,
    *,
    file: str | os.PathLike[str] | None = None,
    every: int = EVERY,
    watch: Callable[[int, int], None] = lambda lived, length: None,
) -> Lived:
    """Lives one lifetime in parts: figures as ``lifetime(theta, key)``, and the learner at its end.

    With a file it can be stopped at any time, in any way: called again with the same arguments it
    goes on after the last part that was finished, and ends with the very same numbers. The file of
    a lifetime that is over gives its result at once.

    Args:
      lifetime: who lives through what; the learner may be a host learner, or live parallel streams
        (`loopymeta.learners.Parallel`), whose states have those as their first axis.
      theta: meta-parameters.
      key: of the lifetime.
      file: where it is kept between parts (a `loopymeta.checkpoint`; JSON of a host learner); None:
        nowhere.
      every: symbols in a part.
      watch: called with (symbols lived, symbols in all) at the beginning and after each part.

    Raises:
      TypeError: it is no `Lifetime`, as a `Mixture` is none.
      ValueError: theta is none of the learner's, or not finite; the lifetime is `Recorded`, or is
        to be kept in a file and its learner has a function without a name; the learner is larger
        than this machine's memory.
      CheckpointError: the file is damaged or of another lifetime: of another learner, task, theta
        or key, or begun with another version of loopymeta or jax.
      OSError: the file cannot be written; where it has no folder, at once.

    >>> import loopymeta as lm
    >>> task = lm.tasks.Caesar(symbols=60)
    >>> lifetime = Lifetime(lm.learners.OnlineNGram.for_task(task), task)
    >>> lived = live_through(lifetime, lifetime.init_theta(), lm.key(0), every=25)
    >>> bool(lived.loss == lifetime(lifetime.init_theta(), lm.key(0))[0])
    True
    """
    _validate.at_least("every", every, 1)
    if not isinstance(lifetime, (Lifetime, Parallel)):
        raise TypeError(
            "a Lifetime or its parallel streams can be lived in parts, a "
            f"{type(lifetime).__name__} only as a whole: call it with (theta, key)"
        )
    if file is not None:
        checkpoint.check_folder(file)
    who: Any = lifetime.learner
    if file is not None and Path(file).exists():
        _check_kind(file, who)
    if isinstance(who, HostLearner):
        if lifetime.record is not None:
            raise ValueError("a host learner is not recorded: look at it between two parts")
        life = HostLife(who, lifetime.task, key, theta, objective=lifetime.objective)
        return _live_on_host(life, file, every, watch)
    if isinstance(getattr(lifetime, "lifetime", lifetime), Recorded):
        raise ValueError(
            "a thin record (Recorded) is of whole lifetimes: call it, or live through a Lifetime "
            "with record=..."
        )
    if file is not None:
        check_named(who)
    theta = check_theta(theta, who.init_theta())
    check_memory(who, theta=theta, streams=getattr(lifetime, "streams", 1))
    newborn, episode = jax.jit(lifetime.start)(theta, key)
    episode = jax.tree.map(np.asarray, episode)  # cut on the host, where a cut is no program
    length = lifetime.spec.length
    life, state, at = lifetime, newborn, 0
    one = jax.tree.map(lambda x: x[:1], episode)
    _, *shapes = jax.eval_shape(lifetime.advance, theta, newborn, one, key)
    lived = jax.tree.map(lambda x: np.zeros((length, *x.shape[1:]), x.dtype), shapes)

    path = None if file is None else Path(file)
    identity = "" if path is None else _identity(lifetime, theta, key, newborn, episode)
    if path is not None and path.exists():
        stored = checkpoint.read(path)
        at = _place(stored, identity)
        template = newborn
        for stage in lifetime.stages():
            if stage.start < at:
                life, template = _enter(jax.eval_shape, life, stage, template, key, newborn)
        begun = jax.tree.map(lambda x: x[:at], lived)
        state, begun = checkpoint.restore(stored, (template, begun))
        _fill(lived, begun, 0)

    watch(at, length)
    for stage in lifetime.stages():
        if stage.stop <= at:
            continue
        if stage.start == at:
            life, state = _enter(jax.jit, life, stage, state, key, newborn)
        advance = jax.jit(life.advance)
        while at < stage.stop:
            stop = min(stage.stop, at - at % every + every)
            part = jax.tree.map(lambda x, a=at, b=stop: x[a:b], episode)
            state, *new = advance(theta, state, part, key, at)
            _fill(lived, new, at)
            at = stop
            if path is not None:
                begun = jax.tree.map(lambda x, b=stop: x[:b], lived)
                said = {"lifetime": identity, "at": at, "learner": type(who).__name__}
                checkpoint.save(path, (state, begun), said)
            watch(at, length)

    outcome, seen = jax.tree.map(jax.numpy.asarray, lived)
    loss, metrics = jax.jit(lifetime.score)(outcome, episode)
    if lifetime.record is not None:
        metrics = metrics | {"record": seen}
    return Lived(life.learner, state, loss, metrics)


def _check_kind(file: str | os.PathLike[str], learner: Learner | HostLearner) -> None:
    """Refuses a whole file of a host learner for a compiled one, and the other way round.

    What is wrong with any other file, who reads it says.
    """
    try:
        if isinstance(learner, HostLearner):
            whose = checkpoint.read(file).metadata.get("learner", "one that is compiled")
        else:
            whose = whose_life(file)
    except checkpoint.CheckpointError:
        return
    raise checkpoint.CheckpointError(
        f"{file} is whole, but a lifetime of another learner, {whose}, and not of "
        f"{type(learner).__name__}. Go on with what began it, or use another file"
    )


def _live_on_host(
    life: HostLife,
    file: str | os.PathLike[str] | None,
    every: int,
    watch: Callable[[int, int], None],
) -> Lived:
    """`live_through` of a host learner."""
    if file is not None and Path(file).exists():
        life.load(file)
    length = life.task.spec.length
    watch(life.at, length)
    while life.at < length:
        life.advance(every - life.at % every)
        if file is not None:
            life.save(file)
        watch(life.at, length)
    return Lived(life.learner, life.living, *life.score())


def _enter(
    run: Callable[..., Any],
    life: Lifetime | Parallel,
    stage: Stage,
    state: State,
    key: Array,
    newborn: State,
) -> tuple[Lifetime | Parallel, State]:
    """`Lifetime.entered` under ``run``, which traces it: `jax.jit`, or `jax.eval_shape`."""
    found = []

    def enter(state: State, newborn: State) -> State:
        later, state = life.entered(stage, state, key, newborn)
        found.append(later)
        return state

    state = run(enter)(state, newborn) if run is jax.jit else run(enter, state, newborn)
    return found[-1], state


def _fill(arrays: Any, part: Any, at: int) -> None:
    """Writes [n, ...] arrays into [T, ...] ones, from symbol ``at`` on."""

    def fill(whole: np.ndarray, new: Array) -> None:
        whole[at : at + len(new)] = new

    jax.tree.map(fill, arrays, part)


def _place(stored: checkpoint.Stored, identity: str) -> int:
    """The symbols that the lifetime of a checkpoint has behind it."""
    if "lifetime" not in stored.metadata:
        raise checkpoint.CheckpointError(f"{stored.path} is a checkpoint, but of no lifetime")
    if stored.metadata["lifetime"] != identity:
        raise checkpoint.CheckpointError(
            f"{stored.path} is of another lifetime: another learner, task, theta or key, or begun "
            "with another version of loopymeta or jax. Go on with what began it, or use another "
            "file"
        )
    return stored.metadata["at"]


def _identity(
    lifetime: Lifetime | Parallel, theta: Theta, key: Array, newborn: State, episode: Any
) -> str:
    """SHA-256 of all that the numbers of a lifetime depend on."""
    words = [repr(lifetime), jax.__version__, __version__]
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", "\n".join(words)).encode())
    for leaf in jax.tree.leaves((theta, jax.random.key_data(key), newborn, episode)):
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        values = np.asarray(leaf)
        digest.update(f"{values.dtype} {values.shape} ".encode() + values.tobytes())
    return digest.hexdigest()
