"""Text from a learner that models characters: what it predicts is drawn, and fed back to it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from loopymeta import _validate
from loopymeta._jax import Array, jax, jnp
from loopymeta.learners.host import HostLearner, Living
from loopymeta.lifetime import Learner
from loopymeta.network import Teaching
from loopymeta.parameters import Theta

_DRAWN = -2  # stands in a stream of symbols for the one that was drawn last
COLDEST = 1e-6
"""A lower temperature is 0: the most probable symbol."""


def sample_text(
    learner: Learner | HostLearner,
    theta: Theta,
    state: Any,
    prefix: str,
    length: int,
    temperature: float,
    key: Array,
    alphabet: Sequence[str],
) -> str:
    """Text that goes on from a prefix, a character at a time.

      character ~ softmax(logits / temperature)

    Every character that is drawn is the next stimulus. Nothing is taught, and nothing learned: the
    state that is given stays as it is.

    Args:
      learner: any whose stimuli and targets are the symbols of one alphabet.
      theta: its meta-parameters.
      state: of a learner that has lived, say through a book (`loopymeta.living.live_through`).
      prefix: what it hears first; empty: a symbol of silence. (Where a boundary stands between
        samples, as between names, it is what begins a new one.)
      length: characters to draw.
      temperature: 1 draws from what is predicted, less from what is probable; 0 takes the most
        probable, and so does whatever is below 1e-6.
      key: random key.
      alphabet: the characters, in the order of the symbols (``task.spec.symbols``).

    Returns:
      The characters that were drawn, without the prefix.

    Raises:
      ValueError: the prefix has characters that are not in the alphabet, the alphabet is not made
        of single characters, or does not fit the learner; the learner predicts nan.
      TypeError: the prefix is no text.

    >>> import loopymeta as lm
    >>> task = lm.tasks.Caesar()
    >>> learner = lm.learners.OnlineNGram.for_task(task, order=2)
    >>> state = learner.init(lm.key(0))
    >>> theta = learner.init_theta()
    >>> len(sample_text(learner, theta, state, "abc", 5, 1.0, lm.key(1), task.spec.symbols))
    5
    """
    _validate.at_least("length", length, 0)
    _validate.at_least("temperature", temperature, 0, whole=False)
    places = {character: place for place, character in enumerate(alphabet)}
    if len(places) != len(alphabet) or any(len(character) != 1 for character in alphabet):
        raise ValueError("the alphabet must be made of different single characters")
    if not isinstance(prefix, str):
        raise TypeError(f"the prefix must be a text, got {type(prefix).__name__}")
    if strange := sorted(set(prefix) - set(places)):
        raise ValueError(f"the prefix has characters that are not in the alphabet: {strange}")
    size = len(alphabet)
    if not length:
        return ""
    _check_size("hears", getattr(learner, "num_inputs", size), size)
    heard = np.array([places[character] for character in prefix] or [-1], np.int32)
    if isinstance(learner, HostLearner):
        drawn = _sample_on_host(copy.deepcopy(state), heard, length, temperature, key, size)
        return "".join(alphabet[place] for place in drawn)
    untaught = Teaching(jnp.zeros(size), jnp.zeros(()), jnp.zeros(()), jnp.zeros(()))
    kept = _kept_sampler if _has_hash(learner) else _sampler
    sample = kept(learner, size, greedy=temperature < COLDEST)
    # What follows the last symbol of the prefix is the first one drawn.
    symbols = np.concatenate([heard, np.full(length, _DRAWN, np.int32)])[: len(heard) + length - 1]
    drawn, known = sample(theta, state, jnp.asarray(symbols), untaught, key, float(temperature))
    check_known(bool(known))
    return "".join(alphabet[place] for place in np.asarray(drawn)[len(heard) - 1 :])


def draw(key: Array, logits: Array, temperature: Array, greedy: bool) -> Array:
    """Symbols from softmax(logits / temperature), or the most probable: [..., O] -> [...]."""
    if greedy:
        return logits.argmax(-1)
    # With 0 as the largest nothing overflows, however small the temperature.
    return jax.random.categorical(key, (logits - logits.max(-1, keepdims=True)) / temperature)


def check_known(known: bool) -> None:
    """Refuses predictions that are no numbers: whatever were drawn from them means nothing.

    Raises:
      ValueError: they are none.
    """
    if not known:
        raise ValueError("what is predicted is nan, so that nothing can be drawn from it")


def _sampler(learner: Learner, size: int, greedy: bool) -> Callable[..., tuple[Array, Array]]:
    """What is drawn behind each of some symbols, and whether all predictions were numbers.

    Compiled once a number of symbols.
    """

    @jax.jit
    def sample(
        theta: Theta, state: Any, symbols: Array, untaught: Teaching, key: Array, temperature: Array
    ) -> tuple[Array, Array]:
        def hear(now: tuple[Any, Array], step: tuple[Array, Array]) -> tuple[Any, Any]:
            (state, drawn), (symbol, key) = now, step
            key_draw, key_hear = jax.random.split(key)
            symbol = jnp.where(symbol == _DRAWN, drawn, symbol)
            stimulus = jax.nn.one_hot(symbol, size)  # zeros for -1: silence
            state, logits, _ = learner.step(theta, state, stimulus, untaught, key_hear)
            _check_size("predicts", logits.shape[0], size)
            drawn = draw(key_draw, logits, temperature, greedy)
            return (state, drawn.astype(jnp.int32)), (drawn, ~jnp.isnan(logits).any())

        keys = jax.random.split(key, symbols.shape[0])
        start = (state, jnp.zeros((), jnp.int32))
        drawn, known = jax.lax.scan(hear, start, (symbols, keys))[1]
        return drawn, known.all()

    return sample


_kept_sampler = functools.lru_cache(maxsize=8)(_sampler)
"""For learners that a table can tell from one another."""


def _has_hash(thing: Any) -> bool:
    try:
        hash(thing)
    except TypeError:
        return False
    return True


def _check_size(does: str, number: int, size: int) -> None:
    if number != size:
        raise ValueError(f"the learner {does} {number} symbols, the alphabet has {size}")


def _sample_on_host(
    living: Living, heard: np.ndarray, length: int, temperature: float, key: Array, size: int
) -> list[int]:
    """The symbols that a host learner goes on with; it hears them, and is taught nothing."""
    chance = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    log_p = [living.predict(int(symbol)) for symbol in heard][-1]
    _check_size("predicts", len(log_p), size)
    drawn: list[int] = []
    for _ in range(length):
        check_known(not np.isnan(log_p).any())
        place = int(log_p.argmax())
        if temperature >= COLDEST:
            weight = np.exp((log_p - log_p.max()) / temperature)
            place = int(chance.choice(len(log_p), p=weight / weight.sum()))
        drawn.append(place)
        log_p = living.predict(place)
    return drawn
