"""The plain twin of the simulator: slow, obvious, and independent of the compiled program.

It starts from what the user wrote (network, placement, chip), uses no arrays of the program
and no kernel, and keeps time in Python floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.network import RESETS
from mosaic_sim.spikes import checked_spikes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = ["Reference", "simulate"]


@dataclass(frozen=True)
class Reference:
    """What the plain simulation saw.

    Parameters
    ----------
    spikes : list of (sample, step, neuron)
    rows_read : list of int
        Rows driven in each neuron tile: one for every spike and every tile where it arrives,
        and one for the feedback row of a neuron's own tile.
    """

    spikes: list[tuple[int, int, int]]
    rows_read: list[int]


def simulate(
    network: Network, placement: Placement, chip: Chip, spikes: ArrayLike
) -> Reference:
    """Run `network` step by step in plain Python.

    Parameters
    ----------
    network, placement, chip
        As given to `mosaic_sim.compile_program`.
    spikes : array of 0 and 1, (samples, steps, inputs)

    Returns
    -------
    Reference
    """
    drive = checked_spikes(spikes, network.inputs)
    out: dict[int, list[tuple[int, float, int]]] = {}
    for source, target, weight, delay in zip(
        network.source, network.target, network.weight, network.delay, strict=True
    ):
        out.setdefault(int(source), []).append((int(target), float(weight), int(delay)))
    ranks = _ranks(network, out)
    tile = [int(t) for t in placement.tile]
    first = network.first_neuron
    seen: list[tuple[int, int, int]] = []
    rows_read = [0] * chip.tiles

    def send(source: int, t: int, inbox: dict[tuple[int, int], float]) -> None:
        tiles = {tile[target] for target, _, _ in out.get(source, [])}
        if source >= first:
            tiles.add(tile[source - first])
        for there in tiles:
            rows_read[there] += 1
        for target, weight, delay in out.get(source, []):
            inbox[t + delay, target] = inbox.get((t + delay, target), 0.0) + weight

    for sample in range(drive.shape[0]):
        voltage = [0.0] * network.neurons
        fired = [False] * network.neurons
        inbox: dict[tuple[int, int], float] = {}
        for t in range(drive.shape[1]):
            for channel in np.flatnonzero(drive[sample, t]).tolist():
                send(channel, t, inbox)
            if network.bias:
                send(network.inputs, t, inbox)
            for neuron in ranks:
                leak, threshold = (
                    float(network.leak[neuron]),
                    float(network.threshold[neuron]),
                )
                rule = RESETS[network.reset[neuron]]
                old = 0.0 if fired[neuron] and rule == "zero" else voltage[neuron]
                v = leak * old + inbox.pop((t, neuron), 0.0)
                if fired[neuron] and rule == "subtract":
                    v -= threshold
                voltage[neuron] = v
                fired[neuron] = v > threshold
                if fired[neuron]:
                    seen.append((sample, t, neuron))
                    send(first + neuron, t, inbox)
    return Reference(sorted(seen), rows_read)


def _ranks(network: Network, out: dict[int, list[tuple[int, float, int]]]) -> list[int]:
    """Neurons so that each comes after all that reach it without delay (by depth-first search)."""
    before: dict[int, list[int]] = {}
    for source, synapses in out.items():
        for target, _, delay in synapses:
            if delay == 0 and source >= network.first_neuron:
                before.setdefault(target, []).append(source - network.first_neuron)
    done: dict[int, None] = {}
    for neuron in range(network.neurons):
        stack = [neuron]
        while stack:
            waiting = [j for j in before.get(stack[-1], []) if j not in done]
            if waiting:
                stack.append(waiting[0])
            else:
                done.setdefault(stack.pop())
    return list(done)
