"""What writing costs, by hand on tiny chips and by bookkeeping of every device."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from strategies import FEW, builds
from test_die import RRAM, physics, wide

from mosaic_sim import (
    Chip,
    Device,
    MosaicError,
    Network,
    compile_program,
    lifetime,
    place,
    route,
    technology_preset,
    write_bill,
    writes,
)
from mosaic_sim.image import devices


def one_synapse(weights, levels=4):
    """Two inputs and two neurons on one tile: the largest weight has the highest level."""
    net = Network.from_synapses(
        inputs=2, neurons=2, source=[0, 0, 1], target=[0, 1, 0], weight=weights
    )
    chip = Chip(1, 1, 2, 4, 4, 4)
    placement = place(net, chip)
    return compile_program(
        net, chip, placement, route(net, chip, placement), device=Device(levels)
    )


def test_a_first_program_by_hand():
    program = one_synapse([3.0, 3.0, -1.0])
    # Three synapses on one device each, and a connection for either input.
    bill = write_bill(
        None, program, physics(write_energy=2e-12, write_time=1e-7, endurance=50)
    )
    assert bill.devices == 5
    assert bill.pulses.tolist() == [1] * 5
    assert bill.energy == pytest.approx(5 * 2e-12)
    assert bill.time_in_turn == pytest.approx(5e-7)
    assert bill.time == pytest.approx(3e-7)  # the neuron tile has most to do
    assert bill.wear == 1 / 50


def test_a_change_by_hand():
    old, new = one_synapse([3.0, 3.0, -1.0]), one_synapse([3.0, -2.0, 0.0])
    # Target 1: +3 becomes -2, of which it is now the largest: RESET of one, SET of the other.
    # Target 0: -1 of input 1 becomes 0: RESET. The others stay.
    bill = write_bill(old, new, RRAM)
    assert sorted(bill.pulses.tolist()) == [1, 1, 1]
    between = write_bill(one_synapse([3.0, 3.0, 1.0]), one_synapse([3.0, 3.0, 2.0]), RRAM)
    assert between.pulses.tolist() == [2]  # RESET, then SET to another level
    assert write_bill(new, new, RRAM).devices == 0
    assert write_bill(new, new, RRAM).energy == 0


def test_verification_reads_after_every_pulse():
    program = one_synapse([3.0, 3.0, -1.0])
    bill = write_bill(None, program, RRAM, attempts=5)
    low, high = RRAM["synapse_lowest"].value, RRAM["synapse_highest"].value
    third = low + (high - low) / 3
    read = RRAM["read_voltage"].value ** 2 * RRAM["read_pulse"].value
    total = 2 * high + third + 2 * RRAM["router_hcs"].value
    assert bill.energy == pytest.approx(5 * RRAM["write_energy"].value + read * total)
    look = RRAM["read_pulse"].value + RRAM["settling_time"].value
    assert bill.time == pytest.approx(3 * (RRAM["write_time"].value + look))


def test_noisy_writing_takes_as_many_pulses_as_the_die_does():
    program = wide()
    technology = physics(programming_floor=5e-6, programming_noise=0, write_tolerance=3e-6)
    bill = write_bill(
        None, program, technology, effects=["programming"], attempts=20, seed=3
    )
    accepted = math.erf(3 / 5 / math.sqrt(2))
    rows = program.target.size
    held = np.count_nonzero(program.level)
    assert bill.pulses.sum() - (bill.devices - held) == pytest.approx(
        held / accepted, rel=0.02
    )
    assert rows > held
    other = write_bill(
        None, program, technology, effects=["programming"], attempts=20, seed=3, cycle=1
    )
    assert (other.pulses != bill.pulses).any()  # another time, other noise
    again = write_bill(
        None, program, technology, effects=["programming"], attempts=20, seed=3
    )
    assert (again.pulses == bill.pulses).all()


@given(builds(device=Device(8)))
@FEW
def test_devices_of_a_bill_are_those_that_differ(build):
    bill = write_bill(None, build.program, RRAM)
    assert bill.devices == writes(None, build.program)
    number, level = devices(build.program)
    np.testing.assert_array_equal(bill.number, number[level > 0])
    turned = build.program._replace(level=-build.program.level)
    back = write_bill(turned, build.program, RRAM)
    assert back.devices == writes(turned, build.program)
    assert back.time <= back.time_in_turn


def test_lifetime_follows_the_most_worn_device():
    a, b = one_synapse([3.0, 3.0, 1.0]), one_synapse([3.0, 3.0, 2.0])
    technology = physics(endurance=1000)
    life = lifetime([a, b, a, b], technology)
    assert life.worst == 1 + 2 + 2 + 2
    assert life.used == 7 / 1000
    assert life.tasks == pytest.approx(4000 / 7)
    assert life.mean == pytest.approx((7 + 1 + 1 + 1 + 1) / 5)
    assert lifetime([a], technology).tasks == 1000
    blank = one_synapse([0.0, 0.0, 0.0])
    connections_only = lifetime([blank], technology)
    assert connections_only.worst == 1


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(MosaicError, match="programs is empty"):
        lifetime([], technology_preset("rram-130nm"))
    with pytest.raises(MosaicError, match="same chip and number of levels"):
        write_bill(
            one_synapse([1.0, 1.0, 1.0], levels=8), one_synapse([1.0, 1.0, 1.0]), RRAM
        )
    other = one_synapse([1.0, 1.0, 1.0])
    other = other._replace(chip=np.array([*other.chip[:-1], 3]))
    with pytest.raises(MosaicError, match="same chip"):
        write_bill(other, one_synapse([1.0, 1.0, 1.0]), replace(RRAM))
