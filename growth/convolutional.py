"""A convolutional network whose weights can be handed in, with dense layers after it.

A crossbar cannot share weights: a neuron at every position of an image has devices of its own,
which hold the same kernel as those of its neighbours. So a kernel is learnt once, kept once in the
host, and counted once for each position wherever devices are: in synapses, in bits on the chip,
and in what learning or a switch rewrites. Where a kernel reaches over the edge of the image, the
weights that would read the zeros there have no devices.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, unfold

from growth.layered import Layered, Weights
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from growth.config import ConvConfig

__all__ = ["Convolutional"]


class Convolutional(Layered):
    """Layers of kernels, then dense ones, of spiking or rectified neurons.

    Neurons of a convolutional layer are numbered filter by filter, row by row. A bias, mean or
    variance belongs to a filter.

    Parameters
    ----------
    inputs : int
        Channels of a square image, colour by colour, row by row.
    conv : ConvConfig
        With one filter at least.
    dense : sequence of int
        Hidden dense layers, outputs.
    leak, generator, spiking, normalise
        As for `Layered`. All layers start from Kaiming's normal distribution, as published for
        residual networks (He et al., ICCV 2015), and biases from 0.

    Raises
    ------
    ConfigError
        If the inputs are no square image.

    Examples
    --------
    >>> from growth.config import ConvConfig
    >>> conv = ConvConfig(filters=(2, 3), strides=(1, 2))
    >>> net = Convolutional(16, conv, [5], leak=0.9, generator=torch.Generator().manual_seed(0))
    >>> net.sizes, {name: tuple(w.shape) for name, w in net.weights.items()}
    ((16, 32, 12, 5), {'w0': (2, 1, 3, 3), 'w1': (3, 2, 3, 3), 'w2': (5, 12)})
    >>> net(torch.ones(4, 1, 16)).shape
    torch.Size([4, 1, 5])
    """

    def __init__(
        self,
        inputs: int,
        conv: ConvConfig,
        dense: Sequence[int],
        *,
        leak: float,
        generator: torch.Generator,
        spiking: bool = True,
        normalise: bool = False,
    ) -> None:
        nn.Module.__init__(self)
        self.leak, self.spiking, self.normalise = leak, spiking, normalise
        self.seen: dict[str, Tensor] = {}
        self.kernel = conv.kernel
        self.strides = conv.strides or (1,) * len(conv.filters)
        self.planes = (conv.planes, *conv.filters)
        self.sides = [side_of(inputs, conv.planes)]
        for stride in self.strides:
            self.sides.append(-(-self.sides[-1] // stride))
        self.taps = [
            taps(side, self.kernel, stride)
            for side, stride in zip(self.sides, self.strides, strict=False)
        ]
        areas = [side * side for side in self.sides]
        maps = [plane * area for plane, area in zip(self.planes, areas, strict=True)]
        self.sizes = (*maps, *dense)
        shapes: list[tuple[int, ...]] = [
            (post, pre, conv.kernel, conv.kernel)
            for pre, post in zip(self.planes, conv.filters, strict=False)
        ]
        shapes += zip(dense, [maps[-1], *dense], strict=False)
        for k, shape in enumerate(shapes):
            weight = torch.randn(shape, generator=generator)
            weight *= (2 / math.prod(shape[1:])) ** 0.5
            self.register_parameter(f"w{k}", nn.Parameter(weight))
            if not spiking:
                self.register_parameter(f"b{k}", nn.Parameter(torch.zeros(shape[0])))

    @property
    def kernels(self) -> int:
        """Number of convolutional layers."""
        return len(self.strides)

    def current(self, k: int, source: Tensor, use: Weights) -> Tensor:
        """Convolve, or sum up as a dense layer does."""
        if k >= self.kernels:
            return super().current(k, source, use)
        found = conv2d(
            self._images(k, source), use[f"w{k}"], use.get(f"b{k}"), self.strides[k],
            self.kernel // 2,
        )  # fmt: skip
        return found.reshape(*source.shape[:2], -1)

    def normalised(self, k: int, current: Tensor, use: Weights) -> Tensor:
        """Normalise each filter over steps, samples and positions."""
        if k >= self.kernels:
            return super().normalised(k, current, use)
        steps, samples, _ = current.shape
        maps = current.view(steps, samples, self.planes[k + 1], -1).transpose(2, 3)
        flat = super().normalised(k, maps.reshape(steps, -1, self.planes[k + 1]), use)
        return flat.view(maps.shape).transpose(2, 3).reshape(current.shape)

    def _images(self, k: int, source: Tensor) -> Tensor:
        """What layer k reads, (steps * samples, planes, rows, columns)."""
        return source.reshape(-1, self.planes[k], self.sides[k], self.sides[k])

    # neuron by neuron ----------------------------------------------------------------------

    def synapses(self, k: int, weight: Tensor) -> tuple[Tensor, NDArray[np.bool_] | None]:
        """Unroll a kernel onto all positions; zeros around the image have no devices."""
        if k >= self.kernels:
            return weight, None
        position, tap = np.nonzero(self.taps[k] >= 0)
        pixel = self.taps[k][position, tap]
        post, pre = self.planes[k + 1], self.planes[k]
        shape = (post, len(self.taps[k]), pre, self.sides[k] ** 2)
        found, present = weight.new_zeros(shape), np.zeros(shape, np.bool_)
        found[:, position, :, pixel] = weight.flatten(2)[:, :, tap].permute(2, 0, 1)
        present[:, position, :, pixel] = True
        flat = (post * shape[1], pre * shape[3])
        return found.view(flat), present.reshape(flat)

    def of_neurons(self, k: int, values: Tensor) -> Tensor:
        """One value for each filter, as one for each neuron."""
        if k >= self.kernels:
            return values
        return values.repeat_interleave(self.sides[k + 1] ** 2)

    def devices(self, k: int, weight: Tensor) -> Tensor:
        """One kernel for each neuron; 0 for what it would read beyond the edge."""
        if k >= self.kernels:
            return weight
        inside = torch.from_numpy(self.taps[k] >= 0).repeat(1, self.planes[k])
        return (weight.detach().flatten(1)[:, None] * inside).flatten(0, 1)

    def acting(self, k: int, source: Tensor, by_current: Tensor) -> tuple[Tensor, Tensor]:
        """Every position uses a kernel once in a step."""
        if k >= self.kernels:
            return source, by_current
        steps, samples, _ = source.shape
        patches = unfold(
            self._images(k, source), self.kernel, padding=self.kernel // 2,
            stride=self.strides[k],
        )  # fmt: skip
        # One use at each step and each position of the image.
        given = patches.view(steps, samples, patches.shape[1], -1).permute(0, 3, 1, 2)
        by = by_current.view(steps, samples, self.planes[k + 1], -1).permute(0, 3, 1, 2)
        return given.flatten(0, 1), by.flatten(0, 1)


def taps(side: int, kernel: int, stride: int) -> NDArray[np.int64]:
    """Pixel that each weight of a kernel reads at each position, (positions, weights); or -1.

    Examples
    --------
    >>> taps(2, 3, 2).tolist()  # one position, its middle on the first of four pixels
    [[-1, -1, -1, -1, 0, 1, -1, 2, 3]]
    """
    start = np.arange(-(-side // stride)) * stride - kernel // 2
    line = start[:, None] + np.arange(kernel)
    row, column = line[:, None, :, None], line[None, :, None, :]
    inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
    pixel = np.where(inside, row * side + column, -1)
    return pixel.reshape(len(start) ** 2, kernel**2)


def side_of(inputs: int, planes: int) -> int:
    """Pixels a side of a square image of so many channels.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> side_of(3 * 32 * 32, planes=3)
    32
    """
    side = math.isqrt(inputs // planes)
    if planes * side * side != inputs:
        raise ConfigError(
            f"conv.filters needs square images, but the stream has {inputs} channels, which are "
            f"not {planes} times a square: set conv.planes, or conv.filters = []."
        )
    return side
