"""Experts side by side: trained, described by prototypes of their inputs, served and kept.

The prototypes sit in gate neurons on the chip, on its levels, and decide which expert answers.
How experts come to be is in `growth.strategies.growing`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.front import make_front
from growth.gate import Gate
from growth.host import Cost
from growth.metrics import adjusted_rand
from growth.model import SpikingNet, mixture, responsibilities
from growth.rounding import rounded
from growth.samples import Samples
from growth.strategies.base import Stored, Strategy
from growth.strategies.precision import STATISTIC_BITS
from growth.strategies.scored import SUM_BITS, Scored
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    takes_front = True

    budget: Cost
    """What the learner may spend in its life."""

    spent: Cost
    """What it has spent."""

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        self.front = None
        if experiment.front.kind != "none":
            self.front = make_front(
                experiment.front, stream.inputs, levels=experiment.device.levels,
                leak=experiment.leak, steps=experiment.stream.steps,
            )  # fmt: skip
            self.inputs = self.front.size
            host.settle(self.front.reads)
        self.scored = Scored(self.inputs) if experiment.gate.kind == "scores" else None
        self.model = self.empty()
        self.gate = Gate(experiment.gate.prototypes, self.rng)
        self.pupil: Expert | None = None
        # Hidden and output neurons of the pupil that must not change any more:
        self.protected = self.protected_outputs = 0
        self.before: list[Tensor] = []

    @property
    def experts(self) -> list[Expert]:
        """All experts of the model."""
        return self.model.experts

    @property
    def ready(self) -> bool:
        return bool(self.experts)

    def empty(self) -> SpikingNet:
        """Return a network without experts. Scores are summed up, so their neurons do not leak."""
        leak = self.experiment.leak
        return SpikingNet(self.inputs, leak, None if self.scored is None else 1.0)

    # behind the front ---------------------------------------------------------------------

    def rates(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """What experts are given of some inputs: the inputs, or rates of the front."""
        return inputs if self.front is None else self.front.rates(inputs)

    def behind(self, task: Task) -> Task:
        """Return a task with training samples as experts are given them."""
        if self.front is None:
            return task
        rates = self.rates(task.train_inputs)
        return replace(task, train=Samples.of(rates, task.train_labels))

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
        new = not expert.births["gate"]
        if new:
            number = self.gate.add(self.gate.describe(task.train_inputs), task.train_inputs)
        if self.scored is not None:
            self.score(expert, task.train_inputs, task.train_labels)
            self.write_scores(new=expert if new else None)
        elif new:
            self.add_gates(expert, number, task, lasting=lasting)

    def score(
        self, expert: Expert, inputs: NDArray[np.floating], labels: NDArray[np.int64]
    ) -> None:
        """Add samples that an expert was trained on to the sums behind the scores."""
        if self.scored is not None:
            known = np.isin(labels, expert.classes)
            number = self.experts.index(expert)
            self.scored.meet(number, self.gate.seen(inputs[known]), labels[known])

    def write_scores(self, new: Expert | None = None) -> None:
        """Write the gate neurons of all experts as the sums have it; those of `new` are born.

        If the budget does not allow that, the old ones stay as they are.
        """
        if self.scored is None:
            return
        keys = [(e, c) for e, expert in enumerate(self.experts) for c in expert.classes]
        lines = self.gate_reads()
        held = torch.tensor(
            self.scored.held(keys, lines, self.experiment.device.levels),
            dtype=torch.float32,
        )
        old = sum(len(e.births["gate"]) for e in self.experts if e is not new)
        cost = Cost(writes=float(old * lines.sum()))
        afford = cost.within(self.budget.less(self.spent))
        if afford:
            self.spent = self.spent.plus(cost)
            self.scored.written = self.scored.seen
        first = 0
        for expert in self.experts:
            rows = held[first : first + len(expert.classes)]
            first += len(rows)
            if expert is new:
                reads = torch.from_numpy(lines).expand(rows.shape)
                self.model.add_gates(expert, rows[:, :-1], rows[:, -1], reads)
            elif afford:
                expert.set_gates(rows[:, :-1], rows[:, -1])

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

    def learnt(self) -> tuple[Tensor, Tensor]:
        """Weights that an expert had learnt before it was taken up again."""
        kept = self.trained.into_out[: self.protected_outputs, : self.protected]
        return self.trained.into_hidden[: self.protected], kept

    def grads(self, given: Tensor, labels: Tensor) -> None:
        """Remember what an expert had learnt before it was taken up again."""
        self.before = [old.detach().clone() for old in self.learnt()]

    @torch.no_grad()
    def stepped(self) -> None:
        """Take back all of the update of what was learnt before but its share."""
        for old, now in zip(self.before, self.learnt(), strict=True):
            now.copy_(torch.lerp(old, now, self.experiment.grow.plasticity))

    def programmed(self) -> Mapping[str, Tensor]:
        number = self.experts.index(self.trained)
        return {
            f"{number} into hidden": self.trained.into_hidden,
            f"{number} into out": self.trained.into_out,
        }

    # on the chip ------------------------------------------------------------------------

    def blueprint(self, identity: int | None = None) -> Blueprint:
        blueprint = self.model.blueprint()
        return blueprint if self.front is None else self.front.before(blueprint)

    def largest(self, stream: Stream) -> Blueprint:
        """An expert for each task, with its share of the configured hidden neurons."""
        model = self.empty()
        tasks = {task.identity: task for task in stream.tasks}
        share = -(-sum(self.experiment.hidden) // len(tasks))
        for task in tasks.values():
            expert = model.add_expert(task.classes)
            zeros = torch.zeros(share, self.inputs), torch.zeros(len(task.classes), share)
            model.widen(expert, *zeros)
            gates = self.gates(task.classes)
            model.add_gates(expert, torch.zeros(gates, self.inputs), torch.zeros(gates))
        blueprint = model.blueprint()
        return blueprint if self.front is None else self.front.before(blueprint)

    def gates(self, classes: Sequence[int]) -> int:
        """Gate neurons of a new expert for these classes."""
        return len(classes) if self.scored is not None else self.experiment.gate.prototypes

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
            scored=self.scored is not None and not self.overlap,
        )

    @property
    def overlap(self) -> bool:
        """Whether two experts know the same label.

        Their scores of it then compete: they say which of the two knows the input, and no longer
        which label it has.
        """
        labels = [label for expert in self.experts for label in expert.classes]
        return len(set(labels)) < len(labels)

    def remarks(self, fired: Counts, labels: NDArray[np.int64]) -> dict[str, Any]:
        """Share of samples of known classes whose own expert has the largest weight.

        If gate neurons score classes, also how many they would have named right alone.
        """
        gates = [fired[f"expert {number}/gate"] for number in range(len(self.experts))]
        best = responsibilities(gates, gain=self.experiment.gate.gain)
        owner = {
            label: e for e, expert in enumerate(self.experts) for label in expert.classes
        }
        known = np.isin(labels, list(owner))
        right = [owner[int(label)] for label in labels[known]]
        chosen = best[known].argmax(1)
        found = {
            "gate_hits": float((chosen == right).mean()),
            "adjusted_rand": adjusted_rand(chosen, right),
        }
        if self.scored is not None:
            classes = np.concatenate([expert.classes for expert in self.experts])
            named = classes[np.column_stack(gates)[known].argmax(1)]
            found["scores_alone"] = float((named == labels[known]).mean())
        return found

    def ledger(self) -> list[Stored]:
        """Mean and spread of the novelty of each expert, 32 bits each.

        If the gate has scores, also the sums behind them, and prototypes that are not on the chip.
        """
        found = [Stored("spread of novelty", 64 * len(self.experts), "host")]
        if self.scored is not None:
            size = len(self.scored.moments)
            sums = size * (size + 1) // 2 + size * len(self.scored.sums)
            prototypes = sum(d.prototypes.size for d in self.gate.descriptors)
            found.append(Stored("sums", SUM_BITS * sums, "host"))
            found.append(Stored("prototypes", STATISTIC_BITS * prototypes, "host"))
        return found

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
            "scored": None if self.scored is None else self.scored.state(),
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.gate.load_state(state["gate"])
        self.model = self.empty()
        if self.scored is not None:
            self.scored.load_state(state["scored"])
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
