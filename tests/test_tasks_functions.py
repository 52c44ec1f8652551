"""Functions: contents against plain Python, oracles against floors, constants against chance."""

from __future__ import annotations

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta.tasks import functions
from loopymeta.tasks.base import FREEZE, Outcome
from loopymeta.tasks.functions import (
    _GATES,
    _TABLES,
    Add,
    Boolean,
    Circuit,
    Modulo,
    Parity,
    Redundant,
    SignalPropagation,
    Subtract,
    Switch,
    _absent,
    _draw_strings,
    _held_out,
    _until_all_right,
)
from loopymeta.testing import check_task


class Jitted:
    """A task, compiled: operation by operation the checks would take minutes."""

    def __init__(self, task):
        self.spec, self.sample, self.score = task.spec, jax.jit(task.sample), jax.jit(task.score)


jitted = functools.lru_cache(Jitted)


def episode_of(task, seed=0):
    """One lifetime, as numpy arrays."""
    return jax.tree.map(np.asarray, jitted(task).sample(jax.random.key(seed)))


def score(task, episode, right, loss=None):
    """Metrics of what was right, symbol by symbol."""
    right = jnp.asarray(right, jnp.float32)
    loss = 1 - right if loss is None else jnp.asarray(loss, jnp.float32)
    metrics = jitted(task).score(Outcome(loss, right, right + 1), episode)
    return {name: np.asarray(value) for name, value in metrics.items()}


@pytest.mark.parametrize(
    "task",
    [
        Boolean("any", sets=3, hold=3, confirm=2),
        Subtract(size=1, sets=2, hold=2),
        Switch(size=2, sets=2),
        SignalPropagation(lag=3, symbols=30),
        Circuit(inputs=1, gates=1, registers=1, symbols=40),
        Redundant(width=1, kernel=1, kernels="independent", examples=2),
        Modulo(length=20, m=5, answer="end", strings=4, held_out=2),
    ],
    ids=str,
)
def test_contract(task):
    check_task(Jitted(task))


@pytest.mark.parametrize(
    ("task", "exact"),
    [
        (Boolean("and", sets=3, hold=2), True),
        (Boolean("any", sets=3), False),
        (Add(size=3, sets=2), True),
        (Subtract(size=2, sets=2), True),
        (Switch(size=1, sets=2), True),
        (SignalPropagation(lag=1, symbols=60), False),
        (Parity(length=4, strings=30, held_out=30), False),
        (Modulo(length=3, m=3, answer="end", strings=30, held_out=30), False),
    ],
    ids=str,
)
def test_chance_is_that_of_the_best_constant(task, exact):
    num = 2 if exact else 300
    episodes = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(5), num))
    target, scored = np.asarray(episodes.target), np.asarray(episodes.scored)
    accuracy = np.stack(
        [((target == s) & scored).sum(1) / scored.sum(1) for s in range(task.spec.num_outputs)], 1
    )
    mean = accuracy.mean(0)
    error = 5 * accuracy.std(0) / math.sqrt(num) + 1e-6
    # Lifetimes differ by chance, but those of drills never in how often an answer is right.
    assert (error < 2e-6).all() if exact else (error > 1e-3).all()
    assert (mean < task.spec.chance + error).all()
    assert mean.max() > task.spec.chance - error[mean.argmax()]


