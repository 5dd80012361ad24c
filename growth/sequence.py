"""Leaky integrate-and-fire neurons run over a whole sequence in one call, for training.

snnTorch steps a layer: about ten small tensor operations a step, and a node of the autograd
graph for each. In a feed-forward network no layer needs the next one's spikes, so each can run
through all steps at once: one matrix product for its input of all steps, then `leaky`, whose
backward pass is one loop written out here instead of a recorded graph.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
import snntorch
import torch
from torch import Tensor

from growth import _kernels
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["Rule", "leaky", "rule_of"]

Reset = Literal["subtract", "zero", "none"]
Surrogate = Literal["atan", "fast_sigmoid"]

RESETS: tuple[Reset, ...] = ("subtract", "zero", "none")
SLOPES: dict[Surrogate, float] = {"atan": 2.0, "fast_sigmoid": 25.0}
"""snnTorch's default slope of each surrogate; it calls that of ``atan`` alpha."""


class Rule(NamedTuple):
    """What distinguishes layers of `leaky`, apart from their parameters."""

    reset: Reset = "subtract"
    reset_delay: bool = True
    surrogate: Surrogate = "atan"
    slope: float = SLOPES["atan"]


@overload
def leaky(
    current: Tensor, beta: float | Tensor, threshold: float | Tensor = 1.0, *,
    reset: Reset = ..., reset_delay: bool = ..., surrogate: Surrogate = ...,
    slope: float | None = ..., membrane: Literal[False] = ...,
) -> Tensor: ...  # fmt: skip
@overload
def leaky(
    current: Tensor, beta: float | Tensor, threshold: float | Tensor = 1.0, *,
    reset: Reset = ..., reset_delay: bool = ..., surrogate: Surrogate = ...,
    slope: float | None = ..., membrane: Literal[True],
) -> tuple[Tensor, Tensor]: ...  # fmt: skip
def leaky(
    current: Tensor,
    beta: float | Tensor,
    threshold: float | Tensor = 1.0,
    *,
    reset: Reset = "subtract",
    reset_delay: bool = True,
    surrogate: Surrogate = "atan",
    slope: float | None = None,
    membrane: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Run a layer of leaky integrate-and-fire neurons from rest through all steps.

    One step is that of ``snntorch.Leaky`` (1.0.0), with the same float operations in the same
    order, so that spikes and membranes are equal to the last bit::

        r[t] = m[t-1] > threshold                              # 0 or 1, without a gradient
        v[t] = beta * m[t-1] + current[t] - r[t] * threshold    # reset="subtract"
        v[t] = beta * ((1 - r[t]) * m[t-1]) + current[t]        # reset="zero"
        v[t] = beta * m[t-1] + current[t]                       # reset="none"
        s[t] = v[t] > threshold
        m[t] = v[t]                                            # reset_delay=True
        m[t] = v[t] - (s[t] - r[t]) * (threshold or v[t])       # False: subtract or zero

    The gradient of ``s`` is replaced by a surrogate of ``u = v - threshold``,
    ``a/2 / (1 + (pi/2 a u)^2)`` (atan) or ``1 / (a |u| + 1)^2`` (fast sigmoid). With ``G`` the
    gradient of the loss by ``v``, the backward pass is a linear recurrence, run from the last
    step to the first::

        G[t] = s'[t] * dL/ds[t] + k[t] * dL/dm[t] + k[t] * beta * (1 - r[t+1]) * G[t+1]

    where ``1 - r`` is there for reset to zero only, and ``k[t] = dm[t]/dv[t]`` is 1 with
    delayed reset. ``G`` is the gradient by the current as well. There is no second derivative.

    Parameters
    ----------
    current : float32 or float64 tensor, (steps, ..., neurons)
        Usually (steps, samples, neurons); in units of the threshold.
    beta : float or tensor, () or (neurons,)
        Membrane factor of a step, 0 to 1. As in snnTorch a number is first rounded to torch's
        default dtype, also when `current` is float64; a tensor is not.
    threshold : float or tensor, () or (neurons,)
    reset : "subtract", "zero" or "none"
    reset_delay : bool
        Whether a spike resets the membrane of the next step (snnTorch's default) or its own.
    surrogate : "atan" or "fast_sigmoid"
    slope : float, optional
        Of the surrogate; 2 for atan (its alpha) and 25 for the fast sigmoid unless given.
    membrane : bool
        Whether to return the membranes ``m`` too.

    Returns
    -------
    spikes : (steps, ..., neurons), 0 and 1
        In the dtype of `current`. (snnTorch's are always float32, and so is the gradient that
        passes them.) For spike counts: ``spikes.sum(0)``.
    membranes : (steps, ..., neurons)
        Only with ``membrane=True``.

    Raises
    ------
    MosaicError
        For another shape or dtype, a float64 parameter for each neuron at a float32 current
        (snnTorch computes that partly in either), a `beta` outside 0 to 1 (snnTorch clamps it
        without a word), a threshold or slope that is not finite, or an unknown reset or
        surrogate.

    See Also
    --------
    growth.model.cell_spikes : The same for an ``snntorch.Leaky`` that is there already.

    Examples
    --------
    >>> current = torch.full((4, 1, 1), 0.75, requires_grad=True)
    >>> spikes = leaky(current, beta=0.5)
    >>> spikes.flatten().tolist()
    [0.0, 1.0, 0.0, 0.0]
    >>> spikes.sum().backward()
    >>> tuple(current.grad.shape)
    (4, 1, 1)

    References
    ----------
    .. [1] J. K. Eshraghian et al., "Training spiking neural networks using lessons from deep
       learning", Proc. IEEE 111(9), 2023: the neuron and its surrogate gradients.
    .. [2] W. Fang et al., "Incorporating learnable membrane time constant ...", ICCV 2021
       (atan); F. Zenke and S. Ganguli, "SuperSpike", Neural Comput. 30(6), 2018 (fast sigmoid).
    """
    if current.ndim < 2 or current.dtype not in (torch.float32, torch.float64):
        raise MosaicError(
            f"current has shape {tuple(current.shape)} and dtype {current.dtype}; "
            "it needs (steps, samples, neurons) in float32 or float64."
        )
    if reset not in RESETS:
        raise MosaicError(f"reset is {reset!r}; it needs one of {', '.join(RESETS)}.")
    if surrogate not in SLOPES:
        raise MosaicError(
            f"surrogate is {surrogate!r}; it needs one of {', '.join(SLOPES)}."
        )
    slope = SLOPES[surrogate] if slope is None else float(slope)
    if not math.isfinite(slope):
        raise MosaicError(f"slope is {slope}; it needs a finite number.")
    factor = _per_neuron("beta", beta, current)
    level = _per_neuron("threshold", threshold, current)
    within = 0 <= beta <= 1 if isinstance(beta, float) else _within(factor)
    if not within:
        raise MosaicError(
            f"beta reaches from {factor.min():g} to {factor.max():g}; it needs 0 to 1."
        )
    rule = Rule(reset, reset_delay or reset == "none", surrogate, slope)
    learns = torch.is_grad_enabled() and any(
        x.requires_grad for x in (current, factor, level)
    )
    if learns:
        fired, m = _Leaky.apply(current, factor, level, rule)
    else:
        fired, m, *_ = _forward(current, factor, level, rule, keep=membrane)
    return (fired, m) if membrane else fired


def rule_of(cell: nn.Module) -> Rule | None:
    """Say how `leaky` does what this cell does, or None if it cannot.

    It can for a plain ``snntorch.Leaky`` with one of the two surrogates: no inhibition, no
    quantised state, no graded spikes, no hidden state, no hooks, which want every step, and
    beta and threshold that are one number or one of float32 for each neuron.

    Examples
    --------
    >>> from snntorch import surrogate
    >>> rule_of(snntorch.Leaky(beta=0.9, spike_grad=surrogate.fast_sigmoid(slope=10)))
    Rule(reset='subtract', reset_delay=True, surrogate='fast_sigmoid', slope=10.0)
    >>> rule_of(snntorch.RLeaky(beta=0.9, all_to_all=False)) is None
    True
    """
    if type(cell) is not snntorch.Leaky or "forward" in vars(cell):
        return None
    special = (cell.inhibition, cell.state_quant, cell.init_hidden, cell.surrogate_disable)
    hooks = (cell._forward_hooks, cell._forward_pre_hooks, cell._backward_hooks)
    parts: Any = cell
    graded = parts.graded_spikes_factor
    if any(special) or any(hooks) or graded.requires_grad or not bool((graded == 1).all()):
        return None
    for values in (parts.beta, parts.threshold):
        if values.ndim > 1 or (values.ndim == 1 and values.dtype == torch.float64):
            return None
    # snnTorch's surrogates are closures; name and slope are to be had from nowhere else.
    inner: Any = cell.spike_grad
    name = getattr(inner, "__qualname__", "").removesuffix(".<locals>.inner")
    closure: Any = getattr(inner, "__closure__", None) or ()
    if getattr(inner, "__module__", "") != "snntorch.surrogate" or len(closure) != 1:
        return None
    for surrogate in SLOPES:
        if surrogate == name:
            slope = float(closure[0].cell_contents)
            reset: Any = cell.reset_mechanism
            return Rule(reset, bool(cell.reset_delay), surrogate, slope)
    return None


def _per_neuron(name: str, value: float | Tensor, current: Tensor) -> Tensor:
    """As a finite tensor of the current's dtype, (), (1,) or (neurons,)."""
    # A number becomes torch's default dtype, as in snnTorch's constructor.
    given = torch.as_tensor(value)
    if isinstance(value, float) and math.isfinite(value):
        return given.to(current.dtype)
    if given.dtype == torch.int64:
        given = given.to(current.dtype)
    if (
        given.shape not in ((), (1,), current.shape[-1:])
        or torch.result_type(current, given) != current.dtype
    ):
        raise MosaicError(
            f"{name} has shape {tuple(given.shape)} and dtype {given.dtype}; it needs a "
            f"float or one for each of {current.shape[-1]} neurons, in {current.dtype}."
        )
    if not bool(given.isfinite().all()):
        raise MosaicError(f"{name} is not finite everywhere.")
    return given.to(current)


def _within(factor: Tensor) -> bool:
    """Whether all are from 0 to 1."""
    return bool(((factor >= 0) & (factor <= 1)).all())


# --- forward ---------------------------------------------------------------------------------

RESET = {"none": _kernels.NONE, "subtract": _kernels.SUBTRACT, "zero": _kernels.ZERO}
SURROGATE = {"atan": _kernels.ATAN, "fast_sigmoid": _kernels.FAST_SIGMOID}


class _Arrays(NamedTuple):
    """Spikes, membranes, membranes before their own reset, and parameters, for the kernels."""

    s: NDArray[Any]
    m: NDArray[Any]
    v: NDArray[Any]
    beta: NDArray[Any]
    threshold: NDArray[Any]


def _array(x: Tensor) -> NDArray[Any]:
    """As (steps, samples, neurons)."""
    values = x.detach().contiguous().numpy()
    shape = values.shape
    return values if len(shape) == 3 else values.reshape(shape[0], -1, shape[-1])


def _each(value: Tensor, neurons: int) -> NDArray[Any]:
    """A parameter for each neuron."""
    values: NDArray[Any] = value.detach().numpy().reshape(-1)
    return np.ascontiguousarray(np.broadcast_to(values, neurons))


def _forward(
    current: Tensor, beta: Tensor, threshold: Tensor, rule: Rule, keep: bool
) -> tuple[Tensor, Tensor, Tensor, _Arrays | None]:
    """Spikes s, membranes m and membranes before their own reset v; unless kept, of one step."""
    s = torch.empty_like(current, memory_format=torch.contiguous_format)
    v = torch.empty_like(s if keep else s[:1])
    m = v if rule.reset_delay else torch.empty_like(v)
    if not current.numel():
        return s, m, v, None
    neurons = current.shape[-1]
    before = _array(v)
    after = before if m is v else _array(m)
    part = _Arrays(
        _array(s), after, before, _each(beta, neurons), _each(threshold, neurons)
    )
    _kernels.forward(
        _array(current), part.beta, part.threshold, RESET[rule.reset], rule.reset_delay,
        part.s, part.m, part.v,
    )  # fmt: skip
    return s, m, v, part


# --- backward --------------------------------------------------------------------------------


def _surrogate(u: Tensor, rule: Rule) -> Tensor:
    """Slope of the surrogate at u, which is written over."""
    if rule.surrogate == "atan":
        u.mul_(torch.pi / 2 * rule.slope).pow_(2).add_(1).reciprocal_()
        return u if rule.slope == 2 else u.mul_(rule.slope / 2)
    return u.abs_().mul_(rule.slope).add_(1).pow_(2).reciprocal_()


def _earlier(m: Tensor) -> Tensor:
    """The membrane each step starts from: one step earlier, at first 0."""
    return torch.cat([torch.zeros_like(m[:1]), m[:-1]])


class _Leaky(torch.autograd.Function):
    """`leaky` with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, beta: Tensor, threshold: Tensor, rule: Rule
    ) -> tuple[Tensor, Tensor]:
        s, m, v, ctx.arrays = _forward(current, beta, threshold, rule, keep=True)
        ctx.rule = rule
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(beta, threshold, s, m, v)
        return s, m

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, by_s: Tensor | None, by_m: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        rule: Rule = ctx.rule
        beta, threshold, s, m, v = ctx.saved_tensors
        if by_s is None and by_m is None:
            return None, None, None, None
        total = torch.empty_like(v)
        if ctx.arrays is not None:
            part: _Arrays = ctx.arrays
            none = part.v[:0]
            _kernels.backward(
                part.beta, part.threshold, RESET[rule.reset], rule.reset_delay,
                SURROGATE[rule.surrogate], rule.slope, part.s, part.m, part.v,
                none if by_s is None else _array(by_s), none if by_m is None else _array(by_m),
                _array(total),
            )  # fmt: skip
        by_beta = by_threshold = None
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            zero = rule.reset == "zero"
            started = _earlier(m)
            r = (started > threshold).to(s.dtype)
            if ctx.needs_input_grad[1]:
                at_beta = total * started
                by_beta = (at_beta * (1 - r) if zero else at_beta).sum_to_size(beta.shape)
            if ctx.needs_input_grad[2]:
                slope = _surrogate(v - threshold, rule)
                # What a spike subtracts from its own step.
                taken = None if rule.reset_delay else v if zero else threshold
                by_threshold = torch.zeros_like(v) if by_s is None else -slope * by_s
                if rule.reset == "subtract":
                    by_threshold -= r * total
                if taken is not None:
                    by_own = torch.zeros_like(v) if by_m is None else by_m.clone()
                    if len(v):
                        later = total[1:] * (1 - r[1:]) if zero else total[1:]
                        by_own[:-1] += beta * later
                    by_threshold += slope * taken * by_own
                    if not zero:
                        by_threshold -= (s - r) * by_own
                by_threshold = by_threshold.sum_to_size(threshold.shape)
        return total, by_beta, by_threshold, None
