"""What a data set is, and how arrays of one's own become one."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.samples import Samples
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Dataset", "from_arrays", "from_torch", "rates"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs with labels, divided into training and test samples.

    Inputs have one of two forms. *Still*: (samples, channels), an intensity from 0 to 1 that is
    shown for as many steps as an experiment asks for. *Moving*: (samples, steps, channels), an
    intensity at each step; spikes are the case of 0 and 1.

    Parameters
    ----------
    train_inputs, test_inputs : array, (samples, channels) or (samples, steps, channels)
        As stored: divided by `scale`, they are intensities from 0 to 1. Images keep one byte
        a pixel; `train` and `test` give intensities.
    train_labels, test_labels : int64 array, (samples,)
    labels : int
        Number of labels; they are 0 to labels - 1.
    scale : float
        Stored value of intensity 1: 255 for grey levels.
    shape : tuple of int
        Shape of the channels of a sample, slowest first: (28, 28), or (3, 32, 32) in colour.
        (channels,) where they have no other.
    groups : tuple of tuple of int
        Labels that belong together, where the data say so: the characters of an alphabet.
    origin : int64 array, (training samples,), optional
        Who each training sample is from, where test samples are of others: `folds` never divides
        the samples of one.
    kind : int64 array, (training samples,), optional
        Finer than labels, where a label holds several kinds of which some are rare: what training
        may be balanced by.

    Raises
    ------
    MosaicError
        If inputs and labels do not match, training and test samples differ in shape, values
        are not finite, or a label is outside its range.

    Examples
    --------
    >>> grey = np.array([[0, 255], [255, 0]], np.uint8)
    >>> data = Dataset("two", grey, np.array([0, 1]), grey, np.array([0, 1]), 2, scale=255)
    >>> data.train.inputs.tolist(), data.steps
    ([[0.0, 1.0], [1.0, 0.0]], None)
    """

    name: str
    train_inputs: NDArray[Any]
    train_labels: NDArray[np.int64]
    test_inputs: NDArray[Any]
    test_labels: NDArray[np.int64]
    labels: int
    scale: float = 1.0
    shape: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    origin: NDArray[np.int64] | None = None
    kind: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            inputs, labels = (
                getattr(self, f"{part}_inputs"),
                getattr(self, f"{part}_labels"),
            )
            if inputs.ndim not in (2, 3) or len(inputs) != len(labels) or not len(inputs):
                raise MosaicError(
                    f"{part}_inputs has shape {inputs.shape} for {len(labels)} labels; it needs "
                    "(samples, channels) or (samples, steps, channels) with one label each and "
                    "at least one sample."
                )
            if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
                raise MosaicError(f"{part}_inputs holds values that are not finite.")
            if labels.min() < 0 or labels.max() >= self.labels:
                raise MosaicError(
                    f"{part}_labels must lie between 0 and {self.labels - 1}; they lie between "
                    f"{labels.min()} and {labels.max()}."
                )
        for name, each in (("origin", self.origin), ("kind", self.kind)):
            if each is not None and each.shape != self.train_labels.shape:
                raise MosaicError(
                    f"{name} has shape {each.shape}; it needs {self.train_labels.shape}, one for "
                    "each training sample."
                )
        train, test = self.train_inputs.shape[1:], self.test_inputs.shape[1:]
        if train != test:
            raise MosaicError(
                f"Training samples have shape {train}, test samples {test}; both need the same."
            )
        if not self.shape:
            object.__setattr__(self, "shape", (self.channels,))
        if int(np.prod(self.shape)) != self.channels:
            raise MosaicError(
                f"shape is {self.shape}, {int(np.prod(self.shape))} values; a sample has "
                f"{self.channels} channels."
            )

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return int(self.train_inputs.shape[-1])

    @property
    def steps(self) -> int | None:
        """Steps of a moving input; None for a still one, which any number of steps can show."""
        return int(self.train_inputs.shape[1]) if self.train_inputs.ndim == 3 else None

    @property
    def train(self) -> Samples:
        """The training samples as intensities."""
        return Samples.of(self.train_inputs, self.train_labels, scale=self.scale)

    @property
    def test(self) -> Samples:
        """The test samples as intensities."""
        return Samples.of(self.test_inputs, self.test_labels, scale=self.scale)


def rates(data: Dataset) -> Dataset:
    """Return a moving data set as a still one: the mean of each channel over time.

    When something happened is lost; learners that compare intensities need it so.

    Examples
    --------
    >>> fired = np.array([[[0, 1], [1, 1]]], bool)
    >>> rates(Dataset("one", fired, np.array([0]), fired, np.array([0]), 1)).train.inputs.tolist()
    [[0.5, 1.0]]
    """
    if data.steps is None:
        raise MosaicError(f"{data.name} is still already: its samples have no steps.")
    train, test = (
        (x.mean(1, dtype=np.float64) / data.scale).astype(np.float32)
        for x in (data.train_inputs, data.test_inputs)
    )
    return Dataset(
        f"{data.name}-rates", train, data.train_labels, test, data.test_labels, data.labels,
        shape=data.shape, groups=data.groups, origin=data.origin, kind=data.kind,
    )  # fmt: skip


