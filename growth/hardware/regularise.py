"""Terms to add to a loss: what distance, routing and firing cost on the chip."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from growth.hardware.routable import skeleton
from mosaic_sim import route
from mosaic_sim.errors import MosaicError
from mosaic_sim.events import COMPARED, DRIVEN, HCS, LCS
from mosaic_sim.tariff import unit_prices

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from growth.hardware.tiled import Activity, TiledNetwork
    from mosaic_sim import Chip, Network, Placement, Routing, Technology

__all__ = [
    "RoutingEnergy",
    "connection_strength",
    "hop_penalty",
    "hop_prices",
    "rate_penalty",
]

MOST = 15.0
"""Exponent at which the published price of a distance ends."""


# --- distance --------------------------------------------------------------------------------


def hop_prices(chip: Chip, beta: float) -> Tensor:
    """Return the published price of a weight between two tiles, (tiles, tiles), from column to row.

    ``clip(exp(beta D) - 1, 0, exp(15))`` with D in hops: 0 inside a tile.

    Parameters
    ----------
    chip : mosaic_sim.Chip
    beta : float
        Above 0. The published default, 8, gives all distances from 3 hops on the same price.

    Raises
    ------
    MosaicError
        If `beta` is not a number above 0.

    Warns
    -----
    UserWarning
        If several distances of this chip get the highest price, so that training cannot tell
        them apart.

    Examples
    --------
    >>> from mosaic_sim import Chip
    >>> chip = Chip(2, 2, 4, 4, 4, 4)
    >>> [round(x, 2) for x in hop_prices(chip, 0.4)[0].tolist()]
    [0.0, 0.49, 0.49, 2.32]

    References
    ----------
    .. [1] Code of T. Dalgaty et al., Nat. Commun. 15, 142, 2024 (EIS-Hub/Mosaic).
    """
    if not (isinstance(beta, int | float) and 0 < beta < math.inf):
        raise MosaicError(f"beta is {beta!r}; it needs a number above 0.")
    hops = torch.from_numpy(chip.tile_hops).double()
    price = (beta * hops).exp() - 1
    alike = sorted({int(d) for d in hops[price >= math.exp(MOST)]})
    if len(alike) > 1:
        warnings.warn(
            f"beta = {beta:g} saturates: weights over {alike[0]} to {alike[-1]} hops all get the "
            f"price exp({MOST:g}), so training cannot tell them apart; up to "
            f"{MOST / float(hops.max()):.2g} no two distances of this chip get the same.",
            stacklevel=2,
        )
    return price.clamp(0, math.exp(MOST)).float()


def hop_penalty(net: TiledNetwork, prices: Tensor) -> Tensor:
    """Return ``mean(price * W^2)`` over all recurrent weights, as published.

    Parameters
    ----------
    net : TiledNetwork
    prices : tensor, (tiles, tiles), from column to row
        From `hop_prices`.

    Raises
    ------
    MosaicError
        If `prices` is for another number of tiles.

    Examples
    --------
    >>> from growth.hardware import TiledNetwork
    >>> net = TiledNetwork(1, 2, 2, inputs=1, outputs=1, profile=None)
    >>> bool(hop_penalty(net, hop_prices(net.grid, 0.4)) > 0)
    True
    """
    tiles = net.grid.tiles
    if prices.shape != (tiles, tiles):
        raise MosaicError(
            f"prices has shape {tuple(prices.shape)}; it needs ({tiles}, {tiles}), a price for "
            "each pair of tiles."
        )
    squares = (net.recurrent * net.mask).square()
    k = net.grid.neurons_per_tile
    blocks = squares.reshape(tiles, k, tiles, k).sum((1, 3))
    return (prices * blocks).sum() / squares.numel()


# --- routing energy --------------------------------------------------------------------------


def connection_strength(net: TiledNetwork, scale: float) -> Tensor:
    """Say how much of a connection there is, 0 to 1, (neurons, tiles).

    ``1 - exp(-|w| / scale)`` with ``|w|`` the Euclidean norm of the weights from a neuron to a
    tile: 0 without weights, near 1 from a few scales on, and steepest for weak connections, which
    thus vanish before strong ones weaken. Scale 0 counts connections that have a weight; it has
    no gradient.

    Raises
    ------
    MosaicError
        If `scale` is negative or not finite.
    """
    if not 0 <= scale < math.inf:
        raise MosaicError(f"scale is {scale!r}; it needs a number of at least 0.")
    tiles, k = net.grid.tiles, net.grid.neurons_per_tile
    squares = (net.recurrent * net.mask).square().reshape(tiles, k, -1).sum(1).t()
    if scale == 0:
        return (squares > 0).to(squares.dtype)
    # The root has no slope at 0, where there is nothing to make weaker.
    norm = torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)
    return 1 - (-norm / scale).exp()


class RoutingEnergy:
    """Energy that routing takes a step, as the simulator bills it, with gradients.

    A spike of source i drives the links of its tree. Link l is needed as far as something
    behind it is connected::

        E = sum_i rate_i * (base_i + sum_l price_l * (1 - prod_t (1 - c_it)))

    over the links l of its tree and the tiles t behind each, with c the strength of a
    connection. Segments that several tiles share count once. Base is what is driven without any
    connection: the four routers around a neuron's tile, an input's line and port. The price of
    a link is its line, one device that conducts, and where it enters a routing tile the row
    that is read and compared there.

    With strengths of 0 and 1 and rates that were counted this is what `mosaic_sim.price` bills
    as ``routing``, for trees without the branches that lead nowhere. In between it is the
    expected energy if connections were there independently with probability c. Trees are not
    laid anew when connections go: build it again after each `rewire`.

    Parameters
    ----------
    network : mosaic_sim.Network
    chip, placement, routing
        Where it is, and its trees, legal or not.
    technology : mosaic_sim.Technology

    Attributes
    ----------
    base : float64 tensor, (sources,) [J]
        For each spike of a source.

    Examples
    --------
    >>> from growth.hardware import TiledNetwork
    >>> from mosaic_sim import Chip, technology_preset
    >>> net = TiledNetwork(2, 2, 4, inputs=3, outputs=2, profile={1: 0.5})
    >>> rram = technology_preset("rram-130nm")
    >>> energy = RoutingEnergy.of(net, Chip(2, 2, 4, 8, 8, 8), rram)
    >>> spikes = torch.ones(10, 1, 3)
    >>> joules = energy.of_run(net, net.run(spikes), spikes, scale=0.1)
    >>> joules.backward()
    """

    def __init__(
        self,
        network: Network,
        chip: Chip,
        placement: Placement,
        routing: Routing,
        technology: Technology,
    ) -> None:
        event = unit_prices(technology, 2)
        line, more = event[DRIVEN], event[HCS] - event[LCS]
        row = (
            4 * chip.lines * (event[LCS] + event[COMPARED])
        )  # of each routing tile, else 0
        edge = 4 * chip.r1_lines * (event[LCS] + event[COMPARED])
        source, cell = routing.source, routing.cell
        ends = chip.neighbours[cell, routing.side]
        leaves = chip.is_router[cell]  # a routing tile; else the neuron's own
        price = line + np.where(leaves, more + row[ends], 0.0)
        base = np.full(network.sources, 4 * edge)
        entered = row[chip.port_cells[placement.port]]
        base[: network.first_neuron] = (
            line + (np.diff(routing.offsets)[: network.first_neuron] > 0) * entered
        )
        link, tile = _behind(routing, ends, chip)
        self.sources, self.tiles, self.inputs = network.sources, chip.tiles, network.inputs
        self.base = torch.from_numpy(base)
        self.price = torch.from_numpy(price)
        self.source = torch.from_numpy(source)
        self.link = torch.from_numpy(link)
        self.connection = torch.from_numpy(source[link] * chip.tiles + tile)

    @classmethod
    def of(
        cls,
        net: TiledNetwork,
        chip: Chip,
        technology: Technology,
        routing: Routing | None = None,
    ) -> RoutingEnergy:
        """Build it for the connections of a tiled network.

        Parameters
        ----------
        net : TiledNetwork
        chip : Chip
        technology : Technology
        routing : Routing, optional
            Of `growth.hardware.rewire`; sought anew by default.

        Raises
        ------
        mosaic_sim.RoutingError
            If no legal routing is found.
        """
        network, placement = skeleton(net), net.placement(chip)
        if routing is None:
            routing = route(network, chip, placement)
        return cls(network, chip, placement, routing, technology)

    def __call__(self, rates: Tensor, strength: Tensor) -> Tensor:
        """Return the energy of a step [J].

        Parameters
        ----------
        rates : tensor, (sources,)
            Spikes of each input, bias line and neuron a step.
        strength : tensor, (sources, tiles), 0 to 1
            Of each connection.

        Raises
        ------
        MosaicError
            If a shape is another.
        """
        for name, value, wanted in (
            ("rates", rates, (self.sources,)),
            ("strength", strength, (self.sources, self.tiles)),
        ):
            if tuple(value.shape) != wanted:
                raise MosaicError(
                    f"{name} has shape {tuple(value.shape)}; it needs {wanted}."
                )
        rate = rates.double()
        gone = 1 - strength.double().reshape(-1)[self.connection]
        idle = torch.ones(len(self.price), dtype=gone.dtype).scatter_reduce(
            0, self.link, gone, "prod"
        )
        return rate @ self.base + (rate[self.source] * self.price) @ (1 - idle)

    def of_run(
        self, net: TiledNetwork, activity: Activity, spikes: Tensor, scale: float
    ) -> Tensor:
        """Return the energy of a step of a run of a tiled network [J], in the mean over samples.

        Parameters
        ----------
        net : TiledNetwork
        activity : Activity
            From ``net.run(spikes)``; gradients reach weights through its spikes.
        spikes : tensor, (steps, samples, inputs)
        scale : float
            Of `connection_strength`; gradients reach weights through it, too.
        """
        rates = torch.cat([
            spikes.to(activity.spikes.dtype).mean((0, 1)), activity.spikes.mean((0, 1))
        ])  # fmt: skip
        strength = connection_strength(net, scale)
        entering = torch.ones(net.inputs, self.tiles, dtype=strength.dtype)
        return self(rates, torch.cat([entering, strength]))


def _behind(
    routing: Routing, ends: NDArray[np.int32], chip: Chip
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(link, tile) for each tile that a tree reaches and each link on the way there."""
    tile = np.full(chip.cells, -1)
    tile[chip.tile_cells] = np.arange(chip.tiles)
    links: list[int] = []
    tiles: list[int] = []
    cell, end, offsets = routing.cell.tolist(), ends.tolist(), routing.offsets.tolist()
    for first, last in pairwise(offsets):
        into = {end[link]: link for link in range(first, last)}
        for there in range(first, last):
            reached = int(tile[end[there]])
            link: int | None = there if reached >= 0 else None
            while link is not None:
                links.append(link)
                tiles.append(reached)
                link = into.get(cell[link])
    return np.array(links, np.int64), np.array(tiles, np.int64)


