"""Plastic memory: the graph against a transcription of the algorithm, and all that is built on it."""

from __future__ import annotations

import collections
import copy
import csv
import dataclasses
import hashlib
import html
import io
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest
from hypothesis import given

from loopymeta import data, tasks
from loopymeta.checkpoint import CheckpointError
from loopymeta.learners import (
    PlasticMemory,
    PlasticMemoryLearner,
    live_on_host,
    plastic_memory_plots,
)
from loopymeta.learners.plastic_memory import UNSEEN, _continues
from loopymeta.tasks.base import Spec, stream_episode
from loopymeta.testing import check_learner

ALL = ("prefix", "suffix", "infix")


# --- the oracle: the algorithm, word by word -----------------------------------------------------


class Naive:
    """A graph that is searched level by level; quadratic."""

    def __init__(self):
        self.count, self.level, self.out, self.into = {}, {}, {}, {}

    def add(self, pattern, count, level):
        self.count[pattern], self.level[pattern] = count, level
        self.out[pattern], self.into[pattern] = set(), set()

    def connect(self, a, b):
        if a != b:
            self.out[a].add(b)
            self.into[b].add(a)

    def at(self, level):
        return [pattern for pattern in self.level if self.level[pattern] == level]

    def observe(self, s):
        if not self.level:
            self.add(s, 1, 0)
            return
        for level in range(max(self.level.values()), -1, -1):
            groups = collections.defaultdict(list)
            for pattern in self.at(level):
                same = 0
                while same < min(len(pattern), len(s)) and pattern[same] == s[same]:
                    same += 1
                groups[same].append(pattern)
            longest = max(groups)
            p, matched = s[:longest], groups[longest]
            lower = self.at(level - 1)
            below = [pattern for pattern in lower if pattern in p]
            if below or not lower:
                self.insert(s, p, matched, level - 1, below)
                return
        raise AssertionError("the search never ends")

    def insert(self, s, p, matched, r, below):
        for b in below:
            for pattern in [x for x in self.out[b] if p in x]:
                self.out[b].remove(pattern)
                self.into[pattern].remove(b)
        new = p not in self.level
        if new:
            self.add(p, 1, r)
        if s not in self.level:
            self.add(s, 0, r + 1)
        self.connect(p, s)
        for pattern in matched:
            self.connect(p, pattern)
        for b in below:
            self.connect(b, p)
        if new:
            self.walk(p, self.out, self.level)
        self.walk(s, self.into, self.count)

    def walk(self, pattern, along, number):
        number[pattern] += 1
        for other in along[pattern]:
            self.walk(other, along, number)

    def nodes(self):
        return {p: (self.count[p], self.level[p]) for p in self.count}

    def edges(self):
        return {(a, b) for a, found in self.out.items() for b in found}


def naive(samples):
    graph = Naive()
    for sample in samples:
        graph.observe(f">{sample}_")
    return graph


def memory_of(samples, *args, **choices):
    memory = PlasticMemory(*args, **choices)
    for sample in samples:
        memory.observe(sample)
    return memory


def nodes(memory):
    return {p.pattern: (p.count, p.level) for p in memory.patterns()}


def same_graph(samples):
    graph, memory = naive(samples), memory_of(samples)
    assert nodes(memory) == graph.nodes()
    edges = memory.edges()
    assert set(edges) == graph.edges() and len(edges) == len(set(edges))


def figures(nodes, num_edges):
    counts, levels = zip(*nodes.values(), strict=True)
    return len(nodes), num_edges, sum(counts), dict(sorted(collections.Counter(levels).items()))


@pytest.fixture(scope="module")
def names():
    return data.read_text("names").splitlines()


FIGURES = {
    40: (58, 57, 130, {0: 1, 1: 15, 2: 25, 3: 15, 4: 2}),
    500: (766, 765, 2336, {0: 1, 1: 25, 2: 115, 3: 277, 4: 215, 5: 111, 6: 20, 7: 2}),
}


@pytest.mark.parametrize("num", FIGURES)
def test_the_known_figures(num, names):
    graph, memory = naive(names[:num]), memory_of(names[:num])
    assert figures(graph.nodes(), len(graph.edges())) == FIGURES[num]
    found = memory.to_networkx()
    shown = {name: (node["count"], node["level"]) for name, node in found.nodes.items()}
    assert figures(shown, found.number_of_edges()) == FIGURES[num]


def test_the_graph_of_names_is_that_of_the_algorithm(names):
    same_graph(names[:500])


@pytest.mark.slow
def test_the_graph_of_many_names_is_that_of_the_algorithm(names):
    same_graph(names[:4000])


@given(st.lists(st.text(st.sampled_from("abé☃"), max_size=6), max_size=25))
def test_the_graph_of_any_samples_is_that_of_the_algorithm(samples):
    same_graph(samples)


