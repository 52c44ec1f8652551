"""Local plasticity rules: what one synapse does, given what one synapse can see.

A rule is a frozen dataclass. Its fields are its default meta-parameters in natural units (rates
per tick, time constants in ticks); `Rule.init` turns them into theta, a pytree of floats, which an
outer loop may change. `Rule.update` is written for one synapse, in elementwise operations: every
field of the `Synapse` may be a scalar or an array over synapses, and the update is the same.

In the formulas x = pre, y = post, u = drive, w = weight, m = modulator, f = feedback, eta = rate.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, ClassVar, NamedTuple

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.parameters import (
    Theta,
    check_parameters,
    defaults,
    fraction,
    rate,
    real,
    spaces,
    time_constant,
)

Trace = Any
"""Per-synapse memory: a pytree of scalars (arrays over synapses inside a network)."""

REWARD, REWARDED, SURPRISE = 0, 1, 2
"""The broadcast modulators, by index: the reward; 1 in the tick that gave one; the loss in nats."""

NUM_MODULATORS = 3


class Synapse(NamedTuple):
    """All that one synapse may see at one tick: locality is this type.

    Every field is a scalar (or an array over synapses, elementwise), but ``modulator`` [M] and
    ``relayed`` [hops], which have an axis of their own in front.

    Attributes:
      pre: activity that the sender transmitted in this tick.
      post: activity of the receiver after this tick.
      drive: summed input of the receiver before its nonlinearity.
      slope: derivative of the receiver's nonlinearity at its drive.
      curvature: how fast the feedback at the receiver falls, at most, as its drive rises: 1/4 at
        outputs that are a softmax (Böhning, 1992), 1 at all others.
      leak: fraction of the receiver's activity that is replaced in a tick (1 / time constant).
      weight: the synapse's weight.
      feedback: the teaching signal at the receiver.
      relayed: [hops] feedback that hidden nodes pass on to their senders along the same edges, each
        times its slope and leak: entry k has crossed k + 1 hidden-to-hidden edges, and speaks of
        the receiver's activity k + 1 ticks ago. As many as the rule's ``hops`` asks for.
      reconstruction: what the sender gets back, the sum of weight * post over its outgoing edges.
        All of them, or those up to this one in node order, or with the receivers' posts of one
        tick ago, as the rule's ``uses`` asks (``reconstruction``, ``sanger``, ``shifted``).
      energy: sum of pre**2 over the receiver's incoming edges (if ``uses`` has ``energy``).
      norm: sum of weight**2 over the receiver's incoming edges (``norm``), or of abs(weight)
        (``norm1``).
      share: the receiver's part in the competition of its group, in 0..1 (``share``).
      modulator: [M] broadcast signals; see `REWARD`, `REWARDED`, `SURPRISE`.
      noise: one standard normal (``noise``).
      age: ticks since the network's birth, the same for all synapses.
      life: the part of the expected lifespan that has passed; 0 at birth, 1 at its end.
    """

    pre: Array
    post: Array
    drive: Array
    slope: Array
    curvature: Array
    leak: Array
    weight: Array
    feedback: Array
    relayed: Array | tuple[Array, ...]
    reconstruction: Array
    energy: Array
    norm: Array
    share: Array
    modulator: Array
    noise: Array
    age: Array
    life: Array


USES = ("reconstruction", "sanger", "shifted", "energy", "norm", "norm1", "share", "noise")
"""Synapse fields that cost the network something, computed only for rules that name them."""

_ONE_OF = ({"reconstruction", "sanger", "shifted"}, {"norm", "norm1"})
"""Entries of `USES` that fill the same field: a rule may name one of each."""

NEEDS = ("reward", "noise")
"""What a rule may need of its network: a teaching that gives a reward; noise on the drives."""


def synapse(**fields: Any) -> Synapse:
    """A `Synapse` from some of its fields; the others are zero. For tests and for looking at rules.

    >>> from loopymeta.rules import Oja, synapse
    >>> rule = Oja(eta=0.1)
    >>> dw, _ = rule.update({"eta": 0.1}, (), synapse(pre=1.0, post=2.0, weight=0.25))
    >>> round(float(dw), 6)
    0.1
    """
    blank: dict[str, Any] = dict.fromkeys(Synapse._fields, 0.0)
    blank |= {"modulator": jnp.zeros(NUM_MODULATORS), "relayed": jnp.zeros(2)}
    if unknown := sorted(fields.keys() - blank.keys()):
        raise _validate.unknown("synapse field", unknown[0], Synapse._fields)
    return Synapse(**{**blank, **fields})


@dataclasses.dataclass(frozen=True)
class Rule:
    """What every rule has; a rule of your own derives from this and defines `update`.

    ``update(theta, trace, synapse) -> (change of weight, trace)`` is pure and elementwise. Declare
    meta-parameters as dataclass fields with `loopymeta.parameters.rate`, ``fraction`` or ``real``;
    override `init_trace` for per-synapse memory, ``uses`` for costly synapse fields and ``needs``
    for what the rule does nothing without.
    `loopymeta.testing.check_rule` tests that it keeps the contract.
    """

    text: ClassVar[str] = ""
    """The change of weight, in the grammar of `loopymeta.written.Written`."""

    memory: ClassVar[tuple[str, ...]] = ()
    """How the traces move, one line a trace, for printing."""

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def uses(self) -> frozenset[str]:
        """The costly `Synapse` fields that this rule reads."""
        return frozenset()

    @property
    def needs(self) -> frozenset[str]:
        """What this rule does nothing without, of `NEEDS`: a network that lacks it is refused."""
        return frozenset()

    @property
    def hops(self) -> int:
        """How many entries of `Synapse.relayed` this rule reads."""
        return 0

    def init(self, key: Array | None = None) -> Theta:
        """Theta: the meta-parameters, in natural units."""
        return defaults(self)

    def space(self) -> Any:
        """The search space of each leaf of theta."""
        return spaces(self)

    def init_trace(self) -> Trace:
        """The per-synapse memory at birth, scalars."""
        return ()

    def update(self, theta: Theta, trace: Trace, synapse: Synapse) -> tuple[Array, Trace]:
        """What one synapse does now: (change of weight, new trace)."""
        raise NotImplementedError

    def formula(self, theta: Theta | None = None) -> str:
        """The rule as text, with the numbers of ``theta`` (default: the rule's own).

        >>> from loopymeta.rules import Oja
        >>> Oja(eta=0.1).formula()
        'change = 0.1 * post * (pre - post * weight)'
        """
        theta = self.init() if theta is None else theta
        lines = [f"change = {self.text}", *self.memory]
        return "\n".join(substitute(line, theta) for line in lines)

    def __str__(self) -> str:
        return self.formula()


def number_text(value: Any) -> str:
    """A number with as many digits as a reader wants."""
    return f"{float(value):.4g}"


def substitute(text: str, theta: Theta) -> str:
    """``text`` with the names of theta's scalars replaced by their numbers."""
    import numpy as np

    for name, value in theta.items():
        if not isinstance(value, dict):
            shown = (
                number_text(value)
                if np.ndim(value) == 0
                else "[" + ", ".join(number_text(v) for v in np.ravel(value)) + "]"
            )
            text = re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)", shown, text)
    return text


