"""Convolutional networks against explicit loops, autograd and the network that is unrolled."""

import itertools

import numpy as np
import pytest
import torch
from classics import both_cells
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from growth.blueprint import INPUTS
from growth.bridge import make_host
from growth.config import ConvConfig, Experiment, load_experiment
from growth.convolutional import Convolutional
from growth.layered import Layered
from growth.learner import check_experiment, make_stream
from growth.meter import levels_of
from growth.strategies import STRATEGIES
from growth.strategies.gradients import flat, of_groups, squares
from mosaic_sim.errors import ConfigError


def conv_of(filters, *, kernel=3, strides=(), planes=1):
    return ConvConfig(filters=filters, kernel=kernel, strides=strides, planes=planes)


def net_of(cell, conv, inputs=25, dense=(4, 3), seed=0):
    net = Convolutional(
        inputs, conv, dense, leak=0.75, spiking=cell == "lif",
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    with torch.no_grad():  # biases other than 0, and neurons that fire: rest proves nothing
        for name, w in net.weights.items():
            if name[0] == "b":
                w.copy_(torch.linspace(-0.5, 0.5, len(w)))
            elif cell == "lif":
                w.mul_(1.5).add_(0.25 if w.ndim == 2 else 0.1)
    return net


def drive(cell, samples, inputs=25, seed=0):
    rng = torch.Generator().manual_seed(seed)
    given = torch.rand(6 if cell == "lif" else 1, samples, inputs, generator=rng)
    return (given > 0.4).float() if cell == "lif" else given


def by_loops(image, kernel, bias, stride):
    """Oracle: a convolution with zeros around the image, straight from its definition."""
    filters, planes, size, _ = kernel.shape
    side, reach = image.shape[1], size // 2
    places = range(0, side, stride)
    found = np.zeros((filters, len(places), len(places)))
    for f, (i, y), (j, x) in itertools.product(
        range(filters), enumerate(places), enumerate(places)
    ):
        total = bias[f]
        for p, a, b in itertools.product(range(planes), range(size), range(size)):
            row, column = y + a - reach, x + b - reach
            if 0 <= row < side and 0 <= column < side:
                total += kernel[f, p, a, b] * image[p, row, column]
        found[f, i, j] = total
    return found


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 2), st.integers(1, 3), st.sampled_from([1, 3, 5]),
    st.integers(1, 3), st.integers(0, 99),
)  # fmt: skip
def test_a_layer_is_a_convolution(side, planes, filters, kernel, stride, seed):
    conv = conv_of((filters,), kernel=kernel, strides=(stride,), planes=planes)
    net = net_of("relu", conv, planes * side * side, (2,), seed)
    image = drive("relu", 1, planes * side * side, seed)
    found = net.layers(image)[0].current[0, 0].detach().numpy()
    wanted = by_loops(
        image[0, 0].view(planes, side, side).numpy(), net.w0.detach().numpy(),
        net.b0.detach().numpy(), stride,
    )  # fmt: skip
    np.testing.assert_allclose(found, wanted.ravel(), atol=1e-5)


