"""Learners side by side: every entrant on every task of a suite, on the same streams.

A *cell* is one entrant on one task. What it depends on (networks, theta, task, seeds ...) is
written as canonical JSON and hashed; a finished cell is a file of that name, so that whatever is
asked for later, no cell is lived twice. Cells are lived in processes of their own: what kills one
of them costs one cell.

No figure stands without its limits: chance, reservoir and an online LSTM are always beside, and
below a rule the same networks with plasticity off (frozen) and with every synapse's change given to
another (shuffled). A loss below the floor of its task cannot be honest and is never a result.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import math
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from loopymeta import _machine, _validate, data, parameters, registry, runs
from loopymeta._jax import Array, jax
from loopymeta._version import __version__
from loopymeta.checkpoint import make_folder, write_atomic
from loopymeta.config import Control, NetworkConfig
from loopymeta.interventions import interventions_of
from loopymeta.learners import HostLearner, HostLife, by_name
from loopymeta.lifetime import Learner, Lifetime, Plastic
from loopymeta.rule_text import rule_from_text
from loopymeta.rules import Delta, Rule
from loopymeta.suite import Entry
from loopymeta.tasks.base import Episode, Outcome, Task

CELL_FORMAT = "loopymeta-cell"
CELL_VERSION = 2
"""To be raised when a change of the code changes figures: cells of other versions do not count."""
HOST_CELL_VERSION = 3
"""The same, of learners that live on the host."""

CHANCE = "chance"
RIVAL = "lstm"
"""The learner that rules are held against, task by task."""
BESIDE = ("reservoir", RIVAL, CHANCE)
"""Who always stands beside."""
CONTROLS: tuple[Control, ...] = ("frozen", "shuffled")
CHANCE_OF_ALARM = 0.001
"""How often a learner that is exactly at its floor may be taken for one below it."""
CHANCE_OF_CLEAR = 0.05
"""How often two equal learners may be called clearly different on a task."""

DEFAULT_NETWORK = NetworkConfig(num_hidden=128, output_rule=Delta())
"""Where rules given by text live: hidden synapses by the rule, outputs by the reservoir's rule."""

Metrics = dict[str, list[float]]
Result = dict[str, Any]


# --- entrants ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Entrant:
    """Who is compared: a rule in its networks, one of its controls, a learner by name, or chance.

    Attributes:
      name: what it is called in tables; no two entrants share one.
      kind: ``rule``, ``learner`` or ``chance``.
      rule: the name of the rule that a control belongs to, and of the rule itself; else empty.
      network: of rules and their controls.
      theta: meta-parameters as JSON holds them; None: the rule's or learner's own.
      learner: its name, with options if need be (`loopymeta.learners.by_name`).
      hidden: hidden nodes of a learner; None: its own number.
    """

    name: str
    kind: Literal["rule", "learner", "chance"]
    rule: str = ""
    network: NetworkConfig | None = None
    theta: Any = None
    learner: str = ""
    hidden: int | None = None

    @property
    def control(self) -> str:
        """``none`` for a rule under test, else which control it is; empty for others."""
        return self.network.control if self.network else ""

    @property
    def compiled(self) -> bool:
        """Whether it lives in compiled programs, as all do but learners that live on the host."""
        return self.kind != "learner" or by_name.check(self.learner).compiled

    def content(self) -> dict[str, Any]:
        """All that its figures depend on, as JSON holds it."""
        if self.network is not None:
            network = runs.to_dict(self.network, "network")
            return {"kind": "rule", "network": network, "theta": self.theta}
        if self.kind == "chance":
            return {"kind": "chance"}
        found = {"kind": "learner", "learner": self.learner, "hidden": self.hidden}
        return found if self.theta is None else found | {"theta": self.theta}

    def settings(self, task: Task) -> Any:
        """The numbers of a learner on a task, which are no part of its name."""
        plain = self.learner == "reservoir" and self.hidden is None
        if self.kind != "learner" or self.learner == "counts" or plain:
            return None
        try:
            learner: Any = by_name.learner_of(self.learner, task, self.hidden)
        except Exception:  # what it is that cannot be, the cell will say
            return None
        if isinstance(learner, Plastic):  # a reservoir, whose graphs follow from its name
            return repr(learner.network)
        return dataclasses.asdict(learner) if dataclasses.is_dataclass(learner) else None


def suited(network: NetworkConfig, rule: Rule) -> NetworkConfig:
    """The networks with a rule by name: with what it needs, without what it has no use for."""
    from loopymeta.network import has_rate

    network = dataclasses.replace(network, rule=rule)
    if "reward" in rule.needs:  # of which other rules at the outputs would know nothing
        network = dataclasses.replace(network, teaching="reward", output_rule=None)
    if "noise" in rule.needs:
        network = dataclasses.replace(network, noise=0.1)
    if network.rate_fan_in is not None and not has_rate(rule):
        network = dataclasses.replace(network, rate_fan_in=None)
    return network


def resized(network: NetworkConfig, hidden: int | None) -> NetworkConfig:
    """The networks with so many hidden nodes (memory nodes, where there are no others)."""
    if hidden is None:
        return network
    _validate.at_least("hidden", hidden, 1)
    if network.num_hidden:
        return dataclasses.replace(network, num_hidden=hidden)
    return dataclasses.replace(network, num_memory=hidden)


