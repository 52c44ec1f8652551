"""jax and jax.numpy, imported when first used.

The command line must answer ``--help`` without the second that importing jax takes, and the
configuration classes that it shows live beside the code that needs jax. So every module takes jax
from here: a real import for type checkers and wherever jax is loaded already, and otherwise a
stand-in that imports on its first attribute access.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any


class _Lazy:
    """Stands for a module and imports it at the first attribute access."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING or "jax" in sys.modules:
    import jax
    import jax.numpy as jnp
    from jax import Array
else:
    jax = _Lazy("jax")
    jnp = _Lazy("jax.numpy")
    Array = Any

__all__ = ["Array", "jax", "jnp"]
