"""Swapping neurons between tiles so that connections get shorter: a policy to compare with.

Neurons far apart pay for each spike by the hops between them. Now and then the neurons with
most traffic try to change places with every other neuron, and the best change is made. Weights
are not touched, so what the network computes stays as it is. Unlike in a simulation, a neuron
that moves has to be written again; so a swap is made only if what it saves until the next change
is more than that.

Source: brain-inspired modular training, Liu, Gan and Tegmark, Entropy 26 (2024) 41; for
recurrent networks Liu, Khona, Fiete and Tegmark, arXiv:2310.07711. The price of rewriting is
ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Swaps", "connection_cost", "swapped"]


@dataclass(frozen=True, eq=False)
class Swaps:
    """What changed places, and the account.

    Parameters
    ----------
    tile : int array, (neurons,)
        Tile of each neuron afterwards.
    pairs : tuple of (int, int)
        Neurons that changed places, in order.
    saved : float [J]
        Energy per inference.
    paid : float [J]
        Energy of rewriting, once.
    """

    tile: NDArray[np.int64]
    pairs: tuple[tuple[int, int], ...]
    saved: float
    paid: float


def connection_cost(
    tile: NDArray[np.int64], flow: NDArray[np.float64], hops: NDArray[np.int64],
    anchor: NDArray[np.float64] | None = None,
) -> float:  # fmt: skip
    """Sum of flow times hops over all pairs of neurons, and of what anchors each to a tile.

    Parameters
    ----------
    tile : int array, (neurons,)
    flow : float64 array, (neurons, neurons) [J]
        Energy per hop and inference from one neuron to another, 0 where no synapse is; or
        absolute weights, for the cost of the source.
    hops : int array, (tiles, tiles)
    anchor : float64 array, (neurons, tiles), optional [J]
        Energy of having a neuron on a tile, for what does not move, such as inputs.

    Examples
    --------
    >>> flow = np.array([[0.0, 2.0], [0.0, 0.0]])
    >>> connection_cost(np.array([0, 1]), flow, np.array([[0, 3], [3, 0]]))
    6.0
    """
    cost = float((flow * hops[tile[:, None], tile]).sum())
    return (
        cost if anchor is None else cost + float(anchor[np.arange(tile.size), tile].sum())
    )


def swapped(
    tile: NDArray[np.int64], flow: NDArray[np.float64], hops: NDArray[np.int64], *,
    rewrite: NDArray[np.float64], inferences: float, busiest: int = 30, passes: int = 5,
    anchor: NDArray[np.float64] | None = None,
) -> Swaps:  # fmt: skip
    """Let the busiest neurons change places as long as that pays.

    Parameters
    ----------
    tile, flow, hops, anchor
        As in `connection_cost`; hops are the same in both directions.
    rewrite : float64 array, (neurons,) [J]
        Energy of writing each neuron elsewhere.
    inferences : float
        Until the next change: what is saved counts so often.
    busiest : int
        Neurons with most flow that try, in each pass.
    passes : int
        How often, at most; it ends when nothing pays any more.

    Returns
    -------
    Swaps

    Raises
    ------
    MosaicError
        If an array has not one row for each neuron, or hops are not symmetric.

    Examples
    --------
    >>> line = abs(np.subtract.outer(range(3), range(3)))  # neuron 0 talks to neuron 2
    >>> flow = np.array([[0, 0, 1.0], [0, 0, 0], [0, 0, 0]])
    >>> swapped(np.arange(3), flow, line, rewrite=np.ones(3), inferences=10).pairs
    ((0, 1),)
    >>> swapped(np.arange(3), flow, line, rewrite=np.ones(3), inferences=1).pairs
    ()
    """
    size = tile.size
    if flow.shape != (size, size) or rewrite.shape != (size,):
        raise MosaicError(
            f"flow has shape {flow.shape} and rewrite {rewrite.shape}; {size} neurons need "
            f"({size}, {size}) and ({size},)."
        )
    if not np.array_equal(hops, hops.T):
        raise MosaicError("hops has to be the same in both directions.")
    tile = tile.astype(np.int64)
    both = flow + flow.T
    np.fill_diagonal(both, 0.0)  # no way is shorter than to oneself
    fixed = np.zeros((size, len(hops))) if anchor is None else anchor
    order = np.argsort(-both.sum(1), kind="stable")[:busiest].tolist()
    pairs: list[tuple[int, int]] = []
    saved = paid = 0.0
    for _ in range(passes):
        before = len(pairs)
        for a in order:
            change = _changes(a, tile, both, hops, fixed)
            net = -change * inferences - rewrite[a] - rewrite
            net[tile == tile[a]] = -np.inf
            b = int(net.argmax())
            if net[b] <= 0:
                continue
            tile[[a, b]] = tile[[b, a]]
            pairs.append((a, b))
            saved -= float(change[b])
            paid += float(rewrite[a] + rewrite[b])
        if len(pairs) == before:
            break
    return Swaps(tile, tuple(pairs), saved, paid)


def _changes(
    a: int, tile: NDArray[np.int64], both: NDArray[np.float64], hops: NDArray[np.int64],
    anchor: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """Change of the cost if neuron `a` changed places with each neuron, (neurons,)."""
    between = hops[tile[:, None], tile]
    now = (both * between).sum(1)
    there, here = between @ both[a], both @ between[a]
    # The two stay as far apart as they are, which `there` and `here` take for 0.
    change: NDArray[np.float64] = there + here - now[a] - now + 2 * both[a] * between[a]
    every = np.arange(tile.size)
    change += anchor[a, tile] - anchor[a, tile[a]]
    change += anchor[every, tile[a]] - anchor[every, tile]
    return change
