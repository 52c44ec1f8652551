"""The command ``loopymeta``. Nothing here imports jax before it is needed: help answers at once."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import functools
import io
import itertools
import json
import os
import re
import shutil
import signal
import socket
import sys
import textwrap
import threading
import time
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NoReturn, TypeVar, cast

from loopymeta import _machine, _validate, data, graph, recipes, registry, runs
from loopymeta._version import __version__
from loopymeta.config import NetworkConfig, TrainConfig
from loopymeta.rule_text import rule_from_text, rule_to_text, task_from_text, task_to_text
from loopymeta.rules import Rule
from loopymeta.suite import Entry
from loopymeta.tasks import TASKS, Task

T = TypeVar("T")

USAGE = """usage: loopymeta COMMAND ...

Meta-learn local plasticity rules on random cyclic networks.

commands:
  train TASK     meta-learn a rule on a task, and report it beside its controls
  evaluate WHO   report a rule or learner (a run, a rule file, or by name) on a task
  generate WHO   let a rule or learner read a text, and write on
  sweep          vary networks, or a learner's options, over tasks, and show what matters
  rules [RULE]   list the plasticity rules, or show one
  learners [WHO] list the other learners, or show one
  tasks [TASK]   list the tasks, or show one
  data           list, fetch and verify the data sets
  plot RUN       draw the figures of a run again

loopymeta COMMAND --help explains a command; loopymeta train TASK --help shows all its options.
"""

ERRORS = (ValueError, TypeError, OSError, MemoryError, OverflowError, data.DataError)
"""What a person can mend: shown as one line, without a traceback."""


@dataclass(frozen=True)
class _Train(TrainConfig[T], Generic[T]):
    """Meta-learn a rule on a task, and report it on fresh seeds beside its controls."""

    out: str = "runs"
    """Folder of run folders."""
    name: str | None = None
    """Name of this run's folder; unset, the task and the time."""
    resume: str | None = None
    """A run folder to go on with; takes its configuration from there."""
    quiet: bool = False
    """One line of JSON a generation instead of a live display (the default without a terminal)."""


@dataclass(frozen=True)
class _TrainSelecting(_Train[T], Generic[T]):
    """As above, for recipes with a task of their own to choose on, whose options are then shown."""

    select_task: T = None  # type: ignore[assignment]
    """The task on which the candidate to report is chosen."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM, what a cluster says before it kills: taken for Ctrl-C."""


class _Parser(argparse.ArgumentParser):
    """Errors as one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} ({self.prog} --help explains it)")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt as stop:
        print("\nstopped", file=sys.stderr)
        return _status(stop)
    except BrokenPipeError:
        # The reader of our output went away (as with `| head`): not an error.
        _mute()
        return 0
    except (*ERRORS, RuntimeError) as error:
        if os.environ.get("LOOPYMETA_TRACEBACK") or not _mendable(error):
            raise
        print(f"loopymeta: {_one_line(error)}", file=sys.stderr)
        return 2


def _status(stop: BaseException | None) -> int:
    """The exit status of what was stopped: 128 and the number of the signal, as shells have it."""
    if isinstance(stop, BrokenPipeError):
        return 141
    return 143 if isinstance(stop, _Terminated) else 130


def _mute() -> None:
    """Nobody reads standard output any more: what is still in its buffer is not to be an error."""
    with contextlib.suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _mendable(error: Exception) -> bool:
    """Whether a person can mend it: of jax's own errors, only that the memory is full."""
    return isinstance(error, ERRORS) or "RESOURCE_EXHAUSTED" in str(error)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        named = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{named}"
    text = " ".join(str(error).split()) or type(error).__name__
    told = isinstance(error, (ValueError, TypeError, OSError, data.DataError))
    return text if told else f"too large: {text}"


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if arguments[0] in ("-V", "--version", "version"):
        print(f"loopymeta {__version__}")
        return 0
    commands = {
        "train": _train,
        "evaluate": _evaluate,
        "generate": _generate,
        "sweep": _sweep,
        "rules": _rules,
        "learners": _learners,
        "tasks": _tasks,
        "data": _data,
        "plot": _plot,
    }
    command, *rest = arguments
    if command not in commands:
        raise _validate.unknown("command", command, commands)
    with _terminable():
        return commands[command](rest)


def _our_registry() -> Any:
    """tyro's constructors and ours: rules and tasks as a line of text, connectivities by name."""
    import tyro

    constructors = tyro.constructors.ConstructorRegistry()

    @constructors.primitive_rule
    def _(info: Any) -> Any:
        kinds = set(typing.get_args(info.type) or (info.type,))
        optional = type(None) in kinds
        rules = [isinstance(k, type) and issubclass(k, Rule) for k in kinds - {type(None)}]
        if not rules or not all(rules):
            return None

        def read(words: list[str]) -> Rule | None:
            if optional and words[0] == "None":
                return None
            try:
                return rule_from_text(words[0])
            except TypeError as error:
                raise ValueError(str(error)) from None

        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="{None}|RULE" if optional else "RULE",
            instance_from_str=read,
            is_instance=lambda value: isinstance(value, tuple(kinds)),
            str_from_instance=lambda rule: ["None" if rule is None else rule_to_text(rule)],
        )

    @constructors.primitive_rule
    def _(info: Any) -> Any:
        if info.type not in (Task, Task | Entry):  # a task within a task, whichever it is
            return None

        def read(words: list[str]) -> Task:
            try:
                return task_from_text(words[0])
            except TypeError as error:
                raise ValueError(str(error)) from None

        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="TASK",
            instance_from_str=read,
            is_instance=lambda value: isinstance(value, Task),
            str_from_instance=lambda task: [task_to_text(task)],
        )

    @constructors.primitive_rule
    def _(info: Any) -> Any:
        if graph.Connectivity not in typing.get_args(info.type):
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="STR",
            instance_from_str=lambda words: words[0],
            is_instance=lambda value: isinstance(value, (str, graph.Connectivity)),
            str_from_instance=lambda value: [str(value)],
        )

    return constructors


