"""What every drawing of the cell grid shares: axes, boxes, colours, legible sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import (
    BboxTransformTo,
    ScaledTranslation,
    blended_transform_factory,
)

from mosaic_sim.chip import STEP
from mosaic_sim.errors import MosaicError
from mosaic_sim.units import engineering, to_si

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import Formatter
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.program import Program

PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#882255",
)  # fmt: skip
"""Owners in order. Okabe and Ito (2008), with wine (Tol) in the place of black."""


NOBODY = "#303030"
"""Neurons without an owner. A middle grey looks like wine or pink to the colour-blind."""


INK, HAIR = "0.15", "0.72"
"""Text and wires; outlines of what is not in use."""


TILE, ROUTER = 1.36, 0.48
"""Sides of a neuron tile and of a corner router, in units of the distance of two cells."""


BROKEN = "#BDBDBD"
"""Tiles that hold and carry nothing; hatched where that can be seen."""


FINE = 5.0
"""Points from cell to cell below which hatches and crosses are left out."""


TEXT = 4.5
"""Smallest text that is still drawn on a chip [points]."""


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `ax`, or the Axes of a new pyplot figure, which notebooks show by themselves."""
    if ax is not None:
        return ax
    from matplotlib import pyplot  # late: it keeps figures alive in global state

    return pyplot.figure(figsize=size, layout="constrained").subplots()


def size_in_points(ax: Axes) -> tuple[float, float]:
    """(width, height) of `ax` as it is now, in points."""
    box = ax.get_window_extent()
    scale = 72 / ax.figure.dpi
    return box.width * scale, box.height * scale


def axes_scale(ax: Axes) -> float:
    """Points from one cell of the chip to the next."""
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    width, height = size_in_points(ax)
    return min(width / abs(x1 - x0), height / abs(y1 - y0))


def hairline(ax: Axes) -> float:
    """Width of outlines [points], thinner than the gap between two cells."""
    return min(0.5, 0.025 * axes_scale(ax))


def rectangles(
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


def cell_outlines(chip: Chip) -> NDArray[np.float64]:
    """Corners of every cell, (cells, 4, 2): an R1 is as long as the tiles that it joins."""
    row, column = np.divmod(np.arange(chip.cells), chip.shape[1])
    side = np.array([ROUTER, TILE])
    return rectangles(column, row, side[column % 2], side[row % 2])


def set_up(ax: Axes, chip: Chip, margin: float) -> None:
    """Make `ax` a chip seen from above: square cells, row 0 at the top, tiles numbered."""
    height, width = chip.shape
    edge = ROUTER / 2 + margin
    ax.set(xlim=(-edge, width - 1 + edge), ylim=(height - 1 + edge, -edge), aspect="equal")
    tile_ticks(ax, chip)
    ax.tick_params(length=0, labelsize="small", colors="0.4")
    ax.set_xlabel("column of tiles", size="small", color="0.4")
    ax.set_ylabel("row of tiles", size="small", color="0.4")
    ax.spines[:].set_visible(False)


def tile_ticks(ax: Axes, chip: Chip) -> None:
    """Number the tiles that `ax` shows, as many as there is room for."""
    every = max(1, int(np.ceil(11 / (2 * axes_scale(ax)))))
    if every > 2:  # round numbers
        power = 10 ** int(np.log10(every))
        every = next(k * power for k in (1, 2, 5, 10) if k * power >= every)
    (left, right), (low, high) = sorted(ax.get_xlim()), sorted(ax.get_ylim())
    columns = [c for c in range(0, chip.columns, every) if left <= 2 * c + 1 <= right]
    rows = [r for r in range(0, chip.rows, every) if low <= 2 * r + 1 <= high]
    ax.set_xticks([2 * c + 1 for c in columns], [str(c) for c in columns])
    ax.set_yticks([2 * r + 1 for r in rows], [str(r) for r in rows])


def draw_broken(ax: Axes, chip: Chip) -> None:
    """Hatch broken cells in grey, and cross the sides on which lines are broken."""
    scale = axes_scale(ax)
    if chip.is_broken.any():
        ax.add_collection(
            PolyCollection(
                list(cell_outlines(chip)[chip.is_broken]), facecolors=BROKEN, edgecolors=INK,
                linewidths=min(0.5, 0.02 * scale), hatch="////" if scale >= FINE else None,
                zorder=6, label="_broken",
            )
        )  # fmt: skip
    if chip.broken_lines and scale >= FINE:
        sides = {(cell, side) for cell, side, _ in chip.broken_lines}
        cell, side = np.array(sorted(sides)).T
        row, column = np.divmod(cell, chip.shape[1])
        down, right = np.array(STEP)[side].T
        along = np.where(down != 0, row % 2, column % 2)
        edge = np.array([ROUTER, TILE])[along] / 2 + 0.04  # in the gap between two cells
        at = np.column_stack([column + edge * right, row + edge * down])
        arm = 0.1 * np.array([[[-1, -1], [1, 1]], [[-1, 1], [1, -1]]])
        crosses = (at[:, None, None] + arm).reshape(-1, 2, 2)
        ax.add_collection(
            LineCollection(
                list(crosses), colors="#C1121F", linewidths=min(1.2, 0.06 * scale), zorder=7,
                label="_lost",
            )
        )  # fmt: skip


def colour_bar(ax: Axes, mappable: ScalarMappable, label: str, numbers: Formatter) -> None:
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


def text_colour_on(colour: str) -> str:
    """Black or white, whichever has more contrast on `colour` (WCAG 2: at least 4.5)."""
    luminance = np.array(to_rgb(colour)) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])
    return "black" if luminance > 0.18 else "white"


