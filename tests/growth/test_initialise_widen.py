"""Widening any model, taking its optimiser along, and loading it again."""

import copy
import io
import json

import nets
import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import HIDDEN, INPUTS, SPIKING, Spiking, fill, generator
from torch import nn

from growth.initialise import (
    LiveReLU,
    NewNeurons,
    Site,
    Stage,
    adapt_rates,
    by_gaussian,
    by_gradmax,
    carry,
    measure,
    rebuild,
    sites_of,
    widen,
)
from mosaic_sim import MosaicError

OPTIMISERS = {
    "SGD": lambda p: torch.optim.SGD(p, 0.05),
    "SGD, momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, 1e-2),
    "AdamW": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1),
    "Adam, amsgrad": lambda p: torch.optim.Adam(p, 1e-2, amsgrad=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.5),
}


def trained(make, steps=3, net=None, loss=None):
    """A network that has been trained for some steps, and its optimiser."""
    net = net or fill(nets.mlp())
    optimiser = make(net.parameters())
    for _ in range(steps):
        train(net, optimiser, loss)
    return net, optimiser


def train(net, optimiser, loss=None):
    optimiser.zero_grad()
    (loss or nets.values_loss())(net).backward()
    optimiser.step()


def grown_by(net, k=2, seed=0, **how):
    loss = nets.values_loss()
    site = sites_of(net)[0]
    return widen(
        net, site, by_gaussian(measure(net, site, loss), k, generator(seed), **how)
    )


# --- shapes and values ------------------------------------------------------------------------


def test_old_entries_keep_their_place_and_new_biases_are_zero():
    net = fill(nets.mlp())
    before = copy.deepcopy(net.state_dict())
    rows, columns = torch.ones(2, INPUTS).double(), torch.full((4, 2), 2.0).double()
    grown, stage = widen(net, sites_of(net)[0], NewNeurons((rows,), (columns,), False, {}))
    now = grown.state_dict()
    for name, old in before.items():
        corner = tuple(slice(0, size) for size in old.shape)
        assert torch.equal(now[name][corner], old)
        assert torch.equal(net.state_dict()[name], old)  # the model given is left alone
    assert torch.equal(now["0.weight"][HIDDEN:], rows)
    assert torch.equal(now["2.weight"][:, HIDDEN:], columns)
    assert not now["0.bias"][HIDDEN:].any()
    assert (grown[0].out_features, grown[2].in_features) == (HIDDEN + 2, HIDDEN + 2)
    assert stage.shapes == {
        "0.weight": ((6, 7), (8, 7)), "0.bias": ((6,), (8,)), "2.weight": ((4, 6), (4, 8)),
    }  # fmt: skip


def test_recurrent_layers_grow_on_both_sides_without_weights_among_new_neurons():
    net = fill(Spiking("RLeaky"), spiking=True)
    found = measure(net, SPIKING, nets.spiking_loss())
    grown, _ = widen(net, SPIKING, by_gradmax(found, 3))
    recurrent = grown.cell.recurrent
    assert recurrent.weight.shape == (HIDDEN + 3, HIDDEN + 3)
    assert (recurrent.in_features, recurrent.out_features) == (HIDDEN + 3, HIDDEN + 3)
    assert grown.cell.linear_features == HIDDEN + 3
    assert not recurrent.weight[HIDDEN:].any()
    assert not recurrent.bias[HIDDEN:].any()
    assert recurrent.weight[:HIDDEN, HIDDEN:].any()


def test_learnable_values_of_cells_stay_learnable():
    net = fill(Spiking(), spiking=True)
    net.cell = snntorch.Leaky(beta=torch.full((HIDDEN,), 0.8), learn_beta=True)
    found = measure(net, SPIKING, nets.spiking_loss())
    grown, stage = widen(net, SPIKING, by_gradmax(found, 2))
    assert isinstance(grown.cell.beta, nn.Parameter)
    assert stage.shapes["cell.beta"] == ((HIDDEN,), (HIDDEN + 2,))
    adam = carry(torch.optim.Adam(net.parameters()), net, grown, stage)
    assert sum(part.numel() for g in adam.param_groups for part in g["params"]) == sum(
        weight.numel() for weight in grown.parameters()
    )


