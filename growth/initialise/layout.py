"""How the weights of layers lie in the rows and columns of M.

A column of M is one number that a source reads for an output: an input of a Linear, an input
channel at one position of the kernel of a Conv2d. A row is one number by which a target reads a
new channel: an output, at one position of the kernel, or of the image that a Flatten unrolled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad, unfold

from mosaic_sim.errors import MosaicError

__all__ = [
    "as_columns", "as_rows", "delayed", "from_columns", "from_rows", "outer", "push", "unfolded",
]  # fmt: skip


def push(module: Any, weight: Tensor, given: Tensor) -> Tensor:
    """Apply a layer with other weights and without its bias."""
    if isinstance(module, nn.Conv2d):
        return module._conv_forward(given, weight, None)
    return linear(given, weight)


def unfolded(module: Any, series: Tensor) -> Tensor:
    """All that one output of a source reads: (steps, samples, columns, positions...)."""
    if not isinstance(module, nn.Conv2d):
        return series
    images = series.flatten(0, 1)
    if module.padding_mode != "zeros":
        images = pad(
            images, module._reversed_padding_repeated_twice, mode=module.padding_mode
        )
    elif isinstance(module.padding, str):
        images = pad(images, module._reversed_padding_repeated_twice)
    else:
        high, wide = module.padding
        images = pad(images, (wide, wide, high, high))
    size, stride, spread = module.kernel_size, module.stride, module.dilation
    shape = [
        (images.shape[2 + i] - spread[i] * (size[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    ]
    columns = unfold(images, size, dilation=spread, stride=stride)
    return columns.reshape(*series.shape[:2], -1, *shape)


def outer(module: Any, delta: Tensor, columns: Tensor) -> Tensor:
    """Derivative of a target's weights if its inputs were `columns`, (rows, columns)."""
    count = columns.shape[2]
    columns = columns.to(delta.dtype)
    if not isinstance(module, nn.Conv2d):
        places = columns[..., None] if columns.dim() == 3 else columns.flatten(3)
        return torch.einsum("tbo,tbcp->opc", delta, places).flatten(0, 1)
    if columns.dim() != 5:
        raise MosaicError("A Conv2d target needs images from its source.")
    shape = (module.weight.shape[0], count, *module.kernel_size)
    weight = module.weight.new_zeros(shape, requires_grad=True)
    # The convolution itself knows its stride, padding and dilation best.
    value = (push(module, weight, columns.flatten(0, 1)) * delta.flatten(0, 1)).sum()
    return as_rows(torch.autograd.grad(value, weight), count)


def as_rows(weights: Iterable[Tensor], count: int) -> Tensor:
    """Bring the targets' weights of `count` channels to the rows of M, (rows, count)."""
    return torch.cat([_rows(weight, count) for weight in weights])


def from_rows(matrix: Tensor, targets: Sequence[Any], width: int) -> tuple[Tensor, ...]:
    """Bring (rows of M, k) to weights of k new channels for each target.

    `width` is the number of channels that the targets have now.
    """
    out, count, start = [], matrix.shape[1], 0
    for module in targets:
        post, _, *kernel = module.weight.shape
        places = places_of(module, width)
        size = rows_of(module, width)
        part = matrix[start : start + size]
        if kernel:
            out.append(part.reshape(post, *kernel, count).movedim(-1, 1).contiguous())
        else:
            each = part.reshape(post, places, count).transpose(1, 2)
            out.append(each.reshape(post, count * places))
        start += size
    return tuple(out)


def places_of(module: Any, width: int) -> int:
    """Columns that a target has for each of `width` channels: more than 1 after a Flatten."""
    return max(module.weight.shape[1] // max(width, 1), 1)


def rows_of(module: Any, width: int) -> int:
    """Rows of M that belong to a target."""
    post, _, *kernel = module.weight.shape
    return int(post * places_of(module, width) * torch.Size(kernel).numel())


def as_columns(weights: Iterable[Tensor]) -> Tensor:
    """Bring the sources' weights to the columns of M, (neurons, columns)."""
    return torch.cat([weight.flatten(1) for weight in weights], dim=1)


def from_columns(matrix: Tensor, sources: Sequence[Any]) -> tuple[Tensor, ...]:
    """Bring (k, columns of M) to weights of k neurons for each source."""
    shapes = [module.weight.shape[1:] for module in sources]
    parts = matrix.split([shape.numel() for shape in shapes], dim=1)
    return tuple(p.reshape(-1, *shape) for p, shape in zip(parts, shapes, strict=True))


def delayed(series: Tensor, steps: int | Tensor, *, ahead: bool = False) -> Tensor:
    """Shift a series in time, by a number or by one for each feature; 0 where nothing is.

    Parameters
    ----------
    series : (steps, samples, features, ...)
    steps : int or int tensor, (features,)
    ahead : bool
        Whether to shift against time.

    Examples
    --------
    >>> delayed(torch.arange(1.0, 4.0).reshape(3, 1, 1), 1).flatten()
    tensor([0., 1., 2.])
    """
    each = torch.as_tensor(steps)
    if bool((each < 0).any()):
        raise MosaicError(f"A delay is {int(each.min())} steps; it has to be 0 or more.")
    if not bool(each.any()):
        return series
    out = torch.zeros_like(series)
    for step in each.unique().tolist():
        kept = max(len(series) - step, 0)
        late = out[step:] if not ahead else out[:kept]
        early = series[:kept] if not ahead else series[step:]
        if each.dim():
            late[:, :, each == step] = early[:, :, each == step]
        else:
            late[:] = early
    return out


def _rows(weight: Tensor, count: int) -> Tensor:
    if weight.dim() == 4:
        return weight.permute(0, 2, 3, 1).flatten(0, 2)
    if not count:
        return weight
    return weight.unflatten(1, (count, -1)).transpose(1, 2).flatten(0, 1)
