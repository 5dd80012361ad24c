"""The growing learner: a gate says when, GradMax how, the chip's price where and how many.

For every task it looks at a window of samples. Coherent need with novelty opens an expert on a
tile with room, empty or shared, as the price has it; need alone widens the expert that knows such
inputs. In both cases GradMax proposes directions, and as many neurons are grown as pay for
themselves; training and growing alternate until nothing pays any more. Then the expert is frozen
with a description of its inputs.

Stored beside the network: per expert the mean and spread of its novelty (the prototypes sit in
its gate neurons on the chip). No samples. On the chip: only new devices are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.gate import Decision, Gate, decide
from growth.host import Cost
from growth.initialise import Need, measure_need
from growth.initialise.expert import start
from growth.metrics import adjusted_rand
from growth.model import SpikingNet, mixture, responsibilities
from growth.rounding import rounded
from growth.strategies.base import Progress, Stored, Strategy, encode, silent
from growth.where import (
    NO_LIMIT,
    POLICIES,
    Choice,
    Prices,
    Refusal,
    Request,
    choose,
    fair_share,
    seat,
    telling_inputs,
)
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from growth.blueprint import Blueprint, Counts, Serve
    from growth.config import Experiment
    from growth.host import Host, Offer
    from growth.model import Expert
    from growth.streams import Stream, Task

__all__ = ["Grow"]

MORE_PROTOTYPES = 2
"""Gate neurons added when an expert is found to serve inputs that look new."""

HIDDEN_RATE = 0.2
"""Share of steps in which a new hidden neuron is expected to fire, for the price of its way."""


class Grow(Strategy):
    """Grow experts where the gate finds that nobody knows, and the chip that it pays."""

    still = True

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        self.model = SpikingNet(stream.inputs, experiment.leak)
        self.gate = Gate(experiment.gate.prototypes, self.rng)
        self.pupil: Expert | None = None
        self.protected = 0  # hidden neurons of the pupil that must not change any more
        grow = experiment.grow
        self.budget = Cost(
            *(
                limit if given is None else given * unit
                for given, unit, limit in zip(
                    (grow.energy_budget, grow.device_budget, grow.write_budget),
                    (1e-9, 1, 1), NO_LIMIT, strict=True,
                )
            )
        )  # fmt: skip
        self.spent = Cost()
        self.prices = Prices(joules=grow.loss_per_nanojoule * 1e9)

    @property
    def experts(self) -> list[Expert]:
        """All experts of the model."""
        return self.model.experts

    @property
    def ready(self) -> bool:
        return bool(self.experts)

    def learn(self, task: Task, progress: Progress = silent) -> None:
        self.task = task
        self.meter.start({})
        before = self.spent
        window = self.window(task)
        expert = self.look(task, window)
        if expert is not None:
            self.pupil, self.protected = expert, expert.into_hidden.shape[0]
            rounds = self.experiment.grow.rounds
            for done in range(rounds):
                if not self.widen(expert, task, window):
                    break

                def within(share: float, done: int = done) -> None:
                    progress((done + share) / rounds)

                self.fit(task.train, self.experiment.train.epochs, within)
            self.settle(expert, task)
        grow = self.experiment.grow
        self.prices = self.prices.updated(
            self.spent.less(before), fair_share(self.budget, grow.horizon),
            rate=grow.dual_rate,
        )  # fmt: skip
        progress(1.0)

    # when ---------------------------------------------------------------------------------

    def window(self, task: Task) -> NDArray[np.int64]:
        """Samples of the task that decisions are made on: a random few."""
        size = min(self.experiment.grow.window, len(task.train_labels))
        picked: NDArray[np.int64] = self.rng.permutation(len(task.train_labels))[:size]
        return picked

    def look(self, task: Task, window: NDArray[np.int64]) -> Expert | None:
        """Decide what to do about a task; return the expert to train, if any."""
        inputs = task.train_inputs[window]
        novelty = self.gate.novelty(inputs)
        nobody = self.gate.responsibilities(inputs, self.experiment.gate.nobody)[:, 0]
        nearest = int(np.bincount(novelty.argmin(1)).argmax()) if self.experts else None
        candidate = (
            self.experts[nearest]
            if nearest is not None
            and set(task.classes) <= set(self.experts[nearest].classes)
            else None
        )
        share = float(nobody.mean())
        # An expert without an output for a label cannot serve it, however alike the inputs.
        by_labels = candidate is None and share <= self.experiment.gate.novelty_above
        trial = candidate or self.trial(task.classes)
        need = self.need(trial, task, window)
        action = decide(
            need.z, 1.0 if by_labels else share,
            need_above=self.experiment.grow.need_above,
            novelty_above=self.experiment.gate.novelty_above,
        )  # fmt: skip
        evidence = _evidence(need) | {
            "novelty": float(novelty.min(1).mean()) if self.experts else None,
            "nobody": share,
            "decided_by": "labels" if by_labels else "inputs",
        }
        if action == "new expert":
            return self.open(task, evidence, need)
        if candidate is None:
            action = "none"  # labels that nobody knows, but nothing coherent to learn
        where = None if candidate is None else self.experts.index(candidate)
        self.record(action, task, where, 0, None, evidence)
        if action == "widen" and candidate is not None:
            for weight in candidate.parameters():
                weight.requires_grad_(True)
            return candidate
        if action == "reuse" and candidate is not None:
            self.recognise(candidate, task)
        return None

    def trial(self, classes: tuple[int, ...]) -> Expert:
        """An expert that is not part of the model, to measure what a new one would need."""
        return SpikingNet(self.model.inputs, self.model.leak).add_expert(classes)

    def need(self, expert: Expert, task: Task, window: NDArray[np.int64]) -> Need:
        """Measure what new neurons could contribute to `expert` on the window."""
        spikes = encode(task.train_inputs[window], self.experiment.stream.steps)
        targets = places(expert, torch.from_numpy(task.train_labels[window]))
        return measure_need(expert, spikes, targets, self.criterion)

    # where and how many -----------------------------------------------------------------

    def open(self, task: Task, evidence: dict[str, Any], need: Need) -> Expert | None:
        """Open a new expert on the tile where it pays most, which may have neurons already."""
        gates = self.experiment.gate.prototypes
        offers = self.offers(task, None)
        if not self.experts:
            self.choose_gate_inputs(task, offers)
        choice = self.choice(
            task, need, 1.0, offers, outputs=len(task.classes), gates=gates
        )
        if isinstance(choice, Refusal):
            self.record(choice.reason, task, None, 0, None, evidence)
            self.ended = f"{choice.reason} for task {task.number}"
            return None
        evidence |= _account(choice)
        if not choice.pays:
            self.record("too dear", task, None, 0, choice.tile, evidence)
            return None
        number = len(self.experts)
        self.record("new expert", task, number, 0, choice.tile, evidence)
        expert = self.model.add_expert(task.classes)
        self.host.claim(
            number, choice.tile, "out", len(task.classes), np.zeros_like(choice.reads)
        )
        self.host.claim(number, choice.tile, "gate", gates, self.gate_reads())
        self.spent = self.spent.plus(choice.entry)
        return expert

    def widen(self, expert: Expert, task: Task, window: NDArray[np.int64]) -> bool:
        """Grow as many hidden neurons as pay; return whether there were any."""
        number = self.experts.index(expert)
        need = self.need(expert, task, window)
        norm = self.norm(expert)
        choice = self.choice(task, need, norm**2, self.offers(task, number))
        evidence = _evidence(need)
        if isinstance(choice, Refusal):
            self.record(choice.reason, task, number, 0, None, evidence)
            return False
        evidence |= _account(choice)
        if (
            need.z <= self.experiment.grow.need_above
            or not choice.neurons
            or not choice.pays
        ):
            self.record("none", task, number, 0, None, evidence)
            return False
        reads = torch.from_numpy(choice.reads[:-1].copy())
        incoming, outgoing = start(
            self.experiment.grow.how, need, reads, choice.neurons, norm,
            generator=self.torch_rng, leak=self.model.leak, rate=HIDDEN_RATE,
            spikes=encode(task.train_inputs[window], self.experiment.stream.steps),
        )  # fmt: skip
        self.host.claim(number, choice.tile, "hidden", choice.neurons, choice.reads)
        self.spent = self.spent.plus(choice.cost)
        self.model.widen(expert, incoming, outgoing, reads)
        self.record("widen", task, number, choice.neurons, choice.tile, evidence)
        return True

    def norm(self, expert: Expert) -> float:
        """Norm of new outgoing columns: a share of the mean of those that are there."""
        if not expert.into_out.shape[1]:
            return 1.0
        return self.experiment.grow.scale * float(
            expert.into_out.detach().norm(dim=0).mean()
        )

    def offers(self, task: Task, expert: int | None) -> list[Offer]:
        """What the host offers, at the rates of the task; the bias line spikes at every step."""
        steps = self.experiment.stream.steps
        rates = np.append(task.train_inputs.mean(0), 1.0) * steps
        return self.host.offers(rates, expert, HIDDEN_RATE * steps)

    def choose_gate_inputs(self, task: Task, offers: list[Offer]) -> None:
        """Let the gate look at as many inputs as its share of a tile's lines has room for."""
        lines = max((offer.lines for offer in offers), default=0)
        count = int(self.experiment.gate.lines * lines)
        if 0 < count < self.model.inputs:
            self.gate.look_at(telling_inputs(task.train_inputs, count))

    def gate_reads(self) -> NDArray[np.bool_]:
        """Lines that gate neurons read: what the gate looks at, and the bias line."""
        reads = np.ones(self.model.inputs + 1, np.bool_)
        if self.gate.reads is not None:
            reads[:-1] = self.gate.reads
        return reads

    def choice(
        self, task: Task, need: Need, norm2: float, offers: list[Offer], *,
        outputs: int = 0, gates: int = 0,
    ) -> Choice | Refusal:  # fmt: skip
        """Where, how many and which lines: benefit of the directions against the prices."""
        train = self.experiment.train
        updates = train.epochs * -(-len(task.train_labels) // train.batch)
        matrix = need.matrix.double().numpy()
        request = Request(
            np.pad(matrix, ((0, 0), (0, 1))),
            leverage=norm2 * train.learning_rate * updates,
            loss=need.loss, outputs=outputs, gates=gates,
            gate_reads=self.gate_reads() if gates else None,
            readable=np.arange(matrix.shape[1] + 1) < matrix.shape[1],  # no bias
        )  # fmt: skip
        return choose(
            request, offers, self.prices, left=self.budget.less(self.spent),
            policy=POLICIES[self.experiment.grow.where], rng=self.rng,
        )  # fmt: skip

    # afterwards ----------------------------------------------------------------------------

    def settle(self, expert: Expert, task: Task) -> None:
        """Freeze the expert; describe its inputs in the gate and in new gate neurons."""
        expert.freeze()
        if not expert.births["gate"]:
            number = self.gate.add(self.gate.describe(task.train_inputs), task.train_inputs)
            self.add_gates(expert, number, task)

    def recognise(self, expert: Expert, task: Task) -> None:
        """Let an expert also serve inputs that it handles but that look new."""
        number = self.experts.index(expert)
        found = seat(
            self.offers(task, number), self.gate_reads(), MORE_PROTOTYPES, self.prices,
            left=self.budget.less(self.spent),
        )  # fmt: skip
        if isinstance(found, Refusal):
            self.record(found.reason, task, number, 0, None, {})
            return
        self.host.claim(number, found.tile, "gate", found.neurons, found.reads)
        self.spent = self.spent.plus(found.cost)
        self.gate.extend(number, task.train_inputs, found.neurons)
        self.add_gates(expert, number, task)

    def add_gates(self, expert: Expert, number: int, task: Task) -> None:
        """Grow gate neurons for the prototypes that have none yet, on the levels of the chip."""
        there = len(expert.births["gate"])
        weight, bias = self.gate.neurons(number)
        lines = np.flatnonzero(self.gate_reads())
        given = np.pad(task.train_inputs, ((0, 0), (0, 1)), constant_values=1.0)
        held = np.column_stack([weight, bias])[there:]
        held[:, lines] = rounded(
            held[:, lines], given[:, lines], self.experiment.device.levels
        )
        new = torch.tensor(held, dtype=torch.float32)
        self.model.add_gates(expert, new[:, :-1], new[:, -1])

    def record(
        self, action: str, task: Task, expert: int | None, neurons: int, tile: int | None,
        evidence: dict[str, Any],
    ) -> None:  # fmt: skip
        """Keep a decision with its evidence."""
        self.decisions.append(
            Decision(action, task.number, expert, neurons, tile, evidence)
        )

    # the inner loop ---------------------------------------------------------------------

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
        for weight, dim in ((self.trained.into_hidden, 0), (self.trained.into_out, 1)):
            if weight.grad is not None:
                weight.grad.narrow(dim, 0, self.protected).zero_()

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
                    "reads": e.mask, "frozen": not e.into_hidden.requires_grad,
                }
                for e in self.experts
            ],
            "neurons": self.model.neurons,
            "spent": list(self.spent),
            "prices": self.prices.vector.tolist(),
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
            expert.reads = saved["reads"]
            if saved["frozen"]:
                expert.freeze()
        self.model.neurons = state["neurons"]
        self.spent, self.prices = Cost(*state["spent"]), Prices(*state["prices"])


def places(expert: Expert, labels: Tensor) -> Tensor:
    """Number of each label among the classes of an expert."""
    place = {label: k for k, label in enumerate(expert.classes)}
    return torch.tensor([place[int(label)] for label in labels])


def _evidence(need: Need) -> dict[str, Any]:
    singular = torch.linalg.svdvals(need.matrix).tolist()
    return {"need_z": need.z, "loss": need.loss, "singular_values": singular}


def _account(choice: Choice) -> dict[str, Any]:
    return {
        "benefit": choice.benefit, "price": choice.price, "lines": int(choice.reads.sum()),
        **choice.cost._asdict(),
    }  # fmt: skip
