"""Graphs: exact counts, the rules' characters, reaching outputs, networkx and the census."""

from __future__ import annotations

import dataclasses
from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopymeta import graph as graphs
from loopymeta.graph import (
    CONNECTIVITY,
    BarabasiAlbert,
    ErdosRenyi,
    FixedInDegree,
    Graph,
    Layered,
    Ring,
    WattsStrogatz,
    Waxman,
    census,
    from_networkx,
    make_graph,
    make_graphs,
    to_networkx,
    unreached_outputs,
)

SIZES = {"num_inputs": 3, "num_hidden": 30, "num_outputs": 2}
RANDOM = ["barabasi_albert", "erdos_renyi", "fixed_in_degree", "watts_strogatz", "waxman"]
WITH_DEGREE = [*RANDOM, "ring"]


def codes(graph: Graph, num_nodes: int) -> np.ndarray:
    return graph.receivers.astype(np.int64) * num_nodes + graph.senders


def check_edges(graph: Graph, num_inputs: int, num_hidden: int, num_outputs: int) -> None:
    """All that a Graph promises."""
    num_nodes = num_inputs + num_hidden + num_outputs
    for part in graph:
        assert part.dtype == np.int32
        assert part.shape == (graph.num_edges,)
    # Strictly rising codes: sorted by (receiver, sender) without duplicates.
    assert (np.diff(codes(graph, num_nodes)) > 0).all()
    assert (graph.senders != graph.receivers).all()
    if graph.num_edges:
        assert graph.receivers.min() >= num_inputs
        assert graph.senders.min() >= 0
        assert max(graph.senders.max(), graph.receivers.max()) < num_nodes
    index = {
        (int(a), int(b)): e
        for e, (a, b) in enumerate(zip(graph.senders, graph.receivers, strict=True))
    }
    assert graph.reverse.tolist() == [index.get((b, a), -1) for a, b in index]


def hidden_edges(graph: Graph, num_inputs: int, num_hidden: int) -> tuple[np.ndarray, np.ndarray]:
    stop = num_inputs + num_hidden
    inside = (graph.senders >= num_inputs) & (graph.senders < stop) & (graph.receivers < stop)
    return graph.senders[inside] - num_inputs, graph.receivers[inside] - num_inputs


def same(a: Graph, b: Graph) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def make(*edges: tuple[int, int], num_nodes: int) -> Graph:
    """A graph from (sender, receiver) pairs, by hand."""
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    return graphs._finish(pairs[:, 0], pairs[:, 1], num_nodes)


def chi_square(a: np.ndarray, b: np.ndarray, num_runs: int) -> float:
    """Standard score of the difference of two tables of counts out of ``num_runs`` each."""
    mean = (a + b) / (2 * num_runs)
    some = (mean > 0) & (mean < 1)
    z2 = ((a - b)[some] ** 2) / (2 * num_runs * (mean * (1 - mean))[some])
    return float((z2.sum() - some.sum()) / np.sqrt(2 * some.sum()))


# ------------------------------------------------------------------------------------ every rule


@pytest.mark.parametrize("name", CONNECTIVITY)
def test_every_rule_gives_a_valid_graph_and_the_same_one_again(name: str):
    graph = make_graph(name, **SIZES, seed=7)
    check_edges(graph, 3, 30, 2)
    assert same(graph, make_graph(name, **SIZES, seed=7))


@pytest.mark.parametrize("name", WITH_DEGREE)
@pytest.mark.parametrize("degree", [0, 1, 2, 5, 13, 28, 29])
def test_degree_gives_the_exact_number_of_edges(name: str, degree: int):
    for seed in range(3):
        graph = make_graph(name, **SIZES, degree=degree, seed=seed)
        assert len(hidden_edges(graph, 3, 30)[0]) == 30 * degree


@pytest.mark.parametrize("name", ["barabasi_albert", "erdos_renyi", "waxman"])
@pytest.mark.parametrize("degree", [0.3, 0.5, 2.49, 27.31])
def test_fractional_degrees_are_rounded_to_whole_edges(name: str, degree: float):
    graph = make_graph(name, **SIZES, degree=degree)
    assert len(hidden_edges(graph, 3, 30)[0]) == round(30 * degree)


@pytest.mark.parametrize("name", RANDOM)
def test_seeds_differ(name: str):
    first, second = (make_graph(name, **SIZES, degree=4, seed=seed) for seed in range(2))
    assert first.num_edges == second.num_edges
    assert not same(first, second)


