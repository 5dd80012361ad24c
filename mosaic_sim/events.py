"""What spikes cause on a chip: events by tile, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import MosaicError
from mosaic_sim.place import tiles_reached
from mosaic_sim.program import EVENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement
    from mosaic_sim.program import Program
    from mosaic_sim.route import Routing

__all__ = [
    "EVENTS",
    "count_events",
    "count_totals",
    "event_names",
    "powered",
    "recounted",
    "seated",
    "spike_events",
    "static_events",
]

(
    INPUT, SPIKE, STEP, DRIVEN, COMPARED, HCS, LCS, SENSED, TILE_STEP, ROUTER_STEP, HOP,
    SYNAPSE_EXCESS, ROUTER_EXCESS,
) = range(len(EVENTS))  # fmt: skip

KINDS = np.array([SPIKE, DRIVEN, COMPARED, HCS, LCS, HOP, INPUT, SENSED, len(EVENTS)])
"""Columns that the kernels fill; the last is the first of the device reads."""


def event_names(levels: int) -> list[str]:
    """Names of all kinds of events on a chip whose devices have `levels` levels."""
    return [*EVENTS, *(f"device read, level {level}" for level in range(levels))]


def count_events(
    program: Program, spikes: NDArray[np.int64], sample_steps: int
) -> NDArray[np.int64]:
    """Count events from spike counts, exactly.

    A spike of a source reads every device of every row that it drives:

    - in each neuron tile where it arrives, one row of ``2 * neurons_per_tile`` devices, and
      for a neuron also the feedback row of its own tile, which is wired; the front-end of
      each neuron that sits on the tile senses its two columns;
    - in each routing tile on its tree one row of ``4 * lines`` devices, of which one is HCS
      for each line that is asserted; every column is compared once;
    - a neuron's output is wired into the four routers around its tile: a row of each is read,
      all LCS where its tree does not leave the tile through that router.

    Parameters
    ----------
    program : Program
    spikes : int64 array, (sources,)
        Spikes of each source, over any number of samples.
    sample_steps : int
        Samples times steps: how long the chip was on.

    Returns
    -------
    int64 array, (cells, kinds)
        Columns as in `event_names`.
    """
    chip = program.geometry
    _check_spikes(program, spikes)
    counts = np.zeros((chip.cells, len(EVENTS) + program.levels), np.int64)
    _kernels.count_events(np.asarray(spikes, np.int64), *_wiring(program, chip), counts)
    for kind, number in static_events(program).items():
        counts[:, kind] = number * sample_steps
    return counts


def static_events(program: Program) -> dict[int, NDArray[np.int64]]:
    """Events by cell that happen at every step, whether anything spikes or not."""
    chip = program.geometry
    on = powered(program)
    steps = np.zeros(chip.cells, np.int64)
    steps[chip.tile_cells] = seated(program)
    return {
        STEP: steps,
        TILE_STEP: (on & ~chip.is_router).astype(np.int64),
        ROUTER_STEP: (on & chip.is_router).astype(np.int64),
    }


def seated(program: Program) -> NDArray[np.int64]:
    """Neurons on each tile, (tiles,)."""
    return np.bincount(program.tile, minlength=program.geometry.tiles)


def powered(program: Program) -> NDArray[np.bool_]:
    """Tiles in use, (cells,): the others are switched off and do not leak."""
    chip = program.geometry
    on = program.links > 0
    homes = chip.tile_cells[program.tile]
    on[homes] = True
    on[chip.neighbours[homes].ravel()] = True
    return on


def count_totals(
    program: Program, spikes: NDArray[np.int64], sample_steps: int
) -> NDArray[np.int64]:
    """Add up `count_events` over the chip, (kinds,), without working out where things happen."""
    _check_spikes(program, spikes)
    totals: NDArray[np.int64] = spikes @ program.events.reshape(program.sources, -1)
    for kind, number in static_events(program).items():
        totals[kind] = number.sum() * sample_steps
    return totals


def spike_events(
    network: Network,
    chip: Chip,
    placement: Placement,
    routing: Routing,
    level: NDArray[np.int16],
    levels: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Work out what `Program` keeps: events of one spike of each source, and links by cell."""
    events = np.zeros((network.sources, len(EVENTS) + levels), np.int64)
    links = np.zeros(chip.cells, np.int64)
    _kernels.spike_events(
        network.first_neuron, network.offsets, level, *tiles_reached(network, placement, chip),
        placement.tile, routing.offsets, routing.cell, routing.side, chip.is_router,
        chip.r1_lines, chip.lines, 2 * chip.neurons_per_tile,
        np.bincount(placement.tile, minlength=chip.tiles), KINDS, events, links,
    )  # fmt: skip
    return events.ravel(), links


def recounted(program: Program) -> Program:
    """Work out `Program.events` and `Program.links` again, after synapses or links changed."""
    chip = program.geometry
    events = np.zeros((program.sources, len(EVENTS) + program.levels), np.int64)
    links = np.zeros(chip.cells, np.int64)
    reached = _kernels.tiles_reached(
        program.offsets, program.target, program.tile, chip.tiles
    )
    _kernels.spike_events(
        program.first_neuron, program.offsets, program.level, *reached[:2], program.tile,
        program.link_offsets, program.link_cell, program.link_side, chip.is_router,
        chip.r1_lines, chip.lines, 2 * chip.neurons_per_tile, seated(program), KINDS, events,
        links,
    )  # fmt: skip
    return program._replace(events=events.ravel(), links=links)


def _check_spikes(program: Program, spikes: NDArray[np.int64]) -> None:
    if np.shape(spikes) != (program.sources,):
        raise MosaicError(
            f"spikes has shape {np.shape(spikes)}; it needs ({program.sources},), one count a "
            "source."
        )


def _wiring(program: Program, chip: Chip) -> tuple[Any, ...]:
    """Return what the kernels of this module need to know of a program."""
    return (
        program.first_neuron, program.offsets, program.target, program.level, program.tile,
        program.link_offsets, program.link_cell, program.link_side,
        chip.port_cells[program.port], chip.tile_cells, chip.neighbours, chip.is_router,
        chip.lines, 2 * chip.neurons_per_tile, seated(program), KINDS,
    )  # fmt: skip
