"""Grow a small spiking network on digits in every way, and see what each buys, and when.

``python benchmarks/starts.py [--seeds 5] [--optimiser sgd]``; one thread, about a minute. A
64-10-10 network is trained for four epochs, then four hidden neurons are added, and it is
trained on. The table has the mean over seeds of how much lower the loss is than that of the
network that did not grow, on the same batches, so many steps after growth.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable

import numpy as np
import snntorch
import torch
from rich.console import Console
from rich.table import Table
from snntorch import surrogate
from torch import Tensor, nn
from torch.nn import functional

from growth.encode import regular_rate
from growth.initialise import INITIALISATIONS, Site, carry, measure, widen
from growth.streams import digits

STEPS, BATCH, NEURONS, EPOCHS = 12, 128, 4, 4
MARKS = (0, 5, 25, 100)
SITE = Site(("into",), ("cell",), ("out",))
MAKE: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda weights: torch.optim.SGD(weights, 0.01),
    "adam": lambda weights: torch.optim.Adam(weights, 2e-3),
}


class Net(nn.Module):
    """Linear, Leaky, Linear, Leaky; gives a quarter of the spike counts of the last."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(64, 10), nn.Linear(10, 10)
        self.cell = snntorch.Leaky(beta=0.9, spike_grad=surrogate.atan())
        self.last = snntorch.Leaky(beta=0.9, spike_grad=surrogate.atan())

    def forward(self, spikes: Tensor) -> Tensor:
        """Log-odds, (samples, 10), from (steps, samples, 64)."""
        hidden = torch.zeros(spikes.shape[1], self.into.out_features)
        voltage, total = torch.zeros(spikes.shape[1], 10), torch.zeros(spikes.shape[1], 10)
        for now in spikes:
            spike, hidden = self.cell(self.into(now), hidden)
            spike, voltage = self.last(self.out(spike), voltage)
            total = total + spike
        return total / 4  # as log-odds, from 0 to 5


def latency(intensity: np.ndarray, steps: int) -> np.ndarray:
    """One spike for each pixel above 0.1, the earlier the brighter, (samples, steps, pixels)."""
    at = np.round((1 - intensity) * (steps - 1)).astype(int)
    return (np.arange(steps)[None, :, None] == at[:, None]) & (intensity > 0.1)[:, None]


def main() -> None:
    """Print one table for each code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--optimiser", choices=sorted(MAKE), default="sgd")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = digits(0)
    for code in (latency, regular_rate):
        name = {"latency": "latency", "regular_rate": "rate"}[code.__name__]
        spikes = torch.from_numpy(code(data.train_inputs, STEPS).transpose(1, 0, 2)).float()
        drops = [
            compare(
                spikes, torch.from_numpy(data.train_labels), seed, MAKE[options.optimiser]
            )
            for seed in range(options.seeds)
        ]
        heads = [f"after {step}" if step else "at once" for step in MARKS]
        table = Table(
            "start", *heads, width=100, title=f"loss drop, {name} code, {options.optimiser}"
        )
        for start in INITIALISATIONS:
            each = np.array([drop[start] for drop in drops])
            error = each.std(0, ddof=1) / len(each) ** 0.5 if len(each) > 1 else 0 * each[0]
            cells = zip(each.mean(0), np.broadcast_to(error, len(MARKS)), strict=True)
            table.add_row(start, *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in cells))
        Console(width=100).print(table)


def compare(
    spikes: Tensor, labels: Tensor, seed: int, make: Callable[..., torch.optim.Optimizer]
) -> dict[str, list[float]]:
    """Loss drop at every mark, for every start, from one trained network."""
    torch.manual_seed(seed)  # the constructors of torch know no other way
    rng = torch.Generator().manual_seed(seed)
    count = spikes.shape[1]

    def batches(steps: int) -> list[Tensor]:
        return [torch.randperm(count, generator=rng)[:BATCH] for _ in range(steps)]

    def loss(net: nn.Module, picked: Tensor) -> Tensor:
        return functional.cross_entropy(net(spikes[:, picked]), labels[picked])

    def train(net: nn.Module, optimiser: torch.optim.Optimizer, some: list[Tensor]) -> None:
        for picked in some:
            optimiser.zero_grad()
            loss(net, picked).backward()
            optimiser.step()

    root: nn.Module = Net()
    first = torch.optim.Adam(root.parameters(), 2e-3)
    train(root, first, batches(EPOCHS * (count // BATCH)))
    window, judged, later = batches(1)[0], batches(4), batches(MARKS[-1])
    found = measure(root, SITE, lambda net: loss(net, window))

    def course(net: nn.Module, optimiser: torch.optim.Optimizer) -> list[float]:
        seen = []
        for start, stop in zip((0, *MARKS), MARKS, strict=False):
            train(net, optimiser, later[start:stop])
            with torch.no_grad():
                seen.append(float(torch.stack([loss(net, each) for each in judged]).mean()))
        return seen

    control = copy_of(root)
    without = course(control, make(control.parameters()))
    out = {}
    for name, start in INITIALISATIONS.items():
        new = start(found, NEURONS, torch.Generator().manual_seed(seed))
        grown, stage = widen(root, SITE, new)
        optimiser = carry(make(root.parameters()), root, grown, stage)
        there = zip(without, course(grown, optimiser), strict=True)
        out[name] = [a - b for a, b in there]
    return out


def copy_of(net: nn.Module) -> nn.Module:
    """Copy a network; what its cells remember has a graph, which torch refuses to copy."""
    fresh = Net()
    fresh.load_state_dict(copy.deepcopy(net.state_dict()))
    return fresh


if __name__ == "__main__":
    main()
