"""What a signal is, how a threshold makes events of it, and how both are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from growth.when.observe import Observation

__all__ = ["Remembers", "Running", "Signal", "State", "Watch", "at_least", "part"]

# Plain arrays by name: what a checkpoint keeps of a signal.
State = dict[str, "NDArray[np.float64]"]


class Signal(Protocol):
    """A number for every batch: the larger, the more there is to be said for growing."""

    def __call__(self, seen: Observation) -> float:
        """Take in the next batch and say how much speaks for growing."""
        ...

    def grown(self) -> None:
        """Take note that the network has just grown."""

    def state(self) -> State:
        """Plain arrays from which `load_state` goes on."""
        ...

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Take up the state of `state`."""


class Remembers:
    """A signal whose memory is the attributes named in `kept`: numbers and arrays."""

    kept: ClassVar[tuple[str, ...]] = ()

    def grown(self) -> None:
        """Take note that the network has just grown; most signals need not."""

    def state(self) -> State:
        """Plain arrays from which `load_state` goes on."""
        return {name: np.array(getattr(self, name), np.float64) for name in self.kept}

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Take up the state of `state`.

        Raises
        ------
        MosaicError
            If it is the state of something else.
        """
        missing = [name for name in self.kept if name not in state]
        if missing:
            raise MosaicError(
                f"state has no {missing[0]!r}; {type(self).__name__} needs: "
                f"{', '.join(self.kept)}."
            )
        for name in self.kept:
            value = np.array(state[name], np.float64)
            setattr(self, name, value if value.ndim else value.item())


class Running(Remembers):
    """Mean and variance of what came before, fading.

    The k-th value enters with weight ``max(1 / k, fade)``, so that the first values count
    alike and old ones are forgotten later on.

    Parameters
    ----------
    fade : float, above 0 and up to 1

    Examples
    --------
    >>> before = Running(0.05)
    >>> for value in (1.0, 2.0, 3.0):
    ...     before.add(value)
    >>> before.mean, round(before.variance, 3)
    (2.0, 0.667)
    """

    kept = ("count", "mean", "variance")

    def __init__(self, fade: float) -> None:
        if not 0 < fade <= 1:
            raise MosaicError(f"fade is {fade}; it lies above 0 and at most at 1.")
        self.fade = fade
        self.count = self.mean = self.variance = 0.0

    def add(self, value: float) -> None:
        """Take in one value."""
        self.count += 1
        weight = max(1 / self.count, self.fade)
        step = value - self.mean
        self.mean += weight * step
        self.variance = (1 - weight) * (self.variance + weight * step**2)

    def score(self, value: float, least: float = 0.0) -> float:
        """Standard deviations of `value` above the mean; 0 while there is no spread.

        A spread below `least` counts as `least`.
        """
        spread = max(self.variance**0.5, least)
        return (value - self.mean) / spread if spread > 0 else 0.0


class Watch(Remembers):
    """Make events of a signal: above a threshold, for some batches on end, then a rest.

    Parameters
    ----------
    signal : Signal
    above : float
    patience : int
        Batches on end that the signal has to be above the threshold.
    rest : int
        Batches after an event, and at the beginning, in which there is none.

    Examples
    --------
    >>> from growth.when import Schedule
    >>> from growth.when.observe import observe
    >>> batch = observe([[1.0]], [0], [0.1], activity=[[1.0]], errors=[[1.0]], training=[[1.0]])
    >>> watch = Watch(Schedule(2), above=0.5)
    >>> [watch(batch) for _ in range(4)]
    [False, True, False, True]
    """

    kept = ("since", "on_end", "value")

    def __init__(
        self, signal: Signal, *, above: float, patience: int = 1, rest: int = 0
    ) -> None:
        self.signal, self.above = signal, above
        self.patience = at_least("patience", patience, 1)
        self.rest = at_least("rest", rest, 0)
        self.since = self.on_end = self.value = 0.0

    def __call__(self, seen: Observation) -> bool:
        """Take in the next batch; say whether this is an event."""
        self.value = self.signal(seen)
        self.since += 1
        resting = self.since <= self.rest
        self.on_end = 0.0 if resting or self.value <= self.above else self.on_end + 1
        if self.on_end < self.patience:
            return False
        self.since = self.on_end = 0.0
        self.signal.grown()
        return True

    def state(self) -> State:
        """Plain arrays of the watch and of its signal."""
        inner = {f"signal.{name}": value for name, value in self.signal.state().items()}
        return super().state() | inner

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Take up the state of `state`."""
        super().load_state(state)
        self.signal.load_state(part(state, "signal"))


def part(state: Mapping[str, NDArray[np.float64]], name: str) -> State:
    """Return what a state holds under ``name.``, with the prefix taken off."""
    start = f"{name}."
    return {key[len(start) :]: v for key, v in state.items() if key.startswith(start)}


def at_least(name: str, value: int, least: int) -> int:
    """Return `value`, or refuse it by name.

    Raises
    ------
    MosaicError
    """
    if value < least:
        raise MosaicError(f"{name} is {value}; it needs to be at least {least}.")
    return value
