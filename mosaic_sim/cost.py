"""Counts times prices: what a run costs, and which assumptions the bill rests on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.events import count_events, count_totals, event_names
from mosaic_sim.image import device_count
from mosaic_sim.technology import STATUSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.program import Program
    from mosaic_sim.recording import Recording
    from mosaic_sim.technology import Quantity, Technology

__all__ = ["COMPONENTS", "CostReport", "CostRow", "price", "price_writes", "unit_prices"]

COMPONENTS = ("synapses", "neurons", "routing", "static")
"""What energy is split into. Static power is not published for Mosaic, so it stands apart."""


@dataclass(frozen=True)
class CostRow:
    """One line of the bill: `count` events at `unit_price` [J] each.

    `formula` says how the price follows from the quantities `uses`; `status` is that of the
    least sure of them.
    """

    event: str
    component: str
    count: int
    unit_price: float
    formula: str
    uses: tuple[str, ...]
    status: str

    @property
    def energy(self) -> float:
        """``count * unit_price`` [J]."""
        return float(Fraction(self.unit_price) * self.count)


@dataclass(frozen=True, eq=False)
class CostReport:
    """The bill of a run under one technology.

    Parameters
    ----------
    rows : tuple of CostRow
        One for each kind of event that happened.
    program : Program
    spikes : int64 array, (sources,)
        Spikes of each source in the whole run.
    prices : float64 array, (kinds,) [J]
    samples, steps : int
    devices : dict of int
        Devices that hold something, by kind of tile.
    hops : int
        Routing tiles crossed by all spikes.
    critical_path : float [s]
        Crossbar reads and hops on the longest way of a spike within one step, bounded from
        above: a step that is longer is long enough.
    technology : Technology
    """

    rows: tuple[CostRow, ...]
    program: Program
    spikes: NDArray[np.int64]
    prices: NDArray[np.float64]
    samples: int
    steps: int
    devices: dict[str, int]
    hops: int
    critical_path: float
    technology: Technology

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Events by tile, (cells, kinds); kinds as in `mosaic_sim.events.event_names`."""
        return count_events(self.program, self.spikes, self.samples * self.steps)

    @cached_property
    def energy(self) -> float:
        """Energy of the whole run [J]: the sum of the rows, rounded once."""
        return float(sum((Fraction(r.unit_price) * r.count for r in self.rows), Fraction()))

    @property
    def energy_per_inference(self) -> float:
        """Energy of one sample, in the mean [J]."""
        return self.energy / self.samples

    def by_component(self) -> dict[str, float]:
        """Energy of the whole run by component [J]."""
        return {
            component: float(
                sum(
                    (
                        Fraction(r.unit_price) * r.count
                        for r in self.rows
                        if r.component == component
                    ),
                    Fraction(),
                )
            )
            for component in COMPONENTS
        }

    def by_tile(self) -> NDArray[np.float64]:
        """Energy of the whole run by cell of the grid, (cells,) [J]."""
        energy: NDArray[np.float64] = self.counts @ self.prices
        return energy

    def assumptions(self) -> list[tuple[str, Quantity]]:
        """Assumed quantities that this bill really used, with their values and sources."""
        used = {name for row in self.rows for name in row.uses}
        return [(n, self.technology[n]) for n in self.technology.assumptions() if n in used]


