"""A hypernetwork generates the weights of each task, and is held to what it generated before.

While learning task t with embedding e[t], h(e) being the generated weights in units of their
usual spread (`chunked`), and h* the hypernetwork as it was when the task began::

    loss = criterion(network(x; theta(e[t])), y)
           + beta / (t - 1) * sum_{j < t} |h(e[j]) - h*(e[j])|^2

Only the outputs of the task's own labels are generated; the others get weights of 0 and are
silent. (The identity of a sample's task gives its labels away anyhow. With one head for all, a
task pushes down the outputs of others, the next task's weights start from there since they come
from the same h, and those outputs often stay silent for good: `heads`.)

A new task starts with the one of `candidates` random embeddings that suits it best.
Embeddings of earlier tasks stay as they are. When a task comes back, its embedding is trained
further, and is left out of the sum.

Stored beside the network: the hypernetwork and an embedding for each task, 16 bit, and the seed
of the initial weights; while learning, what it generated for earlier tasks. On the chip: every
update rewrites the network, and so does every switch to another task. The task of a sample must
be known.

Source: von Oswald, Henning, Grewe and Sacramento, "Continual learning with hypernetworks", ICLR
2020, equations 1 and 2 without the lookahead, which they found to matter little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from growth.strategies.base import Stored, Strategy
from growth.strategies.chunked import Chunked, flat, shaped
from growth.strategies.precision import STATISTIC_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from growth.blueprint import Blueprint
    from growth.config import Experiment
    from growth.host import Host
    from growth.streams import Stream, Task

__all__ = ["Hypernet", "hypernetwork_of"]

LOOK = 50
"""Samples that first embeddings are compared on."""

ALWAYS = 0.9
"""Share of steps from which an output counts as firing always."""

NEVER = -1e3
"""Bias of a linear output whose label the task does not have."""


def hypernetwork_of(
    net: Mapping[str, Tensor],
    *,
    chunk: int,
    hidden: tuple[int, ...],
    embedding: int,
    start: float,
    generator: torch.Generator,
) -> Chunked:
    """Build a hypernetwork for networks of such weights, which are its theta_0.

    The spread of a layer is the root mean square of its initial weights; that of a bias, too.
    The last layer of theta_0 is 0: random outputs start far above or below their threshold,
    and those below learn next to nothing, since one h learns for all.
    """
    spread = {
        n: torch.full_like(w, float(w.detach().square().mean().sqrt()))
        for n, w in net.items()
    }
    return Chunked(
        resting_outputs(net), flat(spread), chunk=chunk, hidden=hidden,
        embedding=embedding, start=start, generator=generator,
    )  # fmt: skip


def resting_outputs(net: Mapping[str, Tensor]) -> Tensor:
    """Weights one after the other, with 0 in the last layer."""
    last = max(int(name[1:]) for name in net)
    kept = {n: w.detach() for n, w in net.items()}
    return flat(
        {n: torch.zeros_like(w) if int(n[1:]) == last else w for n, w in kept.items()}
    )


class Hypernet(Strategy):
    """Train a hypernetwork end to end, with its outputs for earlier tasks held in place."""

    needs_identity = True

    class Options(Strategy.Options):
        """Options of the hypernetwork.

        Attributes
        ----------
        beta : float
            Weight of holding earlier outputs.
        heads : "own" or "shared"
            Whether a task has only the outputs of its own labels.
        rate : float
            Learning rate, in units of the configured one: every step of h moves all weights
            together, and with large ones all neurons come to fire always, or never.
        candidates : int
            Random embeddings that a new task's first one is chosen from.
        chunk, embedding : int
            Weights generated at a time; dimensions of embeddings.
        layers : tuple of int
            Hidden layers of the hypernetwork.
        start : float
            Size of the first generated differences to the initial weights, in units of their
            spread.
        """

        beta: float = Field(default=0.03, ge=0)
        heads: Literal["own", "shared"] = "own"
        rate: float = Field(default=0.5, gt=0)
        candidates: int = Field(default=8, ge=1)
        chunk: int = Field(default=200, ge=1)
        layers: tuple[int, ...] = Field(default=(100, 100), min_length=1)
        embedding: int = Field(default=8, ge=1)
        start: float = Field(default=0.3, gt=0)

    options: Options

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        self.net.requires_grad_(False)
        options = self.options
        self.hyper = hypernetwork_of(
            self.net.weights, chunk=options.chunk, hidden=options.layers,
            embedding=options.embedding, start=options.start, generator=self.torch_rng,
        )  # fmt: skip
        self.embeddings: dict[int, Tensor] = {}
        self.own: dict[int, Tensor] = {}  # of each task: which labels it has
        self.embedding = torch.zeros(options.embedding)  # of the task being learnt
        self.last = -1  # identity of the task being learnt, or learnt last
        self.held: tuple[Tensor, Tensor] | None = None  # earlier embeddings, what they gave

    def begin(self, task: Task) -> None:
        self.last = task.identity
        known = self.embeddings.get(task.identity)
        labels = torch.zeros(self.labels, dtype=torch.bool)
        labels[torch.from_numpy(task.train_labels)] = True
        self.own[task.identity] = labels | self.own.get(task.identity, labels)
        first = self.first_embedding(task) if known is None else known
        self.embedding = first.clone().requires_grad_()
        earlier = [e for i, e in self.embeddings.items() if i != task.identity]
        self.held = None
        if earlier and self.options.beta:
            stacked = torch.stack(earlier)
            with torch.no_grad():
                self.held = stacked, self.hyper.differences(stacked)

    @torch.no_grad()
    def first_embedding(self, task: Task) -> Tensor:
        """Of some random embeddings, the one that suits a few samples of the task best.

        What an embedding generates before it is trained is chance once h has learnt other
        tasks. It has to let as many of the task's outputs fire now and then as any other does,
        since what is silent or always fires hardly learns; of those the loss decides.
        """
        size = (self.options.candidates, self.options.embedding)
        drawn = torch.randn(*size, generator=self.torch_rng)
        some = task.train.take(np.arange(min(LOOK, len(task.train))))
        given = self.encode(torch.from_numpy(np.ascontiguousarray(some.inputs)))
        labels, own = torch.from_numpy(some.labels), self.own[task.identity]
        ranks = []
        for embedding in drawn:
            fired = self.net(given, self.generated(embedding, own))
            share = (fired[:, :, own] != 0).float().mean((0, 1))
            alive = int(((share > 0) & (share < ALWAYS)).sum())
            ranks.append((-alive, float(self.criterion(fired, labels))))
        self.meter.passed(len(drawn) * len(labels))
        return drawn[ranks.index(min(ranks))]

    def end(self, task: Task) -> None:
        self.embeddings[task.identity] = self.embedding.detach().clone()
        self.held = None

    def groups(self) -> Iterable[Any]:
        return [*self.hyper.parameters(), self.embedding]

    def optimiser(self) -> torch.optim.Optimizer:
        optimiser = super().optimiser()
        for group in optimiser.param_groups:
            group["lr"] *= self.options.rate
        return optimiser

    def generated(self, embedding: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
        """Weights of the network by name, with the outputs of some labels, or of all."""
        weights = shaped(self.hyper(embedding[None])[0], self.net.weights)
        if own is not None and self.options.heads == "own":
            last = f"w{self.net.depth - 1}"
            weights[last] = weights[last] * own[:, None]
            if (
                not self.net.spiking
            ):  # a linear output that gets nothing is not below all others
                bias = f"b{self.net.depth - 1}"
                weights[bias] = torch.where(own, weights[bias], NEVER)
        return weights

    def present(self) -> dict[str, Tensor]:
        """Weights of the task being learnt, or learnt last."""
        return self.generated(self.embedding, self.own.get(self.last))

    def forward(self, given: Tensor) -> Tensor:
        return self.net(given, self.present())

    def penalty(self) -> Tensor | float:
        if self.held is None:
            return 0.0
        embeddings, before = self.held
        moved = (self.hyper.differences(embeddings) - before).square().sum(1)
        return self.options.beta * moved.mean()

    @torch.no_grad()
    def programmed(self) -> Mapping[str, Tensor]:
        return {name: w for name, w in self.present().items() if w.ndim == 2}

    @torch.no_grad()
    def blueprint(self, identity: int | None = None) -> Blueprint:
        if identity is None or identity not in self.embeddings:
            return self.net.blueprint(self.present())
        weights = self.generated(self.embeddings[identity], self.own[identity])
        return self.net.blueprint(weights)

    def ledger(self) -> list[Stored]:
        generator = sum(p.numel() for p in self.hyper.parameters())
        embeddings = len(self.embeddings) * self.options.embedding
        return [
            Stored("hypernetwork", STATISTIC_BITS * generator, "host"),
            Stored("embeddings of tasks", STATISTIC_BITS * embeddings, "host"),
            Stored("seed of the initial weights", 64, "host"),
        ]

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "hyper": self.hyper.state_dict(),
            "spread": self.hyper.spread,
            "last": self.last,
            "own": self.own,
            "embeddings": self.embeddings,
            "embedding": self.embedding.detach(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.hyper.load_state_dict(state["hyper"])
        self.hyper.spread = state["spread"]
        self.hyper.origin = resting_outputs(self.net.weights)
        self.embeddings = {i: e.clone() for i, e in state["embeddings"].items()}
        self.embedding = state["embedding"].clone()
        self.own, self.last = dict(state["own"]), state["last"]
