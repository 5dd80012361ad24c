"""As many connections as there are lines for, where not all of them fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mosaic_sim.errors import MosaicError
from mosaic_sim.place.placement import check_sites
from mosaic_sim.route.board import Board
from mosaic_sim.route.routing import check_links, overloads

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement
    from mosaic_sim.route.routing import Routing

__all__ = ["Partial", "route_most"]


class Partial(NamedTuple):
    """What `route_most` has laid.

    Attributes
    ----------
    routing : Routing
        Legal for the network without what is missed.
    missed : int64 array, (k, 2)
        (source, tile) of connections for which no line was left.
    over : tuple of str
        Sides that shortest trees of all connections would overload, the worst first.
    """

    routing: Routing
    missed: NDArray[np.int64]
    over: tuple[str, ...]


def route_most(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    keep: Routing | None = None,
    order: ArrayLike | None = None,
) -> Partial:
    """Lay trees one source after another over free lines, and say what is left out.

    Parameters
    ----------
    network, chip, placement
        As for `mosaic_sim.route.route`.
    keep : Routing, optional
        Trees that are laid first, less what leads nowhere any more; they only grow.
    order : int array, (sources,), optional
        Which sources come first; those with most targets by default.

    Raises
    ------
    MosaicError
        If `order` does not name each source once, or `placement` or `keep` do not belong to
        this network and chip. The placement may bring more sources to a tile than it has lines.

    Examples
    --------
    Two neurons of the left tile are wanted in the right one, whose sides have one line each:

    >>> from mosaic_sim import Chip, Network, Placement
    >>> net = Network.from_synapses(
    ...     inputs=0, neurons=3, source=[0, 1], target=[2, 2], weight=[1.0, 1.0], delay=1
    ... )
    >>> chip = Chip(1, 2, neurons_per_tile=2, tile_lines=1, r0_lines=1, r1_lines=2)
    >>> where = Placement(*(np.array(x, np.int32) for x in ([0, 0, 1], [0, 1, 0], [])))
    >>> route_most(net, chip, where).missed.size
    0
    >>> shut = chip.with_faults(routers=chip.kinds == "R0")
    >>> route_most(net, shut, where).missed.tolist()
    [[1, 1]]
    """
    check_sites(chip, placement, network.neurons, network.first_neuron)
    if keep is not None:
        check_links(chip, keep)
    board = Board(network, chip, placement, keep, rip=True)
    if order is None:
        first = np.argsort(-np.diff(board.offsets), kind="stable")
    else:
        first = np.asarray(order)
        if first.shape != (network.sources,) or not np.array_equal(
            np.sort(first), np.arange(network.sources)
        ):
            raise MosaicError(f"order must name each of {network.sources} sources once.")
    board.lay(first[board.state[first] == 1], press=-1.0)
    offsets, links = board.trees()
    source = np.repeat(np.arange(network.sources), np.diff(offsets))
    ends = source * chip.cells + chip.neighbours.ravel()[links]
    wanted = np.repeat(np.arange(network.sources), np.diff(board.offsets))
    lost = ~np.isin(wanted * chip.cells + board.goals, ends)
    tile = np.full(chip.cells, -1)
    tile[chip.tile_cells] = np.arange(chip.tiles)
    missed = np.column_stack([wanted[lost], tile[board.goals[lost]]])
    over: tuple[str, ...] = ()
    if missed.size:
        free = Board(network, chip, placement)
        free.lay(first)
        over = tuple(overloads(chip, free.load.reshape(-1, 4)))
    return Partial(board.routing((offsets, links)), missed, over)
