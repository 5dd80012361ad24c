"""Draw the chips that hold a network: devices against energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import EngFormatter, NullFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mosaic_sim.fit import Fit

from mosaic_sim.plots.grid import INK, PALETTE

__all__ = ["pareto_front"]


def pareto_front(found: Fit, *, ax: Axes) -> Axes:
    """Draw every legal chip that `fit` found; those that no other beats are joined.

    Parameters
    ----------
    found : Fit
    ax : Axes
        Drawn on, and returned; both axes are logarithmic. Numbers are neurons a tile.

    Returns
    -------
    Axes
        With one line of all candidates and one of the front.
    """
    every, front = found.candidates, found.front
    ax.set(xscale="log", yscale="log")
    ax.plot(
        [c.devices for c in every], [c.energy for c in every], "o", color="0.7", markersize=5,
        label="legal chip",
    )  # fmt: skip
    ax.plot(
        [c.devices for c in front], [c.energy for c in front], "o-", color=PALETTE[0],
        markersize=6, drawstyle="steps-post", label="no other has less of both",
    )  # fmt: skip
    told = set()
    for one in every:
        size = one.chip.neurons_per_tile
        if size not in told:
            told.add(size)
            ax.annotate(
                str(size), (one.devices, one.energy), xytext=(4, 4),
                textcoords="offset points", fontsize="small", color=INK,
            )  # fmt: skip
    ax.set_xlabel("RRAM devices on the chip")
    ax.set_ylabel("energy per inference")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.yaxis.set_major_formatter(EngFormatter("J"))
    for axis in (ax.xaxis, ax.yaxis):
        low, high = axis.get_view_interval()
        if high < 100 * low:
            axis.set_minor_formatter(axis.get_major_formatter())
            axis.set_tick_params(which="both", labelsize="small")
        else:
            axis.set_minor_formatter(NullFormatter())
    ax.margins(0.08)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small", title="numbers: neurons a tile")
    return ax
