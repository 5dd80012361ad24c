"""Run a die on which something differs from spike to spike: reads, or spikes that coincide."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.depths import ByDepth
from mosaic_sim.errors import MosaicError
from mosaic_sim.image import layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.die import Die
    from mosaic_sim.program import Program
    from mosaic_sim.spikes import Drive

__all__ = ["NoisyEngine"]

PIECE = 1 << 24
"""Steps of one call of the kernel, times neurons."""

READING, ARRIVING = 2000, 2001
"""Streams of random numbers of a run, apart from those of devices."""


class NoisyEngine:
    """The kernel that runs a die spike by spike, and what it needs to know.

    Parameters
    ----------
    die : Die
    drive : Drive
    watched : int64 array
        Neurons whose membrane to keep.

    Raises
    ------
    MosaicError
        If spikes are to coincide and `drive` holds currents, which no line carries.
    """

    def __init__(self, die: Die, drive: Drive, watched: NDArray[np.int64]) -> None:
        self.die, self.drive = die, drive
        self.routed = "coincidence" in die.effects
        self.program = die.written if self.routed else die.program
        self.power = die.noise_power
        if self.power.size and not self.routed:
            self.power = self.power[die.origin]
        self._tables: tuple[Any, ...] = _NO_TABLES
        self.rows: NDArray[np.int64] | None = None
        if self.routed:
            if drive.value.size and (not drive.pulses.size or (drive.value < 0).any()):
                raise MosaicError(
                    "spikes holds currents; a line carries spikes only. To simulate coincidence "
                    "give booleans or whole numbers from 0, or leave the effect out."
                )
            if die not in _KNOWN:
                _KNOWN[die] = _tables(die, self.program)
            self._tables = _KNOWN[die]
            cells = self.program.geometry.cells
            self.rows = np.zeros(cells * layout(self.program).rows, np.int64)
        self._depths = ByDepth.of(self.program)
        self.watched = self._depths.rank[watched].astype(np.int64)
        self._bias_spikes = False
        self._synapses = self._sorted()
        self.piece = max(1, PIECE // max(self.program.sources, 1))
        self._lock = threading.Lock()

    def _sorted(self) -> tuple[NDArray[Any], ...]:
        """Synapses with targets by depth, and what the bias line adds at every step."""
        program, power = self.program, self.power
        constant = np.zeros((2, program.neurons), np.float32)
        target = self._depths.rank[program.target]
        if program.bias:
            line = slice(
                program.offsets[program.inputs], program.offsets[program.inputs + 1]
            )
            self._bias_spikes = self.routed or bool(program.delay[line].any())
            if not self._bias_spikes:
                np.add.at(constant[0], target[line], program.weight[line])
                if power.size:
                    np.add.at(constant[1], target[line], power[line])
        return program.offsets, target, program.weight, program.delay, power, *constant

    def state(self) -> tuple[NDArray[Any], ...]:
        """Room for the state of one sample."""
        n = self.program.neurons
        slots = max(2, int(self.program.delay.max(initial=0)) + 1)
        floats = tuple(np.empty(n, np.float32) for _ in range(3))
        inbox = tuple(np.zeros((slots, n), np.float32) for _ in range(2))
        flags = np.empty(n, np.bool_), np.empty(n, np.int32)
        fired = np.zeros(n, np.bool_), np.empty(n, np.int32)
        return (
            *floats,
            *flags,
            *inbox,
            *fired,
            np.zeros(self._depths.bounds.size - 1, np.int64),
        )

    def run(
        self,
        begin: int,
        end: int,
        first: int,
        last: int,
        state: tuple[NDArray[Any], ...],
        counts: NDArray[np.int64],
        latency: NDArray[np.int32],
        traces: NDArray[np.float32],
        listed: NDArray[np.int32],
        per_step: NDArray[np.int32],
    ) -> int:
        """Run steps `first` to `last` of samples `begin` to `end`; see `run_physical`."""
        program, drive, die = self.program, self.drive, self.die
        step, taken = begin * drive.steps + first, (end - begin) * (last - first)
        noise = np.empty(
            (taken, program.neurons) if self.power.size else (0, 0), np.float32
        )
        _kernels.noise(die.seed, READING, step * program.neurons, noise.ravel())
        several = self.routed and die.windows > 1
        window = np.empty((taken, program.sources) if several else (0, 0), np.int32)
        _kernels.choices(
            die.seed, ARRIVING, step * program.sources, die.windows, window.ravel()
        )
        rows = np.zeros(0 if self.rows is None else self.rows.size, np.int64)
        found = _kernels.run_physical(
            program.first_neuron, self._bias_spikes, begin, end, first, last, drive.steps,
            drive.offsets, drive.channel, drive.value, drive.pulses, *self._depths.tables,
            *self._synapses, *self._depths.neurons, program.geometry.refractory_steps,
            noise, window, die.windows, self.routed, self._depths.depth, *self._tables,
            *state, counts, latency, self.watched, traces, listed, per_step, rows,
        )  # fmt: skip
        if self.rows is not None:
            with self._lock:
                self.rows += rows
        return int(found)


_NO_TABLES = (
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64),
    1, np.empty(0, np.bool_), np.empty((0, 4), np.int32), np.empty((0, 4), np.int32),
    np.empty(0, np.int32), 1, np.empty(0, np.int64), np.empty(0, np.float32),
    np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), 0.0, 0.0,
)  # fmt: skip


_KNOWN: weakref.WeakKeyDictionary[Die, tuple[Any, ...]] = weakref.WeakKeyDictionary()
"""Tables of dies: they take longer to make than a run, and a die is often run again."""


def _tables(die: Die, program: Program) -> tuple[Any, ...]:
    """What every routing device conducts, and which synapses sit on which row."""
    chip, where = program.geometry, layout(program)
    starts, nodes = where.starts(program)
    feedback = where.feedback(program)
    # A neuron drives four routing tiles and the feedback row of its own tile.
    first = program.first_neuron
    wired = np.concatenate([nodes[first:].reshape(-1, 4), feedback[:, None]], 1)
    starts = np.concatenate([
        np.arange(first), first + 5 * np.arange(program.neurons + 1)
    ])  # fmt: skip
    nodes = np.concatenate([nodes[:first], wired.ravel()])
    total = chip.cells * where.rows
    row = where.pair // where.columns
    by_row = np.argsort(row, kind="stable")
    row_offsets = np.searchsorted(row[by_row], np.arange(total + 1))
    width = 4 * chip.lines.astype(np.int64)
    start = np.where(chip.is_router, np.cumsum(width**2) - width**2, -1)
    table = np.empty(int((width**2).sum()), np.float32)
    strong_offsets = np.zeros(total + 1, np.int64)
    joined = np.sort(where.connection[where.connection >= 0])
    begin = np.searchsorted(joined, np.arange(total + 1) * where.columns)
    strong, peak = _kernels.router_tables(
        die.seed, start, begin, joined, chip.neighbours, chip.wired, chip.lines,
        where.widest, where.rows, where.columns, np.array(die.physics), table, strong_offsets,
    )  # fmt: skip
    return (
        starts, nodes, row_offsets, by_row, where.rows, chip.is_router, chip.neighbours,
        chip.wired, chip.lines, where.widest, start, table, strong_offsets, strong, peak,
        die.physics.leakage, die.physics.threshold,
    )  # fmt: skip
