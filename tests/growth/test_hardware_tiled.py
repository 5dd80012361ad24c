import numpy as np
import pytest
import snntorch
import torch
from hypothesis import given, target
from hypothesis import strategies as st
from test_sequence import fire
from torch import nn

from growth.hardware import Disturbance, TiledNetwork, disturb, tiled_preset
from growth.hardware.recurrent import recurrent_leaky
from mosaic_sim import (
    CapacityError,
    Chip,
    Device,
    MosaicError,
    compile_program,
    route,
    simulate,
)
from mosaic_sim.connectivity import draw_reach


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# --- the recurrent layer: snnTorch as oracle -------------------------------------------------


def stepped(current, weight, beta, threshold, surrogate):
    """Oracle: spikes and membranes of snntorch.RLeaky, one step at a time."""
    cell = snntorch.RLeaky(
        beta=beta,
        threshold=threshold,
        linear_features=current.shape[-1],
        spike_grad=surrogate,
    )
    del cell.beta, cell.threshold
    cell.beta, cell.threshold = beta, threshold
    cell.recurrent = nn.Linear(current.shape[-1], current.shape[-1], bias=False)
    del cell.recurrent.weight
    cell.recurrent.weight = weight
    spikes = membrane = torch.zeros_like(current[0])
    fired, seen = [], []
    for now in current:
        spikes, membrane = cell(now, spikes, membrane)
        fired.append(spikes)
        seen.append(membrane)
    return torch.stack(fired), torch.stack(seen)


@given(
    st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 3), st.booleans(), st.booleans(),
    st.sampled_from([("atan", 2.0), ("atan", 5.0), ("fast_sigmoid", 10.0)]),
    st.sampled_from([torch.float32, torch.float64]),
)  # fmt: skip
def test_the_layer_is_that_of_snntorch_with_its_gradients(
    seed, steps, samples, sparse, each, kind, dtype
):
    source, neurons = seeded(seed), 6
    current = torch.randn(steps, samples, neurons, generator=source) + (
        -1 if sparse else 0.6
    )
    weight = torch.randn(neurons, neurons, generator=source)
    size = (neurons,) if each else ()
    beta = torch.rand(size, generator=source)
    threshold = torch.rand(size, generator=source) + 0.5
    by = torch.randn(2, *current.shape, generator=source).to(dtype)

    def run(layer):
        own = [
            x.to(dtype).clone().requires_grad_() for x in (current, weight, beta, threshold)
        ]
        spikes, membranes = layer(*own)
        (spikes * by[0] + membranes * by[1]).sum().backward()
        return spikes, membranes, [x.grad for x in own]

    name, slope = kind
    ours = run(lambda *x: recurrent_leaky(*x, surrogate=name, slope=slope))
    theirs = run(lambda *x: stepped(*x, fire(name, slope, dtype)))
    target(float(theirs[0].detach().sum()))
    assert torch.equal(ours[0], theirs[0])
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-5, atol=1e-5)
    # In float32 a sum over steps, samples and neurons loses digits where its terms cancel.
    close = 1e-12 if dtype == torch.float64 else 1e-3
    for mine, other in zip(ours[2], theirs[2], strict=True):
        wanted = torch.zeros_like(mine) if other is None else other
        most = max(1.0, wanted.abs().max().item())
        torch.testing.assert_close(mine, wanted, rtol=0, atol=close * most)


def test_few_and_many_spikes_go_the_same_way(monkeypatch):
    current = torch.randn(9, 4, 30, generator=seeded()) - 0.2
    weight = torch.randn(30, 30, generator=seeded(1)) / 5
    found = []
    for few in (0.0, 1.0):
        monkeypatch.setattr("growth.hardware.recurrent.FEW", few)
        w = weight.clone().requires_grad_()
        spikes, membranes = recurrent_leaky(
            current, w, torch.tensor(0.9), torch.tensor(1.0)
        )
        membranes.square().sum().backward()
        found.append((spikes, membranes.detach(), w.grad))
    assert 0.01 < found[0][0].mean() < 0.5
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("change", "words"), [
    ({"current": torch.zeros(3, 4)}, "needs .steps, samples, neurons"),
    ({"weight": torch.zeros(3, 4)}, "weight has shape"),
    ({"beta": torch.tensor(1.5)}, "between 0 and 1"),
    ({"threshold": torch.tensor(0.0)}, "above 0"),
    ({"threshold": torch.tensor(1.0).double()}, "threshold has shape"),
    ({"surrogate": "sigmoid"}, "needs one of atan"), ({"slope": float("nan")}, "slope is nan"),
])  # fmt: skip
def test_a_layer_that_makes_no_sense_is_refused(change, words):
    good = {
        "current": torch.zeros(2, 1, 4), "weight": torch.zeros(4, 4),
        "beta": torch.tensor(0.9), "threshold": torch.tensor(1.0),
    }  # fmt: skip
    with pytest.raises(MosaicError, match=words):
        recurrent_leaky(**{**good, **change})


