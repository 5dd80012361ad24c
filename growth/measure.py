"""What a strategy has learnt, measured: its test samples on the chip, in torch, and the bill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.blueprint import Serve
from growth.bridge import bill, price, price_writes
from growth.encode import regular_rate
from growth.metrics import accuracies
from growth.neurobench import Work
from growth.samples import join

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from growth.blueprint import Blueprint, Counts
    from growth.bridge import CostReport, Deployment, MosaicHost, Program, Recording
    from growth.config import Experiment
    from growth.samples import Samples
    from growth.strategies import Strategy
    from growth.streams import Stream, Task

__all__ = ["Measured", "measure", "total_bill"]

CHECKED = 1000
"""Test samples, of each part, whose spikes on the chip without quantisation are held against
torch's."""

AT_ONCE = 500
"""Samples that are run together in torch."""


@dataclass(frozen=True)
class Measured:
    """Records of one evaluation, and the runs that they rest on.

    Parameters
    ----------
    metrics : dict
    cost : dict or None
        None for a network that does not spike.
    runs : list of (Program, Recording)
    """

    metrics: dict[str, Any]
    cost: dict[str, Any] | None
    runs: list[tuple[Program, Recording]]


def measure(
    experiment: Experiment,
    stream: Stream,
    task: Task,
    strategy: Strategy,
    host: MosaicHost,
) -> Measured:
    """Put what serves `task` on the chip, and run the test samples of all tasks through it.

    A strategy that needs identities is told those of the test samples, and the chip is
    rewritten from one task to the next; others get all samples as one part.

    Raises
    ------
    mosaic_sim.CapacityError
        If it does not fit the chip.
    """
    spiking = experiment.cell == "lif"
    blueprint = strategy.blueprint(task.identity)
    chip = OnChip(host, host.deploy(blueprint)) if spiking else None
    check = Check(host)
    scores: dict[str, list[NDArray[Any]]] = {"chip": [], "torch": []}
    different = 0
    taken_for: list[NDArray[np.int64]] = []
    for samples, identity in parts_of(strategy, stream):
        given = shown(experiment, samples)
        scores["torch"].append(strategy.scores(in_torch(given), identity))
        if chip is not None:
            exact = strategy.scores(check.on(given[:CHECKED]), identity).argmax(1)
            different += int((scores["torch"][-1][:CHECKED].argmax(1) != exact).sum())
            scores["chip"].append(strategy.scores(chip.on(given), identity))
        if strategy.taken_for is not None:
            taken_for.append(strategy.taken_for)
    test = join([t.test for t in stream.tasks])
    owner = np.repeat(np.arange(len(stream.tasks)), [len(t.test) for t in stream.tasks])
    found = {
        name: accuracies(
            np.concatenate(parts), test.labels, owner, [t.classes for t in stream.tasks]
        )
        for name, parts in scores.items()
        if parts
    }
    best = found.get("chip", found["torch"])
    metrics: dict[str, Any] = {
        "task": task.number,
        "accuracy": list(best.class_incremental),
        "accuracy_within_task": list(best.task_incremental),
        "accuracy_snntorch": list(found["torch"].class_incremental),
        "neurons": blueprint.neurons,
        "synapses": blueprint.synapses,
        "bits": blueprint.synapses * (experiment.device.levels - 1).bit_length(),
        **owners(blueprint),
        "stored": bits_by_place(strategy),
        "confusions": confusions(
            np.concatenate(scores["chip"] or scores["torch"]).argmax(1), test.labels, owner
        ),
        "work": strategy.meter.to_dict(),
    }
    if strategy.losses:
        metrics["training_loss"] = float(np.mean(strategy.losses))
    if taken_for:
        metrics["identity_hits"] = hit_rate(
            np.concatenate(taken_for),
            owner,
            [t.identity for t in stream.tasks],
            task.number,
        )
    if chip is None:
        return Measured(metrics, None, [])
    metrics |= {
        "spikes_snntorch": check.fired,
        "spikes_differing": check.differing,
        "predictions": check.samples,
        "predictions_differing": different,
        "neurobench": chip.work.to_dict(len(test)),
        "tiles": int(np.unique(chip.first.placement.tile).size),
        "free_tiles": chip.first.free_tiles,
    }
    if len(chip.served) == 1:
        metrics |= strategy.remarks(chip.now.counts(chip.served[0][1]), test.labels)
    runs = [(d.program, recording) for d, recording in chip.served]
    reports = [price(program, recording, host.technology) for program, recording in runs]
    cost = {"task": task.number} | total_bill(
        reports, chip.first.writes, chip.first.network.groups, samples=len(test)
    )
    cost["switches"] = chip.switches
    switch = float(np.mean(chip.switches)) if chip.switches else 0.0
    cost["switch_energy"] = switch * price_writes(1, host.technology)
    return Measured(metrics, cost, runs)


