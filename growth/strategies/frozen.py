"""Classifiers on frozen random features, learnt from sums: exact, in any order, without samples.

A layer of leaky integrate-and-fire neurons with random input weights that never change turns a
sample into spike counts f, (features,). All that is learnt are sums over samples::

    A = sum f f'        B[:, k] = sum of f with label k        n[k] = samples with label k

Counts are whole numbers, so the sums are exact: no order of samples, batches or tasks changes a
bit of them, nothing is forgotten, and neither boundaries nor stored samples are needed. What
makes weights and biases of a linear readout out of the sums is up to a subclass.

The readout on the chip: one output neuron a label that does not leak. It sums up what it gets
and fires off what is there, so its count is its score in units of the threshold, rounded down; a
score below zero is silence. All scores are scaled by one number, found from the sums alone: a
label's mean score on its own samples makes its neuron fire in the share `peak` of all steps. The
bias comes from the line that spikes in every step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from growth.blueprint import BIAS, INPUTS, Blueprint, Connection, Population
from growth.layered import Layered
from growth.meter import levels_of
from growth.sequence import leaky
from growth.strategies.base import Progress, Stored, Strategy, silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from growth.blueprint import Counts, Serve
    from growth.config import Experiment
    from growth.host import Host
    from growth.streams import Batch, Stream, Task

__all__ = ["FrozenFeatures"]

AT_ONCE = 500
"""Samples whose spikes are held in memory together."""

SUM_BITS = 32
"""Bits of a sum: counts up to 2^5 of 2^22 samples."""


class FrozenFeatures(Strategy):
    """Sum up what random neurons fire, and read it with a linear readout.

    With ``cell = "relu"`` the features are rectified linear with random biases, and the
    readout is exact; `readout` and `peak` are then without effect.
    """

    class Options(Strategy.Options):
        """Options of all classifiers on frozen features.

        Attributes
        ----------
        features : int
            Neurons with random weights; each reads all inputs.
        gain : float
            Standard deviation of their weights, times the root of the number of inputs. From
            0.5 to 3 it changes the accuracy by half a point, and the spikes eightfold.
        readout : "chip" or "host"
            Where the readout is computed. In the host it is exact, and every count of every
            feature has to leave the chip.
        peak : float
            See the module.
        """

        features: int = Field(default=500, ge=1, le=100_000)
        gain: float = Field(default=1.0, gt=0)
        readout: Literal["chip", "host"] = "chip"
        peak: float = Field(default=0.7, gt=0, le=1)

    options: Options
    needs_boundaries = False

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        size = self.options.features
        self.moments = torch.zeros(size, size, dtype=torch.float64)
        self.sums = torch.zeros(size, self.labels, dtype=torch.float64)
        self.counts = torch.zeros(self.labels, dtype=torch.float64)
        self.solved: tuple[Tensor, Tensor] | None = None

    def make_net(self, outputs: int | None = None) -> Layered:
        """Return the frozen layer; its weights sit on the levels that a device has.

        So the chip computes the features that were learnt from, not others near them.
        """
        spiking = self.experiment.cell == "lif"
        net = Layered(
            [self.inputs, self.options.features], leak=self.experiment.leak,
            spiking=spiking, generator=self.torch_rng,
        )  # fmt: skip
        drawn = torch.randn(
            self.options.features, self.inputs, generator=self.torch_rng
        ) * (self.options.gain / self.inputs**0.5)
        if spiking:
            levels = self.experiment.device.levels
            top = drawn.abs().amax(1, keepdim=True)
            drawn = levels_of(drawn, levels) * (top / (levels - 1))
        net.w0.data = drawn
        return net.requires_grad_(False)

    @property
    def ready(self) -> bool:
        return bool(self.counts.sum() > 0)

    # learning -----------------------------------------------------------------------------

    def learn(self, task: Task, progress: Progress = silent) -> None:
        self.task = task
        self.meter.start(self.programmed())
        inputs, labels = task.train_inputs, task.train_labels
        for start in range(0, len(labels), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            self.absorb(inputs[part], labels[part])
            progress(min(1.0, (start + AT_ONCE) / len(labels)))
        self.meter.stepped(self.programmed())

    def meet(self, batches: Iterable[Batch], progress: Progress = silent) -> None:
        self.meter.start(self.programmed())
        for batch in batches:
            self.absorb(batch.inputs, batch.labels)
        self.meter.stepped(self.programmed())
        progress(1.0)

    def absorb(self, inputs: NDArray[Any], labels: NDArray[np.int64]) -> None:
        """Add samples to the sums."""
        found = self.features(torch.from_numpy(np.ascontiguousarray(inputs)))
        right = torch.nn.functional.one_hot(torch.from_numpy(labels), self.labels).double()
        self.moments += found.T @ found
        self.sums += found.T @ right
        self.counts += right.sum(0)
        self.solved = None
        self.meter.passed(len(labels))

    @torch.no_grad()
    def features(self, inputs: Tensor) -> Tensor:
        """Spike counts of the frozen neurons, or their values, (samples, features), float64."""
        given = self.encode(inputs)
        if self.experiment.cell == "relu":
            return self.net(given)[0].clamp(min=0).double()
        return leaky(given @ self.net.weights["w0"].T, self.net.leak).sum(0).double()

    # the readout ----------------------------------------------------------------------------

    def solve(self) -> tuple[Tensor, Tensor]:
        """Weights, (labels, features), and biases, (labels,), from the sums.

        A label that has not been met has weights and bias 0.
        """
        raise NotImplementedError

    def linear(self) -> tuple[Tensor, Tensor]:
        """Return `solve`'s answer to the present sums."""
        if self.solved is None:
            if self.ready:
                self.solved = self.solve()
            else:
                self.solved = torch.zeros_like(self.sums.T), torch.zeros_like(self.counts)
        return self.solved

    def scale(self) -> float:
        """Threshold-units of an output neuron for a score of 1; see the module."""
        weight, bias = self.linear()
        met = self.counts > 0
        own = (weight * self.sums.T).sum(1)[met] / self.counts[met] + bias[met]
        mean = float(own.mean()) if len(own) else 0.0
        return self.options.peak * self.experiment.stream.steps / mean if mean > 0 else 1.0

    def in_host(self) -> bool:
        """Whether the readout is computed off the chip."""
        return self.options.readout == "host" and self.experiment.cell == "lif"

    def programmed(self) -> Mapping[str, Tensor]:
        """Weights of the readout: all that learning rewrites."""
        if self.in_host():
            return {}
        weight, bias = self.linear()
        return {"readout": torch.cat([weight, bias[:, None]], 1).float()}

    def blueprint(self, identity: int | None = None) -> Blueprint:
        size = self.options.features
        spiking = self.experiment.cell == "lif"
        fixed = {name: w.detach() for name, w in self.net.weights.items()}
        populations = [Population("features", np.arange(size), self.net.leak)]
        connections = [Connection(INPUTS, "features", fixed["w0"].numpy())]
        if not spiking:
            connections.append(Connection(BIAS, "features", fixed["b0"].numpy()[:, None]))
        if not self.in_host():
            weight, bias = self.linear()
            if spiking:
                scale = self.scale()
                weight, bias = weight * scale, bias * scale / self.experiment.stream.steps
            populations.append(Population("out", size + np.arange(self.labels), leak=1.0))
            connections += [
                Connection("features", "out", weight.float().numpy()),
                Connection(BIAS, "out", bias.float().numpy()[:, None]),
            ]
        return Blueprint(self.inputs, tuple(populations), tuple(connections), spiking)

    def scores(self, serve: Serve, identity: int | None = None) -> NDArray[Any]:
        fired = serve(self.blueprint(identity))
        return self.exact(fired) if self.in_host() else fired["out"]

    def exact(self, fired: Counts) -> NDArray[np.float64]:
        """Scores that the readout in the host gives what the features fired."""
        weight, bias = self.linear()
        scores: NDArray[np.float64] = fired["features"] @ weight.numpy().T + bias.numpy()
        return scores

    def remarks(self, fired: Counts, labels: NDArray[np.int64]) -> dict[str, Any]:
        """What leaves the chip for each sample, and what the readout on the chip loses."""
        bits = math.ceil(math.log2(self.experiment.stream.steps + 1))
        leaving = self.options.features if self.in_host() else self.labels
        found = {"bits_to_host_per_inference": leaving * bits}
        if self.in_host():
            return found | {"host_macs_per_inference": self.options.features * self.labels}
        exact = self.exact(fired).argmax(1) == labels
        lost = exact.mean() - (fired["out"].argmax(1) == labels).mean()
        return found | {"lost_by_readout": float(lost)}

    # what is kept ---------------------------------------------------------------------------

    def ledger(self) -> list[Stored]:
        size = self.options.features
        kept = [
            Stored("second moments", size * (size + 1) // 2 * SUM_BITS, "host"),
            Stored("sums of labels", (size + 1) * self.labels * SUM_BITS, "host"),
        ]
        if self.in_host():
            kept.append(Stored("readout", (size + 1) * self.labels * 32, "host"))
        return kept

    def state(self) -> dict[str, Any]:
        sums = {name: getattr(self, name) for name in ("moments", "sums", "counts")}
        return super().state() | {"frozen": sums}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        for name, value in state["frozen"].items():
            setattr(self, name, value.clone())
        self.solved = None
