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

__all__ = ["false_spike_rows", "on_off_ratio"]


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
    """Ratio of the currents of a device that is on and one that is off, at the worst place.

    ``k' = (V / (R_on + R_T + n r) + (n - 1) I_T) / (V / (k R_on + R_T + n r) + (n - 1) I_T)``

    Without leakage this is ``(k - 1) / (1 + (R_T + n r) / R_on) + 1``.

    Parameters
    ----------
    size : array
        Rows of the crossbar, n.
    on_resistance : array [Ohm]
        R_on of a device.
    ratio : array
        k, resistance of a device that is off over R_on.
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
    float64 array
        k'; divided by k it is the margin that is left.

    Raises
    ------
    ConfigError
        If a number is not finite, negative, or 0 where that has no meaning.

    Examples
    --------
    >>> k = on_off_ratio(1024, 1e4, 10, transistor=1700, wire=2.5, leakage=40e-12)
    >>> round(float(k) / 10, 3)
    0.718
    """
    n, on, k = np.broadcast_arrays(
        *(np.asarray(x, np.float64) for x in (size, on_resistance, ratio))
    )
    for name, values, least in (
        ("size", n, 1.0), ("on_resistance", on, None), ("ratio", k, 1.0),
        ("transistor", np.float64(transistor), 0.0), ("wire", np.float64(wire), 0.0),
        ("leakage", np.float64(leakage), 0.0), ("voltage", np.float64(voltage), None),
    ):  # fmt: skip
        fits = np.isfinite(values) & (values > 0 if least is None else values >= least)
        if not fits.all():
            wanted = "above 0" if least is None else f"at least {least:g}"
            raise ConfigError(
                f"{name} is {np.asarray(values)[~fits].flat[0]:g}; it must be finite and {wanted}."
            )
    series = transistor + n * wire
    leak = (n - 1) * leakage
    current: NDArray[np.float64] = (voltage / (on + series) + leak) / (
        voltage / (k * on + series) + leak
    )
    return current


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
    for name, value in (("lcs", lcs), ("threshold", threshold)):
        if not (np.isfinite(value) and value > 0):
            raise ConfigError(f"{name} is {value!r}; it needs siemens above 0.")
    return int(np.floor(threshold / lcs * (1 + 1e-12))) + 1
