"""M against autograd through networks that were built larger from the start, and against gromo."""

import copy
import warnings

import nets
import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import (
    CELLS,
    CLASSES,
    HIDDEN,
    INPUTS,
    SPIKING,
    Spiking,
    close,
    fill,
    generator,
    larger,
)
from snntorch import surrogate
from torch import nn

from growth.initialise import (
    LiveReLU,
    Site,
    by_gaussian,
    by_gradmax,
    expected_gain,
    measure,
    sites_of,
    spiking_matrix,
    widen,
)
from growth.initialise.rest import slope_at_zero, traces
from growth.initialise.statistics import rank_of
from mosaic_sim import MosaicError

RESETS = ["subtract", "zero", "none"]


def draw(*shape, seed=7, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).to(dtype)


# --- spiking neurons: BPTT --------------------------------------------------------------------


def spiking_case(cell, seed=0, **how):
    """Statistics, and the gradient on new incoming weights by BPTT with outgoing weights Omega."""
    net = fill(Spiking(cell, **how), seed, spiking=True)
    loss = nets.spiking_loss(seed)
    new = 3
    big = Spiking(cell, hidden=HIDDEN + new, **how)
    omega = draw(CLASSES, new, dtype=torch.float32)
    weights = {"out.weight": omega}
    if cell == "RLeaky":
        weights["cell.recurrent.weight"] = draw(HIDDEN, new, seed=8, dtype=torch.float32)
    big = larger(net, big, weights)
    value = loss(big)
    value.backward()
    assert value.item() == pytest.approx(loss(net).item(), abs=1e-6)
    assert big.fired > 10
    return net, measure(net, SPIKING, loss), big, torch.cat(list(weights.values()))


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("cell", CELLS)
def test_m_is_the_gradient_of_bptt_for_every_cell_and_reset(cell, reset, late):
    _, found, big, omega = spiking_case(cell, reset_mechanism=reset, reset_delay=late)
    gradient = big.into.weight.grad[HIDDEN:]
    if cell == "RLeaky":
        recurrent = big.cell.recurrent.weight.grad
        assert not recurrent[HIDDEN:, HIDDEN:].any()  # from new neurons to new ones
        gradient = torch.cat([gradient, recurrent[HIDDEN:, :HIDDEN]], dim=1)
    assert close(omega.T @ found.matrix, gradient)


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("theta", [1.0, 0.5])
@pytest.mark.parametrize("slope", ["atan", "fast_sigmoid", "sigmoid"])
def test_m_knows_threshold_graded_spikes_and_surrogate(slope, theta, gamma, late):
    surrogates = {
        "atan": surrogate.atan(), "fast_sigmoid": surrogate.fast_sigmoid(slope=5),
        "sigmoid": surrogate.sigmoid(slope=5),
    }  # fmt: skip
    net = fill(Spiking(), spiking=True)
    big = Spiking(hidden=HIDDEN + 2)
    for each in (net, big):
        each.cell = snntorch.Leaky(
            beta=0.8, threshold=theta, graded_spikes_factor=gamma, reset_delay=late,
            spike_grad=surrogates[slope],
        )  # fmt: skip
    net.out.weight.data *= 0.2  # snnTorch's sigmoid overflows far from the threshold
    omega = draw(CLASSES, 2, dtype=torch.float32)
    big = larger(net, big, {"out.weight": omega})
    loss = nets.spiking_loss()
    loss(big).backward()
    found = measure(net, SPIKING, loss)
    assert close(omega.T @ found.matrix, big.into.weight.grad[HIDDEN:])


@settings(max_examples=15)
@given(st.sampled_from(sorted(CELLS)), st.integers(0, 999), st.sampled_from(RESETS))
def test_m_is_the_gradient_of_bptt_for_any_weights(cell, seed, reset):
    net = fill(Spiking(cell, reset_mechanism=reset), seed, spiking=True)
    loss = nets.spiking_loss(seed)
    found = measure(net, SPIKING, loss)
    new = by_gaussian(found, 2, generator(seed))
    grown, _ = widen(net, SPIKING, new)
    loss(grown).backward()
    parts = [grown.into.weight.grad[HIDDEN:]]
    if cell == "RLeaky":
        parts.append(grown.cell.recurrent.weight.grad[HIDDEN:, :HIDDEN])
    assert float(torch.cat(parts, 1).norm()) == pytest.approx(
        new.evidence["gradient"], rel=1e-4
    )


