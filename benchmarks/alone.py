"""Measure our simulator alone: building, threads, the first result, and a million neurons.

``python benchmarks/alone.py [--large]``; part of ``make bench``. Times of processes are CPU
times of fresh ones. ``--large`` adds a million neurons with a hundred synapses each, which
takes some minutes and 8 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import ours
from networks import SmallWorld, small_world
from rich.console import Console
from rich.table import Table

REPETITIONS = 5
FIRST = """
import sys, numpy
sys.path.insert(0, sys.argv[1])
import ours
from networks import SmallWorld
with numpy.load(sys.argv[2]) as arrays:
    net = SmallWorld(**{name: arrays[name][()] for name in arrays})
ours.run_totals(ours.prepare(net, searched=sys.argv[3] == "searched"), 100)
"""


def process_seconds(*command: str, **environment: str) -> float:
    """CPU seconds of one Python process that may keep byte code, as that of a package is."""
    environment = {"PYTHONDONTWRITEBYTECODE": "", **environment}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], env=os.environ | environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_result(how: str) -> tuple[float, float]:
    """CPU seconds of a process that runs 1024 neurons for 100 steps: warm and cold.

    Placed and routed by the defaults if `how` is "searched", else by a layout that is given.
    """
    net = small_world(1024, 32, 0.02)
    here = str(Path(__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "net.npz")
        np.savez(path, **{field.name: getattr(net, field.name) for field in fields(net)})
        run = ("-c", FIRST, here, path, how)
        process_seconds(*run)
        warm = statistics.median(process_seconds(*run) for _ in range(REPETITIONS))
        cold = process_seconds(*run, NUMBA_CACHE_DIR=folder)
    return warm, cold


def importing() -> float:
    """CPU seconds of a process that imports the package, which must not load torch."""
    load = "import mosaic_sim, sys; assert 'torch' not in sys.modules, 'torch was imported'"
    process_seconds("-c", load)
    return statistics.median(process_seconds("-c", load) for _ in range(REPETITIONS))


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def build(neurons: int, fan_out: int, rate: float, far: float) -> dict[str, float]:
    """Prepare a network and run it, in this process, once kernels are cached."""
    ours.run_totals(ours.prepare(small_world(1024, 32, 0.02)), 10)
    net = small_world(neurons, fan_out, rate, far=far)
    before = resident()
    wall, cpu = time.perf_counter(), time.process_time()
    prepared = ours.prepare(net)
    result = {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "kept": resident() - before,
        "most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before,
    }
    ours.run_totals(prepared, 1)
    seconds = []
    for steps in (net.warm_up, net.warm_up + 40):
        cpu = time.process_time()
        spikes = int(ours.run_plain(prepared, steps).total[1:].sum())
        seconds.append((time.process_time() - cpu, spikes))
    (short, few), (long, many) = seconds
    result["event"] = (long - short) / max(many - few, 1) / net.fan_out
    result["all"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result


def built(neurons: int, fan_out: int, rate: float, far: float = 0.002) -> dict[str, float]:
    """`build` in a fresh process."""
    command = [sys.executable, __file__, "--build", str(neurons), str(fan_out)]
    command += [str(rate), str(far)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def threads(net: SmallWorld, samples: int) -> float:
    """How many times less wall time two threads need than one."""
    prepared = ours.prepare(net, kicked=True)
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(REPETITIONS):
        for count, seen in walls.items():
            begin = time.perf_counter()
            ours.run_totals(prepared, net.warm_up + 100, samples, threads=count)
            seen.append(time.perf_counter() - begin)
    return statistics.median(walls[1]) / statistics.median(walls[2])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--large", action="store_true", help="add a million neurons")
    parser.add_argument("--build", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        neurons, fan_out, rate, far = options.build
        print(json.dumps(build(int(neurons), int(fan_out), float(rate), float(far))))
        return
    table = Table(title="Our simulator alone", title_justify="left")
    for column in ("what", "measured", "goal", ""):
        table.add_column(column, justify="left" if column == "what" else "right")

    def row(what: str, value: float, unit: str, bound: float, least: bool = False) -> None:
        met = value >= bound if least else value <= bound
        table.add_row(
            what, f"{value:.3g} {unit}", f"{'>=' if least else '<='} {bound:g} {unit}",
            "[green]met[/]" if met else "[bold red]missed[/]",
        )  # fmt: skip

    for how, text in (("searched", "searched by default"), ("given", "layout given")):
        warm, cold = first_result(how)
        row(f"first result, 1k neurons, 100 steps, {text}: CPU", warm, "s", 0.9)
        row("the same with nothing compiled: CPU", cold, "s", 5)
    row("import mosaic_sim, without torch: CPU", importing(), "s", 0.5)
    few = built(16384, 128, 0.005)
    synapses = 16384 * 129  # with the bias line's
    row("16k x 128: build, route and compile: CPU", few["cpu"], "s", 0.3)
    row("16k x 128: memory kept", few["kept"] / synapses, "B/synapse", 40)
    row("16k x 128: memory at most", few["most"] / synapses, "B/synapse", 40)
    if (os.cpu_count() or 1) >= 2:
        speed = threads(small_world(4096, 32, 0.02), 64)
        row("4k x 32, 64 samples: one thread over two: wall", speed, "x", 1.8, least=True)
    else:
        table.add_row("one thread over two", "there is one core", "", "")
    if options.large:
        many = built(2**20, 100, 0.02, far=0.0)  # neighbours only
        row("1M x 100: build, route and compile: wall", many["wall"], "s", 120)
        row("1M x 100: memory of the process at most", many["all"] / 2**30, "GiB", 8)
        same = built(16384, 128, 0.02)
        row("1M x 100: an event against 16k x 128", many["event"] / same["event"], "x", 2)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
