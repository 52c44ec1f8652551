"""The network: by hand, against plain loops and true gradients; layouts, controls, feedback."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import graph_of, live, run, small, some_fast, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rules import CASES, supplied

from loopymeta import rules
from loopymeta._wiring import HIDDEN, OUTPUT, Bundles, Layout
from loopymeta.graph import Graph, make_graph
from loopymeta.network import EDGE_CLASSES, Innate, LoopyNetwork, Teaching
from loopymeta.written import Written

LEAKY = Innate(leak_low=0.3, leak_high=0.9)


def with_edges(net, wiring, state, weights):
    """``state`` with the weights [E] given in the graph's edge order."""
    parts = jnp.split(jnp.asarray(weights), np.cumsum(net.num_edges)[:-1])
    bundles = zip(net.layouts, wiring.wires, parts, strict=True)
    return state._replace(
        weight=Bundles(*(layout.from_edges(w, part) for layout, w, part in bundles))
    )


# --- by hand -------------------------------------------------------------------------------------


def test_three_nodes_by_hand():
    """Input 0, hidden 1, output 2, and the edge 2 -> 1 back: two ticks, every number by hand."""
    graph = graph_of([(0, 1), (2, 1), (1, 2)], 3)
    net = LoopyNetwork.for_graph(
        graph, rules.Hebb(eta=0.5), num_inputs=1, num_hidden=1, num_outputs=1, bias=False,
        output_rule=rules.Delta(eta=0.1, normalised=False), loss="squared_error",
        innate=Innate(leak_low=0.5, leak_high=0.5), activation="relu",
    )  # fmt: skip
    theta, wiring = net.init_theta(), net.wire(graph)
    state = with_edges(net, wiring, net.init(jax.random.key(0), wiring), [2.0, 3.0, -1.0])
    state, y = net.step(theta, wiring, state, jnp.array([1.0]), Teaching(jnp.array([1.0])))
    # drive 2, hidden 0.5 * 2 = 1, output -1 (it reads the hidden node of this tick), error 2
    np.testing.assert_allclose(state.activity, [1, 1, -1])
    np.testing.assert_allclose(y, [-1])
    # input edge + 0.5 * 1 * 1; the returning edge carried 0; output edge + 0.1 * 1 * 2
    np.testing.assert_allclose(net.edge_values(wiring, state.weight), [2.5, 3.0, -0.8], rtol=1e-6)
    state, y = net.step(theta, wiring, state, jnp.array([2.0]))
    # drive 2.5 * 2 + 3 * -1 = 2, hidden 0.5 * 1 + 0.5 * 2 = 1.5, output -0.8 * 1.5
    np.testing.assert_allclose(state.activity, [2, 1.5, -1.2], rtol=1e-6)
    # nothing is taught, but Hebb goes on: 0.5 * 2 * 1.5, 0.5 * -1 * 1.5
    np.testing.assert_allclose(net.edge_values(wiring, state.weight), [4.0, 2.25, -0.8], rtol=1e-6)
    assert float(state.age) == 2


# --- plain loops over nodes and edges ------------------------------------------------------------


def plain_loops(net, graph, weight, leak, stimuli, targets, hidden_rule, eta, output_eta):
    """What the network should do, slowly: yields (prediction, weights) of each tick."""
    edges = list(zip(graph.senders.tolist(), graph.receivers.tolist(), strict=True))
    weight, first, last = list(weight), net.num_inputs, net.num_inputs + net.num_hidden
    activity, eligibility = [0.0] * net.num_nodes, [0.0] * len(edges)
    for stimulus, target in zip(stimuli, targets, strict=True):
        activity[:first] = [*stimulus, 1.0]
        before, drive = list(activity), [0.0] * net.num_nodes
        for k, (i, j) in enumerate(edges):
            if j < last:
                drive[j] += weight[k] * before[i]
        for j in range(first, last):
            activity[j] = (1 - leak[j - first]) * before[j] + leak[j - first] * np.tanh(drive[j])
        heard = before[:first] + activity[first:last] + before[last:]
        for k, (i, j) in enumerate(edges):
            if j >= last:
                drive[j] += weight[k] * heard[i]
        powers = [np.exp(u - max(drive[last:])) for u in drive[last:]]
        activity[last:] = [power / sum(powers) for power in powers]
        error = [t - y for t, y in zip(target, activity[last:], strict=True)]
        feedback = [0.0] * net.num_nodes
        for k, (i, j) in enumerate(edges):
            if j >= last and first <= i < last:
                feedback[i] += weight[k] * error[j - last]
        for k, (i, j) in enumerate(edges):
            if j >= last:
                weight[k] += output_eta * heard[i] * error[j - last]
            elif hidden_rule == "oja":
                weight[k] += eta * activity[j] * (before[i] - activity[j] * weight[k])
            else:
                a, slope = leak[j - first], 1 - np.tanh(drive[j]) ** 2
                eligibility[k] = (1 - a) * eligibility[k] + a * slope * before[i]
                weight[k] += eta * eligibility[k] * feedback[j]
        yield np.array(drive[last:]), np.array(weight)


@pytest.mark.parametrize("rule", [rules.RFLO(eta=0.2), rules.Oja(eta=0.1)], ids=["rflo", "oja"])
def test_plain_loops_agree(rule):
    output_rule = rules.Delta(eta=0.2, normalised=False)
    net, graph = small(rule, hidden=8, output_rule=output_rule, innate=LEAKY, returns=1)
    _, predictions, weights = live(net, graph)
    newborn = net.init(jax.random.key(0), graph)
    stimuli, targets = stream(jax.random.key(100), 50, 3, 2)
    name = type(rule).__name__.lower()
    start = np.asarray(net.edge_values(graph, newborn.weight), float)
    loops = plain_loops(
        net, graph, start, np.asarray(newborn.leak, float), np.asarray(stimuli),
        np.asarray(targets), name, rule.eta, output_rule.eta,
    )  # fmt: skip
    expected = list(loops)
    np.testing.assert_allclose(predictions, [p for p, _ in expected], atol=1e-5)
    np.testing.assert_allclose(weights, [w for _, w in expected], atol=1e-5)
    assert np.abs(np.asarray(weights[-1]) - start).max() > 0.1


# --- true gradients ------------------------------------------------------------------------------


