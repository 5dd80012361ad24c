"""The geometry of a Mosaic chip: tiles, cells, lines, and how far apart things are.

An array of ``rows x columns`` neuron tiles (NT) lies in a grid of
``(2 rows + 1) x (2 columns + 1)`` cells. A cell with both coordinates odd is a neuron tile,
both even a corner router (R0), mixed a router between two tiles (R1); a ring of routers
surrounds the array. A *line* carries the spikes of exactly one source. A *port* is the
outward side of an R1 on the border, where external inputs enter; for distances it behaves
like a neuron tile just outside the array.

Source: grid, kinds of routers and hop distance as in the code of Weber, Ballet and Payvand,
arXiv:2412.01575 (``MOSAIC_routing.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import ConfigError, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHIPS", "SIDES", "STEP", "Chip", "chip_preset"]

SIDES = ("north", "east", "south", "west")
MOST_LINES = 32_767
"""Lines of one side: routes keep the number of a line in 16 bits."""
STEP = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""(row, column) of the neighbour on each side, in the order of `SIDES`."""


@dataclass(frozen=True)
class Chip:
    """A Mosaic chip, as wired.

    Parameters
    ----------
    rows, columns : int
        Neuron tiles.
    neurons_per_tile : int
        Neurons (columns of the crossbar) in each neuron tile.
    tile_lines : int
        Lines that enter a neuron tile on each of its four sides. At most ``4 * tile_lines``
        distinct sources reach a tile: this is the fan-in that its neurons share.
    r0_lines, r1_lines : int
        Lines in, and lines out, on each side of a corner router and of a router between tiles.
        No side has more than `MOST_LINES`.
    refractory_steps : int
        Steps after a spike in which a neuron cannot fire and loses its input, 0 by default;
        its membrane goes on leaking, and a late reset still acts.

    Raises
    ------
    ConfigError
        If a size is not a positive integer, a side has too many lines, or an R1 is too narrow
        for the outputs of a neuron tile, which are always wired into the four R1 around it.

    Examples
    --------
    >>> chip = Chip(2, 2, neurons_per_tile=4, tile_lines=4, r0_lines=4, r1_lines=4)
    >>> chip.tiles, chip.shape
    (4, (5, 5))
    >>> chip.hops((0, 0), (1, 1))
    3
    """

    rows: int
    columns: int
    neurons_per_tile: int
    tile_lines: int
    r0_lines: int
    r1_lines: int
    refractory_steps: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "refractory_steps" else 1
            if (
                not isinstance(value, int | np.integer)
                or isinstance(value, bool)
                or value < least
            ):
                raise ConfigError(
                    f"Chip.{field.name} is {value!r}; it needs an integer of at least {least}."
                )
            if field.name.endswith("_lines") and value > MOST_LINES:
                raise ConfigError(
                    f"Chip.{field.name} is {value}; a side has at most {MOST_LINES} lines."
                )
        if self.r1_lines < self.neurons_per_tile:
            raise ConfigError(
                f"Chip.r1_lines is {self.r1_lines}; each of the {self.neurons_per_tile} "
                "neurons of a tile is wired into the four R1 around it, so it needs at least "
                f"{self.neurons_per_tile}."
            )

    @property
    def tiles(self) -> int:
        """Number of neuron tiles."""
        return self.rows * self.columns

    @property
    def neurons(self) -> int:
        """Number of neurons that the chip can hold."""
        return self.tiles * self.neurons_per_tile

    @property
    def shape(self) -> tuple[int, int]:
        """Cells, (rows, columns)."""
        return 2 * self.rows + 1, 2 * self.columns + 1

    @property
    def cells(self) -> int:
        """Number of cells: neuron tiles and routing tiles."""
        return self.shape[0] * self.shape[1]

    def tile_position(self, tile: int) -> tuple[int, int]:
        """(row, column) of a neuron tile in the array of tiles, row by row."""
        return tile // self.columns, tile % self.columns

    def tile_cell(self, tile: int) -> int:
        """Index of the cell of a neuron tile."""
        row, column = self.tile_position(tile)
        return (2 * row + 1) * self.shape[1] + 2 * column + 1

    def cell_name(self, cell: int) -> str:
        """Kind and (row, column) of a cell, for messages: ``R0 (2, 4)``."""
        row, column = divmod(int(cell), self.shape[1])
        return f"{self.kinds[cell]} ({row}, {column})"

    @cached_property
    def kinds(self) -> NDArray[np.str_]:
        """Kind of each cell, (cells,): ``NT``, ``R0`` or ``R1``."""
        row, column = np.indices(self.shape)
        odd = row % 2 + column % 2
        kinds: NDArray[np.str_] = np.array(["R0", "R1", "NT"])[odd].ravel()
        return kinds

    @cached_property
    def port_sites(self) -> NDArray[np.int64]:
        """Where the ports are, (ports, 2): tile coordinates just outside the array.

        In order around the chip: north side from the west, east side from the north, south
        side from the east, west side from the south.
        """
        n, m = self.rows, self.columns
        north = [(-1, c) for c in range(m)]
        east = [(r, m) for r in range(n)]
        south = [(n, c) for c in reversed(range(m))]
        west = [(r, -1) for r in reversed(range(n))]
        return np.array(north + east + south + west, dtype=np.int64)

    def port_cell(self, port: int) -> tuple[int, int]:
        """(cell, side) of a port: the R1 on the border, and the side that looks outward."""
        row, column = (int(x) for x in self.port_sites[port])
        height, width = self.shape
        cell_row = min(max(2 * row + 1, 0), height - 1)
        cell_column = min(max(2 * column + 1, 0), width - 1)
        side = (
            0 if row < 0 else 1 if column >= self.columns else 2 if row >= self.rows else 3
        )
        return cell_row * width + cell_column, side

    def hops(self, a: tuple[int, int], b: tuple[int, int]) -> int:
        """Routing tiles crossed on a shortest way from site `a` to site `b`.

        With ``d = |rows| + |columns|`` between the sites: 0 if ``d = 0``; 1 if ``d = 1``;
        ``2 d + 1`` if they share a row or column, since spikes do not pass through neuron
        tiles; ``2 d - 1`` otherwise.

        Parameters
        ----------
        a, b : (row, column)
            Neuron tiles; one of them may be a port, one step outside the array.
        """
        vertical, horizontal = abs(a[0] - b[0]), abs(a[1] - b[1])
        d = vertical + horizontal
        if d <= 1:
            return d
        straight = not vertical or not horizontal
        return 2 * d + 1 if straight else 2 * d - 1

    @cached_property
    def tile_hops(self) -> NDArray[np.int64]:
        """`hops` between all neuron tiles, (tiles, tiles)."""
        return self._hops_to_tiles(
            np.array([self.tile_position(t) for t in range(self.tiles)])
        )

    @cached_property
    def port_hops(self) -> NDArray[np.int64]:
        """`hops` from all ports to all neuron tiles, (ports, tiles)."""
        return self._hops_to_tiles(self.port_sites)

    @cached_property
    def hop_table(self) -> NDArray[np.int32]:
        """`hops` by rows and columns between two sites, (rows + 1, columns + 1).

        Reaches from a port on one side to the tiles on the other; not from port to port.
        """
        vertical, horizontal = np.indices((self.rows + 1, self.columns + 1), np.int32)
        d = vertical + horizontal
        straight = (vertical == 0) | (horizontal == 0)
        return np.where(d <= 1, d, np.where(straight, 2 * d + 1, 2 * d - 1))

    def _hops_to_tiles(self, sites: NDArray[np.int64]) -> NDArray[np.int64]:
        row, column = np.divmod(np.arange(self.tiles), self.columns)
        between = abs(sites[:, :1] - row), abs(sites[:, 1:] - column)
        return self.hop_table[between].astype(np.int64)

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        """Cell beyond each side of each cell, (cells, 4); -1 off the chip."""
        height, width = self.shape
        row, column = np.divmod(np.arange(self.cells), width)
        beyond = np.full((self.cells, 4), -1, np.int32)
        for side, (down, right) in enumerate(STEP):
            r, c = row + down, column + right
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            beyond[inside, side] = (r * width + c)[inside]
        return beyond

    @cached_property
    def tile_cells(self) -> NDArray[np.int32]:
        """Cell of each neuron tile, (tiles,)."""
        row, column = np.divmod(np.arange(self.tiles), self.columns)
        cells: NDArray[np.int64] = (2 * row + 1) * self.shape[1] + 2 * column + 1
        return cells.astype(np.int32)

    @cached_property
    def port_cells(self) -> NDArray[np.int32]:
        """Cell at which each port enters, (ports,)."""
        return np.array(
            [self.port_cell(p)[0] for p in range(len(self.port_sites))], np.int32
        )

    @cached_property
    def is_router(self) -> NDArray[np.bool_]:
        """Whether each cell is a routing tile, (cells,)."""
        is_router: NDArray[np.bool_] = self.kinds != "NT"
        return is_router

    @cached_property
    def lines(self) -> NDArray[np.int32]:
        """Lines on each side of each routing tile, (cells,); 0 for neuron tiles."""
        return np.select(
            [self.kinds == "R0", self.kinds == "R1"], [self.r0_lines, self.r1_lines], 0
        ).astype(np.int32)

    @cached_property
    def capacity(self) -> NDArray[np.int32]:
        """Lines of the link that leaves each cell on each side, (cells, 4); 0 off the chip.

        A link has as many lines as the narrower of the two sides that it joins.
        """
        leaving = {"NT": self.neurons_per_tile, "R0": self.r0_lines, "R1": self.r1_lines}
        entering = {"NT": self.tile_lines, "R0": self.r0_lines, "R1": self.r1_lines}
        lines = np.zeros((self.cells, 4), np.int32)
        out = np.select([self.kinds == k for k in leaving], list(leaving.values()))
        into = np.select([self.kinds == k for k in entering], list(entering.values()))
        for side in range(4):
            there = self.neighbours[:, side]
            lines[:, side] = np.where(there < 0, 0, np.minimum(out, into[there]))
        return lines

    def router_lines(self, cell: int) -> int:
        """Lines on each side of the routing tile `cell`."""
        return self.r0_lines if self.kinds[cell] == "R0" else self.r1_lines

    @property
    def devices(self) -> dict[str, int]:
        """RRAM devices built into the chip, by kind of tile.

        A neuron tile has ``4 tile_lines + neurons_per_tile`` rows (arriving lines and the
        feedback of its own neurons) and a differential pair of devices for each neuron; a
        routing tile with k lines a side is a crossbar of ``4 k x 4 k`` binary devices.
        """
        n, m = self.rows, self.columns
        rows = 4 * self.tile_lines + self.neurons_per_tile
        return {
            "NT": n * m * rows * 2 * self.neurons_per_tile,
            "R0": (n + 1) * (m + 1) * (4 * self.r0_lines) ** 2,
            "R1": (n * (m + 1) + m * (n + 1)) * (4 * self.r1_lines) ** 2,
        }


CHIPS: dict[str, Chip] = {
    # Sized for the demo: 64 pixels and one bias line enter every tile that reads a digit.
    "demo": Chip(4, 4, neurons_per_tile=24, tile_lines=32, r0_lines=32, r1_lines=32),
    # 8 x 8 tiles of 32 neurons: the published keyword-spotting showcase (README of
    # EIS-Hub/Mosaic). Its lines a side are not published; here as in "routing-aware".
    "shd": Chip(8, 8, neurons_per_tile=32, tile_lines=32, r0_lines=8, r1_lines=32),
    # 5 x 5 tiles of 32 neurons and the capacities of the example shipped with
    # arXiv:2412.01575.
    "routing-aware": Chip(
        5, 5, neurons_per_tile=32, tile_lines=32, r0_lines=8, r1_lines=32
    ),
}
"""Ready-made chips by name."""


def chip_preset(name: str) -> Chip:
    """Return the ready-made chip called `name` (see `CHIPS`).

    Examples
    --------
    >>> chip_preset("shd").neurons
    2048
    """
    if name not in CHIPS:
        raise ConfigError(
            f"Unknown chip preset {name!r}.{suggest(name, CHIPS)} There are: {', '.join(CHIPS)}."
        )
    return CHIPS[name]
