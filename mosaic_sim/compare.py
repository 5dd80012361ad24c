"""The events of a run at the published prices of other platforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mosaic_sim.platform import Platform, platform_names, platform_preset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mosaic_sim.cost import CostReport

__all__ = ["CAVEAT", "EVENTS_PRICED", "Comparison", "compare", "price_on"]

CAVEAT = (
    "The events are those of this network on this chip, hops included: the other platform would "
    "place and route it otherwise. Published energies come from different processes, voltages "
    "and definitions of an operation; static power, and whatever is marked '-', is left out. "
    "Those of this chip follow from assumed quantities. Good for orders of magnitude, not for a "
    "ranking."
)
"""What such a comparison can and cannot mean."""

EVENTS_PRICED = ("synapses", "spikes", "updates", "hops")
"""What a platform may have a price for."""


@dataclass(frozen=True)
class Comparison:
    """One inference at the prices of a platform.

    Parameters
    ----------
    platform : Platform
    events : dict of float
        Events of one inference, in the mean, by `EVENTS_PRICED`: synaptic operations, spikes
        of neurons, updates of neurons, hops *on the simulated chip*.
    energy : dict of (float or None) [J]
        What they cost; None where nothing is published.
    """

    platform: Platform
    events: dict[str, float]
    energy: dict[str, float | None]

    @property
    def missing(self) -> list[str]:
        """Events that have no published price."""
        return [name for name, joule in self.energy.items() if joule is None]

    @property
    def published(self) -> float:
        """Energy of one inference as far as it is published [J]: a lower bound."""
        return sum(joule for joule in self.energy.values() if joule is not None)


def price_on(report: CostReport, platform: Platform) -> Comparison:
    """Price the events of a run under another platform.

    A hop costs the mean of both directions of a mesh where they differ.

    Parameters
    ----------
    report : CostReport
        Of the run; only its counts are used.
    platform : Platform
    """
    events = {
        "synapses": report.synaptic_operations / report.samples,
        "spikes": report.neuron_spikes / report.samples,
        "updates": float(report.program.neurons * report.steps),
        "hops": report.hops / report.samples,
    }
    named = {n: platform.get(f"{n}_energy") for n in ("synapse", "spike", "update")}
    known = (*(None if q is None else q.value for q in named.values()), platform.hop())
    energy = {
        name: None if price is None else price * events[name]
        for name, price in zip(EVENTS_PRICED, known, strict=True)
    }
    return Comparison(platform, events, energy)


def compare(
    report: CostReport, platforms: Sequence[Platform] | None = None
) -> list[Comparison]:
    """Price a run under several platforms; all that come with the package by default.

    See `CAVEAT` for what this can mean.

    Examples
    --------
    >>> from mosaic_sim import *
    >>> net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[2.0])
    >>> chip = Chip(1, 1, 4, 4, 4, 4)
    >>> placement = place(net, chip)
    >>> program = compile_program(net, chip, placement, route(net, chip, placement))
    >>> run = simulate(program, [[[1], [0], [1]]])
    >>> report = price(program, run, technology_preset("rram-130nm"))
    >>> (odin,) = compare(report, [platform_preset("odin")])
    >>> odin.events["synapses"], round(odin.published * 1e12, 3), odin.missing
    (2.0, 25.4, ['spikes', 'updates', 'hops'])
    """
    if platforms is None:
        platforms = [platform_preset(name) for name in platform_names()]
    return [price_on(report, platform) for platform in platforms]
