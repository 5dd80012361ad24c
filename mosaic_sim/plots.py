"""Draw a program on its chip, what a run of it cost, and what it fired.

Every function draws on the Axes given and returns them; nothing is shown or saved. What was
drawn can be read back from the artists, which is how the tests check it; collections that
have no place in a legend carry a label with a leading underscore (``_tiles``, ``_links``).

On a drawn chip the cell in row r and column c of the grid has its centre at x = c, y = r,
with row 0 at the top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize, to_hex, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)
from matplotlib.transforms import (
    BboxTransformTo,
    ScaledTranslation,
    blended_transform_factory,
)

from mosaic_sim.chip import STEP
from mosaic_sim.cost import COMPONENTS
from mosaic_sim.errors import MosaicError
from mosaic_sim.units import engineering, to_si

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import Formatter
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.cost import CostReport
    from mosaic_sim.program import Program
    from mosaic_sim.route import Routing

__all__ = ["energy_by_component", "energy_by_tile", "placement_map", "raster"]

PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#882255",
)  # fmt: skip
"""Owners in order. Okabe and Ito (2008), with wine (Tol) in the place of black."""

NOBODY = "#8C8C8C"
"""Neurons without an owner; the palette has no grey."""

COMPONENT_COLOURS = dict(zip(COMPONENTS, (*PALETTE[:3], "#B0B0B0"), strict=True))
"""Static energy is grey: nobody has published it, so it stands apart."""

INK, HAIR = "0.15", "0.72"
"""Text and wires; outlines of what is not in use."""

TILE, ROUTER = 1.36, 0.48
"""Sides of a neuron tile and of a corner router, in units of the distance of two cells."""

TEXT = 4.5
"""Smallest text that is still drawn on a chip [points]."""

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
        with their wires ``_entries``, and ``_links``, each from its north or west end. The
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
    owners = _checked_owner(owner, owner_names, program.tile.size)
    _set_up(ax, chip, margin=1.0)
    load = routing.load(chip)
    _draw_routers(ax, chip, load)
    busiest = _draw_links(ax, chip, load)
    _draw_tiles(ax, program, owners)
    _draw_ports(ax, program)

    names: dict[int, str] = {-1: "nobody"} if owner is not None else {0: "in use"}
    names.update(enumerate(owner_names or ()))
    handles = _owner_handles(owners, names)
    handles += [
        Patch(facecolor="white", edgecolor=HAIR, label="free tile"),
        Line2D([], [], linestyle="", marker="v", color=INK, label="input port"),
    ]
    if busiest:
        width, label = busiest * _wire(ax, chip), f"link of {_plural(busiest, 'source')}"
        handles.append(Line2D([], [], color=INK, linewidth=width, label=label))
    _legend(ax, handles)
    return ax


def energy_by_tile(
    report: CostReport, program: Program, *, ax: Axes, log: bool = False
) -> Axes:
    """Draw how much energy each cell of the chip took, for one inference in the mean.

    Parameters
    ----------
    report : CostReport
    program : Program
        What the report is of.
    ax : Axes
        Drawn on, and returned. The colour bar lies outside, below.
    log : bool
        Logarithmic colours.

    Returns
    -------
    Axes
        With one collection, ``_cells``: its array is the energy of each cell [J], row by
        row, masked (and drawn white) where none was spent.

    Raises
    ------
    MosaicError
        If `report` is of a chip with another number of cells.
    """
    chip = program.geometry
    energy = report.by_tile() / report.samples
    if energy.shape != (chip.cells,):
        raise MosaicError(
            f"report has {energy.size} cells; it needs {chip.cells}, as the program's chip."
        )
    _set_up(ax, chip, margin=0.1)
    spent = energy[energy > 0]
    most = float(energy.max())
    logarithmic = log and spent.size > 0
    cells = PolyCollection(
        list(_outlines(chip)),
        array=np.ma.masked_equal(energy, 0),
        cmap=colormaps["YlGnBu"].with_extremes(bad="white"),
        norm=LogNorm(spent.min(), most) if logarithmic else Normalize(0, most or 1),
        edgecolors=HAIR,
        linewidths=_hair(ax),
        label="_cells",
    )
    ax.add_collection(cells)
    if logarithmic:
        _colour_bar(ax, cells, "energy per inference", EngFormatter("J"))
    else:
        numbers, unit = _in_one_unit(most, "J")
        _colour_bar(ax, cells, f"energy per inference [{unit}]", numbers)
    return ax


def energy_by_component(reports: Mapping[str, CostReport], *, ax: Axes) -> Axes:
    """Draw one bar for each report: energy per inference, split into `COMPONENTS`.

    Parameters
    ----------
    reports : mapping of str to CostReport
        In the order in which they are drawn, from the top.
    ax : Axes
        Drawn on, and returned. The legend lies outside, above.

    Returns
    -------
    Axes
        With one bar container for each component, labelled with its name; widths in J.

    Raises
    ------
    MosaicError
        If `reports` is empty.
    """
    if not reports:
        raise MosaicError("reports is empty; it needs at least one CostReport to draw.")
    parts = [
        {name: joule / report.samples for name, joule in report.by_component().items()}
        for report in reports.values()
    ]
    totals = np.array([report.energy_per_inference for report in reports.values()])
    longest = float(totals.max()) or 1.0
    row = np.arange(len(parts))
    end = np.zeros(len(parts))
    for component in COMPONENTS:
        width = np.array([part[component] for part in parts])
        colour = COMPONENT_COLOURS[component]
        ax.barh(row, width, 0.62, left=end, color=colour, label=component, linewidth=0)
        for k in np.flatnonzero(width > 0.06 * longest).tolist():  # where the text has room
            share = f"{width[k] / totals[k]:.0%}"
            ax.text(
                end[k] + width[k] / 2,
                k,
                share,
                ha="center",
                va="center",
                color=_on(colour),
            )
        end = end + width
    for k, total in enumerate(totals.tolist()):
        ax.annotate(
            engineering(total, "J"),
            (total, k),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
    numbers, unit = _in_one_unit(longest, "J")
    ax.set(xlabel=f"energy per inference [{unit}]", xlim=(0, 1.16 * longest))
    ax.set(ylim=(len(parts) - 0.4, -0.6))
    ax.set_yticks(row, list(reports))
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_formatter(numbers)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(COMPONENTS),
        frameon=False,
        borderaxespad=0.2,
        handlelength=1,
        handleheight=1,
        columnspacing=1.4,
    )
    return ax


def raster(fired: NDArray[np.bool_], *, ax: Axes, dt: float = 1e-3) -> Axes:
    """Draw one tick a spike.

    Parameters
    ----------
    fired : bool array, (steps, neurons)
        One sample of `Recording.raster`.
    ax : Axes
        Drawn on, and returned.
    dt : float [s]
        Length of a step; sets the time axis only.

    Raises
    ------
    MosaicError
        If `fired` is not a bool array of two axes, or `dt` is not above 0.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = raster(np.eye(3, dtype=bool), ax=Figure().subplots(), dt=0.5)
    >>> ax.collections[0].get_offsets().tolist()
    [[0.0, 0.0], [0.5, 1.0], [1.0, 2.0]]
    """
    fired = np.asarray(fired)
    if fired.ndim != 2 or fired.dtype != np.bool_:
        raise MosaicError(
            f"fired has shape {fired.shape} and dtype {fired.dtype}; it needs "
            "(steps, neurons) of bool, one sample of Recording.raster."
        )
    if not 0 < dt < np.inf:
        raise MosaicError(f"dt is {dt}; it needs the length of a step in seconds, above 0.")
    steps, neurons = fired.shape
    step, neuron = np.nonzero(fired)
    # Ticks as high and wide as leaves gaps between neurons and steps, but never too faint.
    room = _points(ax)
    height = float(np.clip(0.8 * room[1] / max(neurons, 1), 2.5, 9))
    width = float(np.clip(0.3 * room[0] / max(steps, 1), 0.5, 1.2))
    ax.scatter(
        step * dt,
        neuron,
        marker="|",
        s=height**2,
        linewidths=width,
        color=INK,
        rasterized=step.size > 20_000,  # as vectors it would weigh megabytes
    )
    # Half a step of air, so that spikes at time 0 do not hide behind the axis.
    ax.set(xlabel="time [s]", xlim=(-dt / 2, (max(steps, 1) - 0.5) * dt))
    ax.set(ylabel="neuron", ylim=(-0.8, max(neurons, 1) - 0.2))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _checked_owner(
    owner: ArrayLike | None, names: Sequence[str] | None, neurons: int
) -> NDArray[np.int64]:
    if owner is None:
        return np.zeros(neurons, np.int64)
    owners = np.asarray(owner)
    if owners.shape != (neurons,) or (neurons and owners.dtype.kind not in "iu"):
        raise MosaicError(
            f"owner has shape {owners.shape} and dtype {owners.dtype}; it needs one "
            f"integer for each neuron of the program: ({neurons},)."
        )
    lowest, highest = owners.min(initial=0), owners.max(initial=-1)
    if lowest < -1:
        raise MosaicError(f"owner has {lowest}; it needs -1 (nobody) or an index from 0.")
    if names is not None and highest >= len(names):
        raise MosaicError(
            f"owner_names has {len(names)} names; it needs at least {highest + 1}, one for "
            f"each owner up to {highest}."
        )
    return owners.astype(np.int64)


# --- sizes -------------------------------------------------------------------------------


def _points(ax: Axes) -> tuple[float, float]:
    """(width, height) of `ax` as it is now, in points."""
    box = ax.get_window_extent()
    scale = 72 / ax.figure.dpi
    return box.width * scale, box.height * scale


def _scale(ax: Axes) -> float:
    """Points from one cell of the chip to the next."""
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    width, height = _points(ax)
    return min(width / abs(x1 - x0), height / abs(y1 - y0))


def _hair(ax: Axes) -> float:
    """Width of outlines [points], thinner than the gap between two cells."""
    return min(0.5, 0.025 * _scale(ax))


def _wire(ax: Axes, chip: Chip) -> float:
    """Width of the wire of one source [points]; a link full both ways is half a router."""
    return 0.5 * ROUTER * _scale(ax) / (2 * float(chip.capacity.max()))


def _boxes(
    x: NDArray[Any],
    y: NDArray[Any],
    width: NDArray[Any] | float,
    height: NDArray[Any] | float,
) -> NDArray[np.float64]:
    """Corners of boxes around the centres (x, y), (boxes, 4, 2)."""
    right, down = np.array([-0.5, 0.5, 0.5, -0.5]), np.array([-0.5, -0.5, 0.5, 0.5])
    across = np.asarray(x)[:, None] + np.reshape(width, (-1, 1)) * right
    along = np.asarray(y)[:, None] + np.reshape(height, (-1, 1)) * down
    return np.stack([across, along], axis=-1)


def _outlines(chip: Chip) -> NDArray[np.float64]:
    """Corners of every cell, (cells, 4, 2): an R1 is as long as the tiles that it joins."""
    row, column = np.divmod(np.arange(chip.cells), chip.shape[1])
    side = np.array([ROUTER, TILE])
    return _boxes(column, row, side[column % 2], side[row % 2])


# --- parts of a chip ---------------------------------------------------------------------


def _set_up(ax: Axes, chip: Chip, margin: float) -> None:
    """Make `ax` a chip seen from above: square cells, row 0 at the top, tiles numbered."""
    height, width = chip.shape
    edge = ROUTER / 2 + margin
    ax.set(xlim=(-edge, width - 1 + edge), ylim=(height - 1 + edge, -edge), aspect="equal")
    every = max(1, int(np.ceil(11 / (2 * _scale(ax)))))
    columns, rows = range(0, chip.columns, every), range(0, chip.rows, every)
    ax.set_xticks([2 * c + 1 for c in columns], [str(c) for c in columns])
    ax.set_yticks([2 * r + 1 for r in rows], [str(r) for r in rows])
    ax.tick_params(length=0, labelsize="small", colors="0.4")
    ax.set_xlabel("column of tiles", size="small", color="0.4")
    ax.set_ylabel("row of tiles", size="small", color="0.4")
    ax.spines[:].set_visible(False)


def _draw_routers(ax: Axes, chip: Chip, load: NDArray[np.int64]) -> None:
    is_router = chip.kinds != "NT"
    used = np.divide(load, chip.capacity, out=np.zeros(load.shape), where=chip.capacity > 0)
    routers = PolyCollection(
        list(_outlines(chip)[is_router]),
        array=used.max(1)[is_router],
        cmap=LOAD,
        norm=Normalize(0, 1),
        edgecolors=HAIR,
        linewidths=_hair(ax),
        zorder=1,
        label="_routers",
    )
    ax.add_collection(routers)
    _colour_bar(ax, routers, "lines in use, busiest side", PercentFormatter(1))


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
    colour = [_colour(k) if n else HAIR for k, n in pairs]
    tint = [_mix(_colour(k), "white", 0.22) if n else "white" for k, n in pairs]
    scale = _scale(ax)
    ax.add_collection(
        PolyCollection(
            list(_boxes(x, y, TILE, TILE)),
            facecolors=tint,
            edgecolors=colour,
            linewidths=np.where(filled > 0, min(1.2, 0.06 * scale), _hair(ax)),
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
    slots = _slots(program, x, y, room=TILE - 0.16, text=0.34 if with_text else 0.0)
    if np.ptp(slots[:1, :, 0]) * scale >= 2:
        face, boxes, label = [_colour(k) for k in owner.tolist()], slots, "_slots"
    else:
        used = np.flatnonzero(filled)
        tall = TILE * filled[used] / chip.neurons_per_tile
        boxes = _boxes(x[used], y[used] + (TILE - tall) / 2, TILE, tall)
        face, label = [colour[k] for k in used], "_fill"
    ax.add_collection(
        PolyCollection(list(boxes), facecolors=face, linewidths=0, zorder=4, label=label)
    )


def _slots(
    program: Program, x: NDArray[Any], y: NDArray[Any], room: float, text: float
) -> NDArray[np.float64]:
    """Box of the slot of each neuron, (n, 4, 2), row by row in its tile, above the text."""
    slots = int(program.chip[2])
    across = round(float(np.sqrt(slots * room / (room - text))))
    across = min(max(across, 1), slots)
    down = -(-slots // across)
    pitch = min(room / across, (room - text) / down)
    row, column = np.divmod(program.slot, across)
    left = x[program.tile] - across * pitch / 2
    top = y[program.tile] - (text + down * pitch) / 2
    size = 0.84 * pitch
    return _boxes(left + (column + 0.5) * pitch, top + (row + 0.5) * pitch, size, size)


def _draw_ports(ax: Axes, program: Program) -> None:
    """Draw a triangle that points into the chip at every port in use, and its wire."""
    chip = program.geometry
    ports, entering = np.unique(program.port, return_counts=True)
    size = min(8.0, 0.4 * _scale(ax))
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


# --- keys --------------------------------------------------------------------------------


def _colour_bar(ax: Axes, mappable: ScalarMappable, label: str, numbers: Formatter) -> None:
    """Put a colour bar below `ax`, as a part of it: the figure gets no new Axes."""
    # Across in fractions of `ax`; down in inches, to leave room for the labels of the axis.
    inches = ax.figure.dpi_scale_trans + ScaledTranslation(0, 0, BboxTransformTo(ax.bbox))
    where = blended_transform_factory(ax.transAxes, inches)
    inset = ax.inset_axes((0.15, -0.6, 0.7, 0.09), transform=where)
    bar = ax.figure.colorbar(mappable, cax=inset, orientation="horizontal", format=numbers)
    bar.outline.set(linewidth=0.5, edgecolor=HAIR)
    bar.ax.xaxis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(labelsize="small", length=2)
    bar.set_label(label, size="small")


def _owner_handles(owner: NDArray[np.int64], names: Mapping[int, str]) -> list[Artist]:
    present, sizes = np.unique(owner, return_counts=True)
    handles: list[Artist] = [
        Patch(
            facecolor=_colour(k),
            edgecolor=INK,
            linewidth=0.5,
            label=f"{names.get(k, f'owner {k}')}: {_plural(size, 'neuron')}",
        )
        for k, size in zip(present.tolist(), sizes.tolist(), strict=True)
    ]
    if present.size and present[0] < 0:
        handles.append(handles.pop(0))  # nobody comes last
    return handles


def _legend(ax: Axes, handles: list[Artist]) -> None:
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        frameon=False,
        fontsize="small",
        handlelength=1.6,
        handletextpad=1,
        handleheight=1.2,
        ncols=1 + len(handles) // 24,
    )


def _in_one_unit(largest: float, base: str) -> tuple[FuncFormatter, str]:
    """(how to write numbers, unit), with the one prefix that suits `largest`."""
    unit = engineering(largest, base).split(" ")[1]
    one = to_si(1, unit, base)
    return FuncFormatter(lambda value, _: f"{value / one:.6g}"), unit


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# --- colours -----------------------------------------------------------------------------


def _colour(owner: int) -> str:
    """Colour of an owner: the palette, then darkened, then paler, then from the start."""
    if owner < 0:
        return NOBODY
    again, k = divmod(owner, len(PALETTE))
    shades = (PALETTE[k], _mix(PALETTE[k], "black", 0.6), _mix(PALETTE[k], "white", 0.6))
    return shades[again % 3]


def _mix(colour: str, into: str, share: float) -> str:
    """Mix `share` of `colour` with `into`."""
    (r, g, b), (r2, g2, b2) = to_rgb(colour), to_rgb(into)
    rest = 1 - share
    return to_hex((share * r + rest * r2, share * g + rest * g2, share * b + rest * b2))


def _on(colour: str) -> str:
    """Black or white, whichever has more contrast on `colour` (WCAG 2: at least 4.5)."""
    luminance = np.array(to_rgb(colour)) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])
    return "black" if luminance > 0.18 else "white"
