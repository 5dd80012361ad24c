"""The plainest placer: neurons fill the tiles by number, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import CapacityError
from mosaic_sim.place.placement import Placement, spread_ports

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search

__all__ = ["in_order"]


def in_order(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
) -> Placement:
    """Put each new neuron into the first free slot that it may use. Rates play no part.

    Raises
    ------
    CapacityError
        If a neuron finds no free slot on the tiles that it may use.
    """
    kept = keep.tile.size if keep is not None else 0
    taken = np.repeat(chip.slots == 0, chip.neurons_per_tile)
    seat = np.empty(network.neurons, np.int64)
    if keep is not None:
        seat[:kept] = keep.tile.astype(np.int64) * chip.neurons_per_tile + keep.slot
        taken[seat[:kept]] = True
    if allowed is None:
        seat[kept:] = np.flatnonzero(~taken)[: network.neurons - kept]
    else:
        tile_of = np.arange(taken.size) // chip.neurons_per_tile
        for neuron in range(kept, network.neurons):
            free = np.flatnonzero(~taken & allowed[neuron, tile_of])
            if not free.size:
                raise CapacityError(
                    f"No tile is open to neuron {neuron}: the {int(allowed[neuron].sum())} "
                    "tiles that it may use have no free slot."
                )
            seat[neuron] = free[0]
            taken[free[0]] = True
    tile, slot = np.divmod(seat, chip.neurons_per_tile)
    return Placement(
        tile.astype(np.int32), slot.astype(np.int32), spread_ports(network, chip, keep)
    )
