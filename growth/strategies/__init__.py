"""Strategies of continual learning, one a file, on the base class of `base`."""

from growth.strategies.ari import Ari
from growth.strategies.base import Strategy, make_criterion, refuse_stream
from growth.strategies.grow import Grow
from growth.strategies.hypernet import Hypernet
from growth.strategies.joint import Joint
from growth.strategies.munet import MuNet
from growth.strategies.naive import Naive
from growth.strategies.ridge import Ridge
from growth.strategies.slda import SLDA

__all__ = [
    "SLDA",
    "STRATEGIES",
    "Ari",
    "Grow",
    "Hypernet",
    "Joint",
    "MuNet",
    "Naive",
    "Ridge",
    "Strategy",
    "make_criterion",
    "refuse_stream",
]

STRATEGIES: dict[str, type[Strategy]] = {
    "naive": Naive,
    "grow": Grow,
    "joint": Joint,
    "ari": Ari,
    "hypernet": Hypernet,
    "munet": MuNet,
    "ridge": Ridge,
    "slda": SLDA,
}
"""Strategies by the name that a configuration gives."""
