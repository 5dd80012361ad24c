"""From an order of neurons, or a tile for each, to a placement with slots and ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import CapacityError
from mosaic_sim.place.placement import Placement, spread_ports
from mosaic_sim.place.seats import slots_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.place.task import Task

__all__ = ["along", "seated", "start_ports"]


def along(
    task: Task, neurons: NDArray[np.int64], tiles: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Fill the free slots of `tiles`, one tile after the other, with `neurons` in order.

    A neuron that may not use a tile takes the next that it may, and where none is left makes
    others move on.

    Raises
    ------
    CapacityError
        If a neuron finds no free slot on the tiles that it may use.
    """
    kept = task.kept
    tile = np.full(task.network.neurons, -1, np.int32)
    free = task.room.copy()
    if task.keep is not None:
        tile[:kept] = task.keep.tile
        free -= np.bincount(tile[:kept], minlength=free.size)
    neurons = neurons[neurons >= kept]
    free = np.maximum(free, 0)
    if task.allowed is None:
        seats = np.repeat(tiles, free[tiles])
        if seats.size < neurons.size:
            raise CapacityError(
                f"{neurons.size} neurons are to be placed; the tiles that they may use have "
                f"{seats.size} free slots."
            )
        tile[neurons] = seats[: neurons.size]
        return tile
    for neuron in neurons.tolist():
        _seat(task, neuron, tiles, tile, free)
    return tile


def _seat(
    task: Task, neuron: int, tiles: NDArray[np.int64], tile: NDArray[np.int32],
    free: NDArray[np.int64],
) -> None:  # fmt: skip
    """Give `neuron` the first free tile that it may use, moving new neurons if need be."""
    assert task.allowed is not None
    open_ = task.allowed[neuron, tiles]
    at_once = np.flatnonzero(open_ & (free[tiles] > 0))
    if at_once.size:
        tile[neuron] = tiles[at_once[0]]
        free[tile[neuron]] -= 1
        return
    # Breadth-first over full tiles: who sits there and could go on? (augmenting path)
    came: dict[int, tuple[int, int]] = {int(t): (neuron, -1) for t in tiles[open_]}
    queue = list(came)
    for here in queue:
        residents = np.flatnonzero(tile == here)
        for other in residents[residents >= task.kept].tolist():
            for there in np.flatnonzero(task.allowed[other]).tolist():
                if there in came:
                    continue
                came[there] = (other, here)
                if free[there] > 0:
                    free[there] -= 1
                    while there >= 0:
                        mover, back = came[there]
                        tile[mover] = there
                        there = back
                    return
                queue.append(there)
    slots = int(free[task.allowed[neuron]].sum())
    raise CapacityError(
        f"No tile is open to neuron {neuron}: the {int(open_.sum())} tiles that it may use "
        f"have {slots} free slots, and nobody there can move."
    )


def start_ports(task: Task) -> NDArray[np.int32]:
    """Inputs evenly around the chip; kept ones stay."""
    return spread_ports(task.network, task.chip, task.keep)


def seated(task: Task, tile: NDArray[np.int32], port: NDArray[np.int32]) -> Placement:
    """Give slots to neurons with tiles: kept ones have theirs, the others by number."""
    tile = tile.astype(np.int32)
    return Placement(tile, slots_of(task.chip, tile, task.keep), port.astype(np.int32))
