"""Joint training: the upper bound, not a continual learner.

Stored beside the network: all data. On the chip: programmed once.
"""

from __future__ import annotations

from growth.strategies.naive import Naive

__all__ = ["Joint"]


class Joint(Naive):
    """Train one network on all tasks at once."""

    one_task = True
