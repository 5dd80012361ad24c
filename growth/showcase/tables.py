"""What a showcase says: four columns of accuracy, the bill, and the noise curve."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.comparison import Grid
from growth.statistics import Estimate, estimate
from mosaic_sim.files import write_whole
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from growth.showcase.plan import ShowcasePlan
    from growth.showcase.run import Results

__all__ = ["by_variant", "curve_of", "grids", "routing_energy", "write_tables"]


def by_variant(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Results of each variant, in the order of its seeds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell, result in results:
        found.setdefault(cell.variant.label, []).append(result)
    return found


def routing_energy(result: Mapping[str, Any]) -> float:
    """Energy of routing in an inference [J]."""
    return float(result["bill"]["by_component"].get("routing", 0.0))


def curve_of(
    plan: ShowcasePlan, results: Sequence[Mapping[str, Any]]
) -> list[tuple[float, Estimate]]:
    """Accuracy over noise: at each share the mean over seeds of the mean over draws."""
    means = np.array([[np.mean(drawn) for drawn in one["noise_curve"]] for one in results])
    return [
        (noise, estimate(column))
        for noise, column in zip(plan.noise_curve, means.T, strict=True)
    ]


def grids(plan: ShowcasePlan, results: Results) -> list[Grid]:
    """Tables: accuracies, prices, and, if noise is swept, accuracy over noise."""
    found = by_variant(results)
    tables = [_accuracy_grid(plan, found), _price_grid(plan, found)]
    return [*tables, _curve_grid(plan, found)] if len(plan.noise_curve) > 1 else tables


def pooled(results: Sequence[Mapping[str, Any]]) -> float:
    """Balanced accuracy of all folds together: small folds count by their samples."""
    right, of = (np.sum([one[key] for one in results], 0) for key in ("right", "of"))
    return float(np.mean(right / of))


def _over(
    results: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float]
) -> Estimate:
    return estimate([value(one) for one in results])


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _of(seeds: int) -> str:
    return (
        "one seed" if seeds == 1 else f"mean ± half of the 95 % interval of {seeds} seeds"
    )


def _accuracy_grid(
    plan: ShowcasePlan, found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Grid:
    first = next(iter(found.values()))
    held = (
        f"held-out training samples (fold of {plan.data.folds})"
        if plan.data.folds
        else "test"
    )
    lines = []
    for label, results in found.items():
        cells = [
            label,
            _over(results, lambda one: one["balanced"]).text(100),
            _over(results, lambda one: one["float"]).text(100),
            _over(results, lambda one: one["ideal"]).text(100),
            _over(results, lambda one: one["levels"]).text(100),
        ]
        if plan.data.folds:
            cells.insert(1, f"{100 * pooled(results):.1f}")
        for name in plan.dies:
            mean = estimate([float(np.mean(one["dies"][name])) for one in results])
            worst = min(min(one["dies"][name]) for one in results)
            cells.append(f"{mean.text(100)}; worst {100 * worst:.1f}")
        lines.append(tuple(cells))
    head = (
        "trained", *(("folds pooled, balanced",) if plan.data.folds else ()),
        "torch, all, balanced", "torch", "ideal chip", f"{plan.levels} levels",
        *(f"{plan.die_count} dies: {name}" for name in plan.dies),
    )  # fmt: skip
    title = (
        f"Accuracy [%] on {held}, {_of(len(first))}; all but "
        f"the first column on {first[0]['chip_samples']} samples, labels even"
    )
    return Grid(title, head, tuple(lines))


def _price_grid(
    plan: ShowcasePlan, found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Grid:
    lines = []
    for label, results in found.items():
        bills = [one["bill"] for one in results]
        chip = results[0]["chip"]
        lines.append(
            (
                label,
                f"{chip['rows']} × {chip['columns']} × {chip['neurons_per_tile']}",
                f"{chip['tile_lines']}/{chip['r0_lines']}/{chip['r1_lines']}",
                engineering(_mean(one["devices"] for one in results), "", 3),
                f"{np.mean([one['connections'] for one in results]):,.0f}",
                f"{np.mean([one['spikes'] for one in results]):,.0f}",
                engineering(_mean(b["energy_per_inference"] for b in bills), "J", 3),
                engineering(_mean(map(routing_energy, results)), "J", 3),
                f"{np.mean([b['timing']['real_time_factor'] for b in bills]):,.0f}",
            )
        )
    head = (
        "trained", "tiles × neurons", "lines NT/R0/R1", "devices", "connections between tiles",
        "spikes", "energy", "of it routing", "times real time",
    )  # fmt: skip
    return Grid(
        f"Price of an inference under {plan.technology}, mean of seeds", head, tuple(lines)
    )


def _curve_grid(
    plan: ShowcasePlan, found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Grid:
    head = ("trained", *(f"{100 * noise:g} %" for noise in plan.noise_curve))
    lines = tuple(
        (label, *(each.text(100) for _, each in curve_of(plan, results)))
        for label, results in found.items()
    )
    title = (
        "Accuracy [%] in torch with noise on the weights, share of the layer's largest; mean of "
        f"{plan.draws} draws, ± over seeds"
    )
    return Grid(title, head, lines)


COLUMNS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "balanced": lambda one: one["balanced"],
    "accuracy": lambda one: one["accuracy"],
    "float": lambda one: one["float"],
    "ideal": lambda one: one["ideal"],
    "levels": lambda one: one["levels"],
    "energy": lambda one: one["bill"]["energy_per_inference"],
    "routing": routing_energy,
    "hops": lambda one: one["bill"]["hops_per_inference"],
    "real_time_factor": lambda one: one["bill"]["timing"]["real_time_factor"],
    "devices": lambda one: one["devices"],
    "devices_in_use": lambda one: sum(one["bill"]["devices"].values()),
    "spikes": lambda one: one["spikes"],
    "connections": lambda one: one["connections"],
    "neurons": lambda one: one["neurons"],
    "synapses": lambda one: one["synapses"],
}
"""Of ``seeds.csv``, beside the dies."""


def write_tables(plan: ShowcasePlan, results: Results, folder: Path) -> list[Path]:
    """Write ``table.md`` to read, and ``seeds.csv`` with every number; neither holds a time."""
    lines: list[str] = []
    for grid in grids(plan, results):
        lines += grid.markdown()
    flat = io.StringIO()
    writer = csv.writer(flat, lineterminator="\n")
    kinds = [f"dies, {name}, {what}" for name in plan.dies for what in ("mean", "worst")]
    writer.writerow(["variant", "seed", *COLUMNS, *kinds])
    for cell, result in results:
        dies = [
            repr(float(f(result["dies"][name])))
            for name in plan.dies
            for f in (np.mean, min)
        ]
        values = [repr(value(result)) for value in COLUMNS.values()]
        writer.writerow([cell.variant.label, cell.seed, *values, *dies])
    paths = [folder / "table.md", folder / "seeds.csv"]
    for path, text in zip(
        paths, ("\n".join(lines).rstrip() + "\n", flat.getvalue()), strict=True
    ):
        write_whole(path, text)
    return paths
