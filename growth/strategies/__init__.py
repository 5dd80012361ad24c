"""Strategies of continual learning, one a file, on the base class of `base`."""

from growth.strategies.base import Strategy, refuse_stream
from growth.strategies.grow import Grow
from growth.strategies.joint import Joint
from growth.strategies.naive import Naive
from growth.strategies.replay import Replay

__all__ = ["STRATEGIES", "Grow", "Joint", "Naive", "Replay", "Strategy", "refuse_stream"]

STRATEGIES: dict[str, type[Strategy]] = {
    "naive": Naive,
    "grow": Grow,
    "joint": Joint,
    "replay": Replay,
}
"""Strategies by the name that a configuration gives."""
