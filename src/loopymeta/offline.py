"""Many passes over the same sequences: what learners of one pass are measured against.

Sequences are whole (names), in random order, in minibatches; after each pass the development
sequences say how good the weights are, and the best are kept. That is the ordinary way to train a
network, and none of a lifetime: nothing is predicted before it is learned from.

Axis letters: W sequences, L symbols in the longest, B sequences in a minibatch, O symbols to choose
from.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from loopymeta import _validate, checkpoint
from loopymeta._jax import Array, jax, jnp
from loopymeta._version import __version__
from loopymeta.learners import optimizers
from loopymeta.learners.generation import COLDEST, check_known, draw
from loopymeta.learners.optimizers import Optimizer
from loopymeta.learners.recurrent import OnlineRNN

if TYPE_CHECKING:
    from jaxtyping import Int

_TOGETHER = 512  # sequences that are predicted at once where nothing is learned


class SequenceModel(Protocol):
    """A model of whole sequences: a frozen dataclass of sizes."""

    def init_weight(self, key: Array) -> Any:
        """Fresh weights, any tree of arrays."""
        ...

    def logits(self, weight: Any, stimulus: Array, key: Array | None = None) -> Array:
        """What is predicted at each symbol, from it and those before it: [L] -> [L, O].

        A key comes while it learns: of what is left out at random then, if anything is.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Recurrent:
    """The network of an `OnlineRNN`, silent before each sequence; its way of learning is not used.

    Raises:
      TypeError: it is another learner.

    >>> model = Recurrent(OnlineRNN(27, 27, cell="gru", width=8))
    >>> model.logits(model.init_weight(jax.random.key(0)), jnp.array([0, 5, 13])).shape
    (3, 27)
    """

    network: OnlineRNN
    """Its sizes and cells."""

    def __post_init__(self) -> None:
        if not isinstance(self.network, OnlineRNN):
            raise TypeError(
                "Recurrent is for the network of an OnlineRNN, got a "
                f"{type(self.network).__name__}, which cannot be trained in many passes"
            )

    def init_weight(self, key: Array) -> Any:
        """Fresh weights."""
        return self.network.init_weight(key)

    def logits(self, weight: Any, stimulus: Array, key: Array | None = None) -> Array:
        """See `SequenceModel`; nothing is left out."""
        heard = jax.nn.one_hot(stimulus, self.network.num_inputs)

        def hear(activity: Any, one: Array) -> tuple[Any, Array]:
            return self.network.predict(weight, activity, one)

        return jax.lax.scan(hear, self.network.silence(), heard)[1]


@dataclasses.dataclass(frozen=True)
class Passes:
    """How a model is trained.

    In the pass that has the part f of all steps behind it, the rate is

      rate = learning_rate (final + (1 - final) (1 + cos(pi f)) / 2).

    The defaults are those of makemore's script, but for the rate, which it holds (``final=1``).

    Raises:
      ValueError, TypeError: for choices that are unknown and numbers that cannot be.

    >>> Passes(epochs=0)
    Traceback (most recent call last):
    ValueError: epochs must be at least 1, got 0
    """

    epochs: int = 20
    """Passes over the training sequences, each in fresh random order."""
    batch: int = 32
    """B, sequences in a minibatch; those that are left over in a pass are left out of it."""
    learning_rate: float = 5e-4
    """Step size of the optimiser at the beginning."""
    final: float = 0.0
    """Part of the learning rate that is left at the end."""
    optimizer: Optimizer = "adamw(b2=0.99, weight_decay=0.01)"
    """See `loopymeta.learners.optimizers.Optimizer`."""
    clip: float = 0.0
    """Largest norm of a gradient; a longer one is shortened to it. 0: none is."""

    def __post_init__(self) -> None:
        _validate.at_least("epochs", self.epochs, 1)
        _validate.at_least("batch", self.batch, 1)
        _validate.positive("learning_rate", self.learning_rate)
        _validate.between("final", self.final, 0, 1)
        optimizers.check(self.optimizer, 0.9, 0.999, self.clip)

    def transform(self) -> Any:
        """The optimiser at learning rate 1."""
        return optimizers.transformation(self.optimizer, 0.9, 0.999, self.clip)


class Progress(NamedTuple):
    """Training after some passes; nothing else is carried from pass to pass.

    Attributes:
      weight: as it is now.
      optimizer: the optimiser's moments.
      epoch: passes behind it.
      train_nats: [epochs] mean nats per symbol while a pass was learned from; nan: not yet.
      dev_nats: [epochs] of the development sequences behind each pass.
      best: the weights with the least of these.
    """

    weight: Any
    optimizer: Any
    epoch: Array
    train_nats: Array
    dev_nats: Array
    best: Any


