"""What each kind of event costs, as a formula of the quantities of a technology."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mosaic_sim.technology import Technology

__all__ = ["COMPONENTS", "Entry", "tariff", "unit_prices", "values_of"]

COMPONENTS = ("encoding", "synapses", "neurons", "routing", "static")
"""What energy is split into. Static power is not published for Mosaic, so it stands apart."""


class Entry(NamedTuple):
    """The price of one kind of event [J], and how it follows from the quantities it uses."""

    component: str
    price: float
    formula: str
    uses: tuple[str, ...]


def values_of(technology: Technology) -> dict[str, float]:
    """Return the plain values of a technology [SI], by name."""
    return {name: quantity.value for name, quantity in technology.quantities.items()}


def unit_prices(technology: Technology, levels: int) -> NDArray[np.float64]:
    """Price of each kind of event [J], as in `mosaic_sim.events.event_names`.

    Examples
    --------
    >>> from mosaic_sim import technology_preset
    >>> unit_prices(technology_preset("rram-22nm"), levels=16).size
    29
    """
    return np.array([entry.price for entry in tariff(values_of(technology), levels)])


def tariff(value: Mapping[str, float], levels: int) -> list[Entry]:
    """Price of every kind of event, from the values of quantities [SI].

    In each single quantity a price is a polynomial of degree 2 at most: `mosaic_sim.cost`
    relies on it for exact elasticities.
    """
    volts, pulse = value["read_voltage"], value["read_pulse"]
    reading = ("read_voltage", "read_pulse")

    def leak(name: str) -> Entry:
        energy = value[name] * value["step_time"]
        return Entry("static", energy, f"{name} * step_time", (name, "step_time"))

    def flat(component: str, name: str) -> Entry:
        return Entry(component, value[name], name, (name,))

    def router(name: str) -> Entry:
        formula = f"read_voltage**2 * {name} * read_pulse"
        return Entry("routing", volts**2 * value[name] * pulse, formula, (*reading, name))

    def excess(component: str) -> Entry:
        formula = "read_voltage**2 * 1 pS * read_pulse"
        return Entry(component, volts**2 * 1e-12 * pulse, formula, reading)

    entries = [
        flat("encoding", "input_energy"),
        flat("neurons", "neuron_spike_energy"),
        flat("neurons", "neuron_step_energy"),
        flat("routing", "line_energy"),
        flat("routing", "comparator_energy"),
        router("router_hcs"),
        router("router_lcs"),
        flat("synapses", "sense_energy"),
        leak("neuron_tile_leakage"),
        leak("routing_tile_leakage"),
        Entry("routing", 0.0, "counted for latency only", ("hop_latency",)),
        excess("synapses"),
        excess("routing"),
    ]
    low, high = value["synapse_lowest"], value["synapse_highest"]
    for level in range(levels):
        conductance = low + (high - low) * level / (levels - 1)
        formula = (
            f"read_voltage**2 * (synapse_lowest + {level}/{levels - 1} * (synapse_highest - "
            "synapse_lowest)) * read_pulse"
        )
        uses = (*reading, "synapse_lowest", "synapse_highest")
        entries.append(Entry("synapses", volts**2 * conductance * pulse, formula, uses))
    return entries
