"""The bill step by step: which links spikes load and what each cell spends, at every step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.cost import unit_prices
from mosaic_sim.errors import MosaicError
from mosaic_sim.events import (
    COMPARED,
    DRIVEN,
    EVENTS,
    HCS,
    LCS,
    SPIKE,
    static_events,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.program import Program
    from mosaic_sim.recording import Recording
    from mosaic_sim.technology import Technology

__all__ = ["Steps", "price_steps"]


@dataclass(frozen=True, eq=False)
class Steps:
    """What happened at every step of a run; r = samples x steps rows, in that order.

    Parameters
    ----------
    program : Program
    loads : int32 array, (r, cells, 4)
        Spikes on the link that leaves each cell on each side.
    spikes : int32 array, (r, tiles)
        Spikes of the neurons of each tile.
    entering : int32 array, (r, cells)
        Input spikes that enter the chip at each cell.
    crossing : int32 array, (r, cells)
        Of these, the ones that go on from there (an input that nobody reads does not).
    read : float64 array, (r, tiles) [J]
        Energy of the devices read in each neuron tile.
    prices : float64 array, (kinds,) [J]
        As in `mosaic_sim.cost.CostReport`.
    """

    program: Program
    loads: NDArray[np.int32]
    spikes: NDArray[np.int32]
    entering: NDArray[np.int32]
    crossing: NDArray[np.int32]
    read: NDArray[np.float64]
    prices: NDArray[np.float64]

    @cached_property
    def hops(self) -> NDArray[np.int32]:
        """Spikes that cross each routing tile, (r, cells)."""
        chip = self.program.geometry
        hops = self.crossing.copy()
        for cell_side in range(4):
            beyond = chip.neighbours[:, cell_side]
            inside = np.flatnonzero(beyond >= 0)
            hops[:, beyond[inside]] += self.loads[:, inside, cell_side]
        hops[:, ~chip.is_router] = 0
        return hops

    @cached_property
    def energy(self) -> NDArray[np.float64]:
        """Energy by cell, (r, cells) [J]; its sum is that of `mosaic_sim.price`."""
        chip, price = self.program.geometry, self.prices
        driven = self.loads.sum(2, dtype=np.int64)
        energy: NDArray[np.float64] = (driven + self.entering) * price[DRIVEN]
        row = 4 * chip.lines * (price[COMPARED] + price[LCS])
        energy += self.hops * row
        energy += np.where(chip.is_router, driven, 0) * (price[HCS] - price[LCS])
        energy[:, chip.tile_cells] += self.spikes * price[SPIKE] + self.read
        for side in range(4):  # wired outputs that a tree does not take
            stubs = self.spikes - self.loads[:, chip.tile_cells, side]
            there = chip.neighbours[chip.tile_cells, side]
            np.add.at(energy.T, there, (stubs * row[there]).T)
        for kind, number in static_events(self.program).items():
            energy += number * price[kind]
        return energy


def price_steps(program: Program, recording: Recording, technology: Technology) -> Steps:
    """Price a run step by step and cell by cell.

    Parameters
    ----------
    program : Program
    recording : Recording
        Of this program, made with ``raster=True``.
    technology : Technology

    Raises
    ------
    MosaicError
        If the recording kept no spikes, or is not of this program.

    Examples
    --------
    >>> from mosaic_sim import *
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[2.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> program = compile_program(net, chip, placement, route(net, chip, placement))
    >>> run = simulate(program, [[[1], [0], [1]]], raster=True)
    >>> steps = price_steps(program, run, technology_preset("rram-130nm"))
    >>> steps.hops.sum(1).tolist()
    [1, 0, 1]
    """
    if recording.offsets is None or recording.neuron is None:
        raise MosaicError("The recording kept no spikes; simulate with raster=True.")
    if recording.counts.shape[1] != program.sources:
        raise MosaicError(
            f"recording has {recording.counts.shape[1]} sources; the program has "
            f"{program.sources}."
        )
    chip = program.geometry
    first = program.first_neuron
    rows = recording.samples * recording.steps
    drive = recording.drive
    prices = unit_prices(technology, program.levels)
    loads = np.zeros((rows, 4 * chip.cells), np.int32)
    read = np.zeros((rows, chip.tiles))
    link = program.link_cell * np.int32(4) + program.link_side
    table = _kernels.row_prices(
        first, program.offsets, program.target, program.level, program.tile, chip.tiles,
        prices[len(EVENTS):], 2 * chip.neurons_per_tile,
    )  # fmt: skip
    none = np.empty(0, np.int64)
    everything = [
        (recording.offsets, recording.neuron + np.int32(first), none),
        (drive.offsets, drive.channel, drive.pulses),
    ]
    if program.bias:
        every = np.full(rows, program.inputs, np.int32)
        everything.append((np.arange(rows + 1), every, none))
    for offsets, source, times in everything:
        _kernels.link_loads(offsets, source, times, program.link_offsets, link, loads)
        _kernels.step_energy(offsets, source, times, *table, read)

    def by_place(
        offsets: NDArray[np.int64],
        place: NDArray[np.int32],
        size: int,
        times: NDArray[np.int64],
    ) -> NDArray[np.int32]:
        row = np.repeat(np.arange(rows), np.diff(offsets))
        weights = times if times.size else None
        flat = np.bincount(row * size + place, weights, minlength=rows * size)
        return flat.reshape(rows, size).astype(np.int32)

    spikes = by_place(recording.offsets, program.tile[recording.neuron], chip.tiles, none)
    port = chip.port_cells[program.port]
    entering = np.zeros((rows, chip.cells), np.int32)
    crossing = np.zeros((rows, chip.cells), np.int32)
    leads_on = np.diff(program.link_offsets)[:first] > 0
    for offsets, source, times in everything[1:]:
        entering += by_place(offsets, port[source], chip.cells, times)
        goes = np.where(leads_on[source], times if times.size else 1, 0)
        crossing += by_place(offsets, port[source], chip.cells, goes)
    return Steps(
        program,
        loads.reshape(rows, chip.cells, 4),
        spikes,
        entering,
        crossing,
        read,
        prices,
    )