# --- the network -----------------------------------------------------------------------------


def small(seed=0, **changes):
    default = {
        "rows": 2, "columns": 3, "neurons_per_tile": 4, "inputs": 5, "outputs": 2,
        "profile": {1: 0.5, 3: 0.25}, "beta": 0.5, "seed": seed,
    }  # fmt: skip
    return TiledNetwork(**{**default, **changes})


CHIP = Chip(2, 3, 4, 16, 16, 16)


def program_of(net, device):
    network, placement = net.to_network(), net.placement(CHIP)
    routing = route(network, CHIP, placement, router="trunk")
    return compile_program(network, CHIP, placement, routing, device=device)


@given(st.integers(0, 10**6), st.sampled_from(["spikes", "membrane"]), st.booleans())
def test_the_chip_spikes_as_the_model_does(seed, readout, single):
    net = small(seed, readout=readout, **({"rows": 1, "columns": 6} if single else {}))
    chip = Chip(1, 6, 4, 16, 16, 16) if single else CHIP
    with torch.no_grad():
        for weight in net.parameters():  # sums of sixteenths are exact in any order
            weight.copy_((weight * 32).round() / 16)
    spikes = torch.rand(12, 3, 5, generator=seeded(seed)) < 0.5
    network, placement = net.to_network(), net.placement(chip)
    routing = route(network, chip, placement, router="trunk")
    program = compile_program(network, chip, placement, routing, device=Device(exact=True))
    outputs = np.arange(net.neurons - 2, net.neurons)
    recording = simulate(
        program, spikes.numpy().transpose(1, 0, 2), raster=True, voltages=outputs
    )
    done = net.run(spikes)
    target(float(done.spikes.detach().sum()))
    assert np.array_equal(recording.raster, done.spikes.bool().numpy().transpose(1, 0, 2))
    if readout == "spikes":
        counts = recording.counts[:, program.first_neuron + outputs]
        assert np.array_equal(counts, done.output.detach().numpy())
    else:
        assert not done.spikes[..., -2:].any()
        trace = done.membranes[..., -2:].detach().numpy().transpose(1, 0, 2)
        assert np.array_equal(recording.voltages, trace)


@given(st.integers(0, 10**6), st.integers(2, 20))
def test_levels_in_training_are_those_of_the_chip(seed, levels):
    net = small(seed)
    wanted = program_of(net, Device(levels=levels))
    with disturb(net, Disturbance(levels=levels), seeded()):
        network = net.to_network()
    source = np.repeat(np.arange(wanted.sources), np.diff(wanted.offsets))
    there = wanted.weight != 0
    assert np.array_equal(source[there], network.source)
    assert np.array_equal(wanted.target[there], network.target)
    assert np.array_equal(wanted.weight[there], network.weight)


def test_read_noise_adds_up_over_what_arrives():
    net = small(gain=4.0)
    x = (torch.rand(4, 1, 5, generator=seeded(1)) < 0.7).float().expand(4, 30_000, 5)
    clean = net.run(x[:1, :1])
    weight = torch.cat([net.incoming, net.recurrent], 1).detach()
    with disturb(net, Disturbance(read_noise=0.1), seeded()):
        noisy = net.run(x[:1])
        later = net.run(x[:2])
    wanted = 0.1 * (weight[:, :5] * x[0, 0]).square().sum(1).sqrt()
    found = noisy.membranes[0].detach()
    torch.testing.assert_close(found.std(0), wanted, rtol=0.05, atol=1e-6)
    torch.testing.assert_close(
        found.mean(0), clean.membranes[0, 0].detach(), rtol=0, atol=0.01
    )
    # In the second step also what the neurons of the first send, apart from what it added up.
    fired, v = later.spikes[0], later.membranes.detach()
    rest = v[1] - 0.5 * v[0] - x[1] @ weight[:, :5].t() - fired @ weight[:, 5:].t() + fired
    power = (weight[:, :5] * x[1, 0]).square().sum(1) + fired @ weight[:, 5:].square().t()
    z = rest[power > 0] / (0.1 * power.sqrt())[power > 0]
    assert z.std().item() == pytest.approx(1, abs=0.01)
    assert (
        fired.detach().std(0).max() > 0.1
    )  # the case has neurons that fire in some samples only