def _toward(mean: Array, value: Array, tau: Array) -> Array:
    """Running mean with time constant tau (ticks): mean + (value - mean) / tau."""
    return mean + (value - mean) / tau


# --- Hebbian rules -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Zero(Rule):
    """No plasticity: the control that every rule must beat."""

    text: ClassVar[str] = "0"

    def update(self, theta, trace, synapse):
        return jnp.zeros_like(synapse.weight), trace


@dataclasses.dataclass(frozen=True)
class Hebb(Rule):
    """Correlated ends strengthen a synapse: change = eta x y (Hebb, 1949)."""

    text: ClassVar[str] = "eta * pre * post"
    eta: float = rate(0.01, "learning rate per tick")

    def update(self, theta, trace, synapse):
        return theta["eta"] * synapse.pre * synapse.post, trace


@dataclasses.dataclass(frozen=True)
class AntiHebb(Rule):
    """Correlated ends weaken a synapse: change = -eta x y."""

    text: ClassVar[str] = "-eta * pre * post"
    eta: float = rate(0.01, "learning rate per tick")

    def update(self, theta, trace, synapse):
        return -theta["eta"] * synapse.pre * synapse.post, trace


@dataclasses.dataclass(frozen=True)
class Oja(Rule):
    """Hebb with a decay that keeps the norm at 1: change = eta y (x - y w) (Oja, 1982).

    On a stationary input the incoming weights of a linear node converge to the first eigenvector
    of the input's second-moment matrix, with norm 1.
    """

    text: ClassVar[str] = "eta * post * (pre - post * weight)"
    eta: float = rate(0.01, "learning rate per tick")

    def update(self, theta, trace, synapse):
        x, y, w = synapse.pre, synapse.post, synapse.weight
        return theta["eta"] * y * (x - y * w), trace


@dataclasses.dataclass(frozen=True)
class Covariance(Rule):
    """Hebb on deviations from running means: change = eta (x - x̄)(y - ȳ) (Sejnowski, 1977)."""

    text: ClassVar[str] = "eta * (pre - pre_mean) * (post - post_mean)"
    memory: ClassVar[tuple[str, ...]] = (
        "pre_mean <- pre_mean + (pre - pre_mean) / tau",
        "post_mean <- post_mean + (post - post_mean) / tau",
    )
    eta: float = rate(0.01, "learning rate per tick")
    tau: float = time_constant(20.0, "time constant of the means, in ticks")

    def init_trace(self):
        return {"pre_mean": 0.0, "post_mean": 0.0}

    def update(self, theta, trace, synapse):
        x, y = synapse.pre - trace["pre_mean"], synapse.post - trace["post_mean"]
        means = {
            "pre_mean": _toward(trace["pre_mean"], synapse.pre, theta["tau"]),
            "post_mean": _toward(trace["post_mean"], synapse.post, theta["tau"]),
        }
        return theta["eta"] * x * y, means


