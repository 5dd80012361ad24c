"""A quick router: every tree is a comb, a trunk beside the neuron with teeth to its targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.place import tiles_reached
from mosaic_sim.route.greedy import greedy
from mosaic_sim.route.routing import Routing, entry_lines, shut_sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = ["comb"]

ROOM = 1 << 24
"""Links that there is room for at first."""


def comb(
    network: Network, chip: Chip, placement: Placement, *, keep: Routing | None
) -> Routing:
    """Lay the cheapest of four combs for each neuron: time grows with the links, not the chip.

    A comb's trunk runs across or down; its teeth serve one row of tiles or two. Where a comb
    would need a link that is full, and for external sources, a shortest tree is searched for
    as `greedy` does. If there is none, or routes have to be kept, all is left to `greedy`.

    Raises
    ------
    RoutingError
        As `greedy`.
    """
    if keep is not None:
        return greedy(network, chip, placement, keep=keep)
    fixed = (
        network.first_neuron, *tiles_reached(network, placement, chip), placement.tile,
        placement.slot, chip.port_cells[placement.port], chip.columns, chip.capacity,
        chip.neighbours, chip.is_router, chip.tile_cells, shut_sides(chip, placement),
    )  # fmt: skip
    load = np.zeros((chip.cells, 4), np.int32)
    links = np.zeros(network.sources, np.int64)
    # Room for one tree of every cell, or for some dozens of links a source.
    room = chip.cells + min(48 * network.sources, ROOM)
    cell, side = np.empty(room, np.int32), np.empty(room, np.int8)
    line = np.empty(room, np.int16)
    done, written = 0, 0
    while done < network.sources:
        done, written, missed = _kernels.comb_trees(
            done, written, *fixed, load, links, cell, side, line
        )
        if missed >= 0:
            return greedy(network, chip, placement, keep=None)
        if done < network.sources:  # a little more than the others need if they are alike
            _resize(
                chip.cells + written * network.sources // done * 21 // 20, cell, side, line
            )
    _resize(written, cell, side, line)
    if not chip.whole:
        routed = chip.is_router[cell]
        line[routed] = chip.line_numbers(cell[routed], side[routed], line[routed])
    return Routing(
        np.concatenate([[0], np.cumsum(links)]), cell, side, line,
        entry_lines(chip, placement),
    )  # fmt: skip


def _resize(size: int, *arrays: NDArray[Any]) -> None:
    """Resize arrays in place: large ones are not copied, and never there twice."""
    for array in arrays:
        array.resize(size, refcheck=False)  # nobody else looks at them
