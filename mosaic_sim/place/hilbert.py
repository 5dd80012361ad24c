"""Neurons in number order along a space-filling curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.place.assemble import along, seated, start_ports
from mosaic_sim.place.curve import hilbert_tiles
from mosaic_sim.place.task import make_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search
    from mosaic_sim.place.placement import Placement

__all__ = ["hilbert"]


def hilbert(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
) -> Placement:
    """Fill tiles along a Hilbert curve with neurons by number. Rates play no part.

    Good where neurons are numbered so that neighbours talk to each other.

    Source: O. Jin et al., "Mapping very large scale spiking neuron network to neuromorphic
    hardware", ASPLOS 2023, start from this layout.

    Raises
    ------
    CapacityError
        If a neuron finds no free slot on the tiles that it may use.
    """
    task = make_task(network, chip, keep, rates, allowed, search)
    curve = hilbert_tiles(chip.rows, chip.columns)
    return seated(task, along(task, np.arange(network.neurons), curve), start_ports(task))
