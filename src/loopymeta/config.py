"""What a training run is made of: frozen dataclasses for the command line and for Python alike.

Every field has a default and a line of explanation, which the command line shows as its help.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast, get_args

from loopymeta import _machine, _validate, graph
from loopymeta.learners import by_name
from loopymeta.learners.parallel import Parallel, in_streams
from loopymeta.lifetime import (
    EXPOSURES,
    FixedTicks,
    Lifetime,
    Mixture,
    Plastic,
    SelfPaced,
    check_memory,
)
from loopymeta.meta import AntitheticES, Evolution, Gradient, Persistent, Problem
from loopymeta.network import Innate, LoopyNetwork
from loopymeta.rules import Delta, Rule, Zero
from loopymeta.suite import Entry, entry_of
from loopymeta.tasks.base import Spec, Task

T = TypeVar("T")

_DELTA, _ZERO = Delta(normalised=False), Zero()
_NETWORK_PARTS = ("rule", "output_rule", "memory_rule", "innate")
"""Parts of the theta of networks."""

Control = Literal["none", "frozen", "shuffled", "zero"]
Method = Literal["evolution", "antithetic", "gradient", "persistent"]


@dataclass(frozen=True)
class NetworkConfig:
    """A family of random networks: sizes, wiring, rules and choices."""

    num_memory: int = 0
    """Memory nodes: a recurrent pool that the other hidden nodes and the outputs read."""
    num_hidden: int = 128
    """Hidden nodes besides the memory."""
    connectivity: str | graph.Connectivity = "complete"
    """How hidden nodes are wired among themselves: a connectivity rule, or none."""
    degree: float | None = None
    """Edges into each hidden node from others; unset, the connectivity rule's own default."""
    memory_connectivity: str | graph.Connectivity = "complete"
    """How memory nodes are wired among themselves."""
    memory_degree: float | None = None
    """Edges into each memory node from others; unset, the connectivity rule's own default."""
    input_degree: int | None = None
    """Inputs that each hidden node reads; unset, all."""
    output_degree: int | None = None
    """Nodes that each output reads; unset, all hidden nodes and inputs."""
    return_degree: int = 0
    """Returning edges from outputs into each hidden node."""
    num_graphs: int = 16
    """Different random graphs, of which every lifetime draws one."""
    rule: Rule = _DELTA
    """Plasticity of the synapses onto hidden nodes."""
    output_rule: Rule | None = None
    """Plasticity of the synapses onto outputs; unset, the same rule with the same numbers."""
    memory_rule: Rule | None = _ZERO
    """Plasticity of the synapses onto memory nodes; zero: they do not learn."""
    sharing: Literal["shared", "per_class", "per_node_type", "per_synapse"] = "shared"
    """Which synapses have numbers of their own: none, edge classes, node types, every synapse."""
    rate_fan_in: float | None = None
    """Incoming edges for which rates are meant: they scale with 1 / fan-in; unset, they do not."""
    num_node_types: int = 1
    """Types of hidden nodes under per_node_type."""
    activation: str = "tanh"
    """Nonlinearity of hidden nodes."""
    memory_activation: str = "tanh"
    """Nonlinearity of memory nodes."""
    orthogonal: bool = True
    """Memory nodes are born with orthogonal recurrent weights."""
    teaching: Literal["error", "target", "reward", "prediction", "none"] = "error"
    """What reaches the network after its prediction."""
    exposure: Literal["after", "together", "as_input"] = "after"
    """How the taught is shown: after the prediction, together with the input, or as input."""
    error_delay: int = 0
    """Symbols after which the teaching of a symbol arrives."""
    feedback: Literal["shared", "kolen_pollack", "random", "returning", "none"] = "shared"
    """How the output error reaches hidden nodes."""
    same_tick_readout: bool = True
    """Outputs read the hidden activity of the same tick."""
    bias: bool = True
    """A constant input."""
    noise: float = 0.0
    """Standard deviation of noise on the summed inputs."""
    ticks: int = 1
    """Ticks of network time a symbol."""
    max_ticks: int | None = None
    """Self-paced reading: a ready node says when a symbol is done, at most so many ticks after it
    was sent; unset, the ticks are fixed."""
    groups: int = 1
    """Groups of hidden nodes for competition."""
    winners: int = 1
    """Winners of a group's competition."""
    temperature: float = 0.0
    """Temperature of a soft competition; 0: winners take all."""
    layout: Literal["auto", "dense", "sparse"] = "auto"
    """How synapses lie in memory; the numbers are the same."""
    control: Control = "none"
    """A control instead of the learning network."""
    innate: Innate = field(default_factory=Innate)
    """What the networks are born with."""

    def __post_init__(self) -> None:
        for name in ("rule", "output_rule", "memory_rule"):
            rule = getattr(self, name)
            if not isinstance(rule, Rule) and not (name != "rule" and rule is None):
                raise TypeError(f"{name} must be a Rule, such as Oja(), got {rule!r}")
        _validate.at_least("num_memory", self.num_memory, 0)
        _validate.at_least("num_hidden", self.num_hidden, 0)
        _validate.at_least("num_graphs", self.num_graphs, 1)
        _validate.at_least("ticks", self.ticks, 1)
        _validate.choice("exposure", self.exposure, EXPOSURES)
        _validate.at_least("error_delay", self.error_delay, 0)
        if self.max_ticks is not None:
            _validate.at_least("max_ticks", self.max_ticks, 1)
            if self.ticks != 1:
                raise ValueError(
                    f"with max_ticks the network sets its ticks, got ticks {self.ticks}"
                )
        for name, more in (("connectivity", ("none",)), ("memory_connectivity", ())):
            value = getattr(self, name)
            if isinstance(value, str):
                _validate.choice(name, value, (*graph.CONNECTIVITY, *more))
            elif isinstance(value, type) or not isinstance(value, graph.Connectivity):
                raise TypeError(
                    f"{name} must be a name or an object with edges(), such as Waxman(), got "
                    f"{value!r} ({type(value).__name__})"
                )

    def _wiring(self) -> graph.Connectivity:
        """The connectivity of memory and hidden nodes together."""
        hidden = self._rule(self.connectivity, "degree", self.num_hidden)
        memory = self._rule(self.memory_connectivity, "memory_degree", self.num_memory)
        if self.num_memory == 0 and hidden is not None:
            return hidden
        return graph.Pools(self.num_memory, memory or graph.Complete(), hidden)

    def _rule(
        self, connectivity: str | graph.Connectivity, field: str, size: int
    ) -> graph.Connectivity | None:
        """A connectivity rule for so many nodes, with the degree of a field; None for none."""
        if connectivity == "none" or not size:
            return None
        given = getattr(self, field)
        if not isinstance(connectivity, str):
            if given is not None:
                name = type(connectivity).__name__
                raise ValueError(f"{field} must be given to the {name} object itself")
            degree = getattr(connectivity, "degree", None)
            self._check_degree(field, degree, size)
            return connectivity
        kind = graph.CONNECTIVITY[connectivity]
        default = getattr(kind, "degree", None)
        if default is None:
            if given is not None:
                raise ValueError(f"{connectivity} has no degree, got {field} {given}")
            self._check_degree(field, None, size)
            return kind()
        degree = min(default, size - 1) if given is None else given
        self._check_degree(field, degree, size)
        # A command line or a file may say 3.0 where a whole number is meant.
        return kind(degree=int(degree) if float(degree).is_integer() else degree)

    def _check_degree(self, field: str, degree: float | None, size: int) -> None:
        """Refuses degrees that there is no room for, and graphs that no memory holds."""
        if degree is not None:
            _validate.between(field, degree, 0, size - 1)
        edges = size * (size if degree is None else degree)
        _machine.check_memory(
            f"{self.num_graphs} graphs of {size:,} nodes take",
            12 * edges * self.num_graphs,  # three numbers of 4 bytes for every edge
            f"fewer nodes, or a connectivity of a smaller {field}",
        )

    def build(self, spec: Spec, seed: int = 0) -> Plastic:
        """The learner: a stack of graphs for a task's sizes, and the network that lives on them."""
        num_inputs = spec.num_inputs + self.bias
        ready = self.max_ticks is not None
        sizes = {
            "num_inputs": num_inputs,
            "num_hidden": self.num_memory + self.num_hidden,
            "num_outputs": spec.num_outputs + ready,
        }
        # The constant input counts among the inputs that a node may read.
        inputs = None if self.input_degree is None else self.input_degree + self.bias
        graphs = graph.make_graphs(
            self._wiring(),
            num_graphs=self.num_graphs,
            seed=seed,
            input_degree=inputs,
            output_degree=self.output_degree,
            return_degree=self.return_degree,
            repair=True,
            **sizes,
        )
        names = {f.name for f in dataclasses.fields(LoopyNetwork)}
        own = {f.name for f in dataclasses.fields(self)}
        skip = {"num_hidden", "rule"}
        ticks = (self.max_ticks or self.ticks) + (self.exposure != "after")
        choices = {name: getattr(self, name) for name in (names & own) - skip}
        network = LoopyNetwork.for_graph(
            graphs,
            self.rule,
            loss=spec.loss,
            ready=ready,
            lifespan=float(spec.symbols_lived * ticks),
            **sizes,
            **choices,
        )
        pacing = SelfPaced(self.max_ticks) if self.max_ticks else FixedTicks(self.ticks)
        return Plastic(network, graphs, pacing, self.exposure, self.error_delay)


