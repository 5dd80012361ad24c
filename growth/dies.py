"""Many dies of one design: how well a network works on chips as they really come out."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from growth.simulation import EFFECTS, price, sample_die, simulate
from growth.statistics import Estimate, estimate
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import ArrayLike, NDArray

    from growth.simulation import Drive, Events, Program, Recording, Technology

__all__ = ["Dies", "Yield", "outputs_of", "run_dies"]


@dataclass(frozen=True)
class Yield:
    """Share of dies that are good enough, with its 95 % interval (Clopper and Pearson).

    Parameters
    ----------
    wanted : float
        Score from which a die is good enough.
    good, dies : int
    low, high : float
    """

    wanted: float
    good: int
    dies: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of the dies that were sampled."""
        return self.good / self.dies


@dataclass(frozen=True, eq=False)
class Dies:
    """What a number of sampled dies did with the same program and input.

    Parameters
    ----------
    labelled : bool
        Whether `score` is an accuracy; otherwise the share of samples that are answered as on the
        ideal chip.
    ideal : float
        Score of the ideal chip.
    score : float64 array, (dies,)
    energy : float64 array, (dies,) [J]
        Per inference.
    differing : float64 array, (dies,)
        Spike counts of neurons that differ from the ideal chip, as a share of its spikes.
    lost, false : int64 array, (dies,)
        Sources that miss a connection, and sources that a device leads astray.
    pulses : int64 array, (dies,)
        Programming pulses from a blank chip, for devices that hold synapses.
    effects : tuple of str
    seed, attempts : int
        The seed of the first die, the next ones count on.
    windows : int, or None
        As given to `mosaic_sim.sample_die`.
    age : float [s]
    """

    labelled: bool
    ideal: float
    score: NDArray[np.float64]
    energy: NDArray[np.float64]
    differing: NDArray[np.float64]
    lost: NDArray[np.int64]
    false: NDArray[np.int64]
    pulses: NDArray[np.int64]
    effects: tuple[str, ...]
    seed: int
    attempts: int
    windows: int | None
    age: float

    @property
    def number(self) -> int:
        """Number of dies."""
        return int(self.score.size)

    @property
    def mean(self) -> Estimate:
        """Mean score with its interval."""
        return estimate(self.score)

    def yield_above(self, wanted: float) -> Yield:
        """Share of dies whose score is at least `wanted`.

        Examples
        --------
        >>> import numpy as np
        >>> none = np.zeros(4)
        >>> dies = Dies(True, 1.0, np.array([0.9, 0.95, 0.7, 0.9]), none, none, none, none, none,
        ...             (), 0, 1, 1, 0.0)
        >>> dies.yield_above(0.9).share
        0.75
        """
        good = int((self.score >= wanted).sum())
        interval = stats.binomtest(good, self.number).proportion_ci(0.95, method="exact")
        return Yield(wanted, good, self.number, float(interval.low), float(interval.high))

    def facts(self, wanted: float) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        good, mean = self.yield_above(wanted), self.mean
        return {
            "effects": list(self.effects),
            "seed": self.seed,
            "attempts": self.attempts,
            "age": self.age,
            "windows": self.windows,
            "measure": "accuracy" if self.labelled else "agreement with the ideal chip",
            "ideal": self.ideal,
            "mean": mean.mean,
            "interval": None if mean.low is None else [mean.low, mean.high],
            "wanted": wanted,
            "yield": good.share,
            "yield_interval": [good.low, good.high],
            "score": self.score.tolist(),
            "energy_per_inference": self.energy.tolist(),
            "differing_spikes": self.differing.tolist(),
            "sources_that_miss_connections": self.lost.tolist(),
            "sources_led_astray": self.false.tolist(),
            "pulses": self.pulses.tolist(),
        }


def outputs_of(program: Program) -> NDArray[np.int64]:
    """Neurons that send to no neuron: what a network answers with, in their order."""
    own = program.offsets[program.first_neuron :]
    outputs: NDArray[np.int64] = np.flatnonzero(np.diff(own) == 0)
    return outputs


