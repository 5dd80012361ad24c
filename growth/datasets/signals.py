"""Moving data: events of a camera, heartbeats and spoken digits, step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.datasets.base import Dataset
from growth.datasets.files import find
from growth.encode import delta, regular_rate
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ecg5000", "ecg5000_anomaly", "fsdd", "fsdd_spikes", "mitbih", "mitbih_anomaly", "nmnist",
]  # fmt: skip

PAST_BEATS, PAST_INTERVALS = 20, 10
"""Beats and intervals between beats that the next one is compared with."""
INTERVAL_THRESHOLD, UNUSUAL_THRESHOLD, USUAL_FLOOR = 0.05, 0.3, 0.03
"""Changes of an interval that make a spike: of its logarithm, and of that by what is usual; the
third is added to what is usual."""

NMNIST_MICROSECONDS = 340_000
"""Length that a recording is cut into steps by: three saccades of about 100 ms, and some."""

RATE = 8000
"""Samples of spoken digits in a second."""
FRAME, HOP = 256, 80
"""Samples of one spectrum, and between the starts of two: 32 ms and 10 ms."""
LOWEST_HERTZ, HIGHEST_HERTZ = 100.0, 3600.0
"""Centres of the outermost gammatone filters."""
FLOOR_DECIBELS = 60.0
"""What lies this far below the loudest band of its recording, or further, is silence."""


def nmnist(steps: int, size: int = 34) -> Dataset:
    """Return N-MNIST's first 1,000 training and 100 test recordings as spikes.

    An event camera of 34 x 34 pixels in front of MNIST. Channel (p, y, x) spikes at a step if
    there is at least one event of polarity p there; what is more than one is one spike.

    Parameters
    ----------
    steps : int
        Equal steps over 340 ms.
    size : int
        34, or 17 to join four pixels to one.

    References
    ----------
    Orchard, Jayawant, Cohen and Thakor, Frontiers in Neuroscience 9, 2015.
    """
    if size not in (17, 34):
        raise ConfigError(
            f"size is {size}; N-MNIST can be had with 34 or 17 pixels a side."
        )
    (path,) = find("nmnist")
    with np.load(path, allow_pickle=False) as file:
        x, y, p, time = (file[name] for name in ("x", "y", "p", "t"))
        offsets, labels, test = file["offsets"], file["label"], file["is_test"]
    fold = 34 // size
    pixel = (p.astype(np.int64) * size + y // fold) * size + x // fold
    step = time.astype(np.int64) * steps // NMNIST_MICROSECONDS
    recording = np.repeat(np.arange(len(labels)), np.diff(offsets))
    spikes = np.zeros((len(labels), steps, 2 * size * size), np.bool_)
    spikes[recording, step, pixel] = True
    labels = labels.astype(np.int64)
    return Dataset(
        "nmnist", spikes[~test], labels[~test], spikes[test], labels[test], 10,
        shape=(2, size, size),
    )  # fmt: skip


def ecg5000(seed: int, steps: int = 140, threshold: float = 0.25) -> Dataset:
    """Return the five kinds of heartbeats of ECG5000 as spikes of up and down.

    500 training beats, and the 1,500 test beats whose kind is known. `growth.encode.delta`
    makes two channels of one signal of mean 0 and deviation 1.

    Parameters
    ----------
    seed : int
        Of the order of the training samples.
    steps : int
        140, one a sample, or a divisor of it: then the mean over equal parts is encoded.
    threshold : float, in standard deviations of a beat
        Change that makes a spike.

    References
    ----------
    Chen, Hao, Rakthanmanon, Zakaria, Hu and Keogh, Data Mining and Knowledge Discovery 29,
    2015; UCR archive. The signal is record chf07 of PhysioNet's BIDMC database.
    """
    beats, kinds, train, _ = _ecg5000()
    known = kinds > 0
    return _beats(
        "ecg5000", beats, kinds - 1, train, known & ~train, 5, seed, steps, threshold
    )


def ecg5000_anomaly(seed: int, steps: int = 140, threshold: float = 0.25) -> Dataset:
    """Return ECG5000 as normal (0) and other (1) beats: 500 and 4,500, else as `ecg5000`."""
    beats, _, train, anomaly = _ecg5000()
    return _beats(
        "ecg5000-anomaly", beats, anomaly, train, ~train, 2, seed, steps, threshold
    )


def mitbih(seed: int, steps: int = 128, threshold: float = 0.1) -> Dataset:
    """Return MIT-BIH's heartbeats, lead MLII, in the five classes of the AAMI, as spikes.

    Training and test beats are of different patients (de Chazal's DS1 and DS2; records with a
    pacemaker are left out): 51,000 and 49,691 beats of 128 samples at 180 Hz around the R
    peak. Labels are 0 normal, 1 supraventricular, 2 ventricular, 3 fusion, 4 unknown; nine in
    ten are normal and 15 unknown.

    Parameters
    ----------
    seed : int
        Of the order of the training samples.
    steps : int
        128, one a sample, or a divisor of it: then the mean over equal parts is encoded.
    threshold : float [mV]
        Change that makes a spike.

    References
    ----------
    Moody and Mark, IEEE Engineering in Medicine and Biology 20, 2001; Goldberger et al.,
    Circulation 101, 2000; de Chazal, O'Dwyer and Reilly, IEEE Transactions on Biomedical
    Engineering 51, 2004.
    """
    (path,) = find("mitbih")
    with np.load(path, allow_pickle=False) as file:
        beats, kinds, split = file["beats"], file["aami"], file["split"]
    millivolts = beats / np.float32(400)
    return _beats(
        "mitbih", millivolts, kinds, split == 1, split == 2, 5, seed, steps, threshold
    )


def mitbih_anomaly(seed: int, steps: int = 32, threshold: float = 0.15) -> Dataset:
    """Return MIT-BIH's heartbeats as normal (0) and other (1), with what the heart did before.

    Beats and division as in `mitbih`: no patient is in both parts, and `Dataset.origin` says whose
    record a training beat is from. A beat of another patient is told by how it differs from its
    neighbours, so four signals are encoded by `growth.encode.delta`, ups before downs, 8 channels.
    Nothing looks ahead of a beat.

    1. The beat, in units of the mean peak-to-peak height of the 20 beats before.
    2. Its departure from the mean of the 20 beats before, in the same unit.
    3. The logarithm of the interval since the beat before, less its mean over the 10 intervals
       before that. It steps from 0 to its value and so becomes a burst of spikes.
    4. The same divided by 0.03 plus its mean size in the 20 beats before: early for this heart.

    Parameters
    ----------
    seed : int
        Of the order of the training samples.
    steps : int
        128 or a divisor of it: the mean over equal parts is encoded.
    threshold : float
        Change of the first two signals that makes a spike.
    """
    (path,) = find("mitbih")
    with np.load(path, allow_pickle=False) as file:
        names = ("beats", "aami", "split", "record", "sample", "rr_prev")
        beats, kinds, split, record, at, interval = (file[name] for name in names)
    height = np.ptp(beats, axis=1).astype(np.float64)
    shapes = parts("mitbih-anomaly", beats[..., None], steps)[..., 0]
    signals = np.zeros((*shapes.shape, 4))
    for one in np.unique(record):
        rows = np.flatnonzero(record == one)
        rows = rows[np.argsort(at[rows], kind="stable")]
        # The first beat has no interval yet; it is given the one that follows.
        log = np.log(np.where(interval[rows] > 0, interval[rows], interval[rows[1]]))
        early = log - before(log, PAST_INTERVALS)
        usual = USUAL_FLOOR + before(np.abs(early), PAST_BEATS)
        unit = threshold * before(height[rows], PAST_BEATS)[:, None]
        signals[rows, :, 0] = shapes[rows] / unit
        signals[rows, :, 1] = (shapes[rows] - before(shapes[rows], PAST_BEATS)) / unit
        signals[rows, 1:, 2] = (early / INTERVAL_THRESHOLD)[:, None]
        signals[rows, 1:, 3] = (early / usual / UNUSUAL_THRESHOLD)[:, None]
    return divided(
        "mitbih-anomaly", delta(signals, 1.0), kinds > 0, split == 1, split == 2, 2, seed,
        origin=record,
    )  # fmt: skip


def fsdd(seed: int, steps: int, bands: int = 32) -> Dataset:
    """Return the Free Spoken Digit Dataset as loudness in bands: 2,700 and 300 recordings.

    Six speakers say ten digits fifty times; the first five takes are for testing, as its
    authors have it. Recordings differ in length (0.14 to 2.3 s), so each is cut into `steps`
    equal parts: nothing is cut off or padded, but fast and slow speech look alike. Of each
    part, the power in `bands` triangular filters (mel scale, 0 to 4 kHz, spectra of 32 ms
    every 10 ms) becomes an intensity: 0 dB below the loudest of the recording is 1, 60 dB or
    more is 0.

    Parameters
    ----------
    seed : int
        Of the order of the training samples.
    steps, bands : int

    References
    ----------
    Jackson et al., Free Spoken Digit Dataset, 2018, doi:10.5281/zenodo.1342401.
    """
    return _fsdd("fsdd", seed, steps, _mel(bands))


def fsdd_spikes(seed: int, steps: int, bands: int = 32) -> Dataset:
    """Return the Free Spoken Digit Dataset as spikes of a model of the cochlea.

    As `fsdd`, with gammatone filters of fourth order in place of triangles, equally spaced in
    equivalent rectangular bandwidths from 100 Hz to 3.6 kHz. Each band sums its loudness up, and
    spikes when it has gathered 1 (`growth.encode.regular_rate`).

    Parameters
    ----------
    seed : int
        Of the order of the training samples.
    steps, bands : int

    References
    ----------
    Jackson et al., Free Spoken Digit Dataset, 2018, doi:10.5281/zenodo.1342401; Glasberg and
    Moore, Hearing Research 47, 1990 (bandwidths); Patterson et al., "Complex sounds and auditory
    images", 1992 (gammatone).
    """
    spoken = _fsdd("fsdd-spikes", seed, steps, _gammatone(bands))
    train, test = (
        regular_rate(x, steps) for x in (spoken.train_inputs, spoken.test_inputs)
    )
    return Dataset(
        spoken.name, train, spoken.train_labels, test, spoken.test_labels, spoken.labels
    )


def _fsdd(name: str, seed: int, steps: int, filters: NDArray[np.float64]) -> Dataset:
    """Loudness of all recordings in the bands of `filters`."""
    (path,) = find("fsdd")
    with np.load(path, allow_pickle=False) as file:
        audio, offsets, labels = file["audio"], file["offsets"], file["label"]
        test = file["is_test"]
    inputs = np.stack(
        [_loudness(audio[start:end], filters, steps) for start, end in pairwise(offsets)]
    )
    labels = labels.astype(np.int64)
    train = np.random.default_rng(seed).permutation(np.nonzero(~test)[0])
    return Dataset(name, inputs[train], labels[train], inputs[test], labels[test], 10)


def before(values: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """Mean of up to `number` rows before each; the first, which has none, is its own mean."""
    total = np.concatenate([np.zeros_like(values[:1]), values.cumsum(0)])
    row = np.arange(len(values))
    first = np.maximum(row - number, 0)
    count = np.maximum(row - first, 1).reshape(-1, *[1] * (values.ndim - 1))
    mean: NDArray[np.float64] = (total[row] - total[first]) / count
    mean[0] = values[0]
    return mean


def _ecg5000() -> tuple[NDArray[Any], ...]:
    (path,) = find("ecg5000")
    with np.load(path, allow_pickle=False) as file:
        names = ("x", "cls", "official_train", "anomaly")
        return tuple(file[name] for name in names)


def _beats(
    name: str,
    signal: NDArray[Any],
    labels: NDArray[Any],
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    classes: int,
    seed: int,
    steps: int,
    threshold: float,
) -> Dataset:
    """Encode one signal a sample, (samples, time), as spikes of up and down."""
    kept = train | test
    spikes = np.zeros((len(signal), steps, 2), np.bool_)
    spikes[kept] = delta(parts(name, signal[kept][..., None], steps), threshold)
    return divided(name, spikes, labels, train, test, classes, seed)


def parts(name: str, signal: NDArray[Any], steps: int) -> NDArray[np.float64]:
    """Mean of equal parts of signals, (samples, time, signals) to (samples, steps, signals)."""
    length = signal.shape[1]
    if steps < 1 or length % steps:
        divisors = [n for n in range(1, length + 1) if not length % n]
        raise ConfigError(
            f"steps is {steps}; a beat of {name} has {length} samples, so it needs one of "
            f"{divisors}."
        )
    mean: NDArray[np.float64] = signal.reshape(
        len(signal), steps, length // steps, -1
    ).mean(2, dtype=np.float64)
    return mean


def divided(
    name: str,
    spikes: NDArray[np.bool_],
    labels: NDArray[Any],
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    classes: int,
    seed: int,
    *,
    origin: NDArray[Any] | None = None,
    kind: NDArray[Any] | None = None,
) -> Dataset:
    """Training samples in random order, test samples as they stand."""
    order = np.random.default_rng(seed).permutation(np.nonzero(train)[0])
    held = np.nonzero(test)[0]
    kinds = labels.astype(np.int64)
    return Dataset(
        name, spikes[order], kinds[order], spikes[held], kinds[held], classes,
        origin=None if origin is None else origin[order].astype(np.int64),
        kind=None if kind is None else kind[order].astype(np.int64),
    )  # fmt: skip


def _mel(bands: int) -> NDArray[np.float64]:
    """Triangles of equal width on the mel scale, (bands, frequencies)."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    frequency = np.fft.rfftfreq(FRAME, 1 / RATE)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles: NDArray[np.float64] = np.maximum(
        np.minimum(
            (frequency - left) / (centre - left), (right - frequency) / (right - centre)
        ),
        0,
    )
    empty = int((triangles.sum(1) == 0).sum())
    if bands < 1 or empty:
        raise ConfigError(
            f"bands is {bands}; {empty} of them would lie between two frequencies of a "
            f"spectrum of {FRAME} samples. It needs fewer, and at least 1."
        )
    return triangles


