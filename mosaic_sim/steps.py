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
    INPUT,
    KINDS,
    LCS,
    SENSED,
    seated,
    static_events,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.program import Program
    from mosaic_sim.recording import Recording
    from mosaic_sim.technology import Technology

    Spikes = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]

__all__ = ["Steps", "price_steps"]


@dataclass(frozen=True, eq=False)
class Steps:
    """What happened at every step of a run; r = samples x steps rows, in that order.

    Everything is worked out when it is first asked for.

    Parameters
    ----------
    program : Program
    rows : int
    neurons, externals : (offsets, source, times)
        Spikes of neurons, and of inputs and bias line: row k holds the sources
        ``source[offsets[k]:offsets[k + 1]]``, so many times each (once if `times` is empty).
    prices : float64 array, (kinds,) [J]
        As in `mosaic_sim.cost.CostReport`.
    """

    program: Program
    rows: int
    neurons: Spikes
    externals: tuple[Spikes, ...]
    prices: NDArray[np.float64]

    @cached_property
    def loads(self) -> NDArray[np.int32]:
        """Spikes on the link that leaves each cell on each side, (r, cells, 4)."""
        program, cells = self.program, self.program.geometry.cells
        loads = np.zeros((self.rows, 4 * cells), np.int32)
        for spikes in (self.neurons, *self.externals):
            _kernels.link_loads(
                *spikes, program.link_offsets, program.link_cell, program.link_side, loads
            )
        return loads.reshape(self.rows, cells, 4)

    @cached_property
    def spikes(self) -> NDArray[np.int32]:
        """Spikes of the neurons of each tile, (r, tiles)."""
        program = self.program
        place = np.concatenate([np.full(program.first_neuron, -1, np.int32), program.tile])
        counts = np.zeros((self.rows, program.geometry.tiles), np.int32)
        _kernels.count_places(*self.neurons, place, counts)
        return counts

    @property
    def hops(self) -> NDArray[np.int32]:
        """Spikes that cross each routing tile, (r, cells)."""
        return self._cells[0]

    @property
    def energy(self) -> NDArray[np.float64]:
        """Energy by cell, (r, cells) [J]; its sum is that of `mosaic_sim.price`."""
        return self._cells[1]

    @cached_property
    def _cells(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        program, chip = self.program, self.program.geometry
        price, device = self.prices, self.prices[len(EVENTS) :]
        read = np.zeros((self.rows, chip.tiles))
        table = _kernels.row_prices(
            program.first_neuron, program.offsets, program.target, program.level, program.tile,
            device, 2 * chip.neurons_per_tile * device[0] + seated(program) * price[SENSED],
        )  # fmt: skip
        for spikes in (self.neurons, *self.externals):
            _kernels.step_energy(*spikes, *table, read)
        tile_of = np.full(chip.cells, -1, np.int32)
        tile_of[chip.tile_cells] = np.arange(chip.tiles)
        static = np.zeros(chip.cells)
        for kind, number in static_events(program).items():
            static += number * price[kind]
        row_price = 4.0 * chip.lines * (price[COMPARED] + price[LCS])
        hops = np.zeros((self.rows, chip.cells), np.int32)
        energy = np.empty((self.rows, chip.cells))
        _kernels.cell_energy(
            self.loads.reshape(self.rows, -1), self.spikes, read, static, chip.neighbours,
            chip.is_router, row_price, tile_of, price, KINDS, hops, energy,
        )  # fmt: skip
        port = chip.port_cells[program.port]
        leads_on = np.diff(program.link_offsets)[: program.first_neuron] > 0
        entering = price[INPUT] + price[DRIVEN]
        for spikes in self.externals:
            _kernels.enter_energy(
                *spikes, port, leads_on, row_price, entering, hops, energy
            )
        return hops, energy


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
    rows = recording.samples * recording.steps
    drive = recording.drive
    once = np.empty(0, np.int64)
    externals = [(drive.offsets, drive.channel, drive.pulses)]
    if program.bias:
        every = np.full(rows, program.inputs, np.int32)
        externals.append((np.arange(rows + 1), every, once))
    return Steps(
        program,
        rows,
        (recording.offsets, recording.neuron + np.int32(program.first_neuron), once),
        tuple(externals),
        unit_prices(technology, program.levels),
    )
