"""Compiled loops of the one-turn router: ways, the trees they make, and the ports they load."""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.options import KERNEL, PART


@njit(**PART)
def way(home, goal, columns, cell, side):
    """Write the links of the way from tile `home` to tile `goal`; return their number.

    Sides are 0 to 3: north, east, south, west. A way turns once between two corner routers,
    at most, and enters its tile from the east or west unless the two are neighbours.
    """
    width = 2 * columns + 1
    row, column = 2 * (home // columns) + 1, 2 * (home % columns) + 1
    goal_row, goal_column = 2 * (goal // columns) + 1, 2 * (goal % columns) + 1
    down, right = goal_row - row, goal_column - column
    out = np.int32(2 if down > 0 else 0)
    into = np.int32(1 if right >= 0 else 3)
    across, along = 0, 0  # links of the horizontal and of the vertical part
    gate = goal_column - 1 if right >= 0 else goal_column + 1
    turn = row + 1 if down > 0 else row - 1
    if abs(down) + abs(right) == 2:  # neighbours: straight through the router between
        out = into if down == 0 else out
        into = out
    elif right == 0:
        out = np.int32(3)
        along = down
    else:
        across = gate - column
        along = goal_row - turn
    links = 2 + abs(across) + abs(along)
    at = row * width + column
    for k in range(links):
        go = into
        if k == 0:
            go = out
        elif k <= abs(across):
            go = np.int32(1 if across > 0 else 3)
        elif k <= abs(across) + abs(along):
            go = np.int32(2 if along > 0 else 0)
        cell[k] = at
        side[k] = go
        if go == 0:
            at -= width
        elif go == 1:
            at += 1
        elif go == 2:
            at += width
        else:
            at -= 1
    return links


@njit(**KERNEL)
def one_turn_links(offsets, reached, home, columns, neighbour, kind, links, visited):
    """Count the ways of all neurons: each link once a neuron, however many ways share it.

    `kind` is 0 for R0, 1 for R1, 2 for NT. `links` counts neurons on the link that leaves each
    cell on each side, (cells, 4); `visited` the cells of each kind that the ways of a neuron
    enter, (neurons, 3).
    """
    cells = neighbour.shape[0]
    crossed = np.full((cells, 4), -1, np.int32)
    entered = np.full(cells, -1, np.int32)
    cell = np.empty(cells + 2, np.int32)
    side = np.empty(cells + 2, np.int32)
    for i in range(home.size):
        for k in range(offsets[i], offsets[i + 1]):
            if reached[k] == home[i]:
                continue
            for step in range(way(home[i], reached[k], columns, cell, side)):
                a, s = cell[step], side[step]
                if crossed[a, s] != i:
                    crossed[a, s] = i
                    links[a, s] += 1
                    there = neighbour[a, s]
                    if entered[there] != i:
                        entered[there] = i
                        visited[i, kind[there]] += 1


@njit(**KERNEL)
def one_turn_trees(
    begin, first, offsets, reached, tile, columns, lines, neighbour, tile_cell, exits, position,
    length, state, pool, filled, load,
):  # fmt: skip
    """Lay the one-turn ways of neurons as trees, from source `begin` on, where they fit.

    A way that meets its neuron's tree a second time, which two ways that leave a tile on
    different sides can, is laid from there on only: a tree enters each cell once. External
    sources, trees that need a full link, and those begun already are left to others: their
    `state` stays 1. The arrays are those of `lay_trees`. Stops when the pool might be too
    short. Returns (source where it stopped, filled part of the pool).
    """
    cells = neighbour.shape[0]
    sources = offsets.size - 1
    stamp = np.full(cells, -1, np.int64)
    cell = np.empty(cells + 2, np.int32)
    side = np.empty(cells + 2, np.int32)
    for i in range(max(begin, first), sources):
        if filled + cells > pool.size:
            return i, filled
        if state[i] == 0 or length[i] > 0:
            continue
        here = tile[i - first]
        stamp[tile_cell[here]] = i
        end = filled
        fits = True
        for k in range(offsets[i], offsets[i + 1]):
            if reached[k] == here:
                continue
            steps = way(here, reached[k], columns, cell, side)
            met = steps - 1
            while stamp[cell[met]] != i:
                met -= 1
            for step in range(met, steps):
                link = 4 * cell[step] + side[step]
                fits &= load[link] < lines[link]
                if step == 0:
                    fits &= exits[i] >> side[0] & 1 == 1
                stamp[neighbour[cell[step], side[step]]] = i
                pool[end] = link
                end += 1
        if not fits:
            continue
        for e in range(filled, end):
            load[pool[e]] += 1
        position[i] = filled
        length[i] = end - filled
        state[i] = 0
        filled = end
    return sources, filled
