"""Input spikes: what a simulator takes, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["checked_spikes"]


def checked_spikes(spikes: ArrayLike, inputs: int) -> NDArray[np.bool_]:
    """Return `spikes` as a bool array, (samples, steps, inputs), or refuse it."""
    array = np.asarray(spikes)
    if array.ndim != 3 or array.shape[2] != inputs:
        raise MosaicError(
            f"spikes has shape {array.shape}; it needs (samples, steps, {inputs}), one column "
            "for each input of the network."
        )
    if array.dtype != np.bool_:
        strange = ~((array == 0) | (array == 1))
        if strange.any():
            at = tuple(int(i) for i in np.argwhere(strange)[0])
            raise MosaicError(
                f"spikes[{at}] is {array[at]}; a line carries 0 or 1 spike a step."
            )
    return np.ascontiguousarray(array, np.bool_)
