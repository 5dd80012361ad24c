"""Networks in three tiers: what is forgotten, by the size of the tiers and by the batch (TIER).

The thesis cuts ResNet-18 at two places into a frozen tier, a common one that all tasks train
slowly, and one of which each task has a copy, and learns four data sets in order (first setting) or
from one pool (second). What it prints is in `growth.claims.tier_printed`; its experiments are
`EXPERIMENTS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from growth.claims import resnet, tier_drawing
from growth.claims.base import chip_table, figure, percent, points, table
from growth.claims.learnt import learnt
from growth.claims.tier_orderings import difference, orderings
from growth.claims.tier_printed import BEST, OURS, PRINTED, SCHEDULES, SWEPT, THEIRS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from growth.claims.base import Ran
    from growth.claims.learnt import Learnt

__all__ = ["EXPERIMENTS", "TITLE", "section"]

TITLE = "Networks in three tiers (TIER)"

FIRST = {"1e-5": "claims-tiers-1e5", "1e-3": "claims-tiers-1e3"}
"""Experiments of the first setting, by the learning rate of the common tier."""

RATES, NORM, POOL, CHIP = (
    f"claims-tiers-{name}" for name in ("rates", "norm", "pool", "chip")
)

EXPERIMENTS = (*FIRST.values(), RATES, NORM, POOL, CHIP)

SHOWN = "1e-3"
"""The rate at which accuracies are drawn: the one at which ours forgets."""


def section(found: Mapping[str, Ran], images: Path) -> str:
    """Write the section; see `growth.claims.page.Document`."""
    runs = {name: learnt(found[name]) for name in (*FIRST.values(), RATES, NORM, POOL)}
    first = {rate: by_schedule(runs[name]) for rate, name in FIRST.items()}
    panels = {
        "document, 1e-5": document(),
        **{f"ours, {rate}": schedules for rate, schedules in first.items()},
        "ours, 1e-5, statistics shared": by_schedule(runs[NORM]),
        "ours, 1e-5, one set for all": {"256": of_statistics(runs[NORM], "all")},
    }
    rates = by_rate(first, runs[RATES])
    tier_drawing.draw_forgetting(panels, SCHEDULES, images / "claims-tiers-forgetting")
    tier_drawing.draw_rates(rates, images / "claims-tiers-rates")
    tier_drawing.draw_accuracies(
        {
            "document": (THEIRS, document()["256"]),
            f"ours, common tier at {SHOWN}": (OURS, first[SHOWN]["256"]),
        },
        images / "claims-tiers-accuracies",
    )
    parts = [
        _protocol(found),
        "### Where ResNet-18 was cut\n",
        _cuts(),
        "### First setting: tasks in order\n",
        _accuracies(first["1e-5"]),
        _rates(rates),
        figure("claims-tiers-rates", "Forgetting against the rate of the common tier"),
        "### What the document orders by\n",
        orderings(panels, SHOWN),
        figure(
            "claims-tiers-forgetting",
            "Forgetting against the size of the task tier: the document and ours",
        ),
        figure(
            "claims-tiers-accuracies",
            "Accuracy of each data set after it was learnt and at the end",
        ),
        "### Batch normalisation forgets by itself\n",
        _statistics(first["1e-5"], runs[NORM]),
        "### Second setting: one pool\n",
        _pool(runs[POOL], first["1e-5"]),
        "### On the chip\n",
        _on_the_chip(found[CHIP]),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def document() -> dict[str, dict[str, Learnt]]:
    """What the thesis prints, by schedule and split."""
    return {
        batch: {split: one.learnt(batch) for split, one in PRINTED.items()}
        for batch in ("256", "64")
    }


def by_schedule(runs: Mapping[str, Learnt]) -> dict[str, dict[str, Learnt]]:
    """Runs of one experiment, by those of the schedules that it has, and by split."""
    return {
        schedule: {split: runs[f"{one.label}-{schedule}"] for split, one in PRINTED.items()}
        for schedule in SCHEDULES
        if any(label.endswith(f"-{schedule}") for label in runs)
    }


def of_statistics(runs: Mapping[str, Learnt], kind: str) -> dict[str, Learnt]:
    """Normalised runs at batch 256 by split, of those splits that there are."""
    labels = {split: f"{one.label}-{kind}-256" for split, one in PRINTED.items()}
    return {split: runs[label] for split, label in labels.items() if label in runs}


def by_rate(
    first: Mapping[str, Mapping[str, Mapping[str, Learnt]]], others: Mapping[str, Learnt]
) -> dict[str, dict[str, Learnt]]:
    """Runs at batch 256 by the rate of the common tier, lowest first, and by split."""
    found = {
        rate: {split: schedules["256"][split] for split in SWEPT}
        for rate, schedules in first.items()
    }
    for rate in ("1e-4", "1e-2"):
        found[rate] = {split: others[f"{PRINTED[split].label}-{rate}"] for split in SWEPT}
    return {rate: found[rate] for rate in sorted(found, key=float)}


def _protocol(found: Mapping[str, Ran]) -> str:
    commands = "\n".join(f"- {found[name].note()}" for name in EXPERIMENTS)
    return f"""\