@pytest.mark.parametrize(
    ("task", "options", "error", "word"),
    [
        (Boolean, {"name": "xro"}, ValueError, "unknown boolean function 'xro'.*'xor'"),
        (Boolean, {"name": "a_implies"}, ValueError, "Did you mean 'a_implies_b'"),
        (Boolean, {"name": 3}, ValueError, "boolean function"),
        (Boolean, {"sets": 1}, ValueError, "sets"),
        (Boolean, {"sets": 2.5}, TypeError, "sets"),
        (Boolean, {"hold": 0}, ValueError, "hold"),
        (Boolean, {"confirm": 0}, ValueError, "confirm"),
        (Boolean, {"sets": 4, "confirm": 4}, ValueError, "confirm must be below sets"),
        (Add, {"size": 0}, ValueError, "size"),
        (Add, {"size": True}, TypeError, "size"),
        (Subtract, {"size": 0}, ValueError, "size"),
        (Subtract, {"order": "a-b"}, ValueError, "order"),
        (Switch, {"size": 0}, ValueError, "size"),
        (Switch, {"sets": 0}, ValueError, "sets"),
        (SignalPropagation, {"lag": -1}, ValueError, "lag"),
        (SignalPropagation, {"lag": 9, "symbols": 9}, ValueError, "lag must be below symbols"),
        (SignalPropagation, {"symbols": 1}, ValueError, "symbols"),
        (Circuit, {"inputs": 0}, ValueError, "inputs"),
        (Circuit, {"registers": 0}, ValueError, "registers"),
        (Circuit, {"gates": 0}, ValueError, "gates"),
        (Circuit, {"gates": 2, "registers": 3}, ValueError, "registers must be at most .*2.*got 3"),
        (Circuit, {"inputs": 9, "registers": 4}, ValueError, "at most 12, got 9 \\+ 4"),
        (Circuit, {"symbols": 1}, ValueError, "symbols"),
        (Redundant, {"width": 0}, ValueError, "width"),
        (Redundant, {"kernel": 0}, ValueError, "kernel"),
        (Redundant, {"width": 3, "kernel": 4}, ValueError, "kernel must be at most"),
        (Redundant, {"width": 30, "kernel": 9}, ValueError, "kernel must be at most 8"),
        (Redundant, {"kernels": "many"}, ValueError, "kernels"),
        (Redundant, {"examples": 1}, ValueError, "examples"),
        (Redundant, {"criterion": 2.0}, ValueError, "criterion"),
        (Parity, {"length": 0}, ValueError, "length"),
        (Parity, {"length": 3}, ValueError, "length must be greater, got 3: of 8 strings only 1"),
        (Parity, {"answer": "ends"}, ValueError, "Did you mean 'end'"),
        (Parity, {"strings": 1}, ValueError, "strings"),
        (Parity, {"held_out": 0}, ValueError, "held_out"),
        (Modulo, {"m": 1}, ValueError, "m must"),
        (Modulo, {"m": 2.0}, TypeError, "m must"),
    ],
)
def test_bad_sizes(task, options, error, word):
    with pytest.raises(error, match=word):
        task(**options)


# Drills -------------------------------------------------------------------------------------------

PYTHON = {
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "xor": lambda a, b: a != b,
    "nand": lambda a, b: not (a and b),
    "nor": lambda a, b: not (a or b),
    "xnor": lambda a, b: a == b,
    "true": lambda a, b: True,
    "false": lambda a, b: False,
    "a": lambda a, b: a,
    "b": lambda a, b: b,
    "not_a": lambda a, b: not a,
    "not_b": lambda a, b: not b,
    "a_and_not_b": lambda a, b: a and not b,
    "b_and_not_a": lambda a, b: b and not a,
    "a_implies_b": lambda a, b: not a or b,
    "b_implies_a": lambda a, b: not b or a,
}


def binary(digits) -> int:
    """The number of binary digits, the lowest first."""
    return int("".join(str(int(d)) for d in digits[::-1]), 2)


def sets_are_complete(episode, num_cases):
    case = np.asarray(episode.phase)[np.asarray(episode.scored)].reshape(-1, num_cases)
    assert (np.sort(case, axis=1) == np.arange(num_cases)).all()
    assert len({tuple(row) for row in case}) > 1
    return case.reshape(-1)


@pytest.mark.parametrize("name", ["xor", "a_and_not_b"])
def test_boolean_examples(name):
    episode = episode_of(Boolean(name, sets=6))
    case = sets_are_complete(episode, 4)
    for (a, b, go), answer, at in zip(episode.stimulus, episode.target, case, strict=True):
        assert go == 1 and at == 2 * a + b
        assert answer == PYTHON[name](bool(a), bool(b))
    assert episode.scored.all() and episode.taught.all()


def test_boolean_names_are_the_16_functions():
    for name, function in PYTHON.items():
        assert _TABLES[name] == tuple(bool(function(a, b)) for a in (0, 1) for b in (0, 1)), name
        assert Boolean(name).spec.chance == max(_TABLES[name].count(i) for i in (0, 1)) / 4
    assert len(set(_TABLES.values())) == len(_TABLES) == len(PYTHON) == 16


