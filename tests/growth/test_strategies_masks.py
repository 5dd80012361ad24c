import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as entropy_of
from tiny import quiet, records, run, tiny

from growth.host import Unlimited
from growth.measure import in_torch, shown
from growth.meter import levels_of
from growth.samples import join
from growth.strategies import STRATEGIES, refuse_stream
from growth.strategies.masks import (
    fresh_scores,
    mask_of,
    scores_of,
)
from growth.strategies.supsup_entropy import entropy
from growth.streams import mixed, permuted
from mosaic_sim.errors import ConfigError, MosaicError

MASKED = ("supsup", "supsup-entropy", "supsup-oneshot", "exssnet", "route-masks")
ISOLATED = (*MASKED, "lora")
ALL = (*ISOLATED, "tiers")
CELLS = ("lif", pytest.param("relu", marks=pytest.mark.slow))

every = pytest.mark.parametrize("name", ALL)
both_cells = pytest.mark.parametrize("cell", CELLS)


@pytest.fixture(scope="module")
def pairs(stream):
    """Three tasks of two digits, 60 samples each, whose identity is told."""
    tasks = tuple(
        replace(t, train=t.train.take(range(60)), test=t.test.take(range(30)))
        for t in stream.tasks[:3]
    )
    return replace(stream, tasks=tasks, identity=True)


def made(name, stream, *options, seed=0):
    base = (
        f'strategy="{name}"',
        "stream.identity=true",
        "hidden=[12,10]",
        "train.batch=10",
    )
    return STRATEGIES[name](tiny("naive", *base, *options), stream, Unlimited(), seed)


def learnt(name, stream, tasks, *options, seed=0):
    learner = made(name, stream, *options, seed=seed)
    for task in stream.tasks[:tasks]:
        learner.learn(task, quiet)
    return learner


def weights_of(blueprint):
    return [torch.from_numpy(c.weight) for c in blueprint.connections]


def serve_of(learner, task):
    return in_torch(shown(learner.experiment, task.test))


def levels(blueprint):
    return np.concatenate([levels_of(w, 16).numpy().ravel() for w in weights_of(blueprint)])


def encoded(learner, samples):
    return learner.encode(torch.from_numpy(samples.inputs))


# --- masks -------------------------------------------------------------------------------


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(0, 99), st.floats(0.01, 1)
)  # fmt: skip
def test_masks_keep_what_is_positive_or_what_is_largest(rows, columns, seed, density):
    scores = fresh_scores((rows, columns), torch.Generator().manual_seed(seed))
    assert np.array_equal(mask_of(scores).numpy(), scores.numpy() >= 0)
    kept = mask_of(scores, density).numpy()
    assert kept.sum() == max(1, round(density * rows * columns))
    size = np.abs(scores.numpy())
    assert size[kept].min() >= size[~kept].max(initial=0)


@given(st.integers(0, 99), st.sampled_from([None, 0.1, 0.5]))
def test_scores_made_from_a_mask_give_the_mask_and_keep_their_sizes(seed, density):
    generator = torch.Generator().manual_seed(seed)
    mask = mask_of(fresh_scores((5, 7), generator), density)
    fresh = fresh_scores((5, 7), generator)
    scores = scores_of(mask, fresh, density)
    assert torch.equal(mask_of(scores, density), mask)
    assert torch.equal(
        scores.abs().flatten().sort().values, fresh.abs().flatten().sort().values
    )


def test_fresh_scores_are_uniform_up_to_one_by_the_root_of_the_fan_in():
    scores = fresh_scores((300, 100), torch.Generator().manual_seed(0))
    assert float(scores.abs().max()) == pytest.approx(0.1, rel=1e-3)
    assert float(scores.std()) == pytest.approx(0.1 / 3**0.5, rel=0.02)


@both_cells
@pytest.mark.parametrize("kind", ["threshold", "density"])
def test_the_gradient_of_scores_is_that_of_the_mask(pairs, cell, kind):
    learner = made("supsup", pairs, f'cell="{cell}"', f'options.masks="{kind}"')
    task = pairs.tasks[0]
    learner.begin(task)
    x, y = encoded(learner, task.train), torch.from_numpy(task.train.labels)
    learner.loss(x, y).backward()
    leaves = {
        name: mask_of(s, learner.density).float().requires_grad_(True)
        for name, s in learner.learning.items()
    }
    weights = {name: learner.net.weights[name] * leaf for name, leaf in leaves.items()}
    learner.criterion(learner.net(x, weights), y).backward()
    for name, leaf in leaves.items():
        score = learner.learning[name]
        wanted = leaf.grad if kind == "threshold" else leaf.grad * score.detach().sign()
        assert wanted.abs().sum() > 0
        assert torch.allclose(score.grad, wanted, atol=1e-7)


