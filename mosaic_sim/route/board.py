"""The board on which a router works: what has to be joined, the trees so far, and their loads.

A board lives as long as one call of a router. It turns a network, a placement and kept routes
into the arrays that the kernels take, and the finished trees into a `Routing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.place import tiles_reached
from mosaic_sim.route.routing import Routing, entry_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = ["Board", "free_lines"]

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
        sources = network.sources
        self.start = np.concatenate(
            [chip.port_cells[placement.port], chip.tile_cells[placement.tile]]
        ).astype(np.int32)
        offsets, tile = tiles_reached(network, placement, chip)
        goals = chip.tile_cells[tile]
        foreign = goals != np.repeat(self.start, np.diff(offsets))
        self.goals = goals[foreign]
        self.offsets = np.concatenate([[0], np.cumsum(foreign)])[offsets].astype(np.int64)
        self.exits = np.full(sources, 15, np.uint8)
        self.lines = chip.capacity.ravel()
        self.load = np.zeros(4 * chip.cells, np.int32)
        self.position = np.zeros(sources, np.int64)
        self.length = np.zeros(sources, np.int32)
        self.fixed = np.zeros(sources, np.int32)
        self.state = np.ones(sources, np.int8)
        self.filled = 0
        self.pool = np.empty(chip.cells + min(12 * self.goals.size, 1 << 24), np.int32)
        self.former = former(network, keep)

    def lay(
        self,
        order: NDArray[np.int64],
        history: NDArray[np.float32],
        press: float,
        passes: int = 2,
        *,
        shorter: bool = False,
        pulse: Callable[[float], None] | None = None,
    ) -> int:
        """Lay the trees of `order` once, see `_kernels.lay_trees`; return the goals missed."""
        at, missed = 0, 0
        while at < order.size:
            at, self.filled, more = _kernels.lay_trees(
                order, at, SLICE, self.start, self.exits, self.offsets, self.goals, self.fixed,
                self.position, self.length, self.state, self.pool, self.filled, self.load,
                history, np.float32(press), passes, shorter, self.lines,
                self.chip.neighbours.ravel(), self.chip.is_router, self.chip.shape[1],
            )  # fmt: skip
            missed += more
            if self.filled + self.chip.cells > self.pool.size:
                self._sweep(order.size - at)
            if pulse is not None:
                pulse(at / order.size)
        return missed

    def _sweep(self, left: int) -> None:
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
        return np.maximum(self.load - self.lines, 0)

    def routing(self) -> Routing:
        """Return the trees as they are, every link on a line of its own."""
        offsets = np.concatenate([[0], np.cumsum(self.length, dtype=np.int64)])
        links = np.empty(offsets[-1], np.int32)
        _kernels.gather(self.position, self.length, self.pool, offsets[:-1], links)
        base, taken = free_lines(self.chip)
        line = np.full(links.size, -1, np.int16)
        keep = self.keep
        old = (np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.int16))
        if keep is not None:
            old = keep.offsets, links_of(keep), keep.line
        _kernels.number_lines(
            self.network.first_neuron, offsets, links, *old, self.former, base, taken,
            self.placement.slot, self.chip.is_router, line,
        )  # fmt: skip
        return Routing(
            offsets, links >> 2, (links & 3).astype(np.int8), line,
            entry_lines(self.placement),
        )  # fmt: skip


def links_of(routing: Routing) -> NDArray[np.int32]:
    """Links as single numbers, 4 x cell + side."""
    return routing.cell * np.int32(4) + routing.side


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
    np.cumsum(chip.capacity.ravel(), out=base[1:])
    return base, np.zeros(base[-1] // 8 + 1, np.uint8)
