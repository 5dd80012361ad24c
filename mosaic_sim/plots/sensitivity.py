"""Draw which quantities a bill hangs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.plots.grid import HAIR, INK, PALETTE
from mosaic_sim.quantity import STATUSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mosaic_sim.cost import CostReport

__all__ = ["sensitivity"]

STATUS_COLOURS = dict(zip(STATUSES, (PALETTE[2], PALETTE[0], PALETTE[1]), strict=True))
"""What is assumed is orange: it is what one should look at."""


def sensitivity(report: CostReport, *, ax: Axes, most: int = 12) -> Axes:
    """Draw one bar for each quantity: the elasticity of the energy to it, largest at the top.

    An elasticity of 2 means that 1 % more of the quantity makes the run cost 2 % more.

    Parameters
    ----------
    report : CostReport
    ax : Axes
        Drawn on, and returned. The legend of statuses lies outside, above.
    most : int
        Quantities that are drawn at most; those that do not matter (below 0.0005) never are.

    Returns
    -------
    Axes
        With one bar container for each status that is drawn, labelled with its name.

    Raises
    ------
    MosaicError
        If the run cost nothing, or `most` is below 1.
    """
    if most < 1:
        raise MosaicError(f"most is {most}; it needs to be at least 1.")
    found = [e for e in report.sensitivity() if abs(e.elasticity) >= 5e-4]
    if not found:
        raise MosaicError("The run cost nothing, so that its energy hangs on no quantity.")
    found = sorted(found, key=lambda e: -abs(e.elasticity))[:most]
    value = np.array([e.elasticity for e in found])
    status = np.array([e.quantity.status for e in found])
    for name in STATUSES:
        row = np.flatnonzero(status == name)
        if row.size:
            colour = STATUS_COLOURS[name]
            ax.barh(row, value[row], 0.66, color=colour, label=name, linewidth=0)
    for number, one in enumerate(value.tolist()):
        ax.annotate(
            f"{one:+.3f}",
            (max(one, 0.0), number),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            size="small",
            color=INK,
        )
    reach = float(np.abs(value).max())
    ax.set(
        xlabel="change of the energy in % for 1 % more",
        xlim=(min(0.0, 1.1 * float(value.min())), 1.25 * reach),
        ylim=(len(found) - 0.4, -0.6),
    )
    ax.set_yticks(range(len(found)), [f"{e.name}, {e.quantity}" for e in found])
    ax.tick_params(axis="y", length=0)
    ax.axvline(0, color=HAIR, linewidth=0.8)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=len(STATUSES), frameon=False,
        borderaxespad=0.2, handlelength=1, handleheight=1, columnspacing=1.4,
    )  # fmt: skip
    return ax
