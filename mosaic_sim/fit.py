"""Which chip a network needs: the smallest legal one, and what less energy would cost in devices.

Tiles of many neurons need fewer lines between them, but every spike that arrives reads a longer
row, and a row has more devices; routing tiles cost with the square of their lines. So several
sizes of tile are tried, each with the least lines that a routing is found for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mosaic_sim.area import chip_area
from mosaic_sim.chip import MOST_LINES, Chip
from mosaic_sim.compile import compile_program
from mosaic_sim.errors import CapacityError, MosaicError
from mosaic_sim.events import static_events
from mosaic_sim.place import place, tiles_reached
from mosaic_sim.place.objective import check_rates, hop_cost
from mosaic_sim.progress import progress_bar
from mosaic_sim.recording import Recording
from mosaic_sim.route import route
from mosaic_sim.tariff import unit_prices
from mosaic_sim.technology import technology_preset

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.device import Device
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement, Placer
    from mosaic_sim.program import Program
    from mosaic_sim.route import Router, Routing
    from mosaic_sim.technology import Technology

__all__ = ["Candidate", "Fit", "energy_of_rates", "fit", "least_lines"]

TILES = (8, 16, 32, 64, 128, 256)
"""Neurons a tile that are tried by default."""
ROUTINGS = 200
"""Routings for each size of tile that a search of effort 1 may try."""

STRETCH = 2.0
"""Factor by which the shape of a chip may miss the aspect to save tiles."""

Lines = tuple[int, int, int]
"""Lines a side of a neuron tile, an R0 and an R1."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A chip that holds the network, with its layout and its price.

    Parameters
    ----------
    chip : Chip
    placement, routing
        That show that it does.
    devices : int
        RRAM devices that are built, `Chip.devices` in all.
    energy : float
        Of one inference with the given rates [J].
    area : float
        Of the chip [m2].
    hops : float
        Cost H of the placement: rates times hops.
    complete : bool
        Whether the search for lines came to its end: every number of lines with fewer devices
        was tried, or has less of everything than one that was.
    """

    chip: Chip
    placement: Placement
    routing: Routing
    devices: int
    energy: float
    area: float
    hops: float
    complete: bool


@dataclass(frozen=True, eq=False)
class Fit:
    """What `fit` found.

    Parameters
    ----------
    candidates : tuple of Candidate
        Legal chips, by devices, then energy.
    refused : dict of int to str
        Neurons a tile for which none was found, and why.
    technology : Technology
    """

    candidates: tuple[Candidate, ...]
    refused: dict[int, str]
    technology: Technology

    @property
    def best(self) -> Candidate:
        """The candidate with the fewest devices."""
        return self.candidates[0]

    @property
    def chip(self) -> Chip:
        """The smallest legal chip: that of `best`."""
        return self.best.chip

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Candidates that no other beats in both devices and energy, by devices."""
        front: list[Candidate] = []
        for one in self.candidates:
            if not front or one.energy < front[-1].energy:
                front.append(one)
        return tuple(front)

    def __str__(self) -> str:
        """Table of all candidates; those of the front have a star."""
        head = ("", "tiles", "neurons a tile", "lines NT/R0/R1", "devices", "energy [nJ]",
                "area [mm2]", "hops")  # fmt: skip
        front = self.front
        rows = [head]
        for one in self.candidates:
            chip = one.chip
            rows.append((
                "*" if one in front else "", f"{chip.rows} x {chip.columns}",
                str(chip.neurons_per_tile),
                f"{chip.tile_lines}/{chip.r0_lines}/{chip.r1_lines}",
                f"{one.devices:,}", f"{one.energy * 1e9:,.4g}", f"{one.area * 1e6:,.4g}",
                f"{one.hops:,.6g}",
            ))  # fmt: skip
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(text.rjust(width) for text, width in zip(row, wide, strict=True))
            for row in rows
        ]
        lines += [f"{k} neurons a tile: {why}" for k, why in self.refused.items()]
        return "\n".join(lines)


