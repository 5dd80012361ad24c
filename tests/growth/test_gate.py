import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from growth.config import GateConfig
from growth.gate import Descriptor, Gate, decide
from growth.model import Expert
from growth.strategies.base import encode
from mosaic_sim import (
    Chip,
    Device,
    MosaicError,
    compile_program,
    join,
    place,
    route,
    simulate,
)
from mosaic_sim.interop import from_snntorch


def half_square(x, prototypes):
    """Oracle: half the squared distance to the nearest prototype, one by one."""
    return np.array([min(sum((a - b) ** 2 for a, b in zip(row, p, strict=True)) / 2
                         for p in prototypes) for row in x])  # fmt: skip


@pytest.fixture(scope="module")
def gate(stream):
    """An expert for each of the five tasks."""
    gate = Gate(10, np.random.default_rng(0))
    for task in stream.tasks:
        gate.add(gate.describe(task.train_inputs), task.train_inputs)
    return gate


# --- novelty -----------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(0, 999))
def test_novelty_is_half_the_squared_distance_to_the_nearest_prototype(
    n, k, channels, seed
):
    rng = np.random.default_rng(seed)
    x, prototypes = rng.random((n, channels)), rng.random((k, channels))
    found = Descriptor(prototypes, 0.0, 1.0).novelty(x)
    assert found == pytest.approx(half_square(x, prototypes), abs=1e-12)


def test_in_its_own_measure_an_experts_data_has_mean_0_and_deviation_1(gate, stream):
    for number, task in enumerate(stream.tasks):
        own = gate.novelty(task.train_inputs)[:, number]
        assert own.mean() == pytest.approx(0, abs=1e-9)
        assert own.std() == pytest.approx(1)


def test_other_classes_are_novel_and_held_out_data_of_the_same_classes_is_not(gate, stream):
    for number, task in enumerate(stream.tasks):
        to_all = gate.novelty(task.test_inputs).mean(0)
        assert -1 < to_all[number] < 1
        assert (np.delete(to_all, number) > 1).all()


def test_prototypes_are_means_and_no_stored_samples(gate, stream):
    for descriptor, task in zip(gate.descriptors, stream.tasks, strict=True):
        assert descriptor.prototypes.shape == (10, 64)
        samples = {tuple(row) for row in task.train_inputs.tolist()}
        assert not samples & {tuple(row) for row in descriptor.prototypes.tolist()}


def test_fewer_distinct_inputs_than_prototypes_give_as_many_as_there_are():
    gate = Gate(10, np.random.default_rng(0))
    inputs = np.repeat(np.eye(3), 5, axis=0)
    descriptor = gate.describe(inputs)
    assert sorted(descriptor.prototypes.round(6).tolist()) == sorted(np.eye(3).tolist())


# --- responsibilities --------------------------------------------------------------------


def test_responsibilities_are_a_softmax_of_novelty_with_a_place_for_nobody(gate, data):
    x = data.test_inputs[:40]
    share = gate.responsibilities(x, 3.0)
    z = np.column_stack([np.full(40, 3.0), gate.novelty(x)])
    assert share == pytest.approx(softmax(-z, axis=1))
    assert share.sum(1) == pytest.approx(1)


def test_without_experts_nobody_is_responsible_and_nothing_is_novel_to_anyone():
    gate = Gate(3, np.random.default_rng(0))
    assert gate.responsibilities(np.zeros((4, 2)), 3.0).tolist() == [[1]] * 4
    assert gate.novelty(np.zeros((4, 2))).shape == (4, 0)
    with pytest.raises(MosaicError, match="no experts yet; add one first"):
        gate.neurons(0)


def test_nobody_takes_what_an_expert_does_not_know_and_leaves_it_what_it_does(gate, stream):
    settings = GateConfig()
    alone = Gate(10, np.random.default_rng(0))
    for own, descriptor in enumerate(gate.descriptors):
        alone.descriptors = [descriptor]
        for number, task in enumerate(stream.tasks):
            nobody = alone.responsibilities(task.test_inputs, settings.nobody)[:, 0].mean()
            assert (nobody > settings.novelty_above) == (number != own)


# --- gate neurons ------------------------------------------------------------------------


def networks(gate):
    """The gate neurons of each expert as snnTorch layers."""
    made = []
    for number in range(len(gate.descriptors)):
        weight, bias = (torch.tensor(w, dtype=torch.float32) for w in gate.neurons(number))
        expert = Expert(64, (0, 1), 0.9, (0, 1))
        expert.widen(torch.zeros(1, 64), torch.zeros(2, 1), [2])
        expert.add_gates(weight, bias, range(3, 3 + len(bias)))
        made.append(expert)
    return made