@pytest.mark.parametrize("name", CONNECTIVITY)
@pytest.mark.parametrize("num_hidden", [0, 1, 2, 3])
def test_tiny_sizes(name: str, num_hidden: int):
    options = {"layers": 1} if name == "layered" else {}
    graph = make_graph(name, num_inputs=2, num_hidden=num_hidden, num_outputs=2, **options)
    check_edges(graph, 2, num_hidden, 2)
    assert unreached_outputs(graph, 2, num_hidden, 2) == []


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_property_counts_depend_on_the_arguments_only(data: Any):
    name = data.draw(st.sampled_from(sorted(CONNECTIVITY)))
    num_inputs = data.draw(st.integers(1, 4))
    num_hidden = data.draw(st.integers(1, 12))
    num_outputs = data.draw(st.integers(0, 4))
    arguments: dict[str, Any] = {
        "num_inputs": num_inputs,
        "num_hidden": num_hidden,
        "num_outputs": num_outputs,
        "input_degree": data.draw(st.integers(0, num_inputs)),
        "return_degree": data.draw(st.integers(0, 5)),
        "direct": data.draw(st.sampled_from([None, True, False])),
        "repair": True,
    }
    if name in WITH_DEGREE:
        arguments["degree"] = data.draw(st.integers(0, num_hidden - 1))
    if name == "layered":
        arguments["layers"] = data.draw(st.integers(1, num_hidden))
    else:
        arguments["output_degree"] = data.draw(st.integers(0, num_hidden))
    sizes = (num_inputs, num_hidden, num_outputs)
    made = [
        make_graph(name, seed=seed, **arguments)
        for seed in data.draw(st.tuples(*[st.integers(0, 99)] * 2))
    ]
    for graph in made:
        check_edges(graph, *sizes)
        assert unreached_outputs(graph, *sizes) == []
        within = len(hidden_edges(graph, num_inputs, num_hidden)[0])
        if name in WITH_DEGREE:
            assert within == num_hidden * arguments["degree"]
        elif name == "complete":
            assert within == num_hidden * (num_hidden - 1)
        back = (graph.senders >= num_inputs + num_hidden).sum()
        assert back == num_hidden * min(arguments["return_degree"], num_outputs)
    # As many edges in all and into outputs, so that the graphs stack.
    assert len({graph.num_edges for graph in made}) == 1
    assert len({int((g.receivers >= num_inputs + num_hidden).sum()) for g in made}) == 1


@pytest.mark.parametrize("rule", [kind() for kind in CONNECTIVITY.values()], ids=repr)
def test_rules_are_frozen_plain_values(rule: Any):
    assert type(rule)(**dataclasses.asdict(rule)) == rule
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.degree = 3
    by_rule = make_graph(rule, num_inputs=3, num_hidden=40, num_outputs=2, seed=1)
    named = {kind: name for name, kind in CONNECTIVITY.items()}[type(rule)]
    assert same(by_rule, make_graph(named, num_inputs=3, num_hidden=40, num_outputs=2, seed=1))


@pytest.mark.parametrize("name", CONNECTIVITY)
def test_a_million_edges(name: str):
    num_hidden, options = 62_500, {"degree": 16}
    if name == "complete":
        num_hidden, options = 1001, {}
    if name == "layered":
        num_hidden, options = 2000, {"layers": (1000, 1000)}
    graph = make_graph(
        name, num_inputs=2, num_hidden=num_hidden, num_outputs=2, input_degree=1,
        output_degree=16, return_degree=1, **options,
    )  # fmt: skip
    assert len(hidden_edges(graph, 2, num_hidden)[0]) >= 1_000_000
    assert (np.diff(codes(graph, num_hidden + 4)) > 0).all()
    back = graph.reverse >= 0
    opposite = graph.reverse[back]
    assert (graph.senders[opposite] == graph.receivers[back]).all()
    assert (graph.receivers[opposite] == graph.senders[back]).all()
    if name in ("ring", "waxman"):
        found = census(graph, 2, num_hidden, 2)
        assert not found.exact
        assert found.hidden_share > 0.99


# ------------------------------------------------------------------------- character of the rules


def in_out(senders: np.ndarray, receivers: np.ndarray, num_nodes: int) -> tuple[Any, Any]:
    return np.bincount(receivers, minlength=num_nodes), np.bincount(senders, minlength=num_nodes)


