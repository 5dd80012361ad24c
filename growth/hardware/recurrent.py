"""A recurrent layer of leaky neurons through all steps in one call, for training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from growth import _kernels
from growth.sequence import SLOPES
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Callable

    from growth.sequence import Surrogate

__all__ = ["recurrent_leaky"]


FEW = 0.1
"""Share of neurons that fire below which going from spike to spike beats a product."""


class _Rule(NamedTuple):
    surrogate: Surrogate
    slope: float
    noise: Callable[[Tensor], Tensor] | None


def recurrent_leaky(
    current: Tensor,
    weight: Tensor,
    beta: Tensor,
    threshold: Tensor,
    *,
    surrogate: Surrogate = "atan",
    slope: float | None = None,
    noise: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a recurrent layer of leaky integrate-and-fire neurons from rest through all steps.

    One step is that of ``snntorch.RLeaky`` (1.0.0) with reset by subtraction, the float
    operations in the same order::

        v[t] = beta * v[t-1] + current[t] + weight @ s[t-1] - s[t-1] * threshold
        s[t] = v[t] > threshold

    With u = v - threshold and s' the surrogate's slope at u, the backward pass goes once from
    the last step to the first, G being the gradient of the loss by v, and by `current`::

        D[t] = dL/ds[t] + weight^T G[t+1]
        G[t] = s'[t] * D[t] + dL/dv[t] + beta * G[t+1]

    The gradient by `weight` is one product over all steps and samples, ``sum_t G[t] s[t-1]^T``;
    that by `beta` ``sum_t G[t] v[t-1]``, by `threshold` ``-sum_t s'[t] D[t] + s[t-1] G[t]``. The
    reset carries no other gradient, as in snnTorch.

    Parameters
    ----------
    current : float32 or float64 tensor, (steps, samples, neurons), in units of the threshold
    weight : tensor of that dtype, (neurons, neurons)
        From column to row.
    beta, threshold : tensors of that dtype, () or (neurons,)
        Membrane factor of a step, 0 to 1; firing threshold, finite and above 0.
    surrogate : "atan" or "fast_sigmoid"
    slope : float, optional
        Of the surrogate; 2 for atan and 25 for the fast sigmoid unless given.
    noise : callable, optional
        Given s[t-1], (samples, neurons), it returns what is added to the input of step t; from
        the second step on, and without a gradient.

    Returns
    -------
    spikes, membranes : tensors, (steps, samples, neurons)

    Raises
    ------
    MosaicError
        For other shapes or dtypes, or a beta, threshold, surrogate or slope out of range.

    Examples
    --------
    >>> current = torch.full((3, 1, 2), 0.75)
    >>> weight = torch.tensor([[0.0, 0.0], [0.5, 0.0]])
    >>> spikes, _ = recurrent_leaky(current, weight, torch.tensor(0.5), torch.tensor(1.0))
    >>> spikes[:, 0].tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """
    if current.ndim != 3 or current.dtype not in (torch.float32, torch.float64):
        raise MosaicError(
            f"current has shape {tuple(current.shape)} and dtype {current.dtype}; "
            "it needs (steps, samples, neurons) in float32 or float64."
        )
    neurons = current.shape[-1]
    for name, value, shapes in (
        ("weight", weight, [(neurons, neurons)]), ("beta", beta, [(), (neurons,)]),
        ("threshold", threshold, [(), (neurons,)]),
    ):  # fmt: skip
        if tuple(value.shape) not in shapes or value.dtype != current.dtype:
            wanted = " or ".join(str(shape) for shape in shapes)
            raise MosaicError(
                f"{name} has shape {tuple(value.shape)} and dtype {value.dtype}; it needs "
                f"{wanted} in {current.dtype}."
            )
    if not bool(((beta >= 0) & (beta <= 1)).all()):
        raise MosaicError("beta must lie between 0 and 1.")
    if not bool((threshold.isfinite() & (threshold > 0)).all()):
        raise MosaicError("threshold must be finite and above 0.")
    if surrogate not in SLOPES:
        raise MosaicError(
            f"surrogate is {surrogate!r}; it needs one of {', '.join(SLOPES)}."
        )
    steep = SLOPES[surrogate] if slope is None else float(slope)
    if not math.isfinite(steep):
        raise MosaicError(f"slope is {slope}; it needs a finite number.")
    rule = _Rule(surrogate, steep, noise)
    fired: tuple[Tensor, Tensor] = _Recurrent.apply(current, weight, beta, threshold, rule)
    return fired


