"""Networks from and to NIR, the exchange format of spiking networks.

NIR says what a neuron does in continuous time; a chip takes steps. What the format leaves open
(the length of a step, what a spike resets and when, which edge of a loop waits a step) is for the
caller to say; what had to be assumed instead comes back as notes.
"""

from mosaic_sim.interop.nir.files import read_nir, write_nir
from mosaic_sim.interop.nir.reader import Imported, from_nir
from mosaic_sim.interop.nir.writer import Exported, to_nir

__all__ = ["Exported", "Imported", "from_nir", "read_nir", "to_nir", "write_nir"]
