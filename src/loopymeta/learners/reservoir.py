"""The delta-rule reservoir: a fixed random network whose outputs alone learn."""

from __future__ import annotations

from loopymeta import _validate
from loopymeta.graph import make_graphs
from loopymeta.lifetime import Plastic
from loopymeta.network import Innate, LoopyNetwork
from loopymeta.rules import Delta, Rule, Zero
from loopymeta.tasks.base import Spec


def reservoir(
    spec: Spec,
    *,
    num_hidden: int = 512,
    gain: float = 1.3,
    input_gain: float = 1.0,
    rule: Rule = Delta(),
    connectivity: str = "complete",
    degree: float | None = None,
    num_graphs: int = 1,
    seed: int = 0,
) -> Plastic:
    """A loopy network of memory nodes alone: nothing learns but the synapses onto outputs.

    Hidden nodes are h <- tanh(W h + V x), W and V random and fixed; outputs read them, the stimulus
    and the constant input, and learn by the normalised delta rule (Jaeger, 2001; Widrow and Hoff,
    1960). What a rule for hidden synapses is worth is what it is better by than this.

    Args:
      spec: of the task: its sizes and loss.
      num_hidden: hidden nodes.
      gain: of the recurrent synapses, about their spectral radius: their weights are normal with
        standard deviation gain / sqrt(edges into a node).
      input_gain: standard deviation of the synapses from inputs.
      eta: part of the output error that one lesson removes.
      connectivity: who sends to whom among hidden nodes; see `loopymeta.graph.make_graph`.
      degree: mean edges into a hidden node from hidden nodes; not for ``complete``.
      num_graphs: graphs in the stack that a newborn's key chooses from. Weights are drawn afresh at
        every birth, whatever the graph.
      seed: of the graphs.

    Returns:
      The learner. Its theta is that of any network, so that all of these gains can be searched.

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
        output_rule=rule,
        num_memory=num_hidden,
        orthogonal=False,
        innate=innate,
        feedback="none",
        loss=spec.loss,
        lifespan=float(spec.length),
    )
    return Plastic(network, graphs)
