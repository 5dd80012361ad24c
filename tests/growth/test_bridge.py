import io
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, target
from hypothesis import strategies as st
from tiny import raster_of, torch_raster

from growth.bridge import (
    MosaicHost,
    bill,
    load_routing,
    make_chip,
    make_host,
    make_technology,
    network_of,
    save_routing,
)
from growth.config import ChipConfig
from growth.encode import regular_rate
from growth.host import Offer, Unlimited
from growth.model import SpikingNet
from growth.strategies import STRATEGIES
from mosaic_sim import (
    CapacityError,
    Chip,
    Device,
    MosaicError,
    Network,
    compile_program,
    place,
    price,
    route,
    simulate,
    technology_preset,
)
from mosaic_sim.image import devices
from mosaic_sim.place import arrivals

INPUTS, STEPS = 6, 7
NOTHING = np.zeros(INPUTS + 1, bool)
CHIP = Chip(2, 3, neurons_per_tile=10, tile_lines=16, r0_lines=16, r1_lines=16)
TECHNOLOGY = technology_preset("rram-130nm")


def new_host(chip=CHIP):
    return MosaicHost(chip, TECHNOLOGY, Device(levels=8), 1e6)


class Growing:
    """A model with dyadic weights that grows on a host, one step after the other."""

    def __init__(self, seed=0, host=None):
        self.host, self.rng = host or new_host(), np.random.default_rng(seed)
        self.model = SpikingNet(INPUTS, leak=0.5)

    def weights(self, *shape):
        # 16ths with a leak of 1/2: seven steps are exact in float32, in any order.
        return torch.from_numpy(self.rng.integers(-14, 18, shape).astype(np.float32) / 16)

    def open(self, classes, tile):
        self.host.claim(len(self.model.experts), tile, "out", len(classes), NOTHING)
        return self.model.add_expert(classes)

    def widen(self, expert, count, tile, reads=None):
        reads = np.ones(INPUTS, bool) if reads is None else reads
        number = self.model.experts.index(expert)
        self.host.claim(number, tile, "hidden", count, np.append(reads, False))
        mask = torch.from_numpy(reads)
        self.model.widen(
            expert, self.weights(count, INPUTS) * mask,
            self.weights(len(expert.classes), count), mask,
        )  # fmt: skip

    def gates(self, expert, count, tile=None):
        number = self.model.experts.index(expert)
        tile = self.host.home[number]["out"][0] if tile is None else tile
        self.host.claim(number, tile, "gate", count, ~NOTHING)
        self.model.add_gates(expert, self.weights(count, INPUTS), self.weights(count))

    def interleaved(self):
        """Two experts, each widened after the other was born."""
        one, two = self.open([0, 1], tile=4), self.open([2, 3, 4], tile=0)
        self.widen(two, 3, tile=0)
        self.widen(one, 2, tile=4)
        self.gates(two, 2)
        self.widen(one, 2, tile=1)
        self.widen(two, 2, tile=1)
        self.gates(one, 2)
        return one, two


def drive(seed=0, samples=3):
    return np.random.default_rng(seed).random((samples, STEPS, INPUTS)) < 0.6


def image(program):
    return dict(zip(*(a.tolist() for a in devices(program)), strict=True))


def links(deployment):
    """Every line in use, its source by a name that does not depend on the bias line."""
    network, routing = deployment.network, deployment.routing
    names = [f"input {k}" for k in range(network.inputs)] + ["bias"] * network.bias
    names += [f"neuron {k}" for k in range(network.neurons)]
    used = zip(routing.source, routing.cell, routing.side, routing.line, strict=True)
    return {(names[source], *map(int, where)) for source, *where in used}


# --- the same spikes ---------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 9999))
def test_the_chip_spikes_as_snntorch_does_spike_for_spike_on_dyadic_weights(seed):
    growing = Growing(seed)
    growing.interleaved()
    spikes = drive(seed)
    on_chip = growing.host.deploy(growing.model.blueprint()).raster(spikes)
    expected = raster_of(growing.model, spikes)
    target(float(expected.sum()))
    assert (on_chip == expected).all()


