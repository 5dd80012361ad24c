"""What a comparison leaves behind for people: its table in files, and its Pareto figures."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from growth import figures
from growth.comparison import COLUMNS, against
from mosaic_sim.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from growth.comparison import Row

__all__ = ["draw_rows", "pareto", "write_rows"]

PRICES = (
    ("energy", "energy of an inference", "J"),
    ("devices", "devices", ""),
    ("writes", "devices rewritten for a task", ""),
)


def write_rows(rows: Sequence[Row], reference: str, folder: Path) -> list[Path]:
    """Write the table as ``table.csv``, every seed, and ``table.md``, means and intervals.

    Neither holds a time, so that both are the same bytes however often a run was stopped.
    """
    flat = io.StringIO()
    writer = csv.writer(flat, lineterminator="\n")
    writer.writerow(["strategy", "identity", "column", "seed", "value"])
    for row in rows:
        for column in COLUMNS:
            for seed, value in enumerate(row.values[column.key] or []):
                writer.writerow([row.label, row.identity, column.key, seed, repr(value)])
    tests = against(rows, reference)
    head = [
        "strategy",
        "told the task",
        *(c.title for c in COLUMNS),
        f"p against {reference}",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        p = tests.get(row.label)
        cells = [row.label, "yes" if row.identity else "no"]
        cells += [column.text(row.estimate(column.key)) for column in COLUMNS]
        lines.append(
            "| " + " | ".join([*cells, "" if p is None else f"{p.corrected:.2g}"]) + " |"
        )
    lines += [f"\n{row.label} ended early: {row.ended}" for row in rows if row.ended]
    paths = [folder / "table.csv", folder / "table.md"]
    for path, text in zip(paths, (flat.getvalue(), "\n".join(lines) + "\n"), strict=True):
        write_whole(path, text)
    return paths


def draw_rows(rows: Sequence[Row], folder: Path, *, title: str) -> list[Path]:
    """Draw accuracy against each price, with the front of those that nobody beats in both."""
    drawn = []
    known = [row for row in rows if row.values["compute_energy"] and row.values["accuracy"]]
    for key, label, unit in PRICES if known else ():
        price = np.array([_price(row, key) for row in known])
        accuracy = np.array([np.mean(row.values["accuracy"] or [0.0]) for row in known])
        figure = Figure(figsize=(7.6, 5.2), layout="constrained")
        ax = pareto(
            price, accuracy, [row.label for row in known], [row.identity for row in known],
            ax=figure.subplots(),
        )  # fmt: skip
        ax.set_xlabel(label)
        ax.xaxis.set_major_formatter(EngFormatter(unit))
        ax.set_title(title)
        table: dict[str, Sequence[object]] = {
            "strategy": [row.label for row in known],
            "told the task": [row.identity for row in known],
            key: price.tolist(),
            "accuracy": accuracy.tolist(),
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
    told: Sequence[bool],
    *,
    ax: Axes,
) -> Axes:
    """Scatter accuracy against a price, and join those that nobody beats in both.

    Parameters
    ----------
    price, accuracy : float64 array, (strategies,)
    labels : sequence of str
    told : sequence of bool
        Whether a strategy was told the task; drawn hollow, with a front of their own.

    Examples
    --------
    >>> ax = Figure().subplots()
    >>> pareto(np.array([1.0, 2.0]), np.array([0.5, 0.9]), "ab", [False, False], ax=ax) is ax
    True
    """
    for known, colour, name in (
        (False, figures.COLOURS[0], "not told the task"),
        (True, figures.COLOURS[1], "told the task"),
    ):
        own = np.flatnonzero(np.array(told, bool) == known)
        if not own.size:
            continue
        ax.plot(
            price[own], accuracy[own], "o", color=colour, label=name,
            markerfacecolor="white" if known else colour,
        )  # fmt: skip
        front = front_of(price[own], accuracy[own])
        ax.step(
            price[own][front], accuracy[own][front], where="post", color=colour, lw=0.8,
            alpha=0.6, zorder=1,
        )  # fmt: skip
    order = np.argsort(accuracy)
    heights = accuracy.copy()
    span = max(float(np.ptp(accuracy)), 1e-3)
    for before, after in itertools.pairwise(order):
        heights[after] = max(heights[after], heights[before] + 0.028 * span)
    for k, label in enumerate(labels):
        ax.annotate(
            label, (price[k], accuracy[k]), fontsize=8, textcoords="offset points",
            xytext=(7, (heights[k] - accuracy[k]) / span * 260 - 3),
        )  # fmt: skip
    if price.max() > 8 * max(price.min(), 1e-30):
        ax.set_xscale("log")
    ax.margins(x=0.12)
    ax.set_ylabel("average accuracy at the end")
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.grid(color=figures.HAIR, lw=0.3)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False)
    return ax


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