@pytest.mark.parametrize("degree", [1, 2, 5, 8])
def test_uniform_rules_draw_every_pair_equally_often(degree: int):
    num_nodes, num_runs = 9, 600
    for rule in (FixedInDegree(degree), ErdosRenyi(degree)):
        seen = np.zeros((num_nodes, num_nodes))
        for seed in range(num_runs):
            senders, receivers = rule.edges(num_nodes, np.random.default_rng(seed))
            seen[receivers, senders] += 1
        chance = degree / (num_nodes - 1)
        assert (np.diag(seen) == 0).all()
        off = seen[~np.eye(num_nodes, dtype=bool)]
        error = np.sqrt(num_runs * chance * (1 - chance))
        assert np.abs(off - num_runs * chance).max() <= 5 * error


def test_fixed_in_degree_is_fixed():
    senders, receivers = FixedInDegree(7).edges(50, np.random.default_rng(0))
    incoming, outgoing = in_out(senders, receivers, 50)
    assert (incoming == 7).all()
    assert outgoing.std() > 0


def test_ring_is_fed_by_its_predecessors():
    senders, receivers = Ring(2).edges(5, np.random.default_rng(0))
    assert set(zip(senders.tolist(), receivers.tolist(), strict=True)) == {
        ((node - step) % 5, node) for node in range(5) for step in (1, 2)
    }


@pytest.mark.parametrize(("degree", "num_nodes"), [(2, 9), (4, 9), (8, 9), (4, 5), (6, 20)])
def test_watts_strogatz_without_rewiring_is_the_ring_lattice(degree: int, num_nodes: int):
    rule = WattsStrogatz(degree, rewiring=0.0)
    senders, receivers = rule.edges(num_nodes, np.random.default_rng(0))
    lattice = networkx.watts_strogatz_graph(num_nodes, degree, 0.0).to_directed()
    assert set(zip(senders.tolist(), receivers.tolist(), strict=True)) == set(lattice.edges())


def test_watts_strogatz_rewires_the_given_share_and_keeps_in_degrees():
    num_nodes, degree, rewiring = 400, 10, 0.3
    rule = WattsStrogatz(degree, rewiring)
    senders, receivers = rule.edges(num_nodes, np.random.default_rng(0))
    assert (in_out(senders, receivers, num_nodes)[0] == degree).all()
    step = np.abs(senders - receivers)
    far = np.minimum(step, num_nodes - step) > degree // 2
    # A rewired sender can be an old neighbour by chance, with probability below degree / H.
    expected = num_nodes * degree * rewiring
    error = np.sqrt(expected * (1 - rewiring))
    assert expected * (1 - degree / num_nodes) - 5 * error < far.sum() < expected + 5 * error


def test_small_world_shortens_cycles():
    lattice, small_world = (
        make_graph("watts_strogatz", num_inputs=1, num_hidden=300, num_outputs=1, degree=3,
                   rewiring=rewiring, input_degree=0, output_degree=1, direct=True, repair=True)
        for rewiring in (0.0, 0.2)
    )  # fmt: skip
    lengths = []
    for graph in (lattice, small_world):
        made = to_networkx(graph, 1, 300, 1).subgraph(range(1, 301))
        steps = networkx.single_source_shortest_path_length(made, 1)
        lengths.append(np.mean(list(steps.values())))
    assert lengths[1] < 0.5 * lengths[0]


def test_barabasi_albert_has_hubs_both_ways_and_loops():
    num_nodes, degree = 3000, 4
    generator = np.random.default_rng(0)
    hubs = BarabasiAlbert(degree).edges(num_nodes, generator)
    flat = ErdosRenyi(degree).edges(num_nodes, generator)
    for of_hubs, of_flat in zip(in_out(*hubs, num_nodes), in_out(*flat, num_nodes), strict=True):
        assert of_hubs.max() > 3 * of_flat.max()
    graph = make_graph("barabasi_albert", num_inputs=1, num_hidden=500, num_outputs=1, degree=4)
    assert census(graph, 1, 500, 1, num_samples=5).hidden_share > 0.8


def test_barabasi_albert_tail_follows_the_power_law():
    # Undirected degree k >= m occurs with 2 m (m + 1) / (k (k + 1) (k + 2)) (Bollobás et al. 2001).
    num_nodes, m = 20_000, 4
    hubs = BarabasiAlbert(m).edges(num_nodes, np.random.default_rng(1))
    total = np.add(*in_out(*hubs, num_nodes))
    for low in (8, 16, 32):
        expected = num_nodes * m * (m + 1) / (low * (low + 1))
        # Degrees of a graph depend on each other: three times the independent error is allowed.
        assert abs((total >= low).sum() - expected) < 15 * np.sqrt(expected)


