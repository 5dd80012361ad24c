"""Spikes from numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["regular_rate"]


def regular_rate(intensity: NDArray[np.floating], steps: int) -> NDArray[np.bool_]:
    """Turn intensities into evenly spaced spikes; nothing is random.

    A channel of intensity x spikes at step t if ``floor(x (t + 1) + 1/2)`` is one more than
    ``floor(x t + 1/2)``: within `steps` steps it fires ``x * steps`` times, rounded.

    Parameters
    ----------
    intensity : float array, (samples, channels), 0 to 1
    steps : int

    Returns
    -------
    bool array, (samples, steps, channels)

    Raises
    ------
    MosaicError
        If an intensity is not a number from 0 to 1.

    Examples
    --------
    >>> regular_rate(np.array([[0.5, 1.0]]), 4)[0].sum(0).tolist()
    [2, 4]
    """
    values = np.asarray(intensity, np.float64)
    if values.ndim != 2:
        raise MosaicError(
            f"intensity has shape {values.shape}; it needs (samples, channels)."
        )
    if steps < 1:
        raise MosaicError(f"steps is {steps}; it needs at least 1.")
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        raise MosaicError(f"intensity[{at}] is {values[at]}; it must lie between 0 and 1.")
    charge = np.floor(values[:, None, :] * np.arange(steps + 1)[None, :, None] + 0.5)
    fired: NDArray[np.bool_] = np.diff(charge, axis=1) > 0
    return fired
