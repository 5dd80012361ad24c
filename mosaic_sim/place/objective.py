"""What a placement is judged by, and what no placement can do.

The cost of a placement is ``H = sum over sources of rate x sum of hops to the distinct foreign
tiles that the source reaches``: a spike is sent to a tile once, however many neurons there
read it. For inputs the hops count from their port.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import CapacityError, MosaicError
from mosaic_sim.place.placement import check_sites, tiles_reached

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.placement import Placement

__all__ = ["Search", "check_fan_in", "check_rates", "hop_cost", "source_hops"]


def _silent(_fraction: float, _cost: float) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Search:
    """How hard, and from which seed, a placer or a router searches.

    Parameters
    ----------
    effort : float
        0: milliseconds, a first layout without refinement; 1: the default, seconds for
        10,000 neurons; 10 and more: minutes. Work grows in proportion; time does not decide,
        so that the same seed gives the same layout.
    seed : int
    report : callable
        Called now and then with the fraction of the work that is done, and the best cost.
    """

    effort: float = 1.0
    seed: int = 0
    report: Callable[[float, float], None] = _silent
    spread: bool = False


def hop_cost(
    network: Network, chip: Chip, placement: Placement, rates: ArrayLike | None = None
) -> float:
    """Return H: rate times hops to every distinct foreign tile, summed over all sources.

    Parameters
    ----------
    rates : array, (sources,), optional
        How much each source spikes, in any unit; 1 by default.

    Raises
    ------
    MosaicError
        If `placement` or `rates` do not belong to this network and chip.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network, Placement
    >>> net = Network.from_synapses(inputs=0, neurons=2, source=[0], target=[1], weight=[1.0])
    >>> far = Placement(np.array([0, 3], "i4"), np.zeros(2, "i4"), np.zeros(0, "i4"))
    >>> hop_cost(net, Chip(2, 2, 1, 1, 1, 1), far)
    3.0
    """
    check_sites(chip, placement, network.neurons, network.first_neuron)
    rate = check_rates(network, rates)
    return float(rate @ source_hops(network, chip, placement))


def source_hops(network: Network, chip: Chip, placement: Placement) -> NDArray[np.int64]:
    """Hops from each source to the distinct foreign tiles that it reaches, (sources,)."""
    offsets, tile = tiles_reached(network, placement, chip)
    row, column = np.divmod(placement.tile, chip.columns)
    sites = chip.port_sites[placement.port]
    fan_out = np.diff(offsets)
    from_row = np.repeat(np.concatenate([sites[:, 0], row]), fan_out)
    from_column = np.repeat(np.concatenate([sites[:, 1], column]), fan_out)
    to_row, to_column = np.divmod(tile, chip.columns)
    hops = chip.hop_table[abs(from_row - to_row), abs(from_column - to_column)]
    total = np.zeros(tile.size + 1, np.int64)
    np.cumsum(hops, out=total[1:])
    return total[offsets[1:]] - total[offsets[:-1]]


def check_rates(network: Network, rates: ArrayLike | None) -> NDArray[np.float64]:
    """Return `rates` as an array, 1 each by default; refuse what cannot be rates."""
    rate = np.ones(network.sources) if rates is None else np.asarray(rates, np.float64)
    if rate.shape != (network.sources,) or not np.isfinite(rate).all() or (rate < 0).any():
        raise MosaicError(
            f"rates needs one finite number >= 0 for each of the {network.sources} sources."
        )
    return rate


def check_fan_in(network: Network, chip: Chip) -> None:
    """Refuse a network with a neuron that needs more arriving lines than any tile has.

    At most ``neurons_per_tile - 1`` of the neurons that a neuron listens to can share its
    tile; the spikes of all others, and of all inputs, arrive over lines, wherever it lies.

    Raises
    ------
    CapacityError
    """
    # A network has at most one synapse from a source to a neuron.
    source, target = network.source, network.target
    inside = source >= network.first_neuron
    own = source - network.first_neuron == target
    outside = np.bincount(target[~inside], minlength=network.neurons)
    others = np.bincount(target[inside & ~own], minlength=network.neurons)
    least = outside + np.maximum(others - (chip.neurons_per_tile - 1), 0)
    lines = int(chip.fan_in.max())
    if least.size and least.max() > lines:
        worst = int(np.argmax(least))
        many = int(np.count_nonzero(least > lines))
        raise CapacityError(
            f"Neuron {worst} listens to {outside[worst]} inputs and {others[worst]} other "
            f"neurons; a tile has room for {chip.neurons_per_tile} neurons and has {lines} "
            f"arriving lines ({_sides(chip)}), so at least {least[worst]} lines "
            f"would have to arrive at its tile in any layout. {many} of the "
            f"{network.neurons} neurons need more than {lines}. Use more lines a side, more "
            "neurons a tile, or a smaller fan-in."
        )


def _sides(chip: Chip) -> str:
    """Say where the arriving lines of a tile come from."""
    if chip.whole:
        return f"4 sides of {min(chip.tile_lines, chip.r1_lines)}"
    return f"4 sides of {min(chip.tile_lines, chip.r1_lines)}, without broken ones"