def test_weights_of_supermasks_are_of_one_size_and_never_learn(pairs):
    for options, share in (
        ((), 1.0),
        (('options.masks="density"', "options.density=0.25"), 0.25),
    ):
        learner = made("supsup", pairs, *options)
        before = {name: w.clone() for name, w in learner.net.weights.items()}
        for w in before.values():
            size = (2 / (share * w.shape[1])) ** 0.5
            assert np.allclose(w.abs(), size)
            assert 0.3 < float((w > 0).float().mean()) < 0.7
        learner.learn(pairs.tasks[0], quiet)
        assert all(torch.equal(w, before[name]) for name, w in learner.net.weights.items())


# --- every strategy ----------------------------------------------------------------------


@both_cells
@every
def test_a_learner_that_was_stored_goes_on_as_if_it_had_not_been(name, cell, pairs):
    options = [f'cell="{cell}"', "train.weight_decay=0.001"]
    options += ['options.start="similar"'] if name == "supsup" else []
    learner = learnt(name, pairs, 2, *options)
    file = io.BytesIO()
    torch.save(learner.state(), file)
    file.seek(0)
    again = made(name, pairs, *options, seed=5)
    again.load_state(torch.load(file, weights_only=True))
    assert again.ledger() == learner.ledger()
    for one in (learner, again):
        one.learn(pairs.tasks[2], quiet)
        one.learn(pairs.tasks[0], quiet)
    assert again.decisions == learner.decisions
    assert again.meter.to_dict() == learner.meter.to_dict()
    for identity in (0, 1, 2):
        ours, theirs = (weights_of(one.blueprint(identity)) for one in (learner, again))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    serve = serve_of(learner, pairs.tasks[1])
    assert np.array_equal(learner.scores(serve, 1), again.scores(serve, 1))


@both_cells
@pytest.mark.parametrize("name", ISOLATED)
def test_what_serves_a_task_never_changes_when_another_is_learnt(name, cell, pairs):
    momentum = ('train.optimiser="sgd"', "train.momentum=0.9", "train.weight_decay=0.01")
    for options in ((), momentum):
        learner = made(name, pairs, f'cell="{cell}"', *options)

        def serving(number, learner=learner):
            under = getattr(learner, "under", learner.blueprint)
            return weights_of(under(number))

        seen = {}
        for task in (*pairs.tasks, pairs.tasks[1]):
            learner.learn(replace(task, number=len(seen)), quiet)
            for number, before in seen.items():
                if number != task.identity or name.startswith("supsup_"):
                    now = serving(number)
                    assert all(torch.equal(a, b) for a, b in zip(now, before, strict=True))
            number = len(seen) if name.startswith("supsup_") else task.identity
            seen[number] = [w.clone() for w in serving(number)]


@every
def test_every_task_is_served_on_the_same_wires(name, pairs):
    learner = learnt(name, pairs, 3)
    first = learner.blueprint(0)
    assert all(learner.blueprint(k).wired_like(first) for k in (1, 2, None))


@both_cells
@every
def test_what_is_served_is_what_was_trained(name, cell, pairs):
    learner = learnt(name, pairs, 2, f'cell="{cell}"')
    task = pairs.tasks[1]
    x = encoded(learner, task.train)
    learner.rows = torch.arange(len(task.train))
    with torch.no_grad():
        trained = learner.forward(x)
    assert torch.allclose(learner.blueprint(1).run(x)["out"], trained, atol=1e-5)
    assert trained.abs().sum() > 0


@every
def test_it_differs_from_naive_and_learns(name, pairs):
    options = ("train.epochs=8", "hidden=[30,30]")
    own = {"route-masks": ("options.tile=6",), "lora": ("options.adapter_rate=0.01",)}
    tasks = 2 if name == "lora" else 1  # whose first task is naive
    learner = learnt(name, pairs, tasks, *options, *own.get(name, ()))
    naive = learnt("naive", pairs, tasks, *options)
    task = pairs.tasks[tasks - 1]
    scores, theirs = (
        one.scores(serve_of(one, task), task.identity) for one in (learner, naive)
    )
    assert not np.array_equal(scores, theirs)
    assert scores.shape == (30, 10)
    assert (scores.argmax(1) == task.test.labels).mean() > 0.8


@pytest.mark.parametrize("name", ["supsup", "exssnet", "route-masks", "lora", "tiers"])
def test_it_is_refused_where_the_identity_is_hidden(name, stream, pairs):
    refuse_stream(STRATEGIES[name], name, pairs)
    with pytest.raises(MosaicError, match=r"stream\.identity = true"):
        refuse_stream(STRATEGIES[name], name, stream)


