"""Networks from snnTorch modules. The only file of the simulator that knows torch."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.interop import maps
from mosaic_sim.interop.builder import Builder, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from mosaic_sim.network import Network

__all__ = ["from_snntorch"]


def from_snntorch(module: nn.Module, input_shape: Sequence[int] | None = None) -> Network:
    """Read a spiking model of snnTorch.

    Between layers of neurons everything linear is folded into synapses of delay 0: ``Linear``,
    ``Conv1d``, ``Conv2d``, ``AvgPool2d``, ``BatchNorm`` (in evaluation mode), ``Flatten``,
    ``Dropout`` (which does nothing in evaluation mode), and additions of branches. Biases become
    synapses from the bias line. ``MaxPool2d`` of spikes becomes a layer of neurons that fire if
    one of their inputs does. Recurrent weights become synapses of delay 1. Weights that are
    exactly 0 are left out. Neuron layers are named ``layer 0``, ``layer 1``, ... in
    `Network.groups`, in the order in which they are called.

    Parameters
    ----------
    module : torch.nn.Module
        A ``Sequential``, or a module whose ``forward`` does one time step (without a loop over
        time); it is read with ``torch.fx``. Neurons: ``snntorch.Leaky``, ``RLeaky``,
        ``Synaptic``, ``RSynaptic`` and ``Alpha``.
    input_shape : sequence of int, optional
        Of one input, without samples and steps: ``(1, 28, 28)``. Needed unless the first
        layer is ``Linear``.

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
    graph, layers = _trace(module)
    reader = _Reader(layers, input_shape)
    for node in graph.nodes:
        reader.read(node)
    return reader.finish()


def _trace(module: nn.Module) -> tuple[Any, dict[str, Any]]:
    """Return the graph of one step, and its modules by name."""
    import snntorch
    from torch import fx

    neurons = snntorch.SpikingNeuron

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: Any, name: str) -> bool:
            return isinstance(m, neurons) or bool(super().is_leaf_module(m, name))

    try:
        graph = Tracer().trace(module)
    except Exception as error:  # whatever the user's forward raises when it is traced
        raise MosaicError(
            f"module cannot be read: {error}. Its forward must do one time step, without a loop "
            "over time and without branches that depend on values."
        ) from None
    return graph, dict(module.named_modules())


