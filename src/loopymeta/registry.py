"""Every plasticity rule by name, for the command line, for configurations and for tests."""

from __future__ import annotations

import dataclasses
from typing import Any

from loopymeta import _validate, rules
from loopymeta.hebbian import GeneralHebbian
from loopymeta.rules import Rule, Wrapper
from loopymeta.written import Written

RULES: dict[str, type[Rule]] = {
    "zero": rules.Zero,
    "hebb": rules.Hebb,
    "anti_hebb": rules.AntiHebb,
    "oja": rules.Oja,
    "covariance": rules.Covariance,
    "bcm": rules.BCM,
    "hpca": rules.HPCA,
    "shifted_hpca": rules.ShiftedHPCA,
    "competitive": rules.Competitive,
    "stdp": rules.STDP,
    "abcd": rules.ABCD,
    "general_hebbian": GeneralHebbian,
    "three_factor": rules.ThreeFactor,
    "node_perturbation": rules.NodePerturbation,
    "delta": rules.Delta,
    "feedback_alignment": rules.FeedbackAlignment,
    "rflo": rules.RFLO,
    "eprop": rules.EProp,
    "differentiable_plasticity": rules.DifferentiablePlasticity,
    "mlp": rules.MLP,
    "written": Written,
}
"""Rules that stand alone, by name; ``written`` needs an expression, all others have defaults."""

WRAPPERS: dict[str, type[Wrapper]] = {
    "running_scale": rules.RunningScale,
    "settling": rules.Settling,
    "fast_slow": rules.FastSlow,
    "bounded": rules.Bounded,
    "decayed": rules.Decayed,
    "normalised": rules.Normalised,
    "homeostatic": rules.Homeostatic,
}
"""Rules around a rule, by name."""


def make_rule(name: str, **options: Any) -> Rule:
    """A rule or wrapper by its name, with options other than the defaults.

    Arguments:
        name: a key of `RULES` or `WRAPPERS`.
        options: its fields; for ``written`` the ``expression`` and the values of its names.

    Errors: ValueError for an unknown name or option (the nearest is suggested) or a bad value.

    >>> make_rule("oja", eta=0.1)
    Oja(eta=0.1)
    >>> make_rule("bounded", rule=make_rule("hebb"), bound=1.5).bound
    1.5
    >>> make_rule("ojo")
    Traceback (most recent call last):
    ValueError: unknown rule 'ojo'. Did you mean 'oja'? Known: abcd, anti_hebb, bcm, ...
    """
    known = {**RULES, **WRAPPERS}
    if name not in known:
        raise _validate.unknown("rule", name, known)
    fields = [field.name for field in dataclasses.fields(known[name])]
    for option in options:
        if option not in fields and name != "written":  # whose other options are parameters
            raise _validate.unknown(f"option of rule {name!r},", option, fields)
    if name == "written" and "expression" not in options:
        raise ValueError("a written rule needs an expression, e.g. '0.1 * pre * post'")
    return known[name](**options)
