"""An optimiser that lives through growth.

Old entries keep their moments. New entries get tensors of their own, views on their part of the
grown weight: so they start with no moments and, in Adam, with step 0. Padding the old tensor
instead would keep its step count, and the first update of a new weight would be
``(1 - b1) / sqrt(1 - b2)`` = 3.16 learning rates. A tensor for each stage also allows a learning
rate for each stage, or to leave one out.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from growth.initialise.widen import Stage

__all__ = ["adapt_rates", "carry"]

Block = tuple[str, tuple[tuple[int, int], ...]]
"""A parameter by name, and the range of a part of it in every dimension."""


def carry(
    optimiser: torch.optim.Optimizer, model: nn.Module, grown: nn.Module, stage: Stage
) -> torch.optim.Optimizer:
    """Return an optimiser for a grown model that goes on where the old one was.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        Of `model`; SGD, Adam, AdamW or any other that keeps a state for each tensor.
    model : nn.Module
    grown : nn.Module
        From `growth.initialise.widen`, on the device where it will stay.
    stage : Stage
        The same.

    Returns
    -------
    torch.optim.Optimizer
        Of the same class and settings, with the moments of all old entries. New entries have a
        group for each parameter, with the settings of its old part and the number of the stage
        as ``group["stage"]``. It is used as any other; after `load_state_dict` of a checkpoint
        too. A learning rate scheduler has to be made anew.

    Raises
    ------
    MosaicError
        If the optimiser is not of `model`, or takes one group only.

    Notes
    -----
    Gradients of the parts are views on the gradient of the weight, so clipping either clips both.

    Examples
    --------
    >>> from growth.initialise import NewNeurons, Site, widen
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> adam = torch.optim.Adam(net.parameters(), 1e-3)
    >>> new = NewNeurons((torch.zeros(1, 3),), (torch.ones(2, 1),), True, {})
    >>> grown, stage = widen(net, Site(("0",), ("1",), ("2",)), new)
    >>> adam = carry(adam, net, grown, stage)
    >>> [group["stage"] for group in adam.param_groups]
    [0, 1, 1, 1]
    """
    names = {id(weight): name for name, weight in model.named_parameters()}
    weights = dict(grown.named_parameters())
    number = 1 + max(group.get("stage", 0) for group in optimiser.param_groups)
    parts: dict[str, list[tuple[Block, Tensor]]] = {name: [] for name in weights}
    groups: list[dict[str, Any]] = []
    fresh: list[dict[str, Any]] = []
    state: list[tuple[Tensor, dict[str, Any]]] = []
    for group in optimiser.param_groups:
        settings = {
            k: v for k, v in group.items() if k not in ("params", "blocks", "param_names")
        }
        settings["stage"] = group.get("stage", 0)
        blocks = _blocks(group, names)
        tensors = []
        for (name, ranges), old in zip(blocks, group["params"], strict=True):
            if name not in weights:
                raise MosaicError(
                    f"The grown model has no parameter {name!r}; was it widened?"
                )
            tensors.append(_part(weights[name], (name, ranges), parts))
            if old in optimiser.state:
                state.append((tensors[-1], optimiser.state[old]))
            if settings["stage"] == 0 and name in stage.shapes:
                for block in _added(name, *stage.shapes[name]):
                    tensor = _part(weights[name], block, parts)
                    fresh.append(
                        settings | {"params": [tensor], "blocks": [block], "stage": number}
                    )
        groups.append(settings | {"params": tensors, "blocks": blocks})
    kind: Any = type(optimiser)
    known = inspect.signature(kind.__init__).parameters
    defaults = {key: value for key, value in optimiser.defaults.items() if key in known}
    try:
        carried: torch.optim.Optimizer = kind(groups + fresh, **defaults)
    except ValueError as error:
        raise MosaicError(f"{kind.__name__} cannot be carried over: {error}.") from error
    for tensor, kept in state:
        carried.state[tensor] = {
            key: value.clone() if isinstance(value, Tensor) else value
            for key, value in kept.items()
        }
    for name, there in parts.items():
        if there and there[0][1] is not weights[name]:
            _tie(weights[name], there)
    return carried


def adapt_rates(optimiser: torch.optim.Optimizer) -> None:
    """Give each stage the learning rate ``lr_t = lr_0 |W_t| / |W_0|``, in Frobenius norms.

    W_t is what stage t added to a weight and W_0 what was there at first. Call it after each
    epoch. Parts that are still 0, and biases, keep the rate of the first stage: the rule would
    never let them learn.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        From `carry`.

    Raises
    ------
    MosaicError
        If it is not from `carry`.

    Notes
    -----
    Source: Yuan, Savarese and Maire, NeurIPS 2023, learning rate adaptation.

    Examples
    --------
    >>> from growth.initialise import NewNeurons, Site, widen
    >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    >>> _ = [weight.data.fill_(2.0) for weight in net.parameters()]
    >>> sgd = torch.optim.SGD(net.parameters(), 0.1)
    >>> new = NewNeurons((torch.ones(1, 1),), (torch.zeros(1, 1),), True, {})
    >>> sgd = carry(sgd, net, *widen(net, Site(("0",), (), ("1",)), new))
    >>> adapt_rates(sgd)
    >>> [group["lr"] for group in sgd.param_groups]
    [0.1, 0.05, 0.1]
    """
    first: dict[str, tuple[float, float]] = {}
    for group in optimiser.param_groups:
        if "blocks" not in group:
            raise MosaicError(
                "This optimiser has no stages; adapt_rates takes one from carry."
            )
        if group["stage"] == 0:
            for (name, _), part in zip(group["blocks"], group["params"], strict=True):
                first[name] = (float(part.detach().norm()), group["lr"])
    for group in optimiser.param_groups:
        if group["stage"]:
            norm, rate = first[group["blocks"][0][0]]
            part = group["params"][0].detach()
            share = float(part.norm()) / norm if norm and part.dim() > 1 else 0.0
            group["lr"] = rate * (share or 1.0)


def _blocks(group: dict[str, Any], names: dict[int, str]) -> list[Block]:
    """What the tensors of a group are: from `carry`, or parameters of the model."""
    if "blocks" in group:
        return [
            (name, tuple((a, b) for a, b in ranges)) for name, ranges in group["blocks"]
        ]
    if any(id(weight) not in names for weight in group["params"]):
        raise MosaicError(
            "This optimiser holds tensors that are not parameters of the model."
        )
    return [
        (names[id(weight)], tuple((0, size) for size in weight.shape))
        for weight in group["params"]
    ]


def _added(name: str, old: Sequence[int], new: Sequence[int]) -> list[Block]:
    """Return the rectangles that `new` has beyond its leading corner `old`."""
    return [
        (
            name,
            tuple(
                (0, new[d]) if d < axis else (old[d], new[d]) if d == axis else (0, old[d])
                for d in range(len(new))
            ),
        )
        for axis in range(len(new))
        if new[axis] > old[axis]
    ]


def _part(
    weight: Tensor, block: Block, parts: dict[str, list[tuple[Block, Tensor]]]
) -> Tensor:
    """Return the parameter itself, or a tensor that shares the memory of a part of it."""
    name, ranges = block
    if all(part == (0, size) for part, size in zip(ranges, weight.shape, strict=True)):
        parts[name].append((block, weight))
        return weight
    view = weight.detach()[tuple(slice(*part) for part in ranges)]
    tensor = nn.Parameter(view, requires_grad=weight.requires_grad)
    parts[name].append((block, tensor))
    return tensor


def _tie(weight: Tensor, parts: list[tuple[Block, Tensor]]) -> None:
    """Let each part's gradient be a view on that of the weight, whatever sets it to None."""
    if not weight.requires_grad:
        return

    def before(gradient: Tensor) -> None:
        if all(part.grad is None for _, part in parts):  # zero_grad of the optimiser
            weight.grad = None

    def after(whole: Tensor) -> None:
        assert whole.grad is not None
        for (_, ranges), part in parts:
            part.grad = whole.grad[tuple(slice(*each) for each in ranges)]

    weight.register_hook(before)
    weight.register_post_accumulate_grad_hook(after)
