from dataclasses import replace

import numpy as np
import pytest
from paper import DRIVE, technology, tiny
from strategies import build, chain

from mosaic_sim import Chip, Network, price, simulate
from mosaic_sim.timing import Timing


def bill(program, **values):
    return price(program, simulate(program, DRIVE), technology(**values))


def test_the_times_and_powers_of_a_tiny_network_are_those_worked_out_by_hand():
    report = bill(tiny().program, step_time=67)
    timing = report.timing
    # Two reads of 0.5 s that settle for 0.25 s, two hops of 16 s; three steps of 67 s.
    assert (timing.reads, timing.hops) == (2, 2)
    assert timing.critical_path == timing.smallest_step == report.critical_path == 33.5
    assert timing.fits
    assert timing.real_time_factor == 2
    assert timing.inference_time == 201
    assert timing.throughput == 1 / 201
    assert timing.fastest_throughput == 1 / 100.5
    static = (2 * 1024 + 7 * 512) * 201  # two neuron tiles, seven routing tiles
    dynamic = report.energy - static
    assert timing.static_energy == static
    assert timing.dynamic_energy == dynamic
    assert timing.mean_power == pytest.approx(dynamic / 201 + 2 * 1024 + 7 * 512)
    assert timing.fastest_power == pytest.approx(dynamic / 100.5 + 2 * 1024 + 7 * 512)


def test_a_step_that_is_shorter_than_the_longest_way_does_not_fit():
    program = tiny().program
    assert bill(program, step_time=33.5).timing.fits
    timing = bill(program, step_time=33.25).timing
    assert not timing.fits
    assert timing.real_time_factor < 1


def test_times_are_those_of_one_inference_however_many_there_are():
    program = tiny().program
    one = price(program, simulate(program, DRIVE), technology()).timing
    many = price(
        program, simulate(program, np.repeat(DRIVE, 4, axis=0)), technology()
    ).timing
    assert many == one


def test_a_chip_that_nothing_crosses_still_takes_a_read_for_each_step():
    network = Network.from_synapses(inputs=1, neurons=1, source=[], target=[], weight=[])
    program = build(network).program
    report = price(program, simulate(program, np.ones((1, 2, 1))), technology())
    assert report.timing.critical_path == 0
    assert report.timing.smallest_step == 0.75


def test_a_delayed_spike_has_to_arrive_within_the_step_in_which_it_was_fired():
    paths = []
    for delay in (0, 1):
        network = chain(neurons=2, delay=[0, delay])
        paths.append(build(network).program.path.tolist())
    assert paths[0] == paths[1]
    ring = Network.from_synapses(
        inputs=0, neurons=1, source=[0], target=[0], weight=[1.0], delay=1
    )
    path = build(ring, Chip(1, 1, 1, 1, 1, 1)).program.path
    assert path.tolist() == [1, 0]  # its own feedback row


def test_no_steps_take_no_power():
    timing = replace(Timing(1, 1, 1.0, 1.0, 1.0, 1, 1.0, 1.0), steps=0)
    assert (timing.mean_power, timing.fastest_power, timing.inference_time) == (0, 0, 0)
    assert timing.throughput == timing.fastest_throughput == float("inf")
