"""The growing learner: a gate says when, GradMax how, the chip's price where and how many.

For every task it looks at a window of samples. Coherent need with novelty opens an expert on a
free tile; need alone widens the expert that knows such inputs. In both cases GradMax proposes
directions, and as many neurons are grown as pay for themselves; training and growing alternate
until nothing pays any more. Then the expert is frozen with a description of its inputs.

Stored beside the network: per expert the mean and spread of its novelty (the prototypes sit in
its gate neurons on the chip). No samples. On the chip: only new devices are written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.gate import Decision, Gate, decide
from growth.host import Cost
from growth.initialise import Need, gradmax, measure_need
from growth.model import SpikingNet
from growth.strategies.base import Progress, Strategy, _silent, encode
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

if TYPE_CHECKING:
    from numpy.typing import NDArray

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

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
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

    def learn(self, task: Task, progress: Progress = _silent) -> None:
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

                self.fit(expert, task, self.experiment.train.epochs, within)
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
        targets = self.targets(expert, task.train_labels[window])
        return measure_need(expert, spikes, targets, self.criterion)

    # where and how many -----------------------------------------------------------------

    def open(self, task: Task, evidence: dict[str, Any], need: Need) -> Expert | None:
        """Open a new expert on the free tile where it pays most."""
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
        incoming, outgoing, _ = gradmax(
            need.matrix * reads, choice.neurons, norm, need.toward
        )
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
            self.add_gates(expert, number)

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
        self.add_gates(expert, number)

    def add_gates(self, expert: Expert, number: int) -> None:
        """Grow gate neurons for the prototypes that have none yet."""
        weight, bias = self.gate.neurons(number)
        there = len(expert.births["gate"])
        self.model.add_gates(
            expert,
            torch.tensor(weight[there:], dtype=torch.float32),
            torch.tensor(bias[there:], dtype=torch.float32),
        )

    def record(
        self, action: str, task: Task, expert: int | None, neurons: int, tile: int | None,
        evidence: dict[str, Any],
    ) -> None:  # fmt: skip
        """Keep a decision with its evidence."""
        self.decisions.append(
            Decision(action, task.number, expert, neurons, tile, evidence)
        )

    def grads(self) -> None:
        """Hold still what an expert learnt before it was taken up again."""
        if self.pupil is None:
            return
        for weight, dim in ((self.pupil.into_hidden, 0), (self.pupil.into_out, 1)):
            if weight.grad is not None:
                weight.grad.narrow(dim, 0, self.protected).zero_()

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "gate": self.gate.state(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "reads": [expert.mask for expert in self.experts],
            "spent": list(self.spent),
            "prices": self.prices.vector.tolist(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.gate.load_state(state["gate"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        for expert, reads in zip(self.experts, state["reads"], strict=True):
            expert.reads = reads
        self.spent, self.prices = Cost(*state["spent"]), Prices(*state["prices"])


def _evidence(need: Need) -> dict[str, Any]:
    singular = torch.linalg.svdvals(need.matrix).tolist()
    return {"need_z": need.z, "loss": need.loss, "singular_values": singular}


def _account(choice: Choice) -> dict[str, Any]:
    return {
        "benefit": choice.benefit, "price": choice.price, "lines": int(choice.reads.sum()),
        **choice.cost._asdict(),
    }  # fmt: skip
