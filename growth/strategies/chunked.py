"""A hypernetwork that generates the weights of a network chunk by chunk.

A small fully connected network h reads the embedding e of a task and the embedding c of a chunk,
and gives `chunk` weights at a time::

    theta(e) = theta_0 + s * [h(e, c_1), h(e, c_2), ...]

theta_0 are the initial weights of the network, drawn anew from a seed whenever they are needed,
and s is, layer by layer, their spread. The last layer of h starts so small that generated
weights start from theta_0 and a share `start` of what is usual in their layer. Without theta_0
the chunks of one layer start nearly alike, since they come from the same h by embeddings of few
dimensions; without s a wide layer, whose weights are small, is generated as coarsely as a
narrow one. Either makes what is learnt depend on the draw.

Source: von Oswald, Henning, Grewe and Sacramento, "Continual learning with hypernetworks",
ICLR 2020, section 2 and appendix (chunks); the size of the first outputs as in Chang, Flokas and
Lipson, "Principled weight initialization for hypernetworks", ICLR 2020 (hyperfan). To generate
the difference to seeded weights is ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from growth.layered import Weights

__all__ = ["Chunked", "flat", "shaped"]


def flat(weights: Weights) -> Tensor:
    """All weights one after the other.

    Examples
    --------
    >>> flat({"w0": torch.ones(2, 3), "w1": torch.zeros(1, 2)}).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    """
    return torch.cat([w.reshape(-1) for w in weights.values()])


def shaped(values: Tensor, like: Weights) -> dict[str, Tensor]:
    """Undo `flat`."""
    parts = values.split([w.numel() for w in like.values()])
    return {
        name: part.view(w.shape)
        for (name, w), part in zip(like.items(), parts, strict=True)
    }


class Chunked(nn.Module):
    """Generates vectors of weights from embeddings.

    Parameters
    ----------
    origin : Tensor, (weights,)
        theta_0; kept outside `parameters` and `state_dict`.
    spread : Tensor, (weights,)
        s.
    chunk : int
        Weights generated at a time.
    hidden : sequence of int
        Rectified layers of h.
    embedding : int
        Dimensions of e, and of c.
    start : float
        Standard deviation of the first generated differences, in units of s.
    generator : torch.Generator

    Examples
    --------
    >>> rng = torch.Generator().manual_seed(0)
    >>> net = Chunked(torch.zeros(89400), torch.ones(89400), chunk=200, hidden=(100, 100),
    ...               embedding=8, start=0.1, generator=rng)
    >>> sum(p.numel() for p in net.parameters())  # and 20 embeddings of tasks: 35,736
    35576
    >>> net(torch.zeros(2, 8)).shape
    torch.Size([2, 89400])
    """

    def __init__(
        self,
        origin: Tensor,
        spread: Tensor,
        *,
        chunk: int,
        hidden: Sequence[int],
        embedding: int,
        start: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.origin, self.spread = origin, spread
        chunks = -(-origin.numel() // chunk)
        self.chunks = nn.Parameter(torch.randn(chunks, embedding, generator=generator))
        sizes = [2 * embedding, *hidden, chunk]
        for k, (pre, post) in enumerate(itertools.pairwise(sizes)):
            # Every layer keeps the mean square of what it reads, which rectifying halves; the
            # last one shrinks it.
            gain = ((1 if k == 0 else 2) / pre) ** 0.5 * (
                start if k + 2 == len(sizes) else 1
            )
            weight = torch.randn(post, pre, generator=generator) * gain
            self.register_parameter(f"weight{k}", nn.Parameter(weight))
            self.register_parameter(f"bias{k}", nn.Parameter(torch.zeros(post)))
        self.depth = len(sizes) - 1

    def differences(self, embeddings: Tensor) -> Tensor:
        """What is generated, in units of the spread, (tasks, weights)."""
        mine = dict(self.named_parameters())
        tasks = len(embeddings)
        # The first layer is linear in both embeddings: each is taken through it once.
        of_task, of_chunk = mine["weight0"].split(embeddings.shape[1], 1)
        now = (embeddings @ of_task.T)[:, None] + self.chunks @ of_chunk.T + mine["bias0"]
        for k in range(1, self.depth):
            now = now.clamp(min=0) @ mine[f"weight{k}"].T + mine[f"bias{k}"]
        return now.reshape(tasks, -1)[:, : len(self.origin)]

    def forward(self, embeddings: Tensor) -> Tensor:
        """Weights of each task, (tasks, weights), from embeddings, (tasks, dimensions)."""
        return self.origin + self.spread * self.differences(embeddings)
