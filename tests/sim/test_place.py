import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from strategies import (
    FEW,
    chain,
    hops_by_search,
    networks,
    placed,
    prefix,
    roomy,
    scattered,
)

from mosaic_sim import CapacityError, Chip, MosaicError, Network, place
from mosaic_sim.place import (
    PLACERS,
    arrivals,
    check_placement,
    greedy,
    hypergraph,
    multilevel,
)

PLACER = pytest.mark.parametrize("placer", PLACERS.values(), ids=PLACERS)
# Those that look at wires and lines; "in order" is there to be quick.
CAREFUL = pytest.mark.parametrize(
    "placer", [greedy, multilevel, hypergraph], ids=["greedy", "multilevel", "hypergraph"]
)


def lines_into_tiles(network, placement):
    """Oracle: for each tile the distinct sources that arrive from elsewhere."""
    arriving = {}
    for source, target in zip(
        network.source.tolist(), network.target.tolist(), strict=True
    ):
        there = int(placement.tile[target])
        is_neuron = source >= network.first_neuron
        if not is_neuron or placement.tile[source - network.first_neuron] != there:
            arriving.setdefault(there, set()).add(source)
    return {tile: len(sources) for tile, sources in arriving.items()}


def assert_legal(network, chip, placement):
    places = list(zip(placement.tile.tolist(), placement.slot.tolist(), strict=True))
    assert len(places) == network.neurons
    assert len(set(places)) == network.neurons
    assert all(
        0 <= t < chip.rows * chip.columns and 0 <= k < chip.neurons_per_tile
        for t, k in places
    )
    ports = placement.port.tolist()
    assert len(ports) == network.inputs + network.bias
    assert all(0 <= port < 2 * (chip.rows + chip.columns) for port in ports)
    assert all(ports.count(port) <= chip.r1_lines for port in ports)
    lines = lines_into_tiles(network, placement)
    assert all(count <= 4 * chip.tile_lines for count in lines.values())


@st.composite
def chips(draw, network):
    """Chips from comfortable to far too small."""
    neurons = draw(st.integers(1, 4))
    return Chip(
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        neurons,
        draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
        neurons + draw(st.integers(0, 3)),
    )


@PLACER
@given(networks(), st.data())
def test_a_placement_is_legal_or_refused(placer, network, data):
    chip = data.draw(chips(network))
    try:
        placement = place(network, chip, placer=placer)
    except CapacityError:
        event("refused")
        if network.neurons > chip.neurons:
            event("too many neurons")
        return
    assert_legal(network, chip, placement)


@PLACER
@given(networks())
def test_nothing_is_refused_where_there_is_room_for_everything(placer, network):
    assert_legal(network, roomy(network), place(network, roomy(network), placer=placer))


@PLACER
@given(networks(), st.data())
def test_kept_neurons_stay_and_new_ones_go_where_they_may(placer, network, data):
    chip = roomy(network)
    old = prefix(network, data.draw(st.integers(0, network.neurons)), bias=False)
    keep = data.draw(scattered(old, chip))
    within = data.draw(st.lists(st.integers(0, 3), min_size=1, unique=True))
    try:
        placement = place(network, chip, keep=keep, within=within, placer=placer)
    except CapacityError:
        free = keep.free_slots(chip)[within].sum()
        assert free < network.neurons - old.neurons
        return
    assert_legal(network, chip, placement)
    assert placement.tile[: old.neurons].tolist() == keep.tile.tolist()
    assert placement.slot[: old.neurons].tolist() == keep.slot.tolist()
    assert placement.port[: old.first_neuron].tolist() == keep.port.tolist()
    assert set(placement.tile[old.neurons :].tolist()) <= set(within)


@PLACER
@given(networks(), st.data())
def test_single_neurons_go_where_they_may_and_the_others_anywhere(placer, network, data):
    chip = Chip(2, 2, network.neurons, *[network.sources] * 2, 2 * network.sources)
    some = st.lists(st.integers(0, 3), min_size=1, unique=True)
    within = data.draw(st.dictionaries(st.integers(0, network.neurons - 1), some))
    placement = place(network, chip, within=within, placer=placer)
    assert_legal(network, chip, placement)
    assert all(placement.tile[neuron] in tiles for neuron, tiles in within.items())
    if not within:
        free = place(network, chip, placer=placer)
        assert free.tile.tolist() == placement.tile.tolist()


@PLACER
def test_all_kept_needs_no_tile_for_new_neurons(placer):
    network = chain(neurons=3)
    keep = place(network, roomy(network))
    again = place(network, roomy(network), keep=keep, within=(), placer=placer)
    assert again.tile.tolist() == keep.tile.tolist()
    with pytest.raises(CapacityError):
        place(chain(neurons=4), roomy(network), keep=keep, within=(), placer=placer)


