"""Growing on a stream that comes once and does not say where a task begins.

For each batch a trigger (`growth.when.Trigger`) is asked which expert knows the inputs, sees
what that expert makes of them, and decides: a new expert, widen, reuse, or nothing. Samples of a
new expert go into a window. When that is full, the expert is opened: need and place are measured
on the window as for a task that is told, it is trained on it, and gate neurons get the means of
its clusters. Then the window is thrown away, and each batch that the expert knows trains it once.
As long as growing pays, a new window is filled for another look.

When another expert takes over, the pupil is frozen. One that is taken up again keeps what it has
learnt: only neurons that it grows from then on change.

Stored beside the network: the window while there is one; for each expert the trigger's
prototypes, with size, mean and spread. The trigger judges what is known; what is served on the
chip is decided by the gate neurons alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.host import Cost
from growth.samples import Samples
from growth.strategies.base import Stored, encode
from growth.strategies.growing import evidence_of
from growth.strategies.observed import observed
from growth.strategies.precision import CHANNEL_BITS, STATISTIC_BITS, label_bits
from growth.streams import Task
from growth.when import Settings, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from growth.model import Expert
    from growth.strategies.growing import Growing
    from growth.streams import Batch
    from growth.when import Action

__all__ = ["Freely"]

HEARD = 2
"""Known batches that a label has to be met in before an expert gets an output for it: one batch
may still hold the first samples of what nobody knows."""


class Freely:
    """What a growing learner keeps on a stream without boundaries.

    Parameters
    ----------
    learner : Growing
        Whose experts are opened, widened and trained.

    Attributes
    ----------
    trigger : Trigger
    served : list of int
        Number of the learner's expert for each of the trigger's; -1 as long as there is none.
    purpose : str
        What the window is filled for: ``open``, ``widen`` or ``recognise``; nothing if empty.
    inputs, labels : array, (samples, channels) and (samples,)
        The window.
    left : int
        Times that the pupil may still grow.
    reasons : dict
        Evidence of the decision that the window is filled for.
    heard : dict of int
        In how many known batches the pupil met a label that it has no output for.
    met, segment : int
        Batches so far, and how often somebody looked at the learner; for the record.
    """

    def __init__(self, learner: Growing) -> None:
        self.learner = learner
        settings = learner.experiment
        self.size = settings.grow.window
        self.trigger = Trigger(
            Settings(
                need_above=settings.grow.need_above, nobody=settings.gate.nobody,
                learning=self.size,
            )
        )  # fmt: skip
        self.served = [-1]
        self.left = settings.grow.rounds
        self.reasons: dict[str, Any] = {"novelty": None, "doubt": None, "batch": 0}
        self.heard: dict[int, int] = {}
        self.met = 0
        self.segment = -1
        self.before = learner.spent
        self.begin("open")

    # every batch ----------------------------------------------------------------------------

    def meet(self, batches: Iterable[Batch]) -> None:
        """Learn from some batches, each once."""
        learner = self.learner
        self.segment += 1
        learner.meter.start({} if learner.pupil is None else learner.programmed())
        for batch in batches:
            self.take(batch.inputs, batch.labels)
            self.met += 1

    def take(self, inputs: NDArray[Any], labels: NDArray[np.int64]) -> None:
        """Ask the trigger about one batch, act, and learn from it."""
        rows = np.asarray(inputs, np.float64)
        server = self.trigger.route(rows)
        expert = self.expert(server) or self.learner.trial(self.classes(labels))
        spikes = encode(inputs, self.learner.experiment.stream.steps)
        action = self.trigger(
            observed(expert, spikes, rows, labels, self.learner.criterion)
        )
        if action.name != "none":
            self.act(action)
        elif not action.known or server != self.trigger.active:
            return
        self.learn(inputs, labels)

    def expert(self, number: int) -> Expert | None:
        """Return the expert that stands for one of the trigger's, if there is any."""
        found = self.served[number]
        return None if found < 0 else self.learner.experts[found]

    @staticmethod
    def classes(labels: NDArray[np.int64]) -> tuple[int, ...]:
        """Every label, in order."""
        return tuple(np.unique(labels).tolist())

    def act(self, action: Action) -> None:
        """Carry out what the trigger decided."""
        self.reasons = {
            "novelty": action.novelty, "doubt": action.doubt, "need": action.need,
            "batch": self.met,
        }  # fmt: skip
        if action.name == "new expert":
            self.settle()
            self.served.append(-1)
            self.left = self.learner.experiment.grow.rounds
            self.begin("open")
        elif action.name == "reuse":
            self.reuse(action)
        elif self.purpose != "open":
            self.left = max(self.left, 1)
            self.begin("widen")

    def reuse(self, action: Action) -> None:
        """Let an old expert serve, and get to know the inputs if they are new to it."""
        learner = self.learner
        expert = self.expert(action.expert)
        if expert is None or expert is not learner.pupil:
            self.settle()
            self.left = 0
            if expert is not None:
                learner.take_up(expert)
                learner.meter.there(learner.programmed())
        if expert is None:
            self.begin("open")
            return
        nothing = (np.zeros((0, learner.inputs)), np.zeros(0, np.int64))
        learner.record(
            "reuse", self.task(*nothing), self.served[action.expert], 0, None, self.reasons
        )
        if not action.known:
            self.begin("recognise")

    def settle(self) -> None:
        """Freeze the pupil; another expert takes over."""
        learner = self.learner
        if learner.pupil is not None:
            learner.pupil.freeze()
            learner.reprice(self.before)
            self.before = learner.spent
        learner.pupil = learner.lasting = None
        self.heard = {}
        self.begin("")

    # the window -----------------------------------------------------------------------------

    def begin(self, purpose: str) -> None:
        """Start an empty window for something, or for nothing."""
        self.purpose = purpose
        self.inputs: NDArray[Any] = np.zeros((0, self.learner.inputs), np.float32)
        self.labels = np.zeros(0, np.int64)

    def task(self, inputs: NDArray[Any], labels: NDArray[np.int64]) -> Task:
        """Samples as the task of the present segment."""
        samples = Samples.of(inputs, labels)
        return Task(self.segment, self.classes(labels), samples, samples)

    def learn(self, inputs: NDArray[Any], labels: NDArray[np.int64]) -> None:
        """Train the pupil on a batch, and put it into the window if there is one."""
        known = self.known(inputs, labels)
        if known.any():
            self.train(inputs[known], labels[known])
        if not self.purpose:
            return
        self.inputs = np.concatenate([self.inputs, inputs]) if self.labels.size else inputs
        self.labels = np.concatenate([self.labels, labels])
        if len(self.labels) >= self.size:
            self.look()

    def look(self) -> None:
        """Do with a full window what it was filled for, and throw it away."""
        task, purpose = self.task(self.inputs, self.labels), self.purpose
        self.begin("")
        if purpose == "open":
            self.open(task)
        elif purpose == "recognise" and self.learner.pupil is not None:
            self.learner.recognise(self.learner.pupil, task)
        elif purpose == "widen":
            self.widen(task)

    def open(self, task: Task) -> None:
        """Open the expert that the trigger has opened, if there is need and it pays."""
        learner, every = self.learner, np.arange(len(task.train))
        need = learner.need(learner.trial(task.classes), task, every)
        evidence = evidence_of(need) | self.reasons
        if need.z <= learner.experiment.grow.need_above:
            learner.record("none", task, None, 0, None, evidence)
            # Nothing to learn yet: look again, and judge nothing as known until then.
            self.trigger.gate.left = float(self.size)
            self.begin("open")
            return
        expert = learner.open(task, evidence, need)
        if expert is None:
            self.begin("open")
            return
        self.served[self.trigger.active] = len(learner.experts) - 1
        learner.take_up(expert)
        learner.describe(expert, task)
        self.widen(task)

    def widen(self, task: Task) -> None:
        """Grow the pupil and train it on the window, in turns, as long as it pays."""
        learner, pupil = self.learner, self.learner.trained
        rows = np.flatnonzero(np.isin(task.train_labels, pupil.classes))
        samples, grown = task.train.take(rows), False
        task = replace(task, train=samples)
        while (
            rows.size
            and self.left
            and learner.widen(pupil, task, np.arange(rows.size), self.reasons)
        ):
            self.left -= 1
            learner.fit(samples, learner.experiment.train.epochs)
            grown = True
        learner.lasting = None
        if grown and self.left:
            self.begin("widen")

    # training -------------------------------------------------------------------------------

    def train(self, inputs: NDArray[Any], labels: NDArray[np.int64]) -> None:
        """Update the pupil on a batch, if any of its weights may change."""
        learner = self.learner
        hidden = learner.trained.into_hidden.shape[0]
        more = hidden and len(learner.trained.classes) > learner.protected_outputs
        if hidden == learner.protected and not more:
            return
        if learner.lasting is None:
            learner.lasting = learner.optimiser()
        given = torch.from_numpy(np.ascontiguousarray(inputs))
        for _ in range(learner.experiment.train.epochs):
            learner.step(learner.lasting, given, torch.from_numpy(labels))

    def known(self, inputs: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which samples have a label that the pupil has an output for, or gets one now."""
        pupil = self.learner.pupil
        if pupil is None:
            return np.zeros(len(labels), np.bool_)
        for label in sorted(set(labels.tolist()) - set(pupil.classes)):
            self.heard[label] = self.heard.get(label, 0) + 1
            if self.heard[label] == HEARD:
                self.add_output(pupil, label, self.task(inputs, labels))
        there: NDArray[np.bool_] = np.isin(labels, pupil.classes)
        return there

    def add_output(self, pupil: Expert, label: int, task: Task) -> None:
        """Give the pupil an output for one more label, beside the others or near to them."""
        learner, hidden = self.learner, pupil.into_hidden.shape[0]
        number = learner.experts.index(pupil)
        evidence = {"label": label, "batch": self.met}
        offers = [
            offer for offer in learner.offers(task, number)
            if not offer.distance or offer.lines >= hidden
        ]  # fmt: skip
        if not offers:
            learner.record("no free slot", task, number, 0, None, evidence)
            return
        offer = min(offers, key=lambda offer: (offer.distance, offer.tile))
        ways = offer.send if offer.distance else 0 * offer.send
        cost = Cost(*(offer.neuron + hidden * (offer.feed + ways)).tolist())
        if not cost.within(learner.budget.less(learner.spent)):
            learner.record("too dear", task, number, 0, offer.tile, evidence)
            return
        nothing = np.zeros(learner.inputs + 1, np.bool_)
        learner.host.claim(number, offer.tile, "out", 1, nothing)
        learner.spent = learner.spent.plus(cost)
        learner.model.add_outputs(pupil, [label])
        learner.lasting = None
        learner.record("new output", task, number, 0, offer.tile, evidence | cost._asdict())

    # kept -----------------------------------------------------------------------------------

    def ledger(self) -> list[Stored]:
        """The window, and what the trigger remembers of inputs."""
        window = self.inputs.size * CHANNEL_BITS
        window += len(self.labels) * label_bits(self.learner.labels)
        known = sum(
            each.prototypes.size + each.sizes.size + 4 for each in self.trigger.gate.experts
        )
        past = 3 * len(self.trigger.pasts)
        found = [Stored("trigger", STATISTIC_BITS * (known + past), "host")]
        return found + ([Stored("window", window, "host")] if window else [])

    def state(self) -> dict[str, Any]:
        """Plain numbers and tensors, from which `load_state` goes on."""
        learner = self.learner
        return {
            "trigger": {k: torch.from_numpy(v) for k, v in self.trigger.state().items()},
            "window": [torch.from_numpy(self.inputs.copy()), torch.from_numpy(self.labels)],
            "pupil": None
            if learner.pupil is None
            else learner.experts.index(learner.pupil),
            "protected": [learner.protected, learner.protected_outputs],
            "before": list(self.before),
        } | {name: getattr(self, name) for name in PLAIN}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of `state`; the learner has its experts again."""
        learner = self.learner
        self.trigger.load_state({k: v.numpy() for k, v in state["trigger"].items()})
        self.inputs, self.labels = (part.numpy() for part in state["window"])
        learner.pupil = None if state["pupil"] is None else learner.experts[state["pupil"]]
        learner.protected, learner.protected_outputs = state["protected"]
        self.before = Cost(*state["before"])
        for name in PLAIN:
            setattr(self, name, state[name])


PLAIN = ("served", "purpose", "left", "reasons", "heard", "met", "segment")
"""What a checkpoint keeps as it is."""
