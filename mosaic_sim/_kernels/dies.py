"""Compiled loops over the devices of one die: what each conducts, and where spikes really go.

Random numbers are hashes of a seed, a stream and the number of a device, so that a device is the
same device whenever and in whatever order somebody looks at it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.options import KERNEL, PART

(
    VARIATION, NOISE, FLOOR, TOLERANCE, ATTEMPTS, DECAY, RELAXATION, STUCK_HCS, STUCK_LCS,
    LOWEST, HIGHEST, HCS, LCS, HCS_SPREAD, LCS_SPREAD, TRANSISTOR, WIRE, LEAKAGE, THRESHOLD,
    CYCLE,
) = range(20)  # fmt: skip
"""What stands where in the table of physics `p` that these kernels take."""

OF_DEVICE, OF_STATE, OF_AGE, OF_SPREAD, OF_PULSE = range(5)
"""Streams of random numbers; those of later pulses follow that of the first."""

ONE_PICOSIEMENS = 1e-12


@njit(**PART)
def word(seed, stream, number):
    """64 random bits: two rounds of splitmix64 (Steele, Lea and Flood 2014)."""
    x = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(stream)
    for more in (np.uint64(number), np.uint64(0)):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = (x ^ (x >> np.uint64(31))) + more * np.uint64(0x9E3779B97F4A7C15)
        x += np.uint64(0x9E3779B97F4A7C15)
    return x ^ (x >> np.uint64(31))


@njit(**PART)
def uniform(seed, stream, number):
    """A number between 0 and 1, never 0 or 1."""
    return (
        np.float64(word(seed, stream, number) >> np.uint64(11)) + 0.5
    ) / 9007199254740992.0


@njit(**PART)
def central(u):
    """Acklam's inverse of the normal distribution, to 1e-9, between 0.02425 and 0.97575."""
    q = u - 0.5
    r = q * q
    top = -39.69683028665376 * r + 220.9460984245205
    top = (top * r - 275.9285104469687) * r + 138.3577518672690
    top = (top * r - 30.66479806614716) * r + 2.506628277459239
    low = -54.47609879822406 * r + 161.5858368580409
    low = (low * r - 155.6989798598866) * r + 66.80131188771972
    low = (low * r - 13.28068155288572) * r + 1.0
    return top * q / low


@njit(**PART)
def tail(u):
    """The same beyond."""
    q = np.sqrt(-2.0 * np.log(min(u, 1.0 - u)))
    top = -0.007784894002430293 * q - 0.3223964580411365
    top = (top * q - 2.400758277161838) * q - 2.549732539343734
    top = (top * q + 4.374664141464968) * q + 2.938163982698783
    low = 0.007784695709041462 * q + 0.3224671290700398
    low = ((low * q + 2.445134137142996) * q + 3.754408661907416) * q + 1.0
    return top / low if u < 0.5 else -top / low


@njit(**PART)
def normal(seed, stream, number):
    """A normally distributed number."""
    u = uniform(seed, stream, number)
    return central(u) if 0.02425 < u < 0.97575 else tail(u)


@njit(**KERNEL)
def normals(seed, stream, number, out):
    """Fill `out` with the normal numbers of each `number`."""
    for k in range(number.size):
        out[k] = normal(seed, stream, number[k])


@njit(**KERNEL)
def noise(seed, stream, first, out):
    """Fill a flat float32 array with the normal numbers `first`, `first` + 1, ... of a stream.

    The numbers are those of the generator splitmix64, entered at any place; all that a vector
    loop can do is done for a block, then its few tails.
    """
    base = word(seed, stream, 0)
    words = np.empty(1024, np.uint64)
    block = words.view(np.float64)
    for begin in range(0, out.size, 1024):
        size = min(1024, out.size - begin)
        for k in range(size):
            x = base + np.uint64(first + begin + k) * np.uint64(0x9E3779B97F4A7C15)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            # The upper bits are the fraction of a number from 1 to 2.
            words[k] = ((x ^ (x >> np.uint64(31))) >> np.uint64(12)) | np.uint64(
                0x3FF0000000000000
            )
        for k in range(size):
            block[k] -= 1.0 - 2.0**-53
            out[begin + k] = central(block[k])
        for k in range(size):
            if not 0.02425 < block[k] < 0.97575:
                out[begin + k] = tail(block[k])


@njit(**KERNEL)
def choices(seed, stream, first, number, out):
    """Fill a flat array with numbers from 0 to `number` - 1, as likely each."""
    for k in range(out.size):
        out[k] = word(seed, stream, first + k) % np.uint64(number)


@njit(**PART)
def stuck(seed, number, p):
    """1: the device stays at high, -1: at low conductance, 0: neither."""
    if p[STUCK_HCS] + p[STUCK_LCS] == 0:
        return 0
    u = uniform(seed, OF_STATE, number)
    return 1 if u < p[STUCK_HCS] else -1 if u < p[STUCK_HCS] + p[STUCK_LCS] else 0


