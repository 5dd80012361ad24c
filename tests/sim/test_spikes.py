import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import STEPS, build, builds, chain

from mosaic_sim import Events, MosaicError, Network, reference, simulate


def both(built, spikes, **settings):
    """Run fast and plain; they have to see the same spikes, rows and membranes."""
    everyone = range(built.network.neurons)
    fast = simulate(built.program, spikes, raster=True, voltages=everyone, **settings)
    plain = reference.simulate(built.network, built.placement, built.chip, spikes)
    seen = [tuple(int(i) for i in row) for row in np.argwhere(fast.raster)]
    assert seen == plain.spikes
    for (sample, step), voltages in plain.voltages.items():
        assert fast.voltages[sample, step].tolist() == voltages
    return fast, plain


@given(builds(), st.data())
def test_currents_and_pulses_run_as_in_the_reference(built, data):
    shape = (2, STEPS, built.network.inputs)
    kind = data.draw(st.sampled_from(["pulses", "currents"]))
    size = int(np.prod(shape))
    values = data.draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size))
    spikes = np.reshape(values, shape)
    fast, _ = both(built, spikes if kind == "pulses" else spikes / 2)
    driven = np.abs(spikes) if kind == "pulses" else spikes != 0
    assert np.array_equal(fast.counts[:, : built.network.inputs], driven.sum(1))


@given(builds(), st.data())
def test_events_are_the_dense_spikes(built, data):
    inputs = built.network.inputs
    dense = data.draw(
        st.lists(st.integers(0, 2), min_size=3 * 5 * inputs, max_size=3 * 5 * inputs)
    )
    dense = np.reshape(dense, (3, 5, inputs))
    sample, time, channel = np.nonzero(dense)
    times = dense[sample, time, channel]
    sample, time, channel = (np.repeat(x, times) for x in (sample, time, channel))
    order = data.draw(st.permutations(range(time.size)))
    events = Events(
        time[list(order)].astype(int), channel[list(order)].astype(int), steps=5,
        sample=sample[list(order)].astype(int), samples=3,
    )  # fmt: skip
    one, _ = both(built, events)
    other, _ = both(built, dense)
    assert np.array_equal(one.counts, other.counts)
    assert np.array_equal(one.raster, other.raster)


@given(builds(), st.data())
def test_events_with_values_are_currents(built, data):
    inputs = built.network.inputs
    where = st.tuples(st.integers(0, 5), st.integers(0, inputs - 1))
    what = data.draw(st.dictionaries(where, st.integers(-8, 8).map(lambda k: k / 4)))
    time, channel = ([key[i] for key in what] for i in (0, 1))
    events = Events(
        np.array(time, int),
        np.array(channel, int),
        steps=6,
        value=np.array([*what.values()]),
    )
    one, _ = both(built, events)
    dense = np.zeros((1, 6, inputs))
    dense[0, time, channel] = [*what.values()]
    other, _ = both(built, dense)
    assert np.array_equal(one.raster, other.raster)


def test_a_current_is_its_value_times_the_weight():
    network = chain(weight=2.0, leak=1.0, threshold=100.0)
    run = simulate(build(network).program, [[[0.25], [-0.5], [0.0]]], voltages=[0])
    assert run.voltages[0, :, 0].tolist() == [0.5, -0.5, -0.5]
    assert run.counts[0, 0] == 2  # a row is driven once for each


def test_a_whole_number_is_as_many_spikes():
    network = chain(weight=2.0, leak=1.0, threshold=100.0)
    run = simulate(build(network).program, [[[3], [-1], [0]]], voltages=[0])
    assert run.voltages[0, :, 0].tolist() == [6, 4, 4]
    assert run.counts[0, 0] == 4


def test_the_lowest_number_of_a_type_is_so_many_spikes():
    spikes = np.array([[[-128]]], np.int8)  # whose absolute value is no int8
    run = simulate(build(chain()).program, spikes)
    assert run.counts[0, 0] == 128


def test_more_spikes_than_single_precision_counts_are_refused():
    with pytest.raises(MosaicError, match="16777217 spikes of one input in one step"):
        simulate(build(chain()).program, [[[2**24 + 1]]])


@pytest.mark.parametrize("channels", [1, 7, 8, 9, 64, 100])
def test_dense_input_of_any_width_is_read_whole(channels):
    network = Network.from_synapses(
        inputs=channels,
        neurons=1,
        source=range(channels),
        target=[0] * channels,
        weight=0.0,
    )
    spikes = np.random.default_rng(channels).random((3, 5, channels)) < 0.4
    run = simulate(build(network).program, spikes)
    assert np.array_equal(run.counts[:, :channels], spikes.sum(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time": [0.5]}, "time holds float64; it needs whole numbers"),
        ({"time": [5]}, r"time has 5, but a sample has 5 steps \(0 to 4\)"),
        ({"time": [-1]}, "time has -1; it needs numbers from 0 on"),
        ({"channel": [-1]}, "channel has -1"),
        ({"channel": [2]}, "channel has 2, but the network has 2 inputs"),
        ({"channel": [0, 1]}, r"channel has shape \(2,\); it needs \(1,\)"),
        ({"sample": [3], "samples": 2}, "sample has 3, but samples is 2"),
        ({"value": [1.0, 2.0]}, r"value has shape \(2,\); it needs \(1,\)"),
        ({"value": [np.nan]}, "A current is nan"),
        ({"value": [1e300]}, "finite in single precision"),
    ],
)
def test_events_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(MosaicError, match=message):
        simulate(
            build(chain(inputs=2)).program,
            Events(**{"time": [0], "channel": [0], "steps": 5} | arguments),
        )


def test_no_events_are_silence():
    run = simulate(build(chain()).program, Events([], [], steps=4))
    assert run.counts.tolist() == [[0, 0]]
    assert run.steps == 4