def test_one_to_one_recurrence_keeps_its_own_weight_for_each_neuron():
    net = fill(Spiking("RLeaky, one to one"), spiking=True)
    net.cell = snntorch.RLeaky(beta=0.7, all_to_all=False, V=torch.full((HIDDEN,), 0.4))
    loss = nets.spiking_loss()
    new = by_gradmax(measure(net, SPIKING, loss), 2)
    grown, _ = widen(net, SPIKING, new)
    assert grown.cell.recurrent.V is grown.cell.V
    assert grown.cell.V[HIDDEN:].tolist() == [0, 0]
    loss(grown).backward()
    gradient = grown.into.weight.grad[HIDDEN:].norm().item()
    assert gradient == pytest.approx(new.evidence["gradient"], rel=1e-5)


NORMS = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(HIDDEN), 2),
    "GroupNorm": (lambda: nn.GroupNorm(3, HIDDEN), 2),
    "LayerNorm": (lambda: nn.LayerNorm(HIDDEN), 2),
}


@pytest.mark.parametrize("norm", NORMS)
def test_norms_pass_new_neurons_on_with_identity_parameters(norm):
    make, k = NORMS[norm]
    net = fill(nets.mlp(activation=make))
    grown, _ = grown_by_outgoing(net, k, keep_function=False)
    new = grown[1]
    assert new.weight[HIDDEN:].tolist() == [1] * k
    assert new.bias[HIDDEN:].tolist() == [0] * k
    if norm == "BatchNorm1d":
        assert new.running_mean[HIDDEN:].tolist() == [0] * k
        assert new.running_var[HIDDEN:].tolist() == [1] * k
        assert new.num_features == HIDDEN + k
    if norm == "GroupNorm":
        assert (new.num_groups, new.num_channels) == (4, HIDDEN + k)
    loss = nets.values_loss()
    kept = abs(float((loss(grown) - loss(net)).detach())) <= 1e-12
    assert kept == (norm != "LayerNorm")


def grown_by_outgoing(net, k, **how):
    rows = torch.randn(k, INPUTS, generator=generator()).double()
    new = NewNeurons((rows,), (torch.zeros(4, k).double(),), True, {})
    return widen(net, sites_of(net)[0], new, **how)


def test_a_batch_norm_in_training_refuses_channels_that_are_zero():
    net = fill(nets.mlp(activation=lambda: nn.BatchNorm1d(HIDDEN)))
    silent = NewNeurons(
        (torch.zeros(1, INPUTS).double(),), (torch.ones(4, 1).double(),), True, {}
    )
    with pytest.raises(
        MosaicError, match=r"'1' divides a channel.*316. Call eval\(\) on it"
    ):
        widen(net, sites_of(net)[0], silent)
    widen(net.eval(), sites_of(net)[0], silent)


def test_the_trap_of_the_batch_norm_is_real():
    # The gradient on incoming weights 0 in training is 1 / sqrt(eps) times that in eval.
    net = fill(nets.mlp(activation=lambda: nn.BatchNorm1d(HIDDEN))).eval()
    values = torch.randn(50, INPUTS, generator=generator()).double()
    silent = NewNeurons(
        (torch.zeros(1, INPUTS).double(),), (torch.ones(4, 1).double(),), True, {}
    )
    grown, _ = widen(net, sites_of(net)[0], silent)
    sizes = []
    for mode in (True, False):
        grown[1].train(mode)
        grown.zero_grad()
        (grown(values) * torch.arange(50.0)[:, None]).mean().backward()
        sizes.append(grown[0].weight.grad[HIDDEN:].norm().item())
    assert 50 < sizes[0] / sizes[1] < 1000