@pytest.mark.parametrize(
    "samples",
    [["a", "a", "a"], ["a", "ab", "abc", "ab"], ["", "a", ""], ["abc", "ab", "a"], []],
)
def test_duplicates_and_prefixes_of_one_another(samples):
    same_graph(samples)


class Watched(str):
    """A string that counts the symbols that it is asked to begin with."""

    asked = 0

    def startswith(self, prefix, start=0):
        self.asked += len(prefix)
        return super().startswith(prefix, start)


def test_a_sample_costs_its_own_length():
    memory = memory_of("a" * k for k in range(200))
    tree = memory._trees["prefix"]
    for sample in (">" + "a" * 150 + "_", ">" + "a" * 250 + "_", ">" + "a" * 150):
        for act in (tree.find, lambda sample: tree.add(sample, 1)):
            watched = Watched(sample)
            act(watched)
            assert 0 < watched.asked <= len(sample)


ALL_NAMES = "ec919a3b88408db1750d1d6ed8e98e19c0b263abd4e43df44c9ce9c6ae5be671"
"""SHA-256 of the JSON of all patterns (with counts and levels) and all edges, each sorted."""


def test_what_are_no_samples_is_refused_whole():
    memory = PlasticMemory()
    for wrong in ("emma", 5, ["bo", 3]):
        with pytest.raises(TypeError):
            memory.prequential(wrong)
    assert not memory.samples()
    memory.observe("emma")
    for seed in ("a", 1.5, -1, float("nan")):
        with pytest.raises((TypeError, ValueError), match="seed"):
            memory.complete("e", seed=seed)


def test_all_names_fit(names):
    """The numbers of nodes and edges are those of an independent transcription in C++."""
    memory = memory_of(names)
    patterns, edges = sorted(memory.patterns()), sorted(memory.edges())
    assert (len(patterns), len(edges)) == (42_755, 42_754)
    assert hashlib.sha256(json.dumps([patterns, edges]).encode()).hexdigest() == ALL_NAMES
    graph = memory.to_networkx()
    assert networkx.is_arborescence(graph)
    assert {name for name in graph if name.endswith("_")} == {f">{name}_" for name in names}


def test_marks_may_be_there_already():
    assert nodes(memory_of([">ab_", "ac"])) == nodes(memory_of(["ab", "ac"]))
    other = memory_of(["a>b"], start="^", end="$")
    assert [node.pattern for node in other.patterns()] == ["^a>b$"]


# --- de-potentiation -----------------------------------------------------------------------------


WORDS = st.lists(st.text(st.sampled_from("ab"), max_size=4), max_size=12)


@given(WORDS, st.text(st.sampled_from("ab"), max_size=4), st.sampled_from([1, 2, 0.25]))
def test_what_is_given_can_be_taken_back(samples, sample, amount):
    for share in (("prefix",), ALL):
        memory = memory_of(samples, share)
        memory.next_symbol()
        before, edges, p = nodes(memory), set(memory.edges()), memory.next_symbol("a")
        memory.observe(sample, amount)
        memory.observe(sample, -amount)
        assert nodes(memory) == before and set(memory.edges()) == edges
        assert memory.next_symbol("a") == pytest.approx(p, abs=1e-12)


def test_fractions_add_up():
    memory = memory_of(["ab", "ac"])
    for _ in range(3):
        memory.observe("ab", 0.1)
    memory.observe("ab", -0.3)
    assert nodes(memory)[">ab_"][0] == pytest.approx(1)
    memory.observe("ab", -0.5)
    assert nodes(memory)[">ab_"][0] == pytest.approx(0.5)
    assert nodes(memory)[">a"][0] == pytest.approx(1.5)


def test_amounts_of_numpy_are_numbers(tmp_path):
    memory = PlasticMemory()
    memory.observe("ab", np.int64(2))
    memory.observe("ac", np.float32(0.5))
    memory.save(tmp_path / "memory.json")
    assert PlasticMemory.load(tmp_path / "memory.json").samples() == {">ab_": 2, ">ac_": 0.5}


def test_what_reaches_zero_is_forgotten():
    memory = memory_of(["ab", "ac"])
    memory.observe("ab", -7)  # more than is there
    assert nodes(memory) == {">ac_": (1, 0)}
    memory.observe("zz", -1)  # never known
    assert nodes(memory) == {">ac_": (1, 0)}
    memory.observe("ac", -1)
    assert nodes(memory) == {} and memory.complete() is None
    memory.observe("ab")
    assert nodes(memory) == {">ab_": (1, 0)}


def test_no_count_falls_under_zero():
    memory = memory_of(["ab"] * 5 + ["ac"])
    assert nodes(memory)[">a"][0] == 2
    memory.observe("ab", -4)
    assert nodes(memory) == {">a": (0, 0), ">ab_": (1, 1), ">ac_": (1, 1)}


