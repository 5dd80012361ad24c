import numpy as np
import pytest
from hypothesis import given
from paper import DRIVE, technology, tiny
from strategies import builds

from mosaic_sim import Chip, price, simulate, technology_preset
from mosaic_sim.area import chip_area, tile_areas
from mosaic_sim.events import powered


def test_the_areas_of_a_small_chip_are_those_worked_out_by_hand():
    # A cell takes 1, a neuron 100, a comparator 10, a driver 5.
    chip = Chip(1, 2, neurons_per_tile=3, tile_lines=4, r0_lines=1, r1_lines=5)
    areas = tile_areas(chip, technology())
    assert (
        areas["NT"] == 19 * 6 + 3 * 100 + 19 * 5
    )  # 16 lines and 3 feedback rows, 6 columns
    assert areas["R0"] == 4 * 4 + 4 * 10 + 4 * 5
    assert areas["R1"] == 20 * 20 + 20 * 10 + 20 * 5


def test_the_area_of_a_tiny_network_is_that_of_its_chip_and_of_its_powered_tiles():
    program = tiny().program
    area = price(program, simulate(program, DRIVE), technology()).area
    tile, corner, between = 10 * 4 + 2 * 100 + 10 * 5, 16 + 4 * 15, 64 + 8 * 15
    assert area.each == {"NT": tile, "R0": corner, "R1": between}
    assert area.by_kind() == {"NT": 2 * tile, "R0": 6 * corner, "R1": 7 * between}
    assert area.powered_by_kind() == {"NT": 2 * tile, "R0": 0, "R1": 7 * between}
    assert area.total == 2 * tile + 6 * corner + 7 * between
    assert area.powered_total == 2 * tile + 7 * between


@given(builds())
def test_crossbars_take_the_area_of_all_devices_that_are_built_in(built):
    free = dict.fromkeys(("neuron_area", "comparator_area", "driver_area"), 0)
    area = chip_area(built.program, technology(cell_area=1, **free))
    assert area.by_kind() == built.chip.devices
    on = powered(built.program)
    assert sum(area.powered.values()) == np.count_nonzero(on)
    assert sum(area.built.values()) == built.chip.cells
    assert area.powered_total <= area.total


def test_a_chip_is_square_millimetres_not_metres():
    program = tiny().program
    area = chip_area(program, technology_preset("rram-130nm"))
    assert area.total == pytest.approx((2 * 2240 + 6 * 296 + 7 * 624) * 1e-12)
