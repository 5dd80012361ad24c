"""Seeded networks with a layout that is known to be good, to judge placers and routers by.

Each family gives a network whose neurons are numbered at random, a chip that it fits, and a
reference layout: the one that the network was made from. All have 32 neurons a tile.

- `cliques`: groups in which everybody talks to everybody. A group of more than 32 neurons
  needs two tiles, so each of its members pays at least one hop; a smaller one needs none. The
  reference pays no more, so it is an optimum, and H of it a certificate.
- `communities`: a tile's neurons talk to one another (70 %), to the eight tiles around (26 %)
  and to anybody (4 %). With `fill` below 1 each tile of the reference has free slots.
- `lattice`: neurons lie in the plane and talk to their nearest neighbours, except for 7 %
  rewired at random (Watts and Strogatz 1998). There are no communities to find.
- `layers`: feed-forward layers; `reach` limits each neuron to that many neighbours of the
  layer before. No reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim import Chip, Network, Placement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "NEURONS",
    "Instance",
    "cliques",
    "communities",
    "lattice",
    "layers",
    "roomy_chip",
]

NEURONS = 32
"""Neurons a tile."""
FAN_OUT = 32


@dataclass(frozen=True, eq=False)
class Instance:
    """A network, a chip, and the layout that the network was made from (None for layers)."""

    name: str
    network: Network
    chip: Chip
    reference: Placement | None


def roomy_chip(rows: int, columns: int, lines: int = 2048) -> Chip:
    """Return a chip on which lines are not what is scarce."""
    return Chip(rows, columns, NEURONS, lines, lines, lines)


def cliques(rows: int, columns: int, seed: int = 0) -> Instance:
    """Groups of 33 to 60 neurons across two neighbouring tiles, and small ones that fill up."""
    rng = np.random.default_rng(seed)
    groups: list[NDArray[np.int64]] = []
    home: list[NDArray[np.int64]] = []
    first = 0
    for path in _paths(rows, columns, rng):
        left = NEURONS
        for at, tile in enumerate(path):
            here = there = 0
            if at + 1 < len(path) and left >= 8:
                here = int(rng.integers(8, left + 1))
                there = int(rng.integers(max(NEURONS + 1 - here, 4), 29))
            small = left - here
            while small:
                size = int(min(small, rng.integers(4, 17)))
                groups.append(first + np.arange(size))
                home.append(np.full(size, tile))
                first, small = first + size, small - size
            if here:
                groups.append(first + np.arange(here + there))
                home.append(np.repeat([tile, path[at + 1]], [here, there]))
                first += here + there
            left = NEURONS - there
    source = np.concatenate([np.repeat(g, g.size) for g in groups])
    target = np.concatenate([np.tile(g, g.size) for g in groups])
    own = source == target
    return _instance(
        f"cliques {rows}x{columns}", roomy_chip(rows, columns), source[~own], target[~own],
        np.concatenate(home), rng,
    )  # fmt: skip


def _paths(rows: int, columns: int, rng: np.random.Generator) -> list[list[int]]:
    """Cover all tiles by paths of one to six neighbours."""
    free = np.ones(rows * columns, bool)
    paths = []
    for start in rng.permutation(rows * columns).tolist():
        path: list[int] = []
        tile = start
        while tile >= 0 and free[tile] and len(path) < 6:
            path.append(tile)
            free[tile] = False
            r, c = divmod(tile, columns)
            near = [
                (r + a) * columns + c + b
                for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0))
                if 0 <= r + a < rows and 0 <= c + b < columns
            ]
            near = [there for there in near if free[there]]
            tile = int(rng.choice(near)) if near else -1
        if path:
            paths.append(path)
    return paths


def communities(
    rows: int, columns: int, seed: int = 0, *, fill: float = 1.0, lines: int = 2048
) -> Instance:
    """One community a tile, with strong ties to the tiles around it."""
    rng = np.random.default_rng(seed)
    tiles = rows * columns
    neurons = round(fill * tiles * NEURONS)
    home = np.sort(np.arange(neurons) % tiles)
    members = np.bincount(home, minlength=tiles)
    begin = np.concatenate([[0], np.cumsum(members)[:-1]])
    source = np.repeat(np.arange(neurons), FAN_OUT)
    row, column = np.divmod(home[source], columns)
    kind = rng.random(source.size)
    step = rng.integers(0, 8, source.size)
    step += step >= 4  # the nine of a square without its middle
    r = np.where((kind >= 0.70) & (kind < 0.96), row + step // 3 - 1, row)
    c = np.where((kind >= 0.70) & (kind < 0.96), column + step % 3 - 1, column)
    outside = (r < 0) | (r >= rows) | (c < 0) | (c >= columns)
    tile = np.where(outside, home[source], r * columns + c)
    target = begin[tile] + (rng.random(source.size) * members[tile]).astype(np.int64)
    far = kind >= 0.96
    target[far] = rng.integers(0, neurons, int(far.sum()))
    keep = source != target
    name = "communities" if fill == 1 else f"communities at {fill:.0%}"
    return _instance(
        f"{name} {rows}x{columns}", roomy_chip(rows, columns, lines), source[keep],
        target[keep], home, rng,
    )  # fmt: skip


def lattice(rows: int, columns: int, seed: int = 0, *, lines: int = 2048) -> Instance:
    """Each neuron talks to the 32 nearest in a plane of 4 x 8 neurons a tile; 7 % rewired."""
    rng = np.random.default_rng(seed)
    height, width = 4 * rows, 8 * columns
    reach = np.array(
        [(a, b) for a in range(-4, 5) for b in range(-4, 5) if (a, b) != (0, 0)]
    )
    # Nearest first, ties broken by chance but the same for all.
    order = np.lexsort((rng.random(len(reach)), (reach**2).sum(1)))
    reach = reach[order][:FAN_OUT]
    y, x = np.divmod(np.arange(height * width), width)
    source = np.repeat(np.arange(height * width), FAN_OUT)
    ty = y[source] + np.tile(reach[:, 0], height * width)
    tx = x[source] + np.tile(reach[:, 1], height * width)
    inside = (ty >= 0) & (ty < height) & (tx >= 0) & (tx < width)
    target = np.where(inside, ty * width + tx, 0)
    rewired = ~inside | (rng.random(source.size) < 0.07)
    # At the border too few are near: half of what would lie outside is left out.
    keep = inside | (rng.random(source.size) < 0.1)
    target[rewired] = rng.integers(0, height * width, int(rewired.sum()))
    keep &= source != target
    home = (y // 4) * columns + x // 8
    return _instance(
        f"lattice {rows}x{columns}", roomy_chip(rows, columns, lines), source[keep],
        target[keep], home, rng,
    )  # fmt: skip


def layers(
    rows: int,
    columns: int,
    sizes: Sequence[int],
    seed: int = 0,
    *,
    reach: int | None = None,
) -> Instance:
    """Feed-forward layers of `sizes` neurons, dense or with `reach` sources each, in order."""
    rng = np.random.default_rng(seed)
    begin = np.concatenate([[0], np.cumsum(sizes)])
    source, target = [], []
    for before, after, a, b in zip(
        sizes[:-1], sizes[1:], begin[:-2], begin[1:-1], strict=True
    ):
        wide = before if reach is None else min(reach, before)
        start = np.round(np.linspace(0, before - wide, after)).astype(np.int64)
        source.append((a + start[:, None] + np.arange(wide)).ravel())
        target.append(np.repeat(b + np.arange(after), wide))
    name = "dense" if reach is None else "local"
    return _instance(
        f"{name} layers {'-'.join(map(str, sizes))}", roomy_chip(rows, columns),
        np.concatenate(source), np.concatenate(target), None, rng,
    )  # fmt: skip


def _instance(
    name: str,
    chip: Chip,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    home: NDArray[np.int64] | None,
    rng: np.random.Generator,
) -> Instance:
    """Number the neurons at random (layers keep their order) and build the network."""
    neurons = int(max(source.max(), target.max())) + 1 if home is None else home.size
    label = np.arange(neurons) if home is None else rng.permutation(neurons)
    pair = np.unique(label[source] * np.int64(neurons) + label[target])
    network = Network.from_synapses(
        inputs=0, neurons=neurons, source=pair // neurons, target=pair % neurons,
        weight=np.ones(pair.size, np.float32), delay=np.ones(pair.size, np.int16),
    )  # fmt: skip
    if home is None:
        return Instance(name, network, chip, None)
    tile = np.empty(neurons, np.int32)
    tile[label] = home
    slot = np.empty(neurons, np.int32)
    order = np.argsort(tile, kind="stable")
    slot[order] = np.arange(neurons) - np.searchsorted(tile[order], tile[order])
    return Instance(name, network, chip, Placement(tile, slot, np.zeros(0, np.int32)))
