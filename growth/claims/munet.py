"""Evolution of networks that share layers: nothing forgotten, less than a network a task (MUNET).

The document at hand is an abstract without tables, so its claims are tested here, on ten tasks,
against independent networks of the same training budget. Its experiments are `EXPERIMENTS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from growth.claims import munet_drawing
from growth.claims.base import chip_table, figure, percent, table
from growth.claims.evolved import read_evolved
from growth.statistics import compare_paired, estimate
from growth.strategies import MuNet
from mosaic_sim.errors import MosaicError
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from growth.claims.base import Ran
    from growth.claims.evolved import Evolved

__all__ = ["EXPERIMENTS", "TITLE", "check_nothing_forgotten", "section"]

TITLE = "Evolution of networks that share layers (muNet)"

EXPERIMENTS: tuple[str, ...] = ("claims-munet",)

MUNET = "munet"
EQUAL = "independent-equal"
"""Label of the independent networks with the training budget of all children."""

DEVICES = 2
"""Of a weight: a pair."""


def section(found: Mapping[str, Ran], images: Path) -> str:
    """Write the section; see `growth.claims.page.Document`."""
    ran = found["claims-munet"]
    for seed in range(ran.seeds):
        check_nothing_forgotten(ran.summaries[MUNET].matrix(seed))
    evolved = [read_evolved(seed) for seed in ran.runs[MUNET].seeds]
    munet_drawing.draw_quality(ran, evolved, MUNET, images / "claims-munet-quality")
    munet_drawing.draw_sharing(evolved, images / "claims-munet-sharing")
    work = {label: work_of(ran, label) for label in ran.runs}
    munet_drawing.draw_work(work, images / "claims-munet-work")
    parts = [
        _protocol(ran),
        "### Nothing is forgotten, and layers are shared\n",
        _claims(ran, evolved),
        figure(
            "claims-munet-sharing",
            "Which task made the layer that each task uses, and networks for each task as "
            "tasks come",
        ),
        "### Quality at equal training budget\n",
        _quality(ran, evolved),
        figure("claims-munet-quality", "Accuracy against devices for each task"),
        "### Work for a task as tasks grow\n",
        _work(ran, work, evolved),
        figure("claims-munet-work", "Samples and processor time to learn each task"),
        "### On the chip\n",
        _on_the_chip(ran),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def check_nothing_forgotten(accuracy: ArrayLike) -> None:
    """Refuse a matrix in which the accuracy on a task changes after it was learnt.

    Parameters
    ----------
    accuracy : array, (learnt, tasks)

    Raises
    ------
    MosaicError
        Naming the first task, and when it changed.

    Examples
    --------
    >>> check_nothing_forgotten([[1.0, 0.5], [1.0, 0.75]])
    """
    matrix = np.asarray(accuracy)
    for learnt, task in np.ndindex(matrix.shape):
        if learnt > task and matrix[learnt, task] != matrix[task, task]:
            raise MosaicError(
                f"Accuracy on task {task} was {matrix[task, task]:.4f} when it was learnt and is "
                f"{matrix[learnt, task]:.4f} after task {learnt}; muNet forgets nothing, so the "
                "run is damaged or the strategy wrong."
            )


def work_of(ran: Ran, label: str) -> dict[str, NDArray[np.float64]]:
    """What learning and serving took after each task, (seeds, tasks), by name."""
    summary = ran.summaries[label]
    records = summary.metrics
    return {
        "shown": np.array([[row["work"]["shown"] for row in rows] for rows in records]),
        "looked": np.array([[row["work"]["looked"] for row in rows] for rows in records]),
        "seconds": np.array(
            [
                [row["learning_cpu_seconds"] for row in seed.lines("times")]
                for seed in ran.runs[label].seeds
            ]
        ),
        "energy": np.array(
            [[row["energy_per_inference"] for row in rows] for rows in summary.cost]
        ),
    }


def _protocol(ran: Ran) -> str:
    one, equal = (ran.runs[label].experiment for label in (MUNET, EQUAL))
    tasks = len(ran.summaries[MUNET].matrix(0))
    options = ran_options(ran)
    stream, hidden = one.stream, "-".join(map(str, one.hidden))
    return f"""\
The document at hand is an abstract: 69 tasks of image classification, nothing forgotten, relative
error on CIFAR-10 15 % less, work for a task bounded as tasks grow; the muNet paper adds 2.39 % more
mean accuracy on ten tasks with 47 % fewer parameters a task than fine-tuning. Its networks are
vision transformers that come pretrained, and its numbers cannot be had on a CPU; its claims can.
Here {tasks} tasks, pairs of scikit-learn's digits (the pairs of the supermask dissertation, in
which every digit is in two tasks), all images of a pair to learn, {stream.test_samples} to test;
spiking networks 64-{hidden}-10 on one chip, weights of four bits. No layer is pretrained: the first
task trains all. The task of a test sample is told, to all strategies.

