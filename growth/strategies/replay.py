"""Replay: a few samples of earlier tasks are mixed into every batch.

::

    loss = criterion(net(batch and as many exemplars), labels)

Which samples stay is decided by a reservoir over everything that was seen, or with the same room
for each class or each task. With boundaries the memory is filled when a task ends; without, after
every batch.

Stored beside the network: the exemplars, 8 bits a channel and their label. On the chip: one
program; every update passes twice as many samples.

Sources: Ratcliff, Psychological Review 97, 1990 (rehearsal); Chaudhry et al., On tiny episodic
memories in continual learning, 2019 (experience replay with a reservoir); Lomonaco et al.,
Avalanche, CVPR-W 2021 (``memory = "task"``, batches of new and of old samples side by side).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from growth.config import Section
from growth.strategies.exemplars import Exemplars, Remembering
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from torch import Tensor

    from growth.streams import Stream, Task

__all__ = ["Replay"]


class Replay(Remembering):
    """Mix exemplars of what was learnt before into every batch."""

    live = True
    takes_kernels = True
    needs_boundaries = False

    class Options(Section):
        """How many exemplars, which, and how many of them join a batch.

        `memory` exemplars in all; `balance` "none" is a reservoir, "class" and "task" give the
        same room to each class or task; `batch` exemplars join a batch, as many as there are
        new samples by default.
        """

        memory: int = Field(default=200, ge=1)
        balance: Literal["none", "class", "task"] = "none"
        batch: int | None = Field(default=None, ge=1)

    options: Any

    def make_memory(self, stream: Stream) -> Exemplars:
        balance = self.options.balance
        if balance == "task" and not stream.boundaries:
            raise MosaicError(
                'options.balance is "task", but the stream hides where tasks begin; use "none" '
                'or "class", or set stream.boundaries = true.'
            )
        self.fresh: dict[str, Tensor] = {}
        return Exemplars(self.options.memory, balanced=balance != "none")

    def batch(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        self.fresh = {"inputs": inputs, "labels": labels}
        if not len(self.memory):
            return inputs, labels
        old = self.memory.draw(self.options.batch or len(labels), self.torch_rng)
        return torch.cat([inputs, old["inputs"]]), torch.cat([labels, old["labels"]])

    def stepped(self) -> None:
        if self.task is None:  # nobody says where a task ends
            self.memory.offer(self.torch_rng, **self.fresh)

    def end(self, task: Task) -> None:
        groups: dict[str, Any] = {}
        if self.options.balance == "task":
            groups["groups"] = torch.full((len(task.train),), task.number)
        self.offer(task, **groups)
