from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from growth.encode import regular_rate
from growth.strategies.base import encode
from mosaic_sim import MosaicError

# Grey levels of real images are 16ths and 255ths; 256ths are exact in binary.
grey = st.integers(0, 256).map(lambda k: k / 256)
steps = st.integers(1, 40)


def train(intensity, steps):
    return regular_rate(np.array([[intensity]]), steps)[0, :, 0]


@given(grey, steps)
def test_a_channel_fires_its_intensity_times_steps_rounded(x, steps):
    assert train(x, steps).sum() == floor(Fraction(x) * steps + Fraction(1, 2))


@given(st.floats(0, 1), steps)
def test_any_intensity_fires_within_half_a_spike_of_its_share(x, steps):
    assert abs(train(x, steps).sum() - x * steps) <= 0.5 + 1e-9


@given(grey, steps, st.data())
def test_spikes_are_even_any_two_windows_of_equal_length_differ_by_at_most_one(
    x, steps, data
):
    width = data.draw(st.integers(1, steps))
    counts = np.convolve(train(x, steps), np.ones(width, int), "valid")
    assert np.ptp(counts) <= 1


@given(st.lists(st.lists(grey, min_size=3, max_size=3), min_size=1, max_size=4), steps)
def test_channels_and_samples_do_not_see_each_other(rows, steps):
    fired = regular_rate(np.array(rows), steps)
    assert fired.shape == (len(rows), steps, 3)
    assert fired.dtype == np.bool_
    for (sample, channel), x in np.ndenumerate(np.array(rows)):
        assert (fired[sample, :, channel] == train(x, steps)).all()


def test_black_is_silent_and_white_always_fires():
    assert not train(0.0, 16).any()
    assert train(1.0, 16).all()


def test_what_is_learnt_from_is_what_the_chip_sees():
    inputs = np.random.default_rng(0).random((5, 7))
    spikes = encode(inputs, 9)
    assert spikes.dtype == torch.float32
    assert (spikes.numpy().transpose(1, 0, 2) == regular_rate(inputs, 9)).all()


@pytest.mark.parametrize(
    ("intensity", "steps", "message"),
    [
        (
            [[0.5, float("nan")]],
            4,
            r"intensity\[\(0, 1\)\] is nan; it must lie between 0 and 1",
        ),
        ([[0.5], [-0.1]], 4, r"intensity\[\(1, 0\)\] is -0.1"),
        ([[1.5]], 4, r"is 1.5"),
        ([0.5], 4, r"shape \(1,\); it needs \(samples, channels\)"),
        ([[0.5]], 0, r"steps is 0; it needs at least 1"),
    ],
)
def test_impossible_intensities_are_refused(intensity, steps, message):
    with pytest.raises(MosaicError, match=message):
        regular_rate(np.array(intensity), steps)
