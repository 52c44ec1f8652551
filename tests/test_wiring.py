"""Layouts are only layouts: even rows, scatter and dense give the same numbers."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import graph_of, live, small, some_fast

from loopymeta import rules
from loopymeta.graph import Graph, make_graph, make_graphs
from loopymeta.network import LoopyNetwork

RULES = [rules.RFLO(), rules.Oja(), rules.HPCA(order="sanger"), rules.Normalised(rule=rules.BCM())]


@pytest.mark.parametrize("rule", some_fast(RULES, RULES[:2]), ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize(
    "sharing", some_fast(("shared", "per_node_type", "per_synapse"), ("per_node_type",))
)
def test_even_rows_equal_a_scatter(rule, sharing):
    choices = {"layout": "sparse", "sharing": sharing, "num_node_types": 2, "num_memory": 2}
    net, graph = small(rule, **choices)
    assert net.even == (True, True, True)
    other = dataclasses.replace(net, even=(False, False, False))
    theta = net.init_theta()
    _, predictions, weights = live(net, graph, ticks=20, theta=theta)
    _, expected, expected_weights = live(other, graph, ticks=20, theta=theta)
    np.testing.assert_allclose(predictions, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-4, atol=1e-5)
    assert np.abs(weights[-1] - weights[0]).max() > 0


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_even_sums_with_lanes(platform):
    net, graph = small(rules.Oja(), layout="sparse")
    layout, wires = net.layouts.hidden, net.wire(graph).wires.hidden
    values = jax.random.normal(jax.random.key(0), (layout.num_edges, 3))
    add = jax.jit(lambda values: layout.sum_in(wires, values))
    columns = jnp.stack([layout.sum_in(wires, column) for column in values.T], axis=1)
    np.testing.assert_allclose(add(values), columns, rtol=1e-6)
    # On an accelerator a scatter would add in no fixed order.
    program = add.trace(values).lower(lowering_platforms=(platform,)).as_text()
    assert ("scatter" in program) == (platform == "cpu")


def test_what_counts_as_even():
    sizes = {"num_inputs": 2, "num_hidden": 3, "num_outputs": 1}
    of = lambda graph: LoopyNetwork.for_graph(graph, rules.Oja(), **sizes).even  # noqa: E731
    level = graph_of([(0, 2), (1, 3), (2, 4), (4, 5)], 6)
    uneven = graph_of([(0, 2), (1, 2), (2, 4), (4, 5)], 6)
    # No memory nodes: nothing there is uneven.
    assert of(level) == (True, True, True) and of(uneven) == (True, False, True)
    both = Graph(*(np.stack(pair) for pair in zip(level, uneven, strict=True)))
    assert of(both) == (True, False, True)
    assert of(make_graphs(num_graphs=2, degree=2, **sizes)) == (True, True, True)
    assert not of(make_graph("erdos_renyi", degree=1, seed=1, **sizes))[1]
    with pytest.raises(ValueError, match="hidden nodes equally many"):
        LoopyNetwork.for_graph(level, rules.Oja(), **sizes).wire(uneven)


def test_no_edges_at_all():
    sizes = {"num_inputs": 2, "num_hidden": 0, "num_outputs": 1}
    graph = graph_of([], 3)
    net = LoopyNetwork.for_graph(graph, rules.Oja(), layout="sparse", **sizes)
    _, predictions, _ = live(net, graph, ticks=2)
    assert (predictions == 0).all()
