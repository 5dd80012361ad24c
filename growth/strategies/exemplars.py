"""Samples that are kept from earlier tasks, and the shape of the strategies that keep some.

Each sample that is offered draws a number from 0 to 1, its priority, and the memory keeps those
with the highest: of all that were offered, a uniform sample without replacement, however they
came (reservoir sampling). A balanced memory goes round its groups: the best of each, the second
best of each, until it is full, so that small groups leave their room to larger ones.

Sources: Vitter, ACM Transactions on Mathematical Software 11, 1985 (reservoirs; by random
priorities: Efraimidis and Spirakis, Information Processing Letters 97, 2006).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from growth.samples import Samples
from growth.strategies.base import Stored, Strategy
from growth.strategies.precision import STATISTIC_BITS, label_bits, sample_bits
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from growth.config import Experiment
    from growth.host import Host
    from growth.streams import Stream, Task

__all__ = ["Exemplars", "Remembering"]


class Exemplars:
    """A memory of some samples.

    Parameters
    ----------
    size : int
        Samples that fit.
    balanced : bool
        Whether all groups get the same room.

    Attributes
    ----------
    kept : dict of Tensor, (samples, ...)
        ``inputs``, ``labels``, ``groups``, ``priority``, and what else was offered with them,
        in the order in which they came.

    Examples
    --------
    >>> memory = Exemplars(4, balanced=True)
    >>> rng = torch.Generator().manual_seed(0)
    >>> for label, count in ((0, 9), (1, 1), (2, 9)):
    ...     memory.offer(rng, inputs=torch.zeros(count, 3), labels=torch.full((count,), label))
    >>> memory.kept["labels"].tolist()
    [0, 0, 1, 2]
    """

    def __init__(self, size: int, *, balanced: bool = False) -> None:
        if size < 1:
            raise MosaicError(f"size is {size}; a memory needs room for at least 1 sample.")
        self.size, self.balanced = size, balanced
        self.kept: dict[str, Tensor] = {}

    def __len__(self) -> int:
        """Return the number of samples kept."""
        return len(self.kept["labels"]) if self.kept else 0

    def offer(self, generator: torch.Generator, **columns: Tensor) -> None:
        """Take up some of these samples, perhaps in place of others.

        Parameters
        ----------
        generator : torch.Generator
            Draws the priorities that are not given.
        **columns : Tensor, (samples, ...)
            ``inputs``, ``labels``; ``groups``, which are the labels by default; ``priority``;
            and others, always the same ones.
        """
        count = len(columns["labels"])
        columns.setdefault("groups", columns["labels"])
        if "priority" not in columns:
            columns["priority"] = torch.rand(
                count, generator=generator, dtype=torch.float64
            )
        if self.kept:
            columns = {
                name: torch.cat([old, columns[name]]) for name, old in self.kept.items()
            }
        index = self._best(columns["priority"].numpy(), columns["groups"].numpy())
        self.kept = {name: column[index].clone() for name, column in columns.items()}

    def _best(self, priority: np.ndarray[Any, Any], groups: np.ndarray[Any, Any]) -> Tensor:
        """Numbers of what stays, in order."""
        if self.balanced:
            order = np.lexsort((-priority, groups))
            starts = np.searchsorted(groups[order], groups[order])
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order)) - starts
            # By the same order of groups every time: room that shrank never grows again, so
            # that nothing is missed that was given up.
            best = np.lexsort((groups, rank))
        else:
            best = np.argsort(-priority, kind="stable")
        return torch.from_numpy(np.sort(best[: self.size]))

    def draw(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Some of the samples, all different; all of them if there are no more.

        Returns
        -------
        dict of Tensor, (samples, ...)
        """
        index = torch.randperm(len(self), generator=generator)[:count]
        return {name: column[index] for name, column in self.kept.items()}

    def samples(self) -> Samples:
        """All of them, as a task has them."""
        return Samples.of(self.kept["inputs"].numpy(), self.kept["labels"].numpy())


class Remembering(Strategy):
    """Strategies that keep exemplars.

    Attributes
    ----------
    memory : Exemplars
        Set by the strategy.
    """

    lasts = True

    memory: Exemplars

    def __init__(
        self, experiment: Experiment, stream: Stream, host: Host, seed: int
    ) -> None:
        super().__init__(experiment, stream, host, seed)
        self.memory = self.make_memory(stream)
        there = sum(len(task.train) for task in stream.tasks)
        if self.memory.size > there:
            raise MosaicError(
                f"options.memory is {self.memory.size}, but {stream.name} has {there} training "
                "samples; keep fewer exemplars."
            )

    def make_memory(self, stream: Stream) -> Exemplars:
        """Return the empty memory."""
        raise NotImplementedError

    def offer(self, task: Task, **columns: Tensor) -> None:
        """Let the memory choose among all training samples of a task."""
        self.memory.offer(
            self.torch_rng,
            inputs=torch.from_numpy(np.ascontiguousarray(task.train_inputs)),
            labels=torch.from_numpy(task.train_labels),
            **columns,
        )

    def ledger(self) -> list[Stored]:
        """What the exemplars take, labels and numbers that are kept with them included."""
        kept = self.memory.kept
        if not kept:
            return []
        numbers = sum(
            column.numel()
            for name, column in kept.items()
            if name not in ("inputs", "labels", "groups", "priority")
        )
        bits = sample_bits(kept["inputs"]) + len(self.memory) * label_bits(self.labels)
        return [Stored("exemplars", bits + STATISTIC_BITS * numbers, "host")]

    def state(self) -> dict[str, Any]:
        return super().state() | {"memory": self.memory.kept}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.memory.kept = dict(state["memory"])


def share_of(memory: int, stream: Stream) -> int:
    """Exemplars of each task, if all tasks of a stream share a memory equally.

    Raises
    ------
    MosaicError
        If a task gets none, or has not as many samples.
    """
    tasks, share = len(stream.tasks), memory // len(stream.tasks)
    smallest = min(len(task.train) for task in stream.tasks)
    if not 1 <= share <= smallest:
        raise MosaicError(
            f"options.memory is {memory}, {share} exemplars for each of the {tasks} tasks of "
            f"{stream.name}; it needs 1 to {smallest} for each, a memory of {tasks} to "
            f"{smallest * tasks}."
        )
    return share
