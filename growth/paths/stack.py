"""Networks of one shape trained side by side: one for each trial, in one batched product.

A network of 10 to 100 neurons spends its time in the calls, not in the products. With the
trials of a cell stacked, a step of training is as many calls as for one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import snntorch
import torch
from snntorch import surrogate
from torch import Tensor, nn

from growth.initialise import (
    INITIALISATIONS,
    LiveReLU,
    NewNeurons,
    Site,
    Statistics,
    measure,
)
from growth.sequence import leaky
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from growth.initialise.site import Loss

__all__ = ["Adam", "Momentum", "Stack", "grow", "padded", "start_neurons"]


@dataclass(eq=False)
class Stack:
    """Fully connected networks of one shape.

    Parameters
    ----------
    weights : list of Tensor, (trials, neurons, sources)
        Of each layer.
    biases : list of Tensor, (trials, neurons)
        Empty for spiking networks: a bias would be one more line on the chip.
    leak : float or None
        Membrane factor of spiking neurons, all layers; None for rectified hidden layers and a
        linear output.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    leak: float | None

    @classmethod
    def start(cls, sizes: Sequence[int], seeds: Sequence[int], leak: float | None) -> Stack:
        """Draw first weights, those of each trial from its own seed.

        Without spikes they are those of `torch.nn.Linear`, with spikes Kaiming's normal
        distribution, as in `growth.layered`.

        Examples
        --------
        >>> [tuple(w.shape) for w in Stack.start([4, 3, 2], seeds=[0, 1], leak=None).weights]
        [(2, 3, 4), (2, 2, 3)]
        """
        weights: list[list[Tensor]] = [[] for _ in sizes[1:]]
        biases: list[list[Tensor]] = [[] for _ in sizes[1:]]
        for seed in seeds:
            rng = torch.Generator().manual_seed(seed)
            for k, (pre, post) in enumerate(pairwise(sizes)):
                if leak is None:
                    bound = pre**-0.5
                    weights[k].append(
                        (torch.rand(post, pre, generator=rng) * 2 - 1) * bound
                    )
                    biases[k].append((torch.rand(post, generator=rng) * 2 - 1) * bound)
                else:
                    draw = torch.randn(post, pre, generator=rng)
                    weights[k].append(draw * (2 / pre) ** 0.5)
        stacked = [torch.stack(each).requires_grad_() for each in weights]
        shifts = [torch.stack(each).requires_grad_() for each in biases if each]
        return cls(stacked, shifts, leak)

    @property
    def sizes(self) -> list[int]:
        """Inputs, hidden layers, outputs."""
        return [self.weights[0].shape[2], *(w.shape[1] for w in self.weights)]

    @property
    def parameters(self) -> list[Tensor]:
        """Weights, then biases."""
        return [*self.weights, *self.biases]

    def layers(self, given: Tensor) -> list[Tensor]:
        """What every layer gives.

        Parameters
        ----------
        given : (trials, samples, inputs) or, of spikes, (steps, trials, samples, inputs)

        Returns
        -------
        list of Tensor, as `given`, with neurons last
        """
        found, now = [], given
        for k, weight in enumerate(self.weights):
            if self.leak is not None:
                now = leaky(now @ weight.mT, self.leak)
            else:
                now = torch.baddbmm(self.biases[k][:, None], now, weight.mT)
                now = now.clamp(min=0) if k + 1 < len(self.weights) else now
            found.append(now)
        return found

    def scores(self, given: Tensor) -> Tensor:
        """Output of each label, (trials, samples, outputs): of spikes, their mean over steps."""
        out = self.layers(given)[-1]
        return out if self.leak is None else out.mean(0)

    def module(self, trial: int) -> nn.Sequential:
        """One of the networks by itself, sharing its weights."""
        parts: list[nn.Module] = []
        for k, weight in enumerate(self.weights):
            post, pre = weight.shape[1:]
            linear: nn.Linear = nn.utils.skip_init(
                nn.Linear, pre, post, bias=bool(self.biases)
            )
            linear.weight = nn.Parameter(weight[trial].detach())
            if self.biases:
                linear.bias = nn.Parameter(self.biases[k][trial].detach())
            parts.append(linear)
            if self.leak is not None:
                parts.append(snntorch.Leaky(self.leak, spike_grad=surrogate.atan()))
            elif k + 1 < len(self.weights):
                parts.append(LiveReLU())
        return nn.Sequential(*parts)

    def site(self, layer: int) -> Site:
        """Where hidden layer 1 or 2 grows, in a `module`."""
        first = 2 * (layer - 1)
        return Site(
            (str(first),), (str(first + 1),), (str(first + 2),),
            steps_first=self.leak is not None,
        )  # fmt: skip

    def loss(self, given: Tensor, wanted: Tensor) -> Loss:
        """Mean square error of a `module` on the samples of one trial.

        Parameters
        ----------
        given : (samples, inputs), or of spikes (steps, samples, inputs)
        wanted : (samples, outputs)
        """

        def loss(model: nn.Module) -> Tensor:
            if self.leak is None:
                return (model(given) - wanted).square().mean()
            now = given
            for layer in model.children():
                # The cells stand for themselves in the site; here they run all steps at once.
                now = (
                    leaky(now, self.leak)
                    if isinstance(layer, snntorch.Leaky)
                    else layer(now)
                )
            return (now.mean(0) - wanted).square().mean()

        return loss

    @torch.no_grad()
    def widen(self, layer: int, new: Sequence[NewNeurons]) -> None:
        """Append new neurons to hidden layer 1 or 2, those of each trial to its network."""
        rows = torch.stack([one.incoming[0] for one in new])
        columns = torch.stack([one.outgoing[0] for one in new])
        k = layer - 1
        self.weights[k] = torch.cat([self.weights[k], rows], 1).requires_grad_()
        self.weights[k + 1] = torch.cat([self.weights[k + 1], columns], 2).requires_grad_()
        if self.biases:
            zeros = rows.new_zeros(rows.shape[:2])
            self.biases[k] = torch.cat([self.biases[k], zeros], 1).requires_grad_()


