"""What training against a chip buys on its dies, and how fast a recurrent layer trains.

``python benchmarks/hardware.py dies`` trains the same network on scikit-learn's 8 x 8 digits
with and without `growth.hardware.disturb`, for five seeds, and runs each on the same 20 dies
for every strength of what is not ideal. Training knows strength 1, that of the technology;
nothing was chosen by looking at the test samples. ``python benchmarks/hardware.py speed`` times
`growth.hardware.recurrent.recurrent_leaky` against stepping snnTorch's ``RLeaky``: forward and
backward, process CPU time on one thread, least of five. Spikes are checked to be equal and
gradients to be within 1e-5 of the largest.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from typing import TYPE_CHECKING

import numpy as np
import snntorch
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from snntorch import surrogate
from torch import Tensor, nn

from growth.dies import run_dies
from growth.hardware import Disturbance, disturb
from growth.hardware.recurrent import recurrent_leaky
from growth.sequence import leaky
from growth.statistics import estimate
from mosaic_sim import Chip, Device, compile_program, place, route, technology_preset
from mosaic_sim.interop import from_snntorch

if TYPE_CHECKING:
    from collections.abc import Callable

    from mosaic_sim import Program, Technology

SEEDS, DIES, EPOCHS, STEPS, BATCH = range(5), 20, 15, 25, 64
EFFECTS = ("programming", "variation", "mismatch")
STRENGTHS = (0.0, 1.0, 2.0, 3.0)
TEST = 297
QUANTITIES = (
    "programming_floor", "device_variation", "time_constant_spread", "time_constant_slope",
    "synapse_constant_spread",
)  # fmt: skip


def digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spikes, (samples, STEPS, 64), and labels, to train and to test."""
    images, labels = load_digits(return_X_y=True)
    source = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=source)
    chance = torch.from_numpy(images[order.numpy()] / 32).float()[:, None]
    spikes = (torch.rand(len(images), STEPS, 64, generator=source) < chance).float()
    label = torch.from_numpy(labels)[order]
    return spikes[TEST:], label[TEST:], spikes[:TEST], label[:TEST]


def counts(model: nn.Sequential, spikes: Tensor) -> Tensor:
    """Spike counts of the outputs, (samples, 10), from (samples, STEPS, 64)."""
    first, hidden, second, out = model
    fired = leaky(spikes.transpose(0, 1) @ first.weight.T, hidden.beta, hidden.threshold)
    return leaky(fired @ second.weight.T, out.beta, out.threshold).sum(0)


