"""What the cells say: one table of accuracies and prices, and paired tests of paths and starts."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from growth.comparison import Grid
from growth.statistics import estimate, friedman, holm, sign_flip_test
from mosaic_sim.files import write_whole
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from growth.paths.plan import Cell

__all__ = ["PathRow", "grids", "rows_of", "write_tables"]

TITLES = {
    "root": "root alone", "target": "target from scratch", "stopped": "target, stopped",
    "layer-1-first": "layer 1 first",
    "layer-2-first": "layer 2 first", "alternate": "alternate", "random": "random",
}  # fmt: skip
NAMED = ("layer-1-first", "layer-2-first", "alternate")
PRICES = ("flops", "inference_flops", "synaptic_operations", "energy", "writes", "devices")


@dataclass(frozen=True, eq=False)
class PathRow:
    """Networks of one kind on paths of one kind.

    Parameters
    ----------
    net, optimiser, path, start : str
        `path` is ``random`` for all drawn ones together.
    final, mean : float64 array, (trials,)
        Test accuracy at the end, and mean over training; mean over the paths of a kind.
    prices : dict of float64 array, (trials,)
        Of `PRICES` those that exist.
    """

    net: str
    optimiser: str
    path: str
    start: str
    final: NDArray[np.float64]
    mean: NDArray[np.float64]
    prices: dict[str, NDArray[np.float64]]


Results = Sequence[tuple["Cell", Mapping[str, Any]]]


def accuracies(result: Mapping[str, Any]) -> NDArray[np.float64]:
    """Test accuracies of a cell, (trials, looks)."""
    return np.array([trial["accuracy"] for trial in result["trials"]], np.float64)


def _prices(result: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    trials = result["trials"]
    found = {
        key: np.array([t[key] for t in trials], float) for key in PRICES if key in trials[0]
    }
    for key, value in (
        ("flops", result["flops"][-1]), ("inference_flops", result["inference_flops"])
    ):  # fmt: skip
        found[key] = np.full(len(trials), float(value))
    return found


def rows_of(results: Results) -> list[PathRow]:
    """Put cells together: one row for each net, optimiser, kind of path and start."""

    def key(one: tuple[Cell, Mapping[str, Any]]) -> tuple[str, str, int, str, str]:
        cell = one[0]
        rank = list(TITLES).index(cell.path_kind)
        return (cell.net, cell.optimiser, rank, cell.path_kind, cell.start)

    rows = []
    ordered = sorted(results, key=key)
    for (net, optimiser, _, path, start), group in groupby(ordered, key):
        parts = [result for _, result in group]
        prices = [_prices(part) for part in parts]
        rows.append(
            PathRow(
                net, optimiser, path, start,
                np.mean([accuracies(p)[:, -1] for p in parts], 0),
                np.mean([accuracies(p).mean(1) for p in parts], 0),
                {k: np.mean([one[k] for one in prices], 0) for k in prices[0]},
            )
        )  # fmt: skip
    return sorted(
        rows + _stopped(results),
        key=lambda r: (r.net, r.optimiser, list(TITLES).index(r.path)),
    )


def _stopped(results: Results) -> list[PathRow]:
    """The target when it has spent what growing in turns takes: the same arithmetic, or less."""
    found = []
    for cell, result in results:
        spent = [
            other["flops"][-1] for one, other in results
            if (one.net, one.optimiser, one.path) == (cell.net, cell.optimiser, "alternate")
        ]  # fmt: skip
        looks = int(np.searchsorted(result["flops"], min(spent, default=0), side="right"))
        if cell.path == "target" and looks:
            scores = accuracies(result)[:, :looks]
            prices = {
                "flops": np.full(len(scores), float(result["flops"][looks - 1])),
                "inference_flops": np.full(len(scores), float(result["inference_flops"])),
            }
            found.append(
                PathRow(
                    cell.net, cell.optimiser, "stopped", "", scores[:, -1], scores.mean(1), prices
                )
            )  # fmt: skip
    return found


def grids(results: Results) -> list[Grid]:
    """Tables: accuracies and prices, tests of paths, of starts, all paths, GradMax's gain."""
    rows = rows_of(results)
    return [
        *(
            _accuracy_grid([r for r in rows if r.net == net], net)
            for net in dict.fromkeys(row.net for row in rows)
        ),
        _test_grid(
            "Effect of the path: points more than alternate, mean of the starts on both",
            "path",
            _path_differences(rows),
        ),
        _test_grid(
            "Effect of the start: points more than Gaussian, mean of the three named paths",
            "start",
            _start_differences(rows),
        ),
        _friedman_grid(results),
        _gain_grid(results),
    ]


