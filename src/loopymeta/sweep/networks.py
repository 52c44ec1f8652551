"""What a sweep varies of plastic networks: sizes, wirings, births, rules and their numbers."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loopymeta import _validate, graph, runs
from loopymeta.config import NetworkConfig
from loopymeta.lifetime import Lifetime
from loopymeta.network import ACTIVATIONS, Innate
from loopymeta.rule_text import rule_from_text, rule_to_text
from loopymeta.rules import Rule
from loopymeta.sweep.space import Choices, Kind, Varied, read_varied
from loopymeta.tasks.base import Task
from loopymeta.written import Written

_RULES = ("rule", "output_rule", "memory_rule")
_FIXED = ("innate", "control", "layout")
"""Fields of a network that no sweep varies: the first by the names of its parts."""
_DEGREES = {"degree": "connectivity", "memory_degree": "memory_connectivity"}
_KNOWN: dict[str, tuple[str, ...]] = {
    "connectivity": (*graph.CONNECTIVITY, "none"),
    "memory_connectivity": tuple(graph.CONNECTIVITY),
    "activation": ACTIVATIONS,
}


@dataclass(frozen=True)
class Networks:
    """Plastic networks, as a `loopymeta.sweep.subjects.Subject`."""

    network: NetworkConfig

    noun = "network"
    files = ("rule.json",)
    # 4 of 7 seconds saved, against 1.5 lost in 12,000 symbols of a network of 128 nodes.
    short = 10_000

    def space(self, texts: Sequence[str]) -> dict[str, Varied]:
        """See `read_space`."""
        return read_space(texts, self.network)

    def suggest(self, trial: Any, varied: Mapping[str, Varied]) -> dict[str, Any]:
        """See `suggest`."""
        return suggest(trial, varied, self.network)

    def at(self, values: Mapping[str, Any]) -> Networks:
        """See `apply`."""
        return Networks(apply(self.network, values))

    def life(self, task: Task, seed: int) -> Lifetime:
        """The lifetime of a network on a task, on the graphs of a seed."""
        return Lifetime(self.network.build(task.spec, seed), task)

    def check(self, tasks: Mapping[str, Task], varied: Mapping[str, Varied]) -> None:
        """Nothing: `read_space` has refused what no network can have."""

    def described(self) -> dict[str, Any]:
        """``network``: its configuration."""
        return {"network": self.network}

    def write(self, folder: Path, task: Task, chosen: Mapping[str, Any]) -> None:
        """As a rule file: with the rule's own numbers as theta."""
        from loopymeta.config import TrainConfig
        from loopymeta.training import write_rule

        theta = self.network.build(task.spec).init_theta()
        config = TrainConfig(task=task, train_task=task, network=self.network)
        write_rule(runs.Run(folder), config, theta, chosen)


def _numbers(rule: Rule | None) -> dict[str, Any]:
    """The fields of a rule that may vary, as dotted names within it, and their values.

    >>> _numbers(rule_from_text("bounded(oja(eta=0.1), bound=2.0)"))
    {'rule.eta': 0.1, 'bound': 2.0, 'form': 'clip'}
    """
    found: dict[str, Any] = {}
    if isinstance(rule, Written):
        return dict(rule.parameters)
    for each in dataclasses.fields(rule) if rule is not None else ():
        value = getattr(rule, each.name)
        if isinstance(value, Rule):
            found |= {f"{each.name}.{name}": inner for name, inner in _numbers(value).items()}
        else:
            found[each.name] = value
    return found


def _with_number(rule: Any, path: str, value: Any) -> Rule:
    """A rule with one of its numbers replaced."""
    head, _, rest = path.partition(".")
    if isinstance(rule, Written):
        return Written(rule.expression, {**dict(rule.parameters), path: value})
    if rest:
        value = _with_number(getattr(rule, head), rest, value)
    return dataclasses.replace(rule, **{head: value})