def _options(kind: Any, words: list[str], prog: str, default: Any, description: str) -> Any:
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            # Options of the network are many: one flag a line, and no subcommands.
            return tyro.cli(
                kind,
                prog=prog,
                args=_flags(words, prog, default),
                default=default,
                description=description,
                registry=_our_registry(),
                config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        # What the whole configuration refuses is told with the name of our class.
        text = _from_box(said.getvalue()).replace(f"Error parsing {kind.__name__}: ", "")
        raise ValueError(f"{text} ({prog} --help explains it)") from None


def _from_box(text: str) -> str:
    """The message in the box that tyro draws: what stands between its title and the next rule."""
    lines = [line.strip(" │|") for line in text.splitlines()]
    parts: list[list[str]] = [[]]
    for line in lines[1:]:
        if "────" in line or "----" in line:  # the latter where a terminal has letters only
            parts.append([])
        elif line:
            parts[-1].append(line)
    return " ".join(next(part for part in [*parts, lines] if part))


def _flags(words: list[str], prog: str, default: Any) -> list[str]:
    """The words with yes-or-no options written out (--quiet, --no-quiet), all options known."""
    known = dict(_known_options(default))
    flags = []
    for place, word in enumerate(words):
        name, equals, _ = word.replace("_", "-").partition("=")
        last, _, tail = name.rpartition("--no-")
        if not word.startswith("--") or name == "--help":
            flags.append(word)
        elif name in known:
            following = words[place + 1 : place + 2]
            bare = isinstance(known[name], bool) and not equals
            if bare and (not following or following[0].startswith("-")):
                flags += [word, "True"]
            else:
                flags.append(word)
        elif not last and isinstance(known.get(f"--{tail}"), bool):
            flags += [f"--{tail}", "False"]
        else:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown option {name!r}.{hint} {prog} --help shows all options")
    return flags


def _known_options(value: Any, prefix: str = "--") -> Iterator[tuple[str, Any]]:
    """(name, default) of every option of a configuration."""
    for field in dataclasses.fields(value):
        name, inner = prefix + field.name.replace("_", "-"), getattr(value, field.name)
        if dataclasses.is_dataclass(inner) and not (
            isinstance(inner, Rule) or _within(value, inner)
        ):
            yield from _known_options(inner, name + ".")
        else:
            yield name, inner


def _within(task: Any, field: Any) -> bool:
    """Whether a field of a task is itself a task: one option, a line of text."""
    return isinstance(task, Task) and isinstance(field, Task)


# --- train ---------------------------------------------------------------------------------------


def _train(words: list[str]) -> int:
    if (words and words[0] in ("-h", "--help")) or not words:
        print("usage: loopymeta train TASK [options]\n       loopymeta train --resume RUN\n")
        print("tasks (loopymeta train TASK --help shows all options of a task):")
        for name in recipes.RECIPES:
            _print_entry(f"  {name}", _first_line(TASKS[name]), 22)
        print(f"\n{textwrap.fill(FOLLOWING, 96)}")
        return 0 if words else 2
    if words[0].startswith("-"):
        parser = _Parser(prog="loopymeta train", allow_abbrev=False, usage="%(prog)s --resume RUN")
        parser.add_argument("--resume", required=True, metavar="RUN")
        parser.add_argument("--quiet", nargs="?", const="True", default="False")
        given, others = parser.parse_known_args(words)
        if others:
            raise ValueError(f"{RESUMED}, got {others[0]}")
        return _drive(None, resume=given.resume, quiet=given.quiet == "True")
    task, *rest = words
    default = recipes.recipe(task)
    fields = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
    kind: Any = _Train if default.select_task is None else _TrainSelecting
    options = _options(
        kind[TASKS[task]],
        rest,
        f"loopymeta train {task}",
        kind(**fields),
        f"{_first_line(TASKS[task])} {FOLLOWING}",
    )
    given = {word.partition("=")[0].replace("_", "-") for word in rest if word.startswith("--")}
    if options.resume is not None:
        if given - {"--resume", "--quiet", "--no-quiet"}:
            raise ValueError(RESUMED)
        return _drive(None, resume=options.resume, quiet=options.quiet)
    config = TrainConfig(**{name: getattr(options, name) for name in fields})
    _check_learner(config.learner, given)
    config = _following(config, default, given)
    return _drive(config, out=options.out, name=options.name, quiet=options.quiet)


def _check_learner(learner: str, given: set[str]) -> None:
    """Refuses options of the networks where a learner lives instead of them."""
    for option in sorted(given) if learner else ():
        plain = option.replace("--no-", "--", 1)
        if plain.startswith("--network.") or plain == "--train-hidden":
            name = learner.partition("(")[0].strip()
            raise ValueError(
                f"{name} lives instead of the networks: leave {option} out. Its own options stand "
                f"behind its name, as in --learner 'lstm(width=64)' (loopymeta learners {name})"
            )


RESUMED = "--resume takes every option from the run; give it alone"
FOLLOWING = (
    "An option of --task holds for --train-task and --select-task too, where the recipe has the "
    "same value in them, unless they are given their own."
)


def _following(config: TrainConfig, default: TrainConfig, given: set[str]) -> TrainConfig:
    """The configuration with the options of its task in its other tasks (see `FOLLOWING`)."""
    for name in ("train_task", "select_task"):
        theirs, prefix = getattr(default, name), f"--{name.replace('_', '-')}."
        if theirs is None:
            continue
        fields = [field.name for field in dataclasses.fields(theirs)]
        changes = {
            field: getattr(config.task, field)
            for field in fields
            if getattr(default.task, field) == getattr(theirs, field)
            and prefix + field.replace("_", "-") not in given
        }
        changed = dataclasses.replace(getattr(config, name), **changes)
        config = dataclasses.replace(config, **{name: changed})
    return config


GRACE = 1.0
"""Seconds in which a second signal is the first one again, as `timeout` and schedulers send it."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Inside, SIGTERM stops as Ctrl-C does, and a second one of either ends the process at once.

    A handler of Python waits for compiled code to come back, which it may never do. So who counts
    is a thread, that hears of signals where Python notes them down.
    """

    def stop(*_: Any) -> NoReturn:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():  # others hear no signals
        yield
        return
    heard, noted = socket.socketpair()
    noted.setblocking(False)
    before = signal.signal(signal.SIGTERM, stop)
    noted_before = signal.set_wakeup_fd(noted.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_at_the_second, args=(heard,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(noted_before)
        signal.signal(signal.SIGTERM, before)
        noted.close()  # which ends the thread


def _end_at_the_second(heard: socket.socket) -> None:
    """Ends the process when the second SIGTERM or Ctrl-C is heard; returns when nobody notes."""
    first = None
    with heard:
        while numbers := heard.recv(1):
            if numbers[0] not in (signal.SIGINT, signal.SIGTERM):
                continue
            first = time.monotonic() if first is None else first
            if time.monotonic() - first >= GRACE:
                os._exit(128 + numbers[0])


def _drive(
    config: TrainConfig | None,
    *,
    out: str = "runs",
    name: str | None = None,
    resume: str | None = None,
    quiet: bool = False,
) -> int:
    _use_all_cores()
    from loopymeta import training
    from loopymeta.progress import LineReporter, TerminalReporter

    reporter = TerminalReporter() if _on_terminal() and not quiet else LineReporter()
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        try:
            if resume is not None:
                training.resume(resume, reporter=reporter)
            elif config is not None:
                training.train(config, out, name=name, reporter=reporter)
        except training.Interrupted as stopped:
            unread = isinstance(stopped.__cause__, BrokenPipeError)
            if unread:
                _mute()
            with contextlib.suppress(BrokenPipeError):  # as with `2>&1 | head`
                print(
                    f"\nstopped{', since nobody reads the output any more' if unread else ''}; "
                    f"everything up to generation {stopped.generation} is saved. Go on with\n"
                    f"  loopymeta train --resume {stopped.run.path}",
                    file=sys.stderr,
                )
            return _status(stopped.__cause__)
    return 0


def _warn(message: Warning | str, *where: Any, **more: Any) -> None:
    """A warning as one line."""
    print(f"loopymeta: {' '.join(str(message).split())}", file=sys.stderr)


def _use_all_cores() -> None:
    """On a CPU, one device a core: candidates share them (on a GPU or TPU this does nothing)."""
    # Alarms of the compiler about its own slowness would break the live display.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", _machine.num_cores())


# --- evaluate ------------------------------------------------------------------------------------


def _evaluate(words: list[str]) -> int:
    if any(word.partition("=")[0] == "--suite" for word in words):
        return _evaluate_suite(words)
    parser = _Parser(
        prog="loopymeta evaluate",
        description="Report a rule or learner on a task on fresh seeds, baselines and the controls "
        "of a rule beside; with --suite quick|full, several of them on all tasks (loopymeta "
        "evaluate --suite --help).",
    )
    help_text = "a run folder, a rule file, a rule, e.g. 'oja(eta=0.1)', or a learner: "
    help_text += f"{', '.join(_learner_names())}; with options: 'lstm(width=64)'"
    parser.add_argument("rule", metavar="WHO", help=help_text)
    help_text = "task, e.g. delay or 'garbage(delay)' (default: the one that a run was made for)"
    parser.add_argument("--task", help=help_text)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the task, e.g. --set n=4; may be repeated",
    )
    parser.add_argument("--seeds", type=int, default=8, help="lifetimes (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the lifetimes (default: 0)")
    parser.add_argument(
        "--streams",
        type=int,
        help="of a learner with gradients: lifetimes that it lives at once with one set of "
        "weights, learning from their mean gradient; baselines beside live one (default: those "
        "of the run, else 1)",
    )
    parser.add_argument("--no-baselines", action="store_true", help="without the task's baselines")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument(
        "--longest",
        type=int,
        metavar="K",
        help="memorize: instead, the longest sequence recalled >= 95 %% after K presentations",
    )
    given = parser.parse_args(words)
    _use_all_cores()
    from loopymeta import training
    from loopymeta.progress import LineReporter, TerminalReporter

    if given.json and Path(given.json).is_dir():
        raise ValueError(f"--json takes a file, and {given.json} is a folder")
    if given.json and not Path(given.json).absolute().parent.is_dir():
        raise ValueError(f"there is no folder {Path(given.json).parent} for {given.json}")
    who, theta, task = _rule_to_evaluate(given.rule, given.task)
    task = _task_with(task, given.set)
    if given.longest is not None:
        return _longest(who, theta, task, given.longest, given.seed)
    reporter = TerminalReporter() if _on_terminal() else LineReporter()
    reporter.task = training.task_name(task)
    evaluate: Any = training.evaluate_rule
    if isinstance(who, str):
        streams = given.streams
        if streams is None:
            streams = 1 if theta is None else training.read_streams(given.rule)
        evaluate = functools.partial(training.evaluate_learner, streams=streams)
        if theta is None:
            _warn_of_noise(who, "living", reporter.task, "evaluate")
    elif given.streams is not None:
        raise ValueError("--streams is for learners that have gradients, and this is a rule")
    result = evaluate(
        who,
        theta,
        task,
        seeds=given.seeds,
        seed=given.seed,
        with_baselines=not given.no_baselines,
        reporter=reporter,
    )
    reporter.table(result)
    if given.json:
        from loopymeta.checkpoint import write_atomic

        text = json.dumps(runs.to_dict(result), indent=2, allow_nan=False)
        write_atomic(Path(given.json), (text + "\n").encode())
    return 0


def _evaluate_suite(words: list[str]) -> int:
    """Learners side by side on a suite of tasks."""
    from loopymeta import suite

    parser = _Parser(
        prog="loopymeta evaluate --suite",
        usage="loopymeta evaluate [ENTRANT ...] --suite quick|full [options]",
        description="Compare learners on a suite of tasks: chance, the reservoir, an online LSTM "
        "and, for each rule, its frozen and shuffled controls stand beside. Finished cells are "
        "kept: the same command goes on where it was stopped.",
    )
    help_text = f"a run folder, a rule file, a rule, or a learner: {', '.join(_learner_names())}"
    parser.add_argument("entrants", nargs="*", metavar="ENTRANT", help=help_text)
    parser.add_argument("--suite", nargs="?", help="quick or full")
    parser.add_argument("--tasks", metavar="A,B", help="of the suite these tasks only")
    parser.add_argument("--seeds", type=int, default=4, help="lifetimes, 2 at least (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the lifetimes (default: 0)")
    parser.add_argument("--out", default="runs/leaderboard", help="folder (runs/leaderboard)")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    help_text = (
        f"hidden nodes of the rules' networks (default: quick {suite.QUICK_HIDDEN}, full their "
        f"own); learners have {suite.QUICK_HIDDEN} in quick and their own number in full, where "
        "their name does not say another, as in 'lstm(width=64)'"
    )
    parser.add_argument("--hidden", type=int, help=help_text)
    given = parser.parse_intermixed_args(words)
    from loopymeta import leaderboard

    if given.suite is None:
        raise ValueError("--suite needs quick or full behind it, e.g. --suite quick")
    entries = suite.suite(given.suite)
    if given.tasks is not None:
        for name in (names := given.tasks.split(",")):
            if name not in entries:
                raise _validate.unknown(f"task of the suite {given.suite},", name, entries)
        entries = {name: entry for name, entry in entries.items() if name in names}
    small = suite.QUICK_HIDDEN if given.suite == "quick" else None
    entrants = leaderboard.entrants_of(
        given.entrants,
        hidden=small if given.hidden is None else given.hidden,
        learner_hidden=small,
    )
    watcher = leaderboard.TerminalWatcher() if _on_terminal() else leaderboard.LineWatcher()
    try:
        board = leaderboard.compare(
            entrants,
            entries,
            seeds=given.seeds,
            seed=given.seed,
            out=given.out,
            jobs=given.jobs,
            optimise=given.suite != "quick",
            watcher=watcher,
        )
    except (KeyboardInterrupt, BrokenPipeError) as stop:
        if isinstance(stop, BrokenPipeError):
            _mute()
        with contextlib.suppress(BrokenPipeError):
            print(
                f"\nstopped; finished cells are kept in {given.out}, and the same command "
                "goes on with the others",
                file=sys.stderr,
            )
        return _status(stop)
    return leaderboard.report(board, given.out, on_terminal=_on_terminal())


def _learner_names() -> list[str]:
    from loopymeta.learners import by_name

    return list(by_name.LEARNERS)


def _longest(
    network: NetworkConfig | str, theta: Any, task: Any, presentations: int, seed: int
) -> int:
    """The growing curriculum of memorize."""
    from loopymeta.curriculum import longest_sequence
    from loopymeta.tasks import Memorize

    if isinstance(network, str):
        raise ValueError(f"--longest is for rules, and {network} is a learner")
    if not isinstance(task, Memorize):
        raise ValueError("--longest is for the task memorize")

    def say(length: int, recall: float) -> None:
        print(f"length {length:4d}  recall {recall:.3f}", flush=True)

    found = longest_sequence(
        network, theta, alphabet=task.alphabet, presentations=presentations, seed=seed, say=say
    )
    print(f"longest recalled after {presentations} presentations: {found.length}")
    return 0


def _rule_to_evaluate(rule: str, name: str | None) -> tuple[NetworkConfig | str, Any, Any]:
    """(networks or the text of a learner, theta or None, task) of what was named."""
    from loopymeta import leaderboard, training
    from loopymeta.learners import by_name

    if os.path.exists(rule):
        read: Any = training.read_learner if training.is_learner(rule) else training.read_rule
        return *read(rule), _task_of(Path(rule), name)
    learner = by_name.known(rule)
    named: Any = rule if learner else leaderboard.rule_named(rule)
    if name is None:
        raise ValueError("--task must say on which task to report a rule or learner by name")
    task = _named_task(name)
    if learner:
        by_name.check(rule)
        return rule, None, task
    default = recipes.recipe(training.task_name(task))
    network = dataclasses.replace(default.network, output_rule=None)
    return leaderboard.suited(network, named), None, task


def _named_task(text: str) -> Any:
    """The task of a recipe, by its name; with brackets behind it, exactly what they say."""
    return task_from_text(text) if "(" in text else recipes.recipe(text).task


def _task_of(path: Path, name: str | None) -> Any:
    """The task of a rule file: the very one its run reported it on, where that is known."""
    from loopymeta import training

    folder = path if path.is_dir() else path.parent
    if (folder / "config.json").is_file():
        config = training.read_config(folder)
        if name is None or training.task_name(config.task) == name:
            return config.task
    if name is None:
        file = path / "rule.json" if path.is_dir() else path
        name = runs.read_json_file(file).get("task")
        if not isinstance(name, str):
            raise ValueError(f"{file} does not say what task its rule was learned on: give --task")
    return _named_task(name)


def _task_with(task: Any, settings: list[str]) -> Any:
    """A task with the options that were set."""
    from loopymeta.training import task_name

    fields = {f.name: getattr(task, f.name) for f in dataclasses.fields(task)}
    values: dict[str, Any] = {}
    for setting in settings:
        option, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, got {setting!r}")
        if option not in fields:
            raise _validate.unknown(f"option of task {task_name(task)!r},", option, fields)
        try:
            values[option] = json.loads("null" if text == "None" else text)
        except ValueError:
            values[option] = task_from_text(text) if _within(task, fields[option]) else text
    return dataclasses.replace(task, **values)


# --- generate ------------------------------------------------------------------------------------


def _generate(words: list[str]) -> int:
    """Text from whoever models characters."""
    parser = _Parser(
        prog="loopymeta generate",
        description="Let a rule's network or a learner live through a task of text once, and then "
        "write on, a character at a time; after names a new line stands for the boundary between "
        "them. With one seed everyone draws with the same random numbers, so that the texts of two "
        "who predict alike resemble each other.",
    )
    help_text = f"a run folder, a rule file, a rule, or a learner: {', '.join(_learner_names())}"
    parser.add_argument("who", metavar="WHO", help=f"{help_text}; with options: 'lstm(width=64)'")
    help_text = "names, text (as many symbols as its recipe has), or e.g. 'text(symbols=9000)'"
    parser.add_argument("--task", default="names", help=help_text)
    help_text = "an option of the task, e.g. symbols=9000, or symbols=None for all; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=help_text)
    parser.add_argument("--length", type=int, default=300, help="characters (default: 300)")
    help_text = "1 draws from what is predicted, less from what is probable (default: 1)"
    parser.add_argument("--temperature", type=float, default=1.0, help=help_text)
    parser.add_argument("--prefix", default="", help="what it hears before it writes")
    parser.add_argument("--seed", type=int, default=0, help="seed of all (default: 0)")
    parser.add_argument("--hidden", type=int, help="hidden nodes (default: its own number)")
    help_text = "keep the lifetime here: it goes on where it was stopped, and is not lived twice"
    parser.add_argument("--file", help=help_text)
    given = parser.parse_args(words)
    _validate.at_least("length", given.length, 0)
    task = _named_task(given.task)
    if "(" not in given.task and hasattr(task, "held_out_symbols"):
        # It reads as many symbols as the recipe has, and no more.
        task = dataclasses.replace(task, held_out="none", held_out_symbols=None)
    task = _task_with(task, given.set)
    try:
        return _write_on(given, task)
    except KeyboardInterrupt as stop:
        if given.file is None:
            raise
        kept = "nothing is kept yet"
        if Path(given.file).exists():
            kept = f"the lifetime is kept in {given.file}, and the same command goes on with it"
        print(f"\nstopped; {kept}", file=sys.stderr)
        return _status(stop)


def _write_on(given: argparse.Namespace, task: Any) -> int:
    """Reads what the task says, and writes."""
    from loopymeta._jax import jax
    from loopymeta.leaderboard import entrant_of, learner_of
    from loopymeta.learners import sample_text
    from loopymeta.lifetime import Lifetime
    from loopymeta.living import live_through
    from loopymeta.progress import life_bar
    from loopymeta.tasks import Names, Text

    if not isinstance(task, (Names, Text)):
        raise ValueError(f"{given.task} is no text: take names, or text(file=...)")
    entrant = entrant_of(given.who, hidden=given.hidden, learner_hidden=given.hidden)
    if entrant.kind == "chance":
        raise ValueError("chance has nothing to say")
    _check_writer(entrant, given.hidden)
    learner, theta = learner_of(entrant.content(), task, given.seed)
    life_key, text_key = jax.random.split(jax.random.key(given.seed))
    alphabet = task.spec.symbols or ()
    sample_text(learner, theta, None, given.prefix, 0, given.temperature, text_key, alphabet)
    with life_bar(f"{entrant.name} reads {given.task}") as watch:
        life = Lifetime(cast(Any, learner), task)
        lived = live_through(life, theta, life_key, file=given.file, watch=watch)
    boundary = task.spec.boundary  # behind which something new begins
    prefix = given.prefix or ("" if boundary is None else alphabet[boundary])
    text = given.prefix + sample_text(
        lived.learner, theta, lived.state, prefix, given.length, given.temperature,
        text_key, alphabet,
    )  # fmt: skip
    print(f"{float(lived.metrics['prequential_nats']):.3f} nats a character read", file=sys.stderr)
    print(text.replace(".", "\n") if isinstance(task, Names) else text)
    return 0


def _check_writer(entrant: Any, hidden: int | None) -> None:
    """Refuses hidden nodes where there are none; says who knows nothing, however much it reads."""
    if entrant.kind != "learner":
        return
    if hidden is not None and entrant.hidden is None:
        raise ValueError(f"{entrant.name} has no hidden nodes: leave --hidden {hidden} out")
    if entrant.theta is None:
        _warn_of_noise(entrant.learner, "reading", "names", "generate from")


def _warn_of_noise(learner: str, living: str, task: str, then: str) -> None:
    """Says of a learner by name whose weights are its theta that it knows nothing yet."""
    from loopymeta.learners import by_name

    if by_name.check(learner).weights:
        name = learner.partition("(")[0].strip()
        _warn(
            f"{name} does not learn by {living}: its weights are found by an outer loop, and these "
            f"are random. Try `loopymeta train {task} --learner {name} --outer.method gradient`, "
            f"and {then} that run"
        )


# --- sweep ---------------------------------------------------------------------------------------


def _sweep(words: list[str]) -> int:
    from loopymeta import sweep

    given = _sweep_parser(sweep).parse_args(words)
    say = sweep.say_terminal if _on_terminal() else sweep.say_line
    own = {"storage": given.storage, "jobs": given.jobs, "say": say}
    config = _sweep_config(sweep, given)
    # Alarms of the compiler about its own slowness would stand between the points.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.showwarning = _warn
        if given.resume is None:
            sweep.sweep(config, given.out, name=given.name, study=given.study, **own)
        else:
            sweep.resume(given.resume, points=given.points, **own)
    return 0


def _sweep_parser(sweep: Any) -> argparse.ArgumentParser:
    """Options without a default are those of the configuration: what was not given is not in it."""
    default = sweep.SweepConfig()
    parser = _Parser(
        prog="loopymeta sweep",
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        description="Vary sizes, wirings, rules and rates of networks, or the options of a "
        "learner, over tasks,\nand show what matters.",
        epilog="varied of networks unless --vary says otherwise:\n  "
        + "\n  ".join(default.vary)
        + f"\n\n{SWEPT_LEARNERS}",
    )
    add = parser.add_argument
    add("--tasks", metavar="A,B", help=f"tasks, e.g. {', '.join(default.tasks)} (default)")
    add(
        "--vary",
        action="append",
        metavar="NAME=...",
        help="what varies: num_hidden=32..256, connectivity=waxman,ring, rule.eta=1e-4..0.1, "
        "leak=0.1..1.0, rule='rflo,bounded(oja)', teaching=error,target; may be repeated",
    )
    add(
        "--learner",
        metavar="WHO",
        help="vary the options of a learner instead: lstm, 'gru(width=64)', ppm ... (loopymeta "
        "learners); those in brackets stay as they are unless --vary names them",
    )
    add("--network", metavar="TASK", help="vary around the network of a task's training recipe")
    add(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="what does not vary, by the same names, e.g. --set ticks=2; may be repeated",
    )
    for name, text in (
        ("points", "points to live"),
        ("lifetimes", "lifetimes of a point on each task"),
        ("finalists", "best points that are lived again on fresh lifetimes"),
        ("report", "fresh lifetimes of each task, for choosing and for reporting"),
        ("seed", "seed of everything"),
    ):
        add(f"--{name}", type=int, help=f"{text} (default: {getattr(default, name)})")
    add("--sampler", help="tpe or random (default: tpe)")
    add("--pruner", help="of points that are hopeless: median, hyperband or none (default: median)")
    add("--out", default="runs", help="folder of run folders (default: runs)")
    add("--name", default=None, help="name of the sweep's folder (default: sweep- and the time)")
    add("--resume", default=None, metavar="DIR", help="go on with a sweep, or to more --points")
    add(
        "--storage",
        default=None,
        metavar="URL",
        help="keep the points there, e.g. postgresql+psycopg://user@host/database (the password "
        "from PGPASSWORD or ~/.pgpass), so that several machines may share them (default: a "
        "SQLite file in the folder)",
    )
    add("--study", default=None, help="sweeps of one study share their points (default: --name)")
    add("--jobs", type=int, default=1, help="processes; the points of one are repeatable (1)")
    return parser


SWEPT_LEARNERS = """learners, whose options vary:
  loopymeta sweep --learner lstm --vary learning_rate=1e-3..0.1 --vary width=32,64,128 \\
      --vary optimizer=adam,rmsprop --tasks "memorize(length=6),delay(gap=2, trials=50)"
  loopymeta sweep --learner ppm --vary order=2..6 --vary counting=all,single --tasks caesar"""


def _sweep_config(sweep: Any, given: argparse.Namespace) -> Any:
    """The configuration that was asked for; with --resume it must be the sweep's own."""
    asked = {k: v for k, v in vars(given).items() if v is not None}
    default = sweep.SweepConfig() if given.resume is None else sweep.read_config(given.resume)
    known = {field.name for field in dataclasses.fields(default)} - {"network"}
    changes = {name: asked[name] for name in known & asked.keys()}
    if "tasks" in changes:
        changes["tasks"] = tuple(sweep.split(changes["tasks"]))
    if "vary" in changes:
        changes["vary"] = tuple(changes["vary"])
    learner = changes.get("learner", default.learner)
    for option in ("network", "set") if learner is not None else ():
        if option in asked:
            raise ValueError(
                f"{learner} is swept instead of networks: leave --{option} out; options that do "
                "not vary stand behind its name, as in --learner 'lstm(width=64)'"
            )
    if "network" in asked or "set" in asked:
        network = default.network
        if "network" in asked:
            network = recipes.recipe(asked["network"]).network
        changes["network"] = sweep.with_settings(network, asked.get("set", []))
    if given.resume is None:
        return dataclasses.replace(default, **changes)
    if other := [k for k, v in changes.items() if k != "points" and v != getattr(default, k)]:
        raise ValueError(
            f"{given.resume} was made with another --{sorted(other)[0]}; --resume takes its "
            "options from there, and more --points at most"
        )
    return default


# --- lists ---------------------------------------------------------------------------------------


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().split("\n")[0].replace("``", "")


def _first_lines(things: Mapping[str, Any]) -> dict[str, str]:
    return {name: _first_line(thing) for name, thing in things.items()}


def _print_entry(name: str, text: str, width: int = 26) -> None:
    """A name and what it is, in lines that fit the terminal."""
    columns = shutil.get_terminal_size().columns if _on_terminal() else 1000
    name = f"{name:{width - 1}s} "
    print(textwrap.fill(name + text, max(columns, 2 * width), subsequent_indent=" " * width))


def _catalogue(words: list[str], kind: str, lines: Mapping[str, str]) -> str | None:
    """The name that was asked for, or None after printing the list, a line each."""
    parser = _Parser(prog=f"loopymeta {kind}s", description=f"List the {kind}s, or show one.")
    parser.add_argument("name", nargs="?", help=f"the {kind} to show")
    name = parser.parse_args(words).name
    if name is None:
        for each, line in lines.items():
            _print_entry(each, line)
        return None
    if name not in lines:
        _refuse_of_other_kind(name, kind)
        raise _validate.unknown(kind, name, lines)
    return name


def _refuse_of_other_kind(name: str, kind: str) -> None:
    """Says what a name is that is none of this kind, if it is one of another."""
    rules = {**registry.RULES, **registry.WRAPPERS}
    for other, known in (("rule", rules), ("learner", _learner_names()), ("task", TASKS)):
        if name in known:
            raise ValueError(f"{name} is a {other}, not a {kind}: loopymeta {other}s {name}")


def _show(thing: Any, own: Mapping[str, Any] = MappingProxyType({}), unsaid: Any = ()) -> None:
    """Prints what a class (or function) says of itself, and its fields (or arguments).

    ``own``: defaults that are others here; ``unsaid``: fields that are not shown.
    """
    import inspect

    text = re.split(r"\n(?:>>>|Args:)", inspect.cleandoc(thing.__doc__ or ""))[0]
    print(_plain(text).rstrip())
    print("\nfields:")
    for name, default, help_text in _fields(thing):
        if name in unsaid:
            continue
        default = own.get(name, default)
        default = rule_to_text(default) if isinstance(default, Rule) else default
        default = task_to_text(default) if isinstance(default, Task) else default
        _print_entry(f"  {name:20s} {default!s:12s}", help_text, 36)


_PLAIN = (
    (r"``", ""),
    (r":math:`([^`]*)`", r"\1"),
    (r"\.\. math::\n", ""),
    (r"=+(?:  =+)+\n", ""),  # of tables
    (r"([_^])\{([^{}]*)\}", r"\1(\2)"),
    (r"\\(?:text|mathrm)\{([^{}]*)\}", r"\1"),
    (r"\\t?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1) / (\2)"),
    (r"\\dot (\w)", r"d\1/dt"),
    (r"\\partial ", "d "),
    (r"\\ell", "loss"),
    (r"\\,", " "),
    (r"\\q?quad", "  "),
    (r"\\([a-z]+)", r"\1"),
)
"""What stands in docstrings for who reads them typeset, and what a terminal shows."""


def _plain(text: str) -> str:
    r"""A docstring without marks of reStructuredText and TeX.

    >>> _plain(r"at :math:`h_{t-1}`: :math:`\frac{c}{n + q}`")
    'at h_(t-1): (c) / (n + q)'
    """
    for pattern, instead in _PLAIN:
        text = re.sub(pattern, instead, text)
    return text


def _fields(thing: Any) -> Iterator[tuple[str, Any, str]]:
    """(name, default, explanation) of the fields of a class, or the arguments of a function."""
    import inspect

    if not dataclasses.is_dataclass(thing):
        text = inspect.cleandoc(thing.__doc__ or "")
        told = dict(re.findall(r"^  (\w+): (.*(?:\n    .*)*)", text, re.MULTILINE))
        for name, argument in inspect.signature(thing).parameters.items():
            default = "" if argument.default is argument.empty else argument.default
            yield name, default, " ".join(told.get(name, "").replace("``", "").split())
        return
    described = _described(cast(type, thing))
    for field in dataclasses.fields(thing):
        default = field.default
        if default is dataclasses.MISSING:
            factory = field.default_factory
            default = "" if factory is dataclasses.MISSING else factory()
        yield field.name, default, field.metadata.get("help") or described.get(field.name, "")


def _described(cls: type) -> dict[str, str]:
    """The line of explanation below each field of a class, from its source."""
    import ast
    import inspect

    lines = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    found = {}
    for field, text in itertools.pairwise(getattr(lines, "body", [])):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            value = getattr(text.value, "value", None)
            if isinstance(value, str) and isinstance(field.target, ast.Name):
                found[field.target.id] = " ".join(value.split()).replace("``", "")
    return found


def _rules(words: list[str]) -> int:
    known = {**registry.RULES, **registry.WRAPPERS}
    name = _catalogue(words, "rule", _first_lines(known))
    if name is not None:
        _show(known[name])
        if name != "written":
            print("\n" + known[name]().formula())
    return 0


def _learners(words: list[str]) -> int:
    from loopymeta.learners import by_name

    lines = {name: _line_of(kind) for name, kind in by_name.LEARNERS.items()}
    name = _catalogue(words, "learner", lines)
    if name is None:
        return 0
    kind = by_name.LEARNERS[name]
    _show(kind.options, kind.fixed, by_name.SIZES)
    known = {field for field, *_ in _fields(kind.options)} & {"lifespan", "boundary"}
    given = " and ".join([*sorted(known, reverse=True), "other numbers where such suit it better"])
    print(f"\nThe task gives {given} (docs/baselines.md).")
    print(f"loopymeta evaluate {name} --task TASK reports it.")
    if kind.compiled:
        print(f"An outer loop can search its theta: loopymeta train TASK --learner {name}")
    else:
        print("It lives on the host, where no outer loop can search its theta.")
    if kind.weights:
        print("It knows nothing without one: its theta is all its weights, random before a search.")
    return 0


def _line_of(kind: Any) -> str:
    """A line on a kind of learner: what it is, and the options that its name stands for."""
    fixed = ", ".join(f"{name}={value!r}" for name, value in kind.fixed.items())
    return f"{_first_line(kind.options).rstrip('.')}{f' ({fixed})' * bool(fixed)}."


def _tasks(words: list[str]) -> int:
    name = _catalogue(words, "task", _first_lines(TASKS))
    if name is not None:
        _show(TASKS[name])
        print(f"\nloopymeta train {name} --help shows how it is trained.")
    return 0


def _data(words: list[str]) -> int:
    parser = _Parser(prog="loopymeta data", description="List, fetch and verify the data sets.")
    what = {"nargs": "?", "default": "list", "choices": ("list", "fetch", "verify")}
    parser.add_argument("action", help="what to do (default: list)", **what)
    parser.add_argument("names", nargs="*", help="data sets (default: all)")
    given = parser.parse_args(words)
    for name in given.names:
        if name not in data.DATASETS:
            raise _validate.unknown("data set", name, data.DATASETS)
    bad = 0
    for name in given.names or data.DATASETS:
        if given.action == "list":
            found = data.DATASETS[name]
            size = f"{found.size / 1e6:.1f} MB"
            print(f"{name:20s} {data.status(name):8s} {size:>8s}  {found.description}")
        elif given.action == "fetch":
            print(f"{name}: {data.fetch(name)}")
        else:
            try:
                print(f"{name}: ok, {data.verify(name)}")
            except data.DataError as error:
                print(f"{name}: {error}", file=sys.stderr)
                bad = 1
    return bad


def _plot(words: list[str]) -> int:
    parser = _Parser(prog="loopymeta plot", description="Draw the figures of a run again.")
    parser.add_argument("run", help="run folder")
    given = parser.parse_args(words)
    from loopymeta import plots

    for path in plots.training_figures(runs.Run.open(given.run).path):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
