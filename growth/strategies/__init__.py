"""Strategies of continual learning, one a file, on the base class of `base`."""

from growth.strategies.agem import AGEM
from growth.strategies.base import Strategy, refuse_stream
from growth.strategies.derpp import DERpp
from growth.strategies.ewc import EWC, OnlineEWC
from growth.strategies.gem import GEM
from growth.strategies.grow import Grow
from growth.strategies.icarl import ICaRL
from growth.strategies.independent import Independent
from growth.strategies.joint import Joint
from growth.strategies.lwf import LwF
from growth.strategies.naive import Naive
from growth.strategies.replay import Replay
from growth.strategies.si import SI

__all__ = [
    "AGEM", "EWC", "GEM", "SI", "STRATEGIES", "DERpp", "Grow", "ICaRL", "Independent", "Joint",
    "LwF", "Naive", "OnlineEWC", "Replay", "Strategy", "refuse_stream",
]  # fmt: skip

STRATEGIES: dict[str, type[Strategy]] = {
    "naive": Naive,
    "grow": Grow,
    "joint": Joint,
    "agem": AGEM,
    "derpp": DERpp,
    "ewc": EWC,
    "ewc-online": OnlineEWC,
    "gem": GEM,
    "icarl": ICaRL,
    "independent": Independent,
    "lwf": LwF,
    "replay": Replay,
    "si": SI,
}
"""Strategies by the name that a configuration gives."""
