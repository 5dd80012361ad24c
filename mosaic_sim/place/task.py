"""What every search for a placement needs, in the arrays that kernels take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search
    from mosaic_sim.place.placement import Placement

__all__ = ["Task", "generator_state", "make_task"]


@dataclass(frozen=True, eq=False)
class Task:
    """A network to be placed, and the room that there is.

    Parameters
    ----------
    rates : float64 array, (sources,)
    room : int64 array, (tiles,)
        Neurons that each tile may have, those of `keep` included.
    kept : int
        The first neurons, which do not move.
    allowed : bool array, (neurons, tiles), or None
        Tiles that each neuron may use; None if all may use all that have room.
    site_row, site_column : int32 array, (tiles + ports,)
        Where tiles are, and after them ports.
    """

    network: Network
    chip: Chip
    keep: Placement | None
    rates: NDArray[np.float64]
    room: NDArray[np.int64]
    kept: int
    allowed: NDArray[np.bool_] | None
    search: Search
    site_row: NDArray[np.int32]
    site_column: NDArray[np.int32]

    @property
    def free(self) -> bool:
        """Whether every neuron may go to every tile that has room."""
        return self.kept == 0 and self.allowed is None

    @property
    def lines(self) -> NDArray[np.int64]:
        """Sources that may arrive at each tile, (tiles,)."""
        return self.chip.fan_in

    @property
    def unit(self) -> float:
        """Mean rate of the sources that spike: the scale of temperatures and penalties."""
        loud = self.rates[self.rates > 0]
        return float(loud.mean()) if loud.size else 1.0


def make_task(
    network: Network,
    chip: Chip,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
) -> Task:
    """Gather what a search needs. A mask that is the same for all becomes tiles without room."""
    kept = keep.tile.size if keep is not None else 0
    held = np.zeros(chip.tiles, np.int64)
    if keep is not None:
        held = np.bincount(keep.tile, minlength=chip.tiles)
    room = chip.slots.copy()
    if allowed is not None and network.neurons > kept:
        common = allowed[kept]
        if (allowed[kept:] == common).all():
            room[~common] = 0
            allowed = None
    if search.spread:
        room = leave_free(room, network.neurons)
    room = np.maximum(room, held)
    tile = np.arange(chip.tiles)
    ports = chip.port_sites
    return Task(
        network=network, chip=chip, keep=keep, rates=rates, room=room, kept=kept,
        allowed=allowed, search=search,
        site_row=np.concatenate([tile // chip.columns, ports[:, 0]]).astype(np.int32),
        site_column=np.concatenate([tile % chip.columns, ports[:, 1]]).astype(np.int32),
    )  # fmt: skip


def leave_free(room: NDArray[np.int64], neurons: int) -> NDArray[np.int64]:
    """Hold back free slots on every tile: half of an even share, at least one if there are."""
    tiles = int(np.count_nonzero(room))
    share = (int(room.sum()) - neurons) // max(tiles, 1)
    if share < 1:
        return room
    return np.maximum(room - max(share // 2, 1), 0)


def generator_state(*key: int) -> NDArray[np.uint64]:
    """Return a state for the generators of kernels, one for each `key`."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return state | np.uint64(1)  # zero would stay zero