def test_layer_and_group_norms_that_would_change_old_neurons_are_refused():
    net = fill(nets.mlp(activation=lambda: nn.LayerNorm(HIDDEN)))
    with pytest.raises(MosaicError, match=r"'1' is a LayerNorm.*keep_function=False"):
        grown_by_outgoing(net, 2)
    net = fill(nets.mlp(activation=lambda: nn.GroupNorm(3, HIDDEN)))
    with pytest.raises(
        MosaicError, match="neurons is 3; a GroupNorm with 2 channels a group"
    ):
        grown_by_outgoing(net, 3)


def test_weights_that_do_not_fit_are_refused_with_the_shape_that_would():
    net = fill(nets.mlp())
    good, site = (torch.ones(2, INPUTS), torch.ones(4, 2)), sites_of(net)[0]
    for rows, columns, message in (
        (torch.ones(2, 3), good[1], r"incoming has shapes \[\(2, 3\)\].*\(2, 7\) for '0'"),
        (good[0], torch.ones(4, 3), r"outgoing has shapes \[\(4, 3\)\].*\(4, 2\) for '2'"),
        (torch.ones(0, INPUTS), torch.ones(4, 0), "with at least one neuron"),
        (good[0] / 0, good[1], "incoming has weights that are not finite"),
    ):
        with pytest.raises(MosaicError, match=message):
            widen(net, site, NewNeurons((rows,), (columns,), False, {}))


def test_shared_weights_are_refused():
    net = fill(nets.mlp())
    net.add_module("again", nn.Linear(INPUTS, HIDDEN).double())
    net.again.weight = net[0].weight
    new = NewNeurons((torch.ones(1, INPUTS),), (torch.ones(4, 1),), False, {})
    with pytest.raises(
        MosaicError, match=r"'0' shares its weight with others .*again.weight"
    ):
        widen(net, Site(("0",), ("1",), ("2",)), new)


def test_a_model_that_has_just_run_can_be_widened_and_starts_from_rest():
    net = fill(Spiking(), spiking=True)
    spikes, _ = nets.spikes_and_targets()
    net(spikes)  # its cells now hold membranes with their graphs
    found = measure(net, SPIKING, nets.spiking_loss())
    grown, _ = widen(net, SPIKING, by_gradmax(found, 1))
    assert grown.cell.mem.numel() == 0
    assert net.cell.mem.numel() > 0


def test_what_a_model_keeps_beside_its_weights_is_copied():
    net = fill(nets.mlp())
    net.mask = torch.arange(3.0)
    net.trace = (
        torch.ones(2, requires_grad=True) * 2
    )  # with a graph, which torch will not copy
    grown, _ = grown_by(net)
    assert torch.equal(grown.mask, net.mask)
    assert grown.mask is not net.mask


# --- checkpoints ------------------------------------------------------------------------------


def several_stages(cell="RLeaky"):
    net, stages = fill(Spiking(cell), spiking=True), []
    loss = nets.spiking_loss()
    for k in (2, 1, 3):
        net, stage = widen(net, SPIKING, by_gradmax(measure(net, SPIKING, loss), k))
        stages.append(stage)
    return net, stages


@pytest.mark.parametrize("cell", nets.CELLS)
def test_the_state_of_a_grown_model_loads_into_a_rebuilt_one(cell):
    net, stages = several_stages(cell)
    file = io.BytesIO()
    torch.save({"state": net.state_dict(), "stages": [s.to_dict() for s in stages]}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = rebuild(Spiking(cell), [Stage.from_dict(values) for values in saved["stages"]])
    again.load_state_dict(saved["state"])
    spikes, _ = nets.spikes_and_targets()
    assert torch.equal(again(spikes), net(spikes))
    assert json.loads(json.dumps(saved["stages"])) == saved["stages"]
    assert [Stage.from_dict(values) for values in saved["stages"]] == stages


def test_models_with_norms_and_images_are_rebuilt_too():
    def start():
        return nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, groups=4),
            LiveReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 3),
        ).double()  # fmt: skip

    net, loss = fill(start()).eval(), nets.values_loss(shape=(4, 2, 9, 8))
    site = Site(("0",), ("1", "2", "3", "4", "5"), ("6",))
    grown, stage = widen(net, site, by_gradmax(measure(net, site, loss), 2))
    again = rebuild(start(), [stage]).eval()
    again.load_state_dict(grown.state_dict())
    assert (
        loss(again).item()
        == loss(grown).item()
        == pytest.approx(loss(net).item(), abs=1e-12)
    )


