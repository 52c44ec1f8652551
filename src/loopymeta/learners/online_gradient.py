"""Recurrent networks that learn forwards in time: the gradient is carried along, not sent back.

Backpropagation through time remembers stimuli and goes back through them. The learners here carry
instead what the weights have done to the present activity, the *influence* d activity / d weights,
and need no past. Carried exactly that is real-time recurrent learning, N times the memory of the
weights and N times the work; every other method here carries less of it.

All that a method must know of a cell is how a unit's next activity depends on what it hears, gate
by gate, and on its own activity before: a unit hears through its own weights alone, so that the
immediate influence of a weight reaches one unit. That holds for tanh units and for GRUs whose reset
gate acts behind the recurrent weights, which are those of flax.

Axis letters: I inputs, O outputs, N units, G gates, ... the shape of a weight without its gates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.learners.optimizers import Optimizer
from loopymeta.learners.parallel import STREAMS, all_streams, any_stream, mean_of_streams
from loopymeta.learners.recurrent import OnlineRNN, sizes_of
from loopymeta.lifetime import symbol_loss
from loopymeta.network import Teaching
from loopymeta.parameters import Theta
from loopymeta.tasks.base import Spec

Tree = Any

CELLS = {"tanh": "elman", "gru": "gru"}
"""Cell -> its name in `OnlineRNN`, which gives birth to it."""
FEEDBACKS = ("symmetric", "random")
_TINY = 1e-14  # of a squared length: UORO's own 1e-7, squared


# Methods ------------------------------------------------------------------------------------------


class Dynamics(NamedTuple):
    """How the activity after a symbol depends on the activity before it.

    Attributes:
      jacobian: [N, N] of all units (rows) by all units (columns).
      diagonal: [N] its diagonal.
      own: [N] the part of the diagonal that passes no weight: what the leak or the update gate
        keeps.
    """

    jacobian: Array
    diagonal: Array
    own: Array


class Method(NamedTuple):
    """What is carried of the influence, and what is made of it.

    Attributes:
      begin: immediate influence [..., G, N] -> what is carried at first.
      advance: (carried, immediate [..., G, N], dynamics, key) -> carried, one symbol on.
      credit: (carried, error [N] at the units) -> gradient [..., G, N].
      feedback: how the error reaches the units, unless another way is asked for.
    """

    begin: Callable[[Tree], Any]
    advance: Callable[[Any, Tree, Dynamics, Array | None], Any]
    credit: Callable[[Any, Array], Tree]
    feedback: str = "symmetric"


def _along(vector: Array, leaf: Array) -> Array:
    """A vector [N] that multiplies the last axis of a leaf."""
    return vector.reshape((1,) * (leaf.ndim - 1) + (-1,))


def _exact() -> Method:
    """Influence of every weight on every unit: leaves [N, ..., G, N]."""

    def begin(immediate: Tree) -> Tree:
        return jax.tree.map(lambda x: jnp.zeros((x.shape[-1], *x.shape), x.dtype), immediate)

    def advance(carried: Tree, immediate: Tree, dynamics: Dynamics, key: Array | None) -> Tree:
        def one(old: Array, new: Array) -> Array:
            same = jnp.eye(new.shape[-1], dtype=new.dtype)
            same = same.reshape(new.shape[-1], *(1,) * (new.ndim - 1), new.shape[-1])
            return jnp.tensordot(dynamics.jacobian, old, 1) + same * new[None]

        return jax.tree.map(one, carried, immediate)

    def credit(carried: Tree, error: Array) -> Tree:
        return jax.tree.map(lambda x: jnp.tensordot(error, x, 1), carried)

    return Method(begin, advance, credit)


def _local(kept: Callable[[Dynamics], Array], feedback: str = "symmetric") -> Method:
    """Influence of a weight on its own unit, a trace a weight: leaves [..., G, N]."""

    def begin(immediate: Tree) -> Tree:
        return jax.tree.map(jnp.zeros_like, immediate)

    def advance(carried: Tree, immediate: Tree, dynamics: Dynamics, key: Array | None) -> Tree:
        fade = kept(dynamics)
        return jax.tree.map(lambda old, new: _along(fade, old) * old + new, carried, immediate)

    def credit(carried: Tree, error: Array) -> Tree:
        return jax.tree.map(lambda x: x * _along(error, x), carried)

    return Method(begin, advance, credit, feedback)


def _rank_one() -> Method:
    """A random vector of units [N] and one of weights; their product is right on average."""

    def length(tree: Tree) -> Array:
        return jnp.sqrt(sum((x * x).sum() for x in jax.tree.leaves(tree)) + _TINY)

    def begin(immediate: Tree) -> tuple[Array, Tree]:
        size, kind = jax.tree.leaves(immediate)[0].shape[-1], jax.tree.leaves(immediate)[0].dtype
        return jnp.zeros(size, kind), jax.tree.map(jnp.zeros_like, immediate)

    def advance(
        carried: tuple[Array, Tree], immediate: Tree, dynamics: Dynamics, key: Array | None
    ) -> tuple[Array, Tree]:
        if key is None:
            raise ValueError("method 'uoro' draws random signs: it needs a key")
        units, weights = dynamics.jacobian @ carried[0], carried[1]
        signs = jax.random.rademacher(key, units.shape, units.dtype)
        drawn = jax.tree.map(lambda x: x * _along(signs, x), immediate)
        # Any two scales are unbiased; these make the two vectors equally long, for least variance.
        past = jnp.sqrt(length(weights) / length(units))
        present = jnp.sqrt(length(drawn) / length(signs))
        weights = jax.tree.map(lambda old, new: old / past + new / present, weights, drawn)
        return past * units + present * signs, weights

    def credit(carried: tuple[Array, Tree], error: Array) -> Tree:
        return jax.tree.map(lambda x: (error @ carried[0]) * x, carried[1])

    return Method(begin, advance, credit)


METHODS: dict[str, Method] = {
    "rtrl": _exact(),
    "snap1": _local(lambda dynamics: dynamics.diagonal),
    "rflo": _local(lambda dynamics: dynamics.own),
    "eprop": _local(lambda dynamics: dynamics.diagonal, "random"),
    "uoro": _rank_one(),
    "dfa": _local(lambda dynamics: jnp.zeros_like(dynamics.own), "random"),
}


# The learner --------------------------------------------------------------------------------------


class OnlineGradientState(NamedTuple):
    """What an `OnlineGradient` carries from symbol to symbol.

    Attributes:
      weight: of cell and readout, as in `RNNState`.
      optimizer: the optimiser's moments.
      activity: [N] of the units.
      influence: what the method carries of d activity / d weights.
      feedback: [N, O] the fixed weights by which errors reach the units; () where they come back
        along the readout's own.
      age: symbols since birth.
      kept: 1.0 or 0.0 for each weight, the ones that were removed in mid-life; () while none is.
    """

    weight: Any
    optimizer: Any
    activity: Array
    influence: Any
    feedback: Any
    age: Array
    kept: Any = ()


@dataclasses.dataclass(frozen=True)
class OnlineGradient:
    r"""A recurrent network that learns at every symbol by a gradient that is carried forwards.

    With activity :math:`h_t`, weights of the cell :math:`w`, Jacobian :math:`J_t = \partial h_t /
    \partial h_{t-1}` and immediate influence :math:`M_t = \partial h_t / \partial w` at fixed
    :math:`h_{t-1}`, the influence and the gradient of the loss of one symbol are

    .. math::
      P_t = J_t P_{t-1} + M_t, \qquad g_t = \frac{\partial \ell_t}{\partial h_t} P_t

    and the weights take one step of the optimiser along :math:`g_t`, behind the prediction. The
    methods differ in what they put for J, and in the way by which the error reaches the units:

    ========  ==========================================  =========  ===============  ==============
    method    J                                           feedback   memory           work a symbol
    ========  ==========================================  =========  ===============  ==============
    rtrl      all of it: exact                            symmetric  N x weights      N^2 x weights
    snap1     its diagonal                                symmetric  weights          weights
    rflo      of the diagonal what passes no weight       symmetric  weights          weights
    eprop     its diagonal                                random     weights          weights
    uoro      all of it; P is the product of two vectors  symmetric  weights          weights
    dfa       0                                           random     weights          weights
    ========  ==========================================  =========  ===============  ==============

    ``symmetric``: the error at the outputs comes back along the readout's own weights, which makes
    it exact; ``random``: along weights drawn at birth that stay as they are. Any method takes
    either. RFLO with random feedback is that of Murray; e-prop with symmetric feedback is SnAp-1
    here, where a unit has but one number as its state. (Bellec et al. count a unit's weight onto
    itself with the weights between units; e-prop without it is RFLO.) Without a leak nothing of a
    tanh unit passes by the weights, and RFLO keeps no more than DFA does, unless its traces get a
    ``decay`` of their own, which makes them no gradient of the network.

    Weights change while the influence is carried, so that it is, as everywhere, one of slightly
    older weights. What is not taught is lived through and changes no weight. While
    ``teaching.plastic`` is 0 the activity goes on, no weight changes, and the influence is 0: what
    was heard then is not learned from later either.

    Theta is ``{"learning_rate", "horizon"}``, as in `OnlineRNN`.

    References: Williams and Zipser (1989), RTRL; Menick et al. (2021), SnAp-1; Murray (2019), RFLO;
    Bellec et al. (2020), e-prop; Tallec and Ollivier (2017), UORO; Nøkland (2016), direct feedback
    alignment.

    Raises:
      ValueError, TypeError: for choices that are unknown and numbers that cannot be; for a leak of
        a GRU, whose update gate is one, and a decay of any method but RFLO.

    >>> from loopymeta import tasks
    >>> learner = OnlineGradient.for_spec(tasks.Henon().spec, method="snap1", width=32)
    >>> sorted(learner.init_theta())
    ['horizon', 'learning_rate']
    """

    num_inputs: int
    """Size of the stimulus."""
    num_outputs: int
    """Size of the prediction."""
    loss: str = "cross_entropy"
    """``cross_entropy`` (predictions are logits) or ``squared_error``."""
    cell: str = "tanh"
    """``tanh`` or ``gru``."""
    method: str = "snap1"
    """``rtrl``, ``snap1``, ``rflo``, ``eprop``, ``uoro`` or ``dfa``."""
    width: int = 128
    """Units."""
    leak: float = 1.0
    """Part of a tanh unit's activity that a symbol replaces."""
    decay: float | None = None
    """RFLO: part of its traces that fades in a symbol; None: as much as of the activity."""
    feedback: str | None = None
    """``symmetric`` or ``random``; None: the method's own."""
    learning_rate: float = 0.001
    """Step size of the optimiser at birth."""
    horizon: float = 0.1
    """Part of the lifespan after which the learning rate is halved."""
    lifespan: float = 10000.0
    """Symbols that the network expects to live."""
    optimizer: Optimizer = "adam"
    """As in `OnlineRNN`."""
    momentum: float = 0.9
    """Decay of the mean gradient (adam, momentum)."""
    memory: float = 0.999
    """Decay of the mean squared gradient (adam, rmsprop, adadelta)."""
    clip: float = 0.0
    """Largest norm of a gradient; a longer one is shortened to it. 0: none is."""
    parallel: bool = False
    """Whether it lives in parallel streams; set by `loopymeta.learners.Parallel`."""

    def __post_init__(self) -> None:
        _validate.choice("cell", self.cell, CELLS)
        _validate.choice("method", self.method, METHODS)
        if self.feedback is not None:
            _validate.choice("feedback", self.feedback, FEEDBACKS)
        _validate.positive("leak", self.leak)
        _validate.between("leak", self.leak, 0, 1)
        if self.cell == "gru" and self.leak != 1:
            raise ValueError(f"leak is for tanh units; a GRU has an update gate, got {self.leak}")
        if self.decay is not None:
            if self.method != "rflo":
                raise ValueError(f"decay is for the traces of RFLO, got method {self.method!r}")
            _validate.positive("decay", self.decay)
            _validate.between("decay", self.decay, 0, 1)
        hash(self._network)  # built to be checked

    @classmethod
    def for_spec(cls, spec: Spec, **choices: Any) -> OnlineGradient:
        """The network for a task: its sizes, its loss and its lifespan."""
        return cls(**(sizes_of(spec) | choices))

    @property
    def _network(self) -> OnlineRNN:
        """The network as backpropagation through time would train it: birth, readout, theta."""
        shared = {f.name for f in dataclasses.fields(OnlineRNN)}
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in shared}
        return OnlineRNN(**own | {"cell": CELLS[self.cell]})

    @property
    def _method(self) -> Method:
        return METHODS[self.method]

    # --- theta -----------------------------------------------------------------------------------

    def init_theta(self, key: Array | None = None) -> Theta:
        """``{"learning_rate", "horizon"}``, in natural units."""
        return self._network.init_theta(key)

    def space(self) -> Any:
        """The search space of each leaf of theta: both on a logarithmic scale."""
        return self._network.space()

    # --- the cell --------------------------------------------------------------------------------

    def _gates(self, heard: Array, echoed: Array, own: Array) -> Array:
        """The next activity [N] from what is heard of stimulus and units [G, N] and its own [N]."""
        if self.cell == "tanh":
            return (1 - self.leak) * own + self.leak * jnp.tanh(heard[0] + echoed[0])
        reset, update = jax.nn.sigmoid(heard[:2] + echoed[:2])
        return (1 - update) * jnp.tanh(heard[2] + reset * echoed[2]) + update * own

    def advance(
        self, weight: Any, activity: Array, stimulus: Array
    ) -> tuple[Array, Tree, Dynamics]:
        """One symbol of activity, and all its derivatives: (activity [N], immediate, dynamics).

        ``immediate`` is a tree like the cell's weights, leaves [..., G, N]: the influence of each
        on its own unit, which is the only one that it reaches at once.
        """
        cell = weight["cells"][0]
        split = lambda x: x.reshape(*x.shape[:-1], -1, self.width)  # noqa: E731
        heard = split(stimulus @ cell["dense_i"]["kernel"] + cell["dense_i"]["bias"])
        kernel = split(cell["dense_h"]["kernel"])
        echoed = jnp.tensordot(activity, kernel, 1)
        # Everything is elementwise over units: one pass back gives every unit's own slopes.
        after, slopes_of = jax.vjp(self._gates, heard, echoed, activity)
        by_heard, by_echoed, own = slopes_of(jnp.ones_like(after))
        immediate = {
            "dense_i": {"kernel": stimulus[:, None, None] * by_heard[None], "bias": by_heard},
            "dense_h": {"kernel": activity[:, None, None] * by_echoed[None]},
        }
        through = jnp.einsum("gn,mgn->nm", by_echoed, kernel)
        itself = jnp.einsum("gn,ngn->n", by_echoed, kernel)
        return after, immediate, Dynamics(through + jnp.diag(own), itself + own, own)

    # --- learning --------------------------------------------------------------------------------

    def look(
        self, state: OnlineGradientState, stimulus: Array, target: Array, key: Array | None = None
    ) -> tuple[OnlineGradientState, Array, Tree]:
        """One symbol without learning: (state, prediction [O], gradient of its loss by weights).

        The state has the next activity and influence; weights and age are as before. The
        prediction does not depend on the target.
        """
        activity, immediate, dynamics = self.advance(state.weight, state.activity, stimulus)
        if self.decay is not None:
            dynamics = dynamics._replace(own=jnp.full_like(dynamics.own, 1 - self.decay))
        influence = self._method.advance(state.influence, immediate, dynamics, key)
        prediction = self._network._read(state.weight, activity)
        error = jax.grad(lambda said: symbol_loss(said, target, self.loss)[0])(prediction)
        back = state.feedback
        if isinstance(back, tuple):
            back = state.weight["readout"]["kernel"]
        credit = self._method.credit(influence, back @ error)
        cell = state.weight["cells"][0]
        gradient = {
            "cells": [jax.tree.map(lambda g, w: g.reshape(w.shape), credit, cell)],
            "readout": {"kernel": activity[:, None] * error[None], "bias": error},
        }
        return state._replace(activity=activity, influence=influence), prediction, gradient

    def gradient(
        self, state: OnlineGradientState, stimulus: Array, target: Array, key: Array | None = None
    ) -> Tree:
        """The method's gradient of the loss of one symbol, a tree like ``state.weight``.

        Args:
          state: as it is before the symbol.
          stimulus: [I].
          target: [O].
          key: for the random signs of ``uoro``.
        """
        return self.look(state, stimulus, target, key)[2]

    # --- in mid-life (loopymeta.interventions) ---------------------------------------------------

    def perturb(self, state: Any, key: Array, sigma: float) -> Any:
        """Every weight and bias times 1 + sigma * normal."""
        return self._network.perturb(state, key, sigma)

    def remove(self, state: Any, key: Array, edges: float, nodes: float) -> Any:
        """Takes random fractions of the kernels' weights, and of the units, out."""
        return self._network.remove(state, key, edges, nodes)

    def restore(self, state: Any) -> Any:
        """Puts everything back, with weights of zero."""
        return self._network.restore(state)

    # --- the learner -----------------------------------------------------------------------------

    def init(self, key: Array, theta: Theta | None = None) -> OnlineGradientState:
        """A newborn: fresh weights, silent. ``theta`` is not looked at."""
        key_weight, key_feedback = jax.random.split(key)
        weight, activity = self._network.init_weight(key_weight), jnp.zeros(self.width)
        _, immediate, _ = self.advance(weight, activity, jnp.zeros(self.num_inputs))
        feedback: Any = ()
        if (self.feedback or self._method.feedback) == "random":
            # As large as the readout's own weights at birth.
            shape = (self.width, self.num_outputs)
            feedback = jax.random.normal(key_feedback, shape) / self.width**0.5
        return OnlineGradientState(
            weight=weight,
            optimizer=self._network._transform().init(weight),
            activity=activity,
            influence=self._method.begin(immediate),
            feedback=feedback,
            age=jnp.zeros(()),
        )

    def step(
        self,
        theta: Theta,
        state: OnlineGradientState,
        stimulus: Array,
        teaching: Teaching,
        key: Array | None = None,
    ) -> tuple[OnlineGradientState, Array, Array]:
        """One symbol: (state, prediction [O], 1 tick)."""
        taught = jnp.asarray(teaching.taught) > 0
        plastic = all_streams(jnp.asarray(teaching.plastic) > 0, self.parallel)
        # What is not taught is not looked at: it may be anything, nan too.
        target = jnp.where(taught, teaching.target, 0.0)
        if self.parallel and key is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(STREAMS))
        state, prediction, gradient = self.look(state, stimulus, target, key)
        influence = jax.tree.map(lambda x: jnp.where(plastic, x, 0.0), state.influence)
        state = state._replace(influence=influence, age=state.age + 1)
        gradient = jax.tree.map(lambda x: jnp.where(taught, x, 0.0), gradient)
        gradient = mean_of_streams(gradient, self.parallel)
        weight, optimizer = jax.lax.cond(
            any_stream(taught, self.parallel) & plastic,
            lambda: self._network.descend(theta, state, gradient),
            lambda: (state.weight, state.optimizer),
        )
        state = state._replace(weight=weight, optimizer=optimizer)
        return state, prediction, jnp.ones(())