def price(
    program: Program,
    recording: Recording | NDArray[np.int64],
    technology: Technology,
    *,
    samples: int | None = None,
    steps: int | None = None,
) -> CostReport:
    """Price a run.

    A device that is read costs ``read_voltage**2 * conductance * read_pulse``; levels are
    evenly spaced conductances from `synapse_lowest` to `synapse_highest`. Powered tiles leak
    for `step_time` at each step. Everything else has its price in the technology file.

    Parameters
    ----------
    program : Program
    recording : Recording, or int64 array, (sources,)
        A run, or the stored spike totals of one (then with `samples` and `steps`).
    technology : Technology

    Returns
    -------
    CostReport

    Raises
    ------
    MosaicError
        If the recording is not of this program.

    Notes
    -----
    No event energy of Mosaic could be verified, so these prices are derived from physical
    quantities; `CostReport.assumptions` lists those that are assumed.
    """
    if isinstance(recording, np.ndarray):
        if samples is None or steps is None or samples < 1 or steps < 1:
            raise MosaicError(
                "Stored spike totals need samples and steps, both at least 1."
            )
        spikes = recording.astype(np.int64)
    else:
        spikes, samples, steps = recording.total, recording.samples, recording.steps
    if spikes.shape != (program.sources,):
        raise MosaicError(
            f"recording has {spikes.size} sources; the program has {program.sources}."
        )
    if samples < 1:
        raise MosaicError("The recording has no samples; there is nothing to price.")
    total = count_totals(program, spikes, samples * steps)
    tariff = _tariff(technology, program.levels)
    prices = unit_prices(technology, program.levels)
    rows = tuple(
        CostRow(
            event, component, int(total[k]), unit, formula, uses, _worst(technology, uses)
        )
        for k, (event, (component, unit, formula, uses)) in enumerate(
            zip(event_names(program.levels), tariff, strict=True)
        )
        if total[k]
    )
    names = event_names(program.levels)
    reads, hops = (int(x) for x in program.path)
    return CostReport(
        rows=rows,
        program=program,
        spikes=spikes,
        prices=prices,
        samples=samples,
        steps=steps,
        devices=device_count(program),
        hops=int(total[names.index("hop")]),
        critical_path=reads * technology["read_pulse"].value
        + hops * technology["hop_latency"].value,
        technology=technology,
    )


def price_writes(writes: int, technology: Technology) -> float:
    """Energy [J] to program that many devices, one pulse each.

    Examples
    --------
    >>> from mosaic_sim import technology_preset
    >>> price_writes(0, technology_preset("rram-130nm"))
    0.0
    """
    return writes * technology["write_energy"].value


def unit_prices(technology: Technology, levels: int) -> NDArray[np.float64]:
    """Price of each kind of event [J], as in `mosaic_sim.events.event_names`."""
    return np.array([unit for _, unit, _, _ in _tariff(technology, levels)])


Entry = tuple[str, float, str, tuple[str, ...]]


def _tariff(technology: Technology, levels: int) -> list[Entry]:
    """(component, unit price [J], formula, quantities used) of every kind of event."""

    def read(conductance: float) -> float:
        return (
            technology["read_voltage"].value ** 2
            * conductance
            * technology["read_pulse"].value
        )

    def leak(name: str) -> Entry:
        power, time = technology[name].value, technology["step_time"].value
        return "static", power * time, f"{name} * step_time", (name, "step_time")

    def flat(component: str, name: str) -> Entry:
        return component, technology[name].value, name, (name,)

    reading = ("read_voltage", "read_pulse")

    def router(name: str) -> Entry:
        formula = f"read_voltage**2 * {name} * read_pulse"
        return "routing", read(technology[name].value), formula, (*reading, name)

    entries = [
        flat("neurons", "neuron_spike_energy"),
        flat("neurons", "neuron_step_energy"),
        flat("routing", "line_energy"),
        flat("routing", "comparator_energy"),
        router("router_hcs"),
        router("router_lcs"),
        leak("neuron_tile_leakage"),
        leak("routing_tile_leakage"),
        ("routing", 0.0, "counted for latency only", ("hop_latency",)),
    ]
    low, high = technology["synapse_lowest"].value, technology["synapse_highest"].value
    for level in range(levels):
        conductance = low + (high - low) * level / (levels - 1)
        formula = (
            f"read_voltage**2 * (synapse_lowest + {level}/{levels - 1} * (synapse_highest - "
            "synapse_lowest)) * read_pulse"
        )
        uses = (*reading, "synapse_lowest", "synapse_highest")
        entries.append(("synapses", read(conductance), formula, uses))
    return entries


def _worst(technology: Technology, uses: tuple[str, ...]) -> str:
    return max((technology[name].status for name in uses), key=STATUSES.index)
