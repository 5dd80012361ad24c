"""The growth-path experiment: its arithmetic, its training against plain torch, its files."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from growth.initialise import INITIALISATIONS, carry, measure, widen
from growth.paths.stack import Adam, Momentum, Stack, grow
from growth.sequence import leaky

ORDER = (1, 2, 2, 1)


def plain(model, given, leak):
    """Outputs of a module, layer by layer."""
    if leak is None:
        return model(given)
    for layer in model:
        given = layer(given) if isinstance(layer, nn.Linear) else leaky(given, leak)
    return given.mean(0)


@pytest.mark.parametrize("leak", [None, 0.9])
@pytest.mark.parametrize("start", ["gaussian", "seeds", "gradmax"])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_stack_trains_each_network_as_torch_does_by_itself(leak, start, name):
    rng = torch.Generator().manual_seed(5)
    stack = Stack.start([12, 9, 8, 6], [3, 4], leak)
    own = (
        Adam(stack.parameters, 5e-3) if name == "adam" else Momentum(stack.parameters, 0.1, 0.9)
    )
    models = [stack_copy(stack, trial) for trial in range(2)]
    optimisers = [
        torch.optim.Adam(m.parameters(), 5e-3)
        if name == "adam"
        else torch.optim.SGD(m.parameters(), 0.1, momentum=0.9)
        for m in models
    ]
    ours = [torch.Generator().manual_seed(7 + k) for k in range(2)]
    theirs = [torch.Generator().manual_seed(7 + k) for k in range(2)]
    for layer in (None, *ORDER):
        shape = (2, 16, 12) if leak is None else (5, 2, 16, 12)
        given = (torch.rand(shape, generator=rng) < 0.5).float()
        wanted = torch.rand(2, 16, 6, generator=rng)
        each = [given[k] if leak is None else given[:, k] for k in range(2)]
        if layer is not None:
            grow(stack, layer, start, 2, given, wanted, ours)
            own.widen(stack.parameters)
            for k, model in enumerate(models):
                found = measure(model, stack.site(layer), stack.loss(each[k], wanted[k]))
                new = INITIALISATIONS[start](found, 2, theirs[k])
                models[k], stage = widen(model, stack.site(layer), new)
                optimisers[k] = carry(optimisers[k], model, models[k], stage)
        for _ in range(3):
            (stack.scores(given) - wanted).square().mean((1, 2)).sum().backward()
            own.step(stack.parameters)
            for k, model in enumerate(models):
                optimisers[k].zero_grad()
                (plain(model, each[k], leak) - wanted[k]).square().mean().backward()
                optimisers[k].step()
    assert stack.sizes == [12, 13, 12, 6]
    for k, model in enumerate(models):
        alone = [module.weight for module in model if isinstance(module, nn.Linear)]
        for stacked, weight in zip(stack.weights, alone, strict=True):
            torch.testing.assert_close(stacked[k], weight, rtol=1e-3, atol=1e-4)


def stack_copy(stack, trial):
    """A network of the stack with memory of its own."""
    model = stack.module(trial)
    for weight in model.parameters():
        weight.data = weight.data.clone()
    return model
