"""Draw what a run cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import EngFormatter

from mosaic_sim.cost import COMPONENTS
from mosaic_sim.errors import MosaicError
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from mosaic_sim.cost import CostReport
    from mosaic_sim.program import Program

from mosaic_sim.plots.grid import (
    HAIR,
    INK,
    PALETTE,
    cell_outlines,
    colour_bar,
    hairline,
    in_one_unit,
    set_up,
    text_colour_on,
)

__all__ = ["energy_by_component", "energy_by_tile"]

COMPONENT_COLOURS = dict(
    zip(COMPONENTS, (PALETTE[3], *PALETTE[:3], "#B0B0B0"), strict=True)
)
"""Static energy is grey: nobody has published it, so it stands apart."""


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
    set_up(ax, chip, margin=0.1)
    spent = energy[energy > 0]
    most = float(energy.max())
    logarithmic = log and spent.size > 0
    cells = PolyCollection(
        list(cell_outlines(chip)),
        array=np.ma.masked_equal(energy, 0),
        cmap=colormaps["YlGnBu"].with_extremes(bad="white"),
        norm=LogNorm(spent.min(), most) if logarithmic else Normalize(0, most or 1),
        edgecolors=HAIR,
        linewidths=hairline(ax),
        label="_cells",
    )
    ax.add_collection(cells)
    if logarithmic:
        colour_bar(ax, cells, "energy per inference", EngFormatter("J"))
    else:
        numbers, unit = in_one_unit(most, "J")
        colour_bar(ax, cells, f"energy per inference [{unit}]", numbers)
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
                color=text_colour_on(colour),
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
    numbers, unit = in_one_unit(longest, "J")
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
