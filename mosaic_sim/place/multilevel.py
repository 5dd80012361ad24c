"""The thorough placer: partition into tiles, arrange the tiles, then move single neurons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import CapacityError
from mosaic_sim.place.arrange import Layout, arrange, cluster_links, diffused
from mosaic_sim.place.assemble import along, seated, start_ports
from mosaic_sim.place.curve import hilbert_tiles
from mosaic_sim.place.greedy import greedy
from mosaic_sim.place.layers import chunks_by_layer, levels
from mosaic_sim.place.objective import source_hops
from mosaic_sim.place.pack import pack
from mosaic_sim.place.partition import (
    even_out,
    foreign_rate,
    metis,
    neuron_links,
    neurons_only,
)
from mosaic_sim.place.placement import Placement, tiles_reached
from mosaic_sim.place.ports import choose_ports
from mosaic_sim.place.refine import Seating
from mosaic_sim.place.spectral import spectral_order
from mosaic_sim.place.task import make_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search
    from mosaic_sim.place.partition import Links
    from mosaic_sim.place.task import Task

__all__ = ["multilevel"]

HOT, COLD = 5.0, 5.0
"""Temperature at the beginning, in mean rates, and by how much it falls."""
MOST_FOR_BOTH = 5_000
"""Neurons up to which k-way partitions are tried as well as bisection."""
SLACK = 10.0
"""A neuron that loses more by moving, in mean rates, is not offered an exchange."""


def multilevel(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
) -> Placement:
    """Partition, arrange, refine; the best layout that was met is returned.

    Neurons are cut into tiles' worths that few sources leave (METIS), the clusters laid out by
    slow modes of diffusion, smoothed and annealed, and at last single neurons moved and
    swapped on the true cost. With kept neurons or a mask for single neurons only the last
    stage has anything to do.

    Raises
    ------
    CapacityError
        If a neuron finds no slot, or more sources arrive at a tile than it has lines and no
        move helps.
    """
    return place_partitions(
        network, chip, keep=keep, rates=rates, allowed=allowed, search=search,
        partitions=_by_metis,
    )  # fmt: skip


def place_partitions(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
    partitions: Callable[[Task], Iterable[NDArray[np.int64]]],
) -> Placement:
    """`multilevel`, with the clusters that `partitions` proposes."""
    task = make_task(network, chip, keep, rates, allowed, search)
    best = Best(task)
    curve = hilbert_tiles(chip.rows, chip.columns)
    best.offer(along(task, np.arange(network.neurons), curve), start_ports(task), "curve")
    try:
        _search(task, best, partitions)
    except KeyboardInterrupt:
        if best.excess:
            raise
    if best.excess:
        # One neuron at a time, with an eye on lines only: seldom better, but now and then.
        try:
            return greedy(
                network, chip, keep=keep, rates=rates, allowed=allowed, search=search
            )
        except CapacityError:
            refuse(task, best)
    return seated(task, best.tile, best.port)


@dataclass(eq=False)
class Best:
    """The best layout so far: fewest lines too many, then least cost."""

    task: Task
    excess: int = 1 << 62
    cost: float = np.inf
    tile: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    port: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    starts: dict[str, tuple[int, float, NDArray[np.int32], NDArray[np.int32]]] = field(
        default_factory=dict
    )

    def offer(self, tile: NDArray[np.int32], port: NDArray[np.int32], kind: str) -> None:
        """Keep this layout if it is the best, or the best of its kind."""
        task = self.task
        layout = Placement(tile.astype(np.int32), np.zeros_like(tile), port)
        cost = float((task.rates * source_hops(task.network, task.chip, layout)).sum())
        excess = int(np.maximum(arriving(task, layout) - task.lines, 0).sum())
        if (excess, cost) < (self.excess, self.cost):
            self.excess, self.cost = excess, cost
            self.tile, self.port = layout.tile, port
        if kind not in self.starts or (excess, cost) < self.starts[kind][:2]:
            self.starts[kind] = excess, cost, layout.tile, port


def arriving(task: Task, layout: Placement) -> NDArray[np.int64]:
    """Sources that arrive at each tile from outside, (tiles,)."""
    offsets, reached = tiles_reached(task.network, layout, task.chip)
    outside = np.full(task.network.first_neuron, -1)
    home = np.repeat(np.concatenate([outside, layout.tile]), np.diff(offsets))
    return np.bincount(reached[home != reached], minlength=task.chip.tiles)


def refuse(task: Task, best: Best) -> None:
    """Say where lines are missing in the best layout that was found."""
    lines = arriving(task, Placement(best.tile, best.tile, best.port))
    over = np.flatnonzero(lines > task.lines)
    worst = int(over[np.argmax(lines[over])])
    raise CapacityError(
        f"No layout was found in which the sources that arrive at each tile fit its "
        f"lines (4 sides of {task.chip.tile_lines}): in the best one {over.size} of "
        f"{task.chip.tiles} tiles need more, by {best.excess} lines in all; tile {worst} needs "
        f"{lines[worst]} and has {task.lines[worst]}. Use more lines a side, more tiles, or a "
        "smaller fan-in."
    )


def _search(
    task: Task, best: Best, partitions: Callable[[Task], Iterable[NDArray[np.int64]]]
) -> None:
    """Offer better and better layouts."""
    network, effort = task.network, task.search.effort
    if network.neurons == task.kept:
        best.offer(best.tile, choose_ports(task, best.tile), "curve")
        return
    if task.free:
        _starts(task, best, partitions)
    report = task.search.report
    report(0.4, best.cost)
    # A sweep costs as much as there are synapses; small networks can afford more.
    small = 250_000 / max(network.synapses, 1)
    sweeps = round(100 * effort * min(max(small, 1.0), 4.0))
    if best.excess:
        sweeps = max(sweeps, 20)
    if not sweeps:
        return
    many = 1 + int(small > 1) + 4 * int(small > 50)
    trials = sorted(best.starts.items(), key=lambda item: item[1][:2])[:many]
    trials += trials[:1] * (many - len(trials))
    for k, (kind, (_, _, tile, port)) in enumerate(trials):
        _refine(task, best, tile, port, sweeps, k, many)
        if network.first_neuron:
            best.offer(best.tile, choose_ports(task, best.tile), kind)


def _refine(
    task: Task,
    best: Best,
    tile: NDArray[np.int32],
    port: NDArray[np.int32],
    sweeps: int,
    trial: int,
    trials: int,
) -> None:
    """Move and swap single neurons at falling temperature; offer what comes of it."""
    cool = max(sweeps // 5, 1)
    hot = HOT * task.unit
    heats = [*np.geomspace(hot, hot / COLD, sweeps - cool), *([0.0] * cool)]
    seating = Seating.of(task, tile, port)
    try:
        for k, some in enumerate(np.array_split(np.array(heats), min(10, len(heats)))):
            seating.anneal(some.tolist(), 1000 * (trial + 1) + k, 2, SLACK * task.unit)
            task.search.report(0.4 + 0.6 * (trial + (k + 1) / 10) / trials, best.cost)
    finally:  # Ctrl-C too
        best.offer(seating.tile, port, "refined")


def _starts(
    task: Task, best: Best, partitions: Callable[[Task], Iterable[NDArray[np.int64]]]
) -> None:
    """Offer layouts to start from."""
    network = task.network
    packed = _packed(task)
    if packed is not None:
        best.offer(packed, choose_ports(task, packed), "packed")
    for k, part in enumerate(_proposals(task, partitions)):
        _place_clusters(task, best, part, f"clusters {k}")
    if task.search.effort == 0:
        return
    curve = hilbert_tiles(task.chip.rows, task.chip.columns)
    if network.neurons <= MOST_FOR_BOTH:
        tile = along(task, spectral_order(network, task.rates), curve)
        best.offer(tile, choose_ports(task, tile), "spectral")
    links = neurons_only(neuron_links(network, task.rates), network.neurons)
    for tile in diffused(task, links, best.tile):
        best.offer(tile, best.port, "diffused")


def _packed(task: Task) -> NDArray[np.int32] | None:
    """Pieces that nothing joins, along the curve."""
    network, chip = task.network, task.chip
    tiles = hilbert_tiles(chip.rows, chip.columns)
    tiles = tiles[task.room[tiles] > 0]
    size = int(task.room[tiles].min())
    if network.neurons <= size:
        return None
    links = neurons_only(neuron_links(network, task.rates), network.neurons)
    tile = pack(links, network.neurons, size, tiles, task.search.seed)
    return None if tile is None else tile.astype(np.int32)


def part_counts(task: Task) -> list[int]:
    """Numbers of parts worth trying: all open tiles, and hardly more than are needed."""
    n = task.network.neurons
    open_ = task.room[task.room > 0]
    every = min(open_.size, n)
    few = min(-(-103 * n // (100 * int(open_.min()))), every)
    return [every] if task.search.spread or few > 0.8 * every else [every, few]


def _by_metis(task: Task) -> Iterator[NDArray[np.int64]]:
    """Share the neurons out by METIS: the better of two ways."""
    network = task.network
    links = neuron_links(network, task.rates)
    both = (True, False) if network.neurons <= MOST_FOR_BOTH else (True,)
    for parts in part_counts(task):
        found = [
            metis(links, network.neurons, parts, recursive=way, seed=task.search.seed)
            for way in both
        ]
        cost = [foreign_rate(network, task.rates, part, parts) for part in found]
        yield found[int(np.argmin(cost))]


def _proposals(
    task: Task, partitions: Callable[[Task], Iterable[NDArray[np.int64]]]
) -> Iterator[NDArray[np.int64]]:
    """Yield clusters with no more neurons than tiles have room for."""
    network = task.network
    room = np.sort(task.room[task.room > 0])[::-1]
    links = neurons_only(neuron_links(network, task.rates), network.neurons)
    for part in partitions(task):
        needed = -(-part.size // int(room[-1]))  # parts may have come out empty
        even_out(links, part, room[: max(int(part.max()) + 1, needed)])
        yield part
    if levels(network).max(initial=0) > 0:
        layered = chunks_by_layer(network, room)
        if layered is not None:
            yield layered


def _place_clusters(task: Task, best: Best, part: NDArray[np.int64], kind: str) -> None:
    """Arrange clusters on tiles, with ports where there are inputs, and offer the result."""
    parts = int(part.max()) + 1
    sites = np.flatnonzero(task.room)
    links: Links = cluster_links(task, part, parts, None)
    layout: Layout = arrange(task, links, sites, parts)
    tile = layout.tile[part].astype(np.int32)
    port = choose_ports(task, tile)
    if port.size:
        links = cluster_links(task, part, parts, port)
        layout = Layout(task, links, sites, layout.site_of)
        layout.anneal(20 * task.unit, task.unit, 200 * parts, 3, 7)
        best.offer(tile, port, kind)
        tile = layout.tile[part].astype(np.int32)
        port = choose_ports(task, tile)
    best.offer(tile, port, kind)
