"""Supermasks without task identity: the mask that is surest of its answer gives it.

Every sample is run under each of the T masks learnt so far. With p the softmax of the outputs
(of spike counts, as in training), the answer is that of mask ``argmin_t H(p_t)``,
``H(p) = -sum_c p_c log p_c``.

Sources: Wortsman et al., "Supermasks in superposition", NeurIPS 2020, section 3.3 (entropy as the
sign of the right mask; there it is descended by gradients, see `supsup_oneshot`, here every mask
is tried); the same with T networks: Hendrycks and Gimpel, ICLR 2017.

Stored beside the network: as `supsup`. On the chip: T runs for one answer, and T - 1 switches
between masks for each set of samples that is served at once. Those runs and switches are on the
bill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import entr, softmax

from growth.strategies.supsup import SupSup

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.blueprint import Blueprint, Serve
    from growth.streams import Task

__all__ = ["SupSupEntropy", "entropy"]


def entropy(outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Entropy of the softmax of outputs, (..., outputs), in nats.

    Examples
    --------
    >>> entropy(np.array([[0.0, 0.0], [0.0, 9.0]]))
    array([0.693..., 0.001...])
    """
    found: NDArray[np.float64] = entr(softmax(outputs.astype(np.float64), -1)).sum(-1)
    return found


class SupSupEntropy(SupSup):
    """Try every mask, and let the one with the least entropy answer each sample."""

    needs_identity = False

    def key(self, task: Task) -> int:
        """A mask for every task that begins: whether one came back is not told."""
        return task.number

    def blueprint(self, identity: int | None = None) -> Blueprint:
        return self.under(self.latest)

    def scores(self, serve: Serve, identity: int | None = None) -> NDArray[Any]:
        known = np.array(list(self.masks))
        fired = np.stack([serve(self.under(int(key)))["out"] for key in known])
        chosen = entropy(fired).argmin(0)
        self.taken_for = known[chosen]
        return fired[chosen, np.arange(len(chosen)), : self.labels]
