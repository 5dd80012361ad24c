"""Silicon that a chip as configured takes: every crossbar full size, whatever it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.events import powered

if TYPE_CHECKING:
    from mosaic_sim.chip import Chip
    from mosaic_sim.program import Program
    from mosaic_sim.technology import Technology

__all__ = ["KINDS_OF_TILE", "Area", "chip_area", "tile_areas"]

KINDS_OF_TILE = ("NT", "R0", "R1")
"""Neuron tile, corner router, router between two tiles."""


@dataclass(frozen=True)
class Area:
    """Area of a chip [m2], and of the part of it that is powered.

    Parameters
    ----------
    each : dict of float
        Area of one tile of each kind.
    built, powered : dict of int
        Number of tiles of each kind, on the chip and switched on.
    """

    each: dict[str, float]
    built: dict[str, int]
    powered: dict[str, int]

    def by_kind(self) -> dict[str, float]:
        """Area of all tiles of each kind [m2]."""
        return {kind: self.each[kind] * self.built[kind] for kind in KINDS_OF_TILE}

    def powered_by_kind(self) -> dict[str, float]:
        """Area of the tiles of each kind that are switched on [m2]."""
        return {kind: self.each[kind] * self.powered[kind] for kind in KINDS_OF_TILE}

    @property
    def total(self) -> float:
        """Area of the whole chip, without pads and wires between tiles [m2]."""
        return sum(self.by_kind().values())

    @property
    def powered_total(self) -> float:
        """Area of the tiles that are switched on [m2]."""
        return sum(self.powered_by_kind().values())


def tile_areas(chip: Chip, technology: Technology) -> dict[str, float]:
    """Area of one tile of each kind [m2].

    With N neurons a tile and k lines a side::

        NT: (4 k + N) * 2 N * cell_area + N * neuron_area + (4 k + N) * driver_area
        R:  (4 k)**2 * cell_area + 4 k * comparator_area + 4 k * driver_area

    Examples
    --------
    >>> from mosaic_sim import Chip, technology_preset
    >>> paper = technology_preset("rram-130nm")  # 1 um2 a cell, 50 a comparator, 20 a driver
    >>> areas = tile_areas(Chip(1, 1, 1, 1, 1, 1), paper)
    >>> round(areas["R0"] * 1e12, 6)
    296.0
    """
    value = {name: technology[name].value for name in (
        "cell_area", "neuron_area", "comparator_area", "driver_area",
    )}  # fmt: skip
    neurons = chip.neurons_per_tile
    rows = 4 * chip.tile_lines + neurons

    def router(lines: int) -> float:
        beside = value["comparator_area"] + value["driver_area"]
        return (4 * lines) ** 2 * value["cell_area"] + 4 * lines * beside

    tile = rows * 2 * neurons * value["cell_area"] + neurons * value["neuron_area"]
    return {
        "NT": tile + rows * value["driver_area"],
        "R0": router(chip.r0_lines),
        "R1": router(chip.r1_lines),
    }


def chip_area(program: Program, technology: Technology) -> Area:
    """Area of the chip that a program is for, and of what the program switches on.

    Notes
    -----
    No area of Mosaic is published; every figure that this rests on is assumed.
    """
    chip, on = program.geometry, powered(program)
    return Area(
        tile_areas(chip, technology),
        {kind: int(np.count_nonzero(chip.kinds == kind)) for kind in KINDS_OF_TILE},
        {kind: int(np.count_nonzero(on & (chip.kinds == kind))) for kind in KINDS_OF_TILE},
    )
