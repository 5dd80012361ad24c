"""Accuracy of the growing learner on split MNIST against the lines of a tile.

``MOSAIC_DATA=DIR python benchmarks/lines.py [--seeds 3] [--lines 8 16 32] [--out DIR]``; one
thread, 45 seconds of CPU time a run. Five tasks of two digits, 1,000 images each, 784 pixels that
are not downsampled, on a chip of 8 x 8 tiles of 32 neurons. A tile with k lines a side receives
4 k distinct sources, so no neuron can read the whole image.

*chosen*: hidden neurons read the lines with the largest share of the singular values. *random*:
on each tile they have to make do with lines that were drawn. Both have the same gate, which
looks at the pixels that tell most about the others. *no chip*: every neuron reads all pixels;
snnTorch only.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from growth.bridge import MosaicHost, make_host
from growth.config import load_experiment
from growth.host import Offer, Unlimited
from growth.learner import make_stream
from growth.measure import in_torch, measure, shown
from growth.metrics import average_accuracy, forgetting
from growth.statistics import estimate
from growth.strategies import Grow

SETTINGS = (
    "stream.dataset='mnist'", "stream.train_samples=1000", "stream.test_samples=400",
    "chip.rows=8", "chip.columns=8", "chip.neurons_per_tile=32", "gate.prototypes=20",
)  # fmt: skip
FIELDS = (
    "lines", "choice", "seed", "accuracy", "forgetting", "snntorch", "gate_hits", "hidden",
    "tiles", "synapses_a_neuron", "seconds", "decision_seconds",
)  # fmt: skip


HEAD = (
    "lines read", "lines a side", "sources a tile", "accuracy [%]", "forgetting [points]",
    "in snnTorch [%]", "gate right [%]", "hidden neurons", "tiles", "synapses a neuron",
)  # fmt: skip


class Drawn(MosaicHost):
    """A chip on which hidden neurons may have lines on each tile that were drawn."""

    def offers(
        self, rates: NDArray[np.float64], expert: int | None, fires: float
    ) -> list[Offer]:
        """Make lines that were not drawn, and are not there, too dear for anyone."""
        found = []
        for offer in super().offers(rates, expert, fires):
            if expert is not None:
                rng = np.random.default_rng(offer.tile)
                allowed = offer.there.copy()
                rest = np.flatnonzero(~allowed)
                allowed[rng.permutation(rest)[: max(offer.lines, 0)]] = True
                bring = offer.bring + np.outer(~allowed, [1.0, 0.0, 0.0])
                offer = replace(offer, bring=bring)
            found.append(offer)
        return found


class Timed(Grow):
    """The learner, with a watch on its decisions."""

    deciding = 0.0

    def choice(self, *args: Any, **more: Any) -> Any:
        """Decide, and note the time."""
        started = time.process_time()
        try:
            return super().choice(*args, **more)
        finally:
            self.deciding += time.process_time() - started

    def offers(self, *args: Any) -> Any:
        """Ask, and note the time."""
        started = time.process_time()
        try:
            return super().offers(*args)
        finally:
            self.deciding += time.process_time() - started


def run(lines: int | None, choice: str, seed: int) -> dict[str, Any]:
    """Learn the stream once; accuracies in percent."""
    experiment = load_experiment(
        "split-digits-grow",
        [*SETTINGS, *([] if lines is None else [f"chip.tile_lines={lines}"])],
    )
    stream = make_stream(experiment, seed)
    chip = make_host(experiment)
    if choice == "random":
        chip = Drawn(chip.chip, chip.technology, chip.device, chip.inferences)
    learner = Timed(experiment, stream, Unlimited() if lines is None else chip, seed)
    matrix, started, seconds, found = [], time.process_time(), 0.0, {}
    for task in stream.tasks:
        started = time.process_time()
        learner.learn(task)
        seconds += time.process_time() - started
        if lines is None:
            matrix.append(without_chip(learner, stream))
            continue
        found = measure(experiment, stream, task, learner, chip).metrics
        matrix.append(found["accuracy"])
    values = np.array(matrix)
    last = found.get("accuracy_snntorch", matrix[-1])
    reads = [expert.mask.sum(1).float().mean().item() for expert in learner.experts]
    return {
        "lines": lines or "", "choice": choice, "seed": seed,
        "accuracy": 100 * average_accuracy(values), "forgetting": 100 * forgetting(values),
        "snntorch": 100 * float(np.mean(last)), "gate_hits": found.get("gate_hits", ""),
        "hidden": sum(len(expert.births["hidden"]) for expert in learner.experts),
        "tiles": found.get("tiles", ""), "synapses_a_neuron": float(np.mean(reads)),
        "seconds": seconds, "decision_seconds": learner.deciding,
    }  # fmt: skip


def without_chip(learner: Grow, stream: Any) -> list[float]:
    """Accuracy on each task in torch."""
    found = []
    for task in stream.tasks:
        serve = in_torch(shown(learner.experiment, task.test))
        taken = learner.scores(serve).argmax(1)
        found.append(float((taken == task.test_labels).mean()))
    return found


def draw(rows: list[dict[str, Any]], out: Path) -> None:
    """Draw accuracy against lines, and write the numbers beside it."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
    for choice, colour in (("chosen", "C0"), ("random", "C1")):
        sides = sorted({row["lines"] for row in rows if row["choice"] == choice})
        if not sides:
            continue
        found = [
            estimate(
                [r["accuracy"] for r in rows if (r["lines"], r["choice"]) == (k, choice)]
            )
            for k in sides
        ]
        means = [e.mean for e in found]
        spread = [(e.high or e.mean) - e.mean for e in found]
        ax.errorbar(
            sides,
            means,
            spread,
            color=colour,
            marker="o",
            capsize=3,
            label=f"{choice} lines",
        )
    whole = [row["accuracy"] for row in rows if row["choice"] == "no chip"]
    if whole:
        ax.axhline(
            np.mean(whole), color="grey", linestyle="--", label="all 784 pixels, no chip"
        )
    ax.set(xlabel="lines on each side of a tile", ylabel="average accuracy [%]")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sorted({row["lines"] for row in rows if row["lines"]}))
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.legend(loc="lower right")
    for kind in ("svg", "png"):
        fig.savefig(out / f"lines.{kind}", dpi=150)
    plt.close(fig)