def directions(net, graph, state, stimuli, targets):
    """[E] the sum of all changes over a lifetime, per unit of eta, with the weights held still.

    The weights after a lifetime, differentiated by eta at eta = 0: no rate is too small.
    """
    wiring = net.wire(graph)

    def after(eta):
        theta = net.init_theta()
        theta["rule"]["eta"] = eta
        return run(net, theta, wiring, state, stimuli, targets)[2][-1]

    return jax.jit(lambda: jax.jvp(after, (jnp.zeros(()),), (jnp.ones(()),))[1])()


def descent(net, graph, state, stimuli, targets, keep=lambda hidden, at: hidden):
    """[E] minus the gradient of a lifetime's loss, by plain reverse-mode differentiation.

    Written again from the equations, without the network's own step. ``keep`` may stop gradients.
    """
    num, first, last = net.num_nodes, net.num_inputs, net.num_inputs + net.num_hidden
    wiring = net.wire(graph)
    edges = net.edge_values(wiring, state.weight)
    phi = {"tanh": jnp.tanh, "linear": lambda u: u}[net.activation]

    def loss(edges):
        matrix = jnp.zeros((num, num)).at[graph.receivers, graph.senders].set(edges)
        hidden, total = jnp.zeros(net.num_hidden), 0.0
        for at, (stimulus, target) in enumerate(zip(stimuli, targets, strict=True)):
            inputs = jnp.concatenate([stimulus, jnp.ones(1)])
            heard = jnp.concatenate([inputs, hidden, jnp.zeros(num - last)])
            value = phi(matrix[first:last] @ heard)
            hidden = keep(hidden, at) * (1 - state.leak) + state.leak * value
            drive = matrix[last:, :last] @ jnp.concatenate([inputs, hidden])
            total = total - (target * jax.nn.log_softmax(drive)).sum()
        return total

    return -jax.jit(jax.grad(loss))(edges)


def gradient_case(rule, *, edges=None, ticks=7, leak=(0.3, 0.9), seed=0, hidden=5):
    """A network, its newborn with output synapses of size, and a short stream."""
    innate = Innate(leak_low=leak[0], leak_high=leak[1], output_gain=1.0, direct_gain=0.5)
    options = {"innate": innate, "memory_rule": None}
    if edges is None:
        net, graph = small(rule, hidden=hidden, degree=2, seed=seed, **options)
    else:
        graph = graph_of(edges, 4 + hidden + 2)
        net = LoopyNetwork.for_graph(
            graph, rule, num_inputs=4, num_hidden=hidden, num_outputs=2, **options
        )
    state = net.init(jax.random.key(seed), graph)
    return net, graph, state, *stream(jax.random.key(1), ticks, 3, 2)


INPUTS = [(i, h) for i in range(4) for h in range(4, 9)]
READ = [(s, o) for s in range(9) for o in (9, 10)]
CHAIN = [(0, 4), (1, 4), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9), (8, 10)]


def test_rflo_without_recurrence_is_the_gradient(x64):
    case = gradient_case(rules.RFLO(), edges=INPUTS + READ)
    np.testing.assert_allclose(directions(*case), descent(*case), rtol=0, atol=1e-10)


def test_rflo_with_recurrence_is_not_the_gradient(x64):
    case = gradient_case(rules.RFLO())
    assert np.abs(directions(*case) - descent(*case)).max() > 1e-3


@pytest.mark.parametrize(
    "relays, exact", [pytest.param(4, True, marks=pytest.mark.slow), (3, False)]
)
def test_relays_reach_as_far_as_they_say(relays, exact, x64):
    """In a chain of five hidden nodes the first synapse's credit needs four hops."""
    case = gradient_case(rules.RFLO(relays=relays), edges=CHAIN, ticks=9, leak=(1.0, 1.0))
    off = np.abs(directions(*case) - descent(*case))
    first = case[1].receivers == 4
    assert np.abs(descent(*case)[first]).min() > 1e-6
    assert (off.max() < 1e-10) == exact
    assert off[~first].max() < 1e-10
    assert (off[first].max() < 1e-10) == exact


@pytest.mark.parametrize("leak", [(1.0, 1.0), (0.3, 0.9)])
@pytest.mark.parametrize("relays", some_fast([0, 1, 2, 6], [2, 6]))
def test_relays_are_truncated_backpropagation(relays, leak, x64):
    """The gradient of each tick's loss through the last relays + 1 ticks, and RFLO's before."""
    case = gradient_case(rules.RFLO(relays=relays), leak=leak)
    net, graph, state, stimuli, targets = case
    total = 0.0
    for at in range(len(stimuli)):  # one tick's loss, cut off `relays` ticks before
        total = total + tick_descent(net, graph, state, stimuli, targets, at, at - relays)
    np.testing.assert_allclose(directions(*case), total, rtol=0, atol=1e-10)
    if relays >= len(stimuli) - 1:
        np.testing.assert_allclose(directions(*case), descent(*case), rtol=0, atol=1e-10)


def tick_descent(net, graph, state, stimuli, targets, at, start):
    """Minus the gradient of one tick's loss.

    No gradient flows along hidden edges up to tick ``start``, only through what waits in a node.
    """
    num, first, last = net.num_nodes, net.num_inputs, net.num_inputs + net.num_hidden

    def loss(edges):
        matrix = jnp.zeros((num, num)).at[graph.receivers, graph.senders].set(edges)
        hidden = jnp.zeros(net.num_hidden)
        for t in range(at + 1):
            heard = jax.lax.stop_gradient(hidden) if t <= start else hidden
            heard = jnp.concatenate([stimuli[t], jnp.ones(1), heard])
            value = jnp.tanh(matrix[first:last, :last] @ heard)
            hidden = (1 - state.leak) * hidden + state.leak * value
        drive = matrix[last:, :last] @ jnp.concatenate([stimuli[at], jnp.ones(1), hidden])
        return -(targets[at] * jax.nn.log_softmax(drive)).sum()

    return -jax.grad(loss)(net.edge_values(net.wire(graph), state.weight))


# --- layouts -------------------------------------------------------------------------------------

