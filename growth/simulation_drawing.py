"""Figures of one simulation, each beside the numbers that it was drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from growth.figures import save
from growth.simulation import routing_of
from mosaic_sim import plots
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from growth.dies import Dies
    from growth.simulation import Simulation

__all__ = ["draw_simulation"]


def draw_simulation(run: Simulation, folder: Path, dies: Dies | None = None) -> list[Path]:
    """Draw the spikes of the first sample, rates, latencies, the chip, its energy, and why.

    A run that cost nothing has no figure of what its energy hangs on.

    Parameters
    ----------
    run : Simulation
        With its raster.
    folder : Path
        Made if it is not there.
    dies : Dies, optional
        What many dies did: how their scores are spread.

    Returns
    -------
    list of Path
        The drawings (``.svg``); each has a ``.png`` and a ``.csv`` beside it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawings = [_raster, _latency, _rate_map, _placement_map, _energy_by_tile]
        if run.report.energy:
            drawings.append(_sensitivity)
        drawn = [draw(run, folder) for draw in drawings]
        return drawn if dies is None else [*drawn, _dies(run, folder, dies)]
    except OSError as error:
        raise MosaicError(
            f"Cannot write to {str(folder)!r} ({error.strerror}); give a folder that can be "
            "written to."
        ) from None


def _raster(run: Simulation, folder: Path) -> Path:
    ax = _axes(8, 4)
    several = len(run.groups) > 1
    plots.raster(run.recording, ax=ax, groups=run.groups if several else None)
    ax.set_title(f"{run.network.name}: spikes of the first sample")
    recording = run.recording
    assert recording.offsets is not None
    assert recording.neuron is not None
    offsets = recording.offsets[: recording.steps + 1]
    step = np.repeat(np.arange(recording.steps), np.diff(offsets))
    table = {"step": step.tolist(), "neuron": recording.neuron[: offsets[-1]].tolist()}
    return _save(ax, folder / "raster", table)


def _latency(run: Simulation, folder: Path) -> Path:
    ax = plots.latency(run.recording, ax=_axes(8, 3))
    ax.set_title(f"{run.network.name}: first spikes", loc="left")
    sample, neuron = np.indices(run.recording.latency.shape)
    table = {
        "sample": sample.ravel().tolist(), "neuron": neuron.ravel().tolist(),
        "step": run.recording.latency.ravel().tolist(),
    }  # fmt: skip
    return _save(ax, folder / "latency", table)


def _rate_map(run: Simulation, folder: Path) -> Path:
    ax = plots.rate_map(run.program, run.recording, ax=_axes(6.2, 6))
    ax.set_title(f"{run.network.name}: how often neurons fire")
    steps = run.recording.samples * run.recording.steps
    rate = run.recording.total[run.program.first_neuron :] / steps
    table = _seats(run) | {"steps with a spike": rate.tolist()}
    return _save(ax, folder / "rate-map", table)


def _placement_map(run: Simulation, folder: Path) -> Path:
    owner = np.full(run.program.neurons, -1)
    for k, members in enumerate(run.groups.values()):
        owner[members] = k
    ax = plots.placement_map(
        run.program, routing_of(run.program), ax=_axes(8.2, 7.4), owner=owner,
        owner_names=list(run.groups),
    )  # fmt: skip
    ax.set_title(f"{run.network.name} on its chip")
    names = [*run.groups, ""]
    table = _seats(run) | {"group": [names[k] for k in owner.tolist()]}
    return _save(ax, folder / "placement-map", table)


def _energy_by_tile(run: Simulation, folder: Path) -> Path:
    ax = plots.energy_by_tile(run.report, run.program, ax=_axes(6.2, 5.2))
    ax.set_title(f"{run.network.name}: where the energy goes")
    energy = run.report.by_tile() / run.report.samples
    row, column = np.divmod(np.arange(energy.size), run.program.geometry.shape[1])
    table = {
        "row": row.tolist(), "column": column.tolist(), "energy per inference [J]": energy.tolist(),
    }  # fmt: skip
    return _save(ax, folder / "energy-by-tile", table)


def _dies(run: Simulation, folder: Path, dies: Dies) -> Path:
    ax = _axes(6.2, 3.4)
    scores = 100 * dies.score
    ax.hist(scores, bins=min(20, max(5, dies.number // 3)), color="tab:blue", ec="white")
    mean = dies.mean
    ax.axvline(100 * mean.mean, color="black", lw=1.2, label=f"mean {mean.text(100)} %")
    ax.axvline(
        100 * dies.ideal, color="tab:red", lw=1.2, ls="--", label=f"ideal {dies.ideal:.1%}"
    )
    measure = "accuracy" if dies.labelled else "same answer as the ideal chip"
    ax.set(xlabel=f"{measure} [%]", ylabel="dies")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_title(f"{run.network.name}: {dies.number} dies", loc="left")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    table = {
        "seed": range(dies.seed, dies.seed + dies.number), measure: dies.score.tolist(),
        "energy per inference [J]": dies.energy.tolist(),
        "differing spikes": dies.differing.tolist(),
    }  # fmt: skip
    return _save(ax, folder / "dies", table)


def _sensitivity(run: Simulation, folder: Path) -> Path:
    ax = plots.sensitivity(run.report, ax=_axes(7, 4.4))
    ax.set_title(f"{run.network.name}: what its energy hangs on", pad=26)
    found = run.report.sensitivity()
    table: dict[str, Sequence[object]] = {
        "quantity": [e.name for e in found], "value [SI]": [e.quantity.value for e in found],
        "status": [e.quantity.status for e in found],
        "elasticity": [e.elasticity for e in found],
    }  # fmt: skip
    return _save(ax, folder / "sensitivity", table)


def _seats(run: Simulation) -> dict[str, Sequence[object]]:
    return {
        "neuron": range(run.program.neurons),
        "tile": run.program.tile.tolist(),
        "slot": run.program.slot.tolist(),
    }


def _axes(width: float, height: float) -> Axes:
    return Figure(figsize=(width, height), layout="constrained").subplots()


def _save(ax: Axes, path: Path, table: Mapping[str, Sequence[object]]) -> Path:
    figure = ax.figure
    assert isinstance(figure, Figure)
    save(figure, path, table)
    return path.with_suffix(".svg")
