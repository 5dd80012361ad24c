"""Gate neurons that score the classes of their experts, learnt from sums without samples.

One gate neuron for each class of each expert. Its weights are those of a ridge regression to
one-hot classes over all samples that any expert was trained on. That needs sums alone::

    A = sum f f'        B[:, k] = sum of f of class k of its expert

with f the inputs of the experts and a 1. So the gate of an old expert improves as others come,
without a sample kept: what tells its classes from theirs is in A. After a task all gate neurons
are written again, on the wires that they have.

Gate neurons do not leak: their count is the score, rounded down, and a score below 0 is silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.rounding import rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SUM_BITS", "Scored"]

SUM_BITS = 32
"""Bits of a sum."""

RIDGE = 60.0
"""Penalty, in units of the mean variance of an input, as in `growth.strategies.ridge`."""

PEAK = 0.7
"""Share of the steps in which a gate neuron fires on a mean sample of its class."""


class Scored:
    """Sums over samples, and the gate neurons that follow from them.

    Parameters
    ----------
    inputs : int
        Of the experts.

    Attributes
    ----------
    moments : float64 array, (inputs + 1, inputs + 1)
        A.
    sums : dict of float64 array, (inputs + 1,)
        A column of B for each expert and label.

    Examples
    --------
    >>> scored = Scored(2)
    >>> scored.meet(0, np.array([[1.0, 0.0], [0.8, 0.0]]), np.array([3, 3]))
    >>> scored.meet(1, np.array([[0.0, 1.0], [0.0, 0.8]]), np.array([3, 3]))
    >>> weight = scored.solve([(0, 3), (1, 3)])
    >>> (weight @ [1.0, 0.0, 1.0]).argmax().item()
    0

    References
    ----------
    A. E. Hoerl and R. W. Kennard, "Ridge regression", Technometrics 12, 1970; sums for continual
    learning: H. Zhuang et al., "ACIL", NeurIPS 2022.
    """

    def __init__(self, inputs: int) -> None:
        self.moments = np.zeros((inputs + 1, inputs + 1))
        self.sums: dict[tuple[int, int], NDArray[np.float64]] = {}
        self.written = 0.0

    @property
    def seen(self) -> float:
        """Samples in the sums."""
        return float(self.moments[-1, -1])

    def meet(
        self, expert: int, inputs: NDArray[np.floating], labels: NDArray[np.int64]
    ) -> None:
        """Add samples that an expert was trained on."""
        rows = np.pad(np.asarray(inputs, np.float64), ((0, 0), (0, 1)), constant_values=1.0)
        self.moments += rows.T @ rows
        for label in np.unique(labels).tolist():
            column = self.sums.setdefault((expert, label), np.zeros(rows.shape[1]))
            column += rows[labels == label].sum(0)

    def solve(self, keys: list[tuple[int, int]]) -> NDArray[np.float64]:
        """Weights and biases of the gate neurons of some experts' labels, (keys, inputs + 1).

        Scaled together, such that on the mean sample of its own class a neuron is driven by
        `PEAK` thresholds a step. What was never met scores 0.
        """
        zero = np.zeros(len(self.moments))
        sums = np.column_stack([self.sums.get(key, zero) for key in keys])
        samples = self.seen
        if samples == 0:
            return sums.T
        mean, share = self.moments[:-1, -1] / samples, sums[-1] / samples
        spread = self.moments[:-1, :-1] - samples * mean[:, None] * mean
        penalty = RIDGE * spread.trace() / len(spread) / samples
        spread[np.diag_indices_from(spread)] += penalty + 1e-9
        together = sums[:-1] - samples * mean[:, None] * share
        weight = np.linalg.solve(spread, together)
        weight = np.concatenate([weight, [share - mean @ weight]])
        met = sums[-1] > 0
        own = float(((weight * sums).sum(0)[met] / sums[-1][met]).mean())
        found: NDArray[np.float64] = weight.T * (PEAK / own if own > 0 else 1.0)
        return found

    def held(
        self, keys: list[tuple[int, int]], lines: NDArray[np.bool_], levels: int
    ) -> NDArray[np.float64]:
        """Return `solve` on the levels of a device, rounded for all samples so far."""
        weight = self.solve(keys) * lines
        jitter = 1e-9 * max(self.seen, 1.0) * np.eye(len(self.moments))
        # Any rows with these second moments round alike.
        rows = np.linalg.cholesky(self.moments + jitter).T
        weight[:, lines] = rounded(weight[:, lines], rows[:, lines], levels)
        return weight

    def state(self) -> dict[str, Any]:
        """Plain numbers and tensors, from which `load_state` goes on."""
        return {
            "moments": torch.from_numpy(self.moments.copy()),
            "sums": {key: torch.from_numpy(value) for key, value in self.sums.items()},
            "written": self.written,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state of `state`."""
        self.moments = state["moments"].numpy()
        self.sums = {key: value.numpy() for key, value in state["sums"].items()}
        self.written = state["written"]
