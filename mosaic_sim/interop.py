"""Networks from snnTorch modules. The only file of the simulator that knows torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.network import RESETS, Network

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

__all__ = ["from_snntorch"]


def from_snntorch(module: nn.Sequential) -> Network:
    """Read a feed-forward or recurrent snnTorch model.

    Linear layers become synapses of delay 0, their biases synapses from the bias line; the
    recurrent weights of `RLeaky` become synapses of delay 1. Weights that are exactly 0 are
    left out. Layers are named ``layer 0``, ``layer 1``, ... in `Network.groups`.

    Parameters
    ----------
    module : torch.nn.Sequential
        Of ``Flatten``, ``Linear`` and ``snntorch.Leaky`` or ``snntorch.RLeaky``, each neuron
        layer after a linear one. State has to be passed explicitly (``init_hidden=False``).

    Raises
    ------
    MosaicError
        If a layer or a setting cannot be expressed; the message says what to use instead.

    Examples
    --------
    >>> import snntorch, torch
    >>> net = from_snntorch(torch.nn.Sequential(torch.nn.Linear(3, 2), snntorch.Leaky(beta=0.9)))
    >>> net.inputs, net.bias, net.neurons, list(net.groups)
    (3, True, 2, ['layer 0'])
    """
    import snntorch
    from torch import nn

    linear: Any = None
    inputs: int | None = None
    layers: list[tuple[Any, Any]] = []
    for name, layer in enumerate(
        module
    ):  # not named_children, which skips a cell used twice
        if isinstance(layer, nn.Flatten):
            continue
        if isinstance(layer, nn.Linear):
            if linear is not None:
                raise MosaicError(
                    f"Layer {name} is a Linear right after another; multiply the two into one, "
                    "or put a snntorch.Leaky between them."
                )
            linear = layer
            inputs = layer.in_features if inputs is None else inputs
        elif isinstance(layer, snntorch.Leaky | snntorch.RLeaky):
            if linear is None:
                raise MosaicError(f"Layer {name} has no Linear before it; put one there.")
            _check_cell(name, layer)
            layers.append((linear, layer))
            linear = None
        else:
            raise MosaicError(
                f"Layer {name} is a {type(layer).__name__}; a tile can hold Flatten, Linear, "
                "snntorch.Leaky and snntorch.RLeaky."
            )
    if linear is not None or not layers or inputs is None:
        raise MosaicError("The model must end with a snntorch.Leaky after a Linear.")

    sizes = [linear.out_features for linear, _ in layers]
    born = np.cumsum([0, *sizes])
    bias = any(
        part is not None and bool((part != 0).any())
        for linear, cell in layers
        for part in (linear.bias, _recurrent_bias(cell))
    )
    first = inputs + int(bias)
    source: list[NDArray[np.int64]] = []
    target: list[NDArray[np.int64]] = []
    weight: list[NDArray[np.float32]] = []
    delay: list[NDArray[np.int64]] = []

    def connect(matrix: Any, start: int, end: int, steps: int) -> None:
        """Add the non-zero entries of a (post, pre) matrix."""
        values = matrix.detach().cpu().numpy()
        post, pre = np.nonzero(values)
        source.append(pre + start)
        target.append(post + end)
        weight.append(values[post, pre])
        delay.append(np.full(post.size, steps))

    for k, (linear, cell) in enumerate(layers):
        if k and linear.in_features != sizes[k - 1]:
            raise MosaicError(
                f"Linear {k} reads {linear.in_features} values, but {sizes[k - 1]} neurons come "
                "before it."
            )
        connect(linear.weight, 0 if k == 0 else first + int(born[k - 1]), int(born[k]), 0)
        constant = linear.bias
        if isinstance(cell, snntorch.RLeaky):
            _connect_recurrent(cell, connect, first + int(born[k]), int(born[k]), sizes[k])
            if (extra := _recurrent_bias(cell)) is not None:
                constant = extra if constant is None else constant + extra
        if bias and constant is not None:
            connect(constant[:, None], inputs, int(born[k]), 0)

    def per_neuron(name: str) -> NDArray[np.float32]:
        parts = [
            np.broadcast_to(getattr(cell, name).detach().cpu().numpy(), (size,))
            for (_, cell), size in zip(layers, sizes, strict=True)
        ]
        return np.concatenate(parts).astype(np.float32)

    return Network.from_synapses(
        inputs=inputs, neurons=int(born[-1]), bias=bias,
        source=np.concatenate(source), target=np.concatenate(target),
        weight=np.concatenate(weight), delay=np.concatenate(delay),
        leak=per_neuron("beta"), threshold=per_neuron("threshold"),
        reset=np.repeat([RESETS.index(cell.reset_mechanism) for _, cell in layers], sizes),
        groups={f"layer {k}": np.arange(born[k], born[k + 1]) for k in range(len(sizes))},
    )  # fmt: skip


def _check_cell(name: int, cell: Any) -> None:
    import snntorch

    kind = type(cell).__name__
    if type(cell) not in (snntorch.Leaky, snntorch.RLeaky):
        raise MosaicError(
            f"Layer {name} is a {kind}; use snntorch.Leaky or snntorch.RLeaky."
        )
    for setting, plain in (
        ("init_hidden", False), ("inhibition", False), ("state_quant", False),
        ("reset_delay", True), ("surrogate_disable", False),
    ):  # fmt: skip
        if getattr(cell, setting, plain) != plain:
            raise MosaicError(
                f"Layer {name} ({kind}) has {setting}={getattr(cell, setting)}; only "
                f"{setting}={plain} is supported."
            )
    if bool((cell.graded_spikes_factor != 1).any()):
        raise MosaicError(
            f"Layer {name} ({kind}) has graded spikes; a line carries 0 or 1 a step. Multiply "
            "the factor into the weights that follow."
        )
    if bool(((cell.beta < 0) | (cell.beta > 1)).any()):
        raise MosaicError(f"Layer {name} ({kind}) has beta outside 0 to 1.")
    if isinstance(cell, snntorch.RLeaky) and cell.reset_mechanism == "zero":
        raise MosaicError(
            f"Layer {name} (RLeaky) resets to zero, which loses the input of that step in "
            "snnTorch; use reset_mechanism='subtract' or 'none'."
        )


def _recurrent_bias(cell: Any) -> Any:
    return getattr(getattr(cell, "recurrent", None), "bias", None)


def _connect_recurrent(cell: Any, connect: Any, start: int, end: int, size: int) -> None:
    import torch

    if cell.all_to_all:
        connect(cell.recurrent.weight, start, end, 1)
    else:
        connect(torch.diag(cell.recurrent.V.detach().expand(size)), start, end, 1)
