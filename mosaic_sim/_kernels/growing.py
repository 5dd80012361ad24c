"""Compiled loops that fit new neurons between placed ones and move neurons one by one.

All share one book-keeping, `Seats` (see the face, `mosaic_sim.place.seats`): for every source
the tiles that it reaches, with the number of its targets there, so that a source that reaches
a tile already costs nothing there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.options import KERNEL, PART

SLIGHT = 1e-9
"""A gain below this part of the cost of a neuron is rounding."""


@njit(**KERNEL)
def links(first, offsets, target, neurons):
    """Synapses without those of a neuron with itself, by source and by target.

    Returns (offsets, targets) of the sources and (offsets, sources) of the neurons.
    """
    sources = offsets.size - 1
    out = np.zeros(sources + 1, np.int64)
    into = np.zeros(neurons + 1, np.int64)
    ends = np.empty(target.size, np.int32)
    size = 0
    for i in range(sources):
        for k in range(offsets[i], offsets[i + 1]):
            if target[k] != i - first:
                ends[size] = target[k]
                into[target[k] + 1] += 1
                size += 1
        out[i + 1] = size
    for j in range(neurons):
        into[j + 1] += into[j]
    starts = np.empty(size, np.int32)
    free = into[:-1].copy()
    for i in range(sources):
        for k in range(out[i], out[i + 1]):
            starts[free[ends[k]]] = i
            free[ends[k]] += 1
    return out, ends[:size].copy(), into, starts


# --- a heap, least key first, ties by least item ------------------------------------------


@njit(**PART)
def push(keys, items, size, key, item):
    """Put an entry into the heap of `size` entries."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if keys[above] < key or (keys[above] == key and items[above] <= item):
            break
        keys[at], items[at] = keys[above], items[above]
        at = above
    keys[at], items[at] = key, item


@njit(**PART)
def pop(keys, items, size):
    """Take the first entry off the heap; what is left has one less than `size` entries."""
    first_key, first_item = keys[0], items[0]
    last = size - 1
    key, item = keys[last], items[last]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= last:
            break
        if below + 1 < last and (
            keys[below + 1] < keys[below]
            or (keys[below + 1] == keys[below] and items[below + 1] < items[below])
        ):
            below += 1
        if key < keys[below] or (key == keys[below] and item <= items[below]):
            break
        keys[at], items[at] = keys[below], items[below]
        at = below
    keys[at], items[at] = key, item
    return first_key, first_item


@njit(**KERNEL)
def arrival_order(first, offsets, target, into, source, kept):
    """New neurons, each time the one with the largest share of its links to placed ones."""
    neurons = into.size - 1
    new = neurons - kept
    linked = np.zeros(neurons, np.int32)
    degree = np.zeros(neurons, np.int32)
    total = np.int64(new)
    for v in range(kept, neurons):
        me = first + v
        degree[v] = into[v + 1] - into[v] + offsets[me + 1] - offsets[me]
        total += degree[v]
        for k in range(into[v], into[v + 1]):
            linked[v] += source[k] < first + kept
        for k in range(offsets[me], offsets[me + 1]):
            linked[v] += target[k] < kept
    keys = np.empty(total, np.float64)
    items = np.empty(total, np.int32)
    size = 0
    for v in range(kept, neurons):
        push(keys, items, size, -linked[v] / max(degree[v], 1), v)
        size += 1
    order = np.empty(new, np.int32)
    done = 0
    while done < new:
        _, v = pop(keys, items, size)
        size -= 1
        if linked[v] < 0:
            continue
        order[done] = v
        done += 1
        linked[v] = -1
        me = first + v
        for k in range(into[v], into[v + 1]):
            w = source[k] - first
            if w >= kept and linked[w] >= 0:
                linked[w] += 1
                push(keys, items, size, -linked[w] / degree[w], w)
                size += 1
        for k in range(offsets[me], offsets[me + 1]):
            w = target[k]
            if w >= kept and linked[w] >= 0:
                linked[w] += 1
                push(keys, items, size, -linked[w] / degree[w], w)
                size += 1
    return order


# --- the cost of one neuron on one tile ------------------------------------------------------


# These take single arrays: Numba hands over every array of `Seats` with every call, and
# compiles for as long as there are.


