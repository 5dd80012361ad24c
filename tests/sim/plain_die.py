"""The plain twin of a die: routing tiles as matrices, spikes as sets of rows, no kernel."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.reference import _Cell, _drive, _ranks

STUCK, SPREAD, AGE = 1, 3, 2


def draw(seed, stream, number):
    """Normal number of a device, and the uniform one that it was made from."""
    out = np.empty(1)
    _kernels.normals(seed, stream, np.array([number]), out)
    return float(out[0]), 0.5 * math.erfc(-float(out[0]) / math.sqrt(2))


class PlainChip:
    """What every routing device of a die conducts, looked up one at a time.

    A row is (cell, side, line), or (cell, "home", slot) for the feedback of a neuron.
    """

    def __init__(self, network, chip, placement, routing, die):
        self.network, self.chip, self.placement = network, chip, placement
        self.p, self.seed = die.physics, die.seed
        self.widest = max(chip.tile_lines, chip.r0_lines, chip.r1_lines)
        self.rows = 4 * self.widest + chip.neurons_per_tile
        self.columns = max(self.rows, 2 * chip.neurons_per_tile)
        self.lines = {"NT": chip.tile_lines, "R0": chip.r0_lines, "R1": chip.r1_lines}
        self.joined = set()  # ((cell, side, line), (side, line)) of programmed connections
        self.owner = {}  # (cell, side, line) of a neuron tile: source
        self.starts = []
        for i in range(network.sources):
            at = {}
            if i < network.first_neuron:
                cell, side = chip.port_cell(int(placement.port[i]))
                start = (cell, side, int(routing.entry_line[i]))
                at[cell] = start
                self.starts.append([start])
            else:
                home = chip.tile_cell(int(placement.tile[i - network.first_neuron]))
                slot = int(placement.slot[i - network.first_neuron])
                self.starts.append([
                    (int(chip.neighbours[home, s]), (s + 2) % 4, slot) for s in range(4)
                ])  # fmt: skip
                self.starts[-1].append((home, "home", slot))
                self.owner[home, "home", slot] = i
            for k in range(routing.offsets[i], routing.offsets[i + 1]):
                cell, side = int(routing.cell[k]), int(routing.side[k])
                line = int(routing.line[k])
                beside = int(chip.neighbours[cell, side])
                row = (beside, (side + 2) % 4, line)
                if chip.kinds[cell] != "NT":
                    self.joined.add((at[cell], (side, line)))
                at[beside] = row
                if chip.kinds[beside] == "NT":
                    self.owner[row] = i

    @cache  # noqa: B019 - lives for one test
    def conductance(self, row, out):
        """Of the device that joins a row of a routing tile to its column ``(side, line)``."""
        cell, side, line = row
        number = (cell * self.rows + side * self.widest + line) * self.columns
        number += out[0] * self.widest + out[1]
        p = self.p
        joined = (row, out) in self.joined
        _, u = draw(self.seed, STUCK, number)
        if u < p.stuck_hcs:
            g = p.hcs
        elif u < p.stuck_hcs + p.stuck_lcs:
            g = p.lcs
        else:
            g = p.hcs if joined else p.lcs
            g *= math.exp(
                (p.hcs_spread if joined else p.lcs_spread)
                * draw(self.seed, SPREAD, number)[0]
            )
            g = max(g * (1 + p.relaxation * draw(self.seed, AGE, number)[0]) * p.decay, 0)
        n = 4 * self.lines[self.chip.kinds[cell]]
        return 1 / (1 / g + p.transistor + n * p.wire) if g else 0.0

    def driven(self, starts, together):
        """All rows that carry a spike if those of `starts` do; currents add up if `together`."""
        chip, on = self.chip, set(starts)
        while True:
            more = set(on)
            for cell in {row[0] for row in on if chip.kinds[row[0]] != "NT"}:
                here = [row for row in on if row[0] == cell]
                leak = (4 * self.lines[chip.kinds[cell]] - 1) * self.p.leakage
                for side in range(4):
                    beside = int(chip.neighbours[cell, side])
                    for line in range(int(chip.capacity[cell, side])):
                        each = [self.conductance(row, (side, line)) for row in here]
                        if leak + (sum(each) if together else max(each)) > self.p.threshold:
                            more.add((beside, (side + 2) % 4, line))
            if more == on:
                return on
            on = more


def simulate(network, chip, placement, routing, die, spikes, together):
    """Spikes (sample, step, neuron) of a die; with `together`, those of a stage coincide."""
    plain = PlainChip(network, chip, placement, routing, die)
    samples, steps, drive = _drive(spikes, network.inputs)
    out = {}
    for k, (i, j, d) in enumerate(
        zip(network.source, network.target, network.delay, strict=True)
    ):
        home = chip.tile_cell(int(placement.tile[j]))
        out.setdefault((int(i), home), []).append(
            (int(j), float(die.written.weight[k]), int(d))
        )
    ranks = _ranks(network, {
        i: [(j, 0.0, d) for j, _, d in synapses]
        for i in range(network.sources)
        for synapses in [[s for (who, _), many in out.items() if who == i for s in many]]
    })  # fmt: skip
    depth = network.depth
    seen, first, known = [], network.first_neuron, {}
    driven = {}
    for sample in range(samples):
        cells = [
            _Cell(_Real(network, die), j, chip.refractory_steps)
            for j in range(network.neurons)
        ]
        inbox = {}
        for t in range(steps):

            def deliver(senders, stage, t=t, inbox=inbox):
                groups = [senders] if together else [[i] for i in senders]
                for group in groups:
                    starts = frozenset(row for i in group for row in plain.starts[i])
                    if starts and starts not in known:
                        known[starts] = plain.driven(starts, together)
                    for row in known.get(starts, ()):
                        driven[row] = driven.get(row, 0) + 1
                        for j, w, d in out.get((plain.owner.get(row, -1), row[0]), []):
                            late = int(d == 0 and depth[j] <= stage)
                            key = (t + d + late, j)
                            inbox[key] = inbox.get(key, 0.0) + w

            outside = [c for c, _, n in drive.get((sample, t), []) for _ in range(n)]
            most = max((outside.count(c) for c in outside), default=int(network.bias))
            for pulse in range(most):
                group = [c for c in dict.fromkeys(outside) if outside.count(c) > pulse]
                deliver(group + [network.inputs] * (network.bias and pulse == 0), -1)
            for stage in sorted(set(depth.tolist())):
                fired = [
                    j
                    for j in ranks
                    if depth[j] == stage and cells[j].step(inbox.pop((t, j), 0.0))
                ]
                seen += [(sample, t, j) for j in fired]
                deliver([first + j for j in sorted(fired)], stage)
    return sorted(seen), driven


class _Real:
    """A network with the time constants of a die."""

    def __init__(self, network, die):
        self.__dict__.update({
            name: getattr(network, name)
            for name in ("threshold", "gain", "reset", "prompt")
        }, leak=die.written.leak, current_leak=die.written.current_leak)  # fmt: skip
