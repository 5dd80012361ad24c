"""Measure our simulator against its peers, on the same networks and the same spikes.

``python benchmarks/against_peers.py [--quick] [--only PATTERN]``; part of ``make bench``.

Networks are those of `networks.small_world`. Every simulator runs on one thread; a figure is
process CPU time per step (and sample), the median of interleaved repetitions after a warm-up,
each as long as a budget of time allows. Building, compiling and what a call costs whatever its
length are left out, and shown in a table of their own. Before a figure counts, the spikes at
the end of all its repetitions are compared with those of the Numba loop, neuron by neuron and
step by step; a difference is an error.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import ours
from networks import SmallWorld, small_world
from peers import PEERS, Numba, Peer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CONSOLE = Console(width=118)
MOST_STEPS = 100_000
TOO_LONG = 1.0
"""A peer that needs more seconds than this for a step does one step, once."""
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
BATCH = 32
SIZES = [(n, f) for n in (1024, 4096, 16384) for f in (32, 128)]
RATES = (0.005, 0.02, 0.1)
NETWORKS = {
    f"{n // 1024}k_f{f}_r{100 * r:g}".replace("r0.5", "r05"): (n, f, r)
    for n, f in SIZES
    for r in RATES
}
QUICK = ("1k_f32_r2", "1k_f128_r10", "4k_f32_r2")


# --- runners ---------------------------------------------------------------------------------


class Ours:
    """One way to run our simulator, timed as peers are: without the warm-up and the call.

    Every call starts from rest, so a run past the warm-up costs the difference of two.
    """

    def __init__(
        self,
        name: str,
        run: Callable[..., Any],
        prepared: ours.Prepared,
        samples: int = 1,
    ) -> None:
        self.name = name
        self.samples = samples
        self.warm_up = prepared.net.warm_up
        self._run, self._prepared = run, prepared

    def call(self, steps: int) -> float:
        """CPU seconds of one call, from rest."""
        begin = time.process_time()
        self._run(self._prepared, steps, self.samples)
        return time.process_time() - begin

    def run(self, steps: int) -> float:
        """CPU seconds of so many steps after the warm-up."""
        return self.call(self.warm_up + steps) - self.call(self.warm_up)


OURS: tuple[tuple[str, Callable[..., Any], int], ...] = (
    ("totals", ours.run_totals, 1),
    ("plain", ours.run_plain, 1),
    ("per tile", ours.run_per_tile, 1),
    ("link loads", ours.run_link_loads, 1),
    ("raster", ours.run_raster, 1),
    (f"batch {BATCH}", ours.run_totals, BATCH),
)


@dataclass(eq=False)
class Measured:
    """A network, what it did, and the seconds per step and sample of all that ran it."""

    name: str
    net: SmallWorld
    spikes: float = 0.0
    messages: float = 0.0
    cost: dict[str, float] = field(default_factory=dict)
    once: set[str] = field(default_factory=set)
    build: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Spikes per neuron and step that were seen."""
        return self.spikes / self.net.neurons


def fit(runner: Peer | Ours, budget: float) -> tuple[int, float]:
    """Find how many steps fit the budget; return them, and the seconds of the last trial.

    Ours get at least as long as the call and the warm-up that are taken off take.
    """
    steps = 1
    if isinstance(runner, Ours):
        warm_up = steps = runner.warm_up
        runner.call(warm_up)
        budget = max(budget, runner.call(warm_up))
        while runner.call(warm_up + steps) < 2 * budget and steps < MOST_STEPS:
            steps *= 2
        return steps, budget
    seconds = runner.run(steps)
    while seconds < budget / 8 and steps < MOST_STEPS:
        steps *= 4
        seconds = runner.run(steps)
    return max(1, min(MOST_STEPS, round(budget / max(seconds, 1e-9) * steps))), seconds


