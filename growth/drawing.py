"""Figures of run folders, each beside the numbers that it was drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from growth import figures
from growth.bridge import COMPONENTS, load_program, load_routing
from growth.report import reprice_one, summarise, technology_of
from growth.statistics import estimate
from mosaic_sim import plots

if TYPE_CHECKING:
    from growth.bridge import CostReport
    from growth.report import Summary
    from growth.runs import RunFolder

__all__ = ["draw_comparison", "draw_run"]


def draw_run(run: RunFolder) -> list[Path]:
    """Draw everything about one run into its folder ``figures``.

    Maps, energies and growth are of the first seed; the accuracy matrix is the mean over
    seeds.

    Returns
    -------
    list of Path
        The drawings (``.svg``); each has a ``.png`` and a ``.csv`` beside it.
    """
    summary = summarise(run)
    folder = run.path / "figures"
    folder.mkdir(exist_ok=True)
    if not summary.measured:
        return []
    if not summary.priced:
        return [_accuracy_matrix(summary, folder)]
    drawn = [_placement_map(run, summary, folder), _accuracy_matrix(summary, folder)]
    drawn.append(_energy_by_component({str(summary.strategy): run}, folder))
    drawn.append(_energy_by_tile(run, summary, folder))
    if len(summary.metrics[0]) > 1:
        drawn.append(_growth_over_time(summary, folder))
    return drawn


def draw_comparison(runs: Sequence[RunFolder], folder: Path) -> list[Path]:
    """Draw several runs side by side: energy by component, accuracy over tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = [run for run in runs if summarise(run).measured]
    if not runs:
        return []
    priced = all(summarise(run).priced for run in runs)
    by_name: dict[str, RunFolder] = {run.experiment.strategy: run for run in runs}
    if len(by_name) < len(runs):
        by_name = {run.path.name: run for run in runs}
    drawn = [
        _accuracy_over_tasks(
            {name: summarise(run) for name, run in by_name.items()}, folder
        )
    ]
    if priced:
        drawn.append(_energy_by_component(by_name, folder))
    return drawn


def _placement_map(run: RunFolder, summary: Summary, folder: Path) -> Path:
    last = summary.metrics[0][-1]
    seed = run.seeds[0].path
    program = load_program(seed / f"program-{last['task']}.npz")
    routing = load_routing(seed / f"routing-{last['task']}.npz")
    experts = max(last["owner"]) + 1
    names = [f"expert {e}" for e in range(experts)] if experts > 1 else ["network"]
    figure = Figure(figsize=(8.2, 7.4), layout="constrained")
    ax = plots.placement_map(
        program, routing, ax=figure.subplots(), owner=last["owner"], owner_names=names
    )
    ax.set_title(f"{summary.name}: the chip after the last task")
    table: dict[str, Sequence[object]] = {
        "neuron": range(program.tile.size),
        "expert": last["owner"],
        "tile": program.tile.tolist(),
        "slot": program.slot.tolist(),
    }
    return _save(figure, folder / "placement-map", table)


def _accuracy_matrix(summary: Summary, folder: Path) -> Path:
    matrix = summary.mean_matrix
    figure = Figure(figsize=(5.4, 4.6 if len(matrix) > 1 else 2.4), layout="constrained")
    figures.accuracy_matrix(
        matrix, ax=figure.subplots(), title=f"{summary.name}: mean over seeds"
    )
    learnt, tasks = np.indices(matrix.shape)
    table: dict[str, Sequence[object]] = {
        "learnt": learnt.ravel().tolist(),
        "task": tasks.ravel().tolist(),
        "accuracy": matrix.ravel().tolist(),
    }
    return _save(figure, folder / "accuracy-matrix", table)


