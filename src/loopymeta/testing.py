"""Conformance checks for rules, learners and tasks, our own and other people's.

Each check raises AssertionError with a sentence that says what is not as it must be, and returns
nothing where all is well. They are plain functions, to be called from any test runner:

>>> from loopymeta import rules, testing
>>> testing.check_rule(rules.Oja())
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from loopymeta._jax import Array, jax, jnp
from loopymeta.network import Teaching
from loopymeta.parameters import Space, Theta, from_search, to_search
from loopymeta.rules import NUM_MODULATORS, USES, Rule, Synapse, Trace
from loopymeta.tasks.base import FREEZE, Episode, Outcome, Spec, Task

_SOURCES = {
    "reconstruction": {"reconstruction", "sanger", "shifted"},
    "energy": {"energy"},
    "norm": {"norm", "norm1"},
    "share": {"share"},
    "noise": {"noise"},
}
"""Costly synapse fields, and the entries of ``Rule.uses`` that fill them."""


def _require(truth: Any, message: str) -> None:
    if not truth:
        raise AssertionError(message)


def _name(thing: Any) -> str:
    return type(thing).__name__


def _require_object(what: str, thing: Any, members: tuple[str, ...], like: str) -> None:
    """Refuses the class in the place of an object of it, and whatever lacks a member."""
    if isinstance(thing, type):
        raise AssertionError(f"{what} must be an object, got the class {thing.__name__}: build one")
    missing = [name for name in members if not hasattr(thing, name)]
    _require(
        not missing,
        f"{what} must be a {like}, got {thing!r:.60} ({_name(thing)}), which has no "
        f"{', '.join(missing)}",
    )


def _finite(tree: Any) -> bool:
    leaves = (np.asarray(x) for x in jax.tree.leaves(tree))
    return all(np.isfinite(x).all() for x in leaves if np.issubdtype(x.dtype, np.floating))


def _close(a: Any, b: Any, tolerance: float) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.allclose(x, y, rtol=tolerance, atol=tolerance) for x, y in pairs)


def _shapes(tree: Any) -> Any:
    """Structure, shapes and types of a tree, as something that can be compared."""
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: tree))
    return structure, [(x.shape, x.dtype) for x in leaves]


# --- rules ---------------------------------------------------------------------------------------


def random_synapses(key: Array, shape: tuple[int, ...] = (), hops: int = 0) -> Synapse:
    """Synapses with every field random and possible (a slope in 0..1, an energy above 0, ...).

    Arguments:
        key: random key.
        shape: of the fields; ``()`` is one synapse.
        hops: how many entries ``relayed`` has.
    """
    keys = iter(jax.random.split(key, len(Synapse._fields) + hops))
    inside = ("slope", "leak", "share", "life")
    fields: dict[str, Any] = {}
    for name in Synapse._fields:
        if name == "modulator":
            fields[name] = jax.random.normal(next(keys), (NUM_MODULATORS, *shape))
        elif name == "relayed":
            fields[name] = tuple(jax.random.normal(next(keys), shape) for _ in range(hops))
        elif name == "age":
            fields[name] = jnp.ones((1,) * len(shape))
        elif name in inside:
            fields[name] = jax.random.uniform(next(keys), shape)
        elif name in ("curvature", "energy", "norm"):
            fields[name] = jax.random.exponential(next(keys), shape)
        else:
            fields[name] = jax.random.normal(next(keys), shape)
    return Synapse(**fields)


def _blank_traces(rule: Rule, shape: tuple[int, ...]) -> Trace:
    kind = jnp.result_type(float)
    return jax.tree.map(lambda value: jnp.full(shape, value, kind), rule.init_trace())


def _behind(theta: Theta, axes: int) -> Theta:
    """Theta as a network hands it over: its leaves' own axes in front, broadcastable behind."""
    return jax.tree.map(lambda x: jnp.reshape(x, jnp.shape(x) + (1,) * axes), theta)


