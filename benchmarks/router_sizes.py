"""Sizes of tiles that random networks need: ours, the published ones, and the difference.

5 x 5 tiles of 32 neurons, means of ten seeds. With the seeds of the publication the networks are
the same, and the sizes equal one by one; with other seeds the means differ by chance.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from mosaic_sim import Chip
from mosaic_sim.connectivity import draw_reach
from mosaic_sim.memory import memory_of_ports
from mosaic_sim.route import one_turn_loads

PUBLISHED = Path(__file__).parents[1] / "tests" / "data" / "router_size_vs_proba.csv"
CHIP = Chip(5, 5, 32, 32, 32, 32)


def sizes_of(
    p1: float, p3: float, seed: int, *, as_published: bool
) -> tuple[int, int, int]:
    """Lines into a neuron tile, side of R0, side of R1."""
    reach = draw_reach(CHIP, {1: p1, 3: p3}, seed, as_published=as_published)
    memory = memory_of_ports(CHIP, one_turn_loads(CHIP, reach).ports)
    return memory.nt_lines, memory.r0_side, memory.r1_side


def main() -> None:
    """Print a line for each setting, and how far apart the two are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first-seed", type=int, help="draw with NumPy from this seed on")
    first = parser.parse_args().first_seed
    published = defaultdict(list)
    with PUBLISHED.open(newline="") as file:
        for row in csv.DictReader(file):
            published[float(row["p_hop1"]), float(row["p_hop3"])].append(
                (
                    int(row["seed"]),
                    float(row["NT_size_devices"]) / CHIP.neurons_per_tile,
                    math.sqrt(float(row["R0_size_devices"])),
                    math.sqrt(float(row["R1_size_devices"])),
                )
            )
    print("  p1   p3 |    ours: NT    R0     R1 | published: NT    R0     R1 | difference")
    apart, equal, runs = [], 0, 0
    for (p1, p3), theirs in sorted(published.items()):
        ours = [
            sizes_of(
                p1, p3, seed if first is None else first + k, as_published=first is None
            )
            for k, (seed, *_) in enumerate(theirs)
        ]
        sizes = [tuple(run[1:]) for run in theirs]
        equal += sum(a == b for a, b in zip(ours, sizes, strict=True))
        runs += len(ours)
        a, b = np.mean(ours, 0), np.mean(sizes, 0)
        apart.append(a - b)
        print(
            f"{p1:4.2f} {p3:4.2f} | {a[0]:11.1f} {a[1]:5.1f} {a[2]:6.1f} | {b[0]:13.1f} "
            f"{b[1]:5.1f} {b[2]:6.1f} | {a[0] - b[0]:+5.1f} {a[1] - b[1]:+5.1f} "
            f"{a[2] - b[2]:+5.1f}"
        )
    worst = np.abs(apart).max(0)
    print(f"\nequal, run by run: {equal} of {runs}")
    print(f"means furthest apart: NT {worst[0]:.1f}, R0 {worst[1]:.1f}, R1 {worst[2]:.1f}")
    beyond = (np.abs(apart) > [2, 5, 5]).any(1).sum()
    print(f"settings beyond 2 lines or 5 of a side: {beyond} of {len(apart)}")


if __name__ == "__main__":
    main()
