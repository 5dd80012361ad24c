"""When to grow: every signal against its equation, and the trigger on streams made by hand."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from growth.datasets import mnist
from growth.streams import hidden, limited, recurring, split
from growth.when import (
    Acquaintance,
    At,
    CoherentNeed,
    Cumulative,
    Expansion,
    Novelty,
    Plasticity,
    Plateau,
    Representation,
    Rise,
    Schedule,
    Settings,
    Trigger,
    Watch,
    coherence,
    label_dependence,
    mean_loss,
    need_norm,
    observe,
    products,
    random_times,
)
from mosaic_sim.errors import MosaicError

SIGNALS = {
    "need": CoherentNeed,
    "need rise": Rise,
    "loss rise": lambda: Rise(mean_loss),
    "added up": lambda: Cumulative(Rise()),
    "novelty": lambda: Novelty(2, learning=12),
    "expansion": Expansion,
    "representation": Representation,
    "plasticity": Plasticity,
    "plateau": lambda: Plateau(3),
    "schedule": lambda: Schedule(5),
    "at": lambda: At([3, 8]),
    "random": lambda: random_times(4, 20, seed=1),
    "watch": lambda: Watch(Rise(mean_loss), above=0.5, patience=2, rest=1),
    "trigger": lambda: Trigger(Settings(prototypes=2, learning=12, rest=2)),
}


def batch(rng, *, samples=6, centre=(1.0, 0.0, 0.0), error=1.0, loss=None, labels=None):
    """Inputs around `centre`; all errors alike, so that gradients agree where inputs do."""
    inputs = np.array(centre) + 0.1 * rng.standard_normal((samples, 3))
    errors = error * (0.5 + rng.random((samples, 1)))
    return observe(
        inputs,
        inputs[:, 2] > 0 if labels is None else labels,
        errors[:, 0] if loss is None else np.full(samples, loss),
        activity=np.abs(inputs),
        errors=errors,
        training=products(errors, inputs),
    )


def plain(training, growing=None, losses=None, activity=None):
    """An observation with the given tables; zeros for the rest."""
    n = len(training)
    seen = observe(
        np.zeros((n, 1)),
        np.zeros(n, int),
        np.zeros(n) if losses is None else losses,
        activity=np.zeros((n, 1)) if activity is None else activity,
        errors=np.zeros((n, 1)),
        training=training,
    )
    if growing is not None:
        object.__setattr__(seen, "growing", np.asarray(growing, float))
    return seen


# what a signal sees --------------------------------------------------------------------------


def test_products_are_those_of_the_gradients_that_autograd_finds():
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 3, bias=False).double()
    inputs = torch.randn(5, 4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 1, 0])
    gradients = []
    for x, label in zip(inputs, labels, strict=True):
        loss = torch.nn.functional.cross_entropy(layer(x[None]), label[None])
        gradients.append(torch.autograd.grad(loss, layer.weight)[0].reshape(-1))
    errors = torch.softmax(layer(inputs), 1) - torch.nn.functional.one_hot(labels, 3)
    want = torch.stack(gradients) @ torch.stack(gradients).T
    found = products(errors.detach().numpy(), inputs.numpy())
    assert np.allclose(found, want.numpy(), atol=1e-14)


def test_need_norm_squared_is_unbiased_for_the_squared_singular_values_of_the_mean():
    """Mean over all pairs of two of three equally likely gradients, by enumeration."""
    rng = np.random.default_rng(0)
    errors, reads = rng.random((3, 2)), rng.random((3, 4))
    matrices = [np.outer(e, x) for e, x in zip(errors, reads, strict=True)]
    want = np.square(np.linalg.svd(np.mean(matrices, 0), compute_uv=False)).sum()
    squares = []
    for draw in itertools.product(range(3), repeat=2):
        some = list(draw)
        seen = observe(
            reads[some], [0, 0], [0, 0], activity=reads[some], errors=errors[some],
            training=np.eye(2),
        )  # fmt: skip
        squares.append(need_norm(seen) ** 2)
    assert np.mean(squares) == pytest.approx(want, rel=1e-12)


def test_samples_that_somebody_explains_have_no_part_in_the_need():
    rng = np.random.default_rng(0)
    seen = batch(rng, samples=4)
    share = np.array([1.0, 1.0, 0.0, 0.0])
    assert need_norm(seen, share) == pytest.approx(seen.growing[0, 1] ** 0.5)


@given(st.integers(2, 6), st.integers(0, 1000))
def test_coherence_is_in_standard_deviations_of_random_signs(samples, seed):
    """Oracle: all signs there are. Their sum has mean 0, and the spread it is divided by."""
    rows = np.random.default_rng(seed).standard_normal((samples, 3))
    table = rows @ rows.T
    sums = []
    for signs in itertools.product((-1, 1), repeat=samples):
        flipped = table * np.outer(signs, signs)
        sums.append(flipped.sum() - np.trace(flipped))
    want = (table.sum() - np.trace(table)) / np.std(sums)
    assert np.mean(sums) == pytest.approx(0, abs=1e-9)
    assert coherence(table) == pytest.approx(want, rel=1e-9)


def test_label_dependence_has_mean_0_under_dealt_out_labels():
    """Oracle: every way to deal four labels out to four inputs."""
    inputs = np.array([[0.0], [0.3], [1.0], [2.0]])
    each = [
        label_dependence(inputs, labels) for labels in itertools.permutations([0, 0, 1, 1])
    ]
    assert np.mean(each) == pytest.approx(0, abs=1e-12)
    assert max(each) == each[0] > 0  # labels that go with the inputs


def test_errors_that_do_not_agree_are_no_need():
    rng = np.random.default_rng(0)
    errors = rng.choice([-1.0, 1.0], (40, 1))
    inputs = rng.random((40, 3))
    labels = rng.integers(0, 2, 40)
    seen = observe(
        inputs, labels, np.ones(40), activity=inputs, errors=errors, training=np.eye(40)
    )
    assert CoherentNeed()(seen) < 3
    assert CoherentNeed()(batch(rng, samples=40)) > 3


def test_errors_that_agree_are_no_need_where_labels_mean_nothing():
    rng = np.random.default_rng(0)
    seen = batch(rng, samples=40, labels=rng.permutation([0, 1] * 20))
    assert coherence(seen.growing) > 3 > CoherentNeed()(seen)


# each signal ---------------------------------------------------------------------------------


def test_rise_is_a_z_score_of_what_came_before():
    rise = Rise(mean_loss, fade=0.01)
    values = [1.0, 2.0, 3.0, 4.0, 9.0]
    found = [rise(plain(np.eye(2), losses=np.full(2, v))) for v in values]
    past = np.array(values[:4])
    assert found[-1] == pytest.approx((9.0 - past.mean()) / past.std())


def test_a_burst_does_not_hide_the_rise_after_it():
    first, second = Rise(mean_loss, limit=3.0), Rise(mean_loss, limit=1e9)
    for rise in (first, second):
        for value in (1.0, 1.1, 0.9, 1.0, 1.1, 0.9, 100.0):
            rise(plain(np.eye(2), losses=np.full(2, value)))
    after = plain(np.eye(2), losses=np.full(2, 2.0))
    assert first(after) > 3 > second(after)


def test_cumulative_notices_what_never_stands_out():
    total, alone = Cumulative(Rise(mean_loss), allowance=1.0), Rise(mean_loss)
    rng = np.random.default_rng(0)
    losses = np.concatenate([rng.standard_normal(60), 2 + 0.3 * rng.standard_normal(8)])
    seen = [plain(np.eye(2), losses=np.full(2, loss)) for loss in losses]
    sums, scores = [total(each) for each in seen], [alone(each) for each in seen]
    assert max(sums[:60]) < max(scores) < 4 < sums[-1]


def test_expansion_equals_the_natural_gradient_in_the_space_of_the_weights():
    rng = np.random.default_rng(0)
    old, new = rng.standard_normal((5, 7)), rng.standard_normal((5, 4))

    def eta(rows, floor):
        """g^T (F + floor I)^-1 g, with mean gradient g and empirical Fisher F."""
        g, fisher = rows.mean(0), rows.T @ rows / len(rows)
        return g @ np.linalg.solve(fisher + floor * np.eye(rows.shape[1]), g)

    floor = 0.5 * np.trace(old @ old.T) / 25
    want = eta(np.hstack([old, new]), floor) / eta(old, floor)
    found = Expansion(damping=0.5)(plain(old @ old.T, growing=new @ new.T))
    assert found == pytest.approx(want, rel=1e-9)
    assert found >= 1


@given(st.floats(1e-3, 1e3))
def test_expansion_does_not_depend_on_the_size_of_the_loss(factor):
    rng = np.random.default_rng(0)
    old, new = (rows @ rows.T for rows in rng.standard_normal((2, 5, 7)))
    expected = Expansion()(plain(old, growing=new))
    assert Expansion()(plain(factor * old, growing=factor * new)) == pytest.approx(expected)


def test_representation_counts_the_directions_in_use():
    """Two of four neurons in use, evenly and apart: half of the room."""
    activity = np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, -1.0, 0, 0]])
    assert Representation()(plain(np.eye(4), activity=activity)) == pytest.approx(0.5)
    # What a neuron always gives says nothing about the input.
    assert Representation()(plain(np.eye(4), activity=activity + 3)) == pytest.approx(0.5)


def test_plasticity_is_high_where_the_gradient_is_gone_and_the_loss_is_not():
    stuck, learnt = Plasticity(fade=1.0), Plasticity(fade=1.0)
    for signal in (stuck, learnt):
        assert signal(plain(np.ones((2, 2)), losses=np.ones(2))) == 0
    assert stuck(plain(0.01 * np.ones((2, 2)), losses=np.ones(2))) == pytest.approx(0.99)
    assert learnt(plain(0.01 * np.ones((2, 2)), losses=0.01 * np.ones(2))) == 0


def test_plateau_counts_batches_since_the_loss_fell():
    plateau = Plateau(patience=4, fade=1.0)
    losses = [3.0, 2.0, 2.0, 1.99, 1.0, 1.0]
    found = [plateau(plain(np.eye(2), losses=np.full(2, loss))) for loss in losses]
    assert found == [0, 0, 0.25, 0.5, 0, 0.25]


def test_oracle_random_times_and_schedule_come_as_often_as_asked():
    seen = plain(np.eye(2))

    def events(signal):
        return [k for k in range(12) if signal(seen)]

    assert events(At([2, 7])) == [2, 7]
    assert events(Schedule(5)) == [4, 9]
    times = events(random_times(4, 12, seed=3))
    assert len(times) == 4
    assert times == events(random_times(4, 12, seed=3))
    assert times != events(random_times(4, 12, seed=4))


def test_a_watch_waits_and_rests():
    seen = plain(np.eye(2))
    watch = Watch(At([0, 1, 4, 6, 7, 8, 9]), above=0.5, patience=2, rest=5)
    assert [k for k in range(12) if watch(seen)] == [7]


# who knows these inputs ----------------------------------------------------------------------


def test_prototypes_are_means_of_the_inputs_they_stand_for():
    rng = np.random.default_rng(0)
    groups = [
        np.array(centre) + 0.01 * rng.standard_normal((20, 2))
        for centre in ([1, 0], [0, 1])
    ]
    someone = Acquaintance(prototypes=2)
    # One of each first: the first inputs found the prototypes.
    inputs = np.stack(groups, 1).reshape(-1, 2)
    someone.meet(inputs)
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    assert np.allclose(someone.prototypes, [unit[0::2].mean(0), unit[1::2].mean(0)])


def test_novelty_is_judged_on_inputs_before_they_are_taken_in():
    """Oracle: the spread of distances to the mean so far, each before it moved the mean."""
    rng = np.random.default_rng(0)
    inputs = np.array([1.0, 0.0]) + 0.2 * rng.standard_normal((50, 2))
    someone = Acquaintance(prototypes=1, fade=1e-9)
    someone.meet(inputs)
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    past = [np.square(unit[k] - unit[:k].mean(0)).sum() / 2 for k in range(3, 50)]
    far = np.square([0.0, 1.0] - unit.mean(0)).sum() / 2
    want = (far - np.mean(past)) / np.std(past)
    assert someone.novelty(np.array([[0.0, 5.0]]))[0] == pytest.approx(want)


def test_nobody_explains_what_is_new_and_nothing_that_is_known():
    rng = np.random.default_rng(0)
    novelty = Novelty(2, learning=30)
    for _ in range(10):
        novelty(batch(rng))
    share = novelty.nobody(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), level=1.0)
    assert share[0] < 0.5
    assert share[1] > 0.99


# the trigger ---------------------------------------------------------------------------------

ONE, TWO, THREE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)


def settle(trigger, rng, centre, batches=20):
    """Let the trigger meet a task that its expert handles."""
    return [trigger(batch(rng, samples=10, centre=centre, error=0.1)).name
            for _ in range(batches)]  # fmt: skip


def actions(trigger, rng, count, **kind):
    return [trigger(batch(rng, samples=10, **kind)) for _ in range(count)]


@pytest.fixture
def acquainted():
    """A trigger that knows one task, and the generator of its batches."""
    rng = np.random.default_rng(0)
    trigger = Trigger(Settings(prototypes=3))
    assert set(settle(trigger, rng, ONE, 40)) == {"none"}
    return trigger, rng


def test_need_with_novelty_opens_an_expert(acquainted):
    trigger, rng = acquainted
    found = actions(trigger, rng, 4, centre=TWO, error=2.0)
    assert [action.name for action in found] == ["none", "new expert", "none", "none"]
    assert found[0].known is False
    assert found[1].expert == 1 == trigger.active
    assert found[2].known is True


def test_a_task_that_returns_is_recognised(acquainted):
    trigger, rng = acquainted
    actions(trigger, rng, 2, centre=TWO, error=2.0)
    settle(trigger, rng, TWO)
    assert trigger.route(np.array([ONE])) == 0
    found = actions(trigger, rng, 10, centre=ONE, error=0.1)
    assert [action.name for action in found].count("reuse") == 1
    assert trigger.active == 0
    assert len(trigger.gate.experts) == 2


def test_need_without_novelty_widens(acquainted):
    trigger, rng = acquainted
    names = [action.name for action in actions(trigger, rng, 12, centre=ONE, error=2.0)]
    assert set(names) == {"none", "widen"}
    assert names.index("widen") + 1 >= trigger.settings.stuck
    assert len(trigger.gate.experts) == 1


def test_novelty_without_need_is_reuse(acquainted):
    trigger, rng = acquainted
    names = [action.name for action in actions(trigger, rng, 3, centre=TWO, error=0.05)]
    assert "reuse" in names
    assert len(trigger.gate.experts) == 1


@pytest.mark.parametrize(("loss", "name"), [(2.0, "new expert"), (0.02, "reuse")])
def test_where_samples_share_no_gradient_the_loss_says_whether_there_is_need(
    acquainted, loss, name
):
    trigger, rng = acquainted
    found = []
    for _ in range(4):
        inputs = np.array(TWO) + 0.1 * rng.standard_normal((10, 3))
        apart = np.eye(10)  # an output for each sample: no two agree
        seen = observe(
            inputs, inputs[:, 2] > 0, np.full(10, loss), activity=inputs, errors=apart,
            training=np.eye(10),
        )  # fmt: skip
        assert need_norm(seen) == 0
        found.append(trigger(seen).name)
    assert name in found


def test_widening_makes_no_new_task_wait(acquainted):
    trigger, rng = acquainted
    while True:
        if trigger(batch(rng, error=3.0)).name == "widen":
            break
    names = [action.name for action in actions(trigger, rng, 4, centre=TWO, error=2.0)]
    assert "new expert" in names


def test_labels_that_mean_nothing_trigger_nothing(acquainted):
    trigger, rng = acquainted
    for centre in (ONE, TWO):
        for k in range(20):
            noise = rng.permutation([0, 1] * 5)
            seen = batch(rng, samples=10, centre=centre, error=2.0, labels=noise)
            # Repeated evidence of chance labels: dealt so that it never adds up.
            if label_dependence(seen.inputs, noise) < 0.5:
                assert trigger(seen).name == "none", (centre, k)


def test_a_task_that_fades_in_is_noticed_although_no_batch_stands_out():
    """Inputs turn slowly; each batch is less new than a third of what it takes to act."""
    rng = np.random.default_rng(0)
    trigger = Trigger(Settings(prototypes=3, rest=0))
    settle(trigger, rng, ONE, 60)
    found = []
    for step in range(40):
        angle = 0.004 * step
        turned = (np.cos(angle), np.sin(angle), 0.0)
        found.append(trigger(batch(rng, samples=10, centre=turned, error=0.3)))
        if found[-1].name == "new expert":
            break
    assert found[-1].name == "new expert"
    assert max(action.novelty for action in found) < trigger.settings.novelty_above


def test_a_doubt_outlasts_a_checkpoint():
    """The same inputs as above; one of two triggers is made anew after every batch."""
    rng = np.random.default_rng(0)
    settings = Settings(prototypes=3, rest=0)
    one, other = Trigger(settings), Trigger(settings)
    for step in range(100):
        angle = 0.004 * max(0, step - 60)
        turned = (np.cos(angle), np.sin(angle), 0)
        error = 0.1 if step < 60 else 0.3
        seen = batch(rng, samples=10, centre=turned, error=error)
        fresh = Trigger(settings)
        fresh.load_state(other.state())
        other = fresh
        assert one(seen) == other(seen), step
    assert len(one.gate.experts) > 1


def test_needs_of_what_is_known_do_not_count_as_those_of_what_is_new(acquainted):
    """Half a batch is known and goes badly; the other half is new and goes well."""
    trigger, rng = acquainted
    inputs = np.repeat([ONE, TWO], 5, axis=0) + 0.05 * rng.standard_normal((10, 3))
    errors = np.repeat([[0.4], [0.02]], 5, axis=0)
    seen = observe(
        inputs, inputs[:, 2] > 0, errors[:, 0], activity=inputs, errors=errors,
        training=np.eye(10),
    )  # fmt: skip
    threshold = trigger.settings.need_above
    assert trigger.pasts[0].score(need_norm(seen)) > threshold
    assert trigger(seen).need < threshold


def test_what_nobody_knows_is_not_learnt_by_anybody(acquainted):
    trigger, rng = acquainted
    before = trigger.gate.experts[0].state()
    action = trigger(batch(rng, samples=10, centre=TWO, error=2.0))
    after = trigger.gate.experts[0].state()
    assert not action.known
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_there_is_no_action_while_it_rests():
    rng = np.random.default_rng(0)
    trigger = Trigger(Settings(prototypes=3, rest=50))
    settle(trigger, rng, ONE, 40)
    names = [action.name for action in actions(trigger, rng, 15, centre=TWO, error=2.0)]
    assert names.index("new expert") == 10


def test_a_need_stands_out_from_a_past_without_any():
    """A spiking network that makes no mistake has no need at all on what it knows."""
    rng = np.random.default_rng(0)
    trigger = Trigger(Settings(prototypes=3))
    actions(trigger, rng, 8, centre=ONE, error=2.0)  # it gets acquainted, and learns
    actions(trigger, rng, 20, centre=ONE, error=0.0)
    assert trigger.pasts[0].mean == trigger.pasts[0].variance == 0
    names = [action.name for action in actions(trigger, rng, 3, centre=TWO, error=1.0)]
    assert "new expert" in names
    few = Trigger(Settings(prototypes=3))
    few.load_state(trigger.state())
    assert few.largest == trigger.largest > 1


def test_a_small_need_after_none_is_not_a_need(acquainted):
    """One hard sample now and then: far below what the network needed before it learnt."""
    rng = np.random.default_rng(0)
    trigger = Trigger(Settings(prototypes=3))
    actions(trigger, rng, 8, centre=ONE, error=2.0)
    actions(trigger, rng, 20, centre=ONE, error=0.0)
    found = actions(trigger, rng, 20, centre=ONE, error=0.05)
    assert {action.name for action in found} == {"none"}
    assert max(action.need for action in found) < 3


def test_what_is_new_to_an_expert_without_a_past_is_not_taken_for_handled():
    """The task changes as soon as the expert is acquainted: there is nothing to compare with."""
    rng = np.random.default_rng(0)
    trigger = Trigger(Settings(prototypes=3))
    actions(trigger, rng, 8, centre=ONE, error=2.0)
    names = [action.name for action in actions(trigger, rng, 6, centre=TWO, error=2.0)]
    assert "new expert" in names
    assert "reuse" not in names


def test_the_action_says_what_novelty_had_added_up_to(acquainted):
    trigger, rng = acquainted
    found = actions(trigger, rng, 2, centre=TWO, error=2.0)
    steps = [action.novelty - trigger.settings.allowance for action in found]
    assert found[0].doubt == pytest.approx(steps[0])
    assert found[1].doubt == pytest.approx(sum(steps))
    assert found[1].doubt > trigger.settings.novelty_above


def test_who_cannot_serve_a_batch_does_not_know_it(acquainted):
    """Known inputs with labels that the only expert cannot give are a new task."""
    trigger, rng = acquainted
    other = [trigger(batch(rng, samples=10, centre=ONE, error=2.0), [0]) for _ in range(3)]
    assert [action.name for action in other[:2]] == ["none", "new expert"]
    assert not other[0].known
    settle(trigger, rng, ONE, 30)
    inputs = np.array([ONE, ONE])
    assert {trigger.route(inputs, [0]), trigger.route(inputs, [1])} == {0, 1}
    # Among those that cannot, the one that knows the inputs best.
    assert trigger.route(inputs, [0, 1]) == trigger.route(inputs)


def test_no_prototype_that_shares_is_a_sample():
    rng = np.random.default_rng(0)
    someone = Acquaintance(prototypes=4)
    inputs = np.concatenate([rng.random((20, 3)), [[9.0, 0.0, 0.0], [0.0, 0.0, 9.0]]])
    inputs = inputs[[20, 21, *range(20)]]
    someone.meet(inputs)
    assert (someone.sizes == 1).any()
    before = someone.sizes @ someone.prototypes
    someone.share()
    assert someone.sizes @ someone.prototypes == pytest.approx(before)
    assert someone.sizes.sum() == 22
    unit = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    apart = np.square(unit[:, None] - someone.prototypes).sum(2)
    assert apart.min() > 1e-6
    after = someone.prototypes.copy()
    someone.share()
    assert np.array_equal(someone.prototypes, after)


def test_a_prototype_alone_has_nobody_to_share_with():
    someone = Acquaintance(prototypes=1)
    someone.meet(np.array([[1.0, 0.0]]))
    someone.share()
    assert someone.prototypes.tolist() == [[1.0, 0.0]]


def test_inputs_may_be_compared_by_more_than_their_direction():
    plain, unit = Acquaintance(1, by_direction=False), Acquaintance(1)
    for someone in (plain, unit):
        someone.meet(np.array([[2.0, 0.0], [4.0, 0.0]]))
    assert plain.prototypes.tolist() == [[3.0, 0.0]]
    assert unit.prototypes.tolist() == [[1.0, 0.0]]
    assert plain.distance(np.array([[5.0, 0.0]])).tolist() == [2.0]
    assert unit.distance(np.array([[5.0, 0.0]])).tolist() == [0.0]


# the trigger on data -------------------------------------------------------------------------


def follow(stream, size, rate):
    """Let the trigger lead linear experts through a stream; actions by batch."""
    trigger, found = Trigger(), {}
    labels, channels = stream.labels, stream.inputs
    nets = [np.zeros((labels, channels))]
    for number, some in enumerate(hidden(stream).batches(size)):
        x, y = np.asarray(some.inputs, float), some.labels
        weight = nets[trigger.route(x)]
        share = np.exp(x @ weight.T)
        share /= share.sum(1, keepdims=True)
        errors = share - np.eye(labels)[y]
        losses = -np.log(share[np.arange(len(y)), y])
        seen = observe(
            x, y, losses, activity=share, errors=errors, training=products(errors, x)
        )
        action = trigger(seen)
        if action.known:
            weight -= rate * errors.T @ x / len(y)
        if action.name == "new expert":
            nets.append(np.zeros_like(weight))
        if action.name != "none":
            found[number] = (action.name, action.expert)
    return found


def test_tasks_of_digits_are_found_and_recognised(data):
    """Visits of 12 batches: tasks begin at 0, 12 and 36, and come back at 24 and 48."""
    pairs = limited(split(data, [[0, 1], [2, 3], [4, 5]]), seed=0, train=120)
    found = follow(recurring(pairs, [0, 1, 0, 2, 1], seed=0, fresh=False), 10, 0.2)
    begin = [12, 24, 36, 48]
    wanted = [("new expert", 1), ("reuse", 0), ("new expert", 2), ("reuse", 1)]
    assert list(found.values()) == wanted
    assert all(at <= batch < at + 4 for at, batch in zip(begin, found, strict=True))


def test_digits_without_tasks_open_no_expert(data):
    found = follow(split(data, [range(10)]), 5, 0.1)
    assert "new expert" not in [name for name, _ in found.values()]


@pytest.mark.skipif(
    not Path(os.environ.get("MOSAIC_DATA", "nowhere"), "mnist").is_dir(),
    reason="MOSAIC_DATA names no folder with mnist",
)
def test_tasks_of_mnist_are_found_and_recognised():
    pairs = limited(split(mnist(), [[0, 1], [2, 3]]), seed=0, train=1200)
    found = follow(recurring(pairs, [0, 1, 0], seed=0), 20, 0.02)
    assert list(found.values()) == [("new expert", 1), ("reuse", 0)]
    assert all(at <= batch < at + 4 for at, batch in zip((30, 90), found, strict=True))


# all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_goes_on_from_its_state(name):
    """Half a stream, the state as JSON, and the other half in a fresh signal."""
    rng = np.random.default_rng(0)
    course = [
        batch(rng, centre=TWO if 10 <= k < 20 else ONE, error=2.0 if 10 <= k < 13 else 0.3)
        for k in range(30)
    ]
    first, second = SIGNALS[name](), SIGNALS[name]()
    for seen in course[:15]:
        first(seen)
    stored = json.loads(
        json.dumps({key: value.tolist() for key, value in first.state().items()})
    )
    second.load_state({key: np.array(value) for key, value in stored.items()})
    assert [first(seen) for seen in course[15:]] == [second(seen) for seen in course[15:]]


@pytest.mark.parametrize("name", sorted(set(SIGNALS) - {"trigger", "watch"}))
def test_a_signal_does_not_mind_the_order_of_samples(name):
    rng = np.random.default_rng(0)
    one, other = SIGNALS[name](), SIGNALS[name]()
    for _ in range(6):
        seen = batch(rng)
        order = rng.permutation(6) if name != "novelty" else np.arange(6)
        mixed = observe(
            seen.inputs[order], seen.labels[order], seen.losses[order],
            activity=seen.activity[order], errors=np.ones((6, 1)),
            training=seen.training[np.ix_(order, order)],
        )  # fmt: skip
        object.__setattr__(mixed, "growing", seen.growing[np.ix_(order, order)])
        assert one(seen) == pytest.approx(other(mixed), abs=1e-9)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Watch(CoherentNeed(), above=1, patience=0), "patience is 0"),
        (lambda: Schedule(0), "every is 0"),
        (lambda: At([-1]), "batches count from 0"),
        (lambda: random_times(5, 4, seed=0), "events is 5"),
        (lambda: Expansion(0.0), "damping is 0.0"),
        (lambda: Rise(fade=0.0), "fade is 0.0"),
        (lambda: Novelty(0), "prototypes is 0"),
        (lambda: Trigger(Settings(stuck=0)), "stuck is 0"),
        (lambda: products(), "at least one factor"),
        (lambda: Rise().load_state({}), "state has no 'count'"),
        (lambda: plain(np.zeros((0, 0))), "no samples"),
        (lambda: plain(np.full((2, 2), np.nan)), "training is not finite"),
        (lambda: plain(np.eye(2), losses=np.zeros(3)), r"losses has shape \(3,\)"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make, words):
    with pytest.raises(MosaicError, match=words):
        make()
