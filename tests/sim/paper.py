"""Prices in round numbers, and a network so small that its bill can be worked out on paper."""

import numpy as np
from strategies import build, placed

from mosaic_sim import Chip, Device, Network, Technology
from mosaic_sim.technology import QUANTITIES, Quantity

# Round numbers, so that every price is exact and can be worked out on paper.
ROUND = {
    "step_time": 0.25, "read_voltage": 3, "read_pulse": 0.5, "synapse_lowest": 2,
    "synapse_highest": 17, "router_lcs": 1, "router_hcs": 8, "neuron_spike_energy": 64,
    "neuron_step_energy": 128, "comparator_energy": 0.25, "line_energy": 0.5,
    "neuron_tile_leakage": 1024, "routing_tile_leakage": 512, "hop_latency": 16,
    "write_energy": 7, "write_time": 1, "endurance": 1, "sense_energy": 2,
    "input_energy": 32, "settling_time": 0.25, "cell_area": 1, "neuron_area": 100,
    "comparator_area": 10, "driver_area": 5,
}  # fmt: skip


def technology(statuses=None, **values):
    statuses = statuses or {}
    return Technology(
        "paper",
        "for the tests",
        {
            name: Quantity(
                float(value), QUANTITIES[name], "me", statuses.get(name, "measured")
            )
            for name, value in (ROUND | values).items()
        },
    )


def tiny():
    """Two inputs, a neuron on each of two tiles, and one that nobody reaches.

    Cells of the 3 x 5 grid; tiles 6 and 8, R1 at odd numbers, R0 at even ones:

         0  1  2  3  4      input 0 enters R1 1 from the north, on to tile 6
         5 [6] 7 [8] 9      input 1 enters R1 3 from the north, on to tile 8
        10 11 12 13 14      neuron 0 leaves tile 6 to the east, over R1 7, to tile 8
    """
    network = Network.from_synapses(
        inputs=2, neurons=3, source=[0, 1, 2], target=[0, 1, 1], weight=[2.0, 2.0, -0.8],
        leak=0.0, reset="none",
    )  # fmt: skip
    chip = Chip(1, 2, neurons_per_tile=2, tile_lines=2, r0_lines=1, r1_lines=2)
    return build(network, chip, placed([0, 1, 0], [0, 0, 1], [0, 1]), Device())


# Input 0 spikes twice, input 1 once; neuron 0 fires twice, neuron 1 once (2 - 0.8 > 1).
DRIVE = np.array([[[1, 0], [1, 1], [0, 0]]])
SPIKES = (2, 1, 2, 1, 0)
