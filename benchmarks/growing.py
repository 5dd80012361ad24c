"""How well networks grow: 10 % of the neurons arrive late on a chip that is programmed.

Each instance of `families` is cut in two: the late neurons, drawn at random or a *burst* that
lived in the middle of the reference layout, and all others, which are on the chip already, in
one of three bases:

- *planted*: where the reference has them, so that free slots lie where the late ones belong;
- *spread*: the same number on every tile, found from the reference by chains and local search;
- *packed*: tiles full from the west, row by row, and free tiles left over in the east.

`relative` is H of the whole network over H of its reference; `moved` the share of programmed
neurons that sit elsewhere afterwards; `microseconds` CPU time for each late neuron; `strain`
H for each synapse over that of the base, which above 1.05 calls for a new layout.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from families import NEURONS, Instance, communities, lattice

from mosaic_sim import Chip, Network, Placement, place
from mosaic_sim.place import PLACERS, Growing, defragment, hop_cost, judge, moved

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LATE = 0.1
SIZES = ((8, 8), (16, 32))


@dataclass(frozen=True, eq=False)
class Case:
    """A network whose neurons from number `kept` on are late, and its reference."""

    name: str
    network: Network
    chip: Chip
    reference: Placement
    kept: int

    @property
    def early(self) -> Network:
        """The network before the late neurons came."""
        return first_neurons(self.network, self.kept)

    @property
    def planted(self) -> Placement:
        """The reference of the early neurons."""
        return first_places(self.reference, self.kept)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    case: str
    base: str
    method: str
    seed: int
    relative: float
    moved: float
    microseconds: float
    strain: float


def late_at_random(instance: Instance, seed: int) -> Case:
    """Let 10 % of the neurons be late, drawn at random."""
    neurons = instance.network.neurons
    order = np.random.default_rng(seed).permutation(neurons)
    return _cut(instance, instance.name, order, round(LATE * neurons))


def late_from_the_middle(instance: Instance, seed: int) -> Case:
    """Let all neurons of a block of tiles in the middle be late, a ninth to a seventh of all."""
    chip = instance.chip
    row, column = np.divmod(instance.reference.tile, chip.columns)
    height, width = (max(round(0.37 * side), 1) for side in (chip.rows, chip.columns))
    top, left = (chip.rows - height) // 2, (chip.columns - width) // 2
    inside = (
        (top <= row) & (row < top + height) & (left <= column) & (column < left + width)
    )
    order = np.random.default_rng(seed).permutation(row.size)
    order = order[np.argsort(inside[order], kind="stable")]
    return _cut(instance, f"{instance.name}, burst", order, int(inside.sum()))


def _cut(instance: Instance, name: str, order: NDArray[np.int64], late: int) -> Case:
    network = instance.network.reordered(order)
    ref = instance.reference
    reference = Placement(ref.tile[order], ref.slot[order], ref.port)
    return Case(name, network, instance.chip, reference, order.size - late)


def first_neurons(network: Network, neurons: int) -> Network:
    """The network of the first neurons alone (families have no inputs)."""
    inside = (network.source < neurons) & (network.target < neurons)
    return Network.from_synapses(
        inputs=0, neurons=neurons, source=network.source[inside],
        target=network.target[inside], weight=network.weight[inside],
        delay=network.delay[inside],
    )  # fmt: skip


def first_places(placement: Placement, neurons: int) -> Placement:
    """The placement of the first neurons alone."""
    return Placement(placement.tile[:neurons], placement.slot[:neurons], placement.port)


# --- bases -----------------------------------------------------------------------------------


def spread(case: Case) -> Placement:
    """Even the reference of the early neurons out: as good as the same number on each tile.

    Of tiles with too many neurons some are taken off, and come back like late ones, pushing
    others aside at no price; then a local search.
    """
    tile = case.planted.tile
    most = -(-case.kept // case.chip.tiles)
    small = replace(case.chip, neurons_per_tile=most)
    rank = _rank(tile)
    order = np.argsort(rank >= most, kind="stable")
    fit = int(np.count_nonzero(rank < most))
    seated = Placement(
        tile[order[:fit]], rank[order[:fit]].astype(np.int32), case.reference.port
    )
    network = case.early.reordered(order)
    base = place(network, small, keep=seated, growing=Growing(0.0, depth=64))
    base = defragment(network, small, base, worth=0.0).placement
    return _back(base, order)


def packed(case: Case) -> Placement:
    """Fill every row of tiles from the west, its neurons in the order of their columns."""
    chip = case.chip
    row, column = np.divmod(case.planted.tile, chip.columns)
    order = np.lexsort((column, row))
    slots = chip.columns * NEURONS
    seat = row[order] * slots + _rank(row[order])
    tile, slot = np.divmod(seat, NEURONS)
    return _back(
        Placement(tile.astype(np.int32), slot.astype(np.int32), case.reference.port), order
    )


def _rank(key: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number of earlier entries with the same key."""
    order = np.argsort(key, kind="stable")
    rank = np.empty(key.size, np.int64)
    rank[order] = np.arange(key.size) - np.searchsorted(key[order], key[order])
    return rank


