"""Fine-tuning: one network, trained on each task as it comes.

Stored beside the network: nothing. On the chip: every task rewrites what it changes.
"""

from __future__ import annotations

from growth.strategies.base import Strategy

__all__ = ["Naive"]


class Naive(Strategy):
    """Train one network on task after task without any care for earlier ones."""

    live = True
    takes_kernels = True
    lasts = True
    needs_boundaries = False
