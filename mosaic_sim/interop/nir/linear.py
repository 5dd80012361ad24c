"""Nodes of NIR between neurons, as matrices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from mosaic_sim.interop import maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from mosaic_sim.interop.nir.graph import Node

    Shape = tuple[int, ...]

__all__ = ["MAPS", "Map"]


class Map(NamedTuple):
    """What a linear node does.

    Parameters
    ----------
    matrix : sparse matrix, (values out, values in), or None for the identity
    shape : tuple of int
        Of what it puts out.
    constant : float array, (values out,), or number
        What it adds.
    """

    matrix: Any
    shape: tuple[int, ...]
    constant: Any = 0


def _dense(node: Node, shape: Shape) -> Map:
    weight = node.numbers("weight")
    if weight.ndim != 2:
        raise node.error(f"weight has shape {weight.shape}; it needs (outputs, inputs).")
    if shape != weight.shape[1:]:
        raise node.error(
            f"it reads {weight.shape[1]} values, but values of shape {shape} arrive. Put a "
            "Flatten before it if it is missing."
        )
    return Map(maps.dense(weight), weight.shape[:1], _bias(node, weight.shape[0]))


def _bias(node: Node, channels: int, each: int = 1) -> Any:
    if node.kind == "Linear":
        return 0
    bias = node.numbers("bias", 0.0).ravel()
    if bias.size not in (1, channels):
        raise node.error(f"bias has {bias.size} numbers; it needs {channels}.")
    return np.repeat(np.broadcast_to(bias, (channels,)), each)


def _scale(node: Node, shape: Shape) -> Map:
    return Map(sp.diags_array(node.each("scale", shape)).tocsr(), shape)


def _conv(node: Node, shape: Shape) -> Map:
    axes = {"Conv1d": 1, "Conv2d": 2}[node.kind]
    weight = node.numbers("weight")
    if weight.ndim != axes + 2:
        raise node.error(
            f"weight has shape {weight.shape}; it needs {axes + 2} axes: channels out, channels "
            "in, kernel."
        )
    if len(shape) != axes + 1:
        raise node.error(
            f"values of shape {shape} arrive; it needs channels and {axes} more."
        )
    stride = node.whole("stride", axes, 1)
    dilation = node.whole("dilation", axes, 1)
    groups = node.whole("groups", axes, 1)[0]  # one for each axis in older files
    if min(*stride, *dilation, groups) < 1 or weight.shape[0] % groups:
        raise node.error(
            "stride, dilation and groups must be at least 1, and groups must divide the "
            f"{weight.shape[0]} channels out."
        )
    padding, cut = _padding(node, weight.shape[2:], stride, dilation)
    matrix, out = maps.conv(weight, shape, stride, padding, dilation, groups)
    if any(cut):
        rows = np.arange(math.prod(out)).reshape(out)
        rows = rows[(slice(None), *(slice(n, None) for n in cut))]
        matrix, out = matrix[rows.ravel()], rows.shape
    return Map(matrix, out, _bias(node, out[0], math.prod(out[1:])))


def _padding(
    node: Node, kernel: Shape, stride: Shape, dilation: Shape
) -> tuple[Shape, Shape]:
    """Return by how much to pad both ends of each axis, and how many first windows to drop."""
    named = node.data.padding
    named = named.decode() if isinstance(named, bytes) else named
    if not isinstance(named, str):
        return node.whole("padding", len(kernel), 0), (0,)
    if named not in ("valid", "same") or (named == "same" and max(stride) > 1):
        raise node.error(
            f"padding is {named!r} and stride {stride}; it needs 'valid', 'same' with a stride of "
            "1, or numbers."
        )
    wide = [d * (k - 1) * (named == "same") for d, k in zip(dilation, kernel, strict=True)]
    # Of an odd number torch has the larger half at the far end: pad both ends by that much, and
    # drop the window that begins too early.
    return tuple(-(-n // 2) for n in wide), tuple(n % 2 for n in wide)


def _pool(node: Node, shape: Shape) -> Map:
    if len(shape) != 3:
        raise node.error(
            f"values of shape {shape} arrive; it needs (channels, height, width)."
        )
    kernel = node.whole("kernel_size", 2)
    stride = node.whole("stride", 2)
    if min(*kernel, *stride) < 1:
        raise node.error("kernel_size and stride must be at least 1.")
    scale = 1.0 if node.kind == "SumPool2d" else 1 / math.prod(kernel)
    return Map(*maps.pool(shape, kernel, stride, node.whole("padding", 2, 0), scale))


def _flatten(node: Node, shape: Shape) -> Map:
    start, end = (int(getattr(node.data, name)) for name in ("start_dim", "end_dim"))
    first, last = (n + len(shape) if n < 0 else n for n in (start, end))
    if not 0 <= first <= last < len(shape):
        raise node.error(
            f"start_dim {start} to end_dim {end} are not axes of values of shape {shape}."
        )
    flat = math.prod(shape[first : last + 1])
    return Map(None, (*shape[:first], flat, *shape[last + 1 :]))


def _same(node: Node, shape: Shape) -> Map:
    return Map(None, shape)


MAPS: dict[str, Callable[[Node, Shape], Map]] = {
    "Affine": _dense,
    "Linear": _dense,
    "Scale": _scale,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
    "Output": _same,
    "Port": _same,
}
"""Readers of linear nodes: from the node and the shape that arrives to what it does."""
