"""Every compiled loop of the package. Typed arrays in, typed arrays out; never raises.

The kernels live in one file because a cached kernel does not notice a change in a kernel of
another file that it calls. What each array means is said in the face that calls the kernel.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def topological_order(first, offsets, target, delay, neurons):
    """Kahn's algorithm over the synapses of delay 0; shorter than `neurons` if they cycle."""
    waiting = np.zeros(neurons, np.int32)
    for k in range(offsets[first], offsets[first + neurons]):
        if delay[k] == 0:
            waiting[target[k]] += 1
    order = np.empty(neurons, np.int32)
    found = 0
    for j in range(neurons):
        if waiting[j] == 0:
            order[found] = j
            found += 1
    done = 0
    while done < found:
        j = order[done]
        done += 1
        for k in range(offsets[first + j], offsets[first + j + 1]):
            if delay[k] == 0:
                waiting[target[k]] -= 1
                if waiting[target[k]] == 0:
                    order[found] = target[k]
                    found += 1
    return order[:found]


@njit(cache=True)
def lags(offsets, delay):
    """Return the one delay that all synapses of a source have, or -1, for each source."""
    lag = np.zeros(offsets.size - 1, np.int64)
    for i in range(lag.size):
        if offsets[i] < offsets[i + 1]:
            lag[i] = delay[offsets[i]]
        for k in range(offsets[i], offsets[i + 1]):
            if delay[k] != lag[i]:
                lag[i] = -1
                break
    return lag


@njit(inline="always")
def send(i, t, offsets, target, weight, delay, lag, arriving):
    """Add the weights of source i to what arrives at its targets, after its delays."""
    begin, end = offsets[i], offsets[i + 1]
    slots = arriving.shape[0]
    if lag[i] < 0:
        for k in range(begin, end):
            arriving[(t + delay[k]) % slots, target[k]] += weight[k]
    else:
        row = arriving[(t + lag[i]) % slots]
        goal, more = target[begin:end], weight[begin:end]
        for k in range(goal.size):
            row[np.uint64(goal[k])] += more[k]  # unsigned: no test for an index below 0


@njit(cache=True, nogil=True)
def run(
    inputs, bias, offsets, target, weight, delay, order, leak, threshold, reset,
    spikes, counts, raster,
):  # fmt: skip
    """Run all samples; add to `counts` (samples, sources), fill `raster` unless it is empty."""
    samples, steps, _ = spikes.shape
    neurons = leak.size
    first = inputs + 1 if bias else inputs
    slots = 1
    for k in range(delay.size):
        slots = max(slots, delay[k] + 1)
    lag = lags(offsets, delay)
    voltage = np.empty(neurons, np.float32)
    fired = np.empty(neurons, np.bool_)
    arriving = np.empty((slots, neurons), np.float32)
    record = raster.size > 0
    for sample in range(samples):
        voltage[:] = 0
        fired[:] = False
        arriving[:] = 0
        for t in range(steps):
            now = arriving[t % slots]
            for i in range(first):
                if i == inputs or spikes[sample, t, i]:
                    counts[sample, i] += 1
                    send(i, t, offsets, target, weight, delay, lag, arriving)
            for j in order:
                v = voltage[j]
                if fired[j] and reset[j] == 1:
                    v = np.float32(0)
                v = leak[j] * v + now[j]
                if fired[j] and reset[j] == 0:
                    v -= threshold[j]
                voltage[j] = v
                now[j] = 0
                fired[j] = v > threshold[j]
                if fired[j]:
                    counts[sample, first + j] += 1
                    if record:
                        raster[sample, t, j] = True
                    send(first + j, t, offsets, target, weight, delay, lag, arriving)


@njit(cache=True)
def grow_tree(
    origin, targets, capacity, neighbour, is_router, load, in_tree, edge_cell, edge_side, edges,
):  # fmt: skip
    """Extend one multicast tree to all `targets`, nearest first, over links with free lines.

    `in_tree` marks the routing tiles that the tree has; `edge_cell`, `edge_side` hold its
    first `edges` links and receive the new ones; `load` counts sources per link. Returns the
    number of links, and the first target that could not be reached or -1. Among shortest
    extensions the one over the emptiest links is taken.
    """
    cells = is_router.size
    missing = np.zeros(cells, np.bool_)
    for target in targets:
        missing[target] = True
    via = np.empty(cells, np.int8)
    room = np.empty(cells, np.int32)
    distance = np.empty(cells, np.int32)
    queue = np.empty(cells, np.int32)
    for _ in range(targets.size):
        distance[:] = -1
        tail = 0
        for cell in range(cells):
            if in_tree[cell] or cell == origin:
                distance[cell] = 0
                room[cell] = 1 << 30
                queue[tail] = cell
                tail += 1
        head = 0
        reached = -1
        while head < tail:
            cell = queue[head]
            head += 1
            if reached >= 0 and distance[cell] >= distance[reached]:
                break
            if not is_router[cell] and cell != origin:
                continue
            for side in range(4):
                there = neighbour[cell, side]
                if there < 0:
                    continue
                left = capacity[cell, side] - load[cell, side]
                if left <= 0 or not (is_router[there] or missing[there]):
                    continue
                narrow = min(room[cell], left)
                if distance[there] < 0:
                    distance[there] = distance[cell] + 1
                    via[there] = side
                    room[there] = narrow
                    queue[tail] = there
                    tail += 1
                elif distance[there] == distance[cell] + 1 and narrow > room[there]:
                    via[there] = side
                    room[there] = narrow
                if missing[there] and (reached < 0 or narrow > room[reached]):
                    reached = there
        if reached < 0:
            for target in targets:
                if missing[target]:
                    return edges, target
        missing[reached] = False
        there = reached
        for back in range(distance[reached]):  # from the target to the tree
            side = via[there]
            cell = neighbour[there, (side + 2) % 4]
            at = edges + distance[reached] - 1 - back
            edge_cell[at] = cell
            edge_side[at] = side
            load[cell, side] += 1
            if is_router[there]:
                in_tree[there] = True
            there = cell
        edges += distance[reached]
    return edges, -1
