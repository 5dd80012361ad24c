"""SI inside, prefixes at the border: read ``4 uS`` and write ``12.3 nJ``."""

from __future__ import annotations

import math

from mosaic_sim.errors import ConfigError

__all__ = ["engineering", "to_si"]

_PREFIX = {
    "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "m": -3, "": 0,
    "k": 3, "M": 6, "G": 9,
}  # fmt: skip
_STEPS = {
    -18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G",
}  # fmt: skip


def to_si(value: float, unit: str, base: str) -> float:
    """Convert `value` in `unit` (a prefix and `base`) to the SI unit `base`.

    The prefix of a square is squared with it: 1 um2 is 1e-12 m2.

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
    power = _PREFIX[prefix] * (2 if base.endswith("2") else 1)
    return value / float(10**-power) if power < 0 else value * float(10**power)


def engineering(value: float, unit: str, digits: int = 3) -> str:
    """Write `value` [SI] with the prefix that leaves one to three digits before the point.

    Pure numbers get no prefix. That of an area is squared, so it has up to four digits, or
    two zeros behind the point, before the next prefix takes over.

    Examples
    --------
    >>> engineering(1.234e-8, "J")
    '12.3 nJ'
    >>> engineering(0, "J")
    '0 J'
    >>> engineering(0.05, ""), engineering(1e6, "")
    ('0.05', '1,000,000')
    >>> engineering(1e-12, "m2"), engineering(3e-14, "m2")
    ('1.00 µm²', '0.0300 µm²')
    """
    name = unit.replace("2", "²")
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {name}".rstrip()
    rounded = float(f"{value:.{digits}g}")
    if not unit:
        whole = 1e3 <= abs(rounded) < 1e15
        return f"{rounded:,.0f}" if whole else f"{rounded:.{digits}g}"
    power = math.floor(math.log10(abs(rounded)) + 1e-12)
    if unit.endswith("2"):
        power = 2 * min(max(3 * ((power + 2) // 6), -9), 3)
        prefix = _STEPS[power // 2]
    else:
        power = min(max(3 * (power // 3), -18), 9)
        prefix = _STEPS[power]
    scaled = rounded / 10.0**power
    decimals = max(digits - 1 - math.floor(math.log10(abs(scaled)) + 1e-12), 0)
    return f"{scaled:.{decimals}f} {prefix}{name}"
