"""Recorders of inner quantities, thin records, their figures, and text by sampling."""

from __future__ import annotations

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loopymeta import NetworkConfig
from loopymeta.interventions import Perturb
from loopymeta.learners import (
    PPM,
    HierarchicalLSTM,
    InContextRNN,
    OnlineGradient,
    OnlineNGram,
    OnlineRNN,
    PlasticMemoryLearner,
    Recorded,
    generation,
    recording,
)
from loopymeta.learners.generation import sample_text
from loopymeta.learners.learner_plots import likeness, plot_changes, plot_record
from loopymeta.lifetime import Lifetime
from loopymeta.network import Teaching
from loopymeta.plots import save
from loopymeta.rules import Delta
from loopymeta.tasks import Caesar, Memorize, Reversal

TASK = Memorize(length=3, alphabet=4, presentations=4)
ALL = recording.together(
    recording.cell_state, recording.biases, recording.weight_norms, recording.gates
)


def rnn(**choices):
    return OnlineRNN(4, 4, **({"width": 3, "window": 2, "lifespan": 12.0} | choices))


# --- recorders -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("lstm", ["input gate", "forget gate", "candidate", "output gate"]),
        ("gru", ["reset gate", "update gate", "candidate"]),
        ("elman", ["unit"]),
    ],
)
def test_gates_are_those_of_the_cells(cell, names):
    """From gates alone a cell's output is what flax says."""
    learner = rnn(cell=cell, width=(3, 2))
    weight = learner.init_weight(jax.random.key(0))
    activity = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(1), x.shape), learner.silence()
    )
    stimulus = jnp.array([1.0, -1.0, 0.5, 0.0])
    _, expected = learner._advance(weight, activity, stimulus)
    values, below = recording._gates(weight["cells"][0], activity[0], stimulus)
    _, output = recording._gates(weight["cells"][1], activity[1], below)
    np.testing.assert_allclose(output, expected, atol=1e-6)
    assert values.shape == (len(names), 3)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    found = jax.eval_shape(recording.gates, state, None)
    assert sorted(found) == sorted(f"layer {k} {name}" for k in (0, 1) for name in names)
    assert found[f"layer 1 {names[0]}"].shape == (2,)


def test_the_forget_bias_of_an_lstm_is_recorded_as_such():
    state = rnn().init(jax.random.key(0))
    found = recording.biases(state, jnp.zeros(4))
    np.testing.assert_array_equal(found["forget gate bias"], jnp.ones(3))
    np.testing.assert_array_equal(found["input gate bias"], jnp.zeros(3))
    assert found["readout bias"].shape == (4,)
    kernel = state.weight["cells"][0]["dense_h"]["kernel"]
    norms = recording.weight_norms(state, jnp.zeros(4))
    np.testing.assert_allclose(norms["recurrent weights"], np.sqrt((kernel**2).sum()), rtol=1e-6)


def test_levels_have_their_own_names_and_strangers_are_refused():
    learner = HierarchicalLSTM(4, 4, widths=(3, 2))
    state = jax.eval_shape(learner.init, jax.random.key(0))
    found = jax.eval_shape(ALL, state, None)
    assert found["level 0 cells"].shape == (3,) and found["level 1 cells"].shape == (2,)
    assert found["level 1 readout bias"].shape == (3,)
    with pytest.raises(TypeError, match="tuple"):
        recording.cell_state((), jnp.zeros(4))


@pytest.mark.parametrize("cell", ["tanh", "gru"])
def test_who_learns_forwards_is_recorded_as_its_network_is(cell):
    """But for gates, which are means over a window, and it has none."""
    learner = OnlineGradient(4, 4, cell=cell, width=3)
    state = learner.init(jax.random.key(0))
    network = learner._network.init(jax.random.key(1))
    network = network._replace(weight=state.weight, activity=[state.activity + 1.0])
    state = state._replace(activity=state.activity + 1.0)
    for record in (recording.cell_state, recording.biases, recording.weight_norms):
        found, expected = record(state, jnp.zeros(4)), record(network, jnp.zeros(4))
        assert sorted(found) == sorted(expected)
        for name in found:
            np.testing.assert_array_equal(found[name], expected[name])
    with pytest.raises(TypeError, match="looks at a window, and OnlineGradientState has none"):
        recording.gates(state, jnp.zeros(4))


