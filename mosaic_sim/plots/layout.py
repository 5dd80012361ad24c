"""Draw layouts of any size: who sits where, how far spikes go, and one layout beside another.

A tile is a pixel of an image here, so that chips of a quarter of a million tiles can be drawn;
`mosaic_sim.plots.placement_map` shows slots and wires of small ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize, PowerNorm, to_rgb
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter, ScalarFormatter

from mosaic_sim.errors import MosaicError
from mosaic_sim.place import check_placement, tiles_reached
from mosaic_sim.place.objective import check_rates, hop_cost, source_hops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

from mosaic_sim.plots.grid import (
    BROKEN,
    INK,
    PALETTE,
    TEXT,
    axes_scale,
    checked_owner,
    colour_bar,
    legend_beside,
    owner_colour,
    plural,
    rectangles,
    text_colour_on,
)

__all__ = ["before_after", "hop_histogram", "layout_map", "tile_costs"]

MOST_OWNERS = 16
"""Owners that get a colour and a line in the legend each; more are shades of one scale."""

SHADES = colormaps["viridis"]
FILL = colormaps["Blues"]


def layout_map(
    chip: Chip,
    placement: Placement,
    *,
    ax: Axes,
    owner: ArrayLike | None = None,
    owner_names: Sequence[str] | None = None,
    values: ArrayLike | None = None,
    label: str = "",
    scale: Normalize | None = None,
) -> Axes:
    """Draw what is on each neuron tile, one pixel a tile: owners, how full, or any values.

    Free tiles are white, broken ones grey and, where there is room, hatched. Where a tile is
    wide enough it says how many neurons sit on it.

    Parameters
    ----------
    chip, placement
        n neurons.
    ax : Axes
        Drawn on, and returned. Legend right, colour bar below: leave room.
    owner : int array, (n,), optional
        To whom each neuron belongs: its layer, group or expert; -1 for nobody. A tile has the
        colour of the owner of most of its neurons (of the first of those with as many), the
        paler the emptier it is. Without `owner` and `values`, colours say how full tiles are.
    owner_names : sequence of str, optional
        Name of each owner, for the legend. More than `MOST_OWNERS` owners are shades.
    values : float array, (tiles,), optional
        What to colour tiles by instead, such as `tile_costs`; NaN is white.
    label : str
        What `values` are, for the colour bar.
    scale : Normalize, optional
        Of the colours of `values`; by default from 0 to the largest.

    Returns
    -------
    Axes
        With one image; its extent is in tiles. `_broken` are the hatched tiles.

    Raises
    ------
    MosaicError
        If an array does not fit.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from mosaic_sim import Chip, Placement
    >>> where = Placement(*(np.array(x, "i4") for x in ([0, 0, 3], [0, 1, 0], [])))
    >>> ax = layout_map(Chip(2, 2, 4, 4, 4, 4), where, ax=Figure().subplots())
    >>> ax.images[0].get_array().shape
    (2, 2, 3)
    """
    filled = np.bincount(placement.tile, minlength=chip.tiles)
    if filled.size > chip.tiles:
        raise MosaicError(
            f"placement.tile goes to {filled.size - 1}; the chip has {chip.tiles} tiles."
        )
    over = np.flatnonzero(filled > chip.slots)
    if over.size:
        raise MosaicError(
            f"placement has {filled[over[0]]} neurons on tile {over[0]}, which has "
            f"{chip.slots[over[0]]} slots."
        )
    handles: list[Artist] = []
    if values is not None:
        if owner is not None:
            raise MosaicError("Tiles have one colour: give owner or values, not both.")
        colours = _coloured(ax, chip, values, label, scale)
    elif owner is None:
        share = np.where(filled > 0, filled / chip.neurons_per_tile, np.nan)
        colours = _shaded(
            ax, share, FILL, Normalize(0, 1), "slots in use", PercentFormatter(1)
        )
    else:
        owners = checked_owner(owner, owner_names, placement.tile.size)
        winner = most_neurons(placement.tile, owners, chip.tiles)
        colours = _owned(ax, winner, owners, owner_names, handles)
        strength = np.where(filled > 0, 0.3 + 0.7 * filled / chip.neurons_per_tile, 0)
        colours = 1 - (1 - colours) * strength[:, None]
    colours[chip.slots == 0] = to_rgb(BROKEN)
    ax.imshow(
        colours.reshape(chip.rows, chip.columns, 3),
        extent=(-0.5, chip.columns - 0.5, chip.rows - 0.5, -0.5),
    )
    _frame(ax)
    _hatch(ax, chip)
    _numbers(ax, chip, filled, colours)
    if chip.broken_tiles:
        count = plural(len(chip.broken_tiles), "broken tile")
        handles.append(Patch(facecolor=BROKEN, hatch="////", edgecolor=INK, label=count))
    if handles:
        legend_beside(ax, handles)
    return ax


def _coloured(
    ax: Axes, chip: Chip, values: ArrayLike, label: str, scale: Normalize | None
) -> NDArray[np.float64]:
    """Colours of values by tile, (tiles, 3)."""
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (chip.tiles,):
        raise MosaicError(
            f"values has shape {numbers.shape}; it needs one number for each of the "
            f"{chip.tiles} tiles."
        )
    found = numbers[np.isfinite(numbers)]
    scale = scale or Normalize(0, float(found.max(initial=0)) or 1)
    return _shaded(ax, numbers, SHADES, scale, label, EngFormatter(sep=""))


def _shaded(
    ax: Axes,
    numbers: NDArray[np.float64],
    shades: Any,
    scale: Normalize,
    label: str,
    form: Any,
) -> NDArray[np.float64]:
    """Colours of numbers, white where there is none, and their colour bar."""
    colours = np.ones((numbers.size, 3))
    known = np.isfinite(numbers)
    colours[known] = shades(scale(numbers[known]))[:, :3]
    colour_bar(ax, ScalarMappable(scale, shades), label, form)
    return colours


def most_neurons(
    tile: NDArray[np.int32], owner: NDArray[np.int64], tiles: int
) -> NDArray[np.int64]:
    """Owner of most neurons of each tile, (tiles,); -1 also where there is none."""
    pair, count = np.unique(
        tile.astype(np.int64) * (owner.max(initial=-1) + 2) + owner + 1, return_counts=True
    )
    at, who = np.divmod(pair, owner.max(initial=-1) + 2)
    # The last of a tile counts: most neurons, then somebody before nobody, then the first.
    order = np.lexsort((-who, who > 0, count, at))
    winner = np.full(tiles, -1)
    winner[at[order]] = who[order] - 1
    return winner


def _owned(
    ax: Axes,
    winner: NDArray[np.int64],
    owners: NDArray[np.int64],
    names: Sequence[str] | None,
    handles: list[Artist],
) -> NDArray[np.float64]:
    """Colours of owners by tile, (tiles, 3), and what explains them."""
    present, sizes = np.unique(owners, return_counts=True)
    if np.count_nonzero(present >= 0) > MOST_OWNERS:
        scale = Normalize(0, int(present[-1]))
        form = ScalarFormatter()
        numbers = np.where(winner >= 0, winner, np.nan).astype(float)
        colours = _shaded(ax, numbers, SHADES, scale, "group with most neurons", form)
        colours[winner < 0] = to_rgb(owner_colour(-1))
        return colours
    for k, size in zip(present.tolist(), sizes.tolist(), strict=True):
        name = "nobody" if k < 0 else names[k] if names is not None else f"group {k}"
        colour = owner_colour(k)
        handles.append(Patch(facecolor=colour, label=f"{name}: {plural(size, 'neuron')}"))
    if present.size and present[0] < 0:
        handles.append(handles.pop(0))
    table = np.array(
        [to_rgb(owner_colour(k)) for k in range(-1, int(winner.max(initial=-1)) + 1)]
    )
    return table[winner + 1]


def _frame(ax: Axes) -> None:
    """Label the axes of an image of tiles."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 4, 5, 8, 10]))
    ax.set_xlabel("column of tiles", size="small", color="0.4")
    ax.set_ylabel("row of tiles", size="small", color="0.4")
    ax.tick_params(length=2, labelsize="small", colors="0.4")
    ax.spines[:].set(color="0.6", linewidth=0.5)