@pytest.mark.parametrize("name", ["supsup-entropy", "supsup-oneshot"])
def test_it_needs_no_identity(name, stream):
    refuse_stream(STRATEGIES[name], name, stream)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("supsup", "density=0"),
        ("supsup", "density=1.5"),
        ("supsup", 'start="other"'),
        ("supsup", "looks=0"),
        ("supsup", "similar_above=1.1"),
        ("supsup", "score_rate=0"),
        ("supsup", "extra=-1"),
        ("supsup-oneshot", "normalise=true"),
        ("exssnet", "normalise=true"),
        ("supsup-oneshot", 'objective="F"'),
        ("exssnet", "neighbours=0"),
        ("exssnet", "look_share=0"),
        ("exssnet", 'start="similar"'),
        ("route-masks", "tile=0"),
        ("route-masks", "out_tile=0"),
        ("tiers", "frozen=-1"),
        ("tiers", "task_rate=0"),
        ("lora", "rank=0"),
        ("lora", "scale=0"),
    ],
)
def test_options_out_of_range_are_refused_by_name(name, option, pairs):
    with pytest.raises(ConfigError, match=f"options.{option.partition('=')[0]}"):
        made(name, pairs, f"options.{option}")


# --- supsup ------------------------------------------------------------------------------


def test_overlap_and_flips_of_decisions_are_those_of_the_masks(pairs):
    learner = learnt("supsup", pairs, 3, "hidden=[40,40]")
    assert [d.evidence["start"] for d in learner.decisions] == ["fresh"] * 3
    found = learner.decisions[2].evidence["overlap"]
    assert set(found) == {"0", "1"}
    a, b = learner.masks[1]["w0"].numpy(), learner.masks[2]["w0"].numpy()
    layer = found["1"]["layers"]["w0"]
    assert layer["jaccard"] == (a & b).sum() / (a | b).sum()
    assert abs(layer["z"]) < 4  # fresh starts: chance
    switched = levels(learner.blueprint(1)) != levels(learner.blueprint(2))
    assert found["1"]["flips"] == switched.sum()


def test_the_same_start_leaves_masks_alike_and_stores_no_scores(pairs):
    options = ("hidden=[40,40]", 'options.start="same"')
    learner = learnt("supsup", pairs, 2, *options)
    found = learner.decisions[1].evidence["overlap"]["0"]["layers"]["w0"]
    assert found["z"] > 20
    weights = sum(w.numel() for w in learner.net.weights.values())
    assert sum(s.bits for s in learner.ledger()) == 2 * weights + 64


def test_the_similar_start_copies_the_scores_of_the_nearest_mean_rates(data):
    stream = replace(permuted(data, 4, 0), identity=True)
    stream = replace(stream, tasks=(*stream.tasks[:3], stream.tasks[1]))
    parts = [range(60), range(60), range(60), range(60, 120)]
    tasks = [
        replace(t, number=k, identity=k, train=t.train.take(parts[k]))
        for k, t in enumerate(stream.tasks)
    ]
    learner = made("supsup", stream, 'options.start="similar"')
    for task in tasks[:3]:
        learner.learn(task, quiet)
    before = {name: s.clone() for name, s in learner.earlier[1].items()}
    learner.begin(tasks[3])
    assert learner.evidence["copied"] == 1
    assert all(torch.equal(s, before[name]) for name, s in learner.learning.items())
    # The same by hand: mean spikes of hidden neurons under a mask that nobody trained.
    weights = {
        n: w * (learner.common[n] >= 0) for n, w in learner.net.weights.items()
    }  # fmt: skip
    rates = []
    for task in tasks:
        layers = learner.net.activity(encoded(learner, task.train), weights)
        rates.append(np.concatenate([x.sum((0, 1)).numpy() / 60 for x in layers[:-1]]))
    for k in range(3):
        cosine = rates[3] @ rates[k] / np.linalg.norm(rates[3]) / np.linalg.norm(rates[k])
        assert learner.evidence["cosines"][str(k)] == pytest.approx(cosine, rel=1e-4)


def test_the_similar_start_does_not_look_at_labels_and_may_find_nobody(pairs):
    learner = learnt(
        "supsup", pairs, 1, 'options.start="similar"', "options.similar_above=1"
    )
    task = pairs.tasks[1]
    learner.begin(task)
    assert learner.evidence["start"] == "fresh"
    assert learner.meter.shown == 60 + 120  # the first task twice, and one look at it
    other = learnt(
        "supsup", pairs, 1, 'options.start="similar"', "options.similar_above=-1"
    )
    other.begin(replace(task, train=task.train.relabelled(task.train.labels[::-1])))
    assert other.evidence["copied"] == 0
    assert other.evidence["cosines"] == learner.evidence["cosines"]


