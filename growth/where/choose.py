"""The decision for one need: on which tile, how many neurons, and which lines they read.

On a tile, k neurons that read the lines S are predicted to lower the loss L by::

    B(k, S) = L (1 - exp(-G / L)),    G = leverage * sum over i <= k of sigma_i(M[:, S])^2

G is the first-order gain of gradient descent, and B what is left of it when the squared
gradient shrinks in proportion to the loss, as in a quadratic bowl: never more than the loss
that there is. They cost the lines that they bring, their synapses, and the way of their spikes
to the outputs. As many directions are taken, and as many lines, as pay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import expm1, inf
from typing import TYPE_CHECKING

import numpy as np

from growth.host import Cost, Offer
from growth.where.bound import most
from growth.where.budget import NO_LIMIT, Prices
from growth.where.policies import POLICIES, Policy
from growth.where.sources import choose_sources, energy_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NO_ROOM",
    "Choice",
    "Refusal",
    "Request",
    "choose",
    "predicted",
    "seat",
    "weigh",
]

_BUDGETS = ("energy budget", "device budget", "write budget")

NO_ROOM = ("no tile with room", "no free slot", "no free line", *_BUDGETS)
"""Reasons to refuse: for a new expert, for more neurons of an old one, then for both."""

MARGINS = (1.0, 0.25, 0.0625, 0.015625)
"""What one more unit of G may be worth in B: tried one after the other, the best is kept."""


@dataclass(frozen=True, eq=False)
class Request:
    """What new neurons are for.

    Parameters
    ----------
    matrix : float64 array, (post, inputs + 1)
        M, with a column for each line from outside; 0 for the bias line.
    leverage : float
        Squared norm of the outgoing columns times the length of training (learning rate times
        updates).
    loss : float
        What the benefit cannot exceed.
    outputs, gates : int
        Neurons that come with the first ones of a new expert, and are paid for too.
    gate_reads : bool array, (inputs + 1,), optional
        Lines that each of the gates reads; they have to arrive.
    readable : bool array, (inputs + 1,), optional
        Lines that the new neurons may read; all by default.
    """

    matrix: NDArray[np.float64]
    leverage: float
    loss: float = inf
    outputs: int = 0
    gates: int = 0
    gate_reads: NDArray[np.bool_] | None = None
    readable: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """A tile, the number of neurons for it, what they read, and the account that led there.

    Parameters
    ----------
    tile : int
    neurons : int
        0 if none pays.
    reads : bool array, (inputs + 1,)
        Lines that each new neuron reads.
    benefit : float
        Predicted decrease of the loss by the chosen neurons.
    price : float
        What they cost, in units of the loss.
    cost : Cost
        The same as energy, devices and writes.
    entry : Cost
        The part of the cost that comes with a new expert, before any hidden neuron.
    distance : float
        As in `Offer`.
    """

    tile: int
    neurons: int
    reads: NDArray[np.bool_]
    benefit: float
    price: float
    cost: Cost
    entry: Cost
    distance: float

    @property
    def pays(self) -> bool:
        """Whether the benefit exceeds the price."""
        return self.benefit > self.price


@dataclass(frozen=True)
class Refusal:
    """Why no tile could take a single neuron.

    Parameters
    ----------
    reason : str
        One of `NO_ROOM`.
    """

    reason: str


def predicted(request: Request, gain: float) -> float:
    """Predicted decrease of the loss from the first-order gain G.

    Examples
    --------
    >>> predicted(Request(np.zeros((1, 1)), 1.0, loss=0.5), 0.25) < 0.25
    True
    >>> predicted(Request(np.zeros((1, 1)), 1.0), 0.25)
    0.25
    """
    if request.loss == inf:
        return gain
    return request.loss * -expm1(-gain / request.loss) if request.loss > 0 else 0.0


def choose(
    request: Request,
    offers: Sequence[Offer],
    prices: Prices,
    *,
    left: Cost = NO_LIMIT,
    policy: Policy = POLICIES["price"],
    rng: np.random.Generator | None = None,
) -> Choice | Refusal:
    """Pick the tile, the number of neurons and their lines.

    Parameters
    ----------
    request : Request
    offers : sequence of Offer
    prices : Prices
        The Lagrange multipliers; a policy may be blind to them.
    left : Cost
        What is left of the budgets. It is never exceeded: a choice is cut to what it can pay.
    policy : Policy
        How tiles are ranked; by benefit minus price by default.
    rng : numpy.random.Generator, optional
        For policies that draw.

    Returns
    -------
    Choice, or Refusal if no tile can take even one neuron.

    Examples
    --------
    >>> from growth.host import Unlimited
    >>> offers = Unlimited().offers(np.ones(3), None, 1.0)
    >>> request = Request(np.array([[2.0, 0.1, 0.0]]), leverage=1.0, loss=0.7)
    >>> choose(request, offers, Prices()).neurons
    1
    """
    if not policy.priced:
        prices = Prices()
    found: list[Choice | Refusal] = []
    if policy.by_account:
        bounds = most(request, offers, prices)
        best = -inf
        for number in np.argsort(-bounds, kind="stable").tolist():
            if bounds[number] < best:
                break  # nor can any of those that are left
            found.append(weigh(request, offers[number], prices, left))
            if isinstance(last := found[-1], Choice):
                best = max(best, last.benefit - last.price)
    else:
        found += [weigh(request, offer, prices, left) for offer in offers]
    choices = [choice for choice in found if isinstance(choice, Choice)]
    if not choices:
        return _common([r for r in found if isinstance(r, Refusal)], request)
    return policy.pick(choices, rng)


def _common(reasons: Sequence[Refusal], request: Request) -> Refusal:
    """The reason of the tile that came furthest: room first, then lines, then money."""
    order = NO_ROOM[:1] + NO_ROOM[2:] if request.outputs else NO_ROOM[1:]
    known = [order.index(r.reason) for r in reasons]
    return Refusal(order[max(known, default=0)])


def weigh(
    request: Request, offer: Offer, prices: Prices, left: Cost = NO_LIMIT
) -> Choice | Refusal:
    """Find how many neurons, on which lines, pay best on one tile.

    Returns
    -------
    Choice
        With 0 neurons if not even the first pays.
    Refusal
        If there is no slot or no line for one, or the budgets left cannot pay for it.
    """
    room = offer.slots - request.outputs - request.gates
    if room < 1:
        return Refusal("no tile with room" if request.outputs else "no free slot")
    there, lines = offer.there, offer.lines
    fixed = (request.outputs + request.gates) * offer.neuron
    if request.gate_reads is not None:
        brought = request.gate_reads & ~there
        lines -= int(brought.sum())
        fixed = fixed + offer.bring[brought].sum(0)
        fixed = fixed + request.gates * offer.synapse[request.gate_reads].sum(0)
        there = there | request.gate_reads
    room = min(room, offer.sends)
    if lines < 0 or room < 1 or (not lines and not there.any()):
        return Refusal("no free line")
    offer = replace(offer, lines=lines, there=there)
    short = [r for r, a, b in zip(_BUDGETS, fixed, left, strict=True) if a > b]
    if short:
        return Refusal(short[0])
    nothing = np.zeros(there.shape, np.bool_)
    entry = Cost(*fixed.tolist())
    best = Choice(
        offer.tile, 0, nothing, 0.0, prices.of(entry), entry, entry, offer.distance
    )
    each = offer.send + offer.neuron + len(request.matrix) * offer.feed
    tried, affordable = nothing, False
    whole = energy_of(request.matrix, np.ones(there.shape, np.bool_)).size
    for neurons in range(1, min(room, whole) + 1):
        for reads in _proposals(request, offer, prices, neurons):
            kept = _cut(request, offer, reads, neurons, fixed + neurons * each, left)
            tried = tried | reads
            if kept is None:
                continue
            affordable = True
            energy = energy_of(request.matrix, kept)[:neurons]
            if energy.size < neurons:
                continue
            benefit = predicted(request, request.leverage * float(energy.sum()))
            extra = _lines(offer, neurons)[kept].sum(0)
            cost = Cost(*(fixed + neurons * each + extra).tolist())
            price = prices.of(cost)
            if benefit - price > best.benefit - best.price and cost.within(left):
                best = Choice(
                    offer.tile, neurons, kept, benefit, price, cost, entry, offer.distance
                )
    if tried.any() and not affordable:
        least = fixed + each + _lines(offer, 1)[tried].min(0)
        over = np.where(np.isfinite(left), least - np.array(left), -inf)
        return Refusal(_BUDGETS[int(over.argmax())])
    return best


def seat(
    offers: Sequence[Offer], reads: NDArray[np.bool_], neurons: int, prices: Prices, *,
    left: Cost = NO_LIMIT,
) -> Choice | Refusal:  # fmt: skip
    """Pick the cheapest tile for neurons whose lines are given, such as more gate neurons.

    Parameters
    ----------
    offers : sequence of Offer
    reads : bool array, (inputs + 1,)
        Lines that each of them reads.
    neurons : int
        How many, at most: fewer where slots or the budgets do not allow more.
    prices : Prices
    left : Cost

    Returns
    -------
    Choice, without a benefit, or Refusal.
    """
    choices, short = [], []
    for offer in offers:
        if not offer.slots:
            continue
        if int((reads & ~offer.there).sum()) > offer.lines:
            short.append("no free line")
            continue
        for count in range(min(neurons, offer.slots), 0, -1):
            own = count * offer.neuron
            cost = Cost(*(own + _lines(offer, count)[reads].sum(0)).tolist())
            if cost.within(left):
                choices.append(
                    Choice(
                        offer.tile, count, reads, 0.0, prices.of(cost), cost, Cost(),
                        offer.distance,
                    )
                )  # fmt: skip
                break
        else:
            over = np.array(cost) > np.array(left)
            short.append(_BUDGETS[int(over.argmax())])
    if not choices:
        return Refusal(short[-1] if short else "no free slot")
    return min(choices, key=lambda c: (c.price / c.neurons, c.tile))


def _proposals(
    request: Request, offer: Offer, prices: Prices, neurons: int
) -> Iterator[NDArray[np.bool_]]:
    """Sets of lines worth a look: what pays if one more unit of G is worth so much in B."""
    lines = _lines(offer, neurons) @ prices.vector
    margins = MARGINS if lines.any() and request.loss < inf else MARGINS[:1]
    if request.readable is not None:
        lines = np.where(request.readable, lines, inf)
    seen: list[NDArray[np.bool_]] = []
    for margin in margins:
        worth = request.leverage * margin
        if not worth:
            return
        reads = choose_sources(
            request.matrix, there=offer.there, lines=offer.lines, neurons=neurons,
            price=lines / worth,
        )  # fmt: skip
        if reads.any() and not any(np.array_equal(reads, other) for other in seen):
            seen.append(reads)
            yield reads


def _lines(offer: Offer, neurons: int) -> NDArray[np.float64]:
    """Cost of letting so many neurons read each line, (lines, 3)."""
    return offer.bring * ~offer.there[:, None] + neurons * offer.synapse


def _cut(
    request: Request, offer: Offer, reads: NDArray[np.bool_], neurons: int,
    fixed: NDArray[np.float64], left: Cost,
) -> NDArray[np.bool_] | None:  # fmt: skip
    """The most telling of the lines that what is left can pay for; None if for none."""
    rest = np.array(left) - fixed
    if (rest < 0).any():
        return None
    chosen = np.flatnonzero(reads)
    each = _lines(offer, neurons)[chosen]
    if (each.sum(0) <= rest).all():
        return reads
    finite = np.isfinite(rest)
    scale = np.where(finite & (rest > 0), rest, 1.0)
    burden = (np.where(finite, each, 0.0) / scale).max(1)
    gain = (request.matrix[:, chosen] ** 2).sum(0)
    order = np.argsort(-gain / np.maximum(burden, 1e-300), kind="stable")  # free ones first
    fits = (each[order].cumsum(0) <= rest).all(1)
    kept = np.zeros(reads.shape, np.bool_)
    kept[chosen[order[: int(fits.argmin())]]] = True
    return kept if kept.any() else None
