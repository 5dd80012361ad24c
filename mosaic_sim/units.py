"""SI inside, prefixes at the border: read ``4 uS`` and write ``12.3 nJ``."""

from __future__ import annotations

import math

from mosaic_sim.errors import ConfigError

__all__ = ["engineering", "to_si"]

_PREFIX = {
    "a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3,
    "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9,
}  # fmt: skip
_STEPS = {
    -18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G",
}  # fmt: skip


def to_si(value: float, unit: str, base: str) -> float:
    """Convert `value` in `unit` (a prefix and `base`) to the SI unit `base`.

    Raises
    ------
    ConfigError
        If `unit` is not `base` with a prefix from atto to giga.

    Examples
    --------
    >>> to_si(4, "uS", "S")
    4e-06
    """
    prefix = unit.removesuffix(base)
    if not unit.endswith(base) or prefix not in _PREFIX:
        raise ConfigError(
            f"unit {unit!r} is not {base or 'a pure number'!r} with a prefix "
            f"({', '.join(p for p in _PREFIX if p)}); write for example 'u{base}'."
        )
    # Divide by whole powers of ten: 4 / 1e6 is the float nearest to 4e-6, 4 * 1e-6 is not.
    scale = _PREFIX[prefix]
    return value / round(1 / scale) if scale < 1 else value * scale


def engineering(value: float, unit: str, digits: int = 3) -> str:
    """Write `value` [SI] with the prefix that leaves one to three digits before the point.

    Examples
    --------
    >>> engineering(1.234e-8, "J")
    '12.3 nJ'
    >>> engineering(0, "J")
    '0 J'
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    rounded = float(f"{value:.{digits}g}")
    step = min(max(3 * math.floor(math.log10(abs(rounded)) / 3 + 1e-12), -18), 9)
    scaled = rounded / 10.0**step
    decimals = max(digits - 1 - math.floor(math.log10(abs(scaled))), 0)
    return f"{scaled:.{decimals}f} {_STEPS[step]}{unit}"
