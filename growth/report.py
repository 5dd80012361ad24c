"""What run folders say, as numbers and as tables; nothing here looks at anything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.bridge import COMPONENTS, load_program, make_technology, price
from growth.metrics import average_accuracy, check_bound, forgetting
from growth.statistics import Estimate, estimate
from growth.tables import assumption_table, table_of
from mosaic_sim.errors import MosaicError
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.table import Table

    from growth.bridge import CostReport, Technology
    from growth.runs import RunFolder, SeedFolder

__all__ = [
    "Summary",
    "accuracy_table",
    "assumption_table",
    "comparison_table",
    "decision_table",
    "endings",
    "expert_table",
    "life_table",
    "prefixed",
    "reprice",
    "reprice_one",
    "reprice_table",
    "summarise",
]


@dataclass(frozen=True, eq=False)
class Summary:
    """The results of one run over its seeds.

    Parameters
    ----------
    name, strategy : str
    seeds : list of str
    metrics, cost, growth : list of list of dict
        Records of each seed; metrics and cost one for each task that was deployed.
    ended : list of (str or None)
        Why a seed ended before the stream did.
    """

    name: str
    strategy: str
    seeds: list[str]
    metrics: list[list[dict[str, Any]]]
    cost: list[list[dict[str, Any]]]
    growth: list[list[dict[str, Any]]]
    ended: list[str | None]

    @property
    def measured(self) -> bool:
        """Whether every seed has something to report."""
        return all(self.metrics)

    @property
    def priced(self) -> bool:
        """Whether a chip was billed for every seed: none takes a network that does not spike."""
        return all(self.cost)

    def matrix(self, seed: int) -> NDArray[np.float64]:
        """Accuracy matrix of the seed in this place, (learnt, tasks)."""
        return np.array([row["accuracy"] for row in self.metrics[seed]])

    @cached_property
    def mean_matrix(self) -> NDArray[np.float64]:
        """Mean accuracy matrix over the seeds that learnt as many tasks as the first."""
        matrices = [self.matrix(k) for k in range(len(self.metrics))]
        alike = [m for m in matrices if m.shape == matrices[0].shape]
        mean: NDArray[np.float64] = np.mean(alike, axis=0)
        return mean

    @property
    def accuracies(self) -> list[float]:
        """Average accuracy at the end, of each seed."""
        return [average_accuracy(self.matrix(k)) for k in range(len(self.metrics))]

    @property
    def accuracy(self) -> Estimate:
        """Average accuracy at the end."""
        return estimate(self.accuracies)

    @property
    def forgettings(self) -> list[float] | None:
        """Forgetting at the end, of each seed; None where it is undefined."""
        lost = [forgetting(self.matrix(k)) for k in range(len(self.metrics))]
        known = [value for value in lost if value is not None]
        return known if len(known) == len(lost) else None

    @property
    def forgetting(self) -> Estimate | None:
        """Forgetting at the end; None where it is undefined."""
        lost = self.forgettings
        return None if lost is None else estimate(lost)

    def last(self, record: str, key: str) -> Estimate:
        """Estimate of a number in the last record of each seed."""
        return estimate([rows[-1][key] for rows in getattr(self, record)])

    def component(self, name: str) -> Estimate:
        """Energy per inference of a component at the end [J]."""
        return estimate([rows[-1]["by_component"][name] for rows in self.cost])

    @property
    def devices(self) -> Estimate:
        """Devices that hold something at the end."""
        return estimate([sum(rows[-1]["devices"].values()) for rows in self.cost])

    @property
    def life_writes(self) -> Estimate:
        """Device writes over the whole life."""
        return estimate([sum(row["writes"] for row in rows) for rows in self.cost])


def summarise(run: RunFolder) -> Summary:
    """Read a finished run folder.

    Raises
    ------
    MosaicError
        If its records contradict each other.
    """
    metrics, cost, growth, ended = [], [], [], []
    for seed in run.seeds:
        rows = seed.lines("metrics")
        ended.append(next((row["ended"] for row in rows if "ended" in row), None))
        metrics.append([row for row in rows if "accuracy" in row])
        cost.append(seed.lines("cost"))
        growth.append(seed.lines("growth"))
        if metrics[-1]:
            check_bound([row["accuracy"] for row in metrics[-1]])
    return Summary(
        run.experiment.name,
        run.experiment.strategy,
        [s.path.name for s in run.seeds],
        metrics,
        cost,
        growth,
        ended,
    )


def prefixed(value: Estimate, unit: str = "J") -> str:
    """A quantity with its interval, both with the prefix of the mean."""
    mean = engineering(value.mean, unit)
    if value.high is None or not value.mean:
        return mean
    number, unit = mean.split()
    decimals = len(number.partition(".")[2])
    half = (value.high - value.mean) * float(number) / value.mean
    return f"{number} ± {half:.{decimals}f} {unit}"


def comparison_table(summaries: Sequence[Summary]) -> Table:
    """One column a run: accuracy, forgetting, size, energy, devices and writes."""
    counts = sorted({len(s.metrics) for s in summaries})
    table = table_of(
        "One seed: no interval"
        if counts == [1]
        else f"Mean ± half of the 95 % interval, {'/'.join(map(str, counts))} seeds"
    )
    table.add_column("on the chip, at the end")
    for summary in summaries:
        table.add_column(summary.strategy, justify="right")

    def row(name: str, cell: Any, billed: bool = True) -> None:
        def text(s: Summary) -> str:
            if not s.measured:
                return "did not fit"
            return str(cell(s)) if s.priced or not billed else "no chip"

        table.add_row(name, *map(text, summaries))

    def percent(value: Estimate | None) -> str:
        return "undefined" if value is None else value.text(100)

    row("average accuracy [%]", lambda s: percent(s.accuracy), billed=False)
    row("forgetting \\[points]", lambda s: percent(s.forgetting), billed=False)
    row("neurons", lambda s: s.last("metrics", "neurons").text(digits=0), billed=False)
    row("tiles", lambda s: s.last("metrics", "tiles").text(digits=0))
    row("energy per inference", lambda s: prefixed(s.last("cost", "energy_per_inference")))
    for name in COMPONENTS:
        row(f"  {name}", lambda s, name=name: prefixed(s.component(name)))
    row("hops per inference", lambda s: s.last("cost", "hops_per_inference").text(digits=0))
    row("devices in use", lambda s: s.devices.text(digits=0))
    row("device writes, whole life", lambda s: s.life_writes.text(digits=0))
    return table


def endings(summaries: Sequence[Summary]) -> list[str]:
    """Say which seeds ended before their stream did, and why."""
    return [
        f"{summary.name}, {seed}: {reason}"
        for summary in summaries
        for seed, reason in zip(summary.seeds, summary.ended, strict=True)
        if reason
    ]


def accuracy_table(summary: Summary) -> Table:
    """The accuracy matrix, mean over seeds."""
    table = table_of("Accuracy [%] on each task, after each task")
    table.add_column("after task")
    matrix = summary.mean_matrix
    for task in range(matrix.shape[1]):
        table.add_column(str(task), justify="right")
    table.add_column("mean", justify="right")
    alone = len(matrix) == 1 < matrix.shape[1]
    for learnt, row in enumerate(matrix):
        name = "all at once" if alone else str(learnt)
        table.add_row(name, *(f"{100 * a:.1f}" for a in row), f"{100 * row.mean():.1f}")
    return table


def life_table(summary: Summary) -> Table:
    """Size, energy and writes after each task, mean over seeds."""
    table = table_of("After each task, mean over seeds; energies per inference")
    table.padding = (0, 1, 0, 0)  # twelve columns have to fit beside each other
    sizes, counts = ("task", "neurons", "tiles"), ("hops", "devices", "writes")
    for name in (*sizes, "energy", *COMPONENTS, *counts):
        table.add_column(name, justify="right")
    tasks = min(len(rows) for rows in summary.cost)
    for t in range(tasks):
        cost = [rows[t] for rows in summary.cost]
        metrics = [rows[t] for rows in summary.metrics]

        def mean(values: Sequence[float]) -> float:
            return float(np.mean(values))

        table.add_row(
            str(metrics[0]["task"]),
            f"{mean([m['neurons'] for m in metrics]):.0f}",
            f"{mean([m['tiles'] for m in metrics]):.0f}",
            engineering(mean([c["energy_per_inference"] for c in cost]), "J"),
            *(
                engineering(mean([c["by_component"][n] for c in cost]), "J")
                for n in COMPONENTS
            ),
            f"{mean([c['hops_per_inference'] for c in cost]):.0f}",
            f"{mean([sum(c['devices'].values()) for c in cost]):.0f}",
            f"{mean([c['writes'] for c in cost]):.0f}",
        )
    return table


def expert_table(summary: Summary) -> Table:
    """What each expert of the first seed causes per inference at the end, and what else does."""
    table = table_of("Energy of one inference, first seed")
    table.add_column("caused by spikes of")
    for name in ("energy", "share"):
        table.add_column(name, justify="right")
    bill = summary.cost[0][-1]
    for name, energy in bill["by_expert"].items():
        share = energy / bill["energy_per_inference"]
        table.add_row(name, engineering(energy, "J"), f"{share:.1%}")
    return table


def decision_table(summary: Summary, seed: int = 0) -> Table | None:
    """What the gate of one seed decided, and on what evidence; None without a gate."""
    if not summary.growth[seed]:
        return None
    table = table_of("Decisions of the first seed")
    what, where = ("task", "action"), ("expert", "neurons", "tile")
    evidence = ("need_z", "novelty", "loss", "benefit", "price")
    for name in (*what, *where, *evidence):
        table.add_column(name.replace("_", " "), justify="right")

    def number(value: Any) -> str:
        return "" if value is None else f"{value:.3g}"

    for decision in summary.growth[seed]:
        found = decision["evidence"]
        table.add_row(
            str(decision["task"]), decision["action"],
            *("" if decision[k] is None else str(decision[k]) for k in where),
            *(number(found.get(k)) for k in evidence),
        )  # fmt: skip
    return table


def reprice(run: RunFolder, technology: Technology) -> dict[str, list[CostReport]]:
    """Price every stored run of every seed again, without simulating.

    Returns
    -------
    dict of list of CostReport
        By seed folder, one report for each task.

    Raises
    ------
    MosaicError
        If a stored program or its spike totals are missing or damaged.
    """
    return {
        seed.path.name: [
            reprice_one(seed, row["task"], technology) for row in seed.lines("cost")
        ]
        for seed in run.seeds
    }


def reprice_one(seed: SeedFolder, task: int, technology: Technology) -> CostReport:
    """Price the stored run of one seed after one task."""
    program = load_program(seed.path / f"program-{task}.npz")
    path = seed.path / f"run-{task}.npz"
    try:
        with path.open("rb") as whole, np.load(whole, allow_pickle=False) as file:
            spikes, samples, steps = (
                file["spikes"],
                int(file["samples"]),
                int(file["steps"]),
            )
    except Exception as error:  # numpy, zipfile and zlib each have their own for damage
        raise MosaicError(f"{str(path)!r} is not a readable run: {error}") from None
    return price(program, spikes, technology, samples=samples, steps=steps)


def reprice_table(
    summary: Summary,
    before: str,
    again: dict[str, list[CostReport]],
    technology: Technology,
) -> Table:
    """Energy per inference under both technologies, mean over seeds."""
    table = table_of(f"{summary.name}: energy per inference after the last task")
    table.add_column("component")
    table.add_column(before, justify="right")
    table.add_column(technology.name, justify="right")
    last = [reports[-1] for reports in again.values()]
    for name in COMPONENTS:
        new = estimate([report.by_component()[name] / report.samples for report in last])
        table.add_row(name, prefixed(summary.component(name)), prefixed(new))
    total = estimate([report.energy_per_inference for report in last])
    table.add_row(
        "total", prefixed(summary.last("cost", "energy_per_inference")), prefixed(total)
    )
    return table


def technology_of(run: RunFolder) -> Technology:
    """Return the technology that a run was priced with, from the copy in its folder."""
    copies = list((run.path / "technology").glob("*.toml"))
    return make_technology(str(copies[0]) if copies else run.experiment.technology)
