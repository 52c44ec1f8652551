"""Tasks made of tasks: their streams, their figures from known outcomes, learners made by hand."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import some_fast

from loopymeta import cli, runs, training
from loopymeta.config import NetworkConfig
from loopymeta.interventions import Hurry, Newborn, Perturb, Remove, Restore
from loopymeta.lifetime import Lifetime
from loopymeta.recipes import recipe
from loopymeta.rule_text import task_from_text, task_to_text
from loopymeta.rules import Zero
from loopymeta.tasks import (
    TASKS,
    Boolean,
    Caesar,
    Circuit,
    Composition,
    Forgetting,
    Garbage,
    Henon,
    Lesioned,
    Names,
    Perturbed,
    Redundant,
    Reversal,
    Speedup,
    Transfer,
    Zeroed,
)
from loopymeta.tasks.base import FREEZE, Outcome
from loopymeta.tasks.combined import Changing, _first_block, _garbage
from loopymeta.tasks.functions import _GATES, _TABLES
from loopymeta.testing import check_task

CODE = Caesar(shift=None, symbols=200)
COMBINED = {
    "garbage": Garbage(CODE, span=30, block=10),
    "vectors": Garbage(Henon(symbols=60), form="bursts", where="before", span=13),
    "perturbed": Perturbed(CODE),
    "zeroed": Zeroed(CODE, span=20),
    "lesioned": Lesioned(Redundant(examples=40), edges=0.2, nodes=0.2),
    "forgetting": Forgetting(Boolean("any", sets=9), Boolean("and", sets=5)),
    "transfer": Transfer(Redundant(examples=60)),
    "circuit": Transfer(Circuit(symbols=60)),
    "composition": Composition(alphabet=3, functions=3, sets=5),
    "speedup": Speedup(Boolean("xor", sets=20), ticks=2),
    "recall": Speedup(Reversal(n=2, sequences=12, window=4)),
    "nested": Garbage(Forgetting(Caesar(symbols=40), Caesar(symbols=30)), span=7),
}


class Jitted:
    """A task, compiled: operation by operation the checks would take minutes."""

    def __init__(self, task):
        self.spec, self.sample, self.score = task.spec, jax.jit(task.sample), jax.jit(task.score)


jitted = functools.lru_cache(Jitted)


def sampled(task, seed=0):
    return jax.tree.map(np.asarray, jitted(task).sample(jax.random.key(seed)))


def scored(task, episode, right, loss=None, ticks=None):
    """The figures of an outcome that is known, symbol by symbol."""
    right = np.asarray(right, np.float32)
    loss = 1 - right if loss is None else np.asarray(loss, np.float32)
    ticks = np.ones_like(right) if ticks is None else np.asarray(ticks, np.float32)
    figures = jitted(task).score(Outcome(loss, right, ticks), episode)
    return {name: np.asarray(value) for name, value in figures.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMBINED)
def test_contract(name):
    check_task(Jitted(COMBINED[name]))


# Moving blocks ------------------------------------------------------------------------------------


def test_the_first_good_block_is_that_of_a_plain_loop():
    find = jax.jit(lambda values, on: _first_block(values, on, 4, 0.75)[:2])
    random = np.random.default_rng(0)
    found = []
    for _ in range(40):
        on = random.random(30) < 0.6
        elsewhere = random.choice([np.nan, 1.0])
        values = np.where(on, random.random(30) < random.choice([0.3, 0.7]), elsewhere)
        kept = values[on]
        good = [i for i in range(len(kept) - 3) if kept[i : i + 4].mean() >= 0.75]
        reached, first = find(jnp.asarray(values, jnp.float32), jnp.asarray(on))
        assert bool(reached) == bool(good)
        assert not good or first == good[0]
        found.append(good[0] if good else -1)
    assert len(set(found)) > 5 and -1 in found


# Garbage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vectors", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_forms_of_garbage(vectors):
    like = jnp.zeros((5, 6)) if vectors else jnp.zeros(5, jnp.int32)
    made = {
        form: np.asarray(_garbage(jax.random.key(1), form, 200, like, 6))
        for form in ("noise", "bursts", "stuck", "silence")
    }
    assert all(x.shape == (200, *like.shape[1:]) and x.dtype == like.dtype for x in made.values())
    quiet = 0.0 if vectors else -1
    assert (made["silence"] == quiet).all()
    assert (made["stuck"] == made["stuck"][0]).all() and (made["stuck"] != quiet).all()
    silent = (made["bursts"] == quiet).reshape(200, -1).all(1)
    assert silent.tolist() == ([False] * 5 + [True] * 5) * 20
    noise = made["noise"]
    if vectors:
        assert noise.min() >= 0 and noise.max() <= 1
        assert abs(noise.mean() - 0.5) < 5 * math.sqrt(1 / 12 / noise.size)
    else:
        assert np.bincount(noise, minlength=6).min() > 33 - 5 * math.sqrt(200 / 6 * 5 / 6)
        assert set(noise.tolist()) == set(range(6))


def test_garbage_is_put_in_and_the_control_lives_the_same_without_it():
    task = COMBINED["garbage"]
    episode = sampled(task)
    assert task.spec.length == 430 and task.spec.lifespan == 230
    assert task.interventions == (Newborn(230),)
    garbage = jax.tree.map(lambda x: x[100:130], episode)
    assert not garbage.scored.any() and not garbage.taught.any() and (garbage.phase == -1).all()
    for name, values in episode._asdict().items():
        lived = np.concatenate([values[:100], values[130:230]])
        np.testing.assert_array_equal(lived, values[230:], name)
    assert len(set(episode.stimulus.tolist())) == 26


def test_figures_of_a_mishap():
    """Ten of the control's symbols are wrong; the other fails for 60 symbols after the garbage."""
    task = COMBINED["garbage"]
    episode = sampled(task)
    control = np.ones(200)
    control[100:200:10] = 0
    lived = control.copy()
    lived[100:160] = 0
    right = np.concatenate([lived[:100], np.full(30, np.nan), lived[100:], control])
    got = scored(task, episode, right)
    assert got["accuracy_control"] == pytest.approx(0.9)
    assert got["accuracy_after"] == pytest.approx(0.36)
    assert got["accuracy_lost"] == pytest.approx(0.54)
    assert got["excess_loss"] == pytest.approx(0.54)
    assert got["symbols_to_recover"] == 60
    assert got["excess_by_block"].tolist() == pytest.approx([0.8, 1.0] * 6 + [0.0] * 8)
    assert got["accuracy"] == pytest.approx((lived.sum() + control.sum()) / 400)
    assert got["task_accuracy"] == pytest.approx(lived.mean())
    assert got["control_accuracy"] == pytest.approx(control.mean())
    for other, until in ((control, 0), (np.where(np.arange(200) < 100, control, 0), 100)):
        right = np.concatenate([other[:100], np.zeros(30), other[100:], control])
        assert scored(task, episode, right)["symbols_to_recover"] == until


