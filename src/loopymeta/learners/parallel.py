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
from typing import Any

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.lifetime import Lifetime
from loopymeta.parameters import Theta
from loopymeta.tasks.base import Episode, Spec

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
    stream [S, T, ...].

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
        learner: Any = self.lifetime.learner
        if not hasattr(learner, "parallel"):
            raise TypeError(
                f"{type(learner).__name__} cannot live parallel streams: it has no field "
                "'parallel' (see loopymeta.learners.parallel)"
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
    def objective(self) -> str:
        """The metric that is the loss."""
        return self.lifetime.objective

    def init_theta(self, key: Array | None = None) -> Theta:
        """The learner's meta-parameters, in natural units."""
        return self.lifetime.init_theta(key)

    def space(self) -> Any:
        """The search space of each leaf of theta."""
        return self.lifetime.space()

    def start(self, theta: Theta, key: Array) -> tuple[Any, Episode]:
        """A newborn, and what it will live through in each stream: an episode of arrays [S, T]."""
        key_task, key_learner = jax.random.split(jax.random.fold_in(key, 0))
        episodes = jax.vmap(self.lifetime.task.sample)(jax.random.split(key_task, self.streams))
        return self.lifetime.learner.init(key_learner, theta), episodes

    def __call__(self, theta: Theta, key: Array) -> tuple[Array, dict[str, Any]]:
        """Lives all streams: (loss, metrics)."""
        newborn, episodes = self.start(theta, key)
        life = self.lifetime

        def live(episode: Episode) -> Any:
            # Of what is the same in all streams (weights: their gradients are) vmap makes no
            # copies, so the learner's work on it is done once.
            _, outcome, seen = life.through(theta, newborn, episode, key)
            return life.score(outcome, episode), seen

        scored, seen = jax.vmap(live, axis_name=STREAMS)(episodes)
        loss, metrics = jax.tree.map(lambda x: x.mean(0), scored)
        return loss, metrics if life.record is None else metrics | {"record": seen}