MODES = {
    "target": {"teaching": "target"},
    "reward": {"teaching": "reward"},
    "prediction": {"teaching": "prediction"},
    "none": {"teaching": "none"},
    "kolen_pollack": {"feedback": "kolen_pollack"},
    "random": {"feedback": "random"},
    "returning": {"feedback": "returning", "returns": 1},
    "no feedback": {"feedback": "none"},
    "per_class": {"sharing": "per_class"},
    "per_node_type": {"sharing": "per_node_type", "num_node_types": 2},
    "per_synapse": {"sharing": "per_synapse"},
    "k_winners": {"activation": "k_winners", "groups": 2, "winners": 2},
    "softmax": {"activation": "softmax", "groups": 3, "temperature": 0.7},
    "squared": {"loss": "squared_error", "activation": "gelu"},
    "last tick": {"same_tick_readout": False, "returns": 2},
    "noisy": {"noise": 0.1},
    "shuffled": {"control": "shuffled"},
    "memory": {"num_memory": 2, "memory_rule": None},
    "memory, per class": {"num_memory": 3, "memory_rule": None, "sharing": "per_class"},
    "memory, per synapse": {"num_memory": 3, "memory_rule": None, "sharing": "per_synapse"},
    "uneven": {"wired": "erdos_renyi", "feedback": "kolen_pollack"},
    "returning, memory": {"feedback": "returning", "returns": 1, "num_memory": 3},
}


def spread(net, theta):
    """Theta with owners that differ, where it has owners."""
    if net.sharing == "shared":
        return theta
    key = jax.random.key(5)
    parts = {
        name: jax.tree.map(lambda x: x * jnp.exp(0.3 * jax.random.normal(key, x.shape)), part)
        for name, part in theta.items()
        if name != "innate"
    }
    return theta | parts


def both_layouts(rule, ticks=50, **options):
    """(predictions, weights) of the dense and of the sparse layout."""
    results = []
    for layout in ("dense", "sparse"):
        net, graph = small(rule, layout=layout, **({"innate": LEAKY} | supplied(rule) | options))
        assert {each.dense for each in net.layouts} == {layout == "dense"}
        theta = spread(net, net.init_theta())
        results.append(live(net, graph, ticks=ticks, theta=theta, reward=0.5)[1:])
    return results


def assert_same(dense, sparse, tolerance=1e-5):
    for a, b in zip(dense, sparse, strict=True):
        scale = max(1.0, float(jnp.abs(b).max()))
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, atol=tolerance * scale)
    return sparse


RULES_BY_LAYOUT = {
    name: rule for name, rule in CASES.items() if not name.startswith(("general, p", "written"))
}


FAST_RULES = (
    "hpca subspace",
    "shifted_hpca",
    "normalised l1",
    "running rflo",
    "node_perturbation",
    "delta",
    "competitive",
    "mlp, all fields",
)


@pytest.mark.parametrize("name", some_fast(RULES_BY_LAYOUT, FAST_RULES))
def test_sparse_is_masked_dense_for_every_rule(name):
    assert_same(*both_layouts(RULES_BY_LAYOUT[name], memory_rule=None, num_memory=2))


FAST_MODES = (
    "kolen_pollack",
    "random",
    "returning, memory",
    "per_class",
    "per_node_type",
    "k_winners",
    "last tick",
    "noisy",
    "uneven",
    "memory, per synapse",
)


@pytest.mark.parametrize("mode", some_fast(MODES, FAST_MODES))
def test_sparse_is_masked_dense_in_every_mode(mode):
    rule = rules.RunningScale(rules.RFLO(relays=1), eta=0.01, eps=0.1, momentum=False)
    if mode in ("none", "reward", "prediction"):
        rule = rules.Decayed(rules.HPCA(eta=0.01))
    _, weights = assert_same(*both_layouts(rule, **MODES[mode]))
    assert jnp.abs(weights[-1] - weights[0]).max() > 1e-4


@pytest.mark.slow
@given(st.integers(0, 2**31 - 1), st.sampled_from((9, 12, 24)), st.booleans())
@settings(max_examples=6)
def test_layouts_are_sums_over_edges(seed, num_edges, lanes):
    """Every sum of a layout, dense or sparse, against a loop over its edges."""
    num_receivers, num_nodes = 4, 6
    generator = np.random.default_rng(seed)
    if num_edges == 12:  # equally many edges onto each receiver
        chosen = [
            row * num_nodes + generator.choice(num_nodes, 3, replace=False) for row in range(4)
        ]
        chosen = np.concatenate(chosen)
    else:
        chosen = generator.choice(num_receivers * num_nodes, num_edges, replace=False)
    local, senders = np.divmod(np.sort(chosen), num_nodes)
    behind = (2,) if lanes else ()
    normal = lambda num: generator.normal(size=(num, *behind)).astype(np.float32)  # noqa: E731
    weight, nodes, heads = normal(num_edges), normal(num_nodes), normal(num_receivers)
    forward, into, backward = np.zeros_like(heads), np.zeros_like(heads), np.zeros_like(nodes)
    upto = np.zeros_like(weight)
    for k, (j, i) in enumerate(zip(local, senders, strict=True)):
        forward[j] += weight[k] * nodes[i]
        into[j] += weight[k]
        backward[i] += weight[k] * heads[j]
        upto[k] = backward[i]  # edges come in the order of their receivers
    ways = [(True, False), (False, False)]
    if (np.bincount(local, minlength=num_receivers) == num_edges / num_receivers).all():
        ways.append((False, True))
    for dense, even in ways:
        layout = Layout(dense, 3, num_receivers, num_nodes, num_edges, even)
        wires = layout.wires(senders, local + 3)
        w = layout.from_edges(wires, jnp.asarray(weight))
        until = layout.cumulative_backward(wires, w, jnp.asarray(heads))
        for found, expected in (
            (layout.forward(wires, w, jnp.asarray(nodes)), forward),
            (layout.sum_in(wires, w), into),
            (layout.backward(wires, w, jnp.asarray(heads)), backward),
            (layout.to_edges(wires, until), upto),
            (layout.to_edges(wires, w), weight),
        ):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_layout_is_chosen_by_density():
    dense, _ = small(rules.Oja(), hidden=6, degree=5)
    sparse, _ = small(rules.Oja(), inputs=1, hidden=60, outputs=2, degree=2)
    assert dense.layouts.hidden.dense and not dense.lanes
    assert not sparse.layouts.hidden.dense and sparse.lanes


# --- locality ------------------------------------------------------------------------------------

WEIGHT_FIELDS = {  # what a synapse may learn of others' weights, by the fields that its rule names
    "reconstruction": "same sender", "sanger": "same sender", "shifted": "same sender",
    "norm": "same receiver", "norm1": "same receiver",
}  # fmt: skip


