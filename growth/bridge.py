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

from growth.blueprint import BIAS, INPUTS
from growth.front import FEATURES
from growth.host import KINDS, MANY, Offer
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
    Together,
    chip_preset,
    compile_program,
    fit_together,
    lifetime,
    place,
    price,
    route,
    simulate,
    write_bill,
    writes,
)
from mosaic_sim.cost import COMPONENTS, price_writes
from mosaic_sim.errors import MosaicError
from mosaic_sim.files import write_whole
from mosaic_sim.place.placement import even_ports
from mosaic_sim.program import load_program, save_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from growth.blueprint import Blueprint, Counts
    from growth.config import ChipConfig, Experiment

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
    "counts_of",
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
    "smallest_chip",
    "write_bill",
]


CLAIMS = ("home", "used", "reads", "heard", "settled", "ports")
"""What a checkpoint keeps of the room that was given away."""


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


def smallest_chip(blueprints: Mapping[str, Blueprint], *, effort: float) -> Together:
    """Find the smallest chip on which each blueprint is legal, one at a time.

    Blueprints that are wired alike are tried once. For `effort` and errors see
    `mosaic_sim.fit_together`.
    """
    different: dict[str, Blueprint] = {}
    for name, blueprint in blueprints.items():
        if not any(blueprint.wired_like(other) for other in different.values()):
            different[name] = blueprint
    networks = {name: network_of(blueprint) for name, blueprint in different.items()}
    return fit_together(networks, effort=effort)