@pytest.mark.parametrize("share", [("prefix",), ALL])
def test_what_can_be_observed_can_be_read_again(share, tmp_path):
    """However much, however little, and whatever sums of fractions come to."""
    memory = memory_of(["", "ac"], share)
    for sample, amount in (
        *(("ab", 1e100),) * 3,
        ("a\rc", 5e-324),
        ("cb", 0.1),
        ("ab", -1e100),
        ("eb", 1e16),
        ("fb", 1),
        ("eb", -1e16),
        ("cb", -0.1),
        ("ab", -1e100),
    ):
        memory.observe(sample, amount)
        memory.save(tmp_path / "memory.json")
        again = PlasticMemory.load(tmp_path / "memory.json")
        assert nodes(again) == nodes(memory) and again.edges() == memory.edges()
    assert set(again.samples()) == {">ac_", ">_", ">a\rc_", ">ab_", ">fb_"}
    for each in (memory, again, copy.deepcopy(again)):
        for sample in ("ab", "ab", "fb", "ac", "", "a\rc"):
            each.observe(sample, -1e100)
        assert nodes(each) == {} and not each._ends


def test_a_negative_amount_of_what_is_unknown_does_nothing():
    memory = memory_of(["ab", "ac"], ALL)
    before = memory.to_json()
    for sample in ("a", "abc", "zz", ""):
        memory.observe(sample, -2)
    assert memory.to_json() == before


# --- prediction ----------------------------------------------------------------------------------


@given(WORDS, st.text(st.sampled_from("abc"), max_size=7), st.booleans())
def test_probabilities_sum_to_one(samples, context, given_alphabet):
    memory = memory_of(samples, alphabet="abc" if given_alphabet else None)
    for each in (context, ">" + context):
        p = memory.next_symbol(each)
        assert math.fsum(p.values()) == pytest.approx(1, abs=1e-12)
        assert min(p.values()) > 0
        assert set(p) == {*"abc", "_"} if given_alphabet else UNSEEN in p


def test_a_worked_distribution():
    """Counts: b 3, a 2, end 2; after b: a 2, end 1; after ab: end 1. Each with D = 1/2."""
    memory = memory_of(["bab", "ba"], alphabet="ab", order=2, discount=0.5)
    freed = 1.5
    empty = {w: (c - 0.5 + freed / 3) / 7 for w, c in {"b": 3, "a": 2, "_": 2}.items()}
    b = {w: (c + 1.0 * empty[w]) / 3 for w, c in {"a": 1.5, "_": 0.5, "b": 0}.items()}
    ab = {w: c + 0.5 * b[w] for w, c in {"a": 0, "_": 0.5, "b": 0}.items()}
    for context, wanted in {"": empty, "b": b, "ab": ab, "bab": ab, "bb": b}.items():
        assert memory.next_symbol(context) == pytest.approx(wanted)


def test_what_a_graph_predicts_worked_out():
    """`>ab_` came twice before `>a` was split off, with count 1: `>a` has 2 of 3, and so has `a`."""
    memory = memory_of(
        ["ab", "ab", "ac"],
        ("prefix", "infix"),
        counts="graph",
        alphabet="abc",
        order=1,
        discount=0.5,
    )
    counted = {
        ">": {"a": 2},
        ">a": {"b": 2, "c": 1},
        ">ab": {"_": 2},
        "a": {"b": 2, "c": 1},
        "b": {"_": 2},
        "": {"a": 2, "b": 2, "c": 1},  # by the samples a has 3
    }

    def mixed(*contexts):
        p = dict.fromkeys("abc_", 1 / 4)
        for counts in (counted[context] for context in contexts[::-1]):
            total, kinds = sum(counts.values()), len(counts)
            p = {w: (max(counts.get(w, 0) - 0.5, 0) + 0.5 * kinds * p[w]) / total for w in p}
        return p

    for context, used in {
        "": ("",),
        ">": (">", ""),
        ">a": (">a", "a", ""),
        ">ab": (">ab", "b", ""),
        "ca": ("a", ""),
        ">cb": ("b", ""),  # nothing began so
    }.items():
        assert memory.next_symbol(context) == pytest.approx(mixed(*used)), context


@given(WORDS, st.text(st.sampled_from("abc"), max_size=7), st.booleans())
def test_what_a_graph_predicts_sums_to_one(samples, context, infixes):
    share = ("prefix", "infix") if infixes else ("prefix",)
    memory = memory_of(samples, share, counts="graph")
    memory.observe("ab", -1)
    for each in (context, ">" + context):
        p = memory.next_symbol(each)
        assert math.fsum(p.values()) == pytest.approx(1, abs=1e-12) and min(p.values()) > 0


