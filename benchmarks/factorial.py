"""When x where x how: what each choice is worth, from one comparison of all of them.

``python benchmarks/factorial.py RUN --out DIR`` after ``mosaic compare
experiments/growing-factorial.toml --seeds 5``: RUN is the folder of the comparison. Labels are
``when-where-how``. Writes ``growing-factorial.csv`` (for each choice the mean over all others
and its 95 % interval over seeds) and ``growing-factorial-shares.csv`` (what share of the sum of
squares over all runs each factor, each interaction and the seeds have).
"""

from __future__ import annotations

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from growth.statistics import estimate

FACTORS = ("when", "where", "how")
COLUMNS = {
    "accuracy": ("accuracy [%]", 100.0, 1), "forgetting": ("forgetting [points]", 100.0, 1),
    "compute_energy": ("compute [nJ]", 1e9, 0), "routing_energy": ("routing [nJ]", 1e9, 0),
    "devices": ("devices", 1.0, 0), "writes": ("writes", 1.0, 0),
}  # fmt: skip
"""Columns of a comparison, with head, unit and digits of the table made of them."""


def split(label: str) -> tuple[str, str, str]:
    """``trigger-cost-blind-gradmax`` is trigger, cost-blind, gradmax."""
    when, rest = label.split("-", 1)
    where, how = rest.rsplit("-", 1)
    return when, where, how


def read(run: Path) -> tuple[list[list[str]], dict[str, NDArray[np.float64]]]:
    """Levels of each factor, and each column as (when, where, how, seeds)."""
    with (run / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    cells = {
        (*split(row["strategy"]), int(row["seed"]), row["column"]): float(row["value"])
        for row in rows if row["column"] in COLUMNS
    }  # fmt: skip
    levels = [list(dict.fromkeys(key[place] for key in cells)) for place in range(3)]
    seeds = sorted({key[3] for key in cells})
    found = {
        column: np.array(
            [cells[*key, column] for key in itertools.product(*levels, seeds)]
        ).reshape(*map(len, levels), len(seeds))
        for column in COLUMNS
    }
    return levels, found


def shares(values: NDArray[np.float64]) -> dict[str, float]:
    """Share of each factor, interaction and the seeds in the sum of squares; balanced design.

    What the seeds share with anything else is the rest.
    """
    total = float(((values - values.mean()) ** 2).sum())
    effects: dict[tuple[int, ...], NDArray[np.float64]] = {(): values.mean(keepdims=True)}
    found = {}
    for size in (1, 2, 3):
        for axes in itertools.combinations(range(3), size):
            others = tuple(axis for axis in range(4) if axis not in axes)
            mean = values.mean(others, keepdims=True)
            lower = [
                effects[part]
                for k in range(size)
                for part in itertools.combinations(axes, k)
            ]
            effects[axes] = mean - sum(lower)
            square = np.broadcast_to(effects[axes], values.shape) ** 2
            found[" x ".join(FACTORS[axis] for axis in axes)] = float(square.sum()) / total
    seeds = values.mean((0, 1, 2)) - values.mean()
    found["seed"] = float((seeds**2).sum()) * values[..., 0].size / total
    found["rest"] = 1 - sum(found.values())
    return found


def main() -> None:
    """Print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/data"))
    options = parser.parse_args()
    levels, found = read(options.run)
    lines = []
    for axis, names in enumerate(levels):
        others = tuple(other for other in range(3) if other != axis)
        for place, name in enumerate(names):
            line = [FACTORS[axis], name]
            for column, (_, unit, digits) in COLUMNS.items():
                of_seeds = estimate(unit * found[column].mean(others)[place])
                half = (of_seeds.high or of_seeds.mean) - of_seeds.mean
                line.append(f"{of_seeds.mean:,.{digits}f} ± {half:,.{digits}f}")
            lines.append(line)
    parts = {column: shares(values) for column, values in found.items()}
    heads = ["factor", "choice", *(head for head, _, _ in COLUMNS.values())]
    rows = [
        [name, *(f"{100 * parts[column][name]:.1f}" for column in COLUMNS)]
        for name in parts["accuracy"]
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    for name, head, body in (
        ("growing-factorial", heads, lines),
        ("growing-factorial-shares", ["share [%] of", *COLUMNS], rows),
    ):
        table = Table(*head, title=name)
        for line in body:
            table.add_row(*line)
        Console().print(table)
        with (options.out / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([head, *body])


if __name__ == "__main__":
    main()
