"""The compiled time loop."""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.intrinsics import add_rows, prefetch
from mosaic_sim._kernels.options import KERNEL, PART
from mosaic_sim._kernels.wiring import BITS, NUMBER, as_bits

BLOCK = 2048
"""Neurons updated at a time: their state stays in the first-level cache."""

# Unsigned, so that no index is tested for being below 0.
ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT = (np.uint64(k) for k in range(1, 9))


@njit(**PART)
def integrate(
    now, voltage, current, constant, leak, threshold, current_leak, fired, traced
):
    """Leak, add what arrived, compare; the reset comes after, for the few that fired."""
    if traced:
        for j in range(now.size):
            now[j] = current_leak[j] * current[j] + now[j]
        for j in range(now.size):
            current[j] = now[j]
    for j in range(now.size):
        now[j] = leak[j] * voltage[j] + now[j]
    for j in range(now.size):
        voltage[j] = now[j]
        fired[j] = now[j] > threshold[j]
    for j in range(now.size):
        now[j] = constant[j]


@njit(**PART)
def integrate_alike(now, voltage, constant, leak, threshold, fired):
    """As `integrate`, for neurons that all have one leak and one threshold: half the traffic."""
    for j in range(now.size):
        v = leak * voltage[j] + now[j]
        voltage[j] = v
        now[j] = constant[j]
        fired[j] = v > threshold


@njit(**PART)
def reset_late(hot, voltage, threshold, reset, fired):
    """Let the spikes of the last step reset: 'zero' did so before `integrate`, the others now."""
    for j in hot:
        if reset[j] == 0:
            voltage[j] -= threshold[j]
        elif reset[j] == 3:
            voltage[j] = np.float32(0)
        fired[j] = voltage[j] > threshold[j]


@njit(**PART)
def advance(
    j, x, voltage, current, inhibition, over, resting, leak, threshold, reset, current_leak,
    gain, prompt, refractory,
):  # fmt: skip
    """Advance one neuron of any kind by one step; return whether it fires."""
    asleep = resting[j] > 0
    if asleep:
        resting[j] -= 1
        x = np.float32(0)
    r = over[j]
    v = voltage[j]
    if gain[j] > 0:
        before = inhibition[j]
        excited = current_leak[j] * current[j] + x
        inhibited = leak[j] * before - x
        v = gain[j] * (excited + inhibited)
        if r and reset[j] == 0:
            excited -= threshold[j]
            inhibited = np.float32(0)
            v += before
        elif r and reset[j] != 2:
            excited = inhibited = v = np.float32(0)
        current[j], inhibition[j] = excited, inhibited
    else:
        current[j] = current_leak[j] * current[j] + x
        if r and reset[j] == 1:
            v = np.float32(0)
        v = leak[j] * v + current[j]
        if r and reset[j] == 0:
            v -= threshold[j]
        elif r and reset[j] == 3:
            v = np.float32(0)
    fires = v > threshold[j] and not asleep
    over[j] = fires
    if prompt[j]:
        more = np.float32(fires) - np.float32(
            r
        )  # as snnTorch: what was reset late is undone
        if reset[j] == 0:
            v -= more * threshold[j]
        elif reset[j] != 2:
            v -= more * v
        over[j] = v > threshold[j]
    voltage[j] = v
    if fires:
        resting[j] = refractory
    return fires