@dataclasses.dataclass(frozen=True)
class BCM(Rule):
    """A sliding threshold between weakening and strengthening (Bienenstock, Cooper, Munro, 1982).

    change = eta x y (y - threshold), threshold <- threshold + (y**2 - threshold) / tau. With
    ``divide`` the change is divided by the threshold (Law and Cooper, 1994).
    """

    text: ClassVar[str] = "eta * pre * post * (post - threshold)"
    memory: ClassVar[tuple[str, ...]] = ("threshold <- threshold + (post^2 - threshold) / tau",)
    eta: float = rate(0.01, "learning rate per tick")
    tau: float = time_constant(20.0, "time constant of the threshold, in ticks")
    divide: bool = False

    def init_trace(self):
        return {"threshold": 0.0}

    def update(self, theta, trace, synapse):
        y, threshold = synapse.post, trace["threshold"]
        change = theta["eta"] * synapse.pre * y * (y - threshold)
        if self.divide:
            change = change / (threshold + 1e-2)
        return change, {"threshold": _toward(threshold, y * y, theta["tau"])}

    def formula(self, theta=None):
        shown = super().formula(theta)
        return shown.replace("\n", " / (threshold + 0.01)\n", 1) if self.divide else shown


@dataclasses.dataclass(frozen=True)
class HPCA(Rule):
    """Generalised Hebbian algorithm: Hebb on what is not yet explained (Sanger, 1989).

    change = eta y_i (x_j - sum over k of w_kj y_k): the sum is what the sender gets back from its
    outgoing edges. ``order`` is ``sanger`` (k up to i, in node order: the receivers find the
    principal components one after another) or ``subspace`` (all k: they find the subspace;
    Oja, 1989).
    """

    text: ClassVar[str] = "eta * post * (pre - reconstruction)"
    eta: float = rate(0.01, "learning rate per tick")
    order: str = "sanger"

    def __post_init__(self):
        super().__post_init__()
        _validate.choice("order", self.order, ("sanger", "subspace"))

    @property
    def uses(self):
        return frozenset({"sanger" if self.order == "sanger" else "reconstruction"})

    def update(self, theta, trace, synapse):
        return theta["eta"] * synapse.post * (synapse.pre - synapse.reconstruction), trace


@dataclasses.dataclass(frozen=True)
class ShiftedHPCA(Rule):
    """Each layer learns to predict its own next input: prediction instead of reconstruction.

    change = eta y_i(t-1) (x_j(t) - sum over k of w_kj y_k(t-1)).
    """

    text: ClassVar[str] = "eta * post_before * (pre - reconstruction)"
    memory: ClassVar[tuple[str, ...]] = ("post_before <- post",)
    eta: float = rate(0.01, "learning rate per tick")

    def init_trace(self):
        return {"post_before": 0.0}

    @property
    def uses(self):
        return frozenset({"shifted"})

    def update(self, theta, trace, synapse):
        change = theta["eta"] * trace["post_before"] * (synapse.pre - synapse.reconstruction)
        return change, {"post_before": synapse.post}


@dataclasses.dataclass(frozen=True)
class Competitive(Rule):
    """Winners move toward their input: change = eta v (x - w).

    v is the receiver's share in the competition of its group: 1 for the k winners and 0 else, or
    softmax(u / temperature); the network's ``winners`` and ``temperature`` say which
    (Rumelhart and Zipser, 1985; Grossberg's instar).
    """

    text: ClassVar[str] = "eta * share * (pre - weight)"
    eta: float = rate(0.05, "learning rate per tick")

    @property
    def uses(self):
        return frozenset({"share"})

    def update(self, theta, trace, synapse):
        return theta["eta"] * synapse.share * (synapse.pre - synapse.weight), trace


@dataclasses.dataclass(frozen=True)
class STDP(Rule):
    """Pair rule on rate traces: pre before post strengthens, post before pre weakens.

    change = a_plus x̄ y - a_minus x ȳ (Song, Miller and Abbott, 2000).
    """

    text: ClassVar[str] = "a_plus * pre_mean * post - a_minus * pre * post_mean"
    memory: ClassVar[tuple[str, ...]] = (
        "pre_mean <- pre_mean + (pre - pre_mean) / tau_plus",
        "post_mean <- post_mean + (post - post_mean) / tau_minus",
    )
    a_plus: float = rate(0.01, "strengthening per tick")
    a_minus: float = rate(0.01, "weakening per tick")
    tau_plus: float = time_constant(5.0, "time constant of the sender's trace, in ticks")
    tau_minus: float = time_constant(5.0, "time constant of the receiver's trace, in ticks")

    def init_trace(self):
        return {"pre_mean": 0.0, "post_mean": 0.0}

    def update(self, theta, trace, synapse):
        x, y = synapse.pre, synapse.post
        change = theta["a_plus"] * trace["pre_mean"] * y - theta["a_minus"] * x * trace["post_mean"]
        means = {
            "pre_mean": _toward(trace["pre_mean"], x, theta["tau_plus"]),
            "post_mean": _toward(trace["post_mean"], y, theta["tau_minus"]),
        }
        return change, means


@dataclasses.dataclass(frozen=True)
class ABCD(Rule):
    """change = eta (A x y + B x + C y + D) (Najarro and Risi, 2020).

    The coefficients are shared, per class, per node type or per synapse, as the network's
    ``sharing`` says.
    """

    text: ClassVar[str] = "eta * (a * pre * post + b * pre + c * post + d)"
    eta: float = rate(0.01, "learning rate per tick")
    a: float = real(1.0, "weight of the correlation", scale=0.3)
    b: float = real(0.0, "weight of the sender", scale=0.3)
    c: float = real(0.0, "weight of the receiver", scale=0.3)
    d: float = real(0.0, "constant drift", scale=0.3)

    def update(self, theta, trace, synapse):
        x, y = synapse.pre, synapse.post
        total = theta["a"] * x * y + theta["b"] * x + theta["c"] * y + theta["d"]
        return theta["eta"] * total, trace


