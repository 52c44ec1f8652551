"""Functions: small tables to learn from examples, circuits with memory, sums of strings.

Axis letters: T symbols, I inputs, O outputs, C cases of a table, L symbols of a string.

Where inputs are numbers or bits they come at once, as a vector of zeros and ones: a symbol for each
combination would make exclusive or as easy as any other function.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from loopymeta import _validate
from loopymeta._jax import jax, jnp
from loopymeta.tasks import base
from loopymeta.tasks.base import Episode, Outcome, Spec

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Key

    from loopymeta._jax import Array


def _bits(values: Any, num_bits: int) -> Any:
    """Binary digits of whole numbers [...], the lowest first: [..., num_bits]."""
    return (values[..., None] >> np.arange(num_bits).reshape((1,) * values.ndim + (-1,))) & 1


def _number(bits: Any) -> Any:
    """The whole numbers that binary digits [..., B] stand for; the inverse of `_bits`."""
    place = 2 ** np.arange(bits.shape[-1]).reshape((1,) * (bits.ndim - 1) + (-1,))
    return (bits * place).sum(-1)


def _coins(key: Key[Array, ""], shape: tuple[int, ...]) -> Int[Array, "..."]:
    """Fair random bits."""
    return jax.random.bernoulli(key, shape=shape).astype(jnp.int32)


def _later_half(scored: Bool[Array, "T"]) -> Bool[Array, "T"]:
    """The second half of the lifetime, when there has been time to learn."""
    num = scored.shape[0]
    return scored & (jnp.arange(num) >= num // 2)


# Drills: the cases of a table, in random order ----------------------------------------------------


def _drill(
    key: Key[Array, ""],
    inputs: Int[np.ndarray, "C I"],
    answers: Int[np.ndarray, "C"] | Int[Array, "C"],
    sets: int,
    hold: int,
) -> Episode:
    """``sets`` times all cases, each time in fresh order; the last input, go, is added here."""
    num_cases = inputs.shape[0]
    cases = jnp.tile(jnp.arange(num_cases), (sets, 1))
    case = jax.random.permutation(key, cases, axis=1, independent=True).reshape(-1)
    case = jnp.repeat(case, hold)
    asked = jnp.arange(case.shape[0]) % hold == hold - 1
    shown = jnp.asarray(inputs, jnp.float32)[case]
    stimulus = jnp.concatenate([shown, asked.astype(jnp.float32)[:, None]], axis=1)
    episode = base.stream_episode(case, jnp.asarray(answers)[case], asked, asked, phase=case)
    return episode._replace(stimulus=stimulus)


def _drill_scores(
    outcome: Outcome, episode: Episode, num_cases: int, sets: int, hold: int, confirm: int
) -> dict[str, Array]:
    """The metrics of all drills."""
    late = episode.scored & (jnp.arange(episode.scored.shape[0]) >= sets // 2 * num_cases * hold)
    right, case = outcome.correct[hold - 1 :: hold], episode.phase[hold - 1 :: hold]
    return base.scores(outcome, episode) | {
        "accuracy_late": base.masked_mean(outcome.correct, late),
        "accuracy_by_case": base.mean_by(outcome.correct, episode.phase, num_cases, late),
        "examples": _until_all_right(right, case, num_cases, confirm),
    }


def _until_all_right(
    right: Float[Array, "N"], case: Int[Array, "N"], num_cases: int, confirm: int
) -> Float[Array, ""]:
    """Examples seen until all cases are right, and stay so over ``confirm`` full sets.

    That is the smallest n for which the latest answer to each case, among the first n answers, was
    right, and the ``confirm * num_cases`` answers that follow are right, too; N if there is none.
    Examples come in sets that hold each case once.
    """
    num, span = right.shape[0], confirm * num_cases
    passed = (right > 0.5).astype(jnp.int32)  # what is not finite is not right
    of_set = jnp.arange(num) // num_cases
    by_case = jnp.zeros((num // num_cases + 1, num_cases), jnp.int32)
    earlier = by_case.at[of_set + 1, case].set(passed)[of_set, case]
    known = jnp.cumsum(passed - earlier)  # cases whose latest answer was right
    sums = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(passed)])
    stays = sums[1 + span :] - sums[1:-span] == span  # [N - span]: after 1, 2, ... examples
    reached = (known[: num - span] == num_cases) & stays
    return jnp.where(reached.any(), jnp.argmax(reached) + 1, num).astype(jnp.float32)


def _check_drill(sets: int, hold: int, confirm: int) -> None:
    _validate.at_least("sets", sets, 2)
    _validate.at_least("hold", hold, 1)
    _validate.at_least("confirm", confirm, 1)
    if confirm >= sets:
        raise ValueError(f"confirm must be below sets ({sets}), got {confirm}")


def _drill_spec(
    answers: Int[np.ndarray, "C"], num_inputs: int, symbols: tuple[str, ...], sets: int, hold: int
) -> Spec:
    """Sizes of a drill on a function that is the same in every lifetime."""
    return Spec(
        num_inputs=num_inputs + 1,  # go
        num_outputs=len(symbols),
        length=sets * hold * len(answers),
        loss="cross_entropy",
        chance=float(np.bincount(answers).max() / len(answers)),
        floor=0.0,
        symbols=symbols,
    )


# Boolean ------------------------------------------------------------------------------------------

_TABLES: dict[str, tuple[int, int, int, int]] = {
    # Answers at (a, b) = (0, 0), (0, 1), (1, 0), (1, 1).
    "and": (0, 0, 0, 1),
    "or": (0, 1, 1, 1),
    "xor": (0, 1, 1, 0),
    "nand": (1, 1, 1, 0),
    "nor": (1, 0, 0, 0),
    "xnor": (1, 0, 0, 1),
    "true": (1, 1, 1, 1),
    "false": (0, 0, 0, 0),
    "a": (0, 0, 1, 1),
    "b": (0, 1, 0, 1),
    "not_a": (1, 1, 0, 0),
    "not_b": (1, 0, 1, 0),
    "a_and_not_b": (0, 0, 1, 0),
    "b_and_not_a": (0, 1, 0, 0),
    "a_implies_b": (1, 1, 0, 1),
    "b_implies_a": (1, 0, 1, 1),
}

BooleanName = Literal[
    "and",
    "or",
    "xor",
    "nand",
    "nor",
    "xnor",
    "true",
    "false",
    "a",
    "b",
    "not_a",
    "not_b",
    "a_and_not_b",
    "b_and_not_a",
    "a_implies_b",
    "b_implies_a",
    "any",
]
"""The names of the 16 functions of two bits; ``any`` is one of them, another in each lifetime."""


@dataclass(frozen=True)
class Boolean:
    """A function of two bits, learned from examples.

    An example shows the vector [a, b, go] for ``hold`` symbols, go being 1 at the last of them,
    where the answer, symbol 0 or 1, is wanted, scored and taught. Examples come in sets that hold
    all four cases, each set in fresh random order. The phase is the case, 2a + b.

    Metrics: ``loss``, ``accuracy``; over the second half of the sets ``accuracy_late`` and
    ``accuracy_by_case [4]``; ``examples``, the examples seen until all cases are right and stay so:
    the smallest n for which the latest answer to each case among the first n was right and the
    answers in the next ``confirm`` sets' worth of examples are right, too (all examples of the
    lifetime, if there is none). A perfect learner has 4. One that guesses gets past by luck, with a
    chance of 2^-8 at each place if ``confirm`` is 1: read ``examples`` beside ``accuracy_late``, or
    raise ``confirm``.

    A named function is the same in every lifetime, so a rule could be born knowing it: floor 0, and
    chance the share of the more frequent answer. With ``any`` a fair coin decides each case in each
    lifetime: chance 1/2, floor ln(2) / sets, as nobody can know an answer in the first set.

    >>> Boolean("xor", sets=10).spec.length
    40
    >>> Boolean("xro")
    Traceback (most recent call last):
    ValueError: unknown boolean function 'xro'. Did you mean 'xor'? Known: a, a_and_not_b, ...
    """

    name: BooleanName = "xor"
    """Which of the 16 functions; any: another one in each lifetime."""
    sets: int = 250
    """How many times all four cases are shown."""
    hold: int = 1
    """Symbols that an example is shown for; the answer is wanted at the last."""
    confirm: int = 1
    """Full sets over which answers must stay right to count as learned."""

    def __post_init__(self):
        _validate.choice("boolean function", self.name, get_args(BooleanName))
        _check_drill(self.sets, self.hold, self.confirm)

    @property
    def spec(self) -> Spec:
        """Sizes, chance and floor as given above; the symbols are those of the answer."""
        fair = self.name == "any"
        answers = np.array([0, 0, 1, 1] if fair else _TABLES[self.name])
        spec = _drill_spec(answers, 2, ("0", "1"), self.sets, self.hold)
        # The four answers of the first set cost ln 2 each, out of 4 * sets.
        return dataclasses.replace(spec, floor=math.log(2) / self.sets) if fair else spec

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of examples in fresh order; for ``any``, of a fresh function."""
        key_order, key_table = jax.random.split(key)
        return self._drilled(key_order, self._answers(key_table))

    def sample_changed(self, key: Key[Array, ""]) -> tuple[Episode, Episode]:
        """Two lifetimes: of the function, and of the same with one of its four answers changed."""
        key_order, key_table, key_case, key_again = jax.random.split(key, 4)
        answers = self._answers(key_table)
        case = jax.random.randint(key_case, (), 0, 4)
        changed = jnp.where(jnp.arange(4) == case, 1 - answers, answers)
        return self._drilled(key_order, answers), self._drilled(key_again, changed)

    @property
    def changed_chance(self) -> float:
        """Chance after a change: a random one of four answers is the other one.

        With c of the answers the more frequent one, c - 1 / 4 or c + 1 / 4 of them are, the first
        with a probability of c.
        """
        return self.spec.chance / 2 + 0.25

    def _answers(self, key: Key[Array, ""]) -> Int[Array, "4"]:
        return _coins(key, (4,)) if self.name == "any" else jnp.array(_TABLES[self.name])

    def _drilled(self, key: Key[Array, ""], answers: Int[Array, "4"]) -> Episode:
        return _drill(key, _bits(np.arange(4), 2)[:, ::-1], answers, self.sets, self.hold)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``accuracy_by_case [4]``, ``examples``."""
        return _drill_scores(outcome, episode, 4, self.sets, self.hold, self.confirm)


# Two numbers --------------------------------------------------------------------------------------


def _pairs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (a, b) of numbers up to size, the case (size + 1) a + b at that place."""
    case = np.arange((size + 1) ** 2)
    return case // (size + 1), case % (size + 1)


