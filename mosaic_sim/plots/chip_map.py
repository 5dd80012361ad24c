"""Draw who sits where on a chip, and which lines the spikes take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    PercentFormatter,
)

from mosaic_sim.chip import STEP
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.program import Program
    from mosaic_sim.route import Routing

from mosaic_sim.plots.grid import (
    BROKEN,
    HAIR,
    INK,
    ROUTER,
    TEXT,
    TILE,
    axes_scale,
    cell_outlines,
    checked_owner,
    colour_bar,
    draw_broken,
    hairline,
    legend_beside,
    mix,
    owner_colour,
    plural,
    rectangles,
    set_up,
    slot_boxes,
)

__all__ = ["placement_map"]

# Dark enough to tell apart, light enough for wires to stand out; no hue, since hues say who
# owns a tile.
LOAD = LinearSegmentedColormap.from_list("load", ["#F6F6F6", "#7D7D7D"])


def placement_map(
    program: Program,
    routing: Routing,
    *,
    ax: Axes,
    owner: ArrayLike | None = None,
    owner_names: Sequence[str] | None = None,
) -> Axes:
    """Draw who sits where on the chip, and which lines the spikes take.

    A neuron tile has the colour of the owner of most of its neurons (of the first of those
    with as many), and shows its slots, each in the colour of its own neuron. A routing tile
    is the darker, the larger the fraction of lines in use on that of its four sides where
    most of the lines that leave it are taken. Wires are as wide as they have sources, in
    both directions together, on the same scale for every program of a chip. Triangles are
    input ports, with the number of external sources (inputs and bias line) entering there.
    Broken tiles are hatched; a cross is a side some of whose lines are broken.

    What would be too small to read on these Axes is left out: first the texts; then a tile
    is filled in proportion from below, instead of slot by slot.

    Parameters
    ----------
    program : Program
        n neurons.
    routing : Routing
        The one that `program` was compiled from: a program keeps its events, not its links.
    ax : Axes
        Drawn on, and returned. Sizes fit the Axes as they are now. Legend and colour bar
        lie outside, right and below: leave room, or give the figure a constrained layout.
    owner : int array, (n,), optional
        To whom each neuron belongs, for example its expert; -1 for nobody.
    owner_names : sequence of str, optional
        Name of each owner, for the legend.

    Returns
    -------
    Axes
        With the collections ``_tiles``, ``_slots`` (or ``_fill``), ``_routers``, ``_ports``
        with their wires ``_entries``, and ``_links``, each from its north or west end; where
        there are any, ``_broken`` cells and ``_lost`` lines. The
        array of ``_routers`` is the fraction of lines in use, routing tiles row by row.

    Raises
    ------
    MosaicError
        If `routing` is of another program, or `owner` and `owner_names` do not fit.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from mosaic_sim import Chip, Network, compile_program, place, route
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[2])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> routing = route(net, chip, placement)
    >>> program = compile_program(net, chip, placement, routing)
    >>> ax = placement_map(program, routing, ax=Figure().subplots())
    >>> [text.get_text() for text in ax.texts]
    ['1/4', '1']
    """
    chip = program.geometry
    trees = routing.offsets.size - 1
    if trees != program.sources or routing.cell.max(initial=0) >= chip.cells:
        raise MosaicError(
            f"routing has {trees} trees; it needs to be the one that program was compiled "
            f"from, with {program.sources} sources on {chip.cells} cells."
        )
    owners = checked_owner(owner, owner_names, program.tile.size)
    set_up(ax, chip, margin=1.0)
    load = routing.load(chip)
    _draw_routers(ax, chip, load)
    busiest = _draw_links(ax, chip, load)
    _draw_tiles(ax, program, owners)
    _draw_ports(ax, program)
    draw_broken(ax, chip)

    names: dict[int, str] = {-1: "nobody"} if owner is not None else {0: "in use"}
    names.update(enumerate(owner_names or ()))
    handles = _owner_handles(owners, names)
    handles += [
        Patch(facecolor="white", edgecolor=HAIR, label="free tile"),
        Line2D([], [], linestyle="", marker="v", color=INK, label="input port"),
    ]
    if not chip.whole:
        handles.append(Patch(facecolor=BROKEN, hatch="////", edgecolor=INK, label="broken"))
    if busiest:
        width, label = busiest * _wire(ax, chip), f"link of {plural(busiest, 'source')}"
        handles.append(Line2D([], [], color=INK, linewidth=width, label=label))
    legend_beside(ax, handles)
    return ax


def _wire(ax: Axes, chip: Chip) -> float:
    """Width of the wire of one source [points]; a link full both ways is half a router."""
    return 0.5 * ROUTER * axes_scale(ax) / (2 * float(chip.capacity.max()))


def _draw_routers(ax: Axes, chip: Chip, load: NDArray[np.int64]) -> None:
    is_router = chip.kinds != "NT"
    used = np.divide(load, chip.capacity, out=np.zeros(load.shape), where=chip.capacity > 0)
    routers = PolyCollection(
        list(cell_outlines(chip)[is_router]),
        array=used.max(1)[is_router],
        cmap=LOAD,
        norm=Normalize(0, 1),
        edgecolors=HAIR,
        linewidths=hairline(ax),
        zorder=1,
        label="_routers",
    )
    ax.add_collection(routers)
    colour_bar(ax, routers, "lines in use, busiest side", PercentFormatter(1))


def _draw_links(ax: Axes, chip: Chip, load: NDArray[np.int64]) -> int:
    """Draw wires between the centres of cells; return the sources on the busiest."""
    row, column = np.divmod(np.arange(chip.cells), chip.shape[1])
    ends, sources = [], []
    for side, opposite, step in ((1, 3, 1), (2, 0, chip.shape[1])):
        here = np.flatnonzero(chip.capacity[:, side])
        both = load[here, side] + load[here + step, opposite]
        here, there = here[both > 0], here[both > 0] + step
        ends.append(np.stack([column[here], row[here], column[there], row[there]], axis=1))
        sources.append(both[both > 0])
    count = np.concatenate(sources)
    links = LineCollection(
        list(np.concatenate(ends).reshape(-1, 2, 2)),
        linewidths=_wire(ax, chip) * count,
        colors=INK,
        capstyle="round",
        zorder=2,
        label="_links",
    )
    ax.add_collection(links)
    return int(count.max(initial=0))


def _draw_tiles(ax: Axes, program: Program, owner: NDArray[np.int64]) -> None:
    """Draw neuron tiles over the wires that end at them."""
    chip = program.geometry
    tiles = np.arange(chip.tiles)
    x, y = 2.0 * (tiles % chip.columns) + 1, 2.0 * (tiles // chip.columns) + 1
    filled = np.bincount(program.tile, minlength=chip.tiles)
    # Nobody in the last column, so that argmax prefers a real owner with as many neurons.
    votes = np.zeros((chip.tiles, owner.max(initial=-1) + 2), np.int64)
    np.add.at(votes, (program.tile, owner), 1)
    winner = votes.argmax(1)
    winner[winner == votes.shape[1] - 1] = -1
    pairs = list(zip(winner.tolist(), filled.tolist(), strict=True))
    colour = [owner_colour(k) if n else HAIR for k, n in pairs]
    tint = [mix(owner_colour(k), "white", 0.22) if n else "white" for k, n in pairs]
    scale = axes_scale(ax)
    ax.add_collection(
        PolyCollection(
            list(rectangles(x, y, TILE, TILE)),
            facecolors=tint,
            edgecolors=colour,
            linewidths=np.where(filled > 0, min(1.2, 0.06 * scale), hairline(ax)),
            zorder=3,
            label="_tiles",
        )
    )
    longest = f"{chip.neurons_per_tile}/{chip.neurons_per_tile}"
    size = min(8.0, 0.36 * scale, 1.5 * TILE * scale / len(longest))
    with_text = size >= TEXT
    if with_text:
        for k in np.flatnonzero(filled):
            ax.text(
                x[k],
                y[k] + TILE / 2 - 0.22,
                f"{filled[k]}/{chip.neurons_per_tile}",
                ha="center",
                va="center",
                fontsize=size,
                color=INK,
                zorder=5,
            )
    slots = slot_boxes(program, x, y, room=TILE - 0.16, text=0.34 if with_text else 0.0)
    if slots.size and np.ptp(slots[:1, :, 0]) * scale >= 2:
        face, boxes, label = [owner_colour(k) for k in owner.tolist()], slots, "_slots"
    else:
        used = np.flatnonzero(filled)
        tall = TILE * filled[used] / chip.neurons_per_tile
        boxes = rectangles(x[used], y[used] + (TILE - tall) / 2, TILE, tall)
        face, label = [colour[k] for k in used], "_fill"
    ax.add_collection(
        PolyCollection(list(boxes), facecolors=face, linewidths=0, zorder=4, label=label)
    )


def _draw_ports(ax: Axes, program: Program) -> None:
    """Draw a triangle that points into the chip at every port in use, and its wire."""
    chip = program.geometry
    ports, entering = np.unique(program.port, return_counts=True)
    size = min(8.0, 0.4 * axes_scale(ax))
    triangles, wires = [], []
    for port, count in zip(ports.tolist(), entering.tolist(), strict=True):
        cell, side = chip.port_cell(port)
        row, column = divmod(cell, chip.shape[1])
        centre, outward = np.array([column, row]), np.array(STEP[side])[::-1]
        base = centre + (ROUTER / 2 + 0.38) * outward
        half = 0.2 * outward[::-1]
        triangles.append(np.array([base - 0.3 * outward, base + half, base - half]))
        wires.append(np.array([base - 0.15 * outward, centre]))
        if size >= TEXT:
            number = base + 0.26 * outward
            ax.text(
                number[0],
                number[1],
                str(count),
                ha="center",
                va="center_baseline",
                fontsize=size,
                color=INK,
            )
    ax.add_collection(
        PolyCollection(triangles, facecolors=INK, linewidths=0, label="_ports")
    )
    widths = _wire(ax, chip) * entering
    ax.add_collection(
        LineCollection(wires, linewidths=widths, colors=INK, zorder=2, label="_entries")
    )


def _owner_handles(owner: NDArray[np.int64], names: Mapping[int, str]) -> list[Artist]:
    present, sizes = np.unique(owner, return_counts=True)
    handles: list[Artist] = [
        Patch(
            facecolor=owner_colour(k),
            edgecolor=INK,
            linewidth=0.5,
            label=f"{names.get(k, f'owner {k}')}: {plural(size, 'neuron')}",
        )
        for k, size in zip(present.tolist(), sizes.tolist(), strict=True)
    ]
    if present.size and present[0] < 0:
        handles.append(handles.pop(0))  # nobody comes last
    return handles
