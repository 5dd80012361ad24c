"""Strategies of continual learning, one a file, on the base class of `base`."""

from growth.strategies.base import Strategy, make_criterion, refuse_stream
from growth.strategies.grow import Grow
from growth.strategies.joint import Joint
from growth.strategies.naive import Naive

__all__ = [
    "STRATEGIES",
    "Grow",
    "Joint",
    "Naive",
    "Strategy",
    "make_criterion",
    "refuse_stream",
]

STRATEGIES: dict[str, type[Strategy]] = {"naive": Naive, "grow": Grow, "joint": Joint}
"""Strategies by the name that a configuration gives."""
