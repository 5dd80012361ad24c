"""The default router: trees bargain for lines until no link is overfull.

Source: PathFinder, McMurchie and Ebeling, FPGA 1995.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.route.board import Board

if TYPE_CHECKING:
    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement
    from mosaic_sim.route.routing import Routing

__all__ = ["negotiated"]

P = dict(rounds=60, press0=0.5, grow=1.5, top=50.0, hist=0.3, passes=2, verbose=False, polish=2)


def negotiate(board: Board) -> int:
    order = np.arange(board.network.sources)
    history = np.zeros(board.load.size, np.float32)
    press = P["press0"]
    import time
    t=time.process_time()
    for turn in range(P["rounds"]):
        board.lay(order, history, press, P["passes"])
        over = board.over()
        total = int(over.sum())
        if P["verbose"]:
            print(turn, f"press {press:.2f}", "over", total, "links", (over>0).sum(), "max", over.max(), "segs", board.length.sum(), f"{time.process_time()-t:.2f}")
        if not total:
            break
        history += np.float32(P["hist"]) * over / np.maximum(over.max(),1) if P.get("norm") else np.float32(P["hist"]) * over
        press = min(press * P["grow"], P["top"])
        if P.get("reverse"): order = order[::-1].copy()
    if not total:
        for k in range(P["polish"]):
            board.lay(order, np.zeros_like(history), -1.0, P["passes"], shorter=True)
            if P["verbose"]:
                print("polish", board.over().sum(), board.length.sum(), f"{time.process_time()-t:.2f}")
    return total


def negotiated(
    network: Network, chip: Chip, placement: Placement, *, keep: Routing | None
) -> Routing:
    board = Board(network, chip, placement, keep)
    negotiate(board)
    return board.routing()