def test_connections_are_as_many_as_the_profile_says():
    net = TiledNetwork(3, 3, 8, inputs=4, outputs=3, profile={1: 0.5, 3: 0.25}, seed=3)
    wanted = draw_reach(net.grid, {1: 0.5, 3: 0.25}, 3)
    others = ~net.own.numpy()
    others[-3:] = False
    assert np.array_equal(net.reach.numpy() & others, wanted & others)
    hidden = net.reach[:-3]
    assert not net.reach[-3:].any()
    assert not hidden[:8, 0].any()  # inputs enter tile 0
    assert hidden[8:][net.own[8:-3]].all()
    assert torch.equal(net.mask[16:24], net.reach[:, 2].expand(8, -1))
    assert torch.equal(net.input_mask.sum(0), torch.full((4,), 8))


def test_weights_without_a_connection_are_0_and_learn_nothing():
    net = small(gain=3.0)
    net(torch.ones(6, 2, 5)).sum().backward()
    for weight, mask in ((net.incoming, net.input_mask), (net.recurrent, net.mask)):
        assert not weight[~mask].any()
        assert not weight.grad[~mask].any()
        assert weight.grad[mask].any()


def test_inputs_are_shared_by_the_first_tiles_of_the_first_row():
    net = small(inputs=7, input_tiles=3)
    assert net.entry.tolist() == [0, 0, 0, 1, 1, 2, 2]
    placement = net.placement(CHIP)
    assert [tuple(CHIP.port_sites[p]) for p in placement.port[[0, 3, 6]]] == [
        (-1, 0), (-1, 1), (-1, 2),
    ]  # fmt: skip


def test_presets_have_the_published_sizes():
    large = tiled_preset("8x8x32", inputs=128, outputs=20)
    assert large.neurons == 2048
    assert set(large.entry) == {0, 1, 2, 3}
    assert large.reach[200].all()
    middle = tiled_preset("5x5x32", inputs=4, outputs=2, profile={1: 0.8})
    assert middle.neurons == 800
    assert set(middle.grid.tile_hops[12][middle.reach[12 * 32 : 13 * 32].any(0)]) == {0, 1}


@pytest.mark.parametrize(("change", "words"), [
    ({"inputs": 0}, "inputs is 0"), ({"inputs": 13}, "do not enter 4 tiles"),
    ({"input_tiles": 1}, "from 1 to 4 enter"), ({"input_tiles": 0}, "input_tiles is 0"),
    ({"inputs": 2, "input_tiles": 3}, "2 inputs do not enter 3 tiles"),
    ({"inputs": 2.0}, "inputs is 2.0"), ({"outputs": 13}, "outputs is 13"),
    ({"rows": 1, "columns": 3, "outputs": 5}, "in a single row"),
    ({"readout": "rate"}, "readout is 'rate'"), ({"surrogate": "x"}, "surrogate is 'x'"),
    ({"beta": 1.5}, "beta is 1.5"), ({"threshold": 0}, "threshold is 0"),
    ({"profile": {0: 1.0}}, "distance 0"),
])  # fmt: skip
def test_a_network_that_cannot_be_is_refused(change, words):
    with pytest.raises(MosaicError, match=words):
        small(**change)


def test_a_chip_that_does_not_fit_is_refused():
    net = small()
    for chip, words in (
        (Chip(3, 2, 4, 8, 8, 8), "made for 2 x 3"), (Chip(2, 3, 3, 8, 8, 8), "hold 3 neurons"),
    ):  # fmt: skip
        with pytest.raises(MosaicError, match=words):
            net.placement(chip)
    with pytest.raises(MosaicError, match="Did you mean '8x8x32'"):
        tiled_preset("8x8x3", inputs=1, outputs=1)
    with pytest.raises(MosaicError, match=r"needs \(steps, samples, 5"):
        net(torch.ones(3, 2, 4))
    assert issubclass(CapacityError, MosaicError)
