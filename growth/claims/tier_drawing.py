"""Figures of the section on networks in three tiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from growth import figures
from growth.statistics import estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from growth.claims.learnt import Learnt

__all__ = ["draw_accuracies", "draw_forgetting", "draw_rates"]

ENDINGS = ("csv", "png")


def draw_forgetting(
    panels: Mapping[str, Mapping[str, Mapping[str, Learnt]]],
    schedules: Mapping[str, str],
    path: Path,
) -> None:
    """Forgetting of each split, by schedule, one panel for each experiment.

    Parameters
    ----------
    panels : mapping
        By title, schedule and split.
    schedules : mapping of str
        What each is called.
    path : Path
    """
    figure = Figure(figsize=(2.9 * len(panels), 4.0), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    names = list(schedules)
    rows: list[tuple[object, ...]] = []
    for ax, (title, found) in zip(axes, panels.items(), strict=True):
        for schedule, splits in found.items():
            k = names.index(schedule)
            middle, low, high = _bars([one.forgetting for one in splits.values()])
            ax.errorbar(
                np.arange(len(splits)) + 0.2 * (k - 1), middle, [low, high], linestyle="none",
                color=figures.COLOURS[k], marker=figures.MARKERS[k], markersize=5, capsize=2,
                linewidth=1, label=schedules[schedule],
            )  # fmt: skip
            rows += [
                (title, schedule, split, m, m - a, m + b)
                for split, m, a, b in zip(splits, middle, low, high, strict=True)
            ]
            ax.set_xticks(range(len(splits)), list(splits), rotation=35, ha="right")
        ax.axhline(0, color=figures.HAIR, linewidth=1)
        ax.set_title(title, fontsize="medium")
        ax.set_xlim(-0.5, 4.5)
    axes[0].set_ylabel("forgetting F [points]")
    figure.supxlabel("split, largest task tier first", fontsize="medium")
    handles = {
        label: handle
        for ax in axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=3, frameon=False
    )
    columns = ("experiment", "schedule", "split", "forgetting", "low", "high")
    figures.save(
        figure, path, dict(zip(columns, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def draw_rates(rates: Mapping[str, Mapping[str, Learnt]], path: Path) -> None:
    """Forgetting and accuracy right after learning, against the rate of the common tier."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    x = np.array([float(rate) for rate in rates])
    rows: list[tuple[object, ...]] = []
    splits = list(next(iter(rates.values())))
    apart = 1.08 ** (np.arange(len(splits)) - (len(splits) - 1) / 2)
    for ax, key, name in (
        (axes[0], "forgetting", "forgetting F [points]"),
        (axes[1], "la", "right after learning, LA [%]"),
    ):
        for k, split in enumerate(splits):
            values = [getattr(found[split], key) for found in rates.values()]
            middle, low, high = _bars(values)
            ax.errorbar(
                x * apart[k], middle, [low, high], color=figures.COLOURS[k],
                marker=figures.MARKERS[k], markersize=5, capsize=2, linewidth=1, label=split,
            )  # fmt: skip
            rows += [
                (key, split, rate, m, m - a, m + b)
                for rate, m, a, b in zip(rates, middle, low, high, strict=True)
            ]
        ax.set(xscale="log", xlabel="rate of the common tier", ylabel=name)
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        frameon=False,
    )
    columns = ("measure", "split", "rate", "mean", "low", "high")
    figures.save(
        figure, path, dict(zip(columns, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def draw_accuracies(
    panels: Mapping[str, tuple[Sequence[str], Mapping[str, Learnt]]], path: Path
) -> None:
    """Accuracy of each data set after it was learnt (pale) and at the end, by split.

    Parameters
    ----------
    panels : mapping
        By title: names of the data sets, and what was learnt, by split.
    path : Path
    """
    figure = Figure(figsize=(11, 3.4 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), 4, sharey=True, squeeze=False)
    rows: list[tuple[object, ...]] = []
    for line, (title, (names, splits)) in zip(grid, panels.items(), strict=True):
        for task, (ax, name) in enumerate(zip(line, names, strict=True)):
            for place, (split, one) in enumerate(splits.items()):
                after, end = (100 * x[:, task].mean() for x in (one.after, one.end))
                colour = figures.COLOURS[place]
                ax.bar(place - 0.2, after, 0.38, color=colour, alpha=0.4)
                ax.bar(place + 0.2, end, 0.38, color=colour)
                rows.append((title, split, name, after, end))
            ax.set(title=f"{name} ({title.split(',')[0]})", ylim=(0, 100))
            ax.set_xticks(range(len(splits)), list(splits), rotation=35, ha="right")
        line[0].set_ylabel("accuracy [%]: pale Val1, full Val2")
    columns = ("experiment", "split", "data set", "val1", "val2")
    figures.save(
        figure, path, dict(zip(columns, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def _bars(
    values: Sequence[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Means in percent, and how far their intervals reach below and above; 0 for one seed."""
    found = [estimate(100 * one) for one in values]
    middle = np.array([one.mean for one in found])
    low = np.array([0.0 if one.low is None else one.mean - one.low for one in found])
    high = np.array([0.0 if one.high is None else one.high - one.mean for one in found])
    return middle, low, high
