import numpy as np
import pytest
import snntorch as snn
import torch
from strategies import build
from torch import nn

from mosaic_sim import MosaicError, simulate
from mosaic_sim.interop import from_snntorch


def on_snntorch(model, spikes):
    """Oracle: the spikes of all neurons, by running the model layer by layer in snnTorch."""
    x = torch.tensor(spikes, dtype=torch.float32)
    cells = [layer for layer in model if isinstance(layer, snn.Leaky | snn.RLeaky)]
    state = [None] * len(cells)
    raster = []
    with torch.no_grad():
        for t in range(x.shape[1]):
            value, fired = x[:, t], []
            for layer in model:
                if isinstance(layer, snn.Leaky | snn.RLeaky):
                    k = len(fired)
                    if state[k] is None:
                        state[k] = [torch.zeros_like(value)] * (
                            1 + isinstance(layer, snn.RLeaky)
                        )
                    value, *rest = layer(value, *state[k])
                    state[k] = [value, *rest] if isinstance(layer, snn.RLeaky) else rest
                    fired.append(value)
                else:
                    value = layer(value)
            raster.append(torch.cat(fired, 1))
    return torch.stack(raster, 1).numpy().astype(bool)


def randomise(model, seed, *, dyadic=True, mean=0.1):
    """Give every weight and bias a random value; multiples of 1/16 keep all sums exact."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            value = mean + 0.4 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_((16 * value).round() / 16 if dyadic else value)
    return model


def drive(inputs, *, steps=14, samples=6, seed=0):
    return np.random.default_rng(seed).random((samples, steps, inputs)) < 0.5


def assert_same_spikes(model, spikes):
    expected = on_snntorch(model, spikes)
    network = from_snntorch(model)
    fired = simulate(build(network).program, spikes, raster=True).raster
    assert np.array_equal(fired, expected)
    start = 0
    for members in network.groups.values():  # every layer is busy, or equality is nothing
        assert members.tolist() == list(range(start, start + members.size))
        start += members.size
        assert 0.05 < expected[..., members].mean() < 0.95
    return network


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_layers_of_leaky_fire_as_in_snntorch(reset, bias, beta):
    leaky = {"beta": beta, "reset_mechanism": reset, "threshold": 0.75}
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(7, 12, bias=bias),
        snn.Leaky(**leaky),
        nn.Linear(12, 10, bias=bias),
        snn.Leaky(**leaky),
        nn.Linear(10, 5, bias=bias),
        snn.Leaky(**leaky),
    )
    randomise(model, seed=1, mean=0.12)
    network = assert_same_spikes(model, drive(7, samples=8))
    assert (network.neurons, network.bias) == (27, bias)
    assert not network.delay.any()


@pytest.mark.parametrize("reset", ["subtract", "none"])
@pytest.mark.parametrize("all_to_all", [True, False])
def test_recurrent_layers_fire_as_in_snntorch(reset, all_to_all):
    shape = {"linear_features": 12} if all_to_all else {"V": torch.zeros(12)}
    model = nn.Sequential(
        nn.Linear(6, 12),
        snn.RLeaky(beta=0.5, all_to_all=all_to_all, reset_mechanism=reset, **shape),
        nn.Linear(12, 8),
        snn.Leaky(beta=0.5, reset_mechanism=reset),
    )
    randomise(model, seed=2)
    network = assert_same_spikes(model, drive(6))
    hidden = network.groups["layer 0"] + network.first_neuron
    recurrent = np.isin(network.source, hidden) & (network.target < 12)
    assert recurrent.sum() == np.count_nonzero(
        model[1].recurrent.weight.detach() if all_to_all else model[1].recurrent.V.detach()
    )
    assert (network.delay[recurrent] == 1).all()
    assert not network.delay[~recurrent].any()


def test_one_recurrent_weight_may_be_shared_by_all_neurons():
    model = nn.Sequential(nn.Linear(6, 9), snn.RLeaky(beta=0.5, all_to_all=False, V=-0.5))
    with torch.no_grad():
        randomise(model[:1], seed=3, mean=0.3)
    assert_same_spikes(model, drive(6))


def test_every_neuron_may_have_its_own_leak_and_threshold():
    leak = torch.tensor([0.0, 0.25, 0.5, 0.5, 1.0])
    threshold = torch.tensor([0.5, 0.75, 1.0, 1.25, 1.5])
    model = nn.Sequential(nn.Linear(8, 5), snn.Leaky(beta=leak, threshold=threshold))
    randomise(model, seed=4, mean=0.2)
    network = assert_same_spikes(model, drive(8, steps=8))
    assert network.leak.tolist() == leak.tolist()
    assert network.threshold.tolist() == threshold.tolist()


@pytest.mark.parametrize(
    "resets", [("zero", "none", "subtract"), ("none", "subtract", "zero")]
)
def test_every_layer_may_have_its_own_leak_threshold_and_reset(resets):
    layers = []
    for reset, beta, threshold in zip(
        resets, (0.5, 0.0, 1.0), (0.5, 0.75, 1.0), strict=True
    ):
        layers += [
            nn.Linear(8, 8),
            snn.Leaky(beta=beta, threshold=threshold, reset_mechanism=reset),
        ]
    assert_same_spikes(randomise(nn.Sequential(*layers), seed=6, mean=0.12), drive(8))


def test_learned_parameters_are_read_too():
    model = nn.Sequential(
        nn.Linear(5, 4),
        snn.Leaky(beta=0.5, threshold=0.5, learn_beta=True, learn_threshold=True),
    )
    with torch.no_grad():
        randomise(model[:1], seed=5, mean=0.2)
    assert_same_spikes(model, drive(5))


def test_spikes_of_a_model_in_floating_point_agree_but_for_rounding():
    wrong = total = 0
    for seed in range(3):
        model = nn.Sequential(
            nn.Linear(20, 40), snn.Leaky(beta=0.9), nn.Linear(40, 20), snn.Leaky(beta=0.93)
        )
        randomise(model, seed, dyadic=False)
        spikes = drive(20, steps=50, samples=10, seed=seed)
        expected = on_snntorch(model, spikes)
        program = build(from_snntorch(model)).program
        fired = simulate(program, spikes, raster=True).raster
        wrong += (fired != expected).sum()
        total += expected.size
        assert 0.05 < expected.mean() < 0.95
    assert wrong <= 0.001 * total


def test_weights_of_zero_become_no_synapses():
    model = nn.Sequential(nn.Linear(3, 2), snn.Leaky(beta=0.5))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0, 2], [0, 0, -3]]))
        model[0].bias.zero_()
    network = from_snntorch(model)
    assert not network.bias
    assert network.source.tolist() == [0, 2, 2]
    assert network.target.tolist() == [0, 0, 1]
    assert network.weight.tolist() == [1, 2, -3]


def leaky(**settings):
    return snn.Leaky(beta=0.5, **settings)


def linear(inputs=2, outputs=2):
    return nn.Linear(inputs, outputs)


def rleaky(**settings):
    return snn.RLeaky(beta=0.5, all_to_all=False, V=torch.ones(2), **settings)


def changed(**attributes):
    """Return a cell whose settings were changed after it was made, as some code does."""
    cell = leaky()
    for name, value in attributes.items():
        setattr(cell, name, value)
    return cell


REFUSED = {
    "empty": (lambda: [], "must end with a snntorch.Leaky"),
    "no cell": (lambda: [linear()], "must end with a snntorch.Leaky"),
    "linear at the end": (
        lambda: [linear(), leaky(), linear()],
        "must end with a snntorch.Leaky",
    ),
    "two linear": (
        lambda: [linear(), linear(), leaky()],
        "Layer 1 is a Linear right after another",
    ),
    "no linear": (lambda: [leaky()], "Layer 0 has no Linear before it"),
    "two cells": (lambda: [linear(), leaky(), leaky()], "Layer 2 has no Linear before it"),
    "sizes": (
        lambda: [linear(2, 3), leaky(), linear(2, 2), leaky()],
        "Linear 1 reads 2 .* 3 neurons",
    ),
    "dropout": (
        lambda: [linear(), nn.Dropout(), leaky()],
        "Layer 1 is a Dropout; a tile can hold",
    ),
    "convolution": (lambda: [nn.Conv1d(1, 1, 1), leaky()], "Layer 0 is a Conv1d"),
    "synaptic": (
        lambda: [linear(), snn.Synaptic(alpha=0.5, beta=0.5)],
        "Layer 1 is a Synaptic",
    ),
    "hidden state": (lambda: [linear(), leaky(init_hidden=True)], "init_hidden=True"),
    "inhibition": (lambda: [linear(), changed(inhibition=True)], "inhibition=True"),
    "no delay": (lambda: [linear(), leaky(reset_delay=False)], "reset_delay=False"),
    "graded": (lambda: [linear(), leaky(graded_spikes_factor=2.0)], "graded spikes"),
    "beta above": (
        lambda: [linear(), changed(beta=torch.tensor(1.5))],
        "beta outside 0 to 1",
    ),
    "beta below": (
        lambda: [linear(), changed(beta=torch.tensor(-0.5))],
        "beta outside 0 to 1",
    ),
    "recurrent zero": (
        lambda: [linear(), rleaky(reset_mechanism="zero")],
        "resets to zero",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_a_chip_cannot_run_is_refused_by_layer(case):
    layers, message = REFUSED[case]
    with pytest.raises(MosaicError, match=message):
        from_snntorch(nn.Sequential(*layers()))


def test_a_model_with_a_weight_that_is_not_finite_is_refused():
    model = nn.Sequential(linear(), leaky())
    with torch.no_grad():
        model[0].weight[1, 0] = torch.nan
    with pytest.raises(MosaicError, match="is nan; it must be finite"):
        from_snntorch(model)


def test_a_cell_used_twice_is_two_layers():
    cell = leaky()
    network = from_snntorch(nn.Sequential(linear(), cell, linear(), cell))
    assert list(network.groups) == ["layer 0", "layer 1"]