# --- rules with a third factor -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class ThreeFactor(Rule):
    """An eligibility trace that a reward turns into change (Frémaux and Gerstner, 2016).

    e <- decay e + x y, change = eta m e, m = the reward; the network's ``teaching`` must give one.
    """

    text: ClassVar[str] = "eta * reward * eligibility"
    memory: ClassVar[tuple[str, ...]] = ("eligibility <- decay * eligibility + pre * post",)
    eta: float = rate(0.01, "learning rate per tick and unit of reward")
    decay: float = fraction(0.9, "what is left of the eligibility after a tick")

    @property
    def needs(self):
        return frozenset({"reward"})

    def init_trace(self):
        return {"eligibility": 0.0}

    def update(self, theta, trace, synapse):
        eligibility = theta["decay"] * trace["eligibility"] + synapse.pre * synapse.post
        change = theta["eta"] * synapse.modulator[REWARD] * eligibility
        return change, {"eligibility": eligibility}


@dataclasses.dataclass(frozen=True)
class NodePerturbation(Rule):
    """Credit by chance deviations of the receiver, turned into change by reward (Miconi, 2017).

    e <- e + (x (y - ȳ))**3; when a reward R comes: change = eta (R - R̄) e, and e starts anew.
    The network's ``teaching`` must give a reward, and its ``noise`` must make receivers deviate.
    """

    text: ClassVar[str] = "eta * rewarded * (reward - reward_mean) * credit"
    memory: ClassVar[tuple[str, ...]] = (
        "credit = eligibility + (pre * (post - post_mean))^3",
        "eligibility <- credit * (1 - rewarded)",
        "post_mean <- post_mean + (post - post_mean) / tau",
        "reward_mean <- reward_mean + rewarded * (reward - reward_mean) / reward_tau",
    )
    eta: float = rate(0.1, "learning rate per unit of reward")
    tau: float = time_constant(5.0, "time constant of the receiver's mean, in ticks")
    reward_tau: float = time_constant(20.0, "time constant of the mean reward, in rewards")

    @property
    def needs(self):
        return frozenset({"reward", "noise"})

    def init_trace(self):
        return {"eligibility": 0.0, "post_mean": 0.0, "reward_mean": 0.0}

    def update(self, theta, trace, synapse):
        reward, rewarded = synapse.modulator[REWARD], synapse.modulator[REWARDED]
        product = synapse.pre * (synapse.post - trace["post_mean"])
        credit = trace["eligibility"] + product * product * product
        surprise = rewarded * (reward - trace["reward_mean"])
        return theta["eta"] * surprise * credit, {
            "eligibility": credit * (1 - rewarded),
            "post_mean": _toward(trace["post_mean"], synapse.post, theta["tau"]),
            "reward_mean": trace["reward_mean"] + surprise / theta["reward_tau"],
        }


# --- rules with a teaching signal ----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Delta(Rule):
    """change = eta x f; normalised by the receiver's input energy (Widrow and Hoff, 1960).

    Normalised (NLMS): change = eta x f / (eps + sum of x**2 over the receiver's inputs); with
    eta = 1 and a linear receiver one step removes the whole error.
    """

    text: ClassVar[str] = "eta * pre * feedback / (eps + energy)"
    eta: float = rate(0.5, "learning rate per tick (of the whole error, when normalised)")
    eps: float = rate(0.1, "floor of the energy")
    normalised: bool = True

    @property
    def uses(self):
        return frozenset({"energy"}) if self.normalised else frozenset()

    def update(self, theta, trace, synapse):
        change = theta["eta"] * synapse.pre * synapse.feedback
        if self.normalised:
            change = change / (theta["eps"] + synapse.energy)
        return change, trace

    def formula(self, theta=None):
        shown = super().formula(theta)
        return shown if self.normalised else shown.split(" / ")[0]


@dataclasses.dataclass(frozen=True)
class FeedbackAlignment(Rule):
    """change = eta x phi'(u) f, f = the output error projected to the receiver (Nøkland, 2016).

    With the network's ``feedback="random"`` this is direct feedback alignment; with ``"shared"``
    or ``"kolen_pollack"`` the projection follows the forward weights.
    """

    text: ClassVar[str] = "eta * pre * slope * feedback"
    eta: float = rate(0.01, "learning rate per tick")

    def update(self, theta, trace, synapse):
        return theta["eta"] * synapse.pre * synapse.slope * synapse.feedback, trace


