"""Routers side by side: lengths, lines, densities, growth and speed.

    python benchmarks/routing.py               # the 8 x 8 and 16 x 32 instances
    python benchmarks/routing.py --large       # 64 x 64 as well: some minutes
    python benchmarks/routing.py --out FOLDER  # also write routing-*.csv

Instances and their layouts are those of `families`. Times are CPU seconds of this process,
without compiling.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from exact_trees import shortest_tree
from families import Instance, communities, lattice
from plain_one_turn import ports

from mosaic_sim import (
    CapacityError,
    Chip,
    Network,
    Placement,
    Routing,
    RoutingError,
    chip_preset,
    route,
)
from mosaic_sim.connectivity import draw_reach
from mosaic_sim.place import arrivals
from mosaic_sim.route import cut_bound, minimum_lines, one_turn_loads, port_violations

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = dict[str, Any]


def timed(work: Any) -> tuple[Any, float]:
    """Do some work; return what comes out, and the CPU seconds it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def between_routers(chip: Chip, routing: Routing) -> int:
    """Most sources on a link between two routing tiles: the lines of R0 it needs."""
    beyond = chip.neighbours
    inside = (beyond >= 0) & chip.is_router[:, None] & chip.is_router[beyond]
    return int(routing.load(chip)[inside].max(initial=0))


