"""Networks in three tiers: what is forgotten, by the size of the tiers and by the batch (TIER).

The thesis cuts ResNet-18 at two places into a frozen tier, a common one that all tasks train
slowly, and one of which each task has a copy, and learns four data sets in order (first setting) or
from one pool (second). What it reports is typed here as it is printed; its experiments are
`EXPERIMENTS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from growth.claims import resnet, tier_drawing
from growth.claims.base import chip_table, figure, percent, points, table
from growth.claims.learnt import Learnt, learnt
from growth.statistics import estimate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from growth.claims.base import Ran

__all__ = ["EXPERIMENTS", "PRINTED", "TITLE", "Printed", "section"]

TITLE = "Networks in three tiers (TIER)"

FIRST = {"1e-5": "claims-tiers-1e5", "1e-3": "claims-tiers-1e3"}
"""Experiments of the first setting, by the learning rate of the common tier."""

RATES, NORM, POOL, CHIP = (
    f"claims-tiers-{name}" for name in ("rates", "norm", "pool", "chip")
)

EXPERIMENTS = (*FIRST.values(), RATES, NORM, POOL, CHIP)

SHOWN = "1e-3"
"""The rate at which accuracies are drawn: the one at which ours forgets."""

THEIRS = ("MNIST", "CIFAR10", "CIFAR100", "FMNIST")

OURS = ("MNIST", "CIFAR-10 grey", "Omniglot", "Fashion-MNIST")

SCHEDULES = {
    "256": "batch 256",
    "64": "batch 64, equal epochs",
    "64-updates": "batch 64, equal updates",
}


class Printed(NamedTuple):
    """What the thesis prints for one split; accuracies in percent.

    Parameters
    ----------
    label : str
        Of the runs here.
    sizes : tuple
        Millions of parameters of the three tiers.
    first : dict of tuple
        By batch size, for each data set Val1 and Val2: after it was learnt, and at the end.
    """

    label: str
    sizes: tuple[float, float, float]
    first: dict[str, tuple[tuple[int, int], ...]]

    def learnt(self, batch: str) -> Learnt:
        """The same as of one seed."""
        values = np.array(self.first[batch]).T / 100
        return Learnt(values[:1], values[1:])


PRINTED = {
    "3-1-7.2": Printed("3-1-72", (3, 1, 7.2), {
        "256": ((98, 75), (68, 36), (36, 31), (89, 89)),
        "64": ((99, 65), (69, 29), (39, 33), (91, 91)),
    }),
    "3-3.5-4.8": Printed("3-35-48", (3, 3.5, 4.8), {
        "256": ((98, 89), (68, 45), (35, 30), (89, 89)),
        "64": ((99, 81), (68, 39), (39, 33), (90, 90)),
    }),
    "4-2.5-4.8": Printed("4-25-48", (4, 2.5, 4.8), {
        "256": ((98, 89), (67, 28), (32, 27), (89, 89)),
        "64": ((99, 60), (68, 23), (38, 31), (90, 90)),
    }),
    "6.5-2.3-2.4": Printed("65-23-24", (6.5, 2.3, 2.4), {
        "256": ((96, 96), (62, 55), (32, 32), (86, 86)),
        "64": ((97, 96), (63, 50), (37, 36), (87, 87)),
    }),
    "4-4.8-2.4": Printed("4-48-24", (4, 4.8, 2.4), {
        "256": ((96, 95), (59, 55), (29, 28), (85, 85)),
        "64": ((97, 93), (60, 52), (32, 32), (86, 86)),
    }),
}  # fmt: skip
"""Table 1 of the thesis, common tier at 1e-5, task tier at 1e-2; by size of the task tier."""

BEST = ("6.5-2.3-2.4", "4-4.8-2.4")
"""Splits of the second setting."""

SWEPT = ("3-1-7.2", "6.5-2.3-2.4")
"""Splits with the largest and the smallest task tier, at more rates of the common one."""


def section(found: Mapping[str, Ran], images: Path) -> str:
    """Write the section; see `growth.claims.page.Document`."""
    runs = {name: learnt(found[name]) for name in (*FIRST.values(), RATES, NORM, POOL)}
    first = {rate: by_schedule(runs[name]) for rate, name in FIRST.items()}
    panels = {
        "document, 1e-5": document(),
        **{f"ours, {rate}": schedules for rate, schedules in first.items()},
        "ours, 1e-5, shared statistics": by_schedule(runs[NORM]),
    }
    rates = by_rate(first, runs[RATES])
    sizes = {split: one.sizes[2] for split, one in PRINTED.items()}
    tier_drawing.draw_forgetting(
        panels, sizes, SCHEDULES, images / "claims-tiers-forgetting"
    )
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
        _orderings(panels),
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
with its 1,000 outputs and {total:,} without, in {len(resnet.parts())} convolutions; of all
{len(resnet.splits())} ways to cut them twice, one comes near each name. *Off by* is the largest of
the three differences to what is printed, in millions, beside that of the next best cut.

{table(head, lines)}

So a smaller task tier also is a later cut: size and depth were never varied apart.
"""


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
                    *(percent(x) for x in (mine.acc, mine.la, mine.forgetting)),
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
The document's table (Val1/Val2, from which ACC, LA and F are derived here), and ours with its rates,
1e-5 for the common tier and 1e-2 for a task's own; batch 64 at equal epochs.

