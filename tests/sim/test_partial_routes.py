import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_sim import Chip, MosaicError, Network, Placement
from mosaic_sim.place import tiles_reached
from mosaic_sim.route import check_routing, route
from mosaic_sim.route.partial import route_most


def random_network(rng, chip, connections):
    """One synapse for each connection of a neuron to a tile, and an input at each northern port."""
    k, n = chip.neurons_per_tile, chip.neurons
    pairs = rng.choice(n * chip.tiles, size=min(connections, n * chip.tiles), replace=False)
    neuron, tile = np.divmod(pairs, chip.tiles)
    inputs = np.arange(chip.columns)
    net = Network.from_synapses(
        inputs=chip.columns, neurons=n,
        source=np.concatenate([inputs, chip.columns + neuron]),
        target=k * np.concatenate([inputs, tile]),
        weight=np.ones(pairs.size + chip.columns),
        delay=np.repeat([0, 1], [chip.columns, pairs.size]),
    )  # fmt: skip
    every = np.arange(n)
    where = Placement(*(x.astype(np.int32) for x in (every // k, every % k, inputs)))
    return net, where


def without(net, placement, missed):
    """The network less the connections that were missed."""
    gone = {tuple(pair) for pair in missed.tolist()}
    stays = [
        (s, placement.tile[t]) not in gone
        for s, t in zip(net.source, net.target, strict=True)
    ]
    return Network.from_synapses(
        inputs=net.inputs, neurons=net.neurons, source=net.source[stays],
        target=net.target[stays], weight=net.weight[stays], delay=net.delay[stays],
    )  # fmt: skip


@given(
    st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4),
    st.integers(0, 60),
)  # fmt: skip
def test_what_is_laid_is_legal_and_what_is_missed_is_not_laid(
    seed, rows, columns, lines, size
):
    chip = Chip(rows, columns, 4, lines, lines, 4)
    rng = np.random.default_rng(seed)
    net, where = random_network(rng, chip, size)
    found = route_most(net, chip, where, order=rng.permutation(net.sources))
    left = without(net, where, found.missed)
    check_routing(left, chip, where, found.routing)
    offsets, tiles = tiles_reached(net, where, chip)
    pairs = set(
        zip(np.repeat(np.arange(net.sources), np.diff(offsets)), tiles, strict=True)
    )
    assert {tuple(pair) for pair in found.missed} <= pairs
    assert bool(found.over) >= bool(found.missed.size)
    more = Network.from_synapses(
        inputs=net.inputs, neurons=net.neurons, source=net.source, target=net.target,
        weight=net.weight, delay=net.delay,
    )  # fmt: skip
    again = route_most(more, chip, where, keep=found.routing)
    assert {tuple(pair) for pair in again.missed} <= {tuple(pair) for pair in found.missed}


def test_with_enough_lines_nothing_is_missed_and_kept_trees_only_shrink():
    chip = Chip(3, 3, 4, 36, 36, 36)
    net, where = random_network(np.random.default_rng(0), chip, 120)
    found = route_most(net, chip, where)
    assert not found.missed.size
    assert not found.over
    check_routing(net, chip, where, found.routing)
    few = without(net, where, np.argwhere(np.ones((net.sources, 9)))[::2])
    kept = route_most(few, chip, where, keep=route(net, chip, where))
    check_routing(few, chip, where, kept.routing)


def test_sources_that_come_first_get_the_lines():
    chip = Chip(1, 2, 4, 1, 1, 4)
    net = Network.from_synapses(
        inputs=0, neurons=8, source=range(4), target=[4] * 4, weight=1.0, delay=1
    )
    where = Placement(
        np.repeat([0, 1], 4).astype(np.int32), np.tile(np.arange(4), 2).astype(np.int32),
        np.zeros(0, np.int32),
    )  # fmt: skip
    found = route_most(net, chip, where, order=[3, 2, 1, 0, 4, 5, 6, 7])
    assert 3 not in found.missed[:, 0]
    assert 0 in found.missed[:, 0]
    with pytest.raises(MosaicError, match="each of 8 sources once"):
        route_most(net, chip, where, order=[0, 0, 1, 2, 3, 4, 5, 6])