def measure(
    measured: Measured, runners: list[Peer | Ours], budget: float, times: int
) -> None:
    """Time all runners in turn, `times` over."""
    steps: dict[str, int] = {}
    for runner in runners:
        steps[runner.name], seconds = fit(runner, budget)
        if steps[runner.name] == 1 and seconds > TOO_LONG:
            measured.cost[runner.name] = seconds / runner.samples
            measured.once.add(runner.name)
    timed: dict[str, list[float]] = {
        runner.name: [] for runner in runners if runner.name not in measured.once
    }
    for _ in range(times):
        for runner in runners:
            if runner.name in timed:
                seconds = runner.run(steps[runner.name])
                timed[runner.name].append(seconds / steps[runner.name] / runner.samples)
    measured.cost |= {name: statistics.median(costs) for name, costs in timed.items()}


# --- equal spikes ----------------------------------------------------------------------------


def expected(net: SmallWorld, begin: int, sample: int | None = None) -> Any:
    """Spikes of a warm-up's length from step `begin` on, (steps, neurons), by the Numba loop."""
    loop = Numba(sample)
    loop.prepare(net)
    loop.run(begin - net.warm_up)
    return loop.raster(net.warm_up)[0]


def check(name: str, net: SmallWorld, end: int, raster: Any) -> None:
    """Refuse the raster of the last steps before `end` if it differs in a single spike.

    It is as long as the warm-up: in it a neuron fires once or twice, so that what was lost or
    sent twice at any time before shows in one of the many neurons that it should have reached.
    """
    samples = raster.shape[0]
    for sample in range(0, samples, max(1, samples - 1)):  # the first and the last
        right = expected(net, end - net.warm_up, sample if samples > 1 else None)
        if not np.array_equal(raster[sample], right):
            t, j = np.argwhere(raster[sample] != right)[0]
            raise SystemExit(
                f"{name} differs on {net.name}, sample {sample}: first at step "
                f"{end - net.warm_up + t}, neuron {j}."
            )


def check_ours(prepared: ours.Prepared) -> None:
    """Compare our own raster, and our counts over a longer run."""
    net, samples = prepared.net, BATCH if prepared.kicked else 1
    end = 2 * net.warm_up
    raster = ours.run_raster(prepared, end, min(samples, 4)).raster
    check("mosaic_sim", net, end, raster[:, net.warm_up :])
    if not prepared.kicked:
        loop = Numba()
        loop.prepare(net)
        loop.run(10 * net.warm_up)
        if not np.array_equal(ours.run_plain(prepared, loop.step).total[1:], loop.counts):
            raise SystemExit(f"mosaic_sim counts other spikes on {net.name}.")


# --- one network -----------------------------------------------------------------------------


def survey(name: str, peers: list[Peer], options: argparse.Namespace) -> Measured:
    """Prepare everything for one network, time it, and check it."""
    net = small_world(*NETWORKS[name])
    measured = Measured(name, net)
    observe(measured)
    runners: list[Peer | Ours] = []
    for peer in peers:
        if peer.accepts(net):
            peer.prepare(net)
            measured.build[peer.name] = peer.build
            runners.append(peer)
    begin = time.perf_counter()
    single = ours.prepare(net)
    measured.build["mosaic_sim"] = time.perf_counter() - begin
    batch = ours.prepare(net, kicked=True)
    check_ours(single)
    check_ours(batch)
    for label, run, samples in OURS:
        mine = Ours(label, run, single if samples == 1 else batch, samples)
        try:
            mine.call(1)
        except NotImplementedError:
            continue
        measured.build[f"mosaic_sim, each call: {label}"] = mine.call(1)
        runners.append(mine)
    measure(measured, runners, options.budget, options.repetitions)
    for peer in runners:
        if not isinstance(peer, Ours):
            raster = peer.raster(net.warm_up)
            check(peer.name, net, peer.step, raster)
            peer.close()
    return measured


