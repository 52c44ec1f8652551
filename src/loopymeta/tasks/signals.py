"""Signals: chaotic series whose next value is to be predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from loopymeta import _validate
from loopymeta._jax import jax, jnp
from loopymeta.tasks import base
from loopymeta.tasks.base import Episode, Outcome, Spec

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Key

    from loopymeta._jax import Array

_CURVE = 20  # points of a learning curve


# What signals share -------------------------------------------------------------------------------


def _times(a: Float[Array, "..."] | float, b: Float[Array, "..."]) -> Float[Array, "..."]:
    """a b, rounded to 22 bits behind the point.

    A compiler may or may not round a product before it adds it to something, and need not do the
    same on every machine, under jit and under vmap; a chaotic series makes another series of that
    within a hundred steps. With the rounding written down, a key has one series. (To 23 bits, all
    that float32 has, would be taken for nothing and left out.)
    """
    product = jnp.asarray(a * b, jnp.float32)
    return jax.lax.reduce_precision(product, exponent_bits=8, mantissa_bits=22)


def _check(symbols: int, washout: int) -> None:
    _validate.at_least("symbols", symbols, 2)
    _validate.at_least("washout", washout, 0)


def _spec(symbols: int, values: int) -> Spec:
    """Sizes; chance is the variance of what is predicted, 1 a value; floor 0: no noise."""
    return Spec(
        num_inputs=values,
        num_outputs=values,
        length=symbols,
        loss="squared_error",
        chance=float(values),
        floor=0.0,
    )


def _episode(
    series: Float[Array, "T+1 I"], center: Float[np.ndarray, "I"], width: Float[np.ndarray, "I"]
) -> Episode:
    """The z-scored series: each value is stimulus, and then target of the symbol before it."""
    kind = jnp.result_type(float)
    mean, deviation = jnp.asarray(center, kind), jnp.asarray(width, kind)
    series = (series.astype(kind) - mean[None, :]) / deviation[None, :]
    everywhere = jnp.ones(series.shape[0] - 1, bool)
    nowhere = jnp.zeros(series.shape[0] - 1, jnp.int32)
    return Episode(series[:-1], series[1:], everywhere, everywhere, nowhere, nowhere)


def _after_washout(
    key: Key[Array, ""], series: Float[Array, "W+T+1 I"], washout: int
) -> Float[Array, "T+1 I"]:
    """A part of the series that begins at a random place of the second half of the washout.

    Random, since these systems go round at a steady pace: runs that start alike are still in step
    long after they have become different.
    """
    offset = jax.random.randint(key, (), (washout + 1) // 2, washout + 1)
    return jax.lax.dynamic_slice_in_dim(series, offset, series.shape[0] - washout)


def _variance(target: Float[Array, "T O"], mask: Bool[Array, "T"]) -> Float[Array, ""]:
    """Variance of the masked targets, summed over the outputs: the loss of their mean."""
    mean = jnp.where(mask[:, None], target, 0.0).sum(0) / mask.sum()
    return base.masked_mean(((target - mean[None, :]) ** 2).sum(1), mask)


def _scores(outcome: Outcome, episode: Episode) -> dict[str, Array]:
    """The metrics of every signal: see `Henon`."""
    length, scored = episode.scored.shape[0], episode.scored
    num_points = min(_CURVE, length)
    late = scored & (jnp.arange(length) >= length // 2)
    loss = base.masked_mean(outcome.loss, scored)
    variance = _variance(episode.target, scored)
    block = jnp.arange(length) * num_points // length
    return {
        "loss": loss,
        "nmse": loss / variance,
        "nmse_late": base.masked_mean(outcome.loss, late) / _variance(episode.target, late),
        "nmse_curve": base.mean_by(outcome.loss, block, num_points, scored) / variance,
    }


# Hénon --------------------------------------------------------------------------------------------

# Mean and standard deviation on the attractor: 2,000 runs of 2,500 steps in float64.
_HENON = (np.array([0.2571]), np.array([0.7209]))
# Rounding lets a map of two float32 numbers run into a cycle (Grebogi, Ott and Yorke 1988): within
# 100,000 steps four starts were in cycles of 5,696 or 1,834. A grain of noise keeps it out; its
# share of the variance is (2^-20)^2 / 12 / .52 = 1.5e-13.
_GRAIN = 2.0**-20


@dataclass(frozen=True)
class Henon:
    r"""The next value of the Hénon map, from the present one and whatever is remembered.

    .. math::
      x_{t+1} = 1 - 1.4\, x_t^2 + 0.3\, x_{t-1}

    z-scored with the mean and the standard deviation of the attractor. Every lifetime starts at
    another place of the attractor. One value is stimulus and the next one target; everything is
    scored and taught; there is one phase. The present value alone leaves an error (its weight on
    the one before is .3), so a learner needs a memory of one symbol and a square.

    Metrics (of all signals; the loss is the squared error, summed over the values): ``loss``;
    ``nmse``, the mean squared error over the variance of the targets, 1 for whoever always predicts
    their mean; ``nmse_late``, the same over the second half of the lifetime; ``nmse_curve [20]``,
    the error in each of 20 equal blocks, over the variance of all targets. The floor is 0: the
    series has no noise but its rounding, about 1e-12 of the variance.

    Reference: Hénon 1976.

    >>> Henon(symbols=100).spec.chance
    1.0
    """

    symbols: int = 5000
    """Values in a lifetime."""
    washout: int = 200
    """Most steps from the random start to the first value, at least half of which are taken."""

    def __post_init__(self):
        _check(self.symbols, self.washout)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1, floor 0."""
        return _spec(self.symbols, 1)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime from a fresh random start, |x_0|, |x_-1| < 1/8."""
        key_start, key_grain, key_offset = jax.random.split(key, 3)
        # Products with powers of two are exact, however they are added.
        start = (jax.random.uniform(key_start, (2,), jnp.float32) - 0.5) * 0.25
        count = self.washout + self.symbols + 1
        grain = (jax.random.uniform(key_grain, (count,), jnp.float32) - 0.5) * _GRAIN

        def step(state: tuple[Array, Array], grain: Array) -> tuple[tuple[Array, Array], Array]:
            now, before = state
            after = (1 - _times(1.4, _times(now, now))) + _times(0.3, before) + grain
            return (after, now), after

        _, series = jax.lax.scan(step, (start[0], start[1]), grain)
        return _episode(_after_washout(key_offset, series[:, None], self.washout), *_HENON)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``nmse``, ``nmse_late``, ``nmse_curve [20]``."""
        return _scores(outcome, episode)