def test_preferential_draws_by_rank_and_by_redrawing_agree():
    weights, count, num_runs = [6, 3, 1, 2, 4, 1], 3, 3000
    endpoints = [node for node, weight in enumerate(weights) for _ in range(weight)]
    ranked, redrawn = np.zeros(12), np.zeros(12)
    generator = np.random.default_rng(0)
    for _ in range(num_runs):
        ranked[graphs._prefer_ranked(generator, weights, count)] += 1
        redrawn[graphs._prefer_redrawn(generator, endpoints, count)] += 1
    assert abs(chi_square(ranked, redrawn, num_runs)) < 5


def test_preferential_weights_are_degrees(monkeypatch: pytest.MonkeyPatch):
    sums: list[int] = []
    ranked = graphs._prefer_ranked
    monkeypatch.setattr(
        graphs,
        "_prefer_ranked",
        lambda generator, weights, count: (
            sums.append(sum(weights)) or ranked(generator, weights, count)
        ),
    )
    BarabasiAlbert(6).edges(20, np.random.default_rng(0))
    quota = graphs._arrivals(20, 120)
    # Both ends of every edge so far, and one for the first node.
    assert sums == [1 + 2 * int(quota[:node].sum()) for node in range(len(sums))]
    assert len(sums) > 5


@pytest.mark.parametrize("num_hidden", [300, 3000])  # every pair looked at; thinned
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_waxman_prefers_near_nodes(num_hidden: int, dimension: int):
    graph = make_graph("waxman", num_inputs=1, num_hidden=num_hidden, num_outputs=1,
                       dimension=dimension, degree=8, seed=3)  # fmt: skip
    places = Waxman(dimension=dimension).positions(num_hidden, np.random.default_rng(3))
    senders, receivers = hidden_edges(graph, 1, num_hidden)
    linked = np.linalg.norm(places[senders] - places[receivers], axis=1).mean()
    anyone = np.linalg.norm(places - places[::-1], axis=1).mean()
    assert linked < 0.6 * anyone


@pytest.mark.parametrize("scale", [0.05, 0.3, 3.0])
def test_waxman_thinned_equals_every_pair(scale: float):
    num_nodes, count, num_runs = 41, 150, 400
    positions = np.random.default_rng(0).random((num_nodes, 2)) / scale
    seen = np.zeros((2, num_nodes, num_nodes))
    for seed in range(num_runs):
        for table, draw in zip(seen, (graphs._near_ranked, graphs._near_thinned), strict=True):
            senders, receivers = draw(positions, count, np.random.default_rng(seed))
            assert len(senders) == count
            assert (senders != receivers).all()
            table[receivers, senders] += 1
    assert seen.max() <= num_runs  # no pair twice in a run
    assert abs(chi_square(seen[0], seen[1], num_runs)) < 5


def test_waxman_thinning_keeps_the_first_arrival():
    # Everyone at one place, so rate 1; below 0.3 all pairs are thinned.
    positions, limit = np.random.default_rng(0).random((300, 2)) * 1e-9, 0.29
    leaves = graphs._leaves(positions)
    _, _, log_time = graphs._arrived(positions, leaves, np.log(limit), np.random.default_rng(1))
    all_pairs, chance = 300 * 299, 1 - np.exp(-limit)
    assert abs(len(log_time) - all_pairs * chance) < 5 * np.sqrt(all_pairs * chance * (1 - chance))
    mean = 1 - limit * np.exp(-limit) / chance  # of an exponential time, given that it is in time
    assert abs(np.exp(log_time).mean() - mean) < 5 * limit / np.sqrt(12 * len(log_time))


@pytest.mark.parametrize("beta", [1e-9, 1e-3, 1e9])
def test_waxman_extreme_reach(beta: float):
    rule = Waxman(degree=4, beta=beta)
    senders, receivers = rule.edges(2100, np.random.default_rng(0))
    assert len(np.unique(receivers * 2100 + senders)) == 8400
    places = rule.positions(2100, np.random.default_rng(0))
    length = np.linalg.norm(places[senders] - places[receivers], axis=1)
    if beta == 1e-9:  # the shortest of all, up to ties: a pair is as long both ways
        everyone = np.linalg.norm(places[:, None] - places, axis=2)
        shortest = np.sort(everyone[~np.eye(2100, dtype=bool)])[:8400]
        np.testing.assert_allclose(np.sort(length), shortest)
    if beta == 1e9:  # anyone: mean distance in the unit square 0.5214, standard deviation 0.248
        assert abs(length.mean() - 0.5214) < 5 * 0.248 / np.sqrt(2100)


