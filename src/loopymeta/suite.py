"""The fixed lists of tasks, of fixed sizes, on which learners are compared.

Figures of one list are comparable for as long as its entries do not change: to change a size is to
make another task, whose figures are computed anew. A task is added by one line in each list.
"""

from __future__ import annotations

import dataclasses
import functools

from loopymeta import _validate, tasks
from loopymeta._jax import jax, jnp
from loopymeta.tasks import FAMILIES
from loopymeta.tasks.base import Outcome, Task

SUITES = ("quick", "full")
QUICK_HIDDEN = 32
"""Hidden nodes of everyone in the quick suite, where nothing else is asked for."""

_LOSSES = ("loss", "nmse", "nmse_late", "wrong_sign", "wrong_sign_hidden")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A task of the suite, and the figure by which learners are compared on it.

    Attributes:
      task: what is lived through.
      metric: one of the numbers that the task's score has.
      higher_is_better: whether a larger figure is the better one.
      limit: the best figure that can be, where it is known and `best` does not know it.
    """

    task: Task
    metric: str = "loss"
    higher_is_better: bool = False
    limit: float | None = None

    @property
    def best(self) -> float | None:
        """The best figure that can be: ``limit``, the floor of the loss, or what is perfect.

        Under squared error and for shares of errors that is 0, for accuracies 1; None where it is
        not known.

        >>> Entry(tasks.Copy(), "accuracy_late", True).best, Entry(tasks.Names()).best
        (1.0, None)
        """
        if self.limit is not None:
            return self.limit
        if self.metric == "loss":
            return self.task.spec.floor
        if self.higher_is_better:
            return 1.0
        return 0.0 if self.metric in _LOSSES else None

    @property
    def guess(self) -> float:
        """The figure of uniform guesses, each as right as the chance of the spec.

        It is known before anything is lived. (Who always says the same may have another one, where
        not every symbol counts.)

        >>> Entry(tasks.Boolean("xor", sets=9), "examples").guess, Entry(tasks.Henon()).guess
        (36.0, 1.0)
        """
        return _guess(self.task, self.metric)

    @property
    def family(self) -> str:
        """The family of the task."""
        for family, known in FAMILIES.items():
            if type(self.task) in known.values():
                return family
        return "other"


@functools.lru_cache(maxsize=256)
def _guess(task: Task, metric: str) -> float:
    """What the score of a task is for a constant guess, which is right as often as chance."""
    spec = task.spec
    if metric == "loss":
        return spec.guess_loss
    symbols = spec.loss == "cross_entropy"
    ones = jnp.ones(spec.length)
    outcome = Outcome(
        loss=ones * spec.guess_loss,
        correct=ones * (spec.chance if symbols else 0.0),
        ticks=ones,
        prediction=None if symbols else jnp.zeros((spec.length, spec.num_outputs)),
    )
    metrics = jax.jit(lambda key: task.score(outcome, task.sample(key)))(jax.random.key(0))
    _validate.choice("metric", metric, [k for k, v in metrics.items() if jnp.shape(v) == ()])
    return float(metrics[metric])


def _accuracy(task: Task, metric: str = "accuracy_late") -> Entry:
    return Entry(task, metric, higher_is_better=True)


SUITE: dict[str, Entry] = {
    # memory
    "memorize-12": _accuracy(tasks.Memorize(length=12), "accuracy"),
    "memorize-48": _accuracy(tasks.Memorize(length=48, alphabet=16), "accuracy"),
    "delay": _accuracy(tasks.Delay(gap=10, trials=400)),
    "reversal-2": _accuracy(tasks.Reversal(n=2, sequences=2000), "recall"),
    "reversal-3": _accuracy(tasks.Reversal(n=3, sequences=4000), "recall"),
    "copy": _accuracy(tasks.Copy(trials=1000)),
    "selective-copy": _accuracy(tasks.SelectiveCopy(trials=600)),
    "resequence": _accuracy(tasks.Resequence(trials=1200)),
    "key-recall": _accuracy(tasks.KeyRecall(trials=1000)),
    "multi-query-recall": _accuracy(tasks.MultiQueryRecall(trials=400)),
    "pattern-completion": Entry(tasks.PatternCompletion(trials=2000), "wrong_sign"),
    # functions
    "boolean-xor": Entry(tasks.Boolean(name="xor"), "examples"),
    "boolean-any": Entry(tasks.Boolean(name="any"), "examples"),
    "add": Entry(tasks.Add(), "examples"),
    "subtract": Entry(tasks.Subtract(), "examples"),
    "switch": Entry(tasks.Switch(), "examples"),
    "parity-6": _accuracy(tasks.Parity(length=6, strings=1000), "accuracy_held_out"),
    "modulo-5-3": _accuracy(tasks.Modulo(length=5, m=3, strings=1000), "accuracy_held_out"),
    "signal-propagation": _accuracy(tasks.SignalPropagation()),
    "circuit": _accuracy(tasks.Circuit(symbols=8000)),
    "redundant": Entry(tasks.Redundant(examples=4000), "nmse_late"),
    # long life
    "shift": Entry(tasks.Shift()),
    "forgetting": _accuracy(tasks.Forgetting(), "accuracy_after"),
    "transfer": Entry(tasks.Transfer(), "examples_second", limit=50.0),
    "composition": Entry(tasks.Composition(), "examples_after_parts"),
    "speedup": _accuracy(tasks.Speedup(tasks.Circuit()), "accuracy_after"),
    # robustness
    "garbage": _accuracy(tasks.Garbage(), "accuracy_after"),
    "perturbed": _accuracy(tasks.Perturbed(), "accuracy_after"),
    "zeroed": _accuracy(tasks.Zeroed(), "accuracy_after"),
    "lesioned": _accuracy(tasks.Lesioned(), "accuracy_after"),
    # signals
    "henon": Entry(tasks.Henon(symbols=8000), "nmse_late"),
    "mackey-glass": Entry(tasks.MackeyGlass(symbols=8000), "nmse_late"),
    "lorenz": Entry(tasks.Lorenz(symbols=8000), "nmse_late"),
    # language
    "names": Entry(tasks.Names(symbols=50_000), "prequential_nats"),
    "text": Entry(tasks.Text(symbols=40_000), "prequential_bpc"),
    "huckleberry": Entry(tasks.Text(file="huck_fin", symbols=40_000), "prequential_bpc"),
    "caesar": Entry(tasks.Caesar(), "letters_to_perfect"),
    # images
    "digits-by-row": _accuracy(tasks.SequentialDigits(), "test_accuracy"),
    "omniglot-5-way": _accuracy(tasks.Omniglot(way=5, shot=1, episodes=400)),
}
"""Name -> entry: the full suite.