def test_boolean_any_draws_all_functions_fairly():
    task = Boolean("any", sets=2)
    episodes = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(0), 1600))
    index = np.asarray((2**episodes.phase * episodes.target).sum(1) // 2)  # both sets agree
    counts = np.bincount(index, minlength=16)
    assert counts.size == 16 and (abs(counts - 100) < 5 * math.sqrt(100 * 15 / 16)).all()
    order = np.asarray(episodes.phase[:, :4])
    assert len({tuple(row) for row in order}) == 24


@pytest.mark.parametrize("size", [1, 4])
def test_number_examples(size):
    bits = len(f"{size:b}")
    add, switch = Add(size=size, sets=2), Switch(size=size, sets=2)
    for task in (add, switch):
        episode = episode_of(task)
        cases = sets_are_complete(episode, (size + 1) ** 2)
        for shown, target, case in zip(episode.stimulus, episode.target, cases, strict=True):
            a, b = binary(shown[:bits]), binary(shown[bits : 2 * bits])
            assert shown.shape == (2 * bits + 1,) and shown[-1] == 1
            assert case == (size + 1) * a + b
            wanted = f"{a + b}" if task is add else f"{b} {a}"
            assert task.spec.symbols[target] == wanted


@pytest.mark.parametrize("order", ["b_minus_a", "both"])
def test_subtract_examples(order):
    task = Subtract(size=2, order=order, sets=2)
    episode = episode_of(task)
    sets_are_complete(episode, 18 if order == "both" else 9)
    swapped = set()
    for shown, target in zip(episode.stimulus, episode.target, strict=True):
        a, b = binary(shown[:2]), binary(shown[2:4])
        swap = shown[4] == 1 if order == "both" else order == "b_minus_a"
        swapped.add(bool(swap))
        assert int(task.spec.symbols[target]) == (b - a if swap else a - b)
    assert len(swapped) == (2 if order == "both" else 1)


def test_hold():
    episode = episode_of(Boolean("xor", sets=4, hold=3))
    shown = episode.stimulus.reshape(16, 3, 3)
    assert (shown[:, :, :2] == shown[:, :1, :2]).all()
    assert (shown[:, :, 2] == [0, 0, 1]).all()
    assert (episode.scored.reshape(16, 3) == [False, False, True]).all()
    assert (episode.taught == episode.scored).all()
    a, b = shown[:, 0, 0], shown[:, 0, 1]
    assert (episode.target.reshape(16, 3) == (a != b)[:, None]).all()


def remember(episode, num_outputs):
    """(right, loss) of the learner that remembers what was taught for a stimulus, else guesses."""
    known, right, loss = {}, [], []
    for shown, target, asked in zip(episode.stimulus, episode.target, episode.taught, strict=True):
        guess = known.get(shown.tobytes())
        right.append(guess == target)
        loss.append(math.log(num_outputs) if guess is None else 0.0 if guess == target else 1e3)
        if asked:
            known[shown.tobytes()] = target
    return np.array(right), np.array(loss)


@pytest.mark.parametrize(
    "task",
    [
        Boolean("xor", sets=9, hold=2),
        Boolean("any", sets=9),
        Add(size=3, sets=4),
        Subtract(size=2, sets=4),
        Switch(size=2, sets=4),
    ],
    ids=str,
)
def test_drills_are_learned_by_remembering(task):
    episode = episode_of(task)
    right, loss = remember(episode, task.spec.num_outputs)
    metrics = score(task, episode, right, loss)
    num_cases = metrics["accuracy_by_case"].size
    assert metrics["accuracy_late"] == 1 and (metrics["accuracy_by_case"] == 1).all()
    assert metrics["examples"] == 2 * num_cases  # each case right for the first time
    # In the first set all is guessed: for any function that is what nobody can do better.
    guessing = math.log(task.spec.num_outputs) / task.sets
    np.testing.assert_allclose(metrics["loss"], guessing, rtol=1e-6)
    if getattr(task, "name", "") == "any":
        assert task.spec.floor == pytest.approx(guessing)
    else:
        assert task.spec.floor == 0


def test_drill_metrics_are_of_the_second_half():
    task = Boolean("or", sets=6, hold=2)
    episode = episode_of(task)
    late = np.arange(48) >= 24
    metrics = score(task, episode, late & (episode.phase != 2))
    assert metrics["accuracy_late"] == 0.75 and metrics["accuracy"] == 0.375
    assert metrics["accuracy_by_case"].tolist() == [1, 1, 0, 1]
    assert metrics["examples"] == 24


def examples_by_loop(right, case, num_cases, confirm):
    latest = {}
    for n in range(1, len(right) + 1):
        latest[case[n - 1]] = right[n - 1]
        following = right[n : n + confirm * num_cases]
        if len(following) < confirm * num_cases:
            break
        if len(latest) == num_cases and all(latest.values()) and all(following):
            return n
    return len(right)


def test_examples_metric_is_its_definition():
    generator = np.random.default_rng(0)
    found = set()
    for confirm in (1, 2):
        measure = jax.jit(lambda right, case, c=confirm: _until_all_right(right, case, 3, c))
        for trial in range(150):
            case = np.concatenate([generator.permutation(3) for _ in range(10)])
            right = generator.random(30) < (0.5, 0.8, 0.95)[trial % 3]
            expected = examples_by_loop(right.tolist(), case.tolist(), 3, confirm)
            assert measure(jnp.asarray(right, jnp.float32), jnp.asarray(case)) == expected
            found.add(expected)
    assert {3, 30} <= found and len(found) > 12
    everything, case = jnp.ones(30), jnp.arange(30) % 3
    assert measure(everything, case) == 3
    assert measure(everything * jnp.nan, case) == 30


# Signal propagation -------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 3])
def test_signal_propagation(lag):
    task = SignalPropagation(lag=lag, symbols=200)
    episode = episode_of(task)
    bits = episode.stimulus[:, 0].astype(int).tolist()
    assert set(bits) == {0, 1}
    # The oracle: a delay line of the past stimuli.
    line = [None] * lag
    for at, bit in enumerate(bits):
        line.append(bit)
        assert episode.scored[at] == episode.taught[at] == (line[0] is not None)
        assert line.pop(0) in (None, episode.target[at])
    metrics = score(task, episode, np.ones(200))
    assert metrics["loss"] == task.spec.floor == 0 and metrics["accuracy_late"] == 1


def test_signal_propagation_dependence():
    task = SignalPropagation(symbols=2000)
    episode = episode_of(task)
    late = np.arange(2000) >= 1000
    metrics = score(task, episode, ~late)
    # The wrong way round in the second half: it depends on the input, but is never right.
    assert metrics["dependence"] == 1 and metrics["accuracy_late"] == 0
    assert metrics["accuracy"] == 0.5
    assert score(task, episode, episode.target == 1)["dependence"] == 0
    coin = np.random.default_rng(0).integers(2, size=2000)
    assert score(task, episode, coin == episode.target)["dependence"] < 5 / math.sqrt(1000)
    partly = np.where(episode.target == 1, 1, np.arange(2000) % 4 == 0)
    assert score(task, episode, partly)["dependence"] == pytest.approx(0.25, abs=0.08)


# Circuit ------------------------------------------------------------------------------------------


def simulate(wires, stimulus):
    """(answers, states) of a circuit, gate by gate and bit by bit."""
    sources, functions, latched, inverted = (np.asarray(part).tolist() for part in wires)
    registers, answers, states = [0] * len(latched), [], []
    for bits in stimulus.astype(int).tolist():
        states.append(sum(value << place for place, value in enumerate(registers)))
        signals, values = [*bits, *registers], []
        for (first, second), function in zip(sources, functions, strict=True):
            assert first != second
            values.append(function[2 * signals[first] + signals[second]])
            signals.append(values[-1])
        answers.append(values[-1] ^ inverted)
        registers = [values[gate] for gate in latched]
    return answers, states


CIRCUIT = Circuit(inputs=3, gates=9, registers=4, symbols=400)


@functools.cache
def circuits():
    """(episode, wires) of three lifetimes."""
    look = jax.jit(lambda k: (CIRCUIT.sample(k), CIRCUIT._choose(jax.random.split(k)[0])[0]))
    return [jax.tree.map(np.asarray, look(jax.random.key(seed))) for seed in range(3)]


def test_circuit_is_what_its_gates_do():
    for episode, wires in circuits():
        assert len(set(wires.latched.tolist())) == 4
        assert {tuple(row) for row in wires.functions.tolist()} <= set(_GATES)
        answers, states = simulate(wires, episode.stimulus)
        assert episode.target.tolist() == answers
        assert episode.phase.tolist() == states
    assert len(_GATES) == 10


def test_circuits_need_memory_and_their_state_suffices():
    task = Circuit()
    sample = jax.jit(jax.vmap(task.sample))
    episodes = sample(jax.random.split(jax.random.key(3), 60))
    nothing = Outcome(*[jnp.zeros((60, 3000))] * 3)
    metrics = jax.jit(jax.vmap(task.score))(nothing, episodes)
    memoryless = np.asarray(metrics["memoryless_accuracy"])
    assert (memoryless < 0.95).all() and (memoryless >= 0.5).all()
    assert (np.asarray(metrics["oracle_accuracy"]) > 0.99).all()
    assert len({tuple(row) for row in np.asarray(episodes.target)}) == 60
    ones = np.asarray(episodes.target).mean(1)
    assert abs(ones.mean() - task.spec.chance) < 5 * ones.std() / math.sqrt(60)
    # From the stream alone: counts of what followed the last inputs and answers.
    better = []
    for life in range(12):
        shown = [tuple(row) for row in np.asarray(episodes.stimulus[life]).tolist()]
        target = np.asarray(episodes.target[life]).tolist()
        accuracy = []
        for depth in (0, 2):
            counts, right = {}, 0.0
            for at in range(depth, 3000):
                context = (*shown[at - depth : at + 1], *target[at - depth : at])
                seen = counts.setdefault(context, [0, 0])
                right += 0.5 if seen[0] == seen[1] else seen[target[at]] > max(seen) - 1e-3
                seen[target[at]] += 1
            accuracy.append(right / (3000 - depth))
        # Credit of 1/2 for what is new or tied may beat hindsight by that much.
        assert accuracy[0] < memoryless[life] + 0.01
        better.append(accuracy[1] - memoryless[life])
    assert min(better) > 0 and np.mean(better) > 0.1


def test_circuit_oracles_by_loop():
    task, (episode, _) = CIRCUIT, circuits()[1]
    late = np.arange(400) >= 200
    metrics = score(task, episode, late)
    assert metrics["accuracy_late"] == 1 and metrics["accuracy"] == 0.5
    table, credit, by_input = {}, 0.0, {}
    for shown, target, state in zip(
        episode.stimulus.tolist(), episode.target.tolist(), episode.phase.tolist(), strict=True
    ):
        view = (state, *shown)
        credit += float(table[view] == target) if view in table else 0.5
        table[view] = target
        by_input.setdefault(tuple(shown), []).append(target)
    assert metrics["oracle_accuracy"] == pytest.approx(credit / 400)
    best = sum(max(answers.count(0), answers.count(1)) for answers in by_input.values())
    assert metrics["memoryless_accuracy"] == pytest.approx(best / 400)


# Redundant ----------------------------------------------------------------------------------------


def kernels_of(episode, width, kernel, shared):
    """{(place, pattern): answer} read off the stream; asserts that it is a function."""
    table = {}
    for bits, target in zip(episode.stimulus.tolist(), episode.target.tolist(), strict=True):
        for i in range(width):
            pattern = tuple(bits[(i + j) % width] for j in range(kernel))
            assert table.setdefault((0 if shared else i, pattern), target[i]) == target[i]
    return table


@pytest.mark.parametrize("kernels", ["shared", "independent"])
def test_redundant_is_a_function_of_neighbours(kernels):
    task = Redundant(width=5, kernel=3, kernels=kernels, examples=300)
    ones = []
    for seed in range(4):
        episode = episode_of(task, seed)
        assert set(episode.stimulus.reshape(-1)) == set(episode.target.reshape(-1)) == {0, 1}
        table = kernels_of(episode, 5, 3, kernels == "shared")
        assert len(table) == (8 if kernels == "shared" else 40)
        ones.append(list(table.values()))
        if kernels == "independent":  # not by chance the same everywhere
            with pytest.raises(AssertionError):
                kernels_of(episode, 5, 3, True)
    assert 0.2 < np.mean(ones) < 0.8 and len({tuple(each) for each in ones}) == 4


@pytest.mark.parametrize(
    "task",
    [
        Redundant(width=6, kernel=3, examples=40),
        Redundant(width=3, kernel=3, examples=15),
        Redundant(width=6, kernel=3, kernels="independent", examples=40),
    ],
    ids=str,
)
def test_redundant_floor_is_that_of_the_bayes_predictor(task):
    num = 200
    episodes = jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(0), num))
    losses = np.zeros((num, task.examples))
    for life in range(num):
        stimulus, target = np.asarray(episodes.stimulus[life]), np.asarray(episodes.target[life])
        known = {}
        for t in range(task.examples):
            ring = np.concatenate([stimulus[t], stimulus[t]])
            keys = [
                (0 if task.kernels == "shared" else i, ring[i : i + task.kernel].tobytes())
                for i in range(task.width)
            ]
            guess = np.array([known.get(key, 0.5) for key in keys])
            losses[life, t] = ((guess - target[t]) ** 2).sum()
            known.update(zip(keys, target[t], strict=True))
    mean = losses.mean(1)
    error = mean.std() / math.sqrt(num)
    assert 0 < error < 0.1 * mean.mean()
    assert abs(mean.mean() - task.spec.floor) < 5 * error
    # The guess 1/2 costs chance, exactly; always 0 or always 1 costs more.
    target = np.asarray(episodes.target)
    assert ((target - 0.5) ** 2).sum(2).mean() == task.spec.chance
    assert min((target**2).sum(2).mean(), ((target - 1) ** 2).sum(2).mean()) > task.spec.chance


