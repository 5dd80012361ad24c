"""Binary masks from real scores, and scores from masks: what all supermask strategies share.

A score belongs to a weight (or to a line, in `route_masks`). The forward pass sees the mask, the
backward pass goes straight through to the scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from growth.metrics.masks import overlap

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Masks", "compare", "fresh_scores", "mask_of", "scores_of", "straight_through"]

Masks = Mapping[str, "Tensor"]
"""Bool mask of each layer, by the name of its weights."""


def fresh_scores(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw scores from U(-1/sqrt(n), 1/sqrt(n)) for n sources.

    Kaiming's uniform distribution with a = sqrt(5), as SupSup and edge-popup have it.

    Parameters
    ----------
    shape : (targets, sources)
    generator : torch.Generator
    """
    return (torch.rand(shape, generator=generator) * 2 - 1) * shape[1] ** -0.5


def mask_of(scores: Tensor, density: float | None = None) -> Tensor:
    """Turn scores into a bool mask.

    Parameters
    ----------
    scores : (targets, sources)
    density : float, optional
        Share of the layer that is kept: the largest scores regardless of sign, rounded to
        whole entries and never none. Without it all scores from 0 on.

    Examples
    --------
    >>> mask_of(torch.tensor([[-3.0, 0.0, 1.0, -2.0]])).tolist()
    [[False, True, True, False]]
    >>> mask_of(torch.tensor([[-3.0, 0.0, 1.0, -2.0]]), density=0.5).tolist()
    [[True, False, False, True]]
    """
    scores = scores.detach()
    if density is None:
        return scores >= 0
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[scores.abs().flatten().topk(kept(scores.numel(), density)).indices] = True
    return mask.reshape(scores.shape)


def kept(size: int, density: float) -> int:
    """Entries of a layer that a density keeps."""
    return max(1, round(density * size))


def straight_through(scores: Tensor, density: float | None = None) -> Tensor:
    """Mask of 0 and 1 in the forward pass; its gradient is that of the scores.

    With a density it is the gradient of their sizes, ``dL/dS = sign(S) dL/dM``: those are what
    is ranked.

    Examples
    --------
    >>> scores = torch.tensor([[-3.0, 1.0]], requires_grad=True)
    >>> straight_through(scores).tolist()
    [[0.0, 1.0]]
    >>> (straight_through(scores) * 7).sum().backward()
    >>> scores.grad.tolist()
    [[7.0, 7.0]]

    References
    ----------
    Ramanujan et al., "What's hidden in a randomly weighted neural network?", CVPR 2020; the
    estimator: Bengio, Leonard and Courville, arXiv:1308.3432, 2013.
    """
    ranked = scores if density is None else scores.abs()
    return mask_of(scores, density).to(scores.dtype) + (ranked - ranked.detach())


def scores_of(mask: Tensor, fresh: Tensor, density: float | None = None) -> Tensor:
    """Give fresh scores the order that leads to a mask, to go on from it without its scores.

    Parameters
    ----------
    mask : bool, (targets, sources)
    fresh : (targets, sources)
        Whose sizes are used.
    density : float, optional
        As the mask was made.

    Examples
    --------
    >>> mask = torch.tensor([[True, False]])
    >>> scores_of(mask, torch.tensor([[-0.1, 0.2]])).tolist()
    [[0.1..., -0.2...]]
    """
    size = fresh.abs()
    if density is None:
        return torch.where(mask, size, -size)
    # The largest go to the mask; signs stay as drawn, since they mean nothing here.
    ranked, drawn = fresh.flatten()[size.flatten().argsort()], fresh.new_empty(mask.numel())
    outside = int(mask.numel() - mask.sum())
    drawn[~mask.flatten()], drawn[mask.flatten()] = ranked[:outside], ranked[outside:]
    return drawn.reshape(mask.shape)


def compare(one: Masks, other: Masks) -> dict[str, Any]:
    """Overlap of two masks, layer by layer, against chance; and all their flips.

    Returns
    -------
    dict
        ``layers``: the fields of `growth.metrics.masks.Overlap` for each; ``flips``: entries
        that are in one of the two only.

    Examples
    --------
    >>> found = compare({"w0": torch.tensor([True, True])}, {"w0": torch.tensor([True, False])})
    >>> found["flips"], found["layers"]["w0"]["jaccard"]
    (1, 0.5)
    """
    layers = {}
    for name, mask in one.items():
        found = asdict(overlap(mask.numpy(), other[name].numpy()))
        layers[name] = found | {"density": list(found["density"])}
    return {"flips": sum(found["flips"] for found in layers.values()), "layers": layers}