def trained(seed: int, disturbance: Disturbance | None) -> nn.Sequential:
    """A network after EPOCHS."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(64, 64, bias=False), snntorch.Leaky(beta=0.9),
        nn.Linear(64, 10, bias=False), snntorch.Leaky(beta=0.9),
    )  # fmt: skip
    spikes, labels, _, _ = digits(seed)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    source = torch.Generator().manual_seed(1000 + seed)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(spikes), generator=source).split(BATCH):
            block = disturb(model, disturbance, source) if disturbance else None
            with block or contextlib.nullcontext():
                loss = nn.functional.cross_entropy(
                    counts(model, spikes[batch]), labels[batch]
                )
                optimiser.zero_grad()
                loss.backward()
            optimiser.step()
    return model


def on_chip(model: nn.Sequential) -> Program:
    """The network with 16 levels on 2 x 3 tiles of 16."""
    network, chip = from_snntorch(model), Chip(2, 3, 16, 32, 64, 64)
    placement = place(network, chip)
    routing = route(network, chip, placement)
    return compile_program(network, chip, placement, routing, device=Device(16))


def dies() -> Table:
    """Accuracy on dies by how training went, over seeds."""
    rram = technology_preset("rram-130nm")
    ways = {
        "plain": None,
        "levels": Disturbance(levels=16),
        "weight noise 5 %": Disturbance(weight_noise=0.05, levels=16),
        "as on dies": Disturbance.of_technology(rram, effects=EFFECTS),
    }
    title = "accuracy [%], mean and 95 % interval over seeds of the mean over dies"
    table = Table("training", *(f"strength {x:g}" for x in STRENGTHS), title=title)
    scores: dict[str, np.ndarray] = {}
    for name, disturbance in ways.items():
        score = scores[name] = np.zeros((len(SEEDS), len(STRENGTHS)))
        for row, seed in enumerate(SEEDS):
            program = on_chip(trained(seed, disturbance))
            _, _, spikes, labels = digits(seed)
            for k, strength in enumerate(STRENGTHS):
                score[row, k] = mean_score(
                    program, stronger(rram, strength), spikes, labels
                )
        table.add_row(name, *(estimate(100 * column).text() for column in score.T))
    gain = 100 * (scores["as on dies"] - scores["plain"])
    table.add_row("as on dies - plain, paired", *(estimate(x).text() for x in gain.T))
    return table


def stronger(technology: Technology, factor: float) -> Technology:
    """With every deviation that many times as strong."""
    return technology.with_values(
        **{name: factor * technology[name].value for name in QUANTITIES}
    )


def mean_score(
    program: Program, technology: Technology, spikes: Tensor, labels: Tensor
) -> float:
    """Accuracy in the mean over DIES."""
    found = run_dies(
        program, technology, spikes.bool().numpy(), labels=labels.numpy(), dies=DIES,
        effects=EFFECTS, threads=1,
    )  # fmt: skip
    return float(found.score.mean())


def speed() -> Table:
    """Time of forward and backward, stepped and whole."""
    table = Table("neurons", "samples", "steps", "RLeaky [ms]", "whole [ms]", "ratio")
    for neurons, samples, steps in (
        (128, 32, 100), (256, 64, 100), (800, 32, 100), (2048, 32, 30)
    ):  # fmt: skip
        source = torch.Generator().manual_seed(0)
        current = torch.randn(steps, samples, neurons, generator=source) * 0.3 + 0.05
        weight = torch.randn(neurons, neurons, generator=source) / neurons**0.5 / 2
        cell = snntorch.RLeaky(
            beta=0.9, linear_features=neurons, spike_grad=surrogate.fast_sigmoid(10)
        )
        cell.recurrent = nn.Linear(neurons, neurons, bias=False)
        cell.recurrent.weight.data = weight.clone()
        slow, fast = cell.recurrent.weight, weight.requires_grad_()

        def stepped(cell: nn.Module = cell, current: Tensor = current) -> Tensor:
            spikes = membrane = torch.zeros_like(current[0])
            fired = []
            for now in current:
                spikes, membrane = cell(now, spikes, membrane)
                fired.append(spikes)
            return torch.stack(fired)

        def whole(weight: Tensor = fast, current: Tensor = current) -> Tensor:
            beta, level = torch.tensor(0.9), torch.tensor(1.0)
            rule = {"surrogate": "fast_sigmoid", "slope": 10.0}
            return recurrent_leaky(current, weight, beta, level, **rule)[0]

        one, two = timed(stepped, slow), timed(whole, fast)
        assert torch.equal(stepped(), whole())
        assert (slow.grad - fast.grad).abs().max() <= 1e-5 * slow.grad.abs().max()
        row = neurons, samples, steps, round(1e3 * one), round(1e3 * two)
        table.add_row(*map(str, row), f"{one / two:.1f}")
    return table


def timed(forward: Callable[[], Tensor], weight: Tensor) -> float:
    """Least CPU time of five passes, forward and backward."""
    times = []
    for _ in range(6):
        weight.grad = None
        begin = time.process_time()
        forward().mean().backward()
        times.append(time.process_time() - begin)
    return min(times[1:])


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["dies", "speed"])
    torch.set_num_threads(1)
    Console(width=110).print(dies() if parser.parse_args().part == "dies" else speed())


if __name__ == "__main__":
    main()
