"""How long a sequence can a rule still remember? The curriculum of `Memorize`, for a rule file."""

from __future__ import annotations

from collections.abc import Callable

from loopymeta import _validate, parameters
from loopymeta._jax import jax
from loopymeta.config import NetworkConfig
from loopymeta.lifetime import Lifetime
from loopymeta.parameters import Theta
from loopymeta.tasks import Longest, Memorize, longest_recalled
from loopymeta.training import figures_of


def longest_sequence(
    network: NetworkConfig,
    theta: Theta | None,
    *,
    alphabet: int = 8,
    presentations: int = 2,
    threshold: float = 0.95,
    lifetimes: int = 64,
    stop: int = 256,
    seed: int = 0,
    say: Callable[[int, float], None] | None = None,
) -> Longest:
    """The longest random sequence recalled after so many presentations; the length grows until not.

    Args:
      network: the networks.
      theta: meta-parameters; None: the rules' own.
      alphabet: different symbols.
      presentations: how often a sequence has been shown before it is wanted back.
      threshold: mean recall that counts.
      lifetimes: fresh lifetimes for each length.
      stop: longest length tried.
      seed: of the lifetimes.
      say: hears (length, recall) of each length tried.

    Returns:
      The length (0 if even the first fails) and the recall of every length tried.
    """
    _validate.at_least("presentations", presentations, 1)
    _validate.at_least("lifetimes", lifetimes, 1)

    def recall(length: int) -> float:
        task = Memorize(length=length, alphabet=alphabet, presentations=presentations + 1)
        plastic = network.build(task.spec, seed + 3_000_017)
        template = plastic.init_theta()
        checked = template
        if theta is not None:
            checked = parameters.check_theta(theta, template, space=plastic.space())
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1 << 21), length)
        figures = figures_of(Lifetime(plastic, task), checked, jax.random.split(key, lifetimes))
        found = float(figures["recall_by_presentation"]["mean"][presentations])
        if say is not None:
            say(length, found)
        return found

    return longest_recalled(recall, start=8, threshold=threshold, stop=stop, resolution=2)
