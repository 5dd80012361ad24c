"""When the growing learner opens experts for tasks that are told."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from growth.host import Unlimited
from growth.samples import Samples
from growth.strategies import Grow
from growth.streams import limited, permuted


@pytest.fixture(scope="module")
def two(data):
    """Two permutations of ten digits."""
    return limited(permuted(data, 2, seed=0), 0, 300)


@pytest.fixture
def taught(two):
    """A learner that knows the first of them, and to which gradients say little."""
    experiment = tiny.tiny("grow", "train.epochs=5", "grow.rounds=3", "grow.window=200")
    learner = Grow(experiment, two, Unlimited(), 0)
    learner.learn(two.tasks[0], tiny.quiet)
    measured = learner.need
    learner.need = lambda *given: replace(measured(*given), z=1.0)
    return learner


def looked(learner, task):
    learner.look(task, learner.window(task))
    return learner.decisions[-1]


def test_an_expert_that_is_wrong_about_new_inputs_does_not_serve_them(taught, two):
    decision = looked(taught, two.tasks[1])
    assert decision.evidence["need_z"] == 1.0
    assert decision.evidence["missed"] > 3
    assert decision.action == "new expert"


def test_what_was_learnt_is_known_again(taught, two):
    assert looked(taught, two.tasks[0]).action == "none"


def test_new_inputs_whose_labels_mean_nothing_open_nothing(taught, two):
    task = two.tasks[1]
    dealt = np.random.default_rng(0).permutation(task.train_labels)
    decision = looked(taught, replace(task, train=Samples.of(task.train_inputs, dealt)))
    assert decision.evidence["missed"] == 0
    assert decision.action == "reuse"


def test_without_the_loss_it_would_have_served_them(taught, two):
    taught.missed = lambda *given: 0.0
    assert looked(taught, two.tasks[1]).action == "reuse"


def test_what_an_expert_came_to_is_on_the_ledger_and_in_the_checkpoint(taught, two):
    assert {s.name: s.bits for s in taught.ledger()}["loss when learnt"] == 64
    other = Grow(taught.experiment, two, taught.host, 0)
    other.load_state(taught.state())
    assert other.handled == taught.handled == {0: pytest.approx(taught.handled[0])}