def _back(placement: Placement, order: NDArray[np.int64]) -> Placement:
    """Undo a renumbering."""
    tile, slot = np.empty_like(placement.tile), np.empty_like(placement.slot)
    tile[order], slot[order] = placement.tile, placement.slot
    return Placement(tile, slot, placement.port)


BASES: dict[str, Callable[[Case], Placement]] = {
    "planted": lambda case: case.planted,
    "spread": spread,
    "packed": packed,
}

# --- methods ---------------------------------------------------------------------------------


def at_random(network: Network, chip: Chip, *, keep: Placement) -> Placement:
    """Any free slot."""
    taken = np.zeros(chip.neurons, bool)
    taken[keep.tile.astype(np.int64) * chip.neurons_per_tile + keep.slot] = True
    free = np.random.default_rng(0).permutation(np.flatnonzero(~taken))
    tile, slot = np.divmod(free[: network.neurons - keep.tile.size], chip.neurons_per_tile)
    return Placement(
        np.concatenate([keep.tile, tile.astype(np.int32)]),
        np.concatenate([keep.slot, slot.astype(np.int32)]),
        keep.port,
    )


def deep(network: Network, chip: Chip, *, keep: Placement) -> Placement:
    """Ripple along up to 16 tiles at no price, then a local search over all neurons."""
    grown = place(network, chip, keep=keep, growing=Growing(0.0, depth=16))
    return defragment(network, chip, grown, worth=0.0).placement


METHODS: dict[str, Callable[..., Placement]] = {
    "random slot": at_random,
    "frozen": place,
    "ripple": partial(place, growing="ripple"),
    "ripple 16, free": partial(place, growing=Growing(0.0, depth=16)),
    "ripple 16, free, defragmented": deep,
}
if "multilevel" in PLACERS:
    METHODS["re-place"] = lambda network, chip, *, keep: place(
        network, chip, placer="multilevel"
    )


def measure(case: Case, base: str, keep: Placement, method: str, seed: int) -> Row:
    """Grow once, after once to warm up."""
    start = 0.0
    for _ in range(2):
        start = time.process_time()
        grown = METHODS[method](case.network, case.chip, keep=keep)
        start = time.process_time() - start
    late = case.network.neurons - case.kept
    best = hop_cost(case.network, case.chip, case.reference)
    verdict = judge(case.network, case.chip, keep, grown)
    return Row(
        case.name, base, method, seed,
        round(hop_cost(case.network, case.chip, grown) / best, 4),
        round(moved(keep, grown).size / case.kept, 4), round(start / late * 1e6, 1),
        round(verdict.strain, 4),
    )  # fmt: skip


def main() -> None:
    """Print a line for each measurement, and write them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="8 x 8 tiles only")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for growing.json and growing.csv")
    args = parser.parse_args()
    rows = []
    for rows_of_tiles, columns in SIZES[:1] if args.quick else SIZES:
        for family in (communities, lattice):
            for seed in range(args.seeds):
                instance = family(rows_of_tiles, columns, seed)
                for cut in (late_at_random, late_from_the_middle):
                    case = cut(instance, seed)
                    for base, make in BASES.items():
                        keep = make(case)
                        for method in METHODS:
                            rows.append(measure(case, base, keep, method, seed))
                            print(_line(rows[-1]), flush=True)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        table = [asdict(row) for row in rows]
        (args.out / "growing.json").write_text(json.dumps(table, indent=1) + "\n")
        with (args.out / "growing.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)


def _line(row: Row) -> str:
    return (
        f"{row.case:<28} {row.base:<8} {row.method:<30} {row.seed} {row.relative:7.3f} "
        f"{row.moved:6.1%} {row.microseconds:7.0f} us  strain {row.strain:.3f}"
    )


if __name__ == "__main__":
    main()
