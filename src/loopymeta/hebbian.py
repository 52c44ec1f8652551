"""The general Hebbian form: a polynomial of what a synapse sees, with the named rules as points.

change = sum over terms of theta_term * (product of the term's factors). A compiled population of
one set of terms may hold Oja beside covariance beside BCM beside candidates without a name
(Confavreux et al., 2020; Mehta et al., 2024).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from loopymeta import _validate, rules
from loopymeta._jax import jnp
from loopymeta.parameters import Space, Theta, defaults, fraction, spaces, time_constant
from loopymeta.rules import REWARD, Rule, number_text

TRACES = ("pre_mean", "post_mean", "threshold", "hebbian", "filtered", "post_before")
"""Per-synapse memories a term may use: running means of pre, post and post**2; the decaying sum of
pre * post (three-factor); RFLO's eligibility; the receiver's last activity."""

FACTORS = (
    "pre",
    "post",
    "weight",
    "reward",
    "feedback",
    "slope",
    "share",
    "reconstruction",
    *TRACES,
)

NAMED_TERMS = (
    "pre post",
    "pre",
    "post",
    "1",
    "post^2 weight",
    "weight",
    "pre_mean post",
    "pre post_mean",
    "pre_mean post_mean",
    "pre post^2",
    "pre post threshold",
    "post reconstruction",
    "hebbian reward",
    "pre feedback",
    "pre slope feedback",
    "filtered feedback",
    "share pre",
    "share weight",
)
"""Terms enough for every named rule that is a point of the general form, but time-shifted HPCA,
whose reconstruction is another."""


def parse_term(term: str) -> tuple[str, ...]:
    """The factors of a term, repeated for powers.

    >>> parse_term("post^2 weight")
    ('post', 'post', 'weight')
    """
    factors: list[str] = []
    for part in str(term).split():
        name, _, power = part.partition("^")
        if name == "1" and not power:
            continue
        if name not in FACTORS:
            raise _validate.unknown("factor of a Hebbian term", name, (*FACTORS, "1"))
        if power and power not in ("1", "2", "3"):
            raise ValueError(f"a power in the term {term!r} must be 1, 2 or 3, got {power!r}")
        factors += [name] * int(power or 1)
    return tuple(factors)


def polynomial_terms(
    max_power: int = 2, factors: Sequence[str] = ("pre", "post", "weight", "reward")
):
    """All products of powers 0..max_power of ``factors``: 81 terms by default.

    >>> len(polynomial_terms())
    81
    """
    terms = []
    for powers in itertools.product(range(max_power + 1), repeat=len(factors)):
        shown = [f"{f}^{p}" if p > 1 else f for f, p in zip(factors, powers, strict=True) if p]
        terms.append(" ".join(shown) or "1")
    return tuple(terms)


@dataclasses.dataclass(frozen=True)
class GeneralHebbian(Rule):
    """change = sum of theta_k * term_k over the terms it is told to use.

    Args:
      terms: each a product of factors, e.g. ``"pre post"``, ``"post^2 weight"``, ``"1"``; see
        `FACTORS` and `TRACES`. `polynomial_terms` gives all powers up to 2.
      start: the coefficients at birth, one a term, or one for all.
      order: which reconstruction a term sees: ``all`` outgoing edges, or ``sanger`` order.
    """

    terms: tuple[str, ...] = ("pre post", "pre", "post", "1", "post^2 weight", "weight")
    start: tuple[float, ...] = (0.0,)
    scale: float = 0.01
    order: str = "all"
    tau: float = time_constant(20.0, "time constant of the means and the threshold, in ticks")
    decay: float = fraction(0.9, "what is left of the Hebbian eligibility after a tick")

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "terms", tuple(self.terms))
        object.__setattr__(self, "start", tuple(float(value) for value in self.start))
        if not self.terms:
            raise ValueError("terms must name at least one term")
        for term in self.terms:
            parse_term(term)
        if len(set(self.terms)) < len(self.terms):
            raise ValueError(f"terms must differ, got {self.terms}")
        if len(self.start) not in (1, len(self.terms)):
            raise ValueError(
                f"start must have 1 or {len(self.terms)} numbers, got {len(self.start)}"
            )
        _validate.positive("scale", self.scale)
        _validate.choice("order", self.order, ("all", "sanger"))

    @property
    def factors(self) -> frozenset[str]:
        """All factors in use."""
        return frozenset(itertools.chain.from_iterable(map(parse_term, self.terms)))

    @property
    def uses(self):
        needed = self.factors & frozenset(("share",))
        if "reconstruction" in self.factors:
            needed |= {"reconstruction" if self.order == "all" else "sanger"}
        return needed

    @property
    def needs(self):
        rewarded = all("reward" in parse_term(term) for term in self.terms)
        return frozenset({"reward"} if rewarded else ())

    def init(self, key=None):
        start = self.start if len(self.start) > 1 else self.start * len(self.terms)
        return {**defaults(self), "coefficients": jnp.asarray(start, dtype=jnp.result_type(float))}

    def space(self):
        return {**spaces(self), "coefficients": Space("linear", self.scale)}

    def init_trace(self):
        return {name: 0.0 for name in TRACES if name in self.factors}

    def update(self, theta, trace, synapse):
        new = self._memories(theta, trace, synapse)
        seen = {name: getattr(synapse, name) for name in FACTORS if hasattr(synapse, name)}
        seen["reward"] = synapse.modulator[REWARD]
        # Eligibilities count what happens now; means and thresholds are those from before.
        seen |= trace if isinstance(trace, dict) else {}
        seen |= {name: new[name] for name in ("hebbian", "filtered") if name in new}
        change: Any = 0.0
        for k, term in enumerate(self.terms):
            product = theta["coefficients"][k]
            for factor in parse_term(term):
                product = product * seen[factor]
            change = change + product
        return change, new

    def _memories(self, theta: Theta, trace: Any, synapse: rules.Synapse) -> dict[str, Any]:
        x, y, leak, tau = synapse.pre, synapse.post, synapse.leak, theta["tau"]
        moves = {
            "pre_mean": lambda old: old + (x - old) / tau,
            "post_mean": lambda old: old + (y - old) / tau,
            "threshold": lambda old: old + (y * y - old) / tau,
            "hebbian": lambda old: theta["decay"] * old + x * y,
            "filtered": lambda old: (1 - leak) * old + leak * synapse.slope * x,
            "post_before": lambda old: y,
        }
        return {name: moves[name](trace[name]) for name in self.init_trace()}

    def formula(self, theta=None):
        theta = self.init() if theta is None else theta
        parts = []
        for coefficient, term in zip(theta["coefficients"], self.terms, strict=True):
            shown = number_text(coefficient)
            if shown != "0":
                product = "" if term == "1" else " * " + term.replace(" ", " * ")
                parts.append(f"{shown}{product}")
        return "change = " + (" + ".join(parts).replace("+ -", "- ") or "0")


def as_general(rule: Rule, terms: Sequence[str] = NAMED_TERMS) -> tuple[GeneralHebbian, Theta]:
    """A named rule as a point of the general form: the form and its theta.

    Args:
      rule: Hebb, AntiHebb, Oja, Covariance, BCM (undivided), HPCA, ABCD, ThreeFactor, Delta (not
        normalised), FeedbackAlignment, RFLO (without relays), Competitive, or STDP of one time
        constant.
      terms: the terms of the form; all that the rule needs must be among them.

    Raises:
      ValueError: the rule is no point of the form, or a term that it needs is missing.

    >>> from loopymeta.rules import Oja
    >>> form, theta = as_general(Oja(eta=0.1), ("pre post", "post^2 weight"))
    >>> print(form.formula(theta))
    change = 0.1 * pre * post - 0.1 * post^2 * weight
    """
    coefficients = _coefficients(rule)
    if missing := sorted(coefficients.keys() - set(terms)):
        raise ValueError(f"{type(rule).__name__} needs the term {missing[0]!r}")
    memory = {name: getattr(rule, name) for name in ("tau", "decay") if hasattr(rule, name)}
    if isinstance(rule, rules.STDP):  # both time constants, where they are equal
        memory["tau"] = rule.tau_plus
    order = "sanger" if getattr(rule, "order", "") == "sanger" else "all"
    start = tuple(coefficients.get(term, 0.0) for term in terms)
    form = GeneralHebbian(terms=tuple(terms), start=start, order=order, **memory)
    return form, form.init()


def _coefficients(rule: Rule) -> dict[str, float]:
    """The coefficients of a named rule, term by term."""
    eta = getattr(rule, "eta", 0.0)
    match rule:
        case rules.Zero():
            return {}
        case rules.Hebb():
            return {"pre post": eta}
        case rules.AntiHebb():
            return {"pre post": -eta}
        case rules.Oja():
            return {"pre post": eta, "post^2 weight": -eta}
        case rules.Covariance():
            return {
                "pre post": eta,
                "pre_mean post": -eta,
                "pre post_mean": -eta,
                "pre_mean post_mean": eta,
            }
        case rules.BCM(divide=False):
            return {"pre post^2": eta, "pre post threshold": -eta}
        case rules.HPCA():
            return {"pre post": eta, "post reconstruction": -eta}
        case rules.ABCD():
            return {
                "pre post": eta * rule.a,
                "pre": eta * rule.b,
                "post": eta * rule.c,
                "1": eta * rule.d,
            }
        case rules.ThreeFactor():
            return {"hebbian reward": eta}
        case rules.Delta(normalised=False):
            return {"pre feedback": eta}
        case rules.FeedbackAlignment():
            return {"pre slope feedback": eta}
        case rules.RFLO(relays=0):
            return {"filtered feedback": eta}
        case rules.Competitive():
            return {"share pre": eta, "share weight": -eta}
        case rules.STDP() if rule.tau_plus == rule.tau_minus:
            return {"pre_mean post": rule.a_plus, "pre post_mean": -rule.a_minus}
    raise ValueError(f"{rule} is no point of the general Hebbian form")
