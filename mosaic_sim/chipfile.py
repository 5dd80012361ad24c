"""Chips as files: the fields of `Chip` in TOML."""

from __future__ import annotations

import json
import tomllib
from dataclasses import MISSING, asdict, fields
from pathlib import Path

from mosaic_sim.chip import CHIPS, Chip, chip_preset
from mosaic_sim.errors import ConfigError, suggest

__all__ = ["chip_text", "find_chip", "load_chip"]


def load_chip(path: Path | str) -> Chip:
    r"""Read a chip from a TOML file.

    The file gives the fields of `Chip`; with ``preset = "demo"`` only those that differ from
    the ready-made chip of that name::

        preset = "demo"
        rows = 8
        columns = 8

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, a field is missing, unknown or impossible.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "wide.toml"
    ...     _ = file.write_text('preset = "demo"\ncolumns = 12\n')
    ...     load_chip(file).tiles
    48
    """
    path = Path(path)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(
            f"There is no chip file {str(path)!r}. Presets: {', '.join(CHIPS)}."
        ) from None
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name} is not a text file.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not TOML: {error}.") from None
    names = [field.name for field in fields(Chip)]
    for key in given:
        if key not in (*names, "preset"):
            raise ConfigError(
                f"{path.name}: unknown key {key!r}.{suggest(key, (*names, 'preset'))} It takes: "
                f"preset, {', '.join(names)}."
            )
    try:
        preset = given.pop("preset", None)
        if preset is not None:
            if not isinstance(preset, str):
                raise ConfigError(f"preset is {preset!r}; it needs a name in quotes.")
            given = asdict(chip_preset(preset)) | given
        missing = [
            f.name for f in fields(Chip) if f.name not in given and f.default is MISSING
        ]
        if missing:
            raise ConfigError(
                f'lacks {", ".join(missing)}; give them, or preset = "demo" (or another of '
                f"{', '.join(CHIPS)}) to take them from."
            )
        return Chip(**given)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from None


def chip_text(chip: Chip) -> str:
    """Return a chip as the text of a file that `load_chip` reads; what has a default is left out.

    Examples
    --------
    >>> print(chip_text(Chip(1, 2, 4, 4, 4, 4, broken_tiles=[1])).splitlines()[-1])
    broken_tiles = [1]
    """
    written = []
    for field in fields(chip):
        value = getattr(chip, field.name)
        if value != field.default:
            written.append(f"{field.name} = {json.dumps(value)}")
    return "\n".join(written) + "\n"


def find_chip(name: str) -> Chip:
    """Return a preset by name, or the chip of a file: what ends in ``.toml`` is a file.

    Examples
    --------
    >>> find_chip("demo").rows
    4
    """
    return load_chip(name) if Path(name).suffix == ".toml" else chip_preset(name)
