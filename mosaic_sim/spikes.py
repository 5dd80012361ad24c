"""Input to a network: spikes or currents, dense or as events; what a simulator takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Drive", "Events", "as_drive"]

SPARSE = 0.05
"""Share of true entries up to which it is quicker to pass over words of zeros."""

MOST_PULSES = 1 << 24
"""Whole numbers up to this are exact in single precision."""


@dataclass(frozen=True, eq=False)
class Events:
    """Input spikes as (time, channel) events, in any order.

    Parameters
    ----------
    time, channel : int array, (events,)
        Step and input channel of each. An event that is listed twice is two spikes.
    steps : int
        Steps of each sample: an event at ``steps`` or later is refused.
    sample : int array, (events,), or int
        Sample of each event, 0 by default.
    value : float array, (events,), optional
        Current instead of a spike: the weights of the channel times this value.
    samples : int, optional
        By default as many as `sample` names.

    Examples
    --------
    >>> Events(time=[0, 3], channel=[1, 1], steps=5).samples
    1
    """

    time: ArrayLike
    channel: ArrayLike
    steps: int
    sample: ArrayLike = 0
    value: ArrayLike | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        size = np.size(self.time)
        for name in ("time", "channel", "sample"):
            array = np.asarray(getattr(self, name))
            if array.dtype.kind not in "iu" and array.size:
                raise MosaicError(f"{name} holds {array.dtype}; it needs whole numbers.")
            if array.ndim and array.shape != (size,):
                raise MosaicError(f"{name} has shape {array.shape}; it needs ({size},).")
            wide = np.broadcast_to(array, (size,)).astype(np.int64)
            if size and wide.min() < 0:
                raise MosaicError(f"{name} has {wide.min()}; it needs numbers from 0 on.")
            object.__setattr__(self, name, wide)
        time, sample = np.asarray(self.time), np.asarray(self.sample)
        if size and time.max() >= self.steps:
            raise MosaicError(
                f"time has {time.max()}, but a sample has {self.steps} steps (0 to "
                f"{self.steps - 1})."
            )
        named = int(sample.max(initial=-1)) + 1
        if self.samples is None:
            object.__setattr__(self, "samples", max(named, 1))
        elif named > self.samples:
            raise MosaicError(f"sample has {named - 1}, but samples is {self.samples}.")
        if self.value is not None and np.shape(self.value) != (size,):
            raise MosaicError(
                f"value has shape {np.shape(self.value)}; it needs ({size},)."
            )


@dataclass(frozen=True, eq=False)
class Drive:
    """Input as the simulator reads it: for each step of each sample the channels that drive.

    Parameters
    ----------
    samples, steps : int
    offsets : int64 array, (samples * steps + 1,)
        Step t of sample s drives channels ``offsets[s * steps + t]`` to the next offset.
    channel : int32 array, (events,)
    value : float32 array, (events,) or (0,)
        Current of each, if it is not 1.
    pulses : int64 array, (events,) or (0,)
        Spikes that each stands for, if it is not 1.
    """

    samples: int
    steps: int
    offsets: NDArray[np.int64]
    channel: NDArray[np.int32]
    value: NDArray[np.float32]
    pulses: NDArray[np.int64]

    def counts(self, channels: int) -> NDArray[np.int64]:
        """Spikes of each channel in each sample, (samples, channels)."""
        counts = np.zeros((self.samples, channels), np.int64)
        _kernels.count_drive(self.offsets, self.channel, self.pulses, self.steps, counts)
        return counts


def as_drive(spikes: ArrayLike | Events | Drive, inputs: int) -> Drive:
    """Read dense input or events for a network with that many input channels, or refuse it.

    Booleans are spikes. Whole numbers are currents of so many spikes in one step, negative ones
    of reversed sign; a row is driven once for each. Real numbers are currents, for which a row
    is driven once.
    """
    if isinstance(spikes, Drive):
        return spikes
    if isinstance(spikes, Events):
        return _from_events(spikes, inputs)
    array = np.asarray(spikes)
    if array.ndim != 3 or array.shape[2] != inputs:
        raise MosaicError(
            f"spikes has shape {array.shape}; it needs (samples, steps, {inputs}), one column "
            "for each input of the network."
        )
    samples, steps, _ = array.shape
    none = np.empty(0, np.float32)
    flat = np.ascontiguousarray(array.reshape(samples * steps, inputs))
    if array.dtype == np.bool_:
        offsets, channel = _pack(flat)
        return Drive(samples, steps, offsets, channel, none, np.empty(0, np.int64))
    if array.dtype.kind not in "iuf":
        raise MosaicError(f"spikes holds {array.dtype}; it needs bool, integers or floats.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise MosaicError(f"spikes[{at}] is {array[at]}; a current is finite.")
    driven = flat != 0
    offsets, channel = _pack(driven)
    return _valued(samples, steps, offsets, channel, flat[driven])


def _pack(dense: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """List the true entries of each row: (offsets, columns)."""
    rows, channels = dense.shape
    flat = dense.reshape(-1).view(np.uint8)
    if flat.size % 8:
        flat = np.concatenate([flat, np.zeros(-flat.size % 8, np.uint8)])  # whole words
    offsets = np.zeros(rows + 1, np.int64)
    true = np.count_nonzero(flat)
    channel = np.empty(true + 8, np.int32)
    _kernels.pack(
        flat.view(np.uint64), true < SPARSE * flat.size, channels, offsets, channel
    )
    return offsets, channel[:-8]


def _from_events(events: Events, inputs: int) -> Drive:
    time, channel, sample = (
        np.asarray(x) for x in (events.time, events.channel, events.sample)
    )
    if channel.size and channel.max() >= inputs:
        raise MosaicError(
            f"channel has {channel.max()}, but the network has {inputs} inputs."
        )
    samples = events.samples or 1
    key = (sample * events.steps + time) * max(inputs, 1) + channel
    if events.value is None:
        key, value = np.unique(key, return_counts=True)
    else:
        order = np.argsort(key, kind="stable")
        key, value = key[order], np.asarray(events.value)[order]
    row, channel = np.divmod(key, max(inputs, 1))
    offsets = np.searchsorted(row, np.arange(samples * events.steps + 1))
    return _valued(samples, events.steps, offsets, channel.astype(np.int32), value)


def _valued(
    samples: int,
    steps: int,
    offsets: NDArray[np.int64],
    channel: NDArray[np.int32],
    value: NDArray[np.generic],
) -> Drive:
    """Drive with values, which are left out if all are 1."""
    with np.errstate(over="ignore"):
        current = value.astype(np.float32)
    if not np.isfinite(current).all():
        bad = value[~np.isfinite(current)][0]
        raise MosaicError(f"A current is {bad}; it must be finite in single precision.")
    plain = bool((current == 1).all())
    whole = value.dtype.kind in "iu" and not plain
    pulses = np.abs(value.astype(np.int64)) if whole else np.empty(0, np.int64)
    if (pulses > MOST_PULSES).any():
        raise MosaicError(
            f"{pulses.max()} spikes of one input in one step; at most {MOST_PULSES} are exact in "
            "single precision. Give a real number for a current."
        )
    return Drive(
        samples, steps, offsets.astype(np.int64), channel,
        current[:0] if plain else current,
        pulses,
    )  # fmt: skip
