"""Dense or sparse: the one place that knows how the synapses of a graph are laid out in memory.

A network has three bundles of synapses: those onto memory nodes, onto other hidden nodes, and onto
outputs. A bundle is
dense (arrays over receivers x nodes, a mask where there is no edge) or sparse (arrays over edges,
sorted by receiver); values per synapse have the bundle's *edge shape*, [R, N] or [E], and any
axes behind are lanes. Both give the same numbers.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from loopymeta._jax import Array, jax, jnp


class Bundles(NamedTuple):
    """One thing for each bundle of synapses: onto memory nodes, hidden nodes and outputs."""

    memory: Any
    hidden: Any
    output: Any


MEMORY, HIDDEN, OUTPUT = range(3)


class Wires(NamedTuple):
    """The edges of one bundle, as indices and in the layout's own form.

    Attributes:
      senders: [E] sending node.
      receivers: [E] receiving node, counted from the bundle's first receiver; sorted.
      mask: 1 where there is an edge, else 0: [R, N] (dense); [E], or () where all are (sparse).
      by_sender: [E] order of the edges that sorts them by sender, then receiver (sparse), or ().
    """

    senders: Array
    receivers: Array
    mask: Any
    by_sender: Any


def behind(values: Array, like: Array) -> Array:
    """``values`` with axes of length 1 appended until it has as many axes as ``like``."""
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))


def ahead(values: Any, like: Array) -> Array:
    """``values`` (one for each lane, or one number) with axes of length 1 in front, as ``like``."""
    return jnp.reshape(values, (1,) * (like.ndim - jnp.ndim(values)) + jnp.shape(values))


def _cycle(key: Array, num: int) -> Array:
    """[num] a random permutation in one cycle: from two places on, nothing stays where it is."""
    order = jax.random.permutation(key, num)
    return jnp.zeros_like(order).at[order].set(jnp.roll(order, -1))


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one bundle is laid out: its first receiver, its sizes, and dense or sparse.

    ``even`` says that every receiver has equally many incoming edges. They are then rows of an
    array: no receivers to gather, and sums in one order on every device.
    """

    dense: bool
    first: int
    num_receivers: int
    num_nodes: int
    num_edges: int
    even: bool = False

    @property
    def edge_shape(self) -> tuple[int, ...]:
        """The shape of a value per synapse, without lanes."""
        return (self.num_receivers, self.num_nodes) if self.dense else (self.num_edges,)

    @property
    def _by_receiver(self) -> tuple[int, int]:
        """Receivers and their in-degree, in an even bundle."""
        return self.num_receivers, self.num_edges // max(self.num_receivers, 1)

    def wires(self, senders: Array, receivers: Array) -> Wires:
        """The bundle's edges (global node numbers, sorted by receiver) made ready."""
        # A graph known at compile time would be sorted and counted by the compiler, at length.
        given = (jnp.asarray(senders), jnp.asarray(receivers))
        senders, receivers = jax.lax.optimization_barrier(given)
        local = receivers - self.first
        if self.dense:
            mask = jnp.zeros(self.edge_shape).at[local, senders].set(1.0)
            return Wires(senders, local, mask, ())
        return Wires(senders, local, (), jnp.argsort(senders, stable=True))

    def from_edges(self, wires: Wires, values: Array) -> Array:
        """[E, ...] in edge order -> edge shape; zero where there is no edge."""
        if not self.dense:
            return values
        empty = jnp.zeros(self.edge_shape + values.shape[1:], values.dtype)
        return empty.at[wires.receivers, wires.senders].set(values)

    def to_edges(self, wires: Wires, values: Array) -> Array:
        """Edge shape -> [E, ...] in edge order."""
        return values[wires.receivers, wires.senders] if self.dense else values

    def shuffle(self, key: Array) -> Array:
        """[E] a random permutation that leaves no edge in place (unless there is only one).

        Where all receivers have equally many edges, those of one go to those of another, in random
        order: memory is then read receiver by receiver, eight times as fast as all over.
        """
        rows, degree = self._by_receiver
        if not self.even or rows < 2 or not degree:
            return _cycle(key, self.num_edges)
        key_rows, key_edges = jax.random.split(key)
        order = jnp.argsort(jax.random.uniform(key_edges, (rows, degree)), axis=1)
        return (_cycle(key_rows, rows)[:, None] * degree + order).reshape(-1)

    def places(self, wires: Wires, permutation: Array) -> Array:
        """Where each synapse takes its value from, for `taken`: [E] edges -> flat edge shape."""
        if not self.dense:
            return permutation
        cells = wires.receivers * self.num_nodes + wires.senders
        here = jnp.arange(self.num_receivers * self.num_nodes)
        return here.at[cells].set(cells[permutation])

    def taken(self, places: Array, values: Array) -> Array:
        """Each synapse's value from its `places`; edge shape, and any lanes behind."""
        # Else the compiler works each value out anew where it is taken.
        values = jax.lax.optimization_barrier(values)
        flat = values.reshape(-1, *values.shape[len(self.edge_shape) :])
        return flat[places].reshape(values.shape)

    def masked(self, wires: Wires, values: Array, other: float = 0.0) -> Array:
        """Another number, zero, where there is no edge, whatever the value there is."""
        if isinstance(wires.mask, tuple):
            return values
        return jnp.where(behind(wires.mask, values) > 0, values, other)

    def without(self, wires: Wires, kept: Array) -> Wires:
        """The wires less the edges where ``kept`` [E] is 0."""
        if self.dense:
            return wires._replace(mask=wires.mask * self.from_edges(wires, kept))
        old = jnp.ones(self.num_edges) if isinstance(wires.mask, tuple) else wires.mask
        return wires._replace(mask=old * kept)

    def with_all(self, wires: Wires) -> Wires:
        """The wires with all edges of the graph."""
        if not self.dense:
            return wires._replace(mask=())
        return wires._replace(mask=self.from_edges(wires, jnp.ones(self.num_edges)))

    def of_senders(self, wires: Wires, nodes: Array) -> Array:
        """[N, ...] -> each synapse's sender's value (broadcastable to the edge shape)."""
        return nodes[None] if self.dense else nodes[wires.senders]

    def of_receivers(self, wires: Wires, receivers: Array) -> Array:
        """[R, ...] -> each synapse's receiver's value (broadcastable to the edge shape)."""
        if self.dense:
            return receivers[:, None]
        if not self.even:
            return receivers[wires.receivers]
        each = jnp.broadcast_to(receivers[:, None], (*self._by_receiver, *receivers.shape[1:]))
        return each.reshape(self.num_edges, *receivers.shape[1:])

    def sum_in(self, wires: Wires, values: Array) -> Array:
        """Sum of a value per synapse over each receiver's incoming edges: [R, ...]."""
        if self.dense:
            return values.sum(1)

        def scatter(values: Array) -> Array:
            return jax.ops.segment_sum(
                values, wires.receivers, self.num_receivers, indices_are_sorted=True
            )

        def rows(values: Array) -> Array:
            return values.reshape(*self._by_receiver, *values.shape[1:]).sum(1)

        if not self.even:
            return scatter(values)
        if values.ndim == 1:
            return rows(values)
        # Lanes fill a CPU's vectors, and its scatter then takes 0.6 of the time of a reduction over
        # a middle axis (``benchmarks/step.py``); elsewhere a scatter adds in no fixed order.
        return jax.lax.platform_dependent(values, cpu=scatter, default=rows)

    def forward(self, wires: Wires, weight: Array, nodes: Array) -> Array:
        """Drive of each receiver: sum of weight * sender's value; [N, ...] -> [R, ...]."""
        if self.dense and nodes.ndim == 1:
            return weight @ nodes
        return self.sum_in(wires, weight * self.of_senders(wires, nodes))

    def backward(self, wires: Wires, weight: Array, receivers: Array) -> Array:
        """What each node gets back: sum of weight * receiver's value; [R, ...] -> [N, ...]."""
        if self.dense and receivers.ndim == 1:
            return receivers @ weight
        values = weight * self.of_receivers(wires, receivers)
        if self.dense:
            return values.sum(0)
        return jax.ops.segment_sum(
            values[wires.by_sender],
            wires.senders[wires.by_sender],
            self.num_nodes,
            indices_are_sorted=True,
        )

    def cumulative_backward(self, wires: Wires, weight: Array, receivers: Array) -> Array:
        """Per synapse: what its sender gets back from receivers up to this one, in node order."""
        values = weight * self.of_receivers(wires, receivers)
        if self.dense:
            return jnp.cumsum(values, axis=0)
        # Sums that restart at each sender: an associative scan, since the difference of two
        # running totals would lose the digits of a small one behind a large one.
        order = wires.by_sender
        senders = wires.senders[order]
        start = jnp.concatenate([jnp.ones(1, bool), senders[1:] != senders[:-1]])

        def join(left, right):
            (restart_left, total_left), (restart, total) = left, right
            flag = behind(restart, total)
            return restart_left | restart, total + jnp.where(flag, 0.0, total_left)

        _, totals = jax.lax.associative_scan(join, (start, values[order]))
        return jnp.zeros_like(totals).at[order].set(totals)
