"""Strategies ranked over several comparisons: by Friedman's test."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from growth.statistics import Ranks, friedman
from growth.tables import table_of
from mosaic_sim.errors import MosaicError, suggest

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["left_out", "means_of", "rank", "rank_table"]


def means_of(folder: Path | str, column: str, *, told: bool) -> dict[str, float]:
    """Mean of a column over the seeds of a comparison, for each strategy that was told, or not.

    Parameters
    ----------
    folder : path
        Of a finished comparison, with its ``table.csv``.
    column : str
        One of that file.
    told : bool
        Those that were told the task of test samples, or those that were not.

    Raises
    ------
    MosaicError
        If there is no table, or no such column in it.
    """
    path = Path(folder) / "table.csv"
    if not path.is_file():
        raise MosaicError(
            f"{str(folder)!r} has no table.csv; give the folder that mosaic compare names."
        )
    found: dict[str, list[float]] = {}
    known = set()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            known.add(row["column"])
            if row["column"] == column and row["identity"] == str(told):
                found.setdefault(row["strategy"], []).append(float(row["value"]))
    if column not in known:
        raise MosaicError(
            f"column is {column!r}.{suggest(column, known)} {str(path)!r} has: "
            f"{', '.join(sorted(known))}."
        )
    return {strategy: float(np.mean(values)) for strategy, values in found.items()}


def rank(
    folders: Sequence[Path | str],
    column: str = "accuracy",
    *,
    told: bool = False,
    larger_is_better: bool = True,
) -> Ranks:
    """Rank the strategies that all comparisons have, by Friedman's test.

    Parameters
    ----------
    folders : sequence of path
        Of comparisons on different streams, 2 at least.
    column, told
        As of `means_of`.
    larger_is_better : bool

    Raises
    ------
    MosaicError
        As `growth.statistics.friedman`.
    """
    tables = [means_of(folder, column, told=told) for folder in folders]
    common = [name for name in tables[0] if all(name in table for table in tables)]
    values: Mapping[str, list[float]] = {
        name: [table[name] for table in tables] for name in common
    }
    return friedman(values, larger_is_better=larger_is_better)


def left_out(
    folders: Sequence[Path | str], ranks: Ranks, column: str, *, told: bool
) -> list[str]:
    """Strategies that a comparison lacks, or has no value for, and that have no rank therefore."""
    tables = [means_of(folder, column, told=told) for folder in folders]
    return sorted(set().union(*tables) - set(ranks.ranks))


def rank_table(ranks: Ranks, column: str) -> Table:
    """Mean ranks, best first, with the difference that chance alone makes."""
    table = table_of(
        f"Mean rank by {column} over {ranks.streams} streams; Friedman: chi-square "
        f"{ranks.statistic:.2f}, p = {ranks.p_value:.2g}; ranks that differ by less than "
        f"{ranks.critical:.2f} may do so by chance (95 %)"
    )
    table.add_column("strategy")
    table.add_column("mean rank", justify="right")
    for name, mean in sorted(ranks.ranks.items(), key=lambda item: item[1]):
        table.add_row(name, f"{mean:.2f}")
    return table