def test_the_busy_case_really_spikes_and_snntorch_itself_agrees():
    growing = Growing(7)
    one, two = growing.interleaved()
    spikes = drive(7, samples=20)
    on_chip = growing.host.deploy(growing.model.blueprint()).raster(spikes)
    assert (on_chip == torch_raster(growing.model.blueprint(), spikes)).all()
    for expert in (one, two):
        for born in expert.births.values():
            assert 0.05 < on_chip[..., born].mean() < 0.95


@pytest.mark.parametrize("name", ["naive", "grow", "joint"])
def test_trained_networks_spike_alike_in_at_least_999_of_1000(name, runs, stream):
    run = runs[name]
    saved = torch.load(run.seed(0).path / "checkpoint.pt", weights_only=True)
    learner = STRATEGIES[name](run.experiment, stream, Unlimited(), 0)
    learner.load_state(saved["strategy"])
    host = make_host(run.experiment)
    host.load_state(saved["host"], learner.blueprint())
    spikes = regular_rate(stream.tasks[0].test_inputs, 8)
    in_torch, on_chip = torch_raster(learner.blueprint(), spikes), host.last.raster(spikes)
    assert in_torch.sum() > 1000
    assert (in_torch != on_chip).sum() <= in_torch.sum() / 1000
    record = run.seed(0).lines("metrics")[-1]
    assert record["spikes_differing"] <= record["spikes_snntorch"] / 1000
    assert record["predictions_differing"] <= record["predictions"] / 1000


def test_neurons_are_numbered_by_birth_whatever_expert_they_belong_to():
    growing = Growing()
    one, two = growing.interleaved()
    network = network_of(growing.model.blueprint())
    assert network.neurons == growing.model.neurons
    weight = {
        (int(s), int(t)): float(w)
        for s, t, w in zip(network.source, network.target, network.weight, strict=True)
    }
    first, bias = network.first_neuron, network.inputs
    expected = {}
    for expert in (one, two):
        hidden, out, gate = (expert.births[kind] for kind in ("hidden", "out", "gate"))
        for (post, pre), w in np.ndenumerate(expert.into_hidden.detach().numpy()):
            expected[pre, hidden[post]] = w
        for (post, pre), w in np.ndenumerate(expert.into_out.detach().numpy()):
            expected[first + hidden[pre], out[post]] = w
        for (post, pre), w in np.ndenumerate(expert.gate_weight.numpy()):
            expected[pre, gate[post]] = w
        for post, w in enumerate(expert.gate_bias.numpy()):
            expected[bias, gate[post]] = w
    # A prototype without a pixel needs no device for it; a neuron that learns does.
    gates = {g for e in (one, two) for g in e.births["gate"]}
    assert weight == {k: w for k, w in expected.items() if w or k[1] not in gates}


# --- growth leaves alone what is there ---------------------------------------------------


def test_what_is_on_the_chip_stays_where_it_is_when_the_network_grows():
    growing = Growing()
    one = growing.open([0, 1], tile=4)
    growing.widen(one, 4, tile=4)
    growing.gates(one, 2)
    one.freeze()
    before = growing.host.deploy(growing.model.blueprint())
    two = growing.open([2, 3, 4], tile=1)
    growing.widen(two, 3, tile=1)
    growing.gates(two, 2)
    after = growing.host.deploy(growing.model.blueprint())
    growing.widen(two, 2, tile=1)
    last = growing.host.deploy(growing.model.blueprint())
    for old, new in ((before, after), (after, last), (before, last)):
        n = old.network.neurons
        assert n < new.network.neurons
        for name in ("tile", "slot", "port"):
            kept = getattr(old.placement, name)
            assert np.array_equal(getattr(new.placement, name)[: kept.size], kept)
        assert links(old) <= links(new)
    assert links(before) < links(after)
    # Devices of the frozen expert: numbers and levels; of the one that grew: numbers.
    assert image(before.program).items() < image(after.program).items()
    assert image(before.program).items() < image(last.program).items()
    assert image(after.program).keys() < image(last.program).keys()
    # And its spikes, levels and all.
    spikes = drive()
    counts = [
        d.run(spikes).counts[:, d.network.first_neuron :][:, : before.network.neurons]
        for d in (before, last)
    ]
    assert counts[0].any()
    assert np.array_equal(*counts)


