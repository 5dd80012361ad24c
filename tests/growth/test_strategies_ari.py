import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import lif, tiny

from growth.encode import regular_rate
from growth.host import Unlimited
from growth.measure import in_torch, shown
from growth.strategies import Ari
from growth.strategies.chunked import flat
from growth.strategies.estimator import Estimator, coverage, rate_integral
from growth.streams import digits, limited, split
from mosaic_sim.errors import ConfigError, MosaicError

pytestmark = pytest.mark.slow  # training, and no other strategy rests on it

FEW = (
    "options.starts=2", "options.trained=2", "options.exemplars=10", "options.horizon=4",
    "options.epochs=60", "options.fit_steps=40", "options.tune=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def stream():
    stream = limited(split(digits(0), ((0, 1), (2, 3), (4, 5))), 0, 96, 60)
    return replace(stream, identity=True)


def made(stream, *changed, seed=0):
    experiment = tiny("naive", "strategy=ari", "stream.identity=true", *FEW, *changed)
    return Ari(experiment, stream, Unlimited(), seed)


def taught(stream, *changed, tasks=2, seed=0):
    learner = made(stream, *changed, seed=seed)
    for task in stream.tasks[:tasks]:
        learner.learn(task)
    return learner


def served(learner, identity):
    return [torch.from_numpy(c.weight) for c in learner.blueprint(identity).connections]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def counts(weights, inputs, sizes=((12, 64), (10, 12))):
    """Oracle: counts of output neurons with such weights, one after the other."""
    first, second = (w.numpy() for w in weights.split([a * b for a, b in sizes]))
    given = regular_rate(inputs.numpy(), 8).transpose(1, 0, 2).astype(np.float32)
    return lif(
        lif(given @ first.reshape(sizes[0]).T, 0.9) @ second.reshape(10, -1).T, 0.9
    ).sum(0)


# --- integral, estimator, coverage ----------------------------------------------------------


def test_the_integral_is_the_mean_accuracy_of_the_first_updates():
    assert rate_integral([0.0, 1.0, 0.5, 1.0], 3) == 0.5
    with pytest.raises(MosaicError, match=r"horizon is 5 updates, but .* makes 4"):
        rate_integral([0.0, 1.0, 0.5, 1.0], 5)


matrices = st.integers(1, 5).flatmap(
    lambda tasks: st.lists(
        st.lists(st.integers(0, 8).map(lambda k: k / 8), min_size=tasks, max_size=tasks),
        min_size=1, max_size=6,
    )
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(matrices, st.integers(1, 4))
def test_coverage_is_greedy_and_near_the_best_subset(rows, most):
    values = torch.tensor(rows, dtype=torch.float64)
    chosen = coverage(values, most, 0.0)

    def covered(subset):
        return float(values[list(subset)].amax(0).sum()) if subset else 0.0

    for k, member in enumerate(chosen):  # each was the first of the best that there were
        gains = [covered([*chosen[:k], j]) for j in range(len(rows))]
        assert gains[member] == max(gains)
        assert member == gains.index(max(gains))
    size = min(most, len(rows))
    best = max(covered(s) for s in itertools.combinations(range(len(rows)), size))
    assert covered(chosen) >= (1 - 1 / np.e) * best - 1e-9
    assert len(chosen) == len(set(chosen)) <= most


def test_coverage_keeps_a_specialist_that_a_sum_over_members_would_drop():
    values = torch.tensor(
        [[0.7, 0.7, 0.7, 0.1], [0.6, 0.7, 0.7, 0.1], [0.0, 0.0, 0.0, 0.9]]
    )
    assert sorted(coverage(values, 2, 0.0)) == [0, 2]
    assert sorted(values.sum(1).argsort(descending=True)[:2].tolist()) == [0, 1]


def test_coverage_stops_where_nothing_is_gained():
    values = torch.tensor([[0.9, 0.9], [0.9, 0.9], [0.904, 0.9]])
    assert coverage(values, 3, 0.01) == [2]
    assert coverage(torch.zeros(2, 2), 2, 0.0) == [0]


def test_the_estimator_learns_which_network_suits_which_task():
    rng = torch.Generator().manual_seed(0)
    estimator = Estimator(16, 4, rng)
    networks = torch.stack(
        [estimator.of_outputs(5 * torch.rand(8, 4, generator=rng)) for _ in range(5)]
    )
    tasks = torch.stack(
        [
            estimator.of_task(
                torch.rand(6, 16, generator=rng), torch.tensor([k, k + 1] * 3)
            )
            for k in range(3)
        ]
    )
    values = torch.rand(5, 3, generator=rng)
    rows = torch.cat(
        [estimator.rows(networks, tasks, True), estimator.rows(networks, tasks, False)]
    )
    loss = estimator.fit(rows, torch.cat([values, 1 - values]).flatten(), 400, rng)
    assert loss < 1e-3
    found = estimator.estimate(networks, tasks, True)
    np.testing.assert_allclose(found, values, atol=0.1)
    np.testing.assert_allclose(
        estimator.estimate(networks, tasks, False), 1 - values, atol=0.1
    )


def test_a_tasks_signature_has_a_projected_mean_for_each_label():
    estimator = Estimator(5, 3, torch.Generator().manual_seed(0))
    inputs, labels = torch.rand(6, 5), torch.tensor([0, 2, 2, 0, 2, 2])
    found = estimator.of_task(inputs, labels).view(3, -1)
    assert not found[1].any()
    np.testing.assert_allclose(
        found[2], inputs[labels == 2].mean(0) @ estimator.project, rtol=1e-5
    )
    still = estimator.of_task(inputs[:, None].expand(6, 7, 5), labels)
    np.testing.assert_allclose(still, found.flatten(), rtol=1e-4)


# --- the strategy ---------------------------------------------------------------------------


def test_accuracies_are_those_of_every_network_on_every_tasks_exemplars(stream):
    learner = taught(stream)
    assert [len(y) for _, y in learner.kept.values()] == [10, 10]
    pool = torch.cat([learner.zoo, learner.starts])
    found = learner.accuracies(pool)
    for (j, weights), (i, (x, y)) in itertools.product(
        enumerate(pool), enumerate(learner.kept.values())
    ):
        said = counts(weights, x).argmax(1)
        assert float(found[j, i]) == pytest.approx((said == y.numpy()).mean())


def test_the_estimator_is_fitted_to_integrals_and_to_pairs_across_tasks(stream):
    learner = made(stream)
    fits = []
    fit = learner.estimator.fit
    learner.estimator.fit = lambda rows, values, *rest: (
        fits.append((rows, values)), fit(rows, values, *rest),
    )  # fmt: skip
    for task in stream.tasks[:2]:
        learner.learn(task)
    rows, values = fits[1]
    # 2 trained for each of 2 tasks; zoo before, 2 trained, 2 starts on each of 2 tasks
    flags = rows[:, -1]
    assert flags.sum() == len(learner.values) == 4
    pairs = int((flags == 0).sum())
    assert pairs % 2 == 0
    assert pairs >= 2 * (1 + 2 + 2)
    assert torch.equal(values[:4], learner.values)
    tasks = rows[:, -1 - learner.labels * 8 : -1]
    networks = rows[flags == 0, : -1 - learner.labels * 8]
    assert len(tasks.unique(dim=0)) == 2
    assert len(networks.unique(dim=0)) * 2 <= pairs


def test_recorded_integrals_are_the_accuracy_while_training(stream):
    learner = made(stream, "options.trained=1", "options.starts=1", "train.batch=96")
    seen = []
    loss = learner.loss

    def noting(given, labels):
        said = learner.net(given).detach().sum(0).argmax(1)
        seen.append(float((said == labels).float().mean()))
        return loss(given, labels)

    learner.loss = noting
    learner.options = learner.options.model_copy(update={"horizon": 2, "tune": 0})
    learner.learn(stream.tasks[0])
    assert float(learner.values) == pytest.approx(np.mean(seen[:2]))


def test_a_horizon_beyond_training_is_refused(stream):
    with pytest.raises(MosaicError, match=r"horizon is 50 updates, .* makes 6"):
        made(stream, "options.horizon=50").learn(stream.tasks[0])


def test_what_is_estimated_to_adapt_fastest_is_trained(stream):
    learner = made(stream, "options.starts=3", "options.trained=1")
    learner.worth = lambda pool, trained=False: torch.tensor([[0.1], [0.9], [0.3]])[
        : len(pool)
    ]
    written = []
    write = learner.write
    learner.write = lambda weights: (written.append(weights.clone()), write(weights))
    learner.learn(stream.tasks[0])
    assert torch.equal(written[0], learner.starts[1])
    assert learner.roots.tolist() == [1]


def test_the_best_of_the_zoo_serves(stream):
    learner = taught(stream, "options.knowledge=weights", "options.tune=0", tasks=3)
    assert len(learner.zoo) >= 2
    worth = learner.worth(learner.zoo)
    for number in range(3):
        best = learner.zoo[worth[:, number].argmax()]
        assert torch.equal(
            flat({str(k): w for k, w in enumerate(served(learner, number))}), best
        )


def test_tuning_trains_on_exemplars_only(stream):
    learner = taught(stream, tasks=1)
    shown_to = []
    learner.fit = lambda samples, epochs: shown_to.append((samples, epochs))
    learner.serve_all()
    ((samples, epochs),) = shown_to
    assert epochs == 2
    assert torch.equal(torch.from_numpy(samples.inputs), learner.kept[0][0])


def test_tuning_that_harms_is_undone(stream):
    learner = taught(stream, "train.epochs=8", tasks=1)
    weights, (x, y) = learner.zoo[0].clone(), learner.kept[0]
    said = (counts(weights, x).argmax(1) == y.numpy()).mean()
    assert said > 0.5
    learner.fit = lambda *_: learner.write(torch.zeros_like(weights))
    assert torch.equal(learner.tuned(weights, x, y), weights)
    better = weights * 1.01
    learner.fit = lambda *_: learner.write(better)
    if (counts(better, x).argmax(1) == y.numpy()).mean() >= said:
        assert torch.equal(learner.tuned(weights, x, y), better)


def test_mixtures_lie_between_two_exemplars(stream):
    learner = made(stream)
    inputs = torch.rand(6, 64, generator=torch.Generator().manual_seed(0))
    found = learner.more(inputs)
    assert torch.equal(found[:6], inputs)
    for row in found[6:]:
        sides = [
            torch.linalg.lstsq((a - b)[:, None], (row - b)[:, None]).solution.item()
            for a, b in itertools.permutations(inputs, 2)
            if torch.allclose(
                row - b, (a - b) * ((row - b) @ (a - b) / (a - b).square().sum()), atol=1e-5
            )
        ]
        assert any(-1e-4 <= side <= 1 + 1e-4 for side in sides) or any(
            torch.allclose(row, x, atol=1e-6) for x in inputs
        )
    moving = torch.zeros(3, 8, 64, dtype=torch.bool)
    assert learner.more(moving) is moving


def test_a_network_that_stays_keeps_its_embedding(stream):
    learner = taught(stream, "options.trained=1", tasks=1)
    code = learner.codes.clone()
    learner.draw = lambda: torch.full((8,), 5.0)
    learner.consolidate = lambda server: None
    learner.learn(stream.tasks[1])
    assert len(learner.zoo) == 2
    assert any(torch.equal(row, code[0]) for row in learner.codes)
    assert any(torch.equal(row, torch.full((8,), 5.0)) for row in learner.codes)


@pytest.mark.parametrize("choose", ["estimator", "exemplars"])
def test_tasks_are_kept(stream, choose):
    learner = taught(
        stream, f"options.choose={choose}", "train.epochs=8", "options.tune=6",
        "options.fit_steps=100", "hidden=24", tasks=3,
    )  # fmt: skip
    found = []
    for task in stream.tasks:
        scores = learner.scores(
            in_torch(shown(learner.experiment, task.test)), task.identity
        )
        found.append((scores.argmax(1) == task.test_labels).mean())
    assert np.mean(found) > 0.85


def test_chance_chooses_worse_than_exemplars(stream):
    right = {}
    for choose in ("exemplars", "random"):
        learner = taught(
            stream, f"options.choose={choose}", "options.knowledge=weights",
            "options.tune=0", "train.epochs=8", tasks=3,
        )  # fmt: skip
        found = [
            (counts(learner.served[t.identity], torch.from_numpy(t.test_inputs)).argmax(1)
             == t.test_labels).mean()
            for t in stream.tasks
        ]  # fmt: skip
        right[choose] = np.mean(found)
    assert right["exemplars"] > right["random"] + 0.15


def test_generated_networks_answer_as_those_they_stand_for(stream):
    learner = taught(
        stream, "options.fit_steps=400", "options.trained=1", "options.tune=0",
        "train.epochs=8", tasks=1,
    )  # fmt: skip
    (inputs, labels) = learner.kept[0]
    again = learner.generated(0).detach()
    assert torch.equal(again, learner.zoo[0])
    assert (counts(again, inputs).argmax(1) == labels.numpy()).mean() > 0.85
    assert not torch.equal(again, learner.starts[0])


def test_small_error_of_weights_is_not_taken_for_knowledge(stream):
    """An untrained hypernetwork gives the start, close in weights, and is not as good."""
    learner = taught(stream, "options.knowledge=weights", "train.epochs=8", tasks=1)
    learner.codes = torch.zeros(len(learner.zoo), 8)
    apart = (learner.generated(0) - learner.zoo[0]).square().mean()
    assert float(apart.detach()) < 0.05
    assert not learner.agree([learner.kept[0][0]])
    learner.zoo = learner.generated(0)[None].detach()
    assert learner.agree([learner.kept[0][0]])


def test_the_baseline_has_no_zoo(stream):
    learner = taught(stream, "options.exemplars_only=true", "options.tune=20", tasks=2)
    assert not len(learner.zoo)
    assert not len(learner.values)
    assert {s.name for s in learner.ledger()} == {"exemplars", "seed of starts"}
    task = stream.tasks[0]
    said = counts(learner.served[0], torch.from_numpy(task.test_inputs)).argmax(1)
    assert (said == task.test_labels).mean() > 0.8


def test_ledger(stream):
    learner = taught(stream, "options.choose=exemplars", "options.knowledge=weights")
    weights = 12 * 64 + 10 * 12
    assert {s.name: s.bits for s in learner.ledger()} == {
        "exemplars": 2 * 10 * (64 * 8 + 4), "seed of starts": 64,
        "zoo": 4 * weights * len(learner.zoo),
    }  # fmt: skip
    learner = taught(stream, tasks=1)
    bits = {s.name: s.bits for s in learner.ledger()}
    inside = 8 * 5 + (16 * 100 + 100) + (100 * 100 + 100) + (100 * 200 + 200)
    assert bits["hypernetwork"] == 16 * (inside + 8 * len(learner.zoo))
    sizes = 8 * 10 + 8 * 10 + 1
    inside = sizes * 100 + 100 + 100 * 100 + 100 + 100 + 1
    assert bits["estimator"] == 16 * (inside + 2 * (sizes + 1))


@pytest.mark.parametrize("cell", ["lif", "relu"])
@pytest.mark.parametrize("choose", ["estimator", "random"])
def test_goes_on_bit_for_bit_from_its_state(stream, cell, choose):
    settings = (f"cell={cell}", "train.loss=ce_count", f"options.choose={choose}")
    one = taught(stream, *settings, tasks=1)
    file = io.BytesIO()
    torch.save(one.state(), file)
    file.seek(0)
    other = made(stream, *settings, seed=9)
    other.load_state(torch.load(file, weights_only=True))
    for learner in (one, other):
        learner.learn(stream.tasks[1])
    assert torch.equal(one.zoo, other.zoo)
    for identity in range(2):
        assert same(served(one, identity), served(other, identity))


@pytest.mark.parametrize(
    "changed", ["options.choose=best", "options.exemplars=0", "options.members=0"]
)
def test_options_out_of_range_are_refused(changed, stream):
    with pytest.raises(ConfigError, match="options"):
        made(stream, changed)
