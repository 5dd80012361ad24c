"""How many lines a placement needs at least: what no router can do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.place import tiles_reached

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = ["cut_bound"]


def cut_bound(network: Network, chip: Chip, placement: Placement) -> int:
    """Return how many lines a side of R0 needs at least, for any router.

    A straight cut across the chip is crossed in the rows (or columns) of corner routers only:
    the tiles on it end a way, or begin one. A source on one side that reaches a tile on the
    other, and neither ends nor begins on the cut, takes one of those lines.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network, Placement
    >>> net = Network.from_synapses(
    ...     inputs=0, neurons=7, source=[0, 1, 2, 3, 4, 5], target=[6] * 6, weight=1.0
    ... )
    >>> ends = Placement(
    ...     np.array([0] * 6 + [2], "i4"), np.array([*range(6), 0], "i4"), np.zeros(0, "i4")
    ... )
    >>> cut_bound(net, Chip(1, 3, 6, 6, 6, 6), ends)  # six sources pass tile 1, in two rows
    3
    """
    start = np.concatenate(
        [chip.port_cells[placement.port], chip.tile_cells[placement.tile]]
    )
    begins = np.concatenate(
        [np.ones(placement.port.size, bool), np.zeros(placement.tile.size, bool)]
    )
    offsets, tile = tiles_reached(network, placement, chip)
    some = np.diff(offsets) > 0
    goal = chip.tile_cells[tile]
    first = offsets[:-1][some]
    bound = 0
    for axis, routers in enumerate((chip.columns + 1, chip.rows + 1)):
        where = np.divmod(goal, chip.shape[1])[axis]
        home = np.divmod(start, chip.shape[1])[axis][some]
        if not first.size:
            break
        most = np.maximum.reduceat(where, first)
        least = np.minimum.reduceat(where, first)
        size = chip.shape[axis]
        crossing = _crossing(home, most, begins[some], size)
        crossing = max(
            crossing, _crossing(size - 1 - home, size - 1 - least, begins[some], size)
        )
        bound = max(bound, -(-crossing // routers))
    return bound


def _crossing(
    home: NDArray[np.int64], most: NDArray[np.int64], begins: NDArray[np.bool_], size: int
) -> int:
    """Most sources that cross one cut upwards, by links between routers only.

    Between x and x + 1: from below or on x (from a tile on x, by its own output), to above
    x + 1 (a goal on x + 1 may be entered from x). Goals lie at odd x.
    """
    change = np.zeros(size + 1, np.int64)
    # Cuts x = low .. high that every way from `home` to `most` crosses between routers: the
    # first link may be the output of the tile, the last one enters a tile.
    low = home + np.where(begins, 0, 1)
    high = most - 2
    crosses = low <= high
    np.add.at(change, low[crosses], 1)
    np.add.at(change, high[crosses] + 1, -1)
    return int(np.cumsum(change).max(initial=0))