def fit(
    network: Network,
    *,
    rates: ArrayLike | Recording | None = None,
    steps: int = 1,
    technology: Technology | None = None,
    tile_sizes: Sequence[int] | None = None,
    aspect: float = 1.0,
    spare: float = 0.0,
    device: Device | None = None,
    placer: Placer | str | None = None,
    router: Router | str | None = None,
    effort: float = 1.0,
    seed: int = 0,
    progress: bool | None = None,
) -> Fit:
    """Find the smallest chip that holds a network, and the front of devices against energy.

    For each size of tile: as few tiles as hold the neurons, placed with plenty of lines; then
    the numbers of lines with the fewest devices for which a routing is found (`least_lines`).

    Parameters
    ----------
    network : Network
    rates : array, (sources,), or Recording, optional
        Spikes of each source in one inference; of a recording, in the mean of its samples. 1
        each by default.
    steps : int
        Steps of an inference, for what is spent in every step. A recording brings its own.
    technology : Technology, optional
        ``rram-130nm`` by default.
    tile_sizes : sequence of int, optional
        Neurons a tile to try; by default `TILES` below the number of neurons, and that number
        itself if it is not above.
    aspect : float
        Columns of tiles by rows: 1 is square. Up to twice or half as much if that saves tiles.
    spare : float
        Share of free slots beside the neurons, for growth: 0.15 gives room for 15 % more.
    device : Device, optional
        As for `mosaic_sim.compile_program`.
    placer, router, seed
        As for `mosaic_sim.place` and `mosaic_sim.route`; theirs by default.
    effort : float
        Of the placer; and the search for lines may try ``200 * effort`` routings a size.
    progress : bool or None
        As for `mosaic_sim.place`.

    Returns
    -------
    Fit
        On Ctrl-C, of the sizes that are done.

    Raises
    ------
    CapacityError
        If no size of tile gives a legal chip; with the reason for each.
    MosaicError
        If `rates`, `tile_sizes` or another argument is out of its range.

    Examples
    --------
    >>> from mosaic_sim import Network
    >>> net = Network.from_synapses(
    ...     inputs=1, neurons=2, source=[0, 1], target=[0, 1], weight=[1.0, 1.0]
    ... )
    >>> found = fit(net, tile_sizes=[1, 2])
    >>> (found.chip.rows, found.chip.columns), found.best.devices
    ((1, 2), 228)
    """
    if isinstance(rates, Recording):
        steps = rates.steps
        rate = check_rates(network, rates.total / max(rates.samples, 1))
    else:
        rate = check_rates(network, rates)
    technology = technology or technology_preset("rram-130nm")
    sizes = _sizes(network, tile_sizes)
    for name, value, least in (
        ("aspect", aspect, 1e-9),
        ("spare", spare, 0),
        ("effort", effort, 0),
    ):
        if not (np.isfinite(value) and value >= least):
            raise MosaicError(
                f"{name} is {value!r}; it needs a finite number of at least {least:g}."
            )
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
        raise MosaicError(f"steps is {steps!r}; it needs a whole number from 0.")
    placing: dict[str, Any] = {
        "rates": rate,
        "effort": effort,
        "seed": seed,
        "progress": False,
    }
    placing |= {} if placer is None else {"placer": placer}
    candidates: list[Candidate] = []
    refused: dict[int, str] = {}
    with progress_bar("fit", len(sizes), progress) as bar:
        for number, size in enumerate(sizes):
            try:
                roomy = _roomy(network, size, aspect, spare)
                placement = place(network, roomy, **placing)
                found, complete = least_lines(
                    network,
                    roomy,
                    placement,
                    router=router,
                    routings=int(ROUTINGS * effort),
                )
            except CapacityError as error:
                refused[size] = str(error)
                continue
            except KeyboardInterrupt:
                if not candidates:
                    raise
                refused |= dict.fromkeys(sizes[number:], "interrupted")
                break
            hops = hop_cost(network, roomy, placement, rate)
            for chip, routing in found.items():
                program = compile_program(network, chip, placement, routing, device=device)
                candidates.append(
                    Candidate(
                        chip, placement, routing, sum(chip.devices.values()),
                        energy_of_rates(program, rate, steps, technology),
                        chip_area(program, technology).total, hops, complete,
                    )
                )  # fmt: skip
            bar(1, f"{min(c.devices for c in candidates):,} devices")
    if not candidates:
        reasons = "; ".join(
            f"{size} neurons a tile: {why}" for size, why in refused.items()
        )
        raise CapacityError(f"No chip was found for this network. {reasons}")
    candidates.sort(key=lambda c: (c.devices, c.energy))
    return Fit(tuple(candidates), refused, technology)


