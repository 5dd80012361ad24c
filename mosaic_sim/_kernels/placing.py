"""Compiled loops that place clusters, each of them one tile's worth, on the sites of a chip.

Nodes are clusters, which have one site each, and ports, which stay where they are. The cost is
``sum over links of weight x hops[rows apart, columns apart]``, each link counted once.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mosaic_sim._kernels.options import KERNEL, PART


@njit(**PART)
def draw(state):
    """Return the next of 2**32 whole numbers (xorshift64*; Vigna 2016) and step `state`."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.int64((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(32))


@njit(**PART)
def sort_pairs(key, item, first, last, stack):
    """Sort ``key[first:last]``, and `item` with it: Hoare's quicksort, pivots of three.

    ``np.argsort`` in a kernel takes Numba seconds to compile. `stack` has room for 128 bounds.
    """
    depth = 2
    stack[0], stack[1] = first, last - 1
    while depth > 0:
        depth -= 2
        low, high = stack[depth], stack[depth + 1]
        while high - low >= 15:
            middle = (low + high) >> 1
            for turn in range(4):
                a, b = low, middle
                if turn == 1:
                    a, b = middle, high
                if turn < 3 and not key[b] < key[a]:
                    continue
                if turn == 3:  # the pivot is kept at the end
                    a, b = middle, high
                key[a], key[b] = key[b], key[a]
                item[a], item[b] = item[b], item[a]
            pivot = key[high]
            i, j = low, high - 1
            while True:
                while i < high and key[i] < pivot:
                    i += 1
                while j >= low and pivot < key[j]:
                    j -= 1
                if i >= j:
                    break
                key[i], key[j] = key[j], key[i]
                item[i], item[j] = item[j], item[i]
                i += 1
                j -= 1
            key[i], key[high] = key[high], key[i]
            item[i], item[high] = item[high], item[i]
            # The larger part waits.
            if high - i > i - low:
                stack[depth], stack[depth + 1] = i + 1, high
                high = i - 1
            else:
                stack[depth], stack[depth + 1] = low, i - 1
                low = i + 1
            depth += 2
        for i in range(low + 1, high + 1):
            value, what = key[i], item[i]
            j = i
            while j > low and value < key[j - 1]:
                key[j], item[j] = key[j - 1], item[j - 1]
                j -= 1
            key[j], item[j] = value, what


@njit(**KERNEL)
def split_sites(x, y, site_row, site_column, site_of):
    """Give each cluster a site of its own: halve sites and clusters again and again.

    Sites are halved across their longer extent, clusters in the same numbers by `x` (columns)
    or `y` (rows). As many clusters as sites; the sites' rows and columns go to `site_of`.
    """
    n = x.size
    sites = np.empty(n, np.int64)
    nodes = np.empty(n, np.int64)
    for i in range(n):
        sites[i] = nodes[i] = i
    key = np.empty(n, np.float64)
    begin = np.empty(64, np.int64)
    end = np.empty(64, np.int64)
    stack = np.empty(128, np.int64)
    begin[0], end[0] = 0, n
    depth = 1
    while depth:
        depth -= 1
        a, b = begin[depth], end[depth]
        if b - a == 0:
            continue
        if b - a == 1:
            site_of[nodes[a]] = sites[a]
            continue
        r0, r1 = site_row[sites[a]], site_row[sites[a]]
        c0, c1 = site_column[sites[a]], site_column[sites[a]]
        for i in range(a, b):
            r0, r1 = min(r0, site_row[sites[i]]), max(r1, site_row[sites[i]])
            c0, c1 = min(c0, site_column[sites[i]]), max(c1, site_column[sites[i]])
        if r0 == r1 and c0 == c1:  # seats of one tile
            for i in range(a, b):
                site_of[nodes[i]] = sites[i]
            continue
        across = c1 - c0 >= r1 - r0
        big = np.float64(r1 - r0 + c1 - c0 + 1)
        for i in range(a, b):
            s = sites[i]
            if across:
                key[i] = (site_column[s] - c0) * big + site_row[s] - r0
            else:
                key[i] = (site_row[s] - r0) * big + site_column[s] - c0
        sort_pairs(key, sites, a, b, stack)
        # Cut between two columns (rows) where that is possible, as near the middle as may be.
        middle = (a + b) // 2
        cut = middle
        for i in range(a + 1, b):
            s, t = sites[i - 1], sites[i]
            fresh = (
                site_column[s] != site_column[t] if across else site_row[s] != site_row[t]
            )
            off = abs(i - middle)
            if fresh and 4 * off <= b - a and (cut == middle or off < abs(cut - middle)):
                cut = i
        for i in range(a, b):
            key[i] = x[nodes[i]] if across else y[nodes[i]]
        sort_pairs(key, nodes, a, b, stack)
        begin[depth], end[depth] = a, cut
        begin[depth + 1], end[depth + 1] = cut, b
        depth += 2


