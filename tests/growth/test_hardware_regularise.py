import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, target
from hypothesis import strategies as st

from growth.hardware import (
    RoutingEnergy,
    TiledNetwork,
    connection_strength,
    hop_penalty,
    hop_prices,
    rate_penalty,
    rewire,
)
from mosaic_sim import (
    Chip,
    MosaicError,
    chip_preset,
    compile_program,
    price,
    route,
    simulate,
    technology_preset,
)

RRAM = technology_preset("rram-130nm")
K = 4
CHIP = Chip(2, 3, K, 24, 24, 24)


def small(seed=0, **changes):
    default = {"inputs": 3, "outputs": 2, "profile": {1: 0.6, 3: 0.4, 5: 0.3}, "gain": 3.0}
    return TiledNetwork(2, 3, K, seed=seed, **{**default, **changes})


# --- distance --------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.floats(0.01, 0.9))
def test_the_hop_penalty_is_the_published_one(seed, beta):
    net = small(seed)
    prices = hop_prices(CHIP, beta)
    mask = np.kron(
        np.clip(np.exp(beta * CHIP.tile_hops) - 1, 0, math.exp(15)), np.ones((K, K))
    )
    wanted = (mask * net.recurrent.detach().numpy() ** 2).mean()
    assert hop_penalty(net, prices).item() == pytest.approx(wanted, rel=1e-5)


