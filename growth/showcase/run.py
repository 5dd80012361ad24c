"""Run every cell of a showcase, resumably, and leave a run folder."""

from __future__ import annotations

import io
import json
from concurrent.futures import as_completed
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w
import torch

from growth.config import read_tables
from growth.showcase.chip import chip_of, evaluate, fewest_lines, noise_curve, technology_of
from growth.showcase.plan import Lines, ShowcasePlan, Trained
from growth.showcase.task import even_rows, load_task
from growth.showcase.train import build, train
from growth.workers import bars, pool_of, workers_for
from mosaic_sim.errors import MosaicError
from mosaic_sim.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from growth.hardware import TiledNetwork
    from growth.showcase.task import SignalTask

__all__ = ["read_results", "run_cell", "run_showcase"]

# What each network gave.
Results = list[tuple[Trained, dict[str, Any]]]


def run_showcase(
    plan: ShowcasePlan, root: Path | str = "runs", *,
    jobs: int | None = None, console: Console | None = None,
) -> Path:  # fmt: skip
    """Train and evaluate every cell that is not there yet.

    Parameters
    ----------
    plan : ShowcasePlan
    root : path
        Below it a folder is made, or found again, by name and fingerprint of the plan. Seeds can
        be added to it.
    jobs : int, optional
        Processes; as many as cores by default, 1 runs in this process.
    console : rich.console.Console, optional
        For a progress bar; none without it.

    Returns
    -------
    Path
        The folder: ``config.toml``, ``versions.json``, ``lines.toml`` (if the chip was looked
        for) and for each cell ``checkpoint.pt``, ``example.npz`` and ``result.json``, each written
        whole or not at all. A run that was killed goes on after its last epoch, with the same
        bytes.

    Raises
    ------
    ConfigError
        If the data set does not exist or its files are absent; before anything is trained.
    CapacityError
        If a network fits no chip, or not the given one.
    MosaicError
        If the folder cannot be written to, or a worker process is killed from outside.
    """
    task = load_task(plan.data, plan.seeds[0])
    folder = Path(root) / f"{plan.name}-{plan.fingerprint}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        settings = plan.model_dump(mode="json", exclude_none=True)
        write_whole(folder / "config.toml", tomli_w.dumps(settings))
        names = ("mosaic-growth", "numpy", "numba", "torch", "snntorch")
        versions = {name: version(name) for name in names}
        write_whole(folder / "versions.json", json.dumps(versions, indent=2) + "\n")
    except OSError as error:
        raise MosaicError(
            f"Cannot write to {str(folder)!r} ({error.strerror}); give a folder for runs that "
            "can be written to."
        ) from None
    _find_lines(plan, task, folder)
    todo = [c for c in plan.cells() if not (folder / c.name / "result.json").exists()]
    epochs = plan.train.epochs
    workers = workers_for(jobs, len(todo))
    with bars(console) as bar:
        total = len(plan.cells()) * epochs
        line = bar.add_task(f"{plan.name}, epochs", total=total)
        bar.advance(line, total - len(todo) * epochs)
        if workers == 1:
            for cell in todo:
                run_cell(plan, cell, folder, lambda: bar.advance(line))
            return folder
        with pool_of(workers) as pool:
            waiting = [pool.submit(run_cell, plan, cell, folder) for cell in todo]
            for finished in as_completed(waiting):
                finished.result()
                bar.advance(line, epochs)
    return folder


def run_cell(
    plan: ShowcasePlan, cell: Trained, folder: Path, done: Callable[[], None] = lambda: None
) -> None:
    """Train and evaluate one cell in the folder of its run; go on where its checkpoint ends."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums, and so every byte, depends on it
    try:
        task = load_task(plan.data, cell.seed)
        place = folder / cell.name
        place.mkdir(exist_ok=True)
        model = build(plan, cell, task.train.shape[2], task.labels)
        technology = technology_of(plan)
        chip = chip_of(model, _lines_of(plan, cell, folder))
        losses = train(
            plan, cell, model, task, chip, technology, place / "checkpoint.pt", done
        )
        rows = even_rows(
            task.test_labels, plan.chip_samples, np.random.default_rng([cell.seed, 3])
        )
        found = evaluate(plan, model, task, rows, chip, technology, cell.seed)
        found["noise_curve"] = noise_curve(plan, model, task, rows, cell.seed)
        found["losses"] = losses
        _save_example(place / "example.npz", model, task, int(rows[0]))
        write_whole(place / "result.json", json.dumps(found, allow_nan=False) + "\n")
    finally:
        torch.set_num_threads(threads)


def read_results(plan: ShowcasePlan, folder: Path) -> Results:
    """Read what all cells gave.

    Raises
    ------
    MosaicError
        If one is not there yet.
    """
    found = []
    for cell in plan.cells():
        file = folder / cell.name / "result.json"
        if not file.exists():
            raise MosaicError(
                f"{cell.name} is not there yet; run the same command again to resume."
            )
        found.append((cell, json.loads(file.read_text(encoding="utf-8"))))
    return found


def _shape(plan: ShowcasePlan, cell: Trained) -> str:
    """Networks of one name have the same connections at first; those of a profile are drawn."""
    net = plan.net_of(cell.variant)
    size = f"{net.rows}x{net.columns}x{net.neurons_per_tile}"
    return size if net.profile is None else f"{size}-seed-{cell.seed}"


def _find_lines(plan: ShowcasePlan, task: SignalTask, folder: Path) -> None:
    """Write the lines of the chips that are not given: the fewest for the connections at first."""
    file = folder / "lines.toml"
    known: dict[str, Any] = read_tables(file) if file.exists() else {}
    for cell in plan.cells():
        if (
            plan.lines is None
            and cell.variant.lines is None
            and _shape(plan, cell) not in known
        ):
            first = Trained(cell.variant.model_copy(update={"profile": None}), cell.seed)
            model = build(plan, first, task.train.shape[2], task.labels)
            known[_shape(plan, cell)] = fewest_lines(model).model_dump()
            write_whole(file, tomli_w.dumps(known))


def _lines_of(plan: ShowcasePlan, cell: Trained, folder: Path) -> Lines:
    given = cell.variant.lines or plan.lines
    if given is not None:
        return given
    return Lines.read(read_tables(folder / "lines.toml")[_shape(plan, cell)], "lines")


def _save_example(path: Path, model: TiledNetwork, task: SignalTask, row: int) -> None:
    """Keep the spikes of one test sample, for a figure."""
    spikes = torch.from_numpy(
        task.test[row : row + 1].transpose(1, 0, 2).astype(np.float32)
    )
    with torch.no_grad():
        fired = model.run(spikes).spikes[:, 0].numpy().astype(np.bool_)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, inputs=task.test[row], neurons=fired, outputs=np.int64(model.outputs),
        per_tile=np.int64(model.grid.neurons_per_tile), label=task.test_labels[row],
    )  # fmt: skip
    write_whole(path, buffer.getvalue())
