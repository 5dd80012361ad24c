"""Choose a setting of each strategy of a comparison, all from the same values.

``python benchmarks/tuning.py experiments/split-digits.toml [--setting train.learning_rate]
[--values 0.0005 0.001 0.002 0.005] [--seeds 100 101 102] [--only naive ewc] [--runs DIR]
[--out FILE.csv]``. Every strategy learns the stream once for each value and seed; the seeds are
none that a table reports. Stopped and called again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from growth.comparison import compare, load_comparison
from growth.report import summarise


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("comparison")
    parser.add_argument("--setting", default="train.learning_rate")
    parser.add_argument(
        "--values", nargs="+", default=["0.0005", "0.001", "0.002", "0.005"]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--only", nargs="+", help="labels; all by default")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    console = Console()
    accuracy: dict[str, list[float]] = {}
    for value in given.values:
        settings = (f"seeds={given.seeds}", f"{given.setting}={value}")
        wanted = load_comparison(given.comparison, settings)
        if given.only:
            kept = {label: wanted.experiments[label] for label in given.only}
            wanted = replace(wanted, experiments=kept, reference=given.only[0])
        runs, _ = compare(wanted, given.runs, jobs=given.jobs, console=console)
        for label, run in runs.items():
            found = summarise(run).accuracies
            accuracy.setdefault(label, []).append(100 * float(np.mean(found)))
    table = Table(
        title=f"{given.comparison}, {given.setting}: accuracy [%], seeds {given.seeds}"
    )
    head = ["strategy", *given.values, "best"]
    for name in head:
        table.add_column(name, justify="left" if name == "strategy" else "right")
    rows = [
        [label, *(f"{x:.1f}" for x in found), given.values[int(np.argmax(found))]]
        for label, found in accuracy.items()
    ]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if given.out:
        with given.out.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([head, *rows])


if __name__ == "__main__":
    main()
