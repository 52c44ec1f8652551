r"""Plastic memory: a graph of string patterns that refactors itself as samples come.

A sequence learner without gradients. What samples share becomes a pattern of its own, above them;
how often a pattern served is its count, how deep it lies its level.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import itertools
import math
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.checkpoint import CheckpointError
from loopymeta.learners.host import check_symbols, read_json, write_json
from loopymeta.parameters import Space, Theta
from loopymeta.tasks.base import FREEZE, Task

if TYPE_CHECKING:
    from networkx import DiGraph

SHARE = ("prefix", "suffix", "infix")
"""What samples can share."""
COUNTS = ("samples", "graph")
"""What predictions can be made from."""
UNSEEN = ""
"""In a distribution over symbols: all symbols that were never seen, together."""
_KIND = "loopymeta-plastic-memory"
_DOT = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})
_FORGOTTEN = 1e-9
"""A count this small is rounding: sums of fractions that should be 0 end up here."""
_MOST_OBSERVED, _MOST_COUNTED = 1e100, 1e300
"""Amounts at once, and counts: so many amounts that a count grows too large are never observed."""


# --- a tree of patterns --------------------------------------------------------------------------


class _Node:
    """A pattern, its count, and the longer patterns that begin with it, by their next symbol."""

    __slots__ = ("children", "count", "parent", "pattern")

    def __init__(self, pattern: str, count: float, parent: _Node | None = None) -> None:
        self.pattern, self.count, self.parent = pattern, count, parent
        self.children: dict[str, _Node] = {}


class _Tree:
    """The patterns that begin alike, none of its samples a prefix of another (see `PlasticMemory`).

    Attributes:
      root: the pattern that all others begin with; None before the first sample.
    """

    def __init__(self) -> None:
        self.root: _Node | None = None

    def __iter__(self) -> Iterator[_Node]:
        """All nodes, each before its children, these in the order in which they came."""
        waiting = [] if self.root is None else [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children.values()))

    def __deepcopy__(self, memo: Any) -> _Tree:
        return _tree_of(_rows_of(self))  # node by node: it may be deeper than Python recurses

    def find(self, prefix: str) -> _Node | None:
        """The shortest pattern that begins with ``prefix``, or None."""
        node, same = self.root, 0  # symbols that are known to be the same
        while node is not None and len(node.pattern) < len(prefix):
            if not prefix.startswith(node.pattern[same:], same):
                return None
            same = len(node.pattern)
            node = node.children.get(prefix[same])
        return node if node is not None and node.pattern.startswith(prefix[same:], same) else None

    def count(self, sample: str) -> float:
        """How often a sample was potentiated; 0 where it is not known."""
        leaf = self.find(sample)
        return leaf.count if leaf is not None and leaf.pattern == sample else 0

    def add(self, sample: str, amount: float) -> None:
        """Potentiates a sample, which gets its place first if it is new."""
        node, above, same = self.root, None, 0  # symbols that are known to be the same
        while node is not None and sample.startswith(node.pattern[same:], same):
            above, same = node, len(node.pattern)
            node = node.children.get(sample[same : same + 1])
        if node is not None:
            above = self._split(node, sample)
        if above is None or above.pattern != sample:
            above = self._put(_Node(sample, 0, above))
        while above is not None:
            above.count += amount
            above = above.parent

    def _put(self, node: _Node) -> _Node:
        """Hangs a node under its parent, or makes it the root."""
        if node.parent is None:
            self.root = node
        else:
            node.parent.children[node.pattern[len(node.parent.pattern)]] = node
        return node

    def _split(self, node: _Node, sample: str) -> _Node:
        """What a node shares with a sample, as a new node above it."""
        shared = self._put(_Node(_shared(node.pattern, sample), 1, node.parent))
        node.parent = shared
        self._put(node)
        return shared

    def weaken(self, sample: str, amount: float, forget: bool) -> None:
        """De-potentiates a sample that is known, and takes it out if it is to be forgotten."""
        leaf = node = self.find(sample)
        assert leaf is not None
        while node is not None:
            node.count = max(node.count - amount, 0)
            node = node.parent
        if forget:
            self._forget(leaf)

    def _forget(self, leaf: _Node) -> None:
        """Takes a leaf out, and the pattern above it where only one is left to share that."""
        above = leaf.parent
        if above is None:
            self.root = None
            return
        del above.children[leaf.pattern[len(above.pattern)]]
        if len(above.children) == 1:
            (only,) = above.children.values()
            only.parent = above.parent
            self._put(only)


def _shared(a: str, b: str) -> str:
    """The longest prefix of both."""
    pairs = enumerate(zip(a, b, strict=False))
    return a[: next((at for at, (x, y) in pairs if x != y), min(len(a), len(b)))]


# --- the memory ----------------------------------------------------------------------------------


class Pattern(NamedTuple):
    """A node of the graph.

    Attributes:
      pattern: the string, marks included.
      count: how often it was potentiated; a pattern that samples share begins with 1.
      level: edges on the longest way to it from where nothing lies below.
    """

    pattern: str
    count: float
    level: int


class Step(NamedTuple):
    """One step of a completion.

    Attributes:
      pattern: where the activation is.
      options: the patterns that it can go on to.
      counts: of each: the activation goes on in proportion.
      taken: which of them it took; None at the end.
    """

    pattern: str
    options: tuple[str, ...]
    counts: tuple[float, ...]
    taken: int | None


class PlasticMemory:
    r"""A directed graph of string patterns that refactors itself as samples come.

    A sample is a string between a start mark and an end mark, which are added where they are not
    there. To observe sample s (``share=("prefix",)``):

    1. In an empty graph s is put at level 0, with count 1.
    2. Else, from the highest level L down: those patterns of level L that share the longest prefix
       p with s are *matched*.
    3. If no pattern is at level L - 1, p is inserted there with nothing below; if some of that
       level occur in p, p is inserted over these; else the search goes on a level down.
    4. To insert p at level r over ``below``: edges from ``below`` to what contains p are removed;
       p is added if new (count 1, level r), and s if new (count 0, level r + 1); edges lead from p
       to s, from p to the matched, and from ``below`` to p. If p was new, it and all that is
       reached from it rise a level. Then s is **potentiated**: it and all from which it is reached
       count one more.

    That is what a radix tree does whose nodes count: since every pattern begins with the start
    mark, which occurs nowhere else, what occurs in p is a prefix of p; the matched share the place
    in the tree where s branches off; and the level of a pattern is its depth. So the graph is kept
    as that tree, in which a sample costs its own length, and levels are computed when they are
    asked for. "The longest prefix" is read as: every pattern of the level goes under its own
    longest common prefix with s, and the longest of these wins, with all that share exactly it.

    *De-potentiation*: a negative amount takes from the sample, at most all of its count, and the
    same from everything below it, where no count falls under 0. A sample that reaches 0 is
    forgotten, and with it a pattern that it alone still shared with a single other: observing and
    taking back the same amount gives the same graph. Taking from what is not known changes nothing.

    *Suffixes and infixes* (``share=("prefix", "suffix", "infix")``): the same algorithm runs over
    the reversed samples, and over all that samples end with (a part of a sample is a prefix of one
    of its ends). The graph is the union, in which the same string is the same node, with the
    largest of its counts. An infix that always stands behind the same symbol, or occurs but once,
    is no node: the longer pattern is.

    *Prediction* of a symbol w after context h:

    .. math::
      p_k(w | h) = \frac{\max(c(h_k w) - D, 0) + p_{k-1}(w | h) \sum_v \min(c(h_k v), D)}
                        {\sum_v c(h_k v)}

    with h_k the last k symbols of h, the start mark among them, k = 0 to ``order``; p_{-1} uniform,
    D the discount, and p_k = p_{k-1} where h_k was never followed by anything. (Ney, Essen and
    Kneser, 1994, for counts that need not be whole.) What c(x) is, ``counts`` says:

    - ``"samples"``: the counts of all samples that have x in them, each as often as it occurs
      there. That is a table of contexts: of the graph only the counts of its samples enter, no
      other pattern, no level, no edge, so that neither ``share`` nor the order in which the samples
      came changes a prediction.
    - ``"graph"``: the count of the pattern that the activation reaches by x, the shortest one that
      begins with x, among the prefixes if x begins with the start mark, else among the infixes (all
      of them, those too that always stand behind the same symbol); 0 if there is none. So w is
      weighted as the out-edge that leads on to it. Before h_k for k = ``order`` comes all of h if
      it begins with the start mark, however long it is. Counts of patterns begin with 1, however
      many samples share them: predictions depend on the order of the samples.

    Args:
      share: what is refactored, of `SHARE`; ``"prefix"`` always is.
      counts: what predictions are made from, of `COUNTS`.
      start: the mark before a sample.
      end: the mark behind a sample.
      alphabet: symbols that may come, the end mark aside; None: any, those never seen counting as
        one together (`UNSEEN`).
      order: symbols of context that are looked at wherever they stand in a sample; 0: none, so
        that a prediction is how often each symbol came.
      discount: D, above 0 and at most 1.

    Raises:
      ValueError, TypeError: for marks that are no single symbols, and choices that cannot be.

    >>> memory = PlasticMemory()
    >>> for name in ("emma", "emily", "ava"):
    ...     memory.observe(name)
    >>> [tuple(node) for node in memory.patterns()]
    [('>', 2, 0), ('>em', 2, 1), ('>emma_', 1, 2), ('>emily_', 1, 2), ('>ava_', 1, 1)]
    >>> memory.complete("a")
    '>ava_'
    """

    def __init__(
        self,
        share: Sequence[str] = ("prefix",),
        *,
        counts: str = "samples",
        start: str = ">",
        end: str = "_",
        alphabet: Iterable[str] | None = None,
        order: int = 4,
        discount: float = 0.85,
    ) -> None:
        if isinstance(share, str):
            raise TypeError(f"share must be a tuple of words, got {share!r}")
        for kind in share:
            _validate.choice("share", kind, SHARE)
        if "prefix" not in share:
            raise ValueError(f"share must have 'prefix', got {tuple(share)}")
        _validate.choice("counts", counts, COUNTS)
        for name, mark in (("start", start), ("end", end)):
            if not isinstance(mark, str) or len(mark) != 1:
                raise ValueError(f"{name} must be one symbol, got {mark!r}")
        if start == end:
            raise ValueError(f"start and end must differ, got {start!r} for both")
        _validate.at_least("order", order, 0)
        _validate.positive("discount", discount)
        _validate.between("discount", discount, 0, 1)
        self.share = tuple(kind for kind in SHARE if kind in share)
        self.counts, self.start, self.end = counts, start, end
        self.order, self.discount = int(order), float(discount)
        self.alphabet = None if alphabet is None else tuple(dict.fromkeys(alphabet))
        if self.alphabet is not None:
            for symbol in self.alphabet:
                if len(symbol) != 1 or symbol in (start, end):
                    raise ValueError(f"alphabet must hold single symbols, no marks; got {symbol!r}")
        self._allowed = None if self.alphabet is None else frozenset(self.alphabet)
        self._trees = {kind: _Tree() for kind in self.share}
        self._ends = collections.Counter[str]()  # how many samples end so, for infixes
        # Context -> symbol -> how often; made when it is first asked for, then kept up.
        self._followers: dict[str, dict[str, float]] | None = None

    def __repr__(self) -> str:
        samples = self.samples()
        patterns, observed = len(self._union()[0]), math.fsum(samples.values())
        return (
            f"<PlasticMemory: {patterns:,} patterns of {len(samples):,} samples, observed "
            f"{observed:,.10g} times>"
        )

    # --- observing -------------------------------------------------------------------------------

    def marked(self, sample: str) -> str:
        """The sample between its marks; one that has both stays as it is.

        Raises:
          TypeError: it is no string. ValueError: a mark or a foreign symbol stands inside.
        """
        if not isinstance(sample, str):
            raise TypeError(f"a sample must be a string, got {sample!r} ({type(sample).__name__})")
        inner = sample
        if len(sample) > 1 and sample[0] == self.start and sample[-1] == self.end:
            inner = sample[1:-1]
        self._check_inner(inner, sample)
        return f"{self.start}{inner}{self.end}"

    def _check_inner(self, inner: str, sample: str) -> None:
        for mark in (self.start, self.end):
            if mark in inner:
                raise ValueError(
                    f"{sample!r} has the mark {mark!r} inside; choose other marks (start, end)"
                )
        if self._allowed is not None and not self._allowed.issuperset(inner):
            foreign = next(symbol for symbol in inner if symbol not in self._allowed)
            raise ValueError(f"{sample!r} has {foreign!r}, which is not in the alphabet")

    def observe(self, sample: str, amount: float = 1) -> None:
        """Takes a sample in and potentiates it by ``amount``; de-potentiates it by a negative one.

        Args:
          sample: a string, with both marks or without.
          amount: what is added to the counts; any number from -1e100 to 1e100. A negative one
            takes at most what is there, and from a sample that is not known nothing.

        Raises:
          TypeError, ValueError: see `marked`; an amount that is no such number.
        """
        sample = self.marked(sample)
        if isinstance(amount, np.generic):  # which JSON does not hold
            amount = amount.item()
        _validate.between("amount", amount, -_MOST_OBSERVED, _MOST_OBSERVED)
        infixes = "infix" in self._trees
        known = self._trees["prefix"].count(sample) if amount < 0 or infixes else 0
        amount = max(amount, -known) if amount < 0 else amount
        if amount == 0:
            return
        gone = amount < 0 and known + amount <= _FORGOTTEN
        if infixes and (gone or not known):
            self._ends.update(dict.fromkeys(_views("infix", sample), -1 if gone else 1))
        for kind, tree in self._trees.items():
            for view in _views(kind, sample):
                if amount > 0:
                    tree.add(view, amount)
                else:  # sums of fractions do not say whether another sample ends so: this does
                    tree.weaken(view, -amount, gone and not self._ends[view])
                    if gone and not self._ends[view]:
                        del self._ends[view]
        if self._followers is not None:
            self._count(sample, amount)

    def _count(self, sample: str, amount: float) -> None:
        """Counts what follows what in a sample."""
        followers = self._followers
        assert followers is not None
        order = self.order if self.counts == "samples" else 0  # of the graph's: the alphabet
        for at in range(1, len(sample)):
            symbol = sample[at]
            for k in range(min(order, at) + 1):
                context = sample[at - k : at]
                counts = followers.get(context)
                if counts is None:
                    counts = followers[context] = {}
                count = counts.get(symbol, 0) + amount
                if count > _FORGOTTEN:
                    counts[symbol] = count
                else:
                    counts.pop(symbol, None)

    # --- predicting ------------------------------------------------------------------------------

    def next_symbol(self, context: str = "") -> dict[str, float]:
        """The probability of each symbol after a context; they sum to 1.

        Args:
          context: what came before, from anywhere in a sample or, with its start mark, from the
            beginning.

        Returns:
          Symbol -> probability, over the alphabet and the end mark; without an alphabet over the
          symbols seen so far, the end mark and `UNSEEN`.

        >>> memory = PlasticMemory()
        >>> memory.observe("ab")
        >>> {symbol: round(p, 3) for symbol, p in memory.next_symbol("a").items()}
        {'_': 0.223, 'a': 0.223, 'b': 0.373, '': 0.181}
        """
        self._check_context(context)
        if self.end in context:
            raise ValueError(
                f"the context {context!r} has a mark inside: nothing follows the end mark; give "
                "what stands before it"
            )
        if self._followers is None:
            self._followers = {}
            for node in self._trees["prefix"]:
                if not node.children:
                    self._count(node.pattern, node.count)
        left, found = 1.0, {}
        for counts in self._counts_after(context):
            total = math.fsum(counts.values())
            freed = math.fsum(min(count, self.discount) for count in counts.values())
            for symbol, count in counts.items():
                if count > self.discount:
                    share = left * (count - self.discount) / total
                    found[symbol] = found.get(symbol, 0.0) + share
            left *= freed / total
        symbols = self._symbols()
        return {symbol: found.get(symbol, 0.0) + left / len(symbols) for symbol in symbols}

    def _check_context(self, context: str) -> None:
        if not isinstance(context, str):
            raise TypeError(f"a context must be a string, got {context!r}")
        if self.start in context[1:] or self.end in context[:-1]:
            raise ValueError(
                f"{context!r} has a mark inside: {self.start!r} may stand in front only, "
                f"{self.end!r} at the end only"
            )

    def _counts_after(self, context: str) -> Iterator[Mapping[str, float]]:
        """What came after the ends of a context, the longest first."""
        assert self._followers is not None
        if self.counts == "graph" and len(context) > self.order and context[0] == self.start:
            yield from self._leading_on(context)
        for k in range(min(self.order, len(context)), -1, -1):
            end = context[len(context) - k :]
            if self.counts == "graph":
                yield from self._leading_on(end)
            elif counts := self._followers.get(end):
                yield counts

    def _leading_on(self, context: str) -> Iterator[Mapping[str, float]]:
        """The symbols that the graph has after a context, by the counts of what they lead to."""
        tree = self._trees.get("prefix" if context.startswith(self.start) else "infix")
        node = None if tree is None else tree.find(context)
        if node is None:
            return
        longer = len(node.pattern) > len(context)
        nodes = {node.pattern[len(context)]: node} if longer else node.children
        if counts := {symbol: each.count for symbol, each in nodes.items() if each.count > 0}:
            yield counts

    def _symbols(self) -> list[str]:
        if self.alphabet is not None:
            return [*self.alphabet, self.end]
        assert self._followers is not None
        seen = self._followers.get("", {})
        # In an order of their own, so that nothing hangs on the order in which they came.
        return [*sorted({*seen, self.end}), UNSEEN]

    def nats(self, sample: str) -> list[float]:
        """What each symbol of a sample costs, its end mark among them, as things stand."""
        sample = self.marked(sample)
        found = []
        for at in range(1, len(sample)):
            p = self.next_symbol(sample[:at])
            found.append(-math.log(p.get(sample[at], p.get(UNSEEN, 0.0))))
        return found

    def prequential(self, samples: Iterable[str]) -> np.ndarray:
        """Nats of every symbol of the samples, each sample observed after it was predicted.

        >>> losses = PlasticMemory(alphabet="ab").prequential(["ab", "ab", "ab"])
        >>> losses.round(2).tolist()
        [1.1, 1.1, 1.1, 0.84, 0.66, 0.53, 0.33, 0.13, 0.05]

        Raises:
          TypeError, ValueError: they are no samples; then none was observed.
        """
        if isinstance(samples, str) or not isinstance(samples, Iterable):
            raise TypeError(f"samples must be several strings, such as a list, got {samples!r:.60}")
        samples = [self.marked(sample) for sample in samples]
        losses: list[float] = []
        for sample in samples:
            losses += self.nats(sample)
            self.observe(sample)
        return np.array(losses)

    def complete(self, prefix: str = "", seed: int | None = None) -> str | None:
        """The sample that a prefix leads to, marks included: see `steps`; None: it leads nowhere.

        Args:
          prefix: how the sample begins, with its start mark or without; one with its end mark is
            whole, and leads to itself or nowhere.
          seed: draws the way in proportion to the counts; None takes the largest, of equals the one
            that came first.
        """
        steps = self.steps(prefix, seed)
        return steps[-1].pattern if steps else None

    def steps(self, prefix: str = "", seed: int | None = None) -> list[Step]:
        """The way of the activation from a prefix along the out-edges to a whole sample.

        It begins at the shortest pattern with that prefix. Where no pattern begins so and infixes
        are shared, it begins with the longest end of the prefix that some sample has inside; the
        patterns of the steps then are what the sample would be.
        """
        if not isinstance(prefix, str):
            raise TypeError(f"a prefix must be a string, got {prefix!r}")
        prefix = prefix if prefix.startswith(self.start) else self.start + prefix
        self._check_context(prefix)
        node, before = self._trees["prefix"].find(prefix), ""
        if node is None and "infix" in self._trees:
            for at in range(1, len(prefix)):
                node, before = self._trees["infix"].find(prefix[at:]), prefix[:at]
                if node is not None:
                    break
        if seed is not None:
            _validate.at_least("seed", seed, 0)
        chance = None if seed is None else random.Random(seed)
        steps = []
        while node is not None:
            children = tuple(node.children.values())
            counts = tuple(child.count for child in children)
            taken = _chosen(counts, chance) if children else None
            options = tuple(before + child.pattern for child in children)
            steps.append(Step(before + node.pattern, options, counts, taken))
            node = None if taken is None else children[taken]
        return steps

    # --- the graph -------------------------------------------------------------------------------

    def _union(self) -> tuple[dict[str, float], dict[tuple[str, str], None]]:
        """(pattern -> count, the edges), in the order of the trees."""
        counts: dict[str, float] = {}
        edges: dict[tuple[str, str], None] = {}
        for kind, tree in self._trees.items():
            places = self._infixes(tree) if kind == "infix" else _places(tree, kind)
            for name, above, count in places:
                counts[name] = max(counts.get(name, 0), count)
                if above:
                    edges[above, name] = None
        return counts, edges

    def _infixes(self, tree: _Tree) -> Iterator[tuple[str, str, float]]:
        """The infixes of the graph and the samples above them, as `_places` has it.

        An infix that always stands behind the same symbol is no pattern: the longer one is.
        """
        holders: dict[str, list[str]] = {}  # which samples end so
        for sample in self.samples():
            for at in range(1, len(sample)):
                holders.setdefault(sample[at:], []).append(sample)
        nodes = list(tree)
        before: dict[str, set[str]] = {}
        for node in reversed(nodes):  # children first
            name, children = node.pattern, node.children.values()
            if children:
                before[name] = set().union(*(before[child.pattern] for child in children))
            else:
                before[name] = {sample[-len(name) - 1] for sample in holders[name]}
        below = {"": ""}  # pattern -> the longest of the graph that it begins with
        for node in nodes:
            name, above = node.pattern, "" if node.parent is None else below[node.parent.pattern]
            below[name] = name if name and len(before[name]) > 1 else above
            if below[name] == name != "":
                yield name, above, node.count
            for sample in () if node.children else holders[name]:
                yield sample, below[name], 0

    def _levels(self) -> tuple[dict[str, float], dict[tuple[str, str], None], dict[str, int]]:
        """(pattern -> count, the edges, pattern -> level)."""
        counts, edges = self._union()
        levels = dict.fromkeys(counts, 0)
        # Edges lead from shorter to longer patterns, so lengths are an order to go by.
        for above, name in sorted(edges, key=lambda edge: len(edge[0])):
            levels[name] = max(levels[name], levels[above] + 1)
        return counts, edges, levels

    def patterns(self) -> list[Pattern]:
        """Every node of the graph."""
        counts, _, levels = self._levels()
        return [Pattern(name, count, levels[name]) for name, count in counts.items()]

    def edges(self) -> list[tuple[str, str]]:
        """Every edge, from the shorter pattern to the longer."""
        return list(self._union()[1])

    def samples(self) -> dict[str, float]:
        """The samples that are remembered, marks included, with their counts."""
        return {node.pattern: node.count for node in self._trees["prefix"] if not node.children}

    def to_networkx(self) -> DiGraph:
        """The graph, with ``count`` and ``level`` on every node.

        >>> memory = PlasticMemory()
        >>> memory.observe("emma"), memory.observe("ava")
        (None, None)
        >>> memory.to_networkx().nodes[">"]
        {'count': 2, 'level': 0}
        """
        import networkx

        graph = networkx.DiGraph()
        counts, edges, levels = self._levels()
        graph.add_nodes_from((p, {"count": c, "level": levels[p]}) for p, c in counts.items())
        graph.add_edges_from(edges)
        return graph

    # --- out and in ------------------------------------------------------------------------------

    def to_csv(self) -> tuple[str, str]:
        """The text of two CSV tables: nodes (pattern, count, level) and edges (from, to)."""
        tables = []
        heads = (Pattern._fields, ("from", "to"))
        for head, rows in zip(heads, (self.patterns(), self.edges()), strict=True):
            text = io.StringIO()
            # Patterns in quotes: what ends a line may stand inside.
            writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
            writer.writerows(itertools.chain([head], rows))
            tables.append(text.getvalue())
        return tables[0], tables[1]

    def to_dot(self) -> str:
        """The graph as text for Graphviz: ``dot -Tsvg``."""
        names = {node.pattern: f"n{number}" for number, node in enumerate(self.patterns())}
        lines = ["digraph plastic_memory {", "  rankdir=LR; node [shape=box, style=rounded];"]
        for pattern, count, level in self.patterns():
            label = pattern.translate(_DOT)
            about = f'label="{label}\\n{count:g}", level={level}'
            lines.append(f"  {names[pattern]} [{about}];")
        lines += [f"  {names[a]} -> {names[b]};" for a, b in self.edges()]
        return "\n".join([*lines, "}"]) + "\n"

    def to_json(self) -> dict[str, Any]:
        """All that it is, as JSON holds it; `from_json` gives the same memory back.

        A tree is a list of [pattern, count, place of the parent], parents first.
        """
        return {
            "share": list(self.share),
            "counts": self.counts,
            "start": self.start,
            "end": self.end,
            "alphabet": None if self.alphabet is None else list(self.alphabet),
            "order": self.order,
            "discount": self.discount,
            "trees": {kind: _rows_of(tree) for kind, tree in self._trees.items()},
        }

    @classmethod
    def from_json(cls, stored: Any) -> PlasticMemory:
        """The memory that `to_json` described.

        Raises:
          CheckpointError: it is none; says what is not as it must be.
        """
        try:
            choices = {name: stored[name] for name in stored if name not in ("share", "trees")}
            memory = cls(tuple(stored["share"]), **choices)
            for kind in memory.share:
                memory._trees[kind] = _tree_of(stored["trees"][kind])
            memory._check_trees()
            if "infix" in memory.share:
                views = (_views("infix", sample) for sample in memory.samples())
                memory._ends.update(itertools.chain.from_iterable(views))
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise CheckpointError(f"this is no plastic memory: {error}") from error
        return memory

    def _check_trees(self) -> None:
        """Refuses trees that are not all of the same samples, each between marks and observed.

        Counts of what samples share are not compared with theirs: they begin with 1, whenever that
        is, and can be taken back to 0, so that any may stand below any.
        """
        samples = self.samples()
        for sample, count in samples.items():
            if self.marked(sample) != sample:
                raise ValueError(f"{sample!r} is not between marks")
            if not count > 0:
                raise ValueError(f"the sample {sample!r} has the count {count}")
        for kind, tree in self._trees.items():
            wanted = {view for sample in samples for view in _views(kind, sample)}
            if wanted != {node.pattern for node in tree if not node.children}:
                raise ValueError(f"the tree of {kind!r} does not hold the samples of 'prefix'")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it to a JSON file, which afterwards is the new or the old one, and whole.

        Raises:
          OSError: the file could not be written.
        """
        write_json(path, _KIND, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PlasticMemory:
        """The memory of a file that `save` wrote.

        Patterns, counts, levels and edges are the same bit for bit, and so is what is predicted,
        but for the last bits where amounts were fractions: contexts are counted anew from the
        samples, and sums of fractions depend on their order.

        Raises:
          CheckpointError: the file is missing, truncated, damaged or foreign.
        """
        return read_json(path, _KIND, cls.from_json)


# --- trees in and out ----------------------------------------------------------------------------


def _views(kind: str, sample: str) -> Iterable[str]:
    """A sample as the tree of a kind takes it in."""
    if kind == "prefix":
        return (sample,)
    if kind == "suffix":
        return (sample[::-1],)
    return (sample[at:] for at in range(1, len(sample) - 1))


def _chosen(counts: Sequence[float], chance: random.Random | None) -> int:
    """Which of several: the largest, or drawn in proportion."""
    if chance is None or not any(counts):
        return counts.index(max(counts))
    return chance.choices(range(len(counts)), counts)[0]


def _places(tree: _Tree, kind: str) -> Iterator[tuple[str, str, float]]:
    """The nodes of a tree as those of the graph: (pattern, pattern below it or "", count)."""
    way = -1 if kind == "suffix" else 1
    for node in tree:
        above = "" if node.parent is None else node.parent.pattern
        yield node.pattern[::way], above[::way], node.count


def _rows_of(tree: _Tree) -> list[list[Any]]:
    places: dict[int, int] = {}
    rows = []
    for node in tree:
        places[id(node)] = len(rows)
        parent = None if node.parent is None else places[id(node.parent)]
        rows.append([node.pattern, node.count, parent])
    return rows


def _tree_of(rows: Sequence[Sequence[Any]]) -> _Tree:
    """The tree of rows, each checked against its parent."""
    tree, nodes = _Tree(), []
    for place, (pattern, count, parent) in enumerate(rows):
        if not isinstance(pattern, str):
            raise ValueError(f"node {place} has the pattern {pattern!r}")
        _validate.between(f"the count of {pattern!r}", count, 0, _MOST_COUNTED)
        if (parent is None) != (place == 0):
            raise ValueError(f"node {place} has the parent {parent!r}")
        above = None
        if parent is not None:
            _validate.between(f"the parent of {pattern!r}", parent, 0, place - 1)
            above = nodes[parent]
            longer = pattern.startswith(above.pattern) and len(pattern) > len(above.pattern)
            if not longer or pattern[len(above.pattern)] in above.children:
                raise ValueError(f"{pattern!r} cannot be above {above.pattern!r}")
        nodes.append(tree._put(_Node(pattern, count, above)))
    if any(len(node.children) == 1 for node in nodes):
        raise ValueError("a pattern is shared by one other only")
    return tree


# --- as a learner --------------------------------------------------------------------------------

_FIRST_LETTER = 0x100  # letters of symbols that have none of their own; marks lie below
_MOST_SYMBOLS = 0xD800 - _FIRST_LETTER - 1  # as many letters are there in a row


@dataclasses.dataclass(frozen=True)
class PlasticMemoryLearner:
    """A `PlasticMemory` that lives lifetimes: the stream is cut into samples, written as strings.

    A sample ends where the ``boundary`` is the target, or else after ``window`` symbols; it then
    begins with the last symbols of the one before, as many as ``order`` needs, so that nothing is
    predicted from less. The memory observes a sample when it is over.

    Where targets are the next stimuli (``continues``) a sample is the targets one after another.
    Elsewhere it is stimulus and target in turn, in letters of their own, without targets that are
    not taught. Predictions are those of `PlasticMemory.next_symbol` after the sample so far, for
    targets alone: by default those of a table of contexts, in which the graph has no part, with
    ``counts="graph"`` those of the graph. A sample in which the learner was frozen, or in which a
    target that is the next stimulus was not taught, is not observed.

    Theta is ``{"discount"}``.

    Raises:
      ValueError, TypeError: for choices that cannot be.

    >>> from loopymeta import tasks
    >>> PlasticMemoryLearner.for_task(tasks.Caesar()).continues
    False
    """

    num_inputs: int
    """Symbols of the stimulus, silence not among them."""
    num_outputs: int
    """Symbols of the target."""
    continues: bool = True
    """Whether each target is the next stimulus."""
    boundary: int | None = None
    """Target that ends a sample, where targets are next stimuli; None: samples are windows."""
    window: int = 16
    """Symbols in a sample without a boundary."""
    order: int = 4
    """See `PlasticMemory`: letters of context that are looked at wherever they stand."""
    discount: float = 0.85
    """See `PlasticMemory`."""
    counts: str = "samples"
    """See `PlasticMemory`."""
    share: tuple[str, ...] = ("prefix",)
    """See `PlasticMemory`; what changes no prediction is refused: infixes do for the graph only."""
    letters: str = ""
    """How targets are written, a letter each; none: in letters from Ā on."""

    def __post_init__(self) -> None:
        for name in ("num_inputs", "num_outputs", "window"):
            _validate.at_least(name, getattr(self, name), 1)
        if not isinstance(self.share, tuple):
            raise TypeError(f"share must be a tuple of words, got {self.share!r}")
        if "suffix" in self.share or (self.counts == "samples" and "infix" in self.share):
            raise ValueError(
                f"share={self.share!r} predicts the same as less of it with counts={self.counts!r};"
                " ('prefix', 'infix') with counts='graph' predicts from the graph"
            )
        if not isinstance(self.letters, str):
            raise TypeError(f"letters must be a string, got {self.letters!r}")
        if self.num_inputs + self.num_outputs > _MOST_SYMBOLS:
            raise ValueError(f"there are letters for {_MOST_SYMBOLS} symbols only")
        if self.continues and self.num_inputs != self.num_outputs:
            raise ValueError(
                "targets can be the next stimuli only where there are as many of both, got "
                f"{self.num_inputs} stimuli and {self.num_outputs} targets"
            )
        if self.boundary is not None:
            _validate.at_least("boundary", self.boundary, 0)
            _validate.between("boundary", self.boundary, 0, self.num_outputs - 1)
            if not self.continues:
                raise ValueError("boundary is for targets that are the next stimuli")
        if self.letters and len(set(self.letters)) != self.num_outputs:
            raise ValueError(f"letters must be {self.num_outputs} different ones")
        if self.window <= self._overlap:
            raise ValueError(f"window must be above order, {self.order}, got {self.window}")
        self.memory()

    @property
    def _overlap(self) -> int:
        """Symbols that a window has from the one before."""
        return self.order if self.continues else -(-self.order // 2)

    @classmethod
    def for_task(cls, task: Task, **choices: Any) -> PlasticMemoryLearner:
        """The learner for a task, whose first lifetime says whether targets are next stimuli.

        Raises:
          ValueError: stimuli or targets are not symbols.
        """
        check_symbols(task, cls.__name__)
        spec, continues = task.spec, _continues(task)
        boundary = spec.boundary if continues else None
        found: dict[str, Any] = {
            "num_inputs": spec.num_inputs,
            "num_outputs": spec.num_outputs,
            "continues": continues,
            "boundary": boundary,
        }
        if boundary is not None:
            found["letters"] = "".join(spec.symbols or ())
        return cls(**(found | choices))

    def written(self, symbol: int, target: bool) -> str:
        """The letter of a target, or of a stimulus (-1: silence)."""
        if target or (self.continues and symbol >= 0):
            return self.letters[symbol] if self.letters else chr(_FIRST_LETTER + symbol)
        return chr(_FIRST_LETTER + self.num_outputs + 1 + symbol)

    def memory(self, discount: float | None = None) -> PlasticMemory:
        """A memory without patterns, for the letters of the task."""
        letters = [self.written(k, True) for k in range(self.num_outputs) if k != self.boundary]
        stimuli = [-1] if self.continues else range(-1, self.num_inputs)
        letters += [self.written(k, False) for k in stimuli]
        discount = self.discount if discount is None else discount
        choices: dict[str, Any] = {"alphabet": letters, "order": self.order, "discount": discount}
        return PlasticMemory(self.share, counts=self.counts, **choices)

    def init_theta(self, key: Array | None = None) -> Theta:
        """``{"discount"}``."""
        return {"discount": jnp.asarray(float(self.discount))}

    def space(self) -> Any:
        """The search space of the discount: a fraction."""
        return {"discount": Space("logit")}

    def begin(self, theta: Theta | None = None, seed: int = 0) -> LivingMemory:
        """A newborn has no patterns; there is no chance in it."""
        discount = None if theta is None else float(theta["discount"])
        return LivingMemory(self, self.memory(discount))

    def resume(self, theta: Theta, stored: Any) -> LivingMemory:
        """See `loopymeta.learners.host.HostLearner.resume`."""
        try:
            living = LivingMemory(self, PlasticMemory.from_json(stored["memory"]))
            living._sample = str(stored["sample"])
            living._starts = [int(start) for start in stored["starts"]]
            living._last = None if stored["last"] is None else int(stored["last"])
            living._open, living._since = bool(stored["open"]), int(stored["since"])
        except (TypeError, ValueError, KeyError) as error:
            raise CheckpointError(f"this is no memory that lives: {error!r}") from error
        return living


def _continues(task: Task) -> bool:
    """Whether all targets are taught, but for frozen ones, and nearly all are the next stimuli."""
    episode = jax.jit(task.sample)(jax.random.key(0))
    stimulus, target, _, taught, _, intervention = (np.asarray(x) for x in episode)
    plastic = intervention != FREEZE
    same = (target[:-1] == stimulus[1:])[plastic[:-1]]
    sizes = task.spec.num_inputs == task.spec.num_outputs
    return bool(sizes and taught[plastic].all() and same.size and same.mean() > 0.95)


class LivingMemory:
    """A `PlasticMemoryLearner` that lives.

    Attributes:
      memory: what it has observed.
    """

    def __init__(self, learner: PlasticMemoryLearner, memory: PlasticMemory) -> None:
        self._learner, self.memory = learner, memory
        self._sample = ""
        self._starts: list[int] = []  # where in the sample each of its symbols begins
        self._last: int | None = None  # the target that the sample ends with
        self._open = False  # whether the last symbol was neither taught nor declared untaught
        self._since = 0  # symbols written since the last one that may not be learned from

    def predict(self, stimulus: int) -> np.ndarray:
        """Log probabilities [O]."""
        learner = self._learner
        if self._open:  # nobody taught the last symbol: frozen
            self._gap()
        self._open = True
        if learner.boundary is not None and stimulus == learner.boundary:
            self._cut(0)
        else:
            if learner.boundary is None and len(self._starts) >= learner.window:
                self._cut(learner._overlap)
            if stimulus != self._last:
                self._write(learner.written(stimulus, target=False))
        self._last = None
        p = self.memory.next_symbol(self.memory.start + self._sample)
        found = np.array([p[self._letter(target)] for target in range(learner.num_outputs)])
        return np.log(found / found.sum())

    def teach(self, target: int | None) -> None:
        """Writes the target down; a sample that is over is observed."""
        learner, self._open = self._learner, False
        if target is None:
            if learner.continues:
                self._gap()
        elif target == learner.boundary:
            self._observe()
            self._cut(0)
        elif learner.continues:
            self._write(learner.written(target, target=True))
            self._last = target
        else:
            self._sample += learner.written(target, target=True)
        if learner.boundary is None and len(self._starts) >= learner.window:
            self._observe()

    def _letter(self, target: int) -> str:
        if target == self._learner.boundary:
            return self.memory.end
        return self._learner.written(target, target=True)

    def _write(self, letter: str) -> None:
        self._starts.append(len(self._sample))
        self._sample += letter
        self._since += 1

    def _gap(self) -> None:
        """What is written so far is not for learning, nor is what comes next: it tells the same."""
        self._since = -1

    def _observe(self) -> None:
        if self._since >= len(self._starts):
            self.memory.observe(self._sample)

    def _cut(self, kept: int) -> None:
        """A new sample begins, with the last symbols of the one before."""
        begin = self._starts[-kept] if kept else len(self._sample)
        self._sample = self._sample[begin:]
        self._starts = [start - begin for start in self._starts[-kept:]] if kept else []
        self._since = max(self._since, 0)

    def to_json(self) -> dict[str, Any]:
        """The memory, and the sample so far."""
        return {
            "memory": self.memory.to_json(),
            "sample": self._sample,
            "starts": self._starts,
            "last": self._last,
            "open": self._open,
            "since": self._since,
        }