@njit(**KERNEL)
def run(
    first, bias, begin_sample, end_sample, begin_step, end_step, steps,
    drive_offsets, drive_channel, drive_value,
    bounds, plain, traced, alike, order,
    seg_offsets, segments, pairs, row, constant, begins, spans,
    leak, threshold, reset, current_leak, gain, prompt, refractory,
    voltage, current, inhibition, over, resting, arriving, fired, words, hot, hots,
    counts, latency, watched, traces, listed, per_step,
):  # fmt: skip
    """Run the steps of some samples; each starts from rest if `begin_step` is 0.

    Neurons are numbered by depth here, `order` gives their real numbers; `bounds` are the
    first of each depth. Neurons of a depth are updated together: those of a `plain` depth in
    vector loops, `traced` if it has synaptic currents, `alike` if one leak and one threshold.
    Where `spans` (1 + depths, 3) has a size, all sources of a depth (first: inputs) have one
    dense row each, ``row[begins[i]:][:size]``, with this delay and first target.

    Adds the spikes of neurons to `counts` (samples, sources), sets `latency` (samples,
    neurons) where one fires for the first time; `traces` (samples,
    steps, watched) takes voltages; the neurons that fire are listed one after the other in
    `listed`, and counted in `per_step` (samples, steps), if that has entries. Returns the
    number listed.
    """
    neurons = voltage.size
    slots, wide = arriving.shape
    flat = arriving.ravel()
    recording = per_step.size > 0
    weighted = drive_value.size > 0
    levels = bounds.size - 1
    lit = np.empty(neurons + 8, np.int32)
    job_at = np.empty(segments.shape[0] + 1, np.int64)
    job_begin = np.empty(job_at.size, np.int64)
    job_size = np.empty(job_at.size, np.int64)
    job_value = np.empty(job_at.size, np.float32)
    loads = pairs.view(np.float32)
    found = 0
    for sample in range(begin_sample, end_sample):
        if begin_step == 0:
            for j in range(neurons):
                voltage[j] = 0
                current[j] = 0
                inhibition[j] = 0
                over[j] = False
                resting[j] = 0
                for slot in range(slots):
                    arriving[slot, j] = constant[j]
            for stage in range(levels):
                hots[stage] = 0
        count = counts[sample]
        for t in range(begin_step, end_step):
            slot = t % slots
            now = arriving[slot]
            for stage in range(-1, levels):
                # Who sends in this stage: inputs and bias line, then neurons by depth.
                senders = 0
                at = drive_offsets[sample * steps + t]
                if stage < 0:
                    senders = drive_offsets[sample * steps + t + 1] - at
                    senders += bias
                else:
                    a, b = bounds[stage], bounds[stage + 1]
                    if plain[stage]:
                        mine = hot[a : a + hots[stage]]
                        for j in mine:
                            if reset[j] == 1:
                                voltage[j] = np.float32(0)
                        for c in range(a, b, BLOCK):
                            d = min(b, c + BLOCK)
                            if alike[stage]:
                                integrate_alike(
                                    now[c:d], voltage[c:d], constant[c:d], leak[a],
                                    threshold[a], fired[c:d],
                                )  # fmt: skip
                                continue
                            integrate(
                                now[c:d], voltage[c:d], current[c:d], constant[c:d], leak[c:d],
                                threshold[c:d], current_leak[c:d], fired[c:d], traced[stage],
                            )  # fmt: skip
                        reset_late(mine, voltage, threshold, reset, fired)
                    else:
                        for j in range(a, b):
                            fired[j] = advance(
                                j, now[j], voltage, current, inhibition, over, resting, leak,
                                threshold, reset, current_leak, gain, prompt, refractory,
                            )  # fmt: skip
                            now[j] = constant[j]
                    n = np.uint64(0)
                    for w in range(np.uint64(a >> 3), np.uint64((b + 7) >> 3)):
                        if words[w]:
                            at = np.int64(w) * 8
                            byte = as_bits(words[w], max(a - at, 0), max(at + 8 - b, 0))
                            for k in range(np.uint64(8)):
                                lit[n + k] = np.int32(at) + np.int32(BITS[byte, k])
                            n += np.uint64(NUMBER[byte])
                    senders = np.int64(n)
                    if plain[stage]:
                        for e in range(senders):
                            hot[a + e] = lit[e]
                        hots[stage] = senders
                    if recording:
                        for e in range(senders):
                            listed[found + e] = order[lit[e]]
                        per_step[sample, t] += senders
                        found += senders
                spikes = stage >= 0 or not weighted
                size = spans[stage + 1, 2]
                if size > 0 and spikes:
                    for e in range(np.uint64(senders)):
                        if stage >= 0:
                            i = np.uint64(first + order[np.uint64(lit[e])])
                            if count[i] == 0:
                                latency[sample, np.int64(i) - first] = t
                            count[i] += 1
                        else:
                            i = np.uint64(drive_channel[np.uint64(at) + e])
                        job_begin[e] = begins[i]
                    there = slot + spans[stage + 1, 0]
                    if there >= slots:
                        there -= slots
                    here = there * wide + spans[stage + 1, 1]
                    add_rows(flat, here, row, job_begin, 0, senders, size)
                    continue
                # What they send: first all is asked for, then it is added up.
                jobs = 0
                for e in range(senders):
                    value = np.float32(1)
                    if stage >= 0:
                        i = first + order[lit[e]]
                        if count[i] == 0:
                            latency[sample, i - first] = t
                        count[i] += 1
                    elif bias and e == senders - 1:
                        i = np.int64(first - 1)
                    else:
                        i = np.int64(drive_channel[at + e])
                        if weighted:
                            value = drive_value[at + e]
                    for seg in range(seg_offsets[i], seg_offsets[i + 1]):
                        delay, start = segments[seg, 0], segments[seg, 1]
                        begin, end = segments[seg, 2], segments[seg, 3]
                        there = slot + delay
                        if there >= slots:
                            there -= slots
                        job_at[jobs] = there * wide
                        job_begin[jobs] = begin
                        job_size[jobs] = begin - end  # below zero: a list
                        if start >= 0:
                            job_at[jobs] += start
                            job_size[jobs] = end - begin
                        job_value[jobs] = value
                        jobs += 1
                e = 0
                while e < jobs:
                    here, begin, size = job_at[e], job_begin[e], job_size[e]
                    if size > 0 and spikes:
                        same = e + 1
                        while same < jobs and (
                            job_at[same] == here and job_size[same] == size
                        ):
                            same += 1
                        add_rows(flat, here, row, job_begin, e, same, size)
                        e = same
                        continue
                    if e + 1 < jobs and job_size[e + 1] < 0:
                        soon = job_begin[e + 1]
                        for k in range(2 * soon, 2 * (soon - job_size[e + 1]), 16):
                            prefetch(pairs, k)
                    value = job_value[e]
                    if size > 0:
                        part, more = flat[here : here + size], row[begin : begin + size]
                        for k in range(size):
                            part[k] += value * more[k]
                    elif value == 1:
                        inbox = flat[here : here + neurons]
                        # Four at a time: the targets of a source differ, so that all may be
                        # read before the first is written.
                        k, last = np.uint64(2 * begin), np.uint64(2 * (begin - size))
                        fours = last - (last - k) % np.uint64(8)
                        while k < fours:
                            one, two = np.uint64(pairs[k]), np.uint64(pairs[k + TWO])
                            three, four = (
                                np.uint64(pairs[k + FOUR]),
                                np.uint64(pairs[k + SIX]),
                            )
                            first_sum = inbox[one] + loads[k + ONE]
                            second_sum = inbox[two] + loads[k + THREE]
                            third_sum = inbox[three] + loads[k + FIVE]
                            inbox[four] += loads[k + SEVEN]
                            inbox[one] = first_sum
                            inbox[two] = second_sum
                            inbox[three] = third_sum
                            k += EIGHT
                        while k < last:
                            inbox[np.uint64(pairs[k])] += loads[k + ONE]
                            k += TWO
                    else:
                        inbox = flat[here : here + neurons]
                        for k in range(2 * begin, 2 * (begin - size), 2):
                            inbox[np.uint64(pairs[k])] += value * loads[k + 1]
                    e += 1
            for k in range(watched.size):
                traces[sample, t, k] = voltage[watched[k]]
    return found