@njit(**KERNEL)
def layout_cost(offsets, partner, weight, row, column, hops):
    """Sum of weight x hops over all links of a symmetric graph, each counted once."""
    total = 0.0
    for a in range(offsets.size - 1):
        for k in range(offsets[a], offsets[a + 1]):
            b = partner[k]
            if b > a:
                total += weight[k] * hops[abs(row[a] - row[b]), abs(column[a] - column[b])]
    return total


@njit(**KERNEL)
def anneal_sites(
    offsets, partner, weight, row, column, site_of, node_at, site_row, site_column, tile_site,
    hops, reach, hot, cold, proposals, state,
):  # fmt: skip
    """Swap clusters, or move them to empty sites, by simulated annealing; return the change.

    Proposes sites beside a partner of the cluster, or at most `reach` rows and columns away.
    `row`, `column` are those of all nodes; `node_at` is -1 at an empty site; `tile_site` the
    site of each tile of the array, -1 if it has none. Temperature falls from `hot` to `cold`.
    """
    rows, columns = tile_site.shape
    clusters = site_of.size
    change = 0.0
    heat = hot
    cooling = (cold / hot) ** (1.0 / max(proposals, 1)) if hot > 0 else 0.0
    for _ in range(proposals):
        heat *= cooling
        a = draw(state) % clusters
        here = site_of[a]
        r, c = row[a], column[a]
        links = offsets[a + 1] - offsets[a]
        spread = reach
        if links > 0 and draw(state) % 2 == 0:
            b = partner[offsets[a] + draw(state) % links]
            r, c = row[b], column[b]
            spread = 1
        r += draw(state) % (2 * spread + 1) - spread
        c += draw(state) % (2 * spread + 1) - spread
        if r < 0 or r >= rows or c < 0 or c >= columns:
            continue
        there = tile_site[r, c]
        if there < 0 or there == here:
            continue
        b = node_at[there]
        r0, c0 = row[a], column[a]
        delta = 0.0
        for k in range(offsets[a], offsets[a + 1]):
            o = partner[k]
            if o != b:
                delta += weight[k] * (
                    hops[abs(r - row[o]), abs(c - column[o])]
                    - hops[abs(r0 - row[o]), abs(c0 - column[o])]
                )
        if b >= 0:
            for k in range(offsets[b], offsets[b + 1]):
                o = partner[k]
                if o != a:
                    delta += weight[k] * (
                        hops[abs(r0 - row[o]), abs(c0 - column[o])]
                        - hops[abs(r - row[o]), abs(c - column[o])]
                    )
        if delta > 0 and (
            heat <= 0 or delta > -heat * np.log((draw(state) + 1.0) * 2.0**-32)
        ):
            continue
        change += delta
        row[a], column[a], site_of[a] = r, c, there
        node_at[there] = a
        node_at[here] = b
        if b >= 0:
            row[b], column[b], site_of[b] = r0, c0, here
    return change


