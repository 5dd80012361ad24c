"""Placement: which neuron sits on which tile.

Every placer is a function with the signature of `Placer` and a file of its own; `PLACERS`
lists them for the conformance suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mosaic_sim.errors import CapacityError, MosaicError, suggest
from mosaic_sim.place.balanced import balanced_partition, crossing_synapses
from mosaic_sim.place.defragment import Defragmented, defragment
from mosaic_sim.place.greedy import greedy
from mosaic_sim.place.growing import (
    FROZEN,
    GROWING,
    RIPPLE,
    Growing,
    grow,
    insertion_costs,
    moved,
    moving_price,
)
from mosaic_sim.place.hilbert import hilbert
from mosaic_sim.place.hypergraph import hypergraph
from mosaic_sim.place.in_order import in_order
from mosaic_sim.place.layered import layered
from mosaic_sim.place.multilevel import multilevel
from mosaic_sim.place.objective import Search, check_fan_in, check_rates, hop_cost
from mosaic_sim.place.placement import (
    Placement,
    arrivals,
    check_placement,
    check_sites,
    tiles_reached,
)
from mosaic_sim.place.scatter import scatter
from mosaic_sim.place.spectral import spectral
from mosaic_sim.place.verdict import Verdict, judge
from mosaic_sim.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network

__all__ = [
    "FROZEN",
    "GROWING",
    "PLACERS",
    "RIPPLE",
    "Defragmented",
    "Growing",
    "Placement",
    "Placer",
    "Search",
    "Verdict",
    "arrivals",
    "balanced_partition",
    "check_placement",
    "crossing_synapses",
    "defragment",
    "greedy",
    "hilbert",
    "hop_cost",
    "hypergraph",
    "in_order",
    "insertion_costs",
    "judge",
    "layered",
    "moved",
    "moving_price",
    "multilevel",
    "place",
    "scatter",
    "spectral",
    "tiles_reached",
]


class Placer(Protocol):
    """What `place` calls after it has checked the arguments and filled in the defaults."""

    def __call__(
        self,
        network: Network,
        chip: Chip,
        *,
        keep: Placement | None,
        rates: NDArray[np.float64],
        allowed: NDArray[np.bool_] | None,
        search: Search,
    ) -> Placement:
        """Return a legal placement; neurons of `keep` unmoved, new ones where `allowed`.

        `allowed` is (neurons, tiles), or None if every neuron may use every tile.
        """


PLACERS: dict[str, Placer] = {
    "greedy": greedy,
    "in order": in_order,
    "random": scatter,
    "hilbert": hilbert,
    "spectral": spectral,
    "layered": layered,
    "multilevel": multilevel,
    "hypergraph": hypergraph,
}


def place(
    network: Network,
    chip: Chip,
    *,
    keep: Placement | None = None,
    rates: ArrayLike | None = None,
    within: Sequence[int] | Mapping[int, Sequence[int]] | None = None,
    placer: Placer | str | None = None,
    growing: Growing | str | None = None,
    effort: float = 1.0,
    seed: int = 0,
    spread: bool = False,
    progress: bool | None = None,
) -> Placement:
    """Find a tile and a slot for every neuron, and a port for every input.

    Parameters
    ----------
    network : Network
    chip : Chip
    keep : Placement, optional
        Of the first neurons and inputs of `network`, which are on the chip already: they stay
        where they are unless `growing` lets them move.
    rates : array, (sources,), optional
        How much each source spikes, in any unit; uniform by default.
    within : sequence of int, or mapping of int to sequence of int, optional
        Tiles that new neurons, and those that make room for them, may use; or tiles for single
        neurons, by number. All by default.
    placer : Placer or str, optional
        Or its name in `PLACERS`: "multilevel" (thorough, 3,000 neurons a second and more; the
        default), "hypergraph" (the same with clusters by Mt-KaHyPar, an extra), "layered"
        (feed-forward networks, quick), "greedy" (one neuron at a time), "in order" and
        "hilbert" (at once; for networks whose neurons are numbered so that neighbours talk to
        each other), "spectral" and "random". What is new beside `keep` is placed as `growing`
        says.
    growing : Growing or str, optional
        How new neurons are fitted in between those of `keep`: ``"frozen"``, the default, moves
        nothing that is programmed; ``"ripple"`` may push a few neurons to neighbouring tiles
        (`moved` says which); or a `Growing` with other prices.
    effort : float
        How hard a placer that searches does so; see `Search`.
    seed : int
        The same seed gives the same layout.
    spread : bool
        Whether to leave free slots on every tile, for growth: half of an even share, and at
        least one where there are enough. Not with "greedy" and "in order", nor beside `keep`
        unless a placer is named.
    progress : bool or None
        Whether to show a bar after a second; None: if stderr is a terminal.

    Raises
    ------
    CapacityError
        If the network does not fit.
    MosaicError
        If `keep`, `rates` or `within` do not belong to this network and chip; if `effort` is
        negative, there is no placer called `placer` or no way to grow called `growing`,
        `growing` comes without `keep` or with a `placer`, or `spread` with what cannot do it.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[1.0])
    >>> place(net, Chip(1, 2, 4, 4, 4, 4)).tile.tolist()
    [0]
    """
    if network.neurons > chip.neurons:
        broken = f", {len(chip.broken_tiles)} of them broken" if chip.broken_tiles else ""
        raise CapacityError(
            f"{network.neurons} neurons do not fit on {chip.rows} x {chip.columns} tiles of "
            f"{chip.neurons_per_tile}{broken}: {network.neurons - chip.neurons} too many."
        )
    check_fan_in(network, chip)
    rate = check_rates(network, rates)
    if not (effort >= 0 and np.isfinite(effort)):
        raise MosaicError(f"effort is {effort!r}; it needs a finite number >= 0.")
    if growing is not None and (keep is None or placer is not None):
        raise MosaicError(
            "growing says how neurons are fitted in between those of keep: it needs keep, and "
            "no placer."
        )
    if placer is None:
        way = _way(growing or "frozen")
        placer = multilevel if keep is None else partial(grow, growing=way)
    if isinstance(placer, str):
        if placer not in PLACERS:
            raise MosaicError(
                f"Unknown placer {placer!r}.{suggest(placer, PLACERS)} There are: "
                f"{', '.join(PLACERS)}."
            )
        placer = PLACERS[placer]
    if spread and (placer in (greedy, in_order) or isinstance(placer, partial)):
        raise MosaicError(
            "spread leaves free slots when neurons are placed by a search or along an order of "
            "tiles; greedy, in order and growing fill what is free. Leave spread out, or use "
            'placer="multilevel".'
        )
    allowed = _allowed(network, chip, within)
    if keep is not None and (
        keep.tile.size > network.neurons or keep.port.size > network.first_neuron
    ):
        raise MosaicError(
            f"keep places {keep.tile.size} neurons and {keep.port.size} inputs; the network "
            f"has {network.neurons} and {network.first_neuron}."
        )
    if keep is not None:
        check_sites(chip, keep, keep.tile.size, keep.port.size, "keep")
    done = 0.0
    with progress_bar("place", 1.0, progress) as bar:

        def report(fraction: float, cost: float) -> None:
            nonlocal done
            bar(fraction - done, f"cost {cost:,.0f}")
            done = fraction

        placement = placer(
            network, chip, keep=keep, rates=rate, allowed=allowed,
            search=Search(effort, seed, report, spread),
        )  # fmt: skip
    check_placement(network, chip, placement)
    return placement


def _way(growing: Growing | str) -> Growing:
    """Return the way to grow of that name."""
    if isinstance(growing, Growing):
        return growing
    if growing not in GROWING:
        raise MosaicError(
            f"Unknown growing {growing!r}.{suggest(growing, GROWING)} There are: "
            f"{', '.join(GROWING)}."
        )
    return GROWING[growing]


def _allowed(
    network: Network, chip: Chip, within: Sequence[int] | Mapping[int, Sequence[int]] | None
) -> NDArray[np.bool_] | None:
    """Which tiles each neuron may use, (neurons, tiles); None: all may use all."""
    if within is None:
        return None
    single = within if isinstance(within, Mapping) else {}
    common = range(chip.tiles) if isinstance(within, Mapping) else within
    for tiles in (common, *single.values()):
        if any(not 0 <= tile < chip.tiles for tile in tiles):
            raise MosaicError(f"within has tiles outside 0 to {chip.tiles - 1}.")
    if any(not 0 <= neuron < network.neurons for neuron in single):
        raise MosaicError(f"within has neurons outside 0 to {network.neurons - 1}.")
    allowed = np.zeros((network.neurons, chip.tiles), bool)
    allowed[:, list(common)] = True
    for neuron, tiles in single.items():
        allowed[neuron] = False
        allowed[neuron, list(tiles)] = True
    return allowed
