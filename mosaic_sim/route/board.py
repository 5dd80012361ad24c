"""The board on which a router works: what has to be joined, the trees so far, and their loads.

A board lives as long as one call of a router. It turns a network, a placement and kept routes
into the arrays that the kernels take, and the finished trees into a `Routing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import MosaicError
from mosaic_sim.place import tiles_reached
from mosaic_sim.route.routing import Routing, entry_lines, shut_sides

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
from mosaic_sim.place import Placement

__all__ = ["Board", "free_lines"]

Trees = tuple["NDArray[np.int64]", "NDArray[np.int32]"]
"""(offsets, links) of trees one behind the other."""

ROOM = 1 << 24
"""Links that there is room for at first, at most."""
SLICE = 1_000_000
"""Cells that one call of the kernel looks at: about a tenth of a second."""


class Board:
    """Trees that are being laid, for one network, chip and placement.

    Attributes
    ----------
    load : int32 array, (4 * cells,)
        Sources on the link that leaves each cell on each side.
    lines : int32 array, (4 * cells,)
        Lines of each link.
    state : int8 array, (sources,)
        1 for sources whose trees miss goals.
    """

    def __init__(
        self,
        network: Network,
        chip: Chip,
        placement: Placement,
        keep: Routing | None = None,
        *,
        rip: bool = False,
    ) -> None:
        self.network, self.chip, self.placement, self.keep = network, chip, placement, keep
        self.rip = rip and keep is not None
        self.former = former(network, keep)
        sources = network.sources
        self.every = np.arange(sources)
        self.start = np.concatenate(
            [chip.port_cells[placement.port], chip.tile_cells[placement.tile]]
        )
        self.reached = tiles_reached(network, placement, chip)
        goals = chip.tile_cells[self.reached[1]]
        foreign = goals != np.repeat(self.start, np.diff(self.reached[0]))
        self.goals = goals[foreign]
        self.offsets = np.concatenate([[0], np.cumsum(foreign)])[self.reached[0]]
        self.exits = np.full(sources, 15, np.uint8)
        self.exits[network.first_neuron :] &= ~shut_sides(chip, placement)
        self.lines = chip.capacity.ravel()
        self.load = np.zeros(4 * chip.cells, np.int32)
        self.position = np.zeros(sources, np.int64)
        self.length = np.zeros(sources, np.int32)
        self.state = np.empty(sources, np.int8)
        old = _links(keep)
        room = old[1].size + chip.cells + min(12 * self.goals.size, ROOM)
        self.pool = np.empty(room, np.int32)
        self._check_starts(rip)
        self.filled = _kernels.take_up(
            self.former, rip, self.start, self.offsets, self.goals, *old[:2],
            chip.neighbours.ravel(), self.position, self.length, self.state, self.pool,
            self.load,
        )  # fmt: skip
        self.fixed = np.zeros(sources, np.int32) if rip else self.length.copy()

    def _check_starts(self, rip: bool) -> None:
        """Refuse trees that have to stay but start where their source is no longer."""
        if self.keep is None or rip:
            return
        offsets = self.keep.offsets
        known = np.flatnonzero(self.former >= 0)
        known = known[np.diff(offsets)[self.former[known]] > 0]
        was = self.keep.cell[offsets[self.former[known]]]
        moved = known[was != self.start[known]]
        if moved.size:
            raise MosaicError(
                f"keep: the tree of source {moved[0]} starts in another place, as those of "
                f"{moved.size} sources do; with rip=True the trees of sources that have "
                "moved are laid anew."
            )

    def lay(
        self,
        order: NDArray[np.int64],
        history: NDArray[np.float32] | None = None,
        press: float = 0.0,
        *,
        tries: int = 2,
        passes: int = 2,
        patch: bool = False,
        shorter: bool = False,
    ) -> int:
        """Lay the trees of `order` once, see `_kernels.lay_trees`; return the goals missed."""
        if history is None:
            history = np.zeros(self.load.size, np.float32)
        at, missed = 0, 0
        while at < order.size:
            at, self.filled, more = _kernels.lay_trees(
                order, at, SLICE, self.start, self.exits, self.offsets, self.goals, self.fixed,
                self.position, self.length, self.state, self.pool, self.filled, self.load,
                history, np.float32(press), tries, passes, patch, shorter, self.lines,
                self.chip.neighbours.ravel(), self.chip.is_router, self.chip.shape[1],
            )  # fmt: skip
            missed += more
            if self.filled + self.chip.cells > self.pool.size:
                self.sweep(order.size - at)
        return missed

    def draw(self, kernel: Callable[..., tuple[int, int]]) -> None:
        """Let `kernel` lay trees by rules, without a search, as long as they fit."""
        at, sources = 0, self.every.size
        while at < sources:
            at, self.filled = kernel(
                at, self.network.first_neuron, *self.reached, self.placement.tile,
                self.chip.columns, self.lines, self.chip.neighbours, self.chip.tile_cells,
                self.exits, self.position, self.length, self.state, self.pool, self.filled,
                self.load,
            )  # fmt: skip
            if at < sources:
                self.sweep(sources - at)

    def sweep(self, left: int) -> None:
        """Close the gaps in the pool, and make room for the trees that are still to come."""
        live = int(self.length.sum())
        done = max(int(np.count_nonzero(self.length)), 1)
        room = live + live // 4 + self.chip.cells * 4
        room += min(left, self.length.size - done) * (live // done) * 5 // 4
        pool = np.empty(room, np.int32)
        ends = np.cumsum(self.length, dtype=np.int64)
        position = ends - self.length
        _kernels.gather(self.position, self.length, self.pool, position, pool)
        self.pool, self.position, self.filled = pool, position, live

    def over(self) -> NDArray[np.int32]:
        """Sources too many on each link, (4 * cells,)."""
        over: NDArray[np.int32] = np.maximum(self.load - self.lines, 0)
        return over

    def missing(self) -> tuple[int, int]:
        """Return a source whose tree misses a goal, and the cell of that goal."""
        source = int(np.argmax(self.state))
        begin = self.position[source]
        links = self.pool[begin : begin + self.length[source]]
        goals = self.goals[self.offsets[source] : self.offsets[source + 1]]
        there = self.chip.neighbours.ravel()[links]
        return source, int(goals[~np.isin(goals, there)][0])

    def trees(self) -> Trees:
        """Return the trees as they are."""
        offsets = np.concatenate([[0], np.cumsum(self.length, dtype=np.int64)])
        links = np.empty(offsets[-1], np.int32)
        _kernels.gather(self.position, self.length, self.pool, offsets, links)
        return offsets, links

    def routing(self, trees: Trees | None = None) -> Routing:
        """Give every link of the trees a line of its own; one that was kept has it still."""
        offsets, links = trees if trees is not None else self.trees()
        base, taken = free_lines(self.chip)
        line = np.full(links.size, -1, np.int16)
        _kernels.number_lines(
            self.network.first_neuron, offsets, links, *_links(self.keep), self.former, base,
            taken, self.placement.slot, self.chip.is_router, line,
        )  # fmt: skip
        cell, side = links >> 2, (links & 3).astype(np.int8)
        return Routing(offsets, cell, side, line, entry_lines(self.chip, self.placement))


def _links(
    keep: Routing | None,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int16]]:
    """(offsets, links, lines) of kept trees; a link is 4 x cell + side."""
    if keep is None:
        return np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.int16)
    return keep.offsets, 4 * keep.cell + keep.side, keep.line


def former(network: Network, keep: Routing | None) -> NDArray[np.int64]:
    """Number that each source had when `keep` was made, -1 for a new one."""
    source = np.arange(network.sources)
    if keep is None:
        return np.full(network.sources, -1)
    outside, kept = keep.entry_line.size, keep.offsets.size - 1
    was = np.where(
        source < network.first_neuron, source, source - network.first_neuron + outside
    )
    gone = np.where(source < network.first_neuron, was >= outside, was >= kept)
    return np.where(gone, -1, was)


def free_lines(chip: Chip) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return which lines of which links may be used: the one place that knows.

    Returns
    -------
    base : int64 array, (4 * cells + 1,)
        Number of the first line of each link, counted over all links.
    taken : uint8 array
        A bit for each line, set if it must not be used.
    """
    base = np.zeros(4 * chip.cells + 1, np.int64)
    np.cumsum(chip.wired.ravel(), out=base[1:])
    taken = np.zeros(base[-1] // 8 + 1, np.uint8)
    if chip.broken_lines:
        cell, side, line = np.array(chip.broken_lines).T
        inside = chip.neighbours[cell, side] >= 0  # others are lines of ports
        bit = base[4 * cell + side][inside] + line[inside]
        np.bitwise_or.at(taken, bit >> 3, (1 << (bit & 7)).astype(np.uint8))
    return base, taken