def test_the_oracle_copies_the_scores_of_least_loss(pairs):
    learner = learnt("supsup", pairs, 2, 'options.start="oracle"')
    task = pairs.tasks[2]
    learner.begin(task)
    x, y = encoded(learner, task.train), torch.from_numpy(task.train.labels)
    losses = {
        k: float(learner.criterion(learner.blueprint(k).run(x)["out"], y)) for k in (0, 1)
    }
    assert learner.evidence["copied"] == min(losses, key=losses.get)
    assert learner.evidence["losses"] == pytest.approx(
        {str(k): v for k, v in losses.items()}
    )


def test_the_random_start_copies_any_earlier_scores(pairs):
    seen = set()
    for seed in range(8):
        learner = learnt(
            "supsup", pairs, 2, 'options.start="random"', "train.epochs=1", seed=seed
        )
        learner.begin(pairs.tasks[2])
        seen.add(learner.evidence["copied"])
        copied = learner.earlier[learner.evidence["copied"]]
        assert all(torch.equal(s, copied[n]) for n, s in learner.learning.items())
    assert seen == {0, 1}


@pytest.mark.parametrize("kind", ["threshold", "density"])
def test_a_task_that_comes_back_goes_on_from_its_mask(pairs, kind):
    learner = learnt("supsup", pairs, 2, f'options.masks="{kind}"')
    learner.begin(replace(pairs.tasks[0], number=2))
    assert learner.evidence["start"] == "own mask"
    begun = learner.masks_of(learner.learning)
    assert all(torch.equal(mask, learner.masks[0][n]) for n, mask in begun.items())


def test_scores_have_a_rate_of_their_own(pairs):
    moved = {}
    for rate in (0.001, 0.01):
        learner = made("supsup", pairs, f"options.score_rate={rate}", "train.batch=60")
        learner.begin(pairs.tasks[0])
        before = learner.learning["w0"].detach().clone()
        learner.fit(pairs.tasks[0].train, 1, quiet)
        moved[rate] = float((learner.learning["w0"].detach() - before).abs().max())
    assert moved[0.01] == pytest.approx(10 * moved[0.001], rel=0.05)  # Adam's first step


# --- without identity ----------------------------------------------------------------------


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=6))
def test_entropy_is_that_of_the_softmax(outputs):
    values = np.array([outputs])
    share = np.exp(values - values.max())
    assert entropy(values)[0] == pytest.approx(entropy_of(share[0]), abs=1e-9)


@both_cells
def test_the_mask_of_least_entropy_answers_each_sample(pairs, cell):
    learner = learnt("supsup-entropy", pairs, 3, f'cell="{cell}"', "options.extra=4")
    serve = in_torch(shown(learner.experiment, join([t.test for t in pairs.tasks])))
    calls = []
    counted = replace(serve, run=lambda b, g: calls.append(len(g)) or serve.run(b, g))
    scores = learner.scores(counted)
    assert calls == [90, 90, 90]
    outs = [serve(learner.under(k))["out"] for k in (0, 1, 2)]
    for n in range(90):
        found = [
            entropy_of(np.exp(out[n] - out[n].max(), dtype=np.float64)) for out in outs
        ]
        best = int(np.argmin(np.round(found, 12)))
        assert found[learner.taken_for[n]] == pytest.approx(found[best], abs=1e-9)
        assert np.array_equal(scores[n], outs[learner.taken_for[n]][n, :10])
    assert len(set(learner.taken_for.tolist())) > 1


@both_cells
@pytest.mark.parametrize("objective", ["H", "G"])
def test_the_slope_is_the_gradient_of_each_samples_own_superposition(
    pairs, cell, objective
):
    learner = learnt(
        "supsup-oneshot", pairs, 3, f'cell="{cell}"', f'options.objective="{objective}"'
    )
    x = encoded(learner, join([t.test for t in pairs.tasks]).take(range(0, 90, 9)))
    alpha = torch.rand(10, 3, generator=torch.Generator().manual_seed(0))
    slope = learner.slope(x, alpha)
    assert (slope != 0).any(1).float().mean() > 0.8  # a rectified network may be silent
    for n in range(10):
        own = alpha[n].clone().requires_grad_(True)
        weights = {
            name: w * sum(own[k] * learner.masks[k][name] for k in range(3))
            for name, w in learner.net.weights.items()
            if w.ndim == 2
        }
        outputs = learner.net(x[:, n : n + 1], weights).sum(0)[0]
        if objective == "H":
            share = outputs.softmax(0)
            value = -(share * share.log()).sum()
        else:
            value = torch.cat([outputs[:10].detach(), outputs[10:]]).logsumexp(0)
        value.backward()
        assert torch.allclose(slope[n], own.grad, rtol=1e-3, atol=1e-5)


