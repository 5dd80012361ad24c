"""One multicast tree per source, and the lines that the trees use."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.chip import SIDES
from mosaic_sim.errors import MosaicError, RoutingError
from mosaic_sim.place import arrivals, tiles_reached

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = ["Routing", "check_routing", "destinations"]


@dataclass(frozen=True, eq=False)
class Routing:
    """The routes of all sources, each a tree of directed links.

    A link leaves `cell` on `side` and enters the neighbouring cell there, on `line`. The
    links of a source come in an order in which each starts where an earlier one ended, at
    the source's own tile, or at its port.

    Parameters
    ----------
    offsets : int64 array, (sources + 1,)
    cell : int32 array, (links,)
    side : int8 array, (links,)
    line : int16 array, (links,)
    entry_line : int32 array, (inputs and bias line,)
        Line of its port on which each external source enters.
    """

    offsets: NDArray[np.int64]
    cell: NDArray[np.int32]
    side: NDArray[np.int8]
    line: NDArray[np.int16]
    entry_line: NDArray[np.int32]

    @cached_property
    def source(self) -> NDArray[np.int64]:
        """Source of each link, (links,)."""
        return np.repeat(np.arange(self.offsets.size - 1), np.diff(self.offsets))

    def load(self, chip: Chip) -> NDArray[np.int64]:
        """Sources on the link that leaves each cell on each side, (cells, 4)."""
        flat = np.bincount(self.cell * np.int64(4) + self.side, minlength=chip.cells * 4)
        return flat.reshape(chip.cells, 4)


def destinations(network: Network, chip: Chip, placement: Placement) -> NDArray[np.int64]:
    """(source, cell) of every foreign neuron tile that a source has to reach, (k, 2)."""
    pairs = arrivals(network, placement)
    home = np.full(network.sources, -1)
    home[network.first_neuron :] = placement.tile
    pairs = pairs[home[pairs[:, 0]] != pairs[:, 1]]
    cells = np.array([chip.tile_cell(t) for t in range(chip.tiles)])
    return np.column_stack([pairs[:, 0], cells[pairs[:, 1]]])


def shut_sides(chip: Chip, placement: Placement) -> NDArray[np.uint8]:
    """Sides on which each neuron cannot leave its tile, a bit a side, (neurons,).

    Outputs are wired: the neuron in slot k drives line k of all four sides, and a broken one
    cannot be exchanged for another.
    """
    shut = np.zeros(placement.tile.size, np.uint8)
    if not chip.whole:
        home = chip.tile_cells[placement.tile]
        for side in range(4):
            at = np.full(home.size, side)
            shut |= chip.line_broken(home, at, placement.slot).astype(np.uint8) << side
    return shut


def entry_lines(chip: Chip, placement: Placement) -> NDArray[np.int32]:
    """Line of its port on which each external source enters: the next whole one, by number."""
    order = np.argsort(placement.port, kind="stable")
    port = placement.port[order]
    entry = np.empty(port.size, np.int32)
    entry[order] = np.arange(port.size) - np.searchsorted(port, port)
    if not chip.whole:
        entry = chip.line_numbers(*_entries(chip, placement), entry).astype(np.int32)
    return entry


def _entries(
    chip: Chip, placement: Placement
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(cell, outward side) at which each external source enters."""
    side = np.array([chip.port_cell(p)[1] for p in range(len(chip.port_sites))], np.int64)
    return chip.port_cells[placement.port], side[placement.port]


def overloads(chip: Chip, load: NDArray[np.integer]) -> list[str]:
    """Say which sides carry more sources than they have lines, worst first."""
    over = load - chip.capacity
    worst = sorted(
        ((int(over[c, s]), int(c), int(s)) for c, s in np.argwhere(over > 0)), reverse=True
    )
    return [
        f"{chip.cell_name(c)} {SIDES[s]}: {load[c, s]} sources, {chip.capacity[c, s]} lines"
        for _, c, s in worst
    ]