def start_neurons(
    found: Statistics, start: str, neurons: int, rng: torch.Generator
) -> tuple[NewNeurons, int]:
    """Weights of new neurons, and how many of them are Gaussian for want of directions.

    A start along singular vectors has no more neurons than M has directions, which are fewer
    than asked for when targets are silent on all samples. The rest is then drawn.

    Parameters
    ----------
    found : Statistics
    start : str
    neurons : int
    rng : torch.Generator
    """
    most = neurons
    if start == "gradmax":
        most = min(neurons, found.rank)
    if start not in ("gradmax", "seeds"):
        return INITIALISATIONS[start](found, neurons, rng), 0
    while most:
        try:
            new = INITIALISATIONS[start](found, most, rng)
            break
        except MosaicError:
            # by_seeds: fewer directions can be made to fire.
            most -= 1
    if not most:
        return INITIALISATIONS["gaussian"](found, neurons, rng), neurons
    if most == neurons:
        return new, 0
    rest = INITIALISATIONS["gaussian"](found, neurons - most, rng)
    joined = NewNeurons(
        (torch.cat([new.incoming[0], rest.incoming[0]]),),
        (torch.cat([new.outgoing[0], rest.outgoing[0]], 1),),
        True, new.evidence,
    )  # fmt: skip
    return joined, neurons - most


