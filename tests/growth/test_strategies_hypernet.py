import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import lif, tiny

from growth.host import Unlimited
from growth.measure import in_torch, shown
from growth.strategies import Hypernet, Naive
from growth.strategies.chunked import Chunked, flat, shaped
from growth.streams import digits, limited, split
from mosaic_sim.errors import ConfigError

pytestmark = pytest.mark.slow  # training, and no other strategy rests on it

SMALL = ("options.chunk=50", "options.layers=[16]", "options.embedding=4")


def hypernetwork(weights=130, chunk=50, start=0.5, seed=0, hidden=(16, 12)):
    rng = torch.Generator().manual_seed(seed)
    return Chunked(
        torch.randn(weights, generator=rng), torch.rand(weights, generator=rng),
        chunk=chunk, hidden=hidden, embedding=4, start=start, generator=rng,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stream():
    stream = limited(split(digits(0), ((0, 1), (2, 3), (4, 5))), 0, 96, 60)
    return replace(stream, identity=True)


def made(stream, *changed, kind=Hypernet, seed=0):
    name = kind.__name__.lower()
    settings = SMALL if kind is Hypernet else ()
    experiment = tiny(
        "naive", f"strategy={name}", "stream.identity=true", *settings, *changed
    )
    return kind(experiment, stream, Unlimited(), seed)


def taught(stream, *changed, tasks=3, **how):
    learner = made(stream, *changed, **how)
    for task in stream.tasks[:tasks]:
        learner.learn(task)
    return learner


def served(learner, identity):
    return [torch.from_numpy(c.weight) for c in learner.blueprint(identity).connections]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# --- the generator -----------------------------------------------------------------------


def test_weights_are_generated_chunk_by_chunk():
    """Oracle: one chunk after the other, in plain loops."""
    net = hypernetwork()
    part = {name: p.detach().numpy() for name, p in net.named_parameters()}
    code = np.array([0.5, -1.0, 2.0, 0.25], np.float32)
    expected = []
    for chunk in part["chunks"]:
        now = np.concatenate([code, chunk])
        for k in range(3):
            now = part[f"weight{k}"] @ now + part[f"bias{k}"]
            now = np.maximum(now, 0) if k < 2 else now
        expected.extend(now)
    assert len(part["chunks"]) == 3
    expected = net.origin.numpy() + net.spread.numpy() * expected[:130]
    found = net(torch.from_numpy(np.stack([0 * code, code])))
    np.testing.assert_allclose(found[1].detach(), expected, rtol=1e-5, atol=1e-6)


def test_its_size_is_that_of_the_literature():
    """35,736 with twenty embeddings of tasks, for a 784-100-100-10 network."""
    net = hypernetwork(89_400, 200, hidden=(100, 100))
    rng = torch.Generator().manual_seed(0)
    net = Chunked(
        net.origin, net.spread, chunk=200, hidden=(100, 100), embedding=8, start=0.1,
        generator=rng,
    )  # fmt: skip
    assert sum(p.numel() for p in net.parameters()) + 20 * 8 == 35_736


@pytest.mark.parametrize("hidden", [(100,), (100, 100), (60, 60, 60)])
@pytest.mark.parametrize("start", [0.1, 1.0])
def test_generated_differences_start_with_the_given_share(hidden, start):
    sizes = []
    for seed in range(20):
        net = hypernetwork(20_000, 200, start, seed, hidden)
        code = torch.randn(1, 4, generator=torch.Generator().manual_seed(seed))
        sizes.append(float(net.differences(code).detach().square().mean()))
    assert np.mean(sizes) ** 0.5 == pytest.approx(start, rel=0.25)


def test_flat_and_shaped_undo_each_other(stream):
    weights = made(stream, "cell=relu", "train.loss=ce_count").net.weights
    again = shaped(flat(weights), weights)
    assert list(again) == list(weights)
    assert all(torch.equal(again[n], weights[n]) for n in weights)


# --- the strategy ---------------------------------------------------------------------------


def test_spread_is_that_of_each_layer(stream):
    learner = made(stream)
    weights = learner.net.weights
    for name, spread in shaped(learner.hyper.spread, weights).items():
        rms = float(weights[name].detach().square().mean().sqrt())
        assert spread.unique().numpy() == pytest.approx(rms)
    origin = shaped(learner.hyper.origin, weights)
    assert torch.equal(origin["w0"], weights["w0"])
    assert not origin["w1"].any()


def test_the_penalty_is_how_far_earlier_outputs_moved(stream):
    learner = taught(stream, "options.beta=0.3", tasks=2)
    learner.begin(stream.tasks[2])

    def outputs():
        codes = [learner.embeddings[i][None] for i in (0, 1)]
        return [learner.hyper.differences(code)[0].detach() for code in codes]

    before = outputs()
    assert float(learner.penalty().detach()) == 0
    with torch.no_grad():
        for p in learner.hyper.parameters():
            p.add_(0.01)
    moved = [float((a - b).square().sum()) for a, b in zip(outputs(), before, strict=True)]
    assert float(learner.penalty().detach()) == pytest.approx(
        0.3 * sum(moved) / 2, rel=1e-4
    )
    assert sum(moved) > 0.1


def test_the_loss_is_of_the_generated_network(stream):
    learner = taught(stream, tasks=1)
    learner.begin(stream.tasks[1])
    inputs = torch.from_numpy(stream.tasks[1].train_inputs[:20])
    labels = torch.from_numpy(stream.tasks[1].train_labels[:20])
    given = learner.encode(inputs)
    weights = [w.detach().numpy() for w in learner.present().values()]
    np.testing.assert_array_equal(weights[1].any(1), [k in (2, 3) for k in range(10)])
    fired = lif(lif(given.numpy() @ weights[0].T, 0.9) @ weights[1].T, 0.9)
    expected = learner.criterion(torch.from_numpy(fired), labels)
    assert float(learner.loss(given, labels).detach()) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_gradients_reach_all_that_is_trained_and_nothing_else(stream):
    learner = taught(stream, tasks=1)
    learner.begin(stream.tasks[1])
    task = stream.tasks[1]
    given = learner.encode(torch.from_numpy(task.train_inputs))
    learner.loss(given, torch.from_numpy(task.train_labels)).backward()
    assert len(learner.groups()) == 1 + 1 + 4
    assert all(p.grad is not None and p.grad.any() for p in learner.groups())
    assert all(w.grad is None for w in learner.net.parameters())
    assert not learner.embeddings[0].requires_grad


def test_only_the_hypernetwork_and_its_embedding_change(stream):
    learner = made(stream)
    before = flat(learner.net.weights).clone()
    learner.learn(stream.tasks[0])
    first = learner.embeddings[0].clone()
    learner.learn(stream.tasks[1])
    assert torch.equal(flat(learner.net.weights), before)
    assert torch.equal(learner.embeddings[0], first)
    assert list(learner.embeddings) == [0, 1]


def test_holding_outputs_holds_what_is_served(stream):
    moved = {}
    for beta in (0.0, 10.0):
        learner = taught(stream, f"options.beta={beta}", tasks=1)
        before = served(learner, 0)
        learner.learn(stream.tasks[1])
        after = served(learner, 0)
        moved[beta] = sum(
            float((a - b).square().sum()) for a, b in zip(before, after, strict=True)
        )
    assert moved[10.0] < 0.1 * moved[0.0]


def test_a_task_that_returns_is_trained_further_and_not_held(stream):
    learner = taught(stream, tasks=2)
    known = learner.embeddings[0].clone()
    learner.begin(replace(stream.tasks[0], number=2))
    assert torch.equal(learner.embedding, known)
    assert len(learner.held[0]) == 1
    learner.learn(replace(stream.tasks[0], number=2))
    assert list(learner.embeddings) == [0, 1]
    assert not torch.equal(learner.embeddings[0], known)


def test_each_identity_is_served_its_own_on_the_same_wires(stream):
    learner = taught(
        stream, "train.epochs=20", "train.batch=16", "train.learning_rate=0.001", "hidden=24",
        "train.loss=ce_count", "options.beta=0.1", "options.layers=[32,32]",
    )  # fmt: skip
    assert learner.blueprint(0).wired_like(learner.blueprint(2))
    assert not same(served(learner, 0), served(learner, 1))
    assert same(served(learner, None), served(learner, 2))
    assert same(served(learner, 7), served(learner, 2))
    found = []
    for task in stream.tasks:
        scores = learner.scores(
            in_torch(shown(learner.experiment, task.test)), task.identity
        )
        found.append((scores.argmax(1) == task.test_labels).mean())
    assert np.mean(found) > 0.85
    plain = taught(stream, "train.epochs=8", kind=Naive)
    scores = plain.scores(in_torch(shown(plain.experiment, stream.tasks[0].test)))
    assert (scores.argmax(1) == stream.tasks[0].test_labels).mean() < 0.5


def test_the_first_embedding_lets_most_outputs_fire_now_and_then(stream):
    learner = made(stream, "train.loss=ce_count", "options.candidates=3")
    labels = torch.from_numpy(stream.tasks[0].train_labels[:50])
    right = torch.nn.functional.one_hot(labels, 10).float()
    silent, always = torch.zeros(8, 50, 10), torch.zeros(8, 50, 10)
    always[:, :, :2] = 1.0
    good = right.expand(8, -1, -1)
    poor = 1 - right.expand(8, -1, -1)  # wrong, but neither silent nor always on

    def chosen(answers):
        left = iter(answers)
        learner.generated = lambda embedding, own: embedding
        learner.net.forward = lambda given, embedding: next(left)
        learner.torch_rng.manual_seed(3)
        drawn = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))
        found = learner.first_embedding(stream.tasks[0])
        return int((drawn == found).all(1).nonzero())

    learner.own = {0: torch.arange(10) < 2}
    assert chosen([silent, good, always]) == 1
    assert chosen([silent, always, poor]) == 2
    assert chosen([poor, good, always]) == 1
    assert learner.meter.shown == 3 * 3 * 50


