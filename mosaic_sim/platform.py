"""Other neuromorphic chips, as far as their event energies are published.

They are priced by event, not by physics, and what is not published is absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mosaic_sim.errors import ConfigError, suggest
from mosaic_sim.quantity import Quantity, read_quantity, read_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "PLATFORM_QUANTITIES",
    "Platform",
    "is_platform",
    "load_platform",
    "platform_names",
    "platform_preset",
]

PLATFORM_QUANTITIES = {
    "synapse_energy": "J",
    "spike_energy": "J",
    "update_energy": "J",
    "hop_energy": "J",
    "hop_energy_across": "J",
    "hop_latency": "s",
    "hop_latency_across": "s",
}
"""What may be published of a platform, and its SI unit.

Energy of a synaptic operation, of a neuron that fires, of the update of a neuron in a step, of
one hop, and of one hop in the other direction of a mesh if it differs; times of these hops.
"""

_FOLDER = Path(__file__).parent / "platforms"


@dataclass(frozen=True)
class Platform:
    """Published event energies of one platform: some of `PLATFORM_QUANTITIES`.

    Examples
    --------
    >>> loihi = platform_preset("loihi")
    >>> loihi.title, str(loihi.get("synapse_energy"))
    ('Loihi', '23.6 pJ')
    >>> platform_preset("odin").get("hop_energy") is None
    True
    """

    name: str
    title: str
    about: str
    quantities: Mapping[str, Quantity]
    text: str = ""

    def get(self, name: str) -> Quantity | None:
        """Return one quantity by name, None if it is not published.

        Raises
        ------
        ConfigError
            If no platform has such a quantity.
        """
        if name not in PLATFORM_QUANTITIES:
            raise ConfigError(
                f"Unknown quantity {name!r}.{suggest(name, PLATFORM_QUANTITIES)} A platform may "
                f"have: {', '.join(PLATFORM_QUANTITIES)}."
            )
        return self.quantities.get(name)

    def hop(self, what: str = "energy") -> float | None:
        """Energy [J] or ``latency`` [s] of a hop: the mean of both directions if they differ.

        Examples
        --------
        >>> round(platform_preset("loihi").hop() * 1e12, 3)
        3.6
        """
        one, other = self.get(f"hop_{what}"), self.get(f"hop_{what}_across")
        if one is None:
            return None
        return one.value if other is None else (one.value + other.value) / 2


def platform_names() -> list[str]:
    """Names of the platforms that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def platform_preset(name: str) -> Platform:
    """Return the platform called `name` that comes with the package.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in platform_names():
        raise ConfigError(
            f"Unknown platform {name!r}.{suggest(name, platform_names())} There are: "
            f"{', '.join(platform_names())}."
        )
    return load_platform(_FOLDER / f"{name}.toml")


def is_platform(path: Path | str) -> bool:
    """Whether a file is meant to be a platform: it has a `title`, or names quantities of one.

    Raises
    ------
    ConfigError
        If it is missing, no text, or not TOML.
    """
    _, tables = read_tables(Path(path), "technology or platform", platform_names())
    own = {"title", *PLATFORM_QUANTITIES} - {
        "hop_latency"
    }  # technologies have that one too
    return bool(own & set(tables))


def load_platform(path: Path | str) -> Platform:
    """Read a platform file.

    The file has the lines ``title = "..."`` and ``about = "..."`` and a table for each quantity
    that is published, with ``value``, ``unit``, ``source`` and ``status`` as in a technology.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, has no title or no quantity, or a quantity is
        unknown, of the wrong unit, not finite, not above 0, or without a source; or if it gives
        a hop in the other direction without the one.
    """
    path = Path(path)
    text, tables = read_tables(path, "platform", platform_names())
    words = {key: tables.pop(key, None) for key in ("title", "about")}
    for key, value in words.items():
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f'{path.name} needs a line {key} = "...".')
    for name in tables:
        if name not in PLATFORM_QUANTITIES:
            raise ConfigError(
                f"{path.name}: unknown quantity {name!r}.{suggest(name, PLATFORM_QUANTITIES)} "
                f"It takes: {', '.join(PLATFORM_QUANTITIES)}."
            )
        if name.endswith("_across") and (one := name.removesuffix("_across")) not in tables:
            raise ConfigError(f"{path.name} has {name}, but not {one}; give both.")
    if not tables:
        raise ConfigError(
            f"{path.name} has no quantity; it takes: {', '.join(PLATFORM_QUANTITIES)}."
        )
    quantities = {
        name: read_quantity(f"{path.name}: {name}", tables[name], base, above_zero=True)
        for name, base in PLATFORM_QUANTITIES.items()
        if name in tables
    }
    return Platform(path.stem, words["title"], words["about"], quantities, text)
