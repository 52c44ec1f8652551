"""The loopy network: a pure step on a random cyclic graph whose synapses learn by a local rule.

One tick sends the activities of all nodes along all edges at once; the synapses then change by the
network's `Rule`. Everything is written for one network; the node or edge axis comes first, and any
axes behind are lanes of a population, over which every operation broadcasts.

Axis letters: N nodes (inputs, hidden, outputs, in this order), E edges, I inputs, O outputs.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta._wiring import HIDDEN, MEMORY, OUTPUT, Bundles, Layout, Wires, ahead, behind
from loopymeta.graph import Graph
from loopymeta.interventions import survivors
from loopymeta.parameters import Theta, check_parameters, defaults, fraction, rate, real, spaces
from loopymeta.rules import NEEDS, NUM_MODULATORS, Rule, Synapse, Zero

TEACHING = ("error", "target", "reward", "prediction", "none")
FEEDBACK = ("shared", "kolen_pollack", "random", "returning", "none")
SHARING = ("shared", "per_class", "per_node_type", "per_synapse")
CONTROLS = ("none", "frozen", "shuffled", "zero")
REWARDING = ("reward", "prediction")
"""The kinds of teaching that give a reward."""
NODE_KINDS = ("input", "bias", "memory", "hidden", "output")
EDGE_CLASSES = tuple(f"{a}-{b}" for b in NODE_KINDS[2:] for a in NODE_KINDS)
"""The edge classes of ``sharing="per_class"``, in the order of theta's leading axis."""

DENSE_FROM = 0.2
"""Share of possible edges from which a bundle is laid out dense: a dense update touches every
possible edge, but five to eight times as many a second (``benchmarks/step.py``)."""


@dataclasses.dataclass(frozen=True)
class Innate:
    """What a network is born with; meta-parameters like the rule's.

    Initial weights are normal. Input synapses have standard deviation ``input_gain`` (one-hot
    stimuli: one input speaks at a time), all others gain / sqrt(incoming edges of the class), so
    that a gain is about a spectral radius. Leaks of hidden nodes are spread log-uniformly between
    ``leak_low`` and ``leak_high``.
    """

    input_gain: float = rate(1.0, "standard deviation of input-to-hidden synapses")
    bias_gain: float = rate(0.1, "standard deviation of hidden nodes' bias")
    recurrent_gain: float = rate(1.0, "gain of hidden-to-hidden synapses")
    recall_gain: float = rate(1.0, "gain of memory-to-hidden synapses")
    return_gain: float = rate(0.1, "gain of output-to-hidden synapses")
    output_gain: float = rate(0.1, "gain of synapses from memory and hidden nodes onto outputs")
    direct_gain: float = rate(
        0.0, "standard deviation of synapses from inputs and the constant onto outputs"
    )
    memory_input_gain: float = rate(0.5, "standard deviation of input-to-memory synapses")
    memory_bias_gain: float = rate(0.0, "standard deviation of memory nodes' bias")
    memory_gain: float = rate(1.0, "gain of memory-to-memory synapses")
    memory_leak: float = fraction(1.0, "leak of memory nodes")
    leak_low: float = fraction(1.0, "smallest leak: part of the activity replaced in a tick")
    leak_high: float = fraction(1.0, "largest leak")
    feedback_gain: float = real(1.0, "factor of the feedback to hidden nodes", scale=0.3)
    feedback_decay: float = rate(1e-4, "Kolen-Pollack decay of both weights, per tick")
    ready_threshold: float = fraction(0.5, "readiness from which a self-paced symbol ends")

    def __post_init__(self) -> None:
        check_parameters(self)

    def init(self) -> Theta:
        """The innate meta-parameters as theta."""
        return defaults(self)

    def space(self) -> Any:
        """The search space of each."""
        return spaces(self)


class Teaching(NamedTuple):
    """What the teacher says after a prediction.

    Attributes:
      target: [O] the target: one-hot, or the values.
      taught: 1.0 if the target is shown now, else 0.0; the target is then not looked at.
      reward: the reward, looked at where ``taught`` is 1.
      plastic: factor of every change of weight; 0.0 freezes the weights, whatever a rule does, and
        nothing is taught then.
      output: [O] what was predicted, where it is not the present output that the target is compared
        with: teaching that comes late. None: the present output.
    """

    target: Array
    taught: Any = 1.0
    reward: Any = 0.0
    plastic: Any = 1.0
    output: Any = None


class Wiring(NamedTuple):
    """A graph made ready for a network: see `LoopyNetwork.wire`."""

    wires: Bundles
    index: Bundles
    rates: Bundles
    permutation: Bundles


class NetworkState(NamedTuple):
    """What a network carries from tick to tick; weights and traces in the bundles' edge shape.

    Attributes:
      activity: [N] inputs clamped, hidden activities, outputs (probabilities or values).
      sent: [N] the activities that hidden nodes received in the last tick.
      drive: [hidden + outputs] summed inputs of the last tick, before the nonlinearity.
      weight: per bundle.
      trace: per bundle, the rule's memory.
      feedback: random projection [memory + hidden, O], Kolen-Pollack weights (edge shape), or ().
      leak: [memory + hidden] part of the activity that is replaced in a tick.
      predicted: [N] what each node got back a tick ago (teaching ``prediction``), or ().
      passed: [hops - 1, memory + hidden] slope times leak of the last ticks, for relayed feedback.
      age: ticks since birth.
    """

    activity: Array
    sent: Array
    drive: Array
    weight: Bundles
    trace: Bundles
    feedback: Any
    leak: Array
    predicted: Any
    passed: Any
    age: Array


def _winners(drive: Array, groups: int, winners: int) -> Array:
    """1.0 at the ``winners`` nodes of largest drive in each group (ties all win), else 0.0."""
    grouped = drive.reshape(groups, -1, *drive.shape[1:])
    least = jnp.sort(grouped, axis=1)[:, -winners]
    return (grouped >= least[:, None]).astype(drive.dtype).reshape(drive.shape)


def _softmax_groups(drive: Array, groups: int, temperature: float) -> Array:
    grouped = drive.reshape(groups, -1, *drive.shape[1:]) / temperature
    return jax.nn.softmax(grouped, axis=1).reshape(drive.shape)


_ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
    "tanh": lambda u: jnp.tanh(u),
    "relu": lambda u: jax.nn.relu(u),
    "leaky_relu": lambda u: jax.nn.leaky_relu(u, 0.1),
    "gelu": lambda u: jax.nn.gelu(u),
    "sigmoid": lambda u: jax.nn.sigmoid(u),
    "silu": lambda u: jax.nn.silu(u),
    "linear": lambda u: u,
}
ACTIVATIONS = (*_ELEMENTWISE, "k_winners", "softmax")


def _even(receivers: Any, starts: Sequence[int]) -> tuple[bool, bool, bool]:
    """Whether the receivers of each bundle have equally many edges: [E] or a stack [G, E].

    ``starts`` are the bundles' first nodes, and the end.
    """
    rows = np.atleast_2d(np.asarray(receivers))
    degrees = np.stack([np.bincount(row, minlength=starts[-1]) for row in rows])
    parts = [degrees[:, a:b] for a, b in itertools.pairwise(starts)]
    memory, hidden, output = (bool((part == part[:1, :1]).all()) for part in parts)
    return memory, hidden, output