@pytest.mark.slow
def test_figures_of_vectors_are_losses():
    task = COMBINED["vectors"]
    loss = np.concatenate([np.full(13, np.nan), np.full(60, 0.75), np.full(60, 0.5)])
    got = scored(task, sampled(task), np.zeros(133), loss)
    assert got["excess_loss"] == pytest.approx(0.25) and "accuracy_lost" not in got
    assert got["loss_after"] == pytest.approx(0.75) and got["loss"] == pytest.approx(0.625)
    assert {"task_nmse", "control_nmse"} <= set(got) and task.spec.chance == Henon().spec.chance


# A learner made by hand ---------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Table:
    """Remembers the last answer to each symbol; its weights can be damaged. Or it learns nothing."""

    learns: bool = True

    def init_theta(self, key=None):
        return ()

    def space(self):
        return ()

    def init(self, key, theta):
        return jnp.zeros((26, 26)), jnp.ones((26, 26))

    def step(self, theta, state, stimulus, teaching, key):
        weight, there = state
        prediction = 20 * stimulus @ (weight * there)
        rate = teaching.taught * teaching.plastic * float(self.learns)
        column = stimulus[:, None]
        weight = weight + rate * column * (teaching.target[None, :] - weight)
        return (weight, there), prediction, jnp.ones(())

    def perturb(self, state, key, sigma):
        return state[0] * (1 + sigma * jax.random.normal(key, (26, 26))), state[1]

    def remove(self, state, key, edges, nodes):
        return state[0], state[1] * (jax.random.uniform(key, (26, 26)) >= edges)

    def restore(self, state):
        return state[0] * state[1], jnp.ones((26, 26))