def _energy_by_component(runs: dict[str, RunFolder], folder: Path) -> Path:
    reports = {name: _last_report(run) for name, run in runs.items()}
    figure = Figure(figsize=(6.4, 1.6 + 0.7 * len(runs)), layout="constrained")
    plots.energy_by_component(reports, ax=figure.subplots())
    figure.suptitle("Energy per inference after the last task, first seed")
    table: dict[str, Sequence[object]] = {"learner": list(reports)}
    for component in COMPONENTS:
        table[f"{component} [J]"] = [
            report.by_component()[component] / report.samples for report in reports.values()
        ]
    return _save(figure, folder / "energy-by-component", table)


def _energy_by_tile(run: RunFolder, summary: Summary, folder: Path) -> Path:
    report = _last_report(run)
    last = summary.metrics[0][-1]["task"]
    program = load_program(run.seeds[0].path / f"program-{last}.npz")
    figure = Figure(figsize=(6.2, 5.2), layout="constrained")
    ax = plots.energy_by_tile(report, program, ax=figure.subplots())
    ax.set_title(f"{summary.name}: where the energy goes")
    energy = report.by_tile() / report.samples
    row, column = np.divmod(np.arange(energy.size), program.geometry.shape[1])
    table = {
        "row": row.tolist(), "column": column.tolist(), "energy per inference [J]": energy.tolist(),
    }  # fmt: skip
    return _save(figure, folder / "energy-by-tile", table)


def _growth_over_time(summary: Summary, folder: Path) -> Path:
    metrics, cost = summary.metrics[0], summary.cost[0]
    neurons = [row["neurons"] for row in metrics]
    tiles = [row["tiles"] for row in metrics]
    writes = [row["writes"] for row in cost]
    seen: Counter[tuple[int, str]] = Counter(
        (d["task"], d["action"])
        for d in summary.growth[0]
        if d["action"] != "none" and (d["action"] != "widen" or d["neurons"])
    )
    figure = Figure(figsize=(6.8, 4.8), layout="constrained")
    figures.growth_over_time(
        neurons, tiles, ax=figure.subplots(), writes=writes, events=list(seen) or None
    )
    figure.suptitle(f"{summary.name}: first seed")
    table = {
        "task": [row["task"] for row in metrics],
        "neurons": neurons, "tiles": tiles, "writes": writes,
    }  # fmt: skip
    return _save(figure, folder / "growth-over-time", table)


def _accuracy_over_tasks(summaries: dict[str, Summary], folder: Path) -> Path:
    """Mean accuracy over the classes seen so far; a learner of all at once is one level."""
    curves = {}
    table: dict[str, list[object]] = {
        k: [] for k in ("learner", "task", "mean", "low", "high")
    }
    tasks = max(s.mean_matrix.shape[1] for s in summaries.values())
    for name, summary in summaries.items():
        rows = min(len(m) for m in summary.metrics)
        points = []
        for learnt in range(rows):
            seen = tasks if rows == 1 else learnt + 1
            values = [
                summary.matrix(k)[learnt, :seen].mean() for k in range(len(summary.metrics))
            ]
            points.append(_interval(values))
        if rows == 1:
            points = points * tasks
        mean, low, high = (np.array(column, float) for column in zip(*points, strict=True))
        curves[name] = (mean, low, high)
        for task, point in enumerate(points):
            for key, value in zip(table, (name, task, *point), strict=True):
                table[key].append(value)
    figure = Figure(figsize=(6.6, 4.0), layout="constrained")
    ax = figures.accuracy_over_tasks(curves, ax=figure.subplots())
    ax.set_title("Accuracy on the tasks seen so far")
    return _save(figure, folder / "accuracy-over-tasks", table)


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval, NaN where one seed gives none."""
    found = estimate(values)
    nan = float("nan")
    return (
        found.mean,
        nan if found.low is None else found.low,
        nan if found.high is None else found.high,
    )


def _last_report(run: RunFolder) -> CostReport:
    """Bill of the first seed after its last task."""
    task = run.seeds[0].lines("cost")[-1]["task"]
    return reprice_one(run.seeds[0], task, technology_of(run))


def _save(figure: Figure, path: Path, table: Mapping[str, Sequence[object]]) -> Path:
    figures.save(figure, path, table)
    return path.with_suffix(".svg")
