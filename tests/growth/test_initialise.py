"""GradMax for LIF neurons against autograd through networks that were really widened."""

import numpy as np
import pytest
import snntorch
import snntorch.functional as SF  # noqa: N812
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch import surrogate

from growth.initialise import Need, gradmax, measure_need, slope_at_rest, traces
from growth.initialise import need as needs
from growth.model import Expert
from growth.strategies.base import encode
from mosaic_sim import MosaicError

STEPS, SAMPLES, INPUTS, CLASSES = 12, 20, 10, 3
SURROGATES = {
    "atan": surrogate.atan(), "fast_sigmoid(5)": surrogate.fast_sigmoid(slope=5),
    "sigmoid(5)": surrogate.sigmoid(slope=5),
}  # fmt: skip
LOSSES = {
    "ce": SF.ce_count_loss(), "mse": SF.mse_count_loss(correct_rate=0.8, incorrect_rate=0.1),
}  # fmt: skip
every_case = [
    pytest.mark.parametrize("leak", [0.5, 0.9, 1.0]),
    pytest.mark.parametrize("slope", SURROGATES),
    pytest.mark.parametrize("loss", LOSSES),
    pytest.mark.parametrize("hidden", [0, 6]),
]


def over_all(test):
    for mark in every_case:
        test = mark(test)
    return test


def problem(leak=0.9, slope="atan", hidden=6, seed=0):
    """An expert that spikes, if it has hidden neurons, with spikes and targets for it."""
    rng = torch.Generator().manual_seed(seed)
    expert = Expert(INPUTS, range(CLASSES), leak, range(CLASSES))
    expert.cell = snntorch.Leaky(beta=leak, spike_grad=SURROGATES[slope])
    incoming = torch.randn(hidden, INPUTS, generator=rng).abs() / 3
    # More excitation than inhibition: snnTorch's sigmoid overflows far below the threshold.
    outgoing = torch.randn(CLASSES, hidden, generator=rng) / 3 + 0.2
    expert.widen(incoming, outgoing, range(CLASSES, CLASSES + hidden))
    spikes = (torch.rand(STEPS, SAMPLES, INPUTS, generator=rng) < 0.4).float()
    targets = torch.randint(CLASSES, (SAMPLES,), generator=rng)
    return expert, spikes, targets


def widened(expert, outgoing, spikes, targets, criterion):
    """Oracle: BPTT through a network written out with the new neurons in it.

    Returns the gradient on the new incoming weights, and the spikes of the outputs.
    """
    new = outgoing.shape[1]
    incoming = torch.zeros(new, INPUTS, requires_grad=True)
    first = torch.cat([expert.into_hidden.detach(), incoming])
    second = torch.cat([expert.into_out.detach(), outgoing], dim=1)
    leak, slope = float(expert.cell.beta), expert.cell.spike_grad
    hidden, out = (snntorch.Leaky(beta=leak, spike_grad=slope) for _ in range(2))
    samples = spikes.shape[1]
    potential, voltage = torch.zeros(samples, len(first)), torch.zeros(samples, CLASSES)
    fired = []
    for now in spikes:
        spike, potential = hidden(now @ first.T, potential)
        spike, voltage = out(spike @ second.T, voltage)
        fired.append(spike)
    fired = torch.stack(fired)
    (gradient,) = torch.autograd.grad(criterion(fired, targets), incoming)
    return gradient, fired.detach()


def close(a, b, tolerance=1e-5):
    """Whether two matrices differ by no more than float32 does, in their own size."""
    assert b.abs().max() > 1e-6
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


# --- the matrix --------------------------------------------------------------------------


@over_all
def test_m_equals_autograd_on_the_widened_network(leak, slope, loss, hidden):
    expert, spikes, targets = problem(leak, slope, hidden)
    need = measure_need(expert, spikes, targets, LOSSES[loss])
    # Neurons with the unit vectors as outgoing weights have the rows of M as gradients.
    rows, fired = widened(expert, torch.eye(CLASSES), spikes, targets, LOSSES[loss])
    assert close(need.matrix, rows)
    assert fired.sum() > 50 or not hidden
    assert need.loss == pytest.approx(float(LOSSES[loss](fired, targets)), rel=1e-6)


