"""What a learner may ask of the place where its network lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "MANY", "Cost", "Host", "Offer", "Unlimited"]

KINDS = ("out", "gate", "hidden")
"""What neurons of an expert are for."""

MANY = 1 << 30
"""Slots or lines of a place that has no end."""


class Cost(NamedTuple):
    """What something costs, in the three quantities that a budget may bound.

    Parameters
    ----------
    joules : float [J]
        Energy per inference, with the programming spread over inferences.
    devices : float
        Devices in use.
    writes : float
        Devices written, once.

    Examples
    --------
    >>> Cost(1e-9, 2, 2).plus(Cost(2e-9, 1, 1)).devices
    3
    """

    joules: float = 0.0
    devices: float = 0.0
    writes: float = 0.0

    def plus(self, other: Cost) -> Cost:
        """Add, quantity by quantity."""
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))

    def less(self, other: Cost) -> Cost:
        """Subtract, quantity by quantity."""
        return Cost(*(a - b for a, b in zip(self, other, strict=True)))

    def within(self, budget: Cost) -> bool:
        """Whether no quantity exceeds that of `budget`."""
        return all(a <= b for a, b in zip(self, budget, strict=True))


@dataclass(frozen=True, eq=False)
class Offer:
    """A tile that could take new neurons.

    A *line* from outside carries an input; the last one is the bias line, which spikes at every
    step. Costs are arrays whose last axis is a `Cost`.

    Parameters
    ----------
    tile : int
    slots : int
        Free slots.
    lines : int
        Free lines: distinct sources that may still come to arrive at the tile.
    there : bool array, (inputs + 1,)
        Lines from outside that arrive already; new neurons share them.
    bring : float64 array, (inputs + 1, 3)
        Cost of bringing each line there; 0 where it is.
    synapse : float64 array, (inputs + 1, 3)
        Cost of one synapse from each line.
    send : float64 array, (3,)
        Cost of bringing the spikes of one new neuron to the outputs of its expert.
    feed : float64 array, (3,)
        Cost of one synapse from it to an output.
    neuron : float64 array, (3,)
        Cost of the spikes of a neuron of any kind where it is.
    sends : int
        New neurons whose spikes can still reach these outputs.
    distance : float
        Hops to the outputs of the expert; for a new expert, from an input in the mean.
    """

    tile: int
    slots: int
    lines: int
    there: NDArray[np.bool_]
    bring: NDArray[np.float64]
    synapse: NDArray[np.float64]
    send: NDArray[np.float64]
    feed: NDArray[np.float64]
    neuron: NDArray[np.float64]
    sends: int
    distance: float


class Host(Protocol):
    """A place for neurons, with room and prices; keeps the learner ignorant of chips."""

    def offers(
        self, rates: NDArray[np.float64], expert: int | None, fires: float
    ) -> list[Offer]:
        """Return the tiles with room for at least one neuron.

        Parameters
        ----------
        rates : float64 array, (inputs + 1,)
            Spikes per inference of each input and of the bias line.
        expert : int or None
            Whose hidden neurons. None asks for a new expert, which gets a tile without neurons.
        fires : float
            Spikes per inference to expect of a new neuron.
        """
        ...

    def claim(
        self, expert: int, tile: int, kind: str, neurons: int, reads: NDArray[np.bool_]
    ) -> None:
        """Let `neurons` new neurons of an expert live on `tile`.

        Parameters
        ----------
        expert, tile, neurons : int
        kind : str
            One of `KINDS`. Neurons of a kind are born in the order in which they are claimed.
        reads : bool array, (inputs + 1,)
            Lines from outside that any of them reads.
        """
        ...

    def settle(self, reads: NDArray[np.bool_]) -> None:
        """Give room to neurons that are there from the start; all others read these.

        From then on a line of `offers` and `claim` comes from one of them, not from an input.

        Parameters
        ----------
        reads : bool array, (neurons, inputs)
            Inputs that each of them reads.
        """
        ...


class Unlimited:
    """Room without end at no price: plain continual learning."""

    def offers(
        self, rates: NDArray[np.float64], expert: int | None, fires: float
    ) -> list[Offer]:
        """Offer one place for everything."""
        free = np.zeros((len(rates), 3))
        there = np.ones(len(rates), np.bool_)
        zero = free[0]
        return [Offer(0, MANY, MANY, there, free, free, zero, zero, zero, MANY, 0.0)]

    def claim(
        self, expert: int, tile: int, kind: str, neurons: int, reads: NDArray[np.bool_]
    ) -> None:
        """Accept."""

    def settle(self, reads: NDArray[np.bool_]) -> None:
        """Accept."""