def test_of_who_learns_in_its_activity_the_cells_are_recorded():
    learner = InContextRNN(4, 4, width=(3, 2))
    theta = jax.eval_shape(learner.init_theta, jax.random.key(0))
    state = jax.eval_shape(learner.init, jax.random.key(0), theta)
    found = jax.eval_shape(recording.cell_state, state, None)
    assert {name: x.shape for name, x in found.items()} == {
        "layer 0 cells": (3,),
        "layer 1 cells": (2,),
    }
    for record in (recording.biases, recording.weight_norms):
        with pytest.raises(TypeError, match="looks at a weight, and InContextState has none"):
            record(state, jnp.zeros(4))


@pytest.mark.parametrize("interval", [4, 2])
def test_gates_are_means_over_the_symbols_that_were_heard(interval):
    """Over as many as there were, up to a window, as if each had met the weights of now."""
    learner = rnn(cell="elman", window=4, interval=interval, optimizer="sgd")
    theta, step = learner.init_theta(), jax.jit(learner.step)
    state = learner.init(jax.random.key(0))
    assert np.isnan(recording.gates(state, jnp.zeros(4))["unit"]).all()
    met = []
    for symbol in range(7):
        stimulus = jnp.eye(4)[symbol % 3]
        met.append((state.activity[0], stimulus))
        state = step(theta, state, stimulus, Teaching(jnp.eye(4)[0], 1.0, 0.0, 1.0))[0]
        cell = state.weight["cells"][0]
        units = [recording._gates(cell, *each)[0][0] for each in met[-4:]]
        found = recording.gates(state, jnp.zeros(4))["unit"]
        np.testing.assert_allclose(found, np.mean(units, axis=0), rtol=1e-5, atol=1e-6)


def test_a_thin_record_is_every_nth_of_a_full_one():
    learner = rnn(cell="elman", optimizer="sgd")
    record = recording.together(recording.cell_state, lambda s, p: {"said": p})
    key, theta = jax.random.key(0), learner.init_theta()
    loss, full = jax.jit(Lifetime(learner, TASK, record=record))(theta, key)
    thin_loss, thin = jax.jit(Recorded(learner, TASK, record=record, every=5))(theta, key)
    np.testing.assert_allclose(thin_loss, loss, rtol=1e-6)  # the rest of 2 was lived, too
    assert thin["record"]["symbol"].tolist() == [5, 10]
    for name in ("cells", "said"):
        np.testing.assert_allclose(thin["record"][name], full["record"][name][4::5], atol=1e-6)


@pytest.mark.slow
def test_records_go_through_interventions_and_errors_are_means():
    class Damaged(Memorize):
        interventions = (Perturb(at=7, sigma=0.5),)

    task, learner = Damaged(3, 4, 4), rnn(cell="elman", optimizer="sgd")
    life = Recorded(learner, task, record=recording.weight_norms, every=3)
    _, metrics = jax.jit(life)(life.init_theta(), jax.random.key(0))
    assert metrics["record"]["symbol"].tolist() == [3, 6, 10]
    full = Lifetime(learner, task, record=lambda s, p: p)
    state, episode = full.start(life.init_theta(), jax.random.key(0))
    _, outcome, _ = full.through(life.init_theta(), state, episode, jax.random.key(0))
    expected = [outcome.loss[a:b].mean() for a, b in ((0, 3), (3, 6), (7, 10))]
    assert episode.scored.all()
    np.testing.assert_allclose(metrics["record"]["error"], expected, rtol=1e-5)


def test_who_lives_on_the_host_is_not_recorded():
    task = Caesar(symbols=60)
    with pytest.raises(TypeError, match="PPM lives on the host and is not recorded"):
        Recorded(PPM.for_task(task), task, record=recording.gates, every=20)


