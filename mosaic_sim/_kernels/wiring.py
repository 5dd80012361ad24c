"""Compiled loops that lay out what the time loop reads: input events, rows of synapses."""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.intrinsics import LANES
from mosaic_sim._kernels.options import KERNEL, PART

BITS = np.zeros((256, 8), np.uint8)
"""Places of the bits that are set in each byte, then zeros."""
for _byte in range(256):
    _set = [k for k in range(8) if _byte >> k & 1]
    BITS[_byte, : len(_set)] = _set
NUMBER = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(
    1, dtype=np.uint8
)
GATHER = np.uint64(0x0102040810204080)
"""Times eight bytes of 0 or 1, it has them as bits in its highest byte."""


@njit(**PART)
def as_bits(word, before, after):
    """Pack eight bytes of 0 or 1 to bits, without those `before` and `after` of others."""
    low, high = np.uint64(8 * before), np.uint64(8 * after)
    word = word >> low << low << high >> high
    return (word * GATHER) >> np.uint64(56)


@njit(**KERNEL)
def pack(words, sparse, channels, offsets, channel):
    """List the true entries of a bool array whose rows have `channels` entries.

    `words` is its memory, eight entries a word, the last filled up with zeros; `sparse` tells
    whether most are 0, so that it pays to look. Fills `offsets`
    (rows + 1), and `channel`, which needs eight entries more than there are true ones.
    """
    n = np.uint64(0)
    for row in range(offsets.size - 1):
        begin, end = row * channels, (row + 1) * channels
        for w in range(np.uint64(begin >> 3), np.uint64((end + 7) >> 3)):
            word = words[w]
            if sparse and word == 0:
                continue
            at = np.int64(w) * 8 - begin
            byte = as_bits(word, max(-at, 0), max(at + 8 - channels, 0))
            base = np.int32(at)
            for k in range(np.uint64(8)):
                channel[n + k] = base + np.int32(
                    BITS[byte, k]
                )  # those past `n` do not stay
            n += np.uint64(NUMBER[byte])
        offsets[row + 1] = n


@njit(**KERNEL)
def count_drive(offsets, channel, pulses, steps, counts):
    """Add the events of each sample to `counts` (samples, channels)."""
    for sample in range(counts.shape[0]):
        count = counts[sample]
        for e in range(offsets[sample * steps], offsets[(sample + 1) * steps]):
            count[channel[e]] += pulses[e] if pulses.size else 1


@njit(**KERNEL)
def wire(first, bias, offsets, target, weight, delay, rank, moved):
    """Sort the synapses of each source into segments of one delay.

    A segment whose targets lie close together becomes a dense row, with zeros in its gaps; the
    others keep a list of targets. Neuron j is number `rank[j]` in all tables (`moved` tells
    whether that changes anything). Synapses of delay 0 from the bias line are no segment: they
    are a constant current.

    Returns (seg_offsets, segments, pairs, row, constant, slots). A segment is (delay, start,
    begin, end): `start` is the first target of a dense row, whose weights are
    ``row[begin:end]``; or -1 for a list, of which synapse k has its target in ``pairs[2 * k]``
    and the bits of its weight beside it, in one cache line.
    """
    sources = offsets.size - 1
    constant = np.zeros(rank.size, np.float32)
    mixed = np.zeros(sources, np.bool_)
    longest = 0
    for i in range(sources):
        for k in range(offsets[i], offsets[i + 1]):
            longest = max(longest, delay[k])
            if delay[k] != delay[offsets[i]]:
                mixed[i] = True
    pairs = np.empty(2 * target.size, np.int32)
    loads = pairs.view(np.float32)
    count = np.zeros(longest + 2, np.int64)
    for i in range(sources):
        begin, end = offsets[i], offsets[i + 1]
        if mixed[i]:
            for d in range(longest + 2):
                count[d] = 0
            for k in range(begin, end):
                count[delay[k] + 1] += 1
            for d in range(longest):
                count[d + 1] += count[d]
            for k in range(begin, end):
                at = begin + count[delay[k]]
                count[delay[k]] += 1
                pairs[2 * at] = rank[target[k]]
                loads[2 * at + 1] = weight[k]
        else:
            for k in range(begin, end):
                pairs[2 * k] = rank[target[k]] if moved else target[k]
                loads[2 * k + 1] = weight[k]
    # Segments, and the room that dense rows need.
    seg_offsets = np.zeros(sources + 1, np.int64)
    for i in range(sources):
        found = 0
        if mixed[i]:
            for d in range(longest + 2):
                count[d] = 0
            for k in range(offsets[i], offsets[i + 1]):
                found += count[delay[k]] == 0
                count[delay[k]] = 1
        elif offsets[i] < offsets[i + 1]:
            found = 1
        seg_offsets[i + 1] = seg_offsets[i] + found
    segments = np.empty((seg_offsets[sources], 4), np.int64)
    spans = np.zeros((longest + 1, 2), np.int64)  # of the last dense row of each delay
    width = np.empty(segments.shape[0], np.int64)
    dense = 0
    for i in range(sources):
        begin, end = offsets[i], offsets[i + 1]
        if begin == end:
            continue
        seg = seg_offsets[i]
        if mixed[i]:
            for d in range(longest + 2):
                count[d] = 0
            for k in range(begin, end):
                count[delay[k]] += 1
            at = begin
            for d in range(longest + 1):
                if count[d]:
                    segments[seg, 0] = d
                    segments[seg, 2] = at
                    at += count[d]
                    segments[seg, 3] = at
                    seg += 1
        else:
            segments[seg, 0] = delay[begin]
            segments[seg, 2] = begin
            segments[seg, 3] = end
        for seg in range(seg_offsets[i], seg_offsets[i + 1]):
            segments[seg, 1] = -1
            begin, end = segments[seg, 2], segments[seg, 3]
            if bias and i == first - 1 and segments[seg, 0] == 0:
                for k in range(begin, end):
                    constant[pairs[2 * k]] += loads[2 * k + 1]
                segments[seg, 3] = begin
                continue
            least, most = pairs[2 * begin], pairs[2 * begin]
            for k in range(begin, end):
                least = min(least, pairs[2 * k])
                most = max(most, pairs[2 * k])
            # Rows of one span are added up four at a time: take the span of the last if it
            # fits. Spans are whole vectors: they start and end at multiples of LANES.
            span = spans[segments[seg, 0]]
            begin_span = least - least % LANES
            end_span = most + LANES - most % LANES
            if span[0] <= least and most < span[1] < span[0] + 4 * (end - begin):
                begin_span, end_span = span[0], span[1]
            if end - begin >= 8 and end_span - begin_span <= 4 * (end - begin):
                segments[seg, 1] = begin_span
                width[seg] = end_span - begin_span
                span[0], span[1] = begin_span, end_span
                dense += width[seg]
    row = np.zeros(dense, np.float32)
    at = 0
    for seg in range(segments.shape[0]):
        least = segments[seg, 1]
        if least >= 0:
            for k in range(segments[seg, 2], segments[seg, 3]):
                row[at + pairs[2 * k] - least] = loads[2 * k + 1]
            segments[seg, 2] = at
            at += width[seg]
            segments[seg, 3] = at
    return seg_offsets, segments, pairs, row, constant, longest + 1