@dataclasses.dataclass(frozen=True)
class RFLO(Rule):
    """Random-feedback local online learning (Murray, 2019).

    p <- (1 - leak) p + leak phi'(u) x; change = eta p f. The eligibility p is the derivative of
    the receiver's activity with respect to the weight, without what travels through other nodes;
    where no node hears another it is the exact gradient.

    With ``relays`` = h the synapse also keeps its eligibilities of the last h ticks, and multiplies
    each with the feedback relayed over as many hidden-to-hidden edges: change = eta (p f +
    sum over k of p(t-k) f_k). Every factor is at the synapse's own ends, but the relays cross h
    edges within a tick, as messages. What waits in the nodes between is counted: with feedback
    along shared edges, and but for how weights change meanwhile, this is exactly the gradient of
    each tick's loss truncated after h + 1 ticks, at any leak. Older credit comes through the
    receiver's own leak only.
    """

    text: ClassVar[str] = "eta * eligibility * feedback"
    memory: ClassVar[tuple[str, ...]] = (
        "eligibility <- (1 - leak) * eligibility + leak * slope * pre",
    )
    eta: float = rate(0.01, "learning rate per tick")
    relays: int = 0

    def __post_init__(self):
        super().__post_init__()
        _validate.at_least("relays", self.relays, 0)

    @property
    def hops(self):
        return self.relays

    def init_trace(self):
        past = {f"eligibility_{k}": 0.0 for k in range(1, self.relays)}
        return {"eligibility": 0.0} | past

    def update(self, theta, trace, synapse):
        leak = synapse.leak
        eligibility = (1 - leak) * trace["eligibility"] + leak * synapse.slope * synapse.pre
        names = list(self.init_trace())
        total, past = eligibility * synapse.feedback, [trace[name] for name in names]
        for k in range(self.relays):
            total = total + past[k] * synapse.relayed[k]
        moved = [eligibility, *past][: len(names)]
        return theta["eta"] * total, dict(zip(names, moved, strict=True))

    def formula(self, theta=None):
        shown = super().formula(theta)
        more = [f"eligibility_{k} * relayed_{k}" for k in range(1, self.relays + 1)]
        if more:
            first = "eligibility * feedback"
            shown = shown.replace(first, f"({' + '.join([first, *more])})", 1)
            shown += "\neligibility_k = eligibility k ticks ago"
        return shown


@dataclasses.dataclass(frozen=True)
class EProp(Rule):
    """Eligibility propagation, rate form with an adaptive threshold (Bellec et al., 2020).

    v <- (1 - leak) v + leak x; a <- phi' v + (rho - phi' beta) a; e = phi' (v - beta a);
    ē <- kappa ē + (1 - kappa) e; change = eta ē f. beta = 0 has no adaptation.

    In the paper the leak is the membrane's, ahead of the nonlinearity, and the rule filters x with
    it. The networks here leak behind the nonlinearity: activity <- (1 - leak) activity + leak
    phi(u). So v is no derivative of anything they compute, and where leak < 1 the rule is an
    approximation, even without recurrence; `RFLO` is the rule made for these nodes.
    """

    text: ClassVar[str] = "eta * filtered * feedback"
    memory: ClassVar[tuple[str, ...]] = (
        "voltage <- (1 - leak) * voltage + leak * pre",
        "eligibility = slope * (voltage - beta * adaptation)",
        "adaptation <- slope * voltage + (rho - slope * beta) * adaptation",
        "filtered <- kappa * filtered + (1 - kappa) * eligibility",
    )
    eta: float = rate(0.01, "learning rate per tick")
    kappa: float = fraction(0.1, "what is left of the filtered eligibility after a tick")
    beta: float = real(0.0, "strength of the threshold's adaptation", scale=0.3)
    rho: float = fraction(0.9, "what is left of the adaptation after a tick")

    def init_trace(self):
        return {"voltage": 0.0, "adaptation": 0.0, "filtered": 0.0}

    def update(self, theta, trace, synapse):
        leak, slope, beta = synapse.leak, synapse.slope, theta["beta"]
        voltage = (1 - leak) * trace["voltage"] + leak * synapse.pre
        eligibility = slope * (voltage - beta * trace["adaptation"])
        filtered = theta["kappa"] * trace["filtered"] + (1 - theta["kappa"]) * eligibility
        adaptation = slope * voltage + (theta["rho"] - slope * beta) * trace["adaptation"]
        return theta["eta"] * filtered * synapse.feedback, {
            "voltage": voltage,
            "adaptation": adaptation,
            "filtered": filtered,
        }


@dataclasses.dataclass(frozen=True)
class DifferentiablePlasticity(Rule):
    """A fixed weight plus alpha times a Hebbian trace H (Miconi, 2018 and 2019).

    H <- (1 - eta) H + eta x y (``decay``), or H <- H + eta y (x - y H) (``oja``); the weight moves
    by alpha times what H moves. With ``modulated`` eta is multiplied by the reward, which the
    network's ``teaching`` must then give (backpropamine).
    """

    text: ClassVar[str] = "alpha * change_of_trace"
    memory: ClassVar[tuple[str, ...]] = ()
    alpha: float = real(1.0, "strength of the plastic part", scale=0.3)
    eta: float = fraction(0.1, "rate of the trace per tick")
    form: str = "decay"
    modulated: bool = False

    def __post_init__(self):
        super().__post_init__()
        _validate.choice("form", self.form, ("decay", "oja"))

    @property
    def needs(self):
        return frozenset({"reward"} if self.modulated else ())

    def init_trace(self):
        return {"hebbian": 0.0}

    def update(self, theta, trace, synapse):
        x, y, hebbian = synapse.pre, synapse.post, trace["hebbian"]
        eta = theta["eta"] * synapse.modulator[REWARD] if self.modulated else theta["eta"]
        decay = self.form == "decay"
        moved = eta * (x * y - hebbian) if decay else eta * y * (x - y * hebbian)
        return theta["alpha"] * moved, {"hebbian": hebbian + moved}

    def formula(self, theta=None):
        moved = (
            "(pre * post - hebbian)" if self.form == "decay" else "post * (pre - post * hebbian)"
        )
        eta = "eta * reward" if self.modulated else "eta"
        theta = self.init() if theta is None else theta
        lines = (f"change = alpha * {eta} * {moved}", f"hebbian <- hebbian + {eta} * {moved}")
        return "\n".join(substitute(line, theta) for line in lines)