@functools.cache
def _hints() -> dict[str, Any]:
    """The types of a network's fields that may vary by their own name."""
    hints = typing.get_type_hints(NetworkConfig)
    return {name: hint for name, hint in hints.items() if name not in _FIXED}


def _allows(hint: Any, kind: type) -> bool:
    return hint is kind or kind in typing.get_args(hint)


def _rules_of(name: str, network: NetworkConfig, varied: Mapping[str, Varied]) -> list[Any]:
    """The rules that a field may hold in a sweep."""
    choices = varied.get(name)
    if isinstance(choices, Choices):
        return [None if text is None else rule_from_text(text) for text in choices.options]
    return [getattr(network, name)]


def _names(network: NetworkConfig, varied: Mapping[str, Varied]) -> list[str]:
    """Every name that may vary: of networks, of what they are born with, and of their rules."""
    parts = [f"innate.{each.name}" for each in dataclasses.fields(Innate)]
    for name in _RULES:
        for rule in _rules_of(name, network, varied):
            parts += [f"{name}.{path}" for path in _numbers(rule)]
    return [*_hints(), "leak", *dict.fromkeys(parts)]


def _read_value(name: str, text: str) -> Any:
    """One of the values that a field may take; rules stay text, but must be readable."""
    hint = _hints().get(name)
    if name in _RULES:
        if text == "None" and name != "rule":
            return None
        return rule_to_text(rule_from_text(text))
    known = _KNOWN.get(name, typing.get_args(hint) if typing.get_origin(hint) is Literal else ())
    if known:
        _validate.choice(name, text, known)
    if known or hint is str:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ValueError(f"{name} must be a number, True, False or None, got {text!r}") from None


def _kind(name: str, network: NetworkConfig, varied: Mapping[str, Varied]) -> Kind:
    """What a name stands for.

    Raises:
      ValueError: it is not known (the nearest is suggested).
    """
    names = _names(network, varied)
    if name not in names:
        raise _unknown_name(name, names)
    hint = _hints().get(name)
    if hint is not None and not (_allows(hint, int) or _allows(hint, float)):
        return "choices"
    head, _, path = name.partition(".")
    rules = _rules_of(head, network, varied) if head in _RULES else []
    inner = [numbers[path] for numbers in map(_numbers, rules) if path in numbers]
    whole = name in _DEGREES or _allows(hint, int) or any(type(value) is int for value in inner)
    return "whole" if whole else "number"


def _unknown_name(name: str, names: Sequence[str]) -> ValueError:
    """The nearest known name is found also where only its last part was given."""
    ends = {each.rpartition(".")[2]: each for each in reversed(names)}
    near = difflib.get_close_matches(name, [*names, *ends], n=1, cutoff=0.5)
    hint = f" Did you mean {ends.get(near[0], near[0])!r}?" if near else ""
    plain = [each for each in names if "." not in each]
    return ValueError(
        f"unknown parameter {name!r} of a network.{hint} Known: {', '.join(plain)}, the parts of "
        "innate (innate.recurrent_gain) and the numbers of the rules (rule.eta)."
    )


def read_space(texts: Sequence[str], network: NetworkConfig) -> dict[str, Varied]:
    """What varies, by name, in the order in which it must be drawn.

    Args:
      texts: ``NAME=LOW..HIGH`` or ``NAME=A,B,...``: a field of `NetworkConfig`, ``innate.NAME``,
        ``leak`` (one leak for all hidden nodes), or a number of a rule (``rule.eta``,
        ``output_rule.rule.eta``).
      network: all that does not vary.

    Raises:
      ValueError: a name is unknown or given twice, or a value cannot be.

    >>> read_space(["rule.eta=1e-4..0.1", "ticks=1..3"], NetworkConfig())["ticks"]
    Range(name='ticks', low=1.0, high=3.0, whole=True)
    """
    varied: dict[str, Varied] = {}
    # Rules first: which numbers there are depends on them.
    for text in sorted(texts, key=lambda text: text.partition("=")[0].strip() not in _RULES):
        found = read_varied(text, lambda name: _kind(name, network, varied), _read_value)
        if found.name in varied:
            raise ValueError(f"{found.name} is given twice")
        varied[found.name] = found
        for value in found.tried if found.name not in _DEGREES else ():
            _check_value(found, value, network, varied)
    for name, wiring in _DEGREES.items():
        options = getattr(varied.get(wiring), "options", (getattr(network, wiring),))
        if name in varied and not any(_applies(name, {wiring: each}, network) for each in options):
            raise ValueError(
                f"{name} cannot vary: {options[0]} has none, and {wiring} does not vary"
            )
    # What depends on a choice is drawn after it.
    return dict(sorted(varied.items(), key=lambda item: "." in item[0] or item[0] in _DEGREES))