@njit(**PART)
def aged(seed, number, g, p):
    """What has become of a conductance: drift, and relaxation to either side."""
    if p[RELAXATION] > 0:
        g *= 1.0 + p[RELAXATION] * normal(seed, OF_AGE, number)
    return max(g * p[DECAY], 0.0)


@njit(**PART)
def synapse_device(seed, number, goal, p):
    """(Conductance, pulses) of a device of a neuron tile that is to hold `goal`.

    A device whose goal is the lowest state is not written. A pulse leaves the goal times what
    the device makes of it, plus noise; up to ATTEMPTS pulses are given until a read is within
    TOLERANCE. A conductance is never below 0.
    """
    written = goal > p[LOWEST]
    state = stuck(seed, number, p)
    if state != 0:
        return p[HIGHEST] if state > 0 else p[LOWEST], np.int64(
            p[ATTEMPTS] if written else 0
        )
    own = goal
    if p[VARIATION] > 0:
        own = max(goal * (1.0 + p[VARIATION] * normal(seed, OF_DEVICE, number)), 0.0)
    g = own
    pulses = np.int64(0)
    if written:
        stream = OF_PULSE + np.int64(
            p[CYCLE] * p[ATTEMPTS]
        )  # new noise each time it is written
        width = np.sqrt(p[FLOOR] * p[FLOOR] + p[NOISE] * p[NOISE] * goal * goal)
        pulses = np.int64(1)
        if width > 0:
            g = max(own + width * normal(seed, stream, number), 0.0)
        while pulses < p[ATTEMPTS] and abs(g - goal) > p[TOLERANCE]:
            if width > 0:
                g = max(own + width * normal(seed, stream + pulses, number), 0.0)
            pulses += 1
    return aged(seed, number, g, p), pulses


@njit(**PART)
def router_device(seed, number, connects, side, p):
    """Conductance of a device of a routing tile of `side` rows, seen from the end of its column.

    The transistor and the wires of the longest way through the array are in series.
    """
    state = stuck(seed, number, p)
    if state != 0:
        g = p[HCS] if state > 0 else p[LCS]
    else:
        g = p[HCS] if connects else p[LCS]
        spread = p[HCS_SPREAD] if connects else p[LCS_SPREAD]
        if spread > 0:
            g *= np.exp(spread * normal(seed, OF_SPREAD, number))
        g = aged(seed, number, g, p)
    series = p[TRANSISTOR] + side * p[WIRE]
    return g / (1.0 + g * series)


@njit(**KERNEL)
def synapse_devices(seed, number, goal, p, conductance, pulses):
    """Fill in what each device conducts [S] and how many pulses it took."""
    for k in range(number.size):
        conductance[k], pulses[k] = synapse_device(seed, number[k], goal[k], p)


@njit(**KERNEL)
def numbers(
    first, offsets, target, tile, slot, link_offsets, link_cell, link_side, link_line,
    port_cell, port_row, tile_cell, neighbour, is_router, widest, rows, columns,
):  # fmt: skip
    """Number the devices of a program, and the rows that spikes arrive on.

    Returns (pair, connection, arrival): the number of the positive device of each synapse; of
    the device that joins each link that leaves a routing tile (-1 for other links); and the row
    ``cell * rows + row`` where each link arrives.
    """
    pair = np.empty(target.size, np.int64)
    connection = np.full(link_cell.size, -1, np.int64)
    arrival = np.empty(link_cell.size, np.int64)
    entry = np.zeros(is_router.size, np.int64)
    for i in range(offsets.size - 1):
        home = np.int32(-1)
        if i < first:
            entry[port_cell[i]] = port_row[i]
        else:
            home = tile[i - first]
        for k in range(link_offsets[i], link_offsets[i + 1]):
            cell, side = np.int64(link_cell[k]), np.int64(link_side[k])
            beside = np.int64(neighbour[cell, side])
            entry[beside] = (side + 2) % 4 * widest + link_line[k]
            arrival[k] = beside * rows + entry[beside]
            if is_router[cell]:
                column = side * widest + link_line[k]
                connection[k] = (cell * rows + entry[cell]) * columns + column
        for k in range(offsets[i], offsets[i + 1]):
            j = target[k]
            cell = np.int64(tile_cell[tile[j]])
            row = 4 * widest + slot[i - first] if tile[j] == home else entry[cell]
            pair[k] = (cell * rows + row) * columns + 2 * slot[j]
    return pair, connection, arrival


