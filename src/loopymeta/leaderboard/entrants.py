"""Who is compared: rules with their controls, learners by name, chance; and who a name names."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from loopymeta import _own, _validate, parameters, registry, runs
from loopymeta.config import Control, NetworkConfig
from loopymeta.learners import by_name
from loopymeta.lifetime import Plastic
from loopymeta.rule_text import rule_from_text
from loopymeta.rules import Delta, Rule
from loopymeta.tasks.base import Task

CHANCE = "chance"
RIVAL = "lstm"
"""The learner that rules are held against, task by task."""
BESIDE = ("reservoir", RIVAL, CHANCE)
"""Who always stands beside."""
CONTROLS: tuple[Control, ...] = ("frozen", "shuffled")

DEFAULT_NETWORK = NetworkConfig(num_hidden=128, output_rule=Delta())
"""Where rules given by text live: hidden synapses by the rule, outputs by the reservoir's rule."""


@dataclasses.dataclass(frozen=True)
class Entrant:
    """Who is compared: a rule in its networks, one of its controls, a learner by name, or chance.

    Attributes:
      name: what it is called in tables; no two entrants share one.
      kind: ``rule``, ``learner`` or ``chance``.
      rule: the name of the rule that a control belongs to, and of the rule itself; else empty.
      network: of rules and their controls.
      theta: meta-parameters as JSON holds them; None: the rule's or learner's own.
      learner: its name, with options if need be (`loopymeta.learners.by_name`).
      hidden: hidden nodes of a learner; None: its own number.
    """

    name: str
    kind: Literal["rule", "learner", "chance"]
    rule: str = ""
    network: NetworkConfig | None = None
    theta: Any = None
    learner: str = ""
    hidden: int | None = None

    @property
    def control(self) -> str:
        """``none`` for a rule under test, else which control it is; empty for others."""
        return self.network.control if self.network else ""

    @property
    def compiled(self) -> bool:
        """Whether it lives in compiled programs, as all do but learners that live on the host."""
        return self.kind != "learner" or by_name.check(self.learner).compiled

    def content(self) -> dict[str, Any]:
        """All that its figures depend on, as JSON holds it."""
        if self.network is not None:
            network = runs.to_dict(self.network, "network")
            return {"kind": "rule", "network": network, "theta": self.theta}
        if self.kind == "chance":
            return {"kind": "chance"}
        found = {"kind": "learner", "learner": self.learner, "hidden": self.hidden}
        return found if self.theta is None else found | {"theta": self.theta}

    def settings(self, task: Task) -> Any:
        """The numbers of a learner on a task, which are no part of its name."""
        plain = self.learner == "reservoir" and self.hidden is None
        if self.kind != "learner" or self.learner == "counts" or plain:
            return None
        try:
            learner: Any = by_name.learner_of(self.learner, task, self.hidden)
        except Exception:  # what it is that cannot be, the cell will say
            return None
        if isinstance(learner, Plastic):  # a reservoir, whose graphs follow from its name
            return repr(learner.network)
        return dataclasses.asdict(learner) if dataclasses.is_dataclass(learner) else None

    def own_code(self, task: Task) -> list[Any] | None:
        """The classes and functions of its own that it is made of; None if it is the library's."""
        if self.kind != "learner":
            return _own.own_classes(self.network)
        return by_name.own_code(self.learner, task, self.hidden)


def suited(network: NetworkConfig, rule: Rule) -> NetworkConfig:
    """The networks with a rule by name: with what it needs, without what it has no use for."""
    from loopymeta.network import has_rate

    network = dataclasses.replace(network, rule=rule)
    if "reward" in rule.needs:  # of which other rules at the outputs would know nothing
        network = dataclasses.replace(network, teaching="reward", output_rule=None)
    if "noise" in rule.needs:
        network = dataclasses.replace(network, noise=0.1)
    if network.rate_fan_in is not None and not has_rate(rule):
        network = dataclasses.replace(network, rate_fan_in=None)
    return network


def resized(network: NetworkConfig, hidden: int | None) -> NetworkConfig:
    """The networks with so many hidden nodes (memory nodes, where there are no others)."""
    if hidden is None:
        return network
    _validate.at_least("hidden", hidden, 1)
    if network.num_hidden:
        return dataclasses.replace(network, num_hidden=hidden)
    return dataclasses.replace(network, num_memory=hidden)


