"""Which lines new neurons read, when a tile has too few for all.

A neuron learns along the columns of the GradMax matrix M that it reads. Of k neurons on the
lines S the gradient can make ``sum of the k largest sigma_i(M[:, S])^2``, and with P an
orthonormal basis of k directions this is::

    max over P of  sum over j in S of |P^T m_j|^2

So for fixed directions the best lines are those with the largest share, and for fixed lines the
best directions are the left singular vectors. Taking turns never makes it worse. With as many
neurons as M has rows the share is the length of the column, and the answer exact.

Source: the restriction of M to what a core can reach follows Evci et al. (arXiv:2201.05125);
the turns are alternating maximisation, as in k-means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["choose_sources", "energy_of", "telling_inputs"]

TURNS = 20
"""Turns of lines and directions, at most; a handful is usual."""

NOTHING = 1e-10
"""Share of the largest squared singular value below which one counts as 0."""


def energy_of(matrix: NDArray[np.float64], reads: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Squared singular values of the columns that are read, largest first, without zeros.

    Parameters
    ----------
    matrix : float64 array, (post, lines)
    reads : bool array, (lines,)

    Examples
    --------
    >>> energy_of(np.diag([3.0, 2.0, 1.0]), np.array([True, False, True])).tolist()
    [9.0, 1.0]
    """
    part = matrix[:, reads]
    values = np.linalg.eigvalsh(part @ part.T)[::-1].astype(np.float64)
    return values[values > max(NOTHING * values[0], 0.0)]


def choose_sources(
    matrix: NDArray[np.float64],
    *,
    there: NDArray[np.bool_],
    lines: int,
    neurons: int,
    price: NDArray[np.float64] | float = 0.0,
) -> NDArray[np.bool_]:
    """Choose the lines that new neurons read: those that are there, and a few new ones.

    Parameters
    ----------
    matrix : float64 array, (post, lines)
        M, with a column for each line.
    there : bool array, (lines,)
        Lines that arrive at the tile already.
    lines : int
        How many more can arrive.
    neurons : int
        Number k of new neurons.
    price : float64 array, (lines,), optional
        What reading each line costs, in units of ``sigma^2``.

    Returns
    -------
    bool array, (lines,)
        At most `lines` that are not there, and no line that costs more than it brings.

    Raises
    ------
    MosaicError
        If a size does not fit, or `lines` or `neurons` is no number to choose by.

    Examples
    --------
    >>> matrix = np.array([[3.0, 1.0, 2.0, 0.5]])
    >>> there = np.array([False, True, False, False])
    >>> choose_sources(matrix, there=there, lines=1, neurons=1).tolist()
    [True, True, False, False]
    >>> choose_sources(matrix, there=there, lines=1, neurons=1, price=2.0).tolist()
    [True, False, False, False]
    """
    if matrix.ndim != 2 or there.shape != matrix.shape[1:]:
        raise MosaicError(
            f"matrix has shape {matrix.shape} and there {there.shape}; they need (post, lines) "
            "and (lines,)."
        )
    if lines < 0 or neurons < 1:
        raise MosaicError(
            f"lines is {lines} and neurons {neurons}; they need at least 0 and 1."
        )
    price = np.broadcast_to(np.asarray(price, np.float64), there.shape)
    best, most = np.zeros(there.shape, np.bool_), -np.inf
    starts = [np.ones(there.shape, np.bool_)] + ([there] if there.any() else [])
    for chosen in starts:
        for _ in range(TURNS):
            before = chosen
            share = ((_directions(matrix, chosen, neurons).T @ matrix) ** 2).sum(0)
            chosen = _take(share - price, there, lines)
            if np.array_equal(chosen, before):
                break
        value = energy_of(matrix, chosen)[:neurons].sum() - price[chosen].sum()
        if value > most:
            best, most = chosen, value
    return best


def _directions(
    matrix: NDArray[np.float64], reads: NDArray[np.bool_], count: int
) -> NDArray[np.float64]:
    """The `count` first left singular vectors of the columns that are read."""
    part = matrix[:, reads]
    vectors: NDArray[np.float64] = np.linalg.eigh(part @ part.T)[1][:, ::-1]
    return vectors[:, :count]


def _take(
    worth: NDArray[np.float64], there: NDArray[np.bool_], lines: int
) -> NDArray[np.bool_]:
    """Lines worth having: all that are there, and the best of the others; ties to the first."""
    taken = there & (worth >= 0)
    new = np.flatnonzero(~there & (worth > 0))
    if new.size > lines:
        new = new[np.argsort(-worth[new], kind="stable")[:lines]]
    taken[new] = True
    return taken


def telling_inputs(
    inputs: NDArray[np.floating], count: int, *, ridge: float = 0.05
) -> NDArray[np.bool_]:
    """Inputs from which the others can be told best, one after the other.

    Each step takes the input that explains most of the variance that is left over, of all
    inputs together, by linear regression. So no two of them say the same.

    Parameters
    ----------
    inputs : array, (samples, inputs)
    count : int
        How many to choose; all if there are no more.
    ridge : float
        Variance that every input is thought to have besides: inputs that are dark in these
        samples may light up in later ones.

    Returns
    -------
    bool array, (inputs,)

    Notes
    -----
    Greedy column subset selection: Farahat et al., "An efficient greedy method for unsupervised
    feature selection", ICDM 2011.

    Examples
    --------
    >>> x = np.array([[0.0, 0, 0], [1, 1, 0], [0, 0, 0.5], [1, 1, 0.5]])
    >>> telling_inputs(x, 2).tolist()
    [True, False, True]
    """
    if inputs.ndim != 2 or count < 1 or not ridge > 0:
        raise MosaicError(
            f"inputs has shape {inputs.shape}, count is {count} and ridge {ridge}; they need "
            "(samples, inputs), at least 1, and more than 0."
        )
    size = inputs.shape[1]
    chosen = np.zeros(size, np.bool_)
    if count >= size:
        return ~chosen
    centred = inputs - inputs.mean(0, dtype=np.float64)
    left = centred.T @ centred / len(inputs) + ridge * np.eye(size)
    for _ in range(count):
        gain = (left**2).sum(0) / np.maximum(left.diagonal(), ridge * 1e-9)
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen[best] = True
        left -= np.outer(left[best], left[best]) / left[best, best]
    return chosen