def observe(measured: Measured) -> None:
    """Count spikes and messages per step after the warm-up; refuse a rate off the target."""
    net = measured.net
    loop = Numba()
    loop.prepare(net)
    before = loop.counts.copy()
    loop.run(net.steps)
    counts = loop.counts - before
    measured.spikes = float(counts.sum() / net.steps)
    measured.messages = float((counts * net.messages).sum() / net.steps)
    if not 0.75 < measured.rate / net.rate < 1.25:
        raise SystemExit(f"{net.name} fires at {measured.rate:.2%} a step.")


# --- tables ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """A bound on the ratios of some networks: `least` of all, or of their geometric mean."""

    text: str
    bound: float
    least: bool = False
    over: Callable[[Measured], bool] = lambda measured: measured.net.neurons > 0

    def verdict(self, ratios: dict[Measured, float], upper: bool) -> str:
        """One line: the goal, what was reached, and whether that will do."""
        chosen = [ratio for measured, ratio in ratios.items() if self.over(measured)]
        if not chosen:
            return f"[dim]{self.text}: no network of this kind was run[/]"
        worst = max(chosen) if upper else min(chosen)
        reached = worst if self.least else statistics.geometric_mean(chosen)
        met = reached <= self.bound if upper else reached >= self.bound
        return f"{self.text}: {figures(reached)}x, " + (
            "[green]met[/]" if met else "[bold red]missed[/]"
        )


@dataclass(frozen=True)
class Comparison:
    """One table: the best of `theirs` against `mine`; with `upper`, mine over theirs."""

    title: str
    theirs: tuple[str, ...]
    mine: str
    goals: tuple[Goal, ...] = ()
    upper: bool = False
    per_message: bool = False


def rate_is(*rates: float) -> Callable[[Measured], bool]:
    """Networks with one of these target rates."""
    return lambda measured: measured.net.rate in rates


def dense(neurons: int) -> Callable[[Measured], bool]:
    """Networks of so many neurons at 2 %."""
    return lambda measured: measured.net.neurons == neurons and measured.net.rate == 0.02


COMPARISONS = (
    Comparison(
        "Spikes, hops and energy in total, against SANA-FE's simple timing",
        ("SANA-FE simple",), "totals",
        (Goal("mean >= 100x", 100), Goal("every network >= 50x", 50, least=True)),
    ),
    Comparison(
        "Counts and energy by tile and step, against SANA-FE's simple timing",
        ("SANA-FE simple",), "per tile",
        (Goal("mean >= 50x", 50), Goal("every network >= 25x", 25, least=True)),
    ),
    Comparison(
        "Loads of links by step, against SANA-FE's detailed timing",
        ("SANA-FE detailed",), "link loads",
        (
            Goal("every network >= 50x", 50, least=True),
            Goal(
                "every network above 10k messages a step >= 1000x", 1000, least=True,
                over=lambda measured: measured.messages > 10_000,
            ),
        ),
        per_message=True,
    ),
    Comparison(
        "Accounting in total, against our own run without it", ("plain",), "totals",
        (Goal("mean <= 1.1x", 1.1),), upper=True,
    ),
    Comparison(
        "Accounting by tile and step, against our own run without it",
        ("plain",), "per tile", (Goal("mean <= 1.5x", 1.5),), upper=True,
    ),
    Comparison(
        "Recording a raster, against our own run without it", ("plain",), "raster",
        (Goal("mean <= 1.1x", 1.1),), upper=True,
    ),
    Comparison(
        "Totals, against the better of Brian2's two", ("Brian2 Cython", "Brian2 C++"),
        "totals",
        (
            Goal("every network >= 1/1.2x", 1 / 1.2, least=True),
            Goal("mean at <= 2 % firing >= 2x", 2, over=rate_is(0.005, 0.02)),
        ),
    ),
    Comparison(
        "Totals, against snnTorch's RLeaky with a dense matrix", ("snnTorch RLeaky",),
        "totals",
        (
            Goal("1k at 2 % >= 200x", 200, over=dense(1024)),
            Goal("4k at 2 % >= 500x", 500, over=dense(4096)),
        ),
    ),
    Comparison(
        "Totals, against snnTorch's Leaky with a sparse matrix", ("snnTorch sparse",),
        "totals",
        (
            Goal("mean at 2 % >= 25x", 25, over=rate_is(0.02)),
            Goal("mean at 10 % >= 5x", 5, over=rate_is(0.1)),
        ),
    ),
    Comparison(
        f"Totals per sample of a batch of {BATCH}, against snnTorch's Leaky, sparse",
        (f"snnTorch sparse, batch {BATCH}",), f"batch {BATCH}",
        (
            Goal("mean at <= 2 % >= 5x", 5, over=rate_is(0.005, 0.02)),
            Goal("mean at 10 % >= 1x", 1, over=rate_is(0.1)),
        ),
    ),
    Comparison(
        "Spike counts alone, against the Numba loop (no goal)", ("Numba loop",), "plain"
    ),
)  # fmt: skip