@njit(**KERNEL)
def swap_search(ties, size, starts, state, best):
    """Best shares of all nodes among parts of `size`, from random starts; the weight cut.

    Every start is led downhill by the exchange of two nodes that gains most.
    """
    n = ties.shape[0]
    part = np.empty(n, np.int64)
    tied = np.empty((n, n // size), np.int64)
    least = np.int64(1) << 60
    for _ in range(starts):
        for v in range(n):
            part[v] = v // size
        for v in range(n - 1, 0, -1):
            w = draw(state) % (v + 1)
            part[v], part[w] = part[w], part[v]
        tied[:] = 0
        for v in range(n):
            for w in range(n):
                tied[v, part[w]] += ties[v, w]
        while True:
            gain = 0
            a = b = 0
            for v in range(n):
                for w in range(v):
                    p, q = part[v], part[w]
                    if p != q:
                        more = tied[v, q] - tied[v, p] + tied[w, p] - tied[w, q]
                        more -= 2 * ties[v, w]
                        if more > gain:
                            gain, a, b = more, v, w
            if gain == 0:
                break
            p, q = part[a], part[b]
            part[a], part[b] = q, p
            for v in range(n):
                tied[v, p] += ties[v, b] - ties[v, a]
                tied[v, q] += ties[v, a] - ties[v, b]
        cut = 0
        for v in range(n):
            for w in range(v):
                if part[v] != part[w]:
                    cut += ties[v, w]
        if cut < least:
            least = cut
            best[:] = part
    return least


@njit(**KERNEL)
def gram(a, b, out):
    """``out = a.T @ b`` for long thin arrays, added up in one order on every machine."""
    out[:] = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            for k in range(b.shape[1]):
                out[j, k] += a[i, j] * b[i, k]


@njit(**KERNEL)
def orthonormalise(x):
    """Make columns orthonormal one after the other, in place; dependent ones become zero."""
    n, m = x.shape
    for j in range(m):
        before = 0.0
        for i in range(n):
            before += x[i, j] * x[i, j]
        for _ in range(2):  # once more: the first time leaves rounding errors
            for k in range(j):
                along = 0.0
                for i in range(n):
                    along += x[i, k] * x[i, j]
                for i in range(n):
                    x[i, j] -= along * x[i, k]
        after = 0.0
        for i in range(n):
            after += x[i, j] * x[i, j]
        scale = 0.0
        if after > 1e-20 * before and after > 0.0:
            scale = 1.0 / np.sqrt(after)
        for i in range(n):
            x[i, j] *= scale


@njit(**KERNEL)
def eigen(matrix, vectors):
    """Diagonalise a small symmetric matrix in place by Jacobi rotations; its eigenvectors."""
    m = matrix.shape[0]
    vectors[:] = 0.0
    for i in range(m):
        vectors[i, i] = 1.0
    for _ in range(30):
        for p in range(m):
            for q in range(p + 1, m):
                if abs(matrix[p, q]) < 1e-15:
                    continue
                theta = (matrix[q, q] - matrix[p, p]) / (2.0 * matrix[p, q])
                sign = 1.0 if theta >= 0 else -1.0
                t = sign / (abs(theta) + np.sqrt(theta * theta + 1.0))
                c = 1.0 / np.sqrt(t * t + 1.0)
                s = t * c
                for i in range(m):
                    one, two = matrix[i, p], matrix[i, q]
                    matrix[i, p], matrix[i, q] = c * one - s * two, s * one + c * two
                for i in range(m):
                    one, two = matrix[p, i], matrix[q, i]
                    matrix[p, i], matrix[q, i] = c * one - s * two, s * one + c * two
                for i in range(m):
                    one, two = vectors[i, p], vectors[i, q]
                    vectors[i, p], vectors[i, q] = c * one - s * two, s * one + c * two