def entrant_of(
    name: str,
    taken: Iterable[str] = (),
    *,
    hidden: int | None = None,
    learner_hidden: int | None = None,
) -> Entrant:
    """Who a name names: a rule (as text, rule file or run folder), a learner, or chance.

    Args:
      name: a rule as text, a rule file, a run folder, a learner (`loopymeta.learners.by_name`), or
        ``chance``.
      taken: names of other entrants, which this one must not have.
      hidden: hidden nodes of the networks of a rule; None: those of the rule file, or of
        `DEFAULT_NETWORK`.
      learner_hidden: hidden nodes of a learner; None: its own.

    Raises:
      ValueError: the name is not known (the nearest is suggested), or the rule cannot be read.
    """
    from loopymeta import training

    if name == CHANCE:
        return Entrant(name, "chance", learner=name)
    stored = os.path.exists(name) and training.is_learner(name)
    if stored or by_name.known(name):
        text, theta = training.read_learner(name) if stored else (name, None)
        theta = None if theta is None else parameters.theta_to_json(theta)
        size = learner_hidden if by_name.check(text).size else None
        shown = _rule_name(name, taken) if stored else name
        return Entrant(shown, "learner", theta=theta, learner=text, hidden=size)
    network, theta = _networks_of(name, hidden)
    name = _rule_name(name, taken)
    return Entrant(name, "rule", rule=name, network=network, theta=theta)


def entrants_of(
    names: Sequence[str], *, hidden: int | None = None, learner_hidden: int | None = None
) -> list[Entrant]:
    """Who was named, each rule followed by its controls, and who always stands beside.

    Args:
      names: see `entrant_of`.
      hidden, learner_hidden: see `entrant_of`.

    Raises:
      ValueError: see `entrant_of`.

    >>> [entrant.name for entrant in entrants_of(["oja(eta=0.1)"])]
    ['oja(eta=0.1)', 'frozen', 'shuffled', 'reservoir', 'lstm', 'chance']
    """
    named: list[Entrant] = []
    for name in dict.fromkeys((*names, *BESIDE)):
        taken = [entrant.name for entrant in named]
        named.append(entrant_of(name, taken, hidden=hidden, learner_hidden=learner_hidden))
    rules = [(entrant, entrant.network) for entrant in named if entrant.network is not None]
    found = []
    for rule, network in rules:
        found.append(rule)
        for control in CONTROLS:
            shown = control if len(rules) == 1 else f"{rule.name}: {control}"
            controlled = dataclasses.replace(network, control=control)
            found.append(dataclasses.replace(rule, name=shown, network=controlled))
    others = [e for e in named if e.network is None and e.name not in BESIDE]
    return [*found, *others, *(e for name in BESIDE for e in named if e.name == name)]


def _networks_of(name: str, hidden: int | None) -> tuple[NetworkConfig, Any]:
    """(networks, theta as JSON holds it) of a rule as text, a rule file or a run folder."""
    from loopymeta import training

    if os.path.exists(name):
        network, theta = training.read_rule(name)
        return resized(network, hidden), parameters.theta_to_json(theta)
    if "(" not in name and ("/" in name or name.endswith(".json")):
        raise ValueError(f"there is no run or rule file {name}")
    known = {**registry.RULES, **registry.WRAPPERS}
    if name.isidentifier() and name not in known:
        raise _validate.unknown("rule or learner", name, [*known, *by_name.LEARNERS])
    return suited(resized(DEFAULT_NETWORK, hidden), rule_from_text(name)), None


_WIDEST = 24


def _rule_name(name: str, taken: Iterable[str]) -> str:
    """What a rule is called in a table: short, and like no other."""
    if os.path.exists(name):
        path = Path(name).absolute()
        path = path.parent if path.name == "rule.json" else path
        name = path.name if path.is_dir() else path.stem
    elif len(name) > _WIDEST:  # the rules that it is made of, without their numbers
        name = re.sub(r",?\s*\w+=[^,()'\"]*", "", name).replace("()", "")
    name = name if len(name) <= _WIDEST else f"{name[: _WIDEST - 1]}…"
    others = {*taken, *by_name.LEARNERS, *CONTROLS, CHANCE}
    places = (name if place == 1 else f"{name} {place}" for place in range(1, len(others) + 2))
    return next(shown for shown in places if shown not in others)


# --- cells ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cell:
    """One entrant on one task.

    Attributes:
      entrant: its name.
      task: the name of the suite's entry.
      text: all that its result depends on, as canonical JSON.
      group: cells of one group share programs.
      cost: about how long it takes, in units of its own.
    """

    entrant: str
    task: str
    text: str
    group: str = ""
    cost: float = 0.0

    @property
    def digest(self) -> str:
        """SHA-256 of the text: the name of its file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


def cell_of(entrant: Entrant, name: str, entry: Entry, seeds: int, seed: int) -> Cell:
    """The cell of an entrant on an entry. The entry's metric is no part of it: all are kept."""
    content = {
        "version": CELL_VERSION if entrant.compiled else HOST_CELL_VERSION,
        "loopymeta": __version__,
        "entrant": runs.to_dict(entrant.content()),
        "settings": entrant.settings(entry.task),
        "task": runs.to_dict(entry.task, "task"),
        "seeds": seeds,
        "seed": seed,
    }
    spec = entry.task.spec
    group = f"{spec.num_inputs} {spec.num_outputs} {spec.length} {spec.loss}"
    return Cell(entrant.name, name, _canonical(content), group, _cost(entrant, entry))


def _cost(entrant: Entrant, entry: Entry) -> float:
    """About how many synapses are updated in a lifetime: what begins last should be short."""
    hidden = entrant.hidden or {"reservoir": 512, "lstm": 256, "gru": 220}.get(entrant.learner, 16)
    if entrant.network is not None:
        hidden = entrant.network.num_memory + entrant.network.num_hidden
    return 0.0 if entrant.kind == "chance" else entry.task.spec.length * float(100 + hidden) ** 2


def read_cell(folder: Path, cell: Cell) -> Result | None:
    """The result of a cell that was finished before, or None where there is none.

    Raises:
      RunError: the file is there, but damaged.
    """
    path = folder / f"{cell.digest}.json"
    if not path.exists():
        return None
    stored = runs.read_json_file(path)
    if not isinstance(stored, dict) or stored.get("format") != CELL_FORMAT:
        raise runs.RunError(f"{path} is no cell of a leaderboard")
    result = stored.get("result")
    sums = _digest([cell.text, result])
    if stored.get("sha256") != sums:
        raise runs.RunError(f"{path} is damaged")
    return result


