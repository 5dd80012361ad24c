"""Three tiers of layers: frozen ones, common ones that learn slowly, and a task's own ones.

Layers from the inputs on: the first `frozen` never learn, the next `common` are one copy that every
task updates with a rate of `common_rate`, the rest has a copy for each task that only it updates,
with `task_rate`. Both rates step at once. Forgetting can come from the common tier only.

Source: the three-tier thesis that this project's specification names (ResNet-18 cut in three,
rates of 1e-5 and 1e-2). It does not state the first values of a task's copy; here they are the
same for all tasks, those that the network was drawn with. Its frozen tier was trained elsewhere;
here it is random, unless ``frozen = 0`` lets it learn slowly as part of the common one. In a stream
that is mixed (its second setting) every sample of a batch passes through the copy of its own task.

With ``statistics`` the currents of hidden layers are normalised (batch normalisation without scale
and shift), by batches in training and by running means and variances in use. The source does not
say whose these are. "own": each task has its own for all layers. "shared": the frozen and common
layers have one set that every task moves, as a network does that is left in training mode. That
alone forgets, also with frozen weights. "all": every layer has one set, as if a task's copy were of
weights alone.

Stored beside the network: the layers of every task, at the precision of a device (a kernel once,
however many positions use it), and its means and variances, 16 bit each. On the chip: the
tiles of the first layers are never rewritten, those of the common ones seldom, and a switch writes
the task's layers anew on the devices of the last one's. (The other way, tiles for every task and
routes to choose among them, needs other wires with every task: that is `grow`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from growth.strategies.base import Stored, Strategy
from growth.strategies.precision import STATISTIC_BITS
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from growth.blueprint import Blueprint
    from growth.config import Experiment
    from growth.host import Host
    from growth.streams import Stream, Task

__all__ = ["Tiers"]

SHARED = -1
"""In the place of a task's identity: what all tasks share."""

MOMENTUM = 0.1
"""Share of a batch in the running means and variances: PyTorch's."""


class Tiers(Strategy):
    """Share the first layers, and give each task last layers of its own."""

    needs_identity = True
    takes_kernels = True

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
        statistics : "none", "shared", "own" or "all"
            Whether currents are normalised, and whose means and variances serve.
        """

        frozen: int = Field(default=1, ge=0)
        common: int | None = Field(default=None, ge=0)
        common_rate: float = Field(default=1e-5, ge=0)
        task_rate: float = Field(default=1e-2, gt=0)
        statistics: Literal["none", "shared", "own", "all"] = "none"

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
        self.net.normalise = self.options.statistics != "none"
        self.copies: dict[int, dict[str, nn.Parameter]] = {}
        # Running means and variances, of each task; those that all share stand under -1.
        self.running: dict[int, dict[str, Tensor]] = {}
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

    def untouched(self, owner: int) -> dict[str, Tensor]:
        """Means of 0 and variances of 1, of the layers whose statistics belong to an owner."""
        shared = {"shared": self.shared, "all": self.net.depth}.get(
            self.options.statistics, 0
        )
        found: dict[str, Tensor] = {}
        if self.net.normalise:
            for k in range(self.net.depth - 1):
                if (owner == SHARED) == (k < shared):
                    rows = len(self.net.weights[f"w{k}"])
                    found |= {f"m{k}": torch.zeros(rows), f"v{k}": torch.ones(rows)}
        return found

    def begin(self, task: Task) -> None:
        tasks = torch.from_numpy(task.train.tasks)
        mixed = len(tasks.unique()) > 1
        self.owners = tasks if mixed else torch.full_like(tasks, task.identity)
        for identity in self.owners.unique().tolist():
            self.copies.setdefault(identity, self.first())
            for owner in (identity, SHARED):
                self.running.setdefault(owner, self.untouched(owner))
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
            weights = {**self.net.weights, **self.copies[identity]}
            parts.append(self.net(given[:, rows], weights))
            order.append(rows)
            self.follow(identity)
        return torch.cat(parts, 1)[:, torch.cat(order).argsort()]

    def follow(self, identity: int) -> None:
        """Let running means and variances follow those of the batch that has just passed."""
        for owner in (identity, SHARED):
            for name, running in self.running[owner].items():
                self.running[owner][name] = running.lerp(self.net.seen[name], MOMENTUM)

    def weights_of(self, identity: int | None) -> dict[str, Tensor]:
        """All layers as a task uses them, with their means and variances."""
        if identity is None:
            return {**self.net.weights, **self.untouched(SHARED), **self.untouched(0)}
        kept = {**self.running[SHARED], **self.running[identity]}
        return {**self.net.weights, **self.copies[identity], **kept}

    def programmed(self) -> Mapping[str, Tensor]:
        """The layers of all tasks that are learnt at once have to be there at once."""
        frozen = self.options.frozen
        common = {
            name: w
            for name, w in self.net.weights.items()
            if frozen <= int(name[1:]) < self.shared
        }
        found = self.on_devices(common)
        identities = self.owners.unique().tolist()
        for identity in identities:
            for name, w in self.on_devices(self.copies[identity]).items():
                found[name if len(identities) == 1 else f"{name} of {identity}"] = w
        return found

    def blueprint(self, identity: int | None = None) -> Blueprint:
        known = identity if identity in self.copies else self.latest
        return self.net.blueprint(self.weights_of(known))

    def ledger(self) -> list[Stored]:
        bits = (self.experiment.device.levels - 1).bit_length()
        weights = [w for copy in self.copies.values() for w in copy.values()]
        kept = [Stored("layers of tasks", bits * sum(w.numel() for w in weights), "host")]
        numbers = sum(len(x) for part in self.running.values() for x in part.values())
        if numbers:
            kept.append(Stored("means and variances", STATISTIC_BITS * numbers, "host"))
        return kept

    # checkpoints --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        copies = {
            identity: {name: weight.detach() for name, weight in copy.items()}
            for identity, copy in self.copies.items()
        }
        return super().state() | {
            "copies": copies, "latest": self.latest, "owners": self.owners,
            "running": self.running,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.copies = {
            identity: {name: nn.Parameter(weight) for name, weight in copy.items()}
            for identity, copy in state["copies"].items()
        }
        self.latest, self.owners = state["latest"], state["owners"]
        self.running = {owner: dict(part) for owner, part in state["running"].items()}