@dataclass(frozen=True)
class OuterConfig:
    """The outer loop: how a better rule is made."""

    method: Method = "evolution"
    """An evosax strategy, the antithetic estimator or the exact gradient into an optax optimiser,
    or persistent evolution for long lifetimes."""
    generations: int = 40
    """Outer steps."""
    population_size: int = 24
    """Candidates in a generation."""
    lifetimes: int = 8
    """Lifetimes of each candidate in a generation, the same for all candidates."""
    algorithm: str = "SNES"
    """Evolution: the evosax algorithm."""
    sigma: float = 0.3
    """Standard deviation of the candidates, in searched coordinates."""
    learning_rate: float | None = None
    """Rate of the outer optimiser; unset, a sensible one for the method."""
    optimizer: str = "adam"
    """The optax optimiser of the other methods."""
    elites: int = 4
    """Candidates kept and lived again on fresh seeds in every generation."""
    frozen: tuple[str, ...] = ()
    """Parts of theta that are not searched, as dotted names, e.g. innate or rule.eta."""
    segment: int = 0
    """Gradient: symbols between memory checkpoints; 0: none."""
    truncated: bool = False
    """Gradient: no gradient flows across segments."""
    window: int = 100
    """Persistent: symbols lived in a generation."""
    chunk: int | None = None
    """Candidates lived at a time (bounds memory); unset, as many as fit a CPU's cache, or all."""
    devices: int | None = None
    """Devices that share the candidates; unset, one on a GPU or TPU, every core on a CPU."""

    def __post_init__(self) -> None:
        _validate.choice("method", self.method, get_args(Method))
        for name in ("generations", "population_size", "lifetimes", "elites", "window"):
            _validate.at_least(name, getattr(self, name), 1)
        for name in ("chunk", "devices"):
            if getattr(self, name) is not None:
                _validate.at_least(name, getattr(self, name), 1)
        _validate.positive("sigma", self.sigma)
        _validate.at_least("segment", self.segment, 0)

    def build(self, lifetime: Lifetime | Parallel | Mixture, devices: int | None = None) -> Any:
        """The outer loop over a lifetime."""
        problem = problem_of(lifetime, self.frozen, self.lifetimes, self.chunk, devices)
        rate = self.learning_rate
        if self.method == "evolution":
            return Evolution(
                problem,
                algorithm=self.algorithm,
                population_size=self.population_size,
                sigma=self.sigma,
                learning_rate=rate,
                num_elites=self.elites,
            )
        descent = {
            "optimizer": self.optimizer,
            "learning_rate": 0.05 if rate is None else rate,
            "num_elites": self.elites,
        }
        if self.method == "gradient":
            return Gradient(problem, **descent)
        more = {"population_size": self.population_size, "sigma": self.sigma}
        if self.method == "antithetic":
            return AntitheticES(problem, **descent, **more)
        return Persistent(problem, window=self.window, **descent, **more)


