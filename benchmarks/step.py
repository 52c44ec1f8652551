"""Synapse updates a second, dense and sparse, beside the same written by hand in C and NumPy.

One synapse update is one change of one existing synapse of one candidate in one tick, and includes
that synapse's part in propagation; places of a dense matrix without a synapse do not count, nor do
inputs (nothing leads into them). The rule is the five-term Hebbian form ``pre post``, ``pre``,
``post``, ``post^2 weight``, ``weight`` with other coefficients in each candidate. Each row is
measured in a process of its own.

    python benchmarks/step.py [--quick] [--json]
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import _measure
import _reference
import numpy as np
from _measure import Table

TERMS = ("pre post", "pre", "post", "post^2 weight", "weight")
NUM_INPUTS, NUM_OUTPUTS = 4, 4


def build(kind: str, num_nodes: int, degree: int = 16) -> tuple[Any, Any]:
    """(network, graph): ``dense``, everything to every hidden node, or ``sparse``, in-degree 16."""
    from loopymeta.graph import make_graph
    from loopymeta.hebbian import GeneralHebbian
    from loopymeta.network import LoopyNetwork

    sizes = {
        "num_inputs": NUM_INPUTS,
        "num_hidden": num_nodes - NUM_INPUTS - NUM_OUTPUTS,
        "num_outputs": NUM_OUTPUTS,
    }
    if kind == "dense":
        graph = make_graph("complete", return_degree=NUM_OUTPUTS, **sizes)
    else:
        inside = degree - NUM_INPUTS
        graph = make_graph("fixed_in_degree", degree=inside, output_degree=degree, **sizes)
    rule = GeneralHebbian(terms=TERMS)
    choices = {"teaching": "none", "feedback": "none", "loss": "squared_error"}
    return LoopyNetwork.for_graph(
        graph, rule, same_tick_readout=False, layout=kind, **choices, **sizes
    ), graph


def candidates(network: Any, count: int) -> Any:
    """Theta of ``count`` candidates, leaves [P, ...]: small coefficients, all different."""
    import jax
    import jax.numpy as jnp

    theta = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), network.init_theta())
    drawn = 1e-3 * np.random.default_rng(0).normal(size=(count, len(TERMS)))
    # Decay and Oja's term must not be negative, or weights run away in a long run.
    drawn[:, 3:] = -np.abs(drawn[:, 3:])
    theta["rule"]["coefficients"] = jnp.asarray(drawn, jnp.float32)
    return theta


@dataclasses.dataclass(frozen=True)
class Noise:
    """A task of random stimuli with nothing to learn: it costs next to nothing."""

    length: int = 100

    @property
    def spec(self) -> Any:
        """Sizes for the benchmark's networks."""
        from loopymeta.tasks.base import Spec

        return Spec(NUM_INPUTS - 1, NUM_OUTPUTS, self.length, loss="squared_error")

    def sample(self, key: Any) -> Any:
        """Normal stimuli, and zero as the target."""
        import jax
        import jax.numpy as jnp

        from loopymeta.tasks.base import Episode

        yes, zero = jnp.ones(self.length, bool), jnp.zeros(self.length, jnp.int32)
        stimulus = jax.random.normal(key, (self.length, NUM_INPUTS - 1))
        return Episode(stimulus, jnp.zeros((self.length, NUM_OUTPUTS)), yes, yes, zero, zero)

    def score(self, outcome: Any, episode: Any) -> dict:
        """The mean loss."""
        return {"loss": outcome.loss.mean()}


def ticks_of(network: Any, lanes: bool) -> Any:
    """A function (theta, wiring, state, stimuli) -> state: all ticks of all candidates.

    Candidates are lanes behind, or a vmapped axis in front: what `loopymeta.evaluate` does too.
    """
    import jax

    def live(theta, wiring, state, stimuli):
        def tick(state, stimulus):
            return network.step(theta, wiring, state, stimulus)[0], None

        return jax.lax.scan(tick, state, stimuli)[0]

    return live if lanes else jax.vmap(live, in_axes=(0, None, 0, None))


