"""A greedy placer: each neuron in turn goes where it adds least to rate x hops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import CapacityError
from mosaic_sim.place.placement import Placement, spread_ports

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search

__all__ = ["greedy"]

OUTSIDE = -2
"""Stands for the tile of a source that comes from a port."""


def greedy(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
) -> Placement:
    """Place neurons in the order in which spikes reach them.

    The cost of a tile is the rate of each source that would have to reach it, times the hops
    from the nearest place where that source already is (its own tile or port, or a tile that
    it reaches); plus the same for targets that are placed already. A tile is open to a neuron
    while it has a free slot and enough arriving lines for the sources that the neuron adds.

    Raises
    ------
    CapacityError
        If no tile is open to a neuron.
    """
    if allowed is None:
        allowed = np.ones((network.neurons, chip.tiles), bool)
    first = network.first_neuron
    kept = keep.tile.size if keep is not None else 0
    tile = np.full(network.neurons, -1, np.int32)
    slot = np.full(network.neurons, -1, np.int32)
    port = spread_ports(network, chip, keep)
    taken = np.repeat(chip.slots == 0, chip.neurons_per_tile).reshape(chip.tiles, -1)
    if keep is not None:
        tile[:kept], slot[:kept] = keep.tile, keep.slot
        taken[keep.tile, keep.slot] = True

    # to_tile[s, c]: hops from the nearest place of source s to tile c; reads[s, c]: s has to
    # arrive at c.
    to_tile = np.full((network.sources, chip.tiles), np.inf)
    reads = np.zeros((network.sources, chip.tiles), bool)
    to_tile[:first] = chip.port_hops[port]
    to_tile[first : first + kept] = chip.tile_hops[tile[:kept]]
    arriving = np.zeros(chip.tiles, np.int64)
    # Tile of each source: OUTSIDE for inputs, -1 for neurons without a place yet.
    home = np.full(network.sources, OUTSIDE)
    home[first:] = tile

    by_target = np.argsort(network.target, kind="stable")
    into = np.searchsorted(network.target[by_target], np.arange(network.neurons + 1))

    def settle(neuron: int) -> None:
        """Let all sources that are placed reach `neuron`, and `neuron` its placed targets."""
        here = int(tile[neuron])
        me = first + neuron
        to_tile[me] = np.minimum(to_tile[me], chip.tile_hops[here])
        before = network.source[by_target[into[neuron] : into[neuron + 1]]]
        after = network.target[network.offsets[me] : network.offsets[me + 1]]
        joined = [(int(s), here) for s in before if home[s] != -1]
        joined += [(me, int(tile[j])) for j in after if tile[j] >= 0]
        for source, there in joined:
            if not reads[source, there]:
                reads[source, there] = True
                if home[source] != there:
                    arriving[there] += 1
                to_tile[source] = np.minimum(to_tile[source], chip.tile_hops[there])

    for neuron in range(kept):
        settle(neuron)
    for neuron in network.order:
        if neuron < kept:
            continue
        before = network.source[by_target[into[neuron] : into[neuron + 1]]]
        before = before[home[before] != -1]
        me = first + neuron
        after = network.target[network.offsets[me] : network.offsets[me + 1]]
        beyond = np.unique(tile[after[tile[after] >= 0]])
        new = (~reads[before] & (home[before, None] != np.arange(chip.tiles))).sum(0)
        needs = arriving + new
        # Sending on: this neuron becomes an arriving line of every foreign tile it feeds.
        full = beyond[arriving[beyond] >= chip.fan_in[beyond]]
        open_ = allowed[neuron] & ~taken.all(1) & (needs <= chip.fan_in)
        for there in full:
            open_ &= np.arange(chip.tiles) == there
        if not open_.any():
            free = int((~taken[allowed[neuron]]).sum())
            raise CapacityError(
                f"No tile is open to neuron {neuron}: the {int(allowed[neuron].sum())} tiles "
                f"that it may use have {free} free slots; it needs {len(before)} arriving "
                f"sources, and a tile takes {4 * chip.tile_lines} (4 sides of "
                f"{chip.tile_lines} lines){'' if chip.whole else ' where none is broken'}."
            )
        cost = rates[before] @ to_tile[before] + rates[me] * chip.tile_hops[beyond].sum(0)
        best = int(np.argmin(np.where(open_, cost, np.inf)))
        tile[neuron] = home[me] = best
        slot[neuron] = int(np.argmin(taken[best]))
        taken[best, slot[neuron]] = True
        settle(int(neuron))
    return Placement(tile, slot, port)
