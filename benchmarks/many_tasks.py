"""Many tasks: what the growing learner comes to, what it takes, and what a full chip does.

``python benchmarks/many_tasks.py time EXPERIMENT --out FILE.csv`` learns and deploys the stream
of one seed without tests, and adds the CPU time of each step: 2 minutes for fifty tasks. With
``--after CHECKPOINT`` it goes on from there. The first task of a process pays for compilation:
leave it out.

``python benchmarks/many_tasks.py draw RUN --times FILE.csv --full NAME=RUN ... --out DIR`` draws
`fifty-tasks.png` and writes the table `fifty-tasks.csv` from run folders: after ``mosaic run
experiments/fifty-tasks.toml`` and ``mosaic compare experiments/full-chip.toml``.

``python benchmarks/many_tasks.py static NAME=RUN ... --out DIR`` writes `static-permuted.csv`: the
same runs after 5, 10 and 20 tasks, after ``mosaic compare experiments/static-permuted.toml``.

Seeds that are not finished are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from growth.bridge import make_host
from growth.config import load_experiment
from growth.learner import make_stream
from growth.statistics import estimate
from growth.strategies import Grow

STEPS = ("need", "offers", "choice", "gate", "training", "deployment")
"""What is timed. The first four are a growth decision; `gate` is its novelty."""

COUNTS = (5, 10, 20)
"""Lengths of the streams on which networks of fixed size are compared."""

ROWS = (1, 10, 20, 30, 40, 50)
"""Numbers of tasks in the table."""


class Timed(Grow):
    """The learner, with a watch on each of its steps."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seconds = dict.fromkeys(STEPS, 0.0)
        for step, owner, name in (
            ("need", self, "need"), ("offers", self, "offers"), ("choice", self, "choice"),
            ("gate", self.gate, "novelty"), ("training", self, "fit"),
        ):  # fmt: skip
            setattr(owner, name, self.watched(step, getattr(owner, name)))

    def watched(self, step: str, call: Any) -> Any:
        """Call something, and add its CPU time to a step."""

        def timed(*args: Any, **more: Any) -> Any:
            started = time.process_time()
            try:
                return call(*args, **more)
            finally:
                self.seconds[step] += time.process_time() - started

        return timed


def clocked(
    source: str, settings: list[str], out: Path, after: Path | None, most: int | None
) -> None:
    """Learn and deploy one seed, from a checkpoint on if there is one; add seconds a task."""
    experiment = load_experiment(source, settings)
    seed = experiment.seeds[0]
    stream, host = make_stream(experiment, seed), make_host(experiment)
    learner = Timed(experiment, stream, host, seed)
    first = 0
    if after is not None:
        state = torch.load(after, weights_only=True)
        learner.load_state(state["strategy"])
        host.load_state(state["host"], learner.blueprint())
        first = state["task"] + 1
    new = not out.exists()
    with out.open("a", newline="") as file:
        table = csv.writer(file)
        if new:
            table.writerow(("task", "experts", "neurons", *STEPS))
        for task in stream.tasks[first : None if most is None else first + most]:
            learner.seconds = dict.fromkeys(STEPS, 0.0)
            learner.learn(task)
            learner.watched("deployment", host.deploy)(learner.blueprint())
            size = (len(learner.experts), learner.model.neurons)
            each = [f"{learner.seconds[step]:.3f}" for step in STEPS]
            table.writerow((task.number + 1, *size, *each))
            file.flush()


def lines(path: Path, name: str) -> list[dict[str, Any]]:
    """Records of one seed."""
    return [json.loads(line) for line in (path / f"{name}.jsonl").read_text().splitlines()]


def history(run: Path) -> dict[str, NDArray[np.float64]]:
    """What finished seeds show after each task, (seeds, tasks).

    `accuracy` is the mean over tasks seen so far, learnt or not, `latest` that of the last one,
    `whole` that over the whole stream; `forgetting` what was lost since each was learnt.
    """
    found: dict[str, list[list[float]]] = {}
    for path in sorted(run.glob("seed-*")):
        if not (path / "DONE").exists():
            continue
        rows, costs = lines(path, "metrics"), lines(path, "cost")
        matrix = np.array([row["accuracy"] for row in rows if "accuracy" in row])
        count = len(matrix)
        first = np.array([matrix[k, k] for k in range(count)])
        each = {
            "accuracy": [matrix[k, : k + 1].mean() for k in range(count)],
            "whole": matrix.mean(1).tolist(),
            "latest": first.tolist(),
            "forgetting": [
                (first[: k + 1] - matrix[k, : k + 1]).mean() for k in range(count)
            ],
            "free tiles": [row["free_tiles"] for row in rows],
            "neurons": [row["neurons"] for row in rows],
            "energy": [row["energy_per_inference"] for row in costs],
            "devices": [sum(row["devices"].values()) for row in costs],
        }
        for name, values in each.items():
            found.setdefault(name, []).append(values)
    return {name: np.array(values, np.float64) for name, values in found.items()}


def band(ax: Any, values: NDArray[np.float64], scale: float, **how: Any) -> None:
    """Draw the mean over seeds and its 95 % interval."""
    tasks = np.arange(1, values.shape[1] + 1)
    each = [estimate(column * scale) for column in values.T]
    (line,) = ax.plot(tasks, [e.mean for e in each], **how)
    if len(values) > 1:
        low, high = [e.low for e in each], [e.high for e in each]
        ax.fill_between(tasks, low, high, color=line.get_color(), alpha=0.2, linewidth=0)


