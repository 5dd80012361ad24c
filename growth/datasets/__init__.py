"""Data sets: one that comes along, those of a data folder, and one's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from growth.datasets.base import Dataset, from_arrays, from_torch, rates
from growth.datasets.files import FILES, DataFile
from growth.datasets.heartbeats import mitbih_context
from growth.datasets.images import (
    cifar10,
    cifar10_4000,
    cifar10_4000_grey,
    cifar10_grey,
    digits,
    fashion_mnist,
    letters,
    mnist,
    omniglot,
)
from growth.datasets.signals import (
    ecg5000,
    ecg5000_anomaly,
    fsdd,
    fsdd_spikes,
    mitbih,
    mitbih_anomaly,
    nmnist,
)
from growth.datasets.spoken import shd, ssc
from growth.datasets.validation import folds
from mosaic_sim.errors import ConfigError, suggest

__all__ = [
    "DATASETS", "FILES", "DataFile", "Dataset", "cifar10", "cifar10_4000", "cifar10_4000_grey",
    "cifar10_grey", "digits", "ecg5000", "ecg5000_anomaly", "fashion_mnist", "folds",
    "from_arrays", "from_torch", "fsdd", "fsdd_spikes", "letters", "load_dataset", "mitbih",
    "mitbih_anomaly", "mitbih_context", "mnist", "nmnist", "omniglot", "rates", "shd", "ssc",
]  # fmt: skip

DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "letters": letters,
    "omniglot": omniglot,
    "cifar10": cifar10,
    "cifar10-grey": cifar10_grey,
    "cifar10-4000": cifar10_4000,
    "cifar10-4000-grey": cifar10_4000_grey,
    "nmnist": nmnist,
    "fsdd": fsdd,
    "fsdd-spikes": fsdd_spikes,
    "ecg5000": ecg5000,
    "ecg5000-anomaly": ecg5000_anomaly,
    "mitbih": mitbih,
    "mitbih-anomaly": mitbih_anomaly,
    "mitbih-context": mitbih_context,
    "shd": shd,
    "ssc": ssc,
}
"""Every data set by name. All but the digits need files in the folder ``MOSAIC_DATA``."""


def load_dataset(
    name: str,
    seed: int = 0,
    test_share: float = 1 / 3,
    *,
    steps: int = 16,
    size: int | None = None,
) -> Dataset:
    """Return the data set called `name`.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    seed : int
        Of the division into training and test samples, where there is no official one, and of
        the order of samples that are stored by class.
    test_share : float
        Share held out for testing, where there is no official division.
    steps : int
        Steps of moving data; a still input can be shown for any number.
    size : int, optional
        Pixels of a side, of the data sets that can be had in several sizes.

    Raises
    ------
    ConfigError
        If the name is unknown (with the nearest known one), a file is absent or another
        version (with where to get it), or the data set has no such size or steps.

    Examples
    --------
    >>> load_dataset("digits").shape
    (8, 8)
    """
    if name not in DATASETS:
        raise ConfigError(
            f"Unknown data set {name!r}.{suggest(name, DATASETS)} There are: "
            f"{', '.join(DATASETS)}."
        )
    load = DATASETS[name]
    takes = inspect.signature(load).parameters
    if size is not None and "size" not in takes:
        sized = [
            n for n, f in DATASETS.items() if "size" in inspect.signature(f).parameters
        ]
        raise ConfigError(
            f"size is {size}, but {name} has one size; {', '.join(sized)} have several."
        )
    given = {"seed": seed, "test_share": test_share, "steps": steps}
    if size is not None:
        given["size"] = size
    return load(**{key: value for key, value in given.items() if key in takes})
