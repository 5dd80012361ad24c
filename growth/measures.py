"""Every measure of a finished run: what was learnt, what it took, and what has no value and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.learner import make_stream
from growth.metrics import (
    confusion_of,
    measures,
    minimum_accuracy,
    report,
    stability_gap,
    worst_case_accuracy,
)
from growth.metrics.curves import learning_curve_area
from growth.report import Summary, prefixed, summarise
from growth.statistics import estimate
from growth.tables import table_of
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.table import Table

    from growth.runs import RunFolder
    from growth.statistics import Estimate

__all__ = ["Found", "all_measures", "class_table", "measure_table"]

FIRST_BATCHES = 10
"""Batches of each task over which the area under the learning curve is taken (A-GEM's b)."""


@dataclass(frozen=True)
class Found:
    """One measure of a run.

    Parameters
    ----------
    group, name : str
    values : list of float
        One for each seed; empty if it is undefined.
    reason : str
        Why it is undefined.
    unit : str
        ``%``, ``points``, a unit that takes a prefix, or nothing.
    """

    group: str
    name: str
    values: list[float]
    reason: str = ""
    unit: str = ""

    def text(self) -> str:
        """Mean ± half of the 95 % interval, in the unit; or the reason."""
        if not self.values:
            return self.reason
        found = estimate(self.values)
        if self.unit in ("%", "points"):
            return f"{found.text(100)} {self.unit}"
        if self.unit:
            return _count(found) if self.unit == "#" else prefixed(found, self.unit)
        return found.text(digits=3)


def _count(found: Estimate) -> str:
    """A count with its interval; large ones to three digits of the mean."""
    if not found.mean:
        return found.text(digits=0)
    places = max(int(np.floor(np.log10(abs(found.mean)))) - 2, 0)

    def whole(value: float) -> str:
        return f"{round(value / 10**places) * 10**places:,}"

    half = "" if found.high is None else f" ± {whole(found.high - found.mean)}"
    return whole(found.mean) + half


def all_measures(run: RunFolder, joint: RunFolder | None = None) -> list[Found]:
    """Take every measure of a finished run.

    Parameters
    ----------
    run : RunFolder
    joint : RunFolder, optional
        Of joint training on the same stream and seeds, for intransigence.

    Raises
    ------
    MosaicError
        If a seed has no result, or `joint` has other seeds.
    """
    summary = summarise(run)
    if not summary.measured:
        raise MosaicError(
            f"{str(run.path)!r} has a seed without a result; nothing to measure."
        )
    bound = None if joint is None else _bound(summary, joint)
    scenario = make_stream(run.experiment, run.experiment.seeds[0]).scenario
    found = [
        *_of_matrix(summary, scenario, bound),
        *_of_curve(summary),
        *_of_identity(summary),
        *_of_masks(summary),
        *_of_work(summary),
        *_of_memory(summary),
        *_of_bill(summary),
    ]
    return found


def _bound(summary: Summary, joint: RunFolder) -> list[NDArray[np.float64]]:
    other = summarise(joint)
    if other.seeds != summary.seeds:
        raise MosaicError(
            f"{str(joint.path)!r} has {', '.join(other.seeds)}; it needs "
            f"{', '.join(summary.seeds)}, like the run that it is compared with."
        )
    return [other.matrix(k)[-1] for k in range(len(other.seeds))]


def _of_matrix(
    summary: Summary, scenario: str, bound: list[NDArray[np.float64]] | None
) -> list[Found]:
    group = "accuracy"
    within = [np.array([row["accuracy_within_task"] for row in m]) for m in summary.metrics]
    found = [
        Found(group, "ACC, all outputs", summary.accuracies, unit="%"),
        Found(group, "ACC in task", [float(m[-1].mean()) for m in within], unit="%"),
    ]
    each = [
        measures(
            summary.matrix(k), scenario=scenario, joint=None if bound is None else bound[k],
            untrained=summary.metrics[k][0].get("untrained"),
        )
        for k in range(len(summary.metrics))
    ]  # fmt: skip
    names = [name for name in each[0] if name != "ACC"]
    for name in names:
        values = [one[name].value for one in each]
        known = [value for value in values if value is not None]
        unit = "%" if name in ("LA", "AIA") else "points"
        complete = known if len(known) == len(values) else []
        found.append(Found(group, name, complete, each[0][name].reason, unit))
    return found


def _of_curve(summary: Summary) -> list[Found]:
    group = "while learning"
    names = ("stability gap", "minimum accuracy", "worst-case accuracy", "LCA")
    if not all("curve" in row for rows in summary.metrics for row in rows):
        why = "not looked at while it learnt: set train.look"
        return [Found(group, name, [], why) for name in names]
    parts: dict[str, list[float | None]] = {name: [] for name in names}
    for rows in summary.metrics:
        curve = np.concatenate([row["curve"]["accuracy"] for row in rows])
        task = np.repeat(
            [row["task"] for row in rows], [len(row["curve"]["accuracy"]) for row in rows]
        )
        parts["stability gap"].append(stability_gap(curve, task))
        parts["minimum accuracy"].append(minimum_accuracy(curve, task))
        parts["worst-case accuracy"].append(worst_case_accuracy(curve, task))
        parts["LCA"].append(_first_batches(rows))
    every = summary.metrics[0][0]["curve"]["every"]
    reasons = {"LCA": f"looked at every {every} updates: it needs train.look = 1"}
    found = []
    for name, values in parts.items():
        known = [value for value in values if value is not None]
        complete = known if len(known) == len(values) else []
        why = reasons.get(name, "there is no earlier task")
        unit = "points" if name == "stability gap" else "%"
        found.append(Found(group, name, complete, why, unit))
    return found


def _first_batches(rows: Sequence[dict[str, Any]]) -> float | None:
    """Area under the learning curve over the first batches, if each was looked at."""
    curves = [[look[row["task"]] for look in row["curve"]["accuracy"]] for row in rows]
    least = min(len(curve) for curve in curves) - 1
    if rows[0]["curve"]["every"] != 1 or least < 1:
        return None
    first = min(FIRST_BATCHES, least)
    return learning_curve_area([curve[: first + 1] for curve in curves], first)


def _of_identity(summary: Summary) -> list[Found]:
    group, last = "whose input is it", [rows[-1] for rows in summary.metrics]
    found = []
    for name, key in (
        ("task taken for the right one", "identity_hits"),
        ("expert that is the right one", "gate_hits"),
        ("adjusted Rand index", "adjusted_rand"),
    ):
        if all(key in row for row in last):
            unit = "" if key == "adjusted_rand" else "%"
            found.append(Found(group, name, [row[key] for row in last], unit=unit))
    return found


def _of_masks(summary: Summary) -> list[Found]:
    """Overlap of the masks of any two tasks, mean over pairs and layers."""
    each: dict[str, list[float]] = {}
    for decisions in summary.growth:
        pairs = [
            pair
            for decision in decisions
            if decision["action"] == "mask"
            for pair in decision["evidence"].get("overlap", {}).values()
        ]
        layers = [layer for pair in pairs for layer in pair["layers"].values()]
        for name, key in (("J", "jaccard"), ("J0, of chance", "chance"), ("z", "z")):
            values = [layer[key] for layer in layers if layer[key] is not None]
            if values:
                each.setdefault(name, []).append(float(np.mean(values)))
        if pairs:
            flips = float(np.mean([pair["flips"] for pair in pairs]))
            each.setdefault("flips of a switch", []).append(flips)
    seeds = len(summary.growth)
    return [
        Found("masks", name, values, unit="#" if "flips" in name else "")
        for name, values in each.items()
        if len(values) == seeds
    ]


def _of_work(summary: Summary) -> list[Found]:
    group, last = "NeuroBench", [rows[-1] for rows in summary.metrics]
    names = ("Footprint", "Connection Sparsity", "Activation Sparsity")
    if not all("neurobench" in row for row in last):
        why = "the network does not spike, or was run before this was recorded"
        return [Found(group, name, [], why) for name in names]
    held = [(row["bits"] + sum(row["stored"].values())) / 8 for row in last]
    work = [row["neurobench"] for row in last]
    return [
        Found(group, names[0], held, unit="B"),
        Found(group, names[1], [w["connection_sparsity"] for w in work]),
        Found(group, names[2], [w["activation_sparsity"] for w in work]),
        *(
            Found(
                group, f"Synaptic Operations, {kind}",
                [w["synaptic_operations"][kind] for w in work], unit="#",
            )
            for kind in ("Dense", "Effective_ACs", "Effective_MACs")
        ),
    ]  # fmt: skip


def _of_memory(summary: Summary) -> list[Found]:
    last = [rows[-1] for rows in summary.metrics]
    found = [Found("memory", "network, in RRAM", [row["bits"] for row in last], unit="bit")]
    for place, name in (
        ("device", "beside it, in RRAM"), ("sram", "in SRAM on the chip"), ("host", "in the host"),
    ):  # fmt: skip
        values = [row["stored"][place] for row in last]
        found.append(Found("memory", name, values, unit="bit"))
    return found


def _of_bill(summary: Summary) -> list[Found]:
    group, costs = "price", summary.cost
    if not all(costs):
        return [Found(group, "energy", [], "no chip takes a network that does not spike")]

    def last(of: Callable[[dict[str, Any]], float]) -> list[float]:
        return [float(of(rows[-1])) for rows in costs]

    def mean(key: str) -> list[float]:
        return [float(np.mean([row[key] for row in rows])) for rows in costs]

    return [
        Found(group, "energy of an inference", last(lambda r: r["energy_per_inference"]),
              unit="J"),
        Found(group, "of it in routing", last(lambda r: r["by_component"]["routing"]),
              unit="J"),
        Found(group, "energy of a learnt task, written once", mean("write_energy"), unit="J"),
        Found(group, "energy of a switch of tasks", last(lambda r: r["switch_energy"]),
              unit="J"),
        Found(group, "devices", last(lambda r: sum(r["devices"].values())), unit="#"),
        Found(group, "devices written for a task", mean("writes"), unit="#"),
        Found(group, "tasks until the mean device is worn out", _lives(costs),
              "nothing is written", "#"),
    ]  # fmt: skip


def _lives(costs: Sequence[Sequence[dict[str, Any]]]) -> list[float]:
    wear = [float(np.mean([row["wear"] for row in rows])) for rows in costs]
    return [1 / w for w in wear] if min(wear) > 0 else []


def measure_table(run: RunFolder, found: Sequence[Found]) -> Table:
    """All measures of a run, one a line."""
    seeds = len(run.experiment.seeds)
    title = f"{run.experiment.name}: mean ± half of the 95 % interval, {seeds} seeds"
    table = table_of(
        f"{run.experiment.name}: one seed, no interval" if seeds == 1 else title
    )
    table.add_column("")
    table.add_column("measure")
    table.add_column("value")
    before = ""
    for one in found:
        table.add_row("" if one.group == before else one.group, one.name, one.text())
        before = one.group
    return table


def class_table(run: RunFolder) -> Table:
    """Precision, recall and F1 of each label at the end, over all seeds together.

    Raises
    ------
    MosaicError
        If a seed has no confusion matrix.
    """
    summary = summarise(run)
    if not all(rows and "confusions" in rows[-1] for rows in summary.metrics):
        raise MosaicError(
            f"{str(run.path)!r} has a seed without a confusion matrix: nothing was measured, or "
            "before it was recorded. Run it again in another folder."
        )
    total = confusion_of(
        [
            entry
            for rows in summary.metrics for task in rows[-1]["confusions"] for entry in task
        ]
    )  # fmt: skip
    true, taken = (
        places.repeat(total.ravel()) for places in np.indices(total.shape).reshape(2, -1)
    )
    found = report(taken, true, len(total))
    table = table_of(
        "At the end, all outputs, all seeds together; under a number: taken for it"
    )
    table.padding = (0, 1, 0, 0)
    for name in ("label", "precision", "recall", "F1", "samples"):
        table.add_column(name, justify="right")
    labels = range(len(total))
    for label in labels:
        table.add_column(str(label), justify="right")

    for label in labels:
        scores = (found.precision[label], found.recall[label], found.f1[label])
        table.add_row(
            str(label), *("–" if np.isnan(x) else f"{100 * x:.1f}" for x in scores),
            str(found.support[label]),
            *(str(count) if count else "" for count in total[label]),
        )  # fmt: skip
    return table
