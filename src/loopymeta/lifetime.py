"""One lifetime: a learner lives through a task, symbol by symbol, and nothing resets it.

At each symbol the stimulus is sent, the network runs its ticks, the prediction is read, and only
then is the target taught. A lifetime is pure: (theta, key) -> (loss, metrics), which is all that an
outer loop knows of it.

Axis letters: T symbols in a lifetime, K ticks a symbol, P candidates.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from loopymeta import _machine, _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta._wiring import behind
from loopymeta.graph import Graph
from loopymeta.interventions import Hurry, Intervention, interventions_of
from loopymeta.network import LoopyNetwork, NetworkState, Teaching, Wiring
from loopymeta.parameters import Theta
from loopymeta.tasks.base import FREEZE, Episode, Outcome, Spec, Task, masked_mean

if TYPE_CHECKING:
    from loopymeta.learners.parallel import Parallel

Metrics = dict[str, Array]
State = Any


@runtime_checkable
class Learner(Protocol):
    """Anything that learns online: a plastic network, an LSTM with its optimiser, a count table.

    What an outer loop must know of it is `init_theta` and `space`; a lifetime is `init` and `step`.
    """

    def init_theta(self, key: Array | None = None) -> Theta:
        """Its meta-parameters, in natural units; may be ()."""
        ...

    def space(self) -> Any:
        """The `loopymeta.parameters.Space` of each leaf of theta, in a tree like theta."""
        ...

    def init(self, key: Array, theta: Theta) -> State:
        """A newborn: fresh random state."""
        ...

    def step(
        self, theta: Theta, state: State, stimulus: Array, teaching: Teaching, key: Array
    ) -> tuple[State, Array, Array]:
        """One symbol: (state, prediction [O], ticks). Predicts before it looks at ``teaching``."""
        ...


@dataclasses.dataclass(frozen=True)
class FixedTicks:
    """Pacing: K ticks of network time a symbol, the last of which is read and taught."""

    ticks: int = 1

    def __post_init__(self) -> None:
        _validate.at_least("ticks", self.ticks, 1)

    def run(
        self,
        network: LoopyNetwork,
        theta: Theta,
        wiring: Wiring,
        state: NetworkState,
        key: Array | None,
        plastic: Array,
    ) -> tuple[NetworkState, Array]:
        """Ticks up to the reading: (state, ticks spent). Untaught synapses change meanwhile."""
        quiet = _quiet(network, plastic)
        for tick in range(self.ticks):
            tick_key = None if key is None else jax.random.fold_in(key, tick)
            if tick:
                state = network.teach(theta, wiring, state, quiet, tick_key)
            state = network.propagate(wiring, state, tick_key)
        return state, jnp.asarray(float(self.ticks))


@dataclasses.dataclass(frozen=True)
class SelfPaced:
    """Pacing: a symbol ends when the ready node rises above its threshold, or after ``max_ticks``.

    Sending a symbol lowers the ready node, so that it may rise in the first tick. A timeout is
    charged one tick more than the limit, which is also how it is told from a symbol that was ready
    in the last tick. Whatever the pace, the program is the same.

    There is no gradient through it: how long a network thinks is no smooth function of theta.
    """

    max_ticks: int = 8

    def __post_init__(self) -> None:
        _validate.at_least("max_ticks", self.max_ticks, 1)

    def run(
        self,
        network: LoopyNetwork,
        theta: Theta,
        wiring: Wiring,
        state: NetworkState,
        key: Array | None,
        plastic: Array,
    ) -> tuple[NetworkState, Array]:
        """As `FixedTicks.run`."""
        quiet = _quiet(network, plastic)
        threshold = theta["innate"]["ready_threshold"]

        def key_of(tick: Any) -> Array | None:
            return None if key is None else jax.random.fold_in(key, tick)

        def waits(now: tuple[NetworkState, Array]) -> Array:
            state, spent = now
            return (network.readiness(state) < threshold) & (spent < self.max_ticks)

        def tick(now: tuple[NetworkState, Array]) -> tuple[NetworkState, Array]:
            state, spent = now
            state = network.teach(theta, wiring, state, quiet, key_of(spent))
            return network.propagate(wiring, state, key_of(spent)), spent + 1

        first = network.propagate(wiring, state, key_of(0))
        state, spent = jax.lax.while_loop(waits, tick, (first, jnp.ones((), jnp.int32)))
        late = network.readiness(state) < threshold
        return state, (spent + late).astype(first.activity.dtype)


def _quiet(network: LoopyNetwork, plastic: Array) -> Teaching:
    """What the teacher says in the ticks before the prediction: nothing."""
    return Teaching(jnp.zeros(network.num_answers), taught=0.0, plastic=plastic)


class PlasticState(NamedTuple):
    """A network, the graph it lives on, and the teaching that is on its way to it.

    Attributes:
      wiring: the graph.
      network: the network.
      late: the last ``error_delay`` teachings, the oldest first; () without a delay.
    """

    wiring: Wiring
    network: NetworkState
    late: Any = ()


EXPOSURES = ("after", "together", "as_input")


@dataclasses.dataclass(frozen=True, eq=False)
class Plastic:
    """The learner that is a loopy network: its key chooses its graph among ``graphs``.

    Attributes:
      network: the static part.
      graphs: a stack of graphs of one size, arrays [G, E].
      pacing: how many ticks a symbol takes.
      reward: what a prediction earns under teaching ``reward``: 1 if the most probable symbol is
        the target, else 0.
      exposure: how the taught reaches the network once it has predicted: ``after`` (at once, at the
        outputs), ``together`` (in a tick more, which shows input and target at once: the inputs
        hold the stimulus and the outputs the target) or ``as_input`` (in a tick more, in which the
        input nodes hold the error of the outputs instead of the stimulus). Where the synapses are
        frozen, that tick shows nothing.
      error_delay: symbols after which the teaching of a symbol arrives; the target is then compared
        with what was predicted for it. The teaching of a symbol at which synapses are frozen never
        arrives, and what arrives at such a symbol is lost.

    Raises:
      ValueError: choices that do not go together; every synapse has a theta of its own, but the
        graphs have other synapses.
    """

    network: LoopyNetwork
    graphs: Graph
    pacing: FixedTicks | SelfPaced = FixedTicks()
    exposure: str = "after"
    error_delay: int = 0

    def __post_init__(self) -> None:
        _validate.choice("exposure", self.exposure, EXPOSURES)
        _validate.at_least("error_delay", self.error_delay, 0)
        network = self.network
        if self.exposure == "together" and network.teaching != "target":
            raise ValueError(
                "exposure='together' shows the target: it needs teaching='target', got "
                f"{network.teaching!r}"
            )
        if self.exposure == "as_input" and network.num_stimuli < network.num_answers:
            raise ValueError(
                f"exposure='as_input' needs an input for each of the {network.num_answers} "
                f"outputs, and there are {network.num_stimuli}"
            )
        if self.error_delay and (network.ready or network.teaching in ("prediction", "none")):
            raise ValueError(
                "error_delay is for teaching that comes from outside, in networks without a ready "
                f"node; got teaching={network.teaching!r}, ready={network.ready}"
            )
        if isinstance(self.pacing, SelfPaced) != self.network.ready:
            raise ValueError("self-paced reading and a network with a ready node go together")
        if self.network.sharing == "per_synapse":
            for ends in (self.graphs.senders, self.graphs.receivers):
                if (ends != ends[:1]).any():
                    raise ValueError(
                        "sharing='per_synapse' finds numbers for the synapses of one graph, and "
                        f"the {len(ends)} graphs differ: use num_graphs=1"
                    )

    @property
    def lanes(self) -> bool:
        """Whether theta may carry candidates as lanes behind, which is then the fast way."""
        return self.network.lanes and self.max_ticks is None

    @property
    def max_ticks(self) -> int | None:
        """The tick limit of self-paced reading; None where the ticks are fixed."""
        return self.pacing.max_ticks if isinstance(self.pacing, SelfPaced) else None

    @property
    def ticks_behind(self) -> int:
        """Ticks of a symbol behind its reading: those in which the taught is shown."""
        return int(self.exposure != "after")

    def init_theta(self, key: Array | None = None) -> Theta:
        """The network's meta-parameters."""
        return self.network.init_theta(key)

    def space(self) -> Any:
        """The search space of each leaf of theta."""
        return self.network.space()

    def idle(self) -> tuple[str, ...]:
        """Dotted names of the meta-parameters that do nothing in the network."""
        return self.network.idle()

    def init(self, key: Array, theta: Theta) -> PlasticState:
        """A newborn network on one of the graphs."""
        key_graph, key_wire, key_network = jax.random.split(key, 3)
        place = jax.random.randint(key_graph, (), 0, self.graphs.senders.shape[0])
        graph = Graph(*(jnp.asarray(values)[place] for values in self.graphs))
        wiring = self.network.wire(graph, key_wire)
        state = self.network.init(key_network, wiring, theta)
        if not self.error_delay:
            return PlasticState(wiring, state)
        outputs = jnp.zeros_like(self.network.outputs(state))
        blank = Teaching(
            target=jnp.zeros(outputs.shape[0]),
            taught=jnp.zeros(()),
            reward=jnp.zeros(outputs.shape[1:]),
            plastic=None,
            output=outputs,
        )
        late = jax.tree.map(lambda x: jnp.stack([x] * self.error_delay), blank)
        return PlasticState(wiring, state, late)

    def step(self, theta, state, stimulus, teaching, key):
        """Send, tick, read, teach."""
        wiring, network = state.wiring, self.network
        inner = network.send(state.network, stimulus)
        inner, ticks = self.pacing.run(network, theta, wiring, inner, key, teaching.plastic)
        prediction = network.read(wiring, inner)
        if network.teaching == "reward":
            right = prediction.argmax(0) == teaching.target.argmax(0)
            teaching = teaching._replace(reward=right.astype(prediction.dtype))
        late = state.late
        if self.error_delay:
            teaching, late = self._delayed(inner, late, teaching)
        own = jax.random.fold_in(key, 1 << 20)
        if self.exposure != "after":
            # Keys of their own: `teach` folds the bundles' numbers into its key.
            key_quiet, key_shown = (jax.random.fold_in(own, (1 << 20) + k) for k in (0, 1))
            quiet = _quiet(network, teaching.plastic)
            inner = network.teach(theta, wiring, inner, quiet, key_quiet)
            inner = self._exposed(inner, teaching)
            inner, ticks = network.propagate(wiring, inner, key_shown), ticks + 1
        inner = network.teach(theta, wiring, inner, teaching, own)
        return PlasticState(wiring, inner, late), prediction, ticks

    def _delayed(
        self, state: NetworkState, late: Teaching, teaching: Teaching
    ) -> tuple[Teaching, Teaching]:
        """The teaching that arrives now, and what is on its way from now on."""
        output = self.network.outputs(state)
        # What comes while the synapses are frozen is not learned from, then or later.
        taught = jnp.asarray(teaching.taught, output.dtype) * (jnp.asarray(teaching.plastic) > 0)
        new = Teaching(
            target=jnp.where(taught > 0, teaching.target, 0.0),
            taught=taught,
            reward=jnp.broadcast_to(jnp.asarray(teaching.reward, output.dtype), output.shape[1:]),
            plastic=None,
            output=output,
        )
        oldest = jax.tree.map(lambda x: x[0], late)
        queue = jax.tree.map(lambda x, one: jnp.concatenate([x[1:], one[None]]), late, new)
        return oldest._replace(plastic=teaching.plastic), queue

    def _exposed(self, state: NetworkState, teaching: Teaching) -> NetworkState:
        """The network as it is before the tick that shows it what is taught.

        Where nothing may be learned it is not shown: the activity would know it.
        """
        network = self.network
        taught = jnp.asarray(teaching.taught) * (jnp.asarray(teaching.plastic) > 0)
        if self.exposure == "together":
            return network.clamp(state, teaching.target, taught)
        output = network.outputs(state) if teaching.output is None else teaching.output
        target = jnp.where(taught > 0, behind(jnp.asarray(teaching.target), output), 0.0)
        error = (target - output) * taught
        shown = jnp.zeros_like(state.activity[: network.num_stimuli])
        shown = shown.at[: network.num_answers].set(error)
        rest = state.activity[network.num_stimuli :]
        return state._replace(activity=jnp.concatenate([shown, rest]))

    # --- in mid-life (loopymeta.interventions) ---------------------------------------------------

    def perturb(self, state: PlasticState, key: Array, sigma: float) -> PlasticState:
        """Every weight times 1 + sigma * normal, the same for all lanes."""
        return state._replace(network=self.network.perturb(state.network, key, sigma))

    def remove(self, state: PlasticState, key: Array, edges: float, nodes: float) -> PlasticState:
        """Takes random fractions of the edges and hidden nodes out."""
        wiring, network = self.network.remove(state.wiring, state.network, key, edges, nodes)
        return state._replace(wiring=wiring, network=network)

    def restore(self, state: PlasticState) -> PlasticState:
        """Puts all edges back, with weights of zero."""
        wiring, network = self.network.restore(state.wiring, state.network)
        return state._replace(wiring=wiring, network=network)

    def hurried(self, ticks: int) -> Plastic:
        """The learner with at most so many ticks a symbol."""
        name = "max_ticks" if self.max_ticks is not None else "ticks"
        fewer = min(ticks, getattr(self.pacing, name))
        return dataclasses.replace(self, pacing=dataclasses.replace(self.pacing, **{name: fewer}))