def figures(value: float) -> str:
    """Three digits that mean something: 0.123, 1.23, 12.3, 1,235."""
    if not value > 0:
        return "-"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"


def show(comparison: Comparison, networks: list[Measured], missing: dict[str, str]) -> None:
    """Print one table and the verdicts below it, and what is missing from it."""
    CONSOLE.print()
    rows = [
        (m, min((n for n in comparison.theirs if n in m.cost), key=m.cost.__getitem__))
        for m in networks
        if any(n in m.cost for n in comparison.theirs)
    ]
    lacks = [
        f"no {name} ({missing[name]})" for name in comparison.theirs if name in missing
    ]
    ours_is_there = any(comparison.mine in m.cost for m in networks)
    if not ours_is_there:
        lacks.append("our own part is still to be written")
    elif not rows and not lacks:
        lacks.append("no network for it was run")
    if lacks:
        CONSOLE.print(
            f"[yellow]{comparison.title}: {'; '.join(lacks)}.[/]", highlight=False
        )
    if rows:
        CONSOLE.print(draw(comparison, rows))
    if any(best in m.once for m, best in rows):
        CONSOLE.print("* one step, once", style="dim")
    if not rows or not ours_is_there:
        return
    ratios = {m: ratio(comparison, m, best) for m, best in rows}
    values = list(ratios.values())
    CONSOLE.print(
        f"geometric mean {figures(statistics.geometric_mean(values))}x, least "
        f"{figures(min(values))}x, most {figures(max(values))}x",
        highlight=False,
    )
    for goal in comparison.goals:
        CONSOLE.print(goal.verdict(ratios, comparison.upper), highlight=False)
    if comparison.per_message:
        growth([m for m, _ in rows], comparison.mine)


def ratio(comparison: Comparison, measured: Measured, best: str) -> float:
    """Theirs over ours, or the other way about."""
    theirs, mine = measured.cost[best], measured.cost[comparison.mine]
    return mine / theirs if comparison.upper else theirs / mine


def draw(comparison: Comparison, rows: list[tuple[Measured, str]]) -> Table:
    """One row for each network, with the best peer for it; ours may be missing."""
    table = Table(title=comparison.title, title_justify="left")
    table.add_column("network")
    several = len(comparison.theirs) > 1
    columns = ["spikes/step", "messages/step", "theirs \\[µs]", "ours \\[µs]", "ratio"]
    if comparison.per_message:
        columns += ["theirs \\[ns/message]", "ours \\[ns/message]"]
    elif not comparison.upper:
        columns.append("ours \\[ns/event]")
    for column in (*columns, *(["best of theirs"] if several else [])):
        table.add_column(column, justify="right")
    for m, best in rows:
        theirs, mine = m.cost[best], m.cost.get(comparison.mine, math.nan)
        cells = [
            m.name, figures(m.spikes), figures(m.messages),
            figures(theirs * 1e6) + ("*" if best in m.once else ""),
            figures(mine * 1e6),
            figures(ratio(comparison, m, best) if comparison.mine in m.cost else math.nan),
        ]  # fmt: skip
        if comparison.per_message:
            cells += [figures(x * 1e9 / m.messages) for x in (theirs, mine)]
        elif not comparison.upper:
            cells.append(figures(mine * 1e9 / (m.spikes * m.net.fan_out)))
        table.add_row(*cells, *([best] if several else []))
    return table


