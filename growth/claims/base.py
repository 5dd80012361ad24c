"""Experiments of the page of claims as they were run, and the pieces that every section is of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growth.comparison import load_comparison, markdown, rows_of
from growth.config import ChipConfig, Experiment, experiment_of, read_tables
from growth.paths import load_paths, read_cells
from growth.report import prefixed, summarise
from growth.runs import RunFolder, open_run
from growth.statistics import estimate
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from growth.comparison import Row
    from growth.paths import Cell, PathPlan
    from growth.report import Summary

__all__ = ["PathsRan", "Ran", "chip_table", "figure", "find", "percent", "points", "table"]


@dataclass(frozen=True, eq=False)
class Ran:
    """One experiment of a document, as it was run.

    Parameters
    ----------
    file : Path
        Its configuration.
    runs : dict of RunFolder
        By label; of an experiment that compares nothing one, by its strategy.
    """

    file: Path
    runs: dict[str, RunFolder]

    @property
    def command(self) -> str:
        """How it is run."""
        return command_of(self.file)

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """What the runs say, by label."""
        return {label: summarise(run) for label, run in self.runs.items()}

    @cached_property
    def rows(self) -> dict[str, Row]:
        """The runs as rows of the comparison's table, by label."""
        return {row.label: row for row in rows_of(self.runs)}

    @property
    def seeds(self) -> int:
        """Seeds of the first run."""
        return len(next(iter(self.runs.values())).experiment.seeds)

    @property
    def minutes(self) -> float:
        """Processor time of all runs; of a seed that was resumed that of the last session."""
        total = 0.0
        for run in self.runs.values():
            for seed in run.seeds:
                facts = json.loads((seed.path / "provenance.json").read_text("utf-8"))
                total += facts["cpu_seconds_of_last_session"]
        return total / 60

    def learning_seconds(self, label: str) -> list[float]:
        """Processor time to learn a task, mean over the tasks of each seed [s]."""
        found = []
        for seed in self.runs[label].seeds:
            times = [row["learning_cpu_seconds"] for row in seed.lines("times")]
            found.append(sum(times) / len(times))
        return found

    def note(self) -> str:
        """Command, seeds and time, in a line."""
        return (
            f"`{self.command}`: seeds {seed_text(self.runs)}; {self.minutes:.1f} min of "
            f"processor time, so {self.minutes / 2:.1f} min on two cores."
        )


@dataclass(frozen=True, eq=False)
class PathsRan:
    """An experiment on growth paths, as it was run.

    Parameters
    ----------
    file : Path
        Its configuration.
    plan : PathPlan
    results : list of (Cell, dict)
        As `growth.paths.read_cells`.
    """

    file: Path
    plan: PathPlan
    results: list[tuple[Cell, dict[str, Any]]]

    def note(self) -> str:
        """Command and trials, in a line."""
        return f"`{command_of(self.file)}`: {len(self.plan.seeds)} trials of each path."


def seed_text(runs: Mapping[str, RunFolder]) -> str:
    """Seeds of runs, in words."""
    seeds = [str(s) for s in next(iter(runs.values())).experiment.seeds]
    return seeds[0] if len(seeds) == 1 else ", ".join(seeds[:-1]) + " and " + seeds[-1]


def command_of(file: Path) -> str:
    """Command that runs the experiment of a file."""
    tables = read_tables(file)
    verb = "compare" if "compare" in tables else "paths" if walks(tables) else "run"
    return f"mosaic {verb} {file.as_posix()} --jobs 2"


def walks(tables: Mapping[str, Any]) -> bool:
    """Whether a configuration is one of growth paths."""
    return bool({"ann", "snn"} & tables.keys())


def find(file: Path, root: Path) -> Ran | PathsRan | None:
    """Find the run folders of an experiment.

    Parameters
    ----------
    file : Path
        An experiment, or a comparison, with its seeds.
    root : Path
        Where run folders are.

    Returns
    -------
    Ran, PathsRan or None
        None if a seed is missing or was not finished.

    Raises
    ------
    ConfigError
        If there is no such file, or it is not valid.
    """
    tables = read_tables(file)
    if walks(tables):
        plan = load_paths(file)
        folder = root / f"{plan.name}-{plan.fingerprint}"
        cells = (folder / "cells" / f"{cell.name}.json" for cell in plan.cells())
        there = all(cell.exists() for cell in cells)
        return PathsRan(file, plan, read_cells(plan, folder)) if there else None
    experiments: dict[str, Experiment]
    if "compare" in tables:
        comparison = load_comparison(file)
        experiments = comparison.experiments
        chip = root / f"{comparison.name}-{comparison.fingerprint}" / "chip.toml"
        if comparison.fitted and chip.exists():
            found = {"chip": ChipConfig.read(read_tables(chip), "chip")}
            experiments = {k: e.model_copy(update=found) for k, e in experiments.items()}
    else:
        experiment = experiment_of(tables, (), file.name)
        experiments = {experiment.strategy: experiment}
    runs = {}
    for label, experiment in experiments.items():
        folder = root / f"{experiment.name}-{experiment.fingerprint()}"
        seeds = (folder / f"seed-{seed}" / "DONE" for seed in experiment.seeds)
        if not all(done.exists() for done in seeds):
            return None
        # The folder names the seeds of the last call; the file says which ones count.
        runs[label] = RunFolder(open_run(folder).path, experiment)
    return Ran(file, runs)


# pieces of Markdown ------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown.

    Examples
    --------
    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    return "\n".join(markdown(head, rows))


def percent(values: Sequence[float], digits: int = 1) -> str:
    """Mean of shares with half of its 95 % interval, in percent.

    Examples
    --------
    >>> percent([0.5, 0.5, 0.5])
    '50.0 ± 0.0'
    """
    return estimate(values).text(100, digits)


def points(value: float, digits: int = 1) -> str:
    """A signed difference.

    Examples
    --------
    >>> points(-0.25), points(1.0)
    ('−0.2', '+1.0')
    """
    return f"{value:+.{digits}f}".replace("-", "−")


def figure(name: str, text: str) -> str:
    """A picture of the page, with what it shows."""
    return f"![{text}](images/{name}.png)"


def chip_table(ran: Ran, labels: Sequence[str] | None = None) -> str:
    """What the runs of an experiment cost on the chip, at the end; means over seeds.

    `written` counts the devices of one reprogramming after a task, `in place` those that learning
    on the chip would rewrite, step by step; `switch` those between the programs of two tasks.
    """
    lines = []
    for label in labels or list(ran.runs):
        row, summary = ran.rows[label], ran.summaries[label]
        if not summary.priced:
            lines.append([label, *["no chip"] * 6])
            continue
        switches = [
            sum(rows[-1]["switches"]) / len(rows[-1]["switches"])
            if rows[-1]["switches"]
            else 0.0
            for rows in summary.cost
        ]
        counts = [row.estimate(key) for key in ("writes", "rewritten")]
        written, in_place = ("–" if c is None else f"{c.mean:,.0f}" for c in counts)
        bits = row.estimate("host_bits")
        lines.append(
            [
                label, prefixed(summary.last("cost", "energy_per_inference")),
                f"{summary.devices.mean:,.0f}", written, in_place,
                f"{estimate(switches).mean:,.0f}",
                "–" if bits is None else engineering(bits.mean, "bit", 3),
            ]
        )  # fmt: skip
    return table(
        [
            "", "energy of an inference", "devices", "written for a task", "in place",
            "rewritten at a switch", "off the chip",
        ],
        lines,
    )  # fmt: skip
