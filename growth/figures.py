"""Figures of continual learning, and how a figure is kept: picture and numbers together.

The drawing functions draw on the Axes given and return them; `save` alone writes files.
Make the figure itself with ``matplotlib.figure.Figure(layout="constrained")``, not with
pyplot, which keeps figures alive in global state. Accuracies are given from 0 to 1 and
drawn in percent. Tasks are numbered from 0, as everywhere.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter
from matplotlib.transforms import (
    BboxTransformTo,
    ScaledTranslation,
    blended_transform_factory,
)

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["accuracy_matrix", "accuracy_over_tasks", "growth_over_time", "save"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#222222")
"""Lines in order: Okabe and Ito (2008) without yellow, which is faint on white."""

MARKERS = "osD^vPX"
"""Beside the colours, for those who cannot tell them apart."""

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
"""For learners beyond the last colour."""

INK, HAIR = "0.15", "0.6"
MUTED = 0.3
"""How much of its colour a task that is still to come keeps."""

# Ends before the darkest blues, so that black and white text both stay readable.
ACCURACY = ListedColormap(mpl.colormaps["Blues"](np.linspace(0, 0.9, 256)), "accuracy")


def accuracy_matrix(R: ArrayLike, *, ax: Axes, title: str | None = None) -> Axes:  # noqa: N803
    """Draw the accuracy on every task after learning every task.

    Parameters
    ----------
    R : float array, (learnt, tasks), from 0 to 1
        ``R[i, j]`` is the accuracy on task j after learning task i; NaN where it was not
        measured. In a square matrix, tasks that are still to come (j > i) are drawn pale.
    ax : Axes
        Drawn on, and returned. The colour bar lies outside, to the right.
    title : str, optional

    Returns
    -------
    Axes
        With one mesh, whose array is ``R``; and one text for each number, unless the cells
        are too small for them.

    Raises
    ------
    MosaicError
        If `R` is not a matrix of numbers from 0 to 1.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = accuracy_matrix([[1.0, 0.1], [0.5, 1.0]], ax=Figure().subplots())
    >>> [text.get_text() for text in ax.texts]
    ['100', '10', '50', '100']
    """
    matrix = np.asarray(R, np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise MosaicError(f"R has shape {matrix.shape}; it needs (learnt, tasks).")
    _from_0_to_1("R", matrix)
    learnt, tasks = matrix.shape
    to_come = np.triu(np.ones(matrix.shape, bool), 1) if learnt == tasks else matrix < 0
    strength = np.where(to_come, MUTED, 1.0)
    mesh = ax.pcolormesh(
        np.arange(tasks + 1) - 0.5,
        np.arange(learnt + 1) - 0.5,
        np.ma.masked_invalid(matrix),
        cmap=ACCURACY,
        vmin=0,
        vmax=1,
        edgecolors="white",
        linewidth=1,
    )
    mesh.set_alpha(strength)  # type: ignore[arg-type]  # an array, one for each cell
    ax.set(
        aspect="equal", xlabel="accuracy on task", ylabel="after learning task", title=title
    )
    ax.set(xlim=(-0.5, tasks - 0.5), ylim=(learnt - 0.5, -0.5))
    ax.xaxis.set_ticks(_some_of(tasks))
    ax.yaxis.set_ticks(_some_of(learnt))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)

    width, height = _points(ax)
    size = min(9.0, 0.38 * min(width / tasks, height / learnt))
    if size >= 4.5:
        for (i, j), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                text = ax.text(j, i, f"{100 * value:.0f}", fontsize=size, ha="center")
                text.set(va="center_baseline", color=on(ACCURACY(value)))
                if to_come[i, j]:
                    text.set(fontstyle="italic", color="0.3")
    # Across in inches, to the right of the matrix; down in fractions of it.
    inches = ax.figure.dpi_scale_trans + ScaledTranslation(1, 0, BboxTransformTo(ax.bbox))
    where = blended_transform_factory(inches, ax.transAxes)
    inset = ax.inset_axes((0.15, 0, 0.15, 1), transform=where)
    # From its own mappable: the mesh would hand its alpha, cell by cell, to the bar.
    scale = mpl.cm.ScalarMappable(mesh.norm, ACCURACY)
    bar = ax.figure.colorbar(scale, cax=inset, format=PercentFormatter(1, symbol=None))
    bar.outline.set_visible(False)
    bar.set_label("accuracy [%]")
    return ax


def accuracy_over_tasks(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike | None, ArrayLike | None]], *, ax: Axes
) -> Axes:
    """Draw the mean accuracy of several learners over the tasks that they have learnt.

    Parameters
    ----------
    curves : mapping of str to (mean, low, high)
        For each learner three float arrays, (tasks,), from 0 to 1: after each task, the
        mean and the ends of its 95 % interval; None (or NaN) where there is no interval.
        The ends may lie outside 0 to 1.
    ax : Axes
        Drawn on, and returned. Each line is named at its end, right of the Axes.

    Returns
    -------
    Axes
        With one line a learner, labelled with its name, and one band for each interval;
        y in percent.

    Raises
    ------
    MosaicError
        If `curves` is empty, a mean is not from 0 to 1, or the arrays differ in length.
    """
    if not curves:
        raise MosaicError("curves is empty; it needs at least one learner to draw.")
    longest, ends = 0, {}
    for k, (name, triple) in enumerate(curves.items()):
        mean, low, high = (
            np.array([]) if part is None else 100 * np.asarray(part, np.float64).ravel()
            for part in triple
        )
        if not mean.size or any(part.size not in (0, mean.size) for part in (low, high)):
            raise MosaicError(
                f"curves[{name!r}] has {mean.size}, {low.size} and {high.size} entries; "
                "mean, low and high need one for each task."
            )
        _from_0_to_1(f"curves[{name!r}]", mean / 100)
        task, colour = np.arange(mean.size), COLOURS[k % len(COLOURS)]
        if low.size and high.size:
            ax.fill_between(task, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.plot(
            task,
            mean,
            color=colour,
            label=name,
            linestyle=DASHES[k // len(COLOURS) % len(DASHES)],
            marker=MARKERS[k % len(MARKERS)],
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=3,
        )
        longest = max(longest, mean.size)
        ends[name] = (float(task[-1]), float(mean[-1]), colour)
    ax.set(xlabel="after learning task", xlim=(-0.3, longest - 0.7))
    ax.set_ylabel("mean accuracy [%]")
    ax.xaxis.set_ticks(_some_of(longest))
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    low_end, high_end = ax.get_ylim()
    ax.set_ylim(max(low_end, 0), min(high_end, 101))
    _name_ends(ax, ends)
    return ax


def growth_over_time(
    neurons: Sequence[int] | NDArray[np.integer],
    tiles: Sequence[int] | NDArray[np.integer],
    *,
    ax: Axes,
    writes: Sequence[int] | NDArray[np.integer] | None = None,
    events: Iterable[tuple[int, str]] | None = None,
) -> Axes:
    """Draw how large the network is after each task, and when it grew.

    Parameters
    ----------
    neurons, tiles : int array, (tasks,)
        Neurons, and neuron tiles in use, after each task.
    ax : Axes
        Drawn on, and returned; neurons on its own axis, tiles on a twin of it.
    writes : int array, (tasks,), optional
        Devices programmed for each task: a strip of bars below.
    events : iterable of (task, kind), optional
        What happened at a task, for example ``(3, "new expert")``: one marker each on the
        line of the neurons, those of one task above each other.

    Returns
    -------
    Axes
        With the neurons as its first stairs, and one line without a path for each kind of
        event, labelled with it. Tiles are the stairs of the twin, writes the bars of the
        child Axes.

    Raises
    ------
    MosaicError
        If the arrays are not of one length, or an event is at a task that there is not.
    """
    sizes = {"neurons": np.asarray(neurons), "tiles": np.asarray(tiles)}
    if writes is not None:
        sizes["writes"] = np.asarray(writes)
    tasks = sizes["neurons"].size
    for name, values in sizes.items():
        if values.shape != (tasks,) or not tasks:
            raise MosaicError(
                f"{name} has shape {values.shape}; it needs one entry for each task, as "
                f"neurons: ({max(tasks, 1)},)."
            )
    edges = np.arange(tasks + 1) - 0.5
    own, other = COLOURS[0], COLOURS[1]
    ax.stairs(sizes["neurons"], edges, color=own, fill=True, alpha=0.12)
    ax.stairs(
        sizes["neurons"], edges, baseline=None, color=own, linewidth=2, label="neurons"
    )
    twin = ax.twinx()
    dashes = (0, (4, 1.5))
    twin.stairs(
        sizes["tiles"],
        edges,
        baseline=None,
        color=other,
        linewidth=1.6,
        linestyle=dashes,
        label="tiles in use",
    )
    # Different heights, so that two quantities that grow together do not hide each other.
    ax.set_ylim(0, 1.22 * max(sizes["neurons"].max(), 1))
    twin.set_ylim(0, 1.75 * max(sizes["tiles"].max(), 1))
    for axes, label, colour in ((ax, "neurons", own), (twin, "tiles in use", other)):
        axes.set_ylabel(label, color=colour)
        axes.tick_params(axis="y", colors=colour)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.spines["top"].set_visible(False)
    ax.set(xlim=(-0.5, tasks - 0.5), xlabel="after learning task")
    ax.xaxis.set_ticks(_some_of(tasks))
    _draw_events(ax, sizes["neurons"], events or ())
    if "writes" in sizes:
        _draw_writes(ax, sizes["writes"])
    handles = ax.get_legend_handles_labels()[0]
    handles[1:1] = twin.get_legend_handles_labels()[0]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(handles),
        frameon=False,
        borderaxespad=0.2,
        columnspacing=1.4,
    )
    return ax


def save(
    fig: Figure,
    path: Path | str,
    table: Mapping[str, Sequence[object]],
    endings: Sequence[str] = ("csv", "svg", "png"),
) -> None:
    """Write a figure and the numbers it shows: ``path.svg``, ``path.png``, ``path.csv``.

    The same figure gives the same bytes. Each file is written beside its place and moved
    there, so that none is ever half there; nothing is written if the figure cannot be
    drawn. Nothing that lies outside the Axes is cut off.

    Parameters
    ----------
    fig : Figure
    path : path
        Without an ending; what looks like one is kept.
    table : mapping of str to sequence
        Columns by name, all of one length. Numbers are written in full precision.
    endings : sequence of str
        Which of the three are written.

    Raises
    ------
    MosaicError
        If the columns differ in length.
    OSError
        If the folder does not exist or is not writable.
    """
    lengths = {name: len(column) for name, column in table.items()}
    if len(set(lengths.values())) > 1:
        raise MosaicError(f"table has columns of different lengths: {lengths}.")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(table)
    rows.writerows(zip(*table.values(), strict=True))

    contents = {}
    if "csv" in endings:
        contents["csv"] = text.getvalue().encode()
    if "svg" in endings:
        svg = io.BytesIO()
        # Equal bytes: the salt names the parts of the file, and the date would stand in it.
        with mpl.rc_context({"svg.hashsalt": "mosaic-growth"}):
            fig.savefig(svg, format="svg", bbox_inches="tight", metadata={"Date": None})
        contents["svg"] = svg.getvalue()
    if "png" in endings:
        png = io.BytesIO()
        fig.savefig(png, format="png", bbox_inches="tight", dpi=150)
        contents["png"] = png.getvalue()
    path = Path(path)
    for ending, content in contents.items():
        draft = path.with_name(f".{path.name}.{ending}.{os.getpid()}.part")
        draft.write_bytes(content)
        draft.replace(path.with_name(f"{path.name}.{ending}"))


def _from_0_to_1(name: str, values: NDArray[np.float64]) -> None:
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise MosaicError(
            f"{name} has {values[outside][0]:g}; it needs accuracies from 0 to 1 (they are "
            "drawn in percent)."
        )


def _points(ax: Axes) -> tuple[float, float]:
    """(width, height) of `ax` as it is now, in points."""
    box = ax.get_window_extent()
    scale = 72 / ax.figure.dpi
    return box.width * scale, box.height * scale


def _some_of(tasks: int) -> range:
    """Task numbers that have room as ticks."""
    return range(0, tasks, -(-tasks // 12))


def on(colour: tuple[float, float, float, float]) -> str:
    """Black or white, whichever has more contrast on `colour` (WCAG 2: at least 4.5)."""
    luminance = np.array(to_rgb(colour)) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])
    return "black" if luminance > 0.18 else "white"


def _name_ends(ax: Axes, ends: Mapping[str, tuple[float, float, str]]) -> None:
    """Write names right of the Axes at the height of the ends, moved apart as needed."""
    bottom, top = ax.get_ylim()
    gap = 12 / _points(ax)[1] * (top - bottom)  # one line of text
    names = sorted(ends, key=lambda name: ends[name][1])
    heights = np.array([ends[name][1] for name in names])
    heights = _apart(heights, gap)
    right = ax.get_xlim()[1]
    for name, height in zip(names, heights.tolist(), strict=True):
        x, y, colour = ends[name]
        ax.annotate(
            name,
            xy=(x, y),
            xytext=(right, height),
            va="center",
            fontsize="small",
            color=INK,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0},
        )


def _apart(heights: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Return the nearest rising heights (least squares) that are at least `gap` apart."""
    steps = np.arange(heights.size) * gap
    # Isotonic regression by pooling neighbours that are in the wrong order.
    pools: list[list[float]] = []
    for value in (heights - steps).tolist():
        pools.append([value])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    level = [float(np.mean(pool)) for pool in pools for _ in pool]
    return np.array(level) + steps


