"""What the thesis on three tiers prints, typed as it is printed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from growth.claims.learnt import Learnt

__all__ = ["BEST", "OURS", "PRINTED", "SCHEDULES", "SWEPT", "THEIRS", "PrintedSplit"]

THEIRS = ("MNIST", "CIFAR10", "CIFAR100", "FMNIST")
"""Data sets of the thesis, in its order."""

OURS = ("MNIST", "CIFAR-10 grey", "Omniglot", "Fashion-MNIST")
"""Those in their places here."""

SCHEDULES = {
    "256": "batch 256",
    "64": "batch 64, equal epochs",
    "64-updates": "batch 64, equal updates",
}
"""Of updates; labels of runs end with the keys. The thesis has the first two."""


class PrintedSplit(NamedTuple):
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
    "3-1-7.2": PrintedSplit("3-1-72", (3, 1, 7.2), {
        "256": ((98, 75), (68, 36), (36, 31), (89, 89)),
        "64": ((99, 65), (69, 29), (39, 33), (91, 91)),
    }),
    "3-3.5-4.8": PrintedSplit("3-35-48", (3, 3.5, 4.8), {
        "256": ((98, 89), (68, 45), (35, 30), (89, 89)),
        "64": ((99, 81), (68, 39), (39, 33), (90, 90)),
    }),
    "4-2.5-4.8": PrintedSplit("4-25-48", (4, 2.5, 4.8), {
        "256": ((98, 89), (67, 28), (32, 27), (89, 89)),
        "64": ((99, 60), (68, 23), (38, 31), (90, 90)),
    }),
    "6.5-2.3-2.4": PrintedSplit("65-23-24", (6.5, 2.3, 2.4), {
        "256": ((96, 96), (62, 55), (32, 32), (86, 86)),
        "64": ((97, 96), (63, 50), (37, 36), (87, 87)),
    }),
    "4-4.8-2.4": PrintedSplit("4-48-24", (4, 4.8, 2.4), {
        "256": ((96, 95), (59, 55), (29, 28), (85, 85)),
        "64": ((97, 93), (60, 52), (32, 32), (86, 86)),
    }),
}  # fmt: skip
"""Table 1 of the thesis, common tier at 1e-5, task tier at 1e-2; by size of the task tier."""

BEST = ("6.5-2.3-2.4", "4-4.8-2.4")
"""Splits of the second setting."""

SWEPT = ("3-1-7.2", "6.5-2.3-2.4")
"""Splits with the largest and the smallest task tier, at more rates of the common one."""