def test_one_shot_takes_the_steepest_mask_and_halving_the_last_one_left(pairs):
    learner = learnt("supsup-oneshot", pairs, 3)
    learner.masks[3] = learner.masks_of(learner.draw())
    x = encoded(learner, join([t.test for t in pairs.tasks]))
    even = learner.slope(x, torch.full((90, 4), 0.25))
    assert np.array_equal(learner.choose(x), even.argmin(1).numpy())
    learner.options = learner.options.model_copy(update={"search": "halving"})
    halves = learner.choose(x)
    for n in range(0, 90, 7):
        better = even[n].argsort()[:2].tolist()
        alpha = torch.zeros(1, 4)
        alpha[0, better] = 0.5
        slope = learner.slope(x[:, n : n + 1], alpha)[0]
        assert halves[n] == min(better, key=lambda k: float(slope[k]))
    assert not np.array_equal(halves, learner.choose(x)) or len(set(halves)) > 1


def test_one_shot_runs_every_sample_once_under_its_mask(pairs):
    learner = learnt("supsup-oneshot", pairs, 3)
    serve = in_torch(shown(learner.experiment, join([t.test for t in pairs.tasks])))
    calls = []
    counted = replace(serve, run=lambda b, g: calls.append(len(g)) or serve.run(b, g))
    scores = learner.scores(counted)
    assert sum(calls) == 90
    assert len(calls) == len(set(learner.taken_for.tolist())) > 1
    for n in range(90):
        out = serve(learner.under(int(learner.taken_for[n])))["out"]
        assert np.array_equal(scores[n], out[n, :10])


def test_one_shot_finds_tasks_that_look_unlike(data):
    stream = permuted(data, 2, 0)
    small = [
        replace(t, train=t.train.take(range(300)), test=t.test.take(range(100)))
        for t in stream.tasks
    ]
    stream = replace(stream, tasks=tuple(small))
    learner = learnt(
        "supsup-oneshot", stream, 2, 'cell="relu"', "hidden=[60,60]", "options.extra=20",
        'train.loss="ce_count"', "train.epochs=5",
    )  # fmt: skip
    test = join([t.test for t in stream.tasks])
    learner.scores(in_torch(shown(learner.experiment, test)))
    assert (learner.taken_for == test.tasks).mean() > 0.7


def test_g_without_extra_outputs_is_refused(pairs):
    with pytest.raises(ConfigError, match="extra"):
        made("supsup-oneshot", pairs, 'options.objective="G"', "options.extra=0")


def test_the_share_of_found_identities_is_recorded(tmp_path):
    settings_ = ('strategy="supsup-entropy"', 'cell="relu"', "train.epochs=1")
    experiment = tiny("naive", *settings_)
    rows = records(run(experiment, tmp_path))["metrics"].splitlines()
    assert b'"identity_hits": 1.0' in rows[0]
    assert b'"identity_hits": 0.' in rows[1]


# --- exssnet -----------------------------------------------------------------------------


def test_only_weights_in_the_mask_and_in_no_other_learn(pairs):
    learner = made("exssnet", pairs, "options.transfer=none", "options.density=0.4")
    taken = {
        n: torch.zeros(w.shape, dtype=torch.bool) for n, w in learner.connections.items()
    }
    for k, task in enumerate(pairs.tasks):
        before = {n: w.detach().clone() for n, w in learner.connections.items()}
        learner.learn(task, quiet)
        for n, mask in learner.masks[k].items():
            changed = learner.connections[n].detach() != before[n]
            own = mask & ~taken[n]
            assert not changed[~own].any()
            assert learner.decisions[k].evidence["exclusive"][n] == pytest.approx(
                float(own.sum() / mask.sum())
            )
            taken[n] |= mask
        assert (learner.connections["w1"].detach() != before["w1"]).any()
    bits = {s.name: s.bits for s in learner.ledger()}
    assert bits["trained weights"] == 4 * sum(int(t.sum()) for t in taken.values())
    assert "scores" not in bits


