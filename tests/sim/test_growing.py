"""New neurons between placed ones, against H computed anew and against all free slots."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st
from strategies import networks, placed, prefix, scattered, sixteenths
from test_place import assert_legal, lines_into_tiles

from mosaic_sim import CapacityError, Chip, MosaicError, Network, place, technology_preset
from mosaic_sim.place import (
    Growing,
    Search,
    defragment,
    grow,
    growing,
    hop_cost,
    insertion_costs,
    judge,
    moved,
    moving_price,
    seats,
)


def rated(network):
    return st.lists(
        sixteenths(0, 3), min_size=network.sources, max_size=network.sources
    ).map(np.array)


def at(placement, neuron, tile, slot):
    """The placement with one more neuron."""
    assert placement.tile.size == neuron
    return placed([*placement.tile, tile], [*placement.slot, slot], placement.port)


def tight(network, neurons, lines):
    """Return 2 x 3 tiles on which slots and lines run out."""
    return Chip(2, 3, neurons, lines, 99, 99)


@st.composite
def arrivals(draw):
    """A network of which one neuron is new, the chip, the others' placement, and rates."""
    network = draw(networks(neurons=9, synapses=40))
    old = prefix(network, network.neurons - 1)
    lines = draw(st.sampled_from([1, 1, 2, 9]))
    chip = tight(network, draw(st.integers(-(-network.neurons // 6), 4)), lines)
    keep = draw(scattered(old, chip))
    arriving = lines_into_tiles(old, keep).values()
    assume(all(count <= 4 * lines for count in arriving))
    return network, old, chip, keep, draw(rated(network))


def after_each_insertion(network, chip, keep):
    """Oracle: (tile, placement) for every tile that can hold the new neuron."""
    for tile in np.flatnonzero(keep.free_slots(chip) > 0).tolist():
        slot = min(set(range(chip.neurons_per_tile)) - set(keep.slot[keep.tile == tile]))
        grown = at(keep, network.neurons - 1, tile, slot)
        arriving = lines_into_tiles(network, grown).values()
        if all(count <= 4 * chip.tile_lines for count in arriving):
            yield tile, grown


@given(arrivals())
def test_the_cost_of_an_insertion_is_what_it_adds_to_the_hop_cost(case):
    network, old, chip, keep, rates = case
    before = hop_cost(old, chip, keep, rates[:-1])
    expected = np.full(chip.tiles, np.inf)
    for tile, grown in after_each_insertion(network, chip, keep):
        expected[tile] = hop_cost(network, chip, grown, rates) - before
    assert insertion_costs(network, chip, keep, rates=rates).tolist() == expected.tolist()


@given(arrivals())
def test_a_new_neuron_takes_the_best_of_all_free_slots(case):
    network, _, chip, keep, rates = case
    costs = [
        hop_cost(network, chip, grown, rates)
        for _, grown in after_each_insertion(network, chip, keep)
    ]
    if not costs:
        with pytest.raises(CapacityError, match=r"to neuron|listens to"):
            place(network, chip, keep=keep, rates=rates)
        return
    grown = place(network, chip, keep=keep, rates=rates)
    assert hop_cost(network, chip, grown, rates) == min(costs)
    assert not moved(keep, grown).size


def assert_refused_at_the_door(error):
    """What `place` finds out at the end, an illegal layout, is no refusal but a fault."""
    doors = "No tile is open", "listens to", "No layout was found"
    assert any(door in str(error) for door in doors)


@given(arrivals(), sixteenths(0, 6))
def test_pushing_neurons_aside_costs_no_more_than_the_best_free_slot(case, price):
    network, _, chip, keep, rates = case
    ripple = Growing(depth=4, price=price)
    costs = [
        hop_cost(network, chip, grown, rates)
        for _, grown in after_each_insertion(network, chip, keep)
    ]
    try:
        grown = place(network, chip, keep=keep, rates=rates, growing=ripple)
    except CapacityError as error:
        assert_refused_at_the_door(error)
        assert not costs
        return
    assert_legal(network, chip, grown)
    pushed = moved(keep, grown)
    cost = hop_cost(network, chip, grown, rates) + price * pushed.size
    assert cost <= min(costs, default=np.inf) + 1e-6
    still = np.setdiff1d(np.arange(keep.tile.size), pushed)
    assert np.array_equal(grown.slot[still], keep.slot[still])


@pytest.mark.parametrize("growing", ["frozen", "ripple", Growing(0.0, depth=3)])
@given(st.data())
def test_over_a_life_of_growth_nothing_is_too_full_and_nothing_frozen_moves(growing, data):
    network = data.draw(networks(neurons=14, synapses=60))
    chip = tight(network, data.draw(st.integers(3, 4)), data.draw(st.integers(1, 4)))
    births = data.draw(st.lists(st.integers(0, network.neurons), max_size=3).map(sorted))
    keep = None
    for neurons in [*births, network.neurons]:
        now = prefix(network, neurons)
        try:
            grown = place(
                now,
                chip,
                keep=keep,
                growing=growing if keep else None,
                placer=None if keep else "greedy",
            )
        except CapacityError as error:
            assert_refused_at_the_door(error)
            return
        assert_legal(now, chip, grown)
        if keep is not None:
            assert growing != "frozen" or not moved(keep, grown).size
            assert np.array_equal(grown.port, keep.port)
        keep = grown


def clustered(neurons=48, seed=0):
    """Groups of four that talk to each other, numbered at random, on 4 x 4 tiles of 4."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(neurons)
    one, two = np.divmod(np.arange(neurons * 3), 3)
    source = np.concatenate([one, rng.integers(0, neurons, neurons // 2)])
    target = np.concatenate(
        [one // 4 * 4 + (one + two + 1) % 4, rng.integers(0, neurons, neurons // 2)]
    )
    pair = np.unique(label[source] * neurons + label[target])
    network = Network.from_synapses(
        inputs=0, neurons=neurons, source=pair // neurons, target=pair % neurons,
        weight=1.0, delay=1,
    )  # fmt: skip
    return network, Chip(4, 4, 4, 16, 16, 16)


def half_grown(growing="frozen", seed=0, **settings):
    """A clustered network of which the first 24 neurons were placed alone, and its growth."""
    network, chip = clustered(seed=seed)
    keep = place(prefix(network, 24), chip, placer="greedy")
    return network, chip, keep, place(network, chip, keep=keep, growing=growing, **settings)


@pytest.mark.parametrize("way", ["frozen", "ripple", Growing(0.0), Growing(3.0, depth=3)])
def test_the_reported_cost_is_hops_and_the_price_of_what_moved(way):
    network, chip = clustered()
    keep = place(prefix(network, 24), chip, placer="greedy")
    reports = []
    rates = np.arange(48) % 5 / 4
    way = growing.GROWING.get(way, way) if isinstance(way, str) else way
    grown = grow(
        network, chip, keep=keep, rates=rates, allowed=None,
        search=Search(report=lambda *done: reports.append(done)), growing=way,
    )  # fmt: skip
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1
    price = way.price
    if price is None:
        old, kept = (
            prefix(network, 24),
            hop_cost(prefix(network, 24), chip, keep, rates[:24]),
        )
        price = kept / sum(lines_into_tiles(old, keep).values())
    pushed = moved(keep, grown).size
    expected = hop_cost(network, chip, grown, rates) + (price * pushed if pushed else 0)
    assert reports[-1][1] == pytest.approx(expected, rel=1e-12)
    assert (way.price == np.inf) == (pushed == 0)


@given(st.integers(0, 20), sixteenths(0, 8))
def test_ripple_costs_no_more_than_frozen_growth_with_all_that_moved(seed, price):
    network, chip = clustered(seed=seed)
    keep = place(prefix(network, 24), chip, placer="greedy")
    frozen = place(network, chip, keep=keep)
    ripple = place(network, chip, keep=keep, growing=Growing(price))
    paid = price * moved(keep, ripple).size
    event("moved" if paid else "nothing moved")
    least = hop_cost(network, chip, frozen)
    assert hop_cost(network, chip, ripple) + paid <= least


def test_new_neurons_that_belong_together_end_up_together():
    # They arrive one by one; once all are there, some change places.
    grown = [half_grown(seed=seed) for seed in range(6)]
    hasty = [half_grown(seed=seed, effort=0) for seed in range(6)]
    for now, before in zip(grown, hasty, strict=True):
        assert not moved(now[2], now[3]).size
        assert hop_cost(*now[:2], now[3]) <= hop_cost(*before[:2], before[3])
    assert any(
        hop_cost(*n[:2], n[3]) < hop_cost(*b[:2], b[3])
        for n, b in zip(grown, hasty, strict=True)
    )


@pytest.mark.parametrize("way", ["frozen", "ripple"])
def test_the_same_arguments_give_the_same_growth(way):
    one, two = half_grown(way)[3], half_grown(way)[3]
    assert one.tile.tobytes() == two.tile.tobytes()
    assert one.slot.tobytes() == two.slot.tobytes()


@pytest.mark.parametrize("way", ["frozen", "ripple"])
@pytest.mark.parametrize("after", range(0, 24, 3))
def test_interrupted_growth_is_legal(way, after, monkeypatch):
    network, chip = clustered()
    keep = place(prefix(network, 24), chip, placer="greedy")
    monkeypatch.setattr(seats, "SLICE", 1)
    calls = 0

    def interrupt(*_):
        nonlocal calls
        calls += 1
        if calls == 2 * after + 1:
            raise KeyboardInterrupt

    grown = grow(
        network, chip, keep=keep, rates=np.ones(48), allowed=None,
        search=Search(report=interrupt), growing=growing.GROWING[way],
    )  # fmt: skip
    assert calls > 2 * after
    assert_legal(network, chip, grown)
    assert way == "ripple" or not moved(keep, grown).size


@pytest.mark.parametrize("way", ["frozen", "ripple"])
def test_growth_goes_only_where_it_may(way):
    network, chip = clustered()
    keep = place(prefix(network, 24), chip, within=range(8), placer="greedy")
    grown = place(network, chip, keep=keep, within=range(4, 12), growing=way)
    pushed = moved(keep, grown)
    new = np.concatenate([grown.tile[24:], grown.tile[pushed]])
    assert new.min() >= 4
    assert new.max() < 12


@pytest.mark.parametrize("way", ["frozen", "ripple"])
def test_a_tile_without_slots_is_never_entered(way, monkeypatch):
    network, chip = clustered()
    keep = place(
        prefix(network, 24), chip, within=[t for t in range(16) if t not in (5, 6)]
    )

    def without(chip):
        slots = np.full(chip.tiles, chip.neurons_per_tile, np.int32)
        slots[[5, 6]] = 0
        return slots

    monkeypatch.setattr(growing, "room", without)
    grown = place(network, chip, keep=keep, growing=way)
    assert_legal(network, chip, grown)
    assert not set(grown.tile) & {5, 6}


def test_a_neuron_in_the_way_moves_on_if_that_is_cheap():
    # Neuron 2 belongs to tile 0, which is full; neuron 1 there talks to itself alone.
    network = Network.from_synapses(
        inputs=0, neurons=3, source=[0, 1, 2], target=[2, 1, 0], weight=1.0, delay=1
    )
    chip = Chip(1, 2, 2, 2, 2, 2)
    keep = placed([0, 0], [0, 1], [])
    assert place(network, chip, keep=keep).tile.tolist() == [0, 0, 1]
    cheap = place(network, chip, keep=keep, growing=Growing(1.9))
    assert cheap.tile.tolist() == [0, 1, 0]
    assert moved(keep, cheap).tolist() == [1]
    dear = place(network, chip, keep=keep, growing=Growing(2.1))
    assert dear.tile.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("depth", "tile"), [(0, 4), (1, 4), (2, 3), (4, 1), (5, 0), (6, 0)]
)
def test_a_chain_is_as_long_as_its_depth_allows(depth, tile):
    # Five tiles of one neuron, the last is free. Neuron 4 belongs to tile 0; the others may
    # go one tile further, so they cannot simply change places with it.
    network = Network.from_synapses(
        inputs=1, neurons=5, source=[0], target=[4], weight=1.0, delay=1
    )
    keep = placed([0, 1, 2, 3], [0] * 4, [0])
    grown = place(
        network, Chip(1, 5, 1, 1, 1, 1), keep=keep, growing=Growing(0.0, depth=depth),
        within={neuron: [neuron, neuron + 1] for neuron in range(4)},
    )  # fmt: skip
    assert grown.tile[4] == tile
    assert moved(keep, grown).tolist() == list(range(tile, 4))


def test_a_scarce_line_is_saved_for_a_price():
    # Neuron 2 reads inputs 0 and 1. Tile 1 is nearer, but has one line left of four.
    network = Network.from_synapses(
        inputs=5, neurons=3, source=[0, 1, 2, 3, 4], target=[0, 0, 0, 1, 2],
        weight=1.0, delay=1,
    )  # fmt: skip
    chip = Chip(1, 4, 2, 1, 9, 9)
    keep = placed([1, 2], [0, 0], [1] * 5)
    assert place(network, chip, keep=keep).tile[2] == 1
    cautious = Growing(line_price=20.0)
    assert place(network, chip, keep=keep, growing=cautious).tile[2] in (0, 2)


def test_a_tile_behind_full_links_is_avoided():
    network = Network.from_synapses(
        inputs=1, neurons=1, source=[0], target=[0], weight=1.0, delay=1
    )
    chip = Chip(1, 8, 1, 1, 9, 9)
    keep = placed([], [], [3])
    load = np.zeros((chip.cells, 4))
    assert place(network, chip, keep=keep).tile == [3]
    column = np.arange(chip.cells) % chip.shape[1]
    load[abs(column - 7) <= 1] = 1.0  # around tile 3, and beside 2 and 4
    for price, tiles in ((1.0, (3,)), (5.0, (2, 4)), (9.0, (1, 5))):
        way = Growing(load=load, load_price=price)
        assert place(network, chip, keep=keep, growing=way).tile[0] in tiles
    with pytest.raises(MosaicError, match=r"Growing\.load has shape \(3, 4\)"):
        place(network, chip, keep=keep, growing=Growing(load=load[:3]))


@given(st.data())
def test_defragmenting_pays_for_itself_and_stays_legal(data):
    network = data.draw(networks(neurons=10, synapses=50))
    chip = tight(network, data.draw(st.integers(2, 4)), data.draw(st.integers(1, 3)))
    start = data.draw(scattered(network, chip))
    assume(all(n <= 4 * chip.tile_lines for n in lines_into_tiles(network, start).values()))
    rates, worth = data.draw(rated(network)), data.draw(sixteenths(0, 4))
    done = defragment(network, chip, start, worth=worth, rates=rates)
    assert_legal(network, chip, done.placement)
    assert done.before == hop_cost(network, chip, start, rates)
    assert done.after == hop_cost(network, chip, done.placement, rates)
    assert done.moved.tolist() == moved(start, done.placement).tolist()
    assert done.paid == worth * done.moved.size
    assert done.gain >= 0
    assert done.gain > 0 or not done.moved.size
    event("moved" if done.moved.size else "nothing moved")
    # What is left pays for no single move to a free slot.
    for neuron in range(network.neurons):
        for tile in np.flatnonzero(done.placement.free_slots(chip) > 0).tolist():
            tiles = done.placement.tile.copy()
            tiles[neuron] = tile
            other = placed(tiles, seats.slots_of(chip, tiles, start), start.port)
            arriving = lines_into_tiles(network, other).values()
            if all(n <= 4 * chip.tile_lines for n in arriving):
                cost = hop_cost(network, chip, other, rates)
                cost += worth * moved(start, other).size
                assert cost >= done.after + done.paid - 1e-6


@pytest.mark.parametrize("effort", [0, 1])
def test_defragmenting_at_an_infinite_price_moves_nothing(effort):
    network, chip = clustered()
    start = place(network, chip, placer="in order")
    done = defragment(network, chip, start, worth=np.inf, effort=effort)
    assert done.placement is start
    assert (done.paid, done.gain, done.moved.size) == (0, 0, 0)


def test_the_dearer_a_write_the_fewer_neurons_move_and_the_less_is_saved():
    network, chip = clustered()
    start = place(network, chip, placer="in order")
    done = [defragment(network, chip, start, worth=worth) for worth in (0, 2, 6, 40)]
    assert [d.moved.size for d in done] == sorted(
        (d.moved.size for d in done), reverse=True
    )
    assert [d.after for d in done] == sorted(d.after for d in done)
    assert done[0].after < 0.5 * done[0].before
    assert not done[-1].moved.size


@pytest.mark.parametrize("after", [0, 1, 5, 40])
def test_interrupted_defragmenting_keeps_what_was_gained(after, monkeypatch):
    network, chip = clustered()
    start = place(network, chip, placer="in order")
    monkeypatch.setattr(seats, "SLICE", 1)
    calls = 0
    slow = seats._kernels.seat

    def interrupt(*arguments):
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return slow(*arguments)

    monkeypatch.setattr(seats._kernels, "seat", interrupt)
    done = defragment(network, chip, start, worth=0.0)
    assert calls == after + 1
    assert_legal(network, chip, done.placement)
    assert done.gain >= 0
    assert (done.gain > 0) == (after > 0)


def test_the_price_of_a_move_is_its_writes_over_what_a_hop_costs():
    network, chip = clustered()
    technology = technology_preset("rram-130nm")
    value = {name: technology[name].value for name in technology.quantities}
    hop = (
        value["read_voltage"] ** 2
        * value["read_pulse"]
        * (value["router_hcs"] + 63 * value["router_lcs"])
    )
    hop += 64 * value["comparator_energy"] + value["line_energy"]
    price = moving_price(network, chip, technology, inferences=1e3, devices=7)
    assert price == pytest.approx(7 * value["write_energy"] / hop / 1e3)
    usual = moving_price(network, chip, technology, inferences=1e3)
    assert usual / price == pytest.approx(2 * network.synapses / network.neurons / 7)


def test_the_verdict_says_what_growth_did():
    network, chip, keep, grown = half_grown("ripple")
    verdict = judge(network, chip, keep, grown)
    old = prefix(network, 24)
    assert (verdict.kept, verdict.new, verdict.sources) == (24, 24, (24, 48))
    assert verdict.moved == moved(keep, grown).size
    assert verdict.before == hop_cost(old, chip, keep)
    assert verdict.after == hop_cost(network, chip, grown)
    loops = sum(a == b for a, b in zip(network.source, network.target, strict=True))
    early = sum(a == b for a, b in zip(old.source, old.target, strict=True))
    assert verdict.reference == verdict.before / (old.synapses - early)
    each = verdict.after / (network.synapses - loops)
    assert verdict.strain == pytest.approx(each / verdict.reference)
    again = judge(network, chip, keep, grown, reference=each)
    assert again.strain == pytest.approx(1.0)
    assert not again.strained
    assert str(again).startswith("Keep: 24 neurons beside 24, of which ")


def test_the_verdict_offers_a_new_layout_where_it_is_better():
    network, chip, keep, grown = half_grown()
    found = defragment(network, chip, grown, worth=0.0).placement
    verdict = judge(network, chip, keep, grown, reference=1e-3, placer=lambda *_: found)
    assert verdict.replace
    assert verdict.replaced is found
    assert verdict.replaced_cost == hop_cost(network, chip, found)
    rewritten = moved(keep, found)
    assert verdict.rewritten == rewritten.size
    into = [
        (a, b) for a, b in zip(network.source, network.target, strict=True)
        if b in rewritten and a != b
    ]  # fmt: skip
    assert verdict.devices == 2 * len(into)
    assert str(verdict).startswith("Re-place: ")
    worse = judge(network, chip, keep, found, reference=1e-3, placer=lambda *_: grown)
    assert worse.strained
    assert not worse.replace
    assert not judge(network, chip, keep, grown, limit=1e9).strained


def test_the_verdict_on_growth_that_failed_is_strained():
    network, chip, keep, grown = half_grown()
    verdict = judge(network, chip, keep, None)
    assert verdict.strained
    assert not verdict.replace
    assert str(verdict).startswith("Strained: 24 neurons found no place beside 24")
    assert judge(network, chip, keep, None, placer=lambda *_: grown).replace

    def refuse(*_):
        raise CapacityError("full")

    assert judge(network, chip, keep, None, placer=refuse).replaced is None


CHIP = Chip(2, 2, 2, 2, 2, 2)
PAIR = Network.from_synapses(inputs=0, neurons=2, source=[0], target=[1], weight=1.0)
ONE = placed([0], [0], [])
BOTH = placed([0, 1], [0, 0], [])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: place(PAIR, CHIP, growing="ripple"), "growing says .* it needs keep"),
        (
            lambda: place(PAIR, CHIP, keep=ONE, growing="ripple", placer="greedy"),
            "and no placer",
        ),
        (
            lambda: place(PAIR, CHIP, keep=ONE, growing="riple"),
            "Unknown growing 'riple'. Did you mean 'ripple'",
        ),
        (lambda: Growing(depth=-1), r"Growing\.depth is -1; .* integer of at least 0"),
        (lambda: Growing(passes=1.5), r"Growing\.passes is 1\.5"),
        (lambda: Growing(-1.0), r"Growing\.price is -1\.0; it needs a number >= 0"),
        (lambda: Growing(line_price=np.nan), r"Growing\.line_price is nan"),
        (lambda: moved(BOTH, ONE), "new places 1 neurons; it needs the 2 of old"),
        (lambda: insertion_costs(PAIR, CHIP, BOTH), "one neuron has to be new"),
        (lambda: defragment(PAIR, CHIP, BOTH, worth=-1), "worth is -1"),
        (lambda: defragment(PAIR, CHIP, BOTH, worth=1, effort=np.inf), "effort is inf"),
        (lambda: defragment(PAIR, CHIP, ONE, worth=1), r"placement\.tile has 1 entries"),
        (lambda: judge(PAIR, CHIP, placed([0] * 3, [0] * 3, []), None), "old places 3"),
        (
            lambda: moving_price(PAIR, CHIP, technology_preset("rram-130nm"), inferences=0),
            "inferences is 0",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong, message):
    with pytest.raises(MosaicError, match=message):
        wrong()


@pytest.mark.parametrize("growing", ["frozen", "ripple"])
def test_growth_keeps_off_broken_tiles_and_lines(growing):
    whole = Chip(2, 3, 3, 2, 6, 6)
    chip = replace(
        whole,
        broken_tiles=(1,),
        broken_lines=tuple((whole.tile_cell(4) + 1, 3, line) for line in range(2)),
    )
    assert chip.fan_in[4] == 6  # one of its four sides is lost
    rng = np.random.default_rng(3)
    pairs = np.unique(rng.integers(0, 15, (26, 2)), axis=0)
    network = Network.from_synapses(
        inputs=0, neurons=15, source=pairs[:, 0], target=pairs[:, 1], weight=1.0, delay=1
    )
    first = prefix(network, 9)
    base = place(first, chip, placer="in order")
    grown = place(network, chip, keep=base, growing=growing)
    assert_legal(network, chip, grown)
    assert lines_into_tiles(network, grown).get(4, 0) <= 6
    assert not np.any(grown.tile == 1)
