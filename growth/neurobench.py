"""What a network does for its answers, under the names of NeuroBench.

Sources: Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing algorithms
and systems", Nature Communications 16, 2025; definitions as in `growth.metrics.work`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.blueprint import BIAS, INPUTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.blueprint import Blueprint, Counts

__all__ = ["Work"]


@dataclass
class Work:
    """Sums over everything that was run to answer some samples.

    All are counted from spike totals, so that no raster is kept: a source that fired n times
    made n accumulates at each of its weights other than 0.

    Examples
    --------
    >>> from growth.blueprint import INPUTS, Blueprint, Connection, Population
    >>> out = Population("out", np.arange(2))
    >>> net = Blueprint(3, (out,), (Connection(INPUTS, "out", np.eye(2, 3, dtype="f4")),))
    >>> work = Work()
    >>> work.ran(net, np.ones((4, 5, 3), bool), {"out": np.ones((4, 2), int)})
    >>> work.to_dict(samples=4)["synaptic_operations"]
    {'Dense': 30.0, 'Effective_ACs': 10.0, 'Effective_MACs': 0.0}
    """

    weights: int = 0
    zeros: int = 0
    slots: int = 0
    fired: int = 0
    dense: int = 0
    accumulates: int = 0
    multiplies: int = 0

    def ran(self, blueprint: Blueprint, given: NDArray[Any], counts: Counts) -> None:
        """Take note of one run.

        Parameters
        ----------
        blueprint : Blueprint
        given : array, (samples, steps, inputs)
            Anything but 0, 1 and -1 in it makes multiply-accumulates instead.
        counts : dict of int array, (samples, neurons)
            What each population fired.
        """
        samples, steps = given.shape[:2]
        signs = given if given.dtype == np.bool_ else np.isin(given, (-1, 0, 1))
        binary = given.dtype == np.bool_ or bool(signs.all())
        events = np.count_nonzero(given, axis=(0, 1))
        for connection in blueprint.connections:
            weight = connection.weight
            there = np.count_nonzero(weight, axis=0)
            self.weights += weight.size
            self.zeros += weight.size - int(there.sum())
            self.dense += weight.size * steps * samples
            if connection.source == INPUTS:
                done = int(events @ there)
            elif connection.source == BIAS:
                done = steps * samples * int(there.sum())
            else:
                done = int(counts[connection.source].sum(0) @ there)
            if connection.source == INPUTS and not binary:
                self.multiplies += done
            else:
                self.accumulates += done
        for population in blueprint.populations:
            self.slots += population.births.size * steps * samples
            self.fired += int(counts[population.name].sum())

    def to_dict(self, samples: int) -> dict[str, Any]:
        """Sparsities, and operations of one answer; None where nothing was run."""
        return {
            "connection_sparsity": self.zeros / self.weights if self.weights else None,
            "activation_sparsity": 1 - self.fired / self.slots if self.slots else None,
            "synaptic_operations": {
                "Dense": self.dense / samples,
                "Effective_ACs": self.accumulates / samples,
                "Effective_MACs": self.multiplies / samples,
            },
        }
