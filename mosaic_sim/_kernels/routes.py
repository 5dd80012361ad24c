"""Compiled loops over routes: combs laid, trees checked and counted."""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.options import KERNEL, PART


@njit(**PART)
def comb(
    home, targets, columns, variant, neighbour, tile_cell, mark, stamp, links,
):  # fmt: skip
    """Write the links of a comb: a trunk beside the home tile, teeth along corridors.

    Bit 0 of `variant`: the trunk runs down instead of across. Bit 1: two columns of tiles
    share a tooth between them; else each target has the shortest way. Returns the number of
    links. Coordinate a is across the trunk, b along it.
    """
    down = variant & 1
    a_less, a_more, b_less, b_more = 0, 2, 3, 1
    oa, ob = home // columns, home % columns
    if down:
        a_less, a_more, b_less, b_more = 3, 1, 0, 2
        oa, ob = ob, oa
    above = False
    for there in targets:
        above |= (there % columns if down else there // columns) < oa
    edges = 0
    stamp[tile_cell[home]] = mark
    for there in targets:
        ta, tb = there // columns, there % columns
        if down:
            ta, tb = tb, ta
        da, db = ta - oa, tb - ob
        out = a_more if da > 0 or (da == 0 and not above) else a_less
        # The way: `up` links out of the tile and along a tooth, `along` the trunk, then in.
        along = 2 * db
        teeth = 0
        into = out
        if da == 0:
            into = a_more if out == a_less else a_less
            if abs(db) == 1:
                into = b_more if db > 0 else b_less
                out = into
                along = 0
        elif abs(da) > 1:
            tooth = 2 * tb if db > 0 else 2 * tb + 2
            if variant & 2:
                tooth = 2 * tb + 2 * (tb % 2)
            along = tooth - (2 * ob + 1)
            teeth = 2 * abs(da) - 1
            into = b_more if tooth == 2 * tb else b_less
        cell = tile_cell[home]
        for step in range(2 + abs(along) + teeth):
            side = into
            if step == 0:
                side = out
            elif step <= abs(along):
                side = b_more if along > 0 else b_less
            elif step <= abs(along) + teeth:
                side = out
            beyond = neighbour[cell, side]
            if stamp[beyond] != mark:  # else the tree has that cell already
                stamp[beyond] = mark
                links[edges] = 4 * cell + side
                edges += 1
            cell = beyond
    return edges


@njit(**KERNEL)
def comb_trees(
    begin, first, offsets, reached, tile, columns, lines, neighbour, tile_cell, exits, position,
    length, state, pool, filled, load,
):  # fmt: skip
    """Lay a comb for every neuron from source `begin` on, the cheapest of four that fits.

    External sources, which do not start beside a tile, trees that fit in no variant, and those
    begun already are left to others: their `state` stays 1. The arrays are those of
    `lay_trees`. Stops when the pool might be too short. Returns (source where it stopped,
    filled part of the pool).
    """
    cells = neighbour.shape[0]
    sources = offsets.size - 1
    stamp = np.zeros(cells, np.int64)
    links = np.empty(2 * cells, np.int32)
    targets = np.empty(tile_cell.size, np.int32)
    teeth = np.zeros((2, tile_cell.size + 2), np.int64)
    mark = 0
    for i in range(max(begin, first), sources):
        if filled + cells > pool.size:
            return i, filled
        if state[i] == 0 or length[i] > 0:
            continue
        here = tile[i - first]
        wanted = 0
        for k in range(offsets[i], offsets[i + 1]):
            if reached[k] != here:
                targets[wanted] = reached[k]
                wanted += 1
        # First find the cheapest variant, then try all, from that one on. With many targets
        # shared teeth are as good as always cheaper, and the fewer teeth the better.
        least, best = 1 << 60, 0
        if wanted > 24:
            mark += 1
            across = 0
            for k in range(wanted):
                row, column = targets[k] // columns, targets[k] % columns
                if teeth[0, (column + 1) >> 1] != mark:
                    teeth[0, (column + 1) >> 1] = mark
                    across += 1
                if teeth[1, (row + 1) >> 1] != mark:
                    teeth[1, (row + 1) >> 1] = mark
                    across -= 1
            best = 2 if across <= 0 else 3
        for attempt in range(4 if wanted > 24 else 0, 8):
            mark += 1
            variant = attempt if attempt < 4 else (best + attempt) & 3
            edges = comb(
                here, targets[:wanted], columns, variant, neighbour, tile_cell, mark, stamp,
                links,
            )  # fmt: skip
            if attempt < 4:
                if edges < least:
                    least, best = edges, variant
                continue
            fits = True
            for e in range(edges):
                fits &= load[links[e]] < lines[links[e]]
                if links[e] >> 2 == tile_cell[here]:
                    fits &= exits[i] >> (links[e] & 3) & 1 == 1
            if fits:
                position[i] = filled
                length[i] = edges
                state[i] = 0
                for e in range(edges):
                    load[links[e]] += 1
                    pool[filled + e] = links[e]
                filled += edges
                break
    return sources, filled


@njit(**KERNEL)
def routing_fault(
    first, offsets, cell, side, start_cell, reached_offsets, reached, tile, tile_cell,
    neighbour, is_router, line, slot,
):  # fmt: skip
    """Return (fault, source): 1 if its links are no tree, 2 if it misses its targets; or 0.

    3, if there is nothing else: it does not leave its tile on the line of its slot.
    """
    miswired = np.int64(-1)
    in_tree = np.zeros(is_router.size, np.int64)  # source + 1
    wanted = np.zeros(is_router.size, np.int64)
    for i in range(offsets.size - 1):
        mark = i + 1
        missing = 0
        here = tile[i - first] if i >= first else -1
        for k in range(reached_offsets[i], reached_offsets[i + 1]):
            if reached[k] != here:
                wanted[tile_cell[reached[k]]] = mark
                missing += 1
        in_tree[start_cell[i]] = mark
        for k in range(offsets[i], offsets[i + 1]):
            there = neighbour[cell[k], side[k]]
            if in_tree[cell[k]] != mark or there < 0 or in_tree[there] == mark:
                return 1, i
            if not is_router[cell[k]] and cell[k] != start_cell[i]:
                return 1, i
            if not is_router[cell[k]] and line[k] != slot[i - first]:
                miswired = i
            in_tree[there] = mark
            if not is_router[there]:
                if wanted[there] != mark:
                    return 2, i
                missing -= 1
        if missing:
            return 2, i
    return (0, 0) if miswired < 0 else (3, miswired)


@njit(**KERNEL)
def shared_line(cell, side, line, capacity):
    """Return (fault, link): 1 if two links are on one line, 2 if there is no such line; or 0."""
    cells = capacity.shape[0]
    base = np.zeros((cells, 4), np.int64)
    total = np.int64(0)
    for c in range(cells):
        for s in range(4):
            base[c, s] = total
            total += capacity[c, s]
    taken = np.zeros(total // 8 + 1, np.uint8)
    for k in range(cell.size):
        if line[k] < 0 or line[k] >= capacity[cell[k], side[k]]:
            return 2, k
        at = base[cell[k], side[k]] + line[k]
        bit = np.uint8(1) << np.uint8(at & 7)
        if taken[at >> 3] & bit:
            return 1, k
        taken[at >> 3] |= bit
    return 0, 0


@njit(**KERNEL)
def longest_path(
    first, offsets, target, delay, order, tile, link_offsets, link_cell, is_router
):
    """(reads, hops) along the longest chain of synapses without delay, and one after it.

    A spike with a delay has arrived by the end of the step in which it was fired, too, but
    causes nothing more in it. The hops of one synapse are bounded by the routing tiles that
    its source's tree crosses.
    """
    cells = is_router.size
    stamp = np.zeros(cells, np.int64)  # source + 1
    neurons = order.size
    arrive = np.zeros((neurons, 2), np.int64)
    longest = np.zeros(2, np.int64)
    for n in range(first + neurons):
        i = n if n < first else first + order[n - first]
        reads, hops = np.int64(0), np.int64(0)
        home = np.int32(-1)
        if i >= first:
            reads, hops = arrive[i - first, 0], arrive[i - first, 1]
            home = tile[i - first]
        tree = -1  # counted once it is needed
        for k in range(offsets[i], offsets[i + 1]):
            j = target[k]
            if tree < 0 and tile[j] != home:
                tree = 0
                for link in range(link_offsets[i], link_offsets[i + 1]):
                    at = link_cell[link]
                    if is_router[at] and stamp[at] != i + 1:
                        stamp[at] = i + 1
                        tree += 1
            far = tree if tile[j] != home else 0
            longest[0] = max(longest[0], reads + 1)
            longest[1] = max(longest[1], hops + far)
            if delay[k] == 0:
                arrive[j, 0] = max(arrive[j, 0], reads + 1)
                arrive[j, 1] = max(arrive[j, 1], hops + far)
    return longest
