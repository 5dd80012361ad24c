"""Which signal grows a network when the task changes, and only then?

``python benchmarks/when_to_grow.py [--seeds 10] [--out DIR]``; one thread, some minutes; MNIST
is read from the folder ``MOSAIC_DATA``. Batches of digits (10 samples) and MNIST (20) come once, in
five tasks of two classes drawn by the seed, without boundaries: clean, with bursts of random
labels, with blurred boundaries, with both, with tasks that return, and without any tasks.

Networks of one hidden layer train along by plain gradient descent. Each signal watches one
network, which it widens by 8 neurons at each event; the trigger has a network for each expert.
An event in the first half of a new task is a hit, once; every other event is a false growth.
Thresholds were fixed on clean digits, seeds 100 to 104 (``--tune``), and hold for all else.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from growth.datasets import Dataset, digits, mnist
from growth.statistics import estimate
from growth.streams import (
    Stream,
    Task,
    blurred,
    hidden,
    limited,
    noisy,
    recurring,
    split_evenly,
)
from growth.when import (
    At,
    Expansion,
    Need,
    Novelty,
    Observation,
    Plasticity,
    Plateau,
    RandomTimes,
    Representation,
    Rise,
    Schedule,
    Signal,
    Trigger,
    Watch,
    mean_loss,
    observe,
    products,
)

HIDDEN, MORE = 32, 8
BATCH = {"digits": 10, "mnist": 20}
RATE = {"digits": 0.2, "mnist": 0.1}
STATIONARY = 1000
RETURNS = [0, 1, 0, 2, 1, 3, 0, 4, 2]
BLUR = 0.2
KINDS = ("clean", "noise", "blurred", "blurred+noise", "recurring", "stationary")
TUNED_ON = range(100, 105)


class Net:
    """Channels, hidden neurons with ReLU, softmax; trained by plain gradient descent."""

    def __init__(self, channels: int, outputs: int, rate: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.rate = rate
        self.into, self.bias = np.zeros((0, channels)), np.zeros(0)
        self.out = np.zeros((outputs, 0))
        self.widen(HIDDEN)

    def widen(self, neurons: int) -> None:
        """Add neurons that read at random and are not heard yet."""
        channels, outputs = self.into.shape[1], self.out.shape[0]
        more = self.rng.standard_normal((neurons, channels)) * (2 / channels) ** 0.5
        self.into = np.vstack([self.into, more])
        self.bias = np.append(self.bias, np.zeros(neurons))
        self.out = np.hstack([self.out, np.zeros((outputs, neurons))])

    def observe(
        self, inputs: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> Observation:
        """What signals see of a batch; keeps the gradient for `train`."""
        n = len(labels)
        hidden = np.maximum(inputs @ self.into.T + self.bias, 0)
        logits = hidden @ self.out.T
        logits -= logits.max(1, keepdims=True)
        share = np.exp(logits)
        share /= share.sum(1, keepdims=True)
        losses = -np.log(share[np.arange(n), labels] + 1e-12)
        errors = share.copy()
        errors[np.arange(n), labels] -= 1
        back = (errors @ self.out) * (hidden > 0)
        self.gradient = (back.T @ inputs / n, back.mean(0), errors.T @ hidden / n)
        training = products(errors, hidden) + products(back, inputs) + products(back)
        return observe(
            inputs, labels, losses, activity=hidden, errors=errors, training=training
        )

    def train(self) -> None:
        """Descend the gradient of the batch observed last."""
        into, bias, out = self.gradient
        self.into -= self.rate * into
        self.bias -= self.rate * bias
        self.out -= self.rate * out


@dataclass(frozen=True)
class Course:
    """A stream in batches, and where its tasks begin."""

    batches: list[tuple[NDArray[np.float64], NDArray[np.int64]]]
    starts: list[int]  # batch at which each visit begins
    tasks: list[int]  # and which task it is
    channels: int
    outputs: int
    rate: float
    early: int = 0  # batches before a boundary in which the next task fades in

    def ends(self) -> list[int]:
        """One past the last batch of each visit."""
        return [*self.starts[1:], len(self.batches)]


def course(name: str, kind: str, seed: int) -> Course:
    """Draw a stream and cut it into batches."""
    data: Dataset = digits(seed) if name == "digits" else mnist()
    size = BATCH[name]
    if kind == "stationary":
        rng = np.random.default_rng(seed)
        x, y = data.train_inputs, data.train_labels
        rows = np.concatenate([
            rng.permutation(len(y)) for _ in range(-(-STATIONARY * size // len(y)))
        ])[: STATIONARY * size].reshape(STATIONARY, size)  # fmt: skip
        batches = [(np.asarray(x[row], np.float64), y[row]) for row in rows]
        return Course(batches, [0], [0], data.channels, data.labels, RATE[name])
    stream = split_evenly(data, 2, seed=seed)
    most = min(len(task.train) for task in stream.tasks)
    visit = size * (23 if name == "digits" else 50)
    if kind == "recurring":
        # Visits have samples of their own; digits have too few for that, so they are seen again.
        fresh = name != "digits"
        stream = limited(stream, seed, train=min(most, 3 * visit) if fresh else visit)
        stream = recurring(stream, RETURNS, seed, fresh=fresh)
    stream = limited(stream, seed, train=visit)
    if "noise" in kind:
        # A class drawn evenly from the two of the task; three bursts of about 3 batches.
        length = size * 3 / len(stream.tasks[0].train)
        for k in range(len(stream.tasks)):
            stream = noisy(stream, 0.5, seed, start=0.6, stop=0.6 + length, tasks=[k])
    early = 0
    if "blurred" in kind:
        stream = blurred(stream, BLUR, seed)
        early = -(-int(BLUR / 2 * visit) // size)
    stream = hidden(stream)
    batches = [(np.asarray(b.inputs, np.float64), b.labels) for b in stream.batches(size)]
    sizes = [len(task.train) for task in stream.tasks]
    starts = [int(s) // size for s in np.cumsum([0, *sizes[:-1]])]
    identities = [task.identity for task in stream.tasks]
    return Course(batches, starts, identities, data.channels, data.labels, RATE[name], early)


@dataclass
class Result:
    """What one run showed."""

    new: int  # switches to a task not seen before
    hits: int
    false: int
    batches: int
    returns: int = 0
    recognised: int = 0
    delay: float = float("nan")

    @property
    def recall(self) -> float:
        """Share of new tasks that were noticed."""
        return self.hits / self.new if self.new else float("nan")


def judge(course: Course, events: list[int], reuses: dict[int, int]) -> Result:
    """Count hits, false growths and recognised returns.

    `reuses` maps the batch of a reuse to whether it was the right expert (1) or not (0).
    """
    hits = new = returns = recognised = 0
    delays, used, met = [], set(), {course.tasks[0]}
    for start, end, task in list(zip(course.starts, course.ends(), course.tasks, strict=True))[1:]:
        half = start + (end - start) // 2
        inside = [event for event in events if start - course.early <= event < half]
        if task not in met:
            new += 1
            met.add(task)
            if inside:
                hits += 1
                used.add(inside[0])
                delays.append(inside[0] - start)
        else:
            returns += 1
            grown = any(start <= event < end for event in events)
            right = any(ok for batch, ok in reuses.items() if start <= batch < half)
            recognised += right and not grown
    return Result(
        new, hits, len(set(events) - used), len(course.batches), returns, recognised,
        float(np.mean(delays)) if delays else float("nan"),
    )  # fmt: skip


def watch(course: Course, signal: Watch, seed: int) -> tuple[list[int], list[float]]:
    """Batches at which a signal grows its network, and its values."""
    net = Net(course.channels, course.outputs, course.rate, seed)
    events, values = [], []
    for number, (inputs, labels) in enumerate(course.batches):
        event = signal(net.observe(inputs, labels))
        net.train()
        if event:
            net.widen(MORE)
            events.append(number)
        values.append(signal.value)
    return events, values


def follow(course: Course, trigger: Trigger, seed: int):
    """Let the trigger lead one network for each expert."""
    def fresh(number: int) -> Net:
        return Net(course.channels, course.outputs, course.rate, 1000 * seed + number)

    nets, trained = [fresh(0)], [Counter()]
    events, reuses, log = [], {}, []
    visit = -1
    for number, (inputs, labels) in enumerate(course.batches):
        if visit + 1 < len(course.starts) and number >= course.starts[visit + 1]:
            visit += 1
        expert = trigger.route(inputs)
        seen = nets[expert].observe(inputs, labels)
        action = trigger(seen)
        if action.known:
            nets[expert].train()
        log.append((action.name, expert, round(action.need, 1), round(action.novelty, 1), round(float(seen.losses.mean()),2)))
        if action.name == "new expert":
            nets.append(fresh(len(nets)))
            trained.append(Counter())
            events.append(number)
        elif action.name == "widen":
            nets[action.expert].widen(MORE)
            events.append(number)
        elif action.name == "reuse":
            own = trained[action.expert].most_common(1)
            reuses[number] = int(bool(own) and own[0][0] == course.tasks[visit])
        trained[trigger.active][course.tasks[visit]] += 1
    return events, reuses, log
