"""What the devices of a chip hold: where each synapse and connection sits, and what changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.chip import SIZES
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.program import Program

__all__ = [
    "Layout",
    "changes",
    "device_count",
    "devices",
    "largest_crossbar",
    "layout",
    "writes",
]


class Layout(NamedTuple):
    """Numbers of the rows and devices of a program.

    Row r of cell c is ``c * rows + r``, and its device in column k ``(c * rows + r) * columns +
    k``, with the largest crossbar of the chip. Rows and the columns of a routing tile are ``side *
    widest + line``; after them come the feedback rows of a neuron tile, by slot, and the two
    columns of a neuron are ``2 * slot`` (it adds) and ``2 * slot + 1`` (it subtracts).

    Attributes
    ----------
    widest, rows, columns : int
        Lines of the widest side, rows and columns of the largest crossbar.
    pair : int64 array, (synapses,)
        Device of each synapse that adds; the next one subtracts.
    connection : int64 array, (links,)
        Device that joins each link to where it comes from, -1 for links that leave a neuron tile.
    arrival : int64 array, (links,)
        Row on which each link arrives.
    """

    widest: int
    rows: int
    columns: int
    pair: NDArray[np.int64]
    connection: NDArray[np.int64]
    arrival: NDArray[np.int64]

    def arrivals(self, program: Program) -> NDArray[np.int64]:
        """Row on which each link of another program for the same chip arrives, (links,)."""
        beside = program.geometry.neighbours[program.link_cell, program.link_side]
        side = (program.link_side.astype(np.int64) + 2) % 4
        return beside * np.int64(self.rows) + side * self.widest + program.link_line

    def starts(self, program: Program) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that each source is wired to: its port, or four around its tile: (offsets, rows)."""
        chip, first = program.geometry, program.first_neuron
        home = chip.tile_cells[program.tile]
        around = chip.neighbours[home].astype(np.int64)
        opposite = (np.arange(4) + 2) % 4
        wired = around * self.rows + opposite * self.widest + program.slot[:, None]
        offsets = np.concatenate(
            [np.arange(first), first + 4 * np.arange(program.neurons + 1)]
        )
        return offsets, np.concatenate([_entries(program, self), wired.ravel()])

    def feedback(self, program: Program) -> NDArray[np.int64]:
        """Row of its own tile that each neuron drives, (neurons,)."""
        home = program.geometry.tile_cells[program.tile].astype(np.int64)
        return home * self.rows + 4 * self.widest + program.slot


def layout(program: Program) -> Layout:
    """Number the rows and devices of a program."""
    chip = program.geometry
    widest = max(chip.tile_lines, chip.r0_lines, chip.r1_lines)
    rows, columns = largest_crossbar(chip)
    empty = Layout(widest, rows, columns, *(np.empty(0, np.int64),) * 3)
    entry = _entries(program, empty)
    return Layout(
        widest, rows, columns,
        *_kernels.numbers(
            program.first_neuron, program.offsets, program.target, program.tile, program.slot,
            program.link_offsets, program.link_cell, program.link_side, program.link_line,
            entry // rows, entry % rows, chip.tile_cells, chip.neighbours, chip.is_router,
            widest, rows, columns,
        ),
    )  # fmt: skip


def _entries(program: Program, layout: Layout) -> NDArray[np.int64]:
    """Row of its port on which each input, and the bias line, enters."""
    chip = program.geometry
    side = np.array([chip.port_cell(p)[1] for p in range(len(chip.port_sites))], np.int64)
    row = side[program.port] * layout.widest + program.entry_line
    return chip.port_cells[program.port] * np.int64(layout.rows) + row


def devices(program: Program) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """List the devices that hold a synapse or a connection, two a synapse, one a connection.

    Returns
    -------
    number : int64 array, (d,), rising
        As in `Layout`.
    level : uint8 array, (d,)
        Level of each; 1 is HCS in a routing tile.
    """
    where = layout(program)
    joined = where.connection[where.connection >= 0]
    number = np.concatenate([where.pair, where.pair + 1, joined])
    level = np.concatenate([
        np.maximum(program.level, 0), np.maximum(-program.level, 0), np.ones_like(joined)
    ]).astype(np.uint8)  # fmt: skip
    order = np.argsort(number)
    return number[order], level[order]


def device_count(program: Program) -> dict[str, int]:
    """Devices that hold something, by kind of tile: pairs of synapses, and connections."""
    chip = program.geometry
    return {
        "NT": 2 * program.target.size,
        "R0": int(program.links[chip.kinds == "R0"].sum()),
        "R1": int(program.links[chip.kinds == "R1"].sum()),
    }


def writes(old: Program | None, new: Program) -> int:
    """Count the devices whose level differs between two images of the same chip.

    More of the chip may be broken in one than in the other.

    Devices in no image, and all devices of a blank chip (`old` None), are at level 0.

    Raises
    ------
    MosaicError
        If the programs are for different chips or have different levels.
    """
    return int(changes(old, new)[0].size)


def changes(
    old: Program | None, new: Program
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8]]:
    """Devices whose level differs between two images: (numbers, level before, level after).

    As `writes`.
    """
    after, goal = devices(new)
    if old is None:
        written = goal > 0
        return after[written], np.zeros_like(goal[written]), goal[written]
    same = np.array_equal(old.chip[:SIZES], new.chip[:SIZES])  # whatever broke in between
    if not same or old.levels != new.levels:
        raise MosaicError(
            "writes needs two programs for the same chip and number of levels."
        )
    before, held = devices(old)
    both = np.union1d(before, after)
    level = np.zeros((2, both.size), np.uint8)
    level[0, np.searchsorted(both, before)] = held
    level[1, np.searchsorted(both, after)] = goal
    differ = level[0] != level[1]
    return both[differ], level[0, differ], level[1, differ]


def largest_crossbar(chip: Chip) -> tuple[int, int]:
    """(rows, columns) that no crossbar exceeds: numbers of devices are unique over the chip."""
    rows = 4 * max(chip.tile_lines, chip.r0_lines, chip.r1_lines) + chip.neurons_per_tile
    return rows, max(rows, 2 * chip.neurons_per_tile)
