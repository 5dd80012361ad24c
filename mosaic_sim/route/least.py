"""How few lines a placement can be routed with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import MosaicError, RoutingError
from mosaic_sim.place import Search, check_placement
from mosaic_sim.route.board import Board
from mosaic_sim.route.bounds import cut_bound
from mosaic_sim.route.negotiated import negotiated

if TYPE_CHECKING:
    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = ["LeastLines", "minimum_lines"]


class LeastLines(NamedTuple):
    """Lines a side of R0.

    Attributes
    ----------
    r0_lines : int
        With this many a legal routing was found, and with one less none.
    bound : int
        No router does with less: `cut_bound`, and 1 at least.
    one_turn : int
        What the published ways need; external inputs take short trees there.
    """

    r0_lines: int
    bound: int
    one_turn: int


def minimum_lines(
    network: Network, chip: Chip, placement: Placement, *, effort: float = 1.0
) -> LeastLines:
    """Find the fewest lines a side of R0 with which `negotiated` routes a placement.

    The lines into tiles and of R1 are those of `chip`; its `r0_lines` are not looked at, and
    more than its `r1_lines` would be of no use. Between `LeastLines.bound` and what the
    published ways need, the number is searched for by steps that double, then by halving.

    Raises
    ------
    RoutingError
        If there is no legal routing however many lines R0 has: then the tiles or R1 have too
        few.
    CapacityError
        If the chip cannot hold the placement.

    Examples
    --------
    >>> import numpy as np
    >>> from mosaic_sim import Chip, Network, Placement
    >>> net = Network.from_synapses(
    ...     inputs=0, neurons=7, source=[0, 1, 2, 3, 4, 5], target=[6] * 6, weight=1.0
    ... )
    >>> ends = Placement(
    ...     np.array([0] * 6 + [2], "i4"), np.array([*range(6), 0], "i4"), np.zeros(0, "i4")
    ... )
    >>> minimum_lines(net, Chip(1, 3, 6, 6, 6, 6), ends)
    LeastLines(r0_lines=3, bound=3, one_turn=6)
    """
    if not (effort >= 0 and np.isfinite(effort)):
        raise MosaicError(f"effort is {effort!r}; it needs a finite number >= 0.")
    check_placement(network, chip, placement)
    bound = max(cut_bound(network, chip, placement), 1)
    published = _one_turn(network, chip, placement)

    def fits(lines: int) -> bool:
        try:
            negotiated(
                network, replace(chip, r0_lines=lines), placement, keep=None, rip=False,
                search=Search(effort),
            )  # fmt: skip
        except RoutingError:
            return False
        return True

    too_few, step, enough = bound - 1, 1, bound
    while not fits(enough):
        if enough >= chip.r1_lines:
            raise RoutingError(
                f"No legal routing found with {enough} lines a side of R0, and with the "
                f"{chip.r1_lines} of R1 and {chip.tile_lines} into tiles more R0 lines are of "
                "no use. Use more r1_lines or tile_lines, or another placement."
            )
        too_few, enough, step = enough, min(enough + step, chip.r1_lines), 2 * step
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if fits(middle):
            enough = middle
        else:
            too_few = middle
    return LeastLines(enough, bound, published)


def _one_turn(network: Network, chip: Chip, placement: Placement) -> int:
    """Most sources on a link between routers, if all neurons take the published ways."""
    board = Board(network, chip, placement)
    board.lines = np.where(board.lines > 0, np.int32(1 << 30), board.lines)
    board.draw(_kernels.one_turn_trees)
    board.lay(np.flatnonzero(board.state))
    beyond = chip.neighbours.ravel()
    between = (beyond >= 0) & np.repeat(chip.is_router, 4) & chip.is_router[beyond]
    return int(board.load[between].max(initial=0))
