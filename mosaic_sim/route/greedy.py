"""A greedy router: source by source, the nearest missing tile first, over free lines only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import _kernels
from mosaic_sim.errors import RoutingError
from mosaic_sim.route.routing import (
    Routing,
    destinations,
    entry_lines,
    overloads,
    shut_sides,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place import Placement

__all__ = ["greedy"]


def greedy(
    network: Network, chip: Chip, placement: Placement, *, keep: Routing | None
) -> Routing:
    """Route sources with most targets first; each extends its tree by shortest ways.

    The tree of one source grows from everything it already has to the nearest tile it still
    misses (Takahashi and Matsuyama 1980); among shortest ways it takes the one with most free
    lines. Trees are not taken up again once they lie, so a legal routing may exist where this
    router finds none.

    Raises
    ------
    RoutingError
        If a target cannot be reached over free lines; the message names the sides that would
        be overloaded if lines were not counted.
    """
    trees, stuck = _trees(network, chip, placement, keep, chip.capacity)
    if stuck is not None:
        plenty = np.where(chip.capacity > 0, np.int32(1 << 30), chip.capacity)
        free, cut_off = _trees(network, chip, placement, None, plenty)
        if cut_off is not None:
            raise RoutingError(
                f"Source {cut_off[0]} cannot reach {chip.cell_name(cut_off[1])}: broken tiles "
                "and lines cut it off. Place it elsewhere, or use a chip with fewer faults."
            )
        load = np.zeros((chip.cells, 4), np.int64)
        for cells, sides in free:
            np.add.at(load, (cells, sides), 1)
        named = overloads(chip, load)
        reason = (
            "shortest routes would overload " + "; ".join(named[:8])
            if named
            else "shortest routes alone would fit, but not beside those that are kept"
        )
        more = f" and {len(named) - 8} more sides" if len(named) > 8 else ""
        raise RoutingError(
            f"Source {stuck[0]} cannot reach {chip.cell_name(stuck[1])} over free lines: "
            f"{reason}{more}. Use more lines a side, smaller fan-in, or another placement."
        )
    return _with_lines(network, chip, placement, trees, keep)


Tree = tuple["NDArray[np.int32]", "NDArray[np.int32]"]


def _trees(
    network: Network,
    chip: Chip,
    placement: Placement,
    keep: Routing | None,
    capacity: NDArray[np.int32],
) -> tuple[list[Tree], tuple[int, int] | None]:
    """Route all sources; return (cell, side) of their links, and the (source, cell) missed."""
    beyond = chip.neighbours
    is_router = chip.is_router
    load = np.zeros((chip.cells, 4), np.int32)
    shut = shut_sides(chip, placement)
    empty = np.empty(0, np.int32)
    trees: list[Tree] = [(empty, empty)] * network.sources
    kept = 0
    if keep is not None:
        load += keep.load(chip).astype(np.int32)
        kept = keep.offsets.size - 1
    wanted = destinations(network, chip, placement)
    start = np.searchsorted(wanted[:, 0], np.arange(network.sources + 1))
    fan_out = np.diff(start)
    for source in np.argsort(-fan_out, kind="stable").tolist():
        targets = wanted[start[source] : start[source + 1], 1].astype(np.int32)
        cells = np.empty(chip.cells, np.int32)
        sides = np.empty(chip.cells, np.int32)
        in_tree = np.zeros(chip.cells, bool)
        edges = 0
        kept_source = _kept_source(network, keep, kept, source)
        if keep is not None and kept_source >= 0:
            part = slice(keep.offsets[kept_source], keep.offsets[kept_source + 1])
            edges = part.stop - part.start
            cells[:edges], sides[:edges] = keep.cell[part], keep.side[part]
            there = beyond[cells[:edges], sides[:edges]]
            in_tree[there[is_router[there]]] = True
            targets = targets[~np.isin(targets, there)]
        if source < network.first_neuron:
            origin, closed = -1, 0
            in_tree[chip.port_cell(int(placement.port[source]))[0]] = True
        else:
            neuron = source - network.first_neuron
            origin = chip.tile_cell(int(placement.tile[neuron]))
            closed = int(shut[neuron])
        edges, missed = _kernels.grow_tree(
            origin, closed, targets, capacity, beyond, is_router, load, in_tree, cells, sides,
            edges,
        )  # fmt: skip
        if missed >= 0:
            return trees, (source, int(missed))
        trees[source] = (cells[:edges].copy(), sides[:edges].copy())
    return trees, None


def _kept_source(network: Network, keep: Routing | None, kept: int, source: int) -> int:
    """Number that `source` had when `keep` was made (a bias line may be new), or -1."""
    if keep is None:
        return -1
    outside = keep.entry_line.size
    if source < network.first_neuron:
        return source if source < outside else -1
    old = source - network.first_neuron + outside
    return old if old < kept else -1


def _with_lines(
    network: Network,
    chip: Chip,
    placement: Placement,
    trees: list[Tree],
    keep: Routing | None,
) -> Routing:
    """Give every link its own line: kept lines first, then the first that is free.

    The outputs of a neuron tile are wired: neuron in slot k drives line k on all four sides.
    """
    free: dict[tuple[int, int], list[int]] = {}
    kept = keep.offsets.size - 1 if keep is not None else 0
    lines: list[NDArray[np.int16]] = [
        np.full(cells.size, -1, np.int16) for cells, _ in trees
    ]
    used: set[tuple[int, int, int]] = set()
    for source in range(network.sources):
        old = _kept_source(network, keep, kept, source)
        if keep is not None and old >= 0:
            part = slice(keep.offsets[old], keep.offsets[old + 1])
            lines[source][: part.stop - part.start] = keep.line[part]
            used |= set(
                zip(
                    keep.cell[part].tolist(),
                    keep.side[part].tolist(),
                    keep.line[part].tolist(),
                    strict=True,
                )
            )
    for source, (cells, sides) in enumerate(trees):
        for k in np.flatnonzero(lines[source] < 0).tolist():
            link = int(cells[k]), int(sides[k])
            if chip.kinds[link[0]] == "NT":
                lines[source][k] = placement.slot[source - network.first_neuron]
                continue
            if link not in free:
                whole = np.arange(chip.capacity[link])
                at = np.full(whole.size, link[0]), np.full(whole.size, link[1])
                free[link] = [
                    line
                    for line in chip.line_numbers(*at, whole)[::-1].tolist()
                    if (*link, line) not in used
                ]
            lines[source][k] = free[link].pop()
    return Routing(
        offsets=np.cumsum([0, *(cells.size for cells, _ in trees)]).astype(np.int64),
        cell=np.concatenate([np.empty(0, np.int32), *(cells for cells, _ in trees)]),
        side=np.concatenate([np.empty(0, np.int32), *(sides for _, sides in trees)]).astype(
            np.int8
        ),
        line=np.concatenate([np.empty(0, np.int16), *lines]),
        entry_line=entry_lines(chip, placement),
    )
