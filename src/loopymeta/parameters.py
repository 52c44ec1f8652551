"""Meta-parameters: natural units for people, unconstrained coordinates for outer loops.

A rule's dataclass fields are its default meta-parameters, in the units of its formula (a learning
rate per tick, a time constant in ticks). An outer loop searches another space, in which every
coordinate may take any value and a step of one is a sensible step: the logarithm of a rate, the
logit of a fraction, a coefficient over its scale. The map between the two is declared with the
field, here, once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp

Theta = Any
"""A pytree of floats: the meta-parameters of a rule or a network, in natural units."""


_INFINITY = float("inf")
_KINDS = {
    "log": (0.0, _INFINITY, "not be negative"),
    "time": (1.0, _INFINITY, "be at least 1"),
    "logit": (0.0, 1.0, "lie between 0 and 1"),
    "linear": (-_INFINITY, _INFINITY, "be a number"),
}
"""The ends of each kind of space, and what a number in it must do."""


@dataclasses.dataclass(frozen=True)
class Space:
    """How one meta-parameter is searched.

    Attributes:
      kind: ``log`` (positive numbers: rates), ``time`` (numbers above 1: time constants in ticks),
        ``logit`` (fractions of one) or ``linear`` (any real number).
      scale: the size of a natural step; the searched coordinate is the transformed value over it.
    """

    kind: str
    scale: float = 1.0

    def __post_init__(self) -> None:
        _validate.choice("kind of space", self.kind, _KINDS)

    def fixed(self, value: float) -> bool:
        """Whether a value lies at an end of its space, which no step in it leaves: 0, or 1."""
        low, high, _ = _KINDS[self.kind]
        return not low < value < high

    def check(self, value: Any, name: str) -> None:
        """Refuses numbers that the space does not hold; its finite ends it does.

        Raises:
          ValueError: says of ``name`` what it must be.
        """
        low, high, wanted = _KINDS[self.kind]
        numbers = np.asarray(value, np.float64)
        if not np.isfinite(numbers).all():
            raise ValueError(f"{name} must be finite, got {value}")
        if ((numbers < low) | (numbers > high)).any():
            raise ValueError(f"{name} must {wanted}, got {value}")

    def to_search(self, value: Array) -> Array:
        """Natural value -> unconstrained coordinate, elementwise."""
        if self.kind in ("log", "time"):
            value = jnp.log(jnp.maximum(value - _KINDS[self.kind][0], 1e-12))
        elif self.kind == "logit":
            value = jnp.clip(value, 1e-6, 1 - 1e-6)
            value = jnp.log(value) - jnp.log1p(-value)
        return value / self.scale

    def from_search(self, coordinate: Array) -> Array:
        """Unconstrained coordinate -> natural value, elementwise."""
        value = coordinate * self.scale
        if self.kind in ("log", "time"):
            return _KINDS[self.kind][0] + jnp.exp(jnp.clip(value, -27.6, 27.6))
        if self.kind == "logit":
            return jax.nn.sigmoid(value)
        return value


def _parameter(default: Any, space: Space, doc: str) -> Any:
    return dataclasses.field(default=default, metadata={"space": space, "help": doc})


def rate(default: float, doc: str = "", scale: float = 1.0) -> Any:
    """A positive meta-parameter, searched on a logarithmic scale."""
    return _parameter(default, Space("log", scale), doc)


def time_constant(default: float, doc: str = "", scale: float = 1.0) -> Any:
    """A time constant in ticks, at least 1, searched by the logarithm of what it has above 1."""
    return _parameter(default, Space("time", scale), doc)


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
        space.check(value, f"{type(instance).__name__}.{name}")


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


def check_values(theta: Theta, space: Any, what: str = "theta") -> None:
    """Refuses a theta with numbers that are not finite or not in their `Space`.

    Args:
      theta: meta-parameters in natural units.
      space: a tree of `Space` like theta.
      what: its name in messages.

    Raises:
      ValueError: names the leaf and what it must be.
    """
    leaves = jax.tree_util.tree_leaves_with_path(theta)
    spaces = jax.tree.leaves(space, is_leaf=_is_space)
    for (path, value), own in zip(leaves, spaces, strict=True):
        own.check(value, what + jax.tree_util.keystr(path))


def check_theta(theta: Theta, template: Theta, what: str = "theta", space: Any = None) -> Theta:
    """Refuses a theta whose structure, shapes or numbers cannot be; returns it as arrays.

    Args:
      theta: meta-parameters in natural units, from anywhere.
      template: a theta as it should be.
      what: its name in messages.
      space: the tree of `Space` that its numbers must lie in; None: any finite numbers will do.

    Raises:
      ValueError: a leaf is missing, unknown, of another shape, not finite, or outside its space;
        the message names it.
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
    checked = jax.tree.unflatten(jax.tree.structure(template), leaves)
    if space is not None:
        check_values(checked, space, what)
    return checked


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
