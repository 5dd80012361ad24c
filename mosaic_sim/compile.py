"""From a placed and routed network to the image of the chip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.device import Device
from mosaic_sim.events import spike_events
from mosaic_sim.network import NEURON_PARAMETERS
from mosaic_sim.place import check_placement
from mosaic_sim.program import Program
from mosaic_sim.route import check_routing

if TYPE_CHECKING:
    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement
    from mosaic_sim.route import Routing

__all__ = ["compile_program"]


def compile_program(
    network: Network,
    chip: Chip,
    placement: Placement,
    routing: Routing,
    *,
    device: Device | None = None,
) -> Program:
    """Turn a placed and routed network into the image of the chip.

    What a spike of each source then costs is in `mosaic_sim.events`.

    Parameters
    ----------
    device : Device, optional
        16 levels by default.

    Raises
    ------
    MosaicError
        If the routing does not belong to the network, chip and placement.
    """
    check_placement(network, chip, placement)
    check_routing(network, chip, placement, routing)
    device = device or Device()
    level, weight = device.program(network)
    events, links = spike_events(network, chip, placement, routing, level, device.levels)
    return Program(
        chip=np.array(chip.as_integers(), np.int64),
        levels=device.levels, inputs=network.inputs, bias=network.bias,
        offsets=network.offsets, target=network.target, weight=weight, delay=network.delay,
        depth=network.depth, level=level,
        **{name: getattr(network, name) for name in NEURON_PARAMETERS},
        tile=placement.tile, slot=placement.slot, port=placement.port,
        entry_line=routing.entry_line, link_offsets=routing.offsets, link_cell=routing.cell,
        link_side=routing.side, link_line=routing.line, events=events, links=links,
        path=_kernels.longest_path(
            network.first_neuron, network.offsets, network.target, network.delay,
            network.order, placement.tile, routing.offsets, routing.cell, chip.is_router,
        ),
    )  # fmt: skip
