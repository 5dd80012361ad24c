"""The stream that an experiment's configuration describes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from growth.config import StreamConfig
from growth.datasets import Dataset, load_dataset, rates
from growth.streams.alter import (
    PROTOCOLS,
    blurred,
    hidden,
    limited,
    mixed,
    noisy,
    recurring,
    uneven,
)
from growth.streams.make import (
    partitioned,
    permuted,
    rotated,
    sequence,
    split,
    split_evenly,
)
from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from growth.config import Experiment
    from growth.streams.base import Stream

__all__ = ["check_protocol", "configured"]

ONLY_FOR = {
    "datasets": ("sequence",),
    "per_task": ("split",),
    "by_group": ("split",),
    "shuffle_classes": ("split",),
    "relabel": ("split", "partitioned", "sequence"),
    "tasks": ("permuted", "rotated"),
    "keep_first": ("permuted",),
    "angles": ("rotated",),
    "random_angles": ("rotated",),
    "classes": ("split", "partitioned"),
}
"""Options that mean something for some kinds of streams only."""


def configured(settings: StreamConfig, seed: int) -> Stream:
    """Build the stream of a configuration for one seed.

    Parameters
    ----------
    settings : StreamConfig
    seed : int
        Of everything that is drawn.

    Raises
    ------
    ConfigError
        If an option is not for this kind of stream, options contradict each other, or the
        protocol that is named is another one.
    MosaicError
        If the data set does not allow it.

    Examples
    --------
    >>> stream = configured(StreamConfig(kind="permuted", tasks=3, train_samples=1000), 0)
    >>> [len(task.train) for task in stream.tasks], stream.scenario
    ([1000, 1000, 1000], 'domain-incremental')
    """
    for option, kinds in ONLY_FOR.items():
        default = StreamConfig.model_fields[option].default
        if settings.kind not in kinds and getattr(settings, option) != default:
            raise ConfigError(
                f"stream.{option} is {getattr(settings, option)!r}, but stream.kind is "
                f"{settings.kind!r}; it is for {' and '.join(kinds)}."
            )
    if settings.mixed and settings.blur:
        raise ConfigError(
            "stream.mixed leaves no boundaries that stream.blur could blur; choose one."
        )
    if settings.identity and (settings.blur or not settings.boundaries):
        raise ConfigError(
            "stream.identity gives away the boundaries that stream.blur or stream.boundaries = "
            "false hide; set it to false."
        )
    stream = _made(settings, seed)
    if settings.train_samples is not None or settings.test_samples is not None:
        stream = limited(stream, seed, settings.train_samples, settings.test_samples)
    if settings.uneven:
        stream = uneven(stream, settings.uneven, seed)
    if settings.order:
        stream = recurring(stream, settings.order, seed)
    if settings.noise_rate:
        stream = noisy(
            stream, settings.noise_rate, seed, start=settings.noise_start,
            stop=settings.noise_stop, tasks=settings.noise_tasks or None,
        )  # fmt: skip
    if settings.mixed:
        stream = mixed(stream, seed)
    if settings.blur:
        stream = blurred(stream, settings.blur, seed)
    if not settings.boundaries:
        stream = hidden(stream)
    return replace(stream, identity=True) if settings.identity else stream


def check_protocol(experiment: Experiment) -> None:
    """Refuse an experiment that names a protocol and does not keep to it.

    Raises
    ------
    ConfigError
        Naming the setting that differs, and what it is in the protocol.
    """
    name = experiment.stream.protocol
    if name == "own":
        return
    protocol = PROTOCOLS[name]
    settings = (
        ("stream.train_samples", experiment.stream.train_samples, protocol.train),
        ("stream.boundaries", experiment.stream.boundaries, protocol.boundaries),
        ("train.epochs", experiment.train.epochs, protocol.epochs),
        ("train.batch", experiment.train.batch, protocol.batch),
    )
    for key, found, wanted in settings:
        free = wanted is None and key != "stream.train_samples"
        if found != wanted and not free:
            raise ConfigError(
                f"{key} is {found}, but stream.protocol is {name!r}, which has "
                f"{'no such limit' if wanted is None else wanted} ({protocol.source})."
            )


def _made(settings: StreamConfig, seed: int) -> Stream:
    if settings.kind == "sequence":
        several = [_loaded(name, settings, seed, None) for name in settings.datasets]
        return sequence(several, side=settings.size, share_labels=settings.relabel)
    data = _loaded(settings.dataset, settings, seed, settings.size)
    if settings.kind == "permuted":
        return permuted(data, settings.tasks, seed, keep_first=settings.keep_first)
    if settings.kind == "rotated":
        drawn = seed if settings.random_angles else None
        return rotated(data, settings.tasks, degrees=settings.angles or None, seed=drawn)
    if settings.kind == "partitioned":
        return partitioned(data, settings.classes, relabel=settings.relabel)
    if settings.by_group:
        if settings.per_task is not None:
            raise ConfigError(
                "stream.by_group and stream.per_task are two ways; choose one."
            )
        if not data.groups:
            raise ConfigError(
                f"stream.by_group is true, but {data.name} has no groups; omniglot has."
            )
        return split(data, data.groups, relabel=settings.relabel)
    if settings.per_task is not None:
        shuffled = seed if settings.shuffle_classes else None
        return split_evenly(
            data, settings.per_task, seed=shuffled, relabel=settings.relabel
        )
    if settings.shuffle_classes:
        raise ConfigError("stream.shuffle_classes needs stream.per_task.")
    return split(data, settings.classes, relabel=settings.relabel)


def _loaded(name: str, settings: StreamConfig, seed: int, size: int | None) -> Dataset:
    data = load_dataset(name, seed, settings.test_share, steps=settings.steps, size=size)
    if settings.rates:
        return rates(data)
    if data.steps not in (None, settings.steps):
        raise ConfigError(
            f"{data.name} has {data.steps} steps, and stream.steps is {settings.steps}; both need "
            "to be the same."
        )
    return data
