"""The growing learner on streams: tables and figures from finished runs, and experts asleep.

``python benchmarks/streams.py RUN... --out DIR`` writes ``streams.csv`` and ``streams.png``
(``DIR`` is `docs/data` or any other; figures go to ``--images``) from run folders of
``mosaic run experiments/stream-*.toml``.

``python benchmarks/streams.py RUN --asleep`` prices, for the first T experts of a finished run,
an inference in which all experts are awake, and one in two passes: first the layer of filters
and the gate, then the layer and the one expert that the gate chose. Each is put on the chip and
run; the sleeping have no synapses, so nothing is spent on them. MNIST is read from MOSAIC_DATA.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from growth.bridge import make_host, price
from growth.learner import make_stream
from growth.measure import shown
from growth.metrics import average_accuracy, forgetting
from growth.runs import open_run
from growth.samples import join
from growth.statistics import estimate
from growth.strategies import Grow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.blueprint import Blueprint
    from growth.runs import RunFolder, SeedFolder

HEAD = (
    "run", "seeds", "accuracy [%]", "forgetting [points]", "right expert [%]",
    "scores alone [%]", "devices", "energy [uJ]", "more a task [uJ]", "more devices a task",
    "writes",
)  # fmt: skip

SAMPLES = 200
"""Test samples on which experts asleep are priced."""


def series(seed: SeedFolder) -> dict[str, NDArray[np.float64]]:
    """Accuracies, (tasks, tasks), and energies, devices and writes after each task."""
    metrics, costs = seed.lines("metrics"), seed.lines("cost")
    return {
        "accuracy": np.array([m["accuracy"] for m in metrics]),
        "energy": 1e6 * np.array([c["energy_per_inference"] for c in costs]),
        "devices": np.array([float(sum(c["devices"].values())) for c in costs]),
        "writes": np.array([float(c["writes"]) for c in costs]),
    }


def row(folder: RunFolder) -> dict[str, str]:
    """One line of the table: means over the seeds that are done, with 95 % intervals."""
    done = [seed for seed in folder.seeds if seed.done]
    parts = [series(seed) for seed in done]
    last = [seed.lines("metrics")[-1] for seed in done]

    def over(values: list[float], digits: int = 1) -> str:
        found = estimate(values)
        if found.high is None:
            return f"{found.mean:.{digits}f}"
        return f"{found.mean:.{digits}f} ± {found.high - found.mean:.{digits}f}"

    def steps(name: str) -> list[float]:
        return [float(np.diff(part[name]).mean()) for part in parts]

    found = {
        "run": folder.experiment.name, "seeds": str(len(done)),
        "accuracy [%]": over([100 * average_accuracy(p["accuracy"]) for p in parts]),
        "forgetting [points]": over([100 * (forgetting(p["accuracy"]) or 0.0) for p in parts]),
        "devices": over([p["devices"][-1] for p in parts], 0),
        "energy [uJ]": over([p["energy"][-1] for p in parts]),
        "more a task [uJ]": over(steps("energy"), 2),
        "more devices a task": over(steps("devices"), 0),
        "writes": over([p["writes"].sum() for p in parts], 0),
    }  # fmt: skip
    for name, key in (
        ("right expert [%]", "gate_hits"),
        ("scores alone [%]", "scores_alone"),
    ):
        if all(key in m for m in last):
            found[name] = over([100 * m[key] for m in last])
    return found


def draw(folders: list[RunFolder], path: Path) -> None:
    """Draw accuracy, energy and devices against the number of tasks."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    colours = [
        "#0072B2",
        "#D55E00",
        "#009E73",
        "#CC79A7",
        "#E69F00",
        "#56B4E9",
        "#000000",
        "#999999",
    ]
    markers = "osD^vPX*"
    fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
    for folder, colour, marker in zip(
        folders, colours[: len(folders)], markers[: len(folders)], strict=True
    ):
        parts = [series(seed) for seed in folder.seeds if seed.done]
        met = [
            100 * np.array([np.mean(line[: k + 1]) for k, line in enumerate(p["accuracy"])])
            for p in parts
        ]
        tasks = 1 + np.arange(len(met[0]))
        rows = (met, [p["energy"] for p in parts], [p["devices"] / 1e3 for p in parts])
        for ax, values in zip(axes, rows, strict=True):
            ax.plot(
                tasks, np.mean(values, axis=0), color=colour, marker=marker, markersize=4,
                label=folder.experiment.name.removeprefix("stream-"),
            )  # fmt: skip
    for ax, name in zip(
        axes,
        (
            "accuracy on tasks met [%]",
            "energy of an inference [µJ]",
            "devices in use [1,000]",
        ),
        strict=True,
    ):
        ax.set(xlabel="tasks learnt", ylabel=name)
        ax.xaxis.get_major_locator().set_params(integer=True)
    for ax in axes[1:]:
        ax.set_ylim(bottom=0)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    fig.savefig(path, dpi=100)
    plt.close(fig)


