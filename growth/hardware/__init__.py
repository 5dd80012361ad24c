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
from growth.hardware.small_world import SmallWorld, hop_histogram, local_share, small_world
from growth.hardware.tiled import Activity, TiledNetwork, tiled_preset

__all__ = [
    "TAU_SPREADS",
    "Activity",
    "Disturbance",
    "Rewired",
    "RoutingEnergy",
    "SmallWorld",
    "TauSpread",
    "TiledNetwork",
    "connection_strength",
    "disturb",
    "hop_histogram",
    "hop_penalty",
    "hop_prices",
    "local_share",
    "rate_penalty",
    "rewire",
    "small_world",
    "tiled_preset",
]