def write_cell(folder: Path, cell: Cell, result: Result) -> None:
    """Keeps the result of a finished cell: the file is whole, or not there."""
    stored = {
        "format": CELL_FORMAT,
        "cell": json.loads(cell.text),
        "result": result,
        "sha256": _digest([cell.text, result]),
    }
    write_atomic(folder / f"{cell.digest}.json", (json.dumps(stored, indent=1) + "\n").encode())


# --- one cell is lived ---------------------------------------------------------------------------


class Unable(Exception):
    """An entrant cannot live a task: it is not made for it."""


def live_cell(text: str) -> Result:
    """Lives one cell, in this process; never raises.

    Returns:
      ``{"status": "ok", "metrics": {name: a number a seed}, "symbols", "seconds",
      "compile_seconds"}``, or ``{"status", "reason"}`` where the status is ``unable`` (the entrant
      is not made for the task) or ``failed``.
    """
    try:
        return _live(json.loads(text))
    except Unable as error:
        return {"status": "unable", "reason": str(error)}
    except Exception as error:  # whatever it is, it costs this cell alone
        return {"status": "failed", "reason": f"{type(error).__name__}: {_one_line(error)}"}


def _one_line(error: BaseException) -> str:
    line = " ".join(str(error).split())
    return line if len(line) <= 300 else f"{line[:299]}…"


def _live(content: Mapping[str, Any]) -> Result:
    from loopymeta import training

    task = runs.from_dict(content["task"], training.config_types(), "task")
    # The keys of `training.evaluate_rule`: one report, wherever it stands.
    root = jax.random.fold_in(jax.random.key(content["seed"]), 1 << 20)
    keys = list(jax.random.split(root, content["seeds"]))
    clock = _Clock()
    live = _liver(content, task, clock)
    metrics = [live(key) for key in keys]
    names = [name for name, value in metrics[0].items() if np.ndim(value) == 0]
    return {
        "status": "ok",
        "metrics": runs.to_dict({k: [float(row[k]) for row in metrics] for k in sorted(names)}),
        "symbols": task.spec.length,
        "compile_seconds": clock.compiling,
        "seconds": clock.living,
    }


class _Clock:
    """Seconds spent on compiling and on living, apart; and the programs compiled so far."""

    compiling = 0.0
    living = 0.0

    def compiled(
        self, function: Callable[..., Any], kind: str, of: Any, *more: Any
    ) -> Callable[..., Any]:
        """``function``, compiled for the first arguments that it is called with.

        ``kind``, ``of`` and ``more``: all that its program depends on beside the shapes of its
        arguments, as JSON holds it. Functions that say the same share a program.
        """
        content = (kind, of, *more)
        program: Any = None

        def call(*arguments: Any) -> Any:
            nonlocal program
            began = time.perf_counter()
            if program is None:
                shapes = [f"{jax.typeof(leaf)}" for leaf in jax.tree.leaves(arguments)]
                program = _compiled(function, arguments, _digest([content, shapes]))
            ready = time.perf_counter()
            value = jax.block_until_ready(program(*arguments))
            self.compiling += ready - began
            self.living += time.perf_counter() - ready
            return value

        return call


_PROGRAMS: collections.OrderedDict[str, Any] = collections.OrderedDict()
"""Compiled programs, by their text, and by what they depend on."""
_MOST_PROGRAMS = 128


def _compiled(function: Callable[..., Any], arguments: Any, content: str) -> Any:
    """The compiled program; one that is the same is not compiled twice, nor even traced.

    Controls are born as their rules are, and tasks of one size are lived by one program: in small
    cells compiling is nearly all that there is to do.
    """
    if content not in _PROGRAMS:
        with _refusals():
            lowered = jax.jit(function).lower(*arguments)
        text = _digest(lowered.as_text())
        _PROGRAMS[content] = _PROGRAMS[text] if text in _PROGRAMS else lowered.compile()
        _PROGRAMS[text] = _PROGRAMS[content]
    _PROGRAMS.move_to_end(content)
    while len(_PROGRAMS) > _MOST_PROGRAMS:
        _PROGRAMS.popitem(last=False)
    return _PROGRAMS[content]


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What loopymeta itself refuses in here is said by `Unable`; other errors are errors."""
    try:
        yield
    except (ValueError, TypeError) as error:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        raised_in = "" if last is None else last.tb_frame.f_code.co_filename
        if Path(raised_in).is_relative_to(Path(__file__).parent):
            raise Unable(_one_line(error)) from error
        raise


def _liver(
    content: Mapping[str, Any], task: Task, clock: _Clock
) -> Callable[[Array], dict[str, Array]]:
    """One lifetime of a cell: key -> metrics.

    Sampling, birth, life and score are programs of their own, so that cells can share them.
    """
    entrant, of_task = content["entrant"], content["task"]
    sample = clock.compiled(task.sample, "sample", of_task)
    # The stream that a learner lives through with a key (see Lifetime.start).
    keys_of = lambda key: jax.random.split(jax.random.fold_in(key, 0))  # noqa: E731
    if entrant["kind"] == "chance":
        best, score = _constant(task, sample), clock.compiled(task.score, "score", of_task)

        def guess(key: Array) -> dict[str, Array]:
            episode = sample(keys_of(key)[0])
            return score(_guessed(task, best, episode), episode)

        return guess
    with _refusals():
        learner, theta = learner_of(entrant, task, content["seed"])
    if isinstance(learner, HostLearner):
        return _host_liver(learner, theta, task, of_task, clock)
    lifetime = Lifetime(learner, task)
    spec, acts = task.spec, repr(interventions_of(task))
    sizes = [spec.num_inputs, spec.num_outputs, spec.loss, spec.symbols_lived]
    # A rule's network is made of its content, the sizes and the seed; a learner by name says all.
    who = [entrant, content["seed"]] if entrant["kind"] == "rule" else repr(learner)
    birth = clock.compiled(learner.init, "birth", who, sizes)
    live = clock.compiled(_lived_through(lifetime), "life", who, sizes, acts)
    limits = [getattr(learner, name, None) for name in ("max_ticks", "ticks_behind")]
    score = clock.compiled(
        lambda outcome, episode: lifetime.score(outcome, episode)[1], "score", of_task, limits
    )

    def whole(key: Array) -> dict[str, Array]:
        key_task, key_learner = keys_of(key)
        episode = sample(key_task)
        return score(live(theta, birth(key_learner, theta), episode, key), episode)

    return whole


def _host_liver(
    learner: HostLearner, theta: Any, task: Task, of_task: Any, clock: _Clock
) -> Callable[[Array], dict[str, Array]]:
    """As `_liver`, for a learner that no program can be compiled of."""
    sample = clock.compiled(task.sample, "sample", of_task)
    score = clock.compiled(task.score, "score", of_task)

    def whole(key: Array) -> dict[str, Array]:
        episode = sample(jax.random.split(jax.random.fold_in(key, 0))[0])
        with _refusals():
            life = HostLife(learner, task, key, theta, episode)
        began = time.perf_counter()
        life.advance()
        clock.living += time.perf_counter() - began
        return score(life.outcome(), episode)

    return whole


def _lived_through(lifetime: Lifetime) -> Callable[..., Outcome]:
    """(theta, newborn, episode, key) -> what came of the lifetime."""
    return lambda theta, newborn, episode, key: lifetime.through(theta, newborn, episode, key)[1]


def learner_of(
    entrant: Mapping[str, Any], task: Task, seed: int
) -> tuple[Learner | HostLearner, Any]:
    """(learner, theta) of an entrant's content."""
    from loopymeta import training

    if entrant["kind"] == "learner":
        learner = by_name.learner_of(entrant["learner"], task, entrant["hidden"])
        return learner, _fitted(entrant.get("theta"), learner)
    types = training.config_types()
    network = runs.from_dict(entrant["network"], types, "network", NetworkConfig)
    plastic = network.build(task.spec, seed + 2_000_003)
    return plastic, _fitted(entrant["theta"], plastic)


