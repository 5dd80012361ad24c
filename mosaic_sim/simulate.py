"""Run a program on input spikes and count what every source fires."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import MosaicError
from mosaic_sim.spikes import checked_spikes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.program import Program

__all__ = ["Recording", "simulate"]


@dataclass(frozen=True, eq=False)
class Recording:
    """What a run counted.

    Parameters
    ----------
    counts : int64 array, (samples, sources)
        Spikes of inputs, bias line (if any) and neurons.
    steps : int
        Steps of each sample.
    raster : bool array, (samples, steps, neurons), or None
        Every spike of every neuron, if it was asked for.
    """

    counts: NDArray[np.int64]
    steps: int
    raster: NDArray[np.bool_] | None = None

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.counts.shape[0])

    @property
    def total(self) -> NDArray[np.int64]:
        """Spikes of each source over all samples, (sources,)."""
        total: NDArray[np.int64] = self.counts.sum(0)
        return total


def simulate(
    program: Program,
    spikes: ArrayLike,
    *,
    raster: bool = False,
    threads: int | None = None,
) -> Recording:
    """Run every sample from rest for as many steps as `spikes` has.

    The equation is that of `mosaic_sim.network.Network`. The result does not depend on the
    number of threads.

    Parameters
    ----------
    program : Program
        From `compile_program`.
    spikes : array of 0 and 1, (samples, steps, inputs)
        The bias line, if there is one, is driven by the simulator.
    raster : bool
        Keep every spike, samples x steps x neurons bytes.
    threads : int, optional
        As many as the machine has cores by default.

    Returns
    -------
    Recording
        Spike counts. No energy: that is `mosaic_sim.cost.price`, so that one run can be
        priced under many technologies.

    Raises
    ------
    MosaicError
        If `spikes` has not one column for each input, or holds anything but 0 and 1.

    See Also
    --------
    mosaic_sim.reference.simulate : The same, slow and plain; the tests hold the two equal.
    """
    drive = checked_spikes(spikes, program.inputs)
    samples, steps, _ = drive.shape
    neurons = program.leak.size
    counts = np.zeros((samples, program.sources), np.int64)
    seen = np.zeros((samples, steps, neurons) if raster else (samples, 0, 0), np.bool_)

    def part(rows: slice) -> None:
        _kernels.run(
            program.inputs, program.bias, program.offsets, program.target, program.weight,
            program.delay, program.order, program.leak, program.threshold, program.reset,
            drive[rows], counts[rows], seen[rows],
        )  # fmt: skip

    workers = (os.cpu_count() or 1) if threads is None else threads
    if workers < 1:
        raise MosaicError(f"threads is {threads}; it needs at least 1.")
    edges = np.linspace(0, samples, min(workers, max(samples, 1)) + 1).astype(int)
    parts = [slice(a, b) for a, b in pairwise(edges)]
    if len(parts) == 1:
        part(parts[0])
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(part, parts))
    return Recording(counts, steps, seen if raster else None)