def check_links(chip: Chip, routing: Routing) -> None:
    """Refuse arrays that do not fit together, and cells and sides that do not exist."""
    links = routing.cell.size
    if (
        not links == routing.side.size == routing.line.size == routing.offsets[-1]
        or routing.offsets[0] != 0
        or np.any(np.diff(routing.offsets) < 0)
        or np.any((routing.cell < 0) | (routing.cell >= chip.cells))
        or np.any((routing.side < 0) | (routing.side >= 4))
    ):
        raise MosaicError(
            "The links of a routing do not fit together, or are of another chip."
        )
    if routing.line.dtype != np.int16:
        raise MosaicError(f"line holds {routing.line.dtype}; it needs int16.")


# Routing and compiling both check, and values are never edited in place: once is enough.
_LEGAL: weakref.WeakKeyDictionary[Routing, tuple[Any, Any, Chip]] = (
    weakref.WeakKeyDictionary()
)


def check_routing(
    network: Network, chip: Chip, placement: Placement, routing: Routing
) -> None:
    """Refuse a routing that is not made of trees, misses a target or overloads a side.

    Raises
    ------
    RoutingError
        If a side carries more sources than it has lines, two share a line, or one is broken.
    MosaicError
        If a tree is not connected, has a cycle, or does not end exactly at its targets.
    """
    known = _LEGAL.get(routing)
    if known is not None and (known[0](), known[1](), known[2]) == (
        network,
        placement,
        chip,
    ):
        return
    check_links(chip, routing)
    if routing.offsets.size != network.sources + 1:
        raise MosaicError(
            f"The routing has {routing.offsets.size - 1} sources; the network has "
            f"{network.sources}."
        )
    fault, _ = _kernels.shared_line(routing.cell, routing.side, routing.line, chip.wired)
    if fault:  # else no side can carry too many
        too_much = overloads(chip, routing.load(chip))
        if too_much:
            raise RoutingError("Overloaded sides: " + "; ".join(too_much) + ".")
    if fault == 1:
        raise RoutingError("Two sources share a line.")
    start = np.concatenate(
        [chip.port_cells[placement.port], chip.tile_cells[placement.tile]]
    )
    reached = tiles_reached(network, placement, chip)
    broken, source = _kernels.routing_fault(
        network.first_neuron, routing.offsets, routing.cell, routing.side, start, *reached,
        placement.tile, chip.tile_cells, chip.neighbours, chip.is_router, routing.line,
        placement.slot,
    )  # fmt: skip
    if broken == 1:
        raise MosaicError(f"The route of source {source} is not a tree.")
    if broken == 2:
        raise MosaicError(f"The route of source {source} does not end at its targets.")
    if fault == 2:
        raise RoutingError("A route uses a line that its side does not have.")
    if broken == 3:
        raise MosaicError("A neuron must leave its tile on the line of its slot.")
    if not chip.whole:
        _refuse_broken(chip, placement, routing)
    entry, port = routing.entry_line, placement.port
    if entry.shape != port.shape or np.any((entry < 0) | (entry >= chip.r1_lines)):
        raise MosaicError(f"entry_line needs a line below {chip.r1_lines} for each input.")
    if np.unique(port.astype(np.int64) * chip.r1_lines + entry).size != port.size:
        raise RoutingError("Two inputs share a line of a port.")
    _LEGAL[routing] = weakref.ref(network), weakref.ref(placement), chip


def _refuse_broken(chip: Chip, placement: Placement, routing: Routing) -> None:
    """Refuse routes and inputs on lines that are broken, or lead into or out of what is."""
    for what, cell, side, line in (
        ("The route of source", routing.cell, routing.side, routing.line),
        ("Input", *_entries(chip, placement), routing.entry_line),
    ):
        lost = np.flatnonzero(chip.line_broken(cell, side, line))
        if lost.size:
            k = int(lost[0])
            source = routing.source[k] if cell is routing.cell else k
            raise RoutingError(
                f"{what} {source} uses line {line[k]} of {chip.cell_name(cell[k])} "
                f"{SIDES[side[k]]}, which is broken; {lost.size} such lines are in use."
            )
