from itertools import pairwise

import numpy as np
import pytest
import snntorch
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from snntorch import surrogate

import growth.model
from growth.model import cell_spikes
from growth.sequence import RESETS, SLOPES, Rule, leaky, rule_of
from mosaic_sim import MosaicError

STEPS = 7
NEURONS = 4


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def step(cell, current):
    """Oracle: spikes and membranes of a snnTorch cell, one step at a time."""
    membrane = torch.zeros_like(current[0])
    fired, seen = [], []
    for now in current:
        spike, membrane = cell(now, membrane)
        fired.append(spike)
        seen.append(membrane)
    return torch.stack(fired), torch.stack(seen)


class Double(torch.autograd.Function):
    """A surrogate of snnTorch with its spikes in float64, where snnTorch's are float32."""

    @staticmethod
    def forward(ctx, u, kind, slope):
        ctx.kind, ctx.alpha, ctx.slope = kind, slope, slope
        ctx.save_for_backward(u)
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx, by):
        return ctx.kind.backward(ctx, by)[0], None, None


def fire(name, slope, dtype):
    if dtype == torch.float32:
        return getattr(surrogate, name)(slope)
    kind = {"atan": surrogate.ATan, "fast_sigmoid": surrogate.FastSigmoid}[name]
    return lambda u: Double.apply(u, kind, slope)


