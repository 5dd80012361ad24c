"""Broken tiles and lines: what they take away, and that nothing uses them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from strategies import (
    around,
    build,
    builds,
    chain,
    drives,
    kind,
    networks,
    placed,
    prefix,
    roomy,
    scattered,
)

from mosaic_sim import (
    CHIPS,
    CapacityError,
    Chip,
    ConfigError,
    MosaicError,
    Network,
    RoutingError,
    compile_program,
    load_chip,
    load_program,
    place,
    price,
    route,
    save_program,
    simulate,
    technology_preset,
    writes,
)
from mosaic_sim.area import tile_areas
from mosaic_sim.place import PLACERS, check_placement
from mosaic_sim.route import ROUTERS, check_routing

PLACER = pytest.mark.parametrize("placer", PLACERS.values(), ids=PLACERS)
ROUTER = pytest.mark.parametrize("router", ROUTERS.values(), ids=ROUTERS)


# --- oracles: straight from the words, cell by cell ------------------------------------


def cells(chip):
    return [(r, c) for r in range(2 * chip.rows + 1) for c in range(2 * chip.columns + 1)]


def number(chip, cell):
    return cell[0] * (2 * chip.columns + 1) + cell[1]


def broken_cells(chip):
    tiles = {
        (2 * (t // chip.columns) + 1, 2 * (t % chip.columns) + 1) for t in chip.broken_tiles
    }
    return tiles | {divmod(c, 2 * chip.columns + 1) for c in chip.broken_routers}


def lines_out(chip, cell, side):
    """Lines of one side, broken or not; on an outward side those by which inputs enter."""
    out = {"NT": chip.neurons_per_tile, "R0": chip.r0_lines, "R1": chip.r1_lines}
    there = around(*cell)[side]
    if there not in cells(chip):
        return chip.r1_lines if kind(*cell) == "R1" else 0
    return min(out[kind(*cell)], (out | {"NT": chip.tile_lines})[kind(*there)])


def usable(chip, cell, side):
    """Lines of one side that carry something."""
    if {cell, around(*cell)[side]} & broken_cells(chip):
        return []
    lost = {k for c, s, k in chip.broken_lines if (c, s) == (number(chip, cell), side)}
    return [k for k in range(lines_out(chip, cell, side)) if k not in lost]


def outward(chip, cell, side):
    return around(*cell)[side] not in cells(chip)


@st.composite
def hurt(draw, chip, most=4):
    """The same chip with something broken."""
    every = [
        (number(chip, cell), side, line)
        for cell in cells(chip)
        for side in range(4)
        for line in range(lines_out(chip, cell, side))
    ]
    routers = [number(chip, cell) for cell in cells(chip) if kind(*cell) != "NT"]

    def some(values, limit):
        return draw(st.lists(st.sampled_from(values), max_size=limit, unique=True))

    return replace(
        chip,
        broken_tiles=some(range(chip.tiles), min(most, chip.tiles - 1)),
        broken_routers=some(routers, most),
        broken_lines=some(every, 8 * most),
    )


@st.composite
def small(draw):
    neurons = draw(st.integers(1, 4))
    sides = st.integers(1, 3)
    lines = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return Chip(
        draw(sides), draw(sides), neurons, *lines, neurons + draw(st.integers(0, 3))
    )


def assert_avoided(chip, placement, routing):
    dead = broken_cells(chip)
    for tile in placement.tile.tolist():
        assert tile not in chip.broken_tiles
    for cell, side, line in zip(
        routing.cell.tolist(), routing.side.tolist(), routing.line.tolist(), strict=True
    ):
        here = divmod(cell, 2 * chip.columns + 1)
        assert not {here, around(*here)[side]} & dead
        assert line in usable(chip, here, side)
    for port, line in zip(
        placement.port.tolist(), routing.entry_line.tolist(), strict=True
    ):
        cell, side = chip.port_cell(port)
        assert line in usable(chip, divmod(cell, 2 * chip.columns + 1), side)


# --- the chip ---------------------------------------------------------------------------


@given(small().flatmap(hurt))
def test_capacity_is_what_is_left_of_each_side(chip):
    for cell in cells(chip):
        at = number(chip, cell)
        assert chip.is_broken[at] == (cell in broken_cells(chip))
        for side in range(4):
            left = usable(chip, cell, side)
            if outward(chip, cell, side):
                assert chip.capacity[at, side] == chip.wired[at, side] == 0
            else:
                assert chip.capacity[at, side] == len(left)
                assert chip.wired[at, side] == lines_out(chip, cell, side)
            all_of_them = range(lines_out(chip, cell, side))
            here = [np.full(len(all_of_them), x) for x in (at, side)]
            lost = chip.line_broken(*here, np.array(all_of_them, int))
            assert np.flatnonzero(~lost).tolist() == left
            here = [np.full(len(left), x) for x in (at, side)]
            assert chip.line_numbers(*here, np.arange(len(left))).tolist() == left
    for port, lines in enumerate(chip.port_lines.tolist()):
        cell, side = chip.port_cell(port)
        assert lines == len(usable(chip, divmod(cell, 2 * chip.columns + 1), side))
    for tile in range(chip.tiles):
        cell = divmod(chip.tile_cell(tile), 2 * chip.columns + 1)
        arriving = [usable(chip, c, (s + 2) % 4) for s, c in enumerate(around(*cell))]
        assert chip.fan_in[tile] == sum(map(len, arriving))
        assert chip.slots[tile] == (
            0 if tile in chip.broken_tiles else chip.neurons_per_tile
        )
    assert chip.neurons == chip.slots.sum()


@given(small(), st.data())
def test_a_chip_with_faults_is_a_value(chip, data):
    one = data.draw(hurt(chip))
    mixed = replace(
        chip,
        broken_tiles=data.draw(st.permutations(one.broken_tiles)),
        broken_routers=np.array(one.broken_routers, int),
        broken_lines=[list(line) for line in one.broken_lines[::-1]],
    )
    assert mixed == one
    assert hash(mixed) == hash(one)
    assert Chip.from_integers(one.as_integers()) == one
    assert (one == chip) == one.whole
    assert replace(one, broken_tiles=(), broken_routers=(), broken_lines=()) == chip


@given(small(), st.data())
def test_masks_break_what_they_mark(chip, data):
    one, two = data.draw(hurt(chip)), data.draw(hurt(chip))
    tiles = np.zeros(chip.tiles, bool)
    tiles[list(two.broken_tiles)] = True
    routers = np.zeros(chip.shape, bool)
    routers.flat[list(two.broken_routers)] = True
    lines = np.zeros((chip.cells, 4, 9), bool)
    for line in two.broken_lines:
        lines[line] = True
    both = one.with_faults(
        tiles=data.draw(st.sampled_from([tiles, tiles.reshape(chip.rows, -1)])),
        routers=routers,
        lines=lines,
    )
    for name in ("broken_tiles", "broken_routers", "broken_lines"):
        assert set(getattr(both, name)) == {*getattr(one, name), *getattr(two, name)}
    assert one.with_faults() == one


BASE = Chip(2, 3, neurons_per_tile=2, tile_lines=3, r0_lines=4, r1_lines=5)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"broken_tiles": [6]}, "broken_tiles has the tile 6; this chip has tile 0 to 5"),
        ({"broken_tiles": [-1]}, "broken_tiles has the tile -1"),
        ({"broken_tiles": [2, 1, 2]}, r"broken_tiles has 2 twice"),
        (
            {"broken_tiles": [1.0]},
            r"broken_tiles has the entry 1.0; each needs whole numbers",
        ),
        ({"broken_tiles": [True]}, "has the entry True"),
        ({"broken_tiles": 3}, "broken_tiles is 3; it needs a list"),
        (
            {"broken_routers": [35]},
            "broken_routers has the cell 35; this chip has cell 0 to 34",
        ),
        ({"broken_routers": [8]}, r"the cell 8, NT \(1, 1\), which is no routing tile"),
        ({"broken_lines": [(0, 4, 0)]}, "the side 4; this chip has side 0 to 3"),
        ({"broken_lines": [(35, 0, 0)]}, "the cell 35"),
        ({"broken_lines": [(0, 1)]}, r"entry \(0, 1\); .*: \(cell, side, line\)"),
        ({"broken_lines": [(0, 1, 2), (0, 1, 2)]}, r"has \(0, 1, 2\) twice"),
        ({"broken_lines": [(0, 1, 4)]}, r"line 4 of R0 \(0, 0\) east, which has 4 lines"),
        ({"broken_lines": [(0, 0, 0)]}, r"line 0 of R0 \(0, 0\) north, which has 0 lines"),
        ({"broken_lines": [(1, 0, 5)]}, r"line 5 of R1 \(0, 1\) north, which has 5 lines"),
        ({"broken_lines": [(8, 2, 2)]}, r"line 2 of NT \(1, 1\) south, which has 2 lines"),
        ({"broken_lines": [(1, 2, 3)]}, r"line 3 of R1 \(0, 1\) south, which has 3 lines"),
    ],
)
def test_faults_that_a_chip_cannot_have_are_refused_by_name(faults, message):
    with pytest.raises(ConfigError, match=message):
        replace(BASE, **faults)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (
            {"tiles": np.zeros((3, 2), bool)},
            r"tiles has shape \(3, 2\).* \(6,\) or \(2, 3\)",
        ),
        ({"tiles": [0, 1, 0, 0, 0, 0]}, r"tiles has shape \(6,\) and holds int64"),
        (
            {"routers": np.zeros((2, 3), bool)},
            r"routers has.* of shape \(35,\) or \(5, 7\)",
        ),
        ({"routers": np.ones((5, 7), bool)}, "which is no routing tile"),
        (
            {"lines": np.zeros((35, 4), bool)},
            r"lines has.* \(35, 4, 5\) \(cells, sides, li",
        ),
        ({"lines": np.ones((35, 4, 5), bool)}, "has 0 lines|has 4 lines"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_with_the_right_shape(masks, message):
    with pytest.raises(ConfigError, match=message):
        BASE.with_faults(**masks)


def test_what_is_broken_is_still_there_to_pay_for():
    chip = CHIPS["demo"]
    dead = chip.with_faults(
        tiles=np.arange(16) < 3, routers=chip.kinds.reshape(chip.shape) == "R0"
    )
    assert dead.devices == chip.devices
    assert dead.tile_hops.tolist() == chip.tile_hops.tolist()
    paper = technology_preset("rram-130nm")
    assert tile_areas(dead, paper) == tile_areas(chip, paper)


def test_a_chip_file_can_say_what_is_broken(tmp_path):
    path = tmp_path / "hurt.toml"
    path.write_text(
        'preset = "demo"\nbroken_tiles = [3, 1]\nbroken_lines = [[0, 1, 5], [0, 2, 0]]\n'
    )
    chip = load_chip(path)
    assert chip.broken_tiles == (1, 3)
    assert chip.broken_lines == ((0, 1, 5), (0, 2, 0))
    path.write_text('preset = "demo"\nbroken_tiles = [16]\n')
    with pytest.raises(
        ConfigError, match=r"hurt.toml: .*tile 16; this chip has tile 0 to 15"
    ):
        load_chip(path)


# --- placing and routing ----------------------------------------------------------------


@PLACER
@given(networks(), st.data())
def test_a_placement_avoids_what_is_broken_or_is_refused(placer, network, data):
    chip = data.draw(small().flatmap(hurt))
    try:
        placement = place(network, chip, placer=placer)
    except CapacityError:
        event("too many" if network.neurons > chip.neurons else "refused")
        return
    assert not set(placement.tile.tolist()) & set(chip.broken_tiles)
    entering = np.bincount(placement.port, minlength=len(chip.port_sites))
    assert (entering <= chip.port_lines).all()


@PLACER
@given(networks(), st.data())
def test_whole_tiles_with_room_for_everything_are_enough(placer, network, data):
    chip = roomy(network)
    chip = replace(chip, neurons_per_tile=network.neurons, r1_lines=2 * network.sources)
    some = data.draw(st.lists(st.integers(0, 3), max_size=3, unique=True))
    placement = place(network, replace(chip, broken_tiles=some), placer=placer)
    assert not set(placement.tile.tolist()) & set(some)


@ROUTER
@given(networks(), st.data())
def test_lines_to_spare_make_up_for_broken_ones(router, network, data):
    lines = network.sources + 2
    chip = Chip(2, 2, network.neurons, *[lines] * 3)
    every = [
        (number(chip, cell), side, line)
        for cell in cells(chip)
        for side in range(4)
        if kind(*cell) != "NT" and lines_out(chip, cell, side)
        for line in data.draw(st.sampled_from([(), (0,), (lines - 1,), (0, 1), (1, 2)]))
    ]
    chip = replace(chip, broken_lines=every)
    placement = place(network, chip, placer="in order")
    assert_avoided(chip, placement, route(network, chip, placement, router=router))


@ROUTER
@given(networks(), st.data())
def test_a_routing_avoids_what_is_broken_or_is_refused(router, network, data):
    chip = data.draw(hurt(roomy(network, data.draw(st.integers(1, 3)))))
    try:
        placement = place(network, chip, placer="in order")
        routing = route(network, chip, placement, router=router)
    except CapacityError as error:
        event(type(error).__name__)
        return
    event("legal")
    assert_avoided(chip, placement, routing)
    whole = replace(chip, broken_tiles=(), broken_routers=(), broken_lines=())
    check_routing(network, whole, placement, routing)  # a tree like any other


@ROUTER
@given(networks(neurons=6), st.data())
def test_routes_grow_around_what_is_broken(router, network, data):
    chip = data.draw(hurt(roomy(network), most=2))
    old = prefix(network, data.draw(st.integers(0, network.neurons)), bias=network.bias)
    try:
        first = place(old, chip)
        kept = route(old, chip, first, router=router)
        placement = place(network, chip, keep=first)
        routing = route(network, chip, placement, keep=kept, router=router)
    except CapacityError:
        return
    assert_avoided(chip, placement, routing)


@given(builds(), st.data())
def test_faults_change_no_spike(built, data):
    chip = data.draw(hurt(built.chip, most=2))
    spikes = data.draw(drives(built.network))
    try:
        other = build(built.network, chip)
    except CapacityError:
        event("refused")
        return
    there = simulate(other.program, spikes).counts
    assert there.tolist() == simulate(built.program, spikes).counts.tolist()


def test_a_neuron_leaves_on_the_sides_where_its_output_is_whole():
    network = chain(neurons=2, weight=1.0)
    where = placed([0, 1], [1, 0], [0])
    chip = Chip(1, 2, 2, 2, 2, 2)
    home = chip.tile_cell(0)
    east = route(network, chip, where)
    assert east.side[east.cell == home].tolist() == [1]
    shut = replace(chip, broken_lines=((home, 1, 1),))
    for router in ROUTERS:
        around_it = route(network, shut, where, router=router)
        assert around_it.side[around_it.cell == home].tolist() in ([0], [2])
    # Slot 0 is not concerned: the line beside it is broken.
    aside = placed([0, 1], [0, 0], [0])
    routing = route(network, shut, aside)
    assert routing.side[routing.cell == home].tolist() == [1]
    dumb = replace(chip, broken_lines=tuple((home, side, 1) for side in range(4)))
    with pytest.raises(RoutingError, match=r"Source 1 cannot reach NT \(1, 3\): broken"):
        route(network, dumb, where)


def test_inputs_enter_where_ports_are_whole():
    network = Network.from_synapses(
        inputs=6, neurons=1, source=range(6), target=[0] * 6, weight=1.0
    )
    chip = Chip(1, 1, 1, 2, 2, 2)  # four ports of two lines
    north, east, _, _ = chip.port_cells.tolist()
    hurt_chip = replace(chip, broken_routers=(north,), broken_lines=((east, 1, 0),))
    assert hurt_chip.port_lines.tolist() == [0, 1, 2, 2]
    five = prefix_of_inputs(network, 5)
    placement = place(five, hurt_chip)
    assert sorted(placement.port.tolist()) == [1, 2, 2, 3, 3]
    routing = route(five, hurt_chip, placement)
    assert routing.entry_line[placement.port == 1].tolist() == [1]
    with pytest.raises(
        CapacityError, match=r"6 inputs do not fit the 4 ports.*3 of them bro"
    ):
        place(network, hurt_chip)
    with pytest.raises(CapacityError, match="Port 1 has 2 inputs; it has 1 lines that are"):
        check_placement(five, hurt_chip, placed([0], [0], [1, 1, 2, 2, 3]))
    wrong = replace(
        routing, entry_line=np.where(placement.port == 1, 0, routing.entry_line)
    )
    with pytest.raises(RoutingError, match=r"uses line 0 of R1 .* east, which is broken"):
        check_routing(five, hurt_chip, placement, wrong)


def prefix_of_inputs(network, inputs):
    return Network.from_synapses(
        inputs=inputs, neurons=1, source=range(inputs), target=[0] * inputs, weight=1.0
    )


def test_placements_and_routes_on_what_broke_since_are_refused_by_name():
    network = chain(neurons=3)
    chip = Chip(1, 3, 1, 2, 2, 2)
    placement = place(network, chip, placer="in order")
    routing = route(network, chip, placement)
    dead = replace(chip, broken_tiles=(1,))
    with pytest.raises(
        CapacityError, match="placement has neuron 1 on tile 1, which is brok"
    ):
        check_placement(network, dead, placement)
    spare = Chip(1, 4, 1, 2, 2, 2, broken_tiles=(1,))
    with pytest.raises(CapacityError, match="keep has neuron 1 on tile 1, which is broken"):
        place(network, spare, keep=placement)
    k = int(np.flatnonzero(chip.is_router[routing.cell])[0])
    at = int(routing.cell[k]), int(routing.side[k]), int(routing.line[k])
    for faults in ({"broken_lines": (at,)}, {"broken_routers": (at[0],)}):
        with pytest.raises(
            RoutingError, match=rf"source \d uses line {at[2]} of R\d .* broken"
        ):
            check_routing(network, replace(chip, **faults), placement, routing)
    with pytest.raises(
        CapacityError, match="on 1 x 3 tiles of 1, 1 of them broken: 1 too ma"
    ):
        place(network, dead)


def test_a_tile_with_too_few_whole_lines_is_refused_with_both_numbers():
    network = Network.from_synapses(
        inputs=4, neurons=1, source=range(4), target=[0] * 4, weight=1.0
    )
    chip = Chip(1, 1, 1, 1, 4, 4)
    above = chip.neighbours[chip.tile_cell(0), 0]
    hurt_chip = replace(chip, broken_lines=((int(above), 2, 0),))
    with pytest.raises(CapacityError, match=r"without broken ones.*at least 4 lines"):
        place(network, hurt_chip)
    with pytest.raises(
        CapacityError, match=r"4 sources arrive at tile 0; .* 3 lines that are"
    ):
        check_placement(network, hurt_chip, placed([0], [0], [0, 1, 2, 3]))


# --- what comes after --------------------------------------------------------------------


@given(builds(), st.data())
def test_a_program_remembers_what_is_broken(tmp_path_factory, built, data):
    chip = data.draw(hurt(built.chip, most=2))
    try:
        program = build(built.network, chip).program
    except CapacityError:
        return
    path = tmp_path_factory.mktemp("program") / "a.npz"
    save_program(program, path)
    assert load_program(path).geometry == program.geometry == chip


def test_a_program_on_what_is_broken_is_refused(tmp_path):
    network = chain(neurons=2)
    whole = build(network, Chip(1, 2, 1, 1, 1, 1), placed([0, 1], [0, 0], [0]))
    program = whole.program
    for faults, message in (
        ({"broken_tiles": (1,)}, "a neuron is on a broken tile"),
        ({"broken_lines": ((int(program.link_cell[0]), int(program.link_side[0]), 0),)},
         "link_line names a broken line"),
    ):  # fmt: skip
        chip = replace(whole.chip, **faults)
        bad = program._replace(chip=np.array(chip.as_integers()))
        save_program(bad, tmp_path / "bad.npz")
        with pytest.raises(MosaicError, match=message):
            load_program(tmp_path / "bad.npz")
    for short in (8, 10):
        numbers = np.array(replace(whole.chip, broken_tiles=(1,)).as_integers())[:short]
        save_program(program._replace(chip=numbers), tmp_path / "bad.npz")
        with pytest.raises(MosaicError, match="listed as three counts, then the entries"):
            load_program(tmp_path / "bad.npz")


def test_a_chip_on_which_something_broke_can_be_written_anew():
    network = chain(neurons=2)
    chip = Chip(2, 2, 2, 2, 2, 2)
    before = build(network, chip).program
    used = int(before.tile[0])
    after = build(network, replace(chip, broken_tiles=(used,))).program
    assert writes(before, after) > 0
    assert writes(before, build(network, chip).program) == 0


@given(builds(), st.data())
def test_the_bill_of_a_run_does_not_ask_what_is_broken(built, data):
    """The same program on a chip where what it does not use is broken costs the same."""
    chip = built.chip
    used = set(zip(built.routing.cell.tolist(), built.routing.side.tolist(), strict=True))
    for port in built.placement.port.tolist():
        used.add(chip.port_cell(port))
    lines = [
        (number(chip, cell), side, 0)
        for cell in cells(chip)
        for side in range(4)
        if (number(chip, cell), side) not in used and lines_out(chip, cell, side)
    ]
    tiles = sorted({*range(chip.tiles)} - set(built.placement.tile.tolist()))
    chip = replace(chip, broken_tiles=tiles, broken_lines=lines)
    program = compile_program(built.network, chip, built.placement, built.routing)
    whole = compile_program(built.network, built.chip, built.placement, built.routing)
    spikes = data.draw(drives(built.network))
    paper = technology_preset("rram-130nm")
    here, there = (price(p, simulate(p, spikes), paper) for p in (program, whole))
    assert here.energy == there.energy
    assert here.devices == there.devices


def test_routers_are_given_the_whole_lines_in_order():
    chip = replace(BASE, broken_lines=[(0, 1, 0), (0, 1, 2)])
    cell, side = np.zeros(2, int), np.ones(2, int)
    assert chip.line_numbers(cell, side, [0, 1]).tolist() == [1, 3]
    assert chip.line_numbers(cell + 2, side, [0, 1]).tolist() == [0, 1]


@given(networks(), st.data())
def test_scattered_placements_are_refused_only_for_what_is_broken(network, data):
    chip = roomy(network)
    placement = data.draw(scattered(network, chip))
    check_placement(network, chip, placement)
    dead = replace(chip, broken_tiles=(data.draw(st.integers(0, 3)),))
    if set(placement.tile.tolist()) & set(dead.broken_tiles):
        with pytest.raises(CapacityError, match="which is broken"):
            check_placement(network, dead, placement)
    else:
        check_placement(network, dead, placement)
