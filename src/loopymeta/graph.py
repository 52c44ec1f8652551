"""Graphs: who sends to whom, how such graphs are drawn, and a census of their loops.

A graph has input, hidden and output nodes, numbered in this order. Inputs are clamped: no edge
leads into them. A connectivity rule wires hidden nodes to hidden nodes; `make_graph` adds the
edges from inputs, into outputs and back from outputs. For given sizes and degrees every seed gives
exactly the same number of edges, so that graphs of different seeds stack into one array.

Everything here is numpy on the host; the arrays move to the device when they are used.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from loopymeta import _validate

if TYPE_CHECKING:
    import networkx
    from jaxtyping import Int

    from loopymeta._jax import Array

    Pairs = tuple[np.ndarray, np.ndarray]

# Up to so many nodes Waxman looks at every pair at once (2,000 nodes: 32 MB of float64).
_ALL_PAIRS_NODES = 2000
# Leaves of the space partition for larger Waxman graphs: a million pairs of leaves.
_NUM_LEAVES = 1024
# Largest temporary arrays, in elements.
_CHUNK = 1 << 20
# A census looks at every node while nodes times edges stay below this (about a second of searches).
_EXACT_WORK = 20_000_000
_NUM_SAMPLES = 64


class Graph(NamedTuple):
    """The directed edges of a network, sorted by receiver and then by sender.

    Nodes are numbered inputs, hidden, outputs, so the edges into outputs come last. There are no
    self-loops, no edge occurs twice and none leads into an input. A stack of G graphs of the same
    size has the axis G in front.

    >>> graph = make_graph("ring", num_inputs=1, num_hidden=3, num_outputs=1, output_degree=3)
    >>> graph.senders.dtype, graph.num_edges
    (dtype('int32'), 9)
    """

    senders: Int[np.ndarray | Array, "E"]
    receivers: Int[np.ndarray | Array, "E"]
    reverse: Int[np.ndarray | Array, "E"]
    """Index of the opposite edge, or -1 where there is none."""

    @property
    def num_edges(self) -> int:
        """E, the number of edges (of each graph, in a stack)."""
        return int(self.senders.shape[-1])


def _finish(senders: np.ndarray, receivers: np.ndarray, num_nodes: int) -> Graph:
    """Sorts the edges by (receiver, sender) and finds every edge's opposite."""
    codes = np.sort(receivers.astype(np.int64) * num_nodes + senders)
    receivers, senders = np.divmod(codes, max(num_nodes, 1))
    opposite = senders * num_nodes + receivers
    place = np.searchsorted(codes, opposite)
    found = np.zeros(len(codes), bool)
    inside = place < len(codes)
    found[inside] = codes[place[inside]] == opposite[inside]
    reverse = np.where(found, place, -1)
    return Graph(senders.astype(np.int32), receivers.astype(np.int32), reverse.astype(np.int32))


# --------------------------------------------------------------------------- connectivity rules


@runtime_checkable
class Connectivity(Protocol):
    """What wires hidden nodes to hidden nodes: a frozen dataclass of plain values.

    The number of edges must depend on the fields and ``num_nodes`` alone, never on the generator.
    A rule may also have ``ports(num_nodes)``, which returns the hidden nodes that read inputs and
    those that outputs read, as `Layered` has (without it, or where it returns None: all of them).
    """

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each, of distinct edges among nodes 0 .. num_nodes - 1."""
        ...


def _check_degree(degree: Any, *, whole: bool) -> None:
    _validate.at_least("degree", degree, 0, whole=whole)
    if degree == float("inf"):
        raise ValueError("degree must be finite, got inf")


def _num_edges(degree: float, num_nodes: int) -> int:
    """The number of edges that a mean degree asks for: round(degree * H), at most H (H - 1)."""
    return min(round(degree * num_nodes), num_nodes * max(num_nodes - 1, 0))


def _pairs(codes: np.ndarray, num_nodes: int) -> Pairs:
    """Edges from their numbers in 0 .. H (H - 1): H - 1 senders a receiver, itself left out."""
    receivers, senders = np.divmod(codes, max(num_nodes - 1, 1))
    return senders + (senders >= receivers), receivers


def _fill_sparse(
    generator: np.random.Generator, kept: np.ndarray, num_rows: int, universe: int, count: int
) -> np.ndarray:
    """Adds uniform values to ``kept`` until every row has ``count`` of them.

    A value's code is row * universe + value. Only what is missing is drawn, so no row ever has too
    many and none has to be thrown away, which keeps the sets uniform.
    """
    codes = kept
    while True:
        missing = count - np.bincount(codes // universe, minlength=num_rows)
        if not missing.any():
            return codes
        rows = np.repeat(np.arange(num_rows), missing)
        draws = rows * universe + generator.integers(universe, size=len(rows))
        codes = np.sort(np.concatenate([codes, draws]))  # three times as fast as np.unique
        codes = codes[np.append(True, codes[1:] != codes[:-1])]


def _fill_dense(
    generator: np.random.Generator, kept: np.ndarray, num_rows: int, universe: int, count: int
) -> np.ndarray:
    """The same by ranking a random number for every value: right when most values are taken."""
    found = []
    block = max(1, _CHUNK // universe)
    for start in range(0, num_rows, block):
        stop = min(start + block, num_rows)
        rank = generator.random((stop - start) * universe)
        first, last = np.searchsorted(kept, [start * universe, stop * universe])
        rank[kept[first:last] - start * universe] = -1.0
        rank = rank.reshape(stop - start, universe)
        values = np.argpartition(rank, count - 1, axis=1)[:, :count]
        found.append((values + np.arange(start, stop)[:, None] * universe).ravel())
    return np.sort(np.concatenate(found))


def _fill_rows(
    generator: np.random.Generator, num_rows: int, universe: int, count: int, kept: Any = ()
) -> np.ndarray:
    """Codes row * universe + value: ``count`` distinct values a row, ``kept`` ones among them."""
    kept = np.sort(np.asarray(kept, np.int64))
    if num_rows == 0 or count == 0:
        return np.zeros(0, np.int64)
    if count == universe:
        return np.arange(num_rows * universe, dtype=np.int64)
    # Redrawing what collides is quick while at most a quarter of the values is taken.
    fill = _fill_sparse if 4 * count <= universe else _fill_dense
    return fill(generator, kept, num_rows, universe, count)


@dataclass(frozen=True)
class FixedInDegree:
    """Every node is fed by exactly ``degree`` distinct others, drawn uniformly (at most H - 1).

    Number of edges: degree * H.

    >>> senders, receivers = FixedInDegree(degree=3).edges(10, np.random.default_rng(0))
    >>> np.bincount(receivers).tolist()
    [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]
    """

    degree: int = 16
    """Edges into each hidden node."""

    def __post_init__(self) -> None:
        _check_degree(self.degree, whole=True)

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each."""
        others = max(num_nodes - 1, 0)
        codes = _fill_rows(generator, num_nodes, others, min(self.degree, others))
        return _pairs(codes, num_nodes)