# --- a small network as a rule -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class MLP(Rule):
    """A small network from the synapse's fields to the change of weight and of a trace.

    change = scale * out[0], trace <- decay trace + out[1], with one hidden layer of tanh units
    (Metz et al., 2018; Kirsch and Schmidhuber, 2021).
    """

    hidden: int = 8
    fields: tuple[str, ...] = ("pre", "post", "weight", "feedback")
    scale: float = rate(0.01, "size of the change per tick")
    decay: float = fraction(0.8, "what is left of the trace after a tick")

    def __post_init__(self):
        super().__post_init__()
        _validate.at_least("hidden", self.hidden, 1)
        scalars = tuple(n for n in Synapse._fields if n not in ("modulator", "relayed"))
        for name in self.fields:
            _validate.choice("fields", name, scalars)

    @property
    def uses(self):
        return frozenset(self.fields) & frozenset(USES)

    def init(self, key=None):
        key = jax.random.key(0) if key is None else key
        key_in, key_out = jax.random.split(key)
        num = len(self.fields) + 2  # the fields, the trace and a constant
        return {
            **defaults(self),
            "inner": jax.random.normal(key_in, (self.hidden, num)) / num**0.5,
            "outer": 0.1 * jax.random.normal(key_out, (2, self.hidden)) / self.hidden**0.5,
        }

    def space(self):
        from loopymeta.parameters import Space

        return {**spaces(self), "inner": Space("linear", 0.3), "outer": Space("linear", 0.3)}

    def init_trace(self):
        return {"memory": 0.0}

    def update(self, theta, trace, synapse):
        seen = [getattr(synapse, name) for name in self.fields] + [trace["memory"], 1.0]
        change, memory = 0.0, theta["decay"] * trace["memory"]
        for h in range(self.hidden):  # unrolled: elementwise over synapses, no matrix product
            unit = jnp.tanh(sum(theta["inner"][h, i] * value for i, value in enumerate(seen)))
            change = change + theta["outer"][0, h] * unit
            memory = memory + theta["outer"][1, h] * unit
        return theta["scale"] * change, {"memory": memory}

    def formula(self, theta=None):
        theta = self.init() if theta is None else theta
        names = ", ".join((*self.fields, "memory", "1"))
        return (
            f"change = {number_text(theta['scale'])} * out[0], "
            f"memory <- {number_text(theta['decay'])} * memory + out[1], "
            f"out = outer @ tanh(inner @ [{names}]), {self.hidden} hidden units"
        )


# --- wrappers ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Wrapper(Rule):
    """A rule around a rule: theta and trace hold those of the inner one under ``rule``.

    A wrapper that reads costly fields itself, or needs something, adds it to ``uses`` or ``needs``.

    Raises:
      TypeError: ``rule`` is no rule.
      ValueError: wrapper and rule read the same `Synapse` field in different forms.
    """

    rule: Rule = dataclasses.field(default_factory=Hebb)

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.rule, Rule):
            raise TypeError(f"rule must be a Rule, got {self.rule!r}")
        for rivals in _ONE_OF:
            both = sorted(self.uses & rivals)
            if len(both) > 1:
                raise ValueError(
                    f"{' and '.join(both)} fill the same field of a synapse, so "
                    f"{type(self).__name__} cannot be around this {type(self.rule).__name__}"
                )

    @property
    def uses(self):
        return self.rule.uses

    @property
    def needs(self):
        return self.rule.needs

    @property
    def hops(self):
        return self.rule.hops

    def init(self, key=None):
        return {**defaults(self), "rule": self.rule.init(key)}

    def space(self):
        return {**spaces(self), "rule": self.rule.space()}

    def own_trace(self) -> dict[str, float]:
        """The wrapper's own per-synapse memory."""
        return {}

    def init_trace(self):
        return {**self.own_trace(), "rule": self.rule.init_trace()}

    def inner(self, theta: Theta, trace: Trace, synapse: Synapse) -> tuple[Array, Trace]:
        """The wrapped rule's change and its trace."""
        return self.rule.update(theta["rule"], trace["rule"], synapse)

    def formula(self, theta=None):
        theta = self.init() if theta is None else theta
        first, *rest = self.rule.formula(theta["rule"]).split("\n")
        own = [substitute(line, theta) for line in (f"change = {self.text}", *self.memory)]
        return "\n".join([*own, first.replace("change", "inner", 1), *rest])