@both_cells
@settings(max_examples=10, deadline=None)
@given(st.integers(3, 6), st.sampled_from([1, 3]), st.integers(1, 2), st.integers(0, 99))
def test_the_blueprint_computes_the_same(cell, side, kernel, stride, seed):
    conv = conv_of((2, 4), kernel=kernel, strides=(stride, 2))
    net = net_of(cell, conv, side * side, (4, 3), seed)
    # Multiples of 1/16: sums are exact in binary, so that the comparison needs no tolerance.
    weights = {name: (w.detach() * 8).round() / 16 for name, w in net.weights.items()}
    given = drive(cell, 5, side * side, seed)
    given = (given * 16).round() / 16
    found = list(net.blueprint(weights).run(given).values())
    wanted = net.activity(given, weights)
    assert len(found) == len(wanted) == 4
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@both_cells
def test_a_normalised_network_is_normalised_by_filter(cell):
    net = net_of(cell, conv_of((3, 2), strides=(1, 2)))
    net.normalise = True
    given = drive(cell, 7)
    current = net.layers(given)[0].current
    torch.testing.assert_close(
        net.seen["m0"],
        conv2d(given.view(-1, 1, 5, 5), net.w0, net.weights.get("b0"), padding=1).mean(
            (0, 2, 3)
        ),
    )
    maps = current.view(len(given), 7, 3, 25)
    torch.testing.assert_close(maps.mean((0, 1, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        maps.var((0, 1, 3), correction=0), torch.ones(3), rtol=1e-3, atol=0
    )
    if cell == "relu":
        # What the batch showed, handed in: the same network, folded into a blueprint.
        weights = {**net.weights, **net.seen}
        found = net.blueprint(weights).run(given)["out"]
        torch.testing.assert_close(found, net(given), atol=1e-5, rtol=1e-4)


def test_devices_stand_where_a_synapse_exists_only():
    net = net_of("lif", conv_of((2,)), dense=(3,))
    conv, dense = net.blueprint().connections
    assert conv.source == INPUTS
    assert conv.present.shape == (50, 25)
    # Of 25 positions 9 read nine pixels, 12 at the edges six, 4 in the corners four.
    assert conv.present.sum() == 2 * (9 * 9 + 12 * 6 + 4 * 4)
    assert net.blueprint().synapses == conv.present.sum() + 3 * 50
    assert dense.present is None
    assert not conv.weight[~conv.present].any()


def test_the_meter_sees_the_levels_of_every_device():
    net = net_of("lif", conv_of((3, 2), strides=(1, 2)))
    for k in range(net.depth):
        weight = net.weights[f"w{k}"]
        whole = levels_of(net.synapses(k, weight.detach())[0], 16)
        rows = levels_of(net.devices(k, weight), 16)
        assert len(whole) == len(rows)
        for one, other in zip(whole, rows, strict=True):
            assert sorted(one[one != 0].tolist()) == sorted(other[other != 0].tolist())


# --- gradients ---------------------------------------------------------------------------


def unrolled(net):
    """The same network as a dense one, whose weights depend on those of `net`."""
    weights = {}
    for k in range(net.depth):
        weights[f"w{k}"] = net.synapses(k, net.weights[f"w{k}"])[0]
        if f"b{k}" in net.weights:
            weights[f"b{k}"] = net.of_neurons(k, net.weights[f"b{k}"])
    dense = Layered(
        net.sizes, leak=net.leak, spiking=net.spiking, generator=torch.Generator()
    )
    return dense, weights


@both_cells
def test_gradients_are_those_of_the_unrolled_network(cell):
    net = net_of(cell, conv_of((3, 2), strides=(1, 2)))
    given = drive(cell, 6)

    def wanted_loss(out):
        return out.sum(0).log_softmax(1)[:, 1].sum()

    found = torch.autograd.grad(wanted_loss(net(given)), list(net.weights.values()))
    dense, weights = unrolled(net)
    wanted = torch.autograd.grad(
        wanted_loss(dense(given, weights)), list(net.weights.values())
    )
    for one, other in zip(found, wanted, strict=True):
        assert other.abs().max() > 1e-4
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@both_cells
def test_squares_and_groups_are_those_of_autograd(cell):
    net = net_of(cell, conv_of((3, 2), strides=(1, 2)))
    given, sizes = drive(cell, 5), [2, 3]
    layers = net.layers(given)
    found = squares(layers, layers[-1].output.sum(0).log_softmax(1)[:, 1], net)
    wanted = {name: torch.zeros_like(w) for name, w in net.weights.items()}
    for k in range(5):
        net.zero_grad()
        net(given[:, [k]]).sum(0).log_softmax(1)[0, 1].backward()
        for name, weight in net.weights.items():
            wanted[name] += weight.grad**2
    for name in wanted:
        assert wanted[name].abs().max() > 1e-6
        torch.testing.assert_close(found[name], wanted[name])
    losses = [part.square().mean() for part in layers[-1].output.split(sizes, 1)]
    for row, part in zip(
        of_groups(layers, losses, sizes, net), given.split(sizes, 1), strict=True
    ):
        net.zero_grad()
        net(part).square().mean().backward()
        torch.testing.assert_close(row, flat(w.grad for w in net.weights.values()))


# --- strategies --------------------------------------------------------------------------

TAKES = sorted(name for name, one in STRATEGIES.items() if one.takes_kernels)


def experiment_of(name, *settings, cell="lif"):
    if name in ("replay", "derpp", "gem", "agem"):
        settings = ("options.memory=40", *settings)
    return load_experiment(
        "split-digits-grow",
        [
            f'strategy="{name}"', f'cell="{cell}"', "conv.filters=[2,3]",
            "conv.strides=[2,1]", "hidden=[5]", "train.epochs=1", "stream.steps=6",
            "stream.identity=true", 'stream.classes=[[0,1],[2,3]]', "seeds=[0]",
            "stream.train_samples=60", "stream.test_samples=20", *settings,
        ],
    )  # fmt: skip


def test_which_strategies_train_kernels():
    assert {
        "naive", "joint", "replay", "derpp", "gem", "agem", "ewc", "ewc-online", "si", "lwf",
        "tiers", "independent",
    } == set(TAKES)  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - set(TAKES)))
