"""Fitting new neurons into a chip that is programmed already.

A neuron that arrives goes where it adds least to H, the cost of `hop_cost`: a source that
reaches a tile anyway adds nothing there. *Frozen*, nothing that is programmed moves. With
*ripple*, neurons in the way may be pushed to a neighbouring tile, whose neurons push others,
until a tile has room; each programmed neuron that ends up elsewhere has a price.

Source: ejection chains after Glover, Discrete Applied Mathematics 65 (1996) 223-253; the
cheapest one by the algorithm of Dijkstra (1959), as rows of cells are legalised in chip design
(Brenner, Struzyna and Vygen, IEEE TCAD 27 (2008) 1607-1620).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import CapacityError, MosaicError
from mosaic_sim.place.objective import check_rates
from mosaic_sim.place.placement import Placement, check_sites, spread_ports
from mosaic_sim.place.seats import (
    Moves,
    links,
    mean_pair_cost,
    room,
    seats_of,
    slots_of,
    workspace,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.objective import Search
    from mosaic_sim.technology import Technology

__all__ = [
    "FROZEN",
    "GROWING",
    "RIPPLE",
    "Growing",
    "grow",
    "insertion_costs",
    "moved",
    "moving_price",
]

WIDTH = 4
"""Best tiles whose neurons are tried for a change of places."""
FAR = 32
"""Tiles, at most, in a chain of new neurons: there are few on each tile, and they are free."""


@dataclass(frozen=True, eq=False)
class Growing:
    """How new neurons are fitted in.

    Parameters
    ----------
    price : float, optional
        Of one programmed neuron that ends up elsewhere, in units of H: see `moving_price`.
        Infinite: nothing that is programmed moves. None: what one source pays on average for
        one foreign tile that it reaches.
    depth : int
        Tiles, at most, in a chain of pushed neurons with programmed ones among them.
    passes : int
        How often, at an effort of 1, every new neuron is taken out and fitted in again, in
        the end: first between new ones, which are not programmed yet, then, at a finite
        `price`, between all.
    line_price : float
        Price, in units of H, of one more line into a tile that has one left; with k left it
        costs the k-th part.
    load_price : float
        Price of one more line into a tile around which all links are full; see `load`.
    load : array, (cells, 4), optional
        Share of the lines of each link that is in use, as `Chip.capacity` counts links.
    """

    price: float | None = np.inf
    depth: int = 8
    passes: int = 1
    line_price: float = 0.0
    load_price: float = 1.0
    load: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name, least in (("depth", 0), ("passes", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise MosaicError(
                    f"Growing.{name} is {value!r}; it needs an integer of at least {least}."
                )
        for name in ("price", "line_price", "load_price"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise MosaicError(f"Growing.{name} is {value!r}; it needs a number >= 0.")


FROZEN = Growing()
RIPPLE = Growing(price=None)
GROWING = {"frozen": FROZEN, "ripple": RIPPLE}
"""Ways to grow by name."""


def grow(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None,
    rates: NDArray[np.float64],
    allowed: NDArray[np.bool_] | None,
    search: Search,
    growing: Growing = FROZEN,
) -> Placement:
    """Fit the neurons that `keep` does not place in between those that it does.

    Neurons arrive in the order of their links to neurons that have a place, and go where they
    add least; new ones that are there already may be pushed aside along a chain of tiles.
    Then each new one is taken out and fitted in again. So far nothing programmed moves. With
    a finite price, each new one is fitted in once more, and may push programmed ones, if that
    saves more than they cost: H and the price of what moved never exceed H of frozen growth.

    Raises
    ------
    CapacityError
        If a neuron fits nowhere.
    """
    port = spread_ports(network, chip, keep)
    slots = room(chip)
    kept = 0 if keep is None else keep.tile.size
    linked = links(network)
    order = _kernels.arrival_order(network.first_neuron, *linked, kept)
    seats, base = seats_of(
        network, chip, port, keep, rates=rates, slots=slots, allowed=allowed,
        crowd=_crowd(chip, growing), scarce=growing.line_price, linked=linked,
    )  # fmt: skip
    price = mean_pair_cost(seats, base) if growing.price is None else growing.price
    ripple = bool(kept) and price < np.inf
    passes = round(growing.passes * search.effort)
    new = np.arange(kept, network.neurons, dtype=np.int32)
    run = Moves(
        seats, workspace(chip, network.neurons, slots), search, base,
        order.size * (1 + passes * (1 + ripple)),
    )  # fmt: skip
    # A neuron that may use a single tile has nowhere else to go.
    free = allowed is None or bool((allowed[kept:].sum(1) > 1).any())
    far = FAR if free else 0

    def waiting() -> NDArray[np.int32]:
        unplaced: NDArray[np.int32] = order[seats.home[network.first_neuron + order] < 0]
        return unplaced

    try:
        try:
            run.seat(order, far, 0)
        except CapacityError:
            if not ripple:
                raise
            seats.price[:kept] = price
            run.seat(waiting(), growing.depth, 0)
        for _ in range(passes if free else 0):
            if not run.seat(new, far, WIDTH):
                break
        if ripple:
            seats.price[:kept] = price
            run.work.stale[:] = True
            for _ in range(passes):
                if not run.seat(new, growing.depth, 1):
                    break
    except KeyboardInterrupt:
        # The kernel was not interrupted, so what is placed is legal: place the others at once.
        run.seat(waiting(), far, 0)
    tile = seats.home[network.first_neuron :].copy()
    return Placement(tile, slots_of(chip, tile, keep), port)


def moved(old: Placement, new: Placement) -> NDArray[np.int64]:
    """Return the neurons of `old` that sit on another tile or slot in `new`.

    Examples
    --------
    >>> sites = [np.array(x, "i4") for x in ([0, 0], [0, 1], [0, 3], [])]
    >>> moved(Placement(*sites[:2], sites[3]), Placement(*sites[::2], sites[3]))
    array([1])
    """
    kept = old.tile.size
    if new.tile.size < kept:
        raise MosaicError(
            f"new places {new.tile.size} neurons; it needs the {kept} of old, and any more."
        )
    return np.flatnonzero((new.tile[:kept] != old.tile) | (new.slot[:kept] != old.slot))


def insertion_costs(
    network: Network, chip: Chip, keep: Placement, *, rates: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return what the first new neuron would add to H on each tile, (tiles,).

    Only synapses with neurons that `keep` places, and with inputs, count. Infinity where there
    is no free slot, or no free line for what would arrive there or at a tile that the neuron
    feeds.

    Raises
    ------
    MosaicError
        If `keep` places no neuron less than the network has, or does not fit the chip.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network
    >>> net = Network.from_synapses(inputs=0, neurons=2, source=[0], target=[1], weight=1.0)
    >>> one = Placement(np.zeros(1, "i4"), np.zeros(1, "i4"), np.zeros(0, "i4"))
    >>> insertion_costs(net, Chip(1, 3, 1, 1, 1, 1), one)
    array([inf,  1.,  5.])
    """
    kept, inputs = keep.tile.size, keep.port.size
    if kept >= network.neurons or inputs > network.first_neuron:
        raise MosaicError(
            f"keep places {kept} neurons and {inputs} inputs; the network has "
            f"{network.neurons} and {network.first_neuron}, and one neuron has to be new."
        )
    check_sites(chip, keep, kept, inputs, "keep")
    slots = room(chip)
    port = spread_ports(network, chip, keep)
    seats, _ = seats_of(
        network, chip, port, keep, rates=check_rates(network, rates), slots=slots
    )
    work = workspace(chip, network.neurons, slots)
    _kernels.insertion_costs(seats, work, kept)
    return np.where(seats.free > 0, work.cost, np.inf)