def stored(path: Path) -> list[dict[str, Any]]:
    """Runs that are done already."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            {k: v if k == "choice" or not v else float(v) for k, v in row.items()}
            for row in csv.DictReader(file)
        ]


def summary(rows: list[dict[str, Any]], out: Path) -> None:
    """Print the table, and write it as ``lines.csv``."""
    table = Table(title="Split MNIST, 784 pixels, 1,000 images a task")
    for name in HEAD:
        table.add_column(name, justify="right")
    lines = []
    for kind in sorted({(row["choice"], row["lines"] or 0) for row in rows}):
        some = [row for row in rows if (row["choice"], row["lines"] or 0) == kind]

        def cell(name: str, scale: float = 1.0, some: Any = some) -> str:
            values = [row[name] for row in some]
            return "" if "" in values else estimate(values).text(scale)

        k = int(kind[1])
        sizes = [str(k), str(4 * k)] if k else ["", ""]
        scales = {"gate_hits": 100.0}
        cells = [cell(name, scales.get(name, 1.0)) for name in FIELDS[3:10]]
        lines.append([kind[0], *sizes, *cells])
        table.add_row(*lines[-1])
    with (out / "lines.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEAD, *lines])
    Console(width=130).print(table)
    share = sum(r["decision_seconds"] for r in rows) / sum(r["seconds"] for r in rows)
    print(f"decisions took {100 * share:.1f} % of the time of learning")


def main() -> None:
    """Run what is not done yet; write ``lines-runs.csv``, ``lines.csv`` and ``lines.svg``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lines", type=int, nargs="*", default=[8, 16, 32])
    parser.add_argument("--choices", nargs="*", default=["chosen", "random", "no chip"])
    parser.add_argument("--out", type=Path, default=Path("lines"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "lines-runs.csv"
    rows = stored(path)
    done = {(row["lines"] or None, row["choice"], row["seed"]) for row in rows}
    for choice in options.choices:
        for seed in range(options.seeds):
            for lines in [None] if choice == "no chip" else options.lines:
                if (lines, choice, seed) in done:
                    continue
                rows.append(run(lines, choice, seed))
                print(rows[-1], flush=True)
                with path.open("w", newline="") as file:
                    writer = csv.DictWriter(file, FIELDS)
                    writer.writeheader()
                    writer.writerows(rows)
    draw(rows, options.out)
    summary(rows, options.out)


if __name__ == "__main__":
    main()
