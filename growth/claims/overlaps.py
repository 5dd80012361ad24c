"""How much the masks of a run overlap, and the test that counts their ones instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Overlaps", "count_t_test", "overlaps_of"]


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Every two masks of a run, layer by layer.

    Parameters
    ----------
    jaccard, chance, excess : float64 array, (tasks, tasks, layers)
        As `growth.metrics.masks.Overlap`; symmetric, NaN on the diagonal.
    flips : int64 array, (tasks, tasks)
        Weights that are in one of two masks only.
    ones : int64 array, (tasks, layers)
        Weights in each mask.
    weights : int64 array, (layers,)
    """

    jaccard: NDArray[np.float64]
    chance: NDArray[np.float64]
    excess: NDArray[np.float64]
    flips: NDArray[np.int64]
    ones: NDArray[np.int64]
    weights: NDArray[np.int64]

    @property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of every pair of two tasks, once."""
        return np.triu_indices(len(self.jaccard), 1)


def overlaps_of(decisions: Sequence[dict[str, Any]]) -> Overlaps:
    """Gather what a run of supermasks recorded of each mask against all before it.

    Parameters
    ----------
    decisions : sequence of dict
        ``growth.jsonl`` of a seed.

    Raises
    ------
    MosaicError
        If there are not two masks.
    """
    masks = [d for d in decisions if d["action"] == "mask"]
    if len(masks) < 2:
        raise MosaicError(f"The run has {len(masks)} masks; an overlap needs two.")
    place = {str(mask["expert"]): k for k, mask in enumerate(masks)}
    layers = list(masks[1]["evidence"]["overlap"][str(masks[0]["expert"])]["layers"])
    shape = (len(masks), len(masks), len(layers))
    found = {key: np.full(shape, np.nan) for key in ("jaccard", "chance", "excess")}
    flips = np.zeros(shape[:2], np.int64)
    ones = np.zeros((len(masks), len(layers)), np.int64)
    weights = np.zeros(len(layers), np.int64)
    for new, mask in enumerate(masks):
        for key, pair in mask["evidence"]["overlap"].items():
            old = place[key]
            flips[new, old] = flips[old, new] = pair["flips"]
            for k, name in enumerate(layers):
                layer = pair["layers"][name]
                weights[k] = layer["weights"]
                shares = np.array(layer["density"]) * weights[k]
                ones[old, k], ones[new, k] = np.rint(shares).astype(np.int64)
                for quantity, values in found.items():
                    value = np.nan if layer[quantity] is None else layer[quantity]
                    values[new, old, k] = values[old, new, k] = value
    return Overlaps(**found, flips=flips, ones=ones, weights=weights)


def count_t_test(one: int, other: int, weights: int) -> tuple[float, float]:
    """Student's t-test of two masks taken as samples of 0 and 1, and its p.

    It compares how many ones they have. Where those ones are does not matter to it, so that it
    says nothing about overlap.

    Parameters
    ----------
    one, other : int
        Weights in each mask.
    weights : int
        Of each.

    Examples
    --------
    >>> t, p = count_t_test(45100, 44900, 90000)
    >>> f"{t:.3f} {p:.2f}", f"{200 / 45000**0.5:.3f}"
    ('0.943 0.35', '0.943')
    """
    shares = np.array([one, other]) / weights
    variance = shares * (1 - shares) * weights / (weights - 1)
    found = stats.ttest_ind_from_stats(
        shares[0], variance[0] ** 0.5, weights, shares[1], variance[1] ** 0.5, weights
    )
    return float(found.statistic), float(found.pvalue)