def moving_price(
    network: Network,
    chip: Chip,
    technology: Technology,
    *,
    inferences: float,
    devices: float | None = None,
) -> float:
    """Price of one moved neuron in units of H: the energy to write it, over that of a hop.

    A spike that crosses one routing tile reads and compares a row of an R1 and drives a line.
    Moving a neuron pays if it saves more hops, over all inferences, than its writing costs.

    Parameters
    ----------
    technology : Technology
    inferences : float
        For which the layout will be used: the horizon. H has to be for one inference, from
        rates in spikes an inference.
    devices : float, optional
        Devices written for one moved neuron; by default twice the mean number of synapses of
        a neuron: one device of each pair, cleared in the old column and set in the new.

    Raises
    ------
    MosaicError
        If `inferences` is not above 0, or `devices` below 0.

    Examples
    --------
    >>> from mosaic_sim import Network, chip_preset, technology_preset
    >>> net = Network.from_synapses(inputs=0, neurons=2, source=[0], target=[1], weight=1.0)
    >>> write = chip_preset("demo"), technology_preset("rram-130nm")
    >>> moving_price(net, *write, inferences=1) / moving_price(net, *write, inferences=1000)
    1000.0
    """
    if not inferences > 0:
        raise MosaicError(f"inferences is {inferences!r}; it needs a number above 0.")
    if devices is None:
        devices = 2 * network.synapses / max(network.neurons, 1)
    if not devices >= 0:
        raise MosaicError(f"devices is {devices!r}; it needs a number >= 0.")
    columns = 4 * chip.r1_lines
    read = technology["read_voltage"].value ** 2 * technology["read_pulse"].value
    row = technology["router_hcs"].value + (columns - 1) * technology["router_lcs"].value
    hop = read * row + columns * technology["comparator_energy"].value
    hop += technology["line_energy"].value
    return devices * technology["write_energy"].value / (hop * inferences)


def _crowd(chip: Chip, growing: Growing) -> NDArray[np.float64] | None:
    """Price of one more line into each tile: how full the links of the routers around it are."""
    if growing.load is None or not growing.load_price:
        return None
    load = np.asarray(growing.load, np.float64)
    if load.shape != (chip.cells, 4) or not np.isfinite(load).all() or (load < 0).any():
        raise MosaicError(
            f"Growing.load has shape {load.shape}; it needs a finite number >= 0 for each side "
            f"of each cell: ({chip.cells}, 4)."
        )
    linked = chip.capacity > 0
    fill = np.where(linked, load, 0).sum(1) / np.maximum(linked.sum(1), 1)
    around = chip.neighbours[chip.tile_cells]
    around = np.concatenate([around, *(chip.neighbours[around[:, k]] for k in (0, 2))], 1)
    around[around == chip.tile_cells[:, None]] = -1
    routers = around >= 0
    crowd: NDArray[np.float64] = np.where(routers, fill[around], 0).sum(1)
    crowd *= growing.load_price / routers.sum(1)
    return crowd