def draw(
    run: dict[str, NDArray[np.float64]], full: dict[str, dict[str, NDArray[np.float64]]],
    times: Path, out: Path,
) -> None:  # fmt: skip
    """Draw six panels."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 3, figsize=(10.5, 5.6), layout="constrained")
    for ax, name, scale, label in (
        (axes[0, 0], "accuracy", 100, "accuracy [%]"),
        (axes[0, 1], "energy", 1e6, "energy per inference [µJ]"),
        (axes[0, 2], "devices", 1e-3, "devices in use [thousands]"),
        (axes[1, 0], "free tiles", 1, "free tiles of 1,024"),
    ):
        band(ax, run[name], scale, color="C0", label="all tasks so far")
        ax.set(xlabel="tasks learnt", ylabel=label)
    band(axes[0, 0], run["latest"], 100, color="C1", label="the latest task", linestyle=":")
    axes[0, 0].set_ylim(50, 100)
    axes[0, 0].legend(loc="lower left")
    axes[0, 1].set_ylim(0)
    axes[0, 2].set_ylim(0)
    with times.open(newline="") as file:
        rows = list(csv.DictReader(file))
    tasks = [int(row["task"]) for row in rows]
    ax = axes[1, 1]
    parts = {
        "training": ("training",), "growth decisions": STEPS[:4], "deployment": ("deployment",),
    }  # fmt: skip
    for (label, steps), marker in zip(parts.items(), "os^", strict=True):
        seconds = [sum(float(row[step]) for step in steps) for row in rows]
        ax.plot(tasks, seconds, linestyle="", marker=marker, markersize=4, label=label)
    ax.set(xlabel="task", ylabel="CPU time of the task [s]")
    ax.set_ylim(0, 1)
    ax.legend(loc="upper left")
    ax = axes[1, 2]
    for (label, values), style in zip(full.items(), ("-", "--", ":"), strict=False):
        band(ax, values["accuracy"], 100, label=label, linestyle=style)
    ax.set(xlabel="tasks seen", ylabel="accuracy on all of them [%]")
    ax.set_ylim(0, 100)
    ax.legend(loc="lower left", title="without room, tasks are")
    for ax, letter in zip(axes.flat, "abcdef", strict=True):
        ax.set_title(letter, loc="left", fontweight="bold")
    fig.savefig(out / "fifty-tasks.png", dpi=110)
    plt.close(fig)


def table(run: dict[str, NDArray[np.float64]], out: Path) -> None:
    """Write what there is after some numbers of tasks."""
    columns = (
        ("accuracy", "accuracy [%]", 100, 1), ("latest", "of the latest [%]", 100, 1),
        ("forgetting", "forgetting [points]", 100, 1), ("neurons", "neurons", 1, 0),
        ("free tiles", "free tiles", 1, 0), ("devices", "devices", 1, 0),
        ("energy", "energy per inference [µJ]", 1e6, 2),
    )  # fmt: skip
    with (out / "fifty-tasks.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("tasks", *(title for _, title, _, _ in columns)))
        for count in ROWS:
            if count <= run["accuracy"].shape[1]:
                cells = [
                    estimate(run[name][:, count - 1]).text(scale, digits)
                    for name, _, scale, digits in columns
                ]
                writer.writerow((count, *cells))


def against_static(runs: dict[str, Path], out: Path) -> None:
    """Write accuracy, forgetting, devices and energy after 5, 10 and 20 tasks of each run.

    A strategy that sees the whole stream as one task has one row, after all tasks.
    """
    with (out / "static-permuted.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ("tasks", "network", "seeds", "accuracy [%]", "forgetting [points]", "neurons",
             "devices", "energy per inference [nJ]")
        )  # fmt: skip
        for count in COUNTS:
            for name, path in runs.items():
                found = history(path)
                if not found:
                    continue
                once = found["accuracy"].shape[1] == 1
                if once and count != max(COUNTS):
                    continue
                at = 0 if once else count - 1
                accuracy = found["whole" if once else "accuracy"][:, at]
                lost = "" if once else estimate(found["forgetting"][:, at]).text(100)
                writer.writerow((
                    count, name, len(accuracy), estimate(accuracy).text(100), lost,
                    *(estimate(found[k][:, at]).text(digits=0) for k in ("neurons", "devices")),
                    estimate(found["energy"][:, at]).text(1e9, 0),
                ))  # fmt: skip


def main() -> None:
    """Time the steps of a learner, or draw what runs came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="what", required=True)
    timing = parts.add_parser("time")
    timing.add_argument("experiment")
    timing.add_argument("--set", dest="settings", action="append", default=[])
    timing.add_argument("--after", type=Path, help="checkpoint.pt of a seed to go on from")
    timing.add_argument("--most", type=int, help="tasks to learn")
    timing.add_argument("--out", type=Path, default=Path("fifty-tasks-times.csv"))
    drawing = parts.add_parser("draw")
    drawing.add_argument("run", type=Path)
    drawing.add_argument("--times", type=Path, required=True)
    drawing.add_argument("--full", nargs="*", default=[], metavar="NAME=RUN")
    drawing.add_argument("--out", type=Path, default=Path())
    fixed = parts.add_parser("static")
    fixed.add_argument("runs", nargs="+", metavar="NAME=RUN")
    fixed.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "time":
        clocked(
            options.experiment, options.settings, options.out, options.after, options.most
        )
        return
    if options.what == "static":
        named = dict(one.split("=", 1) for one in options.runs)
        against_static({name: Path(path) for name, path in named.items()}, options.out)
        return
    run = history(options.run)
    named = dict(one.split("=", 1) for one in options.full)
    full = {name: history(Path(path)) for name, path in named.items()}
    draw(run, full, options.times, options.out)
    table(run, options.out)


if __name__ == "__main__":
    main()
