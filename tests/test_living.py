"""Lifetimes in parts: stopped anywhere, they end with the same numbers."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
from conftest import some_fast

import loopymeta as lm
from loopymeta import checkpoint, tasks
from loopymeta.learners import PPM, OnlineNGram, OnlineRNN, Parallel, Recorded, by_name, optimizers
from loopymeta.learners.host import HostLearner
from loopymeta.lifetime import Lifetime, Mixture
from loopymeta.living import live_through

CODE = tasks.Caesar(shift=None, symbols=60)


def _plastic(task, **choices):
    return lm.NetworkConfig(num_hidden=8, rule=lm.rules.Oja(eta=0.01), **choices).build(task.spec)


def _named(name):
    return CODE, by_name.learner_of(name, CODE, hidden=4)


class Stopped(Exception):
    pass


def stopper(at):
    """A watcher that stops the lifetime at a symbol."""

    def watch(lived, length):
        if lived >= at:
            raise Stopped

    return watch


def same(a, b):
    """Whether two trees are equal to the bit."""
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.array_equal(np.asarray(x), np.asarray(y), equal_nan=True)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


CASES = {
    "plastic": lambda: (CODE, _plastic(CODE)),
    "damaged": lambda: (task := tasks.Lesioned(CODE), _plastic(task)),
    "vectors": lambda: (task := tasks.Henon(symbols=50), _plastic(task)),
} | {name: functools.partial(_named, name) for name in by_name.LEARNERS}


@pytest.mark.parametrize("case", some_fast(CASES, ("counts", "plastic_memory", "snap1")))
def test_a_stopped_lifetime_ends_as_one_that_was_never_stopped(case, tmp_path):
    task, learner = CASES[case]()
    life, key = Lifetime(learner, task), lm.key(3)
    theta, every = life.init_theta(), task.spec.length // 3
    whole = live_through(life, theta, key, every=every)
    file = tmp_path / "life.safetensors"
    with pytest.raises(Stopped):
        live_through(life, theta, key, file=file, every=every, watch=stopper(2 * every))
    places = []
    resumed = live_through(
        life, theta, key, file=file, every=every, watch=lambda at, _: places.append(at)
    )
    assert places[0] == 2 * every
    assert same(whole.metrics, resumed.metrics)
    if isinstance(learner, HostLearner):
        assert whole.state.to_json() == resumed.state.to_json()
        return
    assert same(whole.state, resumed.state)
    loss, _ = jax.jit(life)(theta, key)
    np.testing.assert_allclose(whole.loss, loss, rtol=1e-5)


def test_what_is_over_is_not_lived_again_and_others_are_refused(tmp_path):
    life = Lifetime(OnlineNGram.for_task(CODE), CODE)
    theta, file = life.init_theta(), tmp_path / "life.safetensors"
    first = live_through(life, theta, lm.key(0), file=file)
    places = []
    again = live_through(life, theta, lm.key(0), file=file, watch=lambda at, _: places.append(at))
    assert places == [CODE.spec.length]
    assert same(first.metrics, again.metrics)
    with pytest.raises(checkpoint.CheckpointError, match="another lifetime"):
        live_through(life, theta, lm.key(1), file=file)
    with pytest.raises(checkpoint.CheckpointError, match="another lifetime"):
        live_through(life, {"discount": theta["discount"] / 2}, lm.key(0), file=file)
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(checkpoint.CheckpointError, match="not a whole checkpoint"):
        live_through(life, theta, lm.key(0), file=file)
    checkpoint.save(file, {"a": np.zeros(1)})
    with pytest.raises(checkpoint.CheckpointError, match="of no lifetime"):
        live_through(life, theta, lm.key(0), file=file)


def test_host_learners_stop_and_go_on_too(tmp_path):
    life = Lifetime(PPM.for_task(CODE), CODE)
    file, places = tmp_path / "life.json", []
    with pytest.raises(Stopped):
        live_through(life, (), lm.key(3), file=file, every=25, watch=stopper(50))
    watch = lambda at, _: places.append(at)  # noqa: E731
    resumed = live_through(life, (), lm.key(3), file=file, every=25, watch=watch)
    whole = live_through(life, (), lm.key(3))
    assert places == [50, 60]
    assert same(whole.metrics, resumed.metrics)
    assert whole.state.to_json() == resumed.state.to_json()
    recording = dataclasses.replace(life, record=lambda state, prediction: prediction)
    with pytest.raises(ValueError, match="recorded"):
        live_through(recording, (), lm.key(3))


def test_a_whole_file_of_another_kind_of_learner_is_not_called_damaged(tmp_path):
    host, table = (Lifetime(kind.for_task(CODE), CODE) for kind in (PPM, OnlineNGram))
    for life, other in ((host, table), (table, host)):
        file = tmp_path / type(life.learner).__name__
        live_through(life, life.init_theta(), lm.key(0), file=file)
        names = [type(each.learner).__name__ for each in (life, other)]
        what = f"is whole, but a lifetime of another learner, {names[0]}, and not of {names[1]}"
        with pytest.raises(checkpoint.CheckpointError, match=what):
            live_through(other, other.init_theta(), lm.key(0), file=file)
        file.write_bytes(file.read_bytes()[:-7])
        with pytest.raises(checkpoint.CheckpointError, match=r"not (a )?whole"):
            live_through(other, other.init_theta(), lm.key(0), file=file)


def test_what_is_recorded_is_kept(tmp_path):
    life = Lifetime(
        OnlineNGram.for_task(CODE), CODE, record=lambda state, prediction: prediction.max()
    )
    theta, file = life.init_theta(), tmp_path / "life.safetensors"
    with pytest.raises(Stopped):
        live_through(life, theta, lm.key(0), file=file, every=25, watch=stopper(25))
    record = live_through(life, theta, lm.key(0), file=file, every=25).metrics["record"]
    np.testing.assert_allclose(record, life(theta, lm.key(0))[1]["record"], rtol=1e-6)


def test_wrong_numbers_are_refused():
    life = Lifetime(OnlineNGram.for_task(CODE), CODE)
    with pytest.raises(ValueError, match="every"):
        live_through(life, life.init_theta(), lm.key(0), every=0)


def test_a_thin_record_is_refused():
    learner = OnlineNGram.for_task(CODE)
    life = Recorded(learner, CODE, record=lambda state, said: {"said": said}, every=7)
    with pytest.raises(ValueError, match="Recorded"):
        live_through(life, life.init_theta(), lm.key(0))


SMALL = {"elman": "width=3", "snap1": "width=3", "hierarchical": "widths=(2, 2)"}


@pytest.mark.parametrize("kind", some_fast(SMALL, ("snap1",)))
def test_parallel_streams_are_lived_in_parts(kind, tmp_path):
    """With damage in mid-life; what was stopped goes on to the very same numbers."""
    task = tasks.Perturbed(CODE)
    learner = by_name.learner_of(f"{kind}({SMALL[kind]})", task)
    streams = Parallel(Lifetime(learner, task, record=lambda state, said: said), streams=3)
    theta, key, file = streams.init_theta(), lm.key(0), tmp_path / "streams"
    loss, metrics = jax.jit(streams)(theta, key)
    whole = live_through(streams, theta, key, every=20)
    np.testing.assert_allclose(whole.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(whole.metrics["record"], metrics["record"], atol=1e-4)
    with pytest.raises(Stopped):
        live_through(streams, theta, key, file=file, every=20, watch=stopper(40))
    again = live_through(streams, theta, key, file=file, every=20)
    assert same(again.metrics, whole.metrics) and same(again.state, whole.state)


def test_a_mixture_is_lived_as_a_whole():
    life = Lifetime(OnlineNGram.for_task(CODE), CODE)
    with pytest.raises(TypeError, match="a Mixture only as a whole"):
        live_through(Mixture((life,)), {}, lm.key(0))


def test_a_thin_record_of_streams_is_refused():
    learner = OnlineRNN.for_spec(CODE.spec, width=2)
    life = Recorded(learner, CODE, record=lambda state, said: {"said": said}, every=7)
    with pytest.raises(ValueError, match="Recorded"):
        live_through(Parallel(life, 2), life.init_theta(), lm.key(0))


@pytest.mark.parametrize(
    ("theta", "message"),
    [({}, "lacks"), (None, "lacks"), ({"discount": np.nan}, "must be finite"), (3.0, "lacks")],
)
def test_a_theta_of_another_is_refused(theta, message):
    life = Lifetime(OnlineNGram.for_task(CODE), CODE)
    with pytest.raises(ValueError, match=message):
        live_through(life, theta, lm.key(0))


def test_theta_may_be_plain_numbers(tmp_path):
    life, file = Lifetime(OnlineNGram.for_task(CODE), CODE), tmp_path / "life"
    plain = live_through(life, {"discount": 0.5}, lm.key(0), file=file)
    arrays = {"discount": np.float32(0.5)}
    assert same(plain.metrics, live_through(life, arrays, lm.key(0), file=file).metrics)


@pytest.mark.parametrize("learner", [PPM.for_task(CODE), OnlineNGram.for_task(CODE)])
def test_the_objective_is_the_loss_of_everyone(learner):
    life = Lifetime(learner, CODE, objective="accuracy")
    lived = live_through(life, life.init_theta(), lm.key(0))
    assert lived.loss == lived.metrics["accuracy"] != lived.metrics["loss"]


def test_functions_without_a_name_are_not_kept(tmp_path):
    import optax

    sizes = {"width": 2, "cell": "elman"}
    learner = OnlineRNN.for_spec(CODE.spec, optimizer=lambda rate: optax.sgd(rate), **sizes)
    life = Lifetime(learner, CODE)
    with pytest.raises(ValueError, match="without a name"):
        live_through(life, life.init_theta(), lm.key(0), file=tmp_path / "life")

    class Sgd:
        __call__ = staticmethod(optax.sgd)

    with pytest.raises(ValueError, match="without a name"):
        optimizers.check_named(OnlineRNN.for_spec(CODE.spec, optimizer=Sgd(), **sizes))
    named = OnlineRNN.for_spec(CODE.spec, optimizer=functools.partial(optax.sgd), **sizes)
    optimizers.check_named(named)


def test_a_file_without_a_folder_is_refused_at_once(tmp_path):
    life = Lifetime(PPM.for_task(CODE), CODE)
    watch = lambda at, _: pytest.fail("it was lived")  # noqa: E731
    with pytest.raises(FileNotFoundError, match="nowhere"):
        live_through(life, (), lm.key(0), file=tmp_path / "nowhere" / "life", watch=watch)
