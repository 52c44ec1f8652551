"""What is done to a learner in mid-life reaches its weights and graph, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import some_fast

from loopymeta import rules
from loopymeta.config import NetworkConfig
from loopymeta.interventions import (
    Hurry,
    Intervention,
    Newborn,
    Perturb,
    Remove,
    Restore,
    interventions_of,
    survivors,
)
from loopymeta.learners.recurrent import OnlineRNN
from loopymeta.lifetime import Lifetime, SelfPaced
from loopymeta.meta import Persistent, Problem
from loopymeta.tasks import Caesar

SYMBOLS = 30


@dataclasses.dataclass(frozen=True)
class Altered(Caesar):
    """A cipher with things done in mid-life."""

    symbols: int = SYMBOLS
    acts: tuple[Intervention, ...] = ()

    @property
    def interventions(self):
        return self.acts


def plastic(**choices):
    options = {
        "num_hidden": 12,
        "num_memory": 4,
        "rule": rules.RFLO(eta=0.1),
        "output_rule": rules.Delta(eta=0.3),
    }
    return NetworkConfig(**(options | choices)).build(Altered().spec)


def lived(learner, acts, key=0, record=lambda state, prediction: prediction):
    """What is recorded of a lifetime with these interventions."""
    life = Lifetime(learner, Altered(acts=tuple(acts)), record=record)
    return jax.jit(life)(life.init_theta(), jax.random.key(key))[1]["record"]


def weights_of(state, prediction):
    return state.network.weight if hasattr(state, "network") else state.weight


LEARNERS = {
    "dense": lambda: plastic(layout="dense"),
    "sparse": lambda: plastic(layout="sparse", connectivity="erdos_renyi", degree=4),
    "kolen_pollack": lambda: plastic(feedback="kolen_pollack"),
    "decayed": lambda: plastic(rule=rules.Decayed(rule=rules.Hebb())),
    "lstm": lambda: OnlineRNN.for_spec(Altered().spec, width=6, num_layers=2, window=4),
    "gru": lambda: OnlineRNN.for_spec(Altered().spec, width=6, cell="gru", window=4),
}


@pytest.mark.parametrize("name", some_fast(LEARNERS, ("sparse", "kolen_pollack", "lstm")))
def test_removed_edges_and_nodes_stay_removed(name):
    weights = lived(LEARNERS[name](), [Remove(10, edges=0.3, nodes=0.25)], record=weights_of)
    out, there, learned = 0, 0, 0.0
    for values in jax.tree.leaves(weights):
        values = np.asarray(values).reshape(SYMBOLS, -1)
        gone = (values[10] == 0) & (values[9] != 0)
        assert (values[10:, gone] == 0).all()
        out, there = out + gone.sum(), there + (values[9] != 0).sum()
        learned += np.abs(values[-1] - values[10]).sum()
    assert learned > 0
    # A quarter of the nodes with their edges, and 30 % of the rest (biases of a cell are no edges).
    assert 0.25 < out / there < 0.7


@pytest.mark.slow
def test_the_fractions_are_exact():
    assert survivors(jax.random.key(0), 40, 0.25).sum() == 30
    assert survivors(jax.random.key(0), 40, 0.0).sum() == 40
    assert survivors(jax.random.key(0), 40, 1.0).sum() == 0
    learner = plastic(layout="sparse")
    state = learner.init(jax.random.key(0), learner.init_theta())
    after = learner.remove(state, jax.random.key(1), 0.25, 0.0)
    total = sum(learner.network.num_edges)
    kept = sum(float(wires.mask.sum()) for wires in after.wiring.wires)
    assert kept == total - round(0.25 * total)
    nodes = learner.remove(state, jax.random.key(1), 0.0, 0.5)
    for wires, layout in zip(nodes.wiring.wires, learner.network.layouts, strict=True):
        mask = np.asarray(wires.mask)
        sends = np.asarray(wires.senders)[mask > 0]
        hears = np.asarray(wires.receivers)[mask > 0] + layout.first
        inside = range(learner.network.num_inputs, learner.network.num_inputs + 16)
        assert len({n for n in (*sends, *hears) if n in inside}) <= 8


@pytest.mark.parametrize("name", ["dense", "sparse", "lstm"])
def test_a_second_removal_adds_to_the_first_and_restoring_undoes_both(name):
    learner = LEARNERS[name]()
    theta = learner.init_theta()
    state = learner.init(jax.random.key(0), theta)
    once = learner.remove(state, jax.random.key(1), 0.3, 0.0)
    twice = learner.remove(once, jax.random.key(2), 0.3, 0.0)
    zeros = [
        sum(int((x == 0).sum()) for x in jax.tree.leaves(weights_of(s, None)))
        for s in (state, once, twice)
    ]
    assert zeros[0] < zeros[1] < zeros[2]
    back = learner.restore(twice)
    same = jax.tree.map(
        lambda a, b: np.array_equal(a, b), weights_of(back, None), weights_of(twice, None)
    )
    assert all(jax.tree.leaves(same))  # with weights of zero
    if name == "lstm":
        assert back.kept == ()
    else:
        for a, b in zip(back.wiring.wires, state.wiring.wires, strict=True):
            assert np.array_equal(a.mask, b.mask) or a.mask == b.mask == ()


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_what_is_restored_has_no_past(layout):
    """A fast weight that outlived its removal would be subtracted from a weight of zero."""
    learner = plastic(layout=layout, rule=rules.FastSlow(rule=rules.Hebb(eta=0.3)))

    def seen(state, prediction):
        return state.network.weight.hidden, state.network.trace.hidden["fast"]

    weight, fast = (
        np.asarray(x).reshape(SYMBOLS, -1)
        for x in lived(learner, [Remove(10, edges=0.5), Restore(20)], record=seen)
    )
    gone = (weight[10] == 0) & (weight[9] != 0)
    assert gone.sum() > 5 and np.abs(fast[19, gone]).max() > 0
    # The first change after the restoration is the whole of the weight, and of its fast part.
    assert np.abs(weight[20, gone]).max() > 0
    assert np.allclose(fast[20, gone] * 1.1, weight[20, gone], atol=1e-6)


def test_a_restored_node_hears_its_random_feedback():
    learner = plastic(feedback="random")
    state = jax.jit(learner.init)(jax.random.key(0), learner.init_theta())
    there_and_back = jax.jit(
        lambda s: learner.restore(learner.remove(s, jax.random.key(1), 0, 0.5))
    )
    assert np.array_equal(there_and_back(state).network.feedback, state.network.feedback)


def test_an_optimiser_hears_nothing_of_what_is_removed():
    learner = OnlineRNN.for_spec(Altered().spec, width=6, window=2, optimizer="momentum")

    def seen(state, prediction):
        return state.weight, state.optimizer[0].trace

    weights, moments = lived(learner, [Remove(0, edges=0.5)], record=seen)
    gone = np.asarray(weights["readout"]["kernel"])[-1] == 0
    moment = np.asarray(moments["readout"]["kernel"])[-1]
    assert gone.any() and not moment[gone].any() and moment[~gone].all()


def test_dense_and_sparse_are_damaged_alike():
    acts = [Perturb(5, 0.3), Remove(10, edges=0.3, nodes=0.2), Restore(20)]
    rule = rules.Delta(eta=0.1)  # normalised: an energy over the edges that are left
    dense, sparse = (
        plastic(rule=rule, output_rule=rule, layout=lay) for lay in ("dense", "sparse")
    )
    state = dense.init(jax.random.key(3), dense.init_theta())
    masks = dense.remove(state, jax.random.key(1), 0.3, 0.2).wiring.wires
    other = sparse.init(jax.random.key(3), sparse.init_theta())
    sparse_masks = sparse.remove(other, jax.random.key(1), 0.3, 0.2).wiring.wires
    for layout, a, b in zip(dense.network.layouts, masks, sparse_masks, strict=True):
        assert np.array_equal(layout.to_edges(a, a.mask), b.mask)
    a, b = lived(dense, acts[1:]), lived(sparse, acts[1:])
    assert np.allclose(a, b, atol=1e-4)
    assert not np.allclose(a[10:], lived(dense, [])[10:], atol=1e-2)


@pytest.mark.parametrize("name", ["dense", "sparse", "lstm"])
def test_perturbing_multiplies_by_one_plus_sigma_normal(name):
    learner = LEARNERS[name]()
    state = learner.init(jax.random.key(0), learner.init_theta())
    noisy = learner.perturb(state, jax.random.key(1), 0.2)
    pairs = zip(*(jax.tree.leaves(weights_of(s, None)) for s in (noisy, state)), strict=True)
    ratio = np.concatenate([(np.asarray(a) / b)[np.asarray(b) != 0] for a, b in pairs])
    assert ratio.size > 100
    assert abs(ratio.mean() - 1) < 5 * 0.2 / ratio.size**0.5
    assert abs(ratio.std() - 0.2) < 5 * 0.2 / (2 * ratio.size) ** 0.5


def test_nothing_changes_before_an_intervention():
    acts = [Perturb(15, 0.5)]
    for name in ("dense",):
        learner = LEARNERS[name]()
        calm, shaken = lived(learner, []), lived(learner, acts)
        assert np.array_equal(calm[:15], shaken[:15])
        assert not np.allclose(calm[15:], shaken[15:], atol=1e-3)


def test_a_newborn_takes_the_place():
    learner = LEARNERS["dense"]()
    life = Lifetime(learner, Altered(acts=(Newborn(15),)), record=weights_of)
    theta, key = life.init_theta(), jax.random.key(0)
    birth, _ = life.start(theta, key)
    weights = jax.jit(life)(theta, key)[1]["record"]
    for born, seen in zip(weights_of(birth, None), weights, strict=True):
        # One symbol later it is still nearly as it was born; a symbol before it had changed more.
        moved = np.abs(np.asarray(seen) - np.asarray(born)[None]).sum((1, 2))
        assert moved[15] < moved[14] or moved[14] < 1e-5
    assert np.abs(weights.output[14] - birth.network.weight.output).max() > 0.02


@pytest.mark.slow
def test_haste_lowers_the_limit():
    task = Altered(acts=(Hurry(15, ticks=2),))
    ticks = {}
    for name, choices in {"fixed": {"ticks": 4}, "paced": {"max_ticks": 6}}.items():
        life = Lifetime(plastic(**choices), task)
        theta = life.init_theta()
        if name == "paced":  # never ready: always late, and charged a tick more than the limit
            theta["innate"]["ready_threshold"] = jnp.asarray(1.1)
        state, episode = life.start(theta, jax.random.key(0))
        outcome = jax.jit(life.through)(theta, state, episode, jax.random.key(0))[1]
        ticks[name] = outcome.ticks.tolist()
        if name == "paced":
            assert life.score(outcome, episode)[1]["timeouts"] == 1.0
    assert ticks == {"fixed": [4] * 15 + [2] * 15, "paced": [7] * 15 + [3] * 15}
    assert plastic(max_ticks=6).hurried(3).pacing == SelfPaced(3)
    assert plastic(ticks=2).hurried(3).pacing.ticks == 2
    # One who needs but a tick is not concerned.
    lstm = LEARNERS["lstm"]()
    assert np.array_equal(lived(lstm, []), lived(lstm, [Hurry(15, ticks=1)]))


@pytest.mark.slow
def test_lanes_are_damaged_as_one_is():
    task = Altered(acts=(Perturb(5, 0.3), Remove(10, edges=0.3, nodes=0.2), Newborn(20)))
    life = Lifetime(LEARNERS["sparse"](), task)
    assert life.learner.lanes
    theta = life.init_theta()
    two = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), theta)
    losses, _ = jax.jit(life.population)(two, jax.random.key(0))
    for k in range(2):
        alone = jax.jit(life)(jax.tree.map(lambda x, k=k: x[k], two), jax.random.key(0))[0]
        assert np.allclose(losses[k], alone, atol=1e-4)
    assert losses[0] != losses[1]


def test_what_cannot_be_is_refused():
    for wrong in (lambda: Perturb(-1), lambda: Perturb(1, -0.1), lambda: Remove(1, edges=1.5)):
        with pytest.raises(ValueError, match="must"):
            wrong()
    with pytest.raises(ValueError, match="comes after the 30 symbols"):
        Lifetime(plastic(), Altered(acts=(Newborn(30),)))

    class Stone:
        def init(self, key, theta):
            return ()

        def step(self, theta, state, stimulus, teaching, key):
            return state, jnp.zeros(26), jnp.ones(())

    life = Lifetime(Stone(), Altered(acts=(Perturb(10),)))
    with pytest.raises(TypeError, match="Stone cannot be damaged"):
        life((), jax.random.key(0))
    life = Lifetime(plastic(), Altered(acts=(Perturb(10),)))
    problem = Problem(objective=life, theta=life.init_theta(), space=life.space())
    with pytest.raises(ValueError, match="cannot intervene"):
        Persistent(problem, window=10)


def test_they_come_in_the_order_of_their_times():
    task = Altered(acts=(Restore(40), Remove(20, edges=0.5)))
    assert [act.at for act in interventions_of(task)] == [20, 40]
    assert interventions_of(Caesar()) == ()
