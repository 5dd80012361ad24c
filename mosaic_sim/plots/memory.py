"""Draw how much memory networks need on Mosaic, on one crossbar and in tables."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from mosaic_sim.errors import MosaicError
from mosaic_sim.plots.grid import HAIR, INK, size_in_points

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from mosaic_sim.memory import MemoryComparison

__all__ = ["memory_by_tile_size", "tables_by_tile_size"]

SHADES = (
    "#56B4E9",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#0072B2",
    "#D55E00",
    "#882255",
    "#303030",
)
"""Networks in order of size. Okabe and Ito (2008), with wine and grey at the end."""

NAME = 11.0
"""Distance of two names at the ends of lines [points], so that they do not overlap."""


def memory_by_tile_size(points: Sequence[MemoryComparison], *, ax: Axes) -> Axes:
    """Draw the RRAM devices of Mosaic against neurons a tile, a line for each network size.

    Dashed, in the same colour: one crossbar that joins all neurons.

    Parameters
    ----------
    points : sequence of MemoryComparison
        From `mosaic_sim.memory.compare_memory`, in any order.
    ax : Axes
        Drawn on, and returned; both axes become logarithmic.

    Returns
    -------
    Axes
        With the lines ``N = 128`` (Mosaic) and ``_crossbar 128`` for each network size.

    Raises
    ------
    MosaicError
        If `points` is empty.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from mosaic_sim.memory import compare_memory
    >>> points = [
    ...     compare_memory(128, k, {1: 1.0}, synapse_bits=4, tags_per_neuron=1) for k in (2, 8)
    ... ]
    >>> ax = memory_by_tile_size(points, ax=Figure().subplots())
    >>> ax.lines[0].get_ydata().tolist()
    [3584, 15360]
    """
    _draw(
        points,
        ax,
        ("N = ", "-", "o", lambda point: point.mosaic.total),
        ("_crossbar ", (0, (4, 2)), "", lambda point: point.crossbar),
    )
    ax.set_ylabel("RRAM devices")
    _legend(ax, ("Mosaic", "-", "o"), ("one crossbar", (0, (4, 2)), ""))
    return ax


def tables_by_tile_size(points: Sequence[MemoryComparison], *, ax: Axes) -> Axes:
    """Draw the bits of routing tables for the same networks as `memory_by_tile_size`.

    Solid: two-stage tag routing, CAM and SRAM together. Dotted: lists of destinations in SRAM.
    Bits and devices are different units, which is why they have Axes of their own.

    Parameters
    ----------
    points : sequence of MemoryComparison
        From `mosaic_sim.memory.compare_memory`, in any order.
    ax : Axes
        Drawn on, and returned; both axes become logarithmic.

    Returns
    -------
    Axes
        With the lines ``N = 128`` (CAM and SRAM) and ``_sram 128`` for each network size.

    Raises
    ------
    MosaicError
        If `points` is empty.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from mosaic_sim.memory import compare_memory
    >>> point = compare_memory(128, 8, {1: 1.0}, synapse_bits=4, tags_per_neuron=1)
    >>> ax = tables_by_tile_size([point], ax=Figure().subplots())
    >>> ax.lines[1].get_ydata().tolist() == [point.sram]
    True
    """
    _draw(
        points,
        ax,
        ("N = ", "-", "s", lambda point: point.tags.bits),
        ("_sram ", (0, (1, 1.4)), "", lambda point: point.sram),
    )
    ax.set_ylabel("bits")
    _legend(ax, ("tags in CAM and SRAM", "-", "s"), ("lists in SRAM", (0, (1, 1.4)), ""))
    return ax


def _draw(
    points: Sequence[MemoryComparison],
    ax: Axes,
    *kinds: tuple[str, Any, str, Callable[[MemoryComparison], int]],
) -> None:
    if not points:
        raise MosaicError(
            "points is empty; it needs at least one MemoryComparison to draw."
        )
    ordered = sorted(points, key=lambda point: (point.neurons, point.neurons_per_tile))
    ends = []
    for k, (neurons, group) in enumerate(groupby(ordered, key=lambda p: p.neurons)):
        same = list(group)
        x = [point.neurons_per_tile for point in same]
        colour = SHADES[k % len(SHADES)]
        for name, dashes, marker, value in kinds:
            ax.plot(
                x,
                [value(point) for point in same],
                linestyle=dashes,
                marker=marker,
                markersize=3.5,
                linewidth=1.4 if marker else 1.1,
                color=colour,
                label=f"{name}{neurons}",
            )
        ends.append((kinds[0][3](same[-1]), x[-1], f"N = {neurons:,}", colour))
    sizes = sorted({point.neurons_per_tile for point in points})
    ax.set(xscale="log", yscale="log", xlabel="neurons per tile")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(LogLocator(numticks=20))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="y", color=HAIR, linewidth=0.4, alpha=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    _name(ax, ends)


def _name(ax: Axes, ends: list[tuple[int, int, str, str]]) -> None:
    """Write the network sizes beside the ends of the lines, moved apart where they are close."""
    low, high = np.log10(ax.get_ylim())
    apart = NAME * (high - low) / size_in_points(ax)[1]
    at = -np.inf
    for value, x, name, colour in sorted(ends):
        y = float(np.log10(value))
        at = max(y, at + apart)
        ax.annotate(
            name,
            (x, value),
            xytext=(6, (at - y) / apart * NAME),
            textcoords="offset points",
            va="center",
            size="small",
            color=colour,
            annotation_clip=False,
        )


def _legend(ax: Axes, *kinds: tuple[str, Any, str]) -> None:
    handles = [
        Line2D(
            [], [], color=INK, linestyle=dashes, marker=marker, markersize=3.5, label=name
        )
        for name, dashes, marker in kinds
    ]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(kinds),
        frameon=False,
        borderaxespad=0.2,
        handlelength=2.4,
        columnspacing=1.4,
    )
