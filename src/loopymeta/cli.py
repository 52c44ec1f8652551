"""The command ``loopymeta``. Nothing here imports jax before it is needed: help answers at once."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from loopymeta import _validate, data, recipes, registry, runs
from loopymeta._version import __version__
from loopymeta.config import NetworkConfig, TrainConfig
from loopymeta.rule_text import rule_from_text, rule_to_text
from loopymeta.rules import Rule
from loopymeta.tasks import TASKS

T = TypeVar("T")

USAGE = """usage: loopymeta COMMAND ...

Meta-learn local plasticity rules on random cyclic networks.

commands:
  train TASK     meta-learn a rule on a task, and report it beside its controls
  evaluate RULE  report a rule (a run, a rule file, or a rule by name) on a task
  rules [RULE]   list the plasticity rules, or show one
  tasks [TASK]   list the tasks, or show one
  data           list, fetch and verify the data sets
  plot RUN       draw the figures of a run again

loopymeta COMMAND --help explains a command; loopymeta train TASK --help shows all its options.
"""

ERRORS = (ValueError, TypeError, OSError, data.DataError)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (as with `| head`): not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ERRORS as error:
        if os.environ.get("LOOPYMETA_TRACEBACK"):
            raise
        print(f"loopymeta: {error}", file=sys.stderr)
        return 2


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
        "rules": _rules,
        "tasks": _tasks,
        "data": _data,
        "plot": _plot,
    }
    command, *rest = arguments
    if command not in commands:
        raise _validate.unknown("command", command, commands)
    return commands[command](rest)


def _rule_registry() -> Any:
    """tyro's constructors with one more: rules, as a line of text."""
    import tyro

    constructors = tyro.constructors.ConstructorRegistry()

    @constructors.primitive_rule
    def _(info: Any) -> Any:
        if not (isinstance(info.type, type) and issubclass(info.type, Rule)):
            return None

        def read(words: list[str]) -> Rule:
            try:
                return rule_from_text(words[0])
            except TypeError as error:
                raise ValueError(str(error)) from None

        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="RULE",
            instance_from_str=read,
            is_instance=lambda value: isinstance(value, Rule),
            str_from_instance=lambda rule: [rule_to_text(rule)],
        )

    return constructors


def _options(kind: Any, words: list[str], prog: str, default: Any, description: str) -> Any:
    import tyro

    # Options of the network are many: one flag a line, and no subcommands.
    return tyro.cli(
        kind,
        prog=prog,
        args=words,
        default=default,
        description=description,
        registry=_rule_registry(),
        config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
    )


# --- train ---------------------------------------------------------------------------------------


def _train(words: list[str]) -> int:
    if words and words[0] in ("-h", "--help") or not words:
        print("usage: loopymeta train TASK [options]\n       loopymeta train --resume RUN\n")
        print("tasks (loopymeta train TASK --help shows all options of a task):")
        for name in recipes.RECIPES:
            print(f"  {name:10s} {_first_line(TASKS[name])}")
        return 0 if words else 2
    if words[0].startswith("-"):
        parser = argparse.ArgumentParser(prog="loopymeta train", allow_abbrev=False)
        parser.add_argument("--resume", required=True, metavar="RUN")
        parser.add_argument("--quiet", nargs="?", const="True", default="False")
        given = parser.parse_args(words)
        return _drive(None, resume=given.resume, quiet=given.quiet == "True")
    task, *rest = words
    default = recipes.recipe(task)
    fields = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
    options = _options(
        _Train[TASKS[task]],
        rest,
        f"loopymeta train {task}",
        _Train(**fields),
        _first_line(TASKS[task]),
    )
    if options.resume is not None:
        if [word for word in rest if word.startswith("--")] not in (
            ["--resume"],
            ["--resume", "--quiet"],
            ["--quiet", "--resume"],
        ):
            raise ValueError("--resume takes every option from the run; give it alone")
        return _drive(None, resume=options.resume, quiet=options.quiet)
    config = TrainConfig(**{name: getattr(options, name) for name in fields})
    return _drive(config, out=options.out, name=options.name, quiet=options.quiet)


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

    live = sys.stdout.isatty() and not quiet
    reporter = TerminalReporter() if live else LineReporter()
    try:
        if resume is not None:
            training.resume(resume, reporter=reporter)
        elif config is not None:
            training.train(config, out, name=name, reporter=reporter)
    except training.Interrupted as stopped:
        print(
            f"\nstopped after generation {stopped.generation}; a checkpoint is written. Go on with\n"
            f"  loopymeta train --resume {stopped.run.path}",
            file=sys.stderr,
        )
        return 130
    return 0


