"""Figures of the growth-path experiment: accuracy against its prices, and while it is learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator, PercentFormatter
from matplotlib.transforms import offset_copy

from growth import figures
from growth.comparison_drawing import front_of
from growth.paths.tables import NETS, TITLES, accuracies, rows_of
from growth.statistics import estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from growth.paths.tables import PathRow, Results

__all__ = ["draw_paths"]

# Okabe and Ito's colours, which stay apart for colour-blind readers; markers say it again.
COLOUR = {
    "root": "#000000", "target": "#000000", "stopped": "#000000", "layer-1-first": "#0072B2",
    "layer-2-first": "#D55E00", "alternate": "#009E73", "random": "#999999",
}  # fmt: skip
MARKER = {"uniform": "v", "gaussian": "o", "gradmax": "^", "seeds": "s"}
WHOLE = {"root": "P", "target": "*", "stopped": "X"}
"""Markers of what does not grow."""
SIDE = {"layer-1-first": -7.0, "random": 7.0}
"""Points that paths of one price are set aside, so that none hides another."""
OPTIMISERS = {"adam": "Adam", "sgd": "SGD with momentum"}
AXES = {
    "flops": ("operations to train (FLOPs)", ""),
    "energy": ("energy of an inference", "J"),
    "writes": ("writes to learn on the chip", ""),
}


def draw_paths(results: Results, folder: Path, *, title: str) -> list[Path]:
    """Draw what there is: accuracy against FLOPs, energy and writes, and learning curves.

    Returns
    -------
    list of Path
        The ``.svg`` of each; its numbers are in the ``.csv`` beside it.
    """
    rows, drawn = rows_of(results), []
    for price in AXES:
        known = [row for row in rows if price in row.prices]
        if known:
            drawn.append(_pareto_figure(known, price, folder, title))
    for net in dict.fromkeys(row.net for row in rows):
        own = [(cell, result) for cell, result in results if cell.net == net]
        drawn.append(_curve_figure(own, net, folder, title))
    return drawn


def _panels(rows: Sequence[PathRow]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row.net, row.optimiser) for row in rows))


def _pareto_figure(rows: Sequence[PathRow], price: str, folder: Path, title: str) -> Path:
    """Final error against a price, a panel for each network and optimiser."""
    panels = _panels(rows)
    nets = list(dict.fromkeys(net for net, _ in panels))
    wide = max(sum(n == net for n, _ in panels) for net in nets)
    figure = Figure(figsize=(4.2 * wide + 1.8, 3.4 * len(nets) + 0.4), layout="constrained")
    axes = figure.subplots(len(nets), wide, squeeze=False)
    for row_of_axes, net in zip(axes, nets, strict=True):
        for k, ax in enumerate(row_of_axes):
            here = [o for n, o in panels if n == net]
            if k >= len(here):
                ax.set_visible(False)
                continue
            own = [r for r in rows if (r.net, r.optimiser) == (net, here[k])]
            _scatter(own, price, ax, SIDE if price == "flops" else {})
            ax.set_title(f"{NETS[net]}, {OPTIMISERS[here[k]]}", fontsize=9)
            ax.set_xlabel(AXES[price][0])
        row_of_axes[0].set_ylabel("test error at the end [%]")
    used = {row.path for row in rows}
    starts = {row.start for row in rows}
    entries = [
        Line2D([], [], ls="", marker="D", color=COLOUR[p], label=TITLES[p])
        for p in TITLES if p in used and p not in WHOLE
    ] + [
        Line2D([], [], ls="", marker=m, mfc="none", color="black", label=s)
        for s, m in MARKER.items() if s in starts
    ] + [
        Line2D([], [], ls="", marker=m, ms=8, color="black", label=TITLES[p])
        for p, m in WHOLE.items() if p in used
    ]  # fmt: skip
    figure.legend(handles=entries, loc="outside right center", fontsize=8, frameon=False)
    figure.suptitle(
        f"{title}: mean, 95 % interval, {len(rows[0].final)} trials", fontsize=10
    )
    path = folder / f"accuracy-against-{price.replace('_', '-')}"
    figures.save(figure, path, {
        "net": [r.net for r in rows], "optimiser": [r.optimiser for r in rows],
        "path": [r.path for r in rows], "start": [r.start for r in rows],
        price: [float(r.prices[price].mean()) for r in rows],
        "accuracy": [float(r.final.mean()) for r in rows],
    })  # fmt: skip
    return path.with_suffix(".svg")


def _scatter(
    rows: Sequence[PathRow], price: str, ax: Axes, side: Mapping[str, float]
) -> None:
    x = np.array([row.prices[price].mean() for row in rows])
    y = np.array([100 * (1 - row.final.mean()) for row in rows])
    ends: list[float] = []
    for row, at, error in zip(rows, x, y, strict=True):
        found = estimate(100 * (1 - row.final))
        half = 0.0 if found.high is None else found.high - found.mean
        # An interval that reaches 0 has no end on this axis; it leaves the panel below.
        ends += [max(error - half, 0.5 * error), error + half]
        aside = offset_copy(
            ax.transData, ax.get_figure(root=True), x=side.get(row.path, 0), units="points"
        )
        ax.errorbar(
            at, error, np.array([[min(half, 0.99 * error)], [half]]), elinewidth=0.6, mew=1.2,
            fmt=MARKER.get(row.start) or WHOLE[row.path], ms=5 if row.start else 8,
            mfc="none" if row.start else COLOUR[row.path], color=COLOUR[row.path],
            transform=aside,
        )  # fmt: skip
    front = front_of(x, -y)
    ax.step(x[front], y[front], where="post", color="black", lw=0.6, alpha=0.5, zorder=1)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(EngFormatter(AXES[price][1]))
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:g}")
    ax.tick_params(labelsize=8)
    ax.set_xlim(0.75 * x.min(), 1.35 * x.max())
    ax.set_ylim(0.93 * min(ends), 1.07 * max(ends))
    ax.grid(color=figures.HAIR, lw=0.3)


def _curve_figure(results: Results, net: str, folder: Path, title: str) -> Path:
    """Accuracy over updates on the named paths with Gaussian starts; ticks say what grew."""
    start = "gaussian"
    optimisers = list(dict.fromkeys(cell.optimiser for cell, _ in results))
    figure = Figure(figsize=(4.4 * len(optimisers) + 1.6, 3.8), layout="constrained")
    axes = figure.subplots(1, len(optimisers), squeeze=False, sharey=True)[0]
    table: dict[str, list[object]] = {
        k: [] for k in ("optimiser", "path", "update", "accuracy")
    }  # fmt: skip
    grown: list[dict[str, Any]] = []
    for ax, optimiser in zip(axes, optimisers, strict=True):
        shown: dict[str, Any] = {
            cell.path: result for cell, result in results
            if cell.optimiser == optimiser and cell.path in TITLES
            and cell.start in ("", start)
        }  # fmt: skip
        grown.append({path: result for path, result in shown.items() if result["growth"]})
        for path, result in shown.items():
            mean = accuracies(result).mean(0)
            style = {"root": ":", "target": "--"}.get(path, "-")
            ax.plot(
                result["updates"],
                mean,
                style,
                color=COLOUR[path],
                lw=1.4,
                label=TITLES[path],
            )
            table["optimiser"] += [optimiser] * len(mean)
            table["path"] += [path] * len(mean)
            table["update"] += result["updates"]
            table["accuracy"] += mean.tolist()
    bottom, top = axes[0].get_ylim()
    step = (top - bottom) * 0.05
    for ax, optimiser, marked in zip(axes, optimisers, grown, strict=True):
        for number, (path, result) in enumerate(marked.items()):
            for stage in result["growth"]:
                ax.text(
                    stage["update"], bottom - number * step, str(stage["layer"]), fontsize=6.5,
                    color=COLOUR[path], ha="center", va="center",
                )  # fmt: skip
        ax.set_ylim(bottom - len(marked) * step, top)
        ax.set_title(OPTIMISERS[optimiser], fontsize=9)
        ax.set_xlabel("updates (digits below: the layer that grew then)")
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        ax.grid(color=figures.HAIR, lw=0.3)
        ax.tick_params(labelsize=8)
    axes[0].set_ylabel("test accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)
    figure.suptitle(
        f"{title}: {NETS[net].lower()}, Gaussian starts, mean of trials", fontsize=10
    )
    file = folder / f"learning-{net}"
    figures.save(figure, file, table)
    return file.with_suffix(".svg")