@dataclass(frozen=True)
class ErdosRenyi:
    """Every set of E = round(degree * H) directed edges is equally likely: G(n, m).

    Reference: Erdős and Rényi (1959).

    >>> senders, _ = ErdosRenyi(degree=2.5).edges(10, np.random.default_rng(0))
    >>> len(senders)
    25
    """

    degree: float = 16
    """Mean number of edges into a hidden node."""

    def __post_init__(self) -> None:
        _check_degree(self.degree, whole=False)

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each."""
        universe = num_nodes * max(num_nodes - 1, 0)
        codes = _fill_rows(generator, 1, universe, _num_edges(self.degree, num_nodes))
        return _pairs(codes, num_nodes)


@dataclass(frozen=True)
class Ring:
    """Every node is fed by its ``degree`` predecessors on a ring (at most H - 1).

    Number of edges: degree * H. Nothing is random.

    >>> senders, receivers = Ring().edges(3, np.random.default_rng(0))
    >>> senders.tolist(), receivers.tolist()
    ([2, 0, 1], [0, 1, 2])
    """

    degree: int = 1
    """Edges into each hidden node."""

    def __post_init__(self) -> None:
        _check_degree(self.degree, whole=True)

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each."""
        offsets = -np.arange(1, min(self.degree, max(num_nodes - 1, 0)) + 1)
        return _lattice(num_nodes, offsets)


def _lattice(num_nodes: int, offsets: np.ndarray) -> Pairs:
    """Every node is fed by the nodes at these offsets on the ring."""
    nodes = np.arange(num_nodes)
    senders = (nodes[:, None] + offsets) % max(num_nodes, 1)
    return senders.ravel(), np.repeat(nodes, len(offsets))


@dataclass(frozen=True)
class WattsStrogatz:
    """A ring lattice whose edges are rewired, each with probability ``rewiring``: a small world.

    A node is fed by its ``degree`` nearest neighbours, half on either side (an odd one comes from
    before it). A rewired edge keeps its receiver and gets a uniform new sender, so every in-degree
    stays ``degree`` (at most H - 1). Each direction is rewired by itself.

    Reference: Watts and Strogatz (1998), here directed.

    >>> rule, generator = WattsStrogatz(degree=2, rewiring=0.0), np.random.default_rng(0)
    >>> senders, receivers = rule.edges(5, generator)
    >>> senders[receivers == 2].tolist()
    [1, 3]
    """

    degree: int = 16
    """Edges into each hidden node."""
    rewiring: float = 0.1
    """Probability that an edge is rewired."""

    def __post_init__(self) -> None:
        _check_degree(self.degree, whole=True)
        _validate.between("rewiring", self.rewiring, 0, 1)

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each."""
        others = max(num_nodes - 1, 0)
        degree = min(self.degree, others)
        steps = np.arange(degree)
        senders, receivers = _lattice(num_nodes, (steps // 2 + 1) * np.where(steps % 2, 1, -1))
        kept = generator.random(len(senders)) >= self.rewiring
        codes = (receivers * others + senders - (senders > receivers))[kept]
        return _pairs(_fill_rows(generator, num_nodes, others, degree, codes), num_nodes)


@dataclass(frozen=True)
class BarabasiAlbert:
    """Nodes arrive one by one and prefer partners that have many edges already: hubs.

    A newcomer draws distinct edges, each with a partner in proportion to the partner's degree (at
    least 1) and with either direction equally likely, so that there are loops. The E =
    round(degree * H) edges are shared evenly among the newcomers; the first ones, which have too
    few partners, form a complete core. Low numbers are the old nodes, the hubs.

    Reference: Barabási and Albert (1999), here directed.

    >>> senders, _ = BarabasiAlbert(degree=2).edges(50, np.random.default_rng(0))
    >>> len(senders)
    100
    """

    degree: float = 16
    """Mean number of edges into a hidden node."""

    def __post_init__(self) -> None:
        _check_degree(self.degree, whole=False)

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each."""
        quota = _arrivals(num_nodes, _num_edges(self.degree, num_nodes))
        # Weights are degrees, at least 1, so that a node without edges can be found; the very first
        # node keeps this 1 beside its edges. endpoints holds every node as often as its weight.
        endpoints, degrees = [0], [1]
        slots: list[int] = []
        for node, count in enumerate(quota.tolist(), start=1):
            # Newcomers with many edges rank all slots; the others redraw what collides.
            if 2 * count > node:
                chosen = _prefer_ranked(generator, degrees, count)
            else:
                chosen = _prefer_redrawn(generator, endpoints, count)
            slots += chosen
            partners = [slot >> 1 for slot in chosen]
            for partner in partners:
                degrees[partner] += 1
            degrees.append(max(count, 1))
            endpoints += partners
            endpoints += [node] * max(count, 1)
        partners, outward = np.divmod(np.asarray(slots, np.int64), 2)
        newcomers = np.repeat(np.arange(1, len(quota) + 1), quota)
        return np.where(outward, newcomers, partners), np.where(outward, partners, newcomers)


