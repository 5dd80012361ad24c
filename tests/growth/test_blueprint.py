"""What is put on the chip: checked when made, run as it says, and priced by what differs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import lif

from growth.blueprint import BIAS, INPUTS, Blueprint, Connection, Population
from growth.bridge import MosaicHost, network_of
from growth.layered import Layered
from mosaic_sim import Chip, Device, MosaicError, technology_preset
from mosaic_sim.image import devices


def drawn(shape, seed=0):
    return np.random.default_rng(seed).integers(-14, 18, shape).astype(np.float32) / 16


def small(present=None, seed=0, leak=0.5):
    """Two layers and a bias, numbered out of order."""
    hidden = Population("hidden", np.array([3, 0, 2]), leak)
    out = Population("out", np.array([1, 4]), leak, threshold=0.75)
    return Blueprint(
        4,
        (hidden, out),
        (
            Connection(INPUTS, "hidden", drawn((3, 4), seed), present),
            Connection("hidden", "out", drawn((2, 3), seed + 1)),
            Connection(BIAS, "out", drawn((2, 1), seed + 2)),
        ),
    )


def new_host():
    chip = Chip(2, 2, neurons_per_tile=5, tile_lines=8, r0_lines=8, r1_lines=8)
    return MosaicHost(chip, technology_preset("rram-130nm"), Device(levels=8), 1e6)


@given(st.integers(0, 999))
def test_a_blueprint_fires_on_the_chip_as_in_torch_and_as_its_equations_say(seed):
    net = small(seed=seed)
    spikes = np.random.default_rng(seed).random((5, 7, 4)) < 0.6
    drive = spikes.transpose(1, 0, 2).astype(np.float32)
    hidden = lif(drive @ net.connections[0].weight.T, 0.5)
    current = hidden @ net.connections[1].weight.T + net.connections[2].weight.T
    membrane, fired, out = np.zeros((5, 2)), np.zeros((5, 2)), []
    for now in current:
        membrane = 0.5 * membrane + now - 0.75 * fired
        fired = (membrane > 0.75).astype(float)
        out.append(fired)
    found = net.run(torch.from_numpy(drive))
    assert (found["hidden"].numpy() == hidden).all()
    assert (found["out"].numpy() == np.stack(out)).all()
    raster = new_host().deploy(net).raster(spikes).transpose(1, 0, 2)
    assert (raster[..., [3, 0, 2]] == hidden).all()
    assert (raster[..., [1, 4]] == np.stack(out)).all()


def test_devices_are_where_the_blueprint_says_also_at_weight_nothing():
    present = np.zeros((3, 4), bool)
    present[[0, 1, 2], [1, 1, 3]] = True
    net = small(present)
    net.connections[0].weight[0, 1] = 0
    assert net.synapses == 3 + 6 + 2
    network = network_of(net)
    found = set(zip(network.source.tolist(), network.target.tolist(), strict=True))
    first = network.first_neuron
    hidden, out = net.populations[0].births, net.populations[1].births
    assert found == (
        {(1, hidden[0]), (1, hidden[1]), (3, hidden[2])}
        | {(first + h, o) for h in hidden for o in out}
        | {(4, o) for o in out}
    )
    assert network.threshold[[1, 4]].tolist() == [0.75, 0.75]
    assert network.threshold[[0, 2, 3]].tolist() == [1, 1, 1]


def test_serving_another_task_rewrites_what_differs_and_moves_nothing():
    host, one, two = new_host(), small(seed=1), small(seed=7)
    assert one.wired_like(two)
    first = host.deploy(one)
    other = host.variant(two, before=first)
    now, then = (
        dict(zip(*(a.tolist() for a in devices(d.program)), strict=True))
        for d in (other, first)
    )
    changed = sum(now.get(d, 0) != then.get(d, 0) for d in now.keys() | then.keys())
    assert other.writes == changed > 0
    assert host.last is first
    assert np.array_equal(other.placement.tile, first.placement.tile)
    assert host.variant(one, before=other).writes == changed
    assert host.variant(two).writes == 0  # not counted
    again = host.deploy(two)
    assert again.writes == changed
    assert host.last is again


def test_other_wires_are_no_variant():
    host, net = new_host(), small()
    with pytest.raises(MosaicError, match="other synapses than what is on the chip"):
        host.variant(net)
    host.deploy(net)
    present = np.ones((3, 4), bool)
    present[0, 0] = False
    assert not net.wired_like(small(present))
    with pytest.raises(MosaicError, match="other synapses than what is on the chip"):
        host.variant(small(present))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda p, c: (p, [*c, Connection("out", "hidden", drawn((3, 2)))]),
            "before its target",
        ),
        (lambda p, c: (p, [*c, Connection(INPUTS, "absent", drawn((3, 4)))]), "before its"),
        (
            lambda p, c: (p, [*c, Connection(INPUTS, "out", drawn((2, 3)))]),
            r"needs \(2, 4\)",
        ),
        (lambda p, c: (p[:1], c[:1]), "every number from 0 to 2 must stand once"),
        (
            lambda p, c: (
                p,
                [Connection(INPUTS, "out", drawn((2, 4)), np.ones((1, 4), bool))],
            ),
            "present from 'inputs' to 'out' has shape",
        ),
    ],
)
def test_a_blueprint_that_cannot_be_is_refused(change, match):
    net = small()
    populations, connections = change(net.populations, list(net.connections))
    with pytest.raises(MosaicError, match=match):
        Blueprint(4, tuple(populations), tuple(connections))


def test_no_chip_takes_what_does_not_spike():
    net = Layered([4, 3, 2], leak=0.5, spiking=False, generator=torch.Generator())
    with pytest.raises(MosaicError, match='set cell = "lif"'):
        network_of(net.blueprint())


def test_layers_take_other_weights_and_leave_their_own():
    net = Layered([4, 3, 2], leak=0.5, generator=torch.Generator().manual_seed(0))
    other = {name: w.detach() + 0.5 for name, w in net.weights.items()}
    x = (torch.rand(7, 5, 4, generator=torch.Generator().manual_seed(1)) < 0.6).float()
    assert not torch.equal(net(x), net(x, other))
    assert torch.equal(net.blueprint(other).run(x)["out"], net(x, other))
    assert torch.equal(net.activity(x)[0], net.blueprint().run(x)["layer 1"])
    masked = net.blueprint(present={"w0": np.eye(3, 4, dtype=bool)})
    assert masked.synapses == 3 + 6


@pytest.mark.parametrize("sizes", [[4], [4, 0, 2]])
def test_layers_without_neurons_are_refused(sizes):
    with pytest.raises(MosaicError, match="sizes is"):
        Layered(sizes, leak=0.5, generator=torch.Generator())
