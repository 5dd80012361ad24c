"""The loop: for each task learn, put on the chip, run, price, evaluate, save."""

from __future__ import annotations

import io
import pickle
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.bridge import MosaicHost, bill, make_host, price, save_program, save_routing
from growth.encode import regular_rate
from growth.samples import join
from growth.strategies import STRATEGIES
from growth.streams import Stream, Task, check_protocol, configured
from mosaic_sim.errors import CapacityError, ConfigError, MosaicError
from mosaic_sim.files import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.bridge import Deployment, Recording, Technology
    from growth.config import Experiment
    from growth.model import Expert
    from growth.runs import SeedFolder
    from growth.strategies import Strategy
    from growth.strategies.base import Progress

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
    loses the task in progress. Metrics hold no times: the same seed gives the same bytes.
    """
    if folder.done:
        progress(1.0)
        return
    started = time.monotonic()
    torch.set_num_threads(1)
    stream = make_stream(experiment, seed)
    host = make_host(experiment)
    strategy = STRATEGIES[experiment.strategy](experiment, stream, host, seed)
    tasks = (whole(stream),) if strategy.one_task else stream.tasks
    done, records = resume(folder, strategy, host)
    for task in tasks[done:]:
        if strategy.ended:
            break

        def within(share: float, done: int = task.number) -> None:
            progress((done + 0.95 * share) / len(tasks))

        strategy.learn(task, within)
        records["growth"] = [decision.to_dict() for decision in strategy.decisions]
        recording = None
        try:
            deployment = host.deploy(strategy.model) if strategy.experts else None
        except CapacityError as error:
            # What does not fit is a result, not a crash.
            strategy.ended = f"task {task.number} does not fit the chip: {error}"
            deployment = None
        if deployment is not None:
            metrics, recording = measure(experiment, stream, task, strategy, deployment)
            report = price(deployment.program, recording, host.technology)
            records["metrics"].append(metrics)
            paid = bill(report, deployment.writes, deployment.network.groups)
            records["cost"].append({"task": task.number} | paid)
        if strategy.ended:
            records["metrics"].append({"task": task.number, "ended": strategy.ended})
        save(folder, task, strategy, host, records, recording)
    folder.write_provenance(time.monotonic() - started)
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
    stream = make_stream(experiment, experiment.seeds[0])
    if not stream.boundaries and not STRATEGIES[experiment.strategy].one_task:
        raise ConfigError(
            f"The stream hides where tasks begin, but strategy {experiment.strategy!r} starts its "
            "optimiser anew with each: set stream.boundaries = true and stream.blur = 0."
        )
    if stream.steps is not None and experiment.strategy == "grow":
        raise ConfigError(
            f"{experiment.stream.dataset} moves over {stream.steps} steps, but the gate of "
            "strategy 'grow' compares still intensities: set stream.rates = true."
        )
    return make_host(experiment).technology


def make_stream(experiment: Experiment, seed: int) -> Stream:
    """Build the stream of an experiment for one seed."""
    return configured(experiment.stream, seed)


def whole(stream: Stream) -> Task:
    """All tasks of a stream as one."""
    return Task(
        0,
        tuple(sorted({label for task in stream.tasks for label in task.classes})),
        join([task.train for task in stream.tasks]),
        join([task.test for task in stream.tasks]),
    )


def measure(
    experiment: Experiment,
    stream: Stream,
    task: Task,
    strategy: Strategy,
    deployment: Deployment,
) -> tuple[dict[str, Any], Recording]:
    """Run the test samples of all tasks on the chip, and beside it in snnTorch."""
    steps = experiment.stream.steps
    inputs = np.concatenate([t.test_inputs for t in stream.tasks])
    labels = np.concatenate([t.test_labels for t in stream.tasks])
    ends = np.cumsum([len(t.test_labels) for t in stream.tasks])[:-1]
    spikes = regular_rate(inputs, steps)
    experts = strategy.experts

    recording = deployment.run(spikes)
    counts = deployment.neuron_counts(recording)
    on_chip = strategy.predict(counts)

    torch_raster = strategy.raster(
        torch.from_numpy(spikes.transpose(1, 0, 2).astype(np.float32))
    )
    chip_raster = deployment.raster(spikes)
    in_torch = strategy.predict(torch_raster.sum(1, dtype=np.int64))
    unquantised = strategy.predict(chip_raster.sum(1, dtype=np.int64))
    fired = int(torch_raster.sum())
    differ = int((torch_raster != chip_raster).sum())
    metrics = {
        "task": task.number,
        "accuracy": [float(part.mean()) for part in np.split(on_chip == labels, ends)],
        "accuracy_snntorch": [
            float(part.mean()) for part in np.split(in_torch == labels, ends)
        ],
        "spikes_snntorch": fired,
        "spikes_differing": differ,
        "predictions": len(labels),
        "predictions_differing": int((in_torch != unquantised).sum()),
        "neurons": strategy.model.neurons,
        "hidden": [len(expert.births["hidden"]) for expert in experts],
        "owner": _owner(experts, strategy.model.neurons),
        "tiles": int(np.unique(deployment.placement.tile).size),
        "free_tiles": deployment.free_tiles,
    }
    if any(expert.births["gate"] for expert in experts):
        metrics["gate_hits"] = _gate_hits(counts, experts, labels)
    return metrics, recording


def _owner(experts: list[Expert], neurons: int) -> list[int]:
    """Expert of each neuron, in order of birth."""
    owner = [-1] * neurons
    for number, expert in enumerate(experts):
        for born in expert.births.values():
            for neuron in born:
                owner[neuron] = number
    return owner


def _gate_hits(
    counts: NDArray[np.int64], experts: list[Expert], labels: NDArray[np.int64]
) -> float:
    """Share of samples of known classes whose own expert has the busiest gate neuron."""
    best = np.column_stack([counts[:, expert.births["gate"]].max(1) for expert in experts])
    owner = {label: e for e, expert in enumerate(experts) for label in expert.classes}
    known = np.isin(labels, list(owner))
    right = [owner[int(label)] for label in labels[known]]
    return float((best[known].argmax(1) == right).mean())


Records = dict[str, list[dict[str, Any]]]


def save(
    folder: SeedFolder,
    task: Task,
    strategy: Strategy,
    host: MosaicHost,
    records: Records,
    recording: Recording | None,
) -> None:
    """Write what the task left behind; the checkpoint comes last and makes it count."""
    if recording is not None and host.last is not None:
        save_program(host.last.program, folder.path / f"program-{task.number}.npz")
        save_routing(host.last.routing, folder.path / f"routing-{task.number}.npz")
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer, spikes=recording.total, samples=recording.samples, steps=recording.steps
        )
        write_whole(folder.path / f"run-{task.number}.npz", buffer.getvalue())
    for name, rows in records.items():
        folder.write_lines(name, rows)
    checkpoint = io.BytesIO()
    torch.save(
        {"task": task.number, "strategy": strategy.state(), "host": host.state()},
        checkpoint,
    )
    write_whole(folder.path / "checkpoint.pt", checkpoint.getvalue())


def resume(folder: SeedFolder, strategy: Strategy, host: MosaicHost) -> tuple[int, Records]:
    """Take up the last checkpoint; return the number of finished tasks and their records."""
    names = ("metrics", "growth", "cost")
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
    host.load_state(state["host"], strategy.model)
    done = state["task"] + 1
    # Lines of a task whose checkpoint was not reached are dropped: it is done again.
    return done, {
        name: [row for row in folder.lines(name) if row.get("task", done) < done]
        for name in names
    }