def test_only_the_graph_predicts_from_the_graph(names):
    """Counts of samples predict the same whatever is shared, in whatever order the samples came."""
    chosen, letters = names[:200], "abcdefghijklmnopqrstuvwxyz"

    def predicted(samples, **choices):
        return memory_of(samples, alphabet=letters, **choices).nats("annabel")

    plain = predicted(chosen)
    assert predicted(chosen[::-1]) == plain == predicted(chosen, share=ALL)
    by_graph = predicted(chosen, counts="graph", share=("prefix", "infix"))
    assert by_graph != plain and by_graph != predicted(chosen, counts="graph")
    backwards = predicted(chosen[::-1], counts="graph", share=("prefix", "infix"))
    assert backwards != pytest.approx(by_graph)


def test_without_context_it_counts_symbols():
    memory = memory_of(["aab", "a"], alphabet="abc", order=0, discount=0.5)
    freed = 3 * 0.5 / 4
    for context in ("", "a", ">aa", "c"):
        p = {w: (max(c - 0.5, 0) + freed) / 6 for w, c in {"a": 3, "b": 1, "c": 0, "_": 2}.items()}
        assert memory.next_symbol(context) == pytest.approx(p)


def test_it_predicts_names_better_than_their_letters_alone(names):
    chosen, letters = names[:400], "abcdefghijklmnopqrstuvwxyz"
    memory = PlasticMemory(alphabet=letters)
    losses = memory.prequential(chosen)
    text = "".join(f"{name}_" for name in chosen)
    assert len(losses) == len(text) and np.isfinite(losses).all()
    shares = np.array(list(collections.Counter(text).values())) / len(text)
    assert losses.mean() < -(shares * np.log(shares)).sum()
    again = [nats for name in chosen for nats in memory.nats(name)]
    assert np.mean(again) < 0.6 * losses.mean()


def test_counts_kept_up_are_counts_made_at_once(names):
    early = PlasticMemory()
    early.next_symbol()
    for name in names[:50]:
        early.observe(name)
    late = memory_of(names[:50])
    for context in (">a", "an", ">emm", "q", ""):
        assert early.next_symbol(context) == late.next_symbol(context)


# --- completion ----------------------------------------------------------------------------------


def test_completion_follows_the_counts():
    memory = memory_of(["emma", "emma", "emily", "ava"])
    assert memory.complete("em") == memory.complete(">em") == ">emma_"
    assert memory.complete("emi") == ">emily_"
    assert memory.complete("x") is None
    steps = memory.steps("e")
    assert [step.pattern for step in steps] == [">em", ">emma_"]
    assert steps[0].options == (">emma_", ">emily_") and steps[0].counts == (2, 1)
    assert steps[0].taken == 0 and steps[1].taken is None


def test_a_whole_sample_completes_to_itself():
    for share in (("prefix",), ALL):
        memory = memory_of(["emma", "ava"], share)
        assert memory.complete(">emma_") == memory.complete("emma_") == ">emma_"
        assert memory.complete("em_") is None
        with pytest.raises(ValueError, match="'_' at the end only"):
            memory.complete("em_a")


def test_drawn_completions_come_in_proportion():
    memory = memory_of(["aa"] * 3 + ["ab"])
    drawn = [memory.complete("a", seed=seed) for seed in range(400)]
    share = drawn.count(">aa_") / 400
    assert abs(share - 0.75) < 5 * math.sqrt(0.75 * 0.25 / 400)
    assert memory.complete("a", seed=3) == memory.complete("a", seed=3)


# --- suffixes and infixes ------------------------------------------------------------------------


def test_shared_suffixes_and_infixes_are_patterns_below_their_samples():
    samples = ["talking", "walking", "xkinz"]
    graph = memory_of(samples, ALL).to_networkx()
    assert set(graph["alking_"]) == {">talking_", ">walking_"}
    assert ">xkinz_" in networkx.descendants(graph, "kin")
    assert {">talking_", ">walking_"} <= networkx.descendants(graph, "kin")
    assert "alking_" not in memory_of(samples)._union()[0]
    for a, b in graph.edges:
        assert a in b and a != b and graph.nodes[a]["level"] < graph.nodes[b]["level"]


@given(WORDS)
def test_every_shared_part_leads_to_the_samples_that_have_it(samples):
    memory = memory_of(samples, ALL)
    graph = memory.to_networkx()
    plain = memory_of(samples).to_networkx()
    assert set(plain) <= set(graph) and set(plain.edges) <= set(graph.edges)
    for name in plain:
        assert graph.nodes[name]["count"] == plain.nodes[name]["count"]
    for name in set(graph) - set(plain):
        samples = [x for x in graph if x[0] == ">" and x[-1] == "_"]
        holders = {x for x in samples if name in x}
        assert networkx.descendants(graph, name) & set(samples) <= holders
        places = sum(x.startswith(name, at) for x in holders for at in range(len(x)))
        assert places > 1 and networkx.descendants(graph, name) & set(samples)


