"""Moving data: events of a camera, heartbeats and spoken digits, step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.datasets.base import Dataset
from growth.datasets.files import find
from growth.encode import delta
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ecg5000", "ecg5000_anomaly", "fsdd", "mitbih", "nmnist"]

NMNIST_MICROSECONDS = 340_000
"""Length that a recording is cut into steps by: three saccades of about 100 ms, and some."""

RATE = 8000
"""Samples of spoken digits in a second."""
FRAME, HOP = 256, 80
"""Samples of one spectrum, and between the starts of two: 32 ms and 10 ms."""
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
    (path,) = find("fsdd")
    with np.load(path, allow_pickle=False) as file:
        audio, offsets, labels = file["audio"], file["offsets"], file["label"]
        test = file["is_test"]
    filters = _mel(bands)
    inputs = np.stack(
        [_loudness(audio[start:end], filters, steps) for start, end in pairwise(offsets)]
    )
    labels = labels.astype(np.int64)
    train = np.random.default_rng(seed).permutation(np.nonzero(~test)[0])
    return Dataset("fsdd", inputs[train], labels[train], inputs[test], labels[test], 10)


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
    length = signal.shape[1]
    if steps < 1 or length % steps:
        divisors = [n for n in range(1, length + 1) if not length % n]
        raise ConfigError(
            f"steps is {steps}; a beat of {name} has {length} samples, so it needs one of "
            f"{divisors}."
        )
    order = np.random.default_rng(seed).permutation(np.nonzero(train)[0])
    held = np.nonzero(test)[0]
    train_spikes, test_spikes = (
        delta(
            signal[index].reshape(len(index), steps, 1, -1).mean(3, dtype=np.float64),
            threshold,
        )
        for index in (order, held)
    )
    kinds = labels.astype(np.int64)
    return Dataset(name, train_spikes, kinds[order], test_spikes, kinds[held], classes)


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
