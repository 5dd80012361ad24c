"""The default router: trees bargain for lines until no link carries too many.

Every tree is laid as cheaply as it can be, sharing links with others beyond their capacity if
it must; an overfull link then costs more, and more again each round that it stays overfull.
Trees on overfull links are laid anew, one by one, until those for which a detour is cheap have
left to those for which it is not. Last, with every full link shut, trees are laid anew where
that makes them shorter.

Source: PathFinder, McMurchie and Ebeling, FPGA 1995; here a tree that lies well is only taken
up while one of its links is overfull at that moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import RoutingError
from mosaic_sim.route.board import Board
from mosaic_sim.route.bounds import cut_bound
from mosaic_sim.route.routing import overloads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement, Search
    from mosaic_sim.route.routing import Routing

__all__ = ["negotiate", "negotiated", "settle"]

PRESS, GROWTH, MOST_PRESS = 0.05, 2.0, 50.0
"""Price of one source too many, in links: at first, from round to round, and at most."""
GRUDGE = 0.3
"""What the most overfull link costs more for ever after each round, in links; others less."""
WHOLE = 6
"""Every so many rounds trees on overfull links are laid anew as a whole, not path by path."""
PATIENCE = 40
"""Rounds without progress after which there is no hope."""
ALONE = 12
"""Rounds in which only new and changed trees move, before kept ones may be taken up."""


def negotiated(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    keep: Routing | None,
    rip: bool,
    search: Search,
) -> Routing:
    """Lay short trees and let them bargain for lines until they are legal.

    Raises
    ------
    RoutingError
        If no legal routing is found, or the search is interrupted before one is.
    """
    board = Board(network, chip, placement, keep, rip=rip)
    return negotiate(board, search)


def settle(board: Board, search: Search) -> Routing:
    """Complete trees of which some may be missing, and move others only if that is needed."""
    missing = np.flatnonzero(board.state)
    if not board.lay(missing, press=-1.0) and not board.over().any():
        return board.routing()
    return negotiate(board, search)


def negotiate(board: Board, search: Search) -> Routing:
    """Lay all that is missing on the board and move trees until no link is overfull."""
    found: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None
    turn, left, tries = 0, -1, 1 if search.effort < 2 else 2
    # What was kept and may yet move only does so to make room.
    loose = np.flatnonzero(board.length == 0) if board.rip else board.every
    try:
        turn, left = _bargain(board, search)
        if left == 0:
            found = board.trees()
            for _ in range(round(search.effort)):
                before = found[1].size
                board.lay(loose, press=-1.0, tries=tries, shorter=True)
                found = board.trees()
                if found[1].size > 0.999 * before:
                    break
    except KeyboardInterrupt:
        if found is None:
            raise RoutingError(_interrupted(board)) from None
    if found is None:
        raise RoutingError(_refusal(board, search, turn))
    return board.routing(found)


def _bargain(board: Board, search: Search) -> tuple[int, int]:
    """Rounds of PathFinder; return how many there were, and the sources too many at the end."""
    movable = np.flatnonzero(board.state)
    alone = ALONE if 0 < movable.size < board.state.size else 0
    history = np.zeros(board.load.size, np.float32)
    press = PRESS
    least, since, turn = -1, 0, 0
    patience = max(4, round(PATIENCE * search.effort))
    while True:
        order = movable if turn < alone else board.every
        if board.lay(order, history, press, tries=1, patch=turn % WHOLE != WHOLE - 1):
            raise RoutingError(_cut_off(board))
        turn += 1
        over = board.over()
        left = int(over.sum())
        if left == 0:
            return turn, 0
        if least < 0 or left < least:
            least, since = left, 0
        elif turn > alone:
            since += 1
        search.report(1 - 1 / (1 + turn / 10), left)
        if since >= patience:
            return turn, left
        history += np.float32(GRUDGE) * over / over.max()
        press = min(press * GROWTH, MOST_PRESS)


def _sides(board: Board) -> str:
    """Name the overloaded sides, the worst first."""
    named = overloads(board.chip, board.load.reshape(-1, 4))
    more = f" and {len(named) - 8} more sides" if len(named) > 8 else ""
    return "; ".join(named[:8]) + more


def _refusal(board: Board, search: Search, turns: int) -> str:
    """Say what is overloaded, by how much, and what would help."""
    chip, over = board.chip, board.over()
    bound = cut_bound(board.network, chip, board.placement)
    message = (
        f"No legal routing found in {turns} rounds: {np.count_nonzero(over)} sides have "
        f"{over.sum()} sources too many: {_sides(board)}. "
    )
    if board.fixed.any() and _fits_alone(board, search):
        return message + (
            "All would fit alone, but not beside the trees that are kept; with rip=True those "
            "may move."
        )
    return message + (
        f"Any routing of this placement needs at least {bound} lines a side of R0; the chip "
        f"has {chip.r0_lines}. Use more lines a side (minimum_lines finds how many R0 need), "
        "smaller fan-in, or another placement."
    )


def _fits_alone(board: Board, search: Search) -> bool:
    alone = Board(board.network, board.chip, board.placement)
    return _bargain(alone, search)[1] == 0


def _cut_off(board: Board) -> str:
    """Name a source and a tile between which there is no way, even over full links."""
    source, cell = board.missing()
    return (
        f"Source {source} cannot reach {board.chip.cell_name(cell)}: broken tiles and lines cut "
        "it off. Place it elsewhere, or use a chip with fewer faults."
    )


def _interrupted(board: Board) -> str:
    over = board.over()
    return (
        f"Routing was interrupted while {np.count_nonzero(over)} sides had {over.sum()} "
        f"sources too many: {_sides(board)}."
    )