def allowed(net, graph, rule):
    """[E, E] which other weights a synapse's change may depend on."""
    may = np.eye(len(graph.senders), dtype=bool)
    for use in rule.uses & WEIGHT_FIELDS.keys():
        ends = graph.senders if WEIGHT_FIELDS[use] == "same sender" else graph.receivers
        may |= ends[:, None] == ends[None]
    return may


@functools.cache
def lived_state(rule, **choices):
    """A network in the middle of its life."""
    choices = {"feedback": "random", "innate": LEAKY} | supplied(rule) | choices
    net, graph = small(rule, layout="sparse", **choices)
    return net, graph, net.init_theta(), live(net, graph, ticks=3, reward=0.5)[0]


@pytest.mark.parametrize(
    "name",
    some_fast(
        [n for n in CASES if CASES[n].hops == 0],
        (
            "hpca",
            "shifted_hpca",
            "normalised",
            "general, all",
            "delta",
            "competitive",
            "rflo",
            "running_scale",
        ),
    ),
)
def test_a_change_depends_on_no_other_weight(name):
    """The Jacobian of all changes by all weights, at fixed activities."""
    rule = CASES[name]
    net, graph, theta, state = lived_state(rule)
    wiring = net.wire(graph)

    def change(weights):
        with_weights = with_edges(net, wiring, state, weights)
        teaching = Teaching(jnp.array([1.0, 0.0]), reward=0.5)
        after = net.teach(theta, wiring, with_weights, teaching, jax.random.key(2))
        return net.edge_values(wiring, after.weight) - weights

    jacobian = np.asarray(jax.jit(jax.jacfwd(change))(net.edge_values(wiring, state.weight)))
    others = jacobian * ~allowed(net, graph, rule)
    assert np.abs(others).max() == 0
    elsewhere = jacobian * ~np.eye(len(jacobian), dtype=bool)
    if rule.uses & WEIGHT_FIELDS.keys():
        assert np.abs(elsewhere).max() > 0


def test_shared_feedback_reads_output_weights_only():
    """Feedback along the output synapses, relayed over hidden ones, is the declared exception."""
    for relays in (0, 1):
        net, graph = small(rules.RFLO(relays=relays), layout="sparse", innate=LEAKY, hidden=5)
        theta, wiring = net.init_theta(), net.wire(graph)
        state = live(net, graph, ticks=3)[0]

        def change(weights, net=net, wiring=wiring, state=state, theta=theta):
            after = net.teach(
                theta,
                wiring,
                with_edges(net, wiring, state, weights),
                Teaching(jnp.array([1.0, 0.0])),
            )
            return net.edge_values(wiring, after.weight) - weights

        jacobian = np.asarray(jax.jit(jax.jacfwd(change))(net.edge_values(wiring, state.weight)))
        output = graph.receivers >= 4 + 5
        mine = graph.receivers[:, None] == graph.senders[None]  # my receiver's outgoing edges
        may = np.eye(len(jacobian), dtype=bool)
        may |= (~output)[:, None] & output[None] & (mine if relays == 0 else True)
        may |= (~output)[:, None] & (relays > 0) & mine
        assert np.abs(jacobian * ~may).max() == 0
        assert np.abs(jacobian[~output][:, output]).max() > 0


# --- relabelling ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    some_fast(
        ("rflo relayed", "oja", "hpca subspace", "bcm", "normalised", "delta", "competitive"),
        ("rflo relayed", "hpca subspace", "normalised"),
    ),
)
def test_relabelling_hidden_nodes_permutes_the_result(name):
    rule = CASES[name]
    net, graph = small(rule, hidden=7, returns=1, feedback="random", innate=LEAKY)
    theta, num = net.init_theta(), net.num_inputs
    order = np.arange(net.num_nodes)
    order[num : num + 7] = num + np.random.default_rng(1).permutation(7)  # new name of each node
    pairs = np.stack([order[graph.senders], order[graph.receivers]], 1)
    other = graph_of([tuple(pair) for pair in pairs.tolist()], net.num_nodes)
    edge = np.lexsort((pairs[:, 0], pairs[:, 1]))  # old number of each new edge
    node = np.argsort(order)  # old name of each new node
    hidden = node[num : num + 7] - num
    stimuli, targets = stream(jax.random.key(3), 30, 3, 2)
    other_net = LoopyNetwork.for_graph(
        other, rule, num_inputs=num, num_hidden=7, num_outputs=2, feedback="random", innate=LEAKY
    )

    @jax.jit
    def both():
        state = net.init(jax.random.key(0), graph, theta)
        renamed = with_edges(
            other_net, other_net.wire(other), other_net.init(jax.random.key(0), other, theta),
            net.edge_values(graph, state.weight)[edge],
        )  # fmt: skip
        renamed = renamed._replace(leak=state.leak[hidden], feedback=state.feedback[hidden])
        first = run(net, theta, graph, state, stimuli, targets)
        return first, run(other_net, theta, other, renamed, stimuli, targets)

    (state, predictions, weights), (after, predictions_after, weights_after) = both()
    np.testing.assert_allclose(predictions_after, predictions, atol=1e-5)
    np.testing.assert_allclose(weights_after, weights[:, edge], atol=1e-5)
    np.testing.assert_allclose(after.activity, state.activity[node], atol=1e-5)


# --- controls ------------------------------------------------------------------------------------


def controlled(control, rule=None, **options):
    rule = rules.Decayed(rules.RFLO(eta=0.1)) if rule is None else rule
    net, graph = small(rule, control=control, feedback="kolen_pollack", **options)
    return live(net, graph)


def test_frozen_is_zero_is_no_rule_exactly():
    frozen, zero = controlled("frozen"), controlled("zero")
    none = controlled("none", rules.Zero(), innate=Innate(feedback_decay=0.0))
    for a, b in ((frozen, zero), (frozen, none)):
        np.testing.assert_array_equal(a[2], b[2])
        # The same sums, but compiled into other programs: equal but for the last digit.
        np.testing.assert_allclose(a[1], b[1], atol=1e-6)
    assert (frozen[2] == frozen[2][:1]).all()
    assert jnp.abs(controlled("none")[2][-1] - frozen[2][-1]).max() > 0.1


