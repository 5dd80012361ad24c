"""From weights to conductance levels: what an RRAM crossbar can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaic_sim import _kernels
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mosaic_sim.network import Network

__all__ = ["Device"]


@dataclass(frozen=True)
class Device:
    """An RRAM cell with evenly spaced conductance levels, used in differential pairs.

    A signed weight is the difference of two devices, one of which stays at its lowest level,
    so `levels` levels give ``2 * levels - 1`` weights. The largest weight that enters a
    neuron uses the highest level: each column's front-end sets its own gain.

    Parameters
    ----------
    levels : int
        Conductance levels of one device, 2 to 256. The default, 16, is the 4 bits that the
        Mosaic paper is said to assume (status: assumed).
    exact : bool
        Compute with the weights as given, as if there were no levels. For tests against a
        model in floating point; the bill still counts the nearest levels.

    Examples
    --------
    >>> Device(levels=1)
    Traceback (most recent call last):
    mosaic_sim.errors.ConfigError: Device.levels is 1; it needs an integer from 2 to 256.
    """

    levels: int = 16
    exact: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.levels, int) or not 2 <= self.levels <= 256:
            raise ConfigError(
                f"Device.levels is {self.levels!r}; it needs an integer from 2 to 256."
            )

    def program(self, network: Network) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        """Return the level of each synapse and the weight it gives, both (s,).

        The sign of a level tells which device of the pair holds it.
        """
        level, weight = _kernels.quantise(
            network.target, network.weight, network.neurons, self.levels - 1
        )
        return level, network.weight if self.exact else weight
