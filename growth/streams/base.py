"""What a stream is: tasks in order, and what a learner is told about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.samples import Samples, join
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Batch", "Stream", "Task", "generator"]


@dataclass(frozen=True, eq=False)
class Task:
    """Samples to learn from, and samples to be tested on.

    Parameters
    ----------
    number : int
        Its place in the stream.
    classes : tuple of int
        Every label among its samples.
    train, test : Samples
        ``train.tasks`` says for each sample which task it belongs to: in a stream that mixes
        tasks, not always this one.
    identity : int
        What a learner that is told the task is told; the same when a task comes back.
    """

    number: int
    classes: tuple[int, ...]
    train: Samples
    test: Samples
    identity: int = 0

    @property
    def train_inputs(self) -> NDArray[Any]:
        """Intensities of the training samples, (samples, channels); made when asked for."""
        return self.train.inputs

    @property
    def train_labels(self) -> NDArray[np.int64]:
        """Labels of the training samples."""
        return self.train.labels

    @property
    def test_inputs(self) -> NDArray[Any]:
        """Intensities of the test samples, (samples, channels); made when asked for."""
        return self.test.inputs

    @property
    def test_labels(self) -> NDArray[np.int64]:
        """Labels of the test samples."""
        return self.test.labels


@dataclass(frozen=True, eq=False)
class Batch:
    """Some samples on their way to a learner; `tasks` is None where that is hidden."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    tasks: NDArray[np.int64] | None


@dataclass(frozen=True)
class Stream:
    """Tasks in the order in which they are seen, and what a learner is told about them.

    Parameters
    ----------
    name : str
    tasks : tuple of Task
    inputs : int
        Channels of a sample.
    labels : int
        Outputs that a learner needs; labels are 0 to labels - 1.
    identity : bool
        Whether a learner is told which task a sample belongs to, in training and in testing.
    boundaries : bool
        Whether it is told in training where a task ends and the next begins.
    steps : int, optional
        Steps of moving inputs; None for still ones.

    Raises
    ------
    MosaicError
        If there is no task, a task has fewer than two labels, tasks differ in the shape of
        their samples, or the identity is shown and boundaries, which it gives away, are not.
    """

    name: str
    tasks: tuple[Task, ...]
    inputs: int
    labels: int
    identity: bool = False
    boundaries: bool = True
    steps: int | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise MosaicError(f"Stream {self.name!r} has no tasks; it needs at least one.")
        if self.identity and not self.boundaries:
            raise MosaicError(
                f"Stream {self.name!r} shows the identity of tasks and hides their boundaries; "
                "the one gives the other away. Hide both, or show boundaries."
            )
        wanted = (self.inputs,) if self.steps is None else (self.steps, self.inputs)
        for task in self.tasks:
            if len(task.classes) < 2:
                raise MosaicError(
                    f"Task {task.number} has classes {list(task.classes)}; it needs at least 2."
                )
            for part, samples in (("training", task.train), ("test", task.test)):
                if not len(samples):
                    raise MosaicError(f"Task {task.number} has no {part} samples.")
                if samples.shape() != wanted:
                    raise MosaicError(
                        f"Task {task.number} has {part} samples of shape {samples.shape()}, the "
                        f"stream {wanted}; resize them, or pad their channels."
                    )
                if samples.labels.min() < 0 or samples.labels.max() >= self.labels:
                    raise MosaicError(
                        f"Task {task.number} has labels from {samples.labels.min()} to "
                        f"{samples.labels.max()}; they must lie between 0 and {self.labels - 1}."
                    )

    @property
    def scenario(self) -> str:
        """Name of what is asked of a learner.

        ``task-free`` without boundaries; ``task-incremental`` with identities;
        ``domain-incremental`` if every task has the same labels; else ``class-incremental``.

        References
        ----------
        van de Ven, Tuytelaars and Tolias, Nature Machine Intelligence 4, 2022; task-free:
        Aljundi, Kelchtermans and Tuytelaars, CVPR 2019.
        """
        if not self.boundaries:
            return "task-free"
        if self.identity:
            return "task-incremental"
        same = len({task.classes for task in self.tasks}) == 1
        return "domain-incremental" if same and len(self.tasks) > 1 else "class-incremental"

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield every training sample once, in order: the stream as an online learner sees it.

        With boundaries a batch ends where its task does. Without, batches run on across
        them, since a short batch would give a boundary away.

        Parameters
        ----------
        size : int

        Yields
        ------
        Batch
        """
        if size < 1:
            raise MosaicError(f"size is {size}; a batch needs at least 1 sample.")
        parts = [task.train for task in self.tasks]
        for part in parts if self.boundaries else [join(parts)]:
            for start in range(0, len(part), size):
                some = part.take(np.arange(start, min(start + size, len(part))))
                yield Batch(some.inputs, some.labels, some.tasks if self.identity else None)


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator for one purpose, so that no two draws of a seed are the same.

    Examples
    --------
    >>> generator(0, "order").permutation(5).tolist()
    [3, 0, 1, 4, 2]
    >>> generator(0, "noise").permutation(5).tolist()
    [2, 0, 1, 3, 4]
    """
    if seed < 0:
        raise MosaicError(f"seed is {seed}; it needs to be at least 0.")
    return np.random.default_rng([seed, *purpose.encode()])
