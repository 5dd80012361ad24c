"""Data as a stream of tasks, seen one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import ConfigError, MosaicError, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DATASETS", "Dataset", "Stream", "Task", "digits", "load_dataset", "split"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Intensities from 0 to 1 with labels, divided into training and test samples.

    Parameters
    ----------
    train_inputs, test_inputs : float64 array, (samples, channels)
    train_labels, test_labels : int64 array, (samples,)
    labels : int
        Number of labels; they are 0 to labels - 1.
    """

    name: str
    train_inputs: NDArray[np.float64]
    train_labels: NDArray[np.int64]
    test_inputs: NDArray[np.float64]
    test_labels: NDArray[np.int64]
    labels: int

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            inputs, labels = (
                getattr(self, f"{part}_inputs"),
                getattr(self, f"{part}_labels"),
            )
            if inputs.ndim != 2 or len(inputs) != len(labels) or not len(inputs):
                raise MosaicError(
                    f"{part}_inputs has shape {inputs.shape} for {len(labels)} labels; it needs "
                    "(samples, channels) with one label each and at least one sample."
                )
            if not np.isfinite(inputs).all():
                raise MosaicError(f"{part}_inputs holds values that are not finite.")
            if labels.min() < 0 or labels.max() >= self.labels:
                raise MosaicError(
                    f"{part}_labels must lie between 0 and {self.labels - 1}."
                )


@dataclass(frozen=True, eq=False)
class Task:
    """Samples of some classes; `number` is its place in the stream."""

    number: int
    classes: tuple[int, ...]
    train_inputs: NDArray[np.float64]
    train_labels: NDArray[np.int64]
    test_inputs: NDArray[np.float64]
    test_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """Tasks in the order in which they are seen."""

    name: str
    tasks: tuple[Task, ...]
    inputs: int
    labels: int


def digits(seed: int, test_share: float = 1 / 3) -> Dataset:
    """Return scikit-learn's 8 x 8 digits: 1,797 images of 64 pixels with 17 grey levels.

    Parameters
    ----------
    seed : int
        Of the split, which keeps the share of every digit.
    test_share : float
        Share held out for testing.

    Examples
    --------
    >>> digits(0).test_inputs.shape
    (599, 64)
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    held = test_share * bunch.target.size
    if not 10 <= held <= bunch.target.size - 10:
        raise ConfigError(
            f"test_share is {test_share}, {held:.0f} of {bunch.target.size} digits; training "
            "and test samples both need one of each of the 10 classes."
        )
    train, test, train_labels, test_labels = train_test_split(
        bunch.data / 16.0,
        bunch.target.astype(np.int64),
        test_size=test_share,
        stratify=bunch.target,
        random_state=seed,
    )
    return Dataset("digits", train, train_labels, test, test_labels, 10)


DATASETS = {"digits": digits}


def load_dataset(name: str, seed: int, test_share: float) -> Dataset:
    """Return the data set called `name`, split by `seed`."""
    if name not in DATASETS:
        raise ConfigError(
            f"Unknown data set {name!r}.{suggest(name, DATASETS)} There are: "
            f"{', '.join(DATASETS)}."
        )
    return DATASETS[name](seed, test_share)


def split(data: Dataset, classes: Sequence[Sequence[int]]) -> Stream:
    """Cut a data set into tasks of some classes each (class-incremental).

    Parameters
    ----------
    classes : sequence of sequence of int
        Labels of each task; no label twice.

    Examples
    --------
    >>> stream = split(digits(0), [[0, 1], [2, 3]])
    >>> [task.classes for task in stream.tasks]
    [(0, 1), (2, 3)]
    """
    named = [label for task in classes for label in task]
    if len(set(named)) != len(named) or any(not 0 <= c < data.labels for c in named):
        raise MosaicError(
            f"classes is {[list(c) for c in classes]}; each label from 0 to {data.labels - 1} "
            "may stand in one task."
        )
    if not named:
        raise MosaicError("classes is empty; a stream needs at least one task.")
    tasks = []
    for number, members in enumerate(classes):
        if len(members) < 2:
            raise MosaicError(
                f"Task {number} has classes {list(members)}; it needs at least 2."
            )
        train, test = (np.isin(x, members) for x in (data.train_labels, data.test_labels))
        if not train.any() or not test.any():
            raise MosaicError(f"Task {number} has no samples of {list(members)}.")
        tasks.append(
            Task(
                number, tuple(members),
                data.train_inputs[train], data.train_labels[train],
                data.test_inputs[test], data.test_labels[test],
            )
        )  # fmt: skip
    name = f"split-{data.name}"
    return Stream(name, tuple(tasks), data.train_inputs.shape[1], data.labels)
