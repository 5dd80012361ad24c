"""Training samples held out to choose settings by, so that test samples never are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.datasets.base import Dataset

__all__ = ["folds"]


def folds(data: Dataset, number: int, seed: int = 0) -> NDArray[np.int64]:
    """Deal the training samples into folds of about equal labels.

    Where samples have an `origin`, all of one go to the same fold, so that validation asks what
    the test asks: how well others are told apart. Origins are dealt like cards, the one with the
    most samples of other labels than the most frequent first. Otherwise the samples of each label
    are dealt in random order.

    Parameters
    ----------
    data : Dataset
    number : int
        Folds, at least 2.
    seed : int
        Of the random order; origins are always dealt alike.

    Returns
    -------
    int64 array, (training samples,)
        Fold of each, from 0.

    Raises
    ------
    MosaicError
        If there are fewer than 2 folds, or more than origins or samples.

    Examples
    --------
    >>> x, y = np.zeros((4, 1), bool), np.array([0, 0, 1, 1])
    >>> from growth.datasets import Dataset
    >>> data = Dataset("four", x, y, x, y, 2, origin=np.array([7, 7, 8, 8]))
    >>> folds(data, 2).tolist()
    [1, 1, 0, 0]
    """
    labels = data.train_labels
    who = np.arange(len(labels)) if data.origin is None else data.origin
    names, which = np.unique(who, return_inverse=True)
    if isinstance(number, bool) or not 2 <= number <= len(names):
        kind = "samples" if data.origin is None else "origins of samples"
        raise MosaicError(
            f"number is {number!r}; folds of {len(names)} {kind} need 2 to {len(names)}."
        )
    if data.origin is None:
        mixed = np.random.default_rng(seed).permutation(len(labels))
        order = mixed[np.argsort(labels[mixed], kind="stable")]
    else:
        rare = labels != np.bincount(labels).argmax()
        order = np.argsort(-np.bincount(which, rare, len(names)), kind="stable")
    dealt = np.empty(len(names), np.int64)
    dealt[order] = np.arange(len(names)) % number
    fold: NDArray[np.int64] = dealt[which]
    return fold
