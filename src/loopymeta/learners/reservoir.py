"""The delta-rule reservoir: a fixed random network whose outputs alone learn."""

from __future__ import annotations

from loopymeta import _validate
from loopymeta.graph import Connectivity, make_graphs
from loopymeta.lifetime import Plastic
from loopymeta.network import Innate, LoopyNetwork
from loopymeta.rules import Delta, Rule, Zero
from loopymeta.tasks.base import Spec
from loopymeta.written import Written


def reservoir(
    spec: Spec,
    *,
    num_hidden: int = 512,
    gain: float = 1.3,
    input_gain: float = 1.0,
    rule: Rule | None = None,
    connectivity: str | Connectivity = "complete",
    degree: float | None = None,
    num_graphs: int = 1,
    seed: int = 0,
) -> Plastic:
    """A loopy network of memory nodes alone: nothing learns but the synapses onto outputs.

    Hidden nodes are h <- tanh(W h + V x), W and V random and fixed. Outputs read them, the stimulus
    and the constant input, and learn by the normalised delta rule (Jaeger, 2001; Widrow and Hoff,
    1960). What a rule for hidden synapses is worth is what it is better by than this.

    Args:
      spec: of the task: its sizes, its loss and its lifespan.
      num_hidden: hidden nodes.
      gain: of the recurrent synapses, about their spectral radius: weights are normal with standard
        deviation gain / sqrt(edges into a node from hidden nodes).
      input_gain: standard deviation of the synapses from inputs.
      rule: of the synapses onto outputs; None: `Delta` ().
      connectivity: who sends to whom among hidden nodes; see `loopymeta.graph.make_graph`.
      degree: mean edges into a hidden node from hidden nodes; not for ``complete``.
      num_graphs: graphs in the stack that a newborn's key chooses from. Weights are drawn afresh at
        every birth, whatever the graph.
      seed: of the graphs.

    Returns:
      The learner. Its theta is that of any network, so that gains and rates can be searched.

    Raises:
      ValueError, TypeError: for sizes or numbers that cannot be.

    >>> from loopymeta import tasks
    >>> learner = reservoir(tasks.Reversal(n=2).spec, num_hidden=64)
    >>> learner.network.num_memory
    64
    """
    _validate.at_least("num_hidden", num_hidden, 1)
    num_inputs = spec.num_inputs + 1  # the constant one
    graphs = make_graphs(
        connectivity,
        num_graphs=num_graphs,
        seed=seed,
        num_inputs=num_inputs,
        num_hidden=num_hidden,
        num_outputs=spec.num_outputs,
        degree=degree,
    )
    innate = Innate(memory_gain=gain, memory_input_gain=input_gain, output_gain=0.0)
    network = LoopyNetwork.for_graph(
        graphs,
        Zero(),
        num_inputs=num_inputs,
        num_hidden=num_hidden,
        num_outputs=spec.num_outputs,
        output_rule=Delta() if rule is None else rule,
        num_memory=num_hidden,
        orthogonal=False,
        innate=innate,
        feedback="none",
        loss=spec.loss,
        lifespan=float(spec.symbols_lived),
    )
    return Plastic(network, graphs)


def decaying_delta(eta: float = 1.0, horizon: float = 0.1, eps: float = 0.1) -> Rule:
    """The normalised delta rule with a rate that falls: eta / (1 + life / horizon).

    ``horizon`` is the part of the lifespan after which the rate is halved (Robbins and Monro,
    1951); the network knows its lifespan from the task.

    >>> print(decaying_delta())
    change = 1 * pre * feedback / (0.1 + energy) / (1 + life / 0.1)
    """
    expression = "eta * pre * feedback / (eps + energy) / (1 + life / horizon)"
    return Written(expression, eta=eta, eps=eps, horizon=horizon)
