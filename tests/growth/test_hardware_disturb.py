import math
from dataclasses import replace

import numpy as np
import pytest
import snntorch
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.nn.utils import parametrizations, prune

from growth.hardware import TAU_SPREADS, Disturbance, TauSpread, disturb
from growth.hardware.crossbars import cells, crossbars
from mosaic_sim import (
    Chip,
    Device,
    MosaicError,
    Network,
    compile_program,
    place,
    route,
    sample_die,
    technology_preset,
)
from mosaic_sim.interop import from_snntorch
from mosaic_sim.interop.maps import conv

RRAM = technology_preset("rram-130nm")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def recurrent(inputs=7, neurons=11, classes=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(inputs, neurons), snntorch.RLeaky(beta=0.9, linear_features=neurons),
        nn.Linear(neurons, classes), snntorch.Leaky(beta=0.8),
    )  # fmt: skip


def seen(model, disturbance, seed=0, **more):
    """What each parameter is inside a block."""
    with disturb(model, disturbance, seeded(seed), **more):
        return {
            name: getattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])
            .detach().clone()
            for name, _ in model.named_parameters()
        }  # fmt: skip


def with_parameters(model, values):
    """The same model with other parameters; those that are no float32 are refused."""
    copy = recurrent(model[0].in_features, model[0].out_features, model[2].out_features)
    copy.load_state_dict({**model.state_dict(), **values})
    return copy


# --- levels: what the chip gets --------------------------------------------------------------


@given(
    st.integers(0, 10**6), st.integers(2, 40), st.floats(1e-6, 1e3), st.booleans(),
)  # fmt: skip
def test_rounded_weights_are_the_chip_s_to_the_last_bit(seed, levels, scale, sparse):
    model = recurrent(seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= scale
            if sparse:
                parameter *= torch.rand(parameter.shape, generator=seeded(seed)) < 0.5
    network = from_snntorch(model)
    _, wanted = Device(levels=levels).program(network)
    there = from_snntorch(with_parameters(model, seen(model, Disturbance(levels=levels))))
    # The second network lacks the synapses that are rounded to 0, and then maybe the bias line.
    source = there.source + (there.source >= there.first_neuron) * (
        network.first_neuron - there.first_neuron
    )
    key = zip(source, there.target, there.delay, strict=True)
    left = dict(zip(key, there.weight, strict=True))
    every = zip(network.source, network.target, network.delay, strict=True)
    found = np.array([left.get(synapse, 0.0) for synapse in every], np.float32)
    assert np.array_equal(found, wanted)


def test_columns_are_shared_by_inputs_recurrence_and_bias():
    model = recurrent()
    with torch.no_grad():
        model[0].bias[2] = 100.0
    got = seen(model, Disturbance(levels=16))
    assert not got["0.weight"][2].any()
    assert not got["1.recurrent.weight"][2].any()
    alone = seen(model, Disturbance(levels=16), columns=[["0"], ["1"]])
    assert alone["1.recurrent.weight"][2].any()


def test_a_kernel_is_rounded_by_output_channel_as_on_the_chip():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), snntorch.Leaky(beta=0.9))
    network = from_snntorch(model, input_shape=(2, 5, 5))
    _, wanted = Device(levels=9).program(network)
    kernel = seen(model, Disturbance(levels=9))["0.weight"].numpy()
    matrix, _ = conv(kernel, (2, 5, 5), (1, 1), (0, 0), (1, 1), 1)
    dense = np.zeros((network.inputs, network.neurons), np.float32)
    dense[network.source, network.target] = wanted
    assert np.array_equal(matrix.toarray(), dense.T)


def test_one_to_one_recurrence_shares_its_column():
    model = nn.Sequential(
        nn.Linear(2, 3, bias=False),
        snntorch.RLeaky(beta=0.9, all_to_all=False, V=torch.tensor([5.0, 0.1, -3.0])),
    )
    with disturb(model, Disturbance(levels=3), seeded()):
        back, into = model[1].recurrent.V.tolist(), model[0].weight.detach().clone()
    clean = model[0].weight[1].abs().max().item()
    assert back == pytest.approx([5.0, clean * round(0.2 / clean) / 2, -3.0])
    assert not into[[0, 2]].any()
    assert into[1].any()


# --- the straight way through ----------------------------------------------------------------


