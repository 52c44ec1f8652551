"""The sequence task suite: each task samples whole lifetimes and scores what came of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from loopymeta import _validate
from loopymeta.tasks.base import Episode, Outcome, Spec, Task
from loopymeta.tasks.changing import Shift
from loopymeta.tasks.combined import (
    Changing,
    Composition,
    Forgetting,
    Garbage,
    Lesioned,
    Perturbed,
    Speedup,
    Transfer,
    Zeroed,
)
from loopymeta.tasks.functions import (
    Add,
    Boolean,
    Circuit,
    Modulo,
    Parity,
    Redundant,
    SignalPropagation,
    Subtract,
    Switch,
)
from loopymeta.tasks.images import Omniglot, SequentialDigits
from loopymeta.tasks.language import NAME_SYMBOLS, Caesar, Names, Text, decode, encode
from loopymeta.tasks.memory import (
    Delay,
    Longest,
    Memorize,
    Reversal,
    longest_recalled,
    period_recall,
    suffix_match_recall,
)
from loopymeta.tasks.recall import (
    Copy,
    KeyRecall,
    MultiQueryRecall,
    PatternCompletion,
    Resequence,
    SelectiveCopy,
)
from loopymeta.tasks.signals import Henon, Lorenz, MackeyGlass

FAMILIES: dict[str, dict[str, type]] = {
    "memory": {
        "memorize": Memorize,
        "delay": Delay,
        "reversal": Reversal,
        "copy": Copy,
        "selective_copy": SelectiveCopy,
        "resequence": Resequence,
        "key_recall": KeyRecall,
        "multi_query_recall": MultiQueryRecall,
        "pattern_completion": PatternCompletion,
    },
    "functions": {
        "boolean": Boolean,
        "add": Add,
        "subtract": Subtract,
        "switch": Switch,
        "parity": Parity,
        "modulo": Modulo,
        "signal_propagation": SignalPropagation,
        "circuit": Circuit,
        "redundant": Redundant,
    },
    "long life": {
        "shift": Shift,
        "forgetting": Forgetting,
        "transfer": Transfer,
        "composition": Composition,
        "speedup": Speedup,
    },
    "robustness": {
        "garbage": Garbage,
        "perturbed": Perturbed,
        "zeroed": Zeroed,
        "lesioned": Lesioned,
    },
    "signals": {"henon": Henon, "mackey_glass": MackeyGlass, "lorenz": Lorenz},
    "language": {"names": Names, "text": Text, "caesar": Caesar},
    "images": {"sequential_digits": SequentialDigits, "omniglot": Omniglot},
}
"""The families of the suite, and their tasks by name."""

TASKS: dict[str, type] = {
    name: task for family in FAMILIES.values() for name, task in family.items()
}
"""Every task by name."""


def make_task(name: str, **options: Any) -> Task:
    """A task by its name, with options other than the defaults.

    Args:
      name: one of `TASKS`, or a line of text with options in brackets, as on the command line: so
        tasks are named that are made of tasks (`loopymeta.rule_text.task_from_text`).
      **options: fields of the task; those of the text give way.

    Raises:
      ValueError: for an unknown task or option (the nearest is suggested) or a bad value.

    >>> make_task("reversal", n=2).n
    2
    >>> make_task("garbage(reversal(n=2))", span=30).task.n
    2
    >>> make_task("revursal")
    Traceback (most recent call last):
    ValueError: unknown task 'revursal'. Did you mean 'reversal'? Known: add, boolean, ...
    """
    from loopymeta.rule_text import task_from_text  # which is made of the tasks here

    if name not in TASKS and "(" not in name:
        raise _validate.unknown("task", name, TASKS)
    task: Any = task_from_text(name) if "(" in name else TASKS[name]
    known = [field.name for field in dataclasses.fields(task)]
    for option in options:
        if option not in known:
            raise _validate.unknown(f"option of task {name!r},", option, known)
    return dataclasses.replace(task, **options) if "(" in name else task(**options)


__all__ = [
    "FAMILIES",
    "NAME_SYMBOLS",
    "TASKS",
    "Add",
    "Boolean",
    "Caesar",
    "Changing",
    "Circuit",
    "Composition",
    "Copy",
    "Delay",
    "Episode",
    "Forgetting",
    "Garbage",
    "Henon",
    "KeyRecall",
    "Lesioned",
    "Longest",
    "Lorenz",
    "MackeyGlass",
    "Memorize",
    "Modulo",
    "MultiQueryRecall",
    "Names",
    "Omniglot",
    "Outcome",
    "Parity",
    "PatternCompletion",
    "Perturbed",
    "Redundant",
    "Resequence",
    "Reversal",
    "SelectiveCopy",
    "SequentialDigits",
    "Shift",
    "SignalPropagation",
    "Spec",
    "Speedup",
    "Subtract",
    "Switch",
    "Task",
    "Text",
    "Transfer",
    "Zeroed",
    "decode",
    "encode",
    "longest_recalled",
    "make_task",
    "period_recall",
    "suffix_match_recall",
]
