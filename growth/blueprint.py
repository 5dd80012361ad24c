"""What must sit on the chip to serve a task, said without chips: populations and weights.

Every strategy draws one (`Strategy.blueprint`). It is what the bridge puts on the chip, what is
run in torch for comparison, and what is compared with the next one to price learning and
switching. It holds numbers only, so nothing that trains on can change it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from growth.sequence import leaky
from mosaic_sim.errors import MosaicError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["BIAS", "INPUTS", "Blueprint", "Connection", "Counts", "Population", "Serve"]

INPUTS = "inputs"
"""Source of a connection that reads the input channels."""

BIAS = "bias"
"""Source of a connection that reads the line that spikes in every step."""

Counts = dict[str, "NDArray[Any]"]
"""Spike counts of each population by its name, (samples, neurons)."""


@dataclass(frozen=True, eq=False)
class Serve:
    """Runs networks on some samples, on the chip or in torch, and returns what they fired.

    Parameters
    ----------
    given : bool or float32 array, (samples, steps, inputs)
        The samples as a network is given them: what a host that feeds the chip has.
    run : callable
        Takes a blueprint and samples like `given`, and returns what it fired; every call is
        billed for the samples it is given.
    """

    given: NDArray[Any]
    run: Callable[[Blueprint, NDArray[Any]], Counts]

    def __call__(
        self, blueprint: Blueprint, rows: NDArray[np.int64] | None = None
    ) -> Counts:
        """Run a network on all samples, or on some rows of them only."""
        return self.run(blueprint, self.given if rows is None else self.given[rows])


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one kind.

    Parameters
    ----------
    name : str
        ``expert 0/hidden``: what stands before the slash is billed together.
    births : int64 array, (neurons,)
        Their numbers in the network, in order of birth.
    leak : float
        Membrane factor per step.
    threshold : float
    """

    name: str
    births: NDArray[np.int64]
    leak: float = 1.0
    threshold: float = 1.0


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses between two populations.

    Parameters
    ----------
    source, target : str
        `INPUTS`, `BIAS` or the name of a population; a target is a population, and a source
        that is one stands before it in the blueprint.
    weight : float32 array, (target, source)
    present : bool array, (target, source), optional
        Where there are devices; everywhere by default. A device may hold weight 0.
    """

    source: str
    target: str
    weight: NDArray[np.float32]
    present: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Blueprint:
    """A feed-forward network.

    Parameters
    ----------
    inputs : int
        Input channels.
    populations : tuple of Population
        In the order in which spikes reach them.
    connections : tuple of Connection
    spiking : bool
        Without it neurons are rectified linear ones, the last population linear, and no chip
        takes the network: for comparison with the literature.

    Raises
    ------
    MosaicError
        If births are not the numbers 0 to neurons - 1, or a connection names what is not
        there before it or has another shape.

    Examples
    --------
    >>> out = Population("out", np.arange(2), leak=0.9)
    >>> net = Blueprint(3, (out,), (Connection(INPUTS, "out", np.ones((2, 3), np.float32)),))
    >>> net.neurons, net.synapses
    (2, 6)
    """

    inputs: int
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    spiking: bool = True

    def __post_init__(self) -> None:
        born = np.sort(
            np.concatenate([np.zeros(0, int), *(p.births for p in self.populations)])
        )
        if not np.array_equal(born, np.arange(born.size)):
            raise MosaicError(
                f"births are {born.tolist()}; every number from 0 to {born.size - 1} must stand "
                "once."
            )
        place = {INPUTS: -1, BIAS: -1} | {p.name: k for k, p in enumerate(self.populations)}
        size = {INPUTS: self.inputs, BIAS: 1} | {
            p.name: len(p.births) for p in self.populations
        }
        for c in self.connections:
            if place.get(c.source, 1 << 30) >= place.get(c.target, -1):
                raise MosaicError(
                    f"A connection leads from {c.source!r} to {c.target!r}; a source must be "
                    f"{INPUTS!r}, {BIAS!r} or a population before its target."
                )
            wanted = (size[c.target], size[c.source])
            for name in ("weight", "present"):
                array = getattr(c, name)
                if array is not None and array.shape != wanted:
                    raise MosaicError(
                        f"{name} from {c.source!r} to {c.target!r} has shape {array.shape}; it "
                        f"needs {wanted}."
                    )

    @property
    def neurons(self) -> int:
        """Neurons of all populations."""
        return sum(len(p.births) for p in self.populations)

    @property
    def synapses(self) -> int:
        """Device pairs of all connections."""
        return sum(
            c.weight.size if c.present is None else int(c.present.sum())
            for c in self.connections
        )

    def wired_like(self, other: Blueprint) -> bool:
        """Whether the other has synapses between the same neurons, whatever their weights."""

        def wiring(one: Blueprint) -> list[object]:
            kept: list[object] = [(p.name, p.births.tobytes()) for p in one.populations]
            for c in one.connections:
                there = None if c.present is None else c.present.tobytes()
                kept.append((c.source, c.target, c.weight.shape, there))
            return kept

        return self.inputs == other.inputs and wiring(self) == wiring(other)

    @torch.no_grad()
    def run(self, given: Tensor) -> dict[str, Tensor]:
        """Run the network in torch.

        Parameters
        ----------
        given : (steps, samples, inputs)
            Spikes. One step of intensities if the network does not spike.

        Returns
        -------
        dict of Tensor, (steps, samples, neurons)
            Spikes of each population, or its values.
        """
        found: dict[str, Tensor] = {
            INPUTS: given,
            BIAS: given.new_ones(*given.shape[:2], 1),
        }
        for number, population in enumerate(self.populations):
            current = given.new_zeros(*given.shape[:2], len(population.births))
            for c in self.connections:
                if c.target == population.name:
                    current = current + found[c.source] @ torch.from_numpy(c.weight).T
            if self.spiking:
                found[population.name] = leaky(
                    current, population.leak, population.threshold
                )
            elif number + 1 < len(self.populations):
                found[population.name] = current.clamp(min=0)
            else:
                found[population.name] = current
        return {
            name: values for name, values in found.items() if name not in (INPUTS, BIAS)
        }