def energy_of_rates(
    program: Program, rates: NDArray[np.float64], steps: int, technology: Technology
) -> float:
    """Energy of an inference in which each source spikes as often as `rates` says [J].

    Parameters
    ----------
    program : Program
    rates : float64 array, (sources,)
        Spikes of each source; they need not be whole numbers.
    steps : int
        Steps of the inference.
    technology : Technology
    """
    prices = unit_prices(technology, program.levels)
    events = program.events.reshape(program.sources, -1)
    always = sum(
        float(prices[kind]) * int(cells.sum())
        for kind, cells in static_events(program).items()
    )
    return float(rates @ (events @ prices)) + steps * always


def _sizes(network: Network, tile_sizes: Sequence[int] | None) -> list[int]:
    if tile_sizes is None:
        below = [k for k in TILES if k < network.neurons]
        return below + ([network.neurons] if 0 < network.neurons <= TILES[-1] else [])
    sizes = list(dict.fromkeys(tile_sizes))
    wrong = [
        k
        for k in sizes
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1
    ]
    if wrong or not sizes:
        raise MosaicError(
            f"tile_sizes is {list(tile_sizes)}; it needs one or more numbers of neurons from 1."
        )
    return [int(k) for k in sizes]


def _roomy(network: Network, size: int, aspect: float, spare: float) -> Chip:
    """Give the network as few tiles as hold it, near the aspect, with plenty of lines."""
    tiles = max(1, math.ceil(math.ceil(network.neurons * (1 + spare)) / size))
    high = math.sqrt(tiles / aspect)
    shapes = []
    for rows in range(max(1, math.floor(high / 1.5)), math.ceil(high * 1.5) + 1):
        columns = -(-tiles // rows)
        off = abs(math.log(columns / rows / aspect))
        shapes.append((off > math.log(STRETCH), rows * columns, off, rows, columns))
    *_, rows, columns = min(shapes)
    # No side ever carries more than all sources.
    lines = min(max(network.sources, size, 1), MOST_LINES)
    if size > MOST_LINES:
        raise CapacityError(
            f"A side has at most {MOST_LINES} lines; a tile has {size} neurons."
        )
    return Chip(rows, columns, size, lines, lines, lines)


# --- lines ------------------------------------------------------------------------------


def least_lines(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    router: Router | str | None = None,
    routings: int = ROUTINGS,
) -> tuple[dict[Chip, Routing], bool]:
    """Find the fewest lines a side for which a placed network can be routed.

    First one kind of tile after the other gets the least lines, in two orders; then every
    combination with fewer devices is looked at, fewest R1 lines first. What cannot be routed
    is taken not to be with less of something either, which holds for legal routings but not
    always for what a router finds.

    Parameters
    ----------
    chip : Chip
        With more than enough lines; only these change.
    routings : int
        How many routings may be tried, beyond those of the first orders.

    Returns
    -------
    found : dict of Chip to Routing
        Fewest devices first, then the others that the orders ended at.
    complete : bool
        Whether all combinations were looked at.

    Raises
    ------
    CapacityError
        If not even `chip` can be routed.
    """
    choose: dict[str, Any] = {"progress": False}
    if router is not None:
        choose["router"] = router
    seen: dict[Lines, Routing] = {}
    illegal: list[Lines] = []
    tried = 0

    def with_lines(lines: Lines) -> Chip:
        return replace(chip, tile_lines=lines[0], r0_lines=lines[1], r1_lines=lines[2])

    bill = _DevicesOfLines.of(chip)

    def legal(lines: Lines) -> bool:
        nonlocal tried
        if lines in seen:
            return True
        if any(all(a <= b for a, b in zip(lines, bad, strict=True)) for bad in illegal):
            return False
        tried += 1
        try:
            seen[lines] = route(network, with_lines(lines), placement, **choose)
        except CapacityError:
            illegal.append(lines)
            return False
        return True

    least = _bounds(network, chip, placement)
    most = (chip.tile_lines, chip.r0_lines, chip.r1_lines)
    seen[most] = route(network, chip, placement, **choose)
    used = _used(chip, seen[most], least)
    start = used if legal(used) else most
    ends = []
    for order in ((2, 1, 0), (1, 2, 0)):
        lines = start
        for kind in order:
            lines = _fewest(lines, kind, least[kind], legal)
        ends.append(lines)
    best = min(ends, key=bill.total)

    budget = tried + routings
    complete = True
    for r1 in range(least[2], most[2] + 1):
        # Every link ends at an R1, so more lines elsewhere than there are of no use.
        widest = min(r1, bill.most_r0(least[0], r1, bill.total(best)))
        if widest < least[1]:
            break
        for into in range(least[0], r1 + 1):
            top = into, min(r1, bill.most_r0(into, r1, bill.total(best))), r1
            if top[1] < least[1]:
                break
            if tried >= budget:
                complete = False
                break
            # The first of a row also stands for all after it: with as many lines into tiles.
            if into == least[0] and not legal((r1, widest, r1)):
                break
            if legal(top):
                best = _fewest(top, 1, least[1], legal)
    found = dict.fromkeys([best, *sorted(ends, key=bill.total)])
    return {with_lines(lines): seen[lines] for lines in found}, complete


class _DevicesOfLines(NamedTuple):
    """Devices of a chip, by the lines of its three kinds of tile."""

    none: int
    into: int
    r0: int
    r1: int

    @classmethod
    def of(cls, chip: Chip) -> _DevicesOfLines:
        one, two = (replace(chip, tile_lines=k).devices["NT"] for k in (1, 2))
        devices = chip.devices
        return cls(
            2 * one - two, two - one, devices["R0"] // chip.r0_lines**2,
            devices["R1"] // chip.r1_lines**2,
        )  # fmt: skip

    def total(self, lines: Lines) -> int:
        """Devices with so many lines."""
        return (
            self.none
            + self.into * lines[0]
            + self.r0 * lines[1] ** 2
            + self.r1 * lines[2] ** 2
        )

    def most_r0(self, into: int, r1: int, below: int) -> int:
        """Most lines of an R0 with which the chip has fewer devices than `below`, or 0."""
        left = below - 1 - self.total((into, 0, r1))
        return math.isqrt(left // self.r0) if left > 0 else 0


def _fewest(lines: Lines, kind: int, least: int, legal: Callable[[Lines], bool]) -> Lines:
    """Bisect one of three numbers of lines, down from a legal one."""

    def at(x: int) -> Lines:
        changed = list(lines)
        changed[kind] = x
        return changed[0], changed[1], changed[2]

    low, high = least, lines[kind]
    while low < high:
        middle = (low + high) // 2
        if legal(at(middle)):
            high = middle
        else:
            low = middle + 1
    return at(high)


def _bounds(network: Network, chip: Chip, placement: Placement) -> Lines:
    """Lines without which no routing can be legal."""
    offsets, reached = tiles_reached(network, placement, chip)
    source = np.repeat(np.arange(network.sources), np.diff(offsets))
    home = np.full(network.sources, -1)
    home[network.first_neuron :] = placement.tile
    arriving = np.bincount(reached[home[source] != reached], minlength=1).max()
    entering = np.bincount(placement.port, minlength=1).max()
    return max(1, -(-int(arriving) // 4)), 1, max(chip.neurons_per_tile, int(entering))


def _used(chip: Chip, routing: Routing, least: Lines) -> Lines:
    """Lines that a routing uses: on the busiest side of each kind of tile."""
    load = routing.load(chip)
    into = np.zeros_like(load)
    for side in range(4):
        there = chip.neighbours[:, side]
        into[there[there >= 0], (side + 2) % 4] = load[there >= 0, side]
    busiest = np.maximum(into, np.where(chip.is_router[:, None], load, 0)).max(1)
    kinds = chip.kinds
    tile, r0, r1 = (int(busiest[kinds == kind].max()) for kind in ("NT", "R0", "R1"))
    return max(tile, least[0]), max(r0, least[1]), max(r1, least[2])
