import sys
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st
from strategies import FEW, MANY, build, builds, chain, drives, networks, roomy

from mosaic_sim import Device, MosaicError, Network, join, reference, simulate
from mosaic_sim.network import RESETS


def spikes_of(recording):
    return [tuple(event) for event in np.argwhere(recording.raster).tolist()]


def ran(network, spikes):
    """Return the raster, (samples, steps, neurons)."""
    return simulate(build(network).program, spikes, raster=True).raster


def always(network, steps, samples=1):
    return np.ones((samples, steps, network.inputs), bool)


# --- against the plain twin -----------------------------------------------------------


@MANY
@given(builds(), st.data())
def test_spikes_equal_the_reference(built, data):
    network, chip, placement, _, program = built
    spikes = data.draw(drives(network))
    recording = simulate(program, spikes, raster=True)
    plain = reference.simulate(network, placement, chip, spikes)
    target(len(plain.spikes))  # lead the search to busy networks: silence proves nothing
    assert spikes_of(recording) == plain.spikes


def busy(seed, *, dyadic=True, neurons=48, inputs=8):
    """Return a deep, recurrent network with everything in it, half of it firing."""
    rng = np.random.default_rng(seed)
    sources = inputs + 1 + neurons
    source, to = np.nonzero(rng.random((sources, neurons)) < 0.25)
    level = rng.permutation(neurons)
    before = np.where(source > inputs, level[source - inputs - 1], -1)
    delay = np.where(before < level[to], rng.integers(0, 4, to.size), 1)
    delay = np.where(
        (delay == 1) & (before >= level[to]), rng.integers(1, 4, to.size), delay
    )
    weight = rng.normal(0.1, 0.5, to.size)
    leak = rng.choice([0, 0.5, 1], neurons) if dyadic else rng.uniform(0.5, 1, neurons)
    return Network.from_synapses(
        inputs=inputs, neurons=neurons, bias=True, source=source, target=to,
        weight=np.round(weight * 16) / 16 if dyadic else weight,
        delay=delay, leak=leak, reset=rng.integers(0, 4, neurons),
        prompt=rng.random(neurons) < 0.2,
        current_leak=rng.choice([0, 0, 0.5], neurons),
        threshold=rng.choice([0.5, 0.75, 1], neurons),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_spikes_of_a_busy_network_equal_the_reference(seed):
    network = busy(seed)
    spikes = np.random.default_rng(seed).random((5, 12, network.inputs)) < 0.5
    built = build(network, roomy(network, 3, 3))
    recording = simulate(built.program, spikes, raster=True)
    plain = reference.simulate(network, built.placement, built.chip, spikes)
    assert spikes_of(recording) == plain.spikes
    for reset in range(len(RESETS)):  # busy under every rule, and not stuck in either state
        rate = recording.raster[..., network.reset == reset].mean()
        assert 0.2 < rate < 0.8
    inner = network.source >= network.first_neuron
    assert set(network.delay[inner].tolist()) == {0, 1, 2, 3}


def test_spikes_with_any_weights_equal_the_reference_but_for_rounding():
    differ = total = 0
    for seed in range(3):
        network = busy(seed, dyadic=False)
        spikes = np.random.default_rng(seed).random((5, 40, network.inputs)) < 0.5
        built = build(network)
        recording = simulate(built.program, spikes, raster=True)
        plain = reference.simulate(network, built.placement, built.chip, spikes)
        differ += len(set(spikes_of(recording)) ^ set(plain.spikes))
        total += recording.raster.size
        assert 0.2 < recording.raster.mean() < 0.8
    assert differ <= 0.001 * total


@given(builds(device=Device(levels=3)), st.data())
def test_quantised_programs_run_with_the_weights_of_the_device(built, data):
    network, chip, placement, _, program = built
    spikes = data.draw(drives(network))
    # Levels of half the largest weight of a column, so sums stay exact.
    stored = network.with_weights(Device(levels=3).program(network)[1])
    plain = reference.simulate(stored, placement, chip, spikes)
    target(len(plain.spikes))
    assert spikes_of(simulate(program, spikes, raster=True)) == plain.spikes


# --- worked out by hand ---------------------------------------------------------------


def test_a_neuron_fires_strictly_above_its_threshold():
    at = chain(weight=1.0, leak=0.0, reset="none")
    above = chain(weight=1.0625, leak=0.0, reset="none")
    assert not ran(at, always(at, 4)).any()
    assert ran(above, always(above, 4)).all()


@pytest.mark.parametrize(
    ("reset", "fires"),
    [
        # One input of 2.5 at step 0, no leak, threshold 1.
        ("subtract", [1, 1, 0, 0]),  # 2.5, 1.5, 0.5, 0.5
        ("zero", [1, 0, 0, 0]),  # 2.5, 0, 0, 0
        ("none", [1, 1, 1, 1]),  # 2.5 for ever
    ],
)
def test_the_reset_acts_one_step_late(reset, fires):
    network = chain(weight=2.5, reset=reset)
    spikes = np.zeros((1, 4, 1), bool)
    spikes[0, 0] = True
    assert ran(network, spikes)[0, :, 0].tolist() == fires


def test_reset_to_zero_keeps_the_input_of_that_step():
    network = chain(weight=1.5, reset="zero")
    assert ran(network, always(network, 5)).all()  # 1.5 at every step, never more
    slow = chain(weight=0.75, reset="zero")
    assert ran(slow, always(slow, 6))[0, :, 0].tolist() == [0, 1, 0, 1, 0, 1]


def test_the_leak_is_applied_once_a_step():
    # 3 at step 0, then 3/2, 3/4: above 1/2 for three steps; no reset.
    network = chain(weight=3.0, leak=0.5, threshold=0.5, reset="none")
    spikes = np.zeros((1, 5, 1), bool)
    spikes[0, 0] = True
    assert ran(network, spikes)[0, :, 0].tolist() == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("delay", [0, 1, 2, 3, 6])
def test_a_spike_arrives_after_its_delay_to_the_step(delay):
    network = Network.from_synapses(
        inputs=1, neurons=2, source=[0, 1], target=[0, 1], weight=2.0, delay=[0, delay],
        leak=0.0, reset="none",
    )  # fmt: skip
    spikes = np.zeros((1, 9, 1), bool)
    spikes[0, [1, 3]] = True
    raster = ran(network, spikes)[0]
    assert np.flatnonzero(raster[:, 0]).tolist() == [1, 3]
    assert np.flatnonzero(raster[:, 1]).tolist() == [
        t + delay for t in (1, 3) if t + delay < 9
    ]


def test_synapses_without_delay_are_felt_within_the_step_in_any_numbering():
    size = 6
    network = Network.from_synapses(  # input -> 5 -> 4 -> ... -> 0
        inputs=1, neurons=size, source=[0, *range(size, 1, -1)],
        target=range(size - 1, -1, -1), weight=2.0, leak=0.0, reset="none",
    )  # fmt: skip
    spikes = np.zeros((1, 3, 1), bool)
    spikes[0, 1] = True
    assert ran(network, spikes)[0].tolist() == [
        [False] * size,
        [True] * size,
        [False] * size,
    ]


def test_negative_weights_hold_a_neuron_back():
    network = Network.from_synapses(
        inputs=2, neurons=1, source=[0, 1], target=[0, 0], weight=[2.0, -1.5], leak=0.0
    )
    spikes = np.array([[[1, 0], [1, 1], [0, 1], [0, 0]]])
    assert ran(network, spikes)[0, :, 0].tolist() == [True, False, False, False]


# --- what a recording holds -----------------------------------------------------------


@given(builds(), st.data())
def test_counts_are_those_of_inputs_bias_line_and_raster(built, data):
    network, program = built.network, built.program
    spikes = data.draw(drives(network, samples=3))
    samples, steps, _ = spikes.shape
    with_raster = simulate(program, spikes, raster=True)
    counts = with_raster.counts
    assert counts.dtype == np.int64
    assert counts.shape == (samples, network.sources)
    assert (counts[:, : network.inputs] == spikes.sum(1)).all()
    if network.bias:
        assert (counts[:, network.inputs] == steps).all()
    assert (counts[:, network.first_neuron :] == with_raster.raster.sum(1)).all()
    assert with_raster.raster.shape == (samples, steps, network.neurons)
    assert (with_raster.samples, with_raster.steps) == (samples, steps)
    assert with_raster.total.tolist() == counts.sum(0).tolist()
    without = simulate(program, spikes)
    assert without.raster is None
    assert np.array_equal(without.counts, counts)


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 50, None])
def test_the_number_of_threads_changes_nothing(threads):
    network = busy(0)
    spikes = np.random.default_rng(0).random((7, 12, network.inputs)) < 0.5
    program = build(network).program
    one = simulate(program, spikes, raster=True, threads=1)
    many = simulate(program, spikes, raster=True, threads=threads)
    assert np.array_equal(one.counts, many.counts)
    assert np.array_equal(one.raster, many.raster)
    assert one.raster.any()


