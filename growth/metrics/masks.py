"""How much two masks over the same weights overlap, and how much of that is chance."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Overlap", "overlap"]


@dataclass(frozen=True)
class Overlap:
    """Overlap of two masks over n weights, against masks that have nothing to do with each other.

    Parameters
    ----------
    jaccard : float or None
        ``J``, shared over all that either uses; None if both masks are empty.
    chance : float or None
        ``J0 = p q / (p + q - p q)``, with densities p and q: what independent masks have.
    z : float or None
        Shared weights minus their mean under chance, in standard deviations; None if the
        densities leave no choice.
    excess : float or None
        ``(J - J0) / (1 - J0)``: 0 for chance, 1 for equal masks; None if chance is all.
    flips : int
        Weights that are in one mask only: what switching tasks rewrites.
    density : tuple of float
        p and q.
    weights : int
    """

    jaccard: float | None
    chance: float | None
    z: float | None
    excess: float | None
    flips: int
    density: tuple[float, float]
    weights: int


def overlap(one: ArrayLike, other: ArrayLike) -> Overlap:
    """Compare two masks.

    The null is that either mask is a random choice of as many weights as it has. The number
    that they share is then hypergeometric, with mean ``n p q`` and variance ``n^2 p q (1 - p)
    (1 - q) / (n - 1)``; z is exact in that sense and corrected for densities. A Jaccard index
    of a third is what independent masks of one half have, and no finding.

    Parameters
    ----------
    one, other : array of bool, of the same shape

    Raises
    ------
    MosaicError
        If shapes differ, there is no weight, or values are not 0 and 1.

    References
    ----------
    Jaccard, New Phytologist 11, 1912; the correction for chance is that of Cohen's kappa,
    Educational and Psychological Measurement 20, 1960.

    Examples
    --------
    >>> found = overlap([1, 1, 0, 0], [1, 0, 1, 0])
    >>> f"{found.jaccard:.3f} {found.chance:.3f} {found.z:.1f} {found.flips}"
    '0.333 0.333 0.0 2'
    """
    first, second = np.asarray(one), np.asarray(other)
    if first.shape != second.shape or not first.size:
        raise MosaicError(
            f"Masks have shapes {first.shape} and {second.shape}; they need the same and at least "
            "one weight."
        )
    for name, mask in (("one", first), ("other", second)):
        if not np.isin(mask, (0, 1)).all():
            raise MosaicError(f"{name} holds values other than 0 and 1; it is no mask.")
    a, b = first.astype(np.bool_), second.astype(np.bool_)
    n, ones, others, shared = a.size, int(a.sum()), int(b.sum()), int((a & b).sum())
    p, q, union = ones / n, others / n, ones + others - shared
    jaccard = shared / union if union else None
    chance = p * q / (p + q - p * q) if union else None
    variance = n**2 * p * q * (1 - p) * (1 - q) / (n - 1) if n > 1 else 0.0
    excess = None
    if jaccard is not None and chance is not None and chance < 1:
        excess = (jaccard - chance) / (1 - chance)
    return Overlap(
        jaccard,
        chance,
        (shared - n * p * q) / sqrt(variance) if variance > 0 else None,
        excess,
        union - shared,
        (p, q),
        n,
    )
