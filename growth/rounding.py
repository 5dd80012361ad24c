"""Weights rounded to the levels of a device such that neurons are driven as before.

A crossbar holds few levels, and rounding each weight to the nearest adds up: over hundreds of
inputs that are active together the drive of a neuron moves by several spikes. Here weights are
rounded one after the other, and those still to come make up for the error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["rounded"]

DAMPING = 0.1
"""Share of the mean power of the inputs that is added to each: inputs unlike those given."""


def rounded(
    weight: NDArray[np.float64], inputs: NDArray[np.floating], levels: int
) -> NDArray[np.float64]:
    """Round the weights of each neuron to multiples of its largest one / (levels - 1).

    In the order of the inputs' power, each weight is rounded to the nearest level, and the
    weights after it take the least change that undoes its error on the inputs. That is
    minimising ``(w - q)' H (w - q)``, with H the second moments of the inputs, one
    coordinate at a time. The largest weight of a neuron keeps the highest level, so that a
    device that scales to it finds the others on its levels.

    Parameters
    ----------
    weight : float64 array, (neurons, inputs)
    inputs : array, (samples, inputs)
        What the neurons will be given, such as the rates of input channels.
    levels : int
        Conductance levels of one device of a differential pair, at least 2.

    Returns
    -------
    float64 array, (neurons, inputs)

    Raises
    ------
    MosaicError
        If the shapes do not match or there are fewer than 2 levels.

    Examples
    --------
    >>> weight = np.array([[3.0, 1.4, 1.4]])
    >>> together = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    >>> rounded(weight, together, levels=4)  # 1.4 + 1.4 is nearer to 3 than to 2
    array([[3., 1., 2.]])

    References
    ----------
    .. [1] E. Frantar et al., "GPTQ", ICLR 2023, arXiv:2210.17323.
    .. [2] B. Hassibi and D. Stork, "Second order derivatives for network pruning: optimal
       brain surgeon", NIPS 1992.
    """
    if weight.ndim != 2 or inputs.ndim != 2 or weight.shape[1] != inputs.shape[1]:
        raise MosaicError(
            f"weight has shape {weight.shape} and inputs {inputs.shape}; they need as many "
            "columns as each other."
        )
    if levels < 2:
        raise MosaicError(f"levels is {levels}; it needs at least 2.")
    if not weight.size:
        return weight.copy()
    moments = inputs.T.astype(np.float64) @ inputs / max(len(inputs), 1)
    power = np.diag(moments).copy()
    order = np.argsort(-power, kind="stable")
    moments[np.diag_indices_from(moments)] += DAMPING * power.mean() + 1e-12
    # Row i of this factor of the inverse: what the inputs from i on take of an error at i.
    shares = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
    left = weight[:, order].astype(np.float64)
    highest = np.abs(left).argmax(1)
    unit = np.abs(left).max(1) / (levels - 1)
    unit[unit == 0] = 1.0
    level = np.empty_like(left)
    top = np.sign(left[np.arange(len(left)), highest]) * (levels - 1)
    for i in range(left.shape[1]):
        nearest = np.round(left[:, i] / unit).clip(1 - levels, levels - 1)
        level[:, i] = np.where(highest == i, top, nearest)
        error = (left[:, i] - level[:, i] * unit) / shares[i, i]
        left[:, i:] -= error[:, None] * shares[i, i:]
    found = np.empty_like(left)
    found[:, order] = level * unit[:, None]
    return found