def test_neighbours_are_those_of_the_last_hidden_layer(pairs):
    learner = learnt("exssnet", pairs, 1, 'cell="relu"', "options.neighbours=1")
    samples = pairs.tasks[1].train
    for _ in range(4):
        learner.masks[0] = learner.masks_of(learner.draw())
        values = learner.blueprint(0).run(encoded(learner, samples))["layer 2"][0].numpy()
        right = 0
        for n in range(40, 60):
            near = np.argmin(((values[:40] - values[n]) ** 2).sum(1))
            right += samples.labels[near] == samples.labels[n]
        found = learner.neighbours_right(learner.masks[0], samples)
        assert found == pytest.approx(right / 20)


def test_the_best_neighbour_starts_a_task_unless_it_is_no_better_than_chance(
    pairs, monkeypatch
):
    learner = learnt("exssnet", pairs, 2, "options.look_share=1")
    shares = {0: 0.6, 1: 0.7}
    monkeypatch.setattr(
        learner,
        "neighbours_right",
        lambda masks, samples: next(
            s for k, s in shares.items() if masks is learner.masks[k]
        ),
    )
    start = learner.start(pairs.tasks[2], 2)
    assert learner.evidence["copied"] == 1
    copied = {n: torch.equal(s, learner.earlier[1][n]) for n, s in start.items()}
    assert copied == {"w0": True, "w1": True, "w2": False}  # outputs start fresh
    shares[1] = shares[0] = 0.5
    learner.start(pairs.tasks[2], 2)
    assert learner.evidence["start"] == "fresh"
    learner.options = learner.options.model_copy(update={"transfer": "mean"})
    start = learner.start(pairs.tasks[2], 2)
    both = (learner.earlier[0]["w1"] + learner.earlier[1]["w1"]) / 2
    assert torch.allclose(start["w1"], both)


