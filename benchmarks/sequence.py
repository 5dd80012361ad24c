"""Time an update through `growth.sequence.leaky` against stepping snnTorch's cells.

Run with ``make bench``. An update is forward, cross entropy of spike counts, backward, of a
network of ``Leaky`` layers with default settings. Both train the same weights, multiples of
1/256, so that the spikes must be equal, and are checked to be, as are the gradients to 1e-5.
The table gives process CPU time (median of interleaved repetitions after a warm-up) on one
thread, products with the weights included; "products" is what those alone cost us.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import snntorch
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from growth.sequence import leaky

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (784, 100, 100, 10)
STEPS = 25
BETA = 0.9
RATE = 0.15
CELL = snntorch.Leaky(beta=BETA)
"""For all layers: it is told its membrane at each step."""


def draw(batch: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Weights that keep every layer firing, spikes and labels, from one seed."""
    random = torch.Generator().manual_seed(0)
    weights = [
        ((torch.randn(post, pre, generator=random) + 0.1) * 400 / pre**0.5).round() / 256
        for pre, post in pairwise(SIZES)
    ]
    spikes = (torch.rand(STEPS, batch, SIZES[0], generator=random) < RATE).float()
    labels = torch.randint(SIZES[-1], (batch,), generator=random)
    return [weight.requires_grad_() for weight in weights], spikes, labels


def step(weights: list[Tensor], spikes: Tensor) -> Tensor:
    """Spikes of the last layer, as snnTorch's tutorials loop."""
    membranes = [torch.zeros(spikes.shape[1], len(weight)) for weight in weights]
    fired = []
    for now in spikes:
        spike = now
        for k, weight in enumerate(weights):
            spike, membranes[k] = CELL(spike @ weight.T, membranes[k])
        fired.append(spike)
    return torch.stack(fired)


def whole(weights: list[Tensor], spikes: Tensor) -> Tensor:
    """The same, layer by layer."""
    for weight in weights:
        spikes = leaky(spikes @ weight.T, BETA)
    return spikes


def products(weights: list[Tensor], spikes: Tensor) -> Tensor:
    """The same without neurons."""
    for weight in weights:
        spikes = spikes @ weight.T
    return spikes


def update(
    forward: Callable[[list[Tensor], Tensor], Tensor],
    weights: list[Tensor],
    spikes: Tensor,
    labels: Tensor,
) -> Tensor:
    """Forward and backward; the gradients are left in the weights."""
    for weight in weights:
        weight.grad = None
    fired = forward(weights, spikes)
    torch.nn.functional.cross_entropy(fired.sum(0), labels).backward()
    return fired.detach()


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=30)
    repetitions = parser.parse_args().repetitions
    torch.set_num_threads(1)
    sizes = "-".join(map(str, SIZES))
    table = Table(title=f"An update of {sizes}, {STEPS} steps, one thread")
    for name in ("batch", "fired", "snnTorch [ms]", "ours [ms]", "products [ms]", "ratio"):
        table.add_column(name, justify="right")
    for batch in (10, 64):
        weights, spikes, labels = draw(batch)
        seen = {}
        for forward in (step, whole):
            fired = update(forward, weights, spikes, labels)
            seen[forward] = fired, [weight.grad for weight in weights]
        if not torch.equal(seen[step][0], seen[whole][0]):
            raise SystemExit(f"spikes differ at batch {batch}")
        for theirs, ours in zip(seen[step][1], seen[whole][1], strict=True):
            if theirs is None or ours is None or not theirs.any():
                raise SystemExit(f"no gradient at batch {batch}")
            if (theirs - ours).abs().max() > 1e-5 * theirs.abs().max():
                raise SystemExit(f"gradients differ at batch {batch}")
        cost: dict[object, list[float]] = {step: [], whole: [], products: []}
        for _ in range(repetitions):
            for forward in (step, whole, products):
                start = time.process_time()
                update(forward, weights, spikes, labels)
                cost[forward].append(time.process_time() - start)
        a, b, c = (statistics.median(cost[kind]) * 1e3 for kind in (step, whole, products))
        table.add_row(
            str(batch), f"{seen[step][0].mean():.0%}",
            f"{a:.2f}", f"{b:.2f}", f"{c:.2f}", f"{a / b:.1f}",
        )  # fmt: skip
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
