"""Put new neurons into any torch model, and remember how, to rebuild it.

Whatever grows keeps its old entries in the leading corner: rows and columns are appended. So a
checkpoint, an optimiser and a chip can tell old from new by the shapes alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from growth.initialise.layout import places_of
from growth.initialise.response import new_groups
from growth.initialise.rest import (
    BATCH_NORMS,
    CELLS,
    NORMS,
    copy_of,
    delta_kernel,
    is_depthwise,
    newborn_cell,
    replace_tensor,
    values_of_neurons,
)
from growth.initialise.site import Site, parts_of
from mosaic_sim.errors import MosaicError

__all__ = ["NewNeurons", "Stage", "rebuild", "widen"]

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class NewNeurons:
    """Weights of neurons that are not in a model yet.

    Parameters
    ----------
    incoming : tuple of Tensor
        For each source, its new rows, (k, ...).
    outgoing : tuple of Tensor
        For each target, its new columns, (outputs, k, ...); a Linear after a Flatten gets k
        times the positions.
    keeps_function : bool
        Whether the model gives what it gave before, once they are in it.
    evidence : mapping of str to float
        What was measured on the way: gradient norms, losses, rates.
    rescale : float
        What the targets' old weights and biases are multiplied by.
    """

    incoming: tuple[Tensor, ...]
    outgoing: tuple[Tensor, ...]
    keeps_function: bool
    evidence: Mapping[str, float]
    rescale: float = 1.0

    @property
    def neurons(self) -> int:
        """Number of new neurons, or channels."""
        return int(self.incoming[0].shape[0])


@dataclass(frozen=True)
class Stage:
    """One growth of a model: where, how many, and which shapes it changed.

    Parameters
    ----------
    site : Site
    neurons : int
    shapes : mapping of str to pair of shapes
        Parameters and buffers by name: before, after.
    """

    site: Site
    neurons: int
    shapes: Mapping[str, tuple[Shape, Shape]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for ``torch.save`` beside a `state_dict`, or for JSON."""
        site = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self.site).items()
        }
        shapes = {name: [list(a), list(b)] for name, (a, b) in self.shapes.items()}
        return {"site": site, "neurons": self.neurons, "shapes": shapes}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Stage:
        """Take up what `to_dict` gave.

        Raises
        ------
        MosaicError
            If a key is missing.
        """
        try:
            shapes = {n: (tuple(a), tuple(b)) for n, (a, b) in values["shapes"].items()}
            return Stage(Site(**values["site"]), int(values["neurons"]), shapes)
        except (KeyError, TypeError, ValueError) as error:
            raise MosaicError(
                f"This is no stage of growth: {error!r}. It needs site, neurons and shapes, as "
                "Stage.to_dict gives them."
            ) from error


def widen(
    model: nn.Module, site: Site, new: NewNeurons, *, keep_function: bool = True
) -> tuple[nn.Module, Stage]:
    """Return a copy of a model with new neurons in it.

    Parameters
    ----------
    model : nn.Module
        Stays as it is.
    site : Site
    new : NewNeurons
        From one of `growth.initialise.INITIALISATIONS`, or your own.
    keep_function : bool
        Refuse what changes the outputs of old neurons by the way, that is a LayerNorm in
        between: it normalises over old and new neurons together.

    Returns
    -------
    model : nn.Module
        Biases of the new neurons are 0, norms pass them on (weight 1, bias 0, running mean 0,
        running variance 1), and what a cell holds for each neuron is the mean of the old ones.
    stage : Stage
        For `rebuild` and for `growth.initialise.carry`.

    Raises
    ------
    MosaicError
        If weights do not fit the site or are not finite, if a norm would multiply the gradient
        of silent channels, or if two layers share a weight that has to grow.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> new = NewNeurons((torch.zeros(5, 3),), (torch.ones(2, 5),), True, {})
    >>> grown, stage = widen(net, Site(("0",), ("1",), ("2",)), new)
    >>> grown[0].out_features, stage.shapes["2.weight"]
    (9, ((2, 4), (2, 9)))
    """
    parts = parts_of(model, site)
    _check(parts.sources, parts.targets, parts.width, new)
    silent = not any(bool(rows.any()) for rows in new.incoming)
    for name, module in parts.between.items():
        if isinstance(module, BATCH_NORMS) and silent and (
            module.training or not module.track_running_stats
        ):  # fmt: skip
            raise MosaicError(
                f"{name!r} divides a channel that is all 0 by sqrt(eps), so its gradient grows by "
                f"{module.eps**-0.5:.0f}. Call eval() on it, or start with outgoing weights 0, as "
                "by_inverse does."
            )
        if isinstance(module, nn.LayerNorm) and keep_function:
            raise MosaicError(
                f"{name!r} is a LayerNorm: it normalises over old and new neurons together, so "
                "the old ones change. Pass keep_function=False to accept this, or use GroupNorm "
                "or BatchNorm."
            )
    _check_sharing(model, (*parts.sources, *parts.targets))
    grown = copy_of(model)
    before = _shapes(grown)
    now = parts_of(grown, site)
    for (name, module), rows in zip(now.sources.items(), new.incoming, strict=True):
        _add_rows(module, rows)
        if name.endswith(".recurrent"):
            cell: Any = grown.get_submodule(name.removesuffix(".recurrent"))
            cell.linear_features = len(module.weight)
    for (name, module), columns in zip(now.targets.items(), new.outgoing, strict=True):
        if new.rescale != 1:
            for weight in module.parameters(recurse=False):
                weight.data.mul_(new.rescale)
        _add_columns(module, columns, pad=new.neurons if name in now.sources else 0)
    for name, module in now.between.items():
        _grow_between(grown, name, module, new.neurons, now.width)
    after = _shapes(grown)
    changed = {n: (before[n], after[n]) for n in after if before[n] != after[n]}
    return grown, Stage(site, new.neurons, changed)


