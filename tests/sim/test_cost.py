from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper import DRIVE, SPIKES, technology, tiny
from strategies import FEW, build, builds, chain, drives, placed

from mosaic_sim import (
    Chip,
    Device,
    MosaicError,
    price,
    simulate,
    technology_preset,
)
from mosaic_sim.chip import MOST_LINES
from mosaic_sim.cost import COMPONENTS, price_writes
from mosaic_sim.events import count_events, count_totals, event_names

# --- a bill by hand -------------------------------------------------------------------


# Events of one spike. A row of a tile has 2 x 2 devices, of an R1 4 x 2 = 8.
# Neurons 0 and 2 sit on tile 0, neuron 1 on tile 1.
INPUT_0 = {
    "input spike": 1, "column sensed": 2,
    "line driven": 2,  # into R1 1, into tile 6
    "router column compared": 8, "router HCS read": 1, "router LCS read": 7, "hop": 1,
    "device read, level 15": 1, "device read, level 0": 3,  # 2.0 of 2.0: the highest level
}  # fmt: skip
INPUT_1 = INPUT_0 | {"column sensed": 1}  # the same one tile further east
NEURON_0 = {
    "neuron spike": 1,
    "line driven": 2,  # tile 6 to R1 7, R1 7 to tile 8
    "router column compared": 8 + 3 * 8,  # R1 7, and R1 1, 5, 11, which it is wired into
    "router HCS read": 1, "router LCS read": 7 + 3 * 8, "hop": 1,
    "device read, level 6": 1,  # 0.8 of 2.0, 15 levels: 6
    "device read, level 0": 3 + 4,  # the other columns, and its own feedback row
    "column sensed": 1 + 2,  # neuron 1; and in the feedback row neurons 0 and 2
}  # fmt: skip
NEURON_1 = {
    "neuron spike": 1,
    "router column compared": 4 * 8, "router LCS read": 4 * 8,  # R1 3, 7, 9, 13: wired only
    "device read, level 0": 4, "column sensed": 1,
}  # fmt: skip
STEPS = {
    "neuron step": 3, "neuron tile step": 2,
    "routing tile step": 7,  # R1 1, 3, 5, 7, 9, 11, 13; the R0 are off
}  # fmt: skip


def expected_counts(spikes, steps):
    total = Counter()
    for times, events in (
        *zip(spikes, (INPUT_0, INPUT_1, NEURON_0, NEURON_1), strict=False),
        (steps, STEPS),
    ):
        for event, count in events.items():
            total[event] += times * count
    return {event: count for event, count in total.items() if count}


def test_every_event_of_a_tiny_network_is_counted_as_by_hand():
    program = tiny().program
    recording = simulate(program, DRIVE, raster=True)
    assert recording.raster[0].tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert recording.total.tolist() == list(SPIKES)
    report = price(program, recording, technology())
    counts = {row.event: row.count for row in report.rows}
    assert counts == expected_counts(SPIKES, steps=3)
    assert counts == {  # and the sums, worked out once more
        "input spike": 3, "column sensed": 2 * 2 + 1 + 2 * 3 + 1,
        "neuron spike": 3, "neuron step": 9, "line driven": 10,
        "router column compared": 120, "router HCS read": 5, "router LCS read": 115,
        "neuron tile step": 6, "routing tile step": 21, "hop": 5,
        "device read, level 0": 27, "device read, level 6": 2, "device read, level 15": 3,
    }  # fmt: skip


def test_the_energy_of_a_tiny_network_is_the_one_worked_out_by_hand():
    program = tiny().program
    report = price(program, simulate(program, DRIVE), technology())
    # A read is 3 V squared x 0.5 s x conductance: 4.5 J per siemens; level l has 2 + l.
    encoding = 3 * 32
    synapses = 27 * 9 + 2 * 4.5 * (2 + 6) + 3 * 4.5 * 17 + 12 * 2
    neurons = 3 * 64 + 9 * 128
    routing = 10 * 0.5 + 120 * 0.25 + 5 * 36 + 115 * 4.5
    static = 6 * 256 + 21 * 128
    assert report.by_component() == {
        "encoding": encoding, "synapses": synapses, "neurons": neurons, "routing": routing,
        "static": static,
    }  # fmt: skip
    assert report.energy == encoding + synapses + neurons + routing + static
    assert report.energy_per_inference == report.energy
    assert report.hops == 5
    assert report.devices == {"NT": 6, "R0": 0, "R1": 3}
    # Input 0, neuron 0, neuron 1 within one step: two reads of 0.5 s, each of which settles
    # for 0.25 s, and two hops of 16 s.
    assert report.critical_path == 2 * 0.75 + 2 * 16


