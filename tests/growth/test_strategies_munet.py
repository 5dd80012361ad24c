import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import lif, tiny

from growth.encode import regular_rate
from growth.host import Unlimited
from growth.measure import in_torch, shown
from growth.strategies import MuNet
from growth.strategies.munet import RATES, Path
from growth.streams import digits, limited, split
from mosaic_sim.errors import ConfigError, MosaicError

pytestmark = pytest.mark.slow  # training, and no other strategy rests on it

FEW = ("options.children=2",)


@pytest.fixture(scope="module")
def stream():
    stream = limited(split(digits(0), ((0, 1), (2, 3), (4, 5))), 0, 96, 60)
    return replace(stream, identity=True)


def made(stream, *changed, seed=0):
    experiment = tiny("naive", "strategy=munet", "stream.identity=true", *FEW, *changed)
    return MuNet(experiment, stream, Unlimited(), seed)


def taught(stream, *changed, tasks=3, seed=0):
    learner = made(stream, *changed, seed=seed)
    for task in stream.tasks[:tasks]:
        learner.learn(task)
    return learner


def served(learner, identity):
    return [torch.from_numpy(c.weight) for c in learner.blueprint(identity).connections]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def correct(learner, task):
    scores = learner.scores(in_torch(shown(learner.experiment, task.test)), task.identity)
    return (scores.argmax(1) == task.test_labels).mean()


def test_nothing_is_forgotten_to_the_bit(stream):
    learner = made(stream, "options.mutation=0.5")
    kept, right = [], []
    for task in stream.tasks:
        learner.learn(task)
        kept.append([w.clone() for w in served(learner, task.identity)])
        right.append(correct(learner, task))
    for number, task in enumerate(stream.tasks):
        assert same(served(learner, number), kept[number])
        assert correct(learner, task) == right[number]
    assert len({path.components for path in learner.paths.values()}) == 3


def test_tasks_are_learnt(stream):
    learner = taught(stream, "train.epochs=8", "hidden=24")
    assert np.mean([correct(learner, task) for task in stream.tasks]) > 0.9


def test_layers_are_shared_without_mutation_and_copied_with_it(stream):
    shared = taught(stream, "options.mutation=0.0")
    first, second, third = (shared.paths[t].components for t in range(3))
    assert first[0] == second[0] == third[0] not in shared.root.components
    assert len({first[1], second[1], third[1]}) == 3
    assert torch.equal(served(shared, 0)[0], served(shared, 2)[0])
    copied = taught(stream, "options.mutation=1.0")
    assert len({copied.paths[t].components[0] for t in range(3)}) == 3


def test_a_frozen_layer_is_not_trained_and_a_new_one_is(stream):
    learner = taught(stream, tasks=1)
    parent = learner.paths[0]
    before = {c: [w.clone() for w in x.values()] for c, x in learner.components.items()}
    learner.options = learner.options.model_copy(update={"mutation": 0.0})
    learner.learn(stream.tasks[1])
    child = learner.paths[1]
    assert child.components[0] == parent.components[0]
    for c, weights in before.items():
        assert same(list(learner.components[c].values()), weights)
    head = learner.components[child.components[1]]["w1"]
    root = learner.components[learner.root.components[1]]["w1"]
    assert not torch.equal(head, root)


def test_a_head_starts_from_the_first_path_unless_the_parent_is_of_the_same_task(stream):
    learner = taught(stream, tasks=1)
    starts = []
    write = learner.write
    learner.write = lambda layers, new: (starts.append((layers, new)), write(layers, new))
    learner.learn(stream.tasks[1])
    learner.learn(replace(stream.tasks[0], number=2))
    root = learner.components[1]["w1"]
    assert torch.equal(starts[0][0][1]["w1"], root)
    assert starts[0][1][-1]
    again = learner.paths[0].components[1]
    assert not torch.equal(starts[-1][0][1]["w1"], root) or again == 1


def test_devices_are_shared_out_among_the_tasks_that_use_them(stream):
    learner = made(stream)
    learner.paths = {0: Path((5, 6), 2), 1: Path((5, 7), 2), 2: Path((8, 7), 2)}
    layer, head = learner.components[0], learner.components[1]
    learner.components |= {5: layer, 8: layer, 9: layer, 6: head, 7: head}
    total = 12 * 64 + 10 * 12
    # layer 5: tasks 0 and 1; head 7: tasks 1 and 2
    assert learner.accounted(Path((5, 6), 2), 0) == pytest.approx((384 + 120) / total)
    assert learner.accounted(Path((5, 7), 2), 3) == pytest.approx((256 + 40) / total)
    assert learner.accounted(Path((9, 6), 2), 0) == pytest.approx(1)


def test_energy_is_the_share_of_synaptic_events(stream):
    learner = taught(stream, tasks=1)
    inputs = stream.tasks[0].test_inputs[:20]
    given = regular_rate(inputs, 8).transpose(1, 0, 2).astype(np.float32)
    learner.held = torch.from_numpy(given), torch.zeros(20, dtype=torch.int64)
    hidden = lif(given @ served(learner, 0)[0].numpy().T, 0.9)
    assert hidden.any()
    expected = (given.sum() * 12 + hidden.sum() * 10) / (8 * 20 * (64 * 12 + 12 * 10))
    assert learner.energy(learner.paths[0]) == pytest.approx(expected, rel=1e-5)


def test_the_score_prices_devices_and_energy(stream):
    learner = made(
        stream, "options.base=0.5", "options.energy_base=0.25", "options.children=1"
    )
    noted = []
    learner.energy = lambda path: noted.append(path) or 0.5
    learner.learn(stream.tasks[0])
    path = learner.paths[0]
    # a whole network of its own, and half of all events
    assert path.score == pytest.approx(path.quality * 0.5 * 0.25**0.5)
    assert path.components == noted[0].components
    assert 0 < path.quality <= 1


