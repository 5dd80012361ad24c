"""Linear maps as sparse matrices: what the layers between two layers of neurons compute.

A map from a tensor of shape (C, H, W) to another is a matrix with one row for each output and
one column for each input, both in row-major order; maps are composed by multiplying them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Shape = tuple[int, ...]

__all__ = ["conv", "dense", "pool", "windows"]


def dense(weight: ArrayLike) -> Any:
    """Return the matrix of a linear layer, (outputs, inputs); zeros are no synapses."""
    return sp.csr_array(np.asarray(weight))


def conv(
    weight: ArrayLike,
    shape: Shape,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> tuple[Any, Shape]:
    """Return the matrix of a convolution over 1 or 2 axes, and the shape of its output.

    Parameters
    ----------
    weight : array, (channels out, channels in / groups, kernel...)
        As in torch: the kernel is not flipped.
    shape : (channels in, size...)
    stride, padding, dilation : one number for each axis
        Padding is with zeros, on both ends.

    Examples
    --------
    >>> matrix, shape = conv([[[1.0, 2.0]]], (1, 3), [1], [0], [1])
    >>> shape, matrix.toarray().tolist()
    ((1, 2), [[1.0, 2.0, 0.0], [0.0, 1.0, 2.0]])
    """
    kernel = np.asarray(weight)
    out, per_group = kernel.shape[:2]
    if len(shape) != kernel.ndim - 1 or shape[0] != per_group * groups:
        raise MosaicError(
            f"A convolution with weights of shape {kernel.shape} and {groups} groups cannot read "
            f"values of shape {shape}."
        )
    inside, place, size = windows(shape[1:], kernel.shape[2:], stride, padding, dilation)
    area, area_out = math.prod(shape[1:]), math.prod(size)
    spot, tap = np.nonzero(inside)
    rows, columns, values = [], [], []
    for o in range(out):
        group = o // (out // groups)
        for i in range(per_group):
            rows.append(o * area_out + spot)
            columns.append((group * per_group + i) * area + place[spot, tap])
            values.append(kernel[o, i].ravel()[tap])
    matrix = _sparse(rows, columns, values, (out * area_out, shape[0] * area))
    return matrix, (out, *size)


def pool(
    shape: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    scale: float,
) -> tuple[Any, Shape]:
    """Return the matrix that adds up windows of each channel, times `scale`, and its shape."""
    inside, place, size = windows(shape[1:], kernel, stride, padding, [1] * len(kernel))
    area, area_out = math.prod(shape[1:]), math.prod(size)
    spot, tap = np.nonzero(inside)
    rows = [c * area_out + spot for c in range(shape[0])]
    columns = [c * area + place[spot, tap] for c in range(shape[0])]
    values = [np.full(spot.size, scale, np.float32)] * shape[0]
    matrix = _sparse(rows, columns, values, (shape[0] * area_out, shape[0] * area))
    return matrix, (shape[0], *size)


def windows(
    size: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[NDArray[np.bool_], NDArray[np.int64], Shape]:
    """Return which input each tap of each window reads.

    Returns
    -------
    inside : bool array, (windows, taps)
        False where a tap lies in the padding.
    place : int64 array, (windows, taps)
        Input in row-major order.
    size : tuple of int
        Windows along each axis.
    """
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        raise MosaicError(f"A window of {tuple(kernel)} does not fit into {tuple(size)}.")
    spots, taps = np.indices(out), np.indices(tuple(kernel))
    inside = np.ones((math.prod(out), math.prod(kernel)), bool)
    place = np.zeros(inside.shape, np.int64)
    for axis, n in enumerate(size):
        start = spots[axis].ravel() * stride[axis] - padding[axis]
        at = start[:, None] + taps[axis].ravel() * dilation[axis]
        inside &= (at >= 0) & (at < n)
        place = place * n + at
    return inside, place, out


def _sparse(rows: Any, columns: Any, values: Any, shape: Shape) -> Any:
    matrix = sp.csr_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=shape,
    )
    matrix.eliminate_zeros()
    return matrix
