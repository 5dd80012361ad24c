"""Figures of the section on adaptation rate integrals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from growth import figures
from growth.statistics import estimate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from growth.claims.ari_table import PrintedCell
    from growth.claims.base import Ran

__all__ = ["draw_bars", "draw_scenarios"]

ENDINGS = ("csv", "png")

WIDTH = 0.36


def draw_bars(
    ran: Mapping[str, Ran],
    printed: Mapping[str, Mapping[str, PrintedCell]],
    labels: Mapping[str, str],
    tasks: Mapping[str, int],
    path: Path,
) -> None:
    """Accuracy above, forgetting below, the paper's beside ours; bounds as lines on accuracy."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots(2, len(ran), sharey=True, squeeze=False)
    rows = []
    for column, (stream, one) in enumerate(ran.items()):
        for place, (method, cell) in enumerate(printed[stream].items()):
            row = one.rows[labels[method]]
            ours = [
                [100 * value for value in row.values[key] or []]
                for key in ("accuracy", "forgetting")
            ]
            theirs = (
                (cell.accuracy, cell.accuracy_spread),
                (cell.forgetting, cell.forgetting_spread),
            )
            for ax, (claimed, spread), mine in zip(
                axes[:, column], theirs, ours, strict=True
            ):
                found = estimate(mine)
                half = 0.0 if found.high is None else found.high - found.mean
                for side, height, bar, alpha in (
                    (-0.5, claimed, spread, 0.4), (0.5, found.mean, half, 1.0),
                ):  # fmt: skip
                    ax.bar(
                        place + side * WIDTH, height, WIDTH, yerr=bar, alpha=alpha,
                        color=figures.COLOURS[0], error_kw={"linewidth": 0.8, "alpha": 1},
                    )  # fmt: skip
            bounds = [
                cell.bound(tasks[stream]),
                100 - float(np.mean(ours[1])) * (tasks[stream] - 1) / tasks[stream],
            ]
            for side, bound, value in zip(
                (-0.5, 0.5), bounds, (cell.accuracy, float(np.mean(ours[0]))), strict=True
            ):
                colour = figures.COLOURS[1] if value > bound else figures.INK
                centre = place + side * WIDTH
                axes[0, column].plot(
                    [centre - WIDTH / 2, centre + WIDTH / 2], [bound, bound], color=colour,
                    linewidth=2.4 if value > bound else 1.2,
                )  # fmt: skip
            rows.append(
                (
                    stream, method, cell.accuracy, cell.forgetting, bounds[0],
                    float(np.mean(ours[0])), float(np.mean(ours[1])), bounds[1],
                )
            )  # fmt: skip
        names = [method.replace(", ", ",\n") for method in printed[stream]]
        for ax in axes[:, column]:
            ax.set_xticks(range(len(names)), names, fontsize="small")
            ax.margins(x=0.02)
        axes[0, column].set(title=stream)
    axes[0, 0].set(ylabel="ACC [%]", ylim=(0, 106))
    axes[1, 0].set(ylabel="F [points]", ylim=(0, 106))
    handles = [
        Patch(color=figures.COLOURS[0], alpha=0.4, label="paper"),
        Patch(color=figures.COLOURS[0], label="ours"),
        Line2D([], [], color=figures.INK, label="highest ACC that this F leaves"),
        Line2D([], [], color=figures.COLOURS[1], linewidth=2.4, label="the same, broken"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    names = [
        "stream", "method", "paper ACC", "paper F", "paper bound", "ACC", "F", "bound",
    ]  # fmt: skip
    figures.save(
        figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def draw_scenarios(ran: Mapping[str, Ran], names: Mapping[str, str], path: Path) -> None:
    """Accuracy of all strategies, best first, those that are told the task apart."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(1, len(ran), squeeze=False)[0]
    rows = []
    for ax, (stream, one) in zip(axes, ran.items(), strict=True):
        found = {k: estimate(row.values["accuracy"] or []) for k, row in one.rows.items()}
        told = {k: row.identity for k, row in one.rows.items()}
        means = {k: value.mean for k, value in found.items()}
        order = sorted(
            sorted(found, key=means.__getitem__, reverse=True), key=told.__getitem__
        )
        for place, label in enumerate(order):
            value = found[label]
            half = 0.0 if value.high is None else value.high - value.mean
            ax.barh(
                place, 100 * value.mean, 0.7, xerr=100 * half,
                color=figures.COLOURS[2 if told[label] else 0],
                alpha=1.0 if label.startswith("ari") else 0.5, error_kw={"linewidth": 0.8},
            )  # fmt: skip
            rows.append((stream, label, told[label], 100 * value.mean, 100 * half))
        ax.set_yticks(range(len(order)), [names[k] for k in order], fontsize="small")
        ax.set(title=stream, xlabel="ACC, of ten [%]", xlim=(0, 100))
        ax.invert_yaxis()
    handles = [
        Patch(color=figures.COLOURS[0], alpha=0.5, label="not told the task"),
        Patch(color=figures.COLOURS[2], alpha=0.5, label="told it"),
        Patch(color=figures.COLOURS[2], label="told it, with a zoo"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    head = ("stream", "strategy", "told", "ACC", "half of the interval")
    figures.save(
        figure, path, dict(zip(head, zip(*rows, strict=True), strict=True)), ENDINGS
    )
