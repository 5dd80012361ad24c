"""Train against what a chip does to a network: levels, noise, dead devices, unequal neurons.

Inside a ``with disturb(...)`` block a model computes with what devices would make of its weights
and neurons; gradients go straight through to the clean ones. The errors are those that
`mosaic_sim.sample_die` draws, in the same words.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from growth.hardware.crossbars import Crossbar, NamedCell, cells, crossbars
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from growth.hardware.disturbance import Disturbance, TauSpread

__all__ = ["ReadNoise", "disturb"]

KINDS: dict[str, Literal["tau_mismatch", "synapse_mismatch"]] = {
    "beta": "tau_mismatch",
    "alpha": "synapse_mismatch",
}
"""Decays of a cell, and what scatters them."""


@contextmanager
def disturb(
    model: nn.Module,
    disturbance: Disturbance,
    generator: torch.Generator,
    *,
    columns: Sequence[Sequence[str]] | None = None,
) -> Iterator[None]:
    """Let a model compute with what a chip would make of its weights and neurons.

    For a weight w of a column whose largest is ``m = max |w|``, with ``a = w / m`` after
    rounding and N standard normal, new at each mention::

        w  <- m / (levels - 1) * round(w / (m / (levels - 1)))      # levels
        w  <- w + weight_noise * max |W| * N     where w != 0       # scale="layer"
        g  =  lowest + (max(a, 0), max(-a, 0))                      # the pair, shares of its range
        g  <- max(g * (1 + variation * N), 0)
        g  <- max(g + sqrt(n^2 + (relative_noise * g)^2) * N, 0)     where written
        g  <- lowest + 1 or lowest                                  # stuck
        w  =  m * (g[0] - g[1])

    with n = `weight_noise` for ``scale="column"``, and the means of the third line in
    the fifth. A weight that is exactly 0 has no synapse and stays 0. Each call of a layer adds
    ``read_noise * m * sqrt(sum_i x_i^2 (g[0]^2 + g[1]^2)) * N`` to each of its outputs. A
    threshold and a tau are multiplied by exp(sd * N), with tau = -step_time / ln(beta).

    Weights pass their gradient straight through: that of the disturbed weight is that of the
    clean one. Parameters and ``state_dict`` stay the clean ones also inside the block, so an
    optimiser may step there; after it, and after an error in it, everything is as it was.

    Parameters
    ----------
    model : torch.nn.Module
        With ``Linear``, ``Conv1d`` and ``Conv2d`` layers, cells of snnTorch, and modules with a
        ``crossbar`` (see `growth.hardware.crossbars.crossbars`).
    disturbance : Disturbance
    generator : torch.Generator
        Every draw comes from it, besides those of a fixed `Disturbance.die`.
    columns : sequence of sequences of str, optional
        Modules whose weights enter the same neurons, where their order does not tell.

    Raises
    ------
    MosaicError
        If nothing of the model can be disturbed, blocks are nested, a tensor is computed anew by
        the model (parametrized or pruned), or, at the end, if a layer was to be disturbed at its
        call and was not called.

    Notes
    -----
    A kernel of ``Conv`` has one column for each output channel: on the chip it is one for each
    pixel, with the same weights, besides those at a padded border, whose columns may miss the
    largest weight. ``BatchNorm`` and ``AvgPool`` are folded into the weights when a model is put
    on a chip: fold them first.

    Examples
    --------
    >>> from growth.hardware import Disturbance
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> layer.weight.data = torch.tensor([[1.0, 0.3]])
    >>> with disturb(layer, Disturbance(levels=3), torch.Generator()):
    ...     output = layer(torch.ones(2))
    >>> output.item(), layer(torch.ones(2)).item()  # 0.3 is nearer to 0.5 than to 0
    (1.5, 1.3)

    References
    ----------
    .. [1] Y. Bengio et al., "Estimating or propagating gradients through stochastic neurons",
       arXiv:1308.3432, 2013 (straight-through).
    .. [2] Code of T. Dalgaty et al., Nat. Commun. 15, 142, 2024 (EIS-Hub/Mosaic, ``add_noise``):
       5 % of the largest weight, on weights that are not 0.
    """
    if not isinstance(generator, torch.Generator):
        raise MosaicError(
            f"generator is a {type(generator).__name__}; it needs a torch.Generator."
        )
    bars, neurons = crossbars(model, columns), cells(model)
    if not bars and not neurons:
        raise MosaicError(
            "model has neither weights nor neurons that can be disturbed: it needs Linear, "
            "Conv1d, Conv2d, cells of snnTorch, or modules with a crossbar."
        )
    fixed = generator
    if disturbance.die is not None:
        fixed = torch.Generator(generator.device).manual_seed(disturbance.die)
    draws = _Draws(disturbance, generator, fixed)
    if disturbance.on_neurons and not neurons:
        raise MosaicError(
            "model has no neurons (cells of snnTorch) whose threshold or tau could differ; leave "
            "the mismatch out."
        )
    waiting: dict[nn.Module, str] = {}
    with ExitStack() as stack:
        for bar in bars if disturbance.on_weights else ():
            _put_weights(bar, draws, stack, waiting)
        for cell in neurons:
            _put_neurons(cell, draws, stack, waiting)
        yield
    if waiting:
        raise MosaicError(
            f"{', '.join(waiting.values())} was not called inside the block, and would have been "
            "disturbed at its call. Call the module itself; or leave read_noise out, and give the "
            "cell a beta or threshold for each neuron."
        )


# --- what is drawn ---------------------------------------------------------------------------


class _Draws(NamedTuple):
    """A disturbance and where its random numbers come from.

    `fresh` is for what is new each time, `fixed` for what belongs to a die.
    """

    disturbance: Disturbance
    fresh: torch.Generator
    fixed: torch.Generator

    def normal(self, like: Tensor, source: torch.Generator) -> Tensor:
        return torch.randn(
            like.shape, generator=source, device=source.device, dtype=like.dtype
        ).to(like.device)

    def uniform(self, like: Tensor, source: torch.Generator) -> Tensor:
        return torch.rand(like.shape, generator=source, device=source.device).to(
            like.device
        )


def _rounded(weight: Tensor, top: Tensor, levels: int) -> Tensor:
    """Weights that the levels of a device give, (neurons, k), as `mosaic_sim.Device` has them."""
    unit = top.double() / (levels - 1)
    level = (weight.double() / torch.where(unit > 0, unit, 1.0)).round()
    return (level * unit).float().to(weight.dtype)


def _held(
    weight: Tensor, top: Tensor, largest: Tensor, draws: _Draws
) -> tuple[Tensor, Tensor | None]:
    """What devices make of weights, (neurons, k); and the variance of a read of each.

    `top` is the largest of each column, (neurons, 1), `largest` that of the layer.
    """
    d = draws.disturbance
    held = weight if d.levels is None else _rounded(weight, top, d.levels)
    if d.weight_noise and d.scale == "layer":
        noise = d.weight_noise * largest * draws.normal(held, draws.fresh)
        held = torch.where(held != 0, held + noise, held)
    floor = d.weight_noise if d.scale == "column" else 0.0
    if not (floor or d.relative_noise or d.variation or d.stuck or d.read_noise):
        return held, None
    range_ = torch.where(top > 0, top, 1.0)
    share = held / range_
    goal = d.lowest + torch.stack([share.clamp(min=0), (-share).clamp(min=0)])
    g = goal
    if d.variation:
        g = (g * (1 + d.variation * draws.normal(g, draws.fixed))).clamp(min=0)
    if floor or d.relative_noise:
        width = (floor**2 + (d.relative_noise * goal) ** 2).sqrt()
        missed = (g + width * draws.normal(g, draws.fresh)).clamp(min=0)
        g = torch.where(goal > d.lowest, missed, g)
    if d.stuck:
        u = draws.uniform(g, draws.fixed)
        g = torch.where(u < d.stuck, d.lowest, g)
        g = torch.where(u < d.stuck * d.stuck_high, d.lowest + 1, g)
    error = (g - goal)[0] - (g - goal)[1]
    there = weight != 0
    power = (d.read_noise * range_) ** 2 * (g**2).sum(0) * there if d.read_noise else None
    return held + error * range_ * there, power


# --- weights ---------------------------------------------------------------------------------


def _put_weights(
    bar: Crossbar, draws: _Draws, stack: ExitStack, waiting: dict[nn.Module, str]
) -> None:
    """Put disturbed weights in the place of the clean ones."""
    layers = bar.layers
    flat = {
        part: part.tensor.detach().reshape(bar.neurons, -1)
        for layer in layers for part in layer
    }  # fmt: skip
    biases = [part for part in flat if part.bias]
    if biases:
        # All biases of a neuron are one device on the bias line: the first stands for their sum.
        flat[biases[0]] = torch.stack([flat[part] for part in biases]).sum(0)
        for part in biases[1:]:
            flat[part] = torch.zeros_like(flat[part])
    top = torch.cat([x.abs() for x in flat.values()], 1).amax(1, keepdim=True)
    for layer in layers:
        largest = torch.stack([flat[part].abs().amax() for part in layer]).amax()
        powers = {}
        for part in layer:
            held, power = _held(flat[part], top, largest, draws)
            clean = part.tensor
            # The clean weight less itself is 0 and carries the gradient, so no bit is lost.
            passed = held.reshape(clean.shape) + (clean - clean.detach())
            _cover(part.module, part.attribute, passed, stack)
            if power is not None:
                powers[part.attribute] = power.reshape(clean.shape)
        if powers:
            _put_reading(bar.name, layer[0].module, powers, draws, stack, waiting)


def _put_reading(
    name: str,
    module: nn.Module,
    powers: dict[str, Tensor],
    draws: _Draws,
    stack: ExitStack,
    waiting: dict[nn.Module, str],
) -> None:
    """Add the noise of reading to what a layer gives at each call."""
    if hasattr(module, "crossbar"):
        if not hasattr(module, "read_noise"):
            raise MosaicError(
                f"{type(module).__name__} names its crossbar, but has no attribute read_noise "
                "that it would add; leave read_noise out of the disturbance."
            )
        known = module.__dict__.get("read_noise")
        if known is None:
            _shadow(module, "read_noise", known := ReadNoise({}, draws.fresh), stack)
        known.power.update(powers)
        return
    waiting[module] = name

    def read(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        waiting.pop(layer, None)
        with torch.no_grad(), ExitStack() as inner:
            for attribute, power in powers.items():
                _shadow(layer, attribute, power, inner)
            variance = type(layer).forward(layer, given[0].square())
            noise = variance.clamp(min=0).sqrt() * draws.normal(output, draws.fresh)
        return output + noise

    stack.callback(module.register_forward_hook(read).remove)


class ReadNoise(NamedTuple):
    """What a module that names its own crossbar has to add while it is disturbed.

    Attributes
    ----------
    power : dict of str to Tensor
        Variance that a read adds, for each tensor of weights and in its shape.
    generator : torch.Generator
    """

    power: dict[str, Tensor]
    generator: torch.Generator

    def draw(self, variance: Tensor) -> Tensor:
        """Noise of that variance, summed over what was read."""
        normal = torch.randn(
            variance.shape, generator=self.generator, device=self.generator.device,
            dtype=variance.dtype,
        )  # fmt: skip
        return variance.clamp(min=0).sqrt() * normal.to(variance.device)


def _shadow(module: nn.Module, attribute: str, value: Any, stack: ExitStack) -> None:
    """Let `module.attribute` be `value` until the stack ends.

    An attribute of the instance hides a parameter or buffer of the same name, which stays where
    optimisers and ``state_dict`` look for it.
    """
    own = module.__dict__
    if attribute in own:
        stack.callback(own.__setitem__, attribute, own[attribute])
    else:
        stack.callback(own.pop, attribute)
    own[attribute] = value


def _cover(module: nn.Module, attribute: str, value: Tensor, stack: ExitStack) -> None:
    """`_shadow` a parameter or buffer; refuse what is none."""
    if attribute in module.__dict__:
        raise MosaicError(
            f"{type(module).__name__}.{attribute} is no parameter or buffer now: blocks of disturb "
            "cannot be nested, and weights pruned with torch.nn.utils.prune have to be made "
            "permanent first (prune.remove)."
        )
    _shadow(module, attribute, value, stack)
    if getattr(module, attribute) is not value:
        raise MosaicError(
            f"{type(module).__name__}.{attribute} is parametrized, and computed anew at each look: "
            "make it plain first (torch.nn.utils.parametrize.remove_parametrizations)."
        )


# --- neurons ---------------------------------------------------------------------------------


def _put_neurons(
    cell: NamedCell, draws: _Draws, stack: ExitStack, waiting: dict[nn.Module, str]
) -> None:
    """Put unequal thresholds and time constants in the place of the clean ones."""
    d, module = draws.disturbance, cell.module
    put: list[tuple[str, Callable[[Tensor, Tensor], Tensor]]] = []
    if d.threshold_mismatch:
        put.append(("threshold", lambda level, n: level * (d.threshold_mismatch * n).exp()))
    for name, kind in KINDS.items():
        spread = d.spread(kind)
        if (spread.base or spread.slope) and (name == "beta" or hasattr(module, name)):
            put.append((name, _slower(spread, d.step_time)))

    def draw(shape: Sequence[int]) -> None:
        for name, change in put:
            clean = getattr(module, name)
            like = torch.empty(shape, dtype=clean.dtype, device=clean.device)
            _cover(module, name, change(clean, draws.normal(like, draws.fixed)), stack)

    if not put:
        return
    if cell.neurons is not None:
        draw((cell.neurons,))
        return
    waiting[module] = cell.name or "model"

    def first(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        hook.remove()
        waiting.pop(module)
        draw(given[0].shape[1:])

    hook = module.register_forward_pre_hook(first)
    stack.callback(hook.remove)


def _slower(spread: TauSpread, step_time: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what makes decays of unequal time constants of equal ones."""

    def change(decay: Tensor, normal: Tensor) -> Tensor:
        kept = decay.clamp(0, 1)
        fades = (kept > 0) & (kept < 1)
        inside = torch.where(fades, kept, 0.5)
        tau = -step_time / inside.detach().log()
        factor = ((spread.base + spread.slope * tau) * normal).exp()
        return torch.where(fades, inside ** (1 / factor), kept)

    return change
