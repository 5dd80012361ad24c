"""What a strategy has learnt after each task, measured in torch, without a chip."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from growth.config import Experiment
from growth.host import Unlimited
from growth.learner import make_stream, whole
from growth.measure import in_torch, parts_of, shown
from growth.metrics import accuracies, average_accuracy, forgetting
from growth.samples import join
from growth.strategies import STRATEGIES, Strategy


@dataclass(frozen=True)
class Learnt:
    """Accuracy on each task after each task, both scenarios, and the strategy at the end."""

    strategy: Strategy
    matrix: np.ndarray
    within_task: np.ndarray
    work: list[dict[str, int]]
    seconds: float

    @property
    def accuracy(self) -> float:
        return 100 * average_accuracy(self.matrix)

    @property
    def accuracy_within_task(self) -> float:
        return 100 * average_accuracy(self.within_task)

    @property
    def forgetting(self) -> float:
        found = forgetting(self.matrix)
        return float("nan") if found is None else 100 * found


def learnt(experiment: Experiment, seed: int, kind: type[Strategy] | None = None) -> Learnt:
    """Learn all tasks of an experiment; `kind` instead of the strategy that it names."""
    stream = make_stream(experiment, seed)
    kind = kind or STRATEGIES[experiment.strategy]
    strategy = kind(experiment, stream, Unlimited(), seed)
    tasks = (whole(stream),) if strategy.one_task else stream.tasks
    test = join([task.test for task in stream.tasks])
    owner = np.repeat(np.arange(len(stream.tasks)), [len(t.test) for t in stream.tasks])
    given = [(shown(experiment, s), identity) for s, identity in parts_of(strategy, stream)]
    rows, work, spent = [], [], 0.0
    for task in tasks:
        started = time.process_time()
        strategy.learn(task)
        spent += time.process_time() - started
        work.append(strategy.meter.to_dict())
        with torch.no_grad():
            scores = [strategy.scores(in_torch(some), identity) for some, identity in given]
        rows.append(
            accuracies(
                np.concatenate(scores),
                test.labels,
                owner,
                [t.classes for t in stream.tasks],
            )
        )
    return Learnt(
        strategy,
        np.array([row.class_incremental for row in rows]),
        np.array([row.task_incremental for row in rows]),
        work,
        spent,
    )