def test_every_sample_starts_from_rest():
    network = busy(1)
    spikes = np.random.default_rng(1).random((4, 12, network.inputs)) < 0.5
    program = build(network).program
    together = simulate(program, spikes, raster=True, threads=1)
    for k in range(4):
        alone = simulate(program, spikes[k : k + 1], raster=True)
        assert np.array_equal(alone.raster[0], together.raster[k])


@FEW
@given(networks(), st.data())
def test_renumbered_neurons_fire_as_before(network, data):
    birth = data.draw(st.permutations(range(network.neurons)))
    spikes = data.draw(drives(network))
    before, after = ran(network, spikes), ran(network.reordered(birth), spikes)
    target(int(before.sum()))
    assert np.array_equal(after, before[..., birth])


def test_joined_networks_fire_as_they_do_alone():
    parts = [busy(2), busy(3), chain(inputs=8, neurons=2)]
    spikes = np.random.default_rng(2).random((3, 12, 8)) < 0.5
    together = ran(join({str(k): part for k, part in enumerate(parts)}), spikes)
    assert np.array_equal(together, np.concatenate([ran(p, spikes) for p in parts], axis=2))


def test_no_samples_no_steps_and_no_neurons_are_fine():
    program = build(chain()).program
    assert simulate(program, np.zeros((0, 5, 1))).counts.shape == (0, 2)
    assert simulate(program, np.zeros((2, 0, 1)), raster=True).raster.shape == (2, 0, 1)
    for samples in (1, 2):
        assert simulate(program, np.zeros((samples, 0, 1))).counts.sum() == 0
    nobody = Network.from_synapses(inputs=1, neurons=0, source=[], target=[], weight=[])
    assert simulate(build(nobody).program, np.ones((2, 3, 1))).total.tolist() == [6]


