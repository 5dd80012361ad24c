"""The plain twin of the simulator: slow, obvious, and independent of the compiled program.

It starts from what the user wrote (network, placement, chip), uses no arrays of the program
and no kernel, and keeps time in Python floats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.network import RESETS
from mosaic_sim.spikes import Events

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
    voltages : dict of (sample, step) to list of float
        Membranes of all neurons at the end of each step.
    """

    spikes: list[tuple[int, int, int]]
    rows_read: list[int]
    voltages: dict[tuple[int, int], list[float]] = field(default_factory=dict)


def simulate(
    network: Network, placement: Placement, chip: Chip, spikes: ArrayLike | Events
) -> Reference:
    """Run `network` step by step in plain Python.

    Parameters
    ----------
    network, placement, chip
        As given to `mosaic_sim.compile_program`.
    spikes : array, (samples, steps, inputs), or Events
        As for `mosaic_sim.simulate`.

    Returns
    -------
    Reference
    """
    samples, steps, drive = _drive(spikes, network.inputs)
    out: dict[int, list[tuple[int, float, int]]] = {}
    for source, target, weight, delay in zip(
        network.source, network.target, network.weight, network.delay, strict=True
    ):
        out.setdefault(int(source), []).append((int(target), float(weight), int(delay)))
    ranks = _ranks(network, out)
    tile = [int(t) for t in placement.tile]
    first = network.first_neuron
    seen: list[tuple[int, int, int]] = []
    voltages: dict[tuple[int, int], list[float]] = {}
    rows_read = [0] * chip.tiles

    def send(
        source: int, t: int, inbox: dict[tuple[int, int], float], value: float, reads: int
    ) -> None:
        tiles = {tile[target] for target, _, _ in out.get(source, [])}
        if source >= first:
            tiles.add(tile[source - first])
        for there in tiles:
            rows_read[there] += reads
        for target, weight, delay in out.get(source, []):
            key = t + delay, target
            inbox[key] = inbox.get(key, 0.0) + value * weight

    for sample in range(samples):
        cells = [_Cell(network, j, chip.refractory_steps) for j in range(network.neurons)]
        inbox: dict[tuple[int, int], float] = {}
        for t in range(steps):
            for channel, value, reads in drive.get((sample, t), []):
                send(channel, t, inbox, value, reads)
            if network.bias:
                send(network.inputs, t, inbox, 1.0, 1)
            for neuron in ranks:
                if cells[neuron].step(inbox.pop((t, neuron), 0.0)):
                    seen.append((sample, t, neuron))
                    send(first + neuron, t, inbox, 1.0, 1)
            voltages[sample, t] = [cell.voltage for cell in cells]
    return Reference(sorted(seen), rows_read, voltages)


class _Cell:
    """One neuron, as the docstring of `Network` has it."""

    def __init__(self, network: Network, neuron: int, refractory_steps: int) -> None:
        self.leak = float(network.leak[neuron])
        self.threshold = float(network.threshold[neuron])
        self.current_leak = float(network.current_leak[neuron])
        self.gain = float(network.gain[neuron])
        self.rule = RESETS[network.reset[neuron]]
        self.prompt = bool(network.prompt[neuron])
        self.refractory_steps = refractory_steps
        self.voltage = self.current = self.inhibition = 0.0
        self.resets = False
        self.asleep = 0

    def step(self, x: float) -> bool:
        asleep = self.asleep > 0
        if asleep:
            self.asleep -= 1
            x = 0.0
        resets = self.resets
        if self.gain:
            self._alpha(x)
        else:
            self.current = self.current_leak * self.current + x
            if resets and self.rule == "zero":
                self.voltage = 0.0
            self.voltage = self.leak * self.voltage + self.current
            if resets and self.rule == "subtract":
                self.voltage -= self.threshold
            if resets and self.rule == "clear":
                self.voltage = 0.0
        fires = self.voltage > self.threshold and not asleep
        self.resets = fires
        if self.prompt:
            # As snnTorch: what this step's spike resets, less what an earlier one did already.
            more = int(fires) - int(resets)
            if self.rule == "subtract":
                self.voltage -= more * self.threshold
            elif self.rule != "none":
                self.voltage -= more * self.voltage
            self.resets = self.voltage > self.threshold
        if fires:
            self.asleep = self.refractory_steps
        return fires

    def _alpha(self, x: float) -> None:
        before = self.inhibition
        self.current = self.current_leak * self.current + x
        self.inhibition = self.leak * before - x
        self.voltage = self.gain * (self.current + self.inhibition)
        if self.resets and self.rule == "subtract":
            self.current -= self.threshold
            self.inhibition = 0.0
            self.voltage += before
        elif self.resets and self.rule != "none":
            self.current = self.inhibition = self.voltage = 0.0


Sends = dict[tuple[int, int], list[tuple[int, float, int]]]


def _drive(spikes: ArrayLike | Events, inputs: int) -> tuple[int, int, Sends]:
    """(channel, value, rows driven) of every input at each (sample, step)."""
    sends: Sends = {}
    if isinstance(spikes, Events):
        pulses: dict[tuple[int, int, int], float] = {}
        size = np.size(spikes.time)
        values = np.asarray(
            np.ones(size) if spikes.value is None else spikes.value
        ).tolist()
        columns = (
            np.asarray(x).tolist() for x in (spikes.sample, spikes.time, spikes.channel)
        )
        for s, t, c, v in zip(*columns, values, strict=True):
            key = (s, t, c)
            if spikes.value is None:
                pulses[key] = pulses.get(key, 0) + 1
            else:
                sends.setdefault(key[:2], []).append((key[2], float(np.float32(v)), 1))
        for (s, t, c), n in pulses.items():
            sends.setdefault((s, t), []).append((c, float(n), int(n)))
        return int(spikes.samples or 1), spikes.steps, sends
    array = np.asarray(spikes)
    if array.ndim != 3 or array.shape[2] != inputs:
        raise MosaicError(
            f"spikes has shape {array.shape}; it needs (samples, steps, {inputs})."
        )
    if not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise MosaicError(f"spikes[{at}] is {array[at]}; a current is finite.")
    whole = array.dtype.kind in "bui"
    for s, t, c in np.argwhere(array).tolist():
        value = float(np.float32(array[s, t, c]))
        sends.setdefault((s, t), []).append((c, value, int(abs(value)) if whole else 1))
    return array.shape[0], array.shape[1], sends


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
