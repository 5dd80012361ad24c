"""Collect layers of neurons and the linear maps between them into one network."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from mosaic_sim.errors import MosaicError
from mosaic_sim.network import RESETS, Network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

__all__ = ["INPUT", "Builder", "Signal"]

INPUT = -1
"""Stands for the input channels where a layer is meant."""


@dataclass(frozen=True)
class Signal:
    """What flows between layers: an affine function of the spikes of earlier layers.

    Parameters
    ----------
    shape : tuple of int
        As the tensor would have it, without samples and steps.
    terms : mapping of (layer, delay) to sparse matrix, (size, size of that layer)
        Layers by number, `INPUT` for the input; delays in steps.
    constant : float array, (size,)
    spikes : bool
        Whether these are the spikes of one layer or input, unchanged: 0 or 1.
    """

    shape: tuple[int, ...]
    terms: Mapping[tuple[int, int], Any]
    constant: NDArray[Any]
    spikes: bool = False

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def map(self, matrix: Any, shape: tuple[int, ...], constant: ArrayLike = 0) -> Signal:
        """Apply a matrix (size of `shape`, size of this), and add a constant."""
        if matrix.shape[1] != self.size:
            raise MosaicError(
                f"A map of {matrix.shape[1]} values cannot read {self.size}, of shape {self.shape}."
            )
        return Signal(
            shape,
            {key: matrix @ term for key, term in self.terms.items()},
            matrix @ self.constant
            + np.broadcast_to(np.asarray(constant), (math.prod(shape),)),
        )

    def scale(self, factor: ArrayLike, constant: ArrayLike = 0) -> Signal:
        """Multiply each value by a factor, and add a constant to each."""
        factors = np.broadcast_to(np.asarray(factor), (self.size,))
        return self.map(sp.diags_array(factors).tocsr(), self.shape, constant)

    def reshape(self, shape: tuple[int, ...]) -> Signal:
        """Return the same values in another shape."""
        if math.prod(shape) != self.size:
            raise MosaicError(f"Values of shape {self.shape} cannot take shape {shape}.")
        return replace(self, shape=shape)

    def delayed(self, steps: int) -> Signal:
        """Return the same values that many steps later; a constant cannot be delayed."""
        if np.any(self.constant):
            raise MosaicError("A signal with a constant part cannot be delayed.")
        terms = {(layer, d + steps): term for (layer, d), term in self.terms.items()}
        return replace(self, terms=terms, spikes=False)

    def __add__(self, other: Signal) -> Signal:
        if self.shape != other.shape:
            raise MosaicError(
                f"Values of shapes {self.shape} and {other.shape} cannot be added."
            )
        terms = dict(self.terms)
        for key, term in other.terms.items():
            terms[key] = terms[key] + term if key in terms else term
        return Signal(self.shape, terms, self.constant + other.constant)


@dataclass
class _Layer:
    name: str
    size: int
    parameters: dict[str, Any]
    reads: Signal | None = None


class Builder:
    """Grow a network layer by layer.

    Examples
    --------
    >>> from mosaic_sim.interop.maps import dense
    >>> builder = Builder((3,))
    >>> current = builder.input.map(dense([[1.0, 0, 2], [0, 1, 0]]), (2,))
    >>> spikes = builder.neurons("layer 0", current, leak=0.9)
    >>> builder.network().synapses
    3
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.layers: list[_Layer] = []
        self.input = self._spikes(INPUT, tuple(int(n) for n in shape))

    def neurons(
        self, name: str, reads: Signal | None, shape: Any = None, **parameters: Any
    ) -> Signal:
        """Add a layer of neurons that reads a signal; return its spikes.

        Parameters
        ----------
        name : str
            Of the group of neurons.
        reads : Signal, or None
            None if it is given later with `connect` (then `shape` is needed).
        shape : tuple of int, optional
        **parameters
            `leak`, `threshold`, `reset`, `current_leak`, `gain`, `prompt`: one number for all,
            or one for each neuron; those of `Network.from_synapses` otherwise.
        """
        shape = reads.shape if reads is not None else tuple(shape)
        self.layers.append(_Layer(name, math.prod(shape), parameters, reads))
        return self._spikes(len(self.layers) - 1, shape)

    def connect(self, spikes: Signal, reads: Signal) -> None:
        """Let the layer that fires `spikes` read `reads` too: feedback, for example."""
        if not spikes.spikes:
            raise MosaicError(
                "connect needs the spikes of a layer, as `neurons` returns them."
            )
        ((layer, _),) = spikes.terms
        old = self.layers[layer].reads
        flat = reads.reshape((self.layers[layer].size,))
        self.layers[layer].reads = (
            flat if old is None else old.reshape((self.layers[layer].size,)) + flat
        )

    def network(self) -> Network:
        """Build the network: neurons layer after layer, each layer a group."""
        if not self.layers:
            raise MosaicError("The network has no neurons.")
        inputs = self.input.size
        born = np.cumsum([0, *(layer.size for layer in self.layers)])
        bias = any(
            layer.reads is not None and bool(np.any(layer.reads.constant))
            for layer in self.layers
        )
        first = inputs + int(bias)
        source, target, weight, delay = [], [], [], []

        def add(pre: Any, post: Any, values: Any, steps: int) -> None:
            source.append(pre)
            target.append(post)
            weight.append(values)
            delay.append(np.full(len(values), steps, np.int32))

        for k, layer in enumerate(self.layers):
            if layer.reads is None:
                continue
            for (origin, steps), term in layer.reads.terms.items():
                matrix = term.tocoo()
                start = 0 if origin == INPUT else first + born[origin]
                add(matrix.col + start, matrix.row + born[k], matrix.data, steps)
            driven = np.flatnonzero(layer.reads.constant)
            add(
                np.full(driven.size, inputs),
                driven + born[k],
                layer.reads.constant[driven],
                0,
            )
        return Network.from_synapses(
            inputs=inputs, neurons=int(born[-1]), bias=bias,
            source=np.concatenate(source), target=np.concatenate(target),
            weight=np.concatenate(weight).astype(np.float32), delay=np.concatenate(delay),
            **self._parameters(),
            groups={
                layer.name: np.arange(born[k], born[k + 1])
                for k, layer in enumerate(self.layers)
            },
        )  # fmt: skip

    def _parameters(self) -> dict[str, Any]:
        defaults = {
            "leak": 1.0, "threshold": 1.0, "reset": "subtract", "current_leak": 0.0,
            "gain": 0.0, "prompt": False,
        }  # fmt: skip
        columns: dict[str, Any] = {}
        for name, default in defaults.items():
            parts = []
            for layer in self.layers:
                value = layer.parameters.get(name, default)
                if isinstance(value, str):
                    value = RESETS.index(value)
                parts.append(np.broadcast_to(np.asarray(value), (layer.size,)))
            columns[name] = np.concatenate(parts)
        return columns

    def _spikes(self, layer: int, shape: tuple[int, ...]) -> Signal:
        size = math.prod(shape)
        one = sp.eye_array(size, format="csr", dtype=np.float32)
        return Signal(shape, {(layer, 0): one}, np.zeros(size, np.float32), spikes=True)
