"""Heartbeats of patients that were never seen, each beside what its own heart did before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from growth.datasets.files import find
from growth.datasets.signals import before, divided, parts
from growth.encode import delta
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.datasets.base import Dataset

__all__ = ["mitbih_context"]

USUAL_BEATS = 50
"""Beats before, of which the median is what is usual."""
INTERVALS = 10, 200
"""Intervals before, of which the mean is what an interval is compared with."""
IRREGULAR_BEATS, IRREGULAR_FLOOR = 20, 0.03
"""Beats before, over which the size of irregularities is averaged; what is added to it."""
RESTING_SECONDS = 0.8
"""Interval that makes no spike: 75 beats a minute."""
HERTZ = 360
"""Of the clock of intervals."""
SHAPE_FLOOR = 0.05
"""Added to the usual size of a departure, in units of the usual height."""
LEAST_UNUSUAL = 0.05
"""Departures below this share of the usual are not told apart."""
WINDOWS = (3, 10), (10, 16), (16, 27)
"""P wave, QRS complex and T wave, in 32nds of a beat: -211 to -56, to 78 and to 322 ms of R."""
SHAPE, SHORT, LONG, IRREGULAR, RATE, UNUSUAL = 0.15, 0.05, 0.05, 0.3, 0.1, 0.15
"""Changes that make a spike: of a shape; of the four signals of an interval; of a departure."""


def mitbih_context(seed: int, steps: int = 32) -> Dataset:
    """Return MIT-BIH's heartbeats as normal (0) and other (1), with what is usual for the heart.

    Beats and division as in `mitbih`. Nine signals are encoded by `growth.encode.delta`, ups
    before downs, 18 channels. A beat knows its own samples, up to 431 ms after its R peak, and
    the beats before it of the same patient; nothing of the next one, and no label. The first
    beat of a patient is compared with itself.

    1. The beat, in units of the median peak-to-peak height of the 50 beats before.
    2. Its departure from the median of the 50 beats before, in the same unit.
    3. The logarithm of the interval since the beat before, less its mean over 10 intervals before.
    4. The same over 200 intervals, for what is early all the time.
    5. The third divided by 0.03 plus its mean size in the 20 beats before: early for this heart.
    6. The logarithm of the interval over 0.8 s.
    7. to 9. For the P wave, the QRS complex and the T wave: the logarithm of how unusual they
       are. That is the mean over steps of the size of the departure (the second, less its median
       over the beat) divided by 0.05 plus the median of that size in the 50 beats before; 0.05
       if it is less.

    Signals 3 to 9 step from 0 to their value at the second step and so become a burst of spikes:
    a beat is shown once it is over, since the last three depend on all of it.

    `Dataset.kind` says what is other: 1 supraventricular, 2 ventricular, 3 fusion or unknown.

    Parameters
    ----------
    seed : int
        Of the order of the training samples.
    steps : int
        32, 64 or 128: the mean over equal parts is encoded.

    Raises
    ------
    ConfigError
        If there is another number of steps, or the file is absent.
    """
    (path,) = find("mitbih")
    if steps not in (32, 64, 128):
        raise ConfigError(f"steps is {steps}; mitbih-context needs 32, 64 or 128.")
    with np.load(path, allow_pickle=False) as file:
        names = ("beats", "aami", "split", "record", "sample", "rr_prev")
        beats, kinds, split, record, at, interval = (file[name] for name in names)
    shapes = parts("mitbih-context", beats[..., None], steps)[..., 0]
    height = np.ptp(beats, axis=1).astype(np.float64)
    signals = np.zeros((*shapes.shape, 9))
    for one in np.unique(record):
        rows = np.flatnonzero(record == one)
        rows = rows[np.argsort(at[rows], kind="stable")]
        seconds = interval[rows] / HERTZ
        # The first beat has no interval yet; it is given the one that follows.
        seconds[0] = seconds[1]
        unit = usual(height[rows])[:, None]
        departure = (shapes[rows] - usual(shapes[rows])) / unit
        signals[rows, :, 0] = shapes[rows] / unit / SHAPE
        signals[rows, :, 1] = departure / SHAPE
        signals[rows, 1:, 2:6] = _rhythm(seconds)[:, None]
        signals[rows, 1:, 6:] = _unusual(departure)[:, None]
    return divided(
        "mitbih-context", delta(signals, 1.0), kinds > 0, split == 1, split == 2, 2, seed,
        origin=record, kind=np.minimum(kinds, 3),
    )  # fmt: skip


def usual(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of up to 50 rows before each; the first, which has none, is its own.

    Examples
    --------
    >>> usual(np.array([5.0, 1.0, 3.0, 9.0])).tolist()
    [5.0, 5.0, 3.0, 3.0]
    """
    found = np.empty_like(values)
    found[0] = values[0]
    for row in range(1, min(USUAL_BEATS, len(values))):
        found[row] = np.median(values[:row], axis=0)
    if len(values) > USUAL_BEATS:
        windows = np.lib.stride_tricks.sliding_window_view(values[:-1], USUAL_BEATS, axis=0)
        found[USUAL_BEATS:] = np.median(windows, axis=-1)
    return found


def _rhythm(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signals 3 to 6 of the intervals of one patient, (beats, 4), in their thresholds."""
    log = np.log(seconds)
    short, long = (log - before(log, number) for number in INTERVALS)
    irregular = IRREGULAR_FLOOR + before(np.abs(short), IRREGULAR_BEATS)
    return np.stack(
        [
            short / SHORT, long / LONG, short / irregular / IRREGULAR,
            (log - np.log(RESTING_SECONDS)) / RATE,
        ], axis=1,
    )  # fmt: skip


def _unusual(departure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signals 7 to 9 of the departures of one patient, (beats, 3), in their threshold."""
    size = np.abs(departure - np.median(departure, axis=1, keepdims=True))
    share = size / (SHAPE_FLOOR + usual(size))
    scale = departure.shape[1] // 32
    means = [share[:, scale * a : scale * b].mean(1) for a, b in WINDOWS]
    return np.log(np.maximum(np.stack(means, axis=1), LEAST_UNUSUAL)) / UNUSUAL