def from_arrays(
    name: str,
    train_inputs: ArrayLike,
    train_labels: ArrayLike,
    test_inputs: ArrayLike,
    test_labels: ArrayLike,
    *,
    moving: bool = False,
) -> Dataset:
    """Make a data set of arrays of one's own.

    Parameters
    ----------
    name : str
    train_inputs, test_inputs : array, (samples, ...)
        Bytes are grey levels from 0 to 255; bool and floats are intensities from 0 to 1. All
        axes after the first are channels.
    train_labels, test_labels : array of int, (samples,)
        Labels 0 to the largest one in training.
    moving : bool
        The second axis of the inputs is time.

    Raises
    ------
    MosaicError
        If there is only one label, samples have unequal shapes, labels are not whole numbers
        from 0, a test label never occurs in training, or an intensity is outside 0 to 1.

    Examples
    --------
    >>> x = np.zeros((4, 8, 8), np.uint8)
    >>> data = from_arrays("black", x, [0, 1, 0, 1], x, [0, 1, 1, 0])
    >>> data.channels, data.shape, data.labels
    (64, (8, 8), 2)
    """
    stored, labelled = [], []
    for part, inputs, labels in (
        ("train", train_inputs, train_labels),
        ("test", test_inputs, test_labels),
    ):
        stored.append(_inputs(f"{part}_inputs", inputs, moving))
        labelled.append(_labels(f"{part}_labels", labels))
    (train, shape, scale), (test, other, test_scale) = stored
    if shape != other or scale != test_scale:
        raise MosaicError(
            f"train_inputs has samples of shape {shape} and {train.dtype}, test_inputs of "
            f"{other} and {test.dtype}; both need the same."
        )
    known = np.unique(labelled[0])
    if len(known) < 2:
        raise MosaicError(
            f"train_labels holds one label, {known.tolist()}; there is nothing to tell apart."
        )
    strange = np.setdiff1d(labelled[1], known)
    if len(strange):
        raise MosaicError(
            f"test_labels holds {strange[:5].tolist()}, which never occur in train_labels."
        )
    count = int(known[-1]) + 1
    return Dataset(
        name, train, labelled[0], test, labelled[1], count, scale=scale, shape=shape
    )


def from_torch(name: str, train: Any, test: Any, *, moving: bool = False) -> Dataset:
    """Make a data set of two torch data sets, or of anything that is indexed like them.

    Parameters
    ----------
    name : str
    train, test : torch.utils.data.Dataset
        With a length, and ``[k]`` giving an input and a whole number as its label. Inputs may
        be tensors, arrays or images; all are read once.
    moving : bool
        The first axis of an input is time.

    Raises
    ------
    MosaicError
        As `from_arrays`; also if a data set has no length, or its samples differ in shape.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> ones = TensorDataset(torch.ones(2, 1, 3), torch.tensor([0, 1]))
    >>> from_torch("ones", ones, ones).train.inputs.tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    parts = [_collect(part, data) for part, data in (("train", train), ("test", test))]
    return from_arrays(name, *parts[0], *parts[1], moving=moving)


def _collect(part: str, data: Any) -> tuple[NDArray[Any], list[Any]]:
    if not isinstance(data, Sized) or not hasattr(data, "__getitem__"):
        raise MosaicError(
            f"{part} is a {type(data).__name__}; it needs a length and samples by number."
        )
    inputs: list[NDArray[Any]] = []
    labels = []
    for k in range(len(data)):
        sample = data[k]
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise MosaicError(
                f"{part}[{k}] is a {type(sample).__name__}; it needs to be an input and a label."
            )
        inputs.append(np.asarray(sample[0]))
        labels.append(np.asarray(sample[1]).item())
        if inputs[k].shape != inputs[0].shape:
            raise MosaicError(
                f"{part}[{k}] has shape {inputs[k].shape}, {part}[0] {inputs[0].shape}; all "
                "samples need the same. Resize or pad them first."
            )
    if not inputs:
        raise MosaicError(f"{part} is empty; it needs at least one sample.")
    return np.stack(inputs), labels


def _inputs(
    name: str, inputs: ArrayLike, moving: bool
) -> tuple[NDArray[Any], tuple[int, ...], float]:
    """Samples with their channels flat, the shape they had, and the scale."""
    try:
        values = np.asarray(inputs)
    except ValueError:
        raise MosaicError(
            f"{name} has samples of unequal shapes; all need the same. Resize or pad them first."
        ) from None
    axes = 3 if moving else 2
    if values.ndim < axes or not values.size:
        raise MosaicError(
            f"{name} has shape {values.shape}; it needs (samples, "
            f"{'steps, ' if moving else ''}channels) and at least one value."
        )
    if values.dtype not in (np.uint8, np.bool_) and values.dtype.kind != "f":
        raise MosaicError(
            f"{name} holds {values.dtype}; give bytes (0 to 255), bool or floats (0 to 1)."
        )
    if values.dtype.kind == "f" and not ((values >= 0) & (values <= 1)).all():
        raise MosaicError(
            f"{name} lies between {values.min()} and {values.max()}; intensities go from 0 to "
            "1. Scale by the range of the training samples; for signals with a sign there is "
            "growth.encode.delta."
        )
    shape = tuple(int(n) for n in values.shape[axes - 1 :])
    flat = values.reshape(*values.shape[: axes - 1], -1)
    return flat, shape, 255.0 if values.dtype == np.uint8 else 1.0


def _labels(name: str, labels: ArrayLike) -> NDArray[np.int64]:
    values = np.asarray(labels)
    if values.ndim != 1 or values.dtype.kind not in "iu" or (values < 0).any():
        raise MosaicError(
            f"{name} has shape {values.shape} and {values.dtype}; it needs whole numbers from 0, "
            "one for each sample."
        )
    return values.astype(np.int64)
