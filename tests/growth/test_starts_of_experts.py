"""How new neurons of an expert start: nothing changes at first, and each does what it is for."""

import numpy as np
import pytest
import torch
from tiny import records, run, tiny

from growth.initialise.expert import start
from growth.initialise.need import Need, gradmax
from growth.sequence import leaky
from mosaic_sim import MosaicError

HOW = ("gradmax", "gaussian", "uniform", "seeded")


@pytest.fixture
def need():
    rng = torch.Generator().manual_seed(0)
    return Need(torch.randn(4, 10, generator=rng), 9.0, 1.0, torch.rand(10, generator=rng))


def started(need, how, neurons=3, norm=0.7, seed=0, reads=None):
    reads = torch.ones(10, dtype=torch.bool) if reads is None else reads
    rng = torch.Generator().manual_seed(seed)
    spikes = (
        torch.rand(40, 30, 10, generator=torch.Generator().manual_seed(5)) < 0.3
    ).float()
    found = start(how, need, reads, neurons, norm, generator=rng, spikes=spikes, leak=0.9)
    return *found, spikes


@pytest.mark.parametrize("how", HOW)
def test_one_side_is_0_so_that_nothing_changes(need, how):
    incoming, outgoing, _ = started(need, how)
    assert incoming.shape == (3, 10)
    assert outgoing.shape == (4, 3)
    assert not (outgoing if how == "seeded" else incoming).any()
    assert (incoming if how == "seeded" else outgoing).any(dim=-1).all()


@pytest.mark.parametrize("how", ["gradmax", "gaussian", "uniform"])
def test_outgoing_columns_have_one_length(need, how):
    _, outgoing, _ = started(need, how)
    assert outgoing.norm(dim=0).tolist() == pytest.approx([0.7] * 3)
    assert (how == "uniform") == bool((outgoing >= 0).all())


def test_gradmax_is_gradmax(need):
    _, outgoing, _ = started(need, "gradmax")
    assert torch.equal(outgoing, gradmax(need.matrix, 3, 0.7, need.toward)[1])


def test_no_draw_of_one_neuron_has_a_larger_gradient_than_gradmax(need):
    def gain(how, seed=0):
        _, outgoing, _ = started(need, how, neurons=1, seed=seed)
        return float((outgoing.T @ need.matrix).norm())

    best = gain("gradmax")
    draws = [gain(how, seed) for how in ("gaussian", "uniform") for seed in range(20)]
    assert max(draws) <= best * 1.0001
    assert gain("gaussian", 1) != gain("gaussian", 2)


def test_seeded_neurons_fire_at_their_rate_along_the_need(need):
    incoming, _, spikes = started(need, "seeded")
    rates = leaky(spikes @ incoming.T, 0.9).mean((0, 1))
    assert rates.tolist() == pytest.approx([0.2] * 3, abs=0.02)
    right = torch.linalg.svd(need.matrix, full_matrices=False)[2][:3]
    unit = incoming / incoming.norm(dim=1, keepdim=True)
    assert (unit * right).sum(1).abs().tolist() == pytest.approx([1] * 3, abs=1e-5)


@pytest.mark.parametrize("how", HOW)
def test_only_lines_that_are_read_have_weights(need, how):
    reads = torch.arange(10) % 2 == 0
    incoming, _, _ = started(need, how, reads=reads)
    assert not incoming[:, ~reads].any()


def test_a_neuron_that_no_length_makes_fire_is_refused(need):
    never = Need(-need.matrix.abs() * torch.eye(4, 10), 9.0, 1.0, torch.zeros(10))
    spikes = torch.zeros(5, 2, 10)
    with pytest.raises(MosaicError, match=r'fire at no length.*use "gradmax"'):
        start(
            "seeded", never, torch.ones(10, dtype=torch.bool), 1, 1.0,
            generator=torch.Generator(), spikes=spikes, leak=0.9,
        )  # fmt: skip


@pytest.mark.parametrize("how", ["gaussian", "seeded"])
def test_the_learner_grows_with_each(how, tmp_path):
    done = run(tiny("grow", f"grow.how='{how}'"), tmp_path)
    rows = done.seed(0).lines("metrics")
    assert np.mean(rows[-1]["accuracy"]) > 0.5
    assert records(done)["growth"] != records(run(tiny("grow"), tmp_path))["growth"]


def test_the_default_keeps_the_name_of_earlier_runs():
    assert tiny("grow", "grow.how='gradmax'").fingerprint() == tiny("grow").fingerprint()
    assert tiny("grow", "grow.how='seeded'").fingerprint() != tiny("grow").fingerprint()
