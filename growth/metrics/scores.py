"""Measures of single predictions: two scenarios from one run, task identities, reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from growth.statistics import proportion
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Accuracies", "HitRate", "Report", "accuracies", "adjusted_rand", "confusion_of",
    "identity_hits",
    "report",
]  # fmt: skip


@dataclass(frozen=True)
class Accuracies:
    """Accuracy on each task, for one row of two matrices.

    Parameters
    ----------
    class_incremental : tuple of float
        The best of all outputs.
    task_incremental : tuple of float
        The best of the outputs of the sample's task.
    """

    class_incremental: tuple[float, ...]
    task_incremental: tuple[float, ...]


def accuracies(
    scores: ArrayLike,
    labels: ArrayLike,
    tasks: ArrayLike,
    classes: Sequence[Sequence[int]],
) -> Accuracies:
    """Both scenarios from one run: what is right of all outputs, and of those of the task.

    Ties go to the lowest label. Task-incremental accuracy is never lower.
    Source: van de Ven, Tuytelaars and Tolias, Nature Machine Intelligence 4, 2022.

    Parameters
    ----------
    scores : array, (samples, labels)
        Larger is likelier; spike counts of outputs will do.
    labels, tasks : array of int, (samples,)
        Of each test sample.
    classes : sequence of sequence of int
        Labels of each task.

    Raises
    ------
    MosaicError
        If shapes differ, a score is not a number, a task has no sample, or a label is not one
        of its task's.

    Examples
    --------
    >>> found = accuracies([[1, 0, 9, 0], [0, 0, 1, 2]], [0, 3], [0, 1], [[0, 1], [2, 3]])
    >>> found.class_incremental, found.task_incremental
    ((0.0, 1.0), (1.0, 1.0))
    """
    table, right, task = np.asarray(scores), np.asarray(labels), np.asarray(tasks)
    if table.ndim != 2 or right.shape != table.shape[:1] or task.shape != right.shape:
        raise MosaicError(
            f"scores has shape {table.shape}, labels {right.shape}, tasks {task.shape}; they "
            "need (samples, labels), (samples,), (samples,)."
        )
    if np.isnan(table).any():
        raise MosaicError("scores holds values that are not numbers.")
    anywhere = table.argmax(1) == right
    inside: NDArray[np.bool_] = np.zeros(len(right), np.bool_)
    for number, members in enumerate(classes):
        known = np.array(sorted(members), np.int64)
        own = task == number
        if not own.any():
            raise MosaicError(f"Task {number} has no samples in tasks.")
        if not known.size or known[0] < 0 or known[-1] >= table.shape[1]:
            raise MosaicError(
                f"Task {number} has classes {known.tolist()}; scores has {table.shape[1]} labels."
            )
        strange = np.setdiff1d(right[own], known)
        if strange.size:
            raise MosaicError(
                f"Task {number} has samples of label {strange[:5].tolist()}, but classes "
                f"{known.tolist()}."
            )
        inside[own] = known[table[np.ix_(own, known)].argmax(1)] == right[own]
    if not ((task >= 0) & (task < len(classes))).all():
        raise MosaicError(
            f"tasks names {np.unique(task).tolist()}; classes has {len(classes)} tasks."
        )
    return Accuracies(
        tuple(float(anywhere[task == k].mean()) for k in range(len(classes))),
        tuple(float(inside[task == k].mean()) for k in range(len(classes))),
    )


@dataclass(frozen=True)
class HitRate:
    """How often the task of a sample was found.

    Parameters
    ----------
    rate, low, high : float
        Share of hits with its 95 % interval (Wilson).
    chance : float
        What guessing reaches: always naming the most frequent task.
    queries : int
    """

    rate: float
    low: float
    high: float
    chance: float
    queries: int


def identity_hits(found: ArrayLike, tasks: ArrayLike) -> HitRate:
    """Compare the tasks that a gate or a search names with the true ones.

    Parameters
    ----------
    found, tasks : array of int, (samples,)

    Examples
    --------
    >>> hits = identity_hits([0, 1, 1, 1], [0, 1, 0, 1])
    >>> hits.rate, hits.chance
    (0.75, 0.5)
    """
    named, true = _pair("found", found, "tasks", tasks)
    hits = int((named == true).sum())
    chance = np.unique(true, return_counts=True)[1].max() / len(true)
    return HitRate(hits / len(true), *proportion(hits, len(true)), float(chance), len(true))


def adjusted_rand(found: ArrayLike, tasks: ArrayLike) -> float:
    """Agreement of two groupings of samples, whatever the groups are called: 1 is perfect.

    0 is what independent groupings of the same sizes have on average; below 0 is worse. For
    experts that open without being told of tasks. By scikit-learn. Source: Hubert and Arabie,
    Comparing partitions, Journal of Classification 2, 1985.

    Parameters
    ----------
    found, tasks : array of int, (samples,)

    Examples
    --------
    >>> adjusted_rand([7, 7, 3, 3], [0, 0, 1, 1])
    1.0
    """
    from sklearn.metrics import adjusted_rand_score

    named, true = _pair("found", found, "tasks", tasks)
    return float(adjusted_rand_score(true, named))


@dataclass(frozen=True, eq=False)
class Report:
    """Precision, recall and F1 of each label, and the confusion matrix.

    Parameters
    ----------
    precision, recall, f1 : float64 array, (labels,)
        nan where undefined: a label that was never predicted has no precision, one without
        samples no recall, one without either no F1.
    support : int64 array, (labels,)
        Samples of each label.
    confusion : int64 array, (labels, labels)
        Row: true label; column: predicted one.
    accuracy : float
    macro_precision, macro_recall, macro_f1 : float
        Plain means over the labels for which they are defined.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]
    confusion: NDArray[np.int64]
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float


