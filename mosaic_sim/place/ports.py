"""Through which port each input enters, once the neurons have their tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.place.assemble import start_ports

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.place.task import Task

__all__ = ["choose_ports"]

MOST_ENTRIES = 4_000_000
"""Entries of the largest matrix that is solved exactly."""


def choose_ports(task: Task, tile: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give each new input the port with the fewest hops to its tiles, as lines allow.

    An exact linear assignment where that is affordable. A port takes no more inputs than can
    go on from there, into its tile and the two corner routers, unless they are too many.
    """
    network, chip = task.network, task.chip
    first = network.first_neuron
    port = start_ports(task)
    old = task.keep.port.size if task.keep is not None else 0
    if first == old:
        return port
    offsets, reached, _ = _kernels.tiles_reached(
        network.offsets, network.target, tile.astype(np.int32), chip.tiles
    )
    ports = chip.port_sites
    price = np.zeros((first - old, len(ports)))
    for i in range(old, first):
        mine = reached[offsets[i] : offsets[i + 1]]
        rows = abs(ports[:, :1] - mine // chip.columns)
        columns = abs(ports[:, 1:] - mine % chip.columns)
        price[i - old] = task.rates[i] * chip.hop_table[rows, columns].sum(1)
    used = np.bincount(port[:old], minlength=len(ports))
    onward = min(chip.r1_lines, chip.tile_lines + 2 * min(chip.r0_lines, chip.r1_lines))
    open_ = int(np.count_nonzero(chip.port_lines))
    most = np.minimum(chip.port_lines, max(onward, -(-first // max(open_, 1))))
    lines = np.maximum(most - used, 0)
    if lines.sum() < first - old:
        lines = chip.port_lines - used
    price[:, lines <= 0] = np.inf
    choice = price.argmin(1)
    if np.all(np.bincount(choice, minlength=len(ports)) <= lines):
        port[old:] = choice
        return port
    lines = np.minimum(lines, first - old)
    if lines.sum() * (first - old) <= MOST_ENTRIES:
        from scipy.optimize import linear_sum_assignment

        seats = np.repeat(np.arange(len(ports)), lines)
        row, column = linear_sum_assignment(price[:, seats])
        port[old + row] = seats[column]
        return port
    # Who loses most by not getting the best chooses first.
    two = np.partition(price, 1, axis=1)[:, :2] if len(ports) > 1 else price
    for i in np.argsort(two[:, 0] - two[:, -1], kind="stable"):
        best = int(np.argmin(np.where(lines > 0, price[i], np.inf)))
        port[old + i] = best
        lines[best] -= 1
    return port
