"""Run experiments: every seed of every configuration, side by side, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growth.learner import check_experiment, run_seed
from growth.runs import RunFolder, SeedFolder
from growth.workers import SPAWN, bars, pool_of, workers_for
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from rich.console import Console

    from growth.config import Experiment

__all__ = ["run_experiments"]


def run_experiments(
    experiments: Sequence[Experiment],
    root: Path | str = "runs",
    *,
    jobs: int | None = None,
    console: Console | None = None,
    finish: Callable[[RunFolder], object] | None = None,
) -> list[RunFolder]:
    """Run all seeds of all experiments; what is done already is not run again.

    Parameters
    ----------
    experiments : sequence of Experiment
    root : path
        Where run folders are made.
    jobs : int, optional
        Processes; as many as cores by default, 1 runs in this process.
    console : rich.console.Console, optional
        Where the progress bar is drawn; none without it.
    finish : callable, optional
        Called once with each folder when its last seed is done, in the process that is free;
        a function at the top of a module, so that it can be sent there.

    Returns
    -------
    list of RunFolder, in the order of `experiments`.

    Raises
    ------
    MosaicError
        If a configuration names something that does not exist; before anything is written.
    """
    folders = [
        RunFolder.create(root, experiment, check_experiment(experiment).text)
        for experiment in experiments
    ]
    todo = [
        (folder.experiment, seed, folder.seed(seed))
        for folder in folders
        for seed in folder.experiment.seeds
        if not folder.seed(seed).done
    ]
    workers = workers_for(jobs, len(todo))
    with bars(console) as bar:
        lines = {
            folder.experiment.name: bar.add_task(
                folder.experiment.name, total=len(folder.experiment.seeds),
                completed=sum(seed.done for seed in folder.seeds),
            )
            for folder in folders
        }  # fmt: skip
        shares: dict[tuple[str, int], float] = {}

        def show(name: str, seed: int, share: float) -> None:
            old = shares.get((name, seed), 0.0)
            shares[name, seed] = max(share, old)
            bar.advance(lines[name], max(share - old, 0.0))

        if workers == 1:
            for experiment, seed, part in todo:
                run_seed(experiment, seed, part, partial(show, experiment.name, seed))
            if finish is not None:
                for folder in folders:
                    finish(folder)
        else:
            _run_parallel(todo, workers, show, folders, finish)
    return folders


Unit = tuple["Experiment", int, SeedFolder]


def _run_parallel(
    todo: list[Unit],
    workers: int,
    show: Callable[[str, int, float], None],
    folders: list[RunFolder],
    finish: Callable[[RunFolder], object] | None,
) -> None:
    news, stop = SPAWN.SimpleQueue(), SPAWN.Event()
    with pool_of(workers, _start_worker, (news, stop)) as pool:
        waiting: set[Future[object]] = {pool.submit(_work, *unit) for unit in todo}
        open_folders = list(folders) if finish is not None else []
        try:
            while waiting or open_folders:
                for folder in [folder for folder in open_folders if folder.done]:
                    assert finish is not None
                    waiting.add(pool.submit(finish, folder))
                    open_folders.remove(folder)
                done, waiting = wait_for(waiting, timeout=0.2)
                while not news.empty():
                    show(*news.get())
                for finished in done:
                    finished.result()
        except BaseException:
            stop.set()  # the workers give up at their next report
            raise


_worker: dict[str, Any] = {}
"""What a worker process got when it started: these cannot travel with each task."""


def _start_worker(news: Any, stop: Any) -> None:
    _worker.update(news=news, stop=stop)


def _work(experiment: Experiment, seed: int, folder: SeedFolder) -> None:
    def report(share: float) -> None:
        if _worker["stop"].is_set():
            raise MosaicError("stopped")
        _worker["news"].put((experiment.name, seed, share))

    run_seed(experiment, seed, folder, report)
