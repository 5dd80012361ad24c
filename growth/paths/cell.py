"""One cell of the experiment: networks that grow along one path, trained and counted."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from growth.datasets import DATASETS, load_dataset
from growth.encode import regular_rate
from growth.initialise import expected_gain
from growth.paths import work
from growth.paths.chip import Bench, Rewritten, operations
from growth.paths.stack import Adam, Momentum, Stack, grow
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from growth.config import ChipConfig
    from growth.paths.plan import Cell, PathPlan

__all__ = ["growth_updates", "run_cell"]


def growth_updates(updates: int, times: int) -> list[int]:
    """Updates after which a network grows: evenly spread, none at the start or the end.

    Examples
    --------
    >>> growth_updates(900, 2)
    [300, 600]
    """
    return [round(updates * (k + 1) / (times + 1)) for k in range(times)]


class Trial(NamedTuple):
    """Data of one trial: (samples, inputs), or spikes, (samples, steps, inputs)."""

    train: Tensor
    labels: Tensor
    test: Tensor
    test_labels: Tensor
    outputs: int


@lru_cache(maxsize=32)
def load_trial(
    dataset: str, seed: int, steps: int, train: int | None, test: int | None
) -> Trial:
    """Read the data of a trial; `steps` is 0 without spikes.

    Raises
    ------
    MosaicError
        If samples of the data set move, which this experiment has no path for.
    """
    data = load_dataset(dataset, seed)
    if data.steps is not None:
        raise MosaicError(
            f"{dataset} moves; the growth-path experiment takes still data, such as digits, "
            "mnist, fashion-mnist or cifar10-grey."
        )
    parts: list[Tensor] = []
    for samples, most in ((data.train, train), (data.test, test)):
        inputs = np.asarray(samples.inputs[:most], np.float32)
        given = regular_rate(inputs, steps) if steps else inputs
        labels = np.asarray(samples.labels[:most], np.int64)
        parts += [torch.from_numpy(given), torch.from_numpy(labels)]
    train_inputs, train_labels, test_inputs, test_labels = parts
    return Trial(train_inputs, train_labels, test_inputs, test_labels, data.labels)


def _trials(plan: PathPlan, cell: Cell) -> list[Trial]:
    steps = plan.net("snn").steps if cell.net == "snn" else 0
    # Where there is an official division, all trials share the arrays.
    divided = "seed" in inspect.signature(DATASETS[plan.dataset]).parameters
    return [
        load_trial(
            plan.dataset,
            seed if divided else 0,
            steps,
            plan.train_samples,
            plan.test_samples,
        )
        for seed in plan.seeds
    ]


def _given(trials: Sequence[Trial], rows: Sequence[Tensor], part: str) -> Tensor:
    """Samples of all trials, (trials, samples, inputs) or (steps, trials, samples, inputs)."""
    found = torch.stack(
        [getattr(t, part).index_select(0, r) for t, r in zip(trials, rows, strict=True)]
    ).float()
    return found if found.dim() == 3 else found.permute(2, 0, 1, 3)


class _Batches:
    """Each trial's samples in an order of its own, anew when all were seen."""

    def __init__(self, trials: Sequence[Trial], seeds: Sequence[int], batch: int):
        self.trials, self.batch = trials, batch
        self.rngs = [torch.Generator().manual_seed(seed + 1_000_003) for seed in seeds]
        self.left = [torch.zeros(0, dtype=torch.int64) for _ in seeds]

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Inputs, and what the outputs should give."""
        rows = []
        for k, (trial, rng) in enumerate(zip(self.trials, self.rngs, strict=True)):
            while len(self.left[k]) < self.batch:
                order = torch.randperm(len(trial.labels), generator=rng)
                self.left[k] = torch.cat([self.left[k], order])
            rows.append(self.left[k][: self.batch])
            self.left[k] = self.left[k][self.batch :]
        labels = torch.stack([t.labels[r] for t, r in zip(self.trials, rows, strict=True)])
        wanted = torch.nn.functional.one_hot(labels, self.trials[0].outputs).float()
        return _given(self.trials, rows, "train"), wanted


@torch.no_grad()
def _accuracy(stack: Stack, trials: Sequence[Trial], most: int = 500) -> list[float]:
    """Share of test samples whose label has the largest output, of each trial."""
    hits = torch.zeros(len(trials), dtype=torch.int64)
    count = len(trials[0].test_labels)
    for start in range(0, count, most):
        rows = torch.arange(start, min(start + most, count))
        best = stack.scores(_given(trials, [rows] * len(trials), "test")).argmax(2)
        hits += (best == torch.stack([t.test_labels[rows] for t in trials])).sum(1)
    return [hit / count for hit in hits.tolist()]


def run_cell(
    plan: PathPlan,
    cell: Cell,
    chip: ChipConfig | None = None,
    report: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Train all trials of a cell, growing along its path, and count what it takes.

    Parameters
    ----------
    plan : PathPlan
    cell : Cell
    chip : ChipConfig, optional
        Where spiking networks are priced at the end.
    report : callable
        Told the share that is done.

    Returns
    -------
    dict
        Ready for JSON. Lists of ``trials`` have one value for each; FLOPs are alike for all.
    """
    net, trials = plan.net(cell.net), _trials(plan, cell)
    leak = net.leak if cell.net == "snn" else None
    width = plan.target if cell.path == "target" else plan.root
    sizes = [trials[0].train.shape[-1], width, width, trials[0].outputs]
    stack = Stack.start(sizes, plan.seeds, leak)
    optimiser: Adam | Momentum = (
        Adam(stack.parameters, plan.adam_rate)
        if cell.optimiser == "adam"
        else Momentum(stack.parameters, plan.sgd_rate, plan.momentum)
    )
    steps = net.steps if leak is not None else 1
    batches = _Batches(trials, plan.seeds, net.batch)
    draws = [torch.Generator().manual_seed(seed + 2_000_003) for seed in plan.seeds]
    grows = dict(zip(growth_updates(net.updates, len(cell.order)), cell.order, strict=True))
    looks = {round(net.updates * (k + 1) / plan.looks) for k in range(plan.looks)}
    rewritten = None if leak is None else Rewritten(stack, plan.levels)
    flops, spent, curve, stages = 0, [], [], []
    for update in range(1, net.updates + 1):
        given, wanted = batches()
        if update - 1 in grows:
            layer = grows[update - 1]
            flops += work.growth_flops(stack.sizes, layer, cell.start, net.batch, steps)
            stages.append(
                _grown(stack, layer, cell.start, plan.neurons, given, wanted, draws)
                | {"update": update - 1}
            )
            optimiser.widen(stack.parameters)
        loss = (stack.scores(given) - wanted).square().mean((1, 2)).sum()
        loss.backward()
        optimiser.step(stack.parameters)
        flops += work.training_flops(stack.sizes, net.batch, steps)
        if rewritten is not None:
            rewritten.update(stack)
        if update in looks:
            curve.append(_accuracy(stack, trials))
            spent.append(flops)
            report(update / net.updates)
    return {
        "cell": {
            "net": cell.net, "optimiser": cell.optimiser, "path": cell.path,
            "start": cell.start, "order": list(cell.order),
        },
        "seeds": list(plan.seeds),
        "updates": sorted(looks),
        "flops": spent,
        "inference_flops": work.inference_flops(stack.sizes, steps),
        "synapses": sum(w[0].numel() for w in stack.weights),
        "growth": stages,
        "trials": [
            {"accuracy": [look[k] for look in curve]}
            | ({} if rewritten is None else {"writes": int(rewritten.counts[k])})
            | ({} if chip is None or leak is None else _priced(plan, stack, k, trials[k], chip))
            for k in range(len(trials))
        ],
    }  # fmt: skip


