"""The count table as a learner: what it predicts, what it counts, where it refuses to live."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta import ngrams, tasks
from loopymeta.learners import OnlineNGram
from loopymeta.learners.counts import MAX_ENTRIES
from loopymeta.lifetime import Learner, Lifetime
from loopymeta.network import Teaching
from loopymeta.parameters import from_search, to_search
from loopymeta.tasks.base import FREEZE, Spec, stream_episode
from loopymeta.testing import check_learner


class Stream:
    """A stream of symbols, frozen or untaught where it is said."""

    def __init__(self, stream, num_symbols, frozen=False, taught=True):
        self.stream, self.frozen, self.taught = np.asarray(stream), frozen, taught
        self.spec = Spec(num_symbols, num_symbols, len(stream) - 1)

    def sample(self, key):
        time = jnp.ones(self.spec.length, bool)
        stimulus, target = jnp.asarray(self.stream[:-1]), jnp.asarray(self.stream[1:])
        return stream_episode(
            stimulus, target, taught=time & self.taught, frozen=time & self.frozen
        )

    def score(self, outcome, episode):
        return {"loss": outcome.loss.mean(), "nats": outcome.loss}


def nats(task, **choices):
    life = Lifetime(OnlineNGram.for_task(task, **choices), task)
    return np.asarray(jax.jit(life)(life.init_theta(), jax.random.key(0))[1]["nats"])


@pytest.mark.parametrize(
    ("order", "discount", "boundary"),
    [
        (3, 0.4, 0),
        pytest.param(1, 0.75, None, marks=pytest.mark.slow),
        pytest.param(4, 0.75, None, marks=pytest.mark.slow),
        pytest.param(4, 0.75, 0, marks=pytest.mark.slow),
        pytest.param(4, 0.75, 5, marks=pytest.mark.slow),
    ],
)
def test_it_predicts_names_as_the_host_model_does(order, discount, boundary):
    task = tasks.Names(symbols=3000)
    episode = task.sample(jax.random.key(1))
    stream = np.concatenate([episode.stimulus[:1], episode.target])
    model = ngrams.NGram(order, 27, discount=discount, boundary=boundary)
    expected = model.prequential(stream)
    found = nats(Stream(stream, 27), order=order, discount=discount, boundary=boundary)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert abs(found.mean() - expected.mean()) < 1e-5


def test_it_counts_neither_what_is_frozen_nor_what_is_not_taught():
    stream = np.arange(40) % 4
    for task in (Stream(stream, 4, frozen=True), Stream(stream, 4, taught=False)):
        np.testing.assert_allclose(nats(task), np.log(4), rtol=1e-6)
    assert nats(Stream(stream, 4))[-1] < 0.2


def test_targets_that_are_not_taught_may_be_anything():
    learner = OnlineNGram(3, 2)
    theta = learner.init_theta()
    state = learner.init(jax.random.key(0), theta)
    nothing = Teaching(jnp.full(2, jnp.nan), taught=0.0)
    after, prediction, _ = jax.jit(learner.step)(theta, state, jnp.eye(3)[1], nothing)
    assert all(bool((table == 0).all()) for table in after.tables)
    assert bool(jnp.isfinite(prediction).all())


def test_silence_is_a_symbol_of_its_own():
    """After silence comes 1, after 0 comes 0: told apart from the second time on."""
    stream = Stream(np.zeros(61, int), 2)
    stimulus = np.where(np.arange(60) % 2, -1, 0)
    stream.sample = lambda key: stream_episode(
        jnp.asarray(stimulus), jnp.asarray((stimulus < 0).astype(int))
    )
    assert nats(stream)[-10:].max() < 0.1


def test_the_contract_of_a_learner():
    task = tasks.Reversal(n=2, sequences=10, window=5)
    check_learner(OnlineNGram.for_task(task), task)
    learner = OnlineNGram(5, 5)
    assert isinstance(learner, Learner)
    back = from_search(learner.space(), to_search(learner.space(), learner.init_theta()))
    assert float(back["discount"]) == pytest.approx(0.75)


def test_orders_shrink_where_tables_would_be_too_large():
    assert OnlineNGram.for_task(Stream([0, 1], 27)).order == 4
    large = OnlineNGram.for_task(Stream([0, 1], 2000))
    assert large.order == 2 and large.num_entries <= MAX_ENTRIES
    with pytest.raises(ValueError, match="order 3 have"):
        OnlineNGram(2000, 2000, order=3)


@pytest.mark.parametrize(
    ("task", "what"),
    [
        (tasks.Henon(symbols=10), "targets that are symbols; those of Henon are vectors"),
        (tasks.Boolean(), "stimuli that are symbols; those of Boolean are vectors"),
    ],
)
def test_it_refuses_what_it_cannot_count(task, what):
    with pytest.raises(ValueError, match=what):
        OnlineNGram.for_task(task)


def test_contexts_of_names_end_where_names_end():
    assert OnlineNGram.for_task(tasks.Names(symbols=100)).boundary == 0
    assert OnlineNGram.for_task(tasks.Caesar()).boundary is None


def test_it_refuses_numbers_that_cannot_be():
    bads = ({"order": 0}, {"discount": 0.0}, {"discount": 1.5}, {"num_inputs": 0}, {"boundary": 3})
    for bad in bads:
        with pytest.raises(ValueError):
            OnlineNGram(**({"num_inputs": 3, "num_outputs": 3} | bad))


def test_freeze_is_the_code_of_the_lifetime():
    """The last half is frozen: the model of the first half goes on predicting."""
    stream = np.arange(80) % 4
    task = Stream(stream, 4)
    whole = task.sample
    task.sample = lambda key: whole(key)._replace(
        intervention=jnp.where(jnp.arange(79) >= 40, FREEZE, 0)
    )
    found = nats(task)
    np.testing.assert_allclose(found[44:], np.tile(found[44:48], 9)[:35], rtol=1e-5)
