"""New experts at times that do not depend on what is seen: what a trigger has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from growth.when.base import Remembers, part
from growth.when.novelty import Novelty
from growth.when.times import At, Schedule, random_times
from growth.when.trigger import Action, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from growth.when.base import Running, Signal, State
    from growth.when.observe import Observation

__all__ = ["Timed", "timed"]


class Timed(Remembers):
    """A new expert whenever a signal is above 0; whoever was opened last serves the stream.

    It stands in for a `Trigger`, and has the same gate, which here describes and does not
    decide.

    Parameters
    ----------
    signal : Signal
        `At`, `Schedule` or any other.
    settings : Settings, optional
        Of which `prototypes` and `learning` matter.

    Examples
    --------
    >>> from growth.when.observe import observe
    >>> batch = observe([[1.0]], [0], [0.1], activity=[[1.0]], errors=[[1.0]], training=[[1.0]])
    >>> clock = Timed(At([1]))
    >>> [(action.name, action.expert) for action in (clock(batch), clock(batch), clock(batch))]
    [('none', 0), ('new expert', 1), ('none', 1)]
    """

    def __init__(self, signal: Signal, settings: Settings | None = None) -> None:
        self.signal, self.settings = signal, settings or Settings()
        self.gate = Novelty(self.settings.prototypes, learning=self.settings.learning)
        self.pasts: list[Running] = []

    @property
    def active(self) -> int:
        """The expert that serves the stream."""
        return int(self.gate.active)

    def route(self, inputs: NDArray[np.float64], barred: Sequence[int] = ()) -> int:
        """Return the expert that was opened last, whatever the inputs are."""
        return self.active

    def __call__(self, seen: Observation, barred: Sequence[int] = ()) -> Action:
        """Take in the next batch."""
        event = self.signal(seen) > 0
        if event:
            self.signal.grown()
            self.gate.grown()
        self.gate.meet(seen.inputs)
        return Action("new expert" if event else "none", self.active, 0.0, 0.0, True)

    def state(self) -> State:
        found: State = {}
        for name, each in (("signal", self.signal), ("gate", self.gate)):
            found |= {f"{name}.{key}": value for key, value in each.state().items()}
        return found

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        self.signal.load_state(part(state, "signal"))
        self.gate.load_state(part(state, "gate"))


def timed(
    name: str, tasks: Sequence[int], size: int, seed: int, settings: Settings
) -> Timed:
    """Return one of the rivals of the trigger, with as many events as tasks begin.

    All of them know how many tasks there are, which the trigger does not.

    Parameters
    ----------
    name : str
        ``oracle``: the first whole batch of each task but the first. ``schedule``: regular
        times, one for each task. ``random``: drawn, no two of them, nor the first and the
        beginning, so close that the window of one expert is not yet full when the next begins.
    tasks : sequence of int
        Samples of each task.
    size : int
        Samples of a batch.
    seed : int
    settings : Settings

    Examples
    --------
    >>> sorted(timed("oracle", [25, 30, 40], 10, 0, Settings()).signal.batches)
    [3, 6]
    """
    ends = np.cumsum(tasks)
    batches, events = int(-(-ends[-1] // size)), len(tasks) - 1
    if name == "schedule":
        return Timed(Schedule(-(-batches // len(tasks))), settings)
    if name == "random":
        apart = min(-(-settings.learning // size) + 1, batches // len(tasks))
        return Timed(random_times(events, batches, seed, apart=apart), settings)
    return Timed(At([int(-(-end // size)) for end in ends[:-1]]), settings)