def newborns(network: Any, lanes: bool) -> Any:
    """A function (theta, wiring) -> state: the same newborn for every candidate."""
    import jax

    born = lambda theta, wiring: network.init(jax.random.key(1), wiring, theta)  # noqa: E731
    return born if lanes else jax.vmap(born, in_axes=(0, None))


def behind(theta: Any, lanes: bool) -> Any:
    """Candidates [P, ...] moved behind, for lanes."""
    import jax
    import jax.numpy as jnp

    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), theta) if lanes else theta


def case(
    kind: str,
    num_nodes: int,
    count: int,
    ticks: int,
    repeats: int,
    enough: float = 0.0,
    references: bool = True,
    lifetime: bool = False,
) -> dict[str, Any]:
    """One row: the library, and the references on the same weights and stimuli.

    Args:
      kind: ``dense`` or ``sparse``.
      num_nodes: N, inputs and outputs among them.
      count: P, candidates.
      ticks: T.
      repeats: runs, of which the fastest counts.
      enough: seconds to go on with runs.
      references: also C, NumPy and PyTorch.
      lifetime: also `loopymeta.evaluate`, whole lifetimes with birth, task and loss.
    """
    import jax

    network, graph = build(kind, num_nodes)
    lanes, edges = network.lanes, sum(network.num_edges)
    theta = candidates(network, count)
    moved, wiring = behind(theta, lanes), network.wire(graph)
    stimuli = np.random.default_rng(1).normal(size=(ticks, NUM_INPUTS - 1)).astype(np.float32)
    state = jax.block_until_ready(jax.jit(newborns(network, lanes))(moved, wiring))

    start = time.perf_counter()
    run = jax.jit(ticks_of(network, lanes)).lower(moved, wiring, state, stimuli).compile()
    row: dict[str, Any] = {
        "layout": kind,
        "nodes": num_nodes,
        "edges": edges,
        "candidates": count,
        "compile s": time.perf_counter() - start,
    }
    memory = _measure.PeakMemory()
    last = jax.block_until_ready(run(moved, wiring, state, stimuli))
    row["peak MB"] = memory.rise() / 1e6
    runs = {"step": lambda: jax.block_until_ready(run(moved, wiring, state, stimuli))}
    before: dict[str, Any] = {}
    if lifetime:
        runs["evaluate"] = _evaluation(network, graph, theta, ticks)
    if references:
        weights = [_weights(network, wiring, s, lanes) for s in (state, last)]
        problem = _problem(network, graph, theta, stimuli, weights[0])
        for name, pair in _compiled_references(problem, kind, weights[1], row).items():
            before[name], runs[name] = pair
    seconds = _measure.fastest(runs, repeats, enough, before)
    updates = count * edges * ticks / 1e9
    row["us a tick"] = seconds["step"] / ticks * 1e6
    row |= {f"{name} G/s": updates / taken for name, taken in seconds.items()}
    if references:
        row |= _slow_references(problem, kind)
        for name in before:
            row[f"step / {name}"] = seconds[name] / seconds["step"]
    return row


def _weights(network: Any, wiring: Any, state: Any, lanes: bool) -> np.ndarray:
    """Weights of all candidates in edge order: [P, E]."""
    import jax

    values = functools.partial(network.edge_values, wiring)
    return np.asarray(values(state.weight).T if lanes else jax.vmap(values)(state.weight))


def _evaluation(network: Any, graph: Any, theta: Any, ticks: int) -> Any:
    """Whole lifetimes under `loopymeta.evaluate`, compiled: a function without arguments."""
    import jax

    from loopymeta.graph import Graph
    from loopymeta.lifetime import Lifetime, Plastic
    from loopymeta.meta import evaluate

    stack = Graph(*(values[None] for values in graph))
    objective = Lifetime(Plastic(network, stack), Noise(ticks))
    run = jax.jit(lambda theta, keys: evaluate(objective, theta, keys)[0])
    keys = jax.random.split(jax.random.key(2), 1)
    jax.block_until_ready(run(theta, keys))
    return lambda: jax.block_until_ready(run(theta, keys))


