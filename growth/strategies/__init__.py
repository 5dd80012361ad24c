"""Strategies of continual learning, one a file, on the base class of `base`."""

from growth.strategies.ari import Ari
from growth.strategies.base import Strategy, make_criterion, refuse_stream
from growth.strategies.exssnet import Exssnet
from growth.strategies.grow import Grow
from growth.strategies.hypernet import Hypernet
from growth.strategies.joint import Joint
from growth.strategies.lora import LoRA
from growth.strategies.munet import MuNet
from growth.strategies.naive import Naive
from growth.strategies.ridge import Ridge
from growth.strategies.route_masks import RouteMasks
from growth.strategies.slda import SLDA
from growth.strategies.supsup import SupSup
from growth.strategies.supsup_entropy import SupSupEntropy
from growth.strategies.supsup_oneshot import SupSupOneShot
from growth.strategies.tiers import Tiers

__all__ = [
    "SLDA", "STRATEGIES", "Ari", "Exssnet", "Grow", "Hypernet", "Joint", "LoRA", "MuNet",
    "Naive", "Ridge", "RouteMasks", "Strategy", "SupSup", "SupSupEntropy", "SupSupOneShot",
    "Tiers", "make_criterion", "refuse_stream",
]  # fmt: skip

STRATEGIES: dict[str, type[Strategy]] = {
    "naive": Naive,
    "grow": Grow,
    "joint": Joint,
    "ari": Ari,
    "exssnet": Exssnet,
    "hypernet": Hypernet,
    "lora": LoRA,
    "munet": MuNet,
    "ridge": Ridge,
    "route-masks": RouteMasks,
    "slda": SLDA,
    "supsup": SupSup,
    "supsup-entropy": SupSupEntropy,
    "supsup-oneshot": SupSupOneShot,
    "tiers": Tiers,
}
"""Strategies by the name that a configuration gives."""