# --- at the door ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bool, int, np.int8, np.uint16, float, np.float32])
def test_spikes_may_come_as_any_numbers(kind):
    network = chain()
    spikes = (np.arange(8) % 3 == 0).reshape(1, 8, 1)
    assert np.array_equal(ran(network, spikes.astype(kind)), ran(network, spikes))
    assert np.array_equal(ran(network, spikes.tolist()), ran(network, spikes))
    strided = np.repeat(spikes, 2, axis=1)[:, ::2]
    assert np.array_equal(ran(network, strided), ran(network, spikes))


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((4, 2)), r"shape \(4, 2\); it needs \(samples, steps, 2\)"),
        (np.zeros((1, 4, 3)), r"shape \(1, 4, 3\); it needs \(samples, steps, 2\)"),
        (np.zeros(2), r"shape \(2,\); it needs"),
        (np.float64(1), r"shape \(\); it needs"),
        ([[[0, np.nan]]], r"spikes\[\(0, 0, 1\)\] is nan"),
        ([[[np.inf, 0]]], r"spikes\[\(0, 0, 0\)\] is inf"),
    ],
)
def test_strange_spikes_are_refused_with_the_place(spikes, message):
    network = chain(inputs=2)
    built = build(network)
    for run in (
        lambda: simulate(built.program, spikes),
        lambda: reference.simulate(network, built.placement, built.chip, spikes),
    ):
        with pytest.raises(MosaicError, match=message):
            run()


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_refused(threads):
    with pytest.raises(MosaicError, match=f"threads is {threads}; it needs at least 1"):
        simulate(build(chain()).program, np.zeros((2, 3, 1)), threads=threads)


