"""Counts times prices: what a run costs, and which assumptions the bill rests on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mosaic_sim.area import KINDS_OF_TILE, Area, chip_area
from mosaic_sim.deviations import billed_program, excess_by_cell, stray_events
from mosaic_sim.die import Die
from mosaic_sim.errors import MosaicError
from mosaic_sim.events import STEP, count_events, count_totals, event_names, static_events
from mosaic_sim.image import device_count
from mosaic_sim.quantity import STATUSES, Quantity
from mosaic_sim.tariff import COMPONENTS, tariff, unit_prices, values_of
from mosaic_sim.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mosaic_sim.program import Program
    from mosaic_sim.recording import Recording
    from mosaic_sim.technology import Technology

__all__ = [
    "COMPONENTS",
    "CostReport",
    "CostRow",
    "Elasticity",
    "experts_of",
    "price",
    "price_writes",
    "unit_prices",
]


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
    technology : Technology
    stray : int64 array, (cells, kinds), or None
        Of a die: events that do not follow from the spikes of sources, as coincidences invent
        and lose them.
    excess : int64 array, (cells, kinds), or None
        Of a die: what its rows conducted beyond nominal, where they did.

    Notes
    -----
    Every split is made of whole numbers of events, so that its parts add up to the whole run:
    ``counts_by_kind``, ``counts_by_group``. Energies are those numbers times the prices, each
    rounded once.
    """

    rows: tuple[CostRow, ...]
    program: Program
    spikes: NDArray[np.int64]
    prices: NDArray[np.float64]
    samples: int
    steps: int
    devices: dict[str, int]
    technology: Technology
    stray: NDArray[np.int64] | None = None
    excess: NDArray[np.int64] | None = None

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Events by tile, (cells, kinds); kinds as in `mosaic_sim.events.event_names`."""
        counts = count_events(self.program, self.spikes, self.samples * self.steps)
        for more in (self.stray, self.excess):
            counts = counts if more is None else counts + more
        return counts

    @cached_property
    def energy(self) -> float:
        """Energy of the whole run [J]: the sum of the rows, rounded once."""
        return float(self._energy())

    def _energy(self, component: str | None = None) -> Fraction:
        return sum(
            (
                Fraction(row.unit_price) * row.count
                for row in self.rows
                if component in (None, row.component)
            ),
            Fraction(),
        )

    @property
    def energy_per_inference(self) -> float:
        """Energy of one sample, in the mean [J]."""
        return self.energy / self.samples

    @cached_property
    def hops(self) -> int:
        """Routing tiles crossed by all spikes."""
        return sum(row.count for row in self.rows if row.event == "hop")

    @property
    def neuron_spikes(self) -> int:
        """Spikes of all neurons."""
        return int(self.spikes[self.program.first_neuron :].sum())

    @cached_property
    def synaptic_operations(self) -> int:
        """Programmed synapses read by a spike that arrives: spikes times fan-out."""
        return int(self.spikes @ np.diff(self.program.offsets))

    @property
    def energy_per_spike(self) -> float | None:
        """Energy of the whole run by spike of a neuron [J]; None if none fired."""
        return self.energy / self.neuron_spikes if self.neuron_spikes else None

    @property
    def energy_per_synaptic_operation(self) -> float | None:
        """Energy of the whole run by synaptic operation [J]; None if there was none."""
        operations = self.synaptic_operations
        return self.energy / operations if operations else None

    @cached_property
    def timing(self) -> Timing:
        """How long a step has to be, how fast the chip could go, and its power."""
        technology, static = self.technology, float(self._energy("static")) / self.samples
        reads, hops = (int(x) for x in self.program.path)
        return Timing(
            reads=reads,
            hops=hops,
            read_time=technology["read_pulse"].value + technology["settling_time"].value,
            hop_latency=technology["hop_latency"].value,
            step_time=technology["step_time"].value,
            steps=self.steps,
            dynamic_energy=self.energy_per_inference - static,
            static_energy=static,
        )

    @property
    def critical_path(self) -> float:
        """Longest way of a spike within one step, bounded from above [s]; see `timing`."""
        return self.timing.critical_path

    @cached_property
    def area(self) -> Area:
        """Area of the chip, and of what is switched on."""
        return chip_area(self.program, self.technology)

    # splits ---------------------------------------------------------------------------

    def by_component(self) -> dict[str, float]:
        """Energy of the whole run by component [J]."""
        return {component: float(self._energy(component)) for component in COMPONENTS}

    def counts_by_kind(self) -> dict[str, NDArray[np.int64]]:
        """Events by kind of tile in which they happen, each (kinds,)."""
        kinds = self.program.geometry.kinds
        return {kind: self.counts[kinds == kind].sum(0) for kind in KINDS_OF_TILE}

    def by_kind(self) -> dict[str, float]:
        """Energy of the whole run by kind of tile [J]: ``NT``, ``R0``, ``R1``."""
        return {kind: self._priced(n) for kind, n in self.counts_by_kind().items()}

    def counts_by_group(
        self, groups: Mapping[str, NDArray[np.int64]]
    ) -> dict[str, NDArray[np.int64]]:
        """Events by what causes them, each (kinds,).

        A group causes everything that the spikes of its neurons set off, wherever on the chip:
        rows read in the tiles where they arrive, lines, routing tiles, their own firing; and
        the updates of its neurons at each step. What is read in a layer is thus on the account
        of the layer that sends. What no group causes stands in rows of its own:
        ``(other neurons)`` if there are any, ``(inputs)``, ``(bias line)`` if there is one,
        ``(static)``, the leakage of tiles, and ``(stray spikes)`` of a die on which spikes
        coincide.

        Parameters
        ----------
        groups : mapping of str to int array
            Disjoint sets of neurons, as in `mosaic_sim.Network.groups`.

        Raises
        ------
        MosaicError
            If a group names a neuron that does not exist, or two groups share one.
        """
        program = self.program
        owner = _owners(groups, program.neurons)
        each = program.events.reshape(program.sources, -1)
        time = self.samples * self.steps

        def caused(sources: NDArray[np.int64] | slice) -> NDArray[np.int64]:
            counts: NDArray[np.int64] = self.spikes[sources] @ each[sources]
            return counts

        parts = dict(enumerate(groups)) | ({-1: "(other neurons)"} if -1 in owner else {})
        found: dict[str, NDArray[np.int64]] = {}
        for number, name in parts.items():
            mine = np.flatnonzero(owner == number)
            found[name] = caused(program.first_neuron + mine)
            found[name][STEP] += mine.size * time
        found["(inputs)"] = caused(slice(0, program.inputs))
        if program.bias:
            found["(bias line)"] = caused(slice(program.inputs, program.first_neuron))
        found["(static)"] = np.zeros(each.shape[1], np.int64)
        for kind, tiles in static_events(program).items():
            if kind != STEP:
                found["(static)"][kind] = tiles.sum() * time
        if self.stray is not None:
            found["(stray spikes)"] = self.stray.sum(0)
        return found

    def by_group(self, groups: Mapping[str, NDArray[np.int64]]) -> dict[str, float]:
        """Energy of the whole run by what causes it [J]; see `counts_by_group`."""
        return {name: self._priced(n) for name, n in self.counts_by_group(groups).items()}

    def by_expert(self, groups: Mapping[str, NDArray[np.int64]]) -> dict[str, float]:
        """`by_group`, with the groups of an expert taken together; see `experts_of`."""
        return self.by_group(experts_of(groups))

    def _priced(self, counts: NDArray[np.int64]) -> float:
        """Energy of so many events of each kind [J], rounded once."""
        pairs = zip(self.prices.tolist(), counts.tolist(), strict=True)
        return float(sum((Fraction(p) * n for p, n in pairs if n), Fraction()))

    def by_tile(self) -> NDArray[np.float64]:
        """Energy of the whole run by cell of the grid, (cells,) [J]."""
        energy: NDArray[np.float64] = self.counts @ self.prices
        return energy

    def assumptions(self) -> list[tuple[str, Quantity]]:
        """Assumed quantities that this bill really used, with their values and sources."""
        used = {name for row in self.rows for name in row.uses}
        return [(n, self.technology[n]) for n in self.technology.assumptions() if n in used]

    def sensitivity(self) -> tuple[Elasticity, ...]:
        """Elasticity of the energy to each quantity that the bill used, assumed ones first.

        ``d ln E / d ln q``: by how many per cent the energy changes if the quantity changes by
        one. Prices are polynomials of degree 2 at most in each quantity, for which the central
        difference ``(E(1.5 q) - E(0.5 q)) / E`` is exact.

        Returns
        -------
        tuple of Elasticity
            Assumed ones first, then by size; empty for a run that cost nothing.
        """
        if not self.energy:
            return ()
        value, total = values_of(self.technology), self._energy()
        names = event_names(self.program.levels)
        counts = {names.index(row.event): row.count for row in self.rows}

        def energy(name: str, factor: float) -> Fraction:
            entries = tariff(value | {name: value[name] * factor}, self.program.levels)
            return sum(
                (Fraction(entries[k].price) * n for k, n in counts.items()), Fraction()
            )

        used = dict.fromkeys(name for row in self.rows for name in row.uses)
        found = [
            Elasticity(
                name,
                self.technology[name],
                float((energy(name, 1.5) - energy(name, 0.5)) / total),
            )
            for name in used
        ]
        found.sort(key=lambda e: (e.quantity.status != "assumed", -abs(e.elasticity)))
        return tuple(found)


class Elasticity(NamedTuple):
    """How much the energy depends on one quantity; see `CostReport.sensitivity`."""

    name: str
    quantity: Quantity
    elasticity: float


def experts_of(groups: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """Take groups together whose names start with the same ``expert N``.

    Others are taken together by what stands before the first ``/``, as `mosaic_sim.join` names
    them.

    Examples
    --------
    >>> parts = {"expert 0 network/hidden": [0, 1], "expert 0 gate/out": [2], "eye/out": [3]}
    >>> {name: who.tolist() for name, who in experts_of(parts).items()}
    {'expert 0': [0, 1, 2], 'eye': [3]}
    """
    experts: dict[str, list[NDArray[np.int64]]] = {}
    for name, members in groups.items():
        expert = re.match(r"expert \d+", name)
        key = expert.group() if expert else name.split("/")[0]
        experts.setdefault(key, []).append(np.asarray(members, np.int64))
    return {name: np.concatenate(members) for name, members in experts.items()}


def _owners(groups: Mapping[str, NDArray[np.int64]], neurons: int) -> NDArray[np.int64]:
    """Number of the group of each neuron, -1 without one."""
    owner = np.full(neurons, -1, np.int64)
    names = list(groups)
    for number, (name, members) in enumerate(groups.items()):
        who = np.asarray(members, np.int64)
        if who.size and (who.min() < 0 or who.max() >= neurons):
            raise MosaicError(
                f"groups[{name!r}] names a neuron that does not exist; there are {neurons}."
            )
        taken = who[owner[who] >= 0]
        if taken.size:
            raise MosaicError(
                f"Neuron {taken[0]} is in groups[{names[owner[taken[0]]]!r}] and in "
                f"groups[{name!r}]; its energy can be on one account only."
            )
        owner[who] = number
    return owner


def price(
    program: Program | Die,
    recording: Recording | NDArray[np.int64],
    technology: Technology,
    *,
    samples: int | None = None,
    steps: int | None = None,
) -> CostReport:
    """Price a run.

    A device that is read costs ``read_voltage**2 * conductance * read_pulse``; levels are
    evenly spaced conductances from `synapse_lowest` to `synapse_highest`. Powered tiles leak
    for `step_time` at each step. Everything else has its price in the technology file; see
    `mosaic_sim.tariff`.

    Parameters
    ----------
    program : Program or Die
        A die is billed for the conductances that its devices really have, under the technology
        that it was sampled with.
    recording : Recording, or int64 array, (sources,)
        A run, or the stored spike totals of one (then with `samples` and `steps`).
    technology : Technology

    Returns
    -------
    CostReport

    Raises
    ------
    MosaicError
        If the recording is not of this program, or `technology` is not that of the die.

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
    stray = excess = None
    if isinstance(program, Die):
        die = program
        if technology is not die.technology:
            raise MosaicError(
                f"technology is {technology.name!r}; the die was sampled with "
                f"{die.technology.name!r}, so its conductances mean nothing under another."
            )
        program = billed_program(die)
    else:
        die = None
    if spikes.shape != (program.sources,):
        raise MosaicError(
            f"recording has {spikes.size} sources; the program has {program.sources}."
        )
    if samples < 1:
        raise MosaicError("The recording has no samples; there is nothing to price.")
    total = count_totals(program, spikes, samples * steps)
    if die is not None:
        excess = excess_by_cell(die, spikes)
        if "coincidence" in die.effects:
            rows = getattr(recording, "rows", None)
            if rows is None:
                raise MosaicError(
                    "recording has no rows; where spikes strayed is known from a run of the die "
                    "alone. Give the Recording of simulate(die, ...)."
                )
            stray = stray_events(die, spikes, rows)
            total = total + stray.sum(0)
    names, levels = event_names(program.levels), program.levels
    rows = tuple(
        CostRow(
            event, entry.component, int(total[k]), entry.price, entry.formula, entry.uses,
            _worst(technology, entry.uses),
        )
        for k, (event, entry) in enumerate(
            zip(names, tariff(values_of(technology), levels), strict=True)
        )
        if total[k]
    )  # fmt: skip
    return CostReport(
        rows=rows,
        program=program,
        spikes=spikes,
        prices=unit_prices(technology, levels),
        samples=samples,
        steps=steps,
        devices=device_count(program if die is None else die.nominal),
        technology=technology,
        stray=stray,
        excess=excess,
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


def _worst(technology: Technology, uses: tuple[str, ...]) -> str:
    return max((technology[name].status for name in uses), key=STATUSES.index)