@over_all
def test_growing_changes_no_spike_and_the_gradient_has_the_promised_norm(
    leak, slope, loss, hidden
):
    expert, spikes, targets = problem(leak, slope, hidden, seed=1)
    before = expert.out_spikes(expert.hidden_spikes(spikes)).detach()
    need = measure_need(expert, spikes, targets, LOSSES[loss])
    for k in range(1, need.rank + 1):
        incoming, outgoing, singular = gradmax(need.matrix, k, 0.7, need.toward)
        gradient, fired = widened(expert, outgoing, spikes, targets, LOSSES[loss])
        promised = 0.7 * float(singular.square().sum().sqrt())
        assert float(gradient.norm()) == pytest.approx(promised, rel=1e-5)
        assert torch.equal(fired, before)
    expert.widen(incoming, outgoing, range(k))
    after = expert.out_spikes(expert.hidden_spikes(spikes))
    assert torch.equal(after, before)
    change = LOSSES[loss](after, targets).detach() - LOSSES[loss](before, targets)
    assert abs(float(change)) <= 1e-6


@settings(max_examples=20)
@given(st.integers(0, 999), st.sampled_from([0.3, 0.7, 0.95]))
def test_m_equals_autograd_for_any_weights(seed, leak):
    expert, spikes, targets = problem(leak, seed=seed)
    need = measure_need(expert, spikes, targets, LOSSES["mse"])
    rows, _ = widened(expert, torch.eye(CLASSES), spikes, targets, LOSSES["mse"])
    assert close(need.matrix, rows)


@given(st.integers(1, 6), st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.integers(0, 99))
def test_traces_are_sums_of_faded_spikes(steps, leak, seed):
    spikes = (np.random.default_rng(seed).random((steps, 2, 3)) < 0.5).astype(np.float32)
    expected = [
        sum(leak ** (t - s) * spikes[s] for s in range(t + 1)) for t in range(steps)
    ]
    assert np.allclose(traces(torch.from_numpy(spikes), leak).numpy(), expected, atol=1e-6)


def test_toward_is_the_mean_trace():
    expert, spikes, targets = problem(leak=0.5)
    expected = np.zeros(INPUTS)
    for b in range(SAMPLES):
        kept = np.zeros(INPUTS)
        for t in range(STEPS):
            kept = 0.5 * kept + spikes[t, b].numpy()
            expected += kept / (SAMPLES * STEPS)
    need = measure_need(expert, spikes, targets, LOSSES["ce"])
    assert need.toward.numpy() == pytest.approx(expected, rel=1e-5)


# --- the outgoing weights ----------------------------------------------------------------

shapes = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 999))


@given(shapes, st.floats(0.01, 10), st.data())
def test_columns_are_orthogonal_with_equal_norm(shape, norm, data):
    post, pre, seed = shape
    matrix = torch.from_numpy(np.random.default_rng(seed).normal(size=(post, pre)))
    k = data.draw(st.integers(1, min(post, pre)))
    toward = data.draw(st.sampled_from([None, torch.ones(pre).double()]))
    incoming, outgoing, singular = gradmax(matrix, k, norm, toward)
    assert incoming.shape == (k, pre)
    assert not incoming.any()
    assert (outgoing.T @ outgoing).numpy() == pytest.approx(
        norm**2 * np.eye(k), abs=1e-9 * norm**2
    )
    assert singular.numpy() == pytest.approx(np.linalg.svd(matrix, compute_uv=False)[:k])


@given(shapes, st.data())
def test_no_orthonormal_columns_get_a_larger_gradient(shape, data):
    post, pre, seed = shape
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(post, pre)) * rng.exponential(size=pre)
    k = data.draw(st.integers(1, min(post, pre)))
    _, outgoing, _ = gradmax(torch.from_numpy(matrix), k, 1.0)
    best = np.linalg.norm(outgoing.numpy().T @ matrix)
    for _ in range(20):
        other, _ = np.linalg.qr(rng.normal(size=(post, k)))
        assert np.linalg.norm(other.T @ matrix) <= best * (1 + 1e-9)