Val1 is the accuracy on a data set right after it was learnt, Val2 at the end; ACC is the mean of
Val2, LA of Val1, and F the mean of Val1 − Val2 over all data sets but the last, in points. The task
is told in testing. The document has one run for each number and does not state its optimiser,
epochs, image size, where the copies of the task tier start, nor in which mode batch normalisation
ran.

Ours is a small stand-in, rectified and without batch normalisation unless stated: five
convolutional layers of 8, 16, 16, 16 and 16 filters and outputs, 16 x 16 grey pixels, 2,560
training and 500 test samples of each of MNIST, CIFAR-10, Omniglot (242 characters in the place of
CIFAR-100) and Fashion-MNIST, Adam at both rates, a frozen tier that is random and not trained on
ImageNet, and copies that all start from what the network was drawn with. The first layer stands
for ResNet-18 up to layer3, the next four for the four parts of layer4, whose kernels have the same
proportion. 12 epochs are 120 updates at batch 256 and 480 at batch 64; *equal updates* are 3 epochs
at batch 64.

{commands}
"""


def _cuts() -> str:
    lines = []
    for split, one in PRINTED.items():
        cut, off, next_off = resnet.nearest(one.sizes)
        sizes = " / ".join(f"{size / 1e6:.2f}" for size in cut.sizes)
        lines.append(
            [split, cut.frozen_to, cut.common_to, sizes, f"{off:.2f}", f"{next_off:.2f}"]
        )
    total = sum(resnet.parts().values())
    head = [
        "split, as printed [M]",
        "frozen up to",
        "common up to",
        "parameters [M]",
        "off by",
        "next best cut",
    ]
    return f"""\
The document names splits by millions of parameters. ResNet-18 has {total + resnet.head(1000):,}
with its 1,000 outputs and {total:,} without, in {len(resnet.parts())} layers; of all
{len(resnet.splits())} ways to cut them twice, one comes near each name. *Off by* is the largest of
the three differences to what is printed, in millions, beside that of the next best cut.

{table(head, lines)}

So a smaller task tier also is a later cut: size and depth were never varied apart.
"""


def shares(values: NDArray[np.float64]) -> str:
    """Mean of one share for each seed with half of its 95 % interval, in percent."""
    return percent(values.tolist())


def _accuracies(ours: Mapping[str, Mapping[str, Learnt]]) -> str:
    lines = []
    for split, one in PRINTED.items():
        for batch in ("256", "64"):
            doc, mine = one.learnt(batch), ours[batch][split]
            pairs = [f"{a}/{b}" for a, b in one.first[batch]]
            lines.append(
                [
                    split, batch, *pairs,
                    *(f"{100 * x.mean():.1f}" for x in (doc.acc, doc.la, doc.forgetting)),
                    *(shares(x) for x in (mine.acc, mine.la, mine.forgetting)),
                    points(100 * float(mine.forgetting.mean() - doc.forgetting.mean())),
                ]
            )  # fmt: skip
    derived = ["ACC", "LA", "F", "ours: ACC", "ours: LA", "ours: F", "F: ours − document"]
    rows = []
    for split in PRINTED:
        for schedule, word in SCHEDULES.items():
            mine = ours[schedule][split]
            pairs = [
                f"{100 * a:.0f}/{100 * b:.0f}"
                for a, b in zip(mine.after.mean(0), mine.end.mean(0), strict=True)
            ]
            rows.append([split, word, *pairs])
    return f"""\
The document's table (Val1/Val2, from which ACC, LA and F are derived here), and ours with its
rates, 1e-5 for the common tier and 1e-2 for a task's own; batch 64 at equal epochs.

{table(["split", "batch", *THEIRS, *derived], lines)}

Ours by data set (Val1/Val2):

{table(["split", "", *OURS], rows)}

Fashion-MNIST is the last task, so its Val1 and Val2 are one measurement and say nothing of
forgetting.
"""


def _rates(rates: Mapping[str, Mapping[str, Learnt]]) -> str:
    lines = [
        [rate, *(shares(one.forgetting) for one in splits.values())]
        for rate, splits in rates.items()
    ]
    return f"""\
Where forgetting starts: F in points at batch 256, 120 updates a task, by the rate of the common
tier, for the largest and the smallest task tier.

{table(["common tier at", *SWEPT], lines)}

