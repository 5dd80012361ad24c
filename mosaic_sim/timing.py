"""How long a step has to be, how fast a chip can go, and what power it draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Timing"]


@dataclass(frozen=True)
class Timing:
    """Times and powers of a run.

    A spike on its longest way within one step passes `reads` crossbars of neuron tiles and
    `hops` routing tiles::

        critical_path = reads * read_time + hops * hop_latency
        smallest_step = max(critical_path, read_time)

    `read_time` is the read pulse and the settling of the column after it. A routing tile
    passes a pulse on while it lasts, so its own read is part of `hop_latency`.

    Parameters
    ----------
    reads, hops : int
        As in `mosaic_sim.Program.path`: bounds from above, each on its own.
    read_time, hop_latency : float [s]
    step_time : float [s]
        Length of a step as the chip is operated.
    steps : int
        Steps of one inference.
    dynamic_energy, static_energy : float [J]
        Of one inference, in the mean; static energy is power times `step_time`.

    Examples
    --------
    >>> timing = Timing(2, 3, 1e-6, 1e-8, 1e-3, 100, 5e-8, 1e-9)
    >>> round(timing.critical_path * 1e6, 3), round(timing.real_time_factor)
    (2.03, 493)
    """

    reads: int
    hops: int
    read_time: float
    hop_latency: float
    step_time: float
    steps: int
    dynamic_energy: float
    static_energy: float

    @property
    def critical_path(self) -> float:
        """Longest way of a spike within one step, bounded from above [s]."""
        return self.reads * self.read_time + self.hops * self.hop_latency

    @property
    def smallest_step(self) -> float:
        """Shortest step in which every spike still arrives [s]; one read at least."""
        return max(self.critical_path, self.read_time)

    @property
    def fits(self) -> bool:
        """Whether `step_time` is long enough: if not, the run is not possible as timed."""
        return self.step_time >= self.smallest_step

    @property
    def real_time_factor(self) -> float:
        """How many times faster than `step_time` asks for the chip could go; below 1: too slow."""
        return self.step_time / self.smallest_step

    @property
    def inference_time(self) -> float:
        """Time of one inference in steps of `step_time` [s]."""
        return self.steps * self.step_time

    @property
    def throughput(self) -> float:
        """Inferences per second in steps of `step_time` [1/s]."""
        return 1 / self.inference_time if self.steps else math.inf

    @property
    def fastest_throughput(self) -> float:
        """Inferences per second in the smallest steps [1/s]."""
        return 1 / (self.steps * self.smallest_step) if self.steps else math.inf

    @property
    def mean_power(self) -> float:
        """Power in steps of `step_time` [W]."""
        energy = self.dynamic_energy + self.static_energy
        return energy / self.inference_time if self.steps else 0.0

    @property
    def fastest_power(self) -> float:
        """Power in the smallest steps [W]: the same spikes in less time, the same leakage."""
        if not self.steps:
            return 0.0
        leakage = self.static_energy / self.inference_time
        return self.dynamic_energy / (self.steps * self.smallest_step) + leakage
