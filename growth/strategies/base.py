"""The shape of every strategy: an outer life cycle, one inner loop, and hooks that do nothing.

A strategy owns its memory and its model; it does not know the chip. It may ask its `Host`
for room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import snntorch.functional
import torch
from torch import Tensor

from growth.encode import regular_rate
from growth.model import Expert, SpikingNet, cell_spikes, mixture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.config import Experiment
    from growth.gate import Decision
    from growth.host import Host
    from growth.streams import Stream, Task

__all__ = ["Progress", "Strategy", "encode"]

Criterion = Callable[[Tensor, Tensor], Tensor]

Progress = Callable[[float], None]
"""Called with the finished share of the current task, 0 to 1."""


def _silent(share: float) -> None:
    """Report nothing."""


def encode(inputs: NDArray[np.float64], steps: int) -> Tensor:
    """Spikes of intensities, (steps, samples, channels), float32."""
    spikes = regular_rate(inputs, steps).transpose(1, 0, 2)
    return torch.from_numpy(np.ascontiguousarray(spikes, np.float32))


def make_criterion(experiment: Experiment) -> Criterion:
    """Return snnTorch's loss on output spikes (steps, samples, classes) and targets."""
    settings = experiment.train
    if settings.loss == "ce_count":
        loss: Criterion = snntorch.functional.ce_count_loss()
    else:
        loss = snntorch.functional.mse_count_loss(
            correct_rate=settings.correct_rate, incorrect_rate=settings.incorrect_rate
        )
    return loss


