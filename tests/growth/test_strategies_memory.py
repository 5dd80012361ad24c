"""Strategies that keep exemplars, against plain oracles."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from classics import both_cells, made, moved, setting, some, taught, weights
from hypothesis import example, given, settings
from hypothesis import strategies as st

from growth.host import Unlimited
from growth.measure import in_torch, shown
from growth.strategies import STRATEGIES, refuse_stream
from growth.strategies.exemplars import Exemplars
from growth.strategies.gem import project
from growth.strategies.gradients import flat, put
from growth.strategies.icarl import herd
from mosaic_sim.errors import MosaicError

# --- exemplars ---------------------------------------------------------------------------

parts = st.lists(st.lists(st.integers(0, 3), max_size=9), min_size=1, max_size=6)


@given(parts, st.integers(1, 12), st.booleans(), st.integers(0, 99))
@example([[0, 1, 0, 0, 0], [1]], 3, True, 0)  # the older of the first group is given up
@settings(max_examples=60)
def test_the_memory_keeps_the_best_of_each_group_however_samples_come(
    parts, size, balanced, seed
):
    labels = [label for part in parts for label in part]
    rng = np.random.default_rng(seed)
    priority = rng.permutation(len(labels)).astype(float)
    memory, start = Exemplars(size, balanced=balanced), 0
    for part in parts:
        index = np.arange(start, start + len(part))
        start += len(part)
        memory.offer(
            torch.Generator(), inputs=torch.tensor(index).reshape(-1, 1),
            labels=torch.tensor(part, dtype=torch.int64),
            priority=torch.tensor(priority[index], dtype=torch.float64),
        )  # fmt: skip
    ranked = sorted(range(len(labels)), key=lambda k: -priority[k])
    if balanced:
        # Oracle: one to each group in turn, until nothing is left or the memory is full.
        came = sorted(set(labels))
        queues = {g: [k for k in ranked if labels[k] == g] for g in came}
        wanted = []
        while len(wanted) < min(size, len(labels)):
            for group in came:
                if queues[group] and len(wanted) < size:
                    wanted.append(queues[group].pop(0))
    else:
        wanted = ranked[:size]
    kept = memory.kept["inputs"][:, 0].tolist() if len(memory) else []
    assert kept == sorted(wanted)


def test_every_sample_is_as_likely_to_stay_as_any_other():
    stayed = np.zeros(30)
    rng = torch.Generator().manual_seed(0)
    for _ in range(400):
        memory = Exemplars(10)
        for part in torch.arange(30).split(7):
            memory.offer(rng, inputs=part[:, None], labels=part)
        stayed[memory.kept["labels"].numpy()] += 1
    # A binomial of 400 draws with 1/3: standard deviation 9.4.
    assert stayed.sum() == 4000
    assert abs(stayed - 400 / 3).max() < 4 * 9.4


def test_a_draw_has_no_sample_twice_and_all_of_a_small_memory():
    memory, rng = Exemplars(5), torch.Generator().manual_seed(1)
    memory.offer(rng, inputs=torch.arange(5)[:, None], labels=torch.arange(5))
    assert sorted(memory.draw(9, rng)["labels"].tolist()) == [0, 1, 2, 3, 4]
    assert len(set(memory.draw(3, rng)["labels"].tolist())) == 3


def test_a_memory_without_room_is_refused():
    with pytest.raises(MosaicError, match="room for at least 1"):
        Exemplars(0)


def test_replay_mixes_as_many_old_samples_into_a_batch(pair):
    replay = made("replay", pair, "options.memory=20")
    inputs, labels = torch.zeros(6, 64, dtype=torch.float64), torch.full((6,), 9)
    assert replay.batch(inputs, labels)[0] is inputs
    replay.learn(pair.tasks[0])
    mixed, told = replay.batch(inputs, labels)
    assert told[:6].tolist() == [9] * 6
    assert mixed.shape == (12, 64)
    assert set(told[6:].tolist()) <= {0, 1}
    inside = {tuple(row) for row in pair.tasks[0].train_inputs.tolist()}
    assert {tuple(row) for row in mixed[6:].tolist()} <= inside
    fewer = made("replay", pair, "options.batch=2")
    fewer.learn(pair.tasks[0])
    assert len(fewer.batch(inputs, labels)[1]) == 8


@pytest.mark.parametrize(
    ("balance", "counts"),
    [("task", [10, 10]), ("class", [5, 5, 5, 5])],
)
def test_replay_gives_each_the_same_room(balance, counts, pair):
    replay = taught("replay", pair, f"options.balance={balance}")
    labels = replay.memory.kept["labels"]
    per_label = [(labels == k).sum().item() for k in range(4)]
    found = (
        per_label
        if balance == "class"
        else [
            per_label[0] + per_label[1],
            per_label[2] + per_label[3],
        ]
    )
    assert found == counts


@pytest.mark.parametrize("name", ["replay", "derpp"])
def test_a_reservoir_needs_no_boundaries(name, pair):
    stream = replace(pair, boundaries=False)
    refuse_stream(STRATEGIES[name], name, stream)
    strategy = STRATEGIES[name](setting(name), stream, Unlimited(), 0)
    strategy.meet(stream.batches(16))
    labels = strategy.memory.kept["labels"]
    assert len(labels) == 20
    assert (labels < 2).any()
    assert (labels >= 2).any()


def test_room_for_each_task_needs_boundaries(pair):
    stream = replace(pair, boundaries=False)
    with pytest.raises(MosaicError, match=r"options\.balance"):
        STRATEGIES["replay"](
            setting("replay", "options.balance=task"), stream, Unlimited(), 0
        )


# --- GEM, A-GEM --------------------------------------------------------------------------

vectors = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def nearest_by_trying(gradient, earlier, margin):
    """Oracle: every set of earlier tasks that may be at the bound, solved as equations."""
    tasks = len(earlier)
    best, value = None, np.inf
    gram, linear = earlier @ earlier.T, earlier @ gradient
    for size in range(tasks + 1):
        for free in map(list, itertools.combinations(range(tasks), size)):
            v = np.full(tasks, float(margin))
            held = [k for k in range(tasks) if k not in free]
            if free:
                right = -linear[free] - gram[np.ix_(free, held)] @ v[held]
                v[free] = np.linalg.solve(gram[np.ix_(free, free)], right)
            if (v >= margin - 1e-12).all():
                found = np.square(gradient + v @ earlier).sum()
                if found < value:
                    best, value = gradient + v @ earlier, found
    return best


@given(vectors, st.integers(1, 5), st.sampled_from([0.0, 0.5]))
@settings(max_examples=80)
def test_the_projection_is_the_best_of_all_sets_of_bounds(rng, tasks, margin):
    earlier = rng.normal(size=(tasks, 8)) + rng.normal(size=8)
    gradient = rng.normal(size=8) - 2 * earlier.mean(0) * rng.integers(0, 2)
    found = project(gradient, earlier, margin)
    np.testing.assert_allclose(
        found, nearest_by_trying(gradient, earlier, margin), atol=1e-8
    )
    if margin == 0:
        assert (earlier @ found > -1e-9).all()


@given(vectors, st.floats(1e-3, 10.0))
def test_a_ridge_is_what_it_adds_to_the_diagonal(rng, ridge):
    earlier, gradient = rng.normal(size=(1, 6)), rng.normal(size=6)
    v = max(0.5, -(earlier[0] @ gradient) / (earlier[0] @ earlier[0] + ridge))
    found = project(gradient, earlier, 0.5, ridge)
    np.testing.assert_allclose(found, gradient + v * earlier[0], atol=1e-9)


@pytest.mark.parametrize("earlier", [np.zeros((2, 4)), np.ones((3, 4))])
def test_the_projection_survives_equal_and_empty_gradients(earlier):
    found = project(np.array([-1.0, -1.0, 0.0, 1.0]), earlier)
    assert np.isfinite(found).all()
    assert (earlier @ found > -1e-9).all()


def conflicting(name, stream, *more):
    """A strategy after two tasks, with a gradient that raises the loss of its exemplars."""
    strategy = taught(name, stream, *more)
    weights = strategy.net.weights
    put(-strategy.earlier().sum(0), weights)
    before = flat(w.grad for w in weights.values()).clone()
    strategy.grads(None, None)
    return strategy, before, flat(w.grad for w in weights.values())


@both_cells
def test_no_step_of_gem_raises_the_loss_of_an_earlier_task(cell, pair):
    gem, before, after = conflicting("gem", pair, f"cell={cell}", "options.margin=0")
    earlier = gem.earlier()
    assert earlier.shape[0] == 2
    assert (earlier @ before).min() < -1e-6
    assert (earlier @ after).min() > -1e-4 * (earlier @ before).abs().max()


def test_gem_turns_a_gradient_that_one_task_alone_objects_to(pair):
    gem = taught("gem", pair, "options.margin=0")
    first, second = gem.earlier()
    # Down the loss of the one as far as it does not touch the other, and up that of the other.
    across = first - (first @ second) / (second @ second) * second
    own = across - 0.1 * second / second.norm() * across.norm()
    assert own @ first > 0 > own @ second
    put(own, gem.net.weights)
    gem.grads(None, None)
    after = flat(w.grad for w in gem.net.weights.values())
    torch.testing.assert_close(after, across, atol=1e-5 * across.abs().max().item(), rtol=0)


@pytest.mark.parametrize("name", ["gem", "agem"])
def test_a_gradient_that_agrees_is_left_alone(name, pair):
    strategy = taught(name, pair, "options.sample=20" if name == "agem" else "name=t")
    put(strategy.earlier().sum(0), strategy.net.weights)
    before = flat(w.grad for w in strategy.net.weights.values()).clone()
    strategy.grads(None, None)
    assert torch.equal(flat(w.grad for w in strategy.net.weights.values()), before)


def test_a_step_of_agem_keeps_the_mean_loss_of_exemplars(pair):
    agem, before, after = conflicting("agem", pair, "options.sample=20")
    (reference,) = agem.earlier()
    assert reference @ before < -1e-6
    assert abs(reference @ after) < 1e-4 * abs(reference @ before)
    # What is left is the part of the gradient across the reference.
    change = after - before
    cosine = change @ reference / change.norm() / reference.norm()
    assert cosine.item() == pytest.approx(1, abs=1e-4)


def test_gem_keeps_the_same_share_of_each_task(pair):
    gem = taught("gem", pair)
    assert gem.memory.kept["groups"].tolist() == [0] * 10 + [1] * 10
    assert gem.memory.kept["labels"][:10].max() < 2 <= gem.memory.kept["labels"][10:].min()
    first = {tuple(row) for row in pair.tasks[0].train_inputs[:10].tolist()}
    kept = {tuple(row) for row in gem.memory.kept["inputs"][:10].tolist()}
    assert kept != first  # chosen at random
    with pytest.raises(MosaicError, match=r"memory is 1, 0 exemplars for each of the 2"):
        made("gem", pair, "options.memory=1")


# --- iCaRL -------------------------------------------------------------------------------


@given(vectors, st.integers(1, 9))
def test_herding_is_greedy_about_the_mean(rng, samples):
    features = rng.integers(-8, 9, size=(samples, 3)) / 4
    count = int(rng.integers(0, samples + 1))
    mean, chosen = features.mean(0), []
    for k in range(count):
        ways = {
            j: ((mean - (features[chosen].sum(0) + features[j]) / (k + 1)) ** 2).sum()
            for j in range(samples)
            if j not in chosen
        }
        chosen.append(min(ways, key=ways.get))
    assert herd(features, count).tolist() == chosen


def test_herding_refuses_more_than_there_are():
    with pytest.raises(MosaicError, match="3 samples allow 0 to 3"):
        herd(np.zeros((3, 2)), 4)


@both_cells
def test_icarl_answers_with_the_nearest_mean_of_exemplars(cell, pair):
    icarl = taught("icarl", pair, f"cell={cell}", "train.epochs=3")
    test = pair.tasks[1].test
    fired = []

    def serve(blueprint):
        fired.append(in_torch(shown(icarl.experiment, test))(blueprint))
        return fired[-1]

    scores = icarl.scores(serve)
    kept = icarl.memory.kept

    def unit(rows):
        return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)

    own = unit(
        icarl.net.activity(icarl.encode(kept["inputs"]))[1].sum(0).detach().double().numpy()
    )
    features = unit(fired[0]["layer 2"].astype(float))
    for label in range(10):
        of_label = own[kept["labels"].numpy() == label]
        if label > 3:
            assert not len(of_label)
            assert np.isneginf(scores[:, label]).all()
        else:
            mean = unit(of_label.mean(0))
            wanted = -np.linalg.norm(features - mean, axis=1)
            np.testing.assert_allclose(scores[:, label], wanted, atol=1e-3)
    assert (scores.argmax(1) == test.labels).mean() > 0.7


def test_icarl_tells_old_outputs_what_they_said_and_others_their_label(pair):
    icarl = made("icarl", pair, "cell=relu")
    icarl.learn(pair.tasks[0])
    before = weights(icarl)
    icarl.begin(pair.tasks[1])
    moved(icarl, 0.3, 0)
    spikes, labels = some(pair.tasks[1], 7, icarl)
    z, old = (icarl.net(spikes, use)[0].detach().double().numpy() for use in (None, before))
    wanted = np.eye(10)[labels]
    wanted[:, :2] = 1 / (1 + np.exp(-old[:, :2]))
    p = 1 / (1 + np.exp(-z))
    loss = -(wanted * np.log(p) + (1 - wanted) * np.log(1 - p)).mean()
    assert icarl.loss(spikes, labels).item() == pytest.approx(loss, rel=1e-4)


def test_spiking_outputs_of_icarl_are_told_counts(pair):
    icarl = made("icarl", pair, "train.correct_rate=0.9", "train.incorrect_rate=0.2")
    icarl.learn(pair.tasks[0])
    before = weights(icarl)
    icarl.begin(pair.tasks[1])
    moved(icarl, 0.3, 0)
    spikes, labels = some(pair.tasks[1], 7, icarl)
    z, old = (
        icarl.net(spikes, use).sum(0).detach().double().numpy() for use in (None, before)
    )
    wanted = np.where(np.eye(10)[labels] > 0, 0.9 * 6, 0.2 * 6)
    wanted[:, :2] = old[:, :2]
    assert icarl.loss(spikes, labels).item() == pytest.approx(
        ((z - wanted) ** 2).mean() / 6, rel=1e-4
    )


def test_exemplars_of_icarl_are_the_first_that_were_herded(pair):
    icarl = taught("icarl", pair, "cell=relu", "options.memory=20")
    assert torch.bincount(icarl.memory.kept["labels"]).tolist() == [5, 5, 5, 5]
    task = pair.tasks[1]
    own = task.train_inputs[task.train_labels == 2]
    features = icarl.features(torch.from_numpy(own)).double().numpy()
    wanted = own[herd(features, 5)]
    kept = icarl.memory.kept["inputs"][icarl.memory.kept["labels"] == 2].numpy()
    assert {tuple(row) for row in kept} == {tuple(row) for row in wanted}


def test_icarl_needs_a_hidden_layer(pair):
    with pytest.raises(MosaicError, match="hidden is empty"):
        made("icarl", pair, "hidden=[]")


# --- DER++ -------------------------------------------------------------------------------


@both_cells
def test_the_loss_of_derpp_has_its_three_terms(cell, pair):
    der = taught("derpp", pair, f"cell={cell}", "options.alpha=0.3", "options.beta=0.6")
    inputs = torch.from_numpy(pair.tasks[1].train_inputs[:5])
    labels = torch.from_numpy(pair.tasks[1].train_labels[:5])
    mixed, told = der.batch(inputs, labels)
    assert len(mixed) == 15
    first, second = der.drawn
    total = der.loss(der.encode(mixed), told).item()
    steps = 1 if cell == "relu" else 6

    def counts(rows):
        return der.net(der.encode(rows)).detach()

    z = counts(first["inputs"]).sum(0)
    wanted = (
        der.criterion(counts(inputs), labels)
        + 0.3 * ((z - first["logits"]) ** 2).mean() / steps
        + 0.6 * der.criterion(counts(second["inputs"]), second["labels"])
    )
    assert (z - first["logits"]).abs().max() > 0
    assert total == pytest.approx(float(wanted), rel=1e-4)


def test_exemplars_of_derpp_keep_the_answers_of_their_time(pair):
    der = made("derpp", pair)
    inputs = torch.from_numpy(pair.tasks[0].train_inputs[:8])
    labels = torch.from_numpy(pair.tasks[0].train_labels[:8])
    then = der.net(der.encode(inputs)).sum(0).detach()
    der.step(der.optimiser(), inputs, labels)
    moved(der, 0.3, 0)
    assert torch.equal(der.memory.kept["logits"], then)
    assert torch.equal(der.memory.kept["inputs"], inputs)
