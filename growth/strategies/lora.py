"""Low-rank adapters: the first task trains a network, every later one a small change to it.

``W_t = W_0 + s B_t A_t`` in every layer, with A (rank, sources) drawn from Kaiming's uniform
distribution and B (neurons, rank) zero, so that a layer starts as that of the first network. Only
A and B learn; ``W_0`` and the biases are frozen after the first task. The first task leaves the
outputs of later classes silent, and spiking neurons that are silent hardly learn, so a task has an
output layer of its own by default (``outputs = "own"``), drawn anew. Nothing that an earlier task
computes ever changes (F = 0).

Source: Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022 (equation 3,
initial values); one adapter for each task, told which: the simplest continual use of it.

On the chip the adapters are merged into the weights, and a switch reprograms them. A path of its
own for ``B A x`` would need neurons that neither spike nor leak between the two, which the chip
does not have; merged weights need no further device and no further energy in inference. The
price is the switch: a matrix of low rank is dense, so most levels may change.

Stored beside the network, in the host: ``W_0`` and all adapters, 32 bit each, since merged weights
are rounded to levels only after they are added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from growth.strategies.base import Stored, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from growth.blueprint import Blueprint
    from growth.config import Experiment
    from growth.host import Host
    from growth.streams import Stream, Task

__all__ = ["LoRA"]

WEIGHT_BITS = 32

Adapter = dict[str, nn.Parameter]
"""``a0``, ``c0``, ...: the two factors A and B for ``w0``, ...; weights by their own name are
instead of those of the first network."""


class LoRA(Strategy):
    """Freeze the network of the first task; give later tasks low-rank changes to it."""

    needs_identity = True

    class Options(Strategy.Options):
        """Size and rate of adapters.

        Parameters
        ----------
        rank : int
            Of the change of a layer; no more than a layer has neurons or sources is used.
        scale : float
            s.
        outputs : "own" or "adapted"
            Whether a task has an output layer of its own, or one of low-rank changes.
        adapter_rate : float
            Learning rate of adapters. (0.003 was better than 0.001 on validation samples of split
            digits and split MNIST; rank 4 better than 2; one seed each.)
        """

        rank: int = Field(default=4, ge=1)
        scale: float = Field(default=1.0, gt=0)
        outputs: Literal["own", "adapted"] = "own"
        adapter_rate: float = Field(default=0.003, gt=0)

    options: Options

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        self.adapters: dict[int, Adapter] = {}  # of the first task: empty
        self.latest: int | None = None

    def begin(self, task: Task) -> None:
        if self.latest is None:
            self.adapters[task.identity] = {}
        else:
            self.net.requires_grad_(False)
            if not self.adapters.get(task.identity):
                self.adapters[task.identity] = self.new_adapter()
        self.latest = task.identity

    def new_adapter(self) -> Adapter:
        """An adapter that changes no hidden layer yet."""
        found: Adapter = {}
        last = str(self.net.depth - 1)
        own = self.make_net().weights if self.options.outputs == "own" else {}
        for name, weight in self.net.weights.items():
            if own and name[1:] == last:
                found[name] = nn.Parameter(own[name].detach().clone())
            elif weight.ndim == 2:
                neurons, sources = weight.shape
                rank = min(self.options.rank, neurons, sources)
                # kaiming_uniform_ with a = sqrt(5), as LoRA's code has it.
                drawn = torch.rand(rank, sources, generator=self.torch_rng) * 2 - 1
                found[f"a{name[1:]}"] = nn.Parameter(drawn * sources**-0.5)
                found[f"c{name[1:]}"] = nn.Parameter(torch.zeros(neurons, rank))
        return found

    def merged(self, identity: int | None) -> dict[str, Tensor]:
        """Weights of the network with the adapter of a task."""
        adapter: Mapping[str, Tensor] = {}
        if identity is not None:
            adapter = self.adapters[identity]
        found = {name: adapter.get(name, w) for name, w in self.net.weights.items()}
        for name in [name for name in adapter if name.startswith("a")]:
            change = adapter[f"c{name[1:]}"] @ adapter[name]
            found[f"w{name[1:]}"] = found[f"w{name[1:]}"] + self.options.scale * change
        return found

    def groups(self) -> Iterable[Any]:
        adapter = {} if self.latest is None else self.adapters[self.latest]
        if not adapter:
            return super().groups()
        return [{"params": list(adapter.values()), "lr": self.options.adapter_rate}]

    def forward(self, given: Tensor) -> Tensor:
        return self.net(given, self.merged(self.latest))

    def programmed(self) -> Mapping[str, Tensor]:
        return {name: w for name, w in self.merged(self.latest).items() if w.ndim == 2}

    def blueprint(self, identity: int | None = None) -> Blueprint:
        known = identity if identity in self.adapters else self.latest
        return self.net.blueprint(self.merged(known))

    def ledger(self) -> list[Stored]:
        adapters = sum(w.numel() for a in self.adapters.values() for w in a.values())
        first = sum(w.numel() for w in self.net.weights.values())
        return [
            Stored("adapters", WEIGHT_BITS * adapters, "host"),
            Stored("first network", WEIGHT_BITS * first if adapters else 0, "host"),
        ]

    # checkpoints --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        adapters = {
            identity: {name: factor.detach() for name, factor in adapter.items()}
            for identity, adapter in self.adapters.items()
        }
        return super().state() | {"adapters": adapters, "latest": self.latest}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.adapters = {
            identity: {name: nn.Parameter(factor) for name, factor in adapter.items()}
            for identity, adapter in state["adapters"].items()
        }
        self.latest = state["latest"]