def lived(task, learner=Table(), seed=0):
    metrics = jax.jit(Lifetime(learner, task))((), jax.random.key(seed))[1]
    return {name: np.asarray(value) for name, value in metrics.items()}


LONG = Caesar(shift=None, symbols=800)
MISHAPS = {
    # Nothing is learned where nothing is taught.
    "garbage": (Garbage(LONG, span=50), 0, 0),
    "before": (Garbage(LONG, where="before", form="stuck", span=50), 0, 0),
    # Of a letter and its answer nothing is left but what is relearned: two in three are wrong for
    # as long as 26 letters need to be seen again.
    "all zeroed": (Zeroed(LONG, share=1.0, span=60, block=20), 60, 60 + 26 * 4),
    "perturbed": (Perturbed(LONG, sigma=3.0, block=20), 1, 26 * 4),
    "gentle": (Perturbed(LONG, sigma=0.0), 0, 0),
    "lesioned": (Lesioned(LONG, edges=1.0), 400, 400),
    "unhurt": (Lesioned(LONG, edges=0.0), 0, 0),
}


@pytest.mark.parametrize("name", some_fast(MISHAPS, ("garbage",)))
def test_a_table_recovers_as_it_should(name):
    task, earliest, latest = MISHAPS[name]
    got = lived(task)
    assert earliest <= got["symbols_to_recover"] <= latest
    assert got["accuracy_control"] > 0.9
    if latest == 0:  # the newborn lives as the other did, symbol by symbol
        assert got["excess_loss"] == 0 and (got["excess_by_block"] == 0).all()
        assert got["task_loss"] == got["control_loss"]
    else:
        assert got["accuracy_lost"] > 0.01 and got["excess_loss"] > 0
        assert got["excess_by_block"][0] > got["excess_by_block"][-1] or name == "lesioned"
    if name == "lesioned":
        assert got["accuracy_after"] < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("name", ["garbage", "all zeroed"])
def test_who_learns_nothing_is_at_chance_and_loses_nothing(name):
    network = NetworkConfig(num_hidden=8, rule=Zero(), output_rule=None)
    task = MISHAPS[name][0]
    life, num = Lifetime(network.build(task.spec), task), 32
    keys = jax.random.split(jax.random.key(0), num)
    got = jax.jit(jax.vmap(life, in_axes=(None, 0)))(life.init_theta(), keys)[1]
    for figure in ("accuracy", "accuracy_after", "accuracy_control"):
        # A network has its fixed answers, of which about one in 26 is right by accident.
        values = np.asarray(got[figure])
        assert abs(values.mean() - 1 / 26) < 5 * values.std() / math.sqrt(num), figure
        assert values.max() < 0.3
    assert abs(got["excess_loss"]).max() < 0.5
    assert (got["loss"] > task.spec.floor).all()


# Forgetting ---------------------------------------------------------------------------------------


CIPHERS = Forgetting(Caesar(shift=None, symbols=100), Caesar(shift=2, symbols=60), test=0.3)


