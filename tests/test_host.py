"""Learners that live on the host: the streams of everyone, stop and go on, interventions."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta import leaderboard, tasks
from loopymeta.checkpoint import CheckpointError
from loopymeta.interventions import Hurry, Newborn, Perturb
from loopymeta.learners import (
    PPM,
    HostLearner,
    HostLife,
    OnlineNGram,
    PlasticMemoryLearner,
    by_name,
    host,
    live_on_host,
)
from loopymeta.lifetime import Learner, Lifetime
from loopymeta.suite import Entry
from loopymeta.tasks.base import FREEZE, Spec, stream_episode
from loopymeta.testing import check_learner

KEY = jax.random.key(3)


@dataclasses.dataclass(frozen=True)
class Stream:
    """A random start of 0 1 2 0 1 2 ...; targets every other symbol, the last third frozen."""

    interventions: tuple = ()
    length: int = 60
    frozen: bool = True

    @property
    def spec(self):
        return Spec(3, 3, self.length)

    def sample(self, key):
        at = jnp.arange(self.length)
        time = at + jax.random.randint(key, (), 0, 3)
        frozen = (at >= self.length * 2 // 3) & self.frozen
        target = jnp.where(at % 2 == 0, (time + 1) % 3, -1)
        return stream_episode(time % 3, target, taught=at % 2 == 0, frozen=frozen)

    def score(self, outcome, episode):
        scored = episode.target >= 0
        return {
            "loss": jnp.where(scored, outcome.loss, 0.0).sum() / scored.sum(),
            "nats": outcome.loss,
            "correct": outcome.correct,
        }


@functools.cache
def episode_of(length=60, frozen=True, seed=3):
    """What a Stream gives for a key, made once."""
    key = jax.random.split(jax.random.fold_in(jax.random.key(seed), 0))[0]
    return jax.jit(Stream((), length, frozen).sample)(key)


def life_of(learner, task, seed=3):
    episode = episode_of(task.length, task.frozen, seed)
    return HostLife(learner, task, jax.random.key(seed), episode=episode)


class Diary:
    """A learner that writes down what happens to it and guesses uniformly."""

    def __init__(self):
        self.heard = []

    def predict(self, stimulus):
        self.heard.append(("predict", stimulus))
        return np.log(np.full(3, 1 / 3))

    def teach(self, target):
        self.heard.append(("teach", target))

    def to_json(self):
        return self.heard


@dataclasses.dataclass(frozen=True)
class Writer:
    """Gives birth to diaries."""

    def init_theta(self, key=None):
        return ()

    def space(self):
        return ()

    def begin(self, theta=(), seed=0):
        return Diary()

    def resume(self, theta, stored):
        diary = Diary()
        diary.heard = [tuple(entry) for entry in stored]
        return diary


def test_what_a_learner_hears():
    """The very stream of a Lifetime; prediction first; nothing where frozen, None where untaught."""
    task = Stream()
    life = HostLife(Writer(), task, KEY)
    life.advance()
    table = OnlineNGram(3, 3)
    _, episode = Lifetime(table, task).start(table.init_theta(), KEY)
    heard = []
    for stimulus, target, taught, frozen in zip(
        *(np.asarray(x).tolist() for x in (*episode[:2], episode.taught, episode.intervention)),
        strict=True,
    ):
        heard.append(("predict", stimulus))
        if frozen != FREEZE:
            heard.append(("teach", target if taught else None))
    assert life.living.heard == heard
    loss, metrics = life.score()
    np.testing.assert_allclose(
        metrics["nats"], np.where(np.arange(60) % 2, 0, np.log(3)), rtol=1e-6
    )
    assert float(loss) == pytest.approx(np.log(3))
    assert live_on_host(Writer(), task, KEY)[0] == loss


def test_no_learner_is_both():
    assert isinstance(PPM(3, 3), HostLearner) and not isinstance(PPM(3, 3), Learner)
    assert not isinstance(OnlineNGram(3, 3), HostLearner)


@pytest.mark.parametrize(
    "learner", [PPM(3, 3), PlasticMemoryLearner(3, 3, continues=False, window=5)]
)
def test_a_life_that_stops_goes_on_bit_for_bit(learner, tmp_path):
    task = Stream(interventions=(Newborn(30),))
    whole = life_of(learner, task)
    whole.advance()
    for stop in (0, 17, 30, 31, 60):
        first, second = (life_of(learner, task) for _ in range(2))
        first.advance(stop)
        first.save(tmp_path / "life.json")
        second.load(tmp_path / "life.json")
        assert second.at == stop
        second.advance()
        for a, b in zip(second.outcome(), whole.outcome(), strict=True):
            assert a is b is None or (np.asarray(a) == np.asarray(b)).all()
        assert second.living.to_json() == whole.living.to_json()


def test_a_newborn_knows_nothing():
    learner, nats = PPM(3, 3), []
    for acts in ((Newborn(30), Hurry(40)), ()):
        life = life_of(learner, Stream(acts, frozen=False))
        life.advance()
        nats.append(np.asarray(life.outcome().loss))
    assert nats[0][30] == nats[0][0] > nats[1][30]
    np.testing.assert_array_equal(nats[0][:30], nats[1][:30])


def test_damage_is_refused_before_anything_is_lived():
    with pytest.raises(TypeError, match="PPM cannot be damaged"):
        life_of(PPM(3, 3), Stream(interventions=(Perturb(50),)))


def test_a_life_must_be_over_to_be_scored():
    life = life_of(PPM(3, 3), Stream())
    life.advance(5)
    with pytest.raises(ValueError, match="5 of 60 symbols"):
        life.score()


def test_what_is_no_such_lifetime_is_refused(tmp_path):
    path = tmp_path / "life.json"
    life = life_of(PPM(3, 3), Stream())
    life.advance(10)
    life.save(path)
    for other, what in (
        (life_of(PPM(3, 3, order=2), Stream()), "another learner"),
        (life_of(PPM(3, 3), Stream(length=61)), "another task"),
        (life_of(PPM(3, 3), Stream(), seed=4), "another key"),
        (HostLife(PPM(3, 3), Stream(), KEY, episode=episode_of(seed=4)), "another episode"),
    ):
        with pytest.raises(CheckpointError, match=what):
            other.load(path)
        assert other.at == 0
    content = path.read_bytes()
    for bad, what in (
        (content[:-20], "not whole"),
        (content.replace(b'"at": 10', b'"at": 11'), "SHA-256"),
        (b"[]", "no file of the kind"),
    ):
        path.write_bytes(bad)
        with pytest.raises(CheckpointError, match=what):
            life.load(path)
    stored = json.loads(json.dumps(life.to_json()))
    for bad in ({}, stored | {"at": 11}, stored | {"living": 3}, stored | {"loss": ["a"] * 10}):
        with pytest.raises(CheckpointError):
            life.restore(bad)
    assert life.at == 10
    with pytest.raises(CheckpointError, match="cannot read"):
        life.load(tmp_path / "nothing.json")


@pytest.mark.parametrize(("module", "what"), [(host, "loopymeta"), (jax, "jax")])
def test_a_life_of_another_version_is_refused(module, what, tmp_path, monkeypatch):
    life = life_of(PPM(3, 3), Stream())
    life.save(tmp_path / "life.json")
    monkeypatch.setattr(module, "__version__", "0.0.1")
    with pytest.raises(CheckpointError, match=f"another version of {what}"):
        life.load(tmp_path / "life.json")


@dataclasses.dataclass(frozen=True)
class Counted(Stream):
    """Notes how often it is traced."""

    traced: tuple | list = ()

    def sample(self, key):
        if isinstance(key, jax.core.Tracer):
            TRACED.append("sample")
        return super().sample(key)

    def score(self, outcome, episode):
        TRACED.append("score")
        return super().score(outcome, episode)


TRACED = []


def test_a_task_is_compiled_once():
    live_on_host(PPM(3, 3), Counted(length=50), KEY)
    TRACED.clear()
    live_on_host(PPM(3, 3), Counted(length=50), jax.random.key(4))
    assert TRACED == ["sample"]  # whose shapes are looked at
    live_on_host(PPM(3, 3), Counted(length=50, traced=[]), KEY)  # and what cannot be hashed


# --- the check, which must be able to fail -------------------------------------------------------


class Bad(Diary):
    """Looks ahead, or at what is not taught, or forgets in its JSON, or sums to something else.

    Targets that it was not given it finds where its caller keeps them.
    """

    def __init__(self, fault):
        super().__init__()
        self.fault, self.known, self.asked = fault, 0, False

    def predict(self, stimulus):
        if self.fault == "waits to be taught":
            assert not self.asked
            self.asked = True
        p = np.array([0.5, 0.25, 0.25]) if self.known else np.full(3, 1 / 3)
        if self.fault == "looks ahead":
            p = np.roll([0.5, 0.25, 0.25], sys._getframe(1).f_locals["target"])
        return np.log(p * (0.9 if self.fault == "sum" else 1))[: 2 if self.fault == "size" else 3]

    def teach(self, target):
        self.asked = False
        if self.fault == "looks at the untaught" and target is None:
            self.known = sys._getframe(1).f_locals["target"] == 1
        self.known += target == 1

    def to_json(self):
        return 0 if self.fault == "forgets" else self.known


@dataclasses.dataclass(frozen=True)
class BadWriter(Writer):
    fault: str = ""

    def begin(self, theta=(), seed=0):
        return Bad(self.fault)

    def resume(self, theta, stored):
        living = Bad(self.fault)
        living.known = stored
        return living


class Ones(Stream):
    """Every target is 1."""

    def sample(self, key):
        episode = super().sample(key)
        return episode._replace(target=jnp.ones_like(episode.target))


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("", None),
        ("sum", "of sum 1"),
        ("size", r"must predict \[3\]"),
        ("forgets", "goes on otherwise"),
        ("looks ahead", "looks at the target of symbol 0"),
        ("waits to be taught", "cannot live Ones"),
        ("looks at the untaught", "looks at targets that are not taught"),
    ],
)
def test_the_check_finds(fault, what):
    learner = BadWriter(fault)
    if what is None:
        check_learner(learner, Ones())
    else:
        with pytest.raises(AssertionError, match=what):
            check_learner(learner, Ones())


# --- on the leaderboard --------------------------------------------------------------------------


CAESAR = Entry(tasks.Caesar(symbols=60), "accuracy", True)


def cell(name, entry):
    entrants = leaderboard.entrants_of([name], learner_hidden=8)
    entrant = next(e for e in entrants if e.name == name)
    assert entrant.hidden is None
    return leaderboard.live_cell(leaderboard.cell_of(entrant, "task", entry, 2, 0).text)


@pytest.mark.parametrize("name", ["ppm", "plastic_memory"])
def test_they_have_cells_as_everyone(name):
    result = cell(name, CAESAR)
    assert result["status"] == "ok", result
    assert len(result["metrics"]["loss"]) == 2 and result["seconds"] > 0
    root = jax.random.fold_in(jax.random.key(0), 1 << 20)
    learner = by_name.learner_of(name, CAESAR.task)
    loss, _ = live_on_host(learner, CAESAR.task, jax.random.split(root, 2)[1])
    assert result["metrics"]["loss"][1] == pytest.approx(float(loss), rel=1e-6)


def test_tasks_of_equal_shapes_are_scored_each_by_its_own():
    """Whatever the process has lived before: programs are shared by those that are the same."""
    task = tasks.Garbage(CAESAR.task, span=20)
    length = task.spec.length
    plain, garbage = tasks.Caesar(symbols=length), Entry(task, "accuracy_after", True)
    assert "accuracy" in cell("ppm", Entry(plain, "accuracy", True))["metrics"]
    lived = cell("ppm", garbage)["metrics"]
    root = jax.random.fold_in(jax.random.key(0), 1 << 20)
    for number, key in enumerate(jax.random.split(root, 2)):
        _, alone = live_on_host(by_name.learner_of("ppm", task), task, key)
        for name in ("accuracy_after", "loss"):
            assert lived[name][number] == pytest.approx(float(alone[name]), rel=1e-5)


def test_what_they_cannot_live_they_say():
    result = cell("ppm", Entry(tasks.Henon(symbols=30)))
    assert result["status"] == "unable" and "are vectors" in result["reason"]
    code = tasks.Caesar(symbols=40)
    damaged = Entry(tasks.Perturbed(code))
    result = cell("plastic_memory", damaged)
    assert result["status"] == "unable" and "cannot be damaged" in result["reason"]
