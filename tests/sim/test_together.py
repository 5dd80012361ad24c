"""One chip for several networks: each is legal on it, and no smaller one of its kind does."""

import numpy as np
import pytest

from mosaic_sim import (
    CapacityError,
    MosaicError,
    Network,
    compile_program,
    fit_together,
    place,
    route,
)
from mosaic_sim.fit import fit


def dense(inputs, neurons, seed=0):
    post, pre = np.indices((neurons, inputs)).reshape(2, -1)
    weight = np.random.default_rng(seed).normal(size=post.size)
    return Network.from_synapses(
        inputs=inputs, neurons=neurons, source=pre, target=post, weight=weight
    )


@pytest.fixture(scope="module")
def networks():
    """Many inputs of few neurons, and few inputs of many neurons."""
    return {"wide": dense(12, 3), "tall": dense(2, 14)}


def test_every_network_is_legal_on_the_common_chip(networks):
    found = fit_together(networks, tile_sizes=[4, 8], effort=0.2, progress=False)
    assert found.devices == sum(found.chip.devices.values())
    for network in networks.values():
        placement = place(network, found.chip, progress=False)
        routing = route(network, found.chip, placement)
        compile_program(network, found.chip, placement, routing)


def test_it_has_the_most_that_any_of_them_needs_alone(networks):
    found = fit_together(networks, tile_sizes=[4], effort=0.2, progress=False)
    alone = {
        name: fit(net, tile_sizes=[4], effort=0.2, progress=False).chip
        for name, net in networks.items()
    }
    assert found.alone == alone
    for name in ("rows", "columns", "tile_lines", "r0_lines", "r1_lines"):
        most = max(getattr(c, name) for c in alone.values())
        assert most <= getattr(found.chip, name) <= 1.5 * most + 1
    assert (found.chip.rows, found.chip.columns) == (
        max(c.rows for c in alone.values()), max(c.columns for c in alone.values()),
    )  # fmt: skip
    assert len({c.rows * c.columns for c in alone.values()}) == 2


def test_of_several_sizes_the_fewest_devices_are_taken(networks):
    apart = [
        fit_together(networks, tile_sizes=[size], effort=0.2, progress=False)
        for size in (4, 8, 16)
    ]
    best = fit_together(networks, tile_sizes=[4, 8, 16], effort=0.2, progress=False)
    assert best.devices == min(one.devices for one in apart)
    assert len({one.devices for one in apart}) == 3


def test_what_fits_no_tile_is_said_with_the_reason(networks, monkeypatch):
    def none(*args, **kwargs):
        raise CapacityError("too many lines")

    monkeypatch.setattr("mosaic_sim.together.fit", none)
    with pytest.raises(CapacityError, match="4 neurons a tile: too many lines"):
        fit_together(networks, tile_sizes=[4], progress=False)


def test_nothing_to_fit_is_refused(networks):
    with pytest.raises(MosaicError, match="one or more networks"):
        fit_together({}, progress=False)
    with pytest.raises(MosaicError, match="one or more sizes"):
        fit_together(networks, tile_sizes=[], progress=False)
