"""Moving programmed neurons where that pays for the writing of their devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.place.growing import WIDTH, moved
from mosaic_sim.place.objective import Search, check_rates, hop_cost
from mosaic_sim.place.placement import Placement, check_placement
from mosaic_sim.place.seats import Moves, room, seats_of, slots_of, workspace
from mosaic_sim.progress import progress_bar

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network

__all__ = ["Defragmented", "defragment"]

PASSES = 10
"""Most rounds over all neurons at an effort of 1."""


@dataclass(frozen=True, eq=False)
class Defragmented:
    """What `defragment` did.

    Parameters
    ----------
    placement : Placement
    moved : int64 array, (m,)
        Neurons that sit elsewhere now.
    before, after : float
        H of `hop_cost`.
    paid : float
        Price of all moved neurons, in units of H: less than ``before - after``.
    """

    placement: Placement
    moved: NDArray[np.int64]
    before: float
    after: float
    paid: float

    @property
    def gain(self) -> float:
        """What is saved beyond what is paid, in units of H: never below 0."""
        return self.before - self.after - self.paid


def defragment(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    worth: float,
    rates: ArrayLike | None = None,
    effort: float = 1.0,
    seed: int = 0,
    progress: bool | None = None,
) -> Defragmented:
    """Move neurons, and let pairs change places, where that saves more than it costs.

    Parameters
    ----------
    worth : float
        Price of one moved neuron, in units of H; see `moving_price`. Infinite: nothing moves.
        0: a local search.
    rates : array, (sources,), optional
        How much each source spikes, in the unit that `worth` was made for; 1 by default.
    effort : float
        Rounds over all neurons, in tens; it stops earlier if a round finds nothing.
    seed : int
        Of the order in which neurons are looked at.
    progress : bool or None
        Whether to show a bar after a second; None: if stderr is a terminal.

    Raises
    ------
    CapacityError
        If the chip cannot hold `placement` as it is.
    MosaicError
        If `placement` or `rates` do not belong to this network and chip, or `worth` is not a
        number of at least 0.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network
    >>> net = Network.from_synapses(inputs=0, neurons=2, source=[0], target=[1], weight=1.0)
    >>> far = Placement(np.array([0, 3], "i4"), np.zeros(2, "i4"), np.zeros(0, "i4"))
    >>> done = defragment(net, Chip(2, 2, 1, 1, 1, 1), far, worth=1.5)
    >>> done.before, done.after, done.paid, done.moved.size
    (3.0, 1.0, 1.5, 1)
    """
    check_placement(network, chip, placement)
    rate = check_rates(network, rates)
    if not worth >= 0:
        raise MosaicError(f"worth is {worth!r}; it needs a number of at least 0.")
    if not (effort >= 0 and np.isfinite(effort)):
        raise MosaicError(f"effort is {effort!r}; it needs a finite number >= 0.")
    before = hop_cost(network, chip, placement, rate)
    if np.isinf(worth):
        return Defragmented(placement, np.zeros(0, np.int64), before, before, 0.0)
    slots = room(chip)
    seats, cost = seats_of(
        network, chip, placement.port, placement, rates=rate, slots=slots, price=worth
    )
    passes = round(PASSES * effort)
    order = np.random.default_rng(seed).permutation(network.neurons).astype(np.int32)
    done = 0.0
    with progress_bar("defragment", 1.0, progress) as bar:

        def report(fraction: float, cost: float) -> None:
            nonlocal done
            bar(fraction - done, f"cost {cost:,.0f}")
            done = fraction

        search = Search(effort, seed, report)
        run = Moves(
            seats,
            workspace(chip, network.neurons, slots),
            search,
            cost,
            passes * order.size,
        )
        try:
            for _ in range(passes):
                if not run.seat(order, 0, WIDTH):
                    break
        except KeyboardInterrupt:
            pass  # every slice ends with a legal placement that is no worse
    tile = seats.home[network.first_neuron :].copy()
    better = Placement(tile, slots_of(chip, tile, placement), placement.port)
    check_placement(network, chip, better)
    after = hop_cost(network, chip, better, rate)
    who = moved(placement, better)
    return Defragmented(better, who, before, after, worth * who.size)
