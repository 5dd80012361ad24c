"""The growing learner: a gate says when, GradMax how, the chip's price where and how many.

For every task it looks at a window of samples. Coherent need with novelty opens an expert on a
tile with room, empty or shared, as the price has it; need alone widens the expert that knows such
inputs. In both cases GradMax proposes directions, and as many neurons are grown as pay for
themselves; training and growing alternate until nothing pays any more. Then the expert is frozen
with a description of its inputs. On a stream that does not tell where tasks begin,
`growth.strategies.grow_freely` does the same with batches.

Need is told by gradients that agree, and, where inputs are new, by a loss above that of the
nearest expert when it was learnt.

Stored beside the network: per expert the mean and spread of its novelty and of its loss (the
prototypes sit in its gate neurons on the chip). No samples. On the chip: only new devices are
written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.gate import decide
from growth.strategies.base import Stored, encode, silent
from growth.strategies.experts import places
from growth.strategies.grow_freely import Freely, of_labels
from growth.strategies.growing import Growing, evidence_of
from growth.when import Settings, label_dependence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from growth.config import Experiment
    from growth.host import Host
    from growth.initialise import Need
    from growth.model import Expert
    from growth.strategies.base import Progress
    from growth.streams import Batch, Stream, Task

__all__ = ["Grow"]

PART = 16
"""Samples whose mean loss is one value, for the error of the mean over a window."""

SURE = 0.02
"""Standard error of a loss, at least, as a share of it: a spiking network may make no mistake on
a whole window."""


class Grow(Growing):
    """Grow experts where the gate finds that nobody knows, and the chip that it pays."""

    needs_boundaries = False

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        self.freely: Freely | None = None  # from the first batch without a task on
        # Loss of each expert on its window when it had been learnt, and its error:
        self.handled: dict[int, tuple[float, float]] = {}

    def learn(self, task: Task, progress: Progress = silent) -> None:
        self.task = task = self.behind(task)
        self.meter.start({})
        before = self.spent
        window = self.window(task)
        expert, need = self.look(task, window)
        if expert is not None:
            self.take_up(expert)
            self.train(expert, task, window, progress, need)
        elif self.no_room and (nearest := self.make_do(task)) is not None:
            known, rows = of_labels(task, nearest.classes)
            if rows.size:
                self.train(nearest, known, self.window(known), progress)
            nearest.freeze()
        self.reprice(before)
        progress(1.0)

    def train(
        self, expert: Expert, task: Task, window: NDArray[np.int64], progress: Progress,
        need: Need | None = None,
    ) -> None:  # fmt: skip
        """Widen and train in turns as long as it pays; then freeze and describe the expert.

        What the expert needs on the window at first is measured unless it is known.
        """
        rounds, grown = self.experiment.grow.rounds, False
        for done in range(rounds):
            if not self.widen(expert, task, window, need=need):
                break
            need = None

            def within(share: float, done: int = done) -> None:
                progress((done + share) / rounds)

            self.fit(task.train, self.experiment.train.epochs, within)
            grown = True
        if not grown and 0 < self.protected_outputs < len(expert.classes):
            # An old expert with new outputs: they can still listen to its hidden neurons.
            self.fit(task.train, self.experiment.train.epochs)
        expert.freeze()
        self.handled[self.experts.index(expert)] = self.loss_on(expert, task, window)
        self.describe(expert, task)

    def meet(self, batches: Iterable[Batch], progress: Progress = silent) -> None:
        if self.freely is None:
            self.freely = Freely(self)
        self.freely.meet(batches)
        progress(1.0)

    # when ---------------------------------------------------------------------------------

    def window(self, task: Task) -> NDArray[np.int64]:
        """Samples of the task that decisions are made on: a random few."""
        size = min(self.experiment.grow.window, len(task.train_labels))
        picked: NDArray[np.int64] = self.rng.permutation(len(task.train_labels))[:size]
        return picked

    def look(self, task: Task, window: NDArray[np.int64]) -> tuple[Expert | None, Need]:
        """Decide what to do about a task; return the expert to train, if any, and its need."""
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
        novelty_above = self.experiment.gate.novelty_above
        by_labels = candidate is None and share <= novelty_above
        trial = candidate or self.trial(task.classes)
        need = self.need(trial, task, window)
        missed = 0.0
        if candidate is not None and share > novelty_above:
            missed = self.missed(candidate, task, window)
        action = decide(
            max(need.z, missed), 1.0 if by_labels else share,
            need_above=self.experiment.grow.need_above,
            novelty_above=novelty_above,
        )  # fmt: skip
        evidence = evidence_of(need) | {
            "novelty": float(novelty.min(1).mean()) if self.experts else None,
            "nobody": share,
            "decided_by": "labels" if by_labels else "inputs",
            "missed": missed,
        }
        if action == "new expert":
            if candidate is not None:
                need = self.need(self.trial(task.classes), task, window)
            return self.open(task, evidence, need), need
        if candidate is None:
            action = "none"  # labels that nobody knows, but nothing coherent to learn
        where = None if candidate is None else self.experts.index(candidate)
        self.record(action, task, where, 0, None, evidence)
        if action == "widen" and candidate is not None:
            return candidate, need
        if action == "reuse" and candidate is not None:
            self.recognise(candidate, task)
        return None, need

    def loss_on(
        self, expert: Expert, task: Task, window: NDArray[np.int64]
    ) -> tuple[float, float]:
        """Mean loss of an expert on the window, and the standard error of that mean."""
        spikes = encode(task.train_inputs[window], self.experiment.stream.steps)
        targets = places(expert, torch.from_numpy(task.train_labels[window]))
        with torch.no_grad():
            fired = expert.out_spikes(expert.hidden_spikes(spikes))
            parts = zip(fired.split(PART, dim=1), targets.split(PART), strict=True)
            found = np.array([float(self.criterion(out, right)) for out, right in parts])
        error = found.std(ddof=1) / len(found) ** 0.5 if len(found) > 1 else 0.0
        return float(found.mean()), float(error)

    def missed(self, expert: Expert, task: Task, window: NDArray[np.int64]) -> float:
        """How far an expert's loss is above that when it was learnt, in standard errors.

        Need is agreement between samples: with many classes it is weak although little is right.
        Labels without relation to the inputs are no need, whatever they cost.
        """
        inputs, labels = task.train_inputs[window], task.train_labels[window]
        learnt = self.handled.get(self.experts.index(expert))
        if learnt is None or label_dependence(inputs, labels) <= Settings().labels_above:
            return 0.0
        now, error = self.loss_on(expert, task, window)
        then, before = learnt
        spread = max((error**2 + before**2) ** 0.5, SURE * max(now, then))
        return (now - then) / spread if spread > 0 else 0.0

    # kept ---------------------------------------------------------------------------------

    def ledger(self) -> list[Stored]:
        kept = [Stored("loss when learnt", 64 * len(self.handled), "host")]
        freely = [] if self.freely is None else self.freely.ledger()
        return super().ledger() + (kept if self.handled else []) + freely

    def state(self) -> dict[str, Any]:
        freely = None if self.freely is None else self.freely.state()
        return super().state() | {"freely": freely, "handled": self.handled}

    def load_state(self, state: dict[str, Any]) -> None:
        # An optimiser can be taken up only after the weights that it is for.
        super().load_state(state | {"lasting": None})
        self.freely, self.handled = None, dict(state["handled"])
        if state["freely"] is not None:
            self.freely = Freely(self)
            self.freely.load_state(state["freely"])
            if state["lasting"] is not None:
                self.lasting = self.optimiser()
                self.lasting.load_state_dict(state["lasting"])