def test_values_of_each_neuron_count_as_their_mean_for_new_ones():
    net = fill(Spiking(), spiking=True)
    net.cell = snntorch.Leaky(
        beta=torch.linspace(0.7, 0.9, HIDDEN), threshold=torch.linspace(0.8, 1.2, HIDDEN)
    )
    loss = nets.spiking_loss()
    found = measure(net, SPIKING, loss)
    new = by_gaussian(found, 2, generator())
    grown, _ = widen(net, SPIKING, new)
    assert grown.cell.beta[HIDDEN:].tolist() == pytest.approx([0.8, 0.8])
    assert grown.cell.threshold[HIDDEN:].tolist() == pytest.approx([1.0, 1.0])
    loss(grown).backward()
    gradient = float(grown.into.weight.grad[HIDDEN:].norm())
    assert gradient == pytest.approx(new.evidence["gradient"], rel=1e-5)


@pytest.mark.parametrize("delay", [1, 3])
def test_a_delay_on_the_way_out_shifts_the_errors(delay):
    net = fill(Spiking(out_delay=delay), spiking=True)
    loss = nets.spiking_loss()
    site = Site(("into",), ("cell",), ("out",), delays=(delay,))
    new = by_gaussian(measure(net, site, loss), 2, generator())
    grown, _ = widen(net, site, new)
    loss(grown).backward()
    gradient = float(grown.into.weight.grad[HIDDEN:].norm())
    assert gradient == pytest.approx(new.evidence["gradient"], rel=1e-5)
    wrong = by_gaussian(measure(net, SPIKING, loss), 2, generator())
    assert wrong.evidence["gradient"] != pytest.approx(new.evidence["gradient"], rel=1e-2)


def delayed_currents(weight, delays, fired, t):
    """Oracle: what arrives at step t over synapses that have a delay each."""
    out = torch.zeros(fired[0].shape[0], weight.shape[0])
    for d in delays.unique().tolist():
        if t - d >= 0:
            out = out + fired[t - d] @ torch.where(delays == d, weight, 0.0).T
    return out


def test_m_of_a_recurrent_net_with_a_delay_on_every_synapse_is_the_gradient_of_bptt():
    # Neurons on four cores in a line; a spike takes 1 + distance steps, inputs come in at core 0.
    old, new, steps, samples = 6, 2, 9, 5
    core = torch.arange(old) % 4
    rng = generator(3)
    inputs = (torch.rand(steps, samples, INPUTS, generator=rng) < 0.5).float()
    read = draw(CLASSES, old, seed=1, dtype=torch.float32)
    into = draw(old, INPUTS, seed=2, dtype=torch.float32).abs() / 2
    among = draw(old, old, seed=3, dtype=torch.float32) / 2
    here = 2  # the core of the new neurons
    hops = 1 + (core[:, None] - core).abs()
    cell = snntorch.Leaky(beta=0.8)
    weight_in = torch.zeros(new, INPUTS, requires_grad=True)
    weight_among = torch.zeros(new, old, requires_grad=True)
    omega = draw(old, new, seed=4, dtype=torch.float32)

    def run(more):
        """Loss, spikes of the old neurons, and the probes on their currents."""
        mem, born = torch.zeros(samples, old), torch.zeros(samples, new)
        fired, fresh, probes, total = [], [], [], 0.0
        for t in range(steps):
            current = delayed_currents(
                into, 1 + core[:, None].expand(-1, INPUTS), inputs, t
            )
            if fired:
                current = current + delayed_currents(among, hops, [*fired, 0], t)
            probes.append(torch.zeros(samples, old, requires_grad=True))
            if more and fresh:
                way = 1 + (core[:, None] - here).abs().expand(-1, new)
                current = current + delayed_currents(omega, way, [*fresh, 0], t)
            spike, mem = cell(current + probes[-1], mem)
            if more:
                ways = torch.full((new, INPUTS), 1 + here)
                mine = delayed_currents(weight_in, ways, inputs, t)
                if fired:
                    way = 1 + (core - here).abs().expand(new, -1)
                    mine = mine + delayed_currents(weight_among, way, [*fired, 0], t)
                late, born = cell(mine, born)
                fresh.append(late)
            fired.append(spike)
            total = total + ((spike @ read.T) * torch.arange(1.0, CLASSES + 1)).mean()
        return total.square(), torch.stack(fired), probes

    loss, _, _ = run(True)
    gradient = torch.cat(torch.autograd.grad(loss, (weight_in, weight_among)), 1)
    loss, fired, probes = run(False)
    assert fired.sum() > 20
    errors = torch.stack(torch.autograd.grad(loss, probes))
    matrix = spiking_matrix(
        errors, torch.cat([inputs, fired.detach()], 2), cell,
        into=torch.cat([torch.full((INPUTS,), 1 + here), 1 + (core - here).abs()]),
        out=1 + (core - here).abs(),
    )  # fmt: skip
    assert close(omega.T @ matrix, gradient)


