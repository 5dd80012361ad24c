"""From weights to conductance levels: what an RRAM crossbar can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
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

    def signed_levels(self, network: Network) -> NDArray[np.int16]:
        """Return the level of each synapse, (s,): positive or negative device of its pair."""
        unit = self._unit(network)[network.target]
        scaled = np.divide(
            network.weight, unit, out=np.zeros(network.synapses, np.float64), where=unit > 0
        )
        return np.rint(scaled).astype(np.int16)

    def weights(self, network: Network) -> NDArray[np.float32]:
        """Return the weights that the programmed devices really give, (s,)."""
        if self.exact:
            return network.weight
        unit = self._unit(network)[network.target]
        return (self.signed_levels(network) * unit).astype(np.float32)

    def _unit(self, network: Network) -> NDArray[np.float64]:
        """Weight of one level in each neuron's column, (n,)."""
        largest = np.zeros(network.neurons)
        np.maximum.at(largest, network.target, np.abs(network.weight.astype(np.float64)))
        return largest / (self.levels - 1)