def test_infixes_complete_what_was_never_begun_so():
    samples = ["hanna", "joanna"]
    assert memory_of(samples).complete("zann") is None
    assert memory_of(samples, ("prefix", "infix")).complete("zann") == ">zanna_"


# --- out and in ----------------------------------------------------------------------------------


def some(counts="samples"):
    samples = ["emma", "emily", "ava", 'a"\\b,\nc', "a\rb", "1"]
    return memory_of(samples, ALL, counts=counts, order=3, discount=0.5)


def test_a_memory_says_how_much_it_holds():
    memory = PlasticMemory()
    assert repr(memory) == "<PlasticMemory: 0 patterns of 0 samples, observed 0 times>"
    for name in ("emma", "emily", "ava", "emma"):
        memory.observe(name)
    memory.observe("ava", 0.5)
    assert repr(memory) == "<PlasticMemory: 5 patterns of 3 samples, observed 4.5 times>"


def test_csv_and_dot():
    memory = some()
    nodes_csv, edges_csv = memory.to_csv()
    rows = list(csv.DictReader(io.StringIO(nodes_csv, newline="")))
    assert [(r["pattern"], int(r["count"]), int(r["level"])) for r in rows] == [
        tuple(p) for p in memory.patterns()
    ]
    rows = list(csv.DictReader(io.StringIO(edges_csv, newline="")))
    assert [(r["from"], r["to"]) for r in rows] == memory.edges()
    dot = memory.to_dot()
    assert dot.count(" -> ") == len(memory.edges())
    assert '">a\\"\\\\b,\\nc_\\n1"' in dot and '">a\\rb_\\n1"' in dot
    assert "\r" not in dot and dot.count("\n") == 3 + len(memory.patterns()) + len(memory.edges())


@pytest.mark.parametrize("counts", ["samples", "graph"])
def test_save_and_load(counts, tmp_path):
    memory = some(counts)
    memory.observe("ava", 0.5)
    memory.save(tmp_path / "memory.json")
    again = PlasticMemory.load(tmp_path / "memory.json")
    assert again.to_json() == memory.to_json()
    for each in (memory, again):
        each.observe("amma")
        each.observe("emily", -1)
    assert nodes(again) == nodes(memory) and again.edges() == memory.edges()
    assert again.next_symbol("m") == memory.next_symbol("m")
    assert again.steps("e", seed=1) == memory.steps("e", seed=1)


