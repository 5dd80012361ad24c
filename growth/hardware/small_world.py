"""How much of a small world a network is: clustering, path lengths, hops, local spikes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import shortest_path

from mosaic_sim.errors import MosaicError
from mosaic_sim.place import check_placement, tiles_reached

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim import Chip, Network, Placement

__all__ = ["SmallWorld", "hop_histogram", "local_share", "small_world"]


class SmallWorld(NamedTuple):
    """Measures of the graph of neurons, and of random graphs with as many edges.

    Attributes
    ----------
    neurons, edges : int
        Edges of the undirected graph, without loops.
    clustering : float
        Mean over neurons of the share of pairs of their neighbours that are neighbours; 0 for a
        neuron with fewer than two.
    path_length : float
        Mean over pairs of neurons that are connected; NaN if none is.
    connected : float
        Share of the pairs of neurons between which there is a path.
    random_clustering, random_path_length : float
        The same of the random graphs, in the mean.
    """

    neurons: int
    edges: int
    clustering: float
    path_length: float
    connected: float
    random_clustering: float
    random_path_length: float

    @property
    def coefficient(self) -> float:
        """Small-world coefficient, ``(C / C_random) / (L / L_random)``: above 1 in a small world.

        NaN where a random graph has no clustering, or nothing is connected.
        """
        if not (self.random_clustering > 0 and self.path_length > 0):
            return float("nan")
        ratio = self.clustering / self.random_clustering
        return ratio / (self.path_length / self.random_path_length)


def small_world(network: Network, *, references: int = 5, seed: int = 0) -> SmallWorld:
    """Measure the graph whose nodes are the neurons and whose edges are their synapses.

    Two neurons are neighbours if there is a synapse between them, in either direction, whatever
    its weight. References are random graphs with as many nodes and edges, hence of the same mean
    degree, all equally likely (``networkx.gnm_random_graph``). Clustering and path length are
    those of ``networkx.average_clustering`` and, on connected graphs,
    ``networkx.average_shortest_path_length``, worked out with matrices: two thousand neurons
    with sparse connections take seconds.

    Parameters
    ----------
    network : mosaic_sim.Network
        Inputs and the bias line are left out.
    references : int
        Random graphs, at least 1.
    seed : int
        Of the random graphs: `seed`, ``seed + 1``, ...

    Raises
    ------
    MosaicError
        If there are fewer than two neurons or no reference.

    Examples
    --------
    >>> from growth.hardware import TiledNetwork
    >>> net = TiledNetwork(4, 4, 8, inputs=4, outputs=2, profile={1: 0.5, 3: 0.1})
    >>> found = small_world(net.to_network())
    >>> found.coefficient > 1
    True

    References
    ----------
    .. [1] D. Watts and S. Strogatz, "Collective dynamics of 'small-world' networks", Nature
       393, 1998: clustering and path length.
    .. [2] M. Humphries and K. Gurney, "Network 'small-world-ness'", PLoS ONE 3(4), 2008: the
       coefficient.
    """
    if network.neurons < 2:
        raise MosaicError(
            f"network has {network.neurons} neurons; paths need at least two of them."
        )
    if isinstance(references, bool) or not isinstance(references, int) or references < 1:
        raise MosaicError(f"references is {references!r}; it needs an integer from 1.")
    graph = _graph(network)
    edges = graph.nnz // 2
    clustering, length, connected = _measured(graph)
    others = np.array([
        _measured(_random(network.neurons, edges, seed + k))
        for k in range(references)
    ])  # fmt: skip
    return SmallWorld(
        network.neurons, edges, clustering, length, connected,
        float(others[:, 0].mean()), float(others[:, 1].mean()),
    )  # fmt: skip


def hop_histogram(
    network: Network, chip: Chip, placement: Placement, spikes: ArrayLike | None = None
) -> dict[int, float]:
    """Share of the connections, or of spikes that arrive, by distance in hops.

    A connection joins a neuron to a tile in which it has synapses; its own tile is at 0 hops.
    Inputs and the bias line are left out.

    Parameters
    ----------
    network, chip, placement
    spikes : array, (sources,), optional
        Spikes or rates of each source, as ``recording.counts.sum(0)``: each spike arrives once
        over each connection of its neuron. Without it each connection counts once.

    Returns
    -------
    dict of int to float
        For every distance on the chip, rising. All 0 if there is no connection, or no spike.

    Raises
    ------
    MosaicError
        If `spikes` has not one number of at least 0 for each source, or the placement is of
        another network or chip.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network, Placement
    >>> net = Network.from_synapses(
    ...     inputs=0, neurons=2, source=[0, 0, 1], target=[0, 1, 1], weight=1.0, delay=1
    ... )
    >>> chip = Chip(1, 2, 1, 1, 1, 1)
    >>> where = Placement(*(np.array(x, np.int32) for x in ([0, 1], [0, 0], [])))
    >>> hop_histogram(net, chip, where, spikes=[6, 3])
    {0: 0.6, 1: 0.4}
    """
    check_placement(network, chip, placement)
    offsets, tile = tiles_reached(network, placement, chip)
    first = network.first_neuron
    source = np.repeat(np.arange(network.sources), np.diff(offsets))
    weight = np.ones(network.sources)
    if spikes is not None:
        weight = np.asarray(spikes, np.float64)
        if weight.shape != (network.sources,) or not (weight >= 0).all():
            raise MosaicError(
                f"spikes has shape {weight.shape}; it needs ({network.sources},) numbers of at "
                "least 0, one a source."
            )
    ours = source >= first
    hops = chip.tile_hops[placement.tile[source[ours] - first], tile[ours]]
    total = np.bincount(hops, weight[source[ours]], minlength=1)
    share = total / (total.sum() or 1.0)
    distances = np.unique(chip.tile_hops).tolist()
    return {d: float(share[d]) if d < share.size else 0.0 for d in distances}


def local_share(
    network: Network, chip: Chip, placement: Placement, spikes: ArrayLike
) -> float:
    """Share of the arriving spikes that stay in the tile of their neuron; see `hop_histogram`."""
    return hop_histogram(network, chip, placement, spikes)[0]


def _graph(network: Network) -> csr_array:
    """Neighbours of each neuron, symmetric, 0 and 1, without loops."""
    source = network.source - network.first_neuron
    between = (source >= 0) & (source != network.target)
    pre, post = source[between], network.target[between]
    one = np.ones(2 * pre.size, np.int64)
    at = (np.concatenate([pre, post]), np.concatenate([post, pre]))
    graph = coo_array((one, at), shape=(network.neurons,) * 2).tocsr()
    graph.data[:] = 1
    return graph


def _random(neurons: int, edges: int, seed: int) -> csr_array:
    """Neighbours in a random graph of that size."""
    import networkx  # late: it is slow to load, and needed here only

    graph = networkx.gnm_random_graph(neurons, edges, seed=seed)
    return csr_array(networkx.to_scipy_sparse_array(graph, dtype=np.int64, format="csr"))


def _measured(graph: csr_array) -> tuple[float, float, float]:
    """Clustering, path length, and share of pairs that are connected."""
    near: NDArray[np.float32] = graph.toarray().astype(np.float32)
    degree = near.sum(1, dtype=np.float64)
    # Closed walks of three steps: each triangle twice.
    closed = np.einsum("ij,ij->i", near @ near, near, dtype=np.float64)
    pairs = degree * (degree - 1)
    clustering = np.divide(closed, pairs, out=np.zeros_like(pairs), where=pairs > 0).mean()
    far = shortest_path(graph, unweighted=True, directed=False)
    there = np.isfinite(far) & (far > 0)
    n = len(far)
    length = float(far[there].mean()) if there.any() else float("nan")
    return float(clustering), length, float(there.sum() / (n * (n - 1)))
