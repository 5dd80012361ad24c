"""Streams from data sets: split, partitioned, permuted, rotated, one data set after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from growth.changes import Change, Permute, pad, resize, rotate
from growth.streams.base import Stream, Task, generator
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from growth.datasets import Dataset
    from growth.samples import Samples

__all__ = [
    "PAIRS",
    "partitioned",
    "permuted",
    "rotated",
    "sequence",
    "split",
    "split_evenly",
]

PAIRS = (
    (0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (0, 2), (1, 3), (4, 6), (5, 8), (7, 9),
)  # fmt: skip
"""Ten tasks of two of ten classes, each class in two of them: a benchmark of supermasks."""


def split(
    data: Dataset, classes: Sequence[Sequence[int]], *, relabel: bool = False
) -> Stream:
    """Cut a data set into tasks of some classes each (class-incremental).

    Parameters
    ----------
    classes : sequence of sequence of int
        Labels of each task; no label twice.
    relabel : bool
        Give each sample the place of its class in its task as label: every task asks the
        same question of other data (domain-incremental).

    Examples
    --------
    >>> from growth.datasets import digits
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
    return _of_classes(f"split-{data.name}", data, classes, relabel)


def split_evenly(
    data: Dataset, per_task: int, *, seed: int | None = None, relabel: bool = False
) -> Stream:
    """Cut a data set into tasks of equally many classes.

    Parameters
    ----------
    per_task : int
    seed : int, optional
        Of the order of the classes; by number without it.
    relabel : bool
        As in `split`.

    Examples
    --------
    >>> from growth.datasets import digits
    >>> len(split_evenly(digits(0), 5).tasks)
    2
    """
    if per_task < 2 or data.labels % per_task:
        fit = [n for n in range(2, data.labels + 1) if not data.labels % n]
        raise MosaicError(
            f"per_task is {per_task}; the {data.labels} classes of {data.name} can be cut into "
            f"tasks of {fit}."
        )
    order = np.arange(data.labels)
    if seed is not None:
        order = generator(seed, "classes").permutation(order)
    return split(data, order.reshape(-1, per_task).tolist(), relabel=relabel)


def partitioned(
    data: Dataset, classes: Sequence[Sequence[int]] = PAIRS, *, relabel: bool = False
) -> Stream:
    """Cut a data set into tasks of some classes each, in which classes may come again.

    A class that is in several tasks brings all its samples to each of them. See `split`.

    Examples
    --------
    >>> from growth.datasets import digits
    >>> partitioned(digits(0)).tasks[5].classes
    (0, 2)
    """
    if any(not 0 <= c < data.labels for task in classes for c in task) or any(
        len(set(task)) != len(task) for task in classes
    ):
        raise MosaicError(
            f"classes is {[list(c) for c in classes]}; labels go from 0 to {data.labels - 1}, and "
            "each may stand once in a task."
        )
    return _of_classes(f"partitioned-{data.name}", data, classes, relabel)


def permuted(data: Dataset, tasks: int, seed: int, *, keep_first: bool = True) -> Stream:
    """Show the whole data set in each task, with the channels in another random order.

    Parameters
    ----------
    tasks : int
    seed : int
        Task k has the same order whatever the number of tasks.
    keep_first : bool
        Leave the first task as it is.

    References
    ----------
    Goodfellow et al., arXiv:1312.6211; Kirkpatrick et al., PNAS 114, 2017.

    Examples
    --------
    >>> from growth.datasets import digits
    >>> stream = permuted(digits(0), 3, seed=0)
    >>> stream.scenario, stream.tasks[2].train_inputs.shape
    ('domain-incremental', (1198, 64))
    """
    orders = [
        generator(seed, f"permutation {k}").permutation(data.channels) for k in range(tasks)
    ]
    changes: list[Change | None] = [Permute(order) for order in orders]
    if keep_first and changes:
        changes[0] = None
    return _of_changes(f"permuted-{data.name}", data, changes)


def rotated(
    data: Dataset,
    tasks: int,
    *,
    degrees: Sequence[float] | None = None,
    seed: int | None = None,
) -> Stream:
    """Show the whole data set in each task, turned by another angle.

    Parameters
    ----------
    tasks : int
    degrees : sequence of float, optional
        One angle for each task, counter-clockwise.
    seed : int, optional
        Draw the angles evenly from 0 to 180 instead. With neither, task k is turned by
        ``k * 360 / tasks``.

    References
    ----------
    Lopez-Paz and Ranzato, NeurIPS 2017 (random angles up to 180 degrees); Wortsman et al.,
    Supermasks in superposition, NeurIPS 2020 (a whole turn in equal parts).

    Examples
    --------
    >>> from growth.datasets import digits
    >>> rotated(digits(0), 4).name
    'rotated-digits'
    """
    if degrees is not None and seed is not None:
        raise MosaicError("rotated takes degrees or a seed to draw them, not both.")
    if data.steps is not None:
        raise MosaicError(
            f"{data.name} is made of spikes, which cannot stand between pixels; take its rates."
        )
    if degrees is None:
        if seed is None:
            degrees = [k * 360 / tasks for k in range(tasks)]
        else:
            degrees = generator(seed, "angles").uniform(0, 180, tasks).tolist()
    if len(degrees) != tasks or not np.isfinite(degrees).all():
        raise MosaicError(f"degrees is {list(degrees)}; {tasks} tasks need one angle each.")
    changes: list[Change | None] = [
        rotate(data.shape, float(angle)) if angle % 360 else None for angle in degrees
    ]
    return _of_changes(f"rotated-{data.name}", data, changes)