def test_what_is_left_of_the_first_comes_behind_the_second():
    task, episode, spec = CIPHERS, sampled(CIPHERS), CIPHERS.spec
    assert (spec.length, spec.lifespan) == (220, 160) and task.interventions == (Newborn(160),)
    np.testing.assert_array_equal(episode.stimulus[70:130], episode.stimulus[160:])
    shift = (episode.target - episode.stimulus) % 26
    assert len(set(shift[:70]) | set(shift[130:160])) == 1 and (shift[70:130] == 2).all()
    tested = np.zeros(220, bool)
    tested[130:160] = True
    np.testing.assert_array_equal(episode.taught, ~tested)
    np.testing.assert_array_equal(episode.intervention, tested * FREEZE)
    assert episode.scored.all()


@pytest.mark.slow
def test_the_test_may_be_taught():
    thawed, episode = sampled(dataclasses.replace(CIPHERS, frozen_test=False)), sampled(CIPHERS)
    assert thawed.taught.all() and not thawed.intervention.any()
    np.testing.assert_array_equal(thawed.stimulus, episode.stimulus)


def test_figures_of_forgetting():
    episode, chance = sampled(CIPHERS), 1 / 26

    def figures(before, after):
        """So many of the last 30 symbols of X are right, and of the 30 of its test."""
        right = np.zeros(220)
        right[40:70], right[130:160] = np.arange(30) < before, np.arange(30) < after
        right[70:130], right[160:] = np.arange(60) % 4 > 0, np.arange(60) % 2 > 0
        return scored(CIPHERS, episode, right)

    got = figures(27, 21)
    assert got["accuracy_before"] == pytest.approx(0.9)
    assert got["accuracy_after"] == pytest.approx(0.7)
    assert got["retention"] == pytest.approx((0.7 - chance) / (0.9 - chance))
    assert got["accuracy_second"] == 0.75 and got["accuracy_control"] == 0.5
    assert got["forward_transfer"] == pytest.approx(0.25)
    assert got["first_accuracy"] == pytest.approx(0.48)
    assert got["second_accuracy"] == 0.75 and got["control_accuracy"] == 0.5
    assert figures(30, 30)["retention"] == 1.0
    assert figures(2, 30)["retention"] == 0.0  # it was not learned in the first place


@pytest.mark.slow
def test_retention_of_vectors_is_of_what_is_gained_on_chance():
    task = Forgetting(Redundant(examples=40), Redundant(examples=30), test=0.25)
    chance = task.spec.chance
    loss = np.full(100, chance)
    loss[20:30], loss[60:70] = 0.2 * chance, 0.6 * chance
    got = scored(task, sampled(task), np.zeros(100), loss)
    assert got["retention"] == pytest.approx(0.4 / 0.8, rel=1e-5)
    assert "accuracy_after" not in got


@pytest.mark.slow
def test_a_table_forgets_and_two_ciphers_conflict():
    got = lived(Forgetting(LONG, LONG))
    assert got["accuracy_before"] == 1 and got["accuracy_second"] > 0.9
    assert got["accuracy_after"] == 0 and got["retention"] < 0
    # Its old answers are sure and wrong, where a newborn has none.
    assert got["forward_transfer"] < 0


@pytest.mark.slow
def test_what_is_the_same_is_kept_and_helps():
    got = lived(Forgetting(Caesar(symbols=400), Caesar(symbols=400)))
    assert got["retention"] == 1 and got["forward_transfer"] > 0


def test_limits_are_weighted_by_scored_symbols():
    task = Forgetting(Boolean("any", sets=10), Boolean("and", sets=30))
    assert task.spec.chance == pytest.approx((0.5 + 6 * 0.75) / 7)
    assert task.spec.floor == pytest.approx(4 * math.log(2) / (4 * 70))
    held = Forgetting(Boolean("any", sets=10, hold=3), Boolean("and", sets=30))
    # Not by symbols; and also while something is traced, where a lifetime's spec is asked for.
    assert jax.jit(lambda x: x * held.spec.chance)(1.0) == pytest.approx(task.spec.chance)
    unknown = Forgetting(Circuit(inputs=3, symbols=50), Circuit(inputs=3, symbols=50))
    assert unknown.spec.floor is None and unknown.spec.chance == 0.5


