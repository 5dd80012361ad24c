"""The classic strategies: replay, EWC, SI, LwF, GEM, A-GEM, iCaRL, DER++, independent networks."""

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learnt import learnt
from tiny import run

from growth.config import load_experiment
from growth.host import Unlimited
from growth.layered import Layered
from growth.measure import in_torch, shown
from growth.strategies import STRATEGIES, refuse_stream
from growth.strategies import ewc as ewc_module
from growth.strategies.exemplars import Exemplars
from growth.strategies.gem import project
from growth.strategies.gradients import flat, of_groups, put, squares
from growth.strategies.icarl import herd
from growth.streams import permuted, split
from mosaic_sim.errors import ConfigError, MosaicError

NAMES = (
    "agem", "derpp", "ewc", "ewc-online", "gem", "icarl", "independent", "lwf", "replay", "si",
)  # fmt: skip
CELLS = ("lif", "relu")

every = pytest.mark.parametrize("name", NAMES)
both_cells = pytest.mark.parametrize("cell", CELLS)


def setting(name, *more):
    """Few samples, small layers, one epoch."""
    small = (
        "name=t", "seeds=[0]", "train.epochs=1", "train.batch=16", "train.learning_rate=0.01",
        "stream.classes=[[0,1],[2,3]]", "stream.steps=6", "hidden=[14,12]",
        "stream.train_samples=64",
    )  # fmt: skip
    memory = ("options.memory=20",) if name in REMEMBERING else ()
    shown = ("stream.identity=true",) if name == "independent" else ()
    # One step is too few for the mean square of counts.
    shown += ("train.loss=ce_count",) if "cell=relu" in more else ()
    return load_experiment(
        "split-digits-naive", (*small, *memory, *shown, f"strategy={name}", *more)
    )


REMEMBERING = ("agem", "derpp", "gem", "icarl", "replay")


@pytest.fixture(scope="module")
def pair(data):
    """Two tasks of two digits, few samples each."""
    return few(split(data, [[0, 1], [2, 3]]), 64)


def few(stream, count):
    tasks = tuple(
        replace(task, train=task.train.take(range(count)), identity=task.number)
        for task in stream.tasks
    )
    return replace(stream, tasks=tasks)


def made(name, stream, *more, seed=0):
    return STRATEGIES[name](setting(name, *more), stream, Unlimited(), seed)


def taught(name, stream, *more, seed=0):
    strategy = made(name, stream, *more, seed=seed)
    for task in stream.tasks:
        strategy.learn(task)
    return strategy


def weights(strategy):
    return {name: w.detach().clone() for name, w in strategy.net.weights.items()}


def same(one, other):
    """Whether two states hold the same bits."""
    if isinstance(one, torch.Tensor):
        return torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def some(task, count, strategy):
    inputs = torch.from_numpy(np.ascontiguousarray(task.train_inputs[:count]))
    return strategy.encode(inputs), torch.from_numpy(task.train_labels[:count])


# --- every one of them -------------------------------------------------------------------


@every
@both_cells
def test_one_that_was_stored_goes_on_bit_for_bit(name, cell, pair):
    first, second = pair.tasks
    one = made(name, pair, f"cell={cell}")
    one.learn(first)
    file = io.BytesIO()
    torch.save(one.state(), file)
    file.seek(0)
    again = made(name, pair, f"cell={cell}", seed=5)
    again.load_state(torch.load(file, weights_only=True))
    for strategy in (one, again):
        strategy.learn(second)
    assert same(again.state(), one.state())
    assert again.meter.to_dict() == one.meter.to_dict()


@every
def test_a_seed_decides_everything(name, pair):
    one, same_seed, other = (taught(name, pair, seed=seed).state() for seed in (3, 3, 4))
    assert same(one, same_seed)
    assert not same(one["net"], other["net"])