def test_stages_that_do_not_fit_are_refused():
    _, stages = several_stages()
    with pytest.raises(MosaicError, match=r"not what the stage grew from: into.weight"):
        rebuild(Spiking("RLeaky"), stages[1:])
    with pytest.raises(MosaicError, match=r"no stage of growth: KeyError.*Stage.to_dict"):
        Stage.from_dict({"site": {}, "neurons": 1})


# --- optimisers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMISERS)
def test_old_entries_go_on_as_if_nothing_had_grown(name):
    # The new neurons have incoming and outgoing weights 0, so the old ones do not feel them.
    net, optimiser = trained(OPTIMISERS[name])
    nothing = NewNeurons((torch.zeros(2, INPUTS),), (torch.zeros(4, 2),), True, {})
    grown, stage = widen(net, sites_of(net)[0], nothing)
    carried = carry(optimiser, net, grown, stage)
    assert type(carried) is type(optimiser)
    for _ in range(4):
        train(net, optimiser)
        train(grown, carried)
    for old, new in zip(net.parameters(), grown.parameters(), strict=True):
        corner = tuple(slice(0, size) for size in old.shape)
        assert torch.allclose(new[corner], old, atol=1e-12)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adam, amsgrad"])
def test_new_entries_make_a_first_step_of_one_learning_rate_not_of_three(name):
    net, optimiser = trained(OPTIMISERS[name], steps=5)
    for state in optimiser.state.values():
        state["step"].fill_(100_000)  # late in training, when the corrections of bias are 1
    grown, stage = grown_by(net)
    start = grown[0].weight.detach().clone()
    train(grown, carry(optimiser, net, grown, stage))
    step = (grown[0].weight.detach() - start)[HIDDEN:].abs()
    assert step.median().item() == pytest.approx(1e-2, rel=1e-3)

    # The trap: the same with a padded state, whose step count goes on.
    padded = torch.optim.Adam(grown.parameters(), 1e-2)
    for old, new in zip(net.parameters(), grown.parameters(), strict=True):
        state = {key: value.clone() for key, value in optimiser.state[old].items()}
        for key in ("exp_avg", "exp_avg_sq"):
            full = torch.zeros_like(new)
            full[tuple(slice(0, size) for size in old.shape)] = state[key]
            state[key] = full
        padded.state[new] = {key: state[key] for key in ("step", "exp_avg", "exp_avg_sq")}
    start = grown[0].weight.detach().clone()
    train(grown, padded)
    step = (grown[0].weight.detach() - start)[HIDDEN:].abs()
    assert step.median().item() == pytest.approx(3.16e-2, rel=0.01)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_parts_together_step_as_one_weight_would_without_any_history(name):
    net = fill(nets.mlp())
    optimiser = OPTIMISERS[name](net.parameters())
    grown, stage = grown_by(net, zero="outgoing")
    whole = copy.deepcopy(grown)
    carried, plain = (
        carry(optimiser, net, grown, stage),
        OPTIMISERS[name](whole.parameters()),
    )
    for _ in range(3):
        train(grown, carried)
        train(whole, plain)
    for a, b in zip(grown.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_moments_of_old_entries_are_carried_and_new_ones_start_fresh():
    net, adam = trained(OPTIMISERS["Adam"], steps=5)
    grown, stage = grown_by(net)
    carried = carry(adam, net, grown, stage)
    old = carried.param_groups[0]
    assert old["stage"] == 0
    for before, part in zip(net.parameters(), old["params"], strict=True):
        assert torch.equal(carried.state[part]["exp_avg"], adam.state[before]["exp_avg"])
        assert carried.state[part]["step"] == 5
    fresh = carried.param_groups[1:]
    assert [group["stage"] for group in fresh] == [1, 1, 1]
    assert all(not carried.state.get(part) for group in fresh for part in group["params"])
    total = sum(part.numel() for g in carried.param_groups for part in g["params"])
    assert total == sum(weight.numel() for weight in grown.parameters())


def test_the_old_optimiser_and_model_are_left_alone():
    net, adam = trained(OPTIMISERS["Adam"])
    before = copy.deepcopy((net.state_dict(), adam.state_dict()))
    grown, stage = grown_by(net)
    train(grown, carry(adam, net, grown, stage))
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[0][name])
    for key, state in adam.state_dict()["state"].items():
        assert all(torch.equal(v, before[1]["state"][key][n]) for n, v in state.items())


