"""Strategies of continual learning, one a file, on the base class of `base`."""

from growth.strategies.agem import AGEM
from growth.strategies.ari import Ari
from growth.strategies.base import (
    Strategy,
    make_criterion,
    refuse_lasting,
    refuse_look,
    refuse_stream,
)
from growth.strategies.derpp import DERpp
from growth.strategies.ewc import EWC, OnlineEWC
from growth.strategies.exssnet import Exssnet
from growth.strategies.gem import GEM
from growth.strategies.grow import Grow
from growth.strategies.hypernet import Hypernet
from growth.strategies.icarl import ICaRL
from growth.strategies.independent import Independent
from growth.strategies.joint import Joint
from growth.strategies.lora import LoRA
from growth.strategies.lwf import LwF
from growth.strategies.munet import MuNet
from growth.strategies.naive import Naive
from growth.strategies.replay import Replay
from growth.strategies.ridge import Ridge
from growth.strategies.route_masks import RouteMasks
from growth.strategies.si import SI
from growth.strategies.slda import SLDA
from growth.strategies.supsup import SupSup
from growth.strategies.supsup_entropy import SupSupEntropy
from growth.strategies.supsup_oneshot import SupSupOneShot
from growth.strategies.tiers import Tiers

__all__ = [
    "AGEM", "EWC", "GEM", "SI", "SLDA", "STRATEGIES", "Ari", "DERpp", "Exssnet", "Grow",
    "Hypernet", "ICaRL", "Independent", "Joint", "LoRA", "LwF", "MuNet", "Naive", "OnlineEWC",
    "Replay", "Ridge", "RouteMasks", "Strategy", "SupSup", "SupSupEntropy", "SupSupOneShot",
    "Tiers", "make_criterion", "refuse_lasting", "refuse_look", "refuse_stream",
]  # fmt: skip

STRATEGIES: dict[str, type[Strategy]] = {
    "naive": Naive,
    "grow": Grow,
    "joint": Joint,
    "agem": AGEM,
    "ari": Ari,
    "derpp": DERpp,
    "ewc": EWC,
    "ewc-online": OnlineEWC,
    "exssnet": Exssnet,
    "gem": GEM,
    "hypernet": Hypernet,
    "icarl": ICaRL,
    "independent": Independent,
    "lora": LoRA,
    "lwf": LwF,
    "munet": MuNet,
    "replay": Replay,
    "ridge": Ridge,
    "route-masks": RouteMasks,
    "si": SI,
    "slda": SLDA,
    "supsup": SupSup,
    "supsup-entropy": SupSupEntropy,
    "supsup-oneshot": SupSupOneShot,
    "tiers": Tiers,
}
"""Strategies by the name that a configuration gives."""