def _digits(size: int, *numbers: np.ndarray) -> Int[np.ndarray, "C I"]:
    """The binary digits of several numbers, as many as ``size`` has, one after the other."""
    return np.concatenate([_bits(number, size.bit_length()) for number in numbers], axis=1)


@dataclass(frozen=True)
class Add:
    """The sum of two small numbers, learned from examples.

    Numbers are 0..size. An example shows the binary digits of a, of b (the lowest first) and go;
    the answer is the symbol a + b. All (size + 1)^2 cases come once a set. For what else is shown,
    scored and measured see `Boolean`; the phase is the case, (size + 1) a + b.

    Chance is the share of the most frequent sum, 1 / (size + 1). Floor 0: addition is the same in
    every lifetime. A learner that knows nothing of it needs one set.

    >>> Add(size=3).spec.num_inputs, Add(size=3).spec.num_outputs  # two digits each, and go
    (5, 7)
    """

    size: int = 3
    """The largest number."""
    sets: int = 100
    """How many times all cases are shown."""
    hold: int = 1
    """Symbols that an example is shown for; the answer is wanted at the last."""
    confirm: int = 1
    """Full sets over which answers must stay right to count as learned."""

    def __post_init__(self):
        _validate.at_least("size", self.size, 1)
        _check_drill(self.sets, self.hold, self.confirm)

    @property
    def spec(self) -> Spec:
        """Sizes, chance and floor as given above; the symbols are the sums."""
        a, b = _pairs(self.size)
        sums = tuple(str(i) for i in range(2 * self.size + 1))
        return _drill_spec(a + b, 2 * self.size.bit_length(), sums, self.sets, self.hold)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of examples in fresh order."""
        a, b = _pairs(self.size)
        return _drill(key, _digits(self.size, a, b), a + b, self.sets, self.hold)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``accuracy_by_case [C]``, ``examples``."""
        num_cases = (self.size + 1) ** 2
        return _drill_scores(outcome, episode, num_cases, self.sets, self.hold, self.confirm)


