"""A network as a drawing and as a matrix, and what its census says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from loopymeta import _validate
from loopymeta import graph as graphs
from loopymeta.plots import canvas, results
from loopymeta.plots.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, PALE, SKY, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from loopymeta.graph import Graph

_DRAWN_NODES, _DRAWN_EDGES = 150, 3000
_IMAGE_SIZE = 1000


def graph(
    graph: Graph,
    num_inputs: int,
    num_hidden: int,
    num_outputs: int,
    num_memory: int = 0,
    weights: Any = None,
    *,
    title: str | None = None,
    seed: int = 0,
) -> Figure:
    """The graph drawn with its loops: inputs left, outputs right, hidden nodes between.

    Edges inside the largest strongly connected part are blue: what flows along them can return.
    Pairs of opposite edges and one shortest cycle stand out. The caption gives the census of loops.
    Large graphs (over 150 hidden nodes or 3,000 edges) are drawn as a matrix instead.

    Args:
      graph: one graph, not a stack.
      num_inputs, num_hidden, num_outputs: its numbers of nodes.
      num_memory: how many of the hidden nodes, the first ones, are memory nodes.
      weights: [E] the width of each edge is its absolute weight; in a matrix its colour.
      title: of the figure.
      seed: of the layout.

    Raises:
      ValueError: numbers or weights that do not fit the graph, or a stack of graphs.

    >>> ring = graphs.make_graph("ring", num_inputs=1, num_hidden=5, num_outputs=1)
    >>> figure = graph(ring, 1, 5, 1)
    """
    found = graphs.census(graph, num_inputs, num_hidden, num_outputs)
    graph = graphs.Graph(*(np.asarray(part) for part in graph))
    _validate.at_least("num_memory", num_memory, 0)
    if num_memory > num_hidden:
        raise ValueError(f"num_memory must be at most num_hidden = {num_hidden}, got {num_memory}")
    if weights is not None:
        weights = np.ravel(results.numbers(weights, "weights"))
        if len(weights) != graph.num_edges:
            raise ValueError(f"weights must have shape ({graph.num_edges},), got {weights.shape}")
    sizes = (num_inputs, num_memory, num_hidden - num_memory, num_outputs)
    large = num_hidden > _DRAWN_NODES or graph.num_edges > _DRAWN_EDGES
    looped, cycle = _loops(graph, sum(sizes))
    figure = canvas.blank(10.5, 8.6 if large else 7.4)
    layout: Any = figure.get_layout_engine()
    layout.set(h_pad=0.1)
    axes = figure.subplots()
    if large:
        _draw_adjacency(figure, axes, graph, sizes, looped, cycle, weights)
    else:
        _draw_network(axes, graph, sizes, looped, cycle, weights, seed)
    kind = "loopy" if looped.any() else "feed-forward"
    name = title or f"A {kind} network of {num_hidden:,} hidden nodes and {graph.num_edges:,} edges"
    canvas.heading(figure, name, 10.5)
    canvas.caption(figure, _told(found, num_hidden, weights is not None and not large), 10.5)
    return figure


def _told(found: graphs.Census, num_hidden: int, widths: bool) -> str:
    """The census as sentences."""
    told = []
    if found.largest_component:
        share = f"{found.hidden_share:.0%} of the" if found.hidden_share < 1 else "all"
        told.append(
            f"{found.largest_component:,} of {found.num_nodes:,} nodes, {share} {num_hidden:,} "
            "hidden ones among them, form one strongly connected part: what leaves a node of it "
            "can come back."
        )
        told.append(
            f"Shortest cycle: {found.girth} edges; through a node, on average "
            f"{found.mean_cycle_length:.1f}."
        )
        share = f"{found.reciprocity:.0%}" if found.reciprocity else "None"
        told.append(f"{share} of the edges that could have an opposite edge have one.")
    else:
        told.append("There is no cycle: this graph is feed-forward.")
    if found.mean_path_length is not None:
        told.append(
            f"From an input to an output: {found.mean_path_length:.1f} edges on average, at most "
            f"{found.max_path_length}."
        )
    if not found.exact:
        told.append("Cycles and paths from a sample of nodes.")
    if widths:
        told.append("The width of an edge is the size of its weight.")
    return " ".join(told)


def _loops(graph: Graph, num_nodes: int) -> tuple[np.ndarray, list[int]]:
    """Which edges lie in the largest strongly connected part, and the edges of a shortest cycle."""
    component, members = graphs._components(graph, num_nodes)
    if not (members > 1).any():
        return np.zeros(graph.num_edges, bool), []
    inside = component == members.argmax()
    looped = inside[graph.senders] & inside[graph.receivers]
    return looped, _shortest_cycle(graph, looped)


def _shortest_cycle(graph: Graph, looped: np.ndarray) -> list[int]:
    """Edges of one shortest cycle among ``looped`` (of a sample of nodes, where there are many)."""
    from scipy.sparse import csgraph

    both = np.flatnonzero(looped & (graph.reverse >= 0))
    if len(both):
        # In the middle of the list, where the ends are ordinary nodes rather than outputs.
        edge = int(both[len(both) // 2])
        return [edge, int(graph.reverse[edge])]
    edges = np.flatnonzero(looped)
    senders, receivers = graph.senders[edges], graph.receivers[edges]
    num_nodes = int(max(senders.max(), receivers.max())) + 1
    adjacency = graphs._adjacency(senders, receivers, num_nodes)
    nodes = np.unique(senders)
    nodes = nodes[:: -(-len(nodes) // 200)]
    best: list[int] = []
    for node in nodes.tolist():
        steps, before = csgraph.shortest_path(
            adjacency, unweighted=True, indices=node, return_predecessors=True
        )
        last = senders[receivers == node]
        end = int(last[np.argmin(steps[last])])
        if best and steps[end] + 1 >= len(best):
            continue
        path = [node, end]
        while path[-1] != node:
            path.append(int(before[path[-1]]))
        # The path runs backward: node <- end <- ... <- node.
        pairs = zip(path[1:], path[:-1], strict=True)
        best = [int(edges[np.flatnonzero((senders == a) & (receivers == b))[0]]) for a, b in pairs]
    return best


def _layout(graph: Graph, sizes: Sequence[int], seed: int) -> np.ndarray:
    """[N, 2] places: inputs in a column left, outputs right, hidden nodes by springs between."""
    import networkx

    num_inputs, num_memory, num_other, num_outputs = sizes
    num_hidden, num_nodes = num_memory + num_other, sum(sizes)
    places = np.zeros((num_nodes, 2))
    if num_hidden:
        hidden = range(num_inputs, num_inputs + num_hidden)
        part = networkx.DiGraph()
        part.add_nodes_from(hidden)
        part.add_edges_from(
            (a, b)
            for a, b in zip(graph.senders.tolist(), graph.receivers.tolist(), strict=True)
            if a in hidden and b in hidden
        )
        if part.size() and networkx.is_directed_acyclic_graph(part):
            for column, layer in enumerate(networkx.topological_generations(part)):
                part.add_nodes_from(layer, layer=column)
            found = networkx.multipartite_layout(part, subset_key="layer")
        else:
            found = networkx.spring_layout(
                part.to_undirected(),
                pos=networkx.circular_layout(part),
                k=1.6 / math.sqrt(num_hidden),
                iterations=150,
                seed=seed,
            )
        spots = np.array([found[node] for node in hidden])
        spots -= (spots.max(0) + spots.min(0)) / 2
        spots /= np.maximum(np.abs(spots).max(0), 1e-9)
        places[num_inputs : num_inputs + num_hidden] = spots
    outputs = (num_nodes - num_outputs, num_outputs, 1.75)
    for first, count, side in ((0, num_inputs, -1.75), outputs):
        reach = min(1.0, 0.13 * max(count - 1, 0))
        places[first : first + count, 0] = side
        places[first : first + count, 1] = np.linspace(reach, -reach, count) if count > 1 else 0.0
    return places


def _bows(starts: np.ndarray, ends: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Curves [E, 14, 2] that bow to their left and stop short of the node, and arrow heads."""
    along = ends - starts
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    middle = (starts + ends) / 2 + 0.14 * np.stack([-along[:, 1], along[:, 0]], axis=1)
    heading = ends - middle
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9)
    size = 0.034
    tip, back = ends - radius * heading, size * heading
    side = 0.4 * size * np.stack([-heading[:, 1], heading[:, 0]], axis=1)
    heads = np.stack([tip, tip - back + side, tip - back - side], axis=1)
    last = 1 - np.minimum((radius + 0.5 * size) / length, 0.9)
    t = np.linspace(0, 1, 14)[None, :, None] * last[:, :, None]
    parts = ((1 - t) ** 2, 2 * t * (1 - t), t**2)  # a quadratic Bezier curve
    points = (starts, middle, ends)
    curves: Any = sum(part * point[:, None] for part, point in zip(parts, points, strict=True))
    return curves, heads