def test_the_error_is_that_of_the_scored_symbols():
    task = Reversal(n=2, sequences=4, window=2)
    learner = OnlineRNN.for_spec(task.spec, width=3, window=2, cell="elman")
    every = task.spec.length
    life = Recorded(learner, task, record=recording.weight_norms, every=every)
    _, metrics = life(life.init_theta(), jax.random.key(0))
    assert metrics["record"]["error"].shape == (1,)
    np.testing.assert_allclose(metrics["record"]["error"], metrics["loss"], rtol=1e-5)


def test_a_population_of_a_sparse_network_is_recorded():
    """Its candidates live as lanes; each has the record of its own lifetime."""
    task = Memorize(length=3, alphabet=4, presentations=2)
    network = NetworkConfig(num_hidden=16, num_graphs=1, layout="sparse", rule=Delta(eta=0.1))
    learner = network.build(task.spec)
    assert learner.lanes
    life = Recorded(learner, task, record=lambda state, said: {"said": said}, every=2)
    theta = life.init_theta()
    thetas = jax.tree.map(lambda x: jnp.stack([x, 2.0 * x]), theta)
    losses, metrics = jax.jit(life.population)(thetas, jax.random.key(0))
    record = metrics["record"]
    for number in range(2):
        one = jax.tree.map(lambda x, at=number: x[at], thetas)
        loss, alone = jax.jit(life)(one, jax.random.key(0))
        np.testing.assert_allclose(losses[number], loss, rtol=1e-4)
        for name in ("symbol", "error", "said"):
            found, expected = record[name][number], alone["record"][name]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_bad_records_are_refused():
    with pytest.raises(ValueError, match="record"):
        Recorded(rnn(), TASK)
    with pytest.raises(ValueError, match="every"):
        Recorded(rnn(), TASK, record=ALL, every=0)
    with pytest.raises(ValueError, match="segment"):
        Recorded(rnn(), TASK, record=ALL, segment=2)
    with pytest.raises(ValueError, match="at most the 12 symbols of the lifetime, .* got 13"):
        Recorded(rnn(), TASK, record=ALL, every=13)
    assert Recorded(rnn(), TASK, record=ALL, every=12).every == 12

    class Damaged(Memorize):
        interventions = (Perturb(at=7, sigma=0.5),)

    with pytest.raises(ValueError, match="the 7 symbols of the lifetime between two interv.* 8"):
        Recorded(rnn(), Damaged(3, 4, 4), record=ALL, every=8)


# --- figures -------------------------------------------------------------------------------------


def test_a_panel_a_quantity(tmp_path):
    random = np.random.default_rng(0)
    record = {
        "symbol": np.arange(5) * 10,
        "norm": np.arange(5.0),
        "cells": random.normal(size=(5, 7)),
    }
    figure = plot_record(record, "A record")
    cells, norm = figure.axes
    np.testing.assert_allclose(norm.lines[0].get_xydata()[:, 0], record["symbol"])
    np.testing.assert_allclose(cells.lines[0].get_xydata()[:, 1], record["cells"].mean(1))
    assert len(cells.collections) == 2
    save(figure, tmp_path / "record.png")
    with pytest.raises(ValueError, match="nothing"):
        plot_record({"symbol": np.arange(3)})
    with pytest.raises(ValueError, match=r"\[R\] or \[R, U\]"):
        plot_record({"a": np.arange(3), "b": np.arange(4)})
    with pytest.raises(ValueError, match="nothing was recorded"):
        plot_record({"symbol": np.zeros(0), "cells": np.zeros((0, 7))})
    with pytest.raises(ValueError, match="units of 'errors'. Did you mean 'error'"):
        plot_record({"error": np.arange(3)}, units={"errors": "nats"})


def panels(figure):
    """The titles of the panels, row by row."""
    rows = {}
    for axes in figure.axes:
        rows.setdefault(axes.get_subplotspec().rowspan.start, []).append(axes.get_title(loc="left"))
    return [rows[k] for k in sorted(rows)]