def _check_static(rule: Rule) -> None:
    _require_object("rule", rule, ("init", "update"), "loopymeta.rules.Rule")
    name = _name(rule)
    _require(isinstance(rule, Rule), f"{name} must derive from loopymeta.rules.Rule")
    kind: Any = type(rule)
    frozen = dataclasses.is_dataclass(rule) and kind.__dataclass_params__.frozen
    _require(frozen, f"{name} must be a frozen dataclass")
    hash(rule)
    _require(dataclasses.replace(rule) == rule, f"{name} must equal its copy")
    unknown = set(rule.uses) - set(USES)
    _require(not unknown, f"{name}.uses names {unknown}, which a synapse does not have")
    _require(isinstance(rule.hops, int) and rule.hops >= 0, f"{name}.hops must be a count")


def _check_theta(name: str, init: Callable[[Array], Theta], space: Any) -> None:
    """What ``init`` gives is finite floats, the same for the same key, which ``space`` maps."""
    theta = init(jax.random.key(0))
    _require(_finite(theta), f"{name} must give finite numbers")
    _require(_close(theta, init(jax.random.key(0)), 0), f"{name} must depend on its key alone")
    kinds = {jnp.asarray(x).dtype for x in jax.tree.leaves(theta)}
    _require(kinds <= {jnp.dtype(jnp.result_type(float))}, f"{name} must give floats, got {kinds}")
    is_space = lambda x: isinstance(x, Space)  # noqa: E731
    same = jax.tree.structure(theta) == jax.tree.structure(space, is_leaf=is_space)
    owner = name.partition(".")[0]
    _require(
        same and all(map(is_space, jax.tree.leaves(space, is_leaf=is_space))),
        f"{owner}.space must have the structure of {name}, and a Space for each of its numbers",
    )
    there = to_search(space, theta)
    _require(_finite(there), f"{owner}.space must map {name} to finite coordinates")
    back = from_search(space, there)
    _require(_close(back, theta, 1e-4), f"{owner}.space must map {name} there and back")


def _check_text(rule: Rule) -> None:
    for text in (rule.formula(), rule.formula(rule.init()), str(rule)):
        _require(isinstance(text, str) and text.strip(), f"{_name(rule)}.formula must be text")


def _ticks(rule: Rule, theta: Theta, shape: tuple[int, ...], views: list[Synapse]) -> list[Any]:
    """(change, trace) of every tick, the trace broadcast as a network does it."""
    trace, seen = _blank_traces(rule, shape), []
    for view in views:
        change, new = rule.update(theta, trace, view)
        same = jax.tree.structure(new) == jax.tree.structure(trace)
        _require(same, f"the trace of {_name(rule)} must keep its structure, as init_trace has it")
        kinds = [jnp.result_type(x) for x in (change, *jax.tree.leaves(new))]
        floats = all(jnp.issubdtype(kind, jnp.floating) for kind in kinds)
        _require(floats, f"{_name(rule)}.update must give floats, got {kinds}")
        trace = jax.tree.map(lambda x, old: jnp.broadcast_to(x, old.shape), new, trace)
        seen.append((jnp.broadcast_to(change, shape), trace))
    return seen


def _check_elementwise(rule: Rule, theta: Theta, ticks: int) -> None:
    """An array of synapses must do what each of them does alone."""
    shape = (2, 3)
    keys = jax.random.split(jax.random.key(1), ticks)
    views = [random_synapses(key, shape, rule.hops) for key in keys]
    together = _ticks(rule, _behind(theta, 2), shape, views)
    again = _ticks(rule, _behind(theta, 2), shape, views)
    _require(
        _close(together, again, 0), f"{_name(rule)}.update must be pure: it differs when repeated"
    )
    for place in np.ndindex(shape):

        def pick(x: Array, place: tuple[int, ...] = place) -> Array:
            return x[(..., 0, 0)] if x.shape[-2:] == (1, 1) else x[(..., *place)]

        alone = _ticks(rule, theta, (), [jax.tree.map(pick, view) for view in views])
        same = _close(alone, jax.tree.map(pick, together), 1e-5)
        _require(
            same, f"{_name(rule)}.update must be elementwise: synapse {place} differs in company"
        )


