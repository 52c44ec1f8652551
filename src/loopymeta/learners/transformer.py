"""The transformer of makemore's size, for the ladder of names: it learns offline, in many passes.

Axis letters: L symbols in a sequence, O symbols to choose from.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp


@dataclasses.dataclass(frozen=True)
class Transformer:
    """A causal transformer that reads whole sequences: normalise, attend, normalise, think.

      x_0 = symbol + place,   y = x_k + attend(norm(x_k)),   x_{k+1} = y + mlp(norm(y)),

    logits = norm(x) readout, with GELU between the two halves of an mlp of four times the width.
    The defaults are the sizes of makemore's script: 204,544 weights.

    It is no `loopymeta.Learner`: it is trained on whole sequences by `loopymeta.offline`.

    References: Vaswani et al. (2017); Radford et al. (2019).

    Raises:
      ValueError, TypeError: for sizes that cannot be.

    >>> model = Transformer(num_layers=1)
    >>> model.logits(model.init_weight(jax.random.key(0)), jnp.array([0, 5, 13])).shape
    (3, 27)
    """

    num_symbols: int = 27
    """Size of the alphabet: of stimuli and of predictions."""
    width: int = 64
    """Numbers that stand for a symbol between layers."""
    num_layers: int = 4
    """Blocks of attention and mlp."""
    num_heads: int = 4
    """Heads of attention; each has width / num_heads numbers."""
    context: int = 16
    """Symbols in the longest sequence."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _validate.at_least(field.name, getattr(self, field.name), 1)
        if self.width % self.num_heads:
            raise ValueError(
                f"num_heads must divide the width {self.width}, got num_heads={self.num_heads}"
            )

    def init_weight(self, key: Array) -> dict[str, Any]:
        """Fresh weights, as nested dicts of arrays: born as those of makemore's script, which are
        PyTorch's, standard normal embeddings and uniform matrices within 1 / sqrt(fan-in)."""
        keys = iter(jax.random.split(key, 3 + 8 * self.num_layers))

        def embedding(*shape: int) -> Array:
            return jax.random.normal(next(keys), shape)

        def uniform(bound: float, *shape: int) -> Array:
            return jax.random.uniform(next(keys), shape, minval=-bound, maxval=bound)

        def linear(size: int, to: int) -> dict[str, Array]:
            bound = size**-0.5
            return {"kernel": uniform(bound, size, to), "bias": uniform(bound, to)}

        def norm() -> dict[str, Array]:
            return {"scale": jnp.ones(self.width), "bias": jnp.zeros(self.width)}

        width = self.width
        return {
            "symbols": embedding(self.num_symbols, width),
            "places": embedding(self.context, width),
            "blocks": [
                {
                    "before": norm(),
                    "heads": linear(width, 3 * width),
                    "joined": linear(width, width),
                    "between": norm(),
                    "wide": linear(width, 4 * width),
                    "narrow": linear(4 * width, width),
                }
                for _ in range(self.num_layers)
            ],
            "after": norm(),
            "readout": uniform(width**-0.5, width, self.num_symbols),
        }

    def logits(self, weight: Any, stimulus: Array) -> Array:
        """What is predicted at each symbol of a sequence: [L] -> [L, O]."""
        if stimulus.shape[0] > self.context:
            raise ValueError(
                f"a sequence has at most {self.context} symbols, got {stimulus.shape[0]}"
            )
        signal = weight["symbols"][stimulus] + weight["places"][: stimulus.shape[0]]
        for block in weight["blocks"]:
            signal = signal + self._attend(block, _normalised(block["before"], signal))
            wide = jax.nn.gelu(_linear(block["wide"], _normalised(block["between"], signal)))
            signal = signal + _linear(block["narrow"], wide)
        return _normalised(weight["after"], signal) @ weight["readout"]

    def _attend(self, block: Any, signal: Array) -> Array:
        """What each symbol takes from itself and those before it: [L, width] -> [L, width]."""
        heads = _linear(block["heads"], signal).reshape(len(signal), 3, self.num_heads, -1)
        query, key, value = (heads[:, k] for k in range(3))
        taken = jax.nn.dot_product_attention(query, key, value, is_causal=True)
        return _linear(block["joined"], taken.reshape(signal.shape))


def _linear(weight: Any, signal: Array) -> Array:
    return signal @ weight["kernel"] + weight["bias"][None]


def _normalised(weight: Any, signal: Array) -> Array:
    """Mean 0 and variance 1 at each symbol, then scaled and shifted (Ba et al., 2016)."""
    centered = signal - signal.mean(1, keepdims=True)
    variance = (centered**2).mean(1, keepdims=True)
    normal = centered * jax.lax.rsqrt(variance + 1e-5)
    return normal * weight["scale"][None] + weight["bias"][None]
