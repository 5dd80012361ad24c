"""From a placed and routed network to the image of the chip.

What every spike costs in events, and what every device holds, is worked out here once; see
`mosaic_sim.program` for what the arrays mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.device import Device
from mosaic_sim.place import arrivals, check_placement
from mosaic_sim.program import (
    COMPARED,
    DRIVEN,
    EVENTS,
    HCS,
    HOP,
    LCS,
    SPIKE,
    Program,
    largest_crossbar,
    validate,
)
from mosaic_sim.route import check_routing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement
    from mosaic_sim.route import Routing

__all__ = ["compile_program"]


def compile_program(
    network: Network,
    chip: Chip,
    placement: Placement,
    routing: Routing,
    *,
    device: Device | None = None,
) -> Program:
    """Turn a placed and routed network into the image of the chip.

    A spike of a source reads every device of every row that it drives:

    - in each neuron tile where it arrives, one row of ``2 * neurons_per_tile`` devices, and
      for a neuron also the feedback row of its own tile, which is wired;
    - in each routing tile on its tree one row of ``4 * lines`` devices, of which one is HCS
      for each line that is asserted; every column is compared once;
    - a neuron's output is wired into the four routers around its tile: a row of each is read,
      all LCS where its tree does not leave the tile through that router.

    Parameters
    ----------
    device : Device, optional
        16 levels by default.

    Raises
    ------
    MosaicError
        If the routing does not belong to the network, chip and placement.
    """
    check_placement(network, chip, placement)
    check_routing(network, chip, placement, routing)
    device = device or Device()
    levels = device.signed_levels(network)
    events, path = _events(network, chip, placement, routing, levels, device.levels)
    image, level, powered = _image(network, chip, placement, routing, levels)
    program = Program(
        chip=np.array(
            [chip.rows, chip.columns, chip.neurons_per_tile, chip.tile_lines, chip.r0_lines,
             chip.r1_lines], np.int64),
        levels=device.levels, inputs=network.inputs, bias=network.bias,
        offsets=network.offsets, target=network.target, weight=device.weights(network),
        delay=network.delay, order=network.order,
        leak=network.leak, threshold=network.threshold, reset=network.reset,
        tile=placement.tile, slot=placement.slot, port=placement.port,
        event_offsets=np.searchsorted(events[:, 0], np.arange(network.sources + 1)),
        event_cell=events[:, 1].astype(np.int32), event_kind=events[:, 2].astype(np.int16),
        event_count=events[:, 3].astype(np.int32),
        powered=powered, path=path, device=image, level=level,
    )  # fmt: skip
    validate(program)
    return program


def _events(
    network: Network,
    chip: Chip,
    placement: Placement,
    routing: Routing,
    levels: NDArray[np.int16],
    device_levels: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(source, cell, kind, count) sorted by source, and the longest way within a step."""
    rows: list[NDArray[np.int64]] = []

    def add(source: ArrayLike, cell: ArrayLike, kind: ArrayLike, n: ArrayLike) -> None:
        parts = np.broadcast_arrays(source, cell, kind, n)
        rows.append(np.column_stack(parts).astype(np.int64))

    first = network.first_neuron
    tile_cells = np.array([chip.tile_cell(t) for t in range(chip.tiles)], np.int64)
    home = tile_cells[placement.tile]
    me = first + np.arange(network.neurons)
    add(me, home, SPIKE, 1)

    # Neuron tiles: a driven row reads the two devices of every column.
    arriving = arrivals(network, placement)
    own = np.column_stack([me, placement.tile])
    driven = np.unique(np.concatenate([arriving, own]), axis=0)
    row_of = {pair: k for k, pair in enumerate(map(tuple, driven.tolist()))}
    held = np.zeros((len(driven), device_levels), np.int64)
    row = np.array(
        [
            row_of[pair]
            for pair in zip(
                network.source.tolist(),
                placement.tile[network.target].tolist(),
                strict=True,
            )
        ],
        np.int64,
    )
    np.add.at(held, (row, np.abs(levels).astype(np.int64)), 1)
    held[:, 0] += 2 * chip.neurons_per_tile - held.sum(1)
    k, level = np.nonzero(held)
    add(driven[k, 0], tile_cells[driven[k, 1]], len(EVENTS) + level, held[k, level])

    # Routing tiles: every cell of the tree that is left by at least one link, once.
    is_router = chip.kinds != "NT"
    lines = np.array([chip.router_lines(c) for c in range(chip.cells)], np.int64)
    from_router = is_router[routing.cell]
    add(routing.source, routing.cell, DRIVEN, 1)
    crossed, asserted = np.unique(
        np.column_stack([routing.source, routing.cell])[from_router],
        axis=0,
        return_counts=True,
    )
    source, cell = crossed[:, 0], crossed[:, 1]
    add(source, cell, HOP, 1)
    add(source, cell, COMPARED, 4 * lines[cell])
    add(source, cell, HCS, asserted)
    add(source, cell, LCS, 4 * lines[cell] - asserted)
    outside = np.arange(first)
    ports = [chip.port_cell(int(p))[0] for p in placement.port]
    if first:
        add(outside, np.array(ports), DRIVEN, 1)

    # Wired outputs: a row of each router around a neuron's tile is driven, whether its tree
    # leaves through it or not.
    width = chip.shape[1]
    step = np.array([-width, 1, width, -1])
    leaving = ~is_router[routing.cell]
    through = routing.cell[leaving] + step[routing.side[leaving]]
    entered = set(zip(routing.source[leaving].tolist(), through.tolist(), strict=True))
    stubs = np.array(
        [
            (first + j, there)
            for j, cell_ in enumerate(home.tolist())
            for there in (cell_ - width, cell_ + 1, cell_ + width, cell_ - 1)
            if (first + j, there) not in entered
        ],
        np.int64,
    ).reshape(-1, 2)
    add(stubs[:, 0], stubs[:, 1], COMPARED, 4 * lines[stubs[:, 1]])
    add(stubs[:, 0], stubs[:, 1], LCS, 4 * lines[stubs[:, 1]])

    events = np.concatenate(rows)
    events = events[np.lexsort((events[:, 2], events[:, 1], events[:, 0]))]
    same = np.unique(events[:, :3], axis=0, return_inverse=True)
    total = np.zeros(len(same[0]), np.int64)
    np.add.at(total, same[1].ravel(), events[:, 3])
    return np.column_stack([same[0], total]), _longest_path(
        network, placement, chip, crossed
    )