def _check_value(
    found: Varied, value: Any, network: NetworkConfig, varied: Mapping[str, Varied]
) -> None:
    """Refuses a value with which no network could be built, whatever else varies."""
    head, _, path = found.name.partition(".")
    if head in _RULES and path:
        for rule in _rules_of(head, network, varied):
            if path in _numbers(rule):
                _with_number(rule, path, value)
    elif head not in _RULES:
        apply(network, {found.name: value})


def apply(network: NetworkConfig, values: Mapping[str, Any]) -> NetworkConfig:
    """The network with the values of a point.

    Args:
      network: all that does not vary.
      values: by the names of `read_space`; rules as text.

    Raises:
      ValueError, TypeError: a value cannot be.

    >>> apply(NetworkConfig(), {"rule": "oja", "rule.eta": 0.5, "leak": 0.2}).rule
    Oja(eta=0.5)
    """
    changes: dict[str, Any] = {}
    innate: dict[str, Any] = {}
    for name, value in values.items():
        if name in _RULES:
            changes[name] = None if value is None else rule_from_text(value)
        elif name == "leak":
            innate |= {"leak_low": value, "leak_high": value}
        elif name.startswith("innate."):
            innate[name.removeprefix("innate.")] = value
        elif "." not in name:
            changes[name] = value
    for name, value in values.items():
        head, _, path = name.partition(".")
        if head in _RULES and path:
            changes[head] = _with_number(changes.get(head, getattr(network, head)), path, value)
    if innate:
        changes["innate"] = dataclasses.replace(network.innate, **innate)
    return dataclasses.replace(network, **changes)


def with_settings(network: NetworkConfig, settings: Sequence[str]) -> NetworkConfig:
    """A network with what ``NAME=VALUE`` says, by the names of `read_space`.

    Raises:
      ValueError: a name is unknown (the nearest is suggested), or a value cannot be.

    >>> with_settings(NetworkConfig(), ["rule=oja", "rule.eta=0.5", "ticks=2"]).rule
    Oja(eta=0.5)
    """
    # Rules first: which numbers there are depends on them.
    for setting in sorted(settings, key=lambda text: text.partition("=")[0] not in _RULES):
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, got {setting!r}")
        if name not in (names := _names(network, {})):
            raise _unknown_name(name, names)
        network = apply(network, {name: _read_value(name, text)})
    return network


def _applies(name: str, values: Mapping[str, Any], network: NetworkConfig) -> bool:
    """Whether a point has a parameter: its rule the number, its connectivity a degree."""
    head, _, path = name.partition(".")
    if head in _RULES and path:
        text = values.get(head)
        rule = getattr(network, head) if head not in values else text and rule_from_text(text)
        return path in _numbers(rule)
    if name in _DEGREES:
        wiring = values.get(_DEGREES[name], getattr(network, _DEGREES[name]))
        return isinstance(wiring, str) and hasattr(graph.CONNECTIVITY.get(wiring), "degree")
    return True


def suggest(trial: Any, varied: Mapping[str, Varied], network: NetworkConfig) -> dict[str, Any]:
    """The values of an Optuna trial: of what the rules and the wiring chosen do have."""
    values: dict[str, Any] = {}
    for name, each in varied.items():
        if _applies(name, values, network):
            values[name] = each.suggest(trial)
    return values
