"""Where new neurons go, how many of them pay for themselves, and which lines they read."""

from growth.where.budget import NO_LIMIT, Prices, fair_share
from growth.where.choose import (
    NO_ROOM,
    Choice,
    Refusal,
    Request,
    choose,
    predicted,
    seat,
    weigh,
)
from growth.where.policies import POLICIES, Policy
from growth.where.sources import choose_sources, energy_of, telling_inputs

__all__ = [
    "NO_LIMIT", "NO_ROOM", "POLICIES", "Choice", "Policy", "Prices", "Refusal", "Request", "choose",
    "choose_sources", "energy_of", "fair_share", "predicted", "seat", "telling_inputs", "weigh",
]  # fmt: skip