def awake(blueprint: Blueprint, gates: int, experts: set[int]) -> Blueprint:
    """Leave a network the gates of its first experts, and the rest of those that are named."""

    def kept(target: str) -> bool:
        owner, _, kind = target.partition("/")
        if not owner.startswith("expert "):
            return True
        number = int(owner.split()[1])
        return number < gates if kind == "gate" else number in experts

    connections = tuple(
        c if kept(c.target)
        else replace(c, weight=np.zeros_like(c.weight), present=np.zeros(c.weight.shape, bool))
        for c in blueprint.connections
    )  # fmt: skip
    return replace(blueprint, connections=connections)


def asleep(folder: RunFolder, seed: int) -> list[dict[str, float]]:
    """Energies [uJ] of one inference with the first T experts, in one pass and in two."""
    experiment = folder.experiment
    stream = make_stream(experiment, seed)
    learner = Grow(experiment, stream, make_host(experiment), seed)
    state = torch.load(folder.seed(seed).path / "checkpoint.pt", weights_only=True)
    learner.load_state(state["strategy"])
    blueprint = learner.blueprint()
    test = join([task.test for task in stream.tasks])
    picked = np.random.default_rng(0).permutation(len(test))[:SAMPLES]
    spikes = shown(experiment, test.take(picked))

    def energy(gates: int, experts: set[int]) -> float:
        host = make_host(experiment)
        host.load_state({k: v for k, v in state["host"].items() if k != "placement"}, None)
        deployed = host.deploy(awake(blueprint, gates, experts))
        report = price(deployed.program, deployed.run(spikes), host.technology)
        return 1e6 * float(report.energy_per_inference)

    found = []
    for count in range(1, len(learner.experts) + 1):
        alone = [energy(0, {e}) for e in range(count)]
        gate = energy(count, set())
        found.append(
            {
                "experts": count,
                "all awake [µJ]": energy(count, set(range(count))),
                "filters and gates only [µJ]": gate,
                "gate first, then one [µJ]": gate + float(np.mean(alone)),
            }
        )
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/data"))
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    parser.add_argument("--asleep", action="store_true")
    given = parser.parse_args()
    folders = [open_run(path) for path in given.runs]
    if given.asleep:
        rows = asleep(folders[0], folders[0].experiment.seeds[0])
        lines = [
            {k: f"{v:.2f}" if k != "experts" else str(v) for k, v in r.items()}
            for r in rows
        ]
        name, head = "streams-asleep.csv", tuple(lines[0])
    else:
        lines = [row(folder) for folder in folders]
        name, head = "streams.csv", HEAD
        draw(folders, given.images / "streams.png")
    with (given.out / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, head, restval="")
        writer.writeheader()
        writer.writerows(lines)
    print((given.out / name).read_text())


if __name__ == "__main__":
    main()
