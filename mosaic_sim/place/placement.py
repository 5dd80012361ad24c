"""Where each neuron sits, and through which port each input enters."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import CapacityError, MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network

__all__ = ["Placement", "arrivals", "check_placement", "tiles_reached"]


@dataclass(frozen=True, eq=False)
class Placement:
    """A place on the chip for every neuron and every external source.

    Parameters
    ----------
    tile : int32 array, (neurons,)
        Neuron tile of each neuron, row by row.
    slot : int32 array, (neurons,)
        Column of the tile's crossbar, 0 to neurons_per_tile - 1.
    port : int32 array, (inputs and bias line,)
        Index into `Chip.port_sites`.
    """

    tile: NDArray[np.int32]
    slot: NDArray[np.int32]
    port: NDArray[np.int32]

    def free_slots(self, chip: Chip) -> NDArray[np.int64]:
        """Free slots of each tile, (tiles,)."""
        return chip.slots - np.bincount(self.tile, minlength=chip.tiles)


def arrivals(network: Network, placement: Placement) -> NDArray[np.int64]:
    """Distinct (source, tile) pairs that synapses need, own tiles of neurons included, (k, 2).

    Sorted by source. Each pair of a foreign tile is one arriving line of that tile; the pair
    of a neuron's own tile is its feedback row.
    """
    offsets, tile = tiles_reached(network, placement)
    return np.column_stack([np.repeat(np.arange(network.sources), np.diff(offsets)), tile])


def tiles_reached(
    network: Network, placement: Placement, chip: Chip | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the distinct tiles of the targets of each source: (offsets, tiles)."""
    offsets, tile, _ = _reached(network, placement, chip)
    return offsets, tile


def _reached(
    network: Network, placement: Placement, chip: Chip | None
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """`tiles_reached`, and how many sources arrive at each tile from outside.

    Placing, routing and compiling all need it, so a placement remembers its last answer.
    """
    known = _REACHED.get(placement)
    if known is not None and known[0]() is network:
        reached: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]] = known[1]
        return reached
    tiles = chip.tiles if chip is not None else int(placement.tile.max(initial=-1)) + 1
    reached = _kernels.tiles_reached(network.offsets, network.target, placement.tile, tiles)
    _REACHED[placement] = weakref.ref(network), reached
    return reached


_REACHED: weakref.WeakKeyDictionary[Placement, tuple[weakref.ref[Network], Any]] = (
    weakref.WeakKeyDictionary()
)


def spread_ports(network: Network, chip: Chip, keep: Placement | None) -> NDArray[np.int32]:
    """Spread the inputs evenly around the chip, the bias line at the end; kept ones stay."""
    spread = even_ports(chip, network.first_neuron)
    if keep is not None:
        spread[: keep.port.size] = keep.port
    if not chip.whole:
        kept = 0 if keep is None else keep.port.size
        left = chip.port_lines - np.bincount(spread, minlength=chip.port_lines.size)
        for source in np.flatnonzero(left[spread] < 0)[::-1].tolist():
            if source < kept or left[spread[source]] >= 0:
                continue
            open_ = np.flatnonzero(left > 0)
            away = abs(open_ - spread[source])
            near = int(open_[np.argmin(np.minimum(away, left.size - away))])
            left[spread[source]] += 1
            left[near] -= 1
            spread[source] = near
    return spread


def even_ports(chip: Chip, sources: int) -> NDArray[np.int32]:
    """Ports that are not broken, in order around the chip, shared evenly by `sources`.

    Raises
    ------
    CapacityError
        If the ports have too few lines.
    """
    lines = int(chip.port_lines.sum())
    if sources > lines:
        broken = chip.port_lines.size * chip.r1_lines - lines
        less = f", {broken} of them broken" if broken else ""
        raise CapacityError(
            f"{sources} inputs do not fit the {chip.port_lines.size} ports of this chip with "
            f"{chip.r1_lines} lines each{less}."
        )
    ports = np.flatnonzero(chip.port_lines)
    return ports[np.arange(sources) * ports.size // max(sources, 1)].astype(np.int32)


def check_sites(
    chip: Chip, placement: Placement, neurons: int, inputs: int, name: str = "placement"
) -> None:
    """Refuse arrays of the wrong length; tiles, slots and ports that do not exist or work."""
    for part, array, size, end in (
        ("tile", placement.tile, neurons, chip.tiles),
        ("slot", placement.slot, neurons, chip.neurons_per_tile),
        ("port", placement.port, inputs, len(chip.port_sites)),
    ):
        if array.shape != (size,):
            raise MosaicError(f"{name}.{part} has {array.size} entries; it needs {size}.")
        if array.size and (array.min() < 0 or array.max() >= end):
            raise MosaicError(f"{name}.{part} must lie between 0 and {end - 1}.")
    lost = np.flatnonzero(chip.slots[placement.tile] == 0)
    if lost.size:
        raise CapacityError(
            f"{name} has neuron {lost[0]} on tile {placement.tile[lost[0]]}, which is broken"
            f"{_as_others(lost.size)}. Place it anew."
        )


def check_placement(network: Network, chip: Chip, placement: Placement) -> None:
    """Refuse a placement that the chip cannot hold.

    Raises
    ------
    MosaicError
        If an array has the wrong length, or a tile, slot or port does not exist.
    CapacityError
        If two neurons share a slot, a tile in use is broken, a port has more inputs than
        lines, or more sources than lines arrive at a tile.
    """
    check_sites(chip, placement, network.neurons, network.first_neuron)
    place = placement.tile.astype(np.int64) * chip.neurons_per_tile + placement.slot
    times = np.bincount(place, minlength=1)
    if times.max() > 1:
        tile, slot = divmod(int(np.argmax(times > 1)), chip.neurons_per_tile)
        raise CapacityError(f"Two neurons share slot {slot} of tile {tile}.")
    entering = np.bincount(placement.port, minlength=len(chip.port_sites))
    if np.any(entering > chip.port_lines):
        port = int(np.argmax(entering - chip.port_lines))
        raise CapacityError(
            f"Port {port} has {entering[port]} inputs; it has {chip.port_lines[port]} lines"
            f"{_whole(chip)}."
        )
    _, _, lines = _reached(network, placement, chip)
    if np.any(lines > chip.fan_in):
        tile = int(np.argmax(lines - chip.fan_in))
        raise CapacityError(
            f"{lines[tile]} sources arrive at tile {tile}; its four sides have "
            f"{chip.fan_in[tile]} lines{_whole(chip)}."
        )


def _whole(chip: Chip) -> str:
    return "" if chip.whole else " that are not broken"


def _as_others(count: int) -> str:
    return f", as are the tiles of {count - 1} others" if count > 1 else ""