def sequence(
    datasets: Sequence[Dataset], *, side: int | None = None, share_labels: bool = False
) -> Stream:
    """Show one data set after another, each as a task.

    Parameters
    ----------
    datasets : sequence of Dataset
        All still. Where they differ in channels, the smaller ones get channels that are
        always silent at the end.
    side : int, optional
        Resample grey images to this many pixels a side first; what is no image stays.
    share_labels : bool
        Label k of every data set is the same output (domain-incremental); without it each
        has outputs of its own (class-incremental).

    Raises
    ------
    MosaicError
        If a data set is missing, moves, or has colours that `side` would have to mix.

    Examples
    --------
    >>> from growth.datasets import digits
    >>> stream = sequence([digits(0), digits(1)])
    >>> stream.labels, stream.tasks[1].classes[:3]
    (20, (10, 11, 12))
    """
    if not datasets:
        raise MosaicError("datasets is empty; a stream needs at least one task.")
    parts: list[tuple[Samples, Samples]] = []
    for data in datasets:
        if data.steps is not None:
            raise MosaicError(f"{data.name} moves; a sequence needs still data: its rates.")
        if side is not None and len(data.shape) == 3:
            raise MosaicError(f"{data.name} has colours; a sequence needs it in grey.")
        pair = (data.train, data.test)
        if side is not None and len(data.shape) == 2 and data.shape != (side, side):
            change = resize(data.shape, side)
            pair = (data.train.changed(change), data.test.changed(change))
        parts.append(pair)
    channels = [train.shape()[0] for train, _ in parts]
    widest = max(channels)
    tasks, first = [], 0
    for number, (data, pair) in enumerate(zip(datasets, parts, strict=True)):
        if channels[number] < widest:
            silent = pad(channels[number], widest)
            pair = (pair[0].changed(silent), pair[1].changed(silent))
        train, test = (
            samples.relabelled(samples.labels + first).of_task(number) for samples in pair
        )
        tasks.append(Task(number, _labels(train, test), train, test, number))
        first += 0 if share_labels else data.labels
    labels = max(data.labels for data in datasets) if share_labels else first
    name = "-".join(data.name for data in datasets)
    return Stream(name, tuple(tasks), widest, labels)


def _labels(*parts: Samples) -> tuple[int, ...]:
    found = np.unique(np.concatenate([part.labels for part in parts]))
    return tuple(int(label) for label in found)


def _of_classes(
    name: str, data: Dataset, classes: Sequence[Sequence[int]], relabel: bool
) -> Stream:
    if not any(classes):
        raise MosaicError("classes is empty; a stream needs at least one task.")
    whole = (data.train, data.test)
    tasks = []
    for number, members in enumerate(classes):
        if len(members) < 2:
            raise MosaicError(
                f"Task {number} has classes {list(members)}; it needs at least 2."
            )
        pair = [part.take(np.isin(part.labels, members)) for part in whole]
        if not all(len(part) for part in pair):
            raise MosaicError(f"Task {number} has no samples of {list(members)}.")
        named = tuple(int(label) for label in members)
        if relabel:
            place = np.full(data.labels, -1)
            place[list(members)] = np.arange(len(members))
            pair = [part.relabelled(place[part.labels]) for part in pair]
            named = tuple(range(len(members)))
        train, test = (part.of_task(number) for part in pair)
        tasks.append(Task(number, named, train, test, number))
    labels = max(map(len, classes)) if relabel else data.labels
    return Stream(name, tuple(tasks), data.channels, labels, steps=data.steps)


def _of_changes(name: str, data: Dataset, changes: Sequence[Change | None]) -> Stream:
    """One task for each change, all of the whole data set."""
    if not changes:
        raise MosaicError("tasks is 0; a stream needs at least one task.")
    tasks = []
    for number, change in enumerate(changes):
        train, test = (
            (part if change is None else part.changed(change)).of_task(number)
            for part in (data.train, data.test)
        )
        tasks.append(Task(number, _labels(train, test), train, test, number))
    return Stream(name, tuple(tasks), data.channels, data.labels, steps=data.steps)
