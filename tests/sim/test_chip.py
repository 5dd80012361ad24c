from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import around, hops_by_search, kind

from mosaic_sim import Chip, ConfigError, chip_preset
from mosaic_sim.chip import SIDES

GRIDS = [(rows, columns) for rows in range(1, 9) for columns in range(1, 9)]


def grid(rows, columns):
    return Chip(rows, columns, neurons_per_tile=1, tile_lines=1, r0_lines=1, r1_lines=1)


@pytest.mark.parametrize("rows", range(1, 9))
def test_hops_equal_a_breadth_first_search_on_every_grid_up_to_8x8(rows):
    for columns in range(1, 9):
        chip = grid(rows, columns)
        tiles = [chip.tile_position(t) for t in range(chip.tiles)]
        sites = [tuple(site) for site in chip.port_sites.tolist()]
        for table, starts in ((chip.tile_hops, tiles), (chip.port_hops, sites)):
            assert table.shape == (len(starts), chip.tiles)
            for start, hops in zip(starts, table.tolist(), strict=True):
                found = hops_by_search(rows, columns, start)
                assert hops == [found[tile] for tile in tiles], (start, columns)
                assert hops == [chip.hops(start, tile) for tile in tiles]
                assert hops == [chip.hops(tile, start) for tile in tiles]


@pytest.mark.parametrize(("rows", "columns"), GRIDS)
def test_hops_are_symmetric_and_odd_unless_zero(rows, columns):
    chip = grid(rows, columns)
    assert (chip.tile_hops == chip.tile_hops.T).all()
    assert (chip.tile_hops.diagonal() == 0).all()
    off_diagonal = chip.tile_hops[~np.eye(chip.tiles, dtype=bool)]
    assert (off_diagonal % 2 == 1).all()
    assert (chip.port_hops % 2 == 1).all()


# facts/mosaic.md section 1, from the published matrices of 16, 25 and 64 tiles.
@pytest.mark.parametrize(
    ("side", "largest", "mean", "shares"),
    [
        (4, 11, 4.73, [0.0625, 0.1875, 0.1406, 0.3125, 0.2188, 0.0625, 0.0156]),
        (5, 15, 6.07, [0.04, 0.128, 0.1024, 0.2496, 0.224, 0.16, 0.064, 0.0256, 0.0064]),
        (8, 27, 10.0, [0.0156, 0.0547, 0.0479, 0.1289, 0.1426, 0.1445, 0.1357, 0.117]),
    ],
)
def test_hop_distribution_is_the_published_one(side, largest, mean, shares):
    hops = grid(side, side).tile_hops
    assert hops.max() == largest
    distinct = hops[hops > 0]
    assert abs(float(Fraction(int(distinct.sum()), distinct.size)) - mean) < 0.006
    for value, share in zip([0, 1, 3, 5, 7, 9, 11, 13, 15], shares, strict=False):
        assert abs((hops == value).mean() - share) < 6e-5 + 5e-4 * (value > 11), value


@pytest.mark.parametrize("n", range(1, 9))
def test_square_grid_has_as_many_cells_of_each_kind_as_published(n):
    kinds = grid(n, n).kinds.tolist()
    assert kinds.count("NT") == n**2
    assert kinds.count("R0") == (n + 1) ** 2
    assert kinds.count("R1") == 2 * n * (n + 1)
    assert len(kinds) == (2 * n + 1) ** 2


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (8, 5)])
def test_kind_of_a_cell_follows_from_its_coordinates(rows, columns):
    chip = grid(rows, columns)
    width = 2 * columns + 1
    for cell, name in enumerate(chip.kinds):
        assert name == kind(*divmod(cell, width))
        assert chip.cell_name(cell) == f"{name} ({cell // width}, {cell % width})"
    tiles = [chip.tile_cell(t) for t in range(chip.tiles)]
    assert tiles == [c for c, name in enumerate(chip.kinds) if name == "NT"]


@pytest.mark.parametrize(("rows", "columns"), GRIDS)
def test_ports_are_the_outward_sides_of_the_border_routers_clockwise(rows, columns):
    chip = grid(rows, columns)
    height, width = chip.shape
    north = [((0, c), "north") for c in range(1, width, 2)]
    east = [((r, width - 1), "east") for r in range(1, height, 2)]
    south = [((height - 1, c), "south") for c in range(width - 2, 0, -2)]
    west = [((r, 0), "west") for r in range(height - 2, 0, -2)]
    ports = [chip.port_cell(port) for port in range(len(chip.port_sites))]
    assert [(divmod(cell, width), SIDES[side]) for cell, side in ports] == (
        north + east + south + west
    )
    assert {chip.kinds[cell] for cell, _ in ports} == {"R1"}


