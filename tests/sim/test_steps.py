import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import build, builds, chain, drives

from mosaic_sim import (
    Chip,
    MosaicError,
    price,
    price_steps,
    simulate,
    technology_preset,
)
from mosaic_sim.events import HOP

TECHNOLOGY = technology_preset("rram-130nm")


@given(builds(), st.data())
def test_steps_add_up_to_the_bill_cell_by_cell(built, data):
    program = built.program
    spikes = data.draw(drives(built.network))
    recording = simulate(program, spikes, raster=True)
    report = price(program, recording, TECHNOLOGY)
    steps = price_steps(program, recording, TECHNOLOGY)
    assert np.array_equal(steps.hops.sum(0), report.counts[:, HOP])
    assert steps.energy.shape == (spikes.shape[0] * spikes.shape[1], built.chip.cells)
    assert np.allclose(steps.energy.sum(0), report.by_tile(), rtol=1e-12, atol=0)


@given(builds(), st.data())
def test_each_step_costs_what_a_run_of_its_spikes_alone_would(built, data):
    """Oracle: the exact bill of each step's spikes, counted by hand from the raster."""
    program, first = built.program, built.network.first_neuron
    spikes = data.draw(drives(built.network))
    recording = simulate(program, spikes, raster=True)
    steps = price_steps(program, recording, TECHNOLOGY)
    rows = recording.raster.reshape(-1, built.network.neurons)
    for row, (fired, driven) in enumerate(
        zip(rows, spikes.reshape(len(rows), -1), strict=True)
    ):
        counts = np.zeros(program.sources, np.int64)
        counts[: driven.size] = driven
        if built.network.bias:
            counts[driven.size] = 1
        counts[first:] = fired
        report = price(program, counts, TECHNOLOGY, samples=1, steps=1)
        assert np.allclose(steps.energy[row], report.by_tile(), rtol=1e-12, atol=0)
        loads = np.zeros((built.chip.cells, 4), int)
        for source in np.flatnonzero(counts):
            part = slice(*built.routing.offsets[source : source + 2])
            np.add.at(loads, (built.routing.cell[part], built.routing.side[part]), 1)
        assert np.array_equal(steps.loads[row], loads)


@given(builds(), st.data())
def test_steps_that_are_worked_out_one_by_one_cost_the_same(built, data):
    spikes = data.draw(drives(built.network))
    recording = simulate(built.program, spikes, raster=True)
    whole = price_steps(built.program, recording, TECHNOLOGY)
    alone = price_steps(built.program, recording, TECHNOLOGY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mosaic_sim.steps.BLOCK", 1)
        assert np.array_equal(alone.energy, whole.energy)
    assert np.array_equal(alone.hops, whole.hops)


def test_pulses_of_one_step_load_a_link_each():
    built = build(chain(weight=0.25))
    recording = simulate(built.program, [[[3], [0], [-2]]], raster=True)
    steps = price_steps(built.program, recording, TECHNOLOGY)
    assert steps.loads.sum((1, 2)).tolist() == [3, 0, 2]
    report = price(built.program, recording, TECHNOLOGY)
    assert np.allclose(steps.energy.sum(0), report.by_tile(), rtol=1e-12, atol=0)


def test_a_recording_without_spikes_or_of_another_program_is_refused():
    one, two = build(chain()), build(chain(neurons=2), Chip(1, 2, 2, 2, 2, 2))
    bare = simulate(one.program, np.ones((1, 3, 1)))
    with pytest.raises(MosaicError, match="raster=True"):
        price_steps(one.program, bare, TECHNOLOGY)
    other = simulate(two.program, np.ones((1, 3, 1)), raster=True)
    with pytest.raises(MosaicError, match="recording has 3 sources; the program has 2"):
        price_steps(one.program, other, TECHNOLOGY)
