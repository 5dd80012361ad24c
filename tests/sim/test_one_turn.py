"""The published router, against its rules walked step by step."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from strategies import FEW, MANY, hops_by_search, networks, roomy, scattered

from mosaic_sim import Chip, MosaicError, Network, Placement, place, route
from mosaic_sim.route import (
    ROUTERS,
    one_turn,
    one_turn_loads,
    port_violations,
    ports_of_links,
)

STEP = {"N": (-1, 0), "E": (0, 1), "S": (1, 0), "W": (0, -1)}
OTHER = dict(zip("NESW", "SWNE", strict=True))


# --- oracle ---------------------------------------------------------------------------


def way(home, goal):
    """Directions of the published way between two tiles, (row, column) each."""
    (r, c), (gr, gc) = home, goal
    if abs(gr - r) + abs(gc - c) == 1:
        return ("S" if gr > r else "N" if gr < r else "E" if gc > c else "W") * 2
    if gc == c:  # cells, not tiles: the router column to the west
        return "W" + ("S" if gr > r else "N") * (2 * abs(gr - r)) + "E"
    out = "S" if gr > r else "N"
    across = ("E" if gc > c else "W") * (2 * abs(gc - c) - 1)
    # North also for the same row: then one cell back down.
    back = "S" if out == "S" or gr == r else "N"
    down = back * (1 if gr == r else 2 * abs(gr - r) - 1)
    return out + across + down + ("E" if gc > c else "W")


def steps(home, goal):
    """[(cell, direction)] of a way; cells as (row, column) of the grid."""
    r, c = 2 * home[0] + 1, 2 * home[1] + 1
    found = []
    for direction in way(home, goal):
        found.append(((r, c), direction))
        r, c = r + STEP[direction][0], c + STEP[direction][1]
    assert (r, c) == (2 * goal[0] + 1, 2 * goal[1] + 1)
    return found


def ports_by_hand(chip, reach, home):
    """Ports as a table, by sets: every neuron counts once on a port."""
    ports = np.zeros((*chip.shape, 8), int)
    for neuron, tiles in enumerate(reach):
        own = divmod(int(home[neuron]), chip.columns)
        used = set()
        for tile in np.flatnonzero(tiles):
            goal = divmod(int(tile), chip.columns)
            if goal == own:
                continue
            for (r, c), direction in steps(own, goal):
                there = r + STEP[direction][0], c + STEP[direction][1]
                used.add((*there, "NESW".index(OTHER[direction])))
                if r % 2 == 0 or c % 2 == 0:
                    used.add((r, c, 4 + "NESW".index(direction)))
        for port in used:
            ports[port] += 1
    for r in range(1, chip.shape[0], 2):
        for c in range(1, chip.shape[1], 2):
            for direction, (down, right) in STEP.items():
                at = r + down, c + right, "NESW".index(OTHER[direction])
                ports[at] = chip.neurons_per_tile
    return ports.reshape(chip.cells, 8)


sides = st.integers(1, 4)


@st.composite
def tables(draw):
    """Return a chip, some of its neurons on tiles in any order, and what they reach."""
    k = draw(st.integers(1, 3))
    chip = Chip(draw(sides), draw(sides), k, k, k, k)
    neurons = draw(st.integers(0, chip.neurons))
    slots = draw(st.permutations(range(chip.neurons)))[:neurons]
    reach = draw(arrays.arrays(bool, (neurons, chip.tiles)))
    return chip, reach, np.array(slots, int) // k


# --- loads ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 1), (1, 5), (4, 1), (3, 4), (5, 5), (8, 8)]
)
def test_every_way_crosses_as_many_routing_tiles_as_the_published_formula(rows, columns):
    chip = Chip(rows, columns, 1, 1, 1, 1)
    for goal in range(chip.tiles):
        reach = np.zeros((chip.tiles, chip.tiles), bool)
        reach[:, goal] = True
        visited = one_turn_loads(chip, reach).visited
        assert visited[:, :2].sum(1).tolist() == chip.tile_hops[:, goal].tolist()
        searched = hops_by_search(rows, columns, divmod(goal, columns))
        assert visited[:, :2].sum(1).tolist() == [
            searched[divmod(tile, columns)] for tile in range(chip.tiles)
        ]
        assert visited[:, 2].tolist() == [int(tile != goal) for tile in range(chip.tiles)]


@MANY
@given(tables())
def test_loads_are_those_of_the_rules_walked_step_by_step(case):
    chip, reach, home = case
    loads = one_turn_loads(chip, reach, home)
    assert np.array_equal(loads.ports, ports_by_hand(chip, reach, home))
    for neuron, tiles in enumerate(reach):
        own = divmod(int(home[neuron]), chip.columns)
        goals = [divmod(int(tile), chip.columns) for tile in np.flatnonzero(tiles)]
        cells = {
            (r + STEP[d][0], c + STEP[d][1])
            for goal in goals
            if goal != own
            for (r, c), d in steps(own, goal)
        }
        kinds = [sum((r % 2) + (c % 2) == odd for r, c in cells) for odd in (0, 1, 2)]
        assert loads.visited[neuron].tolist() == kinds


def test_neurons_fill_tiles_in_order_where_no_tile_is_given():
    chip = Chip(2, 3, 2, 2, 2, 2)
    reach = np.random.default_rng(0).random((chip.neurons, chip.tiles)) < 0.4
    given_home = one_turn_loads(chip, reach, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    assert np.array_equal(one_turn_loads(chip, reach).ports, given_home.ports)


def test_two_ways_that_meet_again_load_the_router_twice_as_published():
    # From tile 4 of 4 x 3, row 1: to tile 10 two rows below, out to the west and down; and to
    # tile 9 beside that, out to the south, to the west, and down the same column of routers.
    chip = Chip(4, 3, 1, 4, 4, 4)
    reach = np.zeros((12, 12), bool)
    reach[4, [9, 10]] = True
    ports = one_turn_loads(chip, reach).ports.reshape(9, 7, 8)
    assert ports[4, 2].tolist() == [
        1,
        1,
        0,
        0,
        0,
        0,
        1,
        0,
    ]  # in from north and east, out south
    routed = links(chip, reach[4:5], [4], "one_turn")
    into = [link for link in routed if link in {((3, 2), "S"), ((4, 3), "W")}]
    assert len(into) == 1  # a tree enters the cell once


@given(tables(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_violations_are_the_ports_with_more_sources_than_lines(case, into, r0, r1):
    chip, reach, home = case
    k = chip.neurons_per_tile
    chip = Chip(chip.rows, chip.columns, k, into, r0, k + r1 - 1)
    ports = one_turn_loads(chip, reach, home).ports
    lines = {"NT": into, "R0": r0, "R1": k + r1 - 1}
    over = [
        (cell, port)
        for cell in range(chip.cells)
        for port in range(8)
        if ports[cell, port] > lines[str(chip.kinds[cell])]
    ]
    assert port_violations(chip, ports) == len(over)


# --- routing --------------------------------------------------------------------------


def network_of(reach, home):
    """Return a network with a reader on every tile, beside the neurons that reach it."""
    neurons, tiles = reach.shape
    source, tile = np.nonzero(reach)
    network = Network.from_synapses(
        inputs=0, neurons=neurons + tiles, source=source, target=neurons + tile, weight=1.0,
        delay=1,
    )  # fmt: skip
    return network, np.concatenate([np.asarray(home, int), np.arange(tiles)])


def placed_on(chip, tile):
    order = np.argsort(tile, kind="stable")
    slot = np.empty(tile.size, np.int32)
    slot[order] = np.arange(tile.size) - np.searchsorted(tile[order], tile[order])
    return Placement(tile.astype(np.int32), slot, np.empty(0, np.int32))


def routed_on(chip, reach, home, router="one_turn"):
    network, tile = network_of(np.asarray(reach), home)
    wide = Chip(chip.rows, chip.columns, *[network.neurons] * 4)
    return wide, route(network, wide, placed_on(wide, tile), router=router)


def links(chip, reach, home, router):
    """{(cell, direction)} of the first neuron's tree."""
    wide, routing = routed_on(chip, reach, home, router)
    part = slice(routing.offsets[0], routing.offsets[1])
    return {
        (divmod(int(cell), wide.shape[1]), "NESW"[side])
        for cell, side in zip(routing.cell[part], routing.side[part], strict=True)
    }