@njit(**PART)
def hop(hops, row, column, here, there):
    """Hops between two sites."""
    return hops[
        abs(row[here] - row[there]), column[there] - column[here] + (hops.shape[1] >> 1)
    ]


@njit(**PART)
def toll(slack, crowd, left, more):
    """Price of `more` lines into a tile that has `left` of them; less if they are fewer."""
    return crowd * more + slack[max(left, 0)] - slack[max(left - more, 0)]


@njit(**PART)
def away(origin, price, v, tile):
    """Price of having a neuron elsewhere than where it was programmed."""
    return 0.0 if origin[v] < 0 or origin[v] == tile else price[v]


@njit(**PART)
def take(s, v, tile):
    """Put a neuron on a tile; return what that adds to hops and tolls."""
    me = s.first + v
    added = 0.0
    before = s.lines[tile]
    for k in range(s.into[v], s.into[v + 1]):
        u = s.source[k]
        begin = s.offsets[u]
        end = begin + s.reached[u]
        at = begin
        while at < end and s.reach[at] != tile:
            at += 1
        if at < end:
            s.many[at] += 1
            continue
        s.reach[end] = tile
        s.many[end] = 1
        s.reached[u] += 1
        if s.home[u] >= 0:
            added += s.rate[u] * hop(s.hops, s.row, s.column, s.home[u], tile)
            s.lines[tile] += s.home[u] != tile
    added += toll(s.slack, s.crowd[tile], s.most[tile] - before, s.lines[tile] - before)
    for at in range(s.offsets[me], s.offsets[me] + s.reached[me]):
        there = s.reach[at]
        if there != tile:
            added += s.rate[me] * hop(s.hops, s.row, s.column, tile, there) + toll(
                s.slack, s.crowd[there], s.most[there] - s.lines[there], 1
            )
            s.lines[there] += 1
    s.home[me] = tile
    s.free[tile] -= 1
    s.resident[tile, s.residents[tile]] = v
    s.position[v] = s.residents[tile]
    s.residents[tile] += 1
    return added


@njit(**PART)
def leave(s, v):
    """Take a neuron off its tile; return what that saves in hops and tolls."""
    me = s.first + v
    tile = s.home[me]
    s.residents[tile] -= 1
    last = s.resident[tile, s.residents[tile]]
    s.resident[tile, s.position[v]] = last
    s.position[last] = s.position[v]
    s.free[tile] += 1
    s.home[me] = -1
    saved = 0.0
    for at in range(s.offsets[me], s.offsets[me] + s.reached[me]):
        there = s.reach[at]
        if there != tile:
            s.lines[there] -= 1
            saved += s.rate[me] * hop(s.hops, s.row, s.column, tile, there) + toll(
                s.slack, s.crowd[there], s.most[there] - s.lines[there], 1
            )
    before = s.lines[tile]
    for k in range(s.into[v], s.into[v + 1]):
        u = s.source[k]
        at = s.offsets[u]
        while s.reach[at] != tile:
            at += 1
        s.many[at] -= 1
        if s.many[at] > 0:
            continue
        s.reached[u] -= 1
        end = s.offsets[u] + s.reached[u]
        s.reach[at] = s.reach[end]
        s.many[at] = s.many[end]
        if s.home[u] >= 0:
            saved += s.rate[u] * hop(s.hops, s.row, s.column, s.home[u], tile)
            s.lines[tile] -= s.home[u] != tile
    return saved + toll(
        s.slack, s.crowd[tile], s.most[tile] - s.lines[tile], before - s.lines[tile]
    )


@njit(**PART)
def fits(s, v, tile):
    """Whether a tile has room and lines for a neuron that has no place, and all it feeds too."""
    if s.free[tile] <= 0:
        return False
    me = s.first + v
    for at in range(s.offsets[me], s.offsets[me] + s.reached[me]):
        there = s.reach[at]
        if there != tile and s.lines[there] >= s.most[there]:
            return False
    needed = s.lines[tile]
    for k in range(s.into[v], s.into[v + 1]):
        u = s.source[k]
        if s.home[u] >= 0 and s.home[u] != tile:
            at = s.offsets[u]
            end = at + s.reached[u]
            while at < end and s.reach[at] != tile:
                at += 1
            needed += at == end
    return needed <= s.most[tile]


