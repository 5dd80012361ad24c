"""Run a program on input and count what every source fires."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.depths import ByDepth
from mosaic_sim.die import Die
from mosaic_sim.errors import MosaicError
from mosaic_sim.noisy import NoisyEngine
from mosaic_sim.progress import progress_bar
from mosaic_sim.recording import Recording
from mosaic_sim.spikes import as_drive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.program import Program
    from mosaic_sim.spikes import Drive, Events

__all__ = ["simulate"]

LISTED = 1 << 24
"""Entries of the list of spikes that one call of the kernel may need."""

PIECE = 1 << 28
"""Steps of one call of the kernel, times neurons and a share of the synapses: about 0.2 s."""


def simulate(
    program: Program | Die,
    spikes: ArrayLike | Events | Drive,
    *,
    raster: bool | Sequence[int] = False,
    voltages: Sequence[int] = (),
    threads: int | None = None,
    progress: bool | None = None,
) -> Recording:
    """Run every sample from rest for as many steps as `spikes` has.

    The equation is that of `mosaic_sim.network.Network`. The result does not depend on the
    number of threads, to the last bit.

    Parameters
    ----------
    program : Program or Die
        From `compile_program`; or one sample of the hardware, from `sample_die`.
    spikes : array, (samples, steps, inputs), or Events
        Booleans are spikes; whole numbers so many spikes in one step; real numbers currents:
        the weights of the channel times the number. The bias line, if there is one, is driven
        by the simulator.
    raster : bool, or sequence of int
        Keep the spikes of all neurons, or of these.
    voltages : sequence of int
        Neurons whose membrane to keep at every step.
    threads : int, optional
        As many as the machine has cores by default; samples are shared out.
    progress : bool, optional
        Show a progress bar on the terminal once the run has lasted a second. By default if
        the error stream is a terminal.

    Returns
    -------
    Recording
        Spike counts. No energy: that is `mosaic_sim.cost.price`, so that one run can be
        priced under many technologies.

    Raises
    ------
    MosaicError
        If `spikes` has not one column for each input, holds anything but finite numbers, or a
        neuron to record does not exist; or if spikes are to coincide on a die and `spikes` holds
        anything but counts of spikes.

    See Also
    --------
    mosaic_sim.reference.simulate : The same, slow and plain; the tests hold the two equal.
    """
    die = program if isinstance(program, Die) else None
    program = program.program if isinstance(program, Die) else program
    drive = as_drive(spikes, program.inputs)
    samples, steps, neurons = drive.samples, drive.steps, program.neurons
    workers = (os.cpu_count() or 1) if threads is None else threads
    if workers < 1:
        raise MosaicError(f"threads is {threads}; it needs at least 1.")
    watched = _neurons("voltages", voltages, neurons)
    chosen = None if isinstance(raster, bool) else _neurons("raster", raster, neurons)
    recording = bool(raster) if isinstance(raster, bool) else True
    engine: _Engine | NoisyEngine
    if die is not None and die.noisy:
        engine = NoisyEngine(die, drive, watched)
    else:
        engine = _Engine(die.runnable if die else program, drive, watched)

    counts = np.zeros((samples, program.sources), np.int64)
    counts[:, : program.inputs] = drive.counts(program.inputs)
    if program.bias:
        counts[:, program.inputs] = steps
    latency = np.full((samples, neurons), -1, np.int32)
    traces = np.empty((samples, steps, watched.size), np.float32)
    per_step = np.zeros((samples, steps) if recording else (0, 0), np.int32)

    def part(begin: int, end: int, done: Callable[[int], None]) -> list[NDArray[np.int32]]:
        """Run samples `begin` to `end`; return their spikes, neuron by neuron."""
        state = engine.state()
        seen = []
        # A long sample is run in pieces, to show progress and to heed Ctrl-C; and so that the
        # spikes of a piece have room in the list.
        most = engine.piece
        if recording:
            most = min(most, LISTED // max(neurons * (end - begin), 1))
        most = max(1, most)
        pieces = range(0, steps, most) if end - begin == 1 else [0]
        for first in pieces:
            last = min(steps, first + most) if end - begin == 1 else steps
            room = (end - begin) * (last - first) * neurons if recording else 0
            listed = np.empty(room, np.int32)
            found = engine.run(
                begin, end, first, last, state, counts, latency, traces, listed, per_step
            )
            seen.append(listed[:found].copy() if len(listed) else listed)
            done((end - begin) * (last - first))
        return seen

    listing = recording or isinstance(engine, NoisyEngine)
    parts = _share(samples, steps, neurons, workers, listing)
    with progress_bar("simulate", samples * steps, progress) as done:
        if workers == 1 or len(parts) <= 1:
            seen = [part(a, b, done) for a, b in parts]
        else:
            with ThreadPoolExecutor(min(workers, len(parts))) as pool:
                seen = list(pool.map(lambda ab: part(ab[0], ab[1], done), parts))
    rows = engine.rows
    if not recording:
        return Recording(counts, steps, latency, drive, watched, traces, rows=rows)
    source = np.concatenate([np.empty(0, np.int32), *(s for part in seen for s in part)])
    offsets = np.concatenate([[0], np.cumsum(per_step.ravel(), dtype=np.int64)])
    return Recording(
        counts, steps, latency, drive, watched, traces, offsets, source, chosen, rows
    )


class _Engine:
    """The kernel that runs a program, and what it needs to know of it."""

    rows = None

    def __init__(self, program: Program, drive: Drive, watched: NDArray[np.int64]) -> None:
        self.program, self.drive = program, drive
        self.wiring = _wire(self.program)
        self.watched = self.wiring.by_depth.rank[watched].astype(np.int64)
        self.piece = PIECE // (program.neurons + self.program.target.size // 16 + 1)

    def state(self) -> tuple[NDArray[Any], ...]:
        """Room for the state of one sample."""
        return _state(self.wiring, self.program.neurons)

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
        """Run steps `first` to `last` of samples `begin` to `end`; see `_kernels.run`."""
        drive = self.drive
        found: int = _kernels.run(
            self.program.first_neuron, self.wiring.bias, begin, end, first, last, drive.steps,
            drive.offsets, drive.channel, drive.value, *self.wiring.tables, *state, counts,
            latency, self.watched, traces, listed, per_step,
        )  # fmt: skip
        return found


class _Wiring(NamedTuple):
    tables: tuple[Any, ...]
    constant: NDArray[np.float32]
    by_depth: ByDepth
    slots: int
    bias: bool
    """Whether the bias line spikes: not if all it sends is a constant current."""


def _wire(program: Program) -> _Wiring:
    """Sort neurons by depth and synapses into rows, as the kernel wants them."""
    by_depth = ByDepth.of(program)
    *synapses, constant, slots = _kernels.wire(
        program.first_neuron, program.bias, program.offsets, program.target, program.weight,
        program.delay, by_depth.rank, by_depth.moved,
    )  # fmt: skip
    offsets, segments = synapses[:2]
    bias = program.first_neuron - 1
    of_bias = segments[offsets[bias] : offsets[bias + 1]]
    spiking = program.bias and bool((of_bias[:, 3] > of_bias[:, 2]).any())
    tables = (
        *by_depth.tables, *synapses, constant, *_spans(program, by_depth, offsets, segments),
        *by_depth.neurons, program.geometry.refractory_steps,
    )  # fmt: skip
    return _Wiring(tables, constant, by_depth, slots, spiking)


def _spans(
    program: Program,
    by_depth: ByDepth,
    offsets: NDArray[np.int64],
    segments: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where all sources of a depth have one dense row each, with one delay and one span.

    Returns the beginning of each source's row, (sources,), and (delay, first target, size) of
    each depth, (1 + depths, 3), inputs first; the size is 0 where rows differ.
    """
    first = program.first_neuron
    stages = [np.arange(program.inputs)]
    stages += [first + by_depth.order[a:b] for a, b in pairwise(by_depth.bounds)]
    begins = np.zeros(program.sources, np.int64)
    one = np.diff(offsets) == 1
    begins[one] = segments[offsets[:-1][one], 2]
    spans = np.zeros((len(stages), 3), np.int64)
    for span, sources in zip(spans, stages, strict=True):
        if sources.size and one[sources].all():
            rows = segments[offsets[sources]]
            found = np.column_stack([rows[:, :2], rows[:, 3] - rows[:, 2]])
            if found[0, 1] >= 0 and (found == found[0]).all():
                span[:] = found[0]
    return begins, spans