@given(st.integers(1, 6), st.integers(0, 9), st.integers(0, 99))
def test_shifts_there_and_back_are_adjoint(steps, delay, seed):
    from growth.initialise.layout import delayed

    a, b = draw(steps, 2, 3, seed=seed), draw(steps, 2, 3, seed=seed + 1)
    each = torch.tensor([0, delay, 1])
    there = (delayed(a, each) * b).sum()
    back = (a * delayed(b, each, ahead=True)).sum()
    assert float(there) == pytest.approx(float(back), abs=1e-12)
    expected = torch.zeros_like(a)
    for feature, d in enumerate(each.tolist()):
        for t in range(d, steps):
            expected[t, :, feature] = a[t - d, :, feature]
    assert torch.equal(delayed(a, each), expected)


# --- activations, convolutions ----------------------------------------------------------------


@pytest.mark.parametrize(
    "activation", [LiveReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.Identity]
)
def test_m_is_the_gradient_of_an_auxiliary_layer_of_zeros(activation):
    net, loss = fill(mlp := nets.mlp(activation=activation)), nets.values_loss()
    found = measure(net, sites_of(net)[0], loss)
    past = torch.zeros(CLASSES, INPUTS, dtype=torch.float64, requires_grad=True)

    def beside(module, given, out):
        return out + mlp[0].seen @ past.T

    mlp[0].register_forward_pre_hook(
        lambda module, given: setattr(module, "seen", given[0])
    )
    mlp[2].register_forward_hook(beside)
    (oracle,) = torch.autograd.grad(loss(net), past)
    assert close(found.matrix, slope_at_zero(activation()) * oracle, 1e-12)


def kernel(size, **how):
    return {"kernel_size": size} | how


def nothing(channels):
    return []


CONVS = {  # the first kernel, the second (None for a Linear), and what is between them
    "3x3, 3x3": (kernel(3, padding=1), kernel(3, padding=1), nothing),
    "strides": (kernel(3, stride=2, padding=1), kernel(3, stride=2), nothing),
    "1x1": (kernel(1), kernel(1), nothing),
    "dilation": (kernel(3, dilation=2), kernel(2, dilation=2, padding=2), nothing),
    "oblong": (kernel((1, 3), padding=(0, 1)), kernel((3, 2), stride=(1, 2)), nothing),
    "same, circular": (
        kernel(3, padding="same", padding_mode="circular"),
        kernel(4, padding="same", padding_mode="reflect"), nothing,
    ),
    "average pool": (kernel(3), kernel(2), lambda channels: [nn.AvgPool2d(2)]),
    "adaptive pool": (kernel(2), kernel(2), lambda channels: [nn.AdaptiveAvgPool2d(3)]),
    "norm": (kernel(3), kernel(3), lambda channels: [nn.BatchNorm2d(channels).eval()]),
    "flatten": (kernel(3, stride=2), None, lambda channels: [nn.Flatten()]),
    "pool, flatten": (kernel(2), None, lambda channels: [nn.AvgPool2d(3), nn.Flatten()]),
}  # fmt: skip


def convolutions(case, channels=4):
    first, second, between = CONVS[case]
    layers = [nn.Conv2d(2, channels, **first), LiveReLU(), *between(channels)]
    with torch.no_grad():
        size = nn.Sequential(*layers)(torch.zeros(1, 2, 9, 8)).shape[1]
    last = nn.Linear(size, 5) if second is None else nn.Conv2d(channels, 3, **second)
    return nn.Sequential(*layers, last).double()