def symbol_loss(prediction: Array, target: Array, loss: str) -> tuple[Array, Array]:
    """(loss, correct) of one prediction [O, ...] against a target [O].

    Cross entropy: nats, and 1 where the largest logit is the target's; squared error: the sum over
    outputs, and 0.
    """
    target = behind(target, prediction)
    if loss == "cross_entropy":
        nats = -(target * jax.nn.log_softmax(prediction, axis=0)).sum(0)
        return nats, (prediction.argmax(0) == target.argmax(0)).astype(prediction.dtype)
    squares = ((prediction - target) ** 2).sum(0)
    return squares, jnp.zeros_like(squares)


def encode(values: Array, size: int) -> Array:
    """Symbol indices as one-hot vectors on the fly (-1: silence, all zeros); vectors stay."""
    return jax.nn.one_hot(values, size) if jnp.issubdtype(values.dtype, jnp.integer) else values


class Stage(NamedTuple):
    """Symbols ``start`` to ``stop``, and what is done to the learner before the first of them."""

    start: int
    stop: int
    acts: tuple[tuple[int, Intervention], ...]  # numbered in the order of their times


def live_stages(
    life: Any, theta: Theta, state: State, episode: Episode, key: Array
) -> tuple[State, Outcome, Any]:
    """Lives through a whole episode, stage by stage: as ``life.advance``.

    Args:
      life: a `Lifetime`, or what has its ``stages``, ``entered`` and ``advance``.
      theta, state, episode, key: as for ``life.advance``; time is the first axis of the episode.
    """
    newborn, parts = state, []
    for stage in life.stages():
        life, state = life.entered(stage, state, key, newborn)
        part = jax.tree.map(lambda x, at=stage: x[at.start : at.stop], episode)
        state, *lived = life.advance(theta, state, part, key, stage.start)
        parts.append(tuple(lived))
    outcome, seen = jax.tree.map(lambda *x: jnp.concatenate(x) if x[1:] else x[0], *parts)
    return state, outcome, seen