def test_others_refuse_kernels(name):
    with pytest.raises(ConfigError, match=r"conv\.filters.*no use for kernels.*naive"):
        check_experiment(experiment_of(name))


@both_cells
@pytest.mark.parametrize("name", TAKES)
def test_strategies_train_kernels(name, cell):
    experiment = experiment_of(name, cell=cell)
    check_experiment(experiment)
    stream = make_stream(experiment, 0)
    learner = STRATEGIES[name](experiment, stream, None, 0)
    before = learner.blueprint(0)
    for task in stream.tasks:
        learner.learn(task)
    after = learner.blueprint(1)
    assert after.wired_like(before)
    changed = [
        bool((a.weight != b.weight).any())
        for a, b in zip(before.connections, after.connections, strict=True)
        if a.source != "bias"
    ]
    assert changed[-1]
    assert any(changed[:-1]) or name == "tiers"
    assert learner.meter.rewritten > 0
    again = STRATEGIES[name](experiment, stream, None, 0)
    again.load_state(learner.state())
    for a, b in zip(after.connections, again.blueprint(1).connections, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)


@pytest.mark.parametrize("statistics", ["none", "own", "shared", "all"])
def test_shared_statistics_forget_with_frozen_weights(statistics):
    experiment = experiment_of(
        "tiers", "options.frozen=2", f'options.statistics="{statistics}"', cell="relu"
    )
    stream = make_stream(experiment, 0)
    learner = STRATEGIES["tiers"](experiment, stream, None, 0)
    learner.learn(stream.tasks[0])
    given = torch.from_numpy(stream.tasks[0].test.inputs)[None]
    before = learner.blueprint(0).run(given.float())["out"]
    learner.options = learner.options.model_copy(update={"common_rate": 0.0})
    learner.learn(stream.tasks[1])
    after = learner.blueprint(0).run(given.float())["out"]
    assert torch.equal(before, after) == (statistics in ("none", "own"))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["conv.kernel=4"], "odd"),
        (["conv.strides=[1]"], "as many strides"),
        (["conv.filters=[0]"], "greater than or equal to 1"),
        (["conv.filter=[2]"], "filters"),
    ],
)
def test_a_wrong_setting_is_refused(settings, why):
    with pytest.raises(ConfigError, match=why):
        experiment_of("naive", *settings)


def test_what_is_no_square_is_refused():
    experiment = experiment_of("naive", "conv.planes=3")
    with pytest.raises(ConfigError, match=r"64 channels, which are not 3 times a square"):
        STRATEGIES["naive"](experiment, make_stream(experiment, 0), None, 0)


def test_an_experiment_without_kernels_keeps_its_name():
    old = Experiment(name="x", strategy="naive")
    assert "conv" in old.to_toml()
    assert old.fingerprint() == old.model_copy(update={"conv": ConvConfig()}).fingerprint()
    assert old.fingerprint() != experiment_of("naive").fingerprint()


def test_the_chip_fires_as_the_network_does():
    net = net_of("lif", conv_of((2, 3), strides=(2, 1)))
    weights = {name: (w.detach() * 8).round() / 16 for name, w in net.weights.items()}
    host = make_host(experiment_of("naive"))
    blueprint = net.blueprint(weights)
    deployed = host.deploy(blueprint)
    given = drive("lif", 8)
    raster = deployed.raster(given.numpy().transpose(1, 0, 2).astype(bool))
    for population, wanted in zip(
        blueprint.populations, net.activity(given, weights), strict=True
    ):
        found = raster[:, :, population.births].transpose(1, 0, 2)
        np.testing.assert_array_equal(found, wanted.detach().numpy() > 0)
    assert raster.any(axis=(0, 1)).sum() > 20
    # A switch writes a kernel at every position: one device for each weight that conducted.
    other = host.variant(
        net.blueprint(weights | {"w1": 0 * weights["w1"]}), before=deployed
    )
    levels = levels_of(net.devices(1, weights["w1"]), 16)
    assert other.writes == int((levels != 0).sum()) > weights["w1"].numel()
