"""Supermasks: how accurate, how much they overlap, and what a warm start is worth (MASK).

The dissertation learns ten tasks of MNIST (permuted, rotated, ten pairs of digits) as masks over
one
random network, 784-300-300-100, with batch normalisation, and compares the masks. What it reports
is typed here as it is printed; its experiments are `EXPERIMENTS`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from growth.claims import mask_drawing
from growth.claims.base import chip_table, figure, percent, points, table
from growth.claims.overlaps import count_t_test, overlaps_of
from growth.metrics import confusion_of, report
from growth.statistics import compare_paired, estimate, holm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from growth.claims.base import Ran
    from growth.claims.overlaps import Overlaps

__all__ = ["EXPERIMENTS", "PRINTED", "TITLE", "PrintedStream", "section"]

TITLE = "Supermasks and their overlap (MASK)"

STREAMS = ("permuted", "rotated", "partitioned")

EXPERIMENTS = (*(f"claims-masks-{stream}" for stream in STREAMS), "claims-masks-chip")


class PrintedStream(NamedTuple):
    """What the dissertation prints for one stream; accuracies and overlaps in percent.

    Parameters
    ----------
    classic, novel : tuple
        Experiment 2, one epoch, mean of ten rounds: accuracy, seconds, loss.
    classic_two, novel_two : tuple
        Experiment 3, two epochs, one round: precision, recall, F1, accuracy.
    overlap : tuple
        Experiment 1: mean, standard deviation, least and largest Jaccard index of 45 pairs.
    significant : int
        Of 45 t-tests, those below 0.05.
    """

    classic: tuple[float, float, float]
    novel: tuple[float, float, float]
    classic_two: tuple[float, float, float, float]
    novel_two: tuple[float, float, float, float]
    overlap: tuple[float, float, float, float]
    significant: int


PRINTED = {
    "permuted": PrintedStream(
        (94.04, 88.56, 0.5445), (94.13, 69.48, 0.5329),
        (95.70, 95.69, 95.69, 95.73), (95.69, 95.68, 95.68, 95.72),
        (32.98, 0.16, 32.66, 33.35), 4,
    ),
    "rotated": PrintedStream(
        (94.04, 95.65, 0.5425), (94.10, 78.37, 0.5359),
        (95.71, 95.70, 95.70, 95.74), (95.63, 95.61, 95.61, 95.66),
        (33.09, 0.19, 32.77, 33.59), 9,
    ),
    "partitioned": PrintedStream(
        (98.40, 15.74, 0.9437), (98.47, 13.14, 0.9150),
        (98.83, 98.84, 98.83, 98.83), (98.79, 98.80, 98.79, 98.80),
        (33.09, 0.18, 32.78, 33.62), 8,
    ),
}  # fmt: skip

ALIKE = 0.5
"""Points that an accuracy may differ by and still count as reproduced."""

HIDDEN = 1
"""The layer whose 300 x 300 masks the dissertation compares."""


def section(found: Mapping[str, Ran], images: Path) -> str:
    """Write the section; see `growth.claims.page.Document`."""
    ran = {stream: found[f"claims-masks-{stream}"] for stream in STREAMS}
    overlaps = {
        stream: {label: _overlaps(one, label) for label in one.runs}
        for stream, one in ran.items()
    }
    mask_drawing.draw_overlap(overlaps, images / "claims-masks-overlap")
    mask_drawing.draw_counts(overlaps, HIDDEN, images / "claims-masks-t-tests")
    mask_drawing.draw_bars(ran, PRINTED, images / "claims-masks-bars")
    for stream, one in ran.items():
        mask_drawing.draw_confusion(one, images / f"claims-masks-confusion-{stream}")
    mask_drawing.draw_masks(ran["permuted"], HIDDEN, images / "claims-masks-masks")
    parts = [
        _protocol(ran),
        "### Experiments 2 and 3: accuracy\n",
        _accuracies(ran),
        _classes(ran),
        *(
            figure(
                f"claims-masks-confusion-{stream}",
                f"Confusion matrix of each task, {stream}",
            )
            for stream in ran
        ),
        "### Experiment 1: overlap is chance\n",
        _overlap_text(overlaps),
        figure(
            "claims-masks-overlap",
            "Jaccard index of every two masks: heat maps, and the same as points in space",
        ),
        figure("claims-masks-masks", "Masks of two tasks, and what they share"),
        "### The t-tests test something else\n",
        _t_tests(overlaps),
        figure("claims-masks-t-tests", "Overlap of two masks against the t of their ones"),
        "### Classic and novel, with all the time that each takes\n",
        _warm_starts(ran, overlaps),
        figure("claims-masks-bars", "Accuracy, time and loss of the document and of ours"),
        "### On the chip\n",
        _on_the_chip(found["claims-masks-chip"]),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _overlaps(ran: Ran, label: str) -> list[Overlaps]:
    return [overlaps_of(seed) for seed in ran.summaries[label].growth]


def _protocol(ran: Mapping[str, Ran]) -> str:
    commands = "\n".join(f"- {one.note()}" for one in ran.values())
    return f"""\
