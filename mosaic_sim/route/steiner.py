"""A router of short trees: source by source, over links that still have a line free.

Each tree grows from what it has to the nearest goal that it misses (Takahashi and Matsuyama,
Math. Japonica 24, 1980), past the next one where ways are equally short; then its key paths,
the parts between branches, are exchanged for shorter ones (Voss, Discrete Applied Mathematics
40, 1992). Of two such trees, that take goals equally far in opposite orders, the shorter is
laid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import RoutingError
from mosaic_sim.route.board import Board
from mosaic_sim.route.routing import overloads

if TYPE_CHECKING:
    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement, Search
    from mosaic_sim.route.routing import Routing

__all__ = ["steiner"]


def steiner(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    keep: Routing | None,
    rip: bool,
    search: Search,
) -> Routing:
    """Route sources with most goals first, each by a short tree over free lines.

    No tree is taken up again once it lies: what that costs in lines, `negotiated` shows.

    Raises
    ------
    RoutingError
        If a goal cannot be reached over free lines; the message names the sides that would be
        overloaded if lines were not counted.
    """
    board = Board(network, chip, placement, keep, rip=rip)
    order = np.argsort(-np.diff(board.offsets), kind="stable")
    if not board.lay(order[board.state[order] == 1], press=-1.0):
        return board.routing()
    stuck = int(np.flatnonzero(board.state)[0])
    missed = _missed(board, stuck)
    free = Board(network, chip, placement)
    free.lay(order)
    named = overloads(chip, free.load.reshape(-1, 4))
    reason = (
        "shortest routes would overload " + "; ".join(named[:8])
        if named
        else "shortest routes alone would fit, but not beside those that are kept"
    )
    more = f" and {len(named) - 8} more sides" if len(named) > 8 else ""
    raise RoutingError(
        f"Source {stuck} cannot reach {chip.cell_name(missed)} over free lines: "
        f"{reason}{more}. Use the router negotiated, more lines a side, smaller fan-in, or "
        "another placement."
    )


def _missed(board: Board, source: int) -> int:
    """Return a goal that the tree of `source` does not reach."""
    offsets, links = board.trees()
    own = links[offsets[source] : offsets[source + 1]]
    reached = board.chip.neighbours.ravel()[own]
    goals = board.goals[board.offsets[source] : board.offsets[source + 1]]
    return int(goals[~np.isin(goals, reached)][0])