def rebuild(model: nn.Module, stages: Sequence[Stage]) -> nn.Module:
    """Return a model of the shapes that another had after its stages of growth.

    Parameters
    ----------
    model : nn.Module
        As the other was before it grew; its values do not matter.
    stages : sequence of Stage

    Returns
    -------
    nn.Module
        Into which the ``state_dict`` of the grown model loads.

    Raises
    ------
    MosaicError
        If the model is not what these stages grew from.

    Examples
    --------
    >>> def start():
    ...     return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> new = NewNeurons((torch.zeros(1, 3),), (torch.ones(2, 1),), True, {})
    >>> grown, stage = widen(start(), Site(("0",), ("1",), ("2",)), new)
    >>> again = rebuild(start(), [Stage.from_dict(stage.to_dict())])
    >>> again.load_state_dict(grown.state_dict())
    <All keys matched successfully>
    """
    for stage in stages:
        model = replay(model, stage)
    return model


def replay(model: nn.Module, stage: Stage) -> nn.Module:
    """Do one stage of `rebuild`: grow with weights 0, without asking whether that could learn."""
    parts = parts_of(model, stage.site)
    count = stage.neurons
    new = NewNeurons(
        tuple(m.weight.new_ones(count, *m.weight.shape[1:]) for m in parts.sources.values()),
        tuple(
            m.weight.new_zeros(
                m.weight.shape[0], count * places_of(m, parts.width), *m.weight.shape[2:]
            )
            for m in parts.targets.values()
        ),
        False, {},
    )  # fmt: skip
    grown, same = widen(model, stage.site, new, keep_function=False)
    if dict(same.shapes) != dict(stage.shapes):
        wrong = [n for n in stage.shapes if stage.shapes[n] != same.shapes.get(n)]
        raise MosaicError(
            f"This model is not what the stage grew from: {', '.join(wrong) or 'other layers'} "
            "would have other shapes. Build it as it was before, and pass every stage in order."
        )
    return grown


def _check(
    sources: Mapping[str, Any], targets: Mapping[str, Any], width: int, new: NewNeurons
) -> None:
    """Refuse weights that do not fit, or are not finite."""
    count = new.neurons if new.incoming else 0
    rows = {n: (count, *m.weight.shape[1:]) for n, m in sources.items()}
    columns = {
        n: (
            m.weight.shape[0],
            count * places_of(m, width),
            *m.weight.shape[2:],
        )
        for n, m in targets.items()
    }
    for side, given, wanted in (
        ("incoming", new.incoming, rows), ("outgoing", new.outgoing, columns),
    ):  # fmt: skip
        shapes = [tuple(each.shape) for each in given]
        if shapes != list(wanted.values()) or not count:
            raise MosaicError(
                f"{side} has shapes {shapes}; with at least one neuron, this site needs "
                + ", ".join(f"{shape} for {name!r}" for name, shape in wanted.items())
                + "."
            )
        if not all(bool(torch.isfinite(each).all()) for each in given):
            raise MosaicError(f"{side} has weights that are not finite.")


