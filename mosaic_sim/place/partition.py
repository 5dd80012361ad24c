"""Which neurons share a tile, before it is said which tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mosaic_sim import _kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.network import Network

__all__ = ["Links", "foreign_rate", "link_graph", "metis", "neuron_links", "neurons_only"]


class Links(NamedTuple):
    """A symmetric graph without loops: who is tied to whom, and how strongly."""

    offsets: NDArray[np.int64]
    partner: NDArray[np.int32]
    weight: NDArray[np.float64]


def link_graph(a: NDArray, b: NDArray, weight: NDArray, nodes: int) -> Links:  # type: ignore[type-arg]
    """Add up the weights of all pairs (a, b), whichever comes first."""
    from scipy.sparse import coo_array

    own = a == b
    a, b, weight = a[~own], b[~own], weight[~own]
    one = coo_array((weight, (a, b)), shape=(nodes, nodes)).tocsr()
    both = (one + one.T).tocsr()
    both.sort_indices()
    return Links(both.indptr.astype(np.int64), both.indices.astype(np.int32), both.data)


def neuron_links(network: Network, rates: NDArray[np.float64]) -> Links:
    """Neurons and, after them, inputs; each synapse weighs what its source spikes."""
    n, first = network.neurons, network.first_neuron
    source = network.source
    node = np.where(source < first, source + n, source - first)
    loud = rates[source]
    use = loud > 0
    if not use.any():
        loud, use = np.ones_like(loud), np.ones_like(use)
    return link_graph(node[use], network.target[use], loud[use], network.sources)


def metis(
    links: Links, neurons: int, parts: int, *, recursive: bool, seed: int
) -> NDArray[np.int64]:
    """Cut the graph into parts of equal numbers of neurons by METIS; (neurons,).

    Source: G. Karypis and V. Kumar, "A fast and high quality multilevel scheme for
    partitioning irregular graphs", SIAM J. Sci. Comput. 20 (1998).
    """
    import pymetis

    nodes = links.offsets.size - 1
    if parts < 2 or not links.partner.size:
        return np.arange(neurons) * parts // max(neurons, 1)
    weight = links.weight
    least = float(weight.min())
    whole = weight / least
    if not np.array_equal(whole, np.rint(whole)) or whole.max() > 1e4:
        whole = np.maximum(np.rint(weight * (20 / weight.mean())), 1)
    whole = np.minimum(whole, 1e9 / max(weight.size, 1) * 20 + 1)
    size = np.zeros(nodes, np.int64)
    size[:neurons] = 1
    kind = pymetis.zero_copy_dtype()
    _, part = pymetis.part_graph(
        parts,
        pymetis.CSRAdjacency(links.offsets.astype(kind), links.partner.astype(kind)),
        eweights=whole.astype(kind),
        vweights=None if nodes == neurons else size.astype(kind),
        recursive=recursive,
        options=pymetis.Options(seed=seed % 2**31),
    )
    return np.asarray(part, np.int64)[:neurons]


def even_out(links: Links, part: NDArray[np.int64], room: NDArray[np.int64]) -> int:
    """Move neurons in place until no part has more than its room; how many are left over."""
    size = np.bincount(part, minlength=room.size)
    n = part.size
    return int(
        _kernels.even_out(*neurons_only(links, n), part, size, room.astype(np.int64))
    )


def neurons_only(links: Links, neurons: int) -> Links:
    """The graph of the first `neurons` nodes, without inputs or ports."""
    if links.offsets.size - 1 == neurons:
        return links
    offsets = links.offsets[: neurons + 1]
    keep = links.partner[: offsets[-1]] < neurons
    total = np.concatenate([[0], np.cumsum(keep)])
    return Links(
        total[offsets],
        links.partner[: offsets[-1]][keep],
        links.weight[: offsets[-1]][keep],
    )


def foreign_rate(
    network: Network, rates: NDArray[np.float64], part: NDArray[np.int64], parts: int
) -> float:
    """Rate of every source, summed over the parts that it reaches besides its own."""
    offsets, reached, _ = _kernels.tiles_reached(
        network.offsets, network.target, part.astype(np.int32), parts
    )
    source = np.repeat(np.arange(network.sources), np.diff(offsets))
    home = np.concatenate([np.full(network.first_neuron, -1), part])
    return float(rates[source] @ (home[source] != reached))
