"""Compiled loops over what spikes cost: events counted, devices listed, energy by step."""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.intrinsics import prefetch
from mosaic_sim._kernels.options import KERNEL, PART

# Unsigned, so that no index is tested for being below 0.
ONE, TWO, THREE, FOUR = (np.uint64(k) for k in range(1, 5))
AHEAD = 2
"""Spikes ahead of the one at hand, whose lists are asked for from memory."""


@njit(**PART)
def tally(
    i, n, first, offsets, target, level, tile, link_offsets, link_cell, link_side, port_cell,
    tile_cell, neighbour, is_router, router_lines, row_devices, seated, kinds, counts, crossed,
):  # fmt: skip
    """Add to `counts` what n spikes of source i cause; mark with i + 1 what it reads in `crossed`.

    `seated` is the number of neurons on each tile. `kinds` holds the columns of: neuron spike,
    line driven, column compared, HCS read, LCS read, hop, input spike, column sensed, device
    read at level 0 (the other levels follow it).
    """
    spike, driven, compared, hcs, lcs, hop, enters, sensed, base = kinds
    home = np.int64(-1)
    if i >= first:
        home = np.int64(tile_cell[tile[i - first]])
        counts[home, spike] += n
    else:
        counts[port_cell[i], enters] += n
        counts[port_cell[i], driven] += n
    # Routing tiles: a row of each that the tree crosses, one HCS for each link onwards.
    wired = 0
    for k in range(link_offsets[i], link_offsets[i + 1]):
        cell = link_cell[k]
        counts[cell, driven] += n
        if not is_router[cell]:
            wired |= 1 << link_side[k]
            continue
        if crossed[cell] != i + 1:
            crossed[cell] = i + 1
            counts[cell, hop] += n
            counts[cell, compared] += 4 * router_lines[cell] * n
            counts[cell, lcs] += 4 * router_lines[cell] * n
        counts[cell, hcs] += n
        counts[cell, lcs] -= n
    # Wired outputs: a row of each router around the tile, whether the tree takes it or not.
    if home >= 0:
        for side in range(4):
            if not wired >> side & 1:
                cell = neighbour[home, side]
                counts[cell, compared] += 4 * router_lines[cell] * n
                counts[cell, lcs] += 4 * router_lines[cell] * n
    # Neuron tiles: a driven row reads all its devices, those without a synapse too.
    for k in range(offsets[i], offsets[i + 1]):
        there = tile[target[k]]
        cell = tile_cell[there]
        if crossed[cell] != i + 1:
            crossed[cell] = i + 1
            counts[cell, sensed] += seated[there] * n
            counts[cell, base] += row_devices * n
        counts[cell, base] -= n
        counts[cell, base + abs(level[k])] += n
    if home >= 0 and crossed[home] != i + 1:
        crossed[home] = i + 1
        counts[home, sensed] += seated[tile[i - first]] * n
        counts[home, base] += row_devices * n


@njit(**KERNEL)
def spike_events(
    first, offsets, level, reached_offsets, reached, tile, link_offsets, link_cell, link_side,
    is_router, edge_lines, router_lines, row_devices, seated, kinds, table, links,
):  # fmt: skip
    """What `tally` counts for one spike of each source, over all cells: `table` (sources, kinds).

    `edge_lines` are the lines of an R1, which is what surrounds a tile. `links` (cells) receives
    the number of links that leave each cell.
    """
    spike, driven, compared, hcs, lcs, hop, enters, sensed, base = kinds
    crossed = np.zeros(is_router.size, np.int64)
    for i in range(offsets.size - 1):
        count = table[i]
        wired = 0
        asserted = 0
        lines = 0
        hops = 0
        for k in range(link_offsets[i], link_offsets[i + 1]):
            cell = link_cell[k]
            links[cell] += 1
            if not is_router[cell]:
                wired |= 1 << link_side[k]
                continue
            asserted += 1
            if crossed[cell] != i + 1:
                crossed[cell] = i + 1
                hops += 1
                lines += router_lines[cell]
        rows = reached_offsets[i + 1] - reached_offsets[i]
        fronts = 0
        for k in range(reached_offsets[i], reached_offsets[i + 1]):
            fronts += seated[reached[k]]
        count[driven] = link_offsets[i + 1] - link_offsets[i]
        if i >= first:
            count[spike] = 1
            for side in range(4):
                if not wired >> side & 1:
                    lines += edge_lines
            own = False
            for k in range(reached_offsets[i], reached_offsets[i + 1]):
                own |= reached[k] == tile[i - first]
            if not own:
                rows += 1
                fronts += seated[tile[i - first]]
        else:
            count[enters] = 1
            count[driven] += 1
        count[hop] = hops
        count[compared] = 4 * lines
        count[hcs] = asserted
        count[lcs] = 4 * lines - asserted
        count[sensed] = fronts
        count[base] = rows * row_devices - (offsets[i + 1] - offsets[i])
        for k in range(offsets[i], offsets[i + 1]):
            count[base + abs(level[k])] += 1