For a task, {options["children"]} children are trained for {one.train.epochs} epochs each, on
{1 - options["validation"]:.0%} of its images; the rest judge them and are never trained on.
`{EQUAL}` are networks of their own, trained for {equal.train.epochs} epochs on all images of a
task. Learning rates ({one.train.learning_rate:g} and {equal.train.learning_rate:g}), mutation and
the share held back were chosen on seeds 100 to 102. {ran.note()}
"""


def ran_options(ran: Ran) -> dict[str, Any]:
    """Options of the evolution, defaults included."""
    given = ran.runs[MUNET].experiment.options
    return MuNet.Options.read(given, "options").model_dump()


def _claims(ran: Ran, evolved: Sequence[Evolved]) -> str:
    tasks = len(evolved[0].maker)
    shares = [one.networks(tasks) for one in evolved]
    size = int(evolved[0].weights.sum())
    devices = [DEVICES * size * share for share in shares]
    lost = ran.rows[MUNET].values["forgetting"] or []
    lines = [
        ["forgetting", "none", f"{percent(lost, 3)}: exactly 0, to the bit, on every seed"],
        [
            "parameters a task, in networks", "below 1 (muNet paper: 0.53)",
            f"{estimate(shares).text(digits=2)} (by seed {min(shares):.2f} to {max(shares):.2f})",
        ],
        [
            "devices a task", f"below {DEVICES * size:,}, one network",
            f"{estimate(devices).mean:,.0f}",
        ],
    ]  # fmt: skip
    return f"""\
{table(["", "claim", "measured"], lines)}

That nothing is forgotten is by construction: what a path uses is never trained again, and the page
is not written if the accuracy on a task changes by a single sample after it was learnt. A layer
counts once, whoever uses it; the score that decides which child stays prices it as shared out among
its users.
"""


def _quality(ran: Ran, evolved: Sequence[Evolved]) -> str:
    values = {label: row.values["accuracy"] or [] for label, row in ran.rows.items()}
    against = {pair.name: pair for pair in compare_paired(values, MUNET)}
    lines = []
    for label in ran.rows:
        pair = against.get(label)
        shown, looked = (
            float(work_of(ran, label)[key].mean()) for key in ("shown", "looked")
        )
        share = (
            estimate([one.networks(len(one.maker)) for one in evolved]).text(digits=2)
            if label == MUNET
            else "1"
        )
        gap = None if pair is None else -pair.difference.mean
        half = 0.0
        if pair is not None and pair.difference.high is not None:
            half = pair.difference.high - pair.difference.mean
        lines.append(
            [
                label, percent(values[label]),
                "" if gap is None else f"{100 * gap:+.2f} ± {100 * half:.2f}".replace("-", "−"),
                share, f"{shown:,.0f}", f"{looked:,.0f}",
                estimate(ran.learning_seconds(label)).text(digits=2),
            ]
        )  # fmt: skip
    head = [
        "", "accuracy [%]", "muNet minus this one", "networks a task", "trained on",
        "only looked at", "CPU s to learn a task",
    ]  # fmt: skip
    return f"""\
{table(head, lines)}

*Trained on* counts samples that went forward and backward for a task, *only looked at* those that
went forward (judging children). Differences are in points, paired by seed, with 95 % intervals.
{_verdict(values)}
"""


def _verdict(values: Mapping[str, list[float]]) -> str:
    (pair,) = compare_paired({k: values[k] for k in (EQUAL, MUNET)}, EQUAL)
    low, high = pair.difference.low, pair.difference.high
    if low is None or high is None:
        return "One seed says nothing about the difference."
    if low >= 0:
        return "At equal budget muNet is the better one."
    if high < 0:
        return (
            "At equal budget independent networks are better: the claim does not hold here. They "
            "spend all of the budget on one network and on all images; muNet spends it on several "
            "children, of which one stays, and holds images back to choose it. It buys fewer "
            "devices for that."
        )
    return (
        "At equal budget the two cannot be told apart with these seeds: muNet comes to the quality "
        "of independent networks with fewer devices."
    )


def _work(
    ran: Ran,
    work: Mapping[str, Mapping[str, NDArray[np.float64]]],
    evolved: Sequence[Evolved],
) -> str:
    mine = work[MUNET]
    tasks = mine["shown"].shape[1]
    lines = []
    for task in sorted({0, 1, tasks // 2, tasks - 1}):
        share = [one.networks(task + 1) for one in evolved]
        lines.append(
            [
                str(task + 1), f"{mine['shown'][:, task].mean():,.0f}",
                f"{mine['looked'][:, task].mean():,.0f}",
                estimate(mine["seconds"][:, task]).text(digits=2),
                engineering(float(mine["energy"][:, task].mean()), "J", 3),
                estimate(share).text(digits=2),
            ]
        )  # fmt: skip
    head = [
        "task", "trained on", "only looked at", "CPU s to learn", "energy of an inference",
        "networks a task so far",
    ]  # fmt: skip
    return f"""\
The number of children bounds the work for a task, however many tasks there were before; parents are
found among all paths, which takes no training.

{table(head, lines)}

An inference runs one path, so its energy does not grow with the number of tasks.
"""


def _on_the_chip(ran: Ran) -> str:
    return f"""\
The chip holds one path at a time, and the layers of other tasks wait in the host: a switch rewrites
what two tasks do not share. `devices` are those of one path; all layers side by side would be the
devices a task above, times the number of tasks.

{chip_table(ran)}
"""
