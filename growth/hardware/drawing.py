"""The weights of a tiled network as a matrix, with the borders of its tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.colors import FuncNorm, ListedColormap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from growth.hardware.tiled import TiledNetwork

__all__ = ["connectivity_matrix"]

INK, HAIR = "0.15", "0.75"

# Without the pale middle: the weakest connection is told from none, which is white.
SIGNS = ListedColormap(
    mpl.colormaps["RdBu_r"](
        np.concatenate([np.linspace(0, 0.38, 128), np.linspace(0.62, 1, 128)])
    ),
    "signs",
)


def connectivity_matrix(net: TiledNetwork, *, ax: Axes, title: str | None = None) -> Axes:
    """Draw the recurrent weights, from column to row, tile by tile.

    Weights are red above 0 and blue below, the paler the smaller, by the root of their size so
    that small ones are seen; where there is no connection the matrix is white. A connection is a
    stroke as tall as a tile. Lines are borders of tiles, heavier between rows of tiles.

    Parameters
    ----------
    net : TiledNetwork
    ax : Axes
        Drawn on, and returned. The colour bar lies to its right.
    title : str, optional

    Returns
    -------
    Axes
        With one image, whose array are the weights, masked where none is.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from growth.hardware import TiledNetwork
    >>> net = TiledNetwork(2, 2, 4, inputs=3, outputs=2, profile={1: 0.5})
    >>> ax = connectivity_matrix(net, ax=Figure().subplots())
    >>> ax.images[0].get_array().shape
    (16, 16)
    """
    weights = np.ma.masked_where(~net.mask.numpy(), net.recurrent.detach().numpy())
    most = float(np.abs(weights).max()) if weights.count() else 1.0
    k, columns, tiles = net.grid.neurons_per_tile, net.grid.columns, net.grid.tiles
    most = most or 1.0
    norm = FuncNorm(
        (lambda w: np.sign(w) * np.sqrt(np.abs(w)), lambda x: np.sign(x) * x**2),
        -most,
        most,
    )
    # Mixing colours, not weights, where there are more neurons than pixels: none gets lost.
    image = ax.imshow(
        weights, cmap=SIGNS, norm=norm, interpolation="antialiased", interpolation_stage="rgba",
        extent=(0, net.neurons, net.neurons, 0),
    )  # fmt: skip
    for tile in range(1, tiles):
        heavy = tile % columns == 0
        for line in (ax.axhline, ax.axvline):
            line(tile * k, color=INK if heavy else HAIR, linewidth=0.8 if heavy else 0.3)
    # A number for each row of tiles: one for each tile is too dense from 25 tiles on.
    step = 1 if tiles <= 12 else columns
    centre = (np.arange(0, tiles, step) + 0.5) * k
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(centre, [str(tile) for tile in range(0, tiles, step)])
        axis.set_tick_params(length=0)
    ax.set(xlabel="from tile", ylabel="to tile")
    if title is not None:
        ax.set_title(title)
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.03, 0, 0.045, 1)), label="weight")
    named = [-most, -most / 4, 0, most / 4, most]
    bar.set_ticks(named, labels=[f"{x:.2g}".replace("-", "\N{MINUS SIGN}") for x in named])
    return ax