def _slope(u: Tensor, rule: _Rule) -> Tensor:
    """Slope of the surrogate at u, which is written over."""
    if rule.surrogate == "atan":
        u.mul_(torch.pi / 2 * rule.slope).pow_(2).add_(1).reciprocal_()
        return u.mul_(rule.slope / 2)
    return u.abs_().mul_(rule.slope).add_(1).pow_(2).reciprocal_()


def _passed_on(fired: Tensor, back: Tensor) -> Tensor:
    """Return ``fired @ back``, (samples, targets), spike by spike if they are few."""
    if fired.device.type != "cpu" or float(fired.mean()) > FEW:
        return fired @ back
    current = torch.zeros(len(fired), back.shape[1], dtype=fired.dtype)
    _kernels.pass_on(fired.numpy(), back.numpy(), current.numpy())
    return current


def _credit(fired: Tensor, total: Tensor) -> Tensor:
    """Return ``total.T @ fired``, (targets, sources), spike by spike if they are few."""
    if fired.device.type != "cpu" or float(fired.mean()) > FEW:
        return total.t() @ fired
    by_row = torch.zeros(fired.shape[1], total.shape[1], dtype=fired.dtype)
    _kernels.credit(fired.t().contiguous().numpy(), total.numpy(), by_row.numpy())
    return by_row.t()


class _Recurrent(torch.autograd.Function):
    """`recurrent_leaky` with its gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        weight: Tensor,
        beta: Tensor,
        threshold: Tensor,
        rule: _Rule,
    ) -> tuple[Tensor, Tensor]:
        s, v = torch.empty_like(current), torch.empty_like(current)
        back = weight.t().contiguous()
        for t in range(len(current)):
            if t == 0:
                v[0] = current[0]
            else:
                torch.mul(v[t - 1], beta, out=v[t]).add_(current[t])
                v[t].add_(_passed_on(s[t - 1], back))
                v[t].sub_(s[t - 1] * threshold)
                if rule.noise is not None:
                    v[t].add_(rule.noise(s[t - 1]))
            torch.gt(v[t], threshold, out=s[t])
        ctx.rule = rule
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(weight, beta, threshold, s, v)
        return s, v

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_s: Tensor | None, by_v: Tensor | None) -> tuple[Any, ...]:
        weight, beta, threshold, s, v = ctx.saved_tensors
        if (by_s is None and by_v is None) or not len(v):
            return None, None, None, None, None
        rise = _slope(v - threshold, ctx.rule)
        by_fired = torch.zeros_like(s) if by_s is None else by_s.clone()
        total = torch.empty_like(v)
        for t in range(len(v) - 1, -1, -1):
            if t + 1 < len(v):
                by_fired[t].addmm_(total[t + 1], weight)
                torch.mul(total[t + 1], beta, out=total[t])
                total[t].addcmul_(rise[t], by_fired[t])
            else:
                torch.mul(rise[t], by_fired[t], out=total[t])
            if by_v is not None:
                total[t].add_(by_v[t])
        later, earlier = total[1:], s[:-1]
        needs = ctx.needs_input_grad
        by_weight = by_beta = by_threshold = None
        if needs[1]:
            by_weight = _credit(earlier.flatten(0, 1), later.flatten(0, 1))
        if needs[2]:
            by_beta = (later * v[:-1]).sum_to_size(beta.shape)
        if needs[3]:
            through = -(rise * by_fired).sum((0, 1)) - (earlier * later).sum((0, 1))
            by_threshold = through.sum_to_size(threshold.shape)
        return total, by_weight, by_beta, by_threshold, None
