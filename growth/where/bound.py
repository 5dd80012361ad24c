"""What no tile can do better than, in one sweep: most tiles of a large chip need no closer look.

`growth.where.choose.weigh` takes singular values for every number of neurons on every tile. With
1,024 tiles that is most of the time of a growth decision. For k neurons on the lines S::

    sum over i <= k of sigma_i(M[:, S])^2  <=  min(sum over i <= k of sigma_i(M)^2,
                                                   sum over j in S of |m_j|^2)

so the best that a tile can do is a knapsack of lines with gains ``|m_j|^2`` and prices. Let
lines be taken in part: then those with the largest ratio come first, and ``benefit(lines up to
the next) - price(lines up to here)`` is never less than what any set of whole lines brings.

Source: the fractional relaxation of Dantzig, "Discrete-variable extremum problems", Operations
Research 5, 1957, as a bound for branch and bound (Land and Doig, Econometrica 28, 1960).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from growth.host import Offer
    from growth.where.budget import Prices
    from growth.where.choose import Request

__all__ = ["most"]

SLACK = 1e-9
"""By how much a bound is raised, as a share of it, so that rounding prunes nothing."""


def most(request: Request, offers: Sequence[Offer], prices: Prices) -> NDArray[np.float64]:
    """Return for each tile what benefit minus price cannot exceed there.

    Parameters
    ----------
    request : Request
    offers : sequence of Offer
    prices : Prices

    Returns
    -------
    float64 array, (offers,)
        Never below ``benefit - price`` of the choice that `weigh` finds on the tile, whatever
        is left of a budget.

    Examples
    --------
    >>> from growth.host import Unlimited
    >>> from growth.where import Prices, Request, weigh
    >>> [offer] = Unlimited().offers(np.ones(3), None, 1.0)
    >>> request = Request(np.array([[2.0, 0.1, 0.0]]), leverage=1.0, loss=0.7)
    >>> found = weigh(request, offer, Prices())
    >>> bool(most(request, [offer], Prices())[0] >= found.benefit - found.price)
    True
    """
    if not offers:
        return np.zeros(0)
    vector = prices.vector
    there = np.stack([offer.there for offer in offers])
    bring = np.stack([offer.bring @ vector for offer in offers])
    synapse = np.stack([offer.synapse @ vector for offer in offers])
    neuron = np.array([offer.neuron @ vector for offer in offers])
    rows = len(request.matrix)
    each = neuron + np.array([(o.send + rows * o.feed) @ vector for o in offers])
    entry = (request.outputs + request.gates) * neuron
    if request.gate_reads is not None:
        brought = request.gate_reads & ~there
        entry = entry + (bring * brought).sum(1)
        entry = entry + request.gates * synapse[:, request.gate_reads].sum(1)
        there = there | request.gate_reads
    gain = (request.matrix**2).sum(0)
    if request.readable is not None:
        gain = np.where(request.readable, gain, 0.0)
    values = np.linalg.eigvalsh(request.matrix @ request.matrix.T)[::-1].clip(0)
    room = np.array(
        [min(o.slots - request.outputs - request.gates, o.sends) for o in offers]
    )
    best = -entry  # that of a tile on which nothing grows
    for neurons in range(1, min(int(room.max()), values.size) + 1):
        line = bring * ~there + neurons * synapse
        order = np.argsort(-gain / np.maximum(line, 1e-300), axis=1, kind="stable")
        gained = np.minimum(gain[order].cumsum(1), values[:neurons].sum())
        paid = np.take_along_axis(line, order, 1).cumsum(1)
        paid -= np.take_along_axis(line, order, 1)  # all before this one
        found = (_benefit(request, gained) - paid).max(1) - entry - neurons * each
        best = np.where(room >= neurons, np.maximum(best, found), best)
    raised: NDArray[np.float64] = best + SLACK * (1 + abs(best))
    return raised


def _benefit(request: Request, gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predicted decrease of the loss from gains, as `growth.where.choose.predicted`."""
    whole: NDArray[np.float64] = request.leverage * gain
    if request.loss == inf:
        return whole
    if request.loss <= 0:
        return np.zeros_like(whole)
    bounded: NDArray[np.float64] = request.loss * -np.expm1(-whole / request.loss)
    return bounded