@given(tables())
def test_trees_are_made_of_the_published_ways_where_lines_suffice(case):
    chip, reach, home = case
    if not reach.size:
        return
    for neuron in range(min(3, reach.shape[0])):
        own = divmod(int(home[neuron]), chip.columns)
        allowed = {
            step
            for tile in np.flatnonzero(reach[neuron])
            for step in steps(own, divmod(int(tile), chip.columns))
            if divmod(int(tile), chip.columns) != own
        }
        only = slice(neuron, neuron + 1)
        assert links(chip, reach[only], home[only], "one_turn") <= allowed


@given(networks(), st.data())
def test_short_room_and_plenty_lay_the_same_trees(network, data):
    chip = roomy(network, data.draw(sides), data.draw(sides))
    placement = data.draw(scattered(network, chip))
    whole = route(network, chip, placement, router="one_turn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["mosaic_sim.route.board"], "ROOM", 0)
        pieces = route(network, chip, placement, router=one_turn)
    for name in ("offsets", "cell", "side", "line", "entry_line"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name))


def test_neurons_that_are_searched_for_may_read_themselves():
    # Three neurons of tile 0 reach their own tile and tile 1; one line fits the way between.
    network = Network.from_synapses(
        inputs=0, neurons=4, source=[0, 1, 2] * 2, target=[3, 3, 3, 0, 1, 2], weight=1.0,
        delay=1,
    )  # fmt: skip
    chip = Chip(1, 2, 4, 1, 1, 4)
    tile = np.array([0, 0, 0, 1])
    routing = route(network, chip, placed_on(chip, tile), router="one_turn")
    assert np.diff(routing.offsets)[0] == 2  # straight
    assert np.diff(routing.offsets)[1:3].tolist() == [4, 4]  # around, north and south
    assert not (routing.load(chip)[:, 3] > 0)[6]  # nothing comes back to tile 0