@pytest.mark.parametrize("case", CONVS)
def test_m_of_convolutions_is_the_gradient_on_channels_that_are_there(case):
    net, new = fill(convolutions(case)), 2
    loss = nets.values_loss(shape=(6, 2, 9, 8))
    site = sites_of(net)[0]
    found = measure(net, site, loss)
    big = convolutions(case, 4 + new)
    last = f"{len(net) - 1}.weight"
    shape = dict(big.named_parameters())[last].shape
    omega = draw(
        shape[0], shape[1] - dict(net.named_parameters())[last].shape[1], *shape[2:]
    )
    big = larger(net, big, {last: omega})
    if case == "norm":
        big[2].weight.data[4:] = 1
    loss(big).backward()
    if omega.dim() == 4:
        rows = omega.permute(0, 2, 3, 1).reshape(-1, new)
    else:
        rows = omega.reshape(len(omega), new, -1).transpose(1, 2).reshape(-1, new)
    assert close(rows.T @ found.matrix, big[0].weight.grad[4:].flatten(1), 1e-12)
    # The promised norm is there once the channels are.
    new = by_gradmax(found, 2)
    grown, _ = widen(net, site, new)
    loss(grown).backward()
    gradient = float(grown[0].weight.grad[4:].norm())
    assert gradient == pytest.approx(new.evidence["gradient"], rel=1e-10)


def test_a_depthwise_convolution_in_between_passes_new_channels_on():
    net = fill(
        nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4), LiveReLU(),
            nn.Conv2d(4, 3, 2),
        ).double()
    )  # fmt: skip
    loss, site = nets.values_loss(shape=(5, 2, 9, 8)), Site(("0",), ("1", "2"), ("3",))
    new = by_gradmax(measure(net, site, loss), 3)
    grown, _ = widen(net, site, new)
    assert loss(grown).item() == pytest.approx(loss(net).item(), abs=1e-12)
    loss(grown).backward()
    gradient = float(grown[0].weight.grad[4:].norm())
    assert gradient == pytest.approx(new.evidence["gradient"], rel=1e-10)


