"""Accuracies of a run right after each task and at the end, without what else a run recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.claims.base import Ran

__all__ = ["Learnt", "learnt"]


class Learnt(NamedTuple):
    """Accuracies within each task, (seeds, tasks).

    Parameters
    ----------
    after : float64 array
        Right after the task was learnt.
    end : float64 array
        After all tasks.

    Examples
    --------
    >>> one = Learnt(np.array([[0.9, 0.8, 0.7]]), np.array([[0.5, 0.8, 0.7]]))
    >>> [round(float(x[0]), 2) for x in (one.acc, one.la, one.forgetting)]
    [0.67, 0.8, 0.2]
    """

    after: NDArray[np.float64]
    end: NDArray[np.float64]

    @property
    def acc(self) -> NDArray[np.float64]:
        """Mean accuracy at the end, (seeds,)."""
        return self.end.mean(1)

    @property
    def la(self) -> NDArray[np.float64]:
        """Mean accuracy right after learning, (seeds,)."""
        return self.after.mean(1)

    @property
    def forgetting(self) -> NDArray[np.float64]:
        """What is lost of each task but the last, mean over these, (seeds,)."""
        return (self.after - self.end)[:, :-1].mean(1)


def learnt(ran: Ran) -> dict[str, Learnt]:
    """Read the accuracies of all runs of an experiment, by label."""
    found = {}
    for label, run in ran.runs.items():
        matrices = np.array(
            [
                [row["accuracy_within_task"] for row in seed.lines("metrics")]
                for seed in run.seeds
            ]
        )
        found[label] = Learnt(matrices.diagonal(axis1=1, axis2=2), matrices[:, -1])
    return found