def assert_close(ours, theirs, tolerance):
    """Equal up to `tolerance` times the largest entry."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    assert torch.isfinite(theirs).all()
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


rules = st.builds(
    Rule,
    st.sampled_from(RESETS),
    st.booleans(),
    st.sampled_from(sorted(SLOPES)),
    st.sampled_from([0.7, 2.0, 5.0, 25.0]),
)
dtypes = st.sampled_from([torch.float32, torch.float64])


@st.composite
def layers(draw):
    """A rule, a current that fires often, and parameters for all or for each neuron."""
    rule, dtype = draw(rules), draw(dtypes)
    steps, samples = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 10**6))
    current = noise(steps, samples, NEURONS, seed=seed, dtype=dtype) + 0.4

    def parameter(low, high):
        number = st.floats(low, high, width=32)
        if draw(st.booleans()):
            return draw(number)
        return torch.tensor([draw(number) for _ in range(NEURONS)], dtype=dtype)

    # Below 0 a threshold resets a neuron that is at rest.
    return rule, current, parameter(0, 1), parameter(-0.5, 1.5), seed


def cell_of(rule, beta, threshold, dtype, learn=False):
    """The snnTorch cell that `leaky` stands for; for float64 with nothing in float32."""
    made = [torch.as_tensor(x).clone() for x in (beta, threshold)]
    if learn:
        made = [x.to(dtype) for x in made]
    return snntorch.Leaky(
        *made, spike_grad=fire(rule.surrogate, rule.slope, dtype),
        reset_mechanism=rule.reset, reset_delay=rule.reset_delay,
        learn_beta=learn, learn_threshold=learn,
    )  # fmt: skip


# --- equal to snnTorch ---------------------------------------------------------------------


# Every kind by itself: a few examples of all together would miss some.
every_kind = pytest.mark.parametrize(
    ("reset", "delay"), [(reset, delay) for reset in RESETS for delay in (True, False)]
)


@every_kind
@given(layer=layers())
def test_spikes_and_membranes_are_those_of_snntorch_to_the_last_bit(reset, delay, layer):
    rule, current, beta, threshold, _ = layer
    rule = rule._replace(reset=reset, reset_delay=delay)
    cell = cell_of(rule, beta, threshold, current.dtype)
    fired, membrane = step(cell, current)
    for grad in (False, True):
        given_current = current.clone().requires_grad_(grad)
        ours = leaky(given_current, beta, threshold, **rule._asdict(), membrane=True)
        assert torch.equal(ours[0], fired.to(current.dtype))
        assert torch.equal(ours[1], membrane)
        alone = leaky(given_current, beta, threshold, **rule._asdict())
        assert torch.equal(alone, ours[0])
    event(f"fired: {bool(fired.any())}")


@every_kind
@pytest.mark.parametrize("learn", [False, True], ids=["fixed", "learned"])
@given(layer=layers(), loss=st.sampled_from(["both", "spikes", "membranes"]))
def test_gradients_are_those_of_autograd_through_snntorch(reset, delay, learn, layer, loss):
    rule, current, beta, threshold, seed = layer
    rule = rule._replace(reset=reset, reset_delay=delay)
    dtype = current.dtype
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    cell = cell_of(rule, beta, threshold, dtype, learn)
    ours = [torch.as_tensor(x).detach().clone() for x in (beta, threshold)]
    if learn:
        ours = [x.to(dtype).requires_grad_() for x in ours]
    inputs = [current.clone().requires_grad_() for _ in range(2)]
    by_s, by_m = noise(2, *current.shape, seed=seed + 1, dtype=dtype)

    def total(fired, membrane):
        return {
            "spikes": (by_s * fired).sum(),
            "membranes": (by_m * membrane).sum(),
            "both": (by_s * fired).sum() + (by_m * membrane).sum(),
        }[loss]

    total(*step(cell, inputs[0])).backward()
    total(*leaky(inputs[1], *ours, **rule._asdict(), membrane=True)).backward()
    assert_close(inputs[1].grad, inputs[0].grad, tolerance)
    if learn:
        # These are sums over steps and samples, so what cancels is rounded too.
        for mine, their in zip(ours, (cell.beta, cell.threshold), strict=True):
            expected = torch.zeros_like(their) if their.grad is None else their.grad
            got = torch.zeros_like(mine) if mine.grad is None else mine.grad
            scale = 1 + expected.abs().max()
            assert got.dtype == expected.dtype
            assert (got - expected).abs().max() <= 10 * tolerance * scale


def test_gradients_by_the_current_are_equal_bit_by_bit_with_snntorchs_defaults():
    """Training that went through snnTorch gives the same bytes through `leaky`."""
    current = noise(25, 10, 30) + 0.3
    cell = snntorch.Leaky(beta=0.9, spike_grad=surrogate.atan())
    weight = noise(25, 10, 30, seed=1)
    inputs = [current.clone().requires_grad_() for _ in range(2)]
    (weight * step(cell, inputs[0])[0]).sum().backward()
    (weight * leaky(inputs[1], 0.9)).sum().backward()
    assert torch.equal(inputs[0].grad, inputs[1].grad)


@pytest.mark.parametrize("rule", [Rule(), Rule(reset="zero"), Rule(reset_delay=False)])
def test_a_network_of_several_layers_trains_as_it_does_step_by_step(rule):
    # Multiples of 1/256 sum up without rounding, in whatever order.
    sizes = (20, 12, 9, 4)
    weights = [
        (noise(post, pre, seed=pre) * 100).round() / 256 for pre, post in pairwise(sizes)
    ]
    x = (noise(8, 5, 20) > 0).float()
    gradients, counts = [], []
    for whole in (True, False):
        layers = [weight.clone().requires_grad_() for weight in weights]
        now = x
        for weight in layers:
            current = now @ weight.T
            cell = cell_of(rule, 0.5, 1.0, torch.float32)
            now = leaky(current, 0.5, **rule._asdict()) if whole else step(cell, current)[0]
        counts.append(now.sum(0))
        torch.nn.functional.cross_entropy(counts[-1], torch.arange(5) % 4).backward()
        gradients.append([weight.grad for weight in layers])
    assert 0 < counts[0].mean() < 8
    assert torch.equal(*counts)
    for ours, theirs in zip(*gradients, strict=True):
        assert theirs.any()
        assert_close(ours, theirs, 1e-5)


@pytest.mark.parametrize("name", sorted(SLOPES))
def test_slopes_are_snntorchs_unless_given(name):
    current = noise(STEPS, 3, NEURONS).requires_grad_()
    cell = snntorch.Leaky(0.9, spike_grad=getattr(surrogate, name)())
    (theirs,) = torch.autograd.grad(step(cell, current)[0].sum(), current)
    (ours,) = torch.autograd.grad(leaky(current, 0.9, surrogate=name).sum(), current)
    assert_close(ours, theirs, 1e-5)


# --- equal to the equation -------------------------------------------------------------------


def test_a_delayed_reset_pays_one_step_late_and_a_prompt_one_at_once():
    current = torch.tensor([2.5, 0, 0, -0.8, 0]).reshape(5, 1, 1)
    fired, membrane = leaky(current, 1.0, membrane=True)
    assert membrane.flatten().tolist() == pytest.approx([2.5, 1.5, 0.5, -0.3, -0.3])
    assert fired.flatten().tolist() == [1, 1, 0, 0, 0]
    # snnTorch adds back what a membrane still above its threshold had subtracted.
    fired, membrane = leaky(current, 1.0, reset_delay=False, membrane=True)
    assert membrane.flatten().tolist() == pytest.approx([1.5, 1.5, 1.5, 0.7, 0.7])


@given(layers())
def test_without_reset_the_delay_means_nothing_and_the_membrane_is_a_filter(layer):
    _, current, beta, threshold, _ = layer
    results = [
        leaky(current, beta, threshold, reset="none", reset_delay=delay, membrane=True)
        for delay in (True, False)
    ]
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    factor = torch.as_tensor(beta).double()
    last = sum(
        factor ** (len(current) - 1 - t) * now.double() for t, now in enumerate(current)
    )
    assert np.allclose(results[0][1][-1].double(), last, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 4), (5, 0, 4), (5, 3, 0), (1, 1, 1)])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("delay", [True, False])
def test_empty_sequences_come_back_empty_with_gradients(shape, reset, delay):
    current = torch.ones(shape, requires_grad=True)
    beta = torch.full(shape[2:], 0.5, requires_grad=True)
    threshold = torch.tensor(2.0, requires_grad=True)
    fired, membrane = leaky(
        current, beta, threshold, reset=reset, reset_delay=delay, membrane=True
    )
    assert fired.shape == membrane.shape == shape
    (fired.sum() + membrane.sum()).backward()
    assert current.grad.shape == shape
    assert not beta.grad.any()


@given(layers())
def test_samples_and_neurons_are_on_their_own(layer):
    rule, current, beta, threshold, _ = layer
    one = leaky(current, beta, threshold, **rule._asdict())
    for b in range(current.shape[1]):
        alone = leaky(current[:, b], beta, threshold, **rule._asdict())
        assert torch.equal(alone, one[:, b])
    strided = current.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(leaky(strided, beta, threshold, **rule._asdict()), one)


def test_inputs_are_left_alone_and_nothing_is_recorded_without_need():
    current = noise(6, 2, 3)
    before = current.clone()
    assert leaky(current, 0.9).grad_fn is None
    with torch.no_grad():
        assert leaky(current.requires_grad_(), 0.9).grad_fn is None
    fired, membrane = leaky(current, 0.9, reset_delay=False, membrane=True)
    copies = fired.clone(), membrane.clone()
    torch.autograd.grad(fired.sum() + membrane.sum(), current)
    assert torch.equal(current, before)
    assert torch.equal(fired, copies[0])
    assert torch.equal(membrane, copies[1])


def test_a_second_derivative_is_refused():
    current = noise(6, 2, 3).requires_grad_()
    loss = (leaky(current, 0.9) ** 2).sum()
    (slope,) = torch.autograd.grad(loss, current, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


# --- cells -----------------------------------------------------------------------------------


@given(rules)
def test_a_plain_cell_is_recognised_and_runs_as_if_stepped(rule):
    cell = cell_of(rule, 0.8, 0.9, torch.float32)
    assert rule_of(cell) == rule
    current = noise(STEPS, 3, NEURONS) + 0.4
    assert torch.equal(cell_spikes(cell, current), step(cell, current)[0])


def hooked():
    cell = snntorch.Leaky(0.9)
    cell.register_forward_hook(lambda *_: None)
    return cell


@pytest.mark.parametrize(
    "make",
    [
        lambda: snntorch.Leaky(0.9, spike_grad=surrogate.sigmoid()),
        lambda: snntorch.Leaky(0.9, spike_grad=lambda u: (u > 0).float()),
        lambda: snntorch.Leaky(0.9, graded_spikes_factor=2.0),
        lambda: snntorch.Leaky(0.9, learn_graded_spikes_factor=True),
        lambda: snntorch.Leaky(0.9, state_quant=torch.round),
        lambda: snntorch.Leaky(0.9, surrogate_disable=True),
        lambda: snntorch.Leaky(torch.full((3, 4), 0.9)),
        lambda: type("Other", (snntorch.Leaky,), {})(0.9),
        hooked,
    ],
    ids=["sigmoid", "own surrogate", "graded", "learned grades", "quantised", "bypass",
         "for each sample", "subclass", "hooked"],
)  # fmt: skip
def test_other_cells_are_stepped(make):
    cell = make()
    assert rule_of(cell) is None
    current = noise(STEPS, 3, NEURONS) + 0.4
    assert torch.equal(cell_spikes(cell, current), step(cell, current)[0])


def test_cells_of_the_growing_network_run_whole(monkeypatch):
    def refuse(*_):
        raise AssertionError("stepped")

    expert = growth.model.Expert(3, [0, 1], 0.9, [0, 1])
    expert.widen(torch.ones(2, 3), torch.ones(2, 2), [2, 3])
    monkeypatch.setattr(snntorch.Leaky, "forward", refuse)
    assert expert(torch.ones(5, 2, 3)).shape == (2, 2)


def test_a_cell_clamps_its_leak_as_snntorch_does():
    current = noise(STEPS, 3, NEURONS) + 0.4
    for beta in (-0.3, 1.4):
        cell = snntorch.Leaky(beta)
        assert torch.equal(cell_spikes(cell, current), step(cell, current)[0])


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"current": torch.ones(3)}, r"current has shape \(3,\)"),
        ({"current": torch.ones(3, 2, 4, dtype=torch.int64)}, "float32 or float64"),
        ({"beta": 1.01}, "beta reaches from 1.01 to 1.01; it needs 0 to 1"),
        ({"beta": torch.tensor([0.5, 0.5, -0.1, 0.5])}, "beta reaches from -0.1 to 0.5"),
        ({"beta": float("nan")}, "beta is not finite"),
        ({"beta": torch.ones(3)}, r"beta has shape \(3,\).*each of 4 neurons"),
        ({"threshold": torch.ones(2, 4)}, r"threshold has shape \(2, 4\)"),
        ({"threshold": torch.ones(4).double()}, "threshold .*float64.* in torch.float32"),
        ({"threshold": float("inf")}, "threshold is not finite"),
        ({"reset": "clear"}, "reset is 'clear'; it needs one of subtract, zero, none"),
        ({"surrogate": "tanh"}, "surrogate is 'tanh'; it needs one of atan, fast_sigmoid"),
        ({"slope": float("nan")}, "slope is nan"),
    ],
)
def test_what_is_wrong_is_named(changed, says):
    arguments = {"current": torch.ones(3, 2, 4), "beta": 0.9} | changed
    with pytest.raises(MosaicError, match=says):
        leaky(**arguments)
