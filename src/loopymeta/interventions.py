"""What is done to a learner in mid-life: damage, repair, haste, and a newborn in its place.

A task names its interventions, each at a symbol that is known before the lifetime begins, in its
attribute ``interventions``; a `loopymeta.lifetime.Lifetime` carries them out just before that
symbol. They reach a learner's weights and graph through `Alterable` alone, so that any learner with
its three methods can be damaged.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import numpy as np

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp


@runtime_checkable
class Alterable(Protocol):
    """A learner whose weights and graph can be altered while it lives; each method is pure."""

    def perturb(self, state: Any, key: Array, sigma: float) -> Any:
        """Every weight times 1 + sigma * normal: the state."""
        ...

    def remove(self, state: Any, key: Array, edges: float, nodes: float) -> Any:
        """Takes random fractions of the edges and of the hidden nodes out: the state.

        The weight of an edge that is out is zero, whatever is learned, until `restore`.
        """
        ...

    def restore(self, state: Any) -> Any:
        """Puts all that was removed back, with weights of zero: the state."""
        ...


@dataclasses.dataclass(frozen=True)
class Intervention:
    """Something that is done to a learner just before symbol ``at``."""

    at: int
    """Symbol before which it is done."""

    def __post_init__(self) -> None:
        _validate.at_least("at", self.at, 0)

    def apply(self, learner: Any, state: Any, key: Array, newborn: Any) -> tuple[Any, Any]:
        """The learner and its state from now on; ``newborn()`` is the state it was born with.

        Raises:
          TypeError: the learner cannot be altered so.
        """
        raise NotImplementedError


def _alterable(learner: Any) -> Any:
    if not isinstance(learner, Alterable):
        raise TypeError(
            f"{type(learner).__name__} cannot be damaged: it has no perturb, remove and restore "
            "(see loopymeta.interventions.Alterable)"
        )
    return learner


@dataclasses.dataclass(frozen=True)
class Perturb(Intervention):
    """Every weight is multiplied by 1 + sigma * normal."""

    sigma: float = 0.5
    """Standard deviation of the noise, as a part of each weight."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _validate.at_least("sigma", self.sigma, 0, whole=False)

    def apply(self, learner, state, key, newborn):
        """See `Intervention.apply`."""
        return learner, _alterable(learner).perturb(state, key, self.sigma)


@dataclasses.dataclass(frozen=True)
class Remove(Intervention):
    """Random edges and hidden nodes are removed, until a `Restore`."""

    edges: float = 0.0
    """Part of the edges that is removed."""
    nodes: float = 0.0
    """Part of the hidden nodes that is removed, with all their edges."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _validate.between("edges", self.edges, 0, 1)
        _validate.between("nodes", self.nodes, 0, 1)

    def apply(self, learner, state, key, newborn):
        """See `Intervention.apply`."""
        return learner, _alterable(learner).remove(state, key, self.edges, self.nodes)


@dataclasses.dataclass(frozen=True)
class Restore(Intervention):
    """What was removed comes back, with weights of zero.

    A node that comes back has no weight in or out: a rule that needs a signal at one of its ends to
    begin with leaves it as it is.
    """

    def apply(self, learner, state, key, newborn):
        """See `Intervention.apply`."""
        return learner, _alterable(learner).restore(state)


@dataclasses.dataclass(frozen=True)
class Hurry(Intervention):
    """From now on there are at most ``ticks`` ticks a symbol; some learners need but one."""

    ticks: int = 1
    """The new limit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _validate.at_least("ticks", self.ticks, 1)

    def apply(self, learner, state, key, newborn):
        """See `Intervention.apply`."""
        hurried = getattr(learner, "hurried", None)
        return (learner if hurried is None else hurried(self.ticks)), state


@dataclasses.dataclass(frozen=True)
class Newborn(Intervention):
    """The learner is replaced by itself as it was born: what follows is the control."""

    def apply(self, learner, state, key, newborn):
        """See `Intervention.apply`."""
        return learner, newborn()


def interventions_of(task: Any) -> tuple[Intervention, ...]:
    """The interventions of a task in the order of their times; most tasks have none."""
    return tuple(sorted(getattr(task, "interventions", ()), key=lambda each: each.at))


# Damage to arrays ---------------------------------------------------------------------------------


def survivors(key: Array, num: int, removed: float) -> Array:
    """[num] 1.0 for what stays, 0.0 for ``round(removed * num)`` random places.

    >>> float(survivors(jax.random.key(0), 10, 0.3).sum())
    7.0
    """
    ranks = jax.random.permutation(key, num)
    return (ranks >= round(removed * num)).astype(jnp.result_type(float))


def perturbed(tree: Any, key: Array, sigma: float) -> Any:
    """Every number of a tree of arrays times 1 + sigma * normal."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, max(len(leaves), 1))
    noisy = [
        leaf * (1 + sigma * jax.random.normal(k, np.shape(leaf)))
        for k, leaf in zip(keys, leaves, strict=False)
    ]
    return jax.tree.unflatten(structure, noisy)
