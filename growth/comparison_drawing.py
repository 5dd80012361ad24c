"""What a comparison leaves behind for people: its table in files, and its Pareto figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator, PercentFormatter
from sklearn.isotonic import IsotonicRegression

from growth import figures
from growth.comparison import COLUMNS, grids
from mosaic_sim.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from growth.comparison import Row

__all__ = ["apart", "draw_rows", "front_of", "pareto", "write_rows"]

PRICES = (
    ("energy", "energy of an inference", "J"),
    ("devices", "devices", ""),
    ("writes", "devices rewritten for a task", ""),
)


def write_rows(rows: Sequence[Row], reference: str, folder: Path) -> list[Path]:
    """Write the table in three files.

    ``table.csv`` holds every seed; ``summary.csv`` mean, standard deviation and 95 % interval;
    ``table.md`` means and intervals to read. None holds a time, so that all are the same bytes
    however often a run was stopped.
    """
    flat = io.StringIO()
    writer = csv.writer(flat, lineterminator="\n")
    writer.writerow(["strategy", "identity", "column", "seed", "value"])
    for row in rows:
        for column in COLUMNS:
            for seed, value in enumerate(row.values[column.key] or []):
                writer.writerow([row.label, row.identity, column.key, seed, repr(value)])
    brief = io.StringIO()
    writer = csv.writer(brief, lineterminator="\n")
    writer.writerow(
        ["strategy", "identity", "column", "seeds", "mean", "deviation", "low", "high"]
    )
    for row in rows:
        for column in COLUMNS:
            found = row.estimate(column.key)
            if found is not None:
                numbers = (found.mean, found.deviation, found.low, found.high)
                texts = ["" if x is None else repr(float(x)) for x in numbers]
                writer.writerow([row.label, row.identity, column.key, found.seeds, *texts])
    lines: list[str] = []
    for grid in grids(rows, reference):
        lines += grid.markdown()
    lines += [f"{row.label} ended early: {row.ended}" for row in rows if row.ended]
    files = (flat.getvalue(), brief.getvalue(), "\n".join(lines).rstrip() + "\n")
    paths = [folder / name for name in ("table.csv", "summary.csv", "table.md")]
    for path, text in zip(paths, files, strict=True):
        write_whole(path, text)
    return paths


def draw_rows(rows: Sequence[Row], folder: Path, *, title: str) -> list[Path]:
    """Draw accuracy against each price, with the front of those that nobody beats in both.

    Strategies that were told the task have a panel of their own: theirs is an easier question.
    """
    drawn = []
    known = [row for row in rows if row.values["compute_energy"] and row.values["accuracy"]]
    panels = {
        "told the task" if told else "not told the task": own
        for told in (False, True)
        if (own := [row for row in known if row.identity == told])
    }
    for key, label, unit in PRICES if known else ():
        figure = Figure(figsize=(5.2 * len(panels), 4.8), layout="constrained")
        figure.suptitle(title)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, (name, own) in zip(axes, panels.items(), strict=True):
            found = [row.estimate("accuracy") for row in own]
            pareto(
                np.array([_price(row, key) for row in own]),
                np.array([e.mean for e in found if e]),
                [row.label for row in own], ax=ax,
                half=np.array([0.0 if e.high is None else e.high - e.mean for e in found if e]),
            )  # fmt: skip
            ax.set(title=name, xlabel=label)
            ax.xaxis.set_major_formatter(EngFormatter(unit))
        axes[0].set_ylabel("average accuracy at the end")
        table: dict[str, Sequence[object]] = {
            "strategy": [row.label for row in known],
            "told the task": [row.identity for row in known],
            key: [_price(row, key) for row in known],
            "accuracy": [float(np.mean(row.values["accuracy"] or [0.0])) for row in known],
        }
        path = folder / f"accuracy-against-{key}"
        figures.save(figure, path, table)
        drawn.append(path.with_suffix(".svg"))
    return drawn


def _price(row: Row, key: str) -> float:
    if key == "energy":
        parts = (row.values["compute_energy"], row.values["routing_energy"])
        return float(sum(np.mean(part or [0.0]) for part in parts))
    return float(np.mean(row.values[key] or [0.0]))


def pareto(
    price: NDArray[np.float64],
    accuracy: NDArray[np.float64],
    labels: Sequence[str],
    *,
    ax: Axes,
    half: NDArray[np.float64] | None = None,
) -> Axes:
    """Scatter accuracy against a price, and join those that nobody beats in both.

    Names stand in a column beside the panel, each on a line to its point, so that none hides
    another however close the points are.

    Parameters
    ----------
    price, accuracy : float64 array, (strategies,)
    labels : sequence of str
    ax : Axes
    half : float64 array, (strategies,), optional
        Half of the interval of each accuracy.

    Examples
    --------
    >>> ax = Figure().subplots()
    >>> pareto(np.array([1.0, 2.0]), np.array([0.5, 0.9]), "ab", ax=ax) is ax
    True
    """
    colour = figures.COLOURS[0]
    ax.errorbar(price, accuracy, half, fmt="o", ms=5, color=colour, elinewidth=0.8)
    front = front_of(price, accuracy)
    ax.step(
        price[front], accuracy[front], where="post", color=colour, lw=0.8, alpha=0.6,
        zorder=1,
    )  # fmt: skip
    if price.max() > 3 * max(price.min(), 1e-30):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.margins(x=0.08, y=0.06)
    low, high = ax.get_ylim()
    places = apart((accuracy - low) / (high - low), GAP)
    for k, label in enumerate(labels):
        ax.annotate(
            label, (price[k], accuracy[k]), (1.04, places[k]), fontsize=8, va="center",
            textcoords="axes fraction",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": figures.HAIR, "shrinkB": 3},
        )  # fmt: skip
    ax.set_ylim(low, high)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(color=figures.HAIR, lw=0.3)
    return ax


GAP = 0.04
"""Between two names, as a share of the height of a panel."""


def apart(heights: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Heights within 0 to 1, as near as possible to those wanted, each `gap` from the next.

    The sum of squared moves is least: in order, less `gap` for each one below, they are an
    isotonic regression. Where there is no room for the gap, it is less.

    Examples
    --------
    >>> apart(np.array([0.5, 0.5, 0.1]), 0.2).tolist()
    [0.4, 0.6, 0.1]
    """
    gap = min(gap, 1 / max(len(heights) - 1, 1))
    order = np.argsort(heights, kind="stable")
    below = gap * np.arange(len(heights))
    fit = IsotonicRegression(y_min=0.0, y_max=max(1 - below[-1], 0.0))
    places = np.empty(len(heights))
    places[order] = fit.fit_transform(below, heights[order] - below) + below
    return places


def front_of(
    price: NDArray[np.float64], accuracy: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Those that nobody beats in both, from cheap to dear.

    Examples
    --------
    >>> front_of(np.array([3.0, 1.0, 2.0]), np.array([0.9, 0.5, 0.4])).tolist()
    [1, 0]
    """
    order = np.lexsort((-accuracy, price))
    best, front = -np.inf, []
    for k in order:
        if accuracy[k] > best:
            front.append(k)
            best = accuracy[k]
    return np.array(front, np.int64)
