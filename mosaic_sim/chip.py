"""The geometry of a Mosaic chip: tiles, cells, lines, and how far apart things are.

An array of ``rows x columns`` neuron tiles (NT) lies in a grid of
``(2 rows + 1) x (2 columns + 1)`` cells. A cell with both coordinates odd is a neuron tile,
both even a corner router (R0), mixed a router between two tiles (R1); a ring of routers
surrounds the array. A *line* carries the spikes of exactly one source. A *port* is the
outward side of an R1 on the border, where external inputs enter; for distances it behaves
like a neuron tile just outside the array.

Tiles and lines may be *broken*: they hold and carry nothing, and are avoided. They are still
there, so devices, area and standby power are those of the whole chip; and distances are those
on the whole chip, which a way around something broken exceeds.

Source: grid, kinds of routers and hop distance as in the code of Weber, Ballet and Payvand,
arXiv:2412.01575 (``MOSAIC_routing.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import ConfigError, suggest
from mosaic_sim.faults import LostLines, listed, masked, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["CHIPS", "SIDES", "STEP", "Chip", "chip_preset"]

SIDES = ("north", "east", "south", "west")
MOST_LINES = 32_767
"""Lines of one side: routes keep the number of a line in 16 bits."""
SIZES = 7
"""Fields of a `Chip` that are sizes; the others say what is broken."""
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
    broken_tiles : sequence of int
        Neuron tiles that hold no neuron and let nothing in or out. None by default.
    broken_routers : sequence of int
        Cells of routing tiles none of whose lines carries anything.
    broken_lines : sequence of (cell, side, line)
        Single lines, of the link that leaves `cell` on `side` (0 to 3, as in `SIDES`); on the
        outward side of an R1 on the border, the line on which an input would enter. Line k out
        of a neuron tile is the output of the neuron in slot k on that side.

        All three are kept sorted, as tuples; `with_faults` takes masks.

    Raises
    ------
    ConfigError
        If a size is not a positive integer, a side has too many lines, or an R1 is too narrow
        for the outputs of a neuron tile, which are always wired into the four R1 around it; if
        something broken is not on this chip, or listed twice.

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
    broken_tiles: tuple[int, ...] = ()
    broken_routers: tuple[int, ...] = ()
    broken_lines: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self)[:SIZES]:
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
        self._check_faults()

    def _check_faults(self) -> None:
        """Bring what is broken into one form, and refuse what is not there."""
        cell = [("cell", self.cells)]
        for name, sizes in (
            ("broken_tiles", [("tile", self.tiles)]),
            ("broken_routers", cell),
            ("broken_lines", [*cell, ("side", 4), ("line", MOST_LINES)]),
        ):
            faults = listed(f"Chip.{name}", getattr(self, name), sizes)
            object.__setattr__(self, name, faults)  # once, before anybody has seen it
        for at in self.broken_routers:
            if not self.is_router[at]:
                raise ConfigError(
                    f"Chip.broken_routers has the cell {at}, {self.cell_name(at)}, which is no "
                    "routing tile; neuron tiles go into broken_tiles, by their own numbers."
                )
        if self.broken_lines:
            at, side, line = np.array(self.broken_lines).T
            entry = (self.neighbours[at, side] < 0) & (self.kinds[at] == "R1")
            lines = np.where(entry, self.r1_lines, self.wired[at, side])
            for k in np.flatnonzero(line >= lines):
                raise ConfigError(
                    f"Chip.broken_lines has line {line[k]} of {self.cell_name(at[k])} "
                    f"{SIDES[side[k]]}, which has {lines[k]} lines."
                )

    def with_faults(
        self,
        *,
        tiles: ArrayLike | None = None,
        routers: ArrayLike | None = None,
        lines: ArrayLike | None = None,
    ) -> Chip:
        """Return this chip with more of it broken, given as masks: True is broken.

        Parameters
        ----------
        tiles : bool array, (rows, columns) or (tiles,), optional
        routers : bool array, `shape` or (cells,), optional
            True at routing tiles only.
        lines : bool array, (cells, 4, k), optional
            Line of the link that leaves each cell on each side, as `broken_lines`; k is any
            number of lines, those that a side does not have stay False.

        Raises
        ------
        ConfigError
            If a mask has another shape or dtype, or breaks what is not there.

        Examples
        --------
        >>> chip = Chip(1, 2, neurons_per_tile=4, tile_lines=4, r0_lines=4, r1_lines=4)
        >>> hurt = chip.with_faults(tiles=[[False, True]])
        >>> hurt.broken_tiles, hurt.neurons
        ((1,), 4)
        """
        more: dict[str, Any] = {}
        if tiles is not None:
            mask = masked("tiles", tiles, (self.tiles,), (self.rows, self.columns))
            more["broken_tiles"] = np.flatnonzero(mask).tolist()
        if routers is not None:
            mask = masked("routers", routers, (self.cells,), self.shape)
            more["broken_routers"] = np.flatnonzero(mask).tolist()
        if lines is not None:
            most = np.shape(lines)[-1] if np.ndim(lines) == 3 else self.r1_lines
            mask = masked(
                "lines", lines, (self.cells, 4, most), said=" (cells, sides, lines)"
            )
            more["broken_lines"] = [tuple(row) for row in np.argwhere(mask).tolist()]
        for name, new in more.items():
            more[name] = tuple({*getattr(self, name), *new})
        return replace(self, **more)

    def as_integers(self) -> list[int]:
        """All fields in one list, for files: the seven sizes, then what is broken, if any."""
        sizes = [int(getattr(self, field.name)) for field in fields(self)[:SIZES]]
        return [*sizes, *packed(self.broken_tiles, self.broken_routers, self.broken_lines)]

    @classmethod
    def from_integers(cls, numbers: Sequence[int]) -> Chip:
        """Return the chip of a list from `as_integers`.

        Raises
        ------
        ConfigError
            If the list has not the length that it says, or the chip is impossible.

        Examples
        --------
        >>> chip = Chip(1, 2, 4, 4, 4, 4, broken_tiles=[1])
        >>> Chip.from_integers(chip.as_integers()) == chip
        True
        """
        tiles, routers, lines = unpacked(numbers[SIZES:])
        sizes = {f.name: n for f, n in zip(fields(cls), numbers[:SIZES], strict=False)}
        return cls(**sizes, broken_tiles=tiles, broken_routers=routers, broken_lines=lines)

    @property
    def whole(self) -> bool:
        """Whether nothing is broken."""
        return not (self.broken_tiles or self.broken_routers or self.broken_lines)

    @property
    def tiles(self) -> int:
        """Number of neuron tiles."""
        return self.rows * self.columns

    @property
    def neurons(self) -> int:
        """Number of neurons that the chip can hold, on tiles that are not broken."""
        return (self.tiles - len(self.broken_tiles)) * self.neurons_per_tile

    @cached_property
    def slots(self) -> NDArray[np.int64]:
        """Neurons that each neuron tile can hold, (tiles,): 0 if it is broken."""
        slots = np.full(self.tiles, self.neurons_per_tile, np.int64)
        slots[list(self.broken_tiles)] = 0
        return slots

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
    def wired(self) -> NDArray[np.int32]:
        """Lines of the link that leaves each cell on each side, (cells, 4); 0 off the chip.

        A link has as many lines as the narrower of the two sides that it joins. Broken lines
        count: they are numbered with the others.
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

    @cached_property
    def capacity(self) -> NDArray[np.int32]:
        """Sources that the link out of each cell on each side can carry, (cells, 4).

        Its lines (`wired`) without the broken ones; none into or out of a broken cell.
        """
        if self.whole:
            return self.wired
        lines = self.wired.copy()
        for cell, side, _ in self.broken_lines:
            lines[cell, side] -= self.neighbours[cell, side] >= 0
        lines[self.is_broken] = 0
        lines[(self.neighbours >= 0) & self.is_broken[self.neighbours]] = 0
        return lines

    @cached_property
    def fan_in(self) -> NDArray[np.int64]:
        """Lines that arrive at each neuron tile and are not broken, (tiles,)."""
        around = self.neighbours[self.tile_cells]
        lines = [self.capacity[around[:, side], (side + 2) % 4] for side in range(4)]
        arriving: NDArray[np.int64] = np.sum(lines, axis=0, dtype=np.int64)
        return arriving

    @cached_property
    def port_lines(self) -> NDArray[np.int64]:
        """External sources that can enter at each port, (ports,): its lines not broken."""
        lines = np.full(len(self.port_sites), self.r1_lines, np.int64)
        lines[self.is_broken[self.port_cells]] = 0
        if self.broken_lines:
            at = {self.port_cell(port): port for port in range(lines.size)}
            for cell, side, _ in self.broken_lines:
                if (cell, side) in at and lines[at[cell, side]]:
                    lines[at[cell, side]] -= 1
        return lines

    @cached_property
    def is_broken(self) -> NDArray[np.bool_]:
        """Whether each cell is a broken neuron tile or routing tile, (cells,)."""
        broken = np.zeros(self.cells, np.bool_)
        broken[self.tile_cells[list(self.broken_tiles)]] = True
        broken[list(self.broken_routers)] = True
        return broken

    @cached_property
    def _lost(self) -> LostLines:
        """Broken lines, side by side."""
        return LostLines.of(self.broken_lines)

    def line_numbers(
        self, cell: ArrayLike, side: ArrayLike, rank: ArrayLike
    ) -> NDArray[np.int64]:
        """Count the lines of sides without the broken ones: the number of line `rank` of them.

        Parameters
        ----------
        cell, side, rank : int arrays of one shape
            Links, and from 0 the how manyeth whole line of each; below `capacity`, or below
            `port_lines` where an input enters.

        Examples
        --------
        >>> chip = Chip(1, 1, 3, 3, 3, 3, broken_lines=[(1, 2, 0)])
        >>> chip.line_numbers([1, 1], [2, 2], [0, 1]).tolist()
        [1, 2]
        """
        return self._lost.numbers(cell, side, rank)

    def line_broken(
        self, cell: ArrayLike, side: ArrayLike, line: ArrayLike
    ) -> NDArray[np.bool_]:
        """Whether lines are broken, or lead into or out of a broken cell.

        Parameters
        ----------
        cell, side, line : int arrays of one shape
            As in `broken_lines`.
        """
        cell, side = np.asarray(cell), np.asarray(side)
        beyond = self.neighbours[cell, side]
        broken = self.is_broken[cell] | ((beyond >= 0) & self.is_broken[beyond])
        return np.asarray(broken | self._lost.among(cell, side, line), np.bool_)

    def router_lines(self, cell: int) -> int:
        """Lines on each side of the routing tile `cell`."""
        return self.r0_lines if self.kinds[cell] == "R0" else self.r1_lines

    @property
    def devices(self) -> dict[str, int]:
        """RRAM devices built into the chip, by kind of tile.

        A neuron tile has ``4 tile_lines + neurons_per_tile`` rows (arriving lines and the
        feedback of its own neurons) and a differential pair of devices for each neuron; a
        routing tile with k lines a side is a crossbar of ``4 k x 4 k`` binary devices. What is
        broken counts: it was built.
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
