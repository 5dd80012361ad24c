"""The errors that users meet, each saying what was wrong and what would be right."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CapacityError", "ConfigError", "MosaicError", "RoutingError", "suggest"]


class MosaicError(Exception):
    """Something the caller can put right; the message says how."""


class ConfigError(MosaicError):
    """A configuration or technology file that says something impossible."""


class CapacityError(MosaicError):
    """A network that does not fit the chip it was meant for."""


class RoutingError(CapacityError):
    """No legal routing was found; the message names the overloaded sides."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name nearest to `name`, or nothing.

    Examples
    --------
    >>> suggest("neuron_per_tile", ["rows", "neurons_per_tile"])
    " Did you mean 'neurons_per_tile'?"
    >>> suggest("zebra", ["rows"])
    ''
    """
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
