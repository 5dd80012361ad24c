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
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mosaic_sim.die import Die
    from mosaic_sim.program import Program

    _Entries = tuple[NDArray[np.int64], ...]
    """(source, cell, kind of event, number) for one spike of each source."""

__all__ = ["billed_program", "excess_by_cell", "stray_events"]


def billed_program(die: Die) -> Program:
    """Return the program whose events of one spike hold what its rows conduct beyond nominal.

    With spikes that coincide it is `Die.written`; what they stray to is in `stray_events`.
    The tiles that are on are those of the nominal program.
    """
    program = die.written if "coincidence" in die.effects else die.program
    events = program.events.reshape(program.sources, -1).copy()
    for source, _, kind, number in _beside(die):
        np.add.at(events, (source, kind), number)
    return program._replace(events=events.ravel(), links=die.nominal.links)


def excess_by_cell(die: Die, spikes: NDArray[np.int64]) -> NDArray[np.int64]:
    """What rows conducted beyond nominal when they were read, (cells, kinds).

    Where connections are lost or false, also reads of rows that the tree of links does not show.
    """
    program = die.program
    counts = np.zeros((program.geometry.cells, len(EVENTS) + program.levels), np.int64)
    for source, cell, kind, number in _beside(die):
        _add(counts, (cell, kind), spikes[source] * number)
    return counts


def _beside(die: Die) -> Iterator[_Entries]:
    """What one spike of each source causes beside the events that its links and synapses show."""
    source, cell, excess = die.row_excess
    yield source, cell, _kind(die.nominal, cell), excess
    if "coincidence" not in die.effects and die.program is not die.written:
        yield from _uncounted(die)


def _uncounted(die: Die) -> Iterator[_Entries]:
    """Reads of the rows that are driven, less those that the events of `die.program` count.

    These follow from links and synapses: one row of a routing tile for all links that leave it,
    each an HCS device, and one row of a neuron tile for all synapses. But a lost connection is
    read too, perhaps in a row that leads nowhere; a false one is a device in the low state, and
    may lead to a second row of the same tile.
    """
    program, where = die.program, layout(die.nominal)
    chip, first = program.geometry, program.first_neuron
    every, home = np.arange(program.sources), chip.tile_cells[program.tile]
    source, row = die.rows_driven
    joined = np.bincount(
        where.connection[where.connection >= 0] // where.columns,
        minlength=where.rows * chip.cells,
    )[row]
    sender = np.repeat(every, np.diff(program.link_offsets))
    begin, end = program.link_cell, chip.neighbours[program.link_cell, program.link_side]
    onward = chip.is_router[begin]
    reader = np.repeat(every, np.diff(program.offsets))
    # Each list is of pairs of source and cell; they are counted, pair by pair.
    lists = (
        (source, row // where.rows),
        (sender[onward], begin[onward]),
        (sender[~onward], end[~onward]),
        (np.repeat(every[first:], 4), chip.neighbours[home].ravel()),
        (reader, chip.tile_cells[program.tile[program.target]]),
        (every[first:], home),
    )
    keys = [who * np.int64(chip.cells) + cell for who, cell in lists]
    pairs = np.unique(np.concatenate(keys))
    places = [np.searchsorted(pairs, key) for key in keys]
    driven, asserted, left, around, read, own = (
        np.bincount(place, minlength=pairs.size) for place in places
    )
    programmed = np.bincount(places[0], joined, pairs.size).astype(np.int64)
    who, cell = np.divmod(pairs, chip.cells)
    router = chip.is_router[cell]
    counted = np.where(router, (asserted > 0) + around - left, (read + own) > 0)
    rows, lost = driven - counted, np.where(router, programmed - asserted, 0)
    width = 4 * chip.lines[cell].astype(np.int64)
    neurons = np.zeros(chip.cells, np.int64)
    neurons[chip.tile_cells] = seated(program)
    for kind, number in (
        (COMPARED, rows * width),
        (HCS, lost),
        (LCS, rows * width - lost),
        (SENSED, rows * neurons[cell]),
        (len(EVENTS), rows * 2 * chip.neurons_per_tile * ~router),
    ):
        yield who, cell, np.full(who.size, kind), number


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
