"""Figures of the section on muNet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from growth import figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from growth.claims.base import Ran
    from growth.claims.evolved import Evolved

__all__ = ["draw_quality", "draw_sharing", "draw_work"]

ENDINGS = ("csv", "png")


def draw_quality(ran: Ran, evolved: Sequence[Evolved], munet: str, path: Path) -> None:
    """Accuracy of every seed against the weights of a task; large marks are means."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    ax = figure.subplots()
    rows = []
    for k, (label, row) in enumerate(ran.rows.items()):
        accuracy = 100 * np.array(row.values["accuracy"] or [])
        share = np.ones(len(accuracy))
        if label == munet:
            share = np.array([one.networks(len(one.maker)) for one in evolved])
        style: dict[str, Any] = {"color": figures.COLOURS[k], "marker": figures.MARKERS[k]}
        ax.scatter(share, accuracy, s=16, alpha=0.45, **style)
        ax.scatter(share.mean(), accuracy.mean(), s=90, label=label, **style)
        rows += [
            (label, seed, s, a)
            for seed, (s, a) in enumerate(zip(share, accuracy, strict=True))
        ]
    ax.axvline(1, color=figures.HAIR, linewidth=1, linestyle="--")
    ax.set(
        xlabel="networks a task (devices of all tasks, shared out)", ylabel="accuracy [%]"
    )
    ax.set_xlim(0, 1.1)
    ax.legend(frameon=False, loc="best")
    names = ("strategy", "seed", "networks a task", "accuracy")
    figures.save(
        figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def draw_sharing(evolved: Sequence[Evolved], path: Path) -> None:
    """Which task made each task's layers, first seed; networks a task as tasks come, all seeds."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    maker = evolved[0].maker
    tasks, layers = maker.shape
    mesh = left.imshow(maker.T, cmap="viridis", vmin=0, vmax=tasks - 1, aspect="auto")
    for (task, layer), value in np.ndenumerate(maker):
        left.text(
            task, layer, str(value), ha="center", va="center_baseline", fontsize="small",
            color=figures.on(mesh.cmap(mesh.norm(value))),
            weight="bold" if value == task else "normal",
        )  # fmt: skip
    left.set(
        title="task that made the layer (bold: its own)", xlabel="task",
        xticks=range(tasks), yticks=range(layers),
        yticklabels=[f"layer {k + 1}" for k in range(layers)],
    )  # fmt: skip
    rows: list[tuple[object, ...]] = []
    counts = np.arange(1, tasks + 1)
    every = np.array([[one.networks(int(k)) for k in counts] for one in evolved])
    for seed, share in enumerate(every):
        right.plot(counts, share, color=figures.COLOURS[0], alpha=0.35, linewidth=1)
        rows += [
            (seed, int(k) - 1, *evolved[seed].maker[k - 1], s)
            for k, s in zip(counts, share, strict=True)
        ]
    right.plot(
        counts, every.mean(0), color=figures.COLOURS[0], linewidth=2.4, label="muNet"
    )
    right.axhline(1, color=figures.INK, linestyle="--", linewidth=1, label="independent")
    right.set(xlabel="tasks learnt", ylabel="networks a task", ylim=(0, 1.08))
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.legend(frameon=False, loc="lower left")
    names = (
        "seed",
        "task",
        *(f"maker of layer {k + 1}" for k in range(layers)),
        "networks",
    )
    figures.save(
        figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def draw_work(work: Mapping[str, Mapping[str, NDArray[np.float64]]], path: Path) -> None:
    """Samples, processor time and energy after each task, mean over seeds."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, 3)
    rows: list[tuple[object, ...]] = []
    for k, (label, mine) in enumerate(work.items()):
        values = (
            mine["shown"].mean(0), mine["seconds"].mean(0), 1e6 * mine["energy"].mean(0),
        )  # fmt: skip
        tasks = np.arange(1, len(values[0]) + 1)
        for ax, mean in zip(axes, values, strict=True):
            ax.plot(
                tasks, mean, color=figures.COLOURS[k], marker=figures.MARKERS[k],
                markersize=4, label=label,
            )  # fmt: skip
        rows += [(label, int(t), *v) for t, *v in zip(tasks, *values, strict=True)]
    for ax, name in zip(
        axes,
        ("samples trained on for a task", "CPU s to learn a task", "µJ of an inference"),
        strict=True,
    ):
        ax.set(xlabel="task", ylabel=name)
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False
    )
    names = ("strategy", "task", "samples", "CPU s", "uJ")
    figures.save(
        figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)), ENDINGS
    )
