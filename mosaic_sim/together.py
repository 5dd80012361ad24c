"""One chip for several networks: the smallest on which each of them is legal, one at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mosaic_sim.chip import Chip
from mosaic_sim.errors import CapacityError, MosaicError
from mosaic_sim.fit import fit
from mosaic_sim.place import place
from mosaic_sim.progress import progress_bar
from mosaic_sim.route import route

if TYPE_CHECKING:
    from mosaic_sim.network import Network

__all__ = ["Together", "fit_together"]

LINES = ("tile_lines", "r0_lines", "r1_lines")
ATTEMPTS = 15
"""Times that lines may be added, to twice as many, before a size of tile is given up."""


@dataclass(frozen=True)
class Together:
    """A chip that holds each of several networks.

    Parameters
    ----------
    chip : Chip
    devices : int
        RRAM devices that are built.
    alone : dict of Chip
        The smallest chip of each network by itself, with tiles of the same size.
    refused : dict of str
        Sizes of tile for which no chip was found, and why.
    """

    chip: Chip
    devices: int
    alone: dict[str, Chip]
    refused: dict[int, str]


def fit_together(
    networks: Mapping[str, Network],
    *,
    tile_sizes: Sequence[int] = (32, 64, 128),
    effort: float = 1.0,
    seed: int = 0,
    progress: bool | None = None,
) -> Together:
    """Find the chip with the fewest devices on which every network can be placed and routed.

    For each size of tile every network is fitted alone (`mosaic_sim.fit`); the chip gets the
    most rows, columns and lines that any of them needs. Every network is placed and routed on
    it once more, since it may find another place there; while one does not fit, all kinds of
    lines get 5 % more. Of the sizes the one with the fewest devices is taken.

    Parameters
    ----------
    networks : mapping of Network
    tile_sizes : sequence of int
        Neurons a tile to try.
    effort, seed
        As for `mosaic_sim.fit`.
    progress : bool or None
        As for `mosaic_sim.place`.

    Raises
    ------
    CapacityError
        If no size of tile gives a chip for all; with the reason for each.
    MosaicError
        If there is no network or no size.

    Examples
    --------
    >>> from mosaic_sim import Network
    >>> one, two = (
    ...     Network.from_synapses(inputs=k, neurons=k, source=[0], target=[0], weight=[1.0])
    ...     for k in (1, 3)
    ... )
    >>> fit_together({"one": one, "two": two}, tile_sizes=[2]).chip.neurons_per_tile
    2
    """
    if not networks or not tile_sizes:
        raise MosaicError(
            "fit_together needs one or more networks, and one or more sizes of tile."
        )
    found: list[Together] = []
    refused: dict[int, str] = {}
    with progress_bar("fit", len(tile_sizes) * len(networks), progress) as bar:
        for size in tile_sizes:
            alone: dict[str, Chip] = {}
            try:
                for name, network in networks.items():
                    best = fit(
                        network, tile_sizes=[size], effort=effort, seed=seed, progress=False
                    )
                    alone[name] = best.chip
                    bar(1, f"{name}, {size} neurons a tile")
                chip = _legal(networks, _largest(list(alone.values())), seed)
            except CapacityError as error:
                refused[size] = str(error)
                continue
            found.append(Together(chip, sum(chip.devices.values()), alone, refused))
    if not found:
        reasons = "; ".join(
            f"{size} neurons a tile: {why}" for size, why in refused.items()
        )
        raise CapacityError(f"No chip was found for all networks. {reasons}")
    return min(found, key=lambda one: (one.devices, one.chip.neurons_per_tile))


def _legal(networks: Mapping[str, Network], chip: Chip, seed: int) -> Chip:
    """The chip, with as many more lines as all networks need to be legal on it."""
    for attempt in range(ATTEMPTS):
        try:
            for network in networks.values():
                route(network, chip, place(network, chip, seed=seed, progress=False))
        except CapacityError:
            if attempt + 1 == ATTEMPTS:
                raise
            chip = replace(
                chip, **{name: math.ceil(1.05 * getattr(chip, name)) for name in LINES}
            )
        else:
            break
    return chip


def _largest(chips: Sequence[Chip]) -> Chip:
    return replace(
        chips[0],
        **{
            name: max(getattr(chip, name) for chip in chips)
            for name in ("rows", "columns", *LINES)
        },
    )
