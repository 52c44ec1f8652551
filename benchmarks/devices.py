"""One device or two: `loopymeta.evaluate` with the candidates shared out over virtual devices.

A CPU is one device to jax, which splits each operation among the cores. Two virtual devices run two
halves of the population side by side instead. Small networks have operations too small to split.

    python benchmarks/devices.py [--quick] [--json]
"""

from __future__ import annotations

from typing import Any

import _measure
import step
from _measure import Table

NOTE = """Milliseconds of one `evaluate` of a whole population, lifetimes of 100 or 200 symbols,
fastest of several. "one" is a process with one device. "two, unused" has two virtual devices and
uses one; "two" shares the candidates out. The processes run one after another, so that on a busy
machine the factors are rough. On a GPU or with one core there is nothing to share."""

CASES: dict[str, dict[str, Any]] = {
    "dense, N = 64, five terms": {"num_nodes": 64, "count": 32, "ticks": 200},
    "dense, N = 128, five terms": {"num_nodes": 128, "count": 64, "ticks": 100},
    "dense, N = 256, RunningScale(RFLO)": {
        "num_nodes": 256,
        "count": 16,
        "ticks": 100,
        "rflo": True,
    },
    "sparse, N = 200, five terms": {"num_nodes": 200, "count": 64, "ticks": 200, "kind": "sparse"},
}


def case(
    num_nodes: int,
    count: int,
    ticks: int,
    devices: int = 1,
    kind: str = "dense",
    rflo: bool = False,
    lifetimes: int = 2,
    enough: float = 3.0,
) -> dict[str, float]:
    """Seconds of one evaluation of ``count`` candidates, and of its compilation."""
    import time

    import jax

    from loopymeta.graph import Graph
    from loopymeta.lifetime import Lifetime, Plastic
    from loopymeta.meta import evaluate

    network, graph = step.build(kind, num_nodes)
    theta = step.candidates(network, count)
    if rflo:
        network, theta = _rflo(network, count)
    stack = Graph(*(values[None] for values in graph))
    objective = Lifetime(Plastic(network, stack), step.Noise(ticks))
    run = jax.jit(lambda theta, keys: evaluate(objective, theta, keys, devices=devices)[0])
    keys = jax.random.split(jax.random.key(2), lifetimes)
    start = time.perf_counter()
    compiled = run.lower(theta, keys).compile()
    took = time.perf_counter() - start
    again = {"": lambda: jax.block_until_ready(compiled(theta, keys))}
    again[""]()
    return {"seconds": _measure.fastest(again, 3, enough)[""], "compile": took}


def _rflo(network: Any, count: int) -> tuple[Any, Any]:
    """The same network under a rule with memory per synapse, and the feedback it needs."""
    import dataclasses

    import jax
    import jax.numpy as jnp

    from loopymeta import rules

    rule = rules.RunningScale(rule=rules.RFLO())
    network = dataclasses.replace(network, rule=rule, teaching="error", feedback="shared")
    born = network.init_theta()
    return network, jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), born)


def measure(quick: bool = False) -> list[Table]:
    """A row for each population."""
    import jax

    if jax.default_backend() != "cpu":
        return [Table("One device or two", NOTE + " Not measured: no CPU backend.", [])]
    rows = []
    for name, given in list(CASES.items())[: 2 if quick else None]:
        given = given | {"enough": 1.0 if quick else 4.0}
        two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
        one, unused, both = (
            _measure.run_case(__file__, given | {"devices": devices}, env)
            for devices, env in ((1, {"XLA_FLAGS": ""}), (1, two), (2, two))
        )
        failed = [result["remark"] for result in (one, unused, both) if "remark" in result]
        if failed:
            rows.append({"population": name, "remark": failed[0]})
            continue
        rows.append(
            {
                "population": name,
                "candidates": given["count"],
                "one, ms": one["seconds"] * 1e3,
                "two unused, ms": unused["seconds"] * 1e3,
                "two, ms": both["seconds"] * 1e3,
                "one / two": one["seconds"] / both["seconds"],
                "compile one, s": one["compile"],
                "compile two, s": both["compile"],
            }
        )
    return [Table("One device or two", NOTE, rows)]


if __name__ == "__main__":
    _measure.main(measure, case)