# Transfer -----------------------------------------------------------------------------------------


def answers(stimulus, target):
    """What is answered to what, as a dictionary; the same each time."""
    table = {}
    for shown, answer in zip(stimulus.tolist(), target.tolist(), strict=True):
        shown = tuple(shown) if isinstance(shown, list) else shown
        assert table.setdefault(shown, answer) == answer
    return table


@pytest.mark.parametrize(
    ("task", "changed"),
    [
        (Boolean("any", sets=5), 1),
        pytest.param(Boolean("xor", sets=5), 1, marks=pytest.mark.slow),
        (Caesar(symbols=300), 2),
    ],
    ids=["any", "xor", "caesar"],
)
def test_one_thing_changes(task, changed):
    first, second = jax.tree.map(np.asarray, jax.jit(task.sample_changed)(jax.random.key(2)))
    one, two = answers(first.stimulus, first.target), answers(second.stimulus, second.target)
    assert one.keys() == two.keys()
    assert sum(one[shown] != two[shown] for shown in one) == changed
    if isinstance(task, Caesar):
        assert sorted(two.values()) == list(range(26))
    assert (first.stimulus != second.stimulus).any()  # in fresh order


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["shared", "independent"])
def test_one_answer_of_a_kernel_changes(kernels):
    task = Redundant(width=4, kernel=2, kernels=kernels, examples=300)
    pair = jax.jit(task.sample_changed)(jax.random.key(3))
    tables = []
    for episode in jax.tree.map(np.asarray, pair):
        following = np.roll(episode.stimulus, -1, axis=1)
        tables.append({})
        for place in range(4):
            shown = np.stack([episode.stimulus[:, place], following[:, place]], 1)
            here = answers(shown, episode.target[:, place])
            tables[-1] |= {(place, *shown): answer for shown, answer in here.items()}
    differ = {place for place in tables[0] if tables[0][place] != tables[1][place]}
    assert len(tables[0]) == 16
    assert len(differ) == (4 if kernels == "shared" else 1)
    assert len({shown[1:] for shown in differ}) == 1


@pytest.mark.slow
def test_one_gate_changes_so_that_it_can_be_seen():
    task = Circuit(inputs=2, gates=4, registers=1, symbols=400)
    sample = jax.jit(task.sample_changed)
    turned = []
    for seed in range(12):
        first, second = jax.tree.map(np.asarray, sample(jax.random.key(seed)))
        view = [answers(np.column_stack([e.stimulus, e.phase]), e.target) for e in (first, second)]
        shared = view[0].keys() & view[1].keys()
        differ = np.mean([view[0][shown] != view[1][shown] for shown in shared])
        turned.append(differ > 0)
    # A gate may act through the registers alone: then the table is the same, its walk is not.
    assert np.mean(turned) > 0.7
    assert len(_GATES) == 10


def test_chance_after_a_change_of_a_boolean_function():
    for name, table in _TABLES.items():
        flipped = np.array(table)[None] ^ np.eye(4, dtype=int)
        ones = flipped.mean()
        assert Boolean(name).changed_chance == pytest.approx(max(ones, 1 - ones)), name
    assert Transfer(Boolean("and")).spec.chance == pytest.approx((0.75 + 0.625) / 2)
    assert Transfer(Boolean("any", sets=10)).spec.floor == pytest.approx(math.log(2) / 20)


