"""Sweeps: which sizes, wirings, rules and rates suit a set of tasks, searched by Optuna.

What varies is a plastic network, or a learner by name (``lstm``). A *point* is one `NetworkConfig`,
or one text of a learner. It lives every task of the sweep in turn, on lifetimes that are the same
for all points (common random numbers); its loss on a task is put on a scale on which 0 is the
task's floor and 1 the best constant guess, and the mean over the tasks is what is lowered. After
each task the mean so far is told to Optuna, whose pruner ends hopeless points.

    runs/sweep-20260101-120000/
      sweep.json       the configuration, versions, where the points are kept
      study.db         the points, in Optuna's storage (or another database, with ``storage``)
      points.csv       every point: state, losses, parameters, reason
      best.json        the best network or learner, re-lived on fresh seeds
      rule.json        the best network as a rule file
      importance.png   what matters

Several processes, on several machines, may share one storage. A point whose process gives no sign
of life any more is lived again by whoever notices.

A file a step, each of which knows those above it only::

    space       what varies: ranges and choices
    subjects    what it takes to be swept
    networks    plastic networks, by their fields and the numbers of their rules
    learners    learners by name, by their options
    config      what a sweep is made of, and its file
    study       Optuna: where points are kept, how the next one is drawn
    living      the points are lived
    work        processes that do so
    plots       the figure of what matters
    result      what came of it
    run         from a configuration to the folder, and on from there
    show        progress, and what is printed at the end
"""

from loopymeta.rule_text import task_from_text
from loopymeta.sweep.config import (
    FORMAT,
    TASK_TEXTS,
    VARY,
    VERSION,
    SweepConfig,
    default_network,
    read_config,
)
from loopymeta.sweep.learners import NamedLearner
from loopymeta.sweep.living import WORST, Course, constant_loss
from loopymeta.sweep.networks import Networks, apply, read_space, suggest, with_settings
from loopymeta.sweep.result import FEWEST, Say, importances, points, study_line
from loopymeta.sweep.run import resume, sweep
from loopymeta.sweep.show import say_line, say_terminal
from loopymeta.sweep.space import LOG_FROM, Choices, Range, Varied, split
from loopymeta.sweep.study import GRACE
from loopymeta.sweep.subjects import Subject, SweepError

__all__ = [
    "FEWEST",
    "FORMAT",
    "GRACE",
    "LOG_FROM",
    "TASK_TEXTS",
    "VARY",
    "VERSION",
    "WORST",
    "Choices",
    "Course",
    "NamedLearner",
    "Networks",
    "Range",
    "Say",
    "Subject",
    "SweepConfig",
    "SweepError",
    "Varied",
    "apply",
    "constant_loss",
    "default_network",
    "importances",
    "points",
    "read_config",
    "read_space",
    "resume",
    "say_line",
    "say_terminal",
    "split",
    "study_line",
    "suggest",
    "sweep",
    "task_from_text",
    "with_settings",
]