def slot_boxes(
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
    return rectangles(left + (column + 0.5) * pitch, top + (row + 0.5) * pitch, size, size)


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 neuron``, ``2 neurons``."""
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"


def owner_colour(owner: int) -> str:
    """Colour of an owner: the palette, then darkened, then paler, then from the start.

    Only the palette itself is safe for colour-blind readers; later owners are hard to tell.
    """
    if owner < 0:
        return NOBODY
    again, k = divmod(owner, len(PALETTE))
    shades = (PALETTE[k], mix(PALETTE[k], "black", 0.6), mix(PALETTE[k], "white", 0.6))
    return shades[again % 3]


def thin_colour(owner: int) -> str:
    """Return `owner_colour`, but without yellow, which is too faint for thin marks."""
    colour = owner_colour(owner)
    return mix(colour, "black", 0.65) if owner % len(PALETTE) == 6 else colour


def mix(colour: str, into: str, share: float) -> str:
    """Mix `share` of `colour` with `into`."""
    (r, g, b), (r2, g2, b2) = to_rgb(colour), to_rgb(into)
    rest = 1 - share
    return to_hex((share * r + rest * r2, share * g + rest * g2, share * b + rest * b2))


def in_one_unit(largest: float, base: str) -> tuple[FuncFormatter, str]:
    """(how to write numbers, unit), with the one prefix that suits `largest`."""
    unit = engineering(largest, base).split(" ")[1]
    one = to_si(1, unit, base)
    return FuncFormatter(lambda value, _: f"{value / one:.6g}"), unit


def checked_owner(
    owner: ArrayLike | None, names: Sequence[str] | None, neurons: int
) -> NDArray[np.int64]:
    """Return owners as integers, 0 if nothing is given; refuse what cannot be owners."""
    if owner is None:
        return np.zeros(neurons, np.int64)
    owners = np.asarray(owner)
    if owners.shape != (neurons,) or (neurons and owners.dtype.kind not in "iu"):
        raise MosaicError(
            f"owner has shape {owners.shape} and dtype {owners.dtype}; it needs one "
            f"integer for each neuron placed: ({neurons},)."
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


def legend_beside(ax: Axes, handles: list[Artist]) -> None:
    """Put a legend right of `ax`."""
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
