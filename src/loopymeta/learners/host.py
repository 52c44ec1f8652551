"""Learners that live on the host: Python objects that grow, where others are arrays under a scan.

A table that gets a place for whatever comes, or a graph that rearranges itself, has no fixed shape.
Such a learner lives the same streams as everyone else, by the same keys, and is scored by the same
task; but symbol by symbol in Python, so no outer loop can compile it.

Axis letters: T symbols in a lifetime, O outputs.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from loopymeta._jax import Array, jax, jnp
from loopymeta._version import __version__
from loopymeta.checkpoint import CheckpointError, write_atomic
from loopymeta.interventions import interventions_of
from loopymeta.lifetime import Lifetime, Metrics
from loopymeta.parameters import Theta
from loopymeta.tasks.base import FREEZE, Episode, Outcome, Task

VERSION = 1
_LIFE = "loopymeta-host-life"


class Living(Protocol):
    """A learner in the middle of a lifetime: it changes in place."""

    def predict(self, stimulus: int) -> np.ndarray:
        """The log probabilities [O] of the target that goes with a symbol; -1 is silence."""
        ...

    def teach(self, target: int | None) -> None:
        """Learns from the symbol just predicted; None: there is no target to be seen.

        Where the learner is frozen this is not called, and nothing may be learned from the symbol.
        """
        ...

    def to_json(self) -> Any:
        """All that it has become, as JSON holds it."""
        ...


@runtime_checkable
class HostLearner(Protocol):
    """A learner whose state is a Python object: a frozen dataclass that gives birth to `Living`."""

    def init_theta(self, key: Array | None = None) -> Theta:
        """Its meta-parameters, in natural units; may be ()."""
        ...

    def space(self) -> Any:
        """The `loopymeta.parameters.Space` of each leaf of theta, in a tree like theta."""
        ...

    def begin(self, theta: Theta, seed: int) -> Living:
        """A newborn."""
        ...

    def resume(self, theta: Theta, stored: Any) -> Living:
        """The one that `Living.to_json` described; it goes on as that one would have, bit for bit.

        Raises:
          CheckpointError: what is stored is none of its kind.
        """
        ...


class _Programs(NamedTuple):
    sample: Callable[[Array], Episode]
    score: Callable[[Outcome, Episode], Metrics]


def _programs_of(task: Task) -> _Programs:
    """The task's own functions, compiled once for equal tasks (if it can be hashed)."""
    try:
        hash(task)
    except TypeError:
        return _programs.__wrapped__(task)
    return _programs(task)


@functools.lru_cache(maxsize=64)
def _programs(task: Task) -> _Programs:
    return _Programs(jax.jit(task.sample), jax.jit(task.score))


