"""Accuracy while a task is learnt, not only afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from growth.measure import in_torch, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.config import Experiment
    from growth.strategies import Strategy
    from growth.streams import Stream

__all__ = ["Curve"]

LOOKED_AT = 100
"""Test samples of each task that a look is taken at, at most."""


@dataclass
class Curve:
    """Accuracy of all outputs on every task, in torch, before and every few updates.

    Called before each update of a strategy, it looks at every `every`-th.

    Parameters
    ----------
    experiment : Experiment
    stream : Stream
    strategy : Strategy
        One whose answers come from the network in training.
    every : int
        Updates from one look to the next.
    """

    experiment: Experiment
    stream: Stream
    strategy: Strategy
    every: int
    updates: int = 0
    looks: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.samples: list[tuple[NDArray[np.generic], NDArray[np.int64]]] = []
        for task in self.stream.tasks:
            # Spread over the samples, which may stand in the order of their labels.
            rows = np.linspace(0, len(task.test) - 1, min(LOOKED_AT, len(task.test)))
            some = task.test.take(rows.astype(np.int64))
            self.samples.append((shown(self.experiment, some), some.labels))

    def __call__(self) -> None:
        """Count an update, and look if it is time."""
        if self.updates % self.every == 0:
            self.look()
        self.updates += 1

    @torch.no_grad()
    def look(self) -> None:
        """Take the accuracy on every task."""
        row = []
        for given, labels in self.samples:
            found = self.strategy.scores(in_torch(given), None).argmax(1)
            row.append(float((found == labels).mean()))
        self.looks.append(row)

    def taken(self) -> list[list[float]]:
        """Looks since the last call; counting starts anew."""
        looks, self.looks, self.updates = self.looks, [], 0
        return looks