def _grown(
    stack: Stack, layer: int, start: str, neurons: int,
    given: Tensor, wanted: Tensor, draws: Sequence[torch.Generator],
) -> dict[str, Any]:  # fmt: skip
    """Grow, and say by how much GradMax could beat Gaussian columns at most, and did."""
    post = stack.sizes[layer + 1]
    found, new, drawn = grow(stack, layer, start, neurons, given, wanted, draws)
    stage: dict[str, Any] = {
        "layer": layer, "next": post, "bound": (post / neurons) ** 0.5, "drawn": drawn,
    }  # fmt: skip
    if start == "gradmax":
        # A silent M has no direction to prefer.
        gains = [
            expected_gain(one.matrix, neurons) for one in found if bool(one.matrix.any())
        ]
        stage["gain"] = float(np.mean(gains)) if gains else None
    stage["gradient"] = float(np.mean([one.evidence.get("gradient", 0.0) for one in new]))
    return stage


@lru_cache(maxsize=1)
def _bench(plan: PathPlan, chip: ChipConfig) -> Bench:
    return Bench(plan, chip)


@torch.no_grad()
def _priced(
    plan: PathPlan, stack: Stack, k: int, trial: Trial, chip: ChipConfig
) -> dict[str, Any]:
    """What the network of a trial costs for an inference."""
    assert stack.leak is not None
    weights = [w[k].detach().contiguous() for w in stack.weights]
    one = Stack([w[None] for w in weights], [], stack.leak)
    rows = torch.arange(min(plan.priced, len(trial.test)))
    names = [f"layer {i + 1}" for i in range(len(weights) - 1)] + ["out"]
    layers = one.layers(_given([trial], [rows], "test"))
    counts = {n: s.sum(0)[0].long().numpy() for n, s in zip(names, layers, strict=True)}
    given = trial.test[rows].numpy()
    return operations(weights, stack.leak, given, counts) | _bench(plan, chip).measure(
        weights, stack.leak, given
    )
