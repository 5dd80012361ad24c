"""Measures of continual learning from the matrix of accuracies.

``R[i, j]`` is the accuracy on task j after learning task i, from 0 to 1; T tasks. The matrix
is the result; everything here follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mosaic_sim.errors import MosaicError, suggest

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FORGETTING", "Measure", "accuracy_bound", "average_accuracy", "average_incremental_accuracy",
    "backward_transfer", "check_bound", "forgetting", "forward_transfer", "intransigence",
    "learning_accuracy", "measures",
]  # fmt: skip

Definition = Literal["max", "first", "clipped"]

FORGETTING: dict[Definition, str] = {
    "max": "from the best accuracy before the last task (Chaudhry et al. 2018)",
    "first": "from the accuracy right after learning the task (Avalanche)",
    "clipped": "from the best accuracy ever, the last included; never below 0 (Mammoth)",
}
"""Definitions of forgetting that are in use, by name."""


def _matrix(accuracy: ArrayLike, name: str = "The accuracy matrix") -> NDArray[np.float64]:
    matrix = np.asarray(accuracy, np.float64)
    if matrix.ndim != 2 or not matrix.size or not ((matrix >= 0) & (matrix <= 1)).all():
        raise MosaicError(
            f"{name} has shape {matrix.shape}; it needs (learnt, tasks) with "
            "entries from 0 to 1."
        )
    return matrix


def _each(accuracy: ArrayLike, name: str, tasks: int) -> NDArray[np.float64]:
    values = np.asarray(accuracy, np.float64)
    if values.shape != (tasks,) or not ((values >= 0) & (values <= 1)).all():
        raise MosaicError(
            f"{name} has shape {values.shape}; it needs one accuracy from 0 to 1 for each of "
            f"{tasks} tasks."
        )
    return values


def _why_no_sequence(matrix: NDArray[np.float64]) -> str:
    """Why a measure of a sequence is undefined; empty if it is not."""
    rows, tasks = matrix.shape
    if rows != tasks:
        return (
            f"{rows} rows for {tasks} tasks: it needs one row after each task, and joint "
            "training has no sequence"
        )
    return ""


def _why_no_transfer(matrix: NDArray[np.float64]) -> str:
    """Why a measure of earlier or later tasks is undefined; empty if it is not."""
    if matrix.shape[1] < 2:
        return "a single task has no earlier and no later one"
    return _why_no_sequence(matrix)


def average_accuracy(accuracy: ArrayLike) -> float:
    """Mean accuracy over all tasks at the end: ``ACC = mean over j of R[T-1, j]``.

    Source: Lopez-Paz and Ranzato, Gradient episodic memory, NeurIPS 2017, eq. 2.

    Parameters
    ----------
    accuracy : array, (learnt, tasks), 0 to 1

    Raises
    ------
    MosaicError
        If it is no matrix of accuracies; so in all measures here.

    Examples
    --------
    >>> average_accuracy([[1.0, 0.0], [0.5, 1.0]])
    0.75
    """
    return float(_matrix(accuracy)[-1].mean())


def learning_accuracy(accuracy: ArrayLike) -> float | None:
    """Mean accuracy on each task right after learning it: ``LA = mean over j of R[j, j]``.

    None where it is undefined: not one row for each task. Source: Riemer et al., Learning to
    learn without forgetting, ICLR 2019.

    Examples
    --------
    >>> learning_accuracy([[1.0, 0.0], [0.5, 0.8]])
    0.9
    """
    matrix = _matrix(accuracy)
    return None if _why_no_sequence(matrix) else float(matrix.diagonal().mean())


def average_incremental_accuracy(accuracy: ArrayLike) -> float | None:
    """Mean over time of the accuracy on the tasks seen so far.

    ``AIA = mean over i of mean over j <= i of R[i, j]``. None where it is undefined: not one
    row for each task. Source: Rebuffi et al., iCaRL, CVPR 2017.

    Examples
    --------
    >>> average_incremental_accuracy([[1.0, 0.0], [0.5, 0.8]])
    0.825
    """
    matrix = _matrix(accuracy)
    if _why_no_sequence(matrix):
        return None
    return float(np.mean([row[: i + 1].mean() for i, row in enumerate(matrix)]))


def backward_transfer(accuracy: ArrayLike) -> float | None:
    """Mean change of earlier tasks from right after learning them to the end.

    ``BWT = mean over j < T-1 of R[T-1, j] - R[j, j]``; negative if later tasks did harm. None
    where it is undefined: fewer than two tasks, or not one row for each. Source: Lopez-Paz and
    Ranzato, NeurIPS 2017, eq. 3.

    Examples
    --------
    >>> backward_transfer([[1.0, 0.0], [0.5, 0.8]])
    -0.5
    """
    matrix = _matrix(accuracy)
    if _why_no_transfer(matrix):
        return None
    return float((matrix[-1, :-1] - matrix.diagonal()[:-1]).mean())


def forward_transfer(accuracy: ArrayLike, untrained: ArrayLike) -> float | None:
    """Mean advantage on tasks not yet learnt, over a network that learnt nothing.

    ``FWT = mean over j > 0 of R[j-1, j] - b[j]``. None where it is undefined: fewer than two
    tasks, or not one row for each. In class-incremental streams it has no meaning, because
    nothing before a task can teach its labels; see `measures`. Source: Lopez-Paz and Ranzato,
    NeurIPS 2017, eq. 4.

    Parameters
    ----------
    accuracy : array, (learnt, tasks), 0 to 1
    untrained : array, (tasks,), 0 to 1
        Accuracy b of the network as it was initialised.

    Examples
    --------
    >>> forward_transfer([[1.0, 0.25], [0.5, 0.8]], [0.125, 0.125])
    0.125
    """
    matrix = _matrix(accuracy)
    start = _each(untrained, "untrained", matrix.shape[1])
    if _why_no_transfer(matrix):
        return None
    return float((matrix.diagonal(1) - start[1:]).mean())


def forgetting(accuracy: ArrayLike, definition: Definition = "max") -> float | None:
    """Mean drop of earlier tasks to the accuracy they have at the end.

    ======== ============================================================================
    name     ``F = mean over j < T-1 of`` ... ``- R[T-1, j]``
    ======== ============================================================================
    max      ``max over i < T-1 of R[i, j]``: Chaudhry et al., Riemannian walk, ECCV 2018
    first    ``R[j, j]``: Avalanche; the negative of `backward_transfer`
    clipped  ``max over all i of R[i, j]``: Mammoth; never negative
    ======== ============================================================================

    None where it is undefined: fewer than two tasks, or not one row for each task (joint
    training sees no sequence).

    Parameters
    ----------
    accuracy : array, (learnt, tasks), 0 to 1
    definition : str
        A name of `FORGETTING`.

    Raises
    ------
    MosaicError
        If the definition is unknown.

    Examples
    --------
    >>> forgetting([[1.0, 0.0], [0.5, 1.0]])
    0.5
    """
    matrix = _matrix(accuracy)
    if definition not in FORGETTING:
        raise MosaicError(
            f"definition is {definition!r}.{suggest(definition, FORGETTING)} There are: "
            f"{', '.join(FORGETTING)}."
        )
    if _why_no_transfer(matrix):
        return None
    before = {
        "max": matrix[:-1, :-1].max(0),
        "first": matrix.diagonal()[:-1],
        "clipped": matrix[:, :-1].max(0),
    }[definition]
    return float((before - matrix[-1, :-1]).mean())


def intransigence(accuracy: ArrayLike, joint: ArrayLike) -> float | None:
    """Mean inability to learn a task that joint training can: ``mean of J[j] - R[j, j]``.

    None where it is undefined: not one row for each task. Source: Chaudhry et al., Riemannian
    walk, ECCV 2018, averaged over tasks.

    Parameters
    ----------
    accuracy : array, (learnt, tasks), 0 to 1
    joint : array, (tasks,), 0 to 1
        Accuracy J on each task of a network that learnt all tasks at once.

    Examples
    --------
    >>> intransigence([[0.75, 0.0], [0.5, 0.5]], [1.0, 1.0])
    0.375
    """
    matrix = _matrix(accuracy)
    best = _each(joint, "joint", matrix.shape[1])
    if _why_no_sequence(matrix):
        return None
    return float((best - matrix.diagonal()).mean())


def accuracy_bound(lost: float, tasks: int) -> float:
    """Highest average accuracy at the end that so much forgetting leaves: ``1 - F (T - 1) / T``.

    A task that has lost a share ends no higher than 1 minus that share, and the last task no
    higher than 1; the mean of these is the bound. It is linear, so what holds for every run holds
    for means over runs, too.

    Parameters
    ----------
    lost : float, -1 to 1
        Forgetting F, by any of its definitions.
    tasks : int
        T.

    Raises
    ------
    MosaicError
        If there are fewer than two tasks, or `lost` is no difference of accuracies.

    Examples
    --------
    >>> accuracy_bound(0.5, 2)
    0.75
    """
    if tasks < 2:
        raise MosaicError(f"tasks is {tasks}; forgetting needs two at least.")
    if not -1 <= lost <= 1:
        raise MosaicError(
            f"lost is {lost}; it is a difference of accuracies, from -1 to 1 (not in percent)."
        )
    return 1 - lost * (tasks - 1) / tasks


def check_bound(accuracy: ArrayLike) -> None:
    """Refuse a matrix that violates ``ACC <= 1 - F (T - 1) / T``, which arithmetic forbids.

    Raises
    ------
    MosaicError
    """
    lost = forgetting(accuracy)
    if lost is None:
        return
    bound = accuracy_bound(lost, np.shape(accuracy)[1])
    if average_accuracy(accuracy) > bound + 1e-12:
        raise MosaicError(
            f"Average accuracy above its bound {bound:.4f}: the matrix is damaged."
        )


@dataclass(frozen=True)
class Measure:
    """A number, or the reason why there is none."""

    value: float | None
    reason: str = ""


def measures(
    accuracy: ArrayLike,
    *,
    untrained: ArrayLike | None = None,
    joint: ArrayLike | None = None,
    scenario: str = "class-incremental",
    definition: Definition = "max",
) -> dict[str, Measure]:
    """Every measure of a matrix by name, and for each that is undefined, why.

    Parameters
    ----------
    accuracy : array, (learnt, tasks), 0 to 1
    untrained, joint : array, (tasks,), optional
        Accuracies before any training, and of joint training.
    scenario : str
        `growth.streams.Stream.scenario`.
    definition : str
        Of forgetting.

    Returns
    -------
    dict of name to Measure

    Examples
    --------
    >>> found = measures([[1.0, 0.0], [0.5, 0.8]])
    >>> found["ACC"].value, found["FWT"].value
    (0.65, None)
    >>> found["FWT"].reason
    'class-incremental: before a task nothing can teach its labels'
    """
    matrix = _matrix(accuracy)
    sequence, transfer = _why_no_sequence(matrix), _why_no_transfer(matrix)
    forward, missing = transfer, sequence
    if scenario == "class-incremental":
        forward = forward or f"{scenario}: before a task nothing can teach its labels"
    elif untrained is None:
        forward = forward or "no accuracies of the untrained network were given"
    if joint is None:
        missing = missing or "no accuracies of joint training were given"
    found: dict[str, tuple[str, Callable[[], float | None]]] = {
        "ACC": ("", lambda: average_accuracy(matrix)),
        "LA": (sequence, lambda: learning_accuracy(matrix)),
        "AIA": (sequence, lambda: average_incremental_accuracy(matrix)),
        "BWT": (transfer, lambda: backward_transfer(matrix)),
        "FWT": (forward, lambda: forward_transfer(matrix, np.asarray(untrained))),
        f"forgetting ({definition})": (transfer, lambda: forgetting(matrix, definition)),
        "intransigence": (missing, lambda: intransigence(matrix, np.asarray(joint))),
    }
    return {
        name: Measure(None if why else measure(), why)
        for name, (why, measure) in found.items()
    }
