"""Signals that ask whether the neurons and weights that are there are used up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from growth.when.base import Remembers, Running
from growth.when.signals import mean_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.when.observe import Observation

__all__ = ["Plasticity", "Representation"]


class Representation(Remembers):
    """How much of the hidden layer is taken: effective rank of its activity by its width.

    With the shares p of the eigenvalues of the activity's covariance, fading over batches,
    ``exp(-sum of p log p) / neurons``: 1 where all directions are in use alike.

    Parameters
    ----------
    fade : float

    References
    ----------
    Effective rank: Roy and Vetterli, EUSIPCO 2007. In the manner of the representational
    saturation of NORACL, arXiv:2604.27031; its code is not public, so this is our reading.
    """

    kept = ("count", "mean", "square")

    def __init__(self, fade: float = 0.05) -> None:
        self.fade = Running(fade).fade
        self.grown()

    def grown(self) -> None:
        self.count = 0.0
        self.mean: NDArray[np.float64] = np.zeros(0)
        self.square: NDArray[np.float64] = np.zeros((0, 0))

    def __call__(self, seen: Observation) -> float:
        rows = seen.activity
        if len(self.mean) != rows.shape[1]:  # grown by somebody who did not say so
            self.grown()
            self.mean, self.square = np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
        self.count += 1
        weight = max(1 / self.count, self.fade)
        self.mean = self.mean + weight * (rows.mean(0) - self.mean)
        self.square = self.square + weight * (rows.T @ rows / len(rows) - self.square)
        power = np.linalg.eigvalsh(self.square - np.outer(self.mean, self.mean)).clip(0)
        if power.sum() <= 1e-12 or not power.size:
            return 0.0
        share = power[power > 0] / power.sum()
        return float(np.exp(-(share * np.log(share)).sum()) / power.size)


class Plasticity(Remembers):
    """How little the weights that are there still follow a loss that is still high.

    ``L / L_0 - |g|^2 / |g|_0^2``: the fading mean loss and the fading squared mean gradient,
    each by its largest value since the network grew. Near 0 while loss and gradient fall
    together; towards 1 where the gradient is gone and the loss is not.

    Parameters
    ----------
    fade : float

    References
    ----------
    In the manner of the plasticity saturation of NORACL, arXiv:2604.27031; its code is not
    public, so this is our reading.
    """

    kept = ("count", "loss", "gradient", "most_loss", "most_gradient")

    def __init__(self, fade: float = 0.05) -> None:
        self.fade = Running(fade).fade
        self.grown()

    def grown(self) -> None:
        self.count = self.loss = self.gradient = self.most_loss = self.most_gradient = 0.0

    def __call__(self, seen: Observation) -> float:
        self.count += 1
        weight = max(1 / self.count, self.fade)
        gradient = float(seen.training.mean())  # |mean of g_b|^2
        self.loss += weight * (mean_loss(seen) - self.loss)
        self.gradient += weight * (gradient - self.gradient)
        self.most_loss = max(self.most_loss, self.loss)
        self.most_gradient = max(self.most_gradient, self.gradient)
        if self.most_loss <= 0 or self.most_gradient <= 0:
            return 0.0
        return self.loss / self.most_loss - self.gradient / self.most_gradient
