"""Strategies against another library's results under the same protocol, without spikes."""

import json
import os
import statistics
from pathlib import Path

import pytest
import torch
from learnt import learnt

from growth.config import load_experiment
from growth.strategies import STRATEGIES

GOLDEN = json.loads((Path(__file__).parent / "data" / "avalanche.json").read_text())

PROTOCOL = (
    "name=golden", "cell=relu", "hidden=[100,100]", "train.loss=ce_count", "train.batch=10",
    "train.learning_rate=0.001", "train.weight_decay=0.001", "train.renew=false",
)  # fmt: skip

STREAMS = {
    "digits": ("stream.test_share=0.25", "train.epochs=5"),
    "mnist": (
        "stream.dataset=mnist", "stream.train_samples=1000", "train.epochs=1",
    ),
}  # fmt: skip

OPTIONS = {
    "ewc": ("options.strength=200",),  # theirs lacks the factor 1/2
    "lwf": ("options.strength=1", "options.temperature=2"),
    "agem": ("options.memory=200", "options.sample=200"),
    "gem": ("options.memory=200", "options.margin=0.5", "options.ridge=0.001"),
    "replay": ("options.memory=200", "options.balance=task"),
    "icarl": ("options.memory=200",),
}


def as_theirs(name):
    """The strategy with Avalanche's Fisher information, if it has any."""

    class Theirs(STRATEGIES[name]):
        def fisher(self, samples):
            """Squares of mean gradients of batches of 10, which is not the Fisher information."""
            inputs = torch.from_numpy(samples.inputs).split(10)
            labels = torch.from_numpy(samples.labels).split(10)
            total = {name: torch.zeros_like(w) for name, w in self.net.weights.items()}
            for some, wanted in zip(inputs, labels, strict=True):
                loss = self.criterion(self.net(self.encode(some)), wanted)
                found = torch.autograd.grad(loss, list(self.net.weights.values()))
                for mean, square in zip(found, total.values(), strict=True):
                    square += mean**2 / len(inputs)
            return total

    return Theirs


def ours(stream, name, seeds):
    settings = (*PROTOCOL, *STREAMS[stream], *OPTIONS.get(name, ()), f"strategy={name}")
    experiment = load_experiment("split-digits-naive", settings)
    return [learnt(experiment, seed, as_theirs(name)) for seed in range(seeds)]


def distance(values, mean, sd):
    """How far the means lie apart, in standard deviations of one run, of theirs and ours."""
    spread = (statistics.variance(values) + sd**2) ** 0.5
    return abs(statistics.mean(values) - mean) / spread


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN["strategies"])
@pytest.mark.parametrize("stream", STREAMS)
def test_accuracy_and_forgetting_are_those_of_avalanche(stream, name):
    if stream == "mnist" and not os.environ.get("MOSAIC_DATA"):
        pytest.skip("needs MNIST: set MOSAIC_DATA")
    wanted = GOLDEN["results"][stream][name]
    found = ours(stream, name, wanted["seeds"])
    for quantity in ("accuracy", "forgetting"):
        if wanted[quantity] is not None:
            values = [getattr(one, quantity) for one in found]
            assert distance(values, *wanted[quantity]) < 3, (quantity, values)


def test_one_run_of_replay_lies_within_their_spread():
    mean, sd = GOLDEN["results"]["digits"]["replay"]["accuracy"]
    (found,) = ours("digits", "replay", 1)
    assert abs(found.accuracy - mean) < 3 * sd