def test_a_bias_line_that_comes_later_moves_no_line():
    growing = Growing()
    one = growing.open([0, 1], tile=4)
    growing.widen(one, 3, tile=4)
    before = growing.host.deploy(growing.model.blueprint())
    assert not before.network.bias
    growing.gates(one, 2)
    after = growing.host.deploy(growing.model.blueprint())
    assert after.network.bias
    assert links(before) < links(after)
    assert np.array_equal(after.placement.tile[:5], before.placement.tile)


def test_writes_are_the_devices_whose_level_changed():
    growing = Growing()
    images = [{}]
    for step in (
        lambda: growing.interleaved(), lambda: growing.widen(growing.model.experts[0], 1, 4),
        lambda: None,
    ):  # fmt: skip
        step()
        deployed = growing.host.deploy(growing.model.blueprint())
        images.append(image(deployed.program))
        old, new = images[-2:]
        changed = sum(old.get(d, 0) != new.get(d, 0) for d in old.keys() | new.keys())
        assert deployed.writes == changed
    assert deployed.writes == 0  # nothing new, nothing written


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(1, 3)), max_size=8
    ),
    st.booleans(),
)
def test_experts_sit_on_the_tiles_that_they_claimed(story, deploy_in_between):
    growing = Growing(host=new_host(Chip(2, 3, 30, 32, 32, 32)))
    for number in range(3):
        growing.open([2 * number, 2 * number + 1], tile=2 * number)
        growing.widen(growing.model.experts[number], 1, tile=2 * number)
        growing.gates(growing.model.experts[number], 2)
    if deploy_in_between:
        growing.host.deploy(growing.model.blueprint())
    for number, tile, count in story:
        growing.widen(growing.model.experts[number], count, tile)
    tile = growing.host.deploy(growing.model.blueprint()).placement.tile
    for number, expert in enumerate(growing.model.experts):
        mine = [n for born in expert.births.values() for n in born]
        claimed = Counter({2 * number: 5})
        for who, where, count in story:
            claimed[where] += count * (who == number)
        assert Counter(tile[mine].tolist()) == +claimed
        assert set(tile[expert.births["out"] + expert.births["gate"]]) == {2 * number}


def test_a_network_that_does_not_fit_is_refused():
    growing = Growing(host=new_host(Chip(1, 1, 4, 4, 4, 4)))
    one = growing.model.add_expert([0, 1])
    growing.model.widen(one, growing.weights(3, INPUTS), growing.weights(2, 3))
    with pytest.raises(
        CapacityError, match="5 neurons do not fit on 1 x 1 tiles of 4: 1 too many"
    ):
        growing.host.deploy(growing.model.blueprint())


# --- room and prices ---------------------------------------------------------------------


def offered(host, rates, expert=None, fires=2.0):
    rates = np.append(np.asarray(rates, float), 7.0)
    return {offer.tile: offer for offer in host.offers(rates, expert, fires)}


def reads(*lines):
    mask = NOTHING.copy()
    mask[list(lines)] = True
    return mask


def slots(host, expert=None):
    return {tile: offer.slots for tile, offer in offered(host, np.ones(6), expert).items()}


