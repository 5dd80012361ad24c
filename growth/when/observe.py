"""What a signal sees of one batch: inputs, labels, losses, activity and three tables of products.

Gradients enter by their inner products alone. Every score here needs no more, a batch of n
samples then costs n x n numbers whatever the size of the network, and spiking, plain and
convolutional networks look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Observation", "coherence", "label_dependence", "observe", "products"]


@dataclass(frozen=True, eq=False)
class Observation:
    """One batch as seen through the network that serves it, before it is trained on.

    Parameters
    ----------
    inputs : float64 array, (samples, channels)
        Intensities, or any features that a gate is to compare.
    labels : int64 array, (samples,)
    losses : float64 array, (samples,)
    activity : float64 array, (samples, neurons)
        What the hidden neurons gave, such as rates.
    growing : float64 array, (samples, samples)
        ``<M_b, M_b'>``: products of the samples' gradients M_b on a layer of zeros that new
        neurons would stand for (GradMax's matrix is their sum).
    training : float64 array, (samples, samples)
        ``<g_b, g_b'>``: the same for the gradients g_b on the weights that are there.

    Raises
    ------
    MosaicError
        If the arrays do not belong to equally many samples, or one is not finite.
    """

    inputs: NDArray[np.float64]
    labels: NDArray[np.int64]
    losses: NDArray[np.float64]
    activity: NDArray[np.float64]
    growing: NDArray[np.float64]
    training: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.labels)
        if not n:
            raise MosaicError("The batch has no samples; a signal needs at least 1.")
        wanted = {"inputs": (n, None), "labels": (n,), "losses": (n,), "activity": (n, None),
                  "growing": (n, n), "training": (n, n)}  # fmt: skip
        for name, shape in wanted.items():
            found = getattr(self, name)
            fits = found.ndim == len(shape) and all(
                want in (None, have) for want, have in zip(shape, found.shape, strict=True)
            )
            if not fits:
                text = " x ".join("any" if side is None else str(side) for side in shape)
                raise MosaicError(
                    f"{name} has shape {found.shape}; for {n} labels it needs {text}."
                )
            if not np.isfinite(found).all():
                raise MosaicError(
                    f"{name} is not finite. Has the loss diverged? Use a smaller learning rate."
                )


def products(*factors: ArrayLike) -> NDArray[np.float64]:
    """Inner products of outer products: ``<a_b (x) c_b, a_b' (x) c_b'>``, (samples, samples).

    The gradient of one sample on a linear layer is the error behind it times what it reads.

    Parameters
    ----------
    *factors : float arrays, (samples, any)

    Examples
    --------
    >>> products([[1.0], [2.0]], [[1.0, 0.0], [1.0, 1.0]]).tolist()
    [[1.0, 2.0], [2.0, 8.0]]
    """
    table: NDArray[np.float64] | None = None
    for factor in factors:
        rows = np.asarray(factor, np.float64)
        table = rows @ rows.T if table is None else table * (rows @ rows.T)
    if table is None:
        raise MosaicError("products needs at least one factor.")
    return table


def observe(
    inputs: ArrayLike,
    labels: ArrayLike,
    losses: ArrayLike,
    *,
    activity: ArrayLike,
    errors: ArrayLike,
    training: ArrayLike,
    reads: ArrayLike | None = None,
) -> Observation:
    """Build an `Observation` where new neurons would read `reads` and reach the outputs.

    Parameters
    ----------
    inputs : array, (samples, channels)
    labels, losses : array, (samples,)
    activity : array, (samples, neurons)
    errors : array, (samples, outputs)
        Derivative of each sample's loss by what the outputs receive.
    training : array, (samples, samples)
        From `products`, added up over the layers.
    reads : array, (samples, sources), optional
        What new neurons would read; the inputs without it.

    Examples
    --------
    >>> seen = observe([[1.0], [0.0]], [0, 1], [0.1, 0.2], activity=[[0.0], [1.0]],
    ...                errors=[[-1.0], [1.0]], training=np.eye(2))
    >>> seen.growing.tolist()
    [[1.0, -0.0], [-0.0, 0.0]]
    """
    inputs = np.asarray(inputs, np.float64)
    return Observation(
        inputs,
        np.asarray(labels, np.int64),
        np.asarray(losses, np.float64),
        np.asarray(activity, np.float64),
        products(errors, inputs if reads is None else reads),
        np.asarray(training, np.float64),
    )


def coherence(table: ArrayLike, weights: ArrayLike | None = None) -> float:
    """How far the samples' gradients agree: standard deviations above random signs.

    With weights w and products K, over all pairs of two samples::

        z = sum of w_b w_b' K_bb' / sqrt(2 sum of (w_b w_b' K_bb')^2)

    If every gradient had a random sign the numerator would have mean 0 and the denominator
    for its standard deviation. Errors of a few hard samples do not agree; a task that nobody
    has learnt pulls all its samples the same way.

    Parameters
    ----------
    table : array, (samples, samples)
    weights : array, (samples,), optional
        How much of each sample nobody explains; all alike without it.

    Returns
    -------
    float
        0 where no two samples have anything in common.

    Examples
    --------
    Three samples that agree: ``6 / sqrt(2 * 6)``.

    >>> round(coherence(np.ones((3, 3))), 3)
    1.732
    """
    table = np.asarray(table, np.float64)
    if weights is not None:
        share = np.asarray(weights, np.float64)
        table = table * np.outer(share, share)
    pairs = _off_diagonal(table)
    spread = np.sqrt(2 * np.square(pairs).sum())
    if spread <= 1e-12 * np.trace(table):
        return 0.0
    return float(pairs.sum() / spread)


def label_dependence(inputs: ArrayLike, labels: ArrayLike) -> float:
    """How far alike inputs have alike labels: standard deviations above dealt-out labels.

    With centred tables L of equal labels and K of input products, over pairs of two samples::

        z = sum of (L - mean L)(K - mean K) / sqrt(2 sum of (L - mean L)^2 sum of (K - mean K)^2
            / (n (n - 1)))

    Near 0 for labels without any relation to the inputs, whatever the network makes of them.

    Parameters
    ----------
    inputs : array, (samples, channels)
    labels : array, (samples,)

    References
    ----------
    The statistic is the Hilbert-Schmidt independence criterion (Gretton et al., ALT 2005)
    without its diagonal; mean and leading variance are those under random permutations of
    the labels, as for Mantel's test (Cancer Research 27, 1967).

    Examples
    --------
    >>> inputs = [[0.0], [0.1], [1.0], [1.1]]
    >>> label_dependence(inputs, [0, 0, 1, 1]) > 1 > label_dependence(inputs, [0, 1, 0, 1])
    True
    """
    labels = np.asarray(labels)
    rows = np.asarray(inputs, np.float64)
    n = len(labels)
    if n < 3:
        return 0.0
    same = _off_diagonal(_centred((labels[:, None] == labels).astype(np.float64)))
    alike = _off_diagonal(_centred(products(rows)))
    same, alike = same - same.mean(), alike - alike.mean()
    spread = np.sqrt(2 * np.square(same).sum() * np.square(alike).sum() / (n * (n - 1)))
    if spread <= 1e-12:
        return 0.0
    return float((same * alike).sum() / spread)


def _off_diagonal(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entries of two different samples, as one row."""
    off: NDArray[np.float64] = table[~np.eye(len(table), dtype=bool)]
    return off


def _centred(table: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = (
        table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    )
    return centred