def test_figures_of_transfer():
    task = Transfer(Boolean("xor", sets=50), block=20, criterion=0.9)
    episode = sampled(task)
    right = np.concatenate([np.arange(200) >= 80, np.arange(200) >= 10])
    got = scored(task, episode, right)
    # Two mistakes in twenty are allowed: the blocks begin two symbols before.
    assert got["examples_first"] == 98 and got["examples_second"] == 28
    assert got["savings"] == pytest.approx(28 / 98)
    assert got["accuracy_first"] == 0.6 and got["second_accuracy"] == 0.95
    never = scored(task, episode, np.zeros(400))
    assert never["examples_first"] == never["examples_second"] == 200 and never["savings"] == 1


@pytest.mark.slow
def test_a_table_saves_what_did_not_change():
    got = lived(Transfer(Caesar(shift=None, symbols=600)))
    assert got["examples_first"] > 100 and got["savings"] < 0.7
    assert lived(Transfer(LONG), Table(learns=False))["savings"] == 1


# Composition --------------------------------------------------------------------------------------


def test_the_whole_is_made_of_the_parts_and_nobody_is_better_than_the_floor():
    task = Composition(alphabet=5, functions=3, sets=6)
    episode, size = sampled(task), 5
    letter, cue = episode.stimulus[:, :size].argmax(1), episode.stimulus[:, size:]
    assert (episode.stimulus[:, :size].sum(1) == 1).all()
    asked = np.where(cue.sum(1) == 1, cue.argmax(1), 3)
    whole = np.arange(150) >= 90
    assert ((asked == 3) == whole).all()
    np.testing.assert_array_equal(episode.phase, asked + (np.arange(150) >= 120))
    tables = [answers(letter[asked == f], episode.target[asked == f]) for f in range(4)]
    assert all(sorted(table.values()) == list(range(size)) for table in tables)
    for start in range(size):
        assert tables[3][start] == tables[2][tables[1][tables[0][start]]]
    np.testing.assert_array_equal(episode.target[90:120], episode.target[120:])
    # Who guesses among the answers that are left, and knows the whole from its parts:
    nats, known = [], {}
    for at, (shown, function, target) in enumerate(zip(letter, asked, episode.target, strict=True)):
        part = (function, at >= 120)
        seen = known.setdefault(part, {})
        sure = shown in seen or part == (3, False)
        nats.append(0.0 if sure else math.log(size - len(seen)))
        seen[shown] = target
    assert np.mean(nats) == pytest.approx(task.spec.floor)
    assert Composition().spec.floor > 0


def test_figures_of_composition():
    task = Composition(alphabet=4, functions=2, sets=20, block=10, criterion=0.9)
    right = np.concatenate(
        [np.arange(160) >= 100, np.arange(80) >= 5, np.arange(80) >= 40]
    )  # the whole is right from the sixth example on, and from the 41st
    got = scored(task, sampled(task), right)
    assert got["accuracy_parts"] == 0.75 and got["accuracy_at_once"] == 0
    assert got["examples_after_parts"] == 14 and got["examples_from_scratch"] == 49
    assert got["savings"] == pytest.approx(14 / 49)
    assert got["accuracy_after_parts"] == 75 / 80 and got["accuracy_from_scratch"] == 0.5
    assert task.interventions == (Newborn(240),) and task.spec.lifespan == 240


# Speedup ------------------------------------------------------------------------------------------


def test_figures_of_haste():
    task = COMBINED["speedup"]
    quarter = np.arange(80) // 20
    right = (np.arange(80) % 20) < np.array([10, 20, 5, 15])[quarter]
    got = scored(task, sampled(task), right, ticks=np.array([5, 4, 3, 2])[quarter])
    assert (got["accuracy_before"], got["accuracy_after"]) == (1, 0.75)
    assert (got["ticks_before"], got["ticks_after"]) == (4, 2)
    assert got["accuracy_lost"] == 0.25
    assert got["quality_by_quarter"].tolist() == [0.5, 1, 0.25, 0.75]
    assert got["ticks_by_quarter"].tolist() == [5, 4, 3, 2]
    assert got["task_accuracy_late"] == 0.5