@PLACER
@FEW
@given(networks())
def test_the_same_arguments_give_the_same_placement(placer, network):
    chip = roomy(network)
    one, two = (place(network, chip, placer=placer) for _ in range(2))
    for name in ("tile", "slot", "port"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def wire(network, chip, tile, port):
    """Oracle: hops from every source to each tile that reads it, by search."""
    sites = [divmod(t, chip.columns) for t in range(chip.rows * chip.columns)]
    north = [(-1, c) for c in range(chip.columns)]
    east = [(r, chip.columns) for r in range(chip.rows)]
    south = [(chip.rows, c) for c in reversed(range(chip.columns))]
    west = [(r, -1) for r in reversed(range(chip.rows))]
    ports = north + east + south + west
    found = {s: hops_by_search(chip.rows, chip.columns, s) for s in {*sites, *ports}}
    starts = [ports[p] for p in port] + [None] * network.neurons

    def cost(tile):
        starts[network.first_neuron :] = [sites[t] for t in tile]
        ends = {
            (s, tile[t])
            for s, t in zip(network.source.tolist(), network.target.tolist(), strict=True)
        }
        return sum(found[starts[s]][sites[t]] for s, t in ends)

    every = (
        cost(tile)
        for tile in itertools.product(range(len(sites)), repeat=network.neurons)
        if max(tile.count(t) for t in tile) <= chip.neurons_per_tile
    )
    return cost(tile), list(every)


@CAREFUL
def test_wire_lies_between_the_optimum_and_the_mean_of_all_placements(placer):
    total = best = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        source, target = np.nonzero(rng.random((6, 4)) < 0.35)
        network = Network.from_synapses(
            inputs=2, neurons=4, source=source, target=target, weight=1.0, delay=1
        )
        chip = Chip(2, 2, 2, 8, 8, 8)
        placement = place(network, chip, placer=placer)
        cost, every = wire(network, chip, placement.tile.tolist(), placement.port.tolist())
        assert min(every) <= cost <= sum(every) / len(every), seed
        total, best = total + cost, best + min(every)
    assert total <= 1.5 * best


@pytest.mark.parametrize(("rates", "tile"), [([9, 1, 0], 0), ([1, 9, 0], 3)])
def test_a_neuron_goes_to_the_louder_of_two_inputs(rates, tile):
    network = Network.from_synapses(
        inputs=2, neurons=1, source=[0, 1], target=[0, 0], weight=1.0
    )
    # 1 x 4 tiles: input 0 enters at the north of tile 0, input 1 at the south of tile 3.
    assert place(network, Chip(1, 4, 1, 2, 2, 2), rates=rates, placer=greedy).tile == [tile]


@pytest.mark.parametrize(
    "placer",
    [placer for name, placer in PLACERS.items() if name not in ("random", "layered")],
)
def test_a_chain_lies_on_one_tile_or_on_neighbours(placer):
    together = place(chain(neurons=4), Chip(2, 2, 4, 4, 4, 4), placer=placer)
    assert len(set(together.tile.tolist())) == 1
    chip = Chip(1, 4, 1, 2, 2, 2)
    apart = place(chain(neurons=4), chip, placer=placer)
    assert apart.tile.tolist() in ([0, 1, 2, 3], [3, 2, 1, 0])


def test_inputs_enter_evenly_around_the_chip():
    network = Network.from_synapses(inputs=16, neurons=0, source=[], target=[], weight=[])
    port = place(network, Chip(2, 2, 1, 1, 1, 2)).port.tolist()
    assert port == [k // 2 for k in range(16)]


@pytest.mark.parametrize(
    ("network", "chip", "message"),
    [
        (
            chain(neurons=5),
            Chip(2, 2, 1, 9, 9, 9),
            "5 neurons do not fit on 2 x 2 tiles of 1: 1",
        ),
        (
            chain(inputs=9),
            Chip(1, 1, 2, 9, 9, 2),
            "9 inputs do not fit the 4 ports .* 2 lines",
        ),
        (
            Network.from_synapses(
                inputs=5, neurons=1, source=range(5), target=[0] * 5, weight=1.0
            ),
            Chip(1, 2, 1, 1, 9, 9),
            r"Neuron 0 listens to 5 inputs and 0 other .* has 4 arriving lines",
        ),
    ],
)
@CAREFUL
def test_a_chip_too_small_is_refused_with_the_numbers(placer, network, chip, message):
    with pytest.raises(CapacityError, match=message):
        place(network, chip, placer=placer)


@PLACER
def test_as_many_sources_as_lines_are_placed(placer):
    network = Network.from_synapses(
        inputs=4, neurons=1, source=range(4), target=[0] * 4, weight=1.0
    )
    assert_legal(
        network, chip := Chip(1, 1, 1, 1, 1, 1), place(network, chip, placer=placer)
    )


@CAREFUL
def test_a_tile_whose_lines_are_taken_gets_no_second_reader(placer):
    # Each neuron reads 4 inputs of its own; a tile has 4 lines and 2 slots.
    network = Network.from_synapses(
        inputs=8, neurons=2, source=range(8), target=[0] * 4 + [1] * 4, weight=1.0
    )
    tiles = place(network, Chip(1, 2, 2, 1, 4, 4), placer=placer).tile.tolist()
    assert sorted(tiles) == [0, 1]


@CAREFUL
def test_a_neuron_that_feeds_a_tile_without_free_lines_sits_there_itself(placer):
    # Four inputs fill the lines of tile 1; neuron 2 feeds both tiles, as cheap from either.
    network = Network.from_synapses(
        inputs=4, neurons=3, source=[0, 1, 2, 3, 6, 6], target=[0, 0, 0, 0, 0, 1],
        weight=1.0, delay=1,
    )  # fmt: skip
    within = {0: [1], 1: [0]}
    placement = place(network, Chip(1, 2, 2, 1, 4, 4), within=within, placer=placer)
    assert placement.tile.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rates": [1.0]}, "rates needs one finite number >= 0 for each of the 3 sources"),
        ({"rates": [1, 1, np.nan]}, "rates needs"),
        ({"rates": [1, 1, -1]}, "rates needs"),
        ({"within": [0, 4]}, "within has tiles outside 0 to 3"),
        ({"within": [-1]}, "within has tiles outside 0 to 3"),
        ({"within": {0: [4]}}, "within has tiles outside 0 to 3"),
        ({"within": {2: [0]}}, "within has neurons outside 0 to 1"),
        ({"keep": placed([0] * 3, [0, 1, 2], [0])}, "keep places 3 neurons and 1 inputs"),
        ({"keep": placed([0], [0], [0, 1])}, "keep places 1 neurons and 2 inputs"),
        ({"keep": placed([4], [0], [0])}, r"keep\.tile must lie between 0 and 3"),
        ({"keep": placed([0], [9], [0])}, r"keep\.slot must lie between 0 and 1"),
        ({"keep": placed([0], [0], [-1])}, r"keep\.port must lie between 0 and 7"),
        ({"keep": placed([0, 1], [0], [0])}, r"keep\.slot has 1 entries; it needs 2"),
        ({"keep": placed([0, 0], [0, 0], [0])}, "Two neurons share slot 0 of tile 0"),
    ],
)
def test_an_argument_of_another_network_or_chip_is_refused_by_name(wrong, message):
    with pytest.raises(MosaicError, match=message):
        place(chain(neurons=2), Chip(2, 2, 2, 2, 2, 2), **wrong)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tile": [0]}, MosaicError, r"placement\.tile has 1 entries; it needs 2"),
        ({"slot": [0]}, MosaicError, r"placement\.slot has 1 entries; it needs 2"),
        ({"port": []}, MosaicError, r"placement\.port has 0 entries; it needs 2"),
        ({"tile": [0, 2]}, MosaicError, r"placement\.tile must lie between 0 and 1"),
        ({"tile": [-1, 0]}, MosaicError, r"placement\.tile must lie between 0 and 1"),
        ({"slot": [0, 2]}, MosaicError, r"placement\.slot must lie between 0 and 1"),
        ({"port": [0, 6]}, MosaicError, r"placement\.port must lie between 0 and 5"),
        ({"slot": [1, 1]}, CapacityError, r"share slot 1 of tile 0"),
    ],
)
def test_check_placement_refuses_every_kind_of_damage(change, error, message):
    network, chip = chain(neurons=2, inputs=2), Chip(1, 2, 2, 2, 2, 2)
    good = placed([0, 0], [0, 1], [0, 0])
    check_placement(network, chip, good)
    arrays = {name: np.array(value, np.int32) for name, value in change.items()}
    with pytest.raises(error, match=message):
        check_placement(network, chip, replace(good, **arrays))