@dataclass(frozen=True)
class Subtract:
    """The difference of two small numbers, learned from examples.

    As `Add`, with the symbols -size..size as answers. With ``order="both"`` another input, before
    go, says which difference is wanted: a - b where it is 0, b - a where it is 1. That doubles the
    cases; those of b - a come behind the others: (size + 1)^2 + (size + 1) a + b.

    Chance is the share of the answer 0, 1 / (size + 1). Floor 0.

    >>> Subtract(size=3).spec.num_inputs, Subtract(size=3).spec.num_outputs
    (6, 7)
    """

    size: int = 3
    """The largest number."""
    order: Literal["a_minus_b", "b_minus_a", "both"] = "both"
    """Which difference is wanted; both: an input says which."""
    sets: int = 100
    """How many times all cases are shown."""
    hold: int = 1
    """Symbols that an example is shown for; the answer is wanted at the last."""
    confirm: int = 1
    """Full sets over which answers must stay right to count as learned."""

    def __post_init__(self):
        _validate.at_least("size", self.size, 1)
        _validate.choice("order", self.order, ["a_minus_b", "b_minus_a", "both"])
        _check_drill(self.sets, self.hold, self.confirm)

    def _table(self) -> tuple[Int[np.ndarray, "C I"], Int[np.ndarray, "C"]]:
        """(inputs, answers) of all cases."""
        a, b = _pairs(self.size)
        inputs = _digits(self.size, a, b)
        forth, back = a - b + self.size, b - a + self.size  # as indices of symbols
        if self.order == "both":
            swapped = np.repeat([0, 1], len(a))[:, None]
            inputs = np.concatenate([np.tile(inputs, (2, 1)), swapped], axis=1)
            return inputs, np.concatenate([forth, back])
        return inputs, forth if self.order == "a_minus_b" else back

    @property
    def spec(self) -> Spec:
        """Sizes, chance and floor as given above; the symbols are the differences."""
        inputs, answers = self._table()
        symbols = tuple(str(i) for i in range(-self.size, self.size + 1))
        return _drill_spec(answers, inputs.shape[1], symbols, self.sets, self.hold)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of examples in fresh order."""
        return _drill(key, *self._table(), self.sets, self.hold)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``accuracy_by_case [C]``, ``examples``."""
        num_cases = (self.size + 1) ** 2 * (2 if self.order == "both" else 1)
        return _drill_scores(outcome, episode, num_cases, self.sets, self.hold, self.confirm)


@dataclass(frozen=True)
class Switch:
    """Two inputs to be swapped: shown (a, b), the answer is the pair (b, a).

    As `Add`; the pair that is wanted is one symbol, (size + 1) b + a. ``size=1`` swaps two bits.

    Chance 1 / (size + 1)^2. Floor 0.

    >>> Switch(size=1).spec.symbols
    ('0 0', '0 1', '1 0', '1 1')
    """

    size: int = 3
    """The largest number."""
    sets: int = 100
    """How many times all cases are shown."""
    hold: int = 1
    """Symbols that an example is shown for; the answer is wanted at the last."""
    confirm: int = 1
    """Full sets over which answers must stay right to count as learned."""

    def __post_init__(self):
        _validate.at_least("size", self.size, 1)
        _check_drill(self.sets, self.hold, self.confirm)

    @property
    def spec(self) -> Spec:
        """Sizes, chance and floor as given above; the symbols are the pairs."""
        a, b = _pairs(self.size)
        symbols = tuple(f"{first} {second}" for first, second in zip(a, b, strict=True))
        answers = (self.size + 1) * b + a
        return _drill_spec(answers, 2 * self.size.bit_length(), symbols, self.sets, self.hold)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of examples in fresh order."""
        a, b = _pairs(self.size)
        inputs, answers = _digits(self.size, a, b), (self.size + 1) * b + a
        return _drill(key, inputs, answers, self.sets, self.hold)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``accuracy_by_case [C]``, ``examples``."""
        num_cases = (self.size + 1) ** 2
        return _drill_scores(outcome, episode, num_cases, self.sets, self.hold, self.confirm)


