"""Ways to rank tiles: the full account, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    import numpy as np

    from growth.where.choose import Choice

__all__ = ["POLICIES", "Policy"]


@dataclass(frozen=True)
class Policy:
    """A way to choose between tiles, each with the neurons and lines that are best on it.

    Parameters
    ----------
    rank : callable, optional
        The smallest wins; ties go to the lowest tile. None draws a tile.
    priced : bool
        Whether lines, neurons and tiles have a price.
    by_account : bool
        Whether `rank` is price minus benefit: tiles that cannot win need not be weighed.
    """

    rank: Callable[[Choice], Any] | None
    priced: bool = True
    by_account: bool = False

    def pick(
        self, choices: Sequence[Choice], rng: np.random.Generator | None = None
    ) -> Choice:
        """Pick one of at least one."""
        by_tile = sorted(choices, key=lambda choice: choice.tile)
        if self.rank is not None:
            return min(by_tile, key=self.rank)
        if rng is None:
            raise MosaicError("A random policy needs rng, a numpy.random.Generator.")
        growing = [choice for choice in by_tile if choice.neurons] or by_tile
        return growing[int(rng.integers(len(growing)))]


POLICIES = {
    "price": Policy(lambda c: c.price - c.benefit, by_account=True),
    "cost-blind": Policy(lambda c: -c.benefit, priced=False),
    "benefit-blind": Policy(lambda c: (not c.neurons, c.price)),
    "nearest": Policy(lambda c: (not c.neurons, c.distance)),
    "random": Policy(None),
}
"""By name: benefit minus price; benefit alone; price alone; hops alone; chance.

The last three take tiles on which nothing grows only if there is no other.
"""