@pytest.mark.parametrize("neurons", [0, 3])
def test_more_neurons_than_directions_are_refused(neurons):
    rank_two = torch.outer(torch.ones(3), torch.arange(4.0)) + torch.diag(torch.ones(4))[:3]
    rank_two[2] = rank_two[0]
    assert Need(rank_two, 0.0, 0.0, torch.ones(4)).rank == 2
    with pytest.raises(
        MosaicError, match=f"neurons is {neurons}; .* rank 2, so it needs 1 to 2"
    ):
        gradmax(rank_two, neurons, 1.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_matrix_that_is_not_finite_is_refused(bad):
    with pytest.raises(MosaicError, match="not finite; the loss has diverged"):
        gradmax(torch.tensor([[1.0, bad]]), 1, 1.0)


def test_a_diverged_expert_is_refused_with_advice():
    expert, spikes, targets = problem()
    expert.into_out.data[0, 0] = float("nan")
    with pytest.raises(MosaicError, match=r"has diverged\. Use a smaller learning rate"):
        measure_need(expert, spikes, targets, LOSSES["ce"])


# --- orientation -------------------------------------------------------------------------


def test_orientation_costs_no_gradient_and_drives_the_mean_input_up():
    expert, spikes, targets = problem()
    need = measure_need(expert, spikes, targets, LOSSES["ce"])
    _, plain, _ = gradmax(need.matrix, 2, 1.0)
    norm = widened(expert, plain, spikes, targets, LOSSES["ce"])[0].norm()
    for toward, sign in ((need.toward, 1), (-need.toward, -1)):
        _, outgoing, _ = gradmax(need.matrix, 2, 1.0, toward)
        assert close(outgoing.abs(), plain.abs())
        step, _ = widened(expert, outgoing, spikes, targets, LOSSES["ce"])
        assert float(step.norm()) == pytest.approx(float(norm), rel=1e-5)
        assert (sign * (-0.1 * step @ need.toward) > 0).all()


def test_the_right_sign_starts_to_spike_in_training_and_the_wrong_one_never_does():
    expert, spikes, _ = problem(hidden=0)
    targets = torch.ones(SAMPLES, dtype=torch.long)  # there is only to learn to fire
    need = measure_need(expert, spikes, targets, LOSSES["ce"])
    fired = {}
    for sign in (1, -1):
        pupil, _, _ = problem(hidden=0)
        incoming, outgoing, _ = gradmax(need.matrix, 1, 1.0, sign * need.toward)
        pupil.widen(incoming, outgoing, [CLASSES])
        optimiser = torch.optim.SGD(pupil.parameters(), 0.1)
        for _ in range(30):
            optimiser.zero_grad()
            LOSSES["ce"](pupil.out_spikes(pupil.hidden_spikes(spikes)), targets).backward()
            optimiser.step()
        fired[sign] = int(pupil.hidden_spikes(spikes).sum())
    assert fired[1] > SAMPLES
    assert fired[-1] == 0


# --- the slope at rest -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spike_grad", "expected"),
    [
        (surrogate.atan(2.0), 1 / (1 + np.pi**2)),
        (surrogate.fast_sigmoid(slope=5), 1 / (1 + 5) ** 2),
        (surrogate.sigmoid(slope=5), 5 * np.exp(5) / (np.exp(5) + 1) ** 2),
    ],
)
def test_the_slope_at_rest_is_that_of_the_formula(spike_grad, expected):
    cell = snntorch.Leaky(beta=0.9, spike_grad=spike_grad)
    assert slope_at_rest(cell) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("slope", [25, 100])
def test_a_surrogate_that_vanishes_at_rest_is_refused_with_advice(slope):
    expert, spikes, targets = problem()
    expert.cell = snntorch.Leaky(beta=0.9, spike_grad=surrogate.sigmoid(slope=slope))
    with pytest.raises(
        MosaicError, match=r"at rest.*Use surrogate.atan\(\) or a smaller slope"
    ):
        measure_need(expert, spikes, targets, LOSSES["ce"])


# --- coherence ---------------------------------------------------------------------------


def contributions(expert, spikes, labels, criterion):
    """Oracle: what each sample alone adds to M, (samples, size), by autograd."""
    alone = [
        widened(
            expert, torch.eye(CLASSES), spikes[:, b : b + 1], labels[b : b + 1], criterion
        )[0]
        for b in range(SAMPLES)
    ]
    return torch.stack(alone).flatten(1).double().numpy() / SAMPLES


def score_by_chance(together, draws):
    """Oracle: standard deviations above what drawn sums, (draws, size), have as squared norm."""
    chance = np.square(draws).sum(1)
    return (np.square(together).sum() - chance.mean()) / chance.std()


