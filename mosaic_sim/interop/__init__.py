"""Networks from and to other tools: snnTorch modules and NIR graphs.

Every reader turns what it finds into linear maps (`maps`) between layers of neurons, and lets
`Builder` (`builder`) collect them into a `Network`.
"""

from mosaic_sim.interop.nir import from_nir, read_nir, to_nir, write_nir
from mosaic_sim.interop.snntorch import from_snntorch

__all__ = ["from_nir", "from_snntorch", "read_nir", "to_nir", "write_nir"]
