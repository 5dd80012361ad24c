"""Train for the chip: hardware-aware training of any snnTorch or PyTorch model."""

from growth.hardware.disturb import disturb
from growth.hardware.disturbance import TAU_SPREADS, Disturbance, TauSpread
from growth.hardware.routable import Rewired, rewire
from growth.hardware.tiled import Activity, TiledNetwork, tiled_preset

__all__ = [
    "TAU_SPREADS",
    "Activity",
    "Disturbance",
    "Rewired",
    "TauSpread",
    "TiledNetwork",
    "disturb",
    "rewire",
    "tiled_preset",
]