def test_waxman_probability_falls_as_stated():
    # Three nodes on a line; one edge: pairs at distance 1 beat the pair at 2 by a factor e.
    positions = np.array([[0.0], [1.0], [2.0]])
    num_runs = 4000
    far = 0
    for seed in range(num_runs):
        (sender,), (receiver,) = graphs._near_ranked(positions, 1, np.random.default_rng(seed))
        far += abs(sender - receiver) == 2
    chance = np.exp(-2) / (np.exp(-2) + 2 * np.exp(-1))
    assert abs(far - num_runs * chance) < 5 * np.sqrt(num_runs * chance * (1 - chance))


def test_layered_is_acyclic_and_reads_only_at_its_ends():
    graph = make_graph(Layered((4, 3, 2)), num_inputs=2, num_hidden=9, num_outputs=2)
    assert graph.num_edges == 2 * 4 + 4 * 3 + 3 * 2 + 2 * 2
    assert (graph.senders < graph.receivers).all()
    found = census(graph, 2, 9, 2)
    assert (found.largest_component, found.girth, found.mean_cycle_length) == (0, None, None)
    assert (found.mean_path_length, found.max_path_length) == (4.0, 4)
    direct = make_graph(Layered(2), num_inputs=2, num_hidden=9, num_outputs=2, direct=True)
    assert census(direct, 2, 9, 2).max_path_length == 1
    back = make_graph(Layered(2), num_inputs=2, num_hidden=9, num_outputs=2, return_degree=1)
    assert census(back, 2, 9, 2).girth == 2


def test_port_degrees():
    graph = make_graph(**SIZES, degree=2, input_degree=2, output_degree=5, return_degree=1)
    check_edges(graph, 3, 30, 2)
    assert graph.num_edges == 30 * 2 + 30 * 2 + 2 * 5 + 30 * 1
    for node in range(3, 33):
        into = graph.senders[graph.receivers == node]
        assert ((into < 3).sum(), (into >= 33).sum()) == (2, 1)
    indirect = make_graph(**SIZES, degree=2, direct=False)
    assert (indirect.senders[indirect.receivers >= 33] >= 3).all()


# ----------------------------------------------------------------------------------------- stacks


def test_make_graphs_stacks_different_graphs_of_one_size():
    stack = make_graphs("waxman", **SIZES, num_graphs=3, degree=4, seed=5)
    assert {part.shape for part in stack} == {(3, stack.num_edges)}
    for g in range(3):
        one = Graph(*(part[g] for part in stack))
        check_edges(one, 3, 30, 2)
        seed = np.random.SeedSequence(5, spawn_key=(g,))
        assert same(one, make_graph("waxman", **SIZES, degree=4, seed=seed))
    assert len({part.tobytes() for part in stack.senders}) == 3


def test_make_graphs_refuses_rules_whose_number_of_edges_varies():
    @dataclass_rule
    def varying(num_nodes: int, generator: np.random.Generator) -> Any:
        count = int(generator.integers(1, num_nodes))
        return np.arange(count), np.arange(count) + 1

    with pytest.raises(ValueError, match="as many edges"):
        make_graphs(varying, **SIZES, num_graphs=5)


def dataclass_rule(edges: Any) -> Any:
    """A rule from a function."""

    @dataclasses.dataclass(frozen=True)
    class Custom:
        def edges(self, num_nodes: int, generator: np.random.Generator) -> Any:
            return edges(num_nodes, generator)

    return Custom()


# -------------------------------------------------------------------------------- reaching outputs

LONELY: dict[str, Any] = {
    "connectivity": "erdos_renyi", "num_inputs": 1, "num_hidden": 40, "num_outputs": 6,
    "degree": 1, "input_degree": 0, "output_degree": 2,
}  # fmt: skip


def test_unreached_outputs_are_an_error_that_names_them():
    with pytest.raises(
        ValueError, match=r"no input reaches \d of 6 outputs: output \d \(node 4\d\)"
    ):
        make_graph(**LONELY)


def test_repair_reaches_all_outputs_and_keeps_every_count():
    fine = make_graph(**{**LONELY, "input_degree": 1}).num_edges - 40
    for seed in range(5):
        graph = make_graph(**LONELY, repair=True, seed=seed)
        check_edges(graph, 1, 40, 6)
        assert unreached_outputs(graph, 1, 40, 6) == []
        assert graph.num_edges == fine
        assert (np.bincount(graph.receivers, minlength=47)[41:] == 2).all()