class SpikingImages(nn.Module):
    """Conv2d, Leaky, pool, Conv2d over time."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(1, 3, 3, stride=2, padding=1),
            nn.Conv2d(3, 4, 2),
        )
        self.cell, self.pool = snntorch.Leaky(beta=0.8, reset_delay=False), nn.AvgPool2d(2)

    def forward(self, images):
        state, total = None, 0.0
        for now in images:
            current = self.first(now)
            spike, state = self.cell(
                current, torch.zeros_like(current) if state is None else state
            )
            total = total + self.second(self.pool(spike))
        return total


def test_m_of_spiking_convolutions_is_the_gradient_of_bptt():
    net = fill(SpikingImages(), spiking=True)
    images = (torch.rand(6, 5, 1, 9, 9, generator=generator()) < 0.5).float()
    site = Site(("first",), ("cell", "pool"), ("second",))

    def loss(net):
        return net(images).square().mean()

    new = by_gradmax(measure(net, site, loss), 3)
    grown, _ = widen(net, site, new)
    loss(grown).backward()
    gradient = float(grown.first.weight.grad[3:].norm())
    assert gradient == pytest.approx(new.evidence["gradient"], rel=1e-5)


def test_several_batches_are_one_batch_of_all_samples():
    net = fill(nets.mlp())
    values, targets = draw(12, INPUTS), torch.arange(12) % CLASSES

    def loss(part):
        return lambda net: nn.functional.cross_entropy(net(values[part]), targets[part])

    site = sites_of(net)[0]
    whole = measure(net, site, loss(slice(None)))
    halves = measure(net, site, [loss(slice(0, 6)), loss(slice(6, 12))])
    assert close(halves.matrix, whole.matrix, 1e-12)
    assert halves.record.loss == pytest.approx(whole.record.loss)


def test_layers_that_see_all_steps_at_once_give_the_same_as_step_by_step():
    class Whole(Spiking):
        def forward(self, spikes):
            mem, fired = torch.zeros(spikes.shape[1], self.into.out_features), []
            for now in self.into(spikes):
                spike, mem = self.cell(now, mem)
                fired.append(spike)
            return self.out(torch.stack(fired)).square().mean(0)

    class Stepwise(Spiking):
        def forward(self, spikes):
            mem, out = torch.zeros(spikes.shape[1], self.into.out_features), []
            for now in spikes:
                spike, mem = self.cell(self.into(now), mem)
                out.append(self.out(spike))
            return torch.stack(out).square().mean(0)

    loss = nets.spiking_loss()
    whole, stepwise = fill(Whole(), spiking=True), fill(Stepwise(), spiking=True)
    at_once = Site(("into",), ("cell",), ("out",), steps_first=True)
    assert close(
        measure(whole, at_once, loss).matrix, measure(stepwise, SPIKING, loss).matrix
    )


def test_two_heads_and_two_sources_share_their_new_neurons():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, HIDDEN), nn.Linear(3, HIDDEN, bias=False)
            self.act = nn.Tanh()
            self.one, self.two = nn.Linear(HIDDEN, 2), nn.Linear(HIDDEN, 3)

        def forward(self, values):
            hidden = self.act(self.a(values[:, :4]) + self.b(values[:, 4:]))
            return torch.cat([self.one(hidden), self.two(hidden)], 1)

    net, loss = fill(Fork().double()), nets.values_loss()
    site = Site(("a", "b"), ("act",), ("one", "two"))
    found = measure(net, site, loss)
    assert found.matrix.shape == (5, 7)
    new = by_gradmax(found, 2)
    grown, _ = widen(net, site, new)
    loss(grown).backward()
    both = torch.cat([grown.a.weight.grad[HIDDEN:], grown.b.weight.grad[HIDDEN:]], 1)
    assert float(both.norm()) == pytest.approx(new.evidence["gradient"], rel=1e-10)


# --- against gromo ----------------------------------------------------------------------------


def worst_angle(ours, theirs):
    """Largest principal angle between the spans of the columns, by its sine: fit for small ones."""
    a, b = torch.linalg.qr(ours.double())[0], torch.linalg.qr(theirs.double())[0]
    return float(torch.linalg.matrix_norm(b - a @ (a.T @ b), 2))


@pytest.fixture
def gromo_outgoing():
    """Outgoing weights that gromo's GradMax gives: f(first, second, values, targets, k)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linear = pytest.importorskip(
            "gromo.modules.linear_growing_module", reason="pip install gromo==0.1.0"
        )
        conv = pytest.importorskip("gromo.modules.conv2d_growing_module")

    def run(net, values, targets, k):
        layers, dtype = [], values.dtype
        torch.set_default_dtype(dtype)  # gromo makes buffers without asking for a dtype
        size = values.shape[2:]
        for module in (net[0], net[2]):
            act = {"post_layer_function": LiveReLU()} if module is net[0] else {}
            act["previous_module"] = layers[0] if layers else None
            act["use_bias"] = False
            if isinstance(module, nn.Linear):
                made = linear.LinearGrowingModule(
                    module.in_features, module.out_features, **act
                )
            else:
                made = conv.FullConv2dGrowingModule(
                    module.in_channels, module.out_channels, module.kernel_size, module.stride,
                    module.padding, module.dilation, input_size=tuple(size), **act,
                )  # fmt: skip
                size = module(torch.zeros(1, module.in_channels, *size, dtype=dtype)).shape[
                    2:
                ]
            made = made.to(dtype)
            made.layer.weight.data.copy_(module.weight.detach())
            layers.append(made)
        for layer in layers:
            layer.init_computation()
        out = layers[1](layers[0](values)).flatten(1)
        nn.functional.cross_entropy(out, targets, reduction="sum").backward()
        for layer in layers:
            layer.update_computation()
        layers[1].compute_optimal_updates(
            compute_delta=False, use_covariance=False, alpha_zero=True, use_projection=False,
            ignore_singular_values=True, maximum_added_neurons=k, statistical_threshold=0.0,
            dtype=dtype,
        )  # fmt: skip
        weight = layers[1].extended_input_layer.weight.detach()
        return weight if weight.dim() == 2 else weight.permute(0, 2, 3, 1).flatten(0, 2)

    yield run
    torch.set_default_dtype(torch.float32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("dtype", "angle"), [(torch.float64, 1e-10), (torch.float32, 1e-5)]
)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("case", ["linear", "3x3, 3x3", "strides", "1x1", "dilation"])
def test_singular_subspaces_are_those_of_gromo(gromo_outgoing, case, k, dtype, angle):
    if case == "linear":
        net, values = (
            nn.Sequential(nn.Linear(INPUTS, 6, False), LiveReLU(), nn.Linear(6, 5, False)),
            draw(60, INPUTS),
        )
    else:
        first, second, _ = CONVS[case]
        net = nn.Sequential(
            nn.Conv2d(2, 4, bias=False, **first), LiveReLU(),
            nn.Conv2d(4, 3, bias=False, **second),
        )  # fmt: skip
        values = draw(8, 2, 9, 8)
    net, values = fill(net).to(dtype), values.to(dtype)
    targets = torch.arange(len(values)) % 3

    def loss(net):
        return nn.functional.cross_entropy(net(values).flatten(1), targets)

    found = measure(net, sites_of(net)[0], loss)
    ours = torch.linalg.svd(found.matrix)[0][:, :k]
    theirs = gromo_outgoing(net, values, targets, k)
    assert worst_angle(ours, theirs) <= angle


