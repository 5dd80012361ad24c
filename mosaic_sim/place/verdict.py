"""Whether a layout that has grown should be made anew, and what that would rewrite."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import CapacityError, MosaicError
from mosaic_sim.place.growing import moved
from mosaic_sim.place.objective import check_rates, hop_cost
from mosaic_sim.place.placement import check_sites, spread_ports
from mosaic_sim.place.seats import links, room, seats_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from mosaic_sim.chip import Chip
    from mosaic_sim.network import Network
    from mosaic_sim.place.placement import Placement

__all__ = ["LIMIT", "Verdict", "judge"]

LIMIT = 1.05
"""H of a synapse that is this much above the last full placement calls for a new one."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What growth did to a layout, and whether to place all neurons anew.

    Parameters
    ----------
    kept, new, moved : int
        Neurons programmed before, arrived, and programmed before but elsewhere now.
    sources : (int, int)
        Inputs and neurons before and now.
    before, after : float
        H of `hop_cost`; `after` is infinite if the new neurons found no place.
    reference : float
        H for each rate x synapse right after the last full placement: hand it on to the next
        `judge`.
    strain : float
        H for each rate x synapse now, over `reference`.
    limit : float
    replaced : Placement or None
        The layout that a placer would make anew; None if it was not run or failed.
    replaced_cost : float
        H of it; infinite if there is none.
    rewritten : int
        Programmed neurons that would have to move there from where they were before.
    devices : int
        Synaptic devices that would have to be written for that: one of each pair, cleared in
        the old column and set in the new. Routers come on top.
    """

    kept: int
    new: int
    moved: int
    sources: tuple[int, int]
    before: float
    after: float
    reference: float
    strain: float
    limit: float
    replaced: Placement | None = None
    replaced_cost: float = np.inf
    rewritten: int = 0
    devices: int = 0

    @property
    def strained(self) -> bool:
        """Whether the layout has become worse than `limit` allows, or too small."""
        return self.strain > self.limit

    @property
    def replace(self) -> bool:
        """Whether to use the layout that was made anew: it is called for, and is better."""
        return self.strained and self.replaced_cost < self.after

    def __str__(self) -> str:
        per_source = [
            f"{cost / max(sources, 1):.3g}"
            for cost, sources in zip((self.before, self.after), self.sources, strict=True)
        ]
        grown = (
            f"{self.new} neurons found no place beside {self.kept}"
            if np.isinf(self.after)
            else f"{self.new} neurons beside {self.kept}, of which {self.moved} moved; H a "
            f"source {per_source[0]} before, {per_source[1]} now, a synapse "
            f"{self.strain:.3f} of what it was after the last full placement"
        )
        if not self.strained:
            return f"Keep: {grown}."
        if self.replaced is None:
            return f"Strained: {grown}; no other layout was found."
        return (
            f"{'Re-place' if self.replace else 'Keep'}: {grown}. A new layout would reach H "
            f"{self.replaced_cost:.6g} (now {self.after:.6g}) and rewrite {self.rewritten} of "
            f"{self.kept} neurons, {self.devices} synaptic devices."
        )


def judge(
    network: Network,
    chip: Chip,
    old: Placement,
    new: Placement | None,
    *,
    rates: ArrayLike | None = None,
    reference: float | None = None,
    limit: float = LIMIT,
    placer: Callable[[Network, Chip], Placement] | None = None,
) -> Verdict:
    """Compare a layout that has grown with what it was, and say whether to place anew.

    A network that grows has more to send, wherever it lies: H is compared per synapse,
    weighted with the rate of its source.

    Parameters
    ----------
    network : Network
        As it is now.
    old : Placement
        Of its first neurons and inputs, before it grew.
    new : Placement or None
        Of all; None if they found no place.
    rates : array, (sources,), optional
        How much each source spikes; 1 by default.
    reference : float, optional
        Of the `Verdict` before; by default `old` counts as the last full placement.
    limit : float
        How much more than the reference H may be.
    placer : callable, optional
        Makes a layout anew if `limit` is passed, for example
        ``lambda network, chip: place(network, chip, effort=10)``. None: not tried.

    Raises
    ------
    MosaicError
        If a placement or `rates` do not belong to this network and chip.

    Examples
    --------
    >>> from mosaic_sim import Chip, Network, Placement, place
    >>> net = Network.from_synapses(inputs=1, neurons=3, source=[0, 1, 2], target=[0, 1, 2],
    ...                             weight=1.0)
    >>> old = Placement(*(np.array(x, "i4") for x in ([0, 1], [0, 0], [0])))
    >>> chip = Chip(1, 3, 1, 1, 1, 1)
    >>> print(judge(net, chip, old, place(net, chip, keep=old)))
    Keep: 1 neurons beside 2, of which 0 moved; H a source 0.667 before, 0.75 now, a synapse
    1.000 of what it was after the last full placement.
    """
    rate = check_rates(network, rates)
    kept, inputs = old.tile.size, old.port.size
    if kept > network.neurons or inputs > network.first_neuron:
        raise MosaicError(
            f"old places {kept} neurons and {inputs} inputs; the network has "
            f"{network.neurons} and {network.first_neuron}."
        )
    check_sites(chip, old, kept, inputs, "old")
    slots = room(chip)
    linked = links(network)
    _, before = seats_of(
        network, chip, spread_ports(network, chip, old), old, rates=rate, slots=slots,
        linked=linked,
    )  # fmt: skip
    into, source = linked[2], linked[3]
    first = network.first_neuron
    placed = source[: into[kept]]
    early = float(rate[placed[placed < first + kept]].sum())
    late = float(rate[source].sum())
    after = np.inf if new is None else hop_cost(network, chip, new, rate)
    if reference is None:
        reference = before / early if early and before else after / late if late else 0.0
    strain = after / late / reference if late and reference else 1.0
    if new is None:
        strain = np.inf
    verdict = Verdict(
        kept, network.neurons - kept, 0 if new is None else moved(old, new).size,
        (first + kept, network.sources), before, after, reference, strain, limit,
    )  # fmt: skip
    if not verdict.strained or placer is None:
        return verdict
    return _replaced(verdict, network, chip, old, placer, rate, np.diff(into))


def _replaced(
    verdict: Verdict,
    network: Network,
    chip: Chip,
    old: Placement,
    placer: Callable[[Network, Chip], Placement],
    rate: NDArray[np.float64],
    fan_in: NDArray[np.int64],
) -> Verdict:
    """Add to a verdict what a placer would make of the network."""
    try:
        layout = placer(network, chip)
    except CapacityError:
        return verdict
    who = moved(old, layout)
    return replace(
        verdict, replaced=layout, replaced_cost=hop_cost(network, chip, layout, rate),
        rewritten=who.size, devices=int(2 * fan_in[who].sum()),
    )  # fmt: skip