@pytest.mark.parametrize(("width", "kernel"), [(1, 1), (4, 1), (3, 2), (3, 3), (7, 4)])
def test_rings_without_a_pattern_are_counted(width, kernel):
    rings = list(itertools.product((0, 1), repeat=width))
    expected = []
    for pattern in itertools.product((0, 1), repeat=kernel):
        ring_has = [
            any(tuple((ring * 2)[i : i + kernel]) == pattern for i in range(width))
            for ring in rings
        ]
        expected.append(1 - np.mean(ring_has))
    np.testing.assert_allclose(_absent(width, kernel), expected, atol=1e-12)


def test_redundant_metrics():
    task = Redundant(width=4, kernel=2, examples=100, criterion=0.1)
    episode = episode_of(task)
    loss = np.where(np.arange(100) < 60, 1.0, 0.05)  # chance is 1
    metrics = score(task, episode, np.zeros(100), loss)
    assert metrics["nmse_late"] == pytest.approx((10 + 40 * 0.05) / 50)
    means = [loss[n - 20 : n].mean() for n in range(20, 101)]
    assert metrics["examples"] == 20 + next(i for i, mean in enumerate(means) if mean <= 0.1) == 79
    assert score(task, episode, np.zeros(100), np.full(100, 0.2))["examples"] == 100
    loss[3] = 1e30  # a bad moment is forgotten
    assert score(task, episode, np.zeros(100), loss)["examples"] == 79


