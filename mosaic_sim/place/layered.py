"""Chunks of layers laid out as wholes: quick, and good for feed-forward networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.place.arrange import arrange, cluster_links
from mosaic_sim.place.assemble import along, seated
from mosaic_sim.place.curve import hilbert_tiles
from mosaic_sim.place.layers import chunks_by_layer, levels
from mosaic_sim.place.ports import choose_ports
from mosaic_sim.place.task import make_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search
    from mosaic_sim.place.placement import Placement

__all__ = ["layered"]


def layered(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
) -> Placement:
    """Cut each layer into tiles' worths by number, and arrange those on the chip.

    The neurons of a tile then share their sources, which is what a dense layer wants. A
    neuron's layer is the number of synapses on the longest way to it; a cycle is one layer.
    Where there are too few tiles for that, or neurons are kept, layers follow one another
    along a Hilbert curve.

    Raises
    ------
    CapacityError
        If a neuron finds no free slot on the tiles that it may use.
    """
    task = make_task(network, chip, keep, rates, allowed, search)
    part = None
    if task.free and network.neurons:
        part = chunks_by_layer(network, np.sort(task.room[task.room > 0])[::-1])
    if part is None:
        order = np.argsort(levels(network), kind="stable")
        tile = along(task, order, hilbert_tiles(chip.rows, chip.columns))
    else:
        parts = int(part.max()) + 1
        links = cluster_links(task, part, parts, None)
        tile = (
            arrange(task, links, np.flatnonzero(task.room), parts)
            .tile[part]
            .astype(np.int32)
        )
    return seated(task, tile, choose_ports(task, tile))
