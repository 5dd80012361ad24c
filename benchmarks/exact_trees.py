"""Shortest multicast trees on a chip, exactly: what a router's trees are measured by.

Source: Dreyfus and Wagner, The Steiner problem in graphs, Networks 1 (1971). Time and memory
grow as 3 and 2 to the power of the number of goals, so this is for few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim import Chip

__all__ = ["shortest_tree"]

FAR = 1 << 20


def shortest_tree(chip: Chip, start: int, goals: list[int]) -> int:
    """Return the fewest links of a tree from cell `start` to all cells `goals`."""
    height, width = chip.shape
    open_cells = chip.is_router.copy()
    open_cells[start] = True
    passable = open_cells.reshape(height, width)

    def grow(cost: NDArray[np.int64]) -> NDArray[np.int64]:
        """Let trees that hang from a cell hang from its neighbours, for one link each."""
        while True:
            more = np.full((height + 2, width + 2), FAR)
            more[1:-1, 1:-1] = cost
            least = np.minimum.reduce(
                [more[:-2, 1:-1], more[2:, 1:-1], more[1:-1, :-2], more[1:-1, 2:]]
            )
            new = np.where(passable, np.minimum(cost, least + 1), FAR)
            if np.array_equal(new, cost):
                return new
            cost = new

    best: dict[int, NDArray[np.int64]] = {}
    for k, goal in enumerate(goals):
        cost = np.full((height, width), FAR)
        for there in chip.neighbours[goal]:
            if there >= 0 and open_cells[there]:
                cost[divmod(int(there), width)] = 1
        best[1 << k] = grow(cost)
    for group in range(1, 1 << len(goals)):
        if group in best:
            continue
        cost = np.full((height, width), FAR)
        part = (group - 1) & group
        while part > group ^ part:
            cost = np.minimum(cost, best[part] + best[group ^ part])
            part = (part - 1) & group
        best[group] = grow(cost)
    return int(best[(1 << len(goals)) - 1][divmod(start, width)])