def rows_of(
    sequences: Sequence[Sequence[int]], length: int | None = None
) -> Int[np.ndarray, "W L"]:
    """Sequences of symbols as the rows of one array, -1 behind the end of each.

    Args:
      sequences: the symbols of each, in order; the last is its end mark, if it has one.
      length: L; unset, that of the longest.

    Raises:
      ValueError: there is none, one is empty, or one is longer than ``length``.

    >>> rows_of([[1, 22, 1, 0], [5, 0]]).tolist()
    [[1, 22, 1, 0], [5, 0, -1, -1]]
    """
    sizes = [len(each) for each in sequences]
    if not sizes or not min(sizes):
        raise ValueError("there must be at least one sequence, and none may be empty")
    length = max(sizes) if length is None else length
    if max(sizes) > length:
        raise ValueError(f"a sequence has {max(sizes)} symbols, more than length={length}")
    rows = np.full((len(sizes), length), -1, np.int32)
    for row, each in zip(rows, sequences, strict=True):
        row[: len(each)] = each
    return rows


def _total(
    model: SequenceModel, weight: Any, rows: Array, key: Array | None = None
) -> tuple[Array, Array]:
    """(sum of nats, number of symbols) of some sequences [B, L], each heard after symbol 0."""
    counted, target = rows >= 0, jnp.maximum(rows, 0)
    stimulus = jnp.pad(target[:, :-1], ((0, 0), (1, 0)))
    keys = None if key is None else jax.random.split(key, rows.shape[0])
    over = (None, 0, None if key is None else 0)
    logits = jax.vmap(model.logits, in_axes=over)(weight, stimulus, keys)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), target[..., None], axis=2)[..., 0]
    return -jnp.where(counted, log_p, 0.0).sum(), counted.sum()


def mean_nats(model: SequenceModel, weight: Any, rows: Array) -> Array:
    """Mean nats per symbol of sequences [W, L], end marks included; nothing is learned.

    Raises:
      ValueError: there is no sequence. TypeError: the weights are a whole `Progress`.

    >>> model = Recurrent(OnlineRNN(4, 4, cell="elman", width=2))
    >>> weight = jax.tree.map(jnp.zeros_like, model.init_weight(jax.random.key(0)))
    >>> print(f"{mean_nats(model, weight, rows_of([[1, 3, 1, 0], [2, 0]])):.3f}")  # ln 4
    1.386
    """
    _check_weight(weight)
    if not rows.shape[0]:
        raise ValueError("there must be at least one sequence")
    together = min(_TOGETHER, rows.shape[0])
    rows = jnp.pad(rows, ((0, -rows.shape[0] % together), (0, 0)), constant_values=-1)
    parts = rows.reshape(-1, together, rows.shape[1])
    nats, symbols = jax.lax.map(lambda part: _total(model, weight, part), parts)
    return nats.sum() / symbols.sum()


