"""Compiled loops over the synapses of a network."""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.options import KERNEL


@njit(**KERNEL)
def count_sources(source, sources):
    """Return the offsets of each source, and whether `source` rises already."""
    offsets = np.zeros(sources + 1, np.int64)
    rising = True
    for k in range(source.size):
        offsets[source[k] + 1] += 1
        if k > 0 and source[k] < source[k - 1]:
            rising = False
    for i in range(sources):
        offsets[i + 1] += offsets[i]
    return offsets, rising


@njit(**KERNEL)
def sort_by_source(
    source, offsets, target, weight, delay, sorted_target, sorted_weight, sorted_delay
):
    """Write synapses by source, those of one source in the order in which they come."""
    free = offsets.copy()
    for k in range(source.size):
        at = free[source[k]]
        free[source[k]] = at + 1
        sorted_target[at] = target[k]
        sorted_weight[at] = weight[k]
        sorted_delay[at] = delay[k]


@njit(**KERNEL)
def synapse_fault(offsets, target, weight, delay, neurons):
    """Return (kind of fault, synapse), or (0, 0).

    1: no such target; 2: weight not finite; 3: delay below 0; 4: two synapses of one pair.
    """
    last = np.zeros(neurons, np.int64)  # source + 1
    for i in range(offsets.size - 1):
        for k in range(offsets[i], offsets[i + 1]):
            j = target[k]
            if j < 0 or j >= neurons:
                return 1, k
            if not np.isfinite(weight[k]):
                return 2, k
            if delay[k] < 0:
                return 3, k
            if last[j] == i + 1:
                return 4, k
            last[j] = i + 1
    return 0, 0


@njit(**KERNEL)
def depths(first, offsets, target, delay, neurons):
    """Longest way to each neuron over synapses of delay 0 from neurons; -1 on a cycle."""
    waiting = np.zeros(neurons, np.int32)
    at_once = False
    for k in range(offsets[first], offsets[first + neurons]):
        if delay[k] == 0:
            waiting[target[k]] += 1
            at_once = True
    depth = np.zeros(neurons, np.int32)
    if not at_once:
        return depth
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
                there = target[k]
                depth[there] = max(depth[there], depth[j] + 1)
                waiting[there] -= 1
                if waiting[there] == 0:
                    order[found] = there
                    found += 1
    if found < neurons:
        for j in range(neurons):
            if waiting[j] > 0:
                depth[j] = -1
    return depth


@njit(**KERNEL)
def quantise(target, weight, neurons, steps):
    """Signed level of each synapse and the weight it gives, on `steps` steps a column."""
    unit = np.zeros(neurons, np.float64)
    for k in range(target.size):
        size = abs(np.float64(weight[k]))
        if size > unit[target[k]]:
            unit[target[k]] = size
    for j in range(neurons):
        unit[j] /= steps
    level = np.empty(target.size, np.int16)
    given = np.empty(target.size, np.float32)
    for k in range(target.size):
        one = unit[target[k]]
        level[k] = np.int16(np.rint(weight[k] / one)) if one > 0 else np.int16(0)
        given[k] = np.float32(level[k] * one)
    return level, given


@njit(**KERNEL)
def tiles_reached(offsets, target, tile, tiles):
    """Distinct tiles that the synapses of each source end in.

    Returns (offsets, tiles in rising order, sources that arrive at each tile from outside).
    """
    sources = offsets.size - 1
    first = sources - tile.size
    arriving = np.zeros(tiles, np.int64)
    seen = np.zeros(tiles, np.int64)  # source + 1, in the second pass below zero
    start = np.zeros(sources + 1, np.int64)
    for i in range(sources):
        found = 0
        home = tile[i - first] if i >= first else -1
        for k in range(offsets[i], offsets[i + 1]):
            there = tile[target[k]]
            if seen[there] != i + 1:
                seen[there] = i + 1
                found += 1
                arriving[there] += there != home
        start[i + 1] = start[i] + found
    reached = np.empty(start[sources], np.int32)
    for i in range(sources):
        begin, end = start[i], start[i]
        many = start[i + 1] - begin > 64
        for k in range(offsets[i], offsets[i + 1]):
            there = tile[target[k]]
            if seen[there] == -i - 1:
                continue
            seen[there] = -i - 1
            if not many:  # insert in order
                at = end
                while at > begin and reached[at - 1] > there:
                    reached[at] = reached[at - 1]
                    at -= 1
                reached[at] = there
                end += 1
        if many:
            for there in range(tiles):
                if seen[there] == -i - 1:
                    reached[end] = there
                    end += 1
    return start, reached, arriving
