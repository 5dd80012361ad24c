"""The loop: for each task learn, put on the chip, run, price, evaluate, save."""

from __future__ import annotations

import io
import pickle
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.bridge import MosaicHost, make_host, save_program, save_routing
from growth.curve import Curve
from growth.measure import measure
from growth.samples import join
from growth.strategies import (
    STRATEGIES,
    make_criterion,
    refuse_lasting,
    refuse_look,
    refuse_stream,
)
from growth.streams import Stream, Task, check_protocol, configured
from mosaic_sim.errors import CapacityError, ConfigError, MosaicError, suggest
from mosaic_sim.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from growth.bridge import Technology
    from growth.config import Experiment
    from growth.measure import Measured
    from growth.runs import SeedFolder
    from growth.strategies import Strategy
    from growth.strategies.base import Progress
    from growth.streams import Batch

__all__ = ["check_experiment", "make_stream", "run_seed"]


def run_seed(
    experiment: Experiment, seed: int, folder: SeedFolder, progress: Progress
) -> None:
    """Run one seed of an experiment to its end, from where an earlier try stopped.

    Parameters
    ----------
    experiment : Experiment
    seed : int
    folder : SeedFolder
    progress : callable
        Called with the finished share, 0 to 1.

    Notes
    -----
    After every task a checkpoint is written before the task counts as done, so a killed run
    loses the task in progress. Times stand apart: all else has the same bytes for the same seed.
    """
    if folder.done:
        progress(1.0)
        return
    started, worked = time.monotonic(), time.process_time()
    torch.set_num_threads(1)
    stream = make_stream(experiment, seed)
    host = make_host(experiment)
    strategy = STRATEGIES[experiment.strategy](experiment, stream, host, seed)
    tasks = (whole(stream),) if strategy.one_task else stream.tasks
    done, records = resume(folder, strategy, host, tasks)
    curve = None
    if experiment.train.look:
        curve = Curve(experiment, stream, strategy, experiment.train.look)
        strategy.looked = curve
    untrained = None
    if not done and strategy.live and stream.scenario == "domain-incremental":
        before = Curve(experiment, stream, strategy, 1)
        before.look()
        (untrained,) = before.taken()
    for task in tasks[done:]:
        if strategy.ended:
            break

        def within(share: float, done: int = task.number) -> None:
            progress((done + 0.95 * share) / len(tasks))

        begun = time.process_time()
        strategy.losses.clear()
        if stream.boundaries or strategy.one_task:
            strategy.learn(task, within)
        else:
            strategy.meet(segment(stream, task.number, experiment.train.batch), within)
        seconds = round(time.process_time() - begun, 3)
        records["times"].append({"task": task.number, "learning_cpu_seconds": seconds})
        records["growth"] = [decision.to_dict() for decision in strategy.decisions]
        measured = None
        try:
            if strategy.ready:
                measured = measure(experiment, stream, task, strategy, host)
        except CapacityError as error:
            # What does not fit is a result, not a crash.
            strategy.ended = f"task {task.number} does not fit the chip: {error}"
        if measured is not None:
            if curve is not None:
                curve.look()
                measured.metrics["curve"] = {
                    "every": curve.every,
                    "accuracy": curve.taken(),
                }
            if untrained is not None and task.number == 0:
                measured.metrics["untrained"] = untrained
            records["metrics"].append(measured.metrics)
            records["cost"] += [] if measured.cost is None else [measured.cost]
        if strategy.ended:
            records["metrics"].append({"task": task.number, "ended": strategy.ended})
        save(folder, task, strategy, host, records, measured)
    folder.write_provenance(time.monotonic() - started, time.process_time() - worked)
    folder.finish()
    progress(1.0)


