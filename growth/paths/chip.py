"""What a spiking network of a stack costs on the chip: devices, energy, and writes to learn it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth import _kernels
from growth.blueprint import INPUTS, Blueprint, Connection, Population
from growth.bridge import (
    Device,
    MosaicHost,
    make_chip,
    make_technology,
    price,
    smallest_chip,
)
from growth.config import ChipConfig
from growth.neurobench import Work
from growth.paths.stack import padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from growth.blueprint import Counts
    from growth.paths.plan import PathPlan
    from growth.paths.stack import Stack

__all__ = ["Bench", "Rewritten", "blueprint_of", "chip_for"]

EFFORT = 0.1
"""Of the search for the chip: a tenth of the routings that `mosaic fit` may try."""


def blueprint_of(weights: Sequence[NDArray[np.float32]], leak: float) -> Blueprint:
    """What must sit on the chip for layers of weights, each (neurons, sources).

    Examples
    --------
    >>> blueprint_of([np.ones((3, 4), np.float32), np.ones((2, 3), np.float32)], 0.9).neurons
    5
    """
    names = [f"layer {k + 1}" for k in range(len(weights) - 1)] + ["out"]
    born = np.cumsum([0, *(len(w) for w in weights)])
    populations = tuple(
        Population(name, np.arange(born[k], born[k + 1]), leak)
        for k, name in enumerate(names)
    )
    connections = tuple(
        Connection(source, target, weight)
        for source, target, weight in zip([INPUTS, *names], names, weights, strict=False)
    )
    return Blueprint(weights[0].shape[1], populations, connections)


def chip_for(plan: PathPlan, channels: int, labels: int) -> ChipConfig:
    """Find the smallest chip on which root and target are legal, one at a time.

    Raises
    ------
    CapacityError
        If there is none.
    """
    nets = {}
    for width in (plan.root, plan.target):
        sizes = [channels, width, width, labels]
        weights = [np.ones((b, a), np.float32) for a, b in pairwise(sizes)]
        nets[str(width)] = blueprint_of(weights, plan.net("snn").leak)
    found = smallest_chip(nets, effort=EFFORT).chip
    return ChipConfig(
        rows=found.rows, columns=found.columns, neurons_per_tile=found.neurons_per_tile,
        tile_lines=found.tile_lines, r0_lines=found.r0_lines, r1_lines=found.r1_lines,
    )  # fmt: skip


class Bench:
    """Measures networks on one chip; those of one shape share its wires.

    Parameters
    ----------
    plan : PathPlan
    chip : ChipConfig
    """

    def __init__(self, plan: PathPlan, chip: ChipConfig):
        self.host = MosaicHost(
            make_chip(chip),
            make_technology(plan.technology),
            Device(levels=plan.levels),
            1.0,
        )
        self.first: Blueprint | None = None

    def measure(
        self, weights: Sequence[Tensor], leak: float, given: NDArray[np.bool_]
    ) -> dict[str, Any]:
        """Energy of an inference, devices, and writes to program the network at once.

        Parameters
        ----------
        weights : sequence of Tensor, (neurons, sources)
        leak : float
        given : bool array, (samples, steps, inputs)

        Raises
        ------
        CapacityError
            If the network does not fit the chip.
        """
        blueprint = blueprint_of([w.detach().numpy() for w in weights], leak)
        if self.first is None or not self.first.wired_like(blueprint):
            self.host.last, self.first = None, blueprint
            deployed = self.host.deploy(blueprint)
            self.once = deployed.writes
        deployed = self.host.variant(blueprint)
        report = price(deployed.program, deployed.run(given), self.host.technology)
        parts = {k: v / report.samples for k, v in report.by_component().items()}
        return {
            "energy": report.energy_per_inference,
            "routing": parts.get("routing", 0.0),
            "devices": sum(report.devices.values()),
        }


def operations(
    weights: Sequence[Tensor], leak: float, given: NDArray[np.bool_], counts: Counts
) -> dict[str, float]:
    """Synaptic operations and spikes of an inference; see `growth.neurobench`."""
    work = Work()
    work.ran(blueprint_of([w.detach().numpy() for w in weights], leak), given, counts)
    done = work.to_dict(len(given))["synaptic_operations"]
    return {
        "synaptic_operations": done["Effective_ACs"],
        "spikes": work.fired / len(given),
    }


class Rewritten:
    """Counts the devices' levels that training on the chip changes, update by update.

    A weight is a pair of devices; a pair whose level changes is one write. What is there at the
    start is not counted, new neurons start on devices at the lowest level.

    Parameters
    ----------
    stack : Stack
    levels : int
        Of a device.
    """

    def __init__(self, stack: Stack, levels: int):
        self.most = np.float32(levels - 1)
        self.level = [torch.zeros_like(w, dtype=torch.int16) for w in stack.weights]
        self.counts = np.zeros(len(stack.weights[0]), np.int64)
        self.update(stack)
        self.counts[:] = 0

    def update(self, stack: Stack) -> None:
        """Count what this update rewrites in each network."""
        for k, weight in enumerate(stack.weights):
            if self.level[k].shape != weight.shape:
                like = torch.zeros_like(weight, dtype=torch.int16)
                self.level[k] = padded(self.level[k], like)
            values, level = weight.detach().numpy(), self.level[k].numpy()
            for trial in range(len(values)):
                self.counts[trial] += _kernels.rewrite(
                    values[trial], self.most, level[trial]
                )
