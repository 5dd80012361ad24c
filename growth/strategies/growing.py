"""How a network of experts grows on a chip: where, and how many neurons; not when.

GradMax proposes directions, and as many neurons are grown as pay for themselves. Who decides
when is in `growth.strategies.grow`, for tasks that are told, and in
`growth.strategies.grow_freely`, for those that are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.gate import Decision
from growth.host import Cost
from growth.initialise import Need, measure_need
from growth.initialise.expert import start
from growth.strategies.base import encode
from growth.strategies.experts import Experts, places
from growth.where import (
    NO_LIMIT,
    NO_ROOM,
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
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from growth.config import Experiment
    from growth.host import Host, Offer
    from growth.model import Expert
    from growth.streams import Stream, Task

__all__ = ["Growing", "evidence_of"]

MORE_PROTOTYPES = 2
"""Gate neurons added when an expert is found to serve inputs that look new."""

HIDDEN_RATE = 0.2
"""Share of steps in which a new hidden neuron is expected to fire, for the price of its way."""


class Growing(Experts):
    """A network of experts that grows, but does not know when."""

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        grow = experiment.grow
        self.seed = seed
        self.lengths = [len(task.train) for task in stream.tasks]  # for `grow.when`
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

    def trial(self, classes: tuple[int, ...]) -> Expert:
        """An expert that is not part of the model, to measure what a new one would need."""
        return self.empty().add_expert(classes)

    def need(self, expert: Expert, task: Task, window: NDArray[np.int64]) -> Need:
        """Measure what new neurons could contribute to `expert` on the window."""
        spikes = encode(task.train_inputs[window], self.experiment.stream.steps)
        targets = places(expert, torch.from_numpy(task.train_labels[window]))
        return measure_need(expert, spikes, targets, self.criterion)

    # where and how many -----------------------------------------------------------------

    def open(self, task: Task, evidence: dict[str, Any], need: Need) -> Expert | None:
        """Open a new expert on the tile where it pays most, which may have neurons already."""
        gates = self.gates(task.classes)
        offers = self.offers(task, None)
        if not self.experts:
            self.choose_gate_inputs(task, offers)
        choice = self.choice(
            task, need, 1.0, offers, outputs=len(task.classes), gates=gates
        )
        if isinstance(choice, Refusal):
            self.record(choice.reason, task, None, 0, None, evidence)
            if self.experiment.grow.full == "end":
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

    def widen(
        self, expert: Expert, task: Task, window: NDArray[np.int64],
        reasons: Mapping[str, Any] | None = None, above: float | None = None,
        need: Need | None = None,
    ) -> bool:  # fmt: skip
        """Grow as many hidden neurons as pay; return whether there were any.

        `reasons` are recorded as evidence beside the need, which is measured unless it is known,
        and has to be `above` the configured z-score or another one.
        """
        number = self.experts.index(expert)
        need = need or self.need(expert, task, window)
        norm = self.norm(expert)
        choice = self.choice(task, need, norm**2, self.offers(task, number))
        evidence = evidence_of(need) | dict(reasons or {})
        if isinstance(choice, Refusal):
            self.record(choice.reason, task, number, 0, None, evidence)
            return False
        evidence |= _account(choice)
        if (
            need.z <= (self.experiment.grow.need_above if above is None else above)
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

    # without room ---------------------------------------------------------------------------

    @property
    def no_room(self) -> bool:
        """Whether the last look found that there is no room for a new expert."""
        return bool(self.decisions) and self.decisions[-1].action in NO_ROOM

    def make_do(self, task: Task) -> Expert | None:
        """Let the nearest expert take a task up for which no new one could be opened.

        Only if `grow.full` is ``reuse``, and there is an expert. It gets gate neurons and
        outputs where slots are left; what it has learnt before is protected. What it can learn
        besides depends on the slots that are left for hidden neurons.
        """
        if self.experiment.grow.full != "reuse" or not self.experts:
            return None
        nearest = np.bincount(self.gate.novelty(task.train_inputs).argmin(1)).argmax()
        expert = self.experts[int(nearest)]
        self.record("make do", task, int(nearest), 0, None, {})
        self.take_up(expert)
        self.recognise(expert, task)
        for label in sorted(set(task.classes) - set(expert.classes)):
            self.add_output(expert, label, task, {})
        return expert

    # afterwards ----------------------------------------------------------------------------

    def recognise(self, expert: Expert, task: Task) -> None:
        """Let an expert also serve inputs that it handles but that look new."""
        number = self.experts.index(expert)
        if self.scored is not None:  # it has a gate neuron for each class already
            self.gate.extend(number, task.train_inputs, MORE_PROTOTYPES)
            self.score(expert, task.train_inputs, task.train_labels)
            self.write_scores()
            return
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

    def add_output(
        self, expert: Expert, label: int, task: Task, reasons: Mapping[str, Any]
    ) -> None:
        """Give an expert an output for one more label, beside the others or near to them."""
        hidden, number = expert.into_hidden.shape[0], self.experts.index(expert)
        evidence = {"label": label, **reasons}
        offers = [
            offer for offer in self.offers(task, number)
            if not offer.distance or offer.lines >= hidden
        ]  # fmt: skip
        if not offers:
            self.record("no free slot", task, number, 0, None, evidence)
            return
        offer = min(offers, key=lambda offer: (offer.distance, offer.tile))
        ways = offer.send if offer.distance else 0 * offer.send
        cost = Cost(*(offer.neuron + hidden * (offer.feed + ways)).tolist())
        if not cost.within(self.budget.less(self.spent)):
            self.record("too dear", task, number, 0, offer.tile, evidence)
            return
        seats: Choice | None = None
        if self.scored is not None:  # each class has a gate neuron
            found = seat(
                [offer for offer in self.offers(task, number) if offer.slots > 1],
                self.gate_reads(), 1, self.prices, left=self.budget.less(self.spent.plus(cost)),
            )  # fmt: skip
            if isinstance(found, Refusal):
                self.record(found.reason, task, number, 0, None, evidence)
                return
            seats = found
        nothing = np.zeros(self.inputs + 1, np.bool_)
        self.host.claim(number, offer.tile, "out", 1, nothing)
        if seats is not None:
            self.host.claim(number, seats.tile, "gate", 1, seats.reads)
            self.spent = self.spent.plus(seats.cost)
            wired = torch.from_numpy(self.gate_reads())[None]
            zeros = torch.zeros(1, self.inputs), torch.zeros(1)
            self.model.add_gates(expert, *zeros, wired)
        self.spent = self.spent.plus(cost)
        self.model.add_outputs(expert, [label])
        self.lasting = None  # an optimiser of weights that are no longer there
        self.record("new output", task, number, 0, offer.tile, evidence | cost._asdict())

    def reprice(self, before: Cost) -> None:
        """Let prices follow what was spent since `before`, against a fair share of the budget."""
        grow = self.experiment.grow
        self.prices = self.prices.updated(
            self.spent.less(before), fair_share(self.budget, grow.horizon),
            rate=grow.dual_rate,
        )  # fmt: skip

    def record(
        self, action: str, task: Task, expert: int | None, neurons: int, tile: int | None,
        evidence: dict[str, Any],
    ) -> None:  # fmt: skip
        """Keep a decision with its evidence."""
        self.decisions.append(
            Decision(action, task.number, expert, neurons, tile, evidence)
        )

    # kept ---------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        spent, prices = list(self.spent), self.prices.vector.tolist()
        return super().state() | {"spent": spent, "prices": prices}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.spent, self.prices = Cost(*state["spent"]), Prices(*state["prices"])


def evidence_of(need: Need) -> dict[str, Any]:
    """What is recorded of a need."""
    singular = torch.linalg.svdvals(need.matrix).tolist()
    return {"need_z": need.z, "loss": need.loss, "singular_values": singular}


def _account(choice: Choice) -> dict[str, Any]:
    return {
        "benefit": choice.benefit, "price": choice.price, "lines": int(choice.reads.sum()),
        **choice.cost._asdict(),
    }  # fmt: skip
