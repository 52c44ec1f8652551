"""Tasks made of tasks: what disturbs a learner, and what it keeps of what it has learned.

Each takes any task and makes one stream of it. What is done to the learner in mid-life is in
``interventions`` (see `loopymeta.interventions`). Where a figure needs a control, the learner's
newborn self lives behind it, in the same lifetime and on the very same symbols, so that the two
differ by what is asked about alone.

Axis letters: T symbols of a lifetime, S symbols of a part of it.

In every task here the *quality* of an answer is 1 if it is right and 0 if it is wrong; where
targets are vectors it is 1 - squared error / chance, which is 0 for the best constant guess. A
phase is that of the inner task, and -1 in what belongs to none. Figures of accuracy are there for
symbols alone. The metrics of an inner task keep their names behind a prefix.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np

from loopymeta import _validate
from loopymeta._jax import jax, jnp
from loopymeta.interventions import (
    Hurry,
    Intervention,
    Newborn,
    Perturb,
    Remove,
    Restore,
    interventions_of,
)
from loopymeta.tasks import base
from loopymeta.tasks.base import FREEZE, Episode, Outcome, Spec, Task
from loopymeta.tasks.functions import Boolean
from loopymeta.tasks.language import Caesar

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Key

    from loopymeta._jax import Array

Part = TypeVar("Part", Episode, Outcome)

_CURVE = 20  # points of a curve
_BURST = 5  # symbols of a burst, and of the silence behind it
_MARGIN = 0.05  # of the way from chance to perfect: below it nothing was learned

_CIPHER = Caesar(shift=None, symbols=1000)
_ANY, _XOR = Boolean("any"), Boolean("xor")

Form = Literal["noise", "bursts", "stuck", "silence"]


# Parts of a stream --------------------------------------------------------------------------------


def _part(whole: Part, start: int, stop: int) -> Part:
    return jax.tree.map(lambda x: x[start:stop], whole)


def _joined(*parts: Part) -> Part:
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def _alike(episodes: Sequence[Episode], spec: Spec) -> list[Episode]:
    """Episodes that can be joined: symbols become vectors where another episode has vectors."""
    for field, size in (("stimulus", spec.num_inputs), ("target", spec.num_outputs)):
        symbols = [jnp.issubdtype(getattr(e, field).dtype, jnp.integer) for e in episodes]
        if any(symbols) and not all(symbols):
            episodes = [
                e._replace(**{field: jax.nn.one_hot(getattr(e, field), size)}) if coded else e
                for e, coded in zip(episodes, symbols, strict=True)
            ]
    return list(episodes)


def _moved(task: Task, by: int, start: int = 0, stop: int | None = None) -> list[Intervention]:
    """The interventions of a task from symbol ``start`` on and before ``stop``, so much later."""
    stop = task.spec.length if stop is None else stop
    acts = [act for act in interventions_of(task) if start <= act.at < stop]
    return [dataclasses.replace(act, at=act.at + by) for act in acts]


def _lifespan(length: int, acts: Sequence[Intervention]) -> int:
    """Symbols that the oldest learner lives: newborns begin anew."""
    births = sorted({0, length, *(act.at for act in acts if isinstance(act, Newborn))})
    return int(np.diff(births).max())


@functools.lru_cache(maxsize=64)
def _num_scored(task: Task) -> float:
    """Scored symbols of a lifetime: the mean of a few."""
    with jax.ensure_compile_time_eval():  # a spec may be asked for while something is traced
        keys = jax.random.split(jax.random.key(0), 4)
        sample = jax.jit(lambda key: task.sample(key).scored.sum())
        return float(np.mean([sample(key) for key in keys]))


def _limits(tasks: Sequence[Task]) -> tuple[float, float | None]:
    """Chance and floor of tasks one after the other, weighted by their scored symbols."""
    chances, floors = [t.spec.chance for t in tasks], [t.spec.floor for t in tasks]
    if len(set(chances)) == len(set(floors)) == 1:
        return chances[0], floors[0]
    weights = [_num_scored(task) for task in tasks]
    known = [floor for floor in floors if floor is not None]
    floor = float(np.average(known, weights=weights)) if len(known) == len(tasks) else None
    return float(np.average(chances, weights=weights)), floor


def _check_task(name: str, task: Any) -> None:
    if isinstance(task, type) or not isinstance(task, Task):
        raise TypeError(f"{name} must be a task, got {task!r} ({type(task).__name__})")


def _check_unhurried(**tasks: Task) -> None:
    for name, task in tasks.items():
        _check_task(name, task)
        if any(isinstance(act, Hurry) for act in interventions_of(task)):
            raise ValueError(f"{name} must not hurry the learner: its control would be hurried too")


# Figures ------------------------------------------------------------------------------------------


def _means(outcome: Outcome, scored: Bool[Array, "T"], spec: Spec, tail: str = "") -> dict:
    """``loss`` and, for symbols, ``accuracy`` over what is scored."""
    means = {f"loss{tail}": base.masked_mean(outcome.loss, scored)}
    if spec.loss == "cross_entropy":
        means[f"accuracy{tail}"] = base.masked_mean(outcome.correct, scored)
    return means


def _inner(head: str, task: Task, outcome: Outcome, episode: Episode) -> dict[str, Array]:
    """The metrics of an inner task, behind a prefix."""
    return {f"{head}_{name}": value for name, value in task.score(outcome, episode).items()}


def _quality(outcome: Outcome, spec: Spec) -> Float[Array, "T"]:
    return outcome.correct if spec.loss == "cross_entropy" else 1 - outcome.loss / spec.chance


def _first_block(
    values: Float[Array, "S"], scored: Bool[Array, "S"], block: int, least: float
) -> tuple[Bool[Array, ""], Int[Array, ""], Int[Array, "S"]]:
    """The first ``block`` scored symbols in a row whose mean is ``least`` or more.

    Returns:
      Whether there are any; how many scored symbols come before them; and the order of the symbols
      in which these were counted, the scored ones first.
    """
    num = scored.shape[0]
    block = min(block, num)
    order = jnp.argsort(~scored, stable=True)
    # Summed block by block: a cumulative sum would carry one bad value through all of life.
    total = jax.lax.reduce_window(values[order], 0.0, jax.lax.add, (block,), (1,), "VALID")
    whole = jnp.arange(num - block + 1) + block <= scored.sum()
    reached = whole & (total / block >= least - 1e-5)
    return reached.any(), jnp.argmax(reached), order


def _examples(
    quality: Float[Array, "S"], scored: Bool[Array, "S"], block: int, criterion: float
) -> Float[Array, ""]:
    """Scored symbols up to the end of the first good block; all of them if there is none."""
    reached, before, _ = _first_block(quality, scored, block, criterion)
    seen = before + min(block, scored.shape[0])
    return jnp.where(reached, seen, scored.sum()).astype(jnp.float32)


def _check_blocks(block: int, **shares: float) -> None:
    _validate.at_least("block", block, 1)
    for name, share in shares.items():
        _validate.between(name, share, 0, 1)


# Mishaps, and the recovery from them --------------------------------------------------------------


def _garbage(key: Key[Array, ""], form: Form, num: int, like: Array, size: int) -> Array:
    """Stimuli that mean nothing, symbols [S] or vectors [S, I] as in ``like``."""
    symbols = jnp.issubdtype(like.dtype, jnp.integer)
    silence = jnp.full((num, *like.shape[1:]), -1 if symbols else 0, like.dtype)
    if symbols:
        noise = jax.random.randint(key, (num,), 0, size, like.dtype)
    else:
        noise = jax.random.uniform(key, silence.shape, like.dtype)
    if form == "stuck":
        return jnp.broadcast_to(noise[:1], silence.shape)
    if form == "bursts":
        loud = (np.arange(num) // _BURST % 2 == 0).reshape((num,) + (1,) * (silence.ndim - 1))
        return jnp.where(loud, noise, silence)
    return noise if form == "noise" else silence


@dataclass(frozen=True)
class _Mishap:
    """A task with an event in it, and behind it the control.

    The stream: the task with its event, T + garbage symbols; then a newborn lives the same T
    symbols without it.
    """

    task: Task
    block: int
    tolerance: float
    at: int
    """Symbols of the task before the event."""
    acts: tuple[Intervention, ...] = ()
    """What is done to the learner."""
    garbage: int = 0
    """Symbols that are put in there."""
    form: Form = "silence"
    """Of what kind."""

    def __post_init__(self):
        _validate.at_least("block", self.block, 1)
        _validate.between("tolerance", self.tolerance, 0, 1)
        if self.task.spec.length < 2:
            raise ValueError("task must have two symbols at least, for something to happen between")

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """What befalls the learner, and the newborn that is the control."""
        length = self.task.spec.length
        again = length + self.garbage
        own = _moved(self.task, 0, 0, self.at) + _moved(self.task, self.garbage, self.at)
        return (*own, *self.acts, Newborn(again), *_moved(self.task, again))

    @property
    def spec(self) -> Spec:
        """The task's, twice as long and the garbage; chance and floor are the task's."""
        spec = self.task.spec
        length = 2 * spec.length + self.garbage
        lifespan = _lifespan(length, self.interventions)
        return dataclasses.replace(spec, length=length, lifespan=lifespan)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of the task with its event, and again without it."""
        key_task, key_garbage = jax.random.split(key)
        episode, spec = self.task.sample(key_task), self.task.spec
        if not self.garbage:
            return _joined(episode, episode)
        # Neither scored nor taught; its targets are never looked at.
        nothing = jax.tree.map(lambda x: jnp.zeros((self.garbage, *x.shape[1:]), x.dtype), episode)
        garbage = nothing._replace(
            stimulus=_garbage(
                key_garbage, self.form, self.garbage, episode.stimulus, spec.num_inputs
            ),
            phase=nothing.phase - 1,
        )
        before, after = _part(episode, 0, self.at), _part(episode, self.at, spec.length)
        return _joined(before, garbage, after, episode)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of `Garbage`."""
        spec = self.task.spec
        at, length, again = self.at, spec.length, spec.length + self.garbage
        lived = _joined(_part(outcome, 0, at), _part(outcome, at + self.garbage, again))
        control = _part(outcome, again, again + length)
        stream = _part(episode, again, again + length)  # the same symbols in both
        after, control_after = _part(lived, at, length), _part(control, at, length)
        scored = stream.scored[at:]
        figures = _means(outcome, episode.scored, spec)
        figures |= _means(after, scored, spec, "_after")
        figures |= _means(control_after, scored, spec, "_control")
        excess = after.loss - control_after.loss
        figures["excess_loss"] = base.masked_mean(excess, scored)
        if spec.loss == "cross_entropy":
            figures["accuracy_lost"] = figures["accuracy_control"] - figures["accuracy_after"]
        gained = _quality(after, spec) - _quality(control_after, spec)
        back, first, order = _first_block(gained, scored, self.block, -self.tolerance)
        until = jnp.where(first > 0, order[jnp.maximum(first - 1, 0)] + 1, 0)
        figures["symbols_to_recover"] = jnp.where(back, until, length - at).astype(jnp.float32)
        num_points = min(_CURVE, length - at)
        block = jnp.arange(length - at) * num_points // (length - at)
        figures["excess_by_block"] = base.mean_by(excess, block, num_points, scored)
        figures |= _inner("task", self.task, lived, stream)
        return figures | _inner("control", self.task, control, stream)


class _Disturbed:
    """What the tasks with a mishap have in common; they say which in ``_mishap``."""

    @property
    def _mishap(self) -> _Mishap:
        raise NotImplementedError

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """What befalls the learner, and the newborn that is the control."""
        return self._mishap.interventions

    @property
    def spec(self) -> Spec:
        """The task's, twice as long and the garbage; chance and floor are the task's."""
        return self._mishap.spec

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of the task with its event, and again without it."""
        return self._mishap.sample(key)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of `Garbage`."""
        return self._mishap.score(outcome, episode)


@dataclass(frozen=True)
class Garbage(_Disturbed):
    """Any task with garbage before it or in the middle of it, neither scored nor taught.

    The garbage is ``span`` stimuli: ``noise``, random symbols, all equally likely (random numbers
    in 0..1 where stimuli are vectors); ``bursts``, five symbols of noise and five of silence in
    turn; ``stuck``, one random symbol all along; or ``silence``. Synapses may change meanwhile.
    Behind the task stands the control: a newborn lives the same symbols without the garbage.

    Metrics: ``loss``, ``accuracy`` over all that is scored, control and all; over the symbols after
    the garbage ``loss_after``, ``accuracy_after``, and over the same symbols of the control
    ``loss_control``, ``accuracy_control``; their differences ``excess_loss`` and
    ``accuracy_lost``, both positive where the garbage did harm; ``excess_by_block [20]``, the
    excess loss in 20 equal blocks of those symbols; ``symbols_to_recover``, the symbols until
    ``block`` scored ones in a row begin whose quality is on average at most ``tolerance`` below the
    control's (0: no harm was done; all that are left, if it never recovers); ``task_*`` and
    ``control_*``, the task's own metrics with the garbage and without.

    Chance and floor are those of the task: the garbage says nothing about it.

    Raises:
      ValueError: for sizes that cannot be, or a task that hurries the learner.

    >>> task = Garbage(Caesar(symbols=100), form="stuck", span=30)
    >>> task.spec.length, [act.at for act in task.interventions]
    (230, [130])
    """

    task: Task = _CIPHER
    """What the learner lives through."""
    form: Form = "noise"
    """What the garbage is made of."""
    where: Literal["before", "middle"] = "middle"
    """Where it comes: before the task or in the middle of it."""
    span: int = 200
    """Symbols of garbage."""
    block: int = 50
    """Scored symbols that must be good again in a row to count as recovered."""
    tolerance: float = 0.05
    """How far their mean quality may be below that of the control."""

    def __post_init__(self):
        _validate.choice("form", self.form, ["noise", "bursts", "stuck", "silence"])
        _validate.choice("where", self.where, ["before", "middle"])
        _validate.at_least("span", self.span, 1)
        _check_unhurried(task=self.task)
        _ = self._mishap  # which refuses what cannot be

    @property
    def _mishap(self) -> _Mishap:
        at = 0 if self.where == "before" else self.task.spec.length // 2
        return _Mishap(self.task, self.block, self.tolerance, at, garbage=self.span, form=self.form)


@dataclass(frozen=True)
class Perturbed(_Disturbed):
    """Any task, in the middle of which every weight is multiplied by 1 + sigma * normal.

    Control, metrics, chance and floor are those of `Garbage`, "after" being after the change.

    >>> Perturbed(Caesar(symbols=100)).interventions
    (Perturb(at=50, sigma=0.5), Newborn(at=100))
    """

    task: Task = _CIPHER
    """What the learner lives through."""
    sigma: float = 0.5
    """Standard deviation of the noise, as a part of each weight."""
    block: int = 50
    """Scored symbols that must be good again in a row to count as recovered."""
    tolerance: float = 0.05
    """How far their mean quality may be below that of the control."""

    def __post_init__(self):
        _check_unhurried(task=self.task)
        _ = self._mishap  # which refuses what cannot be

    @property
    def _mishap(self) -> _Mishap:
        at = self.task.spec.length // 2
        return _Mishap(self.task, self.block, self.tolerance, at, (Perturb(at, self.sigma),))


@dataclass(frozen=True)
class Zeroed(_Disturbed):
    """Any task, in the middle of which random weights are held at zero for a while.

    A ``share`` of the edges has weights of zero for ``span`` symbols, whatever is learned; then
    they may be learned anew. Control, metrics, chance and floor are those of `Garbage`, "after"
    being from the moment on when they are zeroed.

    >>> Zeroed(Caesar(symbols=100), span=20).interventions
    (Remove(at=50, edges=0.5, nodes=0.0), Restore(at=70), Newborn(at=100))
    """

    task: Task = _CIPHER
    """What the learner lives through."""
    share: float = 0.5
    """Part of the weights that is zeroed."""
    span: int = 100
    """Symbols for which they stay at zero."""
    block: int = 50
    """Scored symbols that must be good again in a row to count as recovered."""
    tolerance: float = 0.05
    """How far their mean quality may be below that of the control."""

    def __post_init__(self):
        _check_unhurried(task=self.task)
        _validate.between("share", self.share, 0, 1)
        _validate.at_least("span", self.span, 1)
        rest = self.task.spec.length - self._mishap.at
        if self.span >= rest:
            raise ValueError(
                f"span must be below the {rest} symbols that are left, got {self.span}"
            )

    @property
    def _mishap(self) -> _Mishap:
        at = self.task.spec.length // 2
        return _Mishap(
            self.task,
            self.block,
            self.tolerance,
            at,
            (Remove(at, edges=self.share), Restore(at + self.span)),
        )


@dataclass(frozen=True)
class Lesioned(_Disturbed):
    """Any task, in the middle of which random edges and hidden nodes are removed for good.

    Control, metrics, chance and floor are those of `Garbage`, "after" being after the removal.

    >>> Lesioned(Caesar(symbols=100), edges=0.1, nodes=0.2).interventions
    (Remove(at=50, edges=0.1, nodes=0.2), Newborn(at=100))
    """

    task: Task = _CIPHER
    """What the learner lives through."""
    edges: float = 0.3
    """Part of the edges that is removed."""
    nodes: float = 0.0
    """Part of the hidden nodes that is removed, with all their edges."""
    block: int = 50
    """Scored symbols that must be good again in a row to count as recovered."""
    tolerance: float = 0.05
    """How far their mean quality may be below that of the control."""

    def __post_init__(self):
        _check_unhurried(task=self.task)
        _ = self._mishap  # which refuses what cannot be

    @property
    def _mishap(self) -> _Mishap:
        at = self.task.spec.length // 2
        return _Mishap(
            self.task, self.block, self.tolerance, at, (Remove(at, self.edges, self.nodes),)
        )


# Forgetting ---------------------------------------------------------------------------------------


def _check_alike(first: Task, second: Task) -> None:
    for name in ("num_inputs", "num_outputs", "loss"):
        a, b = getattr(first.spec, name), getattr(second.spec, name)
        if a != b:
            raise ValueError(
                f"first and second must have the same {name}, got {a!r} of {type(first).__name__} "
                f"and {b!r} of {type(second).__name__}"
            )


@dataclass(frozen=True)
class Forgetting:
    """Two tasks X and Y: X is learned, then Y, then X is tested on what was left of its stream.

    X is lived but for the last part ``test`` of its symbols; then all of Y; then the rest of X,
    while no synapse changes and nothing is taught, or with learning going on. Behind that stands
    the control: a newborn lives the same Y, without X before it. Where a task has a state of its
    own (a circuit, running text), X goes on from where it was left.

    Metrics: ``loss``, ``accuracy`` over all that is scored; of X in the test ``loss_after`` and
    ``accuracy_after``, and in as many symbols just before Y ``loss_before`` and
    ``accuracy_before``; ``retention``, what the test has of the quality that X had above that of
    the best constant guess: (after - chance) / (before - chance), 1 if nothing was forgotten, and
    0 where X was not learned in the first place (less than 5 % of the way from chance to perfect);
    of Y ``loss_second``, ``accuracy_second``, and by the newborn ``loss_control``,
    ``accuracy_control``; ``forward_transfer``, the control's loss less that after X: positive where
    X helped; ``first_*``, ``second_*``, ``control_*``, the tasks' own metrics.

    Chance and floor are those of the tasks, weighted by their scored symbols (Y counts twice); no
    floor, if either has none.

    Raises:
      ValueError: the tasks differ in sizes or loss, or one of them hurries the learner.

    Reference: McCloskey and Cohen 1989; forward transfer as in Lopez-Paz and Ranzato 2017.

    >>> task = Forgetting(Boolean("xor", sets=25), Boolean("and", sets=25), test=0.2)
    >>> task.spec.length, task.spec.lifespan, round(task.spec.chance, 3)
    (300, 200, 0.667)
    >>> Forgetting(Boolean(), Caesar())
    Traceback (most recent call last):
    ValueError: first and second must have the same num_inputs, got 3 of Boolean and 26 of Caesar
    """

    first: Task = _CIPHER
    """X, which is learned first and tested in the end."""
    second: Task = _CIPHER
    """Y, which is learned in between."""
    test: float = 0.2
    """Part of the symbols of X that comes behind Y; at most a half."""
    frozen_test: bool = True
    """Whether synapses are frozen and nothing is taught in the test."""

    def __post_init__(self):
        _check_unhurried(first=self.first, second=self.second)
        _check_alike(self.first, self.second)
        _validate.between("test", self.test, 0, 0.5)
        if self._left == self.first.spec.length:
            raise ValueError(f"test must leave a symbol to test, got {self.test}")

    @property
    def _left(self) -> int:
        """Symbols of X before Y."""
        length = self.first.spec.length
        return length - math.floor(self.test * length)

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """Those of the tasks, and the newborn that is the control."""
        left, both = self._left, self.first.spec.length + self.second.spec.length
        return (
            *_moved(self.first, 0, 0, left),
            *_moved(self.second, left),
            *_moved(self.first, self.second.spec.length, left),
            Newborn(both),
            *_moved(self.second, both),
        )

    @property
    def spec(self) -> Spec:
        """The sizes of the two tasks; X once and Y twice; chance and floor as given above."""
        first, second = self.first.spec, self.second.spec
        length = first.length + 2 * second.length
        chance, floor = _limits((self.first, self.second, self.second))
        return dataclasses.replace(
            first,
            length=length,
            lifespan=_lifespan(length, self.interventions),
            chance=chance,
            floor=floor,
            symbols=first.symbols if first.symbols == second.symbols else None,
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A fresh lifetime of each task, independent of each other."""
        key_first, key_second = jax.random.split(key)
        episodes = self.first.sample(key_first), self.second.sample(key_second)
        first, second = _alike(episodes, self.first.spec)
        before = _part(first, 0, self._left)
        test = _part(first, self._left, self.first.spec.length)
        if self.frozen_test:
            test = test._replace(
                taught=jnp.zeros_like(test.taught),
                intervention=jnp.full_like(test.intervention, FREEZE),
            )
        return _joined(before, second, test, second)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        left, whole, length = self._left, self.first.spec.length, self.second.spec.length

        def parts(of: Part) -> tuple[Part, Part, Part, Part]:
            before, second = _part(of, 0, left), _part(of, left, left + length)
            test = _part(of, left + length, whole + length)
            return before, second, test, _part(of, whole + length, whole + 2 * length)

        before, second, test, control = parts(outcome)
        stream, stream_second, stream_test, stream_control = parts(episode)
        spec, tested = self.first.spec, whole - left
        last, scored = _part(before, left - tested, left), stream.scored[left - tested :]
        figures = _means(outcome, episode.scored, spec)
        figures |= _means(last, scored, spec, "_before")
        figures |= _means(test, stream_test.scored, spec, "_after")
        figures |= _means(second, stream_second.scored, spec, "_second")
        figures |= _means(control, stream_control.scored, spec, "_control")
        least = spec.chance if spec.loss == "cross_entropy" else 0.0
        had = base.masked_mean(_quality(last, spec), scored) - least
        has = base.masked_mean(_quality(test, spec), stream_test.scored) - least
        learned = had > _MARGIN * (1 - least)
        figures["retention"] = jnp.where(learned, has / jnp.where(learned, had, 1.0), 0.0)
        figures["forward_transfer"] = figures["loss_control"] - figures["loss_second"]
        figures |= _inner("first", self.first, _joined(before, test), _joined(stream, stream_test))
        figures |= _inner("second", self.second, second, stream_second)
        return figures | _inner("control", self.second, control, stream_control)