# --- firing ----------------------------------------------------------------------------------


def rate_penalty(spikes: Tensor, target: float, *, each: bool = False) -> Tensor:
    """Return ``(mean rate - target)^2``, in squared spikes per neuron and step.

    The published term, ``10 (5 - 10 mean(z))^2`` with the published defaults, is 1000 times this
    with a target of 0.5: every neuron fires in half of the steps.

    Parameters
    ----------
    spikes : tensor, (steps, samples, neurons)
    target : float
        Spikes of a neuron in a step, 0 to 1.
    each : bool
        Whether each neuron has to keep the rate, in the mean over samples, or all together.

    Raises
    ------
    MosaicError
        If `target` is out of range, or `spikes` has another shape.

    Examples
    --------
    >>> rate_penalty(torch.tensor([[[1.0, 0.0]]]), 0.25).item()
    0.0625
    >>> rate_penalty(torch.tensor([[[1.0, 0.0]]]), 0.25, each=True).item()
    0.3125
    """
    if spikes.ndim != 3:
        raise MosaicError(
            f"spikes has shape {tuple(spikes.shape)}; it needs (steps, samples, neurons)."
        )
    if not 0 <= target <= 1:
        raise MosaicError(f"target is {target!r}; it needs 0 to 1 spikes a step.")
    rate = spikes.mean((0, 1)) if each else spikes.mean()
    return (rate - target).square().mean()
