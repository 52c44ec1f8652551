"""What varies: a range of numbers or a few values, by name, as text says it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

LOG_FROM = 8.0
"""Ratio of the ends from which a range is searched on a logarithmic scale."""

Kind = Literal["whole", "number", "choices"]
"""What a name stands for: whole numbers, numbers, or a few values that are no range."""


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, evenly or by their logarithm, whole or not."""

    name: str
    low: float
    high: float
    whole: bool = False

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(
                f"{self.name} must vary from a lower to a higher number, "
                f"got {self.low}..{self.high}"
            )

    @property
    def tried(self) -> tuple[float, ...]:
        """Values that must be possible: the ends."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    @property
    def log(self) -> bool:
        """Whether it is searched by the logarithm: where the ends are `LOG_FROM` times apart."""
        return self.low > 0 and self.high >= LOG_FROM * self.low

    def suggest(self, trial: Any) -> float:
        """Optuna's choice."""
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choices:
    """A few values; what Optuna cannot keep, such as rules, as text."""

    name: str
    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(set(self.options)) < 2:
            raise ValueError(
                f"{self.name} must vary over a range such as 1..3 or over at least two different "
                f"values, got {', '.join(map(str, self.options))!r}"
            )

    @property
    def tried(self) -> tuple[Any, ...]:
        """Values that must be possible: all."""
        return self.options

    def suggest(self, trial: Any) -> Any:
        """Optuna's choice."""
        return trial.suggest_categorical(self.name, self.options)


Varied = Range | Choices


def split(text: str) -> list[str]:
    """The parts between commas, where brackets and quotes hold a part together.

    >>> split("oja(eta=0.1), bounded(hebb, bound=1.5)")
    ['oja(eta=0.1)', 'bounded(hebb, bound=1.5)']
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def read_varied(
    text: str, kind_of: Callable[[str], Kind], read: Callable[[str, str], Any]
) -> Varied:
    """What ``NAME=LOW..HIGH`` or ``NAME=A,B,...`` means.

    Args:
      text: what varies.
      kind_of: says of a name what it stands for; refuses the unknown.
      read: (name, text) -> one of the values that it may take.

    Raises:
      ValueError: the name is not known, or the values cannot be.
    """
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise ValueError(f"what varies is given as NAME=LOW..HIGH or NAME=A,B,..., got {text!r}")
    kind = kind_of(name)
    ends = re.fullmatch(r"([-+.\w]+?)\.\.([-+.\w]+)", values)
    if not ends:
        return Choices(name, tuple(read(name, each) for each in split(values)))
    try:
        low, high = (float(end) for end in ends.groups())
    except ValueError:
        raise ValueError(f"{name} must vary between two numbers, got {values!r}") from None
    if kind == "choices":
        raise ValueError(f"{name} is no number: give the values that it may take, as A,B,...")
    if kind == "whole" and not (low.is_integer() and high.is_integer()):
        raise ValueError(f"{name} is a whole number, got {values!r}")
    return Range(name, low, high, kind == "whole")
