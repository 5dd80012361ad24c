"""Where learning meets the chip: the door to the simulator for networks that learn.

`MosaicHost` gives a learner room at the chip's prices, and puts its network on the chip: old
neurons stay where they are, lines and devices of frozen experts are not touched.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.host import Offer
from growth.simulation import bill, make_technology
from mosaic_sim import (
    Chip,
    CostReport,
    Device,
    Lifetime,
    Network,
    Placement,
    Program,
    Recording,
    Routing,
    Technology,
    chip_preset,
    compile_program,
    join,
    lifetime,
    place,
    price,
    route,
    simulate,
    write_bill,
    writes,
)
from mosaic_sim.cost import COMPONENTS, price_writes
from mosaic_sim.files import write_whole
from mosaic_sim.interop import from_snntorch
from mosaic_sim.place.placement import even_ports
from mosaic_sim.program import load_program, save_program

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.config import ChipConfig, Experiment
    from growth.model import SpikingNet

__all__ = [
    "COMPONENTS",
    "CostReport",
    "Deployment",
    "Lifetime",
    "MosaicHost",
    "Recording",
    "Technology",
    "bill",
    "chip_preset",
    "lifetime",
    "load_program",
    "load_routing",
    "make_chip",
    "make_host",
    "make_technology",
    "network_of",
    "price",
    "price_writes",
    "save_program",
    "save_routing",
    "write_bill",
]


def make_host(experiment: Experiment) -> MosaicHost:
    """Build the chip, technology and devices that an experiment names."""
    return MosaicHost(
        make_chip(experiment.chip),
        make_technology(experiment.technology),
        Device(levels=experiment.device.levels),
        experiment.grow.inferences,
    )


def make_chip(config: ChipConfig) -> Chip:
    """Build the chip that a configuration describes."""
    preset = chip_preset(config.preset)
    changes = config.model_dump(exclude={"preset"}, exclude_none=True)
    return replace(preset, **changes)


def network_of(model: SpikingNet) -> Network:
    """Read the model as one network whose neurons are numbered in order of birth."""
    parts: dict[str, Network] = {}
    born: list[int] = []
    for number, expert in enumerate(model.experts):
        for name, layers in expert.layers().items():
            parts[f"expert {number} {name}"] = from_snntorch(layers)
        births = expert.births
        born += [*births["hidden"], *births["out"], *births["gate"]]
    joined = join(parts)
    return joined.reordered(np.argsort(born).tolist())


@dataclass(frozen=True, eq=False)
class Deployment:
    """A network on the chip.

    Parameters
    ----------
    network, placement, routing, program
        The stages of its way there.
    exact : Program
        The same without quantisation, to compare with the model that it came from.
    writes : int
        Devices whose level had to change to get here from what was on the chip before.
    """

    network: Network
    placement: Placement
    routing: Routing
    program: Program
    exact: Program
    writes: int

    def run(self, spikes: NDArray[np.bool_]) -> Recording:
        """Run the chip on spikes, (samples, steps, inputs)."""
        return simulate(self.program, spikes, threads=1)

    def neuron_counts(self, recording: Recording) -> NDArray[np.int64]:
        """Spike counts of the neurons in order of birth, (samples, neurons)."""
        return recording.counts[:, self.network.first_neuron :]

    def raster(self, spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Spikes of all neurons without quantisation, (samples, steps, neurons)."""
        recording = simulate(self.exact, spikes, raster=True, threads=1)
        assert recording.raster is not None
        return recording.raster

    @property
    def free_tiles(self) -> int:
        """Tiles without any neuron, that are not broken."""
        chip = self.program.geometry
        return int((chip.slots > 0).sum() - np.unique(self.placement.tile).size)