Ten tasks over one random network of rectified neurons, 784-300-300-100, with batch normalisation,
a mask for each task, RMSprop at 0.0001 and batches of 128, as the code that the document follows.
Inputs are scaled to 0 to 1 (the document: to mean 0), rotations are by 36 degrees, all 60,000
images train and all 10,000 test. Of the 100 outputs the ten of the labels compete.

{commands}

*Classic* starts every mask from fresh scores (`fresh` here). *Novel* is meant to start from the
most similar earlier mask; in the document's code that never happens while it trains. Here
`similar` does it honestly: the new images are seen through a fresh mask, without labels and
without a network that knows them, and the scores of the earlier task with the most similar means
are copied.
"""


def _accuracies(ran: Mapping[str, Ran]) -> str:
    lines = []
    for stream, one in ran.items():
        doc = PRINTED[stream]
        for name, label, claimed in (
            ("classic, one epoch", "fresh", doc.classic[0]),
            ("novel as it runs, one epoch", "fresh", doc.novel[0]),
            ("novel as intended, one epoch", "similar", doc.novel[0]),
            ("classic, two epochs", "fresh-two-epochs", doc.classic_two[3]),
            ("novel as it runs, two epochs", "fresh-two-epochs", doc.novel_two[3]),
            ("novel as intended, two epochs", "similar-two-epochs", doc.novel_two[3]),
        ):
            ours = one.rows[label].values["accuracy"] or []
            difference = 100 * float(np.mean(ours)) - claimed
            lines.append(
                [
                    stream, name, f"{claimed:.2f}", percent(ours, 2), points(difference, 2),
                    "yes" if abs(difference) <= ALIKE else "no",
                ]
            )  # fmt: skip
    head = [
        "stream",
        "method",
        "document [%]",
        "ours [%]",
        "difference",
        f"within {ALIKE:g}",
    ]
    return f"""\
{table(head, lines)}

*As it runs*, the document's novel method is its classic one, which is also why the two lie
{_gap(1)} points apart after one epoch, and {_gap(2)} with the other sign after two. *As intended*
it starts from an earlier mask, as ours does; the document has no number of that. It gives one
number for ten rounds, without their spread.
"""


def _gap(epochs: int) -> str:
    gaps = [
        doc.novel[0] - doc.classic[0]
        if epochs == 1
        else doc.novel_two[3] - doc.classic_two[3]
        for doc in PRINTED.values()
    ]
    low, high = sorted((min(gaps, key=abs), max(gaps, key=abs)), key=abs)
    return f"{abs(low):.2f} to {abs(high):.2f}"


def _classes(ran: Mapping[str, Ran]) -> str:
    lines = []
    for stream, one in ran.items():
        found = []
        for rows in one.summaries["fresh-two-epochs"].metrics:
            tasks = [_macro(confusion_of(task)) for task in rows[-1]["confusions"]]
            found.append(np.mean(tasks, 0))
        values = np.array(found)
        ours = [percent(list(values[:, k]), 2) for k in range(3)]
        claimed = [f"{value:.2f}" for value in PRINTED[stream].classic_two[:3]]
        lines.append(
            [stream, *(x for pair in zip(claimed, ours, strict=True) for x in pair)]
        )
    head = [
        "stream",
        "precision, document",
        "ours",
        "recall, document",
        "ours",
        "F1, document",
    ]
    return f"""\
Macro precision, recall and F1 of experiment 3, classic (two epochs): of each task over its own
classes, then the mean of the tasks.