@njit(**PART)
def room_for(at, cell, side, line):
    """The lists of links, twice as long if they are full."""
    if at < cell.size:
        return cell, side, line
    longer_cell = np.empty(2 * cell.size, np.int32)
    longer_side = np.empty(2 * cell.size, np.int8)
    longer_line = np.empty(2 * cell.size, np.int32)
    longer_cell[:at], longer_side[:at], longer_line[:at] = cell, side, line
    return longer_cell, longer_side, longer_line


@njit(**KERNEL)
def reach(
    seed, begin, node_offsets, nodes, wired, connected, neighbour, capacity, is_router, lines,
    widest, rows, columns, p, ordinary,
):  # fmt: skip
    """Follow the spikes of each source over all devices that conduct enough by themselves.

    Source i starts on rows ``nodes[node_offsets[i]:node_offsets[i + 1]]``, which are `wired` to
    a neuron tile or not; `connected` holds the numbers of the programmed connections, rising,
    and `begin` where those of each row are. A device that connects nothing cannot conduct enough
    if its random number for the spread is below `ordinary`, unless it is stuck.

    Returns (offsets, cell, side, line) of the links that the spikes of each source load; how many
    connections it misses on its way, and how many devices lead it astray.
    """
    sources = node_offsets.size - 1
    cells = is_router.size
    seen = np.full(cells * rows, -1, np.int32)
    offsets = np.zeros(sources + 1, np.int64)
    room = connected.size + sources + 64
    out_cell = np.empty(room, np.int32)
    out_side = np.empty(room, np.int8)
    out_line = np.empty(room, np.int32)
    queue = np.empty(cells * rows, np.int64)
    lost = np.zeros(sources, np.int64)
    false = np.zeros(sources, np.int64)
    # What each row of a routing tile drives does not depend on who drives it: found once.
    known = np.full(cells * rows, -1, np.int64)
    found = np.empty(connected.size + 64, np.int64)
    last = np.zeros(cells * rows, np.int64)
    number_found = 0
    at = 0
    for i in range(sources):
        waiting = 0
        for k in range(node_offsets[i], node_offsets[i + 1]):
            seen[nodes[k]] = i
            queue[waiting] = nodes[k]
            waiting += 1
        starts = waiting
        head = 0
        while head < waiting:
            node = queue[head]
            head += 1
            cell = node // rows
            if not is_router[cell]:
                continue
            if known[node] < 0:
                known[node] = number_found
                leak = (4 * lines[cell] - 1) * p[LEAKAGE]
                for side in range(4):
                    for line in range(capacity[cell, side]):
                        number = node * columns + side * widest + line
                        joined = False
                        for c in range(begin[node], begin[node + 1]):
                            joined |= connected[c] == number
                        # Nearly all devices are far from conducting: one look is enough.
                        if (
                            not joined
                            and uniform(seed, OF_SPREAD, number) < ordinary
                            and stuck(seed, number, p) <= 0
                        ):
                            continue
                        g = router_device(seed, number, joined, 4 * lines[cell], p)
                        if g + leak > p[THRESHOLD]:
                            if number_found == found.size:
                                longer = np.empty(2 * found.size, np.int64)
                                longer[:number_found] = found
                                found = longer
                            found[number_found] = 2 * number + joined
                            number_found += 1
                last[node] = number_found
            if (
                head <= starts
                and wired[node_offsets[i] + head - 1]
                and last[node] > known[node]
            ):
                side = (node % rows) // widest
                out_cell, out_side, out_line = room_for(at, out_cell, out_side, out_line)
                out_cell[at] = neighbour[cell, side]
                out_side[at] = (side + 2) % 4
                out_line[at] = (node % rows) % widest
                at += 1
            joined_here = 0
            for f in range(known[node], last[node]):
                joined_here += found[f] & 1
                false[i] += 1 - (found[f] & 1)
                column = (found[f] >> 1) % columns
                side, line = column // widest, column % widest
                beside = np.int64(neighbour[cell, side])
                there = beside * rows + (side + 2) % 4 * widest + line
                if seen[there] != i:
                    seen[there] = i
                    queue[waiting] = there
                    waiting += 1
                    out_cell, out_side, out_line = room_for(
                        at, out_cell, out_side, out_line
                    )
                    out_cell[at] = cell
                    out_side[at] = side
                    out_line[at] = line
                    at += 1
            lost[i] += begin[node + 1] - begin[node] - joined_here
        offsets[i + 1] = at
    return offsets, out_cell[:at], out_side[:at], out_line[:at], lost, false