def report(predicted: ArrayLike, labels: ArrayLike, count: int) -> Report:
    """Classification report, by scikit-learn.

    ``precision = TP / (TP + FP)``, ``recall = TP / (TP + FN)``, ``F1 = 2 TP / (2 TP + FP +
    FN)``. Source: van Rijsbergen, Information retrieval, 1979.

    Parameters
    ----------
    predicted, labels : array of int, (samples,)
        0 to count - 1.
    count : int
        Number of labels.

    Raises
    ------
    MosaicError
        If shapes differ or a label is out of range.

    Examples
    --------
    >>> found = report([0, 1, 1, 1], [0, 0, 1, 1], 2)
    >>> found.confusion.tolist(), found.recall.tolist(), found.accuracy
    ([[1, 1], [0, 2]], [0.5, 1.0], 0.75)
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    guess, right = _pair("predicted", predicted, "labels", labels)
    for name, values in (("predicted", guess), ("labels", right)):
        if values.min() < 0 or values.max() >= count:
            raise MosaicError(
                f"{name} lies between {values.min()} and {values.max()}; labels go from 0 to "
                f"{count - 1}."
            )
    names = np.arange(count)
    precision, recall, f1, support = precision_recall_fscore_support(
        right, guess, labels=names, zero_division=np.nan
    )
    return Report(
        precision, recall, f1, support.astype(np.int64),
        confusion_matrix(right, guess, labels=names),
        float((guess == right).mean()),
        float(np.nanmean(precision)), float(np.nanmean(recall)), float(np.nanmean(f1)),
    )  # fmt: skip


def confusion_of(
    entries: Sequence[Sequence[int]], count: int | None = None
) -> NDArray[np.int64]:
    """Confusion matrix from its entries that are not 0.

    Parameters
    ----------
    entries : sequence of (label, predicted, samples)
        Of one task, or of several together.
    count : int, optional
        Labels; by default as many as the entries name.

    Returns
    -------
    int64 array, (labels, labels)
        Row: true label; column: predicted one.

    Examples
    --------
    >>> confusion_of([[0, 0, 3], [0, 1, 1], [0, 0, 2]])
    array([[5, 1],
           [0, 0]])
    """
    label, predicted, samples = np.array(entries, np.int64).reshape(-1, 3).T
    wanted = count or int(max(label.max(initial=-1), predicted.max(initial=-1))) + 1
    matrix = np.zeros((wanted, wanted), np.int64)
    np.add.at(matrix, (label, predicted), samples)
    return matrix


def _pair(
    name: str, one: ArrayLike, other_name: str, other: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, second = np.asarray(one), np.asarray(other)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise MosaicError(
            f"{name} has shape {first.shape}, {other_name} {second.shape}; both need (samples,) "
            "and at least one sample."
        )
    for called, values in ((name, first), (other_name, second)):
        if values.dtype.kind not in "iu":
            raise MosaicError(f"{called} holds {values.dtype}; it needs whole numbers.")
    return first.astype(np.int64), second.astype(np.int64)