def test_exclusive_subnetworks_learn_in_two_phases(pairs):
    shares = []
    learner = made("exssnet", pairs)
    learner.learn(pairs.tasks[0], shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert learner.meter.updates == 2 * 2 * 6


# --- route masks -------------------------------------------------------------------------


def test_neurons_of_a_block_share_their_lines(pairs):
    learner = learnt("route-masks", pairs, 2, "options.tile=4", "options.out_tile=3")
    assert {n: tuple(s.shape) for n, s in learner.masks[0].items()} == {
        "w0": (3, 64), "w1": (3, 12), "w2": (4, 10),
    }  # fmt: skip
    for (name, mask), size in zip(learner.masks[1].items(), (4, 4, 3), strict=True):
        weight = weights_of(learner.blueprint(1))[int(name[1:])]
        for j in range(weight.shape[0]):
            assert torch.equal(weight[j] != 0, mask[j // size])
    bits = {s.name: s.bits for s in learner.ledger()}
    assert bits["masks"] == 2 * (3 * 64 + 3 * 12 + 4 * 10)


def test_scores_of_lines_have_the_summed_gradient_of_their_block(pairs):
    learner = made("route-masks", pairs, "options.tile=5")
    learner.begin(pairs.tasks[0])
    x, y = (
        encoded(learner, pairs.tasks[0].train),
        torch.from_numpy(pairs.tasks[0].train.labels),
    )
    learner.loss(x, y).backward()
    masks = learner.masks_of(learner.learning)
    weights = {n: w.clone().requires_grad_(True) for n, w in learner.masked(masks).items()}
    learner.criterion(learner.net(x, weights), y).backward()
    by_mask = weights["w0"].grad * learner.net.weights["w0"]
    wanted = torch.stack([by_mask[0:5].sum(0), by_mask[5:10].sum(0), by_mask[10:12].sum(0)])
    assert torch.allclose(learner.learning["w0"].grad, wanted, atol=1e-6)


def test_routing_bits_and_changed_weights_of_a_switch_are_counted(pairs):
    learner = learnt("route-masks", pairs, 3)
    evidence = learner.decisions[2].evidence
    a, b = learner.masks[1], learner.masks[2]
    assert evidence["routing_bits"] == sum(int((a[n] != b[n]).sum()) for n in a)
    changed = (levels(learner.blueprint(1)) != levels(learner.blueprint(2))).sum()
    assert evidence["weights_changed"] == changed > evidence["routing_bits"]


# --- tiers -------------------------------------------------------------------------------


def test_tiers_learn_each_at_its_rate(pairs):
    learner = made("tiers", pairs, "options.common_rate=1e-4", "train.batch=60")
    before = {n: w.detach().clone() for n, w in learner.net.weights.items()}
    learner.begin(pairs.tasks[0])
    learner.fit(pairs.tasks[0].train, 1, quiet)
    moved = {n: (w.detach() - before[n]).abs() for n, w in learner.weights_of(0).items()}
    assert float(moved["w0"].max()) == 0
    assert float(moved["w1"].max()) == pytest.approx(1e-4, rel=0.01)  # Adam's first step
    assert float(moved["w2"].max()) == pytest.approx(1e-2, rel=0.01)


@both_cells
def test_layers_of_a_task_are_its_own_and_start_alike(pairs, cell):
    learner = learnt("tiers", pairs, 1, f'cell="{cell}"')
    kept = {n: w.detach().clone() for n, w in learner.copies[0].items()}
    assert set(kept) == ({"w2"} if cell == "lif" else {"w2", "b2"})
    learner.begin(pairs.tasks[1])
    assert all(torch.equal(w, learner.net.weights[n]) for n, w in learner.copies[1].items())
    learner.learn(pairs.tasks[1], quiet)
    assert all(torch.equal(w, kept[n]) for n, w in learner.copies[0].items())
    assert not torch.equal(learner.copies[1]["w2"], learner.copies[0]["w2"])
    (stored,) = learner.ledger()
    assert stored.bits == 2 * 4 * (100 + (10 if cell == "relu" else 0))


def test_without_a_common_rate_nothing_is_forgotten(pairs):
    learner = made("tiers", pairs, "options.common_rate=0")
    learner.learn(pairs.tasks[0], quiet)
    before = weights_of(learner.blueprint(0))
    learner.learn(pairs.tasks[1], quiet)
    assert all(map(torch.equal, before, weights_of(learner.blueprint(0))))


def test_in_a_mixed_stream_every_sample_passes_its_own_layers(pairs):
    stream = mixed(pairs, 0)
    learner = learnt("tiers", stream, 1)
    assert set(learner.copies) == {0, 1, 2}
    train = stream.tasks[0].train
    learner.rows = torch.arange(5, 40)
    found = learner.forward(encoded(learner, train.take(range(5, 40))))
    for n, owner in enumerate(train.tasks[5:40]):
        own = learner.blueprint(int(owner)).run(encoded(learner, train.take([5 + n])))[
            "out"
        ]
        assert torch.equal(found[:, n], own[:, 0])


def test_a_tier_for_the_tasks_has_to_be_left(pairs):
    with pytest.raises(ConfigError, match="one at least must be left"):
        made("tiers", pairs, "options.frozen=2", "options.common=1")
    assert made("tiers", pairs, "hidden=[9]").shared == 1  # nothing in between is common


# --- lora --------------------------------------------------------------------------------


@both_cells
def test_a_task_adds_a_change_of_low_rank_to_the_first_network(pairs, cell):
    learner = learnt(
        "lora", pairs, 3, f'cell="{cell}"', "options.rank=2", "options.scale=0.5"
    )
    assert learner.adapters[0] == {}
    for k in (1, 2):
        adapter = {n: f.detach().numpy() for n, f in learner.adapters[k].items()}
        merged = learner.merged(k)
        for layer in (0, 1):
            first = learner.net.weights[f"w{layer}"].detach().numpy()
            wanted = first + 0.5 * adapter[f"c{layer}"] @ adapter[f"a{layer}"]
            assert np.allclose(merged[f"w{layer}"].detach(), wanted, atol=1e-6)
            change = wanted - first
            assert np.linalg.matrix_rank(change, tol=1e-5) == 2
        assert torch.equal(merged["w2"], learner.adapters[k]["w2"])
    adapters = 2 * (2 * (64 + 12) + 2 * (12 + 10) + 100 + (10 if cell == "relu" else 0))
    first = 64 * 12 + 12 * 10 + 10 * 10 + (32 if cell == "relu" else 0)
    assert sum(s.bits for s in learner.ledger()) == 32 * (adapters + first)


def test_a_new_adapter_changes_nothing_and_the_first_network_stays(pairs):
    learner = learnt("lora", pairs, 1, 'options.outputs="adapted"')
    first = {n: w.detach().clone() for n, w in learner.net.weights.items()}
    learner.begin(pairs.tasks[1])
    assert all(torch.equal(w, first[n]) for n, w in learner.merged(1).items())
    learner.learn(pairs.tasks[1], quiet)
    assert all(torch.equal(w, first[n]) for n, w in learner.net.weights.items())
    assert not torch.equal(learner.merged(1)["w2"], first["w2"])


def test_the_rank_is_no_more_than_a_layer_has(pairs):
    learner = made("lora", pairs, "options.rank=50", 'options.outputs="adapted"')
    shapes = {n: tuple(f.shape) for n, f in learner.new_adapter().items()}
    assert shapes["a0"] == (12, 64)
    assert shapes["c2"] == (10, 10)


# --- batch normalisation -------------------------------------------------------------------


class Published(torch.nn.Module):
    """The net of the supermask dissertation, from PyTorch's own layers."""

    def __init__(self, learner):
        super().__init__()
        self.weights = [learner.net.weights[f"w{k}"] for k in range(3)]
        self.scores = torch.nn.ParameterList(
            [scores.detach().clone() for scores in learner.learning.values()]
        )
        self.norms = torch.nn.ModuleList(
            [torch.nn.BatchNorm1d(n, affine=False) for n in learner.net.sizes[1:-1]]
        )

    def forward(self, x):
        for k, (weight, scores) in enumerate(zip(self.weights, self.scores, strict=True)):
            mask = (scores >= 0).float() + scores - scores.detach()
            x = torch.nn.functional.linear(x, weight * mask)
            if k < len(self.norms):
                x = self.norms[k](x).relu()
        return x


NORMALISED = (
    "options.normalise=true", "options.extra=3", "cell=relu", "train.loss=ce_count",
    "train.optimiser=sgd", "train.learning_rate=0.5",
)  # fmt: skip


def test_normalised_masks_learn_as_the_published_network_does(pairs):
    learner = made("supsup", pairs, *NORMALISED)
    task = pairs.tasks[0]
    learner.begin(task)
    published = Published(learner)
    ours = learner.optimiser()
    theirs = torch.optim.SGD(published.scores, 0.5)
    inputs = torch.from_numpy(task.train.inputs)
    labels = torch.from_numpy(task.train.labels)
    for rows in torch.arange(60).split(13):
        learner.rows = rows
        theirs.zero_grad()
        given = inputs[rows].float()
        torch.nn.functional.cross_entropy(published(given), labels[rows]).backward()
        theirs.step()
        learner.step(ours, inputs[rows], labels[rows])
        # A step at a time: a score that lies at 0 but for rounding turns its mask over.
        for mine, other in zip(learner.learning.values(), published.scores, strict=True):
            torch.testing.assert_close(mine.detach(), other.detach(), rtol=1e-4, atol=1e-5)
            other.data.copy_(mine.detach())
    for k, norm in enumerate(published.norms):
        torch.testing.assert_close(learner.running[f"m{k}"], norm.running_mean)
        torch.testing.assert_close(learner.running[f"v{k}"], norm.running_var)
    learner.end(task)
    published.eval()
    said = learner.scores(serve_of(learner, task), task.identity)
    wanted = published(torch.from_numpy(task.test.inputs).float()).detach()
    np.testing.assert_allclose(said, wanted[:, : pairs.labels], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", ["lif", "relu"])
@pytest.mark.parametrize("name", ["supsup", "supsup-entropy", "route-masks"])
def test_a_normalised_network_is_drawn_with_each_task_s_own_statistics(name, cell, pairs):
    learner = learnt(
        name, pairs, 2, "options.normalise=true", f"cell={cell}", "train.loss=ce_count"
    )
    first, second = (learner.statistics[key] for key in (0, 1))
    assert not torch.equal(first["m0"], second["m0"])
    given = encoded(learner, pairs.tasks[0].test)
    for key in (0, 1):
        drawn = learner.under(key).run(given)["out"]
        torch.testing.assert_close(
            drawn, learner.net(given, learner.known(key)), rtol=1e-3, atol=1e-3
        )
    stored = {s.name: s.bits for s in learner.ledger()}
    assert stored["means and variances"] == 2 * 2 * 16 * (12 + 10)


def test_normalised_currents_have_mean_0_and_variance_1(pairs):
    learner = made("supsup", pairs, *NORMALISED)
    given = encoded(learner, pairs.tasks[0].train)
    hidden = learner.net.layers(given, learner.masked(learner.masks_of(learner.common)))[0]
    assert float(hidden.current.mean().abs()) < 1e-5
    silent = hidden.current.var((0, 1), correction=0) < 0.5
    assert not bool(silent.any())


def test_similar_means_lead_to_an_earlier_mask(pairs):
    learner = learnt(
        "supsup",
        pairs,
        2,
        *NORMALISED,
        'options.start="similar"',
        "options.similar_above=-1",
    )
    evidence = learner.decisions[-1].evidence
    assert evidence["copied"] == 0
    assert -1 <= evidence["cosines"]["0"] < 0.99


def test_rmsprop_is_torch_s(pairs):
    made_here = made("supsup", pairs, "train.optimiser=rmsprop", "train.momentum=0.5")
    made_here.begin(pairs.tasks[0])
    optimiser = made_here.optimiser()
    assert isinstance(optimiser, torch.optim.RMSprop)
    assert (optimiser.defaults["alpha"], optimiser.defaults["momentum"]) == (0.99, 0.5)
