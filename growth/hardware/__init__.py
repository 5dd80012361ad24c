"""Train for the chip: hardware-aware training of any snnTorch or PyTorch model."""

from growth.hardware.disturb import disturb
from growth.hardware.disturbance import TAU_SPREADS, Disturbance, TauSpread

__all__ = ["TAU_SPREADS", "Disturbance", "TauSpread", "disturb"]
