"""How the benchmarks drive our own simulator.

Each ``run_*`` starts from rest (or, for a batch, from the kicks of `networks.SmallWorld`) and
returns what it computed; whoever calls it takes the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from networks import KICKS

from mosaic_sim import (
    Chip,
    Device,
    Network,
    Placement,
    compile_program,
    place,
    price,
    price_steps,
    route,
    simulate,
    technology_preset,
)
from mosaic_sim.route import trunk

if TYPE_CHECKING:
    from networks import SmallWorld
    from numpy.typing import NDArray

    from mosaic_sim import CostReport, Program, Recording, Steps

__all__ = [
    "Prepared",
    "prepare",
    "run_link_loads",
    "run_per_tile",
    "run_plain",
    "run_raster",
    "run_totals",
]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A compiled network; with `kicked`, its inputs are the rows of ``net.kick``."""

    net: SmallWorld
    program: Program
    kicked: bool

    def drive(self, steps: int, samples: int) -> NDArray[np.bool_]:
        """Input spikes, (samples, steps, inputs): kicks at step 0, if any."""
        spikes = np.zeros((samples, steps, KICKS if self.kicked else 0), np.bool_)
        if self.kicked and steps:
            spikes[:, 0] = self.net.kicks(samples)
        return spikes


def prepare(net: SmallWorld, kicked: bool = False, searched: bool = False) -> Prepared:
    """Place each core on a tile, route and compile; bias and kicks enter through ports.

    With `kicked` the network has inputs for the samples of a batch to differ by; if `searched`,
    it is placed and routed by the defaults of the package instead.
    """
    first = KICKS * kicked + 1  # after the inputs comes the bias line, after it the neurons
    network = _network(net, first)
    chip = roomy(net, first)
    if searched:
        placement = place(network, chip)
        routing = route(network, chip, placement)
    else:
        ports = 2 * (net.rows + net.columns)
        placement = Placement(
            tile=net.core,
            slot=np.arange(net.neurons, dtype=np.int32) % net.neurons_per_core,
            port=(np.arange(first) % ports).astype(np.int32),
        )
        routing = route(network, chip, placement, router=trunk)
    return Prepared(
        net,
        compile_program(network, chip, placement, routing, device=Device(exact=True)),
        kicked,
    )


def _network(net: SmallWorld, first: int) -> Network:
    """Rows of the first sources, one synapse for each neuron; then the network's own synapses."""
    outside = first * net.neurons
    source = np.empty(outside + net.synapses, np.int32)
    target, delay = np.empty_like(source), np.zeros(source.size, np.int16)
    weight = np.empty(source.size, np.float32)
    source[:outside] = np.repeat(np.arange(first), net.neurons)
    target[:outside] = np.tile(np.arange(net.neurons), first)
    weight[:outside] = np.concatenate([*net.kick[: first - 1], net.bias])
    np.add(net.source, first, out=source[outside:])
    target[outside:] = net.target
    weight[outside:] = net.weight
    delay[outside:] = 1
    return Network.from_synapses(
        inputs=first - 1, neurons=net.neurons, bias=True, source=source, target=target,
        weight=weight, delay=delay, leak=1.0, threshold=net.threshold, reset="subtract",
    )  # fmt: skip


def roomy(net: SmallWorld, externals: int) -> Chip:
    """Return a chip of one tile a core on which no line runs short.

    All sources that reach a tile fit on one of its sides, and a link between routers carries
    at most one line of each source.
    """
    there = net.target // net.neurons_per_core
    new = np.ones(there.size, np.bool_)
    new[1:] = (there[1:] != there[:-1]) | (net.source[1:] != net.source[:-1])
    reaching = int(np.bincount(there[new]).max()) + externals
    lines = min(net.neurons, 1 << 14) + externals
    return Chip(
        net.rows, net.columns, neurons_per_tile=net.neurons_per_core, tile_lines=reaching,
        r0_lines=lines, r1_lines=lines,
    )  # fmt: skip


def run_plain(
    prepared: Prepared, steps: int, samples: int = 1, threads: int = 1
) -> Recording:
    """Spike counts alone, without a bill."""
    return simulate(prepared.program, prepared.drive(steps, samples), threads=threads)


def run_totals(
    prepared: Prepared, steps: int, samples: int = 1, threads: int = 1
) -> CostReport:
    """Totals of spikes, hops and energy."""
    recording = run_plain(prepared, steps, samples, threads)
    return price(prepared.program, recording, technology_preset("rram-130nm"))


def run_raster(
    prepared: Prepared, steps: int, samples: int = 1, threads: int = 1
) -> Recording:
    """Every spike of every neuron: ``raster`` of what it returns."""
    return simulate(
        prepared.program, prepared.drive(steps, samples), raster=True, threads=threads
    )


def run_per_tile(
    prepared: Prepared, steps: int, samples: int = 1, threads: int = 1
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Events and energy of each tile at each step, as SANA-FE's simple timing adds them up."""
    steps_ = _steps(prepared, steps, samples, threads)
    return steps_.hops, steps_.energy


def run_link_loads(
    prepared: Prepared, steps: int, samples: int = 1, threads: int = 1
) -> NDArray[np.int32]:
    """Load of each link at each step, which SANA-FE's detailed timing follows."""
    return _steps(prepared, steps, samples, threads).loads


def _steps(prepared: Prepared, steps: int, samples: int, threads: int) -> Steps:
    recording = run_raster(prepared, steps, samples, threads)
    return price_steps(prepared.program, recording, technology_preset("rram-130nm"))
