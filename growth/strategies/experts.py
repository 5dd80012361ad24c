"""Experts side by side: trained, described by prototypes of their inputs, served and kept.

The prototypes sit in gate neurons on the chip, on its levels, and decide which expert answers.
How experts come to be is in `growth.strategies.growing`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.gate import Gate
from growth.metrics import adjusted_rand
from growth.model import SpikingNet, mixture, responsibilities
from growth.rounding import rounded
from growth.strategies.base import Stored, Strategy
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from growth.blueprint import Blueprint, Counts, Serve
    from growth.config import Experiment
    from growth.host import Host
    from growth.model import Expert
    from growth.streams import Stream, Task

__all__ = ["Experts", "places"]


class Experts(Strategy):
    """A network of experts: how one is trained, described, served and kept."""

    still = True

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        self.model = SpikingNet(stream.inputs, experiment.leak)
        self.gate = Gate(experiment.gate.prototypes, self.rng)
        self.pupil: Expert | None = None
        # Hidden and output neurons of the pupil that must not change any more:
        self.protected = self.protected_outputs = 0

    @property
    def experts(self) -> list[Expert]:
        """All experts of the model."""
        return self.model.experts

    @property
    def ready(self) -> bool:
        return bool(self.experts)

    # what an expert's inputs are like -----------------------------------------------------

    def gate_reads(self) -> NDArray[np.bool_]:
        """Lines that gate neurons read: what the gate looks at, and the bias line."""
        reads = np.ones(self.model.inputs + 1, np.bool_)
        if self.gate.reads is not None:
            reads[:-1] = self.gate.reads
        return reads

    def describe(self, expert: Expert, task: Task, *, lasting: bool = True) -> None:
        """Describe the inputs of an expert in the gate and in gate neurons, once.

        Unless it is `lasting`, the gate neurons are wired to all that the gate looks at, so
        that `redescribe` can give them other weights.
        """
        if not expert.births["gate"]:
            number = self.gate.add(self.gate.describe(task.train_inputs), task.train_inputs)
            self.add_gates(expert, number, task, lasting=lasting)

    def redescribe(
        self, expert: Expert, prototypes: NDArray[np.float64], sizes: NDArray[np.float64]
    ) -> None:
        """Put better prototypes, each of so many inputs, into the gate neurons of an expert."""
        number = self.experts.index(expert)
        old = self.gate.descriptors[number]
        self.gate.descriptors[number] = replace(old, prototypes=prototypes)
        held = self.held(number, prototypes, np.sqrt(sizes / sizes.mean()))
        expert.set_gates(held[:, :-1], held[:, -1])

    def held(
        self, number: int, given: NDArray[np.floating],
        weights: NDArray[np.float64] | float = 1.0, first: int = 0,
    ) -> Tensor:  # fmt: skip
        """Weights and bias of gate neurons from the `first` on, as the chip can hold them.

        They are rounded for the inputs `given`, each of which counts as often as the square
        of its weight.
        """
        weight, bias = self.gate.neurons(number)
        lines = np.flatnonzero(self.gate_reads())
        given = np.pad(given, ((0, 0), (0, 1)), constant_values=1.0)
        given = given * np.reshape(weights, (-1, 1))
        held = np.column_stack([weight, bias])[first:]
        held[:, lines] = rounded(
            held[:, lines], given[:, lines], self.experiment.device.levels
        )
        return torch.tensor(held, dtype=torch.float32)

    def add_gates(
        self, expert: Expert, number: int, task: Task, *, lasting: bool = True
    ) -> None:
        """Grow gate neurons for the prototypes that have none yet, on the levels of the chip."""
        new = self.held(number, task.train_inputs, first=len(expert.births["gate"]))
        wired = torch.from_numpy(self.gate_reads()).expand(new.shape)
        reads = None if lasting else wired
        self.model.add_gates(expert, new[:, :-1], new[:, -1], reads)

    # the inner loop ---------------------------------------------------------------------

    def take_up(self, expert: Expert) -> None:
        """Make an expert the pupil; what it has learnt before is protected."""
        for weight in expert.parameters():
            weight.requires_grad_(True)
        self.pupil, self.protected = expert, expert.into_hidden.shape[0]
        self.protected_outputs = len(expert.classes) if self.protected else 0

    @property
    def trained(self) -> Expert:
        """The expert in training."""
        if self.pupil is None:
            raise MosaicError("fit needs an expert to train; learn a task first.")
        return self.pupil

    def groups(self) -> Iterable[Any]:
        return [p for p in self.trained.parameters() if p.requires_grad]

    def forward(self, given: Tensor) -> Tensor:
        return self.trained.out_spikes(self.trained.hidden_spikes(given))

    def targets(self, labels: Tensor) -> Tensor:
        return places(self.trained, labels)

    def grads(self, given: Tensor, labels: Tensor) -> None:
        """Hold still what an expert learnt before it was taken up again."""
        into_hidden, into_out = self.trained.into_hidden.grad, self.trained.into_out.grad
        if into_hidden is not None:
            into_hidden[: self.protected] = 0.0
        if into_out is not None:
            into_out[: self.protected_outputs, : self.protected] = 0.0

    def programmed(self) -> Mapping[str, Tensor]:
        number = self.experts.index(self.trained)
        return {
            f"{number} into hidden": self.trained.into_hidden,
            f"{number} into out": self.trained.into_out,
        }

    # on the chip ------------------------------------------------------------------------

    def blueprint(self, identity: int | None = None) -> Blueprint:
        return self.model.blueprint()

    def largest(self, stream: Stream) -> Blueprint:
        """An expert for each task, with its share of the configured hidden neurons."""
        model = SpikingNet(self.inputs, self.experiment.leak)
        tasks = {task.identity: task for task in stream.tasks}
        share = -(-sum(self.experiment.hidden) // len(tasks))
        for task in tasks.values():
            expert = model.add_expert(task.classes)
            zeros = torch.zeros(share, self.inputs), torch.zeros(len(task.classes), share)
            model.widen(expert, *zeros)
            gates = self.experiment.gate.prototypes
            model.add_gates(expert, torch.zeros(gates, self.inputs), torch.zeros(gates))
        return model.blueprint()

    def scores(self, serve: Serve, identity: int | None = None) -> NDArray[Any]:
        fired = serve(self.blueprint())
        parts: dict[str, list[NDArray[Any]]] = {"out": [], "gate": []}
        for number in range(len(self.experts)):
            for kind, found in parts.items():
                none = np.zeros((len(next(iter(fired.values()))), 0))
                found.append(fired.get(f"expert {number}/{kind}", none))
        classes = [expert.classes for expert in self.experts]
        return mixture(
            parts["out"],
            parts["gate"],
            classes,
            self.labels,
            gain=self.experiment.gate.gain,
        )

    def remarks(self, fired: Counts, labels: NDArray[np.int64]) -> dict[str, Any]:
        """Share of samples of known classes whose own expert has the largest weight."""
        gates = [fired[f"expert {number}/gate"] for number in range(len(self.experts))]
        best = responsibilities(gates, gain=self.experiment.gate.gain)
        owner = {
            label: e for e, expert in enumerate(self.experts) for label in expert.classes
        }
        known = np.isin(labels, list(owner))
        right = [owner[int(label)] for label in labels[known]]
        chosen = best[known].argmax(1)
        return {
            "gate_hits": float((chosen == right).mean()),
            "adjusted_rand": adjusted_rand(chosen, right),
        }

    def ledger(self) -> list[Stored]:
        """Mean and spread of the novelty of each expert, 32 bits each."""
        return [Stored("spread of novelty", 64 * len(self.experts), "host")]

    # checkpoints ------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "gate": self.gate.state(),
            "experts": [
                {
                    "classes": e.classes, "births": e.births,
                    "into_hidden": e.into_hidden.data, "into_out": e.into_out.data,
                    "gate_weight": e.gate_weight, "gate_bias": e.gate_bias,
                    "gate_reads": e.gate_reads, "reads": e.mask,
                    "frozen": not e.into_hidden.requires_grad,
                }
                for e in self.experts
            ],
            "neurons": self.model.neurons,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.gate.load_state(state["gate"])
        self.model = SpikingNet(self.model.inputs, self.model.leak)
        for saved in state["experts"]:
            expert = self.model.add_expert(saved["classes"])
            expert.births = saved["births"]
            expert.into_hidden = torch.nn.Parameter(saved["into_hidden"])
            expert.into_out = torch.nn.Parameter(saved["into_out"])
            expert.gate_weight, expert.gate_bias = saved["gate_weight"], saved["gate_bias"]
            expert.reads, expert.gate_reads = saved["reads"], saved["gate_reads"]
            if saved["frozen"]:
                expert.freeze()
        self.model.neurons = state["neurons"]


def places(expert: Expert, labels: Tensor) -> Tensor:
    """Number of each label among the classes of an expert."""
    place = {label: k for k, label in enumerate(expert.classes)}
    return torch.tensor([place[int(label)] for label in labels])