def _use_all_cores() -> None:
    """On a CPU, one device a core: candidates share them (on a GPU or TPU this does nothing)."""
    import jax

    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


# --- evaluate ------------------------------------------------------------------------------------


def _evaluate(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="loopymeta evaluate",
        description="Report a rule on a task on fresh seeds, controls and baselines beside.",
    )
    parser.add_argument("rule", help="a run folder, a rule file, or a rule, e.g. 'oja(eta=0.1)'")
    parser.add_argument("--task", help="task (default: the one the rule was learned on)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the task, e.g. --set n=4; may be repeated",
    )
    parser.add_argument("--seeds", type=int, default=8, help="lifetimes (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the lifetimes (default: 0)")
    parser.add_argument("--no-baselines", action="store_true", help="without the task's baselines")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    given = parser.parse_args(words)
    _use_all_cores()
    from loopymeta import training
    from loopymeta.progress import LineReporter, TerminalReporter

    network, theta, task_name = _rule_to_evaluate(given.rule, given.task)
    task = _task_with(task_name, given.set)
    reporter = TerminalReporter() if sys.stdout.isatty() else LineReporter()
    result = training.evaluate_rule(
        network,
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


def _rule_to_evaluate(rule: str, task: str | None) -> tuple[NetworkConfig, Any, str]:
    """(networks, theta or None, task) of what was named."""
    from loopymeta import training

    if Path(rule).exists():
        network, theta = training.read_rule(rule)
        path = Path(rule) / "rule.json" if Path(rule).is_dir() else Path(rule)
        return network, theta, task or runs.read_json_file(path)["task"]
    if "/" in rule or rule.endswith(".json"):
        raise ValueError(f"there is no run or rule file {rule}")
    if task is None:
        raise ValueError("--task must say on which task to report a rule by name")
    named = rule_from_text(rule)
    network = dataclasses.replace(recipes.recipe(task).network, rule=named, output_rule=None)
    return network, None, task


def _task_with(name: str, settings: list[str]) -> Any:
    """The recipe's task with the options that were set."""
    task = recipes.recipe(name).task
    fields = {f.name: getattr(task, f.name) for f in dataclasses.fields(task)}
    values: dict[str, Any] = {}
    for setting in settings:
        option, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, got {setting!r}")
        if option not in fields:
            raise _validate.unknown(f"option of task {name!r},", option, fields)
        try:
            values[option] = json.loads(text)
        except ValueError:
            values[option] = text
    return dataclasses.replace(task, **values)


# --- lists ---------------------------------------------------------------------------------------


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().split("\n")[0]


def _catalogue(words: list[str], command: str, kind: str, known: Mapping[str, Any]) -> str | None:
    """The name that was asked for, or None after printing the list."""
    parser = argparse.ArgumentParser(prog=f"loopymeta {command}")
    parser.add_argument("name", nargs="?", help=f"the {kind} to show")
    name = parser.parse_args(words).name
    if name is None:
        for each, cls in known.items():
            print(f"{each:26s} {_first_line(cls)}")
        return None
    if name not in known:
        raise _validate.unknown(kind, name, known)
    return name


def _show(cls: type) -> None:
    import inspect

    print(inspect.cleandoc(cls.__doc__ or ""))
    print("\nfields:")
    for field in dataclasses.fields(cls):
        help_text = field.metadata.get("help", "")
        default = field.default
        if default is dataclasses.MISSING:
            default = "" if field.default_factory is dataclasses.MISSING else field.default_factory()
        default = rule_to_text(default) if isinstance(default, Rule) else default
        print(f"  {field.name:20s} {default!s:12s} {help_text}")


def _rules(words: list[str]) -> int:
    known = {**registry.RULES, **registry.WRAPPERS}
    name = _catalogue(words, "rules", "rule", known)
    if name is not None:
        _show(known[name])
        if name != "written":
            print("\n" + known[name]().formula())
    return 0


def _tasks(words: list[str]) -> int:
    name = _catalogue(words, "tasks", "task", TASKS)
    if name is not None:
        _show(TASKS[name])
        print(f"\nloopymeta train {name} --help shows how it is trained.")
    return 0


def _data(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="loopymeta data", description="List, fetch and verify the data sets."
    )
    parser.add_argument("action", choices=("list", "fetch", "verify"))
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
    parser = argparse.ArgumentParser(
        prog="loopymeta plot", description="Draw the figures of a run again."
    )
    parser.add_argument("run", help="run folder")
    given = parser.parse_args(words)
    from loopymeta import plots

    for path in plots.training_figures(runs.Run.open(given.run).path):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
