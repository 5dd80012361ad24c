"""Several strategies on one stream, one chip and one bill: the table that they stand in.

A comparison is a TOML file: an experiment, and under ``[[compare]]`` one entry for each
strategy with what differs. Every strategy has a run folder of its own, so a comparison that was
stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from rich.markup import escape

from growth.bridge import smallest_chip
from growth.config import ChipConfig, experiment_of, read_tables
from growth.experiment import run_experiments
from growth.host import Unlimited
from growth.learner import check_experiment, make_stream
from growth.report import summarise
from growth.statistics import Paired, compare_paired, estimate
from growth.strategies import STRATEGIES
from growth.tables import table_of
from mosaic_sim.errors import ConfigError, suggest
from mosaic_sim.files import write_whole
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from growth.config import Experiment
    from growth.report import Summary
    from growth.runs import RunFolder
    from growth.statistics import Estimate

__all__ = [
    "COLUMNS",
    "Column",
    "Grid",
    "Row",
    "StrategyComparison",
    "against",
    "compare",
    "grids",
    "load_comparison",
    "markdown",
    "rows_of",
    "tables",
]  # fmt: skip

EFFORT = 0.1
"""Of the search for the common chip: a tenth of the routings that `mosaic fit` may try."""


@dataclass(frozen=True)
class StrategyComparison:
    """Experiments that differ in their strategy alone.

    Parameters
    ----------
    name : str
    experiments : dict of Experiment
        By the label of their strategy.
    reference : str
        Label that the others are against against.
    fitted : bool
        Whether the chip is to be found, as the smallest for all.
    """

    name: str
    experiments: dict[str, Experiment]
    reference: str
    fitted: bool

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change with any setting of any experiment."""
        parts = json.dumps([[k, e.fingerprint()] for k, e in self.experiments.items()])
        return hashlib.sha256(parts.encode()).hexdigest()[:8]


def load_comparison(
    source: str | Path, settings: Sequence[str] = (), *, seeds: int | None = None
) -> StrategyComparison:
    """Read a comparison from a TOML file.

    An entry of ``[[compare]]`` has a `label` (its strategy by default) and any settings of an
    experiment. Strategies that must be told the task of a test sample are told it. Without a
    ``[chip]`` the smallest chip for all is used.

    Parameters
    ----------
    source : path
    settings : sequence of str
        Changes to all entries, as for `growth.config.load_experiment`.
    seeds : int, optional
        Seeds 0 to seeds - 1 instead of those of the file.

    Raises
    ------
    ConfigError
        As `load_experiment`; and if there is no entry, or two have one label.
    """
    tables, file = read_tables(source), Path(source).name
    entries = tables.pop("compare", None)
    if not isinstance(entries, list) or not entries:
        raise ConfigError(
            f"{file} has no [[compare]] entries; a comparison needs one for each strategy."
        )
    reference = tables.pop("reference", None)
    if seeds is not None:
        tables["seeds"] = list(range(seeds))
    name = tables.get("name", Path(source).stem)
    experiments: dict[str, Experiment] = {}
    for entry in entries:
        strategy = str(entry.get("strategy", tables.get("strategy")))
        label = str(entry.pop("label", strategy))
        if label in experiments:
            raise ConfigError(
                f"{file}: two entries of [[compare]] are called {label!r}; give one a label."
            )
        if strategy not in STRATEGIES:
            raise ConfigError(
                f"{file}: unknown strategy {strategy!r}.{suggest(strategy, STRATEGIES)} There are: "
                f"{', '.join(STRATEGIES)}."
            )
        merged = _merged(tables, entry) | {"name": f"{name}-{label}"}
        if STRATEGIES[strategy].needs_identity:
            merged["stream"] = {"identity": True} | merged.get("stream", {})
        experiments[label] = experiment_of(merged, settings, file)
    if reference is None:
        reference = next(iter(experiments))
    if reference not in experiments:
        raise ConfigError(
            f"{file}: reference is {reference!r}; it must be one of {', '.join(experiments)}."
        )
    fitted = "chip" not in tables and not any(s.startswith("chip.") for s in settings)
    return StrategyComparison(name, experiments, reference, fitted)


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with others laid over them."""
    merged = dict(base)
    for key, value in change.items():
        inner = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if inner else value
    return merged


def compare(
    comparison: StrategyComparison,
    root: Path | str = "runs",
    *,
    jobs: int | None = None,
    console: Console | None = None,
    finish: Callable[[RunFolder], object] | None = None,
) -> tuple[dict[str, RunFolder], Path]:
    """Run every strategy of a comparison on one chip; what is done is not run again.

    Parameters
    ----------
    comparison : StrategyComparison
    root : path
        Where run folders are made.
    jobs, console, finish
        As for `growth.experiment.run_experiments`.

    Returns
    -------
    runs : dict of RunFolder
        By label.
    folder : Path
        Where what belongs to the comparison as a whole is kept, with ``chip.toml``.

    Raises
    ------
    CapacityError
        If there is no chip for all.
    MosaicError
    """
    folder = Path(root) / f"{comparison.name}-{comparison.fingerprint}"
    folder.mkdir(parents=True, exist_ok=True)
    experiments = comparison.experiments
    for experiment in experiments.values():
        check_experiment(experiment)
    chip = None
    if comparison.fitted:
        chip = common_chip(comparison, folder / "chip.toml")
    if chip is not None:
        experiments = {
            label: one.model_copy(update={"chip": chip})
            for label, one in experiments.items()
        }
        if console is not None:
            console.print(
                f"chip    {chip.rows} x {chip.columns} tiles of {chip.neurons_per_tile} neurons, "
                f"{chip.tile_lines}/{chip.r0_lines}/{chip.r1_lines} lines a side of NT, R0, R1: "
                "the smallest found on which every network is legal",
                highlight=False, soft_wrap=True,
            )  # fmt: skip
    runs = run_experiments(
        list(experiments.values()), root, jobs=jobs, console=console, finish=finish
    )
    return dict(zip(experiments, runs, strict=True)), folder


def common_chip(comparison: StrategyComparison, path: Path) -> ChipConfig | None:
    """The smallest chip for all networks of a comparison, kept in a file; None if none spikes."""
    if path.exists():
        return ChipConfig.read(read_tables(path), "chip")
    blueprints = {}
    for label, experiment in comparison.experiments.items():
        if experiment.cell == "lif":
            seed = experiment.seeds[0]
            stream = make_stream(experiment, seed)
            strategy = STRATEGIES[experiment.strategy](
                experiment, stream, Unlimited(), seed
            )
            blueprints[label] = strategy.largest(stream)
    if not blueprints:
        return None
    found = smallest_chip(blueprints, effort=EFFORT).chip
    chip = ChipConfig(
        rows=found.rows, columns=found.columns, neurons_per_tile=found.neurons_per_tile,
        tile_lines=found.tile_lines, r0_lines=found.r0_lines, r1_lines=found.r1_lines,
    )  # fmt: skip
    write_whole(path, tomli_w.dumps(chip.model_dump(exclude_none=True)))
    return chip


# the table ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Parameters
    ----------
    key : str
        Its name in files.
    title : str
        Its name on the screen, with the unit.
    scale : float
        What values are multiplied with for the screen.
    unit : str
        For values that are written with a prefix instead.
    digits : int
    """

    key: str
    title: str
    scale: float = 1.0
    unit: str = ""
    digits: int = 1

    def text(self, value: Estimate | None) -> str:
        """Mean ± half of the 95 % interval, in the column's unit."""
        if value is None:
            return "–"
        if not self.unit:
            return value.text(self.scale, self.digits)
        return engineering(value.mean, "" if self.unit == "#" else self.unit, 3)


