"""What it costs to sample a lifetime, beside what it costs to live it, for every task of the suite.

A task must never be what a search waits for: sampling a symbol is to take at most a tenth of the
time of a learner's step. Each row is measured in a process of its own.

    python benchmarks/sampling.py [--quick] [--json]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _measure
from _measure import Table

HIDDEN = 128
"""Hidden nodes of the plastic network, and units of the LSTM."""
STEPS = 1000
"""Symbols that are lived at most, to time a step."""
GOAL = 0.1
"""The part of a step's time that sampling may take."""


def learners(spec: Any) -> dict[str, Any]:
    """The learners by name, for a task's sizes."""
    from loopymeta import NetworkConfig, rules
    from loopymeta.learners import OnlineRNN

    network = NetworkConfig(num_hidden=HIDDEN, num_graphs=1, rule=rules.RFLO())
    return {"plastic": network.build(spec), "lstm": OnlineRNN.for_spec(spec, width=HIDDEN)}


def living(learner: Any, task: Any, steps: int) -> tuple[Callable[[], Any], int]:
    """(the first symbols of a lifetime, compiled: a function without arguments; how many)."""
    import jax

    from loopymeta.lifetime import Lifetime

    life, key, theta = Lifetime(learner, task), jax.random.key(0), learner.init_theta()
    state, episode = jax.jit(life.start)(theta, key)
    part = jax.tree.map(lambda x: x[:steps], episode)
    run = jax.jit(lambda *given: life.advance(*given, key)[:2])
    run = run.lower(theta, state, part).compile()
    return lambda: jax.block_until_ready(run(theta, state, part)), len(part.target)


def case(suite: str, name: str, repeats: int, enough: float = 0.0, steps: int = STEPS) -> dict:
    """One row: a task of a suite by name.

    Args:
      suite: ``full`` or ``quick``.
      name: of the entry.
      repeats: runs, of which the fastest counts.
      enough: seconds to go on with runs.
      steps: symbols that are lived at most.
    """
    import jax

    from loopymeta.suite import suite as suite_of

    task = suite_of(suite)[name].task
    spec = task.spec
    # As a search does it, so that what a call of any program costs is no part of a short lifetime.
    keys = jax.random.split(jax.random.key(1), -(-STEPS // spec.length))
    sample = jax.jit(jax.vmap(task.sample)).lower(keys).compile()
    runs: dict[str, Callable[[], Any]] = {"sample": lambda: jax.block_until_ready(sample(keys))}
    count = {"sample": len(keys) * spec.length}
    for who, learner in learners(spec).items():
        runs[who], count[who] = living(learner, task, steps)
    for run in runs.values():
        run()
    seconds = _measure.fastest(runs, repeats, enough)
    each = {who: 1e6 * taken / count[who] for who, taken in seconds.items()}
    row: dict[str, Any] = {
        "task": name,
        "symbols": spec.length,
        "sample ms": 1e3 * seconds["sample"] / len(keys),
        "sample us a symbol": each["sample"],
    }
    for who in ("plastic", "lstm"):
        row[f"{who} us a symbol"] = each[who]
        row[f"sample / {who}"] = each["sample"] / each[who]
    if max(row["sample / plastic"], row["sample / lstm"]) > GOAL:
        row["remark"] = f"more than {GOAL} of a step"
    return row


NOTE = f"""Microseconds a symbol, fastest of several runs: to sample whole lifetimes (several at
once where they are shorter than {STEPS:,} symbols), and to live the first {STEPS:,} symbols of one
(encoding, step and loss) as a plastic network of {HIDDEN} hidden nodes, all connected, by the rule
RFLO, and as an online LSTM of {HIDDEN} units. The goal is that sampling takes at most {GOAL} of a
step. In a search it takes less: all candidates live the lifetimes that were sampled once."""


def measure(quick: bool = False) -> list[Table]:
    """The table, task by task, each in a fresh process."""
    from loopymeta.suite import suite as suite_of

    suite = "quick" if quick else "full"
    given = {"suite": suite, "repeats": 3, "enough": 0.5 if quick else 2.0}
    rows = [_measure.run_case(__file__, given | {"name": name}) for name in suite_of(suite)]
    return [Table(f"Sampling, suite {suite!r}", NOTE, rows)]


if __name__ == "__main__":
    _measure.main(measure, case)
