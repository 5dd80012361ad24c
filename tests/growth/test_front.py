"""The frozen layer of local filters in front of the experts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate2d
from tiny import tiny

from growth.blueprint import BIAS, INPUTS, Blueprint, Connection, Population
from growth.bridge import MosaicHost, make_technology
from growth.config import FrontConfig, load_experiment
from growth.encode import regular_rate
from growth.front import FEATURES, gabor, make_front
from growth.measure import in_torch
from growth.strategies import Grow
from mosaic_sim import Device, MosaicError, chip_preset

SMALL = FrontConfig(kind="gabor", size=3, stride=2, orientations=2, wave=3.0, gain=0.6)


def small(**changes):
    """A front for digits of 8 x 8 pixels: 16 squares of 4 filters."""
    values = {"levels": 16, "leak": 0.9, "steps": 16} | changes
    return make_front(SMALL, 64, **values)


def reader(front, seed=0):
    """Two neurons that read the front and the bias line."""
    weight = np.random.default_rng(seed).normal(size=(2, front.size)).astype(np.float32)
    return Blueprint(
        front.size,
        (Population("expert 0/out", np.arange(2), 0.9),),
        (
            Connection(INPUTS, "expert 0/out", weight),
            Connection(BIAS, "expert 0/out", np.full((2, 1), 0.1, np.float32)),
        ),
    )


@settings(max_examples=20, deadline=None)
@given(size=st.sampled_from([3, 5, 9]), count=st.integers(1, 6), wave=st.floats(3.0, 12.0))
def test_filters_have_length_1_and_see_nothing_in_an_even_field(size, count, wave):
    found = gabor(size, count, wave)
    assert found.shape == (2 * count, size, size)
    np.testing.assert_allclose((found**2).sum((1, 2)), 1.0)
    np.testing.assert_allclose(found.sum((1, 2)), 0.0, atol=1e-9)
    turned = found[:, ::-1, ::-1]
    np.testing.assert_allclose(turned[:count], -found[:count], atol=1e-9)  # edges
    np.testing.assert_allclose(turned[count:], found[count:], atol=1e-9)  # lines


def test_an_edge_is_seen_best_by_the_filter_of_its_angle():
    along = np.arange(9) - 4
    y, x = np.meshgrid(along, along, indexing="ij")
    filters = gabor(9, 8, 8.0)
    for k in range(8):
        angle = 2 * np.pi * k / 8
        image = (x * np.cos(angle) + y * np.sin(angle) > 0.01).astype(float)
        assert (filters * image).sum((1, 2)).argmax() == k


@pytest.mark.parametrize("planes", [1, 2])
def test_neurons_compute_the_correlation_at_every_square(planes):
    config = SMALL.model_copy(update={"planes": planes})
    front = make_front(config, planes * 64, levels=2**16, leak=0.9, steps=16)
    image = np.random.default_rng(1).random((planes, 8, 8))
    found = (front.weight @ image.ravel()).reshape(4, 4, planes, 4)
    for plane in range(planes):
        for k, one in enumerate(0.6 * gabor(3, 2, 3.0)):
            full = correlate2d(image[plane], one, mode="same")
            np.testing.assert_allclose(found[:, :, plane, k], full[::2, ::2], atol=1e-3)


def test_a_neuron_reads_its_square_and_no_more():
    front = small()
    reads = front.reads.reshape(4, 4, 4, 8, 8)
    corner, inside = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    corner[:2, :2] = True  # cut off at the edge
    inside[1:4, 3:6] = True
    assert (reads[0, 0] == corner).all()
    assert (reads[1, 2] == inside).all()
    assert not front.weight[~front.reads].any()


def test_weights_are_on_the_levels_of_a_device():
    weight = small(levels=4).weight
    level = weight / np.abs(weight).max(1, keepdims=True) * 3
    np.testing.assert_allclose(level, np.round(level), atol=1e-5)
    assert len(np.unique(np.round(level))) > 4


def test_rates_are_what_the_layer_fires_in_front_of_a_network(stream):
    front = small()
    inputs = stream.tasks[0].test_inputs[:30]
    fired = in_torch(regular_rate(inputs, 16))(front.before(reader(front)))
    np.testing.assert_array_equal(front.rates(inputs) * 16, fired[FEATURES])
    assert 0 < front.rates(inputs).mean() < 0.5


def test_a_network_behind_the_layer_does_what_it_does_on_its_spikes(stream):
    front, inputs = small(), stream.tasks[0].test_inputs[:30]
    whole = front.before(reader(front))
    assert [p.births.tolist() for p in whole.populations] == [
        list(range(64)),
        [64, 65],
    ]
    assert whole.inputs == 64
    import torch

    spikes = torch.from_numpy(
        regular_rate(inputs, 16).transpose(1, 0, 2).astype(np.float32)
    )
    found = whole.run(spikes)
    alone = reader(front).run(found[FEATURES])
    assert torch.equal(found["expert 0/out"], alone["expert 0/out"])
    assert 0 < alone["expert 0/out"].mean() < 1


@pytest.mark.parametrize(
    ("changes", "inputs", "message"),
    [
        ({}, 65, "square images"),
        ({"planes": 2}, 64, "square images"),
        ({"size": 4}, 64, "odd"),
    ],
)
def test_what_is_no_image_and_what_has_no_middle_is_refused(changes, inputs, message):
    with pytest.raises(MosaicError, match=message):
        make_front(SMALL.model_copy(update=changes), inputs, levels=16, leak=0.9, steps=16)


# --- on the chip ---------------------------------------------------------------------------


def host(**changes):
    from dataclasses import replace

    chip = replace(
        chip_preset("demo"), **({"rows": 3, "columns": 3, "neurons_per_tile": 32} | changes)
    )
    return MosaicHost(chip, make_technology("rram-130nm"), Device(levels=16), 1e6)


def test_the_layer_sits_where_it_was_settled_and_claims_what_arrives():
    front, here = small(), host()
    here.settle(front.reads)
    assert np.bincount(here.settled).max() <= 32
    taken = np.ones(front.size + 1, bool)
    free = next(t for t in range(9) if t not in here.used)
    here.claim(0, free, "out", 2, taken)
    deployed = here.deploy(front.before(reader(front)))
    tiles = deployed.placement.tile
    assert tiles[:64].tolist() == here.settled
    assert tiles[64:].tolist() == [free, free]
    for tile in set(here.settled):
        own = np.array(here.settled) == tile
        assert here.heard[tile] == front.reads[own].any(0).sum()


def test_lines_of_the_layer_on_the_same_tile_need_no_way():
    front, here = small(), host(neurons_per_tile=80, r1_lines=80)
    here.settle(front.reads)
    assert set(here.settled) == {here.settled[0]}  # it has room for more
    own = here.settled[0]
    offers = {o.tile: o for o in here.offers(np.ones(front.size + 1), None, 1.0)}
    assert offers[own].there[:-1].all()
    assert not offers[own].bring[:-1, 1].any()
    assert offers[own].lines == here.chip.fan_in[own] - 64  # its pixels arrive already
    other = next(tile for tile in offers if tile != own)
    assert (offers[other].bring[:-1, 1] == here.chip.tile_hops[own, other]).all()
    before = here.state()
    here.claim(0, own, "out", 2, np.arange(front.size + 1) < front.size)
    after = {o.tile: o for o in here.offers(np.ones(front.size + 1), None, 1.0)}
    assert after[own].lines == offers[own].lines  # nothing comes from outside
    assert before["settled"] == here.settled


def test_a_layer_that_does_not_fit_is_refused_with_what_would():
    with pytest.raises(MosaicError, match=r"32 do. Set front.stride higher"):
        host(rows=1, columns=1).settle(small().reads)
    here = host()
    here.settle(small().reads)
    with pytest.raises(MosaicError, match="empty chip"):
        here.settle(small().reads)


# --- in front of the learner ---------------------------------------------------------------


def test_a_learner_behind_the_layer_learns_from_rates(stream):
    experiment = tiny(
        "grow",
        "front.kind=gabor",
        "front.size=3",
        "front.stride=2",
        "front.orientations=2",
        "grow.rounds=1",
        "train.epochs=1",
    )
    from growth.host import Unlimited

    learner = Grow(experiment, stream, Unlimited(), 0)
    assert learner.inputs == 64
    task = stream.tasks[0]
    behind = learner.behind(task)
    np.testing.assert_array_equal(
        behind.train_inputs, learner.front.rates(task.train_inputs)
    )
    assert behind.test is task.test  # tested on images, on the chip
    learner.learn(task)
    assert learner.blueprint().populations[0].name == FEATURES


def test_a_run_without_a_layer_keeps_its_name():
    plain = load_experiment("split-digits-grow")
    other = load_experiment("split-digits-grow", ["front.kind=gabor"])
    assert plain.fingerprint() == "1063371e"
    assert other.fingerprint() != plain.fingerprint()
