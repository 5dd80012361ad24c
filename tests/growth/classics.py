"""Small settings for the classic strategies, and what their tests share."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from growth.config import load_experiment
from growth.host import Unlimited
from growth.strategies import STRATEGIES

NAMES = (
    "agem", "derpp", "ewc", "ewc-online", "gem", "icarl", "independent", "lwf", "replay", "si",
)  # fmt: skip
CELLS = ("lif", "relu")

every = pytest.mark.parametrize("name", NAMES)
both_cells = pytest.mark.parametrize("cell", CELLS)


def setting(name, *more):
    """Few samples, small layers, one epoch."""
    small = (
        "name=t", "seeds=[0]", "train.epochs=1", "train.batch=16", "train.learning_rate=0.01",
        "stream.classes=[[0,1],[2,3]]", "stream.steps=6", "hidden=[14,12]",
        "stream.train_samples=64",
    )  # fmt: skip
    memory = ("options.memory=20",) if name in REMEMBERING else ()
    shown = ("stream.identity=true",) if name == "independent" else ()
    # One step is too few for the mean square of counts.
    shown += ("train.loss=ce_count",) if "cell=relu" in more else ()
    return load_experiment(
        "split-digits-naive", (*small, *memory, *shown, f"strategy={name}", *more)
    )


REMEMBERING = ("agem", "derpp", "gem", "icarl", "replay")


def few(stream, count):
    tasks = tuple(
        replace(task, train=task.train.take(range(count)), identity=task.number)
        for task in stream.tasks
    )
    return replace(stream, tasks=tasks)


def made(name, stream, *more, seed=0):
    return STRATEGIES[name](setting(name, *more), stream, Unlimited(), seed)


def taught(name, stream, *more, seed=0):
    strategy = made(name, stream, *more, seed=seed)
    for task in stream.tasks:
        strategy.learn(task)
    return strategy


def weights(strategy):
    return {name: w.detach().clone() for name, w in strategy.net.weights.items()}


def same(one, other):
    """Whether two states hold the same bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def some(task, count, strategy):
    inputs = torch.from_numpy(np.ascontiguousarray(task.train_inputs[:count]))
    return strategy.encode(inputs), torch.from_numpy(task.train_labels[:count])


def moved(strategy, by, seed):
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in strategy.net.parameters():
            weight += by * torch.randn(weight.shape, generator=rng)
