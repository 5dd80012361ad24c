"""The published router: every way goes along one corridor, turns once, and enters its tile.

Source: the router of the code of Weber, Ballet and Payvand, arXiv:2412.01575
(``MOSAIC_routing.py``). For a neuron and one target tile:

1. To a neighbour: straight through the router between.
2. In the same column: out to the west, along that column of routers, in to the east.
3. Otherwise: out to the south if the target is further south, else to the north; along that
   row of routers to the near side of the target; along that column; in from the side.

A segment that several ways of a neuron share counts once. Nothing else is optimised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import MosaicError
from mosaic_sim.route.board import Board
from mosaic_sim.route.negotiated import settle

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement, Search
    from mosaic_sim.route.routing import Routing

__all__ = [
    "OneTurnLoads",
    "one_turn",
    "one_turn_loads",
    "port_violations",
    "ports_of_links",
]


def one_turn(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    keep: Routing | None,
    rip: bool,
    search: Search,
) -> Routing:
    """Lay the published ways as trees; search where they do not fit, and for inputs.

    Two ways of a neuron that leave its tile on different sides can meet again. The published
    code lets both go on, which loads a router twice with one source; here the later one starts
    where they meet, since a `Routing` is made of trees. `one_turn_loads` counts as published.

    Where a tree would need a link that is full, for external sources, of which the published
    code has none, and for kept trees that grow, a short tree is searched for as `steiner`
    does; if that fails, trees are negotiated as in `negotiated`.

    Raises
    ------
    RoutingError
        As `negotiated`.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network, place, route
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[1.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> route(net, chip, place(net, chip), router="one_turn").cell.size
    1
    """
    board = Board(network, chip, placement, keep, rip=rip)
    board.draw(_kernels.one_turn_trees)
    return settle(board, search)


class OneTurnLoads(NamedTuple):
    """What the one-turn ways of all neurons load, without regard to capacity.

    Attributes
    ----------
    ports : int64 array, (cells, 8)
        Neurons on each port of each cell: in north, east, south, west, then out. The four R1
        around a tile carry all its neurons on the side of the tile, as wired; outputs of
        neuron tiles are 0, as in the published table, since no formula uses them.
    visited : int64 array, (neurons, 3)
        Distinct R0, R1 and NT that the ways of each neuron enter.
    """

    ports: NDArray[np.int64]
    visited: NDArray[np.int64]


def one_turn_loads(
    chip: Chip, reach: ArrayLike, home: ArrayLike | None = None
) -> OneTurnLoads:
    """Count the sources on every port, as the published code does: without capacity.

    Parameters
    ----------
    chip : Chip
        Its grid and its neurons a tile; its lines are not looked at.
    reach : bool array, (neurons, tiles)
        Tiles that each neuron has synapses in. Its own tile is no matter: nothing is routed.
    home : int array, (neurons,), optional
        Tile of each neuron; by default tile after tile is filled in order.

    Raises
    ------
    MosaicError
        If `reach` has not one column a tile, or `home` not one tile for each neuron.

    Examples
    --------
    Both neurons of tile 0 reach tile 1, through the R1 between (row 1, column 2):

    >>> from mosaic_sim import Chip
    >>> chip = Chip(1, 2, neurons_per_tile=2, tile_lines=2, r0_lines=2, r1_lines=2)
    >>> loads = one_turn_loads(chip, [[0, 1], [0, 1], [0, 0], [0, 0]])
    >>> loads.ports.reshape(3, 5, 8)[1, 2].tolist()
    [0, 2, 0, 2, 0, 2, 0, 0]
    >>> loads.visited[0].tolist()
    [0, 1, 1]
    """
    table = np.asarray(reach)
    if table.ndim != 2 or table.shape[1] != chip.tiles:
        raise MosaicError(
            f"reach has shape {table.shape}; it needs one column for each of the "
            f"{chip.tiles} tiles: (neurons, {chip.tiles})."
        )
    neurons = table.shape[0]
    if home is None:
        if neurons > chip.tiles * chip.neurons_per_tile:
            raise MosaicError(
                f"reach has {neurons} rows; the chip has {chip.tiles} tiles of "
                f"{chip.neurons_per_tile} neurons, so it takes at most "
                f"{chip.tiles * chip.neurons_per_tile}."
            )
        tile = np.arange(neurons) // chip.neurons_per_tile
    else:
        tile = np.asarray(home)
        if (
            tile.shape != (neurons,)
            or not np.issubdtype(tile.dtype, np.integer)
            or np.any((tile < 0) | (tile >= chip.tiles))
        ):
            raise MosaicError(
                f"home needs one tile from 0 to {chip.tiles - 1} for each of the {neurons} "
                "rows of reach."
            )
    neuron, reached = np.nonzero(table)
    links = np.zeros((chip.cells, 4), np.int64)
    visited = np.zeros((neurons, 3), np.int64)
    kind = np.select([chip.kinds == "R0", chip.kinds == "R1"], [0, 1], 2).astype(np.int8)
    _kernels.one_turn_links(
        np.searchsorted(neuron, np.arange(neurons + 1)), reached.astype(np.int32),
        tile.astype(np.int32), chip.columns, chip.neighbours, kind, links, visited,
    )  # fmt: skip
    return OneTurnLoads(ports_of_links(chip, links), visited)


def ports_of_links(chip: Chip, links: ArrayLike) -> NDArray[np.int64]:
    """Turn the sources on links into those on ports, with the outputs of tiles as wired.

    Parameters
    ----------
    chip : Chip
    links : int array, (cells, 4)
        Sources on the link that leaves each cell on each side, as `Routing.load` has them.

    Returns
    -------
    int64 array, (cells, 8)
        As `OneTurnLoads.ports`.

    Raises
    ------
    MosaicError
        If `links` has not one row for each cell and four columns.

    Examples
    --------
    Nothing is routed, and yet the four R1 around the tile have its neurons on one side:

    >>> import numpy as np
    >>> from mosaic_sim import Chip
    >>> ports = ports_of_links(Chip(1, 1, 3, 3, 3, 3), np.zeros((9, 4), int))
    >>> ports[[1, 3, 5, 7], [2, 1, 3, 0]].tolist(), int(ports.sum())
    ([3, 3, 3, 3], 12)
    """
    out = np.asarray(links)
    if out.shape != (chip.cells, 4):
        raise MosaicError(
            f"links has shape {out.shape}; it needs one row for each of the {chip.cells} cells "
            f"and one column for each side: ({chip.cells}, 4)."
        )
    ports = np.zeros((chip.cells, 8), np.int64)
    for side in range(4):
        there = chip.neighbours[:, side]
        inside = there >= 0
        ports[there[inside], (side + 2) % 4] = out[inside, side]
        ports[chip.neighbours[chip.tile_cells, side], (side + 2) % 4] = (
            chip.neurons_per_tile
        )
    ports[:, 4:] = np.where(chip.is_router[:, None], out, 0)
    return ports


def port_violations(chip: Chip, ports: ArrayLike) -> int:
    """Count the (cell, port) pairs that carry more sources than they have lines.

    The published measure of whether a network can be mapped: it can, one way a neuron and
    target, if this is 0. `route` may find a way where it is not.

    Parameters
    ----------
    chip : Chip
    ports : int array, (cells, 8)
        From `one_turn_loads`.

    Raises
    ------
    MosaicError
        If `ports` has not one row for each cell and eight columns.

    Examples
    --------
    >>> from mosaic_sim import Chip
    >>> narrow = Chip(1, 2, neurons_per_tile=2, tile_lines=1, r0_lines=2, r1_lines=2)
    >>> loads = one_turn_loads(narrow, [[0, 1], [0, 1], [0, 0], [0, 0]])
    >>> port_violations(narrow, loads.ports)  # two sources enter tile 1 from the west
    1
    """
    counts = np.asarray(ports)
    if counts.shape != (chip.cells, 8):
        raise MosaicError(
            f"ports has shape {counts.shape}; it needs one row for each of the {chip.cells} "
            f"cells and one column for each port: ({chip.cells}, 8)."
        )
    lines = np.where(chip.is_router, chip.lines, chip.tile_lines)
    return int(np.count_nonzero(counts > lines[:, None]))