@pytest.mark.parametrize("change", [np.inf, np.nan])
@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_nothing_gets_through_to_frozen_weights(change, layout):
    """Neither in the frozen control nor where the weights freeze in mid-life."""

    @dataclasses.dataclass(frozen=True)
    class Bursting(rules.Rule):
        change: float = np.inf

        def update(self, theta, trace, synapse):
            return jnp.full_like(synapse.weight, self.change), trace

    options = {"layout": layout, "feedback": "kolen_pollack"}
    weights = live(*small(Bursting(change), control="frozen", **options), ticks=3)[2]
    zero = live(*small(Bursting(change), control="zero", **options), ticks=3)[2]
    np.testing.assert_array_equal(weights, zero)
    net, graph = small(Bursting(change), **options)
    state = net.init(jax.random.key(0), graph)
    stimulus, target = jnp.ones(3), jnp.array([1.0, 0.0])
    for plastic in (1.0, 0.0):
        teaching = Teaching(target, plastic=plastic)
        after, _ = net.step(net.init_theta(), graph, state, stimulus, teaching)
        for old, new in zip(
            jax.tree.leaves((state.weight, state.feedback)),
            jax.tree.leaves((after.weight, after.feedback)),
            strict=True,
        ):
            assert (old == new).all() == (plastic == 0 or not old.size)


@pytest.mark.parametrize(
    "name",
    some_fast(["oja", "rflo relayed", "delta", "running_scale", "fast_slow"], ["rflo relayed"]),
)
def test_rate_zero_changes_nothing(name):
    net, graph = small(CASES[name])
    theta = net.init_theta()
    none = {key: jnp.zeros_like(value) if key == "eta" or "gain" in key or key == "decay" else value
            for key, value in theta["rule"].items()}  # fmt: skip
    _, predictions, weights = live(net, graph, theta=theta | {"rule": none})
    _, expected, still = live(*small(rules.Zero()))
    np.testing.assert_array_equal(weights, still)
    np.testing.assert_allclose(predictions, expected, atol=1e-6)


def test_shuffled_changes_move_among_a_bundles_edges():
    """The changes of one tick are the same numbers, on other edges of the same bundle."""
    changes = {}
    for control in ("none", "shuffled"):
        for layout in ("dense", "sparse"):
            net, graph = small(rules.RFLO(eta=0.1), control=control, layout=layout)
            wiring, theta = net.wire(graph, jax.random.key(3)), net.init_theta()
            state = net.init(jax.random.key(0), wiring, theta)
            stimuli, targets = stream(jax.random.key(1), 3, 3, 2)
            step = jax.jit(
                lambda s, x, t, net=net, wiring=wiring, theta=theta: net.step(
                    theta, wiring, s, x, Teaching(t)
                )[0]
            )
            after = step(
                step(state, stimuli[0], targets[0])._replace(weight=state.weight),
                stimuli[1],
                targets[1],
            )
            moved = net.edge_values(wiring, after.weight) - net.edge_values(wiring, state.weight)
            changes[control, layout] = np.asarray(moved)
    np.testing.assert_allclose(
        changes["shuffled", "dense"], changes["shuffled", "sparse"], atol=1e-6
    )
    own, given = changes["none", "sparse"], changes["shuffled", "sparse"]
    first, second, third = np.cumsum(net.num_edges)
    for part in (slice(first, second), slice(second, third)):
        np.testing.assert_allclose(np.sort(own[part]), np.sort(given[part]), atol=1e-6)
        assert np.abs(own[part] - given[part]).max() > 1e-3


@pytest.mark.parametrize("wired", ["fixed_in_degree", "erdos_renyi"])
@pytest.mark.parametrize("seed", range(3))
def test_shuffled_changes_all_come_from_another_edge(seed, wired):
    choices = {"wired": wired, "layout": "sparse", "control": "shuffled"}
    net, graph = small(rules.Hebb(), hidden=5, degree=2, seed=seed, **choices)
    assert net.even[1] == (wired == "fixed_in_degree")
    for num, partner in zip(
        net.num_edges, net.wire(graph, jax.random.key(seed)).permutation, strict=True
    ):
        assert sorted(partner.tolist()) == list(range(num))
        assert (np.asarray(partner) != np.arange(num)).all()


def test_an_edge_without_another_gets_no_shuffled_change():
    graph = graph_of([(0, 1), (1, 2), (0, 2)], 3)
    sizes = {"num_inputs": 1, "num_hidden": 1, "num_outputs": 1, "bias": False}
    net = LoopyNetwork.for_graph(
        graph, rules.ABCD(eta=1.0, a=0.0, d=1.0), control="shuffled", loss="squared_error", **sizes
    )
    state = net.init(jax.random.key(0), graph)
    after, _ = net.step(net.init_theta(), graph, state, jnp.ones(1), Teaching(jnp.ones(1)))
    moved = net.edge_values(graph, after.weight) - net.edge_values(graph, state.weight)
    np.testing.assert_allclose(moved, [0, 1, 1], rtol=1e-6)


# --- feedback ------------------------------------------------------------------------------------


def hidden_feedback(net, graph, error, state=None):
    state = net.init(jax.random.key(0), graph) if state is None else state
    return net._feedback(net.wire(graph), state, net.init_theta()["innate"], jnp.asarray(error))


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_shared_feedback_is_the_transpose(layout):
    net, graph = small(rules.RFLO(), layout=layout, innate=Innate(feedback_gain=2.0))
    weights = np.asarray(net.edge_values(graph, net.init(jax.random.key(0), graph).weight))
    matrix = np.zeros((net.num_nodes, net.num_nodes))
    matrix[graph.receivers, graph.senders] = weights
    error = [0.5, -2.0]
    expected = 2 * matrix[10:, 4:10].T @ error
    np.testing.assert_allclose(hidden_feedback(net, graph, error), expected, rtol=1e-5)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_returning_feedback_uses_the_returning_edges(layout):
    net, graph = small(rules.RFLO(), returns=1, layout=layout, feedback="returning")
    weights = np.asarray(net.edge_values(graph, net.init(jax.random.key(0), graph).weight))
    matrix = np.zeros((net.num_nodes, net.num_nodes))
    matrix[graph.receivers, graph.senders] = weights
    back = matrix[4:10, 10:]
    assert (back != 0).sum() == 6
    np.testing.assert_allclose(
        hidden_feedback(net, graph, [0.5, -2.0]), back @ [0.5, -2.0], rtol=1e-5
    )