def test_repair_prefers_reached_hidden_nodes_and_leaves_reached_outputs_alone():
    # 0 -> 1 -> output 3; hidden 2 -> output 4 is unreached.
    made = networkx.DiGraph([(0, 1), (1, 3), (2, 4)])
    with pytest.raises(ValueError, match=r"1 of 2 outputs: output 1 \(node 4\)\."):
        from_networkx(made, inputs=[0], outputs=[3, 4])
    graph = from_networkx(made, inputs=[0], outputs=[3, 4], repair=True)
    assert list(zip(graph.senders, graph.receivers, strict=True)) == [(0, 1), (1, 3), (1, 4)]


def test_repair_gives_an_edge_to_an_output_without_any():
    graph = make_graph(num_inputs=2, num_hidden=3, num_outputs=2, output_degree=0, degree=1,
                       repair=True)  # fmt: skip
    assert unreached_outputs(graph, 2, 3, 2) == []
    assert graph.num_edges == 3 * 2 + 3 + 2


def test_unreached_outputs_by_hand():
    graph = make((0, 1), (1, 2), (2, 1), (2, 4), (3, 5), num_nodes=6)
    assert unreached_outputs(graph, 1, 3, 2) == [1]
    assert unreached_outputs(graph, 1, 2, 3) == [0, 2]
    assert unreached_outputs(make(num_nodes=3), 1, 1, 1) == [0]


def test_without_inputs_nothing_can_be_reached_and_nothing_is_refused():
    graph = make_graph(num_inputs=0, num_hidden=5, num_outputs=2, degree=2)
    check_edges(graph, 0, 5, 2)
    assert unreached_outputs(graph, 0, 5, 2) == [0, 1]


# --------------------------------------------------------------------------------------- networkx


@pytest.mark.parametrize("name", CONNECTIVITY)
def test_networkx_round_trip(name: str):
    graph = make_graph(name, **SIZES, return_degree=1)
    made = to_networkx(graph, 3, 30, 2)
    assert [kind for _, kind in made.nodes(data="kind")][2:4] == ["input", "hidden"]
    assert same(graph, from_networkx(made, inputs=range(3), outputs=range(33, 35)))


def test_networkx_undirected_multi_loops_and_edges_into_inputs():
    made = networkx.MultiGraph([("i", "a"), ("a", "b"), ("a", "b"), ("b", "b"), ("b", "o")])
    graph = from_networkx(made, inputs=["i"], outputs=["o"])
    check_edges(graph, 1, 2, 1)
    # i=0, a=1, b=2, o=3: both ways, but for the edge into the input; the parity follows the order.
    assert list(zip(graph.senders, graph.receivers, strict=True)) == [
        (0, 1), (2, 1), (1, 2), (3, 2), (2, 3)
    ]  # fmt: skip
    assert np.sign(graph.receivers - graph.senders).tolist() == [1, -1, 1, -1, 1]
    assert graph.reverse.tolist() == [-1, 2, 1, 4, 3]


def test_networkx_labels_are_numbered_in_the_given_order():
    made = networkx.DiGraph([(("x", 1), "o"), ("y", ("x", 1)), (3, "y"), (4, "y")])
    graph = from_networkx(made, inputs=[4, 3], outputs=["o"])
    # 4 -> 0, 3 -> 1, ("x", 1) -> 2, "y" -> 3, "o" -> 4
    assert list(zip(graph.senders, graph.receivers, strict=True)) == [
        (3, 2),
        (0, 3),
        (1, 3),
        (2, 4),
    ]


def test_networkx_zoo_and_empty():
    zoo = networkx.karate_club_graph()
    graph = from_networkx(zoo, inputs=[0], outputs=[33])
    check_edges(graph, 1, 32, 1)
    empty = from_networkx(networkx.Graph())
    assert empty.num_edges == 0
    assert census(empty, 0, 0, 0).num_edges == 0


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["x"], [], "inputs must be nodes of the graph, got 'x'"),
        ([0, 0], [], "inputs must be different"),
        ([0], [1, 1], "outputs must be different"),
        ([0, 1], [1], r"got \[1\] in both"),
    ],
)
def test_networkx_refuses(inputs: list, outputs: list, message: str):
    with pytest.raises(ValueError, match=message):
        from_networkx(networkx.path_graph(3), inputs, outputs)


# ----------------------------------------------------------------------------------------- census


def test_census_ring_of_five():
    graph = make((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 1), (3, 6), num_nodes=7)
    assert census(graph, 1, 5, 1) == graphs.Census(
        num_nodes=7, num_edges=7, mean_in_degree=7 / 6, largest_component=5, hidden_share=1.0,
        num_cyclic_components=1, girth=5, mean_cycle_length=5.0, reciprocity=0.0,
        mean_path_length=4.0, max_path_length=4, exact=True,
    )  # fmt: skip