def test_its_learning_rate_is_a_share_of_the_configured_one(stream):
    learner = made(stream, "options.rate=0.25")
    (group,) = learner.optimiser().param_groups
    assert group["lr"] == pytest.approx(0.25 * learner.experiment.train.learning_rate)


@pytest.mark.parametrize("cell", ["lif", "relu"])
@pytest.mark.parametrize("heads", ["own", "shared"])
def test_a_task_has_the_outputs_of_its_own_labels_only(stream, heads, cell):
    learner = taught(
        stream, f"options.heads={heads}", f"cell={cell}", "train.loss=ce_count", tasks=2
    )
    task = stream.tasks[0]
    scores = learner.scores(in_torch(shown(learner.experiment, task.test)), 0)
    if heads == "shared":
        assert np.isin(served(learner, 0)[-1 if cell == "lif" else 2].any(1), [True]).all()
    elif cell == "lif":
        assert not scores[:, 2:].any()
        assert scores[:, :2].any()
    else:
        assert set(scores.argmax(1)) <= {0, 1}


@pytest.mark.parametrize("cell", ["lif", "relu"])
def test_goes_on_bit_for_bit_from_its_state(stream, cell):
    settings = (f"cell={cell}", "train.loss=ce_count")
    one = taught(stream, *settings, tasks=2)
    file = io.BytesIO()
    torch.save(one.state(), file)
    file.seek(0)
    other = made(stream, *settings, seed=9)
    other.load_state(torch.load(file, weights_only=True))
    assert same(served(one, 0), served(other, 0))
    for learner in (one, other):
        learner.learn(stream.tasks[2])
    for identity in range(3):
        assert same(served(one, identity), served(other, identity))


def test_ledger_counts_the_hypernetwork_and_its_embeddings(stream):
    learner = taught(stream, tasks=2)
    weights = 12 * (64 + 10)
    chunks = -(-weights // 50)
    bits = 16 * (4 * chunks + (8 * 16 + 16) + (16 * 50 + 50))
    assert [(s.bits, s.place) for s in learner.ledger()] == [
        (bits, "host"), (16 * 2 * 4, "host"), (64, "host"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    ["options.beta=-1.0", "options.chunk=0", "options.layers=[]", "options.start=0.0"],
)
def test_options_out_of_range_are_refused(changed, stream):
    with pytest.raises(ConfigError, match="options"):
        made(stream, changed)
