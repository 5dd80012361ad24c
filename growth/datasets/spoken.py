"""Spoken digits and commands as spikes of an artificial cochlea: SHD and SSC, from HDF5 files.

The files of Cramer et al. are read as they are published. h5py is optional: it is imported when
one of them is read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.datasets.base import Dataset
from growth.datasets.files import FOLDER
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_spikes", "shd", "ssc"]

CHANNELS = 700
"""Of the artificial cochlea."""
COPIES, PADDED = 6, 128
"""Interleaved subsamples of the channels, and the channels each is padded to."""
SECONDS = 1.4
"""Length that a recording is cut into steps by."""
SOURCE = "https://zenkelab.org/datasets/"


def shd(
    steps: int = 100, size: int = 128, seconds: float = SECONDS, most: int | None = None
) -> Dataset:
    """Return the Spiking Heidelberg Digits: 20 labels, ``shd/shd_train.h5`` and ``shd_test.h5``.

    A channel spikes at a step if it does at least once within it; what is more than one is one
    spike.

    Parameters
    ----------
    steps : int
        Equal steps over `seconds`; 100 of 14 ms in the training code of Mosaic.
    size : int
        Channels. 700: all. 128: the published preprocessing of Mosaic, which makes six samples
        of each recording, of every sixth channel (117 or 116), padded with silent ones to 128.
    seconds : float [s]
    most : int, optional
        Recordings to read of each file, the first ones; all by default.

    Raises
    ------
    ConfigError
        If a file is absent or is laid out in another way, h5py is not installed, `size` is
        another, or spikes lie beyond `seconds`.

    References
    ----------
    Cramer, Stradmann, Schemmel and Zenke, IEEE Transactions on Neural Networks and Learning
    Systems 33, 2022. Preprocessing: EIS-Hub/Mosaic (Dalgaty et al., Nature Communications 15,
    2024).
    """
    return _dataset("shd", "test", 20, steps, size, seconds, most)


def ssc(
    steps: int = 100,
    size: int = 128,
    seconds: float = SECONDS,
    most: int | None = None,
    part: str = "test",
) -> Dataset:
    """Return the Spiking Speech Commands: 35 labels, ``ssc/ssc_train.h5`` and ``ssc_test.h5``.

    As `shd`. All 75,466 training recordings take 5 GB of memory.

    Parameters
    ----------
    steps, size, seconds, most
        As for `shd`.
    part : str
        "test", or "valid" to have the validation file in place of the test file.
    """
    if part not in ("test", "valid"):
        raise ConfigError(f"part is {part!r}; it needs 'test' or 'valid'.")
    return _dataset("ssc", part, 35, steps, size, seconds, most)


def _dataset(
    name: str,
    part: str,
    labels: int,
    steps: int,
    size: int,
    seconds: float,
    most: int | None,
) -> Dataset:
    if size not in (PADDED, CHANNELS):
        raise ConfigError(f"size is {size}; {name} can be had with {PADDED} or {CHANNELS}.")
    found: list[NDArray[Any]] = []
    for each in ("train", part):
        spikes, said = read_spikes(_path(name, each), steps, seconds=seconds, most=most)
        if size == PADDED:
            # Copies of one recording follow each other.
            parts = np.zeros((len(spikes), COPIES, steps, PADDED), np.bool_)
            for k in range(COPIES):
                some = spikes[:, :, k::COPIES]
                parts[:, k, :, : some.shape[2]] = some
            spikes, said = parts.reshape(-1, steps, PADDED), np.repeat(said, COPIES)
        found += [spikes, said]
    return Dataset(name, found[0], found[1], found[2], found[3], labels)


def read_spikes(
    path: Path, steps: int, *, seconds: float = SECONDS, most: int | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Read one HDF5 file in the format of SHD and SSC.

    ``spikes/times`` and ``spikes/units`` hold an array for each recording, times in seconds and
    channels from 0 to 699; ``labels`` a number for each. ``extra`` is not read.

    Parameters
    ----------
    path : Path
    steps, seconds, most
        As for `shd`.

    Returns
    -------
    spikes : bool array, (recordings, steps, 700)
    labels : int64 array, (recordings,)

    Raises
    ------
    ConfigError
        If the file is no such file, or a spike lies outside its range.
    """
    for key, value in (("steps", steps), ("most", most)):
        if value is not None and value < 1:
            raise ConfigError(f"{key} is {value}; it needs at least 1.")
    if not 0 < seconds < np.inf:
        raise ConfigError(f"seconds is {seconds}; it needs a time above 0.")
    try:
        import h5py  # late and optional: nothing else needs it
    except ImportError:
        raise ConfigError(
            "SHD and SSC are HDF5 files: install h5py, for example with mosaic-growth[hdf5]."
        ) from None
    try:
        with h5py.File(path, "r") as file:
            times: Any = file["spikes/times"][:most]
            units: Any = file["spikes/units"][:most]
            labels = np.asarray(file["labels"][:most]).astype(np.int64)
    except (OSError, KeyError) as error:
        raise ConfigError(
            f"{str(path)!r} is no file of SHD or SSC ({error}); it needs spikes/times, "
            f"spikes/units and labels. Get it from {SOURCE}."
        ) from None
    if not len(times) == len(units) == len(labels):
        raise ConfigError(
            f"{path.name} has {len(times)} times, {len(units)} units and {len(labels)} labels; "
            "it needs one of each for every recording."
        )
    spikes = np.zeros((len(labels), steps, CHANNELS), np.bool_)
    for k, (time, unit) in enumerate(zip(times, units, strict=True)):
        at, channel = np.asarray(time, np.float64), np.asarray(unit).astype(np.int64)
        if at.shape != channel.shape:
            raise ConfigError(
                f"{path.name}: recording {k} has {at.size} times and {channel.size} units."
            )
        if not ((at >= 0) & (at < seconds)).all():
            raise ConfigError(
                f"{path.name}: recording {k} has a spike at {at.max():g} s (first {at.min():g} s); "
                f"all need to lie from 0 to below seconds = {seconds:g}."
            )
        if not ((channel >= 0) & (channel < CHANNELS)).all():
            raise ConfigError(
                f"{path.name}: recording {k} has unit {channel.max()} (smallest {channel.min()}); "
                f"there are 0 to {CHANNELS - 1}."
            )
        # The bound on time holds in exact numbers; a product may still round up to `steps`.
        spikes[
            k, np.minimum((at * steps / seconds).astype(np.int64), steps - 1), channel
        ] = True
    return spikes, labels


def _path(name: str, part: str) -> Path:
    """Where a file is. Without a hash, since no file could be had to take one of."""
    folder = os.environ.get(FOLDER)
    wanted = f"{name}/{name}_{part}.h5"
    if not folder or not Path(folder, wanted).is_file():
        where = (
            f"The folder {folder!r} of {FOLDER} lacks"
            if folder
            else f"Set {FOLDER} to have"
        )
        raise ConfigError(f"{where} {wanted}, unpacked from {SOURCE}.")
    return Path(folder, wanted)