def network_of(blueprint: Blueprint) -> Network:
    """Read a blueprint as one network whose neurons are numbered in order of birth.

    Raises
    ------
    MosaicError
        If it does not spike.
    """
    if not blueprint.spiking:
        raise MosaicError(
            'The network does not spike, and the chip has spiking neurons only: set cell = "lif".'
        )
    size = blueprint.neurons
    leak, threshold = np.ones(size, np.float32), np.ones(size, np.float32)
    bias = any(c.source == BIAS for c in blueprint.connections)
    first = blueprint.inputs + bias
    numbers = {INPUTS: np.arange(blueprint.inputs), BIAS: np.array([blueprint.inputs])}
    for population in blueprint.populations:
        leak[population.births] = population.leak
        threshold[population.births] = population.threshold
        numbers[population.name] = first + population.births
    parts = []
    for c in blueprint.connections:
        there = np.ones(c.weight.shape, bool) if c.present is None else c.present
        post, pre = np.nonzero(there)
        parts.append(
            (numbers[c.source][pre], numbers[c.target][post] - first, c.weight[post, pre])
        )
    source, target, weight = (
        np.concatenate([part[k] for part in parts]) if parts else np.zeros(0)
        for k in range(3)
    )
    return Network.from_synapses(
        inputs=blueprint.inputs, neurons=size, bias=bias, source=source, target=target,
        weight=weight, leak=leak, threshold=threshold,
        groups={p.name: p.births for p in blueprint.populations},
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Deployment:
    """A network on the chip.

    Parameters
    ----------
    blueprint : Blueprint
        What was to be put there.
    network, placement, routing, program
        The stages of its way there.
    exact : Program
        The same without quantisation, to compare with the model that it came from.
    writes : int
        Devices whose level had to change to get here from what was on the chip before.
    """

    blueprint: Blueprint
    network: Network
    placement: Placement
    routing: Routing
    program: Program
    exact: Program
    writes: int = 0

    def run(self, spikes: NDArray[np.bool_]) -> Recording:
        """Run the chip on spikes, (samples, steps, inputs)."""
        return simulate(self.program, spikes, threads=1)

    def counts(self, recording: Recording) -> Counts:
        """Spike counts of each population."""
        return counts_of(self.blueprint, recording.counts[:, self.network.first_neuron :])

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


def counts_of(blueprint: Blueprint, counts: NDArray[np.int64]) -> Counts:
    """Split spike counts of all neurons, (samples, neurons), by population."""
    return {p.name: counts[:, p.births] for p in blueprint.populations}


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
    home : dict of dict of list of int
        For each expert and kind of neuron the tile of each slot that it claimed, in order.
    used : dict of int
        Slots claimed on each tile.
    reads : dict of list of int
        Lines from outside that were claimed for each tile: inputs, -1 for the bias line.
    heard : dict of int
        Lines claimed on each tile for neurons elsewhere.
    settled : list of int
        Tile of each neuron that was there from the start, if lines come from those.
    ports : int
        Inputs of the chip, if lines come from such neurons.
    """

    chip: Chip
    technology: Technology
    device: Device
    inferences: float
    home: dict[int, dict[str, list[int]]] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=dict)
    reads: dict[int, list[int]] = field(default_factory=dict)
    heard: dict[int, int] = field(default_factory=dict)
    settled: list[int] = field(default_factory=list)
    ports: int = 0
    last: Deployment | None = None

    # room and prices ------------------------------------------------------------------

    def offers(
        self, rates: NDArray[np.float64], expert: int | None, fires: float
    ) -> list[Offer]:
        """Return tiles with room, and what lines, synapses and spikes would cost there.

        A line comes from its port or from the nearest tile where it arrives already. Each hop
        is a row of an R1 read and compared, a driven line, and one device; where the line
        arrives, a row of the tile is read. A neuron that fires drives a row of each of the four
        routers around its tile, whether anybody listens or not, and one of its tile.
        Programming is spread over `inferences`.
        """
        inputs = rates.size - 1
        hops = self._hops_to_bring(inputs)
        hop, row, synapse = self._hop(), self._row(), self._synapse()
        write = price_writes(1, self.technology) / self.inferences
        outputs = [] if expert is None else sorted(set(self.home[expert]["out"]))
        lines = self.chip.fan_in.copy()
        for tile, read in self.reads.items():
            lines[tile] -= self._arriving(tile, read)
        for tile, heard in self.heard.items():
            lines[tile] -= heard
        # All tiles at once: a large chip has a thousand of them, and is asked for each decision.
        there = np.zeros((self.chip.tiles, rates.size), np.bool_)
        for tile, read in self.reads.items():
            there[tile, read] = True
        there[self.settled, np.arange(len(self.settled))] = True
        crossed = np.where(there, 0, hops.T)
        joules = rates * (crossed * hop + ~there * row) + crossed * write
        bring = np.stack([joules, crossed, crossed], axis=2)
        one = np.full(rates.size, 1.0)
        synapses = np.column_stack([rates * synapse + write, 2 * one, one])
        feed = np.array([fires * synapse + write, 2.0, 1.0])
        neuron = np.array([fires * self._spike(), 0.0, 0.0])
        distance = (
            self.chip.tile_hops[:, outputs].mean(1) if outputs else hops[:inputs].mean(0)
        ).tolist()
        found = []
        for tile, slots in enumerate(self.chip.slots.tolist()):
            slots -= self.used.get(tile, 0)
            if not slots:
                continue
            away = [home for home in outputs if home != tile]
            far = int(self.chip.tile_hops[tile, away].sum()) if away else 0
            sent = fires * (far * hop + len(away) * row) + far * write
            found.append(
                Offer(
                    tile, slots, int(lines[tile]), there[tile], bring[tile], synapses,
                    np.array([sent, far, far]), feed, neuron,
                    min((int(lines[home]) for home in away), default=MANY), distance[tile],
                )
            )  # fmt: skip
        return found

    def claim(
        self, expert: int, tile: int, kind: str, neurons: int, reads: NDArray[np.bool_]
    ) -> None:
        """Let `neurons` new neurons of an expert live on `tile`.

        Raises
        ------
        MosaicError
            If the tile has too few slots or lines, or hidden neurons come before outputs.
        """
        if kind not in KINDS:
            raise MosaicError(f"kind is {kind!r}; it has to be one of {', '.join(KINDS)}.")
        homes = self.home.setdefault(expert, {name: [] for name in KINDS})
        lines = set(self.reads.get(tile, []))
        lines |= {k if k < reads.size - 1 else -1 for k in np.flatnonzero(reads).tolist()}
        heard = dict(self.heard)
        if kind == "hidden":
            for home in set(homes["out"]) - {tile}:
                heard[home] = heard.get(home, 0) + neurons
        if kind == "out" and tile not in homes["out"]:
            # Hidden neurons that are there already have to be heard here too.
            away = sum(home != tile for home in homes["hidden"])
            heard |= {tile: heard.get(tile, 0) + away} if away else {}
        after = self.reads | {tile: sorted(lines)}
        for there in {tile, *heard}:
            arriving = self._arriving(there, after.get(there, ())) + heard.get(there, 0)
            if arriving > self.chip.fan_in[there]:
                raise MosaicError(
                    f"{arriving} lines cannot arrive at tile {there}, which has "
                    f"{self.chip.fan_in[there]}."
                )
        used = self.used.get(tile, 0) + neurons
        if used > self.chip.slots[tile]:
            raise MosaicError(
                f"{used} neurons do not fit on tile {tile} of {self.chip.slots[tile]} slots."
            )
        homes[kind] += [tile] * neurons
        self.used[tile], self.heard, self.reads = used, heard, after

    def settle(self, reads: NDArray[np.bool_]) -> None:
        """Give room to neurons that are there from the start; all others read these.

        In their order, as many as fit share a tile: that which their inputs reach with the
        fewest hops.

        Raises
        ------
        MosaicError
            If something is on the chip already, or they do not fit.
        """
        if self.used or self.settled:
            raise MosaicError("settle is for an empty chip; this one has neurons.")
        self.ports = reads.shape[1]
        hops = self.chip.port_hops[even_ports(self.chip, self.ports + 1)[:-1]]
        while len(self.settled) < len(reads):
            first, best = len(self.settled), None
            for tile, slots in enumerate(self.chip.slots.tolist()):
                if tile in self.used:
                    continue
                fits = np.logical_or.accumulate(reads[first : first + slots], axis=0)
                count = int((fits.sum(1) <= self.chip.fan_in[tile]).sum())
                if count:
                    far = hops[fits[count - 1], tile].sum() / count
                    best = min(best or (far, tile, count), (far, tile, count))
            if best is None:
                raise MosaicError(
                    f"{len(reads)} neurons in front of the experts do not fit the chip; "
                    f"{first} do. Set front.stride higher, or make the chip larger."
                )
            _, tile, count = best
            self.settled += [tile] * count
            self.used[tile] = count
            self.heard[tile] = int(reads[first : first + count].any(0).sum())

    def _arriving(self, tile: int, read: Sequence[int]) -> int:
        """Lines that come from outside of a tile, of those that are read there."""
        if not self.settled:
            return len(read)
        return sum(line < 0 or self.settled[line] != tile for line in read)

    def _seats(self, blueprint: Blueprint) -> dict[int, list[int]]:
        """Tile of each neuron that is not on the chip yet, as claimed."""
        placed = 0 if self.last is None else self.last.placement.tile.size
        births = {p.name: p.births.tolist() for p in blueprint.populations}
        first = births.get(FEATURES, []) if self.settled else []
        return {
            neuron: [tile]
            for neuron, tile in zip(first, self.settled, strict=False)
            if neuron >= placed
        } | {
            neuron: [tile]
            for number, homes in self.home.items()
            for kind in KINDS
            for neuron, tile in zip(
                births.get(f"expert {number}/{kind}", []), homes[kind], strict=False
            )
            if neuron >= placed
        }

    def _hops_to_bring(self, inputs: int) -> NDArray[np.int64]:
        """Hops from the nearest place of each input and of the bias line to each tile."""
        # The bias line enters last; before anything is on the chip it is taken to be there.
        port = even_ports(self.chip, (self.ports or inputs) + 1)
        if self.last is not None:
            kept = self.last.placement.port
            port[: kept.size] = kept
        hops = self.chip.port_hops[port].copy()
        if self.settled:
            hops = np.concatenate([self.chip.tile_hops[self.settled], hops[-1:]])
        for tile, read in self.reads.items():
            hops[read] = np.minimum(hops[read], self.chip.tile_hops[tile])
        return hops

    def _hop(self) -> float:
        """Energy of one spike crossing one R1 [J]."""
        t = self.technology
        columns = 4 * self.chip.r1_lines
        read = t["read_voltage"].value ** 2 * t["read_pulse"].value
        row = read * (t["router_hcs"].value + (columns - 1) * t["router_lcs"].value)
        return row + columns * t["comparator_energy"].value + t["line_energy"].value

    def _row(self) -> float:
        """Energy of one spike driving a row of a tile, devices at their lowest level [J]."""
        t = self.technology
        read = t["read_voltage"].value ** 2 * t["read_pulse"].value
        return 2 * self.chip.neurons_per_tile * read * t["synapse_lowest"].value

    def _spike(self) -> float:
        """Energy of one spike of a neuron that nobody listens to [J]."""
        t = self.technology
        columns = 4 * self.chip.r1_lines
        read = t["read_voltage"].value ** 2 * t["read_pulse"].value
        wired = columns * (read * t["router_lcs"].value + t["comparator_energy"].value)
        return 4 * wired + self._row() + t["neuron_spike_energy"].value

    def _synapse(self) -> float:
        """Energy of one spike on one synapse [J].

        What it conducts above the lowest level, taken as half the range for one device of the
        pair, and the front-end that senses it. The row is driven anyway.
        """
        t = self.technology
        read = t["read_voltage"].value ** 2 * t["read_pulse"].value
        more = (t["synapse_highest"].value - t["synapse_lowest"].value) / 2
        return read * more + t["sense_energy"].value

    # onto the chip --------------------------------------------------------------------

    def deploy(self, blueprint: Blueprint) -> Deployment:
        """Place, route and compile a network beside what is on the chip already.

        Raises
        ------
        mosaic_sim.CapacityError
            If it does not fit.
        """
        old = self.last
        if old is not None and old.blueprint.wired_like(blueprint):
            self.last = self.variant(blueprint, before=old)
            return self.last
        network = network_of(blueprint)
        # Greedy leaves the inputs spread around the chip, which is where `claim` thinks they
        # come in; ports next to the first expert would be far from those to come.
        placement = place(
            network,
            self.chip,
            keep=None if old is None else old.placement,
            within=self._seats(blueprint),
            placer="greedy" if old is None and self.home else None,
        )
        routing = route(
            network, self.chip, placement, keep=None if old is None else old.routing
        )
        self.last = self._compiled(blueprint, network, placement, routing)
        changed = writes(None if old is None else old.program, self.last.program)
        self.last = replace(self.last, writes=changed)
        return self.last

    def variant(self, blueprint: Blueprint, before: Deployment | None = None) -> Deployment:
        """Put other weights on the wires of the last deployment, which stays the last one.

        Parameters
        ----------
        blueprint : Blueprint
            Wired like the last one.
        before : Deployment, optional
            From which devices are rewritten; without it they are not counted.
        """
        old = self.last
        if old is None or not old.blueprint.wired_like(blueprint):
            raise MosaicError(
                "blueprint has other synapses than what is on the chip; deploy it instead."
            )
        new = self._compiled(blueprint, network_of(blueprint), old.placement, old.routing)
        if before is None:
            return new
        return replace(new, writes=writes(before.program, new.program))

    def _compiled(
        self,
        blueprint: Blueprint,
        network: Network,
        placement: Placement,
        routing: Routing,
    ) -> Deployment:
        program = compile_program(
            network, self.chip, placement, routing, device=self.device
        )
        exact = program._replace(weight=network.weight)
        return Deployment(blueprint, network, placement, routing, program, exact)

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
        claims = {name: getattr(self, name) for name in CLAIMS}
        return {**claims, **placed}

    def load_state(self, state: dict[str, Any], blueprint: Blueprint | None) -> None:
        """Take up `state`; `blueprint` is what was on the chip then."""
        for name in CLAIMS:
            setattr(self, name, state.get(name, getattr(self, name)))
        if "placement" not in state or blueprint is None:
            return
        placement = Placement(**{k: v.numpy() for k, v in state["placement"].items()})
        routing = Routing(**{k: v.numpy() for k, v in state["routing"].items()})
        network = network_of(blueprint)
        self.last = self._compiled(blueprint, network, placement, routing)


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