def problem_of(
    lifetime: Lifetime | Parallel | Mixture,
    frozen: tuple[str, ...] = (),
    lifetimes: int = 8,
    chunk: int | None = None,
    devices: int | None = None,
) -> Problem:
    """The search for the best theta of a lifetime's learner, from where the learner starts."""
    idle = getattr(getattr(lifetime, "learner", lifetime), "idle", tuple)
    return Problem(
        objective=lifetime,
        theta=lifetime.init_theta(),
        space=lifetime.space(),
        frozen=(*frozen, *idle()),
        num_lifetimes=lifetimes,
        chunk=chunk,
        devices=devices,
    )


@dataclass(frozen=True)
class TrainConfig(Generic[T]):
    """A training run: meta-learn a rule, then report it on fresh seeds beside its controls."""

    task: T
    """The task that the rule found is reported on."""
    train_task: T
    """The task that candidates live in the outer loop: the same, often shorter."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """The networks."""
    outer: OuterConfig = field(default_factory=OuterConfig)
    """The outer loop."""
    mixture: tuple[Task | Entry, ...] = ()
    """Tasks that candidates live besides, judged by their loss, or from Python by any figure
    (`loopymeta.suite.Entry`): the loss of the outer loop is then the mean over all of them, each
    scaled so that a constant guess costs 1 and the best possible 0."""
    train_hidden: tuple[int, ...] = ()
    """Hidden nodes in the outer loop, where they may be fewer; where several numbers are given,
    candidates live in networks of each; unset, those of the networks."""
    objective: str = "loss"
    """The metric of the training task that the outer loop lowers."""
    tick_cost: float = 0.0
    """What a tick of self-paced reading costs in the outer loop, in units of the objective."""
    seed: int = 0
    """Seed of everything; runs of one seed are the same, bit for bit."""
    select_task: T | None = None
    """The task on whose mean loss the candidate to report is chosen, often longer; unset, the one
    of the outer loop, by its objective."""
    select: int = 16
    """Fresh lifetimes on which the candidate to report is chosen; 0: the best elite as it is."""
    report: int = 16
    """Fresh lifetimes, never used before, on which it is reported."""
    report_controls: int | None = None
    """How many of them the controls are reported on; unset, all."""
    controls: bool = True
    """Report the frozen, shuffled and zero-rule controls and the rule before training beside."""
    baselines: bool = True
    """Report the task's baselines beside, on the same lifetimes."""
    learner: str = ""
    """A learner that lives instead of the networks, by name, with options if need be, as in
    "lstm(width=64)" (`loopymeta.learners.by_name`). Its theta is then what is searched."""
    streams: int = 1
    """Lifetimes that the learner lives at once with one set of weights, which learn from the mean
    of their gradients (`loopymeta.learners.Parallel`)."""

    def __post_init__(self) -> None:
        _validate.at_least("seed", self.seed, 0)
        _validate.at_least("streams", self.streams, 1)
        if self.streams > 1 and not self.learner:
            raise ValueError(
                "parallel streams are for learners that have gradients: give a learner"
            )
        _validate.at_least("select", self.select, 0)
        _validate.at_least("report", self.report, 1)
        if self.report_controls is not None:
            _validate.at_least("report_controls", self.report_controls, 1)
        for size in self.train_hidden:
            _validate.at_least("train_hidden", size, 1)
        if self.learner and not by_name.check(self.learner).compiled:
            raise ValueError(
                f"{self.learner} lives on the host, where no outer loop can search its theta: "
                "compare it by `loopymeta evaluate --suite`"
            )
        if isinstance(self.train_task, Entry):
            raise TypeError("train_task must be a task; what is judged by a figure goes to mixture")
        several = bool(self.mixture) or len(self._sizes) > 1
        if several and self.objective != "loss":
            raise ValueError(
                f"a mixture of tasks or sizes lowers the loss, got objective {self.objective!r}"
            )

    @property
    def _sizes(self) -> tuple[int, ...]:
        """Hidden nodes in the outer loop; a learner has its own size."""
        own = (self.network.num_hidden,)
        return own if self.learner else self.train_hidden or own

    def training(self) -> Lifetime | Parallel | Mixture:
        """What the outer loop lowers: a lifetime, or a mixture of tasks and sizes."""
        sizes = self._sizes
        if len(sizes) == 1 and not self.mixture:
            return self._training(self.train_task, sizes[0], self.objective)
        entries = [entry_of(cast(Task, self.train_task)), *map(entry_of, self.mixture)]
        return Mixture(
            tuple(self._training(e.task, size, e.metric) for e in entries for size in sizes),
            limits=tuple((e.best or 0.0, e.guess) for e in entries for _ in sizes),
        )

    def selection(self) -> Lifetime | Parallel | Mixture:
        """What the candidate to report is chosen by, on the graphs of the outer loop."""
        if self.select_task is None:
            return self.training()
        return self._training(self.select_task, self.network.num_hidden, "loss")

    def search(self, lifetime: Lifetime | Parallel | Mixture, devices: int | None = None) -> Any:
        """The outer loop over a lifetime."""
        outer = self.outer
        if self.learner:  # which has none of the parts of networks that recipes freeze
            frozen = tuple(p for p in outer.frozen if p.partition(".")[0] not in _NETWORK_PARTS)
            outer = dataclasses.replace(outer, frozen=frozen)
        return outer.build(lifetime, devices)

    def _build(self, network: NetworkConfig, task: Task, seed: int) -> Any:
        """Who lives a task."""
        if self.learner:
            learner = by_name.learner_of(self.learner, task)
            check_memory(learner, self.learner, streams=self.streams)
            return learner
        return network.build(task.spec, seed=seed)

    def _training(self, task: Any, num_hidden: int, objective: str) -> Lifetime | Parallel:
        network = dataclasses.replace(self.network, num_hidden=num_hidden)
        life = Lifetime(
            self._build(network, task, self.seed),
            task,
            objective=objective,
            tick_cost=self.tick_cost,
            segment=self.outer.segment,
            truncated=self.outer.truncated,
        )
        return in_streams(life, self.streams)

    def lifetime(self, task: Any = None, control: Control = "none") -> Lifetime | Parallel:
        """What is reported: a lifetime on graphs that the outer loop has never seen.

        Args:
          task: what is lived through; None: the task of the report.
          control: a control instead of the learning network.
        """
        task = cast(Any, self.task if task is None else task)
        network = dataclasses.replace(self.network, control=control)
        # Numbers of single synapses are for the graph that they were found on.
        own = 0 if network.sharing == "per_synapse" else 1_000_003
        return in_streams(Lifetime(self._build(network, task, self.seed + own), task), self.streams)