def _draw_network(
    axes: Axes,
    graph: Graph,
    sizes: Sequence[int],
    looped: np.ndarray,
    cycle: list[int],
    weights: np.ndarray | None,
    seed: int,
) -> None:
    """Nodes and bowed edges; what loops lies on top of what does not."""
    from matplotlib.collections import LineCollection, PolyCollection

    places = _layout(graph, sizes, seed)
    radius = 0.045 if sum(sizes) < 80 else 0.03
    curves, heads = _bows(places[graph.senders], places[graph.receivers], radius)
    widths = np.ones(graph.num_edges)
    if weights is not None:
        widths = 0.25 + 2.5 * np.abs(weights) / max(np.abs(weights).max(initial=0.0), 1e-12)
    both = looped & (graph.reverse >= 0)
    on_cycle = np.isin(np.arange(graph.num_edges), cycle)
    dense = float(np.clip(500 / max(looped.sum(), 1), 0.25, 1))
    faint = float(np.clip(60 / max((~looped).sum(), 1), 0.12, 0.6))
    inside = "inside the strongly connected part"
    groups = [
        (~looped, GREY, 0.8, faint, "leads in or out, never back"),
        (looped & ~both & ~on_cycle, BLUE, 1.1, 0.25 + 0.5 * dense, inside),
        (both & ~on_cycle, ORANGE, 1.6, 0.35 + 0.6 * dense, "with an opposite edge"),
        (on_cycle, VERMILLION, 3.0, 1.0, f"a shortest cycle ({len(cycle)} edges)"),
    ]
    widths = np.where(on_cycle, 1.0, widths)
    for order, (chosen, colour, width, alpha, text) in enumerate(groups, start=1):
        if not chosen.any():
            continue
        style = {"alpha": alpha, "zorder": order}
        shafts: Any = curves[chosen]
        tips: Any = heads[chosen]
        lines = LineCollection(shafts, linewidths=width * widths[chosen], colors=colour, **style)
        axes.add_collection(lines)
        if colour != GREY:
            axes.add_collection(PolyCollection(tips, facecolors=colour, lw=0, **style))
        axes.plot([], [], color=colour, lw=max(width, 1.5), label=text)
    _draw_nodes(axes, places, sizes, radius)
    axes.set_aspect("equal")
    axes.set_xlim(-2.0, 2.0)
    reach = max(np.abs(curves[..., 1]).max(initial=0.0), np.abs(places[:, 1]).max(initial=0.0))
    axes.set_ylim(-reach - 0.12, reach + 0.2)
    axes.axis("off")
    _legend_below(axes, 0.0)


