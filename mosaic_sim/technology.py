"""Physical quantities, each with a unit, a source and how sure it is; read from TOML files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sim.errors import ConfigError, suggest
from mosaic_sim.quantity import STATUSES, Quantity, read_quantity, read_tables
from mosaic_sim.units import engineering

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "QUANTITIES",
    "STATUSES",
    "Quantity",
    "Technology",
    "load_technology",
    "technology_names",
    "technology_preset",
]

QUANTITIES = {
    # how it is operated
    "step_time": "s",
    "read_voltage": "V",
    "read_pulse": "s",
    # what its devices hold
    "synapse_lowest": "S",
    "synapse_highest": "S",
    "router_lcs": "S",
    "router_hcs": "S",
    "router_threshold": "S",
    # what happens beside them
    "neuron_spike_energy": "J",
    "neuron_step_energy": "J",
    "sense_energy": "J",
    "comparator_energy": "J",
    "line_energy": "J",
    "input_energy": "J",
    "neuron_tile_leakage": "W",
    "routing_tile_leakage": "W",
    # how long it takes
    "hop_latency": "s",
    "settling_time": "s",
    # how it is written
    "write_energy": "J",
    "write_time": "s",
    "write_tolerance": "S",
    "endurance": "",
    # how far it is from ideal
    "programming_noise": "",
    "programming_floor": "S",
    "device_variation": "",
    "read_noise": "",
    "drift_exponent": "",
    "drift_start": "s",
    "relaxation": "",
    "stuck_hcs": "",
    "stuck_lcs": "",
    "router_hcs_spread": "",
    "router_lcs_spread": "",
    "time_constant_spread": "",
    "time_constant_slope": "Hz",
    "synapse_constant_spread": "",
    "wire_resistance": "Ohm",
    "transistor_resistance": "Ohm",
    "transistor_leakage": "A",
    # how large it is
    "cell_area": "m2",
    "neuron_area": "m2",
    "comparator_area": "m2",
    "driver_area": "m2",
}
"""Every quantity that a technology file must give, and its SI unit."""

_ABOVE_ZERO = {
    "step_time", "read_voltage", "read_pulse", "synapse_lowest", "synapse_highest",
    "router_lcs", "router_hcs", "router_threshold", "hop_latency", "write_energy",
    "write_time", "write_tolerance", "endurance", "drift_start", "cell_area",
}  # fmt: skip

_SHARES = ("stuck_hcs", "stuck_lcs")

_AT_MOST = {
    # Shares of all devices, and relative deviations: beyond 1 a device would often conduct
    # less than nothing.
    **dict.fromkeys(
        ("programming_noise", "device_variation", "read_noise", "relaxation", *_SHARES), 1.0
    ),
    # nu = 1 is G ~ 1 / t; the deviation of a logarithm of 3 is a factor of 20 either way.
    "drift_exponent": 1.0,
    **dict.fromkeys(
        ("router_hcs_spread", "router_lcs_spread", "time_constant_spread"), 3.0
    ),
}
"""Largest value that makes sense."""

_FOLDER = Path(__file__).parent / "technologies"


@dataclass(frozen=True)
class Technology:
    """A complete set of quantities: one for each name in `QUANTITIES`.

    `text` is the file that it was read from, to be kept beside results.

    Examples
    --------
    >>> technology_preset("rram-130nm")["read_voltage"].unit
    'V'
    """

    name: str
    about: str
    quantities: Mapping[str, Quantity]
    text: str = ""

    def __getitem__(self, name: str) -> Quantity:
        """Return one quantity by name."""
        return self.quantities[name]

    def assumptions(self) -> list[str]:
        """Names of the quantities that nobody has measured or derived."""
        return [
            n for n, quantity in self.quantities.items() if quantity.status == "assumed"
        ]

    def with_values(self, **values: float) -> Technology:
        """Return the same technology with other values [SI], to sweep them.

        What is changed is `assumed` from then on, and its source says what it was.

        Raises
        ------
        ConfigError
            If there is no such quantity, or a value is impossible.

        Examples
        --------
        >>> fast = technology_preset("rram-130nm").with_values(read_pulse=1e-8)
        >>> str(fast["read_pulse"]), fast["read_pulse"].status
        ('10.0 ns', 'assumed')
        """
        changed = dict(self.quantities)
        for name, value in values.items():
            if name not in QUANTITIES:
                raise ConfigError(
                    f"Unknown quantity {name!r}.{suggest(name, QUANTITIES)} There are: "
                    f"{', '.join(QUANTITIES)}."
                )
            source = f"Set by hand; it was {self[name]} ({self[name].status})."
            table = {"value": value, "unit": QUANTITIES[name], "source": source}
            changed[name] = read_quantity(
                f"{self.name}: {name}", table | {"status": "assumed"}, QUANTITIES[name],
                above_zero=name in _ABOVE_ZERO,
            )  # fmt: skip
        _check(self.name, changed)
        return replace(self, quantities=changed, text="")

    def scaled(self, name: str, factor: float) -> Technology:
        """Return the same technology with one quantity times `factor`.

        Examples
        --------
        >>> str(technology_preset("rram-130nm").scaled("read_voltage", 0.5)["read_voltage"])
        '150 mV'
        """
        known = self.quantities.get(name)
        return self.with_values(**{name: 0.0 if known is None else known.value * factor})


def technology_names() -> list[str]:
    """Names of the technologies that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def technology_preset(name: str) -> Technology:
    """Return the technology called `name` that comes with the package.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in technology_names():
        raise ConfigError(
            f"Unknown technology {name!r}.{suggest(name, technology_names())} There are: "
            f"{', '.join(technology_names())}."
        )
    return load_technology(_FOLDER / f"{name}.toml")


def load_technology(path: Path | str) -> Technology:
    """Read a technology file.

    The file has a line ``about = "..."`` and a table for each name in `QUANTITIES`, with
    ``value``, ``unit`` (with a prefix: ``"uS"``), ``source`` and ``status``.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, a quantity is missing, unknown, of the wrong unit,
        not finite, negative or without source; or if together they are impossible: LCS not
        below HCS, the threshold outside the window between them, a share above 1, a spread as
        wide as what it is a spread of.
    """
    path = Path(path)
    text, tables = read_tables(path, "technology", technology_names())
    about = tables.pop("about", None)
    if not isinstance(about, str):
        raise ConfigError(f'{path.name} needs a line about = "what this technology is".')
    for name in tables:
        if name not in QUANTITIES:
            raise ConfigError(
                f"{path.name}: unknown quantity {name!r}.{suggest(name, QUANTITIES)} It takes: "
                f"{', '.join(QUANTITIES)}."
            )
    missing = [name for name in QUANTITIES if name not in tables]
    if missing:
        raise ConfigError(f"{path.name} lacks {', '.join(missing)}.")
    quantities = {
        name: read_quantity(
            f"{path.name}: {name}", tables[name], base, above_zero=name in _ABOVE_ZERO
        )
        for name, base in QUANTITIES.items()
    }
    _check(path.name, quantities)
    return Technology(path.stem, about, quantities, text)


def _check(where: str, quantities: Mapping[str, Quantity]) -> None:
    """Refuse quantities that are impossible together, or by their nature."""
    value = {name: quantity.value for name, quantity in quantities.items()}
    for low, high in (("synapse_lowest", "synapse_highest"), ("router_lcs", "router_hcs")):
        if not value[low] < value[high]:
            raise ConfigError(
                f"{where}: {low} is {quantities[low]}; it must be below {high}, "
                f"{quantities[high]}."
            )
    if not value["router_lcs"] < value["router_threshold"] < value["router_hcs"]:
        raise ConfigError(
            f"{where}: router_threshold is {quantities['router_threshold']}; it must lie "
            f"between router_lcs, {quantities['router_lcs']}, and router_hcs, "
            f"{quantities['router_hcs']}."
        )
    window = value["synapse_highest"] - value["synapse_lowest"]
    for name in ("programming_floor", "write_tolerance"):
        if value[name] > window:
            raise ConfigError(
                f"{where}: {name} is {quantities[name]}; it must be at most the window from "
                f"synapse_lowest to synapse_highest, {engineering(window, 'S')}."
            )
    for name, most in _AT_MOST.items():
        if value[name] > most:
            raise ConfigError(
                f"{where}: {name} is {quantities[name]}; it must be at most {most:g}."
            )
    if value["endurance"] < 1:
        raise ConfigError(
            f"{where}: endurance is {quantities['endurance']}; a device takes at least 1 pulse."
        )
    if sum(value[name] for name in _SHARES) > 1:
        raise ConfigError(
            f"{where}: {' and '.join(_SHARES)} add up to more than 1; they are shares of all "
            "devices."
        )
