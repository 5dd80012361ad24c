"""Gradient episodic memory: no step may raise the loss on the exemplars of any earlier task.

The gradient g is replaced by the nearest g~ that agrees with the gradient g_k of each earlier
task's exemplars. Its dual has one unknown a task::

    min |g~ - g|^2   so that   g~ . g_k >= 0 for each k
    g~ = g + G^T v,   v = argmin |G^T v + g|^2   so that   v >= margin           (G: rows g_k)

solved only if some g . g_k is below 0. A margin above 0 moves towards earlier tasks at every such
step. With u = v - margin it is least squares with u >= 0, which `scipy.optimize.nnls` solves
exactly, in as many dimensions as there are tasks once G^T = Q R.

Stored beside the network: the exemplars; gradients of a step are of this step only. On the chip:
one program; every update also passes all exemplars.

Sources: Lopez-Paz and Ranzato, NeurIPS 2017 (the margin is their ``memory_strength``; their code
adds a `ridge` of 1e-3 to the diagonal of G G^T, which lets losses rise a little); Lawson and
Hanson, Solving least squares problems, 1974 (non-negative least squares).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from scipy.optimize import nnls

from growth.config import Section
from growth.strategies.exemplars import Exemplars, Remembering, share_of
from growth.strategies.gradients import flat, of_groups, put

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from growth.streams import Stream, Task

__all__ = ["GEM", "project"]


class GEM(Remembering):
    """Turn every gradient so that no earlier task's loss rises, as far as exemplars show."""

    live = True
    takes_kernels = True

    class Options(Section):
        """How many exemplars in all, each task having the same share, and how far to turn."""

        memory: int = Field(default=200, ge=1)
        margin: float = Field(default=0.5, ge=0)
        ridge: float = Field(default=0.0, ge=0)

    options: Any

    def make_memory(self, stream: Stream) -> Exemplars:
        self.share = share_of(self.options.memory, stream)
        return Exemplars(self.share * len(stream.tasks))

    def end(self, task: Task) -> None:
        index = self.rng.permutation(len(task.train))[: self.share]
        part = task.train.take(index)
        self.memory.offer(
            self.torch_rng,
            inputs=torch.from_numpy(np.ascontiguousarray(part.inputs)),
            labels=torch.from_numpy(part.labels),
            groups=torch.full((self.share,), task.number),
        )

    def grads(self, given: Tensor, labels: Tensor) -> None:
        if not len(self.memory):
            return
        earlier = self.earlier()
        weights = self.net.weights
        own = flat(w.grad for w in weights.values() if w.grad is not None)
        if bool((earlier @ own < 0).any()):
            found = project(
                own.numpy(), earlier.numpy(), self.options.margin, self.options.ridge
            )
            put(torch.from_numpy(found).float(), weights)

    def earlier(self) -> Tensor:
        """Gradient of the loss on the exemplars of each earlier task, (tasks, weights)."""
        kept = self.memory.kept
        sizes = kept["groups"].unique_consecutive(return_counts=True)[1].tolist()
        layers = self.net.layers(self.encode(kept["inputs"]))
        losses = [
            self.criterion(output, self.targets(labels))
            for output, labels in zip(
                layers[-1].output.split(sizes, 1), kept["labels"].split(sizes), strict=True
            )
        ]
        self.meter.passed(len(self.memory))
        return of_groups(layers, losses, sizes, self.net)


def project(
    gradient: NDArray[np.floating],
    earlier: NDArray[np.floating],
    margin: float = 0.0,
    ridge: float = 0.0,
) -> NDArray[np.float64]:
    """Return the nearest gradient that agrees with some others.

    Parameters
    ----------
    gradient : float array, (weights,)
    earlier : float array, (tasks, weights)
    margin : float
        Least multiple of each earlier gradient that is added.
    ridge : float
        Added to the diagonal of the dual problem; 0 is exact.

    Returns
    -------
    float64 array, (weights,)

    Examples
    --------
    >>> project(np.array([1.0, -1.0]), np.array([[0.0, 2.0]])).tolist()
    [1.0, 0.0]
    """
    own, rows = np.asarray(gradient, np.float64), np.asarray(earlier, np.float64)
    tasks = len(rows)
    q, r = np.linalg.qr(rows.T)
    least = np.full(tasks, float(margin))
    # |R (u + least) + Q^T g|^2 + ridge |u + least|^2, less what does not depend on u.
    matrix = np.vstack([r, ridge**0.5 * np.eye(tasks)])
    wanted = -np.concatenate([q.T @ own, np.zeros(tasks)]) - matrix @ least
    return own + (nnls(matrix, wanted)[0] + least) @ rows
