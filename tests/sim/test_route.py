import re
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from strategies import (
    FEW,
    around,
    chain,
    hops_by_search,
    kind,
    networks,
    placed,
    prefix,
    roomy,
    scattered,
)

from mosaic_sim import (
    CapacityError,
    Chip,
    MosaicError,
    Network,
    Routing,
    RoutingError,
    place,
    route,
)
from mosaic_sim.route import ROUTERS, check_routing, steiner

ROUTER = pytest.mark.parametrize("router", ROUTERS.values(), ids=ROUTERS)


# --- oracles --------------------------------------------------------------------------


def start_of(network, chip, placement, source):
    """Cell (row, column) in which the tree of `source` begins."""
    if source >= network.first_neuron:
        row, column = divmod(
            int(placement.tile[source - network.first_neuron]), chip.columns
        )
        return 2 * row + 1, 2 * column + 1
    row, column = chip.port_sites[placement.port[source]].tolist()
    return (
        min(max(2 * row + 1, 0), 2 * chip.rows),
        min(max(2 * column + 1, 0), 2 * chip.columns),
    )


def targets_of(network, chip, placement, source):
    """Cells of the foreign tiles that have a synapse from `source`."""
    tiles = {
        int(placement.tile[t])
        for s, t in zip(network.source, network.target, strict=True)
        if s == source
    }
    cells = {(2 * (t // chip.columns) + 1, 2 * (t % chip.columns) + 1) for t in tiles}
    return cells - {start_of(network, chip, placement, source)}


def links_of(chip, routing, source):
    """[(cell, next cell)] of one source, cells as (row, column)."""
    part = slice(routing.offsets[source], routing.offsets[source + 1])
    links = []
    for cell, side in zip(routing.cell[part], routing.side[part], strict=True):
        here = divmod(int(cell), 2 * chip.columns + 1)
        links.append((here, around(*here)[side]))
    return links


def lines_between(chip, here, there):
    out = {"NT": chip.neurons_per_tile, "R0": chip.r0_lines, "R1": chip.r1_lines}
    into = out | {"NT": chip.tile_lines}
    return min(out[kind(*here)], into[kind(*there)])


def assert_legal(network, chip, placement, routing):
    load = Counter()
    taken = set()
    for source in range(network.sources):
        links = links_of(chip, routing, source)
        start = start_of(network, chip, placement, source)
        seen, found = {start}, [start]
        while found:  # connected: everything is found again from the start
            here = found.pop()
            nexts = [b for a, b in links if a == here]
            found += [b for b in nexts if b not in seen]
            seen.update(nexts)
        assert len(links) == len(set(links)) == len(seen) - 1, "no tree"
        for a, b in links:
            assert a in seen
            assert all(
                0 <= x <= 2 * n for x, n in zip(b, (chip.rows, chip.columns), strict=True)
            )
            assert kind(*a) != "NT" or a == start, "through a neuron tile"
            load[a, b] += 1
        ends = {b for _, b in links if kind(*b) == "NT"}
        assert ends == targets_of(network, chip, placement, source)
        leaves = {b for _, b in links} - {a for a, _ in links}
        assert leaves == ends, "a branch that leads nowhere"

        part = slice(routing.offsets[source], routing.offsets[source + 1])
        for (a, b), line in zip(links, routing.line[part].tolist(), strict=True):
            assert (a, b, line) not in taken, "two sources on one line"
            taken.add((a, b, line))
            assert 0 <= line < lines_between(chip, a, b)
            if kind(*a) == "NT":
                assert line == placement.slot[source - network.first_neuron], "not wired so"
    for (a, b), sources in load.items():
        assert sources <= lines_between(chip, a, b)
    entries = list(zip(placement.port.tolist(), routing.entry_line.tolist(), strict=True))
    assert len(set(entries)) == network.first_neuron
    assert all(0 <= line < chip.r1_lines for _, line in entries)


def shortest(chip, start, targets):
    """Fewest links of a tree from `start` to all `targets` (Dreyfus and Wagner 1971)."""
    routers = [
        (r, c)
        for r in range(2 * chip.rows + 1)
        for c in range(2 * chip.columns + 1)
        if kind(r, c) != "NT" or (r, c) == start
    ]
    nodes = set(routers)

    def grown(cost):
        """Let trees grow by one link at a time until none becomes cheaper."""
        bucket = dict(cost)
        for value in range(int(min(bucket.values())), 2 * len(routers)):
            for here in [n for n, v in bucket.items() if v == value]:
                for there in around(*here):
                    if there in nodes and value + 1 < bucket.get(there, 10**6):
                        bucket[there] = value + 1
        return bucket

    best = {
        frozenset([t]): grown({n: 1 for n in around(*t) if n in nodes}) for t in targets
    }
    for size in range(2, len(targets) + 1):
        for group in map(frozenset, combinations(targets, size)):
            splits = [
                (best[part], best[group - part])
                for k in range(1, size)
                for part in map(frozenset, combinations(group, k))
            ]
            cost = {n: min(a[n] + b[n] for a, b in splits) for n in routers}
            best[group] = grown(cost)
    return best[frozenset(targets)][start]


# --- conformance ----------------------------------------------------------------------


@ROUTER
@given(networks(), st.data())
def test_a_routing_is_legal_or_refused(router, network, data):
    rows, columns = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    neurons = -(-network.neurons // (rows * columns))
    tight = st.integers(1, 4)
    chip = Chip(
        rows,
        columns,
        neurons,
        data.draw(tight),
        data.draw(tight),
        max(neurons, data.draw(tight)),
    )
    try:
        placement = place(network, chip, placer="greedy")
        routing = route(network, chip, placement, router=router)
    except CapacityError as error:
        event(type(error).__name__)
        return
    assert_legal(network, chip, placement, routing)


@ROUTER
def test_crowded_chips_are_routed_to_their_limits_or_refused(router):
    outcomes, refusals = Counter(), []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows, columns = rng.integers(1, 4, 2)
        neurons = int(rng.integers(1, 4))
        chip = Chip(rows, columns, neurons, *rng.integers(1, 4, 2), neurons + seed % 2)
        inputs = min(chip.r1_lines * len(chip.port_sites), 6)
        source, to = np.nonzero(rng.random((inputs + chip.neurons, chip.neurons)) < 0.2)
        network = Network.from_synapses(
            inputs=inputs,
            neurons=chip.neurons,
            source=source,
            target=to,
            weight=1.0,
            delay=1,
        )
        try:
            placement = place(network, chip, placer="greedy")
            routing = route(network, chip, placement, router=router)
        except RoutingError as error:
            refusals.append(str(error))
        except CapacityError:
            outcomes["not placed"] += 1
        else:
            assert_legal(network, chip, placement, routing)
            full = (routing.load(chip) == chip.capacity) & (chip.capacity > 0)
            outcomes["legal, with full sides" if full.any() else "legal"] += 1
    assert outcomes["legal, with full sides"] >= 15
    assert len(refusals) >= 3
    named = re.compile(r"R\d \(\d+, \d+\) \w+: \d+ sources, \d+ lines")
    assert all(named.search(message) for message in refusals)


@ROUTER
@given(networks(), st.data())
def test_any_placement_is_routed_where_there_are_enough_lines(router, network, data):
    chip = roomy(network, data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    placement = data.draw(scattered(network, chip))
    routing = route(network, chip, placement, router=router)
    assert_legal(network, chip, placement, routing)


@ROUTER
@given(networks(), st.data())
def test_kept_trees_are_contained_unchanged(router, network, data):
    chip = roomy(network)
    placement = data.draw(scattered(network, chip))
    bias = data.draw(st.booleans())  # the bias line may be new, too
    old = prefix(network, data.draw(st.integers(0, network.neurons)), bias=bias)
    before = placed(
        placement.tile[: old.neurons],
        placement.slot[: old.neurons],
        placement.port[: old.first_neuron],
    )
    keep = route(old, chip, before)
    routing = route(network, chip, placement, keep=keep, router=router)
    assert_legal(network, chip, placement, routing)
    shift = network.first_neuron - old.first_neuron
    for source in range(old.sources):
        now = source + shift * (source >= old.first_neuron)
        kept = slice(keep.offsets[source], keep.offsets[source + 1])
        start = routing.offsets[now]
        same = slice(start, start + kept.stop - kept.start)
        for name in ("cell", "side", "line"):
            assert np.array_equal(getattr(keep, name)[kept], getattr(routing, name)[same])
        assert same.stop <= routing.offsets[now + 1]
    assert routing.entry_line[: old.first_neuron].tolist() == keep.entry_line.tolist()


@ROUTER
@FEW
@given(networks(), st.data())
def test_the_same_arguments_give_the_same_routing(router, network, data):
    chip = roomy(network)
    placement = data.draw(scattered(network, chip))
    one, two = (route(network, chip, placement, router=router) for _ in range(2))
    for name in ("offsets", "cell", "side", "line", "entry_line"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def fan_out(tiles, source):
    """Return a network and placement in which `source` reaches all `tiles` of a 3 x 3 chip.

    `source` is a port (input 0) or a tile (neuron 0); the others are neurons 1, 2, ...
    """
    what, where = source
    n = len(tiles) + 1
    network = Network.from_synapses(
        inputs=1, neurons=n, source=[0 if what == "port" else 1] * (n - 1),
        target=range(1, n), weight=1.0,
    )  # fmt: skip
    port = where if what == "port" else 0
    home = where if what == "tile" else 0
    slots = [9 - n + k for k in range(1, n)]
    return network, placed([home, *tiles], [0, *slots], [port])


@ROUTER
@pytest.mark.parametrize("start", [("tile", 0), ("tile", 4), ("port", 0), ("port", 7)])
@pytest.mark.parametrize("tile", range(9))
def test_the_way_to_one_tile_is_as_long_as_the_hop_distance(router, start, tile):
    chip = Chip(3, 3, 9, 9, 9, 9)
    network, placement = fan_out([tile], start)
    source = int(start[0] == "tile")
    links = links_of(chip, route(network, chip, placement, router=router), source)
    crossed = {a for a, _ in links if kind(*a) != "NT"}
    at = divmod(start[1], 3) if start[0] == "tile" else tuple(chip.port_sites[start[1]])
    assert len(crossed) == hops_by_search(3, 3, at)[divmod(tile, 3)]


@ROUTER
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=4, unique=True),
    st.tuples(st.just("tile"), st.integers(0, 8))
    | st.tuples(st.just("port"), st.integers(0, 11)),
)
def test_a_tree_to_few_tiles_has_at_most_twice_the_links_of_the_shortest(
    router, tiles, start
):
    chip = Chip(3, 3, 9, 9, 9, 9)
    network, placement = fan_out(tiles, start)
    source = int(start[0] == "tile")
    links = links_of(chip, route(network, chip, placement, router=router), source)
    targets = targets_of(network, chip, placement, source)
    if targets:
        best = shortest(chip, start_of(network, chip, placement, source), targets)
        assert best <= len(links) <= 2 * best


def test_the_steiner_oracle_finds_trees_worked_out_by_hand():
    chip = Chip(3, 3, 1, 1, 1, 1)
    assert shortest(chip, (1, 1), {(1, 3)}) == 2  # through the router between
    assert shortest(chip, (3, 3), {(1, 3), (5, 3), (3, 1), (3, 5)}) == 8  # four neighbours
    # To the tile below and the one right of that: five links, of which the first is shared.
    assert shortest(chip, (1, 1), {(3, 1), (3, 3)}) == 5


@pytest.mark.parametrize(
    ("router", "longer"),
    [("negotiated", 1.015), ("steiner", 1.015), ("trunk", 9 / 8), ("one_turn", 11 / 8)],
)
def test_trees_to_three_tiles_are_little_longer_than_the_shortest_in_the_mean(
    router, longer
):
    chip = Chip(3, 3, 9, 9, 9, 9)
    laid = best = 0
    for tiles in combinations(range(1, 9), 3):
        network, placement = fan_out(tiles, ("tile", 0))
        laid += len(links_of(chip, route(network, chip, placement, router=router), 1))
        best += shortest(chip, (1, 1), targets_of(network, chip, placement, 1))
    assert best <= laid <= longer * best


def crowd():
    """Return 40 inputs that reach two to five tiles each; neuron k is alone on tile k."""
    rng = np.random.default_rng(0)
    tiles = [rng.permutation(9)[: 2 + k % 4] for k in range(40)]
    network = Network.from_synapses(
        inputs=40, neurons=9, source=np.repeat(range(40), [len(t) for t in tiles]),
        target=np.concatenate(tiles), weight=1.0,
    )  # fmt: skip
    return network, Chip(3, 3, 9, 40, 40, 40), placed(range(9), [0] * 9, np.arange(40) % 12)


@ROUTER
def test_trees_stay_short_where_other_sources_lie_already(router):
    network, chip, placement = crowd()
    routing = route(network, chip, placement, router=router)
    for source in range(40):
        start = start_of(network, chip, placement, source)
        best = shortest(chip, start, targets_of(network, chip, placement, source))
        assert best <= len(links_of(chip, routing, source)) <= 2 * best


@pytest.mark.parametrize("router", ["trunk", "one_turn", "negotiated"])
def test_trees_are_the_same_however_often_they_run_out_of_room(router, monkeypatch):
    network, chip, placement = crowd()
    at_once = route(network, chip, placement, router=router)
    board = sys.modules["mosaic_sim.route.board"]
    monkeypatch.setattr(board, "ROOM", 0)
    monkeypatch.setattr(board, "SLICE", 0)
    bit_by_bit = route(network, chip, placement, router=router)
    for name in ("offsets", "cell", "side", "line"):
        assert np.array_equal(getattr(at_once, name), getattr(bit_by_bit, name))
        assert getattr(at_once, name).dtype == getattr(bit_by_bit, name).dtype


# --- capacity at its limit ------------------------------------------------------------


def neighbours_on(neurons, *, r0_lines=1, tile_lines=1):
    """`neurons` of tile 0 all reach tile 1 of a 1 x 2 chip with a spare reader there.

    One may cross the router between; the others have to go around, one north, one south.
    """
    network = Network.from_synapses(
        inputs=0, neurons=neurons + 1, source=range(neurons), target=[neurons] * neurons,
        weight=1.0,
    )  # fmt: skip
    chip = Chip(1, 2, 5, tile_lines, r0_lines, 5)
    return network, chip, placed([0] * neurons + [1], [*range(neurons), 0], [])


@ROUTER
@pytest.mark.parametrize("neurons", [1, 2, 3])
def test_every_line_may_be_used(router, neurons):
    network, chip, placement = neighbours_on(neurons)
    assert_legal(network, chip, placement, route(network, chip, placement, router=router))


@ROUTER
def test_one_source_more_is_refused_and_the_sides_are_named(router):
    network, chip, placement = neighbours_on(4)
    with pytest.raises(RoutingError) as refused:
        route(network, chip, placement, router=router)
    message = str(refused.value)
    if router is steiner:
        assert "R1 (1, 2) east: 4 sources, 1 lines" in message
        assert re.search(r"cannot reach NT \(1, 3\) over free lines", message)
    else:
        assert re.search(
            r"1 sides have 1 sources too many: R\d .* 2 sources, 1 lines", message
        )
        assert re.search(r"in \d+ rounds", message)
    assert "more lines a side" in message


@ROUTER
def test_one_line_more_lets_it_pass(router):
    network, chip, placement = neighbours_on(4, tile_lines=2)
    assert_legal(network, chip, placement, route(network, chip, placement, router=router))


@ROUTER
def test_a_full_crossing_of_inputs_fills_all_four_sides_of_a_tile(router):
    network = Network.from_synapses(
        inputs=8, neurons=1, source=range(8), target=[0] * 8, weight=1.0
    )
    chip = Chip(1, 1, 1, 2, 2, 2)
    placement = place(network, chip, placer="greedy")
    routing = route(network, chip, placement, router=router)
    assert_legal(network, chip, placement, routing)
    into = [
        chip.cells // 2 - 3,
        chip.cells // 2 + 1,
        chip.cells // 2 + 3,
        chip.cells // 2 - 1,
    ]
    load = routing.load(chip)
    assert [load[cell].max() for cell in into] == [2, 2, 2, 2]


@ROUTER
def test_kept_routes_that_leave_no_room_are_named_as_the_reason(router):
    # 1 x 2 chip with single lines: the kept tree of input 0, from the west port to tile 1,
    # has two idle branches, and so holds all three ways to the right half.
    network = Network.from_synapses(
        inputs=1, neurons=2, source=[0, 1], target=[1, 1], weight=1.0
    )
    chip, placement = Chip(1, 2, 1, 1, 1, 1), placed([0, 1], [0, 0], [5])
    links = [(5, 0), (0, 1), (1, 1), (2, 2), (7, 1), (2, 1), (7, 2), (12, 1)]
    keep = Routing(
        offsets=np.array([0, 8, 8, 8]),
        cell=np.array([cell for cell, _ in links], np.int32),
        side=np.array([side for _, side in links], np.int32),
        line=np.zeros(8, np.int16),
        entry_line=np.zeros(1, np.int32),
    )
    route(network, chip, placement, router=router)  # fits where nothing is kept
    with pytest.raises(
        RoutingError, match=r"would fit.* not beside (the trees|those) that are kept"
    ):
        route(network, chip, placement, keep=keep, router=router)


# --- the checker ----------------------------------------------------------------------


def relay():
    """Input 0 and neuron 0 reach neuron 1: hand-laid routes on a 1 x 2 chip."""
    network = Network.from_synapses(
        inputs=2, neurons=2, source=[0, 1, 2], target=[1, 1, 1], weight=1.0
    )
    chip = Chip(1, 2, 2, 2, 2, 2)
    placement = placed([0, 1], [1, 0], [1, 1])
    return network, chip, placement, route(network, chip, placement)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": [0, 1, 2, 4]}, "3 sources; the network has 4"),
        ({"offsets": [0, 1, 2, 4, 5]}, "do not fit together"),
        ({"offsets": [0, 2, 1, 4, 4]}, "do not fit together"),
        ({"cell": [3, 3, 6, 99]}, "do not fit together"),
        ({"cell": [3, 3, 6]}, "do not fit together"),
        ({"side": [2, 2, 1, 4]}, "do not fit together"),
        ({"side": [2, 2, 1, -1]}, "do not fit together"),
        ({"side": [2, 2, 1, 0]}, "route of source 2 does not end at its targets"),
        ({"side": [2, 2, 3, 1]}, "route of source 2 is not a tree"),
        ({"cell": [13, 3, 6, 7], "side": [0, 2, 1, 1]}, "route of source 0 is not a tree"),
        (
            {"side": [0, 2, 1, 1]},
            r"Overloaded sides: R1 \(0, 3\) north: 1 sources, 0 lines",
        ),
        ({"line": [0, 0, 1, 0]}, "Two sources share a line"),
        ({"line": [0, 2, 1, 0]}, "line that its side does not have"),
        ({"line": [0, -1, 1, 0]}, "line that its side does not have"),
        ({"line": [0, 1, 0, 0]}, "leave its tile on the line of its slot"),
        ({"entry_line": [0, 0]}, "Two inputs share a line of a port"),
        ({"entry_line": [0, 2]}, "entry_line needs a line below 2"),
        ({"entry_line": [0]}, "entry_line needs a line below 2"),
    ],
)
def test_check_routing_refuses_every_kind_of_damage(change, message):
    network, chip, placement, good = relay()
    assert (good.cell.tolist(), good.side.tolist()) == ([3, 3, 6, 7], [2, 2, 1, 1])
    assert (good.line.tolist(), good.entry_line.tolist()) == ([0, 1, 1, 0], [0, 1])
    kinds = {"line": np.int16}
    bad = replace(
        good, **{name: np.array(value, kinds.get(name)) for name, value in change.items()}
    )
    with pytest.raises(MosaicError, match=message):
        check_routing(network, chip, placement, bad)


def test_check_routing_refuses_lines_that_were_not_converted():
    network, chip, placement, good = relay()
    with pytest.raises(MosaicError, match="line holds int32; it needs int16"):
        check_routing(network, chip, placement, replace(good, line=good.line.astype("i4")))


def test_check_routing_refuses_overloaded_sides_by_name():
    network, chip, placement, good = relay()
    narrow = replace(chip, tile_lines=1)
    with pytest.raises(RoutingError, match=r"R1 \(0, 3\) south: 2 sources, 1 lines"):
        check_routing(network, narrow, placement, good)


def test_check_routing_refuses_a_way_through_a_neuron_tile():
    network = chain(neurons=3)
    chip = Chip(1, 3, 1, 3, 3, 3)
    placement = placed([0, 2, 1], [0, 0, 0], [0])
    good = route(network, chip, placement)
    # Neuron 0 on tile 0 to neuron 1 on tile 2, straight through tile 1.
    first, last = good.offsets[1], good.offsets[2]

    def spliced(old, new):
        return np.concatenate([old[:first], new, old[last:]]).astype(old.dtype)

    bad = replace(
        good,
        offsets=good.offsets + np.where(np.arange(5) > 1, 4 - (last - first), 0),
        cell=spliced(good.cell, [8, 9, 10, 11]),
        side=spliced(good.side, [1, 1, 1, 1]),
        line=spliced(good.line, [0, 0, 0, 0]),
    )
    with pytest.raises(MosaicError, match="route of source 1 does not end at its targets"):
        check_routing(network, chip, placement, bad)


def test_a_kept_routing_of_another_chip_is_refused():
    network = chain(neurons=2)
    large, small = Chip(3, 3, 1, 2, 2, 2), Chip(1, 2, 1, 2, 2, 2)
    far = route(network, large, placed([0, 8], [0, 0], [0]))
    with pytest.raises(MosaicError, match="of another chip"):
        route(network, small, place(network, small), keep=far)