def _gammatone(bands: int) -> NDArray[np.float64]:
    """Power passed by filters of fourth order, (bands, frequencies of a spectrum)."""
    if bands < 1:
        raise ConfigError(f"bands is {bands}; it needs at least 1.")
    # Glasberg and Moore: centres equally far apart in equivalent rectangular bandwidths.
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (LOWEST_HERTZ, HIGHEST_HERTZ))
    centre = (10 ** (np.linspace(low, high, bands) / 21.4) - 1) / 0.00437
    width = 1.019 * 24.7 * (1 + 0.00437 * centre)
    frequency = np.fft.rfftfreq(FRAME, 1 / RATE)
    power: NDArray[np.float64] = (
        1 + ((frequency - centre[:, None]) / width[:, None]) ** 2
    ) ** -4.0
    return power


def _loudness(
    audio: NDArray[np.int16], filters: NDArray[np.float64], steps: int
) -> NDArray[np.float32]:
    """Intensities (steps, bands) of one recording."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)) ** 2 @ filters.T
    # With more steps than spectra, neighbouring steps share one; none is left out or empty.
    edges = np.arange(steps + 1) * len(power) / steps
    first = np.floor(edges[:-1]).astype(np.int64)
    last = np.maximum(np.ceil(edges[1:]).astype(np.int64), first + 1)
    total = np.vstack([np.zeros(len(filters)), power.cumsum(0)])
    mean = (total[last] - total[first]) / (last - first)[:, None]
    if not mean.max() > 0:
        raise ConfigError("A recording is silent; it has no loudest band to compare with.")
    share = np.maximum(mean / mean.max(), 10 ** (-FLOOR_DECIBELS / 10))
    loudness: NDArray[np.float32] = (1 + 10 * np.log10(share) / FLOOR_DECIBELS).astype(
        np.float32
    )
    return np.maximum(loudness, 0)  # 1e-17 below silence is silence