{table([*head, "ours"], lines)}
"""


def _macro(confusion: np.ndarray) -> list[float]:
    """Macro precision, recall and F1 over the classes that have samples."""
    true, taken = (
        place.repeat(confusion.ravel())
        for place in np.indices(confusion.shape).reshape(2, -1)
    )
    found = report(taken, true, len(confusion))
    there = found.support > 0
    return [
        float(np.nan_to_num(values[there]).mean())
        for values in (found.precision, found.recall, found.f1)
    ]


def _overlap_text(overlaps: Mapping[str, Mapping[str, list[Overlaps]]]) -> str:
    lines, above = [], 0.0
    for stream, labels in overlaps.items():
        seeds = labels["fresh"]
        pairs = seeds[0].pairs
        hidden = np.array([one.jaccard[pairs][:, HIDDEN] for one in seeds])
        chance = np.array([one.chance[pairs][:, HIDDEN] for one in seeds])
        above = max(above, 100 * float((hidden - chance).mean()))
        mean, deviation, low, high = PRINTED[stream].overlap
        lines.append(
            [
                stream, f"{mean:.2f} ({deviation:.2f}; {low:.2f} to {high:.2f})",
                f"{100 * hidden.mean():.2f} ({100 * hidden.std(axis=1, ddof=1).mean():.2f}; "
                f"{100 * hidden.min():.2f} to {100 * hidden.max():.2f})",
                f"{100 * chance.mean():.2f}", points(100 * (hidden - chance).mean(), 2),
            ]
        )  # fmt: skip
    rest = []
    for stream, labels in overlaps.items():
        for label, seeds in labels.items():
            if "epochs" in label:
                continue
            pairs = seeds[0].pairs
            cells = []
            for layer in range(len(seeds[0].weights)):
                measured = np.mean([one.jaccard[pairs][:, layer].mean() for one in seeds])
                chance = np.mean([one.chance[pairs][:, layer].mean() for one in seeds])
                cells.append(f"{100 * measured:.1f} ({100 * chance:.1f})")
            share = np.mean([o.flips[pairs].mean() / o.weights.sum() for o in seeds])
            rest.append([stream, label, *cells, f"{100 * share:.0f} %"])
    doc = [
        "stream",
        "document, layer 2 [%]",
        "ours, layer 2 [%]",
        "chance [%]",
        "above chance",
    ]
    ours = [
        "stream",
        "start",
        "layer 1",
        "layer 2",
        "output layer",
        "rewritten at a switch",
    ]
    return f"""\
Jaccard index of the 45 pairs of masks of the second layer: mean (standard deviation over pairs;
least to largest). *Chance* is what two masks of the densities that were found have if they know
nothing of each other, `p q / (p + q - p q)`.

{table(doc, lines)}

A third is what independent masks of a half share. The document's "extensive overlap" is chance:
ours is {above:.2f} points above it at most. Its tables also give some pairs two values, which a
symmetric index cannot have. What decides the overlap is where scores start: measured (chance), in
percent, mean over pairs and seeds, and the share of devices that a switch between two tasks
rewrites, d1 + d2 − 2 overlap.

{table(ours, rest)}

Only the output layer overlaps above chance from fresh starts: every task pushes the same unused
outputs down. So overlap is a choice, and on a chip it has a price.
"""


def _t_tests(overlaps: Mapping[str, Mapping[str, list[Overlaps]]]) -> str:
    lines = []
    for stream, labels in overlaps.items():
        raw, corrected, ranks = [], [], []
        for one in labels["fresh"]:
            rows, columns = one.pairs
            size = int(one.weights[HIDDEN])
            tests = [
                count_t_test(int(one.ones[i, HIDDEN]), int(one.ones[j, HIDDEN]), size)
                for i, j in zip(rows, columns, strict=True)
            ]
            p = np.array([p for _, p in tests])
            raw.append(int((p < 0.05).sum()))
            corrected.append(int((holm(p) < 0.05).sum()))
            jaccard = one.jaccard[one.pairs][:, HIDDEN]
            ranks.append(stats.spearmanr([abs(t) for t, _ in tests], jaccard).statistic)
        lines.append(
            [
                stream, str(PRINTED[stream].significant), ", ".join(map(str, raw)),
                ", ".join(map(str, corrected)),
                f"{min(ranks):+.2f} to {max(ranks):+.2f}".replace("-", "−"),
            ]
        )  # fmt: skip
    head = [
        "stream", "document: p < 0.05", "ours, of 45, by seed", "after Holm",
        "rank correlation of t and overlap, by seed",
    ]  # fmt: skip
    return f"""\
