"""Dies: each effect against its closed form, and the routes that spikes really take."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import plain_die
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW, builds, drives

from mosaic_sim import (
    EFFECTS,
    Chip,
    ConfigError,
    Device,
    MosaicError,
    Network,
    compile_program,
    place,
    price,
    route,
    sample_die,
    simulate,
    technology_preset,
)
from mosaic_sim.events import event_names
from mosaic_sim.image import devices, layout
from mosaic_sim.quantity import Quantity

RRAM = technology_preset("rram-130nm")
STATIC = [name for name in EFFECTS if name not in ("reading", "coincidence")]
ROUTING = ("stuck", "drift", "spread", "wires")


def physics(**values):
    """The 130 nm technology with other values."""
    changed = {
        name: Quantity(value, RRAM[name].unit, "test", "assumed")
        for name, value in values.items()
    }
    return replace(RRAM, quantities={**RRAM.quantities, **changed})


def wide(synapses=20_000, levels=16, seed=0, **neurons):
    """One neuron tile full of synapses from inputs, with random levels."""
    rng = np.random.default_rng(seed)
    inputs, n = 200, synapses // 200
    source, target = np.divmod(np.arange(inputs * n), n)
    net = Network.from_synapses(
        inputs=inputs, neurons=n, source=source, target=target,
        weight=rng.integers(1 - levels, levels, source.size) / 8, **neurons,
    )  # fmt: skip
    chip = Chip(1, 1, n, 100, 200, max(200, n))
    placement = place(net, chip)
    routing = route(net, chip, placement)
    return compile_program(net, chip, placement, routing, device=Device(levels))


WIDE = wide()
WRITTEN = np.stack([WIDE.level > 0, WIDE.level < 0], 1)


def goals(program, technology=RRAM):
    level = np.stack([np.maximum(program.level, 0), np.maximum(-program.level, 0)], 1)
    low, high = technology["synapse_lowest"].value, technology["synapse_highest"].value
    return low + (high - low) * level / (program.levels - 1)


# --- nothing, and the same again ---


@given(builds(), st.integers(0, 2**40))
@FEW
def test_without_effects_a_die_is_the_program_to_the_last_bit(build, seed):
    die = sample_die(build.program, RRAM, effects=[], seed=seed)
    for name, value in die.program._asdict().items():
        np.testing.assert_array_equal(value, getattr(build.program, name), err_msg=name)
    _, _, excess = die.row_excess
    assert not excess.any()


@given(builds(), st.integers(0, 2**40), st.data())
@FEW
def test_effects_of_no_strength_change_nothing(build, seed, data):
    none = physics(
        programming_noise=0, programming_floor=0, device_variation=0, read_noise=0,
        drift_exponent=0, relaxation=0, stuck_hcs=0, stuck_lcs=0, router_hcs_spread=0,
        router_lcs_spread=0, time_constant_spread=0, time_constant_slope=0,
        synapse_constant_spread=0, wire_resistance=0, transistor_resistance=0,
        transistor_leakage=0, router_threshold=99e-6, router_lcs=1e-12,
    )  # fmt: skip
    spikes = data.draw(drives(build.network))
    ideal = simulate(build.program, spikes, raster=True)
    for windows in (1, 3):
        die = sample_die(build.program, none, seed=seed, age=1e9, windows=windows)
        # Leaks of less than double precision go there and back through a time constant.
        die = replace(die, written=die.written._replace(leak=build.program.leak))
        if spikes.dtype == np.bool_:
            np.testing.assert_array_equal(
                simulate(die, spikes, raster=True).raster, ideal.raster
            )
        plain = replace(die, effects=die.effects - {"coincidence"})
        np.testing.assert_array_equal(
            simulate(plain, spikes, raster=True).raster, ideal.raster
        )


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_same_seed_gives_the_same_die_and_another_seed_another(effect):
    technology = physics(stuck_hcs=1e-4, stuck_lcs=0.01, router_lcs_spread=0.7)
    program = wide(2_000, leak=0.9)
    spikes = np.random.default_rng(0).random((2, 6, 200)) < 0.3
    runs = []
    for seed in (1, 1, 2):
        die = sample_die(program, technology, effects=[effect], seed=seed, age=1e6)
        run = simulate(die, spikes, voltages=[0, 5])
        runs.append(
            (die.program.weight.tobytes(), run.counts.tobytes(), run.voltages.tobytes())
        )
    assert runs[0] == runs[1]
    if effect not in ("wires", "coincidence"):  # nothing is random in wires
        assert runs[0] != runs[2]


def test_a_device_stays_itself_when_more_is_written_to_the_chip():
    small = wide(2_000)
    net = wide(20_000)
    chip = net.geometry
    assert chip != small.geometry  # other chips, other devices: so use one chip
    first = Network.from_synapses(
        inputs=2, neurons=2, source=[0, 1], target=[0, 1], weight=[1.0, 0.5]
    )
    second = Network.from_synapses(
        inputs=2, neurons=3, source=[0, 0, 1], target=[0, 2, 1], weight=[1.0, 1.0, 0.5]
    )
    chip = Chip(1, 1, 4, 8, 8, 8)
    weights = []
    for network in (first, second):
        placement = place(network, chip)
        program = compile_program(network, chip, placement, route(network, chip, placement))
        die = sample_die(program, RRAM, effects=["variation", "programming"])
        weights.append({
            (int(s), int(t)): w
            for s, t, w in zip(network.source, network.target, die.program.weight, strict=True)
        })  # fmt: skip
    assert weights[0].items() <= weights[1].items()


# --- each effect by its closed form ---


def test_programming_noise_has_the_width_asked_for():
    technology = physics(programming_noise=0.03, programming_floor=2e-6)
    die = sample_die(WIDE, technology, effects=["programming"])
    goal = goals(WIDE)
    error = (die.conductance - goal)[WRITTEN]
    width = np.sqrt(2e-6**2 + (0.03 * goal[WRITTEN]) ** 2)
    far = goal[WRITTEN] > 6 * width  # so that no conductance is cut off at 0
    z = (error / width)[far]
    assert abs(z.mean()) < 4 / math.sqrt(z.size)
    assert z.std() == pytest.approx(1, abs=4 / math.sqrt(2 * z.size))
    assert (die.conductance[~WRITTEN] == RRAM["synapse_lowest"].value).all()
    assert (die.pulses[WRITTEN] == 1).all()
    assert not die.pulses[~WRITTEN].any()


@pytest.mark.parametrize("attempts", [1, 2, 5, 20])
def test_verified_programming_takes_as_many_pulses_as_a_geometric_law_says(attempts):
    technology = physics(programming_noise=0, programming_floor=5e-6, write_tolerance=3e-6)
    die = sample_die(WIDE, technology, effects=["programming"], attempts=attempts)
    accepted = math.erf(3 / 5 / math.sqrt(2))
    pulses = die.pulses[WRITTEN]
    mean = (1 - (1 - accepted) ** attempts) / accepted
    assert pulses.max() <= attempts
    assert pulses.mean() == pytest.approx(mean, rel=0.03)
    error = np.abs(die.conductance - goals(WIDE))[WRITTEN]
    missed = (error > 3e-6).mean()
    assert missed == pytest.approx((1 - accepted) ** attempts, abs=0.015)


def test_variation_is_relative_and_belongs_to_the_device():
    technology = physics(device_variation=0.04)
    die = sample_die(WIDE, technology, effects=["variation"])
    factor = die.conductance / goals(WIDE)
    assert factor.std() == pytest.approx(0.04, rel=0.03)
    assert factor.mean() == pytest.approx(1, abs=0.001)
    again = sample_die(WIDE._replace(level=-WIDE.level), technology, effects=["variation"])
    np.testing.assert_allclose(again.conductance / goals(again.nominal), factor)


def test_stuck_devices_are_as_many_as_the_technology_says_at_their_two_states():
    die = sample_die(
        WIDE, physics(stuck_hcs=0.03, stuck_lcs=0.1), effects=["stuck"], attempts=4
    )
    goal, g = goals(WIDE), die.conductance
    high = (g == RRAM["synapse_highest"].value) & (goal != g)
    low = (g == RRAM["synapse_lowest"].value) & (goal != g)
    assert ((g == goal) | high | low).all()
    assert high[~WRITTEN].mean() == pytest.approx(0.03, abs=0.005)
    assert low[WRITTEN].mean() == pytest.approx(0.1, abs=0.01)
    assert (die.pulses[low & WRITTEN] == 4).all()  # nobody knows before having tried


def test_drift_is_a_power_of_time_and_relaxation_grows_with_the_root_of_the_decades():
    start = RRAM["drift_start"].value
    technology = physics(drift_exponent=0.05, relaxation=0.0)
    assert (
        sample_die(WIDE, technology, effects=["drift"], age=start).conductance
        == goals(WIDE)
    ).all()
    for age in (10, 1e4):
        die = sample_die(WIDE, technology, effects=["drift"], age=age * start)
        np.testing.assert_allclose(die.conductance, goals(WIDE) * age**-0.05)
        die = sample_die(
            WIDE,
            physics(drift_exponent=0, relaxation=0.02),
            effects=["drift"],
            age=age * start,
        )
        spread = (die.conductance / goals(WIDE)).std()
        assert spread == pytest.approx(0.02 * math.sqrt(math.log10(age)), rel=0.03)


def test_time_constants_are_log_normal_with_the_published_spread():
    program = wide(200 * 90, leak=math.exp(-1 / 20), current_leak=0.5)
    logs = [[], []]
    for seed in range(40):
        die = sample_die(program, RRAM, effects=["mismatch"], seed=seed)
        logs[0] += np.log(-1e-3 / np.log(die.program.leak.astype(float)) / 20e-3).tolist()
        tau = -1e-3 / math.log(0.5)
        logs[1] += np.log(
            -1e-3 / np.log(die.program.current_leak.astype(float)) / tau
        ).tolist()
    assert np.std(logs[0]) == pytest.approx(0.4342 + 11.853 * 0.020, rel=0.05)
    assert np.std(logs[1]) == pytest.approx(0.3219, rel=0.05)
    assert np.mean(logs[0]) == pytest.approx(0, abs=0.05)
    forever = wide(2_000, leak=1.0)
    assert (sample_die(forever, RRAM, effects=["mismatch"]).program.leak == 1).all()


@given(builds(), st.integers(0, 2**40), st.data())
@FEW
def test_weights_follow_from_conductances(build, seed, data):
    die = sample_die(build.program, RRAM, effects=["programming", "variation"], seed=seed)
    low, high = RRAM["synapse_lowest"].value, RRAM["synapse_highest"].value
    largest = np.zeros(build.program.neurons)
    np.maximum.at(largest, build.program.target, np.abs(build.program.weight))
    # The gain of a column gives the highest level of a pair the largest weight.
    error = (die.conductance - goals(build.program)) / (high - low)
    weight = (
        build.program.weight + (error[:, 0] - error[:, 1]) * largest[build.program.target]
    )
    np.testing.assert_allclose(die.program.weight, weight, rtol=1e-5, atol=1e-6)


# --- bills ---


def test_what_rows_conduct_beyond_nominal_adds_up_from_their_devices():
    effects = ["programming", "variation", "drift"]
    die = sample_die(WIDE, RRAM, effects=effects, age=100.0, attempts=3)
    source, cell, excess = die.row_excess
    tile = WIDE.geometry.tile_cell(0)
    inside = cell == tile
    assert sorted(source[inside]) == list(range(WIDE.sources))
    # All devices of the rows of inputs hold a synapse, but of neurons none does.
    inputs = source[inside] < WIDE.inputs
    expected = np.zeros(WIDE.inputs)
    which = np.repeat(np.arange(WIDE.inputs), np.diff(WIDE.offsets[: WIDE.inputs + 1]))
    np.add.at(expected, which, (die.conductance - goals(WIDE)).sum(1) / 1e-12)
    by_source = np.zeros(WIDE.inputs)
    by_source[source[inside][inputs]] = excess[inside][inputs]
    np.testing.assert_allclose(by_source, expected, atol=WIDE.neurons)  # rounded one by one


def test_layout_numbers_the_devices_as_the_image_does():
    where = layout(WIDE)
    number, _ = devices(WIDE)
    joined = where.connection[where.connection >= 0]
    assert sorted([*where.pair, *(where.pair + 1), *joined]) == number.tolist()


# --- where spikes go ---

FAULTY = physics(
    stuck_hcs=0.004, stuck_lcs=0.05, router_hcs_spread=0.8, router_lcs_spread=1.1,
    transistor_resistance=3e3, wire_resistance=5.0, transistor_leakage=2e-9, relaxation=0.3,
)  # fmt: skip


def faulty(build, seed, *, coincidence):
    """A die whose routes are faulty and whose weights are not."""
    effects = [*ROUTING, "coincidence"] if coincidence else ROUTING
    die = sample_die(
        build.program, FAULTY, effects=effects, seed=seed, age=100.0, windows=1
    )
    exact = build.program.weight
    return replace(
        die,
        written=die.written._replace(weight=exact),
        program=die.program._replace(weight=exact[die.origin]),
    )


@given(builds(), st.integers(0, 2**40), st.booleans(), st.data())
@FEW
def test_spikes_go_where_the_plain_twin_says(build, seed, coincidence, data):
    die = faulty(build, seed, coincidence=coincidence)
    spikes = data.draw(drives(build.network))
    if data.draw(st.booleans()):
        spikes = spikes.astype(np.int64) * np.arange(
            1, spikes.shape[2] + 1
        )  # several pulses
    ours = simulate(die, spikes, raster=True)
    plain, driven = plain_die.simulate(
        build.network, build.chip, build.placement, build.routing, die, spikes, coincidence
    )
    assert [tuple(x) for x in np.argwhere(ours.raster)] == plain
    if coincidence:
        where = layout(build.program)
        rows = np.zeros(where.rows * build.chip.cells, np.int64)
        for (cell, side, line), times in driven.items():
            at = 4 * where.widest if side == "home" else side * where.widest
            rows[cell * where.rows + at + line] = times
        np.testing.assert_array_equal(ours.rows, rows)


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(k, marks=pytest.mark.slow) for k in range(2, 8))]
)
def test_spikes_that_run_through_layers_go_where_the_plain_twin_says(seed):
    # Busy networks without delay: what comes late, twice or in waves is not rare here.
    rng = np.random.default_rng(seed)
    pair = [
        (i, j) for i in range(16) for j in range(10) if i - 6 < j and rng.random() < 0.4
    ]
    source, target = np.array(pair).T
    net = Network.from_synapses(
        inputs=6, neurons=10, source=source, target=target,
        weight=rng.integers(-8, 25, source.size) / 16, threshold=0.5,
    )  # fmt: skip
    chip = Chip(2, 2, 4, 12, 12, 12)
    placement = place(net, chip)
    routing = route(net, chip, placement)
    exact = Device(exact=True)  # sixteenths: sums do not depend on their order
    build = SimpleNamespace(
        network=net, chip=chip, placement=placement, routing=routing,
        program=compile_program(net, chip, placement, routing, device=exact),
    )  # fmt: skip
    spikes = rng.random((3, 8, 6)) < 0.6
    for coincidence in (False, True):
        die = faulty(build, seed, coincidence=coincidence)
        ours = simulate(die, spikes, raster=True)
        plain, _ = plain_die.simulate(
            net, chip, placement, routing, die, spikes, coincidence
        )
        assert [tuple(x) for x in np.argwhere(ours.raster)] == plain


def test_faulty_routes_are_not_rare_in_the_test_above():
    rng = np.random.default_rng(0)
    net = Network.from_synapses(
        inputs=4, neurons=6, source=np.repeat(np.arange(10), 3),
        target=[j for _ in range(10) for j in rng.choice(6, 3, replace=False)],
        weight=np.ones(30), delay=1,
    )  # fmt: skip
    chip = Chip(2, 2, 4, 8, 8, 8)
    placement = place(net, chip)
    program = compile_program(net, chip, placement, route(net, chip, placement))
    dies = [
        sample_die(program, FAULTY, effects=ROUTING, seed=k, age=100.0) for k in range(9)
    ]
    assert sum(int(die.lost.sum()) for die in dies) > 20
    assert sum(int(die.false.sum()) for die in dies) > 20


def test_a_lost_connection_silences_what_lies_behind_it_and_a_false_one_wakes_it():
    net = Network.from_synapses(
        inputs=2, neurons=2, source=[0, 1], target=[0, 1], weight=[2.0, 2.0]
    )
    chip = Chip(1, 2, 1, 4, 4, 4)
    placement = place(net, chip)
    program = compile_program(net, chip, placement, route(net, chip, placement))
    first = np.zeros((1, 1, 2), bool)
    first[..., 0] = True
    deaf = sample_die(program, physics(stuck_lcs=1.0, stuck_hcs=0.0), effects=["stuck"])
    assert deaf.lost.tolist()[:2] == [1, 1]
    deaf = replace(deaf, program=deaf.program._replace(weight=program.weight[deaf.origin]))
    assert simulate(deaf, first).counts[0, 2:].tolist() == [0, 0]
    loud = sample_die(program, physics(stuck_lcs=0.0, stuck_hcs=1.0), effects=["stuck"])
    assert loud.false[0] > 0
    loud = replace(loud, program=loud.program._replace(weight=program.weight[loud.origin]))
    assert simulate(loud, first).counts[0, 2:].tolist() == [1, 1]


def test_coincident_rows_invent_a_spike_from_the_number_that_the_closed_form_gives():
    # Inputs 0 to m - 1 cross the routing tile where input 9 waits; none is connected to its line.
    from mosaic_sim.wires import false_spike_rows

    needed = false_spike_rows(4e-6, 26e-6)
    net = Network.from_synapses(
        inputs=10,
        neurons=2,
        source=np.arange(10),
        target=[0] * 9 + [1],
        weight=[0.1] * 9 + [2.0],
    )
    chip = Chip(1, 2, 1, 10, 10, 10)
    placement = replace(place(net, chip), port=np.zeros(10, np.int32))
    program = compile_program(net, chip, placement, route(net, chip, placement))
    die = sample_die(
        program, physics(router_threshold=26e-6), effects=["coincidence"], windows=1
    )
    assert needed == 7
    for m in range(10):
        spikes = np.zeros((1, 1, 10), bool)
        spikes[..., :m] = True
        assert simulate(die, spikes).counts[0, -1] == (m >= needed), m
    # Spread over many windows, the same spikes do not meet.
    apart = sample_die(
        program, physics(router_threshold=26e-6), effects=["coincidence"], windows=10_000
    )
    assert simulate(apart, spikes).counts[0, -1] == 0


# --- noise of reading ---


def test_read_noise_has_the_width_that_the_conductances_give():
    net = Network.from_synapses(
        inputs=3, neurons=50, source=np.repeat(np.arange(3), 50),
        target=np.tile(np.arange(50), 3), weight=np.tile([0.25, -0.5, 1.0], (50, 1)).T.ravel(),
        threshold=np.inf, leak=0.0,
    )  # fmt: skip
    chip = Chip(1, 1, 50, 4, 4, 50)
    placement = place(net, chip)
    program = compile_program(net, chip, placement, route(net, chip, placement))
    die = sample_die(program, physics(read_noise=0.05), effects=["reading"])
    spikes = np.ones((4, 500, 3), bool)
    noise = simulate(die, spikes, voltages=range(50)).voltages.astype(
        float
    ) - program.weight[program.offsets[:3]].sum(dtype=float)
    g = goals(program)[:: program.target.size // 3][:3]
    span = RRAM["synapse_highest"].value - RRAM["synapse_lowest"].value
    assert noise.std() == pytest.approx(0.05 * math.sqrt((g**2).sum()) / span, rel=0.01)
    assert abs(noise.mean()) < 4 * noise.std() / math.sqrt(noise.size)
    flat = noise.reshape(-1, 50)
    assert abs(np.corrcoef(flat[:-1, 0], flat[1:, 0])[0, 1]) < 0.1
    assert abs(np.corrcoef(flat[:, 0], flat[:, 1])[0, 1]) < 0.1


@given(builds(), st.integers(0, 99), st.sets(st.sampled_from(list(EFFECTS))), st.data())
@FEW
def test_any_number_of_threads_gives_the_same_bytes(build, seed, effects, data):
    die = sample_die(build.program, FAULTY, effects=effects, seed=seed, age=10.0, windows=2)
    spikes = data.draw(drives(build.network, samples=3))
    one, three = (simulate(die, spikes, raster=True, threads=n) for n in (1, 3))
    assert one.counts.tobytes() == three.counts.tobytes()
    assert one.raster.tobytes() == three.raster.tobytes()


# --- refusals ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"effects": ["sticky"]}, "effects has 'sticky'"),
        ({"effects": ["stuk"]}, "Did you mean 'stuck'"),
        ({"seed": -1}, "seed is -1; it needs an integer of at least 0"),
        ({"attempts": 0}, "attempts is 0; it needs an integer of at least 1"),
        ({"attempts": True}, "attempts is True"),
        ({"windows": 1.5}, "windows is 1.5"),
        ({"age": -1.0}, "age is -1.0; it needs seconds"),
        ({"age": math.inf}, "age is inf"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments, message):
    with pytest.raises(ConfigError, match=message):
        sample_die(WIDE, RRAM, **arguments)


def test_currents_cannot_coincide():
    die = sample_die(WIDE, RRAM, effects=["coincidence"], windows=1)
    for spikes in (np.full((1, 1, 200), 0.5), np.full((1, 1, 200), -1)):
        with pytest.raises(MosaicError, match="a line carries spikes only"):
            simulate(die, spikes)


def test_routing_tiles_too_large_for_memory_are_refused_with_the_numbers():
    net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=[1.0])
    chip = Chip(8, 8, 1, 1, 3000, 3000)
    placement = place(net, chip)
    program = compile_program(net, chip, placement, route(net, chip, placement))
    with pytest.raises(MosaicError, match=r"take 120\.\d GiB, more than 2"):
        sample_die(program, RRAM, effects=["coincidence"], windows=1)


# --- what a run on a die costs ---


def tiny():
    """Input 0 to neuron 0 on the other of two tiles; neuron 1 sits beside it and listens."""
    net = Network.from_synapses(
        inputs=1, neurons=2, source=[0, 1], target=[0, 1], weight=[2.0, 2.0], delay=[0, 1]
    )
    chip = Chip(1, 1, 2, 2, 2, 2)
    placement = place(net, chip)
    routing = route(net, chip, placement)
    return compile_program(net, chip, placement, routing, device=Device(2))


def test_a_die_is_billed_for_what_its_devices_conduct_by_hand():
    program = tiny()
    spikes = np.ones((1, 1, 1), bool)
    die = sample_die(program, RRAM, effects=["variation"], seed=4)
    run = simulate(die, spikes)
    assert run.counts.tolist() == [[1, 1, 0]]
    ideal, real = price(program, run, RRAM), price(die, run, RRAM)
    # Rows of the neuron tile: the line of the input, and the feedback of neuron 0. In both a
    # pair holds a synapse, in each 4 devices are read.
    where = layout(program)
    low, high = RRAM["synapse_lowest"].value, RRAM["synapse_highest"].value
    factor = RRAM["device_variation"].value
    beyond = 0.0
    for k, row in enumerate(where.pair // where.columns):
        for column in range(4):
            number = row * where.columns + column
            goal = high if number == where.pair[k] else low
            beyond += goal * factor * plain_die.draw(4, 0, int(number))[0]
    read = RRAM["read_voltage"].value ** 2 * RRAM["read_pulse"].value
    assert real.energy - ideal.energy == pytest.approx(read * beyond, rel=1e-4)


@given(
    builds(device=Device(4)),
    st.integers(0, 2**40),
    st.sets(st.sampled_from(list(EFFECTS))),
    st.data(),
)
@FEW
def test_the_bill_of_a_die_adds_up_over_tiles_kinds_and_causes(build, seed, effects, data):
    die = sample_die(
        build.program, FAULTY, effects=effects, seed=seed, age=9.0, windows=1, attempts=2
    )
    recording = simulate(die, data.draw(drives(build.network)))
    report = price(die, recording, FAULTY)
    total = {row.event: row.count for row in report.rows}
    by_cell = report.counts.sum(0)
    names = event_names(build.program.levels)
    assert {n: int(c) for n, c in zip(names, by_cell, strict=True) if c} == total
    groups = {"all": np.arange(build.program.neurons)}
    caused = sum(report.counts_by_group(groups).values())
    np.testing.assert_array_equal(caused, by_cell)
    assert report.by_tile().sum() == pytest.approx(report.energy)
    if not effects - {"mismatch", "reading"}:
        assert report.energy == price(build.program, recording, FAULTY).energy


@given(builds(device=Device(4)), st.integers(0, 2**40), st.data())
@FEW
def test_rows_that_should_rest_are_billed(build, seed, data):
    # Without random conductances, the bill follows from the rows that the plain twin drove.
    quiet = physics(router_threshold=9e-6)  # three coincident rows invent a spike
    die = sample_die(build.program, quiet, effects=["coincidence"], seed=seed, windows=1)
    spikes = data.draw(drives(build.network))
    report = price(die, simulate(die, spikes), quiet)
    _, driven = plain_die.simulate(
        build.network, build.chip, build.placement, build.routing, die, spikes, True
    )
    chip = build.chip
    lines = {"R0": chip.r0_lines, "R1": chip.r1_lines}
    compared = sum(
        4 * lines[chip.kinds[cell]] * n
        for (cell, _, _), n in driven.items()
        if chip.kinds[cell] != "NT"
    )
    read = sum(n for (cell, _, _), n in driven.items() if chip.kinds[cell] == "NT")
    found = {row.event: row.count for row in report.rows}
    # An input that nobody reads ends at its port; its row there is not counted as read.
    unread = sum(
        int(n) * 4 * chip.r1_lines
        for i, n in enumerate(report.spikes[: build.program.first_neuron])
        if build.program.link_offsets[i] == build.program.link_offsets[i + 1]
    )
    assert found.get("router column compared", 0) == compared - unread
    devices_read = sum(n for event, n in found.items() if event.startswith("device read"))
    assert devices_read == 2 * chip.neurons_per_tile * read


@given(builds(device=Device(4)), st.integers(0, 2**40), st.booleans(), st.data())
@FEW
def test_rows_are_billed_for_what_they_conduct_wherever_spikes_go(
    build, seed, coincidence, data
):
    # Lost and false connections, and with coincidence what spikes invent together.
    die, chip = faulty(build, seed, coincidence=coincidence), build.chip
    spikes = data.draw(drives(build.network))
    recording = simulate(die, spikes)
    report = price(die, recording, FAULTY)
    parts = (build.network, chip, build.placement, build.routing, die)
    _, driven = plain_die.simulate(*parts, spikes, coincidence)
    plain = plain_die.PlainChip(*parts)
    program = die.written if coincidence else die.program
    links = np.diff(program.link_offsets) + np.diff(die.nominal.link_offsets)
    siemens, columns, read = 0.0, 0, 0
    for row, times in driven.items():
        kind = chip.kinds[row[0]]
        if kind == "NT":
            read += times
            continue
        # An input that nobody reads ends at its port; its row there is not billed.
        mute = sum(
            int(n)
            for i, n in enumerate(recording.total[: program.first_neuron])
            if not links[i] and row in plain.starts[i]
        )
        out = [(side, line) for side in range(4) for line in range(plain.lines[kind])]
        siemens += (times - mute) * sum(plain.conductance(row, o) for o in out)
        columns += (times - mute) * len(out)
    found = {row.event: row.count for row in report.rows}
    hcs, lcs = FAULTY["router_hcs"].value, FAULTY["router_lcs"].value
    ours = hcs * found.get("router HCS read", 0)
    ours += lcs * found.get("router LCS read", 0)
    ours += 1e-12 * found.get("router conductance beyond its states [pS]", 0)
    assert ours == pytest.approx(siemens, abs=0.6e-12 * max(columns, 1))
    assert found.get("router column compared", 0) == columns
    devices_read = sum(n for event, n in found.items() if event.startswith("device read"))
    assert devices_read == 2 * chip.neurons_per_tile * read


@given(builds(), st.integers(0, 2**40), st.data())
@FEW
def test_a_die_has_the_devices_and_the_leakage_of_its_program(build, seed, data):
    die = faulty(build, seed, coincidence=False)
    recording = simulate(die, data.draw(drives(build.network)))
    real, ideal = (price(p, recording, FAULTY) for p in (die, build.program))
    assert real.devices == ideal.devices
    assert real.area == ideal.area
    assert real.by_component()["static"] == ideal.by_component()["static"]


def test_a_die_is_billed_under_its_own_technology_and_from_its_own_run():
    program = tiny()
    die = sample_die(program, RRAM, effects=["coincidence"])
    spikes = np.ones((1, 1, 1), bool)
    with pytest.raises(MosaicError, match="the die was sampled with 'rram-130nm'"):
        price(die, simulate(die, spikes), technology_preset("rram-22nm"))
    with pytest.raises(MosaicError, match="recording has no rows"):
        price(die, simulate(program, spikes), RRAM)