Adam moves a weight by about its rate in each update, so 120 updates at 1e-5 move it by a
thousandth: too little to forget, and to learn. That the document forgets at this rate takes many
more updates (235 in one pass over MNIST at batch 256), or something else that moves; see below.
"""


def _statistics(
    without: Mapping[str, Mapping[str, Learnt]], runs: Mapping[str, Learnt]
) -> str:
    kinds = (
        without["256"], of_statistics(runs, "own"), by_schedule(runs)["256"],
        of_statistics(runs, "all"),
    )  # fmt: skip
    lines = []
    for split, one in PRINTED.items():
        found = [one.learnt("256"), *(kind.get(split) for kind in kinds)]
        cells = [
            "–" if x is None
            else f"{100 * x.la[0]:.1f}; {100 * x.forgetting[0]:.1f}" if len(x.la) == 1
            else f"{shares(x.la)}; {shares(x.forgetting)}"
            for x in found
        ]  # fmt: skip
        lines.append([split, *cells])
    head = [
        "split",
        "document",
        "ours without",
        "each task's own",
        "shared",
        "one set for all",
    ]
    return f"""\
The document's network has batch normalisation in all tiers, and the document does not say whose
running means and variances serve a task. They move with every batch in training mode, also where no
weight does. Three readings, at batch 256 with the common tier at 1e-5 as in the document: each task
has its own; the frozen and common layers have one set, moved by all tasks (*shared*); every layer
has (*one set for all*), as if a task's copy were of weights and not of statistics. LA; F, in
percent:

{table(head, lines)}

Mean F over the splits is {_overall(kinds[0])} points without normalisation,
{_overall(kinds[1])} with each task's own statistics (two splits), {_overall(kinds[2])} with shared
ones and {_overall(kinds[3])} with one set for all; {_overall(document()["256"])} in the document.
So statistics alone can forget as much as the document reports, while hardly a weight moves. They do
not settle its order: with one set for all, 7.2 M forgets {_largest(kinds[3])} points more than
2.4 M, with shared ones {_largest(kinds[2])}, in the document {_largest(document()["256"])}. A
reading that was not run is that statistics of the task tier alone were left behind: what those
forget would grow with it.
"""


def _overall(splits: Mapping[str, Learnt]) -> str:
    """Forgetting in points, mean over splits."""
    return shares(np.mean([one.forgetting for one in splits.values()], axis=0))


def _largest(splits: Mapping[str, Learnt]) -> str:
    """How much more the largest task tier forgets than the smallest ones, in points."""
    first, _, _, *smallest = (one.forgetting for one in splits.values())
    return difference(first - np.mean(smallest, axis=0))


def _pool(pool: Mapping[str, Learnt], first: Mapping[str, Mapping[str, Learnt]]) -> str:
    lines = []
    for split in BEST:
        one = PRINTED[split]
        doc = [f"{a}/{b}" for a, b in one.first["256"]]
        mine = first["256"][split]
        order = [
            f"{100 * a:.0f}/{100 * b:.0f}"
            for a, b in zip(mine.after.mean(0), mine.end.mean(0), strict=True)
        ]
        found = pool[one.label].end
        mixed = [shares(x) for x in found.T]
        gains = [difference(x) for x in (found - mine.after).T]
        lines += [
            [split, "document, in order", *doc],
            [split, "ours, in order", *order],
            [split, "ours, pool", *mixed],
            [split, "ours, pool − Val1", *gains],
        ]
    return f"""\
The training samples of all four data sets in random batches of 512, dealt out in four portions of
12 epochs each; every sample passes through the copy of its own task. In order: Val1/Val2 at batch
256.

{table(["split", "", "MNIST", "CIFAR-10", "CIFAR-100 / Omniglot", "Fashion-MNIST"], lines)}

The document gives no table here (two figures are lost), but one sentence: task 2, "CIFAR10", has 20
to 25 % in this setting against 30 to 34 % in the first. Its own table has CIFAR-10 at 50 to 68 %
there; 28 to 39 % are those of CIFAR-100, which is task 2 when counted from 0. So the sentence is
about CIFAR-100, under the wrong name. Ours agrees in that the pool costs Omniglot, in CIFAR-100's
place, and not CIFAR-10; how much it costs rests on the portions, since a character of which a
portion has two or three samples is learnt from those, and then from others.
"""


def _on_the_chip(ran: Ran) -> str:
    return f"""\
No chip takes rectified neurons, so the columns of the chip come from spiking ones on a smaller
network (4 and 8 filters, 12 x 12 pixels, digits in Omniglot's place). {ran.note()}

A crossbar cannot share weights: every position of an image has devices of its own that hold the
same kernel. The host keeps a kernel once for each task, and a switch writes it once for each
position.

{chip_table(ran)}

All splits have the same wires, so the same devices, and an inference costs what its spikes cost.
What a smaller task tier saves is writing: a switch and a task rewrite fewer devices, and fewer bits
wait off the chip. What it costs is accuracy, as above.
"""