def check_experiment(experiment: Experiment) -> Technology:
    """Refuse an experiment whose chip, technology or stream cannot be made.

    Returns
    -------
    Technology

    Raises
    ------
    MosaicError
    """
    check_protocol(experiment)
    if experiment.strategy not in STRATEGIES:
        raise ConfigError(
            f"Unknown strategy {experiment.strategy!r}.{suggest(experiment.strategy, STRATEGIES)} "
            f"There are: {', '.join(STRATEGIES)}."
        )
    strategy = STRATEGIES[experiment.strategy]
    strategy.Options.read(experiment.options, "options")
    if experiment.front.kind != "none" and not strategy.takes_front:
        raise ConfigError(
            f"front.kind is {experiment.front.kind!r}, and strategy {experiment.strategy!r} has no "
            'layer in front: set front.kind = "none", or strategy = "grow".'
        )
    if experiment.conv.filters and not strategy.takes_kernels:
        takers = ", ".join(name for name, one in STRATEGIES.items() if one.takes_kernels)
        raise ConfigError(
            f"conv.filters is {list(experiment.conv.filters)}, and strategy "
            f"{experiment.strategy!r} has no use for kernels: set conv.filters = [], or strategy "
            f"to one of {takers}."
        )
    if experiment.grow.when != "trigger" and experiment.stream.boundaries:
        raise ConfigError(
            f"grow.when is {experiment.grow.when!r}, but the stream tells where tasks begin, and "
            "nobody would ask: set stream.boundaries = false."
        )
    make_criterion(experiment)
    refuse_look(strategy, experiment)
    refuse_lasting(strategy, experiment)
    refuse_stream(
        strategy, experiment.strategy, make_stream(experiment, experiment.seeds[0])
    )
    return make_host(experiment).technology


def make_stream(experiment: Experiment, seed: int) -> Stream:
    """Build the stream of an experiment for one seed."""
    return configured(experiment.stream, seed)


def segment(stream: Stream, number: int, size: int) -> Iterator[Batch]:
    """Batches of a stream without boundaries up to the one that ends a task, for a look at it.

    Only the evaluation knows that a task ended: batches run on across the boundary.
    """
    ends = np.cumsum([0] + [len(task.train) for task in stream.tasks])
    met = 0
    for batch in stream.batches(size):
        if ends[number] <= met < ends[number + 1]:
            yield batch
        met += len(batch.labels)


def whole(stream: Stream) -> Task:
    """All tasks of a stream as one."""
    return Task(
        0,
        tuple(sorted({label for task in stream.tasks for label in task.classes})),
        join([task.train for task in stream.tasks]),
        join([task.test for task in stream.tasks]),
    )


Records = dict[str, list[dict[str, Any]]]


def save(
    folder: SeedFolder,
    task: Task,
    strategy: Strategy,
    host: MosaicHost,
    records: Records,
    measured: Measured | None,
) -> None:
    """Write what the task left behind; the checkpoint comes last and makes it count."""
    if measured is not None and measured.runs and host.last is not None:
        save_routing(host.last.routing, folder.path / f"routing-{task.number}.npz")
        for number, (program, recording) in enumerate(measured.runs):
            name = f"{task.number}" if not number else f"{task.number}-{number}"
            save_program(program, folder.path / f"program-{name}.npz")
            buffer = io.BytesIO()
            np.savez_compressed(
                buffer, spikes=recording.total, samples=recording.samples,
                steps=recording.steps,
            )  # fmt: skip
            write_whole(folder.path / f"run-{name}.npz", buffer.getvalue())
    for name, rows in records.items():
        folder.write_lines(name, rows)
    checkpoint = io.BytesIO()
    torch.save(
        {"task": task.number, "strategy": strategy.state(), "host": host.state()},
        checkpoint,
    )
    write_whole(folder.path / "checkpoint.pt", checkpoint.getvalue())


def resume(
    folder: SeedFolder, strategy: Strategy, host: MosaicHost, tasks: Sequence[Task]
) -> tuple[int, Records]:
    """Take up the last checkpoint; return the number of finished tasks and their records."""
    names = ("metrics", "growth", "cost", "times")
    path = folder.path / "checkpoint.pt"
    if not path.exists():
        return 0, {name: [] for name in names}
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise MosaicError(
            f"{str(path)!r} is damaged; delete {str(folder.path)!r} to start this seed again."
        ) from error
    strategy.load_state(state["strategy"])
    last = tasks[state["task"]]
    host.load_state(
        state["host"], strategy.blueprint(last.identity) if strategy.ready else None
    )
    done = state["task"] + 1
    # Lines of a task whose checkpoint was not reached are dropped: it is done again.
    return done, {
        name: [row for row in folder.lines(name) if row.get("task", done) < done]
        for name in names
    }
