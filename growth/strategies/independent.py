"""Independent networks: one for each task, told apart by the identity of the task.

Nothing is shared, so nothing is forgotten, and nothing learnt once helps again. Two ways to keep
them: *swapped*, one network's worth of devices that is rewritten from one task to the next; or
*resident*, all networks side by side, each new one on devices of its own. Inputs reach all
resident networks, and all of them spend energy on every sample.

Stored beside the network: swapped, the weights of all tasks, one level each; resident, nothing.
On the chip: swapped, a switch rewrites nearly all devices (fewer if a task starts from the
weights of the one before); resident, a switch is free, and the wiring grows with every task.

Sources: The reference without transfer of many comparisons, "separate networks" in van de Ven,
Tuytelaars and Tolias, Nature Machine Intelligence 4, 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from growth.blueprint import BIAS, INPUTS, Blueprint
from growth.config import Section
from growth.strategies.base import Stored, Strategy
from growth.strategies.precision import weight_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from growth.blueprint import Serve
    from growth.streams import Task

__all__ = ["Independent"]


class Independent(Strategy):
    """Train a network for each task."""

    needs_identity = True
    takes_kernels = True

    class Options(Section):
        """Where the networks are, and how a new one starts.

        `resident` keeps all of them on the chip. `start` "new" draws new weights, "same" takes
        the same ones for every task, "last" those of the task before.
        """

        resident: bool = False
        start: Literal["new", "same", "last"] = "new"

    options: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.nets: dict[
            int, dict[str, Tensor]
        ] = {}  # by identity, as they were first learnt
        self.last: int | None = None
        self.first = self.copies()

    def copies(self) -> dict[str, Tensor]:
        """Return the weights as they are now."""
        return {name: w.detach().clone() for name, w in self.net.weights.items()}

    def begin(self, task: Task) -> None:
        if task.identity in self.nets:
            start: Mapping[str, Tensor] = self.nets[task.identity]
        elif not self.nets or self.options.start == "same":
            start = self.first
        elif self.options.start == "new":
            start = self.make_net().weights
        else:
            return
        with torch.no_grad():
            for name, weight in self.net.weights.items():
                weight.copy_(start[name])

    def end(self, task: Task) -> None:
        self.nets[task.identity] = self.copies()
        self.last = task.identity

    def programmed(self) -> Mapping[str, Tensor]:
        kept = super().programmed()
        if not self.options.resident or self.task is None:
            return kept
        return {f"{self.task.identity}/{name}": w for name, w in kept.items()}

    def known(self, identity: int | None) -> int | None:
        """Identity whose network serves: the one learnt last, if it has none of its own."""
        return identity if identity in self.nets else self.last

    def blueprint(self, identity: int | None = None) -> Blueprint:
        number = self.known(identity)
        if number is None:
            return self.net.blueprint()
        if not self.options.resident:
            return self.net.blueprint(self.nets[number])
        return beside(
            {f"task {k}": self.net.blueprint(weights) for k, weights in self.nets.items()}
        )

    def scores(self, serve: Serve, identity: int | None = None) -> NDArray[Any]:
        fired = serve(self.blueprint(identity))
        number = self.known(identity)
        if self.options.resident and number is not None:
            return fired[f"task {number}/out"]
        return fired["out"]

    def ledger(self) -> list[Stored]:
        if self.options.resident or not self.nets:
            return []
        bits = len(self.nets) * weight_bits(self.net, self.experiment.device.levels)
        return [Stored("weights of all tasks", bits, "host")]

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "nets": self.nets, "last": self.last, "first": self.first,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.nets, self.last = dict(state["nets"]), state["last"]
        self.first = dict(state["first"])


def beside(parts: Mapping[str, Blueprint]) -> Blueprint:
    """Put networks of the same inputs side by side.

    Parameters
    ----------
    parts : mapping of Blueprint
        By the name that is put before those of its populations. Neurons are numbered network
        by network, so that one more network leaves all numbers as they are.

    Returns
    -------
    Blueprint
    """
    populations, connections, born = [], [], 0
    for name, part in parts.items():

        def own(other: str, name: str = name) -> str:
            return other if other in (INPUTS, BIAS) else f"{name}/{other}"

        populations += [
            replace(p, name=own(p.name), births=np.asarray(p.births + born))
            for p in part.populations
        ]
        connections += [
            replace(c, source=own(c.source), target=own(c.target)) for c in part.connections
        ]
        born += part.neurons
    first = next(iter(parts.values()))
    return Blueprint(first.inputs, tuple(populations), tuple(connections), first.spiking)