@pytest.mark.slow
def test_a_network_of_four_ticks_is_hurried_to_one():
    task = Speedup(Caesar(symbols=40))
    life = Lifetime(NetworkConfig(num_hidden=4, ticks=4).build(task.spec), task)
    got = jax.jit(life)(life.init_theta(), jax.random.key(0))[1]
    assert (got["ticks_before"], got["ticks_after"]) == (4, 1)
    assert recipe("speedup").network.ticks == 4 and recipe("garbage").network.ticks == 1


# One within another -------------------------------------------------------------------------------


def test_interventions_within_are_moved():
    inner = Zeroed(Caesar(symbols=100), span=20)  # at 50 and 70; its newborn at 100
    assert inner.interventions == (Remove(50, edges=0.5), Restore(70), Newborn(100))
    again = [Remove(260, edges=0.5), Restore(280), Newborn(310)]
    before, after = Garbage(inner, where="before", span=10), Garbage(inner, span=10)
    first = [Remove(60, edges=0.5), Restore(80), Newborn(110), Newborn(210)]
    assert list(before.interventions) == first + again
    first = [Remove(50, edges=0.5), Restore(70), Newborn(110), Newborn(210)]
    assert list(after.interventions) == first + again
    assert before.spec.lifespan == 110
    shaken = Forgetting(Perturbed(Caesar(symbols=50)), Caesar(symbols=30), test=0.5)
    assert [act.at for act in shaken.interventions] == [25, 80, 130]
    hasty = Speedup(Caesar(symbols=50))
    assert list(Transfer(Boolean(sets=5)).interventions) == []
    for wrong in (lambda: Garbage(hasty), lambda: Forgetting(hasty, hasty)):
        with pytest.raises(ValueError, match="must not hurry the learner"):
            wrong()
    assert Speedup(Perturbed(Caesar(symbols=50)), 2).interventions == (
        Perturb(25, 0.5),
        Newborn(50),
        Hurry(50, 2),
    )


@pytest.mark.parametrize(
    ("build", "error", "word"),
    [
        (lambda: Garbage(form="nose"), ValueError, "Did you mean 'noise'"),
        (lambda: Garbage(where="after"), ValueError, "where"),
        (lambda: Garbage(span=0), ValueError, "span must be at least 1"),
        (lambda: Garbage(block=0), ValueError, "block must be at least 1"),
        (lambda: Garbage(tolerance=2.0), ValueError, "tolerance must lie between"),
        (lambda: Garbage(Caesar(symbols=1)), ValueError, "two symbols"),
        (lambda: Perturbed(sigma=-1.0), ValueError, "sigma"),
        (lambda: Zeroed(share=1.5), ValueError, "share"),
        (lambda: Zeroed(CODE, span=100), ValueError, "below the 100 symbols that are left"),
        (lambda: Lesioned(edges=2.0), ValueError, "edges"),
        (lambda: Lesioned(nodes=-0.1), ValueError, "nodes"),
        (lambda: Forgetting(CODE, Boolean()), ValueError, "same num_inputs, got 26 of Caesar"),
        (lambda: Forgetting(test=0.6), ValueError, "test must lie between"),
        (lambda: Forgetting(test=0.0), ValueError, "must leave a symbol"),
        (lambda: Transfer(Reversal()), TypeError, "boolean, circuit, redundant, caesar.*Reversal"),
        (lambda: Transfer(criterion=1.1), ValueError, "criterion"),
        (lambda: Composition(alphabet=1), ValueError, "alphabet"),
        (lambda: Composition(functions=1), ValueError, "functions"),
        (lambda: Composition(sets=1), ValueError, "sets"),
        (lambda: Speedup(ticks=0), ValueError, "ticks must be at least 1"),
        (lambda: Speedup(Caesar(symbols=3)), ValueError, "four symbols"),
    ],
)
def test_what_cannot_be_is_refused(build, error, word):
    with pytest.raises(error, match=word):
        build()


# As text, as JSON and on the command line ---------------------------------------------------------