def test_kolen_pollack_aligns_without_looking():
    """The learned feedback weights come to point where the forward weights do."""
    rule = rules.FeedbackAlignment(eta=0.05)
    net, graph = small(
        rule, hidden=12, outputs=4, feedback="kolen_pollack",
        output_rule=rules.Delta(eta=0.05, normalised=False),
        innate=Innate(feedback_decay=0.003, output_gain=1.0),
    )  # fmt: skip
    wiring = net.wire(graph)
    start = net.init(jax.random.key(0), wiring)

    def cosine(state):
        hidden = wiring.wires.output.senders >= net.num_inputs
        sides = [
            net.layouts.output.to_edges(wiring.wires.output, x)[hidden]
            for x in (state.weight.output, state.feedback)
        ]
        a, b = map(np.asarray, sides)
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert abs(cosine(start)) < 0.5
    state, _, weights = live(net, graph, ticks=1500)
    assert np.linalg.norm(weights[-1]) > 0.5
    assert cosine(state) > 0.9


# --- teaching ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["error", "target", "reward", "prediction", "none"])
def test_a_target_that_is_not_taught_is_not_looked_at(mode):
    net, graph = small(CASES["rflo"], teaching=mode)
    theta, wiring = net.init_theta(), net.wire(graph)
    state = live(net, graph, ticks=3)[0]
    step = jax.jit(
        lambda target: net.step(theta, wiring, state, jnp.ones(3), Teaching(target, 0.0, 1.0))
    )
    one, other = step(jnp.array([1.0, 0.0])), step(jnp.array([jnp.nan, 5.0]))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert np.isfinite(net.edge_values(wiring, other[0].weight)).all()


def test_target_teaching_clamps_the_outputs():
    net, graph = small(rules.Hebb(), teaching="target", returns=1)
    state = net.init(jax.random.key(0), graph)
    target = jnp.array([0.0, 1.0])
    after, prediction = net.step(net.init_theta(), graph, state, jnp.ones(3), Teaching(target))
    np.testing.assert_array_equal(after.activity[-2:], target)
    untaught, same = net.step(net.init_theta(), graph, state, jnp.ones(3))
    np.testing.assert_array_equal(prediction, same)
    assert jnp.abs(untaught.activity[-2:] - target).max() > 0.1


def test_reward_reaches_every_synapse_and_is_silent_otherwise():
    net, graph = small(rules.ThreeFactor(eta=0.1), teaching="reward")
    state = net.init(jax.random.key(0), graph)
    step = lambda taught, reward: net.step(  # noqa: E731
        net.init_theta(), graph, state, jnp.ones(3), Teaching(jnp.zeros(2), taught, reward)
    )[0]
    before = net.edge_values(graph, state.weight)
    moved = [
        net.edge_values(graph, step(*each).weight) - before
        for each in ((1.0, 1.0), (1.0, -2.0), (0.0, 1.0))
    ]
    assert float(jnp.abs(moved[0]).max()) > 1e-3
    np.testing.assert_allclose(moved[1], -2 * moved[0], atol=1e-6)
    np.testing.assert_array_equal(moved[2], jnp.zeros_like(before))


def test_prediction_of_the_next_input_is_what_inputs_get_back():
    net, graph = small(rules.ShiftedHPCA(), teaching="prediction", loss="squared_error")
    state = live(net, graph, ticks=4)[0]
    prediction = net.read(net.wire(graph), state)
    matrix = np.zeros((net.num_nodes,) * 2)
    matrix[graph.receivers, graph.senders] = net.edge_values(graph, state.weight)
    np.testing.assert_allclose(prediction, (matrix.T @ np.asarray(state.activity))[:2], rtol=1e-4)


def test_shifted_reconstruction_is_of_the_last_tick():
    """change = eta y_i(t-1) (x_j(t) - sum over k of w_kj y_k(t-1)), from the matrices."""
    net, graph = small(rules.ShiftedHPCA(eta=0.1), same_tick_readout=False)
    state = live(net, graph, ticks=4)[0]
    stimulus = jnp.array([0.5, -1.0, 2.0])
    after, _ = net.step(net.init_theta(), graph, state, stimulus)
    matrix = np.zeros((net.num_nodes,) * 2)
    before = np.asarray(net.edge_values(graph, state.weight))
    matrix[graph.receivers, graph.senders] = before
    old = np.array(state.activity)
    old[: net.num_inputs] = 0.0
    back = matrix.T @ old
    pre = np.concatenate([stimulus, [1.0], state.activity[net.num_inputs :]])
    s, r = graph.senders, graph.receivers
    expected = 0.1 * old[r] * (pre[s] - back[s])
    np.testing.assert_allclose(net.edge_values(graph, after.weight) - before, expected, atol=1e-6)


# --- memory nodes, birth, sharing ----------------------------------------------------------------


def memory_net(size=32, **options):
    sizes = {"num_inputs": 4, "num_hidden": size, "num_outputs": 2}
    graph = make_graph("complete", **sizes)
    choices = {"num_memory": size, "innate": Innate(memory_gain=1.0)} | options
    return LoopyNetwork.for_graph(graph, rules.RFLO(eta=0.1), **sizes, **choices), graph


def memory_block(net, graph, state):
    matrix = np.zeros((net.num_nodes,) * 2)
    matrix[graph.receivers, graph.senders] = net.edge_values(graph, state.weight)
    inside = slice(net.num_inputs, net.num_inputs + net.num_memory)
    return matrix[inside, inside]


@pytest.mark.parametrize("seed", some_fast(range(3), [0]))
def test_memory_is_born_orthogonal(seed):
    net, graph = memory_net()
    block = memory_block(net, graph, net.init(jax.random.key(seed), graph))
    singular = np.linalg.svd(block)[1]
    np.testing.assert_allclose(singular, 1, atol=0.02)
    assert np.abs(np.diag(block)).max() == 0
    plain = dataclasses.replace(net, orthogonal=False)
    normal = np.linalg.svd(memory_block(plain, graph, plain.init(jax.random.key(seed), graph)))[1]
    assert normal.min() < 0.5 < 1.5 < normal.max()


@pytest.mark.slow
def test_memory_does_not_learn_unless_told():
    net, graph = memory_net(8)
    _, _, weights = live(net, graph, ticks=10)
    memory = net.num_edges[0]
    np.testing.assert_array_equal(weights[-1][:memory], weights[0][:memory])
    assert jnp.abs(weights[-1][memory:] - weights[0][memory:]).max() > 1e-3
    net, graph = memory_net(8, memory_rule=None)
    weights = live(net, graph, ticks=10)[2]
    assert jnp.abs(weights[-1][:memory] - weights[0][:memory]).max() > 1e-3


