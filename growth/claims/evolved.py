"""Which tasks use which components of an evolved network, and what that leaves for each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.runs import SeedFolder

__all__ = ["Evolved", "evolved_of", "read_evolved"]


@dataclass(frozen=True, eq=False)
class Evolved:
    """Paths of all tasks, in the order in which they were learnt.

    Parameters
    ----------
    maker : int64 array, (tasks, layers)
        Number of the first task whose path uses the component that each task uses in each layer:
        its own number where it has one of its own.
    weights : int64 array, (layers,)
        Of a layer.
    """

    maker: NDArray[np.int64]
    weights: NDArray[np.int64]

    def networks(self, tasks: int) -> float:
        """Weights of all components of the first tasks, in networks for each task.

        Shared out among the tasks that use them, components come to this on average; 1 is what
        networks of their own come to.

        Raises
        ------
        MosaicError
            If there are fewer tasks, or none are asked for.

        Examples
        --------
        >>> maker = np.array([[0, 0], [0, 1], [2, 2]])
        >>> Evolved(maker, np.array([30, 10])).networks(2)
        0.625
        """
        if not 1 <= tasks <= len(self.maker):
            raise MosaicError(f"tasks is {tasks}; it needs 1 to {len(self.maker)}.")
        own = self.maker[:tasks] == np.arange(tasks)[:, None]
        return float((own * self.weights).sum() / (tasks * self.weights.sum()))


def evolved_of(state: dict[str, Any]) -> Evolved:
    """Read what a run of muNet kept.

    Parameters
    ----------
    state : dict
        `growth.strategies.MuNet.state`.

    Raises
    ------
    MosaicError
        If it has no paths.
    """
    if not state.get("paths"):
        raise MosaicError(
            "The checkpoint has no paths; it needs to be one of strategy 'munet', after a task."
        )
    paths = np.array([components for components, *_ in state["paths"].values()])
    maker = np.array([[(column == c).argmax() for c in column] for column in paths.T]).T
    weights = [
        sum(w.numel() for w in state["components"][int(c)].values()) for c in paths[0]
    ]
    return Evolved(maker, np.array(weights))


def read_evolved(seed: SeedFolder) -> Evolved:
    """Read the last checkpoint of a run of muNet."""
    state = torch.load(seed.path / "checkpoint.pt", weights_only=True)
    return evolved_of(state["strategy"])