# --- what a recording keeps -----------------------------------------------------------


def test_latency_is_the_step_of_the_first_spike():
    network = busy(1)
    spikes = np.random.default_rng(1).random((4, 20, network.inputs)) < 0.2
    run = simulate(build(network).program, spikes, raster=True)
    for sample, neuron in np.ndindex(run.latency.shape):
        when = np.flatnonzero(run.raster[sample, :, neuron])
        assert run.latency[sample, neuron] == (when[0] if when.size else -1)


def test_a_raster_may_show_chosen_neurons():
    network = busy(2)
    spikes = np.random.default_rng(2).random((3, 12, network.inputs)) < 0.5
    program = build(network).program
    everyone = simulate(program, spikes, raster=True)
    some = simulate(program, spikes, raster=[7, 0, 31])
    assert np.array_equal(some.raster, everyone.raster[..., [7, 0, 31]])
    assert simulate(program, spikes).raster is None
    assert np.array_equal(some.counts, everyone.counts)


def test_voltages_of_chosen_neurons_are_those_of_the_reference():
    network = busy(3)
    built = build(network)
    spikes = np.random.default_rng(3).random((2, 9, network.inputs)) < 0.5
    run = simulate(built.program, spikes, voltages=[40, 3])
    plain = reference.simulate(network, built.placement, built.chip, spikes)
    for (sample, step), voltages in plain.voltages.items():
        assert run.voltages[sample, step].tolist() == [voltages[40], voltages[3]]


@pytest.mark.parametrize("name", ["voltages", "raster"])
def test_a_neuron_that_is_not_there_cannot_be_recorded(name):
    with pytest.raises(MosaicError, match=f"{name} names neuron 1; the program has 0 to 0"):
        simulate(build(chain()).program, np.zeros((1, 2, 1)), **{name: [0, 1]})


@pytest.mark.parametrize("seed", range(2))
def test_results_are_the_same_to_the_last_bit_with_any_number_of_threads(seed):
    network = busy(seed, dyadic=False)
    spikes = np.random.default_rng(seed).random((37, 15, network.inputs)) < 0.5
    program = build(network).program
    runs = [
        simulate(program, spikes, raster=True, voltages=range(48), threads=threads)
        for threads in (1, 2, 5)
    ]
    for run in runs[1:]:
        for name in ("counts", "latency", "voltages", "offsets", "neuron"):
            assert getattr(run, name).tobytes() == getattr(runs[0], name).tobytes()


def test_a_long_sample_is_run_in_pieces_without_a_seam(monkeypatch):
    network = busy(0)
    spikes = np.random.default_rng(0).random((2, 50, network.inputs)) < 0.5
    program = build(network).program
    whole = simulate(program, spikes, raster=True, voltages=range(48))
    monkeypatch.setattr(sys.modules["mosaic_sim.simulate"], "LISTED", 7 * 48)
    pieces = simulate(program, spikes, raster=True, voltages=range(48))
    assert np.array_equal(whole.raster, pieces.raster)
    assert np.array_equal(whole.voltages, pieces.voltages)
    assert np.array_equal(whole.counts, pieces.counts)
    monkeypatch.setattr(sys.modules["mosaic_sim.simulate"], "PIECE", 3 * 60)
    for sample in range(2):
        alone = simulate(program, spikes[sample : sample + 1]).counts
        assert np.array_equal(alone[0], whole.counts[sample])