NETS = {"ann": "Rectified linear networks", "snn": "Spiking networks"}


def _accuracy_grid(rows: Sequence[PathRow], net: str) -> Grid:
    spiking = net == "snn"
    head = ["optimiser", "path", "start", "final [%]", "mean [%]", "to train"]
    head += ["operations", "energy", "writes", "devices"] if spiking else ["to infer"]
    lines = []
    for row in rows:
        cells = [
            row.optimiser, TITLES[row.path], row.start or "–",
            estimate(row.final).text(100), estimate(row.mean).text(100),
            engineering(row.prices["flops"].mean(), "FLOP", 3),
        ]  # fmt: skip
        keys = (
            (("synaptic_operations", ""), ("energy", "J"), ("writes", ""), ("devices", ""))
            if spiking
            else (("inference_flops", "FLOP"),)
        )
        for key, unit in keys:
            value = row.prices.get(key)
            cells.append("–" if value is None else engineering(value.mean(), unit, 3))
        lines.append(tuple(cells))
    title = (
        f"{NETS[net]}: test accuracy, mean ± half of the 95 % interval of "
        f"{len(rows[0].final)} trials"
    )
    return Grid(title, tuple(head), tuple(lines))


Difference = tuple[tuple[str, ...], "NDArray[np.float64]", "NDArray[np.float64]"]
"""What it is of, and by how much final and mean accuracy differ in each trial."""


def _path_differences(rows: Sequence[PathRow]) -> list[Difference]:
    """Each kind of path less growing in turns, mean over the starts that stand on both."""
    found: list[Difference] = []
    for net, optimiser in dict.fromkeys((r.net, r.optimiser) for r in rows):
        own = {
            (r.path, r.start): r
            for r in rows
            if (r.net, r.optimiser) == (net, optimiser) and r.start
        }
        for path in dict.fromkeys(path for path, _ in own if path != "alternate"):
            starts = [s for p, s in own if p == path and ("alternate", s) in own]
            if not starts:
                continue
            final, mean = (
                np.mean(
                    [
                        getattr(own[path, s], key) - getattr(own["alternate", s], key)
                        for s in starts
                    ],
                    0,
                )
                for key in ("final", "mean")
            )
            found.append(((net, optimiser, TITLES[path]), final, mean))
    return found


def _start_differences(rows: Sequence[PathRow]) -> list[Difference]:
    found: list[Difference] = []
    for net, optimiser in dict.fromkeys((r.net, r.optimiser) for r in rows):
        own = [
            r for r in rows if (r.net, r.optimiser) == (net, optimiser) and r.path in NAMED
        ]
        means = {
            start: [
                np.mean([getattr(r, key) for r in own if r.start == start], 0)
                for key in ("final", "mean")
            ]
            for start in dict.fromkeys(r.start for r in own)
        }
        for start, (final, mean) in means.items():
            if start != "gaussian" and "gaussian" in means:
                base = means["gaussian"]
                found.append(((net, optimiser, start), final - base[0], mean - base[1]))
    return found


def _test_grid(title: str, what: str, differences: Sequence[Difference]) -> Grid:
    """Differences, intervals and p-values: exact sign flips, Holm over each column."""
    p = [holm([sign_flip_test(one[k]) for one in differences]) for k in (1, 2)]
    lines = []
    for k, (names, *both) in enumerate(differences):
        cells = list(names)
        for part, corrected in zip(both, p, strict=True):
            cells += [estimate(part).text(100, 2), f"{corrected[k]:.2g}"]
        lines.append(tuple(cells))
    return Grid(
        title, ("network", "optimiser", what, "final", "p", "mean", "p"), tuple(lines)
    )


