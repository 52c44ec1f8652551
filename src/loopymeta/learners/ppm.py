r"""Prediction by partial matching: counts after contexts of every length, the longest first.

Axis letters: I inputs, O outputs.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from loopymeta import _validate
from loopymeta._jax import Array
from loopymeta.checkpoint import CheckpointError
from loopymeta.learners.host import check_symbols
from loopymeta.parameters import Theta
from loopymeta.tasks.base import Task

COUNTING = ("all", "single")
_MOST_STIMULI = 0xD800 - 1  # letters behind silence; those from there on do not survive JSON


@dataclasses.dataclass(frozen=True)
class PPM:
    r"""Prediction by partial matching, method C, with exclusions, learning online.

    The last ``order`` stimuli, the present one among them, are the first context. Of the n targets
    counted after a context, of q different kinds, c were w:

    .. math::
      p(w) = \frac{c}{n + q}, \qquad p(\text{escape}) = \frac{q}{n + q}

    Escape leads to the context that is a stimulus shorter, below the empty one to the uniform
    guess. What a longer context has predicted is excluded in shorter ones: it counts neither as w
    nor in n. A context that was never seen is passed over, and where nothing is left to escape to,
    p is c / n.

    What is not taught, and what comes while the learner is frozen, is not counted. Silence is a
    symbol like any other. There is no theta: nothing here is a matter of degree.

    References: Cleary and Witten (1984); Moffat (1990).

    Raises:
      ValueError, TypeError: for choices that cannot be.

    >>> ppm = PPM(num_inputs=2, num_outputs=2, order=2).begin()
    >>> for stimulus, target in [(0, 1), (1, 0)] * 8:
    ...     p = np.exp(ppm.predict(stimulus))
    ...     ppm.teach(target)
    >>> p.round(3).tolist()
    [0.875, 0.125]
    """

    num_inputs: int
    """Symbols of the stimulus, silence not among them."""
    num_outputs: int
    """Symbols of the target."""
    order: int = 4
    """Stimuli in the longest context."""
    counting: str = "all"
    """``all``: a target counts after contexts of every length; ``single``: after those only that
    are at least as long as the one that had predicted it (update exclusion)."""
    boundary: int | None = None
    """Stimulus that no context reaches across; None: there is none."""

    def __post_init__(self) -> None:
        for name in ("num_inputs", "num_outputs"):
            _validate.at_least(name, getattr(self, name), 1)
        if self.num_inputs > _MOST_STIMULI:
            raise ValueError(f"there are letters for {_MOST_STIMULI} stimuli only")
        _validate.at_least("order", self.order, 0)
        _validate.choice("counting", self.counting, COUNTING)
        if self.boundary is not None:
            _validate.at_least("boundary", self.boundary, 0)
            _validate.between("boundary", self.boundary, 0, self.num_inputs - 1)

    @classmethod
    def for_task(cls, task: Task, **choices: Any) -> PPM:
        """The model for a task; that of names does not look across the boundary between them.

        Raises:
          ValueError: stimuli or targets are not symbols.
        """
        check_symbols(task, cls.__name__)
        own: dict[str, Any] = {
            "num_inputs": task.spec.num_inputs,
            "num_outputs": task.spec.num_outputs,
            "boundary": task.spec.boundary,
        }
        return cls(**(own | choices))

    def init_theta(self, key: Array | None = None) -> Theta:
        """There is none: ()."""
        return ()

    def space(self) -> Any:
        """As theta: ()."""
        return ()

    def begin(self, theta: Theta = (), seed: int = 0) -> ContextTable:
        """A newborn has counted nothing; there is no chance in it."""
        return ContextTable(self)

    def resume(self, theta: Theta, stored: Any) -> ContextTable:
        """See `loopymeta.learners.host.HostLearner.resume`."""
        table = ContextTable(self)
        try:
            table._context = str(stored["context"])
            table._counts = {
                str(context): {int(target): int(count) for target, count in counts}
                for context, counts in stored["counts"].items()
            }
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(f"this is no table of contexts: {error!r}") from error
        return table


class ContextTable:
    """A `PPM` that lives: how often each target followed each context."""

    def __init__(self, model: PPM) -> None:
        self._model = model
        # Contexts are strings, a letter a stimulus, silence "\0": cheap to cut and to look up.
        self._counts: dict[str, dict[int, int]] = {}
        self._context = ""

    def predict(self, stimulus: int) -> np.ndarray:
        """Log probabilities [O]."""
        model = self._model
        before = "" if stimulus == model.boundary else self._context
        context = before + chr(stimulus + 1)
        self._context = context = context[max(len(context) - model.order, 0) :]
        found: dict[int, float] = {}
        left = 1.0
        for at in range(len(context) + 1):
            counts = self._counts.get(context[at:])
            if counts is None:
                continue
            new = {target: count for target, count in counts.items() if target not in found}
            # Nobody is left who could come after an escape: there is none.
            kinds = len(counts) if len(found) + len(new) < model.num_outputs else 0
            total = sum(new.values()) + kinds
            for target, count in new.items():
                found[target] = left * count / total
            if not kinds:
                break
            left *= kinds / total
        rest = model.num_outputs - len(found)
        log_p = [math.log(left / rest)] * model.num_outputs if rest else [0.0] * model.num_outputs
        for target, p in found.items():
            log_p[target] = math.log(p)
        return np.array(log_p)

    def teach(self, target: int | None) -> None:
        """Counts a target after the present context and its ends."""
        if target is None:
            return
        context = self._context
        for at in range(len(context) + 1):
            counts = self._counts.setdefault(context[at:], {})
            known = target in counts
            counts[target] = counts.get(target, 0) + 1
            if known and self._model.counting == "single":
                break

    def to_json(self) -> dict[str, Any]:
        """All counts, and the present context."""
        counts = {context: list(found.items()) for context, found in self._counts.items()}
        return {"context": self._context, "counts": counts}
