"""Time the simulator against snnTorch's own forward pass, on the same networks and spikes.

Run with ``make bench``. Both compute all spikes of all neurons; the table gives the process
CPU time per sample (median of interleaved repetitions after a warm-up) and their ratio. The
weights are multiples of 1/64, so that the spikes must be equal, and are checked to be.
"""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

import numpy as np
import snntorch
import torch
from rich.console import Console
from rich.table import Table

from mosaic_sim import Chip, Device, compile_program, place, route, simulate
from mosaic_sim.interop import from_snntorch

REPETITIONS = 9
# Roomy enough for a dense layer of 784 lines into every tile.
CHIP = Chip(3, 3, neurons_per_tile=64, tile_lines=256, r0_lines=1024, r1_lines=1024)


def network(sizes: list[int], rng: np.random.Generator) -> torch.nn.Sequential:
    """A stack of dense layers with dyadic weights that keeps spiking."""
    layers: list[torch.nn.Module] = []
    for pre, post in pairwise(sizes):
        linear = torch.nn.Linear(pre, post, bias=False)
        draw = rng.normal(0.3 / pre**0.5, 2 / pre**0.5, (post, pre))
        linear.weight = torch.nn.Parameter(torch.tensor(np.rint(draw * 64) / 64).float())
        layers += [linear, snntorch.Leaky(beta=0.5)]
    return torch.nn.Sequential(*layers)


@torch.no_grad()
def forward(model: torch.nn.Sequential, spikes: torch.Tensor) -> torch.Tensor:
    """All spikes of all neurons, (samples, steps, neurons), as snnTorch's tutorials loop."""
    linears, cells = list(model)[::2], list(model)[1::2]
    state = [torch.zeros(spikes.shape[0], linear.out_features) for linear in linears]
    seen = []
    for t in range(spikes.shape[1]):
        now, fired = spikes[:, t], []
        for k, (linear, cell) in enumerate(zip(linears, cells, strict=True)):
            now, state[k] = cell(linear(now), state[k])
            fired.append(now)
        seen.append(torch.cat(fired, 1))
    return torch.stack(seen, 1)


def main() -> None:
    """Measure, check and print."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    table = Table(title="CPU time per sample, one thread, all spikes recorded")
    for name in (
        "network",
        "steps",
        "batch",
        "spikes",
        "snnTorch [µs]",
        "ours [µs]",
        "ratio",
    ):
        table.add_column(name, justify="right")
    for sizes, steps, batch, rate in (
        ([64, 64, 10], 16, 600, 0.3),
        ([784, 100, 100, 10], 25, 128, 0.1),
        ([784, 100, 100, 10], 25, 1, 0.1),
    ):
        model = network(sizes, rng)
        net = from_snntorch(model)
        placement = place(net, CHIP)
        routing = route(net, CHIP, placement)
        program = compile_program(net, CHIP, placement, routing, device=Device(exact=True))
        spikes = rng.random((batch, steps, sizes[0])) < rate
        given = torch.from_numpy(spikes.astype(np.float32))
        ours = simulate(program, spikes, raster=True, threads=1).raster
        theirs = forward(model, given).numpy() > 0
        if not np.array_equal(ours, theirs):
            raise SystemExit(f"spikes differ on {sizes}")
        cost: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(REPETITIONS):
            start = time.process_time()
            forward(model, given)
            middle = time.process_time()
            simulate(program, spikes, raster=True, threads=1)
            cost["theirs"].append(middle - start)
            cost["ours"].append(time.process_time() - middle)
        a, b = (statistics.median(cost[k]) / batch * 1e6 for k in ("theirs", "ours"))
        table.add_row(
            "-".join(map(str, sizes)), str(steps), str(batch), f"{theirs.mean():.0%}",
            f"{a:.1f}", f"{b:.1f}", f"{a / b:.1f}",
        )  # fmt: skip
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
