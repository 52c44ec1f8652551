"""Prediction by partial matching: against a transcription, a worked example, and what it learns."""

from __future__ import annotations

import collections
import itertools
import json
import math

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given

from loopymeta import data, tasks
from loopymeta.checkpoint import CheckpointError
from loopymeta.learners import PPM, HostLearner
from loopymeta.testing import check_learner


def slow_ppm(stream, num_symbols, order, counting):
    """Probabilities [T, O] of all but the first symbol, from fractions and whole histories."""
    counts = collections.defaultdict(collections.Counter)
    rows = []
    for at in range(1, len(stream)):
        history, target = tuple(stream[:at]), stream[at]
        contexts = [history[at - k :] for k in range(min(order, at), -1, -1)]
        p, escaped, excluded = {}, 1.0, set()
        for context in contexts:
            seen = counts[context]
            left = {w: c for w, c in seen.items() if w not in excluded}
            kinds = len(seen)
            if excluded | set(left) == set(range(num_symbols)):
                kinds = 0
            for w, c in left.items():
                p[w] = escaped * c / (sum(left.values()) + kinds)
            if seen:
                together = sum(left.values()) + kinds
                escaped *= kinds / together if together else 1.0
            excluded |= set(left)
        rest = [w for w in range(num_symbols) if w not in p]
        p |= {w: escaped / len(rest) for w in rest}
        rows.append([p[w] for w in range(num_symbols)])
        for context in contexts:
            new = target not in counts[context]
            counts[context][target] += 1
            if counting == "single" and not new:
                break
    return np.array(rows)


def live(model, stream):
    """Probabilities [T, O] of all but the first symbol, and who lived."""
    living, rows = model.begin(), []
    for stimulus, target in itertools.pairwise(stream):
        rows.append(np.exp(living.predict(stimulus)))
        living.teach(target)
    return np.array(rows), living


@given(
    st.lists(st.integers(0, 2), min_size=2, max_size=40),
    st.integers(0, 4),
    st.sampled_from(["all", "single"]),
)
def test_it_is_what_the_transcription_is(stream, order, counting):
    found, _ = live(PPM(3, 3, order, counting), stream)
    np.testing.assert_allclose(found, slow_ppm(stream, 3, order, counting), rtol=1e-9)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)


def test_abracadabra():
    """The example of Cleary and Teahan (1997): order 2, method C, after "abracadabra"."""
    symbols = "abcdrt"
    # An input that no context holds is put before, so that the first a counts as a target, too.
    model = PPM(7, 6, order=2, counting="all")
    living = model.begin()
    letters = [symbols.index(letter) for letter in "abracadabra"]
    for stimulus, target in itertools.pairwise([6, *letters]):
        living.predict(stimulus)
        living.teach(target)
    p = dict(zip(symbols, np.exp(living.predict(letters[-1])), strict=True))
    assert p["c"] == pytest.approx(1 / 2)
    assert p["d"] == pytest.approx(1 / 2 * 1 / 6)
    assert p["t"] == pytest.approx(1 / 2 * 3 / 6 * 5 / 12)
    assert sum(p.values()) == pytest.approx(1)


def test_a_boundary_hides_what_lies_behind_it():
    """Whatever came before the boundary, the prediction after it is the same."""
    model = PPM(4, 4, order=3, boundary=0)
    rows, living = live(model, [0, 1, 2, 0, 3, 2, 0, 1])
    assert all("\1" not in context[1:] for context in living._counts)
    blind, sighted = (live(m, [0, 1, 0, 1, 2, 0, 1, 0, 1]) for m in (model, PPM(4, 4, order=3)))
    assert not np.allclose(blind[0][-1], sighted[0][-1])


def test_it_predicts_names_better_than_their_letters_alone():
    names = data.read_text("names").splitlines()[:300]
    task = tasks.Names(symbols=500)
    stream = [0, *task.encode("".join(name + "." for name in names)).tolist()]
    rows, _ = live(PPM(27, 27, boundary=0), stream)
    nats = -np.log(rows[np.arange(len(rows)), stream[1:]])
    shares = np.bincount(stream[1:]) / len(nats)
    shares = shares[shares > 0]
    assert nats.mean() < -(shares * np.log(shares)).sum()  # which has seen all of them


def test_the_contract_of_a_learner():
    task = tasks.Caesar(symbols=60)
    learner = PPM.for_task(task, order=2)
    assert isinstance(learner, HostLearner) and learner.boundary is None
    assert jax.tree.leaves((learner.init_theta(), learner.space())) == []
    check_learner(learner, task)
    assert PPM.for_task(tasks.Names(symbols=100)).boundary == 0


def test_it_goes_on_from_json():
    model = PPM(3, 3)
    _, living = live(model, [0, 1, 2, 0, 1])
    again = model.resume((), living.to_json())
    assert again.to_json() == living.to_json()
    for bad in ({}, {"context": "", "counts": 3}, {"context": "", "counts": {"a": [1]}}, None):
        with pytest.raises(CheckpointError, match="no table of contexts"):
            model.resume((), bad)


def test_it_refuses_what_cannot_be():
    for bad in ({"order": -1}, {"num_inputs": 0}, {"counting": "none"}, {"boundary": 3}):
        with pytest.raises(ValueError):
            PPM(**({"num_inputs": 3, "num_outputs": 3} | bad))
    with pytest.raises(ValueError, match="those of Henon are vectors"):
        PPM.for_task(tasks.Henon(symbols=10))


def test_the_last_letter_survives_json():
    model = PPM(0xD7FF, 2)
    living = model.begin()
    living.predict(0xD7FE)
    living.teach(1)
    again = model.resume((), json.loads(json.dumps(living.to_json()).encode()))
    assert again.to_json() == living.to_json()
    with pytest.raises(ValueError, match="55295 stimuli"):
        PPM(0xD800, 2)


def test_untaught_targets_are_not_counted():
    living = PPM(2, 2).begin()
    for _ in range(5):
        p = living.predict(0)
        living.teach(None)
    np.testing.assert_allclose(p, math.log(1 / 2))


def test_the_default_is_the_counting_that_predicts_names_best():
    assert PPM(2, 2).counting == "all"  # docs/names.md, docs/plastic_memory.md
