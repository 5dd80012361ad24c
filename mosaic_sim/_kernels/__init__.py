"""Every compiled loop of the package. Typed arrays in, typed arrays out; never raises.

A kernel calls only kernels of its own file, because a cached kernel does not notice a change
in another file. What each array means is said in the face that calls the kernel.
"""

from mosaic_sim._kernels.accounts import (
    cell_energy,
    count_events,
    count_places,
    device_image,
    enter_energy,
    link_loads,
    row_prices,
    spike_events,
    step_energy,
)
from mosaic_sim._kernels.one_turn import one_turn_links, one_turn_trees
from mosaic_sim._kernels.routes import (
    comb_trees,
    grow_tree,
    longest_path,
    routing_fault,
    shared_line,
)
from mosaic_sim._kernels.steps import run
from mosaic_sim._kernels.synapses import (
    depths,
    quantise,
    sort_by_source,
    synapse_fault,
    tiles_reached,
)
from mosaic_sim._kernels.wiring import LANES, count_drive, pack, wire

__all__ = [
    "LANES",
    "cell_energy",
    "comb_trees",
    "count_drive",
    "count_events",
    "count_places",
    "depths",
    "device_image",
    "enter_energy",
    "grow_tree",
    "link_loads",
    "longest_path",
    "one_turn_links",
    "one_turn_trees",
    "pack",
    "quantise",
    "routing_fault",
    "row_prices",
    "run",
    "shared_line",
    "sort_by_source",
    "spike_events",
    "step_energy",
    "synapse_fault",
    "tiles_reached",
    "wire",
]