@every
@both_cells
def test_none_is_naive_by_mistake(name, cell, pair):
    ours, naive = (taught(kind, pair, f"cell={cell}") for kind in (name, "naive"))
    assert not same(weights(ours), weights(naive))


@pytest.mark.parametrize("name", ["ewc", "ewc-online", "si", "lwf"])
@both_cells
def test_without_strength_a_penalty_is_naive(name, cell, pair):
    settings = (f"cell={cell}", "train.optimiser=sgd")
    ours = taught(name, pair, *settings, "options.strength=0")
    assert same(weights(ours), weights(taught("naive", pair, *settings)))


@every
@both_cells
def test_tasks_with_the_same_labels_are_learnt_too(name, cell, data):
    stream = few(permuted(data, 2, 0), 128)
    stream = replace(stream, identity=name == "independent")
    strategy = made(
        name, stream, f"cell={cell}", "train.epochs=4", "train.batch=8", "hidden=[32]"
    )
    for task in stream.tasks:
        strategy.learn(task)
    test = stream.tasks[1].test
    scores = strategy.scores(in_torch(shown(strategy.experiment, test)), 1)
    assert (scores.argmax(1) == test.labels).mean() > 0.3  # chance is 0.1


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("replay", "memory=0"), ("replay", 'balance="label"'), ("replay", "batch=0"),
        ("gem", "margin=-0.1"), ("gem", "ridge=-1"), ("agem", "sample=0"),
        ("ewc", "strength=-1"), ("ewc", "samples=0"), ("ewc", 'fisher="batched"'),
        ("ewc", "decay=0.5"), ("ewc-online", "decay=1.5"), ("si", "damping=0"),
        ("lwf", "temperature=0"), ("icarl", "memory=0"), ("derpp", "alpha=-1"),
        ("derpp", "beta=-1"), ("independent", 'start="best"'), ("independent", "memory=3"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused_by_name(name, option, pair):
    with pytest.raises(ConfigError, match=option.split("=")[0]):
        made(name, pair, f"options.{option}")


@pytest.mark.parametrize("name", REMEMBERING)
def test_more_exemplars_than_samples_are_refused(name, pair):
    with pytest.raises(MosaicError, match=r"memory is 130"):
        made(name, pair, "options.memory=130")


@every
def test_the_ledger_counts_every_bit(name, pair):
    strategy = taught(name, pair)
    inputs, synapses = 64, 64 * 14 + 14 * 12 + 12 * 10
    exemplars = 20 * (inputs * 8 + 4)
    wanted = {
        "replay": exemplars, "gem": exemplars, "agem": exemplars,
        "derpp": exemplars + 20 * 10 * 16,
        "icarl": exemplars + 10 * 12 * 16 + synapses * 4,
        "ewc": synapses * 32, "ewc-online": synapses * 32, "si": synapses * 48,
        "lwf": synapses * 4, "independent": 2 * synapses * 4,
    }[name]  # fmt: skip
    assert sum(stored.bits for stored in strategy.ledger()) == wanted
    assert {stored.place for stored in strategy.ledger()} == {"host"}


@pytest.mark.parametrize(
    ("name", "options", "shown", "looked"),
    [
        # 64 samples a task, 4 batches of 16 in each; 20 exemplars, of which 10 are of task 0
        ("naive", [], 64, 0), ("replay", [], 128, 0), ("si", [], 64, 0),
        ("lwf", [], 64, 64), ("gem", [], 64 + 4 * 10, 0),
        ("agem", ["options.sample=7"], 64 + 4 * 7, 0),
        ("ewc", ["options.samples=30"], 64 + 30 * 10, 0),
        ("ewc", ["options.samples=30", "options.fisher=sampled"], 64 + 30, 0),
        ("derpp", [], 3 * 64, 0), ("icarl", [], 64 + 20, (64 + 20) + 64 + 20),
        ("independent", [], 64, 0),
    ],
)  # fmt: skip
def test_every_pass_is_counted(name, options, shown, looked, pair):
    meter = taught(name, pair, *options).meter
    assert (meter.shown, meter.looked) == (shown, looked)


@pytest.mark.parametrize("options", [[], ["options.resident=true"]])
def test_a_network_for_each_task_forgets_nothing(options):
    found = learnt(
        setting("independent", "train.epochs=8", "stream.test_samples=40", *options), 0
    )
    assert found.forgetting == 0
    assert found.accuracy > 80


# --- on the chip -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("replay", []), ("icarl", []), ("independent", []),
        ("independent", ["options.resident=true"]),
    ],
)  # fmt: skip
def test_a_run_ends_on_the_chip_with_the_spikes_of_torch(name, options, tmp_path):
    experiment = setting(name, "stream.test_samples=20", *options)
    folder = run(experiment, tmp_path)
    *_, last = folder.seed(0).lines("metrics")
    assert last["task"] == 1
    assert last["spikes_differing"] == last["predictions_differing"] == 0
    costs = folder.seed(0).lines("cost")
    resident = bool(options)
    swapped = name == "independent" and not resident
    # Test samples of the two tasks: there and back at the second evaluation.
    assert [bool(cost["switches"]) for cost in costs] == [False, swapped]
    layers = 14 + 12 + 10
    assert last["neurons"] == (2 * layers if resident else layers)