def _arrivals(num_nodes: int, num_edges: int) -> np.ndarray:
    """How many edges each of the nodes 1 .. H - 1 brings, as even as 2 edges a partner allow."""
    room = 2 * np.arange(1, max(num_nodes, 1))
    low, high = 0, 2 * num_nodes
    while low < high:  # the largest even share that does not exceed num_edges
        middle = (low + high + 1) // 2
        fits = np.minimum(room, middle).sum() <= num_edges
        low, high = (middle, high) if fits else (low, middle - 1)
    quota = np.minimum(room, low)
    left = num_edges - int(quota.sum())
    open_nodes = np.flatnonzero(room > quota)
    quota[open_nodes[np.arange(left) * len(open_nodes) // max(left, 1)]] += 1
    return quota


def _prefer_ranked(generator: np.random.Generator, weights: list[int], count: int) -> list[int]:
    """Draws ``count`` slots (2 * partner + direction) in proportion to weight, by Gumbel ranks."""
    score = np.repeat(np.log(weights), 2) + generator.gumbel(size=2 * len(weights))
    return np.argsort(-score)[:count].tolist()


def _prefer_redrawn(generator: np.random.Generator, endpoints: list[int], count: int) -> list[int]:
    """The same distribution by picking entries of ``endpoints``, again where a slot is taken."""
    chosen: dict[int, None] = {}
    while len(chosen) < count:
        for draw in generator.integers(2 * len(endpoints), size=count - len(chosen)).tolist():
            chosen[2 * endpoints[draw >> 1] + (draw & 1)] = None
    return list(chosen)


@dataclass(frozen=True)
class Complete:
    """Every node feeds every other: H (H - 1) edges.

    >>> senders, _ = Complete().edges(4, np.random.default_rng(0))
    >>> len(senders)
    12
    """

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each."""
        return _pairs(np.arange(num_nodes * max(num_nodes - 1, 0)), num_nodes)


@dataclass(frozen=True)
class Layered:
    """A feed-forward network: every node of a layer feeds every node of the next.

    Inputs feed the first layer only and outputs read the last one only, so the graph is acyclic.

    Errors: ValueError where the layers do not add up to the number of hidden nodes.

    >>> senders, receivers = Layered(layers=(2, 1)).edges(3, np.random.default_rng(0))
    >>> senders.tolist(), receivers.tolist()
    ([0, 1], [2, 2])
    """

    layers: int | tuple[int, ...] = 2
    """Number of hidden layers, of sizes as equal as possible, or the sizes themselves."""

    def __post_init__(self) -> None:
        sizes = self.layers if isinstance(self.layers, tuple | list) else (self.layers,)
        for size in sizes:
            _validate.at_least("layers", size, 1)
        if isinstance(self.layers, list):
            object.__setattr__(self, "layers", tuple(self.layers))

    def _starts(self, num_nodes: int) -> list[int]:
        """Where each layer starts, and the end."""
        if not isinstance(self.layers, tuple):
            if num_nodes and self.layers > num_nodes:
                raise ValueError(
                    f"layers must be at most {num_nodes} (num_hidden), got {self.layers}"
                )
            return [layer * num_nodes // self.layers for layer in range(self.layers + 1)]
        if sum(self.layers) != num_nodes:
            raise ValueError(
                f"layers must add up to {num_nodes} (num_hidden), got {self.layers}, "
                f"which is {sum(self.layers)}"
            )
        return [sum(self.layers[:layer]) for layer in range(len(self.layers) + 1)]

    def ports(self, num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
        """The nodes that read inputs (first layer) and the nodes that outputs read (last)."""
        starts = self._starts(num_nodes)
        if num_nodes == 0:
            return np.arange(0), np.arange(0)
        return np.arange(starts[1]), np.arange(starts[-2], num_nodes)

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each."""
        starts = self._starts(num_nodes)
        senders, receivers = [np.arange(0)], [np.arange(0)]
        for start, middle, stop in zip(starts, starts[1:], starts[2:], strict=False):
            senders.append(np.tile(np.arange(start, middle), stop - middle))
            receivers.append(np.repeat(np.arange(middle, stop), middle - start))
        return np.concatenate(senders), np.concatenate(receivers)


@dataclass(frozen=True)
class Waxman:
    """Nodes lie in space and near ones are connected more often.

    Nodes are uniform in the unit cube. E = round(degree * H) directed pairs are drawn one after
    another without replacement, each time with probability proportional to
    exp(-distance / (beta * sqrt(dimension))); sqrt(dimension) is the largest distance there is.
    The factor in front of Waxman's formula has no effect, as the number of edges is given.

    Large graphs are drawn by thinning over a partition of space, not over all pairs; many
    dimensions (ten) or a ``beta`` far below the distance of neighbours make that slower.

    Reference: Waxman (1988), here directed and in any dimension.

    >>> senders, _ = Waxman(degree=4, dimension=3).edges(50, np.random.default_rng(0))
    >>> len(senders)
    200
    """

    degree: float = 16
    """Mean number of edges into a hidden node."""
    dimension: int = 2
    """Dimensions of the space."""
    beta: float = 0.1
    """Distance over which connections become rarer by a factor e, in units of the largest."""

    def __post_init__(self) -> None:
        _check_degree(self.degree, whole=False)
        _validate.at_least("dimension", self.dimension, 1)
        _validate.positive("beta", self.beta)

    def positions(self, num_nodes: int, generator: np.random.Generator) -> np.ndarray:
        """Where the nodes lie, [H, dimension] in 0 .. 1.

        This is the first thing that `edges` draws, and `make_graph` draws nothing before it: its
        hidden nodes lie at ``positions(num_hidden, np.random.default_rng(seed))``.
        """
        return generator.random((num_nodes, self.dimension))

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each."""
        positions = self.positions(num_nodes, generator)
        count = _num_edges(self.degree, num_nodes)
        if count == 0:
            return np.arange(0), np.arange(0)
        # In units of the length over which the probability falls by a factor e.
        positions = positions / (self.beta * np.sqrt(self.dimension))
        all_pairs = num_nodes * (num_nodes - 1)
        if num_nodes <= _ALL_PAIRS_NODES or all_pairs <= 4 * count:
            return _near_ranked(positions, count, generator)
        return _near_thinned(positions, count, generator)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances between points whose coordinates are the last axis, without large temporaries."""
    return np.sqrt(sum(np.square(a[..., k] - b[..., k]) for k in range(a.shape[-1])))


def _near_ranked(positions: np.ndarray, count: int, generator: np.random.Generator) -> Pairs:
    """``count`` ordered pairs, drawn one after another with weight exp(-distance).

    Give every pair an exponential arrival time of rate exp(-distance): the first to arrive are
    such a draw.
    """
    num_nodes = len(positions)
    log_time = np.log(generator.standard_exponential((num_nodes, num_nodes)))
    log_time += _distance(positions[:, None], positions[None])
    np.fill_diagonal(log_time, np.inf)
    codes = np.argpartition(log_time.ravel(), count - 1)[:count]
    return np.divmod(codes, num_nodes)


def _near_thinned(positions: np.ndarray, count: int, generator: np.random.Generator) -> Pairs:
    """The same distribution without a look at every pair.

    A time limit is chosen that somewhat more than ``count`` pairs meet, and those that meet it
    are found leaf by leaf of a partition of space: near leaves pair by pair, far ones by thinning.
    """
    leaves = _leaves(positions)
    log_limit = _log_time_limit(positions, leaves, 1.3 * count, generator)
    step = 0.5
    while True:
        senders, receivers, log_time = _arrived(positions, leaves, log_limit, generator)
        if len(log_time) >= count:
            first = np.argpartition(log_time, count - 1)[:count]
            return senders[first], receivers[first]
        # Starting over is unbiased: the margin of a third is far beyond chance (1 / sqrt(count)),
        # so too few arrivals mean that the limit was estimated badly, not an unlucky draw.
        log_limit += step
        step *= 2


def _leaves(positions: np.ndarray) -> np.ndarray:
    """Splits the nodes at medians into boxes of nearly equal number: [leaves, size], -1 = none."""
    parts = [np.arange(len(positions))]
    while 2 * len(parts) <= min(_NUM_LEAVES, len(positions) // 2):
        halves = []
        for part in parts:
            axis = np.argmax(np.ptp(positions[part], axis=0))
            half = len(part) // 2
            order = part[np.argpartition(positions[part, axis], half)]
            halves += [order[:half], order[half:]]
        parts = halves
    leaves = np.full((len(parts), max(map(len, parts))), -1)
    for leaf, part in zip(leaves, parts, strict=True):
        leaf[: len(part)] = part
    return leaves


def _log_time_limit(
    positions: np.ndarray, leaves: np.ndarray, wanted: float, generator: np.random.Generator
) -> float:
    """Log of the time by which about ``wanted`` pairs have arrived.

    Estimated from one pair of nodes for each pair of leaves (of 128 of the leaves and all).
    """
    # The last place of a leaf may be empty; the others never are.
    places = generator.integers(leaves.shape[1] - 1, size=(2, min(len(leaves), 128), len(leaves)))
    some = generator.permutation(len(leaves))[: places.shape[1]]
    receivers, senders = leaves[some[:, None], places[0]], leaves[np.arange(len(leaves)), places[1]]
    distance = _distance(positions[receivers], positions[senders])[receivers != senders]
    all_pairs = len(positions) * (len(positions) - 1)
    low = np.log(wanted / all_pairs)
    high = low + distance.max() + 10.0
    while high - low > 0.01:
        middle = (low + high) / 2
        enough = _arrival(middle - distance).mean() * all_pairs > wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def _arrival(log_mean: np.ndarray) -> np.ndarray:
    """Probability 1 - exp(-m) of having arrived, from log m."""
    return -np.expm1(-np.exp(np.minimum(log_mean, 50.0)))


def _arrived(
    positions: np.ndarray, leaves: np.ndarray, log_limit: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs that arrive within the limit: senders, receivers, log of the arrival times."""
    # No pair of nodes of two leaves is nearer than their boxes, which bounds its rate.
    placed = positions[np.where(leaves < 0, leaves[:, :1], leaves)]
    low, high = placed.min(axis=1), placed.max(axis=1)
    gap = np.zeros((len(leaves), len(leaves)))
    for k in range(positions.shape[1]):
        apart = np.maximum(low[:, None, k] - high[:, k], low[:, k] - high[:, None, k])
        gap += np.square(np.maximum(apart, 0.0))
    gap = np.sqrt(gap).ravel()
    likely = log_limit - gap > np.log(0.3)
    found = [*_arrived_all(placed, leaves, np.flatnonzero(likely), log_limit, generator)]
    found += _arrived_thinned(positions, leaves, gap, likely, log_limit, generator)
    senders, receivers, log_time = (np.concatenate(part) for part in zip(*found, strict=True))
    real = np.flatnonzero((senders >= 0) & (receivers >= 0) & (senders != receivers))
    # A pair may have arrived more than once; the first time counts.
    real = real[np.argsort(log_time[real])]
    _, first = np.unique(receivers[real] * len(positions) + senders[real], return_index=True)
    real = real[first]
    return senders[real], receivers[real], log_time[real]


def _arrived_all(
    placed: np.ndarray,
    leaves: np.ndarray,
    rows: np.ndarray,
    log_limit: float,
    generator: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Looks at every pair of nodes of the pairs of leaves in ``rows`` (near ones)."""
    num_leaves, size = leaves.shape
    block = max(1, _CHUNK // size**2)
    for start in range(0, len(rows), block):
        a, b = np.divmod(rows[start : start + block], num_leaves)
        log_time = np.log(generator.standard_exponential((len(a), size, size)))
        log_time += _distance(placed[a][:, :, None], placed[b][:, None])
        row, i, j = np.nonzero(log_time < log_limit)
        yield leaves[b[row], j], leaves[a[row], i], log_time[row, i, j]


def _arrived_thinned(
    positions: np.ndarray,
    leaves: np.ndarray,
    gap: np.ndarray,
    likely: np.ndarray,
    log_limit: float,
    generator: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Thins a Poisson process at the bounding rate for all other pairs of leaves."""
    num_leaves, size = leaves.shape
    log_rate = np.where(likely, -np.inf, log_limit - gap)
    num_events = generator.poisson(size**2 * np.exp(log_rate))
    piece = np.cumsum(num_events) // _CHUNK
    cuts = [0, *(np.flatnonzero(np.diff(piece)) + 1).tolist(), len(gap)]
    for start, stop in itertools.pairwise(cuts):
        row = np.repeat(np.arange(start, stop), num_events[start:stop])
        place = generator.integers(size, size=(2, len(row)))
        receivers = leaves[row // num_leaves, place[0]]
        senders = leaves[row % num_leaves, place[1]]
        distance = _distance(positions[receivers], positions[senders])
        # Above 0 only by rounding, and for empty places, which are dropped later.
        log_kept = np.minimum(gap[row] - distance, 0.0)
        kept = generator.random(len(row)) < np.exp(log_kept)
        log_time = np.log1p(-generator.random(int(kept.sum()))) + log_limit
        yield senders[kept], receivers[kept], log_time


@dataclass(frozen=True)
class Pools:
    """A recurrent memory pool, and hidden nodes that read all of it.

    The first ``num_memory`` nodes are wired among themselves by ``memory``; each of the others
    reads all of them, and the others are wired among themselves by ``hidden`` (None: not at all).
    No edge leads back from the others into the memory. Where ``hidden`` is `Layered`, the memory is
    to it what inputs are: the first layer reads it, and outputs read the last layer only.

    >>> senders, receivers = Pools(num_memory=3).edges(5, np.random.default_rng(0))
    >>> len(senders)  # 3 * 2 among the memory, 2 * 3 onto the others
    12
    """

    num_memory: int
    """Nodes of the memory pool."""
    memory: Connectivity = Complete()
    """How they are wired among themselves."""
    hidden: Connectivity | None = None
    """How the others are wired among themselves."""

    def __post_init__(self) -> None:
        _validate.at_least("num_memory", self.num_memory, 0)

    def ports(self, num_nodes: int) -> Pairs | None:
        """Those of ``hidden``, and the memory reads inputs too; None where it has none."""
        num_memory = min(self.num_memory, num_nodes)
        ports = _ports(self.hidden, num_nodes - num_memory)
        if ports is None:
            return None
        first, last = (num_memory + part for part in ports)
        return np.concatenate([np.arange(num_memory), first]), last

    def edges(self, num_nodes: int, generator: np.random.Generator) -> Pairs:
        """Senders and receivers, [E] each."""
        num_memory = min(self.num_memory, num_nodes)
        rest = num_nodes - num_memory
        ports = _ports(self.hidden, rest)
        readers = num_memory + (np.arange(rest) if ports is None else ports[0])
        parts = [
            self.memory.edges(num_memory, generator),
            (np.tile(np.arange(num_memory), len(readers)), np.repeat(readers, num_memory)),
        ]
        if self.hidden is not None:
            senders, receivers = self.hidden.edges(rest, generator)
            parts.append((senders + num_memory, receivers + num_memory))
        senders, receivers = zip(*parts, strict=True)
        return np.concatenate(senders), np.concatenate(receivers)


CONNECTIVITY: dict[str, type] = {
    "barabasi_albert": BarabasiAlbert,
    "complete": Complete,
    "erdos_renyi": ErdosRenyi,
    "fixed_in_degree": FixedInDegree,
    "layered": Layered,
    "ring": Ring,
    "watts_strogatz": WattsStrogatz,
    "waxman": Waxman,
}
"""The connectivity rules by name."""


# ----------------------------------------------------------------------------------- generation


def _make_rule(
    connectivity: str | Connectivity, degree: float | None, num_hidden: int, options: dict[str, Any]
) -> Connectivity:
    """The rule for a name and its options; refuses a degree that the graph has no room for."""
    if isinstance(connectivity, str):
        if connectivity not in CONNECTIVITY:
            raise _validate.unknown("connectivity", connectivity, CONNECTIVITY)
        rule = _named_rule(connectivity, degree, num_hidden, options)
    elif isinstance(connectivity, type) or not isinstance(connectivity, Connectivity):
        raise TypeError(
            f"connectivity must be a name or an object with edges(), such as Waxman(), "
            f"got {connectivity!r} ({type(connectivity).__name__})"
        )
    elif degree is not None or options:
        given = [*(["degree"] if degree is not None else []), *options]
        raise ValueError(
            f"{', '.join(given)} must be given to the {type(connectivity).__name__} object itself"
        )
    else:
        rule = connectivity
    given_degree = getattr(rule, "degree", 0)
    if num_hidden and given_degree > num_hidden - 1:
        raise ValueError(
            f"degree must be at most {num_hidden - 1} (num_hidden - 1), got {given_degree}"
        )
    return rule


def _named_rule(
    name: str, degree: float | None, num_hidden: int, options: dict[str, Any]
) -> Connectivity:
    kind = CONNECTIVITY[name]
    fields: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(kind)}
    if degree is not None:
        options = {"degree": degree, **options}
    elif "degree" in fields:
        options = {"degree": min(fields["degree"], max(num_hidden - 1, 0)), **options}
    for option in options:
        if option not in fields:
            if not fields:
                raise ValueError(f"{name} takes no options, got {option!r}")
            raise _validate.unknown(f"option of {name}", option, fields)
    return kind(**options)


def _wire(
    generator: np.random.Generator, senders: np.ndarray, receivers: np.ndarray, degree: int
) -> Pairs:
    """Gives every one of ``receivers`` exactly ``degree`` distinct ones of ``senders``."""
    codes = _fill_rows(generator, len(receivers), len(senders), degree)
    row, value = np.divmod(codes, max(len(senders), 1))
    return senders[value], receivers[row]


def _rule_edges(rule: Connectivity, num_hidden: int, generator: np.random.Generator) -> Pairs:
    """The rule's edges, checked: rules may be other people's."""
    senders, receivers = (np.asarray(part) for part in rule.edges(num_hidden, generator))
    name = type(rule).__name__
    if senders.shape != receivers.shape or senders.ndim != 1:
        raise ValueError(
            f"{name}.edges must return two arrays [E], got {senders.shape} and {receivers.shape}"
        )
    if len(senders) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if not (
        np.issubdtype(senders.dtype, np.integer) and np.issubdtype(receivers.dtype, np.integer)
    ):
        raise TypeError(f"{name}.edges must return whole numbers, got {senders.dtype}")
    for part in (senders, receivers):
        if part.min() < 0 or part.max() >= num_hidden:
            raise ValueError(f"{name}.edges must return nodes 0 .. {num_hidden - 1}")
    if (senders == receivers).any():
        raise ValueError(f"{name}.edges must return no self-loops")
    codes = np.sort(receivers.astype(np.int64) * num_hidden + senders)
    if (codes[1:] == codes[:-1]).any():
        raise ValueError(f"{name}.edges must return every edge only once")
    return senders, receivers


def _port_degree(name: str, degree: int | None, available: int, pool: str) -> int:
    """A number of edges into each node, where None means all that there are."""
    if degree is None:
        return available
    _validate.at_least(name, degree, 0)
    if degree > available:
        raise ValueError(f"{name} must be at most {available} (number of {pool}), got {degree}")
    return degree


def _check_sizes(num_inputs: int, num_hidden: int, num_outputs: int) -> int:
    """Refuses impossible sizes; returns the number of nodes."""
    _validate.at_least("num_inputs", num_inputs, 0)
    _validate.at_least("num_hidden", num_hidden, 0)
    _validate.at_least("num_outputs", num_outputs, 0)
    return num_inputs + num_hidden + num_outputs


def make_graph(
    connectivity: str | Connectivity = "fixed_in_degree",
    *,
    num_inputs: int,
    num_hidden: int,
    num_outputs: int,
    degree: float | None = None,
    input_degree: int | None = None,
    output_degree: int | None = None,
    return_degree: int = 0,
    direct: bool | None = None,
    seed: int | np.random.SeedSequence = 0,
    repair: bool = False,
    **options: Any,
) -> Graph:
    """Draws a graph of input, hidden and output nodes; the rule wires hidden to hidden.

    The number of edges E, and that of the edges into outputs, depends on the arguments only,
    never on the seed or on repairs.

    Arguments:
        connectivity: a name in `CONNECTIVITY` or a rule such as ``Waxman(degree=8, beta=0.2)``.
        num_inputs, num_hidden, num_outputs: numbers of nodes, zero allowed.
        degree: mean number of hidden nodes that feed a hidden node. None: the rule's default (16;
            ring 1), or num_hidden - 1 where that is less. Not for complete and layered.
        input_degree: inputs that each hidden node reads; None: all. Layered: first layer only.
        output_degree: hidden nodes and inputs that each output reads; None: all. Layered: the last
            layer only.
        return_degree: outputs that each hidden node is fed by, at most all there are.
        direct: whether outputs may read inputs. None: yes, unless the graph is layered.
        seed: a whole number of at least 0, or a numpy SeedSequence.
        repair: redirect one edge into each output that no input reaches, instead of an error.
        options: further fields of the named rule, such as ``rewiring=0.2``.

    Errors: ValueError or TypeError for sizes, degrees and options that cannot be; ValueError that
    names the outputs that no input reaches (not where there are no inputs at all).

    >>> graph = make_graph("waxman", num_inputs=3, num_hidden=20, num_outputs=2, degree=4)
    >>> graph.num_edges  # 20 * 4 within, 20 * 3 from inputs, 2 * 23 into outputs
    186
    """
    num_nodes = _check_sizes(num_inputs, num_hidden, num_outputs)
    rule = _make_rule(connectivity, degree, num_hidden, options)
    _validate.at_least("return_degree", return_degree, 0)
    if direct is not None and not isinstance(direct, bool):
        raise TypeError(f"direct must be True, False or None, got {direct!r}")
    if not isinstance(repair, bool):
        raise TypeError(f"repair must be True or False, got {repair!r}")
    if not isinstance(seed, np.random.SeedSequence):
        _validate.at_least("seed", seed, 0)
    generator = np.random.default_rng(seed)

    inputs = np.arange(num_inputs)
    hidden = num_inputs + np.arange(num_hidden)
    outputs = num_inputs + num_hidden + np.arange(num_outputs)
    ports = _ports(rule, num_hidden)
    first, last = (hidden, hidden) if ports is None else (hidden[ports[0]], hidden[ports[1]])
    if direct is None:
        direct = num_hidden == 0 or ports is None
    read = np.concatenate([inputs, last]) if direct else last
    from_inputs = _port_degree("input_degree", input_degree, num_inputs, "inputs")
    to_outputs = _port_degree("output_degree", output_degree, len(read), "nodes outputs may read")

    within = _rule_edges(rule, num_hidden, generator)
    parts = [
        (within[0] + num_inputs, within[1] + num_inputs),
        _wire(generator, inputs, first, from_inputs),
        _wire(generator, read, outputs, to_outputs),
        _wire(generator, outputs, hidden, min(return_degree, num_outputs)),
    ]
    senders, receivers = (np.concatenate(part) for part in zip(*parts, strict=True))
    graph = _finish(senders, receivers, num_nodes)
    return _reach_outputs(graph, (num_inputs, num_hidden, num_outputs), last, repair, generator)


def _ports(rule: Connectivity | None, num_hidden: int) -> Pairs | None:
    """The hidden nodes that read inputs and those that outputs read; None: all of them."""
    ports = getattr(rule, "ports", None)
    return None if ports is None else ports(num_hidden)


def make_graphs(
    connectivity: str | Connectivity = "fixed_in_degree",
    *,
    num_graphs: int,
    seed: int = 0,
    **arguments: Any,
) -> Graph:
    """Draws ``num_graphs`` graphs of the same size, stacked: every array is [G, E].

    Graph g is ``make_graph(..., seed=np.random.SeedSequence(seed, spawn_key=(g,)))``.

    Arguments: as for `make_graph`. Errors: the same.

    >>> make_graphs(num_graphs=3, num_inputs=1, num_hidden=5, num_outputs=1, degree=2).senders.shape
    (3, 21)
    """
    _validate.at_least("num_graphs", num_graphs, 1)
    _validate.at_least("seed", seed, 0)
    graphs = [
        make_graph(connectivity, seed=np.random.SeedSequence(seed, spawn_key=(g,)), **arguments)
        for g in range(num_graphs)
    ]
    sizes = {graph.num_edges for graph in graphs}
    if len(sizes) > 1:
        raise ValueError(f"connectivity must give every graph as many edges, got {sorted(sizes)}")
    return Graph(*(np.stack(part) for part in zip(*graphs, strict=True)))


# ------------------------------------------------------------------------------- reaching outputs


def _adjacency(senders: np.ndarray | Array, receivers: np.ndarray | Array, num_nodes: int) -> Any:
    """The graph as a scipy matrix [sender, receiver]."""
    from scipy import sparse

    ones = np.ones(len(senders))
    return sparse.csr_array((ones, (senders, receivers)), shape=(num_nodes, num_nodes))


def _depths(adjacency: Any, source: int) -> tuple[np.ndarray, np.ndarray]:
    """The nodes that ``source`` reaches, itself first, and the steps to each of them."""
    from scipy.sparse import csgraph

    order, before = csgraph.breadth_first_order(adjacency, source)
    place = np.zeros(adjacency.shape[0], np.int64)
    place[order] = np.arange(len(order))
    parent = place[np.maximum(before[order], 0)]
    parent[0] = 0
    depth = np.ones(len(order), np.int64)
    depth[0] = 0
    # The depth is the number of parents up to the source; every jump doubles what is known.
    while parent.any():
        depth += depth[parent]
        parent = parent[parent]
    return order, depth


def _reached(graph: Graph, num_nodes: int, num_inputs: int) -> np.ndarray:
    """Which nodes some input reaches, bool [N]; inputs count as reached."""
    from scipy.sparse import csgraph

    # One more node that feeds all inputs makes this a single search.
    senders = np.concatenate([graph.senders, np.full(num_inputs, num_nodes)])
    receivers = np.concatenate([graph.receivers, np.arange(num_inputs)])
    adjacency = _adjacency(senders, receivers, num_nodes + 1)
    found = csgraph.breadth_first_order(adjacency, num_nodes, return_predecessors=False)
    reached = np.zeros(num_nodes + 1, bool)
    reached[found] = True
    return reached[:-1]


def _check_graph(graph: Graph, num_nodes: int) -> None:
    """Refuses stacks and graphs of another size."""
    shape = np.shape(graph.senders)
    if len(shape) != 1:
        raise ValueError(f"graph must be a single graph [E], got a stack {shape}: take one of it")
    if shape[0] and max(graph.senders.max(), graph.receivers.max()) >= num_nodes:
        raise ValueError(
            f"num_inputs + num_hidden + num_outputs must cover every node of the graph, got "
            f"{num_nodes} and node {max(graph.senders.max(), graph.receivers.max())}"
        )


def unreached_outputs(
    graph: Graph, num_inputs: int, num_hidden: int, num_outputs: int
) -> list[int]:
    """The outputs, numbered from 0 among the outputs, that no path leads to from any input.

    Arguments: one graph and its numbers of nodes. Errors: ValueError where they do not fit.

    >>> graph = make_graph(num_inputs=1, num_hidden=4, num_outputs=2, degree=2)
    >>> unreached_outputs(graph, 1, 4, 2)
    []
    """
    num_nodes = _check_sizes(num_inputs, num_hidden, num_outputs)
    _check_graph(graph, num_nodes)
    reached = _reached(graph, num_nodes, num_inputs)
    return np.flatnonzero(~reached[num_nodes - num_outputs :]).tolist()


def _reach_outputs(
    graph: Graph,
    sizes: tuple[int, int, int],
    last: np.ndarray,
    repair: bool,
    generator: np.random.Generator,
) -> Graph:
    """Refuses a graph with unreached outputs, or redirects an edge into each of them.

    None of the edges into an unreached output carries anything, so that redirecting one can cut
    nothing else off. The new sender is a reached one of ``last``, or else an input.
    """
    num_inputs, num_hidden, num_outputs = sizes
    if num_inputs == 0 or num_outputs == 0:
        return graph
    num_nodes = sum(sizes)
    reached = _reached(graph, num_nodes, num_inputs)
    start = num_inputs + num_hidden
    missing = start + np.flatnonzero(~reached[start:])
    if len(missing) == 0:
        return graph
    if not repair:
        names = ", ".join(f"output {node - start} (node {node})" for node in missing.tolist())
        raise ValueError(
            f"no input reaches {len(missing)} of {num_outputs} outputs: {names}. "
            f"Give them more edges, or pass repair=True"
        )
    pool = last[reached[last]]
    pool = pool if len(pool) else np.arange(num_inputs)
    fresh = generator.choice(pool, size=len(missing))
    # The first edge into each output; an output without any is given one.
    edge = np.searchsorted(graph.receivers, missing)
    has_edge = edge < graph.num_edges
    has_edge[has_edge] = graph.receivers[edge[has_edge]] == missing[has_edge]
    senders = graph.senders.copy()
    senders[edge[has_edge]] = fresh[has_edge]
    return _finish(
        np.concatenate([senders, fresh[~has_edge]]),
        np.concatenate([graph.receivers, missing[~has_edge]]),
        num_nodes,
    )


# -------------------------------------------------------------------------------------- networkx


def from_networkx(
    graph: networkx.Graph,
    inputs: Iterable[Hashable] = (),
    outputs: Iterable[Hashable] = (),
    *,
    repair: bool = False,
    seed: int = 0,
) -> Graph:
    """Takes any networkx graph over; the nodes that are neither inputs nor outputs are hidden.

    Undirected edges become one edge each way and parallel edges one. Edges into inputs are left
    out, as inputs are clamped, and so are self-loops, as what a node keeps is its leak.

    Arguments:
        graph: networkx Graph, DiGraph or a multigraph, with any labels; attributes are not read.
        inputs, outputs: labels, in the order in which the nodes are to be numbered. Hidden nodes
            keep the order of the graph.
        repair: redirect an edge into each output that no input reaches (an output without any
            edge gets one), instead of an error.
        seed: for the repair.

    Errors: TypeError for what is no networkx graph; ValueError for labels that are unknown, double
    or both input and output, and for outputs that no input reaches.

    >>> import networkx
    >>> ring = networkx.cycle_graph(["in", "a", "b", "out"], create_using=networkx.DiGraph)
    >>> from_networkx(ring, inputs=["in"], outputs=["out"]).receivers.tolist()
    [1, 2, 3]
    """
    import networkx

    if not isinstance(graph, networkx.Graph):
        raise TypeError(f"graph must be a networkx graph, got {type(graph).__name__}")
    _validate.at_least("seed", seed, 0)
    inputs, outputs = list(inputs), list(outputs)
    for name, labels in (("inputs", inputs), ("outputs", outputs)):
        for label in labels:
            if label not in graph:
                raise ValueError(f"{name} must be nodes of the graph, got {label!r}")
        if len(set(labels)) != len(labels):
            raise ValueError(f"{name} must be different nodes, got {labels!r}")
    ports = {*inputs, *outputs}
    if len(ports) != len(inputs) + len(outputs):
        both = [label for label in inputs if label in set(outputs)]
        raise ValueError(f"inputs and outputs must be different nodes, got {both!r} in both")
    hidden = [label for label in graph if label not in ports]
    number = {label: index for index, label in enumerate([*inputs, *hidden, *outputs])}
    num_nodes = len(number)
    pairs = np.array([(number[a], number[b]) for a, b in graph.edges()], np.int64).reshape(-1, 2)
    if not graph.is_directed():
        pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[(pairs[:, 1] >= len(inputs)) & (pairs[:, 0] != pairs[:, 1])]
    pairs = np.unique(pairs, axis=0)
    sizes = (len(inputs), len(hidden), len(outputs))
    last = len(inputs) + np.arange(len(hidden))
    made = _finish(pairs[:, 0], pairs[:, 1], num_nodes)
    return _reach_outputs(made, sizes, last, repair, np.random.default_rng(seed))


def to_networkx(
    graph: Graph, num_inputs: int, num_hidden: int, num_outputs: int
) -> networkx.DiGraph:
    """The graph as a networkx DiGraph over 0 .. N - 1, nodes with ``kind``: input, hidden, output.

    Arguments: one graph and its numbers of nodes. Errors: ValueError where they do not fit.

    >>> made = to_networkx(make_graph(num_inputs=1, num_hidden=2, num_outputs=1), 1, 2, 1)
    >>> made.nodes[0]["kind"], made.number_of_edges()
    ('input', 7)
    """
    import networkx

    num_nodes = _check_sizes(num_inputs, num_hidden, num_outputs)
    _check_graph(graph, num_nodes)
    made = networkx.DiGraph()
    kinds = ["input"] * num_inputs + ["hidden"] * num_hidden + ["output"] * num_outputs
    made.add_nodes_from((node, {"kind": kind}) for node, kind in enumerate(kinds))
    made.add_edges_from(
        zip(np.asarray(graph.senders).tolist(), np.asarray(graph.receivers).tolist(), strict=True)
    )
    return made


# ---------------------------------------------------------------------------------------- census


@dataclass(frozen=True)
class Census:
    """The loops of a graph in plain numbers; None where there is nothing to measure."""

    num_nodes: int
    """N, all nodes."""
    num_edges: int
    """E, all edges."""
    mean_in_degree: float
    """Edges into a node, averaged over hidden and output nodes (inputs have none)."""
    largest_component: int
    """Nodes of the largest strongly connected part; 0 where the graph has no cycle."""
    hidden_share: float
    """Share of the hidden nodes that lie in that part."""
    num_cyclic_components: int
    """Strongly connected parts of more than one node, that is with a cycle."""
    girth: int | None
    """Edges of the shortest cycle; where ``exact`` is False, the shortest cycle that was found."""
    mean_cycle_length: float | None
    """Length of the shortest cycle through a node, averaged over nodes that lie on one."""
    reciprocity: float
    """Share of edges with an opposite edge; edges from inputs, which can have none, left out."""
    mean_path_length: float | None
    """Steps from an input to an output, averaged over the pairs where there is a path."""
    max_path_length: int | None
    """The largest of these."""
    exact: bool
    """False where cycles and paths were measured from a sample of nodes."""

    def __str__(self) -> str:
        def show(value: float | None) -> str:
            return "none" if value is None else f"{value:.4g}" if value % 1 else f"{value:,.0f}"

        sampled = "" if self.exact else " (from a sample of nodes)"
        return "\n".join(
            [
                f"nodes                {self.num_nodes:,}",
                f"edges                {self.num_edges:,}",
                f"mean in-degree       {show(self.mean_in_degree)}",
                f"strongly connected   {self.largest_component:,} nodes, "
                f"{self.hidden_share:.1%} of hidden",
                f"parts with a cycle   {self.num_cyclic_components:,}",
                f"shortest cycle       {show(self.girth)}{sampled if self.girth != 2 else ''}",
                f"mean shortest cycle  {show(self.mean_cycle_length)}{sampled}",
                f"reciprocity          {self.reciprocity:.4g}",
                f"mean path            {show(self.mean_path_length)}{sampled}",
                f"longest path         {show(self.max_path_length)}{sampled}",
            ]
        )


def census(
    graph: Graph,
    num_inputs: int,
    num_hidden: int,
    num_outputs: int,
    *,
    num_samples: int | None = None,
    seed: int = 0,
) -> Census:
    """Counts the loops of a graph: strongly connected part, cycle lengths, reciprocity, paths.

    Cycles are measured by a breadth-first search from each node that lies on one, paths by one
    from each input. Large graphs are measured from a sample of these nodes; ``exact`` tells. The
    girth is exact also then where it is 2, as opposite edges are all looked at.

    Arguments:
        graph: one graph, not a stack.
        num_inputs, num_hidden, num_outputs: its numbers of nodes.
        num_samples: nodes to search from, at most. None: all while nodes times edges stay
            below 20 million, else 64.
        seed: for the sample.

    Errors: ValueError where the numbers do not fit the graph.

    >>> ring = make_graph("ring", num_inputs=1, num_hidden=5, num_outputs=1)
    >>> census(ring, 1, 5, 1).girth
    5
    """
    num_nodes = _check_sizes(num_inputs, num_hidden, num_outputs)
    _check_graph(graph, num_nodes)
    _validate.at_least("seed", seed, 0)
    graph = Graph(*(np.asarray(part) for part in graph))
    if num_samples is None:
        small = num_nodes * graph.num_edges <= _EXACT_WORK
        num_samples = num_nodes if small else _NUM_SAMPLES
    _validate.at_least("num_samples", num_samples, 1 if num_nodes else 0)
    generator = np.random.default_rng(seed)

    component, members = _components(graph, num_nodes)
    cyclic = members > 1
    largest = int(members.max()) if cyclic.any() else 0
    hidden = component[num_inputs : num_inputs + num_hidden]
    in_largest = hidden == members.argmax() if largest else np.zeros(num_hidden, bool)
    looped = np.flatnonzero(cyclic[component])
    through = _sample(generator, looped, num_samples)
    inputs = _sample(generator, np.arange(num_inputs), num_samples)
    cycles = _cycle_lengths(graph, num_nodes, component, through)
    paths = _path_lengths(graph, num_nodes, inputs, num_nodes - num_outputs)
    two_way = graph.reverse >= 0
    answerable = graph.senders >= num_inputs
    return Census(
        num_nodes=num_nodes,
        num_edges=graph.num_edges,
        mean_in_degree=graph.num_edges / max(num_nodes - num_inputs, 1),
        largest_component=largest,
        hidden_share=float(in_largest.mean()) if num_hidden else 0.0,
        num_cyclic_components=int(cyclic.sum()),
        girth=2 if two_way.any() else int(cycles.min()) if len(cycles) else None,
        mean_cycle_length=float(cycles.mean()) if len(cycles) else None,
        reciprocity=float(two_way[answerable].mean()) if answerable.any() else 0.0,
        mean_path_length=float(paths.mean()) if len(paths) else None,
        max_path_length=int(paths.max()) if len(paths) else None,
        exact=len(through) == len(looped) and len(inputs) == num_inputs,
    )


def _sample(generator: np.random.Generator, nodes: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the nodes."""
    return nodes if len(nodes) <= count else generator.choice(nodes, count, replace=False)


def _components(graph: Graph, num_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The strongly connected part of each node [N], and the number of nodes of each part."""
    from scipy.sparse import csgraph

    if num_nodes == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    adjacency = _adjacency(graph.senders, graph.receivers, num_nodes)
    _, component = csgraph.connected_components(adjacency, connection="strong")
    return component, np.bincount(component)


def _cycle_lengths(
    graph: Graph, num_nodes: int, component: np.ndarray, nodes: np.ndarray
) -> np.ndarray:
    """The length of the shortest cycle through each of ``nodes``, all of which lie on one."""
    # A cycle never leaves its strongly connected part.
    inside = component[graph.senders] == component[graph.receivers]
    senders, receivers = graph.senders[inside], graph.receivers[inside]
    adjacency = _adjacency(senders, receivers, num_nodes)
    lengths = []
    for node in nodes:
        order, depth = _depths(adjacency, node)
        steps = np.full(num_nodes, num_nodes)
        steps[order] = depth
        first, last = np.searchsorted(receivers, [node, node + 1])
        lengths.append(steps[senders[first:last]].min() + 1)
    return np.asarray(lengths, np.int64)


def _path_lengths(
    graph: Graph, num_nodes: int, inputs: np.ndarray, first_output: int
) -> np.ndarray:
    """The steps from each of ``inputs`` to each output that it reaches, in one list."""
    lengths = [np.zeros(0, np.int64)]
    adjacency = _adjacency(graph.senders, graph.receivers, num_nodes)
    for node in inputs:
        order, depth = _depths(adjacency, node)
        lengths.append(depth[order >= first_output])
    return np.concatenate(lengths)