{table(["split", "batch", *THEIRS, *derived], lines)}

Ours by data set (Val1/Val2):

{table(["split", "", *OURS], rows)}

Fashion-MNIST is the last task, so its Val1 and Val2 are one measurement and say nothing of
forgetting.
"""


def _rates(rates: Mapping[str, Mapping[str, Learnt]]) -> str:
    lines = [
        [rate, *(percent(one.forgetting) for one in splits.values())]
        for rate, splits in rates.items()
    ]
    return f"""\
Where forgetting starts: F in points at batch 256, 120 updates a task, by the rate of the common
tier, for the largest and the smallest task tier.

{table(["common tier at", *SWEPT], lines)}

Adam moves a weight by about its rate in each update, so 120 updates at 1e-5 move it by a thousandth:
too little to forget, and to learn. That the document forgets at this rate takes many more updates
(235 in one pass over MNIST at batch 256), or something else that moves; see below.
"""


def _orderings(panels: Mapping[str, Mapping[str, Mapping[str, Learnt]]]) -> str:
    lines = []
    for panel, schedules in panels.items():
        for schedule, splits in schedules.items():
            where = f"{panel}; {SCHEDULES[schedule]}"
            f, la = (
                [getattr(o, key) for o in splits.values()] for key in ("forgetting", "la")
            )
            big, middle, small = f[0], (f[1] + f[2]) / 2, (f[3] + f[4]) / 2
            lines.append(
                [
                    where, _difference(big - middle), _difference(middle - small),
                    _difference(la[0] - (la[3] + la[4]) / 2),
                    "" if schedule == "256" else _batches(schedules, schedule),
                ]
            )  # fmt: skip
    head = [
        "", "(a) F: 7.2 M − 4.8 M", "(a) F: 4.8 M − 2.4 M", "(b) LA: 7.2 M − 2.4 M",
        "(c) F: this − batch 256",
    ]  # fmt: skip
    return f"""\
The document's orderings are (a) F ranks by the size of the task tier, (b) LA falls with it, (c)
batch 64 forgets more than batch 256. As differences in points, paired by seed (two splits of one
size are averaged, and (c) over all five); each is positive if the ordering holds, and marked \\* if
its interval leaves out 0.

{table(head, lines)}

