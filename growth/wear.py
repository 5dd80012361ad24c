"""What writing a life of tasks costs the devices of a chip, from run folders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from growth.bridge import lifetime, load_program, write_bill
from growth.statistics import estimate
from growth.tables import table_of
from mosaic_sim.errors import MosaicError
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from growth.bridge import Lifetime, Technology
    from growth.runs import RunFolder

__all__ = ["Wear", "wear_of", "wear_table"]


@dataclass(frozen=True)
class Wear:
    """All the writing of one seed.

    Parameters
    ----------
    pulses : int
    energy, time : float [J], [s]
        Of all tasks together; tiles are written side by side.
    life : Lifetime
    """

    pulses: int
    energy: float
    time: float
    life: Lifetime


def wear_of(run: RunFolder, technology: Technology) -> list[Wear]:
    """Follow the stored programs of each seed, written one after the other.

    Raises
    ------
    MosaicError
        If a program is missing or damaged, or a seed has none.
    """
    found = []
    for seed in run.seeds:
        programs = [
            load_program(seed.path / f"program-{row['task']}.npz")
            for row in seed.lines("cost")
        ]
        if not programs:
            raise MosaicError(f"{str(seed.path)!r} has no program: nothing was written.")
        bills = [
            write_bill(old, new, technology)
            for old, new in zip([None, *programs[:-1]], programs, strict=True)
        ]
        found.append(
            Wear(
                sum(int(bill.pulses.sum()) for bill in bills),
                sum(bill.energy for bill in bills),
                sum(bill.time for bill in bills),
                lifetime(programs, technology),
            )
        )
    return found


def wear_table(wear: Sequence[Wear], technology: Technology) -> Table:
    """Pulses, energy, time, the most worn device and how many tasks it lasts; mean over seeds."""
    table = table_of("Writing over the whole life, one pulse hits; mean over seeds")
    table.add_column("quantity")
    table.add_column("value", justify="right")

    def row(name: str, values: Sequence[float], unit: str = "") -> None:
        mean = estimate(values).mean
        table.add_row(name, engineering(mean, unit) if unit else f"{mean:,.6g}")

    row("programming pulses", [w.pulses for w in wear])
    row("energy", [w.energy for w in wear], "J")
    row("time, tiles side by side", [w.time for w in wear], "s")
    row("pulses of the most worn device", [w.life.worst for w in wear])
    endurance = technology["endurance"]
    used = estimate([w.life.used for w in wear]).mean
    table.add_row(f"of its endurance ({endurance.status}: {endurance})", f"{used:.2g}")
    row("tasks until it is used up, as it went", [w.life.tasks for w in wear])
    return table
