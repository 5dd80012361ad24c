"""Draw what a run fired: spikes, membranes, rates and latencies."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize, to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from mosaic_sim.errors import MosaicError
from mosaic_sim.plots.grid import (
    HAIR,
    INK,
    TEXT,
    TILE,
    axes_or_new,
    axes_scale,
    cell_outlines,
    colour_bar,
    hairline,
    in_one_unit,
    owner_colour,
    plural,
    rectangles,
    set_up,
    size_in_points,
    slot_boxes,
    text_colour_on,
    thin_colour,
)
from mosaic_sim.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.program import Program

__all__ = ["latency", "raster", "rate_map", "voltage"]

SPIKE = "#D55E00"
"""Marks of spikes on a membrane."""

LINE = 9
"""Distance of two lines of text [points]."""

INKED = 0.15
"""Share of a raster that ticks may cover before those of crowded rows turn paler."""

BINS = 100
"""Bars that a histogram has at most."""


def raster(
    recording: Recording | NDArray[np.bool_],
    sample: int = 0,
    *,
    ax: Axes | None = None,
    groups: Mapping[str, ArrayLike] | None = None,
    dt: float | None = None,
) -> Axes:
    """Draw one tick a spike.

    Parameters
    ----------
    recording : Recording, or bool array, (steps, neurons)
        A run with ``raster=True`` (or of some neurons: these alone are drawn, in their order);
        or any spikes, such as one sample of an input.
    sample : int
        Which sample of a recording.
    ax : Axes, optional
        Drawn on, and returned. By default those of a new figure.
    groups : mapping of str to int array, optional
        Named sets of neurons, such as `Network.groups`: each has a colour, its spikes are a
        collection of its name, and it is named at the right. A neuron belongs to the first set
        that lists it.
    dt : float [s], optional
        Length of a step. By default time is in steps.

    Raises
    ------
    MosaicError
        If no raster was recorded, there is no such sample, or `groups` does not fit.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = raster(np.eye(3, dtype=bool), ax=Figure().subplots())
    >>> ax.collections[0].get_offsets().tolist()
    [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    """
    seen = _spikes(recording, sample)
    owner, names = _owners(groups, seen)
    ax = axes_or_new(ax, (7, 3.6))
    _time_axis(ax, seen.steps, dt)
    rows = seen.neurons.size
    ax.set(ylabel="neuron", ylim=(-0.8, max(rows, 1) - 0.2))
    ax.yaxis.set_major_locator(_whole_numbers())
    if not np.array_equal(seen.neurons, np.arange(rows)):
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _entry(seen.neurons, y)))
    # Ticks as high and wide as leaves gaps between neurons and steps, but never too faint. Where
    # rows are thinner than that, ticks overlap: paler ones show how many do.
    room = size_in_points(ax)
    width = float(np.clip(0.3 * room[0] / max(seen.steps, 1), 0.5, 1.2))
    height = float(np.clip(0.8 * room[1] / max(rows, 1), 1.2, 9))
    ink = height * width * seen.step.size / (room[0] * room[1])
    crowded = height * rows > room[1]
    for k in range(-1, len(names)):
        mine = owner[seen.row] == k
        if k < 0 and names and not mine.any():
            continue
        ax.scatter(
            seen.step[mine] * (dt or 1),
            seen.row[mine],
            marker="|",
            s=height**2,
            linewidths=width,
            alpha=float(np.clip(INKED / ink, 0.3, 1)) if crowded and ink else None,
            color=thin_colour(k) if names else INK,
            label=names[k] if k >= 0 else "_spikes",
            rasterized=seen.step.size > 20_000,  # as vectors it would weigh megabytes
        )
    if names:
        _name_groups(ax, owner, names)
    if not seen.step.size:
        _say(ax, "no spikes")
    return ax


def voltage(
    recording: Recording,
    sample: int = 0,
    *,
    ax: Axes | None = None,
    threshold: ArrayLike | None = None,
    dt: float | None = None,
) -> Axes:
    """Draw the membranes of the watched neurons, each in a lane of its own.

    Lanes have one scale, so that neurons compare. A dot is a spike, if the raster of that
    neuron was recorded.

    Parameters
    ----------
    recording : Recording
        A run with ``voltages=[...]``.
    sample : int
    ax : Axes, optional
        Drawn on, and returned. By default those of a new figure.
    threshold : float, or float array, (watched,), optional
        Drawn as a dashed line, where finite: ``program.threshold[recording.watched]``.
    dt : float [s], optional
        Length of a step. By default time is in steps.

    Returns
    -------
    Axes
        With one line a neuron, labelled with its number, from the top; and the collections
        ``_thresholds``, ``_spikes`` and, with several lanes, the bar ``_scale``. The first lane
        has true values, the others are moved down; ticks are at the 0 of each.

    Raises
    ------
    MosaicError
        If no membranes were recorded, there is no such sample, or `threshold` does not fit.
    """
    _check_sample(recording, sample)
    watched = recording.watched.tolist()
    if not watched:
        raise MosaicError(
            "The recording kept no membranes; simulate with voltages=[0, 1, ...], the numbers "
            "of the neurons to watch."
        )
    levels = _thresholds(threshold, len(watched))
    traces = recording.voltages[sample].astype(np.float64)
    shown = np.concatenate([[0.0], traces.ravel(), levels[np.isfinite(levels)]])
    low, high = float(shown.min()), float(shown.max())
    span = high - low or 1.0
    pitch = 1.12 * span if len(watched) > 1 else 0.0

    ax = axes_or_new(ax, (7, 1.4 + 1.1 * min(len(watched), 6)))
    _time_axis(ax, recording.steps, dt)
    time = np.arange(recording.steps) * (dt or 1)
    base: NDArray[np.float64] = -pitch * np.arange(len(watched), dtype=float)
    room = size_in_points(ax)
    size = float(np.clip(0.35 * room[0] / max(recording.steps, 1), 3, 4))
    for k, neuron in enumerate(watched):
        ax.plot(
            time, traces[:, k] + base[k], color=owner_colour(0), linewidth=1,
            marker="." if recording.steps == 1 else None, label=str(neuron), zorder=3,
        )  # fmt: skip
    ends = np.array([-0.5, max(recording.steps, 1) - 0.5]) * (dt or 1)
    drawn = np.flatnonzero(np.isfinite(levels))
    ax.add_collection(
        LineCollection(
            [[(ends[0], base[k] + levels[k]), (ends[1], base[k] + levels[k])] for k in drawn],
            colors=INK, linewidths=0.8, linestyles="dashed", zorder=2, label="_thresholds",
        )
    )  # fmt: skip
    step, lane = _watched_spikes(recording, sample)
    ax.scatter(
        step * (dt or 1), traces[step, lane] + base[lane], s=size**2, color=SPIKE, linewidths=0,
        zorder=4, label="_spikes",
    )  # fmt: skip
    ax.set_ylim(base[-1] + low - 0.06 * span, high + 0.08 * span)
    _label_lanes(ax, watched, base, pitch)
    _explain(ax, dashed=bool(drawn.size), dots=bool(step.size))
    return ax


def rate_map(program: Program, recording: Recording, *, ax: Axes | None = None) -> Axes:
    """Draw how often every neuron fires, in its slot on the chip; silent ones are white.

    A tile says the mean over its neurons, in the unit of the colour bar: the share of steps in
    which a neuron fires. Where slots would be too small to see, a tile has the colour of its
    mean.

    Parameters
    ----------
    program : Program
    recording : Recording
        Of this program; the mean over its samples is drawn.
    ax : Axes, optional
        Drawn on, and returned. By default those of a new figure. The colour bar lies outside,
        below.

    Returns
    -------
    Axes
        With the collections ``_routers``, ``_tiles`` and, if there is room, ``_slots``: the
        array of ``_tiles`` is the mean rate of each, row by row, masked where no neuron lives;
        that of ``_slots`` the rate of each neuron, masked where it is 0.

    Raises
    ------
    MosaicError
        If the recording is not of this program, or has no steps.
    """
    if recording.counts.shape[1] != program.sources:
        raise MosaicError(
            f"recording has {recording.counts.shape[1]} sources; the program has "
            f"{program.sources}."
        )
    steps = recording.samples * recording.steps
    if not steps:
        raise MosaicError("The recording has no steps; there are no rates to draw.")
    rate = recording.total[program.first_neuron :] / steps
    chip = program.geometry
    neurons = np.bincount(program.tile, minlength=chip.tiles)
    summed = np.bincount(program.tile, rate, minlength=chip.tiles)
    mean = np.ma.masked_array(summed / np.maximum(neurons, 1), neurons == 0)

    ax = axes_or_new(ax, (5.4, 5.4))
    set_up(ax, chip, margin=0.1)
    scale, thin = axes_scale(ax), hairline(ax)
    norm = Normalize(0, float(rate.max(initial=0)) or 1)
    colours = colormaps["YlGnBu"].with_extremes(bad="white")
    ax.add_collection(
        PolyCollection(
            list(cell_outlines(chip)[chip.is_router]),
            facecolors="0.96",
            edgecolors=HAIR,
            linewidths=thin,
            label="_routers",
        )
    )
    tiles = np.arange(chip.tiles)
    x, y = 2.0 * (tiles % chip.columns) + 1, 2.0 * (tiles // chip.columns) + 1
    size = min(8.0, 0.3 * scale)
    text = 0.34 if size >= TEXT else 0.0
    slots = slot_boxes(program, x, y, room=TILE - 0.16, text=text)
    in_slots = slots.size > 0 and float(np.ptp(slots[0, :, 0])) * scale >= 2
    boxes = {"_tiles": rectangles(x, y, TILE, TILE)} | (
        {"_slots": slots} if in_slots else {}
    )
    for label, corners in boxes.items():
        coloured = (label == "_slots") == in_slots
        cells = PolyCollection(
            list(corners),
            array=(np.ma.masked_equal(rate, 0) if in_slots else mean) if coloured else None,
            cmap=colours,
            norm=norm,
            facecolors="white",
            edgecolors=HAIR,
            linewidths=thin,
            zorder=3,
            label=label,
        )
        ax.add_collection(cells)
    for k in np.flatnonzero(neurons) if text else ():
        ground = "white" if in_slots else to_hex(colours(norm(mean[k])))
        ax.text(
            x[k], y[k] + TILE / 2 - 0.22, _percent(mean[k]), ha="center", va="center",
            fontsize=size, color=text_colour_on(ground), zorder=5,
        )  # fmt: skip
    colour_bar(ax, cells, "steps with a spike", PercentFormatter(1))
    return ax


def latency(
    recording: Recording, *, ax: Axes | None = None, dt: float | None = None
) -> Axes:
    """Draw how many neurons fire for the first time at each step, in all samples together.

    Parameters
    ----------
    recording : Recording
    ax : Axes, optional
        Drawn on, and returned. By default those of a new figure. How many never fired is said
        in its title.
    dt : float [s], optional
        Length of a step. By default time is in steps.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from mosaic_sim import *
    >>> net = Network.from_synapses(inputs=1, neurons=2, source=[0], target=[0], weight=[2.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> program = compile_program(net, chip, placement, route(net, chip, placement))
    >>> ax = latency(simulate(program, [[[0], [1], [1]]]), ax=Figure().subplots())
    >>> [int(bar.get_height()) for bar in ax.patches], ax.get_title("right")
    ([0, 1, 0], '1 of 2 never fired')
    """
    first = recording.latency.ravel()
    steps = recording.steps
    fired = first[first >= 0]
    ax = axes_or_new(ax, (7, 2.8))
    _time_axis(ax, steps, dt)
    wide = max(
        1, -(-steps // BINS)
    )  # whole steps, so that no bar gets more of them than others
    edges = np.arange(0, max(steps, 1) + wide, wide)
    count = np.bincount(fired // wide, minlength=edges.size - 1)
    one = dt or 1
    left, right = edges[:-1] - 0.5, np.minimum(edges[1:], steps) - 0.5
    ax.bar(
        left * one, count, (right - left) * one, align="edge", color=owner_colour(0),
        edgecolor="white", linewidth=min(0.5, 20 / max(steps, 1)),
    )  # fmt: skip
    per = "" if wide == 1 else f" in {wide} steps"
    ax.set(ylabel=f"first spikes{per}", ylim=(0, 1.06 * max(count.max(initial=0), 1)))
    ax.yaxis.set_major_locator(_whole_numbers())
    ax.set_title(
        f"{first.size - fired.size:,} of {first.size:,} never fired", loc="right",
        size="small", color="0.4",
    )  # fmt: skip
    return ax


class _Seen(NamedTuple):
    """Spikes of one sample: step and row of each, and the neuron of each row."""

    step: NDArray[np.int64]
    row: NDArray[np.int64]
    steps: int
    neurons: NDArray[np.int64]


def _spikes(recording: Recording | NDArray[np.bool_], sample: int) -> _Seen:
    if not isinstance(recording, Recording):
        fired = np.asarray(recording)
        if fired.ndim != 2 or fired.dtype != np.bool_:
            raise MosaicError(
                f"recording has shape {fired.shape} and dtype {fired.dtype}; it needs a "
                "Recording, or bools (steps, neurons)."
            )
        step, row = np.nonzero(fired)
        return _Seen(step, row, fired.shape[0], np.arange(fired.shape[1]))
    _check_sample(recording, sample)
    if recording.offsets is None or recording.neuron is None:
        raise MosaicError("The recording kept no spikes; simulate with raster=True.")
    neurons = recording.latency.shape[1]
    shown = np.arange(neurons) if recording.chosen is None else recording.chosen
    steps = recording.steps
    offsets = recording.offsets[sample * steps : (sample + 1) * steps + 1]
    step = np.repeat(np.arange(steps), np.diff(offsets))
    row = _places(shown, neurons)[recording.neuron[offsets[0] : offsets[-1]]]
    return _Seen(step[row >= 0], row[row >= 0], steps, shown)


def _places(members: NDArray[np.int64], neurons: int) -> NDArray[np.int64]:
    """Place of each neuron among `members`, (neurons,); -1 for those not listed."""
    places = np.full(neurons, -1, np.int64)
    places[members] = np.arange(members.size)
    return places


def _watched_spikes(
    recording: Recording, sample: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(step, lane) of the spikes of watched neurons, as far as they were recorded."""
    if recording.offsets is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    seen = _spikes(recording, sample)
    lane = _places(recording.watched, recording.latency.shape[1])[seen.neurons][seen.row]
    return seen.step[lane >= 0], lane[lane >= 0]


def _check_sample(recording: Recording, sample: int) -> None:
    if not 0 <= sample < recording.samples:
        raise MosaicError(
            f"sample is {sample}; the recording has {plural(recording.samples, 'sample')} "
            f"(0 to {recording.samples - 1})."
        )


def _time_axis(ax: Axes, steps: int, dt: float | None) -> None:
    if dt is not None and not 0 < dt < np.inf:
        raise MosaicError(f"dt is {dt}; it needs the length of a step in seconds, above 0.")
    # Half a step of air, so that spikes at time 0 do not hide behind the axis.
    ends = np.array([-0.5, max(steps, 1) - 0.5])
    if dt is None:
        ax.set(xlabel="step", xlim=ends)
        ax.xaxis.set_major_locator(_whole_numbers())
    else:
        numbers, unit = in_one_unit(max(steps, 1) * dt, "s")
        ax.set(xlabel=f"time [{unit}]", xlim=ends * dt)
        ax.xaxis.set_major_formatter(numbers)
    ax.spines[["top", "right"]].set_visible(False)


def _whole_numbers() -> MaxNLocator:
    return MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])


def _owners(
    groups: Mapping[str, ArrayLike] | None, seen: _Seen
) -> tuple[NDArray[np.int64], list[str]]:
    """Group of each row, -1 for none, and the names of the groups."""
    rows, names = seen.neurons, list(groups or {})
    owner = np.full(int(rows.max(initial=-1)) + 1, -1)
    for k, (name, members) in reversed(list(enumerate((groups or {}).items()))):
        listed = np.asarray(members)
        if listed.ndim != 1 or (listed.size and listed.dtype.kind not in "iu"):
            raise MosaicError(f"groups[{name!r}] needs a list of neuron numbers.")
        if listed.size and listed.min() < 0:
            raise MosaicError(f"groups[{name!r}] has {listed.min()}; neurons count from 0.")
        owner[listed[listed < owner.size].astype(np.int64)] = k
    return owner[rows], names


def _name_groups(ax: Axes, owner: NDArray[np.int64], names: list[str]) -> None:
    """Draw a bar beside the rows of each group, and its name; in a legend if they collide."""
    edges = np.flatnonzero(np.diff(owner, prepend=-2, append=-2))
    runs = [(a, b, int(owner[a])) for a, b in pairwise(edges.tolist()) if owner[a] >= 0]
    beside = ax.get_yaxis_transform()
    ax.add_collection(
        PolyCollection(
            [[(1.01, a - 0.5), (1.025, a - 0.5), (1.025, b - 0.5), (1.01, b - 0.5)]
             for a, b, _ in runs],
            facecolors=[thin_colour(k) for _, _, k in runs], linewidths=0, transform=beside,
            clip_on=False, label="_groups",
        ),
        autolim=False,
    )  # fmt: skip
    present = {k for _, _, k in runs}
    middle = sorted(((a + b - 1) / 2, k) for a, b, k in runs)
    row = size_in_points(ax)[1] / max(owner.size, 1)
    apart = all((y2 - y1) * row >= LINE for (y1, _), (y2, _) in pairwise(middle))
    if len(runs) == len(present) and apart:
        for y, k in middle:
            ax.text(
                1.04, y, names[k], transform=beside, va="center", size="small", color=INK
            )  # fmt: skip
        return
    top_first = sorted(present, key=lambda k: -float(np.flatnonzero(owner == k).mean()))
    ax.legend(
        handles=[Patch(color=thin_colour(k), label=names[k]) for k in top_first],
        loc="upper left", bbox_to_anchor=(1.03, 1), frameon=False, fontsize="small",
        handlelength=1, ncols=1 + len(present) // 16, borderaxespad=0,
    )  # fmt: skip


def _thresholds(threshold: ArrayLike | None, watched: int) -> NDArray[np.float64]:
    if threshold is None:
        return np.full(watched, np.inf)
    levels = np.asarray(threshold, np.float64)
    if levels.shape not in ((), (watched,)) or np.isnan(levels).any():
        raise MosaicError(
            f"threshold has shape {levels.shape}; it needs one number, or one for each of the "
            f"{plural(watched, 'watched neuron')}: program.threshold[recording.watched]."
        )
    return np.broadcast_to(levels, (watched,))


def _label_lanes(
    ax: Axes, watched: list[int], base: NDArray[np.float64], pitch: float
) -> None:
    """Write the scale of a single lane, or the neuron of each of several."""
    if len(watched) == 1:
        ax.set_ylabel(f"membrane of neuron {watched[0]}")
        return
    for level in base:
        ax.axhline(level, color=HAIR, linewidth=0.5, zorder=1)
    bottom, top = ax.get_ylim()
    height = size_in_points(ax)[1] * pitch / (top - bottom)
    every = max(1, int(np.ceil(LINE / height)))
    ax.set_yticks(base[::every], [str(n) for n in watched[::every]])
    ax.tick_params(axis="y", length=0)
    ax.set_ylabel("membrane of neuron")
    length = _rounded_down(0.9 * pitch)
    beside = ax.get_yaxis_transform()
    ax.add_collection(
        LineCollection(
            [[(1.012, bottom), (1.012, bottom + length)]], colors=INK, linewidths=1.5,
            transform=beside, clip_on=False, label="_scale",
        ),
        autolim=False,
    )  # fmt: skip
    ax.text(
        1.025, bottom + length / 2, f"{length:g}", transform=beside, va="center",
        size="small",
    )  # fmt: skip


def _explain(ax: Axes, *, dashed: bool, dots: bool) -> None:
    handles = []
    if dashed:
        handles.append(Line2D([], [], color=INK, lw=0.8, ls="dashed", label="threshold"))
    if dots:
        handles.append(Line2D([], [], color=SPIKE, marker=".", ls="", label="spike"))
    if handles:
        ax.legend(
            handles=handles, loc="lower right", bbox_to_anchor=(1, 1), frameon=False,
            fontsize="small", ncols=2, borderaxespad=0.2, handlelength=1.6,
        )  # fmt: skip


def _rounded_down(value: float) -> float:
    """Return the largest number of the form 1, 2 or 5 times 10^k that is not above `value`."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(s * power for s in (1, 2, 5) if s == 1 or s * power <= value))


def _entry(values: NDArray[np.int64], at: float) -> str:
    """Return the entry at a place of an axis, or nothing beside its ends."""
    inside = float(at).is_integer() and 0 <= at < values.size
    return str(values[int(at)]) if inside else ""


def _percent(share: float) -> str:
    """Write a share in percent, short enough for a tile."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{100 * share:.{0 if share >= 0.0995 or share == 0 else 1}f}%"


def _say(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color="0.5")
