"""Rounding to levels: on the grid, best where brute force can tell, better than the nearest."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growth.rounding import rounded
from mosaic_sim import MosaicError
from mosaic_sim.device import Device
from mosaic_sim.network import Network


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    neurons, inputs = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    samples = rng.random((draw(st.integers(1, 30)), inputs)) ** draw(
        st.sampled_from([1, 4])
    )
    return rng.normal(size=(neurons, inputs)), samples, draw(st.sampled_from([2, 4, 16]))


def nearest(weight, levels):
    unit = np.abs(weight).max(1, keepdims=True) / (levels - 1)
    return np.round(weight / unit) * unit


@given(cases())
def test_every_weight_is_on_a_level_and_the_largest_keeps_its_own(case):
    weight, inputs, levels = case
    found = rounded(weight, inputs, levels)
    unit = np.abs(weight).max(1) / (levels - 1)
    level = found / unit[:, None]
    assert level == pytest.approx(np.round(level), abs=1e-9)
    assert np.abs(level).max() <= levels - 1 + 1e-9
    top = np.abs(weight).argmax(1)
    rows = np.arange(len(weight))
    assert found[rows, top] == pytest.approx(weight[rows, top])


@given(cases())
def test_the_device_finds_nothing_left_to_round(case):
    weight, inputs, levels = case
    found = rounded(weight, inputs, levels).astype(np.float32)
    rows, columns = weight.shape
    target, source = np.divmod(np.arange(weight.size), columns)
    network = Network.from_synapses(
        inputs=columns, neurons=rows, source=source, target=target,
        weight=found.ravel(),
    )  # fmt: skip
    _, held = Device(levels).program(network)
    assert held == pytest.approx(network.weight, rel=1e-5, abs=1e-7)


def test_inputs_that_are_active_together_are_driven_as_before():
    rng = np.random.default_rng(0)
    common = rng.random((200, 1))
    inputs = np.clip(common + 0.1 * rng.normal(size=(200, 300)), 0, 1)
    weight = rng.normal(size=(20, 300)) / 300 + 0.01
    wanted = inputs @ weight.T

    def error(found):
        return np.sqrt(((inputs @ found.T - wanted) ** 2).mean())

    assert error(rounded(weight, inputs, 16)) < 0.4 * error(nearest(weight, 16))


@given(st.integers(0, 2**32 - 1))
def test_two_weights_of_three_are_rounded_as_well_as_by_trying_all(seed):
    """With power in one direction only the greedy order is exact up to the last weight."""
    rng = np.random.default_rng(seed)
    weight = np.array([[1.0, *rng.uniform(-1, 1, 3)]])
    inputs = np.array([[0.0, 1.0, 1.0, 1.0]]) + 1e-3 * rng.normal(size=(50, 4))
    levels, unit = 4, 1 / 3
    wanted = inputs @ weight.T
    best = min(
        np.abs(inputs @ (unit * np.array([3, *trial])) - wanted[:, 0]).mean()
        for trial in itertools.product(range(-3, 4), repeat=3)
    )
    found = np.abs(inputs @ rounded(weight, inputs, levels).T - wanted).mean()
    assert found <= max(best, unit / 2) + 0.01


def test_silent_neurons_and_silent_inputs_pass():
    weight = np.array([[0.0, 0.0], [1.0, 0.4]])
    found = rounded(weight, np.zeros((3, 2)), 4)
    assert found.tolist() == [[0.0, 0.0], [1.0, pytest.approx(1 / 3)]]
    assert rounded(np.empty((0, 2)), np.ones((1, 2)), 4).shape == (0, 2)


def test_what_does_not_match_is_refused():
    with pytest.raises(MosaicError, match="as many columns"):
        rounded(np.ones((2, 3)), np.ones((4, 2)), 16)
    with pytest.raises(MosaicError, match="levels is 1"):
        rounded(np.ones((2, 3)), np.ones((4, 3)), 1)
