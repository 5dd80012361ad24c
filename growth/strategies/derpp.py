"""Dark experience replay++: exemplars come with the answer that the network gave when it saw them.

::

    loss = criterion(net(batch), labels)
         + alpha * mean over x' and outputs of (z(x') - z')^2 / steps
         + beta  * criterion(net(x''), labels'')

x' and x'' are two draws from a reservoir over all batches seen so far, the present task's
included; z are spike counts, or the values of outputs that do not spike, and z' what they were
when x' came. No boundaries are used. With several epochs a sample is offered in each.

Stored beside the network: the exemplars, and 16 bits for each output of each. On the chip: one
program; every update passes three times as many samples.

Sources: Buzzega, Boschini, Porrello, Abati and Calderara, NeurIPS 2020; that the square is
divided by the steps is ours, as snnTorch's mean square of counts is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch.nn.functional import mse_loss

from growth.config import Section
from growth.strategies.exemplars import Exemplars, Remembering

if TYPE_CHECKING:
    from torch import Tensor

    from growth.streams import Stream

__all__ = ["DERpp"]


class DERpp(Remembering):
    """Repeat exemplars with their labels, and with the answers given when they came."""

    live = True
    takes_kernels = True
    needs_boundaries = False

    class Options(Section):
        """How many exemplars, how much their answers and their labels weigh.

        `batch` exemplars are drawn for each of the two, as many as there are new samples by
        default. The default `alpha` is the better of 0.5 and 1 on a held out fifth of the
        training digits of two seeds; `beta` was not tuned.
        """

        memory: int = Field(default=200, ge=1)
        alpha: float = Field(default=0.5, ge=0)
        beta: float = Field(default=1.0, ge=0)
        batch: int | None = Field(default=None, ge=1)

    options: Any

    def make_memory(self, stream: Stream) -> Exemplars:
        self.fresh: dict[str, Tensor] = {}
        self.drawn: list[dict[str, Tensor]] = []
        return Exemplars(self.options.memory)

    def batch(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        self.fresh = {"inputs": inputs, "labels": labels}
        count = self.options.batch or len(labels)
        self.drawn = (
            [self.memory.draw(count, self.torch_rng) for _ in range(2)]
            if len(self.memory)
            else []
        )
        return (
            torch.cat([inputs, *(part["inputs"] for part in self.drawn)]),
            torch.cat([labels, *(part["labels"] for part in self.drawn)]),
        )

    def loss(self, given: Tensor, labels: Tensor) -> Tensor:
        output = self.forward(given)
        sizes = [
            len(part["labels"]) for part in (self.fresh, *self.drawn) if "labels" in part
        ]
        own, *old = output.split(sizes, 1)
        wanted = self.targets(labels).split(sizes)
        self.fresh["logits"] = own.detach().sum(0)
        total: Tensor = self.criterion(own, wanted[0])
        if old:
            distance = mse_loss(old[0].sum(0), self.drawn[0]["logits"]) / len(given)
            total = total + self.options.alpha * distance
            total = total + self.options.beta * self.criterion(old[1], wanted[2])
        return total

    def stepped(self) -> None:
        self.memory.offer(self.torch_rng, **self.fresh)