def _check_locality(rule: Rule, theta: Theta) -> None:
    """No synapse's change or trace may move with what another synapse sees."""
    num = 4
    first, view = (random_synapses(jax.random.key(k), (num,), rule.hops) for k in (2, 3))
    theta = _behind(theta, 1)
    _, trace = rule.update(theta, _blank_traces(rule, (num,)), first)
    trace = jax.tree.map(lambda x: jnp.broadcast_to(x, (num,)), trace)
    view = view._replace(age=jnp.ones(num))  # so that its derivative has an axis, too

    def moved(view: Synapse, trace: Trace) -> Any:
        change, new = rule.update(theta, trace, view)
        return [jnp.broadcast_to(x, (num,)) for x in (change, *jax.tree.leaves(new))]

    jacobian = jax.jacrev(moved, argnums=(0, 1))(view, trace)
    for path, block in jax.tree_util.tree_leaves_with_path(jacobian):
        for part in np.asarray(block).reshape(num, -1, num).swapaxes(0, 1):
            elsewhere = part - np.diag(np.diag(part))
            _require(
                not elsewhere.any(),
                f"{_name(rule)}.update is not local: a synapse depends on another's"
                f" {jax.tree_util.keystr(path[1:])}",
            )


def _check_uses(rule: Rule, theta: Theta) -> None:
    """A costly field that ``uses`` does not name is not filled, so it must not count."""
    view = random_synapses(jax.random.key(4), (3,), rule.hops)
    other = random_synapses(jax.random.key(5), (3,), rule.hops)
    theta, trace = _behind(theta, 1), _blank_traces(rule, (3,))
    change = rule.update(theta, trace, view)
    for field, sources in _SOURCES.items():
        if not sources & rule.uses:
            changed = view._replace(**{field: getattr(other, field)})
            same = _close(rule.update(theta, trace, changed), change, 0)
            _require(same, f"{_name(rule)}.update reads {field}, which its uses does not name")


def _check_zero(rule: Rule, theta: Theta, ticks: int) -> None:
    """Networks start at zero weights, traces and activities: all derivatives must exist there."""
    zeros = jax.tree.map(jnp.zeros_like, random_synapses(jax.random.key(0), (), rule.hops))
    views = [zeros._replace(age=jnp.asarray(float(tick))) for tick in range(ticks)]

    def total(theta: Theta, view: Synapse) -> Array:
        seen = _ticks(rule, theta, (), [jax.tree.map(jnp.add, view, v) for v in views])
        return jnp.stack([jnp.sum(leaf) for leaf in jax.tree.leaves(seen)]).sum()

    value, slopes = jax.value_and_grad(total, argnums=(0, 1))(theta, zeros)
    _require(_finite(value), f"{_name(rule)}.update is not finite at zeros")
    for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
        where = jax.tree_util.keystr(path[1:])
        _require(
            _finite(slope), f"{_name(rule)}.update has no finite derivative by {where} at zeros"
        )