@dataclasses.dataclass(frozen=True)
class RunningScale(Wrapper):
    """Running moments of the change, per synapse, in its trace: Adam's arithmetic, kept local.

    g = the wrapped rule's change; m <- m + (g - m) (1 - beta1), v <- v + (g**2 - v) (1 - beta2),
    both corrected for their start; change = eta m / (sqrt(v) + eps) / (1 + life / horizon)**power,
    life = the part of the lifespan that has passed (Kingma and Ba, 2015; the decay of the rate is
    Robbins and Monro's, 1951). power = 0 keeps the rate constant. Without ``momentum`` m is g.

    The change is not clipped: on names, a bound of 10 on m / sqrt(v) made networks burst, since
    the largest changes are those that correct the largest errors.

    Raises:
      ValueError: ``beta1`` or ``beta2`` is 1.
    """

    text: ClassVar[str] = "eta * mean / (sqrt(square) + eps) / (1 + life / horizon)^power"
    memory: ClassVar[tuple[str, ...]] = (
        "mean <- beta1 * mean + (1 - beta1) * inner, corrected for its start",
        "square <- beta2 * square + (1 - beta2) * inner^2, corrected for its start",
    )
    eta: float = rate(0.003, "learning rate per tick")
    beta1: float = fraction(0.9, "what is left of the mean after a tick")
    beta2: float = fraction(0.999, "what is left of the mean square after a tick")
    eps: float = rate(1e-6, "floor of the root mean square", scale=2.0)
    horizon: float = rate(0.1, "part of the lifespan at which the rate begins to fall")
    power: float = fraction(1.0, "how fast the rate falls with age")
    momentum: bool = True

    def __post_init__(self):
        super().__post_init__()
        for name in ("beta1", "beta2"):
            if getattr(self, name) == 1:
                raise ValueError(f"{name} must be below 1: with 1 the mean never moves from 0")

    def own_trace(self):
        return {"mean": 0.0, "square": 0.0} if self.momentum else {"square": 0.0}

    def update(self, theta, trace, synapse):
        g, inner = self.inner(theta, trace, synapse)
        beta1, beta2 = theta["beta1"], theta["beta2"]
        age = synapse.age + 1.0
        square = beta2 * trace["square"] + (1 - beta2) * g * g
        # 1 - beta**age, by logarithms: an array to the power of an array has a NaN gradient at 0.
        start2 = -jnp.expm1(age * jnp.log(beta2 + 1e-12))
        past = jnp.log1p(synapse.life / (theta["horizon"] + 1e-9))
        rate_now = theta["eta"] * jnp.exp(-theta["power"] * past)
        # One division a synapse: by the root; that by the correction is one for all synapses.
        root = jnp.sqrt(square * (1 / start2) + 1e-30)  # never the gradient of sqrt at 0
        new = {"square": square, "rule": inner}
        if self.momentum:
            mean = beta1 * trace["mean"] + (1 - beta1) * g
            new["mean"] = mean
            g = mean / -jnp.expm1(age * jnp.log(beta1 + 1e-12))
        return rate_now / (root + theta["eps"]) * g, new

    def formula(self, theta=None):
        shown = super().formula(theta)
        if self.momentum:
            return shown
        lines = [line for line in shown.split("\n") if not line.startswith("mean <-")]
        return "\n".join([lines[0].replace("mean", "inner", 1), *lines[1:]])


@dataclasses.dataclass(frozen=True)
class Settling(Wrapper):
    """A synapse settles while its errors take turns, and stays quick while they agree.

    push = pre feedback, the direction in which the error wants the weight; recent is a leaky sum
    of the pushes before. use <- max(0, (1 - forget) use + push**2 - agreement push recent), and
    change = inner / (max(1 / boldness, curvature**2) + use / patience), for the wrapped rule's
    change. Noise pushes to and fro: use grows as in AdaGrad (Duchi, Hazan and Singer, 2011), and
    the weight averages. Where a push repeats the last ones there is still something to learn, and
    use shrinks, as the rates of delta-bar-delta (Jacobs, 1988) and IDBD (Sutton, 1992) grow; where
    nothing is wrong it stays.

    The curvature is 1, and the change of a fresh synapse the wrapped rule's, but at outputs that
    are a softmax: their feedback fades as they become sure, so that a fresh synapse onto them may
    step up to ``boldness`` times as far (16 times at most).
    """

    text: ClassVar[str] = "inner / (max(1 / boldness, curvature^2) + use / patience)"
    memory: ClassVar[tuple[str, ...]] = (
        "use <- max(0, (1 - forget) * use + push^2 - agreement * push * recent)",
        "recent <- (1 - 1 / window) * recent + push",
        "push = pre * feedback",
    )
    patience: float = rate(1.0, "use at which the change is half the wrapped rule's")
    boldness: float = rate(1.0, "first steps at softmax outputs, in those of the wrapped rule")
    agreement: float = rate(1.0, "how much a push like the recent ones takes off the use")
    window: float = time_constant(50.0, "time constant of the recent pushes, in ticks", scale=2.0)
    forget: float = fraction(3e-4, "part of the use that is lost in a tick", scale=2.0)

    def own_trace(self):
        return {"use": 0.0, "recent": 0.0}

    def update(self, theta, trace, synapse):
        g, inner = self.inner(theta, trace, synapse)
        push, recent = synapse.pre * synapse.feedback, trace["recent"]
        use = (1 - theta["forget"]) * trace["use"] + push * (push - theta["agreement"] * recent)
        use = jnp.maximum(use, 0.0)
        fresh = jnp.maximum(1 / theta["boldness"], synapse.curvature**2)
        new = {"use": use, "recent": recent + push - recent / theta["window"], "rule": inner}
        return g / (fresh + use / theta["patience"]), new


