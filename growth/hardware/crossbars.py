"""Which weights of a model share the columns of a crossbar, and which cells they drive.

A column of a chip's crossbar holds all weights that enter one neuron, from inputs, from the
neuron's own layer and from the bias line. Its front-end sets one gain for all of them, so they
are rounded together. A torch model keeps them in several modules: here they are brought together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import snntorch
import torch
from torch import nn

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Crossbar", "NamedCell", "Part", "cells", "crossbars"]

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)


class Part(NamedTuple):
    """One tensor of weights: attribute `attribute` of `module`, neurons first."""

    module: nn.Module
    attribute: str
    bias: bool = False

    @property
    def tensor(self) -> torch.Tensor:
        """The weights."""
        found: torch.Tensor = getattr(self.module, self.attribute)
        return found


class Crossbar(NamedTuple):
    """Weights that enter the same neurons: by layer, which are module by module."""

    name: str
    layers: tuple[tuple[Part, ...], ...]

    @property
    def neurons(self) -> int:
        """Neurons, or output channels."""
        return int(self.layers[0][0].tensor.shape[0])


class NamedCell(NamedTuple):
    """A layer of neurons, and how many there are if that is known before it is called."""

    name: str
    module: nn.Module
    neurons: int | None


def crossbars(
    model: nn.Module, columns: Sequence[Sequence[str]] | None = None
) -> list[Crossbar]:
    """Bring the weights together that share columns.

    ``Linear`` and ``Conv`` layers have columns of their own. The recurrent weights of an
    ``snntorch.RLeaky`` share those of the one layer of weights that is registered between it and
    the layer of neurons before it. A module of another kind names its own: its attribute
    ``crossbar`` holds the names of its tensors, (neurons, ...), layer by layer:
    ``(("incoming",), ("recurrent",))``.

    Parameters
    ----------
    model : torch.nn.Module
    columns : sequence of sequences of str, optional
        Names of modules, as in ``model.named_modules()``, whose weights enter the same neurons,
        where that does not follow from the order in which they are registered.

    Raises
    ------
    MosaicError
        If a name in `columns` is none of the model's, stands there twice or holds no weights, if
        layers said to share columns have other numbers of neurons, or if it is open which layer
        drives recurrent neurons.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 2), snntorch.RLeaky(beta=0.9, linear_features=2))
    >>> [len(bar.layers) for bar in crossbars(model)]
    [2]
    """
    modules = dict(model.named_modules())
    found: list[Crossbar] = []
    given: set[str] = set()
    within = {
        part: name
        for name, module in modules.items() if _recurrent(module)
        for part in module.modules() if part is not module
    }  # fmt: skip
    for group in columns or ():
        layers: list[tuple[Part, ...]] = []
        for name in group:
            if name not in modules or name in given:
                raise MosaicError(
                    f"columns has {name!r}, which "
                    + ("stands there twice." if name in given else "is no module of model.")
                )
            if modules[name] in within:
                raise MosaicError(
                    f"columns has {name!r}; name the cell that it is part of: "
                    f"{within[modules[name]]!r}."
                )
            given.add(name)
            own = _parts(modules[name])
            if not own:
                raise MosaicError(
                    f"columns has {name!r}, a {type(modules[name]).__name__}, which holds no "
                    "weights; it needs Linear, Conv1d, Conv2d or RLeaky."
                )
            layers += own
        found.append(_checked(" and ".join(group), layers))
    loose: list[tuple[str, nn.Module]] = []
    inside: set[nn.Module] = set()
    for name, module in modules.items():
        if module in inside:
            continue
        if isinstance(module, snntorch.SpikingNeuron) or hasattr(module, "crossbar"):
            inside.update(module.modules())
        if name not in given and _recurrent(module):
            free = [(n, m) for n, m in loose if n not in given]
            if len(free) != 1:
                raise MosaicError(
                    f"model has {len(free)} layers of weights registered between {name!r} "
                    f"({type(module).__name__}) and the neurons before it; it needs one. Say "
                    f"which drives it: columns=[['NAME OF THE LAYER', {name!r}]]."
                )
            before, driver = free[0]
            found = [bar for bar in found if bar.layers[0][0].module is not driver]
            found.append(
                _checked(f"{before} and {name}", [*_parts(driver), *_parts(module)])
            )
        elif name not in given and (own := _parts(module)):
            found.append(_checked(name, own))
        if isinstance(module, WEIGHTED):
            loose.append((name, module))
        elif isinstance(module, snntorch.SpikingNeuron):
            loose = []
    return found


def cells(model: nn.Module) -> list[NamedCell]:
    """List the layers of neurons: cells of snnTorch, and modules with a ``crossbar``.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 2), snntorch.Leaky(beta=0.9))
    >>> [(cell.name, cell.neurons) for cell in cells(model)]
    [('1', 2)]
    """
    found, loose = [], []
    for name, module in model.named_modules():
        if isinstance(module, WEIGHTED):
            loose.append(module)
        elif isinstance(module, snntorch.SpikingNeuron):
            found.append(NamedCell(name, module, _neurons(module, loose)))
            loose = []
        elif hasattr(module, "crossbar"):
            found.append(NamedCell(name, module, int(_own(module)[0][0].tensor.shape[0])))
    return found


def _neurons(cell: Any, before: Sequence[nn.Module]) -> int | None:
    """Neurons of a cell of snnTorch; None if only its input tells."""
    for values in (cell.beta, cell.threshold):
        if values.ndim == 1 and values.numel() > 1:
            return int(values.numel())
    if isinstance(getattr(cell, "recurrent", None), nn.Linear):
        return int(cell.recurrent.out_features)
    if len(before) == 1 and isinstance(before[0], nn.Linear):
        return int(before[0].out_features)
    return None


def _recurrent(module: nn.Module) -> bool:
    return isinstance(module, snntorch.SpikingNeuron) and hasattr(module, "recurrent")


def _parts(module: nn.Module) -> list[tuple[Part, ...]]:
    """Layers of weights of one module."""
    if isinstance(module, WEIGHTED):
        weight = Part(module, "weight")
        return [(weight,) if module.bias is None else (weight, Part(module, "bias", True))]
    if _recurrent(module):
        recurrent: Any = module.recurrent
        if isinstance(recurrent, WEIGHTED):
            return _parts(recurrent)
        if recurrent.V.ndim == 0:
            raise MosaicError(
                "An RLeaky with all_to_all=False has one V for all its neurons; a chip has a "
                "device for each: give V one entry a neuron."
            )
        return [(Part(recurrent, "V"),)]
    return _own(module) if hasattr(module, "crossbar") else []


def _own(module: Any) -> list[tuple[Part, ...]]:
    """Layers that a module names itself."""
    return [tuple(Part(module, name) for name in layer) for layer in module.crossbar]


def _checked(name: str, layers: Iterable[tuple[Part, ...]]) -> Crossbar:
    bar = Crossbar(name, tuple(layers))
    sizes = [part.tensor.shape[0] for layer in bar.layers for part in layer]
    if len(set(sizes)) > 1:
        raise MosaicError(
            f"The weights of {name} enter {', '.join(map(str, sizes))} neurons; layers that "
            "share columns enter the same. Say which do: columns=[['LAYER', 'NEURONS'], ...]."
        )
    return bar