def confusions(
    found: NDArray[np.int64], labels: NDArray[np.int64], owner: NDArray[np.int64]
) -> list[list[list[int]]]:
    """Confusion matrix of the test samples of each task, as its entries that are not 0.

    Returns
    -------
    list of list of [label, predicted, samples]
        One list for each task; `growth.metrics.confusion_of` makes a matrix of it.

    Examples
    --------
    >>> confusions(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([0, 0, 1]))
    [[[0, 0, 1], [0, 1, 1]], [[1, 1, 1]]]
    """
    tasks = []
    for task in np.unique(owner):
        pairs = np.column_stack([labels[owner == task], found[owner == task]])
        places, counts = np.unique(pairs, axis=0, return_counts=True)
        tasks.append(np.column_stack([places, counts]).tolist())
    return tasks


def parts_of(strategy: Strategy, stream: Stream) -> Iterator[tuple[Samples, int | None]]:
    """Test samples that are served together, and the identity that they are served under."""
    if strategy.needs_identity:
        for task in stream.tasks:
            yield task.test, task.identity
    else:
        yield join([task.test for task in stream.tasks]), None


def hit_rate(
    taken_for: NDArray[np.int64],
    owner: NDArray[np.int64],
    identities: Sequence[int],
    last: int,
) -> float:
    """Share of the samples of learnt tasks that were taken for a task of their own identity.

    Parameters
    ----------
    taken_for : int64 array, (samples,)
        Number of the task that each sample was taken for.
    owner : int64 array, (samples,)
        Number of the task that each is from.
    identities : sequence of int
        Of each task.
    last : int
        Number of the task learnt last.

    Examples
    --------
    >>> hit_rate(np.array([0, 2, 1, 1]), np.array([0, 0, 1, 2]), [7, 8, 7], 1)
    1.0
    """
    same = np.asarray(identities)[taken_for] == np.asarray(identities)[owner]
    return float(same[owner <= last].mean())


def shown(experiment: Experiment, samples: Samples) -> NDArray[Any]:
    """Samples as a network is given them, (samples, steps, channels)."""
    if experiment.cell == "relu":
        return samples.inputs[:, None]
    return regular_rate(samples.inputs, experiment.stream.steps)


