"""Processes that work side by side, and the bar that shows how far they are."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["SPAWN", "bars", "pool_of", "workers_for"]

SPAWN = multiprocessing.get_context("spawn")
"""Spawned, not forked: torch and Numba keep threads that do not survive a fork."""


def workers_for(jobs: int | None, todo: int) -> int:
    """Processes for so many pieces of work: as many as cores by default, and at least one.

    Examples
    --------
    >>> workers_for(8, 3), workers_for(1, 0)
    (3, 1)
    """
    return min(jobs or os.cpu_count() or 1, todo) or 1


def bars(console: Console | None) -> Progress:
    """Return bars with counts and times; they show nothing without a console."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=console is None,
    )  # fmt: skip


@contextmanager
def pool_of(
    workers: int, start: Callable[..., None] | None = None, given: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Keep a pool of processes; whatever ends the block early cancels what has not begun.

    Raises
    ------
    MosaicError
        If a worker process is killed from outside.
    """
    with ProcessPoolExecutor(workers, SPAWN, start, given) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise MosaicError(
                "A worker process was killed from outside, perhaps for lack of memory. Run the "
                "same command again to resume; --jobs 1 needs less memory."
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