def test_claims_take_slots_and_a_new_expert_may_share_a_tile():
    host = new_host()
    assert slots(host) == dict.fromkeys(range(6), 10)
    host.claim(0, 2, "out", 2, NOTHING)
    host.claim(0, 2, "gate", 5, reads(0, -1))
    left = dict.fromkeys([0, 1, 3, 4, 5], 10) | {2: 3}
    assert slots(host) == slots(host, expert=0) == left
    host.claim(0, 2, "hidden", 3, reads(1))
    host.claim(0, 5, "hidden", 1, reads(1))
    left = dict.fromkeys([0, 1, 3, 4], 10) | {5: 9}
    assert slots(host) == slots(host, expert=0) == left
    for tile in (0, 1, 3, 4):
        host.claim(1 + tile, tile, "out", 10, NOTHING)
    assert slots(host) == {5: 9}


def test_lines_that_another_expert_brought_are_there_for_a_new_one():
    host = new_host()
    host.claim(0, 2, "out", 2, NOTHING)
    host.claim(0, 2, "gate", 5, reads(0, 3, -1))
    offers = offered(host, np.ones(6))
    assert np.array_equal(offers[2].there, reads(0, 3, -1))
    assert offers[2].bring[0, 1] == offers[2].bring[3, 1] == 0
    assert not offers[5].there.any()
    assert offers[5].bring[0, 1] > 0


def test_lines_are_free_until_a_source_that_is_not_there_yet_arrives():
    host = new_host(replace(CHIP, tile_lines=2))  # 8 lines arrive at each tile
    assert {offer.lines for offer in offered(host, np.ones(6)).values()} == {8}
    host.claim(0, 2, "out", 2, NOTHING)
    host.claim(0, 2, "gate", 3, reads(0, 3, -1))
    host.claim(0, 2, "hidden", 2, reads(3, 4))
    own = offered(host, np.ones(6), expert=0)[2]
    assert own.lines == 4
    assert np.array_equal(own.there, reads(0, 3, 4, -1))
    assert own.sends > 10**6
    other = offered(host, np.ones(6), expert=0)[5]
    assert (other.lines, other.sends) == (8, 4)
    assert not other.there.any()
    host.claim(0, 5, "hidden", 3, reads(0))  # each needs a line to the outputs
    assert offered(host, np.ones(6), expert=0)[2].lines == 1
    assert {o.sends for t, o in offered(host, np.ones(6), expert=0).items() if t != 2} == {
        1
    }


def test_an_output_elsewhere_has_to_hear_the_hidden_neurons_that_are_there():
    host = new_host()
    host.claim(0, 2, "out", 2, NOTHING)
    host.claim(0, 2, "hidden", 2, NOTHING)
    host.claim(0, 5, "hidden", 3, NOTHING)
    assert host.heard == {2: 3}
    host.claim(0, 2, "out", 1, NOTHING)  # beside the others: their lines are there
    assert host.heard == {2: 3}
    host.claim(0, 5, "out", 1, NOTHING)
    assert host.heard == {2: 3, 5: 2}
    host.claim(0, 5, "out", 1, NOTHING)
    assert host.heard == {2: 3, 5: 2}
    host.claim(0, 4, "hidden", 1, NOTHING)  # both tiles of outputs hear a new one
    assert host.heard == {2: 4, 5: 3}


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (
            (0, 2, "hidden", 1, reads(0, 1, 2)),
            "9 lines cannot arrive at tile 2, which has 8",
        ),
        ((0, 4, "hidden", 1, reads(0)), "9 lines cannot arrive at tile 2"),
        ((0, 2, "hidden", 9, NOTHING), "11 neurons do not fit on tile 2 of 10 slots"),
        ((0, 2, "soma", 1, NOTHING), "kind is 'soma'"),
    ],
)
def test_more_than_a_tile_has_cannot_be_claimed(claim, message):
    host = new_host(replace(CHIP, tile_lines=2))
    host.claim(0, 2, "out", 2, reads(1, 2, 3, 4, 5, -1))
    host.claim(0, 5, "hidden", 2, NOTHING)
    before = host.state()
    with pytest.raises(MosaicError, match=message):
        host.claim(*claim)
    assert host.state() == before


