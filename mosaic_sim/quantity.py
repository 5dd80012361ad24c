"""A number with a unit, a source and how sure it is; and the TOML files that hold such."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mosaic_sim.errors import ConfigError
from mosaic_sim.units import engineering, to_si

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "STATUSES",
    "Quantity",
    "count_statuses",
    "read_quantity",
    "read_tables",
    "status_words",
]

STATUSES = ("measured", "derived", "assumed")
"""How sure a quantity is, surest first."""


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


def count_statuses(quantities: Iterable[Quantity]) -> dict[str, int]:
    """Count quantities by how sure they are, surest first.

    Examples
    --------
    >>> count_statuses([Quantity(1.0, "V", "a guess", "assumed")])
    {'measured': 0, 'derived': 0, 'assumed': 1}
    """
    found = [quantity.status for quantity in quantities]
    return {status: found.count(status) for status in STATUSES}


def read_tables(path: Path, kind: str, presets: Iterable[str]) -> tuple[str, Any]:
    """Return the text of a TOML file, and its content.

    Raises
    ------
    ConfigError
        If it is missing, no text, or not TOML; `kind` and `presets` say what was looked for.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(
            f"There is no {kind} file {str(path)!r}. Presets: {', '.join(presets)}."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name} is not a text file.") from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not TOML: {error}.") from None


def read_quantity(where: str, table: object, base: str, *, above_zero: bool) -> Quantity:
    """Turn a table with ``value``, ``unit``, ``source`` and ``status`` into a quantity.

    Raises
    ------
    ConfigError
        Naming `where`, if an entry is missing, unknown, of another unit than `base` with a
        prefix, not finite, below 0 (or 0, if it has to lie above), or without a source.
    """
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
    if not math.isfinite(si) or si < 0 or (si == 0 and above_zero):
        zero = "" if above_zero else " or 0"
        raise ConfigError(
            f"{where} is {value} {unit}; it must be finite and above 0{zero}."
        )
    return Quantity(si, base, source.strip(), status)


def status_words(quantities: Mapping[str, Quantity]) -> str:
    """Say how many quantities have which status: ``3 measured, 5 derived, 40 assumed``."""
    counts = count_statuses(quantities.values())
    return ", ".join(f"{number} {status}" for status, number in counts.items())