def test_census_two_cycle():
    found = census(make((0, 1), (1, 0), num_nodes=2), 0, 2, 0)
    assert (found.girth, found.reciprocity, found.largest_component) == (2, 1.0, 2)
    # Edges from inputs can have no opposite and do not count.
    found = census(make((0, 1), (1, 2), (2, 1), num_nodes=3), 1, 1, 1)
    assert (found.reciprocity, found.hidden_share) == (1.0, 1.0)


def test_census_acyclic():
    found = census(make((0, 1), (1, 2), (0, 2), num_nodes=3), 1, 1, 1)
    assert (found.girth, found.mean_cycle_length, found.num_cyclic_components) == (None, None, 0)
    assert (found.largest_component, found.hidden_share, found.reciprocity) == (0, 0.0, 0.0)
    assert (found.mean_path_length, found.max_path_length) == (1.0, 1)


def test_census_mixes_cycles_of_several_parts():
    # A triangle 0 1 2, an edge to a two-cycle 3 4, and a node 5 on no cycle.
    graph = make((0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (4, 5), num_nodes=6)
    found = census(graph, 0, 6, 0)
    assert (found.num_cyclic_components, found.largest_component) == (2, 3)
    assert (found.girth, found.hidden_share) == (2, 0.5)
    assert found.mean_cycle_length == pytest.approx((3 * 3 + 2 * 2) / 5)
    assert found.mean_path_length is None


@settings(deadline=None, max_examples=40)
@given(
    num_nodes=st.integers(2, 12), degree=st.floats(0, 3), seed=st.integers(0, 10**6),
    name=st.sampled_from(["erdos_renyi", "barabasi_albert", "waxman"]),
)  # fmt: skip
def test_census_agrees_with_networkx(num_nodes: int, degree: float, seed: int, name: str):
    degree = min(degree, num_nodes - 1)
    graph = make_graph(name, num_inputs=1, num_hidden=num_nodes, num_outputs=2, degree=degree,
                       input_degree=0, output_degree=1, repair=True, seed=seed)  # fmt: skip
    found = census(graph, 1, num_nodes, 2)
    made = to_networkx(graph, 1, num_nodes, 2)
    parts = [part for part in networkx.strongly_connected_components(made) if len(part) > 1]
    assert found.num_cyclic_components == len(parts)
    assert found.largest_component == max(map(len, parts), default=0)
    girths = [
        min(networkx.shortest_path_length(made, node, before) + 1
            for before in made.predecessors(node) if networkx.has_path(made, node, before))
        for part in parts for node in part
    ]  # fmt: skip
    assert found.girth == min(girths, default=None)
    assert found.mean_cycle_length == (pytest.approx(np.mean(girths)) if girths else None)
    steps = networkx.single_source_shortest_path_length(made, 0)
    lengths = [steps[node] for node in (num_nodes + 1, num_nodes + 2) if node in steps]
    assert found.mean_path_length == pytest.approx(np.mean(lengths))
    inner = made.subgraph(range(1, num_nodes + 3))
    expected = networkx.overall_reciprocity(inner) if inner.number_of_edges() else 0.0
    assert found.reciprocity == pytest.approx(expected)


def test_census_sample_and_text():
    graph = make_graph("ring", num_inputs=1, num_hidden=50, num_outputs=1)
    found = census(graph, 1, 50, 1, num_samples=3)
    assert not found.exact
    assert (found.girth, found.mean_cycle_length) == (50, 50.0)
    assert "shortest cycle       50 (from a sample of nodes)" in str(found)
    assert "sample" not in str(census(graph, 1, 50, 1))
    assert "shortest cycle       none" in str(census(make(num_nodes=3), 1, 1, 1))


# ----------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"num_hidden": -1}, ValueError, "num_hidden must be at least 0, got -1"),
        ({"num_inputs": 2.0}, TypeError, "num_inputs must be a whole number"),
        ({"num_outputs": "2"}, TypeError, "num_outputs must be a whole number"),
        ({"connectivity": "waxmann"}, ValueError, "Did you mean 'waxman'"),
        ({"connectivity": 3}, TypeError, "connectivity must be a name or an object"),
        ({"connectivity": Waxman}, TypeError, "connectivity must be a name or an object"),
        ({"connectivity": Waxman(4), "degree": 3}, ValueError, "degree must be given to the Waxman"),
        ({"connectivity": Waxman(4), "beta": 3}, ValueError, "beta must be given to the Waxman"),
        ({"connectivity": Waxman(31)}, ValueError, r"degree must be at most 29 \(num_hidden - 1\)"),
        ({"degree": 30}, ValueError, "degree must be at most 29"),
        ({"degree": -1}, ValueError, "degree must be at least 0"),
        ({"degree": 2.5}, TypeError, "degree must be a whole number"),
        ({"degree": float("nan")}, TypeError, "degree"),
        ({"connectivity": "waxman", "degree": float("inf")}, ValueError, "degree must be finite"),
        ({"connectivity": "complete", "degree": 3}, ValueError, "complete takes no options"),
        ({"connectivity": "waxman", "betta": 1}, ValueError, "Did you mean 'beta'"),
        ({"connectivity": "waxman", "alpha": 1}, ValueError, "Known: beta, degree, dimension"),
        ({"connectivity": "waxman", "beta": 0}, ValueError, "beta must be positive"),
        ({"connectivity": "waxman", "dimension": 0}, ValueError, "dimension must be at least 1"),
        ({"connectivity": "watts_strogatz", "rewiring": 2}, ValueError, "rewiring must lie between"),
        ({"connectivity": "layered", "layers": 31}, ValueError, "layers must be at most 30"),
        ({"connectivity": "layered", "layers": (4, 5)}, ValueError, "layers must add up to 30"),
        ({"connectivity": "layered", "layers": 0}, ValueError, "layers must be at least 1"),
        ({"connectivity": "layered", "layers": "2"}, TypeError, "layers must be a whole number"),
        ({"input_degree": 4}, ValueError, r"input_degree must be at most 3 \(number of inputs\)"),
        ({"output_degree": 34}, ValueError, "output_degree must be at most 33"),
        ({"return_degree": -1}, ValueError, "return_degree must be at least 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": "a"}, TypeError, "seed must be a whole number"),
        ({"repair": 1}, TypeError, "repair must be True or False"),
        ({"direct": 1}, TypeError, "direct must be True, False or None"),
        ({"direct": False, "num_hidden": 0}, ValueError, "no input reaches 2 of 2 outputs"),
    ],
)  # fmt: skip
def test_make_graph_refuses(changes: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        make_graph(**{**SIZES, **changes})


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (([0, 1], [1]), r"two arrays \[E\]"),
        (([0, 30], [1, 2]), r"nodes 0 \.\. 29"),
        (([0, 2], [1, 2]), "no self-loops"),
        (([0, 0], [1, 1]), "only once"),
    ],
)
def test_other_peoples_rules_are_checked(edges: Any, message: str):
    with pytest.raises(ValueError, match=message):
        make_graph(dataclass_rule(lambda *_: edges), **SIZES)
    with pytest.raises(TypeError, match="whole numbers"):
        make_graph(dataclass_rule(lambda *_: ([0.5], [1.5])), **SIZES)