Where a task is learned to perfection by many, the figure is how soon: examples (letters) until all
is right."""


def _code(symbols: int) -> tasks.Caesar:
    return tasks.Caesar(shift=None, symbols=symbols)


SUITE_QUICK: dict[str, Entry] = {
    # memory
    "memorize-50": _accuracy(tasks.Memorize(length=50), "accuracy"),
    "delay": _accuracy(tasks.Delay(gap=3, trials=60)),
    "reversal-2": _accuracy(tasks.Reversal(n=2, sequences=84, window=20), "recall"),
    "reversal-3": _accuracy(tasks.Reversal(n=3, sequences=60, window=20), "recall"),
    "copy": _accuracy(tasks.Copy(length=3, trials=60)),
    "selective-copy": _accuracy(tasks.SelectiveCopy(kept=2, span=4, trials=60)),
    "resequence": _accuracy(tasks.Resequence(length=3, trials=60)),
    "key-recall": _accuracy(tasks.KeyRecall(3, key_alphabet=4, values=4, trials=50)),
    "multi-query-recall": _accuracy(tasks.MultiQueryRecall(3, 2, 4, 4, trials=40)),
    "pattern-completion": Entry(tasks.PatternCompletion(8, 2, trials=100), "wrong_sign"),
    # functions
    "boolean-xor": _accuracy(tasks.Boolean(name="xor", sets=100)),
    "add": _accuracy(tasks.Add(sets=20)),
    "subtract": _accuracy(tasks.Subtract(order="a_minus_b", sets=20)),
    "switch": _accuracy(tasks.Switch(sets=20)),
    "parity-4": _accuracy(tasks.Parity(length=4, strings=64, held_out=16), "accuracy_held_out"),
    "modulo-3-3": _accuracy(tasks.Modulo(3, 3, strings=80, held_out=20), "accuracy_held_out"),
    "signal-propagation": _accuracy(tasks.SignalPropagation(symbols=300)),
    "circuit": _accuracy(tasks.Circuit(inputs=1, symbols=300)),
    "redundant": Entry(tasks.Redundant(width=8, examples=300), "nmse_late"),
    # long life
    "shift": Entry(tasks.Shift(segments=3, segment_length=100)),
    "forgetting": _accuracy(tasks.Forgetting(_code(100), _code(100)), "accuracy_after"),
    "transfer": Entry(tasks.Transfer(tasks.Boolean("any", sets=50)), "examples_second", limit=50.0),
    "composition": _accuracy(tasks.Composition(alphabet=4, sets=20), "accuracy_after_parts"),
    "speedup": _accuracy(tasks.Speedup(tasks.Boolean("xor", sets=100)), "accuracy_after"),
    # robustness
    "garbage": _accuracy(tasks.Garbage(_code(135), span=30), "accuracy_after"),
    "perturbed": _accuracy(tasks.Perturbed(_code(150)), "accuracy_after"),
    "zeroed": _accuracy(tasks.Zeroed(_code(150), span=20), "accuracy_after"),
    "lesioned": _accuracy(tasks.Lesioned(_code(150)), "accuracy_after"),
    # signals
    "henon": Entry(tasks.Henon(symbols=400), "nmse_late"),
    "mackey-glass": Entry(tasks.MackeyGlass(symbols=400), "nmse_late"),
    "lorenz": Entry(tasks.Lorenz(symbols=400), "nmse_late"),
    # language
    "names": Entry(tasks.Names(symbols=500), "prequential_nats"),
    "text": Entry(tasks.Text(symbols=500), "prequential_bpc"),
    "caesar": _accuracy(tasks.Caesar(symbols=300), "accuracy"),
    # images
    "digits-by-row": _accuracy(tasks.SequentialDigits(40, held_out_images=10), "test_accuracy"),
    "omniglot-5-way": _accuracy(tasks.Omniglot(size=7, patch=7, episodes=30)),
}
"""Name -> entry: the same in small, in which only a fast learner learns anything, and nothing is
learned to perfection: the figures are accuracies where the full suite asks how soon.

Tasks of equal sizes and lengths are lived by the same programs, and compiling them is nearly all
that it costs: give a new one the sizes and the length of another."""


def entry_of(task: Task | Entry) -> Entry:
    """A task as an entry: judged by its loss, unless it is an entry already."""
    return task if isinstance(task, Entry) else Entry(task)


def suite(name: str) -> dict[str, Entry]:
    """The entries of a suite by its name, ``quick`` or ``full``.

    >>> len(suite("full")) >= len(tasks.TASKS)
    True
    """
    _validate.choice("suite", name, SUITES)
    return SUITE if name == "full" else SUITE_QUICK