@njit(**PART)
def field(s, x, v):
    """Write what a neuron without a place would add on every tile; infinity where it may not.

    Free slots are not looked at. The hops from all sites but those of sources that reach a
    tile already: first all from all, then less what is there.
    """
    tiles = s.free.size
    row = v if s.allowed.shape[0] > 1 else 0
    me = s.first + v
    begin, end = s.offsets[me], s.offsets[me] + s.reached[me]
    sites = 0
    full, only = 0, -1
    own = 0.0
    placed = 0
    for at in range(begin, end):
        there = s.reach[at]
        if s.rate[me] > 0.0:
            if x.pull[there] == 0.0:
                x.site[sites] = there
                sites += 1
            x.pull[there] += s.rate[me]
        own += toll(s.slack, s.crowd[there], s.most[there] - s.lines[there], 1)
        if s.lines[there] >= s.most[there]:
            full, only = full + 1, there
    for k in range(s.into[v], s.into[v + 1]):
        u = s.source[k]
        here = s.home[u]
        if here >= 0:
            placed += 1
            if s.rate[u] > 0.0:
                if x.pull[here] == 0.0:
                    x.site[sites] = here
                    sites += 1
                x.pull[here] += s.rate[u]
    for t in range(tiles):
        x.cost[t] = own
        x.need[t] = placed
    middle = s.hops.shape[1] >> 1
    for n in range(sites):
        site = x.site[n]
        pull = x.pull[site]
        x.pull[site] = 0.0
        for r in range(tiles // s.columns):
            hops = s.hops[abs(r - s.row[site]), middle - s.column[site] :]
            cost = x.cost[r * s.columns : (r + 1) * s.columns]
            for c in range(cost.size):
                cost[c] += pull * hops[c]
    for k in range(s.into[v], s.into[v + 1]):
        u = s.source[k]
        here = s.home[u]
        if here < 0:
            continue
        outside = here < tiles
        for at in range(s.offsets[u], s.offsets[u] + s.reached[u]):
            there = s.reach[at]
            x.cost[there] -= s.rate[u] * hop(s.hops, s.row, s.column, here, there)
            x.need[there] -= 1
            outside &= there != here
        if outside:
            x.need[here] -= 1
    for at in range(begin, end):
        there = s.reach[at]
        x.cost[there] -= toll(s.slack, s.crowd[there], s.most[there] - s.lines[there], 1)
    for t in range(tiles):
        legal = s.lines[t] + x.need[t] <= s.most[t] and s.allowed[row, t]
        if legal and (full == 0 or (full == 1 and only == t)):
            x.cost[t] += toll(s.slack, s.crowd[t], s.most[t] - s.lines[t], x.need[t])
        else:
            x.cost[t] = np.inf


@njit(**KERNEL)
def settle(s, neuron, tile):
    """Put neurons on tiles, whatever is there; return hops and tolls that this adds."""
    added = 0.0
    for k in range(neuron.size):
        added += take(s, neuron[k], tile[k])
    return added


@njit(**KERNEL)
def arrive(s, x, who):
    """Put neurons without a place on the best tiles with a free slot, one after another.

    As `seat` without chains, which takes long to compile.
    """
    total = 0.0
    for k in range(who.size):
        field(s, x, who[k])
        best = -1
        for t in range(s.free.size):
            if s.free[t] > 0 and x.cost[t] < (x.cost[best] if best >= 0 else np.inf):
                best = t
        if best < 0:
            return k, total
        total += take(s, who[k], best)
    return who.size, total


@njit(**KERNEL)
def insertion_costs(s, x, v):
    """Write to `x.cost` what a neuron without a place would add on every tile."""
    field(s, x, v)


# --- pushing neurons aside -------------------------------------------------------------------


@njit(**PART)
def shifts(s, x, w, goals):
    """Write what moving a placed neuron to each of some other tiles adds to `x.gain`.

    Infinity where it may not be. `x.spot` is 0 everywhere, before and after.
    """
    me = s.first + w
    row = w if s.allowed.shape[0] > 1 else 0
    tile = s.home[me]
    x.spot[tile] = 1
    count = goals.size
    for n in range(count):
        x.spot[goals[n]] = 2 << n
        x.gain[n] = 0.0
        x.more[n] = 0
    base = 0.0
    gone = 0
    for k in range(s.into[w], s.into[w + 1]):
        u = s.source[k]
        here = s.home[u]
        if here < 0:
            continue
        found = 0
        begin = s.offsets[u]
        for at in range(begin, begin + s.reached[u]):
            bit = x.spot[s.reach[at]]
            found |= bit
            if bit == 1 and s.many[at] == 1:
                base += s.rate[u] * hop(s.hops, s.row, s.column, here, tile)
                gone += here != tile
        for n in range(count):
            if not found & (2 << n):
                x.gain[n] += s.rate[u] * hop(s.hops, s.row, s.column, here, goals[n])
                x.more[n] += here != goals[n]
    found = 0
    begin = s.offsets[me]
    for at in range(begin, begin + s.reached[me]):
        end = s.reach[at]
        found |= x.spot[end]
        base += s.rate[me] * hop(s.hops, s.row, s.column, tile, end)
        for n in range(count):
            x.gain[n] += s.rate[me] * hop(s.hops, s.row, s.column, goals[n], end)
    gone -= found & 1  # a target that stays behind is fed from outside then
    base += toll(s.slack, s.crowd[tile], s.most[tile] - s.lines[tile] + gone, gone)
    full = s.lines[tile] - gone > s.most[tile]
    for n in range(count):
        goal = goals[n]
        x.spot[goal] = 0
        more = x.more[n] - (1 if found & (2 << n) else 0)
        if full or s.lines[goal] + more > s.most[goal] or not s.allowed[row, goal]:
            x.gain[n] = np.inf
        else:
            x.gain[n] += (
                toll(s.slack, s.crowd[goal], s.most[goal] - s.lines[goal], more) - base
            )
            x.gain[n] += away(s.origin, s.price, w, goal) - away(s.origin, s.price, w, tile)
    x.spot[tile] = 0


@njit(**PART)
def look_around(s, x, tile):
    """Find which neuron of a tile is pushed to each neighbouring tile at the least cost.

    Each neuron remembers its costs until it moves: others that move change them little, and
    `follow_chain` looks at what is really added.
    """
    count = x.near_count[tile]
    for n in range(count):
        x.edge[n] = np.inf
    for k in range(s.residents[tile]):
        w = s.resident[tile, k]
        if away(s.origin, s.price, w, -1) == np.inf:
            continue
        if x.stale[w]:
            shifts(s, x, w, x.near[tile, :count])
            for n in range(count):
                x.push[w, n] = x.gain[n]
            x.stale[w] = False
        for n in range(count):
            if x.push[w, n] < x.edge[n]:
                x.edge[n] = x.push[w, n]
                x.pushed[n] = w


@njit(**PART)
def find_chain(s, x, v, least, depth):
    """Search tiles from which neurons, pushed from tile to tile, make room for `v`.

    A way to a tile that is cheaper but longer leaves less to go on, so both are kept: a label
    is a tile, the label before it, the neuron pushed from there and the number of tiles so far.
    Returns the label at the end of the cheapest chain below `least`, or -1.
    """
    size = 0
    labels = 0
    for t in range(s.free.size):
        x.distance[t] = np.inf
        x.passed[t] = depth
        start = x.cost[t] + away(s.origin, s.price, v, t)
        if s.free[t] <= 0 and start < least:
            x.distance[t] = start
            x.fewest[t] = 1
            x.tile[labels] = t
            x.back[labels] = -1
            x.steps[labels] = 1
            push(x.keys, x.items, size, start, labels)
            size += 1
            labels += 1
    while size > 0:
        key, label = pop(x.keys, x.items, size)
        size -= 1
        t = x.tile[label]
        if s.free[t] > 0:
            return label
        steps = x.steps[label] + 1
        if x.steps[label] >= x.passed[t] or labels + x.near.shape[1] > x.tile.size:
            continue
        x.passed[t] = x.steps[label]
        look_around(s, x, t)
        for n in range(x.near_count[t]):
            there = x.near[t, n]
            # What a push saves is left out: a way must not get shorter as it gets longer.
            further = key + max(x.edge[n], 0.0)
            if further >= least or (steps >= x.passed[there] and s.free[there] <= 0):
                continue
            if further >= x.distance[there]:
                if steps >= x.fewest[there]:
                    continue
            else:
                x.distance[there] = further
                x.fewest[there] = steps
            x.tile[labels] = there
            x.back[labels] = label
            x.carried[labels] = x.pushed[n]
            x.steps[labels] = steps
            push(x.keys, x.items, size, further, labels)
            size += 1
            labels += 1
    return -1


@njit(**PART)
def follow_chain(s, x, v, end, least):
    """Push the neurons of a chain and put `v` at its start, if all fit and it costs < `least`.

    Returns what that adds, or infinity if all is as it was.
    """
    added = 0.0
    label = end
    legal = True
    while legal and x.back[label] >= 0:
        w = x.carried[label]
        tile, before = x.tile[label], x.tile[x.back[label]]
        x.stale[w] = True
        saved = leave(s, w) + away(s.origin, s.price, w, before)
        legal = fits(s, w, tile)
        if legal:
            added += take(s, w, tile) + away(s.origin, s.price, w, tile) - saved
            label = x.back[label]
        else:
            take(s, w, before)
    tile = x.tile[label]
    if legal and fits(s, v, tile):
        added += take(s, v, tile) + away(s.origin, s.price, v, tile)
        if added < least:
            return added
        leave(s, v)
    while end != label:
        w = x.carried[end]
        end = x.back[end]
        leave(s, w)
        take(s, w, x.tile[end])
    return np.inf


@njit(**PART)
def swap(s, x, v, home, least, width):
    """Let `v` and a neuron of one of the `width` best tiles change places, below `least`.

    `v` has no place and comes from `home`. Returns as `follow_chain`.
    """
    found = 0
    for t in range(s.free.size):
        c = x.cost[t] + away(s.origin, s.price, v, t)
        if s.free[t] > 0 or c >= least:
            continue
        if found < width:
            found += 1
        elif c >= x.keys[found - 1]:
            continue
        at = found - 1
        while at > 0 and x.keys[at - 1] > c:
            x.keys[at], x.items[at] = x.keys[at - 1], x.items[at - 1]
            at -= 1
        x.keys[at], x.items[at] = c, t
    best, partner = least, -1
    goal = np.empty(1, np.int32)
    goal[0] = home
    for k in range(found):
        tile = x.items[k]
        for i in range(s.residents[tile]):
            w = s.resident[tile, i]
            if away(s.origin, s.price, w, -1) == np.inf:
                continue
            shifts(s, x, w, goal)
            if x.keys[k] + x.gain[0] < best:
                best, partner = x.keys[k] + x.gain[0], w
    if partner < 0:
        return np.inf
    tile = s.home[s.first + partner]
    added = away(s.origin, s.price, partner, home) - away(s.origin, s.price, partner, tile)
    added += away(s.origin, s.price, v, tile) - leave(s, partner)
    added += take(s, partner, home)
    if fits(s, v, tile):
        added += take(s, v, tile)
        if added < least:
            x.stale[partner] = True
            return added
        leave(s, v)
    leave(s, partner)
    take(s, partner, tile)
    return np.inf


@njit(**KERNEL)
def seat(s, x, who, depth, width):
    """Find the best places for neurons, one after another, new ones and placed ones.

    Others may be pushed aside along chains of at most `depth` tiles, and change places with
    placed ones on the `width` best tiles. Stops at a neuron that fits nowhere. Returns how many
    are done, and what that adds.
    """
    total = 0.0
    for k in range(who.size):
        v = who[k]
        home = s.home[s.first + v]
        here = np.inf
        if home >= 0:
            here = leave(s, v) + away(s.origin, s.price, v, home)
        field(s, x, v)
        slight = SLIGHT * here if home >= 0 else 0.0
        least, best = here - slight, home
        for t in range(s.free.size):
            c = x.cost[t] + away(s.origin, s.price, v, t)
            if s.free[t] > 0 and c < least:
                least, best = c, t
        if home < 0:
            slight = SLIGHT * least if best >= 0 else 0.0
        added = np.inf
        if depth > 1:
            end = find_chain(s, x, v, least - slight, depth)
            if end >= 0:
                added = follow_chain(s, x, v, end, least - slight)
        if added == np.inf and home >= 0 and width > 0:
            added = swap(s, x, v, home, least - slight, width)
        stays = added == np.inf and best == home
        if added == np.inf:
            if best < 0:
                return k, total
            added = take(s, v, best) + away(s.origin, s.price, v, best)
        x.stale[v] |= not stays
        if home >= 0:
            added -= here
        total += added
    return who.size, total