@FEW
@given(tables())
def test_a_network_without_violations_is_routed_within_the_published_loads(case):
    chip, reach, home = case
    wide, routing = routed_on(chip, reach, home)
    loads = one_turn_loads(wide, reach, home)
    assert port_violations(wide, loads.ports) == 0
    ours = ports_of_links(wide, routing.load(wide))
    router = wide.is_router
    assert (ours[router] <= loads.ports[router]).all()
    assert np.array_equal(ours[~router], loads.ports[~router])  # arrivals are the same


# --- refusals -------------------------------------------------------------------------

SMALL = Chip(1, 2, 2, 2, 2, 2)


@pytest.mark.parametrize(
    ("reach", "home", "message"),
    [
        (np.ones((2, 3)), None, r"reach has shape \(2, 3\).* each of the 2 tiles"),
        (np.ones(2), None, r"reach has shape \(2,\)"),
        (np.ones((5, 2)), None, "reach has 5 rows.* at most 4"),
        (np.ones((2, 2)), [0], "home needs one tile from 0 to 1 for each of the 2 rows"),
        (np.ones((2, 2)), [0, 2], "home needs one tile"),
        (np.ones((2, 2)), [0, -1], "home needs one tile"),
        (np.ones((2, 2)), [0, 0.5], "home needs one tile"),
    ],
)
def test_tables_that_do_not_fit_the_chip_are_refused(reach, home, message):
    with pytest.raises(MosaicError, match=message):
        one_turn_loads(SMALL, reach, home)


def test_links_and_ports_of_another_chip_are_refused():
    with pytest.raises(MosaicError, match=r"links has shape \(3, 4\).*\(15, 4\)"):
        ports_of_links(SMALL, np.zeros((3, 4)))
    with pytest.raises(MosaicError, match=r"ports has shape \(15, 4\).*\(15, 8\)"):
        port_violations(SMALL, np.zeros((15, 4)))


def test_a_router_may_be_named_and_an_unknown_name_is_refused():
    net = Network.from_synapses(inputs=1, neurons=1, source=[0], target=[0], weight=1.0)
    placement = place(net, SMALL)
    for name, router in ROUTERS.items():
        one, two = (route(net, SMALL, placement, router=r) for r in (name, router))
        assert np.array_equal(one.cell, two.cell)
    with pytest.raises(MosaicError, match=r"Unknown router 'one-turn'.*'one_turn'"):
        route(net, SMALL, placement, router="one-turn")