@given(st.integers(1, 3), st.integers(1, 3), st.lists(st.integers(1, 9), min_size=4))
def test_a_link_has_the_lines_of_its_narrower_side(rows, columns, lines):
    neurons, tile_lines, r0_lines, r1_lines = lines[:4]
    r1_lines += neurons
    chip = Chip(rows, columns, neurons, tile_lines, r0_lines, r1_lines)
    out = {"NT": neurons, "R0": r0_lines, "R1": r1_lines}
    into = out | {"NT": tile_lines}
    height, width = chip.shape
    for cell, four in enumerate(chip.capacity.tolist()):
        here = divmod(cell, width)
        for there, capacity in zip(around(*here), four, strict=True):
            if 0 <= there[0] < height and 0 <= there[1] < width:
                assert capacity == min(out[kind(*here)], into[kind(*there)])
            else:
                assert capacity == 0


def test_devices_of_a_chip_are_those_of_its_crossbars():
    # 2 x 1 tiles, by hand. A neuron tile: 4 sides of 5 lines and 3 feedback rows, 3 pairs of
    # columns: 23 x 6. Six R0 of (4 x 2) x (4 x 2), seven R1 of (4 x 7) x (4 x 7).
    chip = Chip(2, 1, neurons_per_tile=3, tile_lines=5, r0_lines=2, r1_lines=7)
    assert chip.devices == {"NT": 2 * 23 * 6, "R0": 6 * 8 * 8, "R1": 7 * 28 * 28}


@pytest.mark.parametrize("k", [1, 2, 8, 32])
def test_tile_with_as_many_lines_as_neurons_has_5_k_squared_pairs(k):
    # The formula recalled from the paper: 4 directions and recurrence.
    assert Chip(1, 1, k, k, k, k).devices["NT"] == 2 * 5 * k**2


@pytest.mark.parametrize("lines", [(32, 8, 32), (5, 3, 40)])
def test_devices_of_square_chips_follow_the_published_router_formula(lines):
    # arXiv:2412.01575: n^2 tiles, R0 (4 k0)^2 each, R1 (4 k1)^2 each, 2 n (n + 1) of them.
    tile_lines, k0, k1 = lines
    devices = Chip(5, 5, 32, tile_lines, k0, k1).devices
    assert devices["R0"] == 36 * 16 * k0**2
    assert devices["R1"] == 60 * 16 * k1**2


@pytest.mark.parametrize(
    ("name", "tiles", "neurons"),
    [("shd", 64, 2048), ("routing-aware", 25, 800), ("demo", 16, 384)],
)
def test_presets_have_the_published_sizes(name, tiles, neurons):
    chip = chip_preset(name)
    assert (chip.tiles, chip.neurons) == (tiles, neurons)


def test_unknown_preset_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"'routing-avare'.*Did you mean 'routing-aware'"):
        chip_preset("routing-avare")


@pytest.mark.parametrize(
    "field",
    ["rows", "columns", "neurons_per_tile", "tile_lines", "r0_lines", "r1_lines"],
)
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None])
def test_a_size_that_is_no_positive_integer_is_refused_by_name(field, value):
    sizes = dict.fromkeys(
        ("rows", "columns", "neurons_per_tile", "tile_lines", "r0_lines", "r1_lines"), 1
    )
    with pytest.raises(ConfigError, match=rf"Chip\.{field} is .*integer of at least 1"):
        Chip(**sizes | {field: value})


@pytest.mark.parametrize("field", ["tile_lines", "r0_lines", "r1_lines"])
def test_a_side_with_more_lines_than_a_route_can_name_is_refused(field):
    most = Chip(1, 1, neurons_per_tile=1, tile_lines=1, r0_lines=1, r1_lines=1)
    assert getattr(replace(most, **{field: 32_767}), field) == 32_767
    with pytest.raises(ConfigError, match=rf"Chip\.{field} is 32768; .*at most 32767"):
        replace(most, **{field: 32_768})


def test_router_too_narrow_for_the_outputs_of_a_tile_is_refused():
    with pytest.raises(ConfigError, match=r"r1_lines is 3.* 4 neurons.*at least 4"):
        Chip(1, 1, neurons_per_tile=4, tile_lines=1, r0_lines=1, r1_lines=3)