def growth(networks: list[Measured], mine: str) -> None:
    """Say how much dearer a message of ours is in the busiest network than at about 200."""
    text = "a message at 70k a step <= 2x one at 200"
    few = min(networks, key=lambda m: abs(math.log(m.messages / 200)))
    many = max(networks, key=lambda m: m.messages)
    if many.messages < 50_000 or not 100 < few.messages < 400:
        CONSOLE.print(f"[dim]{text}: no networks of this kind were run[/]", highlight=False)
        return
    grown = (many.cost[mine] / many.messages) / (few.cost[mine] / few.messages)
    CONSOLE.print(Goal(text, 2).verdict({many: grown}, upper=True), highlight=False)


def show_peers(
    peers: Sequence[Peer], missing: dict[str, str], networks: list[Measured]
) -> None:
    """Print which peers there are, and how long they took before their first step."""
    first, largest = networks[0], max(networks, key=lambda m: m.net.synapses)
    table = Table(title="Wall time before the first step \\[s]", title_justify="left")
    for column in ("simulator", "version"):
        table.add_column(column)
    for column in (f"first ({first.name})", f"largest ({largest.name})", "longest"):
        table.add_column(column, justify="right")
    known = {"mosaic_sim": "mosaic-growth"} | {peer.name: peer.package for peer in peers}
    for name in dict.fromkeys([*known, *first.build]):
        if name in missing:
            table.add_row(name, f"[yellow]{missing[name]}[/]")
            continue
        package = known.get(name)
        seconds = [m.build.get(name, math.nan) for m in (first, largest)]
        seconds.append(max(m.build.get(name, 0.0) for m in networks))
        cells = [f"{x:.3f}" if x >= 0 else "-" for x in seconds]
        table.add_row(name, f"{package} {version(package)}" if package else "", *cells)
    CONSOLE.print(table)


# --- the whole -------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three networks, shorter runs")
    parser.add_argument(
        "--only", metavar="PATTERN", default="*",
        help="networks whose names contain it, as 4k, f32 or 1k*r2; with commas, any of several",
    )  # fmt: skip
    parser.add_argument(
        "--without", metavar="PATTERN", help="leave out peers whose names contain it"
    )
    options = parser.parse_args()
    options.budget, options.repetitions = (0.03, 3) if options.quick else (0.05, 5)
    return options


def within(name: str, patterns: str | None) -> bool:
    """Whether one of the patterns, separated by commas, occurs in the name."""
    return bool(patterns) and any(
        fnmatch(name.lower(), f"*{part.strip().lower()}*")
        for part in str(patterns).split(",")
    )


def main() -> None:
    """Survey the networks, and print a table for each comparison."""
    options = arguments()
    names = [name for name in NETWORKS if within(name, options.only)]
    if options.quick and options.only == "*":
        names = list(QUICK)
    if not names:
        raise SystemExit(f"No network is called {options.only!r}: {', '.join(NETWORKS)}.")
    missing: dict[str, str] = {}
    peers: list[Peer] = []
    everyone = [make() for make in PEERS]
    for peer in everyone:
        reason = "left out" if within(peer.name, options.without) else peer.available()
        if reason:
            missing[peer.name] = reason
        else:
            peers.append(peer)
    networks: list[Measured] = []
    with CONSOLE.status("") as status:
        for name in names:
            status.update(f"{name} ({len(networks) + 1} of {len(names)})")
            networks.append(survey(name, peers, options))
    show_peers(everyone, missing, networks)
    for comparison in COMPARISONS:
        show(comparison, networks, missing)


if __name__ == "__main__":
    # Idle threads of a BLAS wait in a loop, at the cost of whoever is timed at that moment.
    if not ONE_THREAD.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    main()
