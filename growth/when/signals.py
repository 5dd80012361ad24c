"""Signals that look at one network: need, rise, expansion, plateau; and what one adds up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from growth.when.base import Remembers, Running, Signal, at_least, part
from growth.when.observe import coherence, label_dependence
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from growth.when.base import State
    from growth.when.observe import Observation

__all__ = [
    "CoherentNeed", "Cumulative", "Expansion", "Plateau", "Rise", "mean_loss", "need_norm",
]  # fmt: skip


class CoherentNeed(Remembers):
    """How coherent the gradient of new neurons is: the lower of two z-scores.

    `coherence` of the GradMax contributions against random signs, and `label_dependence`
    against dealt-out labels. The second is what tells a new task from label noise: a network
    that is sure of the right labels has a coherent gradient on wrong ones too, towards being
    less sure.

    Examples
    --------
    >>> from growth.when.observe import observe
    >>> batch = observe(np.eye(4), [0, 0, 1, 1], np.ones(4), activity=np.ones((4, 1)),
    ...                 errors=np.ones((4, 1)), training=np.eye(4))
    >>> CoherentNeed()(batch)  # no two inputs have anything in common
    0.0

    References
    ----------
    The matrix is that of Evci et al., "GradMax", ICLR 2022 (arXiv:2201.05125), whose authors
    suggest its singular values as a signal for when to grow. The scores are ours.
    """

    def __call__(self, seen: Observation) -> float:
        return min(coherence(seen.growing), label_dependence(seen.inputs, seen.labels))


def need_norm(seen: Observation, weights: NDArray[np.float64] | None = None) -> float:
    """Root of what the mean GradMax matrix has beyond chance.

    With weights w, ``sum of w_b w_b' <M_b, M_b'> / sum of w_b w_b'`` over pairs of two samples
    is an unbiased estimate of ``|E M|^2``, the sum of the squared singular values of the mean;
    below 0 it counts as 0.

    Parameters
    ----------
    seen : Observation
    weights : float64 array, (samples,), optional
        How much of each sample nobody explains; all alike without it.

    Examples
    --------
    >>> from growth.when.observe import observe
    >>> batch = observe(np.ones((3, 1)), [0, 0, 1], np.ones(3), activity=np.ones((3, 1)),
    ...                 errors=2 * np.ones((3, 1)), training=np.eye(3))
    >>> need_norm(batch)
    2.0
    """
    share = np.ones(len(seen.labels)) if weights is None else weights
    pairs = share[:, None] * share
    np.fill_diagonal(pairs, 0.0)
    if pairs.sum() <= 1e-12:
        return 0.0
    mean = float((pairs * seen.growing).sum() / pairs.sum())
    return max(mean, 0.0) ** 0.5


def mean_loss(seen: Observation) -> float:
    """Mean loss of the batch."""
    return float(seen.losses.mean())


class Rise(Remembers):
    """How far a quantity stands above its own past, in standard deviations.

    Parameters
    ----------
    read : callable
        `mean_loss`, `need_norm`, or any other number of an observation.
    fade : float
        Weight of the latest batch in mean and variance of the past.
    limit : float
        A value further than this from the mean enters the past as if it stood there, so that
        a burst does not hide what comes after it.

    Notes
    -----
    The past starts anew when the network has grown.

    Source: z-scores of loss and need over the batches of a stream; as loss alone it is the
    usual detector of task switches (Aljundi et al., "Task-free continual learning", CVPR 2019).
    """

    def __init__(
        self,
        read: Callable[[Observation], float] = need_norm,
        *,
        fade: float = 0.05,
        limit: float = 3.0,
    ) -> None:
        self.read, self.limit = read, limit
        self.past = Running(fade)

    def __call__(self, seen: Observation) -> float:
        value = self.read(seen)
        score = self.past.score(value) if self.past.count >= 3 else 0.0
        if abs(score) > self.limit:
            value = self.past.mean + np.sign(score) * self.limit * self.past.variance**0.5
        self.past.add(value)
        return score

    def grown(self) -> None:
        self.past = Running(self.past.fade)

    def state(self) -> State:
        return {f"past.{name}": value for name, value in self.past.state().items()}

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        self.past.load_state(part(state, "past"))


class Cumulative(Remembers):
    """What a signal adds up to: ``max(0, sum + value - allowance)``.

    A change too small to stand out in any one batch is noticed when it lasts.

    Parameters
    ----------
    signal : Signal
    allowance : float
        Value of the signal that adds nothing.

    Notes
    -----
    The sum starts anew when the network has grown.

    Examples
    --------
    >>> from growth.when import At, observe
    >>> batch = observe([[1.0]], [0], [0.1], activity=[[1.0]], errors=[[1.0]], training=[[1.0]])
    >>> total = Cumulative(At([1, 2]), allowance=0.5)
    >>> [total(batch) for _ in range(4)]
    [0.0, 0.5, 1.0, 0.5]

    References
    ----------
    Page, Continuous inspection schemes, Biometrika 41, 1954.
    """

    kept = ("sum",)

    def __init__(self, signal: Signal, allowance: float = 0.5) -> None:
        self.signal, self.allowance = signal, allowance
        self.sum = 0.0

    def __call__(self, seen: Observation) -> float:
        self.sum = max(0.0, self.sum + self.signal(seen) - self.allowance)
        return self.sum

    def grown(self) -> None:
        self.sum = 0.0
        self.signal.grown()

    def state(self) -> State:
        inner = {f"signal.{name}": value for name, value in self.signal.state().items()}
        return super().state() | inner

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        super().load_state(state)
        self.signal.load_state(part(state, "signal"))


class Expansion(Remembers):
    """How much more a step could gain with new neurons than by training on.

    With A the products of the samples' gradients divided by their number n, the natural
    expansion score of the weights that are there, and of these with new neurons, is::

        eta(A) = g^T (F + damping I)^-1 g = 1^T A (A + damping I)^-1 1 / n

    and the signal is ``eta(A + growing / n) / eta(A)``, at least 1. The damping is `damping`
    times the mean of A's diagonal, so that the size of the loss does not matter.

    Parameters
    ----------
    damping : float, above 0

    References
    ----------
    Mitchell et al., "Self-expanding neural networks", arXiv:2307.04526: grow where the ratio
    exceeds a threshold. Theirs factorises F by layers; here it is that of the batch, exact.
    All directions of new neurons count, so this is an upper bound for any number of them.
    """

    def __init__(self, damping: float = 1.0) -> None:
        if not damping > 0:
            raise MosaicError(f"damping is {damping}; it needs to be above 0.")
        self.damping = damping

    def __call__(self, seen: Observation) -> float:
        n = len(seen.labels)
        there = seen.training / n
        floor = self.damping * float(np.trace(there)) / n
        if floor <= 0:
            return 1.0
        return _expansion(there + seen.growing / n, floor) / max(
            _expansion(there, floor), 1e-12
        )


def _expansion(table: NDArray[np.float64], floor: float) -> float:
    n = len(table)
    ones = np.ones(n)
    return float(ones @ table @ np.linalg.solve(table + floor * np.eye(n), ones) / n)


class Plateau(Remembers):
    """How long the loss has not fallen: batches since its fading mean last did, by `patience`.

    A fall is one by more than the share `fall` of the lowest mean so far.

    Parameters
    ----------
    patience : int
    fall : float
    fade : float

    References
    ----------
    Growth when the measure of success stands still: AutoGrow (Wen et al., KDD 2020,
    arXiv:1906.02909).
    """

    kept = ("count", "loss", "lowest", "still")

    def __init__(self, patience: int = 20, fall: float = 0.02, fade: float = 0.1) -> None:
        self.patience = at_least("patience", patience, 1)
        self.fall, self.fade = fall, Running(fade).fade
        self.grown()

    def grown(self) -> None:
        self.count = self.loss = self.still = 0.0
        self.lowest = float("inf")

    def __call__(self, seen: Observation) -> float:
        self.count += 1
        self.loss += max(1 / self.count, self.fade) * (mean_loss(seen) - self.loss)
        if self.loss < (1 - self.fall) * self.lowest:
            self.lowest, self.still = self.loss, 0.0
        else:
            self.still += 1
        return self.still / self.patience