@settings(max_examples=10)
@given(st.integers(0, 9999))
def test_what_was_claimed_covers_what_arrives_when_it_is_on_the_chip(seed):
    rng = np.random.default_rng(seed)
    growing = Growing(seed)
    one, two = growing.open([0, 1], tile=4), growing.open([2, 3, 4], tile=0)
    for expert in (one, two, one, two, one):
        # Two slots stay free for the gates.
        open_ = [tile for tile in range(6) if growing.host.used.get(tile, 0) <= 6]
        growing.widen(expert, 2, int(rng.choice(open_)), rng.random(INPUTS) < 0.5)
    growing.gates(one, 2)
    deployed = growing.host.deploy(growing.model.blueprint())
    source, tile = arrivals(deployed.network, deployed.placement).T
    home = deployed.placement.tile[source - deployed.network.first_neuron]
    outside = (source < deployed.network.first_neuron) | (home != tile)
    lines = np.bincount(tile[outside], minlength=6)
    heard = np.array([growing.host.heard.get(t, 0) for t in range(6)])
    read = np.array([len(growing.host.reads.get(t, [])) for t in range(6)])
    assert (lines <= heard + read).all()
    for expert in growing.model.experts:
        for neuron, mask in zip(expert.births["hidden"], expert.mask, strict=True):
            synapses = deployed.network.target == neuron
            found = deployed.network.source[synapses]
            assert set(found.tolist()) <= set(np.flatnonzero(mask).tolist())


def test_a_line_that_is_there_is_free_and_elsewhere_it_costs():
    host = new_host()
    assert all((offer.bring > 0).all() for offer in offered(host, np.ones(6)).values())
    host.claim(0, 1, "out", 3, reads(2, -1))
    own = offered(host, np.ones(6), expert=0)[1]
    assert np.array_equal((own.bring == 0).all(1), reads(2, -1))
    silent = offered(host, np.zeros(6))[3].bring[:6]
    assert silent[:, 0] == pytest.approx(silent[:, 2] * write(host))  # nothing but writing


def write(host):
    return TECHNOLOGY["write_energy"].value / host.inferences


@pytest.mark.parametrize("tile", range(6))
def test_the_price_of_bringing_an_input_is_what_the_simulator_bills(tile):
    """One neuron with the least weight on the tile; one spike of the input that it reads."""
    network = Network.from_synapses(
        inputs=1, neurons=1, source=[0], target=[0], weight=[0.5]
    )
    placement = place(network, CHIP, within=[tile], placer="greedy")
    program = compile_program(network, CHIP, placement, route(network, CHIP, placement))
    report = price(program, simulate(program, np.ones((1, 1, 1)), threads=1), TECHNOLOGY)
    parts = {row.event: row.energy for row in report.rows}
    entering = TECHNOLOGY["line_energy"].value
    lowest = report.technology["synapse_lowest"].value
    row = 2 * CHIP.neurons_per_tile * lowest * 0.3**2 * 1e-6
    assert parts["device read, level 0"] == pytest.approx(
        row * (1 - 1 / (2 * CHIP.neurons_per_tile))
    )
    expected = report.by_component()["routing"] - entering + row
    host = new_host()
    offer = offered(host, [1.0])[tile]
    joules, built, written = offer.bring[0]
    assert joules - written * write(host) == pytest.approx(expected, rel=1e-9)
    assert built == written == sum(program.links)


@pytest.mark.parametrize("source", range(INPUTS))
def test_inputs_come_from_their_port_or_from_the_nearest_tile_that_reads_them(source):
    growing = Growing()
    one = growing.open([0, 1], tile=4)
    growing.widen(one, 3, tile=4)
    growing.gates(one, 2)  # read the bias line
    host = growing.host
    before = offered(new_host(), np.ones(6))
    port = tuple(
        CHIP.port_sites[
            host.deploy(growing.model.blueprint()).placement.port[source]
        ].tolist()
    )
    after = offered(host, np.ones(6))
    assert sorted(after) == [0, 1, 2, 3, 4, 5]
    for tile in after:
        here = CHIP.tile_position(tile)
        far, near = CHIP.hops(port, here), CHIP.hops(CHIP.tile_position(4), here)
        assert after[tile].bring[source, 1] == min(far, near)
        assert before[tile].bring[source, 1] == far
    one.freeze()