def gate_of(expert):
    """The gate neurons of an expert alone, as a network."""
    weight, bias = expert.gate_weight, expert.gate_bias
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": bias})
    return from_snntorch(torch.nn.Sequential(linear, expert.cell))


@pytest.mark.parametrize("steps", [8, 16])
def test_gate_neurons_rank_experts_as_the_distance_does_also_in_16_levels(
    gate, data, steps
):
    x = data.test_inputs
    nearest = np.column_stack(
        [half_square(x, d.prototypes) for d in gate.descriptors]
    ).argmin(1)
    experts = networks(gate)
    counts = [e.gate_counts(encode(x, steps)).numpy().max(1) for e in experts]
    assert (np.column_stack(counts).argmax(1) == nearest).mean() >= 0.93

    network = join({str(k): gate_of(e) for k, e in enumerate(experts)})
    chip = Chip(1, 1, neurons_per_tile=50, tile_lines=64, r0_lines=64, r1_lines=64)
    placement = place(network, chip)
    program = compile_program(
        network, chip, placement, route(network, chip, placement), device=Device(levels=16)
    )
    spikes = encode(x, steps).numpy().transpose(1, 0, 2)
    quantised = simulate(program, spikes, threads=1).counts[:, network.first_neuron :]
    best = quantised.reshape(len(x), 5, 10).max(2)
    assert (best.argmax(1) == nearest).mean() >= 0.93


def test_the_drive_of_a_gate_neuron_falls_with_the_distance_to_its_prototype(gate, data):
    x = data.test_inputs
    weight, bias = gate.neurons(0)
    drive = x @ weight.T + bias
    for j, prototype in enumerate(gate.descriptors[0].prototypes):
        distance = half_square(x, prototype[None])
        # Up to the error of the linear fit to |x|^2 / 2, which all gate neurons share.
        fit = (drive[:, j] - (1 - distance / gate.width)) * gate.width
        common = half_square(x, np.zeros((1, 64))) - (x @ gate.fit + gate.constant)
        assert fit == pytest.approx(common, abs=1e-9)
    assert (
        drive[half_square(x, gate.descriptors[0].prototypes) < 0.3 * gate.width].max() > 0.5
    )


def test_the_first_expert_alone_sets_the_common_scale(stream):
    gate = Gate(5, np.random.default_rng(0))
    gate.add(gate.describe(stream.tasks[0].train_inputs), stream.tasks[0].train_inputs)
    before = gate.neurons(0)
    gate.add(gate.describe(stream.tasks[1].train_inputs), stream.tasks[1].train_inputs)
    for a, b in zip(before, gate.neurons(0), strict=True):
        assert np.array_equal(a, b)


# --- state -------------------------------------------------------------------------------


def test_extending_keeps_old_prototypes_first_and_makes_new_inputs_known(stream):
    gate = Gate(4, np.random.default_rng(0))
    old, new = stream.tasks[0].train_inputs, stream.tasks[1].train_inputs
    gate.add(gate.describe(old), old)
    before, strange = gate.descriptors[0], gate.novelty(new).mean()
    weights = gate.neurons(0)
    gate.extend(0, new, 3)
    after = gate.descriptors[0]
    assert np.array_equal(after.prototypes[:4], before.prototypes)
    assert after.prototypes.shape == (7, 64)
    assert (after.mean, after.std) == (before.mean, before.std)
    assert gate.novelty(new).mean() < strange / 2
    for a, b in zip(weights, gate.neurons(0), strict=True):
        assert np.array_equal(a, b[:4])


def test_a_gate_goes_on_from_its_state_which_is_plain_json(gate, data):
    again = Gate(10, np.random.default_rng(1))
    again.load_state(json.loads(json.dumps(gate.state())))
    x = data.test_inputs
    assert np.array_equal(again.novelty(x), gate.novelty(x))
    for number in range(5):
        for a, b in zip(again.neurons(number), gate.neurons(number), strict=True):
            assert np.array_equal(a, b)
    empty = Gate(2, np.random.default_rng(0))
    again.load_state(empty.state())
    assert again.fit is None
    assert not again.descriptors


def test_a_gate_without_prototypes_is_refused():
    with pytest.raises(MosaicError, match="prototypes is 0; it needs at least 1"):
        Gate(0, np.random.default_rng(0))


# --- the decision ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("need", "novelty", "action"),
    [
        (3.1, 1.1, "new expert"),
        (3.1, 1.0, "widen"),  # thresholds themselves are not above
        (3.0, 1.1, "reuse"),
        (3.0, 1.0, "none"),
        (99.0, float("inf"), "new expert"),  # labels that nobody has
        (0.0, float("inf"), "reuse"),
        (-5.0, -1.0, "none"),
    ],
)
def test_need_and_novelty_decide_together(need, novelty, action):
    assert decide(need, novelty, need_above=3.0, novelty_above=1.0) == action
