"""What wires and transistors leave of the difference between on and off in a large crossbar.

Formulas: J. Chen et al., TCAS-II 2023 (arXiv:2307.08116), for the drop along the wires; J. Chen
and G. Indiveri, ISCAS 2025 (arXiv:2410.20560), with the leakage of the transistors; both as in
the first author's published script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_sim.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["false_spike_rows", "on_off_ratio", "sense_current"]


def sense_current(
    size: ArrayLike,
    resistance: ArrayLike,
    *,
    transistor: float,
    wire: float,
    leakage: float = 0.0,
    voltage: float = 0.2,
) -> NDArray[np.float64]:
    """Current at the end of a column of which one device, at the worst place, is read.

    ``I = V / (R + R_T + n r) + (n - 1) I_T``

    Parameters
    ----------
    size : array
        Rows of the crossbar, n.
    resistance : array [Ohm]
        R of the device.
    transistor : float [Ohm]
        R_T, in series with each device.
    wire : float [Ohm]
        r, of the wire along one cell.
    leakage : float [A]
        I_T of each of the other transistors of the column.
    voltage : float [V]
        V, at which devices are read.

    Returns
    -------
    float64 array [A]

    Raises
    ------
    ConfigError
        If a number is not finite, negative, or 0 where that has no meaning.

    Examples
    --------
    >>> round(float(sense_current(1024, 1e5, transistor=1700, wire=2.5, leakage=40e-12)), 9)
    1.959e-06
    """
    n, r = np.asarray(size, np.float64), np.asarray(resistance, np.float64)
    for name, values, least in (
        ("size", n, 1.0), ("resistance", r, None), ("transistor", transistor, 0.0),
        ("wire", wire, 0.0), ("leakage", leakage, 0.0), ("voltage", voltage, None),
    ):  # fmt: skip
        _check(name, values, least)
    current: NDArray[np.float64] = voltage / (r + transistor + n * wire) + (n - 1) * leakage
    return current


def on_off_ratio(
    size: ArrayLike,
    on_resistance: ArrayLike,
    ratio: ArrayLike,
    *,
    transistor: float,
    wire: float,
    leakage: float = 0.0,
    voltage: float = 0.2,
) -> NDArray[np.float64]:
    """Ratio of the currents of a device that is on and one that is off, k'.

    Both as in `sense_current`. Without leakage it is ``(k - 1) / (1 + (R_T + n r) / R_on) + 1``.

    Parameters
    ----------
    size : array
        Rows of the crossbar, n.
    on_resistance : array [Ohm]
        R_on of a device.
    ratio : array
        k, resistance of a device that is off over R_on.
    transistor, wire, leakage, voltage : float [Ohm, Ohm, A, V]
        As in `sense_current`.

    Returns
    -------
    float64 array
        k'; divided by k it is the margin that is left.

    Raises
    ------
    ConfigError
        As `sense_current`.

    Examples
    --------
    >>> k = on_off_ratio(1024, 1e4, 10, transistor=1700, wire=2.5, leakage=40e-12)
    >>> round(float(k) / 10, 3)
    0.718
    """
    on, k = np.asarray(on_resistance, np.float64), np.asarray(ratio, np.float64)
    _check("on_resistance", on, None)
    _check("ratio", k, 1.0)
    lit, dark = (
        sense_current(
            size, r, transistor=transistor, wire=wire, leakage=leakage, voltage=voltage
        )
        for r in (on, k * on)
    )
    quotient: NDArray[np.float64] = lit / dark
    return quotient


def false_spike_rows(lcs: float, threshold: float) -> int:
    """Least number of coincident rows that assert a column where nothing is connected.

    Each adds the conductance of its low state, so m rows do once ``m * lcs > threshold``.

    Parameters
    ----------
    lcs, threshold : float [S]

    Raises
    ------
    ConfigError
        If one of them is not above 0.

    Examples
    --------
    >>> [false_spike_rows(4e-6, threshold) for threshold in (25e-6, 60e-6)]
    [7, 16]
    """
    _check("lcs", lcs, None)
    _check("threshold", threshold, None)
    return int(np.floor(threshold / lcs * (1 + 1e-12))) + 1


def _check(name: str, values: ArrayLike, least: float | None) -> None:
    """Refuse what is not finite or below `least`; None: not above 0."""
    array = np.atleast_1d(np.asarray(values, np.float64))
    fits = np.isfinite(array) & (array > 0 if least is None else array >= least)
    if not fits.all():
        wanted = "above 0" if least is None else f"at least {least:g}"
        raise ConfigError(f"{name} is {array[~fits][0]:g}; it must be finite and {wanted}.")
