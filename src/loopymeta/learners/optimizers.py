"""The optimisers of learners that follow a gradient: those of optax, by name.

Axis letters: none; an optimiser takes a tree of arrays of any shapes.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from loopymeta import _validate
from loopymeta._jax import jax, jnp
from loopymeta.learners._text import call_of

OPTIMIZERS = ("adam", "rmsprop", "adadelta", "momentum", "sgd")
"""Those whose decays are the learner's ``momentum`` and ``memory``."""

Optimizer = str | Callable[[float], Any]
"""A name of `OPTIMIZERS`; the name of any other optimiser of optax, with options if need be
(``"lion"``, ``"adamw(weight_decay=0.01)"``); or a function from a learning rate to an
``optax.GradientTransformation``."""


def transformation(
    optimizer: Optimizer, momentum: float = 0.5, memory: float = 0.999, clip: float = 0.0
) -> Any:
    """The ``optax.GradientTransformation`` at learning rate 1: the caller scales the direction.

    Args:
      optimizer: see `Optimizer`.
      momentum: decay of the mean gradient (adam, momentum).
      memory: decay of the mean squared gradient (adam, rmsprop, adadelta).
      clip: largest norm of a gradient; a longer one is shortened to it. 0: none is.

    Raises:
      ValueError: optax has no such optimiser (the nearest is suggested), it has no such option, it
        needs more than the gradient and the weights, or its steps are not as long as the rate says.

    >>> lion = transformation("lion(b1=0.95)")
    >>> updates, _ = lion.update({"w": 2.0}, lion.init({"w": 1.0}), {"w": 1.0})
    >>> float(updates["w"]) < 0
    True
    """
    import optax

    own: dict[Any, Callable[[], Any]] = {
        "adam": lambda: optax.adam(1.0, b1=momentum, b2=memory),
        "rmsprop": lambda: optax.rmsprop(1.0, decay=memory),
        "adadelta": lambda: optax.adadelta(1.0, rho=memory),
        "momentum": lambda: optax.sgd(1.0, momentum=momentum),
        "sgd": lambda: optax.sgd(1.0),
    }
    made = own[optimizer]() if optimizer in own else _other(optimizer)
    return optax.chain(optax.clip_by_global_norm(clip), made) if clip else made


def check(optimizer: Any, momentum: float, memory: float, clip: float) -> None:
    """Refuses settings of which `transformation` makes no optimiser; all but names are cheap."""
    for name, value in (("momentum", momentum), ("memory", memory)):
        _validate.between(name, value, 0, 1)
        if value == 1:
            raise ValueError(f"{name} must be less than 1, or a mean would never move; got {value}")
    _validate.at_least("clip", clip, 0, whole=False)
    if not isinstance(optimizer, str) and not callable(optimizer):
        raise TypeError(
            f"optimizer must be a name or a function of a learning rate, got {optimizer!r}"
        )
    if optimizer not in OPTIMIZERS:
        _other(optimizer)


def check_named(learner: Any) -> None:
    """Refuses, where something is to be kept in a file, functions without a name of their own.

    Raises:
      ValueError: nothing in the learner's text tells such a function (an optimiser) from another.
    """
    nameless = r"<function [^>]*<(lambda|locals)>|optimizer=<[^=]* object at 0x"
    if re.search(nameless, repr(learner)):
        raise ValueError(
            "it cannot be kept in a file: its optimizer is a function without a name of its own, "
            "which nothing tells from another one. Define it at the top of a module, or name one "
            "of optax, as in 'adamw(weight_decay=0.01)'"
        )


def _factories() -> dict[str, Any]:
    """The optimisers of optax by name: what makes one from a learning rate."""
    import optax

    functions = {
        name: value
        for name, value in vars(optax).items()
        # A partial function is nadam; what else can be called there are types.
        if inspect.isfunction(value) or isinstance(value, functools.partial)
        if not name.startswith(("_", "scale_by_"))
    }
    return {
        name: value
        for name, value in functions.items()
        if next(iter(inspect.signature(value).parameters), "") == "learning_rate"
    }


@functools.lru_cache(maxsize=64)  # learners are made often, and it is tried each time
def _other(optimizer: Optimizer) -> Any:
    """An optimiser that is none of `OPTIMIZERS`, tried on a gradient."""
    name, options = call_of(optimizer, "optimizer") if isinstance(optimizer, str) else ("", {})
    factory: Any = optimizer
    if name:
        known = _factories()
        if name not in known:
            raise _validate.unknown("optimizer", name, {*OPTIMIZERS, *known})
        factory = known[name]
        for option in options:
            names = [*inspect.signature(factory).parameters][1:]
            if option not in names:
                raise _validate.unknown(f"option of optimizer {name!r},", option, names)
    try:
        made = factory(1.0, **options)
        once, twice = (_steps(each) for each in (made, factory(2.0, **options)))
    except Exception as error:
        raise ValueError(f"{optimizer!r} does not work as an optimizer here: {error}") from None
    if not np.allclose(twice, 2 * once, rtol=1e-3, atol=0):
        raise ValueError(
            f"{optimizer!r} does not work as an optimizer here: at twice the rate its steps are "
            "not twice as far, and the rate is set from outside"
        )
    return made


_STEPS = 50
"""Steps that an optimiser is tried on: at 1.2 times as far each, from 1 on, Rprop's end at 50 in 22
of them."""


def _steps(made: Any) -> np.ndarray:
    """[steps, 2, 2] the first steps of an optimiser on a small gradient that stays the same."""
    with jax.ensure_compile_time_eval():  # learners are made in traced code, too
        weight = {"w": jnp.array([[1.0, -0.5], [0.25, 2.0]])}
        gradient = {"w": jnp.array([[0.01, -0.02], [0.03, 0.04]])}

        @jax.jit
        def steps(gradient: Any, weight: Any) -> Any:
            def step(state: Any, _: None) -> tuple[Any, Any]:
                update, state = made.update(gradient, state, weight)
                return state, update["w"]

            return jax.lax.scan(step, made.init(weight), length=_STEPS)[1]

        return np.asarray(steps(gradient, weight))