# Mackey-Glass -------------------------------------------------------------------------------------

_TAU = 17
# Mean and standard deviation on the attractor: 2,000 runs of 2,500 steps in float64.
_MACKEY_GLASS = (np.array([0.9253]), np.array([0.2353]))


@dataclass(frozen=True)
class MackeyGlass:
    r"""The next value of the Mackey-Glass series, in Euler steps of 1.

    .. math::
      x_{t+1} = x_t + \frac{0.2\, x_{t-17}}{1 + x_{t-17}^{10}} - 0.1\, x_t

    z-scored with the mean and the standard deviation of the attractor. Every lifetime starts from
    another random history. Everything is scored and taught; there is one phase.

    The series is smooth, so that much is known without having learned anything about it: repeating
    the present value has an nmse of .022, prolonging the straight line through the last two
    values .0012. What lies below that has been learned from the value 17 steps ago.

    Metrics and floor are those of `Henon`.

    Reference: Mackey and Glass 1977.

    >>> MackeyGlass(symbols=100).spec.num_inputs
    1
    """

    symbols: int = 5000
    """Values in a lifetime."""
    washout: int = 1000
    """Most steps from the random history to the first value, at least half of which are taken."""

    def __post_init__(self):
        _check(self.symbols, self.washout)

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1, floor 0."""
        return _spec(self.symbols, 1)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime from a fresh random history of independent values in [.5, 1.5)."""
        key_history, key_offset = jax.random.split(key)
        history = jax.random.uniform(key_history, (_TAU + 1,), jnp.float32) + 0.5
        count = self.washout + self.symbols + 1

        # The ring holds x_{t-17} to x_{t-1}; the oldest of them is replaced by x_t.
        def step(state: tuple[Array, Array], time: Array) -> tuple[tuple[Array, Array], Array]:
            now, ring = state
            place = time % _TAU
            delayed = ring[place]
            second = _times(delayed, delayed)
            fourth = _times(second, second)
            tenth = _times(_times(fourth, fourth), second)
            after = (now - _times(0.1, now)) + _times(0.2, delayed) / (1 + tenth)
            return (after, ring.at[place].set(now)), after

        start = (history[-1], history[:-1])
        _, series = jax.lax.scan(step, start, jnp.arange(count))
        return _episode(_after_washout(key_offset, series[:, None], self.washout), *_MACKEY_GLASS)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``nmse``, ``nmse_late``, ``nmse_curve [20]``."""
        return _scores(outcome, episode)


# Lorenz -------------------------------------------------------------------------------------------

_STEP = 0.01
_EVERY = 2
# Mean and standard deviation of x, y, z on the attractor: 2,000 runs of 30 units of time in
# float64. The means of x and y are 0 by symmetry.
_LORENZ = (np.array([0.0, 0.0, 23.55]), np.array([7.927, 9.012, 8.622]))


def _slope(point: tuple[Array, ...]) -> tuple[Array, ...]:
    x, y, z = point
    return (
        _times(10.0, y - x),
        _times(x, 28 - z) - y,
        _times(x, y) - _times(8 / 3, z),
    )


def _runge_kutta(point: tuple[Array, ...]) -> tuple[Array, ...]:
    """One step of the classical fourth-order method."""

    def moved(slope: tuple[Array, ...], by: float) -> tuple[Array, ...]:
        return tuple(at + _times(by, rate) for at, rate in zip(point, slope, strict=True))

    first = _slope(point)
    second = _slope(moved(first, _STEP / 2))
    third = _slope(moved(second, _STEP / 2))
    fourth = _slope(moved(third, _STEP))
    slopes = zip(first, second, third, fourth, strict=True)
    mixed = tuple(a + 2 * (b + c) + d for a, b, c, d in slopes)
    return moved(mixed, _STEP / 6)


@dataclass(frozen=True)
class Lorenz:
    r"""The next value of the Lorenz system, in Runge-Kutta steps of .01, every second one taken.

    .. math::
      \dot x = 10 (y - x), \quad \dot y = x (28 - z) - y, \quad \dot z = x y - \tfrac{8}{3} z

    z-scored with the means and the standard deviations of the attractor. Every lifetime starts at
    another place of it. By default x alone is seen and predicted; ``observed="xyz"`` shows all
    three, and then the present decides the next. Everything is scored and taught; there is one
    phase.

    The series is smooth, so that much is known without having learned anything about it: of x,
    repeating the present value has an nmse of .012, prolonging the straight line through the
    last two values .0006 (of x, y and z together: .022 and .0016).

    Metrics and floor are those of `Henon`.

    Reference: Lorenz 1963.

    >>> Lorenz(observed="xyz").spec.chance
    3.0
    """

    symbols: int = 5000
    """Values (or triples of them) in a lifetime."""
    washout: int = 2000
    """Most symbols from the random start to the first shown, at least half of which pass."""
    observed: Literal["x", "xyz"] = "x"
    """What is seen and predicted."""

    def __post_init__(self):
        _check(self.symbols, self.washout)
        _validate.choice("observed", self.observed, ["x", "xyz"])

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1 for each value, floor 0."""
        return _spec(self.symbols, len(self.observed))

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime from a fresh random start, |x|, |y| < 16, 8 < z < 40."""
        key_start, key_offset = jax.random.split(key)
        # Not near the origin: what starts there circles in step for 16 units of time.
        start = (jax.random.uniform(key_start, (3,), jnp.float32) - 0.5) * 32

        def step(point: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], Array]:
            for _substep in range(_EVERY):
                point = _runge_kutta(point)
            return point, jnp.stack(point[: len(self.observed)])

        count = self.washout + self.symbols + 1
        _, series = jax.lax.scan(step, (start[0], start[1], start[2] + 24), None, count)
        mean, deviation = (values[: len(self.observed)] for values in _LORENZ)
        return _episode(_after_washout(key_offset, series, self.washout), mean, deviation)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``nmse``, ``nmse_late``, ``nmse_curve [20]``."""
        return _scores(outcome, episode)