COLUMNS = (
    Column("accuracy", "ACC, all outputs [%]", 100),
    Column("accuracy_within_task", "ACC in task [%]", 100),
    Column("forgetting", "forgetting", 100),
    Column("shown", "samples", unit="#"),
    Column("compute_energy", "compute", unit="J"),
    Column("routing_energy", "routing", unit="J"),
    Column("devices", "devices", unit="#"),
    Column("resident_bits", "on chip", unit="bit"),
    Column("host_bits", "off chip", unit="bit"),
    Column("writes", "writes", unit="#"),
    Column("rewritten", "in place", unit="#"),
    Column("switch_energy", "switch", unit="J"),
    Column("life", "life", unit="#"),
)
"""Columns of the table. Energies are of one inference; `writes` are those of one reprogramming
after each task, `rewritten` those of learning in place, step by step; `shown` counts samples that
went forward and backward for a task, however often; `life` is the number of
tasks until the mean device is worn out at that pace."""

LEARNT = 4
"""Columns of the first part: what was learnt, and from how many samples."""


@dataclass(frozen=True)
class Row:
    """One strategy.

    Parameters
    ----------
    label : str
    identity : bool
        Whether it was told the task of test samples.
    values : dict of (list of float, or None)
        By column, one value for each seed; None where it is undefined.
    ended : str or None
        Why a seed ended before its stream, if one did.
    """

    label: str
    identity: bool
    values: dict[str, list[float] | None]
    ended: str | None = None

    def estimate(self, key: str) -> Estimate | None:
        """Mean and interval of a column."""
        values = self.values[key]
        return None if values is None else estimate(values)


def rows_of(runs: Mapping[str, RunFolder]) -> list[Row]:
    """Read finished runs as rows of the table."""
    return [_row(label, run, summarise(run)) for label, run in runs.items()]