TEXTS = {
    "garbage(reversal(n=2), form='silence')": Garbage(Reversal(n=2), form="silence"),
    "garbage(task=reversal(n=2))": Garbage(Reversal(n=2)),
    "forgetting(boolean('xor'), boolean(name='and'), test=0.25)": Forgetting(
        Boolean("xor"), Boolean("and"), test=0.25
    ),
    "zeroed(garbage(henon, span=5), span=9)": Zeroed(Garbage(Henon(), span=5), span=9),
    "names(symbols=None)": Names(),
    "speedup": Speedup(),
}


@pytest.mark.parametrize("text", TEXTS)
def test_tasks_go_to_text_and_json_and_back(text):
    task = task_from_text(text)
    assert task == TEXTS[text]
    assert task_from_text(task_to_text(task)) == task and "\n" not in task_to_text(task)
    config = dataclasses.replace(recipe("garbage"), task=task, train_task=task)
    written = json.loads(json.dumps(runs.to_dict(config), allow_nan=False))
    assert training.config_from_dict(written) == config


def test_every_task_goes_to_text_and_back():
    for name, cls in TASKS.items():
        assert task_from_text(name) == cls() == task_from_text(task_to_text(cls())), name
    able = [name for name, cls in TASKS.items() if isinstance(cls(), Changing)]
    assert able == ["boolean", "circuit", "redundant", "caesar"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("garbage(", "cannot read the task"),
        ("garbage(revursal)", "unknown task 'revursal'.*'reversal'"),
        ("garbage(oja)", "unknown task 'oja'"),
        ("garbage(spam=3)", "unknown field of garbage 'spam'.*'span'"),
        ("garbage(caesar, 'noise', 'middle')", "garbage takes two arguments without a name"),
        ("garbage(caesar, task=caesar)", "given task twice"),
        ("garbage(form=silence)", "expected a number, text or a task, got 'silence'"),
        ("garbage(span=open('x'))", "unknown task 'open'"),
        ("__import__('os').system('x')", "expected a task's name"),
        ("garbage(3)", "task must be a task, got 3"),
    ],
)
def test_texts_that_name_no_task(text, message):
    with pytest.raises((ValueError, TypeError), match=message):
        task_from_text(text)


def test_tasks_within_tasks_on_the_command_line(monkeypatch, capsys):
    got = []
    monkeypatch.setattr(cli, "_drive", lambda config, **rest: got.append(config) or 0)
    words = ["train", "garbage", "--task.task", "reversal(n=2)", "--task.span", "7"]
    assert cli.main(words) == 0
    assert got[0].task == got[0].train_task == Garbage(Reversal(n=2), span=7)
    assert cli.main([*words, "--train-task.task=caesar"]) == 0
    assert got[1].task.task == Reversal(n=2) and got[1].train_task.task == Caesar()
    capsys.readouterr()
    for said, message in (("revursal", "Did you mean 'reversal'"), ("3", "expected a task's name")):
        assert cli.main(["train", "garbage", "--task.task", said]) == 2
        assert message in capsys.readouterr().err
    _, theta, task = cli._rule_to_evaluate("oja", "garbage(reversal(n=2), form='silence')")
    assert theta is None and task == Garbage(Reversal(n=2), form="silence")
    changed = cli._task_with(task, ["task=caesar(symbols=50)", "span=3", "form=stuck"])
    assert changed == Garbage(Caesar(symbols=50), form="stuck", span=3)
    with pytest.raises(ValueError, match="unknown task"):
        cli._task_with(task, ["task=cesar()"])


def test_no_two_options_hold_the_same_words():
    """What is explained of the options of one combined task is not copied wrongly to another."""
    for one, two in itertools.combinations((Garbage, Perturbed, Zeroed, Lesioned), 2):
        a, b = cli._described(one), cli._described(two)
        for name in ("task", "block", "tolerance"):
            assert a[name] == b[name]
