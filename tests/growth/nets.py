"""Small networks to grow, and the same networks built larger from the start, as oracles."""

import copy

import snntorch
import torch
from snntorch import surrogate
from torch import nn
from torch.nn import functional

from growth.initialise import LiveReLU, Site

STEPS, SAMPLES, INPUTS, HIDDEN, CLASSES = 10, 8, 7, 6, 4
CELLS = {
    "Leaky": lambda width, **how: snntorch.Leaky(beta=0.9, **how),
    "Synaptic": lambda width, **how: snntorch.Synaptic(alpha=0.6, beta=0.8, **how),
    "RLeaky": lambda width, **how: snntorch.RLeaky(beta=0.8, linear_features=width, **how),
    "RLeaky, one to one": lambda width, **how: snntorch.RLeaky(
        beta=0.7, all_to_all=False, V=0.4, **how
    ),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def fill(model, seed=0, spiking=False):
    """Weights from a seed, so that the constructor's own do not matter."""
    rng = generator(seed)
    for weight in model.parameters():
        if weight.dim() > 1:
            values = torch.randn(weight.shape, generator=rng, dtype=torch.float64)
            spread = (2.0 if spiking else 1.0) / weight[0].numel() ** 0.5
            weight.data.copy_(spread * (values.abs() if spiking else values))
        elif weight.dim() == 1:
            weight.data.copy_(0.1 * torch.randn(weight.shape, generator=rng))
    return model


class Spiking(nn.Module):
    """Linear, cell, Linear, Leaky: the loss is taken on spikes and membranes of the last."""

    def __init__(self, cell="Leaky", hidden=HIDDEN, out_delay=0, **how):
        super().__init__()
        self.into = nn.Linear(INPUTS, hidden)
        self.cell = CELLS[cell](hidden, spike_grad=surrogate.atan(), **how)
        self.out = nn.Linear(hidden, CLASSES)
        self.last = snntorch.Leaky(beta=0.9, spike_grad=surrogate.atan())
        self.states = 1 if isinstance(self.cell, snntorch.Leaky) else 2
        self.out_delay = out_delay

    def forward(self, spikes):
        """Spike counts of the last cell, and how often the hidden one fired."""
        hidden = torch.zeros(spikes.shape[1], self.into.out_features)
        states, voltage = [hidden.clone() for _ in range(self.states)], None
        line = [hidden] * self.out_delay
        voltage = torch.zeros(spikes.shape[1], CLASSES)
        counts, fired = 0, 0
        for now in spikes:
            spike, *states = self.cell(self.into(now), *states)
            if isinstance(self.cell, snntorch.RLeaky):
                states = [spike, *states]
            line.append(spike)
            fired = fired + spike.detach().sum()
            out, voltage = self.last(self.out(line.pop(0)), voltage)
            counts = counts + out + 0.3 * voltage
        self.fired = float(fired)
        return counts


def spikes_and_targets(seed=0, steps=STEPS):
    rng = generator(seed + 100)
    spikes = (torch.rand(steps, SAMPLES, INPUTS, generator=rng) < 0.4).float()
    return spikes, torch.randint(CLASSES, (SAMPLES,), generator=rng)


def spiking_loss(seed=0):
    spikes, targets = spikes_and_targets(seed)
    return lambda net: functional.cross_entropy(net(spikes) / STEPS, targets)


SPIKING = Site(("into",), ("cell",), ("out",))


def mlp(hidden=HIDDEN, activation=LiveReLU, dtype=torch.float64, bias=True):
    return nn.Sequential(
        nn.Linear(INPUTS, hidden, bias), activation(), nn.Linear(hidden, CLASSES, bias)
    ).to(dtype)


def values_loss(seed=0, shape=(SAMPLES, INPUTS), dtype=torch.float64):
    rng = generator(seed + 200)
    values = torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype)

    def loss(net):
        out = net(values).flatten(1)
        targets = torch.arange(len(out)) % out.shape[1]
        return functional.cross_entropy(out, targets)

    return loss


def larger(small, big, weights):
    """Put the weights of a network into the leading corner of a larger one, 0 elsewhere.

    `weights`, by name, go in the last columns instead. This is the oracle of `widen`.
    """
    there = dict(small.named_parameters())
    for name, weight in big.named_parameters():
        old = there[name].detach()
        weight.data.zero_()
        weight.data[tuple(slice(0, size) for size in old.shape)] = old
        if name in weights:
            new = weights[name]
            weight.data[: new.shape[0], old.shape[1] :] = new
    return copy.deepcopy(big)


def close(a, b, tolerance=1e-5):
    """Whether two tensors differ by no more than a share of the largest entry."""
    assert a.shape == b.shape
    assert float(b.abs().max()) > 1e-9
    return bool((a - b).abs().max() <= tolerance * b.abs().max())
