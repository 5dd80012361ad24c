"""Large chips, full chips: who is weighed, and what happens to a task without room."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from test_where import budgets, problems
from tiny import quiet, records, run, tiny

from growth.bridge import make_host
from growth.host import Offer, Unlimited
from growth.learner import run_seed
from growth.runs import RunFolder
from growth.strategies import Grow
from growth.streams import split
from growth.where import POLICIES, Choice, Prices, Request, choose, predicted, weigh
from growth.where.bound import most

PAIRS = [[0, 1], [2, 3], [4, 5]]
SMALL = ("chip.rows=1", "chip.columns=1", "chip.neurons_per_tile=30", "gate.prototypes=6")


# --- who is weighed ----------------------------------------------------------------------


@given(problems(), budgets)
def test_no_tile_does_better_than_its_bound(problem, left):
    request, tiles, prices = problem
    for offer, bound in zip(tiles, most(request, tiles, prices), strict=True):
        choice = weigh(request, offer, prices, left)
        if isinstance(choice, Choice):
            assert choice.benefit - choice.price <= bound


def one_tile(bring):
    """A tile with room, at these prices of lines and of nothing else."""
    lines = len(bring)
    zero, none = np.zeros(3), np.zeros((lines, 3))
    paid = np.column_stack([bring, none[:, :2]])
    there = np.zeros(lines, bool)
    return Offer(0, 9, lines, there, paid, none, zero, zero, zero, 9, 0.0)


def test_at_price_0_the_bound_is_the_benefit_of_all_lines():
    matrix = np.random.default_rng(0).normal(size=(3, 6))
    request = Request(matrix, leverage=0.1, loss=2.0)
    tile = one_tile(np.ones(6))
    (bound,) = most(request, [tile], Prices())
    assert bound == pytest.approx(weigh(request, tile, Prices()).benefit, abs=1e-8)


def test_the_bound_holds_where_the_best_lines_are_not_those_of_the_best_ratio():
    """Line 0 brings more for its price, line 1 alone is best."""
    request = Request(np.array([[1.0, 3.0**0.5]]), leverage=1.0, loss=3.0)
    tile, prices = one_tile([0.325, 1.0]), Prices(joules=1.0)
    (bound,) = most(request, [tile], prices)
    alone = {
        name: predicted(request, gain) - price
        for name, gain, price in (("0", 1, 0.325), ("1", 3, 1.0), ("both", 4, 1.325))
    }
    assert max(alone, key=alone.get) == "1"
    assert bound >= alone["1"]


@given(problems(), budgets)
def test_pruning_changes_no_decision(problem, left):
    request, tiles, prices = problem
    pruned = choose(request, tiles, prices, left=left)
    plain = replace(POLICIES["price"], by_account=False)
    whole = choose(request, tiles, prices, left=left, policy=plain)
    assert type(pruned) is type(whole)
    if isinstance(whole, Choice):
        assert (pruned.tile, pruned.neurons, pruned.cost, pruned.benefit) == (
            whole.tile, whole.neurons, whole.cost, whole.benefit,
        )  # fmt: skip
        assert np.array_equal(pruned.reads, whole.reads)
    else:
        assert pruned == whole


@pytest.fixture(scope="module")
def large(stream):
    """A learner on 32 x 32 tiles before its first task."""
    experiment = tiny("grow", "chip.rows=32", "chip.columns=32",
                      "grow.loss_per_nanojoule=1e-4")  # fmt: skip
    return Grow(experiment, stream, make_host(experiment), 0)


def test_of_a_thousand_tiles_few_are_weighed(large, stream, monkeypatch):
    task, seen = stream.tasks[0], []
    need = large.need(large.trial(task.classes), task, large.window(task))

    def noted(request, offer, *args):
        seen.append(offer.tile)
        return weigh(request, offer, *args)

    monkeypatch.setattr(sys.modules["growth.where.choose"], "weigh", noted)
    choice = large.choice(task, need, 1.0, large.offers(task, None), outputs=2, gates=10)
    assert isinstance(choice, Choice)
    assert choice.pays
    assert 0 < len(seen) < 200


# --- without room ------------------------------------------------------------------------


def full_run(root, full, *settings):
    return run(
        tiny("grow", "stream.classes=[[0,1],[2,3],[4,5]]", *SMALL, f"grow.full={full}",
             *settings),
        root,
    )  # fmt: skip


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Three tasks on one tile, which has room for two experts and little more, by what is done."""
    root = tmp_path_factory.mktemp("full")
    return {name: full_run(root, name) for name in ("end", "refuse", "reuse")}