def _longest_path(
    network: Network, placement: Placement, chip: Chip, crossed: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(reads, hops) along the longest chain of synapses without delay.

    The hops of one synapse are bounded by the routing tiles that its source's tree crosses.
    """
    tree = np.bincount(crossed[:, 0], minlength=network.sources)
    first = network.first_neuron
    reads = np.zeros(network.sources, np.int64)
    hops = np.zeros(network.sources, np.int64)
    arrive_reads = np.zeros(network.neurons, np.int64)
    arrive_hops = np.zeros(network.neurons, np.int64)
    home = np.full(network.sources, -1)
    home[first:] = placement.tile
    for source in [*range(first), *(first + network.order).tolist()]:
        if source >= first:
            reads[source] = arrive_reads[source - first]
            hops[source] = arrive_hops[source - first]
        part = slice(network.offsets[source], network.offsets[source + 1])
        after = network.target[part][network.delay[part] == 0]
        far = placement.tile[after] != home[source]
        np.maximum.at(arrive_reads, after, reads[source] + 1)
        np.maximum.at(arrive_hops, after, hops[source] + np.where(far, tree[source], 0))
    return np.array([arrive_reads.max(initial=0), arrive_hops.max(initial=0)], np.int64)


def _image(
    network: Network,
    chip: Chip,
    placement: Placement,
    routing: Routing,
    levels: NDArray[np.int16],
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_]]:
    """Device numbers, their levels, and the tiles that have to be on."""
    rows, columns = largest_crossbar(chip)
    first = network.first_neuron
    width = chip.shape[1]
    step = np.array([-width, 1, width, -1])
    widest = max(chip.tile_lines, chip.r0_lines, chip.r1_lines)

    # Where each source enters each cell of its tree: in-line number on the side it comes from.
    entry: dict[tuple[int, int], int] = {}
    for source, port, line in zip(
        range(first), placement.port.tolist(), routing.entry_line.tolist(), strict=True
    ):
        cell, side = chip.port_cell(port)
        entry[source, cell] = side * widest + line
    links = zip(
        routing.source.tolist(), routing.cell.tolist(), routing.side.tolist(),
        routing.line.tolist(), strict=True,
    )  # fmt: skip
    connections = []
    for source, cell, side, line in links:
        entry[source, cell + int(step[side])] = (side + 2) % 4 * widest + line
        if chip.kinds[cell] != "NT":
            row, column = entry[source, cell], side * widest + line
            connections.append((cell * rows + row) * columns + column)

    tile_cell = np.array([chip.tile_cell(t) for t in range(chip.tiles)])[placement.tile]
    devices, values = [], []
    for source, target, level in zip(
        network.source.tolist(), network.target.tolist(), levels.tolist(), strict=True
    ):
        cell = int(tile_cell[target])
        if source >= first and placement.tile[source - first] == placement.tile[target]:
            row = 4 * widest + int(placement.slot[source - first])
        else:
            row = entry[source, cell]
        pair = (cell * rows + row) * columns + 2 * int(placement.slot[target])
        devices += [pair, pair + 1]
        values += [max(level, 0), max(-level, 0)]

    image = np.array(devices + connections, np.int64)
    level = np.array(values + [1] * len(connections), np.uint8)
    order = np.argsort(image)
    powered = np.zeros(chip.cells, bool)
    powered[tile_cell] = True
    powered[routing.cell] = True
    around = (tile_cell[:, None] + step).ravel()
    powered[around] = True
    return image[order], level[order], powered
