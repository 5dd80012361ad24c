"""Routing: over which lines the spikes of each source travel.

Every router is a function with the signature of `Router` and a file of its own; `ROUTERS`
lists them for the conformance suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mosaic_sim.errors import MosaicError, suggest
from mosaic_sim.place import check_placement
from mosaic_sim.route.comb import comb
from mosaic_sim.route.greedy import greedy
from mosaic_sim.route.one_turn import (
    OneTurnLoads,
    one_turn,
    one_turn_loads,
    port_violations,
    ports_of_links,
)
from mosaic_sim.route.routing import Routing, check_links, check_routing

if TYPE_CHECKING:
    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = [
    "ROUTERS",
    "OneTurnLoads",
    "Router",
    "Routing",
    "check_routing",
    "comb",
    "greedy",
    "one_turn",
    "one_turn_loads",
    "port_violations",
    "ports_of_links",
    "route",
]


class Router(Protocol):
    """What `route` calls after it has checked the placement."""

    def __call__(
        self, network: Network, chip: Chip, placement: Placement, *, keep: Routing | None
    ) -> Routing:
        """Return a legal routing that contains `keep`, or raise `RoutingError`."""


ROUTERS: dict[str, Router] = {"comb": comb, "greedy": greedy, "one_turn": one_turn}


def route(
    network: Network,
    chip: Chip,
    placement: Placement,
    *,
    keep: Routing | None = None,
    router: Router | str = greedy,
) -> Routing:
    """Lay one multicast tree from every source to all tiles that read it.

    Parameters
    ----------
    keep : Routing, optional
        Of the first sources of `network`: its links and lines stay, trees only grow.
    router : Router or str
        `greedy` (short trees, and legal ones where it is tight; a millisecond a tree on large
        chips), `comb` (microseconds a tree, a little longer trees) or `one_turn` (the published
        ways, to compare with); or its name in `ROUTERS`.

    Raises
    ------
    RoutingError
        If no legal routing is found; the message names the overloaded sides.
    MosaicError
        If there is no router called `router`.

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
    check_placement(network, chip, placement)
    if keep is not None:
        check_links(chip, keep)
    routing = router(network, chip, placement, keep=keep)
    check_routing(network, chip, placement, routing)
    return routing
