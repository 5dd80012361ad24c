"""Signals that do not look at the network: known, random and regular times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from growth.when.base import Remembers, at_least
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from growth.when.observe import Observation

__all__ = ["At", "Schedule", "random_times"]


class At(Remembers):
    """1 at given batches, counted from 0, and 0 at all others: an oracle knows them.

    Parameters
    ----------
    batches : sequence of int

    Examples
    --------
    >>> sorted(At([3, 1]).batches)
    [1, 3]
    """

    kept = ("next",)

    def __init__(self, batches: Sequence[int]) -> None:
        if any(batch < 0 for batch in batches):
            raise MosaicError(f"batches is {list(batches)}; batches count from 0.")
        self.batches = frozenset(batches)
        self.next = 0.0

    def __call__(self, seen: Observation) -> float:
        now = int(self.next)
        self.next += 1
        return float(now in self.batches)


def random_times(events: int, batches: int, seed: int, *, apart: int = 1) -> At:
    """1 at random batches, none twice, as many as wanted: what any signal has to beat.

    Parameters
    ----------
    events, batches : int
        Events among batches.
    seed : int
    apart : int
        Batches from one event to the next, at least; if more than 1, also from the beginning
        to the first event and from the last one to the end.

    Raises
    ------
    MosaicError
        If there are more events than batches have room for.

    Examples
    --------
    >>> len(random_times(4, 100, seed=0).batches)
    4
    """
    if not 0 <= events <= batches:
        raise MosaicError(f"events is {events}; it lies between 0 and {batches} batches.")
    at_least("apart", apart, 1)
    rng = np.random.default_rng(seed)
    if apart == 1:
        return At(rng.choice(batches, events, replace=False).tolist())
    # Take the gaps out, draw, and put them back: all sets that keep them are equally likely.
    room = batches - (events + 1) * (apart - 1) - 1
    if events > room:
        raise MosaicError(
            f"{events} events do not fit {batches} batches if they are {apart} apart."
        )
    drawn = np.sort(rng.choice(room, events, replace=False))
    return At((drawn + 1 + (apart - 1) * np.arange(1, events + 1)).tolist())


class Schedule(Remembers):
    """1 every so many batches, 0 in between.

    Parameters
    ----------
    every : int

    References
    ----------
    GradMax grows every 2,500 updates (Evci et al., arXiv:2201.05125).
    """

    kept = ("count",)

    def __init__(self, every: int) -> None:
        self.every = at_least("every", every, 1)
        self.count = 0.0

    def __call__(self, seen: Observation) -> float:
        self.count += 1
        return float(self.count % self.every == 0)