def _draw_events(
    ax: Axes, neurons: NDArray[np.integer], events: Iterable[tuple[int, str]]
) -> None:
    happened: dict[str, list[int]] = {}
    before: dict[int, int] = {}
    for task, kind in events:
        if not 0 <= task < neurons.size:
            raise MosaicError(
                f"events has {kind!r} at task {task}; it needs a task from 0 to "
                f"{neurons.size - 1}."
            )
        happened.setdefault(kind, []).append(task)
    for k, (kind, tasks) in enumerate(happened.items()):
        levels = []
        for task in tasks:
            levels.append(before.get(task, 0))
            before[task] = levels[-1] + 1
        for level in sorted(set(levels)):
            there = [t for t, up in zip(tasks, levels, strict=True) if up == level]
            lifted = ScaledTranslation(0, (8 + 10 * level) / 72, ax.figure.dpi_scale_trans)
            ax.plot(
                there,
                neurons[there],
                transform=ax.transData + lifted,
                label=kind if level == min(levels) else "_higher",
                linestyle="",
                marker="^sDvoP"[k % 6],
                markersize=8,
                color=COLOURS[2 + k % 5],
                markeredgecolor="white",
            )


def _draw_writes(ax: Axes, writes: NDArray[np.integer]) -> None:
    """Draw bars in a strip below `ax`, which takes over its numbers of tasks."""
    inches = ax.figure.dpi_scale_trans + ScaledTranslation(0, 0, BboxTransformTo(ax.bbox))
    where = blended_transform_factory(ax.transAxes, inches)
    strip = ax.inset_axes((0, -0.85, 1, 0.65), transform=where, sharex=ax)
    strip.bar(np.arange(writes.size), writes, 0.7, color="0.55")
    strip.set(
        ylabel="writes", xlabel=ax.get_xlabel(), ylim=(0, 1.15 * max(writes.max(), 1))
    )
    strip.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    strip.yaxis.set_major_formatter(EngFormatter(sep=" "))
    strip.spines[["top", "right"]].set_visible(False)
    ax.tick_params(axis="x", labelbottom=False)
    ax.set_xlabel("")