def test_check_placement_refuses_more_sources_than_lines():
    chip = Chip(1, 1, 2, 1, 2, 2)
    for inputs, port in ((4, [0, 0, 1, 1]), (5, [0, 0, 1, 1, 2])):
        network = Network.from_synapses(
            inputs=inputs, neurons=1, source=range(inputs), target=[0] * inputs, weight=1.0
        )
        if inputs == 4:
            check_placement(network, chip, placed([0], [0], port))
            with pytest.raises(CapacityError, match="Port 1 has 3 inputs; it has 2 lines"):
                check_placement(network, chip, placed([0], [0], [0, 1, 1, 1]))
        else:
            with pytest.raises(
                CapacityError, match=r"5 sources arrive at tile 0.* 4 lines"
            ):
                check_placement(network, chip, placed([0], [0], port))


@FEW
@given(networks(), st.data())
def test_arrivals_are_the_distinct_sources_that_each_tile_reads(network, data):
    chip = roomy(network)
    placement = data.draw(scattered(network, chip))
    expected = sorted(
        {
            (s, int(placement.tile[t]))
            for s, t in zip(network.source.tolist(), network.target.tolist(), strict=True)
        }
    )
    assert [tuple(pair) for pair in arrivals(network, placement).tolist()] == expected


def test_free_slots_are_those_without_a_neuron():
    chip = Chip(1, 3, 4, 4, 4, 4)
    assert placed([0, 2, 2], [0, 3, 1], []).free_slots(chip).tolist() == [3, 4, 2]
