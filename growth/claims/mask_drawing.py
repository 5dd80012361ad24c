"""Figures of the section on supermasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from growth import figures
from growth.claims.overlaps import count_t_test
from growth.metrics import confusion_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from growth.claims.base import Ran
    from growth.claims.masks import PrintedStream
    from growth.claims.overlaps import Overlaps

__all__ = ["draw_bars", "draw_confusion", "draw_counts", "draw_masks", "draw_overlap"]

ENDINGS = ("csv", "png")


def draw_overlap(overlaps: Mapping[str, Mapping[str, list[Overlaps]]], path: Path) -> None:
    """Jaccard index of every two masks of the second layer, first seed: maps, and in space."""
    figure = Figure(figsize=(11, 9.6), layout="constrained")
    streams = list(overlaps)
    rows: list[tuple[object, ...]] = []
    starts = [
        label
        for label in ("fresh", "similar")
        if all(label in one for one in overlaps.values())
    ]
    for row, start in enumerate(starts):
        for column, stream in enumerate(streams):
            one = overlaps[stream][start][0]
            jaccard = one.jaccard[:, :, 1]
            ax = figure.add_subplot(
                len(starts) + 1, len(streams), row * len(streams) + column + 1
            )
            mesh = ax.imshow(jaccard, cmap="viridis", vmin=0, vmax=1)
            for (i, j), value in np.ndenumerate(jaccard):
                if np.isfinite(value):
                    ax.text(
                        j, i, f"{100 * value:.0f}", ha="center", va="center_baseline", fontsize=6,
                        color=figures.on(mpl.colormaps["viridis"](value)),
                    )  # fmt: skip
                    if j > i:
                        rows.append((stream, start, i, j, value, one.chance[i, j, 1]))
            ax.set(title=f"{stream}, {start}", xlabel="task", ylabel="task")
            ax.set(xticks=range(len(jaccard)), yticks=range(len(jaccard)))
    figure.colorbar(
        mesh, ax=figure.axes, shrink=0.5, label="Jaccard index of two masks, layer 2",
        format=PercentFormatter(1),
    )  # fmt: skip
    for column, stream in enumerate(streams):
        place = len(starts) * len(streams) + column + 1
        space: Any = figure.add_subplot(
            len(starts) + 1, len(streams), place, projection="3d"
        )
        for start, colour in zip(starts, figures.COLOURS, strict=False):
            one = overlaps[stream][start][0]
            i, j = one.pairs
            space.scatter(i, j, 100 * one.jaccard[i, j, 1], color=colour, s=9, label=start)
        space.set(xlabel="task", ylabel="task", zlabel="Jaccard index [%]", zlim=(0, 100))
        space.set_title(stream)
    space.legend(loc="upper left", fontsize="small")
    names = ("stream", "start", "task", "other", "jaccard", "chance")
    figures.save(
        figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def draw_counts(
    overlaps: Mapping[str, Mapping[str, list[Overlaps]]], layer: int, path: Path
) -> None:
    """Overlap of two masks against the t of their numbers of ones, all seeds."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    ax = figure.subplots()
    rows = []
    for stream, colour, marker in zip(
        overlaps, figures.COLOURS, figures.MARKERS, strict=False
    ):
        sizes, shared = [], []
        for seed, one in enumerate(overlaps[stream]["fresh"]):
            for i, j in zip(*one.pairs, strict=True):
                t, p = count_t_test(
                    int(one.ones[i, layer]),
                    int(one.ones[j, layer]),
                    int(one.weights[layer]),
                )
                sizes.append(abs(t))
                shared.append(one.jaccard[i, j, layer])
                rows.append((stream, seed, int(i), int(j), t, p, shared[-1]))
        ax.scatter(
            sizes, shared, s=14, color=colour, marker=marker, label=stream, alpha=0.7
        )
    ax.axvline(1.96, color=figures.HAIR, linewidth=1, linestyle="--")
    ax.annotate(
        "p = 0.05", (1.96, 1), xycoords=("data", "axes fraction"), xytext=(3, -10),
        textcoords="offset points", fontsize="small",
    )  # fmt: skip
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    ax.set(
        xlabel="|t| of the numbers of ones of two masks", ylabel="Jaccard index, layer 2"
    )
    ax.legend(frameon=False)
    names = ("stream", "seed", "task", "other", "t", "p", "jaccard")
    figures.save(
        figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def draw_bars(
    ran: Mapping[str, Ran], printed: Mapping[str, PrintedStream], path: Path
) -> None:
    """Accuracy, time and loss of classic and novel, the document's beside ours, one epoch."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    columns = ("accuracy [%]", "seconds a task", "loss")
    rows = []
    for place, stream in enumerate(ran):
        doc = printed[stream]
        for k, (name, claimed, label) in enumerate(
            (("classic", doc.classic, "fresh"), ("novel", doc.novel, "similar"))
        ):
            one = ran[stream]
            ours = (
                [100 * a for a in one.rows[label].values["accuracy"] or []],
                one.learning_seconds(label),
                [
                    float(np.mean([r["training_loss"] for r in m]))
                    for m in one.summaries[label].metrics
                ],
            )
            for ax, column, theirs, mine in zip(axes, columns, claimed, ours, strict=True):
                x = place + 0.2 * np.array([2 * k, 2 * k + 1]) - 0.3
                colour = figures.COLOURS[k]
                ax.bar(x[0], theirs, 0.18, color=colour, alpha=0.4)
                ax.bar(x[1], np.mean(mine), 0.18, color=colour)
                rows.append((stream, name, column, theirs, float(np.mean(mine))))
    for ax, column in zip(axes, columns, strict=True):
        ax.set(title=column, xticks=range(len(ran)), xticklabels=list(ran))
    axes[0].set_ylim(90, 100)
    handles = [
        mpl.patches.Patch(color=figures.COLOURS[k], alpha=alpha, label=f"{name}, {who}")
        for k, name in enumerate(("classic", "novel"))
        for who, alpha in (("document", 0.4), ("ours", 1.0))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    names = ("stream", "method", "quantity", "document", "ours")
    figures.save(
        figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def draw_confusion(ran: Ran, path: Path) -> None:
    """Confusion matrix of each task at the end, two epochs, all seeds together."""
    label = "fresh-two-epochs"
    seeds = [rows[-1]["confusions"] for rows in ran.summaries[label].metrics]
    labels = 1 + max(max(e[:2]) for tasks in seeds for task in tasks for e in task)
    total = [
        confusion_of([entry for task in same for entry in task], labels)
        for same in zip(*seeds, strict=True)
    ]
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(2, -(-len(total) // 2)).ravel()
    rows = []
    for task, (ax, counts) in enumerate(zip(axes, total, strict=False)):
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        # Nearly all lies on the diagonal: the colours show the mistakes.
        mesh = ax.imshow(
            np.where(np.eye(len(share)) > 0, np.nan, share), cmap="magma_r", vmin=0
        )
        mesh.set_clim(0, 0.05)
        ax.set(title=f"task {task}", xticks=range(len(share)), yticks=range(len(share)))
        ax.tick_params(labelsize=6, length=0)
        for k in np.flatnonzero(counts.sum(1)).tolist():
            right = f"{100 * share[k, k]:.0f}"
            ax.text(k, k, right, ha="center", va="center_baseline", fontsize=5)
        rows += [
            (task, int(i), int(j), int(counts[i, j])) for i, j in np.ndindex(counts.shape)
        ]
    figure.colorbar(
        mesh, ax=axes.tolist(), shrink=0.7, extend="max", format=PercentFormatter(1, decimals=0),
        label="taken for another label; on the diagonal: right [%]",
    )  # fmt: skip
    figure.supxlabel("predicted")
    figure.supylabel("label")
    names = ("task", "label", "predicted", "samples")
    figures.save(
        figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)), ENDINGS
    )


def draw_masks(ran: Ran, layer: int, path: Path) -> None:
    """Masks of the first two tasks and what they share, fresh and similar, first seed."""
    labels = [label for label in ("fresh", "similar") if label in ran.runs]
    figure = Figure(figsize=(9.6, 3.4 * len(labels)), layout="constrained")
    axes = figure.subplots(len(labels), 3, squeeze=False)
    rows = []
    for line, label in zip(axes, labels, strict=True):
        state = torch.load(
            ran.runs[label].seeds[0].path / "checkpoint.pt", weights_only=True
        )
        masks = list(state["strategy"]["masks"].values())[:2]
        one, other = (mask[f"w{layer}"].numpy() for mask in masks)
        crop = np.s_[:100, :100]
        for ax, mask, name in zip(line, (one, other), ("task 0", "task 1"), strict=False):
            ax.imshow(mask[crop], cmap="Greys", interpolation="nearest")
            ax.set_title(
                f"{label}: mask of {name}, {mask.mean():.1%} kept", fontsize="medium"
            )
        both, either = (one & other), (one | other)
        shown = np.where(both, 2, np.where(either, 1, 0))
        colours = ListedColormap(["white", "#D55E00", "#0072B2"])
        line[2].imshow(shown[crop], cmap=colours, vmin=0, vmax=2, interpolation="nearest")
        title = f"blue: both, {both.sum() / either.sum():.1%} of all; orange: one only"
        line[2].set_title(title, fontsize="medium")
        rows.append((label, int(one.sum()), int(other.sum()), int(both.sum())))
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
    figure.supxlabel("first 100 sources of layer 2")
    figure.supylabel("first 100 neurons")
    names = ("start", "ones of task 0", "ones of task 1", "in both")
    figures.save(
        figure, path, dict(zip(names, zip(*rows, strict=True), strict=True)), ENDINGS
    )
