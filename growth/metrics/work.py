"""What a network is and does, under the names of NeuroBench.

Numbers are computed from arrays, so that they are the same for a torch model, an imported
network and a simulated chip. Source of names and definitions: Yik et al., The NeuroBench
framework, Nature Communications 16, 2025, and its harness, version 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "SynapticOperations", "activation_sparsity", "connection_sparsity", "footprint",
    "membrane_updates", "synaptic_operations",
]  # fmt: skip


def footprint(arrays: Iterable[Any]) -> int:
    """Bytes of all parameters and buffers, zeros included.

    Parameters
    ----------
    arrays : iterable of array or tensor
        Whatever is kept to run the network; anything with ``nbytes``.

    Examples
    --------
    >>> footprint([np.zeros((10, 4), np.float32), np.zeros(10, np.float32)])
    200
    """
    return sum(int(array.nbytes) for array in arrays)


def connection_sparsity(weights: Iterable[ArrayLike]) -> float:
    """Share of weights that are zero, over all layers together.

    Parameters
    ----------
    weights : iterable of array

    Raises
    ------
    MosaicError
        If there is no weight.

    Examples
    --------
    >>> connection_sparsity([[[0.0, 1.0], [2.0, 3.0]]])
    0.25
    """
    layers = [np.asarray(layer) for layer in weights]
    total = sum(layer.size for layer in layers)
    if not total:
        raise MosaicError("weights is empty; a sparsity needs at least one weight.")
    return 1 - sum(int(np.count_nonzero(layer)) for layer in layers) / total


def activation_sparsity(activations: Iterable[ArrayLike]) -> float:
    """Share of activations that are zero, over all layers, samples and steps together.

    Parameters
    ----------
    activations : iterable of array
        Outputs of each layer of neurons, of any shape; spikes or numbers.

    Raises
    ------
    MosaicError
        If there is no activation.

    Examples
    --------
    >>> activation_sparsity([[[0, 1, 0, 0]]])
    0.75
    """
    layers = [np.asarray(layer) for layer in activations]
    total = sum(layer.size for layer in layers)
    if not total:
        raise MosaicError("activations is empty; a sparsity needs at least one.")
    return 1 - sum(int(np.count_nonzero(layer)) for layer in layers) / total


@dataclass(frozen=True)
class SynapticOperations:
    """Synaptic operations of one sample, on average.

    Parameters
    ----------
    dense : float
        As if no input and no weight were zero.
    eff_macs : float
        Multiply-accumulates that an input other than 0, 1 and -1 makes at a weight other
        than 0.
    eff_acs : float
        Accumulates that an input of 1 or -1 makes there.
    """

    dense: float
    eff_macs: float
    eff_acs: float


def synaptic_operations(
    layers: Sequence[tuple[ArrayLike, ArrayLike]],
) -> SynapticOperations:
    """Count what inputs do at weights; biases are not counted.

    A layer whose inputs are all -1, 0 or 1 makes accumulates, any other multiply-accumulates,
    as NeuroBench has it.

    Parameters
    ----------
    layers : sequence of (inputs, weights)
        Inputs (samples, ..., sources), such as (samples, steps, sources), and weights
        (targets, sources).

    Raises
    ------
    MosaicError
        If shapes do not fit, or layers differ in the number of samples.

    Examples
    --------
    >>> weights = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1]])
    >>> synaptic_operations([(np.array([[1, 0, 1]]), weights)])
    SynapticOperations(dense=9.0, eff_macs=0.0, eff_acs=3.0)
    """
    if not layers:
        raise MosaicError("layers is empty; it needs at least one (inputs, weights).")
    dense = macs = acs = 0
    samples = {len(np.atleast_1d(inputs)) for inputs, _ in layers}
    if len(samples) != 1 or 0 in samples:
        raise MosaicError(f"Layers have {sorted(samples)} samples; all need the same.")
    for number, (given, matrix) in enumerate(layers):
        inputs, weights = np.asarray(given), np.asarray(matrix)
        if weights.ndim != 2 or inputs.ndim < 2 or inputs.shape[-1] != weights.shape[1]:
            raise MosaicError(
                f"Layer {number} has inputs {inputs.shape} and weights {weights.shape}; they need "
                "(samples, ..., sources) and (targets, sources)."
            )
        flat = inputs.reshape(-1, inputs.shape[-1])
        dense += len(flat) * weights.size
        effective = int(_events(flat) @ np.count_nonzero(weights, axis=0))
        if np.isin(flat, (-1, 0, 1)).all():
            acs += effective
        else:
            macs += effective
    (count,) = samples
    return SynapticOperations(dense / count, macs / count, acs / count)


def _events(flat: NDArray[Any]) -> NDArray[np.int64]:
    """How often each source was other than 0."""
    return np.count_nonzero(flat, axis=0).astype(np.int64)


def membrane_updates(neurons: int, steps: int) -> int:
    """Updates of membranes that one sample takes: every neuron at every step.

    Examples
    --------
    >>> membrane_updates(210, 25)
    5250
    """
    if neurons < 0 or steps < 0:
        raise MosaicError(f"neurons is {neurons} and steps {steps}; neither is below 0.")
    return neurons * steps
