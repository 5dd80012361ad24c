"""Measures of continual learning, from the matrix of accuracies; and their statistics.

``R[i, j]`` is the accuracy on task j after learning task i, from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Estimate", "average_accuracy", "check_bound", "estimate", "forgetting"]


def _matrix(accuracy: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(accuracy, np.float64)
    if matrix.ndim != 2 or not matrix.size or not ((matrix >= 0) & (matrix <= 1)).all():
        raise MosaicError(
            f"The accuracy matrix has shape {matrix.shape}; it needs (learnt, tasks) with "
            "entries from 0 to 1."
        )
    return matrix


def average_accuracy(accuracy: ArrayLike) -> float:
    """Mean accuracy over all tasks at the end.

    Examples
    --------
    >>> average_accuracy([[1.0, 0.0], [0.5, 1.0]])
    0.75
    """
    return float(_matrix(accuracy)[-1].mean())


def forgetting(accuracy: ArrayLike) -> float | None:
    """Mean drop from the best accuracy that a task ever had to the one it has at the end.

    Definition of Chaudhry et al. 2018: ``mean over j < T-1 of max over i < T-1 of R[i, j] -
    R[T-1, j]``. None where it is undefined: fewer than two tasks, or not one row for each
    task (joint training sees no sequence).

    Examples
    --------
    >>> forgetting([[1.0, 0.0], [0.5, 1.0]])
    0.5
    """
    matrix = _matrix(accuracy)
    rows, tasks = matrix.shape
    if rows != tasks or tasks < 2:
        return None
    return float((matrix[:-1, :-1].max(0) - matrix[-1, :-1]).mean())


def check_bound(accuracy: ArrayLike) -> None:
    """Refuse a matrix that violates ``ACC <= 1 - F (T - 1) / T``, which arithmetic forbids.

    Raises
    ------
    MosaicError
    """
    lost = forgetting(accuracy)
    if lost is None:
        return
    tasks = np.shape(accuracy)[1]
    bound = 1 - lost * (tasks - 1) / tasks
    if average_accuracy(accuracy) > bound + 1e-12:
        raise MosaicError(
            f"Average accuracy above its bound {bound:.4f}: the matrix is damaged."
        )


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval (Student's t); no interval for one seed."""

    mean: float
    low: float | None
    high: float | None
    seeds: int

    def text(self, scale: float = 1.0, digits: int = 1) -> str:
        """Write ``96.1 ± 0.8``, both times `scale`."""
        if self.high is None:
            return f"{self.mean * scale:.{digits}f}"
        half = (self.high - self.mean) * scale
        return f"{self.mean * scale:.{digits}f} ± {half:.{digits}f}"


def estimate(values: ArrayLike) -> Estimate:
    """Estimate a mean from one value for each seed.

    Examples
    --------
    >>> estimate([1.0, 2.0, 3.0]).text()
    '2.0 ± 2.5'
    """
    sample = np.asarray(values, np.float64).ravel()
    if not sample.size or not np.isfinite(sample).all():
        raise MosaicError("estimate needs at least one finite value.")
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(mean, None, None, 1)
    half = float(stats.t.ppf(0.975, sample.size - 1) * stats.sem(sample))
    return Estimate(mean, mean - half, mean + half, sample.size)