class Strategy:
    """Learns tasks one after another. Override only what differs.

    Parameters
    ----------
    experiment : Experiment
    stream : Stream
        Only its sizes are read here.
    host : Host
    seed : int
    """

    one_task = False
    """Whether the strategy sees the whole stream as one task (an upper bound, not a learner)."""

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        self.experiment = experiment
        self.host = host
        self.labels = stream.labels
        self.model = SpikingNet(stream.inputs, experiment.leak)
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(seed)
        self.decisions: list[Decision] = []
        self.ended: str | None = None
        self.criterion = make_criterion(experiment)

    # outer life cycle -----------------------------------------------------------------

    def learn(self, task: Task, progress: Progress = _silent) -> None:
        """Learn one task: begin, train, end."""
        self.begin(task)
        self.fit(self.expert, task, self.experiment.train.epochs, progress)
        self.end(task)

    def predict(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels from spike counts of all neurons in order of birth, (samples, neurons)."""
        out = [counts[:, expert.births["out"]] for expert in self.experts]
        gate = [counts[:, expert.births["gate"]] for expert in self.experts]
        classes = [expert.classes for expert in self.experts]
        gain = self.experiment.gate.gain
        label: NDArray[np.int64] = mixture(
            out, gate, classes, self.labels, gain=gain
        ).argmax(1)
        return label

    @property
    def experts(self) -> list[Expert]:
        """All experts of the model."""
        return self.model.experts

    @property
    def expert(self) -> Expert:
        """The expert in training: the last one, unless a strategy says otherwise."""
        return self.experts[-1]

    # hooks of the inner loop ----------------------------------------------------------

    def begin(self, task: Task) -> None:
        """Prepare for a task: new heads, neurons, teachers."""

    def end(self, task: Task) -> None:
        """Remember what the task has to leave behind."""

    def groups(self, expert: Expert) -> Iterable[Any]:
        """What is trained, as parameters or optimiser groups."""
        return [p for p in expert.parameters() if p.requires_grad]

    def batch(self, spikes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch to train on; replay mixes here."""
        return spikes, targets

    def loss(self, expert: Expert, spikes: Tensor, targets: Tensor) -> Tensor:
        """Return the scalar to descend."""
        fired = expert.out_spikes(expert.hidden_spikes(spikes))
        total: Tensor = self.criterion(fired, targets)
        return total + self.penalty()

    def penalty(self) -> Tensor | float:
        """Return what the method adds to the loss of the task."""
        return 0.0

    def grads(self) -> None:
        """Edit the gradients before the step."""

    def stepped(self) -> None:
        """Look at the weights after the step."""

    # the only training loop of the package ----------------------------------------------

    def fit(
        self, expert: Expert, task: Task, epochs: int, progress: Progress = _silent
    ) -> None:
        """Train `expert` on a task for some epochs with Adam."""
        settings = self.experiment.train
        spikes = encode(task.train_inputs, self.experiment.stream.steps)
        targets = self.targets(expert, task.train_labels)
        optimiser = torch.optim.Adam(self.groups(expert), settings.learning_rate)
        for epoch in range(epochs):
            order = torch.randperm(len(targets), generator=self.torch_rng)
            for part in order.split(settings.batch):
                some, wanted = self.batch(spikes[:, part], targets[part])
                optimiser.zero_grad()
                self.loss(expert, some, wanted).backward()
                self.grads()
                optimiser.step()
                self.stepped()
            progress((epoch + 1) / epochs)

    def targets(self, expert: Expert, labels: NDArray[np.int64]) -> Tensor:
        """Indices of labels among the classes of an expert."""
        place = {label: k for k, label in enumerate(expert.classes)}
        return torch.tensor([place[int(label)] for label in labels])

    # checkpoints: plain tensors and numbers, loadable with weights_only=True -------------

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after the last finished task."""
        return {
            "experts": [
                {
                    "classes": e.classes, "births": e.births,
                    "into_hidden": e.into_hidden.data, "into_out": e.into_out.data,
                    "gate_weight": e.gate_weight, "gate_bias": e.gate_bias,
                    "frozen": not e.into_hidden.requires_grad,
                }
                for e in self.experts
            ],
            "neurons": self.model.neurons,
            "torch_rng": self.torch_rng.get_state(),
            "decisions": [decision.to_dict() for decision in self.decisions],
            "ended": self.ended,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of `state`."""
        from growth.gate import Decision

        self.model = SpikingNet(self.model.inputs, self.model.leak)
        for saved in state["experts"]:
            expert = self.model.add_expert(saved["classes"])
            expert.births = saved["births"]
            expert.into_hidden = torch.nn.Parameter(saved["into_hidden"])
            expert.into_out = torch.nn.Parameter(saved["into_out"])
            expert.gate_weight, expert.gate_bias = saved["gate_weight"], saved["gate_bias"]
            if saved["frozen"]:
                expert.freeze()
        self.model.neurons = state["neurons"]
        self.torch_rng.set_state(state["torch_rng"])
        self.decisions = [Decision(**decision) for decision in state["decisions"]]
        self.ended = state["ended"]

    # what both other strategies and reports need ----------------------------------------

    def dense_expert(self, classes: Iterable[int]) -> Expert:
        """Add an expert of the configured width with Kaiming-initialised weights."""
        expert = self.model.add_expert(list(classes))
        width = self.experiment.hidden

        def normal(rows: int, columns: int) -> Tensor:
            draw = torch.randn(rows, columns, generator=self.torch_rng)
            return draw * (2 / columns) ** 0.5

        self.model.widen(
            expert, normal(width, self.model.inputs), normal(len(expert.classes), width)
        )
        return expert

    @torch.no_grad()
    def raster(self, spikes: Tensor) -> NDArray[np.bool_]:
        """Spikes of all neurons in order of birth, as snnTorch computes them.

        Parameters
        ----------
        spikes : (steps, samples, inputs)

        Returns
        -------
        bool array, (samples, steps, neurons)
        """
        steps, samples, _ = spikes.shape
        fired = np.zeros((samples, steps, self.model.neurons), np.bool_)
        for expert in self.experts:
            hidden = expert.hidden_spikes(spikes)
            gate = cell_spikes(
                expert.cell, spikes @ expert.gate_weight.T + expert.gate_bias
            )
            for name, part in (
                ("hidden", hidden), ("out", expert.out_spikes(hidden)), ("gate", gate),
            ):  # fmt: skip
                fired[:, :, expert.births[name]] = part.numpy().transpose(1, 0, 2) > 0
        return fired
