"""Outer loops: many lifetimes of many candidates, from which a better rule is made.

All that an outer loop knows is an objective, (theta, key) -> (loss, metrics). Candidates are
searched in the unconstrained coordinates that the rule's parameters declare, and lived in natural
units. `evaluate` is the one place with population axes.

Axis letters: P candidates, B lifetimes per candidate, D searched coordinates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.interventions import interventions_of
from loopymeta.parameters import Space, Theta, check_values, from_search, to_search

Metrics = dict[str, Array]
Objective = Callable[[Theta, Array], tuple[Array, Metrics]]


# --- evaluate: the place with population axes ----------------------------------------------------


CACHE_BYTES = 2 << 20
"""State that a CPU core keeps close: lifetimes that are lived together should not hold more. A
population of networks of 256 nodes runs twice as fast one by one as all at once."""


def _together(objective: Objective, thetas: Theta, keys: Array) -> int | None:
    """How many lifetimes to live at once: as many as fit a CPU's cache; None: all of them."""
    start = getattr(objective, "start", None)
    if start is None or jax.default_backend() != "cpu":
        return None
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), thetas)
    state, _ = jax.eval_shape(start, one, jax.eval_shape(lambda keys: keys[0], keys))
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state) if x.dtype.kind == "f")
    return max(1, CACHE_BYTES // max(size, 1))


def _live_block(
    objective: Objective, thetas: Theta, keys: Array, chunk: int | None
) -> tuple[Array, Metrics]:
    """Every candidate on every key: losses [P, B], metrics [P, B, ...]."""
    population = getattr(objective, "population", None) or jax.vmap(objective, in_axes=(0, None))
    num = jax.tree.leaves(thetas)[0].shape[0]
    together = chunk * keys.shape[0] if chunk else _together(objective, thetas, keys)
    if together is None:
        together = num * keys.shape[0]

    def on_key(key: Array) -> tuple[Array, Metrics]:
        if together >= num:
            return population(thetas, key)
        return _in_chunks(lambda part: population(part, key), thetas, together)

    if getattr(getattr(objective, "learner", None), "lanes", False) or together < 2 * num:
        # The candidates fill the machine; one key at a time keeps one graph for all of them.
        result = jax.lax.map(on_key, keys)
    else:
        result = jax.lax.map(on_key, keys, batch_size=min(keys.shape[0], together // num))
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), result)


def _in_chunks(run: Callable[[Theta], Any], thetas: Theta, size: int) -> Any:
    """``run`` on blocks of ``size`` candidates, one after another (bounds the memory)."""
    num = jax.tree.leaves(thetas)[0].shape[0]
    blocks = -(-num // size)
    size = -(-num // blocks)  # of equal size: the fewest candidates lived twice

    def pad(x: Array) -> Array:
        rest = jnp.broadcast_to(x[-1:], (blocks * size - num, *x.shape[1:]))
        return jnp.concatenate([x, rest]).reshape(blocks, size, *x.shape[1:])

    result = jax.lax.map(run, jax.tree.map(pad, thetas))
    return jax.tree.map(lambda x: x.reshape(blocks * size, *x.shape[2:])[:num], result)


def evaluate(
    objective: Objective,
    thetas: Theta,
    keys: Array,
    *,
    chunk: int | None = None,
    devices: int | None = None,
) -> tuple[Array, Metrics]:
    """Losses of P candidates over B lifetimes, all candidates on the same keys.

    Common random numbers: lifetime b has the same graph, newborn and episode for every candidate,
    so that candidates differ by what they are and not by their luck.

    Args:
      objective: (theta, key) -> (loss, metrics); a `Lifetime`, or any function.
      thetas: candidates in natural units, leaves [P, ...].
      keys: [B] random keys, one a lifetime.
      chunk: candidates at a time (bounds the memory); None: on a CPU as many as fit its cache,
        elsewhere all at once.
      devices: devices to share the candidates; None: one. The result is the same.

    Returns:
      Losses [P, B], infinite where a lifetime was not finite, and metrics [P, B, ...] with
      ``nonfinite`` saying where that was.
    """
    num = jax.tree.leaves(thetas)[0].shape[0]

    def run(thetas: Theta) -> tuple[Array, Metrics]:
        return _live_block(objective, thetas, keys, chunk)

    if devices is None or devices == 1:
        losses, metrics = run(thetas)
    else:
        losses, metrics = _on_devices(run, thetas, num, devices)
    bad = ~jnp.isfinite(losses)
    return jnp.where(bad, jnp.inf, losses), metrics | {"nonfinite": bad}


def _on_devices(run: Callable[[Theta], Any], thetas: Theta, num: int, devices: int) -> Any:
    """``run`` with the candidates shared out over the first ``devices`` devices."""
    available = jax.devices()
    if devices > len(available):
        raise ValueError(f"devices must be at most {len(available)}, got {devices}")
    mesh = jax.sharding.Mesh(available[:devices], ("candidates",))
    spec = jax.sharding.PartitionSpec("candidates")
    each = -(-num // devices)

    def pad(x: Array) -> Array:
        rest = jnp.broadcast_to(x[-1:], (each * devices - num, *x.shape[1:]))
        return jnp.concatenate([x, rest])

    shared = jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    return jax.tree.map(lambda x: x[:num], shared(jax.tree.map(pad, thetas)))


# --- what all outer loops share ------------------------------------------------------------------


def _strong(tree: Any) -> Any:
    """The same numbers, none weakly typed: the second generation would compile everything again."""
    return jax.tree.map(lambda x: jnp.asarray(x).astype(jnp.asarray(x).dtype), tree)


class MetaOptimizer(Protocol):
    """An outer loop: pure ``init`` and ``step``; the caller jits, drives and saves."""

    def init(self, key: Array) -> Any:
        """The state before the first generation."""
        ...

    def step(self, key: Array, state: Any) -> tuple[Any, Metrics]:
        """One generation; give it ``fold_in(root, generation)``, and resuming equals going on."""
        ...

    def best(self, state: Any) -> Theta:
        """The best candidate so far, in natural units."""
        ...


class Elites(NamedTuple):
    """Candidates that are lived again on fresh seeds in every generation.

    Attributes:
      coordinates: [K, D] in searched coordinates.
      total: [K] sum of their losses so far.
      count: [K] generations they were evaluated in; 0 is an empty place.
    """

    coordinates: Array
    total: Array
    count: Array

    def mean(self) -> Array:
        """[K] mean loss; infinite for empty places."""
        return jnp.where(self.count > 0, self.total / jnp.maximum(self.count, 1), jnp.inf)

    def score(self) -> Array:
        """[K] mean loss with a doubt that shrinks as an elite proves itself on fresh seeds."""
        mean = self.mean()
        seen = jnp.where(jnp.isfinite(mean), mean, jnp.nan)
        spread = jnp.nan_to_num(jnp.nanstd(seen)) + 1e-3 * jnp.abs(jnp.nan_to_num(mean, posinf=0.0))
        return mean + spread / jnp.sqrt(jnp.maximum(self.count, 1))


def _no_elites(num: int, center: Array) -> Elites:
    empty = jnp.zeros(num)
    return Elites(jnp.broadcast_to(center, (num, *center.shape)), empty, empty)


def _renew(elites: Elites, losses: Array, challengers: Array, found: Array) -> Elites:
    """Counts what the elites lost this time; each challenger may take the worst place."""
    total = elites.total + jnp.where(elites.count > 0, losses, 0.0)
    elites = Elites(elites.coordinates, total, elites.count + (elites.count > 0))
    for challenger, loss in zip(challengers, found, strict=True):
        mean = elites.mean()
        worst = jnp.argmax(mean)
        known = (jnp.abs(elites.coordinates - challenger[None]).max(-1) == 0) & (elites.count > 0)
        take = (loss < mean[worst]) & ~known.any()

        def put(old: Array, new: Any, at: Array = worst, take: Array = take) -> Array:
            return jnp.where(take, old.at[at].set(new), old)

        elites = Elites(
            put(elites.coordinates, challenger), put(elites.total, loss), put(elites.count, 1.0)
        )
    return elites


def finite_worst(losses: Array) -> Array:
    """Losses with the infinite ones set just above the worst finite one."""
    finite = jnp.isfinite(losses)
    worst = jnp.max(jnp.where(finite, losses, -jnp.inf))
    worst = jnp.where(finite.any(), worst, 0.0)
    return jnp.where(finite, losses, worst + 1.0 + jnp.abs(worst))


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What is searched, and from where.

    Attributes:
      objective: (theta, key) -> (loss, metrics).
      theta: where the search starts, in natural units.
      space: the `Space` of each leaf.
      frozen: parts of theta that stay as they are, as dotted paths, e.g. ``innate`` or
        ``rule.eta``. Values at the end of their space (a rate of 0, a fraction of 0 or 1) stay too:
        they are choices, not numbers.
      num_lifetimes: B, lifetimes of each candidate in a generation.
      chunk: candidates at a time.
      devices: devices that share the candidates.

    Raises:
      ValueError: a number of theta is not finite or outside its space, or there is no such part of
        theta to freeze; the message names it.
    """

    objective: Objective
    theta: Theta
    space: Any
    frozen: tuple[str, ...] = ()
    num_lifetimes: int = 4
    chunk: int | None = None
    devices: int | None = None

    def __post_init__(self) -> None:
        _validate.at_least("num_lifetimes", self.num_lifetimes, 1)
        check_values(self.theta, self.space)
        paths = set(self.paths())
        for name in self.frozen:
            if not any(path == name or path.startswith(name + ".") for path in paths):
                raise _validate.unknown("part of theta to freeze", name, paths)

    def paths(self) -> list[str]:
        """Dotted names of theta's leaves, in order."""
        leaves = jax.tree_util.tree_leaves_with_path(self.theta)
        return [".".join(str(getattr(k, "key", k)) for k in path) for path, _ in leaves]

    def _searched(self) -> list[bool]:
        leaves = jax.tree.leaves(self.theta)
        spaces = jax.tree.leaves(self.space, is_leaf=lambda x: isinstance(x, Space))
        return [
            not any(path == name or path.startswith(name + ".") for name in self.frozen)
            and not any(space.fixed(value) for value in np.ravel(leaf))
            for path, leaf, space in zip(self.paths(), leaves, spaces, strict=True)
        ]

    def searched(self) -> list[str]:
        """Dotted names of the leaves that are searched."""
        return [path for path, use in zip(self.paths(), self._searched(), strict=True) if use]

    def center(self) -> Array:
        """[D] the start, in searched coordinates."""
        leaves = jax.tree.leaves(to_search(self.space, self.theta))
        kept = [jnp.ravel(x) for x, use in zip(leaves, self._searched(), strict=True) if use]
        if not kept:
            raise ValueError("nothing is left to search: every part of theta is frozen")
        return _strong(jnp.concatenate(kept))

    def theta_at(self, coordinates: Array) -> Theta:
        """Natural theta of one point [D]."""
        leaves, tree = jax.tree.flatten(jax.tree.map(jnp.asarray, self.theta))
        start = to_search(self.space, self.theta)
        moved, at = [], 0
        for leaf, use in zip(jax.tree.leaves(start), self._searched(), strict=True):
            if use:
                moved.append(coordinates[at : at + leaf.size].reshape(leaf.shape))
                at += leaf.size
            else:
                moved.append(leaf)
        natural = jax.tree.leaves(from_search(self.space, jax.tree.unflatten(tree, moved)))
        # A frozen leaf is kept as it was, not sent through its space and back.
        searched = self._searched()
        chosen = [n if use else x for n, x, use in zip(natural, leaves, searched, strict=True)]
        return jax.tree.unflatten(tree, chosen)

    def losses(self, coordinates: Array, keys: Array) -> tuple[Array, Metrics]:
        """Losses [P, B] and metrics of points [P, D]."""
        thetas = jax.vmap(self.theta_at)(coordinates)
        return evaluate(self.objective, thetas, keys, chunk=self.chunk, devices=self.devices)


def _spread(losses: Array, bad: Array) -> Metrics:
    """Minimum and median of the finite ``losses``, and how many lifetimes were ``bad``."""
    finite = jnp.where(jnp.isfinite(losses), losses, jnp.nan)
    return {
        "loss_min": jnp.nanmin(finite),
        "loss_median": jnp.nanmedian(finite),
        "nonfinite": bad.sum(),
    }


def _summary(losses: Array, center_loss: Array, elites: Elites, bad: Array) -> Metrics:
    best = elites.mean()[jnp.argmin(elites.score())]
    return {"loss": center_loss, "best": best} | _spread(losses, bad)


def _check_pairs(population_size: int) -> None:
    """Refuses a population that is not made of pairs."""
    _validate.at_least("population_size", population_size, 2)
    if population_size % 2:
        raise ValueError(
            f"population_size must be even, since candidates come in pairs, got {population_size}"
        )


# --- evolution strategies ------------------------------------------------------------------------


class EvolutionState(NamedTuple):
    """The strategy's state, its elites, and its center."""

    strategy: Any
    elites: Elites
    center: Array
    generation: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Evolution:
    """An evolution strategy of evosax, by name, over a `Problem`.

    In every generation the population, the center of the distribution and the elites live the same
    lifetimes; a lucky candidate is found out on the next generation's seeds.

    Attributes:
      problem: what is searched.
      algorithm: a class of `evosax.algorithms`: ``SNES``, ``Open_ES``, ``PGPE``, ``Sep_CMA_ES``,
        ``CMA_ES`` or any other.
      population_size: P.
      sigma: standard deviation of the first population, in searched coordinates.
      learning_rate: of the center, for algorithms with an optimiser (Adam for Open_ES and PGPE,
        the natural step for SNES).
      num_elites: candidates kept and lived again.
    """

    problem: Problem
    algorithm: str = "SNES"
    population_size: int = 32
    sigma: float = 0.3
    learning_rate: float | None = None
    num_elites: int = 4

    def __post_init__(self) -> None:
        _validate.at_least("population_size", self.population_size, 2)
        _validate.positive("sigma", self.sigma)
        _validate.at_least("num_elites", self.num_elites, 1)
        if self.learning_rate is not None:
            _validate.positive("learning_rate", self.learning_rate)
        _algorithm(self.algorithm)

    def _strategy(self) -> tuple[Any, Any]:
        """The evosax object and its parameters, built from numbers even while jax traces."""
        with jax.ensure_compile_time_eval(), _loose_ranks():
            return self._build()

    def _build(self) -> tuple[Any, Any]:
        # Its defaults for rates are of no use: all are given.
        import inspect

        import optax

        center = self.problem.center()
        make = _algorithm(self.algorithm)
        arguments = inspect.signature(make.__init__).parameters
        options: dict[str, Any] = {}
        if "optimizer" in arguments:
            natural = self.algorithm == "SNES"
            step = self.learning_rate or (1.0 if natural else 0.5 * self.sigma)
            options["optimizer"] = optax.sgd(step) if natural else optax.adam(step)
        if "std_schedule" in arguments:
            options["std_schedule"] = optax.constant_schedule(self.sigma)
        strategy = make(population_size=self.population_size, solution=center, **options)
        settings = strategy.default_params
        if hasattr(settings, "std_init"):
            settings = settings.replace(std_init=self.sigma)
        return strategy, settings

    def init(self, key: Array) -> EvolutionState:
        """The distribution around the problem's start."""
        strategy, settings = self._strategy()
        center = self.problem.center()
        if hasattr(strategy, "get_mean"):
            with _loose_ranks():
                inner = strategy.init(key, center, settings)
        else:
            key_population, key = jax.random.split(key)
            noise = jax.random.normal(key_population, (self.population_size, center.size))
            population = (center[None] + self.sigma * noise).at[0].set(center)
            fitness = jnp.full(self.population_size, 1e9)
            with _loose_ranks():
                inner = strategy.init(key, population, fitness, settings)
        elites = _no_elites(self.num_elites, center)
        return EvolutionState(_strong(inner), elites, center, jnp.zeros((), jnp.int32))

    def step(self, key: Array, state: EvolutionState) -> tuple[EvolutionState, Metrics]:
        """One generation: ask, live, tell; elites and center beside."""
        strategy, settings = self._strategy()
        key_ask, key_tell, key_live = jax.random.split(key, 3)
        with _loose_ranks():
            population, inner = strategy.ask(key_ask, state.strategy, settings)
        keys = jax.random.split(key_live, self.problem.num_lifetimes)
        everyone = jnp.concatenate([population, state.center[None], state.elites.coordinates])
        losses, metrics = self.problem.losses(everyone, keys)
        mean = losses.mean(1)
        num = self.population_size
        fitness = finite_worst(mean)
        with _loose_ranks():
            inner, _ = strategy.tell(key_tell, population, fitness[:num], inner, settings)
        first = jnp.argmin(fitness[:num])
        challengers = jnp.stack([state.center, population[first]])
        elites = _renew(
            state.elites, fitness[num + 1 :], challengers, jnp.stack([fitness[num], fitness[first]])
        )
        best = elites.coordinates[jnp.argmin(elites.score())]
        center = strategy.get_mean(inner) if hasattr(strategy, "get_mean") else best
        center = jnp.where(jnp.isfinite(center), center, state.center)
        row = _summary(mean[:num], mean[num], elites, metrics["nonfinite"][:num])
        return EvolutionState(_strong(inner), elites, center, state.generation + 1), row

    def best(self, state: EvolutionState) -> Theta:
        """The elite that did best over all seeds it was lived on."""
        return self.problem.theta_at(state.elites.coordinates[jnp.argmin(state.elites.score())])


def _loose_ranks() -> Any:
    """A context for evosax, which broadcasts ranks even where a caller forbids jax to."""
    return jax.numpy_rank_promotion("allow")


def _algorithm(name: str) -> Any:
    """The evosax class of this name."""
    import inspect

    import evosax.algorithms

    def fits(algorithm: Any) -> bool:  # asks for no more than a population's size and a solution
        if not hasattr(algorithm, "ask"):
            return False
        fields = list(inspect.signature(algorithm.__init__).parameters.values())[1:]
        needed = {f.name for f in fields if f.default is f.empty and f.kind is not f.VAR_KEYWORD}
        return needed <= {"population_size", "solution"}

    found = {n: getattr(evosax.algorithms, n) for n in dir(evosax.algorithms) if n[0].isupper()}
    known = [n for n, algorithm in found.items() if fits(algorithm)]
    if name not in known:
        raise _validate.unknown("evolution strategy", name, known)
    return getattr(evosax.algorithms, name)


# --- gradients -----------------------------------------------------------------------------------


def optimizer(name: str, learning_rate: float, max_norm: float = 1.0) -> Any:
    """An optax optimiser by name behind a bound on the gradient's norm.

    Raises:
      ValueError: optax has no optimiser of this name; the nearest known one is suggested.
    """
    import optax

    names = (
        "adam",
        "adamw",
        "sgd",
        "rmsprop",
        "adadelta",
        "adagrad",
        "nadam",
        "lion",
        "adabelief",
        "radam",
        "amsgrad",
        "lamb",
        "yogi",
        "adamax",
        "noisy_sgd",
        "adafactor",
    )
    if name not in names:
        raise _validate.unknown("optax optimiser", name, names)
    _validate.positive("learning_rate", learning_rate)
    make: Any = getattr(optax, name)
    return optax.chain(optax.clip_by_global_norm(max_norm), make(learning_rate))


class GradientState(NamedTuple):
    """The point of the search, its optimiser, and the elites."""

    center: Array
    optimizer: Any
    elites: Elites
    generation: Array


@dataclasses.dataclass(frozen=True, eq=False)
class _Descent:
    """What outer loops that follow a gradient share; final ones define `estimate`."""

    problem: Problem
    optimizer: str = "adam"
    learning_rate: float = 0.03
    num_elites: int = 4

    def __post_init__(self) -> None:
        _validate.at_least("num_elites", self.num_elites, 1)
        optimizer(self.optimizer, self.learning_rate)

    def init(self, key: Array) -> GradientState:
        """The start of the search."""
        center = self.problem.center()
        inner = optimizer(self.optimizer, self.learning_rate).init(center)
        return GradientState(
            center, inner, _no_elites(self.num_elites, center), jnp.zeros((), jnp.int32)
        )

    def estimate(self, key: Array, center: Array, keys: Array) -> tuple[Array, Metrics]:
        """The gradient [D] at ``center`` over the lifetimes of ``keys``, and its metrics.

        They go over those of the center's lifetimes, where they have the same names.
        """
        raise NotImplementedError

    def step(self, key: Array, state: GradientState) -> tuple[GradientState, Metrics]:
        """One step of the optimiser along the estimate; a gradient that is not finite is zero."""
        import optax

        key_live, key_estimate = jax.random.split(key)
        keys = jax.random.split(key_live, self.problem.num_lifetimes)
        gradient, extra = self.estimate(key_estimate, state.center, keys)
        finite = jnp.isfinite(gradient).all()
        gradient = jnp.where(finite, gradient, 0.0)
        everyone = jnp.concatenate([state.center[None], state.elites.coordinates])
        losses, metrics = self.problem.losses(everyone, keys)
        mean = finite_worst(losses.mean(1))
        elites = _renew(state.elites, mean[1:], state.center[None], mean[:1])
        updates, inner = optimizer(self.optimizer, self.learning_rate).update(
            gradient, state.optimizer, state.center
        )
        center: Any = optax.apply_updates(state.center, updates)
        row = _summary(losses[0], losses[0].mean(), elites, metrics["nonfinite"][0])
        row |= {"gradient_norm": jnp.linalg.norm(gradient), "skipped": (~finite).astype(float)}
        return GradientState(center, inner, elites, state.generation + 1), row | extra

    def best(self, state: GradientState) -> Theta:
        """The elite that did best over all seeds it was lived on."""
        return self.problem.theta_at(state.elites.coordinates[jnp.argmin(state.elites.score())])


@dataclasses.dataclass(frozen=True, eq=False)
class Gradient(_Descent):
    """The exact gradient through the whole lifetime, into an optax optimiser.

    Give the `Lifetime` a ``segment``, so that memory grows with T / segment and not with T, and
    ``truncated=True`` to cut the gradient between segments. The problem's ``chunk`` is how many
    lifetimes a gradient is taken through at a time; its ``devices`` share the center and the
    elites, while gradients are all taken on one.

    Raises:
      ValueError: the lifetime is self-paced, and how long a network thinks has no gradient.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        learner = getattr(self.problem.objective, "learner", None)
        if getattr(learner, "max_ticks", None) is not None:
            raise ValueError(
                "a self-paced lifetime has no gradient: use Evolution, or fixed ticks (max_ticks)"
            )

    def estimate(self, key, center, keys):
        def loss(point: Array, key: Array) -> Array:
            return self.problem.objective(self.problem.theta_at(point), key)[0]

        chunk = min(self.problem.chunk or len(keys), len(keys))
        gradients = jax.lax.map(lambda key: jax.grad(loss)(center, key), keys, batch_size=chunk)
        # A lifetime whose gradient is not finite says nothing; the others still do.
        good = jnp.isfinite(gradients).all(1)
        total = jnp.where(good[:, None], gradients, 0.0).sum(0)
        return total / jnp.maximum(good.sum(), 1), {"lost_gradients": (~good).sum()}


@dataclasses.dataclass(frozen=True, eq=False)
class AntitheticES(_Descent):
    """Antithetic evolution strategy as a gradient estimator, into an optax optimiser.

    gradient = mean over pairs of (loss(z + sigma e) - loss(z - sigma e)) e / (2 sigma): unbiased
    for the loss smoothed by a normal of width sigma (Salimans et al., 2017). ``population_size``,
    two a pair, is even.
    """

    population_size: int = 32
    sigma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pairs(self.population_size)
        _validate.positive("sigma", self.sigma)

    def estimate(self, key, center, keys):
        pairs = self.population_size // 2
        noise = jax.random.normal(key, (pairs, center.size))
        steps = self.sigma * noise
        points = jnp.concatenate([center[None] + steps, center[None] - steps])
        losses, metrics = self.problem.losses(points, keys)
        mean = losses.mean(1)
        difference = mean[:pairs] - mean[pairs:]
        good = jnp.isfinite(difference)
        weight = jnp.where(good, difference, 0.0) / (2 * self.sigma)
        gradient = weight @ noise / jnp.maximum(good.sum(), 1)
        return gradient, _spread(mean, metrics["nonfinite"]) | {"lost_pairs": (~good).sum()}


# --- persistent evolution strategy ---------------------------------------------------------------


class PersistentState(NamedTuple):
    """Antithetic pairs in the middle of their lifetimes.

    Attributes:
      center: [D].
      optimizer: the optimiser's state.
      learners: states of all lifetimes, leaves [2 * pairs, ...].
      keys: [pairs] key data of the lifetime that each pair lives.
      place: [pairs] the symbol at which each pair is.
      noise: [pairs, D] perturbations summed since the lifetime began; 0 before birth.
      elites: as in every outer loop.
      generation: outer steps so far.
    """

    center: Array
    optimizer: Any
    learners: Any
    keys: Array
    place: Array
    noise: Array
    elites: Elites
    generation: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Persistent:
    """Persistent evolution strategy for long lifetimes (Vicol, Metz and Sohl-Dickstein, 2021).

    Every pair lives ``window`` symbols a generation with a fresh perturbation, and its loss is
    credited to all perturbations since the lifetime began: unbiased over the whole lifetime, at
    the price of a window. Pairs start at different places and are reborn each at its own end, so
    that never all lifetimes end together.

    Attributes:
      problem: its objective must be a `Lifetime` of the objective ``loss``, the only one that is a
        mean over windows. Its ``chunk`` and ``devices`` count for the evaluations on whole
        lifetimes; the windows of a generation are all lived at once, on one device.
      window: symbols a generation; must divide the lifetime's length.
      population_size: lifetimes under way, two a pair: an even number.
      sigma: standard deviation of a perturbation.
      optimizer: an optax optimiser by name.
      learning_rate: its rate.
      check_every: generations between evaluations of center and elites on whole fresh lifetimes
        (they cost as much as T / window generations).
    """

    problem: Problem
    window: int = 100
    population_size: int = 32
    sigma: float = 0.1
    optimizer: str = "adam"
    learning_rate: float = 0.03
    num_elites: int = 4
    check_every: int = 20

    def __post_init__(self) -> None:
        for name in ("window", "num_elites", "check_every"):
            _validate.at_least(name, getattr(self, name), 1)
        _check_pairs(self.population_size)
        _validate.positive("sigma", self.sigma)
        optimizer(self.optimizer, self.learning_rate)
        if not hasattr(self.problem.objective, "advance"):
            raise TypeError("Persistent needs a Lifetime as its objective: it lives it in parts")
        objective = getattr(self._life, "objective", "loss")
        if objective != "loss":
            raise ValueError(
                "Persistent lowers the loss, window by window, so the objective must be 'loss', "
                f"got {objective!r}"
            )
        if interventions_of(self._life.task):
            raise ValueError("Persistent lives in windows, and cannot intervene in mid-life")
        length = self._life.task.spec.length
        if length % self.window:
            raise ValueError(
                f"window must divide the lifetime's {length} symbols, got {self.window}"
            )

    @property
    def _life(self) -> Any:
        return self.problem.objective

    def _born(self, point: Array, key: Array) -> Any:
        state, _ = self._life.start(self.problem.theta_at(point), key)
        return state

    def init(self, key: Array) -> PersistentState:
        """All pairs newborn, at places spread over the lifetime."""
        center, pairs = self.problem.center(), self.population_size // 2
        keys = jax.random.split(key, pairs)
        learners = jax.vmap(self._born, in_axes=(None, 0))(center, keys)
        windows = self._life.task.spec.length // self.window
        return PersistentState(
            center=center,
            optimizer=optimizer(self.optimizer, self.learning_rate).init(center),
            learners=jax.tree.map(lambda x: jnp.concatenate([x, x]), learners),
            keys=jax.random.key_data(keys),
            # Stage the first deaths: a pair that starts late in its episode is reborn soon.
            place=jnp.arange(pairs) * windows // pairs * self.window,
            noise=jnp.zeros((pairs, center.size)),
            elites=_no_elites(self.num_elites, center),
            generation=jnp.zeros((), jnp.int32),
        )

    def _window(self, point: Array, learner: Any, key_data: Array, place: Array) -> Any:
        """Lives one window: (learner, its part of the lifetime's mean loss, times the windows).

        So that the mean over a lifetime's windows is the lifetime's mean over its scored symbols.
        """
        key = jax.random.wrap_key_data(key_data)
        life, theta = self._life, self.problem.theta_at(point)
        _, episode = life.start(theta, key)
        part = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, place, self.window), episode)
        learner, outcome, _ = life.advance(theta, learner, part, key, place)
        share = jnp.maximum(episode.scored.sum(), 1) * (self.window / episode.scored.shape[0])
        return learner, jnp.where(part.scored, outcome.loss, 0.0).sum() / share

    def step(self, key: Array, state: PersistentState) -> tuple[PersistentState, Metrics]:
        """One window of every lifetime, one step of the optimiser."""
        import optax

        key_noise, key_born, key_check = jax.random.split(key, 3)
        pairs = state.place.shape[0]
        fresh = self.sigma * jax.random.normal(key_noise, state.noise.shape)
        points = jnp.concatenate([state.center[None] + fresh, state.center[None] - fresh])
        both = lambda x: jnp.concatenate([x, x])  # noqa: E731
        # Newborns are born here, with their own perturbation: theta shapes birth, too.
        unborn = both((state.noise == 0).all(1))
        newborn = jax.vmap(self._born)(points, jax.random.wrap_key_data(both(state.keys)))

        def pick(old: Array, new: Array) -> Array:
            return jnp.where(unborn.reshape((-1,) + (1,) * (old.ndim - 1)), new, old)

        learners = jax.tree.map(pick, state.learners, newborn)
        learners, losses = jax.vmap(self._window)(
            points, learners, both(state.keys), both(state.place)
        )
        summed = state.noise + fresh
        difference = losses[:pairs] - losses[pairs:]
        good = jnp.isfinite(difference)
        weight = jnp.where(good, difference, 0.0) / (2 * self.sigma**2)
        gradient = weight @ summed / jnp.maximum(good.sum(), 1)
        updates, inner = optimizer(self.optimizer, self.learning_rate).update(
            gradient, state.optimizer, state.center
        )
        center: Any = optax.apply_updates(state.center, updates)
        place = state.place + self.window
        reborn = (place >= self._life.task.spec.length) | ~good
        keys = jax.random.split(key_born, pairs)
        state = PersistentState(
            center=center,
            optimizer=inner,
            learners=learners,
            keys=jnp.where(reborn[:, None], jax.random.key_data(keys), state.keys),
            place=jnp.where(reborn, 0, place),
            noise=jnp.where(reborn[:, None], 0.0, summed),
            elites=state.elites,
            generation=state.generation + 1,
        )
        check = (state.generation % self.check_every == 0) | (state.generation == 1)
        elites, whole = jax.lax.cond(
            check, self._check, lambda key, s: (s.elites, jnp.full((), jnp.nan)), key_check, state
        )
        row = _summary(losses, jnp.where(good, losses[:pairs], 0.0).mean(), elites, ~good)
        row |= {"whole": whole, "gradient_norm": jnp.linalg.norm(gradient)}
        return state._replace(elites=elites), row

    def _check(self, key: Array, state: PersistentState) -> tuple[Elites, Array]:
        """Center and elites on whole, fresh lifetimes."""
        everyone = jnp.concatenate([state.center[None], state.elites.coordinates])
        keys = jax.random.split(key, self.problem.num_lifetimes)
        mean = finite_worst(self.problem.losses(everyone, keys)[0].mean(1))
        return _renew(state.elites, mean[1:], state.center[None], mean[:1]), mean[0]

    def best(self, state: PersistentState) -> Theta:
        """The elite that did best over all whole lifetimes it was lived on."""
        return self.problem.theta_at(state.elites.coordinates[jnp.argmin(state.elites.score())])