def rows(folder, kind="metrics"):
    return folder.seed(0).lines(kind)


def actions(folder, task):
    return [d["action"] for d in rows(folder, "growth") if d["task"] == task]


def test_by_default_the_run_ends_with_the_task_that_has_no_room(full):
    assert rows(full["end"])[-1] == {"task": 2, "ended": "no tile with room for task 2"}


def test_a_refused_task_is_said_to_be_and_leaves_the_others_as_they_were(full):
    folder = full["refuse"]
    assert actions(folder, 2) == ["no tile with room"]
    before, after = rows(folder)[1:]
    assert "ended" not in after
    assert after["accuracy"][:2] == before["accuracy"][:2]
    assert after["accuracy"][2] == 0
    assert after["neurons"] == before["neurons"]
    assert rows(folder, "cost")[-1]["writes"] == 0


def test_a_task_without_room_is_taken_up_by_the_nearest_expert(full):
    folder = full["reuse"]
    found = actions(folder, 2)
    assert found[:2] == ["no tile with room", "make do"]
    assert found.count("new output") == 2
    assert "new expert" not in found
    before, after = rows(folder)[1:]
    assert after["accuracy"][2] > 0.2  # refused, it is 0
    assert after["neurons"] > before["neurons"]


@pytest.mark.parametrize("name", ["end", "refuse", "reuse"])
def test_a_full_chip_never_holds_more_than_it_has_room_for(full, name):
    folder = full[name]
    assert max(row["neurons"] for row in rows(folder) if "neurons" in row) <= 30
    assert all(row["tiles"] <= 1 for row in rows(folder) if "tiles" in row)


def test_making_do_protects_what_was_learnt(data):
    stream = split(data, PAIRS)
    experiment = tiny("grow", *SMALL, "grow.full=reuse")
    learner = Grow(experiment, stream, make_host(experiment), 0)
    for task in stream.tasks[:2]:
        learner.learn(task, quiet)
    before = [
        (e.into_hidden.detach().clone(), e.into_out.detach().clone())
        for e in learner.experts
    ]
    learner.learn(stream.tasks[2], quiet)
    assert "make do" in [d.action for d in learner.decisions]
    for expert, (incoming, outgoing) in zip(learner.experts, before, strict=True):
        hidden, classes = incoming.shape[0], outgoing.shape[0]
        assert torch.equal(expert.into_hidden[:hidden], incoming)
        assert torch.equal(expert.into_out[:classes, :hidden], outgoing)
        assert not expert.into_hidden.requires_grad


def test_without_an_expert_nobody_can_make_do(data):
    stream = split(data, PAIRS)
    experiment = tiny("grow", *SMALL, "chip.neurons_per_tile=4", "grow.full=reuse")
    learner = Grow(experiment, stream, make_host(experiment), 0)
    learner.learn(stream.tasks[0], quiet)
    assert [d.action for d in learner.decisions] == ["no tile with room"]
    assert not learner.ready


def test_with_room_nobody_makes_do(stream):
    learner = Grow(tiny("grow", "grow.full=reuse"), stream, Unlimited(), 0)
    for task in stream.tasks[:2]:
        learner.learn(task, quiet)
    assert "make do" not in [d.action for d in learner.decisions]


def test_a_run_killed_on_a_full_chip_resumes_to_the_same_bytes(full, tmp_path):
    folder = full["reuse"]
    again = RunFolder.create(tmp_path, folder.experiment)
    done = 0

    def dies(share):
        nonlocal done
        done = share
        if share > 0.68:  # in the task that has no room
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_seed(folder.experiment, 0, again.seed(0), dies)
    assert done > 0.68
    run_seed(folder.experiment, 0, again.seed(0), quiet)
    assert records(again) == records(folder)
