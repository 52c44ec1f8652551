"""Time and memory per edge of one sparse network, from a thousand to ten million edges.

python benchmarks/scaling.py [--quick] [--json]
"""

from __future__ import annotations

from typing import Any

import _measure
import step
from _measure import Table

NOTE = """Sparse, in-degree 16, five-term rule. "One network" lives alone; "enough" candidates are
as many as make half a million synapses in all, 64 at most, so that the fixed cost of a tick is
shared out. Peak memory is what running adds to the newborn networks; "buffers" is what the compiler
says it needs for arguments, results and scratch. Both should grow with the edges and no faster. Up
to about a million synapses the weights stay in the caches; beyond, memory sets the pace."""

# Half a million weights are 2 MB: more would leave the caches of a small machine.
SYNAPSES = 1 << 19
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)


def case(
    num_edges: int, count: int, ticks: int, repeats: int = 3, enough: float = 0.0
) -> dict[str, Any]:
    """One network size: nanoseconds and bytes an edge, of ``count`` candidates."""
    import time

    import jax
    import numpy as np

    network, graph = step.build("sparse", num_edges // 16 + step.NUM_INPUTS)
    edges = sum(network.num_edges)
    lanes = count > 1  # a network alone needs none
    theta = step.behind(step.candidates(network, count), lanes)
    wiring = network.wire(graph)
    stimuli = np.zeros((ticks, network.num_stimuli), np.float32)
    state = jax.block_until_ready(jax.jit(step.newborns(network, lanes))(theta, wiring))
    start = time.perf_counter()
    run = jax.jit(step.ticks_of(network, lanes)).lower(theta, wiring, state, stimuli).compile()
    compiled = time.perf_counter() - start
    sizes = run.memory_analysis()
    memory = _measure.PeakMemory()
    jax.block_until_ready(run(theta, wiring, state, stimuli))
    rise = memory.rise()
    again = {"": lambda: jax.block_until_ready(run(theta, wiring, state, stimuli))}
    seconds = _measure.fastest(again, repeats, enough)[""]
    buffers = sum(
        getattr(sizes, f"{part}_size_in_bytes") for part in ("argument", "output", "temp")
    )
    return {
        "edges": edges,
        "candidates": count,
        "ns": seconds / (ticks * edges * count) * 1e9,
        "us a tick": seconds / ticks * 1e6,
        "compile s": compiled,
        "peak MB": rise / 1e6,
        "buffers MB": buffers / 1e6,
    }


def measure(quick: bool = False) -> list[Table]:
    """A row for each size, and how level they are."""
    rows = []
    for edges in SIZES[:3] if quick else SIZES:
        # About ten million updates a run, a few hundredths of a second.
        many = max(1, min(64, SYNAPSES // edges))
        ticks = lambda count, e=edges: int(min(2000, max(3, 2e7 / (e * count))))  # noqa: E731
        given = {"num_edges": edges, "enough": 1.0 if quick else 4.0}
        one, enough = (
            _measure.run_case(__file__, given | {"count": count, "ticks": ticks(count)})
            for count in (1, many)
        )
        if failed := one.get("remark") or enough.get("remark"):
            rows.append({"edges": edges, "remark": failed})
            continue
        rows.append(
            {
                "edges": one["edges"],
                "one network, ns an edge and tick": one["ns"],
                "one network, us a tick": one["us a tick"],
                "candidates (enough)": many,
                "enough, ns an update": enough["ns"],
                "one network, peak MB": one["peak MB"],
                "peak bytes an edge": one["peak MB"] * 1e6 / one["edges"],
                "buffers, bytes an edge": one["buffers MB"] * 1e6 / one["edges"],
                "compile s": one["compile s"],
            }
        )
    spread = [row["one network, ns an edge and tick"] for row in rows if "remark" not in row]
    level = ""
    if spread:
        level = f" The slowest size takes {max(spread) / min(spread):.1f} times the fastest."
    return [Table("Time and memory per edge", NOTE + level, rows)]


if __name__ == "__main__":
    _measure.main(measure, case)
