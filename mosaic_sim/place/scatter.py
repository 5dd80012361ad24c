"""The placer to compare with: anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.place.assemble import along, seated, start_ports
from mosaic_sim.place.task import make_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search
    from mosaic_sim.place.placement import Placement

__all__ = ["scatter"]


def scatter(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
) -> Placement:
    """Put each new neuron into a free slot drawn at random among those that it may use.

    Raises
    ------
    CapacityError
        If a neuron finds no free slot on the tiles that it may use.
    """
    task = make_task(network, chip, keep, rates, allowed, search)
    rng = np.random.default_rng(search.seed)
    taken = np.zeros(chip.tiles, np.int64)
    if keep is not None:
        taken = np.bincount(keep.tile, minlength=chip.tiles)
    free = np.repeat(np.arange(chip.tiles), np.maximum(task.room - taken, 0))
    drawn = np.bincount(
        rng.permutation(free)[: network.neurons - task.kept], minlength=chip.tiles
    )
    # So many of each tile, to neurons in a random order.
    tight = task if task.allowed is not None else replace(task, room=taken + drawn)
    order = rng.permutation(network.neurons)
    tile = along(tight, order, rng.permutation(chip.tiles))
    return seated(task, tile, start_ports(task))