def test_dense_rows_and_lists_of_synapses_give_the_same_spikes():
    """Rows of neighbours are added as vectors: shuffled neurons force the other way."""
    rng = np.random.default_rng(5)
    n = 120
    source, to = np.nonzero(np.ones((30 + n, n)))
    weight = rng.integers(-20, 22, source.size) / 64
    network = Network.from_synapses(
        inputs=30, neurons=n, source=source, target=to, weight=weight,
        delay=(source >= 30).astype(int), leak=0.5,
    )  # fmt: skip
    keep = rng.random(source.size) < 0.15
    thin = Network.from_synapses(
        inputs=30, neurons=n, source=source[keep], target=to[keep], weight=weight[keep] * 4,
        delay=(source[keep] >= 30).astype(int), leak=0.5,
    )  # fmt: skip
    spikes = rng.random((3, 10, 30)) < 0.4
    for net in (network, thin):
        built = build(net)
        plain = reference.simulate(net, built.placement, built.chip, spikes)
        recording = simulate(built.program, spikes, raster=True)
        assert spikes_of(recording) == plain.spikes
        assert 0.05 < recording.raster.mean() < 0.95


@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_layers_in_which_all_read_all_run_as_the_plain_twin_does(delay, holes):
    """Rows of one span are added up together; layers end in the middle of a vector."""
    rng = np.random.default_rng(8)
    sizes = [37, 83, 45, 11]
    starts = np.cumsum([0, *sizes])
    layers = [np.indices(shape).reshape(2, -1) for shape in pairwise(sizes)]
    source = np.concatenate([a + pre for a, (pre, _) in zip(starts, layers, strict=False)])
    target = np.concatenate(
        [a - 37 + post for a, (_, post) in zip(starts[1:], layers, strict=False)]
    )
    weight = rng.integers(-40, 48, source.size) / 64
    weight[rng.random(source.size) < holes] = 0
    net = Network.from_synapses(
        inputs=37, neurons=sum(sizes[1:]), source=source, target=target, weight=weight,
        delay=np.full(source.size, delay), leak=0.5,
    )  # fmt: skip
    spikes = rng.random((3, 12, 37)) < 0.3
    built = build(net)
    plain = reference.simulate(net, built.placement, built.chip, spikes)
    recording = simulate(built.program, spikes, raster=True)
    assert spikes_of(recording) == plain.spikes
    assert 0.1 < recording.raster.mean() < 0.9
    fired = recording.raster.any(1)
    begun = np.where(fired, recording.raster.argmax(1), -1)
    assert np.array_equal(recording.latency, begun)
    assert np.array_equal(recording.counts[:, 37:], recording.raster.sum(1))


# --- refractory steps -----------------------------------------------------------------


def test_a_neuron_in_its_refractory_steps_loses_its_input():
    network = chain(weight=1.5, leak=0.5, reset="zero")
    chip = replace(roomy(network), refractory_steps=2)
    program = build(network, chip).program
    run = simulate(program, np.ones((1, 8, 1)), raster=True, voltages=[0])
    assert run.raster[0, :, 0].tolist() == [1, 0, 0, 1, 0, 0, 1, 0]
    assert run.voltages[0, :, 0].tolist() == [1.5, 0, 0, 1.5, 0, 0, 1.5, 0]


def test_without_refractory_steps_it_fires_at_every_step():
    network = chain(weight=1.5, leak=0.5, reset="zero")
    assert ran(network, always(network, 8)).all()


def test_a_neuron_with_an_infinite_threshold_integrates_and_never_fires():
    network = chain(weight=0.5, threshold=np.inf)
    run = simulate(build(network).program, np.ones((1, 3, 1)), raster=True, voltages=[0])
    assert not run.raster.any()
    assert run.voltages[0, :, 0].tolist() == [0.5, 1.0, 1.5]


def test_progress_is_shown_only_when_asked_for_or_on_a_terminal(capsys, monkeypatch):
    program = build(busy(0)).program
    spikes = np.zeros((40, 5, 8), bool)
    clock = SimpleNamespace(monotonic=iter(range(10_000)).__next__)  # a second a call
    monkeypatch.setattr(sys.modules["mosaic_sim.progress"], "time", clock)
    plain = simulate(program, spikes)
    assert capsys.readouterr().err == ""
    shown = simulate(program, spikes, progress=True)
    assert capsys.readouterr().err
    assert np.array_equal(plain.counts, shown.counts)