@dataclasses.dataclass(frozen=True)
class FastSlow(Wrapper):
    """Two weights in one: w = slow + fast (Hinton and Plaut, 1987; Ba et al., 2016).

    fast <- (1 - decay) fast + fast_gain g, slow <- slow + slow_gain g, for the wrapped rule's
    change g: recent changes count more, and fade.
    """

    text: ClassVar[str] = "(fast_gain + slow_gain) * inner - decay * fast"
    memory: ClassVar[tuple[str, ...]] = ("fast <- (1 - decay) * fast + fast_gain * inner",)
    fast_gain: float = rate(1.0, "share of the change that goes to the fast weight")
    slow_gain: float = rate(0.1, "share of the change that goes to the slow weight")
    decay: float = fraction(0.05, "part of the fast weight that is lost in a tick")

    def own_trace(self):
        return {"fast": 0.0}

    def update(self, theta, trace, synapse):
        g, inner = self.inner(theta, trace, synapse)
        moved = theta["fast_gain"] * g - theta["decay"] * trace["fast"]
        return moved + theta["slow_gain"] * g, {"fast": trace["fast"] + moved, "rule": inner}


@dataclasses.dataclass(frozen=True)
class Bounded(Wrapper):
    """Keeps a weight inside [-bound, bound]: cut off (``clip``) or slowed near it (``soft``).

    clip: w + change is clipped. soft: a change outward is multiplied by 1 - |w| / bound.
    """

    text: ClassVar[str] = "inner, kept within +-bound"
    bound: float = rate(2.0, "largest absolute weight")
    form: str = "clip"

    def __post_init__(self):
        super().__post_init__()
        _validate.choice("form", self.form, ("clip", "soft"))

    def update(self, theta, trace, synapse):
        g, inner = self.inner(theta, trace, synapse)
        w, bound = synapse.weight, theta["bound"]
        if self.form == "soft":
            room = jnp.clip(1 - jnp.abs(w) / bound, 0.0, 1.0)
            g = jnp.where(g * w > 0, g * room, g)
        return jnp.clip(w + g, -bound, bound) - w, {"rule": inner}


@dataclasses.dataclass(frozen=True)
class Decayed(Wrapper):
    """The wrapped rule and a leak of the weight: change = g - decay w."""

    text: ClassVar[str] = "inner - decay * weight"
    decay: float = rate(0.001, "part of the weight that is lost in a tick")

    def update(self, theta, trace, synapse):
        g, inner = self.inner(theta, trace, synapse)
        return g - theta["decay"] * synapse.weight, {"rule": inner}


@dataclasses.dataclass(frozen=True)
class Normalised(Wrapper):
    """Keeps the receiver's incoming weights at a norm: L2 (``order=2``) or L1 (``order=1``).

    change = g + rate w (target / norm - 1), with the norm before the change: with rate 1 the norm
    is the target but for the last change.
    """

    text: ClassVar[str] = "inner + strength * weight * (target / norm - 1)"
    target: float = rate(1.0, "norm of a receiver's incoming weights")
    strength: float = fraction(0.999, "part of the deviation removed in a tick")
    order: int = 2

    def __post_init__(self):
        super().__post_init__()
        if self.order not in (1, 2):
            raise ValueError(f"order must be 1 or 2, got {self.order!r}")

    @property
    def uses(self):
        return super().uses | {"norm" if self.order == 2 else "norm1"}

    def update(self, theta, trace, synapse):
        g, inner = self.inner(theta, trace, synapse)
        norm = jnp.sqrt(synapse.norm + 1e-12) if self.order == 2 else synapse.norm + 1e-12
        pull = theta["strength"] * synapse.weight * (theta["target"] / norm - 1)
        return g + pull, {"rule": inner}


@dataclasses.dataclass(frozen=True)
class Homeostatic(Wrapper):
    """Scales a receiver's weights until its mean square activity is the target.

    change = g + rate w (target - a), a <- a + (y**2 - a) / tau (synaptic scaling; Turrigiano,
    2008).
    """

    text: ClassVar[str] = "inner + gain * weight * (target - activity)"
    memory: ClassVar[tuple[str, ...]] = ("activity <- activity + (post^2 - activity) / tau",)
    gain: float = rate(0.01, "rate of the scaling per tick")
    target: float = rate(0.25, "mean square activity aimed at")
    tau: float = time_constant(50.0, "time constant of the mean square, in ticks")

    def own_trace(self):
        return {"activity": 0.0}

    def update(self, theta, trace, synapse):
        g, inner = self.inner(theta, trace, synapse)
        activity = _toward(trace["activity"], synapse.post * synapse.post, theta["tau"])
        pull = theta["gain"] * synapse.weight * (theta["target"] - activity)
        return g + pull, {"activity": activity, "rule": inner}
