"""A site: where neurons can be added, and what a loss saw there.

New neurons get rows in the layers that feed them (the *sources*) and columns in the layers that
they feed (the *targets*). An all-to-all `RLeaky` in between is both: its neurons read the old
ones, and are read by them a step later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import snntorch
import torch
from torch import Tensor, nn

from growth.initialise.rest import CELLS, newborn_cell
from mosaic_sim.errors import MosaicError

__all__ = ["Loss", "Record", "Site", "observe", "sites_of"]

Loss = Callable[[nn.Module], Tensor]
"""Runs a model on some samples and returns the mean loss, a scalar with its graph."""


@dataclass(frozen=True)
class Site:
    """Where neurons can be added, by the names of the modules around.

    Parameters
    ----------
    sources : tuple of str
        `nn.Linear` or `nn.Conv2d`, which get a row for each new neuron (or channel).
    between : tuple of str
        What lies between, in order: cells, activations, norms, pools.
    targets : tuple of str
        `nn.Linear` or `nn.Conv2d`, which get columns. A Linear after a Flatten gets one for
        each position of a new channel.
    delays : tuple of int, optional
        Steps that a spike takes to each target, if the model delays it; 0 by default.
    steps_first : bool, optional
        Whether the layers see all steps in one call, as dimension 0. By default each call is
        a step.

    Examples
    --------
    >>> Site(("0",), ("1",), ("2",))
    Site(sources=('0',), between=('1',), targets=('2',), delays=(0,), steps_first=False)
    """

    sources: tuple[str, ...]
    between: tuple[str, ...]
    targets: tuple[str, ...]
    delays: tuple[int, ...] = field(default=())
    steps_first: bool = False

    def __post_init__(self) -> None:
        for key in ("sources", "between", "targets", "delays"):
            value = getattr(self, key)
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise MosaicError(f"{key} of a site is {value!r}; it needs a tuple.")
            object.__setattr__(self, key, tuple(value))
        if not self.sources or not self.targets:
            raise MosaicError("A site needs at least one source and one target.")
        if not self.delays:
            object.__setattr__(self, "delays", (0,) * len(self.targets))
        if len(self.delays) != len(self.targets) or min(self.delays) < 0:
            raise MosaicError(
                f"delays is {self.delays}; it needs one number from 0 for each of "
                f"{len(self.targets)} targets."
            )


class Parts(NamedTuple):
    """The modules of a site, with the recurrent layer of a cell as source and target."""

    sources: dict[str, Any]
    between: dict[str, nn.Module]
    targets: dict[str, Any]
    delays: tuple[int, ...]
    width: int

    @property
    def cells(self) -> list[nn.Module]:
        """Spiking cells in between."""
        return [module for module in self.between.values() if isinstance(module, CELLS)]


class Record(NamedTuple):
    """What a loss saw at a site.

    Parameters
    ----------
    loss : float
    inputs : tuple of (steps, samples, ...)
        What each source was given.
    errors : tuple of (steps, samples, ...)
        Derivative of the loss by what each target gave.
    """

    loss: float
    inputs: tuple[Tensor, ...]
    errors: tuple[Tensor, ...]


def sites_of(model: nn.Module) -> list[Site]:
    """All sites of a model whose layers are registered in the order in which they run.

    Everything from one `nn.Linear` or `nn.Conv2d` to the next is taken to lie between them. A
    model with branches needs its sites spelled out.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 2))
    >>> [(site.sources, site.between, site.targets) for site in sites_of(net)]
    [(('0',), ('1',), ('2',)), (('2',), (), ('3',))]
    """
    inside = tuple(
        f"{name}." for name, module in model.named_modules() if isinstance(module, CELLS)
    )
    leaves = [
        (name, module)
        for name, module in model.named_modules()
        if name and not name.startswith(inside or "/")
        and (isinstance(module, CELLS) or not list(module.children()))
    ]  # fmt: skip
    ends = [i for i, (_, module) in enumerate(leaves) if _grows(module)]
    return [
        Site((leaves[i][0],), tuple(n for n, _ in leaves[i + 1 : j]), (leaves[j][0],))
        for i, j in pairwise(ends)
    ]


def parts_of(model: nn.Module, site: Site) -> Parts:
    """Find the modules of a site.

    Raises
    ------
    MosaicError
        If there is no such module, or it is of no kind that can grow here.
    """
    modules = dict(model.named_modules())
    for name in (*site.sources, *site.between, *site.targets):
        if name not in modules:
            raise MosaicError(
                f"The model has no module {name!r}; it has {', '.join(filter(None, modules))}."
            )
    sources = {name: modules[name] for name in site.sources}
    between = {name: modules[name] for name in site.between}
    targets = {name: modules[name] for name in site.targets}
    delays = site.delays
    for name, module in between.items():
        if isinstance(module, CELLS):
            newborn_cell(module)
        if isinstance(module, snntorch.RLeaky) and module.all_to_all:
            if not isinstance(module.recurrent, nn.Linear):
                raise MosaicError(
                    f"{name!r} has recurrent convolutions, which cannot grow."
                )
            sources[f"{name}.recurrent"] = targets[f"{name}.recurrent"] = module.recurrent
            delays = (*delays, 1)  # what it gives now is what neurons fired a step ago
    for name, module in (sources | targets).items():
        if not _grows(module):
            groups = (
                f" with groups={module.groups}" if isinstance(module, nn.Conv2d) else ""
            )
            raise MosaicError(
                f"{name!r} is a {type(module).__name__}{groups}; sources and targets are Linear "
                "or Conv2d with groups=1."
            )
    kinds = {type(module) for module in sources.values()}
    widths = {module.weight.shape[0] for module in sources.values()}
    if len(widths) > 1 or len(kinds) > 1:
        raise MosaicError(
            f"The sources {tuple(sources)} give {sorted(widths)} channels from "
            f"{sorted(kind.__name__ for kind in kinds)}; they have to give the same number, "
            "and be of one kind."
        )
    width = widths.pop()
    for name, module in targets.items():
        if module.weight.shape[1] % max(width, 1):
            raise MosaicError(
                f"{name!r} reads {module.weight.shape[1]} inputs, which are no multiple of the "
                f"{width} channels of {tuple(sources)}."
            )
    return Parts(sources, between, targets, delays, width)


def observe(model: nn.Module, site: Site, loss: Loss) -> Record:
    """Run a loss and keep what the sources read, and its derivative by what the targets give.

    Parameters
    ----------
    model : nn.Module
        Left as it was, running means of its norms included.
    site : Site
    loss : callable
        Takes the model, returns a scalar.

    Returns
    -------
    Record

    Raises
    ------
    MosaicError
        If the loss does not depend on the targets, or if anything is not finite.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> record = observe(net, sites_of(net)[0], lambda net: net(torch.ones(5, 3)).sum())
    >>> record.inputs[0].shape, record.errors[0].shape
    (torch.Size([1, 5, 3]), torch.Size([1, 5, 2]))
    """
    parts = parts_of(model, site)
    reads: dict[str, list[Tensor]] = {name: [] for name in parts.sources}
    probes: dict[str, list[Tensor]] = {name: [] for name in parts.targets}

    # RLeaky with reset to zero calls its recurrent layer twice a step; that is one probe.
    owners = {f"{name}.recurrent": module for name, module in parts.between.items()}
    again: set[tuple[str, str]] = set()

    def keep(name: str) -> Callable[..., None]:
        def look(module: nn.Module, given: Any) -> None:
            if ("reads", name) not in again:
                reads[name].append(given[0].detach())
            if name in owners:
                again.add(("reads", name))

        return look

    def probe(name: str) -> Callable[..., Tensor]:
        def add(module: nn.Module, given: Any, out: Tensor) -> Tensor:
            if ("probes", name) not in again:
                probes[name].append(torch.zeros_like(out, requires_grad=True))
            if name in owners:
                again.add(("probes", name))
            return out + probes[name][-1]

        return add

    def next_step(module: nn.Module, given: Any) -> None:
        again.clear()

    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    running = [
        {key: value.clone() for key, value in norm.named_buffers()} for norm in norms
    ]

    def restore() -> None:
        for norm, buffers in zip(norms, running, strict=True):
            for key, old in buffers.items():
                getattr(norm, key).copy_(old)

    with ExitStack() as hooks, torch.enable_grad():
        hooks.callback(restore)
        for name, module in parts.sources.items():
            hooks.enter_context(module.register_forward_pre_hook(keep(name)))
        for name, module in parts.targets.items():
            hooks.enter_context(module.register_forward_hook(probe(name)))
        for name in owners.keys() & parts.sources.keys():
            hooks.enter_context(owners[name].register_forward_pre_hook(next_step))
        value = loss(model)
    flat = [p for each in probes.values() for p in each]
    if (
        not isinstance(value, Tensor)
        or value.numel() != 1
        or not value.requires_grad
        or not flat
    ):
        raise MosaicError(
            "The loss has to be a scalar that depends on the model's targets "
            f"{tuple(parts.targets)}, with its graph."
        )
    found = torch.autograd.grad(value.sum(), flat, allow_unused=True)
    if all(each is None for each in found):
        raise MosaicError(
            f"The loss does not depend on the targets {tuple(parts.targets)}."
        )
    grads = iter(
        torch.zeros_like(p) if g is None else g for p, g in zip(flat, found, strict=True)
    )
    errors = {name: [next(grads) for _ in each] for name, each in probes.items()}
    ends = parts.sources | parts.targets
    conv = {name: isinstance(module, nn.Conv2d) for name, module in ends.items()}
    series = [_series(name, each, site, conv[name]) for name, each in reads.items()]
    deltas = [_series(name, each, site, conv[name]) for name, each in errors.items()]
    lengths = {each.shape[:2] for each in (*series, *deltas)}
    if len(lengths) > 1:
        raise MosaicError(
            f"The layers of the site see (steps, samples) of {sorted(map(tuple, lengths))}; these "
            "have to agree. Is each called once a step?"
        )
    if not all(bool(torch.isfinite(each).all()) for each in (value, *series, *deltas)):
        raise MosaicError(
            "The gradient is not finite; the loss has diverged. Use a smaller learning rate."
        )
    return Record(float(value.detach()), tuple(series), tuple(deltas))


def _series(name: str, calls: list[Tensor], site: Site, conv: bool) -> Tensor:
    """Stack the calls of a layer to (steps, samples, ...)."""
    if not calls:
        raise MosaicError(f"The loss does not call {name!r}.")
    if site.steps_first:
        if len(calls) > 1 or calls[0].dim() != 3:
            raise MosaicError(
                f"With steps_first, {name!r} has to be called once, with (steps, samples, "
                f"features); it was called {len(calls)} times, with {tuple(calls[0].shape)}."
            )
        return calls[0]
    if len({call.shape for call in calls}) > 1:
        raise MosaicError(
            f"{name!r} is called with different shapes; one call is one step."
        )
    if calls[0].dim() < 2 or (conv and calls[0].dim() != 4):
        raise MosaicError(
            f"{name!r} is called with {tuple(calls[0].shape)}; dimension 0 has to be samples."
        )
    series = torch.stack(calls)
    return series if conv else series.flatten(1, -2)


def _grows(module: nn.Module) -> bool:
    """Whether this is a layer that can get rows and columns."""
    return isinstance(module, nn.Linear) or (
        isinstance(module, nn.Conv2d) and module.groups == 1
    )