def train(
    model: SequenceModel,
    passes: Passes,
    rows: Int[np.ndarray, "W L"],
    dev: Int[np.ndarray, "V L"],
    key: Array,
    *,
    file: str | os.PathLike[str] | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Trains a model in many passes over the same sequences.

    With a file it can be stopped at any time, in any way: called again with the same arguments it
    goes on after the last pass that was finished, and ends with the very same numbers.

    Args:
      model: what is trained.
      passes: how.
      rows: training sequences, see `rows_of`.
      dev: development sequences, by which the best weights are chosen.
      key: of the newborn weights and of the orders of the passes.
      file: where progress is kept between passes (a `loopymeta.checkpoint`); None: nowhere.
      watch: called with the progress after each pass, once it is on the disk.

    Returns:
      The progress at the end. What is to be reported is ``best``, on sequences of which neither
      training nor choosing knew. Where no pass ends with finite ``dev_nats`` that are the newborn
      weights, and a warning says so.

    Raises:
      ValueError: there are fewer training sequences than in a minibatch, no development sequences,
        or symbols that the model does not have; sequences are no rows of whole numbers; it is to be
        kept in a file and its optimiser is a function without a name.
      CheckpointError: the file is damaged or of another training.
      OSError: the file cannot be written; where it has no folder, at once.

    >>> model = Recurrent(OnlineRNN(3, 3, cell="elman", width=4))
    >>> rows = rows_of([[1, 2, 0], [2, 1, 0]] * 8)
    >>> done = train(model, Passes(epochs=2, batch=4), rows, rows, jax.random.key(0))
    >>> int(done.epoch), done.dev_nats.shape
    (2, (2,))
    """
    if len(rows) < passes.batch:
        raise ValueError(f"a minibatch has {passes.batch} sequences, but there are {len(rows)}")
    if not len(dev):
        raise ValueError("there must be at least one development sequence")
    rows, dev = _array_of("rows", rows), _array_of("dev", dev)
    path = None if file is None else Path(file)
    if path is not None:
        checkpoint.check_folder(path)
        optimizers.check_named(passes)
    key_birth, key_order = jax.random.split(key)
    newborn, one_pass = _compiled(model, passes)
    progress = newborn(key_birth)
    for name, given in (("rows", rows), ("dev", dev)):
        _check_symbols(model, progress.weight, name, given)
    identity = "" if path is None else _identity(model, passes, rows, dev, key)
    if path is not None and path.exists():
        stored = checkpoint.read(path)
        if stored.metadata.get("training") != identity:
            raise checkpoint.CheckpointError(
                f"{path} is of another training: another model, another number of passes or other "
                "settings of them, other sequences, another key, or begun with another version of "
                "loopymeta or jax"
            )
        progress = checkpoint.restore(stored, progress)
    rows_on, dev_on = jnp.asarray(rows), jnp.asarray(dev)
    for _ in range(int(progress.epoch), passes.epochs):
        progress = one_pass(progress, rows_on, dev_on, key_order)
        if path is not None:
            checkpoint.save(path, progress, {"training": identity})
        watch(progress)
    if not np.isfinite(progress.dev_nats).any():
        warnings.warn(
            "the training diverged: no pass ended with finite dev_nats, and best are the weights "
            "of the newborn. Try a smaller learning rate, or clip",
            RuntimeWarning,
            stacklevel=2,
        )
    return progress


def sample(
    model: SequenceModel,
    weight: Any,
    count: int,
    length: int,
    key: Array,
    *,
    temperature: float = 1.0,
) -> Int[np.ndarray, "W L"]:
    """Sequences that a model makes up: what it predicts is drawn, and fed back to it.

      symbol ~ softmax(logits / temperature)

    Args:
      model: what was trained.
      weight: its weights, such as ``best`` of a `Progress`.
      count: W, how many.
      length: L, symbols of the longest; at most as many as the model can hear.
      key: random key.
      temperature: 1 draws from what is predicted, less from what is probable; 0 takes the most
        probable, and so does whatever is below 1e-6.

    Returns:
      Rows as `rows_of` makes them: each ends with the first symbol 0, -1 stands behind it; what had
      not ended after ``length`` symbols is cut off.

    Raises:
      ValueError, TypeError: for numbers that cannot be; the model predicts nan; the weights are a
        whole `Progress`.

    >>> model = Recurrent(OnlineRNN(4, 4, cell="elman", width=2))
    >>> weight = model.init_weight(jax.random.key(0))
    >>> sample(model, weight, 5, 8, jax.random.key(1)).shape
    (5, 8)
    """
    _check_weight(weight)
    _validate.at_least("count", count, 1)
    _validate.at_least("length", length, 1)
    _validate.at_least("temperature", temperature, 0, whole=False)
    sampler = _sampler(model, count, length, temperature < COLDEST)
    drawn, known = sampler(weight, key, float(temperature))
    check_known(bool(known))
    ended = np.cumsum(np.asarray(drawn) == 0, axis=1)
    behind = np.pad(ended[:, :-1], ((0, 0), (1, 0))) > 0
    return np.where(behind, -1, drawn).astype(np.int32)


@functools.lru_cache(maxsize=8)
def _sampler(
    model: SequenceModel, count: int, length: int, greedy: bool
) -> Callable[[Any, Array, float], tuple[Array, Array]]:
    """What draws symbols [W, L] one after the other; all so far are heard anew for each.

    Beside them: whether all predictions were numbers.
    """

    @jax.jit
    def rows(weight: Any, key: Array, temperature: Array) -> tuple[Array, Array]:
        def one(heard: Array, step: tuple[Array, Array]) -> tuple[Array, Any]:
            place, key = step
            logits = jax.vmap(model.logits, in_axes=(None, 0))(weight, heard)[:, place]
            symbol = draw(key, logits, temperature, greedy).astype(heard.dtype)
            # Behind the last place there is none, and nothing is written.
            heard = heard.at[:, place + 1].set(symbol, mode="drop")
            return heard, (symbol, ~jnp.isnan(logits).any())

        steps = (jnp.arange(length), jax.random.split(key, length))
        drawn, known = jax.lax.scan(one, jnp.zeros((count, length), jnp.int32), steps)[1]
        return drawn.T, known.all()

    return rows


def _array_of(name: str, given: Any) -> np.ndarray:
    """Sequences [W, L] as an array."""
    try:
        rows = np.asarray(given)
    except ValueError:  # lists of different lengths
        rows = np.empty(0)
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(
            f"{name} must be an array [W, L] of whole numbers, which rows_of makes of sequences"
        )
    return rows


def _check_weight(weight: Any) -> None:
    if isinstance(weight, Progress):
        raise TypeError(
            "weight must be the weights of the model, got a whole Progress: pass progress.best"
        )


def _check_symbols(model: SequenceModel, weight: Any, name: str, rows: np.ndarray) -> None:
    """Refuses symbols that the model does not predict."""
    stimulus = jax.ShapeDtypeStruct(rows.shape[1:], jnp.int32)
    size = jax.eval_shape(model.logits, weight, stimulus).shape[1]
    low, high = int(np.min(rows)), int(np.max(rows))
    if low < -1 or high >= size:
        raise ValueError(
            f"{name} must hold symbols 0 to {size - 1}, and -1 behind the end, got {low} to {high}"
        )


@functools.lru_cache(maxsize=8)
def _compiled(model: SequenceModel, passes: Passes) -> tuple[Callable[..., Progress], ...]:
    """`_newborn` and `_one_pass`, which are compiled once, however often one trains."""
    return tuple(jax.jit(functools.partial(each, model, passes)) for each in (_newborn, _one_pass))


def _newborn(model: SequenceModel, passes: Passes, key: Array) -> Progress:
    weight = model.init_weight(key)
    unknown = jnp.full(passes.epochs, jnp.nan, jnp.result_type(float))
    epoch = jnp.zeros((), jnp.int32)
    return Progress(weight, passes.transform().init(weight), epoch, unknown, unknown, weight)


def _one_pass(
    model: SequenceModel, passes: Passes, progress: Progress, rows: Array, dev: Array, key: Array
) -> Progress:
    """One pass over the training sequences, and a look at the development sequences."""
    transform, epoch = passes.transform(), progress.epoch
    steps = rows.shape[0] // passes.batch
    order = jax.random.permutation(jax.random.fold_in(key, epoch), rows.shape[0])
    batches = order[: steps * passes.batch].reshape(steps, passes.batch)

    def loss(weight: Any, batch: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
        nats, symbols = _total(model, weight, rows[batch], key)
        return nats / symbols, (nats, symbols)

    def descend(now: tuple[Any, Any], step: tuple[Array, Array]) -> tuple[Any, Any]:
        (weight, optimizer), (at, batch) = now, step
        behind = epoch * steps + at
        key_step = jax.random.fold_in(key, passes.epochs + behind)  # those before are of the orders
        gradient, totals = jax.grad(loss, has_aux=True)(weight, batch, key_step)
        direction, optimizer = transform.update(gradient, optimizer, weight)
        part = behind / (passes.epochs * steps)
        left = passes.final + (1 - passes.final) * (1 + jnp.cos(jnp.pi * part)) / 2
        rate = passes.learning_rate * left
        return (jax.tree.map(lambda w, d: w + rate * d, weight, direction), optimizer), totals

    now = (progress.weight, progress.optimizer)
    (weight, optimizer), (nats, symbols) = jax.lax.scan(descend, now, (jnp.arange(steps), batches))
    found = mean_nats(model, weight, dev)
    better = found < jnp.nan_to_num(progress.dev_nats, nan=jnp.inf).min()  # never where it is nan
    return Progress(
        weight=weight,
        optimizer=optimizer,
        epoch=epoch + 1,
        train_nats=progress.train_nats.at[epoch].set(nats.sum() / symbols.sum()),
        dev_nats=progress.dev_nats.at[epoch].set(found),
        best=jax.tree.map(lambda new, old: jnp.where(better, new, old), weight, progress.best),
    )


def _identity(model: Any, passes: Passes, rows: np.ndarray, dev: np.ndarray, key: Array) -> str:
    """SHA-256 of all that the numbers of a training depend on."""
    words = re.sub(r" at 0x[0-9a-f]+", "", f"{model!r} {passes!r}")  # a function says where it lies
    digest = hashlib.sha256(f"{words} {__version__} {jax.__version__}".encode())
    for values in (rows, dev, np.asarray(jax.random.key_data(key))):
        digest.update(f" {values.dtype} {values.shape} ".encode() + values.tobytes())
    return digest.hexdigest()