def in_torch(given: NDArray[Any]) -> Serve:
    """Return a way to run blueprints in torch on samples, (samples, steps, inputs)."""

    def run(blueprint: Blueprint, given: NDArray[Any]) -> Counts:
        parts = []
        for start in range(0, len(given), AT_ONCE):
            some = given[start : start + AT_ONCE].transpose(1, 0, 2)
            values = blueprint.run(torch.from_numpy(some.astype(np.float32)))
            parts.append({name: v.sum(0).numpy() for name, v in values.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return Serve(given, run)


@dataclass
class OnChip:
    """Serves blueprints on the chip, on the wires of a deployment, and notes what it took."""

    host: MosaicHost
    first: Deployment
    served: list[tuple[Deployment, Recording]] = field(default_factory=list)
    switches: list[int] = field(default_factory=list)
    work: Work = field(default_factory=Work)

    @property
    def now(self) -> Deployment:
        """What the chip holds."""
        return self.served[-1][0] if self.served else self.first

    def on(self, spikes: NDArray[np.bool_]) -> Serve:
        """Return a way to run blueprints on these samples, (samples, steps, inputs)."""

        def run(blueprint: Blueprint, spikes: NDArray[np.bool_]) -> Counts:
            deployment = self.host.variant(blueprint, before=self.now)
            if deployment.writes:
                self.switches.append(deployment.writes)
            recording = deployment.run(spikes)
            self.served.append((deployment, recording))
            counts = deployment.counts(recording)
            self.work.ran(blueprint, spikes, counts)
            return counts

        return Serve(spikes, run)


@dataclass
class Check:
    """Serves blueprints on the chip without quantisation, and holds every spike against torch's."""

    host: MosaicHost
    samples: int = 0
    fired: int = 0
    differing: int = 0

    def on(self, spikes: NDArray[np.bool_]) -> Serve:
        """Return a way to run blueprints on these samples, (samples, steps, inputs)."""
        self.samples += len(spikes)

        def run(blueprint: Blueprint, spikes: NDArray[np.bool_]) -> Counts:
            raster = self.host.variant(blueprint).raster(spikes)
            given = torch.from_numpy(spikes.transpose(1, 0, 2).astype(np.float32))
            expected = blueprint.run(given)
            found = {p.name: raster[:, :, p.births] for p in blueprint.populations}
            for name, fired in found.items():
                there = expected[name].numpy().transpose(1, 0, 2) > 0
                self.fired += int(there.sum())
                self.differing += int((there != fired).sum())
            return {name: fired.sum(1, dtype=np.int64) for name, fired in found.items()}

        return Serve(spikes, run)


def owners(blueprint: Blueprint) -> dict[str, Any]:
    """Names of what is billed together, and to which of them each neuron belongs."""
    names = list(dict.fromkeys(p.name.split("/")[0] for p in blueprint.populations))
    owner = np.zeros(blueprint.neurons, np.int64)
    for population in blueprint.populations:
        owner[population.births] = names.index(population.name.split("/")[0])
    return {"owners": names, "owner": owner.tolist()}


def bits_by_place(strategy: Strategy) -> dict[str, int]:
    """What a strategy keeps beside the network."""
    ledger = strategy.ledger()
    return {
        place: sum(stored.bits for stored in ledger if stored.place == place)
        for place in ("device", "sram", "host")
    }


def total_bill(
    reports: Sequence[CostReport], writes: int, groups: Any, *, samples: int
) -> dict[str, Any]:
    """One bill for all runs that served some samples.

    Energies and events are those of all runs together; times, area and sensitivity those of
    the first, since all have the same wires.

    Parameters
    ----------
    reports : sequence of CostReport
    writes : int
        Devices rewritten to learn.
    groups : mapping of int array
        Of the network.
    samples : int
        Inferences. A sample may have been run several times for one.
    """
    bills = [bill(report, writes, groups) for report in reports]
    total = bills[0]
    if len(bills) == 1:
        return total
    weights = [report.samples / samples for report in reports]

    def together(values: Sequence[float]) -> float:
        return float(sum(w * v for w, v in zip(weights, values, strict=True)))

    for key in ("energy_per_inference", "hops_per_inference"):
        total[key] = together([one[key] for one in bills])
    for key in ("by_component", "by_kind", "by_expert"):
        total[key] = {
            name: together([one[key][name] for one in bills]) for name in total[key]
        }
    counts: dict[str, int] = {}
    for one in bills:
        for row in one["rows"]:
            counts[row["event"]] = counts.get(row["event"], 0) + row["count"]
    known = {row["event"]: row for one in bills for row in one["rows"]}
    total["rows"] = [row | {"count": counts[event]} for event, row in known.items()]
    return total