@njit(**PART)
def sort_by_part(size, part_of, senders, reads):
    """Sort senders by the part of the step in which they spike: Shell's sort, in place."""
    gap = size // 2
    while gap:
        for e in range(gap, size):
            part, i, n = part_of[e], senders[e], reads[e]
            at = e
            while at >= gap and part_of[at - gap] > part:
                part_of[at] = part_of[at - gap]
                senders[at] = senders[at - gap]
                reads[at] = reads[at - gap]
                at -= gap
            part_of[at], senders[at], reads[at] = part, i, n
        gap //= 2


@njit(**KERNEL)
def run_physical(
    first, bias, begin_sample, end_sample, begin_step, end_step, steps,
    drive_offsets, drive_channel, drive_value, drive_pulses,
    bounds, plain, traced, alike, order,
    offsets, target, weight, delay, noise_power, constant, constant_power,
    leak, threshold, reset, current_leak, gain, prompt, refractory,
    noise, window, windows, routed, depth, start_offsets, start_nodes, row_offsets, row_synapse,
    rows, is_router, neighbour, capacity, lines, widest, table_start, table, strong_offsets,
    strong, peak, leakage, reference,
    voltage, current, inhibition, over, resting, arriving, power, fired, hot, hots,
    counts, latency, watched, traces, listed, per_step, asserted,
):  # fmt: skip
    """As `run`, with what changes from spike to spike: noise of reading, spikes that coincide.

    If `noise_power` has entries it is the variance that a read of each synapse adds, and `noise`
    holds a normal number for each neuron at each step of this call. If `routed`, the spikes of a
    stage that fall into the same of `windows` (their numbers are in `window`, one for each
    source and step of this call, if there are several) travel together: a line carries any
    number of them as one, and a column of a routing tile is asserted once all that its active
    rows conduct exceeds `reference`. `asserted` counts how often each row is driven. `constant`
    and `constant_power` are the current of the bias line and its noise, unless it spikes (`bias`).
    """
    neurons = leak.size
    slots = arriving.shape[0]
    noisy = noise_power.size > 0
    nodes = peak.size if routed else 0
    cells = is_router.size if routed else 0
    stamp = np.zeros(nodes, np.int64)
    following = np.empty(nodes, np.int64)  # active rows of a cell: a linked list
    head = np.empty(cells, np.int64)
    head_stamp = np.zeros(cells, np.int64)
    crowd_stamp = np.zeros(cells, np.int64)
    bound = np.empty(cells, np.float64)
    crowded = np.empty(cells, np.int64)
    queue = np.empty(nodes, np.int64)
    widest_router = 0
    for c in range(cells):
        widest_router = max(widest_router, 4 * lines[c])
    total = np.empty(widest_router, np.float32)
    wave = 0
    found = 0
    senders = np.empty(max(neurons, offsets.size), np.int64)
    reads = np.empty(senders.size, np.int64)
    part_of = np.zeros(senders.size, np.int32)
    values = np.empty(senders.size, np.float32)
    for sample in range(begin_sample, end_sample):
        if begin_step == 0:
            for j in range(neurons):
                voltage[j] = 0
                current[j] = 0
                inhibition[j] = 0
                over[j] = False
                resting[j] = 0
                for slot in range(slots):
                    arriving[slot, j] = constant[j]
                    power[slot, j] = constant_power[j]
            for stage in range(hots.size):
                hots[stage] = 0
        count = counts[sample]
        for t in range(begin_step, end_step):
            here = t % slots
            row_of = (sample - begin_sample) * (end_step - begin_step) + t - begin_step
            for stage in range(-1, bounds.size - 1):
                sending = 0
                if stage < 0:
                    for e in range(
                        drive_offsets[sample * steps + t],
                        drive_offsets[sample * steps + t + 1],
                    ):
                        senders[sending] = drive_channel[e]
                        values[sending] = drive_value[e] if drive_value.size else 1
                        reads[sending] = drive_pulses[e] if drive_pulses.size else 1
                        sending += 1
                    if bias:
                        senders[sending] = first - 1
                        values[sending] = 1
                        reads[sending] = 1
                        sending += 1
                else:
                    now = arriving[here]
                    a, b = bounds[stage], bounds[stage + 1]
                    if noisy:
                        spread, draw = power[here], noise[row_of]
                        for j in range(a, b):
                            now[j] += np.sqrt(spread[j]) * draw[j]
                            spread[j] = constant_power[j]
                    if plain[stage]:
                        mine = hot[a : a + hots[stage]]
                        for j in mine:
                            if reset[j] == 1:
                                voltage[j] = np.float32(0)
                        if alike[stage]:
                            integrate_alike(
                                now[a:b], voltage[a:b], constant[a:b], leak[a], threshold[a],
                                fired[a:b],
                            )  # fmt: skip
                        else:
                            integrate(
                                now[a:b], voltage[a:b], current[a:b], constant[a:b], leak[a:b],
                                threshold[a:b], current_leak[a:b], fired[a:b], traced[stage],
                            )  # fmt: skip
                        reset_late(mine, voltage, threshold, reset, fired)
                    else:
                        for j in range(a, b):
                            fired[j] = advance(
                                j, now[j], voltage, current, inhibition, over, resting, leak,
                                threshold, reset, current_leak, gain, prompt, refractory,
                            )  # fmt: skip
                            now[j] = constant[j]
                    for j in range(a, b):
                        if not fired[j]:
                            continue
                        hot[a + sending] = j
                        who = order[j]
                        senders[sending] = first + who
                        values[sending] = 1
                        reads[sending] = 1
                        sending += 1
                        if count[first + who] == 0:
                            latency[sample, who] = t
                        count[first + who] += 1
                        if per_step.size:
                            listed[found] = who
                            found += 1
                            per_step[sample, t] += 1
                    hots[stage] = sending
                if not routed:
                    for e in range(sending):
                        i, value = senders[e], values[e]
                        for k in range(offsets[i], offsets[i + 1]):
                            slot = here + delay[k]
                            if slot >= slots:
                                slot -= slots
                            arriving[slot, target[k]] += value * weight[k]
                            if noisy:
                                # A current is one read at its height, pulses are a read each.
                                scale = (
                                    value * value if drive_pulses.size == 0 else reads[e]
                                )
                                power[slot, target[k]] += scale * noise_power[k]
                    continue
                most = 0
                for e in range(sending):
                    most = max(most, reads[e])
                if windows > 1:
                    for e in range(sending):
                        part_of[e] = window[row_of, senders[e]]
                    sort_by_part(sending, part_of, senders, reads)
                for pulse in range(most):
                    after = 0
                    while after < sending:
                        before = after
                        while after < sending and part_of[after] == part_of[before]:
                            after += 1
                        waiting = 0
                        wave += 1
                        for e in range(before, after):
                            i = senders[e]
                            if reads[e] <= pulse:
                                continue
                            for k in range(start_offsets[i], start_offsets[i + 1]):
                                if stamp[start_nodes[k]] != wave:
                                    stamp[start_nodes[k]] = wave
                                    queue[waiting] = start_nodes[k]
                                    waiting += 1
                        at = 0
                        crowds = 0
                        while at < waiting:
                            node = queue[at]
                            at += 1
                            cell = node // rows
                            asserted[node] += 1
                            if not is_router[cell]:
                                for e in range(row_offsets[node], row_offsets[node + 1]):
                                    k = row_synapse[e]
                                    j = target[k]
                                    # What comes too late for this step counts in the next.
                                    late = delay[k] == 0 and depth[j] <= stage
                                    slot = (t + delay[k] + late) % slots
                                    arriving[slot, j] += weight[k]
                                    if noisy:
                                        power[slot, j] += noise_power[k]
                            else:
                                if head_stamp[cell] != wave:
                                    head_stamp[cell] = wave
                                    head[cell] = -1
                                    bound[cell] = (4 * lines[cell] - 1) * leakage
                                following[node] = head[cell]
                                head[cell] = node
                                bound[cell] += peak[node]
                                for e in range(
                                    strong_offsets[node], strong_offsets[node + 1]
                                ):
                                    there = strong[e]
                                    if stamp[there] != wave:
                                        stamp[there] = wave
                                        queue[waiting] = there
                                        waiting += 1
                                if bound[cell] > reference and crowd_stamp[cell] != wave:
                                    crowd_stamp[cell] = wave
                                    crowded[crowds] = cell
                                    crowds += 1
                            while at == waiting and crowds:
                                # Several weak devices may do together what none does alone.
                                crowds -= 1
                                cell = crowded[crowds]
                                crowd_stamp[cell] = 0
                                width = 4 * lines[cell]
                                for c in range(width):
                                    total[c] = (width - 1) * leakage
                                row = head[cell]
                                while row >= 0:
                                    inside = row % rows
                                    base = table_start[cell] + width * (
                                        inside // widest * lines[cell] + inside % widest
                                    )
                                    for c in range(width):
                                        total[c] += table[base + c]
                                    row = following[row]
                                for side in range(4):
                                    for line in range(capacity[cell, side]):
                                        if total[side * lines[cell] + line] > reference:
                                            there = (
                                                neighbour[cell, side] * rows
                                                + (side + 2) % 4 * widest
                                                + line
                                            )
                                            if stamp[there] != wave:
                                                stamp[there] = wave
                                                queue[waiting] = there
                                                waiting += 1
            for k in range(watched.size):
                traces[sample, t, k] = voltage[watched[k]]
    return found