@njit(**KERNEL)
def count_events(
    spikes, first, offsets, target, level, tile, link_offsets, link_cell, link_side, port_cell,
    tile_cell, neighbour, is_router, router_lines, row_devices, seated, kinds, counts,
):  # fmt: skip
    """Add to `counts` (cells, kinds) what `spikes` of each source cause."""
    crossed = np.zeros(is_router.size, np.int64)
    for i in range(spikes.size):
        if spikes[i]:
            tally(
                i, spikes[i], first, offsets, target, level, tile, link_offsets, link_cell,
                link_side, port_cell, tile_cell, neighbour, is_router, router_lines,
                row_devices, seated, kinds, counts, crossed,
            )  # fmt: skip


@njit(**KERNEL)
def row_prices(first, offsets, target, level, tile, prices, row_price):
    """Price of reading the rows that one spike of each source drives: (offsets, tiles, prices).

    `prices` are those of a device at each level, `row_price` that of a row in which all devices
    are at level 0, for each tile.
    """
    sources, tiles = offsets.size - 1, row_price.size
    start = np.zeros(sources + 1, np.int64)
    place = np.zeros(tiles, np.int64)  # of each tile in the list, + 1
    for fill in range(2):  # first count, then fill
        where = np.empty(start[sources] if fill else 0, np.int32)
        price = np.empty(where.size, np.float64)
        at = np.int64(0)
        for c in range(tiles):
            place[c] = 0
        for i in range(sources):
            begin = at
            if i >= first:
                home = tile[i - first]
                place[home] = at + 1
                if fill:
                    where[at] = home
                    price[at] = row_price[home]
                at += 1
            for k in range(offsets[i], offsets[i + 1]):
                there = tile[target[k]]
                if place[there] <= begin:
                    place[there] = at + 1
                    if fill:
                        where[at] = there
                        price[at] = row_price[there]
                    at += 1
                if fill:
                    price[place[there] - 1] += prices[abs(level[k])] - prices[0]
            start[i + 1] = at
    return start, where, price


@njit(**KERNEL)
def step_energy(row_offsets, source, times, start, where, price, energy):
    """Add up, for each row of spikes, the energy by tile; `energy` is (rows, tiles).

    A row holds the spikes of one step: sources ``source[row_offsets[r]:row_offsets[r + 1]]``, as
    many times as `times` says, if it is not empty.
    """
    for r in range(row_offsets.size - 1):
        spent = energy[r]
        last = row_offsets[r + 1]
        for e in range(row_offsets[r], last):
            if e + AHEAD < last:
                soon = source[e + AHEAD]
                for k in range(start[soon], start[soon + 1], 8):
                    prefetch(price, k)
                    prefetch(where, k)
            i = source[e]
            n = np.float64(times[e] if times.size else 1)
            # Four at a time, as in `link_loads`.
            k, end = np.uint64(start[i]), np.uint64(start[i + 1])
            fours = end - (end - k) % FOUR
            while k < fours:
                a, b = np.uint64(where[k]), np.uint64(where[k + ONE])
                c, d = np.uint64(where[k + TWO]), np.uint64(where[k + THREE])
                one, two = spent[a] + n * price[k], spent[b] + n * price[k + ONE]
                three, four = spent[c] + n * price[k + TWO], spent[d] + n * price[k + THREE]
                spent[a], spent[b], spent[c], spent[d] = one, two, three, four
                k += FOUR
            while k < end:
                spent[np.uint64(where[k])] += n * price[k]
                k += ONE


@njit(**KERNEL)
def count_places(row_offsets, source, times, place, counts):
    """Count, for each row of spikes, those of sources in each place; `counts` (rows, places)."""
    for r in range(row_offsets.size - 1):
        for e in range(row_offsets[r], row_offsets[r + 1]):
            if place[source[e]] >= 0:
                counts[r, place[source[e]]] += np.int32(times[e] if times.size else 1)


