"""A fully connected network whose weights can be handed in: the model of the fixed-size rivals.

Strategies mask, generate or anchor its weights; each calls the same function with its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from growth.blueprint import BIAS, INPUTS, Blueprint, Connection, Population
from growth.sequence import leaky
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layer", "Layered", "Weights"]

Weights = Mapping[str, Tensor]
"""``w0``, ``w1``, ...: (neurons, sources) of each layer; ``b0``, ...: its biases, if any; ``m0``,
``v0``, ...: mean and variance, (neurons,), by which its currents are normalised, if they are."""

EPSILON = 1e-5
"""Added to a variance before its root is taken, as PyTorch's `BatchNorm1d` does."""


class Layer(NamedTuple):
    """One layer in one pass; each part is (steps, samples, neurons), `source` of those before."""

    source: Tensor
    current: Tensor
    output: Tensor


class Layered(nn.Module):
    """Layers of leaky integrate-and-fire or rectified linear neurons.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden layers, outputs.
    leak : float
        Membrane factor of spiking neurons.
    spiking : bool
        Without it hidden neurons are rectified, outputs linear, and every layer has a bias
        (PyTorch's `Linear` and its initial values): for comparison with the literature.
        Spiking layers start from Kaiming's normal distribution and have no bias, since a bias
        is a line on the chip.
    generator : torch.Generator
    normalise : bool
        Whether the currents of hidden layers are normalised (Ioffe and Szegedy, ICML 2015, without
        scale and shift): by the mean and variance that come with the weights, or else by those of
        the samples at hand, which are left in `seen`.

    Examples
    --------
    >>> net = Layered([4, 3, 2], leak=0.9, generator=torch.Generator().manual_seed(0))
    >>> net(torch.ones(5, 1, 4)).shape, sorted(net.weights)
    (torch.Size([5, 1, 2]), ['w0', 'w1'])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        leak: float,
        generator: torch.Generator,
        spiking: bool = True,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise MosaicError(
                f"sizes is {list(sizes)}; a network needs inputs and outputs, 1 each at least."
            )
        self.sizes, self.leak, self.spiking = tuple(sizes), leak, spiking
        self.normalise = normalise
        self.seen: dict[str, Tensor] = {}
        for k, (pre, post) in enumerate(itertools.pairwise(sizes)):
            if spiking:
                weight = torch.randn(post, pre, generator=generator) * (2 / pre) ** 0.5
            else:
                bound = pre**-0.5
                weight = (torch.rand(post, pre, generator=generator) * 2 - 1) * bound
                bias = (torch.rand(post, generator=generator) * 2 - 1) * bound
                self.register_parameter(f"b{k}", nn.Parameter(bias))
            self.register_parameter(f"w{k}", nn.Parameter(weight))

    @property
    def depth(self) -> int:
        """Number of layers of weights."""
        return len(self.sizes) - 1

    @property
    def weights(self) -> dict[str, Tensor]:
        """Its own weights by name."""
        return dict(self.named_parameters())

    def forward(self, given: Tensor, weights: Weights | None = None) -> Tensor:
        """Output spikes, (steps, samples, outputs); of one step without spikes: outputs.

        Parameters
        ----------
        given : (steps, samples, inputs)
        weights : mapping, optional
            Other weights than its own.
        """
        return self.activity(given, weights)[-1]

    def activity(self, given: Tensor, weights: Weights | None = None) -> list[Tensor]:
        """Spikes, or values, of every layer, (steps, samples, neurons)."""
        return [layer.output for layer in self.layers(given, weights)]

    def layers(self, given: Tensor, weights: Weights | None = None) -> list[Layer]:
        """What every layer was given, what that summed up to, and what it answered.

        The gradient of a weight is that of the layer's current times its source, summed over
        steps and samples; without the sum over samples it is the gradient of each sample.
        """
        use = self.weights if weights is None else weights
        found, now = [], given
        for k in range(self.depth):
            source, current = now, self.current(k, now, use)
            if self.normalise and k + 1 < self.depth:
                current = self.normalised(k, current, use)
            if self.spiking:
                now = leaky(current, self.leak)
            elif k + 1 < self.depth:
                now = current.clamp(min=0)
            else:
                now = current
            found.append(Layer(source, current, now))
        return found

    def current(self, k: int, source: Tensor, use: Weights) -> Tensor:
        """What layer k sums up of what it is given, (steps, samples, neurons)."""
        current = source @ use[f"w{k}"].T
        return current + use[f"b{k}"] if f"b{k}" in use else current

    def normalised(self, k: int, current: Tensor, use: Weights) -> Tensor:
        """Currents of layer k with mean 0 and variance 1, (steps, samples, neurons)."""
        if f"m{k}" in use:
            mean, variance = use[f"m{k}"], use[f"v{k}"]
        else:
            variance, mean = torch.var_mean(current, (0, 1), correction=0)
            self.seen |= {f"m{k}": mean.detach(), f"v{k}": variance.detach()}
        return (current - mean) * (variance + EPSILON).rsqrt()

    @torch.no_grad()
    def blueprint(
        self,
        weights: Weights | None = None,
        present: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> Blueprint:
        """What must sit on the chip to compute the same.

        Means and variances become part of weights and biases: a current that is shifted and scaled
        is one of other synapses and of a line that spikes in every step.

        Parameters
        ----------
        weights : mapping, optional
            Other weights than its own.
        present : mapping of bool array, optional
            Where a layer has devices, by the name of its weights; everywhere by default.
        """
        use = self.weights if weights is None else weights
        names = [f"layer {k + 1}" for k in range(self.depth - 1)] + ["out"]
        born = np.cumsum([0, *self.sizes[1:]])
        populations = tuple(
            Population(name, np.arange(born[k], born[k + 1]), self.leak)
            for k, name in enumerate(names)
        )
        connections = []
        for k, (source, target) in enumerate(zip([INPUTS, *names], names, strict=False)):
            there = None if present is None else present.get(f"w{k}")
            weight, bias = use[f"w{k}"], use.get(f"b{k}")
            if f"m{k}" in use:
                scale = (use[f"v{k}"] + EPSILON).rsqrt()
                bias = ((0.0 if bias is None else bias) - use[f"m{k}"]) * scale
                weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
            weight, wired = self.synapses(k, weight.detach())
            values = weight.numpy().astype(np.float32)
            there = wired if there is None else there
            connections.append(Connection(source, target, values, there))
            if bias is not None:
                each = self.of_neurons(k, bias.detach())
                column = each.numpy().astype(np.float32)[:, None]
                connections.append(Connection(BIAS, target, column))
        return Blueprint(self.sizes[0], populations, tuple(connections), self.spiking)

    # what a network that shares weights among neurons does otherwise -----------------------

    def synapses(self, k: int, weight: Tensor) -> tuple[Tensor, NDArray[np.bool_] | None]:
        """Weights of layer k from each of its sources to each of its neurons.

        Returns
        -------
        weight : (neurons, sources)
        present : bool array, (neurons, sources), or None
            Where there are devices; None for everywhere.
        """
        return weight, None

    def of_neurons(self, k: int, values: Tensor) -> Tensor:
        """One value for each row of the weights of layer k, as one for each neuron."""
        return values

    def devices(self, k: int, weight: Tensor) -> Tensor:
        """Weights of layer k as the chip holds them, (neurons, lines), for the meter.

        Every neuron has devices of its own. Lines that no neuron reads may be missing.
        """
        return weight

    def acting(self, k: int, source: Tensor, by_current: Tensor) -> tuple[Tensor, Tensor]:
        """Every use of a weight of layer k: what it was given, and the gradient of its sum.

        Returns
        -------
        source : (uses, samples, lines)
        by_current : (uses, samples, rows)
            The gradient of the weights, (rows, lines), is the sum of the products over uses and
            samples.
        """
        return source, by_current
