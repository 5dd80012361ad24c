"""Strategies of continual learning, one a file, on the base class of `base`."""

from growth.strategies.base import Strategy, make_criterion, refuse_stream
from growth.strategies.exssnet import Exssnet
from growth.strategies.grow import Grow
from growth.strategies.joint import Joint
from growth.strategies.lora import LoRA
from growth.strategies.naive import Naive
from growth.strategies.route_masks import RouteMasks
from growth.strategies.supsup import SupSup
from growth.strategies.supsup_entropy import SupSupEntropy
from growth.strategies.supsup_oneshot import SupSupOneShot
from growth.strategies.tiers import Tiers

__all__ = [
    "STRATEGIES", "Exssnet", "Grow", "Joint", "LoRA", "Naive", "RouteMasks", "Strategy", "SupSup",
    "SupSupEntropy", "SupSupOneShot", "Tiers", "make_criterion", "refuse_stream",
]  # fmt: skip

STRATEGIES: dict[str, type[Strategy]] = {
    "naive": Naive,
    "grow": Grow,
    "joint": Joint,
    "exssnet": Exssnet,
    "lora": LoRA,
    "route_masks": RouteMasks,
    "supsup": SupSup,
    "supsup_entropy": SupSupEntropy,
    "supsup_oneshot": SupSupOneShot,
    "tiers": Tiers,
}
"""Strategies by the name that a configuration gives."""
