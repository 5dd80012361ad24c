"""What new neurons give on recorded inputs, run as they are.

Neurons with outgoing weights 0 change nothing, so what the network was seen to do without them
stays true, and the new ones can be run by themselves, as often as a search for good incoming
weights likes, without running the network again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import snntorch
import torch
from torch import Tensor, nn

from growth.initialise.layout import as_rows, delayed, push
from growth.initialise.rest import (
    BATCH_NORMS,
    CELLS,
    KEPT,
    NORMS,
    delta_kernel,
    is_depthwise,
    newborn_cell,
)
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from growth.initialise.statistics import Statistics

__all__ = ["new_groups", "newborn", "outgoing_gradient", "respond"]

_TWO_STATES = (snntorch.Synaptic, snntorch.RLeaky)


def respond(found: Statistics, incoming: Sequence[Tensor]) -> Tensor:
    """What new neurons would give on the recorded inputs, from their incoming weights.

    Parameters
    ----------
    found : Statistics
    incoming : sequence of Tensor
        For each source, (k, ...) as its weight. May require gradients.

    Returns
    -------
    Tensor, (steps, samples, k, ...)
        After everything in between, run as it is and not linearised.

    Raises
    ------
    MosaicError
        If new channels cannot be run by themselves, as behind a LayerNorm.
    """
    parts = found.parts
    count = incoming[0].shape[0]
    born = [newborn(module, count, parts.width) for module in parts.between.values()]
    states: dict[int, tuple[Tensor, ...]] = {}
    out = []
    for t in range(found.record.inputs[0].shape[0]):
        now = torch.stack(
            [
                push(module, weight, series[t])
                for module, weight, series in zip(
                    parts.sources.values(), incoming, found.record.inputs, strict=True
                )
            ]
        ).sum(0)
        for i, module in enumerate(born):
            if isinstance(module, CELLS):
                rest = (torch.zeros_like(now),) * (1 + isinstance(module, _TWO_STATES))
                now, *left = module(now, *states.get(i, rest))
                # RLeaky takes its last spikes before its membrane, Synaptic its current.
                states[i] = (
                    (now, *left) if isinstance(module, snntorch.RLeaky) else (*left,)
                )
            else:
                now = module(now)
        out.append(now)
    return torch.stack(out)


def outgoing_gradient(
    found: Statistics, response: Tensor, count: int, *, graph: bool = False
) -> Tensor:
    """Gradient on outgoing weights 0 of `count` neurons that give `response`.

    It is exact for spikes too: the surrogates of the new neurons play no part in it.

    Returns
    -------
    Tensor, (rows of M, count)
    """
    out = []
    for module, delta, delay in zip(
        found.parts.targets.values(), found.record.errors, found.parts.delays, strict=True
    ):
        given = delayed(response, delay).flatten(0, 1).to(delta.dtype)
        weight = module.weight.new_zeros(
            (module.weight.shape[0], given.shape[1], *module.weight.shape[2:]),
            requires_grad=True,
        )
        value = (push(module, weight, given) * delta.flatten(0, 1)).sum()
        (gradient,) = torch.autograd.grad(value, weight, create_graph=graph)
        out.append(gradient)
    return as_rows(out, count)


def newborn(module: nn.Module, count: int, width: int) -> nn.Module:
    """What `module` will be for `count` new channels beside the `width` old ones."""
    if isinstance(module, CELLS):
        return newborn_cell(module)
    if is_depthwise(module):
        return delta_kernel(module, count)
    if isinstance(module, KEPT):
        return nn.Identity()
    if not isinstance(module, NORMS):
        if sum(p.numel() for p in module.parameters()) > 1:
            raise MosaicError(f"{type(module).__name__} has weights that cannot grow here.")
        return module
    if isinstance(module, nn.LayerNorm):
        raise MosaicError(
            "LayerNorm normalises over old and new neurons together, so new ones cannot be run "
            "by themselves. Use BatchNorm or GroupNorm, or grow by_gaussian."
        )
    kind = torch.get_default_dtype() if module.weight is None else module.weight.dtype
    if isinstance(module, nn.GroupNorm):
        groups = new_groups(module, count)
        return nn.GroupNorm(groups, count, module.eps, affine=False).to(kind)
    assert isinstance(module, BATCH_NORMS)
    born = type(module)(
        count * module.num_features // width, module.eps, affine=False,
        track_running_stats=module.track_running_stats,
    )  # fmt: skip
    return born.train(module.training).to(kind)


def new_groups(norm: nn.GroupNorm, count: int) -> int:
    """Return how many groups of the same size `count` channels make.

    Raises
    ------
    MosaicError
        If they fill no whole groups: old channels would then share a group with new ones.
    """
    size = norm.num_channels // norm.num_groups
    if count % size:
        raise MosaicError(
            f"neurons is {count}; a GroupNorm with {size} channels a group needs a multiple of "
            f"{size}, so that no old channel changes its group."
        )
    return count // size
