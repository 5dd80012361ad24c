"""Budgets, and the prices that keep to them: Lagrange multipliers of energy, devices and writes.

What a growth decision maximises is benefit minus price, ``B - lambda . cost``, and lambda is
updated after each task by what the task spent against its fair share of the budget::

    lambda_r share_r  <-  max(0, lambda_r share_r + rate (spent_r / share_r - 1))

so that spending too fast makes things dearer and saving makes them cheaper. Beside this soft
rule stands a hard one: nothing is bought that what is left cannot pay (`growth.where.choose`).

Source: dual descent for online allocation, Balseiro, Lu and Mirrokni, Operations Research 71
(2023) 101-119, with the multiplier in units of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np

from growth.host import Cost
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NO_LIMIT", "Prices", "fair_share"]

NO_LIMIT = Cost(inf, inf, inf)
"""The budget of one who has none."""


@dataclass(frozen=True)
class Prices:
    """What one joule per inference, one device and one write have to bring, in loss.

    Parameters
    ----------
    joules : float [1/J]
    devices, writes : float

    Examples
    --------
    >>> Prices(joules=1e6).of(Cost(2e-6, 5, 5))
    2.0
    >>> Prices().updated(Cost(0, 30, 0), Cost(inf, 10, inf), rate=0.1)
    Prices(joules=0.0, devices=0.02, writes=0.0)
    """

    joules: float = 0.0
    devices: float = 0.0
    writes: float = 0.0

    def __post_init__(self) -> None:
        for name, value in zip(Cost._fields, self.vector.tolist(), strict=True):
            if not 0 <= value < inf:
                raise MosaicError(
                    f"Prices.{name} is {value!r}; it needs a finite number >= 0."
                )

    @property
    def vector(self) -> NDArray[np.float64]:
        """The three prices, in the order of `Cost`."""
        return np.array([self.joules, self.devices, self.writes])

    def of(self, cost: Cost) -> float:
        """Price of a cost, in units of the loss."""
        return float(self.vector @ np.array(cost))

    def updated(self, spent: Cost, share: Cost, *, rate: float) -> Prices:
        """Return the prices after a task that spent so much of its fair share.

        Parameters
        ----------
        spent : Cost
        share : Cost
            What a task may spend in the mean; infinite or 0 leaves a price as it is.
        rate : float
            By how much loss the price of a share rises if twice the share is spent.
        """
        new = {}
        for name, used, fair in zip(Cost._fields, spent, share, strict=True):
            if isfinite(fair) and fair > 0:
                old = getattr(self, name) * fair
                new[name] = max(0.0, old + rate * (used / fair - 1)) / fair
        return replace(self, **new)


def fair_share(budget: Cost, tasks: int) -> Cost:
    """Return what each of so many tasks may spend in the mean.

    Examples
    --------
    >>> fair_share(Cost(inf, 100, 50), 10)
    Cost(joules=inf, devices=10.0, writes=5.0)
    """
    if tasks < 1:
        raise MosaicError(f"tasks is {tasks}; a budget lasts for at least 1.")
    return Cost(*(part / tasks for part in budget))
