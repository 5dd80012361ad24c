"""Clusters from a hypergraph partitioner, which knows that a tile is reached once."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.place.multilevel import part_counts, place_partitions

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def _partitions(task: Task) -> Iterator[NDArray[np.int64]]:
    """Share the neurons out among all open tiles, and among few."""
    import mtkahypar

    network = task.network
    n, first = network.neurons, network.first_neuron
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
    mtk = _kahypar()
    for parts in part_counts(task):
        if parts < 2 or not nets:
            yield np.arange(n) * parts // max(n, 1)
            continue
        context = mtk.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
        context.set_partitioning_parameters(parts, 0.03, mtkahypar.Objective.KM1)
        context.logging = False
        mtkahypar.set_seed(task.search.seed)
        graph = mtk.create_hypergraph(context, n, len(nets), nets, [1] * n, weights)
        yield np.array(graph.partition(context).get_partition(), np.int64)