# --- exemplars ---------------------------------------------------------------------------

parts = st.lists(st.lists(st.integers(0, 3), max_size=9), min_size=1, max_size=6)


@given(parts, st.integers(1, 12), st.booleans(), st.integers(0, 99))
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
        came = list(dict.fromkeys(labels))
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


# --- gradients of samples and groups -----------------------------------------------------


def net_of(cell, seed=0):
    return Layered(
        [5, 4, 3], leak=0.8, spiking=cell == "lif",
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip


def drive(cell, samples, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(7 if cell == "lif" else 1, samples, 5, generator=rng) * 2


@both_cells
def test_squares_are_those_of_one_sample_at_a_time(cell):
    net, inputs = net_of(cell), drive(cell, 6)
    layers = net.layers(inputs)
    found = squares(layers, layers[-1].output.sum(0).log_softmax(1)[:, 1], net)
    wanted = {name: torch.zeros_like(w) for name, w in net.weights.items()}
    for k in range(6):
        net.zero_grad()
        net(inputs[:, [k]]).sum(0).log_softmax(1)[0, 1].backward()
        for name, weight in net.weights.items():
            wanted[name] += weight.grad**2
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert wanted[name].abs().max() > 1e-4
        torch.testing.assert_close(found[name], wanted[name])


@both_cells
def test_gradients_of_groups_are_those_of_one_group_at_a_time(cell):
    net, inputs, sizes = net_of(cell), drive(cell, 9), [4, 2, 3]
    layers = net.layers(inputs)
    losses = [part.square().mean() for part in layers[-1].output.split(sizes, 1)]
    found = of_groups(layers, losses, sizes, net)
    for row, part in zip(found, inputs.split(sizes, 1), strict=True):
        net.zero_grad()
        net(part).square().mean().backward()
        wanted = flat(w.grad for w in net.weights.values())
        assert wanted.abs().max() > 1e-4
        torch.testing.assert_close(row, wanted)


def test_a_flat_gradient_returns_to_its_weights():
    net = net_of("relu")
    total = sum(w.numel() for w in net.weights.values())
    put(torch.arange(float(total)), net.weights)
    assert torch.equal(
        flat(w.grad for w in net.weights.values()), torch.arange(float(total))
    )


# --- EWC ---------------------------------------------------------------------------------


def expected_fisher(strategy, samples, loss):
    """Oracle: one sample and one answer at a time, by autograd."""
    total = {name: torch.zeros_like(w) for name, w in strategy.net.weights.items()}
    steps = 1 if strategy.experiment.cell == "relu" else strategy.experiment.stream.steps
    for row in samples.inputs:
        counts = strategy.net(strategy.encode(torch.from_numpy(row[None]))).sum(0)[0]
        share = counts.softmax(0).detach()
        for y in range(len(counts)):
            # Of a normal distribution: (d count)^2 / variance, the loss being its logarithm.
            value = counts[y] if loss == "mse_count" else counts.log_softmax(0)[y]
            weight = 1 / (len(counts) * steps / 2) if loss == "mse_count" else share[y]
            found = torch.autograd.grad(
                value, list(strategy.net.weights.values()), retain_graph=True
            )
            for square, gradient in zip(total.values(), found, strict=True):
                square += weight * gradient**2 / len(samples)
    return total


@both_cells
@pytest.mark.parametrize("loss", ["ce_count", "mse_count"])
def test_the_fisher_information_is_that_of_one_sample_at_a_time(cell, loss, pair):
    ewc = made("ewc", pair, f"cell={cell}", f"train.loss={loss}", "options.samples=64")
    samples = pair.tasks[0].train.take(range(5))
    found, wanted = ewc.fisher(samples), expected_fisher(ewc, samples, loss)
    for name in wanted:
        assert wanted[name].max() > 1e-6
        torch.testing.assert_close(found[name], wanted[name])


@pytest.mark.parametrize("fisher", ["exact", "sampled", "empirical"])
@pytest.mark.parametrize("loss", ["ce_count", "mse_count"])
def test_the_fisher_information_does_not_depend_on_the_batch_size(
    fisher, loss, pair, monkeypatch
):
    found = []
    for size in (1, 7, 64):
        monkeypatch.setattr(ewc_module, "AT_ONCE", size)
        ewc = made(
            "ewc", pair, f"options.fisher={fisher}", f"train.loss={loss}", "train.batch=1"
        )
        if fisher == "sampled" and loss == "mse_count":
            ewc.torch_rng = torch.Generator().manual_seed(0)
        found.append(ewc.fisher(pair.tasks[0].train))
    if fisher == "sampled" and loss == "mse_count":
        return  # normal numbers come in pairs: other draws, the same expectation
    for other in found[1:]:
        for name, value in found[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loss", ["ce_count", "mse_count"])
def test_sampled_answers_give_the_exact_fisher_information_on_average(loss, pair):
    settings = ("cell=relu", f"train.loss={loss}", "options.samples=64")
    one = pair.tasks[0].train.take([0] * 2000)
    sampled = made("ewc", pair, *settings, "options.fisher=sampled", "options.samples=2000")
    exact = made("ewc", pair, *settings)
    found = sampled.fisher(one)["w2"]
    wanted = exact.fisher(pair.tasks[0].train.take([0]))["w2"]
    # Every entry is a mean of 2,000: its relative error is some per cent.
    assert abs(found.sum() / wanted.sum() - 1) < 0.1


def test_the_empirical_fisher_information_takes_the_given_labels(pair):
    ewc = made("ewc", pair, "cell=relu", "train.loss=ce_count", "options.fisher=empirical")
    samples = pair.tasks[0].train.take(range(6))
    found = ewc.fisher(samples)
    wanted = torch.zeros_like(found["w1"])
    for row, label in zip(samples.inputs, samples.labels, strict=True):
        logits = ewc.net(torch.from_numpy(row).float()[None, None])[0]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([label]))
        wanted += torch.autograd.grad(loss, ewc.net.weights["w1"])[0] ** 2 / 6
    torch.testing.assert_close(found["w1"], wanted)


def parabolas(strategy, fishers, anchors):
    """Oracle: each task's own penalty, added up."""
    total = 0.0
    for fisher, anchor in zip(fishers, anchors, strict=True):
        for name, weight in strategy.net.weights.items():
            total += (
                (fisher[name].double() * (weight.double() - anchor[name]) ** 2).sum().item()
            )
    return strategy.options.strength / 2 * total


def noted(name, stream, *more):
    """Learn all tasks, noting the Fisher information and the weights after each."""
    strategy, fishers, anchors = made(name, stream, *more), [], []
    measure = strategy.fisher

    def fisher(samples):
        found = measure(samples)
        fishers.append({k: v.clone() for k, v in found.items()})
        anchors.append(weights(strategy))
        return found

    strategy.fisher = fisher
    for number, task in enumerate((*stream.tasks, stream.tasks[0])):
        strategy.learn(replace(task, number=number))
    return strategy, fishers, anchors


def moved(strategy, by, seed):
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in strategy.net.parameters():
            weight += by * torch.randn(weight.shape, generator=rng)


def test_one_parabola_pulls_like_those_of_all_tasks(pair):
    ewc, fishers, anchors = noted("ewc", pair, "options.strength=50")
    assert len(fishers) == 3
    values = []
    for seed in range(3):
        moved(ewc, 0.5, seed)
        values.append((ewc.penalty().item(), parabolas(ewc, fishers, anchors)))
    # They differ by a constant, which nothing descends.
    (a, p), (b, q), (c, r) = values
    assert abs(p - q) > 1
    assert a - b == pytest.approx(p - q, rel=1e-4)
    assert b - c == pytest.approx(q - r, rel=1e-4)


def test_online_ewc_decays_importance_and_holds_to_the_last_weights(pair):
    ewc, fishers, anchors = noted("ewc-online", pair, "options.decay=0.5")
    wanted = {
        name: 0.25 * fishers[0][name] + 0.5 * fishers[1][name] + fishers[2][name]
        for name in fishers[0]
    }
    for name, value in wanted.items():
        torch.testing.assert_close(ewc.importance[name], value)
    assert ewc.penalty() == 0
    moved(ewc, 0.1, 0)
    assert ewc.penalty().item() == pytest.approx(
        parabolas(ewc, [wanted], anchors[-1:]), rel=1e-4
    )


def test_a_strong_pull_keeps_weights_where_they_were(pair):
    after = []
    for strength in (0, 3, 300):
        ewc = made(
            "ewc",
            pair,
            f"options.strength={strength}",
            "train.optimiser=sgd",
            "train.learning_rate=0.003",
        )
        ewc.learn(pair.tasks[0])
        before = weights(ewc)
        ewc.learn(pair.tasks[1])
        moved_by = sum(
            (ewc.importance[k] * (w - before[k]) ** 2).sum()
            for k, w in weights(ewc).items()
        )
        after.append(float(moved_by))
    assert after[0] > after[1] > after[2]


# --- SI ----------------------------------------------------------------------------------


def test_path_integrals_add_up_to_the_fall_of_the_loss(pair):
    """Zenke et al.: to first order, and to that of the task's loss alone."""
    si = made(
        "si", pair, "cell=relu", "train.loss=ce_count", "train.optimiser=sgd",
        "train.learning_rate=0.001", "train.batch=64", "train.epochs=20",
        "options.strength=100",
    )  # fmt: skip
    fell, path = [], []
    for task in pair.tasks:
        spikes, labels = some(task, 64, si)
        before = float(si.criterion(si.net(spikes), labels).detach())
        si.learn(task)
        after = float(si.criterion(si.net(spikes), labels).detach())
        fell.append(before - after)
        path.append(float(sum(part.sum() for part in si.path.values())))
    assert min(fell) > 0.01
    assert path == pytest.approx(fell, rel=0.03)


def test_the_pull_of_si_is_the_gradient_of_its_penalty(pair):
    si = made("si", pair, "options.strength=3")
    si.learn(pair.tasks[0])
    assert any(part.max() > 0 for part in si.importance.values())
    assert all(part.min() >= 0 for part in si.importance.values())
    si.begin(pair.tasks[1])
    moved(si, 0.1, 0)
    penalty = 3 * sum(
        (si.importance[k] * (w - si.anchor[k]) ** 2).sum()
        for k, w in si.net.weights.items()
    )
    wanted = torch.autograd.grad(penalty, list(si.net.weights.values()))
    for weight in si.net.parameters():
        weight.grad = torch.zeros_like(weight)
    si.grads(None, None)
    for weight, gradient in zip(si.net.parameters(), wanted, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_the_importance_of_si_is_the_path_over_the_way(pair):
    si = made("si", pair, "options.damping=0.5", "train.optimiser=sgd")
    before, seen = weights(si), []
    step = si.stepped

    def stepped():
        seen.append((si.gradient["w0"].clone(), si.before["w0"].clone()))
        step()
        seen[-1] += (si.net.weights["w0"].detach().clone(),)

    si.stepped = stepped
    si.learn(pair.tasks[0])
    path = sum(-g * (new - old) for g, old, new in seen)
    way = (si.net.weights["w0"].detach() - before["w0"]) ** 2
    assert len(seen) == 4
    torch.testing.assert_close(si.importance["w0"], (path / (way + 0.5)).clamp(min=0))


# --- LwF ---------------------------------------------------------------------------------


@both_cells
def test_the_loss_of_lwf_is_the_divergence_from_the_teacher(cell, pair):
    settings = (f"cell={cell}", "options.strength=0.7", "options.temperature=3")
    lwf = made("lwf", pair, *settings)
    lwf.learn(pair.tasks[0])
    teacher, (spikes, labels) = weights(lwf), some(pair.tasks[1], 9, lwf)
    moved(lwf, 0.2, 0)
    old, new = (
        lwf.net(spikes, use).sum(0)[:, :2].detach().double().numpy() / 3
        for use in (teacher, None)
    )
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (old, new))
    divergence = (p * np.log(p / q)).sum(1).mean()
    plain = lwf.criterion(lwf.net(spikes), labels).item()
    assert divergence > 1e-3
    assert lwf.loss(spikes, labels).item() == pytest.approx(
        plain + 0.7 * divergence, rel=1e-4
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


# --- independent networks ----------------------------------------------------------------


@pytest.mark.parametrize("resident", ["true", "false"])
def test_each_task_is_served_by_its_own_network(resident, pair):
    own = made("independent", pair, f"options.resident={resident}")
    alone = []
    for task in pair.tasks:
        own.learn(task)
        alone.append(own.net.blueprint())
    serve = in_torch(shown(own.experiment, pair.tasks[0].test))
    for number, blueprint in enumerate(alone):
        assert np.array_equal(own.scores(serve, number), serve(blueprint)["out"])
    assert not np.array_equal(own.scores(serve, 0), own.scores(serve, 1))
    assert np.array_equal(own.scores(serve, 7), own.scores(serve, 1))
    one, two = own.blueprint(0), own.blueprint(1)
    assert one.wired_like(two)
    assert one.neurons == (72 if resident == "true" else 36)


def test_a_further_resident_network_leaves_the_numbers_of_the_others(pair):
    own = made("independent", pair, "options.resident=true")
    own.learn(pair.tasks[0])
    before = own.blueprint()
    own.learn(pair.tasks[1])
    after = own.blueprint()
    assert not before.wired_like(after)
    births = {p.name: p.births.tolist() for p in after.populations}
    for population in before.populations:
        assert births[population.name] == population.births.tolist()
    shared = zip(before.connections, after.connections, strict=False)
    assert all(np.array_equal(a.weight, b.weight) for a, b in shared)


@pytest.mark.parametrize("start", ["new", "same", "last"])
def test_a_network_starts_where_it_is_told(start, pair):
    own = made("independent", pair, f"options.start={start}")
    first = weights(own)
    own.learn(pair.tasks[0])
    last = weights(own)
    own.begin(pair.tasks[1])
    now = weights(own)
    assert same(now, first) == (start == "same")
    assert same(now, last) == (start == "last")
    own.begin(pair.tasks[0])  # it comes back: its own network goes on
    assert same(weights(own), last)
