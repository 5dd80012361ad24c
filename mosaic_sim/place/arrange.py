"""Which cluster of neurons goes to which tile: a quadratic assignment problem.

With the clusters given, the cost of a placement is exactly the sum over pairs of clusters of
(rate of the sources in one that reach the other) x hops, so that moving a cluster needs only
its own links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.place.partition import Links, link_graph, neurons_only
from mosaic_sim.place.task import generator_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from mosaic_sim.place.task import Task

__all__ = ["Layout", "arrange", "cluster_links", "slow_modes"]

POWERS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
"""Sharpening: a few random far links bend the picture, and high powers hide them."""
MODES = 7
"""Slow modes that are looked at: on a sheet four times as long as wide the fourth goes across."""
DIFFUSIONS = ((64, 4.0),) * 5 + ((32, 4.0),) * 2 + ((16, 2.0),) * 3 + ((4, 2.0),) * 2
"""How often single neurons move to the mean of their partners at a time, and how far away
[tiles] a partner counts a quarter."""
STARTS = 2
"""Layouts by slow modes that are smoothed."""


def cluster_links(
    task: Task, part: NDArray[np.int64], parts: int, port: NDArray[np.int32] | None
) -> Links:
    """Rates between clusters, and from ports, which are the nodes after the clusters."""
    network = task.network
    offsets, reached, _ = _kernels.tiles_reached(
        network.offsets, network.target, part.astype(np.int32), parts
    )
    fan_out = np.diff(offsets)
    ports = len(task.chip.port_sites)
    outside = np.zeros(network.first_neuron, np.int64) if port is None else parts + port
    home = np.repeat(np.concatenate([outside, part]), fan_out)
    rate = np.repeat(task.rates, fan_out)
    if port is None:
        begin = offsets[network.first_neuron]
        home, rate, reached = home[begin:], rate[begin:], reached[begin:]
    return link_graph(home, reached, rate, parts + ports)


class Layout:
    """Clusters on sites, one each; moved in place by `anneal`."""

    def __init__(
        self, task: Task, links: Links, sites: NDArray[np.int64], site_of: NDArray[np.int64]
    ) -> None:
        """Put cluster k on ``sites[site_of[k]]``; `sites` are the tiles that may be used."""
        self.task, self.links, self.sites = task, links, sites
        self.site_of = site_of.astype(np.int64)
        tiles = task.chip.tiles
        self.site_row, self.site_column = task.site_row[sites], task.site_column[sites]
        self.row = np.concatenate([self.site_row[site_of], task.site_row[tiles:]])
        self.column = np.concatenate([self.site_column[site_of], task.site_column[tiles:]])
        self.node_at = np.full(sites.size, -1, np.int64)
        self.node_at[site_of] = np.arange(site_of.size)
        self.tile_site = np.full((task.chip.rows, task.chip.columns), -1, np.int64)
        self.tile_site.flat[sites] = np.arange(sites.size)

    @property
    def cost(self) -> float:
        """Rate x hops of this layout."""
        return float(
            _kernels.layout_cost(
                *self.links, self.row, self.column, self.task.chip.hop_table
            )
        )

    @property
    def tile(self) -> NDArray[np.int64]:
        """Tile of each cluster."""
        return self.sites[self.site_of]

    def anneal(
        self, hot: float, cold: float, proposals: int, reach: int, key: int
    ) -> float:
        """Swap clusters at falling temperature; return the change of the cost."""
        state = generator_state(self.task.search.seed, 1, key)
        change = 0.0
        slices = max(proposals // 50_000, 1)
        ladder = np.geomspace(hot, cold, slices + 1) if hot > 0 else np.zeros(slices + 1)
        for k in range(slices):
            change += _kernels.anneal_sites(
                *self.links, self.row, self.column, self.site_of, self.node_at,
                self.site_row, self.site_column, self.tile_site, self.task.chip.hop_table,
                reach, ladder[k], ladder[k + 1], proposals // slices, state,
            )  # fmt: skip
        return change


def assign(
    x: NDArray[np.float64], y: NDArray[np.float64], layout: Layout
) -> NDArray[np.int64]:
    """Sites for clusters at (x, y): median cuts of both."""
    out = np.empty(x.size, np.int64)
    _kernels.split_sites(
        np.ascontiguousarray(x), np.ascontiguousarray(y), layout.site_row, layout.site_column,
        out,
    )  # fmt: skip
    return out


def slow_modes(
    links: Links, power: float, count: int, start: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Slowest modes of diffusion on the graph of weights ** power, (nodes, count).

    The constant mode is left out. `start` are modes of a similar graph, to begin with.

    Source: Y. Zhou, Y. Saad, M. L. Tiago and J. R. Chelikowsky, "Self-consistent-field
    calculations using Chebyshev-filtered subspace iteration", J. Comput. Phys. 219 (2006).
    Sums are taken in one order, whatever the number of cores.
    """
    from scipy.sparse import csr_array, diags_array

    nodes = links.offsets.size - 1
    weight = np.maximum(links.weight / links.weight.mean(), 1e-12) ** power
    graph = csr_array((weight, links.partner, links.offsets), shape=(nodes, nodes))
    degree = graph.sum(1)
    degree[degree == 0] = 1.0
    scale = 1 / np.sqrt(degree)
    matrix = (diags_array(scale) @ graph @ diags_array(scale)).tocsr()
    rounds = 3
    if start is None:
        start = np.random.default_rng(0).standard_normal((nodes, count + 3))
        rounds = 10
    else:
        start = start / scale[:, None]
    constant = np.sqrt(degree / degree.sum())[:, None]
    modes = _orthonormal(np.hstack([constant, start]))[:, 1:]
    low = 0.0
    for _ in range(rounds):
        # Chebyshev polynomials grow fast above `low` and stay small between -1 and there.
        centre, half = (low - 1) / 2, (low + 1) / 2
        before, now = modes, (matrix @ modes - centre * modes) / half
        for _ in range(30):
            before, now = now, 2 / half * (matrix @ now - centre * now) - before
        modes = _orthonormal(np.hstack([constant, now]))[:, 1:]
        small = _gram(modes, matrix @ modes)
        small = (small + small.T) / 2
        turn = np.empty_like(small)
        _kernels.eigen(small, turn)
        value = np.diagonal(small)
        modes = _combine(modes, turn[:, np.argsort(-value, kind="stable")])
        low = min(max(float(value.min()) - 0.01, 0.0), 0.995)
    slow: NDArray[np.float64] = modes * scale[:, None]
    return slow


