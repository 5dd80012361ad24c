"""What training costs if it happens on the chip: updates, samples, and devices rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from growth import _kernels

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Meter", "levels_of"]


def levels_of(weight: Tensor, levels: int) -> Tensor:
    """Signed conductance level of each weight, as `mosaic_sim.Device` sets it.

    Parameters
    ----------
    weight : (neurons, sources)
        The largest of a neuron takes the highest level.
    levels : int
        Of one device.

    Returns
    -------
    int16 Tensor, (neurons, sources)

    Examples
    --------
    >>> levels_of(torch.tensor([[1.0, -0.5, 0.0]]), 3).tolist()
    [[2, -1, 0]]
    """
    found = torch.zeros(weight.shape, dtype=torch.int16)
    _rewrite(weight, levels, found)
    return found


def _rewrite(weight: Tensor, levels: int, found: Tensor) -> int:
    """Set levels anew, and count those that change."""
    values = weight.detach().contiguous().numpy()
    return int(_kernels.rewrite(values, values.dtype.type(levels - 1), found.numpy()))


@dataclass
class Meter:
    """Counts the work of training.

    A weight is a pair of devices. An update rewrites every pair whose level it changes: what
    learning in place would cost, beside the one reprogramming after training elsewhere.

    Parameters
    ----------
    levels : int
        Conductance levels of a device.
    updates : int
        Steps of the optimiser.
    shown : int
        Samples that went forward and backward.
    looked : int
        Samples that only went forward: of a teacher, to choose exemplars.
    rewritten : int
        Weights whose level changed, summed over updates.
    """

    levels: int
    updates: int = 0
    shown: int = 0
    looked: int = 0
    rewritten: int = 0
    _last: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def start(self, weights: Mapping[str, Tensor]) -> None:
        """Begin to count anew; these weights are on the chip already."""
        self.updates = self.shown = self.looked = self.rewritten = 0
        self._last = {name: levels_of(w, self.levels) for name, w in weights.items()}

    def there(self, weights: Mapping[str, Tensor]) -> None:
        """Take note that these weights are on the chip already."""
        self._last |= {name: levels_of(w, self.levels) for name, w in weights.items()}

    def passed(self, samples: int) -> None:
        """Count samples that went forward and backward."""
        self.shown += samples

    def looked_at(self, samples: int) -> None:
        """Count samples that only went forward."""
        self.looked += samples

    def stepped(self, weights: Mapping[str, Tensor]) -> None:
        """Count one update to these weights; what was not there before is written anew."""
        self.updates += 1
        for name, weight in weights.items():
            held = self._last.get(name)
            if held is None or held.shape != weight.shape:
                held = self._last[name] = torch.zeros(weight.shape, dtype=torch.int16)
            self.rewritten += _rewrite(weight, self.levels, held)

    def to_dict(self) -> dict[str, int]:
        """The counts, ready for JSON."""
        return {
            "updates": self.updates,
            "shown": self.shown,
            "looked": self.looked,
            "rewritten": self.rewritten,
        }