def _legend_below(axes: Axes, at: float) -> None:
    look = {"frameon": False, "fontsize": canvas.SMALL + 1}
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, at), ncols=3, **look)


_NODE_LOOKS = (
    ("inputs", "s", PALE),
    ("memory", "h", GREEN),
    ("hidden", "o", SKY),
    ("outputs", "D", "#F0E442"),
)


def _draw_nodes(axes: Axes, places: np.ndarray, sizes: Sequence[int], radius: float) -> None:
    first = 0
    for (name, marker, colour), count in zip(_NODE_LOOKS, sizes, strict=True):
        here = places[first : first + count]
        first += count
        if not count:
            continue
        area = (radius / 0.045) ** 2 * 110
        axes.scatter(*here.T, s=area, marker=marker, fc=colour, ec=BLACK, lw=0.8, zorder=9)
        if name in ("inputs", "outputs"):
            text = f"{count} {name if count > 1 else name[:-1]}"
            axes.text(here[0, 0], here[:, 1].max() + 0.1, text, ha="center", fontsize=canvas.NORMAL)
        else:
            look = {"s": 90, "marker": marker, "fc": colour, "ec": BLACK, "lw": 0.8}
            axes.scatter([], [], label=f"{count} {name} nodes", **look)


def _draw_adjacency(
    figure: Figure,
    axes: Axes,
    graph: Graph,
    sizes: Sequence[int],
    looped: np.ndarray,
    cycle: list[int],
    weights: np.ndarray | None,
) -> None:
    """Who sends to whom as an image: receivers down, senders across."""
    from matplotlib.colors import ListedColormap

    num_nodes = sum(sizes)
    bins = min(num_nodes, _IMAGE_SIZE)
    place = lambda nodes: nodes.astype(np.int64) * bins // num_nodes  # noqa: E731
    at = (place(graph.receivers), place(graph.senders))
    extent = (-0.5, num_nodes - 0.5, num_nodes - 0.5, -0.5)
    placed = {"extent": extent, "interpolation": "nearest"}
    image = np.zeros((bins, bins))
    if weights is None:
        np.maximum.at(image, at, 1.0 + looped + (looped & (graph.reverse >= 0)))
        cmap: Any = ListedColormap(["white", PALE, BLUE, ORANGE])
        axes.imshow(image, cmap=cmap, vmin=0, vmax=3, **placed)
        both = graph.reverse >= 0
        for chosen, colour, text in (
            (~looped, PALE, "leads in or out, never back"),
            (looped & ~both, BLUE, "inside the strongly connected part"),
            (looped & both, ORANGE, "with an opposite edge"),
        ):
            if chosen.any():
                axes.plot([], [], "s", color=colour, ms=10, label=text)
    else:
        largest = np.argsort(np.abs(weights), kind="stable")  # of several in a pixel the largest
        image[at[0][largest], at[1][largest]] = weights[largest]
        limit = np.quantile(np.abs(weights), 0.99) or np.abs(weights).max() or 1.0
        shown = axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, **placed)
        figure.colorbar(shown, ax=axes, shrink=0.7).set_label("weight", fontsize=canvas.NORMAL)
    if cycle:
        spots = (graph.senders[cycle], graph.receivers[cycle])
        text = f"a shortest cycle ({len(cycle)} edges)"
        axes.scatter(*spots, s=90, marker="o", fc="none", ec=VERMILLION, lw=2, label=text)
    canvas.dress(axes, "", "sender", "receiver")
    _name_blocks(axes, sizes)
    _legend_below(axes, -0.2)


def _name_blocks(axes: Axes, sizes: Sequence[int]) -> None:
    """Lines between the kinds of nodes, and their names instead of numbers."""
    ends = np.cumsum((0, *sizes))
    middles, names = [], []
    for (name, _, _), count, low, high in zip(_NODE_LOOKS, sizes, ends[:-1], ends[1:], strict=True):
        if not count:
            continue
        middles.append((low + high - 1) / 2)
        names.append(f"{count:,} {name}" + " nodes" * (name in ("memory", "hidden")))
        for edge in (low, high):
            if 0 < edge < ends[-1]:
                axes.axhline(edge - 0.5, color=BLACK, lw=0.8)
                axes.axvline(edge - 0.5, color=BLACK, lw=0.8)
    slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(middles, names, fontsize=canvas.SMALL + 1, **slanted)
    axes.set_yticks(middles, names, fontsize=canvas.SMALL + 1)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)
