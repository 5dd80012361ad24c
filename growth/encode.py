"""Spikes from numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["delta", "latency", "random_rate", "regular_rate"]


def regular_rate(intensity: NDArray[Any], steps: int) -> NDArray[np.bool_]:
    """Turn intensities into evenly spaced spikes; nothing is random.

    A channel of intensity x spikes at step t if ``floor(x (t + 1) + 1/2)`` is one more than
    ``floor(x t + 1/2)``: within `steps` steps it fires ``x * steps`` times, rounded. An
    intensity that moves is summed up instead of multiplied, ``floor(x[0] + ... + x[t] +
    1/2)``: spikes of 0 and 1 stay as they are.

    Parameters
    ----------
    intensity : float or bool array, (samples, channels) or (samples, steps, channels), 0 to 1
    steps : int

    Returns
    -------
    bool array, (samples, steps, channels)

    Raises
    ------
    MosaicError
        If an intensity is not a number from 0 to 1, or moving ones have another number of
        steps.

    Examples
    --------
    >>> regular_rate(np.array([[0.5, 1.0]]), 4)[0].sum(0).tolist()
    [2, 4]
    >>> regular_rate(np.array([[[0.0], [1.0], [0.5]]]), 3)[0, :, 0].tolist()
    [False, True, True]
    """
    if steps < 1:
        raise MosaicError(f"steps is {steps}; it needs at least 1.")
    given = np.asarray(intensity)
    if given.ndim not in (2, 3):
        raise MosaicError(
            f"intensity has shape {given.shape}; it needs (samples, channels) or (samples, "
            "steps, channels)."
        )
    if given.ndim == 3 and given.shape[1] != steps:
        raise MosaicError(
            f"intensity moves over {given.shape[1]} steps, and steps is {steps}; both need to "
            "be the same."
        )
    if given.ndim == 3 and given.dtype == np.bool_:
        return given
    values = np.asarray(given, np.float64)
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        raise MosaicError(f"intensity[{at}] is {values[at]}; it must lie between 0 and 1.")
    fired = np.empty((len(values), steps, values.shape[-1]), np.bool_)
    before = np.zeros_like(fired[:, 0], np.float64)
    total = before
    for t in range(
        steps
    ):  # step by step, since the sums of all steps do not fit the caches
        total = values * (t + 1) if values.ndim == 2 else total + values[:, t]
        now = np.floor(total + 0.5)
        np.greater(now, before, out=fired[:, t])
        before = now
    return fired


def random_rate(
    intensity: NDArray[Any], steps: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Turn intensities into random spikes: at each step one with the intensity as its chance.

    The rate code of ``snntorch.spikegen.rate``. `regular_rate` has the same mean without chance.

    Parameters
    ----------
    intensity : float array, (samples, channels), 0 to 1
    steps : int
    rng : numpy.random.Generator

    Returns
    -------
    bool array, (samples, steps, channels)

    Raises
    ------
    MosaicError
        If an intensity is not a number from 0 to 1, or there is no step.

    Examples
    --------
    >>> random_rate(np.array([[0.0, 1.0]]), 3, np.random.default_rng(0))[0].sum(0).tolist()
    [0, 3]
    """
    values = _still(intensity, steps)
    drawn = rng.random((len(values), steps, values.shape[1]))
    fired: NDArray[np.bool_] = drawn < values[:, None]
    return fired


def latency(intensity: NDArray[Any], steps: int) -> NDArray[np.bool_]:
    """Turn intensities into the time of one spike: the brighter, the earlier.

    A channel of intensity x above 0 spikes once, at step ``round((1 - x) (steps - 1))``, halves
    to the even step; one of intensity 0 never does. This is ``snntorch.spikegen.latency`` with
    ``linear=True, normalize=True, clip=True`` and a threshold just above 0.

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
        If an intensity is not a number from 0 to 1, or there is no step.

    Examples
    --------
    >>> latency(np.array([[1.0, 0.5, 0.0]]), 5)[0].argmax(0).tolist()
    [0, 2, 0]
    >>> latency(np.array([[1.0, 0.5, 0.0]]), 5)[0].sum(0).tolist()
    [1, 1, 0]
    """
    values = _still(intensity, steps)
    step = np.rint((1 - values) * (steps - 1))
    fired: NDArray[np.bool_] = (np.arange(steps)[:, None] == step[:, None]) & (
        values[:, None] > 0
    )
    return fired


def _still(intensity: NDArray[Any], steps: int) -> NDArray[np.float64]:
    """Checked intensities, (samples, channels)."""
    if steps < 1:
        raise MosaicError(f"steps is {steps}; it needs at least 1.")
    values = np.asarray(intensity, np.float64)
    if values.ndim != 2:
        raise MosaicError(
            f"intensity has shape {values.shape}; it needs (samples, channels)."
        )
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        raise MosaicError(f"intensity[{at}] is {values[at]}; it must lie between 0 and 1.")
    return values


def delta(signal: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Turn signals into spikes of up and down: delta modulation.

    A reference starts at the first value. At each step, if the signal is at least `threshold`
    above it, the up channel spikes and the reference rises by `threshold`; if at least as
    much below, the down channel spikes and it falls. One spike a step at most: a signal that
    is faster is followed later. ``signal[0] + threshold * (ups - downs so far)`` is what a
    receiver knows.

    Parameters
    ----------
    signal : float array, (samples, steps, channels)
        May have either sign.
    threshold : float, in the signal's unit

    Returns
    -------
    bool array, (samples, steps, 2 channels)
        All ups, then all downs; none at the first step.

    Raises
    ------
    MosaicError
        If the shape is another, a value is not finite, or the threshold is not above 0.

    References
    ----------
    de Jager, Delta modulation, Philips Research Reports 7, 1952; for heartbeats on memristive
    chips, Dalgaty et al., Nature Communications 15, 2024 (Mosaic).

    Examples
    --------
    >>> beat = np.array([0.0, 0.4, 1.2, 1.2, 0.0]).reshape(1, 5, 1)
    >>> delta(beat, 0.5)[0].astype(int).tolist()
    [[0, 0], [0, 0], [1, 0], [1, 0], [0, 1]]
    """
    values = np.asarray(signal, np.float64)
    if values.ndim != 3 or not values.shape[1]:
        raise MosaicError(
            f"signal has shape {values.shape}; it needs (samples, steps, channels), at least "
            "one step."
        )
    if not np.isfinite(values).all():
        raise MosaicError("signal holds values that are not finite.")
    if not 0 < threshold < np.inf:
        raise MosaicError(f"threshold is {threshold}; it needs to be above 0 and finite.")
    samples, steps, channels = values.shape
    spikes = np.zeros((samples, steps, 2, channels), np.bool_)
    # Whole steps of the threshold are counted, so that the reference gathers no rounding.
    level = np.zeros((samples, channels), np.int64)
    for step in range(1, steps):
        ahead = values[:, step] - (values[:, 0] + threshold * level)
        spikes[:, step, 0], spikes[:, step, 1] = ahead >= threshold, ahead <= -threshold
        level += spikes[:, step, 0].astype(np.int64) - spikes[:, step, 1]
    return spikes.reshape(samples, steps, 2 * channels)