def grow(
    stack: Stack, layer: int, start: str, neurons: int,
    given: Tensor, wanted: Tensor, generators: Sequence[torch.Generator],
) -> tuple[list[Statistics], list[NewNeurons], int]:  # fmt: skip
    """Widen a layer of every network, from what its samples say.

    Parameters
    ----------
    stack : Stack
        Changed.
    layer : int
        1 or 2.
    start : str
    neurons : int
    given, wanted : Tensor
        Samples of all trials, as `Stack.layers` and `Stack.scores` have them.
    generators : sequence of torch.Generator
        One for each trial.

    Returns
    -------
    what was measured, what was put in, and how many neurons of all were drawn for want of
    directions.
    """
    statistics, started, drawn = [], [], 0
    for trial, rng in enumerate(generators):
        x = given[trial] if stack.leak is None else given[:, trial]
        found = measure(
            stack.module(trial), stack.site(layer), stack.loss(x, wanted[trial])
        )
        new, without = start_neurons(found, start, neurons, rng)
        statistics.append(found)
        started.append(new)
        drawn += without
    stack.widen(layer, started)
    return statistics, started, drawn


def padded(old: Tensor, like: Tensor, value: float = 0.0) -> Tensor:
    """Old entries in the leading corner of a tensor of another shape."""
    new = torch.full_like(like, value, requires_grad=False)
    new[tuple(slice(size) for size in old.shape)] = old
    return new


class Momentum:
    """Stochastic gradient descent with momentum, as ``torch.optim.SGD``; it lives through growth.

    Examples
    --------
    >>> weight = torch.ones(1, requires_grad=True)
    >>> weight.square().sum().backward()
    >>> Momentum([weight], rate=0.25).step([weight])
    >>> weight.tolist()
    [0.5]
    """

    def __init__(self, parameters: Sequence[Tensor], rate: float, momentum: float = 0.0):
        self.rate, self.momentum = rate, momentum
        self.velocity = [torch.zeros_like(p, requires_grad=False) for p in parameters]

    def widen(self, parameters: Sequence[Tensor]) -> None:
        """Go on with parameters that have grown; new entries have no momentum yet."""
        self.velocity = [
            padded(*pair) for pair in zip(self.velocity, parameters, strict=True)
        ]

    @torch.no_grad()
    def step(self, parameters: Sequence[Tensor]) -> None:
        """Follow the gradients of the parameters, and forget them."""
        for p, v in zip(parameters, self.velocity, strict=True):
            assert p.grad is not None
            v.mul_(self.momentum).add_(p.grad)
            p.sub_(v, alpha=self.rate)
            p.grad = None


class Adam:
    """Adam (Kingma and Ba, ICLR 2015) with an age for each entry; it lives through growth.

    The bias correction of an entry counts from its birth, which is what
    `growth.initialise.carry` gives new entries with a tensor of their own.
    """

    def __init__(
        self, parameters: Sequence[Tensor], rate: float,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    ):  # fmt: skip
        self.rate, self.betas, self.eps = rate, betas, eps
        zeros = [torch.zeros_like(p, requires_grad=False) for p in parameters]
        self.first, self.second = zeros, [z.clone() for z in zeros]
        # What b1 and b2 to the power of the age are; alike for all trials.
        self.left = [[torch.ones_like(z[:1]) for z in zeros] for _ in betas]

    def widen(self, parameters: Sequence[Tensor]) -> None:
        """Go on with parameters that have grown; new entries start at age 0."""
        self.first, self.second = (
            [padded(*pair) for pair in zip(moment, parameters, strict=True)]
            for moment in (self.first, self.second)
        )
        self.left = [
            [padded(old, p[:1], 1.0) for old, p in zip(each, parameters, strict=True)]
            for each in self.left
        ]

    @torch.no_grad()
    def step(self, parameters: Sequence[Tensor]) -> None:
        """Follow the gradients of the parameters, and forget them."""
        b1, b2 = self.betas
        for p, m, v, left1, left2 in zip(
            parameters, self.first, self.second, *self.left, strict=True
        ):
            assert p.grad is not None
            m.lerp_(p.grad, 1 - b1)
            v.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            left1.mul_(b1)
            left2.mul_(b2)
            spread = v.sqrt().div_((1 - left2).sqrt_()).add_(self.eps)
            p.addcdiv_(m / (1 - left1), spread, value=-self.rate)
            p.grad = None
