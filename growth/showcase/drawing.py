"""Figures of a showcase, drawn from its run folder alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from growth import figures
from growth.showcase.tables import by_variant, curve_of, routing_energy
from growth.statistics import estimate

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from growth.showcase.plan import ShowcasePlan
    from growth.showcase.run import Results

__all__ = ["draw_showcase", "noise_axes", "raster_axes", "routing_axes"]

ROOM = 0.08
"""Of accuracy, above and below all means."""
KINDS = {"none": "no regulariser", "energy": "routing energy", "mask": "hop mask"}


def draw_showcase(plan: ShowcasePlan, results: Results, folder: Path) -> list[Path]:
    """Draw the noise curve, the spikes of one test sample, and accuracy against routing energy.

    The last is drawn if a variant has a regulariser.

    Returns
    -------
    list of Path
        The ``.svg`` of each; its numbers are in the ``.csv`` beside it.
    """
    drawn = [_noise_figure(plan, results, folder), _raster_figure(plan, folder)]
    if any(cell.variant.regulariser != "none" for cell, _ in results):
        drawn.append(_routing_figure(plan, results, folder))
    return drawn


def _noise_figure(plan: ShowcasePlan, results: Results, folder: Path) -> Path:
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    noise_axes(plan, results, ax=figure.subplots())
    rows = [
        (label, noise, each.mean, each.low, each.high)
        for label, some in by_variant(results).items()
        for noise, each in curve_of(plan, some)
    ]
    names = ("variant", "noise", "accuracy", "low", "high")
    path = folder / "noise-curve"
    figures.save(figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)))
    return path.with_suffix(".svg")


def _title(plan: ShowcasePlan) -> str:
    many = len(plan.seeds)
    how = "one seed" if many == 1 else f"mean of {many} seeds, 95 % interval"
    return f"{plan.name}: {how}"


def noise_axes(plan: ShowcasePlan, results: Results, *, ax: Axes) -> Axes:
    """Draw accuracy over weight noise, a line for each variant with its 95 % interval."""
    means: list[float] = []
    for k, (label, some) in enumerate(by_variant(results).items()):
        curve = curve_of(plan, some)
        x = [100 * noise for noise, _ in curve]
        colour = figures.COLOURS[k % len(figures.COLOURS)]
        ax.plot(
            x, [each.mean for _, each in curve], figures.MARKERS[k % len(figures.MARKERS)] + "-",
            ms=4, lw=1.4, color=colour, label=label,
        )  # fmt: skip
        low, high = (
            [getattr(each, end) if each.low is not None else each.mean for _, each in curve]
            for end in ("low", "high")
        )
        ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        means += [each.mean for _, each in curve]
    # Of few seeds intervals leave what an accuracy can be; they leave the picture, too.
    ax.set_ylim(max(min(means) - ROOM, 0), min(max(means) + ROOM, 1))
    ax.set(xlabel="noise on weights [% of the layer's largest]", ylabel="accuracy")
    ax.set_title(_title(plan), fontsize=9)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.grid(color=figures.HAIR, lw=0.3)
    ax.legend(frameon=False, fontsize=8)
    return ax


def _routing_figure(plan: ShowcasePlan, results: Results, folder: Path) -> Path:
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    routing_axes(plan, results, ax=figure.subplots())
    table: dict[str, list[object]] = {
        name: [] for name in ("variant", "regulariser", "strength", "seed", "routing", "balanced")
    }  # fmt: skip
    for cell, result in results:
        one = cell.variant
        for name, value in zip(
            table,
            (one.label, one.regulariser, one.strength, cell.seed, routing_energy(result),
             result["balanced"]), strict=True,
        ):  # fmt: skip
            table[name].append(value)
    path = folder / "accuracy-against-routing"
    figures.save(figure, path, table)
    return path.with_suffix(".svg")


def routing_axes(plan: ShowcasePlan, results: Results, *, ax: Axes) -> Axes:
    """Draw accuracy against the routing energy of an inference, a line for each regulariser."""
    variants = {cell.variant.label: cell.variant for cell, _ in results}
    found = by_variant(results)
    for k, (kind, title) in enumerate(KINDS.items()):
        labels = [label for label, v in variants.items() if v.regulariser == kind]
        if not labels:
            continue
        points = sorted(
            (
                float(np.mean([routing_energy(one) for one in found[label]])),
                estimate([one["balanced"] for one in found[label]]),
            )
            for label in labels
        )
        half = [0.0 if e.high is None else e.high - e.mean for _, e in points]
        ax.errorbar(
            [x for x, _ in points], [e.mean for _, e in points], half, elinewidth=0.6, ms=4,
            fmt=figures.MARKERS[k] + "-", lw=1.2, color=figures.COLOURS[k], label=title,
        )  # fmt: skip
    ax.set(
        xlabel="routing energy of an inference", ylabel="balanced accuracy", xscale="log"
    )
    ax.xaxis.set_major_formatter(EngFormatter("J"))
    ax.xaxis.set_minor_formatter("")
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_title(_title(plan), fontsize=9)
    ax.grid(color=figures.HAIR, lw=0.3)
    ax.legend(frameon=False, fontsize=8)
    return ax


def _raster_figure(plan: ShowcasePlan, folder: Path) -> Path:
    """Spikes of the first seed's first test sample, for each variant of the plan's shape."""
    cell = plan.cells()[0]
    with np.load(folder / cell.name / "example.npz", allow_pickle=False) as file:
        example = {name: file[name] for name in file.files}
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    raster_axes(
        example["inputs"], example["neurons"], int(example["outputs"]),
        int(example["per_tile"]), ax=figure.subplots(),
    ).set_title(
        f"{plan.name}, {cell.name}: a test sample with label {int(example['label'])}", fontsize=9
    )  # fmt: skip
    fired = np.hstack([example["inputs"], example["neurons"]])
    step, row = np.nonzero(fired)
    path = folder / "spikes"
    figures.save(figure, path, {"step": step.tolist(), "row": row.tolist()})
    return path.with_suffix(".svg")


def raster_axes(
    inputs: np.ndarray, neurons: np.ndarray, outputs: int, per_tile: int, *, ax: Axes
) -> Axes:
    """Draw one tick a spike: inputs below, then the tiles, the output neurons on top.

    Parameters
    ----------
    inputs, neurons : bool arrays, (steps, channels) and (steps, neurons)
    outputs, per_tile : int
    """
    channels, total = inputs.shape[1], neurons.shape[1]
    kinds = (
        (inputs, 0, figures.COLOURS[2], "inputs"),
        (neurons[:, : total - outputs], channels, figures.COLOURS[0], "neurons"),
        (neurons[:, total - outputs :], channels + total - outputs, figures.COLOURS[1], "outputs"),
    )  # fmt: skip
    for fired, first, colour, name in kinds:
        step, row = np.nonzero(fired)
        ax.scatter(
            step, first + row, marker="|", s=9, linewidths=0.9, color=colour, label=name
        )
    for edge in range(channels, channels + total, per_tile):
        ax.axhline(edge - 0.5, color=figures.HAIR, lw=0.4)
    ax.set(
        xlabel="step", ylabel="inputs, then neurons tile by tile",
        xlim=(-0.5, len(inputs) - 0.5), ylim=(-1, channels + total),
    )  # fmt: skip
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    return ax
