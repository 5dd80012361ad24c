"""Prune and regrow connections such that the network can always be routed on its chip.

The unit is *neuron to tile*: a line that reaches a tile brings all synapses there with it, so
single weights are worth nothing to remove. Once an epoch connections whose weights have become
small are removed, others are drawn to restore a profile over distances (DEEP R), and of all of
them those stay for which the routers of the chip really have lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from mosaic_sim import Network, route
from mosaic_sim.errors import CapacityError, MosaicError
from mosaic_sim.route import check_routing
from mosaic_sim.route.partial import route_most

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from growth.hardware.tiled import TiledNetwork
    from mosaic_sim import Chip, Placement, Routing

__all__ = ["Rewired", "rewire", "skeleton", "strong_weights"]

LAYERS = 4
"""Parts, from strong to weak, in which connections are laid when not all of them fit."""
MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")
"""What optimisers of torch remember of each weight."""


class Rewired(NamedTuple):
    """What `rewire` has done; pairs are (neuron, tile).

    Attributes
    ----------
    routing : Routing
        Legal on the chip for all connections that are left, as `skeleton` has them. For the
        network itself: ``route(net.to_network(), chip, net.placement(chip), keep=routing,
        rip=True)``.
    pruned : int64 array, (k, 2)
        Connections removed because their weights are small.
    created : int64 array, (k, 2)
        Connections that are new, and fit.
    refused : int64 array, (k, 2)
        Connections, new or there before, for which no line was left; they were removed.
    over : tuple of str
        Sides of tiles and routers that would carry too many sources with the refused ones, the
        worst first; empty if nothing was refused.
    connections : int
        Connections between tiles that are left.
    """

    routing: Routing
    pruned: NDArray[np.int64]
    created: NDArray[np.int64]
    refused: NDArray[np.int64]
    over: tuple[str, ...]
    connections: int


def rewire(
    net: TiledNetwork,
    chip: Chip,
    *,
    profile: Mapping[int, float],
    threshold: float,
    generator: torch.Generator,
    keep: int = 20,
    spread: float = 1.0,
    optimiser: torch.optim.Optimizer | None = None,
    routing: Routing | None = None,
    effort: float = 0.1,
) -> Rewired:
    """Remove weak connections, draw new ones, and keep what can be routed; once an epoch.

    1. A connection is removed if fewer than `keep` of its weights have ``|w| >= threshold``.
       Those inside a tile and into tiles with outputs are protected.
    2. For each tile and distance of d hops, connections are drawn, all free pairs equally
       likely, until there are ``round(p_d * pairs)``, where pairs counts the neurons of the tile
       that may send times the tiles at that distance. Their weights are
       ``sign(n) threshold + spread threshold n`` with n standard normal.
    3. All are routed on `chip`. If they do not fit together, those that were there are laid
       first, strong before weak, then the new ones; connections left without a line are removed.

    Weights of removed connections become 0, and what the optimiser remembers of all changed
    ones too.

    Parameters
    ----------
    net : TiledNetwork
        Its `reach` and `recurrent` weights are changed in place.
    chip : Chip
        With the grid of `net`; its lines are the capacities.
    profile : mapping of int to float
        Share p_d of pairs at a distance of d hops; none elsewhere. Connections above their
        share are not removed for that.
    threshold : float
        Above 0, in the unit of weights.
    generator : torch.Generator
        Of connections and new weights.
    keep : int
        1 to the neurons of a tile; published: 20 of 32.
    spread : float
    optimiser : torch.optim.Optimizer, optional
        That trains ``net.recurrent``.
    routing : Routing, optional
        Of the last call: trees change as little as they can.
    effort : float
        Of `mosaic_sim.route` in looking for a routing of all connections.

    Raises
    ------
    MosaicError
        If a setting is out of range, or the chip has another grid or too small tiles.

    Examples
    --------
    >>> from growth.hardware import TiledNetwork
    >>> from mosaic_sim import Chip
    >>> net = TiledNetwork(2, 2, 4, inputs=3, outputs=2, profile={1: 1.0, 3: 0.5})
    >>> chip = Chip(2, 2, neurons_per_tile=4, tile_lines=2, r0_lines=2, r1_lines=4)
    >>> source = torch.Generator().manual_seed(0)
    >>> done = rewire(net, chip, profile={1: 0.5}, threshold=0.1, keep=2, generator=source)
    >>> done.connections == int((net.reach & ~net.own).sum())
    True

    References
    ----------
    .. [1] G. Bellec et al., "Deep rewiring", ICLR 2018, arXiv:1711.05136.
    .. [2] J. Weber, T. Ballet and M. Payvand, arXiv:2412.01575: the unit, the profile and the
       new weights (``DEEP_R.py``). There the profile stands for what can be routed, and
       distances stop before the longest; here the chip itself is asked, over all distances.
    """
    shares = _checked(net, profile, threshold, keep, spread)
    placement = net.placement(chip)
    before = net.reach.clone()
    there = _between(net)
    count = strong_weights(net, threshold)
    safe = net.protected | net.output_tiles[None]
    weak = there & ~safe & (count < keep)
    stays = there & ~weak
    new = _draw(net, shares, stays, generator)
    strength = _by_tile(net, net.recurrent.detach().abs())
    with torch.no_grad():
        found, refused, over = _fit(
            net, chip, placement, stays, new, strength, routing, effort, generator
        )
        left = (stays | new) & ~refused
        net.reach.copy_(left | net.protected)
        fresh = _weights_of(net, left & new)
        n = torch.randn(net.recurrent.shape, generator=generator).to(net.recurrent.dtype)
        drawn = threshold * (n.sign() + spread * n)
        changed = fresh | _weights_of(net, before & ~net.reach)
        net.recurrent.copy_(torch.where(fresh, drawn, net.recurrent) * net.mask)
    if optimiser is not None:
        _forget(optimiser, net.recurrent, changed)
    return Rewired(
        found, _pairs(weak & ~left), _pairs(left & new), _pairs(refused), over, int(left.sum())
    )  # fmt: skip


def strong_weights(net: TiledNetwork, threshold: float) -> Tensor:
    """Count the weights of each connection with ``|w| >= threshold``, (neurons, tiles)."""
    return _by_tile(net, (net.recurrent.detach().abs() >= threshold).to(torch.int64))


def skeleton(net: TiledNetwork, reach: Tensor | None = None) -> Network:
    """Return a network with one synapse for each connection: all that routing has to know.

    Parameters
    ----------
    net : TiledNetwork
    reach : bool tensor, (neurons, tiles), optional
        Other connections than those of `net`.
    """
    table = net.reach if reach is None else reach
    neuron, tile = (x.numpy() for x in torch.nonzero(table, as_tuple=True))
    k, inputs = net.grid.neurons_per_tile, net.inputs
    source = np.concatenate([np.arange(inputs), inputs + neuron])
    target = k * np.concatenate([net.entry, tile])
    return Network.from_synapses(
        inputs=inputs, neurons=net.neurons, source=source, target=target,
        weight=np.ones(source.size), delay=(source >= inputs).astype(np.int16),
    )  # fmt: skip


# --- what is drawn ---------------------------------------------------------------------------


def _draw(
    net: TiledNetwork,
    shares: Mapping[int, float],
    stays: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """New connections that bring each tile and distance up to its share, (neurons, tiles)."""
    hops = torch.from_numpy(net.grid.tile_hops)[net.tile]
    free = ~stays & ~net.barred & ~net.own
    new = torch.zeros_like(stays)
    for tile in range(net.grid.tiles):
        home = (net.tile == tile)[:, None]
        for distance, share in shares.items():
            here = home & (hops == distance)
            pairs = int((here & ~net.barred).sum())
            missing = round(share * pairs) - int((here & stays).sum())
            neuron, there = torch.nonzero(here & free, as_tuple=True)
            if missing > 0:
                chosen = torch.randperm(len(neuron), generator=generator)[:missing]
                new[neuron[chosen], there[chosen]] = True
    return new


# --- what fits -------------------------------------------------------------------------------


def _fit(
    net: TiledNetwork,
    chip: Chip,
    placement: Placement,
    stays: Tensor,
    new: Tensor,
    strength: Tensor,
    routing: Routing | None,
    effort: float,
    generator: torch.Generator,
) -> tuple[Routing, Tensor, tuple[str, ...]]:
    """Route connections; return the routing, those without a line, and sides that are over."""
    everything = stays | new | net.protected
    none = torch.zeros_like(stays)
    network = skeleton(net, everything)
    try:
        found = route(
            network, chip, placement, keep=routing, rip=routing is not None, effort=effort,
            progress=False,
        )  # fmt: skip
    except CapacityError:  # more sources than a tile has lines, or no legal routing
        pass
    else:
        return found, none, ()
    laid, refused, held = net.protected.clone(), none.clone(), routing
    order = np.concatenate([
        np.arange(net.inputs),
        net.inputs + torch.randperm(net.neurons, generator=generator).numpy(),
    ])  # fmt: skip
    # What the last routing has fits already, so all of it comes first.
    known = _layers(stays, strength) if routing is None else [stays]
    for part in (*known, new):
        laid |= part
        partial = route_most(skeleton(net, laid), chip, placement, keep=held, order=order)
        source, tile = partial.missed.T
        if (source < net.inputs).any():
            raise CapacityError(
                f"chip has no line for input {source.min()}, which enters the tile below its port."
            )
        refused[source - net.inputs, tile] = True
        laid &= ~refused
        held = partial.routing
    over = route_most(network, chip, placement).over
    left = skeleton(net, laid)
    # Once more, without branches that led to what was refused.
    found = route_most(left, chip, placement, keep=held).routing
    check_routing(left, chip, placement, found)
    return found, refused, over


def _layers(stays: Tensor, strength: Tensor) -> list[Tensor]:
    """Connections from strong to weak, in `LAYERS` parts."""
    values = strength[stays]
    if not len(values):
        return []
    order = torch.full(stays.shape, -1)
    rank = torch.empty(len(values), dtype=torch.int64)
    rank[values.argsort(descending=True, stable=True)] = torch.arange(len(values))
    order[stays] = rank * LAYERS // len(values)
    return [order == part for part in range(LAYERS)]


# --- small change ----------------------------------------------------------------------------


def _between(net: TiledNetwork) -> Tensor:
    """Connections between tiles, (neurons, tiles)."""
    return net.reach & ~net.own


def _by_tile(net: TiledNetwork, weights: Tensor) -> Tensor:
    """Sums over the neurons of each tile, (neurons, tiles), of weights to them, row by row."""
    tiles, k = net.grid.tiles, net.grid.neurons_per_tile
    return (weights * net.mask).reshape(tiles, k, -1).sum(1).t()


def _weights_of(net: TiledNetwork, connections: Tensor) -> Tensor:
    """Weights that belong to connections, bool, (neurons, neurons)."""
    return connections.t().repeat_interleave(net.grid.neurons_per_tile, 0)


def _pairs(connections: Tensor) -> NDArray[np.int64]:
    return torch.nonzero(connections).numpy()


def _forget(optimiser: torch.optim.Optimizer, weight: Tensor, changed: Tensor) -> None:
    """Clear what an optimiser remembers of weights that are gone or new."""
    state = optimiser.state.get(weight, {})
    for name in MOMENTS:
        if torch.is_tensor(state.get(name)):
            state[name][changed] = 0.0


def _checked(
    net: TiledNetwork,
    profile: Mapping[int, float],
    threshold: float,
    keep: int,
    spread: float,
) -> dict[int, float]:
    """Return the profile; refuse settings out of range."""
    known = set(np.unique(net.grid.tile_hops).tolist()) - {0}
    for hops, share in profile.items():
        if hops not in known:
            raise MosaicError(
                f"profile has the distance {hops!r}; tiles of this network are "
                f"{', '.join(map(str, sorted(known)))} hops apart."
            )
        if not 0 <= share <= 1:
            raise MosaicError(
                f"profile[{hops}] is {share!r}; it needs a number from 0 to 1."
            )
    k = net.grid.neurons_per_tile
    if isinstance(keep, bool) or not isinstance(keep, int) or not 1 <= keep <= k:
        raise MosaicError(f"keep is {keep!r}; it needs an integer from 1 to {k}.")
    if not 0 < threshold < np.inf:
        raise MosaicError(f"threshold is {threshold!r}; it needs a number above 0.")
    if not 0 <= spread < np.inf:
        raise MosaicError(f"spread is {spread!r}; it needs a number of at least 0.")
    return dict(profile)