def test_the_way_to_the_outputs_is_paid_for_elsewhere_only():
    host = new_host()
    host.claim(0, 4, "out", 2, NOTHING)
    found = offered(host, np.ones(6), expert=0, fires=3.0)
    hop = offered(host, [1.0] * 6)[0].bring[0]
    for tile, offer in found.items():
        hops = CHIP.hops(CHIP.tile_position(4), CHIP.tile_position(tile))
        assert offer.distance == hops
        assert offer.send[1:].tolist() == [hops, hops]
        spike = (hop[0] - hop[2] * write(host) - host._row()) / hop[1]
        rows = 3.0 * host._row() * (tile != 4)
        assert offer.send[0] == pytest.approx(
            3.0 * hops * spike + rows + hops * write(host), abs=1e-18
        )


def test_the_price_of_a_synapse_is_its_reading_and_its_share_of_the_writing():
    t = {name: TECHNOLOGY[name].value for name in TECHNOLOGY.quantities}
    half = (t["synapse_highest"] - t["synapse_lowest"]) / 2
    spike = t["read_voltage"] ** 2 * t["read_pulse"] * half + t["sense_energy"]
    host = new_host()
    for inferences in (1e6, 1e3):
        host.inferences = inferences
        offer = offered(host, [3.0, 0.0, 5.0], fires=4.0)[0]
        share = t["write_energy"] / inferences
        assert offer.synapse[:, 0] == pytest.approx(np.array([3, 0, 5, 7]) * spike + share)
        assert offer.feed == pytest.approx([4 * spike + share, 2, 1])
        assert (offer.synapse[:, 1:] == [2, 1]).all()


def test_a_spike_of_a_neuron_costs_what_the_simulator_bills_if_nobody_listens():
    network = Network.from_synapses(
        inputs=1, neurons=1, source=[0], target=[0], weight=[2.0]
    )
    placement = place(network, CHIP, within=[0], placer="greedy")
    program = compile_program(network, CHIP, placement, route(network, CHIP, placement))
    report = price(program, simulate(program, np.ones((1, 1, 1)), threads=1), TECHNOLOGY)
    silent = replace(network, weight=np.float32([0.5]))
    other = compile_program(silent, CHIP, placement, route(silent, CHIP, placement))
    quiet = price(other, simulate(other, np.ones((1, 1, 1)), threads=1), TECHNOLOGY)
    parts, before = report.by_component(), quiet.by_component()
    more = sum(parts[name] - before[name] for name in ("routing", "neurons"))
    found = offered(new_host(), [1.0], fires=1.0)[0].neuron
    assert found == pytest.approx([more + new_host()._row(), 0, 0], rel=1e-9)


# --- what is stored ----------------------------------------------------------------------


def test_after_a_restart_the_host_goes_on_to_the_identical_program():
    growing = Growing()
    growing.interleaved()
    growing.host.deploy(growing.model.blueprint())
    file = io.BytesIO()
    torch.save(growing.host.state(), file)
    file.seek(0)
    again = new_host()
    again.load_state(torch.load(file, weights_only=True), growing.model.blueprint())
    for a, b in zip(again.last.program, growing.host.last.program, strict=True):
        assert np.array_equal(a, b)
    for expert in (None, 0, 1):
        one, two = (
            offered(again, np.ones(6), expert),
            offered(growing.host, np.ones(6), expert),
        )
        assert list(one) == list(two)
        for tile in one:
            for field in fields(Offer):
                a, b = (getattr(offers[tile], field.name) for offers in (one, two))
                assert np.array_equal(a, b)
    for tile in (1, 1, 5):
        growing.widen(growing.model.experts[0], 1, tile)
        again.claim(0, tile, "hidden", 1, ~reads(-1))
    one, two = (
        growing.host.deploy(growing.model.blueprint()),
        again.deploy(growing.model.blueprint()),
    )
    assert one.writes == two.writes > 0
    for a, b in zip(two.program, one.program, strict=True):
        assert np.array_equal(a, b)


