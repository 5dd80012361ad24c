"""Small chips and networks for Hypothesis, and what several test files build from them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mosaic_sim import (
    Chip,
    Device,
    Network,
    Placement,
    Program,
    Routing,
    compile_program,
    place,
    route,
)
from mosaic_sim.network import NEURON_PARAMETERS

# Quarters of a leak cost two bits a step: seven steps of sixteenths stay exact in float32,
# so that comparisons can be `==`.
STEPS = 7
LEAKS = (0.0, 0.25, 0.5, 0.75, 1.0)


# Multiples of what the profile asks for, so that a longer search is longer everywhere.
FEW = settings(max_examples=settings().max_examples * 2 // 5)
MANY = settings(max_examples=settings().max_examples * 2)


def sixteenths(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(int(16 * low), int(16 * high)).map(lambda k: k / 16)


@st.composite
def networks(draw, *, inputs=4, neurons=7, synapses=24):
    """Any well-formed network; levels of delay 0 do not follow the numbers of the neurons."""
    inputs = draw(st.integers(1, inputs))
    neurons = draw(st.integers(1, neurons))
    bias = draw(st.booleans())
    first = inputs + bias
    level = draw(st.permutations(range(neurons)))
    # Two numbers a synapse, where it lies and what it is: many small draws are slow.
    where = st.integers(0, (first + neurons) * neurons - 1)
    what = st.integers(0, 4 * 57 - 1)
    drawn = draw(
        st.lists(
            st.tuples(where, what),
            min_size=draw(st.sampled_from([0, neurons, min(2 * neurons, 10)])),
            max_size=synapses,
            unique_by=lambda synapse: synapse[0],
        )
    )
    drawn = [
        (*divmod(where, neurons), (what // 4 - 16) / 16, what % 4) for where, what in drawn
    ]

    def delay(source, target, steps):
        forward = source < first or level[source - first] < level[target]
        return steps if forward else max(steps, 1)

    def one_each(values):
        return draw(st.lists(values, min_size=neurons, max_size=neurons))

    prompt = one_each(st.booleans())
    gain = one_each(st.sampled_from([0, 0, 0, 2]))
    return Network.from_synapses(
        inputs=inputs,
        neurons=neurons,
        bias=bias,
        source=[s for s, _, _, _ in drawn],
        target=[t for _, t, _, _ in drawn],
        weight=[w for _, _, w, _ in drawn],
        delay=[delay(s, t, d) for s, t, _, d in drawn],
        leak=one_each(st.sampled_from(LEAKS)),
        threshold=one_each(sixteenths(1 / 16, 1.5)),
        reset=one_each(st.integers(0, 3)),
        current_leak=one_each(st.sampled_from([0, 0, 0.5])),
        gain=gain,
        prompt=[p and not g for p, g in zip(prompt, gain, strict=True)],
    )


def drives(network: Network, samples: int = 2) -> st.SearchStrategy[np.ndarray]:
    """Mostly ones: a silent network proves nothing."""
    shape = st.tuples(
        st.integers(1, samples), st.integers(1, STEPS), st.just(network.inputs)
    )
    return shape.flatmap(
        lambda s: arrays.arrays(bool, s, elements=st.booleans(), fill=st.just(True))
    )


def roomy(network: Network, rows: int = 2, columns: int = 2) -> Chip:
    """Return a chip on which nothing about `network` can be refused."""
    tiles = rows * columns
    lines = network.sources
    return Chip(rows, columns, -(-network.neurons // tiles) + 1, lines, lines, lines)


@st.composite
def scattered(draw, network, chip):
    """Any placement, tight or silly: what follows must not rely on a good placer."""
    slots = draw(st.permutations(range(chip.neurons)))[: network.neurons]
    tile, slot = np.divmod(np.array(slots, np.int32), chip.neurons_per_tile)
    ports = st.integers(0, len(chip.port_sites) - 1)
    port = draw(
        st.lists(ports, min_size=network.first_neuron, max_size=network.first_neuron)
    )
    return Placement(tile, slot, np.array(port, np.int32))


class Built(NamedTuple):
    """One network on its way to a chip."""

    network: Network
    chip: Chip
    placement: Placement
    routing: Routing
    program: Program


def build(
    network: Network,
    chip: Chip | None = None,
    placement: Placement | None = None,
    device: Device | None = None,
) -> Built:
    """Run the pipeline up to the program; by default with the weights as they are."""
    chip = chip or roomy(network)
    placement = placement or place(network, chip, placer="greedy")
    routing = route(network, chip, placement)
    program = compile_program(
        network, chip, placement, routing, device=device or Device(exact=True)
    )
    return Built(network, chip, placement, routing, program)


@st.composite
def builds(draw, *, device=None, **sizes):
    """A network of any shape, placed anywhere on a chip with room for it."""
    network = draw(networks(**sizes))
    chip = roomy(network, draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    chip = replace(chip, refractory_steps=draw(st.sampled_from([0, 0, 0, 1, 2])))
    return build(network, chip, draw(scattered(network, chip)), device)


def chain(*, weight: float = 2.0, neurons: int = 1, inputs: int = 1, **settings) -> Network:
    """Return input 0 -> neuron 0 -> neuron 1 -> ..., all within one step."""
    return Network.from_synapses(
        inputs=inputs,
        neurons=neurons,
        source=[0, *range(inputs, inputs + neurons - 1)],
        target=range(neurons),
        weight=[weight] * neurons,
        **settings,
    )


def placed(tile, slot, port) -> Placement:
    return Placement(*(np.array(x, np.int32) for x in (tile, slot, port)))


# --- oracles, straight from the definition of the grid ----------------------------------


def kind(row: int, column: int) -> str:
    return ("R0", "R1", "NT")[row % 2 + column % 2]


def around(row: int, column: int) -> list[tuple[int, int]]:
    """North, east, south, west."""
    return [(row - 1, column), (row, column + 1), (row + 1, column), (row, column - 1)]


def hops_by_search(rows: int, columns: int, site: tuple[int, int]) -> dict:
    """Breadth-first search: routing tiles crossed from `site` to every neuron tile.

    A spike goes from its site, a tile or a place just outside the array, into the routing
    tiles beside it, on from routing tile to routing tile, and ends in a neuron tile.
    """
    crossed = {}
    reached = {site: 0} if 0 <= site[0] < rows and 0 <= site[1] < columns else {}
    front = [(2 * site[0] + 1, 2 * site[1] + 1)]
    hops = 0
    while front:
        beyond = []
        for there in {cell for here in front for cell in around(*here)}:
            if not (0 <= there[0] <= 2 * rows and 0 <= there[1] <= 2 * columns):
                continue
            if kind(*there) == "NT":
                reached.setdefault(((there[0] - 1) // 2, (there[1] - 1) // 2), hops)
            elif there not in crossed:
                crossed[there] = hops + 1
                beyond.append(there)
        front, hops = beyond, hops + 1
    return reached


def prefix(network: Network, neurons: int, *, bias: bool | None = None) -> Network:
    """Return the network as it was when only its first neurons were born."""
    bias = network.bias if bias is None else bias and network.bias
    first = network.first_neuron
    kept = [
        k
        for k, (s, t) in enumerate(zip(network.source, network.target, strict=True))
        if s < first + neurons
        and t < neurons
        and (s != network.inputs or bias or s >= first)
    ]
    source = network.source[kept]
    return Network.from_synapses(
        inputs=network.inputs,
        neurons=neurons,
        bias=bias,
        source=np.where(source >= first, source - network.bias + bias, source),
        target=network.target[kept],
        weight=network.weight[kept],
        delay=network.delay[kept],
        **{name: getattr(network, name)[:neurons] for name in NEURON_PARAMETERS},
    )
