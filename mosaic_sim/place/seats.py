"""Who sits where and which tiles each source reaches: the book-keeping of moving neurons.

The arrays of `Seats` are edited in place by the kernels of `mosaic_sim._kernels.growing`; they
never leave the functions that make them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import CapacityError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search
    from mosaic_sim.place.placement import Placement

Links: TypeAlias = (
    "tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]"
)
"""What `links` returns."""

SLICE = 10_000
"""Neurons times tiles in one call of a kernel, a tenth of a second: so long Ctrl-C waits."""

__all__ = [
    "Moves",
    "Seats",
    "Workspace",
    "links",
    "mean_pair_cost",
    "room",
    "seats_of",
    "slots_of",
    "workspace",
]


class Seats(NamedTuple):
    """A network on a chip, ready to be changed. P is the number of synapses.

    Sites are the tiles and, after them, the ports. Synapses of a neuron with itself are left
    out: they never leave its tile.
    """

    first: int
    columns: int
    # Synapses by source and by target.
    offsets: NDArray[np.int64]  # (sources + 1,)
    into: NDArray[np.int64]  # (neurons + 1,)
    source: NDArray[np.int32]  # (P,)
    # Tiles that source i reaches: reach[offsets[i] : offsets[i] + reached[i]], and how many of
    # its targets there.
    reach: NDArray[np.int32]  # (P,)
    many: NDArray[np.int32]  # (P,)
    reached: NDArray[np.int32]  # (sources,)
    home: NDArray[np.int32]  # (sources,): site, or -1
    rate: NDArray[np.float64]  # (sources,)
    row: NDArray[np.int32]  # (sites,)
    column: NDArray[np.int32]  # (sites,)
    hops: NDArray[np.float64]  # (rows + 1, 2 columns + 1): `Chip.hop_table`, mirrored
    free: NDArray[np.int32]  # (tiles,): slots
    lines: NDArray[np.int32]  # (tiles,): that arrive
    most: NDArray[np.int32]  # (tiles,): lines that may arrive
    crowd: NDArray[np.float64]  # (tiles,): price of one more line
    slack: NDArray[
        np.float64
    ]  # price of all lines of a tile that has k left, less a constant
    origin: NDArray[np.int32]  # (neurons,): tile where it is programmed, or -1
    price: NDArray[np.float64]  # (neurons,): of being elsewhere
    allowed: NDArray[np.bool_]  # (neurons or 1, tiles)
    resident: NDArray[np.int32]  # (tiles, slots + 1): one more while neurons change places
    residents: NDArray[np.int32]  # (tiles,)
    position: NDArray[np.int32]  # (neurons,): in `resident`


class Workspace(NamedTuple):
    """Room for the kernels to work in, and what they remember between two calls."""

    cost: NDArray[np.float64]  # (tiles,)
    need: NDArray[np.int32]  # (tiles,)
    pull: NDArray[np.float64]  # (sites,)
    site: NDArray[np.int32]  # (sites,)
    spot: NDArray[np.int32]  # (tiles,)
    gain: NDArray[np.float64]  # (neighbours,)
    more: NDArray[np.int32]  # (neighbours,)
    # Neighbouring tiles, and the neuron pushed there at the least cost; looked up when stale.
    near: NDArray[np.int32]  # (tiles, neighbours)
    near_count: NDArray[np.int32]  # (tiles,)
    edge: NDArray[np.float64]  # (neighbours,)
    pushed: NDArray[np.int32]  # (neighbours,)
    push: NDArray[np.float64]  # (neurons, neighbours)
    stale: NDArray[np.bool_]  # (neurons,)
    # The search for a chain of pushed neurons.
    distance: NDArray[np.float64]  # (tiles,): the least so far
    fewest: NDArray[np.int32]  # (tiles,): steps of that
    passed: NDArray[np.int32]  # (tiles,): fewest steps of those gone on from
    tile: NDArray[np.int32]  # (labels,)
    back: NDArray[np.int32]  # (labels,)
    carried: NDArray[np.int32]  # (labels,)
    steps: NDArray[np.int32]  # (labels,)
    keys: NDArray[np.float64]  # (labels,): a heap
    items: NDArray[np.int32]  # (labels,)


def seats_of(
    network: Network,
    chip: Chip,
    port: NDArray[np.int32],
    keep: Placement | None,
    *,
    rates: NDArray[np.float64],
    slots: NDArray[np.int32],
    allowed: NDArray[np.bool_] | None = None,
    price: float = np.inf,
    crowd: NDArray[np.float64] | None = None,
    scarce: float = 0.0,
    linked: Links | None = None,
) -> tuple[Seats, float]:
    """Return the seats of a network whose first neurons are placed, and their hops and tolls.

    `price` is that of moving a neuron of `keep`. One more line into a tile that has k left
    costs ``crowd[tile] + scarce / k``.
    """
    offsets, _, into, source = linked or links(network)
    tiles, lines = chip.tiles, int(chip.fan_in.max())
    row, column = np.divmod(np.arange(tiles), chip.columns)
    middle = chip.columns
    kept = 0 if keep is None else keep.tile.size
    home = np.full(network.sources, -1, np.int32)
    home[: network.first_neuron] = tiles + port
    origin = np.full(network.neurons, -1, np.int32)
    if keep is not None:
        origin[:kept] = keep.tile
    harmonic = np.zeros(lines + 1)
    np.cumsum(1.0 / np.arange(1, lines + 1), out=harmonic[1:])
    seats = Seats(
        first=network.first_neuron, columns=chip.columns,
        offsets=offsets, into=into, source=source,
        reach=np.zeros(source.size, np.int32), many=np.zeros(source.size, np.int32),
        reached=np.zeros(network.sources, np.int32),
        home=home, rate=np.ascontiguousarray(rates, np.float64),
        row=np.concatenate([row, chip.port_sites[:, 0]]).astype(np.int32),
        column=np.concatenate([column, chip.port_sites[:, 1]]).astype(np.int32),
        hops=np.ascontiguousarray(
            chip.hop_table[:, abs(np.arange(-middle, middle + 1))], np.float64
        ),
        free=slots.astype(np.int32), lines=np.zeros(tiles, np.int32),
        most=chip.fan_in.astype(np.int32),
        crowd=np.zeros(tiles) if crowd is None else np.ascontiguousarray(crowd, np.float64),
        slack=scarce * harmonic,
        origin=origin, price=np.full(network.neurons, price, np.float64),
        allowed=np.ones((1, tiles), np.bool_) if allowed is None
        else np.ascontiguousarray(allowed),
        resident=np.full((tiles, chip.neurons_per_tile + 1), -1, np.int32),
        residents=np.zeros(tiles, np.int32), position=np.zeros(network.neurons, np.int32),
    )  # fmt: skip
    added = _kernels.settle(seats, np.arange(kept, dtype=np.int32), origin[:kept])
    return seats, float(added)


def room(chip: Chip) -> NDArray[np.int32]:
    """Slots of each tile, (tiles,); a tile without any is never entered."""
    return chip.slots.astype(np.int32)


def links(network: Network) -> Links:
    """Synapses by source and by target: (offsets, targets, offsets, sources)."""
    offsets, target, into, source = _kernels.links(
        network.first_neuron, network.offsets, network.target, network.neurons
    )
    return offsets, target, into, source


def workspace(chip: Chip, neurons: int, slots: NDArray[np.int32]) -> Workspace:
    """Return room to work in; neurons are pushed to the four tiles next to theirs."""
    tiles = chip.tiles
    sites = tiles + len(chip.port_sites)
    row, column = np.divmod(np.arange(tiles), chip.columns)
    near = np.full((tiles, 4), -1, np.int32)
    near_count = np.zeros(tiles, np.int32)
    labels = 16 * tiles + 16
    for down, right in ((-1, 0), (0, 1), (1, 0), (0, -1)):
        r, c = row + down, column + right
        inside = (r >= 0) & (r < chip.rows) & (c >= 0) & (c < chip.columns)
        there = np.where(inside, r * chip.columns + c, 0)
        here = np.flatnonzero(inside & (slots[there] > 0))
        near[here, near_count[here]] = there[here]
        near_count[here] += 1
    return Workspace(
        cost=np.zeros(tiles), need=np.zeros(tiles, np.int32),
        pull=np.zeros(sites), site=np.zeros(sites, np.int32), spot=np.zeros(tiles, np.int32),
        gain=np.zeros(4), more=np.zeros(4, np.int32),
        near=near, near_count=near_count,
        edge=np.zeros(4), pushed=np.zeros(4, np.int32),
        push=np.zeros((neurons, 4)), stale=np.ones(neurons, np.bool_),
        distance=np.zeros(tiles), fewest=np.zeros(tiles, np.int32),
        passed=np.zeros(tiles, np.int32),
        tile=np.zeros(labels, np.int32), back=np.zeros(labels, np.int32),
        carried=np.zeros(labels, np.int32), steps=np.zeros(labels, np.int32),
        keys=np.zeros(labels), items=np.zeros(labels, np.int32),
    )  # fmt: skip


def slots_of(
    chip: Chip, tile: NDArray[np.int32], keep: Placement | None
) -> NDArray[np.int32]:
    """Give every neuron a slot: kept ones on the tile of `keep` theirs, others free ones."""
    taken = np.zeros((chip.tiles, chip.neurons_per_tile), bool)
    slot = np.full(tile.size, -1, np.int32)
    if keep is not None:
        stay = np.flatnonzero(tile[: keep.tile.size] == keep.tile)
        slot[stay] = keep.slot[stay]
        taken[tile[stay], slot[stay]] = True
    rest = np.flatnonzero(slot < 0)
    rest = rest[np.argsort(tile[rest], kind="stable")]
    where, free = np.nonzero(~taken)
    begin = np.searchsorted(where, tile[rest])
    rank = np.arange(rest.size) - np.searchsorted(tile[rest], tile[rest])
    slot[rest] = free[begin + rank]
    return slot


def mean_pair_cost(seats: Seats, cost: float) -> float:
    """Rate times hops from one source to one foreign tile that it reaches, on average."""
    pairs = int(seats.lines.sum())
    return cost / pairs if pairs else float(seats.rate.mean())


class Moves:
    """Seat neurons, in calls of the kernel short enough for Ctrl-C, and report."""

    def __init__(
        self, seats: Seats, work: Workspace, search: Search, cost: float, goal: int
    ) -> None:
        self.seats, self.work, self.search = seats, work, search
        self.cost, self.done, self.goal = cost, 0, max(goal, 1)
        self.chunk = max(SLICE // seats.free.size, 1)

    def seat(self, who: NDArray[np.int32], depth: int, width: int) -> bool:
        """Find the best places for `who`, see the kernel; return whether that saved anything.

        Raises
        ------
        CapacityError
            If a neuron fits nowhere.
        """
        begin, before = 0, self.cost
        while begin < who.size:
            part = who[begin : begin + self.chunk]
            if depth > 1 or width:
                done, added = _kernels.seat(self.seats, self.work, part, depth, width)
            else:
                done, added = _kernels.arrive(self.seats, self.work, part)
            if done < part.size:
                raise CapacityError(_refusal(self.seats, self.work, int(part[done])))
            begin += done
            self.cost += added
            self.done += done
            self.search.report(min(self.done / self.goal, 1.0), self.cost)
        return self.cost < before


def _refusal(seats: Seats, work: Workspace, neuron: int) -> str:
    """Say why a neuron has no place."""
    allowed = seats.allowed[neuron if len(seats.allowed) > 1 else 0]
    free = int(np.maximum(seats.free[allowed], 0).sum())
    source = seats.source[seats.into[neuron] : seats.into[neuron + 1]]
    placed = int(np.count_nonzero(seats.home[source] >= 0))
    lines = int(seats.most.max(initial=0))
    return (
        f"No tile is open to neuron {neuron}: the {int(allowed.sum())} tiles that it may use "
        f"have {free} free slots; it needs {placed} arriving sources, and a tile takes "
        f"{lines} (4 sides of {lines // 4} lines)."
    )
