"""The bill step by step: which links spikes load and what each cell spends, at every step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.cost import unit_prices
from mosaic_sim.errors import MosaicError
from mosaic_sim.events import (
    COMPARED,
    DRIVEN,
    EVENTS,
    HCS,
    INPUT,
    LCS,
    SENSED,
    SPIKE,
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

BLOCK = 1 << 18
"""Loads of links that are looked at together when they are not kept: they stay in a cache."""


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
        cells = self.program.geometry.cells
        loads = np.zeros((self.rows, 4 * cells), np.int32)
        for offsets, source, times in (self.neurons, *self.externals):
            _kernels.link_loads(
                offsets, source, times, self.program.link_offsets, self._link, loads
            )
        return loads.reshape(self.rows, 4, cells).transpose(0, 2, 1)

    @cached_property
    def spikes(self) -> NDArray[np.int32]:
        """Spikes of the neurons of each tile, (r, tiles)."""
        counts = np.zeros((self.rows, self.program.geometry.tiles), np.int32)
        _kernels.count_places(*self.neurons, self._place, counts)
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
    def _link(self) -> NDArray[np.integer[Any]]:
        """Side and cell of each link in one number, a short one if it can be."""
        program, cells = self.program, self.program.geometry.cells
        link: NDArray[np.int32] = program.link_side * np.int32(cells) + program.link_cell
        short = 4 * cells <= 1 << 16
        return link.astype(np.uint16) if short else link

    @cached_property
    def _place(self) -> NDArray[np.int32]:
        """Tile of each source, -1 for those from outside."""
        program = self.program
        return np.concatenate([np.full(program.first_neuron, -1, np.int32), program.tile])

    @cached_property
    def _cells(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        program, chip, price = self.program, self.program.geometry, self.prices
        device = price[len(EVENTS) :]
        table = _kernels.row_prices(
            program.first_neuron, program.offsets, program.target, program.level, program.tile,
            device, 2 * chip.neurons_per_tile * device[0] + seated(program) * price[SENSED],
        )  # fmt: skip
        static = np.zeros(chip.cells)
        for kind, number in static_events(program).items():
            static += number * price[kind]
        row_price = 4.0 * chip.lines * (price[COMPARED] + price[LCS])
        onward = np.where(chip.is_router, price[HCS] - price[LCS], 0.0)
        port = chip.port_cells[program.port]
        leads_on = np.diff(program.link_offsets)[: program.first_neuron] > 0

        hops = np.empty((self.rows, chip.cells), np.int32)
        energy = np.empty((self.rows, chip.cells))
        most = max(1, BLOCK // (4 * chip.cells))
        room = min(most, self.rows)
        loads = np.empty((room, 4 * chip.cells), np.int32)
        fired, read = np.empty((room, chip.tiles), np.int32), np.empty((room, chip.tiles))
        for begin in range(0, self.rows, most):
            rows = slice(begin, min(begin + most, self.rows))
            bounds = slice(begin, rows.stop + 1)
            part = slice(0, rows.stop - begin)
            for scratch in (loads, fired, read):
                scratch[part] = 0
            offsets, source, times = self.neurons
            _kernels.count_places(offsets[bounds], source, times, self._place, fired[part])
            for offsets, source, times in (self.neurons, *self.externals):
                spikes = offsets[bounds], source, times
                _kernels.link_loads(*spikes, program.link_offsets, self._link, loads[part])
                _kernels.step_energy(*spikes, *table, read[part])
            _kernels.cell_energy(
                loads[part], fired[part], read[part], static, chip.tile_cells, chip.shape[1],
                row_price, onward, price[DRIVEN], price[SPIKE], hops[rows], energy[rows],
            )  # fmt: skip
            for offsets, source, times in self.externals:
                _kernels.enter_energy(
                    offsets[bounds], source, times, port, leads_on, row_price,
                    price[INPUT] + price[DRIVEN], hops[rows], energy[rows],
                )  # fmt: skip
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