def test_a_price_on_devices_makes_tasks_share(stream):
    settings = ("options.children=4", "options.mutation=0.3", "options.energy_base=1.0")
    cheap, dear = (
        taught(stream, f"options.base={base}", *settings) for base in (1.0, 0.001)
    )
    devices = [
        sum(w.numel() for c in {c for p in x.paths.values() for c in p.components}
            for w in x.components[c].values())
        for x in (cheap, dear)
    ]  # fmt: skip
    assert devices[1] < devices[0]


def test_quality_is_of_samples_held_back_at_the_best_look(stream):
    learner = made(stream, "options.children=1", "options.validations=3")
    seen, held = [], []
    fit = learner.fit

    def noting(samples, *rest):
        seen.append(samples)
        held.append(learner.held)
        fit(samples, *rest)

    learner.fit = noting
    task = stream.tasks[0]
    learner.learn(task)
    assert len(seen[0]) == 77
    assert held[0][0].shape[1] == 19
    rows = lambda inputs: {row.tobytes() for row in inputs}  # noqa: E731
    assert not rows(seen[0].inputs) & rows(task.test_inputs)
    assert len(learner.found) == 3
    assert learner.paths[0].quality == max(quality for quality, _ in learner.found)
    best = next(x for q, x in learner.found if q == learner.paths[0].quality)
    assert same(served(learner, 0), [w for layer in best for w in layer.values()])
    weights = [w.numpy() for w in served(learner, 0)]
    fired = lif(lif(held[0][0].numpy() @ weights[0].T, 0.9) @ weights[1].T, 0.9)
    said = fired.sum(0).argmax(1)
    assert (said == held[0][1].numpy()).mean() == pytest.approx(learner.paths[0].quality)


def test_of_equal_looks_and_paths_the_longer_trained_one_stays(stream):
    learner = made(
        stream, "options.validations=3", "options.base=1", "options.energy_base=1"
    )
    write, starts = learner.write, []
    learner.write = lambda layers, new: (starts.append(layers), write(layers, new))
    stepped = learner.stepped

    def alike():
        stepped()
        learner.found = [(0.5, layers) for _, layers in learner.found]

    learner.stepped = alike
    learner.learn(stream.tasks[0])
    assert len(learner.found) == 3
    last = [w for layer in learner.found[-1][1] for w in layer.values()]
    assert same(served(learner, 0), last)
    # The second child continues the first one, not the first path.
    assert not torch.equal(starts[1][0]["w0"], starts[0][0]["w0"])


def test_the_learning_rate_is_the_childs(stream):
    learner = made(stream)
    learner.rate = 4.0
    (group,) = learner.optimiser().param_groups
    assert group["lr"] == pytest.approx(4 * learner.experiment.train.learning_rate)
    rates = set()
    for seed in range(4):
        one = taught(stream, "options.mutation=1.0", "train.epochs=1", tasks=1, seed=seed)
        rates.add(RATES[one.paths[0].rate])
    assert len(rates) > 1


def test_parents_are_taken_best_first_and_ever_more_rarely(stream):
    learner = made(stream)
    good, bad, other = (
        Path((0, 2), 2, score=0.9),
        Path((0, 3), 2, score=0.5),
        Path((0, 4), 2),
    )
    assert learner.choose([], [], {}) is learner.root
    assert learner.choose([bad, good], [other], {}) is good
    taken = [learner.choose([bad, good], [other], {good.components: 2}) for _ in range(400)]
    assert taken.count(good) == pytest.approx(100, abs=35)
    assert taken.count(bad) == 400 - taken.count(good)


def test_what_no_path_uses_is_dropped(stream):
    learner = taught(stream, "options.children=4")
    used = {c for p in (learner.root, *learner.paths.values()) for c in p.components}
    assert set(learner.components) == used


def test_ledger_counts_what_does_not_serve_the_last_task(stream):
    learner = taught(stream, "options.mutation=0.0", tasks=2)
    # one shared layer and a head for each task; that of the last is on the chip
    assert {s.name: s.bits for s in learner.ledger()} == {
        "components": 4 * 120, "paths": 16 * 2 * 2, "seed of the first path": 64,
    }  # fmt: skip


@pytest.mark.parametrize("cell", ["lif", "relu"])
def test_goes_on_bit_for_bit_from_its_state(stream, cell):
    settings = (f"cell={cell}", "train.loss=ce_count")
    one = taught(stream, *settings, tasks=2)
    file = io.BytesIO()
    torch.save(one.state(), file)
    file.seek(0)
    other = made(stream, *settings, seed=9)
    other.load_state(torch.load(file, weights_only=True))
    for learner in (one, other):
        learner.learn(stream.tasks[2])
    assert one.paths == other.paths
    for identity in range(3):
        assert same(served(one, identity), served(other, identity))


def test_a_task_that_returns_starts_from_its_own_path(stream):
    learner = taught(stream, tasks=2)
    before, path = served(learner, 1), learner.paths[0]
    learner.learn(replace(stream.tasks[0], number=2))
    assert list(learner.paths) == [0, 1]
    assert learner.paths[0].score >= path.score
    assert same(served(learner, 1), before)


def test_too_few_samples_to_hold_any_back_are_refused(stream):
    task = stream.tasks[0]
    with pytest.raises(MosaicError, match="has 1 training samples"):
        made(stream).learn(replace(task, train=task.train.take([0])))


@pytest.mark.parametrize(
    "changed", ["options.children=0", "options.base=0.0", "options.mutation=1.1"]
)
def test_options_out_of_range_are_refused(changed, stream):
    with pytest.raises(ConfigError, match="options"):
        made(stream, changed)