def has_rate(rule: Rule) -> bool:
    """Whether a rule has a rate that ``rate_fan_in`` scales: an ``eta``, its own or one inside."""
    theta = jax.eval_shape(rule.init, jax.random.key(0))
    while "eta" not in theta and "rule" in theta:
        theta = theta["rule"]
    return "eta" in theta


def _with_rate(theta: Theta, factor: Array) -> Theta:
    """A rule's theta with its outermost ``eta`` multiplied; as it is where there is none."""
    if "eta" in theta:
        eta = jnp.asarray(theta["eta"])
        return theta | {"eta": eta * behind(factor, eta)}
    return theta | {"rule": _with_rate(theta["rule"], factor)} if "rule" in theta else theta


_ZERO = Zero()


@dataclasses.dataclass(frozen=True)
class LoopyNetwork:
    """The static part of a network: sizes, rule and choices. Build it with `for_graph`.

    Attributes:
      num_inputs: inputs of the graph; the last is the constant 1 if ``bias``.
      num_hidden: hidden nodes, memory nodes among them.
      num_outputs: outputs, the ready node among them.
      num_edges: edges onto memory nodes, other hidden nodes, and outputs.
      even: whether all memory nodes, all other hidden nodes, all outputs have equally many incoming
        edges, which is faster in a sparse layout.
      edge_classes: those of `EDGE_CLASSES` that the graph has.
      rule: the plasticity rule of the synapses onto hidden nodes.
      output_rule: that of the synapses onto outputs (None: the same rule and theta).
      memory_rule: that of the synapses onto memory nodes (None: the same rule and theta); by
        default they do not learn, and memory nodes are a reservoir.
      num_memory: how many of the hidden nodes, the first ones, are memory nodes.
      innate: what the network is born with.
      sharing: what has a theta of its own: ``shared`` (one for all synapses), ``per_class``
        (`EDGE_CLASSES`), ``per_node_type`` (of the receiver) or ``per_synapse``.
      rate_fan_in: incoming edges for which the rules' rates are meant: the outermost ``eta`` of
        synapses onto nodes that hear n nodes of the sender's kind is multiplied by rate_fan_in / n
        (inputs: by 1, since of one-hot stimuli one speaks at a time), so that a rule found in
        networks of one width suits those of another (Yang et al., 2022); some rule must have an
        ``eta``. None: rates are as they are.
      num_node_types: types of hidden nodes, equal parts in node order; outputs are one more.
      orthogonal: memory nodes are born with recurrent weights as near to an orthogonal matrix as
        the graph allows, so that activity neither dies nor explodes; else with normal ones.
      memory_activation: of memory nodes, one of the elementwise `ACTIVATIONS`.
      activation: of hidden nodes: one of `ACTIVATIONS`; ``k_winners`` and ``softmax`` act in
        ``groups`` equal groups.
      loss: ``cross_entropy`` (outputs are a softmax) or ``squared_error`` (outputs are linear).
      teaching: what reaches the network: the output ``error``, the ``target`` as activity, a
        ``reward``, its own ``prediction`` of its next input, or ``none``.
      feedback: how the output error reaches hidden nodes: along the output synapses' own weights
        (``shared`` edges), learned weights (``kolen_pollack``), a fixed ``random`` projection, the
        network's own ``returning`` edges, or ``none``.
      ready: the last output is the ready node, of which self-paced reading asks whether the symbol
        is done. It is taught how well the others predict: the probability that they gave to the
        target, or exp of minus the squared error, or the reward.
      same_tick_readout: outputs read the hidden activity of this tick (else of the last).
      bias: a constant input.
      noise: standard deviation of noise on the drives.
      lifespan: ticks that the network expects to live; rates may fall with the part of it that has
        passed. Given by the task's length where a network is built for a task.
      groups: groups of hidden nodes for competition.
      winners: winners of a group's competition.
      temperature: of a soft competition; 0 is winners take all.
      control: ``frozen`` (no plasticity), ``shuffled`` (each synapse gets the change of a random
        other one onto the same kind of node; where there is no other it gets none), ``zero`` (the
        rule replaced by none), or ``none``: what it is compared with.
      layout: ``dense``, ``sparse``, or ``auto``.

    Raises:
      ValueError: a choice is unknown, a number cannot be, or a rule needs what the network does not
        give it (see `Rule.needs`).
    """

    num_inputs: int
    num_hidden: int
    num_outputs: int
    num_edges: tuple[int, int, int]
    rule: Rule
    output_rule: Rule | None = None
    memory_rule: Rule | None = _ZERO
    num_memory: int = 0
    even: tuple[bool, bool, bool] = (False, False, False)
    edge_classes: tuple[str, ...] = EDGE_CLASSES
    orthogonal: bool = True
    innate: Innate = Innate()
    sharing: str = "shared"
    rate_fan_in: float | None = None
    num_node_types: int = 1
    activation: str = "tanh"
    memory_activation: str = "tanh"
    loss: str = "cross_entropy"
    teaching: str = "error"
    feedback: str = "shared"
    ready: bool = False
    same_tick_readout: bool = True
    bias: bool = True
    noise: float = 0.0
    lifespan: float = 10000.0
    groups: int = 1
    winners: int = 1
    temperature: float = 0.0
    control: str = "none"
    layout: str = "auto"

    def __post_init__(self) -> None:
        for name, low in (
            ("num_inputs", 1),
            ("num_hidden", 0),
            ("num_outputs", 1),
            ("num_memory", 0),
            ("num_node_types", 1),
            ("groups", 1),
            ("winners", 1),
        ):
            _validate.at_least(name, getattr(self, name), low)
        for name, options in (
            ("sharing", SHARING),
            ("activation", ACTIVATIONS),
            ("memory_activation", _ELEMENTWISE),
            ("loss", ("cross_entropy", "squared_error")),
            ("teaching", TEACHING),
            ("feedback", FEEDBACK),
            ("control", CONTROLS),
            ("layout", ("auto", "dense", "sparse")),
        ):
            _validate.choice(name, getattr(self, name), options)
        for name in ("rule", "output_rule", "memory_rule"):
            rule = getattr(self, name)
            if not isinstance(rule, Rule) and not (name != "rule" and rule is None):
                raise TypeError(f"{name} must be a Rule, got {rule!r}")
        if self.rate_fan_in is not None:
            _validate.positive("rate_fan_in", self.rate_fan_in)
        if self.num_memory > self.num_hidden:
            raise ValueError(
                f"num_memory must be at most num_hidden = {self.num_hidden}, got {self.num_memory}"
            )
        _validate.at_least("noise", self.noise, 0, whole=False)
        _validate.positive("lifespan", self.lifespan)
        _validate.at_least("temperature", self.temperature, 0, whole=False)
        learning = self.num_hidden - self.num_memory
        if learning % self.groups:
            raise ValueError(f"groups must divide the {learning} hidden nodes, got {self.groups}")
        if learning and self.winners > learning // self.groups:
            raise ValueError(f"winners must be at most a group's size, got {self.winners}")
        if self.bias and self.num_inputs < 2:
            raise ValueError("num_inputs must count the constant input of bias=True: at least 2")
        if self.ready and self.num_outputs < 2:
            raise ValueError("num_outputs must count the ready node of ready=True: at least 2")
        if self.ready and self.teaching in ("prediction", "none"):
            raise ValueError(
                "ready=True needs a teaching that says how good a prediction was: error, target or "
                f"reward, got {self.teaching!r}"
            )
        if self.teaching == "prediction" and self.num_outputs > self.num_stimuli:
            raise ValueError(
                "teaching='prediction' reads the next stimulus, so it needs as many inputs as "
                f"outputs, got {self.num_stimuli} inputs and {self.num_outputs} outputs"
            )
        self._check_rules()

    def _check_rules(self) -> None:
        """Refuses rules that would do nothing in this network, and no one would know."""
        bundles = zip(self._parts, self.bundle_rules, self.num_edges, strict=True)
        living = {part: rule for part, rule, edges in bundles if edges}
        if self.rate_fan_in is not None:
            plastic = [rule for rule in living.values() if not isinstance(rule, Zero)]
            if plastic and not any(has_rate(rule) for rule in plastic):
                raise ValueError(
                    "rate_fan_in scales the eta of rules, and no rule of this network has one: set "
                    f"it to None, got {self.rate_fan_in}"
                )
        if self.control in ("frozen", "zero"):  # under which no rule does anything
            return
        lacking = {}
        if self.teaching not in REWARDING:
            options = " or ".join(map(repr, REWARDING))
            lacking["reward"] = f"a reward: set teaching to {options}, not {self.teaching!r}"
        if not self.noise:
            lacking["noise"] = "noise on the drives: set noise to more than 0"
        for part, rule in living.items():
            name = type(rule).__name__
            for need in rule.needs:
                _validate.choice(f"need of {name}", need, NEEDS)
            if wanted := [text for need, text in lacking.items() if need in rule.needs]:
                raise ValueError(f"{part} ({name}) needs {'; and '.join(wanted)}")

    @classmethod
    def for_graph(
        cls,
        graph: Graph,
        rule: Rule,
        *,
        num_inputs: int,
        num_outputs: int,
        num_hidden: int,
        **choices: Any,
    ) -> LoopyNetwork:
        """The network that lives on ``graph`` (or on each of a stack of graphs of one size)."""
        receivers = np.asarray(graph.receivers)
        num_nodes = num_inputs + num_hidden + num_outputs
        if receivers.size and max(receivers.max(), np.asarray(graph.senders).max()) >= num_nodes:
            raise ValueError(f"the graph has nodes beyond the {num_nodes} of the network")
        ends = np.array([choices.get("num_memory", 0) + num_inputs, num_inputs + num_hidden])
        before = (receivers[..., None, :] < ends[:, None]).sum(-1).reshape(-1, 2)
        if (before != before[0]).any():
            raise ValueError("the graphs of a stack must have equally many edges onto each kind")
        memory, hidden = (int(n) for n in before[0])
        bias = choices.get("bias", True)
        starts = [num_inputs - bias, num_inputs, *ends, num_nodes]
        of = lambda nodes: np.searchsorted(starts, np.ravel(nodes), side="right")  # noqa: E731
        places = np.unique(5 * (of(receivers) - 2) + of(graph.senders))
        return cls(
            even=_even(receivers, (num_inputs, *ends, num_nodes)),
            edge_classes=tuple(EDGE_CLASSES[place] for place in places),
            num_inputs=num_inputs,
            num_hidden=num_hidden,
            num_outputs=num_outputs,
            num_edges=(memory, hidden - memory, receivers.shape[-1] - hidden),
            rule=rule,
            **choices,
        )

    # --- sizes and layouts -----------------------------------------------------------------------

    @property
    def num_nodes(self) -> int:
        """N: inputs, hidden nodes and outputs."""
        return self.num_inputs + self.num_hidden + self.num_outputs

    @property
    def num_answers(self) -> int:
        """O, the size of the prediction: the outputs without the ready node."""
        return self.num_outputs - self.ready

    @property
    def num_stimuli(self) -> int:
        """Size of the stimulus: the inputs without the constant one."""
        return self.num_inputs - self.bias

    @property
    def layouts(self) -> Bundles:
        """The layouts of the three bundles."""

        def layout(first: int, receivers: int, edges: int, even: bool) -> Layout:
            possible = max(receivers * self.num_nodes, 1)
            dense = self.layout == "dense" or (
                self.layout == "auto" and edges / possible >= DENSE_FROM
            )
            return Layout(dense, first, receivers, self.num_nodes, edges, even)

        a, b, c, _ = self._starts
        sizes = (b - a, c - b, self.num_outputs)
        each = zip((a, b, c), sizes, self.num_edges, self.even, strict=True)
        return Bundles(*(layout(*bundle) for bundle in each))

    @property
    def _starts(self) -> tuple[int, int, int, int]:
        """Numbers of the first memory node, hidden node, output, and of the end."""
        memory, output = self.num_inputs, self.num_inputs + self.num_hidden
        return memory, memory + self.num_memory, output, output + self.num_outputs

    @property
    def hops(self) -> int:
        """How many hidden-to-hidden edges feedback is relayed over."""
        return max(rule.hops for rule in self.bundle_rules)

    @property
    def lanes(self) -> bool:
        """Whether a population is fastest as lanes behind the edge axis (sparse bundles)."""
        largest = int(np.argmax(self.num_edges))
        return not self.layouts[largest].dense

    @property
    def _parts(self) -> tuple[str, str, str]:
        """Which part of theta each bundle's rule reads."""
        memory = "rule" if self.memory_rule is None else "memory_rule"
        return memory, "rule", "rule" if self.output_rule is None else "output_rule"

    @property
    def bundle_rules(self) -> Bundles:
        """The rule of each bundle."""
        return Bundles(*(getattr(self, part) for part in self._parts))

    # --- theta -----------------------------------------------------------------------------------

    def _owners(self) -> tuple[int, int, int]:
        """How many thetas each bundle has under the network's sharing."""
        return {
            "shared": (1, 1, 1),
            "per_class": (5, 5, 5),
            "per_node_type": (1, self.num_node_types, 1),
            "per_synapse": self.num_edges,
        }[self.sharing]

    def _first_owner(self, which: int) -> int:
        """Where a bundle's thetas begin among those of its part."""
        parts, owners = self._parts, self._owners()
        return sum(owners[b] for b in range(which) if parts[b] == parts[which])

    def init_theta(self, key: Array | None = None) -> Theta:
        """Theta: ``{"rule": ..., "output_rule": ..., "innate": ...}``, in natural units.

        Leaves of the rules have a leading axis of owners unless theta is ``shared``.
        """
        key = jax.random.key(0) if key is None else key
        theta: dict[str, Any] = {"innate": self.innate.init()}
        for place, part in enumerate(("memory_rule", "rule", "output_rule")):
            if part not in self._parts:
                continue
            born = getattr(self, part).init(jax.random.fold_in(key, place))
            if self.sharing != "shared":
                pairs = zip(self._parts, self._owners(), strict=True)
                num = sum(owners for name, owners in pairs if name == part)
                born = jax.tree.map(lambda x, n=num: jnp.broadcast_to(x, (n, *jnp.shape(x))), born)
            theta[part] = born
        return theta

    def space(self) -> Any:
        """The search space of each leaf of theta."""
        parts = {part: getattr(self, part).space() for part in self._parts}
        return {"innate": self.innate.space()} | parts

    def idle(self) -> tuple[str, ...]:
        """Dotted names of the parts of theta that do nothing in this network."""
        gains = {
            "memory_input_gain": ("input-memory",),
            "memory_bias_gain": ("bias-memory",),
            "memory_gain": ("memory-memory",),
            "input_gain": ("input-hidden",),
            "bias_gain": ("bias-hidden",),
            "recall_gain": ("memory-hidden",),
            "recurrent_gain": ("hidden-hidden", "hidden-memory"),
            "return_gain": ("output-hidden", "output-memory"),
            "output_gain": ("memory-output", "hidden-output", "output-output"),
            "direct_gain": ("input-output", "bias-output"),
        }
        present = set(self.edge_classes)
        idle = [f"innate.{name}" for name, classes in gains.items() if not present & set(classes)]
        learning = self.num_hidden - self.num_memory
        if not self.num_memory:
            idle.append("innate.memory_leak")
        if not learning:
            idle += ["innate.leak_low", "innate.leak_high"]
        if self.feedback != "kolen_pollack":
            idle.append("innate.feedback_decay")
        if not self.ready:
            idle.append("innate.ready_threshold")
        if self.feedback == "none" or not learning or self.teaching in ("reward", "none"):
            idle.append("innate.feedback_gain")
        edges = dict(zip(("memory_rule", "rule", "output_rule"), self.num_edges, strict=True))
        parts = dict.fromkeys(self._parts)
        for part in parts:
            used = sum(edges[b] for b, p in zip(edges, self._parts, strict=True) if p == part)
            if not used and jax.tree.leaves(getattr(self, part).init()):
                idle.append(part)
        return tuple(idle)

    def _bundle_theta(self, theta: Theta, wiring: Wiring, which: int) -> Theta:
        """The rule's theta of one bundle, its leaves broadcastable to the edge shape."""
        rule, layout = self.bundle_rules[which], self.layouts[which]
        leaves = theta[self._parts[which]]
        index, edge_axes = wiring.index[which], len(layout.edge_shape)
        template = jax.eval_shape(rule.init, jax.random.key(0))

        def expand(leaf: Array, shape: Any) -> Array:
            leaf, axes = jnp.asarray(leaf), shape.ndim
            if index is None:
                return leaf.reshape(leaf.shape[:axes] + (1,) * edge_axes + leaf.shape[axes:])
            taken = leaf[index]
            edges = tuple(range(index.ndim))
            return jnp.moveaxis(taken, edges, tuple(axes + e for e in edges))

        own = jax.tree.map(expand, leaves, template)
        return own if self.rate_fan_in is None else _with_rate(own, wiring.rates[which])

    def _owner_index(self, wires: Wires, which: int) -> Any:
        """Which theta each synapse of a bundle uses, broadcastable to the edge shape, or None."""
        layout, first = self.layouts[which], self._first_owner(which)
        if self.sharing == "shared":
            return None
        if self.sharing == "per_synapse":
            return layout.from_edges(wires, jnp.arange(first, first + layout.num_edges))
        if self.sharing == "per_class":
            memory, hidden, output, end = self._starts
            starts = (0, self.num_stimuli, memory, hidden, output, end)
            kinds = np.repeat(np.arange(5), np.diff(starts))
            return layout.of_senders(wires, jnp.asarray(first + kinds))
        types = np.zeros(layout.num_receivers, int)
        if which == HIDDEN:
            part = max(-(-layout.num_receivers // self.num_node_types), 1)
            types = np.arange(layout.num_receivers) // part
        return layout.of_receivers(wires, jnp.asarray(first + types))

    # --- birth -----------------------------------------------------------------------------------

    def wire(self, graph: Graph, key: Array | None = None) -> Wiring:
        """Makes a graph ready; ``key`` is used by the ``shuffled`` control only."""
        self._check_even(graph)
        ends = np.cumsum((0, *self.num_edges))
        parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
        wires = Bundles(
            *(
                layout.wires(jnp.asarray(graph.senders)[part], jnp.asarray(graph.receivers)[part])
                for layout, part in zip(self.layouts, parts, strict=True)
            )
        )
        index = Bundles(*(self._owner_index(wires[b], b) for b in range(3)))
        rates = Bundles(*(self._rates(wires[b], b) for b in range(3)))
        permutation = Bundles((), (), ())
        if self.control == "shuffled":
            key = jax.random.key(0) if key is None else key
            keys = jax.random.split(key, 3)
            permutation = Bundles(
                *(
                    layout.places(wires[b], layout.shuffle(keys[b]))
                    for b, layout in enumerate(self.layouts)
                )
            )
        return Wiring(wires, index, rates, permutation)

    def _rates(self, wires: Wires, which: int) -> Any:
        """Factor of each synapse's rate by its receiver's fan-in, or (): see ``rate_fan_in``."""
        if self.rate_fan_in is None:
            return ()
        layout, (memory, hidden, output, _) = self.layouts[which], self._starts
        nodes = jnp.arange(self.num_nodes)
        kind: Any = sum((nodes >= start).astype(int) for start in (memory, hidden, output))
        edges = jax.ops.segment_sum(jnp.ones(layout.num_edges), kind[wires.senders], 4)
        fan_in = jnp.maximum(edges / max(layout.num_receivers, 1), 1.0)  # the mean of the bundle's
        factor = (self.rate_fan_in / fan_in).at[0].set(1.0)
        return layout.of_senders(wires, factor[kind])

    def _check_even(self, graph: Graph) -> None:
        """Refuses a graph less even than the one the network was built for (unless traced)."""
        if isinstance(graph.receivers, jax.core.Tracer):
            return
        for kind, wanted, found in zip(
            ("memory nodes", "hidden nodes", "outputs"),
            self.even,
            _even(graph.receivers, self._starts),
            strict=True,
        ):
            if wanted and not found:
                raise ValueError(
                    f"the graph must give all {kind} equally many incoming edges, as the one that "
                    "the network was built for; build it with for_graph on a stack of both"
                )

    def _orthogonal(self, wires: Wires, weight: Array) -> Array:
        """Edge weights [E] with those among memory nodes as orthogonal as their graph allows.

        Alternates a Newton-Schulz step to the nearest orthogonal matrix, X <- (3 X - X X' X) / 2,
        with the projection onto the graph's edges (there are no self-edges, for one).
        """
        size, first = self.num_memory, self.num_inputs
        inside = (wires.senders >= first) & (wires.senders < first + size)
        column = jnp.where(inside, wires.senders - first, size)
        place = (wires.receivers, column)
        mask = jnp.zeros((size, size + 1)).at[place].set(1.0)[:, :size]
        start = jnp.zeros((size, size + 1)).at[place].set(weight)[:, :size]
        # A spectral norm below 1 is where the iteration converges from; rows of normals have
        # norms near 1, and the largest singular value of such a matrix is at most about 2.
        matrix = start / 2.2

        def closer(_: int, x: Array) -> Array:
            x = (1.5 * x - 0.5 * x @ x.T @ x) * mask
            norm = jnp.sqrt((x * x).sum(1, keepdims=True))
            return x / jnp.maximum(norm, 1e-6) * jnp.minimum(norm, 1.0)

        matrix = jax.lax.fori_loop(0, 30, closer, matrix)
        padded = jnp.concatenate([matrix, jnp.zeros((size, 1))], axis=1)
        return jnp.where(inside, padded[place], weight)

    def _initial_weights(self, key: Array, wires: Wires, innate: Theta, which: int) -> Array:
        """Normal weights, edge shape, with the gains of the edges' classes."""
        layout = self.layouts[which]
        memory, hidden, output, _ = self._starts
        senders = wires.senders
        kind: Any = sum((senders >= start).astype(int) for start in (memory, hidden, output))
        # Incoming edges of the same class, per edge.
        group = wires.receivers * 4 + kind
        count = jax.ops.segment_sum(jnp.ones(layout.num_edges), group, 4 * layout.num_receivers)
        scale = 1 / jnp.sqrt(jnp.maximum(count[group], 1.0))
        normal = jax.random.normal(key, (layout.num_edges,))
        if which != OUTPUT:
            scale = jnp.where(kind == 0, 1.0, scale)
            names = ("input", "recall", "recurrent", "return", "bias")
            if which == MEMORY:
                names = ("memory_input", "memory", "recurrent", "return", "memory_bias")
            gains = jnp.stack([innate[f"{name}_gain"] for name in names])
            is_bias = self.bias & (senders == self.num_inputs - 1)
            gain = gains[jnp.where(is_bias, 4, kind)]
        else:
            scale = jnp.where(kind == 0, 1.0, scale)  # kind 0 counts the constant input too
            gains = jnp.stack([innate["output_gain"], innate["direct_gain"]])
            gain = gains[(kind == 0).astype(int)]
        spread = normal * scale
        if which == MEMORY and self.orthogonal and self.num_memory:
            spread = self._orthogonal(wires, spread)
        lanes = jnp.ndim(innate["output_gain"])
        return layout.from_edges(wires, spread.reshape(spread.shape + (1,) * lanes) * gain)

    def init(self, key: Array, graph: Graph | Wiring, theta: Theta | None = None) -> NetworkState:
        """A newborn network: random weights, empty traces, silent nodes.

        Args:
          key: random key.
          graph: the graph it lives on.
          theta: meta-parameters (default: `init_theta`); with lanes behind, so is the state.
        """
        theta = self.init_theta() if theta is None else theta
        wiring = graph if isinstance(graph, Wiring) else self.wire(graph)
        innate = theta["innate"]
        *keys, key_leak, key_feedback = jax.random.split(key, 5)
        lanes = jnp.shape(innate["input_gain"])
        weight = Bundles(
            *(self._initial_weights(keys[b], wiring.wires[b], innate, b) for b in range(3))
        )
        # Leaks: log-uniform, at evenly spread places in random order, so that two networks of one
        # theta have the same leaks.
        learning = self.num_hidden - self.num_memory
        places = jax.random.permutation(key_leak, learning) / max(learning - 1, 1)
        low, high = (jnp.log(jnp.maximum(innate[f"leak_{end}"], 1e-9)) for end in ("low", "high"))
        places = places.reshape((-1,) + (1,) * len(lanes))
        leak = jnp.exp(ahead(low, places) + ahead(high - low, places) * places)
        same = jnp.broadcast_to(innate["memory_leak"], (self.num_memory, *lanes))
        leak = jnp.concatenate([same, jnp.broadcast_to(leak, (learning, *lanes))])
        feedback: Any = ()
        if self.feedback == "random":
            shape = (self.num_hidden, self.num_outputs)
            feedback = jax.random.normal(key_feedback, shape) / self.num_outputs**0.5
        elif self.feedback == "kolen_pollack":
            # Born independent of the forward weights; learning aligns the two.
            feedback = self._initial_weights(key_feedback, wiring.wires.output, innate, OUTPUT)
        trace = Bundles(
            *(
                jax.tree.map(
                    lambda value, s=layout.edge_shape: jnp.full(
                        s + lanes, value, jnp.result_type(float)
                    ),
                    rule.init_trace(),
                )
                for rule, layout in zip(self.bundle_rules, self.layouts, strict=True)
            )
        )
        nodes = jnp.zeros((self.num_nodes, *lanes))
        return NetworkState(
            activity=nodes,
            sent=nodes,
            drive=nodes[self.num_inputs :],
            weight=weight,
            trace=trace,
            feedback=feedback,
            leak=leak,
            predicted=nodes if self.teaching == "prediction" else (),
            passed=jnp.zeros((max(self.hops - 1, 0), self.num_hidden, *lanes)),
            age=jnp.zeros(()),
        )

    # --- the acts of a tick ----------------------------------------------------------------------

    def _activate(self, drive: Array) -> tuple[Array, Array]:
        """Values and slopes of the nonlinearities of memory and hidden nodes at their drives."""
        if not self.num_memory:
            return self._activate_hidden(drive)
        memory, hidden = drive[: self.num_memory], drive[self.num_memory :]
        phi = _ELEMENTWISE[self.memory_activation]
        parts = (jax.jvp(phi, (memory,), (jnp.ones_like(memory),)), self._activate_hidden(hidden))
        value, slope = (jnp.concatenate(pair) for pair in zip(*parts, strict=True))
        return value, slope

    def _activate_hidden(self, drive: Array) -> tuple[Array, Array]:
        if self.activation == "k_winners":
            won = _winners(drive, self.groups, self.winners)
            return drive * won, won
        if self.activation == "softmax":
            share = _softmax_groups(drive, self.groups, self.temperature or 1.0)
            return share, share * (1 - share) / (self.temperature or 1.0)
        phi = _ELEMENTWISE[self.activation]
        return jax.jvp(phi, (drive,), (jnp.ones_like(drive),))

    def send(self, state: NetworkState, stimulus: Array) -> NetworkState:
        """Clamps the inputs to ``stimulus`` [I]; they hold it until the next sending."""
        inputs = jnp.asarray(stimulus, state.activity.dtype)
        if self.bias:
            inputs = jnp.concatenate([inputs, jnp.ones_like(inputs[:1])])
        lanes = state.activity.shape[1:]
        inputs = jnp.broadcast_to(behind(inputs, state.activity), (self.num_inputs, *lanes))
        return state._replace(activity=jnp.concatenate([inputs, state.activity[self.num_inputs :]]))

    def propagate(
        self, wiring: Wiring, state: NetworkState, key: Array | None = None
    ) -> NetworkState:
        """One tick of activity: every edge transmits, every node takes in; no synapse changes."""
        layouts, wires, sent = self.layouts, wiring.wires, state.activity
        first, last = self.num_inputs, self.num_inputs + self.num_hidden
        drive = jnp.concatenate(
            [
                layouts[b].forward(wires[b], state.weight[b], sent)
                for b in (MEMORY, HIDDEN)
                if layouts[b].num_receivers or b == HIDDEN
            ]
        )
        if self.noise and key is not None:  # the same for every lane
            drive = drive + self.noise * behind(jax.random.normal(key, drive.shape[:1]), drive)
        value, _ = self._activate(drive)
        hidden = (1 - state.leak) * sent[first:last] + state.leak * value
        heard = sent
        if self.same_tick_readout:
            heard = jnp.concatenate([sent[:first], hidden, sent[last:]])
        output_drive = layouts.output.forward(wires.output, state.weight.output, heard)
        output, ready = output_drive[: self.num_answers], output_drive[self.num_answers :]
        if self.loss == "cross_entropy":
            output = jax.nn.softmax(output, axis=0)
        if self.ready:
            output = jnp.concatenate([output, jax.nn.sigmoid(ready)])
        return state._replace(
            activity=jnp.concatenate([sent[:first], hidden, output]),
            sent=sent,
            drive=jnp.concatenate([drive, output_drive]),
        )

    def read(self, wiring: Wiring, state: NetworkState) -> Array:
        """The prediction [O]: logits (cross entropy) or values.

        Under teaching ``prediction`` it is what the inputs get back along their own edges.
        """
        if self.teaching == "prediction":
            back = self._reconstruct(wiring, state, state.activity)[: self.num_outputs]
            return jnp.log(jnp.clip(back, 1e-4, None)) if self.loss == "cross_entropy" else back
        return self._answers(state)

    def _answers(self, state: NetworkState) -> Array:
        """[O] the drives of the outputs without the ready node."""
        return state.drive[self.num_hidden : self.num_hidden + self.num_answers]

    def readiness(self, state: NetworkState) -> Array:
        """How ready the ready node is: 0 to 1."""
        return state.activity[-1]

    def _reconstruct(self, wiring: Wiring, state: NetworkState, activity: Array) -> Array:
        """[N] what each node gets back: sum of weight * receiver's activity over outgoing edges."""
        parts = self._by_bundle(activity)
        back: Any = sum(
            self.layouts[b].backward(wiring.wires[b], state.weight[b], parts[b])
            for b in range(3)
            if self.layouts[b].num_receivers
        )
        return back

    def _by_bundle(self, nodes: Array) -> list[Array]:
        """[N, ...] split into the receivers of each bundle."""
        starts = self._starts
        return [nodes[a:b] for a, b in itertools.pairwise(starts)]

    def _teach_signals(
        self, wiring: Wiring, state: NetworkState, innate: Theta, teaching: Teaching
    ) -> tuple[NetworkState, Array, Array, Array]:
        """(state, feedback [hidden], feedback [outputs], modulators [M]) of what is taught."""
        last = self.num_inputs + self.num_hidden
        now = state.activity[last : last + self.num_answers]
        output = now if teaching.output is None else teaching.output
        target = behind(jnp.asarray(teaching.target, output.dtype), output)
        taught = jnp.asarray(teaching.taught, output.dtype)
        # Where nothing may be learned nothing is taught: activity and traces would know it later.
        taught = taught * (jnp.asarray(teaching.plastic) > 0)
        target = jnp.where(taught > 0, target, 0.0)  # whatever an untaught target is, even nan
        error = (target - output) * taught
        lanes = output.shape[1:]
        silent = jnp.zeros((self.num_hidden, *lanes))
        reward, rewarded, surprise = 0.0, 0.0, 0.0
        hidden, at_output = silent, jnp.zeros_like(output)
        if self.teaching in ("error", "target"):
            if self.loss == "cross_entropy":
                log_p = jax.nn.log_softmax(self._answers(state), axis=0)
                if teaching.output is not None:
                    log_p = jnp.log(jnp.maximum(output, 1e-12))
                surprise = -(target * log_p).sum(0) * taught
            else:
                surprise = (error * error).sum(0)
        if self.teaching == "error":
            at_output, hidden = error, self._feedback(wiring, state, innate, error)
        elif self.teaching == "target":
            state = self.clamp(state, target, taught)
            hidden = self._feedback(wiring, state, innate, target * taught)
        elif self.teaching == "reward":
            reward, rewarded = teaching.reward * taught, taught
        elif self.teaching == "prediction":
            # Layer-wise: what a node carries now, less what its receivers told it to expect.
            off = state.sent - state.predicted
            hidden = off[self.num_inputs : last]
            hidden = ahead(innate["feedback_gain"], hidden) * hidden
            reward = -(off[: self.num_inputs] ** 2).mean(0)
            rewarded = 1.0
            predicted = self._reconstruct(wiring, state, state.activity)
            state = state._replace(predicted=predicted)
        if self.ready:
            good = teaching.reward if self.teaching == "reward" else jnp.exp(-jnp.asarray(surprise))
            off = (good - self.readiness(state)) * taught
            at_output = jnp.concatenate([at_output, jnp.broadcast_to(off, (1, *lanes))])
        signals = [jnp.broadcast_to(s, lanes) for s in (reward, rewarded, surprise)]
        return state, hidden, at_output, jnp.stack(signals)

    def clamp(self, state: NetworkState, target: Array, taught: Array) -> NetworkState:
        """The outputs held at the target [O], where it is taught."""
        last = self.num_inputs + self.num_hidden
        output = state.activity[last : last + self.num_answers]
        held = jnp.where(taught > 0, jnp.broadcast_to(behind(target, output), output.shape), output)
        rest = state.activity[last + self.num_answers :]
        return state._replace(activity=jnp.concatenate([state.activity[:last], held, rest]))

    def outputs(self, state: NetworkState) -> Array:
        """[O] the present outputs: probabilities or values."""
        last = self.num_inputs + self.num_hidden
        return state.activity[last : last + self.num_answers]

    def _feedback(self, wiring: Wiring, state: NetworkState, innate: Theta, error: Array) -> Array:
        """[hidden] the output error as it reaches hidden nodes."""
        layouts, wires = self.layouts, wiring.wires
        first, last = self.num_inputs, self.num_inputs + self.num_hidden
        if self.feedback == "none":
            return jnp.zeros((self.num_hidden, *error.shape[1:]))
        if self.ready:  # whose own error goes no further
            error = jnp.concatenate([error, jnp.zeros_like(error[:1])])
        if self.feedback == "random":
            back = state.feedback @ error
        elif self.feedback == "returning":
            nodes = jnp.concatenate([jnp.zeros((last, *error.shape[1:])), error])
            back = jnp.concatenate(
                [layouts[b].forward(wires[b], state.weight[b], nodes) for b in (MEMORY, HIDDEN)]
            )
        else:
            weight = state.weight.output if self.feedback == "shared" else state.feedback
            back = layouts.output.backward(wires.output, weight, error)[first:last]
        return ahead(innate["feedback_gain"], back) * back

    def _shares(self, state: NetworkState) -> Array:
        """[hidden without memory] each node's part in its group's competition."""
        drive = state.drive[self.num_memory : self.num_hidden]
        if self.temperature:
            return _softmax_groups(drive, self.groups, self.temperature)
        return _winners(drive, self.groups, self.winners)

    def _synapses(
        self,
        wiring: Wiring,
        state: NetworkState,
        feedback: tuple[Array, Array],
        modulator: Array,
        key: Array | None,
    ) -> list[Synapse]:
        """The view of every synapse, one `Synapse` of arrays a bundle."""
        first, last = self.num_inputs, self.num_inputs + self.num_hidden
        _, slope = self._activate(state.drive[: self.num_hidden])
        at_outputs = jnp.ones_like(state.drive[self.num_hidden :])
        nothing = jnp.zeros_like(state.activity[:first])
        leak = jnp.broadcast_to(behind(state.leak, slope), slope.shape)
        split = lambda *parts: self._by_bundle(jnp.concatenate([nothing, *parts]))  # noqa: E731
        drives, slopes = split(state.drive), split(slope, at_outputs)
        leaks, feedbacks = split(leak, at_outputs), split(*feedback)
        relays = self._relay(wiring, state, feedback[0], leak * slope)
        relayed = [self._by_bundle(jnp.concatenate([nothing, r, 0.0 * at_outputs])) for r in relays]
        posts, befores = self._by_bundle(state.activity), self._by_bundle(state.sent)
        heard = state.sent
        if self.same_tick_readout:
            heard = jnp.concatenate(
                [state.sent[:first], state.activity[first:last], state.sent[last:]]
            )
        sends = (state.sent, state.sent, heard)
        views = []
        for b in range(3):
            layout, wires, weight = self.layouts[b], wiring.wires[b], state.weight[b]
            uses = self.bundle_rules[b].uses
            shares = jnp.ones_like(posts[b])
            if "share" in uses and b == HIDDEN:
                shares = self._shares(state)
            zero = jnp.zeros((1,) * weight.ndim)
            fields: dict[str, Array] = dict.fromkeys(
                ("reconstruction", "energy", "norm", "noise"), zero
            )
            if "energy" in uses:
                squares = sends[b] * sends[b]
                if layout.dense:
                    energy = layout.forward(wires, behind(wires.mask, weight), squares)
                else:
                    heard_squares = layout.of_senders(wires, squares)
                    energy = layout.sum_in(wires, layout.masked(wires, heard_squares))
                fields["energy"] = layout.of_receivers(wires, energy)
            if "norm" in uses or "norm1" in uses:
                powers = weight * weight if "norm" in uses else jnp.abs(weight)
                fields["norm"] = layout.of_receivers(wires, layout.sum_in(wires, powers))
            fields["reconstruction"] = self._returned(uses, wiring, state, b, posts, befores, zero)
            if "noise" in uses and key is not None:
                normal = jax.random.normal(jax.random.fold_in(key, b), (layout.num_edges,))
                fields["noise"] = behind(layout.from_edges(wires, normal), weight)
            edges = (1,) * len(layout.edge_shape)
            softmax = b == OUTPUT and self.loss == "cross_entropy"
            views.append(
                Synapse(
                    pre=layout.of_senders(wires, sends[b]),
                    post=layout.of_receivers(wires, posts[b]),
                    drive=layout.of_receivers(wires, drives[b]),
                    slope=layout.of_receivers(wires, slopes[b]),
                    curvature=jnp.full((1,) * weight.ndim, 0.25 if softmax else 1.0),
                    leak=layout.of_receivers(wires, leaks[b]),
                    weight=weight,
                    feedback=layout.of_receivers(wires, feedbacks[b]),
                    relayed=tuple(layout.of_receivers(wires, r[b]) for r in relayed),
                    share=layout.of_receivers(wires, shares),
                    modulator=modulator.reshape((NUM_MODULATORS, *edges, *modulator.shape[1:])),
                    age=state.age.reshape((1,) * weight.ndim),
                    life=state.age.reshape((1,) * weight.ndim) / self.lifespan,
                    **fields,
                )
            )
        return views

    def _relay(
        self, wiring: Wiring, state: NetworkState, feedback: Array, passes: Array
    ) -> list[Array]:
        """[memory + hidden] feedback that crossed an edge k = 1, 2, ... ticks before it was felt.

        What reaches a node by then is that, and what waited in the node itself: a part 1 - leak of
        its activity is its last one. A synapse's own eligibility counts what waits at its receiver.
        """
        first, last = self.num_inputs, self.num_inputs + self.num_hidden
        gates, relays = [passes, *state.passed], []
        keep = behind(1 - state.leak, feedback)
        for hop in range(self.hops):
            carried = jnp.concatenate(
                [jnp.zeros_like(state.activity[:first]), gates[hop] * feedback]
            )
            at_output = jnp.zeros_like(state.activity[last:])
            parts = self._by_bundle(jnp.concatenate([carried, at_output]))
            back: Any = sum(
                self.layouts[b].backward(wiring.wires[b], state.weight[b], parts[b])
                for b in (MEMORY, HIDDEN)
                if self.layouts[b].num_receivers
            )
            relays.append(back[first:last])
            feedback = relays[-1] + keep * feedback
        return relays

    def _returned(
        self,
        uses: frozenset[str],
        wiring: Wiring,
        state: NetworkState,
        which: int,
        posts: list[Array],
        befores: list[Array],
        zero: Array,
    ) -> Array:
        """What each synapse's sender gets back, as the bundle's rule asks for it."""
        layout, wires = self.layouts[which], wiring.wires[which]
        if "sanger" in uses:
            back = layout.cumulative_backward(wires, state.weight[which], posts[which])
            for b in range(which):  # all receivers that come before in node order
                earlier = self.layouts[b].backward(wiring.wires[b], state.weight[b], posts[b])
                back = back + layout.of_senders(wires, earlier)
            return back
        if "reconstruction" in uses or "shifted" in uses:
            shifted = befores if "shifted" in uses else posts
            nodes = jnp.concatenate([jnp.zeros_like(state.activity[: self.num_inputs]), *shifted])
            return layout.of_senders(wires, self._reconstruct(wiring, state, nodes))
        return zero

    def teach(
        self,
        theta: Theta,
        wiring: Wiring,
        state: NetworkState,
        teaching: Teaching | None = None,
        key: Array | None = None,
    ) -> NetworkState:
        """Every synapse changes by the rule, given what is taught now (None: nothing is)."""
        if teaching is None:
            teaching = Teaching(jnp.zeros(self.num_answers), taught=0.0)
        innate = theta["innate"]
        state, hidden, at_output, modulator = self._teach_signals(wiring, state, innate, teaching)
        views = self._synapses(wiring, state, (hidden, at_output), modulator, key)
        plastic = jnp.asarray(teaching.plastic)
        off = self.control in ("frozen", "zero")
        fewest = 2 if self.control == "shuffled" else 1
        weights, traces, changes = [], [], []
        for b, view in enumerate(views):
            rule, layout, wires = self.bundle_rules[b], self.layouts[b], wiring.wires[b]
            trace = state.trace[b]
            if off or isinstance(rule, Zero) or layout.num_edges < fewest:
                weights.append(state.weight[b])
                traces.append(trace)
                changes.append(0.0)
                continue
            change, new_trace = rule.update(self._bundle_theta(theta, wiring, b), trace, view)
            change = jnp.broadcast_to(change, view.weight.shape)
            if self.control == "shuffled":
                change = layout.taken(wiring.permutation[b], change)
            change = jnp.where(plastic > 0, change, 0.0) * plastic  # 0 times inf would be nan
            change = layout.masked(wires, change)
            weights.append(view.weight + change)
            traces.append(
                jax.tree.map(lambda new, old: jnp.broadcast_to(new, old.shape), new_trace, trace)
            )
            changes.append(change)
        feedback = state.feedback
        if self.feedback == "kolen_pollack":
            keep = 1.0 if off else 1 - innate["feedback_decay"] * plastic
            keep = ahead(keep, feedback)
            feedback = keep * feedback + changes[OUTPUT]
            weights[OUTPUT] = keep * state.weight.output + changes[OUTPUT]
        passed = state.passed
        if self.hops > 1:
            _, slope = self._activate(state.drive[: self.num_hidden])
            now = behind(state.leak, slope) * slope
            passed = jnp.concatenate([now[None], passed[:-1]])
        return state._replace(
            passed=passed,
            weight=Bundles(*weights),
            trace=Bundles(*traces),
            feedback=feedback,
            age=state.age + 1,
        )

    def step(
        self,
        theta: Theta,
        graph: Graph | Wiring,
        state: NetworkState,
        stimulus: Array,
        teaching: Teaching | None = None,
        key: Array | None = None,
    ) -> tuple[NetworkState, Array]:
        """One tick: send, propagate, read, teach. The prediction never sees what is taught.

        Args:
          theta: meta-parameters, as from `init_theta`.
          graph: the graph, or its `wire`d form (saves the work of wiring every tick).
          state: the network.
          stimulus: [I] input, without the constant one.
          teaching: what the teacher says after the prediction; None: nothing.
          key: random key, if the network has ``noise`` or the rule uses it.

        Returns:
          The state and the prediction [O] (logits under cross entropy).
        """
        wiring = graph if isinstance(graph, Wiring) else self.wire(graph)
        state = self.propagate(wiring, self.send(state, stimulus), key)
        prediction = self.read(wiring, state)
        return self.teach(theta, wiring, state, teaching, key), prediction

    # --- in mid-life (loopymeta.interventions) ---------------------------------------------------

    def perturb(self, state: NetworkState, key: Array, sigma: float) -> NetworkState:
        """Every weight times 1 + sigma * normal; the same numbers for every lane."""

        def noisy(values: Array, key: Array, axes: int) -> Array:
            normal = jax.random.normal(key, values.shape[:axes])
            return values * (1 + sigma * behind(normal, values))

        keys = jax.random.split(key, 4)
        each = zip(state.weight, keys, self.layouts, strict=False)
        weight = Bundles(*(noisy(w, k, len(layout.edge_shape)) for w, k, layout in each))
        feedback = state.feedback
        if self.feedback in ("random", "kolen_pollack"):
            random = self.feedback == "random"
            axes = 2 if random else len(self.layouts.output.edge_shape)
            feedback = noisy(feedback, keys[3], axes)
        return state._replace(weight=weight, feedback=feedback)

    def remove(
        self, wiring: Wiring, state: NetworkState, key: Array, edges: float, nodes: float
    ) -> tuple[Wiring, NetworkState]:
        """Takes random fractions of all edges, and of the hidden nodes, out of the network.

        The weights of edges that are out are zero and stay zero. A node that is out has no edges:
        it is silent (in a competition of its group it still stands, at a drive of zero).
        """
        key_edges, key_nodes = jax.random.split(key)
        alive = survivors(key_nodes, self.num_hidden, nodes)
        ends = [jnp.ones(self.num_inputs), alive, jnp.ones(self.num_outputs)]
        node = jnp.concatenate(ends)
        stays = survivors(key_edges, sum(self.num_edges), edges)
        starts = np.cumsum((0, *self.num_edges))
        wires, weights = [], []
        for b, (layout, own) in enumerate(zip(self.layouts, wiring.wires, strict=True)):
            kept = stays[starts[b] : starts[b + 1]]
            kept = kept * node[own.senders] * node[own.receivers + layout.first]
            wires.append(layout.without(own, kept))
            weights.append(layout.masked(wires[b], state.weight[b]))
        feedback = state.feedback
        if self.feedback == "kolen_pollack":
            feedback = self.layouts.output.masked(wires[OUTPUT], feedback)
        silent = behind(node, state.activity)
        state = state._replace(
            weight=Bundles(*weights), feedback=feedback, activity=state.activity * silent
        )
        return wiring._replace(wires=Bundles(*wires)), state

    def restore(self, wiring: Wiring, state: NetworkState) -> tuple[Wiring, NetworkState]:
        """Puts all edges of the graph back, with weights of zero and the traces of newborns."""
        wires, traces = [], []
        for b, (layout, own) in enumerate(zip(self.layouts, wiring.wires, strict=True)):
            wires.append(layout.with_all(own))
            # A trace went on while its weight could not: a part of the weight that it keeps
            # account of (`loopymeta.rules.FastSlow`) would be lost a second time.
            born = jax.tree.map(float, self.bundle_rules[b].init_trace())
            traces.append(
                jax.tree.map(
                    lambda x, value, at=layout, w=own: at.masked(w, x, value), state.trace[b], born
                )
            )
        return wiring._replace(wires=Bundles(*wires)), state._replace(trace=Bundles(*traces))

    def formula(self, theta: Theta | None = None) -> str:
        """The rules of the network as text, with the numbers of ``theta``, class by class."""
        theta = self.init_theta() if theta is None else theta
        blocks = []
        if self.rate_fan_in is not None:
            about = f"eta is for a fan-in of {self.rate_fan_in:g}; it scales with 1 / fan-in"
            blocks.append(("rates", about))
        for b, kind in enumerate(("memory nodes", "hidden nodes", "outputs")):
            rule, part = self.bundle_rules[b], self._parts[b]
            if not self.num_edges[b]:
                continue
            first, owners = self._first_owner(b), self._owners()[b]
            if self.sharing == "shared" or not jax.tree.leaves(theta[part]):
                blocks.append((f"onto {kind}", rule.formula(theta[part])))
            elif self.sharing == "per_synapse":
                mean = jax.tree.map(
                    lambda x, a=first, n=owners: jnp.mean(x[a : a + n], axis=0), theta[part]
                )
                blocks.append((f"onto {kind} (means over synapses)", rule.formula(mean)))
            else:
                for owner in range(owners):
                    name = f"onto {kind}, type {owner}"
                    if self.sharing == "per_class":
                        name = EDGE_CLASSES[5 * b + owner]
                        if name not in self.edge_classes:
                            continue
                    one = jax.tree.map(lambda x, at=first + owner: x[at], theta[part])
                    blocks.append((name, rule.formula(one)))
        return "\n".join(f"[{name}]\n{text}" for name, text in blocks)

    def edge_values(self, graph: Graph | Wiring, values: Bundles) -> Array:
        """Per-synapse values (weights, a trace) in the graph's edge order: [E, ...]."""
        wiring = graph if isinstance(graph, Wiring) else self.wire(graph)
        return jnp.concatenate(
            [
                layout.to_edges(wires, part)
                for layout, wires, part in zip(self.layouts, wiring.wires, values, strict=True)
            ]
        )
