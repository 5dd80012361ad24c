"""What can be done to samples when they are read: permute, turn or resample their channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Change", "Linear", "Permute", "pad", "resize", "rotate"]

Change = Callable[["NDArray[Any]"], "NDArray[Any]"]
"""What is done to intensities (samples, channels), or (samples, steps, channels)."""

AT_ONCE = 4_000_000
"""Numbers that a linear change holds in double precision at a time: 32 MB."""


@dataclass(frozen=True, eq=False)
class Permute:
    """Channel k of the result is channel ``order[k]`` of the input; also for spikes.

    Examples
    --------
    >>> Permute(np.array([2, 0, 1]))(np.array([[0.1, 0.2, 0.3]])).tolist()
    [[0.3, 0.1, 0.2]]
    """

    order: NDArray[np.int64]

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Permute the last axis."""
        # Four times as fast as indexing the last axis.
        permuted: NDArray[Any] = np.take(values, self.order, axis=-1)
        return permuted


@dataclass(frozen=True, eq=False)
class Linear:
    """Each channel of the result is a weighted sum of channels: ``values @ matrix.T``.

    Computed in double precision and returned as float32, so that weights that add up to one
    leave white white: an intensity of 1 + 1e-16 would be no intensity.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array, (channels of the result, channels)
    """

    matrix: sparse.csr_array

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Apply the matrix to the last axis."""
        flat = values.reshape(-1, values.shape[-1])
        changed = np.empty((len(flat), self.matrix.shape[0]), np.float32)
        rows = max(AT_ONCE // max(self.matrix.shape), 1)
        for start in range(0, len(flat), rows):
            some = slice(start, start + rows)
            changed[some] = (self.matrix @ flat[some].T.astype(np.float64)).T
        return changed.reshape(*values.shape[:-1], changed.shape[-1])


def rotate(shape: tuple[int, ...], degrees: float) -> Linear:
    """Turn images counter-clockwise about their centre, with bilinear interpolation.

    The pixel at (y, x) from the centre takes the value of the image at ``(y cos a + x sin a,
    x cos a - y sin a)``. What lies outside the image is black. The convention is that of
    ``scipy.ndimage.rotate(image, degrees, reshape=False, order=1, mode="grid-constant")``.

    Parameters
    ----------
    shape : tuple of int
        (height, width), or (colours, height, width).
    degrees : float

    Raises
    ------
    MosaicError
        If the channels have no height and width.

    Examples
    --------
    >>> corner = np.array([[1.0, 0.0, 0.0, 0.0]])
    >>> rotate((2, 2), 90)(corner).tolist()
    [[0.0, 0.0, 1.0, 0.0]]
    """
    planes, height, width = _image(shape, "rotate")
    angle = np.deg2rad(degrees)
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    # Rounded, so that quarter turns meet pixels exactly and not by 1e-16 between two.
    from_y = np.round(np.cos(angle) * y + np.sin(angle) * x + (height - 1) / 2, 9)
    from_x = np.round(np.cos(angle) * x - np.sin(angle) * y + (width - 1) / 2, 9)
    low_y, low_x = np.floor(from_y).astype(np.int64), np.floor(from_x).astype(np.int64)
    rows, columns, weights = [], [], []
    for step_y in (0, 1):
        for step_x in (0, 1):
            at_y, at_x = low_y + step_y, low_x + step_x
            weight = (1 - abs(from_y - at_y)) * (1 - abs(from_x - at_x))
            inside = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
            inside &= weight > 0
            rows.append(np.nonzero(inside)[0])
            columns.append((at_y * width + at_x)[inside])
            weights.append(weight[inside])
    plane = sparse.csr_array(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
        shape=(height * width, height * width),
    )
    return _planes(plane, planes)


def resize(shape: tuple[int, ...], side: int) -> Linear:
    """Resample images to `side` x `side` pixels, each the mean over the area that it covers.

    Parameters
    ----------
    shape : tuple of int
        (height, width), or (colours, height, width).
    side : int

    Examples
    --------
    >>> resize((2, 2), 1)(np.array([[0.0, 1.0, 1.0, 0.0]])).tolist()
    [[0.5]]
    """
    planes, height, width = _image(shape, "resize")
    if side < 1:
        raise MosaicError(f"side is {side}; an image needs at least 1 pixel.")
    return _planes(sparse.kron(_area(height, side), _area(width, side), "csr"), planes)


def pad(channels: int, wanted: int) -> Linear:
    """Add channels that are always zero after the others.

    Examples
    --------
    >>> pad(1, 3)(np.array([[0.5]])).tolist()
    [[0.5, 0.0, 0.0]]
    """
    if wanted < channels:
        raise MosaicError(
            f"wanted is {wanted}; samples of {channels} channels need no fewer."
        )
    return Linear(sparse.csr_array(sparse.eye_array(wanted, channels, format="csr")))


def _image(shape: tuple[int, ...], what: str) -> tuple[int, int, int]:
    if len(shape) not in (2, 3):
        raise MosaicError(
            f"shape is {shape}; {what} needs images: (height, width) or (colours, height, width)."
        )
    height, width = shape[-2:]
    return (shape[0] if len(shape) == 3 else 1), height, width


def _planes(matrix: sparse.csr_array, planes: int) -> Linear:
    """One matrix for each colour."""
    return Linear(sparse.csr_array(sparse.block_diag([matrix] * planes, format="csr")))


def _area(length: int, wanted: int) -> NDArray[np.float64]:
    """Share that each of `length` cells has in each of `wanted` over the same distance."""
    edges = np.linspace(0, length, wanted + 1)
    cells = np.arange(length)
    low = np.maximum(edges[:-1, None], cells)
    high = np.minimum(edges[1:, None], cells + 1)
    return np.maximum(high - low, 0) * (wanted / length)
