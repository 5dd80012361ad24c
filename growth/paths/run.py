"""Run every cell of a growth-path experiment, resumably, and leave its tables and figures."""

from __future__ import annotations

import json
from concurrent.futures import as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
import torch

from growth.config import ChipConfig, read_tables
from growth.datasets import load_dataset
from growth.paths.cell import run_cell
from growth.paths.chip import chip_for
from growth.paths.plan import Cell, PathPlan
from growth.workers import bars, pool_of, workers_for
from mosaic_sim.errors import MosaicError
from mosaic_sim.files import write_whole

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["read_cells", "run_paths"]


def run_paths(
    plan: PathPlan, root: Path | str = "runs", *,
    jobs: int | None = None, console: Console | None = None,
) -> Path:  # fmt: skip
    """Run every cell that is not there yet.

    Parameters
    ----------
    plan : PathPlan
    root : path
        Below it a folder is made, or found again, by name and fingerprint of the plan.
    jobs : int, optional
        Processes; as many as cores by default, 1 runs in this process.
    console : rich.console.Console, optional
        For a progress bar; none without it.

    Returns
    -------
    Path
        The folder: ``config.toml``, ``chip.toml`` and ``cells/*.json``, each written whole or
        not at all, so that a run that was killed goes on with the same results.

    Raises
    ------
    ConfigError
        If the data set does not exist or its files are absent; before anything is trained.
    CapacityError
        If spiking networks fit no chip.
    MosaicError
        If the folder cannot be written to, or a worker process is killed from outside.
    """
    data = load_dataset(plan.dataset, plan.seeds[0])
    folder = Path(root) / f"{plan.name}-{plan.fingerprint}"
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
        write_whole(
            folder / "config.toml",
            tomli_w.dumps(plan.model_dump(mode="json", exclude_none=True)),
        )
    except OSError as error:
        raise MosaicError(
            f"Cannot write to {str(folder)!r} ({error.strerror}); give a folder for runs that "
            "can be written to."
        ) from None
    chip = plan.chip
    if plan.snn is not None and chip is None:
        file = folder / "chip.toml"
        if not file.exists():
            found = chip_for(plan, data.channels, data.labels)
            write_whole(file, tomli_w.dumps(found.model_dump(exclude_none=True)))
        chip = ChipConfig.read(read_tables(file), "chip")
    cells = plan.cells()
    todo = [cell for cell in cells if not _file(folder, cell).exists()]
    workers = workers_for(jobs, len(todo))
    with bars(console) as bar:
        line = bar.add_task(plan.name, total=len(cells), completed=len(cells) - len(todo))
        if workers == 1:
            for cell in todo:
                _work(plan, cell, chip, folder)
                bar.advance(line)
            return folder
        with pool_of(workers) as pool:
            waiting = [pool.submit(_work, plan, cell, chip, folder) for cell in todo]
            for finished in as_completed(waiting):
                finished.result()
                bar.advance(line)
    return folder


def read_cells(plan: PathPlan, folder: Path) -> list[tuple[Cell, dict[str, Any]]]:
    """Read the results of all cells.

    Raises
    ------
    MosaicError
        If one is not there yet.
    """
    found = []
    for cell in plan.cells():
        file = _file(folder, cell)
        if not file.exists():
            raise MosaicError(
                f"{file.name} is not there yet; run the same command again to resume."
            )
        found.append((cell, json.loads(file.read_text(encoding="utf-8"))))
    return found


def _file(folder: Path, cell: Cell) -> Path:
    return folder / "cells" / f"{cell.name}.json"


def _work(plan: PathPlan, cell: Cell, chip: ChipConfig | None, folder: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums, and so every byte, depends on it
    try:
        result = run_cell(plan, cell, chip)
    finally:
        torch.set_num_threads(threads)
    write_whole(_file(folder, cell), json.dumps(result, allow_nan=False) + "\n")
