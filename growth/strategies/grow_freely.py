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
prototypes, with size, mean and spread; for the pupil the means that its gate neurons are to
follow. None of these is a sample once the window is gone. The trigger judges what is known;
what is served on the chip is decided by the gate neurons alone.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.host import Cost
from growth.samples import Samples
from growth.strategies.base import Stored, encode
from growth.strategies.described import OFTEN, Described
from growth.strategies.growing import evidence_of
from growth.strategies.observed import observed
from growth.strategies.precision import CHANNEL_BITS, STATISTIC_BITS, label_bits
from growth.streams import Task
from growth.when import Settings, Timed, Trigger, timed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from growth.initialise import Need
    from growth.model import Expert
    from growth.strategies.growing import Growing
    from growth.streams import Batch
    from growth.when import Action

__all__ = ["Freely"]

MOST = 0.5
"""Share of a batch that an expert needs outputs for, to serve it: however alike the inputs are,
labels that it cannot give are a task that it does not know."""

HEARD = 2
"""Batches that a label has to be met in before an expert gets an output for it: one batch may
hold the last samples of what came before, or the first ones of what nobody knows."""


class Freely:
    """What a growing learner keeps on a stream without boundaries.

    Parameters
    ----------
    learner : Growing
        Whose experts are opened, widened and trained.

    Attributes
    ----------
    trigger : Trigger or Timed
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
        In how many batches the pupil met a label that it has no output for.
    looks, scores : int, float
        Looks so far at the need for the expert to be opened, and the sum of their z-scores.
    described : Described or None
        Of a pupil that has not been settled before.
    met, segment : int
        Batches so far, and how often somebody looked at the learner; for the record.

    Examples
    --------
    >>> from growth.config import load_experiment
    >>> from growth.host import Unlimited
    >>> from growth.strategies import Grow
    >>> from growth.streams import digits, hidden, split
    >>> stream = hidden(split(digits(0), [[0, 1], [2, 3]]))
    >>> quick = load_experiment("split-digits-grow", ["train.epochs=1", "grow.rounds=1"])
    >>> learner = Grow(quick, stream, Unlimited(), seed=0)
    >>> learner.meet(stream.batches(10))
    >>> [expert.classes for expert in learner.experts]
    [[0, 1], [2, 3]]

    References
    ----------
    The order of things, a short-term memory for a new expert first, is that of CN-DPM (Lee et
    al., ICLR 2020), where the memory stays. The rest is ours.
    """

    def __init__(self, learner: Growing) -> None:
        self.learner = learner
        settings = learner.experiment
        self.size = settings.grow.window
        rules = Settings(
            need_above=settings.grow.need_above, nobody=settings.gate.nobody,
            learning=self.size,
        )  # fmt: skip
        self.trigger: Trigger | Timed = Trigger(rules)
        if settings.grow.when != "trigger":
            self.trigger = timed(
                settings.grow.when,
                learner.lengths,
                settings.train.batch,
                learner.seed,
                rules,
            )
        self.served = [-1]
        self.left = settings.grow.rounds
        self.reasons: dict[str, Any] = {"novelty": None, "doubt": None, "batch": 0}
        self.heard: dict[int, int] = {}
        self.looks, self.scores = 0, 0.0
        self.met = 0
        self.segment = -1
        self.before = learner.spent
        self.described: Described | None = None
        self.begin("open")

    # every batch ----------------------------------------------------------------------------

    def meet(self, batches: Iterable[Batch]) -> None:
        """Learn from some batches, each once."""
        learner = self.learner
        self.segment += 1
        learner.meter.start({} if learner.pupil is None else learner.programmed())
        for batch in batches:
            self.take(learner.rates(batch.inputs), batch.labels)
            self.met += 1

    def take(self, inputs: NDArray[Any], labels: NDArray[np.int64]) -> None:
        """Ask the trigger about one batch, act, and learn from it."""
        rows = np.asarray(inputs, np.float64)
        barred = self.barred(labels)
        server = self.trigger.route(rows, barred)
        expert = self.expert(server) or self.learner.trial(self.classes(labels))
        spikes = encode(inputs, self.learner.experiment.stream.steps)
        seen = observed(expert, spikes, rows, labels, self.learner.criterion)
        novelty = float(self.trigger.gate.each(rows).min())
        action = self.trigger(seen, barred)
        if action.name != "none":
            self.act(action, novelty)
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

    def barred(self, labels: NDArray[np.int64]) -> list[int]:
        """Experts of the trigger without an output for most labels of a batch."""
        return [
            number for number in range(len(self.served))
            if (expert := self.expert(number)) is not None
            and np.isin(labels, expert.classes).mean() < MOST
        ]  # fmt: skip

    def act(self, action: Action, novelty: float) -> None:
        """Carry out what the trigger decided on a batch with inputs of this novelty."""
        rules = self.trigger.settings
        # Inputs alone would have needed more batches, or would never have said so.
        by_labels = novelty <= rules.novelty_above / rules.patience
        by = "labels" if by_labels else "inputs"
        if isinstance(self.trigger, Timed):
            by = self.learner.experiment.grow.when
        self.reasons = {
            "novelty": novelty, "doubt": action.doubt, "need": action.need,
            "batch": self.met, "decided_by": by,
        }  # fmt: skip
        if action.name == "new expert":
            self.settle()
            self.served.append(-1)
            self.left = self.learner.experiment.grow.rounds
            # That the trigger found a need counts as one look.
            self.looks, self.scores = 1, self.learner.experiment.grow.need_above
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
            if self.described is not None:
                self.described.write(learner.pupil)
            if learner.scored is not None and learner.scored.seen > learner.scored.written:
                learner.write_scores()
            learner.pupil.freeze()
            learner.reprice(self.before)
            self.before = learner.spent
        learner.pupil = learner.lasting = self.described = None
        self.heard, self.looks, self.scores = {}, 0, 0.0
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
        learner = self.learner
        if self.described is not None:
            self.described.meet(learner.trained, inputs)
        if learner.scored is not None and learner.pupil is not None:
            learner.score(learner.pupil, inputs, labels)
            if learner.scored.seen >= OFTEN * learner.scored.written:
                learner.write_scores()
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
        self.trigger.gate.experts[self.trigger.active].share()
        if purpose == "open":
            self.open(task)
        elif purpose == "recognise" and self.learner.pupil is not None:
            self.learner.recognise(self.learner.pupil, task)
        elif purpose == "widen":
            self.widen(task)

    def open(self, task: Task) -> None:
        """Open the expert that the trigger has opened, if there is need and it pays."""
        learner = self.learner
        classes = [label for label in task.classes if self.heard[label] >= HEARD]
        task, every = of_labels(task, classes)
        if not every.size:
            self.begin("open")  # no label came twice
            return
        need = learner.need(learner.trial(task.classes), task, every)
        evidence = evidence_of(need) | self.reasons
        # Scores of several looks are put together as sum of z / sqrt(looks).
        looks = self.looks + 1
        above = learner.experiment.grow.need_above * looks**0.5 - self.scores
        if need.z <= above:
            learner.record("none", task, None, 0, None, evidence)
            self.looks, self.scores = looks, self.scores + need.z
            # Nothing to learn yet: look again, and judge nothing as known until then.
            self.trigger.gate.left = float(self.size)
            self.begin("open")
            return
        expert = learner.open(task, evidence, need)
        if expert is None:
            nearest = learner.make_do(task) if learner.no_room else None
            if nearest is None:
                self.begin("open")
                return
            self.served[self.trigger.active] = learner.experts.index(nearest)
            self.heard = {}
            self.widen(task, above)
            return
        self.served[self.trigger.active], self.heard = len(learner.experts) - 1, {}
        learner.take_up(expert)
        if learner.scored is None:
            self.described = Described.first(learner, expert, task)
        else:
            learner.describe(expert, task)
        self.widen(task, above, need)

    def widen(
        self, task: Task, above: float | None = None, need: Need | None = None
    ) -> None:
        """Grow the pupil and train it on the window, in turns, as long as it pays.

        For the first neurons need has to be `above` another z-score than the configured one; it is
        measured unless it is known.
        """
        learner, pupil, grown = self.learner, self.learner.trained, False
        task, every = of_labels(task, pupil.classes)
        while (
            every.size
            and self.left
            and learner.widen(pupil, task, every, self.reasons, above, need)
        ):
            self.left, above, need = self.left - 1, None, None
            learner.fit(task.train, learner.experiment.train.epochs)
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
        frozen = hidden == learner.protected and not more
        if frozen and not learner.experiment.grow.plasticity:
            return
        if learner.lasting is None:
            learner.lasting = learner.optimiser()
        given = torch.from_numpy(np.ascontiguousarray(inputs))
        for _ in range(learner.experiment.train.epochs):
            learner.step(learner.lasting, given, torch.from_numpy(labels))

    def known(self, inputs: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which samples have a label that the pupil has an output for, or gets one now."""
        pupil = self.learner.pupil
        classes = [] if pupil is None else pupil.classes
        for label in sorted(set(labels.tolist()) - set(classes)):
            self.heard[label] = self.heard.get(label, 0) + 1
            if pupil is not None and self.heard[label] == HEARD:
                task = self.task(inputs, labels)
                self.learner.add_output(pupil, label, task, {"batch": self.met})
        there: NDArray[np.bool_] = np.isin(labels, classes)
        return there

    # kept -----------------------------------------------------------------------------------

    def ledger(self) -> list[Stored]:
        """The window, and what the trigger remembers of inputs."""
        window = self.inputs.size * CHANNEL_BITS
        window += len(self.labels) * label_bits(self.learner.labels)
        known = sum(
            each.prototypes.size + each.sizes.size + 4 for each in self.trigger.gate.experts
        )
        known += 3 * len(self.trigger.pasts)
        parts = {"trigger": STATISTIC_BITS * known, "window": window}
        if self.described is not None:
            means = self.described.means
            parts["means"] = STATISTIC_BITS * (means.prototypes.size + means.sizes.size)
        return [Stored(name, bits, "host") for name, bits in parts.items() if bits]

    def state(self) -> dict[str, Any]:
        """Plain numbers and tensors, from which `load_state` goes on."""
        pupil = self.learner.pupil
        return {
            "trigger": {k: torch.from_numpy(v) for k, v in self.trigger.state().items()},
            "window": [torch.from_numpy(self.inputs.copy()), torch.from_numpy(self.labels)],
            "pupil": None if pupil is None else self.learner.experts.index(pupil),
            "protected": [self.learner.protected, self.learner.protected_outputs],
            "before": list(self.before),
            "described": None if self.described is None else self.described.state(),
        } | {name: deepcopy(getattr(self, name)) for name in PLAIN}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of `state`; the learner has its experts again."""
        learner = self.learner
        self.trigger.load_state({k: v.numpy() for k, v in state["trigger"].items()})
        self.inputs, self.labels = (part.numpy() for part in state["window"])
        learner.pupil = None if state["pupil"] is None else learner.experts[state["pupil"]]
        learner.protected, learner.protected_outputs = state["protected"]
        self.before = Cost(*state["before"])
        if state["described"] is not None:
            self.described = Described(learner, learner.experiment.gate.prototypes)
            self.described.load_state(state["described"])
        for name in PLAIN:
            setattr(self, name, deepcopy(state[name]))


def of_labels(task: Task, classes: Sequence[int]) -> tuple[Task, NDArray[np.int64]]:
    """Keep the samples of some labels; return also the numbers of all that are left."""
    train = task.train.take(np.flatnonzero(np.isin(task.train_labels, classes)))
    left = replace(task, classes=tuple(np.unique(train.labels).tolist()), train=train)
    return left, np.arange(len(train))


PLAIN = (
    "served", "purpose", "left", "reasons", "heard", "met", "segment", "looks", "scores",
)  # fmt: skip
"""What a checkpoint keeps as it is."""
