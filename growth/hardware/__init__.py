"""Train for the chip: hardware-aware training of any snnTorch or PyTorch model."""

from growth.hardware.disturb import disturb
from growth.hardware.disturbance import TAU_SPREADS, Disturbance, TauSpread
from growth.hardware.regularise import (
    RoutingEnergy,
    connection_strength,
    hop_penalty,
    hop_prices,
    rate_penalty,
)
from growth.hardware.routable import Rewired, rewire
from growth.hardware.tiled import Activity, TiledNetwork, tiled_preset

__all__ = [
    "TAU_SPREADS",
    "Activity",
    "Disturbance",
    "Rewired",
    "RoutingEnergy",
    "TauSpread",
    "TiledNetwork",
    "connection_strength",
    "disturb",
    "hop_penalty",
    "hop_prices",
    "rate_penalty",
    "rewire",
    "tiled_preset",
]
