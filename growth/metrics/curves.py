"""Measures of accuracy along training, not only after each task."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "adaptation_rate", "learning_curve_area", "minimum_accuracy", "stability_gap",
    "worst_case_accuracy",
]  # fmt: skip


def _curve(
    accuracy: ArrayLike, training: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    curve, task = np.asarray(accuracy, np.float64), np.asarray(training)
    if curve.ndim != 2 or not curve.size or not ((curve >= 0) & (curve <= 1)).all():
        raise MosaicError(
            f"accuracy has shape {curve.shape}; it needs (evaluations, tasks) with entries "
            "from 0 to 1."
        )
    if task.shape != curve.shape[:1] or task.dtype.kind not in "iu":
        raise MosaicError(
            f"training has shape {task.shape} and {task.dtype}; it needs the number of the task "
            f"in training at each of {len(curve)} evaluations."
        )
    if (np.diff(task) < 0).any() or task[0] < 0 or task[-1] >= curve.shape[1]:
        raise MosaicError(
            f"training goes from {task[0]} to {task[-1]}; it needs tasks in the order of their "
            f"numbers, 0 to {curve.shape[1] - 1}."
        )
    return curve, task.astype(np.int64)


def minimum_accuracy(accuracy: ArrayLike, training: ArrayLike) -> float | None:
    """Mean over earlier tasks of the worst accuracy each ever had after it was learnt.

    ``min-ACC = mean over j < k of min over n > end of j of A[n, j]``, where k is the task in
    training at the end. None if there is no earlier task. Source: De Lange, van de Ven and
    Tuytelaars, Continual evaluation for lifelong learning, ICLR 2023.

    Parameters
    ----------
    accuracy : array, (evaluations, tasks), 0 to 1
        Accuracy on each task at each evaluation, in order of time.
    training : array of int, (evaluations,)
        The task in training at each evaluation.

    Raises
    ------
    MosaicError
        If shapes differ, or tasks do not come in the order of their numbers.

    Examples
    --------
    >>> minimum_accuracy([[0.9, 0.0], [0.2, 0.5], [0.6, 0.9]], [0, 1, 1])
    0.2
    """
    curve, task = _curve(accuracy, training)
    old = np.unique(task)[:-1].tolist()
    if not old:
        return None
    return float(np.mean([curve[task > j, j].min() for j in old]))


def worst_case_accuracy(accuracy: ArrayLike, training: ArrayLike) -> float:
    """Accuracy on the present task, and the worst of earlier ones, by their number.

    ``WC-ACC = A[end, k] / K + (1 - 1/K) min-ACC`` with K tasks so far: what can be relied on at
    any moment. Source: De Lange et al., ICLR 2023. Parameters as `minimum_accuracy`.

    Examples
    --------
    >>> worst_case_accuracy([[0.9, 0.0], [0.2, 0.5], [0.6, 0.9]], [0, 1, 1])
    0.55
    """
    curve, task = _curve(accuracy, training)
    present = float(curve[-1, task[-1]])
    worst = minimum_accuracy(curve, task)
    if worst is None:
        return present
    seen = len(np.unique(task))
    return present / seen + (1 - 1 / seen) * worst


def stability_gap(accuracy: ArrayLike, training: ArrayLike) -> float | None:
    """Mean fall of an earlier task while the next one is learnt, however it ends.

    For each switch from a task to the next and each task j learnt before it: the accuracy at
    the last evaluation before the switch, minus the lowest while the new task is in training.
    0 or less if nothing ever fell. None without a switch. Parameters as `minimum_accuracy`.

    Source: the phenomenon is De Lange et al.'s (ICLR 2023), who plot it and report
    `minimum_accuracy`; this number is its depth.

    Examples
    --------
    >>> f"{stability_gap([[0.9, 0.0], [0.2, 0.5], [0.8, 0.9]], [0, 1, 1]):.2f}"
    '0.70'
    """
    curve, task = _curve(accuracy, training)
    seen = np.unique(task)
    falls = [
        curve[task == old, j][-1] - curve[task == new, j].min()
        for k, (old, new) in enumerate(pairwise(seen))
        for j in seen[: k + 1]
    ]
    return float(np.mean(falls)) if falls else None


def learning_curve_area(accuracy: ArrayLike, batches: int) -> float:
    """Mean accuracy over the first batches of each task: how fast tasks are learnt.

    ``LCA_b = 1 / (b + 1) sum over k = 0..b of Z_k``, where Z_k is the mean over tasks of the
    accuracy on the task after k of its batches; k = 0 is before the first. Source: Chaudhry et
    al., Efficient lifelong learning with A-GEM, ICLR 2019.

    Parameters
    ----------
    accuracy : array, (tasks, evaluations), 0 to 1
        At least ``batches + 1`` evaluations of each task, the first before training it.
    batches : int

    Raises
    ------
    MosaicError
        If there are fewer evaluations.

    Examples
    --------
    >>> learning_curve_area([[0.0, 0.5, 1.0], [0.5, 1.0, 1.0]], 1)
    0.5
    """
    curve = np.asarray(accuracy, np.float64)
    if curve.ndim != 2 or not curve.size or not ((curve >= 0) & (curve <= 1)).all():
        raise MosaicError(
            f"accuracy has shape {curve.shape}; it needs (tasks, evaluations) with entries "
            "from 0 to 1."
        )
    if not 0 <= batches < curve.shape[1]:
        raise MosaicError(
            f"batches is {batches}; {curve.shape[1]} evaluations reach from 0 to "
            f"{curve.shape[1] - 1} batches."
        )
    return float(curve[:, : batches + 1].mean())


def adaptation_rate(errors: ArrayLike) -> float:
    """Return one minus the mean training error over the steps of learning one task.

    The "adaptation rate integral", which shares the letters ARI with `adjusted_rand`: how soon
    an initialisation gets a task right. The sum of n terms is divided by n (where it was
    published, T + 1 terms are divided by T, which can fall below 0).

    Parameters
    ----------
    errors : array, (steps,), 0 to 1

    Examples
    --------
    >>> adaptation_rate([1.0, 0.5, 0.0, 0.0])
    0.625
    """
    values = np.asarray(errors, np.float64)
    if values.ndim != 1 or not values.size or not ((values >= 0) & (values <= 1)).all():
        raise MosaicError(
            f"errors has shape {values.shape}; it needs (steps,) with entries from 0 to 1."
        )
    return float(1 - values.mean())
