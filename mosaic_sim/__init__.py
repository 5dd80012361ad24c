"""Simulate Mosaic chips: place, route, run and price spiking networks.

The pipeline, each stage a function from values to a value::

    placement = place(network, chip)
    routing = route(network, chip, placement)
    program = compile_program(network, chip, placement, routing)
    recording = simulate(program, spikes)
    report = price(program, recording, technology)
"""

from mosaic_sim.chip import CHIPS, Chip, chip_preset
from mosaic_sim.chipfile import load_chip
from mosaic_sim.compare import compare
from mosaic_sim.compile import compile_program
from mosaic_sim.cost import CostReport, price
from mosaic_sim.device import Device
from mosaic_sim.die import EFFECTS, Die, sample_die
from mosaic_sim.errors import CapacityError, ConfigError, MosaicError, RoutingError
from mosaic_sim.events import count_events
from mosaic_sim.fit import Fit, fit
from mosaic_sim.image import device_count, writes
from mosaic_sim.network import Network, join
from mosaic_sim.place import Placement, place
from mosaic_sim.platform import Platform, load_platform, platform_preset
from mosaic_sim.program import Program, load_program, save_program
from mosaic_sim.recording import Recording
from mosaic_sim.route import Routing, route
from mosaic_sim.simulate import simulate
from mosaic_sim.spikes import Events
from mosaic_sim.steps import Steps, price_steps
from mosaic_sim.technology import Technology, load_technology, technology_preset
from mosaic_sim.together import Together, fit_together
from mosaic_sim.wear import Lifetime, Writing, lifetime, write_bill

__all__ = [
    "CHIPS",
    "EFFECTS",
    "CapacityError",
    "Chip",
    "ConfigError",
    "CostReport",
    "Device",
    "Die",
    "Events",
    "Fit",
    "Lifetime",
    "MosaicError",
    "Network",
    "Placement",
    "Platform",
    "Program",
    "Recording",
    "Routing",
    "RoutingError",
    "Steps",
    "Technology",
    "Together",
    "Writing",
    "chip_preset",
    "compare",
    "compile_program",
    "count_events",
    "device_count",
    "fit",
    "fit_together",
    "join",
    "lifetime",
    "load_chip",
    "load_platform",
    "load_program",
    "load_technology",
    "place",
    "platform_preset",
    "price",
    "price_steps",
    "route",
    "sample_die",
    "save_program",
    "simulate",
    "technology_preset",
    "write_bill",
    "writes",
]
__version__ = "0.1.0"
