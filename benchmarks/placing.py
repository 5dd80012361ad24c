"""Cost, time and memory of the placers on families of networks with known layouts.

    python benchmarks/placing.py --sizes 8x8 16x32 --seeds 3 --out placing.json

Prints H / H(reference) (for layers: H itself), CPU seconds, neurons a second and the peak
memory of a process that does nothing else. Sources of "layers uneven" have log-normal rates.
Each run has a process of its own, with compiled kernels loaded beforehand. The file holds one
record a run, JSON or CSV by its ending.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import families
import numpy as np

from mosaic_sim import MosaicError, place
from mosaic_sim.place import hop_cost

if TYPE_CHECKING:
    from collections.abc import Callable

FAMILIES: dict[str, Callable[[int, int, int], families.Instance]] = {
    "cliques": families.cliques,
    "communities": families.communities,
    "lattice": families.lattice,
    "communities 85%": lambda r, c, seed: families.communities(r, c, seed, fill=0.85),
    "layers dense": lambda r, c, seed: families.layers(r, c, _layers(r, c), seed),
    "layers uneven": lambda r, c, seed: families.layers(r, c, _layers(r, c), seed),
    "layers local": lambda r, c, seed: families.layers(r, c, _layers(r, c), seed, reach=32),
}
# Greedy needs minutes for some thousand neurons.
PLACERS = ("in order", "hilbert", "random", "spectral", "layered", "multilevel")


def _layers(rows: int, columns: int) -> tuple[int, ...]:
    """784-512-512-10 on 64 tiles, in proportion on more."""
    tiles = rows * columns
    return (784 * tiles // 64, 512 * tiles // 64, 512 * tiles // 64, 10)


def run(family: str, size: str, seed: int, placer: str, effort: float) -> dict[str, Any]:
    """Place one instance and measure it; in a process of its own."""
    rows, columns = map(int, size.split("x"))
    warm = families.communities(2, 2)
    place(warm.network, warm.chip, placer=placer, effort=effort)
    instance = FAMILIES[family](rows, columns, seed)
    network, chip = instance.network, instance.chip
    rates = None
    if family == "layers uneven":
        rates = np.random.default_rng(seed).lognormal(0, 1, network.sources)
    start = time.process_time()
    try:
        placement = place(
            network, chip, rates=rates, placer=placer, effort=effort, seed=seed
        )
    except MosaicError as refusal:
        return {"family": family, "size": size, "placer": placer, "refused": str(refusal)}
    seconds = time.process_time() - start
    cost = hop_cost(network, chip, placement, rates)
    reference = None
    if instance.reference is not None:
        reference = hop_cost(network, chip, instance.reference)
    return {
        "family": family, "size": size, "seed": seed, "placer": placer, "effort": effort,
        "neurons": network.neurons, "synapses": network.synapses, "cost": cost,
        "reference": reference, "relative": cost / reference if reference else None,
        "cpu_seconds": seconds, "neurons_per_second": network.neurons / max(seconds, 1e-9),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def table(records: list[dict[str, Any]]) -> str:
    """One row a placer and family: mean (worst) over seeds."""
    lines = [
        f"{'family':<16} {'tiles':<6} {'placer':<11} {'H / reference':>16} {'CPU s':>8} "
        f"{'neurons/s':>10} {'peak MB':>8}"
    ]
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for record in records:
        rows.setdefault((record["family"], record["size"], record["placer"]), []).append(
            record
        )
    for (family, size, placer), runs in rows.items():
        if any("refused" in one for one in runs):
            lines.append(f"{family:<16} {size:<6} {placer:<11} refused")
            continue
        costs = [one["relative"] or one["cost"] for one in runs]
        shown = f"{np.mean(costs):.4f}" if costs[0] < 1e4 else f"{np.mean(costs):,.0f}"
        if len(costs) > 1 and costs[0] < 1e4:
            shown += f" ({max(costs):.4f})"
        seconds = np.mean([one["cpu_seconds"] for one in runs])
        lines.append(
            f"{family:<16} {size:<6} {placer:<11} {shown:>16} {seconds:>8.2f} "
            f"{np.mean([one['neurons_per_second'] for one in runs]):>10,.0f} "
            f"{max(one['peak_mb'] for one in runs):>8,.0f}"
        )
    return "\n".join(lines)


def save(records: list[dict[str, Any]], path: Path) -> None:
    """Write one record a run, as CSV or JSON by the ending of `path`."""
    if path.suffix == ".csv":
        names = list(dict.fromkeys(name for record in records for name in record))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(records)
    else:
        path.write_text(json.dumps(records, indent=1) + "\n")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", nargs="+", default=["8x8", "16x32"], help="rows x columns"
    )
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--placers", nargs="+", default=list(PLACERS))
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--effort", type=float, default=1.0)
    parser.add_argument("--out", type=Path, help="file for the records, .json or .csv")
    options = parser.parse_args()
    records = []
    context = multiprocessing.get_context("spawn")
    for size in options.sizes:
        for family in options.families:
            if family in ("layers dense", "layers uneven") and size != "8x8":
                continue  # forty million synapses and more
            for placer in options.placers:
                for seed in range(options.seeds):
                    with context.Pool(1) as pool:
                        job = family, size, seed, placer, options.effort
                        records.append(pool.apply(run, job))
                print(table(records).splitlines()[-1], flush=True)
                if options.out is not None:
                    save(records, options.out)
    print()
    print(table(records))


if __name__ == "__main__":
    main()