def _friedman_grid(results: Results) -> Grid:
    """All paths with one start: the spread of their means, and whether they differ at all."""
    lines = []

    def key(one: tuple[Cell, Any]) -> tuple[str, str, str]:
        return one[0].net, one[0].optimiser, one[0].start

    grown = sorted((one for one in results if one[0].order), key=key)
    for names, group in groupby(grown, key):
        finals = {cell.path: accuracies(result)[:, -1] for cell, result in group}
        if len(finals) < 4 or len(next(iter(finals.values()))) < 2:
            continue
        means = {path: float(values.mean()) for path, values in finals.items()}
        best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
        drawn = [m for path, m in means.items() if path not in NAMED]
        found = friedman({path: values.tolist() for path, values in finals.items()})
        lines.append(
            (
                *names, str(len(finals)), f"{best} {100 * means[best]:.1f}",
                f"{worst} {100 * means[worst]:.1f}",
                f"{100 * (max(drawn) - min(drawn)):.1f}" if drawn else "–",
                f"{found.p_value:.1g}",
            )
        )  # fmt: skip
    head = (
        "network", "optimiser", "start", "paths", "best [%]", "worst [%]",
        "spread of random ones", "Friedman's p",
    )  # fmt: skip
    return Grid(
        "All paths, final accuracy: means of the best and the worst", head, tuple(lines)
    )


def _gain_grid(results: Results) -> Grid:
    """How far GradMax could lead, and what was drawn for want of directions."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    drawn: dict[tuple[str, str], list[float]] = {}
    after = sorted({g["next"] for _, r in results for g in r["growth"] if g["layer"] == 1})
    for cell, result in results:
        if cell.start != "gradmax":
            continue
        for stage in result["growth"]:
            place = "outputs" if stage["layer"] == 2 else "neurons of layer 2"
            many = str(stage["next"])
            if stage["layer"] == 1 and after[0] < stage["next"] < after[-1]:
                many = f"{after[1]} to {after[-2]}"
            key = (cell.net, f"layer {stage['layer']}, in front of {many} {place}")
            drawn.setdefault(key, []).append(stage["drawn"] / len(result["trials"]))
            if stage["gain"] is not None:
                found.setdefault(key, []).append((stage["gain"], stage["bound"]))
    lines = [
        (
            *key, str(len(each)), f"{np.mean([gain for gain, _ in each]):.2f}",
            _range([bound for _, bound in each]), f"{np.mean(drawn[key]):.1f}",
        )
        for key, each in sorted(found.items())
    ]  # fmt: skip
    head = ("network", "grown", "times", "gain", "bound", "drawn for want of directions")
    return Grid(
        "Gradient norm of GradMax by that of Gaussian columns as long, mean over growths",
        head, tuple(lines),
    )  # fmt: skip


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.3f}" if low == high else f"{low:.2f} to {high:.2f}"


def write_tables(results: Results, folder: Path) -> list[Path]:
    """Write ``table.md`` to read, and ``trials.csv`` with every number; neither holds a time."""
    lines: list[str] = []
    for grid in grids(results):
        if grid.rows:
            lines += grid.markdown()
    flat = io.StringIO()
    writer = csv.writer(flat, lineterminator="\n")
    writer.writerow(
        ["net", "optimiser", "path", "order", "start", "seed", "final", "mean", *PRICES]
    )
    for cell, result in results:
        scores, prices = accuracies(result), _prices(result)
        order = "".join(map(str, cell.order))
        for k, seed in enumerate(result["seeds"]):
            paid = [repr(float(prices[key][k])) if key in prices else "" for key in PRICES]
            values = [repr(float(scores[k, -1])), repr(float(scores[k].mean()))]
            writer.writerow(
                [
                    cell.net,
                    cell.optimiser,
                    cell.path,
                    order,
                    cell.start,
                    seed,
                    *values,
                    *paid,
                ]
            )
    paths = [folder / "table.md", folder / "trials.csv"]
    for path, text in zip(
        paths, ("\n".join(lines).rstrip() + "\n", flat.getvalue()), strict=True
    ):
        write_whole(path, text)
    return paths
