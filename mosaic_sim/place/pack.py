"""A network in pieces: pieces that nothing joins are packed into tiles like parcels.

A piece of ``q N + x`` neurons on tiles of N needs q tiles of its own and x slots of one more.
Laid out one after the other along a curve of neighbouring tiles, pieces whose x together fill
no more than one tile touch no tile that they need not touch, and small ones after them stay
whole. So what has to be solved is bin packing: x of the large and the size of the small pieces
into bins of N. Bins are filled one by one, as full as can be, largest pieces first.

Source: J. N. D. Gupta and J. C. Ho, "A new heuristic algorithm for the one-dimensional
bin-packing problem", Production Planning & Control 10 (1999), for filling one bin at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.place.partition import Links

__all__ = ["fill_bins", "pack"]

MOST_TILES = 8
"""Tiles of the largest piece for which a place on a curve is good enough."""
ATTEMPTS = 20


def pack(
    links: Links, neurons: int, size: int, tiles: NDArray[np.int64], seed: int
) -> NDArray[np.int64] | None:
    """Return a tile for each neuron; None if the network does not fall into small pieces.

    `links` join neurons only; `tiles` lie along a curve and have room for `size` each.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components, reverse_cuthill_mckee

    graph = csr_array(
        (links.weight, links.partner, links.offsets), shape=(neurons, neurons)
    )
    count, piece = connected_components(graph, directed=False)
    members = np.bincount(piece, minlength=count)
    if count < 2 or members.max() > MOST_TILES * size:
        return None
    own = (members - 1) // size  # tiles of its own
    rest = members - own * size
    bins = fill_bins(rest, size, tiles.size - int(own.sum()), np.random.default_rng(seed))
    if bins is None:
        return None
    # Within a piece neighbours lie together: it may stretch over several tiles.
    order = reverse_cuthill_mckee(graph, symmetric_mode=True).astype(np.int64)
    order = order[np.argsort(piece[order], kind="stable")]
    begin = np.cumsum(members) - members
    tile = np.empty(neurons, np.int64)
    at = 0
    for some in bins:
        large_first = sorted(some, key=lambda p: -own[p])
        who = np.concatenate([order[begin[p] : begin[p] + members[p]] for p in large_first])
        tile[who] = tiles[at + np.arange(who.size) // size]
        at += int(own[some].sum()) + 1
    return tile


def fill_bins(
    sizes: NDArray[np.int64], room: int, bins: int, rng: np.random.Generator
) -> list[list[int]] | None:
    """Share items out over at most `bins` bins of `room`; None if no way was found.

    Examples
    --------
    >>> fill_bins(np.array([5, 4, 3, 3, 3]), 9, 2, np.random.default_rng(0))
    [[0, 1], [2, 3, 4]]
    """
    by_size: list[list[int]] = [[] for _ in range(room + 1)]
    for item, size in enumerate(sizes.tolist()):
        by_size[size].append(item)
    for attempt in range(ATTEMPTS):
        left = [len(items) for items in by_size]
        taken: list[list[int]] = []
        while any(left) and len(taken) < bins:
            top = max(s for s in range(room + 1) if left[s])
            left[top] -= 1
            chosen = [top, *_best_fill(left, room - top, rng if attempt else None)]
            for size in chosen[1:]:
                left[size] -= 1
            taken.append(chosen)
        if not any(left):
            stock = [list(reversed(items)) for items in by_size]
            return [[stock[size].pop() for size in chosen] for chosen in taken]
    return None


def _best_fill(left: list[int], room: int, rng: np.random.Generator | None) -> list[int]:
    """Sizes of the items that fill `room` best, as large ones as possible."""
    best: list[int] = []
    least = room
    budget = 2_000

    def search(size: int, free: int, chosen: list[int]) -> bool:
        nonlocal best, least, budget
        budget -= 1
        if free < least:
            best, least = chosen.copy(), free
        if least == 0 or budget < 0:
            return True
        usable = [s for s in range(min(size, free), 0, -1) if left[s]]
        if rng is not None and len(usable) > 1 and rng.random() < 0.3:
            usable = usable[1:] + usable[:1]
        for s in usable:
            if chosen.count(s) < left[s]:
                chosen.append(s)
                if search(s, free - s, chosen):
                    return True
                chosen.pop()
        return False

    search(room, room, [])
    return best
