from itertools import chain, pairwise

import numpy as np
import pytest
import snntorch
import torch
from hypothesis import given, target
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logsumexp, softmax
from tiny import lif, raster_of

from growth.model import SHARPNESS, Expert, SpikingNet, cell_spikes, mixture
from mosaic_sim import MosaicError


def noise(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spikes(steps=12, samples=9, inputs=6, seed=0):
    fired = np.random.default_rng(seed).random((steps, samples, inputs)) < 0.6
    return torch.from_numpy(fired.astype(np.float32))


def expert(hidden=5, classes=(0, 1, 2), leak=0.9):
    """An expert that really spikes."""
    made = Expert(6, classes, leak, range(len(classes)))
    births = range(len(classes), len(classes) + hidden)
    made.widen(noise(hidden, 6).abs(), noise(len(classes), hidden, seed=1), births)
    return made


# --- neurons -----------------------------------------------------------------------------

# Quarters of a leak cost two bits a step: six steps of 16ths are exact in float32.
currents = arrays(
    np.float32, st.tuples(st.just(6), st.just(2), st.just(3)),
    elements=st.integers(-16, 40).map(lambda k: k / 16),
)  # fmt: skip


@given(currents, st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_cells_fire_above_threshold_and_pay_for_it_one_step_later(current, leak):
    fired = cell_spikes(snntorch.Leaky(beta=leak), torch.from_numpy(current)).numpy()
    expected = lif(current, leak)
    target(float(expected.sum()))
    assert (fired == expected).all()


def test_an_expert_counts_its_outputs_spikes_and_its_gates():
    one = expert()
    one.add_gates(noise(2, 6, seed=3), noise(2, seed=4).abs(), [8, 9])
    net = SpikingNet(6, leak=0.9)
    net.modules_of_experts.append(one)
    net.neurons = 10
    x = spikes()
    out, gate = net(x)
    fired = raster_of(net, x.numpy().transpose(1, 0, 2)).sum(1)
    assert fired.min() < fired.max()
    assert (out[0].numpy() == fired[:, one.births["out"]]).all()
    assert (gate[0].numpy() == fired[:, one.births["gate"]]).all()


def test_the_blueprint_fires_as_the_network_does():
    net = SpikingNet(6, leak=0.5)
    for seed, classes in enumerate(([0, 1], [2, 3, 4])):
        one = net.add_expert(classes)
        net.widen(one, noise(3, 6, seed=seed), noise(len(classes), 3, seed=seed + 5))
    net.add_gates(one, noise(2, 6, seed=3), noise(2, seed=4).abs())
    x = spikes()
    fired = net.blueprint().run(x)
    outs, gates = net(x)
    names = [f"expert {e}/{kind}" for e in (0, 1) for kind in ("hidden", "out")]
    assert list(fired) == [*names, "expert 1/gate"]
    for number in (0, 1):
        assert torch.equal(fired[f"expert {number}/out"].sum(0), outs[number])
    assert torch.equal(fired["expert 1/gate"].sum(0), gates[1])
    assert 0 < outs[1].sum() < outs[1].numel() * len(x)


# --- growing -----------------------------------------------------------------------------


@given(st.integers(0, 3), st.integers(1, 4), st.integers(0, 99))
def test_neurons_at_rest_leave_every_spike_as_it_was(hidden, more, seed):
    one, x = expert(hidden), spikes(seed=seed)
    before = one.hidden_spikes(x), one.out_spikes(one.hidden_spikes(x))
    one.widen(torch.zeros(more, 6), 9 * noise(3, more, seed=seed), range(50, 50 + more))
    after = one.hidden_spikes(x)
    assert torch.equal(after[..., :hidden], before[0])
    assert not after[..., hidden:].any()
    assert torch.equal(one.out_spikes(after), before[1])


@given(
    st.lists(
        st.tuples(st.sampled_from("ewg"), st.integers(0, 9), st.integers(1, 3)), max_size=12
    )
)
def test_every_neuron_is_born_once_and_keeps_its_number(story):
    net, claimed = SpikingNet(4, leak=0.9), {}
    for what, who, count in [("e", 0, 1), *story]:
        born = range(net.neurons, net.neurons + count + (what == "e"))
        if what == "e":
            kind, one = "out", net.add_expert(range(count + 1))
        else:
            one = net.experts[who % len(net.experts)]
            if what == "w":
                kind = "hidden"
                net.widen(one, torch.zeros(count, 4), torch.zeros(len(one.classes), count))
            else:
                kind = "gate"
                net.add_gates(one, torch.zeros(count, 4), torch.zeros(count))
        claimed.setdefault((net.experts.index(one), kind), []).extend(born)
    found = {
        (number, kind): born
        for number, one in enumerate(net.experts)
        for kind, born in one.births.items()
        if born
    }
    assert found == claimed
    assert sorted(chain(*found.values())) == list(range(net.neurons))
    assert net.neurons == sum(one.neurons for one in net.experts)


@pytest.mark.parametrize(
    ("incoming", "outgoing", "births"),
    [((2, 5), (3, 2), 2), ((2, 6), (2, 2), 2), ((2, 6), (3, 1), 2), ((2, 6), (3, 2), 3)],
)
def test_widening_by_wrong_shapes_is_refused(incoming, outgoing, births):
    with pytest.raises(MosaicError, match=r"it needs \(\d, 6\) and \(3, \d\)"):
        expert().widen(torch.zeros(incoming), torch.zeros(outgoing), range(births))


def test_a_frozen_expert_gets_no_gradient():
    one, x = expert(), spikes()
    one(x).sum().backward()
    assert one.into_hidden.grad.abs().max() > 0
    one.freeze()
    assert not any(weight.requires_grad for weight in one.parameters())
    assert not one(x).requires_grad


# --- mixture -----------------------------------------------------------------------------


@st.composite
def opinions(draw):
    """Experts over disjoint labels, some of the labels unknown to all."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    labels = sum(sizes) + draw(st.integers(0, 2))
    names = draw(st.permutations(range(labels)))
    cuts = np.cumsum([0, *sizes])
    classes = [list(names[a:b]) for a, b in pairwise(cuts)]
    samples = draw(st.integers(1, 3))
    counts = st.integers(0, 30)
    out = [draw(arrays(np.int64, (samples, size), elements=counts)) for size in sizes]
    gate = [
        draw(arrays(np.int64, (samples, draw(st.integers(0, 3))), elements=counts))
        for _ in sizes
    ]
    return out, gate, classes, labels


gains = st.floats(0.05, 2)


@given(opinions(), gains)
def test_the_mixture_is_the_sum_of_opinions_weighed_by_the_gates(case, gain):
    out, gate, classes, labels = case
    scores = mixture(out, gate, classes, labels, gain=gain)
    for b, row in enumerate(scores):
        near = [logsumexp(gain * (g[b] if g.shape[1] else np.zeros(1))) for g in gate]
        weight = softmax(SHARPNESS * np.array(near))
        expected = np.zeros(labels)
        for e, members in enumerate(classes):
            opinion = softmax(gain * out[e][b])
            for place, label in enumerate(members):
                expected[label] += weight[e] * opinion[place]
        assert row == pytest.approx(expected, rel=1e-9, abs=1e-300)
    known = [*chain(*classes)]
    assert scores[:, known].sum(1) == pytest.approx(1)
    assert not np.delete(scores, known, axis=1).any()


@given(opinions(), gains)
def test_one_expert_alone_is_a_softmax(case, gain):
    out, gate, classes, labels = (
        [*part[:1]] if isinstance(part, list) else part for part in case
    )
    scores = mixture(out, gate, classes, labels, gain=gain)
    assert scores[:, classes[0]] == pytest.approx(softmax(gain * out[0], axis=1))


def test_spikes_of_gates_shift_the_odds():
    out = [np.array([[5, 5]])] * 2

    def odds(near, far):
        scores = mixture(
            out, [np.array([near]), np.array([far])], [[0, 1], [2, 3]], 4, gain=0.5
        )
        return np.log(scores[0, :2].sum() / scores[0, 2:].sum()) / SHARPNESS

    assert odds([4], [4]) == pytest.approx(0)
    assert odds([7], [4]) == pytest.approx(0.5 * 3)
    assert odds([4], [9]) == pytest.approx(-0.5 * 5)
    assert odds([4, 4], [4]) == pytest.approx(np.log(2))  # two that are as near
    assert odds([40, 4], [40]) == pytest.approx(0, abs=1e-6)  # one far away does not count


def test_experts_of_the_same_label_add_up():
    scores = mixture([np.array([[3]])] * 2, [np.array([[2]])] * 2, [[1], [1]], 2, gain=1.0)
    assert scores.tolist() == [[0, 1]]


def test_a_mixture_of_nobody_is_refused():
    with pytest.raises(MosaicError, match="at least one expert"):
        mixture([], [], [], 3, gain=1.0)


# --- synapses that exist -----------------------------------------------------------------


def masked(hidden=4):
    """An expert whose neurons read some inputs each, and the mask."""
    one = Expert(6, [0, 1], 0.9, range(2))
    reads = torch.from_numpy(np.random.default_rng(0).random((hidden, 6)) < 0.5)
    one.widen(
        noise(hidden, 6).abs() * reads, noise(2, hidden, seed=1), range(hidden), reads
    )
    return one, reads


def test_a_label_more_is_a_silent_output_that_changes_no_other():
    net = SpikingNet(6, leak=0.9)
    first, second = net.add_expert([0, 1]), net.add_expert([2, 3])
    net.widen(first, noise(3, 6).abs(), noise(2, 3, seed=1))
    spikes = (noise(7, 5, 6, seed=2) > 0).float()
    before = first(spikes)
    net.add_outputs(first, [7, 4])
    assert first.classes == [0, 1, 7, 4]
    assert first.births["out"] == [0, 1, 7, 8]
    assert second.births["out"] == [2, 3]
    assert net.neurons == 9
    assert torch.equal(first(spikes)[:, :2], before)
    assert not first(spikes)[:, 2:].any()
    assert first.into_out.requires_grad
    first.freeze()
    net.add_outputs(first, [5])
    assert not first.into_out.requires_grad
    with pytest.raises(MosaicError, match="an output for label 7 already"):
        net.add_outputs(first, [6, 7])
    assert net.blueprint().neurons == 10


@pytest.mark.parametrize(
    "optimiser",
    [
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.1),
    ],
)
def test_no_optimiser_gives_weight_to_inputs_that_are_not_read(optimiser):
    one, reads = masked()
    steps = optimiser([one.into_hidden, one.into_out])
    before = one.incoming.detach().clone()
    for _ in range(5):
        steps.zero_grad()
        one(spikes()).square().sum().backward()
        steps.step()
    assert (one.into_hidden.detach()[~reads] == 0).all()
    assert (one.incoming.detach() != before)[reads].any()


def test_what_is_not_read_has_no_effect_even_if_somebody_writes_there():
    one, reads = masked()
    x = spikes()
    before = one.hidden_spikes(x)
    with torch.no_grad():
        one.into_hidden[~reads] = 5.0
    assert torch.equal(one.hidden_spikes(x), before)
    assert (one.incoming[~reads] == 0).all()


def test_each_widening_has_lines_of_its_own_and_reads_all_by_default():
    net = SpikingNet(3, leak=0.9)
    one = net.add_expert([0, 1])
    net.widen(one, torch.zeros(2, 3), torch.ones(2, 2), torch.tensor([True, False, True]))
    net.widen(one, torch.zeros(1, 3), torch.ones(2, 1))
    assert one.mask.tolist() == [[True, False, True]] * 2 + [[True] * 3]
    one.into_hidden = torch.nn.Parameter(torch.zeros(5, 3))  # as when it is loaded
    assert one.mask[3:].all()
    assert one.incoming.shape == (5, 3)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (torch.ones(2, dtype=torch.bool), r"reads is torch\.bool of shape \(2,\)"),
        (torch.ones(3), r"reads is torch\.float32"),
        (torch.tensor([True, False, True]), "weights for inputs that are not read"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_and_changes_nothing(reads, message):
    one = Expert(3, [0, 1], 0.9, range(2))
    with pytest.raises(MosaicError, match=message):
        one.widen(torch.ones(1, 3), torch.ones(2, 1), [2], reads)
    assert one.births["hidden"] == []
    assert one.mask.shape == (0, 3)