def _problem(network: Any, graph: Any, theta: Any, stimuli: Any, born: Any) -> _reference.Problem:
    """The same networks as plain arrays."""
    return _reference.Problem(
        num_inputs=network.num_inputs,
        num_outputs=network.num_outputs,
        num_nodes=network.num_nodes,
        senders=np.asarray(graph.senders),
        receivers=np.asarray(graph.receivers),
        stimuli=stimuli,
        coefficients=np.asarray(theta["rule"]["coefficients"]),
        weight=born,
    )


def _compiled_references(
    problem: _reference.Problem, kind: str, last: np.ndarray, row: dict[str, Any]
) -> dict[str, Any]:
    """The C references as name -> (reset, run); notes by how much their weights differ."""
    try:
        reference = _reference.CReference()
    except RuntimeError as reason:
        row["remark"] = f"no C reference: {reason}"
        return {}
    found, differs = {}, []
    forms = {"C": kind}
    if kind == "sparse" and len(problem.weight) % _reference.LANES == 0:
        forms["C lanes"] = "lanes"
    for name, form in forms.items():
        arrays = reference.start(problem, form)
        reference.run(problem, arrays)
        differs.append(np.abs(reference.weights(problem, arrays) - last).max())
        reset = functools.partial(reference.reset, arrays)
        found[name] = (reset, functools.partial(reference.run, problem, arrays))
    row["C differs by"] = float(max(differs))
    return found


def _slow_references(problem: _reference.Problem, kind: str) -> dict[str, Any]:
    """NumPy and, where installed, PyTorch: a few ticks are enough."""
    row, dense = {}, kind == "dense"
    ticks = int(np.clip(2e7 / problem.weight.size, 3, 50))
    for name, run in (("NumPy", _reference.run_numpy), ("PyTorch", _reference.run_torch)):
        # The difference of two runs leaves out what is done once.
        more = {n: functools.partial(run, problem, dense, n) for n in (1, 1 + ticks)}
        try:
            seconds = _measure.fastest(more, 3)
        except ImportError:
            continue
        taken = max(seconds[1 + ticks] - seconds[1], 1e-9)
        row[f"{name} G/s"] = problem.weight.size * ticks / taken / 1e9
    return row


NOTE = """Billions of synapse updates a second (each existing synapse of each candidate, once a
tick), fastest of several runs. "step" is the network's step under a scan; "evaluate" whole
lifetimes, with birth, task and loss. The C reference is one fused loop, -O3 -march=native
reordered sums and OpenMP over candidates, on the CPU, one candidate after another on a core;
"C lanes" the same with blocks of 16 candidates as the last axis; "C differs by" is the largest
difference of their weights from the library's at the end. Peak memory is what running adds to the
newborn networks, compilation apart."""

# (kind, nodes, candidates, ticks): ticks so that a run takes a few tenths of a second on two cores.
CASES = (
    ("dense", 64, 64, 1000),
    ("dense", 128, 64, 400),
    ("dense", 256, 64, 100),
    ("dense", 512, 64, 20),
    ("dense", 1024, 64, 5),
    ("dense", 2048, 64, 3),
    ("sparse", 200, 64, 400),
    ("sparse", 1000, 64, 100),
    ("sparse", 10_000, 64, 10),
    ("sparse", 100_000, 64, 3),
)
QUICK = (("dense", 128, 64, 200), ("sparse", 200, 64, 200))


def fits(kind: str, num_nodes: int, count: int) -> bool:
    """Whether weights, twice or so, and the references' copies stay within half the memory."""
    edges = num_nodes**2 if kind == "dense" else 16 * num_nodes
    return 10 * 4 * count * edges < _measure.available_memory() / 2


def measure(quick: bool = False) -> list[Table]:
    """The table, case by case, each in a fresh process."""
    rows = []
    for kind, num_nodes, count, ticks in QUICK if quick else CASES:
        if not fits(kind, num_nodes, count):
            rows.append({"layout": kind, "nodes": num_nodes, "remark": "does not fit the memory"})
            continue
        given = {
            "kind": kind,
            "num_nodes": num_nodes,
            "count": count,
            "ticks": ticks,
            "repeats": 3,
            "enough": 3.0 if quick else 8.0,
            "lifetime": True,
        }
        rows.append(_measure.run_case(__file__, given))
    return [Table("Synapse updates a second", NOTE, rows)]


if __name__ == "__main__":
    _measure.main(measure, case)