def check_rule(rule: Rule, theta: Theta | None = None, *, ticks: int = 3) -> None:
    """Checks that a rule keeps the contract of `loopymeta.rules.Rule`.

    It is a frozen dataclass; theta and its space fit together; the update is elementwise, pure and
    local, reads no costly field that ``uses`` does not name, keeps the structure of its trace,
    gives floats, and is finite, with finite derivatives, at zeros; its formula is text.

    Arguments:
        rule: the rule.
        theta: meta-parameters to check it at; None: its own.
        ticks: how many updates in a row.

    Errors: AssertionError that says what is not as it must be.

    >>> import dataclasses
    >>> from loopymeta import rules, testing
    >>> @dataclasses.dataclass(frozen=True)
    ... class Greedy(rules.Rule):
    ...     def update(self, theta, trace, synapse):
    ...         return synapse.weight.sum() * synapse.pre, trace
    >>> testing.check_rule(Greedy())
    Traceback (most recent call last):
    AssertionError: Greedy.update must be elementwise: synapse (0, 0) differs in company
    """
    _check_static(rule)
    _check_theta(f"{_name(rule)}.init", rule.init, rule.space())
    _check_text(rule)
    theta = rule.init(jax.random.key(0)) if theta is None else theta
    _check_elementwise(rule, theta, ticks)
    _check_locality(rule, theta)
    _check_uses(rule, theta)
    _check_zero(rule, theta, ticks)


# --- learners ------------------------------------------------------------------------------------


def _live(
    learner: Any, theta: Theta, task: Task, episode: Episode, key: Array
) -> tuple[Any, Array]:
    """(state, predictions [T, O]) of a learner on an episode."""
    from loopymeta.lifetime import Lifetime

    life = Lifetime(learner, task, record=lambda state, prediction: prediction)
    newborn = learner.init(key, theta)
    state, _, predictions = life.advance(theta, newborn, episode, key)
    return state, predictions


def _other_targets(episode: Episode, spec: Spec, where: Array) -> Episode:
    """The episode with the targets ``where`` [T] replaced by others."""
    if jnp.issubdtype(episode.target.dtype, jnp.integer):
        other = (episode.target + 1) % spec.num_outputs
    else:
        other = episode.target + 1.0
        where = where[:, None]
    return episode._replace(target=jnp.where(where, other, episode.target))


def check_learner(
    learner: Any, task: Task, *, symbols: int | None = None, theta: Theta | None = None
) -> None:
    """Checks that a learner keeps the contract of `loopymeta.lifetime.Learner` on a task.

    One that lives on the host is checked for that of `loopymeta.learners.HostLearner`.

    Theta and its space fit together. Predictions are finite, of the task's size, the same for the
    same key, and made before the target is looked at; targets that are not taught change nothing,
    nor do those that come while nothing may be learned, then or later; the state keeps its
    structure, shapes and types, and stays finite; a second symbol compiles nothing.

    Arguments:
        learner: the learner, built for the task's sizes.
        task: what it lives through.
        symbols: how many of the lifetime's first symbols; None: 12, or four of the learner's
            windows, if it has a field of that name.
        theta: its meta-parameters; None: its own.

    Errors: AssertionError that says what is not as it must be.
    """
    from loopymeta.learners.host import HostLearner

    on_host = hasattr(learner, "begin")
    lives = ("begin", "resume") if on_host else ("init", "step")
    like = "loopymeta.learners.HostLearner" if on_host else "loopymeta.Learner"
    _require_object("learner", learner, ("init_theta", "space", *lives), like)
    _require_object("task", task, ("spec", "sample", "score"), "loopymeta.tasks.Task")
    if symbols is None:
        symbols = max(12, 4 * getattr(learner, "window", 0))
    _require(symbols >= 1, f"symbols must be at least 1, got {symbols}")
    name, spec, key = _name(learner), task.spec, jax.random.key(0)
    _require(
        getattr(learner, "loss", spec.loss) == spec.loss,
        f"{name} is built for the loss {getattr(learner, 'loss', None)!r}, and that of"
        f" {_name(task)} is {spec.loss!r}",
    )
    _check_theta(f"{name}.init_theta", learner.init_theta, learner.space())
    _require(
        on_host or jax.tree.leaves(learner.init_theta()),
        f"{name}.init_theta must give at least one number, by which an outer loop knows how many "
        "candidates there are",
    )
    theta = learner.init_theta() if theta is None else theta
    episode = jax.tree.map(lambda x: x[:symbols], task.sample(jax.random.key(1)))
    length = episode.target.shape[0]
    times = jnp.arange(length)
    episode = episode._replace(taught=times % 3 != 1, intervention=jnp.zeros(length, jnp.int32))
    if isinstance(learner, HostLearner):
        _check_host_learner(learner, theta, task, episode)
        return

    traced = []

    def step(state: Any, teaching: Teaching) -> Any:
        traced.append(1)
        stimulus = jnp.zeros(spec.num_inputs).at[0].set(1.0)
        return learner.step(theta, state, stimulus, teaching, key)

    jitted, one = jax.jit(step), jnp.ones(())
    teaching = Teaching(jnp.zeros(spec.num_outputs).at[0].set(1.0), one, 0.0 * one, one)
    with _built_for(name, task):
        before = learner.init(key, theta)
        after, prediction, ticks = jitted(before, teaching)
    _require(
        prediction.shape == (spec.num_outputs,),
        f"{name} must predict [{spec.num_outputs}], got {prediction.shape}",
    )
    _require(
        jnp.ndim(ticks) == 0, f"{name} must say its ticks as one number, got {jnp.shape(ticks)}"
    )
    _require(
        _shapes(after) == _shapes(before),
        f"the state of {name} must keep its structure, shapes and types",
    )
    jitted(after, teaching)
    _require(len(traced) == 1, f"{name} compiles again at its second symbol")

    live = jax.jit(lambda episode: _live(learner, theta, task, episode, key))
    with _built_for(name, task):
        state, predictions = live(episode)
    _require(_finite((state, predictions)), f"{name} is not finite after {length} symbols")
    _check_targets(name, spec, episode, lambda episode: live(episode)[1], predictions)
    _check_frozen(name, spec, episode, lambda episode: live(episode)[1])


