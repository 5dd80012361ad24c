"""Routing: over which lines the spikes of each source travel.

Every router is a function with the signature of `Router` and a file of its own; `ROUTERS`
lists them for the conformance suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from mosaic_sim.errors import MosaicError, suggest
from mosaic_sim.place import Search, check_placement
from mosaic_sim.progress import progress_bar
from mosaic_sim.route.bounds import cut_bound
from mosaic_sim.route.least import LeastLines, minimum_lines
from mosaic_sim.route.negotiated import negotiated
from mosaic_sim.route.one_turn import (
    OneTurnLoads,
    one_turn,
    one_turn_loads,
    port_violations,
    ports_of_links,
)
from mosaic_sim.route.routing import Routing, check_links, check_routing
from mosaic_sim.route.steiner import steiner
from mosaic_sim.route.trunk import trunk

if TYPE_CHECKING:
    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = [
    "ROUTERS",
    "LeastLines",
    "OneTurnLoads",
    "Router",
    "Routing",
    "check_routing",
    "cut_bound",
    "minimum_lines",
    "negotiated",
    "one_turn",
    "one_turn_loads",
    "port_violations",
    "ports_of_links",
    "route",
    "steiner",
    "trunk",
]


class Router(Protocol):
    """What `route` calls after it has checked the placement."""

    def __call__(
        self,
        network: Network,
        chip: Chip,
        placement: Placement,
        *,
        keep: Routing | None,
        rip: bool,
        search: Search,
    ) -> Routing:
        """Return a legal routing that contains `keep`, or raise `RoutingError`.

        With `rip` trees of `keep` may be changed, if that helps. `search.report` takes the
        sources too many on all links as the cost.
        """


ROUTERS: dict[str, Router] = {
    "negotiated": negotiated,
    "steiner": steiner,
    "trunk": trunk,
    "one_turn": one_turn,
}


def route(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    keep: Routing | None = None,
    rip: bool = False,
    router: Router | str = negotiated,
    effort: float = 1.0,
    progress: bool | None = None,
) -> Routing:
    """Lay one multicast tree from every source to all tiles that read it.

    Parameters
    ----------
    keep : Routing, optional
        Of the first sources of `network`: its links and lines stay, trees only grow.
    rip : bool
        Trees of `keep` may change: branches that lead to no target any more are taken away,
        sources that have moved get new trees, and trees on links that would carry too many
        sources are laid anew; all others stay. Links that stay keep their lines.
    router : Router or str
        `negotiated` (legal routings wherever lines are scarce), `steiner` (as short trees, one
        after another: no tree makes way for another), `trunk` (trees by rule, microseconds
        each, a little longer) or `one_turn` (the published ways, to compare with); or its name
        in `ROUTERS`.
    effort : float
        How long `negotiated` goes on without progress, and how often it shortens what it has
        found; 1 by default.
    progress : bool or None
        Whether to show a bar after a second; None: if stderr is a terminal.

    Raises
    ------
    RoutingError
        If no legal routing is found; the message names the overloaded sides. Also if the
        search is interrupted (Ctrl-C) before a legal routing is found; after that, the best
        so far is returned.
    MosaicError
        If there is no router called `router`, `effort` is negative, or `keep` cannot stay.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network, place
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[1.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> route(net, chip, place(net, chip)).cell.size
    1
    """
    if isinstance(router, str):
        if router not in ROUTERS:
            raise MosaicError(
                f"Unknown router {router!r}.{suggest(router, ROUTERS)} There are: "
                f"{', '.join(ROUTERS)}."
            )
        router = ROUTERS[router]
    if not (effort >= 0 and np.isfinite(effort)):
        raise MosaicError(f"effort is {effort!r}; it needs a finite number >= 0.")
    check_placement(network, chip, placement)
    if keep is not None:
        check_links(chip, keep)
    done = 0.0
    with progress_bar("route", 1.0, progress) as bar:

        def report(fraction: float, cost: float) -> None:
            nonlocal done
            bar(fraction - done, f"{cost:,.0f} sources too many")
            done = fraction

        routing = router(
            network, chip, placement, keep=keep, rip=rip, search=Search(effort, 0, report)
        )
    check_routing(network, chip, placement, routing)
    return routing
