"""Compiled loops that move single neurons, on the true cost of a placement.

A *site* is a tile, or after the tiles a port. For every source there is a short list of the
tiles that it reaches and the number of its synapses that end on each: a tile costs hops when
its count leaves zero, and a line of that tile, unless the source sits there itself.

`count` is parallel to the lists, or (sources, tiles), which is looked up rather than searched
and takes more room. Numba compiles the branch that the number of its dimensions asks for.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.options import KERNEL, PART

TOURNAMENT = 2


@njit(**PART)
def draw(state):
    """Return the next of 2**32 whole numbers (xorshift64*; Vigna 2016) and step `state`."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.int64((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(32))


@njit(**KERNEL)
def count_reach(first, offsets, target, home, length, tile, count, arriving):
    """Fill the tables of all sources from scratch, and the lines that arrive at each tile.

    Neurons without a home (-1) are left out, as sources and as targets.
    """
    arriving[:] = 0
    for s in range(offsets.size - 1):
        begin = offsets[s]
        size = 0
        for k in range(begin, offsets[s + 1]):
            there = home[first + target[k]]
            if there < 0:
                continue
            at = begin
            while at < begin + size and tile[at] != there:
                at += 1
            if at == begin + size:
                tile[at] = there
                if count.ndim == 2:
                    count[s, there] = 0
                else:
                    count[at] = 0
                size += 1
                if home[s] >= 0 and home[s] != there:
                    arriving[there] += 1
            if count.ndim == 2:
                count[s, there] += 1
            else:
                count[at] += 1
        length[s] = size


@njit(**PART)
def gain(
    v, a, b, first, in_offsets, in_source, offsets, rate, home, length, tile, count, site_row,
    site_column, hops,
):  # fmt: skip
    """What moving neuron v from tile a to b changes: (cost, lines into a, lines into b)."""
    # Unsigned, so that no index is tested for being below 0: most of the time goes here.
    change = 0.0
    da = 0
    db = 0
    from_tile, to_tile = np.uint64(a), np.uint64(b)
    ra, ca = site_row[from_tile], site_column[from_tile]
    rb, cb = site_row[to_tile], site_column[to_tile]
    s = np.uint64(first + v)
    for k in range(np.uint64(in_offsets[v]), np.uint64(in_offsets[v + 1])):
        u = np.uint64(in_source[k])
        last = False
        new = True
        if count.ndim == 2:
            last = count[u, from_tile] == 1
            new = count[u, to_tile] == 0
        else:
            begin = offsets[u]
            seen = 0
            for i in range(begin, begin + length[u]):
                t = tile[i]
                if t == a:
                    last = count[i] == 1
                    seen += 1
                    if seen == 2:
                        break
                elif t == b:
                    new = False
                    seen += 1
                    if seen == 2:
                        break
        if last or new:
            here = np.uint64(home[u])
            row, column = site_row[here], site_column[here]
            if last:
                change -= (
                    rate[u] * hops[np.uint64(abs(row - ra)), np.uint64(abs(column - ca))]
                )
                da -= here != from_tile
            if new:
                change += (
                    rate[u] * hops[np.uint64(abs(row - rb)), np.uint64(abs(column - cb))]
                )
                db += here != to_tile
    out = 0
    begin = np.uint64(offsets[s])
    for i in range(begin, begin + np.uint64(length[s])):
        t = np.uint64(tile[i])
        row, column = site_row[t], site_column[t]
        out += hops[np.uint64(abs(rb - row)), np.uint64(abs(cb - column))]
        out -= hops[np.uint64(abs(ra - row)), np.uint64(abs(ca - column))]
        da += t == from_tile
        db -= t == to_tile
    return change + rate[s] * out, da, db


@njit(**PART)
def shift(v, a, b, first, in_offsets, in_source, offsets, home, length, tile, count):
    """Move neuron v from tile a to b in the tables."""
    for k in range(in_offsets[v], in_offsets[v + 1]):
        u = in_source[k]
        begin = offsets[u]
        end = begin + length[u]
        if count.ndim == 2:
            count[u, a] -= 1
            count[u, b] += 1
            new = count[u, b] == 1
            if count[u, a] == 0:
                at = begin
                while tile[at] != a:
                    at += 1
                if new:
                    tile[at] = b
                else:
                    tile[at] = tile[end - 1]
                    length[u] -= 1
            elif new:
                tile[end] = b
                length[u] += 1
            continue
        at = begin
        while tile[at] != a:
            at += 1
        to = begin
        while to < end and tile[to] != b:
            to += 1
        count[at] -= 1
        if to < end:
            count[to] += 1
            if count[at] == 0:
                tile[at] = tile[end - 1]
                count[at] = count[end - 1]
                length[u] -= 1
        elif count[at] == 0:
            tile[at] = b
            count[at] = 1
        else:
            tile[end] = b
            count[end] = 1
            length[u] += 1
    home[first + v] = b


