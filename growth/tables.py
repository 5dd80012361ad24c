"""Tables for the terminal that need no run folder: a bill, its assumptions, who fired."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table

from growth.simulation import COMPONENTS, price_writes
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from growth.simulation import CostReport, Recording, Simulation, Technology

__all__ = ["activity_table", "assumption_table", "bill_table", "length_of", "table_of"]


def table_of(title: str) -> Table:
    """Return an empty table in the style of all tables."""
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def length_of(run: CostReport | Recording) -> str:
    """Say how long a run was: ``3 samples of 40 steps``."""
    samples, steps = (
        f"{count:,} {noun}{'' if count == 1 else 's'}"
        for count, noun in ((run.samples, "sample"), (run.steps, "step"))
    )
    return f"{samples} of {steps}"


def activity_table(run: Simulation) -> Table:
    """What each group of neurons fired, over all samples."""
    recording, first = run.recording, run.program.first_neuron
    total, steps = recording.total[first:], recording.samples * recording.steps
    table = table_of("Spikes, all samples")
    table.add_column("group")
    for name in (
        "neurons",
        "spikes",
        "steps with a spike",
        "silent",
        "first spike (median)",
    ):
        table.add_column(name, justify="right")
    for name, members in run.groups.items():
        spikes = total[members]
        firsts = recording.latency[:, members]
        fired = firsts[firsts >= 0]
        table.add_row(
            name,
            f"{members.size:,}",
            f"{spikes.sum():,}",
            f"{spikes.sum() / max(steps * members.size, 1):.2%}",
            f"{int((spikes == 0).sum()):,}",
            f"step {int(np.median(fired))}" if fired.size else "never",
        )
    return table


def bill_table(report: CostReport, writes: int) -> Table:
    """The rows of a bill by component, and what it takes to program an empty chip.

    Reads of all levels of a device are one row.
    """
    table = table_of(f"The bill under {report.technology.name}: {length_of(report)}")
    table.add_column("component, event")
    for name in ("count", "each", "energy", "per inference"):
        table.add_column(name, justify="right")
    totals = report.by_component()
    for component in COMPONENTS:
        energy = totals[component]
        table.add_row(component, "", "", *_both(energy, report.samples))
        rows = [row for row in report.rows if row.component == component]
        for event, group in groupby(rows, key=lambda row: row.event.split(",")[0]):
            same = list(group)
            count = sum(row.count for row in same)
            spent = sum(row.energy for row in same)
            low, high = (f([row.unit_price for row in same]) for f in (min, max))
            each = engineering(low, "J")
            if high > low:
                each = f"{each} to {engineering(high, 'J')}"
            table.add_row(f"  {event}", f"{count:,}", each, *_both(spent, report.samples))
    table.add_section()
    table.add_row("total", "", "", *_both(report.energy, report.samples))
    table.add_section()
    table.add_row("devices in use", f"{sum(report.devices.values()):,}")
    pulse = report.technology["write_energy"]
    written = engineering(price_writes(writes, report.technology), "J")
    table.add_row("device writes, on an empty chip", f"{writes:,}", str(pulse), written)
    path = engineering(report.critical_path, "s")
    table.add_row("longest way of a spike within a step", "", path)
    return table


def _both(energy: float, samples: int) -> tuple[str, str]:
    return engineering(energy, "J"), engineering(energy / samples, "J")


def assumption_table(technology: Technology, used: Sequence[str]) -> Table:
    """The assumed quantities behind a bill, with their values and sources."""
    table = table_of(
        f"Assumed quantities of {technology.name} behind these energies (not Mosaic's)"
    )
    for name in ("quantity", "value", "source"):
        table.add_column(name)
    for name in used:
        table.add_row(name, str(technology[name]), technology[name].source)
    return table
