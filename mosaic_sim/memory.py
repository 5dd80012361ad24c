"""How much memory a Mosaic chip needs, and what would hold the same network instead.

Mosaic's memory is RRAM devices, in neuron tiles and in routing tiles. The alternatives are one
crossbar, of the same devices, and tables: bits of SRAM, and of CAM. **A device, a bit of SRAM
and a bit of CAM are three different things**: they differ in area, a device of a neuron tile
holds a whole weight, and a CAM cell compares besides storing. Nothing here converts one into
another, since no published factor could be verified; totals of different units are never added.

Sources: sizes of tiles, the notebook ``Router_vs_proba`` of Weber, Ballet and Payvand,
arXiv:2412.01575; tag routing, Moradi, Qiao, Stefanini and Indiveri, IEEE Trans. Biomed.
Circuits Syst. 12 (2018), and class ``DYNAPSE`` of the gmap compiler.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.chip import Chip
from mosaic_sim.connectivity import draw_reach
from mosaic_sim.errors import MosaicError
from mosaic_sim.place import Placement
from mosaic_sim.route import Routing, one_turn_loads, ports_of_links

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from mosaic_sim.program import Program

__all__ = [
    "Memory",
    "MemoryComparison",
    "TagMemory",
    "chip_memory",
    "compare_memory",
    "crossbar_devices",
    "memory_of_ports",
    "program_memory",
    "recalled_devices",
    "routing_memory",
    "sram_bits",
    "tag_memory",
]


@dataclass(frozen=True)
class Memory:
    """RRAM devices of a chip on which all tiles of a kind are built alike.

    With k neurons a tile, L lines into a tile from all sides together, routing tiles of
    ``side x side`` devices and c devices for a synapse::

        NT    = c * k * (L + k)                        rows * columns of them
        R0    = r0_side**2                             (rows + 1) * (columns + 1)
        R1    = r1_side**2                             rows * (columns + 1) + columns * (rows + 1)

    The k rows beside the L lines are the feedback of the tile's own neurons.

    Parameters
    ----------
    rows, columns : int
        Neuron tiles.
    neurons_per_tile : int
    nt_lines : int
        L, over the four sides.
    r0_side, r1_side : int
        Lines in, and lines out, over the four sides of a routing tile.
    devices_per_synapse : int
        1 as published; 2 for differential pairs, which `Chip` has.

    Raises
    ------
    MosaicError
        If a size is not an integer of at least 1 (lines and sides: 0).

    Examples
    --------
    The published example, 5 x 5 tiles of 32 neurons that reach all their neighbours:

    >>> Memory(5, 5, 32, nt_lines=128, r0_side=0, r1_side=64).total
    373760
    """

    rows: int
    columns: int
    neurons_per_tile: int
    nt_lines: int
    r0_side: int
    r1_side: int
    devices_per_synapse: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0 if field.name in ("nt_lines", "r0_side", "r1_side") else 1
            _whole(f"Memory.{field.name}", getattr(self, field.name), least)

    @property
    def tiles(self) -> dict[str, int]:
        """Number of tiles of each kind: NT, R0, R1."""
        n, m = self.rows, self.columns
        return {"NT": n * m, "R0": (n + 1) * (m + 1), "R1": n * (m + 1) + m * (n + 1)}

    @property
    def each(self) -> dict[str, int]:
        """Devices of one tile of each kind."""
        k = self.neurons_per_tile
        return {
            "NT": self.devices_per_synapse * k * (self.nt_lines + k),
            "R0": self.r0_side**2,
            "R1": self.r1_side**2,
        }

    @property
    def devices(self) -> dict[str, int]:
        """Devices of all tiles of each kind."""
        each = self.each
        return {kind: count * each[kind] for kind, count in self.tiles.items()}

    @property
    def total(self) -> int:
        """Devices of the whole chip."""
        return sum(self.devices.values())


def memory_of_ports(chip: Chip, ports: ArrayLike) -> Memory:
    """Size all tiles of a kind for the worst one, by the published formula.

    With the largest count of each port over the tiles of a kind, N, E, S, W in and out::

        L       = in_N + in_E + in_S + in_W
        r0_side = 4 * (largest of all eight ports of R0)
        r1_side = larger of 2 * max(in_N, in_S) + 2 * max(in_E, in_W) and the same for out

    where an R1 between an eastern and a western tile is turned by 90 degrees first, so that
    tiles lie to the north and south of every R1. The maxima of the ports may come from
    different tiles. One device for a synapse.

    Parameters
    ----------
    chip : Chip
        Its grid and its neurons a tile; its lines are not looked at.
    ports : int array, (cells, 8)
        From `mosaic_sim.route.one_turn_loads`: in from north, east, south and west, then out.

    Raises
    ------
    MosaicError
        If `ports` has not one row for each cell and eight columns, or a negative count.

    Examples
    --------
    >>> from mosaic_sim.connectivity import draw_reach
    >>> chip = Chip(5, 5, 32, 32, 32, 32)
    >>> neighbours = draw_reach(chip, {1: 1.0}, seed=0)
    >>> memory_of_ports(chip, one_turn_loads(chip, neighbours).ports).total
    373760
    """
    counts = np.asarray(ports)
    if counts.shape != (chip.cells, 8) or (counts < 0).any():
        raise MosaicError(
            f"ports has shape {counts.shape}; it needs counts from 0, one row for each of the "
            f"{chip.cells} cells and one column for each port: ({chip.cells}, 8)."
        )
    grid = counts.reshape(*chip.shape, 2, 4)
    nt = grid[1::2, 1::2].max((0, 1))
    above, beside = grid[::2, 1::2].max((0, 1)), grid[1::2, ::2].max((0, 1))
    r1 = np.maximum(above, np.roll(beside, 1, axis=1))
    r1_side = 2 * (np.maximum(r1[:, 0], r1[:, 2]) + np.maximum(r1[:, 1], r1[:, 3])).max()
    return Memory(
        chip.rows,
        chip.columns,
        chip.neurons_per_tile,
        nt_lines=int(nt[0].sum()),
        r0_side=4 * int(grid[::2, ::2].max()),
        r1_side=int(r1_side),
    )


def routing_memory(chip: Chip, placement: Placement, routing: Routing) -> Memory:
    """Size all tiles of a kind for what `routing` uses of them: the least that holds it.

    The formula of `memory_of_ports`, which neither the routing nor the lines of `chip` had to
    follow. External sources count where they enter; the published networks have none. One
    device for a synapse.

    Examples
    --------
    >>> from mosaic_sim import Network, place, route
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[1.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> needed = routing_memory(chip, placement, route(net, chip, placement))
    >>> needed.nt_lines, needed.total < chip_memory(chip).total
    (1, True)
    """
    ports = ports_of_links(chip, routing.load(chip))
    for port in np.asarray(placement.port).tolist():
        cell, side = chip.port_cell(port)
        ports[cell, side] += 1
    return memory_of_ports(chip, ports)


def program_memory(program: Program) -> Memory:
    """Size the tiles for the routes that a program holds, as `routing_memory` does.

    Examples
    --------
    >>> from mosaic_sim import Network, compile_program, place, route
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[1.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> routing = route(net, chip, placement)
    >>> program = compile_program(net, chip, placement, routing)
    >>> program_memory(program) == routing_memory(chip, placement, routing)
    True
    """
    routes = Routing(
        program.link_offsets,
        program.link_cell,
        program.link_side,
        program.link_line,
        program.entry_line,
    )
    where = Placement(program.tile, program.slot, program.port)
    return routing_memory(program.geometry, where, routes)


def chip_memory(chip: Chip) -> Memory:
    """Devices of a chip as configured: full crossbars, and a differential pair for a synapse.

    The same devices as `Chip.devices`.

    Examples
    --------
    >>> from mosaic_sim import chip_preset
    >>> chip = chip_preset("routing-aware")
    >>> chip_memory(chip).devices == chip.devices
    True
    """
    return Memory(
        chip.rows,
        chip.columns,
        chip.neurons_per_tile,
        nt_lines=4 * chip.tile_lines,
        r0_side=4 * chip.r0_lines,
        r1_side=4 * chip.r1_lines,
        devices_per_synapse=2,
    )


def crossbar_devices(neurons: int, *, devices_per_synapse: int = 1) -> int:
    """RRAM devices of one crossbar that joins all neurons: ``c * N**2``.

    Assumes that one array of any size can be built and read.

    Raises
    ------
    MosaicError
        If an argument is not an integer of at least 1.

    Examples
    --------
    >>> crossbar_devices(800)
    640000
    """
    _whole("neurons", neurons)
    _whole("devices_per_synapse", devices_per_synapse)
    return devices_per_synapse * neurons**2


def sram_bits(neurons: int, fan_out: float, *, synapse_bits: int) -> int:
    """Bits of SRAM that hold, for each neuron, a list of destinations with their weights.

    ``N * F`` entries of an address and a weight, rounded up: ``ceil(N * F) * (ceil(log2 N) +
    synapse_bits)``. Assumes that every synapse is an entry of its own and addresses any
    neuron, that no entry is spare, and that the lengths of the lists cost nothing.

    Parameters
    ----------
    neurons : int
        N.
    fan_out : float
        F, synapses of a neuron, in the mean; 0 to N.
    synapse_bits : int
        Bits of a weight; 0 counts routing alone.

    Raises
    ------
    MosaicError
        If an argument is out of its range.

    Examples
    --------
    >>> sram_bits(1024, 64, synapse_bits=4)  # 65,536 entries of 10 + 4 bits
    917504
    """
    _whole("neurons", neurons)
    _whole("synapse_bits", synapse_bits, 0)
    _number("fan_out", fan_out, 0, neurons)
    return math.ceil(neurons * fan_out) * (_bits(neurons) + synapse_bits)


@dataclass(frozen=True)
class TagMemory:
    """Memory of two-stage tag routing, in bits of two kinds.

    Parameters
    ----------
    sram : int [bits]
        At the senders: for each neuron the clusters and tags to send to.
    cam : int [bits]
        At the receivers: for each neuron the tags that it listens to, with their weights. A
        bit of CAM compares, and is larger than a bit of SRAM.
    targets_per_cluster : int
        M, targets that a neuron reaches by one tag.
    """

    sram: int
    cam: int
    targets_per_cluster: int

    @property
    def bits(self) -> int:
        """Bits of both kinds, which are of different sizes."""
        return self.sram + self.cam


def tag_memory(
    neurons: int,
    fan_out: float,
    *,
    cluster: int,
    tags_per_neuron: float,
    synapse_bits: int,
) -> TagMemory:
    """CAM and SRAM of two-stage tag routing, as on DYNAPs, at the published optimum.

    A neuron sends its spike to F/M clusters of C neurons with one tag each; there M neurons
    listen to that tag. A cluster has ``alpha * C`` tags. Bits for each of N neurons::

        SRAM = ceil(F / M) * ceil(log2(alpha * N))            N/C clusters, alpha C tags each
        CAM  = ceil(alpha * M) * (ceil(log2(alpha * C)) + synapse_bits)

    Without rounding and without bits for weights, the sum is least at ``M**2 = F log2(alpha N)
    / (alpha log2(alpha C))``. This M, rounded down, is that of the published code; here it is
    moved into the limits of that code where it lies outside: ``M <= C``, for a cluster has no
    more targets, ``F / M <= N / C``, for there are no more clusters, and ``M <= F``. The code
    has the optimum only; the two terms are those that it is the optimum of.

    Assumes that tags can be shared among senders so that alpha C tags a cluster are enough,
    which depends on the network and is not checked: a lower bound.

    Parameters
    ----------
    neurons : int
        N, a multiple of `cluster`.
    fan_out : float
        F, synapses of a neuron, in the mean; 1 to N.
    cluster : int
        C, neurons that share tags.
    tags_per_neuron : float
        alpha; ``alpha * cluster`` over 1, unless a cluster is a single neuron.
    synapse_bits : int
        Bits of a weight, kept with each tag listened to; 0 counts routing alone.

    Raises
    ------
    MosaicError
        If an argument is out of its range.

    Examples
    --------
    The optimum would be 8 targets a cluster, but there are 4 clusters for 64 targets:

    >>> tags = tag_memory(1024, 64, cluster=256, tags_per_neuron=1, synapse_bits=2)
    >>> tags.targets_per_cluster, tags.sram // 1024, tags.cam // 1024  # 4 * 10, 16 * (8 + 2)
    (16, 40, 160)
    """
    _whole("neurons", neurons)
    _whole("cluster", cluster)
    _whole("synapse_bits", synapse_bits, 0)
    _number("fan_out", fan_out, 1, neurons)
    if neurons % cluster:
        raise MosaicError(
            f"neurons is {neurons}; it needs a multiple of cluster, {cluster}."
        )
    alpha = tags_per_neuron
    _number("tags_per_neuron", alpha, 0, math.inf)
    if alpha * cluster <= 1 and not (cluster == 1 and alpha == 1):
        raise MosaicError(
            f"tags_per_neuron is {alpha!r}; it needs over {1 / cluster:g}, so that a cluster of "
            f"{cluster} has more than one tag."
        )
    optimum = 1
    if cluster > 1:
        wide, narrow = math.log2(alpha * neurons), math.log2(alpha * cluster)
        optimum = math.floor(math.sqrt(fan_out * wide / (alpha * narrow)))
    least = math.ceil(fan_out * cluster / neurons)
    targets = max(min(optimum, cluster, math.floor(fan_out)), least, 1)
    word = _bits(alpha * cluster) + synapse_bits
    return TagMemory(
        sram=neurons * math.ceil(fan_out / targets) * _bits(alpha * neurons),
        cam=neurons * math.ceil(alpha * targets) * word,
        targets_per_cluster=targets,
    )


def recalled_devices(neurons: int, neurons_per_tile: int) -> float:
    """Devices by the formula of the first Mosaic paper as recalled: unverified.

    The paper (Nature Communications 15, 2024) could not be read when this was written. With
    ``T = ceil(N / k)`` tiles of ``5 k**2`` devices and ``R = 3 T - 4 sqrt(T) + 1`` routing
    tiles of ``(4 k)**2``, tiles on the outside: ``5 k**2 T + 16 k**2 R``. R is whole for
    square T only. It gives a saving of 5.2 at N = 1024 and k = 4, where the paper claims
    "almost one order of magnitude"; quote neither from here.

    Raises
    ------
    MosaicError
        If an argument is not an integer of at least 1.

    Examples
    --------
    >>> recalled_devices(1024, 4)
    200960.0
    """
    _whole("neurons", neurons)
    _whole("neurons_per_tile", neurons_per_tile)
    tiles = -(-neurons // neurons_per_tile)
    routers = 3 * tiles - 4 * math.sqrt(tiles) + 1
    return neurons_per_tile**2 * (5 * tiles + 16 * routers)


@dataclass(frozen=True)
class MemoryComparison:
    """What holds one network: Mosaic, one crossbar, or tables.

    Parameters
    ----------
    neurons, neurons_per_tile : int
    fan_out : float
        Synapses of a neuron, in the mean.
    mosaic : Memory [RRAM devices]
    crossbar : int [RRAM devices]
    tags : TagMemory [bits of CAM and of SRAM]
    sram : int [bits of SRAM]
    """

    neurons: int
    neurons_per_tile: int
    fan_out: float
    mosaic: Memory
    crossbar: int
    tags: TagMemory
    sram: int


def compare_memory(
    neurons: int,
    neurons_per_tile: int,
    shares: Mapping[int, float],
    *,
    synapse_bits: int,
    tags_per_neuron: float,
    seed: int = 0,
) -> MemoryComparison:
    """Draw a small-world network and count what holds it, on Mosaic and otherwise.

    Mosaic: the rectangle of tiles nearest to a square, tiles sized by `memory_of_ports` for the
    one-turn ways of connections from `draw_reach`; a neuron has synapses with its own tile,
    all of it, and with all neurons of every tile that it reaches. Its mean fan-out is that of
    the tables. Clusters of tags are tiles. One device for a synapse, on Mosaic and on the
    crossbar.

    Parameters
    ----------
    neurons : int
        N, a multiple of `neurons_per_tile`.
    neurons_per_tile : int
        k
    shares : mapping of int to float
        Shares of connected pairs by distance in hops, as in `draw_reach`.
    synapse_bits, tags_per_neuron
        As in `tag_memory` and `sram_bits`: assumptions about the alternatives.
    seed : int

    Raises
    ------
    MosaicError
        If an argument is out of its range.

    Examples
    --------
    >>> them = compare_memory(1024, 4, {1: 1.0}, synapse_bits=4, tags_per_neuron=1)
    >>> them.mosaic.total, them.crossbar  # 16 x 16 tiles, and neighbours only
    (55296, 1048576)
    """
    _whole("neurons", neurons)
    _whole("neurons_per_tile", neurons_per_tile)
    tiles, rest = divmod(neurons, neurons_per_tile)
    if rest:
        raise MosaicError(
            f"neurons is {neurons}; it needs a multiple of neurons_per_tile, "
            f"{neurons_per_tile}."
        )
    rows = max(side for side in range(1, math.isqrt(tiles) + 1) if tiles % side == 0)
    k = neurons_per_tile
    chip = Chip(rows, tiles // rows, k, tile_lines=k, r0_lines=k, r1_lines=k)
    reach = draw_reach(chip, shares, seed)
    fan_out = k * (1 + int(reach.sum()) / neurons)
    return MemoryComparison(
        neurons,
        k,
        fan_out,
        memory_of_ports(chip, one_turn_loads(chip, reach).ports),
        crossbar_devices(neurons),
        tag_memory(
            neurons,
            fan_out,
            cluster=k,
            tags_per_neuron=tags_per_neuron,
            synapse_bits=synapse_bits,
        ),
        sram_bits(neurons, fan_out, synapse_bits=synapse_bits),
    )


def _bits(values: float) -> int:
    """Bits of a word that tells so many values apart."""
    return max(math.ceil(math.log2(values)), 0)


def _whole(name: str, value: object, least: int = 1) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise MosaicError(f"{name} is {value!r}; it needs an integer of at least {least}.")


def _number(name: str, value: object, least: float, most: float) -> None:
    if (
        not isinstance(value, int | float | np.number)
        or isinstance(value, bool)
        or not least <= value <= most
        or value == math.inf
    ):
        limits = f"from {least}" if most == math.inf else f"from {least} to {most}"
        raise MosaicError(f"{name} is {value!r}; it needs a number {limits}.")