The document compares every two masks by a t-test and reads a high p as "most similar". All of its
135 values of t are whole multiples of 1/√45000, and t(a, b) = z_a − z_b: they compare *how many*
ones two masks of 90,000 weights have, not where. Two masks without a single weight in common can
have t = 0. Ours, from the same masks:

{table(head, lines)}

45 tests that share ten masks are neither independent nor corrected in the document; after Holm's
correction one of its 135 is left (rotated, tasks 1 and 2, p = 0.015).
"""


def _warm_starts(
    ran: Mapping[str, Ran], overlaps: Mapping[str, Mapping[str, list[Overlaps]]]
) -> str:
    lines = []
    for stream, one in ran.items():
        labels = [label for label in one.runs if "epochs" not in label]
        accuracy = {k: one.rows[k].values["accuracy"] or [] for k in labels}
        against = {pair.name: pair for pair in compare_paired(accuracy, "fresh")}
        for label in labels:
            seconds = estimate(one.learning_seconds(label))
            losses = [
                float(np.mean([row["training_loss"] for row in rows]))
                for rows in one.summaries[label].metrics
            ]
            pair = against.get(label)
            gain = "" if pair is None else pair.difference.text(100, 2)
            lines.append(
                [
                    stream, label, percent(accuracy[label], 2), gain,
                    estimate(losses).text(digits=3), seconds.text(digits=1),
                ]
            )  # fmt: skip
    doc = [
        [stream, *(f"{x:g}" for x in d.classic), *(f"{x:g}" for x in d.novel)]
        for stream, d in PRINTED.items()
    ]
    head = [
        "stream",
        "start",
        "accuracy [%]",
        "gain on fresh",
        "loss",
        "time of a task [s]",
    ]
    names = [
        f"{method}: {x}"
        for method in ("classic", "novel")
        for x in ("accuracy", "s", "loss")
    ]
    return f"""\
The document, one epoch:

{table(["stream", *names], doc)}

Ours, one epoch; *time* is processor time to learn a task with everything that the start needs
(for `similar` the pass over 2,048 new images, for `oracle` a pass of all training images through
every earlier mask); gains are paired by seed.

{table(head, lines)}

The document's *novel* takes less time than *classic* because it leaves out the classic run of the
new task that it reads its similarity from: with it, novel takes {_honest_time()}. {_verdict(ran)}
"""


def _honest_time() -> str:
    parts = [
        f"{doc.classic[1] + doc.novel[1]:.0f} s in place of {doc.novel[1]:.0f} s ({stream})"
        for stream, doc in PRINTED.items()
    ]
    return ", ".join(parts)


def _verdict(ran: Mapping[str, Ran]) -> str:
    gains = []
    for stream, one in ran.items():
        values = {k: one.rows[k].values["accuracy"] or [] for k in ("fresh", "similar")}
        pair = compare_paired(values, "fresh")[0]
        low, high = pair.difference.low, pair.difference.high
        sure = low is not None and high is not None and low * high > 0
        word = points(100 * pair.difference.mean, 2)
        gains.append(
            f"{word} points on {stream} MNIST{'' if sure else ' (its interval has 0)'}"
        )
    return (
        "A warm start that does start from an earlier mask brings " + "; ".join(gains) + "."
    )


def _on_the_chip(ran: Ran) -> str:
    switches = []
    for label in ran.runs:
        measured = [
            float(np.mean(rows[-1]["switches"])) for rows in ran.summaries[label].cost
        ]
        predicted = []
        for one in _overlaps(ran, label):
            last = len(one.flips) - 1
            order = [
                last,
                *range(last + 1),
            ]  # tasks are served in turn, after the last is learnt
            predicted.append(float(np.mean([one.flips[a, b] for a, b in pairwise(order)])))
        switches.append(
            [label, f"{np.mean(predicted):,.0f}", f"{estimate(measured).mean:,.0f}"]
        )
    return f"""\
No chip takes rectified neurons with batch normalisation, so the columns of the chip come from a
spiking network of the same layers and tasks, with 1,000 images of each permutation. {ran.note()}

{chip_table(ran)}

What a switch rewrites can be told from the masks, d1 + d2 − 2 overlap: a weight is a pair of
devices, and to take it into a mask or out of it sets or clears one of them. (A mask of routes is
shared by the neurons of a block.) Mean over the switches from one task to the next:

{table(["start", "weights in one mask only", "devices rewritten at a switch"], switches)}
"""
