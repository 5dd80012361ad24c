"""Measure what imperfections cost in time: runs of sampled dies against runs of the ideal chip.

``python benchmarks/dies.py``; part of ``make bench``. One thread, medians of CPU times, the same
small-world networks as against the peers; each network sits on a chip with no more lines than
its routes need, rounded up.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import ours
from networks import small_world
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mosaic_sim import EFFECTS, sample_die, simulate, technology_preset

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 200
REPETITIONS = 7
MOST_LINES = 256
"""Lines a side from which coincidence is left out: its tables take gigabytes."""
STATIC = tuple(name for name in EFFECTS if name not in ("wires", "reading", "coincidence"))
KINDS = {
    "fixed in the neuron tiles": ("programming", "variation", "mismatch"),
    "all that is fixed": STATIC,
    "noise of every read": (*STATIC, "reading"),
    "and coincidence, 1,000 windows": (*STATIC, "reading", "coincidence"),
}
"""Wires are left out: on arrays as large as these networks need they swallow the signal."""


def seconds(run: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Print a table: what a run takes, and how many times that with each kind of imperfection."""
    technology = technology_preset("rram-130nm")
    table = Table(title="Time of a run on a die, as a multiple of the ideal chip's")
    for title in ("neurons", "fan-out", "firing [%]", "ideal [ms]", *KINDS, "sampling [s]"):
        table.add_column(title, justify="right")
    networks = [(1024, 32, 0.02), (1024, 32, 0.1), (1024, 128, 0.02), (1024, 128, 0.1)]
    for neurons, fan_out, rate in track(networks, "dies", transient=True):
        net = small_world(neurons, fan_out, rate)
        loose = ours.prepare(net)
        need = int(loose.program.link_line.max()) + 1
        chip = loose.program.geometry
        lines = max(-(-need // 64) * 64, chip.neurons_per_tile)
        tight = replace(chip, tile_lines=lines, r0_lines=lines, r1_lines=lines)
        program = loose.program._replace(
            chip=np.array([*vars(tight).values()][:7], loose.program.chip.dtype)
        )
        spikes = loose.drive(STEPS, 1)
        dies, sampling = [], 0.0
        for effects in KINDS.values():
            if "coincidence" in effects and lines > MOST_LINES:
                dies.append(None)
                continue
            start = time.process_time()
            dies.append(sample_die(program, technology, effects=effects, age=1e6))
            sampling = time.process_time() - start
        runs = [run for run in (program, *dies) if run is not None]
        rounds = [
            [seconds(partial(simulate, run, spikes, threads=1)) for run in runs]
            for _ in range(1 + REPETITIONS)
        ]
        times = rounds[1:]  # the first loads the kernels
        medians = iter(statistics.median(column) for column in zip(*times, strict=True))
        ideal = next(medians)
        table.add_row(
            str(neurons), str(fan_out), f"{100 * rate:g}", f"{1e3 * ideal:.2f}",
            *(f"{next(medians) / ideal:.2f}" if die else "-" for die in dies),
            f"{sampling:.2f}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