@njit(**KERNEL)
def refine(
    first, in_offsets, in_source, offsets, target, rate, home, length, tile, count, arriving,
    lines, penalty, members, fill, room, movable, allowed, site_row, site_column, tile_at, hops,
    heat, begin, end, tries, slack, ease, state,
):  # fmt: skip
    """Propose moves and swaps of neurons `begin` to `end`; return the change of the cost.

    A neuron is offered a place on or beside the tile of one of its partners, in exchange for
    one of `tries` neurons that are there, or a free slot. `lines` is the number that may arrive
    at each tile, `penalty` the price of one too many; the second number returned is the change
    of their number. `allowed` is (neurons, tiles), or empty if all may go everywhere.
    """
    rows, columns = tile_at.shape
    neurons = in_offsets.size - 1
    masked = allowed.size > 0
    total = 0.0
    excess = 0
    for step in range(begin, end):
        v = step % neurons
        if not movable[v]:
            continue
        a = home[first + v]
        into = in_offsets[v + 1] - in_offsets[v]
        links = into + offsets[first + v + 1] - offsets[first + v]
        r, c = site_row[a], site_column[a]
        pick = draw(state)
        if links > 0:
            k = pick % links
            if k < into:
                near = home[in_source[in_offsets[v] + k]]
            else:
                near = home[first + target[offsets[first + v] + k - into]]
            r, c = site_row[near], site_column[near]
        pick = draw(state)
        if r < 0 or r >= rows or c < 0 or c >= columns:
            r = min(max(r, 0), rows - 1)
            c = min(max(c, 0), columns - 1)
        elif tile_at[r, c] == a or pick % 2 == 0:
            pick >>= 1
            r += pick % 3 - 1
            c += (pick // 3) % 3 - 1
        if r < 0 or r >= rows or c < 0 or c >= columns:
            continue
        b = tile_at[r, c]
        if b == a or room[b] == 0 or (masked and not allowed[v, b]):
            continue
        up, da, db = gain(
            v, a, b, first, in_offsets, in_source, offsets, rate, home, length, tile, count,
            site_row, site_column, hops,
        )  # fmt: skip
        limit = 0.0
        if heat > 0:
            limit = -heat * np.log((draw(state) + 1.0) * 2.0**-32)
        ease[v] = up if up < ease[v] else ease[v] + 0.25 * (up - ease[v])
        if up > limit + slack and arriving[a] <= lines[a] and arriving[b] <= lines[b]:
            continue
        at_v = -1
        for _ in range(tries):
            spot = draw(state) % room[b]
            if spot >= fill[b]:
                # A free slot: v moves alone.
                over = max(arriving[a] + da - lines[a], 0) - max(arriving[a] - lines[a], 0)
                over += max(arriving[b] + db - lines[b], 0) - max(arriving[b] - lines[b], 0)
                if up + penalty * over > limit:
                    continue
                shift(
                    v, a, b, first, in_offsets, in_source, offsets, home, length, tile, count
                )  # fmt: skip
                at_v = 0
                while members[a, at_v] != v:
                    at_v += 1
                fill[a] -= 1
                members[a, at_v] = members[a, fill[a]]
                members[b, fill[b]] = v
                fill[b] += 1
                arriving[a] += da
                arriving[b] += db
                total += up
                excess += over
                break
            for _ in range(TOURNAMENT):
                other = draw(state) % fill[b]
                if ease[members[b, other]] < ease[members[b, spot]]:
                    spot = other
            w = np.int64(members[b, spot])
            if not movable[w] or (masked and not allowed[w, a]):
                continue
            back, eb, ea = gain(
                w, b, a, first, in_offsets, in_source, offsets, rate, home, length, tile,
                count, site_row, site_column, hops,
            )  # fmt: skip
            ease[w] = back if back < ease[w] else ease[w] + 0.25 * (back - ease[w])
            # What both share makes a swap dearer than the two moves: seldom cheaper.
            if up + back > limit and arriving[a] <= lines[a] and arriving[b] <= lines[b]:
                continue
            shift(v, a, b, first, in_offsets, in_source, offsets, home, length, tile, count)
            back, eb, ea = gain(
                w, b, a, first, in_offsets, in_source, offsets, rate, home, length, tile,
                count, site_row, site_column, hops,
            )  # fmt: skip
            over = max(arriving[a] + da + ea - lines[a], 0) - max(arriving[a] - lines[a], 0)
            over += max(arriving[b] + db + eb - lines[b], 0) - max(
                arriving[b] - lines[b], 0
            )
            if up + back + penalty * over > limit:
                shift(
                    v, b, a, first, in_offsets, in_source, offsets, home, length, tile, count
                )  # fmt: skip
                continue
            shift(w, b, a, first, in_offsets, in_source, offsets, home, length, tile, count)
            at_v = 0
            while members[a, at_v] != v:
                at_v += 1
            members[a, at_v] = w
            members[b, spot] = v
            arriving[a] += da + ea
            arriving[b] += db + eb
            total += up + back
            excess += over
            break
    return total, excess


@njit(**KERNEL)
def relabel(
    first, offsets, target, label, born, new_offsets, new_target, in_offsets, in_source
):
    """Number neurons anew, drop synapses from a neuron to itself, list sources by target.

    `label` is the new number of each neuron, `born` its inverse. Inputs keep their numbers.
    Neurons that lie together get numbers that lie together, which is what caches like.
    """
    neurons = label.size
    in_offsets[:] = 0
    size = 0
    new_offsets[0] = 0
    for s in range(first + neurons):
        old = s if s < first else first + born[s - first]
        for k in range(offsets[old], offsets[old + 1]):
            to = label[target[k]]
            if first + to != s:
                new_target[size] = to
                in_offsets[to + 1] += 1
                size += 1
        new_offsets[s + 1] = size
    for v in range(neurons):
        in_offsets[v + 1] += in_offsets[v]
    for s in range(first + neurons):
        for k in range(new_offsets[s], new_offsets[s + 1]):
            v = new_target[k]
            in_source[in_offsets[v]] = s
            in_offsets[v] += 1
    for v in range(neurons, 0, -1):
        in_offsets[v] = in_offsets[v - 1]
    in_offsets[0] = 0
    return size


@njit(**KERNEL)
def even_out(offsets, partner, weight, part, size, room):
    """Move neurons out of parts that are too large, along chains of parts that lose least.

    `size` and `room` are the neurons in each part and those that it may have. Returns how many
    neurons are still too many.
    """
    parts = size.size
    neurons = part.size
    # Members of each part as linked lists.
    head = np.full(parts, -1, np.int64)
    after = np.full(neurons, -1, np.int64)
    for v in range(neurons - 1, -1, -1):
        after[v] = head[part[v]]
        head[part[v]] = v
    stamp = np.full(parts, -1, np.int64)
    done = np.full(parts, -1, np.int64)
    cost = np.zeros(parts)
    via = np.zeros(parts, np.int64)
    who = np.zeros(parts, np.int64)
    open_ = np.empty(parts, np.int64)
    tie = np.zeros(parts)
    touched = np.empty(parts, np.int64)
    mark = 0
    left = 0
    for p in range(parts):
        while size[p] > room[p]:
            mark += 1
            count = 1
            open_[0] = p
            stamp[p] = mark
            cost[p] = 0.0
            found = -1
            while count:
                best = 0
                for i in range(1, count):
                    if cost[open_[i]] < cost[open_[best]]:
                        best = i
                q = open_[best]
                count -= 1
                open_[best] = open_[count]
                if done[q] == mark:
                    continue
                done[q] = mark
                if size[q] < room[q]:
                    found = q
                    break
                v = head[q]
                while v >= 0:
                    many = 0
                    for k in range(offsets[v], offsets[v + 1]):
                        other = part[partner[k]]
                        if tie[other] == 0.0:
                            touched[many] = other
                            many += 1
                        tie[other] += weight[k]
                    own = tie[q]
                    for i in range(many):
                        other = touched[i]
                        if other != q and done[other] != mark:
                            price = cost[q] + max(own - tie[other], 0.0) + 0.5
                            if stamp[other] != mark or price < cost[other]:
                                if stamp[other] != mark:
                                    open_[count] = other
                                    count += 1
                                stamp[other] = mark
                                cost[other] = price
                                via[other] = q
                                who[other] = v
                        tie[other] = 0.0
                    v = after[v]
            if found < 0:
                # No chain of links leads to a free place: take the emptiest part there is.
                found = 0
                for q in range(parts):
                    if room[q] - size[q] > room[found] - size[found]:
                        found = q
                if size[found] >= room[found]:
                    left += size[p] - room[p]
                    break
                via[found] = p
                who[found] = head[p]
            q = found
            while q != p:
                source = via[q]
                v = who[q]
                if head[source] == v:
                    head[source] = after[v]
                else:
                    at = head[source]
                    while after[at] != v:
                        at = after[at]
                    after[at] = after[v]
                after[v] = head[q]
                head[q] = v
                part[v] = q
                size[q] += 1
                size[source] -= 1
                q = source
    return left
