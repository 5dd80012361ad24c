"""Learning without forgetting: the network before the task teaches the one that learns it.

::

    loss = criterion + strength * mean over x of KL(softmax(z_old(x) / T) || softmax(z(x) / T))

over the outputs of labels that were seen before the task; z are the spike counts, or the values
of outputs that do not spike. No sample of an earlier task is kept: the teacher answers the new
samples.

Stored beside the network: the teacher, one level a weight. On the chip: one program to serve;
to learn, every sample also passes forward through the teacher.

Sources: Li and Hoiem, ECCV 2016 and TPAMI 40, 2018; on the outputs of old labels alone and
without the factor T^2 of Hinton et al., as in their paper and in Avalanche.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from growth.config import Section
from growth.strategies.base import Stored, Strategy
from growth.strategies.precision import weight_bits

if TYPE_CHECKING:
    from torch import Tensor

    from growth.streams import Task

__all__ = ["LwF"]


class LwF(Strategy):
    """Keep the answers of the network before the task, on the samples of the task."""

    live = True
    takes_kernels = True
    lasts = True

    class Options(Section):
        """How much the teacher weighs, and how soft its answers are.

        The default strength is the best of 1, 3, 10, 30 and 100 on a held out fifth of the
        training digits of two seeds (spiking, mean squares); the paper has 1.
        """

        strength: float = Field(default=10.0, ge=0)
        temperature: float = Field(default=2.0, gt=0)

    options: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.teacher: dict[str, Tensor] = {}
        self.known: list[int] = []  # outputs of labels that the teacher has seen

    def loss(self, given: Tensor, labels: Tensor) -> Tensor:
        output = self.forward(given)
        total: Tensor = self.criterion(output, self.targets(labels))
        if not self.teacher:
            return total
        with torch.no_grad():
            old = self.net(given, self.teacher).sum(0)[:, self.known]
        self.meter.looked_at(len(labels))
        soft = self.options.temperature
        told = (output.sum(0)[:, self.known] / soft).log_softmax(1)
        distance = torch.nn.functional.kl_div(
            told, (old / soft).log_softmax(1), reduction="batchmean", log_target=True
        )
        return total + self.options.strength * distance

    def end(self, task: Task) -> None:
        self.teacher = {name: w.detach().clone() for name, w in self.net.weights.items()}
        seen = self.targets(torch.from_numpy(task.train_labels).unique()).tolist()
        self.known = sorted({*self.known, *seen})

    def ledger(self) -> list[Stored]:
        if not self.teacher:
            return []
        bits = weight_bits(self.net, self.experiment.device.levels)
        return [Stored("teacher", bits, "host")]

    def state(self) -> dict[str, Any]:
        return super().state() | {"teacher": self.teacher, "known": self.known}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.teacher, self.known = dict(state["teacher"]), list(state["known"])