def broken(change):
    """The JSON of a memory after ``change``."""
    stored = json.loads(json.dumps(some().to_json()))
    change(stored)
    return stored


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("trees"),
        lambda s: s.update(share=["suffix"]),
        lambda s: s.update(more=1),
        lambda s: s["trees"]["prefix"].pop(),
        lambda s: s["trees"]["prefix"][1].__setitem__(0, 7),
        lambda s: s["trees"]["prefix"][1].__setitem__(1, -1),
        lambda s: s["trees"]["prefix"][1].__setitem__(2, 5),
        lambda s: s["trees"]["prefix"][2].__setitem__(0, "x"),
        lambda s: next(x for x in s["trees"]["prefix"] if x[0] == ">ava_").__setitem__(1, 0),
        lambda s: s["trees"].update(suffix=[]),
        lambda s: s.update(trees=3),
    ],
)
def test_json_that_no_memory_wrote_is_refused(change):
    with pytest.raises(CheckpointError, match="no plastic memory"):
        PlasticMemory.from_json(broken(change))


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "memory.json"
    some().save(path)
    content = path.read_bytes()
    for bad, what in (
        (content[:-30], "not whole"),
        (content.replace(b"emma", b"enna"), "SHA-256"),
        (b"{}", "no file of the kind"),
    ):
        path.write_bytes(bad)
        with pytest.raises(CheckpointError, match=what):
            PlasticMemory.load(path)
    with pytest.raises(CheckpointError, match="cannot read"):
        PlasticMemory.load(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("act", "kind", "what"),
    [
        (lambda m: m.observe(3), TypeError, "must be a string"),
        (lambda m: m.observe("a>b"), ValueError, "has the mark '>' inside"),
        (lambda m: m.observe("a_b"), ValueError, "has the mark '_' inside"),
        (lambda m: m.observe("a", float("nan")), ValueError, "amount"),
        (lambda m: m.observe("a", float("inf")), ValueError, "amount"),
        (lambda m: m.observe("a", "1"), TypeError, "amount"),
        (lambda m: m.observe("a", 1e101), ValueError, "amount must lie between -1e.100 and 1e.100"),
        (lambda m: m.next_symbol("a_"), ValueError, "mark inside: nothing follows the end mark"),
        (lambda m: m.next_symbol("a>"), ValueError, "mark inside: '>' may stand in front only"),
        (lambda m: m.complete(2), TypeError, "must be a string"),
        (lambda m: PlasticMemory(alphabet="ab").observe("abc"), ValueError, "not in the alphabet"),
        (lambda m: PlasticMemory("prefix"), TypeError, "tuple of words"),
        (lambda m: PlasticMemory(("prefix", "sufix")), ValueError, "Did you mean 'suffix'"),
        (lambda m: PlasticMemory(("suffix",)), ValueError, "must have 'prefix'"),
        (lambda m: PlasticMemory(start="_"), ValueError, "must differ"),
        (lambda m: PlasticMemory(end="__"), ValueError, "one symbol"),
        (lambda m: PlasticMemory(discount=0), ValueError, "discount"),
        (lambda m: PlasticMemory(alphabet=["ab"]), ValueError, "single symbols"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_lost(act, kind, what):
    memory = some()
    before = memory.to_json()
    with pytest.raises(kind, match=what):
        act(memory)
    assert memory.to_json() == before


# --- as a learner --------------------------------------------------------------------------------


CODE = tasks.Caesar(symbols=60)


def test_the_contract_of_a_learner():
    coded = PlasticMemoryLearner.for_task(CODE, window=4, order=2)
    assert not coded.continues
    check_learner(coded, CODE)
    check_learner(dataclasses.replace(coded, continues=True, order=3), CODE)
    check_learner(dataclasses.replace(coded, counts="graph", share=("prefix", "infix")), CODE)


class Given:
    """A task of one stream, of which something may not be taught."""

    def __init__(self, untaught=(), frozen=()):
        self.spec = Spec(3, 3, 40)
        at = np.arange(40)
        self.episode = stream_episode(
            jnp.asarray(at % 3),
            jnp.asarray((at + 1) % 3),
            taught=jnp.asarray(~np.isin(at, untaught)),
            frozen=jnp.asarray(np.isin(at, frozen)),
        )

    def sample(self, key):
        return self.episode


def test_streams_that_go_on_are_told_from_others():
    assert _continues(Given()) and _continues(Given(untaught=[7], frozen=[7]))
    assert not _continues(Given(untaught=[7]))
    assert not _continues(CODE)


def test_it_learns_what_goes_with_what():
    loss, metrics = live_on_host(PlasticMemoryLearner.for_task(CODE), CODE, jax.random.key(0))
    assert float(loss) < 0.8 * math.log(26)


def live_names(stream, frozen=(), **choices):
    """(the life of) a learner on names as symbols, 0 the boundary; at ``frozen`` none is taught."""
    learner = PlasticMemoryLearner(3, 3, boundary=0, letters=".ab", **choices)
    living = learner.begin()
    for at, (stimulus, target) in enumerate(zip([0, *stream], stream, strict=False)):
        living.predict(stimulus)
        if at not in frozen:
            living.teach(target)
    return living


def test_samples_are_cut_at_the_boundary():
    living = live_names([1, 2, 0, 2, 0, 1])
    assert living.memory.samples() == {">ab_": 1, ">b_": 1}
    p, wanted = np.exp(living.predict(1)), living.memory.next_symbol(">a")
    np.testing.assert_allclose(p / p[0], [wanted[w] / wanted["_"] for w in "_ab"])
    assert p.sum() == pytest.approx(1)


def test_what_came_while_it_was_frozen_is_not_observed():
    stream = [1, 2, 0, 2, 0, 1, 1, 0]
    assert live_names(stream, frozen=(1,)).memory.samples() == {">b_": 1, ">aa_": 1}
    assert live_names(stream, frozen=(0,)).memory.samples() == {">b_": 1, ">aa_": 1}
    assert live_names(stream, frozen=(2,)).memory.samples() == {">b_": 1, ">aa_": 1}
    assert live_names(stream, frozen=range(8)).memory.samples() == {}


def test_windows_overlap_by_the_context():
    learner = PlasticMemoryLearner(3, 3, window=4, order=1)
    living = learner.begin()
    stream = [0, 1, 2, 0, 1, 2, 0, 1, 2]
    for stimulus, target in zip(stream, stream[1:], strict=False):
        living.predict(stimulus)
        living.teach(target)
    a, b, c = (learner.written(k, True) for k in range(3))
    assert living.memory.samples() == {f">{a}{b}{c}{a}_": 2}


def test_a_learner_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="as many of both"):
        PlasticMemoryLearner(2, 3)
    with pytest.raises(ValueError, match="above order"):
        PlasticMemoryLearner(2, 2, window=3)
    with pytest.raises(ValueError, match="boundary is for"):
        PlasticMemoryLearner(2, 2, continues=False, boundary=0)
    with pytest.raises(ValueError, match="those of Henon are vectors"):
        PlasticMemoryLearner.for_task(tasks.Henon(symbols=10))
    with pytest.raises(TypeError, match="letters must be a string, got 5"):
        PlasticMemoryLearner(3, 3, letters=5)  # type: ignore[arg-type]
    for useless in (("prefix", "infix"), ("prefix", "suffix")):
        with pytest.raises(ValueError, match="predicts the same"):
            PlasticMemoryLearner(3, 3, share=useless)
    with pytest.raises(ValueError, match="counts"):
        PlasticMemoryLearner(3, 3, counts="graf")
    with pytest.raises(TypeError, match="share must be a tuple"):
        PlasticMemoryLearner(3, 3, share=["prefix"])  # type: ignore[arg-type]


# --- pictures ------------------------------------------------------------------------------------


NASTY = '</title><script>alert("x")</script> & @DATA@'


def test_a_figure_has_every_pattern_and_its_count(names):
    memory = memory_of(names[:20])
    path = [step.pattern for step in memory.steps("a")]
    axes = plastic_memory_plots.graph_figure(memory, path, "twenty names").axes[0]
    written = collections.Counter(text.get_text() for text in axes.texts)
    for pattern, count, level in memory.patterns():
        assert written[pattern] == 1 and f"level {level}" in written and f"{count:g}" in written
    widths = [patch.get_linewidth() for patch in axes.patches]
    assert len(widths) == len(memory.edges()) and widths.count(2.6) == len(path) - 1


def test_a_figure_brings_out_steps_and_patterns():
    memory = memory_of(["emma", "emily", "ava"], ("prefix", "infix"))

    def drawn(path):
        figure = plastic_memory_plots.graph_figure(memory, path)
        bold = {text.get_text() for text in figure.axes[0].texts if text.get_weight() == "bold"}
        return bold, " ".join(figure.get_supxlabel().split())

    steps = memory.steps("e")
    for path in (steps, [step.pattern for step in steps]):
        bold, said = drawn(path)
        assert bold == {">em", ">emma_"} and "the way from '>em' to '>emma_'" in said
    bold, said = drawn([">ava_", ">em"])
    assert bold == {">ava_", ">em"} and "Orange: '>ava_', '>em'." in said
    assert drawn([])[0] == set() and "Orange" not in drawn(memory.steps("x"))[1]
    with pytest.raises(TypeError, match=r"memory\.steps\('em'\), or a list"):
        drawn("em")
    for path, unknown in (([">em", ">emm"], ">emm"), (memory.steps("zemm"), ">zemma_")):
        with pytest.raises(ValueError, match=f"'{unknown}', which is no pattern"):
            drawn(path)


def test_no_two_patterns_lie_on_one_another(names):
    for share in (("prefix",), ALL):
        memory = memory_of(names[:15], share)
        patterns = {each.pattern: each.level for each in memory.patterns()}
        places = plastic_memory_plots._layout(list(patterns), memory.edges(), patterns)
        assert {name: place[0] for name, place in places.items()} == patterns
        ends = [places[name] for name in memory.samples()]
        assert len({row for _, row in ends}) == len(ends)
        assert all(math.isfinite(row) for _, row in places.values())


def test_a_figure_of_the_steps():
    memory = memory_of(["aa"] * 3 + [f"ab{k}" for k in range(12)] + ["a\nb"])
    axes = plastic_memory_plots.completion_figure(memory.steps("a"), "a").axes[0]
    written = [text.get_text() for text in axes.texts]
    assert ">a" in written and ">aa_" in written
    assert sum(bar.get_height() for bar in axes.patches if bar.get_x() < 0.5) == pytest.approx(1)
    with pytest.raises(ValueError, match="no steps"):
        plastic_memory_plots.completion_figure(memory.steps("x"))
    for other in (memory, "a"):
        with pytest.raises(TypeError, match=r"takes the steps of a completion, memory\.steps"):
            plastic_memory_plots.completion_figure(other)


def test_what_a_figure_cannot_hold_is_refused(names):
    for memory, what in (
        (PlasticMemory(), "the memory is empty"),
        (memory_of(names[:200]), "there are 3"),
    ):
        with pytest.raises(ValueError, match=what):
            plastic_memory_plots.graph_figure(memory)


def test_there_is_no_page_of_nothing(tmp_path):
    with pytest.raises(ValueError, match="the memory is empty"):
        plastic_memory_plots.write_html(PlasticMemory(), tmp_path / "memory.html")
    assert not list(tmp_path.iterdir())


def test_the_page_holds_all_and_asks_for_nothing(tmp_path):
    samples = ["emma", "emily", "</script><b>", "a\u2028b", "a&b"]
    memory = memory_of(samples, ("prefix", "infix"), start="^", end="$")
    file = plastic_memory_plots.write_html(memory, tmp_path / "memory.html", NASTY)
    text = file.read_text("utf-8")
    assert text.count("</script>") == 2 and "<b>" not in text and "<script>alert" not in text
    assert html.escape(NASTY) in text
    assert "default-src 'none'" in text and not re.search(r"https?:|src=|href=|url\(|import", text)
    content = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    patterns = memory.patterns()
    assert content["patterns"] == [each.pattern for each in patterns]
    assert content["counts"] == [each.count for each in patterns]
    edges = zip(content["from"], content["to"], strict=True)
    assert [tuple(content["patterns"][k] for k in edge) for edge in edges] == memory.edges()


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="runs the page's program")


def browsed(memory, folder):
    """What the page of a memory draws and says, and what it finds and tells of ``em``."""
    file = plastic_memory_plots.write_html(memory, folder / "memory.html")
    (folder / "run.js").write_text(BROWSER)
    done = subprocess.run(["node", folder / "run.js", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
def test_the_names_on_the_page_do_not_cover_one_another(names, tmp_path):
    drawn = collections.defaultdict(list)
    patterns = memory_of(names[:300], ALL)
    known = {each.pattern: each.level for each in patterns.patterns()}
    for text, _, y in browsed(patterns, tmp_path)["drawn"]:
        if text in known:
            drawn[known[text]].append(y)
    assert sum(map(len, drawn.values())) > 50
    assert min(np.diff(sorted(rows)).min() for rows in drawn.values() if len(rows) > 1) >= 14


@needs_node
def test_the_program_of_the_page_runs(tmp_path):
    said = browsed(memory_of(["emma", "emily"]), tmp_path)
    assert said["about"] == "3 patterns, 2 edges, 2 levels"
    assert {">em", ">emma_", ">emily_"} <= {text for text, *_ in said["drawn"]}
    assert said["found"] == ["3 found", ">em2", ">emma_1", ">emily_1"]
    assert said["told"] == [
        "Chosen",
        ">em",
        "count 2, level 0",
        "Leads to",
        ">emma_50.0 %",
        ">emily_50.0 %",
    ]


BROWSER = """
const page = require("fs").readFileSync(process.argv[2], "utf8");
const data = page.match(/id="data">(.*?)<\\/script>/s)[1];
const program = page.match(/<script>\\n(.*?)<\\/script>/s)[1];
const drawn = [];
const pen = new Proxy({}, { set: () => true, get: (_, name) => name === "measureText"
  ? text => ({ width: text.length }) : (...a) => { if (name === "fillText") drawn.push(a); } });
const element = id => ({ textContent: id === "data" ? data : "", children: [],
  append(...more) { this.children.push(...more); }, replaceChildren() { this.children = []; },
  getContext: () => pen, addEventListener() {},
  getBoundingClientRect: () => ({ left: 0, top: 0, width: 900, height: 600 }) });
const all = {};
globalThis.document = { getElementById: id => all[id] ??= element(id), createElement: element };
globalThis.window = {};
const frames = [];
globalThis.requestAnimationFrame = frame => frames.push(frame);
(0, eval)(program);
frames.forEach(frame => frame());
const texts = box => box.children.map(c => c.textContent + c.children.map(d => d.textContent).join(""));
all.search.oninput({ target: { value: "em" } });
const found = texts(all.hits);
all.hits.children[1].onclick();
console.log(JSON.stringify({ about: all.about.textContent, drawn, found, told: texts(all.node) }));
"""


def test_only_the_counts_depend_on_the_order(names):
    """The graph of the same samples is the same; who came first has counted more."""
    chosen = names[:60]
    there, back = memory_of(chosen), memory_of(chosen[::-1])
    levels = [{p.pattern: p.level for p in memory.patterns()} for memory in (there, back)]
    assert levels[0] == levels[1] and set(there.edges()) == set(back.edges())
    assert nodes(there) != nodes(back)


# --- the experiment ------------------------------------------------------------------------------


def test_the_tables_of_the_page_are_those_of_the_experiment(tmp_path, monkeypatch):
    root = Path(__file__).resolve().parents[1]
    monkeypatch.syspath_prepend(str(root / "experiments"))
    experiment = pytest.importorskip("plastic_memory")
    for name in ("plastic_memory.json", "plastic_memory.md"):
        shutil.copy(root / "docs" / name, tmp_path)
    monkeypatch.setattr(experiment, "DOCS", tmp_path)
    experiment.main(experiment.Config("page"))
    page = (root / "docs" / "plastic_memory.md").read_text("utf-8")
    assert (tmp_path / "plastic_memory.md").read_text("utf-8") == page
    record = experiment.read()
    assert list(record["tune"]["found"]) == list(experiment.TRIED)
    assert page.count("the default** |") == 2
