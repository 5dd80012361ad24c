"""What writing costs: pulses, energy, time, and how much of its life each device has used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.die import physics_of
from mosaic_sim.errors import MosaicError
from mosaic_sim.image import changes, largest_crossbar

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from mosaic_sim.program import Program
    from mosaic_sim.technology import Technology

__all__ = ["Lifetime", "Writing", "lifetime", "write_bill"]


@dataclass(frozen=True, eq=False)
class Writing:
    """The bill of writing a program to a chip.

    Parameters
    ----------
    number : int64 array, (d,), rising
        Devices that were written, as in `mosaic_sim.image.Layout`.
    pulses : int64 array, (d,)
        Pulses that each took.
    reads : int64 array, (d,)
        Reads to verify each.
    energy : float [J]
        Of all pulses and reads.
    time : float [s]
        If each tile writes one device at a time, and all tiles do so side by side.
    time_in_turn : float [s]
        If the whole chip writes one device at a time.
    wear : float
        Pulses of the device that took most, as a share of the endurance.
    """

    number: NDArray[np.int64]
    pulses: NDArray[np.int64]
    reads: NDArray[np.int64]
    energy: float
    time: float
    time_in_turn: float
    wear: float

    @property
    def devices(self) -> int:
        """Devices that were written."""
        return int(self.number.size)


def write_bill(
    old: Program | None,
    new: Program,
    technology: Technology,
    *,
    effects: Collection[str] = (),
    seed: int = 0,
    attempts: int = 1,
    cycle: int = 0,
) -> Writing:
    """Price the change from one program to another on the same chip.

    A device whose level changes takes a RESET pulse, unless it is blank, and SET pulses for
    what it is to hold, unless that is nothing: one, or with `attempts` above 1 as many as
    `mosaic_sim.sample_die` needs under the same `effects`, each followed by a read. Devices that
    connect lines have two states and take one SET pulse.

    Parameters
    ----------
    old : Program, or None
        What the chip holds; None: it is blank.
    new : Program
    technology : Technology
    effects, seed, attempts, cycle
        As in `mosaic_sim.sample_die`. Without effects every pulse hits.

    Returns
    -------
    Writing

    Raises
    ------
    MosaicError
        If the programs are for different chips, or have different levels.

    Examples
    --------
    >>> from mosaic_sim import *
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[2.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> program = compile_program(net, chip, placement, route(net, chip, placement))
    >>> bill = write_bill(None, program, technology_preset("rram-130nm"))
    >>> bill.devices, int(bill.pulses.sum())
    (2, 2)
    """
    chip = new.geometry
    number, held, goal = changes(old, new)
    rows, columns = largest_crossbar(chip)
    cell = number // (rows * columns)
    synapse = ~chip.is_router[cell]
    physics = physics_of(technology, effects, attempts=attempts, cycle=cycle)
    wanted = np.full(number.size, physics.hcs)
    span = physics.highest - physics.lowest
    wanted[synapse] = physics.lowest + span * goal[synapse] / (new.levels - 1)
    sets = (goal > 0).astype(np.int64)
    if attempts > 1:
        conductance = np.empty(int(synapse.sum()))
        taken = np.empty(conductance.size, np.int64)
        _kernels.synapse_devices(
            seed, number[synapse], wanted[synapse], np.array(physics), conductance, taken
        )
        sets[synapse] = taken
    reads = sets if attempts > 1 else np.zeros_like(sets)
    pulses = sets + (held > 0)
    read = technology["read_voltage"].value ** 2 * technology["read_pulse"].value
    energy = technology["write_energy"].value * pulses.sum() + read * (reads * wanted).sum()
    look = technology["read_pulse"].value + technology["settling_time"].value
    each = pulses * technology["write_time"].value + reads * look
    by_cell = np.bincount(cell, each, minlength=chip.cells)
    return Writing(
        number, pulses, reads, float(energy), float(by_cell.max(initial=0.0)),
        float(each.sum()), int(pulses.max(initial=0)) / technology["endurance"].value,
    )  # fmt: skip


@dataclass(frozen=True)
class Lifetime:
    """How long a chip lasts that learns on.

    Parameters
    ----------
    written : int
        Programs that were written one after the other.
    worst : int
        Pulses that the most worn device took.
    mean : float
        Pulses in the mean over all devices that were ever written.
    used : float
        `worst` as a share of the endurance.
    tasks : float
        Programs that can be written in all before the first device has used up its endurance, if
        it goes on as it went; infinite if none was written to.
    """

    written: int
    worst: int
    mean: float
    used: float
    tasks: float


def lifetime(
    programs: Sequence[Program],
    technology: Technology,
    *,
    effects: Collection[str] = (),
    seed: int = 0,
    attempts: int = 1,
) -> Lifetime:
    """Follow the wear of every device over programs written one after the other to one chip.

    Parameters
    ----------
    programs : sequence of Program
        For the same chip, the first is written to a blank one.
    technology : Technology
    effects, seed, attempts
        As in `write_bill`.

    Raises
    ------
    MosaicError
        If there is no program, or as `write_bill`.

    Examples
    --------
    >>> from mosaic_sim import *
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[2.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> program = compile_program(net, chip, placement, route(net, chip, placement))
    >>> lifetime([program, program], technology_preset("rram-130nm")).tasks
    2000000.0
    """
    if not programs:
        raise MosaicError("programs is empty; it needs at least one program.")
    bills = [
        write_bill(
            old, new, technology, effects=effects, seed=seed, attempts=attempts, cycle=cycle
        )
        for cycle, (old, new) in enumerate(
            zip([None, *programs[:-1]], programs, strict=True)
        )
    ]
    number, which = np.unique(
        np.concatenate([b.number for b in bills]), return_inverse=True
    )
    pulses = np.bincount(which, np.concatenate([b.pulses for b in bills]), number.size)
    worst = int(pulses.max(initial=0))
    endurance = technology["endurance"].value
    return Lifetime(
        len(programs), worst, float(pulses.mean()) if pulses.size else 0.0, worst / endurance,
        endurance * len(programs) / worst if worst else float("inf"),
    )  # fmt: skip
