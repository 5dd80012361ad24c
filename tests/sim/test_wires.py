"""Margins of large crossbars, against the published circuit simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_sim.errors import ConfigError
from mosaic_sim.wires import false_spike_rows, on_off_ratio, sense_current

NM22 = {"transistor": 1700.0, "wire": 2.5}

ON = (1e3, 1e4, 1e5, 1e6, 1e7)
SPICE = (0.268, 0.721, 0.813, 0.389, 0.142)
"""Margin at 1,024 rows, 22 nm and k = 10 for each R_on (Chen and Indiveri, arXiv:2410.20560)."""


@pytest.mark.parametrize(("on", "spice"), list(zip(ON, SPICE, strict=True)))
def test_margins_agree_with_published_circuit_simulations_to_two_percent(on, spice):
    margin = on_off_ratio(1024, on, 10, leakage=40e-12, **NM22) / 10
    assert margin == pytest.approx(spice, rel=0.02)


@pytest.mark.parametrize(
    ("on", "margins"),
    [
        (1e4, (0.858, 0.847, 0.826, 0.786, 0.718, 0.613, 0.476)),
        (5e4, (0.962, 0.954, 0.938, 0.908, 0.852, 0.756, 0.612)),
    ],
)
def test_margins_fall_with_the_size_of_the_crossbar_as_recomputed(on, margins):
    sizes = 64 * 2 ** np.arange(7)
    ours = on_off_ratio(sizes, on, 10, leakage=40e-12, **NM22) / 10
    assert ours == pytest.approx(np.array(margins), abs=0.0015)


@pytest.mark.parametrize(
    ("on", "spice"), [(1e4, 14.12e-6), (1e5, 1.959e-6), (1e6, 240.8e-9)]
)
def test_currents_agree_with_published_circuit_simulations_to_two_percent(on, spice):
    assert sense_current(1024, on, leakage=40e-12, **NM22) == pytest.approx(spice, rel=0.02)


def test_the_leakage_floor_misses_the_circuit_simulation_by_three_percent():
    # Published: 42.1 nA of 1,024 cells that are off, and 40 pA each, which is rounded.
    floor = sense_current(1024, 1e30, leakage=40e-12, **NM22)
    assert floor == pytest.approx(42.1e-9, rel=0.03)
    assert floor != pytest.approx(42.1e-9, rel=0.02)


@given(
    st.integers(1, 5000), st.floats(1e3, 1e7), st.floats(1, 1000), st.floats(0, 1e4),
    st.floats(0, 10),
)  # fmt: skip
def test_without_leakage_the_short_formula_holds(n, on, k, transistor, wire):
    full = on_off_ratio(n, on, k, transistor=transistor, wire=wire)
    assert full == pytest.approx((k - 1) / (1 + (transistor + n * wire) / on) + 1)
    assert 1 - 1e-12 <= full <= k * (1 + 1e-12)


@given(st.floats(1e-7, 1e-4), st.floats(1e-7, 1e-3))
def test_false_spikes_need_more_current_than_the_reference(lcs, threshold):
    m = false_spike_rows(lcs, threshold)
    assert m * lcs > threshold or m * lcs == pytest.approx(threshold)
    assert (m - 1) * lcs <= threshold * (1 + 1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"on_resistance": -1}, "on_resistance is -1; it must be finite and above 0"),
        ({"ratio": 0.5}, "ratio is 0.5; it must be finite and at least 1"),
        ({"transistor": -1.0}, "transistor is -1"),
        ({"wire": float("nan")}, "wire is nan"),
        ({"leakage": -1e-12}, "leakage is -1e-12"),
        ({"voltage": 0.0}, "voltage is 0; it must be finite and above 0"),
    ],
)
def test_impossible_physics_is_refused_by_name(change, message):
    given = {"size": 64, "on_resistance": 1e4, "ratio": 10, **NM22} | change
    with pytest.raises(ConfigError, match=message):
        on_off_ratio(
            given.pop("size"), given.pop("on_resistance"), given.pop("ratio"), **given
        )


@pytest.mark.parametrize("name", ["lcs", "threshold"])
def test_conductances_must_be_above_zero(name):
    with pytest.raises(ConfigError, match=f"{name} is 0; it must be"):
        false_spike_rows(**({"lcs": 4e-6, "threshold": 4e-5} | {name: 0.0}))
