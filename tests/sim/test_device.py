import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mosaic_sim import ConfigError, Device, Network

LEVELS = st.sampled_from([2, 3, 4, 16, 255, 256])
WEIGHTS = arrays.arrays(np.float32, st.integers(1, 12), elements=st.floats(-8, 8, width=32))


def columns(weight, neurons=3):
    """Return a network in which input k reaches neuron k modulo `neurons`."""
    k = np.arange(weight.size)
    return Network.from_synapses(
        inputs=weight.size, neurons=neurons, source=k, target=k % neurons, weight=weight
    )


@given(WEIGHTS, LEVELS)
def test_levels_of_the_negated_weights_are_the_negated_levels(weight, levels):
    device = Device(levels)
    up, down = (device.program(columns(w))[0] for w in (weight, -weight))
    assert (up == -down).all()
    assert (np.sign(up) * np.sign(weight) >= 0).all()
    assert np.abs(up).max() <= levels - 1


@given(WEIGHTS, LEVELS)
def test_a_weight_is_off_by_at_most_half_a_level_of_its_column(weight, levels):
    network = columns(weight)
    given_back = Device(levels).program(network)[1].astype(float)
    for neuron in range(3):
        column = network.target == neuron
        largest = float(np.abs(weight[column]).max(initial=0))
        half = largest / (levels - 1) / 2
        rounding = largest * 2**-23  # of one float32
        error = np.abs(given_back[column] - weight[column].astype(float))
        assert (error <= half + rounding).all()
        assert np.unique(given_back[column]).size <= 2 * levels - 1


@given(WEIGHTS, LEVELS)
def test_the_largest_weight_of_a_column_uses_the_highest_level(weight, levels):
    network = columns(weight)
    used = np.abs(Device(levels).program(network)[0])
    for neuron in range(3):
        column = network.target == neuron
        if np.any(weight[column]):
            assert used[column].max() == levels - 1


def test_levels_and_weights_of_a_column_worked_out_by_hand():
    # Three levels up and three down, a level being 3 / 3: 1.5 is half way and goes to even.
    network = columns(np.array([3, 1.4, 1.6, -1.4, -0.4, 0, 1.5], np.float32), neurons=1)
    assert Device(4).program(network)[0].tolist() == [3, 1, 2, -1, 0, 0, 2]
    assert Device(4).program(network)[1].tolist() == [3, 1, 2, -1, 0, 0, 2]


@given(WEIGHTS, LEVELS)
def test_exact_devices_give_the_weights_as_they_are_and_count_the_nearest_levels(
    weight, levels
):
    network, device = columns(weight), Device(levels, exact=True)
    assert np.array_equal(device.program(network)[1], network.weight)
    assert np.array_equal(device.program(network)[0], Device(levels).program(network)[0])


@pytest.mark.parametrize("levels", [1, 0, -3, 257, 2.0, "16", None])
def test_impossible_numbers_of_levels_are_refused(levels):
    with pytest.raises(ConfigError, match=r"Device\.levels is .*integer from 2 to 256"):
        Device(levels)
