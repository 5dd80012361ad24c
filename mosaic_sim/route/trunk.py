"""A quick router: every tree is a trunk beside the neuron with teeth to its targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_sim import _kernels
from mosaic_sim.route.board import Board
from mosaic_sim.route.negotiated import settle

if TYPE_CHECKING:
    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement, Search
    from mosaic_sim.route.routing import Routing

__all__ = ["trunk"]


def trunk(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    keep: Routing | None,
    rip: bool,
    search: Search,
) -> Routing:
    """Lay the cheapest of four combs for each neuron: time grows with the links, not the chip.

    A comb's trunk runs across (a tree of XY ways) or down; its teeth serve one row of tiles or
    two. Where no comb fits, for external sources and for kept trees that grow, a short tree is
    searched for as `steiner` does; if that fails, trees are negotiated as in `negotiated`.

    Raises
    ------
    RoutingError
        As `negotiated`.
    """
    board = Board(network, chip, placement, keep, rip=rip)
    board.draw(_kernels.comb_trees)
    return settle(board, search)