def test_groups_keep_their_settings_and_frozen_parameters_stay_out():
    net = fill(nets.mlp())
    groups = [
        {"params": [net[0].weight], "lr": 0.1, "weight_decay": 0.5},
        {"params": [net[2].weight], "lr": 0.2},
    ]  # biases are not trained
    grown, stage = grown_by(net)
    carried = carry(torch.optim.SGD(groups, 1.0, momentum=0.9), net, grown, stage)
    rates = [
        (g["stage"], g["lr"], g["weight_decay"], g["momentum"])
        for g in carried.param_groups
    ]
    assert rates == [
        (0, 0.1, 0.5, 0.9),
        (0, 0.2, 0, 0.9),
        (1, 0.1, 0.5, 0.9),
        (1, 0.2, 0, 0.9),
    ]
    before = grown[0].bias.detach().clone()
    train(grown, carried)
    assert torch.equal(grown[0].bias, before)


@settings(max_examples=12)
@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.sampled_from(["SGD, momentum", "Adam"]),
)
def test_any_number_of_growths_cover_every_entry_once(ks, name):
    net, optimiser = trained(OPTIMISERS[name], steps=1)
    for number, k in enumerate(ks):
        grown, stage = grown_by(net, k, seed=number)
        optimiser, net = carry(optimiser, net, grown, stage), grown
        train(net, optimiser)
    count = {weight_name: torch.zeros(w.shape) for weight_name, w in net.named_parameters()}
    for group in optimiser.param_groups:
        for (weight_name, ranges), part in zip(
            group["blocks"], group["params"], strict=True
        ):
            where = tuple(slice(*each) for each in ranges)
            count[weight_name][where] += 1
            assert torch.equal(dict(net.named_parameters())[weight_name][where], part)
    assert all(bool((each == 1).all()) for each in count.values())
    assert max(group["stage"] for group in optimiser.param_groups) == len(ks)


def test_recurrent_weights_are_covered_too():
    net = fill(Spiking("RLeaky"), spiking=True)
    loss = nets.spiking_loss()
    adam = torch.optim.Adam(net.parameters())
    grown, stage = widen(net, SPIKING, by_gradmax(measure(net, SPIKING, loss), 2))
    adam = carry(adam, net, grown, stage)
    assert sum(part.numel() for g in adam.param_groups for part in g["params"]) == sum(
        weight.numel() for weight in grown.parameters()
    )


def carried_sgd(rate=0.1, **how):
    net = fill(nets.mlp())
    sgd = torch.optim.SGD(net.parameters(), rate, **how)
    grown, stage = grown_by(net, zero="outgoing")
    return grown, carry(sgd, net, grown, stage)


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("whose", ["optimiser", "model"])
def test_gradients_are_dropped_by_either_zero_grad(whose, to_none):
    grown, sgd = carried_sgd()
    nets.values_loss(1)(grown).backward()  # a batch that is thought better of
    (sgd if whose == "optimiser" else grown).zero_grad(set_to_none=to_none)
    nets.values_loss(0)(grown).backward()
    oracle = copy.deepcopy(grown)
    oracle.zero_grad()
    nets.values_loss(0)(oracle).backward()
    for group in sgd.param_groups:
        for (name, ranges), part in zip(group["blocks"], group["params"], strict=True):
            whole = dict(oracle.named_parameters())[name].grad
            assert torch.allclose(part.grad, whole[tuple(slice(*r) for r in ranges)])


