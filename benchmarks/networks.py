"""Seeded small-world networks on which every simulator must give the same spikes.

Every value is a multiple of 1/64 and small, so that every sum is exact in single precision,
in any order; the membrane keeps everything (leak 1) and the threshold is subtracted after a
spike. What a simulator loses or sends twice therefore stays in the membranes of the targets
for ever, and shifts some of their spikes whenever they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GRID", "KICKS", "NEURONS_PER_CORE", "SmallWorld", "small_world"]

GRID = 64
"""All weights, biases and thresholds are multiples of 1 / GRID."""
NEURONS_PER_CORE = 64
KICKS = 8
"""Rows of `SmallWorld.kick`."""
THRESHOLD = 16.0
EXCITATORY = 0.8
STRENGTHS = 15
"""Excitatory weights are drawn from 1 to this many units, inhibitory ones four times that."""


@dataclass(frozen=True, eq=False)
class SmallWorld:
    """A recurrent network of n neurons and s synapses, driven by its biases.

    At every step, for each neuron j, from a membrane of 0::

        v[t] = v[t-1] + bias[j] + sum_i weight[i, j] * fired_i[t-1] - threshold * fired[t-1]
        fired[t] = v[t] > threshold

    Parameters
    ----------
    source, target : int32 array, (s,)
        Sorted by source, then by target; no pair occurs twice, none joins a neuron to itself.
    weight : float32 array, (s,)
    bias : float32 array, (n,)
    kick : float32 array, (KICKS, n)
        What a sample of a batch gets added in its first step, so that samples differ: the
        sum of half of the rows, at most the threshold.
    threshold : float32
    rows, columns : int
        Of the mesh of cores; core c is at row ``c // columns``.
    fan_out : int
        Synapses of every neuron.
    rate : float
        Spikes per neuron and step that the biases were chosen for.
    seed : int
    warm_up : int [steps]
        After these the rate is steady.
    steps : int [steps]
        How long the window after them is.
    """

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    kick: NDArray[np.float32]
    threshold: np.float32
    rows: int
    columns: int
    fan_out: int
    rate: float
    seed: int
    warm_up: int
    steps: int

    @property
    def neurons(self) -> int:
        """Number of neurons, n."""
        return int(self.bias.size)

    @property
    def synapses(self) -> int:
        """Number of synapses, s."""
        return int(self.target.size)

    @property
    def cores(self) -> int:
        """Number of cores."""
        return self.rows * self.columns

    @property
    def neurons_per_core(self) -> int:
        """Neurons on each core; neuron j is on core ``j // neurons_per_core``."""
        return NEURONS_PER_CORE

    @property
    def name(self) -> str:
        """Short name: ``4k x 32, 2 %``."""
        size = f"{self.neurons // 1024}k" if self.neurons % 1024 == 0 else str(self.neurons)
        return f"{size} x {self.fan_out}, {100 * self.rate:g} %"

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Synapses of neuron i are ``offsets[i]`` to ``offsets[i + 1]``, (n + 1,)."""
        return np.arange(self.neurons + 1, dtype=np.int64) * self.fan_out

    @cached_property
    def core(self) -> NDArray[np.int32]:
        """Core of each neuron, (n,)."""
        return (np.arange(self.neurons) // self.neurons_per_core).astype(np.int32)

    @cached_property
    def messages(self) -> NDArray[np.int64]:
        """Cores that each neuron sends to, its own included if it has targets there, (n,)."""
        there = self.target // self.neurons_per_core
        new = np.ones(there.size, np.int64)  # sorted by target, hence by core
        new[1:] = (there[1:] != there[:-1]) | (self.source[1:] != self.source[:-1])
        return new.reshape(self.neurons, self.fan_out).sum(1)

    def kicks(self, samples: int) -> NDArray[np.bool_]:
        """Rows of `kick` that each sample of a batch gets, half of them, (samples, KICKS)."""
        lots = np.random.default_rng(self.seed).random((samples, KICKS))
        return lots.argsort(1) < KICKS // 2


def small_world(
    neurons: int,
    fan_out: int,
    rate: float,
    seed: int = 0,
    steps: int = 200,
    far: float = 0.002,
) -> SmallWorld:
    """Draw a network that fires at `rate`.

    Each neuron's targets are distinct; their cores are drawn with weight ``exp(-d) + far``
    at a distance of d hops on the mesh. Four fifths of the neurons are excitatory, and the
    others four times as strong, so that recurrent input is zero on average. As nothing leaks,
    a neuron fires as often as its mean input reaches the threshold: each neuron is given a
    rate, uniform from 0.3 to 1.7 times `rate`, and from these and the weights follows the
    bias. All mean inputs are positive, so no membrane drifts away.

    Parameters
    ----------
    neurons : int
        A multiple of `NEURONS_PER_CORE`. The cores form the rectangle nearest to a square.
    fan_out : int
        Synapses of every neuron.
    rate : float
        Spikes per neuron and step; at least 0.003, or the grid is too coarse for the biases.
    seed : int
    steps : int
        For `SmallWorld.steps`.
    far : float
        Weight of a core however far away. On a mesh of 15,625 cores the default would send
        five synapses in six anywhere.

    Raises
    ------
    ValueError
        If no such network can be drawn.
    """
    cores, rest = divmod(neurons, NEURONS_PER_CORE)
    if cores < 1 or rest:
        raise ValueError(
            f"neurons is {neurons}; it needs a multiple of {NEURONS_PER_CORE}."
        )
    if not 1 <= fan_out <= neurons // 4:
        raise ValueError(f"fan_out is {fan_out}; it needs 1 to {neurons // 4}.")
    if not 0.003 <= rate <= 0.3:
        raise ValueError(f"rate is {rate}; it needs 0.003 to 0.3.")
    rows = max(side for side in range(1, int(cores**0.5) + 1) if cores % side == 0)
    rng = np.random.default_rng([seed, neurons, fan_out])
    sign = np.full(neurons, -4, np.int8)
    sign[: round(EXCITATORY * neurons)] = 1
    rng.shuffle(sign)
    rates = rate * rng.uniform(0.3, 1.7, neurons)
    # The fewer the synapses, the stronger: about as much noise for every fan-out.
    unit = max(1, round((128 / fan_out) ** 0.5)) / GRID
    target, weight, drift = _draw(
        rows, cores // rows, NEURONS_PER_CORE, fan_out, sign, rates, np.float32(unit), far,
        rng,
    )  # fmt: skip
    bias = np.rint((THRESHOLD * rates - drift) * GRID) / GRID
    kick = np.rint(rng.uniform(0, 2 * THRESHOLD / KICKS, (KICKS, neurons)) * GRID) / GRID
    return SmallWorld(
        source=np.repeat(np.arange(neurons, dtype=np.int32), fan_out),
        target=target, weight=weight,
        bias=bias.astype(np.float32), kick=kick.astype(np.float32),
        threshold=np.float32(THRESHOLD), rows=rows, columns=cores // rows,
        fan_out=fan_out, rate=rate, seed=seed, warm_up=round(1.5 / rate), steps=steps,
    )  # fmt: skip


@njit(cache=True)
def _draw(rows, columns, per_core, fan_out, sign, rates, unit, far, rng):
    """Targets and weights by source, and the mean recurrent input at the given rates."""
    cores = rows * columns
    neurons = cores * per_core
    target = np.empty(neurons * fan_out, np.int32)
    weight = np.empty(neurons * fan_out, np.float32)
    drift = np.zeros(neurons)
    taken = np.full(neurons, -1, np.int32)  # the last source that drew each neuron
    decay = np.exp(-np.arange(rows + columns).astype(np.float64)) + far
    reach = np.empty(cores)
    for core in range(cores):
        total = 0.0
        for there in range(cores):
            distance = abs(there // columns - core // columns)
            distance += abs(there % columns - core % columns)
            total += decay[distance]
            reach[there] = total
        for source in range(core * per_core, (core + 1) * per_core):
            begin = source * fan_out
            found = 0
            taken[source] = source
            while found < fan_out:
                there = min(
                    np.searchsorted(reach, rng.random() * total, "right"), cores - 1
                )
                goal = there * per_core + int(rng.random() * per_core)
                if taken[goal] != source:
                    taken[goal] = source
                    target[begin + found] = goal
                    found += 1
            target[begin : begin + fan_out].sort()
            for k in range(begin, begin + fan_out):
                strength = 1 + int(rng.random() * STRENGTHS)
                weight[k] = sign[source] * strength * unit
                drift[target[k]] += weight[k] * rates[source]
    return target, weight, drift
