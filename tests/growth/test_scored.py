"""Gate neurons that score classes, learnt from sums."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from tiny import records, run, tiny

from growth.host import Cost, Unlimited
from growth.model import SpikingNet, mixture
from growth.samples import Samples
from growth.strategies import Grow
from growth.strategies.scored import PEAK, RIDGE, Scored
from growth.streams import Task, hidden

SCORES = ("gate.kind=scores", "grow.rounds=2", "train.epochs=1")


def samples(seed=0, count=90, inputs=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    rows = rng.random((count, inputs)) + 0.8 * (labels[:, None] == np.arange(inputs))
    return rows, labels


KEYS = [(0, 0), (0, 1), (1, 2), (1, 3)]


def met(rows, labels, order=None, parts=1):
    """Two experts with two labels each, in some order and number of batches."""
    scored = Scored(rows.shape[1])
    order = np.arange(len(labels)) if order is None else order
    for part in np.array_split(order, parts):
        for expert in (0, 1):
            own = part[labels[part] // 2 == expert]
            scored.meet(expert, rows[own], labels[own])
    return scored


def test_scores_are_those_of_ridge_regression():
    rows, labels = samples()
    weight = met(rows, labels).solve(KEYS)
    alpha = RIDGE * rows.var(0).mean()
    twin = Ridge(alpha=alpha).fit(rows, np.eye(4)[labels])
    scores = twin.predict(rows)
    own = np.mean([scores[labels == k, k].mean() for k in range(4)])
    found = rows @ weight[:, :-1].T + weight[:, -1]
    np.testing.assert_allclose(found, scores * PEAK / own, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), parts=st.integers(1, 7))
def test_neither_order_nor_batches_matter(seed, parts):
    rows, labels = samples()
    rows = np.round(rows * 16) / 16
    order = np.random.default_rng(seed).permutation(len(labels))
    one, other = met(rows, labels), met(rows, labels, order, parts)
    np.testing.assert_array_equal(one.moments, other.moments)
    np.testing.assert_array_equal(one.solve(KEYS), other.solve(KEYS))


def test_the_same_label_of_two_experts_is_scored_twice():
    rows, labels = samples()
    scored = Scored(6)
    scored.meet(0, rows[labels == 0], labels[labels == 0])
    scored.meet(1, rows[labels == 1], labels[labels == 1] - 1)  # now also called 0
    weight = scored.solve([(0, 0), (1, 0)])
    found = rows @ weight[:, :-1].T + weight[:, -1]
    assert (found[labels == 0].argmax(1) == 0).mean() > 0.9
    assert (found[labels == 1].argmax(1) == 1).mean() > 0.9


def test_an_output_that_met_nothing_scores_0_and_so_does_everything_at_first():
    rows, labels = samples()
    assert not met(rows, labels).solve([*KEYS, (1, 7)])[-1].any()
    assert not Scored(6).solve(KEYS).any()


def test_weights_are_on_levels_and_rounded_better_than_one_by_one():
    rows, labels = samples(count=400, inputs=40)
    scored = met(rows, labels)
    exact = scored.solve(KEYS)
    lines = np.ones(41, bool)
    lines[7] = False
    held = scored.held(KEYS, lines, levels=4)
    assert not held[:, 7].any()
    level = held / np.abs(held).max(1, keepdims=True) * 3
    np.testing.assert_allclose(level, np.round(level), atol=1e-9)
    exact = scored.solve(KEYS) * lines
    unit = np.abs(exact).max(1, keepdims=True) / 3
    nearest = np.round(exact / unit) * unit
    given_rows = np.column_stack([rows, np.ones(len(rows))])

    def error(weight):
        return np.square(given_rows @ (weight - exact).T).mean()

    assert error(held) < 0.5 * error(nearest)


def test_the_state_goes_on():
    rows, labels = samples()
    one, other = met(rows, labels), Scored(6)
    one.written = 12.0
    other.load_state(one.state())
    one.meet(0, rows[:5], labels[:5])
    other.meet(0, rows[:5], labels[:5])
    np.testing.assert_array_equal(one.solve(KEYS), other.solve(KEYS))
    assert other.written == 12.0


# --- in the network --------------------------------------------------------------------------


def test_scored_gate_neurons_speak_for_their_class():
    out = [np.array([[3, 5]]), np.array([[4, 4]])]
    gate = [np.array([[9, 2]]), np.array([[0, 1]])]
    found = mixture(out, gate, [[0, 1], [2, 3]], 4, gain=0.5, scored=True)
    assert found.argmax(1).tolist() == [0]  # 3 + 9 against 5 + 2, and expert 0 is chosen
    plain = mixture(out, gate, [[0, 1], [2, 3]], 4, gain=0.5)
    assert plain.argmax(1).tolist() == [1]
    share = 1 / (1 + np.exp(-0.5 * (12 - 7)))
    first = (np.exp(4.5) + np.exp(1)) ** 4
    first /= first + (1 + np.exp(0.5)) ** 4
    assert found[0, 0] == pytest.approx(first * share)


def test_gate_neurons_that_do_not_leak_count_their_score():
    net = SpikingNet(1, leak=0.5, gate_leak=1.0)
    expert = net.add_expert([0, 1])
    net.add_gates(expert, torch.tensor([[0.3], [-1.0]]), torch.tensor([0.1, 0.0]))
    spikes = torch.ones(20, 1, 1)
    # 20 steps of 0.4 make 8, of which the last may stay below the threshold.
    assert expert.gate_counts(spikes)[0].tolist() == [7.0, 0.0]
    leaks = {p.name: p.leak for p in net.blueprint().populations}
    assert leaks == {"expert 0/out": 0.5, "expert 0/gate": 1.0}


# --- in the learner --------------------------------------------------------------------------


def learner(stream, *more, host=None):
    return Grow(tiny("grow", *SCORES, *more), stream, host or Unlimited(), 0)


@pytest.fixture(scope="module")
def learnt(stream):
    """A learner after two tasks; not to be changed."""
    made = learner(stream)
    for task in stream.tasks[:2]:
        made.learn(task)
    return made


def test_each_expert_has_a_gate_neuron_for_each_class(learnt, stream):
    for expert, task in zip(learnt.experts, stream.tasks, strict=False):
        assert len(expert.births["gate"]) == len(expert.classes) == len(task.classes)
    total = sum(len(task.train) for task in stream.tasks[:2])
    assert learnt.scored.seen == total == learnt.scored.written


def test_the_gate_of_an_old_expert_learns_what_came_later(learnt, stream):
    other = learner(stream)
    other.learn(stream.tasks[0])
    before = other.experts[0].gate_weight.clone()
    hidden_before = other.experts[0].into_hidden.data.clone()
    other.learn(stream.tasks[1])
    assert not torch.equal(before, other.experts[0].gate_weight)
    assert torch.equal(hidden_before, other.experts[0].into_hidden.data)
    assert torch.equal(other.experts[0].gate_weight, learnt.experts[0].gate_weight)


def test_what_is_kept_is_on_the_ledger_and_does_not_grow_with_samples(learnt):
    bits = {stored.name: stored.bits for stored in learnt.ledger()}
    assert bits["sums"] == 32 * (65 * 66 // 2 + 65 * 4)
    assert bits["prototypes"] == 16 * 64 * sum(
        len(d.prototypes) for d in learnt.gate.descriptors
    )


def test_scores_speak_for_labels_only_if_no_label_has_two_experts(learnt, stream):
    assert not learnt.overlap
    made = learner(stream)
    made.learn(stream.tasks[0])
    made.model.add_expert([1, 4])
    assert made.overlap
    one = np.array([[9, 8]]), np.array([[1, 1]])  # outputs of both experts
    fired = {"expert 0/out": one[0], "expert 1/out": one[1]}
    fired |= {"expert 0/gate": np.array([[5, 9]]), "expert 1/gate": np.array([[0, 0]])}
    scores = made.scores(lambda blueprint: fired)
    assert scores.argmax(1).tolist() == [0]  # the gate neuron of label 1 would say 1
    made.experts[1].classes[:] = [3, 4]
    assert made.scores(lambda blueprint: fired).argmax(1).tolist() == [1]


def test_a_write_budget_leaves_old_gate_neurons_as_they_are(stream):
    made = learner(stream)
    made.learn(stream.tasks[0])
    made.budget = made.spent  # nothing is left
    before = made.experts[0].gate_weight.clone()
    spent = made.spent
    made.score(made.experts[0], stream.tasks[0].train_inputs[:9], np.zeros(9, np.int64))
    made.write_scores()
    assert torch.equal(before, made.experts[0].gate_weight)
    assert made.spent == spent
    made.budget = made.spent.plus(Cost(1.0, 1e6, 1e6))
    made.write_scores()
    assert not torch.equal(before, made.experts[0].gate_weight)
    assert made.spent.writes == spent.writes + 2 * 65


def test_a_new_label_gets_a_gate_neuron_too(stream):
    made = learner(stream)
    made.learn(stream.tasks[0])
    inputs = stream.tasks[1].train_inputs[:20]
    task = Task(1, (2, 3), *2 * (Samples.of(inputs, np.full(20, 2)),))
    made.add_output(made.experts[0], 2, task, {})
    assert made.experts[0].classes == [0, 1, 2]
    assert len(made.experts[0].births["gate"]) == 3
    made.score(made.experts[0], inputs, np.full(20, 2))
    made.write_scores()
    assert made.experts[0].gate_weight[2].any()
    made.blueprint()  # everything has its number


def test_it_runs_on_the_chip_behind_the_layer_and_comes_back_from_its_checkpoint(tmp_path):
    experiment = tiny(
        "grow", *SCORES, "front.kind=gabor", "front.size=3", "front.stride=2",
        "front.orientations=2", "chip.neurons_per_tile=32",
        "chip.rows=3", "chip.columns=3", "grow.loss_per_nanojoule=1e-5",
    )  # fmt: skip
    folder = run(experiment, tmp_path / "one")

    last = [json.loads(line) for line in records(folder)["metrics"].splitlines()][-1]
    assert last["spikes_differing"] == 0
    assert min(last["accuracy"]) > 0.8
    assert last["scores_alone"] > 0.8
    assert set(last["owners"]) == {"features", "expert 0", "expert 1"}

    class StopError(Exception):
        pass

    def stop(share):
        if share > 0.55:
            raise StopError

    with pytest.raises(StopError):
        run(experiment, tmp_path / "two", stop)
    again = run(experiment, tmp_path / "two")
    assert records(again) == records(folder)


def test_without_boundaries_every_sample_of_a_known_label_is_in_the_sums_once(stream):
    made = learner(
        hidden(stream), "stream.boundaries=false", "grow.window=64", "train.batch=10",
        "grow.rounds=1",
    )  # fmt: skip
    made.meet(stream.batches(10))
    assert len(made.experts) == 5
    lost = sum(len(task.train) for task in stream.tasks) - made.scored.seen
    # Batches before a new task is noticed, and the first of its labels.
    assert 0 <= lost < 0.25 * made.scored.seen
    assert made.scored.written > 0.4 * made.scored.seen