def test_the_published_default_cannot_tell_distances_apart_and_says_so():
    with pytest.warns(UserWarning, match="over 3 to 15 hops") as seen:
        prices = hop_prices(chip_preset("routing-aware"), 8.0)
    assert prices.unique().tolist() == pytest.approx([0, math.exp(8) - 1, math.exp(15)])
    best = float(str(seen[0].message).split("up to ")[1].split(" ")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apart = hop_prices(chip_preset("routing-aware"), best)
    assert len(apart.unique()) == len(np.unique(chip_preset("routing-aware").tile_hops))


def test_only_weights_between_tiles_are_drawn_to_0():
    net = small()
    hop_penalty(net, hop_prices(CHIP, 0.4)).backward()
    grad, same = net.recurrent.grad, net.tile[:, None] == net.tile[None]
    assert not grad[same].any()
    there = net.mask & ~same
    assert torch.equal(grad[there].sign(), net.recurrent.detach()[there].sign())


# --- routing energy: the simulator as oracle -------------------------------------------------


def billed(net, chip, routing, spikes):
    """Oracle: energy of routing a step and sample, of a run on the chip with pruned trees."""
    network, placement = net.to_network(), net.placement(chip)
    trees = route(network, chip, placement, keep=routing, rip=True)
    program = compile_program(network, chip, placement, trees)
    recording = simulate(program, spikes.bool().numpy().transpose(1, 0, 2), raster=True)
    report = price(program, recording, RRAM)
    return report.by_component()["routing"] / len(spikes) / spikes.shape[1], recording


@given(st.integers(0, 10**6), st.floats(0, 1), st.booleans())
def test_hard_connections_cost_what_the_simulator_bills(seed, gone, narrow):
    chip = Chip(2, 3, K, 6, 4, 5) if narrow else CHIP
    net, source = small(seed), torch.Generator().manual_seed(seed)
    done = rewire(
        net, chip, profile={1: 0.6, 3: 0.4}, threshold=0.3, keep=1, generator=source
    )
    energy = RoutingEnergy.of(net, chip, RRAM, done.routing)
    lost = (torch.rand(net.reach.shape, generator=source) < gone) & ~net.own
    with torch.no_grad():
        net.recurrent[lost.t().repeat_interleave(K, 0)] = 0.0
    spikes = (torch.rand(9, 2, 3, generator=source) < 0.6).float()
    wanted, recording = billed(net, chip, done.routing, spikes)
    counts = torch.from_numpy(recording.counts.sum(0)) / 18  # levels may change some spikes
    strength = torch.cat([torch.ones(3, 6), connection_strength(net, 0.0)])
    target(float(counts[3:].sum()))
    found = energy(counts, strength)
    assert found.item() == pytest.approx(wanted, rel=1e-6, abs=0)


def test_a_run_of_the_model_costs_what_the_chip_bills_for_it():
    net = small(2)
    with torch.no_grad():  # one size of weights: levels change nothing
        net.incoming.copy_(net.incoming.abs().sign() * 0.5)
        net.recurrent.copy_(net.recurrent.sign() * 0.5)
    spikes = (
        torch.rand(20, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    ).float()
    routing = route(net.to_network(), CHIP, net.placement(CHIP))
    energy = RoutingEnergy(net.to_network(), CHIP, net.placement(CHIP), routing, RRAM)
    activity = net.run(spikes)
    wanted, recording = billed(net, CHIP, routing, spikes)
    assert activity.spikes.mean() > 0.05
    assert np.array_equal(recording.counts[:, 3:].sum(), activity.spikes.sum().item())
    assert energy.of_run(net, activity, spikes, scale=0.0).item() == pytest.approx(
        wanted, rel=1e-6, abs=0
    )
    assert energy.of_run(net, activity, spikes, scale=1e-3).item() == pytest.approx(
        wanted, rel=1e-6, abs=0
    )


def test_between_there_and_gone_it_is_the_mean_over_networks_drawn_so():
    net = small(1, profile={1: 0.2, 3: 0.2})
    energy = RoutingEnergy.of(net, CHIP, RRAM)
    rates = torch.rand(3 + net.neurons, dtype=torch.float64)
    source = torch.Generator().manual_seed(0)
    strength = torch.rand(3 + net.neurons, 6, generator=source, dtype=torch.float64)
    drawn = torch.stack([
        energy(rates, (torch.rand(strength.shape, generator=source) < strength).double())
        for _ in range(4_000)
    ])  # fmt: skip
    error = drawn.std() / math.sqrt(len(drawn))
    assert abs(drawn.mean() - energy(rates, strength)) < 4 * error


def test_gradients_are_those_of_differences_also_where_connections_are_whole():
    net = small(1)
    energy = RoutingEnergy.of(net, CHIP, RRAM)
    source = torch.Generator().manual_seed(0)
    rates = torch.rand(3 + net.neurons, generator=source, dtype=torch.float64)
    strength = torch.rand(3 + net.neurons, 6, generator=source, dtype=torch.float64)
    strength[torch.rand(strength.shape, generator=source) < 0.4] = 1.0
    inputs = [x.requires_grad_() for x in (rates, strength)]
    assert torch.autograd.gradcheck(lambda r, c: energy(r, c) * 1e12, inputs, rtol=1e-4)


def test_training_on_energy_alone_silences_neurons_and_removes_weak_connections():
    net = small(3, gain=2.0, beta=0.9)
    energy = RoutingEnergy.of(net, CHIP, RRAM)
    spikes = (
        torch.rand(20, 4, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    ).float()
    optimiser = torch.optim.SGD(net.parameters(), 1.0)

    def joules():
        return energy.of_run(net, net.run(spikes), spikes, scale=0.3)

    first, before = joules().item(), connection_strength(net, 0.3)[~net.own].sum().item()
    for _ in range(20):
        optimiser.zero_grad()
        (joules() * 0.3 / first).backward()
        assert all(p.grad.isfinite().all() for p in net.parameters())
        optimiser.step()
    assert joules().item() < 0.9 * first
    assert connection_strength(net, 0.3)[~net.own].sum().item() < before


def test_the_strength_of_a_connection_is_by_the_norm_of_its_weights():
    net = small()
    got = connection_strength(net, 0.7).detach()
    weight = (net.recurrent * net.mask).detach().numpy()
    for neuron in (0, 7, 15):
        for tile in range(6):
            norm = np.linalg.norm(weight[tile * K : tile * K + K, neuron])
            assert got[neuron, tile].item() == pytest.approx(
                1 - math.exp(-norm / 0.7), abs=1e-6
            )
    connection_strength(net, 0.7).sum().backward()
    assert net.recurrent.grad.isfinite().all()
    assert not net.recurrent.grad[~net.mask].any()


# --- firing and refusals ---------------------------------------------------------------------


def test_the_rate_penalty_is_the_published_one():
    z = torch.rand(5, 3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = 10 * (5 - 10 * z.mean()) ** 2
    assert 1000 * rate_penalty(z, 0.5).item() == pytest.approx(wanted.item(), rel=1e-5)
    each = np.mean([(z[..., j].mean() - 0.1) ** 2 for j in range(7)])
    assert rate_penalty(z, 0.1, each=True).item() == pytest.approx(each, rel=1e-5)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: hop_prices(CHIP, 0), "beta is 0"),
    (lambda: hop_penalty(small(), torch.ones(2, 2)), r"needs \(6, 6\)"),
    (lambda: connection_strength(small(), -1.0), "scale is -1.0"),
    (lambda: rate_penalty(torch.ones(2, 2), 0.1), "steps, samples, neurons"),
    (lambda: rate_penalty(torch.ones(2, 2, 2), 1.1), "target is 1.1"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(MosaicError, match=words):
        call()


def test_rates_and_strengths_of_another_network_are_refused():
    net = small()
    energy = RoutingEnergy.of(net, CHIP, RRAM)
    with pytest.raises(MosaicError, match=r"rates has shape \(2,\)"):
        energy(torch.ones(2), torch.ones(27, 6))
    with pytest.raises(MosaicError, match=r"strength has shape \(24, 6\)"):
        energy(torch.ones(27), torch.ones(24, 6))
