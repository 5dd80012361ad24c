"""One die: what the devices of a chip that was really made and written conduct.

A program says what each device is to hold. A die is what one sample of the hardware makes of it,
under the imperfections that are switched on; all switched off, it is the program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import ConfigError, MosaicError, suggest
from mosaic_sim.events import recounted
from mosaic_sim.image import layout

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from mosaic_sim.program import Program
    from mosaic_sim.technology import Technology

__all__ = ["EFFECTS", "Die", "Physics", "physics_of", "sample_die"]

EFFECTS = {
    "programming": "a pulse leaves a conductance that misses its goal",
    "variation": "each device has its own answer to a pulse",
    "stuck": "some devices stay at high or low conductance",
    "drift": "conductances drift and relax after writing",
    "spread": "states of routing devices are spread",
    "wires": "transistors and wires are in series, and leak",
    "mismatch": "each neuron has time constants of its own",
    "reading": "each read of a synapse is noisy",
    "coincidence": "spikes that arrive together add up in routing tiles",
}
"""What can be switched on, and what it does. The first seven are fixed for a die."""

_MOST = 1 << 31
"""Bytes that the tables of routing tiles may take."""


class Physics(NamedTuple):
    """What the kernels need to know of a technology, 0 (or 1) where an effect is off."""

    variation: float
    noise: float
    floor: float
    tolerance: float
    attempts: float
    decay: float
    relaxation: float
    stuck_hcs: float
    stuck_lcs: float
    lowest: float
    highest: float
    hcs: float
    lcs: float
    hcs_spread: float
    lcs_spread: float
    transistor: float
    wire: float
    leakage: float
    threshold: float
    cycle: float


@dataclass(frozen=True, eq=False)
class Die:
    """A program as one sample of the hardware holds it. From `sample_die`.

    Parameters
    ----------
    nominal : Program
        What was to be written.
    written : Program
        With the weights of the real conductances and the time constants of the real neurons.
    program : Program
        Also with the synapses that spikes really reach. A pair of source and neuron may stand
        in it twice, if the source arrives over two rows.
    origin : int64 array, (synapses of `program`,)
        Synapse of `written` that each is.
    technology : Technology
    effects : frozenset of str
        Of `EFFECTS`.
    seed : int
        Everything random follows from it.
    attempts, age, windows : int, float, int
        As given to `sample_die`.
    conductance : float64 array, (s, 2) [S]
        Of the device that adds and the one that subtracts, for each synapse of `nominal`.
    pulses : int64 array, (s, 2)
        Programming pulses that each took from a blank chip.
    lost, false : int64 array, (sources,)
        Connections that each source misses on its way, and devices that lead it astray.
    noise_power : float32 array, (synapses of `written`,) or (0,)
        Variance that a read adds to each synapse, in squared units of weight.

    Examples
    --------
    >>> from mosaic_sim import *
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[2.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> program = compile_program(net, chip, placement, route(net, chip, placement))
    >>> die = sample_die(program, technology_preset("rram-130nm"), effects=["programming"])
    >>> bool(die.program.weight[0] == 2.0)
    False
    """

    nominal: Program
    written: Program
    program: Program
    origin: NDArray[np.int64]
    technology: Technology
    effects: frozenset[str]
    seed: int
    attempts: int
    age: float
    windows: int
    conductance: NDArray[np.float64]
    pulses: NDArray[np.int64]
    lost: NDArray[np.int64]
    false: NDArray[np.int64]
    noise_power: NDArray[np.float32]
    physics: Physics = field(repr=False)

    @property
    def noisy(self) -> bool:
        """Whether something differs from spike to spike, so that a run needs random numbers."""
        return self.noise_power.size > 0 or "coincidence" in self.effects

    @cached_property
    def runnable(self) -> Program:
        """`program` with the synapses of each pair of source and neuron added up."""
        program = self.program
        if program is self.written:
            return program
        source = np.repeat(np.arange(program.sources), np.diff(program.offsets))
        key = np.stack([source, program.delay, program.target])
        kept, which = np.unique(key, axis=1, return_inverse=True)
        weight = np.zeros(kept.shape[1], np.float32)
        np.add.at(weight, which.ravel(), program.weight)
        return program._replace(
            offsets=np.searchsorted(kept[0], np.arange(program.sources + 1)),
            target=kept[2].astype(program.target.dtype),
            delay=kept[1].astype(program.delay.dtype),
            weight=weight,
        )

    @cached_property
    def rows_driven(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that one spike of each source drives by itself, each once.

        Returns
        -------
        source : int64 array, (r,)
        row : int64 array, (r,)
            Numbers as in `mosaic_sim.image.Layout`.

        Notes
        -----
        An input that is to reach no line, and does not, has none: a program does not bill its
        row at the port.
        """
        program = self.written if "coincidence" in self.effects else self.program
        where = layout(self.nominal)
        every, links = np.arange(program.sources), np.diff(program.link_offsets)
        start, node = where.starts(program)
        billed = links + np.diff(self.nominal.link_offsets) > 0
        billed[program.first_neuron :] = True
        starter = np.repeat(every, np.diff(start))
        entered = np.stack([starter, node])[:, billed[starter]]
        # Two links may end on one row, which is driven once.
        source, row = np.unique(
            np.concatenate([
                np.stack([np.repeat(every, links), where.arrivals(program)]),
                entered,
                np.stack([every[program.first_neuron :], where.feedback(program)]),
            ], axis=1),
            axis=1,
        )  # fmt: skip
        return source, row

    @cached_property
    def row_excess(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """How much more than nominal the rows conduct that each source drives by itself.

        Returns
        -------
        source : int64 array, (r,)
        cell : int64 array, (r,)
        picosiemens : int64 array, (r,)
            As in `beyond_nominal`.
        """
        source, row = self.rows_driven
        rows, which = np.unique(row, return_inverse=True)
        cell = row // layout(self.nominal).rows
        return source, cell, self.beyond_nominal(rows)[which.ravel()]

    def beyond_nominal(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """How much more than nominal rows conduct, in whole picosiemens so that bills add up.

        Parameters
        ----------
        rows : int64 array, (r,)
            Numbers as in `mosaic_sim.image.Layout`.

        Returns
        -------
        int64 array, (r,)
            Sum over all devices of the row, also those that hold nothing.
        """
        where, chip = layout(self.nominal), self.nominal.geometry
        number, goal = self._held(where.pair, where.connection)
        begin = np.searchsorted(
            number, np.arange(where.rows * chip.cells + 1) * where.columns
        )
        excess: NDArray[np.int64] = _kernels.row_excess(
            self.seed, rows, begin, number, goal, chip.is_router, chip.lines,
            chip.neurons_per_tile, where.widest, where.rows, where.columns,
            np.array(self.physics),
        )  # fmt: skip
        return excess

    def _held(
        self, pair: NDArray[np.int64], connection: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Devices that hold something, rising, and what each is to conduct [S]."""
        goal = _goals(self.nominal, self.physics)
        joined = connection[connection >= 0]
        number = np.concatenate([pair, pair + 1, joined])
        wanted = np.concatenate(
            [goal[:, 0], goal[:, 1], np.full(joined.size, self.physics.hcs)]
        )
        order = np.argsort(number)
        return number[order], wanted[order]


def sample_die(
    program: Program,
    technology: Technology,
    *,
    effects: Collection[str] = tuple(EFFECTS),
    seed: int = 0,
    attempts: int = 1,
    cycle: int = 0,
    age: float = 0.0,
    windows: int | None = None,
) -> Die:
    """Make one sample of the hardware and write `program` to it.

    Parameters
    ----------
    program : Program
    technology : Technology
        Its quantities say how strong each effect is.
    effects : collection of str
        Which of `EFFECTS` are on; all by default.
    seed : int
        Of the sample. A device keeps its properties whatever is written to the chip.
    attempts : int
        Pulses at most for each device: after each it is read, and accepted within
        `write_tolerance` of its goal. 1 writes without looking.
    cycle : int
        How often it was written before: the noise of programming is new each time.
    age : float
        Seconds since the devices were written; "drift" changes nothing before `drift_start`.
    windows : int, optional
        Parts of a step within which spikes coincide, for "coincidence"; each spike falls into
        one of them at random. As many pulses as fit into a step by default, ``step_time /
        read_pulse``. 1 is the worst case: all spikes of a step that do not follow from each
        other arrive together.

    Returns
    -------
    Die

    Raises
    ------
    ConfigError
        If an effect is unknown, or a number is out of range.
    MosaicError
        If "coincidence" needs more memory for the routing tiles than 2 GiB.
    """
    if windows is None:
        windows = max(
            1, round(technology["step_time"].value / technology["read_pulse"].value)
        )
    chosen = frozenset(effects)
    for name in chosen:
        if name not in EFFECTS:
            raise ConfigError(
                f"effects has {name!r}.{suggest(name, EFFECTS)} There are: {', '.join(EFFECTS)}."
            )
    for name, value, least in (
        ("seed", seed, 0), ("attempts", attempts, 1), ("cycle", cycle, 0), ("windows", windows, 1),
    ):  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(
                f"{name} is {value!r}; it needs an integer of at least {least}."
            )
    if not math.isfinite(age) or age < 0:
        raise ConfigError(f"age is {age!r}; it needs seconds, 0 or more.")
    physics = physics_of(technology, chosen, attempts=attempts, cycle=cycle, age=age)
    where = layout(program)
    goal = _goals(program, physics)
    conductance, pulses = np.empty_like(goal), np.empty(goal.shape, np.int64)
    for device in range(2):
        _kernels.synapse_devices(
            seed, where.pair + device, np.ascontiguousarray(goal[:, device]),
            np.array(physics), conductance[:, device], pulses[:, device],
        )  # fmt: skip
    scale = _scale(program, physics)[program.target]
    error = ((conductance - goal) @ [1.0, -1.0]) * scale
    weight = (program.weight + error).astype(np.float32)
    power = np.empty(0, np.float32)
    if "reading" in chosen and technology["read_noise"].value > 0:
        level = technology["read_noise"].value * scale
        power = (level**2 * (conductance**2).sum(1)).astype(np.float32)
    real = program._replace(weight=weight)
    if "mismatch" in chosen:
        leak, current_leak = _mismatched(program, technology, seed)
        real = real._replace(leak=leak, current_leak=current_leak)
    none = np.zeros(program.sources, np.int64)
    die = Die(
        program, real, real, np.arange(program.target.size), technology, chosen, seed,
        attempts, age, windows, conductance, pulses, none, none, power, physics,
    )  # fmt: skip
    if "coincidence" in chosen:
        size = 4 * int(((4 * program.geometry.lines.astype(np.int64)) ** 2).sum())
        if size > _MOST:
            raise MosaicError(
                f"effects has 'coincidence': the devices of the routing tiles take "
                f"{size / 2**30:.1f} GiB, more than {_MOST / 2**30:.0f}. Leave it out, or use a "
                "smaller chip or fewer lines."
            )
    return _misrouted(die) if chosen & {"stuck", "drift", "spread", "wires"} else die


def physics_of(
    technology: Technology,
    effects: Collection[str],
    *,
    attempts: int = 1,
    cycle: int = 0,
    age: float = 0.0,
) -> Physics:
    """Quantities of a technology as the kernels take them, effects that are off left out."""

    def on(effect: str, name: str) -> float:
        return technology[name].value if effect in effects else 0.0

    ratio = max(age / technology["drift_start"].value, 1.0)
    return Physics(
        variation=on("variation", "device_variation"),
        noise=on("programming", "programming_noise"),
        floor=on("programming", "programming_floor"),
        tolerance=technology["write_tolerance"].value,
        attempts=float(attempts),
        decay=ratio ** -on("drift", "drift_exponent"),
        relaxation=on("drift", "relaxation") * math.sqrt(math.log10(ratio)),
        stuck_hcs=on("stuck", "stuck_hcs"),
        stuck_lcs=on("stuck", "stuck_lcs"),
        lowest=technology["synapse_lowest"].value,
        highest=technology["synapse_highest"].value,
        hcs=technology["router_hcs"].value,
        lcs=technology["router_lcs"].value,
        hcs_spread=on("spread", "router_hcs_spread"),
        lcs_spread=on("spread", "router_lcs_spread"),
        transistor=on("wires", "transistor_resistance"),
        wire=on("wires", "wire_resistance"),
        leakage=on("wires", "transistor_leakage") / technology["read_voltage"].value,
        threshold=technology["router_threshold"].value,
        cycle=float(cycle),
    )


def _goals(program: Program, physics: Physics) -> NDArray[np.float64]:
    """What the two devices of each synapse are to conduct, (s, 2) [S]."""
    level = np.stack([np.maximum(program.level, 0), np.maximum(-program.level, 0)], 1)
    span = physics.highest - physics.lowest
    return physics.lowest + span * level.astype(np.float64) / (program.levels - 1)


def _scale(program: Program, physics: Physics) -> NDArray[np.float64]:
    """Weight that a siemens gives at each neuron, (n,): its largest has the highest level."""
    largest = np.zeros(program.neurons)
    np.maximum.at(largest, program.target, np.abs(program.weight))
    return largest / (physics.highest - physics.lowest)


def _mismatched(
    program: Program, technology: Technology, seed: int
) -> list[NDArray[np.float32]]:
    """Leak and current leak of the neurons that really sit in each slot.

    Their time constants are log-normal around the goal.
    """
    chip = program.geometry
    site = program.tile.astype(np.int64) * chip.neurons_per_tile + program.slot
    step = technology["step_time"].value
    out = []
    for stream, name in enumerate(("leak", "current_leak")):
        leak = getattr(program, name).astype(np.float64)
        fades = (leak > 0) & (leak < 1)
        tau = np.zeros(leak.size)
        tau[fades] = -step / np.log(leak[fades])
        if name == "leak":
            spread = (
                technology["time_constant_spread"].value
                + technology["time_constant_slope"].value * tau
            )
        else:
            spread = np.full(leak.size, technology["synapse_constant_spread"].value)
        draw = np.empty(leak.size)
        _kernels.normals(seed, 1000 + stream, site, draw)
        leak[fades] = np.exp(-step / (tau[fades] * np.exp(spread[fades] * draw[fades])))
        out.append(leak.astype(np.float32))
    return out


def _misrouted(die: Die) -> Die:
    """Follow every source over the connections that really conduct."""
    nominal, chip = die.nominal, die.nominal.geometry
    where = layout(nominal)
    joined = np.sort(where.connection[where.connection >= 0])
    begin = np.searchsorted(joined, np.arange(where.rows * chip.cells + 1) * where.columns)
    start, node = where.starts(nominal)
    wired = np.repeat(np.arange(nominal.sources) >= nominal.first_neuron, np.diff(start))
    offsets, cell, side, line, lost, false = _kernels.reach(
        die.seed, begin, start, node, wired, joined, chip.neighbours, chip.wired,
        chip.is_router, chip.lines, where.widest, where.rows, where.columns,
        np.array(die.physics), _ordinary(die.physics, 4 * where.widest),
    )  # fmt: skip
    if not lost.any() and not false.any():
        return die
    owner = np.full(where.rows * chip.cells, -1, np.int64)
    source = np.repeat(np.arange(nominal.sources), np.diff(nominal.link_offsets))
    ends = ~chip.is_router[where.arrival // where.rows]
    owner[where.arrival[ends]] = source[ends]
    moved = die.program._replace(
        link_offsets=offsets, link_cell=cell, link_side=side,
        link_line=line.astype(nominal.link_line.dtype),
    )  # fmt: skip
    synapses, origin, delay = _kernels.rewire(
        nominal.first_neuron, nominal.offsets, nominal.target, nominal.delay, nominal.depth,
        nominal.tile, chip.tile_cells, offsets, where.arrivals(moved), where.rows, owner,
    )  # fmt: skip
    moved = moved._replace(
        offsets=synapses, target=nominal.target[origin], level=nominal.level[origin],
        weight=die.program.weight[origin], delay=delay.astype(nominal.delay.dtype),
    )  # fmt: skip
    return replace(die, program=recounted(moved), origin=origin, lost=lost, false=false)


def _ordinary(physics: Physics, rows: int) -> float:
    """Share of the devices that connect nothing and, by their spread, surely conduct too little.

    No normal number from 53 random bits is beyond 8.3.
    """
    most = physics.decay * (1 + 8.3 * physics.relaxation)
    wanted = physics.threshold - (rows - 1) * physics.leakage
    if wanted <= 0:
        return 0.0
    room = math.log(wanted / (physics.lcs * most)) - 1e-9
    if physics.lcs_spread == 0:
        return 1.0 if room > 0 else 0.0
    return 0.5 * math.erfc(-room / physics.lcs_spread / math.sqrt(2)) * (1 - 1e-9)
