"""A bar for work that takes longer than a second."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Report", "progress_bar"]


class Report(Protocol):
    """What work calls to say how far it is."""

    def __call__(self, amount: float, note: str = "") -> None:
        """Say that `amount` more of the total is done, and perhaps how it stands."""


@contextmanager
def progress_bar(name: str, total: float, progress: bool | None) -> Iterator[Report]:
    """Give a function to report to; it shows a bar on stderr once a second has passed.

    Parameters
    ----------
    name : str
        Of the work, left of the bar.
    total : float
        Sum of all amounts that will be reported.
    progress : bool or None
        Whether to show a bar; None: if stderr is a terminal.

    Examples
    --------
    >>> with progress_bar("count", 3, progress=False) as report:
    ...     for _ in range(3):
    ...         report(1)
    """
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield lambda _amount, _note="": None
        return
    start = time.monotonic()
    shown: list[Any] = []
    count = 0.0

    def report(amount: float, note: str = "") -> None:
        nonlocal count
        count += amount
        if not shown and time.monotonic() - start > 1:
            from rich.console import Console  # late: most work is over before
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True), transient=True)
            bar.start()
            shown.extend([bar, bar.add_task(name, total=total)])
        if shown:
            text = f"{name}: {note}" if note else name
            shown[0].update(shown[1], completed=count, description=text)

    try:
        yield report
    finally:
        if shown:
            shown[0].stop()