def _check_sharing(model: nn.Module, names: Sequence[str]) -> None:
    """Refuse a layer whose weight also serves elsewhere: it could not grow here alone."""
    modules: dict[str, Any] = dict(model.named_modules())
    weights = {name: id(modules[name].weight) for name in names}
    users: dict[int, set[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        users.setdefault(id(weight), set()).add(name)
    for name, key in weights.items():
        if len(users[key]) > 1:
            raise MosaicError(
                f"{name!r} shares its weight with others ({', '.join(sorted(users[key]))}), "
                "which would all have to grow. Untie them first."
            )


def _shapes(model: nn.Module) -> dict[str, Shape]:
    """Shapes of what a checkpoint holds."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _grown(old: Tensor, new: Tensor, dim: int) -> nn.Parameter:
    """`new` appended to a parameter."""
    both = torch.cat([old.detach(), new.detach().to(old)], dim)
    return nn.Parameter(both, requires_grad=old.requires_grad)


def _add_rows(module: Any, rows: Tensor) -> None:
    module.weight = _grown(module.weight, rows, 0)
    if module.bias is not None:
        module.bias = _grown(module.bias, module.bias.new_zeros(len(rows)), 0)
    size = "out_channels" if isinstance(module, nn.Conv2d) else "out_features"
    setattr(module, size, len(module.weight))


def _add_columns(module: Any, columns: Tensor, pad: int = 0) -> None:
    """Append columns; below them `pad` rows of 0, from new neurons to new ones."""
    if pad:
        columns = torch.cat([columns, columns.new_zeros(pad, *columns.shape[1:])])
    module.weight = _grown(module.weight, columns, 1)
    size = "in_channels" if isinstance(module, nn.Conv2d) else "in_features"
    setattr(module, size, module.weight.shape[1])


def _grow_between(
    model: nn.Module, name: str, module: nn.Module, count: int, width: int
) -> None:
    """Give a module in between room for `count` more channels."""
    if isinstance(module, CELLS):
        born = newborn_cell(module)
        for key in values_of_neurons(module):
            old = getattr(module, key)
            if old.numel() > 1:
                fresh = getattr(born, key).detach().expand(count, *old.shape[1:])
                replace_tensor(module, key, torch.cat([old.detach(), fresh]))
        if isinstance(module, snntorch.RLeaky) and not module.all_to_all:
            module.recurrent.V = module.V
    elif is_depthwise(module):
        assert isinstance(module, nn.Conv2d)
        module.weight = _grown(module.weight, delta_kernel(module, count).weight, 0)
        if module.bias is not None:
            module.bias = _grown(module.bias, module.bias.new_zeros(count), 0)
        module.in_channels = module.out_channels = module.groups = width + count
    elif isinstance(module, NORMS):
        _grow_norm(module, count, width)
    elif sum(p.numel() for p in module.parameters()) > 1:
        raise MosaicError(
            f"{name!r} is a {type(module).__name__} with weights of its own; it cannot grow here."
        )


def _grow_norm(norm: Any, count: int, width: int) -> None:
    """New channels of a norm get weight 1, bias 0, running mean 0 and running variance 1."""
    if isinstance(norm, nn.GroupNorm):
        norm.num_groups += new_groups(norm, count)
        norm.num_channels += count
    elif isinstance(norm, nn.LayerNorm):
        if len(norm.normalized_shape) != 1:
            raise MosaicError("A LayerNorm over several dimensions cannot grow.")
        norm.normalized_shape = (norm.normalized_shape[0] + count,)
    else:
        count = count * norm.num_features // max(width, 1)  # several each after a Flatten
        norm.num_features += count
    for key, value in (("weight", 1.0), ("bias", 0.0)):
        old = getattr(norm, key)
        if old is not None:
            setattr(norm, key, _grown(old, old.new_full((count,), value), 0))
    for key, value in (("running_mean", 0.0), ("running_var", 1.0)):
        old = getattr(norm, key, None)
        if old is not None:
            setattr(norm, key, torch.cat([old, old.new_full((count,), value)]))
