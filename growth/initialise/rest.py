"""What a neuron that starts at rest does with its input, to first order.

Everything between its incoming and its outgoing weights is then linear: a membrane is a filter,
a surrogate or an activation is its slope at 0, a pool is itself. What is not linear at 0, or
not silent there, is refused by name.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import snntorch
import torch
from snntorch import SpikingNeuron
from torch import Tensor, nn

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "LiveReLU", "at_rest", "cell_trace", "newborn_cell", "slope_at_rest", "slope_at_zero", "traces",
]  # fmt: skip

SMALLEST_SLOPE = 1e-4
"""Below it, a gradient that passes a neuron at rest is lost beside all others."""

CELLS = (snntorch.Leaky, snntorch.Synaptic, snntorch.RLeaky)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
KEPT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)


class LiveReLU(nn.Module):
    """A ReLU with derivative 1 at 0, so that a neuron with incoming weights 0 can learn.

    ``torch.relu`` has derivative 0 there: such a neuron would be dead for ever.

    Examples
    --------
    >>> at = torch.zeros(1, requires_grad=True)
    >>> float(torch.autograd.grad(LiveReLU()(at).sum(), at)[0])
    1.0
    """

    def forward(self, values: Tensor) -> Tensor:
        """Values below 0 become 0."""
        return values.clamp(min=0)


def slope_at_rest(cell: Any) -> float:
    """Slope of the surrogate gradient of `cell` for a membrane at 0.

    Raises
    ------
    MosaicError
        If it is not finite or below 1e-4: a neuron that starts at rest would not learn.

    Examples
    --------
    >>> from snntorch import surrogate
    >>> round(slope_at_rest(snntorch.Leaky(beta=0.9, spike_grad=surrogate.atan())), 3)
    0.092
    """
    at = (-cell.threshold.detach().reshape(-1)[:1]).clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(cell.spike_grad(at).sum(), at)
    g0 = float(slope) * float(cell.graded_spikes_factor.detach())
    if not SMALLEST_SLOPE <= g0 < float("inf"):
        raise MosaicError(
            f"The surrogate gradient has slope {g0:.2g} at rest; a neuron that starts there "
            f"needs at least {SMALLEST_SLOPE:g}. Use surrogate.atan() or a smaller slope."
        )
    return g0


def slope_at_zero(activation: nn.Module) -> float:
    """Slope of an elementwise activation at 0, measured.

    Raises
    ------
    MosaicError
        If it is not elementwise, not 0 at 0, or has a slope that is below 1e-4 or not finite.

    Examples
    --------
    >>> slope_at_zero(nn.Tanh()), slope_at_zero(nn.GELU())
    (1.0, 0.5)
    """
    name = type(activation).__name__
    value, slope = _value_and_slope(activation)
    if value != 0:
        raise MosaicError(
            f"{name} gives {value:.3g} at 0, so neurons with incoming weights 0 would "
            "not be silent. Start with outgoing weights 0 instead, as by_inverse does."
        )
    if not SMALLEST_SLOPE <= abs(slope) < float("inf"):
        raise MosaicError(
            f"{name} has derivative {slope:.2g} at 0; neurons with incoming weights 0 would be "
            "dead. Use LiveReLU, or start with outgoing weights 0, as by_inverse does."
        )
    return slope


def traces(spikes: Tensor, leak: float) -> Tensor:
    """Filter spikes as a membrane does: ``trace[t] = leak * trace[t-1] + spikes[t]``.

    Parameters
    ----------
    spikes : (steps, samples, sources)

    Examples
    --------
    >>> traces(torch.ones(3, 1, 1), 0.5).flatten().tolist()
    [1.0, 1.5, 1.75]
    """
    kept = torch.zeros_like(spikes[0])
    out = []
    for now in spikes:
        kept = leak * kept + now
        out.append(kept)
    return torch.stack(out)


def newborn_cell(cell: Any) -> Any:
    """Copy a cell as its new neurons will be: a value of each neuron becomes the mean.

    Recurrent weights between new neurons are 0, so the copy of an all-to-all `RLeaky` has none.

    Raises
    ------
    MosaicError
        If new neurons of this cell cannot be told from the old ones.
    """
    name = type(cell).__name__
    if type(cell) not in CELLS:
        raise MosaicError(f"{name} cannot grow; Leaky, Synaptic and RLeaky can.")
    for flag in ("init_hidden", "inhibition", "state_quant"):
        if getattr(cell, flag):
            advice = (
                "pass its state at each call" if flag == "init_hidden" else "leave it out"
            )
            raise MosaicError(f"{name} with {flag} cannot grow; {advice}.")
    born: Any = copy_of(cell)
    for key in values_of_neurons(cell):
        old = getattr(cell, key).detach()
        fresh = old.mean() if old.numel() > 1 else old.clone().reshape(())
        replace_tensor(born, key, fresh)
    threshold = float(born.threshold.detach())
    if not threshold > 0:
        raise MosaicError(
            f"{name} has threshold {threshold:.3g}; a neuron at rest is silent only with a "
            "threshold above 0."
        )
    if isinstance(cell, snntorch.RLeaky):
        if cell.all_to_all:
            born.recurrent = _Nothing()
        else:
            shared = cell.V.detach().numel() == 1
            replace_tensor(
                born, "V", cell.V.detach().reshape(()) if shared else torch.zeros(())
            )
            born.recurrent.V = born.V
    return born


def cell_trace(cell: Any, series: Tensor, *, slopes: bool = True) -> Tensor:
    """Derivative of a resting neuron's spikes by its incoming weights.

    ``trace[t] = kappa trace[t-1] + x[t]``, times the slope g0 of the surrogate at rest. kappa is
    the leak; but a prompt reset by subtraction is not detached from the graph, so there
    ``kappa = leak (1 - threshold g)``; and a neuron with weight V to itself has V g0 more. A
    `Synaptic` neuron filters x by its alpha before.

    Parameters
    ----------
    cell : snntorch.Leaky, Synaptic or RLeaky
    series : (steps, samples, ...)
        What the neuron's synapses see.
    slopes : bool
        Without, g0 = 1 and no gradient passes a reset: the true membrane of a silent neuron.

    Returns
    -------
    Tensor, as `series`

    Raises
    ------
    MosaicError
        If the surrogate vanishes at rest, and `slopes`.

    Examples
    --------
    >>> from snntorch import surrogate
    >>> cell = snntorch.Leaky(beta=0.5, spike_grad=surrogate.atan())
    >>> (cell_trace(cell, torch.ones(3, 1, 1)) / slope_at_rest(cell)).flatten()
    tensor([1.0000, 1.5000, 1.7500])
    """
    born = newborn_cell(cell)
    g0 = slope_at_rest(born) if slopes else 0.0
    kappa = float(born.beta.detach().clamp(0, 1))
    if not born.reset_delay and born.reset_mechanism == "subtract":
        kappa *= 1 - float(born.threshold.detach()) * g0 / float(
            born.graded_spikes_factor.detach()
        )
    if isinstance(born, snntorch.RLeaky) and not born.all_to_all:
        kappa += float(born.V.detach()) * g0
    if isinstance(born, snntorch.Synaptic):
        series = traces(series, float(born.alpha.detach().clamp(0, 1)))
    return traces(series, kappa) * (g0 if slopes else 1.0)


def at_rest(between: Sequence[nn.Module], series: Tensor, *, slopes: bool = True) -> Tensor:
    """Pass every column of a series through the linearised `between`, as if it were a channel.

    Parameters
    ----------
    between : sequence of nn.Module
    series : (steps, samples, columns, ...)
        Positions of an image follow the columns.
    slopes : bool
        Without, activations count as the identity, and cells as their membrane.

    Returns
    -------
    Tensor, (steps, samples, columns, ...)

    Raises
    ------
    MosaicError
        If a module has no such linear part, by name and with advice.
    """
    for module in between:
        if isinstance(module, CELLS):
            series = cell_trace(module, series, slopes=slopes)
        elif isinstance(module, KEPT):
            continue
        elif isinstance(module, nn.Flatten):
            if module.start_dim != 1 or module.end_dim != -1:
                raise MosaicError("Flatten has to keep dimension 0 and nothing else.")
            series = series.flatten(3) if series.dim() > 3 else series
        elif isinstance(module, POOLS):
            series = _images(module, series)
        elif is_depthwise(module):
            series = _images(delta_kernel(module, series.shape[2]), series)
        elif isinstance(module, NORMS):
            series = series * slope_of_norm(module) if slopes else series
        elif slopes:
            series = slope_at_zero(module) * series
        else:
            _value_and_slope(module)
    return series


def slope_of_norm(norm: Any) -> float:
    """What a norm layer multiplies a new, silent channel by.

    Raises
    ------
    MosaicError
        Where the channel is divided by its own spread, which is 0: its gradient would be
        multiplied by ``1 / sqrt(eps)``, 316 with torch's default.
    """
    name = type(norm).__name__
    if isinstance(norm, BATCH_NORMS) and not norm.training and norm.track_running_stats:
        return float((1 + norm.eps) ** -0.5)
    advice = "Call eval() on it, or start" if isinstance(norm, BATCH_NORMS) else "Start"
    raise MosaicError(
        f"{name} divides a channel that is all 0 by sqrt(eps), so its gradient grows by "
        f"{norm.eps**-0.5:.0f}. {advice} with outgoing weights 0, as by_inverse does."
    )


def is_depthwise(module: nn.Module) -> bool:
    """Whether this is a convolution of each channel by itself."""
    return isinstance(module, nn.Conv2d) and (
        module.groups == module.in_channels == module.out_channels
    )


def delta_kernel(module: nn.Module, channels: int) -> nn.Conv2d:
    """Return a depthwise convolution like `module` that passes new channels on unchanged."""
    assert isinstance(module, nn.Conv2d)
    born: nn.Conv2d = nn.utils.skip_init(
        nn.Conv2d, channels, channels, module.kernel_size, module.stride, module.padding,
        module.dilation, channels, bias=False, padding_mode=module.padding_mode,
        dtype=module.weight.dtype, device=module.weight.device,
    )  # fmt: skip
    kernel = torch.zeros_like(born.weight)
    kernel[:, :, kernel.shape[2] // 2, kernel.shape[3] // 2] = 1
    born.weight = nn.Parameter(kernel, requires_grad=False)
    return born


def values_of_neurons(cell: Any) -> tuple[str, ...]:
    """Names of the tensors of a cell that may hold a value for each neuron."""
    keys = ("beta", "threshold", "graded_spikes_factor", "alpha", "V")
    return tuple(key for key in keys if isinstance(getattr(cell, key, None), Tensor))


def replace_tensor(module: nn.Module, key: str, value: Tensor) -> None:
    """Put a tensor in the place of a buffer or parameter, as what it was."""
    if key in dict(module.named_parameters(recurse=False)):
        old = getattr(module, key)
        setattr(module, key, nn.Parameter(value, requires_grad=old.requires_grad))
    else:
        setattr(module, key, value)


def copy_of(model: nn.Module) -> nn.Module:
    """Copy a model deeply, without what its cells remember of their last call.

    snnTorch's cells keep their last membrane with its graph, which torch refuses to copy.
    """
    memo: dict[int, object] = {}
    for module in model.modules():
        cell = isinstance(module, SpikingNeuron)
        states = module._non_persistent_buffers_set if cell else ()
        for value in (*module.__dict__.values(), *(module._buffers[key] for key in states)):
            if isinstance(value, Tensor) and (cell or not value.is_leaf):
                memo[id(value)] = torch.zeros(0, dtype=value.dtype, device=value.device)
    return copy.deepcopy(model, memo)


def _value_and_slope(activation: nn.Module) -> tuple[float, float]:
    """Value and slope at 0 of what has to be an elementwise module."""
    kind = next((p.dtype for p in activation.parameters()), torch.float64)
    at = torch.zeros(4, dtype=kind)
    try:
        value = activation(at).detach()
        jacobian = torch.autograd.functional.jacobian(activation, at)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        value, jacobian = at, at
    slope = jacobian.reshape(-1)[0]
    if jacobian.shape != (4, 4) or not torch.equal(
        jacobian.nan_to_num(), slope.nan_to_num() * torch.eye(4, dtype=jacobian.dtype)
    ):
        raise MosaicError(
            f"{type(activation).__name__} stands between the new neurons and the next layer; "
            "there can be snnTorch's Leaky, Synaptic and RLeaky, elementwise activations, "
            "BatchNorm, average pools, depthwise convolutions, Flatten and Dropout."
        )
    return float(value[0]), float(slope)


class _Nothing(nn.Module):
    """Recurrent weights of neurons that have none among themselves."""

    def forward(self, spikes: Tensor) -> Tensor:
        return torch.zeros_like(spikes)


def _images(module: nn.Module, series: Tensor) -> Tensor:
    """Apply a module for images to a series of them, (steps, samples, columns, high, wide)."""
    if series.dim() != 5:
        raise MosaicError(f"{type(module).__name__} needs images; it follows a Flatten.")
    if isinstance(module, nn.Conv2d):
        out = module._conv_forward(series.flatten(0, 1), module.weight, None)
    else:
        out = module(series.flatten(0, 1))
    return out.unflatten(0, series.shape[:2])