@given(st.integers(0, 10**6))
def test_the_gradient_is_that_of_a_model_which_has_the_disturbed_weights(seed):
    model = recurrent(seed=seed)
    setting = Disturbance(weight_noise=0.1, levels=16)
    x = torch.randn(4, 7, generator=seeded(seed))

    def loss(net):
        spikes = membrane = torch.zeros(4, 11)
        for _ in range(3):
            spikes, membrane = net[1](net[0](x), spikes, membrane)
        return net[2](membrane).square().sum()

    twin = with_parameters(model, seen(model, setting, seed))
    loss(twin).backward()
    with disturb(model, setting, seeded(seed)):
        inside = loss(model)
        inside.backward()
    wanted = dict(twin.named_parameters())
    assert inside.item() == pytest.approx(loss(twin).item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            assert wanted[name].grad is None
        elif name != "1.recurrent.bias":  # on the chip one device with that of layer 0
            torch.testing.assert_close(parameter.grad, wanted[name].grad)


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_as_it_was_after_the_block_and_after_an_error_in_it(fails):
    model = recurrent()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    objects = {name: id(p) for name, p in model.named_parameters()}
    x = torch.randn(2, 7)
    model[3](model[2](model[1](model[0](x))[0]))  # cells keep their last states
    keys = {m: set(vars(m)) for m in model.modules()}
    wanted = model[0](x)
    everything = Disturbance(
        0.1, 16, 0.1, 0.1, 0.1, "monte-carlo neuron", variation=0.1, relative_noise=0.1
    )
    with pytest.raises(ZeroDivisionError) if fails else _nothing():  # noqa: SIM117
        with disturb(model, everything, seeded()):
            model[3](model[2](model[1](model[0](x))[0]))
            assert not torch.equal(model[0](x), wanted)
            assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
            assert list(before) == list(model.state_dict())
            if fails:
                raise ZeroDivisionError
    assert {name: id(p) for name, p in model.named_parameters()} == objects
    assert {m: set(vars(m)) for m in model.modules()} == keys
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(model[0](x), wanted)


class _nothing:  # noqa: N801
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_an_optimiser_may_step_inside_the_block():
    model = recurrent()
    optimiser = torch.optim.SGD(model.parameters(), 1.0)
    clean = model[0].weight.detach().clone()
    with disturb(model, Disturbance(weight_noise=0.1), seeded()):
        model[0](torch.ones(1, 7)).sum().backward()
        optimiser.step()
    torch.testing.assert_close(model[0].weight.detach(), clean - 1.0)


def test_each_block_draws_anew_and_the_same_generator_the_same():
    model, setting = recurrent(), Disturbance(weight_noise=0.1)
    source = seeded()
    drawn = []
    for _ in range(2):
        with disturb(model, setting, source):
            drawn.append(model[0].weight.detach().clone())
    assert not torch.equal(*drawn)
    assert torch.equal(drawn[0], seen(model, setting)["0.weight"])


def test_a_die_keeps_its_devices_and_is_written_anew():
    model = recurrent()
    own = Disturbance(variation=0.1, stuck=0.1, die=3)
    one, two = (seen(model, own, seed) for seed in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    written = replace(own, weight_noise=0.1)
    one, two = (seen(model, written, seed) for seed in range(2))
    assert not torch.equal(one["0.weight"], two["0.weight"])


# --- noise: closed forms and the simulator's dies -------------------------------------------


def wide(*shape, seed=0):
    layer = nn.Linear(shape[1], shape[0], bias=False)
    with torch.no_grad():
        layer.weight[:] = torch.randn(shape, generator=seeded(seed + 100))
        layer.weight *= torch.rand(shape, generator=seeded(seed + 101)) < 0.7
    return layer


def test_weight_noise_is_normal_by_the_layer_s_largest_and_spares_zeros():
    layer = wide(300, 200)
    got = seen(layer, Disturbance(weight_noise=0.05))["weight"]
    clean = layer.weight.detach()
    error = (got - clean)[clean != 0] / (0.05 * clean.abs().max())
    assert not got[clean == 0].any()
    assert stats.kstest(error.numpy(), "norm").pvalue > 0.001


def test_a_column_s_noise_is_by_its_own_largest():
    layer = wide(3, 20_000)
    with torch.no_grad():
        layer.weight *= torch.tensor([[1.0], [10.0], [100.0]])
    got = seen(layer, Disturbance(weight_noise=0.05, scale="column"))["weight"]
    clean = layer.weight.detach()
    for k in range(3):
        top = clean[k].abs().max()
        far = clean[k].abs() > 0.3 * top  # so that no conductance is cut off at 0
        assert (got - clean)[k][far].std() / top == pytest.approx(0.05, rel=0.05)


def deployed(layer):
    """A chip with the weights of one layer, one neuron a row."""
    weight = layer.weight.detach().numpy()
    target, source = np.nonzero(weight)
    net = Network.from_synapses(
        inputs=weight.shape[1], neurons=weight.shape[0], source=source, target=target,
        weight=weight[target, source], leak=math.exp(-1 / 20),
    )  # fmt: skip
    chip = Chip(1, 1, 64, 64, 64, 64)
    placement = place(net, chip, placer="in order")
    return net, compile_program(net, chip, placement, route(net, chip, placement))


@pytest.mark.parametrize("effects", [
    ["programming"], ["variation"], ["stuck"], ["programming", "variation", "stuck"],
])  # fmt: skip
def test_weights_are_spread_as_on_the_dies_of_the_simulator(effects):
    technology = RRAM
    if "stuck" in effects:
        more = {
            name: replace(RRAM[name], value=value)
            for name, value in (("stuck_hcs", 0.05), ("stuck_lcs", 0.1))
        }
        technology = replace(RRAM, quantities={**RRAM.quantities, **more})
    layer = wide(64, 200)
    net, program = deployed(layer)
    setting = Disturbance.of_technology(technology, effects=effects)
    ours = seen(layer, setting)["weight"].numpy()[program.target, net.source]
    die = sample_die(program, technology, effects=effects)
    level = program.level
    top = np.zeros(64)
    np.maximum.at(top, program.target, abs(program.weight))
    for low, high in ((0, 0), (1, 5), (6, 10), (11, 15)):
        there = (abs(level) >= low) & (abs(level) <= high)
        errors = [
            ((w - program.weight) / top[program.target])[there]
            for w in (ours, die.written.weight)
        ]
        if not any(e.any() for e in errors):
            continue
        assert stats.ks_2samp(*errors).pvalue > 1e-4
        assert errors[0].std() == pytest.approx(errors[1].std(), rel=0.15)
    assert ours.std() > 0


def test_read_noise_has_the_variance_that_the_simulator_s_dies_have():
    layer = wide(64, 200)
    net, program = deployed(layer)
    setting = Disturbance.of_technology(RRAM, effects=["reading"])
    x = (torch.rand(200, generator=seeded(5)) < 0.5).float()
    with disturb(layer, setting, seeded()):
        many = layer(x.expand(4_000, 200))
    power = sample_die(program, RRAM, effects=["reading"]).noise_power
    wanted = np.zeros(64)
    np.add.at(wanted, program.target, power * x.numpy()[net.source])
    np.testing.assert_allclose(many.detach().var(0).numpy(), wanted, rtol=0.15)
    assert not torch.equal(many[0], many[1])


def test_read_noise_of_a_recurrent_layer_and_a_kernel_is_drawn_at_each_call():
    model, setting = recurrent(), Disturbance(read_noise=0.1)
    with disturb(model, setting, seeded()):
        back = model[1].recurrent
        assert not torch.equal(back(torch.ones(1, 11)), back(torch.ones(1, 11)))
        model[0](torch.ones(1, 7)), model[2](torch.ones(1, 11))
    kernel = nn.Conv2d(1, 1, 2, bias=False)
    with disturb(kernel, setting, seeded()):
        many = kernel(torch.ones(5_000, 1, 2, 2))
    wanted = 0.1 * kernel.weight.detach().norm()
    assert many.std().item() == pytest.approx(wanted.item(), rel=0.05)


def test_time_constants_are_spread_as_on_the_dies_of_the_simulator():
    beta = math.exp(-1 / 20)
    model = nn.Sequential(nn.Linear(2, 20_000), snntorch.Synaptic(alpha=0.5, beta=beta))
    with disturb(model, Disturbance.of_technology(RRAM, effects=["mismatch"]), seeded()):
        got = {
            name: getattr(model[1], name).numpy().astype(float)
            for name in ("alpha", "beta")
        }
    taus = {"beta": 20e-3, "alpha": -1e-3 / math.log(0.5)}
    for name, spread in (("beta", 0.4342 + 11.853 * 0.020), ("alpha", 0.3219)):
        log = np.log(-1e-3 / np.log(got[name]) / taus[name])
        assert log.std() == pytest.approx(spread, rel=0.03)
        assert log.mean() == pytest.approx(0, abs=0.02)
    assert TAU_SPREADS["monte-carlo neuron"][:2] == (0.4342, 11.853)
    assert "other project" in TAU_SPREADS["monte-carlo neuron"].status


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_neurons_that_forget_at_once_or_never_have_no_time_constant(beta):
    cell = snntorch.Leaky(beta=torch.full((5,), beta), learn_beta=True)
    with disturb(cell, Disturbance(tau_mismatch=0.5), seeded()):
        assert (cell.beta == beta).all()
        cell(torch.ones(1, 5), torch.ones(1, 5))[1].sum().backward()
    assert cell.beta.grad.isfinite().all()


def test_thresholds_are_log_normal_and_one_for_each_neuron():
    model = nn.Sequential(nn.Linear(2, 20_000), snntorch.Leaky(beta=0.9, threshold=2.0))
    with disturb(model, Disturbance(threshold_mismatch=0.1), seeded()):
        logs = (model[1].threshold / 2).log()
        assert model[1].beta.ndim == 0
    assert stats.kstest(logs.numpy() / 0.1, "norm").pvalue > 0.001


def test_neurons_behind_a_kernel_get_thresholds_at_their_first_call():
    model = nn.Sequential(nn.Conv2d(1, 2, 2), snntorch.Leaky(beta=0.9))
    with disturb(model, Disturbance(threshold_mismatch=0.1), seeded()):
        assert model[1].threshold.ndim == 0
        _, membrane = model[1](model[0](torch.ones(3, 1, 4, 4)))
        assert model[1].threshold.shape == (2, 3, 3)
        first = model[1].threshold
        model[1](model[0](torch.ones(3, 1, 4, 4)), membrane)
        assert model[1].threshold is first
    assert model[1].threshold.ndim == 0
    refused(model, "1 was not called inside", Disturbance(threshold_mismatch=0.1))


def test_half_precision_weights_of_another_dtype_keep_it():
    layer = nn.Linear(3, 2).double()
    got = seen(layer, Disturbance(weight_noise=0.1, levels=16, stuck=0.1))
    assert got["weight"].dtype == torch.float64


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(("bad", "words"), [
    ({"levels": 1}, "levels is 1"), ({"levels": True}, "levels is True"),
    ({"stuck": 1.1}, "at most 1"), ({"weight_noise": -0.1}, "weight_noise is -0.1"),
    ({"read_noise": math.nan}, "read_noise is nan"), ({"scale": "net"}, "'layer' or 'column'"),
    ({"tau_mismatch": "monte-carlo neurons"}, "Did you mean 'monte-carlo neuron'"),
    ({"tau_mismatch": TauSpread(-1, 0, "", "")}, "tau_mismatch.base is -1"),
    ({"step_time": 0}, "above 0"), ({"die": -1}, "die is -1"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(bad, words):
    with pytest.raises(MosaicError, match=words):
        Disturbance(**bad)


def test_an_effect_that_is_not_on_weights_or_neurons_is_refused():
    with pytest.raises(MosaicError, match="programming, variation, stuck"):
        Disturbance.of_technology(RRAM, effects=["wires"])


def refused(model, words, setting=None, generator=None, **more):
    setting = setting or Disturbance(weight_noise=0.1)
    block = disturb(model, setting, generator or seeded(), **more)
    with pytest.raises(MosaicError, match=words), block:
        pass
    return model


def test_what_cannot_be_disturbed_is_refused_and_left_alone():
    refused(nn.Linear(2, 2), "torch.Generator", generator=np.random.default_rng(0))
    refused(nn.ReLU(), "neither weights nor neurons")
    refused(nn.Linear(2, 2), "no neurons", Disturbance(threshold_mismatch=0.1))
    layer = refused(parametrizations.weight_norm(nn.Linear(2, 2)), "parametrized")
    assert "weight" not in vars(layer)
    refused(prune.l1_unstructured(nn.Linear(2, 2), "weight", 1), "prune.remove")
    model = recurrent()
    with disturb(model, Disturbance(weight_noise=0.1), seeded()):
        refused(model, "nested")
    refused(model, "not called inside", Disturbance(read_noise=0.1))


def test_layers_that_share_columns_must_be_known():
    torch.manual_seed(0)
    model = nn.ModuleList([
        nn.Linear(2, 3), nn.Linear(3, 3), snntorch.RLeaky(beta=0.9, linear_features=3)
    ])  # fmt: skip
    refused(model, "2 layers of weights registered between '2'")
    assert [bar.name for bar in crossbars(model, [["0", "2"]])] == ["0 and 2", "1"]
    refused(model, "'9', which is no module", columns=[["9"]])
    refused(model, "stands there twice", columns=[["0", "0"]])
    refused(model, "name the cell", columns=[["0", "2.recurrent"]])
    refused(nn.ModuleList([nn.Linear(2, 3), nn.ReLU()]), "holds no", columns=[["1"]])
    wrong = nn.Sequential(nn.Linear(2, 4), snntorch.RLeaky(beta=0.9, linear_features=3))
    refused(wrong, "enter 4, 4, 3, 3 neurons")
    single = nn.Sequential(nn.Linear(2, 3), snntorch.RLeaky(beta=0.9, all_to_all=False))
    refused(single, "one V for all")
    assert [cell.neurons for cell in cells(model)] == [3]