@pytest.mark.parametrize(
    ("loss", "trained", "lower"),
    [("mse", False, "labels"), ("ce", False, "labels"), ("ce", True, "signs")],
)
def test_z_is_what_random_signs_and_random_labels_give_in_a_simulation(
    loss, trained, lower
):
    expert, spikes, targets = problem(seed=1)
    spikes[:, :, :CLASSES] = torch.eye(CLASSES)[targets]  # these inputs tell the label
    optimiser = torch.optim.Adam(expert.parameters(), 0.05)
    for _ in range(40 * trained):
        optimiser.zero_grad()
        LOSSES[loss](expert.out_spikes(expert.hidden_spikes(spikes)), targets).backward()
        optimiser.step()
    rng, n = np.random.default_rng(0), 20_000
    every = np.stack(
        [
            contributions(expert, spikes, torch.full((SAMPLES,), y), LOSSES[loss])
            for y in range(CLASSES)
        ]
    )
    each = every[targets, np.arange(SAMPLES)]
    share = np.bincount(targets, minlength=CLASSES) / SAMPLES
    middle = np.einsum("y,ybi->bi", share, every)
    drawn = rng.choice(CLASSES, p=share, size=(n, SAMPLES))
    by_label = sum((every[:, b] - middle[b])[drawn[:, b]] for b in range(SAMPLES))
    expected = {
        "signs": score_by_chance(
            each.sum(0), rng.choice([-1, 1], size=(n, SAMPLES)) @ each
        ),
        "labels": score_by_chance((each - middle).sum(0), by_label),
    }
    assert min(expected, key=expected.get) == lower
    need = measure_need(expert, spikes, targets, LOSSES[loss])
    assert need.z == pytest.approx(expected[lower], rel=0.1, abs=0.05)


def test_one_sample_has_nothing_to_agree_with():
    expert, spikes, targets = problem()
    assert measure_need(expert, spikes[:, :1], targets[:1], LOSSES["ce"]).z == 0


def test_every_task_of_digits_is_a_coherent_need_for_a_new_expert(stream):
    for task in stream.tasks:
        fresh = Expert(64, task.classes, 0.9, range(2))
        targets = torch.from_numpy(task.train_labels[:128] - task.classes[0])
        need = measure_need(
            fresh, encode(task.train_inputs[:128], 8), targets, LOSSES["ce"]
        )
        assert need.z > 3


@pytest.mark.parametrize("trained", [True, False])
def test_label_noise_is_no_need_neither_for_a_fresh_nor_for_a_trained_expert(
    stream, returned, trained
):
    task = stream.tasks[0]
    spikes = encode(task.train_inputs[:128], 8)
    expert = returned.experts[0] if trained else Expert(64, task.classes, 0.9, range(2))
    rng = torch.Generator().manual_seed(0)
    for _ in range(10):
        noise = torch.randint(2, (128,), generator=rng)
        need = measure_need(expert, spikes, noise, LOSSES["ce"])
        assert abs(need.z) < 2
        assert need.loss > 0.6 + trained  # what a trigger by loss would fall for


# --- the score of a need, worked out two ways ----------------------------------------------


def brute_force(together, parts, spikes, share):
    """The score as it is defined, from the contribution of every sample and kind."""
    each = torch.einsum("ytbo,tbi->byoi", parts, spikes).flatten(2)
    weighed = each * share.sqrt()[:, None]
    samples = range(len(weighed))
    spread = 2 * sum(
        float((weighed[a] @ weighed[b].T).square().sum())
        for a in samples for b in samples if a != b
    )  # fmt: skip
    return (float(together.square().sum()) - float(weighed.square().sum())) / spread**0.5


@pytest.mark.parametrize("kinds", [1, 3])
@pytest.mark.parametrize("counted", [True, False])
def test_the_score_is_that_of_its_definition(kinds, counted):
    steps, samples, outputs, inputs = 5, 9, 3, 4
    generator = torch.Generator().manual_seed(kinds)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).double()

    parts = draw(kinds, steps, samples, outputs)
    if counted:  # a loss of spike counts: one course of errors, and a factor for each kind
        parts = draw(kinds, 1, samples, outputs) * draw(1, steps, samples, outputs)
    spikes, share = draw(steps, samples, inputs), torch.full((kinds,), 1 / kinds).double()
    together = draw(outputs, inputs)
    assert (needs._course(parts) is not None) == (counted or kinds == 1)
    (score,) = needs._scores(spikes, (together, parts, share))
    assert score == pytest.approx(brute_force(together, parts, spikes, share), rel=1e-9)


@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_losses_of_counts_take_the_short_way_to_the_same_need(loss, monkeypatch):
    expert, spikes, targets = problem()
    short = measure_need(expert, spikes, targets, LOSSES[loss])
    taken = []
    any_loss = needs._of_any
    monkeypatch.setattr(needs, "_course", lambda *given: None)
    monkeypatch.setattr(
        needs, "_of_any", lambda *given: taken.append(1) or any_loss(*given)
    )
    long = measure_need(expert, spikes, targets, LOSSES[loss])
    assert len(taken) == 2
    assert short.z == pytest.approx(long.z, rel=1e-5)
