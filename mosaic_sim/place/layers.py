"""Chunks of one layer each: the start for feed-forward networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.network import Network

__all__ = ["chunks_by_layer", "levels"]


def levels(network: Network) -> NDArray[np.int64]:
    """Layer of each neuron: synapses on the longest way to it; a cycle is one layer, (n,)."""
    n, first = network.neurons, network.first_neuron
    begin = network.offsets[first]
    offsets = network.offsets[first:] - begin
    target = network.target[begin:]
    plain: NDArray[np.int32] = _kernels.depths(
        first, network.offsets, network.target, _none(network), n
    )
    if n == 0 or plain.min() >= 0:
        return plain.astype(np.int64)
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    graph = csr_array((np.ones(target.size, bool), target, offsets), shape=(n, n))
    count, group = connected_components(graph, connection="strong")
    source = np.repeat(np.arange(n), np.diff(offsets))
    key = np.unique(group[source] * np.int64(count) + group[target])
    a, b = np.divmod(key, count)
    a, b = a[a != b], b[a != b]
    bounds = np.searchsorted(a, np.arange(count + 1))
    depth = _kernels.depths(
        0, bounds, b.astype(np.int32), np.zeros(b.size, np.int16), int(count)
    )
    layer: NDArray[np.int64] = depth[group].astype(np.int64)
    return layer


def _none(network: Network) -> NDArray[np.int16]:
    """No delays, so that every synapse counts; but not those from a neuron to itself."""
    own = network.source - network.first_neuron == network.target
    delay: NDArray[np.int16] = own.astype(np.int16)
    return delay


def chunks_by_layer(
    network: Network, room: NDArray[np.int64], order: NDArray[np.int64] | None = None
) -> NDArray[np.int64] | None:
    """Cut every layer into parts of equal size; (neurons,), or None if the tiles are too few.

    `room` are the neurons that each part may have, all alike; `order` of the neurons within
    their layers, by number if not given.
    """
    layer = levels(network)
    size = int(room.min())
    order = np.arange(network.neurons) if order is None else order
    order = order[np.argsort(layer[order], kind="stable")]
    members = np.bincount(layer)
    pieces = -(-members // max(size, 1))
    if pieces.sum() > room.size:
        return None
    part = np.empty(network.neurons, np.int64)
    begin = done = 0
    for count, many in zip(members.tolist(), pieces.tolist(), strict=True):
        who = order[begin : begin + count]
        part[who] = done + np.arange(count) * many // max(count, 1)
        begin, done = begin + count, done + many
    return part
