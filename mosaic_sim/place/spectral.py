"""Neurons in the order of the slowest mode of diffusion, along a space-filling curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.place.arrange import slow_modes
from mosaic_sim.place.assemble import along, seated, start_ports
from mosaic_sim.place.curve import hilbert_tiles
from mosaic_sim.place.partition import neuron_links
from mosaic_sim.place.task import make_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search
    from mosaic_sim.place.placement import Placement

__all__ = ["spectral", "spectral_order"]


def spectral_order(network: Network, rates: NDArray[np.float64]) -> NDArray[np.int64]:
    """Neurons by the second eigenvector of their graph, each synapse as strong as its rate."""
    n = network.neurons
    links = neuron_links(network, rates)
    if n < 6 or not links.partner.size:
        return np.arange(n)
    vector = slow_modes(links, 1.0, 1)[:n, 0]
    return np.argsort(vector, kind="stable")


def spectral(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
) -> Placement:
    """Fill tiles along a Hilbert curve with neurons in spectral order.

    Source: M. Juvan and B. Mohar, "Optimal linear labelings and eigenvalues of graphs",
    Discrete Applied Mathematics 36 (1992), for the order.

    Raises
    ------
    CapacityError
        If a neuron finds no free slot on the tiles that it may use.
    """
    task = make_task(network, chip, keep, rates, allowed, search)
    curve = hilbert_tiles(chip.rows, chip.columns)
    return seated(
        task, along(task, spectral_order(network, rates), curve), start_ports(task)
    )