def _row(label: str, run: RunFolder, summary: Summary) -> Row:
    ended = next((why for why in summary.ended if why), None)
    identity = STRATEGIES[run.experiment.strategy].needs_identity
    if not summary.measured:
        ended = ended or "a seed never had anything to put on the chip: see its decisions"
        return Row(label, identity, {c.key: None for c in COLUMNS}, ended)
    last = [rows[-1] for rows in summary.metrics]
    costs = summary.cost
    values: dict[str, list[float] | None] = {
        "accuracy": summary.accuracies,
        "accuracy_within_task": [_mean(row["accuracy_within_task"]) for row in last],
        "forgetting": summary.forgettings,
        "host_bits": [row["stored"]["host"] for row in last],
        "resident_bits": [
            row["bits"] + row["stored"]["device"] + row["stored"]["sram"] for row in last
        ],
        "shown": [
            _mean([row["work"]["shown"] for row in rows]) for rows in summary.metrics
        ],
        "rewritten": [
            _mean([row["work"]["rewritten"] for row in rows]) for rows in summary.metrics
        ],
    }
    priced = all(costs)
    ends = [rows[-1] for rows in costs] if priced else []
    wear = [_mean([row["wear"] for row in rows]) for rows in costs] if priced else []
    values |= {
        "compute_energy": [
            row["energy_per_inference"] - row["by_component"]["routing"] for row in ends
        ] or None,
        "routing_energy": [row["by_component"]["routing"] for row in ends] or None,
        "devices": [sum(row["devices"].values()) for row in ends] or None,
        "writes": [_mean([row["writes"] for row in rows]) for rows in costs] if priced else None,
        "switch_energy": [row["switch_energy"] for row in ends] or None,
        "life": [1 / w for w in wear] if wear and min(wear) > 0 else None,
    }  # fmt: skip
    return Row(label, identity, values, ended)


def _mean(values: Sequence[float]) -> float:
    return float(sum(values) / len(values))


def against(
    rows: Sequence[Row], reference: str, key: str = "accuracy"
) -> dict[str, Paired]:
    """Test every strategy against the reference, seed by seed, all together (Holm)."""
    values = {row.label: row.values[key] for row in rows}
    known = {label: v for label, v in values.items() if v is not None}
    if reference not in known or len(known) < 2:
        return {}
    alike = {k: v for k, v in known.items() if len(v) == len(known[reference])}
    return {one.name: one for one in compare_paired(alike, reference)}


@dataclass(frozen=True)
class Grid:
    """A table as texts, to be printed or written.

    Parameters
    ----------
    title : str
    head : tuple of str
    rows : tuple of tuple of str
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> list[str]:
        """Lines of Markdown: title, table, and an empty one.

        Examples
        --------
        >>> Grid("One", ("a", "b"), (("1", "2"),)).markdown()
        ['One.', '', '| a | b |', '|---|---|', '| 1 | 2 |', '']
        """
        return [f"{self.title}.", "", *markdown(self.head, self.rows), ""]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown.

    Examples
    --------
    >>> markdown(["a"], [["1"]])
    ['| a |', '|---|', '| 1 |']
    """
    first, *rest = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return [first, "|---" * len(head) + "|", *rest]


def grids(rows: Sequence[Row], reference: str) -> tuple[Grid, Grid]:
    """The table in two parts that fit a terminal: what was learnt, and what it costs.

    Rows are strategies, those that were told the task last, by accuracy; cells are means over
    the seeds, with half of the 95 % interval where it says so.
    """
    seeds = sorted({len(v) for row in rows for v in row.values.values() if v})
    title = f"Mean ± half of the 95 % interval, {'/'.join(map(str, seeds))} seeds"
    tests = against(rows, reference)
    learnt, price = [], []
    for row in sorted(rows, key=_by_accuracy):
        p = tests.get(row.label)
        cells = [column.text(row.estimate(column.key)) for column in COLUMNS]
        told = "yes" if row.identity else "no"
        last = (
            "reference"
            if row.label == reference
            else "–" if p is None else f"{p.corrected:.2g}"
        )  # fmt: skip
        learnt.append((row.label, told, *cells[:LEARNT], last))
        price.append((row.label, *cells[LEARNT:]))
    names = [column.title for column in COLUMNS]
    return (
        Grid(
            "One seed: no interval" if seeds == [1] else title,
            ("strategy", "told task", *names[:LEARNT], "p"), tuple(learnt),
        ),
        Grid(
            "On the chip, at the end; mean over the seeds",
            ("strategy", *names[LEARNT:]), tuple(price),
        ),
    )  # fmt: skip


def tables(rows: Sequence[Row], reference: str) -> list[Table]:
    """The two `grids`, to be printed."""
    found = []
    for grid in grids(rows, reference):
        table = table_of(grid.title)
        table.padding = (0, 1, 0, 0)
        for name in grid.head:
            words = name in ("strategy", "told task")
            table.add_column(name, justify="left" if words else "right")
        for row in grid.rows:
            table.add_row(*map(escape, row))
        found.append(table)
    return found


def _by_accuracy(row: Row) -> tuple[bool, float]:
    accuracy = row.estimate("accuracy")
    return row.identity, -accuracy.mean if accuracy is not None else 0.0