{_verdicts(panels)}
"""


def _difference(values: NDArray[np.float64]) -> str:
    if len(values) == 1:
        return points(100 * float(values[0]))
    found = estimate(values)
    sure = found.low is not None and found.high is not None and found.low * found.high > 0
    return found.text(100).replace("-", "−") + (" \\*" if sure else "")


def _batches(schedules: Mapping[str, Mapping[str, Learnt]], schedule: str) -> str:
    return _difference(_more(schedules, schedule))


def _more(
    schedules: Mapping[str, Mapping[str, Learnt]], schedule: str
) -> NDArray[np.float64]:
    """How much more a schedule forgets than batch 256, mean over splits, (seeds,)."""
    found: NDArray[np.float64] = np.mean(
        [
            schedules[schedule][s].forgetting - schedules["256"][s].forgetting
            for s in PRINTED
        ],
        axis=0,
    )
    return found


def _verdicts(panels: Mapping[str, Mapping[str, Mapping[str, Learnt]]]) -> str:
    ours = panels[f"ours, {SHOWN}"]
    epochs, updates = (100 * _more(ours, schedule) for schedule in ("64", "64-updates"))
    share = float(updates.mean() / epochs.mean())
    means = {split: 100 * float(o.forgetting.mean()) for split, o in ours["256"].items()}
    ranks = ", ".join(
        f"{split} ({value:.1f})"
        for split, value in sorted(means.items(), key=lambda x: -x[1])
    )
    return f"""\
At {SHOWN}, batch 256, splits rank by F: {ranks}. Of what batch 64 forgets more at equal epochs
({estimate(epochs).text()} points) {100 * share:.0f} % is left at equal updates
({estimate(updates).text()} points): the document's (c) mixes a smaller batch with four times as
many updates. REASONS
"""


def _statistics(
    without: Mapping[str, Mapping[str, Learnt]], runs: Mapping[str, Learnt]
) -> str:
    shared = by_schedule(runs)
    lines = []
    for split, one in PRINTED.items():
        own = runs.get(f"{one.label}-own-256")
        cells = [
            "–" if x is None else f"{percent(x.la)}; {percent(x.forgetting)}"
            for x in (without["256"][split], own, shared["256"][split], shared["64"][split])
        ]
        doc = one.learnt("256")
        lines.append(
            [split, f"{100 * doc.la[0]:.1f}; {100 * doc.forgetting[0]:.1f}", *cells]
        )
    head = [
        "split", "document, 256", "ours without, 256", "each task's own, 256",
        "shared, 256", "shared, 64",
    ]  # fmt: skip
    return f"""\
The document's network has batch normalisation in all tiers and does not say in which mode it ran.
Left in training mode, the running means and variances of the frozen and common layers follow every
task, also where no weight moves. The same splits, the common tier at 1e-5 as in the document; LA; F
in percent:

{table(head, lines)}

REASONS
"""


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
        mixed = [percent(list(x)) for x in pool[one.label].end.T]
        lines += [
            [split, "document, in order", *doc],
            [split, "ours, in order", *order],
            [split, "ours, pool", *mixed],
        ]
    return f"""\
The training samples of all four data sets in random batches of 512, dealt out in four portions of
12 epochs each; every sample passes through the copy of its own task. In order: Val1/Val2 at batch
256.

{table(["split", "", "MNIST", "CIFAR-10", "CIFAR-100 / Omniglot", "Fashion-MNIST"], lines)}

The document gives no table here (two figures are lost), but one sentence: task 2, "CIFAR10", has 20
to 25 % in this setting against 30 to 34 % in the first. Its own table has CIFAR-10 at 50 to 68 %
there; 28 to 39 % are those of CIFAR-100, which is task 2 when counted from 0. So the sentence is
about CIFAR-100, under the wrong name. REASONS
"""


def _on_the_chip(ran: Ran) -> str:
    return f"""\
No chip takes rectified neurons, so the columns of the chip come from spiking ones on a smaller
network (4 and 8 filters, 12 x 12 pixels, digits in Omniglot's place). {ran.note()}

A crossbar cannot share weights: every position of an image has devices of its own that hold the same
kernel. The host keeps a kernel once for each task, and a switch writes it once for each position.

{chip_table(ran)}

REASONS
"""