# Transfer -----------------------------------------------------------------------------------------


@runtime_checkable
class Changing(Task, Protocol):
    """A task that can be changed a little: what `Transfer` needs."""

    def sample_changed(self, key: Key[Array, ""]) -> tuple[Episode, Episode]:
        """Two lifetimes: one of the task, and one of the same with a small change; pure."""
        ...


@dataclass(frozen=True)
class Transfer:
    """A task is learned, and then the same task with a small change.

    Of a circuit another gate, of a cipher two letters swapped, of a kernel or of a boolean function
    one answer of its table: what a task says in ``sample_changed``. The change comes without notice
    after a whole lifetime of the task; another follows, on fresh examples.

    Metrics: ``loss``, ``accuracy``; ``examples_first`` and ``examples_second``, the scored symbols
    seen, before and after the change, until ``block`` of them in a row had a mean quality of
    ``criterion`` or more (all, if they never had); ``savings``, examples_second / examples_first:
    below 1 where something of the first was of use, 1 for a learner that never gets there;
    ``loss_first``, ``loss_second``, ``accuracy_first``, ``accuracy_second``; ``first_*`` and
    ``second_*``, the task's own metrics.

    Chance is that of the task and of what it becomes; a floor is half of the task's, since what is
    left to be found out after the change may be next to nothing.

    Raises:
      TypeError: the task has no ``sample_changed``; those that have are named.

    Reference: savings: Ebbinghaus 1885.

    >>> Transfer(Boolean("any", sets=25)).spec.length
    200
    """

    task: Task = _ANY
    """What is learned, and then changed."""
    block: int = 50
    """Scored symbols in a row that must be good to count as learned."""
    criterion: float = 0.95
    """Mean quality that these must have."""

    def __post_init__(self):
        if not isinstance(self.task, Changing):
            from loopymeta.tasks import TASKS

            able = [name for name, cls in TASKS.items() if hasattr(cls, "sample_changed")]
            raise TypeError(
                f"task must be one that can be changed a little ({', '.join(able)}): "
                f"{type(self.task).__name__} has no sample_changed"
            )
        _check_blocks(self.block, criterion=self.criterion)

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """Those of the task, twice."""
        return (*_moved(self.task, 0), *_moved(self.task, self.task.spec.length))

    @property
    def spec(self) -> Spec:
        """The task's, twice as long; chance and floor as given above."""
        spec = self.task.spec
        changed = getattr(self.task, "changed_chance", spec.chance)
        return dataclasses.replace(
            spec,
            length=2 * spec.length,
            lifespan=_lifespan(2 * spec.length, self.interventions),
            chance=(spec.chance + changed) / 2,
            floor=None if spec.floor is None else spec.floor / 2,
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of the task, and one of the changed task behind it."""
        task: Any = self.task
        return _joined(*task.sample_changed(key))

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        spec, length = self.task.spec, self.task.spec.length
        figures = _means(outcome, episode.scored, spec)
        for name, start in (("first", 0), ("second", length)):
            lived = _part(outcome, start, start + length)
            stream = _part(episode, start, start + length)
            figures |= _means(lived, stream.scored, spec, f"_{name}")
            figures[f"examples_{name}"] = _examples(
                _quality(lived, spec), stream.scored, self.block, self.criterion
            )
            figures |= _inner(name, self.task, lived, stream)
        figures["savings"] = figures["examples_second"] / figures["examples_first"]
        return figures


# Composition --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Composition:
    """Functions over an alphabet are learned, and then what they give one after the other.

    In each lifetime ``functions`` random permutations F_1, F_2, ... of ``alphabet`` letters. The
    stimulus is a letter, one-hot, and a cue for each function [T, alphabet + functions]. First the
    parts: one cue is on, and the answer is what its function makes of the letter; ``sets`` times
    all pairs of function and letter, each time in fresh order. Then the whole: all cues are on, and
    the answer is ...F_2(F_1(letter)), ``sets`` times all letters. Behind it stands the control: a
    newborn lives the same whole without the parts. All is scored and taught. The phase is the
    number of the function, then ``functions`` for the whole, and one more for the control.

    Metrics: ``loss``, ``accuracy``; ``accuracy_parts`` (second half of the sets); of the whole
    ``loss_after_parts``, ``accuracy_after_parts``, and by the newborn ``loss_from_scratch``,
    ``accuracy_from_scratch``; ``accuracy_at_once``, the accuracy on the first set of the whole,
    which only who puts the parts together can know before it is taught; ``examples_after_parts``
    and ``examples_from_scratch``, the examples of the whole until of ``block`` in a row the part
    ``criterion`` was right (all, if it never was); ``savings``, their ratio: below 1 where the
    parts were of use.

    Chance is 1 / alphabet. Floor: the answers of a permutation that is not known cost ln(alphabet!)
    nats, once for each part and once for the newborn's whole; after the parts the whole is free.

    >>> task = Composition(alphabet=4, functions=2, sets=10)
    >>> task.spec.length, round(task.spec.floor, 4)
    (160, 0.0596)
    """

    alphabet: int = 8
    """Number of different letters."""
    functions: int = 2
    """Functions that are learned as parts, and composed."""
    sets: int = 60
    """How many times all letters are shown, of each function and of the whole."""
    block: int = 40
    """Examples in a row that must be right to count as learned."""
    criterion: float = 0.95
    """Part of these examples that must be right."""

    def __post_init__(self):
        _validate.at_least("alphabet", self.alphabet, 2)
        _validate.at_least("functions", self.functions, 2)
        _validate.at_least("sets", self.sets, 2)
        _check_blocks(self.block, criterion=self.criterion)

    @property
    def _sizes(self) -> tuple[int, int]:
        """Symbols of the parts, and of the whole."""
        return self.sets * self.functions * self.alphabet, self.sets * self.alphabet

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """The newborn that is the control."""
        return (Newborn(sum(self._sizes)),)

    @property
    def spec(self) -> Spec:
        """Sizes, chance and floor as given above; the symbols are the letters."""
        parts, whole = self._sizes
        length = parts + 2 * whole
        return Spec(
            num_inputs=self.alphabet + self.functions,
            num_outputs=self.alphabet,
            length=length,
            loss="cross_entropy",
            chance=1 / self.alphabet,
            floor=(self.functions + 1) * math.lgamma(self.alphabet + 1) / length,
            symbols=tuple(
                chr(ord("a") + i) if self.alphabet <= 26 else str(i) for i in range(self.alphabet)
            ),
            lifespan=parts + whole,
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh functions, its examples in fresh order."""
        key_function, key_parts, key_whole = jax.random.split(key, 3)
        letters = jnp.arange(self.alphabet)
        tables = jax.random.permutation(
            key_function, jnp.tile(letters, (self.functions, 1)), axis=1, independent=True
        )
        composed = functools.reduce(lambda letter, table: table[letter], tables, letters)

        def drill(key: Key[Array, ""], num_cases: int) -> Int[Array, "S"]:
            cases = jnp.tile(jnp.arange(num_cases), (self.sets, 1))
            return jax.random.permutation(key, cases, axis=1, independent=True).reshape(-1)

        case = drill(key_parts, self.functions * self.alphabet)
        whole = drill(key_whole, self.alphabet)
        letter = jnp.concatenate([case % self.alphabet, whole, whole])
        target = jnp.concatenate([tables.reshape(-1)[case], composed[whole], composed[whole]])
        cue = jax.nn.one_hot(case // self.alphabet, self.functions)
        cues = jnp.concatenate([cue, jnp.ones((2 * whole.shape[0], self.functions))])
        later = jnp.repeat(jnp.arange(2) + self.functions, whole.shape[0])
        phase = jnp.concatenate([case // self.alphabet, later])
        episode = base.stream_episode(letter, target, phase=phase)
        stimulus = jnp.concatenate([jax.nn.one_hot(letter, self.alphabet), cues], axis=1)
        return episode._replace(stimulus=stimulus)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        parts, whole = self._sizes
        late = self.sets // 2 * self.functions * self.alphabet
        figures = base.scores(outcome, episode)
        figures["accuracy_parts"] = base.masked_mean(
            outcome.correct[late:parts], episode.scored[late:parts]
        )
        for name, start in (("after_parts", parts), ("from_scratch", parts + whole)):
            lived = _part(outcome, start, start + whole)
            stream = _part(episode, start, start + whole)
            figures |= _means(lived, stream.scored, self.spec, f"_{name}")
            figures[f"examples_{name}"] = _examples(
                lived.correct, stream.scored, self.block, self.criterion
            )
        figures["accuracy_at_once"] = outcome.correct[parts : parts + self.alphabet].mean()
        figures["savings"] = figures["examples_after_parts"] / figures["examples_from_scratch"]
        return figures


# Speedup ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speedup:
    """Any task; from the middle of it on the answers are asked for in fewer ticks.

    The learner may take at most ``ticks`` ticks a symbol in the second half: a network that sets
    its own pace is cut off earlier, one of fixed ticks takes fewer. Learners that need but one are
    not concerned.

    Metrics: ``loss``, ``accuracy``; the second quarter of the lifetime against the last, each
    learned as far as it goes: ``ticks_before``, ``ticks_after`` (a symbol, timeouts charged),
    ``loss_before``, ``loss_after``, ``accuracy_before``, ``accuracy_after``, and
    ``accuracy_lost``, the first less the second; ``quality_by_quarter [4]``, ``ticks_by_quarter
    [4]``; ``task_*``, the task's own metrics.

    Chance and floor are those of the task.

    >>> Speedup(Caesar(symbols=100)).interventions
    (Hurry(at=50, ticks=1),)
    """

    task: Task = _XOR
    """What the learner lives through."""
    ticks: int = 1
    """The most ticks a symbol in the second half."""

    def __post_init__(self):
        _check_task("task", self.task)
        Hurry(0, self.ticks)
        if self.task.spec.length < 4:
            raise ValueError(f"task must have four symbols at least, got {self.task.spec.length}")

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """Those of the task, and haste in the middle of it."""
        return (*_moved(self.task, 0), Hurry(self.task.spec.length // 2, self.ticks))

    @property
    def spec(self) -> Spec:
        """The task's."""
        return self.task.spec

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of the task."""
        return self.task.sample(key)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        spec = self.task.spec
        length, half = spec.length, spec.length // 2
        first, third = half // 2, (half + length) // 2
        figures = _means(outcome, episode.scored, spec)
        for name, start, stop in (("before", first, half), ("after", third, length)):
            lived, scored = _part(outcome, start, stop), episode.scored[start:stop]
            figures |= _means(lived, scored, spec, f"_{name}")
            figures[f"ticks_{name}"] = lived.ticks.mean()
        if spec.loss == "cross_entropy":
            figures["accuracy_lost"] = figures["accuracy_before"] - figures["accuracy_after"]
        quarter = jnp.asarray(np.searchsorted([first, half, third], np.arange(length), "right"))
        figures["quality_by_quarter"] = base.mean_by(
            _quality(outcome, spec), quarter, 4, episode.scored
        )
        everywhere = jnp.ones(length, bool)
        figures["ticks_by_quarter"] = base.mean_by(outcome.ticks, quarter, 4, everywhere)
        return figures | _inner("task", self.task, outcome, episode)
