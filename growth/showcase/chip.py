"""A trained network on its chip: ideal, with levels, and as dies come out; and the bill."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.dies import run_dies
from growth.hardware import Disturbance, disturb, rewire
from growth.hardware.routable import skeleton
from growth.showcase.plan import Lines
from growth.showcase.train import answers
from growth.simulation import bill, make_technology
from mosaic_sim import Chip, Device, compile_program, price, route, simulate, writes
from mosaic_sim.errors import CapacityError
from mosaic_sim.fit import least_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.hardware import TiledNetwork
    from growth.showcase.plan import ShowcasePlan
    from growth.showcase.task import SignalTask
    from mosaic_sim import Recording, Routing, Technology

__all__ = ["chip_of", "evaluate", "fewest_lines", "noise_curve", "routed", "technology_of"]

NOTHING = 1e-30
"""Weight from which on a connection is there."""
ROUTINGS = 30
"""That the search for the fewest lines may try beyond its first orders."""


def technology_of(plan: ShowcasePlan) -> Technology:
    """Return the technology of a plan, with the step of its data."""
    named = make_technology(plan.technology)
    if plan.data.step_time is None:
        return named
    return named.with_values(step_time=plan.data.step_time)


def chip_of(model: TiledNetwork, lines: Lines) -> Chip:
    """Return the chip with the tiles of a network and the given lines."""
    grid = model.grid
    return Chip(
        grid.rows, grid.columns, grid.neurons_per_tile, lines.tile_lines, lines.r0_lines,
        lines.r1_lines,
    )  # fmt: skip


def fewest_lines(model: TiledNetwork) -> Lines:
    """Look for the fewest lines with which all connections of a network can be routed.

    Raises
    ------
    CapacityError
        If there is no such chip.
    """
    most = model.inputs + model.neurons
    roomy = chip_of(model, Lines(tile_lines=most, r0_lines=most, r1_lines=most))
    found, _ = least_lines(
        skeleton(model), roomy, model.placement(roomy), routings=ROUTINGS
    )
    chip = min(found, key=lambda one: sum(one.devices.values()))
    return Lines(tile_lines=chip.tile_lines, r0_lines=chip.r0_lines, r1_lines=chip.r1_lines)


def evaluate(
    plan: ShowcasePlan,
    model: TiledNetwork,
    task: SignalTask,
    rows: NDArray[np.int64],
    chip: Chip,
    technology: Technology,
    seed: int,
) -> dict[str, Any]:
    """Run a network in torch and on the chip, and price it.

    Parameters
    ----------
    plan, model, task
    rows : int array
        Test samples that the chip is given.
    chip : Chip
    technology : Technology
    seed : int
        Die k has the seed ``1000 seed + k``.

    Returns
    -------
    dict
        Ready for JSON: balanced accuracy and accuracy of all test samples in torch; of `rows`
        accuracy in torch, on the ideal chip, on the chip with levels and on dies; the bill.

    Raises
    ------
    CapacityError
        If the chip has too few lines.
    """
    said, fired = answers(model, task.test)
    right = task.test_labels
    spikes, wanted = task.test[rows], right[rows]
    network, placement = model.to_network(), model.placement(chip)
    program = compile_program(
        network, chip, placement, routed(model, chip), device=Device(levels=plan.levels)
    )
    exact = program._replace(weight=network.weight)
    ideal, levels = simulate(exact, spikes, threads=1), simulate(program, spikes, threads=1)
    report = price(program, levels, technology)
    outputs = network.groups["outputs"]

    def share(recording: Recording) -> float:
        first = network.first_neuron
        return float((recording.counts[:, first + outputs].argmax(1) == wanted).mean())

    return {
        "balanced": balanced(said, right),
        "accuracy": float((said == right).mean()),
        "samples": len(right),
        "right": [int((said[right == one] == one).sum()) for one in np.unique(right)],
        "of": [int((right == one).sum()) for one in np.unique(right)],
        "chip_samples": len(rows),
        "float": float((said[rows] == wanted).mean()),
        "ideal": share(ideal),
        "same_counts": bool(
            (ideal.counts[:, network.first_neuron :] == fired[rows]).all()
        ),
        "levels": share(levels),
        "dies": {
            name: run_dies(
                program, technology, spikes, dies=plan.die_count, labels=wanted,
                outputs=outputs, effects=effects, seed=1000 * seed, threads=1,
            ).score.tolist()
            for name, effects in plan.dies.items()
        },
        "spikes": float(fired[rows].sum() / len(rows)),
        "neurons": model.neurons,
        "synapses": network.synapses,
        "connections": int((model.reach & ~model.own).sum()),
        "chip": {key: value for key, value in asdict(chip).items() if isinstance(value, int)},
        "devices": sum(chip.devices.values()),
        "bill": bill(report, writes(None, program)),
    }  # fmt: skip


def routed(model: TiledNetwork, chip: Chip) -> Routing:
    """Route a network on a chip.

    A network that was pruned for this chip is known to have a routing, which a search from
    nothing may miss; then the one is taken that pruning would find.

    Raises
    ------
    CapacityError
        If there are connections for which no routing with all others is found.
    """
    network, placement = model.to_network(), model.placement(chip)
    try:
        return route(network, chip, placement)
    except CapacityError:
        trial = copy.deepcopy(model)
        done = rewire(
            trial, chip, profile={}, threshold=NOTHING, keep=1,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        if len(done.refused):
            raise
        return route(network, chip, placement, keep=done.routing, rip=True)


def noise_curve(
    plan: ShowcasePlan,
    model: TiledNetwork,
    task: SignalTask,
    rows: NDArray[np.int64],
    seed: int,
) -> list[list[float]]:
    """Accuracy in torch on some test samples, (noises, draws), with noise on the weights.

    Noise has the standard deviation of a share of each layer's largest weight, as published.
    """
    found = []
    for noise in plan.noise_curve:
        generator = torch.Generator().manual_seed(seed)
        drawn = []
        for _ in range(plan.draws if noise else 1):
            with disturb(model, Disturbance(noise), generator):
                said, _ = answers(model, task.test[rows])
            drawn.append(float((said == task.test_labels[rows]).mean()))
        found.append(drawn)
    return found


def balanced(said: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """Mean over the labels of the share of their samples that is answered rightly.

    Examples
    --------
    >>> balanced(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    0.75
    """
    return float(np.mean([(said[right == one] == one).mean() for one in np.unique(right)]))
