"""Find out what growing on streams without boundaries found, from run folders.

``python benchmarks/hidden_tasks.py RUN...``; after, for example, ``mosaic run
experiments/hidden-digits.toml``. An expert that is opened in the first half of a task not seen
before, or while it fades in, is a hit, once; every other one but the first is a false growth. A
returning task is recognised if no expert is opened while it is there and one is taken up again.
Means and 95 % intervals over seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from growth.learner import make_stream
from growth.metrics import forgetting
from growth.runs import RunFolder, open_run
from growth.statistics import estimate

NAMES = ("accuracy", "forgetting", "experts", "recall", "by_labels", "false", "recognised")


def of_seed(run: RunFolder, seed: int) -> dict[str, float]:
    """What one seed of a run shows; not a number where there was nothing to find."""
    settings, part = run.experiment, run.seed(seed)
    stream = make_stream(settings, seed)
    events: dict[int, str] = {}
    reused = set()
    for decision in part.lines("growth"):
        evidence = decision["evidence"]
        if evidence.get("doubt") is None:
            continue  # not the trigger's
        if decision["action"] == "reuse":
            reused.add(evidence["batch"])
        elif decision["action"] == "new expert" or decision["expert"] is None:
            events[evidence["batch"]] = evidence.get("decided_by", "inputs")
    size = settings.train.batch
    ends = np.cumsum([0] + [len(task.train) for task in stream.tasks]) / size
    fades = settings.stream.blur / 2 * np.diff(ends)
    new = hits = labels = returns = recognised = 0
    used, known = set(), {stream.tasks[0].identity}
    for k, task in list(enumerate(stream.tasks))[1:]:
        start, end = ends[k] // 1, ends[k + 1] // 1
        half = start + (end - start) / 2
        inside = [e for e in sorted(events) if start - fades[k - 1] <= e < half]
        if task.identity in known:
            returns += 1
            recognised += not any(start <= e < end for e in events) and any(
                start <= e < half for e in reused
            )
        else:
            new += 1
            if inside:
                used.add(inside[0])
                hits += 1
                labels += events[inside[0]] == "labels"
        known.add(task.identity)
    if settings.stream.mixed:
        new = returns = 0  # there is one task only
    matrix = np.array(
        [row["accuracy"] for row in part.lines("metrics") if "accuracy" in row]
    )
    lost = forgetting(matrix) if len(matrix) == len(stream.tasks) else None
    experts = {d["expert"] for d in part.lines("growth") if d["action"] == "new expert"}
    found: dict[str, Any] = {
        "accuracy": matrix[-1].mean(),
        "forgetting": np.nan if lost is None else lost,
        "experts": len(experts),
        "recall": hits / new if new else np.nan,
        "by_labels": labels / new if new else np.nan,
        "false": len(set(events) - used),
        "recognised": recognised / returns if returns else np.nan,
    }
    return found


def main() -> None:
    """Print a row for each run folder."""
    parser = argparse.ArgumentParser(
        description="Find out what growing on streams without boundaries found."
    )
    parser.add_argument("runs", type=Path, nargs="+")
    table = Table("run", "seeds", *NAMES)
    for path in parser.parse_args().runs:
        run = open_run(path)
        seeds = [seed for seed in run.experiment.seeds if run.seed(seed).done]
        rows = [of_seed(run, seed) for seed in seeds]
        cells = []
        for name in NAMES:
            values = [row[name] for row in rows if np.isfinite(row[name])]
            if not values:
                cells.append("")
                continue
            mean = estimate(values)
            spread = f" ± {mean.high - mean.mean:.3f}" if len(values) > 1 else ""
            cells.append(f"{mean.mean:.3f}{spread}")
        table.add_row(path.name, str(len(seeds)), *cells)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