def _state(wiring: _Wiring, neurons: int) -> tuple[NDArray[Any], ...]:
    """Return room for the state of one sample; the kernel fills it."""
    words = np.zeros(neurons // 8 + 1, np.uint64)
    # Rows of whole vectors, the first at a whole address.
    row = 4 * (neurons + -neurons % _kernels.LANES + _kernels.LANES)
    raw = np.zeros(wiring.slots * row + 64, np.uint8)
    start = -raw.ctypes.data % 64
    inbox = raw[start : start + wiring.slots * row].reshape(wiring.slots, row)
    return (
        np.empty(neurons, np.float32),
        np.empty(neurons, np.float32),
        np.empty(neurons, np.float32),
        np.empty(neurons, np.bool_),
        np.empty(neurons, np.int32),
        inbox.view(np.float32),
        words.view(np.uint8),
        words,
        np.empty(neurons, np.int32),
        np.zeros(wiring.by_depth.plain.size, np.int64),
    )


def _share(
    samples: int, steps: int, neurons: int, workers: int, recording: bool
) -> list[tuple[int, int]]:
    """Cut the samples into parts: several a worker, so that none waits for a slow one."""
    size = max(1, min(64, -(-samples // (4 * workers))))
    if recording:
        size = max(1, min(size, LISTED // max(steps * neurons, 1)))
    return [(a, min(a + size, samples)) for a in range(0, samples, size)]


def _neurons(name: str, chosen: Sequence[int], neurons: int) -> NDArray[np.int64]:
    array = np.asarray(chosen)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise MosaicError(f"{name} needs a list of neuron numbers.")
    if array.min() < 0 or array.max() >= neurons:
        bad = array[(array < 0) | (array >= neurons)][0]
        raise MosaicError(f"{name} names neuron {bad}; the program has 0 to {neurons - 1}.")
    return array.astype(np.int64)