@pytest.mark.slow
def test_birth_has_the_gains_it_is_told():
    sizes = {"num_inputs": 51, "num_hidden": 60, "num_outputs": 5}
    graph = make_graph(degree=20, return_degree=3, **sizes)
    innate = Innate(
        input_gain=2.0,
        bias_gain=5.0,
        recurrent_gain=0.7,
        recall_gain=1.3,
        return_gain=0.4,
        output_gain=0.9,
        direct_gain=0.2,
        memory_input_gain=3.0,
        memory_bias_gain=6.0,
        memory_gain=0.8,
    )
    net = LoopyNetwork.for_graph(
        graph, rules.Hebb(), num_memory=30, innate=innate, orthogonal=False, **sizes
    )
    weights = np.asarray(net.edge_values(graph, net.init(jax.random.key(0), graph).weight))
    kinds = np.repeat(["input", "bias", "memory", "hidden", "output"], [50, 1, 30, 30, 5])
    s, r = graph.senders, graph.receivers
    gains = {
        ("input", "memory"): 3.0,
        ("bias", "memory"): 6.0,
        ("memory", "memory"): 0.8,
        ("hidden", "memory"): 0.7,
        ("output", "memory"): 0.4,
        ("input", "hidden"): 2.0,
        ("bias", "hidden"): 5.0,
        ("memory", "hidden"): 1.3,
        ("hidden", "hidden"): 0.7,
        ("output", "hidden"): 0.4,
        ("memory", "output"): 0.9,
        ("hidden", "output"): 0.9,
        ("input", "output"): 0.2,
        ("bias", "output"): 0.2,
    }
    for (sender, receiver), gain in gains.items():
        mine = (kinds[s] == sender) & (kinds[r] == receiver)
        fan = 1.0
        if sender not in ("input", "bias"):
            fan = np.array([(mine & (r == node)).sum() for node in r[mine]])
        found = weights[mine] * np.sqrt(fan) / gain
        spread = np.sqrt((found**2).mean())
        assert spread == pytest.approx(1, abs=5 / np.sqrt(2 * mine.sum())), (sender, receiver)


def test_leaks_are_spread_between_their_bounds():
    net, graph = small(
        rules.Hebb(),
        hidden=9,
        num_memory=2,
        orthogonal=False,
        innate=Innate(memory_leak=0.7, leak_low=0.1, leak_high=0.9),
    )
    leak = np.asarray(net.init(jax.random.key(0), graph).leak)
    np.testing.assert_allclose(leak[:2], 0.7, rtol=1e-5)
    np.testing.assert_allclose(np.sort(leak[2:]), np.geomspace(0.1, 0.9, 7), rtol=1e-4)


def changes_of_first_tick(net, graph, theta):
    state = net.init(jax.random.key(0), graph, theta)
    stimuli, targets = stream(jax.random.key(4), 2, 3, 2)
    step = jax.jit(lambda s, x, t: net.step(theta, graph, s, x, Teaching(t))[0])
    state = step(state, stimuli[0], targets[0])
    after = step(state, stimuli[1], targets[1])
    moved = net.edge_values(graph, after.weight) - net.edge_values(graph, state.weight)
    return np.asarray(moved)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize(
    "sharing", some_fast(["per_class", "per_node_type", "per_synapse"], ["per_class"])
)
def test_owners_own_their_synapses(sharing, layout):
    """A rate of 1 for one owner, 0 for all others: only its synapses change."""
    net, graph = small(
        rules.ABCD(eta=1.0, a=0.0, d=1.0), returns=1, num_memory=2, memory_rule=None,
        sharing=sharing, num_node_types=2, layout=layout,
    )  # fmt: skip
    theta = net.init_theta()
    kinds = np.repeat(range(5), [3, 1, 2, 4, 2])  # inputs, bias, memory, hidden, outputs
    s, r = graph.senders, graph.receivers
    owner = {
        "per_class": 5 * (kinds[r] - 2) + kinds[s],
        "per_node_type": np.select([r < 6, r < 8, r < 10], [0, 1, 2], 3),
        "per_synapse": np.arange(len(s)),
    }[sharing]
    num = {"per_class": len(EDGE_CLASSES), "per_node_type": 4, "per_synapse": len(s)}[sharing]
    assert theta["rule"]["eta"].shape == (num,)
    theta["rule"]["eta"] = jnp.arange(1.0, num + 1)
    np.testing.assert_allclose(changes_of_first_tick(net, graph, theta), owner + 1, rtol=1e-5)


def test_parts_of_theta_are_born_apart():
    mlp = rules.MLP(hidden=2)
    theta = small(mlp, output_rule=mlp, memory_rule=mlp)[0].init_theta(jax.random.key(1))
    born = [np.asarray(theta[part]["inner"]) for part in ("rule", "output_rule", "memory_rule")]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(born[a] - born[b]).min() > 0
    alone = small(mlp)[0].init_theta(jax.random.key(1))  # its luck does not hang on the others
    np.testing.assert_array_equal(alone["rule"]["inner"], born[0])


def test_same_owners_are_shared():
    results = []
    for sharing in ("shared", "per_class", "per_node_type", "per_synapse"):
        net, graph = small(rules.RFLO(eta=0.1), sharing=sharing, num_node_types=2)
        results.append(live(net, graph, ticks=10)[2])
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=1e-6)


@pytest.mark.parametrize(("loss", "at_outputs"), [("cross_entropy", 0.25), ("squared_error", 1.0)])
@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_the_curvature_is_that_of_the_loss(loss, at_outputs, layout):
    net, graph = small(Written("curvature"), loss=loss, layout=layout)
    wiring = net.wire(graph)
    born = net.init(jax.random.key(0), wiring)
    taught = net.teach(net.init_theta(), wiring, born, Teaching(jnp.array([1.0, 0.0])))
    change = net.edge_values(wiring, taught.weight) - net.edge_values(wiring, born.weight)
    expected = np.where(graph.receivers >= 10, at_outputs, 1.0)
    np.testing.assert_allclose(change, expected, rtol=1e-5)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, said",
    [
        ({"teaching": "eror"}, "Did you mean 'error'"),
        ({"feedback": "shard"}, "Did you mean 'shared'"),
        ({"activation": "tahn"}, "Did you mean 'tanh'"),
        ({"num_memory": 9}, "num_memory"),
        ({"groups": 4}, "groups"),
        ({"winners": 7}, "winners"),
        ({"noise": -1.0}, "noise"),
        ({"lifespan": 0.0}, "lifespan"),
        ({"control": "nothing"}, "control"),
    ],
)
def test_networks_refuse_what_cannot_be(options, said):
    with pytest.raises(ValueError, match=said):
        small(rules.Hebb(), **options)