def into_tiles(instance: Instance, placement: Placement) -> int:
    """Sources that arrive at the busiest tile, over four sides: a bound on lines into it."""
    pair = arrivals(instance.network, placement)
    foreign = placement.tile[pair[:, 0]] != pair[:, 1]
    return -(-int(np.bincount(pair[foreign, 1]).max()) // 4)


def with_lines(instance: Instance, r0_lines: int) -> Chip:
    """Return the chip with these R0 lines, and a tenth more lines into tiles than the bound."""
    assert instance.reference is not None
    tile_lines = int(1.1 * into_tiles(instance, instance.reference)) + 1
    return replace(instance.chip, r0_lines=r0_lines, tile_lines=tile_lines)


def lengths_and_lines(large: bool) -> list[Row]:
    """All routers on chips with plenty of lines, and the fewest that `negotiated` needs."""
    sizes = [(8, 8), (16, 32), *([(64, 64)] if large else [])]
    rows = []
    for family in (communities, lattice):
        for size in sizes:
            instance = family(*size)
            network, chip, layout = instance.network, instance.chip, instance.reference
            assert layout is not None
            row: Row = {"instance": instance.name, "nets": network.neurons}
            for router in ("one_turn", "trunk", "steiner"):
                routing, seconds = timed(
                    lambda router=router, args=(network, chip, layout): route(
                        *args, router=router
                    )
                )
                row[f"{router} segments"] = routing.cell.size
                row[f"{router} lines"] = between_routers(chip, routing)
                row[f"{router} s"] = round(seconds, 3)
            bound = cut_bound(network, chip, layout)
            row["bound"] = bound
            if size[0] * size[1] < 4096:
                row["least"] = minimum_lines(
                    network, with_lines(instance, 1), layout
                ).r0_lines
            else:  # that would take an hour; two numbers of lines are tried instead
                row["least"] = _first_legal(instance, [int(bound * f) for f in (1.05, 1.1)])
            tight = with_lines(instance, row["least"])
            routing, seconds = timed(
                lambda tight=tight, args=(network, layout): route(args[0], tight, args[1])
            )
            row["least segments"], row["least s"] = routing.cell.size, round(seconds, 2)
            row["least / bound"] = round(row["least"] / bound, 3)
            row["least / one_turn"] = round(row["least"] / row["one_turn lines"], 3)
            ease = with_lines(instance, int(0.6 * row["one_turn lines"]))
            if ease.r0_lines >= row["least"]:
                routing = route(network, ease, layout)
                row["60% segments / one_turn"] = round(
                    routing.cell.size / row["one_turn segments"], 3
                )
            rows.append(row)
            print(row, flush=True)
    return rows


def _first_legal(instance: Instance, lines: list[int]) -> int:
    assert instance.reference is not None
    for count in lines:
        try:
            route(instance.network, with_lines(instance, count), instance.reference)
        except RoutingError:
            continue
        return count
    raise RoutingError(f"None of {lines} lines is enough.")


def against_exact(nets: int = 200) -> list[Row]:
    """Links of trees with 2 to 7 goals, against the shortest there are."""
    rows = []
    for family in (communities, lattice):
        instance = family(8, 8)
        network, chip, layout = instance.network, instance.chip, instance.reference
        assert layout is not None
        pair = arrivals(network, layout)
        pair = pair[layout.tile[pair[:, 0]] != pair[:, 1]]
        many = np.bincount(pair[:, 0], minlength=network.sources)
        few = np.flatnonzero((many >= 2) & (many <= 7))
        some = np.random.default_rng(0).permutation(few)[:nets]
        best = np.array(
            [
                shortest_tree(
                    chip,
                    int(chip.tile_cells[layout.tile[source]]),
                    chip.tile_cells[pair[pair[:, 0] == source, 1]].tolist(),
                )
                for source in some
            ]
        )
        row: Row = {"instance": instance.name, "nets": some.size}
        for router in ("one_turn", "trunk", "steiner"):
            laid = np.diff(route(network, chip, layout, router=router).offsets)[some]
            row[f"{router} / exact"] = round(float(laid.sum() / best.sum()), 4)
        rows.append(row)
        print(row, flush=True)
    return rows


def readers(chip: Chip, reach: NDArray[np.bool_]) -> tuple[Network, Placement]:
    """Neurons in order on a chip; what reaches a tile is read by the first neuron there."""
    source, tile = np.nonzero(reach)
    k = chip.neurons_per_tile
    network = Network.from_synapses(
        inputs=0, neurons=chip.neurons, source=source, target=tile * k, weight=1.0, delay=1
    )
    neuron = np.arange(chip.neurons, dtype=np.int32)
    return network, Placement(neuron // k, neuron % k, np.zeros(0, np.int32))


def densities() -> list[Row]:
    """Largest density of diagonal connections that fits the published capacities.

    Each neuron is joined to each neighbouring tile with probability 0.8, to each diagonal one
    with p3: always the same random numbers for a seed, so that networks only grow with p3.
    `lines into tiles` is where more sources reach some tile than its four sides have lines:
    no router can go beyond.
    """
    rows = []
    small = chip_preset("routing-aware")
    for chip, seeds in ((small, 5), (replace(small, rows=8, columns=8), 3)):
        home = np.arange(chip.neurons) // chip.neurons_per_tile
        hops = chip.tile_hops[home]

        def published(reach: NDArray[np.bool_], chip: Chip = chip) -> bool:
            return port_violations(chip, one_turn_loads(chip, reach).ports) == 0

        def arrive(reach: NDArray[np.bool_], chip: Chip = chip) -> bool:
            return bool((reach.sum(0) <= 4 * chip.tile_lines).all())

        def ours(reach: NDArray[np.bool_], chip: Chip = chip) -> bool:
            network, placement = readers(chip, reach)
            try:
                route(network, chip, placement)
            except CapacityError:  # too many lines into a tile, or no legal routing
                return False
            return True

        means: dict[str, float] = {}
        for name, fits in (
            ("one_turn", published), ("negotiated", ours), ("lines into tiles", arrive)
        ):  # fmt: skip
            found = []
            for seed in range(seeds):
                chance = np.random.default_rng(seed).random(hops.shape)
                low, high = 0, 256  # thousandths
                while high - low > 1:
                    middle = (low + high) // 2
                    near, far = (hops == 1) & (chance < 0.8), hops == 3
                    if fits(near | (far & (chance < middle / 1000))):
                        low = middle
                    else:
                        high = middle
                found.append(low / 1000)
            means[name] = float(np.mean(found))
        row: Row = {"chip": f"{chip.rows}x{chip.columns}", "seeds": seeds}
        row |= {f"{name} p3": round(p, 4) for name, p in means.items()}
        row["times"] = round(means["negotiated"] / means["one_turn"], 1)
        rows.append(row)
        print(row, flush=True)
    return rows


def grown(instance: Instance, late: float, seed: int = 0) -> tuple[Network, ...] | Any:
    """(network before, network after, its layout): the last neurons are born late."""
    layout = instance.reference
    assert layout is not None
    network = instance.network
    order = np.random.default_rng(seed).permutation(network.neurons)
    after = network.reordered(order)
    tile, slot = layout.tile[order], layout.slot[order]
    first = round((1 - late) * network.neurons)
    kept = (after.source < first) & (after.target < first)
    before = Network.from_synapses(
        inputs=0, neurons=first, source=after.source[kept], target=after.target[kept],
        weight=1.0, delay=1,
    )  # fmt: skip
    return before, after, Placement(tile, slot, layout.port), first


def growth() -> list[Row]:
    """Ten percent of the neurons arrive late, in their places: and what that changes."""
    rows = []
    for instance in (communities(8, 8), communities(16, 32)):
        before, after, layout, first = grown(instance, 0.1)
        early = Placement(layout.tile[:first], layout.slot[:first], layout.port)
        bound = cut_bound(after, instance.chip, layout)
        for factor in (1.15, 1.3, 1.6):
            if factor == 1.15 and instance.chip.rows == 8:
                continue  # tighter than routing from scratch gets
            chip = with_lines(instance, int(factor * bound))
            chip = replace(
                chip, tile_lines=int(1.1 * into_tiles(replace(instance, network=after), layout)) + 1
            )  # fmt: skip
            old = route(before, chip, early)
            new, seconds = timed(
                lambda chip=chip, old=old, args=(after, layout): route(
                    args[0], chip, args[1], keep=old, rip=True
                )
            )
            scratch, whole = timed(
                lambda chip=chip, args=(after, layout): route(args[0], chip, args[1])
            )
            unchanged, touched = _touched(before, after, layout, old, new, first)
            row = {
                "instance": instance.name, "lines / bound": factor, "unchanged": unchanged,
                "touched": touched, "share": round(touched / unchanged, 4),
                "s": round(seconds, 2), "s from scratch": round(whole, 2),
                "segments / from scratch": round(new.cell.size / scratch.cell.size, 4),
            }  # fmt: skip
            rows.append(row)
            print(row, flush=True)
    return rows


def _touched(
    before: Network,
    after: Network,
    layout: Placement,
    old: Routing,
    new: Routing,
    first: int,
) -> tuple[int, int]:
    """(nets whose targets stayed the same, those of them whose links or lines did not)."""
    early = Placement(layout.tile[:first], layout.slot[:first], layout.port)
    was, now = arrivals(before, early), arrivals(after, layout)
    unchanged = touched = 0
    for i in range(first):
        a = was[np.searchsorted(was[:, 0], i) : np.searchsorted(was[:, 0], i + 1), 1]
        b = now[np.searchsorted(now[:, 0], i) : np.searchsorted(now[:, 0], i + 1), 1]
        a, b = a[a != layout.tile[i]], b[b != layout.tile[i]]
        if not np.array_equal(np.sort(a), np.sort(b)):
            continue
        unchanged += 1
        one, two = (slice(r.offsets[i], r.offsets[i + 1]) for r in (old, new))
        touched += any(
            not np.array_equal(getattr(old, name)[one], getattr(new, name)[two])
            for name in ("cell", "side", "line")
        )
    return unchanged, touched


def speed() -> list[Row]:
    """The one-turn ports of an 8 x 8 chip, against plain Python by the same rules."""
    chip = replace(chip_preset("routing-aware"), rows=8, columns=8)
    reach = draw_reach(chip, {1: 0.8, 3: 0.1, 5: 0.05, 7: 0.05, 9: 0.05}, 0)
    fast = one_turn_loads(chip, reach)
    seconds = timed(lambda: [one_turn_loads(chip, reach) for _ in range(100)])[1]
    slow, plain = timed(lambda: ports(chip, reach))
    assert np.array_equal(fast.ports.reshape(slow.shape), slow)
    row = {"connections": int(reach.sum()), "plain s": round(plain, 3)}
    row |= {"compiled s": seconds / 100, "times": round(plain / seconds * 100)}
    print(row, flush=True)
    return [row]


def main() -> None:
    """Print the tables, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="64 x 64 tiles, too")
    parser.add_argument("--out", type=Path, help="folder for CSV files")
    parser.add_argument("--only", help="one of: lines, exact, densities, growth, speed")
    args = parser.parse_args()
    route(*_warm())
    tables = {
        "lines": lambda: lengths_and_lines(args.large),
        "exact": against_exact,
        "densities": densities,
        "growth": growth,
        "speed": speed,
    }
    for name, table in tables.items():
        if args.only in (None, name):
            print(f"\n{name}")
            rows = table()
            if args.out is not None:
                write(args.out / f"routing-{name}.csv", rows)


def _warm() -> tuple[Network, Chip, Placement]:
    """A routing that compiles everything, outside of what is timed."""
    instance = communities(2, 2)
    assert instance.reference is not None
    for router in ("trunk", "one_turn", "steiner"):
        route(instance.network, instance.chip, instance.reference, router=router)
    return instance.network, instance.chip, instance.reference


def write(path: Path, rows: list[Row]) -> None:
    """Write rows as CSV, with all columns that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
