"""Moves and swaps of single neurons, on the true cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.place.task import generator_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mosaic_sim.place.task import Task

__all__ = ["Seating"]

SLICE = 20_000
"""Proposals between two looks at the clock, the bar and Ctrl-C."""
NO_MASK = np.zeros((0, 0), bool)
MOST_COUNTS = 1 << 24
"""Entries up to which sources have a count for every tile, of 2 bytes: it is looked up."""


@dataclass(eq=False)
class Seating:
    """Neurons on tiles, in arrays that `refine` changes in place; see the kernel.

    Neurons are numbered by tile here, `born` says which is which.
    """

    task: Task
    born: NDArray[np.int64]
    into: tuple[NDArray[np.int64], NDArray[np.int32]]
    offsets: NDArray[np.int64]
    target: NDArray[np.int32]
    rates: NDArray[np.float64]
    home: NDArray[np.int32]
    length: NDArray[np.int32]
    table: tuple[NDArray[np.int32], NDArray[np.int16] | NDArray[np.int32]]
    arriving: NDArray[np.int64]
    members: NDArray[np.int32]
    fill: NDArray[np.int64]
    movable: NDArray[np.bool_]
    allowed: NDArray[np.bool_]

    @classmethod
    def of(cls, task: Task, tile: NDArray[np.int32], port: NDArray[np.int32]) -> Seating:
        """Set up the tables for one placement."""
        network, chip = task.network, task.chip
        first, n = network.first_neuron, network.neurons
        born = np.argsort(tile, kind="stable")
        label = np.empty(n, np.int64)
        label[born] = np.arange(n)
        offsets = np.empty(network.sources + 1, np.int64)
        target = np.empty(network.synapses, np.int32)
        into = np.empty(n + 1, np.int64), np.empty(network.synapses, np.int32)
        size = _kernels.relabel(
            first, network.offsets, network.target, label, born, offsets, target, *into
        )
        home = np.concatenate([chip.tiles + port, tile[born]]).astype(np.int32)
        fill = np.bincount(tile, minlength=chip.tiles)
        members = np.full((chip.tiles, chip.neurons_per_tile), -1, np.int32)
        sorted_tile = tile[born]
        begin = np.cumsum(fill) - fill
        members[sorted_tile, np.arange(n) - begin[sorted_tile]] = np.arange(n)
        few = (
            network.sources * chip.tiles <= MOST_COUNTS and chip.neurons_per_tile < 1 << 15
        )
        count = (
            np.zeros((network.sources, chip.tiles), np.int16)
            if few
            else np.empty(size, np.int32)
        )
        seating = cls(
            task=task, born=born, into=(into[0], into[1][:size]), offsets=offsets,
            target=target[:size],
            rates=np.concatenate([task.rates[:first], task.rates[first:][born]]), home=home,
            length=np.zeros(network.sources, np.int32),
            table=(np.empty(size, np.int32), count),
            arriving=np.zeros(chip.tiles, np.int64), members=members, fill=fill,
            movable=born >= task.kept,
            allowed=NO_MASK if task.allowed is None else task.allowed[born],
        )  # fmt: skip
        seating.count()
        return seating

    def count(self) -> None:
        """Fill the tables from `home`."""
        self.table[1].fill(0)
        _kernels.count_reach(
            self.task.network.first_neuron, self.offsets, self.target, self.home,
            self.length, *self.table, self.arriving,
        )  # fmt: skip

    @property
    def tile(self) -> NDArray[np.int32]:
        """Tile of each neuron, by the numbers of the network."""
        tile = np.empty(self.born.size, np.int32)
        tile[self.born] = self.home[self.task.network.first_neuron :]
        return tile

    @property
    def excess(self) -> int:
        """Arriving lines too many, over all tiles."""
        return int(np.maximum(self.arriving - self.task.lines, 0).sum())

    def anneal(
        self, heats: Sequence[float], key: int, tries: int = 2, slack: float = 1e9
    ) -> float:
        """One sweep over all neurons at each temperature [units of the cost]; the change."""
        task = self.task
        state = generator_state(task.search.seed, key)
        columns = task.chip.columns
        tile_at = np.arange(task.chip.tiles, dtype=np.int32).reshape(-1, columns)
        penalty = 1e3 * max(task.unit, float(task.rates.max(initial=0)))
        change = 0.0
        ease = np.zeros(self.born.size)
        n = self.born.size
        for heat in heats:
            for begin in range(0, n, SLICE):
                delta, _ = _kernels.refine(
                    task.network.first_neuron, *self.into, self.offsets, self.target,
                    self.rates, self.home, self.length, *self.table, self.arriving,
                    task.lines, penalty, self.members, self.fill, task.room, self.movable,
                    self.allowed, task.site_row, task.site_column, tile_at,
                    task.chip.hop_table, float(heat), begin, min(begin + SLICE, n), tries,
                    slack, ease, state,
                )  # fmt: skip
                change += delta
        return change