def run_dies(
    program: Program,
    technology: Technology,
    spikes: ArrayLike | Events | Drive,
    *,
    dies: int,
    labels: ArrayLike | None = None,
    outputs: ArrayLike | None = None,
    effects: Collection[str] = tuple(EFFECTS),
    seed: int = 0,
    attempts: int = 1,
    age: float = 0.0,
    windows: int | None = None,
    threads: int | None = None,
    done: Callable[[], None] = lambda: None,
) -> Dies:
    """Sample dies, run each on the same input, and compare them with the ideal chip.

    The answer to a sample is the output neuron (`outputs_of`) that fires most, the first of
    several; without outputs all neurons are.

    Parameters
    ----------
    program, technology, spikes
        As for `mosaic_sim.simulate` and `mosaic_sim.price`.
    dies : int
    labels : int array, (samples,), optional
        Number of the output neuron that is right for each sample.
    outputs : int array, optional
        Neurons that answer, in the order of the labels; `outputs_of` by default.
    effects, seed, attempts, age, windows
        As for `mosaic_sim.sample_die`; die k has seed ``seed + k``.
    threads : int, optional
        Dies that are run side by side; as many as there are cores by default. The result does
        not depend on it.
    done : callable
        Called after each die.

    Raises
    ------
    MosaicError
        If `dies` is not positive, or `labels` does not fit the samples and outputs.

    Examples
    --------
    >>> import numpy as np
    >>> from mosaic_sim import *
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[2.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> program = compile_program(net, chip, placement, route(net, chip, placement))
    >>> rram = technology_preset("rram-130nm")
    >>> run_dies(program, rram, np.ones((1, 5, 1), bool), dies=3).number
    3
    """
    if isinstance(dies, bool) or not isinstance(dies, int) or dies < 1:
        raise MosaicError(f"dies is {dies!r}; it needs an integer of at least 1.")
    answering = _outputs(program, outputs)
    ideal = simulate(program, spikes)
    wanted = _answers(ideal, program, answering)
    if labels is not None:
        wanted = _labels(labels, ideal.samples, answering.size)
    base = _answers(ideal, program, answering)
    neurons = ideal.counts[:, program.first_neuron :]

    def run(number: int) -> tuple[float, float, float, int, int, int]:
        die = sample_die(
            program, technology, effects=effects, seed=seed + number, attempts=attempts,
            age=age, windows=windows,
        )  # fmt: skip
        recording = simulate(die, spikes, threads=1, progress=False)
        report = price(die, recording, technology)
        counts = recording.counts[:, program.first_neuron :]
        result = (
            float((_answers(recording, program, answering) == wanted).mean()),
            report.energy_per_inference,
            float(np.abs(counts - neurons).sum() / max(neurons.sum(), 1)),
            int((die.lost > 0).sum()), int((die.false > 0).sum()), int(die.pulses.sum()),
        )  # fmt: skip
        done()
        return result

    workers = min((os.cpu_count() or 1) if threads is None else threads, dies)
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        found = list(pool.map(run, range(dies)))
    score, energy, differing, lost, false, pulses = (
        np.array(column) for column in zip(*found, strict=True)
    )
    return Dies(
        labels is not None, float((base == wanted).mean()), score, energy, differing, lost,
        false, pulses, tuple(e for e in EFFECTS if e in set(effects)), seed, attempts, windows,
        age,
    )  # fmt: skip


def _outputs(program: Program, outputs: ArrayLike | None) -> NDArray[np.int64]:
    """Neurons that answer, checked."""
    if outputs is None:
        found = outputs_of(program)
        return found if found.size else np.arange(program.neurons)
    given = np.asarray(outputs)
    if given.ndim != 1 or not given.size or given.dtype.kind not in "iu":
        raise MosaicError(
            f"outputs holds {given.dtype} of shape {given.shape}; it needs the numbers of one or "
            "more neurons."
        )
    if given.min() < 0 or given.max() >= program.neurons:
        bad = given[(given < 0) | (given >= program.neurons)][0]
        raise MosaicError(
            f"outputs has {bad}; the network has neurons 0 to {program.neurons - 1}."
        )
    return given.astype(np.int64)


def _answers(
    recording: Recording, program: Program, outputs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Output neuron that fires most in each sample, (samples,)."""
    answers: NDArray[np.int64] = recording.counts[:, program.first_neuron + outputs].argmax(
        1
    )
    return answers


def _labels(labels: ArrayLike, samples: int, outputs: int) -> NDArray[np.int64]:
    right = np.asarray(labels)
    if right.shape != (samples,) or right.dtype.kind not in "iu":
        raise MosaicError(
            f"labels holds {right.dtype} of shape {right.shape}; it needs ({samples},) whole "
            "numbers, one a sample."
        )
    if right.min() < 0 or right.max() >= outputs:
        bad = right[(right < 0) | (right >= outputs)][0]
        raise MosaicError(
            f"labels has {bad}; the network has outputs 0 to {outputs - 1}: its neurons that "
            "send to no neuron."
        )
    return right.astype(np.int64)
