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

    References: Vaswani et al. (2017); Radford et al. (2019); Srivastava et al. (2014), dropout.

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
    dropout: float = 0.0
    """Part of the numbers that is left out while it learns, of what enters the first block and of
    what each half of a block adds; the others are scaled up to make up for it. makemore's script
    leaves out nothing."""

    def __post_init__(self) -> None:
        for name in ("num_symbols", "width", "num_layers", "num_heads", "context"):
            _validate.at_least(name, getattr(self, name), 1)
        _validate.between("dropout", self.dropout, 0, 1)
        if self.dropout == 1:
            raise ValueError("dropout must be less than 1, or nothing would be left")
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

    def logits(self, weight: Any, stimulus: Array, key: Array | None = None) -> Array:
        """What is predicted at each symbol of a sequence: [L] -> [L, O].

        Args:
          weight: see `init_weight`.
          stimulus: [L] symbols.
          key: of what is left out at random; None: nothing is.
        """
        if stimulus.shape[0] > self.context:
            raise ValueError(
                f"a sequence has at most {self.context} symbols, got {stimulus.shape[0]}"
            )
        if key is None or not self.dropout:
            keys = iter([None] * (1 + 2 * self.num_layers))
        else:
            keys = iter(jax.random.split(key, 1 + 2 * self.num_layers))
        symbols = weight["symbols"][stimulus] + weight["places"][: stimulus.shape[0]]
        signal = self._left(symbols, next(keys))
        for block in weight["blocks"]:
            taken = self._attend(block, _normalised(block["before"], signal))
            signal = signal + self._left(taken, next(keys))
            wide = jax.nn.gelu(_linear(block["wide"], _normalised(block["between"], signal)))
            signal = signal + self._left(_linear(block["narrow"], wide), next(keys))
        return _normalised(weight["after"], signal) @ weight["readout"]

    def _left(self, signal: Array, key: Array | None) -> Array:
        """What is left of a signal [L, width] when part of it is left out; without a key, all."""
        if key is None:
            return signal
        kept = 1 - self.dropout
        return jnp.where(jax.random.bernoulli(key, kept, signal.shape), signal / kept, 0)

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
