"""Exclusive supermask subnetworks: masks first, then only the weights that no other task uses.

For a task t, on one random network W:

1. *Knowledge transfer.* Each earlier mask's subnetwork turns a share of the new samples into
   hidden activity of its last hidden layer; a nearest-neighbour classifier on two thirds of it
   is tested on the other third. The scores of the best start the new task, if it beats chance;
   those of the outputs start fresh, unlike the source, since an earlier task has silenced
   the outputs of later classes, and spiking neurons that are silent hardly learn.
2. *Mask.* Scores learn straight through; ``M_t`` keeps the largest ``|S|`` of each layer.
3. *Weights.* ``W`` learns under ``M_t``, where no other task's mask is:
   ``dW = dL/dW * M_t * prod_(j != t) (1 - M_j)``.

What an earlier task computes never changes, so it forgets nothing (F = 0).

Source: Yadav and Bansal, "Exclusive supermask subnetwork training for continual learning",
Findings of ACL 2023, arXiv:2210.10209, and their code (steps, defaults of density and rates).

Stored beside the network: one bit a weight and task; the weights that any mask holds, at the
precision of a device, since those that a served task masks off are not on the chip; the seed of
the others; with transfer also the scores of every task, 32 bit. On the chip: a switch rewrites the
weights that are in one of two masks only: few, since masks are sparse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from growth.strategies.base import Progress, Stored, silent
from growth.strategies.supsup import SupSup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from growth.samples import Samples
    from growth.strategies.masks import Masks
    from growth.streams import Task

__all__ = ["Exssnet"]

TRAINED_SHARE = 0.66
"""Of the samples that knowledge transfer looks at: those that neighbours are looked for among."""

FEWEST = 3
"""Samples that are enough to look at: two to find neighbours among, one to test."""


class Exssnet(SupSup):
    """Learn a sparse mask, then the weights in it that are exclusively its own."""

    class Options(SupSup.Options):
        """Options of exclusive subnetworks.

        Parameters
        ----------
        masks, density
            As for `supsup`: sparse masks of one density by default.
        start : "fresh"
            Scores start fresh, or from what `transfer` finds.
        transfer : "best", "always", "mean" or "none"
            Whose scores start a task: of the best earlier task if its neighbours beat chance;
            of the best in any case; the mean of all; nobody's.
        neighbours : int
        look_share : float
            Share of the new samples that transfer looks at.
        score_rate, weight_rate : float
            Learning rates of the two phases, each as many epochs as the experiment says. (The
            authors' 0.01 for scores silences outputs of spiking networks for good: 80 % instead
            of 99 % on validation samples of split MNIST, one seed.)
        """

        masks: Literal["threshold", "density"] = "density"
        density: float = Field(default=0.2, gt=0, le=1)
        start: Literal["fresh"] = "fresh"
        normalise: Literal[False] = False
        transfer: Literal["best", "always", "mean", "none"] = "best"
        neighbours: int = Field(default=10, ge=1)
        look_share: float = Field(default=0.2, gt=0, le=1)
        score_rate: float = Field(default=0.001, gt=0)
        weight_rate: float = Field(default=0.001, gt=0)

    options: Options

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.exclusive: dict[str, Tensor] = {}  # bool; not empty while weights learn
        self.before: dict[str, Tensor] = {}

    # 1: where to start ----------------------------------------------------------------------

    def start(self, task: Task, key: int) -> dict[str, Tensor]:
        start = super().start(task, key)
        others = [k for k in self.masks if k != key]
        kind = self.options.transfer
        if key in self.masks or not others or kind == "none":
            return start
        if kind == "mean":
            self.evidence = {"start": "mean"}
            parts = [self.earlier[k] for k in others]
            return {name: torch.stack([p[name] for p in parts]).mean(0) for name in start}
        order = self.rng.permutation(len(task.train))
        size = max(FEWEST, round(self.options.look_share * len(order)))
        looked = task.train.take(order[:size])
        found = {k: self.neighbours_right(self.masks[k], looked) for k in others}
        best = max(found, key=lambda k: found[k])
        self.evidence["neighbours_right"] = {str(k): share for k, share in found.items()}
        if kind == "best" and found[best] <= 1 / len(task.classes):
            return start
        self.evidence |= {"start": "copied", "copied": best}
        last = f"w{self.net.depth - 1}"
        return {**self.earlier[best], last: start[last]}

    @torch.no_grad()
    def neighbours_right(self, masks: Masks, samples: Samples) -> float:
        """Share of samples whose label their neighbours in a subnetwork's activity tell.

        Parameters
        ----------
        masks : mapping of bool Tensor
            Of the subnetwork.
        samples : Samples
            The first two thirds are the neighbours, the rest is tested.
        """
        weights, parts = self.masked(masks), []
        for given, _ in self.looked_at(samples):
            parts.append([given, *self.net.activity(given, weights)][-2].sum(0))
        features, labels = torch.cat(parts).numpy(), samples.labels
        known = min(max(1, round(TRAINED_SHARE * len(labels))), len(labels) - 1)
        nearest = KNeighborsClassifier(min(self.options.neighbours, known))
        nearest.fit(features[:known], labels[:known])
        return float(np.mean(nearest.predict(features[known:]) == labels[known:]))

    # 2 and 3: scores, then weights ------------------------------------------------------------

    def fit(self, samples: Samples, epochs: int, progress: Progress = silent) -> None:
        super().fit(samples, epochs, lambda share: progress(share / 2))
        learnt = self.masks_of(self.learning)
        used = self.used(besides=None if self.task is None else self.key(self.task))
        self.exclusive = {name: mask & ~used[name] for name, mask in learnt.items()}
        for weight in self.connections.values():
            weight.requires_grad_(True)
        super().fit(samples, epochs, lambda share: progress((1 + share) / 2))
        self.net.requires_grad_(False)
        self.exclusive = {}

    def used(self, besides: int | None = None) -> dict[str, Tensor]:
        """Weights in the masks of all tasks, or of all but one."""
        used = {
            name: torch.zeros(w.shape, dtype=torch.bool)
            for name, w in self.connections.items()
        }
        for key, masks in self.masks.items():
            if key != besides:
                used = {name: used[name] | mask for name, mask in masks.items()}
        return used

    def groups(self) -> Iterable[Any]:
        if not self.exclusive:
            return super().groups()
        own = list(self.connections.values())
        return [{"params": own, "lr": self.options.weight_rate}]

    def forward(self, given: Tensor) -> Tensor:
        if not self.exclusive:
            return super().forward(given)
        return self.net(given, self.masked(self.masks_of(self.learning)))

    def grads(self, given: Tensor, labels: Tensor) -> None:
        """Only what is the task's own may change."""
        for name, exclusive in self.exclusive.items():
            weight = self.connections[name]
            if weight.grad is not None:
                weight.grad.mul_(exclusive)
            self.before[name] = weight.detach().clone()

    @torch.no_grad()
    def stepped(self) -> None:
        # Momentum and weight decay would move weights without a gradient as well.
        for name, exclusive in self.exclusive.items():
            weight = self.connections[name]
            weight.copy_(torch.where(exclusive, weight, self.before[name]))

    def end(self, task: Task) -> None:
        others = self.used(besides=self.key(task))
        super().end(task)
        own = self.masks[self.key(task)]
        if self.options.transfer != "none":
            scores = {name: s.detach() for name, s in self.learning.items()}
            self.earlier[self.key(task)] = scores
        self.evidence["exclusive"] = {
            name: float((mask & ~others[name]).sum() / mask.sum())
            for name, mask in own.items()
        }

    # on the chip ----------------------------------------------------------------------------

    def ledger(self) -> list[Stored]:
        trained = sum(int(mask.sum()) for mask in self.used().values())
        bits = (self.experiment.device.levels - 1).bit_length()
        return [*super().ledger(), Stored("trained weights", bits * trained, "host")]