class _Reader:
    """Follow the graph of a module; keep what each node gives."""

    def __init__(self, layers: dict[str, Any], shape: Sequence[int] | None) -> None:
        self.layers = layers
        self.shape = tuple(shape) if shape is not None else None
        self.builder: Builder | None = None
        self.values: dict[Any, Any] = {}
        self.used: set[int] = set()
        self.count = 0
        self.ends_in_neurons = False

    def read(self, node: Any) -> None:
        if node.op == "placeholder":
            first = not any(n.op == "placeholder" for n in self.values)
            self.values[node] = "input" if first else "state"
        elif node.op == "call_module":
            self.values[node] = self._module(node)
        elif node.op in ("call_function", "call_method"):
            self.values[node] = self._function(node)
        elif node.op == "get_attr" and self._is_state(node.target):
            self.values[node] = "state"
        elif node.op == "get_attr":
            raise MosaicError(
                f"The model reads its attribute {node.target!r} directly; use a layer for it."
            )

    def finish(self) -> Network:
        if self.builder is None or not self.builder.layers or not self.ends_in_neurons:
            raise MosaicError(
                "The model must end with a snntorch.Leaky or another neuron: a chip gives spikes. "
                "For a readout without spikes use one with reset_mechanism='none'."
            )
        return self.builder.network()

    def _is_state(self, target: str) -> bool:
        """Whether an attribute is the state of a layer of neurons, as reset_mem reads it."""
        import snntorch

        owner, _, name = str(target).rpartition(".")
        states = ("mem", "syn", "spk", "syn_exc", "syn_inh")
        return name in states and isinstance(self.layers.get(owner), snntorch.SpikingNeuron)

    def _signal(self, argument: Any, features: int | None = None) -> Signal:
        value = self.values.get(argument)
        if isinstance(value, str) and value == "input":
            if self.builder is None:
                if self.shape is None and features is None:
                    raise MosaicError(
                        "input_shape is needed: the first layer does not tell it, for example "
                        "input_shape=(1, 28, 28)."
                    )
                self.builder = Builder(self.shape or (features or 0,))
            return self.builder.input
        if isinstance(value, tuple):  # a neuron layer that returns its state too
            value = value[0]
        if not isinstance(value, Signal):
            raise MosaicError(
                f"{argument} is used as input of a layer, but is no spike or current."
            )
        return value

    def _module(self, node: Any) -> Any:
        import snntorch
        from torch import nn

        layer = self.layers[node.target]
        name = f"Layer {node.target} ({type(layer).__name__})"
        if isinstance(layer, snntorch.SpikingNeuron):
            if id(layer) in self.used and len(node.args) > 1:
                raise MosaicError(
                    f"{name} is called again with its state: forward seems to loop over time. Give "
                    "a module whose forward does one step, with init_hidden=True."
                )
            if layer.init_hidden and id(layer) in self.used:
                raise MosaicError(
                    f"{name} is used twice, but keeps one state. Use two layers."
                )
            self.used.add(id(layer))
            return self._neurons(name, layer, self._signal(node.args[0]))
        self.ends_in_neurons = False
        shapeless = isinstance(layer, nn.Flatten | nn.Identity | nn.Dropout)
        if shapeless and self.shape is None and self.values.get(node.args[0]) == "input":
            return "input"
        features = getattr(layer, "in_features", None)
        signal = self._signal(node.args[0], features)
        for kind, reader in _MAPS.items():
            if isinstance(layer, tuple(getattr(nn, k) for k in kind.split())):
                return reader(name, layer, signal)
        if isinstance(layer, nn.MaxPool2d):
            return self._max_pool(name, layer, signal)
        raise MosaicError(
            f"{name}: a tile can hold Flatten, Linear, Conv1d, Conv2d, AvgPool2d, MaxPool2d (of "
            "spikes), BatchNorm, and the neurons snntorch.Leaky, RLeaky, Synaptic, RSynaptic and "
            "Alpha. Replace it by these."
        )

    def _function(self, node: Any) -> Any:
        import torch

        what = node.target
        plain = getattr(what, "__name__", what)
        if node.all_input_nodes and all(
            isinstance(self.values.get(n), str) and self.values[n] == "state"
            for n in node.all_input_nodes
        ):
            return "state"  # a state that is made anew, as init_leaky does
        if what in (operator.add, operator.iadd, torch.add) or plain in ("add", "add_"):
            if len(node.args) == 2 and all(arg in self.values for arg in node.args):
                self.ends_in_neurons = False
                a, b = (self._signal(arg) for arg in node.args)
                return a + b
        elif what is torch.flatten or plain == "flatten":
            start = node.args[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
            if start == 1:
                signal = self._signal(node.args[0])
                return signal.reshape((signal.size,))
        elif what is operator.getitem:
            held = self.values[node.args[0]]
            if isinstance(held, tuple):
                return held[node.args[1]]
        raise MosaicError(
            f"The model calls {plain!r}; between layers a chip can only add and flatten (from "
            "dimension 1). Use modules, such as torch.nn.Flatten, for the rest."
        )

    def _neurons(self, name: str, layer: Any, signal: Signal) -> Any:
        parameters = _cell(name, layer, signal)
        assert self.builder is not None
        spikes = self.builder.neurons(f"layer {self.count}", signal, **parameters)
        self.count += 1
        self.ends_in_neurons = True
        if (recurrent := getattr(layer, "recurrent", None)) is not None:
            back = spikes.delayed(1)
            self.builder.connect(spikes, _recurrent(name, recurrent, back))
        # As called in a loop with its state passed, a layer returns (spikes, state...).
        return (spikes, "state", "state", "state")

    def _max_pool(self, name: str, layer: Any, signal: Signal) -> Signal:
        if not signal.spikes:
            raise MosaicError(
                f"{name} takes the largest of several currents, which a crossbar cannot: put it "
                "after the neurons (the largest of spikes is a spike if there is one), or use "
                "AvgPool2d."
            )
        if layer.ceil_mode or layer.return_indices or _pair(layer.dilation) != (1, 1):
            raise MosaicError(f"{name}: only ceil_mode=False and dilation=1 are supported.")
        matrix, shape = maps.pool(
            _image(name, signal), _pair(layer.kernel_size), _pair(layer.stride),
            _pair(layer.padding), 1.0,
        )  # fmt: skip
        assert self.builder is not None
        # Any one input spike lifts it over its threshold; it forgets at once.
        spikes = self.builder.neurons(
            f"pool {name.split()[1]}", signal.map(matrix, shape), leak=0.0, threshold=0.5,
            reset="none",
        )  # fmt: skip
        self.ends_in_neurons = True
        return spikes


def _array(tensor: Any) -> Any:
    return tensor.detach().cpu().numpy()


def _pair(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _image(name: str, signal: Signal) -> tuple[int, ...]:
    if len(signal.shape) != 3:
        raise MosaicError(
            f"{name} reads values of shape {signal.shape}; it needs (channels, height, width). "
            "Give input_shape=(channels, height, width)."
        )
    return signal.shape


def _linear(name: str, layer: Any, signal: Signal) -> Signal:
    if signal.shape[-1:] != (layer.in_features,) or len(signal.shape) != 1:
        raise MosaicError(
            f"{name} reads {layer.in_features} values, but {signal.size} neurons or inputs come "
            f"before it, of shape {signal.shape}; put a Flatten between if it is missing."
        )
    constant = 0 if layer.bias is None else _array(layer.bias)
    return signal.map(maps.dense(_array(layer.weight)), (layer.out_features,), constant)


def _conv(name: str, layer: Any, signal: Signal) -> Signal:
    axes = len(layer.kernel_size)
    padding = layer.padding
    if padding == "valid":
        padding = (0,) * axes
    elif padding == "same":
        wide = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        if any(n % 2 for n in wide):
            raise MosaicError(
                f"{name}: padding='same' needs odd kernels; give it as numbers."
            )
        padding = tuple(n // 2 for n in wide)
    if layer.padding_mode != "zeros":
        raise MosaicError(f"{name}: padding_mode must be 'zeros'.")
    if len(signal.shape) != axes + 1:
        raise MosaicError(
            f"{name} reads values of shape {signal.shape}; it needs {axes + 1} axes, channels "
            "first. Give input_shape."
        )
    matrix, shape = maps.conv(
        _array(layer.weight),
        signal.shape,
        layer.stride,
        padding,
        layer.dilation,
        layer.groups,
    )
    constant: Any = 0
    if layer.bias is not None:
        constant = np.repeat(_array(layer.bias), int(np.prod(shape[1:])))
    return signal.map(matrix, shape, constant)


def _average(name: str, layer: Any, signal: Signal) -> Signal:
    kernel, stride, padding = (
        _pair(v) for v in (layer.kernel_size, layer.stride, layer.padding)
    )
    if layer.ceil_mode or (any(padding) and not layer.count_include_pad):
        raise MosaicError(
            f"{name}: only ceil_mode=False, count_include_pad=True are supported."
        )
    area = layer.divisor_override or kernel[0] * kernel[1]
    matrix, shape = maps.pool(_image(name, signal), kernel, stride, padding, 1 / area)
    return signal.map(matrix, shape)


def _batch_norm(name: str, layer: Any, signal: Signal) -> Signal:
    if layer.running_mean is None:
        raise MosaicError(
            f"{name} has no running statistics to fold in; use track_running_stats=True."
        )
    if layer.training:
        raise MosaicError(f"{name} is in training mode; call module.eval() first.")
    factor = 1 / np.sqrt(_array(layer.running_var).astype(np.float64) + layer.eps)
    if layer.weight is not None:
        factor = factor * _array(layer.weight)
    constant = -_array(layer.running_mean) * factor
    if layer.bias is not None:
        constant = constant + _array(layer.bias)
    if signal.shape[0] != factor.size:
        raise MosaicError(
            f"{name} has {factor.size} channels; it reads values of shape {signal.shape}."
        )
    each = signal.size // factor.size
    return signal.scale(np.repeat(factor, each), np.repeat(constant, each))


def _flatten(name: str, layer: Any, signal: Signal) -> Signal:
    if layer.start_dim != 1 or layer.end_dim != -1:
        raise MosaicError(f"{name}: only start_dim=1, end_dim=-1 are supported.")
    return signal.reshape((signal.size,))


def _same(name: str, layer: Any, signal: Signal) -> Signal:
    if getattr(layer, "p", 0) and layer.training:
        raise MosaicError(f"{name} is in training mode; call module.eval() first.")
    return signal


_MAPS: dict[str, Callable[[str, Any, Signal], Signal]] = {
    "Linear": _linear,
    "Conv1d Conv2d": _conv,
    "AvgPool2d": _average,
    "BatchNorm1d BatchNorm2d": _batch_norm,
    "Flatten": _flatten,
    "Identity Dropout Dropout1d Dropout2d": _same,
}
"""Readers of linear layers, by the names of their classes in torch.nn."""


def _cell(name: str, cell: Any, signal: Signal) -> dict[str, Any]:
    """Check the settings of a neuron layer; return the parameters of its neurons."""
    import snntorch

    kind = type(cell).__name__
    if kind not in ("Leaky", "RLeaky", "Synaptic", "RSynaptic", "Alpha") or type(
        cell
    ) is not getattr(snntorch, kind):
        raise MosaicError(
            f"{name}: use snntorch.Leaky, RLeaky, Synaptic, RSynaptic or Alpha; a tile has no "
            f"circuit for {kind}."
        )
    for setting, plain in (
        ("inhibition", False), ("state_quant", False), ("surrogate_disable", False),
    ):  # fmt: skip
        if getattr(cell, setting, plain) != plain:
            raise MosaicError(
                f"{name} has {setting}={getattr(cell, setting)}; only {setting}={plain} is "
                "supported."
            )
    if kind == "RSynaptic" and not cell.reset_delay:
        raise MosaicError(
            f"{name} has reset_delay=False, with which snnTorch itself mixes up two steps; only "
            "reset_delay=True is supported."
        )
    if bool((cell.graded_spikes_factor != 1).any()):
        raise MosaicError(
            f"{name} has graded spikes; a line carries 0 or 1 a step. Multiply the factor into "
            "the weights that follow."
        )

    def column(what: str, *, decay: bool) -> Any:
        values = _array(getattr(cell, what))
        if decay and bool(((values < 0) | (values > 1)).any()):
            raise MosaicError(f"{name} has {what} outside 0 to 1.")
        try:
            return np.broadcast_to(values, signal.shape).ravel()
        except ValueError:
            raise MosaicError(
                f"{name} has {what} of shape {values.shape}; its neurons have shape "
                f"{signal.shape}."
            ) from None

    reset = cell.reset_mechanism
    if reset == "zero" and kind != "Leaky":
        reset = "clear"  # in these cells the input of that step is lost too
    parameters = {
        "leak": column("beta", decay=True),
        "threshold": column("threshold", decay=False),
        "reset": reset,
        "prompt": not getattr(cell, "reset_delay", True),
    }
    if kind != "Leaky" and kind != "RLeaky":
        parameters["current_leak"] = column("alpha", decay=True)
    if kind == "Alpha":
        import torch

        a, b = torch.log(cell.alpha.clamp(0, 1)), torch.log(cell.beta.clamp(0, 1))
        parameters["gain"] = np.broadcast_to(_array(a / (b - a) + 1), signal.shape).ravel()
    return parameters


def _recurrent(name: str, recurrent: Any, back: Signal) -> Signal:
    """Return what a layer's own spikes of the step before add to its input."""
    from torch import nn

    if isinstance(recurrent, nn.Linear):
        return _linear(name, recurrent, back.reshape((back.size,)))
    if isinstance(recurrent, nn.Conv2d):
        return _conv(name, recurrent, back)
    return back.scale(np.broadcast_to(_array(recurrent.V), back.shape).ravel())
