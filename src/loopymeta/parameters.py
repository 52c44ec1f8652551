"""Meta-parameters: natural units for people, unconstrained coordinates for outer loops.

A rule's dataclass fields are its default meta-parameters, in the units of its formula (a learning
rate per tick, a time constant in ticks). An outer loop searches another space, in which every
coordinate may take any value and a step of one is a sensible step: the logarithm of a rate, the
logit of a fraction, a coefficient over its scale. The map between the two is declared with the
field, here, once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from loopymeta._jax import Array, jax, jnp

Theta = Any
"""A pytree of floats: the meta-parameters of a rule or a network, in natural units."""


@dataclasses.dataclass(frozen=True)
class Space:
    """How one meta-parameter is searched.

    Attributes:
      kind: ``log`` (positive numbers: rates, time constants), ``logit`` (fractions of one) or
        ``linear`` (any real number).
      scale: the size of a natural step; the searched coordinate is the transformed value over it.
    """

    kind: str
    scale: float = 1.0

    def fixed(self, value: float) -> bool:
        """Whether a value lies at the end of its space, which no step in it leaves: 0, or 1."""
        return (self.kind == "log" and value <= 0) or (self.kind == "logit" and value in (0, 1))

    def to_search(self, value: Array) -> Array:
        """Natural value -> unconstrained coordinate, elementwise."""
        if self.kind == "log":
            value = jnp.log(jnp.maximum(value, 1e-12))
        elif self.kind == "logit":
            value = jnp.clip(value, 1e-6, 1 - 1e-6)
            value = jnp.log(value) - jnp.log1p(-value)
        return value / self.scale

    def from_search(self, coordinate: Array) -> Array:
        """Unconstrained coordinate -> natural value, elementwise."""
        value = coordinate * self.scale
        if self.kind == "log":
            return jnp.exp(jnp.clip(value, -27.6, 27.6))
        if self.kind == "logit":
            return jax.nn.sigmoid(value)
        return value


def _parameter(default: Any, space: Space, doc: str) -> Any:
    return dataclasses.field(default=default, metadata={"space": space, "help": doc})


def rate(default: float, doc: str = "", scale: float = 1.0) -> Any:
    """A positive meta-parameter, searched on a logarithmic scale."""
    return _parameter(default, Space("log", scale), doc)


def fraction(default: float, doc: str = "", scale: float = 1.0) -> Any:
    """A meta-parameter in (0, 1), searched through its logit."""
    return _parameter(default, Space("logit", scale), doc)


def real(default: float, doc: str = "", scale: float = 1.0) -> Any:
    """A meta-parameter of either sign, searched linearly in steps of ``scale``."""
    return _parameter(default, Space("linear", scale), doc)


def parameter_fields(instance: Any) -> dict[str, dataclasses.Field]:
    """The dataclass fields of ``instance`` that are meta-parameters."""
    return {f.name: f for f in dataclasses.fields(instance) if "space" in f.metadata}


def check_parameters(instance: Any) -> None:
    """Refuses meta-parameters that are no finite numbers, or that their space cannot hold."""
    for name, field in parameter_fields(instance).items():
        value, space = getattr(instance, name), field.metadata["space"]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(
                f"{type(instance).__name__}.{name} must be a number, got {value!r} "
                f"({type(value).__name__})"
            )
        if not math.isfinite(value):
            raise ValueError(f"{type(instance).__name__}.{name} must be finite, got {value}")
        if space.kind == "log" and value < 0:
            raise ValueError(f"{type(instance).__name__}.{name} must not be negative, got {value}")
        if space.kind == "logit" and not 0 <= value <= 1:
            raise ValueError(
                f"{type(instance).__name__}.{name} must lie between 0 and 1, got {value}"
            )


def defaults(instance: Any) -> dict[str, Array]:
    """Theta of the dataclass fields: name -> scalar array, in natural units."""
    kind = jnp.result_type(float)  # said, so that no leaf is weakly typed
    return {
        name: jnp.asarray(float(getattr(instance, name)), kind)
        for name in parameter_fields(instance)
    }


def spaces(instance: Any) -> dict[str, Space]:
    """The search space of each meta-parameter field."""
    return {name: f.metadata["space"] for name, f in parameter_fields(instance).items()}


def _is_space(x: Any) -> bool:
    return isinstance(x, Space)


def to_search(space: Any, theta: Theta) -> Theta:
    """Natural theta -> unconstrained coordinates; ``space`` is a tree of `Space` like theta."""
    return jax.tree.map(lambda s, x: s.to_search(jnp.asarray(x)), space, theta, is_leaf=_is_space)


def from_search(space: Any, coordinates: Theta) -> Theta:
    """Unconstrained coordinates -> natural theta."""
    return jax.tree.map(lambda s, x: s.from_search(x), space, coordinates, is_leaf=_is_space)


def check_theta(theta: Theta, template: Theta, what: str = "theta") -> Theta:
    """Refuses a theta whose structure, shapes or numbers cannot be; returns it as arrays.

    Raises:
      ValueError: a leaf is missing, unknown, of another shape, or not finite; the message names it.
    """
    wanted = {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(template)}
    given = {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(theta)}
    if missing := sorted(wanted.keys() - given.keys()):
        raise ValueError(f"{what} lacks {', '.join(missing)}")
    if extra := sorted(given.keys() - wanted.keys()):
        raise ValueError(f"{what} has {', '.join(extra)}, which this rule does not know")
    for path, value in given.items():
        try:
            value = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"{what}{path} must be a number, got {value!r}") from None
        if value.shape != np.shape(wanted[path]):
            raise ValueError(
                f"{what}{path} must have shape {np.shape(wanted[path])}, got {value.shape}"
            )
        if not np.isfinite(value).all():
            raise ValueError(f"{what}{path} must be finite, got {value}")
    leaves = [jnp.asarray(given[path], dtype=jnp.asarray(x).dtype) for path, x in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def theta_to_json(theta: Theta) -> Any:
    """Theta as nested dicts of numbers and lists, for JSON."""
    if isinstance(theta, Mapping):
        return {name: theta_to_json(value) for name, value in theta.items()}
    return np.asarray(theta).tolist()


def theta_from_json(data: Any) -> Theta:
    """The inverse of `theta_to_json`."""
    if isinstance(data, Mapping):
        return {name: theta_from_json(value) for name, value in data.items()}
    return np.asarray(data, dtype=np.float32)
