"""Elastic weight consolidation: weights are held where earlier tasks need them.

::

    loss = criterion + strength / 2 * sum_i A_i (w_i - c_i)^2

A sums the diagonal Fisher information F of all finished tasks, and c is the mean of their weights
w* with F as weights: the sum of the parabolas of all tasks is one parabola, so that two numbers a
weight are kept, however many tasks there are. Online EWC decays A before F is added, and holds
weights to the last task's: A <- decay A + F, c <- w*.

F is the mean over samples of the squared gradient of *one* sample's log-likelihood, expected over
what the network itself would answer::

    F_i = mean over x of E over y ~ p(y | x) of (d log p(y | x) / d w_i)^2

where -log p is the loss: a softmax of the spike counts, or, with mean squares, a normal
distribution around them. It does not depend on how samples are batched. (The square of a batch's
mean gradient, used in its place by Avalanche, shrinks with the batch.)

Stored beside the network: A and c, 16 bits each. On the chip: one program; when a task ends,
`samples` samples pass once, and go backward once for each output.

Sources: Kirkpatrick et al., PNAS 114, 2017; Huszár, PNAS 115, 2018 (one parabola for several
tasks); Schwarz et al., ICML 2018 (online); van de Ven, ICLR blog track 2025 (which Fisher
information).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field

from growth.config import Section
from growth.strategies.base import Stored, Strategy
from growth.strategies.gradients import squares
from growth.strategies.precision import STATISTIC_BITS, parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from growth.samples import Samples
    from growth.streams import Task

__all__ = ["EWC", "OnlineEWC"]

AT_ONCE = 50
"""Samples whose gradients are held at the same time; changes sums by rounding alone."""


class EWC(Strategy):
    """Hold weights where earlier tasks need them, each as firmly as it mattered."""

    live = True
    takes_kernels = True
    lasts = True

    class Options(Section):
        """How firmly, and how the Fisher information is found.

        `fisher` "exact" takes the expectation over all answers, "sampled" draws one for each
        sample, "empirical" takes the given label, which is another quantity; `samples` of a
        task are used, or all. The default strength is the best of 10, 30, 100 and 1,000 on a
        held out fifth of the training digits of two seeds (spiking, mean squares).
        """

        strength: float = Field(default=30.0, ge=0)
        fisher: Literal["exact", "sampled", "empirical"] = "exact"
        samples: int | None = Field(default=200, ge=1)

    options: Any
    importance: dict[str, Tensor]
    anchor: dict[str, Tensor]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.importance, self.anchor = {}, {}

    def penalty(self) -> Tensor | float:
        if not self.importance:
            return 0.0
        pulls = [
            (self.importance[name] * (weight - self.anchor[name]).square()).sum()
            for name, weight in self.net.weights.items()
        ]
        return self.options.strength / 2 * torch.stack(pulls).sum()

    def end(self, task: Task) -> None:
        found = self.fisher(task.train)
        for name, weight in self.net.weights.items():
            self.add(name, found[name], weight.detach().clone())

    def add(self, name: str, fisher: Tensor, weight: Tensor) -> None:
        """Add the parabola of a finished task."""
        if name not in self.importance:
            self.importance[name], self.anchor[name] = fisher, weight
            return
        total = self.importance[name] + fisher
        # Where nothing matters yet, any anchor will do: the last weights.
        share = torch.where(total > 0, fisher / total.clamp(min=1e-38), 1.0)
        self.anchor[name] = self.anchor[name] + share * (weight - self.anchor[name])
        self.importance[name] = total

    def fisher(self, samples: Samples) -> dict[str, Tensor]:
        """Diagonal Fisher information of each weight on some of the samples.

        Returns
        -------
        dict of Tensor
            By name of the weights, as large as they.
        """
        index = np.arange(len(samples))
        wanted = self.options.samples
        if wanted is not None and wanted < len(samples):
            index = np.sort(self.rng.permutation(len(samples))[:wanted])
        total = {name: torch.zeros_like(w) for name, w in self.net.weights.items()}
        for start in range(0, len(index), AT_ONCE):
            part = samples.take(index[start : start + AT_ONCE])
            inputs = torch.from_numpy(np.ascontiguousarray(part.inputs))
            layers = self.net.layers(self.encode(inputs))
            for score in self.likelihoods(
                layers[-1].output, self.targets(torch.from_numpy(part.labels))
            ):
                for name, square in squares(layers, score, self.net).items():
                    total[name] += square
                self.meter.passed(len(part))
        return {name: value / len(index) for name, value in total.items()}

    def likelihoods(self, output: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """Scores, (samples,), whose squared gradients add up to the Fisher information."""
        counts = output.sum(0)
        steps, _, outputs = output.shape
        kind = self.options.fisher
        if kind == "empirical":
            yield torch.stack(
                [self.criterion(output[:, [k]], labels[[k]]) for k in range(len(labels))]
            )
        elif self.experiment.train.loss == "mse_count":
            # The loss is the mean of squares over outputs, by steps: a variance of this size.
            scaled = counts / (outputs * steps / 2) ** 0.5
            if kind == "sampled":
                draw = torch.randn(counts.shape, generator=self.torch_rng)
                yield (draw * scaled).sum(1)
            else:
                yield from scaled.unbind(1)
        else:
            log = counts.log_softmax(1)
            if kind == "sampled":
                # One number for each sample, in order: the same draws however it is batched.
                draw = torch.rand(len(counts), 1, generator=self.torch_rng)
                below = log.detach().exp().cumsum(1) <= draw
                picked = below.sum(1, keepdim=True).clamp(max=outputs - 1)
                yield log.gather(1, picked)[:, 0]
            else:
                yield from (log.detach().mul(0.5).exp() * log).unbind(1)

    def ledger(self) -> list[Stored]:
        if not self.importance:
            return []
        bits = STATISTIC_BITS * parameters_of(self.net)
        return [Stored("importance", bits, "host"), Stored("anchor", bits, "host")]

    def state(self) -> dict[str, Any]:
        return super().state() | {"importance": self.importance, "anchor": self.anchor}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.importance, self.anchor = dict(state["importance"]), dict(state["anchor"])


class OnlineEWC(EWC):
    """The same with a memory that fades: one running importance, anchored at the last task."""

    class Options(EWC.Options):
        """Those of EWC; `decay` of what mattered before, for each further task."""

        decay: float = Field(default=1.0, ge=0, le=1)

    def add(self, name: str, fisher: Tensor, weight: Tensor) -> None:
        if name in self.importance:
            fisher = self.options.decay * self.importance[name] + fisher
        self.importance[name], self.anchor[name] = fisher, weight
