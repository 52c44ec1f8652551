"""Symbols a second of every learner at one hidden size, and PyTorch's LSTM beside the LSTM.

Every learner lives one stream, predicts and is taught at every symbol. Each row is measured in a
process of its own, in which the learner and the online LSTM take turns; in the LSTM's own row it is
PyTorch that takes turns with it (``torch.nn.LSTMCell``, the same window, Adam), where PyTorch is
installed. Nothing else needs PyTorch.

    python benchmarks/learners.py [--quick] [--json]
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import _measure
from _measure import Table

HIDDEN = 128
CHUNK = 256
"""Symbols of a call: whole windows."""
RIVAL = "lstm(window=16, interval=16)"
TORCH = "PyTorch's LSTM"


def makers() -> dict[str, Callable[[Any, int], Any]]:
    """Name -> (task, hidden size) -> learner: all those by name, and a plastic network."""
    from loopymeta import NetworkConfig, rules
    from loopymeta.learners.by_name import LEARNERS, learner_of

    def named(text: str) -> Callable[[Any, int], Any]:
        return lambda task, hidden: learner_of(text, task, hidden)

    def plastic(task: Any, hidden: int) -> Any:
        network = NetworkConfig(num_hidden=hidden, num_graphs=1, rule=rules.RFLO())
        return network.build(task.spec)

    names = [RIVAL, *(name for name in LEARNERS if name != "lstm")]
    return {name: named(name) for name in names} | {"plastic network, rflo": plastic}


def living(learner: Any, task: Any) -> Callable[[], Any]:
    """Lives through the symbols of the task, compiled, and goes on where it stopped."""
    import jax

    from loopymeta.learners import HostLearner, HostLife
    from loopymeta.lifetime import Lifetime

    if isinstance(learner, HostLearner):
        episode = jax.jit(task.sample)(jax.random.key(0))  # once: for nobody is sampling timed
        return lambda: HostLife(learner, task, jax.random.key(0), episode=episode).advance()
    life, key, theta = Lifetime(learner, task), jax.random.key(0), learner.init_theta()
    state, episode = jax.jit(life.start)(theta, key)
    advance = jax.jit(lambda *given: life.advance(*given, key)[:2])
    advance = advance.lower(theta, state, episode).compile()

    def run() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(advance(theta, state, episode))

    return run


def torch_living(num_symbols: int, hidden: int, window: int, rate: float) -> Callable[[], Any]:
    """The same of an online LSTM in PyTorch, eagerly, on random symbols.

    Raises:
      ImportError: PyTorch is not installed.
    """
    import torch

    torch.manual_seed(0)
    cell, readout = torch.nn.LSTMCell(num_symbols, hidden), torch.nn.Linear(hidden, num_symbols)
    weights = [*cell.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(weights, lr=rate, betas=(0.5, 0.999))
    symbols = torch.randint(num_symbols, (CHUNK + 1,))
    hot = torch.nn.functional.one_hot(symbols, num_symbols).float()
    activity = (torch.zeros(hidden), torch.zeros(hidden))

    def run() -> None:
        nonlocal activity
        losses = []
        for place in range(CHUNK):
            activity = cell(hot[place], activity)
            prediction = readout(activity[0])
            losses.append(torch.nn.functional.cross_entropy(prediction, symbols[place + 1]))
            if len(losses) == window:
                optimizer.zero_grad()
                (sum(losses) / window).backward()
                optimizer.step()
                losses.clear()
                activity = tuple(part.detach() for part in activity)

    return run


def in_turns(runs: dict[str, Callable[[], Any]], repeats: int, each: float) -> dict[str, list]:
    """Seconds a call of each, ``repeats`` times in turns, over calls that fill ``each`` seconds."""
    calls = {}
    for name, run in runs.items():
        run()  # the first call may do more
        start = time.perf_counter()
        run()
        calls[name] = max(1, round(each / (time.perf_counter() - start)))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            for _call in range(calls[name]):
                run()
            taken[name].append((time.perf_counter() - start) / calls[name])
    return taken


def case(learner: str, hidden: int, repeats: int, each: float) -> dict[str, Any]:
    """One row.

    Args:
      learner: its name in `makers`.
      hidden: units, or hidden nodes.
      repeats: measurements, of which the median counts.
      each: seconds that a measurement takes at least.
    """
    from loopymeta.tasks import Caesar

    task, make = Caesar(symbols=CHUNK), makers()
    row: dict[str, Any] = {"learner": learner}
    one = make[learner](task, hidden)
    runs, other = {learner: living(one, task)}, RIVAL
    if learner != RIVAL:
        runs[RIVAL] = living(make[RIVAL](task, hidden), task)
    elif importlib.util.find_spec("torch"):
        other = TORCH
        rate = float(one.init_theta()["learning_rate"])
        runs[TORCH] = torch_living(task.spec.num_inputs, hidden, one.window, rate)
    else:
        row["remark"] = "PyTorch is not installed"
    speeds = {
        who: sorted(CHUNK / seconds for seconds in taken)
        for who, taken in in_turns(runs, repeats, each).items()
    }
    for label, who in (("", learner), (f"{other} ", other)):
        if label == "" or learner != other:
            row[f"{label}symbols/s"] = statistics.median(speeds[who])
            row[f"{label}range"] = " to ".join(f"{speeds[who][k]:,.0f}" for k in (0, -1))
    if learner != other:
        row[f"/ {other}"] = row["symbols/s"] / row[f"{other} symbols/s"]
    return row


NOTE = f"""Symbols a second in one stream of 26 letters, median of measurements in turns, with the
least and the most; in each of them a learner predicts and is taught. "/ {RIVAL}"
is the ratio to the online LSTM, "/ {TORCH}" that of the online LSTM to the same in PyTorch, run
eagerly. Counts, ppm and plastic memory have no hidden size; the last two live on the host, each
time from birth."""


def measure(quick: bool = False) -> list[Table]:
    """The table, learner by learner, each in a fresh process."""
    hidden = 32 if quick else HIDDEN
    given = {"hidden": hidden, "repeats": 5 if quick else 9, "each": 0.05 if quick else 0.3}
    rows = [_measure.run_case(__file__, {"learner": name} | given) for name in makers()]
    return [Table(f"Learners, {hidden} hidden", NOTE, rows)]


if __name__ == "__main__":
    _measure.main(measure, case)