def test_the_energy_of_each_tile_of_a_tiny_network_is_the_one_worked_out_by_hand():
    program = tiny().program
    energy = price(program, simulate(program, DRIVE), technology()).by_tile()
    row = 8 * 0.25 + 8 * 4.5  # a wired row of an R1: 8 columns compared, 8 LCS read
    on = row + 36 - 4.5  # one of the eight is HCS
    wires = {1: 2, 3: 1, 5: 2, 7: 1, 9: 1, 11: 2, 13: 1}  # spikes of the neurons beside
    for cell, times in wires.items():
        expected = 3 * 128 + times * row
        if cell == 1:
            expected += 2 * (32 + on + 2 * 0.5)  # input 0: in from the port, on to tile 6
        if cell == 3:
            expected += 32 + on + 2 * 0.5
        if cell == 7:
            expected += 2 * (on + 0.5)  # neuron 0; its line into R1 7 is tile 6's
        assert energy[cell] == expected, cell
    # Two rows of tile 0 for each spike of neuron 0, two neurons sensed in each.
    tile_0 = 2 * (64 + 0.5 + 4 * 9) + 2 * (3 * 9 + 76.5) + 4 * 4 + 2 * 3 * 128 + 3 * 256
    tile_1 = 64 + 4 * 9 + (3 * 9 + 76.5) + 2 * (3 * 9 + 36) + 4 * 2 + 3 * 128 + 3 * 256
    assert energy[6] == tile_0
    assert energy[8] == tile_1
    assert not energy[[0, 2, 4, 10, 12, 14]].any()


# --- any bill -------------------------------------------------------------------------

PRESETS = st.sampled_from(["rram-130nm", "rram-22nm"]).map(technology_preset)


@st.composite
def runs(draw):
    built = draw(builds(device=draw(st.sampled_from([Device(), Device(4), Device(2)]))))
    return built, simulate(built.program, draw(drives(built.network)))


@given(runs(), PRESETS)
def test_a_bill_adds_up(run, paid):
    built, recording = run
    report = price(built.program, recording, paid)
    exact = sum((Fraction(row.unit_price) * row.count for row in report.rows), Fraction())
    assert report.energy == float(exact)
    assert [row.energy for row in report.rows] == [
        float(Fraction(row.unit_price) * row.count) for row in report.rows
    ]
    assert sum(report.by_component().values()) == pytest.approx(report.energy, rel=1e-12)
    assert set(report.by_component()) == set(COMPONENTS)
    assert report.by_tile().sum() == pytest.approx(report.energy, rel=1e-12)
    assert report.by_tile().shape == (built.chip.cells,)
    assert report.energy_per_inference * recording.samples == pytest.approx(report.energy)
    assert (report.samples, report.steps) == (recording.samples, recording.steps)
    names = event_names(built.program.levels)
    billed = {row.event: row.count for row in report.rows}
    for name, count in zip(names, report.counts.sum(0).tolist(), strict=True):
        assert billed.get(name, 0) == count
    assert 0 not in billed.values()


@FEW
@given(runs())
def test_another_technology_changes_prices_and_no_count(run):
    built, recording = run
    one, two = (
        price(built.program, recording, technology_preset(name))
        for name in ("rram-130nm", "rram-22nm")
    )
    assert [(r.event, r.component, r.count) for r in one.rows] == [
        (r.event, r.component, r.count) for r in two.rows
    ]
    assert np.array_equal(one.counts, two.counts)
    assert one.energy >= two.energy
    assert (one.hops, one.devices) == (two.hops, two.devices)


@FEW
@given(runs(), PRESETS)
def test_stored_totals_are_priced_as_the_run_itself(run, paid):
    built, recording = run
    whole = price(built.program, recording, paid)
    stored = price(
        built.program,
        recording.total,
        paid,
        samples=recording.samples,
        steps=recording.steps,
    )
    assert stored.rows == whole.rows
    assert np.array_equal(stored.counts, whole.counts)
    assert stored.energy_per_inference == whole.energy_per_inference


@FEW
@given(runs(), st.integers(2, 9), PRESETS)
def test_a_run_repeated_costs_as_many_times_as_much(run, times, paid):
    built, recording = run
    once = price(built.program, recording, paid)
    again = replace(recording, counts=np.tile(recording.counts, (times, 1)))
    many = price(built.program, again, paid)
    assert [row.count for row in many.rows] == [times * row.count for row in once.rows]
    assert many.energy_per_inference == pytest.approx(once.energy_per_inference, rel=1e-12)


