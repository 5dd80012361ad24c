"""Three tiers of layers: frozen ones, common ones that learn slowly, and a task's own ones.

Layers from the inputs on: the first `frozen` never learn, the next `common` are one copy that every
task updates with a rate of `common_rate`, the rest has a copy for each task that only it updates,
with `task_rate`. Both rates step at once. Forgetting can come from the common tier only.

Source: the three-tier thesis that this project's specification names (ResNet-18 cut in three,
rates of 1e-5 and 1e-2). It does not state the first values of a task's copy; here they are the
same for all tasks, those that the network was drawn with. Its frozen tier was trained elsewhere;
here it is random, unless ``frozen = 0`` lets it learn slowly as part of the common one. In a stream
that is mixed (its second setting) every sample of a batch passes through the copy of its own task.

Stored beside the network: the layers of every task, at the precision of a device. On the chip: the
tiles of the first layers are never rewritten, those of the common ones seldom, and a switch writes
the task's layers anew on the devices of the last one's. (The other way, tiles for every task and
routes to choose among them, needs other wires with every task: that is `grow`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from growth.strategies.base import Stored, Strategy
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from growth.blueprint import Blueprint
    from growth.config import Experiment
    from growth.host import Host
    from growth.streams import Stream, Task

__all__ = ["Tiers"]


class Tiers(Strategy):
    """Share the first layers, and give each task last layers of its own."""

    needs_identity = True

    class Options(Strategy.Options):
        """Sizes and rates of the tiers.

        Parameters
        ----------
        frozen : int
            Layers of the first tier.
        common : int, optional
            Layers of the second; at least one has to be left for tasks. By default all are
            common that are neither frozen nor the last.
        common_rate, task_rate : float
            Learning rates: those of the source.
        """

        frozen: int = Field(default=1, ge=0)
        common: int | None = Field(default=None, ge=0)
        common_rate: float = Field(default=1e-5, ge=0)
        task_rate: float = Field(default=1e-2, gt=0)

    options: Options

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        frozen, common = self.options.frozen, self.options.common
        self.shared = max(frozen, self.net.depth - 1) if common is None else frozen + common
        if self.shared >= self.net.depth:
            raise ConfigError(
                f"options.frozen is {frozen} and options.common {common}, but the network has "
                f"{self.net.depth} layers of weights; one at least must be left for the tasks."
            )
        for name, weight in self.net.named_parameters():
            weight.requires_grad_(frozen <= int(name[1:]) < self.shared)
        self.copies: dict[int, dict[str, nn.Parameter]] = {}
        self.latest: int | None = None
        self.owners = torch.zeros(
            0, dtype=torch.int64
        )  # of the samples that are learnt from

    @property
    def ready(self) -> bool:
        return bool(self.copies)

    def first(self) -> dict[str, nn.Parameter]:
        """A new copy of the last tier: as the network was drawn, whose own layers never learn."""
        return {
            name: nn.Parameter(weight.detach().clone())
            for name, weight in self.net.weights.items()
            if int(name[1:]) >= self.shared
        }

    def begin(self, task: Task) -> None:
        tasks = torch.from_numpy(task.train.tasks)
        mixed = len(tasks.unique()) > 1
        self.owners = tasks if mixed else torch.full_like(tasks, task.identity)
        for identity in self.owners.unique().tolist():
            self.copies.setdefault(identity, self.first())
        if self.latest is None:
            # As for any first network, what training starts from is on the chip already.
            self.meter.start(self.programmed())
        self.latest = int(self.owners[-1]) if mixed else task.identity

    def groups(self) -> Iterable[Any]:
        taught = [self.copies[identity] for identity in self.owners.unique().tolist()]
        common = [weight for weight in self.net.parameters() if weight.requires_grad]
        own = [weight for copy in taught for weight in copy.values()]
        return [
            {"params": common, "lr": self.options.common_rate},
            {"params": own, "lr": self.options.task_rate},
        ]

    def forward(self, given: Tensor) -> Tensor:
        owners = self.owners[self.rows]
        parts, order = [], []
        for identity in owners.unique().tolist():
            rows = torch.nonzero(owners == identity).flatten()
            parts.append(self.net(given[:, rows], self.weights_of(identity)))
            order.append(rows)
        return torch.cat(parts, 1)[:, torch.cat(order).argsort()]

    def weights_of(self, identity: int | None) -> dict[str, Tensor]:
        """All layers as a task uses them."""
        own = {} if identity is None else self.copies[identity]
        return {**self.net.weights, **own}

    def programmed(self) -> Mapping[str, Tensor]:
        """The layers of all tasks that are learnt at once have to be there at once."""
        found = {
            name: w
            for name, w in self.net.weights.items()
            if w.ndim == 2 and int(name[1:]) < self.shared
        }
        identities = self.owners.unique().tolist()
        for identity in identities:
            for name, w in self.copies[identity].items():
                key = name if len(identities) == 1 else f"{name} of {identity}"
                found |= {key: w} if w.ndim == 2 else {}
        return found

    def blueprint(self, identity: int | None = None) -> Blueprint:
        known = identity if identity in self.copies else self.latest
        return self.net.blueprint(self.weights_of(known))

    def ledger(self) -> list[Stored]:
        bits = (self.experiment.device.levels - 1).bit_length()
        weights = [w for copy in self.copies.values() for w in copy.values()]
        return [Stored("layers of tasks", bits * sum(w.numel() for w in weights), "host")]

    # checkpoints --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        copies = {
            identity: {name: weight.detach() for name, weight in copy.items()}
            for identity, copy in self.copies.items()
        }
        return super().state() | {
            "copies": copies, "latest": self.latest, "owners": self.owners,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.copies = {
            identity: {name: nn.Parameter(weight) for name, weight in copy.items()}
            for identity, copy in state["copies"].items()
        }
        self.latest, self.owners = state["latest"], state["owners"]