# Sums of strings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [
        Parity(length=5, strings=30, held_out=12),
        Modulo(length=15, m=4, answer="end", strings=20, held_out=12),
    ],
    ids=str,
)
def test_sums_are_told_by_a_counter(task):
    """The oracle reads the stream alone: it adds up digits and begins anew after a full stop."""
    m = getattr(task, "m", 2)
    episode = episode_of(task)
    total, stops = 0, 0
    for at, symbol in enumerate(episode.stimulus.tolist()):
        stop = symbol == m
        total = total if stop else (total + symbol) % m
        assert episode.scored[at] == (stop if task.answer == "end" else not stop)
        assert not episode.scored[at] or episode.target[at] == total
        apart = stops >= 30 if m == 2 else stops >= 20
        assert episode.phase[at] == apart
        assert episode.taught[at] == (episode.scored[at] and not apart)
        assert episode.intervention[at] == (FREEZE if apart else 0)
        if stop:
            total, stops = 0, stops + 1
    assert stops == task.strings + task.held_out
    metrics = score(task, episode, episode.scored)
    assert metrics["loss"] == task.spec.floor == 0 and metrics["accuracy_held_out"] == 1


@pytest.mark.parametrize(
    "task", [Parity(length=5, strings=40, held_out=20), Modulo(length=3, m=4)], ids=str
)
def test_held_out_strings_are_never_taught(task):
    m = getattr(task, "m", 2)
    sample = jax.jit(task.sample)
    met = [set(), set()]
    for seed in range(8):
        episode = jax.tree.map(np.asarray, sample(jax.random.key(seed)))
        strings = episode.stimulus.reshape(-1, task.length + 1)
        assert (strings[:, -1] == m).all() and (strings[:, :-1] < m).all()
        for string, phase in zip(strings, episode.phase[:: task.length + 1], strict=True):
            met[phase].add(tuple(string[:-1].tolist()))
    assert not met[0] & met[1]
    # Every string was met in one of the parts, which are about three quarters and one.
    assert len(met[0]) + len(met[1]) == m**task.length
    assert 0.1 < len(met[1]) / m**task.length < 0.4