def test_gradients_of_two_batches_add_up():
    grown, sgd = carried_sgd()
    oracle = copy.deepcopy(grown)
    for model in (grown, oracle):
        for seed in (0, 1):
            nets.values_loss(seed)(model).backward()
    part = sgd.param_groups[1]["params"][0]
    name, ranges = sgd.param_groups[1]["blocks"][0]
    whole = dict(oracle.named_parameters())[name].grad
    assert torch.allclose(part.grad, whole[tuple(slice(*r) for r in ranges)])


def test_clipping_the_model_clips_the_parts():
    grown, sgd = carried_sgd()
    nets.values_loss()(grown).backward()
    nn.utils.clip_grad_norm_(grown.parameters(), 1e-3)
    parts = [part.grad.flatten() for g in sgd.param_groups for part in g["params"]]
    assert torch.cat(parts).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_a_carried_optimiser_resumes_from_its_state():
    def grow(steps):
        net, adam = trained(OPTIMISERS["Adam"], steps=2)
        grown, stage = grown_by(net)
        adam = carry(adam, net, grown, stage)
        for _ in range(steps):
            train(grown, adam)
        return grown, adam

    first, adam = grow(2)
    file = io.BytesIO()
    torch.save({"model": first.state_dict(), "adam": adam.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second, again = grow(0)
    second.load_state_dict(saved["model"])
    again.load_state_dict(saved["adam"])
    for _ in range(2):
        train(first, adam)
        train(second, again)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_a_loaded_optimiser_can_be_carried_on():
    grown, sgd = carried_sgd(momentum=0.9)
    train(grown, sgd)
    sgd.load_state_dict(sgd.state_dict())
    more, stage = grown_by(grown)
    carried = carry(sgd, grown, more, stage)
    assert max(group["stage"] for group in carried.param_groups) == 2
    train(more, carried)


def test_rates_of_stages_follow_their_norms():
    grown, sgd = carried_sgd(rate=0.2)
    old = fill(nets.mlp())[0].weight.norm().item()
    adapt_rates(sgd)
    rates = {(g["stage"], g["blocks"][0][0]): g["lr"] for g in sgd.param_groups}
    new = grown[0].weight[HIDDEN:].norm().item()
    assert rates[1, "0.weight"] == pytest.approx(0.2 * new / old)
    assert rates[0, "0.weight"] == 0.2
    assert rates[1, "0.bias"] == 0.2
    assert rates[1, "2.weight"] == 0.2  # still 0: the rule would never let it learn
    train(grown, sgd)
    adapt_rates(sgd)
    rates = {(g["stage"], g["blocks"][0][0]): g["lr"] for g in sgd.param_groups}
    assert 0 < rates[1, "2.weight"] < 0.2
    with pytest.raises(
        MosaicError, match="has no stages; adapt_rates takes one from carry"
    ):
        adapt_rates(torch.optim.SGD(grown.parameters(), 0.1))


def test_optimisers_that_cannot_be_carried_are_refused():
    net = fill(nets.mlp())
    grown, stage = grown_by(net)
    with pytest.raises(MosaicError, match="LBFGS cannot be carried over"):
        carry(torch.optim.LBFGS(net.parameters()), net, grown, stage)
    with pytest.raises(MosaicError, match="tensors that are not parameters of the model"):
        carry(torch.optim.SGD(grown.parameters(), 0.1), net, grown, stage)


def test_a_grown_network_learns_more_than_the_one_it_grew_from():
    # The whole chain: measure, start, widen, carry, train.
    net, adam = trained(OPTIMISERS["Adam"], steps=30, net=fill(nets.mlp(hidden=1)))
    small = copy.deepcopy(net)
    plain = OPTIMISERS["Adam"](small.parameters())
    site, loss = sites_of(net)[0], nets.values_loss()
    grown, stage = widen(net, site, by_gradmax(measure(net, site, loss), 3))
    adam = carry(adam, net, grown, stage)
    for _ in range(100):
        train(small, plain)
        train(grown, adam)
    assert loss(grown).item() < 0.7 * loss(small).item()
