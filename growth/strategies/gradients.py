"""Gradients of one sample, or of one group of samples, from one pass of a layered network.

A weight acts on every sample alike, so its gradient is a sum over samples of products, each of
what the layer was given and of the gradient of its current: one backward pass to the currents is
enough, and sums within a sample or a group are gradients of that sample or group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from growth.layered import Layer, Layered

__all__ = ["flat", "of_groups", "put", "squares"]


def squares(layers: Sequence[Layer], score: Tensor, net: Layered) -> dict[str, Tensor]:
    """Squared gradients of each sample's own score, summed over samples.

    Parameters
    ----------
    layers : sequence of Layer
        Of one pass; the graph is kept for further scores.
    score : Tensor, (samples,)
        Each depends on its own sample alone.
    net : Layered
        Whose pass it was.

    Returns
    -------
    dict of Tensor
        Of each weight by name, as large as it.

    Examples
    --------
    >>> from growth.layered import Layered
    >>> net = Layered([3, 2], leak=1, spiking=False, generator=torch.Generator().manual_seed(0))
    >>> layers = net.layers(torch.ones(1, 5, 3))
    >>> squares(layers, layers[-1].output.sum((0, 2)), net)["w0"][0].tolist()
    [5.0, 5.0, 5.0]
    """
    found: dict[str, Tensor] = {}
    for k, (layer, by_current) in enumerate(_at_currents(layers, score.sum())):
        source, by_current = net.acting(k, layer.source.detach(), by_current)
        if len(source) == 1:
            total = by_current[0].square().T @ source[0].square()
        else:
            each = by_current.permute(1, 2, 0) @ source.transpose(0, 1)
            total = each.square_().sum(0)
        found[f"w{k}"] = total.view_as(net.weights[f"w{k}"])
        if f"b{k}" in net.weights:
            found[f"b{k}"] = by_current.sum(0).square().sum(0)
    return found


def of_groups(
    layers: Sequence[Layer], losses: Sequence[Tensor], sizes: Sequence[int], net: Layered
) -> Tensor:
    """Gradient of each group's own loss.

    Parameters
    ----------
    layers : sequence of Layer
        Of one pass of the samples of all groups, one group after the other.
    losses : sequence of Tensor, ()
        Each depends on the samples of its own group alone.
    sizes : sequence of int
        Samples of each group.
    net : Layered

    Returns
    -------
    Tensor, (groups, weights)
        Each row in the order of `flat`.
    """
    rows: list[dict[str, Tensor]] = [{} for _ in sizes]
    for k, (layer, by_current) in enumerate(
        _at_currents(layers, torch.stack(list(losses)).sum())
    ):
        given, by_current = net.acting(k, layer.source.detach(), by_current)
        parts = zip(
            rows, given.split(list(sizes), 1),
            by_current.split(list(sizes), 1), strict=True,
        )  # fmt: skip
        for row, source, by in parts:
            row[f"w{k}"] = by.flatten(0, 1).T @ source.flatten(0, 1)
            if f"b{k}" in net.weights:
                row[f"b{k}"] = by.sum((0, 1))
    return torch.stack([flat(row[name] for name in net.weights) for row in rows])


def _at_currents(layers: Sequence[Layer], total: Tensor) -> list[tuple[Layer, Tensor]]:
    """Each layer with the gradient of its current, (steps, samples, neurons)."""
    found = torch.autograd.grad(total, [x.current for x in layers], retain_graph=True)
    return list(zip(layers, found, strict=True))


def flat(parts: Iterable[Tensor]) -> Tensor:
    """All entries one after the other."""
    return torch.cat([part.reshape(-1) for part in parts])


def put(gradient: Tensor, weights: Mapping[str, Tensor]) -> None:
    """Put a flat gradient, (weights,), in place of that of each weight."""
    start = 0
    for weight in weights.values():
        part = gradient[start : start + weight.numel()].view_as(weight)
        start += weight.numel()
        if weight.grad is None:
            weight.grad = part.clone()
        else:
            weight.grad.copy_(part)