@pytest.mark.parametrize(
    "rule, teaching, noise, said",
    [
        (rules.ThreeFactor(), "error", 0.0, r"rule \(ThreeFactor\) needs a reward: set teaching"),
        (rules.ThreeFactor(), "target", 0.0, "not 'target'"),
        (rules.ThreeFactor(), "none", 0.0, "needs a reward"),
        (rules.ThreeFactor(), "reward", 0.0, ""),
        (rules.ThreeFactor(), "prediction", 0.0, ""),
        (rules.NodePerturbation(), "reward", 0.0, "needs noise on the drives: set noise"),
        (rules.NodePerturbation(), "error", 0.1, "needs a reward"),
        (rules.NodePerturbation(), "error", 0.0, "needs a reward: .*; and noise on the drives"),
        (rules.NodePerturbation(), "reward", 0.1, ""),
        (rules.Bounded(rules.ThreeFactor()), "error", 0.0, r"Bounded\) needs a reward"),
        (rules.DifferentiablePlasticity(modulated=True), "error", 0.0, "needs a reward"),
        (rules.DifferentiablePlasticity(), "error", 0.0, ""),
        (CASES["general, all"], "error", 0.0, ""),
    ],
)
def test_rules_get_what_they_need_or_are_refused(rule, teaching, noise, said):
    choices = {"teaching": teaching, "noise": noise}
    if not said:
        small(rule, **choices)
        return
    with pytest.raises(ValueError, match=said):
        small(rule, **choices)
    small(rules.Oja(), memory_rule=rule, **choices)  # there is no memory node
    for control in ("frozen", "zero"):  # under which it is to do nothing
        small(rule, control=control, **choices)
    with pytest.raises(ValueError, match=f"output_{said}" if said.startswith("rule") else said):
        small(rules.Oja(), output_rule=rule, **choices)


def test_networks_refuse_graphs_that_do_not_fit():
    graph = make_graph(num_inputs=3, num_hidden=4, num_outputs=2, degree=2)
    with pytest.raises(ValueError, match="beyond"):
        LoopyNetwork.for_graph(graph, rules.Hebb(), num_inputs=3, num_hidden=2, num_outputs=2)
    with pytest.raises(TypeError, match="rule"):
        LoopyNetwork.for_graph(graph, "hebb", num_inputs=3, num_hidden=4, num_outputs=2)
    with pytest.raises(ValueError, match="bias"):
        LoopyNetwork(1, 2, 1, (0, 1, 1), rules.Hebb())
    with pytest.raises(ValueError, match="as many inputs"):
        small(rules.Hebb(), inputs=1, outputs=2, teaching="prediction")
    other = make_graph(num_inputs=3, num_hidden=4, num_outputs=2, degree=3)
    uneven = Graph(
        *(np.stack([a[: len(b)], b[: len(a)]]) for a, b in zip(graph, other, strict=True))
    )
    assert uneven.senders.ndim == 2
    with pytest.raises(ValueError, match="stack"):
        LoopyNetwork.for_graph(uneven, rules.Hebb(), num_inputs=3, num_hidden=4, num_outputs=2)


def test_idle_parts_are_idle():
    """What a network calls idle changes nothing; what it does not, does."""
    net, graph = small(rules.RFLO(eta=0.1), returns=1, output_rule=rules.Delta())
    idle = net.idle()
    theta = net.init_theta()
    base = live(net, graph, ticks=6)[1]
    wiring, (stimuli, targets) = net.wire(graph), stream(jax.random.key(100), 6, 3, 2)
    lived = jax.jit(lambda theta, state: run(net, theta, wiring, state, stimuli, targets)[1])
    whole = lambda theta: lived(theta, net.init(jax.random.key(0), wiring, theta))  # noqa: E731
    for name in theta["innate"]:
        value = theta["innate"][name]
        other = theta | {"innate": theta["innate"] | {name: 0.6 * value + 0.05}}
        same = bool(jnp.abs(whole(other) - base).max() < 1e-6)
        assert same == (f"innate.{name}" in idle), name


def test_rates_scale_with_fan_in():
    """The outermost eta of synapses from hidden nodes is multiplied by rate_fan_in / fan-in."""
    rule = rules.RunningScale(rules.RFLO(eta=1.0), eta=0.01)
    net, graph = small(rule, hidden=6, degree=3, sharing="per_class")
    scaled = dataclasses.replace(net, rate_fan_in=12.0)
    theta = net.init_theta()
    by_hand = jax.tree.map(jnp.copy, theta)
    # Hidden nodes hear 3 hidden ones, outputs 6; inputs and the constant keep their rate.
    for name, factor in (("hidden-hidden", 4.0), ("hidden-output", 2.0)):
        at = net._first_owner(HIDDEN if name.endswith("hidden") else OUTPUT)
        at += EDGE_CLASSES.index(name) % 5
        by_hand["rule"]["eta"] = by_hand["rule"]["eta"].at[at].multiply(factor)
    stimuli, targets = stream(jax.random.key(1), 6, net.num_stimuli, net.num_outputs)
    after = [
        run(n, t, n.wire(graph), n.init(jax.random.key(0), graph), stimuli, targets)[2][-1]
        for n, t in ((net, by_hand), (scaled, theta), (net, theta))
    ]
    np.testing.assert_allclose(after[0], after[1], rtol=1e-5)
    assert np.abs(after[0] - after[2]).max() > 1e-3
    assert "fan-in of 12" in scaled.formula() and "fan-in" not in net.formula()


def test_rates_need_an_eta_to_scale():
    for rule in (rules.STDP(), rules.MLP(), rules.Decayed(rules.STDP())):
        with pytest.raises(ValueError, match="no rule of this network has one.*got 12"):
            small(rule, rate_fan_in=12.0)
        small(rule, rate_fan_in=12.0, output_rule=rules.Delta())
    for rule in (rules.Decayed(rules.Oja()), rules.Zero()):  # the latter has no rate at all
        small(rule, rate_fan_in=12.0)