# --- gains ------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("kind", ["values", "spikes"])
def test_the_gain_over_gaussian_columns_is_as_predicted_and_below_its_bound(kind, k):
    if kind == "values":
        net, loss = fill(nets.mlp()), nets.values_loss()
        site = sites_of(net)[0]
    else:
        net, loss, site = fill(Spiking(), spiking=True), nets.spiking_loss(), SPIKING
    found = measure(net, site, loss)
    best = by_gradmax(found, k).evidence["gradient"]
    draws = [
        by_gaussian(found, k, generator(seed)).evidence["gradient"] for seed in range(400)
    ]
    gain = best / torch.tensor(draws).square().mean().sqrt().item()
    assert gain == pytest.approx(expected_gain(found.matrix, k), rel=0.08)
    assert 1 <= expected_gain(found.matrix, k) <= (CLASSES / k) ** 0.5 + 1e-9


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 999), st.data())
def test_the_expected_gain_never_passes_the_root_of_rows_by_neurons(rows, cols, seed, data):
    k = data.draw(st.integers(1, min(rows, cols)))
    gain = expected_gain(draw(rows, cols, seed=seed), k)
    assert gain * (1 if k <= rows else 0) >= 1 - 1e-9 or k == min(rows, cols)
    assert gain <= (rows / k) ** 0.5 + 1e-9


# --- guards -----------------------------------------------------------------------------------


def site_with(module, **how):
    net = fill(nets.mlp(activation=lambda: module, **how))
    return measure(net, sites_of(net)[0], nets.values_loss())


def test_a_relu_would_be_dead_and_is_refused_with_advice():
    with pytest.raises(
        MosaicError, match=r"ReLU has derivative 0 at 0.*Use LiveReLU, or start"
    ):
        site_with(nn.ReLU()).matrix  # noqa: B018


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sigmoid(), "Sigmoid gives 0.5 at 0.*not be silent"),
        (nn.Softmax(-1), "Softmax stands between the new neurons"),
        (nn.LayerNorm(HIDDEN).double(), "LayerNorm divides a channel that is all 0"),
        (
            nn.GroupNorm(2, HIDDEN).double(),
            "GroupNorm divides a channel.*grows by 316. Start with",
        ),
        (nn.BatchNorm1d(HIDDEN).double(), r"BatchNorm1d divides.*316. Call eval\(\) on it"),
        (
            nn.BatchNorm1d(HIDDEN, track_running_stats=False).double().eval(),
            "BatchNorm1d divides",
        ),
        (nn.LeakyReLU(1e-5), "LeakyReLU has derivative 1e-05 at 0"),
        (nn.MaxPool1d(1), "MaxPool1d stands between"),
        (snntorch.Alpha(alpha=0.8, beta=0.7), "Alpha stands between"),
    ],
)
def test_what_is_not_linear_or_not_silent_at_rest_is_refused(module, message):
    net = fill(nets.mlp(activation=nn.Tanh))
    found = measure(net, sites_of(net)[0], nets.values_loss())
    net[1] = module
    with pytest.raises(MosaicError, match=message):
        type(found)(net, found.site, found.losses, found.record).matrix  # noqa: B018


