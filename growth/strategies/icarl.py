"""iCaRL: learn features with exemplars and distillation, classify by the nearest mean of exemplars.

Every output learns on its own. Outputs of labels from earlier tasks are to answer as the network
before the task did, on new samples and exemplars alike; the others are to tell their label::

    loss = mean over samples and outputs y of  ell(z_y, old z_y)     y seen in earlier tasks only
                                               ell(z_y, label = y)   otherwise

ell is the cross entropy of a logistic unit; of spiking outputs, the square between counts, of
which `train.correct_rate` and `train.incorrect_rate` of all steps are told, divided by the steps.

A sample's features f are the spike counts of the last hidden layer, scaled to length 1. When a
task ends, exemplars of each class are chosen one after the other so that their mean stays nearest
to the class mean (herding; the first of them are the ones kept when room gets scarce)::

    p_k = argmin over x of | mean f - (f(x) + f(p_1) + ... + f(p_k-1)) / k |
    answer = argmin over y of | f - mean of f(p) over exemplars of y |

Means are taken with the weights of training. Stored beside the network: the exemplars; their
means, 16 bits a number; while a task is learnt, the network before it. On the chip: one program;
the means are compared off the chip, with the counts of the hidden layer.

Sources: Rebuffi, Kolesnikov, Sperl and Lampert, CVPR 2017. Means are scaled to length 1 again, as
in Avalanche. Labels that come back are told anew, since with their old answers as targets nothing
new could be learnt about them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss, normalize

from growth.config import Section
from growth.samples import join
from growth.strategies.base import Progress, Stored, silent
from growth.strategies.exemplars import Exemplars, Remembering
from growth.strategies.precision import STATISTIC_BITS, weight_bits
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from growth.blueprint import Serve
    from growth.samples import Samples
    from growth.streams import Stream, Task

__all__ = ["ICaRL", "herd"]

AT_ONCE = 500
"""Samples whose features are computed together."""


class ICaRL(Remembering):
    """Learn features with distillation; answer with the class whose exemplars are nearest."""

    class Options(Section):
        """How many exemplars in all; each class has the same share."""

        memory: int = Field(default=200, ge=1)

    options: Any

    def make_memory(self, stream: Stream) -> Exemplars:
        if not self.experiment.hidden:
            raise MosaicError(
                "hidden is empty, but iCaRL reads features from a hidden layer; give one layer "
                "at least."
            )
        self.teacher: dict[str, Tensor] = {}
        self.told: list[int] = []  # outputs that the teacher tells
        self.known: list[int] = []
        self.means = torch.zeros(0)
        return Exemplars(self.options.memory, balanced=True)

    # learning ---------------------------------------------------------------------------

    def begin(self, task: Task) -> None:
        present = set(task.train_labels.tolist())
        self.told = sorted(set(self.known) - present)
        self.teacher = (
            {name: w.detach().clone() for name, w in self.net.weights.items()}
            if self.told
            else {}
        )

    def fit(self, samples: Samples, epochs: int, progress: Progress = silent) -> None:
        """Train on the samples and all exemplars."""
        together = [samples, self.memory.samples()] if len(self.memory) else [samples]
        super().fit(join(together), epochs, progress)

    def loss(self, given: Tensor, labels: Tensor) -> Tensor:
        logits = self.forward(given).sum(0)
        steps, train = len(given), self.experiment.train
        spiking = self.experiment.cell == "lif"
        high, low = (
            (train.correct_rate * steps, train.incorrect_rate * steps)
            if spiking
            else (1.0, 0.0)
        )
        wanted = torch.full_like(logits, low)
        wanted[torch.arange(len(labels)), self.targets(labels)] = high
        if self.told:
            with torch.no_grad():
                old = self.net(given, self.teacher).sum(0)[:, self.told]
            self.meter.looked_at(len(labels))
            wanted[:, self.told] = old if spiking else old.sigmoid()
        if spiking:
            return mse_loss(logits, wanted) / steps
        return binary_cross_entropy_with_logits(logits, wanted)

    def end(self, task: Task) -> None:
        labels = torch.from_numpy(task.train_labels)
        features = self.features(torch.from_numpy(np.ascontiguousarray(task.train_inputs)))
        priority = torch.zeros(len(labels), dtype=torch.float64)
        for label in labels.unique().tolist():
            own = (labels == label).nonzero()[:, 0]
            chosen = herd(features[own].numpy(), min(self.memory.size, len(own)))
            rank = torch.full((len(own),), float(len(own)), dtype=torch.float64)
            rank[torch.from_numpy(chosen)] = torch.arange(len(chosen), dtype=torch.float64)
            priority[own] = -rank
        self.offer(task, priority=priority)
        self.known = sorted({*self.known, *labels.unique().tolist()})
        self.teacher = {}
        self.means = self.class_means()

    def features(self, inputs: Tensor) -> Tensor:
        """What the last hidden layer answers, scaled to length 1, (samples, neurons)."""
        with torch.no_grad():
            parts = [
                self.net.activity(self.encode(part))[-2].sum(0)
                for part in inputs.split(AT_ONCE)
            ]
        self.meter.looked_at(len(inputs))
        return normalize(torch.cat(parts), dim=1)

    def class_means(self) -> Tensor:
        """Mean of the exemplars of each label, of length 1; no number for unknown ones."""
        features = self.features(self.memory.kept["inputs"])
        means = torch.full((self.labels, features.shape[1]), float("nan"))
        for label in self.memory.kept["labels"].unique().tolist():
            means[label] = features[self.memory.kept["labels"] == label].mean(0)
        return normalize(means, dim=1)

    # answering --------------------------------------------------------------------------

    def scores(self, serve: Serve, identity: int | None = None) -> NDArray[Any]:
        """Distance to each class mean, negative; minus infinity for labels not seen."""
        fired = serve(self.blueprint(identity))
        if not self.means.numel():
            return fired["out"]
        found = torch.from_numpy(fired[f"layer {self.net.depth - 1}"]).float()
        distance = torch.cdist(normalize(found, dim=1), self.means)
        return distance.neg().nan_to_num(nan=-torch.inf).numpy()

    def ledger(self) -> list[Stored]:
        kept = [Stored("means", STATISTIC_BITS * self.means.numel(), "host")]
        if self.known:
            bits = weight_bits(self.net, self.experiment.device.levels)
            kept.append(Stored("teacher", bits, "host"))
        return super().ledger() + kept

    def state(self) -> dict[str, Any]:
        return super().state() | {"means": self.means, "known": self.known}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.means, self.known = state["means"], list(state["known"])


def herd(features: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Choose samples one after the other so that their mean stays nearest to that of all.

    Parameters
    ----------
    features : float array, (samples, numbers)
    count : int
        How many, at most as many as there are samples.

    Returns
    -------
    int64 array, (count,)
        Their numbers in the order in which they were chosen, each once; of equally good ones
        the first.

    Examples
    --------
    >>> herd(np.array([[0.0], [1.0], [5.0]]), 2).tolist()
    [1, 2]
    """
    features = np.asarray(features, np.float64)
    if not 0 <= count <= len(features):
        raise MosaicError(
            f"count is {count}; {len(features)} samples allow 0 to {len(features)}."
        )
    mean, total = features.mean(0), np.zeros(features.shape[1])
    free = np.ones(len(features), bool)
    chosen = np.empty(count, np.int64)
    for k in range(count):
        distance = np.square(mean - (total + features) / (k + 1)).sum(1)
        chosen[k] = np.where(free, distance, np.inf).argmin()
        free[chosen[k]] = False
        total += features[chosen[k]]
    return chosen
