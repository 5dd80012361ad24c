from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from growth.encode import delta, latency, random_rate, regular_rate
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
        ([[[0.5], [0.5]]], 3, "moves over 2 steps, and steps is 3"),
        ([[[0.5], [1.5]]], 2, r"intensity\[\(0, 1, 0\)\] is 1.5"),
    ],
)
def test_impossible_intensities_are_refused(intensity, steps, message):
    with pytest.raises(MosaicError, match=message):
        regular_rate(np.array(intensity), steps)


# --- moving inputs ---------------------------------------------------------------------------


@given(grey, steps)
def test_an_intensity_that_stands_still_fires_like_a_still_one(x, steps):
    moving = np.full((1, steps, 1), x)
    assert (regular_rate(moving, steps)[0, :, 0] == train(x, steps)).all()


@given(st.lists(grey, min_size=1, max_size=30))
def test_up_to_any_step_a_moving_intensity_fired_its_sum_rounded(values):
    fired = regular_rate(np.array(values).reshape(1, -1, 1), len(values))[0, :, 0]
    so_far = Fraction(0)
    for step, x in enumerate(values):
        so_far += Fraction(x)
        assert fired[: step + 1].sum() == floor(so_far + Fraction(1, 2))


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_spikes_stay_as_they_are(bits):
    spikes = np.array(bits).reshape(1, -1, 1)
    assert (regular_rate(spikes, len(bits)) == spikes).all()
    assert (regular_rate(spikes.astype(float), len(bits)) == spikes).all()


# --- delta -----------------------------------------------------------------------------------


@given(st.lists(st.integers(-60, 60).map(lambda k: k / 16), min_size=1, max_size=30))
def test_delta_follows_a_signal_one_threshold_a_step(values):
    threshold = 0.5
    up, down = delta(np.array(values).reshape(1, -1, 1), threshold)[0].T
    known, expected = values[0], []
    for x in values:
        gap = x - known
        move = (gap >= threshold) - (gap <= -threshold)
        known += threshold * move
        expected.append(move)
    assert (up.astype(int) - down).tolist() == expected
    assert not (up & down).any()
    assert not up[0]


def test_a_slow_signal_is_known_to_within_a_threshold():
    signal = np.sin(np.linspace(0, 6, 400)).reshape(1, -1, 1)
    up, down = delta(signal, 0.1)[0].T
    known = signal[0, 0, 0] + 0.1 * np.cumsum(up.astype(int) - down)
    assert np.abs(known - signal[0, :, 0]).max() < 0.1


def test_channels_have_their_ups_first_and_then_their_downs():
    signal = np.zeros((1, 2, 3))
    signal[0, 1] = [1, 0, -1]
    assert delta(signal, 1.0)[0, 1].astype(int).tolist() == [1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("signal", "threshold", "message"),
    [
        (np.zeros((2, 3)), 1.0, r"needs \(samples, steps, channels\)"),
        (np.full((1, 2, 1), np.nan), 1.0, "not finite"),
        (np.zeros((1, 2, 1)), 0.0, "above 0"),
        (np.zeros((1, 2, 1)), np.inf, "above 0"),
    ],
)
def test_impossible_signals_are_refused(signal, threshold, message):
    with pytest.raises(MosaicError, match=message):
        delta(signal, threshold)


# --- one spike, and random ones --------------------------------------------------------------


@given(st.lists(grey, min_size=1, max_size=20), st.sampled_from([1, 2, 3, 5, 9, 17, 33]))
def test_latency_is_that_of_snntorch(values, steps):
    from snntorch.spikegen import latency as theirs

    given = np.array([values])
    found = latency(given, steps)[0]
    if steps > 1:  # theirs divides by zero for one step
        wanted = theirs(
            torch.tensor(values), num_steps=steps, linear=True, normalize=True, clip=True,
            threshold=1e-6,
        )  # fmt: skip
        assert (found == wanted.numpy().astype(bool)).all()
    assert (found.sum(0) == (given[0] > 0)).all()


def test_random_rates_fire_as_often_as_their_intensity_says():
    rng = np.random.default_rng(0)
    x = np.array([[0.0, 0.1, 0.5, 0.9, 1.0]])
    fired = random_rate(x, 20_000, rng)[0].mean(0)
    # Five standard deviations of a binomial share.
    assert (np.abs(fired - x[0]) <= 5 * np.sqrt(x[0] * (1 - x[0]) / 20_000)).all()
    again = random_rate(x, 50, np.random.default_rng(1))
    assert (again == random_rate(x, 50, np.random.default_rng(1))).all()
    other = random_rate(np.full((1, 2), 0.5), 64, np.random.default_rng(2))[0]
    assert (other[:, 0] != other[:, 1]).any()  # channels do not share their chance


@pytest.mark.parametrize("encode_", [latency, lambda x, n: random_rate(x, n, np.random)])
def test_impossible_still_intensities_are_refused(encode_):
    for intensity, steps, message in (
        ([[1.5]], 3, r"intensity\[\(0, 0\)\] is 1\.5"),
        ([[float("nan")]], 3, "is nan"),
        ([[[0.5]]], 3, r"shape \(1, 1, 1\); it needs \(samples, channels\)"),
        ([[0.5]], 0, "steps is 0"),
    ):
        with pytest.raises(MosaicError, match=message):
            encode_(np.array(intensity), steps)
