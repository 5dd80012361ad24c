"""Compiled loops of routers that search: one tree at a time, over links that have a price."""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.options import KERNEL, PART

EMPTY = 5e-3
"""What a full link costs more than an empty one, where it can decide among equals only."""
LEAN = 1e-4
"""Price of a link for each link of distance from the goal that a way should pass close by."""


@njit(**PART)
def push(heap_key, heap_cell, size, key, cell):
    """Add to a binary heap; return its size."""
    if size == heap_key.size:
        return size  # cannot be: a cell is looked at again only by an error of rounding
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if heap_key[above] <= key:
            break
        heap_key[at] = heap_key[above]
        heap_cell[at] = heap_cell[above]
        at = above
    heap_key[at] = key
    heap_cell[at] = cell
    return size + 1


@njit(**PART)
def drop(heap_key, heap_cell, size):
    """Take the least away from a binary heap; return its size."""
    size -= 1
    key = heap_key[size]
    cell = heap_cell[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and heap_key[below + 1] < heap_key[below]:
            below += 1
        if heap_key[below] >= key:
            break
        heap_key[at] = heap_key[below]
        heap_cell[at] = heap_cell[below]
        at = below
    heap_key[at] = key
    heap_cell[at] = cell
    return size


@njit(**PART)
def least(down, right):
    """Links from a routing tile to a cell, at least: a tile straight ahead is in the way."""
    down, right = abs(down), abs(right)
    if (down == 0 and right > 1) or (right == 0 and down > 1):
        return down + right + 2
    return down + right


@njit(**PART)
def price_of(load, lines, history, press):
    """Price of one more source on a link; a full link has none if `press` is negative.

    Then, as nothing is taken back, emptier links are a little cheaper.
    """
    over = load + 1 - lines
    if lines == 0 or (over > 0 and press < 0):
        return np.float32(np.inf)
    if press < 0:
        return 1 + history + EMPTY * load / lines
    if over <= 0:
        return 1 + history
    return (1 + history) * (1 + press * over)


@njit(**PART)
def cheapest_way(
    goal, lean, bound, row, column, origin, exits, tree, size, price, beyond, is_router, mark,
    stamp, cost, via, heap_key, heap_cell,
):  # fmt: skip
    """Find the cheapest way from the cells `tree[:size]` to `goal`, if below `bound`.

    The search of Hart, Nilsson and Raphael (1968): what is left costs 1 a link at least. Of
    ways that are equally cheap it takes one close to the cell `lean` (-1: any). It is left in
    `via`, backwards: the side by which each cell is entered, -1 in the tree.
    Returns (cost or infinity, cells looked at).
    """
    heap = np.int64(0)
    # A hair more than what is left at least: of two that seem alike, go on with the nearer.
    hair = 1.000001
    to_row, to_column = row[goal], column[goal]
    for k in range(size):
        cell = tree[k]
        stamp[cell] = mark
        cost[cell] = 0
        via[cell] = -1
        if is_router[cell] or cell == origin:
            key = hair * least(row[cell] - to_row, column[cell] - to_column)
            if key < bound:
                heap = push(heap_key, heap_cell, heap, key, cell)
    pops = 0
    while heap > 0:
        cell = heap_cell[0]
        key = heap_key[0]
        if cell == goal:
            return cost[goal], pops
        heap = drop(heap_key, heap_cell, heap)
        pops += 1
        here = cost[cell]
        if key > here + hair * least(row[cell] - to_row, column[cell] - to_column) + 1e-9:
            continue  # it was reached more cheaply since
        for side in range(4):
            there = beyond[4 * cell + side]
            if there < 0 or not (is_router[there] or there == goal):
                continue
            if cell == origin and not exits >> side & 1:
                continue
            new = here + price[4 * cell + side]
            if lean >= 0:
                new += LEAN * least(row[there] - row[lean], column[there] - column[lean])
            if stamp[there] == mark and cost[there] <= new:
                continue
            key = new + hair * least(row[there] - to_row, column[there] - to_column)
            if key >= bound:
                continue
            stamp[there] = mark
            cost[there] = new
            via[there] = side
            heap = push(heap_key, heap_cell, heap, key, there)
    return np.inf, pops


@njit(**PART)
def way_back(goal, links, edges, beyond, via):
    """Append the way that `cheapest_way` found to the links of a tree; return their number."""
    steps = 0
    cell = goal
    while via[cell] >= 0:
        cell = beyond[4 * cell + (via[cell] + 2) % 4]
        steps += 1
    cell = goal
    for back in range(steps):
        side = via[cell]
        cell = beyond[4 * cell + (side + 2) % 4]
        links[edges + steps - 1 - back] = 4 * cell + side
    return edges + steps


@njit(**PART)
def improve(
    links, edges, fixed, start, row, column, exits, passes, free, price, beyond, is_router, marks,
    stamp, cost, via, heap_key, heap_cell, tree, entry, children, role, spare,
):  # fmt: skip
    """Exchange key paths of the tree `links[:edges]` for cheaper ones, until none is left.

    A key path has no branch and no goal inside. Without it the tree falls in two; what hangs
    below its end is joined to the rest as cheaply as possible (Voss 1992). The first `fixed`
    links stay, and so do key paths on which no link costs more than in `free`. Returns (links,
    cells looked at).
    """
    looked = 0
    for _ in range(passes):
        gained = False
        fresh = False
        k = edges - 1
        while k >= fixed:
            if not fresh:
                fresh = True
                children[start] = 0
                entry[start] = -1
                for e in range(edges):
                    children[beyond[links[e]]] = 0
                    children[links[e] >> 2] += 1
                    entry[beyond[links[e]]] = e
            end = beyond[links[k]]
            if children[end] == 1:  # inside a key path
                k -= 1
                continue
            top = k
            paid = np.float64(price[links[k]])
            wanted = price[links[k]] > free[links[k]]
            while True:
                above = entry[links[top] >> 2]
                if above < fixed or children[links[top] >> 2] != 1:
                    break
                top = above
                paid += price[links[top]]
                wanted |= price[links[top]] > free[links[top]]
            if not wanted:
                k -= 1
                continue
            # 0: above the path, 1: inside it, 2: its end and below. Parents come first.
            marks[0] += 1
            role[start] = 0
            tree[0] = start
            size = np.int64(1)
            inside = end
            for e in range(edges):
                role[beyond[links[e]]] = 0
            while entry[inside] != top:
                inside = links[entry[inside]] >> 2
                role[inside] = 1
            role[end] = 2
            for e in range(edges):
                there = beyond[links[e]]
                if role[links[e] >> 2] == 2:
                    role[there] = 2
                if role[there] == 0:
                    tree[size] = there
                    size += 1
                elif role[there] == 2 and there != end:
                    stamp[there] = marks[0]  # not to be crossed
                    cost[there] = -1
            found, pops = cheapest_way(
                np.int64(end), np.int64(-1), paid - 1e-3, row, column, start, exits, tree, size,
                price, beyond, is_router, marks[0], stamp, cost, via, heap_key, heap_cell,
            )  # fmt: skip
            looked += pops + size // 4
            if found < paid - 1e-3:
                total = np.int64(0)
                for e in range(edges):
                    spare[e] = links[e]
                    if role[beyond[links[e]]] == 0:
                        links[total] = links[e]
                        total += 1
                total = way_back(np.int64(end), links, total, beyond, via)
                for e in range(edges):
                    if role[spare[e] >> 2] == 2:
                        links[total] = spare[e]
                        total += 1
                edges = total
                gained, fresh = True, False
                k = min(k, edges - 1)
            else:
                k -= 1
        if not gained:
            break
    return edges, looked


@njit(**KERNEL)
def lay_trees(
    order, begin, budget, start, exits, offsets, goals, fixed, position, length, state, pool,
    filled, load, history, press, tries, passes, patch, shorter, lines, beyond, is_router, width,
):  # fmt: skip
    """Lay or relay the trees of the sources `order[begin:]`, one after another.

    Source i starts in cell `start[i]` and has to reach the cells `goals[offsets[i]:]`. Its
    tree lies in `pool[position[i]:][:length[i]]`: links, 4 x cell + side each, from the start
    outwards; the first `fixed[i]` of them stay for good. `state[i]` is 1 if goals are missing:
    the tree is extended; 0: it is laid anew if one of its links has more sources than
    `lines`. A link costs 1 and its `history`, more where it is overfull (see `price_of`;
    `press` negative: full links are shut, and sources whose goals cannot be reached so keep
    state 1). `exits` are the sides, as bits, on which a source may leave its tile.

    With `patch` a tree is not laid anew, only key paths with overfull links are exchanged.
    With `shorter` all trees are laid anew, and each stays as it was if that does not help.

    The cheapest of `tries` trees is taken; `passes` bounds the rounds of improvement of each.
    Stops when `budget` cells were
    looked at, or the pool might be too short. Returns (place in `order`, filled part of the
    pool, goals missed).
    """
    cells = is_router.size
    row = np.empty(cells, np.int32)
    column = np.empty(cells, np.int32)
    for c in range(cells):
        row[c] = c // width
        column[c] = c % width
    free = np.empty(4 * cells, np.float32)
    none = np.zeros(4 * cells, np.float32)
    price = np.empty(4 * cells, np.float32)
    for e in range(4 * cells):
        free[e] = 1 + history[e]
        price[e] = price_of(load[e], lines[e], history[e], press)
    marks = np.zeros(1, np.int64)
    stamp = np.zeros(cells, np.int64)
    cost = np.empty(cells, np.float64)
    via = np.empty(cells, np.int8)
    heap_key = np.empty(8 * cells, np.float64)
    heap_cell = np.empty(8 * cells, np.int32)
    tree = np.empty(cells, np.int32)
    entry = np.empty(cells, np.int32)
    children = np.zeros(cells, np.int32)
    role = np.empty(cells, np.int8)
    spare = np.empty(cells, np.int32)
    links = np.empty(2 * cells, np.int32)
    near = np.empty(goals.size if goals.size < cells else cells, np.int32)
    found = np.zeros(cells, np.int64)  # the last attempt whose tree has the cell
    best = np.empty(cells, np.int32)
    best_edges = 0
    trial = 0
    missed = 0
    looked = 0
    one = np.int64(1)
    for at in range(begin, order.size):
        i = order[at]
        if looked > budget or filled + cells > pool.size:
            return at, filled, missed
        old, had = position[i], np.int64(length[i])
        edges = had
        if state[i] == 0:
            if not shorter:
                over = False
                for e in range(old + fixed[i], old + had):
                    over |= load[pool[e]] > lines[pool[e]]
                if not over:
                    continue
            edges = np.int64(fixed[i])
        before = 0.0
        for e in range(edges, had):
            link = pool[old + e]
            load[link] -= 1
            price[link] = price_of(load[link], lines[link], history[link], press)
            before += price[link]
        for e in range(edges):
            links[e] = pool[old + e]
        kept = edges
        first, last = offsets[i], offsets[i + 1]
        after = np.inf
        missing = 0
        if patch and state[i] == 0:
            for e in range(had):
                links[e] = pool[old + e]
            best_edges, pops = improve(
                links, had, kept, start[i], row, column, exits[i], one, none if shorter else free,
                price, beyond, is_router, marks, stamp, cost, via, heap_key, heap_cell, tree,
                entry, children, role, spare,
            )  # fmt: skip
            looked += pops
            after = 0.0
            for e in range(kept, best_edges):
                best[e] = links[e]
                after += price[links[e]]
        else:
            for attempt in range(tries):
                edges = kept
                trial += 1
                tree[0] = start[i]
                size = one
                found[start[i]] = trial
                for e in range(edges):
                    tree[size] = beyond[links[e]]
                    found[tree[size]] = trial
                    size += 1
                missing = 0
                for j in range(first, last):
                    near[j - first] = -1
                    if found[goals[j]] != trial:
                        missing += 1
                        near[j - first] = 1 << 30
                several = missing > 1
                new = 0  # cells of the tree from which nearness was measured
                while missing > 0:
                    pick = -1
                    for j in range(last - first):
                        if near[j] < 0:
                            continue
                        for k in range(new, size):
                            if is_router[tree[k]] or k == 0:
                                near[j] = min(
                                    near[j],
                                    least(
                                        row[tree[k]] - row[goals[first + j]],
                                        column[tree[k]] - column[goals[first + j]],
                                    ),
                                )
                        # Of the nearest the first, and at the next attempt the last.
                        if pick < 0 or near[j] < near[pick] + attempt % 2:
                            pick = j
                    new = size
                    goal = np.int64(goals[first + pick])
                    lean = np.int64(-1)
                    if missing > 1 and passes > 0:
                        closest = 1 << 30
                        for j in range(last - first):
                            if near[j] >= 0 and j != pick:
                                apart = near[j] + least(
                                    row[goals[first + j]] - row[goal],
                                    column[goals[first + j]] - column[goal],
                                )
                                if apart < closest:
                                    closest = apart
                                    lean = np.int64(goals[first + j])
                    marks[0] += 1
                    paid, pops = cheapest_way(
                        goal, lean, np.inf, row, column, start[i], exits[i], tree, size, price,
                        beyond, is_router, marks[0], stamp, cost, via, heap_key, heap_cell,
                    )  # fmt: skip
                    looked += pops + size // 4
                    if paid == np.inf:
                        break
                    more = way_back(goal, links, edges, beyond, via)
                    for e in range(edges, more):
                        tree[size] = beyond[links[e]]
                        found[tree[size]] = trial
                        size += 1
                    edges = more
                    near[pick] = -1
                    missing -= 1
                if missing == 0 and several and passes > 0:
                    edges, pops = improve(
                        links, edges, kept, start[i], row, column, exits[i], passes, none, price,
                        beyond, is_router, marks, stamp, cost, via, heap_key, heap_cell, tree,
                        entry, children, role, spare,
                    )  # fmt: skip
                    looked += pops
                paid = 0.0
                for e in range(kept, edges):
                    paid += price[links[e]]
                if attempt == 0 or (missing == 0 and paid < after - 1e-3):
                    after = paid
                    best_edges = edges
                    for e in range(kept, edges):
                        best[e] = links[e]
                if missing > 0 or not several:
                    break
        edges = best_edges
        for e in range(kept, edges):
            links[e] = best[e]
        if shorter and (missing > 0 or after > before - 1e-3):
            edges = had
            for e in range(had):
                links[e] = pool[old + e]
            missing = 0
        elif edges > had:
            position[i] = filled
            filled += edges
        for e in range(kept, edges):
            link = links[e]
            load[link] += 1
            price[link] = price_of(load[link], lines[link], history[link], press)
        for e in range(edges):
            pool[position[i] + e] = links[e]
        length[i] = edges
        state[i] = 1 if missing > 0 else 0
        missed += missing
    return order.size, filled, missed


@njit(**KERNEL)
def take_up(
    of_old, prune, start, offsets, goals, old_offsets, old_links, beyond, position, length,
    state, pool, load,
):  # fmt: skip
    """Take up trees of an older routing, and mark in `state` the sources that miss goals.

    With `prune` branches that lead to no goal are left out, and trees that start elsewhere
    altogether. Returns the filled part of the pool.
    """
    stamp = np.full(beyond.size // 4, -1, np.int64)
    filled = 0
    for i in range(start.size):
        missing = offsets[i + 1] - offsets[i]
        for j in range(offsets[i], offsets[i + 1]):
            stamp[goals[j]] = i
        old = of_old[i]
        position[i] = filled
        if old >= 0 and old_offsets[old] < old_offsets[old + 1]:
            first, last = old_offsets[old], old_offsets[old + 1]
            for e in range(first, last):
                missing -= stamp[beyond[old_links[e]]] == i
            if prune and old_links[first] >> 2 != start[i]:
                first, missing = last, offsets[i + 1] - offsets[i]
            # From the ends on: a link stays if it leads to something that is needed.
            kept = 0
            for e in range(last - 1, first - 1, -1):
                if not prune or stamp[beyond[old_links[e]]] == i:
                    stamp[old_links[e] >> 2] = i
                    kept += 1
                    pool[filled + last - first - kept] = old_links[e]
            for e in range(kept):
                pool[filled + e] = pool[filled + last - first - kept + e]
                load[pool[filled + e]] += 1
            length[i] = kept
            filled += kept
        state[i] = 1 if missing > 0 else 0
    return filled


@njit(**KERNEL)
def gather(position, length, pool, offsets, links):
    """Write the trees in the pool one behind the other; `offsets` gives their places."""
    for i in range(position.size):
        for e in range(length[i]):
            links[offsets[i] + e] = pool[position[i] + e]


@njit(**KERNEL)
def number_lines(
    first, offsets, links, old_offsets, old_links, old_lines, of_old, base, taken, slot,
    is_router, line,
):  # fmt: skip
    """Give every link a line of its own: the one it had, or the first that is free.

    `taken` has a bit for each line of each link, from `base` of the link on; those set are
    not to be used. Source i was source `of_old[i]` of the old trees (-1: it is new). A neuron
    leaves its tile on the line of its slot.
    """
    had = np.full(base.size - 1, -1, np.int32)
    for turn in range(2):
        cursor = base[:-1].copy()
        for i in range(offsets.size - 1):
            old = of_old[i]
            if turn == 0 and old < 0:
                continue
            if turn == 0:
                for e in range(old_offsets[old], old_offsets[old + 1]):
                    had[old_links[e]] = old_lines[e]
            for e in range(offsets[i], offsets[i + 1]):
                link = links[e]
                if not is_router[link >> 2]:
                    line[e] = slot[i - first]
                elif turn == 0:
                    line[e] = had[link]
                    if had[link] >= 0:
                        bit = base[link] + had[link]
                        taken[bit >> 3] |= np.uint8(1 << (bit & 7))
                elif line[e] < 0:
                    bit = cursor[link]
                    while taken[bit >> 3] >> (bit & 7) & 1:
                        bit += 1
                    line[e] = bit - base[link]
                    cursor[link] = bit + 1
            if turn == 0:
                for e in range(old_offsets[old], old_offsets[old + 1]):
                    had[old_links[e]] = -1
