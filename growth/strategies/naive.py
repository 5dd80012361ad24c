"""Fine-tuning: one network, trained on each task as it comes.

Stored beside the network: nothing. On the chip: every task rewrites what it changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from growth.strategies.base import Strategy

if TYPE_CHECKING:
    from growth.streams import Task

__all__ = ["Naive"]


class Naive(Strategy):
    """Train one network on task after task without any care for earlier ones."""

    def begin(self, task: Task) -> None:
        if not self.experts:
            self.dense_expert(range(self.labels))