def test_other_refusals():
    stack = make_graphs(num_graphs=2, num_inputs=1, num_hidden=3, num_outputs=1)
    with pytest.raises(ValueError, match="single graph"):
        census(stack, 1, 3, 1)
    with pytest.raises(ValueError, match="must cover every node of the graph, got 4 and node 4"):
        unreached_outputs(Graph(*(part[0] for part in stack)), 1, 2, 1)
    with pytest.raises(ValueError, match="num_graphs must be at least 1"):
        make_graphs(num_graphs=0, **SIZES)
    with pytest.raises(TypeError, match="networkx graph"):
        from_networkx([(0, 1)])  # type: ignore[arg-type]


def test_memory_feeds_the_first_layer_alone():
    """In front of layers a memory pool is what inputs are."""
    wiring = graphs.Pools(4, graphs.Complete(), Layered((3, 2)))
    made = make_graph(wiring, num_inputs=2, num_hidden=9, num_outputs=1)
    feeds = {r: {int(s) for s in made.senders[made.receivers == r]} for r in range(12)}
    inputs, memory, first, last = {0, 1}, {2, 3, 4, 5}, {6, 7, 8}, {9, 10}
    assert all(feeds[node] == inputs | memory - {node} for node in memory)
    assert all(feeds[node] == inputs | memory for node in first)
    assert all(feeds[node] == first for node in last)
    assert feeds[11] == last
    # Without layers, outputs and hidden nodes read all there is.
    made = make_graph(graphs.Pools(4), num_inputs=2, num_hidden=9, num_outputs=1)
    assert (made.receivers == 11).sum() == 11 and (made.receivers == 10).sum() == 6
