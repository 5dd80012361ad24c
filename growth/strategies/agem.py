"""Averaged GEM: no step may raise the mean loss on exemplars of earlier tasks.

::

    g~ = g - min(0, g . r) / (r . r) * r

with r the gradient of the mean loss on some exemplars, drawn anew for each step, of all earlier
tasks together.

Much depends on the optimiser. With Adam renewed for each task, as here, a rectified network keeps
77 % on split MNIST (1,000 images a task, once); with Adam's averages kept from task to task, as
Avalanche does, 39 %: they carry steps past the projection.

Stored beside the network: the exemplars. On the chip: one program; every update also passes
`sample` exemplars.

Sources: Chaudhry, Ranzato, Rohrbach and Elhoseiny, ICLR 2019.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor

from growth.config import Section
from growth.strategies.gem import GEM
from growth.strategies.gradients import flat, of_groups, put

__all__ = ["AGEM"]


class AGEM(GEM):
    """Turn every gradient so that the mean loss of exemplars does not rise."""

    class Options(Section):
        """How many exemplars in all, each task having the same share, and how many to look at."""

        memory: int = Field(default=200, ge=1)
        sample: int = Field(default=200, ge=1)

    options: Any

    def grads(self, given: Tensor, labels: Tensor) -> None:
        if not len(self.memory):
            return
        reference = self.earlier()[0]
        weights = self.net.weights
        own = flat(w.grad for w in weights.values() if w.grad is not None)
        agrees = own @ reference
        if agrees < 0:
            put(own - agrees / (reference @ reference) * reference, weights)

    def earlier(self) -> Tensor:
        drawn = self.memory.draw(self.options.sample, self.torch_rng)
        layers = self.net.layers(self.encode(drawn["inputs"]))
        loss = self.criterion(layers[-1].output, self.targets(drawn["labels"]))
        self.meter.passed(len(drawn["labels"]))
        return of_groups(layers, [loss], [len(drawn["labels"])], self.net)