def _hatch(ax: Axes, chip: Chip) -> None:
    """Hatch broken tiles, where hatching can be seen."""
    if not chip.broken_tiles or axes_scale(ax) < 8:
        return
    row, column = np.divmod(np.array(chip.broken_tiles), chip.columns)
    ax.add_collection(
        PolyCollection(
            list(rectangles(column, row, 1, 1)), facecolors="none", edgecolors=INK,
            linewidths=0, hatch="////", label="_broken",
        )
    )  # fmt: skip


def _numbers(
    ax: Axes, chip: Chip, filled: NDArray[np.int64], colours: NDArray[np.float64]
) -> None:
    """Write the number of neurons on tiles that are wide enough."""
    size = min(8.0, 0.34 * axes_scale(ax))
    if size < TEXT + 1:
        return
    for tile in np.flatnonzero(filled).tolist():
        row, column = chip.tile_position(tile)
        ax.text(
            column, row, str(filled[tile]), ha="center", va="center", fontsize=size,
            color=text_colour_on(colours[tile]),
        )  # fmt: skip


def tile_costs(
    network: Network, chip: Chip, placement: Placement, rates: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Rate times hops of the neurons of each tile to all that they reach, (tiles,).

    In all, this is the cost H of the placement, without that of inputs, which sit on no tile.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network, Placement
    >>> net = Network.from_synapses(inputs=0, neurons=2, source=[0], target=[1], weight=[1.0])
    >>> far = Placement(np.array([0, 3], "i4"), np.zeros(2, "i4"), np.zeros(0, "i4"))
    >>> tile_costs(net, Chip(2, 2, 1, 1, 1, 1), far).tolist()
    [3.0, 0.0, 0.0, 0.0]
    """
    check_placement(network, chip, placement)
    cost = check_rates(network, rates) * source_hops(network, chip, placement)
    mine = cost[network.first_neuron :]
    return np.asarray(np.bincount(placement.tile, mine, chip.tiles), np.float64)


def before_after(
    network: Network,
    chip: Chip,
    before: Placement,
    after: Placement,
    *,
    axes: Sequence[Axes],
    rates: ArrayLike | None = None,
    owner: ArrayLike | None = None,
    owner_names: Sequence[str] | None = None,
) -> Sequence[Axes]:
    """Draw two layouts of a network side by side, in the same colours, with their costs H.

    Parameters
    ----------
    network, chip
    before, after : Placement
    axes : sequence of two Axes
        Drawn on, and returned.
    rates : array, (sources,), optional
        As for `mosaic_sim.place`.
    owner, owner_names
        As for `layout_map`. Without `owner`, tiles are coloured by what the spikes of their
        neurons cost (`tile_costs`), on one scale.

    Raises
    ------
    MosaicError
        If there are not two Axes, or an array does not fit.
    """
    if len(axes) != 2:
        raise MosaicError(f"axes has {len(axes)} Axes; before and after need two.")
    both = (before, after)
    costs = [hop_cost(network, chip, layout, rates) for layout in both]
    values = [tile_costs(network, chip, layout, rates) for layout in both]
    # By the square root: what is good is far below what is bad.
    scale = PowerNorm(0.5, 0, float(max(map(np.max, values))) or 1)
    for ax, layout, value in zip(axes, both, values, strict=True):
        if owner is None:
            used = np.bincount(layout.tile, minlength=chip.tiles) > 0
            shown = np.where(used, value, np.nan)
            layout_map(chip, layout, ax=ax, values=shown, label="rate × hops", scale=scale)
        else:
            layout_map(chip, layout, ax=ax, owner=owner, owner_names=owner_names)
    legend = axes[0].get_legend()
    if owner is not None and legend is not None:
        legend.remove()  # the same as beside the other
    axes[0].set_title(f"before: H = {cost_text(costs[0])}", size="medium")
    change = f" ({costs[1] / costs[0] - 1:+.1%})" if costs[0] else ""
    axes[1].set_title(f"after: H = {cost_text(costs[1])}{change}", size="medium")
    return axes


def hop_histogram(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    ax: Axes,
    rates: ArrayLike | None = None,
    label: str | None = None,
) -> Axes:
    """Draw how many routing tiles spikes cross: rates by hops to each foreign tile reached.

    Call it again on the same Axes to compare layouts; give each a `label` then.

    Parameters
    ----------
    network, chip, placement
    ax : Axes
        Drawn on, and returned.
    rates : array, (sources,), optional
        As for `mosaic_sim.place`; by default every source counts the same.
    label : str, optional
        For the legend, which says the mean and the cost H, too.

    Returns
    -------
    Axes
        With one outline more; its values are shares of all deliveries to foreign tiles.
    """
    check_placement(network, chip, placement)
    rate = check_rates(network, rates)
    hops, weight = deliveries(network, chip, placement, rate)
    total, cost = float(weight.sum()), float(weight @ hops)
    most = int(hops.max(initial=1))
    share = np.bincount(hops, weight, most + 1)[1::2] / (total or 1)
    mean = cost / total if total else 0.0
    colour = PALETTE[len(ax.patches) % len(PALETTE)]
    name = f"{label}: " if label else ""
    ax.stairs(
        share, np.arange(0, 2 * share.size + 1, 2), color=colour, fill=not ax.patches,
        alpha=0.55 if not ax.patches else 1, linewidth=1.4,
        label=f"{name}mean {mean:.3g} hops, H = {cost_text(cost)}",
    )  # fmt: skip
    ax.set_xlabel("routing tiles crossed to a tile reached (1, 3, 5, ...)")
    ax.set_ylabel("share of deliveries, by rate")
    ax.yaxis.set_major_formatter(
        PercentFormatter(1, decimals=0 if share.max() > 0.05 else None)
    )
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    reach = max(most, int(ax.get_xlim()[1]) if len(ax.patches) > 1 else 0)
    step = next(k for k in (2, 4, 10, 20, 40, 100, 200, reach) if reach <= 12 * k)
    ax.set_xticks(range(1, reach + 1, step))
    ax.set_xlim(0, reach + 1)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small")
    return ax


def cost_text(cost: float) -> str:
    """Write a cost H: whole from 100, else four digits."""
    return f"{cost:,.0f}" if cost >= 100 else f"{cost:.4g}"


def deliveries(
    network: Network, chip: Chip, placement: Placement, rate: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Hops and rate of every pair of a source and a foreign tile that it reaches."""
    offsets, tile = tiles_reached(network, placement, chip)
    source = np.repeat(np.arange(network.sources), np.diff(offsets))
    row, column = np.divmod(placement.tile, chip.columns)
    site = np.concatenate([chip.port_sites[placement.port], np.column_stack([row, column])])
    down, right = abs(site[source] - np.column_stack(np.divmod(tile, chip.columns))).T
    hops = chip.hop_table[down, right].astype(np.int64)
    return hops[hops > 0], rate[source][hops > 0]
