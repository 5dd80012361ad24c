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
from mosaic_sim.place import tiles_reached
from mosaic_sim.route.greedy import greedy
from mosaic_sim.route.routing import Routing, entry_lines, shut_sides

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = [
    "OneTurnLoads",
    "one_turn",
    "one_turn_loads",
    "port_violations",
    "ports_of_links",
]

ROOM = 1 << 24
"""Links that one call of the kernel may write."""


def one_turn(
    network: Network, chip: Chip, placement: Placement, *, keep: Routing | None
) -> Routing:
    """Lay the published ways as trees; search where they do not fit, and for inputs.

    Two ways of a neuron that leave its tile on different sides can meet again. The published
    code lets both go on, which loads a router twice with one source; here the later one starts
    where they meet, since a `Routing` is made of trees. `one_turn_loads` counts as published.

    Where a tree would need a link that is full, and for external sources, of which the
    published code has none, a shortest tree is searched for as `greedy` does. If there is
    none, or routes have to be kept, all is left to `greedy`.

    Raises
    ------
    RoutingError
        As `greedy`.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network, place, route
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[1.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> route(net, chip, place(net, chip), router="one_turn").cell.size
    1
    """
    if keep is not None:
        return greedy(network, chip, placement, keep=keep)
    first = network.first_neuron
    offsets, reached = tiles_reached(network, placement, chip)
    load = np.zeros((chip.cells, 4), np.int32)
    shut = shut_sides(chip, placement)
    links = np.zeros(network.sources, np.int64)
    cells: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    sides: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    done = 0
    while done < network.sources:
        room = chip.cells + min(48 * (network.sources - done), ROOM)
        cell, side = np.empty(room, np.int32), np.empty(room, np.int32)
        done, written, search = _kernels.one_turn_trees(
            done, first, offsets, reached, placement.tile, chip.columns, chip.capacity,
            chip.neighbours, chip.tile_cells, shut, load, links, cell, side,
        )  # fmt: skip
        cells.append(cell[:written])
        sides.append(side[:written])
        if search:
            tiles = reached[offsets[done] : offsets[done + 1]]
            tree = _shortest(chip, placement, done - first, tiles, load, shut)
            if tree is None:
                return greedy(network, chip, placement, keep=None)
            links[done] = tree[0].size
            cells.append(tree[0])
            sides.append(tree[1])
            done += 1
    source = np.repeat(np.arange(network.sources), links)
    cell, side = np.concatenate(cells), np.concatenate(sides)
    return Routing(
        np.concatenate([[0], np.cumsum(links)]),
        cell,
        side.astype(np.int8),
        _lines(chip, placement, source - first, cell, side).astype(np.int16),
        entry_lines(chip, placement),
    )


def _shortest(
    chip: Chip,
    placement: Placement,
    neuron: int,
    tiles: NDArray[np.int32],
    load: NDArray[np.int32],
    shut: NDArray[np.uint8],
) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
    """Search (cell, side) of a tree over free lines; negative `neuron`: from its port."""
    cell, side = np.empty((2, chip.cells), np.int32)
    in_tree = np.zeros(chip.cells, np.bool_)
    if neuron < 0:
        origin, closed = -1, 0
        in_tree[chip.port_cells[placement.port[neuron]]] = True
    else:
        origin, closed = int(chip.tile_cells[placement.tile[neuron]]), int(shut[neuron])
        tiles = tiles[tiles != placement.tile[neuron]]
    edges, missed = _kernels.grow_tree(
        origin, closed, chip.tile_cells[tiles], chip.capacity, chip.neighbours,
        chip.is_router, load, in_tree, cell, side, 0,
    )  # fmt: skip
    return None if missed >= 0 else (cell[:edges], side[:edges])


def _lines(
    chip: Chip,
    placement: Placement,
    neuron: NDArray[np.int64],
    cell: NDArray[np.int32],
    side: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Line of each link: the next one of its side, or the slot where a neuron is wired."""
    link = cell * np.int64(4) + side
    order = np.argsort(link, kind="stable")
    line = np.empty(link.size, np.int32)
    rank = np.arange(link.size) - np.searchsorted(link[order], link[order])
    line[order] = chip.line_numbers(cell[order], side[order], rank)
    wired = ~chip.is_router[cell]
    line[wired] = placement.slot[neuron[wired]]
    return line


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
