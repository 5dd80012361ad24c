"""Draw routes: how loaded lines are, by kind of tile, and the tree of one source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mosaic_sim.errors import MosaicError, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement
    from mosaic_sim.route import Routing

from mosaic_sim.plots.grid import (
    HAIR,
    INK,
    PALETTE,
    axes_scale,
    cell_outlines,
    colour_bar,
    draw_broken,
    hairline,
    legend_beside,
    plural,
    set_up,
    tile_ticks,
)

__all__ = ["KINDS", "load_curves", "load_map", "port_loads", "tree_map"]

KINDS = {"R0": "R0 sides", "R1": "R1 sides", "NT": "tile entries"}
"""Kinds of side whose lines are counted, and what they are called."""

COLOURS = {"R0": PALETTE[0], "R1": PALETTE[1], "NT": PALETTE[2]}

LOAD = LinearSegmentedColormap.from_list(
    "use", ["#EFF3F8", "#9CC3E0", "#2F7FB8", "#7A2A6B", "#C1121F"]
)
"""Red is a side without a line to spare."""

FINE = 4.0
"""Points from cell to cell below which cells are pixels."""


def port_loads(chip: Chip, routing: Routing) -> NDArray[np.int64]:
    """Sources that enter and leave each cell on each side, (cells, 8): in first, then out.

    The outputs of neuron tiles are not counted, as they are wired whether they are used or not,
    and neither are external sources where they enter at a port.
    """
    load = routing.load(chip)
    ports = np.zeros((chip.cells, 8), np.int64)
    for side in range(4):
        there = chip.neighbours[:, side]
        inside = (there >= 0) & chip.is_router
        ports[there[inside], (side + 2) % 4] = load[inside, side]
    ports[:, 4:] = np.where(chip.is_router[:, None], load, 0)
    return ports


def _lines_of(chip: Chip) -> dict[str, int]:
    return {"R0": chip.r0_lines, "R1": chip.r1_lines, "NT": chip.tile_lines}


def _checked_kinds(kinds: Sequence[str]) -> list[str]:
    for kind in kinds:
        if kind not in KINDS:
            raise MosaicError(
                f"Unknown kind of tile {kind!r}.{suggest(kind, KINDS)} There are: "
                f"{', '.join(KINDS)}."
            )
    return list(kinds)


def load_map(
    chip: Chip, routing: Routing, *, ax: Axes, kinds: Sequence[str] = tuple(KINDS)
) -> Axes:
    """Draw the share of lines in use on the busiest side of each cell.

    Parameters
    ----------
    chip, routing
    ax : Axes
        Drawn on, and returned. The colour bar lies outside, below.
    kinds : sequence of str
        Of ``R0``, ``R1`` and ``NT`` (entries of neuron tiles), those to show. Of one kind alone
        a large chip has one pixel a tile, the worst of the routers beside it.

    Returns
    -------
    Axes
        With the collection ``_cells``, or one image if cells are too small to tell apart. Its
        array is the share of the lines of the cell; cells that are not shown are masked, and
        broken ones grey.

    Raises
    ------
    MosaicError
        If there is no such kind.
    """
    shown = np.isin(chip.kinds, _checked_kinds(kinds))
    lines = np.where(chip.is_router, chip.lines, chip.tile_lines)
    share = np.ma.array(
        port_loads(chip, routing).max(1) / lines, mask=~shown | chip.is_broken
    )
    set_up(ax, chip, margin=0.1)
    scale = Normalize(0, 1)
    drawn: PolyCollection | AxesImage
    if axes_scale(ax) >= FINE:
        drawn = PolyCollection(
            list(cell_outlines(chip)), array=share, cmap=LOAD, norm=scale, edgecolors=HAIR,
            linewidths=hairline(ax), label="_cells",
        )  # fmt: skip
        ax.add_collection(drawn)
    else:
        limits = ax.get_xlim(), ax.get_ylim()
        image = share.reshape(chip.shape)
        if len(kinds) == 1:
            image = _by_tile(image)
        height, width = chip.shape
        drawn = ax.imshow(
            image, cmap=LOAD, norm=scale, extent=(-0.5, width - 0.5, height - 0.5, -0.5)
        )
        ax.set(xlim=limits[0], ylim=limits[1])
    draw_broken(ax, chip)
    names = ", ".join(KINDS[kind] for kind in kinds)
    colour_bar(ax, drawn, f"lines in use, busiest of {names}", PercentFormatter(1))
    return ax


def _by_tile(image: np.ma.MaskedArray) -> np.ma.MaskedArray:
    """Largest of each 2 x 2 cells, the last row and column alone."""
    height, width = image.shape
    padded = np.full((height + height % 2, width + width % 2), -np.inf)
    padded[:height, :width] = image.filled(-np.inf)
    worst = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).max((1, 3))
    return np.ma.masked_equal(worst, -np.inf)


def load_curves(
    chip: Chip, routing: Routing, *, ax: Axes, kinds: Sequence[str] = tuple(KINDS)
) -> Axes:
    """Draw what share of sides carries more than so many sources, for each kind of tile.

    The lines of a side are dashed, in the colour of the kind; where the curve falls to nothing
    is how many would do.

    Parameters
    ----------
    chip, routing
    ax : Axes
        Drawn on, and returned.
    kinds : sequence of str
        Of ``R0``, ``R1`` and ``NT`` (entries of neuron tiles).

    Raises
    ------
    MosaicError
        If there is no such kind.
    """
    ports = port_loads(chip, routing)
    lines = _lines_of(chip)
    for kind in _checked_kinds(kinds):
        sides = ports[chip.kinds == kind][:, : 4 if kind == "NT" else 8].ravel()
        most = int(sides.max(initial=0))
        counts = np.bincount(sides, minlength=most + 1)
        above = 1 - np.cumsum(counts) / sides.size
        above[-1] = 0  # whatever rounding left
        colour = COLOURS[kind]
        ax.step(
            np.arange(most + 1), above, where="post", color=colour,
            label=f"{KINDS[kind]}: most {most}, lines {lines[kind]}",
        )  # fmt: skip
        ax.axvline(lines[kind], color=colour, linestyle="--", linewidth=1)
    ax.set_xlabel("sources on a side")
    ax.set_ylabel("share of sides with more")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(left=0)
    ax.set_ylim(0, 1)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(framealpha=0.9, edgecolor="none", fontsize="small")
    return ax


def tree_map(
    network: Network,
    chip: Chip,
    placement: Placement,
    routing: Routing,
    source: int,
    *,
    ax: Axes,
    zoom: bool = True,
) -> Axes:
    """Draw the tree over which the spikes of one source travel.

    Parameters
    ----------
    network, chip, placement, routing
    source : int
        Inputs, bias line, then neurons.
    ax : Axes
        Drawn on, and returned. The legend lies outside, right.
    zoom : bool
        Show only the tiles around the tree, where the chip is larger than that.

    Returns
    -------
    Axes
        With the collections ``_cells``, ``_reached`` (tiles), ``_start`` and ``_links``.

    Raises
    ------
    MosaicError
        If there is no such source.
    """
    if not 0 <= source < network.sources:
        raise MosaicError(
            f"source is {source}; the network has sources 0 to {network.sources - 1}."
        )
    part = slice(int(routing.offsets[source]), int(routing.offsets[source + 1]))
    cell, side = routing.cell[part], routing.side[part]
    beyond = chip.neighbours[cell, side]
    neuron = source - network.first_neuron
    if neuron >= 0:
        start = np.array([chip.tile_cells[placement.tile[neuron]]])
        what = f"neuron {neuron}"
    else:
        start = chip.port_cells[placement.port[source : source + 1]]
        what = "bias line" if source >= network.inputs else f"input {source}"
    width = chip.shape[1]
    set_up(ax, chip, margin=0.1)
    seen = np.concatenate([cell, beyond, start])
    if zoom:
        _zoom(ax, chip, seen)
    (left, right), (low, high) = sorted(ax.get_xlim()), sorted(ax.get_ylim())
    row, column = np.divmod(np.arange(chip.cells), width)
    near = (column > left - 1) & (column < right + 1) & (row > low - 1) & (row < high + 1)
    outlines = cell_outlines(chip)

    def boxes(cells: NDArray[Any], label: str, colour: str, order: float) -> None:
        ax.add_collection(
            PolyCollection(
                list(outlines[cells]), facecolors=colour, edgecolors=HAIR,
                linewidths=hairline(ax), zorder=order, label=label,
            )
        )  # fmt: skip

    if axes_scale(ax) >= FINE / 2:
        boxes(np.flatnonzero(near), "_cells", "white", 1)
    else:
        corner, size = (-0.5, -0.5), (width, chip.shape[0])
        ax.add_patch(Rectangle(corner, *size, facecolor="white", edgecolor=HAIR, zorder=1))
    ends = np.unique(beyond[~chip.is_router[beyond]])
    boxes(ends, "_reached", PALETTE[4], 2)
    boxes(start, "_start", PALETTE[5], 2.5)
    points = np.stack([cell % width, cell // width, beyond % width, beyond // width], 1)
    thick = float(np.clip(0.12 * axes_scale(ax), 0.8, 2.5))
    ax.add_collection(
        LineCollection(
            list(points.reshape(-1, 2, 2)), colors=INK, linewidths=thick,
            capstyle="round", zorder=3, label="_links",
        )
    )  # fmt: skip
    draw_broken(ax, chip)
    routers = np.unique(np.concatenate([cell, beyond]))
    crossed = int(np.count_nonzero(chip.is_router[routers]))
    legend_beside(ax, [
        Patch(facecolor=PALETTE[5], edgecolor=HAIR, label=what),
        Patch(facecolor=PALETTE[4], edgecolor=HAIR, label=plural(ends.size, "tile") + " reached"),
        Line2D([], [], color=INK, linewidth=thick,
               label=f"{plural(cell.size, 'link')}, {plural(crossed, 'routing tile')}"),
    ])  # fmt: skip
    return ax


def _zoom(ax: Axes, chip: Chip, cells: NDArray[np.int32]) -> None:
    """Show the cells, two more around, and as square a piece as there is."""
    height, width = chip.shape
    row, column = np.divmod(cells, width)
    half = max(np.ptp(row), np.ptp(column)) / 2 + 3
    spans = []
    for middle, size in (
        ((column.min() + column.max()) / 2, width),
        ((row.min() + row.max()) / 2, height),
    ):
        low = max(-0.7, min(middle - half, size - 0.3 - 2 * half))
        spans.append((low, min(low + 2 * half, size - 0.3)))
    ax.set_xlim(*spans[0])
    ax.set_ylim(spans[1][1], spans[1][0])
    tile_ticks(ax, chip)