def _fitted(stored: Any, learner: Any) -> Any:
    """The theta that JSON holds, which must be one of the learner's; None: its own."""
    own = learner.init_theta()
    if stored is None:
        return own
    return parameters.check_theta(parameters.theta_from_json(stored), own, space=learner.space())


# --- chance --------------------------------------------------------------------------------------


def _constant(task: Task, sample: Callable[[Array], Episode]) -> np.ndarray:
    """The best constant guess: what is wanted on average, over lifetimes apart from those reported.

    Log probabilities [O] of symbols; the mean [O] of vectors.
    """
    num = int(np.clip(20_000 // task.spec.length, 4, 64))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 1 << 21), num)
    lifetimes = [sample(key) for key in keys]
    wanted = np.concatenate([np.asarray(e.target)[np.asarray(e.scored)] for e in lifetimes])
    if task.spec.loss == "squared_error":
        return wanted.mean(0)
    counts = np.bincount(wanted, minlength=task.spec.num_outputs) + 0.5
    return np.log(counts / counts.sum()).astype(np.float32)


def _guessed(task: Task, best: np.ndarray, episode: Episode) -> Outcome:
    """What comes of always guessing ``best``."""
    target = np.asarray(episode.target)
    ones = np.ones(len(target), np.float32)
    if task.spec.loss == "squared_error":
        prediction = np.broadcast_to(best, target.shape)
        loss, correct = ((prediction - target) ** 2).sum(1), 0 * ones
    else:
        prediction, loss = None, -best[target]
        correct = (target == best.argmax()).astype(np.float32)
    return Outcome(loss, correct, ones, prediction)  # type: ignore[arg-type]


# --- processes -----------------------------------------------------------------------------------


def work() -> None:
    """What a worker process does: reads cells, a line each, and answers with their results.

    It ends as soon as nobody can ask any more, even in the middle of a cell: no worker outlives the
    process that started it, however that ended.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started it
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not come between the answers
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            asked.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        print(json.dumps(live_cell(asked.get())), file=answers, flush=True)


def _environment(optimise: bool) -> dict[str, str]:
    """One core a worker, and the loopymeta that runs here."""
    package = str(Path(__file__).parent.parent)
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    flags = "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=1"
    given = os.environ.get("XLA_FLAGS", "")
    given += "" if optimise else f" {_machine.hasty_flags()}"
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # One lifetime of one small network is no work for an accelerator, which workers would share.
    usual = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**usual, **os.environ, **alone, "PYTHONPATH": path, "XLA_FLAGS": f"{given} {flags}"}


class _Worker:
    """A process that lives cells, one after another."""

    def __init__(self, optimise: bool) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `end`)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from loopymeta import leaderboard; leaderboard.work()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(optimise),
        )
        self.pid = self._process.pid

    def live(self, cell: Cell) -> Result:
        """The result of a cell; failed, where the process died of it."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None and answers is not None
        with contextlib.suppress(OSError):  # it is dead, which the answer will say
            asked.write(f"{cell.text}\n".encode())
            asked.flush()
        line = answers.readline()
        if line.endswith(b"\n"):
            return json.loads(line)
        return {"status": "failed", "reason": self._epitaph()}

    def _epitaph(self) -> str:
        status = self._process.wait()
        if status < 0:
            name = signal.Signals(-status).name
            hint = ": out of memory?" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{hint}"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with status {status}: {said[-1] if said else 'it said nothing'}"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


class _Workers:
    """Several workers, which share the cells; a thread waits for each."""

    def __init__(self, cells: Iterable[Cell], num: int, optimise: bool):
        self._optimise = optimise
        self._todo = list(cells)
        self._busy: dict[int, str] = {}  # thread -> group
        self._lock, self._closed = threading.Lock(), False
        self._workers: list[_Worker] = []
        self._events: queue.SimpleQueue[tuple[Cell, int, Result | None]] = queue.SimpleQueue()
        self._left = len(self._todo)
        self._threads = [
            threading.Thread(target=self._serve, daemon=True) for _ in range(min(num, self._left))
        ]

    def __enter__(self) -> _Workers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.end()

    def __iter__(self) -> Iterator[tuple[Cell, int, Result | None]]:
        """(cell, process, None) when a cell begins, (cell, process, result) when it has ended."""
        while self._left:
            event = self._events.get()
            self._left -= event[2] is not None
            yield event

    def _hire(self) -> _Worker | None:
        with self._lock:
            if self._closed:
                return None
            self._workers.append(_Worker(self._optimise))
            return self._workers[-1]

    def _take(self) -> Cell | None:
        """The next cell: of the group that this thread is at, else of one that nobody is at."""
        me = threading.get_ident()
        with self._lock:
            if not self._todo or self._closed:
                return None
            mine = [cell for cell in self._todo if cell.group == self._busy.get(me)]
            free = (cell for cell in self._todo if cell.group not in self._busy.values())
            cell = mine[0] if mine else next(free, self._todo[0])
            self._todo.remove(cell)
            self._busy[me] = cell.group
            return cell

    def _serve(self) -> None:
        worker = None
        while (cell := self._take()) is not None:
            try:
                worker = worker if worker is not None and worker.alive else self._hire()
                if worker is None:
                    return
                self._events.put((cell, worker.pid, None))
                self._events.put((cell, worker.pid, worker.live(cell)))
            except Exception as error:  # no process can be started, its answer cannot be read
                reason = f"{type(error).__name__}: {_one_line(error)}"
                self._events.put((cell, 0, {"status": "failed", "reason": reason}))


# --- the comparison ------------------------------------------------------------------------------


class Watcher:
    """Hears how a comparison goes on; this one says nothing."""

    def begin(self, cells: int, kept: int) -> None:
        """So many cells are asked for, of which so many are finished already."""

    def started(self, cell: Cell, process: int) -> None:
        """A cell begins, in a process."""

    def finished(self, cell: Cell, result: Result) -> None:
        """A cell is done, in whatever way."""

    def note(self, text: str) -> None:
        """Something that is worth knowing."""

    def end(self) -> None:
        """It is over, whether it is done, was stopped or failed."""


def compare(
    entrants: Sequence[Entrant],
    entries: Mapping[str, Entry],
    *,
    seeds: int = 4,
    seed: int = 0,
    out: str | os.PathLike[str] = "runs/leaderboard",
    jobs: int | None = None,
    optimise: bool = True,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Every entrant on every entry, on the same lifetimes; finished cells are not lived again.

    Args:
      entrants: from `entrants_of`; chance must be among them.
      entries: of a suite, by name.
      seeds: lifetimes, at least 2: there is no spread, and no test of a floor, without.
      seed: of the lifetimes.
      out: folder; cells are kept in its folder ``cells``.
      jobs: processes; None: one a core; 0: all in this process, one after another.
      optimise: False: programs are compiled in a third of the time and run slower, for the quick
        suite.
      watcher: hears of the progress.

    Returns:
      ``about``, ``entrants``, ``tasks``, ``cells`` and ``against`` (see `figures`), plain data as
      JSON holds it.

    Raises:
      ValueError, TypeError: for numbers that cannot be. OSError: nothing can be written.
    """
    _validate.at_least("seeds", seeds, 2)
    _validate.at_least("seed", seed, 0)
    jobs = _machine.num_cores() if jobs is None else jobs
    _validate.at_least("jobs", jobs, 0)
    watcher = watcher or Watcher()
    folder = Path(out) / "cells"
    make_folder(folder)
    entries = _at_hand(entries, watcher)
    cells = [
        cell_of(entrant, name, entry, seeds, seed)
        for name, entry in entries.items()
        for entrant in entrants
    ]
    results = _kept(folder, cells, watcher)
    todo = {cell.digest: cell for cell in cells if cell.digest not in results}
    watcher.begin(len({cell.digest for cell in cells}), len(results))
    costs: dict[str, float] = collections.defaultdict(float)
    for cell in todo.values():
        costs[cell.group] += cell.cost
    # Groups together, which share programs; the slow ones first, so that none is left at the end.
    slow_first = sorted(todo.values(), key=lambda c: (-costs[c.group], c.group, c.task, -c.cost))
    try:
        # Closed at once, so that its processes end before whatever stopped it is told.
        with contextlib.closing(_lived(slow_first, jobs, optimise, watcher)) as lived:
            for cell, result in lived:
                if result["status"] != "failed":
                    write_cell(folder, cell, result)
                results[cell.digest] = result
                watcher.finished(cell, result)
    finally:
        watcher.end()
    of_cells = {(cell.task, cell.entrant): results[cell.digest] for cell in cells}
    return figures(entrants, entries, of_cells, seeds=seeds, seed=seed)


def _at_hand(entries: Mapping[str, Entry], watcher: Watcher) -> dict[str, Entry]:
    """The entries whose data can be had; of the others a note."""
    found = {}
    for name, entry in entries.items():
        try:
            _ = entry.task.spec
        except data.DataError as error:
            watcher.note(f"{name} is left out: {_one_line(error)}")
            continue
        found[name] = entry
    if not found:
        raise data.DataError("the data of no task could be had (see the notes)")
    return found


def _kept(folder: Path, cells: Iterable[Cell], watcher: Watcher) -> dict[str, Result]:
    """The results that are there already, by digest."""
    found = {}
    for cell in cells:
        try:
            result = found.get(cell.digest) or read_cell(folder, cell)
        except ValueError as error:
            watcher.note(f"{_one_line(error)}; it is lived again")
            continue
        if result is not None:
            found[cell.digest] = result
    return found


def _lived(
    cells: Sequence[Cell], jobs: int, optimise: bool, watcher: Watcher
) -> Generator[tuple[Cell, Result], None, None]:
    """(cell, result) of each, as they are done."""
    if not jobs:
        for cell in cells:
            watcher.started(cell, os.getpid())
            yield cell, live_cell(cell.text)
        return
    with _Workers(cells, jobs, optimise) as workers:
        for cell, process, result in workers:
            if result is None:
                watcher.started(cell, process)
            else:
                yield cell, result


# --- figures -------------------------------------------------------------------------------------


def figures(
    entrants: Sequence[Entrant],
    entries: Mapping[str, Entry],
    results: Mapping[tuple[str, str], Result],
    *,
    seeds: int,
    seed: int,
) -> dict[str, Any]:
    """The leaderboard from the results of its cells, (entry, entrant) -> result.

    Of each cell: the ``status`` (``ok``; ``below floor``; ``not finite``; ``unable``; ``failed``),
    and where it is ok ``mean``, ``spread`` (standard deviation over seeds) and ``score``, 0 at
    chance and 1 at the best figure that can be (where that is not known: at the best one here).
    """
    cells = []
    for name, entry in entries.items():
        row = [_figure(entry, name, entrant, results[name, entrant.name]) for entrant in entrants]
        _score(entry, row)
        cells += row
    return runs.to_dict(
        {
            "about": {
                "seeds": seeds,
                "seed": seed,
                "spread": "standard deviation over seeds",
                "cell_version": CELL_VERSION,
                "host_cell_version": HOST_CELL_VERSION,
                "versions": runs.versions(),
                "cell_seconds": sum(c.get("seconds", 0) + c.get("compile", 0) for c in cells),
            },
            "entrants": [
                {
                    "name": e.name,
                    "kind": e.kind,
                    "rule": e.rule,
                    "control": e.control,
                    "hidden": _hidden(e),
                }
                for e in entrants
            ],
            "tasks": [
                {
                    "name": name,
                    "family": entry.family,
                    "metric": entry.metric,
                    "higher_is_better": entry.higher_is_better,
                    "best": entry.best,
                    "floor": entry.task.spec.floor,
                    "symbols": entry.task.spec.length,
                    "task": entry.task,
                }
                for name, entry in entries.items()
            ],
            "cells": cells,
            "against": _against(entrants, entries, cells),
        }
    )


def _figure(entry: Entry, name: str, entrant: Entrant, result: Result) -> dict[str, Any]:
    """What a table says of one cell."""
    cell: dict[str, Any] = {"task": name, "entrant": entrant.name, "status": result["status"]}
    if result["status"] != "ok":
        return cell | {"reason": result["reason"]}
    if entry.metric not in result["metrics"]:
        error = _validate.unknown(f"metric of {name},", entry.metric, result["metrics"])
        return cell | {"status": "failed", "reason": str(error)}
    values = np.array(result["metrics"][entry.metric], float)
    losses = np.array(result["metrics"]["loss"], float)
    seconds = result["seconds"]
    cell |= {
        "values": values.tolist(),
        "losses": losses.tolist(),
        "seconds": seconds,
        "compile": result["compile_seconds"],
        "symbols_per_second": result["symbols"] * len(values) / max(seconds, 1e-9),
    }
    if not (np.isfinite(values).all() and np.isfinite(losses).all()):
        reason = f"{entry.metric} or loss is not finite in some lifetime"
        return cell | {"status": "not finite", "reason": reason}
    if below_floor(losses, entry.task.spec.floor):
        reason = f"its loss {losses.mean():.6g} is below the floor {entry.task.spec.floor:.6g}"
        return cell | {"status": "below floor", "reason": reason}
    return cell | {"mean": values.mean(), "spread": values.std(ddof=1)}


def below_floor(losses: np.ndarray, floor: float | None) -> bool:
    """Whether losses [B] are below what can be: by more than chance would have it.

    One-sided t test at `CHANCE_OF_ALARM`, and 1e-6 for the last digits.

    >>> below_floor(np.array([0.1, 0.1]), 0.5), below_floor(np.array([0.4, 0.7]), 0.6)
    (True, False)
    """
    if floor is None:
        return False
    return bool(losses.mean() < floor - _margin(losses, CHANCE_OF_ALARM) - 1e-6)


def _margin(values: np.ndarray, tail: float) -> float:
    """What the mean of normal values [B] exceeds its expectation by with probability ``tail``."""
    from scipy import stats

    num = len(values)
    return float(stats.t.ppf(1 - tail, num - 1) * values.std(ddof=1) / math.sqrt(num))


def _score(entry: Entry, row: list[dict[str, Any]]) -> None:
    """Adds to each cell of a task its place between chance and the best."""
    means = {cell["entrant"]: cell["mean"] for cell in row if "mean" in cell}
    if CHANCE not in means:
        return
    top = max(means.values()) if entry.higher_is_better else min(means.values())
    span = (top if entry.best is None else entry.best) - means[CHANCE]
    # Where nobody could be better than chance there is nothing to place.
    if span > 0 if entry.higher_is_better else span < 0:
        for cell in row:
            if "mean" in cell:
                cell["score"] = (cell["mean"] - means[CHANCE]) / span


def _against(
    entrants: Sequence[Entrant], entries: Mapping[str, Entry], cells: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Each rule against the rival, on the tasks where both have an honest figure."""
    values = {(c["task"], c["entrant"]): np.array(c["values"]) for c in cells if "mean" in c}
    found = []
    for entrant in entrants:
        if entrant.control != "none":
            continue
        wins, losses, clear, tasks = [], [], [], 0
        for name, entry in entries.items():
            if (name, entrant.name) not in values or (name, RIVAL) not in values:
                continue
            tasks += 1
            gain = values[name, entrant.name] - values[name, RIVAL]
            gain = gain if entry.higher_is_better else -gain
            if gain.mean() == 0:
                continue
            (wins if gain.mean() > 0 else losses).append(name)
            if abs(gain.mean()) > _margin(gain, CHANCE_OF_CLEAR / 2):
                clear.append(name)
        found.append(
            {
                "rule": entrant.name,
                "rival": RIVAL,
                "tasks": tasks,
                "wins": wins,
                "losses": losses,
                "clear": clear,
            }
        )
    return found


def verdicts(board: Mapping[str, Any]) -> list[str]:
    """A sentence for each rule: on how many tasks it beats the rival, where, and where not."""

    def listed(names: Sequence[str], clear: Sequence[str]) -> str:
        return ", ".join(n if n in clear else f"({n})" for n in names) or "nowhere"

    return [
        f"{each['rule']} beats {each['rival']} on {len(each['wins'])} of {each['tasks']} tasks, on "
        f"{len(set(each['wins']) & set(each['clear']))} clearly (paired t test, "
        f"{CHANCE_OF_CLEAR:.0%} a task; in brackets what is not). "
        f"Wins: {listed(each['wins'], each['clear'])}. "
        f"Loses: {listed(each['losses'], each['clear'])}."
        for each in board["against"]
    ]


def _hidden(entrant: Entrant) -> int | None:
    """Hidden units that were asked for: of a rule's network, or of a learner that has such."""
    if entrant.network is None:
        return entrant.hidden
    return entrant.network.num_hidden or entrant.network.num_memory


def sizes(board: Mapping[str, Any]) -> str:
    """How many hidden units everyone has, in a line.

    >>> sizes({"entrants": [{"kind": "rule", "hidden": 32}, {"kind": "learner", "hidden": None}]})
    'Hidden units: 32 in networks of rules; learners have their own number.'
    """
    found: dict[str, list[int]] = {"rule": [], "learner": []}
    for entrant in board["entrants"]:
        # Figures that were written down before this was told do not say.
        if entrant["kind"] in found and entrant.get("hidden") is not None:
            found[entrant["kind"]].append(entrant["hidden"])
    rules, learners = (" or ".join(map(str, sorted(set(each)))) for each in found.values())
    parts = [f"{rules} in networks of rules"] if rules else []
    own = f"{learners} in learners whose name says no other" if learners else ""
    return f"Hidden units: {'; '.join([*parts, own or 'learners have their own number'])}."


# --- tables --------------------------------------------------------------------------------------


def _number(value: float) -> str:
    if abs(value) >= 1e4:
        return f"{value:.0e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3f}"


_SHORT = {"unable": "-", "failed": "failed", "not finite": "not finite"}


def _shown(cell: Mapping[str, Any], spread: bool = True) -> str:
    """A cell of a table: mean ± spread, or why there is none."""
    if "mean" not in cell:
        return _SHORT.get(cell["status"], cell["status"])
    text = _number(cell["mean"])
    # 0.905 ±.007: a table of many columns has no room for zeros.
    return f"{text} ±{_number(cell['spread']).removeprefix('0')}" if spread else text


def _rows(board: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[Any], list[bool]]]:
    """Task by task: (task, its cells, which of them are the best)."""
    names = [entrant["name"] for entrant in board["entrants"]]
    cells = {(cell["task"], cell["entrant"]): cell for cell in board["cells"]}
    for task in board["tasks"]:
        row = [cells[task["name"], name] for name in names]
        sign = 1 if task["higher_is_better"] else -1
        # Chance is a limit, not a learner; and who is no better is not the best.
        gains = [sign * c["mean"] for c in row if "mean" in c and c["entrant"] != CHANCE]
        top = _number(max(gains, default=math.nan))
        best = [
            "mean" in c
            and c["entrant"] != CHANCE
            and c.get("score", 0) > 0
            and _number(sign * c["mean"]) == top
            for c in row
        ]
        yield task, row, best


def _label(task: Mapping[str, Any]) -> str:
    return f"{task['name']} {'↑' if task['higher_is_better'] else '↓'}"


def _limit(task: Mapping[str, Any]) -> str:
    return "?" if task["best"] is None else _number(task["best"])


def table(board: Mapping[str, Any], width: int = 200) -> Any:
    """The leaderboard for a terminal of so many columns, as a rich table: tasks by entrants."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    spread = width >= 34 + 13 * len(board["entrants"])
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    shown.add_column("task", no_wrap=True)
    for entrant in board["entrants"]:
        test = entrant["kind"] == "rule" and entrant["control"] == "none"
        style = "" if test or entrant["kind"] == "learner" else "dim"
        # Names are folded, figures never are.
        least = 11 if spread else 6
        name = entrant["name"]
        shown.add_column(name, justify="right", style=style, min_width=least, overflow="fold")
    shown.add_column("best possible", justify="right", style="dim", min_width=8, max_width=8)
    family = None
    for task, row, best in _rows(board):
        if task["family"] != family:
            if family is not None:
                shown.add_section()
            family = task["family"]
            shown.add_row(Text(family, style="italic cyan"))
        cells = []
        for cell, bold in zip(row, best, strict=True):
            bad = cell["status"] in ("failed", "below floor", "not finite")
            look = "bold green" if bold else "red" if bad else ""
            cells.append(Text(_shown(cell, spread), style=look))
        shown.add_row(f"  {_label(task)}", *cells, _limit(task))
    return shown


def reasons(board: Mapping[str, Any]) -> list[str]:
    """Why cells have no figure: a line for each reason, with the tasks that it holds for."""
    where: dict[tuple[str, str, str], list[str]] = {}
    for cell in board["cells"]:
        if "reason" in cell:
            key = (cell["entrant"], cell["status"], _general(cell["reason"], cell["status"]))
            where.setdefault(key, []).append(cell["task"])
    return [
        f"{entrant}, {status} on {', '.join(tasks)}: {reason}"
        for (entrant, status, reason), tasks in where.items()
    ]


def _general(reason: str, status: str) -> str:
    """A reason without the name of the task that it was given for, which stands before it."""
    return reason.partition("; those of ")[0] if status == "unable" else reason


def markdown(board: Mapping[str, Any]) -> str:
    """The leaderboard as a Markdown page."""
    about, names = board["about"], [entrant["name"] for entrant in board["entrants"]]
    escape = lambda text: text.replace("|", "\\|")  # noqa: E731
    lines = [
        f"Mean ± standard deviation over {about['seeds']} fresh seeds; ↑ higher is better, ↓ lower "
        "is better; the best in bold; `best possible` is the floor or what is perfect, ? where it "
        f"is not known. {sizes(board)}",
        "",
        f"| task | metric | {' | '.join(escape(name) for name in names)} | best possible |",
        f"|---|---|{'---|' * (len(names) + 1)}",
    ]
    family = None
    for task, row, best in _rows(board):
        if task["family"] != family:
            family = task["family"]
            lines.append(f"| *{family}* |{' |' * (len(names) + 2)}")
        cells = [f"**{_shown(c)}**" if b else _shown(c) for c, b in zip(row, best, strict=True)]
        metric = task["metric"].replace("_", " ")
        lines.append(f"| {_label(task)} | {metric} | {' | '.join(cells)} | {_limit(task)} |")
    for title, sentences in (("", verdicts(board)), ("Without a figure:", reasons(board))):
        if sentences:
            lines += ["", *([title, ""] if title else []), *(f"- {escape(s)}" for s in sentences)]
    return "\n".join(lines) + "\n"


COLUMNS = (
    *("task", "family", "metric", "higher_is_better", "entrant", "kind", "rule", "control"),
    *("status", "seed", "value", "loss", "best", "floor", "symbols"),
    *("seconds", "compile_seconds", "symbols_per_second", "reason"),
)


def long_csv(board: Mapping[str, Any]) -> str:
    """The leaderboard as CSV, a row for each task, entrant and seed.

    The seconds are those of all seeds of a cell together.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    who = {entrant["name"]: entrant for entrant in board["entrants"]}
    tasks = {task["name"]: task for task in board["tasks"]}
    for cell in board["cells"]:
        row = {**tasks[cell["task"]], **who[cell["entrant"]], **cell}
        row |= {"task": cell["task"], "compile_seconds": cell.get("compile", "")}
        # A figure that is no result is not to be found among the results.
        honest = zip(cell["values"], cell["losses"], strict=True) if "mean" in cell else [("", "")]
        for seed, (value, loss) in enumerate(honest):
            writer.writerow(row | {"seed": seed, "value": value, "loss": loss})
    return text.getvalue()


def write(board: Mapping[str, Any], out: str | os.PathLike[str]) -> list[Path]:
    """Writes leaderboard.json, .csv, .md and .png into a folder: the files."""
    from loopymeta import leaderboard_plots, plots

    out = Path(out)
    texts = {
        "json": json.dumps(board, indent=1, allow_nan=False) + "\n",
        "csv": long_csv(board),
        "md": markdown(board),
    }
    files = []
    for suffix, text in texts.items():
        files.append(out / f"leaderboard.{suffix}")
        write_atomic(files[-1], text.encode())
    files.append(plots.save(leaderboard_plots.heat_map(board), out / "leaderboard.png"))
    return files


def report(board: Mapping[str, Any], out: str | os.PathLike[str], *, on_terminal: bool) -> int:
    """Prints a leaderboard and writes its files; the exit status: 1 if a cell failed, else 0."""
    files = write(board, out)
    failed = sum(cell["status"] == "failed" for cell in board["cells"])
    if not on_terminal:
        done = {"failed": failed, "files": [str(file) for file in files]}
        said = {"sizes": sizes(board), "verdicts": verdicts(board), "reasons": reasons(board)}
        LineWatcher()._line("done", **said, **done)
        return int(failed > 0)
    from rich.console import Console

    console = Console(highlight=False)
    console.print(table(board, console.width))
    console.print(
        f"mean ± standard deviation over {board['about']['seeds']} fresh seeds; ↑ higher is "
        "better, ↓ lower is better; best possible: the floor, or what is perfect; ?: not known\n"
        f"{sizes(board)}"
    )
    for lines in (verdicts(board), reasons(board), [f"files: {', '.join(map(str, files))}"]):
        for line in lines:
            console.print(f"\n{line}" if line is lines[0] else line, markup=False)
    if failed:
        console.print(f"\n{failed} cells failed; the same command tries them again")
    return int(failed > 0)


# --- what is shown while it goes on --------------------------------------------------------------


def _seconds(result: Result) -> str:
    if result["status"] != "ok":
        return f"{result['status']}: {result['reason']}"
    rate = result["symbols"] * len(result["metrics"]["loss"]) / max(result["seconds"], 1e-9)
    return (
        f"{result['seconds']:.1f} s and {result['compile_seconds']:.1f} s of compiling, "
        f"{rate:,.0f} symbols/s"
    )


class TerminalWatcher(Watcher):
    """A bar; failures, and what is worth knowing, as lines above it."""

    def begin(self, cells: int, kept: int) -> None:
        from tqdm.auto import tqdm

        form = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}, {remaining} left{postfix}"
        self._bar = tqdm(total=cells, initial=kept, desc="cells", bar_format=form)

    def started(self, cell: Cell, process: int) -> None:
        self._bar.set_postfix_str(f"{cell.entrant} on {cell.task}")

    def finished(self, cell: Cell, result: Result) -> None:
        if result["status"] == "failed":
            self._bar.write(f"{cell.entrant} on {cell.task}: {_seconds(result)}")
        self._bar.update()

    def note(self, text: str) -> None:
        print(text)

    def end(self) -> None:
        self._bar.set_postfix_str("")
        self._bar.close()


class LineWatcher(Watcher):
    """One line of JSON an event, on standard output, for programs to read."""

    def _line(self, event: str, **values: Any) -> None:
        print(json.dumps({"event": event} | runs.to_dict(values)), flush=True)

    def begin(self, cells: int, kept: int) -> None:
        self._line("begin", cells=cells, kept=kept)

    def started(self, cell: Cell, process: int) -> None:
        self._line("started", entrant=cell.entrant, task=cell.task, process=process)

    def finished(self, cell: Cell, result: Result) -> None:
        self._line("finished", entrant=cell.entrant, task=cell.task, cell=cell.digest, **result)

    def note(self, text: str) -> None:
        self._line("note", text=text)