# Signal propagation -------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignalPropagation:
    """Does the output depend on the input at all? The first and cheapest hurdle for a rule.

    The one input is a random bit, 0 or 1, at every symbol; the target is that bit, or the one
    ``lag`` symbols ago. All is scored and taught but the first ``lag`` symbols, whose answers were
    never shown. One phase.

    Metrics: ``loss``, ``accuracy``; over the second half of the lifetime ``accuracy_late`` and
    ``dependence``, |P(answer 1 | bit 1) - P(answer 1 | bit 0)|: 0 for an output that does not
    depend on the bit that is wanted, 1 for one that is decided by it, the right way round or not.
    For n late answers given by a coin it is 1 / sqrt(n) at most on average, not 0.

    Chance 1/2, floor 0.

    >>> SignalPropagation(lag=2).spec.chance
    0.5
    """

    lag: int = 0
    """How many symbols ago the bit that is wanted was shown."""
    symbols: int = 1000
    """Symbols in a lifetime."""

    def __post_init__(self):
        _validate.at_least("lag", self.lag, 0)
        _validate.at_least("symbols", self.symbols, 2)
        if self.lag >= self.symbols:
            raise ValueError(f"lag must be below symbols ({self.symbols}), got {self.lag}")

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1/2; floor 0."""
        return Spec(
            num_inputs=1,
            num_outputs=2,
            length=self.symbols,
            loss="cross_entropy",
            chance=0.5,
            floor=0.0,
            symbols=("0", "1"),
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh random bits."""
        bit = _coins(key, (self.symbols,))
        asked = jnp.arange(self.symbols) >= self.lag
        target = jnp.where(asked, jnp.roll(bit, self.lag), 0)
        episode = base.stream_episode(bit, target, asked, asked)
        return episode._replace(stimulus=bit.astype(jnp.float32)[:, None])

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``accuracy``, ``accuracy_late``, ``dependence``."""
        late = _later_half(episode.scored)
        right = base.mean_by(outcome.correct, episode.target, 2, late)
        return base.scores(outcome, episode) | {
            "accuracy_late": base.masked_mean(outcome.correct, late),
            # right[1] is P(1 | 1), 1 - right[0] is P(1 | 0).
            "dependence": jnp.abs(right[1] - (1 - right[0])),
        }


# Circuit ------------------------------------------------------------------------------------------

_TRIVIAL = ("true", "false", "a", "b", "not_a", "not_b")  # do not depend on both bits
_GATES = tuple(table for name, table in _TABLES.items() if name not in _TRIVIAL)
_CANDIDATES = 16  # circuits drawn, of which one is used
_TRIAL = 256  # symbols of the trial of each; what the first half settles into does not count
_MEMORY = 0.1  # 13 standard errors of an accuracy of 0.9 over 1,500 symbols, half a lifetime


class _Wires(NamedTuple):
    """A circuit. Signals are numbered: inputs, registers, gates.

    Attributes:
      sources: the two signals that each gate reads; a gate reads no later gate.
      functions: the answers of each gate, at 2 * first + second.
      latched: the gate whose value each register takes over for the next symbol.
      inverted: whether the answer is the last gate's value or its opposite.
    """

    sources: Int[Array, "G 2"]
    functions: Int[Array, "G 4"]
    latched: Int[Array, "R"]
    inverted: Int[Array, ""]


def _wire(key: Key[Array, ""], inputs: int, gates: int, registers: int) -> _Wires:
    """A random circuit."""
    # All chance from one call: each is slow to compile.
    chance = jax.random.uniform(key, (gates + 1, 4))
    known = inputs + registers + jnp.arange(gates)  # signals that a gate can read
    first, skipped = (chance[:gates, :2] * jnp.stack([known, known - 1], axis=1)).astype(int).T
    function = (chance[:gates, 2] * len(_GATES)).astype(int)
    return _Wires(
        sources=jnp.stack([first, (first + 1 + skipped) % known], axis=1),
        functions=jnp.asarray(_GATES, jnp.int32)[function],
        latched=jnp.argsort(chance[:gates, 3])[:registers],
        inverted=(chance[gates, 0] < 0.5).astype(jnp.int32),
    )


def _tabulate(wires: _Wires, inputs: int) -> tuple[Int[Array, "V"], Int[Array, "V"]]:
    """(answer, next state) of a circuit at every view, state * 2^inputs + input."""
    gates, registers = wires.functions.shape[0], wires.latched.shape[0]
    known = inputs + registers
    views = jnp.asarray(_bits(np.arange(2**known), known).T, jnp.int32)
    signals = jnp.concatenate([views, jnp.zeros((gates, 2**known), jnp.int32)])

    def compute(signals: Array, gate: Any) -> tuple[Array, None]:
        at, (first, other), function = gate
        value = function[2 * signals[first] + signals[other]]
        return signals.at[at].set(value), None

    order = known + jnp.arange(gates)
    signals, _ = jax.lax.scan(compute, signals, (order, wires.sources, wires.functions))
    following = _number(signals[known + wires.latched].T)
    return signals[-1] ^ wires.inverted, following.astype(jnp.int32)


def _states(following: Int[Array, "V"], shown: Int[Array, "T"], inputs: int) -> Int[Array, "T"]:
    """The state that each input meets; the first is 0."""

    def tick(state: Array, symbol: Array) -> tuple[Array, Array]:
        return following[(state << inputs) + symbol], state

    # One look-up a symbol: what can be computed for all states at once was.
    return jax.lax.scan(tick, jnp.int32(0), shown)[1]


def _memoryless_mistakes(
    shown: Int[Array, "T"], answer: Int[Array, "T"], num_shown: int
) -> Float[Array, ""]:
    """Share of answers that the best function of the present input alone gets wrong."""
    counts = jnp.zeros((num_shown, 2)).at[shown, answer].add(1.0)
    return counts.min(axis=1).sum() / shown.shape[0]


@dataclass(frozen=True)
class Circuit:
    """The answers of a random circuit with memory, to be told from random input bits.

    In each lifetime another circuit: ``gates`` gates, each one of the ten functions of two bits
    that depend on both, reading two of the inputs, the registers and the gates before it; and
    ``registers`` registers, each of which holds what one gate, another for each, gave one symbol
    ago (0 at the beginning). The answer is the last gate's value, or in half of the circuits its
    opposite. The stimulus is the input bits [T, inputs]; the target is the answer to them, in the
    state that the circuit is in. All is scored and taught. The phase is the state: the registers
    as a binary number.

    Many random circuits forget at once or fall silent. Of 16 that are drawn, a lifetime is about
    the first where the best function of the present input alone gets at least a tenth of the
    answers wrong, in the second half of a trial on 256 other inputs (where none does: the one where
    it gets most wrong).

    Metrics: ``loss``, ``accuracy``, ``accuracy_late`` (second half of the lifetime); and, on the
    whole of the same lifetime, what to hold them against: ``oracle_accuracy`` of the table oracle,
    which is told the state and remembers the answer to each pair of state and input (at a pair that
    is new it is credited with 1/2), and ``memoryless_accuracy`` of the best function of the present
    input alone, chosen in hindsight.

    Chance 1/2 (0 and 1 are equally likely by the random opposite). The floor is not known: it would
    be the cost of finding out about a circuit.

    >>> Circuit(inputs=3).spec.num_inputs
    3
    """

    inputs: int = 2
    """Input bits."""
    gates: int = 6
    """Gates of two inputs."""
    registers: int = 2
    """Bits that the circuit remembers from one symbol to the next."""
    symbols: int = 3000
    """Symbols in a lifetime."""

    def __post_init__(self):
        _validate.at_least("inputs", self.inputs, 1)
        _validate.at_least("registers", self.registers, 1)
        _validate.at_least("gates", self.gates, 1)
        _validate.at_least("symbols", self.symbols, 2)
        if self.registers > self.gates:
            raise ValueError(
                f"registers must be at most gates ({self.gates}), got {self.registers}"
            )
        if self.inputs + self.registers > 12:  # its table has 2^12 rows, of which 16 are made
            raise ValueError(
                f"inputs + registers must be at most 12, got {self.inputs} + {self.registers}"
            )

    @property
    def spec(self) -> Spec:
        """Sizes; chance 1/2; no floor."""
        return Spec(
            num_inputs=self.inputs,
            num_outputs=2,
            length=self.symbols,
            loss="cross_entropy",
            chance=0.5,
            floor=None,
            symbols=("0", "1"),
        )

    def _choose(self, key: Key[Array, ""]) -> tuple[_Wires, Int[Array, "V"], Int[Array, "V"]]:
        """A circuit that needs memory, as wires and as a table."""
        key_wire, key_trial = jax.random.split(key)
        num_shown = 2**self.inputs
        shown = _number(_coins(key_trial, (_TRIAL, self.inputs)))

        def candidate(key: Key[Array, ""]) -> Any:
            wires = _wire(key, self.inputs, self.gates, self.registers)
            answer, following = _tabulate(wires, self.inputs)
            given = answer[(_states(following, shown, self.inputs) << self.inputs) + shown]
            half = _TRIAL // 2
            return (wires, answer, following), _memoryless_mistakes(
                shown[half:], given[half:], num_shown
            )

        circuits, mistakes = jax.vmap(candidate)(jax.random.split(key_wire, _CANDIDATES))
        able = mistakes >= _MEMORY
        chosen = jnp.where(able.any(), jnp.argmax(able), jnp.argmax(mistakes))
        return jax.tree.map(lambda x: x[chosen], circuits)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of a fresh circuit on fresh inputs."""
        key_circuit, key_input = jax.random.split(key)
        _, answer, following = self._choose(key_circuit)
        return self._computed(key_input, answer, following)

    def sample_changed(self, key: Key[Array, ""]) -> tuple[Episode, Episode]:
        """Two lifetimes: of a circuit, and of the same with one gate changed, on other inputs.

        A gate gets another of the ten functions. Many such changes are seen by nobody: it is the
        first gate, in random order, whose change turns a tenth of the answers in a trial on 256
        inputs (where there is none, the one that turns most).
        """
        key_circuit, key_input, key_again, key_gate, key_order, key_trial = jax.random.split(key, 6)
        wires, answer, following = self._choose(key_circuit)
        shown = _number(_coins(key_trial, (_TRIAL, self.inputs)))
        gates = jnp.asarray(_GATES, jnp.int32)
        present = (wires.functions[:, None] == gates[None]).all(-1).argmax(1)
        further = jax.random.randint(key_gate, (self.gates,), 1, len(_GATES))
        others = gates[(present + further) % len(_GATES)]

        def given(answer: Array, following: Array) -> Array:
            return answer[(_states(following, shown, self.inputs) << self.inputs) + shown]

        def changed(gate: Array) -> Any:
            functions = wires.functions.at[gate].set(others[gate])
            table = _tabulate(wires._replace(functions=functions), self.inputs)
            return table, (given(*table) != given(answer, following)).mean()

        order = jax.random.permutation(key_order, self.gates)
        tables, turned = jax.vmap(changed)(order)
        able = turned >= _MEMORY
        chosen = jnp.where(able.any(), jnp.argmax(able), jnp.argmax(turned))
        table = jax.tree.map(lambda x: x[chosen], tables)
        return self._computed(key_input, answer, following), self._computed(key_again, *table)

    def _computed(
        self, key: Key[Array, ""], answer: Int[Array, "V"], following: Int[Array, "V"]
    ) -> Episode:
        """A lifetime of the circuit with this table, on fresh inputs."""
        bits = _coins(key, (self.symbols, self.inputs))
        shown = _number(bits)
        state = _states(following, shown, self.inputs)
        target = answer[(state << self.inputs) + shown]
        episode = base.stream_episode(shown, target, phase=state)
        return episode._replace(stimulus=bits.astype(jnp.float32))

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        shown = _number(episode.stimulus.astype(jnp.int32))
        view, times = (episode.phase << self.inputs) + shown, jnp.arange(self.symbols)
        first = jnp.full(2 ** (self.inputs + self.registers), self.symbols).at[view].min(times)
        mistakes = _memoryless_mistakes(shown, episode.target, 2**self.inputs)
        return base.scores(outcome, episode) | {
            "accuracy_late": base.masked_mean(outcome.correct, _later_half(episode.scored)),
            "oracle_accuracy": jnp.where(first[view] < times, 1.0, 0.5).mean(),
            "memoryless_accuracy": 1 - mistakes,
        }


