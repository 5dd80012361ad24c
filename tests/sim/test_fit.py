"""The smallest chip: nothing smaller is legal, and the front is what no candidate beats."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import FEW, build, builds, chain, drives, networks

from mosaic_sim import (
    CapacityError,
    Chip,
    Fit,
    MosaicError,
    Network,
    RoutingError,
    compile_program,
    fit,
    place,
    price,
    route,
    simulate,
    technology_preset,
)
from mosaic_sim.fit import _roomy, _sizes, energy_of_rates, least_lines
from mosaic_sim.place import check_placement, hop_cost
from mosaic_sim.route import check_routing

PAPER = technology_preset("rram-130nm")


def random_network(seed, inputs=3, neurons=8, share=0.25):
    rng = np.random.default_rng(seed)
    source, target = np.nonzero(rng.random((inputs + neurons, neurons)) < share)
    return Network.from_synapses(
        inputs=inputs, neurons=neurons, source=source, target=target, weight=1.0, delay=1
    )


def total(chip):
    """Devices by the words of `Chip.devices`, written anew."""
    n, m, k = chip.rows, chip.columns, chip.neurons_per_tile
    corners, between = (n + 1) * (m + 1), n * (m + 1) + m * (n + 1)
    return (
        n * m * (4 * chip.tile_lines + k) * 2 * k
        + corners * 16 * chip.r0_lines**2
        + between * 16 * chip.r1_lines**2
    )


def legal(network, chip, placement):
    try:
        route(network, chip, placement)
    except CapacityError:
        return False
    return True


# --- the smallest ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_no_chip_of_a_box_with_fewer_devices_is_legal(seed):
    network = random_network(seed)
    found = fit(network, tile_sizes=(1, 2, 3, 4, 8))
    assert all(candidate.complete for candidate in found.candidates)
    assert not found.refused
    best = found.best.devices
    for size in (1, 2, 3, 4, 8):
        mine = [c for c in found.candidates if c.chip.neurons_per_tile == size]
        placement, shape = mine[0].placement, mine[0].chip
        least = min(c.devices for c in mine)
        for into, r0, r1 in itertools.product(range(1, 6), range(1, 6), range(1, 9)):
            if r1 < size:
                continue
            chip = replace(shape, tile_lines=into, r0_lines=r0, r1_lines=r1)
            if total(chip) < max(least, best):
                assert not legal(network, chip, placement) or total(chip) >= least
    assert best == min(c.devices for c in found.candidates) == total(found.chip)


# Differently dear kinds of tile: one tile of many neurons, many of few. In the examples one
# kind of tile after the other does not lead to the fewest.
@given(
    st.lists(st.tuples(*[st.integers(1, 7)] * 3), min_size=1, max_size=6),
    st.sampled_from([(1, 1, 8), (1, 2, 4), (2, 2, 3), (3, 1, 3)]),
)
@example([(7, 1, 1), (2, 2, 2)], (1, 1, 8))
@example([(3, 5, 2), (1, 1, 7), (5, 3, 6), (1, 3, 6), (7, 4, 3)], (2, 2, 3))
def test_the_search_finds_the_fewest_devices_whatever_is_legal(corners, tiles):
    """Against all combinations, with a router that obeys a rule that was drawn."""
    network = random_network(0)
    roomy = Chip(*tiles, 8, 8, 8)
    placement = place(network, replace(roomy, tile_lines=11, r0_lines=11, r1_lines=11))
    routing = route(network, replace(roomy, r0_lines=11, r1_lines=11), placement)

    def allowed(chip):
        # A link has no more lines than the R1 at one of its ends.
        lines = chip.tile_lines, chip.r0_lines, chip.r1_lines
        lines = [min(x, chip.r1_lines) for x in lines]
        return any(all(a >= b for a, b in zip(lines, c, strict=True)) for c in corners)

    def obeys(_network, chip, _placement, **_rest):
        if not allowed(chip):
            raise RoutingError("against the rule")
        return routing

    with pytest.MonkeyPatch.context() as patch:
        module = sys.modules["mosaic_sim.fit"]
        patch.setattr(module, "route", obeys)
        patch.setattr(module, "_bounds", lambda *_: (1, 1, tiles[2]))
        found, complete = least_lines(network, roomy, placement)
    assert complete
    every = itertools.product(range(1, 9), range(1, 9), range(tiles[2], 9))
    chips = [replace(roomy, tile_lines=t, r0_lines=r, r1_lines=s) for t, r, s in every]
    assert total(next(iter(found))) == min(total(c) for c in chips if allowed(c))
    assert all(map(allowed, found))


def test_equal_energy_with_more_devices_is_not_on_the_front():
    one = fit(random_network(0), tile_sizes=[4]).best
    points = [(5, 3.0), (5, 3.5), (6, 3.0), (7, 2.999), (8, 1.0), (9, 1.0), (10, 4.0)]
    candidates = tuple(replace(one, devices=d, energy=e) for d, e in points)
    front = [(c.devices, c.energy) for c in Fit(candidates, {}, PAPER).front]
    assert front == [(5, 3.0), (7, 2.999), (8, 1.0)]


@FEW
@given(networks())
def test_every_candidate_holds_the_network(network):
    found = fit(network, tile_sizes=(1, 2, 4))
    for one in found.candidates:
        check_placement(network, one.chip, one.placement)
        check_routing(network, one.chip, one.placement, one.routing)
        assert one.devices == total(one.chip) == sum(one.chip.devices.values())
        assert one.hops == hop_cost(network, one.chip, one.placement)
        assert one.chip.neurons >= network.neurons


@FEW
@given(networks())
def test_the_front_is_what_no_candidate_beats_and_all_of_it(network):
    found = fit(network, tile_sizes=(1, 2, 3, 4))

    def beaten(one):
        return any(
            (other.devices <= one.devices and other.energy <= one.energy)
            and (other.devices, other.energy) != (one.devices, one.energy)
            for other in found.candidates
        )

    front = {(c.devices, c.energy) for c in found.front}
    assert front == {(c.devices, c.energy) for c in found.candidates if not beaten(c)}
    assert len(front) == len(found.front)
    assert found.front[0] is found.best
    devices = [c.devices for c in found.candidates]
    assert devices == sorted(devices)


@pytest.mark.parametrize("seed", range(3))
def test_a_longer_search_for_lines_finds_no_more_devices(seed):
    network = random_network(seed, neurons=12, share=0.3)
    roomy = Chip(2, 2, 3, *[network.sources] * 3)
    placement = place(network, roomy)
    quick, _ = least_lines(network, roomy, placement, routings=0)
    found, complete = least_lines(network, roomy, placement, routings=10_000)
    assert complete
    assert total(next(iter(found))) <= total(next(iter(quick)))
    assert next(map(total, found)) == min(map(total, found))


def test_a_search_cut_short_says_so():
    network = random_network(1, neurons=12, share=0.3)
    assert not all(
        c.complete
        for c in fit(network, tile_sizes=[3], effort=0, placer="in order").candidates
    )


# --- prices ------------------------------------------------------------------------------


@FEW
@given(builds(), st.data())
def test_the_energy_is_what_a_run_with_these_spikes_is_billed(built, data):
    spikes = data.draw(drives(built.network))
    run = simulate(built.program, spikes)
    report = price(built.program, run, PAPER)
    rates = run.total / run.samples
    energy = energy_of_rates(built.program, rates, run.steps, PAPER)
    assert energy == pytest.approx(report.energy_per_inference, rel=1e-12)


def test_a_recording_brings_its_rates_and_steps():
    network = random_network(3)
    built = build(network)
    run = simulate(built.program, np.ones((2, 5, network.inputs)))
    from_run = fit(network, rates=run, tile_sizes=[2, 4])
    by_hand = fit(network, rates=run.total / 2, steps=5, tile_sizes=[2, 4])
    assert str(from_run) == str(by_hand)
    best = from_run.best
    program = compile_program(network, best.chip, best.placement, best.routing)
    assert best.energy == energy_of_rates(program, run.total / 2, 5, PAPER)
    assert best.area == price(program, run, PAPER).area.total
    cheaper = fit(
        network, rates=run, tile_sizes=[2, 4], technology=technology_preset("rram-22nm")
    )
    assert cheaper.best.energy != best.energy
    assert cheaper.technology.name == "rram-22nm"


# --- arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("neurons", "sizes"),
    [(5, [5]), (8, [8]), (20, [8, 16, 20]), (300, [8, 16, 32, 64, 128, 256])],
)
def test_sizes_of_tile_are_powers_of_two_and_all_neurons_on_one(neurons, sizes):
    assert _sizes(chain(neurons=neurons), None) == sizes


@pytest.mark.parametrize(
    ("tiles", "aspect", "shape"),
    [
        (1, 1, (1, 1)),
        (12, 1, (3, 4)),
        (13, 1, (3, 5)),
        (32, 1, (4, 8)),
        (5, 1, (2, 3)),
        (18, 2, (3, 6)),
        (8, 8, (1, 8)),
        (8, 1 / 8, (8, 1)),
    ],
)
def test_tiles_lie_near_the_aspect(tiles, aspect, shape):
    chip = _roomy(chain(neurons=tiles), 1, aspect, 0.0)
    assert (chip.rows, chip.columns) in (shape, shape[::-1] if aspect == 1 else shape)
    assert chip.neurons >= tiles


def test_spare_slots_are_room_to_grow():
    network = random_network(2, neurons=24)
    assert fit(network, tile_sizes=[4]).chip.neurons == 24
    assert fit(network, tile_sizes=[4], spare=0.5).chip.neurons == 36


@settings(max_examples=20)
@given(networks())
def test_the_same_seed_gives_the_same_table(network):
    one, two = (fit(network, tile_sizes=[2, 3], seed=4) for _ in range(2))
    assert str(one) == str(two)
    for a, b in zip(one.candidates, two.candidates, strict=True):
        assert a.routing.line.tobytes() == b.routing.line.tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile_sizes": []}, r"tile_sizes is \[\]; it needs one or more"),
        ({"tile_sizes": [0]}, r"tile_sizes is \[0\]"),
        ({"tile_sizes": [2.0]}, r"tile_sizes is \[2.0\]"),
        ({"aspect": 0}, "aspect is 0; it needs a finite number of at least"),
        ({"spare": -0.1}, "spare is -0.1"),
        ({"effort": float("nan")}, "effort is nan"),
        ({"steps": -1}, "steps is -1; it needs a whole number"),
        ({"steps": 1.5}, "steps is 1.5"),
        ({"rates": [1.0]}, "rates needs one finite number"),
        ({"placer": "hilbrt"}, "Unknown placer 'hilbrt'"),
        ({"router": "combe"}, "Unknown router 'combe'"),
    ],
)
def test_an_argument_out_of_range_is_refused_by_name(arguments, message):
    with pytest.raises(MosaicError, match=message):
        fit(chain(neurons=3), **arguments)


def test_a_size_for_which_nothing_is_found_is_left_out_with_the_reason():
    def picky(network, chip, **rest):
        if chip.neurons_per_tile == 2:
            raise CapacityError("no twos today")
        return place.__globals__["in_order"](network, chip, **rest)

    found = fit(chain(neurons=4), tile_sizes=[2, 4], placer=picky)
    assert found.refused == {2: "no twos today"}
    assert "2 neurons a tile: no twos today" in str(found)
    assert {c.chip.neurons_per_tile for c in found.candidates} == {4}
    with pytest.raises(
        CapacityError, match=r"No chip was found.* 2 neurons a tile: no twos"
    ):
        fit(chain(neurons=4), tile_sizes=[2], placer=picky)


def test_a_search_that_is_interrupted_returns_the_sizes_that_are_done():
    def slow(network, chip, **rest):
        if chip.neurons_per_tile == 4:
            raise KeyboardInterrupt
        return place.__globals__["in_order"](network, chip, **rest)

    found = fit(chain(neurons=8), tile_sizes=[2, 4, 8], placer=slow)
    assert {c.chip.neurons_per_tile for c in found.candidates} == {2}
    assert found.refused == {4: "interrupted", 8: "interrupted"}
    with pytest.raises(KeyboardInterrupt):
        fit(chain(neurons=8), tile_sizes=[4, 2], placer=slow)


def test_the_table_marks_the_front():
    found = fit(random_network(0), tile_sizes=[2, 4, 8])
    lines = str(found).splitlines()
    assert lines[0].split()[:4] == ["tiles", "neurons", "a", "tile"]
    stars = [line.startswith("*") for line in lines[1:]]
    assert stars == [c in found.front for c in found.candidates]
    assert f"{found.best.devices:,}" in lines[1]
