"""Physical quantities, each with a unit, a source and how sure it is; read from TOML files."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sim.errors import ConfigError, suggest
from mosaic_sim.units import engineering, to_si

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

STATUSES = ("measured", "derived", "assumed")
"""How sure a quantity is, surest first."""

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

_ORDERED = (
    ("synapse_lowest", "synapse_highest"),
    ("router_lcs", "router_threshold"),
    ("router_threshold", "router_hcs"),
)

_PROBABILITIES = ("stuck_hcs", "stuck_lcs")

_FOLDER = Path(__file__).parent / "technologies"


@dataclass(frozen=True)
class Quantity:
    """A value in SI units, with where it comes from and how sure it is."""

    value: float
    unit: str
    source: str
    status: str

    def __str__(self) -> str:
        """Write the value with a prefix: ``4.00 µS``."""
        return engineering(self.value, self.unit)


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
        not finite, negative or without source, or LCS is not below HCS.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(
            f"There is no technology file {str(path)!r}. Presets: {', '.join(technology_names())}."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name} is not a text file.") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not TOML: {error}.") from None
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
        name: _quantity(f"{path.name}: {name}", name, tables[name], base)
        for name, base in QUANTITIES.items()
    }
    for low, high in _ORDERED:
        if not quantities[low].value < quantities[high].value:
            raise ConfigError(
                f"{path.name}: {low} is {quantities[low]}; it must be below {high}, "
                f"{quantities[high]}."
            )
    if sum(quantities[name].value for name in _PROBABILITIES) > 1:
        raise ConfigError(
            f"{path.name}: {' and '.join(_PROBABILITIES)} add up to more than 1; they are "
            "shares of all devices."
        )
    return Technology(path.stem, about, quantities, text)


def _quantity(where: str, name: str, table: object, base: str) -> Quantity:
    keys = {"value", "unit", "source", "status"}
    if not isinstance(table, dict) or set(table) != keys:
        raise ConfigError(f"{where} needs exactly {', '.join(sorted(keys))}.")
    value, unit, source, status = (table[k] for k in ("value", "unit", "source", "status"))
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{where} has value {value!r}; it needs a number.")
    if status not in STATUSES:
        raise ConfigError(f"{where} has status {status!r}; it must be one of {STATUSES}.")
    if not isinstance(source, str) or not source.strip():
        raise ConfigError(f"{where} has no source; say where the number comes from.")
    if not isinstance(unit, str):
        raise ConfigError(f"{where} has unit {unit!r}; it needs text.")
    try:
        si = to_si(float(value), unit, base)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    if not math.isfinite(si) or si < 0 or (si == 0 and name in _ABOVE_ZERO):
        zero = "" if name in _ABOVE_ZERO else " or 0"
        raise ConfigError(
            f"{where} is {value} {unit}; it must be finite and above 0{zero}."
        )
    return Quantity(si, base, source.strip(), status)