def test_panels_of_a_kind_stand_together_and_a_caption_says_what_they_are():
    learner = rnn()
    state = learner.init(jax.random.key(0))
    record = {name: np.ones((2, *x.shape)) for name, x in ALL(state, jnp.zeros(4)).items()}
    record = dict(sorted(record.items())) | {"error": np.ones(2), "more": np.ones(2)}
    figure = plot_record(record, units={"error": "nats"})
    gates = ["input gate", "forget gate", "output gate", "candidate"]
    assert panels(figure) == [
        ["error", "cells"],
        gates,
        [f"{gate} bias" for gate in gates],
        ["readout bias", "input weights", "recurrent weights", "readout weights"],
        ["more"],
    ]
    named = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert named["error"].get_ylabel() == "nats" and named["more"].get_ylabel() == ""
    assert named["input weights"].get_ylabel() == "norm"
    below = {name for name, axes in named.items() if axes.get_xlabel() == "symbols lived"}
    assert below == {"more", "input weights", "recurrent weights", "readout weights"}
    said = " ".join(figure.get_supxlabel().split())
    for what in ("Line: the mean over units", "pale band: 9 of 10", "0 is closed", "Frobenius"):
        assert what in said
    only = plot_record({"input weights": np.ones(3)}).get_supxlabel()
    assert "Frobenius" in only and "band" not in only and "Gates" not in only


def test_panels_of_layers_stand_together():
    names = ("reset gate", "update gate", "candidate")
    record = {f"layer {k} {name}": np.ones((2, 3)) for name in names[::-1] for k in (1, 0)}
    found = panels(plot_record(record, columns=3))
    assert found == [[f"layer {k} {name}" for name in names] for k in (0, 1)]


def test_changes_of_a_slow_level_are_alike_for_longer(tmp_path):
    random = np.random.default_rng(0)
    fast = random.normal(size=(400, 6))
    slow = np.cumsum(random.normal(size=(400, 4)), axis=0) / 10
    assert likeness(slow, 10)[10] > 0.5 > abs(likeness(fast, 10)[10])
    text = "ab c\n" * 80
    figure = plot_changes([fast, slow], text, surprise=np.ones(400), shown=30)
    save(figure, tmp_path / "changes.png")
    for cells, named in (([fast[:-1]], "cells"), ([], "cells")):
        with pytest.raises(ValueError, match=named):
            plot_changes(cells, text)
    with pytest.raises(ValueError, match="lags"):
        plot_changes([fast[:20]], text[:20])


# --- text ----------------------------------------------------------------------------------------


def counted(text, order=3):
    """Counts that have read a text, and its alphabet."""
    alphabet = tuple(sorted(set(text)))
    learner = OnlineNGram(len(alphabet), len(alphabet), order=order)
    theta, hot = learner.init_theta(), jnp.eye(len(alphabet))
    places = jnp.asarray([alphabet.index(c) for c in text])

    def step(state, pair):
        return learner.step(theta, state, hot[pair[0]], Teaching(hot[pair[1]], 1.0, 0.0, 1.0))[
            0
        ], ()

    birth = learner.init(jax.random.key(0))
    return learner, theta, jax.lax.scan(step, birth, (places[:-1], places[1:]))[0], alphabet


def test_sampling_goes_on_with_what_was_read():
    learner, theta, state, alphabet = counted("abcd" * 10)
    text = sample_text(learner, theta, state, "ab", 7, 0.0, jax.random.key(0), alphabet)
    assert text == "cdabcda"
    assert sample_text(learner, theta, state, "", 0, 0.0, jax.random.key(0), alphabet) == ""
    assert len(sample_text(learner, theta, state, "", 3, 1.0, jax.random.key(0), alphabet)) == 3