@contextlib.contextmanager
def _built_for(name: str, task: Task) -> Iterator[None]:
    """Inside a learner first meets a task's sizes: what it raises is told with them."""
    try:
        yield
    except Exception as error:
        why, spec = " ".join(str(error).split()), task.spec
        raise AssertionError(
            f"{name} cannot live {_name(task)}, whose stimulus is [{spec.num_inputs}] and whose"
            f" target is [{spec.num_outputs}]; was it built for these sizes? {_name(error)}:"
            f" {why:.200}"
        ) from error


def _check_frozen(
    name: str, spec: Spec, episode: Episode, predict: Callable[[Episode], Any]
) -> None:
    """Targets that come where nothing may be learned are not known, then or later."""
    length = len(episode.target)
    frozen = jnp.arange(length) * 3 // length == 1
    episode = episode._replace(
        taught=jnp.ones(length, bool), intervention=jnp.where(frozen, FREEZE, 0)
    )
    before, after = predict(episode), predict(_other_targets(episode, spec, frozen))
    for when, stop in (("while", 2 * length // 3), ("from what it was told while", length)):
        _require(
            _close(after[:stop], before[:stop], 0),
            f"{name} learns {when} teaching.plastic is 0: its predictions depend on the targets of "
            "that time",
        )


def _check_targets(
    name: str,
    spec: Spec,
    episode: Episode,
    predict: Callable[[Episode], Any],
    predictions: Any,
) -> None:
    """Predictions [T, O] are the same again, and know no target that is to come or not taught."""
    same = _close(predict(episode), predictions, 0)
    _require(same, f"{name} must be the same for the same key")
    length = len(episode.target)
    for at in (0, length // 2):
        other = predict(_other_targets(episode, spec, jnp.arange(length) >= at))
        same = _close(other[: at + 1], predictions[: at + 1], 0)
        _require(same, f"{name} looks at the target of symbol {at} before it predicts it")
    unseen = predict(_other_targets(episode, spec, ~episode.taught))
    _require(_close(unseen, predictions, 0), f"{name} looks at targets that are not taught")


def _check_host_learner(learner: Any, theta: Theta, task: Task, episode: Episode) -> None:
    """As `check_learner`: probabilities that sum to 1, and a state that goes through JSON.

    Where nothing may be learned it is not taught, and predicts on.
    """
    name, spec, length = _name(learner), task.spec, len(episode.target)
    num = spec.num_outputs
    kinds = (episode.stimulus.dtype, episode.target.dtype)
    _require(
        all(jnp.issubdtype(kind, jnp.integer) for kind in kinds),
        f"{name} lives on the host, where stimuli and targets are symbols; those of"
        f" {_name(task)} are not",
    )

    def live(episode: Episode, stop: int = length) -> np.ndarray:
        """Predictions [T, O]; at symbol ``stop`` the learner goes through JSON."""
        living, found = learner.begin(theta, 0), []
        rows = zip(*(np.asarray(x).tolist() for x in episode), strict=True)
        for at, (stimulus, target, _, taught, _, intervention) in enumerate(rows):
            if at == stop:
                living = learner.resume(theta, json.loads(json.dumps(living.to_json())))
            found.append(np.asarray(living.predict(stimulus)))
            if intervention != FREEZE:
                living.teach(target if taught else None)
        return np.array(found)

    with _built_for(name, task):
        predictions = live(episode)
    right = predictions.shape == (length, num)
    _require(right, f"{name} must predict [{num}], got {predictions.shape[1:]}")
    _check_targets(name, spec, episode, live, predictions)
    # The middle of the lifetime, where it may stop, is frozen in the second of the two.
    middle = abs(jnp.arange(length) - length // 2) < 2
    frozen = episode._replace(intervention=jnp.where(middle, FREEZE, 0))
    for lived in (episode, frozen):
        with _built_for(name, task):
            predictions = live(lived)
        sums = np.exp(predictions).sum(1)
        _require(
            np.isfinite(predictions).all() and _close(sums, np.ones(length), 1e-9),
            f"{name} must predict finite log probabilities of sum 1",
        )
        for stop in (1, length // 2):
            same = _close(live(lived, stop), predictions, 0)
            _require(same, f"{name} goes on otherwise when it is resumed at symbol {stop}")


# --- tasks ---------------------------------------------------------------------------------------


def _check_episode(task: Task, episode: Episode) -> None:
    name, spec = _name(task), task.spec
    for field, values in zip(Episode._fields, episode, strict=True):
        _require(
            values.shape[:1] == (spec.length,),
            f"{name}: {field} must have {spec.length} symbols, got {values.shape}",
        )
    for field in ("scored", "taught"):
        _require(getattr(episode, field).dtype == bool, f"{name}: {field} must be bool")
    for field in ("phase", "intervention"):
        values = getattr(episode, field)
        _require(
            jnp.issubdtype(values.dtype, jnp.integer), f"{name}: {field} must be whole numbers"
        )
    _require(episode.scored.any(), f"{name} must score at least one symbol")
    for field, size, lowest in (
        ("stimulus", spec.num_inputs, -1),
        ("target", spec.num_outputs, -1),
    ):
        values = np.asarray(getattr(episode, field))
        if np.issubdtype(values.dtype, np.integer):
            inside = values.min() >= lowest and values.max() < size
            _require(
                inside and values.ndim == 1, f"{name}: {field} must be in {lowest}..{size - 1}"
            )
        else:
            _require(
                values.shape[1:] == (size,),
                f"{name}: {field} must be [T, {size}], got {values.shape}",
            )
            _require(np.isfinite(values).all(), f"{name}: {field} must be finite")
    if spec.loss == "cross_entropy":
        _require(
            jnp.issubdtype(episode.target.dtype, jnp.integer), f"{name}: targets must be symbols"
        )
        answer = np.asarray(episode.target)[np.asarray(episode.scored)]
        _require((answer >= 0).all(), f"{name} scores symbols that have no target")


def _check_limits(name: str, spec: Spec) -> None:
    """Chance and floor are such as there can be."""
    chance, floor, guess = spec.chance, spec.floor, spec.guess_loss
    symbols = spec.loss == "cross_entropy"
    inside = 0 <= chance <= 1 if symbols else 0 <= chance < math.inf
    what = "an accuracy, within 0..1" if symbols else "a loss, 0 or more"
    _require(inside, f"{name}: chance must be {what}, got {chance}")
    if floor is not None:
        _require(0 <= floor < math.inf, f"{name}: floor must be a loss, 0 or more, got {floor}")
        _require(
            floor <= guess * (1 + 1e-6),
            f"{name}: floor must not lie above {guess:.4f}, the loss of a constant guess, got"
            f" {floor}",
        )


def check_task(task: Task, *, num_lifetimes: int = 2, fixed: bool = False) -> None:
    """Checks that a task keeps the contract of `loopymeta.tasks.Task`.

    Chance and floor are possible. Episodes have the spec's sizes, are the same for the same key,
    under jit and under vmap, and others for other keys; ``scored`` and ``taught`` are bool; scores
    have fixed shapes and are finite (but for the places of a curve at which nothing was measured,
    which are nan), and symbols that are not scored do not count in the loss.

    Arguments:
        task: the task.
        num_lifetimes: lifetimes to sample.
        fixed: whether its lifetimes are all one stream, as of a book that is read as a whole.

    Errors: AssertionError that says what is not as it must be.

    >>> from loopymeta import tasks, testing
    >>> testing.check_task(tasks.Memorize())
    """
    _require_object("task", task, ("spec", "sample", "score"), "loopymeta.tasks.Task")
    _require(num_lifetimes >= 1, f"num_lifetimes must be at least 1, got {num_lifetimes}")
    name, spec = _name(task), task.spec
    _require(spec.loss in ("cross_entropy", "squared_error"), f"{name}: unknown loss {spec.loss!r}")
    for size in ("num_inputs", "num_outputs", "length"):
        _require(getattr(spec, size) >= 1, f"{name}: {size} must be at least 1")
    _check_limits(name, spec)
    # So many that small lifetimes are not all the same by chance.
    keys = jax.random.split(jax.random.key(0), max(num_lifetimes, 8))
    batch = jax.jit(jax.vmap(task.sample))(keys)
    first = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), batch)
    _require(
        fixed or not _close(batch, first, 0),
        f"{name}.sample ignores its key: all lifetimes are equal (fixed=True if they are to be)",
    )
    for at, key in enumerate(keys[:num_lifetimes]):
        episode = task.sample(key)
        _check_episode(task, episode)
        _require(_close(episode, task.sample(key), 0), f"{name} must be the same for the same key")
        one = jax.tree.map(lambda x, at=at: x[at], batch)
        _require(_close(episode, one, 1e-6), f"{name} differs under jit and vmap")

    def outcome(outside: float) -> Outcome:
        loss = jnp.where(episode.scored, 0.5, outside)
        return Outcome(loss, jnp.where(episode.scored, 1.0, outside), jnp.ones(spec.length))

    scores = task.score(outcome(0.0), episode)
    _require("loss" in scores, f"{name}.score must have a loss")
    _require(jnp.shape(scores["loss"]) == (), f"{name}: the loss must be one number")
    for metric, value in scores.items():
        known = _finite(value) or (jnp.ndim(value) > 0 and not jnp.isinf(value).any())
        _require(known, f"{name}: {metric} of finite predictions must be finite")
    if spec.loss == "cross_entropy":
        _require("accuracy" in scores, f"{name}.score must have an accuracy")
    _require(
        _shapes(jax.jit(task.score)(outcome(1.0), episode)) == _shapes(scores),
        f"{name}.score must have fixed shapes",
    )
    unscored = task.score(outcome(float("nan")), episode)["loss"]
    _require(
        _close(unscored, scores["loss"], 1e-6),
        f"{name}: symbols that are not scored count in the loss",
    )
