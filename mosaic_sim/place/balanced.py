"""Balanced partition without geometry: as few synapses between tiles as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import CapacityError, MosaicError
from mosaic_sim.place.task import generator_state

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.network import Network

__all__ = ["balanced_partition", "crossing_synapses"]


def crossing_synapses(network: Network, part: ArrayLike) -> int:
    """Synapses between neurons of different parts, each direction counted.

    Parameters
    ----------
    part : int array, (neurons,)

    Examples
    --------
    >>> from mosaic_sim import Network
    >>> net = Network.from_synapses(
    ...     inputs=0, neurons=3, source=[0, 1, 2], target=[1, 0, 0], weight=1.0, delay=1
    ... )
    >>> crossing_synapses(net, [0, 0, 1])
    1
    """
    where = np.asarray(part)
    if where.shape != (network.neurons,):
        raise MosaicError(f"part has shape {where.shape}; it needs ({network.neurons},).")
    inside = network.source >= network.first_neuron
    source = network.source[inside] - network.first_neuron
    return int(np.count_nonzero(where[source] != where[network.target[inside]]))


def balanced_partition(
    network: Network, parts: int, size: int, *, starts: int = 200, seed: int = 0
) -> NDArray[np.int64]:
    """Put at most `size` neurons into each of `parts`, with few synapses between parts.

    From `starts` random shares, exchanges of two neurons (or a neuron and a free place) that
    gain most are made until none gains; the best result is returned. Meant for some tens of
    neurons. There is no distance: each synapse between two parts costs one.

    Parameters
    ----------
    parts, size : int
        Tiles, and neurons a tile.
    starts : int
    seed : int

    Returns
    -------
    int64 array, (neurons,)
        Part of each neuron; `crossing_synapses` is its cost.

    Raises
    ------
    CapacityError
        If the neurons do not fit.

    Notes
    -----
    Source: exchanges as in B. W. Kernighan and S. Lin, "An efficient heuristic procedure for
    partitioning graphs", Bell Syst. Tech. J. 49 (1970), one at a time and from many starts.
    """
    n = network.neurons
    if n > parts * size:
        raise CapacityError(
            f"{n} neurons do not fit {parts} parts of {size}: {n - parts * size} too many."
        )
    places = parts * size
    ties = np.zeros((places, places), np.int64)
    inside = network.source >= network.first_neuron
    source = network.source[inside] - network.first_neuron
    target = network.target[inside]
    np.add.at(ties, (source, target), 1)
    ties += ties.T.copy()
    np.fill_diagonal(ties, 0)
    best = np.empty(places, np.int64)
    _kernels.swap_search(ties, size, starts, generator_state(seed), best)
    return best[:n]