@dataclasses.dataclass(frozen=True, eq=False)
class Lifetime:
    """The objective of a learner on a task: (theta, key) -> (loss, metrics).

    Attributes:
      learner: who lives.
      task: what it lives through.
      objective: the metric that is the loss.
      tick_cost: what a tick of self-paced reading costs, in units of the loss: the mean ticks a
        symbol times this are added to it.
      segment: symbols between checkpoints of the gradient's memory (0: keep every symbol's). The
        gradient costs one more forward pass and keeps T / segment + segment states instead of T.
      truncated: no gradient flows from one segment to the one before.
      record: looks at each state, ``record(state, prediction) -> pytree``; what it returns is
        stacked over symbols under the metric ``record``.

    >>> import loopymeta as lm
    >>> task = lm.tasks.Memorize(length=4)
    >>> network = lm.NetworkConfig(num_hidden=16, rule=lm.rules.Delta())
    >>> lifetime = Lifetime(network.build(task.spec), task)
    >>> loss, metrics = lifetime(lifetime.init_theta(), lm.key(0))
    >>> bool(loss == metrics["loss"])
    True
    """

    learner: Learner
    task: Task
    objective: str = "loss"
    tick_cost: float = 0.0
    segment: int = 0
    truncated: bool = False
    record: Callable[[State, Array], Any] | None = None

    def __post_init__(self) -> None:
        _validate.at_least("tick_cost", self.tick_cost, 0, whole=False)
        if self.tick_cost and self._max_ticks is None:
            raise ValueError(f"tick_cost needs self-paced reading, got {self.tick_cost}")
        for act in interventions_of(self.task):
            if act.at >= self.task.spec.length:
                raise ValueError(
                    f"an intervention at symbol {act.at} comes after the {self.task.spec.length} "
                    "symbols of the lifetime"
                )
        _validate.at_least("segment", self.segment, 0)
        if self.truncated and not self.segment:
            raise ValueError("truncated needs segment > 0, the symbols a gradient flows through")

    @property
    def spec(self) -> Spec:
        """The task's sizes."""
        return self.task.spec

    @property
    def _max_ticks(self) -> int | None:
        return getattr(self.learner, "max_ticks", None)

    def _limits(self) -> np.ndarray:
        """[T] the tick limit of each symbol."""
        limits = np.full(self.task.spec.length, float(self._max_ticks or 0))
        for act in interventions_of(self.task):
            if isinstance(act, Hurry):
                limits[act.at :] = np.minimum(limits[act.at :], act.ticks)
        return limits + getattr(self.learner, "ticks_behind", 0)

    def score(self, outcome: Outcome, episode: Episode) -> tuple[Array, Metrics]:
        """(loss, metrics) of what came of a lifetime.

        Self-paced reading adds the metrics ``ticks`` (a symbol, timeouts charged), ``timeouts``
        (share of symbols), and ``ticks_predictable`` and ``ticks_surprising`` (on the scored
        symbols whose loss is at most, or above, the median).
        """
        metrics = self.task.score(outcome, episode)
        if self._max_ticks is None:
            return metrics[self.objective], metrics
        ticks, scored = outcome.ticks, episode.scored
        surprising = outcome.loss > jnp.nanmedian(jnp.where(scored, outcome.loss, jnp.nan))
        metrics = metrics | {
            "ticks": ticks.mean(),
            "timeouts": (ticks > self._limits()).astype(ticks.dtype).mean(),
            "ticks_predictable": masked_mean(ticks, scored & ~surprising),
            "ticks_surprising": masked_mean(ticks, scored & surprising),
        }
        return metrics[self.objective] + self.tick_cost * metrics["ticks"], metrics

    def init_theta(self, key: Array | None = None) -> Theta:
        """The learner's meta-parameters, in natural units."""
        return self.learner.init_theta(key)

    def space(self) -> Any:
        """The search space of each leaf of theta."""
        return self.learner.space()

    def start(self, theta: Theta, key: Array) -> tuple[State, Episode]:
        """A newborn and the whole of what it will live through."""
        key_task, key_learner = jax.random.split(jax.random.fold_in(key, 0))
        return self.learner.init(key_learner, theta), self.task.sample(key_task)

    def advance(
        self, theta: Theta, state: State, episode: Episode, key: Array, start: Any = 0
    ) -> tuple[State, Outcome, Any]:
        """Lives through ``episode`` (or a part of it that begins at symbol ``start``).

        Returns:
          The state, the outcome symbol by symbol, and what was recorded.
        """
        spec, learner = self.task.spec, self.learner
        noise = jax.random.fold_in(key, 1)

        def live_symbol(state: State, now: tuple[Array, Episode]) -> tuple[State, Any]:
            at, symbol = now
            target = encode(symbol.target, spec.num_outputs)
            teaching = Teaching(
                target=target,
                taught=symbol.taught.astype(target.dtype),
                plastic=(symbol.intervention != FREEZE).astype(target.dtype),
            )
            stimulus = encode(symbol.stimulus, spec.num_inputs)
            state, prediction, ticks = learner.step(
                theta, state, stimulus, teaching, jax.random.fold_in(noise, at)
            )
            loss, correct = symbol_loss(prediction, target, spec.loss)
            kept = prediction if spec.loss == "squared_error" else None
            outcome = Outcome(loss, correct, jnp.broadcast_to(ticks, loss.shape), kept)
            seen = () if self.record is None else self.record(state, prediction)
            return state, (outcome, seen)

        length = episode.target.shape[0]
        times = jnp.arange(length) + start
        if not self.segment or self.segment >= length:
            state, (outcome, seen) = jax.lax.scan(live_symbol, state, (times, episode))
            return state, outcome, seen

        def live_segment(state: State, now: Any) -> tuple[State, Any]:
            if self.truncated:
                state = jax.lax.stop_gradient(state)
            return jax.lax.scan(live_symbol, state, now)

        whole = length - length % self.segment
        split = lambda x: x[:whole].reshape(-1, self.segment, *x.shape[1:])  # noqa: E731
        parts = jax.tree.map(split, (times, episode))
        state, seen_parts = jax.lax.scan(jax.checkpoint(live_segment), state, parts)
        seen_parts = jax.tree.map(lambda x: x.reshape(whole, *x.shape[2:]), seen_parts)
        if whole < length:
            rest = jax.tree.map(lambda x: x[whole:], (times, episode))
            state, seen_rest = jax.checkpoint(live_segment)(state, rest)
            seen_parts = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), seen_parts, seen_rest)
        return state, *seen_parts

    def through(
        self, theta: Theta, state: State, episode: Episode, key: Array
    ) -> tuple[State, Outcome, Any]:
        """Lives through a whole episode with the task's interventions: as `advance`.

        Between two interventions it is an `advance` of its own, so that they cost nothing to the
        symbols in between, and the state may take another form.
        """
        return live_stages(self, theta, state, episode, key)

    def stages(self) -> list[Stage]:
        """The symbols between two interventions, with those that come before the first of them."""
        acts = list(enumerate(interventions_of(self.task)))
        borders = sorted({0, self.task.spec.length, *(act.at for _, act in acts)})
        return [
            Stage(start, stop, tuple((number, act) for number, act in acts if act.at == start))
            for start, stop in itertools.pairwise(borders)
        ]

    def entered(
        self, stage: Stage, state: State, key: Array, newborn: State
    ) -> tuple[Lifetime, State]:
        """The lifetime and the state behind the interventions with which a stage begins."""
        learner, chance = self.learner, jax.random.fold_in(key, 2)
        for number, act in stage.acts:
            own = jax.random.fold_in(chance, number)
            learner, state = act.apply(learner, state, own, lambda: newborn)
        return dataclasses.replace(self, learner=learner), state

    def __call__(self, theta: Theta, key: Array) -> tuple[Array, Metrics]:
        """Lives one lifetime: (loss, metrics). Pure; jit, vmap and grad it as you like."""
        state, episode = self.start(theta, key)
        _, outcome, seen = self.through(theta, state, episode, key)
        loss, metrics = self.score(outcome, episode)
        if self.record is not None:
            metrics = metrics | {"record": seen}
        return loss, metrics

    def population(self, thetas: Theta, key: Array) -> tuple[Array, Metrics]:
        """One lifetime of every candidate, all on the same key: theta's leaves [P, ...] -> [P].

        Candidates of a sparse network live as lanes behind the edge axis; others under vmap.
        """
        if not getattr(self.learner, "lanes", False):
            return jax.vmap(self, in_axes=(0, None))(thetas, key)
        lanes = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), thetas)
        state, episode = self.start(lanes, key)
        _, outcome, seen = self.through(lanes, state, episode, key)
        losses, metrics = jax.vmap(self.score, in_axes=(-1, None))(outcome, episode)
        if self.record is not None:
            metrics = metrics | {"record": jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), seen)}
        return losses, metrics


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Lifetimes of one theta on several tasks, or in networks of several sizes, as one objective.

      loss = mean over lifetimes of (figure - best) / (figure of a constant guess - best)

    so that 1 is what guessing costs and 0 the best possible, whatever the figure and whether it is
    better high or low. The figure is the objective of the lifetime. Where the loss of a lifetime is
    not finite its part is not a number, however good its figure.

    Attributes:
      lifetimes: what is lived, each on a key of its own; their theta has one structure.
      limits: of each, the best figure and that of a constant guess. Unset: those of the loss, which
        is the objective then; a floor that is not known counts as 0, and a constant guess costs
        ln(classes), or the chance of the spec.

    Raises:
      ValueError: there is no lifetime, their thetas differ, an objective has no limits, limits are
        equal or not finite, or ticks cost something where a figure is better high.
    """

    lifetimes: tuple[Lifetime | Parallel, ...]
    limits: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.lifetimes:
            raise ValueError("a mixture needs at least one lifetime")
        if not self.limits:
            for life in self.lifetimes:
                if life.objective != "loss":
                    raise ValueError(f"the objective {life.objective!r} needs limits")
            limits = tuple((x.spec.floor or 0.0, x.spec.guess_loss) for x in self.lifetimes)
            object.__setattr__(self, "limits", limits)
        if len(self.limits) != len(self.lifetimes):
            raise ValueError(f"{len(self.lifetimes)} lifetimes need as many limits")
        for life, (best, guess) in zip(self.lifetimes, self.limits, strict=True):
            what = f"{life.objective} on {type(life.task).__name__}"
            if not np.isfinite(best + guess) or np.isclose(best, guess):
                raise ValueError(f"{what}: limits must be two different figures: {best}, {guess}")
            if life.tick_cost and best > guess:
                raise ValueError(f"{what} is better the higher it is, and tick_cost adds to it")
        shapes = [jax.tree.map(jnp.shape, life.init_theta()) for life in self.lifetimes]
        for life, shape in zip(self.lifetimes, shapes, strict=True):
            if shape != shapes[0]:
                raise ValueError(
                    f"the theta on {type(life.task).__name__} differs from that on "
                    f"{type(self.lifetimes[0].task).__name__}: they cannot be searched as one"
                )

    @property
    def objective(self) -> str:
        """The metric that is the loss."""
        return "loss"

    def init_theta(self, key: Array | None = None) -> Theta:
        """The learner's meta-parameters, in natural units."""
        return self.lifetimes[0].init_theta(key)

    def space(self) -> Any:
        """The search space of each."""
        return self.lifetimes[0].space()

    def idle(self) -> tuple[str, ...]:
        """Dotted names of the parts of theta that do nothing in any of the lifetimes."""
        each = [getattr(life.learner, "idle", tuple)() for life in self.lifetimes]
        return tuple(name for name in each[0] if all(name in idle for idle in each))

    def start(self, theta: Theta, key: Array) -> tuple[State, Any]:
        """The newborns, and what they will live through."""
        keys = jax.random.split(key, len(self.lifetimes))
        each = [life.start(theta, k) for life, k in zip(self.lifetimes, keys, strict=True)]
        states, episodes = zip(*each, strict=True)
        return states, episodes

    def _mean(
        self, live: Callable[[Any, Array], tuple[Array, Metrics]], key: Array
    ) -> tuple[Array, Metrics]:
        keys = jax.random.split(key, len(self.lifetimes))
        parts = {}
        for number, (life, own) in enumerate(zip(self.lifetimes, keys, strict=True)):
            best, guess = self.limits[number]
            figure, metrics = live(life, own)
            figure = jnp.where(jnp.isfinite(metrics["loss"]), figure, jnp.nan)
            parts[f"part_{number}"] = (figure - best) / (guess - best)
        loss = jnp.stack(list(parts.values())).mean(0)
        return loss, parts | {"loss": loss}

    def __call__(self, theta: Theta, key: Array) -> tuple[Array, Metrics]:
        """Lives all of them: (loss, metrics); ``part_k`` is the share of the k-th in the loss."""
        return self._mean(lambda life, own: life(theta, own), key)

    def population(self, thetas: Theta, key: Array) -> tuple[Array, Metrics]:
        """As `Lifetime.population`."""
        return self._mean(lambda life, own: life.population(thetas, own), key)


