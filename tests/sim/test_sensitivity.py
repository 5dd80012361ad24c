from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper import DRIVE, technology, tiny
from strategies import FEW, builds, drives

from mosaic_sim import price, simulate, technology_preset

PRESETS = st.sampled_from(["rram-130nm", "rram-22nm"]).map(technology_preset)


def elasticities(report):
    return {name: value for name, _, value in report.sensitivity()}


def test_the_elasticities_of_a_tiny_network_are_the_shares_of_its_bill():
    program = tiny().program
    report = price(program, simulate(program, DRIVE), technology())
    # 27 reads at 2 S, 2 at 8 S, 3 at 17 S; routing tiles 5 at 8 S and 115 at 1 S; 4.5 V^2 s.
    low = 27 * 2 + 2 * (9 / 15) * 2  # of level 6, 9/15 of synapse_lowest
    high = 2 * (6 / 15) * 17 + 3 * 17
    reads = 4.5 * (low + high + 5 * 8 + 115 * 1)
    leak = 6 * 256 + 21 * 128
    expected = {
        "read_voltage": 2 * reads, "read_pulse": reads, "synapse_lowest": 4.5 * low,
        "synapse_highest": 4.5 * high, "router_hcs": 4.5 * 40, "router_lcs": 4.5 * 115,
        "step_time": leak, "neuron_tile_leakage": 6 * 256, "routing_tile_leakage": 21 * 128,
        "neuron_spike_energy": 3 * 64, "neuron_step_energy": 9 * 128, "line_energy": 10 * 0.5,
        "comparator_energy": 120 * 0.25, "sense_energy": 12 * 2, "input_energy": 3 * 32,
        "hop_latency": 0,
    }  # fmt: skip
    found = elasticities(report)
    assert set(found) == set(expected)
    for name, energy in expected.items():
        assert found[name] == pytest.approx(energy / report.energy, rel=1e-12, abs=0), name


@FEW
@given(builds(), st.data(), PRESETS)
def test_scaling_a_quantity_changes_the_bill_as_its_elasticity_says(built, data, paid):
    recording = simulate(built.program, data.draw(drives(built.network)))
    report = price(built.program, recording, paid)
    found = elasticities(report)
    for name, elasticity in found.items():
        step = 1e-6
        up, down = (
            price(built.program, recording, paid.scaled(name, 1 + s)).energy
            for s in (step, -step)
        )
        slope = (up - down) / (2 * step * report.energy)
        assert elasticity == pytest.approx(slope, rel=1e-4, abs=1e-8), name
    # What is not on the bill does not matter.
    for name in set(paid.quantities) - set(found) - {"synapse_lowest", "synapse_highest"}:
        if paid[name].value and not name.startswith(("router", "read")):
            other = paid.scaled(name, 0.999)
            assert price(built.program, recording, other).energy == report.energy


@given(builds(), st.data(), PRESETS)
def test_all_reads_are_on_the_account_of_the_pulse_and_twice_on_that_of_the_voltage(
    built, data, paid
):
    recording = simulate(built.program, data.draw(drives(built.network)))
    report = price(built.program, recording, paid)
    reads = sum(
        (Fraction(r.unit_price) * r.count for r in report.rows if "read" in r.event),
        Fraction(),
    )
    found = elasticities(report)
    if reads:
        share = float(reads) / report.energy
        assert found["read_pulse"] == pytest.approx(share, rel=1e-12)
        assert found["read_voltage"] == pytest.approx(2 * share, rel=1e-12)
        held = ("synapse_lowest", "synapse_highest", "router_hcs", "router_lcs")
        assert sum(found.get(n, 0) for n in held) == pytest.approx(share, rel=1e-12)
    # Everything but the voltage is a factor of its rows, so that all shares make a whole.
    flat = sum(value for name, value in found.items() if name.endswith("_energy"))
    assert flat + found.get("read_pulse", 0) + found["step_time"] == pytest.approx(1)


def test_assumed_quantities_come_first_each_part_by_size():
    statuses = {
        "read_voltage": "assumed",
        "line_energy": "assumed",
        "read_pulse": "derived",
    }
    program = tiny().program
    found = price(program, simulate(program, DRIVE), technology(statuses)).sensitivity()
    assert [e.name for e in found[:2]] == ["read_voltage", "line_energy"]
    assert all(e.quantity.status != "assumed" for e in found[2:])
    sizes = [abs(e.elasticity) for e in found[2:]]
    assert sizes == sorted(sizes, reverse=True)
    assert found[0].quantity.unit == "V"


def test_a_run_that_cost_nothing_depends_on_nothing():
    free = technology(neuron_step_energy=0, neuron_tile_leakage=0, routing_tile_leakage=0)
    program = tiny().program
    report = price(program, simulate(program, np.zeros((1, 2, 2))), free)
    assert report.energy == 0
    assert report.sensitivity() == ()
