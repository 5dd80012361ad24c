"""The published one-turn router, in plain Python: what the compiled one is timed against.

The code that was published with arXiv:2412.01575 is not at hand; this follows its rules as
they are described (`mosaic_sim.route.one_turn`), with one table of ports for each neuron, in
which every way marks the ports that it uses, and a sum over the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim import Chip

__all__ = ["ports"]

NORTH, EAST, SOUTH, WEST = range(4)
STEP = ((-1, 0), (0, 1), (1, 0), (0, -1))


def ports(chip: Chip, reach: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count neurons on the (in, out) ports of every cell, (rows, columns, 8)."""
    total = np.zeros((*chip.shape, 8), np.int64)
    for neuron in range(reach.shape[0]):
        home = divmod(neuron // chip.neurons_per_tile, chip.columns)
        used = np.zeros((*chip.shape, 8), np.int64)
        for tile in np.flatnonzero(reach[neuron]).tolist():
            goal = divmod(tile, chip.columns)
            if goal != home:
                _walk(used, home, goal)
        total += used
    for row in range(1, chip.shape[0], 2):
        for column in range(1, chip.shape[1], 2):
            total[row, column, 4:] = 0
            for side, (down, right) in enumerate(STEP):
                total[row + down, column + right, (side + 2) % 4] = chip.neurons_per_tile
    return total


def _walk(used: NDArray[np.int64], home: tuple[int, int], goal: tuple[int, int]) -> None:
    """Mark the ports of the way from tile `home` to tile `goal`."""
    row, column = 2 * home[0] + 1, 2 * home[1] + 1
    down, right = 2 * (goal[0] - home[0]), 2 * (goal[1] - home[1])
    if abs(down) + abs(right) == 2:
        side = SOUTH if down > 0 else NORTH if down < 0 else EAST if right > 0 else WEST
        way = [side, side]
    elif right == 0:
        way = [WEST, *[SOUTH if down > 0 else NORTH] * abs(down), EAST]
    else:
        out = SOUTH if down > 0 else NORTH
        across = EAST if right > 0 else WEST
        turn = down - 1 if down > 0 else down + 1
        along = [SOUTH if turn > 0 else NORTH] * abs(turn)
        way = [out, *[across] * (abs(right) - 1), *along, across]
    for k, side in enumerate(way):
        if k:
            used[row, column, 4 + side] = 1
        row, column = row + STEP[side][0], column + STEP[side][1]
        used[row, column, (side + 2) % 4] = 1