@njit(**KERNEL)
def link_loads(row_offsets, source, times, link_offsets, link, loads):
    """Add up, for each row of spikes, the spikes on each link; `loads` is (rows, 4 cells).

    `link` is ``side * cells + cell``.
    """
    for r in range(row_offsets.size - 1):
        load = loads[r]
        last = row_offsets[r + 1]
        for e in range(row_offsets[r], last):
            if e + AHEAD < last:
                soon = source[e + AHEAD]
                for k in range(link_offsets[soon], link_offsets[soon + 1], 16):
                    prefetch(link, k)
            i = source[e]
            n = np.int32(times[e] if times.size else 1)
            # Four at a time: the links of a source differ, so that all may be read before the
            # first is written.
            k, end = np.uint64(link_offsets[i]), np.uint64(link_offsets[i + 1])
            fours = end - (end - k) % FOUR
            while k < fours:
                a, b = np.uint64(link[k]), np.uint64(link[k + ONE])
                c, d = np.uint64(link[k + TWO]), np.uint64(link[k + THREE])
                more = load[a] + n, load[b] + n, load[c] + n, load[d] + n
                load[a], load[b], load[c], load[d] = more
                k += FOUR
            while k < end:
                load[np.uint64(link[k])] += n
                k += ONE


@njit(**KERNEL)
def cell_energy(
    loads,
    spikes,
    read,
    static,
    tile_cell,
    width,
    row_price,
    onward,
    driven,
    spike,
    hops,
    energy,
):
    """Hops over and energy of each cell in each row, from what its links carried; (rows, ...).

    `static` is what a cell spends in any step, `row_price` what it costs to read a row of a
    routing tile, `onward` what a link out of one costs besides the line it drives, `driven`;
    both are 0 for neuron tiles. Rows of cells are `width` long.
    """
    cells = static.size
    out = np.empty(cells, np.int32)
    wired = np.empty(cells, np.int32)
    for r in range(loads.shape[0]):
        through = hops[r]
        north, east = loads[r, :cells], loads[r, cells : 2 * cells]
        south, west = loads[r, 2 * cells : 3 * cells], loads[r, 3 * cells :]
        for c in range(cells):
            out[c] = (north[c] + east[c]) + (south[c] + west[c])
            wired[c] = 0
        # From the cell before or after, or one row up or down. The first and the last cell of
        # a row are no neighbours, and no link leaves the chip: those carry nothing.
        edge = cells - width
        for c in range(cells):
            if width <= c < edge:
                continue
            through[c] = 0
            if c + 1 < cells:
                through[c] += west[c + 1]
            if c >= 1:
                through[c] += east[c - 1]
            if c < edge:
                through[c] += north[c + width]
            if c >= width:
                through[c] += south[c - width]
        for c in range(width, edge):
            beside = west[np.uint64(c + 1)] + east[np.uint64(c - 1)]
            over = north[np.uint64(c + width)] + south[np.uint64(c - width)]
            through[np.uint64(c)] = beside + over
        # An output of a tile is wired: its row is read, taken or not.
        for tile in range(tile_cell.size):
            c, fired = tile_cell[tile], spikes[r, tile]
            through[c] = 0
            wired[c - width] += fired - north[c]
            wired[c + 1] += fired - east[c]
            wired[c + width] += fired - south[c]
            wired[c - 1] += fired - west[c]
        spent = energy[r]
        for c in range(cells):
            rows = through[c] + wired[c]
            spent[c] = (static[c] + out[c] * driven) + (
                rows * row_price[c] + out[c] * onward[c]
            )
        for tile in range(tile_cell.size):
            spent[tile_cell[tile]] += spikes[r, tile] * spike + read[r, tile]


@njit(**KERNEL)
def enter_energy(
    row_offsets, source, times, port_cell, leads_on, row_price, entering, hops, energy
):
    """Add what spikes from outside cost where they enter; an unread one goes no further."""
    for r in range(row_offsets.size - 1):
        for e in range(row_offsets[r], row_offsets[r + 1]):
            i = source[e]
            n = np.int32(times[e] if times.size else 1)
            cell = port_cell[i]
            energy[r, cell] += n * entering
            if leads_on[i]:
                hops[r, cell] += n
                energy[r, cell] += n * row_price[cell]