def entrant_of(
    name: str,
    taken: Iterable[str] = (),
    *,
    hidden: int | None = None,
    learner_hidden: int | None = None,
) -> Entrant:
    """Who a name names: a rule (as text, rule file or run folder), a learner, or chance.

    Args:
      name: a rule as text, a rule file, a run folder, a learner (`loopymeta.learners.by_name`), or
        ``chance``.
      taken: names of other entrants, which this one must not have.
      hidden: hidden nodes of the networks of a rule; None: those of the rule file, or of
        `DEFAULT_NETWORK`.
      learner_hidden: hidden nodes of a learner; None: its own.

    Raises:
      ValueError: the name is not known (the nearest is suggested), or the rule cannot be read.
    """
    from loopymeta import training

    if name == CHANCE:
        return Entrant(name, "chance", learner=name)
    stored = os.path.exists(name) and training.is_learner(name)
    if stored or by_name.known(name):
        text, theta = training.read_learner(name) if stored else (name, None)
        theta = None if theta is None else parameters.theta_to_json(theta)
        size = learner_hidden if by_name.check(text).size else None
        shown = _rule_name(name, taken) if stored else name
        return Entrant(shown, "learner", theta=theta, learner=text, hidden=size)
    network, theta = _networks_of(name, hidden)
    name = _rule_name(name, taken)
    return Entrant(name, "rule", rule=name, network=network, theta=theta)


def entrants_of(
    names: Sequence[str], *, hidden: int | None = None, learner_hidden: int | None = None
) -> list[Entrant]:
    """Who was named, each rule followed by its controls, and who always stands beside.

    Args:
      names: see `entrant_of`.
      hidden, learner_hidden: see `entrant_of`.

    Raises:
      ValueError: see `entrant_of`.

    >>> [entrant.name for entrant in entrants_of(["oja(eta=0.1)"])]
    ['oja(eta=0.1)', 'frozen', 'shuffled', 'reservoir', 'lstm', 'chance']
    """
    named: list[Entrant] = []
    for name in dict.fromkeys((*names, *BESIDE)):
        taken = [entrant.name for entrant in named]
        named.append(entrant_of(name, taken, hidden=hidden, learner_hidden=learner_hidden))
    rules = [(entrant, entrant.network) for entrant in named if entrant.network is not None]
    found = []
    for rule, network in rules:
        found.append(rule)
        for control in CONTROLS:
            shown = control if len(rules) == 1 else f"{rule.name}: {control}"
            controlled = dataclasses.replace(network, control=control)
            found.append(dataclasses.replace(rule, name=shown, network=controlled))
    others = [e for e in named if e.network is None and e.name not in BESIDE]
    return [*found, *others, *(e for name in BESIDE for e in named if e.name == name)]


def _networks_of(name: str, hidden: int | None) -> tuple[NetworkConfig, Any]:
    """(networks, theta as JSON holds it) of a rule as text, a rule file or a run folder."""
    from loopymeta import training

    if os.path.exists(name):
        network, theta = training.read_rule(name)
        return resized(network, hidden), parameters.theta_to_json(theta)
    return suited(resized(DEFAULT_NETWORK, hidden), rule_named(name)), None


def rule_named(text: str) -> Rule:
    """The rule that a text names where a learner, a run or a rule file might stand, too.

    Raises:
      ValueError: it names none (the nearest of rules and learners is suggested), or is no rule.
    """
    if "(" not in text and ("/" in text or text.endswith(".json")):
        raise ValueError(f"there is no run or rule file {text}")
    known = {**registry.RULES, **registry.WRAPPERS}
    name = text.partition("(")[0].strip()
    if name.isidentifier() and name not in known:
        raise _validate.unknown("rule or learner", name, [*known, *by_name.LEARNERS])
    return rule_from_text(text)


_WIDEST = 24


def _rule_name(name: str, taken: Iterable[str]) -> str:
    """What a rule is called in a table: short, and like no other."""
    if os.path.exists(name):
        path = Path(name).absolute()
        path = path.parent if path.name == "rule.json" else path
        name = path.name if path.is_dir() else path.stem
    elif len(name) > _WIDEST:  # the rules that it is made of, without their numbers
        name = re.sub(r",?\s*\w+=[^,()'\"]*", "", name).replace("()", "")
    name = name if len(name) <= _WIDEST else f"{name[: _WIDEST - 1]}…"
    others = {*taken, *by_name.LEARNERS, *CONTROLS, CHANCE}
    places = (name if place == 1 else f"{name} {place}" for place in range(1, len(others) + 2))
    return next(shown for shown in places if shown not in others)