@pytest.mark.parametrize(
    ("learner", "does"),
    [
        (PPM(5, 5), "hears 5"),
        (PPM(3, 5), "predicts 5"),
        (OnlineRNN(5, 5, width=2), "hears 5"),
        (OnlineNGram(3, 5), "predicts 5"),
    ],
)
def test_an_alphabet_of_another_size_is_refused(learner, does):
    theta, key = learner.init_theta(), jax.random.key(0)
    state = learner.begin() if isinstance(learner, PPM) else learner.init(key)
    with pytest.raises(ValueError, match=f"{does} symbols, the alphabet has 3"):
        sample_text(learner, theta, state, "a", 3, 1.0, key, "abc")


def test_a_deep_memory_speaks_too():
    learner = PlasticMemoryLearner(2, 2, letters="ab", boundary=0)
    living = learner.begin()
    for length in range(200):  # each sample lies above the one before
        living.memory.observe("b" * length)
    before = living.to_json()
    assert len(sample_text(learner, (), living, "b", 3, 1.0, jax.random.key(0), "ab")) == 3
    assert living.to_json() == before
    again = copy.deepcopy(living)
    again.memory.observe("b")
    assert living.to_json() == before != again.to_json()


def test_sampling_again_compiles_nothing():
    learner, theta, state, alphabet = counted("abcd" * 10, order=2)
    for prefix, temperature in (("a", 1.0), ("b", 0.5)):
        sample_text(learner, theta, state, prefix, 4, temperature, jax.random.key(0), alphabet)
    assert generation._kept_sampler(learner, 4, greedy=False)._cache_size() == 1


def test_temperature_sharpens_what_is_drawn():
    """After a comes b in three cases of four; p ~ p^(1 / temperature), within 5 standard errors."""
    learner, theta, state, alphabet = counted("abababac" * 50, order=2)
    logits = learner.step(theta, state, jnp.eye(3)[0], Teaching(jnp.zeros(3), 0.0, 0.0, 0.0))[1]
    for temperature in (0.5, 2.0):
        text = sample_text(
            learner, theta, state, "b", 800, temperature, jax.random.key(1), alphabet
        )
        after = [b for a, b in zip(text, text[1:], strict=False) if a == "a"]
        expected = float(jax.nn.softmax(logits / temperature)[1])
        error = (expected * (1 - expected) / len(after)) ** 0.5
        assert abs(after.count("b") / len(after) - expected) < 5 * error


@pytest.mark.slow
def test_a_network_speaks_without_learning():
    task = Caesar(symbols=20)
    learner = OnlineRNN.for_spec(task.spec, width=4, window=2, cell="elman")
    theta = learner.init_theta()
    state = learner.init(jax.random.key(0))
    # Had it learned from what it said, a window would have been full by the third character.
    keys, symbols = jax.random.key(1), task.spec.symbols
    text = sample_text(learner, theta, state, "abc", 9, 0.0, keys, symbols)
    activity = state.activity
    expected = "abc"
    for place in range(3 + 9 - 1):
        stimulus = jnp.eye(26)[symbols.index(expected[place])]
        activity, logits = learner.predict(state.weight, activity, stimulus)
        if place >= 2:
            expected += symbols[int(logits.argmax())]
    assert text == expected[3:]


def test_what_cannot_be_spoken_is_refused():
    learner, theta, state, alphabet = counted("abcd" * 3)
    sample = lambda **c: sample_text(  # noqa: E731
        **(
            {
                "learner": learner,
                "theta": theta,
                "state": state,
                "prefix": "a",
                "length": 3,
                "temperature": 1.0,
                "key": jax.random.key(0),
                "alphabet": alphabet,
            }
            | c
        )
    )
    for choices, named in (
        ({"prefix": "ax"}, "not in the alphabet"),
        ({"alphabet": ("a", "bc")}, "single characters"),
        ({"alphabet": ("a", "a")}, "single characters"),
        ({"alphabet": ("a", "b", "c")}, "hears 4 symbols, the alphabet has 3"),
        ({"length": -1}, "length"),
        ({"temperature": -1.0}, "temperature"),
    ):
        with pytest.raises(ValueError, match=named):
            sample(**choices)