class HostLife:
    """One lifetime of a host learner, which can stop and go on.

    The stream and the seed of the newborn come from the key as in `loopymeta.lifetime.Lifetime`. At
    every symbol the learner predicts, and only then is it taught. Interventions that need weights
    and a graph are refused.

    Args:
      learner: who lives.
      task: what it lives through; its targets are symbols.
      key: of the lifetime.
      theta: meta-parameters; None: the learner's own.
      episode: what the task gives for the key, if that is at hand.
      objective: the metric that is the loss.

    Attributes:
      at: symbols lived so far.
      living: the learner as it is now.

    Raises:
      ValueError, TypeError: the task has other targets, or an intervention that the learner cannot
        be subjected to.

    >>> from loopymeta import tasks
    >>> from loopymeta.learners import PPM
    >>> task = tasks.Caesar(symbols=50)
    >>> life = HostLife(PPM.for_task(task), task, jax.random.key(0))
    >>> life.advance(20)
    >>> life.at
    20
    """

    def __init__(
        self,
        learner: HostLearner,
        task: Task,
        key: Array,
        theta: Theta | None = None,
        episode: Episode | None = None,
        objective: str = "loss",
    ) -> None:
        check_symbols(task, type(learner).__name__)
        Lifetime(learner, task)  # type: ignore[arg-type] (which refuses what cannot be)
        self._programs, self._objective, self._born = _programs_of(task), objective, learner
        self.learner, self.task, self._key = learner, task, key
        self.theta = learner.init_theta() if theta is None else theta
        key_task, key_learner = jax.random.split(jax.random.fold_in(key, 0))
        self._seed = int(jax.random.bits(key_learner))
        self._episode = self._programs.sample(key_task) if episode is None else episode
        self._acts = interventions_of(task)
        self.at, self.living = 0, self._newborn()
        for number in range(len(self._acts)):
            self._undergo(number)  # refused here and not after half a life
        self.learner, self.living = learner, self._newborn()
        length = task.spec.length
        self._loss, self._correct = np.zeros(length), np.zeros(length)

    def _newborn(self) -> Living:
        return self.learner.begin(self.theta, self._seed)

    def _undergo(self, number: int) -> None:
        """The intervention of that number is carried out."""
        own = jax.random.fold_in(jax.random.fold_in(self._key, 2), number)
        self.learner, self.living = self._acts[number].apply(
            self.learner, self.living, own, self._newborn
        )

    def advance(self, symbols: int | None = None) -> None:
        """Lives so many symbols more; None: all that are left."""
        stop = len(self._loss) if symbols is None else min(self.at + symbols, len(self._loss))
        part = jax.tree.map(lambda x: np.asarray(x)[self.at : stop].tolist(), self._episode)
        rows = zip(part.stimulus, part.target, part.taught, part.intervention, strict=True)
        for stimulus, target, taught, intervention in rows:
            for number, act in enumerate(self._acts):
                if act.at == self.at:
                    self._undergo(number)
            prediction = self.living.predict(stimulus)
            # As `loopymeta.lifetime.symbol_loss` has it where there is no target.
            self._loss[self.at] = -prediction[target] if target >= 0 else 0.0
            self._correct[self.at] = prediction.argmax() == max(target, 0)
            if intervention != FREEZE:
                self.living.teach(target if taught else None)
            self.at += 1

    def outcome(self) -> Outcome:
        """What came of a lifetime that is over, symbol by symbol.

        Raises:
          ValueError: it is not over.
        """
        if self.at < len(self._loss):
            raise ValueError(f"{self.at} of {len(self._loss)} symbols are lived: advance() first")
        loss, correct = (jnp.asarray(x, jnp.float32) for x in (self._loss, self._correct))
        return Outcome(loss, correct, jnp.ones(len(self._loss)))

    def score(self) -> tuple[Array, Metrics]:
        """(loss, metrics) of a lifetime that is over."""
        metrics = self._programs.score(self.outcome(), self._episode)
        return metrics[self._objective], metrics

    # --- stop and go on --------------------------------------------------------------------------

    def _whose(self) -> dict[str, Any]:
        """What the lifetime is of."""
        key = np.asarray(jax.random.key_data(self._key)).tolist()
        theta = jax.tree.map(lambda x: np.asarray(x).tolist(), self.theta)
        heard = hashlib.sha256()  # of data that may have changed on the disk
        for values in map(np.asarray, self._episode):
            heard.update(f"{values.dtype} {values.shape} ".encode() + values.tobytes())
        return {
            "learner": repr(self._born),
            "task": repr(self.task),
            "key": key,
            "theta": theta,
            "version of loopymeta": __version__,
            "version of jax": jax.__version__,
            "episode": heard.hexdigest(),
        }

    def to_json(self) -> dict[str, Any]:
        """The lifetime so far, as JSON holds it."""
        lived = slice(0, self.at)
        return {
            **self._whose(),
            "at": self.at,
            "loss": self._loss[lived].tolist(),
            "correct": self._correct[lived].tolist(),
            "living": self.living.to_json(),
        }

    def restore(self, stored: Any) -> None:
        """Goes on from what `to_json` gave, as if there had been no break.

        Raises:
          CheckpointError: it is of another learner, task, key, theta, episode or version of
            loopymeta or jax, or no lifetime at all.
        """
        try:
            for name, own in self._whose().items():
                if stored[name] != json.loads(json.dumps(own)):
                    raise CheckpointError(f"the lifetime is of another {name}: {stored[name]}")
            at, losses, correct = stored["at"], stored["loss"], stored["correct"]
            if not (0 <= at <= len(self._loss) and len(losses) == len(correct) == at):
                raise CheckpointError(f"{at!r} symbols cannot have been lived")
            living = self.learner.resume(self.theta, stored["living"])
            self._loss[:at], self._correct[:at] = losses, correct
        except CheckpointError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise CheckpointError(f"this is no lifetime: {error!r}") from error
        self.at, self.living = at, living

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the lifetime so far to one file, atomically.

        Raises:
          OSError: the file could not be written; the one before is intact.
        """
        write_json(path, _LIFE, self.to_json())

    def load(self, path: str | os.PathLike[str]) -> None:
        """Goes on from a file that `save` wrote.

        Raises:
          CheckpointError: the file is missing, damaged, foreign or of another lifetime.
        """
        read_json(path, _LIFE, self.restore)


def whose_life(path: str | os.PathLike[str]) -> str:
    """The class of the learner whose lifetime a file of `HostLife.save` holds.

    Raises:
      CheckpointError: the file is missing, damaged or foreign.
    """
    return read_json(path, _LIFE, lambda stored: str(stored["learner"]).partition("(")[0])


def live_on_host(
    learner: HostLearner, task: Task, key: Array, theta: Theta | None = None
) -> tuple[Array, Metrics]:
    """One lifetime of a host learner: (loss, metrics).

    The same key gives the same stream as it gives to everyone else (`Lifetime.start`).

    Raises:
      ValueError, TypeError: see `HostLife`.
    """
    life = HostLife(learner, task, key, theta)
    life.advance()
    return life.score()


# --- what host learners share --------------------------------------------------------------------


def check_symbols(task: Task, who: str) -> None:
    """Refuses tasks whose stimuli or targets are vectors.

    Raises:
      ValueError: names the learner and the task.
    """
    name = type(task).__name__
    if task.spec.loss != "cross_entropy":
        raise ValueError(f"{who} needs targets that are symbols; those of {name} are vectors")
    episode = jax.eval_shape(task.sample, jax.eval_shape(lambda: jax.random.key(0)))
    if not jnp.issubdtype(episode.stimulus.dtype, jnp.integer):
        raise ValueError(f"{who} needs stimuli that are symbols; those of {name} are vectors")


def write_json(path: str | os.PathLike[str], kind: str, content: Mapping[str, Any]) -> None:
    """Writes JSON with its kind, a version and a SHA-256 over all of it, atomically."""
    stored = {"format": kind, "version": VERSION, **content}
    text = json.dumps(stored | {"sha256": _digest(stored)}) + "\n"
    write_atomic(Path(path), text.encode())


def read_json(path: str | os.PathLike[str], kind: str, use: Callable[[Any], Any]) -> Any:
    """``use`` of the content of a file that `write_json` wrote.

    Raises:
      CheckpointError: the file is missing, truncated, damaged, of another kind or version, or
        ``use`` says so; the file is named.
    """
    try:
        stored = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not whole, or no JSON ({error})") from None
    if not isinstance(stored, dict) or stored.get("format") != kind:
        raise CheckpointError(f"{path} is no file of the kind {kind!r}")
    if stored.get("version") != VERSION:
        raise CheckpointError(f"{path} is of version {stored.get('version')!r}, not {VERSION}")
    if stored.pop("sha256", None) != _digest(stored):
        raise CheckpointError(f"{path} is damaged: its content does not match its SHA-256")
    content = {name: value for name, value in stored.items() if name not in ("format", "version")}
    try:
        return use(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
