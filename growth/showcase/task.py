"""The samples of a showcase: spikes to train on, and spikes to evaluate on."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from growth.datasets import folds, load_dataset
from growth.encode import latency, regular_rate
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.datasets import Dataset
    from growth.showcase.plan import DataPlan

__all__ = ["SignalTask", "even_rows", "load_task"]


class SignalTask(NamedTuple):
    """Spikes and labels.

    Attributes
    ----------
    train, test : bool arrays, (samples, steps, channels)
        `test` are held out training samples if the plan has folds.
    train_labels, test_labels : int64 arrays, (samples,)
    chance : float64 array, (training samples,), or None
        With which each is drawn; None: all once an epoch.
    labels : int
    """

    train: NDArray[np.bool_]
    train_labels: NDArray[np.int64]
    test: NDArray[np.bool_]
    test_labels: NDArray[np.int64]
    chance: NDArray[np.float64] | None
    labels: int


def load_task(plan: DataPlan, seed: int) -> SignalTask:
    """Read the data of one seed.

    Raises
    ------
    ConfigError
        If the data set is unknown or absent, or has no such size, steps, or squares to pool.
    """
    # The order of training samples is drawn here, so files are read alike for all seeds.
    data = _load(plan.dataset, plan.steps, plan.size)
    rng = np.random.default_rng([seed, 1])
    train, test = np.arange(len(data.train_labels)), np.arange(len(data.test_labels))
    held = data.test_inputs, data.test_labels
    if plan.folds:
        fold = folds(data, plan.folds, seed)
        train, test = (np.flatnonzero(fold != seed % plan.folds),
                       np.flatnonzero(fold == seed % plan.folds))  # fmt: skip
        held = data.train_inputs, data.train_labels
    if plan.train_samples is not None:
        train = _some(rng, train, plan.train_samples, "train_samples")
    if plan.test_samples is not None:
        test = _some(rng, test, plan.test_samples, "test_samples")
    chance = None
    if plan.balanced:
        origin, kind = (
            np.zeros(len(train), np.int64) if each is None else each[train]
            for each in (data.origin, data.kind)
        )
        chance = _chances(
            data.train_labels[train], kind, origin, _shares(plan, data.labels)
        )
    return SignalTask(
        _spikes(data, data.train_inputs[train], plan), data.train_labels[train],
        _spikes(data, held[0][test], plan), held[1][test], chance, data.labels,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _load(dataset: str, steps: int, size: int | None) -> Dataset:
    """Read a data set once for all cells of a process; nothing of it is written to."""
    return load_dataset(dataset, 0, steps=steps, size=size)


def even_rows(
    labels: NDArray[np.int64], most: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw at most `most` rows, equally many of each label as far as there are enough.

    Examples
    --------
    >>> rows = even_rows(np.array([0, 0, 0, 0, 1, 1, 1]), 4, np.random.default_rng(0))
    >>> np.bincount(np.array([0, 0, 0, 0, 1, 1, 1])[rows]).tolist()
    [2, 2]
    """
    known = np.unique(labels)
    each = max(most // len(known), 1)
    parts = []
    for label in known:
        rows = np.flatnonzero(labels == label)
        parts.append(rng.permutation(rows)[:each])
    return np.sort(np.concatenate(parts))


def _some(
    rng: np.random.Generator, rows: NDArray[np.int64], number: int, name: str
) -> NDArray[np.int64]:
    if number > len(rows):
        raise ConfigError(f"data.{name} is {number}; there are {len(rows)}.")
    return np.sort(rng.permutation(rows)[:number])


def _shares(plan: DataPlan, labels: int) -> NDArray[np.float64]:
    if plan.shares is None:
        return np.ones(labels)
    if len(plan.shares) != labels:
        raise ConfigError(
            f"data.shares has {len(plan.shares)} numbers; {plan.dataset} has {labels} labels, and "
            "each needs one."
        )
    return np.array(plan.shares)


def _chances(
    labels: NDArray[np.int64],
    kind: NDArray[np.int64],
    origin: NDArray[np.int64],
    shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Labels by `shares`; in a label, kinds by the root of their number; in these, origins."""
    chance = np.ones(len(labels))
    levels = (labels, kind, origin)
    for depth in (3, 2, 1):  # samples of an origin, origins of a kind, kinds of a label
        _, which, count = np.unique(
            np.stack(levels[:depth]), axis=1, return_inverse=True, return_counts=True
        )
        group = which.ravel()
        wanted = shares[labels] if depth == 1 else np.sqrt(count)[group]
        chance *= wanted / np.bincount(group, chance)[group]
    share: NDArray[np.float64] = chance / chance.sum()
    return share


def _spikes(data: Dataset, stored: NDArray[Any], plan: DataPlan) -> NDArray[np.bool_]:
    if data.steps is not None:
        if plan.pool > 1 or plan.encoding != "regular":
            raise ConfigError(
                f"data.pool is {plan.pool} and data.encoding {plan.encoding!r}; {data.name} moves "
                'already: leave both out (1, "regular").'
            )
        moving = stored if stored.dtype == np.bool_ else stored / data.scale
        return regular_rate(moving, plan.steps)
    still = np.asarray(stored, np.float64) / data.scale
    if plan.pool > 1:
        if len(data.shape) != 2 or any(side % plan.pool for side in data.shape):
            raise ConfigError(
                f"data.pool is {plan.pool}; a sample of {data.name} has shape {data.shape}, which "
                "is not divided into such squares."
            )
        high, wide = (side // plan.pool for side in data.shape)
        still = still.reshape(len(still), high, plan.pool, wide, plan.pool).mean((2, 4))
        still = still.reshape(len(still), -1)
    encode = latency if plan.encoding == "latency" else regular_rate
    return encode(still, plan.steps)