# Redundant ----------------------------------------------------------------------------------------

_RUNNING = 20  # examples that the running error is taken over


@functools.lru_cache(maxsize=16)
def _absent(width: int, kernel: int) -> Float[np.ndarray, "K"]:
    """For each of the 2^kernel patterns, how likely a ring of random bits is without it.

    Rings of width bits are the closed walks of as many steps on the graph whose nodes are the
    strings of kernel - 1 bits and whose edges are the patterns; without a pattern, an edge is gone.
    The trace of the power of the adjacency matrix counts them.
    """
    patterns, nodes = np.arange(2**kernel), 2 ** (kernel - 1)
    steps = np.zeros((nodes, nodes))
    np.add.at(steps, (patterns // 2, patterns % nodes), 0.5)
    without = np.repeat(steps[None], len(patterns), axis=0)
    np.add.at(without, (patterns, patterns // 2, patterns % nodes), -0.5)
    return np.trace(np.linalg.matrix_power(without, width), axis1=1, axis2=2)


@dataclass(frozen=True)
class Redundant:
    """A function with many equal parts: one random kernel, slid along the input bits.

    The stimulus is ``width`` random bits [T, width], closed to a ring; the target is a vector of as
    many bits [T, width], of which bit i is a random function, the kernel, of the ``kernel`` input
    bits i, i + 1, ... The kernel is drawn anew for each lifetime, its answer to each of the
    2^kernel patterns by a fair coin. With ``kernels="independent"`` there is one for each place:
    the same function without its redundancy. All is scored and taught; one phase. The loss is the
    squared error summed over the outputs.

    Metrics: ``loss``; ``nmse_late``, the loss over chance in the second half of the lifetime;
    ``examples``, examples seen until the loss over chance, averaged over the last 20 of them, first
    fell to ``criterion`` (all of the lifetime, if it never did). What redundancy is worth is the
    ratio of ``examples`` with shared and with independent kernels.

    Chance is the loss of the guess 1/2, width / 4. Floor: the patterns that were not seen before
    (at their place, if kernels are independent) cost 1/4 each.

    >>> shared, independent = Redundant(), Redundant(kernels="independent")
    >>> shared.spec.chance, independent.spec.floor > 4 * shared.spec.floor
    (2.0, True)
    """

    width: int = 8
    """Input bits, and as many output bits."""
    kernel: int = 3
    """Neighbouring input bits that an output bit depends on."""
    kernels: Literal["shared", "independent"] = "shared"
    """One kernel for all places, or one for each."""
    examples: int = 2000
    """Examples in a lifetime."""
    criterion: float = 0.1
    """Squared error over chance that counts as learned."""

    def __post_init__(self):
        _validate.at_least("width", self.width, 1)
        _validate.at_least("kernel", self.kernel, 1)
        if self.kernel > min(self.width, 8):
            raise ValueError(
                f"kernel must be at most 8 and at most width ({self.width}), got {self.kernel}"
            )
        _validate.choice("kernels", self.kernels, ["shared", "independent"])
        _validate.at_least("examples", self.examples, 2)
        _validate.between("criterion", self.criterion, 0, 1)

    @property
    def spec(self) -> Spec:
        """Sizes; chance width / 4; the floor given above."""
        if self.kernels == "shared":
            absent = _absent(self.width, self.kernel)
        else:
            absent = np.array([1 - 0.5**self.kernel])
        # A place shows any pattern equally often; after t examples it is new with absent ** t.
        new = (1 - absent**self.examples) / (1 - absent)
        return Spec(
            num_inputs=self.width,
            num_outputs=self.width,
            length=self.examples,
            loss="squared_error",
            chance=self.width / 4,
            floor=float(self.width / 4 * new.mean() / self.examples),
        )

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of a fresh kernel (or several) on fresh inputs."""
        key_kernel, key_input = jax.random.split(key)
        return self._slid(key_input, self._table(key_kernel))

    def sample_changed(self, key: Key[Array, ""]) -> tuple[Episode, Episode]:
        """Two lifetimes: of a kernel, and of the same with another answer to one of its patterns.

        Of independent kernels it is one of them that changes.
        """
        key_kernel, key_input, key_again, key_entry = jax.random.split(key, 4)
        table = self._table(key_kernel)
        entry = jax.random.randint(key_entry, (), 0, table.size)
        here = (jnp.arange(table.size) == entry).reshape(table.shape)
        changed = jnp.where(here, 1 - table, table)
        return self._slid(key_input, table), self._slid(key_again, changed)

    def _table(self, key: Key[Array, ""]) -> Float[Array, "W K"]:
        """Random kernels: their answers to each pattern."""
        num_kernels = 1 if self.kernels == "shared" else self.width
        return _coins(key, (num_kernels, 2**self.kernel)).astype(jnp.float32)

    def _slid(self, key: Key[Array, ""], table: Float[Array, "W K"]) -> Episode:
        """A lifetime of these kernels on fresh inputs."""
        bits = _coins(key, (self.examples, self.width))
        place = np.arange(self.width)[:, None] + np.arange(self.kernel)[None, :]
        pattern = _number(bits[:, place % self.width])
        target = table[jnp.arange(self.width)[None, :] % table.shape[0], pattern]
        nothing = jnp.zeros(self.examples, jnp.int32)
        episode = base.stream_episode(nothing, nothing)
        return episode._replace(stimulus=bits.astype(jnp.float32), target=target)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """``loss``, ``nmse_late``, ``examples``."""
        error = outcome.loss / self.spec.chance
        span = min(_RUNNING, self.examples)
        # Summed window by window: a cumulative sum would carry one bad error through all of life.
        running = jax.lax.reduce_window(error, 0.0, jax.lax.add, (span,), (1,), "VALID") / span
        reached = running <= self.criterion
        examples = jnp.where(reached.any(), jnp.argmax(reached) + span, self.examples)
        return {
            "loss": base.masked_mean(outcome.loss, episode.scored),
            "nmse_late": base.masked_mean(error, _later_half(episode.scored)),
            "examples": examples.astype(jnp.float32),
        }


# Sums of strings ----------------------------------------------------------------------------------

_ENUMERATED = 2**16  # strings of which chance is counted, not estimated


def _mixed(x: Any) -> Any:
    """The finaliser of MurmurHash3 (Appleby 2011): every bit of x [...] moves every other."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def _held_out(strings: Any) -> Any:
    """Whether strings [..., L] are held out: a quarter of them, by a hash of their content.

    The same on the host and on the device.
    """
    place = np.arange(strings.shape[-1], dtype=np.uint32).reshape((1,) * (strings.ndim - 1) + (-1,))
    # Far apart for different pairs of place and symbol, by the golden ratio.
    words = strings.astype(np.uint32) * np.uint32(0x9E3779B9) + place * np.uint32(0x7F4A7C15)
    return _mixed(_mixed(words + np.uint32(1)).sum(-1, dtype=np.uint32)) < np.uint32(2**30)


@functools.lru_cache(maxsize=16)
def _all_strings(length: int, m: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(running sums [S, L], held out [S]) of all strings; None if they are too many."""
    if m**length > _ENUMERATED:  # exact: Python's whole numbers
        return None
    strings = np.stack(np.unravel_index(np.arange(m**length), (m,) * length), axis=1)
    return np.cumsum(strings, axis=1) % m, _held_out(strings)


def _draw_strings(
    key: Key[Array, ""], wanted: Bool[Array, "S"], length: int, m: int
) -> Int[Array, "S L"]:
    """Random strings, held-out ones where ``wanted``.

    They are picked from the strings of their part or, where there are too many for a list, drawn
    again until each is of its part.
    """
    known = _all_strings(length, m)
    if known is not None:
        return _pick_strings(key, wanted, length, m, known[1])

    def again(drawn: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, strings, fits = drawn
        key, key_fresh = jax.random.split(key)
        fresh = jax.random.randint(key_fresh, strings.shape, 0, m)
        strings = jnp.where(fits[:, None], strings, fresh)
        return key, strings, _held_out(strings) == wanted

    strings = jnp.zeros((wanted.shape[0], length), jnp.int32)
    drawn = (key, strings, jnp.zeros(wanted.shape, bool))
    return jax.lax.while_loop(lambda drawn: ~drawn[2].all(), again, drawn)[1]


def _pick_strings(
    key: Key[Array, ""], wanted: Bool[Array, "S"], length: int, m: int, apart: np.ndarray
) -> Int[Array, "S L"]:
    """Strings by their number among all, ``apart`` [m ** length] of which are held out."""
    keys = jax.random.split(key)
    taught, held_out = (
        jnp.asarray(part.astype(np.int32))[jax.random.randint(k, wanted.shape, 0, part.size)]
        for k, part in zip(keys, (np.flatnonzero(~apart), np.flatnonzero(apart)), strict=True)
    )
    number = jnp.where(wanted, held_out, taught)
    place = jnp.asarray(m ** np.arange(length - 1, -1, -1))
    return number[:, None] // place[None] % m


def _check_sums(length: int, m: int, answer: str, strings: int, held_out: int) -> None:
    _validate.at_least("length", length, 1)
    _validate.at_least("m", m, 2)
    _validate.choice("answer", answer, ["end", "every"])
    _validate.at_least("strings", strings, 2)
    _validate.at_least("held_out", held_out, 1)
    known = _all_strings(length, m)
    if known is not None and min(known[1].sum(), (~known[1]).sum()) < 2:
        raise ValueError(
            f"length must be greater, got {length}: of {m**length} strings only "
            f"{known[1].sum()} would be held out"
        )


def _sums_spec(length: int, m: int, answer: str, strings: int, held_out: int) -> Spec:
    """Sizes; chance of the best constant, counted over all strings where they are few."""
    chance, known = 1 / m, _all_strings(length, m)
    if known is not None:
        running, apart = known
        wanted = running if answer == "every" else running[:, -1:]
        shares = [
            np.bincount(part.reshape(-1), minlength=m) / part.size
            for part in (wanted[~apart], wanted[apart])
        ]
        mean = (strings * shares[0] + held_out * shares[1]) / (strings + held_out)
        chance = float(mean.max())
    digits = tuple(str(i) for i in range(m))
    return Spec(
        num_inputs=m + 1,
        num_outputs=m,
        length=(strings + held_out) * (length + 1),
        loss="cross_entropy",
        chance=chance,
        floor=0.0,
        symbols=(*digits, "."),
    )


def _sums(
    key: Key[Array, ""], length: int, m: int, answer: str, strings: int, held_out: int
) -> Episode:
    """Taught strings, then held-out ones, each with a full stop behind it."""
    apart = jnp.arange(strings + held_out) >= strings
    drawn = _draw_strings(key, apart, length, m)
    running = jnp.cumsum(drawn, axis=1) % m
    stop = jnp.full((strings + held_out, 1), m)
    stream = jnp.concatenate([drawn, stop], axis=1).reshape(-1)
    target = jnp.concatenate([running, running[:, -1:]], axis=1).reshape(-1)
    at_stop = jnp.arange(stream.shape[0]) % (length + 1) == length
    asked = at_stop if answer == "end" else ~at_stop
    phase = jnp.repeat(apart, length + 1)
    return base.stream_episode(
        stream,
        jnp.where(asked, target, 0),
        scored=asked,
        taught=asked & ~phase,
        phase=phase,
        frozen=phase,
    )


def _sums_scores(
    outcome: Outcome, episode: Episode, length: int, answer: str, strings: int
) -> dict[str, Array]:
    """The metrics of `Modulo`."""
    correct = outcome.correct
    times = jnp.arange(correct.shape[0])
    apart = episode.scored & (episode.phase == 1)
    late = episode.scored & ~apart & (times >= strings // 2 * (length + 1))
    metrics = base.scores(outcome, episode) | {
        "accuracy_late": base.masked_mean(correct, late),
        "accuracy_held_out": base.masked_mean(correct, apart),
        "loss_held_out": base.masked_mean(outcome.loss, apart),
    }
    if answer == "every":
        place = times % (length + 1)
        metrics["accuracy_by_place"] = base.mean_by(correct, place, length, apart)
    return metrics


@dataclass(frozen=True)
class Modulo:
    """The running sum of a string of digits, modulo m; tested on strings that are never taught.

    Each string is ``length`` random digits 0..m-1 and a full stop, after which the sum begins
    anew; strings follow one another in one stream of one-hot symbols. With ``answer="every"`` the
    sum so far, the present digit included, is wanted at every digit and nothing at the full stop;
    with ``answer="end"`` the sum of the string is wanted at its full stop and nothing before.

    A quarter of all strings, by a hash of their content, is held out: never taught in any
    lifetime. A lifetime is ``strings`` others, taught (phase 0), then ``held_out`` of these, scored
    but not taught, while no synapse changes (phase 1).

    Metrics: ``loss``, ``accuracy`` (both phases); ``accuracy_late`` over the second half of the
    strings that are taught; ``accuracy_held_out`` and ``loss_held_out`` over phase 1, and with
    ``answer="every"`` ``accuracy_by_place [length]``, the accuracy there at each digit.

    Chance: the share of the most frequent answer, about 1 / m; counted where there are at most
    65,536 strings, whose two parts need not be balanced. Floor 0.

    >>> Modulo(length=4, m=3, strings=10, held_out=5).spec.length
    75
    """

    length: int = 5
    """Digits in a string."""
    m: int = 3
    """The modulus: sums and digits are 0..m-1."""
    answer: Literal["end", "every"] = "every"
    """Whether the sum is wanted at the end of a string, or at every digit."""
    strings: int = 500
    """Strings that are taught."""
    held_out: int = 100
    """Held-out strings behind them."""

    def __post_init__(self):
        _check_sums(self.length, self.m, self.answer, self.strings, self.held_out)

    @property
    def spec(self) -> Spec:
        """Sizes, chance and floor as given above."""
        return _sums_spec(self.length, self.m, self.answer, self.strings, self.held_out)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh strings."""
        return _sums(key, self.length, self.m, self.answer, self.strings, self.held_out)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics named in the description of the class."""
        return _sums_scores(outcome, episode, self.length, self.answer, self.strings)


@dataclass(frozen=True)
class Parity:
    """The running parity of a string of bits: `Modulo` with m = 2, of which see all else.

    >>> Parity(length=6).spec.symbols
    ('0', '1', '.')
    """

    length: int = 6
    """Bits in a string."""
    answer: Literal["end", "every"] = "every"
    """Whether the parity is wanted at the end of a string, or at every bit."""
    strings: int = 500
    """Strings that are taught."""
    held_out: int = 100
    """Held-out strings behind them."""

    def __post_init__(self):
        _check_sums(self.length, 2, self.answer, self.strings, self.held_out)

    @property
    def spec(self) -> Spec:
        """Sizes, chance and floor as in `Modulo`."""
        return _sums_spec(self.length, 2, self.answer, self.strings, self.held_out)

    def sample(self, key: Key[Array, ""]) -> Episode:
        """A lifetime of fresh strings."""
        return _sums(key, self.length, 2, self.answer, self.strings, self.held_out)

    def score(self, outcome: Outcome, episode: Episode) -> dict[str, Array]:
        """The metrics of `Modulo`."""
        return _sums_scores(outcome, episode, self.length, self.answer, self.strings)