@pytest.mark.parametrize("levels", [2, 4, 16, 256])
def test_levels_are_evenly_spaced_conductances(levels):
    program = build(chain(), device=Device(levels)).program
    report = price(program, simulate(program, np.ones((1, 1, 1))), technology())
    prices = dict(zip(event_names(levels), report.prices, strict=True))
    reads = [prices[f"device read, level {k}"] for k in range(levels)]
    assert reads[0] == 4.5 * 2
    assert reads[-1] == 4.5 * 17
    assert np.allclose(np.diff(reads), 4.5 * 15 / (levels - 1), rtol=1e-12)


def test_what_costs_nothing_is_on_the_bill_and_adds_nothing():
    program = tiny().program
    free = {"neuron_step_energy": 0, "neuron_tile_leakage": 0, "routing_tile_leakage": 0}
    report = price(program, simulate(program, DRIVE), technology(**free))
    assert report.by_component()["static"] == 0
    assert report.by_component()["neurons"] == 3 * 64
    assert {"neuron step", "hop"} <= {row.event for row in report.rows if not row.energy}


# --- assumptions ----------------------------------------------------------------------


def test_assumptions_are_those_assumed_quantities_that_the_bill_used():
    statuses = dict.fromkeys(
        ("read_pulse", "line_energy", "write_energy", "endurance", "hop_latency"), "assumed"
    )
    paid = technology(statuses | {"read_voltage": "derived"})
    program = tiny().program
    report = price(program, simulate(program, DRIVE), paid)
    assert dict(report.assumptions()) == {
        name: paid[name] for name in ("read_pulse", "line_energy", "hop_latency")
    }
    silent = price(program, simulate(program, DRIVE * 0), paid)
    assert silent.assumptions() == []  # leakage and neuron steps only, both measured


def test_a_row_is_as_sure_as_the_least_sure_of_its_quantities():
    paid = technology({"read_voltage": "derived", "synapse_lowest": "assumed"})
    program = tiny().program
    rows = price(program, simulate(program, DRIVE), paid).rows
    for row in rows:
        status = "measured"
        if "read_voltage" in row.uses:
            status = "derived"
        if "synapse_lowest" in row.uses:
            status = "assumed"
        assert row.status == status
    formulas = {row.event: row.formula for row in rows}
    assert formulas["router HCS read"] == "read_voltage**2 * router_hcs * read_pulse"


def test_every_formula_gives_its_price():
    paid = technology_preset("rram-22nm")
    values = {name: quantity.value for name, quantity in paid.quantities.items()}
    program = tiny().program
    for row in price(program, simulate(program, DRIVE), paid).rows:
        assert set(row.uses) <= set(values)
        if row.event != "hop":
            worked_out = eval(row.formula, {}, values)
            assert row.unit_price == pytest.approx(worked_out, rel=1e-12)
            used = {name for name in values if name in row.formula}
            assert used == set(row.uses)


def test_writes_cost_one_pulse_each():
    assert price_writes(0, technology()) == 0
    assert price_writes(12, technology()) == 12 * 7


# --- at the door ----------------------------------------------------------------------


def test_a_recording_of_another_program_is_refused():
    one, two = build(chain()).program, build(chain(neurons=2)).program
    recording = simulate(one, np.ones((1, 2, 1)))
    with pytest.raises(MosaicError, match="recording has 2 sources; the program has 3"):
        price(two, recording, technology())


def test_a_recording_without_samples_is_refused():
    program = build(chain()).program
    with pytest.raises(MosaicError, match="no samples"):
        price(program, simulate(program, np.ones((0, 2, 1))), technology())


@pytest.mark.parametrize(
    "wrong", [{}, {"samples": 1}, {"steps": 1}, {"samples": 0, "steps": 1}]
)
def test_stored_totals_without_samples_or_steps_are_refused(wrong):
    program = build(chain()).program
    with pytest.raises(MosaicError, match="need samples and steps"):
        price(program, np.zeros(2, np.int64), technology(), **wrong)


def test_events_of_wide_routers_are_more_than_32_bits_hold():
    chip = Chip(1, 2, 1, 1, MOST_LINES, MOST_LINES)
    program = build(chain(neurons=2), chip, placed([0, 1], [0, 0], [0])).program
    counts = count_events(program, np.full(program.sources, 1 << 20), 1)
    assert counts.min() >= 0
    assert counts.max() >= 4 * MOST_LINES << 20
    assert np.array_equal(
        count_totals(program, np.full(program.sources, 1 << 20), 1), counts.sum(0)
    )


@given(builds(), st.data())
def test_totals_are_the_sums_over_all_tiles(built, data):
    spikes = data.draw(
        st.lists(
            st.integers(0, 9),
            min_size=built.program.sources,
            max_size=built.program.sources,
        )
    )
    counts = count_events(built.program, np.array(spikes), 5)
    totals = count_totals(built.program, np.array(spikes), 5)
    assert totals.tolist() == counts.sum(0).tolist()
