"""Where new neurons go, and how many of them pay for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from growth.host import Offer

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """A tile, the number of neurons for it, and the account that led there.

    Parameters
    ----------
    tile : int
    neurons : int
        0 if none pays.
    benefit : float
        Predicted decrease of the loss by the chosen neurons.
    price : float
        What they cost, in units of the loss.
    joules : float [J]
        The same per inference.
    """

    tile: int
    neurons: int
    benefit: float
    price: float
    joules: float


def choose(
    singular: Sequence[float], offers: Sequence[Offer], *, leverage: float, exchange: float,
    ceiling: float = float("inf"), reserve: int = 0,
) -> Choice | None:  # fmt: skip
    """Pick the tile and number of neurons with the largest benefit minus price.

    The i-th neuron is predicted to lower the loss by ``leverage * sigma_i**2`` (first-order
    gain of gradient descent on its incoming weights). It is worth having while that exceeds
    its price, so the best number on a tile is known without search.

    Parameters
    ----------
    singular : sequence of float
        Singular values of the GradMax matrix, largest first.
    offers : sequence of Offer
    leverage : float
        Squared norm of the outgoing columns times the length of training (learning rate times
        updates).
    exchange : float [1/J]
        Decrease of the loss that one joule per inference has to buy; 0 is blind to cost.
    ceiling : float
        What the benefit cannot exceed: the loss that there is.
    reserve : int
        Slots that the expert needs beside its hidden neurons; they are paid for too.

    Returns
    -------
    Choice, or None if no tile has room.

    Examples
    --------
    >>> near, far = Offer(0, 8, 1e-9, 1e-10), Offer(1, 8, 9e-9, 1e-10)
    >>> choose([2.0, 0.1], [far, near], leverage=1.0, exchange=1e9).tile
    0
    """
    choices = []
    for offer in offers:
        room = offer.room - reserve
        if room < 1:
            continue
        benefit, neurons = 0.0, 0
        for s in singular[:room]:
            more = min(benefit + leverage * s * s, ceiling)
            if more - benefit <= exchange * offer.neuron:
                break
            benefit, neurons = more, neurons + 1
        joules = (neurons + reserve) * offer.neuron + offer.bring
        choices.append(Choice(offer.tile, neurons, benefit, exchange * joules, joules))
    if not choices:
        return None
    return max(choices, key=lambda c: (c.benefit - c.price, -c.tile))
