"""Samples of a data set without copies of it: rows, labels, and what is done to them when read.

A data set of images stays as it was stored, one byte a pixel; ten permutations of it are ten
short recipes. Numbers are made when `Samples.inputs` is read, and only for its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from growth.changes import Change

__all__ = ["Samples", "Source", "join"]


@dataclass(frozen=True, eq=False)
class Source:
    """An array as it was stored, and how its rows become intensities.

    Parameters
    ----------
    stored : array, (rows, channels) or (rows, steps, channels)
    scale : float
        The stored value of intensity 1: 255 for grey levels of one byte.
    changes : tuple of Change
        Done in this order to the scaled rows.
    """

    stored: NDArray[Any]
    scale: float = 1.0
    changes: tuple[Change, ...] = ()

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Intensities of some rows: float32, or float64 if stored so; spikes stay bool."""
        values = self.stored[rows]
        if values.dtype != np.bool_:
            kind = np.result_type(values.dtype, np.float32)
            values = values.astype(kind, copy=False)
            if self.scale != 1:
                values = values / kind.type(self.scale)
        for change in self.changes:
            values = change(values)
        return values

    def with_change(self, change: Change) -> Source:
        """Return the same rows with one more change at the end."""
        return Source(self.stored, self.scale, (*self.changes, change))


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled samples of one or several sources, in a fixed order.

    Parameters
    ----------
    sources : tuple of Source
    source, row : int64 array, (samples,)
        Where each sample lies.
    labels : int64 array, (samples,)
    tasks : int64 array, (samples,)
        The task that each sample belongs to.

    Raises
    ------
    MosaicError
        If the four arrays are not equally long, or a place does not exist.
    """

    sources: tuple[Source, ...]
    source: NDArray[np.int64]
    row: NDArray[np.int64]
    labels: NDArray[np.int64]
    tasks: NDArray[np.int64]

    def __post_init__(self) -> None:
        sizes = {
            name: getattr(self, name).shape for name in ("source", "row", "labels", "tasks")
        }
        if len(set(sizes.values())) != 1 or self.labels.ndim != 1:
            raise MosaicError(
                f"Samples have arrays of shapes {sizes}; all need (samples,)."
            )
        lengths = np.array([len(source.stored) for source in self.sources])
        if len(self.source) and (
            self.source.min() < 0
            or self.source.max() >= len(lengths)
            or self.row.min() < 0
            or (self.row >= lengths[self.source]).any()
        ):
            raise MosaicError(
                f"Samples name rows that their sources, of {lengths.tolist()} rows, do not have."
            )

    @classmethod
    def of(
        cls, inputs: NDArray[Any], labels: ArrayLike, *, scale: float = 1.0, task: int = 0
    ) -> Samples:
        """All rows of one array.

        Examples
        --------
        >>> samples = Samples.of(np.array([[0, 255]], np.uint8), [3], scale=255)
        >>> samples.inputs.tolist(), samples.labels.tolist()
        ([[0.0, 1.0]], [3])
        """
        labels = np.asarray(labels, np.int64)
        if len(inputs) != len(labels):
            raise MosaicError(
                f"inputs has shape {inputs.shape} for {len(labels)} labels; each row needs one."
            )
        zeros = np.zeros(len(labels), np.int64)
        return cls(
            (Source(inputs, scale),), zeros, np.arange(len(labels)), labels, zeros + task
        )

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)

    @property
    def inputs(self) -> NDArray[Any]:
        """Intensities, (samples, channels), or spikes, (samples, steps, channels); made anew."""
        if len(self.sources) == 1:
            return self.sources[0].read(self.row)
        parts = [
            (self.source == k, source.read(self.row[self.source == k]))
            for k, source in enumerate(self.sources)
        ]
        kind = np.result_type(*(values.dtype for _, values in parts))
        inputs = np.empty((len(self), *parts[0][1].shape[1:]), kind)
        for where, values in parts:
            inputs[where] = values
        return inputs

    def shape(self) -> tuple[int, ...]:
        """Shape of one sample as it is read: (channels,) or (steps, channels)."""
        shapes = {source.read(np.zeros(1, np.int64)).shape[1:] for source in self.sources}
        if len(shapes) != 1:
            raise MosaicError(
                f"Samples have shapes {sorted(shapes)}; a network needs one shape for all."
            )
        shape: tuple[int, ...] = shapes.pop()
        return shape

    def take(self, index: ArrayLike) -> Samples:
        """Some samples, by position or by a mask."""
        index = np.asarray(index)
        if not index.size:
            index = index.astype(np.int64)  # an empty list is one of floats
        return Samples(
            self.sources, self.source[index], self.row[index], self.labels[index],
            self.tasks[index],
        )  # fmt: skip

    def relabelled(self, labels: ArrayLike) -> Samples:
        """Return the same samples with other labels."""
        return Samples(
            self.sources, self.source, self.row, np.asarray(labels, np.int64), self.tasks
        )

    def of_task(self, task: int) -> Samples:
        """Return the same samples as belonging to one task."""
        tasks = np.full(len(self), task, np.int64)
        return Samples(self.sources, self.source, self.row, self.labels, tasks)

    def changed(self, change: Change) -> Samples:
        """Return the same samples with one more change to each."""
        sources = tuple(source.with_change(change) for source in self.sources)
        return Samples(sources, self.source, self.row, self.labels, self.tasks)


def join(parts: Sequence[Samples]) -> Samples:
    """Samples one after the other; sources that are shared stay shared.

    Examples
    --------
    >>> grey = Samples.of(np.array([[0.0], [0.5]]), [0, 1])
    >>> join([grey.take([1]), grey]).inputs.tolist()
    [[0.5], [0.0], [0.5]]
    """
    if not parts:
        raise MosaicError("join needs at least one part.")
    sources: list[Source] = []
    places = []
    for part in parts:
        number = []
        for source in part.sources:
            if not any(source is known for known in sources):
                sources.append(source)
            number.append(next(k for k, known in enumerate(sources) if known is source))
        places.append(np.array(number, np.int64)[part.source])
    return Samples(
        tuple(sources),
        np.concatenate(places),
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.tasks for part in parts]),
    )
