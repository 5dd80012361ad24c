"""Clusters from a hypergraph partitioner, which knows that a tile is reached once."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.place.multilevel import place_partitions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search
    from mosaic_sim.place.placement import Placement
    from mosaic_sim.place.task import Task

__all__ = ["hypergraph"]


def hypergraph(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
) -> Placement:
    """Do as `multilevel` does, with clusters from Mt-KaHyPar instead of METIS.

    Each source is a net over itself and its targets, as heavy as its rate; the sum of (tiles
    touched - 1) is what is minimised. The deterministic preset with one thread: the same seed
    gives the same layout.

    Source: L. Gottesbüren, T. Heuer, N. Maas, P. Sanders and S. Schlag, "Scalable
    high-quality hypergraph partitioning", ACM Trans. Algorithms 20 (2024).

    Raises
    ------
    MosaicError
        If Mt-KaHyPar is not installed.
    CapacityError
        As `multilevel` does.
    """
    if find_spec("mtkahypar") is None:
        raise MosaicError(
            'placer="hypergraph" needs Mt-KaHyPar, which is not installed: '
            "pip install 'mosaic-growth[hypergraph]', or use placer=\"multilevel\"."
        )
    return place_partitions(
        network, chip, keep=keep, rates=rates, allowed=allowed, search=search,
        partitions=_partitions,
    )  # fmt: skip


@cache
def _kahypar() -> Any:
    import mtkahypar

    return mtkahypar.initialize(1)


def _partitions(task: Task) -> list[NDArray[np.int64]]:
    """One way to share the neurons out among as many parts as there are open tiles."""
    import mtkahypar

    network = task.network
    n, first = network.neurons, network.first_neuron
    parts = min(int(np.count_nonzero(task.room)), n)
    if parts < 2:
        return [np.zeros(n, np.int64)]
    nets, weights = [], []
    scale = 100 / task.unit
    for s in range(network.sources):
        pins = network.target[network.offsets[s] : network.offsets[s + 1]]
        if s >= first:
            pins = np.append(pins, s - first)
        pins = np.unique(pins)
        if pins.size > 1 and task.rates[s] > 0:
            nets.append(pins.tolist())
            weights.append(max(round(task.rates[s] * scale), 1))
    if not nets:
        return [np.arange(n) * parts // n]
    # Its nodes are in all nets or none; who is in no net is a node all the same.
    mtk = _kahypar()
    context = mtk.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(parts, 0.03, mtkahypar.Objective.KM1)
    context.logging = False
    mtkahypar.set_seed(task.search.seed)
    graph = mtk.create_hypergraph(context, n, len(nets), nets, [1] * n, weights)
    found = graph.partition(context)
    return [np.array(found.get_partition(), np.int64)]
