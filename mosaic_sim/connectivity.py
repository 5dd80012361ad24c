"""Random connectivity of small-world chips: which neuron reaches which tile.

A connection joins a neuron to a whole tile: once its line arrives, all synapses there come
free. How many there are is fixed by the distance in hops, and which ones is drawn.

Source: the creation of connections in the code of Weber, Ballet and Payvand,
arXiv:2412.01575 (``DEEP_R.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip

    Draw = Callable[[int, Sequence[int]], list[NDArray[np.int64]]]

__all__ = ["draw_reach"]


def draw_reach(
    chip: Chip, shares: Mapping[int, float], seed: int, *, as_published: bool = False
) -> NDArray[np.bool_]:
    """Draw the tiles that each neuron reaches, with a fixed number for each distance.

    For each tile and each distance of d hops, ``round(p_d * k * n_d)`` of the ``k * n_d``
    pairs of one of its k neurons and one of the n_d tiles at that distance are drawn, without
    replacement, all equally likely. Halves are rounded to the even number.

    Parameters
    ----------
    chip : Chip
        Its grid and its neurons a tile; its lines are not looked at.
    shares : mapping of int to float
        Share p_d, 0 to 1, of the pairs at distance d that are connected. All other distances,
        and the own tile (distance 0), have none.
    seed : int
        From 0 to 2**32 - 1.
    as_published : bool
        Draw with the generator that the authors used, so that a seed of theirs gives their
        network: Threefry-2x32 (Salmon et al. 2011) with the counters laid out as JAX did
        before version 0.5. By default PCG64, as NumPy has it.

    Returns
    -------
    bool array, (neurons, tiles)
        Row j is neuron j, on tile ``j // neurons_per_tile``.

    Raises
    ------
    MosaicError
        If a distance is not an integer from 1, a share is not from 0 to 1, or the seed is not
        one.

    Examples
    --------
    Every neuron of a 2 x 2 chip reaches both neighbours; in addition, a quarter of the pairs
    with the diagonal tile is connected: one of four for each tile.

    >>> from mosaic_sim import Chip
    >>> chip = Chip(2, 2, neurons_per_tile=4, tile_lines=4, r0_lines=4, r1_lines=4)
    >>> reach = draw_reach(chip, {1: 1.0, 3: 0.25}, seed=0)
    >>> reach.shape, int(reach.sum())
    ((16, 4), 36)
    """
    if (
        isinstance(seed, bool)
        or not isinstance(seed, int | np.integer)
        or not 0 <= seed < 1 << 32
    ):
        raise MosaicError(f"seed is {seed!r}; it needs an integer from 0 to 2**32 - 1.")
    if not isinstance(shares, Mapping):
        raise MosaicError(
            "shares needs a mapping of distances in hops to shares from 0 to 1."
        )
    for hops, share in shares.items():
        if isinstance(hops, bool) or not isinstance(hops, int | np.integer) or hops < 1:
            raise MosaicError(
                f"shares has the distance {hops!r}; it needs whole hops from 1 (the own tile "
                "takes no line)."
            )
        if not isinstance(share, int | float | np.number) or not 0 <= share <= 1:
            raise MosaicError(
                f"shares[{hops}] is {share!r}; it needs a number from 0 to 1."
            )
    k = chip.neurons_per_tile
    jobs = []
    for tile in range(chip.tiles):
        for hops, share in sorted(shares.items()):
            there = np.flatnonzero(chip.tile_hops[tile] == hops)
            count = int(np.rint(share * k * there.size))
            if count:
                jobs.append((tile, there, count))
    draw: Draw = _threefry_permutations if as_published else _permutations
    orders = draw(int(seed), [k * there.size for _, there, _ in jobs])
    reach = np.zeros((k * chip.tiles, chip.tiles), np.bool_)
    for (tile, there, count), order in zip(jobs, orders, strict=True):
        neuron, at = np.divmod(order[:count], there.size)
        reach[tile * k + neuron, there[at]] = True
    return reach


def _permutations(seed: int, sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Draw one permutation for each size."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(size) for size in sizes]


# --- the authors' generator ---------------------------------------------------------------

PARITY = np.uint32(0x1BD11BDA)
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
"""Constants of Threefry-2x32, Salmon et al. 2011, table 2."""


def _threefry(key: NDArray[np.uint32], size: int) -> NDArray[np.uint32]:
    """Encrypt the counters 0 to ``size - 1``: the first half pairs with the second.

    An odd size gets one counter more, 0, whose word is left out.
    """
    counters = np.zeros(size + size % 2, np.uint32)
    counters[:size] = np.arange(size)
    keys = np.array([key[0], key[1], key[0] ^ key[1] ^ PARITY], np.uint32)
    left, right = counters.reshape(2, -1) + keys[:2, None]
    for group in range(5):
        for bits in ROTATIONS[group % 2]:
            left = left + right
            right = (right << np.uint32(bits) | right >> np.uint32(32 - bits)) ^ left
        left = left + keys[(group + 1) % 3]
        # One element, not a scalar: only arrays wrap around without a warning.
        right = right + (keys[(group + 2) % 3] + np.array([group + 1], np.uint32))
    return np.concatenate([left, right])[:size]


def _threefry_permutations(seed: int, sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Draw one permutation for each size, as ``jax.random.permutation`` did.

    A key for each is split off, and another from that; random words of that key are sorted.
    JAX repeats this from 1,626 elements on, where two words are likely to be equal.
    """
    keys = _threefry(np.array([0, seed], np.uint32), 2 * (len(sizes) + 1)).reshape(-1, 2)
    orders = []
    for key, size in zip(keys, sizes, strict=False):
        order = np.arange(size)
        for _ in range(int(np.ceil(3 * np.log(max(size, 1)) / np.log(0xFFFFFFFF)))):
            key, words = _threefry(key, 4).reshape(2, 2)
            order = order[np.argsort(_threefry(words, size), kind="stable")]
        orders.append(order)
    return orders