def test_an_empty_host_has_a_state_too():
    again = new_host()
    again.load_state(new_host().state(), None)
    assert again.last is None
    assert len(offered(again, np.ones(6))) == 6


def test_a_routing_comes_back_from_its_file(tmp_path):
    growing = Growing()
    growing.interleaved()
    routing = growing.host.deploy(growing.model.blueprint()).routing
    save_routing(routing, tmp_path / "routing.npz")
    again = load_routing(tmp_path / "routing.npz")
    for name in ("offsets", "cell", "side", "line", "entry_line"):
        assert np.array_equal(getattr(again, name), getattr(routing, name))


def test_the_bill_adds_up():
    growing = Growing()
    growing.interleaved()
    deployed = growing.host.deploy(growing.model.blueprint())
    report = price(deployed.program, deployed.run(drive(samples=5)), TECHNOLOGY)
    found = bill(report, deployed.writes)
    total = sum(row["count"] * row["unit_price"] for row in found["rows"]) / 5
    assert found["energy_per_inference"] == pytest.approx(total)
    assert sum(found["by_component"].values()) == pytest.approx(total)
    hops = {row["event"]: row["count"] for row in found["rows"]}["hop"]
    assert found["hops_per_inference"] == hops / 5
    assert sum(found["devices"].values()) == devices(deployed.program)[0].size
    assert found["write_energy"] == pytest.approx(
        deployed.writes * TECHNOLOGY["write_energy"].value
    )
    assert found["technology"] == "rram-130nm"
    assert set(found["assumed"]) <= set(TECHNOLOGY.assumptions())


def test_free_tiles_are_those_without_a_neuron():
    growing = Growing()
    growing.interleaved()  # on tiles 0, 1 and 4
    assert growing.host.deploy(growing.model.blueprint()).free_tiles == 3


def test_broken_tiles_are_never_offered_and_are_not_free():
    growing = Growing()
    growing.host.chip = replace(CHIP, broken_tiles=(3, 5))
    assert sorted(offered(growing.host, np.ones(INPUTS))) == [0, 1, 2, 4]
    growing.interleaved()  # on tiles 0, 1 and 4
    assert growing.host.deploy(growing.model.blueprint()).free_tiles == 1


def test_inputs_come_from_the_ports_that_are_whole():
    host = new_host()
    host.chip = replace(CHIP, broken_routers=tuple(CHIP.port_cells[:5].tolist()))
    network = Network.from_synapses(
        inputs=1, neurons=1, source=[0], target=[0], weight=[0.5], bias=True
    )
    placement = place(network, host.chip, within=[0], placer="greedy")
    assert placement.port[0] == 5
    near = np.argmin(host.chip.port_hops[5])
    best = min(offered(host, [1.0]).values(), key=lambda offer: offer.bring[0, 0])
    assert best.tile == near


def test_a_chip_is_its_preset_with_what_is_set():
    chip = make_chip(ChipConfig(preset="shd", rows=2, tile_lines=40))
    assert (chip.rows, chip.columns, chip.neurons_per_tile, chip.tile_lines) == (
        2,
        8,
        32,
        40,
    )


def test_a_technology_has_a_name_or_a_file(tmp_path):
    import mosaic_sim

    assert make_technology("rram-22nm").name == "rram-22nm"
    preset = f"{mosaic_sim.__path__[0]}/technologies/rram-22nm.toml"
    file = tmp_path / "mine.toml"
    with open(preset) as text:  # noqa: PTH123
        file.write_text(text.read().replace("value = 0.2", "value = 0.4"))
    mine = make_technology(str(file))
    assert (mine.name, mine["read_voltage"].value) == ("mine", 0.4)
