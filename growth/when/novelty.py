"""Who knows these inputs? Descriptions of experts that grow with the stream, and a "nobody".

A description is a few running means of inputs (prototypes), and mean and spread of how far
inputs were from them *before* they were taken in: what comes next is then judged as what came
before was. No sample is stored. Inputs are compared by direction, brought to length 1:
otherwise those with little in them, such as a thin digit, are near everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from growth.gate import Descriptor
from growth.when.base import Remembers, Running, at_least, part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from growth.when.base import State
    from growth.when.observe import Observation

__all__ = ["Acquaintance", "Novelty", "standard_errors"]

SETTLED = 3
"""Samples for each prototype before the distance to it counts as one of a known input."""


class Acquaintance(Remembers):
    """What one expert remembers of its inputs, sample by sample.

    The first k different inputs are the first prototypes. Each later input moves the nearest
    one towards it by ``1 / (inputs that it stands for)``: online k-means.

    Parameters
    ----------
    prototypes : int
    fade : float
        Weight of the latest sample in mean and spread of the novelty.
    by_direction : bool
        Bring inputs to length 1 first.

    References
    ----------
    MacQueen, Some methods for classification and analysis of multivariate observations, 1967.
    """

    kept = ("prototypes", "sizes", "seen")

    def __init__(
        self, prototypes: int = 10, fade: float = 0.005, *, by_direction: bool = True
    ) -> None:
        self.by_direction = by_direction
        self.most = at_least("prototypes", prototypes, 1)
        self.prototypes: NDArray[np.float64] = np.zeros((0, 0))
        self.sizes: NDArray[np.float64] = np.zeros(0)
        self.seen = 0.0
        self.past = Running(fade)

    def distance(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half the squared distance to the nearest prototype, (samples,)."""
        return Descriptor(self.prototypes, 0.0, 1.0).novelty(self.compared(inputs))

    def compared(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inputs as they are compared."""
        return _unit(inputs) if self.by_direction else inputs

    def novelty(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """How new inputs are, in standard deviations of inputs that were met, (samples,)."""
        if self.past.count < 2:
            return np.zeros(len(inputs))
        spread = max(self.past.variance**0.5, 1e-9)
        score: NDArray[np.float64] = (self.distance(inputs) - self.past.mean) / spread
        return score

    def meet(self, inputs: NDArray[np.float64]) -> None:
        """Take in some inputs, one after the other."""
        for row in self.compared(inputs):
            self.seen += 1
            if not len(self.prototypes):
                self.prototypes, self.sizes = row[None].copy(), np.ones(1)
                continue
            far = np.square(self.prototypes - row).sum(1)
            nearest = int(far.argmin())
            if len(self.prototypes) < self.most and far[nearest] > 0:
                self.prototypes = np.vstack([self.prototypes, row])
                self.sizes = np.append(self.sizes, 1.0)
                continue
            if self.seen > SETTLED * self.most:
                self.past.add(float(far[nearest]) / 2)
            self.sizes[nearest] += 1
            step = (row - self.prototypes[nearest]) / self.sizes[nearest]
            self.prototypes[nearest] += step

    def share(self) -> None:
        """Let no prototype be a sample: one of a single input shares the mean of its nearest."""
        for number in np.flatnonzero(self.sizes < 2):
            far = np.square(self.prototypes - self.prototypes[number]).sum(1)
            far[number] = np.inf
            both = [int(number), int(far.argmin())]
            weight = self.sizes[both]
            if np.isfinite(far[both[1]]):
                self.prototypes[both] = weight @ self.prototypes[both] / weight.sum()
                self.sizes[both] = weight.mean()

    def state(self) -> State:
        past = {f"past.{name}": value for name, value in self.past.state().items()}
        return super().state() | past

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        super().load_state(state)
        self.past.load_state(part(state, "past"))


def _unit(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inputs of length 1; silent ones stay silent."""
    length = np.linalg.norm(inputs, axis=1, keepdims=True)
    unit: NDArray[np.float64] = inputs / np.where(length > 0, length, 1.0)
    return unit


def standard_errors(scores: NDArray[np.float64]) -> float:
    """Mean of a batch of scores in standard errors of such a mean: ``sum / sqrt(samples)``.

    Examples
    --------
    >>> standard_errors(np.array([1.0, 1.0, 1.0, 1.0]))
    2.0
    """
    return float(scores.sum() / len(scores) ** 0.5)


class Novelty(Remembers):
    """How new a batch is to the best acquainted expert, in standard errors of its mean.

    It keeps experts of its own: each event opens one, which meets the batches that follow.

    Parameters
    ----------
    prototypes : int
        Of each expert.
    known_below : float
        A batch less new than this is taken in by the expert that knows it best.
    learning : int
        Samples after its opening that an expert takes in unseen.

    References
    ----------
    A new expert where all descriptions reject: SEMA (Wang et al., arXiv:2403.18886), with
    autoencoders; a virtual expert for what nobody knows: CN-DPM (Lee et al., ICLR 2020).
    """

    kept = ("active", "left")

    def __init__(
        self, prototypes: int = 10, *, known_below: float = 2.0, learning: int = 80
    ) -> None:
        self.prototypes = at_least("prototypes", prototypes, 1)
        self.known_below = known_below
        self.learning = at_least("learning", learning, 1)
        self.experts: list[Acquaintance] = []
        self.active = self.left = 0.0
        self.grown()

    def grown(self) -> None:
        """Open an expert for what comes next."""
        self.experts.append(Acquaintance(self.prototypes))
        self.active, self.left = float(len(self.experts) - 1), float(self.learning)

    @property
    def busy(self) -> bool:
        """Whether the latest expert is still getting acquainted."""
        return self.left > 0

    def scores(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """How new each input is to each expert, (samples, experts)."""
        return np.column_stack([expert.novelty(inputs) for expert in self.experts])

    def each(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """How new the batch is to each expert, in standard errors, (experts,)."""
        return np.array([standard_errors(column) for column in self.scores(inputs).T])

    def nobody(self, inputs: NDArray[np.float64], level: float) -> NDArray[np.float64]:
        """Share of nobody in explaining each input, (samples,).

        A softmax of minus the novelty over experts and a nobody who stands at `level`.
        """
        scores = self.scores(inputs)
        powers = np.exp(np.minimum(level - scores, 500)).sum(1)
        share: NDArray[np.float64] = 1 / (1 + powers)
        return share

    def __call__(self, seen: Observation) -> float:
        if self.busy:
            self.meet(seen.inputs)
            return 0.0
        each = self.each(seen.inputs)
        nearest = int(each.argmin())
        if each[nearest] < self.known_below:
            self.active = float(nearest)
            self.meet(seen.inputs)
        return float(each[nearest])

    def meet(self, inputs: NDArray[np.float64]) -> None:
        """Let the active expert take in a batch."""
        self.experts[int(self.active)].meet(inputs)
        self.left = max(0.0, self.left - len(inputs))

    def state(self) -> State:
        found = super().state()
        for number, expert in enumerate(self.experts):
            found |= {f"{number}.{name}": value for name, value in expert.state().items()}
        return found

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        super().load_state(state)
        count = len({name.split(".")[0] for name in state} - set(self.kept))
        self.experts = [Acquaintance(self.prototypes) for _ in range(count)]
        for number, expert in enumerate(self.experts):
            expert.load_state(part(state, str(number)))