@pytest.mark.parametrize("slope", [25, 100])
def test_a_surrogate_that_vanishes_at_rest_is_refused_with_advice(slope):
    net = fill(Spiking(), spiking=True)
    net.cell = snntorch.Leaky(beta=0.9, spike_grad=surrogate.sigmoid(slope=slope))
    net.into.weight.data *= 0.05  # silent, since this surrogate overflows
    net.into.bias.data.zero_()
    found = measure(net, SPIKING, nets.spiking_loss())
    with pytest.raises(MosaicError, match=r"slope .* at rest.*Use surrogate.atan\(\)"):
        by_gradmax(found, 1)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"init_hidden": True}, "Leaky with init_hidden cannot grow; pass its state"),
        ({"threshold": 0.0}, "threshold 0;.*above 0"),
    ],
)
def test_cells_that_cannot_grow_are_refused(how, message):
    net = fill(Spiking(), spiking=True)
    net.cell = snntorch.Leaky(beta=0.9, **how)
    with pytest.raises(MosaicError, match=message):
        measure(net, SPIKING, nets.spiking_loss())


def test_more_neurons_than_the_rank_are_refused_whatever_the_scale_of_the_loss():
    net, loss = fill(nets.mlp()), nets.values_loss()
    for factor in (1.0, 1e-6, 1e6):
        found = measure(
            net, sites_of(net)[0], lambda net, factor=factor: factor * loss(net)
        )
        assert found.rank == CLASSES - 1  # a softmax takes one
        by_gradmax(found, CLASSES - 1)
        with pytest.raises(MosaicError, match=r"neurons is 4; M has rank 3.*several steps"):
            by_gradmax(found, CLASSES)


def test_rank_is_relative_and_knows_the_rounding_of_its_numbers():
    matrix = torch.diag(torch.tensor([1e-6, 1e-8, 1e-14]))
    assert rank_of(matrix) == 2
    assert rank_of(matrix.double() * 1e30) == 3 - 0
    assert rank_of(torch.zeros(2, 2)) == 0


@pytest.mark.parametrize("where", ["weight", "input"])
def test_what_is_not_finite_is_refused(where):
    net = fill(nets.mlp())
    if where == "weight":
        net[2].weight.data[0, 0] = float("inf")
    values = torch.full((3, INPUTS), float("nan") if where == "input" else 1.0).double()
    with pytest.raises(MosaicError, match="not finite; the loss has diverged"):
        measure(net, sites_of(net)[0], lambda net: net(values).square().mean())


def test_sites_that_are_not_there_or_make_no_sense_are_refused():
    net, loss = fill(nets.mlp()), nets.values_loss()
    for site, message in (
        (Site(("5",), (), ("2",)), "no module '5'"),
        (Site(("1",), (), ("2",)), "'1' is a LiveReLU; sources and targets are Linear"),
        (Site(("2",), (), ("0",)), "reads 7 inputs, which are no multiple of the 4"),
        (Site(("0", "2"), (), ("2",)), r"give \[4, 6\] channels"),
    ):
        with pytest.raises(MosaicError, match=message):
            measure(net, site, loss)
    with pytest.raises(MosaicError, match="sources of a site is '0'; it needs a tuple"):
        Site("0", (), ("2",))
    with pytest.raises(MosaicError, match=r"delays is \(-1,\)"):
        Site(("0",), (), ("2",), delays=(-1,))
    with pytest.raises(MosaicError, match="scalar that depends on"):
        measure(net, sites_of(net)[0], lambda net: torch.zeros(()))
    grouped = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 2, 3))
    with pytest.raises(MosaicError, match="Conv2d with groups=2; sources and targets"):
        measure(grouped, Site(("0",), (), ("1",)), loss)


def test_measuring_leaves_a_model_as_it_was():
    net = fill(
        nn.Sequential(
            nn.Linear(INPUTS, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4)
        ).double()
    )
    before = copy.deepcopy(net.state_dict())
    measure(net, sites_of(net)[0], nets.values_loss())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in net.modules()
    )
    assert all(weight.grad is None for weight in net.parameters())


def test_the_mean_input_of_spiking_neurons_is_their_mean_trace():
    net = fill(Spiking(), spiking=True)
    found = measure(net, SPIKING, nets.spiking_loss())
    spikes, _ = nets.spikes_and_targets()
    assert close(found.mean_input, traces(spikes, 0.9).mean((0, 1)))
