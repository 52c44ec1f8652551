"""Parallel streams: one learner lives several lifetimes of a task at once, with shared weights.

Every stream has activity, windows and traces of its own; what is learned from is the mean of the
streams' gradients, so that there is one set of weights. A learner takes part by two lines and a
field ``parallel``, which `Parallel` sets: it sends its gradient through `mean_of_streams` before it
gives it to its optimiser, and flags on which all streams must agree through `all_streams` or
`any_stream`. Everything else is its ordinary ``step``.

Axis letters: S streams, T symbols in a lifetime.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.lifetime import Lifetime, Metrics, Stage, live_stages
from loopymeta.parameters import Theta
from loopymeta.tasks.base import Episode, Outcome, Spec, Task

STREAMS = "streams"
"""Name of the axis of streams, for ``jax.lax`` (say, ``axis_index``, for noise of one's own)."""


def mean_of_streams(tree: Any, parallel: bool) -> Any:
    """The mean over the streams that learn together; the tree itself where there is but one."""
    return jax.lax.pmean(tree, STREAMS) if parallel else tree


def all_streams(flag: Array, parallel: bool) -> Array:
    """Whether a flag is set in all streams; the same in each of them."""
    return jax.lax.pmin(flag.astype(jnp.int32), STREAMS) > 0 if parallel else flag


def any_stream(flag: Array, parallel: bool) -> Array:
    """Whether a flag is set in any stream; the same in each of them."""
    return jax.lax.pmax(flag.astype(jnp.int32), STREAMS) > 0 if parallel else flag


@dataclasses.dataclass(frozen=True, eq=False)
class Parallel:
    """The objective of a learner that lives several streams of a task at once.

      gradient = mean over streams of the gradient of each

    A newborn starts in all streams, which are lifetimes of the task on keys of their own. In a
    symbol it takes one from each stream; where one stream freezes the weights, they are frozen. The
    loss and every metric are means over the streams; what the lifetime records is kept stream by
    stream [T, S, ...]. `loopymeta.living.live_through` lives it in parts, as it does a `Lifetime`.

    Attributes:
      lifetime: a learner with a field ``parallel`` on a task.
      streams: S.

    Raises:
      TypeError: the learner cannot learn from several streams.

    >>> import loopymeta as lm
    >>> task = lm.tasks.Henon(symbols=50)
    >>> learner = lm.learners.OnlineRNN.for_spec(task.spec, cell="elman", width=8)
    >>> parallel = Parallel(lm.Lifetime(learner, task), streams=4)
    >>> loss, metrics = parallel(parallel.init_theta(), lm.key(0))
    >>> metrics["nmse_curve"].shape
    (20,)
    """

    lifetime: Lifetime
    streams: int = 8

    def __post_init__(self) -> None:
        _validate.at_least("streams", self.streams, 1)
        if not isinstance(self.lifetime, Lifetime):
            raise TypeError(
                f"lifetime must be a Lifetime, of a learner on a task, got {self.lifetime!r:.60}"
            )
        learner: Any = self.lifetime.learner
        if not hasattr(learner, "parallel"):
            raise TypeError(
                f"{type(learner).__name__} cannot live parallel streams: it learns by no gradient "
                "that could be averaged over them, or has no field 'parallel' "
                "(loopymeta.learners.parallel)"
            )
        learner = dataclasses.replace(learner, parallel=True)
        object.__setattr__(self, "lifetime", dataclasses.replace(self.lifetime, learner=learner))

    @property
    def spec(self) -> Spec:
        """The task's sizes, those of one stream."""
        return self.lifetime.spec

    @property
    def learner(self) -> Any:
        """Who lives."""
        return self.lifetime.learner

    @property
    def task(self) -> Task:
        """What is lived in each stream."""
        return self.lifetime.task

    @property
    def record(self) -> Callable[..., Any] | None:
        """What looks at each stream's states."""
        return self.lifetime.record

    @property
    def tick_cost(self) -> float:
        """What a tick of self-paced reading costs."""
        return self.lifetime.tick_cost

    @property
    def objective(self) -> str:
        """The metric that is the loss."""
        return self.lifetime.objective

    def init_theta(self, key: Array | None = None) -> Theta:
        """The learner's meta-parameters, in natural units."""
        return self.lifetime.init_theta(key)

    def space(self) -> Any:
        """The search space of each leaf of theta."""
        return self.lifetime.space()

    def stages(self) -> list[Stage]:
        """The symbols between two interventions, which come at the same time in all streams."""
        return self.lifetime.stages()

    def start(self, theta: Theta, key: Array) -> tuple[Any, Episode]:
        """A newborn in all streams [S, ...], and what they will live through: arrays [T, S]."""
        key_task, key_learner = jax.random.split(jax.random.fold_in(key, 0))
        sample = jax.vmap(self.lifetime.task.sample, out_axes=1)
        newborn = self.lifetime.learner.init(key_learner, theta)
        stacked = jax.tree.map(lambda x: jnp.stack([x] * self.streams), newborn)
        return stacked, sample(jax.random.split(key_task, self.streams))

    def advance(
        self, theta: Theta, state: Any, episode: Episode, key: Array, start: Any = 0
    ) -> tuple[Any, Outcome, Any]:
        """As `Lifetime.advance`, of states [S, ...] through an episode [T, S]: outcomes [T, S]."""

        def live(state: Any, episode: Episode) -> Any:
            return self.lifetime.advance(theta, state, episode, key, start)

        # Of what is the same in all streams (weights: their gradients are) there must be no copies,
        # so that the learner's work on it is done once.
        own = _owned(live, state, jax.tree.map(lambda x: x[:1], episode))
        together = jax.vmap(live, in_axes=(_axes(own), 1), out_axes=(0, 1, 1), axis_name=STREAMS)
        return together(_once(state, own), episode)

    def entered(self, stage: Stage, state: Any, key: Array, newborn: Any) -> tuple[Parallel, Any]:
        """As `Lifetime.entered`: the same is done in all streams, so that weights stay one set."""
        if not stage.acts:
            return self, state
        later = []

        def enter(state: Any, newborn: Any) -> Any:
            life, state = self.lifetime.entered(stage, state, key, newborn)
            later.append(life)
            return state

        state = jax.vmap(enter)(state, newborn)
        return dataclasses.replace(self, lifetime=later[0]), state

    def score(self, outcome: Outcome, episode: Episode) -> tuple[Array, Metrics]:
        """(loss, metrics), means over the streams, of outcomes and episodes [T, S]."""
        scored = jax.vmap(self.lifetime.score, in_axes=1)(outcome, episode)
        return jax.tree.map(lambda x: x.mean(0), scored)

    def __call__(self, theta: Theta, key: Array) -> tuple[Array, Metrics]:
        """Lives all streams: (loss, metrics)."""
        state, episode = self.start(theta, key)
        _, outcome, seen = live_stages(self, theta, state, episode, key)
        loss, metrics = self.score(outcome, episode)
        return loss, metrics if self.record is None else metrics | {"record": seen}

    def population(self, thetas: Theta, key: Array) -> tuple[Array, Metrics]:
        """Losses [P] and metrics [P, ...] of thetas [P, ...], all on the same key."""
        return jax.vmap(self, in_axes=(0, None))(thetas, key)


def in_streams(lifetime: Lifetime, streams: int) -> Lifetime | Parallel:
    """A lifetime in so many parallel streams; itself in one.

    Raises:
      ValueError, TypeError: as for `Parallel`.
    """
    return lifetime if streams == 1 else Parallel(lifetime, streams)


def _owned(live: Callable[..., Any], state: Any, episode: Episode) -> Any:
    """Which leaves of a state [S, ...] a stream has for itself, as a tree of bools.

    All streams begin with one newborn; a leaf is a stream's own if what the streams live through
    (episodes [T, S]) comes to make a difference to it.
    """
    found: list[Any] = []

    @jax.custom_batching.custom_vmap
    def look(state: Any) -> Any:
        return state

    @look.def_vmap
    def _(size: int, batched: list[Any], state: Any) -> tuple[Any, Any]:
        found.append(batched[0])
        return state, batched[0]

    own = jax.tree.map(lambda _: False, state)
    while True:

        def after(state: Any, episode: Episode) -> Any:
            return look(live(state, episode)[0])

        streams = jax.vmap(after, in_axes=(_axes(own), 1), axis_name=STREAMS)
        jax.eval_shape(streams, _once(state, own), episode)
        now = found.pop() if found else own  # where nothing differs, nothing is batched
        more = jax.tree.map(lambda a, b: a or b, own, now)
        if more == own:
            return own
        own = more


def _axes(own: Any) -> Any:
    """The axis of streams of each leaf, for ``jax.vmap``."""
    return jax.tree.map(lambda mine: 0 if mine else None, own)


def _once(state: Any, own: Any) -> Any:
    """A state [S, ...] in which what is the same in all streams is there once."""
    return jax.tree.map(lambda x, mine: x if mine else x[0], state, own)
