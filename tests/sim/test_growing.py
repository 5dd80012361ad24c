"""New neurons between placed ones, against H computed anew and against all free slots."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import networks, placed, prefix, scattered, sixteenths
from test_place import assert_legal, lines_into_tiles

from mosaic_sim import CapacityError, Chip, place
from mosaic_sim.place import Growing, hop_cost, insertion_costs, moved


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
        with pytest.raises(CapacityError, match=f"to neuron {network.neurons - 1}: the 6"):
            place(network, chip, keep=keep, rates=rates)
        return
    grown = place(network, chip, keep=keep, rates=rates)
    assert hop_cost(network, chip, grown, rates) == min(costs)
    assert not moved(keep, grown).size


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
    except CapacityError:
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
                now, chip, keep=keep, growing=growing if keep else None, placer=None
            )
        except CapacityError:
            return
        assert_legal(now, chip, grown)
        if keep is not None:
            assert growing != "frozen" or not moved(keep, grown).size
            assert np.array_equal(grown.port, keep.port)
        keep = grown
