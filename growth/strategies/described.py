"""Gate neurons that follow the means of what their expert meets, without a sample kept.

They start from the clusters of a window. From then on each input moves the nearest mean, and from
time to time the means are written into the gate neurons, on the wires that these have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.host import Cost
from growth.when import Acquaintance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.model import Expert
    from growth.strategies.growing import Growing
    from growth.streams import Task

__all__ = ["OFTEN", "Described"]

OFTEN = 2
"""Gate neurons are written anew when their expert has met so many times as many inputs."""


class Described:
    """Running means of the inputs of one expert, and what of them is in its gate neurons.

    Parameters
    ----------
    learner : Growing
    prototypes : int
        As many as the expert has gate neurons.

    Attributes
    ----------
    means : Acquaintance
    written : float
        Inputs that the gate neurons stand for.

    References
    ----------
    MacQueen, Some methods for classification and analysis of multivariate observations, 1967.
    """

    def __init__(self, learner: Growing, prototypes: int) -> None:
        self.learner = learner
        self.means = Acquaintance(prototypes, by_direction=False)
        self.written = 0.0

    @classmethod
    def first(cls, learner: Growing, expert: Expert, task: Task) -> Described:
        """Describe a new expert by the clusters of its first samples."""
        learner.describe(expert, task, lasting=False)
        prototypes = learner.gate.descriptors[-1].prototypes
        inputs = learner.gate.seen(task.train_inputs)
        found = cls(learner, len(prototypes))
        found.means.prototypes = prototypes.copy()
        near = np.square(inputs[:, None] - prototypes).sum(2).argmin(1)
        found.means.sizes = np.bincount(near, minlength=len(prototypes)).astype(np.float64)
        found.means.seen = found.written = float(len(inputs))
        found.means.share()  # a cluster of one sample is that sample
        learner.redescribe(expert, found.means.prototypes.copy(), found.means.sizes)
        return found

    def meet(self, expert: Expert, inputs: NDArray[np.floating]) -> None:
        """Take in some inputs; write when there are many more than are written."""
        self.means.meet(np.asarray(self.learner.gate.seen(inputs), np.float64))
        if self.means.seen >= OFTEN * self.written:
            self.write(expert)

    def write(self, expert: Expert) -> None:
        """Write the means into the gate neurons, if they are new and the budget allows it."""
        learner, means = self.learner, self.means
        devices = float(len(means.sizes) * learner.gate_reads().sum())
        cost = Cost(writes=devices)
        if means.seen == self.written or not cost.within(
            learner.budget.less(learner.spent)
        ):
            return
        learner.spent = learner.spent.plus(cost)
        learner.redescribe(expert, means.prototypes.copy(), means.sizes)
        self.written = means.seen

    def state(self) -> dict[str, Any]:
        """Plain numbers and tensors, from which `load_state` goes on."""
        means = {name: torch.from_numpy(v) for name, v in self.means.state().items()}
        return {"means": means, "written": self.written}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of `state`."""
        self.means.load_state({name: v.numpy() for name, v in state["means"].items()})
        self.written = state["written"]
