"""Tables for the terminal that need no run folder: a bill, its assumptions, who fired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from growth.simulation import CAVEAT, COMPONENTS, count_statuses, price_writes
from growth.statistics import estimate
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.dies import Dies
    from growth.simulation import (
        Comparison,
        CostReport,
        Fit,
        Platform,
        Recording,
        Simulation,
        Technology,
        Writing,
    )

__all__ = [
    "activity_table",
    "area_table",
    "assumption_table",
    "bill_table",
    "cause_table",
    "dies_table",
    "fit_table",
    "length_of",
    "platform_table",
    "quantity_table",
    "sensitivity_table",
    "table_of",
    "technology_table",
    "timing_table",
    "used_for",
    "writing_table",
]


def dies_table(dies: Dies, wanted: float, ideal_energy: float) -> Table:
    """How well dies do, and how many of them do well enough."""
    table = table_of(
        f"{dies.number} dies, seeds {dies.seed} to {dies.seed + dies.number - 1}: "
        f"not ideal in {', '.join(dies.effects) or 'nothing'}"
    )
    for title in ("", "ideal", "mean", "95 % interval", "worst", "best"):
        table.add_column(title, justify="left" if not title else "right")

    def row(
        name: str, ideal: str, values: NDArray[np.float64], worst: str = "least"
    ) -> None:
        mean = estimate(values)
        interval = "-" if mean.low is None else f"{mean.low:.1%} to {mean.high:.1%}"
        ends = (
            (values.min(), values.max())
            if worst == "least"
            else (values.max(), values.min())
        )
        table.add_row(
            name, ideal, f"{mean.mean:.1%}", interval, *(f"{x:.1%}" for x in ends)
        )

    measure = "accuracy" if dies.labelled else "same answer as the ideal chip"
    row(measure, f"{dies.ideal:.1%}", dies.score)
    row("spike counts that differ", "0.0%", dies.differing, worst="most")
    energy = estimate(dies.energy)
    low, high = (
        "-" if x is None else engineering(x, "J") for x in (energy.low, energy.high)
    )
    table.add_row(
        "energy per inference", engineering(ideal_energy, "J"), engineering(energy.mean, "J"),
        "-" if energy.low is None else f"{low} to {high}",
        engineering(dies.energy.max(), "J"), engineering(dies.energy.min(), "J"),
    )  # fmt: skip
    good = dies.yield_above(wanted)
    table.caption = (
        f"Yield at {wanted:.1%}: {good.good} of {good.dies} dies, {good.share:.0%} (95 % interval "
        f"{good.low:.0%} to {good.high:.0%}). Sources that miss a connection: "
        f"{dies.lost.mean():.1f} a die; led astray: {dies.false.mean():.1f}. Programming pulses: "
        f"{dies.pulses.mean():,.0f}, at most {dies.attempts} a device."
    )
    table.caption_justify = "left"
    return table


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
    for name, energy_each in (
        ("energy per spike of a neuron", report.energy_per_spike),
        ("energy per synaptic operation", report.energy_per_synaptic_operation),
    ):
        table.add_row(name, "", _joule(energy_each))
    return table


def fit_table(found: Fit) -> Table:
    """Chips that hold a network, fewest devices first."""
    table = table_of(
        "Chips that hold the network; * no other has fewer devices and less energy"
    )
    for name in ("", "tiles", "neurons per tile", "lines NT/R0/R1", "devices",
                 "energy per inference", "area", "rate x hops"):  # fmt: skip
        table.add_column(name, justify="right")
    front = found.front
    for one in found.candidates:
        chip = one.chip
        table.add_row(
            "*" if one in front else "", f"{chip.rows} x {chip.columns}",
            str(chip.neurons_per_tile), f"{chip.tile_lines}/{chip.r0_lines}/{chip.r1_lines}",
            f"{one.devices:,}", engineering(one.energy, "J"), f"{one.area * 1e6:.4g} mm2",
            f"{one.hops:,.6g}",
        )  # fmt: skip
    return table


def writing_table(bill: Writing, technology: Technology, attempts: int) -> Table:
    """What it takes to write the program to an empty chip."""
    how = (
        "one pulse a device"
        if attempts == 1
        else f"up to {attempts} pulses a device, verified"
    )
    table = table_of(f"Writing to an empty chip, {how}")
    table.add_column("quantity")
    table.add_column("value", justify="right")
    table.add_row("devices written", f"{bill.devices:,}")
    table.add_row("pulses", f"{int(bill.pulses.sum()):,}")
    table.add_row("reads to verify", f"{int(bill.reads.sum()):,}")
    table.add_row("energy", engineering(bill.energy, "J"))
    table.add_row("time, tiles side by side", engineering(bill.time, "s"))
    table.add_row("time, one device after the other", engineering(bill.time_in_turn, "s"))
    endurance = technology["endurance"]
    table.add_row(f"endurance used ({endurance.status}: {endurance})", f"{bill.wear:.2g}")
    return table


def _joule(value: float | None) -> str:
    return "-" if value is None else engineering(value, "J")


def cause_table(run: Simulation) -> Table:
    """What each group of neurons causes, with everything else, and where it is spent."""
    report = run.report
    table = table_of("Energy by what causes it, and by where it is spent")
    for name in ("caused by spikes of", "energy", "per inference", "share"):
        table.add_column(name, justify="left" if name.startswith("caused") else "right")

    def rows(parts: Mapping[str, float]) -> None:
        for name, energy in parts.items():
            share = f"{energy / report.energy:.1%}" if report.energy else "-"
            table.add_row(escape(name), *_both(energy, report.samples), share)

    rows(report.by_group(run.groups))
    if any(name.startswith("expert ") for name in run.groups):
        table.add_section()
        rows(report.by_expert(run.groups))
    table.add_section()
    spent = {
        "NT": "in neuron tiles",
        "R0": "in corner routers (R0)",
        "R1": "in routers (R1)",
    }
    rows({spent[kind]: energy for kind, energy in report.by_kind().items()})
    return table


def timing_table(report: CostReport) -> Table:
    """How long a step has to be, how fast the chip could go, and its power."""
    timing = report.timing
    table = table_of("Time and power")
    for name in ("", f"steps of {engineering(timing.step_time, 's')}", "smallest steps"):
        table.add_column(name, justify="right" if name else "left")

    def pair(name: str, unit: str, *values: float) -> None:
        table.add_row(name, *(engineering(value, unit) for value in values))

    smallest = timing.smallest_step
    pair("step", "s", timing.step_time, smallest)
    pair("one inference", "s", timing.inference_time, timing.steps * smallest)
    pair("inferences per second", "", timing.throughput, timing.fastest_throughput)
    pair("mean power", "W", timing.mean_power, timing.fastest_power)
    table.add_section()
    path = engineering(timing.critical_path, "s")
    table.add_row(
        "longest way of a spike within a step",
        f"{timing.reads:,} reads, {timing.hops:,} hops",
        path,
    )
    factor = f"{timing.real_time_factor:.3g} x real time"
    if not timing.fits:
        factor = f"TOO SLOW: step_time has to be {engineering(smallest, 's')} or more"
    table.add_row("how fast it can be", "", factor)
    return table


def area_table(report: CostReport) -> Table:
    """Area of the chip and of what is switched on, by kind of tile."""
    area = report.area
    table = table_of("Area, every crossbar full size")
    for name in ("kind of tile", "each", "built", "area", "switched on", "area on"):
        table.add_column(name, justify="left" if name.startswith("kind") else "right")
    on = area.powered_by_kind()
    for kind, whole in area.by_kind().items():
        table.add_row(
            kind, engineering(area.each[kind], "m2"), f"{area.built[kind]:,}",
            engineering(whole, "m2"), f"{area.powered[kind]:,}", engineering(on[kind], "m2"),
        )  # fmt: skip
    table.add_section()
    total, powered = engineering(area.total, "m2"), engineering(area.powered_total, "m2")
    table.add_row("chip", "", "", total, "", powered)
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
        table.add_row(name, str(technology[name]), escape(technology[name].source))
    return table


def used_for(report: CostReport) -> list[str]:
    """Assumed quantities behind a bill with its times and areas."""
    used = [name for name, _ in report.assumptions()]
    return used + [
        name
        for name in report.technology.assumptions()
        if name not in used and (name in _TIMES or name.endswith("_area"))
    ]


_TIMES = ("step_time", "read_pulse", "hop_latency", "settling_time")


def sensitivity_table(
    technology: Technology, elasticities: Mapping[str, float], *, least: float = 5e-4
) -> Table:
    """By how many per cent the energy changes if a quantity changes by one.

    Parameters
    ----------
    technology : Technology
    elasticities : mapping of str to float
        By quantity, in the order of the rows.
    least : float
        Elasticities below it share one row.
    """
    table = table_of("Sensitivity: change of the energy in % for 1 % more of a quantity")
    for name in ("quantity", "value", "status", "change [%]"):
        table.add_column(
            name, justify="right" if name.startswith(("value", "ch")) else "left"
        )
    small = [name for name, value in elasticities.items() if abs(value) < least]
    for name, value in elasticities.items():
        if name not in small:
            quantity = technology[name]
            table.add_row(name, str(quantity), quantity.status, f"{value:+.3f}")
    if small:
        table.add_section()
        table.add_row(", ".join(small), "", "", f"below {least:g}")
    return table


def platform_table(report: CostReport, found: Sequence[Comparison]) -> Table:
    """The bill beside what the same events cost at the published prices of other platforms."""
    table = table_of("Events of one inference at the published prices of other platforms")
    table.add_column("platform")
    for name in (
        "per synaptic op",
        "per hop",
        "synapses",
        "hops",
        "all published",
        "status",
    ):
        table.add_column(name, justify="right")

    routing = report.by_component()["routing"]
    table.add_row(
        f"this chip ({report.technology.name})",
        _joule(report.energy_per_synaptic_operation),
        _joule(routing / report.hops if report.hops else None),
        _joule(report.by_component()["synapses"] / report.samples),
        _joule(routing / report.samples),
        _joule(report.energy_per_inference),
        "assumed" if report.assumptions() else "",
    )
    table.add_section()
    for one in found:
        operation = one.platform.get("synapse_energy")
        statuses = count_statuses(one.platform.quantities.values())
        table.add_row(
            one.platform.title, "-" if operation is None else str(operation),
            _joule(one.platform.hop()), _joule(one.energy["synapses"]), _joule(one.energy["hops"]),
            _joule(one.published), "/".join(name for name, count in statuses.items() if count),
        )  # fmt: skip
    table.caption = CAVEAT
    table.caption_justify = "left"
    return table


def technology_table(known: Sequence[Technology | Platform]) -> Table:
    """One line for each technology and platform."""
    table = table_of("Technologies, which price this chip, and platforms to compare with")
    table.add_column("name", no_wrap=True)
    for status in count_statuses(()):
        table.add_column(status, justify="right")
    table.add_column("what it is", no_wrap=True)
    for one in known:
        counts = count_statuses(one.quantities.values())
        about = shorten(one.about, 54, placeholder=" ...")
        table.add_row(one.name, *map(str, counts.values()), escape(about))
    return table


def quantity_table(one: Technology | Platform) -> Table:
    """Every quantity of a technology or platform."""
    table = table_of(f"{one.name}: {len(one.quantities)} quantities")
    table.add_column("quantity", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("source")
    for name, quantity in one.quantities.items():
        table.add_row(name, str(quantity), quantity.status, escape(quantity.source))
    return table