def _orthonormal(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal columns, one after the other (modified Gram-Schmidt)."""
    out = np.ascontiguousarray(columns)
    _kernels.orthonormalise(out)
    return out


def _gram(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.empty((a.shape[1], b.shape[1]))
    _kernels.gram(np.ascontiguousarray(a), np.ascontiguousarray(b), out)
    return out


def _combine(
    columns: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``columns @ share``, one term after the other."""
    out = np.zeros((columns.shape[0], share.shape[1]))
    for j, row in enumerate(share):
        out += columns[:, j, None] * row
    return out


def spectral_layouts(
    links: Links, layout: Layout, powers: Iterable[float] = POWERS
) -> Iterator[NDArray[np.int64]]:
    """Yield sites of clusters by two slow modes of the sharpened graph, turned around."""
    k = layout.site_of.size
    if k < 2 * MODES or not links.partner.size:
        return
    modes = None
    for power in powers:
        modes = slow_modes(links, power, MODES, modes)
        first = modes[:, 0] / (modes[:, 0].std() + 1e-300)
        basis = _orthonormal(np.vander(first, 7, increasing=True))
        for j in range(1, MODES):
            # On a long array the next mode is a harmonic of the first: a polynomial of it.
            other = modes[:, j] - modes[:, j].mean()
            second = other - _combine(basis, _gram(basis, other[:, None]))[:, 0]
            if (second**2).sum() <= 0.2 * (other**2).sum():
                continue
            second /= second.std()
            for turn in range(8):
                angle = np.pi * turn / 8
                x = np.cos(angle) * first + np.sin(angle) * second
                y = -np.sin(angle) * first + np.cos(angle) * second
                yield assign(x, y, layout)


def arrange(task: Task, links: Links, sites: NDArray[np.int64], clusters: int) -> Layout:
    """Lay clusters out on `sites`: by slow modes, smoothed, annealed."""
    sites = sites[_compact(task, sites, clusters)]
    effort = task.search.effort
    best = Layout(task, links, sites, np.arange(clusters))
    cost = best.cost
    found = [(cost, 0, best.site_of)]
    for site_of in spectral_layouts(neurons_only(links, clusters), best):
        cost = Layout(task, links, sites, site_of).cost
        found.append((cost, len(found), site_of))
    for _, _, site_of in sorted(found)[:STARTS]:
        for layout in smoothed(Layout(task, links, sites, site_of)):
            if layout.cost < best.cost:
                best = layout
    unit = float(links.weight.mean()) if links.weight.size else 0.0
    if effort > 0 and unit > 0:
        proposals = int(clusters * 200 * min(effort, 5))
        trials = [(2.0, 0)]
        if clusters <= 128:
            trials += [(40.0, k) for k in range(1, 6)]
        for hot, key in trials:
            layout = Layout(task, links, sites, best.site_of)
            layout.anneal(
                hot * unit, unit / 10, proposals * (5 if key else 1), 64 if key else 3, key
            )
            if layout.cost < best.cost:
                best = layout
    return best


def _compact(task: Task, sites: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
    """As many sites as there are clusters, nearest to the middle of all, in order."""
    row, column = task.site_row[sites], task.site_column[sites]
    away = (row - row.mean()) ** 2 + (column - column.mean()) ** 2
    return np.sort(np.argsort(away, kind="stable")[:clusters])


def smoothed(layout: Layout) -> Iterator[Layout]:
    """Move clusters to the mean of their partners many times, then back onto sites.

    First many times, which mends what bends far, then fewer, which mends what is near.
    """
    from scipy.sparse import csr_array

    task, links, k = layout.task, layout.links, layout.site_of.size
    if k < 4 or not links.weight.size:
        return
    graph = csr_array(
        ((links.weight / links.weight.max()) ** 3, links.partner, links.offsets),
        shape=(links.offsets.size - 1,) * 2,
    )[:k, :k].tocsr()
    total = graph.sum(1)
    alone = total == 0
    total[alone] = 1.0
    for times in (64, 32, 16, 8, 4, 2, 1):
        if times * times > 4 * k:
            continue
        for _ in range(10):
            y, x = layout.row[:k].astype(float), layout.column[:k].astype(float)
            for _ in range(times):
                y = np.where(alone, y, graph @ y / total)
                x = np.where(alone, x, graph @ x / total)
            layout = Layout(task, links, layout.sites, assign(x, y, layout))
            yield layout


def diffused(
    task: Task, links: Links, tile: NDArray[np.int32]
) -> Iterator[NDArray[np.int32]]:
    """Move single neurons to the mean of their partners, and back onto equal tiles.

    For networks without communities, in which tiles are best cut as squares out of a sheet.
    Yields a tile for each neuron.
    """
    from scipy.sparse import csr_array

    n = tile.size
    source = np.repeat(np.arange(n), np.diff(links.offsets))
    used = np.bincount(tile, minlength=task.chip.tiles)
    seat = np.repeat(np.arange(used.size), used)
    seat_row, seat_column = task.site_row[seat], task.site_column[seat]
    site_of = np.empty(n, np.int64)
    for times, near in DIFFUSIONS:
        if times > used.size:
            continue
        y, x = task.site_row[tile].astype(float), task.site_column[tile].astype(float)
        # Far links of the layout so far are those that no sheet could shorten: forget them.
        far = (y[source] - y[links.partner]) ** 2 + (x[source] - x[links.partner]) ** 2
        weight = links.weight / (1 + far / near**2) ** 2
        total = np.bincount(source, weight, n)
        alone = total == 0
        weight /= np.where(alone, 1.0, total)[source]
        graph = csr_array((weight, links.partner, links.offsets), shape=(n, n))
        for _ in range(times + 1):
            y = np.where(alone, y, graph @ y)
            x = np.where(alone, x, graph @ x)
        _kernels.split_sites(x, y, seat_row, seat_column, site_of)
        tile = seat[site_of].astype(np.int32)
        yield tile