def check_memory(
    learner: Any, name: str | None = None, theta: Theta = None, streams: int = 1
) -> None:
    """Refuses a learner whose theta and state are larger than this machine's memory.

    Nothing is computed. What is lived without this may wait for memory for ever: on a CPU, XLA does
    not always come back from a buffer that it cannot have. A learner on the host has no such state,
    and passes.

    Args:
      learner: who is to live.
      name: its name in the message; None: its class.
      theta: its meta-parameters; None: its own.
      streams: how many of them it lives at once, each with a state (`loopymeta.learners.Parallel`).

    Raises:
      ValueError: says how much it takes and how much there is.
    """
    if not isinstance(learner, Learner):
        return

    def newborn(key: Array, theta: Theta) -> tuple[Theta, State]:
        theta = learner.init_theta() if theta is None else theta
        return theta, learner.init(key, theta)

    born = jax.eval_shape(newborn, jax.random.key(0), theta)
    size = streams * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(born))
    what, fewer = name or type(learner).__name__, "give it fewer hidden nodes"
    if streams > 1:
        what, fewer = f"{what} in {streams} streams", f"{fewer} or streams"
    _machine.check_memory(f"{what} takes", size, fewer)


def live(learner: Learner, task: Task, key: Array, theta: Theta | None = None) -> Metrics:
    """One lifetime of ``learner`` on ``task``: its metrics."""
    lifetime = Lifetime(learner, task)
    theta = learner.init_theta() if theta is None else theta
    return lifetime(theta, key)[1]