@dataclass
class MosaicHost:
    """Tiles of a chip as room for experts.

    Parameters
    ----------
    chip : Chip
    technology : Technology
    device : Device
    inferences : float
        Inferences between two changes of the network: what programming is spread over.
    home : dict of list of int
        For each expert the tile of each slot that it claimed, in order.
    used : dict of int
        Slots claimed on each tile.
    """

    chip: Chip
    technology: Technology
    device: Device
    inferences: float
    home: dict[int, list[int]] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=dict)
    last: Deployment | None = None

    # room and prices ------------------------------------------------------------------

    def offers(self, rates: NDArray[np.float64], expert: int | None) -> list[Offer]:
        """Return tiles with room, and what bringing the inputs there would cost per inference.

        An input is brought from its port or from the nearest tile that reads it already. One
        hop costs what a row of an R1 costs to read and compare, plus one driven line.
        """
        free = {
            tile: slots - self.used.get(tile, 0)
            for tile, slots in enumerate(self.chip.slots.tolist())
        }
        if expert is not None:
            own = [tile for tile in dict.fromkeys(self.home.get(expert, [])) if free[tile]]
            if own:
                return [Offer(tile, free[tile], 0.0, self._neuron(rates)) for tile in own]
        hops = self._hops_to_bring(rates.size)
        hop = self._hop()
        return [
            Offer(tile, room, float(rates @ hops[:, tile]) * hop, self._neuron(rates))
            for tile, room in free.items()
            if room and (expert is not None or tile not in self.used)
        ]

    def claim(self, expert: int, tile: int, neurons: int) -> None:
        """Let `neurons` new neurons of an expert live on `tile`."""
        self.home.setdefault(expert, []).extend([tile] * neurons)
        self.used[tile] = self.used.get(tile, 0) + neurons

    def _seats(self, model: SpikingNet) -> dict[int, list[int]]:
        """Tile of each new neuron, as claimed: outputs first, then gates, then hidden ones."""
        placed = [] if self.last is None else self.last.placement.tile.tolist()
        seats: dict[int, list[int]] = {}
        for number, expert in enumerate(model.experts):
            claimed = list(self.home.get(number, []))
            born = [n for kind in ("out", "gate", "hidden") for n in expert.births[kind]]
            for neuron in born:
                if neuron < len(placed) and placed[neuron] in claimed:
                    claimed.remove(placed[neuron])
            new = [neuron for neuron in born if neuron >= len(placed)]
            seats |= {n: [tile] for n, tile in zip(new, claimed, strict=False)}
        return seats

    def _hops_to_bring(self, inputs: int) -> NDArray[np.int64]:
        """Hops from the nearest place of each input to each tile, (inputs, tiles)."""
        if self.last is None:
            # The bias line of the gates enters last, so the inputs spread as if it were there.
            return self.chip.port_hops[even_ports(self.chip, inputs + 1)[:-1]]
        network, placement = self.last.network, self.last.placement
        hops = self.chip.port_hops[placement.port[:inputs]].copy()
        tile = placement.tile[network.target]
        for source in range(inputs):
            part = slice(network.offsets[source], network.offsets[source + 1])
            for there in np.unique(tile[part]):
                hops[source] = np.minimum(hops[source], self.chip.tile_hops[there])
        return hops

    def _hop(self) -> float:
        """Energy of one spike crossing one R1 [J]."""
        t = self.technology
        columns = 4 * self.chip.r1_lines
        read = t["read_voltage"].value ** 2 * t["read_pulse"].value
        row = read * (t["router_hcs"].value + (columns - 1) * t["router_lcs"].value)
        return row + columns * t["comparator_energy"].value + t["line_energy"].value

    def _neuron(self, rates: NDArray[np.float64]) -> float:
        """Energy per inference of one more neuron that reads all inputs [J].

        Its devices are read in rows that are driven anyway: it adds what they conduct above
        the lowest level, taken as half the range for one device of each pair; and their
        programming, spread over the inferences until the next change.
        """
        t = self.technology
        read = t["read_voltage"].value ** 2 * t["read_pulse"].value
        more = (t["synapse_highest"].value - t["synapse_lowest"].value) / 2
        reading = float(rates.sum()) * read * more
        return reading + price_writes(rates.size, t) / self.inferences

    # onto the chip --------------------------------------------------------------------

    def deploy(self, model: SpikingNet) -> Deployment:
        """Place, route and compile the model beside what is on the chip already.

        Raises
        ------
        mosaic_sim.CapacityError
            If it does not fit.
        """
        network = network_of(model)
        old = self.last
        # Greedy leaves the inputs spread around the chip, which is where `claim` thinks they
        # come in; ports next to the first expert would be far from those to come.
        placement = place(
            network,
            self.chip,
            keep=None if old is None else old.placement,
            within=self._seats(model),
            placer="greedy" if old is None else None,
        )
        routing = route(
            network, self.chip, placement, keep=None if old is None else old.routing
        )
        program = compile_program(
            network, self.chip, placement, routing, device=self.device
        )
        exact = program._replace(weight=network.weight)
        changed = writes(None if old is None else old.program, program)
        self.last = Deployment(network, placement, routing, program, exact, changed)
        return self.last

    # checkpoints ----------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as tensors and plain numbers."""
        placed = {}
        if self.last is not None:
            for name, part in (
                ("placement", self.last.placement),
                ("routing", self.last.routing),
            ):
                placed[name] = {
                    field.name: torch.from_numpy(getattr(part, field.name))
                    for field in fields(part)
                }
        return {"home": self.home, "used": self.used, **placed}

    def load_state(self, state: dict[str, Any], model: SpikingNet) -> None:
        """Take up `state`; `model` is what was on the chip then."""
        self.home, self.used = state["home"], state["used"]
        if "placement" not in state:
            return
        placement = Placement(**{k: v.numpy() for k, v in state["placement"].items()})
        routing = Routing(**{k: v.numpy() for k, v in state["routing"].items()})
        network = network_of(model)
        program = compile_program(
            network, self.chip, placement, routing, device=self.device
        )
        exact = program._replace(weight=network.weight)
        self.last = Deployment(network, placement, routing, program, exact, 0)


def save_routing(routing: Routing, path: Path) -> None:
    """Write a routing to one ``.npz``, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, offsets=routing.offsets, cell=routing.cell, side=routing.side,
        line=routing.line, entry_line=routing.entry_line,
    )  # fmt: skip
    write_whole(path, buffer.getvalue())


def load_routing(path: Path) -> Routing:
    """Read a routing from a file of `save_routing`."""
    with np.load(path, allow_pickle=False) as file:
        return Routing(**{name: file[name] for name in file.files})