@njit(**KERNEL)
def rewire(
    first, offsets, target, delay, depth, tile, tile_cell, link_offsets, arrival, rows, owner
):  # fmt: skip
    """Which synapses the spikes of each source reach over its links.

    `arrival` is the row where each link arrives, `owner` the source whose synapses sit on each
    row of a neuron tile, or -1. Returns (offsets, origin, delay): the synapse that each is, and
    its delay: what reaches a neuron too late for a step counts in the next.
    """
    sources = offsets.size - 1
    new = np.zeros(sources + 1, np.int64)
    reached = np.full(tile_cell.max() + 1 if tile_cell.size else 1, -1, np.int64)
    for fill in range(2):  # first count, then fill
        origin = np.empty(new[sources] if fill else 0, np.int64)
        late = np.empty(origin.size, np.int32)
        at = 0
        reached[:] = -1
        for i in range(sources):
            if i >= first:
                reached[tile_cell[tile[i - first]]] = i
            for k in range(link_offsets[i], link_offsets[i + 1]):
                if owner[arrival[k]] == i:
                    reached[arrival[k] // rows] = i
            for k in range(offsets[i], offsets[i + 1]):
                if reached[tile_cell[tile[target[k]]]] == i:
                    if fill:
                        origin[at] = k
                        late[at] = delay[k]
                    at += 1
            for k in range(link_offsets[i], link_offsets[i + 1]):
                other = owner[arrival[k]]
                if other < 0 or other == i:
                    continue
                cell = arrival[k] // rows
                for m in range(offsets[other], offsets[other + 1]):
                    j = target[m]
                    if tile_cell[tile[j]] == cell:
                        if fill:
                            origin[at] = m
                            late[at] = delay[m]
                            if (
                                delay[m] == 0
                                and i >= first
                                and depth[i - first] >= depth[j]
                            ):
                                late[at] = 1
                        at += 1
            if not fill:
                new[i + 1] = at
    return new, origin, late


@njit(**KERNEL)
def row_excess(
    seed, nodes, begin, held, goal, is_router, lines, slots, widest, rows, columns, p
):  # fmt: skip
    """How much more than nominal each row of devices conducts, in whole picosiemens.

    `held` are the numbers of the devices that hold a synapse or a connection, rising, `begin`
    where those of each row are, and `goal` what each is to conduct [S].
    """
    excess = np.empty(nodes.size, np.int64)
    for e in range(nodes.size):
        node = nodes[e]
        cell = node // rows
        at, end = begin[node], begin[node + 1]
        total = np.int64(0)
        if is_router[cell]:
            for side in range(4):
                for line in range(lines[cell]):
                    number = node * columns + side * widest + line
                    joined = at < end and held[at] == number
                    at += joined
                    g = router_device(seed, number, joined, 4 * lines[cell], p)
                    nominal = p[HCS] if joined else p[LCS]
                    total += np.int64(np.rint((g - nominal) / ONE_PICOSIEMENS))
        else:
            for column in range(2 * slots):
                number = node * columns + column
                nominal = p[LOWEST]
                if at < end and held[at] == number:
                    nominal = goal[at]
                    at += 1
                g, _ = synapse_device(seed, number, nominal, p)
                total += np.int64(np.rint((g - nominal) / ONE_PICOSIEMENS))
        excess[e] = total
    return excess


@njit(**KERNEL)
def router_tables(
    seed, start, begin, connected, neighbour, capacity, lines, widest, rows, columns, p,
    table, strong_offsets,
):  # fmt: skip
    """What every device of the routing tiles conducts, and which do so enough by themselves.

    The table of cell c, row by row with ``4 lines`` columns, begins at ``start[c]`` (-1: it has
    none). Fills `table` and `strong_offsets` (a row each and one more); returns the rows where
    the strong devices of each row lead, and the most that any weaker one conducts.
    """
    strong = np.empty(connected.size + 64, np.int64)
    peak = np.zeros(strong_offsets.size - 1, np.float32)
    found = 0
    for cell in range(start.size):
        width = 4 * lines[cell]
        for row in range(rows):
            node = cell * rows + row
            strong_offsets[node + 1] = found
            side_in, line_in = row // widest, row % widest
            if start[cell] < 0 or side_in > 3 or line_in >= lines[cell]:
                continue
            base = start[cell] + (side_in * lines[cell] + line_in) * width
            at, end = begin[node], begin[node + 1]
            for side in range(4):
                for line in range(lines[cell]):
                    number = node * columns + side * widest + line
                    joined = at < end and connected[at] == number
                    at += joined
                    g = router_device(seed, number, joined, width, p)
                    table[base + side * lines[cell] + line] = g
                    if line >= capacity[cell, side]:
                        continue
                    if g + (width - 1) * p[LEAKAGE] > p[THRESHOLD]:
                        if found == strong.size:
                            longer = np.empty(2 * found, np.int64)
                            longer[:found] = strong
                            strong = longer
                        strong[found] = (
                            neighbour[cell, side] * rows + (side + 2) % 4 * widest + line
                        )
                        found += 1
                    else:
                        peak[node] = max(peak[node], np.float32(g))
            strong_offsets[node + 1] = found
    return strong[:found], peak
