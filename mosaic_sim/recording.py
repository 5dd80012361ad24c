"""What a run saw: spike counts, and what was asked for besides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.spikes import Drive

__all__ = ["Recording"]


@dataclass(frozen=True, eq=False)
class Recording:
    """What a run counted.

    Parameters
    ----------
    counts : int64 array, (samples, sources)
        Spikes of inputs, bias line (if any) and neurons.
    steps : int
        Steps of each sample.
    latency : int32 array, (samples, neurons)
        Step of the first spike, -1 without one.
    drive : Drive
        The input.
    watched : int64 array, (w,)
        Neurons whose membrane was kept.
    voltages : float32 array, (samples, steps, w)
        Their membranes at the end of each step.
    offsets : int64 array, (samples * steps + 1,), or None
        Spikes of step t of sample s are ``neuron[offsets[s * steps + t]:offsets[... + 1]]``.
    neuron : int32 array, (spikes,), or None
        Every spike of every neuron, if a raster was asked for.
    chosen : int64 array, or None
        Neurons that the raster shows; None: all.
    rows : int64 array, or None
        How often each row of the chip was driven (numbers as in `mosaic_sim.image.Layout`), if
        spikes that coincide were simulated: only then it does not follow from the counts.
    """

    counts: NDArray[np.int64]
    steps: int
    latency: NDArray[np.int32]
    drive: Drive
    watched: NDArray[np.int64]
    voltages: NDArray[np.float32]
    offsets: NDArray[np.int64] | None = None
    neuron: NDArray[np.int32] | None = None
    chosen: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.counts.shape[0])

    @property
    def total(self) -> NDArray[np.int64]:
        """Spikes of each source over all samples, (sources,)."""
        total: NDArray[np.int64] = self.counts.sum(0)
        return total

    @cached_property
    def raster(self) -> NDArray[np.bool_] | None:
        """Spikes, (samples, steps, neurons asked for); None if it was not asked for."""
        if self.offsets is None or self.neuron is None:
            return None
        neurons = self.latency.shape[1]
        row = np.repeat(np.arange(self.samples * self.steps), np.diff(self.offsets))
        column = self.neuron.astype(np.int64)
        width = neurons
        if self.chosen is not None:
            width = self.chosen.size
            place = np.full(neurons, -1, np.int64)
            place[self.chosen] = np.arange(width)
            seen = place[column] >= 0
            row, column = row[seen], place[column[seen]]
        dense = np.zeros((self.samples * self.steps, width), np.bool_)
        dense[row, column] = True
        return dense.reshape(self.samples, self.steps, width)
