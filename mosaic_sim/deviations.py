"""What a die spends beside the nominal events: conductances that miss, rows that should rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.events import (
    COMPARED,
    DRIVEN,
    EVENTS,
    HCS,
    HOP,
    LCS,
    ROUTER_EXCESS,
    SENSED,
    SYNAPSE_EXCESS,
    seated,
)
from mosaic_sim.image import layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.die import Die
    from mosaic_sim.program import Program

__all__ = ["billed_program", "excess_by_cell", "stray_events"]


def billed_program(die: Die) -> Program:
    """Return the program whose events of one spike hold what its rows conduct beyond nominal.

    With spikes that coincide it is `Die.written`; what they stray to is in `stray_events`.
    """
    program = die.written if "coincidence" in die.effects else die.program
    source, cell, excess = die.row_excess
    events = program.events.reshape(program.sources, -1).copy()
    np.add.at(events, (source, _kind(program, cell)), excess)
    return program._replace(events=events.ravel())


def excess_by_cell(die: Die, spikes: NDArray[np.int64]) -> NDArray[np.int64]:
    """What rows conducted beyond nominal when they were read, (cells, kinds)."""
    program = die.program
    counts = np.zeros((program.geometry.cells, len(EVENTS) + program.levels), np.int64)
    source, cell, excess = die.row_excess
    _add(counts, (cell, _kind(program, cell)), spikes[source] * excess)
    return counts


def stray_events(
    die: Die, spikes: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Events of rows that were driven more or less often than `spikes` say, (cells, kinds).

    Parameters
    ----------
    die : Die
    spikes : int64 array, (sources,)
    rows : int64 array
        `mosaic_sim.Recording.rows` of a run of the die.

    Raises
    ------
    MosaicError
        If `rows` does not belong to the chip.
    """
    program = die.written
    chip, where = program.geometry, layout(program)
    if rows.shape != (where.rows * chip.cells,):
        raise MosaicError(
            f"The recording has {rows.size} rows; the chip has {where.rows * chip.cells}."
        )
    source = np.repeat(np.arange(program.sources), np.diff(program.link_offsets))
    start, begin = where.starts(program)
    more = rows.copy()
    inner = (
        where.connection >= 0
    )  # links that leave a tile end on rows that are wired to it
    np.subtract.at(more, where.arrival[inner], spikes[source[inner]])
    np.subtract.at(more, begin, np.repeat(spikes, np.diff(start)))
    np.subtract.at(more, where.feedback(program), spikes[program.first_neuron :])
    row = np.flatnonzero(more)
    cell, inside, times = row // where.rows, row % where.rows, more[row]
    counts = np.zeros((chip.cells, len(EVENTS) + program.levels), np.int64)

    _add(counts, (chip.neighbours[cell, inside // where.widest], DRIVEN), times)
    _add(counts, (cell, _kind(program, cell)), times * die.beyond_nominal(row))
    router = chip.is_router[cell]
    joined = np.bincount(
        where.connection[where.connection >= 0] // where.columns, minlength=more.size
    )
    width = 4 * chip.lines[cell].astype(np.int64)
    for kind, each in (
        (HOP, np.ones_like(width)),
        (COMPARED, width),
        (HCS, joined[row]),
        (LCS, width - joined[row]),
    ):
        _add(counts, (cell[router], kind), (times * each)[router])

    tile = ~router
    tile_of = np.zeros(chip.cells, np.int64)
    tile_of[chip.tile_cells] = seated(program)
    _add(counts, (cell[tile], SENSED), times[tile] * tile_of[cell[tile]])
    lowest = len(EVENTS)
    _add(counts, (cell[tile], lowest), times[tile] * 2 * chip.neurons_per_tile)
    # Of the two devices of a synapse one is at its level, the other at the lowest.
    on = where.pair // where.columns
    _add(counts, (on // where.rows, lowest), -more[on])
    np.add.at(
        counts,
        (on // where.rows, lowest + np.abs(program.level.astype(np.int64))),
        more[on],
    )
    return counts


def _add(
    counts: NDArray[np.int64],
    where: tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]] | int],
    times: NDArray[np.int64],
) -> None:
    cell, kind = where
    np.add.at(counts.reshape(-1), cell.astype(np.int64) * counts.shape[1] + kind, times)


def _kind(program: Program, cell: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(program.geometry.is_router[cell], ROUTER_EXCESS, SYNAPSE_EXCESS)