def test_hash_is_fair():
    strings = np.random.default_rng(0).integers(2, size=(20_000, 24))
    apart = _held_out(strings)
    assert (apart == np.asarray(jax.jit(_held_out)(jnp.asarray(strings)))).all()
    assert abs(apart.mean() - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 20_000)
    parity = strings.sum(1) % 2
    assert abs(parity[apart].mean() - 0.5) < 5 * math.sqrt(0.25 / apart.sum())
    # It depends on every place: one bit turned over changes the part of 3 in 8 strings.
    for place in range(24):
        other = strings.copy()
        other[:, place] ^= 1
        moved = (_held_out(other) != apart).mean()
        assert abs(moved - 0.375) < 5 * math.sqrt(0.375 * 0.625 / 20_000)


@pytest.mark.parametrize("listed", [True, False])
def test_strings_are_drawn_evenly_within_their_part(listed, monkeypatch):
    if not listed:
        monkeypatch.setattr(functions, "_all_strings", lambda length, m: None)
    wanted = jnp.arange(12_000) % 2 == 0
    # A function of its own: of the same one, jit remembers what it did before the list was gone.
    drawn = np.asarray(jax.jit(lambda key: _draw_strings(key, wanted, 3, 3))(jax.random.key(0)))
    assert (_held_out(drawn) == np.asarray(wanted)).all()
    for part in (True, False):
        strings, counts = np.unique(drawn[np.asarray(wanted) == part], axis=0, return_counts=True)
        assert len(strings) > 2
        expected = 6000 / len(strings)
        assert (abs(counts - expected) < 5 * math.sqrt(expected)).all()


def test_sums_metrics():
    task = Modulo(length=3, m=3, strings=8, held_out=4)
    episode = episode_of(task)
    string, place = np.arange(48) // 4, np.arange(48) % 4
    right = (string >= 4) & (place != 1)
    metrics = score(task, episode, right)
    assert metrics["accuracy_late"] == pytest.approx(2 / 3)
    assert metrics["accuracy_held_out"] == pytest.approx(2 / 3)
    assert metrics["loss_held_out"] == pytest.approx(1 / 3)
    assert metrics["accuracy"] == pytest.approx(4 / 9)
    assert metrics["accuracy_by_place"].tolist() == [1, 0, 1]
    only_taught = score(task, episode, string < 8)
    assert only_taught["accuracy_held_out"] == 0 and only_taught["accuracy_late"] == 1
    end = Parity(answer="end", strings=3, held_out=2)
    names = jax.eval_shape(
        end.score, Outcome(*[jnp.ones(35)] * 3), jax.eval_shape(end.sample, jax.random.key(0))
    )
    assert "accuracy_by_place" not in names and "accuracy_held_out" in names
    assert Modulo(length=12, m=3).spec.chance == 1 / 3  # too many strings to count
