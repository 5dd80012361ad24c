"""What a learner may ask of the place where its network lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Host", "Offer", "Unlimited"]


@dataclass(frozen=True)
class Offer:
    """A tile that could take new neurons.

    Parameters
    ----------
    tile : int
    room : int
        Free slots.
    bring : float [J]
        Energy per inference to bring the inputs there.
    neuron : float [J]
        Energy per inference of one more neuron there, its devices' programming spread over
        the inferences until the next change included.
    """

    tile: int
    room: int
    bring: float
    neuron: float


class Host(Protocol):
    """A place for neurons, with room and prices; keeps the learner ignorant of chips."""

    def offers(self, rates: NDArray[np.float64], expert: int | None) -> list[Offer]:
        """Return the tiles with room for neurons that read all inputs.

        Parameters
        ----------
        rates : float64 array, (inputs,)
            Spikes of each input per inference.
        expert : int or None
            Whose neurons: its own tile is offered while it has room, then any other. None
            asks for a new expert, which gets a tile without neurons.
        """
        ...

    def claim(self, expert: int, tile: int, neurons: int) -> None:
        """Let `neurons` new neurons of an expert live on `tile`."""
        ...


class Unlimited:
    """Room without end at no price: plain continual learning."""

    def offers(self, rates: NDArray[np.float64], expert: int | None) -> list[Offer]:
        """Offer one place for everything."""
        return [Offer(0, 1 << 30, 0.0, 0.0)]

    def claim(self, expert: int, tile: int, neurons: int) -> None:
        """Accept."""
